//! WebSocket over blocking streams: any [`Read`] + [`Write`].
//!
//! ```no_run
//! # fn main() -> Result<(), fullduplex::Error> {
//! let mut ws = fullduplex::blocking::connect("ws://127.0.0.1:9001/")?;
//! ws.send("hello")?;
//! if let Some(message) = ws.recv()? {
//!     println!("{:?}", message.as_text());
//! }
//! ws.close(fullduplex::CloseCode::NORMAL)?;
//! # Ok(()) }
//! ```
//!
//! # Deadlines
//! Timeouts, keepalive and the closing deadline run while a call is under way: there is no
//! background thread. They are exact over a stream that can limit how long a read or a write
//! blocks, which [`Timeouts`] says how to do: `TcpStream`, `UnixStream`. Over any other stream,
//! wrapped in [`Plain`], they are checked between one read and the next, once what has arrived is
//! read, so a read that blocks for ever is not ended.
//!
//! # Streams that fail
//! What comes of a stream that fails, would block, or claims what is not so, is
//! [a table](crate::guide::faults). A call that was interrupted is repeated.
//!
//! # Messages too large to hold
//! [`WebSocket::send_iter`], [`WebSocket::send_reader`] and [`WebSocket::send_fragment`] send one
//! message in fragments (RFC 6455 §5.4), and hold no more of it than a fragment and the backlog;
//! [`WebSocket::recv_chunk`] receives a message in parts.
//!
//! If the source fails in the middle, the message is unfinished: other messages are refused with
//! [`SendErrorReason::Unfinished`](crate::SendErrorReason::Unfinished);
//! [`WebSocket::is_in_fragments`] says so. Go on with it, by any of these, with fragments of the same
//! kind; or end it as it is, by `send_fragment("", true)`, or `&[]` if it is binary; or, since the peer cannot know that something is missing, close the
//! connection, which may be done between fragments. A message that was begun by `send_fragment` is
//! gone on with in the same way: so its first fragment can say that it is not
//! to be compressed, or a head be put in front of a file.
//!
//! While fragments are sent nothing is received, so pings are not answered. Where a source may pause
//! for longer than the peer is patient, [split](WebSocket::split) the connection: the reader answers
//! while the [`Writer`] sends what the source gives.
//!
//! [`WebSocket::close`] gives the peer [`Config::close_timeout`](crate::Config::close_timeout) to take
//! what is still on its way, too: after much was sent to a slow peer, wait for its answer first.
//!
//! # Threads
//! A call of [`WebSocket`] that waits keeps the connection busy: while a thread is in
//! [`WebSocket::recv`], no other can send. Two peers that both wait in [`WebSocket::send`], each
//! with full buffers, wait for ever, unless keepalive or a deadline ends it: let one of them
//! receive. [The guide](crate::guide::backpressure) has what waits when.
//!
//! [`WebSocket::split`] makes a [`Reader`] for one thread and a [`Writer`] for any number of others,
//! none of which waits for another, over a stream that is a [`Duplex`]: `TcpStream`, `UnixStream`,
//! [`ClientStream`], references to sockets. Whichever half is in a call answers pings, keeps
//! deadlines and completes the closing handshake. It costs a lock per call. A handler that answers
//! what it is given is served faster by [`WebSocket::run`].
//!
//! There is no `Broadcast` for threads: keep the writers in a list, and send each of them one
//! [`Prepared`](crate::Prepared) message.
//!
//! A thread that waits to receive, or for the opening handshake, waits with a read buffer of 64 KiB,
//! which it keeps for its next connection. With its stack that is some 80 KiB for a thread per
//! connection: bound how many there are.

// First, as the pages of their types show the methods in this order.
mod websocket;

mod streaming;

#[cfg(feature = "deflate")]
mod deflate;
mod duplex;
mod halves;
mod http;
mod stream;

pub use duplex::Duplex;
pub use halves::{Reader, ReuniteError, Writer};
pub use http::{HttpExchange, UpgradeOrHttp};
pub use stream::{ClientStream, Plain, Timeouts};
pub use websocket::{Upgrade, WebSocket};

use crate::{
    Config, Error, Time,
    handshake::{AcceptPolicy, Request, UpgradeRequest},
    io::{Opening, block_on, dial_share, dial_target, not_dialled},
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;
use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Instant,
};
use stream::BlockingIo;

/// Connects to a `ws` URL over TCP, with `TCP_NODELAY`, and opens the connection.
///
/// Takes a URL or a [`Request`], which adds headers and subprotocols. User name and password in
/// the URL become an `Authorization` header. The addresses of a name are tried in order, and share the
/// time that is left: of two, the first has half of it. For other settings see [`connect_with`].
///
/// # Errors
/// [`Error::Request`] and [`Error::TlsUnavailable`] before anything is dialled, [`Error::Io`] if
/// no address answers, [`Error::Handshake`] if the server does not open the connection, and
/// [`Error::Timeout`] after [`Config::handshake_timeout`], which includes dialling but not the
/// name lookup: the operating system does not let that be interrupted.
pub fn connect(request: impl Into<Request>) -> Result<WebSocket<ClientStream>, Error> {
    connect_with(request, Config::shared())
}

/// As [`connect`], with limits and times.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(
    request: impl Into<Request>,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<ClientStream>, Error> {
    let (request, config) = (request.into(), config.into());
    let url = dial_target(&request)?;
    let start = Instant::now();
    let mut last = None;
    let addresses = (url.host(), url.port()).to_socket_addrs()?.collect::<Vec<_>>();
    for (i, address) in addresses.iter().enumerate() {
        let left = config.handshake_timeout.saturating_sub(start.elapsed());
        let share = dial_share(left, addresses.len() - i);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, share.max(Duration::from_nanos(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let io = BlockingIo::starting(ClientStream::Tcp(stream), start);
                return WebSocket::open(Opening::since(Time::EPOCH, io, config), request);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(not_dialled(last, start.elapsed() >= config.handshake_timeout))
}

/// Opens a connection, as a client, over a stream that is connected already.
///
/// # Errors
/// As [`connect`], save dialling.
pub fn client<S: Read + Write + Timeouts>(
    stream: S,
    request: impl Into<Request>,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    WebSocket::open(Opening::new(BlockingIo::new(stream), config.into()), request.into())
}

/// Accepts a connection, as a server, over a stream on which nothing was read yet.
///
/// Set `TCP_NODELAY` on the stream: without it TCP holds small messages back.
///
/// A server accepts for ever. When it is out of descriptors or threads, it waits for a moment:
///
/// ```no_run
/// # use fullduplex::{Error, blocking::accept};
/// # use std::{net::{TcpListener, TcpStream}, thread, time::Duration};
/// # fn serve(stream: TcpStream) -> Result<(), Error> {
/// #     accept(stream)?.run(|message, out| out.feed(message))
/// # }
/// # fn listen(listener: TcpListener) {
/// loop {
///     let served = listener.accept().and_then(|(stream, peer)| {
///         thread::Builder::new().spawn(move || {
///             if let Err(error) = serve(stream) {
///                 eprintln!("{peer}: {error}");
///             }
///         })
///     });
///     if let Err(error) = served {
///         eprintln!("cannot accept: {error}");
///         thread::sleep(Duration::from_millis(50));
///     }
/// }
/// # }
/// ```
///
/// # Errors
/// [`Error::Rejected`] if the request is not one to accept: the client was told which HTTP status
/// it earned. After [`Config::handshake_timeout`] that is 408.
pub fn accept<S: Read + Write + Timeouts>(stream: S) -> Result<WebSocket<S>, Error> {
    accept_with(stream, &AcceptPolicy::new(), Config::shared())
}

/// As [`accept`], with a policy on origins and subprotocols, and with limits and times.
///
/// # Errors
/// As [`accept`].
pub fn accept_with<S: Read + Write + Timeouts>(
    stream: S,
    acceptor: &AcceptPolicy,
    config: impl Into<Arc<Config>>,
) -> Result<WebSocket<S>, Error> {
    upgrade(stream, config)?.answer(acceptor)
}

/// Reads a client's request and leaves the answer to the caller: see [`Upgrade`].
///
/// # Errors
/// As [`accept`].
pub fn upgrade<S: Read + Write + Timeouts>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<Upgrade<S>, Error> {
    let mut opening = Opening::new(BlockingIo::new(stream), config.into());
    let request = block_on(opening.request())?;
    Ok(Upgrade::new(opening, request))
}

/// As [`upgrade`], where plain HTTP may come on the same port, for pages and health checks: a GET or
/// HEAD that has nothing to do with WebSocket is given out and not refused. See [`UpgradeOrHttp`].
///
/// One that has something of an upgrade is refused as before. A proxy may have dropped the rest, and
/// the client should be told.
///
/// # Errors
/// As [`accept`].
pub fn upgrade_or_http<S: Read + Write + Timeouts>(
    stream: S,
    config: impl Into<Arc<Config>>,
) -> Result<UpgradeOrHttp<S>, Error> {
    UpgradeOrHttp::read(Opening::new(BlockingIo::new(stream), config.into()))
}

/// As [`upgrade`], for a request that somebody else has read from the stream and parsed, so that
/// plain HTTP and WebSocket can share a port. `unread` are bytes that were read behind its head.
pub fn upgrade_parsed<S: Read + Write + Timeouts>(
    stream: S,
    request: UpgradeRequest,
    unread: impl Into<Vec<u8>>,
    config: impl Into<Arc<Config>>,
) -> Upgrade<S> {
    let opening = Opening::new(BlockingIo::new(stream), config.into()).with_unread(unread.into());
    Upgrade::new(opening, request)
}
