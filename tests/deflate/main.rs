//! permessage-deflate (RFC 7692): over the core, and over every adapter.

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "deflate")]
#[path = "../common/deflate.rs"]
mod deflate;
#[path = "../common/heap.rs"]
mod heap;
#[cfg(feature = "deflate")]
#[path = "../common/miniz.rs"]
mod miniz;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

mod budgets;
mod discard;
mod laws;
mod messages;
mod negotiation;
mod prepared;
