//! The rules that a head has to keep (RFC 6455 §5.1 to §5.4 and §10.4).

use super::{Destination, Kind, PartialMessage, Receiver, Rules};
use crate::{
    ProtocolError,
    frame::{Header, OpCode},
};

impl Receiver {
    /// Checks a head by the rules that depend on the connection, before any payload is awaited or
    /// reserved.
    #[inline]
    pub(super) fn check(&self, header: &Header, rules: &Rules<'_>) -> Result<(), Kind> {
        if !header.rsv.is_none() && !self.is_compressed(header) {
            return Err(Kind::ReservedBits(header.rsv)); // §5.2
        }
        match header.mask {
            None if rules.masked => return Err(Kind::Unmasked(header.opcode)), // §5.1
            Some(_) if !rules.masked => return Err(Kind::Masked(header.opcode)), // §5.1
            _ => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        match (self.message.as_ref().is_some_and(PartialMessage::goes_on), header.opcode) {
            (false, OpCode::Continuation) => return Err(Kind::NothingToContinue), // §5.4
            (false, _) | (true, OpCode::Continuation) => {}
            (true, opcode) => return Err(Kind::MessageInsideMessage(opcode)), // §5.4
        }
        if rules.chunks || self.is_unwanted() {
            return Ok(()); // nothing is held, so no limit applies
        }
        // §10.4. Limits are compared as u64, before any conversion.
        let mut size = header.payload_len;
        let mut compressed = !header.rsv.is_none();
        if let Some(message) = &self.message {
            if message.fragments >= rules.config.max_fragments {
                return Err(Kind::TooManyFragments { limit: rules.config.max_fragments });
            }
            compressed |= message.compressed;
            if let Destination::Held(assembly) = &message.payload {
                size = size.saturating_add(assembly.len() as u64);
            }
        }
        match rules.config.frame_limit(compressed) {
            Some(limit) if header.payload_len > limit => {
                return Err(Kind::FrameTooBig { size: header.payload_len, limit });
            }
            _ => {}
        }
        let message_limit = rules.config.max_message_size as u64;
        // The size of a compressed message is known only once it is inflated.
        if size > message_limit && !compressed {
            return Err(Kind::MessageTooBig { size, limit: message_limit });
        }
        Ok(())
    }

    /// The certain mistake in the first bytes of a head, if there is one. A mistake is reported by the
    /// byte that decides it (§7.1.7).
    #[cold]
    #[inline(never)]
    pub(super) fn first_fault(&self, bytes: &[u8], rules: &Rules<'_>) -> Option<Kind> {
        (1..=bytes.len()).find_map(|end| match Header::decode(&bytes[..end]) {
            Ok(Some((header, _))) => self.check(&header, rules).err(),
            Ok(None) => self.check(&Header::decode_start(&bytes[..end])?, rules).err(),
            Err(error) => Some(Kind::Header(error)),
        })
    }

    /// The error of a bad head: the same, however many of its bytes came at once.
    #[cold]
    pub(super) fn head_error(&self, bytes: &[u8], rules: &Rules<'_>, kind: Kind) -> ProtocolError {
        self.error(self.first_fault(bytes, rules).unwrap_or(kind))
    }

    /// Whether this head, which has a reserved bit set, starts a compressed message.
    #[cfg(not(feature = "deflate"))]
    #[expect(clippy::unused_self, reason = "there is nothing that could make it so")]
    pub(super) fn is_compressed(&self, _: &Header) -> bool {
        false
    }
}
