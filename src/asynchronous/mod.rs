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
//! # Fairness
//! No connection keeps its thread to itself, whatever runtime it is on and whatever stream it is over.
//! A task that never has to wait lets other tasks run after 64 reads in a row, after 64 messages or
//! fragments that there was room for, after 64 flushes, after 64 writes of one backlog, and after 64 calls on a connection
//! that is over. The call is then pending once, and its task is woken at once: nothing is lost, and a
//! future that you poll only once may be pending although there is something to receive, or room.
//!
//! [`WebSocket::feed`] does not wait for anything: a loop that only feeds ends when there is no room.
//!
//! # Back-pressure, closing, faults
//! What each call does on a peer that takes nothing is [a table](crate::guide::backpressure), and so
//! are [what each side sees](crate::guide::closing) of the end and
//! [what comes of a stream](crate::guide::faults) that fails or lies.
//!
//! # Messages too large to hold
//! [`WebSocket::send_iter`], [`WebSocket::send_stream`], `send_reader` of the adapter and
//! [`WebSocket::send_fragment`] send one message in fragments (RFC 6455 §5.4), and hold no more of it
//! than a fragment and the backlog; [`WebSocket::recv_chunk`] receives a message in parts.
//!
//! If the source fails in the middle, or the future is dropped, the message is unfinished: other
//! messages are refused with [`SendErrorReason::Unfinished`](crate::SendErrorReason::Unfinished).
//! [`WebSocket::is_in_fragments`] says so. Go on with it, by any of these, with fragments of the same
//! kind; or end it as it is, by `send_fragment("", true)`, or `&[]` if it is binary; or, since the
//! peer cannot know that something is missing, close the connection, which may be done between
//! fragments. A message that was begun by `send_fragment` is gone on with in the same way: so its first
//! fragment can say that it is not to be compressed, or a head be put in front of a file.
//!
//! While fragments are sent nothing is received, so pings are not answered. Where a source may pause for
//! longer than the peer is patient, [split](WebSocket::split) the connection: the reader answers
//! while [`Writer::send_fragment`] sends what the source gives.
//!
//! [`WebSocket::close`] gives the peer [`Config::close_timeout`](crate::Config::close_timeout) to take
//! what is still on its way, too: after much was sent to a slow peer, wait for its answer first.
//!
//! # One write per message, or one per batch
//! [`WebSocket::send`] writes at once: when it returns, the operating system has the message. A
//! handler that answers what it receives is faster with [`WebSocket::run`], with
//! [`WebSocket::feed`], which is written before the next receive waits, or with
//! [`FlushPolicy::BeforeWait`](crate::FlushPolicy::BeforeWait), which makes `send` do that.

// First, as the pages of their types show the methods in this order.
mod websocket;

mod halves;

mod streaming;

mod broadcast;
#[cfg(feature = "deflate")]
mod deflate;
mod sink;
mod upgrade;

pub use broadcast::{
    Broadcast, BroadcastStats, CloseReport, Delivery, Member, MemberId, SlowConsumer,
};
pub use halves::{Reader, ReuniteError, Writer};
pub use sink::WriterSink;
pub use upgrade::{HttpExchange, Upgrade, UpgradeOrHttp};
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
