//! Frame heads against the table of RFC 6455 §5.2, read bit by bit.

use fullduplex::frame::{Header, HeaderError, OpCode, Rsv};

/// `data` is a head and whatever follows it. It is decoded, also when it is cut off anywhere, and
/// compared with the reference; then the fields that it spells are encoded, whether they are
/// legal together or not, and read back.
pub fn frame_header(data: &[u8]) -> bool {
    for end in 0..data.len().min(Header::MAX_LEN + 1) {
        let front = &data[..end];
        assert_eq!(Header::decode(front), reference(front), "{front:02x?}");
    }
    let decoded = Header::decode(data);
    assert_eq!(decoded, reference(data), "{data:02x?}");
    if let Ok(Some((header, length))) = decoded {
        let (bytes, encoded) = header.encode();
        assert_eq!(bytes[..encoded], data[..length], "{header:?}");
        // What was judged by its prefix stays so, whatever follows.
        assert!((0..length).all(|end| Header::decode(&data[..end]) == Ok(None)));
    }
    any_header(data);
    matches!(decoded, Ok(Some(_)))
}

/// encode, then the reference: the fields come back, in the shortest form, if they are legal.
fn any_header(data: &[u8]) {
    let mut bytes = [0; 14];
    let length = data.len().min(bytes.len());
    bytes[..length].copy_from_slice(&data[..length]);
    let [first, second, key @ .., a, b, c, d, e, f, g, h] = bytes;
    let Some(opcode) = opcode(first.into()) else { return };
    let Some(&key) = key.first_chunk() else { unreachable!("four bytes are between the two") };
    let header = Header {
        fin: first & 0x80 != 0,
        rsv: rsv(first >> 4 & 7),
        opcode,
        mask: (second & 0x80 != 0).then_some(key),
        // Shifted, so that short lengths are as likely as long ones.
        payload_len: u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 >> (second & 0x3f),
    };
    let (bytes, length) = header.encode();
    let extended = match header.payload_len {
        0..126 => 0,
        126..0x1_0000 => 2,
        _ => 8,
    };
    assert_eq!(length, 2 + extended + if header.mask.is_some() { 4 } else { 0 }, "{header:?}");
    let expected = match header.opcode {
        OpCode::Close | OpCode::Ping | OpCode::Pong if !header.fin => {
            Err(HeaderError::FragmentedControl(opcode))
        }
        OpCode::Close | OpCode::Ping | OpCode::Pong if header.payload_len > 125 => {
            Err(HeaderError::ControlTooLong(opcode))
        }
        OpCode::Close if header.payload_len == 1 => Err(HeaderError::HalfCloseCode),
        _ => Ok(Some((header, length))),
    };
    assert_eq!(reference(&bytes[..length]), expected, "{header:?}");
    assert_eq!(Header::decode(&bytes[..length]), expected, "{header:?}");
}

/// The table of §5.2, field after field. A field is judged as soon as all of it is there.
fn reference(head: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let mut bits = Bits { bytes: head, at: 0 };
    let Some(fin) = bits.take(1) else { return Ok(None) };
    let Some(reserved) = bits.take(3) else { return Ok(None) };
    let Some(code) = bits.take(4) else { return Ok(None) };
    let Some(opcode) = opcode(code) else {
        return Err(HeaderError::ReservedOpCode(code as u8)); // "must be failed"
    };
    let control = matches!(code, 0x8..=0xf); // §5.5
    if control && fin == 0 {
        return Err(HeaderError::FragmentedControl(opcode)); // §5.5
    }
    let Some(masked) = bits.take(1) else { return Ok(None) };
    let Some(mut length) = bits.take(7) else { return Ok(None) };
    if control && length > 125 {
        return Err(HeaderError::ControlTooLong(opcode)); // §5.5
    }
    if code == 0x8 && length == 1 {
        return Err(HeaderError::HalfCloseCode); // §5.5.1: "the first two bytes of the body"
    }
    if length >= 126 {
        let (width, smallest) = if length == 126 { (16, 126) } else { (64, 0x1_0000) };
        let Some(extended) = bits.take(width) else { return Ok(None) };
        if extended > i64::MAX as u64 {
            return Err(HeaderError::LengthTopBit(extended)); // "MUST be 0"
        }
        if extended < smallest {
            return Err(HeaderError::NonMinimalLength(extended)); // "minimal number of bytes"
        }
        length = extended;
    }
    let mut mask = None;
    if masked == 1 {
        let Some(key) = bits.take(32) else { return Ok(None) };
        mask = Some((key as u32).to_be_bytes());
    }
    let rsv = rsv(reserved as u8);
    let header = Header { fin: fin == 1, rsv, opcode, mask, payload_len: length };
    Ok(Some((header, bits.at / 8)))
}

/// The four bits of the opcode, if they are not reserved.
fn opcode(bits: u64) -> Option<OpCode> {
    [
        (0x0, OpCode::Continuation),
        (0x1, OpCode::Text),
        (0x2, OpCode::Binary),
        (0x8, OpCode::Close),
        (0x9, OpCode::Ping),
        (0xa, OpCode::Pong),
    ]
    .into_iter()
    .find_map(|(code, opcode)| (code == bits & 0xf).then_some(opcode))
}

fn rsv(bits: u8) -> Rsv {
    [(4, Rsv::RSV1), (2, Rsv::RSV2), (1, Rsv::RSV3)]
        .into_iter()
        .filter(|(bit, _)| bits & bit != 0)
        .fold(Rsv::NONE, |all, (_, one)| all.union(one))
}

/// Bits in the order of the wire: the most significant one of a byte first.
struct Bits<'d> {
    bytes: &'d [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits as a number, if they are there.
    fn take(&mut self, count: usize) -> Option<u64> {
        if self.at + count > self.bytes.len() * 8 {
            return None;
        }
        let bits = self.at..self.at + count;
        self.at += count;
        Some(bits.fold(0, |all, i| all << 1 | u64::from(self.bytes[i / 8] >> (7 - i % 8) & 1)))
    }
}
