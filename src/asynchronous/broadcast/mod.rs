//! One message to many connections.

mod jobs;
mod members;
mod policy;

pub use policy::{BroadcastStats, CloseReport, Delivery, MemberId, SlowConsumer};

use super::{AsyncIo, Writer};
use crate::{CloseFrame, Error, IntoCloseFrame, Prepared};
use alloc::sync::Arc;
use core::{fmt, future::poll_fn, pin::pin, task::Poll};
use jobs::{Group, JobOutcome, Work};
use members::{Round, guarded};

/// A group of connections that all get the same messages. Clones are the same group.
///
/// A message is encoded once, and compressed once for each way of doing it among the members: see
/// [`Prepared`]. It is written to each member at once, as far as the stream takes it; what it does
/// not take is written by the member's [`Reader`](super::Reader), so keep that in
/// [`recv`](super::Reader::recv). All members get the messages in the same order.
///
/// ```no_run
/// # #[cfg(feature = "tokio")]
/// # async fn serve(listener: tokio::net::TcpListener) {
/// use fullduplex::{CloseCode, Error, tokio::{Broadcast, SlowConsumer, accept}};
/// use tokio::net::TcpStream;
///
/// async fn member(stream: TcpStream, room: Broadcast<TcpStream>) -> Result<(), Error> {
///     let (mut reader, writer) = accept(stream).await?.split();
///     let member = room.join(writer); // until this is dropped, by `?` for instance
///     while let Some(message) = reader.recv().await? {
///         room.send_except(member.id(), message).await; // to all others
///     }
///     Ok(())
/// }
///
/// let room = Broadcast::new(SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER));
/// loop {
///     match listener.accept().await {
///         Ok((stream, _)) => _ = tokio::spawn(member(stream, room.clone())),
///         // Out of descriptors, for instance: those who leave make room.
///         Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
///     }
/// }
/// # }
/// ```
///
/// A member whose connection is closing or over leaves the group with the next message; so does one
/// in the middle of a message in fragments that nobody can end, and one whose stream panics. To
/// leave at once is what a [`Member`] is for, which ends the membership when it is dropped.
///
/// There is no such group for threads: keep the [writers](crate::blocking::Writer) in a list of your
/// own, and send each a clone of one [`Prepared`] message.
pub struct Broadcast<T> {
    group: Arc<Group<T>>,
}

/// A membership in a [`Broadcast`], until it is dropped. Keep it beside the
/// [`Reader`](super::Reader): then the member leaves however its task ends, and the group holds no
/// descriptor of a connection that nobody serves any more.
#[must_use = "the member leaves as soon as this is dropped: keep it, or `detach` it"]
pub struct Member<T> {
    group: Arc<Group<T>>,
    id: MemberId,
}

impl<T: AsyncIo> Broadcast<T> {
    /// A group without members.
    pub fn new(slow: SlowConsumer) -> Self {
        Self { group: Arc::new(Group::new(slow)) }
    }

    /// Lets a connection have the messages that are sent from now on, until the [`Member`] is
    /// dropped. If the group was [closed](Self::close), so is the connection.
    pub fn join(&self, writer: Writer<T>) -> Member<T> {
        let mut members = self.group.members();
        if let Some(frame) = members.closed.clone() {
            drop(members);
            writer.queue_close(&frame);
            return Member { group: Arc::clone(&self.group), id: MemberId::nobody() };
        }
        let id = members.join(writer);
        drop(members);
        Member { group: Arc::clone(&self.group), id }
    }

    /// Lets a member have no more messages, and gives its writer back; `None` if it has left
    /// already. No `send` waits for it any more.
    pub fn leave(&self, id: MemberId) -> Option<Writer<T>> {
        self.group.leave(id)
    }

    /// How many messages a member did not get because it is slow; `None` if it has left.
    pub fn missed(&self, id: MemberId) -> Option<u64> {
        self.group.members().missed(id)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.group.members().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it was [closed](Self::close): then nobody can join.
    pub fn is_closed(&self) -> bool {
        self.group.members().closed.is_some()
    }

    /// What became of all messages so far.
    pub fn stats(&self) -> BroadcastStats {
        self.group.stats()
    }

    /// Sends a message to all members, and says what became of it. Messages that are sent at the
    /// same time go out one after the other. On the way other tasks get their turn.
    ///
    /// A future of this that is kept and not polled holds up nobody: others who send do its work.
    ///
    /// # Cancel safety
    /// If it is dropped, some members may have got the message and others not.
    pub async fn send(&self, message: impl Into<Prepared>) -> Delivery {
        self.deliver(message.into(), MemberId::nobody()).await
    }

    /// As [`send`](Self::send), to all members but one: what somebody says in a chat room, to the
    /// others. If that one is not a member, all get it.
    ///
    /// ```
    /// # use fullduplex::{Prepared, asynchronous::{AsyncIo, Broadcast, Member}};
    /// async fn say<T: AsyncIo>(room: &Broadcast<T>, speaker: &Member<T>, text: &str) {
    ///     room.send_except(speaker.id(), text).await;
    /// }
    /// ```
    ///
    /// # Cancel safety
    /// If it is dropped, some members may have got the message and others not.
    pub async fn send_except(&self, except: MemberId, message: impl Into<Prepared>) -> Delivery {
        self.deliver(message.into(), except).await
    }

    async fn deliver(&self, message: Prepared, except: MemberId) -> Delivery {
        match self.group.work(Work::Send(Round::new(message, except))).await {
            JobOutcome::Sent(delivery, waiting) => self.group.wait(delivery, waiting).await,
            JobOutcome::Closed(_) => Delivery::default(),
        }
    }

    /// Closes the connections of all members, behind what was sent to them, and waits for the end of
    /// each, which their readers bring about at the same time: to shut a server down. Says how they
    /// ended. The group is empty then, and stays closed: a connection that joins from now on, also
    /// while this waits, is closed with the same code and reason. A `send` that waits for slow
    /// members ends.
    ///
    /// ```no_run
    /// # use fullduplex::{CloseCode, Error, asynchronous::{AsyncIo, Broadcast}};
    /// async fn shut_down(room: &Broadcast<impl AsyncIo>) -> Result<(), Error> {
    ///     let report = room.close((CloseCode::GOING_AWAY, "restart")).await?;
    ///     println!("{} ended cleanly", report.clean);
    ///     for (member, error) in report.failed {
    ///         println!("{member:?}: {error}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed.
    ///
    /// # Cancel safety
    /// If it is dropped, the group is closed, and some members may have left and others not: a
    /// further call closes those.
    pub async fn close(&self, frame: impl IntoCloseFrame) -> Result<CloseReport, Error> {
        let frame = frame.into_close_frame()?;
        self.group.members().closed.get_or_insert_with(|| frame.clone());
        let work = Work::Close(frame.clone(), Default::default());
        let JobOutcome::Closed(members) = self.group.work(work).await else {
            return Ok(CloseReport::default());
        };
        let mut report = CloseReport::default();
        for (id, writer) in members {
            match ended(&writer, &frame).await {
                Ok(()) => report.clean += 1,
                Err(error) => report.failed.push((id, error)),
            }
            let _ = guarded(|| drop(writer));
        }
        Ok(report)
    }
}

/// Waits for the end of a connection whose stream may panic.
async fn ended<T: AsyncIo>(writer: &Writer<T>, frame: &Option<CloseFrame>) -> Result<(), Error> {
    let mut closing = pin!(writer.close(frame.clone()));
    poll_fn(|cx| {
        let polled = guarded(|| closing.as_mut().poll(cx));
        polled.unwrap_or_else(|| Poll::Ready(Err(Error::other("the stream or its timer panicked"))))
    })
    .await
}

impl<T> Member<T> {
    /// Its number, for [`Broadcast::send_except`], [`Broadcast::leave`] and
    /// [`Broadcast::missed`].
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// How many messages it did not get because it is slow; `None` if it has left.
    pub fn missed(&self) -> Option<u64> {
        self.group.members().missed(self.id)
    }

    /// Leaves, and gives the writer back; `None` if it has left already.
    pub fn leave(self) -> Option<Writer<T>> {
        self.group.leave(self.id)
    }

    /// Stays a member without this: until [`Broadcast::leave`], or until a message finds that the
    /// connection is closing or over. In a group where nothing is sent such a connection keeps its
    /// descriptor.
    pub fn detach(mut self) -> MemberId {
        core::mem::replace(&mut self.id, MemberId::nobody())
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        drop(self.group.leave(self.id));
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Self { group: Arc::clone(&self.group) }
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("slow", &self.group.slow).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}
