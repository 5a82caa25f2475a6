//! What can be sent, and what of it says how it goes out.

use super::Prepared;
#[cfg(feature = "deflate")]
use crate::deflate::{Compression, WithCompression};
use crate::message::{Chunk, Message, MessageRef, ReceivedMessage, Text};
use alloc::{borrow::Cow, string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// Everything that you can send as a message: with `send` and `feed`, on every type.
///
/// | you have | it goes out as |
/// |---|---|
/// | `&str`, `&String`, `String`, `Cow<str>`, [`Text`], `&Text` | a text message |
/// | `&[u8]`, `&[u8; N]`, `&Vec<u8>`, `Vec<u8>`, `Cow<[u8]>`, [`Bytes`], `&Bytes` | a binary message |
/// | [`Message`], `&Message`, [`ReceivedMessage`], `&ReceivedMessage`, [`MessageRef`] | what it is |
/// | `&`[`Prepared`] | what it is, encoded and compressed once for many connections |
/// | [`Compression::Never.of(…)`](crate::deflate::Compression::of) any of these | the same, with your choice of compression |
///
/// Everything here can also be sent as a fragment of a message: see [`IntoFragment`].
///
/// Nothing is converted on the way. A small payload is copied straight into the outgoing buffer. A
/// large one that is owned or shared is sent from where it lies if this end is a server; a client
/// masks, so it has to copy.
///
/// You cannot implement this trait: make a [`Message`] of a type of your own.
///
/// ```
/// use fullduplex::{Config, Connection, Message, Prepared};
///
/// let mut connection = Connection::server(Config::default());
/// let news = Prepared::new("news");
/// connection.feed("text")?;
/// connection.feed(format!("{} bananas", 3))?;
/// connection.feed(b"\x01\x02\x03")?;
/// connection.feed(Message::from(vec![0; 1_000]))?;
/// connection.feed(&news)?;
/// # Ok::<(), fullduplex::SendError>(())
/// ```
pub trait IntoMessage: IntoFragment {
    /// The message, to be copied.
    fn as_message(&self) -> MessageRef<'_>;

    /// Whether the payload is owned or shared, so that [`into_message`](Self::into_message) does
    /// not copy it.
    fn is_shareable(&self) -> bool;

    /// The message, its payload copied if it is only borrowed.
    fn into_message(self) -> Message;

    /// The frames that were encoded before.
    #[doc(hidden)]
    #[inline]
    fn prepared(&self) -> Option<&Prepared> {
        None
    }
}

/// Everything that you can send as a fragment of a message (RFC 6455 §5.4): with `send_fragment` and
/// `feed_fragment`, and out of a source with `send_iter` and `send_stream`.
///
/// - Everything that is a message, see [`IntoMessage`]. A fragment of text is then UTF-8 by itself.
/// - [`TextFragment`]: bytes of a text message that may be cut anywhere.
/// - [`Chunk`]: a part of a received message, so that a relay can send on what it receives.
/// - [`Compression::Never.of(…)`](crate::deflate::Compression::of) any of these. With the first
///   fragment it says whether the whole message is compressed; with the others it means nothing.
///
/// You cannot implement this trait.
pub trait IntoFragment: sealed::Sealed + Sized {
    /// What holds the bytes.
    #[doc(hidden)]
    type Payload: IntoMessage;

    /// How it is to go out.
    #[doc(hidden)]
    #[inline]
    fn options(&self) -> SendOptions {
        SendOptions::default()
    }

    /// What holds the bytes, without the options.
    #[doc(hidden)]
    fn into_payload(self) -> Self::Payload;
}

mod sealed {
    #[expect(unnameable_types, reason = "that is its purpose")]
    pub trait Sealed {}
}

/// How a message goes out: the part of what is sent that is not its payload.
#[doc(hidden)]
#[derive(Clone, Copy, Default)]
#[expect(unnameable_types, reason = "only the methods of sealed traits name it")]
pub struct SendOptions {
    /// Whether it is text of which the bytes are any part.
    pub(crate) partial_text: bool,
    #[cfg(feature = "deflate")]
    pub(crate) compression: Compression,
}

impl SendOptions {
    #[inline]
    fn partial_text(mut self, is: bool) -> Self {
        self.partial_text = is;
        self
    }
}

/// A fragment in its two parts: an adapter tries again with what came back to it.
impl<P: IntoMessage> sealed::Sealed for (SendOptions, P) {}

#[doc(hidden)]
impl<P: IntoMessage> IntoFragment for (SendOptions, P) {
    type Payload = P;

    #[inline]
    fn options(&self) -> SendOptions {
        self.0
    }

    #[inline]
    fn into_payload(self) -> P {
        self.1
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
/// use fullduplex::{Config, Connection, SendErrorReason, TextFragment};
///
/// let mut connection = Connection::server(Config::default());
/// connection.feed_fragment(TextFragment(b"gr\xc3"), false)?;
/// let refused = connection.feed_fragment(TextFragment(b"n"), true).unwrap_err();
/// assert_eq!(refused.reason, SendErrorReason::InvalidUtf8);
/// connection.feed_fragment(TextFragment(b"\xbcn"), true)?;
/// assert_eq!(connection.outbox().chunk(), b"\x01\x03gr\xc3\x80\x02\xbcn");
/// # Ok::<(), fullduplex::SendError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TextFragment<B>(pub B);

impl<B: IntoMessage> sealed::Sealed for TextFragment<B> {}

impl<B: IntoMessage> IntoFragment for TextFragment<B> {
    type Payload = B;

    #[inline]
    fn options(&self) -> SendOptions {
        self.0.options().partial_text(true)
    }

    #[inline]
    fn into_payload(self) -> B {
        self.0
    }
}

/// The length only: payloads are never printed.
impl<B: IntoMessage> fmt::Debug for TextFragment<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextFragment({} bytes)", self.0.as_message().as_bytes().len())
    }
}

impl sealed::Sealed for Chunk<'_> {}

impl<'i> IntoFragment for Chunk<'i> {
    type Payload = Cow<'i, [u8]>;

    #[inline]
    fn options(&self) -> SendOptions {
        SendOptions::default().partial_text(self.is_text())
    }

    #[inline]
    fn into_payload(self) -> Cow<'i, [u8]> {
        self.into_cow()
    }
}

#[cfg(feature = "deflate")]
impl<F: IntoFragment> sealed::Sealed for WithCompression<F> {}

#[cfg(feature = "deflate")]
impl<F: IntoFragment> IntoFragment for WithCompression<F> {
    type Payload = F::Payload;

    #[inline]
    fn options(&self) -> SendOptions {
        SendOptions { compression: self.compression, ..self.payload.options() }
    }

    #[inline]
    fn into_payload(self) -> F::Payload {
        self.payload.into_payload()
    }
}

#[cfg(feature = "deflate")]
impl<M: IntoMessage> IntoMessage for WithCompression<M> {
    #[inline]
    fn as_message(&self) -> MessageRef<'_> {
        self.payload.as_message()
    }

    #[inline]
    fn is_shareable(&self) -> bool {
        self.payload.is_shareable()
    }

    #[inline]
    fn into_message(self) -> Message {
        self.payload.into_message()
    }

    #[inline]
    fn prepared(&self) -> Option<&Prepared> {
        self.payload.prepared()
    }
}

impl sealed::Sealed for &Prepared {}

impl IntoFragment for &Prepared {
    type Payload = Self;

    #[inline]
    fn options(&self) -> SendOptions {
        Prepared::options(self)
    }

    #[inline]
    fn into_payload(self) -> Self {
        self
    }
}

impl IntoMessage for &Prepared {
    #[inline]
    fn as_message(&self) -> MessageRef<'_> {
        self.message()
    }

    #[inline]
    fn is_shareable(&self) -> bool {
        true
    }

    #[inline]
    fn into_message(self) -> Message {
        self.to_message()
    }

    #[inline]
    fn prepared(&self) -> Option<&Prepared> {
        Some(self)
    }
}

macro_rules! messages {
    ($(($($generics:tt)*) $type:ty:
        |$this:ident| $as_message:expr, $into_message:expr, $shareable:expr;)*) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}

        impl<$($generics)*> IntoFragment for $type {
            type Payload = Self;

            #[inline]
            fn into_payload(self) -> Self {
                self
            }
        }

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

messages! {
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
    () ReceivedMessage<'_>: |incoming| match incoming {
        ReceivedMessage::Text(text) => MessageRef::Text(text),
        ReceivedMessage::Binary(bytes) => MessageRef::Binary(bytes),
    }, incoming.into_message(),
        matches!(incoming, ReceivedMessage::Text(Cow::Owned(_)) | ReceivedMessage::Binary(Cow::Owned(_)));
    () &ReceivedMessage<'_>: |incoming| (*incoming).as_message(), incoming.as_message().into_message(), false;
}
