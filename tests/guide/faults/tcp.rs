//! Over TCP, where a script does not show it: resets and half-closed connections while a connection
//! is opened and while a large message is written. What a reset or an end does to an open one is in
//! `adapters/tcp.rs` and, row by row, in `guide/closing.rs`.

use super::name;
use crate::{
    common::{BOTH, frame},
    support::{
        REQUEST, on_all_over_tcp, quiet, read_all, read_head, response_to, runtime, tcp_pair,
        watchdog,
    },
};
use fullduplex::{Closed, Error, Message, Role, blocking, handshake::Acceptor};
use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, TcpStream},
    thread,
};

/// Opens a connection in `role`, with each adapter, and receives once: what the two came to. The peer
/// has its own end of the stream, and ours for what only the test can do.
fn opening(
    role: Role,
    mut peer: impl FnMut(TcpStream, TcpStream) + Send,
    check: impl Fn(Result<Result<Option<Message>, Error>, Error>),
) {
    let _watchdog = watchdog();
    let (acceptor, url) = (Acceptor::new(), "ws://example.com/");
    for adapter in 0..3 {
        let (ours, theirs) = tcp_pair();
        let beside = ours.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| peer(theirs, beside));
            check(match (adapter, role) {
                (0, Role::Server) => {
                    blocking::accept_with(ours, &acceptor, quiet()).map(|mut ws| ws.recv())
                }
                (0, Role::Client) => blocking::client(ours, url, quiet()).map(|mut ws| ws.recv()),
                (1, role) => runtime().block_on(async {
                    ours.set_nonblocking(true).unwrap();
                    let ours = tokio::net::TcpStream::from_std(ours).unwrap();
                    let mut ws = match role {
                        Role::Server => {
                            fullduplex::tokio::accept_with(ours, &acceptor, quiet()).await?
                        }
                        Role::Client => fullduplex::tokio::client(ours, url, quiet()).await?,
                    };
                    Ok(ws.recv().await)
                }),
                (_, role) => smol::block_on(async {
                    let ours = smol::net::TcpStream::try_from(ours).unwrap();
                    let mut ws = match role {
                        Role::Server => {
                            fullduplex::futures_io::accept_with(ours, &acceptor, quiet()).await?
                        }
                        Role::Client => fullduplex::futures_io::client(ours, url, quiet()).await?,
                    };
                    Ok(ws.recv().await)
                }),
            });
        });
    }
}

/// A socket that is dropped with input that nobody has read resets the connection.
fn reset(stream: TcpStream) {
    stream.peek(&mut [0]).unwrap();
    drop(stream);
}

#[test]
fn a_server_that_resets_instead_of_answering() {
    opening(
        Role::Client,
        |stream, _| reset(stream),
        |opened| {
            let error = opened.unwrap_err();
            assert_eq!(name(&error), "Io(ConnectionReset)");
            assert!(error.is_closed() && !error.is_peer_fault());
        },
    );
}

#[test]
fn a_client_that_resets_in_its_request() {
    opening(
        Role::Server,
        |mut stream, mut ours| {
            stream.write_all(&REQUEST.as_bytes()[..50]).unwrap();
            // Something has to be there that it leaves unread.
            ours.write_all(b"?").unwrap();
            reset(stream);
        },
        |opened| {
            let error = opened.unwrap_err();
            assert_eq!(name(&error), "Io(ConnectionReset)");
            assert!(error.is_closed() && !error.is_peer_fault());
        },
    );
}

/// A client that ends its side behind its request gets its answer; that there was no Close comes
/// later.
#[test]
fn a_client_that_half_closes_behind_its_request() {
    opening(
        Role::Server,
        |mut stream, ours| {
            drop(ours);
            stream.write_all(REQUEST.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert!(read_head(&stream).starts_with("HTTP/1.1 101 "));
            let _ = read_all(&stream);
        },
        |opened| {
            let received = opened.unwrap();
            assert!(matches!(received, Err(Error::Abnormal)), "{received:?}");
        },
    );
}

/// A server that ends its side in its response has not answered; behind it, and behind a message,
/// it has.
#[test]
fn a_server_that_half_closes_in_or_behind_its_response() {
    for whole in [false, true] {
        opening(
            Role::Client,
            |mut stream, ours| {
                drop(ours);
                let response = response_to(&read_head(&stream), "").into_bytes();
                let message = frame(Role::Client, 0x81, b"hello");
                let bytes = match whole {
                    true => [response, message].concat(),
                    false => response[..response.len() - 1].to_vec(),
                };
                stream.write_all(&bytes).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let _ = read_all(&stream);
            },
            |opened| match opened {
                Ok(received) => {
                    assert!(whole, "{received:?}");
                    assert_eq!(received.unwrap(), Some("hello".into()));
                }
                Err(error) => {
                    assert!(!whole);
                    assert_eq!(name(&error), "Handshake(Eof)");
                }
            },
        );
    }
}

/// A peer that resets while a large message is under way: who sends is told, and so is who receives.
#[test]
fn a_reset_in_the_middle_of_a_large_message() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet(), |ws, peer| {
            thread::scope(|scope| {
                scope.spawn(|| reset(peer));
                let Err(Error::Io(error)) = ws.send(Message::from(vec![7; 32 << 20])) else {
                    panic!("it was written to nobody");
                };
                let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                assert!(kinds.contains(&error.kind()), "{error:?}");
                assert!(ws.recv_all().0.is_empty());
                assert_eq!(ws.closed(), Some(&Closed::Abnormal));
                assert!(matches!(ws.send("late".into()), Err(Error::Io(_))));
            });
        });
    }
}
