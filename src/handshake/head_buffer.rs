//! What came of a head so far, and how much of heads was looked at.

use alloc::vec::Vec;

/// The bytes of a head as they come. There is one way to look at them, which counts, so that reading
/// them again for each piece that arrives would show (known failure 1, CVE-2023-43669).
pub(super) struct HeadBuffer(Vec<u8>);

impl HeadBuffer {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Appends what is no more than `limit` bytes in all. The room doubles, but never beyond that.
    pub(super) fn append(&mut self, bytes: &[u8], limit: usize) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let capacity = needed.max(2 * self.0.capacity()).min(limit);
            self.0.reserve_exact(capacity - self.0.len());
        }
        self.0.extend_from_slice(bytes);
    }

    /// All of it, to be looked at.
    pub(super) fn all(&self) -> &[u8] {
        count(self.0.len());
        &self.0
    }
}

/// Says that so many bytes were looked at. That is counted by each thread, in tests and by fuzzers
/// (`--cfg fuzzing`), and costs nothing in other builds.
#[inline(always)]
pub(super) fn count(bytes: usize) {
    #[cfg(any(test, fuzzing))]
    counter::EXAMINED.set(counter::EXAMINED.get() + bytes);
    #[cfg(not(any(test, fuzzing)))]
    let _ = bytes;
}

/// How many bytes of heads this thread has looked at, each as often as it was.
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "it is public for fuzzers"))]
pub fn examined() -> usize {
    counter::EXAMINED.get()
}

#[cfg(any(test, fuzzing))]
mod counter {
    extern crate std;

    std::thread_local! {
        pub(super) static EXAMINED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }
}
