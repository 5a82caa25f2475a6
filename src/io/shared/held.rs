//! Messages of groups: each goes out at once, or waits inside the connection for its place, so that
//! whoever drives the connection sends it on.

use super::{Call, Driver, Presence, Shared, State};
use crate::{Error, Prepared, io::Io};
use alloc::{boxed::Box, collections::VecDeque};
use core::task::{Context, Poll};

/// What a message that is held costs beside its payload, in bytes: the reference to it.
const REFERENCE: usize = 64;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It goes out.
    Accepted,
    Refused,
    /// Nothing can be sent any more.
    Gone,
    Waits,
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
    entries: VecDeque<Entry>,
    /// What those cost that are accepted: it counts as unsent.
    bytes: usize,
}

struct Entry {
    /// The member of a group that it is for.
    member: u64,
    message: Prepared,
    /// Whether it was promised to go out. One that was not is beyond the mark, and there is at most
    /// one of them for each member.
    accepted: bool,
}

impl Held {
    fn accept(&mut self, member: u64, message: Prepared) {
        self.bytes += message.len() + REFERENCE;
        self.entries.push_back(Entry { member, message, accepted: true });
    }

    /// Holds a message beyond the mark: whether it took the place of another.
    fn put(&mut self, member: u64, message: Prepared) -> bool {
        let of = |entry: &&mut Entry| entry.member == member && !entry.accepted;
        match self.entries.iter_mut().find(of) {
            Some(entry) => {
                entry.message = message;
                true
            }
            None => {
                self.entries.push_back(Entry { member, message, accepted: false });
                false
            }
        }
    }

    fn pop(&mut self) -> Option<Prepared> {
        let entry = self.entries.pop_front()?;
        if entry.accepted {
            self.bytes -= entry.message.len() + REFERENCE;
        }
        Some(entry.message)
    }

    /// Whether a message of this member is held beyond the mark.
    fn waits(&self, member: u64) -> bool {
        self.entries.iter().any(|entry| entry.member == member && !entry.accepted)
    }

    fn forget(&mut self, member: u64) {
        self.entries.retain(|entry| entry.member != member || entry.accepted);
    }
}

impl<T: Io> State<T> {
    /// Whether another message of this member may be accepted.
    fn has_room(&self, member: u64) -> bool {
        match &self.held {
            None => self.driver.connection.is_ready(),
            Some(held) => !held.waits(member) && self.driver.connection.is_ready_behind(held.bytes),
        }
    }

    /// Queues and writes what is held, as far as there is room.
    #[cold]
    pub(super) fn let_held_go(&mut self, cx: &mut Context<'_>) {
        while self.queue_held() {
            if self.driver.poll_write_some(cx).is_err() {
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
            queued |= self.driver.feed_prepared(&message).is_ok();
        }
        // Behind a message that nobody can end, or a Close, nothing comes any more.
        if held.entries.is_empty() || self.orphaned || !self.driver.connection.is_open() {
            self.held = None;
        }
        queued
    }

    /// Queues all that is held, beyond the mark too, because nothing can be queued from now on.
    #[cold]
    pub(super) fn queue_last(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        if self.fragmenting.is_none() {
            while let Some(message) = held.pop() {
                if self.driver.feed_prepared(&message).is_err() {
                    return;
                }
            }
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
        if driver.feed_prepared(message).is_err() {
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
        } else if slow && over == Over::Refused {
            Offered::Refused
        } else if slow {
            let replaced = state.hold().put(member, message.clone());
            if over == Over::Waits { Offered::Waits } else { Offered::Kept { replaced } }
        } else if state.fragmenting.is_some() || state.held.is_some() {
            state.hold().accept(member, message.clone());
            Offered::Accepted
        } else if state.driver.feed_prepared(message).is_ok() {
            Offered::Accepted
        } else {
            Offered::Gone
        };
        if offered == Offered::Accepted {
            self.write_at_once(&mut state.driver);
            state.let_held_go(cx);
        }
        self.tell(state, &before);
        offered
    }

    /// What goes wrong shows in how the connection ends.
    fn write_at_once(&self, driver: &mut Driver<T>) {
        let cx = &mut Context::from_waker(&self.waker);
        let _ = driver.poll_write_some(cx).and_then(|()| self.serve(driver, cx));
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

    /// Ready when nothing of a member is held beyond the mark any more. Drives the connection if
    /// nobody else does.
    pub(crate) fn poll_held(
        &self,
        cx: &Context<'_>,
        call: &mut Call,
        member: u64,
    ) -> Poll<Result<(), Error>> {
        self.poll_sender(cx, call, |state, cx, call| {
            loop {
                state.let_held_go(cx);
                if !state.driver.connection.is_open() || state.orphaned {
                    return Poll::Ready(Err(state.driver.refusal(call.waits)));
                }
                if !state.held.as_ref().is_some_and(|held| held.waits(member)) {
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

    pub(crate) fn new_call(&self) -> Call {
        Call::of_sink(self.new_id(), None)
    }
}

impl<T> Shared<T> {
    /// A member has left its group: nothing more is held for it beyond the mark.
    pub(crate) fn forget(&self, member: u64) {
        let mut state = self.state();
        let Some(held) = &mut state.held else { return };
        held.forget(member);
        if held.entries.is_empty() {
            state.held = None;
        }
    }

    /// A call is over that may have waited.
    pub(crate) fn call_gone(&self, call: &Call) {
        self.hub.sender_left(call.id);
    }
}
