//! From a message to the bytes of its frame.

use crate::frame::{Header, mask};
use alloc::vec::Vec;

/// How many bytes are copied before they are masked, so that masking finds them in the cache.
const MASK_STRIDE: usize = 8 * 1024;

/// Appends a frame to `buffer`.
#[inline(always)]
pub(super) fn encode(buffer: &mut Vec<u8>, header: &Header, payload: &[u8]) {
    let (head, length) = header.encode();
    buffer.reserve(head.len() + payload.len());
    // All of it, because a copy of constant length is a few instructions and not a call.
    let end = buffer.len() + length;
    buffer.extend_from_slice(&head);
    buffer.truncate(end);
    match header.mask {
        None => buffer.extend_from_slice(payload),
        Some(key) => extend_masked(buffer, payload, key),
    }
}

fn extend_masked(buffer: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    for piece in payload.chunks(MASK_STRIDE) {
        let start = buffer.len();
        buffer.extend_from_slice(piece);
        mask(&mut buffer[start..], key, 0); // the stride is a multiple of four
    }
}
