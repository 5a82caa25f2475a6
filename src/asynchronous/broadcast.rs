//! One message to many connections.

use super::{AsyncIo, Writer};
use crate::{CloseCode, CloseFrame, Error, Prepared, SendErrorReason};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    fmt,
    future::poll_fn,
    task::{Poll, Waker},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many members are served before others get their turn on the thread.
const AT_ONCE: usize = 32;

/// A group of connections that all get the same messages.
///
/// A message is encoded once, and compressed once for each way of doing it among the members: see
/// [`Prepared`]. It is written to each member at once, as far as the stream takes it; what it does
/// not take is written by the member's [`Reader`](super::Reader), so keep that in
/// [`recv`](super::Reader::recv). All members get the messages in the same order.
///
/// ```no_run
/// # #[cfg(feature = "tokio")]
/// # async fn serve(listener: tokio::net::TcpListener) -> Result<(), fullduplex::Error> {
/// use fullduplex::{CloseCode, tokio::{Broadcast, SlowConsumer, accept}};
/// use std::sync::Arc;
///
/// let room = Arc::new(Broadcast::new(SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER)));
/// loop {
///     let (stream, _) = listener.accept().await?;
///     let room = Arc::clone(&room);
///     tokio::spawn(async move {
///         let (mut reader, writer) = accept(stream).await?.split();
///         let member = room.join(writer);
///         while let Some(message) = reader.recv().await? {
///             room.send(message).await;
///         }
///         room.leave(member);
///         Ok::<(), fullduplex::Error>(())
///     });
/// }
/// # }
/// ```
///
/// A member whose connection is closing or over leaves the group with the next message; so does one
/// in the middle of a message in fragments that nobody can end.
pub struct Broadcast<T> {
    slow: SlowConsumer,
    group: Mutex<Group<T>>,
}

/// What becomes of a message for a member that has not taken those before it: to whom as many bytes
/// are unsent as make a connection not [ready](Writer::is_ready).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// The group waits for it. So the slowest member sets the pace, and one that takes nothing
    /// stops all until it is given up, by [keepalive](crate::Config::keepalive) for instance.
    Wait,
    /// It does not get the message: [`Broadcast::missed`] counts. For what the next message makes
    /// obsolete.
    DropMessage,
    /// It leaves the group, and its connection is closed with this code, behind what is unsent:
    /// [`TRY_AGAIN_LATER`](CloseCode::TRY_AGAIN_LATER) (1013), or
    /// [`POLICY_VIOLATION`](CloseCode::POLICY_VIOLATION) (1008). A client that connects again
    /// knows that it has missed something.
    Disconnect(CloseCode),
}

/// A member of a [`Broadcast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId {
    slot: usize,
    joined: u64,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// How many members it was accepted for.
    pub sent: usize,
    /// How many did not get it because they are slow.
    pub dropped: usize,
    /// How many were disconnected because they are slow.
    pub disconnected: usize,
    /// How many had left by themselves, or could be sent nothing any more.
    pub gone: usize,
}

/// What became of all messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStats {
    /// How many messages there were.
    pub messages: u64,
    /// The sum of all [`Delivery::sent`].
    pub sent: u64,
    /// The sum of all [`Delivery::dropped`].
    pub dropped: u64,
    /// The sum of all [`Delivery::disconnected`].
    pub disconnected: u64,
    /// The sum of all [`Delivery::gone`].
    pub gone: u64,
}

struct Group<T> {
    /// Members keep their place, so that who joins or leaves meanwhile makes nobody miss a message.
    slots: Vec<Option<Member<T>>>,
    free: Vec<usize>,
    /// How many ever joined.
    joined: u64,
    stats: BroadcastStats,
    /// Who sends, and behind it who waits for that.
    turns: VecDeque<(u64, Option<Waker>)>,
    next_turn: u64,
}

struct Member<T> {
    writer: Writer<T>,
    joined: u64,
    missed: u64,
}

impl<T: AsyncIo> Broadcast<T> {
    /// A group without members.
    pub fn new(slow: SlowConsumer) -> Self {
        let group = Group {
            slots: Vec::new(),
            free: Vec::new(),
            joined: 0,
            stats: BroadcastStats::default(),
            turns: VecDeque::new(),
            next_turn: 0,
        };
        Self { slow, group: Mutex::new(group) }
    }

    /// Lets a connection have the messages that are sent from now on.
    pub fn join(&self, writer: Writer<T>) -> MemberId {
        let mut group = self.group();
        group.joined += 1;
        let joined = group.joined;
        let member = Some(Member { writer, joined, missed: 0 });
        let slot = match group.free.pop() {
            Some(slot) => {
                group.slots[slot] = member;
                slot
            }
            None => {
                group.slots.push(member);
                group.slots.len() - 1
            }
        };
        MemberId { slot, joined }
    }

    /// Lets it have no more, and gives its writer back; `None` if it has left already.
    pub fn leave(&self, id: MemberId) -> Option<Writer<T>> {
        let mut group = self.group();
        let of = |member: &mut Member<T>| member.joined == id.joined;
        let member = group.slots.get_mut(id.slot)?.take_if(of)?;
        group.free.push(id.slot);
        Some(member.writer)
    }

    /// How many messages a member did not get because it is slow; `None` if it has left.
    pub fn missed(&self, id: MemberId) -> Option<u64> {
        let group = self.group();
        let member = group.slots.get(id.slot)?.as_ref()?;
        (member.joined == id.joined).then_some(member.missed)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        let group = self.group();
        group.slots.len() - group.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of all messages so far.
    pub fn stats(&self) -> BroadcastStats {
        self.group().stats
    }

    /// Sends a message to all members, and says what became of it. Messages that are sent at the
    /// same time go out one after the other. On the way other tasks get their turn.
    ///
    /// # Cancel safety
    /// If it is dropped, some members may have got the message and others not.
    pub async fn send(&self, message: impl Into<Prepared>) -> Delivery {
        let message = message.into();
        let turn = Turn::begin(self);
        turn.ours().await;
        let mut delivery = Delivery::default();
        let mut waiting = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            // What tokio lets a task do in one go is enough for all of these, if nothing of it is
            // used up: who could be written to must not seem slow.
            turn.others_first().await;
            let offered =
                self.group().offer(&message, self.slow, from, &mut delivery, &mut waiting);
            let left;
            (next, left) = offered;
            drop(left); // their streams may do anything, so not under the lock
        }
        // Whom the group waits for goes on taking what it has; the others have theirs by now.
        for (id, writer) in waiting {
            match wait(&writer, &message).await {
                Ok(()) => delivery.sent += 1,
                Err(_) => {
                    delivery.gone += 1;
                    self.leave(id);
                }
            }
        }
        let mut group = self.group();
        group.stats.messages += 1;
        group.stats.sent += delivery.sent as u64;
        group.stats.dropped += delivery.dropped as u64;
        group.stats.disconnected += delivery.disconnected as u64;
        group.stats.gone += delivery.gone as u64;
        delivery
    }

    /// Closes the connections of all members, and waits for the end of each, which their readers
    /// bring about at the same time: to shut a server down. The group is empty then. Gives the
    /// number of those that ended cleanly.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed.
    ///
    /// # Cancel safety
    /// If it is dropped, some members may have left and others not.
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<usize, Error> {
        let frame = CloseFrame::new(code, reason)?;
        let turn = Turn::begin(self);
        turn.ours().await;
        let members: Vec<_> = {
            let mut group = self.group();
            group.free.clear();
            group.slots.drain(..).flatten().collect()
        };
        for some in members.chunks(AT_ONCE) {
            some.iter().for_each(|member| member.writer.queue_close(&frame));
            turn.others_first().await;
        }
        let mut clean = 0;
        for member in members {
            clean += usize::from(member.writer.close(code, reason).await.is_ok());
        }
        Ok(clean)
    }

    fn group(&self) -> MutexGuard<'_, Group<T>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for room in a slow member.
async fn wait<T: AsyncIo>(writer: &Writer<T>, message: &Prepared) -> Result<(), Error> {
    loop {
        writer.ready().await?;
        match writer.offer(message) {
            Ok(()) => return Ok(()),
            Err(SendErrorReason::Full) => {} // somebody else was faster
            Err(reason) => return Err(message.refused(reason).into()),
        }
    }
}

impl<T: AsyncIo> Group<T> {
    /// Offers a message to some members from slot `from` on: where to go on, and who has left.
    fn offer(
        &mut self,
        message: &Prepared,
        slow: SlowConsumer,
        from: usize,
        delivery: &mut Delivery,
        waiting: &mut Vec<(MemberId, Writer<T>)>,
    ) -> (Option<usize>, Vec<Member<T>>) {
        let mut left = Vec::new();
        let end = self.slots.len().min(from + AT_ONCE);
        for slot in from..end {
            let Some(member) = &mut self.slots[slot] else { continue };
            let stays = match member.writer.offer(message) {
                Ok(()) => {
                    delivery.sent += 1;
                    true
                }
                Err(
                    SendErrorReason::Closed(_)
                    | SendErrorReason::Unfinished
                    | SendErrorReason::InvalidUtf8,
                ) => {
                    delivery.gone += 1;
                    false
                }
                Err(SendErrorReason::Full) => match slow {
                    SlowConsumer::Wait => {
                        let id = MemberId { slot, joined: member.joined };
                        waiting.push((id, member.writer.clone()));
                        true
                    }
                    SlowConsumer::DropMessage => {
                        delivery.dropped += 1;
                        member.missed += 1;
                        true
                    }
                    SlowConsumer::Disconnect(code) => {
                        delivery.disconnected += 1;
                        member.writer.queue_close(&code.into());
                        false
                    }
                },
            };
            if !stays {
                left.extend(self.slots[slot].take());
                self.free.push(slot);
            }
        }
        ((end < self.slots.len()).then_some(end), left)
    }
}

/// A call of `send`, which may be dropped at any time.
struct Turn<'b, T> {
    broadcast: &'b Broadcast<T>,
    number: u64,
}

impl<'b, T: AsyncIo> Turn<'b, T> {
    fn begin(broadcast: &'b Broadcast<T>) -> Self {
        let mut group = broadcast.group();
        let number = group.next_turn;
        group.next_turn += 1;
        group.turns.push_back((number, None));
        Self { broadcast, number }
    }

    /// Waits until all that were sent before are out.
    async fn ours(&self) {
        poll_fn(|cx| {
            let mut group = self.broadcast.group();
            for (place, (number, waker)) in group.turns.iter_mut().enumerate() {
                if *number == self.number && place > 0 {
                    *waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Lets other tasks of this thread have their turn.
    async fn others_first(&self) {
        let mut went = false;
        poll_fn(|cx| {
            if core::mem::replace(&mut went, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut group = self.broadcast.group.lock().unwrap_or_else(PoisonError::into_inner);
        group.turns.retain(|(number, _)| *number != self.number);
        let next = group.turns.front_mut().and_then(|(_, waker)| waker.take());
        drop(group);
        next.into_iter().for_each(Waker::wake);
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("slow", &self.slow).finish_non_exhaustive()
    }
}
