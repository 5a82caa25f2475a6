//! The loop that moves bytes between a stream and its session, in poll style.

#[cfg(any(feature = "futures-io", feature = "tokio"))]
mod halves;
mod sending;

#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(super) use halves::Leftover;

use super::{
    Ending, Error, Io, Pace, Parts, ReadBuffer, Responder, Session, pool,
    wakers::{Caller, Wakers},
};
use crate::{Chunk, CloseFrame, Config, Connection, Event, Message, ReceivedMessage, Role};
use alloc::sync::Arc;
use core::{
    mem,
    ops::{ControlFlow, Deref, DerefMut},
    task::{Context, Poll, ready},
};
use std::io;

/// A session and its stream, in poll style.
pub(crate) struct Driver<T> {
    pub(crate) io: T,
    pub(crate) session: Session,
    wakers: Wakers,
    budget: CoopBudget,
    /// Whether somebody else receives who is told by the stream when there is something.
    pub(super) received_elsewhere: bool,
}

impl<T> Deref for Driver<T> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl<T> DerefMut for Driver<T> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// A call on the stream was interrupted. It is repeated when this is polled again, not at once, so
/// that a stream that says so for ever keeps neither others nor deadlines from their turn.
fn again(cx: &Context<'_>) {
    cx.waker().wake_by_ref();
}

/// What a call on the stream came to: nothing yet if it was only interrupted, an error if it is the
/// caller's to repeat it, because the stream does not wait.
#[cold]
fn may_repeat(cx: &Context<'_>, end: io::Result<()>) -> Result<Poll<io::Result<()>>, Error> {
    match end {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            again(cx);
            Ok(Poll::Pending)
        }
        end => Ok(Poll::Ready(end)),
    }
}

/// What a task has done on a connection, none of which it had to wait for. A stream that is always
/// ready would keep all others of the thread from their turn: some runtimes count what their own
/// streams do, others do not, and no runtime knows of a stream that somebody brings along.
#[derive(Default)]
struct CoopBudget {
    /// Reads, and receives that found the connection over.
    reads: u8,
    /// Messages and pieces of them that there was room for.
    sends: u8,
    /// Whether a write was left for the next turn.
    writes: bool,
}

impl CoopBudget {
    /// How many of either, and how many writes, before others have their turn.
    const STEPS: u8 = 64;

    #[inline(always)]
    fn is_spent(used: &mut u8, cx: &Context<'_>) -> bool {
        if *used < Self::STEPS {
            *used += 1;
            return false;
        }
        *used = 0;
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

impl<T: Io> Driver<T> {
    /// `unread` are bytes of the stream that came behind the opening handshake.
    pub(crate) fn new(io: T, role: Role, config: Arc<Config>, unread: ReadBuffer) -> Self {
        Self::resume(io, Session::new(role, config, unread))
    }

    /// Goes on with a session on its stream.
    pub(crate) fn resume(io: T, session: Session) -> Self {
        let (wakers, budget, received_elsewhere) = Default::default();
        Self { io, session, wakers, budget, received_elsewhere }
    }

    pub(crate) fn into_session(self) -> (T, Session) {
        (self.io, self.session)
    }

    pub(crate) fn into_parts<S>(self, stream: impl FnOnce(T) -> S) -> Parts<S> {
        self.session.into_parts(stream(self.io))
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
        handle: &mut impl FnMut(ReceivedMessage<'_>, &mut Responder<'_>) -> Result<(), Error>,
    ) -> Poll<Result<(), Error>> {
        let failed = ready!(self.poll_events(
            cx,
            (Caller::Receiving, Pace::WhileReady),
            |event, connection| {
                if let Event::Message(message) = event {
                    let mut out = Responder::new(connection);
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
            Event::Message(message) => ControlFlow::Break(message.into_message()),
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
            None if self.reads_are_spent(cx) => Poll::Pending,
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
        self.session.may_receive(pace)?;
        let (mut fills, mut looked, mut drained) = (0, 0, false);
        let joint = self.wakers.joint(caller, cx);
        let caller_cx = cx;
        let cx = &mut Context::from_waker(joint.as_ref().unwrap_or(caller_cx.waker()));
        loop {
            let held = self.session.is_held_back(pace);
            if !held && self.session.has_events(pace) {
                if let Some(output) = self.session.deliver(pace, &mut on_event) {
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
                if mem::take(&mut self.budget.writes) {
                    self.wakers.keep(caller, caller_cx);
                    return Poll::Pending;
                }
                // There is room for answers again, perhaps to what is in the buffer.
                if (held || !self.input.is_empty()) && !self.session.is_held_back(pace) {
                    continue;
                }
            }
            let mut reads = !held && self.input.is_empty();
            if !self.connection.is_open() {
                match self.poll_ending(cx) {
                    Some(wanted) => reads = wanted,
                    None => return Poll::Ready(Ok(None)),
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

    /// Does what the end asks of the stream: whether to read; `None` once the connection is over.
    #[cold]
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        loop {
            match self.session.ending() {
                Ending::Wait { reads } => return Some(reads),
                Ending::ShutDown => match self.io.poll_shutdown(cx) {
                    Poll::Ready(result) => self.session.shut_down(result),
                    Poll::Pending => return Some(true),
                },
                Ending::Over { hangs_up } => {
                    if hangs_up {
                        let _ = self.io.poll_shutdown(cx);
                    }
                    self.wakers.wake_all();
                    return None;
                }
            }
        }
    }

    /// Reads once, into the empty buffer or straight into a large message.
    #[inline(always)] // called once
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Result<Read, Error> {
        if self.reads_are_spent(cx) {
            return Ok(Read::Pending);
        }
        let deadline = if T::WAITS { self.connection.poll_timeout() } else { None };
        let Self { session: Session { input, connection, .. }, io, .. } = self;
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
        self.budget.reads = 0;
        Ok(Read::Pending)
    }

    /// Whether it is for others to go on before this reads.
    #[inline(always)]
    fn reads_are_spent(&mut self, cx: &Context<'_>) -> bool {
        !T::WAITS && CoopBudget::is_spent(&mut self.budget.reads, cx)
    }

    /// Nothing more can be read, or not now.
    #[cold]
    fn stopped(&mut self, cx: &Context<'_>, end: io::Result<()>) -> Result<Read, Error> {
        match may_repeat(cx, end)? {
            Poll::Pending => Ok(Read::Pending),
            Poll::Ready(end) => {
                self.session.read_ended(end);
                Ok(Read::Done { short: true })
            }
        }
    }

    /// Writes and flushes all that is queued: ready when nothing is left. A stream that failed is
    /// not an error here: it shows in how the connection ends.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        self.poll_writes(cx, if T::WAITS { u32::MAX } else { CoopBudget::STEPS.into() })
    }

    /// As `poll_write`, whoever has to wait for it meanwhile: nobody may be there to go on.
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        self.poll_writes(cx, u32::MAX)
    }

    #[inline]
    fn poll_writes(&mut self, cx: &mut Context<'_>, most: u32) -> Result<Poll<()>, Error> {
        match self.try_write(cx, most) {
            Poll::Ready(Err(error)) => self.handle_write_failed(cx, error),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    #[inline]
    fn try_write(&mut self, cx: &mut Context<'_>, most: u32) -> Poll<io::Result<()>> {
        let Self { session: Session { connection, .. }, io, budget, .. } = self;
        let mut left = most;
        budget.writes = false;
        while !connection.send_buffer().is_empty() {
            if left == 0 {
                budget.writes = true;
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
    fn handle_write_failed(
        &mut self,
        cx: &Context<'_>,
        error: io::Error,
    ) -> Result<Poll<()>, Error> {
        match may_repeat(cx, Err(error))? {
            Poll::Ready(Err(error)) => self.session.handle_write_failed(error),
            Poll::Ready(Ok(())) => {}
            Poll::Pending => return Ok(Poll::Pending),
        }
        Ok(Poll::Ready(()))
    }

    /// Ready when a deadline has passed and the core was told. `unread` says whether something lies
    /// in front of what could be read.
    fn poll_timers(&mut self, cx: &mut Context<'_>, unread: bool) -> Poll<Result<(), Error>> {
        let Some(deadline) = self.connection.poll_timeout() else { return Poll::Pending };
        let now = ready!(self.io.poll_deadline(cx, deadline))?;
        self.session.handle_timeout(now, unread);
        Poll::Ready(Ok(()))
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
        self.session.discard();
        let discard = |_: Event<'_>, _: &mut Connection| ControlFlow::<()>::Continue(());
        ready!(self.poll_to_end(cx, (caller, Pace::Any), discard))?;
        Poll::Ready(self.session.report_discarded_end())
    }

    /// Starts the closing handshake and drives it to its end, discarding what still comes.
    pub(crate) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        frame: &Option<CloseFrame>,
    ) -> Poll<Result<(), Error>> {
        self.session.start_close(frame);
        self.poll_discard(cx, Caller::Sending)
    }
}
