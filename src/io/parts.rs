//! What a connection is made of, and what a handler may do with it.

use super::driver::lend;
use crate::{CloseFrame, Connection, Error, IntoMessage, Prepared};
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
    /// Bytes that were read from the stream and not given to `connection`.
    pub unread: Vec<u8>,
}

/// Without the bytes: payloads are never printed.
impl<S: fmt::Debug> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("stream", &self.stream)
            .field("connection", &self.connection)
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
}

impl<'c> Outgoing<'c> {
    pub(super) fn new(connection: &'c mut Connection) -> Self {
        Self { connection }
    }

    /// Queues a message.
    ///
    /// At least one is accepted for each message received, as long as the connection is open: the
    /// handler is not called while [`Config::unsent_mark`] bytes wait to be written. A handler that
    /// feeds more than it receives looks at [`is_ready`](Self::is_ready).
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection is closing; [`Error::Send`], which hands the message
    /// back, if this handler has fed so much that [`Config::max_unsent`] bytes wait.
    ///
    /// [`Config::unsent_mark`]: crate::Config::unsent_mark
    /// [`Config::max_unsent`]: crate::Config::max_unsent
    #[inline]
    pub fn feed(&mut self, message: impl IntoMessage) -> Result<(), Error> {
        lend(self.connection);
        Ok(self.connection.send(message)?)
    }

    /// As [`feed`](Self::feed), of a message that is [prepared](Prepared) for many connections.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        lend(self.connection);
        Ok(self.connection.send_prepared(message).map_err(|reason| message.refused(reason))?)
    }

    /// As [`feed`](Self::feed), and says whether to compress this message.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    #[cfg(feature = "deflate")]
    pub fn feed_with(
        &mut self,
        message: impl IntoMessage,
        compression: crate::deflate::Compression,
    ) -> Result<(), Error> {
        lend(self.connection);
        Ok(self.connection.send_with(message, compression)?)
    }

    /// Queues a fragment of a message: see
    /// [`Connection::send_fragment`](crate::Connection::send_fragment).
    ///
    /// # Errors
    /// As [`feed`](Self::feed); [`Error::Send`] if the message under way is of the other kind, too.
    pub fn feed_fragment(&mut self, fragment: impl IntoMessage, fin: bool) -> Result<(), Error> {
        lend(self.connection);
        Ok(self.connection.send_fragment(fragment, fin)?)
    }

    /// As [`feed_fragment`](Self::feed_fragment); with the first fragment it says whether to compress
    /// the message.
    ///
    /// # Errors
    /// As [`feed_fragment`](Self::feed_fragment).
    #[cfg(feature = "deflate")]
    pub fn feed_fragment_with(
        &mut self,
        fragment: impl IntoMessage,
        fin: bool,
        compression: crate::deflate::Compression,
    ) -> Result<(), Error> {
        lend(self.connection);
        Ok(self.connection.send_fragment_with(fragment, fin, compression)?)
    }

    /// Whether there is room for a message: less than [`Config::unsent_mark`] waits to be written.
    ///
    /// [`Config::unsent_mark`]: crate::Config::unsent_mark
    pub fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }

    /// Starts the closing handshake. The handler is called on for messages that come before the
    /// peer's Close.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes; nothing changed.
    pub fn close(&mut self, code: crate::CloseCode, reason: &str) -> Result<(), Error> {
        self.connection.close(Some(CloseFrame::new(code, reason)?));
        Ok(())
    }
}
