//! What the tests of the core share: frames by hand, owned events, seeded randomness, and in the
//! modules a reference decoder, a pair of connections and an allocator that counts.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod pair;
pub(crate) mod reference;

use bytes::Buf;
use core::{convert::Infallible, time::Duration};
use fullduplex::{
    CloseCode, CloseFrame, Config, Connection, Event, Incoming, Input, Message, ProtocolError,
    Role, SendError, Time,
};
use std::sync::Arc;

pub(crate) const BOTH: [Role; 2] = [Role::Server, Role::Client];

/// The key that [`frame`] masks with.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A connection in `role`, its mask keys from a fixed seed.
pub(crate) fn connection(role: Role, config: impl Into<Arc<Config>>) -> Connection {
    match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_keys(config, Random::new(1)),
    }
}

pub(crate) fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

pub(crate) fn seconds(seconds: f64) -> Time {
    Time::since_epoch(Duration::from_secs_f64(seconds))
}

/// A frame head as it arrives at `to`: with [`KEY`] if that is a server. `first` holds FIN, RSV
/// and opcode as RFC 6455 §5.2 draws them: `0x81` is a whole text, `0x01` its first fragment.
pub(crate) fn head(to: Role, first: u8, length: u64) -> Vec<u8> {
    head_with(first, length, (to == Role::Server).then_some(KEY))
}

pub(crate) fn head_with(first: u8, length: u64, key: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    if length < 126 {
        bytes.push(masked | length as u8);
    } else if length <= 0xffff {
        bytes.push(masked | 126);
        bytes.extend((length as u16).to_be_bytes());
    } else {
        bytes.push(masked | 127);
        bytes.extend(length.to_be_bytes());
    }
    bytes.extend(key.iter().flatten());
    bytes
}

/// A frame as it arrives at `to`: masked if that is a server.
pub(crate) fn frame(to: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with(first, payload, (to == Role::Server).then_some(KEY))
}

pub(crate) fn frame_with(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = head_with(first, payload.len() as u64, key);
    let key = key.unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    bytes
}

/// Several frames, one after the other.
pub(crate) fn frames(to: Role, frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(to, *first, payload)).collect()
}

/// The body of a Close frame.
pub(crate) fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

pub(crate) fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame::new(CloseCode::new(code).unwrap(), reason).unwrap()
}

/// An [`Event`] that owns everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Seen {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(Incoming::Text(text)) => Self::Text(text.into()),
            Event::Message(Incoming::Binary(bytes)) => Self::Binary(bytes.into()),
            Event::Ping(payload) => Self::Ping(payload.into()),
            Event::Pong(payload) => Self::Pong(payload.into()),
            Event::Close(frame) => {
                Self::Close(frame.map(|frame| (frame.code().into(), frame.reason().into())))
            }
            other => panic!("an event the tests do not know: {other:?}"),
        }
    }
}

/// Sends each message back and drops it when that is refused.
pub(crate) fn echo(connection: &mut Connection, event: &Event<'_>) {
    if let Event::Message(message) = event {
        let _: Result<(), SendError> = connection.feed(message);
    }
}

/// Looks on.
pub(crate) fn watch(_: &mut Connection, _: &Event<'_>) {}

/// Gives all of `wire` to `connection`, `step` bytes at a time, and then once more nothing: the
/// events and how it ended. An error has to stay, and nothing may come after it.
#[track_caller]
pub(crate) fn receive(
    connection: &mut Connection,
    wire: &[u8],
    step: usize,
    mut on: impl FnMut(&mut Connection, &Event<'_>),
) -> (Vec<Seen>, Result<(), ProtocolError>) {
    let (mut events, mut result) = (Vec::new(), Ok(()));
    for piece in wire.chunks(step.max(1)).chain([&[][..]]) {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            match connection.receive(&mut input) {
                Ok(Some(event)) => {
                    assert_eq!(result, Ok(()), "{event:?} after an error");
                    let closed = matches!(events.last(), Some(Seen::Close(_)));
                    assert!(!closed, "{event:?} after a Close");
                    on(connection, &event);
                    events.push(event.into());
                }
                Ok(None) => {
                    assert!(input.is_empty(), "input left");
                    assert_eq!(result, Ok(()), "the error went away");
                    break;
                }
                Err(error) => {
                    assert!(result.is_ok() || result == Err(error), "{error:?} after {result:?}");
                    result = Err(error);
                    break;
                }
            }
        }
    }
    (events, result)
}

/// Takes everything out of the outbox.
pub(crate) fn drain(connection: &mut Connection) -> Vec<u8> {
    let mut outbox = connection.outbox();
    outbox.copy_to_bytes(outbox.remaining()).into()
}

/// All that is in the outbox.
pub(crate) fn waiting(connection: &mut Connection) -> Vec<u8> {
    let outbox = connection.outbox();
    let mut slices = [std::io::IoSlice::new(&[]); 1_000];
    let used = outbox.chunks_vectored(&mut slices);
    let all: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    assert_eq!(all.len(), outbox.remaining());
    all
}

/// Takes `most` bytes out of the outbox.
pub(crate) fn take(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut bytes = waiting(connection);
    bytes.truncate(most);
    connection.outbox().advance(bytes.len());
    bytes
}

/// Takes everything out of the outbox: first byte and payload of each frame.
#[track_caller]
pub(crate) fn sent(connection: &mut Connection) -> Vec<(u8, Vec<u8>)> {
    let role = connection.role();
    // A pong that was kept back comes into the outbox when the others are out.
    let mut bytes = Vec::new();
    while !connection.outbox().is_empty() {
        bytes.extend(drain(connection));
    }
    split(role, &bytes)
}

/// First byte and payload of each of the frames that an endpoint in role `from` wrote.
#[track_caller]
pub(crate) fn split(from: Role, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let head = reference::head(bytes).unwrap().expect("a whole head");
        assert_eq!(head.key.is_some(), from == Role::Client, "§5.1: a client masks, a server not");
        let (payload, rest) = bytes[head.size..].split_at(head.length as usize);
        frames.push((bytes[0], reference::unmask(payload, head.key)));
        bytes = rest;
    }
    frames
}

/// The codes of the Close frames among `frames`; 1005 for one without.
pub(crate) fn close_codes(frames: &[(u8, Vec<u8>)]) -> Vec<u16> {
    let closes = frames.iter().filter(|(first, _)| *first == 0x88);
    closes
        .map(|(_, body)| body.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)))
        .collect()
}

pub(crate) fn message(seen: &Seen) -> Option<Message> {
    match seen {
        Seen::Text(text) => Some(text.as_str().into()),
        Seen::Binary(bytes) => Some(bytes[..].into()),
        _ => None,
    }
}

/// SplitMix64: everything random in the tests comes from a seed that is written in the test.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A size from 1 to `most`, mostly small.
    pub(crate) fn size(&mut self, most: usize) -> usize {
        let scale = [1, 4, 64, usize::MAX][self.below(4)];
        1 + self.below(scale.min(most))
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

impl rand::TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }
}

/// Only for tests: it is not.
impl rand::TryCryptoRng for Random {}
