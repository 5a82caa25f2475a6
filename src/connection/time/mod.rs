//! Deadlines.

mod keepalive;
pub(super) mod last_call;
mod path;
pub(super) mod point;

pub(super) use keepalive::{Idle, Pinger};
pub use point::Time;

use super::{Closed, Connection, TimeoutError, close::Phase};
use crate::frame::CloseFrame;
use core::time::Duration;
use keepalive::{Action, Look};
use point::Due;

impl Connection {
    /// The time at which you have to call [`handle_timeout`](Self::handle_timeout) at the latest. It may
    /// change with every other call. While the core [wants the time](Self::wants_time), this is a time
    /// that is past on every clock.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.due().map(|due| match due {
            Due::Now => Time::EPOCH,
            Due::At(time) => time,
        })
    }

    /// Whether you have to call [`handle_timeout`](Self::handle_timeout) at once, before you wait.
    /// Something has begun or ended, and the core does not know when: a later call would make its
    /// measurement start too late.
    pub fn wants_time(&self) -> bool {
        self.due() == Some(Due::Now)
    }

    fn due(&self) -> Option<Due> {
        match &self.state {
            Phase::Open => {
                let ping = self.pinger.as_ref().map(|pinger| pinger.deadline(&self.outbox));
                let idle = self.idle.as_ref().map(|idle| idle.deadline());
                [ping, idle].into_iter().flatten().min()
            }
            state => state.deadline(),
        }
    }

    /// Handles the deadlines that have passed at `now`: queues a keepalive ping, or gives the peer up.
    /// Calling it too early is harmless.
    ///
    /// Read all input first, so that a pong that has arrived counts. A peer is given up only in the second
    /// of two calls: one is due a little before the deadline, the other at it. If the first comes late,
    /// because the process did not run, the second is due a little later. So input that arrived
    /// meanwhile is read before the peer is given up.
    ///
    /// # Errors
    /// [`TimeoutError`], once, if the peer is given up; [`transport`](Self::transport) says how to go on.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), TimeoutError> {
        self.look(now, false)
    }

    /// As [`handle_timeout`](Self::handle_timeout). `unread` says that input has come which cannot be
    /// received for now, so that nothing after it can be read.
    pub(crate) fn look(&mut self, now: Time, unread: bool) -> Result<(), TimeoutError> {
        if !matches!(self.state, Phase::Open) {
            let timeout = self.config.close_timeout;
            let result = self.state.handle_timeout(now, timeout, &mut self.outbox);
            self.settle();
            return result;
        }
        if let (Some(idle), Some(limit)) = (&mut self.idle, self.config.idle_timeout) {
            let progress = self.receiver.progress() + self.outbox.progress();
            if idle.has_lasted(limit, now, progress) {
                return Err(self.time_out(TimeoutError::Idle, now));
            }
        }
        // A pinger is there only if keepalive was configured or is the adapter's default.
        let settings = self.config.keepalive_or(None).unwrap_or_default();
        let came = self.receiver.bytes();
        if let Some(pinger) = &mut self.pinger {
            let look = Look { settings, now, outbox: &self.outbox, came, unread };
            match pinger.due(&look) {
                Action::Nothing => {}
                Action::Ping(payload) => {
                    self.push_ping(&payload);
                    if let Some(pinger) = &mut self.pinger {
                        pinger.queued(settings, now, &self.outbox);
                    }
                }
                Action::Failed => return Err(self.time_out(TimeoutError::Pong, now)),
            }
        }
        Ok(())
    }

    /// Whether a call at `now` may give the peer up, unless input has come.
    #[cfg(feature = "std")]
    pub(crate) fn is_last_call(&self, now: Time) -> bool {
        let silent = self.pinger.as_ref().is_some_and(|pinger| pinger.is_due(now));
        self.is_open() && (silent || self.idle.as_ref().is_some_and(|idle| idle.is_due(now)))
    }

    /// Input has come that is not received yet: the peer is alive. It counts as a part of a message,
    /// whatever it is.
    #[cfg(feature = "std")]
    pub(crate) fn has_come(&mut self) {
        if let Some(pinger) = &mut self.pinger {
            pinger.interrupt();
        }
        if let Some(idle) = &mut self.idle {
            idle.interrupt();
        }
    }

    /// Times come from another clock from now on: every deadline starts again.
    #[cfg(feature = "std")]
    pub(crate) fn restart_clock(&mut self) {
        if let Some(pinger) = &mut self.pinger {
            pinger.restart();
        }
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
        self.state.restart_clock();
    }

    /// The time between the newest answered keepalive ping and its pong; `None` before the first.
    ///
    /// It runs from the [`handle_timeout`](Self::handle_timeout) call that finds the ping written to the
    /// call after its pong. [`poll_timeout`](Self::poll_timeout) asks for both calls at once. If the pong
    /// waits because you are busy, or because you handle messages before it first, the delay is
    /// included. A ping is not measured if no call came between its writing and its pong.
    ///
    /// This measures only pings of [keepalive](crate::Keepalive). The payload of your own
    /// [`ping`](Self::ping) can carry a time.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, Input, Keepalive, Time};
    /// use core::time::Duration;
    ///
    /// let second = Duration::from_secs(1);
    /// let at = |millis| Time::since_epoch(Duration::from_millis(millis));
    /// let config = Config::default().keepalive(Keepalive::every(second));
    /// let mut server = Connection::server(config);
    /// server.handle_timeout(at(0))?;
    /// server.handle_timeout(at(1000))?;
    /// let ping = server.outbox().chunk().to_vec();
    /// server.outbox().advance(ping.len());
    /// server.handle_timeout(at(1001))?; // it is written
    ///
    /// let mut pong = [&[0x8a, 0x88, 0, 0, 0, 0], &ping[2..]].concat();
    /// server.receive(&mut Input::new(&mut pong))?;
    /// server.handle_timeout(at(1031))?;
    /// assert_eq!(server.round_trip(), Some(Duration::from_millis(30)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn round_trip(&self) -> Option<Duration> {
        self.pinger.as_ref().and_then(|pinger| pinger.round_trip())
    }

    /// Whether a pong has come whose time is not noted yet.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn has_pong(&self) -> bool {
        self.pinger.as_ref().is_some_and(|pinger| pinger.is_answered()) && self.is_open()
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

#[cfg(all(test, feature = "std"))]
mod tests {
    use crate::{Config, Connection, Input, Keepalive, Time};
    use core::time::Duration;

    /// For an adapter, which otherwise reads the clock only when a deadline has come.
    #[test]
    fn a_pong_is_to_be_noted_while_the_connection_is_open() {
        let second = Duration::from_secs(1);
        let mut connection =
            Connection::server(Config::default().keepalive(Keepalive::every(second)));
        assert!(!connection.has_pong());
        connection.handle_timeout(Time::EPOCH).unwrap();
        connection.handle_timeout(Time::EPOCH + second).unwrap();
        let ping = connection.outbox().chunk().to_vec();
        connection.outbox().advance(ping.len());
        connection.handle_timeout(Time::EPOCH + second).unwrap();
        assert!(!connection.has_pong());
        let mut pong = [&[0x8a, 0x88, 0, 0, 0, 0], &ping[2..]].concat();
        connection.receive(&mut Input::new(&mut pong)).unwrap();
        assert!(connection.has_pong());
        connection.queue_close(None);
        assert!(!connection.has_pong(), "nobody asks any more");
    }
}
