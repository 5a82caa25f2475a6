//! A connection over an async stream.

use super::AsyncIo;
use crate::{
    CloseCode, Closed, Config, Error, Event, IntoCloseFrame, IntoMessage, Message, Parts,
    ReceivedMessage, Responder, Role, SendError, Stats,
    handshake::{Request, Response},
    io::{Control, Driver, Opened, Opening, ReadBuffer},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;

/// A WebSocket connection over an async stream.
///
/// It is a [`Stream`] of messages and a [`Sink`] for them as well; what an inherent method does
/// under the same name is the same.
///
/// Dropping it drops the stream, without a Close frame: [`close`](Self::close) first.
///
/// See [the module](super) for deadlines and cancel safety.
pub struct WebSocket<T> {
    pub(crate) driver: Driver<T>,
    pub(super) opened: Opened,
}

impl<T: AsyncIo> WebSocket<T> {
    /// The next message, or `None` once the connection was closed cleanly: [`closed`](Self::closed)
    /// says with which code. What was fed is written before this waits. Pings are answered and the
    /// closing handshake is completed on the way.
    ///
    /// # Errors
    /// [`Error`] when the connection ended in any other way, once; after that, `None`.
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, the next receive goes on where this one was.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.drive(Driver::poll_recv).await
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
    ///
    /// # Cancel safety
    /// If it is dropped while it waits for room, the message goes with it: not queued, not sent. Once
    /// there is room, it is queued, and dropping this leaves it to the next call that writes. To lose
    /// none, use [`ready`](Self::ready) and then [`feed`](Self::feed).
    pub async fn send(&mut self, message: impl IntoMessage) -> Result<(), Error> {
        self.ready().await?;
        self.driver.feed(message)?;
        if self.driver.sends_strictly() { self.flush().await } else { Ok(()) }
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
    ///
    /// # Cancel safety
    /// Safe: what is not written yet is still queued.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.drive(|driver, cx| match driver.turn_of_sends_is_over(cx) {
            true => Poll::Pending,
            false => driver.poll_flush(cx),
        })
        .await
    }

    /// Waits until there is room for a message: until fewer than
    /// [`Config::unsent_high_water`] bytes wait to be written.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Safe: nothing is lost if it is dropped.
    pub async fn ready(&mut self) -> Result<(), Error> {
        if self.is_ready() && self.driver.has_turn() {
            return Ok(());
        }
        self.drive(Driver::poll_ready).await
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
    ///
    /// # Cancel safety
    /// Safe: once polled, the Close frame is queued, and a further call of this or of
    /// [`recv`](Self::recv) sees the connection to its end. Messages stay discarded.
    pub async fn close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        let frame = frame.into_close_frame()?;
        self.drive(|driver, cx| driver.poll_close(cx, &frame)).await
    }

    /// Starts the closing handshake and does not wait for its end (RFC 6455 §7.1.2): queues a Close
    /// frame behind all messages. It is written by the next [`flush`](Self::flush) or before the
    /// next receive waits. Messages that come before the peer's Close are still received. Does
    /// nothing if the connection is closing already.
    ///
    /// The peer has [`Config::close_timeout`] for its answer, from the next call on; go on
    /// receiving until there is `None`, or [`close`](Self::close).
    ///
    /// ```
    /// use fullduplex::{CloseCode, Error, asynchronous::{AsyncIo, WebSocket}};
    ///
    /// async fn last_answers(ws: &mut WebSocket<impl AsyncIo>) -> Result<(), Error> {
    ///     ws.start_close(CloseCode::NORMAL)?;
    ///     while let Some(message) = ws.recv().await? {
    ///         println!("{message}");
    ///     }
    ///     Ok(())
    /// }
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
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, the next receive goes on where this one was.
    pub async fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.drive(Driver::poll_event).await
    }

    /// Calls `handle` with each message until the connection is closed. The message is borrowed
    /// from the read buffer, so a small one costs no allocation, and what the handler feeds is
    /// written once per read: the fastest way to serve.
    ///
    /// ```
    /// use fullduplex::{Error, asynchronous::{AsyncIo, WebSocket}};
    ///
    /// async fn echo(mut ws: WebSocket<impl AsyncIo>) -> Result<(), Error> {
    ///     ws.run(|message, out| out.feed(message)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv); and the first error of `handle`, which may be one of its own
    /// ([`Error::other`]), after which the connection is still there. An error that says that
    /// nothing can be sent any more does not end this: the handler is called on with what has come,
    /// and then this says how the connection ended.
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, every message that was read was either handled or is
    /// still there for the next receive.
    pub async fn run(
        &mut self,
        mut handle: impl FnMut(ReceivedMessage<'_>, &mut Responder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut late = None;
        self.drive(|driver, cx| driver.poll_run(cx, &mut late, &mut handle)).await
    }

    /// Receives and discards all that comes until the connection is over: for a connection that
    /// only sends, or has nothing more to learn. Pings are answered and deadlines run meanwhile.
    /// Messages are
    /// neither held nor inflated, so limits on them do not hold.
    ///
    /// ```
    /// use fullduplex::{CloseCode, Error, asynchronous::{AsyncIo, WebSocket}};
    ///
    /// async fn leave(ws: &mut WebSocket<impl AsyncIo>) -> Result<(), Error> {
    ///     ws.start_close(CloseCode::GOING_AWAY)?;
    ///     ws.drain().await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Safe. What comes later is discarded as well, whatever receives it.
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.drive(Driver::poll_drain).await
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 §5.5.2). Its pong shows in
    /// [`recv_event`](Self::recv_event). It may be sent behind our own Close, too, until the peer's
    /// has come.
    ///
    /// # Errors
    /// [`Error::Ping`] if it is longer, otherwise as [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    pub async fn ping(&mut self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::ping(payload)?).await
    }

    /// Sends a pong of at most 125 bytes that answers nothing (RFC 6455 §5.5.3): a sign of life that
    /// wants no answer. Pings are answered without it. It may be sent when a [`ping`](Self::ping)
    /// may.
    ///
    /// ```
    /// use fullduplex::{Error, asynchronous::{AsyncIo, WebSocket}};
    ///
    /// async fn alive(ws: &mut WebSocket<impl AsyncIo>) -> Result<(), Error> {
    ///     ws.pong("alive").await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    pub async fn pong(&mut self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::pong(payload)?).await
    }

    async fn control(&mut self, control: Control) -> Result<(), Error> {
        self.drive(Driver::poll_ready_for_control).await?;
        self.driver.feed_control(&control)?;
        self.flush().await
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
    pub fn get_ref(&self) -> &T::Stream {
        self.driver.io.stream()
    }

    /// Takes the connection apart. `from_parts` starts a new connection: go on
    /// with this one by hand, through [`Parts::connection`].
    pub fn into_parts(self) -> Parts<T::Stream> {
        self.driver.into_parts(T::into_stream)
    }

    /// Adopts a stream on which the opening handshake was done elsewhere.
    pub(crate) fn adopt(
        io: T,
        role: Role,
        config: impl Into<Arc<Config>>,
        unread: impl Into<Vec<u8>>,
    ) -> Self {
        let unread = ReadBuffer::with_bytes(unread.into());
        let driver = Driver::new(io, role, config.into(), unread);
        Self { driver, opened: Opened::default() }
    }

    pub(crate) async fn open(opening: Opening<T>, request: Request) -> Result<Self, Error> {
        let (driver, response) = Box::pin(opening.client(request)).await?;
        Ok(Self { driver, opened: Opened::client(response) })
    }

    pub(super) fn accepted((driver, response): (Driver<T>, Response)) -> Self {
        Self { driver, opened: Opened::server(&response) }
    }

    pub(super) async fn drive<R>(
        &mut self,
        mut poll: impl FnMut(&mut Driver<T>, &mut Context<'_>) -> Poll<R>,
    ) -> R {
        poll_fn(|cx| poll(&mut self.driver, cx)).await
    }
}

/// Messages until a clean close. An error that ends the connection is the last item;
/// [`Error::Unfinished`] does not, and comes until the message is [taken](WebSocket::recv_chunk).
impl<T: AsyncIo> Stream for WebSocket<T> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.driver.poll_recv(cx).map(Result::transpose)
    }
}

/// Over once the end was told: by `None`, or by an error that ended the connection.
impl<T: AsyncIo> FusedStream for WebSocket<T> {
    fn is_terminated(&self) -> bool {
        self.driver.has_reported_end()
    }
}

/// `close` sends a Close frame with code 1000 and sees the connection to its end, discarding what
/// still comes.
impl<T: AsyncIo> Sink<Message> for WebSocket<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.driver.poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        Ok(self.driver.feed(message)?)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.driver.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.driver.poll_close(cx, &Some(CloseCode::NORMAL.into()))
    }
}

impl<T: AsyncIo<Stream: fmt::Debug>> fmt::Debug for WebSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("stream", self.get_ref())
            .field("connection", &self.driver.connection)
            .finish_non_exhaustive()
    }
}
