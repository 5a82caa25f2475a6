//! A bound on the bytes that the path to the peer may still hold.
//!
//! A transport that has taken bytes has not delivered them. The kernel holds up to [`CAPACITY`], and
//! a slow peer needs minutes for so much, so a ping may wait that long after it was taken. The exact
//! number is unknown without asking the system. The bound is a leaky bucket: bytes that the transport
//! takes go in, and bytes that a path of a certain speed has surely delivered go out.
//!
//! That speed is the slowest that counts as alive, or more with evidence: bytes that were certainly
//! delivered, over the time that it took. Those are bytes that the transport took beyond its capacity,
//! and bytes before a ping whose pong has come. A quarter of that speed is relied on, because paths slow
//! down. Old evidence is capped by the bytes that can have been delivered since: those taken since, and
//! the capacity.

use super::point::Time;
use core::time::Duration;

/// The most that a path is assumed to hold, in bytes: the limit of a socket on Linux (`tcp_wmem`).
pub(crate) const CAPACITY: u64 = 4 << 20;

/// The bytes before a ping that do not count: about one packet.
const PACKET: u64 = 1024;

/// The measured speed is divided by this, for caution.
const CAUTION: u64 = 4;

pub(crate) struct Path {
    /// The bound on the bytes that were taken and not delivered, at the last look.
    held: u64,
    /// The bytes ever taken, at the last look.
    taken: u64,
    /// The time of the last look; `None` before the first, or if the clock has changed since.
    looked: Option<Time>,
    /// Whether the transport had refused bytes at the last look.
    refused: bool,
    /// The next measurement: the bytes taken after this one, ...
    from: u64,
    /// ... none of which was delivered before this time; `None` before the first look.
    since: Option<Time>,
    /// The last measurement in bytes per second, its time, and the bytes ever taken then.
    measured: u64,
    measured_at: Option<Time>,
    measured_to: u64,
}

impl Path {
    pub(crate) fn new() -> Self {
        Self {
            held: 0,
            taken: 0,
            looked: None,
            refused: false,
            from: 0,
            since: None,
            measured: 0,
            measured_at: None,
            measured_to: 0,
        }
    }

    /// Times come from another clock from now on.
    #[cfg(feature = "std")]
    pub(crate) fn restart(&mut self) {
        (self.looked, self.measured_at) = (None, None);
    }

    /// The bytes ever taken, at the last look.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the transport had refused bytes at the last look.
    pub(crate) fn was_full(&self) -> bool {
        self.refused
    }

    /// Notes that `taken` bytes were ever taken, and whether more were `refused`.
    pub(crate) fn look(&mut self, now: Time, taken: u64, refused: bool, slowest: u32) {
        let came = taken.saturating_sub(self.taken);
        if let Some(looked) = self.looked {
            // A full transport that took nothing has delivered nothing.
            if !self.refused || came > 0 {
                let passed = now.saturating_since(looked);
                self.held = self.held.saturating_sub(bytes_in(self.speed(now, slowest), passed));
            }
            if self.held == 0 {
                // A time without bytes to deliver says nothing about the speed.
                (self.from, self.since) =
                    if came == 0 { (taken, Some(now)) } else { (self.taken, Some(looked)) };
            }
            let sent = taken.saturating_sub(self.from);
            if sent >= 2 * CAPACITY {
                self.measure(sent - CAPACITY, now, taken);
                (self.from, self.since) = (taken, Some(now));
            }
        } else {
            (self.from, self.since) = (taken, Some(now));
        }
        self.held = CAPACITY.min(self.held + came);
        (self.taken, self.looked, self.refused) = (taken, Some(now), refused);
    }

    /// The peer has everything up to byte `end`, the end of a ping that was queued at `queued`.
    pub(crate) fn delivered(&mut self, end: u64, queued: Time, now: Time) {
        self.held = self.held.min(self.taken.saturating_sub(end));
        if end <= self.from {
            return;
        }
        // More may have been delivered by then, so this can be far too low.
        let speed = per_second(end - self.from, self.passed(now));
        if speed >= self.relied_on(now) {
            self.measure(end - self.from, now, self.taken);
            (self.from, self.since) = (end, Some(queued));
        }
    }

    /// The longest time that the held bytes may take.
    pub(crate) fn allowance(&self, now: Time, slowest: u32) -> Duration {
        let held = u128::from(self.held.saturating_sub(PACKET));
        let nanos = held * 1_000_000_000 / u128::from(self.speed(now, slowest));
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
    }

    fn measure(&mut self, bytes: u64, now: Time, taken: u64) {
        self.measured = per_second(bytes, self.passed(now));
        (self.measured_at, self.measured_to) = (Some(now), taken);
    }

    /// The time that the next measurement has lasted.
    fn passed(&self, now: Time) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_since(since))
    }

    /// The measured speed, or less if that many bytes cannot have been delivered since.
    fn relied_on(&self, now: Time) -> u64 {
        let Some(at) = self.measured_at else { return 0 };
        let most = self.taken.saturating_sub(self.measured_to) + CAPACITY;
        self.measured.min(per_second(most, now.saturating_since(at)))
    }

    /// The speed of delivery at least, in bytes per second, while there is something to deliver.
    fn speed(&self, now: Time, slowest: u32) -> u64 {
        u64::from(slowest).max(self.relied_on(now) / CAUTION).max(1)
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let speed = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    speed.try_into().unwrap_or(u64::MAX)
}

fn bytes_in(speed: u64, time: Duration) -> u64 {
    let bytes = u128::from(speed).saturating_mul(time.as_nanos()) / 1_000_000_000;
    bytes.try_into().unwrap_or(u64::MAX)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SLOWEST: u32 = 4 << 10;
    const KIB: u64 = 1 << 10;

    fn at(second: u64) -> Time {
        Time::since_epoch(Duration::from_secs(second))
    }

    /// The allowance after each look, in seconds. A look has the second, the KiB ever taken, and whether
    /// more was refused.
    fn allowances(looks: &[(u64, u64, bool)]) -> Vec<u64> {
        let mut path = Path::new();
        let look = |(second, taken, refused): &(u64, u64, bool)| {
            path.look(at(*second), taken * KIB, *refused, SLOWEST);
            path.allowance(at(*second), SLOWEST).as_secs()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn what_is_taken_needs_time() {
        assert_eq!(allowances(&[(0, 0, false), (1, 1, false), (2, 2, false)]), [0, 0, 0]);
        // A MiB, less a packet; and so much less as time passes.
        let looks = [(0, 0, false), (1, 1024, false), (101, 1024, false), (1000, 1024, false)];
        assert_eq!(allowances(&looks), [0, 255, 155, 0]);
        // Taken bytes are added.
        let looks = [(0, 0, false), (1, 1024, false), (101, 1424, false), (301, 1424, false)];
        assert_eq!(allowances(&looks), [0, 255, 255, 55]);
        // Before the first look, too, and never more than fits.
        assert_eq!(allowances(&[(0, 100, false), (1, 7000, false)]), [24, 1023]);
    }

    /// A full transport has not become empty while it took nothing; once it takes more it has time.
    #[test]
    fn what_is_full_stays_full() {
        let looks = [(0, 1024, true), (100, 1024, true), (101, 1025, true), (111, 1025, false)];
        assert_eq!(allowances(&looks), [255, 255, 255, 255]);
        let looks = [(0, 1024, true), (100, 1424, false), (200, 1424, false)];
        assert_eq!(allowances(&looks), [255, 255, 155]);
    }

    /// Bytes beyond the capacity were delivered: 10 MiB in ten seconds, of which 6 MiB are certain, and a
    /// quarter of that speed counts.
    #[test]
    fn speed_is_what_was_taken_beyond_what_fits() {
        let looks = [(0, 0, false), (10, 10 << 10, false)];
        let speed = 6.0 * 1024.0 / 10.0 / 4.0;
        assert_eq!(allowances(&looks), [0, (4.0 * 1024.0 / speed) as u64]);
        // Less is no evidence.
        assert_eq!(allowances(&[(0, 0, false), (10, 7 << 10, false)]), [0, 1023]);
        // It gets old: 4 MiB in 1,000 s, which is the slowest; and a dead path takes no more.
        let looks = [(0, 0, false), (10, 10 << 10, true), (1010, 10 << 10, true)];
        assert_eq!(allowances(&looks).last(), Some(&1023));
        let looks = [(0, 0, false), (10, 10 << 10, true), (42, 10 << 10, true)];
        let speed = 4.0 * 1024.0 / 32.0 / 4.0;
        assert_eq!(allowances(&looks).last(), Some(&(((4.0 * 1024.0 - 1.0) / speed) as u64)));
    }

    /// A pong says what was delivered, and how fast at least.
    #[test]
    fn a_pong_says_what_was_delivered() {
        let mut path = Path::new();
        path.look(at(0), 0, false, SLOWEST);
        path.look(at(1), 1024 * KIB, false, SLOWEST);
        path.look(at(11), 1024 * KIB, false, SLOWEST);
        // A ping that ended at 1,000 KiB: 24 KiB may be on the way, at 1,000 / 11 / 4 KiB per second.
        path.delivered(1000 * KIB, at(1), at(11));
        assert_eq!(path.allowance(at(11), SLOWEST).as_millis(), 23 * 4 * 11);
        // A pong for bytes that were delivered before says nothing new.
        path.delivered(900 * KIB, at(1), at(11));
        assert_eq!(path.allowance(at(11), SLOWEST).as_millis(), 23 * 4 * 11);
        // Little that took long says nothing about the path: it is not slower for that.
        path.look(at(20), 1124 * KIB, false, SLOWEST);
        let before = path.allowance(at(20), SLOWEST);
        path.delivered(1001 * KIB, at(12), at(20));
        assert!(path.allowance(at(20), SLOWEST) <= before);
        // Another clock: nothing is known of speeds, and no time has passed.
        let held = path.held;
        path.restart();
        path.look(at(1_000_000), 1124 * KIB, false, SLOWEST);
        assert_eq!((path.held, path.relied_on(at(1_000_000))), (held, 0));
    }

    /// The times of a quiet connection do not become evidence that it is slow.
    #[test]
    fn silence_says_nothing_about_the_speed() {
        let mut path = Path::new();
        for second in (0..100_000).step_by(6) {
            path.look(at(second), second / 100, false, SLOWEST);
        }
        path.look(at(100_010), 20 << 20, false, SLOWEST);
        assert!(path.measured > 1 << 20, "{}: it took 20 MiB in 10 seconds", path.measured);
    }

    #[test]
    fn extremes() {
        for slowest in [1, u32::MAX] {
            let mut path = Path::new();
            path.look(Time::EPOCH, u64::MAX / 2, true, slowest);
            path.look(at(u64::MAX), u64::MAX, false, slowest);
            path.look(at(0), u64::MAX, false, slowest);
            path.delivered(u64::MAX, at(u64::MAX), at(0));
            assert_eq!(path.allowance(at(0), slowest), Duration::ZERO);
        }
        let mut path = Path::new();
        path.look(at(0), 1 << 40, true, 1);
        assert_eq!(path.allowance(at(0), 1).as_secs(), CAPACITY - PACKET);
    }
}
