//! RFC 6455 WebSocket for Rust: a sans-IO core that holds the whole protocol, and thin adapters for
//! threads, tokio, smol and every other runtime.
//!
//! Connect. This is tokio, feature `tokio`; [`blocking`] has the same calls without `await`:
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! # async fn talk() -> Result<(), fullduplex::Error> {
//! let mut ws = fullduplex::tokio::connect("ws://127.0.0.1:9001/").await?;
//! ws.send("hello").await?;
//! while let Some(message) = ws.recv().await? {
//!     println!("{:?}", message.as_text());
//! }
//! # Ok(()) }
//! ```
//!
//! Serve. [`run`](asynchronous::WebSocket::run) gives each message to your handler, which answers it.
//! This is one connection; [`tokio::accept`] shows the loop that accepts them:
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! # use tokio::net::TcpStream;
//! async fn serve(stream: TcpStream) -> Result<(), fullduplex::Error> {
//!     stream.set_nodelay(true)?;
//!     let mut ws = fullduplex::tokio::accept(stream).await?;
//!     ws.run(|message, out| out.feed(message)).await
//! }
//! ```
//!
//! # Which layer do I want?
//! | you have | use |
//! |---|---|
//! | tokio | [`tokio`], feature `tokio` |
//! | smol or any other runtime | [`futures_io`], feature `futures-io` |
//! | threads | [`blocking`], feature `std`, on by default |
//! | your own loop, or no operating system | [`Connection`], after a [`handshake`] |
//! | only frames to read or write | [`frame`] |
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
//! [`Config`] has every limit and deadline. The [guide] has tables: back-pressure, closing, failing
//! streams, and the protocol [state by state](guide::specification), each cell of it a test.
//!
//! The types that most programs name are re-exported here, and each module holds all of its kind. So
//! [`CloseCode`], [`CloseFrame`], [`Request`], [`Acceptor`], [`Chunk`], [`Incoming`],
//! [`IntoFragment`], [`IntoMessage`], [`Message`], [`MessageRef`] and [`Text`] have two paths.
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `std` | yes | the blocking adapter, mask keys from the thread's generator, wide vectors |
//! | `tokio` | no | the tokio adapter |
//! | `futures-io` | no | the adapter for smol and every other runtime |
//! | `testing` | no | for tests of what you build: connections without sockets, time without waiting |
//! | `deflate` | no | compression of messages, permessage-deflate (RFC 7692); off until [`Config`] turns it on |
//! | `tracing` | no | a span and events for each connection of an adapter: see [Diagnostics](#diagnostics) |
//!
//! A feature adds to the API and never changes what is there. Without features you get the core
//! alone, `no_std + alloc`.
//!
//! # Guarantees
//! - No `unsafe`, and no panic on anything that a peer can send.
//! - A peer that breaks the protocol gets the right Close code. You get every good message before
//!   the mistake, and nothing after it.
//! - Memory is bounded in both directions by [`Config`]. Its defaults are safe on the open internet:
//!   messages of at most 16 MiB, inflated, 1 MiB of unsent backlog, 16 KiB of request head.
//! - A message that was accepted for sending is written, unless the connection ends first. Then an
//!   error says so.
//! - `Debug` never prints payloads or credentials.
//!
//! # Errors
//! [`ProtocolError`] is the peer's mistake: it is fatal and maps to a Close code. [`SendError`] is
//! yours: nothing changed, and it hands the message back. A clean close is not an error. The adapters'
//! [`Error`] holds both; ask it whether it was a timeout, the peer's fault, or the end.
//!
//! # Diagnostics
//! [`Connection::stats`] counts frames, bytes, messages and compression.
//! [`Connection::round_trip`] is the time that the peer took to answer a keepalive ping. The
//! adapters' `WebSocket` and its halves have both.
//!
//! With the feature `tracing` each connection of an adapter has a span `websocket` with the field
//! `role`. It is a child of the span that is entered where the connection is made. Its events:
//!
//! | event | fields | when |
//! |---|---|---|
//! | `opened` | `status` | the opening handshake is done |
//! | `closing` | `initiator` | the first Close was sent (`local`) or received (`remote`) |
//! | `protocol error` | `error`, `offset`, `code` | the peer broke the protocol or a limit |
//! | `timed out` | `timeout` | a deadline passed |
//! | `stream failed` | `error` | reading or writing failed: the kind of the error |
//! | `closed` | `code`, `clean`, `initiator` | the connection is over |
//!
//! A handshake that fails has no connection and so no span. Its event is `not opened`, with `role`,
//! the `status` of a response that refused the handshake, and on a client `timeout`.
//!
//! All events have the level debug and the target `fullduplex`. Of what the peer or you chose they
//! show only Close codes and statuses: no payload, reason, URL or header. There is no event per
//! message. A connection that is made while no subscriber listens emits nothing.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "deflate", feature = "futures-io", feature = "tokio", feature = "testing")),
    allow(rustdoc::broken_intra_doc_links, reason = "the docs are about all features")
)]
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
