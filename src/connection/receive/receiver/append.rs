//! Reading straight into a large message.

use super::{Destination, FrameState, PartialMessage, Receiver, to_usize, unmask};
use crate::{
    connection::{receive::budget::ReceiveBudget, stats::Received},
    message::AHEAD_AT_FIRST,
};
use alloc::vec::Vec;

/// Payload is read straight into the message if at least this many bytes of the frame are missing:
/// about as many as one read into a buffer brings. With fewer a buffer also gets the next frames.
const APPEND_FROM: usize = 64 * 1024;

/// The most that is read straight into the message at once, in bytes, so that unmasking finds it in the
/// cache.
const APPEND: usize = 256 * 1024;

impl Receiver {
    /// Whether [`append`](Self::append) may succeed.
    #[inline]
    pub(crate) fn is_in_payload(&self) -> bool {
        matches!(self.state, FrameState::Payload { .. })
    }

    /// Lets `read` append to the message that is under way, if much of a binary frame is still to
    /// come, so that the bytes skip the buffer. `read` is told how many bytes it may append. The last
    /// one is never among them: it is for [`next`](Self::next).
    pub(crate) fn append<T>(
        &mut self,
        budget: Option<&ReceiveBudget>,
        read: impl FnOnce(&mut Vec<u8>, usize) -> T,
    ) -> Option<T> {
        let FrameState::Payload { mask: key, len, done, .. } = &mut self.state else {
            return None;
        };
        let missing = to_usize(*len - *done);
        if missing < APPEND_FROM {
            return None;
        }
        let Some(PartialMessage {
            compressed: false,
            payload: Destination::Held(assembly),
            share,
            ..
        }) = &mut self.message
        else {
            return None;
        };
        let piece = missing.min(AHEAD_AT_FIRST);
        assembly.as_binary()?;
        if let Some(size) = assembly.wants(piece, missing - piece, usize::MAX) {
            // Without memory the connection fails later, when the bytes come.
            share.grow(assembly, size, assembly.len() + piece, budget).ok()?;
        }
        let bytes = assembly.as_binary()?;
        let before = bytes.len();
        let room = (bytes.capacity() - before).min(missing - 1).min(APPEND);
        let (key, received) = (*key, &mut self.received);
        let appending = Appending { bytes, before, room, key, done, received };
        Some(read(appending.bytes, room))
    }
}

/// Takes note of what was appended when it is dropped, also if the read panics behind it.
struct Appending<'r> {
    bytes: &'r mut Vec<u8>,
    before: usize,
    room: usize,
    key: Option<[u8; 4]>,
    done: &'r mut u64,
    received: &'r mut Received,
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        let came = self.bytes.len() - self.before;
        debug_assert!(came <= self.room, "more was appended than there was to come");
        if came > 0 {
            unmask(&mut self.bytes[self.before..], self.key, *self.done);
            *self.done += came as u64;
            self.received.pieces += 1;
            self.received.plain += came as u64;
        }
    }
}
