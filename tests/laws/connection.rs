//! Laws that hold for anything: what is read does not depend on how it is cut, a second way of
//! reading comes to the same, and what is written is what was meant.

use crate::common;

use bytes::{Buf, Bytes};
use common::{
    BOTH, Random, Seen, close_body, connection, drain, echo, frame, frame_with, message, other,
    pair::Pair,
    receive,
    reference::{self, End, Limits},
    split, watch,
};
use fullduplex::{
    Config, Connection, Event, Incoming, Input, Message, ProtocolError, Role,
    frame::{Header, OpCode, Rsv, mask},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{borrow::Cow, collections::HashSet, io::IoSlice};

// Streams

/// What a peer may do; in any order, so not always right.
#[derive(Clone, Debug)]
enum Piece {
    Whole(u8, Vec<u8>),
    /// The first opcode, the parts, whether a ping goes between.
    Fragmented(u8, Vec<Vec<u8>>, bool),
    Control(u8, Vec<u8>),
    Garbage(Vec<u8>),
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..40),
        1 => vec(Just(b'x'), 120..130),
        1 => (200_usize..400).prop_map(|length| vec![b'y'; length]),
    ]
}

/// Text cut anywhere, in the midst of a code point too.
fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (payload(), vec(any::<Index>(), 0..4)).prop_map(|(payload, cuts)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([payload.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        starts.zip(ends).map(|(start, end)| payload[start..end].to_vec()).collect()
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    let kind = prop_oneof![Just(0x01_u8), Just(0x02)];
    let close = prop_oneof![
        Just(vec![]),
        (990_u16..1020, "\\PC{0,20}").prop_map(|(code, reason)| close_body(code, &reason)),
        (2990_u16..5010).prop_map(|code| close_body(code, "")),
        vec(any::<u8>(), 0..6),
    ];
    prop_oneof![
        6 => (kind.clone(), payload()).prop_map(|(kind, bytes)| Piece::Whole(kind, bytes)),
        6 => (kind, parts(), any::<bool>()).prop_map(|(k, p, ping)| Piece::Fragmented(k, p, ping)),
        3 => (prop_oneof![Just(0x9_u8), Just(0xa)], vec(any::<u8>(), 0..126))
            .prop_map(|(opcode, bytes)| Piece::Control(opcode, bytes)),
        1 => close.prop_map(|body| Piece::Control(0x8, body)),
        1 => vec(any::<u8>(), 1..20).prop_map(Piece::Garbage),
    ]
}

/// How a stream is spoiled, or not.
#[derive(Clone, Debug)]
enum Spoil {
    Not,
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, u8),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        2 => Just(Spoil::Not),
        2 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Spoil::Flip(at, 1 << bit)),
        1 => any::<Index>().prop_map(Spoil::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Spoil::Insert(at, byte)),
    ]
}

/// What comes to `to`: few enough pings that each is answered.
fn stream(to: Role, pieces: &[Piece], spoil: &Spoil) -> Vec<u8> {
    let mut wire = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Whole(opcode, bytes) => wire.extend(frame(to, 0x80 | opcode, bytes)),
            Piece::Fragmented(opcode, parts, ping) => {
                for (i, part) in parts.iter().enumerate() {
                    let fin = if i + 1 == parts.len() { 0x80 } else { 0 };
                    let opcode = if i == 0 { *opcode } else { 0 };
                    if *ping && i == 1 {
                        wire.extend(frame(to, 0x89, b"between"));
                    }
                    wire.extend(frame(to, fin | opcode, part));
                }
            }
            Piece::Control(opcode, bytes) => wire.extend(frame(to, 0x80 | opcode, bytes)),
            Piece::Garbage(bytes) => wire.extend(bytes),
        }
    }
    match spoil {
        Spoil::Flip(at, bit) if !wire.is_empty() => {
            let at = at.index(wire.len());
            wire[at] ^= bit;
        }
        Spoil::Cut(at) => wire.truncate(at.index(wire.len() + 1)),
        Spoil::Insert(at, byte) => wire.insert(at.index(wire.len() + 1), *byte),
        _ => {}
    }
    wire
}

fn small_limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        2 => Just(Limits::default()),
        1 => (0_u64..300, 0_u64..300, 1_u64..5)
            .prop_map(|(message, frame, fragments)| Limits { message, frame, fragments }),
    ]
}

fn config(limits: Limits) -> Config {
    Config::default()
        .max_message_size(limits.message as usize)
        .max_frame_size(limits.frame as usize)
        .max_fragments(limits.fragments as u32)
}

/// Reads `wire`, cut into pieces of these sizes, and echoes it: the events, how it ended, and all
/// that was queued.
fn read(
    role: Role,
    config: Config,
    wire: &[u8],
    sizes: &[usize],
) -> (Vec<Seen>, Result<(), ProtocolError>, Vec<u8>) {
    let mut connection = connection(role, config);
    let (mut events, mut result, mut rest) = (Vec::new(), Ok(()), wire);
    for size in sizes.iter().cycle() {
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        rest = more;
        let (new, now) = receive(&mut connection, piece, usize::MAX, echo);
        assert!(result.is_ok() || new.is_empty() && now == result, "something after an error");
        events.extend(new);
        result = now;
        if rest.is_empty() {
            break;
        }
    }
    (events, result, drain(&mut connection))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// The central law: any cut gives the same events, the same error at the same place and the
    /// same bytes to write as one piece, and the reference decoder agrees: also on every byte that
    /// is written, which is an echo, a pong or a Close and nothing else.
    #[test]
    fn any_cut_reads_the_same_and_as_the_reference_does(
        server in any::<bool>(),
        pieces in vec(piece(), 0..8),
        spoil in spoil(),
        limits in small_limits(),
        sizes in prop_oneof![Just(vec![1]), vec(1_usize..20, 1..8), vec(1_usize..300, 1..4)],
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let wire = stream(role, &pieces, &spoil);
        let whole = read(role, config(limits), &wire, &[usize::MAX]);
        let cut = read(role, config(limits), &wire, &sizes);
        prop_assert_eq!(&whole, &cut);

        let (events, result, written) = whole;
        let (expected, end) = reference::decode(role, limits, &wire);
        prop_assert_eq!(&events, &expected);
        let code = result.as_ref().err().map(|error| u16::from(error.close_code()));
        match end {
            End::Open => prop_assert_eq!(code, None),
            End::Closed => prop_assert!(matches!(events.last(), Some(Seen::Close(_)))),
            End::Failed(expected) => prop_assert_eq!(code, Some(expected)),
        }

        let mut answers: Vec<(u8, Vec<u8>)> = Vec::new();
        for event in &events {
            answers.extend(match event {
                Seen::Text(text) => Some((0x81, text.clone().into_bytes())),
                Seen::Binary(bytes) => Some((0x82, bytes.clone())),
                Seen::Ping(payload) => Some((0x8a, payload.clone())),
                Seen::Pong(_) => None,
                Seen::Close(None) => Some((0x88, vec![])),
                Seen::Close(Some((code, _))) => Some((0x88, close_body(*code, ""))),
            });
        }
        if let Err(error) = result {
            let code = error.close_code().into();
            answers.push((0x88, close_body(code, &error.kind().to_string())));
        }
        prop_assert_eq!(split(role, &written), answers);

        for event in &events {
            let size = message(event).map_or(0, |message| message.len());
            prop_assert!(size as u64 <= limits.message, "{} bytes", size);
        }
    }

    /// decode ∘ encode = id, in the shortest form, which the reference reads alike.
    #[test]
    fn heads_come_back(
        opcode in prop::sample::select(vec![
            OpCode::Continuation, OpCode::Text, OpCode::Binary,
            OpCode::Close, OpCode::Ping, OpCode::Pong,
        ]),
        fin in any::<bool>(),
        bits in 0..8_u8,
        key in any::<Option<[u8; 4]>>(),
        length in prop_oneof![
            0..300_u64, 65_000..66_000_u64, any::<u64>().prop_map(|n| n >> 1),
            (0..63_u32).prop_map(|bit| 1 << bit), (0..63_u32).prop_map(|bit| (1 << bit) - 1),
        ],
        behind in vec(any::<u8>(), 0..4),
    ) {
        let control = opcode.is_control();
        let rsv = [Rsv::RSV1, Rsv::RSV2, Rsv::RSV3].into_iter().enumerate()
            .filter(|(i, _)| bits >> i & 1 == 1)
            .fold(Rsv::NONE, |all, (_, bit)| all.union(bit));
        let header = Header {
            fin: fin || control,
            rsv,
            opcode,
            mask: key,
            payload_len: match opcode {
                OpCode::Close if length % 126 == 1 => 0, // §5.5.1: a code has two bytes
                _ if control => length % 126,
                _ => length,
            },
        };
        let (bytes, size) = header.encode();
        let wire = [&bytes[..size], &behind].concat();
        prop_assert_eq!(Header::decode(&wire), Ok(Some((header, size))));
        for end in 0..size {
            prop_assert_eq!(Header::decode(&wire[..end]), Ok(None));
        }
        let head = reference::head(&wire).unwrap().unwrap();
        prop_assert_eq!((head.length, head.key, head.size), (header.payload_len, key, size));
        let extended = match header.payload_len { 0..=125 => 0, 126..=0xffff => 2, _ => 8 };
        prop_assert_eq!(size, 2 + extended + if key.is_some() { 4 } else { 0 });
    }

    /// Any bytes at all: a head, too few, or an error, as the reference says.
    #[test]
    fn any_bytes_are_judged_as_by_the_reference(bytes in vec(
        prop_oneof![any::<u8>(), prop::sample::select(vec![0x81, 0xfe, 0xff, 0x7e, 0x7f, 0])],
        0..16,
    )) {
        match (Header::decode(&bytes), reference::head(&bytes)) {
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            (Ok(Some((header, size))), Ok(Some(head))) => {
                prop_assert_eq!(header.fin, head.fin);
                prop_assert_eq!(header.opcode as u8, head.opcode);
                prop_assert_eq!(header.rsv.is_none(), head.rsv == 0);
                prop_assert_eq!(header.mask, head.key);
                prop_assert_eq!(header.payload_len, head.length);
                prop_assert_eq!(size, head.size);
            }
            (ours, theirs) => prop_assert!(false, "{:?} against {:?}", ours, theirs),
        }
    }

    /// Masking twice is the identity, in any pieces, and the reference masks alike.
    #[test]
    fn masking_twice_changes_nothing(
        plain in vec(any::<u8>(), 0..200),
        key in any::<[u8; 4]>(),
        cut in any::<Index>(),
    ) {
        let cut = cut.index(plain.len() + 1);
        let mut masked = plain.clone();
        mask(&mut masked[..cut], key, 0);
        mask(&mut masked[cut..], key, cut as u64);
        prop_assert_eq!(&masked, &reference::unmask(&plain, Some(key)));
        mask(&mut masked, key, 0);
        prop_assert_eq!(masked, plain);
    }

    /// Borrowed and owned are the same: from one piece a message borrows the input, from two it
    /// is owned, and both become equal messages.
    #[test]
    fn borrowed_is_owned(
        text in any::<bool>(),
        content in "\\PC{1,40}",
        cut in any::<Index>(),
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let wire = frame(role, if text { 0x81 } else { 0x82 }, content.as_bytes());
        let one = |mut wire: Vec<u8>, cut: usize| {
            let mut connection = connection(role, Config::default());
            let (first, rest) = wire.split_at_mut(cut);
            assert_eq!(connection.receive(&mut Input::new(first)), Ok(None));
            let mut input = Input::new(rest);
            let Ok(Some(Event::Message(message))) = connection.receive(&mut input) else {
                panic!("no message")
            };
            let borrowed = match &message {
                Incoming::Text(text) => matches!(text, Cow::Borrowed(_)),
                Incoming::Binary(bytes) => matches!(bytes, Cow::Borrowed(_)),
            };
            (borrowed, message.as_bytes().to_vec(), message.into_owned())
        };
        let payload = wire.len() - content.len();
        let cut = payload + cut.index(content.len());
        let (borrowed, bytes, message) = one(wire.clone(), 0);
        let (still_borrowed, same_bytes, same_message) = one(wire, cut);
        prop_assert!(borrowed && (!still_borrowed || cut == payload));
        prop_assert_eq!(bytes, same_bytes);
        prop_assert_eq!(&message, &same_message);
        prop_assert_eq!(message.is_text(), text);
    }

    /// Whatever is sent arrives, whatever the link does, both ways at once; and the bytes on the
    /// line, read by the reference, say the same.
    #[test]
    fn what_is_sent_is_received(
        messages in vec((any::<bool>(), any::<bool>(), payload(), 0..3_usize), 0..12),
        seed in any::<u64>(),
    ) {
        let mut pair = Pair::new(&Config::default(), &Config::default(), seed);
        let mut sent: [Vec<Seen>; 2] = Default::default();
        for (server, text, payload, settle) in messages {
            let (side, role) = if server { (0, Role::Server) } else { (1, Role::Client) };
            let connection = &mut pair.end(role).connection;
            if text {
                let text = String::from_utf8_lossy(&payload).into_owned();
                connection.feed(&text).unwrap();
                sent[side].push(Seen::Text(text));
            } else {
                // Large enough to be shared where that is possible.
                let bytes = payload.repeat([1, 10, 500][settle]);
                connection.feed(Bytes::from(bytes.clone())).unwrap();
                sent[side].push(Seen::Binary(bytes));
            }
            if settle == 0 {
                pair.settle();
            }
        }
        pair.settle();
        for (side, role) in BOTH.into_iter().enumerate() {
            prop_assert_eq!(&pair.end(other(role)).events, &sent[side]);
            let written = pair.end(role).written.clone();
            let (events, end) = reference::decode(other(role), Limits::default(), &written);
            prop_assert_eq!((&events, end), (&sent[side], End::Open));
        }
    }

    /// The outbox keeps the contract of `Buf` at every step: `chunk` is the first of
    /// `chunks_vectored`, these are all there is, and `advance` takes from the front of it.
    #[test]
    fn the_outbox_is_a_buf(
        server in any::<bool>(),
        steps in vec((0..9_usize, any::<Index>()), 1..40),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let config = Config::default().max_unsent(usize::MAX);
        let mut connection = connection(role, config);
        let large = Bytes::from((0..20_000).map(|i| i as u8).collect::<Vec<_>>());
        let (mut written, mut queued) = (Vec::new(), 0);
        for (what, index) in steps {
            let before = bytes_of(&mut connection);
            match what {
                0 => connection.feed("small").unwrap_or(()),
                1 => connection.feed(&large).unwrap_or(()),
                2 => connection.feed(large.slice(index.index(3000)..)).unwrap_or(()),
                3 => {
                    let wire = frame(role, 0x89, &[7; 3]).repeat(index.index(30));
                    receive(&mut connection, &wire, usize::MAX, watch).1.unwrap();
                }
                4 if index.index(10) == 0 => connection.start_close(None).unwrap(),
                // Copied though large, so that there is something to compact.
                5 | 6 => connection.feed(&large[index.index(15_000)..]).unwrap_or(()),
                _ => {
                    let most = if what == 7 { before.len() } else { before.len().min(50) };
                    let step = index.index(most + 1);
                    connection.outbox().advance(step);
                    written.extend_from_slice(&before[..step]);
                    let after = bytes_of(&mut connection);
                    prop_assert!(after.starts_with(&before[step..]));
                    // Only a pong that was kept back may have joined.
                    prop_assert!(after.len() <= before.len() - step + 14);
                    continue;
                }
            }
            let after = bytes_of(&mut connection);
            prop_assert!(after.starts_with(&before), "what is queued stays");
            queued += after.len() - before.len();
        }
        while !connection.outbox().is_empty() {
            written.extend(drain(&mut connection));
        }
        prop_assert!(written.len() >= queued);
        for (first, payload) in split(role, &written) {
            match first {
                0x81 => prop_assert_eq!(payload, b"small"),
                0x82 => prop_assert!(large.ends_with(&payload)),
                0x8a => prop_assert_eq!(payload, [7; 3]),
                first => prop_assert_eq!(first, 0x88),
            }
        }
    }
}

/// All that waits in the outbox; looks at it in each way there is.
fn bytes_of(connection: &mut Connection) -> Vec<u8> {
    let outbox = connection.outbox();
    let mut slices = [IoSlice::new(&[]); 128];
    let used = outbox.chunks_vectored(&mut slices);
    assert!(used < slices.len());
    let all: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    assert_eq!(all.len(), outbox.remaining());
    assert_eq!(outbox.is_empty(), all.is_empty());
    assert_eq!(outbox.has_remaining(), !all.is_empty());
    assert_eq!(outbox.chunk(), slices.first().map_or(&[][..], |slice| &slice[..]));
    assert!(slices[..used].iter().all(|slice| !slice.is_empty()));
    for room in 0..used {
        let mut fewer = [IoSlice::new(&[]); 128];
        assert_eq!(outbox.chunks_vectored(&mut fewer[..room]), room);
        for (one, other) in fewer.iter().zip(&slices).take(room) {
            assert_eq!(one[..], other[..]);
        }
    }
    all
}

/// §5.3 and §10.3: each frame of a client takes the next four bytes of the source it was given,
/// and nothing else; ten thousand of them are different.
#[test]
fn section_10_3_mask_keys() {
    let mut source = Random::new(1);
    let mut client = connection(Role::Client, Config::default());
    let mut keys = HashSet::new();
    for i in 0..10_000 {
        match i % 4 {
            0 => client.feed("").unwrap(),
            1 => client.feed(&[0; 200]).unwrap(),
            2 => client.ping(fullduplex::frame::ControlPayload::EMPTY).unwrap(),
            _ => receive(&mut client, &frame(Role::Client, 0x89, b"?"), 9, watch).1.unwrap(),
        }
        let wire = drain(&mut client);
        let key = reference::head(&wire).unwrap().unwrap().key.unwrap();
        let mut expected = [0; 4];
        rand::Rng::fill_bytes(&mut source, &mut expected);
        assert_eq!(key, expected, "frame {i}");
        keys.insert(key);
    }
    assert!(keys.len() > 9_990, "{} keys", keys.len());
}

/// The source of the thread: ten thousand keys without a pattern that one could see.
#[cfg(feature = "std")]
#[test]
fn section_10_3_mask_keys_of_the_thread() {
    let mut client = Connection::client(Config::default());
    let (mut keys, mut ones) = (HashSet::new(), [0; 32]);
    for _ in 0..10_000 {
        client.feed("").unwrap();
        let wire = drain(&mut client);
        let key = u32::from_be_bytes(reference::head(&wire).unwrap().unwrap().key.unwrap());
        for (bit, ones) in ones.iter_mut().enumerate() {
            *ones += key >> bit & 1;
        }
        keys.insert(key);
    }
    // Two of them are the same once in eighty times; ten such pairs never.
    assert!(keys.len() > 9_990, "{} keys", keys.len());
    // Ten standard deviations.
    assert!(ones.iter().all(|ones| (4500..5500).contains(ones)), "{ones:?}");
}

/// Every byte that is unmasked is masked with the key of its own frame, whatever came before.
#[test]
fn a_stream_of_frames_with_different_keys() {
    let mut random = Random::new(5);
    let mut wire = Vec::new();
    let mut expected = Vec::new();
    for i in 0..500 {
        let key = (random.next() as u32).to_be_bytes();
        let bytes = vec![i as u8; random.below(300)];
        wire.extend(frame_with(0x82, &bytes, Some(key)));
        expected.push(Message::from(bytes));
    }
    for step in [1, 2, 5, 1000, usize::MAX] {
        let mut server = Connection::server(Config::default());
        let (events, _) = receive(&mut server, &wire, step, watch);
        assert_eq!(events.iter().filter_map(message).collect::<Vec<_>>(), expected);
    }
}
