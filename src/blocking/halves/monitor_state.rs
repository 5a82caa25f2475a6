//! What is behind the lock: the session, and who is doing what with it.

use crate::{
    FlushPolicy, Time,
    blocking::{duplex::SharedStream, stream::BlockingIo},
    io::{ReadBuffer, Sends, Session, give_write},
};
use core::{
    ops::{Deref, DerefMut},
    task::Poll,
};
use std::io;

/// The storage of the outbox goes back to the thread's pool if it is larger than this, in bytes.
const KEEP: usize = 4 * 1024;

/// One direction of the stream.
pub(super) type Direction<S> = BlockingIo<SharedStream<S>>;

/// What is behind the lock.
pub(super) struct MonitorState<S> {
    pub(super) session: Session,
    /// There unless a thread is in a call on it.
    pub(super) reading: Option<Direction<S>>,
    pub(super) writing: Option<Direction<S>>,
    /// Up to where whoever writes is to go on, in bytes ever queued: somebody left it to them.
    pub(super) owed: u64,
    /// When the reader is to write again to a stream that takes nothing.
    pub(super) retry: Option<Time>,
    pub(super) reader: ReaderIs,
    /// Whether all was read that had arrived, at the last read.
    pub(super) drained: bool,
    /// When a writer looked at what has arrived.
    pub(super) looked: Option<Time>,
    pub(super) waiting_to_receive: u32,
    pub(super) waiting_to_send: u32,
}

impl<S> Deref for MonitorState<S> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl<S> DerefMut for MonitorState<S> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderIs {
    Receiving,
    /// Not in a call.
    Away,
    Gone,
}

impl<S> MonitorState<S> {
    /// Whether what is sent is to be written at once, and not left to the reader.
    pub(super) fn sends_strictly(&self) -> bool {
        // A reader that waits for the peer already does not write before it comes back.
        let waits = self.reading.is_none() || self.reader == ReaderIs::Gone;
        waits || self.connection.config().flush_policy == FlushPolicy::Strict
    }

    /// Whether a writer is to look at what has arrived.
    pub(super) fn may_look(&self) -> bool {
        self.reader != ReaderIs::Receiving && self.reading.is_some() && !self.over
    }

    /// Takes note of what a read came to.
    pub(super) fn arrived(&mut self, read: Poll<io::Result<usize>>) {
        self.drained = true;
        match read {
            Poll::Pending => {}
            Poll::Ready(Ok(read @ 1..)) => self.drained = read < ReadBuffer::SIZE,
            Poll::Ready(end) => self.session.read_ended(end.map(|_| ()).map_err(for_good)),
        }
    }

    /// Takes note of what a write came to.
    pub(super) fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        flushed: Poll<io::Result<()>>,
    ) -> io::Result<()> {
        let Poll::Ready(written) = written else { return Ok(()) };
        let outbox = self.session.connection.send_buffer();
        // Of what was dropped meanwhile nothing is to be written any more.
        outbox.advance(written?.min(outbox.len()));
        if let Some(storage) = outbox.reclaim() {
            match storage.capacity() {
                ..=KEEP => outbox.lend(storage),
                _ => give_write(storage),
            }
        }
        match flushed {
            Poll::Ready(Ok(())) => outbox.flushed(),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Receives what is not the reader's.
    pub(super) fn take_control(&mut self) {
        let gone = self.reader == ReaderIs::Gone;
        if gone {
            self.session.discard();
        }
        self.session.take_control(gone);
    }

    /// Whether this can still be sent, if there is room.
    pub(super) fn accepts(&self, sends: Sends) -> bool {
        match sends {
            Sends::Message(_) => self.connection.is_open(),
            Sends::Control => self.connection.takes_control(),
        }
    }
}

/// That a stream does not wait ends the connection, which its own kind does not say: nobody could
/// wait for it to be ready, as there is no way to ask.
pub(super) fn for_good(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::WouldBlock {
        return error;
    }
    let what = "the stream does not wait, which the halves of a connection need it to do";
    io::Error::new(io::ErrorKind::Unsupported, what)
}
