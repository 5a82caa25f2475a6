//! Compressed messages received whole, in pieces, and in chunks, and read by Miniz.

use crate::{
    Counting, Plan,
    book::{Book, UNKNOWN},
    support::{deflate::TAIL, heap},
};
use fullduplex::{
    Config, Connection, Event, Input, ProtocolError, ProtocolErrorKind, ReceivedMessage, Role,
    deflate::{Deflate, DeflateParams},
    frame::{Header, OpCode, Rsv, mask},
};
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress,
        inflate_flags::{
            TINFL_FLAG_HAS_MORE_INPUT as HAS_MORE_INPUT,
            TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF as USING_NON_WRAPPING_OUTPUT_BUF,
        },
    },
};

/// The largest message, in bytes.
const LIMIT: usize = 20_000;

/// What inflating may hold, in bytes, whatever comes: zlib's state with its window, what is inflated
/// at once, what a connection remembers of the last messages, and a message up to its limit.
const MEMORY: usize = 160 * 1024;

/// `data` is a [`Plan`] and messages, each with its kind and length in front: bit `0x80` of that byte
/// makes it text, `0x40` puts it into two fragments with a ping between them, and the others are its
/// length, where `0x3f` takes all that is left. All of them are marked as compressed. Options: `0x07`
/// the window, `0x08` no takeover.
pub fn inflate(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let messages = messages(plan.stream);
    let mut outcomes = Vec::new();
    for role in [Role::Server, Role::Client] {
        let wire = wire(role, &messages);
        let plan = Plan { stream: &wire, ..plan };
        let whole = run(role, plan.options, plan.whole(), false);
        assert_eq!(whole, run(role, plan.options, plan.pieces(), false), "{role:?}: pieces");
        let (events, error) = run(role, plan.options, plan.pieces(), true);
        match &whole.1 {
            // In chunks no limit holds.
            Some(error) if matches!(error.kind(), ProtocolErrorKind::MessageTooBig { .. }) => {
                assert!(events.starts_with(&whole.0), "{role:?}: chunks");
            }
            _ => assert_eq!(whole, (events, error), "{role:?}: chunks"),
        }
        outcomes.push((whole.0, whole.1.map(|error| error.kind())));
    }
    assert_eq!(outcomes[0], outcomes[1], "a server and a client");
    compare(plan.options, &messages, &outcomes[0]);
    outcomes[0].1.is_none()
}

/// Kinds and compressed bytes.
fn messages(mut data: &[u8]) -> Vec<(u8, &[u8])> {
    let mut messages = Vec::new();
    while let [kind, rest @ ..] = data {
        let length = match kind & 0x3f {
            0x3f => rest.len(),
            length => usize::from(length).min(rest.len()),
        };
        let (message, behind) = rest.split_at(length);
        data = behind;
        messages.push((*kind, message));
    }
    messages
}

/// Messages and error against what Miniz makes of the messages. Where it reads what we refuse, as it
/// is more patient with sets of codes and with distances, the books have to refuse it too.
fn compare(
    options: u8,
    messages: &[(u8, &[u8])],
    (events, error): &(Vec<Event<'static>>, Option<ProtocolErrorKind>),
) {
    let takeover = options & 8 == 0;
    let mut book = Book::new(8 + (options & 7), takeover, Some(LIMIT));
    let mut events = events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message.as_bytes()),
        _ => None,
    });
    for (kind, message) in messages {
        let read = miniz_reads(&book.said, message);
        if let Some(event) = events.next() {
            assert_eq!(read, (event.to_vec(), true), "Miniz");
            if takeover {
                book.said.extend_from_slice(event);
            }
            continue;
        }
        let (bytes, good) = read;
        match error.expect("every message has an event, or there is an error") {
            ProtocolErrorKind::MessageTooBig { .. } => assert!(bytes.len() > LIMIT, "Miniz"),
            ProtocolErrorKind::InvalidUtf8 => {
                assert!(kind & 0x80 != 0 && core::str::from_utf8(&bytes).is_err(), "Miniz");
            }
            ProtocolErrorKind::InvalidDeflate => {
                let code = book.read(message, true).1;
                assert!(!good || matches!(code, Some(1007 | UNKNOWN)), "Miniz reads it: {code:?}");
            }
            ProtocolErrorKind::TooManyStreams => {
                assert!(matches!(book.read(message, true).1, Some(1008 | UNKNOWN)));
            }
            other => panic!("{other:?}"),
        }
        return;
    }
    assert_eq!((events.next(), *error), (None, None));
}

/// What Miniz makes of a whole message behind these bytes (of what is too much, the front), and
/// whether nothing speaks against it: what breaks off inside a block does not, but then the books do.
fn miniz_reads(said: &[u8], message: &[u8]) -> (Vec<u8>, bool) {
    let said = &said[said.len().saturating_sub(1 << 15)..];
    let mut all = said.to_vec();
    all.resize(said.len() + LIMIT + 1_000, 0);
    let mut at = said.len();
    let mut rest: &[u8] = &[message, &TAIL].concat();
    let good = loop {
        // Each stream is a state of its own, with all that came before it as its window.
        let mut state = DecompressorOxide::new();
        let (status, read, written) = decompress(
            &mut state,
            rest,
            &mut all,
            at,
            USING_NON_WRAPPING_OUTPUT_BUF | HAS_MORE_INPUT,
        );
        rest = &rest[read..];
        at += written;
        match status {
            // What ends with its stream may lack the end that was cut off (§7.2.3.4).
            TINFLStatus::Done if rest == TAIL => break true,
            TINFLStatus::Done => {}
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput => break true,
            _ => break false,
        }
    };
    all.truncate(at);
    (all.split_off(said.len()), good)
}

/// The messages in frames, to `role`.
fn wire(role: Role, messages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut frame = |fin, rsv, opcode, payload: &[u8]| {
        let key = (role == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        let length = payload.len() as u64;
        let header = Header { fin, rsv, mask: key, ..Header::new(opcode, length) };
        let (head, length) = header.encode();
        wire.extend_from_slice(&head[..length]);
        let start = wire.len();
        wire.extend_from_slice(payload);
        if let Some(key) = key {
            mask(&mut wire[start..], key, 0);
        }
    };
    for (kind, message) in messages {
        let opcode = if kind & 0x80 != 0 { OpCode::Text } else { OpCode::Binary };
        if kind & 0x40 != 0 {
            let (front, back) = message.split_at(message.len() / 2);
            frame(false, Rsv::RSV1, opcode, front);
            frame(true, Rsv::NONE, OpCode::Ping, b"ping");
            frame(true, Rsv::NONE, OpCode::Continuation, back);
        } else {
            frame(true, Rsv::RSV1, opcode, message);
        }
    }
    wire
}

fn agreed(options: u8) -> DeflateParams {
    let bits = 8 + (options & 7);
    let takeover = match options & 8 {
        0 => "",
        _ => "; server_no_context_takeover; client_no_context_takeover",
    };
    let answer =
        format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}");
    let answer = (answer + takeover).parse().expect("an extension");
    let agreed = Deflate::default().receive_window_bits(15).agreed(&[answer]);
    agreed.expect("a good answer").expect("an answer")
}

/// The events, chunks joined, and the error. What it holds meanwhile is bounded by what it gives out.
fn run(
    role: Role,
    options: u8,
    pieces: Vec<Vec<u8>>,
    in_chunks: bool,
) -> (Vec<Event<'static>>, Option<ProtocolError>) {
    let given: usize = pieces.iter().map(Vec::len).sum();
    let ((events, error, total), heap) =
        heap::measure(|| receive(role, options, pieces, in_chunks));
    // Beyond that each message twice while it grows, and once among the events.
    let most = MEMORY + 3 * total + 100 * given;
    assert!(heap.peak <= most, "{} bytes of memory for {total}", heap.peak);
    (events, error)
}

/// As `run`, with the bytes of all messages.
fn receive(
    role: Role,
    options: u8,
    pieces: Vec<Vec<u8>>,
    in_chunks: bool,
) -> (Vec<Event<'static>>, Option<ProtocolError>, usize) {
    let config = Config::default().max_message_size(LIMIT);
    let mut connection = match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_keys(config, Counting(0)),
    }
    .with_deflate(agreed(options))
    .expect("it is new");
    let (mut events, mut joined, mut total) = (Vec::new(), Vec::new(), 0);
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        loop {
            let event = match in_chunks {
                true => connection.receive_chunk(&mut input),
                false => connection.receive(&mut input),
            };
            match event {
                Ok(Some(Event::Chunk(chunk))) => {
                    assert!(chunk.len() <= 32 * 1024, "inflated at once: {}", chunk.len());
                    if chunk.is_first() {
                        joined.clear();
                    }
                    joined.extend_from_slice(chunk.as_bytes());
                    total += chunk.len();
                    if !chunk.is_last() {
                        continue;
                    }
                    let bytes = core::mem::take(&mut joined);
                    events.push(Event::Message(if chunk.is_text() {
                        ReceivedMessage::Text(
                            String::from_utf8(bytes).expect("checked text").into(),
                        )
                    } else {
                        ReceivedMessage::Binary(bytes.into())
                    }));
                }
                Ok(Some(event)) => {
                    if let Event::Message(message) = &event {
                        assert!(message.as_bytes().len() <= LIMIT, "more than the limit");
                        total += message.as_bytes().len();
                    }
                    events.push(event.into_owned());
                }
                Ok(None) => break,
                Err(error) => return (events, Some(error), total),
            }
            assert!(total < 1 << 24, "more than DEFLATE can make of this");
        }
        assert!(input.is_empty(), "{} bytes left over", input.len());
    }
    (events, None, total)
}
