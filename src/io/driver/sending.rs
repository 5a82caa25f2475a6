//! What sends: queueing, waiting for room, writing what is queued.

use super::{Caller, CoopBudget, Driver};
use crate::{
    Error, Time, Transport,
    io::{Io, Session},
};
use core::task::{Context, Poll, ready};

/// How often a call that sends reads at most.
pub(super) const MAX_READS: usize = 16;

impl<T: Io> Driver<T> {
    /// Ready when all that is queued was written and the stream is flushed.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_until(cx, |_, _| false)
    }

    /// Ready when a message would be accepted.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.turn_of_sends_is_over(cx) {
            return Poll::Pending;
        }
        if !self.connection.is_open() {
            self.wakers.sent();
            return Poll::Ready(Err(self.refusal()));
        }
        self.poll_until(cx, |driver, _| driver.connection.is_ready())
    }

    /// Whether it is for others to go on before this sends.
    #[inline(always)]
    pub(crate) fn turn_of_sends_is_over(&mut self, cx: &Context<'_>) -> bool {
        !T::WAITS && CoopBudget::is_spent(&mut self.budget.sends, cx)
    }

    /// Whether one more message may be sent before others have their turn: otherwise `poll_ready`
    /// gives it to them.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    #[inline(always)]
    pub(crate) fn has_turn(&mut self) -> bool {
        let has_turn = self.budget.sends < CoopBudget::STEPS;
        self.budget.sends += u8::from(has_turn);
        has_turn
    }

    /// Ready when a ping or a pong would be accepted.
    pub(crate) fn poll_ready_for_control(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if self.turn_of_sends_is_over(cx) {
            return Poll::Pending;
        }
        if !self.connection.takes_control() {
            self.wakers.sent();
            return Poll::Ready(Err(self.refusal()));
        }
        self.poll_until(cx, |driver, _| driver.connection.is_under_mark())
    }

    /// Writes until `enough`, or until nothing is left. Deadlines run while the peer takes
    /// nothing.
    pub(super) fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        mut enough: impl FnMut(&mut Self, &mut Context<'_>) -> bool,
    ) -> Poll<Result<(), Error>> {
        let result = self.poll_written(cx, &mut enough);
        if result.is_ready() {
            self.wakers.sent();
            return result;
        }
        self.budget.sends = 0;
        self.wakers.keep(Caller::Sending, cx);
        match self.wakers.joint(Caller::Sending, cx) {
            Some(joint) => self.poll_written(&mut Context::from_waker(&joint), &mut enough),
            None => result,
        }
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        enough: &mut impl FnMut(&mut Self, &mut Context<'_>) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            if enough(self, cx) {
                return Poll::Ready(Ok(()));
            }
            // A write that waits by itself is not even begun.
            if let (true, Some(error)) = (T::WAITS, self.session.timed_out()) {
                return Poll::Ready(Err(error));
            }
            let written = self.poll_write(cx)?;
            if written.is_ready() && self.connection.is_open() {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = self.session.failure(self.wakers.elsewhere) {
                return Poll::Ready(Err(error));
            }
            if written.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if enough(self, cx) || self.poll_timers_unread(cx)?.is_ready() {
                continue;
            }
            return Poll::Pending;
        }
    }

    /// As `poll_timers`, for a call that does not receive: what has arrived is looked at before the
    /// peer is given up, as far as nobody else does that.
    fn poll_timers_unread(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(deadline) = self.connection.poll_timeout() else { return Poll::Pending };
        let now = ready!(self.io.poll_deadline(cx, deadline))?;
        if !self.wakers.elsewhere && self.connection.is_last_call(now) {
            self.glance(cx);
        }
        let waits = !self.input.is_empty() || self.connection.is_in_data();
        let unread = waits && !self.received_elsewhere;
        self.session.handle_timeout(now, unread);
        Poll::Ready(Ok(()))
    }

    /// Reads into the buffer if it is empty, without waiting, and takes control frames from it.
    #[cold]
    fn glance(&mut self, cx: &mut Context<'_>) {
        if !self.io.reads_at_once() {
            return;
        }
        let joint = self.wakers.joint(Caller::Sending, cx);
        let cx = &mut Context::from_waker(joint.as_ref().unwrap_or(cx.waker()));
        for _ in 0..MAX_READS {
            self.session.take_control(false);
            if !self.input.is_empty()
                || !matches!(self.connection.poll_transport(), Transport::Open)
            {
                return;
            }
            let Self { session: Session { input, .. }, io, .. } = self;
            match input.fill(|buffer| io.poll_read(cx, buffer, Some(Time::EPOCH))) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(end) => {
                    // That it would block was to be expected.
                    let _ = self.stopped(cx, end.map(|_| ()));
                    return;
                }
                Poll::Pending => return,
            }
            self.session.take_control(false);
            if !self.input.is_empty() {
                self.connection.has_come();
            }
        }
    }
}
