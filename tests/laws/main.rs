//! What holds for anything: random input, cuts, calls and paths, against references and models.

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "deflate")]
#[path = "../common/deflate.rs"]
mod deflate;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod connection;
mod fragmentation;
mod keepalive_path;
mod life;
