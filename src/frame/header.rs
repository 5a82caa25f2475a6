//! The frame head of RFC 6455 §5.2: two bytes, an extended length, a mask key.

use core::fmt;

/// The operation code of a frame (RFC 6455 §5.2). It cannot hold a reserved value:
/// [`Header::decode`] refuses those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the current message (`0x0`).
    Continuation = 0x0,
    /// The first or only frame of a text message (`0x1`).
    Text = 0x1,
    /// The first or only frame of a binary message (`0x2`).
    Binary = 0x2,
    /// The closing handshake (`0x8`, §5.5.1).
    Close = 0x8,
    /// A ping (`0x9`, §5.5.2).
    Ping = 0x9,
    /// A pong (`0xA`, §5.5.3).
    Pong = 0xa,
}

impl OpCode {
    /// Whether this is Close, Ping or Pong: at most 125 bytes of payload, never fragmented (§5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    #[inline]
    const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }
}

/// The three reserved bits of a frame head, in their places in the first byte (RFC 6455 §5.2). A
/// bit may be set only where a negotiated extension gives it a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// RSV1 (`0x40`): a compressed message, with permessage-deflate (RFC 7692 §6).
    pub const RSV1: Self = Self(0x40);
    /// RSV2 (`0x20`).
    pub const RSV2: Self = Self(0x20);
    /// RSV3 (`0x10`).
    pub const RSV3: Self = Self(0x10);

    /// Whether no bit is set.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether every bit of `other` is set here too.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A frame head (RFC 6455 §5.2).
///
/// [`decode`](Self::decode) refuses heads that no extension can make legal: a reserved opcode, a
/// length that is not in its shortest form or has its top bit set, a control frame that is
/// fragmented or longer than 125 bytes, a Close frame of one byte. The connection judges reserved
/// bits, masking and the order of fragments.
///
/// ```
/// use fullduplex::frame::{Header, OpCode};
///
/// let header = Header::new(OpCode::Binary, 256);
/// let (bytes, length) = header.encode();
/// assert_eq!(bytes[..length], *b"\x82\x7e\x01\x00"); // §5.7
/// assert_eq!(Header::decode(&bytes[..length])?, Some((header, length)));
/// # Ok::<(), fullduplex::frame::HeaderError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: Rsv,
    /// The operation code.
    pub opcode: OpCode,
    /// The mask key, if the payload is masked: always from a client, never from a server (§5.1).
    pub mask: Option<[u8; 4]>,
    /// Length of the payload in bytes, without the head; below 2^63.
    pub payload_len: u64,
}

const FIN: u8 = 0x80;
const RSV_BITS: u8 = 0x70;
const MASKED: u8 = 0x80;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

impl Header {
    /// The longest head in bytes: 2, an extended length of 8, a mask key of 4.
    pub const MAX_LEN: usize = 14;

    /// The longest payload of a control frame in bytes (§5.5).
    pub const MAX_CONTROL_PAYLOAD: usize = 125;

    /// Creates the head of an unfragmented, unmasked frame.
    #[inline]
    pub const fn new(opcode: OpCode, payload_len: u64) -> Self {
        Self { fin: true, rsv: Rsv::NONE, opcode, mask: None, payload_len }
    }

    /// Decodes the head at the front of `input`. Returns the head and its length in bytes, or
    /// `None` if `input` ends inside it.
    ///
    /// # Errors
    /// [`HeaderError`] if no head can start like this. It does not wait for the payload.
    #[inline]
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        let &[first, ref rest @ ..] = input else { return Ok(None) };
        let Some(opcode) = OpCode::from_nibble(first & 0x0f) else {
            return Err(HeaderError::ReservedOpCode(first & 0x0f));
        };
        let fin = first & FIN != 0;
        if opcode.is_control() {
            check_control(opcode, fin, rest)?;
        }
        let Some((payload_len, mask, length)) = decode_rest(rest)? else { return Ok(None) };
        let header = Self { fin, rsv: Rsv(first & RSV_BITS), opcode, mask, payload_len };
        Ok(Some((header, 1 + length)))
    }

    /// Decodes a head that is cut off as far as it goes, once its first two bytes are there. A
    /// length that is not complete counts as zero.
    #[cold]
    pub(crate) fn decode_start(input: &[u8]) -> Option<Self> {
        let [_, second, rest @ ..] = input else { return None };
        let mut head = [0; Self::MAX_LEN];
        head[..input.len()].copy_from_slice(input);
        match second & !MASKED {
            LEN_16 if rest.len() < 2 => head[1] &= MASKED,
            LEN_64 if rest.len() < 8 => head[1] &= MASKED,
            _ => {}
        }
        Some(Self::decode(&head).ok()??.0)
    }

    /// Like [`decode`](Self::decode), for the head of a message in one frame without reserved bits.
    /// Returns `None` for any other head, a bad one and an incomplete one.
    #[inline]
    pub(crate) fn decode_message(input: &[u8]) -> Option<(Self, usize)> {
        let (&first, rest) = input.split_first()?;
        let opcode = match first {
            0x81 => OpCode::Text,
            0x82 => OpCode::Binary,
            _ => return None,
        };
        let (payload_len, mask, length) = decode_rest(rest).ok()??;
        Some((Self { mask, ..Self::new(opcode, payload_len) }, 1 + length))
    }

    /// Encodes the head in its only legal form, the shortest. Returns a buffer and the length of
    /// the head in it.
    ///
    /// # Panics
    /// In debug builds, if `payload_len` is 2^63 or more.
    #[inline]
    pub fn encode(&self) -> ([u8; Self::MAX_LEN], usize) {
        debug_assert!(self.payload_len >> 63 == 0, "payload length {}", self.payload_len);
        let first = if self.fin { FIN } else { 0 } | self.rsv.0 | self.opcode as u8;
        // Put together as one little-endian number, so it stays in registers.
        let (short, extended, mut length) = match self.payload_len {
            short @ 0..=125 => (short as u8, 0, 2),
            126..=0xffff => (LEN_16, (self.payload_len as u16).to_be().to_le().into(), 4),
            _ => (LEN_64, self.payload_len.to_be().to_le(), 10),
        };
        let mut head = u128::from(extended) << 16 | u128::from(short) << 8 | u128::from(first);
        if let Some(key) = self.mask {
            head |= u128::from(u32::from_le_bytes(key)) << (8 * length) | u128::from(MASKED) << 8;
            length += 4;
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes.copy_from_slice(&head.to_le_bytes()[..Self::MAX_LEN]);
        (bytes, length)
    }
}

/// Checks that `rest` may follow the first byte of a control frame.
#[inline(never)] // data comes more often
fn check_control(opcode: OpCode, fin: bool, rest: &[u8]) -> Result<(), HeaderError> {
    if !fin {
        return Err(HeaderError::FragmentedControl(opcode));
    }
    match (rest.first().map(|second| second & !MASKED), opcode) {
        (Some(LEN_16 | LEN_64), _) => Err(HeaderError::ControlTooLong(opcode)),
        (Some(1), OpCode::Close) => Err(HeaderError::HalfCloseCode),
        _ => Ok(()),
    }
}

/// Length of the payload, mask key, and how many bytes they took.
type HeadRest = (u64, Option<[u8; 4]>, usize);

/// Decodes a head from its second byte on; `None` if `rest` ends inside it.
#[inline]
fn decode_rest(rest: &[u8]) -> Result<Option<HeadRest>, HeaderError> {
    let &[second, ref rest @ ..] = rest else { return Ok(None) };
    let (length, extended) = match second & !MASKED {
        LEN_16 => {
            let Some(bytes) = rest.first_chunk() else { return Ok(None) };
            let length = u16::from_be_bytes(*bytes);
            if length < u16::from(LEN_16) {
                return Err(HeaderError::NonMinimalLength(length.into()));
            }
            (length.into(), 2)
        }
        LEN_64 => {
            let Some(bytes) = rest.first_chunk() else { return Ok(None) };
            let length = u64::from_be_bytes(*bytes);
            if length >> 63 != 0 {
                return Err(HeaderError::LengthTopBit(length));
            }
            if length <= u16::MAX.into() {
                return Err(HeaderError::NonMinimalLength(length));
            }
            (length, 8)
        }
        short => (short.into(), 0),
    };
    if second & MASKED == 0 {
        return Ok(Some((length, None, 1 + extended)));
    }
    let Some(key) = rest[extended..].first_chunk() else { return Ok(None) };
    Ok(Some((length, Some(*key), 1 + extended + 4)))
}

/// Why bytes cannot be a frame head (RFC 6455 §5.2 and §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// An opcode that the RFC reserves: `0x3`–`0x7` or `0xB`–`0xF`.
    ReservedOpCode(u8),
    /// A control frame without FIN (§5.5).
    FragmentedControl(OpCode),
    /// A control frame with more than 125 bytes of payload (§5.5).
    ControlTooLong(OpCode),
    /// A Close frame with one byte of payload, which cannot be a code of two (§5.5.1).
    HalfCloseCode,
    /// A length that a shorter form could hold (§5.2: "the minimal number of bytes").
    NonMinimalLength(u64),
    /// A 64-bit length with its most significant bit set (§5.2).
    LengthTopBit(u64),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedOpCode(opcode) => write!(f, "reserved opcode {opcode:#x}"),
            Self::FragmentedControl(opcode) => write!(f, "fragmented {opcode:?} frame"),
            Self::ControlTooLong(opcode) => {
                write!(f, "{opcode:?} frame with more than 125 bytes of payload")
            }
            Self::HalfCloseCode => f.write_str("Close frame with a body of one byte"),
            Self::NonMinimalLength(length) => {
                write!(f, "payload length {length} is not in its shortest form")
            }
            Self::LengthTopBit(length) => {
                write!(f, "payload length {length:#x} has its top bit set")
            }
        }
    }
}

impl core::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_5_2_reserved_bits_are_a_set() {
        let all = [Rsv::NONE, Rsv::RSV1, Rsv::RSV2, Rsv::RSV3];
        for (i, one) in all.into_iter().enumerate() {
            assert_eq!(one.union(one), one);
            assert_eq!((one.is_none(), one.contains(Rsv::NONE)), (i == 0, true));
            for other in all {
                let both = one.union(other);
                assert!(both.contains(one) && both.contains(other));
                assert_eq!(one.contains(other), one == other || other.is_none());
            }
        }
    }

    fn decoded(bytes: &[u8]) -> (Header, usize) {
        Header::decode(bytes).unwrap().unwrap()
    }

    /// RFC 6455 §5.7, all its heads.
    #[test]
    fn section_5_7_examples() {
        let key = Some([0x37, 0xfa, 0x21, 0x3d]);
        let cases: [(&[u8], Header); 8] = [
            (b"\x81\x05", Header::new(OpCode::Text, 5)),
            (b"\x81\x85\x37\xfa\x21\x3d", Header { mask: key, ..Header::new(OpCode::Text, 5) }),
            (b"\x01\x03", Header { fin: false, ..Header::new(OpCode::Text, 3) }),
            (b"\x80\x02", Header::new(OpCode::Continuation, 2)),
            (b"\x89\x05", Header::new(OpCode::Ping, 5)),
            (b"\x8a\x85\x37\xfa\x21\x3d", Header { mask: key, ..Header::new(OpCode::Pong, 5) }),
            (b"\x82\x7e\x01\x00", Header::new(OpCode::Binary, 256)),
            (b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", Header::new(OpCode::Binary, 65_536)),
        ];
        for (bytes, header) in cases {
            assert_eq!(decoded(bytes), (header, bytes.len()));
            let (encoded, length) = header.encode();
            assert_eq!(&encoded[..length], bytes);
        }
    }

    #[test]
    fn every_prefix_is_incomplete_and_nothing_after_the_head_is_read() {
        for length in [0, 125, 126, 65_535, 65_536, u64::MAX >> 1] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let header = Header { mask, ..Header::new(OpCode::Binary, length) };
                let (mut bytes, used) = header.encode();
                bytes[used..].fill(0xff);
                for end in 0..used {
                    assert_eq!(Header::decode(&bytes[..end]), Ok(None), "{header:?} cut at {end}");
                }
                assert_eq!(decoded(&bytes), (header, used));
            }
        }
    }

    #[test]
    fn the_start_of_a_head_says_what_it_can() {
        let whole = Header {
            fin: false,
            rsv: Rsv::RSV2,
            mask: Some([1, 2, 3, 4]),
            ..Header::new(OpCode::Text, 70_000)
        };
        let (bytes, length) = whole.encode();
        for end in 0..length {
            let start = Header::decode_start(&bytes[..end]);
            let Some(start) = start else {
                assert!(end < 2, "{end}");
                continue;
            };
            assert_eq!((start.fin, start.rsv, start.opcode), (false, Rsv::RSV2, OpCode::Text));
            assert!(start.mask.is_some());
            assert_eq!(start.payload_len, if end < 10 { 0 } else { 70_000 }, "{end}");
        }
        for (bytes, length) in
            [(&b"\x82\x7e"[..], 0), (b"\x82\x7e\x01", 0), (b"\x82\xfe\x01\x00", 256)]
        {
            assert_eq!(Header::decode_start(bytes).unwrap().payload_len, length);
        }
    }

    /// §5.2: opcodes 3-7 and B-F are reserved, refused on the first byte.
    #[test]
    fn section_5_2_reserved_opcodes() {
        for nibble in (0x3..=0x7).chain(0xb..=0xf) {
            let error = Header::decode(&[0x80 | nibble]);
            assert_eq!(error, Err(HeaderError::ReservedOpCode(nibble)));
        }
    }

    /// §5.5: control frames are short and whole, refused before the payload.
    #[test]
    fn section_5_5_control_frames() {
        for opcode in [OpCode::Close, OpCode::Ping, OpCode::Pong] {
            let nibble = opcode as u8;
            assert_eq!(Header::decode(&[nibble]), Err(HeaderError::FragmentedControl(opcode)));
            for long in [126, 127] {
                let error = Header::decode(&[0x80 | nibble, long]);
                assert_eq!(error, Err(HeaderError::ControlTooLong(opcode)));
            }
            assert_eq!(decoded(&[0x80 | nibble, 125]).0.payload_len, 125);
        }
    }

    /// A7: §5.5.1, a Close has no body or one of at least two bytes, refused before the payload,
    /// and before the mask key.
    #[test]
    fn section_5_5_1_half_a_close_code() {
        for second in [0x01, 0x81] {
            assert_eq!(Header::decode(&[0x88, second]), Err(HeaderError::HalfCloseCode));
            for opcode in [0x89, 0x8a] {
                assert!(Header::decode(&[opcode, second]).is_ok());
            }
        }
        for length in [0, 2] {
            assert_eq!(decoded(&[0x88, length]).0.payload_len, u64::from(length));
        }
    }

    /// §5.2: shortest form only, top bit clear.
    #[test]
    fn section_5_2_lengths() {
        use HeaderError::{LengthTopBit, NonMinimalLength};
        let long = |length: u64| {
            let mut bytes = [0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes[2..].copy_from_slice(&length.to_be_bytes());
            Header::decode(&bytes)
        };
        assert_eq!(Header::decode(b"\x82\x7e\x00\x7d"), Err(NonMinimalLength(125)));
        assert_eq!(Header::decode(b"\x82\x7e\x00\x00"), Err(NonMinimalLength(0)));
        assert_eq!(long(0xffff), Err(NonMinimalLength(0xffff)));
        assert_eq!(long(1 << 63), Err(LengthTopBit(1 << 63)));
        assert_eq!(long(u64::MAX), Err(LengthTopBit(u64::MAX)));
        assert!(long((1 << 63) - 1).is_ok());
    }

    #[test]
    fn rsv_bits_are_carried_not_judged() {
        let rsv = Rsv::RSV1.union(Rsv::RSV3);
        let header = Header { rsv, ..Header::new(OpCode::Text, 1) };
        let (bytes, length) = header.encode();
        assert_eq!(bytes[0], 0xd1);
        assert_eq!(decoded(&bytes[..length]).0, header);
        assert!(rsv.contains(Rsv::RSV1) && !rsv.contains(Rsv::RSV2) && !rsv.is_none());
    }
}
