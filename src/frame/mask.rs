//! Masking (RFC 6455 §5.3).

/// Masks or unmasks `payload` in place: byte `i` is XORed with `key[(offset + i) % 4]`
/// (RFC 6455 §5.3).
///
/// `offset` is the number of payload bytes of the same frame before `payload`, so you can unmask a
/// frame in pieces of any size. Masking twice restores the payload.
///
/// ```
/// use fullduplex::frame::mask;
///
/// let mut payload = *b"Hello";
/// mask(&mut payload[..2], [0x37, 0xfa, 0x21, 0x3d], 0);
/// mask(&mut payload[2..], [0x37, 0xfa, 0x21, 0x3d], 2);
/// assert_eq!(payload, *b"\x7f\x9f\x4d\x51\x58");
/// ```
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4], offset: u64) {
    let key = u32::from_ne_bytes(key);
    let turn = (offset % 4) as u32 * 8;
    let key =
        if cfg!(target_endian = "little") { key.rotate_right(turn) } else { key.rotate_left(turn) };
    // The key twice, as little-endian as the words it meets.
    let key = u64::from(u32::from_le_bytes(key.to_ne_bytes())) * 0x1_0000_0001;
    if payload.len() < WIDE_FROM {
        xor(payload, key);
    } else {
        xor_wide(payload, key);
    }
}

/// From this size on, in bytes, it pays to ask the processor for wider vectors.
const WIDE_FROM: usize = 256;

/// Uses the widest vectors that the processor has and this compiler knows.
#[cfg_attr(feature = "std", multiversion::multiversion(targets("x86_64+avx2")))]
fn xor_wide(payload: &mut [u8], key: u64) {
    // The compiler unrolls this many bytes into straight code.
    let mut blocks = payload.chunks_exact_mut(256);
    for block in &mut blocks {
        xor_words(block, key);
    }
    xor(blocks.into_remainder(), key);
}

/// XORs 32 bytes at a time, which the compiler turns into vectors, then 16 and 8. It XORs the last
/// few together with bytes before them, whose part of the key is zero.
#[inline(always)]
fn xor(payload: &mut [u8], key: u64) {
    let mut blocks = payload.chunks_exact_mut(32);
    for block in &mut blocks {
        xor_words(block, key);
    }
    let mut rest = blocks.into_remainder();
    if rest.len() >= 16 {
        let (block, behind) = { rest }.split_at_mut(16);
        xor_words(block, key);
        rest = behind;
    }
    if rest.len() >= 8 {
        let (block, behind) = { rest }.split_at_mut(8);
        xor_words(block, key);
        rest = behind;
    }
    let left = rest.len();
    if let Some(last) = payload.last_chunk_mut() {
        // Shifted in two steps: by 64 bits at once would be an overflow when nothing is left.
        let key = key << (8 * (7 - left)) << 8;
        *last = (u64::from_le_bytes(*last) ^ key).to_le_bytes();
    } else {
        for (byte, key) in payload.iter_mut().zip(key.to_le_bytes()) {
            *byte ^= key;
        }
    }
}

#[inline(always)]
fn xor_words(bytes: &mut [u8], key: u64) {
    for word in bytes.chunks_exact_mut(8) {
        if let Some(word) = word.first_chunk_mut() {
            *word = (u64::from_le_bytes(*word) ^ key).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn section_5_3_byte_i_with_key_i_mod_4_at_every_length_and_offset() {
        let key = [0x12, 0x34, 0x56, 0x78];
        for length in (0..100).chain(WIDE_FROM - 2..3 * WIDE_FROM) {
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            for offset in [0, 1, 2, 3, 4, 7, (1 << 31) + 2, (1 << 33) + 1] {
                let mut masked = plain.clone();
                mask(&mut masked, key, offset);
                for (i, byte) in masked.iter().enumerate() {
                    assert_eq!(*byte, plain[i] ^ key[(offset as usize + i) % 4]);
                }
                mask(&mut masked, key, offset);
                assert_eq!(masked, plain);
            }
        }
    }
}
