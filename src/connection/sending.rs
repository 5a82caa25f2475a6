//! Messages and pings on their way out.

use super::{Connection, SendError, SendErrorReason, Unsent, close::State, cutting::Unfinished};
use crate::{
    frame::{ControlPayload, Header, OpCode},
    message::{IntoMessage, MessageRef},
};

impl Connection {
    /// Queues a message: as one frame, unless it is larger than
    /// [`Config::max_sent_frame`](crate::Config::max_sent_frame).
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed,
    /// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be written, or a message
    /// that is sent in [fragments](Self::send_fragment) is not finished.
    #[inline]
    pub fn send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError> {
        if let Err(reason) = self.may_send() {
            return Err(SendError { reason, message: message.into_message() });
        }
        #[cfg(feature = "deflate")]
        if self.deflate.is_some() {
            self.push_compressed(message, crate::deflate::Compression::Auto);
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
        if len > self.config.max_sent_frame {
            return self.cut(message, false);
        }
        self.sent.messages += 1;
        self.sent.plain += len as u64;
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(opcode, len as u64) };
        self.outbox.push_message(&header, message);
    }

    /// Queues a ping (RFC 6455 §5.5.2). The pong comes as
    /// [`Event::Pong`](crate::Event::Pong).
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

    /// Whether a whole message may be queued now.
    #[inline]
    pub(super) fn may_send(&mut self) -> Result<(), SendErrorReason> {
        if !matches!(self.outbox.unfinished, Unfinished::None) {
            return self.may_follow();
        }
        self.may_queue()
    }

    /// Whether a frame of a message, or a ping, may be queued now.
    #[inline]
    pub(super) fn may_queue(&self) -> Result<(), SendErrorReason> {
        if !matches!(self.state, State::Open) {
            return Err(SendErrorReason::Closed); // §5.5.1
        }
        if self.outbox.backlog() >= self.config.max_unsent as u64 {
            return Err(SendErrorReason::Full);
        }
        Ok(())
    }

    /// Whether one ought to wait, only because too much waits to be written.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.outbox.backlog() >= self.config.mark() as u64 && self.is_open()
    }

    /// Whether there is room for a message, or for a fragment of one: the connection is open and
    /// less than [`Config::unsent_mark`](crate::Config::unsent_mark) waits to be written. Where
    /// there is none one ought to wait; see [back-pressure](Self#back-pressure).
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.is_open() && self.outbox.backlog() < self.config.mark() as u64
    }

    /// What waits to be written; once the connection is over, what never was. It is counted when
    /// asked for, by a walk over the frames that wait.
    ///
    /// ```
    /// use fullduplex::{Config, Connection};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.send("one")?; // 5 bytes with its head
    /// connection.send("two")?;
    /// connection.outbox().advance(6);
    /// assert_eq!((connection.unsent().bytes, connection.unsent().messages), (4, 1));
    /// connection.transport_failed();
    /// assert_eq!((connection.unsent().bytes, connection.unsent().messages), (4, 1));
    /// # Ok::<(), fullduplex::SendError>(())
    /// ```
    pub fn unsent(&self) -> Unsent {
        self.outbox.unsent()
    }
}
