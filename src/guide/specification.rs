//! The protocol as tables: the result of each input in each state.
//!
//! There is one page for each of the three automata: how frames become messages, how a connection
//! ends, how it is opened. Each cell is a test. `tests/guide/specification` reads these pages, brings
//! a connection into each state, gives it each input, in both roles, in one piece and byte by byte,
//! and compares all that can be seen from outside. A missing pair fails too. So the tables cannot differ
//! from the code.
//!
//! # How to read a cell
//! `next: told + queued` has the next state, `=` for the same one; what you are told; and the frames
//! that are queued for the peer. The last two are left out if there are none. A pong changes nothing
//! and you are told: `=: pong`. A ping is answered as well: `=: ping + pong`. The peer's Close ends the
//! messages, you are told, and it is answered with its code: `Closed: Close + Close 4000`.

#[doc = include_str!("specification/receiving.md")]
pub mod receiving {}

#[doc = include_str!("specification/closing.md")]
pub mod closing {}

#[doc = include_str!("specification/handshake.md")]
pub mod handshake {}
