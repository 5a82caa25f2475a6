//! Messages that are discarded.

use super::{
    CutOff, Destination, FrameState, Kind, PartialMessage, Receiver, Skipped, to_usize, unmask,
};
use crate::{
    Input,
    connection::receive::budget::Share,
    frame::{Header, OpCode},
    message::Passage,
};
use alloc::borrow::Cow;

impl Receiver {
    /// Discards messages from now on, without inflating them. This is final: later messages may refer
    /// to the ones that were not inflated.
    pub(crate) fn discard(&mut self) {
        if self.is_unwanted() {
            return;
        }
        let skipped = match self.message.take() {
            None => Skipped::Between,
            Some(PartialMessage { compressed: true, payload, .. }) => {
                if matches!(&payload, Destination::Passing(passage) if passage.has_begun()) {
                    self.cut_off = CutOff::InChunks;
                }
                Skipped::Compressed
            }
            Some(PartialMessage { payload: Destination::Held(assembly), .. }) => {
                Skipped::Plain(assembly.into_passage().1)
            }
            Some(PartialMessage { payload: Destination::Passing(passage), .. }) => {
                if passage.has_begun() {
                    self.cut_off = CutOff::InChunks;
                }
                Skipped::Plain(passage)
            }
            Some(PartialMessage { payload: Destination::Unwanted(skipped), .. }) => skipped,
        };
        let payload = Destination::Unwanted(skipped);
        let share = Share::default(); // nothing is held
        self.message = Some(PartialMessage { fragments: 0, compressed: false, payload, share });
        #[cfg(feature = "deflate")]
        if let Some(decoder) = &mut self.decoder {
            decoder.release();
        }
    }

    /// Whether messages are discarded.
    pub(crate) fn is_unwanted(&self) -> bool {
        matches!(&self.message, Some(PartialMessage { payload: Destination::Unwanted(_), .. }))
    }

    /// Starts on the payload of a frame of a message, which may be empty.
    pub(crate) fn start_unwanted(&mut self, header: &Header) {
        let Header { fin, mask, payload_len: len, opcode, rsv } = *header;
        self.state = FrameState::Payload { fin, mask, len, done: 0 };
        if opcode != OpCode::Continuation {
            self.set_skipped(match rsv.is_none() {
                true => Skipped::Plain(Passage::new(opcode == OpCode::Text)),
                false => Skipped::Compressed,
            });
        }
    }

    /// Skips the input of the frame under way.
    pub(crate) fn skip(&mut self, input: &mut Input<'_>) -> Result<(), Kind> {
        let Self {
            state: FrameState::Payload { fin, mask: key, len, done },
            message: Some(PartialMessage { payload: Destination::Unwanted(skipped), .. }),
            received,
            ..
        } = self
        else {
            return Err(Kind::NothingToContinue);
        };
        let piece = input.take(to_usize(*len - *done).min(input.len()));
        let before = *done;
        *done += piece.len() as u64;
        let ended = *done == *len;
        let last = ended && *fin;
        received.pieces += 1;
        if let Skipped::Plain(passage) = skipped {
            if passage.is_text() {
                unmask(piece, *key, before);
                // §8.1. A compressed text cannot be checked without inflating it.
                passage.chunk(Cow::Borrowed(piece), last).map_err(|_| Kind::InvalidUtf8)?;
            }
        }
        if ended {
            self.state = FrameState::START;
            self.received.ended(last);
        }
        if last {
            self.set_skipped(Skipped::Between);
        }
        Ok(())
    }

    fn set_skipped(&mut self, now: Skipped) {
        if let Some(PartialMessage { payload: Destination::Unwanted(skipped), .. }) =
            &mut self.message
        {
            *skipped = now;
        }
    }
}
