//! Messages that are sent at the same time, one after the other.
//!
//! What is to be done lies in the group, not in the futures that wait for it: whichever of them is
//! polled does the next step of the first. So one that is kept and not polled holds up nobody.

use super::{
    BroadcastStats, Delivery, MemberId, SlowConsumer,
    members::{AT_ONCE, Members, Round, guarded},
};
use crate::{
    CloseFrame,
    asynchronous::{AsyncIo, Writer},
};
use alloc::{collections::VecDeque, sync::Arc, task::Wake, vec::Vec};
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
    pub(super) bell: Arc<Bell>,
    /// The bell, as members know it.
    waker: Waker,
}

struct Queue<T> {
    jobs: VecDeque<Job<T>>,
    next: u64,
    /// Whether somebody does a step of the first job.
    busy: bool,
    /// How often the bell had rung when it was seen last that the first job waits for members.
    waits_since: Option<u64>,
    /// What came of jobs whose futures do not know yet.
    done: Vec<(u64, Outcome<T>)>,
    stats: BroadcastStats,
}

struct Job<T> {
    number: u64,
    /// Nothing while somebody does a step of it.
    work: Option<Work<T>>,
}

/// What is to be done.
pub(super) enum Work<T> {
    /// A message is offered to one member after the other, and some are waited for.
    Send(Round<T>),
    /// All leave and are closed.
    Close(CloseFrame, Vec<(MemberId, Writer<T>)>),
}

/// What came of it.
pub(super) enum Outcome<T> {
    Sent(Delivery),
    Closed(Vec<(MemberId, Writer<T>)>),
}

/// What came of one step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    More,
    /// It goes on when the bell rings.
    Waits,
}

/// Wakes all who wait for the first job.
#[derive(Default)]
pub(super) struct Bell {
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

    pub(super) fn ring(&self) {
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

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl<T> Queue<T> {
    fn take_done(&mut self, number: u64) -> Option<Outcome<T>> {
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
            waits_since: None,
            done: Vec::new(),
            stats: BroadcastStats::default(),
        };
        let bell = Arc::new(Bell::default());
        let waker = Arc::clone(&bell).into();
        let members = Mutex::new(Members::new());
        Self { slow, members, queue: Mutex::new(queue), bell, waker }
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
        writer.half.shared.forget(id.0);
        self.bell.ring();
        Some(writer)
    }
}

impl<T: AsyncIo> Group<T> {
    /// Does some work when all that was there before is done.
    pub(super) async fn work(&self, work: Work<T>) -> Outcome<T> {
        let mut turn = Turn::begin(self, work);
        poll_fn(|cx| turn.poll(cx)).await
    }

    /// Does a step of some work.
    fn step(&self, work: &mut Work<T>) -> Step {
        match work {
            Work::Send(round) if round.is_through => self.wait(round),
            Work::Send(round) => {
                let mut left = Vec::new();
                round.is_through = !self.members().offer(round, self.slow, &mut left);
                if !left.is_empty() {
                    // Their streams may do anything, so this is not done under the lock.
                    let _ = guarded(|| drop(left));
                }
                match round.is_through && round.waiting.is_empty() {
                    true => Step::Done,
                    false => Step::More,
                }
            }
            Work::Close(frame, left) => {
                let mut members = self.members();
                members.close_some(frame, left);
                if members.len() == 0 { Step::Done } else { Step::More }
            }
        }
    }

    /// Waits for the first of the slow members. The others go on taking what they have.
    fn wait(&self, round: &mut Round<T>) -> Step {
        let cx = Context::from_waker(&self.waker);
        for _ in 0..AT_ONCE {
            let Some(member) = round.waiting.front_mut() else { return Step::Done };
            let members = self.members();
            let (stays, closed) = (members.contains(member.id), members.closed.is_some());
            drop(members);
            if !stays || closed {
                // If the group is closed, the message goes out in front of the Close frame.
                member.stays = stays;
                round.delivery.gone += 1;
            } else {
                match member.poll(&cx) {
                    Poll::Pending => return Step::Waits,
                    Poll::Ready(Ok(())) => round.delivery.sent += 1,
                    Poll::Ready(Err(_)) => {
                        round.delivery.gone += 1;
                        let left = self.leave(member.id);
                        let _ = guarded(|| drop(left));
                    }
                }
            }
            let _ = guarded(|| drop(round.waiting.pop_front()));
        }
        Step::More
    }
}

impl<T> Work<T> {
    fn outcome(self) -> Outcome<T> {
        match self {
            Self::Send(round) => Outcome::Sent(round.delivery),
            Self::Close(_, left) => Outcome::Closed(left),
        }
    }
}

/// A call that waits for its turn, and may be dropped at any time.
struct Turn<'g, T> {
    group: &'g Group<T>,
    number: u64,
    began: bool,
}

impl<'g, T: AsyncIo> Turn<'g, T> {
    fn begin(group: &'g Group<T>, work: Work<T>) -> Self {
        let mut queue = group.queue();
        let number = queue.next;
        queue.next += 1;
        queue.jobs.push_back(Job { number, work: Some(work) });
        Self { group, number, began: false }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome<T>> {
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
        let waits = queue.busy || queue.waits_since == Some(rings);
        let first = queue.jobs.front_mut().filter(|_| !waits);
        let first = first.and_then(|job| Some((job.number, job.work.take()?)));
        queue.busy |= first.is_some();
        drop(queue);
        let Some((first, mut work)) = first else {
            group.bell.wait(number, rings, cx.waker());
            return Poll::Pending;
        };
        let stepping = Stepping { group, first };
        let step = group.step(&mut work);
        if let Some(outcome) = stepping.finish((work, step), rings, number) {
            return Poll::Ready(outcome);
        }
        match step {
            Step::Waits => group.bell.wait(number, rings, cx.waker()),
            _ => cx.waker().wake_by_ref(), // as above
        }
        Poll::Pending
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        let done = queue.take_done(self.number);
        let place = queue.jobs.iter().position(|job| job.number == self.number);
        let job = place.and_then(|place| queue.jobs.remove(place));
        if job.is_some() {
            queue.waits_since = None;
        }
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
    /// Puts the job back. What came of it is for job `number`, or noted for its own future. The bell
    /// had rung so often before the step.
    fn finish(self, (work, step): (Work<T>, Step), rings: u64, number: u64) -> Option<Outcome<T>> {
        let Self { group, first } = self;
        mem::forget(self);
        let mut queue = group.queue();
        (queue.busy, queue.waits_since) = (false, None);
        // It is not the first any more if its future was dropped meanwhile.
        let is_first = queue.jobs.front().is_some_and(|job| job.number == first);
        let (mut outcome, mut given_up) = (None, None);
        if !is_first {
            given_up = Some(work);
        } else if step == Step::Done {
            queue.jobs.pop_front();
            let done = work.outcome();
            if let Outcome::Sent(delivery) = &done {
                queue.stats.add(delivery);
            }
            match first == number {
                true => outcome = Some(done),
                false => queue.done.push((first, done)),
            }
        } else {
            queue.waits_since = (step == Step::Waits).then_some(rings);
            if let Some(job) = queue.jobs.front_mut() {
                job.work = Some(work);
            }
        }
        drop(queue);
        // All others, as nobody knows which of them will be polled. Who waits for members has them
        // ring; unless they have done so before the others listened.
        if step != Step::Waits || group.bell.rings() != rings {
            group.bell.ring();
        }
        drop(given_up);
        outcome
    }
}

impl<T> Drop for Stepping<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        (queue.busy, queue.waits_since) = (false, None);
        if queue.jobs.front().is_some_and(|job| job.number == self.first) {
            queue.jobs.pop_front();
            queue.done.push((self.first, Outcome::Sent(Delivery::default())));
        }
        drop(queue);
        self.group.bell.ring();
    }
}
