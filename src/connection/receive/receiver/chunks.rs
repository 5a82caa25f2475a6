//! Messages that are handed out as they come.

use super::{Destination, FrameState, Kind, PartialMessage, Receiver, to_usize, unmask};
use crate::{Input, connection::receive::budget::Share, message::Chunk};
use alloc::borrow::Cow;

impl Receiver {
    /// Whether a message is under way whose parts are handed out.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.message, Some(PartialMessage { payload: Destination::Passing(_), .. }))
    }

    /// Whether there may be a chunk without further input.
    pub(crate) fn has_more(&self) -> bool {
        self.message.as_ref().is_some_and(|message| match &message.payload {
            Destination::Held(_) => true,
            Destination::Passing(passage) => passage.more,
            Destination::Unwanted(_) => false,
        })
    }

    /// Hands out the held part of the message under way, and from now on each part as it comes.
    pub(crate) fn hand_on(&mut self) -> Option<Chunk<'static>> {
        let held = |message: &mut PartialMessage| matches!(message.payload, Destination::Held(_));
        let PartialMessage { fragments, compressed, payload, .. } = self.message.take_if(held)?;
        let Destination::Held(assembly) = payload else { return None };
        let (held, mut passage) = assembly.into_passage();
        let chunk = (!held.is_empty()).then(|| passage.checked(held.into(), false));
        let payload = Destination::Passing(passage);
        let share = Share::default(); // nothing is held any more
        self.message = Some(PartialMessage { fragments, compressed, payload, share });
        chunk
    }

    /// The next part of the message under way. `None` if the frame has ended or all input is used.
    pub(crate) fn pass<'i>(&mut self, input: &mut Input<'i>) -> Result<Option<Chunk<'i>>, Kind> {
        let Self {
            state: FrameState::Payload { fin, mask: key, len, done },
            message: Some(PartialMessage { payload: Destination::Passing(passage), compressed, .. }),
            received,
            ..
        } = self
        else {
            return Err(Kind::NothingToContinue);
        };
        received.pieces += 1;
        if *compressed {
            #[cfg(feature = "deflate")]
            return self.pass_inflated(input);
        }
        let piece = input.take(to_usize(*len - *done).min(input.len()));
        unmask(piece, *key, *done);
        *done += piece.len() as u64;
        let ended = *done == *len;
        let last = ended && *fin;
        received.plain += piece.len() as u64;
        let chunk = passage.chunk(Cow::Borrowed(piece), last).map_err(|_| Kind::InvalidUtf8)?; // §8.1
        if ended {
            self.end_frame(last);
        }
        Ok(chunk)
    }

    /// The payload of a frame is handed out; with the `last` one the message is too.
    pub(crate) fn end_frame(&mut self, last: bool) {
        self.state = FrameState::START;
        self.message.take_if(|_| last);
        self.received.ended(last);
    }
}
