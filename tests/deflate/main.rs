//! permessage-deflate (RFC 7692): over the core, and over every adapter.

#[path = "../support/all.rs"]
mod support;

mod budgets;
mod discard;
mod laws;
mod messages;
#[cfg(feature = "deflate")]
mod miniz;
mod negotiation;
mod prepared;
