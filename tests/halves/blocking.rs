//! The halves of a blocking connection, on threads of their own, over loopback TCP.
#![cfg(feature = "std")]

use crate::support::{
    BOTH, Script, Step, close_body, frame, frames, other, quiet, read_all, split, tcp_pair, url,
    watchdog,
};
use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use fullduplex::{
    CloseCode, CloseFrame, Closed, Config, Error, Event, FlushPolicy, Keepalive, Message, Role,
    SendErrorReason, Side, TimeoutError,
    blocking::{self, Duplex, Reader, Timeouts, WebSocket, Writer},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

fn halves(role: Role, config: Config) -> (Reader<TcpStream>, Writer<TcpStream>, TcpStream) {
    let (ours, theirs) = tcp_pair();
    let (reader, writer) = WebSocket::from_parts(ours, role, config, []).split();
    (reader, writer, theirs)
}

/// The peer of `role`, as a connection of ours.
fn peer(role: Role, theirs: TcpStream) -> WebSocket<TcpStream> {
    WebSocket::from_parts(theirs, other(role), quiet(), [])
}

/// The next frame that arrives from `role`: its first byte and its payload, unmasked.
fn next_frame(role: Role, mut stream: &TcpStream) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; 2];
    stream.read_exact(&mut bytes).unwrap();
    let more = match bytes[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    } + if role == Role::Client { 4 } else { 0 };
    let mut rest = vec![0; more];
    stream.read_exact(&mut rest).unwrap();
    let length = match bytes[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes([rest[0], rest[1]])),
        127 => u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize,
        short => usize::from(short),
    };
    bytes.extend(rest);
    let head = bytes.len();
    bytes.resize(head + length, 0);
    stream.read_exact(&mut bytes[head..]).unwrap();
    split(role, &bytes).remove(0)
}

/// Reads frames until one starts with `first`: its payload.
fn skip_to(role: Role, stream: &TcpStream, first: u8) -> Vec<u8> {
    loop {
        let (found, payload) = next_frame(role, stream);
        if found == first {
            return payload;
        }
    }
}

fn pinging() -> Config {
    Config::default().keepalive(Keepalive::every(Duration::from_millis(10)))
}

/// Large enough to fill what the operating system holds for a peer that does not read.
fn huge() -> Message {
    Message::from(vec![7; 64 << 20])
}

#[test]
fn a_reader_that_waits_keeps_no_writer_from_sending() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (mut reader, writer, theirs) = halves(role, quiet());
        let receiver = thread::spawn(move || (reader.recv().unwrap(), reader));
        let mut peer = peer(role, theirs);
        for i in 0..500 {
            writer.send(i.to_string()).unwrap();
            assert_eq!(peer.recv().unwrap(), Some(i.to_string().into()));
        }
        peer.send("at last").unwrap();
        assert_eq!(receiver.join().unwrap().0, Some("at last".into()));
    }
}

/// KNOWN: the deadlock of two ends that both wait in a write.
#[test]
fn a_writer_that_waits_for_the_peer_keeps_no_reader_from_receiving() {
    let _watchdog = watchdog();
    let done = AtomicBool::new(false);
    let (mut reader, writer, mut theirs) = halves(Role::Server, quiet());
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.send(huge()).unwrap();
            done.store(true, Ordering::SeqCst);
        });
        let mut head = [0; 10];
        theirs.read_exact(&mut head).unwrap();
        for i in 0..200 {
            let text = i.to_string();
            theirs.write_all(&frame(Role::Server, 0x81, text.as_bytes())).unwrap();
            theirs.write_all(&frame(Role::Server, 0x89, b"on")).unwrap();
            assert_eq!(reader.recv().unwrap(), Some(text.into()));
        }
        assert!(!done.load(Ordering::SeqCst), "the peer has taken it all");
        let mut rest = vec![0; 64 << 20];
        theirs.read_exact(&mut rest).unwrap();
        assert!(rest.iter().all(|byte| *byte == 7));
        // The reader left its pongs to the writer: the first 16 and, at most, the newest.
        for _ in 0..16 {
            assert_eq!(next_frame(Role::Server, &theirs), (0x8a, b"on".to_vec()));
        }
    });
}

/// What is fed is the reader's to write, and the peer does not take it: it receives all the same.
#[test]
fn a_backlog_keeps_no_reader_from_receiving() {
    let _watchdog = watchdog();
    let (mut reader, writer, mut theirs) = halves(Role::Server, quiet());
    writer.feed(huge()).unwrap();
    for i in 0..5 {
        let text = i.to_string();
        theirs.write_all(&frame(Role::Server, 0x81, text.as_bytes())).unwrap();
        assert_eq!(reader.recv().unwrap(), Some(text.into()));
    }
    let taker = thread::spawn(move || {
        io::copy(&mut (&theirs).take(10 + (64 << 20)), &mut io::sink()).unwrap();
        theirs.write_all(&frame(Role::Server, 0x81, b"thanks")).unwrap();
        theirs
    });
    assert_eq!(reader.recv().unwrap(), Some("thanks".into()));
    assert!(writer.is_ready());
    drop(taker.join().unwrap());
}

/// Everything arrives once, and in order for each writer, though all send at once.
#[test]
fn many_writers_under_load() {
    const WRITERS: usize = 4;
    const MESSAGES: usize = 20_000;
    let _watchdog = watchdog();
    for (role, unsent_limit) in [(Role::Client, 1 << 20), (Role::Server, 256)] {
        let (mut reader, writer, theirs) =
            halves(role, Config::default().unsent_limit(unsent_limit));
        let echo = thread::spawn(move || peer(role, theirs).run(|message, out| out.feed(message)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|id| {
                let writer = writer.clone();
                thread::spawn(move || {
                    for i in 0..MESSAGES {
                        writer.send(format!("{id} {i}")).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; WRITERS];
        for _ in 0..WRITERS * MESSAGES {
            let message = reader.recv().unwrap().unwrap();
            let (id, i) = message.as_text().unwrap().split_once(' ').unwrap();
            let id: usize = id.parse().unwrap();
            assert_eq!(i.parse(), Ok(next[id]), "writer {id}");
            next[id] += 1;
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        writer.close(CloseCode::NORMAL).unwrap();
        assert_eq!(reader.recv().unwrap(), None);
        echo.join().unwrap().unwrap();
    }
}

/// §5.5.2, §5.5.1: with nobody sending, the reader answers pings and the peer's Close.
#[test]
fn section_5_5_2_a_reader_alone_answers() {
    let _watchdog = watchdog();
    for role in BOTH {
        for keep in [true, false] {
            let (mut reader, writer, mut theirs) = halves(role, quiet());
            let writer = keep.then_some(writer);
            let receiver = thread::spawn(move || {
                assert_eq!(reader.recv().unwrap(), Some("hello".into()));
                assert_eq!(reader.recv().unwrap(), None);
                reader
            });
            theirs.write_all(&frame(role, 0x89, b"ping")).unwrap();
            assert_eq!(next_frame(role, &theirs), (0x8a, b"ping".to_vec()));
            theirs.write_all(&frame(role, 0x81, b"hello")).unwrap();
            theirs.write_all(&frame(role, 0x88, &close_body(4000, "bye"))).unwrap();
            assert_eq!(next_frame(role, &theirs), (0x88, close_body(4000, "")));
            theirs.shutdown(Shutdown::Write).unwrap();
            let reader = receiver.join().unwrap();
            let frame = CloseFrame::new(CloseCode::new(4000).unwrap(), "bye").unwrap();
            let clean = Closed::Clean { initiator: Side::Remote, frame: Some(frame) };
            assert_eq!(reader.closed(), Some(clean.clone()));
            if let Some(writer) = writer {
                assert_eq!(writer.closed(), Some(clean));
                assert!(matches!(writer.send("late"), Err(Error::Closed(_))));
            }
        }
    }
}

/// The same with nobody receiving: writers look at what arrives.
#[test]
fn section_5_5_2_a_writer_alone_answers() {
    let _watchdog = watchdog();
    for role in BOTH {
        for reads in [true, false] {
            let (reader, writer, mut theirs) = halves(role, quiet());
            let reader = reads.then_some(reader);
            let peer = thread::spawn(move || {
                if !reads {
                    // In fragments, the last of which is cut off; and longer than a read.
                    theirs.write_all(&frame(role, 0x01, &[b'x'; 100_000])).unwrap();
                    theirs.write_all(&frame(role, 0x89, b"between")).unwrap();
                    assert_eq!(skip_to(role, &theirs, 0x8a), b"between");
                    theirs.write_all(&frame(role, 0x80, &[b'y'; 300])).unwrap();
                }
                let ping = frame(role, 0x89, b"ping");
                theirs.write_all(&ping[..1]).unwrap();
                skip_to(role, &theirs, 0x81);
                theirs.write_all(&ping[1..]).unwrap();
                assert_eq!(skip_to(role, &theirs, 0x8a), b"ping");
                theirs.write_all(&frame(role, 0x88, &close_body(1000, ""))).unwrap();
                assert_eq!(skip_to(role, &theirs, 0x88), close_body(1000, ""));
                theirs
            });
            let end = loop {
                if let Err(end) = writer.send("on") {
                    break end;
                }
            };
            assert!(matches!(end, Error::Closed(_)), "{end:?}");
            drop(peer.join().unwrap());
            writer.close(CloseCode::NORMAL).unwrap();
            assert!(writer.closed().unwrap().is_clean());
            if let Some(mut reader) = reader {
                let mut events = Vec::new();
                while let Some(event) = reader.recv_event().unwrap() {
                    events.push(event);
                }
                let code = CloseFrame::new(CloseCode::NORMAL, "").unwrap();
                assert_eq!(events, [Event::Ping(b"ping".into()), Event::Close(Some(code))]);
            }
        }
    }
}

/// The message that a writer comes across is the reader's, and so is all that follows it.
#[test]
fn what_a_writer_finds_is_kept_for_the_reader() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (mut reader, writer, mut theirs) = halves(role, quiet());
        theirs.write_all(&frame(role, 0x89, b"before")).unwrap();
        let sent = thread::spawn(move || {
            assert_eq!(skip_to(role, &theirs, 0x8a), b"before");
            let drain = theirs.try_clone().unwrap();
            let drain = thread::spawn(move || skip_to(role, &drain, 0x88));
            // More than anybody holds: this waits until the reader takes it.
            for i in 0..1_000_u32 {
                let payload = [&i.to_be_bytes()[..], &[7; 10_000]].concat();
                theirs.write_all(&frame(role, 0x82, &payload)).unwrap();
            }
            theirs.write_all(&frame(role, 0x88, &close_body(1000, ""))).unwrap();
            drain.join().unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            theirs
        });
        // The writer goes on all the time, beside a reader that is mostly away.
        thread::scope(|scope| {
            let sender = scope.spawn(|| while writer.send("on").is_ok() {});
            let mut pings = 0;
            let mut next = 0_u32;
            while let Some(event) = reader.recv_event().unwrap() {
                match event {
                    Event::Message(message) => {
                        let bytes = message.into_message().into_bytes();
                        assert_eq!(bytes[..4], next.to_be_bytes());
                        next += 1;
                        thread::yield_now();
                    }
                    Event::Ping(payload) => {
                        assert_eq!(*payload, *b"before");
                        pings += 1;
                    }
                    other => assert!(matches!(other, Event::Close(_)), "{other:?}"),
                }
            }
            assert_eq!((next, pings), (1_000, 1));
            sender.join().unwrap();
        });
        drop(sent.join().unwrap());
    }
}

/// A flood of pings while the reader is away costs a constant, and shows its newest.
#[test]
fn pings_that_nobody_takes_are_not_piled_up() {
    let _watchdog = watchdog();
    let (mut reader, writer, mut theirs) = halves(Role::Server, quiet());
    let pings: Vec<_> = (0..1000_u32).map(|i| (0x89, i.to_be_bytes())).collect();
    let pings: Vec<_> = pings.iter().map(|(first, bytes)| (*first, &bytes[..])).collect();
    theirs.write_all(&frames(Role::Server, &pings)).unwrap();
    let peer = thread::spawn(move || {
        while skip_to(Role::Server, &theirs, 0x8a) != 999_u32.to_be_bytes() {}
        theirs.shutdown(Shutdown::Write).unwrap();
        io::copy(&mut theirs, &mut io::sink()).unwrap();
    });
    while writer.send("on").is_ok() {}
    let mut seen = Vec::new();
    let end = loop {
        match reader.recv_event() {
            Ok(Some(Event::Ping(payload))) => seen.push(payload.into_owned()),
            end => break end,
        }
    };
    assert!(matches!(end, Err(Error::Abnormal | Error::Io(_))), "{end:?}");
    let last: Vec<_> = (984..1000_u32).map(|i| i.to_be_bytes().to_vec()).collect();
    assert_eq!(seen, last);
    drop((reader, writer));
    peer.join().unwrap();
}

/// A pong shows in the reader's events, whoever read it.
#[test]
fn a_pong_that_a_writer_finds_is_an_event() {
    let _watchdog = watchdog();
    let (mut reader, writer, theirs) = halves(Role::Client, quiet());
    let peer =
        thread::spawn(move || peer(Role::Client, theirs).run(|message, out| out.feed(message)));
    writer.ping("one").unwrap();
    assert!(matches!(writer.ping([0; 126]), Err(Error::Ping(_))));
    for _ in 0..100 {
        writer.send("on").unwrap();
    }
    loop {
        match reader.recv_event().unwrap().unwrap() {
            Event::Pong(payload) => break assert_eq!(*payload, *b"one"),
            Event::Message(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop((reader, writer));
    assert!(peer.join().unwrap().is_err());
}

/// §7.1.2: whatever the reader does, a writer closes.
#[test]
fn section_7_1_2_a_writer_closes() {
    #[derive(Clone, Copy, PartialEq)]
    enum Reads {
        Waits,
        Away,
        Gone,
    }
    let _watchdog = watchdog();
    for role in BOTH {
        for (reads, keepalive) in [
            (Reads::Waits, false),
            (Reads::Waits, true),
            (Reads::Away, false),
            (Reads::Gone, false),
            (Reads::Gone, true),
        ] {
            let config = if keepalive { pinging() } else { quiet() };
            let (mut reader, writer, mut theirs) = halves(role, config);
            let (waits, waiting) = mpsc::channel();
            let peer = thread::spawn(move || {
                if reads == Reads::Waits && keepalive {
                    // Only a reader in a call can have sent it.
                    skip_to(role, &theirs, 0x89);
                }
                waits.send(()).unwrap();
                assert_eq!(skip_to(role, &theirs, 0x88), close_body(1001, "over"));
                theirs.write_all(&frame(role, 0x81, b"late")).unwrap();
                theirs.write_all(&frame(role, 0x88, &close_body(1001, ""))).unwrap();
                if role == Role::Client {
                    theirs.shutdown(Shutdown::Write).unwrap();
                }
                let (_, end) = read_all(&theirs);
                end.unwrap();
            });
            let mut gone = None;
            let receiver = match reads {
                Reads::Waits => Some(thread::spawn(move || {
                    let mut messages = Vec::new();
                    while let Some(message) = reader.recv().unwrap() {
                        messages.push(message);
                    }
                    messages
                })),
                Reads::Away => {
                    gone = Some(reader);
                    None
                }
                Reads::Gone => {
                    drop(reader);
                    None
                }
            };
            waiting.recv().unwrap();
            writer.close((CloseCode::GOING_AWAY, "over")).unwrap();
            assert!(matches!(writer.closed(), Some(Closed::Clean { initiator: Side::Local, .. })));
            writer.close(CloseCode::NORMAL).unwrap();
            assert!(!writer.is_open() && matches!(writer.send("late"), Err(Error::Closed(_))));
            if let Some(receiver) = receiver {
                let messages = receiver.join().unwrap();
                assert_eq!(messages, ["late"]);
            }
            if let Some(mut reader) = gone {
                assert_eq!(reader.recv().unwrap(), Some("late".into()), "it was kept");
                assert_eq!(reader.recv().unwrap(), None);
            }
            peer.join().unwrap();
        }
    }
}

/// What the peer sends before its Close is the reader's, also when that is between two calls.
#[test]
fn closing_loses_no_message_of_a_reader_that_goes_on() {
    let _watchdog = watchdog();
    for role in BOTH {
        for _ in 0..20 {
            let (mut reader, writer, theirs) = halves(role, quiet());
            thread::scope(|scope| {
                scope.spawn(|| peer(role, theirs).run(|message, out| out.feed(message)).unwrap());
                let receiver = scope.spawn(|| {
                    let mut received = 0;
                    while let Some(message) = reader.recv().unwrap() {
                        assert_eq!(message.as_text().unwrap(), received.to_string());
                        received += 1;
                    }
                    received
                });
                for i in 0..100 {
                    writer.send(i.to_string()).unwrap();
                }
                writer.close(CloseCode::NORMAL).unwrap();
                assert_eq!(receiver.join().unwrap(), 100);
            });
        }
    }
}

/// Two threads close, one with a reader's help: both see the end.
#[test]
fn several_close_at_once() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (mut reader, writer, theirs) = halves(role, quiet());
        thread::scope(|scope| {
            scope.spawn(|| peer(role, theirs).run(|message, out| out.feed(message)).unwrap());
            scope.spawn(|| assert_eq!(reader.recv().unwrap(), None));
            for _ in 0..4 {
                let writer = writer.clone();
                scope.spawn(move || writer.close(CloseCode::NORMAL).unwrap());
            }
        });
        assert!(writer.closed().unwrap().is_clean());
    }
}

/// A peer that does not answer our Close: the deadline ends every call, a read without any of its
/// own too.
#[test]
fn a_close_deadline_ends_a_reader_that_waits_for_ever() {
    let _watchdog = watchdog();
    for role in BOTH {
        for stalls in [false, true] {
            let config = quiet().close_timeout(Duration::from_millis(30));
            let (mut reader, writer, theirs) = halves(role, config);
            let late = |end| {
                assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
            };
            thread::scope(|scope| {
                let receiver = scope.spawn(|| (reader.recv().map(|_| ()), reader.recv()));
                let sender = stalls.then(|| {
                    let clone = writer.clone();
                    let (started, start) = mpsc::channel();
                    let sender = scope.spawn(move || {
                        clone.feed(huge()).unwrap();
                        started.send(()).unwrap();
                        clone.flush()
                    });
                    start.recv().unwrap();
                    sender
                });
                late(writer.close(CloseCode::NORMAL));
                let (end, after) = receiver.join().unwrap();
                late(end);
                assert!(matches!(after, Ok(None)), "it is reported once");
                if let Some(sender) = sender {
                    let end = sender.join().unwrap();
                    assert!(end.is_err(), "it was not written");
                }
            });
            assert_eq!(writer.closed(), Some(Closed::TimedOut(TimeoutError::Close)));
            drop(theirs);
        }
    }
}

/// §5.5.2: whoever is driven keeps the connection alive, and gives up a peer that is dead.
#[test]
fn section_5_5_2_either_half_keeps_alive() {
    let _watchdog = watchdog();
    for role in BOTH {
        for reads in [true, false] {
            let keepalive = Keepalive::every(Duration::from_millis(20))
                .pong_timeout(Duration::from_millis(400))
                .slowest_path(u32::MAX);
            let config = quiet().keepalive(keepalive).close_timeout(Duration::from_millis(30));
            let (mut reader, writer, mut theirs) = halves(role, config);
            let peer = thread::spawn(move || {
                for _ in 0..3 {
                    let ping = skip_to(role, &theirs, 0x89);
                    theirs.write_all(&frame(role, 0x8a, &ping)).unwrap();
                }
                // Now it is deaf, but still takes what comes.
                io::copy(&mut theirs, &mut io::sink()).unwrap();
            });
            let end = match reads {
                true => reader.recv().map(|_| ()),
                false => {
                    drop(reader);
                    let closed = loop {
                        if let Err(end) = writer.send("on") {
                            break end;
                        }
                    };
                    assert!(matches!(closed, Error::Closed(_) | Error::Timeout(_)), "{closed:?}");
                    writer.close(CloseCode::NORMAL)
                }
            };
            assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))), "{end:?}");
            drop(writer);
            if reads {
                drop(end);
            }
            peer.join().unwrap();
        }
    }
}

/// KNOWN-FAILURES 48: a send to a peer that takes nothing ends, with and without a reader.
#[test]
fn a_send_to_a_peer_that_takes_nothing_ends() {
    let _watchdog = watchdog();
    for reads in [true, false] {
        let keepalive = Keepalive::every(Duration::from_millis(20))
            .pong_timeout(Duration::from_millis(30))
            .slowest_path(u32::MAX);
        let config =
            Config::default().keepalive(keepalive).close_timeout(Duration::from_millis(30));
        let (mut reader, writer, _theirs) = halves(Role::Server, config);
        let receiver = reads.then(|| thread::spawn(move || reader.recv()));
        let end = loop {
            if let Err(end) = writer.send(Message::from(vec![0; 1 << 20])) {
                break end;
            }
        };
        if let Some(receiver) = receiver {
            let received = receiver.join().unwrap();
            assert!(matches!(received, Err(Error::Timeout(TimeoutError::Pong))), "{received:?}");
            assert!(end.is_timeout() || end.is_closed(), "{end:?}");
        } else {
            assert!(matches!(end, Error::Timeout(TimeoutError::Pong)), "{end:?}");
        }
    }
}

#[test]
fn an_idle_timeout_runs_in_the_reader() {
    let _watchdog = watchdog();
    let config =
        quiet().idle_timeout(Duration::from_millis(20)).close_timeout(Duration::from_millis(20));
    let (mut reader, writer, _theirs) = halves(Role::Server, config);
    assert!(matches!(reader.recv(), Err(Error::Timeout(TimeoutError::Idle))));
    assert_eq!(writer.closed(), Some(Closed::TimedOut(TimeoutError::Idle)));
    assert!(matches!(writer.send("late"), Err(Error::Timeout(_))));
}

/// D10: what a writer has come across while the reader was away is there once they are one again.
#[test]
fn what_a_writer_has_found_is_reunited() {
    let _watchdog = watchdog();
    for role in BOTH {
        let script = Script::reading([
            Step::Bytes([frame(role, 0x89, b"ping"), frame(role, 0x8a, b"pong")].concat()),
            Step::Stall,
            Step::Bytes(frame(role, 0x81, b"text")),
        ]);
        script.state().blocking = true;
        let ws = WebSocket::from_parts(script.clone(), role, quiet(), []);
        let (reader, writer) = ws.split();
        writer.send("x").unwrap();
        assert_eq!(writer.stats().pings_received, 1, "it has looked");
        let (reader, writer) = reader.reunite(writer).unwrap().split();
        let mut ws = reader.reunite(writer).unwrap();
        assert_eq!(ws.recv_event().unwrap(), Some(Event::Ping(b"ping".into())));
        let parts = ws.into_parts();
        assert_eq!(parts.events, [Event::Pong(b"pong".into())]);
        assert_eq!(parts.connection.stats().pings_received, 1);
    }
}

/// §5.4: the messages of others wait for the end of one in fragments; pings do not.
#[test]
fn section_5_4_other_writers_wait_for_the_end_of_a_message() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (reader, writer, theirs) = halves(role, quiet());
        let (first, second) = (writer.clone(), writer.clone());
        writer.send_fragment("a", false).unwrap();
        let unfinished = writer.send("b").unwrap_err();
        let Error::Send(unfinished) = unfinished else { panic!("{unfinished:?}") };
        assert_eq!(unfinished.reason, SendErrorReason::Unfinished);
        assert_eq!(first.feed("c").unwrap_err().reason, SendErrorReason::Unfinished);
        assert!(writer.is_ready() && !first.is_ready());
        let other_kind = writer.send_fragment(vec![1], false);
        assert!(matches!(other_kind, Err(Error::Send(_))), "{other_kind:?}");
        thread::scope(|scope| {
            scope.spawn(|| first.send("whole").unwrap());
            scope.spawn(|| {
                second.ready().unwrap();
                second.send_fragment("x", false).unwrap();
                second.send_fragment("y", true).unwrap();
            });
            first.ping("between").unwrap();
            writer.ready().unwrap();
            writer.send_fragment("d", true).unwrap();
        });
        let sent: Vec<_> = (0..6).map(|_| next_frame(role, &theirs)).collect();
        let expected = |fragment: &[(u8, &[u8])]| {
            fragment.iter().map(|(first, bytes)| (*first, bytes.to_vec())).collect::<Vec<_>>()
        };
        assert_eq!(sent[..3], expected(&[(0x01, b"a"), (0x89, b"between"), (0x80, b"d")]));
        let whole: &[(u8, &[u8])] = &[(0x81, b"whole"), (0x01, b"x"), (0x80, b"y")];
        let after: &[(u8, &[u8])] = &[(0x01, b"x"), (0x80, b"y"), (0x81, b"whole")];
        assert!([expected(whole), expected(after)].contains(&sent[3..].to_vec()), "{sent:?}");
        drop(reader);
    }
}

/// A message that nobody can finish keeps nobody waiting.
#[test]
fn section_5_4_a_writer_that_is_dropped_in_a_message_holds_nobody_up() {
    let _watchdog = watchdog();
    let unfinished = |end| {
        let Err(Error::Send(error)) = end else { panic!("{end:?}") };
        assert_eq!(error.reason, SendErrorReason::Unfinished);
    };
    let (_reader, writer, theirs) = halves(Role::Client, quiet());
    let (first, second) = (writer.clone(), writer.clone());
    writer.send_fragment("a", false).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| unfinished(first.send("b")));
        scope.spawn(|| unfinished(second.send_fragment("c", true)));
        drop(writer);
    });
    first.ping("still").unwrap();
    assert_eq!(next_frame(Role::Client, &theirs), (0x01, b"a".to_vec()));
    assert_eq!(next_frame(Role::Client, &theirs), (0x89, b"still".to_vec()));
    let peer = thread::spawn(move || peer(Role::Client, theirs).recv_chunk());
    first.close(CloseCode::NORMAL).unwrap();
    peer.join().unwrap().unwrap();
}

/// With `BeforeWait` a message is the reader's to write, unless it waits already or is gone.
#[test]
fn before_wait_leaves_writing_to_the_reader() {
    let _watchdog = watchdog();
    for role in BOTH {
        let config = quiet().flush_policy(FlushPolicy::BeforeWait);
        let (mut reader, writer, theirs) = halves(role, config);
        let echo = thread::spawn(move || peer(role, theirs).run(|message, out| out.feed(message)));
        writer.send("a").unwrap();
        writer.send("b").unwrap();
        let receiver = thread::spawn(move || {
            for _ in 0..1002 {
                assert!(reader.recv().unwrap().is_some());
            }
        });
        for i in 0..1000 {
            writer.send(i.to_string()).unwrap();
        }
        receiver.join().unwrap();
        writer.send("now").unwrap();
        writer.close(CloseCode::NORMAL).unwrap();
        echo.join().unwrap().unwrap();
    }
}

#[test]
fn halves_become_one_again() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (mut reader, writer, mut theirs) = halves(role, Config::default());
        let (strange, stranger, _other) = halves(role, quiet());
        theirs.write_all(&frames(role, &[(0x81, b"one"), (0x81, b"two"), (0x02, b"th")])).unwrap();
        assert_eq!(reader.recv().unwrap(), Some("one".into()));
        writer.feed("queued").unwrap();
        let error = reader.reunite(stranger).unwrap_err();
        assert!(strange.reunite(error.writer).is_ok(), "it is as it was");
        let clone = writer.clone();
        let error = error.reader.reunite(writer).unwrap_err();
        drop(clone);
        let mut ws = error.reader.reunite(error.writer).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("two".into()));
        ws.flush().unwrap();
        assert_eq!(next_frame(role, &theirs), (0x81, b"queued".to_vec()));
        // And once more, in the middle of a message in each direction.
        ws.send_fragment("fo", false).unwrap();
        let (mut reader, writer) = ws.split();
        writer.send_fragment("ur", true).unwrap();
        assert_eq!(next_frame(role, &theirs), (0x01, b"fo".to_vec()));
        assert_eq!(next_frame(role, &theirs), (0x80, b"ur".to_vec()));
        theirs.write_all(&frame(role, 0x80, b"ree")).unwrap();
        assert_eq!(reader.recv().unwrap(), Some(Message::from(b"three".to_vec())));
        let stream = reader.reunite(writer).unwrap().into_parts().stream;
        assert_eq!(stream.read_timeout().unwrap(), None);
        assert_eq!(stream.write_timeout().unwrap(), None);
    }
}

#[test]
fn the_stream_lives_as_long_as_a_half() {
    let _watchdog = watchdog();
    let (mut reader, writer, mut theirs) = halves(Role::Server, quiet());
    drop(writer.clone());
    drop(writer);
    theirs.write_all(&frame(Role::Server, 0x81, b"hello")).unwrap();
    assert_eq!(reader.recv().unwrap(), Some("hello".into()));
    assert_eq!(reader.role(), Role::Server);
    assert!(reader.is_open() && reader.get_ref().peer_addr().is_ok());
    drop(reader);
    assert!(read_all(&theirs).0.is_empty());

    let (reader, writer, theirs) = halves(Role::Server, quiet());
    drop(reader);
    writer.send("hello").unwrap();
    drop(writer);
    assert_eq!(read_all(&theirs).0, b"\x81\x05hello");
}

/// A chunk is taken out of a message of any size, though a writer looks at what arrives.
#[test]
fn chunks_are_the_readers_too() {
    let _watchdog = watchdog();
    let config = quiet().max_message_size(1000);
    let (mut reader, writer, mut theirs) = halves(Role::Server, config);
    let payload: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    let sent = payload.clone();
    let peer = thread::spawn(move || {
        let drain = theirs.try_clone().unwrap();
        let drain = thread::spawn(move || io::copy(&mut &drain, &mut io::sink()));
        theirs.write_all(&frame(Role::Server, 0x82, &sent)).unwrap();
        theirs.write_all(&frame(Role::Server, 0x81, b"end")).unwrap();
        (theirs, drain)
    });
    let mut received = Vec::new();
    loop {
        writer.send("on").unwrap();
        let chunk = reader.recv_chunk().unwrap().unwrap();
        received.extend_from_slice(chunk.as_bytes());
        if chunk.is_last() {
            break;
        }
        assert!(matches!(reader.recv(), Err(Error::Unfinished)));
    }
    assert_eq!(received, payload);
    assert_eq!(reader.recv().unwrap(), Some("end".into()));
    drop((reader, writer));
    let (theirs, drain) = peer.join().unwrap();
    let _ = drain.join().unwrap();
    drop(theirs);
}

/// §7.1.7: a violation that a writer comes across is answered with the right code.
#[test]
fn section_7_1_7_a_writer_that_finds_a_violation_fails_the_connection() {
    let _watchdog = watchdog();
    for reads in [true, false] {
        let (reader, writer, mut theirs) = halves(Role::Server, quiet());
        let reader = reads.then_some(reader);
        theirs.write_all(&frame(Role::Server, 0x8b, b"what")).unwrap();
        let peer = thread::spawn(move || {
            let close = skip_to(Role::Server, &theirs, 0x88);
            theirs.shutdown(Shutdown::Both).unwrap();
            close
        });
        while writer.send("on").is_ok() {}
        let end = writer.close(CloseCode::NORMAL);
        assert!(matches!(end, Err(Error::Protocol(_))), "{end:?}");
        assert_eq!(peer.join().unwrap()[..2], 1002_u16.to_be_bytes());
        if let Some(mut reader) = reader {
            assert!(matches!(reader.recv(), Err(Error::Protocol(_))));
            assert!(matches!(reader.recv(), Ok(None)));
        }
    }
}

/// A peer that is gone ends whoever waits.
#[test]
fn a_peer_that_is_gone_ends_every_call() {
    let _watchdog = watchdog();
    let (mut reader, writer, theirs) = halves(Role::Server, quiet());
    thread::scope(|scope| {
        let senders: Vec<_> =
            (0..3).map(|_| scope.spawn(|| while writer.send(huge()).is_ok() {})).collect();
        let receiver = scope.spawn(|| reader.recv());
        (&theirs).read_exact(&mut [0; 10]).unwrap();
        drop(theirs);
        let end = receiver.join().unwrap();
        assert!(matches!(end, Err(Error::Abnormal | Error::Io(_))), "{end:?}");
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
    assert!(writer.flush().is_err(), "something was lost");
    assert_eq!(writer.closed(), Some(Closed::Abnormal));
}

/// A stream of the user's own.
struct Own<H> {
    tcp: TcpStream,
    half: H,
}

/// What [`Own`] does in the place of writing.
trait Writes: Copy {
    fn write(self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize>;
}

struct OwnHalf<'s, H>(&'s TcpStream, H);

impl<H> Read for OwnHalf<'_, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<H: Writes> Write for OwnHalf<'_, H> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<H> Read for Own<H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(buffer)
    }
}

impl<H: Writes> Write for Own<H> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.half.write(&self.tcp, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<H> Timeouts for Own<H> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_write_timeout(timeout)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.tcp.shutdown(Shutdown::Write)
    }
}

impl<H: Writes> Duplex for Own<H> {
    fn half(&self) -> impl Read + Write {
        OwnHalf(&self.tcp, self.half)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.tcp.set_nonblocking(nonblocking)
    }

    fn shutdown_both(&self) -> io::Result<()> {
        self.tcp.shutdown(Shutdown::Both)
    }
}

/// A stream that panics in a write: nobody is left waiting for it.
#[test]
fn a_stream_that_panics_ends_the_connection() {
    #[derive(Clone, Copy)]
    struct Panics;
    impl Writes for Panics {
        fn write(self, _: &TcpStream, _: &[u8]) -> io::Result<usize> {
            panic!("as it is meant to");
        }
    }
    let _watchdog = watchdog();
    for waits in [true, false] {
        let (tcp, theirs) = tcp_pair();
        let ours = Own { tcp, half: Panics };
        let (mut reader, writer) = WebSocket::from_parts(ours, Role::Server, quiet(), []).split();
        let receiver = waits.then(|| thread::spawn(move || (reader.recv(), reader)));
        let clone = writer.clone();
        assert!(thread::spawn(move || clone.send("hello")).join().is_err());
        if let Some(receiver) = receiver {
            let (end, reader) = receiver.join().unwrap();
            assert!(matches!(end, Err(Error::Abnormal)), "{end:?}");
            assert!(reader.reunite(writer.clone()).is_err());
        }
        assert!(matches!(writer.send("hello"), Err(Error::Abnormal)));
        assert!(writer.close(CloseCode::NORMAL).is_err());
        drop(theirs);
    }
}

/// A stream that takes a few bytes at a time: everything arrives once and in order, what is copied
/// and what is shared.
#[test]
fn a_stream_that_takes_little_at_a_time_gets_everything_once() {
    #[derive(Clone, Copy)]
    struct Little(usize);
    impl Writes for Little {
        fn write(self, mut tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
            tcp.write(&bytes[..bytes.len().min(self.0)])
        }
    }
    let _watchdog = watchdog();
    for (role, most) in BOTH.into_iter().flat_map(|role| [(role, 7), (role, 1021)]) {
        let (tcp, theirs) = tcp_pair();
        let ours = Own { tcp, half: Little(most) };
        let config = quiet().unsent_limit(50_000);
        let (mut reader, writer) = WebSocket::from_parts(ours, role, config, []).split();
        let echo = thread::spawn(move || peer(role, theirs).run(|message, out| out.feed(message)));
        thread::scope(|scope| {
            for id in 0..3_u8 {
                let writer = writer.clone();
                scope.spawn(move || {
                    for i in 0..100_u8 {
                        let length = if i % 16 == 0 { 20_000 } else { 2 + usize::from(i) };
                        let mut payload = vec![i; length];
                        payload[0] = id;
                        writer.send(Message::from(payload)).unwrap();
                    }
                });
            }
            let mut next = [0; 3];
            for _ in 0..300 {
                let payload = reader.recv().unwrap().unwrap().into_bytes();
                let next = &mut next[usize::from(payload[0])];
                assert!(payload[1..].iter().all(|byte| byte == next));
                *next += 1;
            }
        });
        writer.close(CloseCode::NORMAL).unwrap();
        echo.join().unwrap().unwrap();
    }
}

/// Every stream that has halves has them, and they may go to any thread.
#[test]
fn streams_of_every_kind_have_halves() {
    fn talk<S: Duplex + Send + Sync, P: Duplex + Send + Sync>(
        ours: WebSocket<S>,
        theirs: WebSocket<P>,
    ) {
        let (mut reader, writer) = ours.split();
        let (mut other_reader, other_writer) = theirs.split();
        thread::scope(|scope| {
            let writer = &writer;
            scope.spawn(move || writer.send("hello").unwrap());
            scope.spawn(move || {
                let message = other_reader.recv().unwrap().unwrap();
                other_writer.send(message).unwrap();
                assert_eq!(other_reader.recv().unwrap(), None);
            });
            assert_eq!(reader.recv().unwrap(), Some("hello".into()));
            writer.close(CloseCode::NORMAL).unwrap();
        });
    }
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = url(&listener);
    let server = thread::spawn(move || blocking::accept(listener.accept().unwrap().0).unwrap());
    let client = blocking::connect(target).unwrap();
    let ws = client;
    assert!(ws.response().is_some());
    talk(ws, server.join().unwrap());

    let (ours, theirs) = tcp_pair();
    talk(
        WebSocket::from_parts(&ours, Role::Server, Config::default(), []),
        WebSocket::from_parts(&theirs, Role::Client, Config::default(), []),
    );
    #[cfg(unix)]
    {
        use std::os::unix::net::UnixStream;
        let (ours, theirs) = UnixStream::pair().unwrap();
        talk(
            WebSocket::from_parts(ours, Role::Server, Config::default(), []),
            WebSocket::from_parts(theirs, Role::Client, Config::default(), []),
        );
        let (ours, theirs) = UnixStream::pair().unwrap();
        talk(
            WebSocket::from_parts(&ours, Role::Server, Config::default(), []),
            WebSocket::from_parts(&theirs, Role::Client, Config::default(), []),
        );
    }
}

#[cfg(feature = "deflate")]
#[test]
fn messages_choose_whether_to_be_compressed() {
    use fullduplex::deflate::{Compression, Deflate};
    let _watchdog = watchdog();
    let config = || quiet().deflate(Deflate::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = url(&listener);
    let server = thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut ws =
            blocking::accept_with(stream, &fullduplex::AcceptPolicy::new(), config()).unwrap();
        let mut messages = Vec::new();
        while let Some(message) = ws.recv().unwrap() {
            messages.push(message);
        }
        messages
    });
    let (_, writer) = blocking::connect_with(target, config()).unwrap().split();
    let text = "to be or not to be ".repeat(100);
    writer.send(Compression::Always.of(text.as_str())).unwrap();
    writer.feed(Compression::Never.of(text.as_str())).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| writer.send(text.as_str()).unwrap());
        }
    });
    writer.close(CloseCode::NORMAL).unwrap();
    assert_eq!(server.join().unwrap(), vec![Message::from(text); 4]);
}

/// The source forms of a writer: each message whole, whatever clones send meanwhile.
#[cfg(feature = "testing")]
#[test]
fn writers_send_from_sources_at_the_same_time() {
    let _watchdog = watchdog();
    let (ours, theirs) = fullduplex::testing::blocking_pair(Config::default());
    let (_reader, writer) = ours.split();
    let mut senders = Vec::new();
    for sender in 0..4_u8 {
        let writer = writer.clone();
        senders.push(thread::spawn(move || {
            for _ in 0..10 {
                writer.send_iter((0..3).map(|_| vec![sender; 5])).unwrap();
                assert_eq!(writer.send_reader(&[sender; 100][..]).unwrap(), 100);
                writer.send_fragment([sender].as_slice(), false).unwrap();
                assert!(writer.is_in_fragments());
                writer.send_fragment([sender].as_slice(), true).unwrap();
                assert!(!writer.is_in_fragments());
            }
        }));
    }
    let mut theirs = theirs;
    let mut lengths = [0, 0, 0];
    for _ in 0..4 * 10 * 3 {
        let message = theirs.recv().unwrap().unwrap();
        let bytes = message.as_bytes();
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "one inside another");
        lengths[[15, 100, 2].iter().position(|length| *length == bytes.len()).unwrap()] += 1;
    }
    assert_eq!(lengths, [40; 3]);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    // Another's message in the middle keeps a fragment out at once.
    writer.feed_fragment("a", false).unwrap();
    let clone = writer.clone();
    assert_eq!(clone.feed_fragment("b", true).unwrap_err().reason, SendErrorReason::Unfinished);
    writer.feed_fragment("c", true).unwrap();
    clone.feed_fragment("d", true).unwrap();
    writer.flush().unwrap();
    assert_eq!(theirs.recv().unwrap().unwrap(), "ac");
    assert_eq!(theirs.recv().unwrap().unwrap(), "d");
}
