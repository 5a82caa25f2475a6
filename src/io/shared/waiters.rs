//! Those who wait for a connection in halves, and their wakers.

use super::super::write_queue::{AHEAD, Answer, Place, Progress, Sends, WaitsFor, WriteQueue};
use alloc::{sync::Arc, task::Wake, vec::Vec};
use core::{mem, task::Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many senders look after the connection when its stream or timer has something and no reader
/// waits. One would do, but those that are kept and not polled any more do not come.
const WITHOUT_READER: usize = 2 * AHEAD;

/// All who wait. As a waker it is what is left with the stream and with the timer: it wakes the reader,
/// and some who send, in case the reader does not come.
pub(super) struct Waiters(Mutex<Waiting>);

pub(super) struct Waiting {
    pub(super) reader: ReaderState,
    /// There while it waits.
    reader_waker: Option<Waker>,
    pub(super) queue: WriteQueue<Waker>,
    /// How often something happened that whoever is in the middle of a poll may have missed.
    wakes: u64,
}

/// What the half that receives does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderState {
    /// Nothing.
    Idle,
    Waiting,
    /// It waited, was woken, and was not polled since.
    Woken,
    /// It was dropped.
    Gone,
}

/// What there was at the beginning of a poll.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) reader: ReaderState,
    /// Whether nobody is in the way of one who sends.
    pub(super) is_clear: bool,
    wakes: u64,
}

/// Whom to wake once no lock is held.
#[must_use]
#[derive(Default)]
pub(super) struct Woken(pub(super) Vec<Waker>);

impl Woken {
    #[inline]
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_some();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_some();
    }
}

impl Waiting {
    fn wake_reader(&mut self, woken: &mut Woken) {
        if let Some(waker) = self.reader_waker.take() {
            self.reader = ReaderState::Woken;
            woken.0.push(waker);
        }
    }

    /// The half that receives does not wait any more.
    fn reader_left(&mut self, to: ReaderState, woken: &mut Woken) {
        if (self.reader, to) != (ReaderState::Idle, ReaderState::Idle) {
            (self.reader, self.reader_waker) = (to, None);
            // Who left the receiving to it, or is about to, may have to go on by itself.
            self.wakes += 1;
            self.queue.wake_some(WITHOUT_READER, &mut woken.0);
        }
    }
}

impl Waiters {
    pub(super) fn new(queue: WriteQueue<Waker>) -> Self {
        let (reader, reader_waker) = (ReaderState::Idle, None);
        Self(Mutex::new(Waiting { reader, reader_waker, queue, wakes: 0 }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is at the beginning of a poll.
    pub(super) fn seen(&self) -> Seen {
        let waiting = self.lock();
        let Waiting { reader, wakes, .. } = *waiting;
        Seen { reader, is_clear: waiting.queue.is_clear(), wakes }
    }

    /// Something has come from the stream or from the timer.
    fn wake_some(&self) {
        let mut woken = Woken::default();
        let mut waiting = self.lock();
        waiting.wakes += 1;
        let most = if waiting.reader_waker.is_some() { AHEAD } else { WITHOUT_READER };
        waiting.wake_reader(&mut woken);
        waiting.queue.wake_some(most, &mut woken.0);
        drop(waiting);
        woken.wake();
    }

    pub(super) fn wake_all(&self) {
        let mut woken = Woken::default();
        let mut waiting = self.lock();
        waiting.wakes += 1;
        waiting.wake_reader(&mut woken);
        waiting.queue.wake_all(&mut woken.0);
        drop(waiting);
        woken.wake();
    }

    pub(super) fn wake_reader(&self) {
        let mut woken = Woken::default();
        self.lock().wake_reader(&mut woken);
        woken.wake();
    }

    pub(super) fn reader_left(&self, to: ReaderState) {
        let mut woken = Woken::default();
        self.lock().reader_left(to, &mut woken);
        woken.wake();
    }

    /// The end of a poll of the half that receives, which waits with this waker if at all.
    pub(super) fn after_reader(
        &self,
        waits: Option<&Waker>,
        watch: &mut Place,
        seen: Seen,
        progress: impl FnOnce() -> Progress,
        woken: &mut Woken,
    ) {
        let mut waiting = self.lock();
        let Waiting { reader, reader_waker, queue, wakes } = &mut *waiting;
        let mut watches = false;
        if !queue.is_idle() {
            let progress = progress();
            queue.wake(&progress, &mut woken.0);
            // The stream has nothing more to tell of. So the reader sees to it that those that are
            // woken come, as long as others sleep.
            watches = waits.is_some()
                && progress.has_room
                && progress.flushed == progress.written
                && queue.has_sleepers()
                && queue.ask_for_all(watch, &mut woken.0) != Answer::Go;
        }
        let Some(waker) = waits else {
            return waiting.reader_left(ReaderState::Idle, woken);
        };
        if *wakes == seen.wakes && !watches {
            (*reader, *reader_waker) = (ReaderState::Waiting, Some(waker.clone()));
        } else {
            (*reader, *reader_waker) = (ReaderState::Woken, None);
            woken.0.push(waker.clone());
        }
    }

    /// The end of a poll of a call that sends, which waits with this waker if at all; `again` if it
    /// is to be polled again at once.
    pub(super) fn after_sender(
        &self,
        waits: Option<(WaitsFor, &Waker)>,
        again: bool,
        place: &mut Place,
        seen: Seen,
        progress: impl FnOnce() -> Progress,
        woken: &mut Woken,
    ) {
        let mut waiting = self.lock();
        if waits.is_none() {
            waiting.queue.leave(place);
            if waiting.queue.is_idle() {
                return;
            }
        }
        let progress = progress();
        let for_room = matches!(waits, Some((WaitsFor::Room(_), _)));
        if !for_room {
            waiting.queue.wake(&progress, &mut woken.0);
        }
        match waits {
            None => {}
            // It does not know of what happened meanwhile.
            Some((waits_for, waker)) if again || waiting.wakes != seen.wakes => {
                waiting.queue.wait(place, waits_for, None);
                woken.0.push(waker.clone());
            }
            Some((waits_for, waker)) => {
                waiting.queue.wait(place, waits_for, Some(waker.clone()));
            }
        }
        if for_room {
            // It may be one of those that are to see whether the first one comes.
            waiting.queue.wake(&progress, &mut woken.0);
        }
    }

    /// Something has changed.
    pub(super) fn tell(&self, progress: impl FnOnce() -> Progress, woken: &mut Woken) {
        let mut waiting = self.lock();
        if !waiting.queue.is_idle() {
            waiting.queue.wake(&progress(), &mut woken.0);
        }
    }

    /// Whether a call may go that has found room.
    pub(super) fn ask(&self, place: &mut Place, sends: Sends, woken: &mut Woken) -> Answer {
        let queue = &mut self.lock().queue;
        let answer = queue.ask(place, sends, &mut woken.0);
        if answer == Answer::Go {
            queue.leave(place);
        }
        answer
    }
}

/// Wakes everybody if a stream, a source of mask keys or a waker panics in the middle of a poll: what
/// has changed until then is told by nobody else.
pub(super) struct WakeOnPanic<'w>(pub(super) &'w Waiters);

impl WakeOnPanic<'_> {
    pub(super) fn disarm(self) {
        mem::forget(self);
    }
}

impl Drop for WakeOnPanic<'_> {
    fn drop(&mut self) {
        self.0.wake_all();
    }
}
