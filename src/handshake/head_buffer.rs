//! The bytes of a head so far, and a count of the bytes examined.

use alloc::vec::Vec;

/// The bytes of a head so far. Each read is counted, so that tests notice a head that is read again
/// for each piece that arrives (known failure 1, CVE-2023-43669).
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

    /// Appends bytes, at most `limit` in all. The capacity doubles, but never beyond that.
    pub(super) fn append(&mut self, bytes: &[u8], limit: usize) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let capacity = needed.max(2 * self.0.capacity()).min(limit);
            self.0.reserve_exact(capacity - self.0.len());
        }
        self.0.extend_from_slice(bytes);
    }

    /// All bytes. Counts them as examined.
    pub(super) fn all(&self) -> &[u8] {
        count(self.0.len());
        &self.0
    }
}

/// Counts examined bytes, per thread. Only tests and fuzzers (`--cfg fuzzing`) count.
#[inline(always)]
pub(super) fn count(bytes: usize) {
    #[cfg(any(test, fuzzing))]
    counter::EXAMINED.set(counter::EXAMINED.get() + bytes);
    #[cfg(not(any(test, fuzzing)))]
    let _ = bytes;
}

/// How many bytes of heads this thread has examined, repetitions included.
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
