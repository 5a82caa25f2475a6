//! What the halves of a connection share: one state behind a lock, and the two directions of the
//! stream, each of which one thread at a time takes out of it for a call.
//!
//! No call on the stream that may wait is made under the lock. Whoever has changed what others may
//! wait for [wakes](Shared::wake) them before it lets go of the lock.

use super::turns::Turns;
use crate::{
    Connection, Event, Role, Time, Transport,
    blocking::{
        Duplex,
        duplex::{Half, halves, whole},
        stream::BlockingIo,
    },
    io::{End, Error, Io, Pieces, ReadBuffer, give_write, take_write},
};
use alloc::{collections::VecDeque, sync::Arc};
use bytes::Buf;
use core::{
    mem,
    ops::ControlFlow,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// How long a write may wait before it is seen what else there is to do, and how often a writer
/// looks at what has arrived when nobody reads.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// How long a reader may wait in a write: it is there to receive.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);

/// The most that is copied for one write, in bytes; a payload that is shared is not copied.
const WRITE: usize = 64 * 1024;

/// The storage of the outbox goes back to the thread's pool if it is larger than this, in bytes.
const KEEP: usize = 4 * 1024;

/// How many pings and pongs that a writer has found are kept for a reader that is not in a call.
const FOUND: usize = 16;

/// One direction of the stream.
type Side<S> = BlockingIo<Half<S>>;

pub(super) type Locked<'s, S> = MutexGuard<'s, State<S>>;

/// What the halves share.
pub(super) struct Shared<S> {
    pub(super) stream: Arc<S>,
    epoch: Instant,
    state: Mutex<State<S>>,
    /// For who waits to read, and who closes.
    received: Condvar,
    /// For who sends.
    written: Condvar,
}

pub(super) struct State<S> {
    pub(super) connection: Connection,
    pub(super) input: ReadBuffer,
    /// Control frames that a writer has come across, for the reader: they came before `input`.
    found: VecDeque<Event<'static>>,
    /// There unless a thread is in a call on it.
    pub(super) reading: Option<Side<S>>,
    pub(super) writing: Option<Side<S>>,
    /// Whether bytes were written that the stream itself may still hold.
    pub(super) unflushed: bool,
    /// How much was ever written and flushed, in bytes.
    pub(super) flushed: u64,
    /// Up to where whoever writes is to go on, in bytes ever queued: somebody left it to them.
    pub(super) owed: u64,
    /// When the reader is to write again to a stream that takes nothing.
    pub(super) retry: Time,
    pub(super) end: End,
    over: bool,
    pub(super) reader: ReaderIs,
    /// Whether the reader takes messages in chunks, as far as it is known.
    pub(super) chunks: bool,
    /// Whether all was read that had arrived, at the last read.
    pub(super) drained: bool,
    /// When a writer looked at what has arrived.
    pub(super) looked: Time,
    pub(super) turns: Turns,
    pub(super) writers: u64,
    waiting_to_receive: u32,
    pub(super) waiting_to_send: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderIs {
    Receiving,
    /// Not in a call.
    Away,
    Gone,
}

/// Ends the connection if a stream panics, so that nobody waits for the one who was in the call.
struct Bomb<'s, S: Duplex>(&'s Shared<S>);

impl<S: Duplex> Drop for Bomb<'_, S> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.connection.transport_failed();
        self.0.end(&mut state);
    }
}

impl<S: Duplex> Shared<S> {
    pub(super) fn new(pieces: Pieces<BlockingIo<S>>) -> Self {
        let Pieces { io, mut connection, input, unflushed, end } = pieces;
        let epoch = io.epoch();
        let (stream, reading, writing) = halves(io);
        let written = connection.outbox().total_written();
        let state = State {
            input,
            found: VecDeque::new(),
            reading: Some(reading),
            writing: Some(writing),
            unflushed,
            flushed: if unflushed { 0 } else { written },
            owed: 0,
            retry: Time::EPOCH,
            end,
            over: false,
            reader: ReaderIs::Away,
            chunks: connection.is_in_chunks(),
            drained: false,
            looked: Time::EPOCH,
            turns: Turns::new(connection.is_in_fragments().then_some(0)),
            writers: 0,
            waiting_to_receive: 0,
            waiting_to_send: 0,
            connection,
        };
        let (received, written) = (Condvar::new(), Condvar::new());
        Self { stream, epoch, state: Mutex::new(state), received, written }
    }

    /// The way back, once nobody else has the stream.
    pub(super) fn into_pieces(self) -> Option<Pieces<BlockingIo<S>>> {
        let Self { stream, epoch, state, .. } = self;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State { connection, input, reading, writing, unflushed, end, .. } = state;
        let io = whole(stream, epoch, reading, writing)?;
        Some(Pieces { io, connection, input, unflushed, end })
    }

    pub(super) fn lock(&self) -> Locked<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Time {
        Time::since_epoch(self.epoch.elapsed())
    }

    /// Something has changed that others may wait for.
    pub(super) fn wake(&self, state: &State<S>) {
        if state.waiting_to_receive > 0 {
            self.received.notify_all();
        }
        if state.waiting_to_send > 0 {
            self.written.notify_all();
        }
    }

    /// Waits, at most until the time is `until`, for something to change for who receives.
    pub(super) fn wait_to_receive<'s>(
        &self,
        mut state: Locked<'s, S>,
        until: Option<Time>,
    ) -> Locked<'s, S> {
        state.waiting_to_receive += 1;
        let mut state = match until {
            Some(until) => {
                // A little more, so as not to come too early.
                let left = until.saturating_since(self.now()) + Duration::from_millis(1);
                let waited = self.received.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.received.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.waiting_to_receive -= 1;
        state
    }

    /// Waits for something to change for who sends; not for long if there is perhaps nobody who sees
    /// to the connection meanwhile.
    pub(super) fn wait_to_send<'s>(&self, mut state: Locked<'s, S>) -> Locked<'s, S> {
        state.waiting_to_send += 1;
        let mut state = if state.writing.is_some() {
            // There is nothing to write, so nobody may be in a call.
            let waited = self.written.wait_timeout(state, SLICE);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            self.written.wait(state).unwrap_or_else(PoisonError::into_inner)
        };
        state.waiting_to_send -= 1;
        state
    }

    /// Does what is due.
    pub(super) fn timers(&self, state: &mut State<S>) {
        let Some(due) = state.connection.poll_timeout() else { return };
        let now = self.now();
        if due <= now {
            // A peer that is given up shows in how the connection ends.
            let _ = state.connection.handle_timeout(now);
            self.wake(state);
        }
    }

    /// Does what the closing handshake asks of the stream: whether the connection is over.
    pub(super) fn end(&self, state: &mut State<S>) -> bool {
        if state.connection.is_open() {
            return false;
        }
        loop {
            match state.connection.transport() {
                Transport::ShutDown if !state.unflushed => match self.stream.shutdown_write() {
                    Ok(()) => state.connection.shutdown_complete(),
                    Err(_) => state.connection.transport_failed(),
                },
                Transport::Closed => {
                    if !mem::replace(&mut state.over, true) {
                        self.hang_up(state);
                    }
                    return true;
                }
                _ => return false,
            }
        }
    }

    /// The connection is over. Whoever is in a call on the stream comes back; and a peer that waits
    /// for the end of the stream need not wait for our drop.
    #[cold]
    fn hang_up(&self, state: &mut State<S>) {
        if state.reading.is_none() || state.writing.is_none() {
            let _ = self.stream.shutdown_both();
        } else if state.connection.role() == Role::Client {
            let _ = self.stream.shutdown_write();
        }
        state.unflushed = false;
        state.input.release();
        self.wake(state);
    }

    /// Reads once, at most until `deadline`, if nobody else reads: whether the time was up.
    pub(super) fn fill<'s>(
        &'s self,
        mut state: Locked<'s, S>,
        deadline: Option<Time>,
    ) -> (Locked<'s, S>, bool) {
        let Some(mut io) = state.reading.take() else { return (state, false) };
        let mut input = mem::take(&mut state.input);
        drop(state);
        let bomb = Bomb(self);
        let mut cx = Context::from_waker(Waker::noop());
        let read = input.fill(|buffer| io.poll_read(&mut cx, buffer, deadline));
        mem::forget(bomb);
        let mut state = self.lock();
        (state.reading, state.input) = (Some(io), input);
        let pending = read.is_pending();
        state.arrived(read);
        self.wake(&state);
        (state, pending)
    }

    /// Looks at what has arrived, without waiting, if nobody reads or writes.
    ///
    /// With a reader, it goes no further than to what is the reader's; without one, everything is
    /// discarded. Control frames are answered.
    pub(super) fn look<'s>(&'s self, mut state: Locked<'s, S>) -> Locked<'s, S> {
        /// Somebody who sends for ever may not keep us.
        const READS: usize = 16;

        if state.reading.is_none() || state.writing.is_none() || !state.may_look() {
            return state;
        }
        state.looked = self.now();
        state.digest();
        let mut drained = false;
        for _ in 0..READS {
            if !state.input.is_empty() || state.connection.closed().is_some() {
                break;
            }
            let sides = (state.reading.take(), state.writing.take());
            let mut input = mem::take(&mut state.input);
            drop(state);
            let bomb = Bomb(self);
            let refused = self.stream.set_nonblocking(true).is_err();
            let read = match refused {
                true => Poll::Pending,
                false => input.fill(|buffer| self.read_at_once(buffer)),
            };
            let restored = if refused { Ok(()) } else { self.stream.set_nonblocking(false) };
            mem::forget(bomb);
            state = self.lock();
            (state.reading, state.writing) = sides;
            state.input = input;
            state.arrived(read);
            drained = mem::take(&mut state.drained) && !refused;
            if let Err(error) = restored {
                state.arrived(Poll::Ready(Err(error)));
            }
            state.digest();
            if refused || drained {
                break;
            }
        }
        if drained {
            self.timers(&mut state);
        }
        self.end(&mut state);
        if state.has_output() {
            state.owed = state.connection.outbox().total_queued();
        }
        self.wake(&state);
        state
    }

    fn read_at_once(&self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{Interrupted, WouldBlock};
        match io::Read::read(&mut self.stream.half(), buffer) {
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => Poll::Pending,
            read => Poll::Ready(read),
        }
    }

    /// Writes some of what is queued, for `patience` at most, if nobody else writes: whether the
    /// stream took anything, or failed.
    pub(super) fn write<'s>(
        &'s self,
        mut state: Locked<'s, S>,
        patience: Duration,
    ) -> (Locked<'s, S>, bool) {
        let Some(mut io) = state.writing.take() else { return (state, false) };
        let mut copied = take_write();
        let shared = state.connection.outbox().front(&mut copied, WRITE);
        drop(state);
        let bomb = Bomb(self);
        let mut cx = Context::from_waker(Waker::noop());
        let bytes = copied.as_slice().chain(shared);
        let written = match bytes.has_remaining() {
            true => io.poll_write(&mut cx, &bytes, Some(io.now() + patience)),
            false => Poll::Ready(Ok(0)),
        };
        let written = match written {
            Poll::Ready(Ok(0)) if bytes.has_remaining() => {
                Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
            }
            written => written,
        };
        let flushed = match written {
            Poll::Ready(Ok(_)) => io.poll_flush(&mut cx),
            _ => Poll::Pending,
        };
        mem::forget(bomb);
        copied.clear();
        give_write(copied);
        let mut state = self.lock();
        state.writing = Some(io);
        let moves = !written.is_pending();
        state.retry = if moves { Time::EPOCH } else { self.now() + SLICE };
        if let Err(error) = state.wrote(written, flushed) {
            self.write_failed(&mut state, error);
        }
        (state, moves)
    }

    #[cold]
    fn write_failed(&self, state: &mut State<S>, error: io::Error) {
        state.unflushed = false;
        if state.connection.closed().is_some() {
            return; // that is why
        }
        state.end.broken(error);
        state.connection.write_failed();
        if state.reading.is_none() {
            // What was received is still there; a read that waits for more would have no deadline.
            let _ = self.stream.shutdown_both();
        }
    }
}

impl<S> State<S> {
    pub(super) fn has_output(&mut self) -> bool {
        self.unflushed || !self.connection.outbox().is_empty()
    }

    /// Whether a writer is to look at what has arrived.
    pub(super) fn may_look(&self) -> bool {
        self.reader != ReaderIs::Receiving && self.reading.is_some() && !self.over
    }

    /// Takes note of what a read came to.
    fn arrived(&mut self, read: Poll<io::Result<usize>>) {
        self.drained = true;
        match read {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => self.connection.receive_eof(),
            Poll::Ready(Ok(read)) => self.drained = read < ReadBuffer::SIZE,
            Poll::Ready(Err(error)) => {
                if self.connection.closed().is_none() {
                    self.end.broken(error);
                }
                self.connection.transport_failed();
            }
        }
    }

    /// Takes note of what a write came to.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        flushed: Poll<io::Result<()>>,
    ) -> io::Result<()> {
        let Poll::Ready(written) = written else { return Ok(()) };
        let outbox = self.connection.outbox();
        // Of what was dropped meanwhile nothing is to be written any more.
        outbox.advance(written?.min(outbox.len()));
        if let Some(storage) = outbox.reclaim() {
            match storage.capacity() {
                ..=KEEP => outbox.lend(storage),
                _ => give_write(storage),
            }
        }
        self.unflushed = flushed.is_pending();
        if let Poll::Ready(flushed) = flushed {
            flushed?;
            self.flushed = self.connection.outbox().total_written();
        }
        Ok(())
    }

    /// Takes from what was read as far as it is not the reader's.
    fn digest(&mut self) {
        let Self { input, connection, found, reader, .. } = self;
        let gone = *reader == ReaderIs::Gone;
        input.consume(|input| {
            while !input.is_empty() || (gone && connection.has_more_chunks()) {
                let event = match gone {
                    true => connection.receive_chunk(input),
                    false => connection.receive_control(input),
                };
                match event {
                    Ok(Some(_)) if gone => {}
                    Ok(Some(event)) => {
                        if found.len() == FOUND {
                            found.pop_front();
                        }
                        found.push_back(event.into_owned());
                    }
                    Ok(None) if gone => {}
                    Ok(None) => break,
                    // It shows again in how the connection ends; what follows it is discarded.
                    Err(_) => {}
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
        while let Some(event) = self.found.pop_front() {
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
        self.found = VecDeque::new();
    }

    /// Why what was queued cannot be written any more, for a sender; nothing if there is no reason.
    pub(super) fn failure(&mut self) -> Option<Error> {
        if let Some(error) = self.end.take_broken() {
            return Some(Error::Io(error));
        }
        if let Some(crate::Closed::TimedOut(error)) = self.connection.closed() {
            return Some(Error::Timeout(*error));
        }
        self.connection.has_lost().then_some(Error::Unsent)
    }
}
