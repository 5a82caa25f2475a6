//! What becomes of messages for those who are slow, and what has become of them.

use crate::{CloseCode, Error};
use alloc::vec::Vec;

/// What becomes of a message for a slow member of a [`Broadcast`](super::Broadcast).
///
/// A member is slow when as many bytes wait to be written to it as make a connection not
/// [ready](crate::asynchronous::Writer::is_ready): [`Config::unsent_high_water`](crate::Config::unsent_high_water),
/// 256 KiB by default. Before a member counts as slow, the group tries to write what waits. If
/// nobody is in [`Reader::recv`](crate::asynchronous::Reader::recv) to do that, a member whose
/// stream takes some of it is not slow either, up to
/// [`Config::unsent_limit`](crate::Config::unsent_limit).
///
/// A member in the middle of a message in fragments is busy, not slow. Messages wait in order
/// behind it and count towards these limits, each with its payload and 64 bytes; `unsent` of the
/// writer counts them once they are queued.
///
/// ```
/// use fullduplex::asynchronous::{AsyncIo, Broadcast};
///
/// /// Sends a price to a group that was made with `SlowConsumer::KeepLatest`.
/// async fn publish(prices: &Broadcast<impl AsyncIo>, price: f64) {
///     let delivery = prices.send(format!("{price:.2}")).await;
///     println!("{} have it, {} get it when they can", delivery.sent, delivery.kept);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// `send` waits until the member has room. So the slowest member sets the pace. All other
    /// members have the message by then, and other tasks may send further ones: they wait in order.
    /// A member that takes nothing stops all senders, until it leaves or is given up, by
    /// [keepalive](crate::Config::keepalive) for instance.
    Wait,
    /// The member does not get the message. [`Broadcast::missed`](super::Broadcast::missed) counts
    /// it. A member that wakes up gets the oldest messages first: those that were accepted before
    /// it became slow. For live values take [`KeepLatest`](Self::KeepLatest).
    DropMessage,
    /// The newest message waits for the member, beside what is already queued for it, and takes the
    /// place of the one that waited before. It goes out as soon as there is room, without a further
    /// `send`: the member's [`Reader`](crate::asynchronous::Reader) sends it, so keep that in
    /// `recv`. For prices, positions, states: whatever the next message makes obsolete.
    /// [`Broadcast::missed`](super::Broadcast::missed) counts the messages that were replaced.
    ///
    /// There is one place for each membership. A connection that joins a group for each symbol, say,
    /// gets the newest of each. To have slow members caught up sooner, lower
    /// [`Config::unsent_high_water`](crate::Config::unsent_high_water): what is queued before it is older.
    KeepLatest,
    /// The member leaves the group, and its connection is closed with this code, behind what is
    /// unsent: [`TRY_AGAIN_LATER`](CloseCode::TRY_AGAIN_LATER) (1013), or
    /// [`POLICY_VIOLATION`](CloseCode::POLICY_VIOLATION) (1008). A client that connects again
    /// knows that it has missed something.
    Disconnect(CloseCode),
}

/// The number of a member of a [`Broadcast`](super::Broadcast): no other member of any group in the
/// process ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(super) u64);

impl MemberId {
    /// No member at all.
    pub(super) fn nobody() -> Self {
        Self(0)
    }
}

/// What became of one message. Each member that was to get it is in exactly one of `sent`, `kept`,
/// `dropped`, `disconnected` and `gone`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// How many members it was accepted for. It goes out to them unless the connection ends before.
    pub sent: usize,
    /// How many slow members it waits for, with [`SlowConsumer::KeepLatest`]: they get it as soon as
    /// there is room, unless a newer one comes first.
    pub kept: usize,
    /// How many older messages it took the place of: they were `kept` and were not sent.
    pub replaced: usize,
    /// How many did not get it because they are slow.
    pub dropped: usize,
    /// How many were disconnected because they are slow.
    pub disconnected: usize,
    /// How many had left by themselves, or could be sent nothing any more, or were not waited for
    /// because the group was closed.
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
    /// The sum of all [`Delivery::kept`].
    pub kept: u64,
    /// The sum of all [`Delivery::replaced`].
    pub replaced: u64,
    /// The sum of all [`Delivery::dropped`].
    pub dropped: u64,
    /// The sum of all [`Delivery::disconnected`].
    pub disconnected: u64,
    /// The sum of all [`Delivery::gone`].
    pub gone: u64,
}

impl BroadcastStats {
    pub(super) fn add(&mut self, delivery: &Delivery) {
        self.messages += 1;
        self.sent += delivery.sent as u64;
        self.kept += delivery.kept as u64;
        self.replaced += delivery.replaced as u64;
        self.dropped += delivery.dropped as u64;
        self.disconnected += delivery.disconnected as u64;
        self.gone += delivery.gone as u64;
    }

    /// Adds what came of a message for those who were waited for.
    pub(super) fn add_late(&mut self, before: &Delivery, after: &Delivery) {
        self.sent += (after.sent - before.sent) as u64;
        self.gone += (after.gone - before.gone) as u64;
    }
}

/// How the connections of a group ended that was [closed](super::Broadcast::close).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// How many ended cleanly.
    pub clean: usize,
    /// Those that did not, and why: [`Error::Timeout`] if the peer did not answer in time,
    /// [`Error::Abnormal`] if it was gone, and so on.
    pub failed: Vec<(MemberId, Error)>,
}
