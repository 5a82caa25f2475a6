//! Messages that are sent at the same time, one after the other.
//!
//! What is to be done lies in the group, not in the futures that wait for it: whichever of them is
//! polled does the next step of the first. So one that is kept and not polled holds up nobody. No
//! step waits for a member: what it does not take waits in its connection.

use super::{
    BroadcastStats, Delivery, MemberId, SlowConsumer,
    members::{AT_ONCE, Members, Round, WaitingSend, guarded},
};
use crate::{
    CloseFrame,
    asynchronous::{AsyncIo, Writer},
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    future::poll_fn,
    mem,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the clones of a [`Broadcast`](super::Broadcast) share.
pub(super) struct Group<T> {
    pub(super) slow: SlowConsumer,
    members: Mutex<Members<T>>,
    queue: Mutex<Queue<T>>,
    bell: Bell,
}

struct Queue<T> {
    jobs: VecDeque<Job<T>>,
    next: u64,
    /// Whether somebody does a step of the first job.
    busy: bool,
    /// What came of jobs whose futures do not know yet.
    done: Vec<(u64, JobOutcome<T>)>,
    stats: BroadcastStats,
}

struct Job<T> {
    number: u64,
    /// Nothing while somebody does a step of it.
    work: Option<Work<T>>,
}

/// What is to be done.
pub(super) enum Work<T> {
    /// A message is offered to one member after the other.
    Send(Round<T>),
    /// All leave and are closed.
    Close(Option<CloseFrame>, Vec<(MemberId, Writer<T>)>),
}

/// What came of it.
pub(super) enum JobOutcome<T> {
    /// With those who are still to be waited for.
    Sent(Delivery, VecDeque<WaitingSend<T>>),
    Closed(Vec<(MemberId, Writer<T>)>),
}

/// Wakes all who wait while somebody else does a step.
#[derive(Default)]
struct Bell {
    rings: AtomicU64,
    wakers: Mutex<Vec<(u64, Waker)>>,
}

impl Bell {
    fn wakers(&self) -> MutexGuard<'_, Vec<(u64, Waker)>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rings(&self) -> u64 {
        self.rings.load(Ordering::SeqCst)
    }

    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        let wakers = mem::take(&mut *self.wakers());
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Job `number` waits for the next ring after the first `rings`.
    fn wait(&self, number: u64, rings: u64, waker: &Waker) {
        let mut wakers = self.wakers();
        // Counted before the wakers are taken: so who is not taken along sees it.
        if self.rings() != rings {
            drop(wakers);
            return waker.wake_by_ref();
        }
        match wakers.iter_mut().find(|(other, _)| *other == number) {
            Some((_, known)) => known.clone_from(waker),
            None => wakers.push((number, waker.clone())),
        }
    }

    fn forget(&self, number: u64) {
        self.wakers().retain(|(other, _)| *other != number);
    }
}

impl<T> Queue<T> {
    fn take_done(&mut self, number: u64) -> Option<JobOutcome<T>> {
        let place = self.done.iter().position(|(other, _)| *other == number)?;
        Some(self.done.swap_remove(place).1)
    }
}

impl<T> Group<T> {
    pub(super) fn new(slow: SlowConsumer) -> Self {
        let queue = Queue {
            jobs: VecDeque::new(),
            next: 0,
            busy: false,
            done: Vec::new(),
            stats: BroadcastStats::default(),
        };
        let members = Mutex::new(Members::new());
        Self { slow, members, queue: Mutex::new(queue), bell: Bell::default() }
    }

    pub(super) fn members(&self) -> MutexGuard<'_, Members<T>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> BroadcastStats {
        self.queue().stats
    }

    /// Lets a member leave. Nobody waits for it any more.
    pub(super) fn leave(&self, id: MemberId) -> Option<Writer<T>> {
        let writer = self.members().leave(id)?;
        writer.half.shared.forget_member(id.0);
        Some(writer)
    }
}

impl<T: AsyncIo> Group<T> {
    /// Does some work when all that was there before is done.
    pub(super) async fn work(&self, work: Work<T>) -> JobOutcome<T> {
        let mut job = PendingJob::begin(self, work);
        poll_fn(|cx| job.poll(cx)).await
    }

    /// Waits for slow members: one after the other, as they all go on taking what they have.
    pub(super) async fn wait(
        &self,
        mut delivery: Delivery,
        mut waiting: VecDeque<WaitingSend<T>>,
    ) -> Delivery {
        let before = delivery;
        let mut polls = 0;
        while let Some(mut member) = waiting.pop_front() {
            polls += 1;
            if polls % AT_ONCE == 0 {
                others_first().await;
            }
            let polled = poll_fn(|cx| member.poll(cx)).await;
            let id = member.id;
            let left = match polled {
                Ok(()) if self.members().contains(id) => {
                    delivery.sent += 1;
                    None
                }
                // It left, or can be sent nothing any more.
                _ => {
                    delivery.gone += 1;
                    self.leave(id)
                }
            };
            // Its stream may do anything when it is dropped.
            let _ = guarded(|| drop((member, left)));
        }
        if before != delivery {
            self.queue().stats.add_late(&before, &delivery);
        }
        delivery
    }

    /// Does a step of some work: whether it is done.
    fn step(&self, work: &mut Work<T>) -> bool {
        match work {
            Work::Send(round) => {
                let mut left = Vec::new();
                let more = self.members().offer(round, self.slow, &mut left);
                if !left.is_empty() {
                    // Their streams may do anything, so this is not done under the lock.
                    let _ = guarded(|| drop(left));
                }
                !more
            }
            Work::Close(frame, left) => {
                let mut members = self.members();
                members.close_some(frame, left);
                members.len() == 0
            }
        }
    }
}

impl<T> Work<T> {
    fn outcome(self) -> JobOutcome<T> {
        match self {
            Self::Send(round) => JobOutcome::Sent(round.delivery, round.waiting),
            Self::Close(_, left) => JobOutcome::Closed(left),
        }
    }
}

/// Lets other tasks of this thread have their turn.
async fn others_first() {
    let mut went = false;
    poll_fn(|cx| {
        if mem::replace(&mut went, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A call that waits for its turn, and may be dropped at any time.
struct PendingJob<'g, T> {
    group: &'g Group<T>,
    number: u64,
    began: bool,
}

impl<'g, T: AsyncIo> PendingJob<'g, T> {
    fn begin(group: &'g Group<T>, work: Work<T>) -> Self {
        let mut queue = group.queue();
        let number = queue.next;
        queue.next += 1;
        queue.jobs.push_back(Job { number, work: Some(work) });
        Self { group, number, began: false }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<JobOutcome<T>> {
        if !mem::replace(&mut self.began, true) {
            // Other tasks of this thread have their turn, and a stream of tokio's is ready again
            // that was not only because this task had used up its own.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Self { group, number, .. } = *self;
        let mut queue = group.queue();
        if let Some(outcome) = queue.take_done(number) {
            return Poll::Ready(outcome);
        }
        let rings = group.bell.rings();
        let busy = queue.busy;
        let first = queue.jobs.front_mut().filter(|_| !busy);
        let first = first.and_then(|job| Some((job.number, job.work.take()?)));
        queue.busy |= first.is_some();
        drop(queue);
        let Some((first, mut work)) = first else {
            group.bell.wait(number, rings, cx.waker());
            return Poll::Pending;
        };
        let stepping = Stepping { group, first };
        let done = group.step(&mut work);
        if let Some(outcome) = stepping.finish(work, done, number) {
            return Poll::Ready(outcome);
        }
        cx.waker().wake_by_ref(); // as above
        Poll::Pending
    }
}

impl<T> Drop for PendingJob<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        let done = queue.take_done(self.number);
        let place = queue.jobs.binary_search_by_key(&self.number, |job| job.number).ok();
        let job = place.and_then(|place| queue.jobs.remove(place));
        drop(queue);
        self.group.bell.forget(self.number);
        if job.is_some() {
            self.group.bell.ring(); // it may have been the first
        }
        drop((done, job));
    }
}

/// A step that somebody does. If it panics, its job is over.
struct Stepping<'g, T> {
    group: &'g Group<T>,
    first: u64,
}

impl<T> Stepping<'_, T> {
    /// Puts the job back, unless it is done. What came of it is for job `number`, or noted for its
    /// own future.
    fn finish(self, work: Work<T>, is_done: bool, number: u64) -> Option<JobOutcome<T>> {
        let Self { group, first } = self;
        mem::forget(self);
        let mut queue = group.queue();
        queue.busy = false;
        // It is not the first any more if its future was dropped meanwhile.
        let is_first = queue.jobs.front().is_some_and(|job| job.number == first);
        let (mut outcome, mut given_up) = (None, None);
        if !is_first {
            given_up = Some(work);
        } else if is_done {
            queue.jobs.pop_front();
            let done = work.outcome();
            if let JobOutcome::Sent(delivery, _) = &done {
                queue.stats.add(delivery);
            }
            match first == number {
                true => outcome = Some(done),
                false => queue.done.push((first, done)),
            }
        } else if let Some(job) = queue.jobs.front_mut() {
            job.work = Some(work);
        }
        drop(queue);
        group.bell.ring(); // for all others, as nobody knows which of them will be polled
        drop(given_up);
        outcome
    }
}

impl<T> Drop for Stepping<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        queue.busy = false;
        if queue.jobs.front().is_some_and(|job| job.number == self.first) {
            queue.jobs.pop_front();
            let nothing = JobOutcome::Sent(Delivery::default(), VecDeque::new());
            queue.done.push((self.first, nothing));
        }
        drop(queue);
        self.group.bell.ring();
    }
}
