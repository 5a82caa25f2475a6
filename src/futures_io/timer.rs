//! Timers of any runtime.

use crate::Time;
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use futures_timer::Delay;
use std::time::Instant;

/// The clock and the timer of one connection.
///
/// Implement it to use your runtime's timers instead of [`DefaultTimer`], or a clock that a test moves
/// by hand.
///
/// ```
/// use core::{pin::Pin, task::{Context, Poll}};
/// use fullduplex::{Time, futures_io::Timer};
/// use std::time::Instant;
///
/// struct Smol {
///     epoch: Instant,
///     timer: smol::Timer,
///     /// The deadline that `timer` is set to.
///     deadline: Option<Time>,
/// }
///
/// impl Timer for Smol {
///     fn now(&self) -> Time {
///         Time::since_epoch(self.epoch.elapsed())
///     }
///
///     fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()> {
///         if self.deadline != Some(deadline) {
///             let Some(at) = self.epoch.checked_add(deadline.elapsed()) else {
///                 return Poll::Pending;
///             };
///             self.timer.set_at(at);
///             self.deadline = Some(deadline);
///         }
///         let fired = Pin::new(&mut self.timer).poll(cx).map(|_| ());
///         if fired.is_ready() {
///             self.deadline = None;
///         }
///         fired
///     }
/// }
/// ```
pub trait Timer: Unpin {
    /// The time, since any epoch of this timer. It must never go backwards.
    fn now(&self) -> Time;

    /// Returns `Ready` at `deadline` or later. Before that it returns `Pending`, and wakes the task at
    /// the deadline.
    ///
    /// There is one deadline at a time: each call replaces the last one. A connection calls this
    /// whenever it waits, mostly with the same deadline as before: make that case cheap. A deadline
    /// that your clock cannot represent never comes. A `Ready` that is too early counts as the deadline.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()>;
}

/// The longest single wait.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A timer that works in every runtime. One thread for the whole process, which the first deadline
/// starts, wakes the tasks. Waiting panics if that thread cannot be started.
///
/// ```
/// use fullduplex::{Time, futures_io::{DefaultTimer, Timer}};
/// use core::{future::poll_fn, time::Duration};
///
/// let mut timer = DefaultTimer::new();
/// let deadline = timer.now() + Duration::from_millis(1);
/// smol::block_on(poll_fn(|cx| timer.poll_until(cx, deadline)));
/// assert!(timer.now() >= deadline);
/// ```
pub struct DefaultTimer {
    epoch: Instant,
    /// Made at the first wait.
    delay: Option<Delay>,
    /// The deadline that `delay` is set to, until it fires.
    set: Option<Time>,
}

impl DefaultTimer {
    /// A timer whose epoch is now.
    pub fn new() -> Self {
        Self { epoch: Instant::now(), delay: None, set: None }
    }
}

impl Default for DefaultTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer for DefaultTimer {
    fn now(&self) -> Time {
        Time::since_epoch(self.epoch.elapsed())
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()> {
        loop {
            // Most waits are for the same deadline as before. These cost no clock read.
            if let (Some(delay), Some(set)) = (&mut self.delay, self.set) {
                if set == deadline {
                    ready!(Pin::new(delay).poll(cx));
                    self.set = None;
                }
            }
            let left = deadline.saturating_since(self.now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            // In several waits, because the delay adds this to the system's time and could overflow.
            let left = left.min(LONGEST);
            match &mut self.delay {
                Some(delay) => delay.reset(left),
                None => self.delay = Some(Delay::new(left)),
            }
            self.set = Some(deadline);
        }
    }
}

impl fmt::Debug for DefaultTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultTimer").field("set", &self.set).finish_non_exhaustive()
    }
}
