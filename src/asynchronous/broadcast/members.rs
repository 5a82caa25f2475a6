//! Who is in a group.

use super::{Delivery, MemberId, SlowConsumer};
use crate::{
    CloseFrame, Error, Prepared,
    asynchronous::{AsyncIo, Writer},
    io::{Call, Offered, Over},
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};
use std::panic::catch_unwind;

/// How many members are served before others get their turn on the thread.
pub(super) const AT_ONCE: usize = 32;

/// The next member of any group.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The members, in the order in which they joined: so by number. Who goes through them remembers
/// the number of the next one and not its place. Then those who join or leave meanwhile make nobody
/// miss a message, and places may move.
pub(super) struct Members<T> {
    places: Vec<Place<T>>,
    count: usize,
    /// What those who come now are closed with.
    pub(super) closed: Option<Option<CloseFrame>>,
}

struct Place<T> {
    id: MemberId,
    /// Nobody, once the member has left.
    seat: Option<Seat<T>>,
}

pub(super) struct Seat<T> {
    writer: Writer<T>,
    missed: u64,
}

/// A message on its way through the members.
pub(super) struct Round<T> {
    message: Prepared,
    /// Who does not get it, or nobody.
    except: MemberId,
    /// Who is next, and who is the last: those who join later get only later messages.
    range: Option<(MemberId, MemberId)>,
    pub(super) delivery: Delivery,
    /// Whom the group waits for.
    pub(super) waiting: VecDeque<WaitingSend<T>>,
}

/// A member for which a message is held beyond the mark, until this is dropped.
pub(super) struct WaitingSend<T> {
    pub(super) id: MemberId,
    writer: Writer<T>,
    call: Call,
}

impl<T> Members<T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), count: 0, closed: None }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn join(&mut self, writer: Writer<T>) -> MemberId {
        let id = MemberId(NEXT.fetch_add(1, Ordering::Relaxed));
        self.places.push(Place { id, seat: Some(Seat { writer, missed: 0 }) });
        self.count += 1;
        id
    }

    pub(super) fn leave(&mut self, id: MemberId) -> Option<Writer<T>> {
        let place = self.place(id)?;
        let seat = self.places[place].seat.take()?;
        self.count -= 1;
        self.tidy();
        Some(seat.writer)
    }

    pub(super) fn missed(&self, id: MemberId) -> Option<u64> {
        let seat = self.places[self.place(id)?].seat.as_ref()?;
        Some(seat.missed)
    }

    pub(super) fn contains(&self, id: MemberId) -> bool {
        self.place(id).is_some_and(|place| self.places[place].seat.is_some())
    }

    fn place(&self, id: MemberId) -> Option<usize> {
        self.places.binary_search_by_key(&id, |place| place.id).ok()
    }

    /// Gives up the places of those who have left, once these are the most. So memory, and the time
    /// to go through it, follow the number of members.
    fn tidy(&mut self) {
        if self.places.len() > 2 * self.count + AT_ONCE {
            self.places.retain(|place| place.seat.is_some());
            self.places.shrink_to(2 * self.count);
        }
    }
}

impl<T: AsyncIo> Members<T> {
    /// Offers a message to the next few members: whether there are more. Who has left is handed
    /// out, because their streams may do anything when they are dropped.
    pub(super) fn offer(
        &mut self,
        round: &mut Round<T>,
        slow: SlowConsumer,
        left: &mut Vec<Seat<T>>,
    ) -> bool {
        let Some(last) = self.places.last().map(|place| place.id) else { return false };
        let (next, last) = *round.range.get_or_insert((MemberId::nobody(), last));
        let mut at = self.places.partition_point(|place| place.id < next);
        let end = match self.places.last() {
            Some(place) if place.id <= last => self.places.len(),
            _ => self.places.partition_point(|place| place.id <= last),
        };
        let mut turns = AT_ONCE;
        while turns > 0 && at < end {
            let places = &mut self.places[..end];
            let stays = guarded(|| offer_some(places, &mut at, &mut turns, round, slow));
            match stays {
                Some(Stop::Batch) => break,
                Some(Stop::Leaves) => {}
                None => round.delivery.gone += 1, // its stream panicked, or its timer
            }
            left.extend(self.places[at].seat.take());
            self.count -= 1;
            at += 1;
            turns = turns.saturating_sub(1);
        }
        let next = self.places[..end].get(at).map(|place| place.id);
        round.range = Some((next.unwrap_or(last), last));
        if !left.is_empty() {
            self.tidy();
        }
        next.is_some()
    }

    /// Lets the next few leave, and starts to close their connections.
    pub(super) fn close_some(
        &mut self,
        frame: &Option<CloseFrame>,
        left: &mut Vec<(MemberId, Writer<T>)>,
    ) {
        let some = self.places.len().min(AT_ONCE);
        for place in self.places.drain(..some) {
            let Some(seat) = place.seat else { continue };
            self.count -= 1;
            // What panics is its stream, or its timer: whoever closes it hears of it.
            let _ = guarded(|| seat.writer.queue_close(frame));
            left.push((place.id, seat.writer));
        }
        if self.places.is_empty() {
            self.places = Vec::new();
        }
    }
}

/// Why a batch is interrupted.
enum Stop {
    /// It is at its end, or the task has used up its turn.
    Batch,
    /// The member leaves.
    Leaves,
}

/// Offers a message to the members from the place `at` on, which moves along, for so many `turns`.
fn offer_some<T: AsyncIo>(
    places: &mut [Place<T>],
    at: &mut usize,
    turns: &mut usize,
    round: &mut Round<T>,
    slow: SlowConsumer,
) -> Stop {
    let over = match slow {
        SlowConsumer::Wait => Over::Waits,
        SlowConsumer::KeepLatest => Over::Replaces,
        SlowConsumer::DropMessage | SlowConsumer::Disconnect(_) => Over::Refused,
    };
    for Place { id, seat } in &mut places[*at..] {
        if *turns == 0 {
            break;
        }
        if *id != round.except {
            if let Some(seat) = seat {
                let shared = &seat.writer.half.shared;
                let mut offered = shared.offer(id.0, &round.message, over);
                if matches!(offered, Offered::Again) && *turns == AT_ONCE {
                    // It has its turn, as far as one can have one here.
                    offered = shared.offer_behind(id.0, &round.message, over, true);
                }
                match offered {
                    Offered::Accepted => round.delivery.sent += 1,
                    Offered::Again => break,
                    offered => {
                        if !seat.lacks(*id, offered, round, slow) {
                            return Stop::Leaves;
                        }
                    }
                }
                *turns -= 1;
            }
        }
        *at += 1;
    }
    Stop::Batch
}

impl<T: AsyncIo> Seat<T> {
    /// Notes that a message was not just accepted: whether the member stays.
    #[cold]
    fn lacks(
        &mut self,
        id: MemberId,
        offered: Offered,
        round: &mut Round<T>,
        slow: SlowConsumer,
    ) -> bool {
        let delivery = &mut round.delivery;
        match (offered, slow) {
            (Offered::Waits(call), _) => {
                round.waiting.push_back(WaitingSend { id, writer: self.writer.clone(), call });
            }
            (Offered::Kept { replaced }, _) => {
                delivery.kept += 1;
                delivery.replaced += usize::from(replaced);
                self.missed += u64::from(replaced);
            }
            (Offered::Refused, SlowConsumer::Disconnect(code)) => {
                delivery.disconnected += 1;
                // What panics would have it leave, too.
                let _ = guarded(|| self.writer.queue_close(&Some(code.into())));
                return false;
            }
            (Offered::Refused, _) => {
                delivery.dropped += 1;
                self.missed += 1;
            }
            (Offered::Gone, _) => {
                delivery.gone += 1;
                return false;
            }
            (Offered::Accepted | Offered::Again, _) => {}
        }
        true
    }
}

impl<T> Round<T> {
    pub(super) fn new(message: Prepared, except: MemberId) -> Self {
        let delivery = Delivery::default();
        Self { message, except, range: None, delivery, waiting: VecDeque::new() }
    }
}

impl<T: AsyncIo> WaitingSend<T> {
    /// Ready when the message has gone out, or never will.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let (shared, call) = (&self.writer.half.shared, &mut self.call);
        guarded(|| shared.poll_held(cx, call)).unwrap_or(Poll::Ready(Err(Error::Abnormal)))
    }
}

impl<T> Drop for WaitingSend<T> {
    fn drop(&mut self) {
        self.writer.half.shared.forget_call(&mut self.call);
    }
}

/// Calls what may panic, because a stream or a timer of the user's does: `None` if so. That is the
/// end of its connection, and not of the group.
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
