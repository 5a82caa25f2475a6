//! WebSocket over the streams of smol and every other runtime: any [`AsyncRead`] + [`AsyncWrite`]
//! of the crate `futures-io`.
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
//! Dialling is the runtime's, as above; a URL says where to by
//! [`Url::host`](crate::handshake::Url::host) and [`port`](crate::handshake::Url::port). The
//! handshake has [`Config::handshake_timeout`], which does not include it.
//!
//! # Timers
//! Every runtime has timers of its own. [`DefaultTimer`] works in all of them: one thread for the
//! process, which the first deadline starts. To have those of the runtime, or a clock that tests
//! move (the feature `testing` has one, `testing::Clock`), implement [`Timer`] and open the connection
//! through [`FuturesIo::with_timer`].
//! [Here](crate::asynchronous#deadlines) is when deadlines run.
//!
//! # What `poll_close` of a stream has to do
//! It ends the write side, so that the peer sees the end of the stream, and leaves the read side
//! open: `smol::net::TcpStream` and `async_net::TcpStream` do that, and TLS streams over them. A bare
//! `async_io::Async<TcpStream>` only flushes: a server's closing handshake over it then waits for the
//! client to hang up, [`Config::close_timeout`] at most, and a client that keeps to RFC 6455
//! §7.1.1 waits for the server. One that ends the read side too costs no message, since both Close
//! frames are through by then, but the response to a request that was turned down may be lost.
//!
//! # Two tasks
//! [`WebSocket::split`](crate::asynchronous::WebSocket::split) gives a [`Reader`] and a [`Writer`]
//! that go to tasks of their own; the writer can be cloned. A [`WebSocket`] is also a `Stream` and a
//! `Sink`, so `futures_util::StreamExt::split` works, too.
//!
//! Two peers that both wait in [`WebSocket::send`](crate::asynchronous::WebSocket::send), each with
//! full buffers and nobody receiving, wait for ever, unless keepalive or a deadline ends it: let one
//! of them receive, in a task of its own.
//!
//! # Fairness
//! A connection that is always ready lets other tasks run now and then, which few runtimes see to by
//! themselves: [how often](crate::asynchronous#fairness).

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

/// A WebSocket connection over a stream of `futures-io`: see [`asynchronous::WebSocket`] for what it
/// can do.
pub type WebSocket<S, T = DefaultTimer> = asynchronous::WebSocket<FuturesIo<S, T>>;

/// The half of a connection that receives: see [`asynchronous::Reader`].
pub type Reader<S, T = DefaultTimer> = asynchronous::Reader<FuturesIo<S, T>>;

/// The half of a connection that sends: see [`asynchronous::Writer`].
pub type Writer<S, T = DefaultTimer> = asynchronous::Writer<FuturesIo<S, T>>;

/// A group of connections that all get the same messages: see [`asynchronous::Broadcast`].
pub type Broadcast<S, T = DefaultTimer> = asynchronous::Broadcast<FuturesIo<S, T>>;

/// A membership in a group: see [`asynchronous::Member`].
pub type Member<S, T = DefaultTimer> = asynchronous::Member<FuturesIo<S, T>>;

/// A client's request that waits for its answer: see [`asynchronous::Upgrade`].
pub type Upgrade<S, T = DefaultTimer> = asynchronous::Upgrade<FuturesIo<S, T>>;

/// What a client asked for, where plain HTTP may come on the same port: see
/// [`asynchronous::UpgradeOrHttp`].
pub type UpgradeOrHttp<S, T = DefaultTimer> = asynchronous::UpgradeOrHttp<FuturesIo<S, T>>;

/// A request of plain HTTP that waits for its answer: see [`asynchronous::UpgradeOrHttp`].
pub type HttpExchange<S, T = DefaultTimer> = asynchronous::HttpExchange<FuturesIo<S, T>>;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Adopts a stream on which the opening handshake was done elsewhere; `unread` are bytes that
    /// were read behind it.
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
    /// Sends all that a reader gives as one binary message: how many bytes that were. What one read
    /// gives, at most 64 KiB, is a fragment, sent as
    /// [`send_fragment`](asynchronous::WebSocket::send_fragment) does it; the end is an empty
    /// one. So nothing waits for what comes later, and one buffer is all that is held. See
    /// [here](asynchronous#messages-too-large-to-hold) for what holds meanwhile.
    ///
    /// # Errors
    /// As [`send_fragment`](asynchronous::WebSocket::send_fragment); and [`Error::Other`] with the
    /// reader's [`io::Error`](std::io::Error), after which the message is unfinished.
    ///
    /// # Cancel safety
    /// If it is dropped, all that the reader has given is queued. While
    /// [`is_in_fragments`](asynchronous::WebSocket::is_in_fragments), calling this again with the
    /// same reader goes on.
    pub async fn send_reader(&mut self, reader: impl AsyncRead) -> Result<u64, Error> {
        let mut reader = pin!(reader);
        send_reader(&mut self.driver, |cx, buffer| reader.as_mut().poll_read(cx, buffer)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> Writer<S, T> {
    /// Sends all that a reader gives as one binary message, as [`WebSocket::send_reader`] does it.
    /// Messages of other clones of this writer wait for its end.
    ///
    /// # Errors
    /// As [`WebSocket::send_reader`].
    ///
    /// # Cancel safety
    /// If it is dropped, all that the reader has given is queued, and calling this again with the
    /// same reader goes on.
    pub async fn send_reader(&self, reader: impl AsyncRead) -> Result<u64, Error> {
        let mut reader = pin!(reader);
        send_reader(&mut self.fragments(), |cx, buffer| reader.as_mut().poll_read(cx, buffer)).await
    }
}

/// Opens a connection, as a client, over a stream that is connected already.
///
/// Takes a URL or a [`Request`], which adds headers and subprotocols. User name and password in
/// the URL become an `Authorization` header. Of a `wss` URL the stream has to be a TLS one.
///
/// # Errors
/// [`Error::Request`] before anything is sent, [`Error::Handshake`] if the server does not open
/// the connection, [`Error::Timeout`] after [`Config::handshake_timeout`], [`Error::Io`] if the stream
/// fails.
///
/// # Cancel safety
/// Not safe: if it is dropped, so is the stream.
pub async fn client<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: impl Into<Request>,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    FuturesIo::new(stream).client(request, config).await
}

/// Accepts a connection, as a server, over a stream on which nothing was read yet.
///
/// Set `TCP_NODELAY` on the stream: without it TCP holds small messages back.
///
/// A server accepts for ever. When it is out of descriptors, it waits for a moment:
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
/// [`Error::Rejected`] if the request is not one to accept: the client was told which HTTP status
/// it earned. After [`Config::handshake_timeout`] that is 408.
///
/// # Cancel safety
/// As for [`client`].
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<WebSocket<S>, Error> {
    accept_with(stream, &Acceptor::new(), Config::shared()).await
}

/// As [`accept`], with a policy on origins and subprotocols, and with limits and times.
///
/// # Errors
/// As [`accept`].
///
/// # Cancel safety
/// As for [`client`].
pub async fn accept_with<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    acceptor: &Acceptor,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    FuturesIo::new(stream).accept_with(acceptor, config).await
}

/// Reads a client's request and leaves the answer to the caller: see [`Upgrade`].
///
/// # Errors
/// As [`accept`].
///
/// # Cancel safety
/// As for [`client`].
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<Upgrade<S>, Error> {
    FuturesIo::new(stream).upgrade(config).await
}

/// As [`upgrade`], where plain HTTP may come on the same port, for pages and health checks: a GET or
/// HEAD that has nothing to do with WebSocket is given out and not refused. See
/// [`UpgradeOrHttp`](asynchronous::UpgradeOrHttp).
///
/// One that has something of an upgrade is refused as before. A proxy may have dropped the rest, and
/// the client should be told.
///
/// # Errors
/// As [`accept`].
///
/// # Cancel safety
/// As for [`client`].
pub async fn upgrade_or_http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<UpgradeOrHttp<S>, Error> {
    FuturesIo::new(stream).upgrade_or_http(config).await
}

/// As [`upgrade`], for a request that somebody else has read from the stream and parsed, so that
/// plain HTTP and WebSocket can share a port. `unread` are bytes that were read behind its head.
pub fn upgrade_parsed<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: UpgradeRequest,
    unread: impl Into<Vec<u8>>,
    config: impl Into<Arc<Config>>,
) -> Upgrade<S> {
    FuturesIo::new(stream).upgrade_parsed(request, unread, config)
}

/// The functions of this module, for a stream with a timer of its own.
impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> FuturesIo<S, T> {
    /// As [`client`].
    ///
    /// # Errors
    /// As [`client`].
    ///
    /// # Cancel safety
    /// As for [`client`].
    pub async fn client(
        self,
        request: impl Into<Request>,
        config: impl Into<Arc<Config>>,
    ) -> Result<WebSocket<S, T>, Error> {
        WebSocket::open(Opening::new(self, config.into()), request.into()).await
    }

    /// As [`accept_with`].
    ///
    /// # Errors
    /// As [`accept`].
    ///
    /// # Cancel safety
    /// As for [`client`].
    pub async fn accept_with(
        self,
        acceptor: &Acceptor,
        config: impl Into<Arc<Config>>,
    ) -> Result<WebSocket<S, T>, Error> {
        let config = config.into();
        // In a box of its own: a task that serves the connection afterwards is a third of the size.
        Box::pin(async { self.upgrade(config).await?.answer(acceptor).await }).await
    }

    /// As [`upgrade`](fn@upgrade).
    ///
    /// # Errors
    /// As [`accept`].
    ///
    /// # Cancel safety
    /// As for [`client`].
    pub async fn upgrade(self, config: impl Into<Arc<Config>>) -> Result<Upgrade<S, T>, Error> {
        let mut opening = Opening::new(self, config.into());
        let request = Box::pin(opening.request()).await?;
        Ok(Upgrade::new(opening, request))
    }

    /// As [`upgrade_or_http`](fn@upgrade_or_http).
    ///
    /// # Errors
    /// As [`accept`].
    ///
    /// # Cancel safety
    /// As for [`client`].
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
