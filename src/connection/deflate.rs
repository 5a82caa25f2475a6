//! Compressing what is sent (RFC 7692 §6.1), and what was agreed on.

use super::{Connection, Keys, Prepared, Volume, cutting::Unfinished};
use crate::{
    SendError,
    deflate::{Compression, Decoder, DeflateParams, DeflateRefused, Encoder},
    frame::{Header, OpCode, Rsv},
    message::{IntoFragment, IntoMessage, MessageRef},
};
use alloc::boxed::Box;

/// What there is for sending once permessage-deflate is agreed on.
pub(super) struct Deflating {
    params: DeflateParams,
    encoder: Option<Encoder>,
    /// What was sent.
    sent: Volume,
}

impl Deflating {
    /// Nothing more will be sent.
    pub(super) fn release(&mut self) {
        self.encoder = None;
    }
}

impl Connection {
    /// Compresses messages as was agreed on in the opening handshake, and lets the peer do so. The
    /// compressor's settings are those of [`Config::deflate`](crate::Config::deflate), or else the
    /// default ones. `None`, where nothing was agreed on, changes nothing.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, deflate::Deflate};
    /// # let offers = Deflate::default().offers();
    ///
    /// let deflate = Deflate::default();
    /// let agreed = deflate.accept(&offers); // in the handshake; what comes goes into the response
    /// let config = Config::default().deflate(deflate);
    /// let mut connection = Connection::server(config).with_deflate(agreed)?;
    /// connection.send("to be or not to be, to be or not to be, that is the question".repeat(10))?;
    /// assert_eq!(connection.outbox().chunk()[0], 0xc1); // FIN, RSV1, text
    /// assert!(connection.outbox().len() < 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DeflateRefused`] if something was agreed on before, or anything was sent or received: this
    /// is for a connection that is new.
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
        self.deflate = Some(Box::new(Deflating { params, encoder, sent: Volume::default() }));
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

    /// What holds for compression; `None` if messages are not compressed. For what the peer sends
    /// that is what was agreed on; for what this end sends, its own settings where they are less:
    /// the compressor of a client often has a smaller window than the answer allows.
    pub fn deflate(&self) -> Option<&DeflateParams> {
        self.deflate.as_ref().map(|deflating| &deflating.params)
    }

    /// What was received and sent compressed.
    pub(super) fn volumes(&self) -> (Volume, Volume) {
        let sent = self.deflate.as_ref().map_or_else(Volume::default, |deflating| deflating.sent);
        (self.receiver.inflated(), sent)
    }

    /// As [`send`](Self::send), and says whether to compress this message: see [`Compression`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with<M: IntoMessage>(
        &mut self,
        message: M,
        compression: Compression,
    ) -> Result<(), SendError> {
        if let Err(refusal) = self.may_send() {
            return Err(self.refuse(refusal, message));
        }
        self.push_compressed(message, compression);
        Ok(())
    }

    /// As [`send_fragment`](Self::send_fragment), and says whether to compress the message, of
    /// which this is the first fragment; for the others it means nothing.
    /// [`Auto`](Compression::Auto) compresses unless this is a small message by itself.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    pub fn send_fragment_with<F: IntoFragment>(
        &mut self,
        fragment: F,
        fin: bool,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.send_fragment_as(fragment, fin, |connection, first| {
            connection.compresses(first, fin, compression)
        })
    }

    /// Whether a message with this first fragment is to be compressed.
    pub(super) fn compresses(&self, first: &[u8], fin: bool, compression: Compression) -> bool {
        let Some(Deflating { encoder: Some(encoder), .. }) = self.deflate.as_deref() else {
            return false;
        };
        let len = if fin { first.len() } else { usize::MAX };
        encoder.takes(len, compression)
    }

    pub(super) fn push_compressed_fragment(&mut self, header: Header, payload: &[u8]) {
        let Some(Deflating { encoder: Some(encoder), sent, .. }) = self.deflate.as_deref_mut()
        else {
            return;
        };
        self.sent.ended(header.fin);
        // §6.1: RSV1 on the first only.
        let first = header.opcode != OpCode::Continuation;
        let header = Header { rsv: if first { Rsv::RSV1 } else { Rsv::NONE }, ..header };
        self.outbox.push_written(header, usize::MAX, |out| {
            let before = out.len();
            encoder.fragment(payload, header.fin, header.mask, out);
            sent.add(out.len() - before, payload.len());
        });
    }

    /// Queues a message, compressed if it is to be.
    #[inline]
    pub(super) fn push_compressed(&mut self, message: impl IntoMessage, compression: Compression) {
        let payload = message.as_message().as_bytes();
        if self.compresses(payload, true, compression) {
            if payload.len() > self.config.max_sent_frame {
                return self.cut(message, true);
            }
            if self.push_deflated(message.as_message(), compression) {
                return;
            }
        }
        self.push_plain(message);
    }

    /// Queues a message as one compressed frame, unless it may be sent plain and is smaller so:
    /// whether it did.
    fn push_deflated(&mut self, message: MessageRef<'_>, compression: Compression) -> bool {
        let Some(Deflating { encoder: Some(encoder), sent, .. }) = self.deflate.as_deref_mut()
        else {
            return false;
        };
        let payload = message.as_bytes();
        let mask = self.keys.next();
        let header = Header::new(message.opcode(), payload.len() as u64);
        let header = Header { rsv: Rsv::RSV1, mask, ..header };
        let most = match compression {
            Compression::Auto if encoder.may_take_back() => payload.len(),
            _ => usize::MAX,
        };
        let mut deflated = 0;
        let pushed = self.outbox.push_written(header, most, |out| {
            let before = out.len();
            encoder.message(payload, mask, out);
            deflated = out.len() - before;
        });
        if pushed {
            self.sent.messages += 1;
            sent.add(deflated, payload.len());
        }
        pushed
    }

    /// Queues a message that many connections send, if they may share what is compressed, or if it
    /// is to be compressed for this one alone: whether it did.
    pub(super) fn push_prepared(&mut self, message: &Prepared) -> bool {
        #[cfg(feature = "std")]
        if let (Keys::Server, Some(Deflating { encoder: Some(encoder), sent, .. })) =
            (&self.keys, self.deflate.as_deref_mut())
        {
            if !encoder.takes(message.len(), message.choice()) {
                return false;
            }
            if let Some(frame) = message.compressed(encoder.kind()) {
                if message.choice() == Compression::Auto && frame.len() > message.plain().len() {
                    return false; // nothing refers to it yet
                }
                encoder.passed_by(message.message().as_bytes());
                self.sent.messages += 1;
                sent.add(Prepared::payload_of(frame), message.len());
                self.outbox.push_frame(frame);
                return true;
            }
        }
        self.push_compressed(message.message(), message.choice());
        true
    }
}
