//! All adapters over a stream that follows a script, case by case: what is read, written and
//! reported, how a connection ends, what is held in memory, and how many reads and writes all of
//! that takes. The laws are in `laws/adapters.rs`.
#![cfg(feature = "tokio")]

use crate::{common, support};

use bytes::Bytes;
use common::{BOTH, Seen, close_body, close_codes, frame, frame_with, frames, head, split};
use fullduplex::{
    CloseCode, Closed, Config, Error, Event, FlushPolicy, Message, ProtocolErrorKind, Role,
    SendErrorReason, Side, blocking,
};
use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use support::{Script, Step, Woken, on_all, paused, poll_times, quiet, run, tokio_over, watchdog};

fn clean(closed: Option<&Closed>) -> bool {
    closed.is_some_and(Closed::is_clean)
}

/// The bytes that an endpoint wrote, all of which reached its peer.
#[track_caller]
fn all_written(script: &Script) -> Vec<u8> {
    assert!(script.is_flushed(), "something is left in the stream's own buffer");
    script.written()
}

/// One byte or a wait at each step of both directions: for every number of polls, a future that
/// is dropped after that many has lost nothing.
#[test]
fn every_number_of_polls() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let wire = frames(
            role,
            &[(0x81, "é1".as_bytes()), (0x89, b"p"), (0x02, b"a"), (0x80, b"b"), (0x88, b"")],
        );
        let script = || {
            let waits = |byte: &u8| [Step::Pending, Step::Bytes(vec![*byte])];
            let script = Script::reading(wire.iter().flat_map(waits).chain([Step::Eof]));
            let one = [Step::Pending, Step::Count(1)];
            script.state().writes = one.iter().cycle().take(200).cloned().collect();
            script.state().flushes = [Step::Pending, Step::Count(0)].into();
            script
        };
        let mut longest = 0;
        for polls in 1..200 {
            let script = script();
            let mut ws = tokio_over(&script, role, quiet());
            let mut received = Vec::new();
            loop {
                match poll_times(ws.recv(), polls) {
                    None => longest = polls,
                    Some(Ok(Some(message))) => received.push(message),
                    Some(end) => break assert!(end.is_ok(), "{end:?}"),
                }
            }
            assert_eq!(received, [Message::from("é1"), Message::from(&b"ab"[..])]);
            let answers = [(0x8a, b"p".to_vec()), (0x88, Vec::new())];
            assert_eq!(split(role, &script.written()), answers);
        }
        assert!(longest > 3, "the script has hardly a wait");
    }
}

/// KNOWN-FAILURES 5: writes of one byte while a pong is under way end after a number of steps
/// that the bytes explain.
#[test]
fn pongs_written_byte_by_byte_end() {
    for role in BOTH {
        let wire = frame(role, 0x89, &[7; 125]).repeat(16);
        let script = || {
            let script = Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
            script.state().writes = vec![Step::Count(1); 5_000].into();
            script
        };
        on_all(role, &quiet(), script, |ws, script| {
            assert!(matches!(ws.recv(), Err(Error::Abnormal)));
            let state = script.state();
            let pongs = split(role, &state.written);
            assert_eq!(pongs, vec![(0x8a, vec![7; 125]); 16]);
            assert_eq!(state.write_calls, state.written.len());
        });
    }
}

// How many reads and writes

const BATCH: usize = 100;

fn batch(role: Role) -> Vec<u8> {
    let payloads: Vec<Vec<u8>> = (0..BATCH).map(|i| vec![i as u8; 16]).collect();
    payloads.iter().flat_map(|payload| frame(role, 0x82, payload)).collect()
}

/// One read and one write for a batch, with `run` and with `recv` and `feed`. The second
/// read is the one that finds the end.
#[test]
fn one_read_and_one_write_for_a_batch() {
    for role in BOTH {
        let script = || Script::reading([Step::Bytes(batch(role)), Step::Eof]);
        let check = |script: &Script, what: &str| {
            let state = script.state();
            let figures = (state.read_calls, state.write_calls, state.flush_calls);
            println!("{what}, {role:?}, {BATCH} messages: reads, writes, flushes {figures:?}");
            assert_eq!(figures, (2, 1, 1), "{what}");
            assert_eq!(split(role, &state.written).len(), BATCH);
            assert_eq!(state.vectored_calls, 0, "contiguous bytes are written as such");
        };
        on_all(role, &quiet(), script, |ws, script| {
            assert!(matches!(ws.echo(), Err(Error::Abnormal)));
            check(script, "run and feed");
        });
        on_all(role, &quiet(), script, |ws, script| {
            while let Ok(Some(message)) = ws.recv() {
                ws.feed(message).unwrap();
            }
            check(script, "recv and feed");
        });
        let before_wait = quiet().flush_policy(FlushPolicy::BeforeWait);
        on_all(role, &before_wait, script, |ws, script| {
            while let Ok(Some(message)) = ws.recv() {
                ws.send(message).unwrap();
            }
            check(script, "recv and send, BeforeWait");
        });
    }
}

/// A batch that is waited for: what was fed is written before the wait, once, and the wait is one
/// read.
#[test]
fn what_was_fed_is_written_before_a_wait() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::reading([Step::Bytes(batch(role))]);
        let mut ws = tokio_over(&script, role, quiet());
        for _ in 0..BATCH {
            let message = run(ws.recv()).unwrap().unwrap();
            ws.feed(message).unwrap();
        }
        assert_eq!(script.state().write_calls, 0);
        assert!(poll_times(ws.recv(), 1).is_none());
        let state = script.state();
        assert_eq!((state.read_calls, state.read_waits, state.write_calls), (1, 1, 1));
    }
}

#[test]
fn strict_send_is_one_write_and_one_flush_per_message() {
    for role in BOTH {
        let script = || Script::reading([Step::Bytes(batch(role)), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            let mut sent = 0;
            while let Ok(Some(message)) = ws.recv() {
                ws.send(message).unwrap();
                sent += 1;
                assert_eq!(split(role, &all_written(script)).len(), sent);
            }
            let state = script.state();
            assert_eq!((sent, state.write_calls, state.flush_calls), (BATCH, BATCH, BATCH));
        });
    }
}

/// With `BeforeWait` nothing is written until something waits, or the mark is reached.
#[test]
fn before_wait_writes_at_the_mark_and_at_a_flush() {
    let config = quiet().flush_policy(FlushPolicy::BeforeWait).max_unsent(100);
    on_all(Role::Server, &config, Script::new, |ws, script| {
        for _ in 0..2 {
            ws.send(Message::from(vec![0; 60])).unwrap();
        }
        assert_eq!(script.written(), []);
        ws.send(Message::from(vec![0; 60])).unwrap();
        assert_eq!(script.written().len(), 2 * 62);
        ws.flush().unwrap();
        assert_eq!(all_written(script).len(), 3 * 62);
        ws.send(Message::from(vec![0; 60])).unwrap();
        ws.ping(b"at once").unwrap();
        assert_eq!(all_written(script).len(), 4 * 62 + 9);
    });
}

/// Payloads that are shared are not copied: they go out as slices of their own where the stream
/// gathers well, one after the other where it does not.
#[test]
fn large_shared_payloads_are_gathered() {
    for vectored in [true, false] {
        let script = || {
            let script = Script::new();
            script.state().vectored = vectored;
            script
        };
        on_all(Role::Server, &quiet(), script, |ws, script| {
            for i in 0..3 {
                ws.feed(Message::from(vec![i; 100_000])).unwrap();
                ws.feed(Message::from(vec![i; 10])).unwrap();
            }
            ws.flush().unwrap();
            let expected: Vec<_> =
                (0..3).flat_map(|i| [(0x82, vec![i; 100_000]), (0x82, vec![i; 10])]).collect();
            assert_eq!(split(Role::Server, &all_written(script)), expected);
            if vectored {
                assert_eq!(script.state().write_calls, 1);
            }
        });
    }
}

/// KNOWN-FAILURES 47: a payload is let go of as soon as it is written.
#[test]
fn a_sent_payload_is_dropped_once_it_is_written() {
    struct Owner(Vec<u8>, Arc<AtomicBool>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.store(true, Ordering::SeqCst);
        }
    }
    for role in BOTH {
        for size in [10, 100_000] {
            on_all(role, &quiet(), Script::new, |ws, script| {
                let dropped = Arc::new(AtomicBool::new(false));
                let payload = Bytes::from_owner(Owner(vec![1; size], dropped.clone()));
                ws.send(Message::Binary(payload)).unwrap();
                assert!(dropped.load(Ordering::SeqCst));
                assert_eq!(split(role, &all_written(script)), [(0x82, vec![1; size])]);
            });
        }
    }
}

/// KNOWN-FAILURES 6, §5.3: a key of its own for each frame, also through an adapter.
#[test]
fn section_5_3_every_frame_of_a_client_has_its_own_key() {
    on_all(Role::Client, &quiet(), Script::new, |ws, script| {
        for _ in 0..10_000 {
            ws.feed(Message::from("")).unwrap();
        }
        ws.flush().unwrap();
        let written = script.written();
        let keys: std::collections::BTreeSet<_> =
            written.chunks(6).map(|frame| frame[2..].to_vec()).collect();
        assert_eq!(written.len(), 60_000);
        // 10,000 of 2^32: 0.01 repeats are to be expected.
        assert!(keys.len() >= 9_997, "{}", keys.len());
    });
}

// Streams that fail

/// KNOWN-FAILURES 24, §7.1.7: what came in front of a violation is delivered, nothing behind it,
/// the error once; the peer is told.
#[test]
fn section_7_1_7_nothing_comes_behind_a_violation() {
    for role in BOTH {
        let wrong = frame_with(0x81, b"wrong", (role == Role::Client).then_some(common::KEY));
        let wire = [frame(role, 0x81, b"good"), wrong, frame(role, 0x81, b"late")].concat();
        for step in [1, 3, wire.len()] {
            let script = || {
                let reads = wire.chunks(step).map(|piece| Step::Bytes(piece.to_vec()));
                Script::reading(reads.chain([Step::Eof]))
            };
            on_all(role, &quiet(), script, |ws, script| {
                let (received, end) = ws.recv_all();
                assert_eq!(received, [Message::from("good")]);
                let Err(Error::Protocol(error)) = end else { panic!("{end:?}") };
                let expected = match role {
                    Role::Server => matches!(error.kind(), ProtocolErrorKind::Unmasked(_)),
                    Role::Client => matches!(error.kind(), ProtocolErrorKind::Masked(_)),
                };
                assert!(expected, "{error:?}");
                assert_eq!(close_codes(&split(role, &all_written(script))), [1002]);
                assert!(script.shut_behind_all());
                assert!(matches!(ws.recv(), Ok(None)));
                assert_eq!(ws.closed(), Some(&Closed::Failed(error)));
                assert_eq!(ws.closed().unwrap().code(), 1006);
                assert!(matches!(ws.send("x".into()), Err(Error::Protocol(_))));
            });
        }
    }
}

/// A read that fails: what came before is delivered, then the error comes once.
#[test]
fn a_failed_read_is_reported_once() {
    for role in BOTH {
        let script = || {
            Script::reading([
                Step::Bytes(frame(role, 0x81, b"before")),
                Step::Error(ErrorKind::ConnectionReset),
                Step::Bytes(frame(role, 0x81, b"behind")),
            ])
        };
        on_all(role, &quiet(), script, |ws, _| {
            let (received, end) = ws.recv_all();
            assert_eq!(received, [Message::from("before")]);
            let Err(error @ Error::Io(_)) = end else { panic!("{end:?}") };
            assert!(error.is_closed() && !error.is_peer_fault() && !error.is_timeout());
            assert!(matches!(ws.recv(), Ok(None)));
            assert_eq!(ws.closed(), Some(&Closed::Abnormal));
            assert!(matches!(ws.send("x".into()), Err(Error::Io(_))));
        });
    }
}

/// A write that fails does not keep from reading what is there, the peer's Close included
/// (§7.1.5); zero bytes taken are a failure.
#[test]
fn a_failed_write_leaves_what_came_to_be_read() {
    let failures = [Step::Error(ErrorKind::BrokenPipe), Step::Count(0)];
    for (role, failure) in BOTH.into_iter().flat_map(|role| failures.clone().map(|f| (role, f))) {
        let wire = frames(role, &[(0x81, b"there"), (0x88, b"\x03\xe9")]);
        let script = || {
            let script = Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
            script.state().writes.push_back(failure.clone());
            script
        };
        on_all(role, &quiet(), script, |ws, _| {
            let Err(Error::Io(error)) = ws.send("lost".into()) else { panic!() };
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::WriteZero));
            assert_eq!(ws.recv().unwrap(), Some("there".into()));
            // A message that was accepted is lost: the end says so.
            assert!(matches!(ws.recv(), Err(Error::Unsent(_))));
            assert!(matches!(ws.closed(), Some(Closed::Unsent { .. })));
            assert_eq!(ws.closed().unwrap().code(), 1001);
            assert!(matches!(ws.recv(), Ok(None)));
        });
        on_all(role, &quiet(), script, |ws, _| {
            // Here it is only our answer to the Close that is lost.
            let (received, end) = ws.recv_all();
            assert_eq!(received, [Message::from("there")]);
            assert!(end.is_ok(), "{end:?}");
            assert!(clean(ws.closed()));
        });
    }
}

/// A clean end is not reported while the stream itself still holds messages back: they are flushed
/// first, also when the peer has hung up its side already.
#[test]
fn a_clean_end_comes_behind_the_flush() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let wire = frames(role, &[(0x81, b"echo me"), (0x88, b"")]);
        let script = Script::reading([Step::Bytes(wire), Step::Pending, Step::Eof]);
        script.state().flushes = vec![Step::Pending; 5].into();
        let mut ws = tokio_over(&script, role, quiet());
        run(ws.run(|message, out| out.feed(message))).unwrap();
        assert_eq!(split(role, &all_written(&script)).len(), 2);
    }
}

/// A message that was accepted and that the end of the connection kept from being written is not
/// reported as flushed.
#[test]
fn a_flush_of_what_was_lost_is_not_a_success() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let mut ws = tokio_over(&script, role, quiet());
        ws.feed("lost").unwrap();
        assert!(poll_times(ws.flush(), 1).is_none());
        script.end();
        assert!(matches!(run(ws.recv()), Err(Error::Abnormal)));
        let flushed = run(ws.flush());
        assert!(flushed.is_err(), "{:?} of {:?}", flushed, script.written());
    }
}

// How a connection ends

/// §7.1.1, §7.1.5: each way of ending, and what it is called.
#[test]
fn section_7_1_5_each_way_of_ending_has_a_name() {
    for role in BOTH {
        // The peer closes.
        let reads = |body: &[u8]| {
            let wire = frame(role, 0x88, body);
            move || Script::reading([Step::Bytes(wire.clone()), Step::Eof])
        };
        let body = close_body(4001, "why");
        on_all(role, &quiet(), reads(&body), |ws, script| {
            let event = ws.recv_event().unwrap();
            assert!(matches!(&event, Some(Event::Close(Some(frame))) if frame.reason() == "why"));
            assert_eq!(ws.closed(), None);
            assert!(matches!(ws.recv_event(), Ok(None)));
            let closed = ws.closed().unwrap();
            assert!(matches!(closed, Closed::Clean { initiator: Side::Remote, .. }));
            assert_eq!((closed.code(), closed.reason()), (4001, "why"));
            assert_eq!(split(role, &all_written(script)), [(0x88, b"\x0f\xa1".to_vec())]);
            // It is over: there is nothing left to close, and nothing can be sent.
            assert!(ws.close(CloseCode::NORMAL).is_ok());
            assert!(matches!(ws.send("x".into()), Err(Error::Closed(_))));
            assert!(matches!(ws.ready(), Err(Error::Closed(_))));
            assert!(matches!(ws.ping(b"x"), Err(Error::Closed(_))));
            let refused = ws.feed("mine".into()).unwrap_err();
            assert!(matches!(refused.reason, SendErrorReason::Closed(_)));
            assert_eq!(refused.message, Message::from("mine"));
            assert_eq!(close_codes(&split(role, &script.written())), [4001]);
        });
        on_all(role, &quiet(), reads(b""), |ws, _| {
            assert!(ws.recv_all().1.is_ok());
            assert_eq!(ws.closed().unwrap().code(), 1005);
        });

        // We close; what still comes is discarded.
        let wire = frames(role, &[(0x81, b"late"), (0x89, b"p"), (0x88, &close_body(1000, ""))]);
        let script = || Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            ws.close((CloseCode::GOING_AWAY, "so long")).unwrap();
            let closed = ws.closed().unwrap();
            assert!(matches!(closed, Closed::Clean { initiator: Side::Local, .. }));
            assert_eq!(closed.code(), 1000);
            let written = split(role, &all_written(script));
            assert_eq!(written[0], (0x88, close_body(1001, "so long")));
            // §5.5.3: a pong is still due before the peer's Close has come.
            assert_eq!(written[1..], [(0x8a, b"p".to_vec())]);
            assert!(matches!(ws.recv(), Ok(None)));
        });

        // A reason that is too long changes nothing.
        on_all(role, &quiet(), Script::new, |ws, script| {
            let long = "x".repeat(124);
            assert!(matches!(ws.close((CloseCode::NORMAL, &long)), Err(Error::Reason(_))));
            assert!(matches!(ws.ping(&[0; 126]), Err(Error::Ping(_))));
            assert_eq!(script.written(), []);
            ws.send("still open".into()).unwrap();
        });
    }
}

/// §7.1.1: who hangs up first. A server shuts its side down at once; a client waits for that, and
/// hangs up itself only when the time is up.
#[test]
fn section_7_1_1_the_server_hangs_up_first() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::reading([Step::Bytes(frame(role, 0x88, b""))]);
        let mut ws = tokio_over(&script, role, quiet());
        assert!(poll_times(ws.recv(), 5).is_none());
        let shut_at = script.state().shut_at;
        match role {
            Role::Server => assert_eq!(shut_at, Some(script.written().len())),
            Role::Client => assert_eq!(shut_at, None),
        }
        script.end();
        assert!(matches!(run(ws.recv()), Ok(None)));
    }
}

/// A shutdown that takes its time, as that of TLS does, does not end the connection early.
#[test]
fn a_shutdown_that_waits_is_waited_for() {
    let script = || {
        let script = Script::reading([
            Step::Bytes(frame(Role::Server, 0x88, b"")),
            Step::Pending,
            Step::Pending,
            Step::Pending,
            Step::Eof,
        ]);
        script.state().shutdowns = [Step::Pending, Step::Pending].into();
        script
    };
    let runtime = paused();
    let _time = runtime.enter();
    let script = script();
    let mut ws = tokio_over(&script, Role::Server, quiet());
    assert!(matches!(run(ws.recv()), Ok(None)));
    assert_eq!(script.state().shutdown_calls, 1);
}

/// The same behind a violation with more input in the same read.
#[test]
fn a_shutdown_that_waits_behind_a_violation() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let wrong = frame_with(0x81, b"wrong", (role == Role::Client).then_some(common::KEY));
        let reads = [wrong, frame(role, 0x81, b"late")].concat();
        let waits = vec![Step::Pending; 20];
        let reads = [Step::Bytes(reads)].into_iter().chain(waits).chain([Step::Eof]);
        let script = Script::reading(reads);
        script.state().writes = [Step::Pending, Step::Count(3), Step::Pending].into();
        script.state().flushes = vec![Step::Pending; 2].into();
        script.state().shutdowns = vec![Step::Pending; 2].into();
        let mut ws = tokio_over(&script, role, quiet());
        assert!(matches!(run(ws.recv()), Err(Error::Protocol(_))));
        assert_eq!(close_codes(&split(role, &all_written(&script))), [1002]);
        assert!(script.shut_behind_all());
    }
}

// What is held in memory

/// KNOWN-FAILURES 3: what is fed to a peer that takes nothing stops at the limit, and the message
/// is handed back.
#[test]
fn feeding_stops_at_the_limit() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let mut ws = tokio_over(&script, role, quiet().max_unsent(10_000));
        let mut fed = 0;
        let refused = loop {
            match ws.feed(vec![1; 100]) {
                Ok(()) => fed += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.reason, SendErrorReason::Full);
        assert_eq!(refused.message, Message::from(vec![1; 100]));
        assert!((90..=100).contains(&fed), "{fed}");
        assert!(poll_times(ws.ready(), 3).is_none());
        assert!(poll_times(ws.send("more"), 3).is_none());
        script.go_on(|state| state.writes = [Step::Count(5_000), Step::Stall].into());
        assert!(matches!(poll_times(ws.ready(), 1), Some(Ok(()))), "there is room again");
        ws.feed("more").unwrap();
    }
}

/// Between the mark and the limit: `send` and `ready` wait, `feed` goes on, and what is not written
/// is known, while there is a connection and after it.
#[test]
fn sending_waits_at_the_mark_and_feeding_does_not() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let mut ws = tokio_over(&script, role, quiet().unsent_mark(1_000).max_unsent(10_000));
        ws.feed(vec![1; 1_000]).unwrap();
        assert!(!ws.is_ready());
        assert!(poll_times(ws.ready(), 3).is_none());
        assert!(poll_times(ws.send("not taken along"), 3).is_none());
        assert!(poll_times(ws.ping("not taken along"), 3).is_none());
        ws.feed(vec![2; 1_000]).unwrap();
        assert_eq!(ws.unsent().messages, 2);
        script.go_on(|state| state.writes = [Step::Count(1_100), Step::Stall].into());
        assert!(matches!(poll_times(ws.ready(), 1), Some(Ok(()))), "there is room again");
        assert!((900..1_000).contains(&ws.unsent().bytes));
        assert_eq!(ws.unsent().messages, 1);
        ws.feed("third").unwrap();
        script.go_on(|state| state.writes = [Step::Error(ErrorKind::BrokenPipe)].into());
        script.end();
        assert!(run(ws.flush()).is_err());
        let _ = run(ws.recv());
        assert!(matches!(ws.closed(), Some(Closed::Abnormal)), "{:?}", ws.closed());
        assert_eq!(ws.unsent().messages, 2);
    }
}

/// A large message in fragments over both adapters: all of it is written, a Close behind it, and
/// the pongs in between.
#[test]
fn large_messages_go_out_in_fragments() {
    for role in BOTH {
        for fault in [None, Some(ErrorKind::BrokenPipe)] {
            let script = || {
                let script = Script::reading([Step::Bytes(frame(role, 0x89, b"?"))]);
                script.arrive(frame(role, 0x88, b""));
                script.end();
                let mut writes: Vec<_> = core::iter::repeat_n(Step::Count(1_000), 100).collect();
                writes.extend(fault.map(Step::Error));
                script.state().writes = writes.into();
                script
            };
            on_all(role, &quiet().max_sent_frame(1_000), script, |ws, script| {
                ws.feed(Message::from(vec![6; 1_000_000])).unwrap();
                let end = ws.recv();
                if fault.is_some() {
                    assert!(matches!(end, Err(Error::Io(_))), "{end:?}");
                    assert!(matches!(ws.closed(), Some(Closed::Unsent { .. } | Closed::Abnormal)));
                    return;
                }
                assert!(matches!(end, Ok(None)), "{end:?}");
                assert!(clean(ws.closed()));
                let frames = split(role, &all_written(script));
                assert_eq!(frames.len(), 1_002);
                assert_eq!(frames[1_001], (0x88, vec![]));
                assert_eq!(frames.iter().filter(|(first, _)| *first == 0x8a).count(), 1);
            });
        }
    }
}

/// `run` does not read on while the peer does not take its answers: no more is held than the
/// mark and the answers to one message.
#[test]
fn run_stops_reading_while_answers_wait() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        for _ in 0..1_000 {
            script.arrive(frame(role, 0x82, &[5; 1_000]));
        }
        let mut ws = tokio_over(&script, role, quiet().max_unsent(10_000));
        let mut handled = 0;
        let echo = ws.run(|message, out| {
            handled += 1;
            out.feed(message)
        });
        let mut echo = Box::pin(echo);
        let (woken, waker) = Woken::new();
        let mut cx = core::task::Context::from_waker(&waker);
        assert!(echo.as_mut().poll(&mut cx).is_pending());
        let left = script.state().reads.len();
        assert!((985..=991).contains(&left), "{left} of 1,000 are left to read");
        assert_eq!(woken.take(), 0);
        // Some room: it goes on, and stops again.
        script.go_on(|state| state.writes = [Step::Count(5_000), Step::Stall].into());
        assert_eq!(woken.take(), 1);
        assert!(echo.as_mut().poll(&mut cx).is_pending());
        let now = script.state().reads.len();
        assert!((left - 7..left).contains(&now), "{now} after {left}");
        // All the room: everything comes back.
        script.go_on(|state| state.writes.clear());
        script.end();
        let end = run(echo.as_mut());
        assert!(matches!(end, Err(Error::Abnormal)), "{end:?}");
        drop(echo);
        assert_eq!(handled, 1_000);
        assert_eq!(split(role, &script.written()), vec![(0x82, vec![5; 1_000]); 1_000]);
    }
}

/// KNOWN-FAILURES 4: a flood of pings from a peer that does not read makes a bounded number of
/// pongs: the first ones in order, then the newest.
#[test]
fn a_flood_of_pings_is_answered_in_bounds() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let mut ws = tokio_over(&script, role, quiet());
        for i in 0..100_000u32 {
            script.arrive(frame(role, 0x89, &i.to_be_bytes()));
            if i % 1_000 == 0 {
                assert!(poll_times(ws.recv(), 100).is_none());
            }
        }
        assert!(poll_times(ws.recv(), 100).is_none());
        script.go_on(|state| state.writes.clear());
        assert!(poll_times(ws.recv(), 1).is_none());
        let expected: Vec<_> = (0..16).chain([99_999u32]).collect();
        let pongs = split(role, &all_written(&script));
        let ids = pongs.iter().map(|(_, id)| u32::from_be_bytes(id[..].try_into().unwrap()));
        assert_eq!(ids.collect::<Vec<_>>(), expected);
    }
}

/// A message that is announced and never comes holds no more than what did come.
#[test]
fn an_announced_message_is_not_paid_for_in_advance() {
    let script = || {
        let mut wire = head(Role::Server, 0x82, 15 << 20);
        wire.extend([0; 1_000]);
        Script::reading([Step::Bytes(wire), Step::Eof])
    };
    on_all(Role::Server, &quiet(), script, |ws, _| {
        assert!(matches!(ws.recv(), Err(Error::Abnormal)));
    });
    let script = || Script::reading([Step::Bytes(head(Role::Server, 0x82, 1 << 62)), Step::Eof]);
    on_all(Role::Server, &quiet(), script, |ws, script| {
        assert!(matches!(ws.recv(), Err(Error::Protocol(_))));
        assert_eq!(close_codes(&split(Role::Server, &script.written())), [1009]);
    });
}

// Handlers and parts

/// The first error of a handler comes out; the connection is still there, with all that follows
/// the message that failed.
#[test]
fn an_error_of_a_handler_leaves_the_rest() {
    for role in BOTH {
        let wire = frames(role, &[(0x81, b"1"), (0x81, b"2"), (0x81, b"3"), (0x88, b"")]);
        let script = || Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            let mut handled = Vec::new();
            let end = ws.run(&mut |message, out| {
                handled.push(message.as_text().unwrap().to_string());
                out.feed(&message)?;
                if message.as_bytes() == b"2" {
                    Err(std::io::Error::other("mine").into())
                } else {
                    Ok(())
                }
            });
            assert!(matches!(end, Err(Error::Io(_))));
            assert_eq!(handled, ["1", "2"]);
            assert_eq!(ws.recv().unwrap(), Some("3".into()));
            assert!(matches!(ws.recv(), Ok(None)));
            let texts = split(role, &script.written()).len();
            assert_eq!(texts, 3, "two echoes and a Close");
        });
    }
}

/// A handler that closes is called on for what comes before the peer's Close.
#[test]
fn a_handler_may_close() {
    for role in BOTH {
        let wire = frames(role, &[(0x81, b"1"), (0x81, b"2"), (0x88, b"")]);
        let script = || Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            let mut handled = 0;
            ws.run(&mut |_, out| {
                handled += 1;
                out.start_close(CloseCode::GOING_AWAY)?;
                assert!(!out.is_ready());
                assert!(matches!(out.feed("no"), Err(Error::Closed(_))));
                Ok(())
            })
            .unwrap();
            assert_eq!(handled, 2);
            assert_eq!(close_codes(&split(role, &script.written())), [1001]);
        });
    }
}

/// What was held back in the buffer is handed out as soon as a write makes room, though nothing
/// else comes that could wake the task.
#[test]
fn a_write_that_makes_room_lets_the_handler_go_on() {
    for role in BOTH {
        for writes in [vec![], vec![Step::Pending], vec![Step::Count(9), Step::Pending]] {
            let wire = frames(role, &[(0x82, &[1; 100]), (0x82, &[2; 100]), (0x88, b"")]);
            let script = || {
                let script = Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
                script.state().writes = writes.clone().into();
                script
            };
            on_all(role, &quiet().unsent_mark(10), script, |ws, script| {
                ws.echo().unwrap();
                let expected = [(0x82, vec![1; 100]), (0x82, vec![2; 100]), (0x88, vec![])];
                assert_eq!(split(role, &all_written(script)), expected);
            });
        }
    }
}

/// Taken apart in the middle of a batch and of a frame, and put together again by hand.
#[test]
fn parts_hold_everything() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let wire = frames(role, &[(0x81, b"first"), (0x81, b"second"), (0x82, &[9; 200])]);
        let (front, back) = wire.split_at(wire.len() - 100);
        let script = Script::reading([Step::Bytes(front.to_vec())]);

        // What was read and not looked at is in `unread`, so another adapter can go on from there.
        let mut ws = tokio_over(&script, role, quiet());
        assert_eq!(run(ws.recv()).unwrap(), Some("first".into()));
        let parts = ws.into_parts();
        assert_eq!(parts.unread, front[frame(role, 0x81, b"first").len()..]);
        let mut ws = blocking::WebSocket::from_parts(parts.stream, role, quiet(), parts.unread);
        assert_eq!(ws.recv().unwrap(), Some("second".into()));

        // The middle of a frame is in `connection`, with what waits to be written.
        let blocked = ws.recv();
        assert!(matches!(&blocked, Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock));
        ws.feed("unwritten").unwrap();
        let mut parts = ws.into_parts();
        assert_eq!(parts.unread, []);
        let mut rest = back.to_vec();
        let mut input = fullduplex::Input::new(&mut rest);
        let event = parts.connection.receive(&mut input).unwrap().map(Seen::from);
        assert_eq!(event, Some(Seen::Binary(vec![9; 200])));
        assert_eq!(common::sent(&mut parts.connection), [(0x81, b"unwritten".to_vec())]);
        assert_eq!(script.written(), []);
    }
}

/// `recv_event` shows what `recv` leaves out, in order.
#[test]
fn recv_event_shows_control_frames() {
    for role in BOTH {
        let wire = frames(
            role,
            &[(0x89, b"ping"), (0x01, b"te"), (0x8a, b"pong"), (0x80, b"xt"), (0x88, b"\x03\xe8")],
        );
        let script = || Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
        on_all(role, &quiet(), script, |ws, script| {
            let mut seen = Vec::new();
            while let Some(event) = ws.recv_event().unwrap() {
                seen.push(Seen::from(event));
            }
            assert_eq!(
                seen,
                [
                    Seen::Ping(b"ping".to_vec()),
                    Seen::Pong(b"pong".to_vec()),
                    Seen::text("text"),
                    Seen::Close(Some((1000, String::new()))),
                ]
            );
            let answers = [(0x8a, b"ping".to_vec()), (0x88, b"\x03\xe8".to_vec())];
            assert_eq!(split(role, &all_written(script)), answers);
        });
    }
}

/// Types and futures that move between threads.
#[test]
fn types_and_futures_are_send() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>(_: T) {}
    both::<blocking::WebSocket<std::net::TcpStream>>();
    both::<blocking::WebSocket<blocking::ClientStream>>();
    both::<blocking::Upgrade<std::net::TcpStream>>();
    both::<fullduplex::tokio::WebSocket<tokio::net::TcpStream>>();
    both::<fullduplex::tokio::WebSocket<fullduplex::tokio::ClientStream>>();
    both::<fullduplex::tokio::Upgrade<tokio::net::TcpStream>>();
    both::<fullduplex::Parts<tokio::net::TcpStream>>();
    both::<Error>();
    fn futures(ws: &mut fullduplex::tokio::WebSocket<tokio::net::TcpStream>) {
        send(ws.recv());
        send(ws.recv_event());
        send(ws.run(|message, out| out.feed(message)));
        send(ws.send("x"));
        send(ws.ready());
        send(ws.flush());
        send(ws.ping("x"));
        send(ws.close(CloseCode::NORMAL));
    }
    fn handshakes(stream: fn() -> tokio::net::TcpStream) {
        send(fullduplex::tokio::connect("ws://x/"));
        send(fullduplex::tokio::connect_with("ws://x/", Config::default()));
        send(fullduplex::tokio::accept(stream()));
        send(fullduplex::tokio::client(stream(), "ws://x/", Config::default()));
        send(async move {
            let upgrade = fullduplex::tokio::upgrade(stream(), Config::default()).await?;
            upgrade.accept(&fullduplex::handshake::Acceptance::new()).await
        });
    }
    let _ = (futures, handshakes);
}

/// Parts come as they are read; until the last, whole messages are refused and nothing is lost.
#[test]
fn a_message_in_chunks() {
    for role in BOTH {
        let script = || {
            Script::reading([
                Step::Bytes([head(role, 0x02, 6), b"abc".to_vec()].concat()),
                Step::Bytes(b"def".to_vec()),
                Step::Bytes(frames(role, &[(0x89, b"ping"), (0x80, b"ghi"), (0x81, b"next")])),
                Step::Bytes(frame(role, 0x88, &close_body(1000, ""))),
                Step::Eof,
            ])
        };
        on_all(role, &quiet(), script, |ws, script| {
            let mut parts = Vec::new();
            loop {
                let chunk = ws.recv_chunk().unwrap().unwrap();
                parts.push((chunk.as_bytes().len(), chunk.is_last()));
                if chunk.is_last() {
                    break;
                }
                assert!(matches!(ws.recv(), Err(Error::Unfinished)));
                assert!(matches!(ws.recv_event(), Err(Error::Unfinished)));
                assert!(matches!(ws.echo(), Err(Error::Unfinished)));
            }
            assert_eq!(parts, [(3, false), (3, false), (3, true)]);
            assert_eq!(ws.recv().unwrap(), Some("next".into()));
            assert_eq!(ws.recv_chunk().unwrap(), None);
            assert_eq!(ws.recv().unwrap(), None);
            assert_eq!(split(role, &script.written())[0].0, 0x8a);
        });
    }
}

/// A close in the middle of a message in chunks discards the rest of it.
#[test]
fn a_close_between_chunks() {
    for role in BOTH {
        let script = || {
            Script::reading([
                Step::Bytes([head(role, 0x82, 6), b"abc".to_vec()].concat()),
                Step::Bytes(b"def".to_vec()),
                Step::Bytes(frame(role, 0x88, &close_body(1000, ""))),
                Step::Eof,
            ])
        };
        on_all(role, &quiet(), script, |ws, _| {
            assert_eq!(ws.recv_chunk().unwrap().unwrap().as_bytes().len(), 3);
            ws.close(CloseCode::NORMAL).unwrap();
            assert!(ws.closed().unwrap().is_clean());
        });
    }
}

#[test]
fn fragments_are_written_one_by_one() {
    for role in BOTH {
        on_all(role, &quiet(), Script::new, |ws, script| {
            ws.send_fragment("a".into(), false).unwrap();
            assert_eq!(split(role, &script.written()).len(), 1);
            let Err(Error::Send(refused)) = ws.send("b".into()) else { panic!("accepted") };
            assert_eq!(refused.reason, SendErrorReason::Unfinished);
            ws.ping(b"between").unwrap();
            ws.send_fragment("c".into(), true).unwrap();
            ws.send("b".into()).unwrap();
            let firsts: Vec<u8> =
                split(role, &script.written()).iter().map(|(first, _)| *first).collect();
            assert_eq!(firsts, [0x01, 0x89, 0x80, 0x81]);
        });
    }
}

/// A message that ends with the connection keeps nobody from learning of that.
#[test]
fn an_end_in_the_middle_of_chunks_is_the_end_for_all_that_receive() {
    let begun = || frame(Role::Server, 0x02, b"begun");
    let script = || Script::reading([Step::Bytes(begun()), Step::Eof]);
    for events in [false, true] {
        on_all(Role::Server, &quiet(), script, |ws, _| {
            assert_eq!(ws.recv_chunk().unwrap().unwrap().as_bytes(), b"begun");
            assert!(matches!(ws.recv_chunk(), Err(Error::Abnormal)));
            match events {
                false => assert!(matches!(ws.recv(), Ok(None))),
                true => assert!(matches!(ws.recv_event(), Ok(None))),
            }
            assert_eq!(ws.closed(), Some(&Closed::Abnormal));
        });
    }
}
