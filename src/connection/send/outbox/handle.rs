//! The outbox as the caller has it.

use super::SendBuffer;
use alloc::vec::Vec;
use bytes::Buf;
use core::fmt;

/// The bytes that a connection wants written, in order: see
/// [`Connection::outbox`](crate::Connection::outbox).
///
/// Write what [`chunk`](Self::chunk) gives and [`advance`](Self::advance) by what was written. It is
/// a [`Buf`] as well, for transports that take one, and for
/// [`chunks_vectored`](Buf::chunks_vectored).
///
/// It holds frames that are made. Of a message that goes out in
/// [fragments](crate::Config::max_sent_frame_size) these may be the first ones only: get it anew after
/// each write. It is empty only when there is nothing left.
///
/// This is a borrow of the connection, which keeps the bytes and all that it knows of them.
///
/// ```
/// use fullduplex::{Config, Connection};
///
/// let mut connection = Connection::server(Config::default());
/// connection.feed("Hello")?;
/// let mut outbox = connection.outbox();
/// assert_eq!(outbox.chunk(), b"\x81\x05Hello");
/// outbox.advance(7);
/// assert!(outbox.is_empty());
/// # Ok::<(), fullduplex::SendError>(())
/// ```
pub struct Outbox<'c>(&'c mut SendBuffer);

impl<'c> Outbox<'c> {
    #[inline]
    pub(in crate::connection) fn new(buffer: &'c mut SendBuffer) -> Self {
        Self(buffer)
    }

    /// The first bytes to be written, as many as lie together; empty only if nothing waits.
    #[inline]
    pub fn chunk(&self) -> &[u8] {
        (*self.0).chunk()
    }

    /// As [`chunk`](Self::chunk), for as long as the connection is borrowed.
    #[inline]
    pub fn into_chunk(self) -> &'c [u8] {
        let Self(buffer) = self;
        (*buffer).chunk()
    }

    /// Says that the first `written` bytes were written.
    ///
    /// # Panics
    /// When `written` is more than [`len`](Self::len).
    #[inline]
    pub fn advance(&mut self, written: usize) {
        self.0.advance(written);
        self.0.flushed();
    }

    /// Whether there is nothing to be written now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes there are to be written now; `usize::MAX` if there are more than that, which
    /// takes a 32-bit platform and messages that share their memory.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no storage, so that [`lend`](Self::lend) would be of use.
    #[inline]
    pub fn has_no_storage(&self) -> bool {
        self.0.has_no_storage()
    }

    /// Uses an empty buffer of yours as storage, until [`reclaim`](Self::reclaim). With many
    /// connections and few of them busy, one buffer serves all: lend it before a batch and take it
    /// back once the batch is written. Does nothing if there is storage already.
    #[inline]
    pub fn lend(&mut self, storage: Vec<u8>) {
        self.0.lend(storage);
    }

    /// Takes the storage away, whosever it was, if nothing waits in it.
    #[inline]
    pub fn reclaim(&mut self) -> Option<Vec<u8>> {
        self.0.reclaim()
    }
}

impl Buf for Outbox<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.chunk()
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.0.chunks_vectored(slices)
    }

    /// # Panics
    /// As [`Outbox::advance`].
    fn advance(&mut self, written: usize) {
        self.advance(written);
    }
}

impl fmt::Debug for Outbox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
