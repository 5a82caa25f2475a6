//! What a connection has done so far, in numbers.

use super::Connection;
use core::time::Duration;

/// What a connection has done so far: [`Connection::stats`].
///
/// All of these only grow, and they outlive the connection's end. Sizes are in bytes. What is sent
/// counts once it is accepted or queued, but for [`bytes_sent`](Self::bytes_sent), which counts what
/// was written. What is received counts as it comes, of a frame or message that is under way too;
/// frames and messages count when they are complete. A frame in which the peer broke the protocol
/// does not count, its bytes do as far as they were looked at; nothing counts that is discarded
/// behind that, or behind the peer's Close. Of messages that are discarded since
/// [nobody takes them](Connection::discard_messages) the payload does not count.
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
    /// All bytes of frames, as they were on the wire. The opening handshake is not among them.
    pub bytes_received: u64,
    /// All bytes of frames that were written. What still waits, or was lost with the transport, is
    /// not among them.
    pub bytes_sent: u64,
    /// Whole messages.
    pub messages_received: u64,
    /// One if the connection ended in the middle of a message that came: of this there will be no
    /// more. That may be so after a clean end, too: a peer may close between two fragments
    /// (RFC 6455 §5.5.1). [`Error::CutOff`](crate::Error::CutOff) says so to whoever took its parts.
    pub messages_cut_off: u64,
    /// Whole messages.
    pub messages_sent: u64,
    /// Payload of messages as the caller sees it: without heads, and inflated.
    pub payload_received: u64,
    /// Payload of messages as the caller gave it.
    pub payload_sent: u64,
    /// Payload of compressed messages as it was on the wire. This and the next three are zero
    /// without permessage-deflate.
    pub deflated_received: u64,
    /// What that came to. Also part of [`payload_received`](Self::payload_received).
    pub inflated_received: u64,
    /// Payload of compressed messages as it goes onto the wire.
    pub deflated_sent: u64,
    /// What that was before. Also part of [`payload_sent`](Self::payload_sent).
    pub inflated_sent: u64,
    /// Pings; those of keepalive are not told apart.
    pub pings_received: u64,
    /// Pings, the caller's and those of keepalive.
    pub pings_sent: u64,
    /// Pongs, asked for or not.
    pub pongs_received: u64,
    /// Pongs. Less than the pings that came if a flood of these was answered by the newest only.
    pub pongs_sent: u64,
    /// As [`Connection::round_trip`].
    pub round_trip: Option<Duration>,
}

/// Whether the end came in the middle of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CutOff {
    No,
    /// Nothing of the message was handed on.
    Held,
    /// Parts of it were.
    InChunks,
}

/// What came.
#[derive(Default)]
pub(super) struct Received {
    pub(super) messages: u64,
    /// Parts of messages, of those that were not one frame at hand.
    pub(super) pieces: u64,
    /// Payload of messages that were not compressed, in bytes. Not beside the other number that
    /// each message adds to: two neighbours are added as a vector, which takes longer to build.
    pub(super) plain: u64,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    /// Frames that are none of these: the Close, and of a message all but its last.
    pub(super) others: u64,
}

/// What was queued, pongs apart: these the outbox counts.
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
    /// A frame of a message has ended; whether that was its last.
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
    /// What was received and sent so far, in numbers; see [`Stats`]. Costs next to nothing, and is
    /// there after the end too.
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
