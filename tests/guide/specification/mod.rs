//! The executable specification: what the tables of `guide::specification` say about receiving,
//! closing and the opening handshake, each pair of a state and an input, in both roles.
//!
//! The tables are read from the very pages that the documentation shows. What they name is looked
//! up here, and a name that is not known, a pair that is missing and a cell that is wrong all fail.

mod closing;
mod frames;
mod handshake;
mod receiving;
mod table;
