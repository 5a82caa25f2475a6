//! Compressed messages (RFC 7692 §6.2).

use super::{Destination, FrameState, Kind, PartialMessage, Receiver, to_usize, unmask};
use crate::{
    Input, ReceiveBudget,
    deflate::{Decoder, Fault, Volume},
    frame::{Header, OpCode, Rsv},
    message::Chunk,
};
use alloc::{borrow::Cow, boxed::Box};

/// The most input that is inflated at once, in bytes, for chunks: unused input is masked again.
const AT_ONCE: usize = 4 * 1024;

impl Receiver {
    /// Lets the peer compress.
    pub(crate) fn inflate_with(&mut self, decoder: Decoder) {
        self.decoder = Some(Box::new(decoder));
    }

    /// The volume of compressed messages.
    pub(crate) fn inflated(&self) -> Volume {
        self.decoder.as_ref().map_or_else(Volume::default, |decoder| decoder.volume())
    }

    /// Whether this head, which has a reserved bit set, starts a compressed message: §6.1 allows
    /// RSV1 on the first frame of a data message and nowhere else.
    pub(crate) fn is_compressed(&self, header: &Header) -> bool {
        self.decoder.is_some()
            && header.rsv == Rsv::RSV1
            && matches!(header.opcode, OpCode::Text | OpCode::Binary)
    }

    /// Inflates a piece of payload into the message under way.
    pub(crate) fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
        budget: Option<&ReceiveBudget>,
    ) -> Result<(), Kind> {
        let Self { decoder: Some(decoder), message: Some(message), .. } = self else {
            return Err(Kind::NothingToContinue);
        };
        let limit = decoder.limit();
        decoder.pieces(piece, last, |inflated| message.push(inflated, 0, limit, budget))?;
        if let (Destination::Held(assembly), true) = (&mut message.payload, last) {
            assembly.shrink();
        }
        Ok(())
    }

    /// As [`pass`](Self::pass), for a compressed message. One call gives at most one
    /// [`CHUNK`](crate::deflate::CHUNK), however far the input would inflate.
    pub(crate) fn pass_inflated(
        &mut self,
        input: &mut Input<'_>,
    ) -> Result<Option<Chunk<'static>>, Kind> {
        let Self {
            decoder: Some(decoder),
            state: FrameState::Payload { fin, mask: key, len, done },
            message: Some(PartialMessage { payload: Destination::Passing(passage), .. }),
            ..
        } = self
        else {
            return Err(Kind::NothingToContinue);
        };
        let piece = input.front(to_usize(*len - *done).min(AT_ONCE));
        unmask(piece, *key, *done);
        let mut rest = &*piece;
        let inflated = decoder.chunk(&mut rest);
        let used = piece.len() - rest.len();
        // Unused input goes back to how it came: masking twice is the identity.
        unmask(&mut piece[used..], *key, *done + used as u64);
        input.take(used);
        *done += used as u64;
        let bytes = inflated?;
        passage.more = !bytes.is_empty();
        if passage.more || *done < *len {
            return passage.chunk(bytes.into(), false).map_err(|_| Kind::InvalidUtf8); // §8.1
        }
        let last = *fin;
        if last {
            decoder.finish()?;
        }
        let chunk = passage.chunk(Cow::default(), last).map_err(|_| Kind::InvalidUtf8)?;
        self.end_frame(last);
        Ok(chunk)
    }
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt => Self::InvalidDeflate,
            Fault::TooManyStreams => Self::TooManyStreams,
            Fault::TooBig(limit) => Self::MessageTooBig { size: limit + 1, limit },
        }
    }
}
