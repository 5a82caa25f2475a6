//! A connection that several tasks share: one that receives, and any number that send.
//!
//! Whoever is polled drives the connection, under a lock that is held for the poll only. What is left
//! with the stream and with the timer is always the same waker, the [`Hub`]: it wakes all who wait.
//! So it does not matter which of them polled last, or stops polling.

mod held;

pub(crate) use held::{Offered, Over};

use super::{Driver, Error, Io, driver::Rest};
use crate::{CloseFrame, IntoFragment, MessageRef, SendError, connection::unfinished};
use alloc::{boxed::Box, collections::VecDeque, sync::Arc, task::Wake, vec::Vec};
use core::{
    mem,
    task::{Context, Poll, Waker, ready},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The id of the first writer.
const FIRST: u64 = 0;

/// A connection in two halves.
pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    hub: Arc<Hub>,
    /// The hub, as the stream and the timer know it.
    waker: Waker,
    /// Not an atomic, as some platforms have none of 64 bits.
    next_id: Mutex<u64>,
}

struct State<T> {
    driver: Driver<T>,
    /// Who is in the middle of a message in fragments.
    fragmenting: Option<u64>,
    /// Whether that one was dropped, so that nobody can end the message.
    orphaned: bool,
    /// Who waits for room, in the order in which they came.
    turns: VecDeque<u64>,
    /// Messages of groups that wait for their place, if there are any.
    held: Option<Box<held::Held>>,
}

/// Wakes all who wait.
#[derive(Default)]
struct Hub(Mutex<Tasks>);

#[derive(Default)]
struct Tasks {
    receiver: Receiver,
    senders: Vec<(u64, Waker)>,
    /// How often something happened that whoever is in the middle of a poll may have missed.
    wakes: u64,
}

/// What the half that receives does.
#[derive(Default)]
enum Receiver {
    /// Nothing.
    #[default]
    Idle,
    /// It waits.
    Waiting(Waker),
    /// It waited, was woken, and was not polled since.
    Woken,
    /// It was dropped.
    Gone,
}

/// The same, without its waker.
#[derive(Clone, Copy)]
enum Presence {
    Idle,
    Waiting,
    Woken,
    Gone,
}

/// A change of which others want to know.
#[derive(PartialEq, Eq)]
struct Mark {
    written: (u64, u64),
    open: bool,
    over: bool,
    fragmenting: Option<u64>,
    turns: usize,
}

impl Mark {
    /// Whether one who receives has something to do or to know that was not there `before`: the
    /// deadline of an end that has begun, what comes behind the last byte that was written, the end.
    fn is_news(&self, before: &Self) -> bool {
        !self.open && self != before
    }
}

impl Wake for Hub {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl Hub {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let mut tasks = self.tasks();
        tasks.wakes += 1;
        let receiver = tasks.receiver.take_waker();
        let senders = mem::take(&mut tasks.senders);
        drop(tasks);
        receiver.into_iter().for_each(Waker::wake);
        senders.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn wake_receiver(&self) {
        let waker = self.tasks().receiver.take_waker();
        waker.into_iter().for_each(Waker::wake);
    }

    fn wake_senders(&self, except: Option<u64>) {
        let mut tasks = self.tasks();
        if tasks.senders.is_empty() {
            return;
        }
        let mut senders = mem::take(&mut tasks.senders);
        if let Some(spared) = senders.iter().position(|(id, _)| Some(*id) == except) {
            tasks.senders.push(senders.swap_remove(spared));
        }
        drop(tasks);
        senders.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn presence(&self) -> Presence {
        match self.tasks().receiver {
            Receiver::Idle => Presence::Idle,
            Receiver::Waiting(_) => Presence::Waiting,
            Receiver::Woken => Presence::Woken,
            Receiver::Gone => Presence::Gone,
        }
    }

    /// The half that receives waits; unless something happened since `wakes`, for it does not know.
    fn receiver_waits(&self, waker: &Waker, wakes: u64) {
        let mut tasks = self.tasks();
        match tasks.wakes == wakes {
            true => tasks.receiver = Receiver::Waiting(waker.clone()),
            false => {
                tasks.receiver = Receiver::Woken;
                drop(tasks);
                waker.wake_by_ref();
            }
        }
    }

    /// The half that receives does not wait any more.
    fn receiver_left(&self, to: Receiver) {
        let mut tasks = self.tasks();
        if !matches!((&tasks.receiver, &to), (Receiver::Idle, Receiver::Idle)) {
            tasks.receiver = to;
            // Who left the receiving to it, or is about to, may have to go on by itself.
            tasks.wakes += 1;
            let senders = mem::take(&mut tasks.senders);
            drop(tasks);
            senders.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    /// As `receiver_waits`, for somebody who sends.
    fn sender_waits(&self, id: u64, waker: &Waker, wakes: u64) {
        let mut tasks = self.tasks();
        if tasks.wakes != wakes {
            drop(tasks);
            return waker.wake_by_ref();
        }
        match tasks.senders.iter_mut().find(|(other, _)| *other == id) {
            Some((_, known)) => known.clone_from(waker),
            None => tasks.senders.push((id, waker.clone())),
        }
    }

    fn sender_left(&self, id: u64) {
        self.tasks().senders.retain(|(other, _)| *other != id);
    }
}

/// Wakes everybody if a stream, a source of mask keys or a waker panics in the middle of a poll: what
/// has changed until then is told by nobody else.
struct Alarm<'h>(&'h Hub);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.wake_all();
    }
}

impl Receiver {
    fn take_waker(&mut self) -> Option<Waker> {
        if !matches!(self, Self::Waiting(_)) {
            return None;
        }
        match mem::replace(self, Self::Woken) {
            Self::Waiting(waker) => Some(waker),
            _ => None,
        }
    }
}

impl<T: Io> State<T> {
    fn mark(&mut self) -> Mark {
        Mark {
            written: self.driver.written(),
            open: self.driver.connection.is_open(),
            over: self.driver.connection.closed().is_some(),
            fragmenting: self.fragmenting,
            turns: self.turns.len(),
        }
    }

    /// That call waits no more for its turn.
    fn leave(&mut self, id: u64) {
        self.turns.retain(|other| *other != id);
        if self.turns.is_empty() {
            self.turns = VecDeque::new(); // there may have been thousands
        }
    }

    /// Ready when it is the turn of this call to queue something and there is room. Who has begun a
    /// message in fragments goes on with it before all others, and nobody else's goes inside it.
    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        kind: Feed,
    ) -> Poll<Result<(), Error>> {
        let open = self.driver.connection.is_open();
        if !open && self.driver.turn_of_sends_is_over(cx) {
            return Poll::Pending;
        }
        let waits = match self.fragmenting {
            _ if kind == Feed::Control => false,
            Some(owner) => owner != call.handle,
            None => call.queues && self.turns.front().is_some_and(|first| *first != call.id),
        };
        let polled = match kind {
            Feed::Control => self.driver.poll_ready_for_control(cx),
            Feed::Message if !open => Poll::Ready(Err(self.driver.refusal())),
            Feed::Message if waits => Poll::Pending,
            Feed::Message => self.driver.poll_ready(cx),
        };
        if polled.is_ready() {
            self.leave(call.id);
        } else if call.queues && !self.turns.contains(&call.id) {
            self.turns.push_back(call.id);
        }
        polled
    }

    /// Starts the closing handshake, behind what is held.
    fn start_close(&mut self, frame: &Option<CloseFrame>) {
        if self.held.is_some() && self.driver.connection.is_open() {
            self.queue_last();
        }
        self.driver.start_close(frame);
    }
}

impl<T> Shared<T> {
    pub(crate) fn new_id(&self) -> u64 {
        let mut next = self.next_id.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next - 1
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // What panicked was a stream or a waker; the connection is as it was left.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The half that receives is dropped.
    pub(crate) fn receiver_gone(&self) {
        self.hub.receiver_left(Receiver::Gone);
    }

    /// It does not wait any more.
    pub(crate) fn receiver_left(&self) {
        self.hub.receiver_left(Receiver::Idle);
    }

    /// One of those who send is dropped.
    pub(crate) fn sender_gone(&self, id: u64) {
        let mut state = self.state();
        self.hub.sender_left(id);
        if state.fragmenting == Some(id) {
            // Nobody can go on with its message: let the others know.
            (state.fragmenting, state.orphaned) = (None, true);
            drop(state);
            self.hub.wake_senders(None);
        }
    }
}

impl<T: Io> Shared<T> {
    pub(crate) fn new(mut driver: Driver<T>) -> Self {
        driver.share();
        let hub = Arc::new(Hub::default());
        // The first writer goes on with what was begun before there were halves.
        let fragmenting = driver.connection.is_in_fragments().then_some(FIRST);
        let (turns, held) = (VecDeque::new(), None);
        let state = State { driver, fragmenting, orphaned: false, turns, held };
        let waker = Arc::clone(&hub).into();
        Self { state: Mutex::new(state), hub, waker, next_id: Mutex::new(FIRST) }
    }

    /// The connection, which nobody shares any more.
    pub(crate) fn into_driver(self) -> Driver<T> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.queue_last();
        let mut driver = state.driver;
        driver.unshare();
        driver
    }

    /// Looks at the connection.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut Driver<T>) -> R) -> R {
        look(&mut self.state().driver)
    }

    /// Polls for the half that receives.
    pub(crate) fn poll_receiver<R>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Driver<T>, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let alarm = Alarm(&self.hub);
        let mut state = self.state();
        let wakes = self.hub.tasks().wakes;
        let before = state.mark();
        let hub_cx = &mut Context::from_waker(&self.waker);
        let polled = poll(&mut state.driver, hub_cx);
        if state.held.is_some() {
            state.let_held_go(hub_cx);
        }
        let changed = before != state.mark();
        match polled {
            Poll::Pending => self.hub.receiver_waits(cx.waker(), wakes),
            Poll::Ready(_) => self.hub.receiver_left(Receiver::Idle),
        }
        drop(state);
        if changed {
            self.hub.wake_senders(None);
        }
        mem::forget(alarm);
        polled
    }

    /// Polls for somebody who sends, and does what the half that receives leaves undone.
    fn poll_sender<R>(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        poll: impl FnOnce(&mut State<T>, &mut Context<'_>, &mut Call) -> Poll<Result<R, Error>>,
    ) -> Poll<Result<R, Error>> {
        let alarm = Alarm(&self.hub);
        let mut state = self.state();
        let wakes = self.hub.tasks().wakes;
        let before = state.mark();
        call.waits = true;
        let hub_cx = &mut Context::from_waker(&self.waker);
        state.driver.received_elsewhere = matches!(self.hub.presence(), Presence::Waiting);
        let polled = poll(&mut state, hub_cx, call);
        let between = state.mark();
        let served = self.serve(&mut state.driver, hub_cx);
        if state.held.is_some() {
            state.let_held_go(hub_cx);
        }
        let after = state.mark();
        let leaves = polled.is_ready() && state.driver.waits_to_write();
        call.waits = polled.is_pending();
        if call.waits {
            self.hub.sender_waits(call.id, cx.waker(), wakes);
        }
        drop(state);
        if between != after {
            self.hub.wake_senders(None); // this one too: what it waits for may have come
        } else if before != after {
            self.hub.wake_senders(Some(call.id));
        }
        if leaves || after.is_news(&before) {
            self.hub.wake_receiver(); // it writes what was only queued
        }
        mem::forget(alarm);
        match (polled, served) {
            (Poll::Pending, Err(error)) => Poll::Ready(Err(error)),
            (polled, _) => polled,
        }
    }

    /// Reads for a half that does not receive at the moment, as far as that is no loss to it.
    fn serve(&self, driver: &mut Driver<T>, cx: &mut Context<'_>) -> Result<(), Error> {
        match self.hub.presence() {
            Presence::Gone => match driver.poll_over(cx, Rest::Discarded) {
                Poll::Ready(result) => return result,
                Poll::Pending => return Ok(()),
            },
            Presence::Waiting => {}
            Presence::Woken | Presence::Idle => {
                driver.poll_control(cx)?;
                driver.poll_write_some(cx)?;
            }
        }
        driver.poll_stamp(cx)
    }

    /// Waits for room, in turn; lets `feed` queue something; and writes it, if that is asked for.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        (kind, flush): (Feed, Flush),
        feed: &mut impl FnMut(&mut Driver<T>) -> Result<(), Error>,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call| {
            if call.flushes.is_none() {
                ready!(state.poll_turn(cx, call, kind))?;
                feed(&mut state.driver)?;
                call.flushes = Some(state.driver.total_queued());
            }
            match &mut call.flushes {
                Some(bytes) if flush == Flush::Always || state.driver.sends_strictly() => {
                    state.driver.poll_flush_to(cx, bytes)
                }
                _ => Poll::Ready(Ok(())),
            }
        })
    }

    /// Waits for room, in turn.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>, call: &mut Call) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call| state.poll_turn(cx, call, Feed::Message))
    }

    /// Waits for room for a fragment, in turn: from then on others wait for the end of its message.
    pub(crate) fn poll_fragment_ready(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call| {
            ready!(state.poll_turn(cx, call, Feed::Message))?;
            (state.fragmenting, call.reserves) = (Some(call.handle), true);
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
        let mut state = self.state();
        if state.orphaned || state.fragmenting.is_some_and(|owner| owner != handle) {
            return Err(unfinished(fragment));
        }
        state.driver.feed_fragment(fragment, fin)?;
        state.fragmenting = (!fin).then_some(handle);
        state.queue_held();
        drop(state);
        self.hub.wake_receiver(); // it writes it
        if fin {
            self.hub.wake_senders(None);
        }
        Ok(())
    }

    /// The empty fragment that ends the message of `handle`, if one is under way.
    pub(crate) fn last_fragment(&self, handle: u64) -> Option<MessageRef<'static>> {
        let state = self.state();
        (state.fragmenting == Some(handle)).then(|| state.driver.connection.last_fragment())?
    }

    /// Writes and flushes all that is queued when this is polled first.
    pub(crate) fn poll_flush(&self, cx: &Context<'_>, call: &mut Call) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call| {
            if state.driver.turn_of_sends_is_over(cx) {
                return Poll::Pending;
            }
            let bytes = call.flushes.get_or_insert_with(|| state.driver.total_queued());
            state.driver.poll_flush_to(cx, bytes)
        })
    }

    /// Closes the connection and waits for its end.
    pub(crate) fn poll_close(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        frame: &Option<CloseFrame>,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, _| {
            state.start_close(frame);
            let driver = &mut state.driver;
            if driver.end().is_none() {
                match self.hub.presence() {
                    // It sees the connection to its end.
                    Presence::Waiting => {}
                    // It will, unless it stopped polling without a word. What is left to it may be
                    // in the way of the end: deadlines pass all the same.
                    Presence::Woken => {
                        if let Poll::Ready(over) = driver.poll_over(cx, Rest::Left) {
                            over?;
                        }
                    }
                    Presence::Idle => ready!(driver.poll_over(cx, Rest::Kept))?,
                    Presence::Gone => ready!(driver.poll_over(cx, Rest::Discarded))?,
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
        let mut state = self.state();
        let before = state.mark();
        state.start_close(frame);
        let cx = &mut Context::from_waker(&self.waker);
        // The deadline begins now, whoever is the first to wait for it.
        let _ = state.driver.poll_write_out(cx).and_then(|()| state.driver.poll_stamp(cx));
        self.tell(state, &before);
    }

    /// Tells others what has changed.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>, before: &Mark) {
        let after = state.mark();
        drop(state);
        if *before != after {
            self.hub.wake_senders(None);
        }
        if after.is_news(before) {
            self.hub.wake_receiver();
        }
    }

    /// Queues something at once, or not at all.
    pub(crate) fn feed<E>(
        &self,
        feed: impl FnOnce(&mut Driver<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        feed(&mut self.state().driver)?;
        self.hub.wake_receiver(); // it writes it
        Ok(())
    }
}

/// What is queued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    Message,
    Control,
}

/// When it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Always,
    /// As [`FlushPolicy`](crate::FlushPolicy) says.
    Policy,
}

/// A call that sends, from one poll to the next.
pub(crate) struct Call {
    id: u64,
    /// Whose call it is.
    pub(crate) handle: u64,
    /// Whether others wait for its turn.
    queues: bool,
    /// Up to where it flushes, of all bytes that are ever queued, once that is known.
    pub(crate) flushes: Option<Option<u64>>,
    /// Whether others may be waiting for the end of a message that it has not begun yet.
    reserves: bool,
    /// Whether it is registered, or may be since a poll of it panicked.
    waits: bool,
}

impl Call {
    /// Of a `Sink`, which may stop polling without a word: nobody may wait for its turn.
    pub(crate) fn of_sink(handle: u64, flushes: Option<Option<u64>>) -> Self {
        Self { id: handle, handle, queues: false, flushes, reserves: false, waits: false }
    }
}

/// A call that may be dropped at any time.
pub(crate) struct Turn<'s, T: Io> {
    pub(crate) shared: &'s Shared<T>,
    pub(crate) call: Call,
}

impl<'s, T: Io> Turn<'s, T> {
    pub(crate) fn new(shared: &'s Shared<T>, handle: u64) -> Self {
        let id = shared.new_id();
        let call = Call { id, queues: true, ..Call::of_sink(handle, None) };
        Self { shared, call }
    }
}

impl<T: Io> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        if !self.call.waits && !self.call.reserves {
            return;
        }
        let mut state = self.shared.state();
        state.leave(self.call.id);
        let begun = state.driver.connection.is_in_fragments();
        let mut queued = false;
        if state.fragmenting == Some(self.call.handle) && !begun {
            state.fragmenting = None;
            queued = state.queue_held();
        }
        self.shared.hub.sender_left(self.call.id);
        drop(state);
        if queued {
            self.shared.hub.wake_receiver(); // it writes it
        }
        // It may have been its turn.
        self.shared.hub.wake_senders(None);
    }
}
