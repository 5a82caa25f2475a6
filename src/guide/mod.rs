//! Rules that hold across all layers, in tables. There is no code here.
//!
//! - [Sending](sending): every way to send, in a table and in one program.
//! - [Back-pressure](backpressure): what each call does while the peer reads nothing.
//! - [Closing](closing): the result of each thing that the peer can do at the end.
//! - [Faults](faults): the result of a stream that fails.
//! - [Specification](specification): what the core does, state by state.

pub mod backpressure;
pub mod closing;
pub mod faults;
#[doc = include_str!("sending.md")]
pub mod sending {}
pub mod specification;
