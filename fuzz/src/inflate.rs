//! Compressed messages received whole, in pieces, and in chunks.

use crate::{Counting, Plan};
use fullduplex::{
    Config, Connection, Event, Incoming, Input, ProtocolError, ProtocolErrorKind, Role,
    deflate::{Deflate, DeflateParams},
    frame::{Header, OpCode, Rsv, mask},
};

/// The largest message, in bytes.
const LIMIT: usize = 20_000;

/// `data` is a [`Plan`] and messages, each with its kind and length in front: bit `0x80` of that byte
/// makes it text, `0x40` puts it into two fragments with a ping between them, and the others are its
/// length. All of them are marked as compressed. Options: `0x07` the window, `0x08` no takeover.
pub fn inflate(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let mut accepted = false;
    for role in [Role::Server, Role::Client] {
        let wire = wire(role, plan.stream);
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
        accepted |= whole.1.is_none();
    }
    accepted
}

/// The messages in frames, to `role`.
fn wire(role: Role, mut messages: &[u8]) -> Vec<u8> {
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
    while let [kind, rest @ ..] = messages {
        let (message, behind) = rest.split_at(usize::from(kind & 0x3f).min(rest.len()));
        messages = behind;
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

/// The events, chunks joined, and the error.
fn run(
    role: Role,
    options: u8,
    pieces: Vec<Vec<u8>>,
    in_chunks: bool,
) -> (Vec<Event<'static>>, Option<ProtocolError>) {
    let config = Config::default().max_message_size(LIMIT);
    let mut connection = match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_keys(config, Counting(0)),
    }
    .with_deflate(agreed(options));
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
                    if chunk.is_first() {
                        joined.clear();
                    }
                    joined.extend_from_slice(chunk.as_bytes());
                    total += chunk.as_bytes().len();
                    if !chunk.is_last() {
                        continue;
                    }
                    let bytes = core::mem::take(&mut joined);
                    events.push(Event::Message(if chunk.is_text() {
                        Incoming::Text(String::from_utf8(bytes).expect("checked text").into())
                    } else {
                        Incoming::Binary(bytes.into())
                    }));
                }
                Ok(Some(event)) => {
                    if let Event::Message(message) = &event {
                        assert!(message.as_bytes().len() <= LIMIT, "more than the limit");
                    }
                    events.push(event.into_owned());
                }
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
            assert!(total < 1 << 28, "more than DEFLATE can make of this");
        }
        assert!(input.is_empty(), "{} bytes left over", input.len());
    }
    (events, None)
}
