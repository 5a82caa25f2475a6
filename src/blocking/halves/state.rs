//! What is behind the lock: the connection, and who is doing what with it.

use crate::{
    Closed, Connection, Event, IntoMessage, Prepared, SendError, SendErrorReason, Time, Transport,
    blocking::{duplex::Half, stream::BlockingIo},
    io::{End, Error, Kept, ReadBuffer, Sends, Trace, give_write, lend},
};
use alloc::boxed::Box;
use core::{ops::ControlFlow, task::Poll};
use std::io;

/// The storage of the outbox goes back to the thread's pool if it is larger than this, in bytes.
const KEEP: usize = 4 * 1024;

/// One direction of the stream.
pub(super) type Side<S> = BlockingIo<Half<S>>;

/// What is behind the lock.
pub(super) struct State<S> {
    pub(super) connection: Connection,
    pub(super) input: ReadBuffer,
    /// Control frames that a writer has come across, for the reader: they came before `input`.
    pub(super) found: Option<Box<Kept>>,
    /// There unless a thread is in a call on it.
    pub(super) reading: Option<Side<S>>,
    pub(super) writing: Option<Side<S>>,
    /// Up to where whoever writes is to go on, in bytes ever queued: somebody left it to them.
    pub(super) owed: u64,
    /// When the reader is to write again to a stream that takes nothing.
    pub(super) retry: Time,
    pub(super) end: End,
    pub(super) trace: Trace,
    pub(super) over: bool,
    pub(super) reader: ReaderIs,
    /// Whether the reader takes messages in chunks, as far as it is known.
    pub(super) chunks: bool,
    /// Whether all was read that had arrived, at the last read.
    pub(super) drained: bool,
    /// When a writer looked at what has arrived.
    pub(super) looked: Time,
    /// Until when whoever closes leaves what has come to a reader that is not in a call.
    pub(super) grace: Option<Time>,
    pub(super) waiting_to_receive: u32,
    pub(super) waiting_to_send: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderIs {
    Receiving,
    /// Not in a call.
    Away,
    Gone,
}

impl<S> State<S> {
    /// Whether a writer is to look at what has arrived.
    pub(super) fn may_look(&self) -> bool {
        self.reader != ReaderIs::Receiving && self.reading.is_some() && !self.over
    }

    /// Whether something is there for the reader before more is read: input, or what was inflated of
    /// a message in chunks.
    pub(super) fn holds_data(&self) -> bool {
        let Self { input, connection, .. } = self;
        !input.is_empty() || (connection.is_in_chunks() && connection.has_more_chunks())
    }

    /// The connection, to queue something in storage that the thread lends.
    pub(super) fn queueing(&mut self) -> &mut Connection {
        lend(&mut self.connection);
        &mut self.connection
    }

    /// Takes note of what a read came to.
    pub(super) fn arrived(&mut self, read: Poll<io::Result<usize>>) {
        self.drained = true;
        match read {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => self.connection.receive_eof(),
            Poll::Ready(Ok(read)) => self.drained = read < ReadBuffer::SIZE,
            Poll::Ready(Err(error)) => {
                let breaks = self.connection.closed().is_none();
                self.connection.transport_failed();
                if breaks {
                    self.broken(error);
                }
            }
        }
    }

    pub(super) fn broken(&mut self, mut error: io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock {
            // Nobody could wait for it to be ready: there is no way to ask. It is over, which that
            // kind does not say.
            let what = "the stream does not wait, which the halves of a connection need it to do";
            error = io::Error::new(io::ErrorKind::Unsupported, what);
        }
        let kind = error.kind();
        self.end.broken(error);
        self.trace.broken(kind);
    }

    /// Takes note of what a write came to.
    pub(super) fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        flushed: Poll<io::Result<()>>,
    ) -> io::Result<()> {
        let Poll::Ready(written) = written else { return Ok(()) };
        let outbox = self.connection.send_buffer();
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

    /// Takes from what was read as far as it is not the reader's.
    pub(super) fn digest(&mut self) {
        let Self { input, connection, found, reader, .. } = self;
        let gone = *reader == ReaderIs::Gone;
        if gone {
            connection.discard_messages();
        }
        input.consume(|input| {
            while !input.is_empty() {
                // What comes at the end is discarded.
                let ends = gone || connection.transport() != Transport::Open;
                if !ends && !connection.is_control_next(input) {
                    break;
                }
                let event = match connection.is_in_chunks() {
                    true => connection.receive_chunk(input),
                    false => connection.receive(input),
                };
                match event {
                    Ok(Some(event)) if !gone => found.get_or_insert_default().push(event, 0),
                    // An error shows again in how the connection ends; what follows is discarded.
                    _ => {}
                }
            }
        });
        self.input.release();
    }

    /// Hands out what writers have come across, to the reader.
    pub(super) fn hand_over<B>(
        &mut self,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Option<B> {
        while let Some(event) = Kept::take(&mut self.found) {
            if let ControlFlow::Break(output) = on_event(event) {
                return Some(output);
            }
        }
        None
    }

    /// Hands out what was received.
    pub(super) fn deliver<B>(
        &mut self,
        chunks: bool,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Option<B> {
        let Self { input, connection, .. } = self;
        let output = input.consume(|input| {
            while !input.is_empty() || (chunks && connection.has_more_chunks()) {
                let event = match chunks {
                    true => connection.receive_chunk(input),
                    false => connection.receive(input),
                };
                // An error shows again in how the connection ends; what follows it is discarded.
                let Ok(Some(event)) = event else { continue };
                if let ControlFlow::Break(output) = on_event(event) {
                    return Some(output);
                }
            }
            None
        });
        if output.is_some() {
            input.release();
        }
        output
    }

    /// The reader is gone.
    pub(super) fn reader_left(&mut self) {
        self.reader = ReaderIs::Gone;
        self.found = None;
    }

    /// Why what was queued cannot be written any more, for a sender; nothing if there is no reason.
    pub(super) fn failure(&mut self) -> Option<Error> {
        if let Some(error) = self.end.broken_by() {
            return Some(Error::Io(error));
        }
        // Nobody waits for a peer that is given up; its end is for who receives or closes.
        if let Some(Closed::TimedOut(error)) = self.connection.outcome() {
            return Some(Error::Timeout(*error));
        }
        self.end.loss(&self.connection)
    }

    /// Whether this can still be sent, if there is room.
    pub(super) fn accepts(&self, sends: Sends) -> bool {
        match sends {
            Sends::Message(_) => self.connection.is_open(),
            Sends::Control => self.connection.takes_control(),
        }
    }

    /// How the connection ended, the first time; later nothing.
    pub(super) fn report_end(&mut self) -> Result<(), Error> {
        let first = !self.end.is_reported();
        self.end.report(self.connection.closed())?;
        match first && self.connection.has_cut_off_chunks() {
            true => Err(Error::CutOff),
            false => Ok(()),
        }
    }

    /// Queues a message.
    pub(super) fn feed(&mut self, message: impl IntoMessage) -> Result<(), SendError> {
        let sent = self.queueing().send(message);
        sent.map_err(|error| self.end.refused(error))
    }

    /// Queues a message that is prepared for many connections.
    pub(super) fn feed_prepared(&mut self, message: &Prepared) -> Result<(), SendErrorReason> {
        let sent = self.queueing().send_prepared(message);
        sent.map_err(|reason| self.end.reason(reason))
    }

    /// Queues a message, and says whether to compress it.
    #[cfg(feature = "deflate")]
    pub(super) fn feed_with(
        &mut self,
        message: impl IntoMessage,
        compression: crate::deflate::Compression,
    ) -> Result<(), SendError> {
        let sent = self.queueing().send_with(message, compression);
        sent.map_err(|error| self.end.refused(error))
    }
}
