//! Where received bytes wait to be looked at.

use super::{counted, pool};
use crate::Input;
use alloc::vec::Vec;
use core::task::Poll;
use std::io;

/// The bytes that were read and not consumed yet. It holds memory only while there are any.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    /// Empty, or as long as a read may be.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// The most that one read brings, in bytes.
    pub(crate) const SIZE: usize = pool::READ;

    /// Bytes that somebody else has read.
    pub(crate) fn with_bytes(bytes: Vec<u8>) -> Self {
        Self { start: 0, end: bytes.len(), bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Lets `consume` take from the front of what is there. What it has taken is taken, also if it
    /// panics: the handler of a message may, and somebody go on with the connection.
    #[inline]
    pub(crate) fn consume<T>(&mut self, consume: impl FnOnce(&mut Input<'_>) -> T) -> T {
        let Self { bytes, start, end } = self;
        let input = Input::new(&mut bytes[*start..*end]);
        consume(&mut Taking { input, start, end: *end }.input)
    }

    /// Lets `read` fill the buffer, which is empty; it says how many bytes came.
    ///
    /// The memory is taken from the thread's pool and goes back unless something came, so nothing
    /// is held by a connection whose read is pending.
    #[inline(always)] // what it returns stays in registers
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty(), "only an empty buffer is filled");
        if self.bytes.len() != Self::SIZE {
            self.bytes = pool::take_read();
        }
        match counted(read(&mut self.bytes), Self::SIZE) {
            Poll::Ready(Ok(read @ 1..)) => {
                (self.start, self.end) = (0, read);
                Poll::Ready(Ok(read))
            }
            nothing => {
                (self.start, self.end) = (0, 0);
                self.release();
                nothing
            }
        }
    }

    /// Gives the memory back if nothing is left in it.
    #[inline]
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

/// Writes back how much was taken when it is dropped.
struct Taking<'b> {
    input: Input<'b>,
    start: &'b mut usize,
    end: usize,
}

impl Drop for Taking<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.start = self.end - self.input.len();
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.start = self.end;
        self.release();
    }
}
