//! The one loop that moves bytes between a stream and the core.

#[cfg_attr(
    not(any(feature = "futures-io", feature = "tokio")),
    allow(dead_code, reason = "for halves of async streams")
)]
mod halves;
mod sending;

#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(super) use halves::Rest;

use super::{
    End, Error, Io, Outgoing, Parts, ReadBuffer, pool,
    trace::Trace,
    wakers::{Caller, Wakers},
};
use crate::{
    Chunk, CloseFrame, Config, Connection, Event, Incoming, Message, Role, Time, Transport,
};
use alloc::{boxed::Box, sync::Arc};
use core::{
    ops::ControlFlow,
    task::{Context, Poll, ready},
};
use std::io;

/// A connection on a stream.
pub(crate) struct Driver<T> {
    pub(crate) io: T,
    pub(crate) connection: Connection,
    input: ReadBuffer,
    /// How many of all bytes that are ever queued were written and are not held by the stream any
    /// more.
    flushed: u64,
    end: End,
    /// Events that a half which sends has come across, for the one that receives.
    kept: Option<Box<halves::Kept>>,
    wakers: Wakers,
    /// Whether somebody else receives who is told by the stream when there is something.
    pub(super) received_elsewhere: bool,
    pub(super) trace: Trace,
}

/// What a driver is made of, for those who drive the connection in another way.
pub(crate) struct Pieces<T> {
    pub(crate) io: T,
    pub(crate) connection: Connection,
    pub(crate) input: ReadBuffer,
    /// How many of all bytes that are ever queued were written and flushed.
    pub(crate) flushed: u64,
    pub(crate) end: End,
    pub(crate) trace: Trace,
}

/// Lets what is queued go into a buffer of the thread's.
#[inline(always)]
pub(crate) fn lend(connection: &mut Connection) {
    if connection.outbox().has_no_storage() && connection.is_open() {
        connection.outbox().lend(pool::take_write());
    }
}

/// A call on the stream was interrupted. It is repeated when this is polled again, not at once, so
/// that a stream that says so for ever keeps neither others nor deadlines from their turn.
fn again(cx: &Context<'_>) {
    cx.waker().wake_by_ref();
}

/// What became of a read.
enum Read {
    /// Something came, or the end of the stream; whether there was room for more.
    Done {
        short: bool,
    },
    Pending,
}

/// How to go on with a connection that is ending.
enum Ending {
    /// Look again at what there is to do.
    Again,
    /// Wait for what the peer still has to say, or only for what is left to write.
    Wait {
        reads: bool,
    },
    Over,
}

/// When events are handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Whenever there are any.
    Any,
    /// Only while an answer to them would be accepted for sending.
    WhileReady,
    /// Whenever there are any, and messages in chunks.
    Chunks,
}

impl<T: Io> Driver<T> {
    /// `unread` are bytes of the stream that came behind the opening handshake.
    pub(crate) fn new(io: T, role: Role, config: Arc<Config>, unread: ReadBuffer) -> Self {
        let connection = Connection::for_adapter(role, config);
        let (end, wakers) = (End::Unreported(None), Wakers::default());
        let (input, trace) = (unread, Trace::new(role));
        let received_elsewhere = false;
        Self {
            io,
            connection,
            input,
            flushed: 0,
            end,
            kept: None,
            wakers,
            received_elsewhere,
            trace,
        }
    }

    pub(crate) fn into_parts<S>(self, stream: impl FnOnce(T) -> S) -> Parts<S> {
        let Self { io, mut connection, input, .. } = self;
        connection.outbox().flushed_to(u64::MAX); // that is for whoever has the stream
        connection.restart_clock(); // and so are its times
        Parts { stream: stream(io), connection, unread: input.into_unread() }
    }

    /// What a half that sends has kept of events is lost.
    pub(crate) fn into_pieces(self) -> Pieces<T> {
        let Self { io, connection, input, flushed, end, trace, .. } = self;
        Pieces { io, connection, input, flushed, end, trace }
    }

    pub(crate) fn from_pieces(pieces: Pieces<T>) -> Self {
        let Pieces { io, connection, input, flushed, end, trace } = pieces;
        let wakers = Wakers::default();
        let received_elsewhere = false;
        Self { io, connection, input, flushed, end, kept: None, wakers, received_elsewhere, trace }
    }

    /// The next event of any kind; `None` after a clean close.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Event<'static>>, Error>> {
        self.poll_events(cx, (Caller::Receiving, Pace::Any), |event, _| {
            ControlFlow::Break(event.into_owned())
        })
    }

    /// Calls `handle` with each message until a clean close, or until it fails.
    pub(crate) fn poll_run(
        &mut self,
        cx: &mut Context<'_>,
        handle: &mut impl FnMut(Incoming<'_>, &mut Outgoing<'_>) -> Result<(), Error>,
    ) -> Poll<Result<(), Error>> {
        let failed = ready!(self.poll_events(
            cx,
            (Caller::Receiving, Pace::WhileReady),
            |event, connection| {
                if let Event::Message(message) = event {
                    if let Err(error) = handle(message, &mut Outgoing::new(connection)) {
                        return ControlFlow::Break(error);
                    }
                }
                ControlFlow::Continue(())
            }
        ))?;
        Poll::Ready(failed.map_or(Ok(()), Err))
    }

    /// The next message; `None` after a clean close.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        self.poll_events(cx, (Caller::Receiving, Pace::Any), |event, _| match event {
            Event::Message(message) => ControlFlow::Break(message.into_owned()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// The next part of a message; `None` after a clean close.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk<'static>>, Error>> {
        self.poll_events(cx, (Caller::Receiving, Pace::Chunks), |event, _| match event {
            Event::Chunk(chunk) => ControlFlow::Break(chunk.into_owned()),
            Event::Message(kept) => ControlFlow::Break(Chunk::whole(kept).into_owned()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Hands events to `on_event` until it breaks or the connection is over, and reports how that
    /// ended, once.
    fn poll_events<B>(
        &mut self,
        cx: &mut Context<'_>,
        (caller, pace): (Caller, Pace),
        on_event: impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> Poll<Result<Option<B>, Error>> {
        match ready!(self.poll_to_end(cx, (caller, pace), on_event))? {
            None => Poll::Ready(self.report_end().map(|()| None)),
            output => Poll::Ready(Ok(output)),
        }
    }

    /// Hands events to `on_event` until it breaks or the connection is over.
    ///
    /// What is queued is written before this waits. Nothing is lost when it is not polled again:
    /// every byte that was read is in the buffer or in the core.
    #[inline(always)] // one step of `poll_events`
    fn poll_to_end<B>(
        &mut self,
        cx: &mut Context<'_>,
        (caller, pace): (Caller, Pace),
        mut on_event: impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> Poll<Result<Option<B>, Error>> {
        if pace != Pace::Chunks && (self.connection.is_in_chunks() || self.keeps_chunks()) {
            return Poll::Ready(Err(Error::Unfinished));
        }
        let (mut fills, mut looked, mut drained) = (0, 0, false);
        let joint = self.wakers.joint(caller, cx);
        let caller_cx = cx;
        let cx = &mut Context::from_waker(joint.as_ref().unwrap_or(caller_cx.waker()));
        loop {
            let held = self.is_held(pace);
            let more = pace == Pace::Chunks && self.connection.has_more_chunks();
            if !held && (!self.input.is_empty() || more || self.kept.is_some()) {
                if let Some(output) = self.deliver(pace, &mut on_event) {
                    // The last event may be the last that the caller wants: answer it.
                    if !self.connection.is_open() {
                        let _ = self.poll_write(cx);
                    } else if (T::WAITS && drained) || self.connection.has_pong() {
                        // Whatever it finds shows in the next call: the message must not be lost.
                        let _ = self.poll_timers(cx, !self.input.is_empty());
                    }
                    return Poll::Ready(Ok(Some(output)));
                }
            }
            let mut written = Ok(Poll::Ready(()));
            if self.has_output() {
                written = self.poll_write_for_senders(cx);
                // There is room for answers again, perhaps to what is in the buffer.
                if (held || !self.input.is_empty()) && !self.is_held(pace) {
                    continue;
                }
            }
            let mut reads = !held && self.input.is_empty();
            if !self.connection.is_open() {
                match self.poll_ending(cx, reads) {
                    Ending::Again => continue,
                    Ending::Wait { reads: wanted } => reads = wanted,
                    Ending::Over => return Poll::Ready(Ok(None)),
                }
            }
            // A write that would block does not keep us from reading.
            if !reads {
                let _ = written?;
            }
            // Something began whose time is to be noted before a call waits; or reads never wait.
            // While the connection is open what has arrived is read before a deadline counts,
            // which is up to a read that does not fill the buffer: the pong may be there.
            let unnoted = T::WAITS && self.connection.poll_timeout() == Some(Time::EPOCH);
            let at_once = unnoted || self.connection.has_pong();
            let many = looked + T::READS_PER_LOOK <= fills;
            if at_once || (many && (drained || !self.connection.is_open())) {
                looked = fills;
                if self.poll_timers(cx, !reads)?.is_ready() {
                    continue;
                }
            }
            if reads {
                if let Read::Done { short } = self.poll_fill(cx)? {
                    (fills, drained) = (fills + 1, short);
                    continue;
                }
            }
            if self.poll_timers(cx, !reads)?.is_ready() {
                continue;
            }
            self.wakers.keep(caller, caller_cx);
            return Poll::Pending;
        }
    }

    /// Whether messages are kept back until there is room for the answers.
    #[inline]
    fn is_held(&self, pace: Pace) -> bool {
        pace == Pace::WhileReady && self.connection.is_full()
    }

    #[inline]
    fn has_output(&mut self) -> bool {
        self.flushed != self.connection.outbox().total_queued()
    }

    /// Whether bytes were written that the stream itself may still hold.
    fn is_unflushed(&mut self) -> bool {
        self.flushed != self.connection.outbox().total_written()
    }

    /// Hands out what is in the buffer.
    #[inline]
    fn deliver<B>(
        &mut self,
        pace: Pace,
        on_event: &mut impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> Option<B> {
        let Self { input, connection, kept, .. } = self;
        let output = input.consume(|input| {
            let chunks = pace == Pace::Chunks;
            while !input.is_empty() || (chunks && connection.has_more_chunks()) || kept.is_some() {
                // There is one call of `on_event`, so that it is part of this loop.
                let event = match chunks {
                    _ if kept.is_some() => Ok(halves::take(kept)),
                    true => connection.receive_chunk(input),
                    false => connection.receive_here(input),
                };
                // An error shows again in how the connection ends; what follows it is discarded.
                let Ok(Some(event)) = event else { continue };
                if let ControlFlow::Break(output) = on_event(event, connection) {
                    return Some(output);
                }
                if pace == Pace::WhileReady && connection.is_full() {
                    return None;
                }
            }
            None
        });
        if output.is_some() {
            input.release(); // the caller may not be back for long
        }
        output
    }

    /// Writes, and wakes a sender that waits for that.
    #[inline]
    fn poll_write_for_senders(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        if !self.wakers.has_sender() {
            return self.poll_write(cx);
        }
        let before = self.written();
        let written = self.poll_write(cx);
        if before != self.written() {
            self.wakers.wake_sending();
        }
        written
    }

    /// Does what the closing handshake asks of the stream. `reads` is whether there is room for
    /// more input.
    #[cold]
    fn poll_ending(&mut self, cx: &mut Context<'_>, reads: bool) -> Ending {
        let transport = self.connection.transport();
        self.trace.ending(&self.connection);
        match transport {
            Transport::Closed => {
                // A peer that waits for the end of the stream need not wait for our drop.
                let client = self.connection.role() == Role::Client;
                if client && matches!(self.end, End::Unreported(_)) {
                    let _ = self.io.poll_shutdown(cx);
                }
                self.input.release();
                self.wakers.wake_all();
                Ending::Over
            }
            Transport::ShutDown if !self.is_unflushed() => match self.io.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => {
                    self.connection.shutdown_complete();
                    Ending::Again
                }
                Poll::Ready(Err(_)) => {
                    self.connection.transport_failed();
                    Ending::Again
                }
                Poll::Pending => Ending::Wait { reads: true },
            },
            Transport::WriteOnly => Ending::Wait { reads: false },
            // What the stream still holds is ours to lose once the peer is gone.
            Transport::AwaitEof | Transport::ShutDown => {
                Ending::Wait { reads: !self.is_unflushed() }
            }
            Transport::Open => Ending::Wait { reads },
        }
    }

    /// Reads once, into the empty buffer or straight into a large message.
    #[inline(always)] // called once
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Result<Read, Error> {
        let deadline = if T::WAITS { self.connection.poll_timeout() } else { None };
        let Self { input, io, connection, .. } = self;
        if T::APPENDS {
            let appended = connection.append(|bytes, room| {
                io.poll_append(cx, bytes, room).map_ok(|read| (read, read < room))
            });
            if let Some(appended) = appended {
                input.release();
                return match appended {
                    Poll::Ready(Ok((1.., short))) => Ok(Read::Done { short }),
                    Poll::Ready(end) => self.stopped(cx, end.map(|_| ())),
                    Poll::Pending => Ok(Read::Pending),
                };
            }
        }
        match input.fill(|buffer| io.poll_read(cx, buffer, deadline)) {
            Poll::Ready(Ok(read @ 1..)) => Ok(Read::Done { short: read < ReadBuffer::SIZE }),
            Poll::Ready(end) => self.stopped(cx, end.map(|_| ())),
            Poll::Pending => Ok(Read::Pending),
        }
    }

    /// Nothing more can be read, or not now.
    #[cold]
    fn stopped(&mut self, cx: &Context<'_>, end: io::Result<()>) -> Result<Read, Error> {
        match end {
            Ok(()) => self.connection.receive_eof(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                again(cx);
                return Ok(Read::Pending);
            }
            Err(error) => {
                self.broken(error);
                self.connection.transport_failed();
            }
        }
        Ok(Read::Done { short: true })
    }

    /// Writes and flushes all that is queued: ready when nothing is left. A stream that failed is
    /// not an error here: it shows in how the connection ends.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        let written = self.try_write(cx);
        if let Poll::Ready(Ok(())) = written {
            return Ok(Poll::Ready(()));
        }
        self.connection.outbox().flushed_to(self.flushed);
        match written {
            Poll::Ready(Err(error)) => self.write_failed(cx, error),
            _ => Ok(Poll::Pending),
        }
    }

    #[inline]
    fn try_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { connection, io, flushed, .. } = self;
        while !connection.outbox().is_empty() {
            let deadline = if T::WAITS { connection.poll_timeout() } else { None };
            let outbox = connection.outbox();
            let written = ready!(io.poll_write(cx, outbox, deadline))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outbox.advance(written);
        }
        if let Some(storage) = connection.outbox().reclaim() {
            pool::give_write(storage);
        }
        let outbox = connection.outbox();
        let written = outbox.total_queued();
        if *flushed != written {
            ready!(io.poll_flush(cx))?;
            *flushed = written;
            outbox.flushed_to(written);
        }
        Poll::Ready(Ok(()))
    }

    #[cold]
    fn write_failed(&mut self, cx: &Context<'_>, error: io::Error) -> Result<Poll<()>, Error> {
        match error.kind() {
            io::ErrorKind::WouldBlock => return Err(error.into()),
            io::ErrorKind::Interrupted => {
                again(cx);
                return Ok(Poll::Pending);
            }
            _ => {}
        }
        self.broken(error);
        self.connection.write_failed();
        self.flushed = self.connection.outbox().total_queued();
        Ok(Poll::Ready(()))
    }

    /// Ready when a deadline has passed and the core was told. `unread` says whether something lies
    /// in front of what could be read.
    fn poll_timers(&mut self, cx: &mut Context<'_>, unread: bool) -> Poll<Result<(), Error>> {
        let Some(deadline) = self.connection.poll_timeout() else { return Poll::Pending };
        let now = ready!(self.io.poll_deadline(cx, deadline))?;
        // A peer that is given up shows in how the connection ends.
        self.trace.timed_out(self.connection.look(now, unread));
        Poll::Ready(Ok(()))
    }

    fn broken(&mut self, error: io::Error) {
        self.trace.broken(&error);
        self.end.broken(error);
    }

    /// How the connection ended, the first time; later nothing.
    fn report_end(&mut self) -> Result<(), Error> {
        self.end.report(self.connection.closed())
    }

    /// Starts the closing handshake and drives it to its end, discarding what still comes.
    pub(crate) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        frame: &CloseFrame,
    ) -> Poll<Result<(), Error>> {
        if self.connection.is_open() {
            self.connection.close(Some(frame.clone()));
        }
        self.connection.discard_messages();
        self.kept = None;
        let discard = |_: Event<'_>, _: &mut Connection| ControlFlow::<()>::Continue(());
        self.poll_events(cx, (Caller::Sending, Pace::Any), discard).map_ok(|_| ())
    }
}
