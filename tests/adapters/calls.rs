//! What calls say and do around the end of a connection, and the calls for it: why nothing can be
//! sent any more, `run` to the end, `start_close`, `drain`, pings and pongs of the caller's, text in
//! fragments that are cut anywhere, messages that are cut off. Over every adapter, whole and in
//! halves.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{BOTH, close_body, close_codes, frame, frames, split};
use core::time::Duration;
use fullduplex::{
    Chunk, CloseCause, CloseCode, Closed, Config, Connection, Error, Event, Input, Message, Role,
    SendError, SendErrorReason, Side, TextFragment, TimeoutError, blocking,
    frame::ControlPayload,
    tokio::{Reader, WebSocket, Writer},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    thread,
};
use support::{Script, Step, on_all, on_all_over_tcp, paused, quiet, run, tcp_pair, watchdog};

/// Runs `test` over the async and the blocking halves. Each call is a method of both.
macro_rules! on_halves {
    ($role:expr, $peer:expr, |$reader:ident, $writer:ident, $wait:ident| $test:block) => {{
        let _watchdog = watchdog();
        let role: Role = $role;
        let bytes: Vec<u8> = $peer;
        {
            let runtime = paused();
            let _time = runtime.enter();
            let script = Script::reading([Step::Bytes(bytes.clone()), Step::Eof]);
            let ws = WebSocket::from_parts(script.clone(), role, quiet(), []);
            let ($reader, $writer) = ws.split();
            #[allow(unused_macros)]
            macro_rules! $wait {
                ($call:expr) => {
                    run($call)
                };
            }
            #[allow(unused_mut)]
            let mut $reader = $reader;
            $test
        }
        {
            let (ours, mut theirs) = tcp_pair();
            theirs.write_all(&bytes).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            let ws = blocking::WebSocket::from_parts(ours, role, quiet(), []);
            let ($reader, $writer) = ws.split();
            #[allow(unused_macros)]
            macro_rules! $wait {
                ($call:expr) => {
                    $call
                };
            }
            #[allow(unused_mut)]
            let mut $reader = $reader;
            $test
        }
    }};
}

fn close(role: Role, code: u16, reason: &str) -> Vec<u8> {
    frame(role, 0x88, &close_body(code, reason))
}

fn remote(result: &Result<(), Error>) -> Option<(u16, &str)> {
    match result {
        Err(Error::Closed(cause)) if cause.initiator() == Some(Side::Remote) => {
            Some((cause.code(), cause.reason()))
        }
        _ => None,
    }
}

/// A12: the code and the reason are in the error, and in what it says.
#[test]
fn who_sends_is_told_the_code_and_the_reason() {
    for role in BOTH {
        let bytes = close(role, 1008, "too many");
        on_all(
            role,
            &quiet(),
            || Script::reading([Step::Bytes(bytes.clone())]),
            |ws, script| {
                assert!(matches!(ws.recv_event(), Ok(Some(Event::Close(_)))));
                let fed = ws.feed("late".into()).map_err(Error::from);
                let sent =
                    [ws.send("late".into()), ws.ready(), ws.ping(b"late"), ws.pong(b"late"), fed];
                for result in sent {
                    assert_eq!(remote(&result), Some((1008, "too many")), "{result:?}");
                    let text = result.unwrap_err().to_string();
                    assert_eq!(text, "the peer closed the connection with 1008 too many");
                }
                script.end();
            },
        );
        on_halves!(role, bytes.clone(), |reader, writer, wait| {
            assert!(matches!(wait!(reader.recv()), Ok(None)));
            let clone = writer.clone();
            let fed = clone.feed("late").map_err(Error::from);
            let sent =
                [wait!(writer.send("late")), wait!(clone.ready()), wait!(clone.ping("")), fed];
            for result in sent {
                assert_eq!(remote(&result), Some((1008, "too many")), "{result:?}");
            }
        });
    }
}

/// A12: what the peer chose does not reach a terminal as it is.
#[test]
fn control_characters_of_a_reason_are_escaped() {
    for role in BOTH {
        let mut connection = common::connection(role, Config::default());
        let mut bytes = close(role, 4000, "a\n\u{1b}[2Jé");
        connection.receive(&mut Input::new(&mut bytes)).unwrap();
        let text = connection.feed("late").unwrap_err().to_string();
        assert_eq!(text, "the peer closed the connection with 4000 a\\n\\u{1b}[2Jé");
    }
}

/// A12: a write that fails is told each time, and the end once to who receives.
#[test]
fn a_write_that_failed_is_told_to_each_who_sends() {
    for role in BOTH {
        let script = || {
            let script = Script::new();
            script.state().writes.push_back(Step::Error(ErrorKind::BrokenPipe));
            script
        };
        on_all(role, &quiet(), script, |ws, script| {
            for _ in 0..3 {
                let Err(Error::Io(error)) = ws.send("x".into()) else { panic!() };
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            }
            let SendError { reason, message, .. } = ws.feed("mine".into()).unwrap_err();
            let SendErrorReason::Closed(CloseCause::Io(error)) = reason else { panic!() };
            assert_eq!((error.get().kind(), message), (ErrorKind::BrokenPipe, "mine".into()));
            // What the peer said before is still there, and says more.
            script.arrive([frame(role, 0x81, b"last"), close(role, 1001, "bye")].concat());
            script.end();
            assert_eq!(ws.recv().unwrap(), Some("last".into()));
            assert!(
                matches!(ws.recv(), Err(Error::Unsent(Some(frame))) if frame.reason() == "bye")
            );
            assert!(matches!(ws.recv(), Ok(None)));
            assert_eq!(remote(&ws.send("x".into())), Some((1001, "bye")));
        });
    }
}

/// A12: a flush of what was lost says why.
#[test]
fn a_flush_of_what_was_lost_says_why() {
    let _watchdog = watchdog();
    for role in BOTH {
        for (sends, code) in [(frame(role, 0x83, b""), None), (close(role, 1008, "no"), Some(1008))]
        {
            let runtime = paused();
            runtime.block_on(async {
                let script = Script::reading([Step::Bytes(sends), Step::Eof]);
                script.state().writes.push_back(Step::Stall);
                let mut ws = WebSocket::from_parts(script, role, quiet(), []);
                ws.feed("lost").unwrap();
                assert!(ws.recv().await.is_err(), "after the time for closing");
                for flushed in [ws.flush().await, ws.flush().await] {
                    match (&flushed, code) {
                        (Err(Error::Protocol(_)), None) => {}
                        (Err(Error::Unsent(Some(frame))), Some(code)) => {
                            assert_eq!((u16::from(frame.code()), frame.reason()), (code, "no"));
                            let text = "the peer closed the connection with 1008 no before every \
                                        message was written";
                            assert_eq!(flushed.unwrap_err().to_string(), text);
                        }
                        _ => panic!("{flushed:?}"),
                    }
                }
            });
        }
    }
}

/// B14: a writer that waits for room is told of the end as soon as it has begun, on threads as in
/// tasks. The time for closing, an hour, is not waited for.
#[test]
fn who_waits_for_room_is_told_at_once() {
    let _watchdog = watchdog();
    let hour = Duration::from_secs(3600);
    let config = || quiet().idle_timeout(Duration::from_millis(20)).close_timeout(hour);
    for role in BOTH {
        let (ours, _theirs) = tcp_pair();
        let (_reader, writer) = blocking::WebSocket::from_parts(ours, role, config(), []).split();
        writer.feed(vec![7; 64 << 20]).unwrap();
        let told = writer.send("no room");
        assert!(matches!(told, Err(Error::Timeout(TimeoutError::Idle))), "{told:?}");
        let runtime = paused();
        runtime.block_on(async {
            let script = Script::new();
            script.state().writes.push_back(Step::Stall);
            let (_reader, writer) = WebSocket::from_parts(script, role, config(), []).split();
            writer.feed(vec![7; 64 << 20]).unwrap();
            let told = tokio::time::timeout(hour / 2, writer.send("no room")).await.unwrap();
            assert!(matches!(told, Err(Error::Timeout(TimeoutError::Idle))), "{told:?}");
        });
    }
}

/// A15: the peer sends a burst and resets or closes in the middle of it, answers cannot be written.
/// The handler gets all that came, `run` ends with the cause, and `closed` is set.
#[test]
fn run_goes_on_to_the_end_and_says_why() {
    const MESSAGES: usize = 200;
    type Ends = (fn(Role) -> Vec<u8>, Option<Step>, &'static str, &'static str);
    let ends: [Ends; 4] = [
        (|role| close(role, 1001, "bye"), Some(Step::Eof), "Io(BrokenPipe)", "Unsent 1001"),
        (|_| vec![], Some(Step::Error(ErrorKind::ConnectionReset)), "Io(BrokenPipe)", "1006"),
        (|_| vec![], Some(Step::Eof), "Io(BrokenPipe)", "1006"),
        (|role| frame(role, 0x83, b""), Some(Step::Eof), "Protocol", "Failed"),
    ];
    for role in BOTH {
        for (last, end, told, closed) in &ends {
            let script = || {
                let bytes = [frame(role, 0x82, &[7; 10_000]).repeat(MESSAGES), last(role)].concat();
                let script =
                    Script::reading(bytes.chunks(50_000).map(|part| Step::Bytes(part.into())));
                script.state().reads.extend(end.clone());
                script.state().writes.push_back(Step::Error(ErrorKind::BrokenPipe));
                script
            };
            on_all(role, &quiet(), script, |ws, _| {
                let mut handled = 0;
                let result = ws.run(&mut |message, out| {
                    handled += 1;
                    out.feed(message)
                });
                let seen = match &result {
                    Err(Error::Io(error)) => format!("Io({:?})", error.kind()),
                    Err(Error::Protocol(_)) => "Protocol".into(),
                    other => format!("{other:?}"),
                };
                assert_eq!((handled, &*seen), (MESSAGES, *told));
                let ended = match ws.closed().expect("an end") {
                    Closed::Unsent { frame: Some(frame), .. } => format!("Unsent {}", frame.code()),
                    Closed::Failed(_) => "Failed".into(),
                    other => other.code().to_string(),
                };
                assert_eq!(ended, *closed);
                assert!(matches!(ws.recv(), Ok(None)), "told once");
            });
        }
    }
}

/// A15 over TCP, where the peer resets with much unread.
#[test]
fn run_over_tcp_ends_with_the_cause() {
    for role in BOTH {
        on_all_over_tcp(role, &quiet(), |ws, mut peer| {
            let burst = frame(role, 0x82, &[7; 10_000]).repeat(200);
            let sending = thread::spawn(move || {
                let _ = peer.write_all(&burst);
                let _ = peer.read(&mut [0; 100]); // and drops it with the rest unread
            });
            let result = ws.run(&mut |message, out| out.feed(message));
            assert!(matches!(result, Err(Error::Io(_) | Error::Abnormal)), "{result:?}");
            assert_eq!(ws.closed(), Some(&Closed::Abnormal));
            sending.join().unwrap();
        });
    }
}

/// A15: an error of the handler's own ends `run` at once, and one that says that it has closed the
/// connection itself ends it at the end.
#[test]
fn run_tells_the_handlers_errors_apart() {
    for role in BOTH {
        let bytes = [frame(role, 0x81, b"x").repeat(3), close(role, 1000, "")].concat();
        let script = || Script::reading([Step::Bytes(bytes.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, _| {
            let mut handled = 0;
            let result = ws.run(&mut |message, out| {
                handled += 1;
                match handled {
                    1 => out.start_close(CloseCode::NORMAL),
                    _ => out.feed(message),
                }
            });
            assert!(matches!(result, Err(Error::Closed(CloseCause::Local))), "{result:?}");
            assert!(handled == 3 && ws.closed().unwrap().is_clean());
        });
        on_all(role, &quiet(), script, |ws, _| {
            let mut handled = 0;
            let result = ws.run(&mut |message, out| {
                handled += 1;
                out.start_close(CloseCode::NORMAL)?;
                out.feed(message).map_err(Error::other)
            });
            assert!(matches!(result, Err(Error::Other(_))) && handled == 1, "{result:?}");
            assert!(ws.closed().is_none() && matches!(ws.recv(), Ok(Some(_))));
        });
    }
}

/// B6: closing begins, and what still comes is received.
#[test]
fn a_close_that_does_not_wait() {
    for role in BOTH {
        let bytes = [frame(role, 0x81, b"still"), close(role, 1000, "")].concat();
        let script = || Script::reading([Step::Bytes(bytes.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            assert!(matches!(
                ws.start_close((CloseCode::NORMAL, &"x".repeat(124))),
                Err(Error::Reason(_))
            ));
            ws.start_close((CloseCode::GOING_AWAY, "bye")).unwrap();
            ws.start_close((CloseCode::NORMAL, "again")).unwrap();
            assert!(matches!(ws.send("late".into()), Err(Error::Closed(CloseCause::Local))));
            assert_eq!(ws.recv().unwrap(), Some("still".into()));
            assert_eq!(ws.recv().unwrap(), None);
            assert_eq!(close_codes(&split(role, &script.written())), [1001]);
            assert!(ws.closed().unwrap().is_clean());
        });
        on_halves!(role, bytes.clone(), |reader, writer, wait| {
            writer.start_close((CloseCode::GOING_AWAY, "bye")).unwrap();
            assert!(matches!(wait!(writer.send("late")), Err(Error::Closed(CloseCause::Local))));
            assert_eq!(wait!(reader.recv()).unwrap(), Some("still".into()));
            assert_eq!(wait!(reader.recv()).unwrap(), None);
            assert!(writer.closed().unwrap().is_clean());
        });
    }
}

/// B6: a writer writes the Close at once, although its reader waits in a read.
#[test]
fn a_close_that_does_not_wait_is_written_at_once() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (ours, mut theirs) = tcp_pair();
        let (mut reader, writer) = blocking::WebSocket::from_parts(ours, role, quiet(), []).split();
        thread::scope(|scope| {
            let received = scope.spawn(move || reader.recv());
            writer.start_close(CloseCode::NORMAL).unwrap();
            let mut head = [0; 2];
            theirs.read_exact(&mut head).unwrap();
            assert_eq!(head[0], 0x88);
            theirs.write_all(&close(role, 1000, "")).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            assert!(matches!(received.join().unwrap(), Ok(None)));
        });
        let runtime = paused();
        let _time = runtime.enter();
        let script = Script::new();
        let (_reader, writer) = WebSocket::from_parts(script.clone(), role, quiet(), []).split();
        writer.start_close(CloseCode::NORMAL).unwrap();
        assert_eq!(close_codes(&split(role, &script.written())), [1000]);
    }
}

/// B5: all that comes is discarded, pings are answered, and the end is told.
#[test]
fn draining_receives_to_the_end() {
    for role in BOTH {
        let bytes = [
            frame(role, 0x82, &[7; 100_000]),
            frames(role, &[(0x01, b"a"), (0x89, b"ping"), (0x80, b"b")]),
        ];
        let bytes = [&bytes.concat()[..], &close(role, 1000, "")].concat();
        let config = quiet().max_message_size(10); // nothing is held
        let script = || Script::reading([Step::Bytes(bytes.clone()), Step::Eof]);
        on_all(role, &config, script, |ws, script| {
            ws.drain().unwrap();
            assert!(ws.closed().unwrap().is_clean());
            let written = split(role, &script.written());
            assert_eq!(written[0], (0x8a, b"ping".to_vec()));
            assert!(ws.drain().is_ok() && matches!(ws.recv(), Ok(None)));
        });
        on_all(
            role,
            &quiet(),
            || Script::reading([Step::Eof]),
            |ws, _| {
                assert!(matches!(ws.drain(), Err(Error::Abnormal)));
                assert!(ws.drain().is_ok());
            },
        );
        on_halves!(role, bytes.clone(), |reader, writer, wait| {
            wait!(reader.drain()).unwrap();
            assert!(writer.closed().unwrap().is_clean());
            assert_eq!((writer.stats().pongs_sent, writer.stats().messages_received), (1, 2));
        });
        on_halves!(role, vec![], |reader, writer, wait| {
            assert!(matches!(wait!(reader.drain()), Err(Error::Abnormal)));
            assert!(wait!(reader.drain()).is_ok() && !writer.is_open());
        });
    }
}

/// B5: a reader that drains answers pings while the writer does nothing.
#[test]
fn a_reader_that_drains_answers_while_the_writer_rests() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        let (mut reader, writer) = WebSocket::from_parts(script.clone(), role, quiet(), []).split();
        let mut draining = std::pin::pin!(reader.drain());
        let mut poll = || {
            let cx = &mut core::task::Context::from_waker(core::task::Waker::noop());
            draining.as_mut().poll(cx).is_ready()
        };
        assert!(!poll());
        script.arrive(frame(role, 0x89, b"are you there?"));
        assert!(!poll());
        assert_eq!(split(role, &script.written()), [(0x8a, b"are you there?".to_vec())]);
        drop(writer);
    }
}

/// §5.5.1 forbids data behind a Close and nothing else; §5.5.3: a pong nobody asked for.
#[test]
fn section_5_5_pings_and_pongs_go_out_until_the_peers_close() {
    for role in BOTH {
        let script = || Script::new();
        on_all(role, &quiet(), script, |ws, script| {
            ws.pong(b"alive").unwrap();
            assert!(matches!(ws.pong(&[0; 126]), Err(Error::Ping(_))));
            ws.start_close(CloseCode::NORMAL).unwrap();
            ws.ping(b"late").unwrap();
            ws.pong(b"late").unwrap();
            let kinds: Vec<_> =
                split(role, &script.written()).into_iter().map(|(first, _)| first).collect();
            assert_eq!(kinds, [0x8a, 0x88, 0x89, 0x8a]);
            assert_eq!(
                (ws.stats().pings_sent, ws.stats().pongs_sent, ws.stats().frames_sent),
                (1, 2, 4)
            );
            script.arrive(close(role, 1000, ""));
            assert!(matches!(ws.recv_event(), Ok(Some(Event::Close(_)))));
            assert!(matches!(ws.ping(b""), Err(Error::Closed(CloseCause::Local))));
            assert!(matches!(ws.pong(b""), Err(Error::Closed(CloseCause::Local))));
            script.end();
        });
        let runtime = paused();
        let _time = runtime.enter();
        let script = Script::new();
        let (_reader, writer) = WebSocket::from_parts(script.clone(), role, quiet(), []).split();
        run(writer.pong("alive")).unwrap();
        writer.start_close(CloseCode::NORMAL).unwrap();
        run(writer.ping("late")).unwrap();
        let stats = writer.stats();
        assert_eq!((stats.pings_sent, stats.pongs_sent, stats.frames_sent), (1, 1, 3));
        let (ours, _theirs) = tcp_pair();
        let (_reader, writer) = blocking::WebSocket::from_parts(ours, role, quiet(), []).split();
        writer.pong("alive").unwrap();
        writer.start_close(CloseCode::NORMAL).unwrap();
        writer.ping("late").unwrap();
        let stats = writer.stats();
        assert_eq!((stats.pings_sent, stats.pongs_sent, stats.frames_sent), (1, 1, 3));
        // From a handler.
        let script = || Script::reading([Step::Bytes(frame(role, 0x81, b"x")), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            let _ = ws.run(&mut |_, out| {
                out.ping("one")?;
                out.start_close(CloseCode::NORMAL)?;
                out.pong("two")
            });
            let kinds: Vec<_> =
                split(role, &script.written()).into_iter().map(|(first, _)| first).collect();
            assert_eq!(kinds, [0x89, 0x88, 0x8a]);
        });
    }
}

/// Pings and pongs go between fragments, and count against the limit on what is unsent.
#[test]
fn a_pong_is_refused_where_a_ping_is() {
    for role in BOTH {
        let mut connection = common::connection(role, Config::default().max_unsent(5));
        connection.feed_fragment("abc", false).unwrap();
        let payload = ControlPayload::new(b"x").unwrap();
        assert_eq!(connection.ping(payload), connection.pong(payload));
        assert_eq!(connection.pong(payload), Err(SendErrorReason::Full));
    }
}

/// List C: text in fragments that cut code points, at every place, in every adapter.
#[test]
fn section_5_6_text_may_be_cut_anywhere() {
    let text = "aé€𝄞z";
    for role in BOTH {
        for size in 1..=text.len() {
            on_all(role, &quiet(), Script::new, |ws, script| {
                let mut parts = text.as_bytes().chunks(size).peekable();
                while let Some(part) = parts.next() {
                    ws.send_text_fragment(part, parts.peek().is_none()).unwrap();
                }
                let mut peer = common::connection(common::other(role), Config::default());
                let mut wire = script.written();
                let event = peer.receive(&mut Input::new(&mut wire)).unwrap();
                assert!(
                    matches!(event, Some(Event::Message(message)) if message.as_text() == Some(text))
                );
                assert_eq!(ws.stats().messages_sent, 1);
            });
        }
    }
}

/// List C: what makes the message no UTF-8 is refused with nothing changed, at the first byte that
/// decides it, and so is an end inside of a code point.
#[test]
fn section_8_1_text_that_does_not_complete_is_refused() {
    let part = |connection: &mut Connection, bytes: &[u8], fin| {
        let before = connection.outbox().len();
        let result = connection.feed_fragment(TextFragment(bytes), fin);
        if let Err(error) = &result {
            assert_eq!(connection.outbox().len(), before);
            assert_eq!(error.message, Message::from(bytes), "handed back as bytes");
        }
        result.map_err(|error| error.reason)
    };
    let invalid = Err(SendErrorReason::InvalidUtf8);
    for role in BOTH {
        let mut connection = common::connection(role, Config::default());
        for wrong in [&b"\xff"[..], b"a\x80", b"\xc0\x80", b"\xed\xa0", b"\xf4\x90"] {
            assert_eq!(part(&mut connection, wrong, false), invalid, "{wrong:x?}");
            assert!(!connection.is_in_fragments());
        }
        assert_eq!(part(&mut connection, b"\xe2\x82", true), invalid);
        assert_eq!(part(&mut connection, b"\xe2\x82", false), Ok(()));
        for (next, fin) in [(&b"x"[..], false), (b"", true), (b"\xe2", false), (b"\xacz\xe2", true)]
        {
            assert_eq!(part(&mut connection, next, fin), invalid, "{next:x?}");
        }
        let whole = connection.feed_fragment("x", false).map_err(|error| error.reason);
        assert_eq!(whole, invalid, "it is inside of a code point");
        let binary = connection.feed_fragment(&b"x"[..], false).map_err(|error| error.reason);
        assert_eq!(binary, Err(SendErrorReason::Unfinished));
        assert_eq!(part(&mut connection, b"", false), Ok(()));
        assert_eq!(part(&mut connection, b"\xac", false), Ok(()));
        assert!(connection.feed_fragment("é", true).is_ok());
        assert!(!connection.is_in_fragments());
        connection.feed("next").unwrap();
    }
    // An adapter says the same.
    on_all(Role::Client, &quiet(), Script::new, |ws, script| {
        let Err(Error::Send(refused)) = ws.send_text_fragment(b"\xff", true) else { panic!() };
        assert_eq!(refused.reason, SendErrorReason::InvalidUtf8);
        assert!(script.written().is_empty());
    });
}

/// List C: a relay sends on what it gets, chunk by chunk, also from a stream that waits for room.
#[test]
fn chunks_are_sent_on_as_they_come() {
    let text = "é€𝄞".repeat(1_000);
    for role in BOTH {
        let wire = frame(common::other(role), 0x81, text.as_bytes());
        let mut from = common::connection(role, Config::default());
        let mut from_peer = frame(role, 0x81, text.as_bytes());
        assert_eq!(
            from_peer.len(),
            wire.len() + usize::from(role == Role::Server) * 4
                - usize::from(role == Role::Client) * 4
        );
        let mut to = common::connection(role, Config::default());
        for part in from_peer.chunks_mut(1_001) {
            let mut input = Input::new(part);
            while let Some(Event::Chunk(chunk)) = from.receive_chunk(&mut input).unwrap() {
                let last = chunk.is_last();
                to.feed_fragment(chunk, last).unwrap();
            }
        }
        let mut sent = common::drain(&mut to);
        let mut peer = common::connection(common::other(role), Config::default());
        let event = peer.receive(&mut Input::new(&mut sent)).unwrap();
        assert!(matches!(event, Some(Event::Message(message)) if message.as_text() == Some(&text)));
    }
    // Pieces that nobody has room for at first are still parts of a text.
    let config = || quiet().unsent_mark(1).max_unsent(8);
    let (a, b) = tokio::io::duplex(4);
    let (ws, mut peer) = (
        WebSocket::from_parts(a, Role::Client, config(), []),
        WebSocket::from_parts(b, Role::Server, quiet(), []),
    );
    let pieces = text.as_bytes()[..900].chunks(7).map(TextFragment);
    let sending = async {
        let (_reader, writer) = ws.split();
        writer.send_iter(pieces).await.unwrap();
        writer
    };
    let runtime = paused();
    let (_writer, message) = runtime.block_on(async { tokio::join!(sending, peer.recv()) });
    assert_eq!(message.unwrap().unwrap().as_text(), Some(&text[..900]));
}

/// B11: a Close in the middle of a message. Whoever has a part of it is told once; the counters say
/// so to everybody.
#[test]
fn a_message_that_a_close_cuts_off_is_told() {
    for role in BOTH {
        let bytes = [frame(role, 0x01, b"half of it"), close(role, 1000, "")].concat();
        let script = || Script::reading([Step::Bytes(bytes.clone()), Step::Eof]);
        let chunk = |chunk: Result<Option<Chunk<'_>>, Error>| chunk.unwrap().unwrap().len();
        on_all(role, &quiet(), script, |ws, _| {
            assert_eq!(chunk(ws.recv_chunk()), 10);
            assert!(matches!(ws.recv_chunk(), Err(Error::CutOff)));
            assert!(matches!(ws.recv_chunk(), Ok(None)));
            assert!(ws.closed().unwrap().is_clean());
            assert_eq!(ws.stats().messages_cut_off, 1);
        });
        on_all(role, &quiet(), script, |ws, _| {
            assert!(matches!(ws.recv(), Ok(None)));
            assert_eq!((ws.stats().messages_cut_off, ws.stats().messages_received), (1, 0));
        });
        on_all(role, &quiet(), script, |ws, _| {
            assert_eq!(chunk(ws.recv_chunk()), 10);
            assert!(ws.drain().is_ok(), "it is not wanted");
        });
        on_all(role, &quiet(), script, |ws, _| {
            assert_eq!(chunk(ws.recv_chunk()), 10);
            assert!(ws.close(CloseCode::NORMAL).is_ok(), "it is not wanted");
        });
        on_halves!(role, bytes.clone(), |reader, writer, wait| {
            assert_eq!(chunk(wait!(reader.recv_chunk())), 10);
            assert!(matches!(wait!(reader.recv_chunk()), Err(Error::CutOff)));
            assert!(matches!(wait!(reader.recv_chunk()), Ok(None)));
            assert_eq!(writer.stats().messages_cut_off, 1);
        });
        // A message that is whole is none.
        let whole = [frames(role, &[(0x01, b"a"), (0x80, b"b")]), close(role, 1000, "")].concat();
        let script = || Script::reading([Step::Bytes(whole.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, _| {
            while ws.recv_chunk().unwrap().is_some() {}
            assert_eq!(ws.stats().messages_cut_off, 0);
        });
        // Nor is there one where what comes is only discarded.
        on_all(role, &quiet(), script, |ws, _| {
            ws.close(CloseCode::NORMAL).unwrap();
            assert_eq!(ws.stats().messages_cut_off, 0);
        });
        on_all(role, &quiet(), script, |ws, _| {
            ws.drain().unwrap();
            assert_eq!(ws.stats().messages_cut_off, 0);
        });
    }
}

/// B10: each kind of error becomes one of the standard library's.
#[test]
fn errors_are_errors_of_streams_too() {
    use std::io;
    let kind = |error: Error| io::Error::from(error).kind();
    assert_eq!(kind(Error::Io(ErrorKind::BrokenPipe.into())), ErrorKind::BrokenPipe);
    assert_eq!(kind(Error::Abnormal), ErrorKind::UnexpectedEof);
    assert_eq!(kind(Error::CutOff), ErrorKind::UnexpectedEof);
    assert_eq!(kind(Error::Closed(CloseCause::Local)), ErrorKind::NotConnected);
    assert_eq!(kind(Error::Unsent(None)), ErrorKind::ConnectionAborted);
    let error = io::Error::from(Error::Abnormal);
    assert_eq!(error.to_string(), "the connection ended without a Close frame");
}

/// B10: a stream of messages knows that it is over.
#[test]
fn streams_of_messages_are_fused() {
    use futures_core::stream::FusedStream;
    use futures_util::StreamExt;
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = || Script::reading([Step::Bytes(frame(role, 0x81, b"x")), Step::Eof]);
        let mut ws = WebSocket::from_parts(script(), role, quiet(), []);
        assert!(run(ws.next()).unwrap().is_ok() && !ws.is_terminated());
        assert!(run(ws.next()).unwrap().is_err() && ws.is_terminated());
        assert!(run(ws.next()).is_none());
        let (mut reader, _writer): (Reader<_>, Writer<_>) =
            WebSocket::from_parts(script(), role, quiet(), []).split();
        assert!(run(reader.next()).unwrap().is_ok() && !reader.is_terminated());
        assert!(run(reader.next()).unwrap().is_err() && reader.is_terminated());
    }
}

/// B10: what a message is and says.
#[test]
fn messages_can_be_shown() {
    let (text, binary) = (Message::from("é"), Message::from(b"12345"));
    assert!(text.is_text() && !text.is_binary() && binary.is_binary() && !binary.is_text());
    assert_eq!(
        (format!("{text}"), format!("{text:>3}"), format!("{binary}")),
        ("é".into(), "  é".into(), "5 bytes".into())
    );
    const MINE: CloseCode = CloseCode::from_static(4000);
    assert_eq!(u16::from(MINE), 4000);
}

/// B10: the addresses of a client's connection.
#[test]
fn a_clients_stream_knows_its_addresses() {
    let _watchdog = watchdog();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, addr) = (support::url(&listener), listener.local_addr().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                let ws = blocking::accept(listener.accept().unwrap().0);
                drop(ws.unwrap());
            }
        });
        let ws = blocking::connect(url.as_str()).unwrap();
        assert_eq!(ws.get_ref().peer_addr().unwrap(), addr);
        assert!(ws.get_ref().local_addr().unwrap().ip().is_loopback());
        support::runtime().block_on(async {
            let ws = fullduplex::tokio::connect(url.as_str()).await.unwrap();
            assert_eq!(ws.get_ref().peer_addr().unwrap(), addr);
            assert!(ws.get_ref().local_addr().unwrap().ip().is_loopback());
        });
    });
}
