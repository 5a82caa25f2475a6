//! What permessage-deflate adds to the halves.

use super::Writer;
use crate::{Error, IntoMessage, SendError, blocking::Duplex, deflate::Compression};

impl<S: Duplex> Writer<S> {
    /// As [`send`](Self::send), and says whether to compress this message: see [`Compression`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        message: impl IntoMessage,
        compression: Compression,
    ) -> Result<(), Error> {
        self.shared.send(self.sends(), |state| Ok(state.feed_with(message, compression)?))
    }

    /// As [`feed`](Self::feed), and says whether to compress this message: see [`Compression`].
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_with(
        &self,
        message: impl IntoMessage,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.shared.lock().feed_with(message, compression)
    }
}
