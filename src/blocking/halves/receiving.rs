//! The loop that receives, for a reader and for whoever closes.

use super::{
    shared::{Locked, PATIENCE, SLICE, Shared},
    state::{ReaderIs, State},
};
use crate::{
    CloseFrame, Event, Time, Transport,
    blocking::Duplex,
    io::{Error, outcome},
};
use core::{ops::ControlFlow, time::Duration};

/// How long a message waits for a reader that is not in a call, before whoever closes discards it
/// and all that follows.
const GRACE: Duration = Duration::from_millis(500);

/// Who drives the connection to its next event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Reader,
    /// Somebody who wants to see its end. What comes is for the reader if there is one, as long as
    /// it comes back for it.
    Closer,
}

impl<S: Duplex> Shared<S> {
    /// Hands events to `on_event` until it breaks or the connection is over.
    pub(super) fn receive<B>(
        &self,
        chunks: bool,
        on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let state = self.lock();
        if !chunks && state.connection.is_in_chunks() {
            return Err(Error::Unfinished);
        }
        let (mut state, output) = self.receive_with(state, chunks, on_event);
        match output {
            Some(output) => Ok(Some(output)),
            None => state.report_end().map(|()| None),
        }
    }

    /// Receives and discards all that comes until the connection is over.
    pub(super) fn drain(&self) -> Result<(), Error> {
        let discard = |_: Event<'_>| ControlFlow::<()>::Continue(());
        let mut state = self.lock();
        state.connection.discard_messages();
        let (mut state, _) = self.receive_with(state, false, discard);
        let state = &mut *state;
        state.end.report(state.connection.closed())
    }

    fn receive_with<'s, B>(
        &'s self,
        mut state: Locked<'s, S>,
        chunks: bool,
        on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> (Locked<'s, S>, Option<B>) {
        (state.reader, state.chunks, state.grace) = (ReaderIs::Receiving, chunks, None);
        let (mut state, output) = self.drive(state, Who::Reader, on_event);
        state.reader = ReaderIs::Away;
        self.wake(&state); // a closer reads on
        (state, output)
    }

    /// Starts the closing handshake, and writes what the stream takes at once.
    pub(super) fn start_close(&self, frame: CloseFrame) {
        let mut state = self.lock();
        if state.connection.is_open() {
            state.connection.close(Some(frame));
            self.timers(&mut state); // the deadline runs from now
            self.wake(&state);
            drop(self.delivered(state));
        }
    }

    /// Starts the closing handshake and sees it to its end.
    pub(super) fn close(&self, frame: CloseFrame) -> Result<(), Error> {
        let mut state = self.lock();
        if state.connection.is_open() {
            state.connection.close(Some(frame));
            self.timers(&mut state); // the deadline runs from now
            self.wake(&state);
        }
        let discard = |_: Event<'_>| ControlFlow::<()>::Continue(());
        let (state, _) = self.drive(state, Who::Closer, discard);
        outcome(state.connection.closed(), state.end.broken_by())
    }

    /// Moves bytes and waits until `on_event` breaks; nothing once the connection is over.
    fn drive<'s, B>(
        &'s self,
        mut state: Locked<'s, S>,
        who: Who,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> (Locked<'s, S>, Option<B>) {
        if state.input.is_empty() {
            state.drained = false;
        }
        loop {
            let mine = who == Who::Reader || state.reader != ReaderIs::Receiving;
            let later = if who == Who::Closer { self.grace(&mut state) } else { None };
            if mine && later.is_none() {
                let chunks = state.chunks || state.connection.is_in_chunks();
                if who == Who::Closer && (state.reader == ReaderIs::Gone || state.holds_data()) {
                    state.connection.discard_messages(); // what comes was left lying
                }
                let mut output = None;
                if who == Who::Reader {
                    output = state.hand_over(&mut on_event);
                }
                output = output.or_else(|| state.deliver(chunks, &mut on_event));
                if let Some(output) = output {
                    return (self.delivered(state), Some(output));
                }
            }
            if self.end(&mut state) {
                return (state, None);
            }
            if !state.connection.is_open() {
                self.wake(&state); // nobody needs to wait for room
            }
            let queued = state.connection.has_output();
            // A stream that takes nothing now does not keep us from reading.
            let retry = state.retry == Time::EPOCH || self.now() >= state.retry;
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
            let until = [due, again, later].into_iter().flatten().min();
            let reads = match state.connection.transport() {
                Transport::Open => state.input.is_empty(),
                Transport::AwaitEof => true,
                _ => false,
            };
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

    /// Until when what has come is left to a reader that is not in a call.
    fn grace(&self, state: &mut State<S>) -> Option<Time> {
        if state.reader != ReaderIs::Away {
            return None;
        }
        state.digest();
        if !state.holds_data() {
            return None;
        }
        let now = self.now();
        let end = *state.grace.get_or_insert(now + GRACE);
        (now < end).then_some(end)
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
        } else if state.drained && state.input.is_empty() {
            state.drained = false;
            // Whatever it finds shows in the next call: the message must not be lost.
            self.timers(&mut state);
        }
        state
    }
}
