//! A message that arrives in more than one piece.

use super::{
    Incoming, Passage,
    utf8::{Incomplete, InvalidUtf8},
};
use alloc::{string::String, vec::Vec};

/// How far the buffer may grow ahead of the bytes that came, in bytes, or twice as far as these if
/// that is more: otherwise a large message would be copied over and over.
const AHEAD: usize = 1 << 20;

/// How far before so much has come: what a peer gets for a head and a single byte.
const AHEAD_AT_FIRST: usize = 64 << 10;

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

    /// Appends a piece. `announced` is how many more bytes will follow for sure, already checked
    /// against the limits; `limit` is the most that the message may come to, which holds for what
    /// is reserved, too.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        announced: usize,
        limit: usize,
    ) -> Result<(), InvalidUtf8> {
        let reserve = |len, capacity, piece| {
            ahead(len, capacity, piece, announced).min(limit.saturating_sub(len).max(piece))
        };
        match self {
            Self::Text { text, open } => {
                let coming = open.len() + piece.len();
                text.reserve_exact(reserve(text.len(), text.capacity(), coming));
                open.push(text, piece)
            }
            Self::Binary(bytes) => {
                bytes.reserve_exact(reserve(bytes.len(), bytes.capacity(), piece.len()));
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// Where up to `announced` bytes of a binary message may be appended from outside, with room
    /// for some of them; `None` for text, which has to be looked at first.
    #[cfg(feature = "std")]
    pub(crate) fn append(&mut self, announced: usize) -> Option<&mut Vec<u8>> {
        let Self::Binary(bytes) = self else { return None };
        let piece = announced.min(AHEAD_AT_FIRST);
        bytes.reserve_exact(ahead(bytes.len(), bytes.capacity(), piece, announced - piece));
        Some(bytes)
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
    pub(crate) fn finish(self) -> Result<Incoming<'static>, InvalidUtf8> {
        match self {
            Self::Text { open, .. } if !open.is_empty() => Err(InvalidUtf8),
            Self::Text { text, .. } => Ok(Incoming::Text(text.into())),
            Self::Binary(bytes) => Ok(Incoming::Binary(bytes.into())),
        }
    }
}

/// How much to reserve so that `piece` bytes fit: beyond them what the frame announced, at first
/// little of it, or as much as there is already, so that tiny pieces do not grow it one by one.
fn ahead(len: usize, capacity: usize, piece: usize, announced: usize) -> usize {
    if piece <= capacity - len {
        return 0;
    }
    let came = len + piece;
    let most = if came < AHEAD_AT_FIRST { AHEAD_AT_FIRST } else { came.max(AHEAD) };
    piece + announced.min(most).max(len.min(AHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(assembly: &Assembly) -> usize {
        match assembly {
            Assembly::Text { text, .. } => text.capacity(),
            Assembly::Binary(bytes) => bytes.capacity(),
        }
    }

    #[test]
    fn reserves_a_megabyte_ahead_of_what_came_or_twice_that() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            assembly.push(b"x", usize::MAX >> 1, usize::MAX).unwrap();
            assert!(capacity(&assembly) <= 1 + AHEAD_AT_FIRST);
            for announced in [usize::MAX >> 1, 0] {
                for _ in 0..40 {
                    assembly.push(&[b'x'; 100_000], announced, usize::MAX).unwrap();
                    let len = assembly.len();
                    assert!(capacity(&assembly) <= len + len.max(AHEAD));
                }
            }
        }
    }

    /// What is still to come is what room is made for, as far as that is near.
    #[cfg(feature = "std")]
    #[test]
    fn reserves_what_is_announced_before_it_is_read() {
        for announced in [1, 10_000, 64 << 10, 100_000] {
            let mut assembly = Assembly::new(false);
            assert_eq!(assembly.append(announced).unwrap().capacity(), announced);
        }
        let mut assembly = Assembly::new(false);
        let capacity = assembly.append(usize::MAX >> 1).unwrap().capacity();
        assert!((64 << 10..=AHEAD + (64 << 10)).contains(&capacity), "{capacity}");
        assert!(Assembly::new(true).append(100_000).is_none(), "text has to be checked");
    }

    #[test]
    fn reserves_no_more_than_is_announced_once_that_is_much() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            let size = 10 << 20;
            for came in (100_000..=size).step_by(100_000) {
                assembly.push(&[b'x'; 100_000], size - came, usize::MAX).unwrap();
                assert!(capacity(&assembly) <= size.max(came + AHEAD));
            }
        }
    }

    #[test]
    fn a_large_message_grows_in_few_steps() {
        for mut assembly in [Assembly::new(true), Assembly::new(false)] {
            let (size, mut steps, mut last) = (64 << 20, 0, 0);
            for came in (1 << 16..=size).step_by(1 << 16) {
                assembly.push(&[b'x'; 1 << 16], size - came, usize::MAX).unwrap();
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
            assembly.push(b"x", 0, usize::MAX).unwrap();
            steps += usize::from(capacity(&assembly) != last);
            last = capacity(&assembly);
        }
        assert!(steps <= 21, "{steps} steps");
    }
}
