//! Messages of groups: each goes out at once, or waits inside the connection for its place, so that
//! whoever drives the connection sends it on.

use super::{Call, Driver, Presence, Shared, State};
use crate::{Error, Prepared, io::Io};
use alloc::{boxed::Box, collections::VecDeque};
use core::task::{Context, Poll, Waker};

/// What a message that is held costs beside its payload, in bytes: the reference to it.
const REFERENCE: usize = 64;

/// How many of those who wait for room drive the connection at most.
const MAX_DRIVERS: usize = 16;

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
    /// By id.
    entries: VecDeque<Entry>,
    /// What those cost that are accepted: it counts as unsent.
    bytes: usize,
    /// How many of the calls that wait drive the connection.
    drivers: usize,
}

struct Entry {
    /// The id of the call that waits for it, if one does.
    id: u64,
    /// The member of a group that it is for.
    member: u64,
    message: Prepared,
    claim: Claim,
    /// Who is to be told when it is not held any more.
    waker: Option<Waker>,
    /// Whether that one drives the connection while nobody receives.
    drives: bool,
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
    fn push(&mut self, id: u64, member: u64, message: Prepared, claim: Claim) {
        if claim == Claim::Accepted {
            self.bytes += message.len() + REFERENCE;
        }
        self.entries.push_back(Entry { id, member, message, claim, waker: None, drives: false });
    }

    /// Puts a message in the place of the newest one: whether there was one.
    fn replace(&mut self, member: u64, message: &Prepared) -> bool {
        let newest = |entry: &&mut Entry| entry.member == member && entry.claim == Claim::Newest;
        let entry = self.entries.iter_mut().find(newest);
        entry.map(|entry| entry.message = message.clone()).is_some()
    }

    fn pop(&mut self) -> Option<Prepared> {
        let entry = self.entries.pop_front()?;
        Some(self.removed(entry))
    }

    /// Tells those who have to know that an entry is gone.
    fn removed(&mut self, entry: Entry) -> Prepared {
        if entry.claim == Claim::Accepted {
            self.bytes -= entry.message.len() + REFERENCE;
        }
        if entry.drives {
            self.drivers -= 1;
            let waits = |other: &&mut Entry| !other.drives && other.waker.is_some();
            let next = self.entries.iter_mut().find(waits);
            next.and_then(|next| next.waker.take()).into_iter().for_each(Waker::wake);
        }
        entry.waker.into_iter().for_each(Waker::wake);
        entry.message
    }

    fn find(&self, id: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok()
    }

    /// Whether a message of this member is held beyond the mark.
    fn is_over(&self, member: u64) -> bool {
        let over = |entry: &Entry| entry.member == member && entry.claim != Claim::Accepted;
        self.entries.iter().any(over)
    }

    /// Somebody waits for an entry: whether it only has to be told, as enough others drive the
    /// connection. With all of them each byte that is written would wake as many as wait.
    fn waits(&mut self, id: u64, waker: &Waker) -> bool {
        let Some(place) = self.find(id) else { return false };
        let entry = &mut self.entries[place];
        match &mut entry.waker {
            Some(known) => known.clone_from(waker),
            None => entry.waker = Some(waker.clone()),
        }
        if !entry.drives && self.drivers < MAX_DRIVERS {
            entry.drives = true;
            self.drivers += 1;
        }
        !entry.drives
    }

    /// Whether nothing is left.
    fn forget(&mut self, forgotten: impl Fn(&Entry) -> bool) -> bool {
        let mut place = 0;
        while let Some(entry) = self.entries.get(place) {
            if !forgotten(entry) {
                place += 1;
            } else if let Some(entry) = self.entries.remove(place) {
                self.removed(entry);
            }
        }
        self.entries.is_empty()
    }
}

impl<T: Io> State<T> {
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
    pub(super) fn let_held_go(&mut self, cx: &mut Context<'_>) {
        while self.queue_held() {
            if self.driver.poll_write_out(cx).is_err() {
                return; // it shows in how the connection ends
            }
        }
    }

    /// Queues what is held, as far as there is room: whether there was something.
    pub(super) fn queue_held(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        let mut queued = false;
        while self.fragmenting.is_none() && self.driver.connection.is_ready() {
            let Some(message) = held.pop() else { break };
            queued |= self.driver.feed(&message).is_ok();
        }
        // Behind a message that nobody can end, or a Close, nothing comes any more.
        if self.orphaned || !self.driver.connection.is_open() {
            while held.pop().is_some() {}
        }
        if held.entries.is_empty() {
            self.held = None;
        }
        queued
    }

    /// Queues all that is held, beyond the mark too, because nothing can be queued from now on.
    #[cold]
    pub(super) fn queue_last(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        let mut goes = self.fragmenting.is_none();
        while let Some(message) = held.pop() {
            goes = goes && self.driver.feed(&message).is_ok();
        }
    }

    fn hold(&mut self) -> &mut Held {
        self.held.get_or_insert_with(Box::default)
    }
}

impl<T: Io> Shared<T> {
    /// Queues a message for a member and writes what can be written at once. Behind a message in
    /// fragments that is under way it waits for its place, which is room as any other. Where there
    /// is no room, even after what waits was written as far as the stream takes it, `over` says what
    /// to do.
    pub(crate) fn offer(&self, member: u64, message: &Prepared, over: Over) -> Offered {
        let mut state = self.state();
        let State { driver, fragmenting, held, .. } = &mut *state;
        if fragmenting.is_some() || held.is_some() || !driver.connection.is_ready() {
            drop(state);
            return self.offer_behind(member, message, over, false);
        }
        let written = driver.written();
        if driver.feed(message).is_err() {
            return Offered::Gone;
        }
        self.write_at_once(driver);
        // As `tell`: here nothing else can have changed.
        let (wrote, open) = (driver.written() != written, driver.connection.is_open());
        drop(state);
        if wrote || !open {
            self.hub.wake_senders(None);
        }
        if !open {
            self.hub.wake_receiver();
        }
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
        let mut state = self.state();
        let before = state.mark();
        let cx = &mut Context::from_waker(&self.waker);
        let slow = state.driver.connection.is_open()
            && !state.has_room(member)
            && self.is_slow(&mut state, member);
        let offered = if !state.driver.connection.is_open() {
            Offered::Gone
        } else if slow && !anyway && !T::has_turn() {
            Offered::Again
        } else if slow {
            match over {
                Over::Refused => Offered::Refused,
                Over::Waits => {
                    let call = Call::of_sink(self.new_id(), None);
                    state.hold().push(call.id, member, message.clone(), Claim::Awaited);
                    Offered::Waits(call)
                }
                Over::Replaces => {
                    let replaced = state.hold().replace(member, message);
                    if !replaced {
                        let id = self.new_id();
                        state.hold().push(id, member, message.clone(), Claim::Newest);
                    }
                    Offered::Kept { replaced }
                }
            }
        } else if state.fragmenting.is_some() || state.held.is_some() {
            state.hold().push(self.new_id(), member, message.clone(), Claim::Accepted);
            Offered::Accepted
        } else if state.driver.feed(message).is_ok() {
            Offered::Accepted
        } else {
            Offered::Gone
        };
        if let Offered::Accepted = offered {
            self.write_at_once(&mut state.driver);
            state.let_held_go(cx);
        }
        self.tell(state, &before);
        offered
    }

    /// What goes wrong shows in how the connection ends.
    fn write_at_once(&self, driver: &mut Driver<T>) {
        let cx = &mut Context::from_waker(&self.waker);
        let _ = driver.poll_write_out(cx).and_then(|()| self.serve(driver, cx));
    }

    /// Writes what waits, which perhaps only nobody has tried: whether the member is slow all the
    /// same. While nobody drives the connection one that takes something is not.
    fn is_slow(&self, state: &mut State<T>, member: u64) -> bool {
        let driven = matches!(self.hub.presence(), Presence::Waiting);
        let written = state.driver.written();
        self.write_at_once(&mut state.driver);
        state.let_held_go(&mut Context::from_waker(&self.waker));
        if state.has_room(member) {
            return false;
        }
        let takes = !driven && written != state.driver.written();
        !takes || state.held.is_some() || state.driver.connection.is_at_limit()
    }

    /// Ready when the message that this call waits for is queued, or was forgotten. Drives the
    /// connection if nobody else does.
    pub(crate) fn poll_held(&self, cx: &Context<'_>, call: &mut Call) -> Poll<Result<(), Error>> {
        let held = self.state().held.as_mut().map(|held| held.waits(call.id, cx.waker()));
        if held == Some(true) {
            return Poll::Pending;
        }
        self.poll_sender(cx, call, |state, cx, call| {
            loop {
                state.let_held_go(cx);
                if !state.driver.connection.is_open() || state.orphaned {
                    return Poll::Ready(Err(state.driver.refusal()));
                }
                if state.held.as_ref().is_none_or(|held| held.find(call.id).is_none()) {
                    return Poll::Ready(Ok(()));
                }
                if state.fragmenting.is_some() {
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
        let mut state = self.state();
        let Some(held) = &mut state.held else { return };
        if held.forget(|entry| entry.member == member && entry.claim != Claim::Accepted) {
            state.held = None;
        }
    }

    /// A call is over that may have waited.
    pub(crate) fn forget_call(&self, call: &Call) {
        self.hub.sender_left(call.id);
        let mut state = self.state();
        let Some(held) = &mut state.held else { return };
        if let Some(entry) = held.find(call.id).and_then(|place| held.entries.remove(place)) {
            held.removed(entry);
        }
        if held.entries.is_empty() {
            state.held = None;
        }
    }
}
