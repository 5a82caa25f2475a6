//! What the halves of a connection share: one state behind a lock, and the two directions of the
//! stream, each of which one thread at a time takes out of it for a call.
//!
//! No call on the stream that may wait is made under the lock. Whoever has changed what others may
//! wait for [wakes](Monitor::wake) them before it lets go of the lock.

use super::monitor_state::{MonitorState, ReaderIs};
use crate::{
    Time,
    blocking::{
        Duplex,
        duplex::{join_stream, split_stream},
        stream::BlockingIo,
    },
    io::{Driver, Ending, Opened, WriteQueue},
};
use alloc::sync::Arc;
use core::time::Duration;
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::Thread,
    time::Instant,
};

/// How long a write may wait before it is seen what else there is to do, and how often a writer
/// looks at what has arrived when nobody reads.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// How long a reader may wait in a write: it is there to receive.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);

pub(super) type Locked<'s, S> = MutexGuard<'s, MonitorState<S>>;

/// What the halves share.
pub(super) struct Monitor<S> {
    pub(super) stream: Arc<S>,
    pub(super) opened: Opened,
    epoch: Instant,
    state: Mutex<MonitorState<S>>,
    /// For who waits to read, and who closes.
    received: Condvar,
    /// Who waits to send. Its lock is taken inside that of the state.
    senders: Mutex<WriteQueue<Thread>>,
}

impl<S: Duplex> Monitor<S> {
    pub(super) fn new(driver: Driver<BlockingIo<S>>, opened: Opened) -> Self {
        let (io, session) = driver.into_session();
        let epoch = io.epoch();
        let (stream, reading, writing) = split_stream(io);
        // The first writer goes on with what was begun before there were halves.
        let fragments = session.connection.is_in_fragments().then_some(0);
        let state = MonitorState {
            reading: Some(reading),
            writing: Some(writing),
            owed: 0,
            retry: None,
            reader: ReaderIs::Away,
            drained: false,
            looked: None,
            waiting_to_receive: 0,
            waiting_to_send: 0,
            session,
        };
        let (state, received) = (Mutex::new(state), Condvar::new());
        let senders = Mutex::new(WriteQueue::new(1, fragments));
        Self { stream, opened, epoch, state, received, senders }
    }

    /// The way back, once nobody else has the stream.
    pub(super) fn into_driver(self) -> Option<Driver<BlockingIo<S>>> {
        let Self { stream, epoch, state, .. } = self;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let MonitorState { session, reading, writing, .. } = state;
        Some(Driver::resume(join_stream(stream, epoch, reading, writing)?, session))
    }

    pub(super) fn lock(&self) -> Locked<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Time {
        Time::since_epoch(self.epoch.elapsed())
    }

    /// Something has changed that others may wait for.
    pub(super) fn wake(&self, state: &MonitorState<S>) {
        self.wake_receivers(state);
        if state.waiting_to_send > 0 {
            self.wake_senders(state, state.writing.is_some());
        }
    }

    pub(super) fn wake_receivers(&self, state: &MonitorState<S>) {
        if state.waiting_to_receive > 0 {
            self.received.notify_all();
        }
    }

    pub(super) fn senders(&self) -> MutexGuard<'_, WriteQueue<Thread>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
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
                let left = until.saturating_since(self.now());
                let left = left.saturating_add(Duration::from_millis(1));
                let waited = self.received.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.received.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.waiting_to_receive -= 1;
        state
    }

    /// Does what is due.
    pub(super) fn timers(&self, state: &mut MonitorState<S>) {
        let Some(due) = state.connection.poll_timeout() else { return };
        let now = self.now();
        if due <= now {
            let unread = state.holds_data();
            state.session.handle_timeout(now, unread);
            self.wake(state);
        }
    }

    /// Does what the end asks of the stream, if it has begun: whether to read; `None` once the
    /// connection is over.
    pub(super) fn end(&self, state: &mut MonitorState<S>) -> Option<bool> {
        if state.connection.is_open() {
            return Some(state.input.is_empty());
        }
        let first = !state.over;
        loop {
            match state.session.ending() {
                Ending::Wait { reads } => return Some(reads),
                Ending::ShutDown => state.session.shut_down(self.stream.shutdown_write()),
                Ending::Over { hangs_up } => {
                    if first {
                        self.hang_up(state, hangs_up);
                    }
                    return None;
                }
            }
        }
    }

    /// The connection is over. Whoever is in a call on the stream comes back.
    #[cold]
    fn hang_up(&self, state: &MonitorState<S>, hangs_up: bool) {
        if state.reading.is_none() || state.writing.is_none() {
            let _ = self.stream.shutdown_both();
        } else if hangs_up {
            let _ = self.stream.shutdown_write();
        }
        self.wake(state);
    }
}
