//! A second implementation of DEFLATE as a reader, for the tests of permessage-deflate.

use crate::support::deflate::TAIL;
use miniz_oxide::{
    DataFormat, MZFlush,
    inflate::stream::{InflateState, inflate as oracle_inflate},
};

/// Miniz reads a whole message, behind the bytes of `window`.
pub(crate) fn oracle_reads(window: &[u8], message: &[u8]) -> Vec<u8> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut read = |mut input: &[u8]| -> Vec<u8> {
        let (mut all, mut out) = (Vec::new(), vec![0; 65_536]);
        loop {
            let result = oracle_inflate(&mut state, input, &mut out, MZFlush::None);
            all.extend_from_slice(&out[..result.bytes_written]);
            input = &input[result.bytes_consumed..];
            if input.is_empty() && result.bytes_written < out.len() {
                return all;
            }
            assert!(result.status.is_ok(), "{:?}", result.status);
        }
    };
    for block in window[window.len().saturating_sub(32_768)..].chunks(0xffff) {
        let length = block.len() as u16;
        let head = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
        read(&[&head, block].concat());
    }
    read(&[message, &TAIL].concat())
}
