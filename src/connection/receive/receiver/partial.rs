//! Messages, control frames and heads whose end has not come.

use super::Kind;
use crate::{
    Input,
    connection::receive::budget::{ReceiveBudget, Share},
    frame::{ControlPayload, Header, HeaderError, OpCode},
    message::{Assembly, Passage},
};

/// A message that is not complete.
pub(super) struct PartialMessage {
    /// Frames so far, empty ones too.
    pub(super) fragments: u32,
    /// Whether its payload has to be inflated.
    pub(super) compressed: bool,
    pub(super) payload: Destination,
    pub(super) share: Share,
}

impl PartialMessage {
    /// Adds a piece to what is held; for the other arguments see [`Assembly::wants`].
    #[inline]
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        announced: usize,
        limit: usize,
        budget: Option<&ReceiveBudget>,
    ) -> Result<(), Kind> {
        let Destination::Held(assembly) = &mut self.payload else {
            return Err(Kind::NothingToContinue);
        };
        if let Some(size) = assembly.wants(piece.len(), announced, limit) {
            self.share.grow(assembly, size, assembly.len() + piece.len(), budget)?;
        }
        assembly.push(piece).map_err(|_| Kind::InvalidUtf8) // §8.1
    }
}

impl Share {
    /// Makes `assembly` as large as `size` if budget and memory allow, or else as large as it `needs`.
    #[cold]
    pub(super) fn grow(
        &mut self,
        assembly: &mut Assembly,
        size: usize,
        needs: usize,
        budget: Option<&ReceiveBudget>,
    ) -> Result<(), Kind> {
        let granted = match self.grow_to(size, budget) {
            true => size,
            false if self.grow_to(needs, budget) => needs,
            false => {
                let limit = budget.map_or(0, |budget| budget.limit() as u64);
                return Err(Kind::OverBudget { size: needs as u64, limit });
            }
        };
        match assembly.grow(granted) || (needs < granted && assembly.grow(needs)) {
            true => Ok(()),
            false => Err(Kind::OutOfMemory { size: needs as u64 }),
        }
    }
}

pub(super) enum Destination {
    Held(Assembly),
    Passing(Passage),
    /// Messages are discarded.
    Unwanted(Skipped),
}

/// The position in messages that are discarded.
pub(super) enum Skipped {
    /// Between two of them.
    Between,
    /// Inside one that is not compressed: its text is checked.
    Plain(Passage),
    Compressed,
}

impl PartialMessage {
    /// Whether its next frame has to be a continuation.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self.payload, Destination::Unwanted(Skipped::Between))
    }
}

/// A control frame whose end has not come.
pub(super) struct PartialControl {
    pub(super) opcode: OpCode,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) len: u8,
    pub(super) payload: ControlPayload,
}

/// The first bytes of a head whose end has not come.
pub(super) struct PartialHead {
    pub(super) bytes: [u8; Header::MAX_LEN - 1],
    pub(super) len: u8,
}

impl PartialHead {
    /// The kept bytes, followed by as much input as a head can have; and their number.
    pub(super) fn followed_by(&self, input: &Input<'_>) -> ([u8; Header::MAX_LEN], usize) {
        let kept = usize::from(self.len);
        let more = input.len().min(Header::MAX_LEN - kept);
        let mut bytes = [0; Header::MAX_LEN];
        bytes[..kept].copy_from_slice(&self.bytes[..kept]);
        bytes[kept..kept + more].copy_from_slice(&input.as_bytes()[..more]);
        (bytes, kept + more)
    }

    /// Takes a head off the input, or all of the input if it ends inside one. Gives the head and its
    /// length in bytes.
    #[inline]
    pub(super) fn decode(
        &mut self,
        input: &mut Input<'_>,
    ) -> Result<Option<(Header, usize)>, HeaderError> {
        let kept = usize::from(self.len);
        let decoded = if kept == 0 {
            Header::decode(input.as_bytes())?
        } else {
            let (bytes, length) = self.followed_by(input);
            Header::decode(&bytes[..length])?
        };
        match decoded {
            Some((_, length)) => {
                input.take(length - kept);
                self.len = 0;
            }
            None => {
                let rest = input.take_all();
                self.bytes[kept..kept + rest.len()].copy_from_slice(rest);
                self.len += rest.len() as u8;
            }
        }
        Ok(decoded)
    }
}
