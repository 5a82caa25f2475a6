//! What writers do: wait for their turn, queue, write, and look at what has arrived.

use super::{
    shared::{Locked, PATIENCE, SLICE, Shared},
    state::{ReaderIs, State},
    turns::Sending,
};
use crate::{blocking::Duplex, io::Error};

impl<S: Duplex> Shared<S> {
    /// Waits for room and queues with `feed`.
    pub(super) fn queue(
        &self,
        sending: Sending,
        feed: impl FnOnce(&mut State<S>) -> Result<(), Error>,
    ) -> Result<Locked<'_, S>, Error> {
        let mut state = self.turn(self.lock(), sending)?;
        let fed = feed(&mut state);
        if !state.turns.is_empty() {
            self.wake(&state);
        }
        fed.map(|()| state)
    }

    /// Waits for room and queues with `feed`; and writes unless that is left to the reader.
    pub(super) fn send(
        &self,
        sending: Sending,
        feed: impl FnOnce(&mut State<S>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let state = self.queue(sending, feed)?;
        if sending == Sending::Control || state.sends_strictly() {
            return self.flush(state);
        }
        Ok(())
    }

    /// Waits until this can be sent: until there is room, and whoever came before has been served.
    pub(super) fn turn<'s>(
        &'s self,
        mut state: Locked<'s, S>,
        sending: Sending,
    ) -> Result<Locked<'s, S>, Error> {
        if !state.accepts(sending) {
            return Err(state.refusal());
        }
        if state.turns.is_free(sending) && state.connection.is_under_mark() {
            return Ok(state);
        }
        let ticket = state.turns.join(sending);
        let turn = loop {
            if !state.accepts(sending) {
                break Err(state.refusal());
            }
            if state.turns.is_next(ticket) && state.connection.is_under_mark() {
                break Ok(());
            }
            state = self.step(state);
        };
        state.turns.leave(ticket);
        self.wake(&state);
        turn.map(|()| state)
    }

    /// Writes all that is queued now.
    pub(super) fn flush<'s>(&'s self, mut state: Locked<'s, S>) -> Result<(), Error> {
        let mut target = None;
        loop {
            if state.is_flushed(&mut target) {
                break;
            }
            if !state.connection.is_open() {
                if let Some(error) = state.failure(true) {
                    return Err(error);
                }
                if !state.connection.has_output() {
                    break;
                }
            }
            state = self.step(state);
        }
        self.finish(state);
        Ok(())
    }

    /// Writes something if there is anything and nobody else does, or waits for something to
    /// change.
    fn step<'s>(&'s self, mut state: Locked<'s, S>) -> Locked<'s, S> {
        if state.writing.is_some() && state.connection.has_output() {
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
        } else {
            state = self.wait_to_send(state);
            state = self.look_at_times(state);
        }
        self.wake(&state);
        state
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
