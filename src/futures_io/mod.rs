//! WebSocket on smol and every other runtime, over any `AsyncRead` + `AsyncWrite` of `futures-io`.
//!
//! Use [`client`] in a client and [`accept`] in a server. See
//! [`WebSocket`](asynchronous::WebSocket) for everything that you can do with a connection.
//!
//! ```no_run
//! use fullduplex::{CloseCode, Config, futures_io::client};
//! use smol::net::TcpStream;
//!
//! smol::block_on(async {
//!     let stream = TcpStream::connect("127.0.0.1:9001").await?;
//!     stream.set_nodelay(true)?;
//!     let mut ws = client(stream, "ws://127.0.0.1:9001/", Config::default()).await?;
//!     ws.send("hello").await?;
//!     if let Some(message) = ws.recv().await? {
//!         println!("{:?}", message.as_text());
//!     }
//!     ws.close(CloseCode::NORMAL).await
//! })
//! # .unwrap_or_else(|error: fullduplex::Error| panic!("{error}"));
//! ```
//!
//! Dial with your runtime, as above. For a URL use [`Url::host`](crate::handshake::Url::host) and
//! [`port`](crate::handshake::Url::port). [`Config::handshake_timeout`] does not include dialling.
//!
//! # Timers
//! [`DefaultTimer`] works in every runtime: the first deadline starts one thread for the process. To use
//! the timers of your runtime, or a clock that tests move (`testing::Clock` of the feature `testing`),
//! implement [`Timer`] and open the connection through [`FuturesIo::with_timer`]. See
//! [when deadlines run](crate::asynchronous#deadlines).
//!
//! # `poll_close` of your stream
//! It has to end the write side, so that the peer sees the end of the stream, and leave the read side
//! open. `smol::net::TcpStream` and `async_net::TcpStream` do that, and so do TLS streams over them. A
//! bare `async_io::Async<TcpStream>` only flushes: closing then waits up to [`Config::close_timeout`],
//! the server for the client to hang up and the client for the server (RFC 6455 §7.1.1). A stream that
//! ends its read side too loses no message, because both Close frames are through by then. But the
//! response to a refused request may be lost.
//!
//! # Two tasks
//! [`WebSocket::split`](crate::asynchronous::WebSocket::split) gives a [`Reader`] and a [`Writer`]
//! for two tasks. You can clone the writer. A [`WebSocket`] is also a `Stream` and a `Sink`, so
//! `futures_util::StreamExt::split` works too.
//!
//! Two peers can wait for each other: both in [`WebSocket::send`](crate::asynchronous::WebSocket::send),
//! with full buffers, and neither receives. Only keepalive or a deadline ends that. Let one of them
//! receive in a task of its own.
//!
//! # Fairness
//! Few runtimes make a busy task pause. A connection that is always ready does so
//! [by itself](crate::asynchronous#fairness).

mod stream;
mod timer;

pub use crate::asynchronous::SlowConsumer;
pub use stream::FuturesIo;
pub use timer::{DefaultTimer, Timer};

use crate::{
    Config, Error, Role, asynchronous,
    handshake::{Acceptor, Request, UpgradeRequest},
    io::{Opening, send_reader},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::pin::pin;
use futures_io::{AsyncRead, AsyncWrite};

/// A WebSocket connection over a stream of `futures-io`: see [`asynchronous::WebSocket`].
pub type WebSocket<S, T = DefaultTimer> = asynchronous::WebSocket<FuturesIo<S, T>>;

/// The half of a connection that receives: see [`asynchronous::Reader`].
pub type Reader<S, T = DefaultTimer> = asynchronous::Reader<FuturesIo<S, T>>;

/// The half of a connection that sends: see [`asynchronous::Writer`].
pub type Writer<S, T = DefaultTimer> = asynchronous::Writer<FuturesIo<S, T>>;

/// A group of connections that get the same messages: see [`asynchronous::Broadcast`].
pub type Broadcast<S, T = DefaultTimer> = asynchronous::Broadcast<FuturesIo<S, T>>;

/// A membership in a group: see [`asynchronous::Member`].
pub type Member<S, T = DefaultTimer> = asynchronous::Member<FuturesIo<S, T>>;

/// A client's request that waits for your answer: see [`asynchronous::Upgrade`].
pub type Upgrade<S, T = DefaultTimer> = asynchronous::Upgrade<FuturesIo<S, T>>;

/// A request on a port that also serves plain HTTP: see [`asynchronous::UpgradeOrHttp`].
pub type UpgradeOrHttp<S, T = DefaultTimer> = asynchronous::UpgradeOrHttp<FuturesIo<S, T>>;

/// A plain HTTP request that waits for your answer: see [`asynchronous::UpgradeOrHttp`].
pub type HttpExchange<S, T = DefaultTimer> = asynchronous::HttpExchange<FuturesIo<S, T>>;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Makes a connection of a stream whose opening handshake you did elsewhere. `unread` has the
    /// bytes that you read after the handshake.
    pub fn from_parts(
        stream: S,
        role: Role,
        config: impl Into<Arc<Config>>,
        unread: impl Into<Vec<u8>>,
    ) -> Self {
        FuturesIo::new(stream).adopt(role, config, unread)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> WebSocket<S, T> {
    /// Sends everything that a reader gives as one binary message, and returns the number of bytes.
    ///
    /// Each read, of at most 64 KiB, becomes a fragment that is sent as by
    /// [`send_fragment`](asynchronous::WebSocket::send_fragment); an empty one ends the message. So no
    /// byte waits for later ones, and only one buffer is held. See
    /// [messages too large to hold](asynchronous#messages-too-large-to-hold).
    ///
    /// # Errors
    /// As [`send_fragment`](asynchronous::WebSocket::send_fragment); and [`Error::Other`] with the
    /// reader's [`io::Error`](std::io::Error), which leaves the message unfinished.
    ///
    /// # Cancel safety
    /// Safe: if you drop the future, everything that the reader has given is queued. While
    /// [`is_in_fragments`](asynchronous::WebSocket::is_in_fragments), call this again with the same
    /// reader to go on.
    pub async fn send_reader(&mut self, reader: impl AsyncRead) -> Result<u64, Error> {
        let mut reader = pin!(reader);
        send_reader(&mut self.driver, |cx, buffer| reader.as_mut().poll_read(cx, buffer)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> Writer<S, T> {
    /// Sends everything that a reader gives as one binary message, as [`WebSocket::send_reader`] does.
    /// Messages of other clones of this writer wait for its end.
    ///
    /// # Errors
    /// As [`WebSocket::send_reader`].
    ///
    /// # Cancel safety
    /// Safe: if you drop the future, everything that the reader has given is queued. Call this again with
    /// the same reader to go on.
    pub async fn send_reader(&self, reader: impl AsyncRead) -> Result<u64, Error> {
        let mut reader = pin!(reader);
        send_reader(&mut self.fragments(), |cx, buffer| reader.as_mut().poll_read(cx, buffer)).await
    }
}

/// Opens a connection as a client, over a stream that is connected already.
///
/// Give it a URL, or a [`Request`] with headers and subprotocols. User name and password in the URL
/// become an `Authorization` header. For a `wss` URL give it a TLS stream.
///
/// # Errors
/// - [`Error::Request`], before anything is sent.
/// - [`Error::Handshake`] if the server does not open the connection.
/// - [`Error::Timeout`] after [`Config::handshake_timeout`].
/// - [`Error::Io`] if the stream fails.
///
/// # Cancel safety
/// Not safe: if you drop the future, the stream is dropped too.
pub async fn client<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: impl Into<Request>,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    FuturesIo::new(stream).client(request, config).await
}

/// Accepts a connection as a server, over a stream of which nothing was read yet.
///
/// Set `TCP_NODELAY` on the stream. Without it TCP holds small messages back.
///
/// This loop accepts for ever. It shows the error of each connection, and pauses when there are no file
/// descriptors left:
///
/// ```no_run
/// # use fullduplex::{Error, futures_io::accept};
/// # use smol::net::{TcpListener, TcpStream};
/// # async fn serve(stream: TcpStream) -> Result<(), Error> {
/// #     accept(stream).await?.run(|message, out| out.feed(message)).await
/// # }
/// # async fn listen(listener: TcpListener) {
/// loop {
///     match listener.accept().await {
///         Ok((stream, peer)) => smol::spawn(async move {
///             if let Err(error) = serve(stream).await {
///                 eprintln!("{peer}: {error}");
///             }
///         }).detach(),
///         Err(error) => {
///             eprintln!("cannot accept: {error}");
///             smol::Timer::after(std::time::Duration::from_millis(50)).await;
///         }
///     }
/// }
/// # }
/// ```
///
/// # Errors
/// [`Error::Rejected`] if the request cannot be accepted. The client got the right HTTP status, which
/// is 408 after [`Config::handshake_timeout`].
///
/// # Cancel safety
/// Not safe: if you drop the future, the stream is dropped too.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<WebSocket<S>, Error> {
    accept_with(stream, &Acceptor::new(), Config::shared()).await
}

/// As [`accept`], with your own policy on origins and subprotocols, limits and times.
///
/// # Errors and cancel safety
/// As [`accept`].
pub async fn accept_with<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    acceptor: &Acceptor,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    FuturesIo::new(stream).accept_with(acceptor, config).await
}

/// Reads a client's request and leaves the answer to you: see [`Upgrade`].
///
/// # Errors and cancel safety
/// As [`accept`].
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<Upgrade<S>, Error> {
    FuturesIo::new(stream).upgrade(config).await
}

/// As [`upgrade`], for a port that also serves plain HTTP, such as pages and health checks. You get a
/// GET or HEAD request that has nothing to do with WebSocket: see
/// [`UpgradeOrHttp`](asynchronous::UpgradeOrHttp).
///
/// A request with only a part of an upgrade is refused. A proxy may have dropped the rest, and the
/// client should know.
///
/// # Errors and cancel safety
/// As [`accept`].
pub async fn upgrade_or_http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<UpgradeOrHttp<S>, Error> {
    FuturesIo::new(stream).upgrade_or_http(config).await
}

/// As [`upgrade`], for a request that your HTTP server has read and parsed, so that HTTP and WebSocket
/// can share a port. `unread` has the bytes that it read after the head.
pub fn upgrade_parsed<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: UpgradeRequest,
    unread: impl Into<Vec<u8>>,
    config: impl Into<Arc<Config>>,
) -> Upgrade<S> {
    FuturesIo::new(stream).upgrade_parsed(request, unread, config)
}

/// The functions of this module, for a stream with its own timer.
impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> FuturesIo<S, T> {
    /// As [`client`], with the same errors and cancel safety.
    pub async fn client(
        self,
        request: impl Into<Request>,
        config: impl Into<Arc<Config>>,
    ) -> Result<WebSocket<S, T>, Error> {
        WebSocket::open(Opening::new(self, config.into()), request.into()).await
    }

    /// As [`accept_with`], with the same errors and cancel safety.
    pub async fn accept_with(
        self,
        acceptor: &Acceptor,
        config: impl Into<Arc<Config>>,
    ) -> Result<WebSocket<S, T>, Error> {
        let config = config.into();
        // In a box of its own, so that a task that then serves the connection has a third of the size.
        Box::pin(async { self.upgrade(config).await?.answer(acceptor).await }).await
    }

    /// As [`upgrade`](fn@upgrade), with the same errors and cancel safety.
    pub async fn upgrade(self, config: impl Into<Arc<Config>>) -> Result<Upgrade<S, T>, Error> {
        let mut opening = Opening::new(self, config.into());
        let request = Box::pin(opening.request()).await?;
        Ok(Upgrade::new(opening, request))
    }

    /// As [`upgrade_or_http`](fn@upgrade_or_http), with the same errors and cancel safety.
    pub async fn upgrade_or_http(
        self,
        config: impl Into<Arc<Config>>,
    ) -> Result<UpgradeOrHttp<S, T>, Error> {
        UpgradeOrHttp::read(Opening::new(self, config.into())).await
    }

    /// As [`upgrade_parsed`].
    pub fn upgrade_parsed(
        self,
        request: UpgradeRequest,
        unread: impl Into<Vec<u8>>,
        config: impl Into<Arc<Config>>,
    ) -> Upgrade<S, T> {
        let opening = Opening::new(self, config.into()).with_unread(unread.into());
        Upgrade::new(opening, request)
    }

    /// As [`WebSocket::from_parts`].
    pub fn adopt(
        self,
        role: Role,
        config: impl Into<Arc<Config>>,
        unread: impl Into<Vec<u8>>,
    ) -> WebSocket<S, T> {
        WebSocket::adopt(self, role, config, unread)
    }
}
