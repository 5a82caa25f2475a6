//! A clock that stands still.

use crate::{Time, futures_io::Timer};
use alloc::{sync::Arc, task::Wake, vec::Vec};
use core::{
    fmt, mem,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// After how many deadlines [`Clock::block_on`] panics.
const MAX_JUMPS: u32 = 100_000;

/// A clock for the futures-io adapter that stands still until you move it. Clones show the same
/// time, and each is a [`Timer`] of its own: give one to every connection.
///
/// ```
/// use core::time::Duration;
/// use fullduplex::{Config, Error, TimeoutError, futures_io::client};
/// use fullduplex::{futures_io::FuturesIo, testing::{Clock, duplex}};
///
/// let clock = Clock::new();
/// let (stream, _silent) = duplex(1024);
/// let io = FuturesIo::with_timer(stream, clock.clone());
/// let config = Config::default().handshake_timeout(Duration::from_secs(3));
/// let error = clock.block_on(io.client("ws://example.com/", config)).unwrap_err();
/// assert!(error.is_timeout());
/// assert_eq!(clock.now().elapsed(), Duration::from_secs(3));
/// ```
pub struct Clock {
    shared: Arc<Mutex<ClockState>>,
    /// Which of the clones this is.
    id: u64,
}

#[derive(Default)]
struct ClockState {
    now: Duration,
    clones: u64,
    waiting: Vec<Sleeper>,
}

/// A clone that waits.
struct Sleeper {
    id: u64,
    deadline: Time,
    waker: Waker,
}

impl Clock {
    /// Creates a clock that shows its epoch.
    pub fn new() -> Self {
        Self { shared: Arc::default(), id: 0 }
    }

    /// Runs `future` to its end in this thread, and [jumps](Self::jump) whenever it waits. For
    /// several tasks, give it the `run` of a runtime's executor, or join their futures.
    ///
    /// # Panics
    /// If the future waits, is not woken, and no deadline is left: it would hang. So do not wait
    /// for other threads in it. Also after 100,000 jumps, because two ends that wait for a message
    /// ping each other for ever.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(woken.clone());
        for _ in 0..MAX_JUMPS {
            loop {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
                if !woken.0.swap(false, Ordering::AcqRel) {
                    break;
                }
            }
            assert!(self.jump().is_some(), "the future would hang: it waits, but for no deadline");
        }
        panic!("the future still waits after {MAX_JUMPS} deadlines");
    }

    /// Moves the clock to the next deadline and wakes the tasks that wait for it. Returns the new
    /// time, or `None` if no task waits.
    pub fn jump(&self) -> Option<Time> {
        let shared = self.lock();
        let next = shared.waiting.iter().map(|waiting| waiting.deadline).min()?;
        let left = next.elapsed().saturating_sub(shared.now);
        drop(shared);
        self.advance(left);
        Some(next)
    }

    /// Moves the clock, and wakes the tasks whose deadlines have passed. They see only the new
    /// time. To let several deadlines pass one after the other, [`jump`](Self::jump) to each.
    pub fn advance(&self, duration: Duration) {
        let mut shared = self.lock();
        shared.now = shared.now.saturating_add(duration);
        let now = Time::since_epoch(shared.now);
        let (due, later): (Vec<_>, _) =
            mem::take(&mut shared.waiting).into_iter().partition(|waiting| waiting.deadline <= now);
        shared.waiting = later;
        drop(shared);
        due.into_iter().for_each(|waiting| waiting.waker.wake());
    }

    /// The time that it shows.
    pub fn now(&self) -> Time {
        Time::since_epoch(self.lock().now)
    }

    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Clock {
    fn clone(&self) -> Self {
        let mut shared = self.lock();
        shared.clones += 1;
        let id = shared.clones;
        drop(shared);
        Self { shared: self.shared.clone(), id }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.lock().waiting.retain(|waiting| waiting.id != self.id);
    }
}

impl Timer for Clock {
    fn now(&self) -> Time {
        self.now()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()> {
        let mut shared = self.lock();
        shared.waiting.retain(|waiting| waiting.id != self.id);
        if shared.now >= deadline.elapsed() {
            return Poll::Ready(());
        }
        // This deadline means "never": do not jump to it.
        if deadline.elapsed() < Duration::MAX {
            let waker = cx.waker().clone();
            shared.waiting.push(Sleeper { id: self.id, deadline, waker });
        }
        Poll::Pending
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Whether a future was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
