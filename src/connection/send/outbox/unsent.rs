//! How much waits, found out by looking at it: nothing is kept for that, so nothing is paid while
//! nobody asks.

use super::SendBuffer;
use crate::frame::{Header, OpCode};

/// What was accepted for sending and is not written.
///
/// From [`Connection::unsent`](crate::Connection::unsent): while the connection lives what waits,
/// once it is over what was lost. "Written" is what [`Outbox::advance`](crate::Outbox::advance) was
/// told: an operating system may still lose that, and a peer that has it may not have looked at it.
///
/// ```
/// use fullduplex::{Config, Connection};
///
/// let connection = Connection::server(Config::default());
/// assert_eq!(connection.unsent(), Default::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unsent {
    /// Bytes as they go onto the wire, with heads and control frames; of a message that goes out
    /// in [fragments](crate::Config::max_sent_frame) and of which not all are made, the bytes of
    /// its payload from which they will be. A pong that was kept back for want of room, and a
    /// Close that waits for such a message, count once they are in the outbox.
    pub bytes: u64,
    /// Messages of which the last byte is not written; control frames are none. One that is sent
    /// with [`feed_fragment`](crate::Connection::feed_fragment) counts while any of what was
    /// accepted of it is not written.
    pub messages: u64,
}

/// A frame in the outbox.
struct Frame {
    header: Header,
    /// Where in `copied` it ends.
    end: usize,
    /// Whether its payload is shared, and so not written as a whole.
    shared: bool,
}

impl SendBuffer {
    /// What is not written, and what was dropped.
    pub(crate) fn unsent(&self) -> Unsent {
        let (mut messages, mut underway) = (0, false);
        for frame in self.frames() {
            let written = frame.end <= self.written && !frame.shared;
            if !written && !frame.header.opcode.is_control() {
                messages += u64::from(frame.header.fin);
                underway = !frame.header.fin;
            }
        }
        underway |= self.is_cut();
        Unsent {
            bytes: self.lost.bytes + self.backlog(),
            messages: self.lost.messages + messages + u64::from(underway),
        }
    }

    /// Where the frame starts that is being written, or where the next will.
    pub(crate) fn frame_start(&self) -> usize {
        let written = |frame: &Frame| frame.end <= self.written && !frame.shared;
        self.frames().take_while(written).last().map_or(self.base, |frame| frame.end)
    }

    /// The frames from `base` on.
    fn frames(&self) -> impl Iterator<Item = Frame> {
        let (mut start, mut shared) = (self.base, self.shared.iter().peekable());
        core::iter::from_fn(move || {
            if shared.next_if(|(place, _)| *place == start).is_some() {
                // A whole frame, head and all: of a message, and its only one.
                let header = Header::new(OpCode::Binary, 0);
                return Some(Frame { header, end: start, shared: true });
            }
            let decoded = Header::decode(&self.copied[start..]);
            debug_assert!(decoded.is_ok(), "{decoded:?} at {start}");
            let (header, length) = decoded.ok()??;
            let head_end = start + length;
            let shared = shared.next_if(|(place, _)| *place == head_end).is_some();
            let end = if shared { head_end } else { head_end + header.payload_len as usize };
            start = end;
            Some(Frame { header, end, shared })
        })
    }
}
