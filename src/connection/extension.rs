//! The negotiated extension, permessage-deflate (RFC 7692), for both directions.

use super::{
    Connection,
    keys::Keys,
    send::{Deflating, Unfinished},
};
use crate::deflate::{Decoder, DeflateParams, DeflateRefused, Encoder};
use alloc::boxed::Box;

impl Connection {
    /// Compresses messages with the parameters that the opening handshake negotiated, and lets the peer
    /// do so. The compressor's settings come from [`Config::deflate`](crate::Config::deflate), or are the
    /// defaults. `None`, for a handshake without compression, changes nothing.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, deflate::Deflate};
    /// # let offers = Deflate::default().offers();
    ///
    /// let deflate = Deflate::default();
    /// let agreed = deflate.accept(&offers); // in the handshake; goes into the response
    /// let config = Config::default().deflate(deflate);
    /// let mut connection = Connection::server(config).with_deflate(agreed)?;
    /// connection.feed("to be or not to be, to be or not to be, that is the question".repeat(10))?;
    /// assert_eq!(connection.outbox().chunk()[0], 0xc1); // FIN, RSV1, text
    /// assert!(connection.outbox().len() < 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DeflateRefused`] if compression is on already, or if anything was sent or received: use this
    /// on a new connection.
    pub fn with_deflate(
        mut self,
        agreed: impl Into<Option<DeflateParams>>,
    ) -> Result<Self, DeflateRefused> {
        if let Some(params) = agreed.into() {
            self.start_deflate(params)?;
        }
        Ok(self)
    }

    pub(crate) fn start_deflate(&mut self, agreed: DeflateParams) -> Result<(), DeflateRefused> {
        if self.deflate.is_some() {
            return Err(DeflateRefused::Twice);
        }
        if !self.is_new() {
            return Err(DeflateRefused::Late);
        }
        let client = matches!(self.keys, Keys::Client(_));
        let default = Default::default();
        let settings = self.config.deflate.as_ref().unwrap_or(&default);
        let params = agreed.in_use(client, settings);
        let (ours, theirs) = params.directions(client);
        let encoder = Encoder::new(settings, ours);
        self.deflate = Some(Box::new(Deflating::new(params, encoder)));
        self.receiver.inflate_with(Decoder::new(theirs, self.config.max_message_size));
        Ok(())
    }

    /// Whether nothing was sent, queued or received, and nothing has ended.
    fn is_new(&self) -> bool {
        self.is_open()
            && self.receiver.bytes() == 0
            && self.outbox.total_queued() == 0
            && matches!(self.outbox.unfinished, Unfinished::None)
    }

    /// The parameters of compression in use; `None` if messages are not compressed. For the peer's
    /// messages they are those negotiated. For yours they are your own settings where these are
    /// smaller: a client's compressor often has a smaller window than the answer allows.
    pub fn deflate(&self) -> Option<&DeflateParams> {
        self.deflate.as_ref().map(|deflating| &deflating.params)
    }
}
