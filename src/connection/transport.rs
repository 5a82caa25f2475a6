//! The bytes and the state of the transport: the half of the loop that is not receiving.

use super::{Connection, Outbox, send::SendBuffer};

/// The thing to do with the transport, from [`Connection::transport`](crate::Connection::transport).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Read and write.
    Open,
    /// Write the outbox. The peer has sent everything, so reading is over.
    WriteOnly,
    /// Shut the write side down (TLS `close_notify`, TCP FIN), then call
    /// [`shutdown_complete`](crate::Connection::shutdown_complete).
    ShutDown,
    /// Read until the end: give the input to [`receive`](crate::Connection::receive), which
    /// discards it, and then call [`receive_eof`](crate::Connection::receive_eof).
    AwaitEof,
    /// Drop it. [`closed`](crate::Connection::closed) says how the connection ended.
    Closed,
}

impl Connection {
    /// The bytes to write. Write them, and advance the outbox by the number that was written. It keeps
    /// its storage for the next message, up to 256 KiB; [`Outbox::reclaim`] takes that from an idle
    /// connection.
    ///
    /// Call this again after each write: it makes the next
    /// [fragments](crate::Config::max_sent_frame) of a large message.
    #[inline]
    pub fn outbox(&mut self) -> Outbox<'_> {
        Outbox::new(self.send_buffer())
    }

    /// As [`outbox`](Self::outbox), for an adapter, which says what its stream has flushed.
    #[inline]
    pub(crate) fn send_buffer(&mut self) -> &mut SendBuffer {
        if self.outbox.is_cut() {
            self.top_up();
        }
        &mut self.outbox
    }

    /// Whether something is left to be written or flushed, now or later.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        !self.outbox.is_drained()
    }

    /// Whether a message that was accepted was dropped because the transport is gone.
    #[cfg(feature = "std")]
    pub(crate) fn has_lost(&self) -> bool {
        self.outbox.has_lost()
    }

    /// The thing to do with the transport now. Call this after writing and after each read.
    #[inline]
    pub fn transport(&mut self) -> Transport {
        self.state.transport(&mut self.outbox)
    }

    /// Call this when you have shut the write side down, as [`Transport::ShutDown`] asked.
    pub fn shutdown_complete(&mut self) {
        self.state.shutdown_complete(&mut self.outbox);
    }

    /// Call this when a read found the end of the stream: the peer has sent everything.
    ///
    /// After both Close frames this is a clean end, before that
    /// [`Closed::Abnormal`](crate::Closed::Abnormal).
    pub fn receive_eof(&mut self) {
        self.state.eof(&mut self.outbox);
        self.settle();
    }

    /// Call this when a write failed for good. The outbox is lost, and nothing more can be sent. Go on
    /// reading: the peer's Close may have arrived, and makes this a clean end.
    pub fn write_failed(&mut self) {
        self.state.write_failed(&mut self.outbox);
        self.settle();
    }

    /// Call this when a read failed for good: the transport broke.
    ///
    /// After both Close frames this is a clean end, before that
    /// [`Closed::Abnormal`](crate::Closed::Abnormal).
    pub fn transport_failed(&mut self) {
        self.state.end(&mut self.outbox);
        self.settle();
    }
}
