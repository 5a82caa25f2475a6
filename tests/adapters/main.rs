//! Connections in one piece over streams: what every adapter does, and what each alone.

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

mod blocking;
mod budgets;
mod calls;
mod futures_io;
mod keepalive;
mod methods;
mod scripted;
mod streaming;
mod tcp;
mod testing;
mod tokio_timers;
mod turns;
