//! Buffers that the connections of a thread share, so that an idle one holds none.
//!
//! A buffer is taken *out* while it is in use: a handler may drive another connection, or a stream
//! be a WebSocket itself, without two of them ever meeting in one buffer. What an earlier read left in
//! a buffer is still there: a stream that claims to have read more than it wrote delivers it.

use alloc::{vec, vec::Vec};
use core::{cell::RefCell, mem};
use std::thread::LocalKey;

/// Room for one read, in bytes.
pub(super) const READ: usize = 64 * 1024;

/// How many buffers of each kind a thread keeps; more than one are in use only where connections
/// nest, or hold something that waits.
const KEPT: usize = 4;

/// A write buffer that has grown beyond this, in bytes, is given back to the allocator.
const WRITE_MAX: usize = 256 * 1024;

type Pool = RefCell<Vec<Vec<u8>>>;

std::thread_local! {
    static READS: Pool = const { RefCell::new(Vec::new()) };
    static WRITES: Pool = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`READ`] bytes.
pub(super) fn take_read() -> Vec<u8> {
    take(&READS).unwrap_or_else(|| vec![0; READ])
}

/// Takes the buffer away, to be used for another read if it is one of ours.
pub(super) fn give_read(buffer: &mut Vec<u8>) {
    let buffer = mem::take(buffer);
    if buffer.len() == READ {
        give(&READS, buffer);
    }
}

/// An empty buffer, perhaps one with room.
pub(super) fn take_write() -> Vec<u8> {
    take(&WRITES).unwrap_or_default()
}

/// Gives an empty buffer back.
pub(super) fn give_write(buffer: Vec<u8>) {
    if buffer.capacity() <= WRITE_MAX {
        give(&WRITES, buffer);
    }
}

/// Nothing, too, while the thread is ending.
fn take(pool: &'static LocalKey<Pool>) -> Option<Vec<u8>> {
    pool.try_with(|pool| pool.borrow_mut().pop()).ok().flatten()
}

fn give(pool: &'static LocalKey<Pool>, buffer: Vec<u8>) {
    let _ = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT {
            pool.push(buffer);
        }
    });
}
