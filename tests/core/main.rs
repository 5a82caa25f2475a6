//! The core by itself: bytes in, bytes out, in virtual time.

#[path = "../support/all.rs"]
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
