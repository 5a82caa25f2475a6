//! The payload of a control frame.

use super::Header;
use core::fmt;

const MAX: usize = Header::MAX_CONTROL_PAYLOAD;

/// The payload of a Ping or Pong: at most 125 bytes, held inline (RFC 6455 §5.5).
///
/// ```
/// use fullduplex::frame::ControlPayload;
///
/// let payload = ControlPayload::new(b"are you there?")?;
/// assert_eq!(payload.as_bytes(), b"are you there?");
/// assert!(ControlPayload::new(&[0; 126]).is_err());
/// # Ok::<(), fullduplex::frame::ControlPayloadTooLong>(())
/// ```
#[derive(Clone, Copy)]
pub struct ControlPayload {
    bytes: [u8; MAX],
    len: u8,
}

impl ControlPayload {
    /// The empty payload.
    pub const EMPTY: Self = Self { bytes: [0; MAX], len: 0 };

    /// Creates a payload from a copy of `payload`.
    ///
    /// # Errors
    /// [`ControlPayloadTooLong`] if it has more than 125 bytes.
    pub fn new(payload: &[u8]) -> Result<Self, ControlPayloadTooLong> {
        let mut new = Self::EMPTY;
        if payload.len() > MAX {
            return Err(ControlPayloadTooLong(payload.len()));
        }
        new.extend(payload);
        Ok(new)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Appends a piece of a frame whose length was checked to fit.
    pub(crate) fn extend(&mut self, piece: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + piece.len()].copy_from_slice(piece);
        self.len += piece.len() as u8;
    }
}

impl PartialEq for ControlPayload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ControlPayload {}

impl AsRef<[u8]> for ControlPayload {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl TryFrom<&[u8]> for ControlPayload {
    type Error = ControlPayloadTooLong;

    fn try_from(payload: &[u8]) -> Result<Self, Self::Error> {
        Self::new(payload)
    }
}

/// The length only: payloads are never printed.
impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlPayload({} bytes)", self.len)
    }
}

/// A payload that is too long for a control frame; holds its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPayloadTooLong(pub usize);

impl fmt::Display for ControlPayloadTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a control frame holds at most {MAX} bytes, not {}", self.0)
    }
}

impl core::error::Error for ControlPayloadTooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_5_5_at_most_125_bytes() {
        let payload = ControlPayload::new(&[7; 125]).unwrap();
        assert_eq!(payload.as_bytes(), [7; 125]);
        assert_eq!(payload.as_ref(), [7; 125]);
        assert_eq!(ControlPayload::new(&[7; 126]), Err(ControlPayloadTooLong(126)));
        assert_eq!(ControlPayload::try_from(&[7; 125][..]), Ok(payload));
        assert!(ControlPayload::try_from(&[7; 126][..]).is_err());
        assert_ne!(payload, ControlPayload::new(&[7; 124]).unwrap());
        assert_ne!(payload, ControlPayload::EMPTY);
    }
}
