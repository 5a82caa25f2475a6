//! Time as the core sees it: a number from the caller.

use core::{ops::Add, time::Duration};

/// A point in time: the duration since an epoch that you choose, such as the start of the program or of
/// the connection. It must never go backwards.
///
/// The core has no clock. [`Connection::poll_timeout`](crate::Connection::poll_timeout) says when to call
/// it, and you give the time to [`Connection::handle_timeout`](crate::Connection::handle_timeout).
///
/// ```
/// use fullduplex::Time;
/// use core::time::Duration;
///
/// let time = Time::since_epoch(Duration::from_secs(5));
/// assert!(time > Time::EPOCH);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

impl Time {
    /// The epoch itself, the earliest time.
    pub const EPOCH: Self = Self(Duration::ZERO);

    /// The time at `elapsed` after the epoch.
    pub const fn since_epoch(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The duration from the epoch to this time.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// The time `duration` before this; the epoch if there is none.
    pub(crate) const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }

    /// The duration from `earlier` to this time; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Saturates, so that [`Duration::MAX`] means "never".
impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// When the core is to be told the time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// At once: something has begun or ended whose time is not known yet.
    Now,
    At(Time),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_saturate_at_both_ends() {
        let second = Duration::from_secs(1);
        let (one, two) = (Time::since_epoch(second), Time::since_epoch(2 * second));
        assert_eq!((two.elapsed(), Time::EPOCH.elapsed()), (2 * second, Duration::ZERO));
        assert_eq!((one + second, Time::EPOCH + second), (two, one));
        assert_eq!(two + Duration::MAX, Time::since_epoch(Duration::MAX));
        assert_eq!(two.saturating_since(one), second);
        assert_eq!(one.saturating_since(two), Duration::ZERO);
    }
}
