//! Compressing what is sent (RFC 7692 §6.1).

use super::{IntoMessage, Prepared};
#[cfg(feature = "std")]
use crate::connection::keys::Keys;
use crate::{
    Connection, Stats,
    deflate::{Compression, DeflateParams, Encoder, Volume},
    frame::{Header, OpCode, Rsv},
    message::MessageRef,
};

/// What there is for sending once permessage-deflate is agreed on.
pub(crate) struct Deflating {
    pub(crate) params: DeflateParams,
    encoder: Option<Encoder>,
    /// What was sent.
    sent: Volume,
}

impl Deflating {
    pub(crate) fn new(params: DeflateParams, encoder: Option<Encoder>) -> Self {
        Self { params, encoder, sent: Volume::default() }
    }

    /// Nothing more will be sent.
    pub(crate) fn release(&mut self) {
        self.encoder = None;
    }
}

impl Connection {
    /// Adds what was received and sent compressed.
    pub(crate) fn add_compressed(&self, stats: &mut Stats) {
        let received = self.receiver.inflated();
        let sent = self.deflate.as_ref().map_or_else(Volume::default, |deflating| deflating.sent);
        (stats.deflated_received, stats.inflated_received) = (received.deflated, received.inflated);
        (stats.deflated_sent, stats.inflated_sent) = (sent.deflated, sent.inflated);
        stats.payload_received += received.inflated;
        stats.payload_sent += sent.inflated;
    }

    /// Whether a message with this first fragment is to be compressed.
    pub(crate) fn compresses(&self, first: &[u8], fin: bool, compression: Compression) -> bool {
        let Some(Deflating { encoder: Some(encoder), .. }) = self.deflate.as_deref() else {
            return false;
        };
        let len = if fin { first.len() } else { usize::MAX };
        encoder.takes(len, compression)
    }

    pub(crate) fn push_compressed_fragment(&mut self, header: Header, payload: &[u8]) {
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
    pub(crate) fn push_compressed(&mut self, message: impl IntoMessage, compression: Compression) {
        let payload = message.as_message().as_bytes();
        if self.compresses(payload, true, compression) {
            if payload.len() > self.config.max_sent_frame_size {
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
    pub(crate) fn push_prepared_compressed(
        &mut self,
        message: &Prepared,
        compression: Compression,
    ) -> bool {
        #[cfg(feature = "std")]
        if let (Keys::Server, Some(Deflating { encoder: Some(encoder), sent, .. })) =
            (&self.keys, self.deflate.as_deref_mut())
        {
            if !encoder.takes(message.len(), compression) {
                return false;
            }
            if let Some(frame) = message.compressed(encoder.kind()) {
                if compression == Compression::Auto && frame.len() > message.plain().len() {
                    return false; // nothing refers to it yet
                }
                encoder.passed_by(message.message().as_bytes());
                self.sent.messages += 1;
                sent.add(Prepared::payload_of(frame), message.len());
                self.outbox.push_frame(frame);
                return true;
            }
        }
        self.push_compressed(message.message(), compression);
        true
    }
}
