//! Messages that are sent in fragments (RFC 6455 §5.4), because they are too large to be held, or
//! not all of them is there yet.

use super::{IntoFragment, IntoMessage, Refusal, Unfinished};
use crate::{
    Connection, SendError,
    frame::{Header, OpCode},
    message::{Incomplete, MessageRef},
};

/// The message that is being sent in fragments.
pub(crate) struct Fragments {
    text: bool,
    /// Whether it is compressed, which its first fragment decides.
    compressed: bool,
    /// The code point that its last fragment has cut.
    open: Incomplete,
}

impl Connection {
    /// Queues a fragment of a message, as one frame (RFC 6455 §5.4): for a message whose length is
    /// not known yet, or that is better made piece by piece. `fin` says that it is the last.
    ///
    /// All fragments of a message are text, each of them UTF-8 by itself or given as a
    /// [`TextFragment`](crate::TextFragment), or all are binary; any may be empty. Until
    /// the last, no other message is accepted; control frames go out between them. Each is one
    /// frame, whatever its size: where to cut is the caller's choice, and
    /// [`Config::max_sent_frame_size`](crate::Config::max_sent_frame_size) does not hold. With
    /// permessage-deflate they are compressed as one message, and what was sent can be inflated at
    /// once by the peer.
    ///
    /// ```
    /// use fullduplex::{Config, Connection};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.feed_fragment("Hel", false)?;
    /// connection.feed_fragment("lo", true)?;
    /// assert_eq!(connection.outbox().chunk(), b"\x01\x03Hel\x80\x02lo"); // §5.7
    /// # Ok::<(), fullduplex::SendError>(())
    /// ```
    ///
    /// # Errors
    /// As [`feed`](Self::feed); and
    /// [`SendErrorReason::Unfinished`](crate::SendErrorReason::Unfinished) if the message under way
    /// is of the other kind, [`SendErrorReason::InvalidUtf8`](crate::SendErrorReason::InvalidUtf8)
    /// if it would not be UTF-8 any more, or ends inside of a code point.
    pub fn feed_fragment<F: IntoFragment>(
        &mut self,
        fragment: F,
        fin: bool,
    ) -> Result<(), SendError> {
        let options = fragment.options();
        let fragment = fragment.into_payload();
        let (text, payload) = match fragment.as_message() {
            MessageRef::Text(text) => (true, text.as_bytes()),
            MessageRef::Binary(bytes) => (options.partial_text, bytes),
        };
        let mut open = Incomplete::default();
        let accepted = match &self.outbox.unfinished {
            Unfinished::Fragments(message) if message.text == text => {
                open = message.open;
                self.may_queue()
            }
            _ => self.may_send(),
        };
        let accepted = accepted.and_then(|()| {
            let checked = !options.partial_text && open.is_empty(); // by its type
            let valid = checked || open.feed(payload, |_| ()).is_ok();
            if valid && (open.is_empty() || !fin) { Ok(()) } else { Err(Refusal::InvalidUtf8) }
        });
        if let Err(refusal) = accepted {
            return Err(self.refuse(refusal, fragment));
        }
        let first = match text {
            true => OpCode::Text,
            false => OpCode::Binary,
        };
        let (opcode, compressed) = match &self.outbox.unfinished {
            Unfinished::Fragments(message) => (OpCode::Continuation, message.compressed),
            #[cfg(feature = "deflate")]
            _ => (first, self.compresses(payload, fin, options.compression)),
            #[cfg(not(feature = "deflate"))]
            _ => (first, false),
        };
        let mask = self.keys.next();
        self.outbox.unfinished = match fin {
            true => Unfinished::None,
            false => Unfinished::Fragments(Fragments { text, compressed, open }),
        };
        self.push_fragment((opcode, fin, mask), fragment, compressed);
        Ok(())
    }

    /// Queues one frame of a message. Its key is drawn before anything changes: a caller's
    /// generator may panic.
    pub(crate) fn push_fragment(
        &mut self,
        (opcode, fin, mask): (OpCode, bool, Option<[u8; 4]>),
        fragment: impl IntoMessage,
        compressed: bool,
    ) {
        let payload = fragment.as_message().as_bytes();
        let header = Header { fin, mask, ..Header::new(opcode, payload.len() as u64) };
        if compressed {
            #[cfg(feature = "deflate")]
            return self.push_compressed_fragment(header, payload);
        }
        self.sent.ended(fin);
        self.sent.plain += header.payload_len;
        self.outbox.push_message(&header, fragment);
    }

    /// Whether a message that is sent in fragments is unfinished: then [`feed`](Self::feed) accepts
    /// nothing.
    pub fn is_in_fragments(&self) -> bool {
        matches!(self.outbox.unfinished, Unfinished::Fragments(_))
    }

    /// The empty fragment that would end the message that is being sent in fragments.
    #[cfg(feature = "std")]
    pub(crate) fn last_fragment(&self) -> Option<MessageRef<'static>> {
        match &self.outbox.unfinished {
            Unfinished::Fragments(Fragments { text: true, .. }) => Some(MessageRef::Text("")),
            Unfinished::Fragments(_) => Some(MessageRef::Binary(&[])),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Config;

    /// An adapter that has to end a message ends it as what it is.
    #[test]
    fn the_last_fragment_is_of_the_same_kind() {
        let mut connection = Connection::server(Config::default());
        assert_eq!(connection.last_fragment(), None);
        for (first, last) in [
            (MessageRef::Text("a"), MessageRef::Text("")),
            (MessageRef::Binary(b"a"), MessageRef::Binary(b"")),
        ] {
            connection.feed_fragment(first, false).unwrap();
            assert_eq!(connection.last_fragment(), Some(last));
            connection.feed_fragment(last, true).unwrap();
            assert_eq!(connection.last_fragment(), None);
        }
    }
}
