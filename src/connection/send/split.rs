//! A large message as many frames (RFC 6455 §5.4), each made when those before it are almost
//! written, so that control frames find their place between them.

use super::{IntoMessage, Refusal, fragments::Fragments};
use crate::{Connection, frame::OpCode};
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;
use core::mem;

/// While fewer bytes than this wait in the outbox the next fragment is made: small ones are written
/// many at a time, and a control frame waits for no more than this and a fragment.
const TOP_UP: u64 = 16 * 1024;

/// The message of which not everything is in the outbox: no other may come before it ends (§5.4).
#[derive(Default)]
pub(crate) enum Unfinished {
    #[default]
    None,
    /// The caller sends it in fragments.
    Fragments(Fragments),
    Cut(Box<Cut>),
}

/// A message of which not every fragment is made.
pub(crate) struct Cut {
    /// What there is of it still, never empty.
    rest: Bytes,
    compressed: bool,
    /// The Close frame, encoded, if that is to follow.
    close: Vec<u8>,
}

impl Cut {
    /// How many bytes of payload are not yet in a fragment.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Where the Close frame goes.
    pub(crate) fn close(&mut self) -> &mut Vec<u8> {
        &mut self.close
    }
}

impl Connection {
    /// Queues the first fragment of a message that is too large for a frame, and keeps the rest.
    #[cold]
    #[inline(never)]
    pub(crate) fn cut(&mut self, message: impl IntoMessage, compressed: bool) {
        let (opcode, mask) = (message.as_message().opcode(), self.keys.next());
        let mut rest = message.into_message().into_bytes();
        let first = rest.split_to(self.config.max_sent_frame_size);
        self.push_fragment((opcode, false, mask), first, compressed);
        let cut = Cut { rest, compressed, close: Vec::new() };
        self.outbox.unfinished = Unfinished::Cut(Box::new(cut));
    }

    /// Whether frames of a message are still to be made.
    #[cfg(feature = "std")]
    pub(crate) fn is_cut(&self) -> bool {
        self.outbox.is_cut()
    }

    /// As `may_send`, behind a message that is not finished; finishes it if that is up to us.
    #[cold]
    pub(crate) fn may_follow(&mut self) -> Result<(), Refusal> {
        if matches!(self.outbox.unfinished, Unfinished::Fragments(_)) {
            return Err(Refusal::Unfinished);
        }
        self.may_queue()?;
        self.finish_cut();
        Ok(())
    }

    /// Makes further fragments if there is little to be written.
    #[cold]
    #[inline(never)]
    pub(crate) fn top_up(&mut self) {
        self.make_fragments(TOP_UP);
    }

    /// Makes all fragments that are left, because something is to be queued behind them. They are
    /// less than the limit of unsent bytes, or that would not have been accepted.
    fn finish_cut(&mut self) {
        self.make_fragments(u64::MAX);
    }

    fn make_fragments(&mut self, enough: u64) {
        while self.outbox.waiting() < enough {
            let Unfinished::Cut(cut) = &mut self.outbox.unfinished else { return };
            let (opcode, mask) = (OpCode::Continuation, self.keys.next());
            let compressed = cut.compressed;
            let piece = cut.rest.split_to(cut.rest.len().min(self.config.max_sent_frame_size));
            if !cut.rest.is_empty() {
                self.push_fragment((opcode, false, mask), piece, compressed);
                continue;
            }
            let close = mem::take(&mut cut.close);
            self.push_fragment((opcode, true, mask), piece, compressed);
            self.outbox.unfinished = Unfinished::None;
            self.outbox.push_waiting(close);
            self.settle();
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use crate::{Config, Connection};

    #[test]
    fn a_message_is_cut_until_its_last_fragment_is_made() {
        let mut connection = Connection::server(Config::default().max_sent_frame_size(10_000));
        assert!(!connection.is_cut());
        connection.feed(alloc::vec![1; 30_000]).unwrap();
        assert!(connection.is_cut(), "one is made ahead, and one more to have 16 KiB");
        connection.outbox().advance(10_000);
        connection.outbox();
        assert!(!connection.is_cut());
    }
}
