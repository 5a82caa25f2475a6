//! The opening handshake: its two machines, and opening over every adapter.

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod machines;
mod opening;
