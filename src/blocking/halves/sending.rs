//! What writers do: wait for their turn, queue, write, and look at what has arrived.

use super::{
    monitor::{Locked, Monitor, PATIENCE, SLICE},
    monitor_state::{MonitorState, ReaderIs},
};
use crate::{
    IntoFragment, SendError,
    blocking::Duplex,
    connection::unfinished,
    io::{Error, Place, Progress, Sends, WaitsFor},
};
use alloc::vec::Vec;
use std::thread::{self, Thread};

impl<S: Duplex> Monitor<S> {
    /// Waits for room and queues with `feed`.
    pub(super) fn queue(
        &self,
        sends: Sends,
        feed: impl FnOnce(&mut MonitorState<S>) -> Result<(), Error>,
    ) -> Result<Locked<'_, S>, Error> {
        let mut state = self.turn(self.lock(), sends)?;
        if let Err(error) = feed(&mut state) {
            self.wake(&state);
            return Err(error);
        }
        Ok(state)
    }

    /// Queues a fragment of a message of `writer`.
    pub(super) fn feed_fragment(
        &self,
        state: &mut MonitorState<S>,
        writer: u64,
        fragment: impl IntoFragment,
        fin: bool,
    ) -> Result<(), SendError> {
        let mut senders = self.senders();
        if senders.is_shut_out(writer) {
            return Err(unfinished(fragment));
        }
        state.feed_fragment(fragment, fin)?;
        senders.set_under_way((!fin).then_some(writer));
        Ok(())
    }

    /// Waits for room and queues with `feed`; and writes unless that is left to the reader.
    pub(super) fn send(
        &self,
        sends: Sends,
        feed: impl FnOnce(&mut MonitorState<S>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let state = self.queue(sends, feed)?;
        if sends == Sends::Control || state.sends_strictly() {
            self.wake_others(&state);
            return self.flush(state);
        }
        self.wake(&state);
        Ok(())
    }

    /// Waits until a message of this writer would be accepted.
    pub(super) fn ready(&self, sends: Sends) -> Result<(), Error> {
        let state = self.turn(self.lock(), sends)?;
        self.wake(&state); // it may not use the room
        Ok(())
    }

    /// Waits until this can be sent: until there is room, and it is its turn.
    fn turn<'s>(&'s self, mut state: Locked<'s, S>, sends: Sends) -> Result<Locked<'s, S>, Error> {
        let mut place = Place::default();
        let turn = loop {
            if !state.accepts(sends) {
                break Err(state.refusal());
            }
            let mut senders = self.senders();
            let is_barred = senders.is_barred(sends);
            if !is_barred && state.connection.is_under_mark() && senders.may_go(&place, sends) {
                break Ok(());
            }
            senders.wait(&mut place, WaitsFor::Room(sends), None);
            drop(senders);
            state = self.step(state, &mut place, WaitsFor::Room(sends));
        };
        self.leave(&mut place);
        if turn.is_err() {
            self.wake(&state);
        }
        turn.map(|()| state)
    }

    /// Writes all that is queued now.
    pub(super) fn flush<'s>(&'s self, mut state: Locked<'s, S>) -> Result<(), Error> {
        let (mut target, mut place) = (None, Place::default());
        let flushed = loop {
            if state.is_flushed(&mut target) {
                break Ok(());
            }
            if !state.connection.is_open() {
                if let Some(error) = state.failure(true) {
                    break Err(error);
                }
                if !state.connection.has_output() {
                    break Ok(());
                }
            }
            state = self.step(state, &mut place, WaitsFor::Flush(target));
        };
        self.leave(&mut place);
        match flushed {
            Ok(()) => self.finish(state),
            Err(_) => self.wake(&state),
        }
        flushed
    }

    fn leave(&self, place: &mut Place) {
        if place.is_taken() {
            self.senders().leave(place);
        }
    }

    /// Writes something if there is anything and nobody else does, or waits to be woken.
    fn step<'s>(
        &'s self,
        mut state: Locked<'s, S>,
        place: &mut Place,
        waits_for: WaitsFor,
    ) -> Locked<'s, S> {
        if state.writing.is_none() || !state.connection.has_output() {
            state = self.wait_to_send(state, place, waits_for);
            return self.look_at_times(state);
        }
        let moves;
        (state, moves) = self.write(state, SLICE);
        self.end(&mut state);
        if state.connection.wants_time() {
            self.timers(&mut state); // what the stream has taken, or how far, is to be noted
        }
        if !moves && state.reader != ReaderIs::Receiving {
            // The peer may be waiting for us as we are for it; and a reader that is not there
            // cannot say that it is dead.
            state = self.look(state);
            self.timers(&mut state);
        }
        self.wake_others(&state);
        state
    }

    /// Waits to be woken; not for long if there is perhaps nobody who sees to the connection
    /// meanwhile.
    fn wait_to_send<'s>(
        &'s self,
        mut state: Locked<'s, S>,
        place: &mut Place,
        waits_for: WaitsFor,
    ) -> Locked<'s, S> {
        self.senders().wait(place, waits_for, Some(thread::current()));
        state.waiting_to_send += 1;
        // There is nothing to write, so nobody may be in a call.
        let briefly = state.writing.is_some();
        drop(state);
        match briefly {
            true => thread::park_timeout(SLICE),
            false => thread::park(),
        }
        let mut state = self.lock();
        state.waiting_to_send -= 1;
        self.senders().wait(place, waits_for, None);
        state
    }

    /// Something has changed that those may wait for who send. If this thread `leaves` writing to
    /// them, one of them does it, and sees to the connection.
    pub(super) fn wake_senders(&self, state: &MonitorState<S>, leaves: bool) {
        let connection = &state.connection;
        let flushed = connection.total_flushed();
        let has_control_room = connection.takes_control() && connection.is_under_mark();
        let ended = [
            !connection.is_open(),
            connection.outcome().is_some(),
            connection.closed().is_some(),
            state.end.is_broken(),
            state.over,
        ];
        let progress = Progress {
            written: flushed,
            flushed,
            is_cut: connection.is_cut(),
            has_room: connection.is_ready(),
            has_control_room,
            ahead: 1,
            stage: ended.iter().fold(0, |stage, ended| 2 * stage + u8::from(*ended)),
        };
        let mut woken = Vec::new();
        let mut senders = self.senders();
        senders.wake(&progress, &mut woken);
        if leaves && woken.is_empty() {
            senders.wake_some(1, &mut woken);
        }
        drop(senders);
        woken.iter().for_each(Thread::unpark);
    }

    /// As `wake`, by a writer that goes on writing.
    fn wake_others(&self, state: &MonitorState<S>) {
        self.wake_receivers(state);
        if state.waiting_to_send > 0 {
            self.wake_senders(state, false);
        }
    }

    /// What was to be written is written: does what nobody else may be there to do.
    fn finish<'s>(&'s self, mut state: Locked<'s, S>) {
        if state.may_look() {
            if state.connection.wants_time() {
                self.timers(&mut state);
            }
            state = self.look_at_times(state);
        }
        while state.waiting_to_send == 0
            && state.owed > state.connection.send_buffer().total_written()
            && state.connection.has_output()
        {
            let moves;
            (state, moves) = self.write(state, PATIENCE);
            self.end(&mut state);
            if !moves {
                break; // whoever comes next goes on
            }
        }
        self.wake(&state);
    }

    fn look_at_times<'s>(&'s self, state: Locked<'s, S>) -> Locked<'s, S> {
        if state.looked.is_some_and(|looked| self.now().saturating_since(looked) < SLICE) {
            return state;
        }
        self.look(state)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
