//! The cursor over the caller's read buffer.

use core::{fmt, mem};

/// Received bytes on their way into the core: a cursor over a buffer that the caller owns.
///
/// [`Connection::receive`](crate::Connection::receive) splits frames off the front, unmasks them
/// in place and yields events that borrow the *buffer*, never the connection, so the connection
/// can be used while an event lives. The handshakes take the head of a request or response off the
/// front and leave what follows.
#[derive(Default)]
pub struct Input<'i> {
    rest: &'i mut [u8],
}

impl<'i> Input<'i> {
    /// A cursor at the start of `received`, which holds received bytes only.
    #[inline]
    pub fn new(received: &'i mut [u8]) -> Self {
        Self { rest: received }
    }

    /// How many bytes were not consumed yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was consumed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that were not consumed yet.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.rest
    }

    /// The first bytes, at most `length`, which stay where they are.
    #[cfg(feature = "deflate")]
    pub(crate) fn front(&mut self, length: usize) -> &mut [u8] {
        let length = length.min(self.len());
        &mut self.rest[..length]
    }

    /// Splits `length` bytes off the front, which are there.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> &'i mut [u8] {
        let (front, rest) = mem::take(&mut self.rest).split_at_mut(length);
        self.rest = rest;
        front
    }

    /// Splits off everything.
    pub(crate) fn take_all(&mut self) -> &'i mut [u8] {
        mem::take(&mut self.rest)
    }
}

/// The length only: payloads are never printed.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes)", self.len())
    }
}
