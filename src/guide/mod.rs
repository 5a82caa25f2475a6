//! What holds across the layers, in tables: [back-pressure], what each call does on a peer that
//! takes nothing; [closing], what each side sees of what the other does; and [faults], what comes of a
//! stream that fails. What the core does, state by state, is the [specification]. There is no code
//! here.
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
pub mod specification;
