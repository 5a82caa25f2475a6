//! What holds across the layers. [`sending`] has all ways to send in one table and one program. The
//! others are tables: [back-pressure], what each call does on a peer that takes nothing; [closing],
//! what each side sees of what the other does; and [faults], what comes of a stream that fails. What
//! the core does, state by state, is the [specification].
//!
//! [back-pressure]: backpressure
//! [closing]: closing
//! [faults]: faults
#![cfg_attr(
    not(feature = "tokio"),
    allow(rustdoc::broken_intra_doc_links, reason = "it is about all adapters")
)]

pub mod backpressure;
pub mod closing;
pub mod faults;
#[doc = include_str!("sending.md")]
pub mod sending {}
pub mod specification;
