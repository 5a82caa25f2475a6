//! A connection over a blocking stream.

use super::stream::{BlockingIo, Timeouts};
use crate::{
    Closed, Config, Error, Event, IntoCloseFrame, IntoMessage, Message, Parts, ReceivedMessage,
    Responder, Role, SendError, Stats,
    handshake::{AcceptPolicy, Acceptance, Request, Response, UpgradeRequest},
    io::{Control, Driver, Opened, Opening, ReadBuffer, block_on},
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};
use std::io::{Read, Write};

/// A WebSocket connection over a blocking stream.
///
/// Dropping it drops the stream, without a Close frame: [`close`](Self::close) first.
///
/// See [the module](super) for deadlines and threads.
pub struct WebSocket<S> {
    pub(super) driver: Driver<BlockingIo<S>>,
    pub(super) opened: Opened,
}

impl<S: Read + Write + Timeouts> WebSocket<S> {
    /// The next message, or `None` once the connection was closed cleanly: [`closed`](Self::closed)
    /// says with which code. What was fed is written before this waits. Pings are answered and the
    /// closing handshake is completed on the way.
    ///
    /// # Errors
    /// [`Error`] when the connection ended in any other way, once; after that, `None`.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.block(Driver::poll_recv)
    }

    /// Sends a message, which can be [many things](IntoMessage): queues it and writes it, with
    /// everything queued before. With
    /// [`FlushPolicy::BeforeWait`](crate::FlushPolicy::BeforeWait) it only queues, unless the
    /// backlog is over the mark.
    ///
    /// [A table](crate::guide::backpressure) has what this and other calls do on a peer that takes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Send`] if it was not accepted, [`Error::Io`] if the stream failed,
    /// [`Error::Timeout`] if the peer takes nothing; and [why](Error) the connection is over, if it
    /// is: [`Error::Closed`] has the code and reason of a peer that has closed it.
    pub fn send(&mut self, message: impl IntoMessage) -> Result<(), Error> {
        self.ready()?;
        self.driver.feed(message)?;
        if self.driver.sends_strictly() { self.flush() } else { Ok(()) }
    }

    /// Queues a message, to be written by the next [`flush`](Self::flush) or before the next
    /// receive waits.
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed, or
    /// [`Config::unsent_limit`] bytes wait to be written.
    pub fn feed(&mut self, message: impl IntoMessage) -> Result<(), SendError> {
        self.driver.feed(message)
    }

    /// Writes all that is queued and flushes the stream.
    ///
    /// # Errors
    /// [`Error::Io`] if the stream failed, [`Error::Timeout`] if the peer takes nothing.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.block(Driver::poll_flush)
    }

    /// Waits until there is room for a message: until fewer than
    /// [`Config::unsent_high_water`] bytes wait to be written.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ready(&mut self) -> Result<(), Error> {
        self.block(Driver::poll_ready)
    }

    /// Closes the connection: sends a Close frame, waits for the peer's, at most
    /// [`Config::close_timeout`], and ends the stream in the right order. Messages that still come
    /// are discarded, of any size, and not inflated. If the connection is closing or closed already,
    /// this sees it to its end.
    ///
    /// See the [table of outcomes](crate::guide::closing) for each thing that the peer can do.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed. Any other if the
    /// end was not clean.
    pub fn close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        let frame = frame.into_close_frame()?;
        self.block(|driver, cx| driver.poll_close(cx, &frame))
    }

    /// Starts the closing handshake and does not wait for its end (RFC 6455 §7.1.2): queues a Close
    /// frame behind all messages. It is written by the next [`flush`](Self::flush) or before the
    /// next receive waits. Messages that come before the peer's Close are still received. Does
    /// nothing if the connection is closing already.
    ///
    /// The peer has [`Config::close_timeout`] for its answer, from the next call on; go on
    /// receiving until there is `None`, or [`close`](Self::close).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::blocking::connect("ws://127.0.0.1:9001/")?;
    /// ws.start_close(fullduplex::CloseCode::NORMAL)?;
    /// while let Some(message) = ws.recv()? {
    ///     println!("{message}");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed.
    pub fn start_close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        self.driver.start_close(&frame.into_close_frame()?);
        Ok(())
    }

    /// As [`recv`](Self::recv), with pings, pongs and the peer's Close as events too.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.block(Driver::poll_event)
    }

    /// Calls `handle` with each message until the connection is closed. The message is borrowed
    /// from the read buffer, so a small one costs no allocation, and what the handler feeds is
    /// written once per read: the fastest way to serve.
    ///
    /// ```no_run
    /// # use std::net::TcpListener;
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// # let (stream, _) = TcpListener::bind("127.0.0.1:0")?.accept()?;
    /// let mut ws = fullduplex::blocking::accept(stream)?;
    /// ws.run(|message, out| out.feed(message))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv); and the first error of `handle`, which may be one of its own
    /// ([`Error::other`]), after which the connection is still there. An error that says that
    /// nothing can be sent any more does not end this: the handler is called on with what has come,
    /// and then this says how the connection ended.
    pub fn run(
        &mut self,
        mut handle: impl FnMut(ReceivedMessage<'_>, &mut Responder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut late = None;
        self.block(|driver, cx| driver.poll_run(cx, &mut late, &mut handle))
    }

    /// Receives and discards all that comes until the connection is over: for a connection that
    /// only sends, or has nothing more to learn. Pings are answered and deadlines run meanwhile.
    /// Messages are
    /// neither held nor inflated, so limits on them do not hold.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::blocking::connect("ws://127.0.0.1:9001/")?;
    /// ws.send("the last word")?;
    /// ws.drain() // until the server closes
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn drain(&mut self) -> Result<(), Error> {
        self.block(Driver::poll_drain)
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 §5.5.2). Its pong shows in
    /// [`recv_event`](Self::recv_event). It may be sent behind our own Close, too, until the peer's
    /// has come.
    ///
    /// # Errors
    /// [`Error::Ping`] if it is longer, otherwise as [`send`](Self::send).
    pub fn ping(&mut self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::ping(payload)?)
    }

    /// Sends a pong of at most 125 bytes that answers nothing (RFC 6455 §5.5.3): a sign of life that
    /// wants no answer. Pings are answered without it. It may be sent when a [`ping`](Self::ping)
    /// may.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::pong(payload)?)
    }

    fn control(&mut self, control: Control) -> Result<(), Error> {
        self.block(Driver::poll_ready_for_control)?;
        self.driver.feed_control(&control)?;
        self.flush()
    }

    /// Whether messages can still be sent: no Close was sent or received, nothing has failed.
    pub fn is_open(&self) -> bool {
        self.driver.connection.is_open()
    }

    /// Whether there is room for a message: fewer than [`Config::unsent_high_water`] bytes wait.
    pub fn is_ready(&self) -> bool {
        self.driver.connection.is_ready()
    }

    /// What waits to be written; once the connection is over, what never was.
    pub fn unsent(&self) -> crate::Unsent {
        self.driver.connection.unsent()
    }

    /// How the connection ended; `None` while it has not.
    pub fn closed(&self) -> Option<&Closed> {
        self.driver.connection.closed()
    }

    /// What was received and sent so far, in numbers; it is there after the end too.
    pub fn stats(&self) -> Stats {
        self.driver.connection.stats()
    }

    /// How long the peer took to answer the newest keepalive ping that it has answered; `None`
    /// before the first. A pong that comes while no call receives is measured when one does: see
    /// [`Connection::round_trip`](crate::Connection::round_trip).
    pub fn round_trip(&self) -> Option<Duration> {
        self.driver.connection.round_trip()
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.opened.subprotocol()
    }

    /// The server's response, on a client.
    pub fn response(&self) -> Option<&Response> {
        self.opened.response()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.driver.connection.role()
    }

    /// The stream, for its addresses and options. Do not read from it or write to it, and leave its
    /// timeouts alone.
    pub fn get_ref(&self) -> &S {
        &self.driver.io.stream
    }

    /// Adopts a stream on which the opening handshake was done elsewhere; `unread` are bytes that
    /// were read behind it.
    pub fn from_parts(
        stream: S,
        role: Role,
        config: impl Into<Arc<Config>>,
        unread: impl Into<Vec<u8>>,
    ) -> Self {
        let unread = ReadBuffer::with_bytes(unread.into());
        let driver = Driver::new(BlockingIo::new(stream), role, config.into(), unread);
        Self { driver, opened: Opened::default() }
    }

    /// Takes the connection apart. [`from_parts`](Self::from_parts) starts a new connection: go on
    /// with this one by hand, through [`Parts::connection`].
    pub fn into_parts(self) -> Parts<S> {
        self.driver.into_parts(BlockingIo::into_stream)
    }

    pub(super) fn open(opening: Opening<BlockingIo<S>>, request: Request) -> Result<Self, Error> {
        let (driver, response) = block_on(opening.client(request))?;
        Ok(Self { driver, opened: Opened::client(response) })
    }

    fn accepted((driver, response): (Driver<BlockingIo<S>>, Response)) -> Self {
        Self { driver, opened: Opened::server(&response) }
    }

    /// Drives the connection, which waits inside its calls.
    pub(super) fn block<R>(
        &mut self,
        mut poll: impl FnMut(&mut Driver<BlockingIo<S>>, &mut Context<'_>) -> Poll<R>,
    ) -> R {
        block_on(poll_fn(|cx| poll(&mut self.driver, cx)))
    }
}

impl<S: fmt::Debug> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("stream", &self.driver.io.stream)
            .field("connection", &self.driver.connection)
            .finish_non_exhaustive()
    }
}

/// A client's request that waits for its answer.
///
/// ```no_run
/// use fullduplex::{Config, blocking, handshake::{Acceptance, Response}};
/// # use std::net::TcpListener;
/// # fn main() -> Result<(), fullduplex::Error> {
/// # let (stream, _) = TcpListener::bind("127.0.0.1:0")?.accept()?;
///
/// let upgrade = blocking::upgrade(stream, Config::default())?;
/// if upgrade.request().path() != "/chat" {
///     return upgrade.reject(&Response::new(404));
/// }
/// let mut ws = upgrade.accept(&Acceptance::new())?;
/// # ws.send("hello") }
/// ```
pub struct Upgrade<S> {
    opening: Opening<BlockingIo<S>>,
    request: UpgradeRequest,
}

impl<S: Read + Write + Timeouts> Upgrade<S> {
    pub(super) fn new(opening: Opening<BlockingIo<S>>, request: UpgradeRequest) -> Self {
        Self { opening, request }
    }

    /// What the client asks for.
    pub fn request(&self) -> &UpgradeRequest {
        &self.request
    }

    /// Opens the connection. However long you took to decide, the answer has two seconds of its own to
    /// be written.
    ///
    /// # Errors
    /// [`Error::Acceptance`] if the answer does not fit the request: the client was told that the
    /// server is at fault, with status 500. [`Error::Timeout`] if the client does not take it in time,
    /// [`Error::Io`] if the stream failed.
    pub fn accept(self, acceptance: &Acceptance) -> Result<WebSocket<S>, Error> {
        block_on(self.opening.accept(&self.request, acceptance)).map(WebSocket::accepted)
    }

    /// Answers as a policy says.
    ///
    /// # Errors
    /// As [`accept`](super::accept).
    pub fn answer(self, acceptor: &AcceptPolicy) -> Result<WebSocket<S>, Error> {
        block_on(self.opening.answer(&self.request, acceptor)).map(WebSocket::accepted)
    }

    /// Turns the request down with an HTTP response of any status but 101, and ends the stream. As for
    /// [`accept`](Self::accept), it has two seconds of its own.
    ///
    /// # Errors
    /// [`Error::Response`] if the response cannot be used, such as a 101 of another request: the client
    /// was told that the server is at fault, with status 500. [`Error::Io`] if the stream failed.
    pub fn reject(mut self, response: &Response) -> Result<(), Error> {
        block_on(self.opening.reject(response))
    }
}

impl<S> fmt::Debug for Upgrade<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("request", &self.request).finish_non_exhaustive()
    }
}
