//! Where received bytes wait to be looked at.

use super::pool;
use crate::Input;
use alloc::vec::Vec;

/// The bytes that were read and not consumed yet. It holds memory only while there are any.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    /// Empty, or as long as a read may be.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// Bytes that somebody else has read.
    pub(crate) fn with_bytes(bytes: Vec<u8>) -> Self {
        Self { start: 0, end: bytes.len(), bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Lets `consume` take from the front of what is there.
    #[inline]
    pub(crate) fn consume<T>(&mut self, consume: impl FnOnce(&mut Input<'_>) -> T) -> T {
        let mut input = Input::new(&mut self.bytes[self.start..self.end]);
        let output = consume(&mut input);
        self.start = self.end - input.len();
        output
    }

    /// Lets `read` fill the buffer, which is empty; it says how many bytes came.
    ///
    /// The memory is taken from the thread's pool and goes back unless something came, so nothing
    /// is held by a connection whose read is pending.
    #[inline]
    pub(crate) fn fill<T>(&mut self, read: impl FnOnce(&mut [u8]) -> (usize, T)) -> T {
        debug_assert!(self.is_empty(), "only an empty buffer is filled");
        if self.bytes.len() != pool::READ {
            self.bytes = pool::take_read();
        }
        let (read, output) = read(&mut self.bytes);
        (self.start, self.end) = (0, read);
        if read == 0 {
            self.release();
        }
        output
    }

    /// Gives the memory back if nothing is left in it.
    pub(crate) fn release(&mut self) {
        if !self.is_empty() {
            return;
        }
        (self.start, self.end) = (0, 0);
        pool::give_read(&mut self.bytes);
    }

    /// What was not consumed.
    pub(crate) fn into_unread(mut self) -> Vec<u8> {
        let unread = self.bytes[self.start..self.end].to_vec();
        self.start = self.end;
        unread
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.start = self.end;
        self.release();
    }
}
