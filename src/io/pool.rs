//! Buffers that the connections of a thread share, so that an idle one holds none.
//!
//! A buffer is taken *out* while it is in use: a handler may drive another connection, or a stream
//! be a WebSocket itself, without two of them ever meeting in one buffer. What an earlier read left in
//! a buffer is still there: a stream that claims to have read more than it wrote delivers it.

use alloc::{vec, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    mem,
};
use std::thread::LocalKey;

/// Room for one read, in bytes.
pub(super) const READ: usize = 64 * 1024;

/// How many buffers of each kind a thread keeps beside the first; more than one are in use only
/// where connections nest, or hold something that waits.
const KEPT: usize = 3;

/// A write buffer that has grown beyond this, in bytes, is given back to the allocator.
const WRITE_MAX: usize = 256 * 1024;

/// One buffer that is quickly taken, or none, and some more.
struct BufferPool {
    first: Cell<Vec<u8>>,
    more: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    const fn new() -> Self {
        Self { first: Cell::new(Vec::new()), more: RefCell::new(Vec::new()) }
    }
}

std::thread_local! {
    static READS: BufferPool = const { BufferPool::new() };
    static WRITES: BufferPool = const { BufferPool::new() };
}

/// A buffer of [`READ`] bytes.
#[inline(always)] // so that nothing is moved through memory
pub(super) fn take_read() -> Vec<u8> {
    let buffer = take(&READS);
    if buffer.is_empty() { vec![0; READ] } else { buffer }
}

/// Takes the buffer away, to be used for another read if it is one of ours.
#[inline(always)]
pub(super) fn give_read(buffer: &mut Vec<u8>) {
    let buffer = mem::take(buffer);
    if buffer.len() == READ {
        give(&READS, buffer);
    }
}

/// An empty buffer, perhaps one with room.
#[inline]
pub(crate) fn take_write() -> Vec<u8> {
    take(&WRITES)
}

/// Gives an empty buffer back.
#[inline]
pub(crate) fn give_write(buffer: Vec<u8>) {
    if buffer.capacity() <= WRITE_MAX {
        give(&WRITES, buffer);
    }
}

/// A buffer from the pool, or a new one without memory.
#[inline(always)]
fn take(pool: &'static LocalKey<BufferPool>) -> Vec<u8> {
    let first = pool.try_with(|pool| pool.first.take()).unwrap_or_default();
    if first.capacity() == 0 { take_more(pool) } else { first }
}

/// Nothing, too, while the thread is ending.
#[cold]
fn take_more(pool: &'static LocalKey<BufferPool>) -> Vec<u8> {
    pool.try_with(|pool| pool.more.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

#[inline(always)]
fn give(pool: &'static LocalKey<BufferPool>, buffer: Vec<u8>) {
    let _ = pool.try_with(|pool| {
        let other = pool.first.replace(buffer);
        if other.capacity() > 0 {
            give_more(pool, other);
        }
    });
}

#[cold]
fn give_more(pool: &BufferPool, buffer: Vec<u8>) {
    let mut more = pool.more.borrow_mut();
    if more.len() < KEPT {
        more.push(buffer);
    }
}
