//! What comes from the peer.

use super::{
    Closed, Config, Connection, Event, ProtocolError, close::State, keys::Keys, receive::Rules,
};
use crate::{Input, frame::CloseFrame};
#[cfg(feature = "std")]
use alloc::vec::Vec;

impl Connection {
    /// The next event in `input`. `None` means that all of it is consumed: nothing has to be
    /// presented again, and any buffer may come next.
    ///
    /// Pongs and the answer to a Close are queued by the time their event is out. After the
    /// peer's Close, and after an error, input is discarded.
    ///
    /// # Panics
    /// When a message that [`receive_chunk`](Self::receive_chunk) began has not ended.
    ///
    /// # Errors
    /// [`ProtocolError`] when the peer breaks the protocol or a limit: the events in front of it
    /// were delivered, the right Close is queued, nothing more is delivered, and each further
    /// call gives the same error (RFC 6455 §7.1.7).
    #[inline]
    pub fn receive<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.receive_here(input)
    }

    /// [`receive`](Self::receive) in the caller's own loop, where a message needs not be moved.
    #[inline(always)]
    pub(crate) fn receive_here<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.is_open() || !self.state.is_over() {
            let rules = rules(&self.keys, &self.config);
            if let Some(result) = self.receiver.whole(input, &rules) {
                self.interrupt();
                return match result {
                    Ok(message) => Ok(Some(Event::Message(message))),
                    Err(error) => Err(self.fail(error)),
                };
            }
        }
        self.receive_any(input)
    }

    /// As [`receive`](Self::receive), whatever it is that comes.
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

    pub(super) fn receive_next<'i>(
        &mut self,
        input: &mut Input<'i>,
        chunks: bool,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.interrupt();
        let rules = Rules { chunks, ..rules(&self.keys, &self.config) };
        let event = self.receiver.next(input, &rules).map_err(|error| self.fail(error))?;
        if let Some(event) = &event {
            self.control(event);
        }
        Ok(event)
    }

    /// Whether what comes next, of which some is in `input`, is a control frame, which can be
    /// received although nobody takes messages.
    #[cfg(feature = "std")]
    pub(crate) fn is_control_next(&self, input: &Input<'_>) -> bool {
        self.receiver.is_control_next(input.as_bytes())
    }

    /// Whether a data frame is under way.
    #[cfg(feature = "std")]
    pub(crate) fn is_in_data(&self) -> bool {
        self.receiver.is_in_payload()
    }

    /// Something came from the peer.
    #[inline]
    pub(super) fn interrupt(&mut self) {
        if let Some(pinger) = &mut self.pinger {
            pinger.interrupt();
        }
    }

    /// Lets `read` append to the message that is under way, at most as much as it is told, if so
    /// much of it is to come that this pays. All input before must have been received.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn append<T>(&mut self, read: impl FnOnce(&mut Vec<u8>, usize) -> T) -> Option<T> {
        if !self.receiver.is_in_payload() || self.state.is_over() {
            return None;
        }
        self.append_here(read)
    }

    #[cfg(feature = "std")]
    #[cold]
    fn append_here<T>(&mut self, read: impl FnOnce(&mut Vec<u8>, usize) -> T) -> Option<T> {
        let before = self.receiver.progress();
        let output = self.receiver.append(read)?;
        if before != self.receiver.progress() {
            self.interrupt();
        }
        Some(output)
    }

    /// Answers a control frame (§5.5).
    fn control(&mut self, event: &Event<'_>) {
        match event {
            // §5.5.2: answered unless a Close has been received, so also after our own Close.
            Event::Ping(payload) => {
                if !matches!(self.state, State::Unwritable { .. }) {
                    let mask = self.keys.next();
                    self.outbox.push_pong(mask, payload);
                }
            }
            Event::Pong(payload) => {
                if let Some(pinger) = &mut self.pinger {
                    pinger.pong(payload);
                }
            }
            Event::Close(frame) => {
                if matches!(self.state, State::Open) {
                    // §5.5.1: the answer usually has the code that came; the reason stays theirs.
                    self.push_close(frame.as_ref().map(|frame| frame.code().into()));
                }
                self.state.peer_closed(frame.clone(), matches!(self.keys, Keys::Server));
                self.settle();
            }
            Event::Message(_) | Event::Chunk(_) => {}
        }
    }

    #[cold]
    pub(super) fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        if matches!(self.state, State::Open) {
            let reason = alloc::format!("{}", error.kind);
            let frame = CloseFrame::new(error.close_code(), &reason)
                .unwrap_or_else(|_| error.close_code().into());
            self.push_close(Some(frame));
        }
        self.state.fail(Closed::Failed(error));
        self.settle();
        error
    }

    #[cold]
    pub(super) fn discard<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.state.discard(input.take_all().len(), &mut self.outbox);
        self.settle();
        match &self.state {
            State::Ending { outcome: Closed::Failed(error), .. }
            | State::Closed(Closed::Failed(error)) => Err(*error),
            _ => Ok(None),
        }
    }
}

/// What holds for what comes in whole messages.
#[inline]
pub(super) fn rules<'c>(keys: &Keys, config: &'c Config) -> Rules<'c> {
    Rules { masked: matches!(keys, Keys::Server), config, chunks: false }
}
