//! Attacks on the echo servers of `examples/`, run as the processes that `cargo test` has built,
//! over loopback. Behind each attack a good client is served by the same process, and what the
//! attack took, memory and processor time, is bounded. Each row of a table says what it breaks and
//! what has to come back: the exact Close code, or the exact HTTP status.
//!
//! `cargo test --all-features --test attacks -- --nocapture` prints what was measured.
#![cfg(feature = "tokio")]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "deflate")]
#[path = "../common/deflate.rs"]
mod deflate;
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "deflate")]
mod bombs;
mod crowds;
mod deadlines;
mod floods;
mod handshake;
mod server;
mod violations;
