//! What can be sent.

use super::{Chunk, Incoming, Message, Text};
use crate::frame::OpCode;
use alloc::{borrow::Cow, string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// A borrowed message: its kind and its payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MessageRef<'a> {
    /// A text message: UTF-8.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl<'a> MessageRef<'a> {
    /// The payload of either kind.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// What its first frame says.
    pub(crate) fn opcode(self) -> OpCode {
        match self {
            Self::Text(_) => OpCode::Text,
            Self::Binary(_) => OpCode::Binary,
        }
    }
}

/// The kind and the length only: payloads are never printed.
impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// What a `send` takes: text as `&str`, `String`, `Cow<str>`, [`Text`]; binary as `&[u8]`,
/// `&[u8; N]`, `Vec<u8>`, `Cow<[u8]>`, [`Bytes`]; either as [`Message`], [`Incoming`], [`MessageRef`]; and references to
/// these.
///
/// Nothing is converted on the way: a small payload is copied straight into the outgoing buffer,
/// and a large one that is owned or shared is sent from where it lies if the role allows it (a
/// client masks, so it has to copy).
pub trait IntoMessage: sealed::Sealed + Sized {
    /// The message, to be copied.
    fn as_message(&self) -> MessageRef<'_>;

    /// Whether the payload is owned or shared, so that [`into_message`](Self::into_message) does
    /// not copy it.
    fn is_shareable(&self) -> bool;

    /// The message, its payload copied if it is only borrowed.
    fn into_message(self) -> Message;
}

mod sealed {
    #[expect(unnameable_types, reason = "that is its purpose")]
    pub trait Sealed {}

    #[expect(unnameable_types, reason = "that is its purpose")]
    pub trait Fragment {}
}

/// What a `send_fragment` takes: anything that is a message, whose text is then UTF-8 by itself; a
/// [`TextFragment`], whose borders may lie inside a code point; and a [`Chunk`], so that a relay can
/// send on what it receives.
pub trait IntoFragment: sealed::Fragment + Sized {
    /// What holds the bytes.
    #[doc(hidden)]
    type Payload: IntoMessage;

    /// Whether it is text of which the bytes are any part, and the bytes.
    #[doc(hidden)]
    fn into_payload(self) -> (bool, Self::Payload);
}

impl<M: IntoMessage> sealed::Fragment for M {}

impl<M: IntoMessage> IntoFragment for M {
    type Payload = M;

    #[inline]
    fn into_payload(self) -> (bool, M) {
        (false, self)
    }
}

/// Bytes that are a part of a text message, to be sent as a fragment of it: a code point may lie
/// across two of them (RFC 6455 §5.6). For relays, which get text in parts that are cut anywhere.
///
/// The message as a whole has to be UTF-8. It is checked on the way: bytes that no continuation can
/// make valid are refused, and so is an end inside of a code point, both with
/// [`InvalidUtf8`](crate::SendErrorReason::InvalidUtf8). Then nothing changed, and the message can
/// be gone on with.
///
/// ```
/// use fullduplex::{Config, Connection, SendErrorReason, message::TextFragment};
///
/// let mut connection = Connection::server(Config::default());
/// connection.send_fragment(TextFragment(b"gr\xc3"), false)?;
/// let refused = connection.send_fragment(TextFragment(b"n"), true).unwrap_err();
/// assert_eq!(refused.reason, SendErrorReason::InvalidUtf8);
/// connection.send_fragment(TextFragment(b"\xbcn"), true)?;
/// assert_eq!(connection.outbox().chunk(), b"\x01\x03gr\xc3\x80\x02\xbcn");
/// # Ok::<(), fullduplex::SendError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TextFragment<B>(pub B);

impl<B: IntoMessage> sealed::Fragment for TextFragment<B> {}

impl<B: IntoMessage> IntoFragment for TextFragment<B> {
    type Payload = B;

    #[inline]
    fn into_payload(self) -> (bool, B) {
        (true, self.0)
    }
}

/// The length only: payloads are never printed.
impl<B: IntoMessage> fmt::Debug for TextFragment<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextFragment({} bytes)", self.0.as_message().as_bytes().len())
    }
}

impl sealed::Fragment for Chunk<'_> {}

impl<'i> IntoFragment for Chunk<'i> {
    type Payload = Cow<'i, [u8]>;

    #[inline]
    fn into_payload(self) -> (bool, Cow<'i, [u8]>) {
        (self.is_text(), self.into_cow())
    }
}

/// A fragment whose bytes came back from a call that did not accept it.
#[cfg(feature = "std")]
pub(crate) struct Returned {
    pub(crate) partial: bool,
    pub(crate) message: Message,
}

#[cfg(feature = "std")]
impl sealed::Fragment for Returned {}

#[cfg(feature = "std")]
impl IntoFragment for Returned {
    type Payload = Message;

    fn into_payload(self) -> (bool, Message) {
        (self.partial, self.message)
    }
}

macro_rules! outgoing {
    ($(($($generics:tt)*) $type:ty:
        |$this:ident| $as_message:expr, $into_message:expr, $shareable:expr;)*) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}

        impl<$($generics)*> IntoMessage for $type {
            #[inline]
            fn as_message(&self) -> MessageRef<'_> {
                let $this = self;
                $as_message
            }

            #[inline]
            fn is_shareable(&self) -> bool {
                #[allow(unused_variables, reason = "most types need not look")]
                let $this = self;
                $shareable
            }

            #[inline]
            fn into_message(self) -> Message {
                let $this = self;
                $into_message
            }
        }

        impl<'a, $($generics)*> From<&'a $type> for MessageRef<'a> {
            #[inline]
            fn from(message: &'a $type) -> Self {
                message.as_message()
            }
        }
    )*};
}

outgoing! {
    () &str: |text| MessageRef::Text(text), text.into(), false;
    () &String: |text| MessageRef::Text(text), text.as_str().into(), false;
    () String: |text| MessageRef::Text(text), text.into(), true;
    () Text: |text| MessageRef::Text(text), text.into(), true;
    () Cow<'_, str>: |text| MessageRef::Text(text), text.into_owned().into(),
        matches!(text, Cow::Owned(_));
    () Cow<'_, [u8]>: |bytes| MessageRef::Binary(bytes), bytes.into_owned().into(),
        matches!(bytes, Cow::Owned(_));
    () &Text: |text| MessageRef::Text(text), text.clone().into(), true;
    () &[u8]: |bytes| MessageRef::Binary(bytes), bytes.into(), false;
    (const N: usize) &[u8; N]: |bytes| MessageRef::Binary(&bytes[..]), bytes[..].into(), false;
    () &Vec<u8>: |bytes| MessageRef::Binary(bytes), bytes[..].into(), false;
    () Vec<u8>: |bytes| MessageRef::Binary(bytes), bytes.into(), true;
    () Bytes: |bytes| MessageRef::Binary(bytes), bytes.into(), true;
    () &Bytes: |bytes| MessageRef::Binary(bytes), bytes.clone().into(), true;
    () Message: |message| match message {
        Message::Text(text) => MessageRef::Text(text),
        Message::Binary(bytes) => MessageRef::Binary(bytes),
    }, message, true;
    () &Message: |message| (*message).as_message(), message.clone(), true;
    () MessageRef<'_>: |message| *message, match message {
        MessageRef::Text(text) => text.into(),
        MessageRef::Binary(bytes) => bytes.into(),
    }, false;
}

impl sealed::Sealed for Incoming<'_> {}
impl sealed::Sealed for &Incoming<'_> {}

impl IntoMessage for Incoming<'_> {
    #[inline]
    fn as_message(&self) -> MessageRef<'_> {
        match self {
            Incoming::Text(text) => MessageRef::Text(text),
            Incoming::Binary(bytes) => MessageRef::Binary(bytes),
        }
    }

    #[inline]
    fn is_shareable(&self) -> bool {
        matches!(self, Incoming::Text(Cow::Owned(_)) | Incoming::Binary(Cow::Owned(_)))
    }

    fn into_message(self) -> Message {
        self.into()
    }
}

impl IntoMessage for &Incoming<'_> {
    #[inline]
    fn as_message(&self) -> MessageRef<'_> {
        (*self).as_message()
    }

    #[inline]
    fn is_shareable(&self) -> bool {
        false
    }

    fn into_message(self) -> Message {
        self.as_message().into_message()
    }
}

impl<'a> From<&'a Incoming<'_>> for MessageRef<'a> {
    #[inline]
    fn from(incoming: &'a Incoming<'_>) -> Self {
        incoming.as_message()
    }
}
