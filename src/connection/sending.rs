//! Messages and pings on their way out.

use super::{Connection, SendError, SendErrorReason, close::State};
use crate::{
    frame::{ControlPayload, Header, OpCode},
    message::{IntoMessage, MessageRef},
};

impl Connection {
    /// Queues a message as one frame.
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed,
    /// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be written, or a message that
    /// is sent in [fragments](Self::send_fragment) is not finished.
    #[inline]
    pub fn send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError> {
        if let Err(reason) = self.may_send() {
            return Err(SendError { reason, message: message.into_message() });
        }
        #[cfg(feature = "deflate")]
        if self.deflate.is_some()
            && self.push_compressed(message.as_message(), crate::deflate::Compression::Auto)
        {
            return Ok(());
        }
        self.push_plain(message);
        Ok(())
    }

    #[inline]
    pub(super) fn push_plain(&mut self, message: impl IntoMessage) {
        let (opcode, len) = match message.as_message() {
            MessageRef::Text(text) => (OpCode::Text, text.len()),
            MessageRef::Binary(bytes) => (OpCode::Binary, bytes.len()),
        };
        self.sent.messages += 1;
        self.sent.plain += len as u64;
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(opcode, len as u64) };
        self.outbox.push_message(&header, message);
    }

    /// Queues a ping (RFC 6455 §5.5.2). The pong comes as [`Event::Pong`](crate::Event::Pong).
    ///
    /// # Errors
    /// The connection is closing or closed, or
    /// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be written.
    pub fn ping(&mut self, payload: ControlPayload) -> Result<(), SendErrorReason> {
        self.may_queue()?;
        self.push_ping(payload.as_bytes());
        Ok(())
    }

    pub(super) fn push_ping(&mut self, payload: &[u8]) {
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(OpCode::Ping, payload.len() as u64) };
        self.sent.pings += 1;
        self.outbox.push(&header, payload);
    }

    #[inline]
    pub(super) fn may_send(&self) -> Result<(), SendErrorReason> {
        if self.fragments.is_some() {
            return Err(SendErrorReason::Unfinished); // §5.4
        }
        self.may_queue()
    }

    #[inline]
    pub(super) fn may_queue(&self) -> Result<(), SendErrorReason> {
        if !matches!(self.state, State::Open) {
            return Err(SendErrorReason::Closed); // §5.5.1
        }
        if self.is_over_mark() {
            return Err(SendErrorReason::Full);
        }
        Ok(())
    }

    /// An empty backlog is under any mark.
    #[inline]
    fn is_over_mark(&self) -> bool {
        !self.outbox.is_empty() && self.outbox.len() >= self.config.max_unsent
    }

    /// Whether a message would be accepted if less were waiting to be written.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_over_mark() && self.is_open()
    }

    /// Whether there is room for a message, or for a fragment of one.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.may_queue().is_ok()
    }
}
