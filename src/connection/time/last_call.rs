//! Deadlines that end something, but only after input that has arrived is read once more.

use super::point::Time;
use core::time::Duration;

/// A look that is late by this much means that the process was stopped or the machine slept. Input
/// that came meanwhile is not read yet.
const LATE: Duration = Duration::from_secs(1);

/// One turn of a runtime, in which it notices input.
const BRIEF: Duration = Duration::from_millis(1);

/// The most notices that are given, so that a loop that is always late ends too.
const CALLS: u8 = 4;

/// A deadline that needs two looks at the clock: one gives notice, a later one passes it.
///
/// The caller reads all input before each look. The notice is due a little before the deadline, so that
/// the verdict is on time. If the process was stopped, the notice comes late and leaves time to read.
#[derive(Clone, Copy)]
pub(crate) struct LastCall {
    due: Time,
    /// The notice is due this long before the deadline.
    before: Duration,
    /// After a late notice the deadline moves to this long after it.
    behind: Duration,
    calls: u8,
}

impl LastCall {
    /// The deadline of a wait that begins `now` and lasts `timeout`, or `more` than that.
    pub(crate) fn new(now: Time, timeout: Duration, more: Duration) -> Self {
        let grace = (timeout / 4).min(LATE).max(Duration::from_nanos(1));
        Self { due: now + timeout + more, before: grace, behind: grace, calls: 0 }
    }

    /// The same for a connection that may not be driven for a while although the process runs, because
    /// others come first. After a late notice it waits only briefly for input.
    pub(crate) fn brief(now: Time, timeout: Duration) -> Self {
        let call = Self::new(now, timeout, Duration::ZERO);
        Self { behind: call.before.min(BRIEF), ..call }
    }

    /// The time of the next look.
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
    fn looks_on_time_pass_it_on_time() {
        let mut call = LastCall::new(at(0), 20 * SECOND, SECOND);
        assert_eq!(call.deadline(), at(20_000));
        assert!(!call.has_passed(at(19_999)) && !call.has_passed(at(20_000)));
        assert_eq!(call.deadline(), at(21_000));
        assert!(!call.has_passed(at(20_999)) && call.has_passed(at(21_000)));
    }

    /// A14: a process that was stopped, at any time, reads before it gives a peer up.
    #[test]
    fn a14_a_stopped_process_gets_notice_first() {
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
    fn a_loop_that_is_always_late_passes_it_too() {
        let mut call = LastCall::new(at(0), 20 * SECOND, Duration::ZERO);
        let looks = (1..100).take_while(|i| !call.has_passed(at(i * 60_000))).count();
        assert_eq!(looks, usize::from(CALLS));
    }

    /// D12: a deadline moves, however short it is, and "never" never comes.
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
