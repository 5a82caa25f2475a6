//! The tables of the guide, which are read from its pages and played row by row.

#[path = "../support/all.rs"]
mod support;

mod closing;
mod faults;
mod specification;
mod stalled;
