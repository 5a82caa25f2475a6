//! A message that arrives in more than one piece.

use super::{
    Passage, ReceivedMessage,
    utf8::{Incomplete, InvalidUtf8},
};
use alloc::{string::String, vec::Vec};

/// How far the buffer may grow ahead of the bytes that came, in bytes, or twice as far as these if
/// that is more: otherwise a large message would be copied over and over.
const AHEAD: usize = 1 << 20;

/// How far before so much has come: what a peer gets for a head and a single byte.
pub(crate) const AHEAD_AT_FIRST: usize = 64 << 10;

/// The payload of a message that is under way, as far as it came.
pub(crate) enum Assembly {
    Text { text: String, open: Incomplete },
    Binary(Vec<u8>),
}

impl Assembly {
    pub(crate) fn new(is_text: bool) -> Self {
        match is_text {
            true => Self::Text { text: String::new(), open: Incomplete::default() },
            false => Self::Binary(Vec::new()),
        }
    }

    /// What is held, and what it takes to hand on what follows.
    pub(crate) fn into_passage(self) -> (Vec<u8>, Passage) {
        match self {
            Self::Text { text, open } => {
                let mut held = text.into_bytes();
                held.extend_from_slice(open.as_bytes());
                (held, Passage::going_on(Some(open)))
            }
            Self::Binary(bytes) => (bytes, Passage::going_on(None)),
        }
    }

    /// Bytes of payload so far.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text { text, open } => text.len() + open.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// How large the buffer has to become, in bytes, before a piece of so many bytes is
    /// [pushed](Self::push), if it has to grow. `announced` is how many more will follow for sure,
    /// already checked against the limits; `limit` is the most that the message may come to, which
    /// holds for what is reserved, too.
    #[inline]
    pub(crate) fn wants(&self, piece: usize, announced: usize, limit: usize) -> Option<usize> {
        let (len, capacity, piece) = match self {
            Self::Text { text, open } => (text.len(), text.capacity(), open.len() + piece),
            Self::Binary(bytes) => (bytes.len(), bytes.capacity(), piece),
        };
        if piece <= capacity - len {
            return None;
        }
        Some(len + ahead(len, piece, announced).min(limit.saturating_sub(len).max(piece)))
    }

    /// Makes the buffer as large as it [wants](Self::wants) to be; whether there was memory.
    #[must_use]
    pub(crate) fn grow(&mut self, size: usize) -> bool {
        match self {
            Self::Text { text, .. } => text.try_reserve_exact(size - text.len()),
            Self::Binary(bytes) => bytes.try_reserve_exact(size - bytes.len()),
        }
        .is_ok()
    }

    /// Appends a piece, for which there is room.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        match self {
            Self::Text { text, open } => open.push(text, piece),
            Self::Binary(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// The bytes of a binary message, for more to be appended from outside where there is room;
    /// `None` for text, which has to be looked at first.
    #[cfg(feature = "std")]
    pub(crate) fn as_binary(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Text { .. } => None,
            Self::Binary(bytes) => Some(bytes),
        }
    }

    /// Gives back what was reserved for more.
    #[cfg(feature = "deflate")]
    pub(crate) fn shrink(&mut self) {
        match self {
            Self::Text { text, .. } => text.shrink_to_fit(),
            Self::Binary(bytes) => bytes.shrink_to_fit(),
        }
    }

    /// The whole message; an error if text ends inside a code point.
    pub(crate) fn finish(self) -> Result<ReceivedMessage<'static>, InvalidUtf8> {
        match self {
            Self::Text { open, .. } if !open.is_empty() => Err(InvalidUtf8),
            Self::Text { text, .. } => Ok(ReceivedMessage::Text(text.into())),
            Self::Binary(bytes) => Ok(ReceivedMessage::Binary(bytes.into())),
        }
    }
}

/// How much to reserve behind `len` bytes for `piece` more: beyond these what the frame announced,
/// at first little of it, or as much as there is already, so that tiny pieces do not grow it one by
/// one.
fn ahead(len: usize, piece: usize, announced: usize) -> usize {
    let came = len + piece;
    let most = if came < AHEAD_AT_FIRST { AHEAD_AT_FIRST } else { came.max(AHEAD) };
    piece + announced.min(most).max(len.min(AHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As whoever receives does it.
    fn push(assembly: &mut Assembly, piece: &[u8], announced: usize) {
        if let Some(size) = assembly.wants(piece.len(), announced, usize::MAX) {
            assert!(assembly.grow(size));
        }
        assembly.push(piece).unwrap();
    }

    fn capacity(assembly: &Assembly) -> usize {
        match assembly {
            Assembly::Text { text, .. } => text.capacity(),
            Assembly::Binary(bytes) => bytes.capacity(),
        }
    }

    #[test]
    fn reserves_a_megabyte_ahead_of_what_came_or_twice_that() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            push(&mut assembly, b"x", usize::MAX >> 1);
            assert!(capacity(&assembly) <= 1 + AHEAD_AT_FIRST);
            for announced in [usize::MAX >> 1, 0] {
                for _ in 0..40 {
                    push(&mut assembly, &[b'x'; 100_000], announced);
                    let len = assembly.len();
                    assert!(capacity(&assembly) <= len + len.max(AHEAD));
                }
            }
        }
    }

    /// What is still to come is what room is made for, as far as that is near.
    #[test]
    fn reserves_what_is_announced_before_it_is_read() {
        let wants = |announced: usize| {
            let piece = announced.min(AHEAD_AT_FIRST);
            Assembly::new(false).wants(piece, announced - piece, usize::MAX).unwrap()
        };
        for announced in [1, 10_000, 64 << 10, 100_000] {
            assert_eq!(wants(announced), announced);
        }
        let size = wants(usize::MAX >> 1);
        assert!((64 << 10..=AHEAD + (64 << 10)).contains(&size), "{size}");
    }

    /// No more than the message may come to is reserved, but for a piece that is there.
    #[test]
    fn reserves_within_the_limit() {
        for assembly in [Assembly::new(true), Assembly::new(false)] {
            assert_eq!(assembly.wants(10, usize::MAX >> 1, 15), Some(15));
            assert_eq!(assembly.wants(10, usize::MAX >> 1, 5), Some(10));
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn text_is_not_appended_to_unchecked() {
        assert!(Assembly::new(true).as_binary().is_none());
        assert!(Assembly::new(false).as_binary().is_some());
    }

    #[test]
    fn what_no_allocator_has_is_told() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            assert!(!assembly.grow(usize::MAX));
        }
    }

    #[test]
    fn reserves_no_more_than_is_announced_once_that_is_much() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            let size = 10 << 20;
            for came in (100_000..=size).step_by(100_000) {
                push(&mut assembly, &[b'x'; 100_000], size - came);
                assert!(capacity(&assembly) <= size.max(came + AHEAD));
            }
        }
    }

    #[test]
    fn a_large_message_grows_in_few_steps() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            let (size, mut steps, mut last) = (64 << 20, 0, 0);
            for came in (1 << 16..=size).step_by(1 << 16) {
                push(&mut assembly, &[b'x'; 1 << 16], size - came);
                steps += usize::from(capacity(&assembly) != last);
                last = capacity(&assembly);
            }
            assert!(steps <= 7, "{steps} steps");
            assert_eq!(last, size);
        }
    }

    #[test]
    fn tiny_pieces_grow_in_few_steps() {
        let (mut assembly, mut steps, mut last) = (Assembly::new(false), 0, 0);
        for _ in 0..1 << 20 {
            push(&mut assembly, b"x", 0);
            steps += usize::from(capacity(&assembly) != last);
            last = capacity(&assembly);
        }
        assert!(steps <= 21, "{steps} steps");
    }
}
