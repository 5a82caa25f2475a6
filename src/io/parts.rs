//! What a connection is made of, and what a handler may do with it.

use super::{Control, lend};
use crate::{
    Connection, Error, Event, IntoCloseFrame, IntoFragment, IntoMessage, SendError, SendErrorReason,
};
use alloc::vec::Vec;
use core::fmt;

/// A connection taken apart: everything that is needed to go on by hand.
#[non_exhaustive]
pub struct Parts<S> {
    /// The stream. What was fed and not flushed is not written yet: it is in `connection`.
    pub stream: S,
    /// The protocol state, with the message that is under way and what waits to be written. Its
    /// deadlines begin anew with the first [`handle_timeout`](Connection::handle_timeout), so times
    /// can count from whatever you like.
    pub connection: Connection,
    /// What was received already and not taken yet, in front of `unread`. A writer that sees to the
    /// connection while no reader does keeps it. It is empty unless the connection was split.
    pub events: Vec<Event<'static>>,
    /// Bytes that were read from the stream and not given to `connection`.
    pub unread: Vec<u8>,
}

/// Without the bytes: payloads are never printed.
impl<S: fmt::Debug> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("stream", &self.stream)
            .field("connection", &self.connection)
            .field("events", &self.events.len())
            .field("unread", &self.unread.len())
            .finish()
    }
}

/// The sending side of a connection, for a handler that is called with borrowed messages.
///
/// What is fed is written once all messages that were read together are handled.
#[derive(Debug)]
pub struct Outgoing<'c> {
    connection: &'c mut Connection,
    /// Whether something was refused because the connection is closing.
    late: bool,
}

impl<'c> Outgoing<'c> {
    pub(super) fn new(connection: &'c mut Connection) -> Self {
        Self { connection, late: false }
    }

    pub(super) fn came_too_late(&self) -> bool {
        self.late
    }

    #[cold]
    fn refused(&mut self, error: SendError) -> Error {
        self.late |= matches!(error.reason, SendErrorReason::Closed(_));
        error.into()
    }

    /// Queues a message.
    ///
    /// At least one is accepted for each message received, as long as the connection is open: the
    /// handler is not called while [`Config::unsent_mark`] bytes wait to be written. A handler that
    /// feeds more than it receives looks at [`is_ready`](Self::is_ready).
    ///
    /// # Errors
    /// Why, if the connection is closing: see [`Error`]. If the handler returns that error,
    /// [`run`](crate::blocking::WebSocket::run) goes on with what has come and ends with how the
    /// connection ended. [`Error::Send`], which hands the message
    /// back, if this handler has fed so much that [`Config::max_unsent`] bytes wait.
    ///
    /// [`Config::unsent_mark`]: crate::Config::unsent_mark
    /// [`Config::max_unsent`]: crate::Config::max_unsent
    #[inline]
    pub fn feed(&mut self, message: impl IntoMessage) -> Result<(), Error> {
        lend(self.connection);
        self.connection.feed(message).map_err(|error| self.refused(error))
    }

    /// Starts the closing handshake: queues a Close frame behind all messages (RFC 6455 §7.1.2). The
    /// handler is called on for messages that come before the peer's Close.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// use fullduplex::{CloseCode, blocking};
    ///
    /// let mut ws = blocking::connect("ws://127.0.0.1:9001/")?;
    /// ws.run(|message, out| match message.as_text() {
    ///     Some("bye") => out.start_close(CloseCode::NORMAL),
    ///     _ => out.feed(message),
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed.
    pub fn start_close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        Ok(self.connection.start_close(frame)?)
    }

    /// Queues a fragment of a message: see
    /// [`Connection::feed_fragment`].
    ///
    /// # Errors
    /// As [`feed`](Self::feed); [`Error::Send`] if the message under way is of the other kind, too.
    pub fn feed_fragment(&mut self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        lend(self.connection);
        let fed = self.connection.feed_fragment(fragment, fin);
        fed.map_err(|error| self.refused(error))
    }

    /// Queues a ping of at most 125 bytes (RFC 6455 §5.5.2). The peer's pong is no message, so a
    /// handler does not see it; [`Stats`](crate::Stats) counts it.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), but that it may be sent behind our own Close, until the peer's has
    /// come; [`Error::Ping`] if it is longer.
    pub fn ping(&mut self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::ping(payload)?)
    }

    /// Queues a pong of at most 125 bytes that answers nothing (§5.5.3): a sign of life that wants
    /// no answer. Pings are answered without it.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::pong(payload)?)
    }

    fn control(&mut self, control: Control) -> Result<(), Error> {
        lend(self.connection);
        control.queue(self.connection).map_err(|error| self.refused(error))
    }

    /// Whether a message that is sent in fragments is unfinished: then no other is accepted.
    pub fn is_in_fragments(&self) -> bool {
        self.connection.is_in_fragments()
    }

    /// Whether there is room for a message: less than [`Config::unsent_mark`] waits to be written.
    ///
    /// [`Config::unsent_mark`]: crate::Config::unsent_mark
    pub fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }
}
