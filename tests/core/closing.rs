//! Closing (RFC 6455 §5.5.1 and §7): bounds, the bodies and codes of Close frames, and both ends
//! together. Every input in every state is in `guide/specification`.

#![allow(clippy::type_complexity, reason = "tables say their type")]

use crate::common;

use bytes::Buf;
use common::{
    BOTH, Random, Seen, close_body, close_codes, close_frame, connection, drain, frame, frames,
    other, pair::Pair, receive, reference, sent, split, watch,
};
use core::time::Duration;
use fullduplex::{
    CloseCause, CloseCode, CloseFrame, Closed, Config, Connection, ProtocolErrorKind, Role,
    SendErrorReason, Side, Time, TimeoutError, Transport, frame::HeaderError,
};

// Bounds

/// What comes behind the end is discarded, up to a bound. Then there is nothing left to write, or
/// a caller that writes before it looks would wait for a peer that does not read.
#[test]
fn section_7_1_1_discarding_has_a_bound() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        receive(&mut connection, b"\x83", 1, watch).1.unwrap_err();
        let mut buffer = vec![0; 1 << 20];
        let mut mebibytes = 0;
        while connection.closed().is_none() {
            assert_eq!(connection.transport(), Transport::Open);
            let mut input = fullduplex::Input::new(&mut buffer);
            connection.receive(&mut input).unwrap_err();
            assert!(input.is_empty());
            mebibytes += 1;
            assert!(mebibytes <= 100, "no bound");
        }
        assert_eq!(mebibytes, 65, "64 MiB may be under way; what goes beyond ends it");
        assert!(matches!(connection.closed(), Some(Closed::Failed(_))));
        assert_eq!(connection.transport(), Transport::Closed);
        assert_eq!(connection.poll_timeout(), None);
        assert_eq!(connection.outbox().remaining(), 0);
    }
}

/// The peer has ended its side before ours was written: with the last byte it is over, whether or
/// not the caller asks before it shuts down.
#[test]
fn shutting_down_behind_the_end_of_input_is_the_end() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        receive(&mut connection, &frame(role, 0x88, b""), 1, watch).1.unwrap();
        connection.receive_eof();
        assert_eq!(connection.transport(), Transport::WriteOnly);
        drain(&mut connection);
        connection.shutdown_complete();
        assert!(connection.closed().unwrap().is_clean());
    }
}

/// The same at the other end of the scale, D12: no time to close counts as a millisecond.
#[test]
fn a_close_timeout_of_nothing_ends_at_once() {
    for role in BOTH {
        let config =
            Config::default().close_timeout(Duration::ZERO).idle_timeout(Duration::from_secs(1));
        let mut connection = connection(role, config);
        let mut now = Time::EPOCH;
        while connection.handle_timeout(now) != Err(TimeoutError::Idle) {
            now = connection.poll_timeout().unwrap();
        }
        let begun = now;
        while let Some(at) = connection.poll_timeout() {
            now = now.max(at);
            assert_eq!(connection.handle_timeout(now), Ok(()));
        }
        assert_eq!(now.saturating_since(begun), Duration::from_millis(1));
        assert_eq!(connection.transport(), Transport::Closed);
        assert_eq!(connection.closed(), Some(&Closed::TimedOut(TimeoutError::Idle)));
        assert_eq!(connection.poll_timeout(), None);
        assert_eq!(connection.outbox().remaining(), 0);
    }
}

// The Close frame

/// Row 66: a body is nothing, or a code and what follows; one byte is malformed.
#[test]
fn section_5_5_1_bodies() {
    let reason = "Grüße".as_bytes();
    let cases: [(&[u8], Result<Option<(u16, &str)>, u16>); 8] = [
        (b"", Ok(None)),
        (b"\x03", Err(1002)),
        (b"\x03\xe8", Ok(Some((1000, "")))),
        (b"\x0f\xa0x", Ok(Some((4000, "x")))),
        (&[b"\x03\xe8", reason].concat(), Ok(Some((1000, "Grüße")))),
        // Row 67.
        (b"\x03\xe8\xff", Err(1007)),
        (b"\x03\xe8\xc3", Err(1007)),
        (b"\x03\xe8\xed\xa0\x80", Err(1007)),
    ];
    for (body, expected) in cases {
        for role in BOTH {
            for step in [usize::MAX, 1] {
                let mut connection = connection(role, Config::default());
                let (events, result) =
                    receive(&mut connection, &frame(role, 0x88, body), step, watch);
                match expected {
                    Ok(close) => {
                        let close = close.map(|(code, reason)| (code, reason.to_string()));
                        assert_eq!((events, result), (vec![Seen::Close(close)], Ok(())));
                    }
                    Err(code) => {
                        assert!(events.is_empty());
                        let error = result.unwrap_err();
                        let kind = error.kind();
                        let of_head =
                            matches!(kind, ProtocolErrorKind::Header(HeaderError::HalfCloseCode));
                        assert_eq!(of_head, body.len() == 1);
                        assert!(of_head || matches!(kind, ProtocolErrorKind::CloseFrame(_)));
                        assert_eq!(close_codes(&sent(&mut connection)), [code], "{body:x?}");
                    }
                }
            }
        }
    }
}

/// Rows 81 to 83, and 71: every code there is; a legal one comes back, on any other 1002.
#[test]
fn section_7_4_every_code() {
    let config = std::sync::Arc::new(Config::default());
    for code in 0..=u16::MAX {
        let role = BOTH[usize::from(code % 2)];
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let mut connection = connection(role, config.clone());
        let wire = frame(role, 0x88, &code.to_be_bytes());
        let (events, result) = receive(&mut connection, &wire, usize::MAX, watch);
        assert_eq!((events.len(), result.is_ok()), (usize::from(legal), legal), "{code}");
        let expected = if legal { code } else { 1002 };
        assert_eq!(close_codes(&sent(&mut connection)), [expected], "{code}");
        assert_eq!(CloseCode::new(code).is_ok(), legal, "{code}");
    }
}

/// Row 71: one Close is answered by one, with its code and no reason; none with none.
#[test]
fn section_5_5_1_close_is_answered() {
    for role in BOTH {
        for (body, answer) in [(close_body(1001, "going"), close_body(1001, "")), (vec![], vec![])]
        {
            let mut connection = connection(role, Config::default());
            connection.feed("queued before").unwrap();
            receive(&mut connection, &frame(role, 0x88, &body), 1, watch).1.unwrap();
            let expected = [(0x81, b"queued before".to_vec()), (0x88, answer)];
            assert_eq!(sent(&mut connection), expected, "§5.5.1: after the current message");
        }
    }
}

/// Rows 69 and 70: after our own Close nothing more goes out, and what comes is still delivered.
#[test]
fn section_5_5_1_after_our_own_close() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        connection.start_close(CloseCode::GOING_AWAY).unwrap();
        connection.start_close(CloseCode::NORMAL).unwrap();
        let refused = connection.feed("late").unwrap_err();
        assert_eq!(refused.reason, SendErrorReason::Closed(CloseCause::Local));
        let wire = frames(role, &[(0x81, b"under way"), (0x88, b"\x03\xe9"), (0x81, b"lost")]);
        let (events, result) = receive(&mut connection, &wire, 1, watch);
        let close = Seen::Close(Some((1001, String::new())));
        assert_eq!((events, result), (vec![Seen::text("under way"), close], Ok(())));
        assert_eq!(sent(&mut connection), [(0x88, close_body(1001, ""))], "one Close");
    }
}

/// Rows 70 and 77: whatever follows the peer's Close, or an error, is not even looked at.
#[test]
fn section_7_1_7_nothing_is_looked_at_behind_the_end() {
    for role in BOTH {
        for ending in [frame(role, 0x88, b""), frame(role, 0x83, b"")] {
            for garbage in [vec![0xff; 1000], frame(role, 0x88, b"\x03"), frame(role, 0x89, b"")] {
                let mut connection = connection(role, Config::default());
                let wire = [&ending[..], &garbage].concat();
                let (events, _) = receive(&mut connection, &wire, 3, watch);
                assert!(events.len() <= 1);
                assert_eq!(sent(&mut connection).len(), 1, "only the Close");
            }
        }
    }
}

/// Rows 74, 75 and 78: what is reported.
#[test]
fn section_7_1_5_code_and_reason() {
    type Story = fn(&mut Connection);
    fn get(connection: &mut Connection, first: u8, payload: &[u8]) {
        let wire = frame(connection.role(), first, payload);
        let _: (_, Result<_, _>) = receive(connection, &wire, 1, watch);
    }
    let cases: [(&str, Story, (u16, &str, bool)); 9] = [
        ("theirs", |c| get(c, 0x88, b"\x03\xe9bye"), (1001, "bye", true)),
        ("theirs, no code", |c| get(c, 0x88, b""), (1005, "", true)),
        ("nothing", |_| {}, (1006, "", false)),
        ("half a message", |c| get(c, 0x01, b"half"), (1006, "", false)),
        ("error", |c| get(c, 0x83, b""), (1006, "", false)),
        (
            "ours unanswered",
            |c| c.start_close(close_frame(4001, "own")).unwrap(),
            (1006, "", false),
        ),
        (
            "ours, answered otherwise",
            |c| {
                c.start_close(close_frame(4001, "own")).unwrap();
                get(c, 0x88, b"\x0f\xa2theirs");
            },
            (4002, "theirs", true),
        ),
        (
            "the first one counts",
            |c| {
                get(c, 0x88, b"\x0f\xa1first");
                get(c, 0x88, b"\x0f\xa2second");
            },
            (4001, "first", true),
        ),
        (
            "error after our own Close",
            |c| {
                c.start_close(None).unwrap();
                get(c, 0x83, b"");
                get(c, 0x88, b"\x03\xe8");
            },
            (1006, "", false),
        ),
    ];
    for (name, story, expected) in cases {
        for role in BOTH {
            let mut connection = connection(role, Config::default());
            story(&mut connection);
            drain(&mut connection);
            connection.receive_eof();
            assert_eq!(connection.transport(), Transport::Closed);
            let closed = connection.closed().unwrap();
            assert_eq!((closed.code(), closed.reason(), closed.is_clean()), expected, "{name}");
        }
    }
}

/// Row 76: an error tells the peer why in the reason, and it fits.
#[test]
fn section_7_1_7_the_reason_says_why() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let error = receive(&mut connection, b"\x09", 1, watch).1.unwrap_err();
        let frames = sent(&mut connection);
        let [(0x88, body)] = &frames[..] else { panic!("{frames:?}") };
        let close = CloseFrame::decode(body).unwrap().unwrap();
        assert_eq!(close.reason(), error.kind().to_string());
    }
}

// Both ends

fn plain() -> Config {
    Config::default()
}

/// Row 72: whoever begins, the server shuts down first, and both end clean.
#[test]
fn section_7_1_1_the_server_closes_tcp_first() {
    for first in BOTH {
        for seed in 0..50 {
            let mut pair = Pair::new(&plain(), &plain(), seed);
            for role in BOTH {
                pair.end(role).connection.feed(vec![1; 20_000]).unwrap();
            }
            pair.end(first).connection.start_close(close_frame(4000, "done")).unwrap();
            pair.settle();
            assert_eq!((pair.server.shut, pair.client.shut), (Some(0), Some(1)), "{first:?}");
            for role in BOTH {
                let (initiator, reason) =
                    if role == first { (Side::Local, "") } else { (Side::Remote, "done") };
                let frame = Some(close_frame(4000, reason));
                let closed = pair.end(role).connection.closed().cloned();
                assert_eq!(closed, Some(Closed::Clean { initiator, frame }), "{first:?} {role:?}");
                let message = Seen::Binary(vec![1; 20_000]);
                assert_eq!(pair.end(role).events.iter().filter(|e| **e == message).count(), 1);
            }
            assert_eq!(pair.now, Time::EPOCH, "nobody waited");
        }
    }
}

/// Row 72: both at once: two Closes, no third, each the initiator in its own eyes.
#[test]
fn section_5_5_1_both_close_at_once() {
    for seed in 0..50 {
        let mut pair = Pair::new(&plain(), &plain(), seed);
        pair.client.connection.start_close(close_frame(4001, "client")).unwrap();
        pair.server.connection.start_close(close_frame(4002, "server")).unwrap();
        pair.settle();
        for (role, code) in [(Role::Client, 4001), (Role::Server, 4002)] {
            let frames = split(role, &pair.end(role).written);
            assert_eq!(close_codes(&frames), [code]);
            let closed = pair.end(other(role)).connection.closed().unwrap().clone();
            assert!(matches!(closed, Closed::Clean { initiator: Side::Local, .. }));
            assert_eq!(closed.code(), code);
        }
        assert_eq!((pair.server.shut, pair.client.shut), (Some(0), Some(1)));
    }
}

/// Row 76: whoever finds the error shuts down, its Close arrives, and the other end is clean.
#[test]
fn section_7_1_7_the_close_of_a_failed_connection_arrives() {
    for failing in BOTH {
        for seed in 0..50 {
            let small = plain().max_message_size(10);
            let mut pair = match failing {
                Role::Client => Pair::new(&small, &plain(), seed),
                Role::Server => Pair::new(&plain(), &small, seed),
            };
            let offender = &mut pair.end(other(failing)).connection;
            offender.feed("ok").unwrap();
            offender.feed(vec![0; 11]).unwrap();
            offender.feed(vec![0; 100_000]).unwrap();
            pair.settle();
            assert_eq!(pair.end(failing).events, [Seen::text("ok")]);
            assert!(matches!(pair.end(failing).connection.closed(), Some(Closed::Failed(_))));
            let closed = pair.end(other(failing)).connection.closed().unwrap();
            assert_eq!((closed.code(), closed.is_clean()), (1009, true));
            assert_eq!(pair.now, Time::EPOCH, "nobody waited");
        }
    }
}

/// Row 72: a peer that never answers is hung up on when the time is over, not before.
#[test]
fn section_7_1_1_a_deaf_peer() {
    for role in BOTH {
        let mut pair = Pair::new(&plain(), &plain(), 1);
        pair.end(other(role)).deaf = true;
        pair.end(role).connection.start_close(None).unwrap();
        pair.pass(Duration::from_secs_f64(4.9));
        assert_eq!(pair.end(role).connection.closed(), None);
        pair.pass(Duration::from_secs_f64(0.2));
        let closed = Closed::TimedOut(TimeoutError::Close);
        assert_eq!(pair.end(role).connection.closed(), Some(&closed));
        assert_eq!(pair.end(role).timeouts, [TimeoutError::Close]);
    }
}

/// Any number of messages both ways, and a Close from either or both in the midst of them: what
/// was sent before the Close arrives, whole and in order, and both ends are clean.
#[test]
fn section_7_1_2_nothing_sent_before_the_close_is_lost() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&plain(), &plain(), seed);
        let mut sent: [Vec<Seen>; 2] = Default::default();
        let closes_at = [random.below(30), random.below(30)];
        for i in 0..30 {
            for (side, role) in BOTH.into_iter().enumerate() {
                let connection = &mut pair.end(role).connection;
                if i == closes_at[side] {
                    connection.start_close(None).unwrap();
                }
                let bytes = vec![i as u8; random.below(3000)];
                if connection.feed(&bytes).is_ok() {
                    sent[side].push(Seen::Binary(bytes));
                }
            }
            if random.below(3) == 0 {
                pair.settle();
            }
        }
        pair.settle();
        for (side, role) in BOTH.into_iter().enumerate() {
            let far = pair.end(other(role));
            let mut events = far.events.clone();
            assert_eq!(events.pop(), Some(Seen::Close(None)), "seed {seed}");
            assert_eq!(events, sent[side], "seed {seed}");
            assert!(far.connection.closed().unwrap().is_clean());
        }
        let (verdict, end) =
            reference::decode(Role::Server, reference::Limits::default(), &pair.client.written);
        assert_eq!((verdict, end), (pair.server.events, reference::End::Closed));
    }
}
