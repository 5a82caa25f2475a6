//! A connection in two halves, for tasks of their own.

use super::{AsyncIo, WebSocket};
use crate::{
    Chunk, CloseFrame, Closed, Error, Event, IntoCloseFrame, IntoMessage, Message, Role, SendError,
    Stats, Unsent,
    handshake::Response,
    io::{Control, Driver, Feed, Flush, Opened, PendingCall, Shared},
};
use alloc::sync::Arc;
use core::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use futures_core::{FusedStream, Stream};

/// The half of a connection that receives: see [`WebSocket::split`].
///
/// While it waits, it drives all of the connection: it answers pings, writes what the writers have
/// queued, and lets deadlines run. Dropped, it leaves that to the writers.
pub struct Reader<T> {
    half: Arc<Half<T>>,
}

/// The half of a connection that sends: see [`WebSocket::split`]. Clone it for further tasks.
///
/// Messages that several tasks send at a time go out one behind the other, never one inside another.
///
/// # Who goes first
/// When too much waits to be written, calls wait for room in one line, first come, first served:
///
/// 1. A [`ping`](Self::ping) or [`pong`](Self::pong) waits for room only. It goes in front of all
///    messages that wait, and between the fragments of a message.
/// 2. The writer in the middle of a message in fragments goes on with it in front of all others. Their
///    messages wait for its end.
/// 3. All other messages go in the order in which their calls began to wait, those of a
///    [`Broadcast`](super::Broadcast) and of the `Sink` too.
///
/// You may keep a future that waits and stop polling it: it holds up nobody. When its turn has come and
/// it does not, the next one goes. Once you poll it again, it is first in line. While no reader is in
/// [`Reader::recv`], more than a dozen of such futures in a row may keep the calls between them asleep
/// until something happens on the connection: a byte comes, a deadline passes, another call sends.
pub struct Writer<T> {
    pub(super) half: Arc<Half<T>>,
    pub(super) id: u64,
}

/// What both halves have.
pub(super) struct Half<T> {
    pub(super) shared: Shared<T>,
    role: Role,
    opened: Opened,
}

impl<T: AsyncIo> WebSocket<T> {
    /// Splits the connection into a half that receives and one that sends, to be moved to tasks or
    /// threads of their own. The one that sends can be cloned.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn serve(stream: tokio::net::TcpStream) -> Result<(), fullduplex::Error> {
    /// let (mut reader, writer) = fullduplex::tokio::accept(stream).await?.split();
    /// let ticker = tokio::spawn(async move {
    ///     while writer.send("tick").await.is_ok() {
    ///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    ///     }
    /// });
    /// while let Some(message) = reader.recv().await? {
    ///     println!("{message:?}");
    /// }
    /// # ticker.abort(); Ok(()) }
    /// ```
    ///
    /// # What runs when
    /// The halves share the stream: whichever is polled drives the connection, and the lock in
    /// between is held for one poll, never while anything waits. So a writer that waits for a peer
    /// which does not read keeps nobody from receiving, and a reader that waits keeps nobody from
    /// sending.
    ///
    /// As long as somebody is in [`Reader::recv`], it sees to everything. While nobody is, each call
    /// of a writer also answers pings and notices the peer's Close, as far as there is no data in
    /// front of them: data waits for the reader, and with it what follows. Keep one task in `recv`.
    ///
    /// Once the reader is dropped, writers discard data, and see to everything else, but only while
    /// one of their calls is under way: with a writer that sends every 30 seconds a ping waits up to
    /// 30 seconds for its pong, and the peer may give up. Where you send rarely and want no messages,
    /// keep a task in [`Reader::drain`] rather than drop the reader.
    pub fn split(self) -> (Reader<T>, Writer<T>) {
        let Self { driver, opened } = self;
        let role = driver.connection.role();
        let half = Arc::new(Half { shared: Shared::new(driver), role, opened });
        let id = half.shared.new_id();
        (Reader { half: Arc::clone(&half) }, Writer { half, id })
    }
}

/// Sees to it that nobody relies on a receiver that is not polled any more.
struct Receiving<'h, T>(&'h Shared<T>);

impl<T> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        self.0.receiver_left();
    }
}

impl<T: AsyncIo> Reader<T> {
    async fn drive<R>(
        &mut self,
        mut poll: impl FnMut(&mut Driver<T>, &mut Context<'_>) -> Poll<R>,
    ) -> R {
        let shared = &self.half.shared;
        let _receiving = Receiving(shared);
        poll_fn(|cx| shared.poll_receiver(cx, &mut poll)).await
    }

    /// The next message, or `None` once the connection was closed cleanly: [`closed`](Self::closed)
    /// says with which code. What the writers queued is written on the way, pings are answered, and
    /// the closing handshake is completed.
    ///
    /// # Errors
    /// [`Error`] when the connection ended in any other way, once; after that, `None`.
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, the next receive goes on where this one was.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.drive(Driver::poll_recv).await
    }

    /// As [`recv`](Self::recv), with pings, pongs and the peer's Close as events too. Of the pings
    /// and pongs that a writer came across while nobody received, there are the last 16.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, the next receive goes on where this one was.
    pub async fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.drive(Driver::poll_event).await
    }

    /// Receives and discards all that comes until the connection is over: for a connection that
    /// only sends. Pings are answered, what writers queue is written, and deadlines run meanwhile.
    /// If you drop the reader instead, pings are answered only while a writer sends. Messages are
    /// neither held nor inflated, so limits on them do not hold.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn serve(stream: tokio::net::TcpStream) -> Result<(), fullduplex::Error> {
    /// let (mut reader, writer) = fullduplex::tokio::accept(stream).await?.split();
    /// tokio::spawn(async move { reader.drain().await });
    /// loop {
    ///     writer.send("tick").await?;
    ///     tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    /// }
    /// # }
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

    /// The next part of a message: as [`WebSocket::recv_chunk`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv). What is wrong with a message may show after its first parts.
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, the next receive goes on where this one was.
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.drive(Driver::poll_chunk).await
    }

    /// The connection in one piece again. Nothing that was received or queued is lost, except messages
    /// of a group that wait for the end of a message in fragments: end that first.
    ///
    /// # Errors
    /// [`ReuniteError`] hands both halves back: they are not of one connection, or there are clones
    /// of the writer.
    pub fn reunite(self, writer: Writer<T>) -> Result<WebSocket<T>, ReuniteError<T>> {
        if !Arc::ptr_eq(&self.half, &writer.half) || Arc::strong_count(&self.half) != 2 {
            return Err(ReuniteError { reader: self, writer });
        }
        let half = Arc::clone(&self.half);
        drop((self, writer));
        let Ok(Half { shared, opened, .. }) = Arc::try_unwrap(half) else {
            unreachable!("both halves were here, so nobody else has one")
        };
        Ok(WebSocket { driver: shared.into_driver(), opened })
    }
}

impl<T: AsyncIo> Writer<T> {
    /// Sends a message, which can be [many things](IntoMessage): queues it and writes it, with
    /// everything queued before. With
    /// [`FlushPolicy::BeforeWait`](crate::FlushPolicy::BeforeWait) it only queues, and the reader
    /// writes it, if one waits.
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
    /// there is room, it is queued, and dropping this leaves it to whoever writes next. To lose
    /// none, use [`ready`](Self::ready) and then [`feed`](Self::feed).
    pub async fn send(&self, message: impl IntoMessage) -> Result<(), Error> {
        let mut message = Some(message);
        self.deliver((Feed::Message, Flush::Policy), |driver| {
            message.take().map_or(Ok(()), |message| Ok(driver.feed(message)?))
        })
        .await
    }

    /// Queues a message, to be written by the reader, if one waits, or by the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed, too many bytes
    /// wait to be written, or a message in fragments is not finished.
    pub fn feed(&self, message: impl IntoMessage) -> Result<(), SendError> {
        self.half.shared.feed(|driver| driver.feed(message))
    }

    /// Writes all that was queued before, and flushes the stream.
    ///
    /// # Errors
    /// [`Error::Io`] if the stream failed, [`Error::Timeout`] if the peer takes nothing.
    ///
    /// # Cancel safety
    /// Safe: what is not written yet is still queued.
    pub async fn flush(&self) -> Result<(), Error> {
        let mut pending = PendingCall::new(&self.half.shared, self.id);
        poll_fn(|cx| self.half.shared.poll_flush(cx, &mut pending.call)).await
    }

    /// Waits until a message would be accepted without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Safe: nothing is lost if it is dropped.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut pending = PendingCall::new(&self.half.shared, self.id);
        poll_fn(|cx| self.half.shared.poll_ready(cx, &mut pending.call)).await
    }

    /// Closes the connection: sends a Close frame, waits for the peer's, at most
    /// [`Config::close_timeout`](crate::Config::close_timeout), and ends the stream in the right
    /// order. If the connection is closing or closed already, this sees it to its end.
    ///
    /// A reader that waits in [`Reader::recv`] sees the connection to its end and gets what still
    /// comes. While none does, messages are kept for it up to
    /// [`Config::max_message_size`](crate::Config::max_message_size) bytes in all, one for each 128 of
    /// them or 16 at most, and those behind them discarded; if it was dropped, all are. What is
    /// discarded is not inflated.
    ///
    /// See the [table of outcomes](crate::guide::closing) for each thing that the peer can do.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed. Any other if the
    /// end was not clean.
    ///
    /// # Cancel safety
    /// Safe: once polled, the Close frame is queued, and a further call of this or of
    /// [`Reader::recv`] sees the connection to its end.
    pub async fn close(&self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        let frame = frame.into_close_frame()?;
        let mut pending = PendingCall::new(&self.half.shared, self.id);
        poll_fn(|cx| self.half.shared.poll_close(cx, &mut pending.call, &frame)).await
    }

    /// Starts the closing handshake and does not wait for its end (RFC 6455 §7.1.2): queues a Close
    /// frame behind all messages and writes what the stream takes at once. Messages that come before
    /// the peer's Close are still the reader's. Does nothing if the connection is closing already.
    ///
    /// The peer has [`Config::close_timeout`](crate::Config::close_timeout) for its answer. A
    /// reader that receives sees the connection to its end; so does [`close`](Self::close).
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed.
    pub fn start_close(&self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        self.queue_close(&frame.into_close_frame()?);
        Ok(())
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 §5.5.2), inside a message in fragments too. Its
    /// pong shows in [`Reader::recv_event`]. It may be sent behind our own Close, too, until the
    /// peer's has come.
    ///
    /// # Errors
    /// [`Error::Ping`] if it is longer, otherwise as [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    pub async fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::ping(payload)?).await
    }

    /// Sends a pong of at most 125 bytes that answers nothing: as [`WebSocket::pong`].
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    pub async fn pong(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::pong(payload)?).await
    }

    async fn control(&self, control: Control) -> Result<(), Error> {
        self.deliver((Feed::Control, Flush::Always), |driver| driver.feed_control(&control)).await
    }

    /// Whether a message or a fragment of this writer would be accepted now: there is room, and no
    /// other writer is in the middle of a message. [`send`](Self::send) and [`ready`](Self::ready) let
    /// those go first that wait already.
    pub fn is_ready(&self) -> bool {
        self.half.shared.is_ready(self.id)
    }

    /// As [`start_close`](Self::start_close).
    pub(super) fn queue_close(&self, frame: &Option<CloseFrame>) {
        self.half.shared.start_close(frame);
    }

    async fn deliver(
        &self,
        how: (Feed, Flush),
        mut feed: impl FnMut(&mut Driver<T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut pending = PendingCall::new(&self.half.shared, self.id);
        poll_fn(|cx| self.half.shared.poll_send(cx, &mut pending.call, how, &mut feed)).await
    }
}

/// What can be asked of either half.
macro_rules! both {
    ($($half:ident),*) => {$(
        impl<T: AsyncIo> $half<T> {
            /// Whether messages can still be sent: no Close was sent or received, nothing has
            /// failed.
            pub fn is_open(&self) -> bool {
                self.half.shared.look(|driver| driver.connection.is_open())
            }

            /// How the connection ended; `None` while it has not.
            pub fn closed(&self) -> Option<Closed> {
                self.half.shared.look(|driver| driver.connection.closed().cloned())
            }

            /// What was received and sent so far: see [`Stats`].
            pub fn stats(&self) -> Stats {
                self.half.shared.look(|driver| driver.connection.stats())
            }

            /// How long the newest ping of keepalive took to be answered: see
            /// [`Connection::round_trip`](crate::Connection::round_trip).
            pub fn round_trip(&self) -> Option<Duration> {
                self.half.shared.look(|driver| driver.connection.round_trip())
            }

            /// What waits to be written, and once the connection is over, what never was.
            pub fn unsent(&self) -> Unsent {
                self.half.shared.look(|driver| driver.connection.unsent())
            }

            /// The subprotocol that was agreed on.
            pub fn subprotocol(&self) -> Option<&str> {
                self.half.opened.subprotocol()
            }

            /// The server's response, on a client.
            pub fn response(&self) -> Option<&Response> {
                self.half.opened.response()
            }

            /// Which end this is.
            pub fn role(&self) -> Role {
                self.half.role
            }

            /// Lets `look` look at the stream, for its addresses and options. Nothing is received
            /// or sent in the meantime: `look` must not use the halves, which would wait for it.
            pub fn with_ref<R>(&self, look: impl FnOnce(&T::Stream) -> R) -> R {
                self.half.shared.look(|driver| look(driver.io.stream()))
            }
        }

        impl<T> fmt::Debug for $half<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut debug = f.debug_struct(stringify!($half));
                debug.field("role", &self.half.role).finish_non_exhaustive()
            }
        }
    )*};
}

both!(Reader, Writer);

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.half.shared.receiver_gone();
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.half.shared.sender_gone(self.id);
    }
}

impl<T> Clone for Writer<T> {
    fn clone(&self) -> Self {
        let half = Arc::clone(&self.half);
        let id = half.shared.new_id();
        Self { half, id }
    }
}

/// Messages until a clean close; an error is the last item. One that waits counts as waiting until
/// something comes, although it is not polled any more: a writer's close then leaves in the stream
/// what is more than it may keep, until this is polled or dropped, or the closing deadline passes.
impl<T: AsyncIo> Stream for Reader<T> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.half.shared.poll_receiver(cx, Driver::poll_recv).map(Result::transpose)
    }
}

/// Over once the end was told: by `None`, or by an error that ended the connection.
impl<T: AsyncIo> FusedStream for Reader<T> {
    fn is_terminated(&self) -> bool {
        self.half.shared.look(|driver| driver.has_reported_end())
    }
}

/// Two halves that do not make a connection.
pub struct ReuniteError<T> {
    /// The half that receives.
    pub reader: Reader<T>,
    /// The half that sends.
    pub writer: Writer<T>,
}

impl<T> fmt::Debug for ReuniteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for ReuniteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of two connections, or there are clones of the writer")
    }
}

impl<T> core::error::Error for ReuniteError<T> {}
