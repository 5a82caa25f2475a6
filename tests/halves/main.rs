//! Connections in halves, and groups of them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/heap.rs"]
mod heap;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

mod asynchronous;
mod blocking;
mod broadcast;
mod broadcast_holes;
mod holes;
mod model;
mod tls;
mod tokio_split;
mod write_queue;
