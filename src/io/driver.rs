//! The one loop that moves bytes between a stream and the core.

#[cfg_attr(
    not(any(feature = "futures-io", feature = "tokio")),
    allow(dead_code, reason = "for halves of async streams")
)]
mod halves;
mod sending;

pub(crate) use halves::Kept;
#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(super) use halves::Rest;

use super::{
    End, Error, Io, Outgoing, Parts, ReadBuffer, pool,
    trace::Trace,
    wakers::{Caller, Wakers},
};
use crate::{Chunk, CloseFrame, Config, Connection, Event, Incoming, Message, Role, Transport};
use alloc::{boxed::Box, sync::Arc};
use core::{
    mem,
    ops::ControlFlow,
    task::{Context, Poll, ready},
};
use std::io;

/// A connection on a stream.
pub(crate) struct Driver<T> {
    pub(crate) io: T,
    pub(crate) connection: Connection,
    input: ReadBuffer,
    end: End,
    /// Events that a half which sends has come across, for the one that receives.
    kept: Option<Box<Kept>>,
    wakers: Wakers,
    turn: Turn,
    /// Whether somebody else receives who is told by the stream when there is something.
    pub(super) received_elsewhere: bool,
    pub(super) trace: Trace,
}

/// What a driver is made of, for those who drive the connection in another way.
pub(crate) struct Pieces<T> {
    pub(crate) io: T,
    pub(crate) connection: Connection,
    pub(crate) input: ReadBuffer,
    pub(crate) end: End,
    pub(crate) kept: Option<Box<Kept>>,
    pub(crate) trace: Trace,
}

/// Lets what is queued go into a buffer of the thread's.
#[inline(always)]
pub(crate) fn lend(connection: &mut Connection) {
    if connection.send_buffer().has_no_storage() && connection.is_open() {
        connection.send_buffer().lend(pool::take_write());
    }
}

/// A call on the stream was interrupted. It is repeated when this is polled again, not at once, so
/// that a stream that says so for ever keeps neither others nor deadlines from their turn.
fn again(cx: &Context<'_>) {
    cx.waker().wake_by_ref();
}

/// What a task has done on a connection, none of which it had to wait for. A stream that is always
/// ready would keep all others of the thread from their turn: some runtimes count what their own
/// streams do, others do not, and no runtime knows of a stream that somebody brings along.
#[derive(Default)]
struct Turn {
    /// Reads, and receives that found the connection over.
    reads: u8,
    /// Messages and pieces of them that there was room for.
    sends: u8,
    /// Whether a write was left for the next turn.
    writes: bool,
}

impl Turn {
    /// How many of either, and how many writes, before others have their turn.
    const STEPS: u8 = 64;

    #[inline(always)]
    fn is_over(done: &mut u8, cx: &Context<'_>) -> bool {
        if *done < Self::STEPS {
            *done += 1;
            return false;
        }
        *done = 0;
        again(cx);
        true
    }
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
        let (input, trace, turn) = (unread, Trace::new(role), Turn::default());
        let received_elsewhere = false;
        Self { io, connection, input, end, kept: None, wakers, turn, received_elsewhere, trace }
    }

    pub(crate) fn into_parts<S>(self, stream: impl FnOnce(T) -> S) -> Parts<S> {
        let Self { io, mut connection, input, kept, .. } = self;
        connection.send_buffer().flushed(); // that is for whoever has the stream
        connection.restart_clock(); // and so are its times
        let events = kept.map(|kept| kept.into_events()).unwrap_or_default();
        Parts { stream: stream(io), connection, events, unread: input.into_unread() }
    }

    pub(crate) fn into_pieces(self) -> Pieces<T> {
        let Self { io, connection, input, end, kept, trace, .. } = self;
        Pieces { io, connection, input, end, kept, trace }
    }

    pub(crate) fn from_pieces(pieces: Pieces<T>) -> Self {
        let Pieces { io, connection, input, end, kept, trace } = pieces;
        let (wakers, turn, received_elsewhere) = Default::default();
        Self { io, connection, input, end, kept, wakers, turn, received_elsewhere, trace }
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

    /// Calls `handle` with each message until a clean close, or until it fails. If it fails because
    /// nothing can be sent any more, what has come is still for it, and how the connection ends
    /// says more than that: then this goes on, with the error in `late`.
    pub(crate) fn poll_run(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Option<Error>,
        handle: &mut impl FnMut(Incoming<'_>, &mut Outgoing<'_>) -> Result<(), Error>,
    ) -> Poll<Result<(), Error>> {
        let failed = ready!(self.poll_events(
            cx,
            (Caller::Receiving, Pace::WhileReady),
            |event, connection| {
                if let Event::Message(message) = event {
                    let mut out = Outgoing::new(connection);
                    if let Err(error) = handle(message, &mut out) {
                        if !out.came_too_late() || matches!(error, Error::Other(_)) {
                            return ControlFlow::Break(error);
                        }
                        late.get_or_insert(error);
                    }
                }
                ControlFlow::Continue(())
            }
        ))?;
        Poll::Ready(failed.or_else(|| late.take()).map_or(Ok(()), Err))
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
            None if self.turn_of_reads_is_over(cx) => Poll::Pending,
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
                        let _ = self.poll_write_all(cx);
                    } else if (T::WAITS && drained) || self.connection.has_pong() {
                        // Whatever it finds shows in the next call: the message must not be lost.
                        let _ = self.poll_timers(cx, !self.input.is_empty());
                    }
                    return Poll::Ready(Ok(Some(output)));
                }
            }
            let mut written = Ok(Poll::Ready(()));
            if self.connection.has_output() {
                written = self.poll_write_for_senders(cx);
                // It is only for others to go on: what comes next, the end perhaps, comes behind it.
                if mem::take(&mut self.turn.writes) {
                    self.wakers.keep(caller, caller_cx);
                    return Poll::Pending;
                }
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
            let unnoted = T::WAITS && self.connection.wants_time();
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
                    _ if kept.is_some() => Ok(Kept::take(kept)),
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
            Transport::ShutDown => match self.io.poll_shutdown(cx) {
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
            Transport::AwaitEof => Ending::Wait { reads: true },
            Transport::Open => Ending::Wait { reads },
        }
    }

    /// Reads once, into the empty buffer or straight into a large message.
    #[inline(always)] // called once
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Result<Read, Error> {
        if self.turn_of_reads_is_over(cx) {
            return Ok(Read::Pending);
        }
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
                    Poll::Pending => self.unread(),
                };
            }
        }
        match input.fill(|buffer| io.poll_read(cx, buffer, deadline)) {
            Poll::Ready(Ok(read @ 1..)) => Ok(Read::Done { short: read < ReadBuffer::SIZE }),
            Poll::Ready(end) => self.stopped(cx, end.map(|_| ())),
            Poll::Pending => self.unread(),
        }
    }

    /// Nothing has arrived: others have their turn.
    #[inline(always)]
    fn unread(&mut self) -> Result<Read, Error> {
        self.turn.reads = 0;
        Ok(Read::Pending)
    }

    /// Whether it is for others to go on before this reads.
    #[inline(always)]
    fn turn_of_reads_is_over(&mut self, cx: &Context<'_>) -> bool {
        !T::WAITS && Turn::is_over(&mut self.turn.reads, cx)
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
            Err(error) => self.broken(error, |driver| driver.connection.transport_failed()),
        }
        Ok(Read::Done { short: true })
    }

    /// Writes and flushes all that is queued: ready when nothing is left. A stream that failed is
    /// not an error here: it shows in how the connection ends.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        self.poll_writes(cx, if T::WAITS { u32::MAX } else { Turn::STEPS.into() })
    }

    /// As `poll_write`, whoever has to wait for it meanwhile: nobody may be there to go on.
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        self.poll_writes(cx, u32::MAX)
    }

    #[inline]
    fn poll_writes(&mut self, cx: &mut Context<'_>, most: u32) -> Result<Poll<()>, Error> {
        match self.try_write(cx, most) {
            Poll::Ready(Err(error)) => self.write_failed(cx, error),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    #[inline]
    fn try_write(&mut self, cx: &mut Context<'_>, most: u32) -> Poll<io::Result<()>> {
        let Self { connection, io, turn, .. } = self;
        let mut left = most;
        turn.writes = false;
        while !connection.send_buffer().is_empty() {
            if left == 0 {
                turn.writes = true;
                again(cx);
                return Poll::Pending;
            }
            left -= 1;
            let deadline = if T::WAITS { connection.poll_timeout() } else { None };
            let outbox = connection.send_buffer();
            let written = ready!(io.poll_write(cx, outbox, deadline))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outbox.advance(written);
        }
        let outbox = connection.send_buffer();
        if let Some(storage) = outbox.reclaim() {
            pool::give_write(storage);
        }
        if !outbox.is_drained() {
            ready!(io.poll_flush(cx))?;
            outbox.flushed();
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
        self.broken(error, |driver| driver.connection.write_failed());
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

    /// The stream broke, which `fail` tells the core. Whoever traces is told last: a subscriber may
    /// panic.
    fn broken(&mut self, error: io::Error, fail: impl FnOnce(&mut Self)) {
        let kind = error.kind();
        self.end.broken(error);
        fail(self);
        self.trace.broken(kind);
    }

    /// How the connection ended, the first time; later nothing.
    fn report_end(&mut self) -> Result<(), Error> {
        let first = !self.end.is_reported();
        self.end.report(self.connection.closed())?;
        match first && self.connection.has_cut_off_chunks() {
            true => Err(Error::CutOff),
            false => Ok(()),
        }
    }

    /// Whether receiving gives `None` from now on.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn has_reported_end(&self) -> bool {
        self.end.is_reported()
    }

    /// Receives and discards all that comes until the connection is over.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_discard(cx, Caller::Receiving)
    }

    /// Discards all that comes until the connection is over; that a message is cut off by it is no
    /// news to who wants none.
    fn poll_discard(&mut self, cx: &mut Context<'_>, caller: Caller) -> Poll<Result<(), Error>> {
        self.connection.discard_messages();
        self.kept = None;
        let discard = |_: Event<'_>, _: &mut Connection| ControlFlow::<()>::Continue(());
        ready!(self.poll_to_end(cx, (caller, Pace::Any), discard))?;
        Poll::Ready(self.end.report(self.connection.closed()))
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
        self.poll_discard(cx, Caller::Sending)
    }
}
