//! Receiving: frames, masks, fragments, control frames, text (RFC 6455 §5, §6 and §8).
//!
//! Every rule is tried in each role that it applies to, with the stream in one piece and byte by
//! byte, and with a message before and behind: the one before is delivered and answered ahead of
//! the Close, the one behind is not looked at.

#![allow(clippy::type_complexity, reason = "tables say their type")]

use crate::common;

use bytes::Buf;
use common::{
    BOTH, KEY, Seen, close_body, close_frame, connection, echo, frame, frame_with, frames, head,
    head_with, receive, reference, sent, watch,
};
use fullduplex::{
    CloseCause, Config, Connection, Event, Incoming, Input, ProtocolErrorKind, Role,
    SendErrorReason, frame::ControlPayload,
};
use std::borrow::Cow;

const STEPS: [usize; 3] = [usize::MAX, 1, 3];

/// What is whole in the input is not copied, control frames neither.
#[test]
fn what_is_at_hand_is_borrowed() {
    for role in BOTH {
        let mut wire = frames(role, &[(0x89, b"a"), (0x8a, b"b"), (0x81, b"c"), (0x82, b"d")]);
        let mut input = Input::new(&mut wire);
        let mut connection = connection(role, Config::default());
        let mut next = || connection.receive(&mut input).unwrap();
        assert!(matches!(next(), Some(Event::Ping(Cow::Borrowed(b"a")))));
        assert!(matches!(next(), Some(Event::Pong(Cow::Borrowed(b"b")))));
        assert!(matches!(next(), Some(Event::Message(Incoming::Text(Cow::Borrowed("c"))))));
        assert!(matches!(next(), Some(Event::Message(Incoming::Binary(Cow::Borrowed(b"d"))))));
        assert!(next().is_none());
    }
}

/// `wire` breaks a rule: Close `code` goes out, behind what the good frames in it led to.
#[track_caller]
fn refused(code: u16, roles: &[Role], wire: impl Fn(Role) -> Vec<u8>) {
    refused_after(&[], code, roles, wire);
}

/// As [`refused`], after these events.
#[track_caller]
fn refused_after(events: &[Seen], code: u16, roles: &[Role], wire: impl Fn(Role) -> Vec<u8>) {
    let expected = [&[Seen::text("before")], events].concat();
    for &role in roles {
        let before = frame(role, 0x81, b"before");
        let behind = frames(role, &[(0x81, b"behind"), (0x89, b"behind"), (0x88, b"")]);
        let wire = [before, wire(role), behind].concat();
        for step in STEPS {
            let mut connection = connection(role, Config::default());
            let (seen, result) = receive(&mut connection, &wire, step, echo);
            let context = format!("{role:?}, {step} bytes at a time");
            assert_eq!(seen, expected, "{context}");
            let error = result.expect_err("no error");
            assert_eq!(u16::from(error.close_code()), code, "{error:?}, {context}");

            let mut sent = sent(&mut connection);
            let (first, body) = sent.pop().unwrap();
            assert_eq!((first, &body[..2]), (0x88, &code.to_be_bytes()[..]), "{context}");
            assert!(std::str::from_utf8(&body[2..]).is_ok(), "{context}");
            assert_eq!(sent, answers(&expected), "{context}");
            let verdict = reference::decode(role, reference::Limits::default(), &wire);
            assert_eq!(verdict, (expected.clone(), reference::End::Failed(code)), "{context}");
        }
    }
}

/// `wire` gives these events and no error.
#[track_caller]
fn accepted(events: &[Seen], wire: impl Fn(Role) -> Vec<u8>) {
    let expected = [&[Seen::text("before")], events, &[Seen::text("behind")]].concat();
    for role in BOTH {
        let [before, behind] = [&b"before"[..], b"behind"].map(|text| frame(role, 0x81, text));
        let wire = [before, wire(role), behind].concat();
        for step in STEPS {
            let mut connection = connection(role, Config::default());
            let (seen, result) = receive(&mut connection, &wire, step, echo);
            let context = format!("{role:?}, {step} bytes at a time");
            assert_eq!((&seen, result), (&expected, Ok(())), "{context}");
            assert_eq!(sent(&mut connection), answers(&expected), "{context}");
            let verdict = reference::decode(role, reference::Limits::default(), &wire);
            assert_eq!(verdict, (expected.clone(), reference::End::Open), "{context}");
        }
    }
}

/// What an endpoint that echoes answers: messages by themselves, pings by pongs.
fn answers(events: &[Seen]) -> Vec<(u8, Vec<u8>)> {
    let answer = |event: &Seen| match event {
        Seen::Text(text) => Some((0x81, text.clone().into_bytes())),
        Seen::Binary(bytes) => Some((0x82, bytes.clone())),
        Seen::Ping(payload) => Some((0x8a, payload.clone())),
        Seen::Pong(_) | Seen::Close(_) => None,
    };
    events.iter().filter_map(answer).collect()
}

const OPCODES: [u8; 6] = [0x0, 0x1, 0x2, 0x8, 0x9, 0xa];

// Framing

/// Row 39: no extension gives the bits a meaning, on the first, a further or a control frame.
#[test]
fn section_5_2_reserved_bits() {
    for rsv in (0x10..=0x70).step_by(0x10) {
        for opcode in OPCODES {
            refused(1002, &BOTH, |to| frame(to, 0x80 | rsv | opcode, b""));
            refused(1002, &BOTH, |to| frames(to, &[(0x01, b"a"), (0x80 | rsv | opcode, b"b")]));
        }
        refused(1002, &BOTH, |to| frames(to, &[(0x01, b"a"), (rsv, b"b")]));
    }
}

/// Row 40.
#[test]
fn section_5_2_reserved_opcodes() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for fin in [0x80, 0] {
            refused(1002, &BOTH, |to| frame(to, fin | opcode, b"payload"));
            refused(1002, &BOTH, |to| frames(to, &[(0x02, b""), (fin | opcode, b"")]));
        }
    }
}

/// Row 41: the error is out when the head is, with no payload and nothing else behind it.
#[test]
fn section_5_2_refused_on_the_head() {
    let cases: [(&str, fn(Role) -> Vec<u8>); 9] = [
        ("reserved opcode", |_| vec![0x83]),
        ("fragmented ping", |_| vec![0x09]),
        ("long ping", |_| vec![0x89, 0x7e]),
        ("reserved bit", |to| head(to, 0xc1, 100)),
        ("wrong mask", |to| head(common::other(to), 0x81, 100)),
        ("continuation of nothing", |to| head(to, 0x80, 100)),
        ("text in a message", |to| [frame(to, 0x02, b"a"), head(to, 0x81, 100)].concat()),
        ("too big", |to| head(to, 0x81, 1 << 40)),
        ("top bit", |_| [&[0x82, 0xff, 0x80], &[0; 7][..]].concat()),
    ];
    for (name, wire) in cases {
        for role in BOTH {
            for step in STEPS {
                let mut connection = connection(role, Config::default());
                let (events, result) = receive(&mut connection, &wire(role), step, watch);
                assert!(events.is_empty() && result.is_err(), "{name}, {role:?}: {result:?}");
            }
        }
    }
}

/// Row 42: big-endian, and the mask key is not counted: what follows is found.
#[test]
fn section_5_2_lengths() {
    for length in [0, 1, 125, 126, 127, 255, 256, 257, 65_535, 65_536, 65_537, 70_000] {
        let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        accepted(&[Seen::Binary(payload.clone())], |to| frame(to, 0x82, &payload));
    }
}

/// Row 43: the shortest form only, its top bit clear.
#[test]
fn section_5_2_length_forms() {
    let long = |length: u64| [&[0x82, 0x7f], &length.to_be_bytes()[..]].concat();
    let mut forms: Vec<Vec<u8>> = [0, 1, 125, 126, 0xffff, 1 << 63, u64::MAX].map(long).into();
    forms.extend([0, 1, 125].map(|length| vec![0x82, 0x7e, 0, length]));
    for form in forms {
        refused(1002, &BOTH, |to| {
            let mut wire = form.clone();
            if to == Role::Server {
                wire[1] |= 0x80;
                wire.extend(KEY);
            }
            wire
        });
    }
}

/// Row 44: data at any time, batched at will, before anything was sent from here.
#[test]
fn section_5_1_data_at_any_time() {
    let many: Vec<Seen> = (0..300).map(|i| Seen::text(&i.to_string())).collect();
    accepted(&many, |to| {
        (0..300).flat_map(|i| frame(to, 0x81, i.to_string().as_bytes())).collect()
    });
}

/// Row 45: the examples of the RFC, byte by byte.
#[test]
fn section_5_7_examples() {
    let hello = Seen::text("Hello");
    let big = [&b"\x82\x7f\0\0\0\0\0\x01\0\0"[..], &[7; 65_536]].concat();
    let medium = [&b"\x82\x7e\x01\0"[..], &[7; 256]].concat();
    let cases: [(Role, &[u8], Seen); 7] = [
        (Role::Client, b"\x81\x05Hello", hello.clone()),
        (Role::Server, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", hello.clone()),
        (Role::Client, b"\x01\x03Hel\x80\x02lo", hello),
        (Role::Client, b"\x89\x05Hello", Seen::Ping(b"Hello".into())),
        (
            Role::Server,
            b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            Seen::Pong(b"Hello".into()),
        ),
        (Role::Client, &medium, Seen::Binary(vec![7; 256])),
        (Role::Client, &big, Seen::Binary(vec![7; 65_536])),
    ];
    for (role, wire, event) in cases {
        for step in STEPS {
            let mut connection = connection(role, Config::default());
            let (events, result) = receive(&mut connection, wire, step, watch);
            assert_eq!((events, result), (vec![event.clone()], Ok(())));
        }
    }

    let mut server = Connection::server(Config::default());
    server.feed("Hello").unwrap();
    server.ping(ControlPayload::new(b"Hello").unwrap()).unwrap();
    server.feed(&[7; 256]).unwrap();
    let wire = common::drain(&mut server);
    assert_eq!(wire[..18], *b"\x81\x05Hello\x89\x05Hello\x82\x7e\x01\0");
}

/// Row 96: no extension data: the whole payload is application data.
#[test]
fn section_5_2_no_extension_data() {
    for (first, payload) in [(0x81, &b"\0\0\0\0text"[..]), (0x82, &[0xff; 9])] {
        let event = match first {
            0x81 => Seen::text("\0\0\0\0text"),
            _ => Seen::Binary(payload.to_vec()),
        };
        accepted(&[event], |to| frame(to, first, payload));
    }
}

// Masking

/// Rows 46 and 47: `sent` looks at the mask bit of every frame, of each kind.
#[test]
fn section_5_1_client_masks_every_frame_and_server_none() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        connection.feed("text").unwrap();
        connection.feed(&[1; 300]).unwrap();
        connection.feed(vec![2; 70_000]).unwrap();
        connection.ping(ControlPayload::EMPTY).unwrap();
        receive(&mut connection, &frame(role, 0x89, b"ping"), 1, watch).1.unwrap();
        connection.start_close(close_frame(1001, "bye")).unwrap();
        let expected = [
            (0x81, b"text".to_vec()),
            (0x82, vec![1; 300]),
            (0x82, vec![2; 70_000]),
            (0x89, vec![]),
            (0x8a, b"ping".to_vec()),
            (0x88, close_body(1001, "bye")),
        ];
        assert_eq!(sent(&mut connection), expected, "{role:?}");
    }
}

/// Row 48: in each opcode, empty too, as the first frame and after a good one.
#[test]
fn section_5_1_unmasked_to_a_server() {
    for opcode in OPCODES {
        for payload in [&b""[..], b"\x03\xe8"] {
            refused(1002, &[Role::Server], |_| frame_with(0x80 | opcode, payload, None));
        }
        let mut server = Connection::server(Config::default());
        let wire = frame_with(0x80 | opcode, b"\x03\xe8", None);
        let (events, result) = receive(&mut server, &wire, 1, watch);
        assert!(events.is_empty());
        assert!(matches!(result.unwrap_err().kind(), ProtocolErrorKind::Unmasked(_)));
    }
}

/// Row 48: with any key, the one that changes nothing too.
#[test]
fn section_5_1_masked_to_a_client() {
    for opcode in OPCODES {
        for key in [KEY, [0; 4]] {
            for payload in [&b""[..], b"\x03\xe8"] {
                refused(1002, &[Role::Client], |_| frame_with(0x80 | opcode, payload, Some(key)));
            }
        }
        let mut client = connection(Role::Client, Config::default());
        let wire = frame_with(0x80 | opcode, b"\x03\xe8", Some([0; 4]));
        let (events, result) = receive(&mut client, &wire, 1, watch);
        assert!(events.is_empty());
        assert!(matches!(result.unwrap_err().kind(), ProtocolErrorKind::Masked(_)));
    }
}

/// Row 50: byte `i` of a frame with key byte `i mod 4`, in whatever pieces it comes, and from the
/// start again in the next frame.
#[test]
fn section_5_3_key_starts_anew_in_each_frame() {
    let keys = [[1, 2, 3, 4], [0; 4], [0xff; 4], [0, 0, 0, 9]];
    let payload: Vec<u8> = (0..100).collect();
    for length in [0, 1, 3, 5, 31, 33, 100] {
        let wire: Vec<u8> = keys
            .iter()
            .enumerate()
            .flat_map(|(i, key)| {
                let first = [0x02, 0x00, 0x89, 0x80][i];
                frame_with(first, &payload[..length], Some(*key))
            })
            .collect();
        let message = Seen::Binary(payload[..length].repeat(3));
        for step in 1..=wire.len().min(40) {
            let mut server = Connection::server(Config::default());
            let (events, result) = receive(&mut server, &wire, step, watch);
            let ping = Seen::Ping(payload[..length].to_vec());
            assert_eq!((events, result), (vec![ping, message.clone()], Ok(())));
        }
    }
}

// Fragmentation

/// Rows 52 and 55: both forms, the parts in order, the kind of the first.
#[test]
fn section_5_4_both_forms() {
    accepted(&[Seen::text("abcd")], |to| frame(to, 0x81, b"abcd"));
    accepted(&[Seen::text("abcd")], |to| frames(to, &[(0x01, b"ab"), (0x80, b"cd")]));
    let four: [(u8, &[u8]); 4] = [(0x02, b"a"), (0x00, b"b"), (0x00, b"c"), (0x80, b"d")];
    accepted(&[Seen::Binary(b"abcd".into())], |to| frames(to, &four));
    let letters: Vec<u8> = (0..1000).map(|i| b'a' + (i % 26) as u8).collect();
    let text = Seen::text(std::str::from_utf8(&letters).unwrap());
    accepted(&[text], |to| {
        let mut wire = frame(to, 0x01, &letters[..1]);
        wire.extend(letters[1..].iter().flat_map(|letter| frame(to, 0x00, &[*letter])));
        [wire, frame(to, 0x80, b"")].concat()
    });
}

/// Rows 53 and 54.
#[test]
fn section_5_4_message_inside_a_message() {
    for outer in [0x01, 0x02] {
        for inner in [0x01, 0x02, 0x81, 0x82] {
            refused(1002, &BOTH, |to| frames(to, &[(outer, b"a"), (inner, b"b"), (0x80, b"c")]));
            refused(1002, &BOTH, |to| frames(to, &[(outer, b""), (0x00, b""), (inner, b"")]));
        }
    }
}

/// Row 54: at the start, after a whole message and after a fragmented one.
#[test]
fn section_5_4_continuation_without_a_message() {
    for fin in [0x80, 0x00] {
        refused(1002, &BOTH, |to| frame(to, fin, b"a"));
        refused(1002, &BOTH, |to| frame(to, fin, b""));
        let ab = Seen::text("ab");
        refused_after(&[ab], 1002, &BOTH, |to| {
            frames(to, &[(0x01, b"a"), (0x80, b"b"), (fin, b"c")])
        });
    }
}

/// Row 56: an empty fragment in every place.
#[test]
fn section_5_4_empty_fragments() {
    for parts in [["", "", ""], ["", "", "x"], ["", "x", ""], ["x", "", ""], ["", "x", "y"]] {
        let [a, b, c] = parts.map(str::as_bytes);
        let text = Seen::text(&parts.concat());
        accepted(&[text], |to| frames(to, &[(0x01, a), (0x00, b), (0x80, c)]));
        let binary = Seen::Binary(parts.concat().into_bytes());
        accepted(&[binary], |to| frames(to, &[(0x02, a), (0x00, b), (0x80, c)]));
    }
    accepted(&[Seen::text("")], |to| frames(to, &[(0x01, b""), (0x80, b"")]));
}

/// Row 57: control frames between fragments are handled there.
#[test]
fn section_5_4_control_frames_between_fragments() {
    let wire: [(u8, &[u8]); 5] =
        [(0x01, b"a"), (0x89, b"ping"), (0x00, b"b"), (0x8a, b"pong"), (0x80, b"c")];
    let events = [Seen::Ping(b"ping".into()), Seen::Pong(b"pong".into()), Seen::text("abc")];
    accepted(&events, |to| frames(to, &wire));
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let wire = frames(role, &[(0x01, b"a"), (0x88, b"\x03\xe8"), (0x80, b"b")]);
        let (events, result) = receive(&mut connection, &wire, 1, watch);
        let close = Seen::Close(Some((1000, String::new())));
        assert_eq!((events, result), (vec![close], Ok(())), "§5.5.1: a message may be cut short");
    }
}

/// Row 58: frame borders mean nothing, the borders of reads neither.
#[test]
fn section_5_4_borders_mean_nothing() {
    let text = "Grüße, κόσμε 🦀";
    for border in 0..=text.len() {
        let (a, b) = text.as_bytes().split_at(border);
        accepted(&[Seen::text(text)], |to| frames(to, &[(0x01, a), (0x80, b)]));
    }
}

// Control frames

/// Row 60.
#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for opcode in [0x8, 0x9, 0xa] {
        refused(1002, &BOTH, |to| frame(to, 0x80 | opcode, &[0x7f; 126]));
        refused(1002, &BOTH, |to| frame(to, 0x80 | opcode, &[0x7f; 65_536]));
        refused(1002, &BOTH, |to| frame(to, opcode, b""));
        refused(1002, &BOTH, |to| frames(to, &[(opcode, b"a"), (0x80, b"b")]));
        refused(1002, &BOTH, |to| frames(to, &[(0x01, b"a"), (opcode, b"b")]));
    }
    let longest = vec![0x7f; 125];
    accepted(&[Seen::Ping(longest.clone())], |to| frame(to, 0x89, &longest));
    accepted(&[Seen::Pong(longest.clone())], |to| frame(to, 0x8a, &longest));
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let wire = frame(role, 0x88, &close_body(4000, &"x".repeat(123)));
        let (events, result) = receive(&mut connection, &wire, 1, watch);
        let close = Seen::Close(Some((4000, "x".repeat(123))));
        assert_eq!((events, result), (vec![close], Ok(())));
    }
}

/// Rows 61 and 63: `accepted` looks for the pong with the payload of the ping.
#[test]
fn section_5_5_2_ping_is_answered_with_its_payload() {
    for length in 0..=125 {
        let payload: Vec<u8> = (0..length).map(|i| i ^ 0xa5).collect();
        accepted(&[Seen::Ping(payload.clone())], |to| frame(to, 0x89, &payload));
    }
}

/// Row 62: a ping that comes between our Close and the peer's is answered, by the letter.
#[test]
fn section_5_5_2_ping_after_our_own_close_is_answered() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        connection.start_close(None).unwrap();
        let (events, _) = receive(&mut connection, &frame(role, 0x89, b"still?"), 1, watch);
        assert_eq!(events, [Seen::Ping(b"still?".into())]);
        assert_eq!(sent(&mut connection), [(0x88, vec![]), (0x8a, b"still?".to_vec())]);
    }
}

/// Row 61: a ping that comes after the peer's Close is not.
#[test]
fn section_5_5_2_ping_after_the_peers_close_is_not_answered() {
    for role in BOTH {
        for ours_first in [false, true] {
            let mut connection = connection(role, Config::default());
            if ours_first {
                connection.start_close(None).unwrap();
            }
            let wire = frames(role, &[(0x88, b""), (0x89, b"late"), (0x81, b"late")]);
            let (events, _) = receive(&mut connection, &wire, 1, watch);
            assert_eq!(events, [Seen::Close(None)]);
            assert_eq!(sent(&mut connection), [(0x88, vec![])]);
        }
    }
}

/// Row 64: sixteen that nobody has read yet in order, then the newest, and all again once read.
#[test]
fn section_5_5_3_several_pings() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        for _ in 0..2 {
            let pings: Vec<u8> = (0..40).flat_map(|i| frame(role, 0x89, &[i])).collect();
            receive(&mut connection, &pings, 7, watch).1.unwrap();
            let expected: Vec<_> = (0..16).chain([39]).map(|i| (0x8a, vec![i])).collect();
            assert_eq!(sent(&mut connection), expected);
        }
    }
}

/// Row 64: the answer to the newest goes out in front of our Close, whatever that is for.
#[test]
fn section_5_5_3_the_newest_ping_is_answered_before_the_close() {
    let closing: [(fn(&mut Connection), &[u8]); 3] = [
        (|connection| connection.start_close(None).unwrap(), b""),
        (|c| drop(receive(c, &frame(c.role(), 0x88, b""), 1, watch)), b""),
        (|c| drop(receive(c, b"\x83", 1, watch)), b"\x03\xeareserved opcode 0x3"),
    ];
    for (close, body) in closing {
        for role in BOTH {
            let mut connection = connection(role, Config::default());
            let pings: Vec<u8> = (0..40).flat_map(|i| frame(role, 0x89, &[i])).collect();
            receive(&mut connection, &pings, 7, watch).1.unwrap();
            close(&mut connection);
            let pongs = (0..16).chain([39]).map(|i| (0x8a, vec![i]));
            let expected: Vec<_> = pongs.chain([(0x88, body.to_vec())]).collect();
            assert_eq!(sent(&mut connection), expected);
        }
    }
}

/// Row 65: a pong that nobody asked for gets no answer and is no error.
#[test]
fn section_5_5_3_pong_unasked() {
    for payload in [&b""[..], b"unasked"] {
        accepted(&[Seen::Pong(payload.into())], |to| frame(to, 0x8a, payload));
    }
}

/// Row 65: with or without payload, while the connection is open.
#[test]
fn section_5_5_2_ping_can_be_sent() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        connection.ping(ControlPayload::EMPTY).unwrap();
        connection.ping(ControlPayload::new(&[9; 125]).unwrap()).unwrap();
        assert_eq!(sent(&mut connection), [(0x89, vec![]), (0x89, vec![9; 125])]);
        connection.start_close(None).unwrap();
        connection.ping(ControlPayload::new(b"late").unwrap()).unwrap();
        assert_eq!(sent(&mut connection), [(0x88, vec![]), (0x89, b"late".to_vec())]);
        let wire = frame(role, 0x88, b"");
        receive(&mut connection, &wire, 1, watch).1.unwrap();
        let late = connection.ping(ControlPayload::EMPTY);
        assert_eq!(late, Err(SendErrorReason::Closed(CloseCause::Local)));
    }
}

// Data and UTF-8

/// Rows 86 and 87, in one frame and cut at every place.
#[test]
fn section_8_1_text_that_is_not_utf_8() {
    let cases: [&[u8]; 16] = [
        b"\x80",
        b"\xbf",
        b"abc\xff",
        b"\xfe\xfe\xff\xff",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xe2\x82",
        b"\xf0\x9f\xa6",
    ];
    for text in cases {
        refused(1007, &BOTH, |to| frame(to, 0x81, text));
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            refused(1007, &BOTH, |to| frames(to, &[(0x01, a), (0x80, b)]));
        }
        accepted(&[Seen::Binary(text.into())], |to| frame(to, 0x82, text));
    }
}

/// Row 86: the borders of what is valid are.
#[test]
fn section_8_1_text_that_is_utf_8() {
    let edges = "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}";
    for text in ["", edges, "\u{feff}κόσμε"] {
        accepted(&[Seen::text(text)], |to| frame(to, 0x81, text.as_bytes()));
        accepted(&[Seen::text(text)], |to| {
            let mut wire = frame(to, 0x01, b"");
            wire.extend(text.as_bytes().iter().flat_map(|byte| frame(to, 0x00, &[*byte])));
            [wire, frame(to, 0x80, b"")].concat()
        });
    }
}

/// Row 86: a code point may span fragments, not messages.
#[test]
fn section_8_1_code_point_cut_at_the_end_of_a_message() {
    for cut in 1..4 {
        let (a, b) = "🦀".as_bytes().split_at(cut);
        refused(1007, &BOTH, |to| frames(to, &[(0x81, a), (0x81, b)]));
        refused(1007, &BOTH, |to| frames(to, &[(0x01, a), (0x80, b"")]));
        refused(1007, &BOTH, |to| frames(to, &[(0x01, b""), (0x80, a), (0x81, b)]));
    }
}

/// Row 88: at the very byte that cannot be right, though its frame and message go on.
#[test]
fn section_8_1_fails_on_the_first_impossible_byte() {
    for role in BOTH {
        let fragment = frame(role, 0x01, "κόσμε".as_bytes());
        let payload = b"ab\xf4\x90\x80\x80";
        let unfinished =
            [head(role, 0x00, 100), frame(role, 0x80, payload)[head(role, 0x80, 6).len()..].into()];
        let wire = [fragment, unfinished.concat()].concat();
        let impossible = wire.len() - 3; // 0x90 after 0xf4
        let mut connection = connection(role, Config::default());
        let (_, good) = receive(&mut connection, &wire[..impossible], 1, watch);
        assert_eq!(good, Ok(()));
        let (_, bad) = receive(&mut connection, &wire[impossible..][..1], 1, watch);
        assert_eq!(bad.unwrap_err().kind(), ProtocolErrorKind::InvalidUtf8);
        // Also where it is the last of a larger piece.
        let mut connection = common::connection(role, Config::default());
        let (_, bad) = receive(&mut connection, &wire[..=impossible], usize::MAX, watch);
        assert_eq!(bad.unwrap_err().kind(), ProtocolErrorKind::InvalidUtf8);
    }
}

/// Row 89.
#[test]
fn section_5_6_binary_is_handed_over_as_it_is() {
    let all: Vec<u8> = (0..=255).collect();
    accepted(&[Seen::Binary(all.clone())], |to| frame(to, 0x82, &all));
}

/// Row 89: an empty message is a message, and the next data frame starts another one.
#[test]
fn section_5_6_empty_messages() {
    let events = [Seen::text(""), Seen::Binary(vec![]), Seen::text(""), Seen::text("x")];
    accepted(&events, |to| {
        frames(to, &[(0x81, b""), (0x82, b""), (0x01, b""), (0x80, b""), (0x81, b"x")])
    });
}

/// Row 90: while open only, and otherwise an error that hands the message back.
#[test]
fn section_6_1_send_only_while_open() {
    let closing: [(&str, fn(&mut Connection)); 4] = [
        ("own Close", |connection| connection.start_close(None).unwrap()),
        ("peer's Close", |connection| {
            let wire = frame(connection.role(), 0x88, b"");
            receive(connection, &wire, 1, watch).1.unwrap();
        }),
        ("error", |connection| {
            receive(connection, b"\x83", 1, watch).1.unwrap_err();
        }),
        ("end of file", Connection::receive_eof),
    ];
    for (name, close) in closing {
        for role in BOTH {
            let mut connection = connection(role, Config::default());
            assert!(connection.is_open() && connection.is_ready());
            close(&mut connection);
            assert!(!connection.is_open() && !connection.is_ready(), "{name}");
            let queued = connection.outbox().remaining();
            let error = connection.feed("late").unwrap_err();
            assert!(matches!(error.reason, SendErrorReason::Closed(_)), "{name}");
            assert_eq!(error.message, "late");
            assert_eq!(connection.outbox().remaining(), queued, "{name}");
        }
    }
}

/// Row 102: the place of the frame that was wrong is told, however the bytes came.
#[test]
fn section_10_7_error_names_the_place() {
    for role in BOTH {
        let good = frames(role, &[(0x01, b"a"), (0x89, b"b"), (0x80, &[b'c'; 300])]);
        let wire = [&good[..], &head_with(0x80, 5, (role == Role::Server).then_some(KEY))].concat();
        for step in STEPS {
            let mut connection = connection(role, Config::default());
            let error = receive(&mut connection, &wire, step, watch).1.unwrap_err();
            assert_eq!(error.kind(), ProtocolErrorKind::NothingToContinue);
            assert_eq!(error.offset(), good.len() as u64);
        }
    }
}

/// Row 102: an error stays, whatever comes and whatever is done.
#[test]
fn section_7_1_7_error_is_sticky() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let first = receive(&mut connection, b"\x83", 1, watch).1;
        let wire = frames(role, &[(0x81, b"good"), (0x88, b"")]);
        let acts: [fn(&mut Connection); 6] = [
            |_| {},
            |connection| drop(sent(connection)),
            |connection| connection.start_close(None).unwrap(),
            Connection::shutdown_complete,
            Connection::receive_eof,
            Connection::transport_failed,
        ];
        for act in acts {
            act(&mut connection);
            let mut input = wire.clone();
            let mut input = Input::new(&mut input);
            assert_eq!(connection.receive(&mut input).map(|_| ()), first);
        }
    }
}
