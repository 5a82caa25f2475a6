//! The link from one message to the next: the window, and the position in the messages.

use alloc::{sync::Arc, vec::Vec};
use core::mem;

/// A position in the messages that a connection sends, or receives: after how many. No two
/// connections share one, because a `stream` lives as long as a position names it.
#[derive(Clone, Default)]
pub(super) struct Position {
    stream: Arc<()>,
    pub(super) messages: u64,
}

#[cfg(feature = "std")]
impl Position {
    /// Whether its connection is gone.
    pub(super) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.stream) == 1
    }

    /// Whether both are in the same stream.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream) && self.messages == other.messages
    }
}

/// The last bytes before compression, in a ring that grows to its size as they come.
pub(super) struct Window {
    size: usize,
    pub(super) bytes: Vec<u8>,
    /// Where the oldest byte is, once the ring is full.
    start: usize,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self { size, bytes: Vec::new(), start: 0 }
    }

    pub(super) fn push(&mut self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(self.size)..];
        let (grows, turns) = new.split_at(new.len().min(self.size - self.bytes.len()));
        if grows.len() > self.bytes.capacity() - self.bytes.len() {
            let ahead = grows.len().max(self.bytes.len()).min(self.size - self.bytes.len());
            self.bytes.reserve_exact(ahead);
        }
        self.bytes.extend_from_slice(grows);
        let (first, second) = turns.split_at(turns.len().min(self.bytes.len() - self.start));
        self.bytes[self.start..][..first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        if self.bytes.len() == self.size {
            self.start = (self.start + turns.len()) % self.size;
        }
    }

    /// The older bytes and the newer ones.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at(self.start);
        [older, newer]
    }

    /// Forgets everything and returns the memory.
    pub(super) fn clear(&mut self) -> Vec<u8> {
        let Self { mut bytes, .. } = mem::replace(self, Self::new(self.size));
        bytes.clear();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_the_last_bytes() {
        for size in [1, 7, 512] {
            for step in [1, 3, 7, 100, 513, 2_000] {
                let (mut window, mut all) = (Window::new(size), Vec::new());
                for piece in (0..3_000_u32).map(|i| i as u8).collect::<Vec<_>>().chunks(step) {
                    window.push(piece);
                    all.extend_from_slice(piece);
                    let last = &all[all.len().saturating_sub(size)..];
                    assert_eq!(window.parts().concat(), last, "{size} {step}");
                    assert!(window.bytes.capacity() <= size);
                }
            }
        }
    }
}
