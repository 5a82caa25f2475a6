//! Limits (RFC 6455 §10.4): on what is received, on what it costs, and on what waits to be
//! written. Memory is counted by the allocator of this test binary.

#![allow(clippy::type_complexity, reason = "tables say their type")]

use crate::{common, heap};

use bytes::{Buf, Bytes};
use common::{
    BOTH, KEY, Random, Seen, close_codes, connection, drain, frame, frames, head, other, receive,
    sent, watch,
};
use core::mem;
use fullduplex::{
    Config, Connection, Event, Input, Message, MessageRef, ProtocolError, ProtocolErrorKind,
    ReceiveBudget, Role, SendErrorReason, frame::ControlPayload,
};
use heap::{measure, without_more_than};
use std::sync::Arc;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The payloads of the messages in `wire`, or the code of the Close that it was failed with.
#[track_caller]
fn judged(role: Role, config: &Config, wire: &[u8]) -> Result<Vec<usize>, u16> {
    let mut verdicts = [usize::MAX, 1, 7].map(|step| {
        let mut connection = connection(role, config.clone());
        let (events, result) = receive(&mut connection, wire, step, watch);
        let codes = close_codes(&sent(&mut connection));
        match result {
            Ok(()) => Ok(events.iter().filter_map(common::message).map(|m| m.len()).collect()),
            Err(error) => {
                assert_eq!(codes, [u16::from(error.close_code())]);
                Err(codes[0])
            }
        }
    });
    assert!(verdicts.windows(2).all(|two| two[0] == two[1]), "{verdicts:?}");
    mem::replace(&mut verdicts[0], Ok(vec![]))
}

/// `payload` in frames of `size` bytes.
fn fragmented(role: Role, opcode: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let mut wire = frame(role, opcode, &payload[..size.min(payload.len())]);
    for part in payload.chunks(size).skip(1) {
        wire.extend(frame(role, 0x00, part));
    }
    wire.extend(frame(role, 0x80, b""));
    wire
}

/// Row 97: n passes and n+1 does not, in one frame, in several, and in code points cut anywhere.
#[test]
fn section_10_4_message_limit() {
    for limit in [0, 1, 4, 125, 126, 127, 1000, 65_535, 65_536, 65_537] {
        let config = Config::default().max_message_size(limit);
        for size in limit.saturating_sub(1)..=limit + 1 {
            let expected = if size <= limit { Ok(vec![size]) } else { Err(1009) };
            let payload = vec![b'x'; size];
            for role in BOTH {
                for opcode in [0x01, 0x02] {
                    let whole = frame(role, 0x80 | opcode, &payload);
                    assert_eq!(judged(role, &config, &whole), expected, "{size} of {limit}");
                    for part in [1, 3, 1000] {
                        if size / part < 2000 {
                            let wire = fragmented(role, opcode, &payload, part);
                            assert_eq!(judged(role, &config, &wire), expected, "{size} of {limit}");
                        }
                    }
                }
            }
        }
    }
}

/// The bytes of a code point that is not complete count as well.
#[test]
fn section_10_4_message_limit_in_the_midst_of_a_code_point() {
    let text = "🦀🦀🦀";
    for limit in 0..14 {
        let config = Config::default().max_message_size(limit);
        let expected = if text.len() <= limit { Ok(vec![text.len()]) } else { Err(1009) };
        for cut in 1..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            let wire = frames(Role::Client, &[(0x01, a), (0x80, b)]);
            assert_eq!(judged(Role::Client, &config, &wire), expected, "{limit}, cut at {cut}");
        }
    }
}

/// Row 97: the limit on frames is one on each, and none on control frames.
#[test]
fn section_10_4_frame_limit() {
    for limit in [0, 1, 10, 125, 126, 127, 1000] {
        let config = Config::default().max_frame_size(limit);
        for role in BOTH {
            for size in limit.saturating_sub(1)..=limit + 1 {
                let expected = if size <= limit { Ok(vec![size]) } else { Err(1009) };
                let wire = frame(role, 0x82, &vec![0; size]);
                assert_eq!(judged(role, &config, &wire), expected, "{size} of {limit}");
            }
            let parts: Vec<_> = [&b"ab"[..]; 3].map(|part| &part[..limit.min(2)]).into();
            let whole = parts.concat().len();
            let wire = frames(role, &[(0x02, parts[0]), (0x00, parts[1]), (0x80, parts[2])]);
            assert_eq!(judged(role, &config, &wire), Ok(vec![whole]));
            let wire = frames(role, &[(0x02, b""), (0x00, &vec![0; limit + 1])]);
            assert_eq!(judged(role, &config, &wire), Err(1009), "a later fragment");
            assert_eq!(judged(role, &config, &frame(role, 0x89, &[0; 125])), Ok(vec![]));
        }
    }
}

/// A7: a head is judged by the first byte that no other can make right: a length once it is whole,
/// so that it can be named, everything else once two bytes are there.
#[test]
fn section_7_1_7_the_first_byte_that_decides_decides() {
    let config = Config::default().max_message_size(300).max_fragments(2);
    let masked = |role, second: u8| if role == Role::Server { second | 0x80 } else { second };
    for role in BOTH {
        // What came before, the head, and how much of it decides.
        let started = frame(role, 0x01, b"a");
        let two = [started.clone(), frame(role, 0x00, b"b")].concat();
        let cases: [(&str, &[u8], Vec<u8>, usize); 14] = [
            ("a reserved opcode", b"", vec![0x83, masked(role, 0)], 1),
            ("a fragmented ping", b"", vec![0x09, masked(role, 0)], 1),
            ("half a Close code", b"", vec![0x88, masked(role, 1), 1, 2, 3, 4], 2),
            ("a long ping", b"", vec![0x89, masked(role, 126), 0, 126], 2),
            ("RSV2", b"", vec![0xa1, masked(role, 126), 0, 126], 2),
            ("the other's mask", b"", vec![0x81, masked(other(role), 127), 0, 0], 2),
            ("nothing to continue", b"", vec![0x80, masked(role, 126), 0, 126], 2),
            ("a message inside", &started, vec![0x81, masked(role, 126), 0, 126], 2),
            ("too many fragments", &two, vec![0x80, masked(role, 126), 0, 126], 2),
            ("a padded length", b"", vec![0x82, masked(role, 126), 0, 125, 1, 2, 3, 4], 4),
            ("too large", b"", vec![0x82, masked(role, 126), 1, 45, 1, 2, 3, 4], 4),
            ("too large", &started, vec![0x80, masked(role, 126), 1, 44, 1, 2, 3, 4], 4),
            ("far too large", b"", head(role, 0x82, 1 << 40), 10),
            ("the top bit", b"", head(role, 0x82, 1 << 63), 10),
        ];
        for (name, before, head, decides) in cases {
            for step in [1, usize::MAX] {
                for end in 1..=head.len() {
                    let mut connection = connection(role, config.clone());
                    assert!(receive(&mut connection, before, 1, watch).1.is_ok());
                    let result = receive(&mut connection, &head[..end], step, watch).1;
                    assert_eq!(result.is_err(), end >= decides, "{name}: {end} bytes, {role:?}");
                }
            }
        }
    }
}

/// B13: what the allocator does not have fails the one connection that wanted it, with 1013.
#[test]
fn section_10_4_memory_that_is_not_there() {
    let refused = |role, wire: &[u8], step| {
        let mut connection = connection(role, Config::default());
        let result = without_more_than(KIB << 10, || receive(&mut connection, wire, step, watch).1);
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ProtocolErrorKind::OutOfMemory { .. }), "{error}");
        assert_eq!(close_codes(&sent(&mut connection)), [1013]);
    };
    for role in BOTH {
        for first in [0x81, 0x82] {
            refused(role, &frame(role, first, &vec![b'a'; 3 << 20]), 10_000);
            let part = vec![b'a'; 600 * KIB];
            let parts = [(first & 0x7f, &part[..]), (0x00, &part), (0x80, &part)];
            refused(role, &frames(role, &parts), 100_000);
        }
        // What is there serves all the same.
        let mut connection = connection(role, Config::default());
        let wire = frame(role, 0x82, &vec![0; 500 * KIB]);
        let (events, result) =
            without_more_than(KIB << 10, || receive(&mut connection, &wire, 10_000, watch));
        assert!(events.len() == 1 && result.is_ok());
    }
}

/// B13: connections that share a budget take no more than it has together, and each gives back
/// what it took: with its message, when it fails, when it ends, and when it is dropped.
#[test]
fn section_10_4_a_budget_bounds_the_sum() {
    const LIMIT: usize = 1 << 20;
    let mut random = Random::new(7);
    let (mut refused, mut served) = (0, 0);
    for role in BOTH {
        let budget = ReceiveBudget::new(LIMIT);
        let config = Arc::new(Config::default().receive_budget(budget.clone()));
        let mut open: Vec<_> = (0..20).map(|_| connection(role, config.clone())).collect();
        for _ in 0..1500 {
            let index = random.below(open.len());
            let size = random.below(60_000);
            let (fin, text) = (random.below(3) == 0, random.below(2) == 0);
            // Which of the two is right is for the connection to say, which fails otherwise.
            let goes_on = random.below(20) != 0;
            let first = if fin { 0x80 } else { 0 } | if goes_on { 0 } else { 1 + u8::from(text) };
            let wire = frame(role, first, &vec![b'a'; size]);
            let result = receive(&mut open[index], &wire, 50_000, watch).1;
            served += usize::from(result.is_ok());
            assert!(budget.used() <= LIMIT);
            if let Err(error) = result {
                if let ProtocolErrorKind::OverBudget { limit, size } = error.kind() {
                    assert!(limit == LIMIT as u64 && size > 0);
                    assert!(close_codes(&sent(&mut open[index])).ends_with(&[1013]));
                    refused += 1;
                }
                if random.below(2) == 0 {
                    open[index].transport_failed();
                }
                open[index] = connection(role, config.clone());
                let start = frame(role, 0x02, b"");
                assert!(receive(&mut open[index], &start, 1, watch).1.is_ok());
            }
        }
        drop(open);
        assert_eq!(budget.used(), 0);
    }
    assert!(refused > 20 && served > 100, "{refused} refused, {served} served");
}

/// B13: what is reserved ahead is not refused for want of room that the message does not need.
#[test]
fn a_budget_is_for_messages_and_not_for_what_is_reserved_ahead() {
    for role in BOTH {
        let budget = ReceiveBudget::new(KIB * KIB);
        let mut connection = connection(role, Config::default().receive_budget(budget.clone()));
        let part = vec![1; 64 * KIB];
        let mut wire = frame(role, 0x02, &part);
        (0..14).for_each(|_| wire.extend(frame(role, 0x00, &part)));
        wire.extend(frame(role, 0x80, &part));
        let (events, result) = receive(&mut connection, &wire, 10_000, watch);
        assert_eq!((events.len(), result), (1, Ok(())));
        assert_eq!(budget.used(), 0);
    }
}

/// What a budget counts is what is held: nothing of a message that is handed on in chunks.
#[test]
fn a_budget_is_given_back_by_a_change_to_chunks() {
    let budget = ReceiveBudget::new(1 << 20);
    let config = Config::default().receive_budget(budget.clone());
    let mut connection = connection(Role::Client, config);
    let mut start = frame(Role::Client, 0x02, &[0; 1000]);
    connection.receive(&mut Input::new(&mut start)).unwrap();
    assert!(budget.used() >= 1000);
    assert!(connection.receive_chunk(&mut Input::new(&mut [])).unwrap().is_some());
    assert_eq!(budget.used(), 0);
}

/// A3: the limit on frames follows the one on messages unless it is set, and the limit that is
/// named is the one that binds, whichever was set first.
#[test]
fn section_10_4_the_limit_that_binds_is_named() {
    use ProtocolErrorKind::{FrameTooBig, MessageTooBig};
    const DEFAULT: u64 = 16 << 20;
    let sizes = [0, 1, 125, 1000, DEFAULT - 1, DEFAULT, DEFAULT + 1, 20 << 20, 64 << 20];
    let set = |size: u64| usize::try_from(size).unwrap();
    let unset = [None].into_iter();
    for message in unset.clone().chain(sizes.map(Some)) {
        for frame in unset.clone().chain(sizes.map(Some)) {
            let config = Config::default();
            let config = match message {
                Some(message) => {
                    config.max_message_size(set(message)).max_frame_size(frame.map(set))
                }
                None => config.max_frame_size(frame.map(set)),
            };
            let message = message.unwrap_or(DEFAULT);
            let binds = frame.unwrap_or(message).min(message);
            for size in [binds, binds + 1, 40 << 20, 1 << 40] {
                let expected = match (size > binds, frame == Some(binds)) {
                    (false, _) => Ok(()),
                    (true, true) => Err(FrameTooBig { size, limit: binds }),
                    (true, false) => Err(MessageTooBig { size, limit: binds }),
                };
                for role in BOTH {
                    let mut connection = connection(role, config.clone());
                    let wire = head(role, 0x82, size);
                    let result = receive(&mut connection, &wire, 1, watch).1.map_err(|e| e.kind());
                    assert_eq!(result, expected, "{size} of {message} and {frame:?}");
                }
            }
        }
    }
}

/// Frames of a message, empty ones too; control frames between them are none.
#[test]
fn section_10_4_fragment_limit() {
    for limit in [1, 2, 3, 10] {
        let config = Config::default().max_fragments(limit);
        for role in BOTH {
            for count in limit.saturating_sub(1).max(1)..=limit + 1 {
                let expected = if count <= limit { Ok(vec![0]) } else { Err(1008) };
                let mut wire = frame(role, if count == 1 { 0x82 } else { 0x02 }, b"");
                for i in 1..count {
                    wire.extend(frame(role, 0x89, b"ping"));
                    wire.extend(frame(role, if i + 1 == count { 0x80 } else { 0x00 }, b""));
                }
                assert_eq!(judged(role, &config, &wire), expected, "{count} of {limit}");
            }
        }
    }
}

/// The defaults that the documentation names.
#[test]
fn section_10_4_defaults() {
    let judge = |length: u64| {
        let mut connection = Connection::server(Config::default());
        receive(&mut connection, &head(Role::Server, 0x82, length), 1, watch)
            .1
            .map_err(|e| e.kind())
    };
    assert_eq!(judge(16 << 20), Ok(()));
    let size = (16 << 20) + 1;
    assert_eq!(judge(size), Err(ProtocolErrorKind::MessageTooBig { size, limit: 16 << 20 }));

    for (kind, piece, code) in [
        ("empty fragments", frame(Role::Server, 0x00, b""), 1008),
        ("full fragments", frame(Role::Server, 0x00, &[0; 64 * KIB]), 1009),
    ] {
        let mut connection = Connection::server(Config::default());
        receive(&mut connection, &frame(Role::Server, 0x02, b""), 1, watch).1.unwrap();
        let mut buffer = piece.clone();
        let error = (0..1 << 20).find_map(|i| {
            buffer.copy_from_slice(&piece);
            connection.receive(&mut Input::new(&mut buffer)).err().map(|error| (i + 1, error))
        });
        let (pieces, error) = error.unwrap_or_else(|| panic!("{kind} for ever"));
        assert_eq!(u16::from(error.close_code()), code, "{kind}");
        assert_eq!(pieces, if code == 1008 { 131_072 } else { 257 }, "{kind}");
    }
}

/// Row 98: an announced length is compared before anything is reserved, at every border of every
/// integer that it could be put into, alone and as a sum.
#[test]
fn section_10_4_announced_lengths_reserve_nothing() {
    let borders = [1 << 25, 1 << 31, 1 << 32, 1 << 62, 1 << 63];
    for border in borders {
        for length in [border - 1, border, border + 1, (border - 1) * 2 + 1] {
            for first in [0x81, 0x02, 0x00] {
                let wire = [
                    if first == 0 { frame(Role::Server, 0x01, b"a") } else { vec![] },
                    head(Role::Server, first, length),
                    vec![0; 100],
                ]
                .concat();
                let mut connection = Connection::server(Config::default());
                let mut buffer = wire.clone();
                let (result, heap) = measure(|| last_result(&mut connection, &mut buffer));
                let code = u16::from(result.unwrap_err().close_code());
                assert_eq!(code, if length >> 63 == 0 { 1009 } else { 1002 }, "{length:#x}");
                assert!(heap.peak < KIB, "{length:#x}: {heap:?}");
            }
        }
    }
}

/// Without a limit worth the name, a length is still no more than a promise; one that no buffer of
/// this platform can hold (2^31 with 32 bits) is over every limit.
#[test]
fn section_10_4_a_limit_beyond_memory_reserves_a_constant() {
    let config = Config::default().max_message_size(usize::MAX).max_frame_size(usize::MAX);
    for length in [1 << 30, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1] {
        for first in [0x81, 0x02] {
            let mut connection = Connection::server(config.clone());
            let mut wire = [head(Role::Server, first, length), vec![KEY[0], KEY[1]]].concat();
            let (result, heap) = measure(|| last_result(&mut connection, &mut wire));
            let judged = if length > isize::MAX as u64 { Err(1009) } else { Ok(()) };
            let result = result.map_err(|error| u16::from(error.close_code()));
            assert_eq!(result, judged, "{length:#x}");
            assert!(heap.peak <= 2 * MIB, "{length:#x}: {heap:?}");
        }
        // The sum passes what a buffer can hold on any platform.
        let wire = [frame(Role::Server, 0x02, &[0; 2]), head(Role::Server, 0x80, (1 << 63) - 1)];
        assert_eq!(judged(Role::Server, &config, &wire.concat()), Err(1009));
    }
}

/// Gives all of `wire` and forgets the events.
fn last_result(connection: &mut Connection, wire: &mut [u8]) -> Result<(), ProtocolError> {
    let mut input = Input::new(wire);
    while connection.receive(&mut input)?.is_some() {}
    Ok(())
}

/// A legal frame in tiny reads costs what it holds.
#[test]
fn a_frame_in_reads_of_one_byte_costs_its_payload() {
    for first in [0x81, 0x82] {
        let mut wire = frame(Role::Server, first, &vec![b'x'; MIB]);
        let mut connection = Connection::server(Config::default());
        let (length, heap) = measure(|| {
            let mut length = 0;
            for byte in wire.chunks_mut(1) {
                if let Some(Event::Message(message)) =
                    connection.receive(&mut Input::new(byte)).unwrap()
                {
                    length = message.as_bytes().len();
                }
            }
            length
        });
        assert_eq!(length, MIB);
        assert!(heap.peak < MIB + 4 * KIB, "{heap:?}");
        assert!(heap.calls < 10, "{heap:?}");
        assert!(heap.kept == 0, "{heap:?}");
    }
}

/// Fragments of one byte cost no more than twice what they hold.
#[test]
fn fragments_of_one_byte_cost_twice_their_payload() {
    for first in [0x01, 0x02] {
        let mut connection = Connection::server(Config::default());
        let mut start = frame(Role::Server, first, b"x");
        let part = frame(Role::Server, 0x00, b"x");
        let mut buffer = part.clone();
        let (_, heap) = measure(|| {
            last_result(&mut connection, &mut start).unwrap();
            for _ in 1..100_000 {
                buffer.copy_from_slice(&part);
                last_result(&mut connection, &mut buffer).unwrap();
            }
        });
        assert!(heap.peak <= 2 * 100_000 + KIB, "{heap:?}");
        assert!(heap.calls < 40, "{heap:?}");
    }
}

/// A million pings that nobody reads the answers of: sixteen and the newest are answered.
#[test]
fn section_5_5_3_a_ping_flood_is_bounded() {
    const PINGS: u32 = 1_000_000;
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let mut wire = frame(role, 0x89, &[0; 125]);
        let start = wire.len() - 125;
        let key = if role == Role::Server { KEY } else { [0; 4] };
        let (_, heap) = measure(|| {
            for i in 0..PINGS {
                // The number is masked by hand; what was unmasked in place does not matter.
                wire[..2].copy_from_slice(&head(role, 0x89, 125)[..2]);
                for (at, byte) in i.to_be_bytes().into_iter().enumerate() {
                    wire[start + at] = byte ^ key[at];
                }
                let mut input = Input::new(&mut wire);
                let event = connection.receive(&mut input).unwrap();
                assert!(matches!(event, Some(Event::Ping(_))));
                assert!(connection.outbox().remaining() <= 16 * 131);
            }
        });
        assert!(heap.peak < 8 * KIB, "{heap:?}");
        let pongs = sent(&mut connection).into_iter().map(|(first, payload)| {
            assert_eq!(first, 0x8a);
            u32::from_be_bytes(*payload.first_chunk().unwrap())
        });
        let expected: Vec<u32> = (0..16).chain([PINGS - 1]).collect();
        assert_eq!(pongs.collect::<Vec<_>>(), expected, "{role:?}");
    }
}

/// The same after our own Close, when pings are still answered.
#[test]
fn section_5_5_3_a_ping_flood_while_closing_is_bounded() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let pings = frame(role, 0x89, &[7; 125]).repeat(100);
        receive(&mut connection, &pings, 1000, watch).1.unwrap();
        connection.start_close(None).unwrap();
        for _ in 0..100 {
            receive(&mut connection, &pings, 1000, watch).1.unwrap();
        }
        assert!(connection.outbox().remaining() <= 34 * 131);
        let frames = sent(&mut connection);
        assert_eq!(close_codes(&frames).len(), 1);
        assert!(frames.len() <= 35, "{} frames", frames.len());
    }
}

/// A message is accepted whenever what waits is under the limit, whatever its own size. Here it is
/// the mark too, as it is smaller than that.
#[test]
fn unsent_bytes_have_a_limit() {
    for role in BOTH {
        for mark in [0, 1, 2, 100, 1000] {
            for backlog in [0, 1, 50, mark, mark + 1, 2000] {
                let mut connection = connection(role, Config::default().max_unsent(mark));
                if backlog > 0 {
                    connection.feed(vec![0; 4000]).unwrap();
                    let mut outbox = connection.outbox();
                    outbox.advance(outbox.remaining() - backlog);
                }
                let accepts = backlog < mark.max(1);
                assert_eq!(connection.is_ready(), accepts, "{backlog} of {mark}");
                let large = Bytes::from(vec![1; 100_000]);
                match connection.feed(large.clone()) {
                    Ok(()) => {
                        assert!(accepts, "{backlog} of {mark}");
                        let queued = head(other(role), 0x82, 100_000).len() + 100_000;
                        assert_eq!(connection.outbox().remaining(), backlog + queued);
                    }
                    Err(error) => {
                        assert!(!accepts, "{backlog} of {mark}");
                        assert_eq!(error.reason, SendErrorReason::Full);
                        let Message::Binary(back) = error.message else { panic!("not binary") };
                        assert_eq!(back.as_ptr(), large.as_ptr(), "handed back, not copied");
                        assert_eq!(connection.outbox().remaining(), backlog, "nothing changed");
                        let ping = connection.ping(ControlPayload::EMPTY);
                        assert_eq!(ping, Err(SendErrorReason::Full));
                        drain(&mut connection);
                        connection.feed("again").unwrap();
                    }
                }
            }
        }
    }
}

/// Pongs and the Close are always accepted, and a refused text comes back as text.
#[test]
fn the_limit_does_not_hold_control_frames_back() {
    for role in BOTH {
        let mut connection = connection(role, Config::default().max_unsent(1));
        connection.feed("first").unwrap();
        let error = connection.feed("second").unwrap_err();
        assert_eq!(
            (error.reason, error.message.as_text()),
            (SendErrorReason::Full, Some("second"))
        );
        receive(&mut connection, &frame(role, 0x89, b"ping"), 1, watch).1.unwrap();
        connection.start_close(None).unwrap();
        let expected = [(0x81, b"first".to_vec()), (0x8a, b"ping".to_vec()), (0x88, vec![])];
        assert_eq!(sent(&mut connection), expected);
    }
}

/// A server that is not read keeps what was accepted, and no more.
#[test]
fn a_peer_that_does_not_read_costs_the_limit() {
    let mut connection = Connection::server(Config::default().max_unsent(64 * KIB));
    let message = [0; 1000];
    let (accepted, heap) = measure(|| {
        (0..10_000).filter(|_| connection.feed(MessageRef::Binary(&message)).is_ok()).count()
    });
    assert_eq!(accepted, (64 * KIB).div_ceil(1004));
    assert!(heap.peak < 200 * KIB, "{heap:?}");
}

/// What was received of a message goes when the connection ends, not when it is dropped.
#[test]
fn an_unfinished_message_is_dropped_at_the_end() {
    let ends: [(&str, fn(&mut Connection)); 7] = [
        ("error", |c| assert!(receive(c, b"\x83", 1, watch).1.is_err())),
        ("Close", |c| receive(c, &frame(Role::Server, 0x88, b""), 1, watch).1.unwrap()),
        ("end of file", Connection::receive_eof),
        ("broken", Connection::transport_failed),
        ("close deadline", |c| {
            c.start_close(None).unwrap();
            c.handle_timeout(common::seconds(1.0)).unwrap();
            c.handle_timeout(common::seconds(5.0)).unwrap();
            c.handle_timeout(common::seconds(6.0)).unwrap_err();
        }),
        ("deadline of a write that failed", |c| {
            c.write_failed();
            c.handle_timeout(common::seconds(1.0)).unwrap();
            c.handle_timeout(common::seconds(5.0)).unwrap();
            c.handle_timeout(common::seconds(6.0)).unwrap();
        }),
        ("idle", |c| {
            let idle =
                (1..100).find(|at| c.handle_timeout(common::seconds(f64::from(*at))).is_err());
            assert!(idle.is_some());
        }),
    ];
    for (name, end) in ends {
        let config = Config::default().idle_timeout(core::time::Duration::from_secs(10));
        let mut connection = Connection::server(config);
        let mut wire = frame(Role::Server, 0x02, &[0; 100_000]);
        let (_, heap) = measure(|| {
            last_result(&mut connection, &mut wire).unwrap();
            end(&mut connection);
        });
        assert!(heap.kept < 1000, "{name}: {heap:?}");
    }
}

/// Whole messages are all that comes out, up to the limit; the sum of all events of a stream is
/// no more than the stream.
#[test]
fn nothing_comes_out_that_did_not_go_in() {
    let wire = frames(Role::Client, &[(0x01, b"ab"), (0x89, b"c"), (0x80, b"d"), (0x82, b"e")]);
    let mut connection = connection(Role::Client, Config::default());
    let (events, _) = receive(&mut connection, &wire, 1, watch);
    let expected = [Seen::Ping(b"c".into()), Seen::text("abd"), Seen::Binary(b"e".into())];
    assert_eq!(events, expected);
}
