//! The loop that receives, for a reader and for whoever closes.

use super::{
    monitor::{Locked, Monitor, PATIENCE, SLICE},
    monitor_state::ReaderIs,
};
use crate::{
    CloseFrame, Connection, Event,
    blocking::Duplex,
    io::{Error, Pace},
};
use core::ops::ControlFlow;

/// What comes of an event that nobody wants.
fn discarded(_: Event<'_>, _: &mut Connection) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl<S: Duplex> Monitor<S> {
    /// Hands events to `on_event` until it breaks or the connection is over.
    pub(super) fn receive<B>(
        &self,
        pace: Pace,
        on_event: impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let state = self.lock();
        state.may_receive(pace)?;
        let (mut state, output) = self.receive_with(state, pace, on_event);
        match output {
            Some(output) => Ok(Some(output)),
            None => state.report_end().map(|()| None),
        }
    }

    /// Receives and discards all that comes until the connection is over.
    pub(super) fn drain(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.discard();
        let (mut state, _) = self.receive_with(state, Pace::Any, discarded);
        state.report_discarded_end()
    }

    fn receive_with<'s, B>(
        &'s self,
        mut state: Locked<'s, S>,
        pace: Pace,
        on_event: impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> (Locked<'s, S>, Option<B>) {
        state.reader = ReaderIs::Receiving;
        let (mut state, output) = self.drive(state, Some(pace), on_event);
        state.reader = ReaderIs::Away;
        self.wake(&state); // a closer reads on
        (state, output)
    }

    /// Starts the closing handshake, and writes what the stream takes at once.
    pub(super) fn start_close(&self, frame: &Option<CloseFrame>) {
        let mut state = self.lock();
        if state.start_close(frame) {
            self.timers(&mut state); // the deadline runs from now
            self.wake(&state);
            drop(self.delivered(state));
        }
    }

    /// Starts the closing handshake and sees it to its end.
    pub(super) fn close(&self, frame: &Option<CloseFrame>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.start_close(frame) {
            self.timers(&mut state); // the deadline runs from now
            self.wake(&state);
        }
        let (state, _) = self.drive(state, None, discarded);
        state.end().unwrap_or(Ok(()))
    }

    /// Moves bytes and waits until `on_event` breaks; nothing once the connection is over. It is the
    /// reader that comes with a pace. Others want to see the end: what comes is for the reader if
    /// there is one.
    fn drive<'s, B>(
        &'s self,
        mut state: Locked<'s, S>,
        pace: Option<Pace>,
        mut on_event: impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> (Locked<'s, S>, Option<B>) {
        if state.input.is_empty() {
            state.drained = false;
        }
        loop {
            let mine = pace.is_some() || state.reader != ReaderIs::Receiving;
            if let Some(pace) = pace {
                if let Some(output) = state.session.deliver(pace, &mut on_event) {
                    return (self.delivered(state), Some(output));
                }
            } else if state.reader == ReaderIs::Away {
                state.session.receive_ahead();
            } else if mine {
                state.take_control(); // all of it, as the reader is gone
            }
            let Some(reads) = self.end(&mut state) else { return (state, None) };
            if !state.connection.is_open() {
                self.wake(&state); // nobody needs to wait for room
            }
            let queued = state.connection.has_output();
            // A stream that takes nothing now does not keep us from reading.
            let retry = state.retry.is_none_or(|retry| self.now() >= retry);
            if queued && retry && state.writing.is_some() {
                (state, _) = self.write(state, PATIENCE);
                self.wake(&state);
                continue;
            }
            if queued {
                state.owed = state.connection.send_buffer().total_queued();
            }
            let due = state.connection.poll_timeout();
            // Something began whose time is to be noted before a call waits; or reads never wait.
            // While the connection is open what has arrived is read before a deadline counts.
            if state.connection.wants_time() || state.drained {
                state.drained = false;
                self.timers(&mut state);
                continue;
            }
            let again = queued.then(|| self.now() + SLICE);
            let until = [due, again].into_iter().flatten().min();
            let waited = if mine && reads && state.reading.is_some() {
                let pending;
                (state, pending) = self.fill(state, until);
                // Once it is closing, what may come for ever does not keep a deadline from counting.
                state.drained |= !state.connection.is_open();
                pending
            } else {
                state = self.wait_to_receive(state, until);
                true
            };
            if waited {
                state.drained = false;
                self.timers(&mut state);
            }
        }
    }

    /// The last event may be the last that the caller wants: what is urgent is done before.
    fn delivered<'s>(&'s self, mut state: Locked<'s, S>) -> Locked<'s, S> {
        if !state.connection.is_open() {
            let mut moves = state.writing.is_some();
            state.owed = state.connection.send_buffer().total_queued();
            while moves && state.connection.has_output() {
                (state, moves) = self.write(state, PATIENCE);
            }
            self.end(&mut state);
            self.wake(&state);
        } else if state.drained || state.connection.has_pong() {
            state.drained = false;
            // Whatever it finds shows in the next call: the message must not be lost.
            self.timers(&mut state);
        }
        state
    }
}
