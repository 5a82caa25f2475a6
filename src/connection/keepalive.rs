//! Silence and what is done about it: pings with a matched pong deadline, the idle timeout.
//!
//! ```text
//! Watching ──silent for the interval──→ Queued ──written──→ Waiting ──its pong──→ Answered ──→ Watching
//!                                          │ no byte of the backlog taken │ deadline
//!                                          └───────────→ failed ←─────────┘
//! ```
//!
//! "Written" and "Answered" are noted when the next look at the clock comes, for which both ask at
//! once. What lies between the two looks is the time of a round trip.

use super::{Keepalive, Outbox, Time};
use core::time::Duration;

/// How long nothing has happened, known to a quarter of the limit without a clock read per event:
/// an event sets a flag, and a look at the clock every quarter of the limit turns the flag into a
/// time.
struct Silence {
    active: bool,
    /// Nothing happened after this, as far as the last look could tell.
    since: Time,
    /// When to look next.
    look: Time,
}

impl Silence {
    fn new() -> Self {
        Self { active: true, since: Time::EPOCH, look: Time::EPOCH }
    }

    #[inline]
    fn interrupt(&mut self) {
        self.active = true;
    }

    fn deadline(&self) -> Time {
        self.look
    }

    /// Whether it has been silent for `limit`.
    fn lasted(&mut self, limit: Duration, now: Time) -> bool {
        if now < self.look {
            return false;
        }
        if self.active {
            (self.active, self.since) = (false, now);
        }
        let end = self.since + limit;
        self.look = (now + limit / 4).min(end);
        now >= end
    }
}

/// How long no part of a message was sent or received.
pub(super) struct Idle {
    silence: Silence,
    progress: u64,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { silence: Silence::new(), progress: 0 }
    }

    pub(super) fn deadline(&self) -> Time {
        self.silence.deadline()
    }

    /// Whether that is `limit`, when `progress` is a number that grows with every such part.
    pub(super) fn lasted(&mut self, limit: Duration, now: Time, progress: u64) -> bool {
        if self.progress != progress {
            self.progress = progress;
            self.silence.interrupt();
        }
        self.silence.lasted(limit, now)
    }
}

/// Keepalive.
pub(super) struct Pinger {
    state: State,
    /// How long the newest answer took of which that is known.
    round_trip: Option<Duration>,
    /// The payload of the last ping.
    id: u64,
}

enum State {
    Watching(Silence),
    /// A ping waits in the outbox, up to byte `end` of all that is ever queued.
    Queued {
        end: u64,
        /// How much was written at the last look.
        written: u64,
        /// When to look next whether more was written.
        look: Time,
    },
    /// A ping was written.
    Waiting {
        /// When that was seen.
        since: Time,
        /// How much was written at the last look.
        written: u64,
        /// How far the frame was then that is coming in, if one is: no pong can be inside it.
        frame: Option<u64>,
        deadline: Time,
    },
    /// Its pong came; when is to be noted.
    Answered {
        /// When the ping was written.
        since: Time,
    },
}

/// What is to be done now.
pub(super) enum Due {
    Nothing,
    /// A ping with this payload; call [`Pinger::queued`] once it is queued.
    Ping([u8; 8]),
    /// The peer is dead.
    Failed,
}

impl Pinger {
    pub(super) fn new() -> Self {
        Self { state: State::Watching(Silence::new()), round_trip: None, id: 0 }
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether a pong came whose time is to be noted.
    #[cfg(feature = "std")]
    #[inline]
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered { .. })
    }

    /// Something came from the peer.
    #[inline]
    pub(super) fn interrupt(&mut self) {
        if let State::Watching(silence) = &mut self.state {
            silence.interrupt();
        }
    }

    /// A pong came. Only the newest ping's counts (RFC 6455 §5.5.3).
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if payload != self.id.to_be_bytes() {
            return;
        }
        self.state = match self.state {
            State::Waiting { since, .. } => State::Answered { since },
            // Nobody had the time to say when the ping was written.
            State::Queued { .. } => State::Watching(Silence::new()),
            State::Watching(_) | State::Answered { .. } => return,
        };
    }

    pub(super) fn deadline(&self, outbox: &Outbox) -> Time {
        match &self.state {
            State::Watching(silence) => silence.deadline(),
            State::Queued { end, .. } if outbox.total_written() >= *end => Time::EPOCH,
            State::Queued { look, .. } => *look,
            State::Waiting { deadline, .. } => *deadline,
            State::Answered { .. } => Time::EPOCH,
        }
    }

    /// `frame` is a number that grows as a data frame comes in, if one does.
    pub(super) fn due(
        &mut self,
        settings: Keepalive,
        now: Time,
        outbox: &Outbox,
        frame: Option<u64>,
    ) -> Due {
        let Keepalive { interval, pong_timeout } = settings;
        let taken = outbox.total_written();
        if let State::Answered { since } = self.state {
            self.round_trip = Some(now.saturating_since(since));
            self.state = State::Watching(Silence::new());
        }
        match &mut self.state {
            State::Watching(silence) => {
                if silence.lasted(interval, now) {
                    self.id += 1;
                    return Due::Ping(self.id.to_be_bytes());
                }
            }
            State::Queued { end, .. } if taken >= *end => {
                let deadline = now + pong_timeout;
                self.state = State::Waiting { since: now, written: taken, frame, deadline };
            }
            State::Queued { written, look, .. } => {
                if now >= *look {
                    if taken == *written {
                        return Due::Failed;
                    }
                    (*written, *look) = (taken, now + pong_timeout);
                }
            }
            State::Waiting { written, frame: before, deadline, .. } => {
                if now >= *deadline {
                    // A peer that still takes what we wait with, or that is in the middle of a
                    // frame which still grows, is slow but alive.
                    let takes = !outbox.is_drained() && taken != *written;
                    let gives = frame.is_some() && frame != *before;
                    if !takes && !gives {
                        return Due::Failed;
                    }
                    (*written, *before, *deadline) = (taken, frame, now + pong_timeout);
                }
            }
            State::Answered { .. } => {} // not any more
        }
        Due::Nothing
    }

    /// The ping that was due is the last thing in the outbox.
    pub(super) fn queued(&mut self, settings: Keepalive, now: Time, outbox: &Outbox) {
        let look = now + settings.pong_timeout;
        let (end, written) = (outbox.total_queued(), outbox.total_written());
        self.state = State::Queued { end, written, look };
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    /// An adapter looks at the clock at once if a pong came, and not for each read.
    #[test]
    fn an_answer_is_to_be_noted_once() {
        let (mut pinger, mut outbox) = (Pinger::new(), Outbox::default());
        let settings = Keepalive::every(Duration::from_secs(100));
        let at = |seconds| Time::since_epoch(Duration::from_secs(seconds));
        assert!(matches!(pinger.due(settings, at(0), &outbox, None), Due::Nothing));
        let Due::Ping(id) = pinger.due(settings, at(100), &outbox, None) else { panic!() };
        outbox.push_pong(None, &id); // any frame will do
        pinger.queued(settings, at(100), &outbox);
        outbox.advance(outbox.len());
        assert!(matches!(pinger.due(settings, at(101), &outbox, None), Due::Nothing));
        assert!(!pinger.is_answered());
        pinger.pong(&id);
        assert!(pinger.is_answered());
        assert_eq!(pinger.deadline(&outbox), Time::EPOCH);
        assert!(matches!(pinger.due(settings, at(103), &outbox, None), Due::Nothing));
        assert!(!pinger.is_answered());
        assert_eq!(pinger.round_trip(), Some(Duration::from_secs(2)));
    }
}
