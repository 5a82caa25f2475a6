//! What the async adapters are: one implementation over any runtime's streams and timers.
//!
//! [`WebSocket`] is a whole connection, [`Reader`] and [`Writer`] are its halves for tasks of their
//! own. The types are named by the adapters: `tokio::WebSocket` is [`WebSocket`] over tokio's streams
//! and clock, `futures_io::WebSocket` over those of any other runtime. How to open one is there. A
//! handler that is to serve all of them takes a `WebSocket<impl AsyncIo>`.
//!
//! # Deadlines
//! There is no background task: keepalive, the idle timeout and the closing deadline run while a
//! call is polled, and a connection that nobody polls does nothing. Keep one task in
//! [`WebSocket::recv`] or [`WebSocket::run`].
//!
//! # Cancel safety
//! Each method says what happens when its future is dropped, in `select!` for instance. In short:
//! receiving is safe at any byte; [`WebSocket::ready`] and then [`WebSocket::feed`] never loses a
//! message; a [`WebSocket::send`] that is dropped while it waits for room takes its message along.
//!
//! # One write per message, or one per batch
//! [`WebSocket::send`] writes at once: when it returns, the operating system has the message. A
//! handler that answers what it receives is faster with [`WebSocket::run`], with
//! [`WebSocket::feed`], which is written before the next receive waits, or with
//! [`FlushPolicy::BeforeWait`](crate::FlushPolicy::BeforeWait), which makes `send` do that.

mod broadcast;
#[cfg(feature = "deflate")]
mod deflate;
mod halves;
mod upgrade;
mod websocket;

pub use broadcast::{Broadcast, BroadcastStats, Delivery, MemberId, SlowConsumer};
pub use halves::{Reader, ReuniteError, Writer};
pub use upgrade::Upgrade;
pub use websocket::WebSocket;

use crate::io::Io;

/// A stream of a runtime with the runtime's clock. Implemented by the adapters, and only by them.
pub trait AsyncIo: Io + Unpin {
    /// The stream, as it was given to the adapter.
    type Stream;

    #[doc(hidden)]
    fn stream(&self) -> &Self::Stream;

    #[doc(hidden)]
    fn into_stream(self) -> Self::Stream;
}
