//! What permessage-deflate adds to a connection.

use super::{Timeouts, WebSocket};
use crate::{
    Error, IntoFragment, IntoMessage, SendError,
    deflate::{Compression, DeflateParams, DeflateRefused},
};
use std::io::{Read, Write};

impl<S: Read + Write + Timeouts> WebSocket<S> {
    /// As [`send`](Self::send), and says whether to compress this message: see [`Compression`].
    ///
    /// ```no_run
    /// # fn run() -> Result<(), fullduplex::Error> {
    /// use fullduplex::{Config, blocking, deflate::{Compression, Deflate}};
    ///
    /// let config = Config::default().deflate(Deflate::default());
    /// let mut ws = blocking::connect_with("ws://127.0.0.1:9001/", config)?;
    /// ws.send_with("a secret beside what others chose", Compression::Never)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &mut self,
        message: impl IntoMessage,
        compression: Compression,
    ) -> Result<(), Error> {
        self.ready()?;
        self.driver.feed_with(message, compression)?;
        if self.driver.sends_strictly() { self.flush() } else { Ok(()) }
    }

    /// As [`feed`](Self::feed), and says whether to compress this message: see [`Compression`].
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_with(
        &mut self,
        message: impl IntoMessage,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.driver.feed_with(message, compression)
    }

    /// As [`send_fragment`](Self::send_fragment); with the first fragment it says whether to
    /// compress the message: see
    /// [`Connection::send_fragment_with`](crate::Connection::send_fragment_with).
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    pub fn send_fragment_with(
        &mut self,
        fragment: impl IntoFragment,
        fin: bool,
        compression: Compression,
    ) -> Result<(), Error> {
        self.ready()?;
        self.driver.feed_fragment_with(fragment, fin, compression)?;
        if self.driver.sends_strictly() { self.flush() } else { Ok(()) }
    }

    /// Compresses messages as was agreed on, for a connection
    /// [whose handshake was done elsewhere](Self::from_parts): before anything is sent or received.
    ///
    /// # Errors
    /// As [`Connection::with_deflate`](crate::Connection::with_deflate). The stream is dropped with
    /// the connection.
    pub fn with_deflate(
        mut self,
        agreed: impl Into<Option<DeflateParams>>,
    ) -> Result<Self, DeflateRefused> {
        if let Some(params) = agreed.into() {
            self.driver.connection.start_deflate(params)?;
        }
        Ok(self)
    }

    /// What holds for compression: see [`Connection::deflate`](crate::Connection::deflate). `None`
    /// if messages are not compressed.
    pub fn deflate(&self) -> Option<&DeflateParams> {
        self.driver.connection.deflate()
    }
}
