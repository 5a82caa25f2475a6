//! Deadlines that end something: what has arrived is read once more before they do.

use super::point::Time;
use core::time::Duration;

/// A look that comes so much after it was asked for says that nobody was running: a process that was
/// stopped, a machine that slept. What came meanwhile is not read yet then.
const LATE: Duration = Duration::from_secs(1);

/// One turn of a runtime, in which it sees what has come.
const BRIEF: Duration = Duration::from_millis(1);

/// How often something is called out at most, so that a loop that is always late ends too.
const CALLS: u8 = 4;

/// A deadline of which a look at the clock gives notice before another one passes it.
///
/// Whoever looks reads before that what is there. The notice is due a little before the deadline, so
/// the verdict is on time; after a time in which nobody was running, it comes first, and leaves
/// time to read.
#[derive(Clone, Copy)]
pub(crate) struct LastCall {
    due: Time,
    /// How long before the deadline notice is given.
    before: Duration,
    /// How long behind a notice that came late the deadline is put off.
    behind: Duration,
    calls: u8,
}

impl LastCall {
    /// The deadline of a wait that begins `now` and lasts `timeout`, or `more` than that.
    pub(crate) fn new(now: Time, timeout: Duration, more: Duration) -> Self {
        let grace = (timeout / 4).min(LATE).max(Duration::from_nanos(1));
        Self { due: now + timeout + more, before: grace, behind: grace, calls: 0 }
    }

    /// The same for a connection that nobody drives for a while without being stopped, because others
    /// are seen to first: who then finds its deadline passed does not wait long for what has come.
    pub(crate) fn brief(now: Time, timeout: Duration) -> Self {
        let call = Self::new(now, timeout, Duration::ZERO);
        Self { behind: call.before.min(BRIEF), ..call }
    }

    /// When to look.
    pub(crate) fn deadline(&self) -> Time {
        match self.calls {
            0 => self.due.before(self.before),
            _ => self.due,
        }
    }

    /// Whether it has passed.
    pub(crate) fn has_passed(&mut self, now: Time) -> bool {
        if now < self.deadline() {
            return false;
        }
        let late = now.saturating_since(self.due) >= LATE && self.calls < CALLS;
        if self.calls > 0 && !late {
            return true;
        }
        self.calls += 1;
        self.due = self.due.max(now + self.behind);
        false
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Time {
        Time::since_epoch(Duration::from_millis(millis))
    }

    #[test]
    fn who_looks_on_time_passes_it_on_time() {
        let mut call = LastCall::new(at(0), 20 * SECOND, SECOND);
        assert_eq!(call.deadline(), at(20_000));
        assert!(!call.has_passed(at(19_999)) && !call.has_passed(at(20_000)));
        assert_eq!(call.deadline(), at(21_000));
        assert!(!call.has_passed(at(20_999)) && call.has_passed(at(21_000)));
    }

    /// A14: a process that is stopped, at any time, reads before it gives anybody up.
    #[test]
    fn a14_who_was_stopped_is_called_first() {
        for stopped in [500, 18_999, 19_000, 19_999] {
            let mut call = LastCall::new(at(0), 20 * SECOND, SECOND);
            let mut now = 0;
            let mut looks = 0;
            while !call.has_passed(at(now)) {
                let next = call.deadline().elapsed().as_millis() as u64;
                let jump = now <= stopped && stopped < next;
                now = if jump { stopped + 31_000 } else { next };
                looks += u32::from(now >= stopped + 31_000);
                assert!(looks < 5);
            }
            assert_eq!(now, stopped + 32_000, "stopped at {stopped}");
            assert_eq!(looks, 2, "one to be called, and the verdict");
        }
    }

    /// A loop that is always late gives up at some time.
    #[test]
    fn who_is_always_late_passes_it_too() {
        let mut call = LastCall::new(at(0), 20 * SECOND, Duration::ZERO);
        let looks = (1..100).take_while(|i| !call.has_passed(at(i * 60_000))).count();
        assert_eq!(looks, usize::from(CALLS));
    }

    /// D12: it moves, however short it is; and never is never.
    #[test]
    fn d12_no_deadline_stands_still() {
        for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(3)] {
            let mut call = LastCall::new(at(5), timeout, Duration::ZERO);
            assert!(!call.has_passed(at(5)));
            let mut last = at(5);
            let looks = (1..100).take_while(|_| {
                assert!(call.deadline() > last, "it moves");
                last = call.deadline();
                !call.has_passed(last)
            });
            assert!(looks.count() < 2);
        }
        let mut call = LastCall::new(at(5), Duration::MAX, Duration::MAX);
        assert!(!call.has_passed(Time::since_epoch(Duration::from_secs(1 << 60))));
    }
}
