//! WebSocket on tokio, over any `AsyncRead` + `AsyncWrite`.
//!
//! Use [`connect`] in a client and [`accept`] in a server. See [`WebSocket`](asynchronous::WebSocket) for
//! everything that you can do with a connection.
//!
//! ```no_run
//! # async fn run() -> Result<(), fullduplex::Error> {
//! let mut ws = fullduplex::tokio::connect("ws://127.0.0.1:9001/").await?;
//! ws.send("hello").await?;
//! if let Some(message) = ws.recv().await? {
//!     println!("{:?}", message.as_text());
//! }
//! ws.close(fullduplex::CloseCode::NORMAL).await?;
//! # Ok(()) }
//! ```
//!
//! # Deadlines
//! Build your runtime with timers (`enable_time` or `enable_all`). Without them, opening a connection
//! fails with a clear error. Tokio's own panic is caught for that, so its message is printed, and with
//! `panic = "abort"` it ends the program. See [when deadlines run](crate::asynchronous#deadlines).
//!
//! A connection over a stream that belongs to no runtime, such as one in memory, can go on in another
//! runtime after its first one has ended.
//!
//! # Two tasks
//! [`WebSocket::split`](crate::asynchronous::WebSocket::split) gives a [`Reader`] and a [`Writer`]
//! for two tasks. You can clone the writer.
//!
//! ```no_run
//! # async fn run() -> Result<(), fullduplex::Error> {
//! use fullduplex::CloseCode;
//!
//! let ws = fullduplex::tokio::connect("ws://127.0.0.1:9001/").await?;
//! let (mut reader, writer) = ws.split();
//! let printing = tokio::spawn(async move {
//!     while let Some(message) = reader.recv().await? {
//!         println!("{:?}", message.as_text());
//!     }
//!     Ok::<(), fullduplex::Error>(())
//! });
//! writer.send("hello").await?;
//! writer.close(CloseCode::NORMAL).await?; // `printing` ends when the server has answered
//! # Ok(()) }
//! ```
//!
//! A [`WebSocket`] is also a `Stream` and a `Sink`, so `futures_util::StreamExt::split` works too.
//!
//! Two peers can wait for each other: both in [`WebSocket::send`](crate::asynchronous::WebSocket::send),
//! with full buffers, and neither receives. Only keepalive or a deadline ends that. Let one of them
//! receive in a task of its own.

mod stream;

pub use crate::asynchronous::SlowConsumer;
pub use stream::{ClientStream, TokioIo};

use crate::{
    Config, Error, Role, Time, asynchronous,
    handshake::{Acceptor, Request, UpgradeRequest},
    io::{Opening, SendFragments, dial_share, dial_target, not_dialled, send_reader},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    future::poll_fn,
    mem,
    net::SocketAddr,
    pin::pin,
    task::{Poll, ready},
};
use std::io;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};

/// A WebSocket connection over a tokio stream: see [`asynchronous::WebSocket`].
pub type WebSocket<S> = asynchronous::WebSocket<TokioIo<S>>;

/// The half of a connection that receives: see [`asynchronous::Reader`].
pub type Reader<S> = asynchronous::Reader<TokioIo<S>>;

/// The half of a connection that sends: see [`asynchronous::Writer`].
pub type Writer<S> = asynchronous::Writer<TokioIo<S>>;

/// A group of connections that get the same messages: see [`asynchronous::Broadcast`].
pub type Broadcast<S> = asynchronous::Broadcast<TokioIo<S>>;

/// A membership in a group: see [`asynchronous::Member`].
pub type Member<S> = asynchronous::Member<TokioIo<S>>;

/// A client's request that waits for your answer: see [`asynchronous::Upgrade`].
pub type Upgrade<S> = asynchronous::Upgrade<TokioIo<S>>;

/// A request on a port that also serves plain HTTP: see [`asynchronous::UpgradeOrHttp`].
pub type UpgradeOrHttp<S> = asynchronous::UpgradeOrHttp<TokioIo<S>>;

/// A plain HTTP request that waits for your answer: see [`asynchronous::UpgradeOrHttp`].
pub type HttpExchange<S> = asynchronous::HttpExchange<TokioIo<S>>;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Makes a connection of a stream whose opening handshake you did elsewhere. `unread` has the
    /// bytes that you read after the handshake.
    pub fn from_parts(
        stream: S,
        role: Role,
        config: impl Into<Arc<Config>>,
        unread: impl Into<Vec<u8>>,
    ) -> Self {
        Self::adopt(TokioIo::new(stream), role, config, unread)
    }

    /// Sends everything that a reader gives as one binary message, and returns the number of bytes.
    ///
    /// Each read, of at most 64 KiB, becomes a fragment that is sent as by
    /// [`send_fragment`](asynchronous::WebSocket::send_fragment); an empty one ends the message. So no
    /// byte waits for later ones, and only one buffer is held. See
    /// [messages too large to hold](asynchronous#messages-too-large-to-hold).
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::tokio::connect("ws://127.0.0.1:9001/").await?;
    /// let bytes = ws.send_reader(tokio::fs::File::open("large").await?).await?;
    /// # println!("{bytes}"); Ok(()) }
    /// ```
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
        send_all(&mut self.driver, reader).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<S> {
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
        send_all(&mut self.fragments(), reader).await
    }
}

async fn send_all(to: &mut impl SendFragments, reader: impl AsyncRead) -> Result<u64, Error> {
    let mut reader = pin!(reader);
    send_reader(to, |cx, buffer| stream::poll_read(reader.as_mut(), cx, buffer)).await
}

/// Connects to a `ws` URL over TCP, with `TCP_NODELAY`, and does the opening handshake.
///
/// Give it a URL, or a [`Request`] with headers and subprotocols. User name and password in the URL
/// become an `Authorization` header. The addresses of a name are tried in order and share the time that
/// is left: the first of two gets half of it. To change limits and times use [`connect_with`].
///
/// # Errors
/// - [`Error::Request`] or [`Error::TlsUnavailable`], before anything is dialled.
/// - [`Error::Io`] if no address answers.
/// - [`Error::Handshake`] if the server does not open the connection.
/// - [`Error::Timeout`] after [`Config::handshake_timeout`], which includes name lookup and dialling.
///
/// # Cancel safety
/// Not safe: if you drop the future, the stream is dropped too.
pub async fn connect(request: impl Into<Request>) -> Result<WebSocket<ClientStream>, Error> {
    connect_with(request, Config::shared()).await
}

/// As [`connect`], with limits and times of your own.
///
/// # Errors and cancel safety
/// As [`connect`].
pub async fn connect_with(
    request: impl Into<Request>,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<ClientStream>, Error> {
    let (request, config) = (request.into(), config.into());
    let url = dial_target(&request)?;
    let mut clock = TokioIo::new(());
    let deadline = Time::EPOCH + config.handshake_timeout;
    let lookup = lookup_host((url.host(), url.port()));
    let addresses = match within(&mut clock, deadline, lookup).await? {
        Some(addresses) => addresses?.collect(),
        None => return Err(not_dialled(None, true)),
    };
    let stream = dial(&mut clock, deadline, addresses, TcpStream::connect).await?;
    stream.set_nodelay(true)?;
    let io = clock.with_stream(ClientStream::Tcp(stream));
    WebSocket::open(Opening::since(Time::EPOCH, io, config), request).await
}

/// Dials one address after the other. Each gets a share of the time.
async fn dial<S, F: Future<Output = io::Result<S>>>(
    clock: &mut TokioIo<()>,
    deadline: Time,
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<S, Error> {
    let mut last = None;
    for (i, address) in addresses.iter().enumerate() {
        let now = clock.time();
        let share = dial_share(deadline.saturating_since(now), addresses.len() - i);
        match within(clock, now + share, connect(*address)).await? {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = Some(error),
            None => {}
        }
    }
    Err(not_dialled(last, clock.time() >= deadline))
}

/// The output of a future, or `None` once `deadline` has passed. The future is polled in one more turn
/// after that, because a task that has used up its turn may not see that the future is ready.
async fn within<T>(
    clock: &mut TokioIo<()>,
    deadline: Time,
    future: impl Future<Output = T>,
) -> Result<Option<T>, Error> {
    let mut future = pin!(future);
    let mut late = false;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(output)));
        }
        ready!(clock.poll_clock(cx, deadline))?;
        if mem::replace(&mut late, true) {
            return Poll::Ready(Ok(None));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Opens a connection as a client, over a stream that is connected already, such as a TLS stream.
///
/// # Errors
/// As [`connect`], without those of dialling.
///
/// # Cancel safety
/// Not safe: if you drop the future, the stream is dropped too.
pub async fn client<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: impl Into<Request>,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    WebSocket::open(Opening::new(TokioIo::new(stream), config.into()), request.into()).await
}

/// Accepts a connection as a server, over a stream of which nothing was read yet.
///
/// Set `TCP_NODELAY` on the stream. Without it TCP holds small messages back.
///
/// This loop accepts for ever. It shows the error of each connection, and pauses when there are no file
/// descriptors left:
///
/// ```no_run
/// # use fullduplex::{Error, tokio::accept};
/// # use tokio::net::{TcpListener, TcpStream};
/// # async fn serve(stream: TcpStream) -> Result<(), Error> {
/// #     accept(stream).await?.run(|message, out| out.feed(message)).await
/// # }
/// # async fn listen(listener: TcpListener) {
/// loop {
///     match listener.accept().await {
///         Ok((stream, peer)) => _ = tokio::spawn(async move {
///             if let Err(error) = serve(stream).await {
///                 eprintln!("{peer}: {error}");
///             }
///         }),
///         Err(error) => {
///             eprintln!("cannot accept: {error}");
///             tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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
    let config = config.into();
    // In a box of its own, so that a task that then serves the connection has a third of the size.
    Box::pin(async { upgrade(stream, config).await?.answer(acceptor).await }).await
}

/// Reads a client's request and leaves the answer to you: see [`Upgrade`].
///
/// # Errors and cancel safety
/// As [`accept`].
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<Upgrade<S>, Error> {
    let mut opening = Opening::new(TokioIo::new(stream), config.into());
    let request = Box::pin(opening.request()).await?;
    Ok(Upgrade::new(opening, request))
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
    UpgradeOrHttp::read(Opening::new(TokioIo::new(stream), config.into())).await
}

/// As [`upgrade`], for a request that your HTTP server has read and parsed, so that HTTP and WebSocket
/// can share a port. `unread` has the bytes that it read after the head.
pub fn upgrade_parsed<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: UpgradeRequest,
    unread: impl Into<Vec<u8>>,
    config: impl Into<Arc<Config>>,
) -> Upgrade<S> {
    let opening = Opening::new(TokioIo::new(stream), config.into()).with_unread(unread.into());
    Upgrade::new(opening, request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimeoutError;
    use ::tokio::time::{Instant, advance};
    use core::{future::pending, time::Duration};

    const SECOND: Duration = Duration::from_secs(1);

    /// The behaviour of an address when it is dialled.
    #[derive(Clone, Copy, Debug)]
    enum Address {
        Hole,
        Refuses,
        Answers,
        AnswersAfter(u64),
    }

    /// Dials, with ten seconds in all. Gives the result and the seconds that it took.
    async fn dialled(addresses: &[Address]) -> (Result<usize, Error>, f64) {
        let start = Instant::now();
        let mut clock = TokioIo::new(());
        let listed = (0..addresses.len()).map(|i| SocketAddr::from(([127, 0, 0, 1], i as u16)));
        let connect = |address: SocketAddr| {
            let i = usize::from(address.port());
            let address = addresses[i];
            async move {
                match address {
                    Address::Hole => pending().await,
                    Address::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                    Address::Answers => Ok(i),
                    Address::AnswersAfter(seconds) => {
                        ::tokio::time::sleep(SECOND * seconds as u32).await;
                        Ok(i)
                    }
                }
            }
        };
        let deadline = Time::EPOCH + 10 * SECOND;
        let result = dial(&mut clock, deadline, listed.collect(), connect).await;
        (result, start.elapsed().as_secs_f64())
    }

    /// D19: an address that does not answer leaves time for the next ones.
    #[::tokio::test(start_paused = true)]
    async fn addresses_share_the_time() {
        use Address::{Answers, AnswersAfter, Hole, Refuses};
        let cases: [(&[Address], usize, f64); 7] = [
            (&[Answers, Hole], 0, 0.0),
            (&[Hole, Answers], 1, 5.0),
            (&[Refuses, Answers], 1, 0.0),
            (&[Hole, Hole, Answers], 2, 20.0 / 3.0),
            (&[Hole, AnswersAfter(4)], 1, 9.0),
            (&[AnswersAfter(9)], 0, 9.0),
            (&[Refuses, AnswersAfter(9)], 1, 9.0),
        ];
        for (addresses, answered, after) in cases {
            let (result, seconds) = dialled(addresses).await;
            assert_eq!(result.unwrap(), answered, "{addresses:?}");
            assert!((seconds - after).abs() < 0.01, "{addresses:?}: {seconds} s");
        }
    }

    /// D19, D26: the last error, unless it is the time that is up.
    #[::tokio::test(start_paused = true)]
    async fn none_answers() {
        use Address::{AnswersAfter, Hole, Refuses};
        for addresses in [&[Hole][..], &[Refuses, Hole], &[Hole, Hole], &[AnswersAfter(11)]] {
            let (result, seconds) = dialled(addresses).await;
            let timeout = matches!(result, Err(Error::Timeout(TimeoutError::Handshake)));
            assert!(timeout, "{addresses:?}: {result:?}");
            assert!((10.0..10.01).contains(&seconds), "{addresses:?}: {seconds} s");
        }
        for (addresses, after) in [(&[Refuses][..], 0.0), (&[Hole, Refuses], 5.0)] {
            let (result, seconds) = dialled(addresses).await;
            let Err(Error::Io(error)) = result else { panic!("{addresses:?}: {result:?}") };
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!((seconds - after).abs() < 0.01, "{addresses:?}: {seconds} s");
        }
        let (result, _) = dialled(&[]).await;
        assert!(matches!(result, Err(Error::Io(_))), "{result:?}");
        // With a clock that has no time left.
        advance(SECOND).await;
        let mut clock = TokioIo::new(());
        let addresses = Vec::from([SocketAddr::from(([127, 0, 0, 1], 1))]);
        let dial = dial(&mut clock, Time::EPOCH, addresses, |_| pending::<io::Result<()>>());
        assert!(matches!(dial.await, Err(Error::Timeout(TimeoutError::Handshake))));
    }
}
