//! Messages that are too large to be held, or of which not all is there yet (RFC 6455 §5.4): sent in
//! fragments, received in chunks.

use super::{
    Connection, Event, ProtocolError, SendError, cutting::Unfinished, receiving::rules,
    sending::Refusal,
};
use crate::{
    Input,
    frame::{Header, OpCode},
    message::{Chunk, Incomplete, IntoFragment, IntoMessage, MessageRef},
};

/// The message that is being sent in fragments.
pub(super) struct Fragments {
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
    /// [`TextFragment`](crate::message::TextFragment), or all are binary; any may be empty. Until
    /// the last, no other message is accepted; control frames go out between them. Each is one
    /// frame, whatever its size: where to cut is the caller's choice, and
    /// [`Config::max_sent_frame`](crate::Config::max_sent_frame) does not hold. With
    /// permessage-deflate they are compressed as one message, and what was sent can be inflated at
    /// once by the peer.
    ///
    /// ```
    /// use fullduplex::{Config, Connection};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.send_fragment("Hel", false)?;
    /// connection.send_fragment("lo", true)?;
    /// assert_eq!(connection.outbox().chunk(), b"\x01\x03Hel\x80\x02lo"); // §5.7
    /// # Ok::<(), fullduplex::SendError>(())
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send); and
    /// [`SendErrorReason::Unfinished`](crate::SendErrorReason::Unfinished) if the message under way
    /// is of the other kind, [`SendErrorReason::InvalidUtf8`](crate::SendErrorReason::InvalidUtf8)
    /// if it would not be UTF-8 any more, or ends inside of a code point.
    pub fn send_fragment<F: IntoFragment>(
        &mut self,
        fragment: F,
        fin: bool,
    ) -> Result<(), SendError> {
        self.send_fragment_as(fragment, fin, |connection, first| {
            #[cfg(feature = "deflate")]
            return connection.compresses(first, fin, crate::deflate::Compression::Auto);
            #[cfg(not(feature = "deflate"))]
            return {
                _ = (connection, first);
                false
            };
        })
    }

    /// As [`send_fragment`](Self::send_fragment); what `compresses` says about the first fragment
    /// holds for the message.
    pub(super) fn send_fragment_as<F: IntoFragment>(
        &mut self,
        fragment: F,
        fin: bool,
        compresses: impl FnOnce(&Self, &[u8]) -> bool,
    ) -> Result<(), SendError> {
        let (partial, fragment) = fragment.into_payload();
        let (text, payload) = match fragment.as_message() {
            MessageRef::Text(text) => (true, text.as_bytes()),
            MessageRef::Binary(bytes) => (partial, bytes),
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
            let checked = !partial && open.is_empty(); // by its type
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
            _ => (first, compresses(self, payload)),
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
    pub(super) fn push_fragment(
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

    /// Whether a message that is sent in fragments is unfinished: then [`send`](Self::send) accepts
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

    /// As [`receive`](Self::receive), but a message is handed on as it comes, in
    /// [chunks](Event::Chunk), and none of it is held: for messages of any size. Without input too
    /// there may be a chunk left: go on until there is `None`.
    ///
    /// Text is checked on the way, compressed messages are inflated, by 32 KiB at most at a time.
    /// [`Config::max_message_size`](crate::Config::max_message_size) and the other limits on what
    /// comes do not hold, because nothing is held. A message of which
    /// [`receive`](Self::receive) has taken the beginning can be gone on with here; its first chunk
    /// is then what was held.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, Event, Input};
    ///
    /// let mut connection = Connection::client(Config::default());
    /// let mut parts = Vec::new();
    /// for mut piece in [b"\x82\x0dto be ".to_vec(), b"or not!".to_vec()] {
    ///     let mut input = Input::new(&mut piece);
    ///     while let Some(event) = connection.receive_chunk(&mut input)? {
    ///         let Event::Chunk(chunk) = event else { continue };
    ///         parts.push((chunk.as_bytes().to_vec(), chunk.is_last()));
    ///     }
    /// }
    /// assert_eq!(parts, [(b"to be ".to_vec(), false), (b"or not!".to_vec(), true)]);
    /// # Ok::<(), fullduplex::ProtocolError>(())
    /// ```
    ///
    /// # Errors
    /// As [`receive`](Self::receive). What is wrong with a message may show after its first chunks.
    pub fn receive_chunk<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.state.is_over() {
            return self.discard(input);
        }
        if let Some(held) = self.receiver.hand_on() {
            return Ok(Some(Event::Chunk(held)));
        }
        if let Some(result) = self.receiver.whole(input, &rules(&self.keys, &self.config)) {
            return match result {
                Ok(message) => Ok(Some(Event::Chunk(Chunk::whole(message)))),
                Err(error) => Err(self.fail(error)),
            };
        }
        if input.is_empty() && !self.receiver.has_more() {
            return Ok(None);
        }
        self.receive_next(input, true)
    }

    /// Whether a message is under way of which [`receive_chunk`](Self::receive_chunk) hands on
    /// parts: then [`receive`](Self::receive) may not be called. Of one that the end of the connection
    /// has cut off, nothing more comes.
    pub fn is_in_chunks(&self) -> bool {
        self.receiver.is_passing() && !self.state.is_over()
    }

    /// A part of a message was discarded of which others were handed on.
    #[cfg(feature = "std")]
    pub(crate) fn cut_off_chunks(&mut self) {
        self.receiver.cut_off_chunks();
    }

    /// Whether the connection has ended in the middle of a message that was given in chunks.
    #[cfg(feature = "std")]
    pub(crate) fn has_cut_off_chunks(&self) -> bool {
        self.receiver.cut_off() == super::receive::CutOff::InChunks
    }

    /// Whether [`receive_chunk`](Self::receive_chunk) may give something without input.
    #[cfg(feature = "std")]
    pub(crate) fn has_more_chunks(&self) -> bool {
        self.receiver.has_more()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Config;

    /// What is held goes out as a chunk without further input.
    #[test]
    fn what_was_received_whole_is_handed_on() {
        let mut connection = Connection::client(Config::default());
        assert!(!connection.has_more_chunks());
        let mut wire = *b"\x01\x02gr";
        assert!(connection.receive(&mut Input::new(&mut wire)).unwrap().is_none());
        assert!(connection.has_more_chunks());
        let held = connection.receive_chunk(&mut Input::new(&mut [])).unwrap();
        assert!(matches!(held, Some(Event::Chunk(chunk)) if chunk.as_bytes() == b"gr"));
        assert!(!connection.has_more_chunks());
    }

    /// An adapter that has to end a message ends it as what it is.
    #[test]
    fn the_last_fragment_is_of_the_same_kind() {
        let mut connection = Connection::server(Config::default());
        assert_eq!(connection.last_fragment(), None);
        for (first, last) in [
            (MessageRef::Text("a"), MessageRef::Text("")),
            (MessageRef::Binary(b"a"), MessageRef::Binary(b"")),
        ] {
            connection.send_fragment(first, false).unwrap();
            assert_eq!(connection.last_fragment(), Some(last));
            connection.send_fragment(last, true).unwrap();
            assert_eq!(connection.last_fragment(), None);
        }
    }
}
