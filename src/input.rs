//! A cursor over the caller's read buffer.

use core::{fmt, mem};

/// A cursor over received bytes, in a buffer that you own.
///
/// [`Connection::receive`](crate::Connection::receive) splits frames off the front, unmasks them in
/// place and yields events that borrow the *buffer*, never the connection, so you can use the
/// connection while an event lives. The handshakes take the head of a request or response off the
/// front and leave the bytes after it.
#[derive(Default)]
pub struct Input<'i> {
    rest: &'i mut [u8],
}

impl<'i> Input<'i> {
    /// Creates a cursor at the start of `received`. Pass only the bytes that you received, not the
    /// whole buffer.
    #[inline]
    pub fn new(received: &'i mut [u8]) -> Self {
        Self { rest: received }
    }

    /// How many bytes are left.
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether no bytes are left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.rest
    }

    /// The first bytes, at most `length`, without consuming them.
    #[cfg(feature = "deflate")]
    pub(crate) fn front(&mut self, length: usize) -> &mut [u8] {
        let length = length.min(self.len());
        &mut self.rest[..length]
    }

    /// Splits `length` bytes off the front. They have to be there.
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
