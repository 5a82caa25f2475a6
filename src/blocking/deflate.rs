//! What permessage-deflate adds to a connection.

use super::{Timeouts, WebSocket};
use crate::deflate::{DeflateParams, DeflateRefused};
use std::io::{Read, Write};

impl<S: Read + Write + Timeouts> WebSocket<S> {
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
