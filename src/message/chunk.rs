//! Messages that are handed on as they come.

use super::{
    ReceivedMessage,
    utf8::{Incomplete, InvalidUtf8},
};
use alloc::{borrow::Cow, vec::Vec};
use bytes::Bytes;
use core::{fmt, mem};

/// A part of a message that is handed on as it comes, for messages that are too large to be held.
///
/// [`Connection::receive_chunk`](crate::Connection::receive_chunk) gives them. Their borders mean
/// nothing: they depend on how the bytes arrived. The last one of a message may be empty. A code
/// point may lie across two of them: [`TextPieces`](super::TextPieces) makes `&str`s of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk<'i> {
    text: bool,
    first: bool,
    last: bool,
    bytes: Cow<'i, [u8]>,
}

impl<'i> Chunk<'i> {
    /// All of a message.
    pub(crate) fn whole(message: ReceivedMessage<'i>) -> Self {
        let (text, bytes) = match message {
            ReceivedMessage::Text(Cow::Borrowed(text)) => (true, Cow::Borrowed(text.as_bytes())),
            ReceivedMessage::Text(Cow::Owned(text)) => (true, Cow::Owned(text.into_bytes())),
            ReceivedMessage::Binary(bytes) => (false, bytes),
        };
        Self { text, first: true, last: true, bytes }
    }
}

impl<'i> Chunk<'i> {
    /// Whether the message is text. Then all its chunks up to this one are the beginning of UTF-8
    /// text, of which a code point may still be open; after the last, none is.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Whether this is the first one of its message.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Whether this is the last one of its message.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// How many bytes this part has.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has none: only the last part of a message may.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, copied if they are borrowed.
    pub fn into_bytes(self) -> Bytes {
        Vec::from(self.bytes).into()
    }

    pub(crate) fn into_cow(self) -> Cow<'i, [u8]> {
        self.bytes
    }

    /// The same chunk, its bytes copied if they are borrowed.
    pub fn into_owned(self) -> Chunk<'static> {
        Chunk { bytes: self.bytes.into_owned().into(), ..self }
    }
}

/// The place and the length only: payloads are never printed.
impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("text", &self.text)
            .field("first", &self.first)
            .field("last", &self.last)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// What has to be known of a message that is handed on as it comes.
pub(crate) struct Passage {
    /// There if it is text.
    open: Option<Incomplete>,
    /// Whether nothing was handed on yet.
    first: bool,
    /// Whether inflating may give more without further input.
    pub(crate) more: bool,
}

impl Passage {
    pub(crate) fn new(is_text: bool) -> Self {
        Self::going_on(is_text.then(Incomplete::default))
    }

    /// Whether it is text.
    pub(crate) fn is_text(&self) -> bool {
        self.open.is_some()
    }

    /// With a code point that is open, if it is text.
    pub(super) fn going_on(open: Option<Incomplete>) -> Self {
        Self { open, first: true, more: false }
    }

    /// Whether a part was handed on.
    pub(crate) fn has_begun(&self) -> bool {
        !self.first
    }

    /// The next part, once its text is checked; nothing if it is empty and not the `last`.
    pub(crate) fn chunk<'b>(
        &mut self,
        bytes: Cow<'b, [u8]>,
        last: bool,
    ) -> Result<Option<Chunk<'b>>, InvalidUtf8> {
        if let Some(open) = &mut self.open {
            open.feed(&bytes, |_| ())?;
            if last && !open.is_empty() {
                return Err(InvalidUtf8);
            }
        }
        Ok((last || !bytes.is_empty()).then(|| self.checked(bytes, last)))
    }

    /// The next part, whose text was checked before.
    pub(crate) fn checked<'b>(&mut self, bytes: Cow<'b, [u8]>, last: bool) -> Chunk<'b> {
        Chunk { text: self.open.is_some(), first: mem::take(&mut self.first), last, bytes }
    }
}
