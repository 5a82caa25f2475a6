//! Input from the peer.

mod budget;
mod event;
mod receiver;

pub use budget::ReceiveBudget;
pub use event::Event;
pub(crate) use receiver::Receiver;

use super::{Closed, Config, Connection, ProtocolError, close::Phase, keys::Keys};
use crate::{Input, frame::CloseFrame, message::Chunk};
#[cfg(feature = "std")]
use alloc::vec::Vec;
use receiver::Rules;

impl Connection {
    /// Gives the next event in `input`, or `None` once all of it is consumed. You never give the same
    /// bytes again, and any buffer may come next.
    ///
    /// A pong or the answer to a Close is queued when you get the event. Input after the peer's Close,
    /// or after an error, is discarded.
    ///
    /// # Errors
    /// [`ProtocolError`] if the peer breaks the protocol or a limit. You got every event before the
    /// mistake and get none after it. The right Close is queued, and each further call gives the same
    /// error (RFC 6455 §7.1.7).
    ///
    /// # Panics
    /// If a message that [`receive_chunk`](Self::receive_chunk) began has not ended.
    #[inline]
    pub fn receive<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.receive_here(input)
    }

    /// As [`receive`](Self::receive), inlined into the caller's loop so that a message is not moved.
    #[inline(always)]
    pub(crate) fn receive_here<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.is_open() || !self.state.is_over() {
            let rules = rules(&self.keys, &self.config);
            if let Some(result) = self.receiver.whole(input, &rules) {
                return match result {
                    Ok(message) => Ok(Some(Event::Message(message))),
                    Err(error) => Err(self.fail(error)),
                };
            }
        }
        self.receive_any(input)
    }

    /// As [`receive`](Self::receive), for any event.
    #[inline(never)]
    fn receive_any<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.state.is_over() {
            return self.discard(input);
        }
        assert!(!self.is_in_chunks(), "a message that `receive_chunk` began has not ended");
        if input.is_empty() {
            return Ok(None);
        }
        self.receive_next(input, false)
    }

    /// As [`receive`](Self::receive), but gives a message as it comes, in [chunks](Event::Chunk), and
    /// holds none of it: for messages of any size. A chunk may be left when `input` is empty: go on until
    /// you get `None`.
    ///
    /// Text is checked. Compressed messages are inflated, at most 32 KiB at a time.
    /// [`Config::max_message_size`](crate::Config::max_message_size) and the other limits on messages do
    /// not apply, because nothing is held. You can go on here with a message that
    /// [`receive`](Self::receive) began; the first chunk is then the part that was held.
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
    /// As [`receive`](Self::receive). The mistake in a message may show after its first chunks.
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

    /// Whether [`receive_chunk`](Self::receive_chunk) is inside a message: then do not call
    /// [`receive`](Self::receive). `false` once the connection is over, also if that cut the message off.
    pub fn is_in_chunks(&self) -> bool {
        self.receiver.is_passing() && !self.state.is_over()
    }

    /// Discards messages from now on, also the one under way. They are neither handed out nor inflated.
    /// Nothing is held, so no limit on size applies. Control frames are received and answered as before,
    /// heads are checked, and so is text that is not compressed. You cannot undo this: later messages
    /// may refer to those that were not inflated.
    ///
    /// Use it when you want no more messages but go on sending, or while you close: messages still come
    /// after [`start_close`](Self::start_close), and a peer could make you inflate gigabytes for nothing. The adapters
    /// do this in `close`, and when a reader is dropped. Discarded messages count in
    /// [`stats`](Self::stats); their payload does not.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, Event, Input};
    ///
    /// let mut connection = Connection::client(Config::default());
    /// connection.start_close(None)?;
    /// connection.discard_messages();
    /// let mut wire = *b"\x81\x05Hello\x89\x01!\x88\x00";
    /// let mut input = Input::new(&mut wire);
    /// assert_eq!(connection.receive(&mut input)?, Some(Event::Ping(b"!"[..].into())));
    /// assert_eq!(connection.receive(&mut input)?, Some(Event::Close(None)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn discard_messages(&mut self) {
        if !self.state.is_over() {
            self.receiver.discard();
        }
    }

    /// The rest of a message was discarded after its first chunks were handed out.
    #[cfg(feature = "std")]
    pub(crate) fn cut_off_chunks(&mut self) {
        self.receiver.cut_off_chunks();
    }

    /// Whether the connection has ended in the middle of a message that was given in chunks.
    #[cfg(feature = "std")]
    pub(crate) fn has_cut_off_chunks(&self) -> bool {
        self.receiver.cut_off() == super::stats::CutOff::InChunks
    }

    /// Whether [`receive_chunk`](Self::receive_chunk) may give something without input.
    #[cfg(feature = "std")]
    pub(crate) fn has_more_chunks(&self) -> bool {
        self.receiver.has_more()
    }

    pub(crate) fn receive_next<'i>(
        &mut self,
        input: &mut Input<'i>,
        chunks: bool,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        let rules = Rules { chunks, ..rules(&self.keys, &self.config) };
        let event = self.receiver.next(input, &rules).map_err(|error| self.fail(error))?;
        if let Some(event) = &event {
            self.control(event);
        }
        Ok(event)
    }

    /// Whether the next frame, of which some is in `input`, is a control frame. Those can be received
    /// although you take no messages.
    #[cfg(feature = "std")]
    pub(crate) fn is_control_next(&self, input: &Input<'_>) -> bool {
        self.receiver.is_control_next(input.as_bytes())
    }

    /// Whether a data frame is under way.
    #[cfg(feature = "std")]
    pub(crate) fn is_in_data(&self) -> bool {
        self.receiver.is_in_payload()
    }

    /// Lets `read` append to the message that is under way, at most as many bytes as it is told, if
    /// enough are to come for this to pay. All input before must have been received.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn append<T>(&mut self, read: impl FnOnce(&mut Vec<u8>, usize) -> T) -> Option<T> {
        if !self.receiver.is_in_payload() {
            return None; // also once the connection is over
        }
        self.append_here(read)
    }

    #[cfg(feature = "std")]
    #[cold]
    fn append_here<T>(&mut self, read: impl FnOnce(&mut Vec<u8>, usize) -> T) -> Option<T> {
        self.receiver.append(self.config.receive_budget.as_ref(), read)
    }

    /// Answers a control frame (§5.5).
    fn control(&mut self, event: &Event<'_>) {
        match event {
            // §5.5.2: answered unless a Close has been received, so also after our own Close.
            Event::Ping(payload) => {
                if !matches!(self.state, Phase::Unwritable { .. }) {
                    let mask = self.keys.next();
                    self.outbox.push_pong(mask, payload);
                }
            }
            Event::Pong(payload) => {
                if let Some(pinger) = &mut self.pinger {
                    pinger.pong(payload, &self.outbox);
                }
            }
            Event::Close(frame) => {
                // The state changes first, because the caller's mask keys may panic.
                let answers = matches!(self.state, Phase::Open);
                self.state.peer_closed(frame.clone(), matches!(self.keys, Keys::Server));
                if answers {
                    // §5.5.1: the answer usually echoes the code; the reason is not sent back.
                    self.push_close(frame.as_ref().map(|frame| frame.code().into()));
                }
                self.settle();
            }
            Event::Message(_) | Event::Chunk(_) => {}
        }
    }

    #[cold]
    pub(crate) fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        // The state changes first, as above.
        let tells = matches!(self.state, Phase::Open);
        self.state.fail(Closed::Failed(error));
        if tells {
            let reason = alloc::format!("{}", error.kind);
            let frame = CloseFrame::new(error.close_code(), &reason)
                .unwrap_or_else(|_| error.close_code().into());
            self.push_close(Some(frame));
        }
        self.settle();
        error
    }

    #[cold]
    pub(crate) fn discard<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.state.discard(input.take_all().len(), &mut self.outbox);
        self.settle();
        match &self.state {
            Phase::Ending { outcome: Closed::Failed(error), .. }
            | Phase::Closed(Closed::Failed(error)) => Err(*error),
            _ => Ok(None),
        }
    }
}

/// The rules for whole messages.
#[inline]
pub(crate) fn rules<'c>(keys: &Keys, config: &'c Config) -> Rules<'c> {
    Rules { masked: matches!(keys, Keys::Server), config, chunks: false }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Incoming;
    use alloc::vec;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    /// A server that has received `head`, and then a key.
    fn server(head: &[u8]) -> Connection {
        let mut connection = Connection::server(Config::default());
        let mut wire = [head, &KEY].concat();
        assert!(connection.receive(&mut Input::new(&mut wire)).unwrap().is_none());
        connection
    }

    /// The head of a frame of up to 64 KiB and more.
    fn head(first: u8, length: u64) -> Vec<u8> {
        match u16::try_from(length) {
            Ok(length) => [&[first, 0xfe][..], &length.to_be_bytes()].concat(),
            Err(_) => [&[first, 0xff][..], &length.to_be_bytes()].concat(),
        }
    }

    /// The held part goes out as a chunk without further input.
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

    /// Much of a binary frame goes straight into the message, unmasked where it lies: never its
    /// last byte, never more than there is room for, and all of it counts.
    #[test]
    fn what_is_appended_is_the_message() {
        for length in [64 << 10, 1_000_000, 3_000_000] {
            let plain: Vec<u8> = (0..length).map(|i| (i * i) as u8).collect();
            let masked: Vec<u8> =
                plain.iter().zip((0..4).cycle()).map(|(b, i)| b ^ KEY[i]).collect();
            let mut connection = server(&head(0x82, length));
            assert!(connection.is_in_data());
            let mut came = 0;
            while masked.len() - came >= 64 << 10 {
                let progress = connection.receiver.progress();
                connection.append(|_, _| ()).expect("a read that brings nothing");
                assert_eq!(connection.receiver.progress(), progress);
                let room = connection.append(|bytes, room| {
                    assert!(0 < room && room <= bytes.capacity() - bytes.len());
                    assert!(came + room < masked.len() && room <= 256 << 10);
                    bytes.extend_from_slice(&masked[came..][..room]);
                    room
                });
                came += room.unwrap();
                assert!(connection.receiver.progress() > progress);
                assert_eq!(connection.stats().payload_received, came as u64);
            }
            assert_eq!(connection.append(|_, _| ()), None, "little is left");
            let mut rest = masked[came..].to_vec();
            let event = connection.receive(&mut Input::new(&mut rest)).unwrap();
            assert!(event == Some(Event::Message(Incoming::Binary(plain.into()))));
            assert_eq!((connection.is_in_data(), connection.stats().messages_received), (false, 1));
        }
    }

    /// A peer that sends is alive, also where nothing goes through a buffer.
    #[test]
    fn what_is_appended_interrupts_the_silence() {
        use crate::{Keepalive, Time};
        let second = core::time::Duration::from_secs(1);
        for (brings, pings) in [(0, 1), (1, 0)] {
            let mut connection =
                Connection::server(Config::default().keepalive(Keepalive::every(second)));
            let mut wire = [head(0x82, 1 << 20), KEY.to_vec()].concat();
            connection.receive(&mut Input::new(&mut wire)).unwrap();
            connection.handle_timeout(Time::EPOCH).unwrap();
            connection.append(|bytes, _| bytes.resize(bytes.len() + brings, 0)).unwrap();
            connection.handle_timeout(Time::EPOCH + second).unwrap();
            assert_eq!(connection.stats().pings_sent, pings);
        }
    }

    /// Text has to be checked, chunks are handed out, and between the messages there is nothing.
    #[test]
    fn what_cannot_be_appended_to() {
        assert_eq!(server(&head(0x81, 1 << 20)).append(|_, _| ()), None, "text");
        assert_eq!(server(&head(0x82, (64 << 10) - 1)).append(|_, _| ()), None, "little");
        assert_eq!(Connection::server(Config::default()).append(|_, _| ()), None, "nothing");
        let mut connection = server(&head(0x82, 1 << 20));
        connection.transport_failed();
        assert_eq!(connection.append(|_, _| ()), None, "over");
        let mut connection = Connection::server(Config::default());
        let mut wire = [head(0x82, 1 << 20), KEY.to_vec(), vec![0; 8]].concat();
        assert!(connection.receive_chunk(&mut Input::new(&mut wire)).unwrap().is_some());
        assert_eq!(connection.append(|_, _| ()), None, "in chunks");
    }

    /// §5.4, §5.5: a control frame may come between and inside of messages; in the middle of a data
    /// frame there is none.
    #[test]
    fn section_5_4_a_control_frame_is_seen_by_its_first_byte() {
        let next = |connection: &Connection, bytes: &[u8]| {
            connection.is_control_next(&Input::new(&mut bytes.to_vec()))
        };
        let fresh = || Connection::server(Config::default());
        for first in 0..=255_u8 {
            let control = first & 0x08 != 0;
            assert_eq!(next(&fresh(), &[first, 0x80]), control, "{first:#04x}");
        }
        assert!(!next(&fresh(), &[]));
        for (received, control) in [
            (&[0x89][..], true), // a part of its head
            (&[0x89, 0x81, 1, 2], true),
            (&[0x89, 0x81, 1, 2, 3, 4], true), // its head
            (&[0x82], false),
            (&[0x82, 0x82, 1, 2, 3, 4], false),
            (&[0x82, 0x82, 1, 2, 3, 4, 5], false), // a part of its payload
        ] {
            let mut connection = fresh();
            connection.receive(&mut Input::new(&mut received.to_vec())).unwrap();
            for bytes in [&[][..], &[0x89], &[0x82]] {
                assert_eq!(next(&connection, bytes), control, "{received:?} {bytes:?}");
            }
        }
    }
}
