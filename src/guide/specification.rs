//! The protocol as tables: what follows from each input in each state.
//!
//! There is one page for each of the three automata: how frames become messages, how a connection
//! ends, how it is opened. Each cell is a test: `tests/guide/specification` reads these very pages,
//! brings a connection into each state, gives it each input, in both roles, in one piece and byte by
//! byte, and compares all that can be seen from outside. A pair that is missing here fails too. So the
//! tables cannot say anything but what the crate does.
//!
//! # How to read a cell
//! `next: told + queued`: the state that follows, `=` for the same one; what the caller is told; and
//! what is queued for the peer. The last two are left out where there is nothing. A pong, for example,
//! changes nothing and is told, `=: pong`; a ping is answered as well, `=: ping + pong`; a Close of the
//! peer ends the messages, is told, and is answered with its code, `Closed: Close + Close 4000`.

#[doc = include_str!("specification/receiving.md")]
pub mod receiving {}

#[doc = include_str!("specification/closing.md")]
pub mod closing {}

#[doc = include_str!("specification/handshake.md")]
pub mod handshake {}
