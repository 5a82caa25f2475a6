//! What an attacker or a mistake must not get: limits as SECURITY.md states them, failures of other libraries, panics.

#[path = "../support/all.rs"]
mod support;

mod known_failures;
mod panics;
mod security;
