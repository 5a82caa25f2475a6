//! permessage-deflate (RFC 7692) over the sans-IO core: what is read, what is written, what is
//! refused.
#![cfg(feature = "deflate")]

use crate::{common, deflate};

use common::{BOTH, Random, Seen, close_codes, frame, frames, other, receive, sent, watch};
use deflate::{Blocks, TAIL, deflating, inflate, largest, params, with_bits};
use fullduplex::{
    Closed, Config, Connection, Event, Input, ProtocolError, ProtocolErrorKind as Kind, Role,
    deflate::{Compression, Deflate},
    frame::{ControlPayload, Rsv},
};

/// A first byte with RSV1: a whole compressed message.
const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;

fn both_ends(role: Role) -> Connection {
    deflating(role, Config::default(), params(""))
}

/// What a fresh connection makes of these frames: the same however they are cut.
#[track_caller]
fn read(role: Role, config: &Config, agreed: &str, wire: &[u8]) -> (Vec<Seen>, Result<(), Kind>) {
    let mut results = [1, 2, 7, usize::MAX].into_iter().map(|step| {
        let mut connection = deflating(role, config.clone(), params(agreed));
        let (events, result) = receive(&mut connection, wire, step, watch);
        let result = result.map_err(|error: ProtocolError| error.kind());
        if let Err(kind) = result {
            let error_code = close_codes(&sent(&mut connection));
            assert_eq!(error_code.len(), 1, "{kind:?}");
        }
        (events, result)
    });
    let first = results.next().unwrap();
    for result in results {
        assert_eq!(result, first);
    }
    first
}

#[track_caller]
fn reads(wire: &[(u8, &[u8])], expected: &[Seen]) {
    for role in BOTH {
        let (events, result) = read(role, &Config::default(), "", &frames(role, wire));
        assert_eq!((&events[..], result), (expected, Ok(())), "{role:?}");
    }
}

#[track_caller]
fn fails(wire: &[(u8, &[u8])], kind: Kind) {
    for role in BOTH {
        let (_, result) = read(role, &Config::default(), "", &frames(role, wire));
        assert_eq!(result, Err(kind), "{role:?}");
    }
}

fn hello() -> Seen {
    Seen::text("Hello")
}

// §7.2.3

#[test]
fn rfc7692_7_2_3_1_a_message_in_one_frame_and_in_two() {
    reads(&[(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00")], &[hello()]);
    reads(&[(0x41, b"\xf2\x48\xcd"), (0x80, b"\xc9\xc9\x07\x00")], &[hello()]);
}

#[test]
fn rfc7692_7_2_3_2_sharing_the_window() {
    let first = (TEXT, &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..]);
    let second = (TEXT, &b"\xf2\x00\x11\x00\x00"[..]);
    reads(&[first, second], &[hello(), hello()]);
    // Without takeover the second refers to nothing.
    for role in BOTH {
        let none = "server_no_context_takeover; client_no_context_takeover";
        let wire = frames(role, &[first, second]);
        let (events, result) = read(role, &Config::default(), none, &wire);
        assert_eq!((&events[..], result), (&[hello()][..], Err(Kind::InvalidDeflate)));
    }
}

#[test]
fn rfc7692_7_2_3_3_a_block_without_compression() {
    reads(&[(TEXT, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")], &[hello()]);
}

#[test]
fn rfc7692_7_2_3_4_a_block_with_bfinal() {
    let last = (TEXT, &b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"[..]);
    reads(&[last], &[hello()]);
    // And the window outlives it.
    reads(&[last, (TEXT, b"\xf2\x00\x11\x00\x00"), last], &[hello(), hello(), hello()]);
}

#[test]
fn rfc7692_7_2_3_5_two_blocks_in_a_message() {
    reads(&[(TEXT, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")], &[hello()]);
}

#[test]
fn rfc7692_7_2_3_6_an_empty_message() {
    reads(&[(TEXT, b"\x00"), (BINARY, b"\x00")], &[Seen::text(""), Seen::Binary(vec![])]);
    for role in BOTH {
        let mut connection = both_ends(role);
        for _ in 0..3 {
            connection.feed(Compression::Always.of("")).unwrap();
            connection.feed(Compression::Always.of(b"")).unwrap();
        }
        let expected = [(TEXT, vec![0]), (BINARY, vec![0])];
        assert!(sent(&mut connection).chunks(2).all(|two| two == expected), "{role:?}");
        // Among others, too.
        connection.feed(Compression::Always.of("Hello")).unwrap();
        connection.feed(Compression::Always.of("")).unwrap();
        connection.feed(Compression::Always.of("Hello")).unwrap();
        let frames = sent(&mut connection);
        assert_eq!(frames[1], (TEXT, vec![0]));
        assert_eq!(inflate(b"Hello", &frames[2].1).unwrap().bytes, b"Hello");
    }
}

/// What a whole stream of blocks may look like, cut at each byte into frames.
#[test]
fn blocks_of_every_sort() {
    let long: Vec<u8> = (0..40_000_u32).map(|i| ((i * i) >> 7) as u8).collect();
    let cases: [(&str, Vec<u8>, Vec<u8>); 12] = [
        ("stored", Blocks::new().stored(false, b"abc").message(), b"abc".to_vec()),
        ("stored and last", Blocks::new().stored(true, b"abc").message(), b"abc".to_vec()),
        ("fixed", Blocks::new().fixed(false, b"ab\xffc", None).message(), b"ab\xffc".to_vec()),
        ("a repetition", Blocks::new().fixed(false, b"abc", Some(3)).message(), b"abcabc".to_vec()),
        (
            "last in the middle, and a repetition across it",
            Blocks::new().fixed(true, b"abc", None).fixed(false, b"", Some(3)).message(),
            b"abcabc".to_vec(),
        ),
        (
            "several streams",
            Blocks::new()
                .stored(true, b"ab")
                .fixed(true, b"c", Some(3))
                .stored(true, b"")
                .fixed(true, b"", Some(2))
                .message(),
            b"abcabcbcb".to_vec(),
        ),
        ("empty blocks", Blocks::new().stored(false, b"").stored(false, b"").message(), vec![]),
        ("an empty last one", Blocks::new().fixed(true, b"", None).message(), vec![]),
        (
            "far back",
            Blocks::new().stored(false, &long[..32_768]).fixed(true, b"", Some(32_768)).message(),
            [&long[..32_768], &long[..3]].concat(),
        ),
        // Not what a sender should do, but what it means is clear.
        ("no byte", vec![], vec![]),
        ("only a stream", Blocks::new().fixed(true, b"abc", None).raw(), b"abc".to_vec()),
        ("only a stored stream", Blocks::new().stored(true, b"abc").raw(), b"abc".to_vec()),
    ];
    for (name, message, expected) in &cases {
        for role in BOTH {
            let wire = frame(role, BINARY, message);
            let (events, result) = read(role, &Config::default(), "", &wire);
            assert_eq!(
                (&events[..], result),
                (&[Seen::Binary(expected.clone())][..], Ok(())),
                "{name}"
            );
            for cut in (0..=message.len()).take(60) {
                let (first, second) = message.split_at(cut);
                let pieces = [(0x42, first), (0x89, b"between"), (0x80, second)];
                let (events, result) = read(role, &Config::default(), "", &frames(role, &pieces));
                let ping = Seen::Ping(b"between".to_vec());
                assert_eq!(events, [ping, Seen::Binary(expected.clone())], "{name} cut at {cut}");
                assert_eq!(result, Ok(()));
            }
        }
    }
    // All in one connection, twice: the window goes through each of them.
    for role in BOTH {
        let all: Vec<(u8, &[u8])> =
            cases.iter().map(|(_, message, _)| (BINARY, &message[..])).collect();
        let expected: Vec<Seen> =
            cases.iter().map(|(_, _, bytes)| Seen::Binary(bytes.clone())).collect();
        let (events, result) =
            read(role, &Config::default(), "", &frames(role, &[&all[..], &all[..]].concat()));
        assert_eq!((events, result), ([&expected[..], &expected[..]].concat(), Ok(())));
    }
}

/// A stream that ends where the message does, with the empty block behind it that §7.2.1 wants and
/// without: it is taken, and the next message refers into it. Without takeover there is nothing to
/// refer to.
#[test]
fn rfc7692_7_2_3_4_a_stream_that_ends_with_the_message_and_what_refers_into_it() {
    let again: &[u8] = b"\xf2\x00\x11\x00\x00"; // "Hello", five bytes back
    let hello_stream = Blocks::new().fixed(true, b"Hello", None);
    let stored = Blocks::new().stored(true, b"Hello");
    for stream in [hello_stream, stored] {
        for message in [stream.clone().raw(), [stream.raw(), vec![0]].concat()] {
            for bits in [9, 12, 15] {
                for role in BOTH {
                    let message = &message[..];
                    let config = Config::default();
                    let wire = frames(
                        role,
                        &[(TEXT, message), (TEXT, again), (TEXT, message), (TEXT, again)],
                    );
                    let way = |takeover: &str| {
                        format!(
                            "server_max_window_bits={bits}; client_max_window_bits={bits}{takeover}"
                        )
                    };
                    let (events, result) = read(role, &config, &way(""), &wire);
                    assert_eq!((&events[..], result), (&vec![hello(); 4][..], Ok(())));
                    let none = "; server_no_context_takeover; client_no_context_takeover";
                    let (events, result) = read(role, &config, &way(none), &wire);
                    let failed = Err(Kind::InvalidDeflate);
                    assert_eq!((&events[..], result), (&[hello()][..], failed));
                }
            }
        }
    }
}

/// RSV1 with no payload at all, under takeover: an empty message, and the window is as it was.
#[test]
fn rsv1_with_an_empty_payload_leaves_the_window_alone() {
    let (first, again): (&[u8], &[u8]) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
    let empty = Seen::text("");
    reads(&[(TEXT, b""), (BINARY, b"")], &[empty.clone(), Seen::Binary(vec![])]);
    reads(
        &[(TEXT, first), (TEXT, b""), (TEXT, again), (0x41, b""), (0x00, b""), (0x80, b"")],
        &[hello(), empty.clone(), hello(), empty],
    );
    reads(&[(TEXT, first), (0x41, b""), (0x80, again)], &[hello(), hello()]);
    reads(&[(TEXT, first), (0x41, again), (0x80, b"")], &[hello(), hello()]);
}

/// Each byte of a compressed message is a frame, with empty frames between, whole and in chunks.
#[test]
fn a_message_cut_at_every_byte_with_empty_frames_between() {
    let text = prose(&mut Random::new(2), 5_000);
    for role in BOTH {
        let mut sender = both_ends(other(role));
        let mut cut = Vec::new();
        for _ in 0..2 {
            sender.feed(Compression::Always.of(&text)).unwrap();
            let message = sent(&mut sender).remove(0).1;
            cut.extend(frame(role, 0x41, b""));
            for byte in &message {
                cut.extend(frame(role, 0x00, &[*byte]));
                cut.extend(frame(role, 0x00, b""));
            }
            cut.extend(frame(role, 0x80, b""));
        }
        let (events, result) = read(role, &Config::default(), "", &cut);
        assert_eq!((events, result), (vec![Seen::text(&text); 2], Ok(())));
        let mut receiver = both_ends(role);
        let (mut input, mut said, mut messages) = (Input::new(&mut cut), Vec::new(), 0);
        while let Some(event) = receiver.receive_chunk(&mut input).unwrap() {
            let Event::Chunk(chunk) = event else { panic!() };
            said.extend_from_slice(chunk.as_bytes());
            messages += usize::from(chunk.is_last());
        }
        assert_eq!(messages, 2);
        assert!(said == text.repeat(2).into_bytes());
    }
}

/// Every window that a server may answer with, to what a client offers by default: the client keeps
/// to it and to its own, reads as far back as was named, and tells what is used (§7.1.2).
#[test]
fn rfc7692_7_1_2_any_window_in_the_answer() {
    let mut random = Random::new(712);
    for server_bits in [None, Some(8), Some(9), Some(10), Some(12), Some(15)] {
        for client_bits in [None, Some(8), Some(9), Some(10), Some(12), Some(15)] {
            let bits = |name, bits: Option<u8>| {
                bits.map_or(String::new(), |bits| format!("; {name}_max_window_bits={bits}"))
            };
            let answer = bits("server", server_bits) + &bits("client", client_bits);
            let answer = format!("permessage-deflate{answer}").parse().unwrap();
            let agreed = Deflate::default().agreed(&[answer]).unwrap().unwrap();
            let mut client = deflating(Role::Client, Config::default(), agreed);
            let used = client.deflate().copied().unwrap();
            let (most, own) = (server_bits.unwrap_or(15), client_bits.unwrap_or(15).min(12));
            assert_eq!((used.server_max_window_bits(), used.client_max_window_bits()), (most, own));
            // What it sends.
            let (mut window, mut furthest) = (Vec::new(), 0);
            for _ in 0..4 {
                let text = prose(&mut random, 6_000);
                client.feed(&text).unwrap();
                let (first, message) = sent(&mut client).remove(0);
                if own == 8 {
                    assert_eq!((first, &message[..]), (0x81, text.as_bytes()), "no such window");
                    continue;
                }
                let inflated = inflate(&window, &message).unwrap();
                assert_eq!((first, &inflated.bytes[..]), (TEXT, text.as_bytes()));
                furthest = furthest.max(inflated.furthest);
                window.extend(text.into_bytes());
            }
            assert!(furthest <= 1 << own, "{furthest} bytes back with {own} bits");
            assert!(own == 8 || furthest > 0);
            // What it reads.
            let back = 1_usize << most;
            let [first, second] = twice(back, &mut random);
            let wire = frames(Role::Client, &[(BINARY, &first), (BINARY, &second)]);
            let (events, result) = receive(&mut client, &wire, usize::MAX, watch);
            assert_eq!((events.len(), result), (2, Ok(())), "{most} bits");
        }
    }
}

/// D14: what was agreed on is told to a connection once, and before anything else: otherwise it is
/// refused, and nothing counts as sent.
#[test]
fn deflate_begins_once_and_first() {
    use fullduplex::deflate::DeflateRefused::{Late, Twice};
    let refused = |connection: Connection| connection.with_deflate(params("")).err();
    type Do<'d> = &'d dyn Fn(&mut Connection);
    for role in BOTH {
        let new = || common::connection(role, Config::default().max_sent_frame(100));
        assert_eq!(refused(new().with_deflate(None).unwrap()), None);
        assert_eq!(refused(new().with_deflate(params("")).unwrap()), Some(Twice));
        // None is not twice.
        assert!(new().with_deflate(params("")).unwrap().with_deflate(None).is_ok());
        let receives = |bytes: Vec<u8>| {
            move |connection: &mut Connection| {
                connection.receive(&mut Input::new(&mut bytes.clone())).unwrap();
            }
        };
        let things: [(&str, Do<'_>); 10] = [
            ("a message", &|connection| connection.feed("x").unwrap()),
            ("a message in frames", &|connection| connection.feed("x".repeat(500)).unwrap()),
            ("a fragment", &|connection| connection.feed_fragment("x", false).unwrap()),
            ("a ping", &|connection| connection.ping(ControlPayload::new(b"x").unwrap()).unwrap()),
            ("a Close", &|connection| connection.start_close(None).unwrap()),
            ("what was written", &|connection| {
                connection.feed("x").unwrap();
                sent(connection);
            }),
            ("the end", &|connection| connection.receive_eof()),
            ("a message that came", &receives(frame(role, 0x81, b"x"))),
            ("a part of a head", &receives(frame(role, 0x81, b"x")[..1].to_vec())),
            ("a ping that came", &receives(frame(role, 0x89, b""))),
        ];
        for (name, thing) in things {
            let mut connection = new();
            thing(&mut connection);
            assert_eq!(refused(connection), Some(Late), "{role:?}, behind {name}");
            // With it agreed on, a second time is refused in the middle of anything, too.
            let mut connection = new().with_deflate(params("")).unwrap();
            thing(&mut connection);
            assert_eq!(refused(connection), Some(Twice), "{role:?}, behind {name}");
        }
    }
    assert_ne!(Late.to_string(), Twice.to_string());
}

// §6.1, §6.2

/// All input may be used up while something of it is still to come: the end of a repetition, behind
/// a buffer that is full. Bytes of nine bits shift it to where that is.
#[test]
fn a_repetition_across_the_end_of_a_buffer() {
    for nines in 0..8 {
        for beyond in 1..3 {
            let literals = vec![0xff; nines];
            let front = vec![b'x'; 32 * 1024 - nines - 3 + beyond];
            let stream =
                Blocks::new().stored(false, &front).fixed(true, &literals, Some(1_000)).raw();
            let message = Seen::Binary([&front[..], &literals, b"xxx"].concat());
            for role in BOTH {
                let wire = frame(role, BINARY, &stream);
                let (events, result) = read(role, &Config::default(), "", &wire);
                assert_eq!(result, Ok(()), "{role:?} {nines} {beyond}");
                assert!(events == [message.clone()], "{role:?} {nines} {beyond}");
            }
        }
    }
}

/// Known failure 26: RSV1 in every place it can be, with and without negotiation.
#[test]
fn rfc7692_6_1_rsv1_only_at_the_start_of_a_message() {
    let refused = Kind::ReservedBits(Rsv::RSV1);
    let good: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    type Frames<'f> = &'f [(u8, &'f [u8])];
    let places: [(&str, Frames<'_>); 9] = [
        ("continuation of plain", &[(0x01, b"a"), (0xc0, good)]),
        ("continuation of compressed", &[(0x41, &good[..2]), (0xc0, &good[2..])]),
        ("continuation in the middle", &[(0x41, &good[..2]), (0x40, &good[2..4])]),
        ("ping", &[(0xc9, b"")]),
        ("pong", &[(0xca, b"")]),
        ("close", &[(0xc8, b"")]),
        ("ping inside of a message", &[(0x41, good), (0xc9, b"")]),
        ("continuation of nothing", &[(0xc0, good)]),
        ("continuation after a whole one", &[(TEXT, good), (0xc0, b"")]),
    ];
    for (place, wire) in places {
        println!("{place}");
        fails(wire, refused);
    }
    // A new message inside of another is one mistake more, whichever is reported.
    for wire in [[(0x41, good), (TEXT, good)], [(0x01, b"a"), (TEXT, good)]] {
        for role in BOTH {
            let mut connection = both_ends(role);
            receive(&mut connection, &frames(role, &wire), usize::MAX, watch).1.unwrap_err();
            assert_eq!(close_codes(&sent(&mut connection)), [1002]);
        }
    }
    for role in BOTH {
        // Without negotiation, with every bit.
        for first in [0x41, 0x42, TEXT, BINARY, 0xc9, 0xa1, 0x91] {
            let mut connection = common::connection(role, Config::default().deflate(largest()));
            let (_, result) = receive(&mut connection, &frame(role, first, good), 3, watch);
            assert!(matches!(result.unwrap_err().kind(), Kind::ReservedBits(_)), "{first:x}");
            assert_eq!(close_codes(&sent(&mut connection)), [1002]);
        }
        // With it, the other bits stay reserved.
        for first in [0xa1, 0x91, 0xe1, 0xd1, 0xf1] {
            let (_, result) = read(role, &Config::default(), "", &frame(role, first, good));
            assert!(matches!(result, Err(Kind::ReservedBits(_))), "{first:x}");
        }
    }
}

/// §6.1: plain messages are allowed at any time and do not touch the window; control frames go
/// between fragments.
#[test]
fn rfc7692_6_1_plain_messages_and_control_frames_between() {
    let (first, again): (&[u8], &[u8]) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
    let plain = vec![b'x'; 70_000];
    reads(
        &[
            (TEXT, first),
            (0x81, &plain),
            (0x41, &again[..2]),
            (0x89, b"ping"),
            (0x00, b""),
            (0x00, &again[2..3]),
            (0x8a, b"pong"),
            (0x80, &again[3..]),
            (0x02, &plain[..9]),
            (0x80, &plain[9..]),
            (TEXT, again),
        ],
        &[
            hello(),
            Seen::Text(String::from_utf8(plain.clone()).unwrap()),
            Seen::Ping(b"ping".to_vec()),
            Seen::Pong(b"pong".to_vec()),
            hello(),
            Seen::Binary(plain.clone()),
            hello(),
        ],
    );
}

/// §6.2: UTF-8 is judged after inflating, and as early as without compression.
#[test]
fn rfc7692_6_2_utf_8_after_inflating() {
    let text = "grüße, κόσμε 🦀".as_bytes();
    for cut in 0..text.len() {
        let message = Blocks::new().stored(false, &text[..cut]).fixed(true, &text[cut..], None);
        reads(
            &[(TEXT, &message.message())],
            &[Seen::Text(String::from_utf8(text.to_vec()).unwrap())],
        );
    }
    for bad in [&b"\xff"[..], b"ab\xc0\x80", b"\xed\xa0\x80", b"ok \xf0\x9f"] {
        let message = Blocks::new().stored(false, bad).message();
        fails(&[(TEXT, &message)], Kind::InvalidUtf8);
        reads(&[(BINARY, &message)], &[Seen::Binary(bad.to_vec())]);
    }
    // Before the message is whole (Autobahn 6.4.3).
    for role in BOTH {
        let mut connection = both_ends(role);
        let wire = frame(role, 0x41, &Blocks::new().stored(false, b"abc\xff").raw());
        let (_, result) = receive(&mut connection, &wire, 1, watch);
        assert_eq!(result.unwrap_err().kind(), Kind::InvalidUtf8);
        assert_eq!(close_codes(&sent(&mut connection)), [1007]);
    }
}

/// What cannot be inflated fails with 1007, and so does what breaks off.
#[test]
fn corrupt_data_fails_with_1007() {
    let cases: [(&str, Vec<u8>); 9] = [
        ("block type 3", vec![0x06]),
        ("stored lengths", b"\x00\x05\x00\xfa\xfe\x48".to_vec()),
        ("refers to nothing", Blocks::new().fixed(false, b"ab", Some(3)).message()),
        ("refers to nothing, far", Blocks::new().fixed(false, b"ab", Some(32_768)).message()),
        ("random", vec![0xff; 40]),
        ("without its end", b"\xf2\x48\xcd\xc9\xc9\x07".to_vec()),
        ("cut in a code", b"\xf2\x48\xcd".to_vec()),
        ("cut in a stored block", b"\x00\x05\x00\xfa\xff\x48\x65".to_vec()),
        ("with its tail", [&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], &TAIL].concat()),
    ];
    for (name, message) in cases {
        println!("{name}");
        fails(&[(BINARY, &message)], Kind::InvalidDeflate);
        fails(&[(0x42, &message[..1]), (0x80, &message[1..])], Kind::InvalidDeflate);
    }
    for role in BOTH {
        let mut connection = both_ends(role);
        receive(&mut connection, &frame(role, BINARY, &[0x06]), 1, watch).1.unwrap_err();
        assert_eq!(close_codes(&sent(&mut connection)), [1007]);
    }
}

/// What stands in front of corrupt data counts first, as if the input had been cut there; and the
/// error does not wait for more input.
#[test]
fn data_in_front_of_corrupt_data_is_looked_at() {
    let corrupt = |text: &[u8]| [Blocks::new().stored(false, text).raw(), vec![0x06]].concat();
    for first in [0x41, TEXT] {
        fails(&[(first, &corrupt(b"fine"))], Kind::InvalidDeflate);
        fails(&[(first, &corrupt(b"not \xff text"))], Kind::InvalidUtf8);
    }
    for role in BOTH {
        let wire = frame(role, 0x42, &corrupt(&[7; 100]));
        let config = Config::default().max_message_size(99);
        let (_, result) = read(role, &config, "", &wire);
        assert_eq!(result, Err(Kind::MessageTooBig { size: 100, limit: 99 }), "{role:?}");
    }
}

// Limits (RFC 6455 §10.4)

/// Known failure 15: n passes and n + 1 fails with 1009, also where n is the size of the pieces in
/// which it is inflated; the frame limit counts bytes on the wire.
#[test]
fn the_message_limit_holds_for_inflated_bytes() {
    for n in [0, 1, 2, 125, 4_096, 16_383, 16_384, 16_385, 32_768, 65_536, 100_000] {
        for size in [n, n + 1] {
            let bytes = vec![b'x'; size];
            let stored =
                bytes.chunks(0xffff).fold(Blocks::new(), |all, some| all.stored(false, some));
            let mut other_end = both_ends(Role::Server);
            other_end.feed(Compression::Always.of(&bytes)).unwrap();
            let compressed = sent(&mut other_end).remove(0).1;
            for message in [stored.message(), compressed] {
                for first in [TEXT, BINARY] {
                    let half = message.len() / 2;
                    let whole = [(first, &message[..])];
                    let split = [(first & 0x7f, &message[..half]), (0x80, &message[half..])];
                    for wire in [&whole[..], &split[..]] {
                        for role in BOTH {
                            let config = Config::default().max_message_size(n);
                            let mut connection = deflating(role, config, params(""));
                            let wire = frames(role, wire);
                            let (events, result) = receive(&mut connection, &wire, 1_000, watch);
                            if size == n {
                                assert_eq!((events.len(), result), (1, Ok(())), "{n}");
                                continue;
                            }
                            let kind = result.unwrap_err().kind();
                            let (size, limit) = (size as u64, n as u64);
                            assert_eq!(kind, Kind::MessageTooBig { size, limit });
                            assert_eq!(close_codes(&sent(&mut connection)), [1009]);
                        }
                    }
                }
            }
        }
    }
}

/// Of a text that is not UTF-8 and too big as well, what comes first in it counts, however the
/// bytes arrive.
#[test]
fn what_is_wrong_within_the_limit_counts_before_the_limit() {
    let limit = 40_000_usize; // beyond what is inflated at once
    let config = Config::default().max_message_size(limit);
    for at in [0, 1, 32_767, 32_768, limit - 1, limit, limit + 1] {
        let mut text = vec![b'x'; limit + 10];
        text[at] = 0xff;
        let message = Blocks::new().stored(false, &text).message();
        let expected = match at < limit {
            true => Kind::InvalidUtf8,
            false => Kind::MessageTooBig { size: limit as u64 + 1, limit: limit as u64 },
        };
        for role in BOTH {
            let wire = frame(role, TEXT, &message);
            assert_eq!(read(role, &config, "", &wire), (vec![], Err(expected)), "{at}");
        }
    }
}

#[test]
fn the_frame_limit_holds_for_compressed_bytes() {
    let message = Blocks::new().stored(false, &[b'x'; 94]).message();
    assert_eq!(message.len(), 100);
    for role in BOTH {
        let wire = frame(role, BINARY, &message);
        let config = Config::default().max_frame_size(100);
        assert_eq!(read(role, &config, "", &wire).1, Ok(()));
        let (_, result) = read(role, &config.max_frame_size(99), "", &wire);
        assert_eq!(result, Err(Kind::FrameTooBig { size: 100, limit: 99 }));
        // A frame that is larger than the message in it is no fault.
        let config = Config::default().max_message_size(94);
        assert_eq!(read(role, &config, "", &wire).1, Ok(()));
        let config = Config::default().max_fragments(2);
        let three = frames(role, &[(0x42, &message[..10]), (0, b""), (0x80, &message[10..])]);
        assert_eq!(read(role, &config, "", &three).1, Err(Kind::TooManyFragments { limit: 2 }));
    }
}

/// Streams of two bytes each make us start anew each time.
#[test]
fn absurdly_many_streams_fail() {
    let tiny = Blocks::new().fixed(true, b"", None).raw();
    assert_eq!(tiny.len(), 2);
    for role in BOTH {
        // 64 are free, and one more for each 64 bytes that came. What follows the last is one, too.
        for (streams, result) in [(65, Ok(())), (66, Err(Kind::TooManyStreams))] {
            let some = [tiny.repeat(streams), vec![0]].concat();
            assert_eq!(read(role, &Config::default(), "", &frame(role, BINARY, &some)).1, result);
        }
        let (_, result) =
            read(role, &Config::default(), "", &frame(role, BINARY, &tiny.repeat(100)));
        assert_eq!(result, Err(Kind::TooManyStreams));
        // As many are fine where there is something in them.
        let one = Blocks::new().stored(true, &[b'x'; 100]).raw();
        let wire = frame(role, BINARY, &[one.repeat(1_000), vec![0]].concat());
        assert_eq!(read(role, &Config::default(), "", &wire).1, Ok(()));
    }
}

// Sending

/// Text that repeats itself at many distances.
fn prose(random: &mut Random, length: usize) -> String {
    const WORDS: [&str; 12] = [
        "the", "{\"id\":", "window", "slides", "é", "over", "\"text\"", "it", "🦀", ",\n", "0017",
        "and",
    ];
    let mut text = String::new();
    while text.len() < length {
        text.push_str(random.pick::<&str>(&WORDS));
        text.push(' ');
    }
    while text.len() > length {
        text.pop();
    }
    text
}

/// §7.1.2, §7.2.1: every size of window, with takeover and without: what is written refers back no
/// further than was agreed on, and nowhere at all without takeover.
#[test]
fn rfc7692_7_2_1_the_agreed_window_is_kept_to() {
    for role in BOTH {
        for bits in 9..=15 {
            for (takeover, level) in [(true, 1), (true, 6), (false, 1), (false, 9)] {
                let config = Config::default().deflate(largest().level(level));
                let mut connection = deflating(role, config, with_bits(bits, takeover));
                let mut random = Random::new(7);
                let (mut window, mut furthest) = (Vec::new(), 0);
                // A mark that comes again just before zlib no longer looks for it.
                let mut noise = |length| -> String {
                    (0..length).map(|_| char::from(b' ' + (random.next() % 90) as u8)).collect()
                };
                let mark = noise(60);
                let far = [mark.clone(), noise((1 << bits) - 262 - 60 - 10), mark].concat();
                let lengths = [0, 1, 70, 500, 3_000, 100, 40_000, 40_000, 2];
                let texts = lengths.map(|length| prose(&mut random, length));
                for text in texts.into_iter().chain([far]) {
                    connection.feed(Compression::Always.of(&text)).unwrap();
                    let [(first, message)] = &sent(&mut connection)[..] else { panic!() };
                    assert_eq!(*first, TEXT);
                    let before = if takeover { &window[..] } else { &[] };
                    let inflated = inflate(before, message).unwrap();
                    assert_eq!(inflated.bytes, text.as_bytes());
                    furthest = furthest.max(inflated.furthest);
                    window.extend(text.into_bytes());
                }
                assert!(furthest <= 1 << bits, "{furthest} bytes with {bits} bits");
                assert!(
                    furthest >= (1 << bits) - 272,
                    "{bits} bits are not made use of: {furthest}"
                );
            }
        }
    }
}

/// Our own settings hold where the peer allows more.
#[test]
fn own_settings_are_kept_to() {
    let config = Config::default().deflate(largest().send_window_bits(9).send_takeover(false));
    for role in BOTH {
        let mut connection = deflating(role, config.clone(), params(""));
        let text = prose(&mut Random::new(3), 20_000);
        for _ in 0..2 {
            connection.feed(&text).unwrap();
            let inflated = inflate(b"", &sent(&mut connection)[0].1).unwrap();
            assert!(inflated.bytes == text.as_bytes() && inflated.furthest <= 512);
        }
    }
}

/// §7.1.2: a window of 256 bytes cannot be written, so everything goes out plain; it can be read.
#[test]
fn rfc7692_7_1_2_windows_of_8_bits() {
    for role in BOTH {
        let mut connection = deflating(role, Config::default(), with_bits(8, true));
        for compression in [Compression::Auto, Compression::Always] {
            connection.feed(compression.of(vec![b'x'; 1_000])).unwrap();
            assert_eq!(sent(&mut connection), [(0x82, vec![b'x'; 1_000])]);
        }
        // Who says 8 may mean 9.
        let first: Vec<u8> = (0..=255).chain(0..=255).collect();
        let second = Blocks::new().fixed(false, b"", Some(512)).message();
        let wire = [
            frame(role, BINARY, &Blocks::new().stored(false, &first).message()),
            frame(role, BINARY, &second),
        ];
        receive(&mut connection, &wire[0], 99, watch).1.unwrap();
        // In another thread, so that what the connection itself remembers is made use of.
        let second = std::thread::scope(|scope| {
            scope.spawn(|| receive(&mut connection, &wire[1], 99, watch)).join().unwrap()
        });
        assert_eq!(second, (vec![Seen::Binary(vec![0, 1, 2])], Ok(())));
    }
}

/// Each message chooses: automatically by size, always, never.
#[test]
fn each_message_chooses() {
    for role in BOTH {
        let config = Config::default().deflate(Deflate::default().threshold(100));
        let mut connection = deflating(role, config, params(""));
        let choices = [Compression::Auto, Compression::Always, Compression::Never];
        for (size, compressed) in [(99, [false, true, false]), (100, [true, true, false])] {
            for (choice, compressed) in choices.into_iter().zip(compressed) {
                connection.feed(choice.of("x".repeat(size))).unwrap();
                assert_eq!(sent(&mut connection)[0].0 == TEXT, compressed, "{size} {choice:?}");
            }
        }
        connection.feed("x".repeat(99)).unwrap();
        connection.feed("x".repeat(100)).unwrap();
        let firsts: Vec<u8> = sent(&mut connection).iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0x81, TEXT]);
        // §8: what was sent plain is nowhere in the window.
        let secret = "a secret that nobody may guess, not even by length ".repeat(4);
        connection.feed(Compression::Never.of(&secret)).unwrap();
        sent(&mut connection);
        connection.feed(Compression::Always.of(&secret)).unwrap();
        let length = sent(&mut connection)[0].1.len();
        assert!(length > 40, "{length}");
        connection.feed(Compression::Always.of(&secret)).unwrap();
        let length = sent(&mut connection)[0].1.len();
        assert!(length < 20, "{length}");
    }
    // Not agreed on: always plain.
    let mut connection = Connection::server(Config::default().deflate(largest()));
    connection.feed(Compression::Always.of("x".repeat(1_000))).unwrap();
    assert_eq!(sent(&mut connection)[0].0, 0x81);
    assert_eq!(connection.deflate(), None);
}

/// Known failure 41: what does not become smaller goes out plain only where the next message cannot
/// refer to it, and never when asked to be compressed.
#[test]
fn incompressible_messages() {
    let mut random = Random::new(5);
    for size in [64, 1_000, 70_000, 300_000] {
        let noise: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
        for role in BOTH {
            for (takeover, first) in [(true, BINARY), (false, 0x82)] {
                let mut connection = deflating(role, Config::default(), with_bits(15, takeover));
                connection.feed(&noise).unwrap();
                connection.feed(Compression::Always.of(&noise)).unwrap();
                let frames = sent(&mut connection);
                assert_eq!((frames[0].0, frames[1].0), (first, BINARY));
                // What came before it is in both windows.
                let again = size <= 1_000 && takeover;
                assert_eq!(frames[1].1.len() < 50, again, "{} bytes", frames[1].1.len());
                assert!(
                    frames.iter().all(|(_, payload)| payload.len() <= size + size / 10_000 + 11)
                );
                let (wire, mut peer) = (
                    frames_of(role, &frames),
                    deflating(other(role), Config::default(), with_bits(15, takeover)),
                );
                let (events, result) = receive(&mut peer, &wire, 10_000, watch);
                assert_eq!(result, Ok(()));
                assert_eq!(events, [Seen::Binary(noise.clone()), Seen::Binary(noise.clone())]);
            }
        }
    }
}

/// Whether a message fits into a frame is asked before it is compressed.
#[test]
fn what_fits_into_a_frame_is_one() {
    let text = "to be or not to be".repeat(20);
    for role in BOTH {
        for (most, frames) in [(text.len(), 1), (text.len() - 1, 2)] {
            let config = Config::default().max_sent_frame(most);
            let mut connection = deflating(role, config, params(""));
            connection.feed(Compression::Always.of(&text)).unwrap();
            assert_eq!(sent(&mut connection).len(), frames, "{role:?}");
        }
    }
}

/// The frames that `from` has sent, as they come to the other end.
fn frames_of(from: Role, frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(other(from), *first, payload)).collect()
}

/// The head is written behind the payload; whatever its length, nothing else moves.
#[test]
fn heads_of_every_length() {
    let mut random = Random::new(11);
    for role in BOTH {
        let mut connection = both_ends(role);
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for size in [1, 120, 126, 127, 400, 4_000, 65_535, 65_536, 70_000, 500_000, 3, 200_000] {
            let noise: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
            let zeros = vec![0; size];
            for bytes in [noise, zeros] {
                connection.feed(Compression::Always.of(&bytes)).unwrap();
                let _ = connection.ping(ControlPayload::new(b"x").unwrap());
                expected.push(bytes);
            }
            wire.extend(common::drain(&mut connection));
        }
        let (events, result) = receive(&mut both_ends(other(role)), &wire, 50_000, watch);
        let messages: Vec<&Seen> = events.iter().filter(|e| matches!(e, Seen::Binary(_))).collect();
        assert_eq!((messages.len(), result), (expected.len(), Ok(())));
        assert!(
            messages.into_iter().zip(expected).all(|(seen, bytes)| *seen == Seen::Binary(bytes))
        );
    }
}

/// The backlog is counted in compressed bytes, and a message that is refused has no effect.
#[test]
fn a_refused_message_does_not_touch_the_window() {
    for role in BOTH {
        let mut connection = deflating(role, Config::default().max_unsent(1), params(""));
        let text = "a refused message must not be referred to".repeat(3);
        connection.feed(&text).unwrap();
        let error = connection.feed(Compression::Always.of(&text)).unwrap_err();
        assert_eq!(error.message, text.as_str());
        let mut frames = sent(&mut connection);
        connection.feed(&text).unwrap();
        frames.extend(sent(&mut connection));
        let (events, result) =
            receive(&mut both_ends(other(role)), &frames_of(role, &frames), 9, watch);
        assert_eq!((events, result), (vec![Seen::text(&text); 2], Ok(())));
    }
}

/// A compressed message that could not be written is missed like any other.
#[test]
fn a_message_that_was_not_written_is_known() {
    for role in BOTH {
        let mut connection = both_ends(role);
        connection.feed(Compression::Always.of("never written")).unwrap();
        receive(&mut connection, &frame(role, 0x88, b""), 1, watch).1.unwrap();
        connection.transport_failed();
        assert!(matches!(connection.closed(), Some(Closed::Unsent { .. })), "{role:?}");
    }
}

/// Connections that take turns on one thread, more than it keeps state for, and that go from thread
/// to thread: each has its own window, and none is ever lost.
#[test]
fn windows_do_not_get_mixed_up() {
    for level in [0, 1, 2, 4, 6, 9] {
        for bits in [9, 12, 15] {
            let config = Config::default().deflate(largest().level(level));
            let end = |role| deflating(role, config.clone(), with_bits(bits, true));
            let mut pairs: Vec<_> =
                (0..9).map(|_| (end(Role::Server), end(Role::Client), Vec::new())).collect();
            let mut random = Random::new(23);
            for round in 0..150 {
                let some = random.below(pairs.len());
                let length = random.size(3_000);
                let text = format!("{some} {}", prose(&mut random, length));
                let turn = |pairs: &mut Vec<(Connection, Connection, Vec<u8>)>| {
                    let (server, client, window) = &mut pairs[some];
                    server.feed(Compression::Always.of(&text)).unwrap();
                    let mut wire = common::drain(server);
                    let [(_, message)] = &common::split(Role::Server, &wire)[..] else { panic!() };
                    let inflated = inflate(window, message).unwrap();
                    assert!(inflated.bytes == text.as_bytes() && inflated.furthest <= 1 << bits);
                    window.extend(text.as_bytes());
                    let mut input = Input::new(&mut wire);
                    let event = client.receive(&mut input).unwrap().unwrap();
                    let Event::Message(message) = event else { panic!() };
                    assert_eq!(message.as_text(), Some(&text[..]));
                };
                if round % 3 == 0 {
                    std::thread::scope(|scope| scope.spawn(|| turn(&mut pairs)).join().unwrap());
                } else {
                    turn(&mut pairs);
                }
            }
        }
    }
}

/// A message is as small on a connection that takes turns with many as on one that is alone.
#[test]
fn a_window_that_was_lent_out_is_made_use_of() {
    let length = |connections: usize| -> usize {
        let config = Config::default().deflate(largest());
        let mut all: Vec<_> =
            (0..connections).map(|_| deflating(Role::Server, config.clone(), params(""))).collect();
        let mut total = 0;
        for round in 0..50 {
            for connection in &mut all {
                let text = format!("{{\"number\":{round},\"what\":\"a message like the others\"}}");
                connection.feed(Compression::Always.of(&text)).unwrap();
                total += sent(connection)[0].1.len();
            }
        }
        total / connections
    };
    let (alone, among_many) = (length(1), length(20));
    assert!(among_many <= alone + alone / 20, "{alone} {among_many}");
}

#[test]
fn what_was_agreed_on_can_be_asked_for() {
    let agreed = params("server_no_context_takeover; server_max_window_bits=11");
    let connection = deflating(Role::Client, Config::default(), agreed);
    let seen = connection.deflate().unwrap();
    assert!(seen.server_no_context_takeover() && !seen.client_no_context_takeover());
    // B3: of its own compressor a connection tells what it uses, which is 12 here.
    assert_eq!((seen.server_max_window_bits(), seen.client_max_window_bits()), (11, 12));
    for role in BOTH {
        let most = Config::default().deflate(largest());
        assert_eq!(deflating(role, most, agreed).deflate(), Some(&agreed));
        let less = Config::default().deflate(largest().send_window_bits(9).send_takeover(false));
        let used = *deflating(role, less, params("")).deflate().unwrap();
        let bits = (used.client_max_window_bits(), used.server_max_window_bits());
        let alone = (used.client_no_context_takeover(), used.server_no_context_takeover());
        let client = role == Role::Client;
        assert_eq!(bits, if client { (9, 15) } else { (15, 9) });
        assert_eq!(alone, (client, !client));
    }
    assert_eq!(Connection::server(Config::default()).with_deflate(None).unwrap().deflate(), None);
}

// What else the thread does

/// Two equal messages of noise, the second of which refers to the first: so far back.
fn twice(length: usize, random: &mut Random) -> [Vec<u8>; 2] {
    let noise: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    let all = noise.chunks(0xffff).fold(Blocks::new(), |blocks, some| blocks.stored(false, some));
    [all.message(), Blocks::new().fixed(false, b"", Some(length)).message()]
}

/// Lets other connections of this thread have the states that it lends.
fn take_turns(others: usize) {
    for _ in 0..others {
        let mut other = both_ends(Role::Server);
        let wire = frame(Role::Server, TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
        assert_eq!(receive(&mut other, &wire, 99, watch), (vec![hello()], Ok(())));
        other.feed(Compression::Always.of("Hello")).unwrap();
    }
}

/// A9: a message may refer as far back into those before it as was agreed on and no further,
/// whatever else goes on in the thread (RFC 7692 §7.1.2): one byte more fails, however many other
/// connections there are.
#[test]
fn rfc7692_7_1_2_one_verdict_whatever_the_load() {
    let mut random = Random::new(9);
    for bits in 9..=15 {
        let window = 1_usize << bits;
        for (back, good) in [(window, true), (window + 1, false), (2 * window, false)] {
            if back > 1 << 15 {
                continue; // DEFLATE has no word for that
            }
            let [first, second] = twice(back, &mut random);
            for role in BOTH {
                for others in [0, 1, 2, 4, 8, 20] {
                    for step in [7, usize::MAX] {
                        let mut end = deflating(role, Config::default(), with_bits(bits, true));
                        let wire = frame(role, BINARY, &first);
                        assert_eq!(receive(&mut end, &wire, step, watch).1, Ok(()));
                        take_turns(others);
                        let (_, result) =
                            receive(&mut end, &frame(role, BINARY, &second), step, watch);
                        let kind = result.map_err(|error| error.kind());
                        let expected = if good { Ok(()) } else { Err(Kind::InvalidDeflate) };
                        assert_eq!(kind, expected, "{role:?}, {bits} bits, {back} back, {others}");
                    }
                }
            }
        }
    }
}

/// A9: within one message all of it can be referred to, as in any zlib whose window is there, also
/// where that is more than was agreed on: the same in every piece that it comes in.
#[test]
fn within_a_message_the_window_is_that_of_deflate() {
    let mut random = Random::new(10);
    for bits in [9, 12, 15] {
        for takeover in [true, false] {
            for back in [1 << bits, 3_000, 20_000, 32_768] {
                let noise: Vec<u8> = (0..back).map(|_| random.next() as u8).collect();
                let blocks = Blocks::new().stored(false, &noise).fixed(false, b"", Some(back));
                let message = blocks.message();
                let expected = Seen::Binary([&noise[..], &noise[..3]].concat());
                for role in BOTH {
                    for (others, step) in [(0, usize::MAX), (0, 999), (9, 1_000)] {
                        let mut end = deflating(role, Config::default(), with_bits(bits, takeover));
                        for _ in 0..2 {
                            take_turns(others);
                            let wire = frame(role, BINARY, &message);
                            let (events, result) = receive(&mut end, &wire, step, watch);
                            assert_eq!(result, Ok(()), "{role:?}, {bits} bits, {back} back");
                            assert!(events == [expected.clone()]);
                        }
                    }
                }
            }
        }
    }
}
