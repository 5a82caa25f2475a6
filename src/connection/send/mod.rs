//! Messages and pings on their way out.

#[cfg(feature = "deflate")]
mod compress;
mod fragments;
mod outbox;
mod prepared;
mod sendable;
mod split;

#[cfg(feature = "deflate")]
pub(super) use compress::Deflating;
pub(super) use outbox::SendBuffer;
pub use outbox::{Outbox, Unsent};
pub use prepared::Prepared;
pub(crate) use sendable::SendOptions;
pub use sendable::{IntoFragment, IntoMessage, TextFragment};
pub(super) use split::Unfinished;

use super::{CloseCause, Connection, SendError, SendErrorReason, close::Phase};
use crate::{
    frame::{ControlPayload, Header, OpCode},
    message::MessageRef,
};

/// Hands a fragment back: it is not the next one of the message that is under way.
#[cfg(feature = "std")]
#[cold]
pub(crate) fn unfinished(fragment: impl IntoFragment) -> SendError {
    let message = fragment.into_payload().into_message();
    SendError { reason: SendErrorReason::Unfinished, message }
}

/// Why something is not accepted, for the way in: whose word it is that the connection is closed is
/// looked up only for an error.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    Closed,
    Full,
    Unfinished,
    InvalidUtf8,
}

impl Connection {
    /// Queues a message, which can be [many things](IntoMessage): as one frame, unless it is larger than
    /// [`Config::max_sent_frame_size`](crate::Config::max_sent_frame_size).
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed,
    /// [`Config::unsent_limit`](crate::Config::unsent_limit) bytes wait to be written, or a message
    /// that is sent in [fragments](Self::feed_fragment) is not finished.
    #[inline]
    pub fn feed<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError> {
        if let Err(refusal) = self.may_send() {
            return Err(self.refuse(refusal, message));
        }
        if let Some(prepared) = message.prepared() {
            self.push_prepared(prepared, message.options());
            return Ok(());
        }
        #[cfg(feature = "deflate")]
        if self.deflate.is_some() {
            let compression = message.options().compression;
            self.push_compressed(message, compression);
            return Ok(());
        }
        self.push_plain(message);
        Ok(())
    }

    #[inline]
    pub(crate) fn push_plain(&mut self, message: impl IntoMessage) {
        let (opcode, len) = match message.as_message() {
            MessageRef::Text(text) => (OpCode::Text, text.len()),
            MessageRef::Binary(bytes) => (OpCode::Binary, bytes.len()),
        };
        if len > self.config.max_sent_frame_size {
            return self.cut(message, false);
        }
        let mask = self.keys.next();
        self.sent.messages += 1;
        self.sent.plain += len as u64;
        let header = Header { mask, ..Header::new(opcode, len as u64) };
        self.outbox.push_message(&header, message);
    }

    /// Queues a ping (RFC 6455 §5.5.2). The pong comes as
    /// [`Event::Pong`](crate::Event::Pong). It may go between the fragments of a message, and behind
    /// our own Close as long as the peer's has not come: only data may not follow a Close (§5.5.1).
    ///
    /// # Errors
    /// The peer has closed or the connection is over, or
    /// [`Config::unsent_limit`](crate::Config::unsent_limit) bytes wait to be written.
    pub fn ping(&mut self, payload: ControlPayload) -> Result<(), SendErrorReason> {
        self.may_queue_control()?;
        self.push_ping(payload.as_bytes());
        Ok(())
    }

    /// Queues a pong that nobody has asked for: a sign of life that wants no answer (RFC 6455
    /// §5.5.3). Pings are answered without it. When it may be sent is as for [`ping`](Self::ping).
    ///
    /// ```
    /// use fullduplex::{Config, Connection, frame::ControlPayload};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.pong(ControlPayload::new(b"alive").unwrap())?;
    /// assert_eq!(connection.outbox().chunk(), b"\x8a\x05alive");
    /// # Ok::<(), fullduplex::SendErrorReason>(())
    /// ```
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: ControlPayload) -> Result<(), SendErrorReason> {
        self.may_queue_control()?;
        let payload = payload.as_bytes();
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(OpCode::Pong, payload.len() as u64) };
        self.outbox.push_unasked_pong(&header, payload);
        Ok(())
    }

    pub(crate) fn push_ping(&mut self, payload: &[u8]) {
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(OpCode::Ping, payload.len() as u64) };
        self.sent.pings += 1;
        self.outbox.push(&header, payload);
    }

    /// Whether a whole message may be queued now.
    #[inline]
    pub(crate) fn may_send(&mut self) -> Result<(), Refusal> {
        if !matches!(self.outbox.unfinished, Unfinished::None) {
            return self.may_follow();
        }
        self.may_queue()
    }

    /// Whether a frame of a message may be queued now.
    #[inline]
    pub(crate) fn may_queue(&self) -> Result<(), Refusal> {
        if !matches!(self.state, Phase::Open) {
            return Err(Refusal::Closed); // §5.5.1
        }
        if self.outbox.backlog() >= self.config.unsent_limit as u64 {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Whether a ping or a pong may be queued now.
    fn may_queue_control(&self) -> Result<(), SendErrorReason> {
        if !self.takes_control() {
            return Err(self.reason(Refusal::Closed));
        }
        if self.outbox.backlog() >= self.config.unsent_limit as u64 {
            return Err(SendErrorReason::Full);
        }
        Ok(())
    }

    /// Whether pings and pongs may still go out, if there is room.
    pub(crate) fn takes_control(&self) -> bool {
        matches!(self.state, Phase::Open | Phase::LocalClosing { .. })
    }

    /// Whether less than the mark waits, whatever the state.
    #[cfg(feature = "std")]
    pub(crate) fn is_under_mark(&self) -> bool {
        self.outbox.backlog() < self.config.mark() as u64
    }

    /// Hands a message back.
    #[cold]
    pub(crate) fn refuse(&self, refusal: Refusal, message: impl IntoMessage) -> SendError {
        SendError { reason: self.reason(refusal), message: message.into_message() }
    }

    #[cold]
    pub(crate) fn reason(&self, refusal: Refusal) -> SendErrorReason {
        match refusal {
            Refusal::Closed => SendErrorReason::Closed(self.close_cause()),
            Refusal::Full => SendErrorReason::Full,
            Refusal::Unfinished => SendErrorReason::Unfinished,
            Refusal::InvalidUtf8 => SendErrorReason::InvalidUtf8,
        }
    }

    /// Why nothing more can be sent, on a connection that is not open.
    #[cold]
    pub(crate) fn close_cause(&self) -> CloseCause {
        self.state.cause()
    }

    /// Whether one ought to wait, only because too much waits to be written.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.outbox.backlog() >= self.config.mark() as u64 && self.is_open()
    }

    /// Whether there is room for a message, or for a fragment of one: the connection is open and
    /// less than [`Config::unsent_high_water`](crate::Config::unsent_high_water) waits to be written. Where
    /// there is none one ought to wait; see [back-pressure](Self#back-pressure).
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.is_open() && self.outbox.backlog() < self.config.mark() as u64
    }

    /// As `is_ready`, with `more` bytes waiting beside.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn is_ready_behind(&self, more: usize) -> bool {
        self.is_open()
            && self.outbox.backlog().saturating_add(more as u64) < self.config.mark() as u64
    }

    /// Whether nothing more is accepted because of what waits to be written.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn is_at_limit(&self) -> bool {
        self.outbox.backlog() >= self.config.unsent_limit as u64
    }

    /// What waits to be written; once the connection is over, what never was. It is counted when
    /// asked for, by a walk over the frames that wait.
    ///
    /// ```
    /// use fullduplex::{Config, Connection};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.feed("one")?; // 5 bytes with its head
    /// connection.feed("two")?;
    /// connection.outbox().advance(6);
    /// assert_eq!((connection.unsent().bytes, connection.unsent().messages), (4, 1));
    /// connection.handle_transport_failed();
    /// assert_eq!((connection.unsent().bytes, connection.unsent().messages), (4, 1));
    /// # Ok::<(), fullduplex::SendError>(())
    /// ```
    pub fn unsent(&self) -> Unsent {
        self.outbox.unsent()
    }
}
