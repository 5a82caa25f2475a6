//! What an attacker or a mistake must not get: limits as SECURITY.md states them, failures of other libraries, panics.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/heap.rs"]
mod heap;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

mod known_failures;
mod panics;
mod security;
