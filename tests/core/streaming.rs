//! Messages that are sent in fragments and received in chunks (RFC 6455 §5.4), compressed ones too.

#[cfg(feature = "deflate")]
use crate::support::deflate;
use crate::support::{
    self, BOTH, Random, Seen, connection, drain, frame, frames, heap::measure, other, receive,
    sent, watch,
};
use fullduplex::{
    Chunk, CloseCause, Config, Connection, Event, Input, Message, ProtocolError,
    ProtocolErrorKind as Kind, Role, SendErrorReason,
    frame::{CloseCode, ControlPayload},
    message::{NotText, TextPieces},
};
use proptest::{collection::vec, prelude::*};
use std::str;

/// Puts chunks together again, and holds them to what is said of them.
#[derive(Default)]
struct Joined {
    text: bool,
    bytes: Vec<u8>,
    under_way: bool,
}

impl Joined {
    /// A message, once its last chunk is there.
    fn push(&mut self, chunk: Chunk<'_>) -> Option<Seen> {
        assert_eq!(chunk.is_first(), !self.under_way, "{chunk:?}");
        assert!(chunk.is_last() || !chunk.as_bytes().is_empty(), "{chunk:?}");
        if chunk.is_first() {
            *self = Self { text: chunk.is_text(), ..Self::default() };
        }
        assert_eq!(chunk.is_text(), self.text);
        self.under_way = !chunk.is_last();
        self.bytes.extend_from_slice(chunk.as_bytes());
        if self.text {
            let open = str::from_utf8(&self.bytes).err();
            let fine = open.is_none_or(|error| error.error_len().is_none() && !chunk.is_last());
            assert!(fine, "the beginning of text");
        }
        if !chunk.is_last() {
            return None;
        }
        let bytes = core::mem::take(&mut self.bytes);
        Some(if self.text {
            Seen::Text(String::from_utf8(bytes).unwrap())
        } else {
            Seen::Binary(bytes)
        })
    }
}

/// As `support::receive`, in chunks, which are joined. `whole` says before each piece of input
/// whether it is received in whole messages if that can be.
fn receive_chunks(
    connection: &mut Connection,
    wire: &[u8],
    sizes: &[usize],
    mut whole: impl FnMut() -> bool,
) -> (Vec<Seen>, Result<(), ProtocolError>) {
    let (mut events, mut joined, mut rest) = (Vec::new(), Joined::default(), wire);
    for size in sizes.iter().cycle() {
        let (piece, more) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        let whole = whole() && !connection.is_in_chunks();
        loop {
            let event = match whole {
                true => connection.receive(&mut input),
                false => connection.receive_chunk(&mut input),
            };
            match event {
                Ok(Some(Event::Chunk(chunk))) => events.extend(joined.push(chunk)),
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
        assert!(input.is_empty(), "input left");
        if rest.is_empty() {
            return (events, Ok(()));
        }
        rest = more;
    }
    unreachable!()
}

#[derive(Clone, Debug)]
enum Item {
    Message { text: bool, payload: Vec<u8>, cuts: Vec<usize>, ping: bool },
    Ping(Vec<u8>),
}

fn item() -> impl Strategy<Value = Item> {
    let text = prop_oneof![".{0,40}", "[aé€😀]{0,300}"].prop_map(String::into_bytes);
    let large = (10_000usize..90_000).prop_map(|size| vec![7; size]);
    let binary = prop_oneof![9 => vec(any::<u8>(), 0..300), 1 => large];
    let payload =
        prop_oneof![text.prop_map(|text| (true, text)), binary.prop_map(|binary| (false, binary)),];
    prop_oneof![
        5 => (payload, vec(0usize..400, 0..4), any::<bool>()).prop_map(
            |((text, payload), cuts, ping)| Item::Message { text, payload, cuts, ping }
        ),
        1 => vec(any::<u8>(), 0..126).prop_map(Item::Ping),
    ]
}

/// How the payload falls into fragments.
fn fragments<'p>(payload: &'p [u8], cuts: &[usize]) -> Vec<&'p [u8]> {
    let (mut fragments, mut rest) = (Vec::new(), payload);
    for cut in cuts {
        let (front, back) = rest.split_at(*cut.min(&rest.len()));
        fragments.push(front);
        rest = back;
    }
    fragments.push(rest);
    fragments
}

/// The items on the wire, to `to`, as plain frames.
fn plain(to: Role, items: &[Item]) -> Vec<u8> {
    let mut wire = Vec::new();
    for item in items {
        match item {
            Item::Ping(payload) => wire.extend(frame(to, 0x89, payload)),
            Item::Message { text, payload, cuts, ping } => {
                let pieces = fragments(payload, cuts);
                for (i, piece) in pieces.iter().enumerate() {
                    let opcode = if i > 0 { 0 } else { 2 - u8::from(*text) };
                    let fin = if i + 1 == pieces.len() { 0x80 } else { 0 };
                    wire.extend(frame(to, fin | opcode, piece));
                    if *ping && fin == 0 {
                        wire.extend(frame(to, 0x89, b"inside"));
                    }
                }
            }
        }
    }
    wire
}

fn seen(items: &[Item]) -> Vec<Seen> {
    let mut all = Vec::new();
    for item in items {
        match item {
            Item::Ping(payload) => all.push(Seen::Ping(payload.clone())),
            Item::Message { text, payload, cuts, ping } => {
                if *ping {
                    all.extend(cuts.iter().map(|_| Seen::Ping(b"inside".to_vec())));
                }
                all.push(match text {
                    true => Seen::Text(String::from_utf8(payload.clone()).unwrap()),
                    false => Seen::Binary(payload.clone()),
                });
            }
        }
    }
    all
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(1usize..40, 1..5),
        vec(1usize..5_000, 1..5),
        Just(vec![usize::MAX]),
        Just(vec![70_000]),
    ]
}

/// §8.1: text that breaks off inside of a code point is none, also where its last chunk is empty.
#[test]
fn section_8_1_text_in_chunks_that_breaks_off() {
    for role in BOTH {
        for last in [&b"\xc3"[..], b""] {
            let first = if last.is_empty() { &b"gr\xc3"[..] } else { b"gr" };
            let wire = frames(role, &[(0x01, first), (0x80, last)]);
            let mut connection = connection(role, Config::default());
            let (events, result) = receive_chunks(&mut connection, &wire, &[usize::MAX], || false);
            assert_eq!((events, result.map_err(|e| e.kind())), (vec![], Err(Kind::InvalidUtf8)));
        }
    }
}

/// Whether a message is being sent in fragments: from the first to the last.
#[test]
fn it_is_known_that_a_message_is_not_finished() {
    let mut connection = connection(Role::Server, Config::default());
    assert!(!connection.is_in_fragments());
    connection.feed_fragment("a", false).unwrap();
    assert!(connection.is_in_fragments());
    connection.feed_fragment("b", true).unwrap();
    assert!(!connection.is_in_fragments());
}

/// A chunk is bytes, owned or not.
#[test]
fn chunks_become_bytes() {
    let wire = frame(Role::Client, 0x82, b"bytes");
    let chunk = chunks(&mut connection(Role::Client, Config::default()), &wire, &[100]).remove(0);
    assert_eq!((chunk.len(), chunk.is_empty()), (5, false));
    assert_eq!(chunk.into_bytes(), &b"bytes"[..]);
    let wire = frame(Role::Client, 0x82, b"");
    let chunk = chunks(&mut connection(Role::Client, Config::default()), &wire, &[100]).remove(0);
    assert_eq!((chunk.len(), chunk.is_empty(), chunk.is_last()), (0, true, true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Chunks are the same messages, in the same order among control frames, however the input is
    /// cut and wherever the caller changes from whole messages to chunks.
    #[test]
    fn chunks_joined_are_the_messages(
        server in any::<bool>(),
        items in vec(item(), 0..6),
        sizes in sizes(),
        seed in any::<u64>(),
        changes in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let wire = plain(role, &items);
        let mut random = Random::new(seed);
        let mut connection = connection(role, Config::default());
        let whole = || changes && random.below(2) == 0;
        let (events, result) = receive_chunks(&mut connection, &wire, &sizes, whole);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(events, seen(&items));
    }

    /// What is wrong is found at the same place, with the same error.
    #[test]
    fn chunks_fail_as_messages_do(
        server in any::<bool>(),
        items in vec(item(), 1..4),
        sizes in sizes(),
        (at, bit) in (any::<prop::sample::Index>(), 0u8..8),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut wire = plain(role, &items);
        let at = at.index(wire.len());
        wire[at] ^= 1 << bit;
        // A limit would make a difference.
        let config = || Config::default().max_message_size(usize::MAX).max_frame_size(usize::MAX);
        let (_, whole) = receive(&mut connection(role, config()), &wire, usize::MAX, watch);
        // On 32 bits there is always one.
        prop_assume!(!matches!(
            whole.map_err(|error| error.kind()),
            Err(Kind::FrameTooBig { .. } | Kind::MessageTooBig { .. })
        ));
        let (_, chunks) = receive_chunks(&mut connection(role, config()), &wire, &sizes, || false);
        prop_assert_eq!(whole, chunks);
    }

    /// A message sent in fragments is read as one, and each fragment is a frame of its own.
    #[test]
    fn fragments_are_read_as_one_message(server in any::<bool>(), items in vec(item(), 0..5)) {
        let role = if server { Role::Server } else { Role::Client };
        let mut sender = connection(role, Config::default().unsent_limit(usize::MAX));
        for item in &items {
            send(&mut sender, item);
        }
        let wire = drain(&mut sender);
        let (events, result) =
            receive(&mut connection(other(role), Config::default()), &wire, usize::MAX, watch);
        prop_assert_eq!(result, Ok(()));
        let expected: Vec<Seen> = seen(&items);
        prop_assert_eq!(events, expected);
    }
}

/// The chunks of all messages, in order.
fn chunks(connection: &mut Connection, wire: &[u8], sizes: &[usize]) -> Vec<Chunk<'static>> {
    let (mut chunks, mut rest, mut sizes) = (Vec::new(), wire.to_vec(), sizes.iter().cycle());
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap()).min(rest.len());
        let (mut input, mut more) = (Input::new(&mut rest[..size]), true);
        while more {
            match connection.receive_chunk(&mut input).unwrap() {
                Some(Event::Chunk(chunk)) => chunks.push(chunk.into_owned()),
                event => more = event.is_some(),
            }
        }
        rest.drain(..size);
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// However it is cut, the pieces are the text, and after each chunk nothing is held but the
    /// beginning of a code point.
    #[test]
    fn text_pieces_are_the_text(
        texts in vec("[aé€😀]{0,300}", 1..4),
        cuts in vec(0usize..400, 0..4),
        sizes in sizes(),
    ) {
        let items: Vec<Item> = texts
            .iter()
            .map(|text| {
                let (payload, cuts) = (text.clone().into_bytes(), cuts.clone());
                Item::Message { text: true, payload, cuts, ping: false }
            })
            .collect();
        let wire = plain(Role::Client, &items);
        let mut connection = connection(Role::Client, Config::default());
        let (mut pieces, mut texts) = (TextPieces::new(), texts.iter());
        let (mut bytes, mut text) = (Vec::new(), String::new());
        for chunk in chunks(&mut connection, &wire, &sizes) {
            bytes.extend_from_slice(chunk.as_bytes());
            for piece in pieces.push(&chunk).unwrap() {
                prop_assert!(!piece.is_empty());
                text.push_str(piece);
            }
            let whole = str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
            prop_assert_eq!(text.as_bytes(), &bytes[..whole]);
            prop_assert_eq!(pieces.held(), bytes.len() - whole);
            if chunk.is_last() {
                prop_assert_eq!(Some(&text), texts.next());
                text.clear();
                prop_assert_eq!(pieces.held(), 0);
                bytes.clear();
            }
        }
        prop_assert_eq!(texts.next(), None);
    }
}

/// Binary chunks, and text of which one in front of the last was left out.
#[test]
fn chunks_that_are_not_text_or_out_of_order_are_refused() {
    let receive = |first, payload: &[u8]| {
        let mut connection = connection(Role::Client, Config::default());
        chunks(&mut connection, &frame(Role::Client, first, payload), &[1])
    };
    let mut pieces = TextPieces::new();
    let binary = receive(0x82, b"ab");
    assert_eq!((binary[0].len(), binary[0].is_empty()), (1, false));
    assert_eq!(pieces.push(&binary[0]).err(), Some(NotText));
    let euros = receive(0x81, "€€".as_bytes());
    assert_eq!(euros.len(), 6);
    for left_out in 0..5 {
        let followed = euros.iter().enumerate().filter(|(i, _)| *i != left_out);
        let refused = followed.filter(|(_, chunk)| pieces.push(chunk).is_err()).count();
        assert!(refused > 0, "without {left_out}");
        assert_eq!((pieces.held(), format!("{pieces:?}")), (0, "TextPieces { held: 0 }".into()));
    }
    // An error and a message that was given up leave nothing behind.
    assert_eq!(pieces.push(&euros[0]).unwrap().count(), 0);
    let mut text = String::new();
    euros.iter().for_each(|chunk| text.extend(pieces.push(chunk).unwrap()));
    assert_eq!(text, "€€");
}

/// Sends an item in the fragments that it says, as far as those of text fall between code points.
fn send(sender: &mut Connection, item: &Item) {
    let ping = |sender: &mut Connection, payload: &[u8]| {
        sender.ping(ControlPayload::new(payload).unwrap()).unwrap();
    };
    match item {
        Item::Ping(payload) => ping(sender, payload),
        Item::Message { text, payload, cuts, ping: inside } => {
            let mut open = Vec::new();
            let pieces = fragments(payload, cuts);
            for (i, piece) in pieces.iter().enumerate() {
                let fin = i + 1 == pieces.len();
                if *text {
                    open.extend_from_slice(piece);
                    let valid = match str::from_utf8(&open) {
                        Ok(_) => open.len(),
                        Err(error) => error.valid_up_to(),
                    };
                    let rest = open.split_off(valid);
                    sender.feed_fragment(String::from_utf8(open).unwrap(), fin).unwrap();
                    open = rest;
                } else {
                    sender.feed_fragment(*piece, fin).unwrap();
                }
                if *inside && !fin {
                    ping(sender, b"inside");
                }
            }
        }
    }
}

#[test]
fn section_5_4_until_the_last_fragment_no_other_message_is_accepted() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        connection.feed_fragment("a", false).unwrap();
        assert!(connection.is_ready(), "there is room");
        let refused = connection.feed(vec![1]).unwrap_err();
        assert_eq!(refused.reason, SendErrorReason::Unfinished);
        assert_eq!(refused.message, Message::from(vec![1]));
        let refused = connection.feed_fragment(&b"of the other kind"[..], true).unwrap_err();
        assert_eq!(refused.reason, SendErrorReason::Unfinished);
        connection.ping(ControlPayload::new(b"between").unwrap()).unwrap();
        connection.feed_fragment("", false).unwrap();
        connection.feed_fragment("b", true).unwrap();
        connection.feed("next").unwrap();
        let expected: [(u8, &[u8]); 5] =
            [(0x01, b"a"), (0x89, b"between"), (0x00, b""), (0x80, b"b"), (0x81, b"next")];
        assert_eq!(sent(&mut connection), expected.map(|(first, rest)| (first, rest.to_vec())));
    }
}

#[test]
fn section_5_5_1_a_close_may_come_between_fragments_and_nothing_after_it() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        connection.feed_fragment("a", false).unwrap();
        connection.start_close(CloseCode::NORMAL).unwrap();
        let refused = connection.feed_fragment("b", true).unwrap_err();
        assert_eq!(refused.reason, SendErrorReason::Closed(CloseCause::Local));
        assert_eq!(sent(&mut connection).len(), 2);
    }
}

#[test]
fn fragments_wait_for_room_as_messages_do() {
    let mut connection = connection(Role::Server, Config::default().unsent_limit(10));
    connection.feed_fragment([0; 20].as_slice(), false).unwrap();
    let refused = connection.feed_fragment([1; 20].as_slice(), true).unwrap_err();
    assert_eq!((refused.reason, refused.message.len()), (SendErrorReason::Full, 20));
    drain(&mut connection);
    connection.feed_fragment([1; 20].as_slice(), true).unwrap();
}

#[test]
#[should_panic(expected = "`receive_chunk` began")]
fn a_message_that_was_begun_in_chunks_is_not_received_whole() {
    let mut connection = connection(Role::Client, Config::default());
    let mut wire = frames(Role::Client, &[(0x02, b"abc"), (0x80, b"def")]);
    let mut input = Input::new(&mut wire);
    assert!(matches!(connection.receive_chunk(&mut input), Ok(Some(Event::Chunk(_)))));
    assert!(connection.is_in_chunks());
    let _ = connection.receive(&mut input);
}

/// A failed or closed connection can be drained by either.
#[test]
fn an_end_in_the_middle_of_chunks() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let wire = frames(role, &[(0x02, b"abc"), (0x88, b""), (0x80, b"late")]);
        let (events, result) = receive_chunks(&mut connection, &wire, &[usize::MAX], || false);
        assert_eq!((events, result), (vec![Seen::Close(None)], Ok(())));
        assert!(!connection.is_in_chunks());
        assert_eq!(connection.receive(&mut Input::new(&mut [0; 10])), Ok(None));
    }
}

/// KNOWN: limits protect what is held, and in chunks nothing is.
#[test]
fn a_message_of_any_size_passes_in_chunks() {
    for role in BOTH {
        let config = Config::default().max_message_size(10).max_frame_size(10).max_fragments(2);
        let mut connection = connection(role, config);
        let total = 64 << 20;
        let mut head = support::head(role, 0x82, total);
        let mut block = vec![0; 64 * 1024];
        let (mut bytes, mut last) = (0, false);
        let ((), heap) = measure(|| {
            let mut feed = |piece: &mut [u8]| {
                let mut input = Input::new(piece);
                while let Some(event) = connection.receive_chunk(&mut input).unwrap() {
                    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                    bytes += chunk.as_bytes().len() as u64;
                    last = chunk.is_last();
                }
            };
            feed(&mut head);
            for _ in 0..total / block.len() as u64 {
                feed(&mut block);
            }
        });
        assert_eq!((bytes, last), (total, true));
        assert_eq!(heap.calls, 0, "{heap:?}");
        // And in many fragments.
        for first in [0x02, 0x00, 0x00, 0x00, 0x80] {
            let wire = frame(role, first, &[1; 100]);
            receive_chunks_only(&mut connection, &wire);
        }
        // Whole messages are still held to the limits.
        let (_, result) = receive(&mut connection, &frame(role, 0x82, &[0; 11]), 1, watch);
        assert!(matches!(result.unwrap_err().kind(), Kind::FrameTooBig { .. }));
    }
}

fn receive_chunks_only(connection: &mut Connection, wire: &[u8]) {
    let mut wire = wire.to_vec();
    let mut input = Input::new(&mut wire);
    while let Some(event) = connection.receive_chunk(&mut input).unwrap() {
        assert!(matches!(event, Event::Chunk(_)));
    }
}

#[cfg(feature = "deflate")]
mod compressed {
    use super::*;
    use deflate::{TAIL, deflating, inflate, params, with_bits};
    use fullduplex::deflate::{Compression, DeflateParams};

    fn ends(role: Role, agreed: DeflateParams) -> (Connection, Connection) {
        let config = || Config::default().unsent_limit(usize::MAX);
        (deflating(role, config(), agreed), deflating(other(role), config(), agreed))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

        /// What is compressed in fragments comes out in chunks, and as whole messages, whatever the
        /// window, and however it is cut.
        #[test]
        fn fragments_go_in_and_chunks_come_out(
            server in any::<bool>(),
            bits in 9u8..=15,
            takeover in any::<bool>(),
            items in vec(item(), 0..6),
            sizes in sizes(),
            seed in any::<u64>(),
        ) {
            let role = if server { Role::Server } else { Role::Client };
            let (mut sender, mut receiver) = ends(role, with_bits(bits, takeover));
            for item in &items {
                send(&mut sender, item);
            }
            let wire = drain(&mut sender);
            let mut random = Random::new(seed);
            let whole = || random.below(2) == 0;
            let (events, result) = receive_chunks(&mut receiver, &wire, &sizes, whole);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(events, seen(&items));
        }
    }

    /// RFC 7692 §6.1 and §7.2.1: RSV1 on the first fragment only, and all of them together are one
    /// message, of which each says at once what it has to say.
    #[test]
    fn rfc_7692_section_6_1_fragments_are_compressed_as_one_message() {
        for role in BOTH {
            let (mut sender, mut receiver) = ends(role, params(""));
            let parts = ["to be or not to be, ", "", "to be or not to be: ", "that is it"];
            let mut wires = Vec::new();
            for (i, part) in parts.iter().enumerate() {
                sender.feed_fragment(*part, i == 3).unwrap();
                wires.push(drain(&mut sender));
            }
            let split = support::split(role, wires.concat().as_slice());
            let firsts: Vec<u8> = split.iter().map(|(first, _)| *first).collect();
            assert_eq!(firsts, [0x41, 0x00, 0x00, 0x80]);
            let message =
                split.iter().map(|(_, payload)| &payload[..]).collect::<Vec<_>>().concat();
            assert!(!message.ends_with(&TAIL));
            assert_eq!(inflate(&[], &message).unwrap().bytes, parts.concat().as_bytes());
            assert!(message.len() < 50, "{} bytes", message.len());
            let mut joined = Joined::default();
            for (i, wire) in wires.iter_mut().enumerate() {
                let mut input = Input::new(wire);
                while let Some(event) = receiver.receive_chunk(&mut input).unwrap() {
                    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                    if let Some(message) = joined.push(chunk) {
                        assert_eq!(message, Seen::text(&parts.concat()));
                        assert_eq!(i, 3);
                    }
                }
                if i < 3 {
                    assert_eq!(joined.bytes, parts[..=i].concat().as_bytes());
                }
            }
        }
    }

    /// A small message by itself goes out plain, one that may become large does not, and the first
    /// fragment's word holds.
    #[test]
    fn the_first_fragment_decides() {
        let firsts = |with: &dyn Fn(&mut Connection)| {
            let (mut sender, _) = ends(Role::Server, params(""));
            with(&mut sender);
            sent(&mut sender).into_iter().map(|(first, _)| first).collect::<Vec<_>>()
        };
        assert_eq!(firsts(&|to| to.feed_fragment("small", true).unwrap()), [0x81]);
        assert_eq!(firsts(&|to| to.feed_fragment("small", false).unwrap()), [0x41]);
        assert_eq!(
            firsts(&|to| {
                to.feed_fragment(Compression::Never.of("secret"), false).unwrap();
                to.feed_fragment(Compression::Always.of("x".repeat(1_000)), true).unwrap();
            }),
            [0x01, 0x80]
        );
        assert_eq!(
            firsts(&|to| to.feed_fragment(Compression::Always.of(""), true).unwrap()),
            [0xc1]
        );
    }

    /// KNOWN: a decompression bomb is handed on at constant memory, and held to the limit as soon as
    /// it is to be held.
    #[test]
    fn a_bomb_passes_in_chunks_at_constant_memory() {
        let size = 64 << 20;
        let (mut sender, mut receiver) = ends(Role::Server, params(""));
        sender.feed(vec![0; size]).unwrap();
        let wire = drain(&mut sender);
        assert!(wire.len() < size / 50, "{} bytes", wire.len());
        let mut bytes = 0;
        let ((), heap) = measure(|| {
            for piece in wire.chunks(64 * 1024) {
                let mut piece = piece.to_vec();
                let mut input = Input::new(&mut piece);
                while let Some(event) = receiver.receive_chunk(&mut input).unwrap() {
                    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                    bytes += chunk.as_bytes().len();
                }
            }
        });
        println!("{size} bytes from {}: {heap:?}", wire.len());
        assert_eq!(bytes, size);
        assert!(heap.peak < 300_000, "{heap:?}");
    }

    #[test]
    fn corrupt_data_fails_in_chunks_too() {
        for role in BOTH {
            let mut connection = deflating(role, Config::default(), params(""));
            let wire = frame(role, 0xc1, b"\xff\xff\xff");
            let (events, result) = receive_chunks(&mut connection, &wire, &[1], || false);
            assert_eq!(events, []);
            assert_eq!(result.unwrap_err().kind(), Kind::InvalidDeflate);
        }
    }
}
