//! The core by itself: bytes in, bytes out, in virtual time.

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "deflate")]
#[path = "../common/deflate.rs"]
mod deflate;
#[path = "../common/heap.rs"]
mod heap;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

mod backpressure;
mod budgets;
mod closing;
mod fragmentation;
mod limits;
mod prepared;
mod receiving;
mod stats;
mod streaming;
mod texts;
mod timers;
