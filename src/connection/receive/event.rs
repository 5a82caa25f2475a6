//! What the core gives to its caller.

use crate::{Incoming, frame::CloseFrame, message::Chunk};
use alloc::borrow::Cow;
use core::fmt;

/// Something that came from the peer. It borrows the input, never the connection.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'i> {
    /// A whole message.
    Message(Incoming<'i>),
    /// A part of a message, from [`receive_chunk`](crate::Connection::receive_chunk), which gives this
    /// instead of [`Message`](Self::Message).
    Chunk(Chunk<'i>),
    /// A ping (RFC 6455 §5.5.2). Its pong is queued already.
    Ping(Cow<'i, [u8]>),
    /// A pong (§5.5.3), asked for or not.
    Pong(Cow<'i, [u8]>),
    /// The peer's Close (§5.5.1), `None` if it has no code. The answer is queued already, unless you
    /// closed first. This is the last event.
    Close(Option<CloseFrame>),
}

/// The kind and the length only: payloads are never printed.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => message.fmt(f),
            Self::Chunk(chunk) => chunk.fmt(f),
            Self::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Self::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
            Self::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}

impl Event<'_> {
    /// The same event with an owned payload, copied if it was borrowed.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Message(message) => Event::Message(message.into_static()),
            Self::Chunk(chunk) => Event::Chunk(chunk.into_owned()),
            Self::Ping(payload) => Event::Ping(payload.into_owned().into()),
            Self::Pong(payload) => Event::Pong(payload.into_owned().into()),
            Self::Close(frame) => Event::Close(frame),
        }
    }
}
