//! RFC 6455 WebSocket: a sans-IO core that holds the whole protocol, and thin adapters on top of it:
//! for threads, tokio, smol and every other runtime.
//!
//! ```text
//!    your code
//!       │ messages
//! ┌─────┴────┬─────────────┬──────────┬────────────────┐
//! │ tokio    │ futures_io  │ blocking │ your own loop  │   adapters: move bytes and sleep
//! └─────┬────┴──────┬──────┴─────┬────┴───────┬────────┘
//!       │           │            │            │ bytes, times
//! ┌─────┴───────────┴────────────┴────────────┴────────┐
//! │ Connection        events in, outbox out, deadlines │
//! │ handshake         requests, responses, negotiation │   the core: no socket, clock or runtime
//! │ message, frame    text, UTF-8, heads, masking      │
//! │ deflate           message compression              │
//! └────────────────────────────────────────────────────┘
//! ```
//!
//! # Which layer do I want?
//! - On tokio: the module `tokio` (feature `tokio`).
//! - On smol or any other runtime: the module `futures_io` (feature `futures-io`).
//! - On threads: the module `blocking` (feature `std`, on by default).
//! - On anything else, or to own every byte: [`Connection`], behind a [`handshake`].
//! - Only frames: [`frame`].
//!
//! What each call does on a peer that takes nothing, and what each side sees of the end, are tables of
//! the [guide]. What follows from each frame, call, request and response in each state is its
//! [specification](guide::specification); each cell of it is a test.
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `std` | yes | the blocking adapter, mask keys from the thread's generator, wide vectors |
//! | `tokio` | no | the tokio adapter |
//! | `futures-io` | no | the adapter for smol and every other runtime |
//! | `testing` | no | for tests of what you build: connections without sockets, time without waiting |
//! | `deflate` | no | compression of messages, permessage-deflate (RFC 7692); off until [`Config`] turns it on |
//! | `tracing` | no | a span for each connection of an adapter, and events in it: see [Diagnostics](#diagnostics) |
//!
//! A feature adds to the API and never changes what is there. Without features the crate is the
//! core alone, `no_std + alloc`.
//!
//! # What is promised
//! - No `unsafe`, and no panic on anything that a peer can send.
//! - A peer that breaks the protocol is told so by the right Close code; good messages in front of
//!   the mistake are delivered, and nothing behind it is.
//! - Memory is bounded in both directions by [`Config`], whose defaults are safe on the open
//!   internet: messages of at most 16 MiB, inflated, 1 MiB of unsent backlog, 16 KiB of request
//!   head.
//! - A message that was accepted for sending is written, unless the connection ends first, and then
//!   there is an error that says so.
//! - `Debug` never prints payloads or credentials.
//!
//! # Errors
//! [`ProtocolError`] is the peer's mistake: fatal, and it maps to a Close code. [`SendError`] is the
//! caller's: nothing changed, and the message is handed back. A clean close is not an error. The
//! adapters' `Error` holds both and says whether it was a timeout, the peer's fault, or the end.
//!
//! # Diagnostics
//! [`Connection::stats`] has counters of frames, bytes, messages and compression, and
//! [`Connection::round_trip`] how long the peer took to answer a keepalive ping; the adapters'
//! `WebSocket` has both, and so have its halves.
//!
//! With the feature `tracing` each connection of an adapter has a span `websocket` with the field
//! `role`, a child of the span that is entered where the connection is made. Its events are
//!
//! | event | fields | when |
//! |---|---|---|
//! | `opened` | `status` | the opening handshake is done |
//! | `closing` | `initiator` | a Close was sent or received: whose was first, `local` or `remote` |
//! | `protocol error` | `error`, `offset`, `code` | the peer broke the protocol or a limit |
//! | `timed out` | `timeout` | a deadline passed |
//! | `stream failed` | `error` | reading or writing failed: which kind of error |
//! | `closed` | `code`, `clean`, `initiator` | the connection is over |
//!
//! and, since there is no connection then, outside of the span `not opened` with `role`, the
//! `status` of a response that refused the handshake, and on a client `timeout`. All of them are of
//! level debug and of the target `fullduplex`. They say nothing that the peer or the caller has
//! chosen but Close codes and statuses: no payload, reason, URL or header. There are none per
//! message, and where nobody listens when it is made, a connection tells nothing.

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub mod asynchronous;
#[cfg(feature = "std")]
pub mod blocking;
mod connection;
#[cfg(feature = "deflate")]
pub mod deflate;
mod extension;
pub mod frame;
#[cfg(feature = "futures-io")]
pub mod futures_io;
mod grammar;
#[cfg(doc)]
pub mod guide;
pub mod handshake;
mod input;
#[cfg(feature = "std")]
mod io;
pub mod message;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(feature = "std")]
pub use connection::StreamError;
pub use connection::{
    CloseCause, Closed, Config, Connection, Event, FlushPolicy, IntoFragment, IntoMessage,
    Keepalive, Outbox, Prepared, ProtocolError, ProtocolErrorKind, ReceiveBudget, Role, SendError,
    SendErrorReason, Side, Stats, TextFragment, Time, TimeoutError, Transport, Unsent,
};
pub use frame::{CloseCode, CloseFrame, IntoCloseFrame};
pub use handshake::{Acceptor, Request};
pub use input::Input;
#[cfg(feature = "std")]
pub use io::{Error, Outgoing, Parts};
pub use message::{Chunk, Incoming, Message, MessageRef, Text};

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "deflate", feature = "futures-io", feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
