//! D7: what nobody can receive is not inflated: messages behind our own `close`, and all once a
//! reader is dropped. Control frames are answered and heads judged all the same.
#![cfg(feature = "deflate")]

#[cfg(feature = "tokio")]
use crate::support;
use crate::{common, deflate};

use common::{BOTH, Seen, close_codes, frame, frames, receive, sent, watch};
use deflate::{deflating, largest, params, with_bits};
use fullduplex::{
    Config, Event, Input, ProtocolErrorKind as Kind, Role,
    deflate::Compression,
    frame::{OpCode, Rsv},
};

const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;

/// What each bomb inflates to, in bytes.
const SIZE: usize = 1 << 20;

/// A compressed message of a kilobyte that inflates to [`SIZE`] bytes.
fn bomb() -> Vec<u8> {
    let config = Config::default().deflate(largest()).max_unsent(usize::MAX);
    let mut connection = deflating(Role::Server, config, params(""));
    connection.feed(Compression::Always.of(vec![0; SIZE])).unwrap();
    sent(&mut connection).remove(0).1
}

/// The first byte of a frame, and its payload.
type Frame = (u8, Vec<u8>);

/// What may come in front of the moment from which on nobody takes messages: name, frames, and how
/// many bytes of their wire have not come yet.
fn beginnings(bomb: &[u8]) -> Vec<(&'static str, Vec<Frame>, usize)> {
    let half = bomb.len() / 2;
    vec![
        ("nothing", vec![], 0),
        ("a message", vec![(BINARY, bomb.to_vec())], 0),
        ("a fragment", vec![(0x42, bomb[..half].to_vec())], 0),
        ("a plain fragment", vec![(0x01, b"plain".to_vec())], 0),
        ("a part of a frame", vec![(BINARY, bomb.to_vec())], half),
        ("a part of a plain frame", vec![(0x82, vec![7; 1_000])], 500),
        ("a part of a head", vec![(BINARY, bomb.to_vec())], bomb.len() + 3),
        ("a part of a ping", vec![(0x89, b"ping".to_vec())], 2),
    ]
}

/// Frames that go on behind a beginning, if it is in the middle of a message.
fn end_of(frames: &[Frame], bomb: &[u8]) -> Vec<Frame> {
    match frames {
        [(0x42, begun)] => vec![(0x80, bomb[begun.len()..].to_vec())],
        [(0x01, _)] => vec![(0x80, b"text".to_vec())],
        _ => vec![],
    }
}

fn wire(role: Role, all: &[Frame]) -> Vec<u8> {
    all.iter().flat_map(|(first, payload)| frame(role, *first, payload)).collect()
}

/// The core, by hand: from any place on, in whole messages or in chunks, however the rest is cut.
#[test]
fn a_connection_that_discards_inflates_nothing() {
    let bomb = bomb();
    for role in BOTH {
        for (name, begun, missing) in beginnings(&bomb) {
            for (chunks, step) in [(false, 7), (false, usize::MAX), (true, 7), (true, usize::MAX)] {
                let mut connection = deflating(role, Config::default(), params(""));
                let mut first = wire(role, &begun);
                let mut rest = first.split_off(first.len() - missing);
                rest.extend(wire(role, &end_of(&begun, &bomb)));
                for _ in 0..50 {
                    rest.extend(frame(role, BINARY, &bomb));
                    rest.extend(frame(role, 0x42, &bomb[..99]));
                    rest.extend(frame(role, 0x89, b"between"));
                    rest.extend(frame(role, 0x00, b""));
                    rest.extend(frame(role, 0x80, &bomb[99..]));
                    rest.extend(frame(role, TEXT, b"")); // neither DEFLATE nor text
                    rest.extend(frame(role, 0x81, "grüße".as_bytes()));
                    rest.extend(frame(role, 0x82, &vec![b'x'; 1_000]));
                }
                rest.extend(frame(role, 0x88, b""));
                let mut input = Input::new(&mut first);
                match chunks {
                    // Of what has come, some may be left inside.
                    true => drop(connection.receive_chunk(&mut input).unwrap()),
                    false => while connection.receive(&mut input).unwrap().is_some() {},
                }
                let left = input.len();
                let mut first = first.split_off(first.len() - left);
                first.extend(rest);
                let before = connection.stats();
                connection.discard_messages();
                connection.discard_messages(); // once is enough
                assert!(!connection.is_in_chunks());
                let (events, result) = receive(&mut connection, &first, step, watch);
                assert_eq!(result, Ok(()), "{role:?} behind {name}");
                let ping = |payload: &[u8]| Seen::Ping(payload.to_vec());
                let mut expected = vec![ping(b"between"); 50];
                if name == "a part of a ping" {
                    expected.insert(0, ping(b"ping"));
                }
                expected.push(Seen::Close(None));
                assert_eq!(events, expected, "{role:?} behind {name}");
                let after = connection.stats();
                assert_eq!(after.inflated_received, before.inflated_received, "{name}");
                assert_eq!(after.payload_received, before.payload_received, "{name}");
                assert_eq!(after.bytes_received - before.bytes_received, first.len() as u64);
                assert!(after.messages_received - before.messages_received >= 200);
                let pongs =
                    sent(&mut connection).iter().filter(|(first, _)| *first == 0x8a).count();
                assert!(pongs >= 16, "{pongs}");
            }
        }
    }
}

/// Heads are judged as before: masks, reserved bits, order, control frames.
#[test]
fn a_connection_that_discards_judges_heads() {
    type Frames<'f> = &'f [(u8, &'f [u8])];
    let good: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let cases: [(Frames<'_>, Kind); 8] = [
        (&[(0x80, b"")], Kind::NothingToContinue),
        (&[(BINARY, good), (0x00, b"")], Kind::NothingToContinue),
        (&[(0x01, b""), (0x80, b""), (0x80, b"")], Kind::NothingToContinue),
        (&[(0x01, b""), (0x81, b"")], Kind::MessageInsideMessage(OpCode::Text)),
        (&[(0x01, b""), (0xc0, b"")], Kind::ReservedBits(Rsv::RSV1)),
        (&[(0xc9, b"")], Kind::ReservedBits(Rsv::RSV1)),
        (&[(0xa1, b"")], Kind::ReservedBits(Rsv::RSV2)),
        (&[(0x91, b"")], Kind::ReservedBits(Rsv::RSV3)),
    ];
    for role in BOTH {
        for (wire, kind) in cases {
            for step in [1, usize::MAX] {
                let mut connection = deflating(role, Config::default(), params(""));
                connection.discard_messages();
                let result = receive(&mut connection, &frames(role, wire), step, watch).1;
                assert_eq!(result.map_err(|error| error.kind()), Err(kind), "{role:?} {wire:x?}");
                assert_eq!(close_codes(&sent(&mut connection)), [1002]);
            }
        }
        let mut connection = deflating(role, Config::default(), params(""));
        connection.discard_messages();
        let other = common::other(role);
        let result = receive(&mut connection, &frame(other, 0x81, b"x"), 1, watch).1;
        let masked = |kind| matches!(kind, Kind::Masked(_) | Kind::Unmasked(_));
        assert!(result.is_err_and(|error| masked(error.kind())));
    }
}

/// What was kept for inflating is given back at once.
#[test]
fn a_connection_that_discards_holds_no_window() {
    let bomb = bomb();
    let mut connection = deflating(Role::Client, Config::default(), with_bits(15, true));
    receive(&mut connection, &frame(Role::Client, BINARY, &bomb), 99, watch).1.unwrap();
    connection.discard_messages();
    // It could not go on with it either: plain messages are not handed out, too.
    let mut wire = frames(Role::Client, &[(0x81, b"plain"), (0x89, b"ping")]);
    let mut input = Input::new(&mut wire);
    let event = connection.receive(&mut input).unwrap();
    assert_eq!(event, Some(Event::Ping(b"ping".into())));
    // Sending goes on.
    connection.feed(Compression::Always.of("text".repeat(100))).unwrap();
    assert!(connection.is_open());
}

/// All adapters, whole and in halves.
#[cfg(feature = "tokio")]
mod adapters {
    use super::*;
    use fullduplex::{CloseCode, blocking};
    use support::{
        Script, Step,
        life::{Knows as _, Receives as _, Sends as _, Whole},
        paused, quiet, run, watchdog,
    };

    const BOMBS: usize = 200;

    /// A peer that sends `begun`, and if all of it was taken bombs without end, then its Close.
    fn peer(role: Role, begun: &[Frame], missing: usize, bomb: &[u8]) -> Script {
        let mut first = wire(role, begun);
        let mut rest = first.split_off(first.len() - missing);
        rest.extend(wire(role, &end_of(begun, bomb)));
        rest.extend(frame(role, BINARY, bomb).repeat(BOMBS));
        rest.extend(frame(role, 0x89, b"last"));
        rest.extend(frame(role, 0x88, b""));
        let first = (!first.is_empty()).then_some(Step::Bytes(first));
        let mut steps: Vec<Step> = first.into_iter().collect();
        steps.extend([Step::Bytes(rest), Step::Eof]);
        Script::reading(steps)
    }

    fn open<W: Whole>(script: &Script, role: Role, config: Config) -> W {
        script.state().blocking = W::BLOCKS;
        W::over(script, (role, config), Some(params("")), &[])
    }

    /// What may have been inflated: what was there when somebody still took it, and what came with it
    /// of the message under way.
    const MOST: u64 = 2 * SIZE as u64;

    /// The connection in one piece is closed, behind any beginning, taken whole or in chunks.
    fn whole<W: Whole>() {
        let bomb = bomb();
        for role in BOTH {
            for (name, begun, missing) in beginnings(&bomb) {
                for chunk in [false, true] {
                    let script = peer(role, &begun, missing, &bomb);
                    let mut ws: W = open(&script, role, quiet());
                    let starts = matches!(begun[..], [(first, _)] if first & 0x08 == 0);
                    let has_chunk = starts && name != "a part of a head";
                    if chunk && has_chunk {
                        let chunk = run(ws.recv_chunk()).unwrap().unwrap();
                        assert!(chunk.is_first(), "{name}");
                    } else if !chunk && name == "a message" {
                        assert!(run(ws.recv()).unwrap().is_some());
                    }
                    run(ws.close(CloseCode::NORMAL)).unwrap();
                    assert!(ws.closed().unwrap().is_clean(), "{name}");
                    let stats = ws.stats();
                    assert!(stats.inflated_received <= MOST, "{role:?}, {name}: {stats:?}");
                    assert_eq!((stats.pings_received >= 1, stats.pongs_sent >= 1), (true, true));
                    assert!(run(ws.recv()).unwrap().is_none());
                }
            }
        }
    }

    /// In halves: the reader is gone, whatever it has begun, and a writer closes, or just sends.
    fn reader_dropped<W: Whole>() {
        let bomb = bomb();
        for role in BOTH {
            for (name, begun, missing) in beginnings(&bomb) {
                for (chunk, closes) in [(false, true), (true, true), (false, false), (true, false)]
                {
                    let script = peer(role, &begun, missing, &bomb);
                    let ws: W = open(&script, role, quiet());
                    let (mut reader, mut writer) = ws.split();
                    let starts = matches!(begun[..], [(first, _)] if first & 0x08 == 0);
                    if chunk && starts && name != "a part of a head" {
                        run(reader.recv_chunk()).unwrap().unwrap();
                    }
                    drop(reader);
                    if closes {
                        run(writer.close(CloseCode::NORMAL)).unwrap();
                    } else {
                        // Each looks at what has arrived, until that is the peer's Close.
                        for _ in 0..1_000 {
                            if run(writer.send("tick".into())).is_err() {
                                break;
                            }
                            if W::BLOCKS {
                                // It looks every 100 ms only: closing does it at once.
                                run(writer.close(CloseCode::NORMAL)).unwrap();
                            }
                        }
                        run(writer.close(CloseCode::NORMAL)).unwrap();
                    }
                    assert!(writer.closed().unwrap().is_clean(), "{role:?}, {name}");
                    let stats = writer.stats();
                    assert!(stats.inflated_received <= MOST, "{role:?}, {name}: {stats:?}");
                    assert!(stats.pongs_sent >= 1);
                }
            }
        }
    }

    /// In halves: the reader is there and does not come. As much as may be kept for it is inflated,
    /// and what is discarded behind that is not.
    fn reader_away<W: Whole>() {
        let bomb = bomb();
        for role in BOTH {
            let script = peer(role, &[], 0, &bomb);
            let ws: W = open(&script, role, quiet().max_message_size(4 * SIZE));
            let (mut reader, mut writer) = ws.split();
            run(writer.close(CloseCode::NORMAL)).unwrap();
            assert!(writer.closed().unwrap().is_clean());
            let stats = writer.stats();
            assert!(stats.inflated_received <= 5 * SIZE as u64, "{role:?}: {stats:?}");
            let mut messages = 0;
            while let Some(message) = run(reader.recv()).unwrap() {
                assert_eq!(message.as_bytes().len(), SIZE);
                messages += 1;
            }
            assert_eq!(messages, 4);
        }
    }

    macro_rules! on_each {
        ($($test:ident($($whole:ident)*);)*) => {$(
            #[test]
            fn $test() {
                let _watchdog = watchdog();
                let runtime = paused();
                let _time = runtime.enter();
                $($whole::<fullduplex::tokio::WebSocket<Script>>();)*
                #[cfg(feature = "futures-io")]
                {
                    type OnAny = fullduplex::futures_io::WebSocket<Script, support::life::Clock>;
                    $($whole::<OnAny>();)*
                }
            }
        )*};
    }

    on_each! {
        closing_inflates_nothing(whole);
        without_a_reader_nothing_is_inflated(reader_dropped);
        what_is_not_kept_for_a_reader_is_not_inflated(reader_away);
    }

    #[test]
    fn threads_inflate_nothing_for_nobody() {
        let _watchdog = watchdog();
        whole::<blocking::WebSocket<Script>>();
        reader_dropped::<blocking::WebSocket<Script>>();
    }

    /// `close` has begun and is dropped: what follows sees the connection to its end, and inflates
    /// nothing either.
    #[test]
    fn a_close_that_is_dropped_goes_on_discarding() {
        let runtime = paused();
        let _time = runtime.enter();
        let bomb = bomb();
        for role in BOTH {
            let script = Script::new();
            let mut ws: fullduplex::tokio::WebSocket<Script> = open(&script, role, quiet());
            assert!(support::poll_times(ws.close(CloseCode::NORMAL), 1).is_none());
            let reads = std::mem::take(&mut peer(role, &[], 0, &bomb).state().reads);
            script.go_on(|state| state.reads = reads);
            assert!(run(ws.recv()).unwrap().is_none());
            assert!(ws.closed().unwrap().is_clean());
            assert_eq!(ws.stats().inflated_received, 0);
        }
    }
}
