//! The calls on the stream: each is made with the lock released and the direction taken out.

use super::{
    monitor::{Locked, Monitor, SLICE},
    monitor_state::{MonitorState, for_good},
};
use crate::{
    Time,
    blocking::Duplex,
    io::{Io, give_write, take_write},
};
use bytes::Buf;
use core::{
    mem,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::io;

/// The most that is copied for one write, in bytes; a payload that is shared is not copied.
const WRITE: usize = 64 * 1024;

/// Ends the connection if a stream panics, so that nobody waits for the one who was in the call.
struct Bomb<'s, S: Duplex>(&'s Monitor<S>);

impl<S: Duplex> Drop for Bomb<'_, S> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.connection.handle_transport_failed();
        self.0.end(&mut state);
    }
}

impl<S: Duplex> Monitor<S> {
    /// Reads once, at most until `deadline`, if nobody else reads: whether the time was up.
    pub(super) fn fill<'s>(
        &'s self,
        mut state: Locked<'s, S>,
        deadline: Option<Time>,
    ) -> (Locked<'s, S>, bool) {
        let Some(mut io) = state.reading.take() else { return (state, false) };
        let mut input = mem::take(&mut state.session.input);
        drop(state);
        let bomb = Bomb(self);
        let mut cx = Context::from_waker(Waker::noop());
        let read = input.fill(|buffer| io.poll_read(&mut cx, buffer, deadline));
        mem::forget(bomb);
        let mut state = self.lock();
        (state.reading, state.session.input) = (Some(io), input);
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
        state.looked = Some(self.now());
        state.take_control();
        let mut drained = false;
        for _ in 0..READS {
            if state.holds_data() || state.connection.closed().is_some() {
                break;
            }
            let sides = (state.reading.take(), state.writing.take());
            let mut input = mem::take(&mut state.session.input);
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
            state.session.input = input;
            let came = matches!(read, Poll::Ready(Ok(1..)));
            state.arrived(read);
            drained = mem::take(&mut state.drained) && !refused;
            if let Err(error) = restored {
                state.arrived(Poll::Ready(Err(error)));
            }
            state.take_control();
            if came && state.holds_data() {
                state.connection.has_come(); // it stays there for the reader
            }
            if refused || drained {
                break;
            }
        }
        if drained {
            self.timers(&mut state);
        }
        self.end(&mut state);
        if state.connection.has_output() {
            state.owed = state.connection.send_buffer().total_queued();
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
        let shared = state.connection.send_buffer().front(&mut copied, WRITE);
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
        state.retry = (!moves).then(|| self.now() + SLICE);
        if let Err(error) = state.wrote(written, flushed) {
            self.handle_write_failed(&mut state, error);
        }
        (state, moves)
    }

    #[cold]
    fn handle_write_failed(&self, state: &mut MonitorState<S>, error: io::Error) {
        let over = state.connection.closed().is_some();
        state.session.handle_write_failed(for_good(error));
        if state.reading.is_none() && !over {
            // What was received is still there; a read that waits for more would have no deadline.
            let _ = self.stream.shutdown_both();
        }
    }
}
