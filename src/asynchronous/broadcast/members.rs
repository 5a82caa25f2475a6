//! Who is in a group.

use super::{Delivery, MemberId, SlowConsumer};
use crate::{
    CloseFrame, Error, Prepared, SendErrorReason,
    asynchronous::{AsyncIo, Writer},
    io::{Call, Offered, Over},
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
    pub(super) closed: Option<CloseFrame>,
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
    except: Option<MemberId>,
    /// Who is next, and who is the last: those who join later get only later messages.
    range: Option<(MemberId, MemberId)>,
    pub(super) delivery: Delivery,
    /// Whom the group waits for.
    pub(super) waiting: VecDeque<Waiting<T>>,
}

/// A member for which a message is held beyond the mark, until this is dropped.
pub(super) struct Waiting<T> {
    pub(super) id: MemberId,
    writer: Writer<T>,
    call: Call,
    /// Whether the message stays held.
    pub(super) stays: bool,
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
        let start = self.places.partition_point(|place| place.id < next);
        let mut offered = 0;
        let mut more = None;
        for place in &mut self.places[start..] {
            if place.id > last {
                break;
            }
            if offered == AT_ONCE {
                more = Some(place.id);
                break;
            }
            let Some(seat) = &mut place.seat else { continue };
            if round.except == Some(place.id) {
                continue;
            }
            let Some(stays) = seat.offer(place.id, round, slow, offered == 0) else {
                more = Some(place.id);
                break;
            };
            offered += 1;
            if !stays {
                left.extend(place.seat.take());
                self.count -= 1;
            }
        }
        if !left.is_empty() {
            self.tidy();
        }
        round.range = Some((more.unwrap_or(next), last));
        more.is_some()
    }

    /// Lets the next few leave, and starts to close their connections.
    pub(super) fn close_some(&mut self, frame: &CloseFrame, left: &mut Vec<(MemberId, Writer<T>)>) {
        let some = self.places.len().min(AT_ONCE);
        for place in self.places.drain(..some) {
            let Some(seat) = place.seat else { continue };
            self.count -= 1;
            // What panics is its stream, or its timer: whoever closes it hears of it.
            let _ = guarded(|| seat.writer.start_close(frame));
            left.push((place.id, seat.writer));
        }
        if self.places.is_empty() {
            self.places = Vec::new();
        }
    }
}

impl<T: AsyncIo> Seat<T> {
    /// Offers a message: whether the member stays, or `None` if this turn is over.
    fn offer(
        &mut self,
        id: MemberId,
        round: &mut Round<T>,
        slow: SlowConsumer,
        anyway: bool,
    ) -> Option<bool> {
        let over = match slow {
            SlowConsumer::Wait => Over::Waits,
            SlowConsumer::KeepLatest => Over::Replaces,
            SlowConsumer::DropMessage | SlowConsumer::Disconnect(_) => Over::Refused,
        };
        let shared = &self.writer.half.shared;
        let offered = guarded(|| shared.offer(id.0, &round.message, over, anyway));
        let delivery = &mut round.delivery;
        match offered {
            Some(Ok(Offered::Accepted)) => delivery.sent += 1,
            Some(Ok(Offered::Again)) => return None,
            Some(Ok(Offered::Waits)) => {
                let (writer, call) = (self.writer.clone(), shared.new_call());
                round.waiting.push_back(Waiting { id, writer, call, stays: false });
            }
            Some(Ok(Offered::Kept { replaced })) => {
                delivery.kept += 1;
                delivery.replaced += usize::from(replaced);
                self.missed += u64::from(replaced);
            }
            Some(Ok(Offered::Refused)) => match slow {
                SlowConsumer::Disconnect(code) => {
                    delivery.disconnected += 1;
                    let _ = guarded(|| self.writer.start_close(&code.into()));
                    return Some(false);
                }
                _ => {
                    delivery.dropped += 1;
                    self.missed += 1;
                }
            },
            // `Full` is one that is over its limit although it was not at its mark: no such config.
            Some(Err(
                SendErrorReason::Closed | SendErrorReason::Unfinished | SendErrorReason::Full,
            ))
            | None => {
                delivery.gone += 1;
                return Some(false);
            }
        }
        Some(true)
    }
}

impl<T> Round<T> {
    pub(super) fn new(message: Prepared, except: Option<MemberId>) -> Self {
        let delivery = Delivery::default();
        Self { message, except, range: None, delivery, waiting: VecDeque::new() }
    }
}

impl<T: AsyncIo> Waiting<T> {
    /// Ready when the message has gone out, or never will.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let (shared, call) = (&self.writer.half.shared, &mut self.call);
        guarded(|| shared.poll_held(cx, call, self.id.0)).unwrap_or(Poll::Ready(Err(Error::Closed)))
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let shared = &self.writer.half.shared;
        shared.call_gone(&self.call);
        if !self.stays {
            shared.forget(self.id.0);
        }
    }
}

/// Calls what may panic, because a stream or a timer of the user's does: `None` if so. That is the
/// end of its connection, and not of the group.
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
