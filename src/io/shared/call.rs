//! Calls that send.

use super::{super::write_queue::Place, ReaderState, Shared, Woken};
use crate::io::{Driver, Error, Io, driver::Leftover};
use core::task::{Context, Poll};

/// What is queued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    Message,
    Control,
}

/// When it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Always,
    /// As [`FlushPolicy`](crate::FlushPolicy) says.
    Policy,
}

/// A call that sends, from one poll to the next.
#[derive(Default)]
pub(crate) struct Call {
    /// Whose call it is.
    pub(crate) handle: u64,
    /// Where it waits.
    pub(super) place: Place,
    /// Up to where it flushes, of all bytes that are ever queued, once that is known.
    pub(crate) flushes: Option<Option<u64>>,
    /// Whether others wait for a message that it has not begun yet.
    pub(super) reserves: bool,
}

impl Call {
    pub(crate) fn of(handle: u64) -> Self {
        Self { handle, ..Self::default() }
    }
}

/// A call that may be dropped at any time.
pub(crate) struct PendingCall<'s, T: Io> {
    pub(crate) shared: &'s Shared<T>,
    pub(crate) call: Call,
}

impl<'s, T: Io> PendingCall<'s, T> {
    pub(crate) fn new(shared: &'s Shared<T>, handle: u64) -> Self {
        Self { shared, call: Call::of(handle) }
    }
}

impl<T: Io> Drop for PendingCall<'_, T> {
    fn drop(&mut self) {
        let Self { shared, call } = self;
        if !call.place.is_taken() && !call.reserves {
            return;
        }
        let mut woken = Woken::default();
        let mut state = shared.state();
        let reserved = call.reserves;
        state.give_back(&shared.waiters, call);
        let queued = reserved && state.queue_held(&shared.waiters, &mut woken);
        let mut waiting = shared.waiters.lock();
        waiting.queue.leave(&mut call.place);
        // What looked after the connection is gone: another one does.
        waiting.queue.wake_some(1, &mut woken.0);
        drop(waiting);
        shared.tell(state, woken, queued); // it may have been its turn
    }
}

/// Reads for a half that does not receive at the moment, as far as that is no loss to it.
pub(super) fn serve<T: Io>(
    reader: ReaderState,
    driver: &mut Driver<T>,
    cx: &mut Context<'_>,
) -> Result<(), Error> {
    match reader {
        ReaderState::Gone => match driver.poll_over(cx, Leftover::Discarded) {
            Poll::Ready(result) => return result,
            Poll::Pending => return Ok(()),
        },
        ReaderState::Waiting => {}
        ReaderState::Woken | ReaderState::Idle => {
            driver.poll_control(cx)?;
            driver.poll_write_some(cx)?;
        }
    }
    driver.poll_stamp(cx)
}
