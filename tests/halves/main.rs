//! Connections in halves, and groups of them.

#[path = "../support/all.rs"]
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
