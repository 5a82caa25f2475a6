//! Messages of groups: each goes out at once, or waits inside the connection for its place, so that
//! whoever drives the connection sends it on.

use super::{
    super::write_queue::{Answer, Place, Sends, WaitsFor},
    Call, Driver, Polling, ReaderState, Shared, SharedState, Waiters, WakeOnPanic, Woken, is_news,
    serve,
};
use crate::{Error, Prepared, io::Io};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::{
    mem,
    task::{Context, Poll},
};

/// What a message that is held costs beside its payload, in bytes: the reference to it.
const REFERENCE: usize = 64;

/// What groups send is no writer's.
const NO_WRITER: u64 = u64::MAX;

/// What becomes of a message for which there is no room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Refused,
    /// It is held beyond the mark, and its group waits for it.
    Waits,
    /// It is held beyond the mark, in the place of the one before it.
    Replaces,
}

/// What became of a message.
pub(crate) enum Offered {
    /// It goes out.
    Accepted,
    Refused,
    /// Nothing can be sent any more.
    Gone,
    /// It goes out as soon as there is room, for which this call waits.
    Waits(Call),
    Kept {
        /// Whether an older one was waiting, which is gone now.
        replaced: bool,
    },
    /// The task has used up its turn, so nothing can be said: offer it again in the next one.
    Again,
}

/// Messages that wait for their place in the outbox, in order.
#[derive(Default)]
pub(super) struct Held {
    /// By their places in the write queue.
    entries: BTreeMap<u64, HeldMessage>,
    /// What those cost that are accepted: it counts as unsent.
    bytes: usize,
    /// How many are beyond the mark.
    over: usize,
    /// The first one asks here for its turn.
    asks: Place,
    /// Whether it is to ask again soon.
    again: bool,
}

struct HeldMessage {
    /// The member of a group that it is for.
    member: u64,
    message: Prepared,
    claim: Claim,
}

/// On what ground a message is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It was accepted, and counts as unsent.
    Accepted,
    /// It is beyond the mark, and a call waits for it.
    Awaited,
    /// It is beyond the mark until a newer one takes its place.
    Newest,
}

impl Held {
    fn push(&mut self, ticket: u64, member: u64, message: Prepared, claim: Claim) {
        match claim {
            Claim::Accepted => self.bytes += message.len() + REFERENCE,
            Claim::Awaited | Claim::Newest => self.over += 1,
        }
        self.entries.insert(ticket, HeldMessage { member, message, claim });
    }

    /// Puts a message in the place of the newest one: whether there was one.
    fn replace(&mut self, member: u64, message: &Prepared) -> bool {
        let newest =
            |entry: &&mut HeldMessage| entry.member == member && entry.claim == Claim::Newest;
        let entry = self.entries.values_mut().find(newest);
        entry.map(|entry| entry.message = message.clone()).is_some()
    }

    fn remove(&mut self, ticket: u64) -> Option<HeldMessage> {
        let entry = self.entries.remove(&ticket)?;
        match entry.claim {
            Claim::Accepted => self.bytes -= entry.message.len() + REFERENCE,
            Claim::Awaited | Claim::Newest => self.over -= 1,
        }
        Some(entry)
    }

    /// Takes the first one out, and wakes the call that waits for it.
    fn pop(&mut self, waiters: &Waiters, woken: &mut Woken) -> Option<Prepared> {
        let ticket = *self.entries.first_key_value()?.0;
        woken.0.extend(waiters.lock().queue.wake_other(ticket));
        self.remove(ticket).map(|entry| entry.message)
    }

    /// Whether it is the turn of the first one. Those that are accepted are in front of all writers
    /// that wait.
    fn ask(&mut self, waiters: &Waiters, woken: &mut Woken) -> Answer {
        match self.entries.first_key_value() {
            None => Answer::Wait,
            Some((_, HeldMessage { claim: Claim::Accepted, .. })) => Answer::Go,
            Some((ticket, _)) => {
                self.asks.stand_at(*ticket);
                let queue = &mut waiters.lock().queue;
                queue.ask(&mut self.asks, Sends::Message(NO_WRITER), &mut woken.0)
            }
        }
    }

    /// Whether a message of this member is held beyond the mark.
    fn is_over(&self, member: u64) -> bool {
        let over = |entry: &HeldMessage| entry.member == member && entry.claim != Claim::Accepted;
        self.over > 0 && self.entries.values().any(over)
    }
}

impl<T: Io> SharedState<T> {
    /// Whether another message of this member may be accepted.
    fn has_room(&self, member: u64) -> bool {
        match &self.held {
            None => self.driver.connection.is_ready(),
            Some(held) => {
                !held.is_over(member) && self.driver.connection.is_ready_behind(held.bytes)
            }
        }
    }

    /// Queues and writes what is held, as far as there is room.
    #[cold]
    pub(super) fn let_held_go(
        &mut self,
        waiters: &Waiters,
        cx: &mut Context<'_>,
        woken: &mut Woken,
    ) {
        while self.queue_held(waiters, woken) {
            if self.driver.poll_write_out(cx).is_err() {
                return; // it shows in how the connection ends
            }
        }
        if self.held.as_mut().is_some_and(|held| mem::take(&mut held.again)) {
            cx.waker().wake_by_ref(); // somebody is in front, who may not come
        }
    }

    /// Queues what is held, as far as there is room: whether there was something.
    pub(super) fn queue_held(&mut self, waiters: &Waiters, woken: &mut Woken) -> bool {
        let Some(held) = &mut self.held else { return false };
        let mut queued = false;
        let (fragments_of, is_abandoned) = {
            let queue = &waiters.lock().queue;
            (queue.fragments_of(), queue.is_abandoned())
        };
        while fragments_of.is_none() && !is_abandoned && self.driver.connection.is_ready() {
            let answer = held.ask(waiters, woken);
            held.again = answer == Answer::Again;
            if answer != Answer::Go {
                break;
            }
            let Some(message) = held.pop(waiters, woken) else { break };
            queued |= self.driver.feed(&message).is_ok();
        }
        // Behind a message that nobody can end, or a Close, nothing comes any more.
        if is_abandoned || !self.driver.connection.is_open() {
            while held.pop(waiters, woken).is_some() {}
        }
        if held.entries.is_empty() {
            self.held = None;
        }
        queued
    }

    /// Queues all that is held, beyond the mark too, because nothing can be queued from now on.
    #[cold]
    pub(super) fn queue_last(&mut self, waiters: &Waiters, woken: &mut Woken) {
        let Some(mut held) = self.held.take() else { return };
        let mut goes = waiters.lock().queue.fragments_of().is_none();
        while let Some(message) = held.pop(waiters, woken) {
            goes = goes && self.driver.feed(&message).is_ok();
        }
    }

    fn hold(&mut self) -> &mut Held {
        self.held.get_or_insert_with(Box::default)
    }
}

/// Writes what can be written at once. What goes wrong shows in how the connection ends.
fn write_at_once<T: Io>(reader: ReaderState, driver: &mut Driver<T>, cx: &mut Context<'_>) {
    let _ = driver.poll_write_out(cx).and_then(|()| serve(reader, driver, cx));
}

impl<T: Io> Shared<T> {
    /// Queues a message for a member and writes what can be written at once. Behind a message in
    /// fragments that is under way it waits for its place, which is room as any other. Where there
    /// is no room, even after what waits was written as far as the stream takes it, `over` says what
    /// to do.
    pub(crate) fn offer(&self, member: u64, message: &Prepared, over: Over) -> Offered {
        let on_panic = WakeOnPanic(&self.waiters);
        let mut state = self.state();
        let seen = self.waiters.seen();
        let SharedState { driver, held, .. } = &mut *state;
        if !seen.is_clear || held.is_some() || !driver.connection.is_ready() {
            drop(state);
            on_panic.disarm();
            return self.offer_behind(member, message, over, false);
        }
        if driver.feed(message).is_err() {
            on_panic.disarm();
            return Offered::Gone;
        }
        write_at_once(seen.reader, driver, &mut Context::from_waker(&self.waker));
        let is_open = driver.connection.is_open();
        if !is_open || !self.waiters.lock().queue.is_idle() {
            self.tell(state, Woken::default(), !is_open);
        }
        on_panic.disarm();
        Offered::Accepted
    }

    /// As `offer`, and never [`Offered::Again`] if it is to be judged `anyway`.
    #[cold]
    #[inline(never)]
    pub(crate) fn offer_behind(
        &self,
        member: u64,
        message: &Prepared,
        over: Over,
        anyway: bool,
    ) -> Offered {
        let on_panic = WakeOnPanic(&self.waiters);
        let mut woken = Woken::default();
        let mut state = self.state();
        let before = state.mark();
        let slow = state.driver.connection.is_open()
            && !state.has_room(member)
            && self.is_slow(&mut state, member, &mut woken);
        let is_barred = self.waiters.lock().queue.fragments_of().is_some();
        let offered = if !state.driver.connection.is_open() {
            Offered::Gone
        } else if slow && !anyway && !T::has_turn() {
            Offered::Again
        } else if slow {
            match over {
                Over::Refused => Offered::Refused,
                Over::Waits => {
                    let mut call = Call::default();
                    let ticket = self.waiters.lock().queue.draw(&mut call.place);
                    state.hold().push(ticket, member, message.clone(), Claim::Awaited);
                    Offered::Waits(call)
                }
                Over::Replaces => {
                    let replaced = state.hold().replace(member, message);
                    if !replaced {
                        let ticket = self.new_id();
                        state.hold().push(ticket, member, message.clone(), Claim::Newest);
                    }
                    Offered::Kept { replaced }
                }
            }
        } else if is_barred || state.held.is_some() {
            state.hold().push(self.new_id(), member, message.clone(), Claim::Accepted);
            Offered::Accepted
        } else if state.driver.feed(message).is_ok() {
            Offered::Accepted
        } else {
            Offered::Gone
        };
        if let Offered::Accepted = offered {
            let cx = &mut Context::from_waker(&self.waker);
            write_at_once(self.waiters.seen().reader, &mut state.driver, cx);
            state.let_held_go(&self.waiters, cx, &mut woken);
        }
        let news = is_news(&before, &state.mark());
        self.tell(state, woken, news);
        on_panic.disarm();
        offered
    }

    /// Writes what waits, which perhaps only nobody has tried: whether the member is slow all the
    /// same. While nobody drives the connection one that takes something is not.
    fn is_slow(&self, state: &mut SharedState<T>, member: u64, woken: &mut Woken) -> bool {
        let reader = self.waiters.seen().reader;
        let written = state.driver.written();
        let cx = &mut Context::from_waker(&self.waker);
        write_at_once(reader, &mut state.driver, cx);
        state.let_held_go(&self.waiters, cx, woken);
        if state.has_room(member) {
            return false;
        }
        let takes = reader != ReaderState::Waiting && written != state.driver.written();
        !takes || state.held.is_some() || state.driver.connection.is_at_limit()
    }

    /// Ready when the message that this call waits for is queued, or was forgotten. Drives the
    /// connection if nobody else does.
    pub(crate) fn poll_held(&self, cx: &Context<'_>, call: &mut Call) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call, polling| {
            polling.waits_for = WaitsFor::Other;
            loop {
                state.let_held_go(polling.waiters, cx, &mut polling.woken);
                let Polling { waiters, .. } = polling;
                if !state.driver.connection.is_open() || waiters.lock().queue.is_abandoned() {
                    return Poll::Ready(Err(state.driver.refusal()));
                }
                let ticket = call.place.ticket();
                let is_held = |held: &Held| held.entries.contains_key(&ticket);
                if !state.held.as_deref().is_some_and(is_held) {
                    return Poll::Ready(Ok(()));
                }
                let is_barred = waiters.lock().queue.fragments_of().is_some();
                if is_barred || state.driver.connection.is_ready() {
                    return Poll::Pending;
                }
                match state.driver.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    polled => return polled,
                }
            }
        })
    }
}

impl<T> Shared<T> {
    /// A member has left its group: nothing more is held for it beyond the mark, and nobody waits
    /// for that.
    pub(crate) fn forget_member(&self, member: u64) {
        let mut woken = Woken::default();
        let mut state = self.state();
        let Some(held) = &mut state.held else { return };
        let is_forgotten = |(ticket, entry): (&u64, &HeldMessage)| {
            (entry.member == member && entry.claim != Claim::Accepted).then_some(*ticket)
        };
        let forgotten: Vec<u64> = held.entries.iter().filter_map(is_forgotten).collect();
        for ticket in forgotten {
            held.remove(ticket);
            woken.0.extend(self.waiters.lock().queue.wake_other(ticket));
        }
        if held.entries.is_empty() {
            state.held = None;
        }
        drop(state);
        woken.wake();
    }

    /// A call is over that may have waited.
    pub(crate) fn forget_call(&self, call: &mut Call) {
        let mut woken = Woken::default();
        let mut state = self.state();
        if let Some(held) = &mut state.held {
            let entry = held.remove(call.place.ticket());
            if held.entries.is_empty() {
                state.held = None;
            }
            if entry.is_some() {
                // What looked after the connection is gone: another one does.
                self.waiters.lock().queue.wake_some(1, &mut woken.0);
            }
        }
        self.waiters.lock().queue.leave(&mut call.place);
        drop(state);
        woken.wake();
    }
}
