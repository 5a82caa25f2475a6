//! Buffers that the kernel takes for what it receives, so that an idle connection holds none.

use io_uring::{IoUring, types::BufRingEntry};
use std::{
    alloc::{Layout, handle_alloc_error},
    io,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU16, Ordering},
};

const COUNT: u16 = 128; // a power of two
const SIZE: usize = 16 * 1024;
/// Not a power of two, so that the fronts of the buffers do not compete for the same cache lines.
const STRIDE: usize = SIZE + 192;
const PAGE: usize = 4096;

pub struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: u16,
}

impl Buffers {
    /// Registers buffers as group `group`. They are never freed: the kernel may write to them for
    /// as long as the ring exists.
    pub fn register(uring: &IoUring, group: u16) -> io::Result<Self> {
        let ring = allocate(usize::from(COUNT) * size_of::<BufRingEntry>()).cast();
        let memory = allocate(usize::from(COUNT) * STRIDE);
        // SAFETY: the ring is aligned to a page, has room for `COUNT` entries and is never freed.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(
                ring.as_ptr() as u64,
                COUNT,
                group,
                0,
            )?;
        }
        let mut this = Self { ring, memory, tail: 0 };
        (0..COUNT).for_each(|id| this.provide(id));
        this.publish();
        Ok(this)
    }

    /// The first `length` bytes of a buffer.
    ///
    /// # Safety
    /// A completion brought this `id` and it was not provided since, so that the kernel does not
    /// write to it.
    pub unsafe fn get(&mut self, id: u16, length: usize) -> &mut [u8] {
        assert!(id < COUNT && length <= SIZE);
        // SAFETY: it lies within the memory, which was zeroed; it is ours, says the caller.
        unsafe {
            slice::from_raw_parts_mut(self.memory.add(usize::from(id) * STRIDE).as_ptr(), length)
        }
    }

    /// Gives a buffer to the kernel, from the next [`publish`](Self::publish) on.
    pub fn provide(&mut self, id: u16) {
        assert!(id < COUNT);
        // SAFETY: the place is within the ring, and the kernel reads entries before the published
        // tail only. At most `COUNT` buffers exist, so it has read what was in this place.
        let entry = unsafe { self.ring.add(usize::from(self.tail % COUNT)).as_mut() };
        // SAFETY: the offset lies within the memory.
        let start = unsafe { self.memory.add(usize::from(id) * STRIDE) };
        entry.set_addr(start.as_ptr() as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    pub fn publish(&mut self) {
        // SAFETY: this is the ring's tail, aligned, which the kernel reads and nobody else writes.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Zeroed memory that begins with a page.
fn allocate(size: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(size, PAGE).expect("a sensible size");
    // SAFETY: the size is not zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
