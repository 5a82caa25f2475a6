//! The opening handshake: its two machines, and opening over every adapter.

#[path = "../support/all.rs"]
mod support;

mod answers;
mod machines;
mod opening;
