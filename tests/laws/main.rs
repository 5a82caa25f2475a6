//! What holds for anything: random input, cuts, calls and paths, against references and models.

#[path = "../support/all.rs"]
mod support;

mod adapters;
mod connection;
mod fragmentation;
mod keepalive_path;
mod life;
