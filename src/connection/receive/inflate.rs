//! Compressed messages (RFC 7692 §6.2).

use super::{Kind, Receiver};
use crate::{
    Incoming,
    deflate::{Decoder, Fault},
    frame::{Header, OpCode, Rsv},
    message::Assembly,
};
use alloc::boxed::Box;

impl Receiver {
    /// Lets the peer compress.
    pub(in super::super) fn inflate_with(&mut self, decoder: Decoder) {
        self.decoder = Some(Box::new(decoder));
    }

    /// Whether this head, which has a reserved bit set, starts a compressed message: §6.1 allows
    /// RSV1 on the first frame of a data message and nowhere else.
    pub(super) fn is_compressed(&self, header: &Header) -> bool {
        self.decoder.is_some()
            && header.rsv == Rsv::RSV1
            && matches!(header.opcode, OpCode::Text | OpCode::Binary)
    }

    /// Adds a piece of payload to the message that is under way, inflated; gives the message after
    /// its last one.
    pub(super) fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
    ) -> Result<Option<Incoming<'static>>, Kind> {
        let Self { decoder: Some(decoder), message: Some(message), .. } = self else {
            return Err(Kind::NothingToContinue);
        };
        let limit = decoder.limit();
        decoder.pieces(piece, last, |inflated| {
            message.push_within(inflated, limit).map_err(|_| Kind::InvalidUtf8) // §8.1
        })?;
        if !last {
            return Ok(None);
        }
        message.shrink();
        let message = self.message.take().map(Assembly::finish).transpose();
        message.map_err(|_| Kind::InvalidUtf8)
    }
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt => Self::InvalidDeflate,
            Fault::TooManyStreams => Self::TooManyStreams,
            Fault::TooBig(limit) => {
                let limit = limit as u64;
                Self::MessageTooBig { size: limit + 1, limit }
            }
        }
    }
}
