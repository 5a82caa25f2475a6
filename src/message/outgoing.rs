//! What can be sent.

use super::{Incoming, Message, Text};
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
