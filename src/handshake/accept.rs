//! `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` (RFC 6455 §4.1 and §4.2.2).

use alloc::string::String;
use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, PAD, STANDARD},
};
use sha1::{Digest as _, Sha1};

/// Computes `Sec-WebSocket-Accept` from `key`, the value of `Sec-WebSocket-Key` in the request
/// without white space around it (RFC 6455 §4.2.2).
///
/// You only need this if you write the response yourself:
/// [`UpgradeRequest::accept`](super::UpgradeRequest::accept) does it for you.
///
/// ```
/// let accept = fullduplex::handshake::accept_key("dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &str) -> String {
    accept_bytes(key.as_bytes()).iter().copied().map(char::from).collect()
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The length of a key: 16 bytes in base64.
pub(super) const KEY_LEN: usize = 24;

/// The length of an accept value: a SHA-1 hash of 20 bytes in base64.
pub(super) const ACCEPT_LEN: usize = 28;

pub(super) fn accept_bytes(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_LEN];
    STANDARD.encode_slice(hash, &mut accept).expect("20 bytes are 28 in base64");
    accept
}

/// The key for a nonce; its pad bits are zero (§4.1, erratum 3150).
pub(super) fn encode_key(nonce: [u8; 16]) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    STANDARD.encode_slice(nonce, &mut key).expect("16 bytes are 24 in base64");
    key
}

/// Whether `key` is base64 of exactly 16 bytes (§4.2.1). Pad bits may be anything: the RFC's own
/// sample in §4.1 has some that are not zero, and the key is never used in its decoded form.
pub(super) fn is_key(key: &[u8]) -> bool {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));
    // The length comes first: a decoder never sees more than 24 bytes.
    key.len() == KEY_LEN && LENIENT.decode_slice(key, &mut [0; 18]) == Ok(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// §1.3 and §4.2.2 (checklist 33).
    #[test]
    fn section_4_2_2_sample_vector() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        // The text is hashed, not what it decodes to.
        assert_ne!(accept_key("AQIDBAUGBwgJCgsMDQ4PEC=="), accept_key("AQIDBAUGBwgJCgsMDQ4PEA=="));
    }

    /// Checklist 11, erratum 3150: keys that we make have zero pad bits.
    #[test]
    fn section_4_1_keys_we_make() {
        let nonce = core::array::from_fn(|i| i as u8 + 1);
        assert_eq!(&encode_key(nonce), b"AQIDBAUGBwgJCgsMDQ4PEA==");
        for last in 0..=255 {
            let mut nonce = [0xa5; 16];
            nonce[15] = last;
            let key = encode_key(nonce);
            assert!(is_key(&key) && b"AQgw".contains(&key[21]));
        }
    }

    /// Checklist 26: exactly 16 bytes; any pad bits.
    #[test]
    fn section_4_2_1_keys_we_take() {
        for good in
            ["dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==", "++++////++++////++++/w=="]
        {
            assert!(is_key(good.as_bytes()), "{good}");
        }
        let bad = [
            "",
            "====",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZWU=", // 17 bytes
            "dGhlIHNhbXBsZSBub25jZWVl", // 18 bytes
            "dGhlIHNhbXBsZSBub25j",     // 15 bytes
            "dGhlIHNhbXBs-SBub25jZQ==", // the URL alphabet
            "dGhl IHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ=\0",
        ];
        for key in bad {
            assert!(!is_key(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn keys_of_any_length_do_not_panic() {
        for byte in [0, b'A', b'=', 0xff] {
            for length in 0..300 {
                assert!(!is_key(&vec![byte; length]) || byte == b'A', "{length}");
            }
        }
    }
}
