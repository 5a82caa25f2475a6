//! Messages (RFC 6455 §5.6): owned, received and on their way out.

mod assembly;
mod borrowed;
mod chunk;
mod text;
mod text_pieces;
mod utf8;

#[cfg(feature = "std")]
pub(crate) use assembly::AHEAD_AT_FIRST;
pub(crate) use assembly::Assembly;
pub use borrowed::MessageRef;
pub use chunk::Chunk;
pub(crate) use chunk::Passage;
pub use text::Text;
pub use text_pieces::{NotText, TextPieces};
pub(crate) use utf8::{Incomplete, whole as whole_utf8};

use alloc::{borrow::Cow, string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// A whole message that owns its payload and is cheap to clone.
///
/// Made from `&str`, `String`, [`Text`], `&[u8]`, `Vec<u8>` or [`Bytes`]. To send one of these no
/// conversion is needed: every `send` takes them as they are (see
/// [`IntoMessage`](crate::IntoMessage)).
///
/// ```
/// use fullduplex::Message;
///
/// let text = Message::from("hello");
/// assert_eq!(text.as_text(), Some("hello"));
/// let binary = Message::from(vec![1, 2, 3]);
/// assert_eq!(binary.as_bytes(), [1, 2, 3]);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// A text message: UTF-8.
    Text(Text),
    /// A binary message.
    Binary(Bytes),
}

impl Message {
    /// The text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The payload of either kind, without a copy.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text, without a copy, or the message itself if it is binary.
    ///
    /// # Errors
    /// The message, if it is not text.
    pub fn into_text(self) -> Result<Text, Self> {
        match self {
            Self::Text(text) => Ok(text),
            binary @ Self::Binary(_) => Err(binary),
        }
    }

    /// Whether this is a text message.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether it is a binary message.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty. An empty message is a message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The kind and the length only: payloads are never printed.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MessageRef::from(self).fmt(f)
    }
}

/// A whole message as it was received: borrowed from the input when it arrived in one frame and
/// one piece, otherwise owned.
///
/// It can be sent on as it is, and [`into_owned`](Self::into_owned) makes it outlive the
/// input.
///
/// ```
/// use fullduplex::{ReceivedMessage, Message};
///
/// let incoming = ReceivedMessage::Text("hello".into());
/// assert_eq!(incoming.as_text(), Some("hello"));
/// let message: Message = incoming.into_message();
/// # assert_eq!(message, Message::from("hello"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum ReceivedMessage<'i> {
    /// A text message: UTF-8.
    Text(Cow<'i, str>),
    /// A binary message.
    Binary(Cow<'i, [u8]>),
}

impl ReceivedMessage<'_> {
    /// The text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Whether this is a text message.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether it is a binary message.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// The payload of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The same, its payload copied if it is borrowed.
    pub fn into_owned(self) -> ReceivedMessage<'static> {
        match self {
            Self::Text(text) => ReceivedMessage::Text(text.into_owned().into()),
            Self::Binary(bytes) => ReceivedMessage::Binary(bytes.into_owned().into()),
        }
    }

    /// An owned message: one allocation of the right size where the payload is borrowed, no copy
    /// where it is owned.
    pub fn into_message(self) -> Message {
        match self {
            Self::Text(Cow::Borrowed(text)) => Message::Text(text.into()),
            Self::Text(Cow::Owned(text)) => Message::Text(text.into()),
            Self::Binary(Cow::Borrowed(bytes)) => Message::Binary(Bytes::copy_from_slice(bytes)),
            Self::Binary(Cow::Owned(bytes)) => Message::Binary(bytes.into()),
        }
    }
}

/// The kind and the length only: payloads are never printed.
impl fmt::Debug for ReceivedMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MessageRef::from(self).fmt(f)
    }
}

impl From<ReceivedMessage<'_>> for Message {
    fn from(incoming: ReceivedMessage<'_>) -> Self {
        incoming.into_message()
    }
}

/// A text as it is; of a binary message how long it is. Payloads are what the peer sent: think of
/// where this is printed. `Debug` shows none.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Binary(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// Equal to a text message with this text.
impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        self.as_text() == Some(other)
    }
}

/// Equal to a text message with this text.
impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        bytes[..].into()
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IntoMessage;

    #[test]
    fn a_message_is_text_or_bytes() {
        let (text, binary) = (Message::from("one"), Message::from(b"one"));
        assert!(text.is_text() && !binary.is_text());
        assert_eq!((text.as_text(), binary.as_text()), (Some("one"), None));
        assert_eq!((text.as_bytes(), binary.as_bytes()), (&b"one"[..], &b"one"[..]));
        assert_ne!(text, binary);
        assert!(text == *"one" && text == "one" && text != *"two" && text != "two");
        assert!(binary != *"one" && binary != "one");
        assert_eq!(binary.clone().into_text(), Err(binary.clone()));
        assert_eq!(text.clone().into_text().unwrap(), "one");
        assert_eq!((text.into_bytes(), binary.into_bytes()), ("one".into(), "one".into()));
        assert_eq!((Message::from("").len(), Message::from("").is_empty()), (0, true));
        assert_eq!(Message::from(&String::from("one")), Message::from("one"));
    }

    /// Borrowed or owned, what came is the same message, and what is owned can be shared.
    #[test]
    fn what_came_becomes_a_message() {
        let text = |owned| match owned {
            true => ReceivedMessage::Text(Cow::Owned("one".into())),
            false => ReceivedMessage::Text(Cow::Borrowed("one")),
        };
        let binary = |owned| match owned {
            true => ReceivedMessage::Binary(Cow::Owned(b"one".into())),
            false => ReceivedMessage::Binary(Cow::Borrowed(b"one")),
        };
        for owned in [false, true] {
            assert_eq!(text(owned).as_text(), Some("one"));
            assert_eq!(binary(owned).as_text(), None);
            for (incoming, message) in
                [(text(owned), Message::from("one")), (binary(owned), Message::from(b"one"))]
            {
                assert_eq!(incoming.as_bytes(), b"one");
                assert_eq!(incoming.is_shareable(), owned);
                assert!(!IntoMessage::is_shareable(&&incoming), "it may be needed still");
                assert_eq!(IntoMessage::into_message(&incoming), message);
                assert_eq!(incoming.clone().into_owned(), incoming);
                assert_eq!(incoming.clone().into_message(), message);
                assert_eq!(Message::from(incoming), message);
            }
        }
    }
}
