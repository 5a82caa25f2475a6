//! Silence: pings and the wait for a sign of life, and the idle timeout.
//!
//! ```text
//! Watching ──silent for the interval──→ Queued ──the transport has the ping──→ Sent
//!    ↑                                     │                                     │
//!    ├──────────── any byte comes ─────────┴─────────────────────────────────────┤
//!                                          └──── last call, deadline ──→ failed ←─┘
//! ```
//!
//! A wait starts again when a full transport takes more: then the path delivers.
//!
//! Besides, the newest ping is followed until its pong comes, however late. The pong gives a round trip,
//! and says which bytes the path has delivered. Both times, of the transport taking the ping and of the
//! pong, are noted at the next look at the clock, which is due at once.

use super::{
    last_call::LastCall,
    path::Path,
    point::{Due, Time},
};
use crate::{Keepalive, connection::send::SendBuffer};
use core::time::Duration;

/// The time since the last event, known to a quarter of the limit without a clock read per event. A
/// number grows with every event, and a look at the clock every quarter of the limit turns its growth
/// into a time.
struct Silence {
    seen: u64,
    /// Whether there was an event that the number does not count.
    active: bool,
    /// The time of the last look that found an event; `None` before the first.
    since: Option<Time>,
    /// The time of the next look.
    look: Due,
}

impl Silence {
    fn new() -> Self {
        Self { seen: 0, active: true, since: None, look: Due::Now }
    }

    /// The silence begins at the next look.
    #[cfg(feature = "std")]
    fn restart(&mut self) {
        (self.active, self.look) = (true, Due::Now);
    }

    /// Whether there was an event since the last look.
    fn ends(&mut self, limit: Duration, now: Time, events: u64) -> bool {
        let ends = self.active || self.seen != events;
        if ends {
            (self.active, self.seen, self.since) = (false, events, Some(now));
        }
        let next = now + limit / 4;
        let end = self.since.map(|since| since + limit).filter(|end| now < *end);
        self.look = Due::At(end.map_or(next, |end| next.min(end)));
        ends
    }

    fn has_lasted(&self, limit: Duration, now: Time) -> bool {
        self.since.is_some_and(|since| now >= since + limit)
    }
}

/// The time since a part of a message was sent or received.
pub(crate) struct Idle {
    silence: Silence,
    /// `None` before the first look.
    end: Option<LastCall>,
}

impl Idle {
    pub(crate) fn new() -> Self {
        Self { silence: Silence::new(), end: None }
    }

    /// Times come from another clock from now on.
    #[cfg(feature = "std")]
    pub(crate) fn restart(&mut self) {
        self.silence.restart();
    }

    /// A part of a message has come and waits to be received.
    #[cfg(feature = "std")]
    pub(crate) fn interrupt(&mut self) {
        self.silence.active = true;
    }

    pub(crate) fn deadline(&self) -> Due {
        let end = self.end.map(|end| Due::At(end.deadline()));
        end.map_or(self.silence.look, |end| end.min(self.silence.look))
    }

    /// Whether a look at `now` may end the connection.
    #[cfg(feature = "std")]
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.end.is_some_and(|end| now >= end.deadline())
    }

    /// Whether that time has reached `limit`. `progress` is a number that grows with every part.
    pub(crate) fn has_lasted(&mut self, limit: Duration, now: Time, progress: u64) -> bool {
        if self.silence.ends(limit, now, progress) {
            self.end = Some(LastCall::new(now, limit, Duration::ZERO));
        }
        self.end.as_mut().is_some_and(|end| end.has_passed(now))
    }
}

/// Keepalive.
pub(crate) struct Pinger {
    silence: Silence,
    state: PongWait,
    ping: Ping,
    path: Path,
    /// The round trip of the newest answer whose times are known.
    round_trip: Option<Duration>,
}

#[derive(Clone, Copy)]
enum PongWait {
    Watching,
    /// The peer was silent for the interval, and a ping waits in the outbox. The wait runs from the
    /// time at which the transport last took anything.
    Queued(LastCall),
    /// The transport has the ping.
    Sent {
        wait: LastCall,
        /// The bytes that it had taken when the wait began.
        taken: u64,
    },
}

/// The newest ping.
struct Ping {
    /// Its payload.
    id: u64,
    /// Its end, in bytes ever queued.
    end: u64,
    /// The time at which it was queued; before the first ping, that of the first look.
    queued: Option<Time>,
    place: PingState,
}

#[derive(Clone, Copy)]
enum PingState {
    /// There is no ping, or its pong was noted.
    Nowhere,
    /// In the outbox.
    Queued,
    /// With the transport, since this time.
    Sent(Time),
    /// Its pong has come and is not noted yet. The time at which the transport took the ping, if known.
    Answered(Option<Time>),
}

/// The result of a look.
pub(crate) enum Action {
    Nothing,
    /// Queue a ping with this payload, then call [`Pinger::queued`].
    Ping([u8; 8]),
    /// The peer is dead.
    Failed,
}

/// The input of a look.
pub(crate) struct Look<'c> {
    pub(crate) settings: Keepalive,
    pub(crate) now: Time,
    pub(crate) outbox: &'c SendBuffer,
    /// All bytes that ever came.
    pub(crate) came: u64,
    /// Whether input has come that cannot be received for now, so that nothing after it is read.
    pub(crate) unread: bool,
}

/// The wait for a sign of life that begins now.
fn begin(settings: Keepalive, now: Time, path: &Path) -> LastCall {
    LastCall::new(now, settings.pong_timeout, path.allowance(now, settings.slowest_path))
}

impl Pinger {
    pub(crate) fn new() -> Self {
        Self {
            silence: Silence::new(),
            state: PongWait::Watching,
            ping: Ping { id: 0, end: 0, queued: None, place: PingState::Nowhere },
            path: Path::new(),
            round_trip: None,
        }
    }

    /// Times come from another clock from now on.
    #[cfg(feature = "std")]
    pub(crate) fn restart(&mut self) {
        self.silence.restart();
        self.path.restart();
        self.state = PongWait::Watching;
        (self.ping.queued, self.ping.place) = (None, PingState::Nowhere);
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether a pong has come whose time is not noted yet.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.ping.place, PingState::Answered(_))
    }

    /// Input has come and waits to be received.
    #[cfg(feature = "std")]
    pub(crate) fn interrupt(&mut self) {
        self.silence.active = true;
    }

    /// A pong came. Only one for the newest ping counts (RFC 6455 §5.5.3), and only once that is written.
    pub(crate) fn pong(&mut self, payload: &[u8], outbox: &SendBuffer) {
        if payload != self.ping.id.to_be_bytes() {
            return;
        }
        self.ping.place = match self.ping.place {
            PingState::Sent(since) => PingState::Answered(Some(since)),
            // There was no look since it was written.
            PingState::Queued if outbox.total_written() >= self.ping.end => {
                PingState::Answered(None)
            }
            other => other,
        };
    }

    pub(crate) fn deadline(&self, outbox: &SendBuffer) -> Due {
        let look = self.silence.look;
        match (self.ping.place, self.state) {
            (PingState::Answered(_), _) => Due::Now,
            (PingState::Queued, _) if outbox.total_written() >= self.ping.end => Due::Now,
            (_, PongWait::Watching) => look,
            // The wait starts again.
            (_, PongWait::Queued(_)) if outbox.total_written() != self.path.taken() => Due::Now,
            (_, PongWait::Queued(wait) | PongWait::Sent { wait, .. }) => {
                look.min(Due::At(wait.deadline()))
            }
        }
    }

    /// Whether a look at `now` may end the connection.
    #[cfg(feature = "std")]
    pub(crate) fn is_due(&self, now: Time) -> bool {
        match self.state {
            PongWait::Watching => false,
            PongWait::Queued(wait) | PongWait::Sent { wait, .. } => now >= wait.deadline(),
        }
    }

    pub(crate) fn due(&mut self, look: &Look<'_>) -> Action {
        let Look { settings, now, outbox, .. } = *look;
        let Keepalive { interval, slowest_path, .. } = settings;
        let (taken, before) = (outbox.total_written(), self.path.taken());
        // A transport that was full and takes more has delivered something.
        let drained = self.path.was_full() && taken != before;
        let queued = *self.ping.queued.get_or_insert(now);
        self.path.look(now, taken, !outbox.is_drained(), slowest_path);
        match self.ping.place {
            PingState::Answered(since) => {
                if let Some(since) = since {
                    self.round_trip = Some(now.saturating_since(since));
                }
                self.path.delivered(self.ping.end, queued, now);
                self.ping.place = PingState::Nowhere;
            }
            PingState::Queued if taken >= self.ping.end => {
                self.ping.place = PingState::Sent(now);
                if let PongWait::Queued(_) = self.state {
                    self.state = PongWait::Sent { wait: begin(settings, now, &self.path), taken };
                }
            }
            _ => {}
        }
        if self.silence.ends(interval, now, look.came) {
            self.state = PongWait::Watching;
        }
        match &mut self.state {
            PongWait::Watching => return self.watch(look),
            PongWait::Queued(wait) if taken != before => *wait = begin(settings, now, &self.path),
            PongWait::Sent { wait, taken: at_first } if drained => {
                (*wait, *at_first) = (begin(settings, now, &self.path), taken);
            }
            PongWait::Queued(wait) => {
                if wait.has_passed(now) {
                    return Action::Failed;
                }
            }
            PongWait::Sent { wait, taken: at_first } => {
                if wait.has_passed(now) {
                    // The pong may come after the unread input. Then the peer is dead only if it also
                    // takes nothing of the backlog.
                    let stuck = !outbox.is_drained() && taken == *at_first;
                    if !look.unread || stuck {
                        return Action::Failed;
                    }
                    (*wait, *at_first) = (begin(settings, now, &self.path), taken);
                }
            }
        }
        Action::Nothing
    }

    fn watch(&mut self, look: &Look<'_>) -> Action {
        let Look { settings, now, .. } = *look;
        let Keepalive { interval, pong_timeout, slowest_path } = settings;
        if self.silence.has_lasted(interval, now) {
            if matches!(self.ping.place, PingState::Queued) {
                self.state = PongWait::Queued(begin(settings, now, &self.path)); // one is enough
                return Action::Nothing;
            }
        } else {
            // While much is sent, a ping now and then measures how much the path has delivered.
            let free = matches!(self.ping.place, PingState::Nowhere);
            let rested = self.ping.queued.is_none_or(|queued| now >= queued + interval);
            if !free || !rested || self.path.allowance(now, slowest_path) < pong_timeout {
                return Action::Nothing;
            }
        }
        self.ping.id += 1;
        Action::Ping(self.ping.id.to_be_bytes())
    }

    /// The ping that was due is the last thing in the outbox.
    pub(crate) fn queued(&mut self, settings: Keepalive, now: Time, outbox: &SendBuffer) {
        let ping = &mut self.ping;
        (ping.end, ping.queued, ping.place) = (outbox.total_queued(), Some(now), PingState::Queued);
        if self.silence.has_lasted(settings.interval, now) {
            self.state = PongWait::Queued(begin(settings, now, &self.path));
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    fn look(pinger: &mut Pinger, outbox: &SendBuffer, second: u64) -> Action {
        let settings = Keepalive::every(Duration::from_secs(100));
        let now = Time::since_epoch(Duration::from_secs(second));
        let look = Look { settings, now, outbox, came: 0, unread: false };
        let due = pinger.due(&look);
        if let Action::Ping(_) = due {
            pinger.queued(settings, now, outbox);
        }
        due
    }

    /// An adapter looks at the clock at once if a pong came, and not for each read.
    #[test]
    fn an_answer_is_to_be_noted_once() {
        let (mut pinger, mut outbox) = (Pinger::new(), SendBuffer::default());
        assert!(matches!(look(&mut pinger, &outbox, 0), Action::Nothing));
        let Action::Ping(id) = look(&mut pinger, &outbox, 100) else { panic!() };
        outbox.push_pong(None, &id); // any frame will do
        pinger.ping.end = outbox.total_queued();
        outbox.advance(outbox.len());
        assert!(matches!(look(&mut pinger, &outbox, 101), Action::Nothing));
        assert!(!pinger.is_answered());
        pinger.pong(&id, &outbox);
        assert!(pinger.is_answered());
        assert!(pinger.deadline(&outbox) == Due::Now);
        assert!(matches!(look(&mut pinger, &outbox, 103), Action::Nothing));
        assert!(!pinger.is_answered());
        assert_eq!(pinger.round_trip(), Some(Duration::from_secs(2)));
    }
}
