//! An allocator that counts what the thread that asks has done, so that tests can run side by
//! side.

use core::{cell::Cell, ptr};
use std::alloc::{GlobalAlloc, Layout, System};

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn count(calls: usize, bytes: isize) {
    CALLS.set(CALLS.get() + calls);
    NOW.set(NOW.get() + bytes);
    PEAK.set(PEAK.get().max(NOW.get()));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST.get() {
            return ptr::null_mut();
        }
        count(1, layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > LARGEST.get() {
            return ptr::null_mut();
        }
        count(1, size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What a piece of work did to the heap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    /// Allocations and reallocations.
    pub(crate) calls: usize,
    /// The most bytes it held at once, above what was held before it.
    pub(crate) peak: usize,
    /// The bytes it left behind.
    pub(crate) kept: isize,
}

/// Does `work` and says what it did to the heap.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Heap) {
    let (calls, before) = (CALLS.get(), NOW.get());
    PEAK.set(before);
    let result = work();
    let heap = Heap {
        calls: CALLS.get() - calls,
        peak: (PEAK.get() - before) as usize,
        kept: NOW.get() - before,
    };
    (result, heap)
}

/// Does `work` while this thread can have no allocation of more than so many bytes.
pub(crate) fn without_more_than<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let before = LARGEST.replace(bytes);
    let result = work();
    LARGEST.set(before);
    result
}
