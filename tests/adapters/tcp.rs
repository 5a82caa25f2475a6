//! Both adapters over real TCP: closing in the right order, peers that do not behave, and errors
//! that a peer must be able to read before the connection is gone.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{BOTH, KEY, close_body, close_codes, frame, frame_with, split};
use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Error, Keepalive, Message, Role, Side, TimeoutError, blocking,
    handshake::{Acceptor, RejectionReason},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};
use support::{REQUEST, header, on_all_over_tcp, quiet, read_all, runtime, tcp_pair, watchdog};

fn clean(closed: Option<&Closed>) -> bool {
    closed.is_some_and(Closed::is_clean)
}

/// The peer writes all that it has and only then reads.
fn write_then_read(mut peer: TcpStream, bytes: &[u8]) -> (Vec<u8>, std::io::Result<()>) {
    peer.write_all(bytes).expect("all of it is taken");
    read_all(&peer)
}

/// §7.1.7, §7.1.1: a violation with a MiB of input behind it. Unread input would make TCP reset
/// the connection and lose our Close, so it is drained, and the peer can read the code.
#[test]
fn section_7_1_7_a_close_is_readable_behind_a_violation() {
    for role in BOTH {
        let wrong = frame_with(0x82, b"x", (role == Role::Client).then_some(KEY));
        let bytes = [wrong, vec![0x5a; 1 << 20]].concat();
        on_all_over_tcp(role, &quiet(), |ws, peer| {
            thread::scope(|scope| {
                let peer = scope.spawn(|| write_then_read(peer, &bytes));
                assert!(matches!(ws.recv(), Err(Error::Protocol(_))));
                let (written, end) = peer.join().unwrap();
                assert_eq!(close_codes(&split(role, &written)), [1002]);
                end.expect("an orderly end");
            });
        });
    }
}

/// The same for each code, and with a handler that reads.
#[test]
fn section_7_4_1_each_code_reaches_the_peer() {
    let wrong: [(u16, Vec<u8>); 5] = [
        (1002, frame(Role::Server, 0xc1, b"reserved bit")),
        (1007, frame(Role::Server, 0x81, b"\xff")),
        (1007, frame(Role::Server, 0x88, b"\x03\xe8\xff")),
        (
            1008,
            frame(Role::Server, 0x01, b"")
                .into_iter()
                .chain(frame(Role::Server, 0, b"").repeat(3))
                .collect(),
        ),
        (1009, frame(Role::Server, 0x82, &[0; 1_001])),
    ];
    let config = quiet().max_message_size(1_000).max_fragments(2);
    for (code, wrong) in wrong {
        let bytes = [wrong, vec![0; 100_000]].concat();
        on_all_over_tcp(Role::Server, &config, |ws, peer| {
            thread::scope(|scope| {
                let peer = scope.spawn(|| write_then_read(peer, &bytes));
                assert!(matches!(ws.echo(), Err(Error::Protocol(_))));
                let (written, end) = peer.join().unwrap();
                assert_eq!(close_codes(&split(Role::Server, &written)), [code]);
                end.expect("an orderly end");
            });
        });
    }
}

/// All ways of accepting a connection over TCP.
fn accept_all(config: &Config, mut test: impl FnMut(&dyn Fn(TcpStream) -> Result<(), Error>)) {
    let _watchdog = watchdog();
    test(&|stream| blocking::accept_with(stream, &Acceptor::new(), config.clone()).map(|_| ()));
    let runtime = runtime();
    test(&|stream| {
        runtime.block_on(async {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            fullduplex::tokio::accept_with(stream, &Acceptor::new(), config.clone())
                .await
                .map(|_| ())
        })
    });
    #[cfg(feature = "futures-io")]
    test(&|stream| {
        let stream = smol::net::TcpStream::try_from(stream)?;
        smol::block_on(async {
            fullduplex::futures_io::accept_with(stream, &Acceptor::new(), config.clone())
                .await
                .map(|_| ())
        })
    });
}

/// §4.2.2: a client that is turned down can read why, though it goes on sending.
#[test]
fn section_4_2_2_a_rejection_is_readable_behind_more_input() {
    let body = vec![b'x'; 256 * 1024];
    let requests = [
        (400, "GET / HTTP/1.1\r\n\r\n".to_string()),
        (405, REQUEST.replacen("GET", "POST", 1)),
        (426, "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_string()),
        (431, format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000))),
        (400, "\x16\x03\x01 this is TLS".to_string()),
    ];
    for (status, request) in requests {
        let bytes = [request.as_bytes(), &body].concat();
        accept_all(&quiet(), |accept| {
            let (ours, theirs) = tcp_pair();
            thread::scope(|scope| {
                let peer = scope.spawn(|| write_then_read(theirs, &bytes));
                let Err(Error::Rejected(rejection)) = accept(ours) else { panic!("{status}") };
                assert_eq!(rejection.reason().status(), status);
                let (response, end) = peer.join().unwrap();
                let response = String::from_utf8(response).unwrap();
                assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
                assert!(header(&response, "Connection").unwrap().starts_with("close"));
                end.expect("an orderly end");
            });
        });
    }
}

/// A connection that is opened and not used is no fault of anybody.
#[test]
fn a_client_that_hangs_up_before_its_request() {
    for part in ["", "GET / HT"] {
        accept_all(&quiet(), |accept| {
            let (ours, mut theirs) = tcp_pair();
            theirs.write_all(part.as_bytes()).unwrap();
            drop(theirs);
            let error = accept(ours).unwrap_err();
            assert!(error.is_closed() && !error.is_peer_fault(), "{error:?}");
        });
    }
}

/// A client that is too slow is told so, on all adapters; the tests on tokio's clock check when.
#[test]
fn a_slow_request_is_answered_with_408() {
    let config = quiet().handshake_timeout(Duration::from_millis(30));
    accept_all(&config, |accept| {
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(&REQUEST.as_bytes()[..50]).unwrap();
        thread::scope(|scope| {
            let peer = scope.spawn(|| read_all_then_drop(theirs));
            let Err(error @ Error::Rejected(_)) = accept(ours) else { panic!() };
            assert!(error.is_timeout());
            let Error::Rejected(rejection) = error else { unreachable!() };
            assert_eq!(rejection.reason(), RejectionReason::TimedOut);
            assert!(peer.join().unwrap().starts_with(b"HTTP/1.1 408 "));
        });
    });
}

fn read_all_then_drop(stream: TcpStream) -> Vec<u8> {
    read_all(&stream).0
}

/// §7.1.1: after both Closes the server ends TCP first: its client sees the end behind the Close
/// without having ended anything itself.
#[test]
fn section_7_1_1_a_client_sees_the_end_behind_the_close() {
    on_all_over_tcp(Role::Server, &quiet(), |ws, mut peer| {
        thread::scope(|scope| {
            let peer = scope.spawn(move || {
                peer.write_all(&frame(Role::Server, 0x88, &close_body(1000, ""))).unwrap();
                read_all(&peer)
            });
            assert!(matches!(ws.recv(), Ok(None)));
            assert!(clean(ws.closed()));
            let (written, end) = peer.join().unwrap();
            assert_eq!(split(Role::Server, &written), [(0x88, close_body(1000, ""))]);
            end.expect("an orderly end");
        });
    });
    on_all_over_tcp(Role::Server, &quiet(), |ws, mut peer| {
        thread::scope(|scope| {
            let peer = scope.spawn(move || {
                let mut close = [0; 4];
                peer.read_exact(&mut close).unwrap();
                peer.write_all(&frame(Role::Server, 0x88, &close[2..])).unwrap();
                (close, read_all(&peer))
            });
            ws.close(CloseCode::GOING_AWAY).unwrap();
            let (close, (rest, end)) = peer.join().unwrap();
            assert_eq!((close, rest), ([0x88, 2, 0x03, 0xe9], vec![]));
            end.expect("an orderly end");
        });
    });
}

/// §7.1.1: a client waits for the server to end TCP.
#[test]
fn section_7_1_1_a_client_waits_for_the_servers_end() {
    on_all_over_tcp(Role::Client, &quiet(), |ws, mut peer| {
        thread::scope(|scope| {
            let peer = scope.spawn(move || {
                peer.write_all(&frame(Role::Client, 0x88, b"")).unwrap();
                let mut close = [0; 6];
                peer.read_exact(&mut close).unwrap();
                // The client's side has to be open still: it must not have ended first.
                peer.set_nonblocking(true).unwrap();
                let open = peer.read(&mut [0]).unwrap_err().kind() == ErrorKind::WouldBlock;
                peer.set_nonblocking(false).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                (open, peer)
            });
            assert!(matches!(ws.recv(), Ok(None)));
            assert!(clean(ws.closed()));
            assert!(peer.join().unwrap().0);
        });
    });
}

/// A client whose server never ends TCP gives up in time, and that is clean: both Closes were
/// there.
#[test]
fn section_7_1_1_a_server_that_never_hangs_up() {
    let config = quiet().close_timeout(Duration::from_millis(40));
    on_all_over_tcp(Role::Client, &config, |ws, mut peer| {
        peer.write_all(&frame(Role::Client, 0x88, b"")).unwrap();
        assert!(matches!(ws.recv(), Ok(None)));
        assert!(clean(ws.closed()));
        drop(peer);
    });
}

/// A peer that never answers our Close.
#[test]
fn section_7_1_1_a_close_without_answer_ends_in_time() {
    let config = quiet().close_timeout(Duration::from_millis(40));
    for role in BOTH {
        on_all_over_tcp(role, &config, |ws, peer| {
            let end = ws.close(CloseCode::NORMAL);
            assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
            assert!(matches!(ws.closed(), Some(Closed::TimedOut(TimeoutError::Close))));
            assert!(matches!(ws.recv(), Ok(None)));
            drop(peer);
        });
    }
}

/// KNOWN-FAILURES 48: a Close behind a backlog that the peer never takes returns in time.
#[test]
fn a_close_behind_full_buffers_ends_in_time() {
    let config = quiet().close_timeout(Duration::from_millis(40)).max_unsent(64 << 20);
    on_all_over_tcp(Role::Server, &config, |ws, peer| {
        for _ in 0..32 {
            ws.feed(Message::from(vec![0; 1 << 20])).unwrap();
        }
        let end = ws.close(CloseCode::NORMAL);
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
        drop(peer);
    });
}

/// A peer that goes on sending after our Close: what it sends is discarded until its own Close
/// comes, and if none does, the deadline holds.
#[test]
fn section_7_1_1_a_peer_that_goes_on_sending() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet(), |ws, mut peer| {
            thread::scope(|scope| {
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        peer.write_all(&frame(role, 0x82, &[1; 1_000])).unwrap();
                    }
                    peer.write_all(&frame(role, 0x88, &close_body(1000, ""))).unwrap();
                    // To leave our Close unread would reset the connection.
                    let mask = if role == Role::Client { 4 } else { 0 };
                    peer.read_exact(&mut vec![0; 4 + mask]).unwrap();
                    let _ = peer.shutdown(Shutdown::Write);
                });
                ws.close(CloseCode::NORMAL).unwrap();
                assert!(clean(ws.closed()));
            });
        });
        let config = quiet().close_timeout(Duration::from_millis(40));
        on_all_over_tcp(role, &config, |ws, mut peer| {
            thread::scope(|scope| {
                let stop = peer.try_clone().unwrap();
                let peer = scope.spawn(move || {
                    let frame = frame(role, 0x82, &[1; 1_000]);
                    while peer.write_all(&frame).is_ok() {}
                });
                let end = ws.close(CloseCode::NORMAL);
                assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
                stop.shutdown(Shutdown::Both).unwrap();
                peer.join().unwrap();
            });
        });
    }
}

/// §7.1.5: the end without a Close is one error, and then nothing.
#[test]
fn section_7_1_5_an_end_without_a_close_is_abnormal() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet(), |ws, mut peer| {
            peer.write_all(&frame(role, 0x81, b"last")).unwrap();
            drop(peer);
            assert_eq!(ws.recv().unwrap(), Some("last".into()));
            let error = ws.recv().unwrap_err();
            assert!(matches!(error, Error::Abnormal), "{error:?}");
            assert!(error.is_closed() && !error.is_peer_fault() && !error.is_timeout());
            for _ in 0..3 {
                assert!(matches!(ws.recv(), Ok(None)));
            }
            assert_eq!(ws.closed().unwrap().code(), 1006);
        });
    }
}

/// A peer that resets: to drop a socket with unread input does that.
#[test]
fn a_reset_is_reported_once() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet(), |ws, peer| {
            ws.send("never read".into()).unwrap();
            // The bytes are there before the socket is dropped.
            peer.peek(&mut [0]).unwrap();
            drop(peer);
            let error = ws.recv().unwrap_err();
            let reset = matches!(&error, Error::Io(e) if e.kind() == ErrorKind::ConnectionReset);
            assert!(reset, "{error:?}");
            assert!(error.is_closed());
            assert!(matches!(ws.recv(), Ok(None)));
            assert_eq!(ws.closed(), Some(&Closed::Abnormal));
        });
    }
}

/// A peer that has closed, both WebSocket and TCP, while messages to it were under way.
#[test]
fn a_reset_behind_the_close_is_clean() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet(), |ws, mut peer| {
            ws.send("never read".into()).unwrap();
            peer.write_all(&frame(role, 0x88, &close_body(1000, ""))).unwrap();
            peer.peek(&mut [0]).unwrap();
            assert!(matches!(ws.recv_event(), Ok(Some(fullduplex::Event::Close(_)))));
            drop(peer);
            assert!(matches!(ws.recv(), Ok(None)));
            assert!(matches!(ws.closed(), Some(Closed::Clean { initiator: Side::Remote, .. })));
        });
    }
}

/// A peer that shuts its write side down behind its Close still gets what was fed before.
#[test]
fn a_half_closed_peer_gets_the_rest() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet().max_unsent(16 << 20), |ws, mut peer| {
            thread::scope(|scope| {
                for _ in 0..8 {
                    ws.feed(Message::from(vec![3; 1 << 20])).unwrap();
                }
                let peer = scope.spawn(move || {
                    peer.write_all(&frame(role, 0x88, &close_body(1000, ""))).unwrap();
                    peer.shutdown(Shutdown::Write).unwrap();
                    let mask = if role == Role::Client { 4 } else { 0 };
                    let mut bytes = vec![0; 8 * (10 + mask + (1 << 20)) + 4 + mask];
                    peer.read_exact(&mut bytes).unwrap();
                    bytes
                });
                assert!(matches!(ws.recv(), Ok(None)));
                assert!(clean(ws.closed()));
                let frames = split(role, &peer.join().unwrap());
                assert_eq!(frames.len(), 9);
                assert_eq!(frames[8].0, 0x88);
            });
        });
    }
}

/// A peer that writes all it has and reads only then: each message is answered, in order and in
/// front of the Close, whether the peer ends with a Close or with its side of TCP alone, and whether
/// answers are fed by a handler or sent one by one.
#[test]
fn everything_is_answered_to_a_peer_that_has_not_read() {
    const MESSAGES: u32 = 2_000;
    for role in BOTH {
        for (close, one_by_one) in [(true, true), (true, false), (false, true), (false, false)] {
            let payloads = (0..MESSAGES).map(|n| n.to_be_bytes());
            let mut wire: Vec<u8> = payloads.clone().flat_map(|n| frame(role, 0x82, &n)).collect();
            if close {
                wire.extend(frame(role, 0x88, &close_body(1001, "")));
            }
            on_all_over_tcp(role, &quiet(), |ws, mut peer| {
                peer.write_all(&wire).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                let end = if one_by_one {
                    loop {
                        match ws.recv() {
                            Ok(Some(message)) if close => match ws.send(message) {
                                // The Close was read with the message.
                                Ok(()) | Err(Error::Closed(_)) => {}
                                Err(error) => break Err(error),
                            },
                            Ok(Some(message)) => ws.send(message).unwrap(),
                            Ok(None) => break Ok(()),
                            Err(error) => break Err(error),
                        }
                    }
                } else {
                    ws.echo()
                };
                peer.set_nonblocking(true).unwrap(); // over loopback all is there
                let (written, _) = read_all(&peer);
                let frames = split(role, &written);
                let answers = frames.iter().filter(|(first, _)| *first == 0x82);
                let answers: Vec<_> = answers.map(|(_, payload)| &payload[..]).collect();
                let expected: Vec<_> = payloads.clone().collect();
                assert!(answers.iter().eq(expected.iter()), "{} answers", answers.len());
                match close {
                    true => {
                        end.unwrap();
                        assert_eq!(frames.last().unwrap().0, 0x88);
                        assert_eq!(close_codes(&frames), [1001]);
                    }
                    false => assert!(matches!(end, Err(Error::Abnormal)), "{end:?}"),
                }
            });
        }
    }
}

/// Echo of several thousand messages through both adapters, each against the other.
#[test]
fn the_adapters_talk_to_each_other() {
    let _watchdog = watchdog();
    for blocking_server in [true, false] {
        let (server, client) = tcp_pair();
        let (sync, asynchronous) =
            if blocking_server { (server, client) } else { (client, server) };
        let (sync_role, async_role) = match blocking_server {
            true => (Role::Server, Role::Client),
            false => (Role::Client, Role::Server),
        };
        let echo = thread::spawn(move || {
            let mut ws = blocking::WebSocket::from_parts(sync, sync_role, quiet(), []);
            let end = ws.run(|message, out| out.feed(message));
            (end.is_ok(), clean(ws.closed()))
        });
        runtime().block_on(async {
            asynchronous.set_nonblocking(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(asynchronous).unwrap();
            let config = Config::default().keepalive(Keepalive::default());
            let mut ws = fullduplex::tokio::WebSocket::from_parts(stream, async_role, config, []);
            for batch in 0..50u32 {
                for i in 0..50u32 {
                    ws.feed(format!("{batch} {i}")).unwrap();
                }
                ws.flush().await.unwrap();
                for i in 0..50u32 {
                    let echo = ws.recv().await.unwrap().unwrap();
                    assert_eq!(echo.as_text(), Some(&*format!("{batch} {i}")));
                }
            }
            ws.close(CloseCode::NORMAL).await.unwrap();
            assert!(clean(ws.closed()));
        });
        assert_eq!(echo.join().unwrap(), (true, true));
    }
}
