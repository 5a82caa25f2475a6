//! The counters of a connection.

use super::Connection;
use core::time::Duration;

/// The counters of a connection, from [`Connection::stats`].
///
/// They only grow, and outlive the connection's end. Sizes are in bytes.
///
/// - **Sent:** everything counts once it is accepted or queued, except
///   [`bytes_sent`](Self::bytes_sent), which counts once it is written.
/// - **Received:** bytes and payload count as they come, frames and messages when they are complete.
/// - **Not counted:** a frame that breaks the protocol (but its bytes, as far as they were read), input
///   that is discarded after it or after the peer's Close, and the payload of
///   [discarded messages](Connection::discard_messages).
///
/// ```
/// use fullduplex::{Config, Connection, Input};
///
/// let mut connection = Connection::client(Config::default());
/// connection.receive(&mut Input::new(&mut b"\x81\x05Hello".to_vec()))?;
/// connection.receive(&mut Input::new(&mut b"\x81\x05Hel".to_vec()))?; // two bytes are missing
/// let stats = connection.stats();
/// assert_eq!((stats.frames_received, stats.messages_received), (1, 1));
/// assert_eq!((stats.bytes_received, stats.payload_received), (7 + 5, 5 + 3));
/// assert_eq!(stats.bytes_sent, 0);
/// # Ok::<(), fullduplex::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames of all kinds, control frames too.
    pub frames_received: u64,
    /// Frames of all kinds, control frames too.
    pub frames_sent: u64,
    /// All bytes of frames, as on the wire, without the opening handshake.
    pub bytes_received: u64,
    /// All bytes of frames that were written, without those that still wait or were lost.
    pub bytes_sent: u64,
    /// Whole messages.
    pub messages_received: u64,
    /// One if the connection ended in the middle of a received message, whose rest will never come.
    /// This can happen with a clean end: a peer may close between two fragments (RFC 6455 §5.5.1). If
    /// you took parts of the message, you get [`Error::CutOff`](crate::Error::CutOff).
    pub messages_cut_off: u64,
    /// Whole messages.
    pub messages_sent: u64,
    /// Payload of messages as you get it: without heads, and inflated.
    pub payload_received: u64,
    /// Payload of messages as you gave it.
    pub payload_sent: u64,
    /// Payload of compressed messages on the wire. This and the next three are zero without
    /// permessage-deflate.
    pub deflated_received: u64,
    /// The same payload inflated. It is part of [`payload_received`](Self::payload_received).
    pub inflated_received: u64,
    /// Payload of compressed messages on the wire.
    pub deflated_sent: u64,
    /// The same payload before compression. It is part of [`payload_sent`](Self::payload_sent).
    pub inflated_sent: u64,
    /// All pings, including those of the peer's keepalive.
    pub pings_received: u64,
    /// All pings, yours and those of keepalive.
    pub pings_sent: u64,
    /// All pongs, whether they answer a ping or not.
    pub pongs_received: u64,
    /// All pongs. Fewer than the pings received if only the newest of a flood was answered.
    pub pongs_sent: u64,
    /// As [`Connection::round_trip`].
    pub round_trip: Option<Duration>,
}

/// Whether the end came in the middle of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CutOff {
    No,
    /// No part of the message was handed out.
    Held,
    /// Parts of it were handed out.
    InChunks,
}

/// The counters of received frames.
#[derive(Default)]
pub(super) struct Received {
    pub(super) messages: u64,
    /// Parts of messages that were not one whole frame in the input.
    pub(super) pieces: u64,
    /// Payload of messages that were not compressed, in bytes. It is not next to `messages`, because
    /// two neighbours are added as a vector, which takes longer to build.
    pub(super) plain: u64,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    /// All other frames: the Close, and all but the last frame of each message.
    pub(super) others: u64,
}

/// The counters of queued frames, except pongs, which the outbox counts.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) pings: u64,
    /// As in [`Received`].
    pub(super) plain: u64,
    /// As in [`Received`].
    pub(super) others: u64,
}

impl Received {
    /// Counts a frame of a message, which is the `last` of it or not.
    pub(super) fn ended(&mut self, last: bool) {
        *(if last { &mut self.messages } else { &mut self.others }) += 1;
    }
}

impl Sent {
    /// As for [`Received`].
    pub(super) fn ended(&mut self, last: bool) {
        *(if last { &mut self.messages } else { &mut self.others }) += 1;
    }
}

impl Connection {
    /// The counters of this connection: see [`Stats`]. This costs next to nothing, and works after the
    /// end too.
    pub fn stats(&self) -> Stats {
        let (received, sent) = (self.receiver.received(), &self.sent);
        let (pongs_sent, bytes_sent) = (self.outbox.pongs_queued(), self.outbox.total_written());
        #[cfg_attr(not(feature = "deflate"), expect(unused_mut, reason = "nothing is added"))]
        let mut stats = Stats {
            frames_received: received.messages + received.pings + received.pongs + received.others,
            frames_sent: sent.messages + sent.pings + pongs_sent + sent.others,
            bytes_received: self.receiver.bytes(),
            bytes_sent,
            messages_received: received.messages,
            messages_cut_off: (self.receiver.cut_off() != CutOff::No).into(),
            messages_sent: sent.messages,
            payload_received: received.plain,
            payload_sent: sent.plain,
            deflated_received: 0,
            inflated_received: 0,
            deflated_sent: 0,
            inflated_sent: 0,
            pings_received: received.pings,
            pings_sent: sent.pings,
            pongs_received: received.pongs,
            pongs_sent,
            round_trip: self.round_trip(),
        };
        #[cfg(feature = "deflate")]
        self.add_compressed(&mut stats);
        stats
    }
}
