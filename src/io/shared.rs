//! A connection that several tasks share: one that receives, and any number that send.
//!
//! Whoever is polled drives the connection, under a lock that is held for the poll only. What is left
//! with the stream and with the timer is always the same waker, [`Waiters`]. So it does not matter
//! which of them polled last, or stops polling. Who sends next, and who is woken for that, is up to
//! the [write queue](super::write_queue).

mod call;
mod held;
mod waiters;

use call::serve;
pub(crate) use call::{Call, Feed, Flush, PendingCall};
pub(crate) use held::{Offered, Over};

use super::{
    Driver, Error, Io,
    driver::Leftover,
    write_queue::{AHEAD, Answer, Place, Progress, Sends, WaitsFor, WriteQueue},
};
use crate::{CloseFrame, IntoFragment, MessageRef, SendError, connection::unfinished};
use alloc::{boxed::Box, sync::Arc};
use core::task::{Context, Poll, Waker, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};
use waiters::{ReaderState, Seen, Waiters, WakeOnPanic, Woken};

/// The number of the first writer.
const FIRST: u64 = 0;

/// A connection in two halves.
pub(crate) struct Shared<T> {
    /// Its lock is taken before that of the waiters, never the other way round.
    state: Mutex<SharedState<T>>,
    waiters: Arc<Waiters>,
    /// The waiters, as the stream and the timer know them.
    waker: Waker,
}

struct SharedState<T> {
    driver: Driver<T>,
    /// Messages of groups that wait for their place, if there are any.
    held: Option<Box<held::Held>>,
    /// The reader asks here for those that wait.
    watch: Place,
}

/// What one who receives may have to know of: the deadline of an end that has begun, what comes
/// behind the last byte that was written, the end.
#[derive(PartialEq, Eq)]
struct Mark {
    written: (u64, u64),
    stage: u8,
}

impl<T: Io> SharedState<T> {
    fn mark(&mut self) -> Mark {
        Mark { written: self.driver.written(), stage: self.stage() }
    }

    #[inline]
    fn stage(&self) -> u8 {
        let connection = &self.driver.connection;
        if connection.is_open() {
            return 0;
        }
        let (outcome, closed) = (connection.outcome().is_some(), connection.closed().is_some());
        1 + 2 * u8::from(outcome) + 4 * u8::from(closed)
    }

    fn progress(&mut self) -> Progress {
        let stage = self.stage();
        let (written, flushed) = self.driver.written();
        let connection = &self.driver.connection;
        Progress {
            written,
            flushed,
            is_cut: connection.is_cut(),
            has_room: connection.is_ready(),
            has_control_room: connection.takes_control() && connection.is_under_mark(),
            // Where nothing is left that the stream could tell of, nobody else wakes the next one if
            // the first does not come; and there is room for more than one.
            ahead: if flushed == written && !connection.is_cut() { AHEAD } else { 1 },
            stage,
        }
    }

    /// Ready when it is the turn of this call to queue something and there is room.
    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call,
        kind: Feed,
        polling: &mut Polling<'_>,
    ) -> Poll<Result<(), Error>> {
        let sends = match kind {
            Feed::Message => Sends::Message(call.handle),
            Feed::Control => Sends::Control,
        };
        polling.waits_for = WaitsFor::Room(sends);
        let mut is_barred = false;
        if !polling.seen.is_clear {
            let queue = &mut polling.waiters.lock().queue;
            queue.came(&mut call.place, sends);
            is_barred = queue.is_barred(sends);
        }
        let open = self.driver.connection.is_open();
        if !open && self.driver.turn_of_sends_is_over(cx) {
            return Poll::Pending;
        }
        ready!(match kind {
            Feed::Control => self.driver.poll_ready_for_control(cx),
            Feed::Message if !open => Poll::Ready(Err(self.driver.refusal())),
            Feed::Message if is_barred => Poll::Pending,
            Feed::Message => self.driver.poll_ready(cx),
        })?;
        if self.held.is_some() && kind == Feed::Message {
            self.queue_held(polling.waiters, &mut polling.woken);
            if !self.driver.connection.is_ready() {
                return Poll::Pending;
            }
        }
        if polling.seen.is_clear {
            return Poll::Ready(Ok(()));
        }
        let answer = polling.waiters.ask(&mut call.place, sends, &mut polling.woken);
        polling.again = answer == Answer::Again;
        if answer == Answer::Go { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Starts the closing handshake, behind what is held.
    fn start_close(&mut self, waiters: &Waiters, frame: &Option<CloseFrame>, woken: &mut Woken) {
        if self.held.is_some() && self.driver.connection.is_open() {
            self.queue_last(waiters, woken);
        }
        self.driver.start_close(frame);
    }
}

/// One poll of a call that sends.
struct Polling<'w> {
    waiters: &'w Waiters,
    seen: Seen,
    /// What it waits for if it is not ready.
    waits_for: WaitsFor,
    /// Whether it is to be polled again at once.
    again: bool,
    woken: Woken,
}

impl<T> Shared<T> {
    /// The number of another writer.
    pub(crate) fn new_id(&self) -> u64 {
        self.waiters.lock().queue.number()
    }

    fn state(&self) -> MutexGuard<'_, SharedState<T>> {
        // What panicked was a stream or a waker; the connection is as it was left.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The half that receives is dropped.
    pub(crate) fn receiver_gone(&self) {
        self.waiters.reader_left(ReaderState::Gone);
    }

    /// It does not wait any more.
    pub(crate) fn receiver_left(&self) {
        self.waiters.reader_left(ReaderState::Idle);
    }

    /// One of those who send is dropped.
    pub(crate) fn sender_gone(&self, id: u64) {
        let mut woken = Woken::default();
        let state = self.state();
        self.waiters.lock().queue.abandon(id, &mut woken.0);
        drop(state);
        woken.wake();
    }

    /// A call is over that may have waited. What it looked after, or its turn, is another's.
    pub(crate) fn leave(&self, call: &mut Call) {
        if call.place.is_taken() {
            let mut woken = Woken::default();
            let mut waiting = self.waiters.lock();
            waiting.queue.leave(&mut call.place);
            waiting.queue.wake_some(1, &mut woken.0);
            drop(waiting);
            woken.wake();
        }
    }
}

impl<T: Io> Shared<T> {
    pub(crate) fn new(mut driver: Driver<T>) -> Self {
        driver.share();
        // The first writer goes on with what was begun before there were halves.
        let fragments = driver.connection.is_in_fragments().then_some(FIRST);
        let waiters = Arc::new(Waiters::new(WriteQueue::new(FIRST, fragments)));
        let state = SharedState { driver, held: None, watch: Place::default() };
        let waker = Arc::clone(&waiters).into();
        Self { state: Mutex::new(state), waiters, waker }
    }

    /// The connection, which nobody shares any more.
    pub(crate) fn into_driver(self) -> Driver<T> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut woken = Woken::default();
        state.queue_last(&self.waiters, &mut woken);
        woken.wake();
        let mut driver = state.driver;
        driver.unshare();
        driver
    }

    /// Calls `look` with the connection.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut Driver<T>) -> R) -> R {
        look(&mut self.state().driver)
    }

    /// Whether a message of this writer would be accepted.
    pub(crate) fn is_ready(&self, handle: u64) -> bool {
        let state = self.state();
        state.driver.connection.is_ready() && !self.is_shut_out(handle)
    }

    /// Whether a message is under way that this writer cannot go on with.
    fn is_shut_out(&self, handle: u64) -> bool {
        self.waiters.lock().queue.is_shut_out(handle)
    }

    /// Polls for the half that receives.
    pub(crate) fn poll_receiver<R>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Driver<T>, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let on_panic = WakeOnPanic(&self.waiters);
        let mut woken = Woken::default();
        let mut state = self.state();
        let seen = self.waiters.seen();
        let shared_cx = &mut Context::from_waker(&self.waker);
        let polled = poll(&mut state.driver, shared_cx);
        if state.held.is_some() {
            state.let_held_go(&self.waiters, shared_cx, &mut woken);
        }
        let waits = polled.is_pending().then_some(cx.waker());
        let mut watch = core::mem::take(&mut state.watch);
        self.waiters.after_reader(waits, &mut watch, seen, || state.progress(), &mut woken);
        state.watch = watch;
        drop(state);
        woken.wake();
        on_panic.disarm();
        polled
    }

    /// Polls for somebody who sends, and does what the half that receives leaves undone.
    fn poll_sender<R>(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        poll: impl FnOnce(
            &mut SharedState<T>,
            &mut Context<'_>,
            &mut Call,
            &mut Polling<'_>,
        ) -> Poll<Result<R, Error>>,
    ) -> Poll<Result<R, Error>> {
        let on_panic = WakeOnPanic(&self.waiters);
        let mut state = self.state();
        let seen = self.waiters.seen();
        let (waiters, waits_for, woken) = (&*self.waiters, WaitsFor::Other, Woken::default());
        let mut polling = Polling { waiters, seen, waits_for, again: false, woken };
        let before = state.mark();
        let shared_cx = &mut Context::from_waker(&self.waker);
        state.driver.received_elsewhere = seen.reader == ReaderState::Waiting;
        let polled = poll(&mut state, shared_cx, call, &mut polling);
        let Polling { waits_for, mut again, mut woken, .. } = polling;
        let between = polled.is_pending().then(|| state.mark());
        let served = serve(seen.reader, &mut state.driver, shared_cx);
        if state.held.is_some() {
            state.let_held_go(&self.waiters, shared_cx, &mut woken);
        }
        // A reader writes what was only queued.
        let leaves = polled.is_ready() && state.driver.waits_to_write();
        let after = state.mark();
        again |= between.is_some_and(|between| between != after); // what it waits for may have come
        let polled = match (polled, served) {
            (Poll::Pending, Err(error)) => Poll::Ready(Err(error)),
            (polled, _) => polled,
        };
        let waits = polled.is_pending().then_some((waits_for, cx.waker()));
        let place = &mut call.place;
        self.waiters.after_sender(waits, again, place, seen, || state.progress(), &mut woken);
        drop(state);
        woken.wake();
        if leaves || is_news(&before, &after) {
            self.waiters.wake_reader();
        }
        on_panic.disarm();
        polled
    }

    /// Waits for room, in turn; lets `feed` queue something; and writes it, if that is asked for.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        (kind, flush): (Feed, Flush),
        feed: &mut impl FnMut(&mut Driver<T>) -> Result<(), Error>,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call, polling| {
            if call.flushes.is_none() {
                ready!(state.poll_turn(cx, call, kind, polling))?;
                feed(&mut state.driver)?;
                call.flushes = Some(state.driver.total_queued());
            }
            if flush == Flush::Always || state.driver.sends_strictly() {
                return state.poll_flush_call(cx, call, polling);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Waits for room, in turn.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>, call: &mut Call) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call, polling| {
            state.poll_turn(cx, call, Feed::Message, polling)
        })
    }

    /// Waits for room for a fragment, in turn. Until the fragment is queued, or until the call
    /// [flushes](Self::poll_flush), other messages wait.
    pub(crate) fn poll_fragment_ready(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call, polling| {
            state.give_back(&self.waiters, call);
            ready!(state.poll_turn(cx, call, Feed::Message, polling))?;
            call.reserves = !state.driver.connection.is_in_fragments();
            self.waiters.lock().queue.set_under_way(Some(call.handle));
            Poll::Ready(Ok(()))
        })
    }

    /// Queues a fragment of a message of `handle` at once, or not at all.
    pub(crate) fn feed_fragment(
        &self,
        handle: u64,
        fragment: impl IntoFragment,
        fin: bool,
    ) -> Result<(), SendError> {
        let mut woken = Woken::default();
        let mut state = self.state();
        if self.is_shut_out(handle) {
            return Err(unfinished(fragment));
        }
        state.driver.feed_fragment(fragment, fin)?;
        self.waiters.lock().queue.set_under_way((!fin).then_some(handle));
        state.queue_held(&self.waiters, &mut woken);
        self.tell(state, woken, true); // the reader writes it
        Ok(())
    }

    /// The empty fragment that ends the message of `handle`, if one is under way.
    pub(crate) fn last_fragment(&self, handle: u64) -> Option<MessageRef<'static>> {
        let state = self.state();
        let is_mine = self.waiters.lock().queue.fragments_of() == Some(handle);
        is_mine.then(|| state.driver.connection.last_fragment())?
    }

    /// Writes and flushes all that is queued when this is polled first.
    pub(crate) fn poll_flush(&self, cx: &Context<'_>, call: &mut Call) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call, polling| {
            state.give_back(&self.waiters, call);
            if state.driver.turn_of_sends_is_over(cx) {
                polling.waits_for = WaitsFor::Flush(None);
                return Poll::Pending;
            }
            call.flushes.get_or_insert_with(|| state.driver.total_queued());
            state.poll_flush_call(cx, call, polling)
        })
    }

    /// Closes the connection and waits for its end.
    pub(crate) fn poll_close(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        frame: &Option<CloseFrame>,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, _, polling| {
            state.start_close(&self.waiters, frame, &mut polling.woken);
            let driver = &mut state.driver;
            if driver.end().is_none() {
                match self.waiters.seen().reader {
                    // It sees the connection to its end.
                    ReaderState::Waiting => {}
                    // It will, unless it stopped polling without a word. What is left to it may be
                    // in the way of the end: deadlines pass all the same.
                    ReaderState::Woken => {
                        if let Poll::Ready(over) = driver.poll_over(cx, Leftover::Left) {
                            over?;
                        }
                    }
                    ReaderState::Idle => ready!(driver.poll_over(cx, Leftover::Kept))?,
                    ReaderState::Gone => ready!(driver.poll_over(cx, Leftover::Discarded))?,
                }
            }
            if driver.end().is_none() {
                driver.poll_write_some(cx)?;
                driver.poll_deadlines(cx)?;
            }
            driver.end().map_or(Poll::Pending, Poll::Ready)
        })
    }

    /// Starts the closing handshake.
    pub(crate) fn start_close(&self, frame: &Option<CloseFrame>) {
        let on_panic = WakeOnPanic(&self.waiters);
        let mut woken = Woken::default();
        let mut state = self.state();
        let before = state.mark();
        state.start_close(&self.waiters, frame, &mut woken);
        let cx = &mut Context::from_waker(&self.waker);
        // The deadline begins now, whoever is the first to wait for it.
        let _ = state.driver.poll_write_out(cx).and_then(|()| state.driver.poll_stamp(cx));
        let news = is_news(&before, &state.mark());
        self.tell(state, woken, news);
        on_panic.disarm();
    }

    /// Wakes those that can go on behind what has changed, and the reader if it has something to do.
    fn tell(&self, mut state: MutexGuard<'_, SharedState<T>>, mut woken: Woken, reader: bool) {
        self.waiters.tell(|| state.progress(), &mut woken);
        drop(state);
        woken.wake();
        if reader {
            self.waiters.wake_reader();
        }
    }

    /// Queues something at once, or not at all.
    pub(crate) fn feed<E>(
        &self,
        feed: impl FnOnce(&mut Driver<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        feed(&mut self.state().driver)?;
        self.waiters.wake_reader(); // it writes it
        Ok(())
    }
}

impl<T: Io> SharedState<T> {
    fn poll_flush_call(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call,
        polling: &mut Polling<'_>,
    ) -> Poll<Result<(), Error>> {
        let Some(bytes) = &mut call.flushes else { return Poll::Ready(Ok(())) };
        let flushed = self.driver.poll_flush_to(cx, bytes);
        polling.waits_for = WaitsFor::Flush(*bytes);
        flushed
    }

    /// A call that others wait for, and that has begun no message, lets them go first.
    fn give_back(&mut self, waiters: &Waiters, call: &mut Call) {
        if core::mem::take(&mut call.reserves) && !self.driver.connection.is_in_fragments() {
            let queue = &mut waiters.lock().queue;
            if queue.fragments_of() == Some(call.handle) {
                queue.set_under_way(None);
            }
        }
    }
}

/// Whether one who receives has something to do or to know that was not there `before`.
fn is_news(before: &Mark, after: &Mark) -> bool {
    after.stage != 0 && after != before
}
