//! Deadlines.

use super::{
    Closed, Connection, Time, TimeoutError,
    close::State,
    keepalive::{Due, Idle},
};
use crate::frame::CloseFrame;

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, at the latest. It may
    /// change with every other call. [`Time::EPOCH`] means at once: something has begun whose
    /// time is to be noted.
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Open => {
                let ping = self.pinger.as_ref().map(|pinger| pinger.deadline(&self.outbox));
                let idle = self.idle.as_ref().map(Idle::deadline);
                [ping, idle].into_iter().flatten().min()
            }
            state => state.deadline(),
        }
    }

    /// Does what is due at `now`: queues a keepalive ping, or gives a deadline up. Calling it too
    /// early is harmless. Read what is there before, so that a pong that has arrived counts.
    ///
    /// # Errors
    /// [`TimeoutError`], once, when the peer is given up; [`transport`](Self::transport) says how
    /// to go on.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), TimeoutError> {
        if !matches!(self.state, State::Open) {
            let timeout = self.config.close_timeout;
            let result = self.state.handle_timeout(now, timeout, &mut self.outbox);
            self.settle();
            return result;
        }
        if let (Some(idle), Some(limit)) = (&mut self.idle, self.config.idle_timeout) {
            let progress = self.receiver.progress() + self.outbox.progress();
            if idle.lasted(limit, now, progress) {
                return Err(self.time_out(TimeoutError::Idle, now));
            }
        }
        if let Some(pinger) = &mut self.pinger {
            match pinger.due(now, &self.outbox, self.receiver.frame_progress()) {
                Due::Nothing => {}
                Due::Ping(payload) => {
                    self.push_ping(&payload);
                    if let Some(pinger) = &mut self.pinger {
                        pinger.queued(now, &self.outbox);
                    }
                }
                Due::Failed => return Err(self.time_out(TimeoutError::Pong, now)),
            }
        }
        Ok(())
    }

    #[cold]
    fn time_out(&mut self, error: TimeoutError, now: Time) -> TimeoutError {
        use crate::CloseCode;
        let (code, reason) = match error {
            TimeoutError::Idle => (CloseCode::GOING_AWAY, "idle timeout"),
            _ => (CloseCode::INTERNAL_ERROR, "ping timeout"),
        };
        self.push_close(CloseFrame::new(code, reason).ok());
        self.state.fail(Closed::TimedOut(error));
        let started = self.state.handle_timeout(now, self.config.close_timeout, &mut self.outbox);
        debug_assert!(started.is_ok(), "only LocalClosing can time out here");
        self.settle();
        error
    }
}
