//! What one half of a connection does while the other one does nothing.

use super::{Caller, Driver, Pace, Read, sending::MAX_READS};
use crate::{
    Error, Event,
    io::{Io, session::PendingEvents},
};
use alloc::boxed::Box;
use core::{
    ops::ControlFlow,
    task::{Context, Poll},
};

/// What becomes of messages that still come while a half that sends drives the connection to its
/// end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// They are kept for the half that receives, as many as make a message of the largest size, and
    /// those behind them discarded.
    Kept,
    /// As many are kept, and those behind them left in the stream.
    Left,
    Discarded,
}

/// Takes out what is kept, to add to it, and puts it back when it is dropped: what was kept is still
/// there when a stream panics.
struct Adding<'d, T: Io> {
    driver: &'d mut Driver<T>,
    pending: Option<Box<PendingEvents>>,
}

impl<T: Io> Drop for Adding<'_, T> {
    fn drop(&mut self) {
        self.driver.session.pending = self.pending.take();
    }
}

impl<T: Io> Driver<T> {
    /// The waker that this is polled with wakes all who wait.
    pub(crate) fn share(&mut self) {
        self.wakers = Default::default();
        self.wakers.elsewhere = true;
    }

    /// One task polls this again, or two that know nothing of each other.
    pub(crate) fn unshare(&mut self) {
        (self.wakers.elsewhere, self.received_elsewhere) = (false, false);
    }

    /// Whether something waits to be written.
    pub(crate) fn waits_to_write(&mut self) -> bool {
        self.connection.has_output()
    }

    /// Ready when the first `bytes` of all that is ever queued were written and flushed, whatever
    /// is queued behind them; `None` is all that is queued when its frames are made.
    pub(crate) fn poll_flush_to(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Option<u64>,
    ) -> Poll<Result<(), Error>> {
        self.poll_until(cx, |driver, cx| {
            if driver.session.is_flushed(bytes) {
                return true;
            }
            let Some(bytes) = *bytes else { return false };
            let outbox = driver.session.connection.send_buffer();
            // The stream takes no more for now, which does not keep it from flushing.
            if outbox.total_written() < bytes || outbox.is_flushed_to(bytes) {
                return false;
            }
            match driver.io.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    outbox.flushed();
                    return true;
                }
                // What the stream has lost it may not say again: it shows in how the connection ends.
                Poll::Ready(Err(error)) => _ = driver.handle_write_failed(cx, error),
                Poll::Pending => {}
            }
            false
        })
    }

    /// Writes what is queued as far as that goes at once, or until others have their turn.
    pub(crate) fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.connection.has_output() {
            let _ = self.poll_write(cx)?;
        }
        Ok(())
    }

    /// As `poll_write_some`, for one who does not come back: until the stream takes no more.
    pub(crate) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.connection.has_output() {
            let _ = self.poll_write_all(cx)?;
        }
        Ok(())
    }

    /// Reads and answers control frames, up to the next data: that is for the half that receives.
    /// Deadlines run if no data is there, in which a pong may be.
    pub(crate) fn poll_control(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        for _ in 0..MAX_READS {
            self.session.take_control(false);
            if self.connection.has_pong() {
                self.poll_stamp(cx)?;
            }
            if !self.input.is_empty() || self.connection.is_in_data() {
                return Ok(());
            }
            if !matches!(self.connection.poll_transport(), crate::Transport::Open) {
                return Ok(()); // what is to be done with the stream is not ours
            }
            if matches!(self.poll_fill(cx)?, Read::Pending) {
                return self.poll_deadlines(cx);
            }
            self.session.take_control(false);
            if !self.input.is_empty() {
                self.connection.has_come(); // it stays there for the half that receives
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Notes the time where something has begun, and lets deadlines pass.
    pub(crate) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while self.poll_timers(cx, false)?.is_ready() {}
        Ok(())
    }

    /// Notes the time if something has begun, and nothing else.
    pub(crate) fn poll_stamp(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.connection.wants_time() {
            let _ = self.poll_timers(cx, false)?;
        }
        Ok(())
    }

    /// Drives the connection to its end, or to where `rest` is left.
    pub(crate) fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        rest: Leftover,
    ) -> Poll<Result<(), Error>> {
        let most = self.connection.config().max_message_size;
        let keep = rest != Leftover::Discarded;
        if !keep {
            self.session.discard();
        }
        let pending = self.session.pending.take();
        let mut adding = Adding { driver: self, pending };
        let Adding { driver, pending } = &mut adding;
        loop {
            let full = pending.as_ref().is_some_and(|pending| pending.is_full(most));
            if rest == Leftover::Left && full {
                return Poll::Pending;
            }
            let chunks = driver.connection.is_in_chunks();
            let pace = if chunks { Pace::Chunks } else { Pace::Any };
            let polled = driver.poll_to_end(cx, (Caller::Sending, pace), |event, connection| {
                let ends = matches!(&event, Event::Chunk(chunk) if chunk.is_last());
                if keep {
                    let most = if rest == Leftover::Left { usize::MAX } else { most };
                    pending.get_or_insert_default().keep(event, most, connection);
                }
                match ends || rest == Leftover::Left {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            match polled {
                Poll::Ready(Ok(Some(()))) => {}
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
