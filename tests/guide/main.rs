//! The tables of the guide, which are read from its pages and played row by row.

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

mod closing;
mod faults;
mod specification;
mod stalled;
