//! Messages that are too large to be held, or of which not all is there yet.

use super::{AsyncIo, WebSocket, Writer};
use crate::{
    Chunk, Error, IntoFragment, MessageRef, SendError,
    io::{Driver, PendingCall, SendFragments, send_fragment, send_iter, send_stream},
};
use alloc::boxed::Box;
use core::{
    error::Error as StdError,
    task::{Context, Poll},
};
use futures_core::Stream;

impl<T: AsyncIo> WebSocket<T> {
    /// The next part of a message, or `None` once the connection was closed cleanly: for messages of
    /// any size, of which nothing is held. Until the [last](Chunk::is_last) part of a message was
    /// taken, [`recv`](Self::recv) and its like give [`Error::Unfinished`]. The limits on what is
    /// received do not hold; otherwise this is like `recv`.
    ///
    /// ```no_run
    /// # use tokio::{fs::File, io::AsyncWriteExt};
    /// use fullduplex::{Error, asynchronous::{AsyncIo, WebSocket}};
    ///
    /// /// Writes the next message to a file, whatever its size.
    /// async fn save(ws: &mut WebSocket<impl AsyncIo>, file: &mut File) -> Result<(), Error> {
    ///     while let Some(chunk) = ws.recv_chunk().await? {
    ///         file.write_all(chunk.as_bytes()).await?;
    ///         if chunk.is_last() {
    ///             break;
    ///         }
    ///     }
    ///     Ok(file.flush().await?)
    /// }
    /// ```
    ///
    /// For text as `&str`s see [`TextPieces`](crate::message::TextPieces).
    ///
    /// # Errors
    /// As [`recv`](Self::recv). What is wrong with a message may show after its first parts.
    ///
    /// # Cancel safety
    /// Safe at any byte: if it is dropped, the next receive goes on where this one was.
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.drive(Driver::poll_chunk).await
    }

    /// Sends a fragment of a message (RFC 6455 §5.4): see
    /// [`Connection::feed_fragment`](crate::Connection::feed_fragment). `fin` says that it is the
    /// last. Until then no other message is accepted.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::Send`] if the message under way is of the other kind.
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    pub async fn send_fragment(
        &mut self,
        fragment: impl IntoFragment,
        fin: bool,
    ) -> Result<(), Error> {
        send_fragment(&mut self.driver, fragment, fin).await
    }

    /// Queues a fragment of a message, as [`feed`](Self::feed) does a message.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), and if the message under way is of the other kind.
    pub fn feed_fragment(
        &mut self,
        fragment: impl IntoFragment,
        fin: bool,
    ) -> Result<(), SendError> {
        self.driver.session.feed_fragment(fragment, fin)
    }

    /// Whether a message that is sent in fragments is unfinished: then no other is accepted.
    pub fn is_in_fragments(&self) -> bool {
        self.driver.connection.is_in_fragments()
    }

    /// Sends one message whose fragments an iterator gives: all text, each UTF-8 by itself, or all
    /// binary. Each is sent as [`send_fragment`](Self::send_fragment) does it, once the iterator has
    /// given the next, or its end: so the last says that it is the last. Without any, a message that
    /// is under way already is ended by an empty fragment, and otherwise nothing is sent. See
    /// [the module](super#messages-too-large-to-hold) for what holds meanwhile.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn run() -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::tokio::connect("ws://127.0.0.1:9001/").await?;
    /// ws.send_iter((1..1_000_000).map(|i| format!("{i}\n"))).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    ///
    /// # Cancel safety
    /// If it is dropped, the message is unfinished, and up to two fragments that the iterator has
    /// given are gone.
    pub async fn send_iter(
        &mut self,
        fragments: impl IntoIterator<Item: IntoFragment>,
    ) -> Result<(), Error> {
        send_iter(&mut self.driver, fragments).await
    }

    /// Sends one message whose fragments a stream gives: all text, each UTF-8 by itself, or all
    /// binary. None waits for the next one: each is sent as soon as it is there, as
    /// [`send_fragment`](Self::send_fragment) does it, and the end of the stream is an empty fragment.
    /// Without any, a message that is under way already is ended so, and otherwise nothing is sent.
    /// See [the module](super#messages-too-large-to-hold) for what holds meanwhile.
    ///
    /// For a stream that does not fail, `map(Ok::<_, Infallible>)` it.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio")]
    /// # async fn run(lines: impl futures_core::Stream<Item = std::io::Result<String>>)
    /// # -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::tokio::connect("ws://127.0.0.1:9001/").await?;
    /// ws.send_stream(lines).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment); and [`Error::Other`] with the stream's first
    /// error, after which the message is unfinished.
    ///
    /// # Cancel safety
    /// If it is dropped, all that the stream has given is queued. While
    /// [`is_in_fragments`](Self::is_in_fragments), calling this again with the rest of the stream goes
    /// on.
    pub async fn send_stream<M: IntoFragment, E>(
        &mut self,
        fragments: impl Stream<Item = Result<M, E>>,
    ) -> Result<(), Error>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        send_stream(&mut self.driver, fragments).await
    }
}

impl<T: AsyncIo> Writer<T> {
    /// Sends a fragment of a message (RFC 6455 §5.4): see
    /// [`Connection::feed_fragment`](crate::Connection::feed_fragment). `fin` says that it is the
    /// last. Until then, messages of other clones of this writer wait; its own are refused.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::Send`] if the message under way is of the other kind, or
    /// if the writer that began one was dropped: then all that can still be done is to
    /// [`close`](Self::close).
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    pub async fn send_fragment(&self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        send_fragment(&mut self.fragments(), fragment, fin).await
    }

    /// Queues a fragment of a message, as [`feed`](Self::feed) does a message.
    ///
    /// # Errors
    /// As [`feed`](Self::feed); and if the message under way is of the other kind, or another
    /// writer's.
    pub fn feed_fragment(&self, fragment: impl IntoFragment, fin: bool) -> Result<(), SendError> {
        self.half.shared.feed_fragment(self.id, fragment, fin)
    }

    /// Whether a message that this writer sends in fragments is unfinished: then it can send no
    /// other, and clones wait for its end.
    pub fn is_in_fragments(&self) -> bool {
        self.half.shared.last_fragment(self.id).is_some()
    }

    /// Sends one message whose fragments an iterator gives, as [`WebSocket::send_iter`] does it.
    /// Messages of other clones of this writer wait for its end.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    ///
    /// # Cancel safety
    /// If it is dropped, the message is unfinished, and up to two fragments that the iterator has
    /// given are gone.
    pub async fn send_iter(
        &self,
        fragments: impl IntoIterator<Item: IntoFragment>,
    ) -> Result<(), Error> {
        send_iter(&mut self.fragments(), fragments).await
    }

    /// Sends one message whose fragments a stream gives, as [`WebSocket::send_stream`] does it.
    /// Messages of other clones of this writer wait for its end.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment); and [`Error::Other`] with the stream's first
    /// error, after which the message is unfinished.
    ///
    /// # Cancel safety
    /// If it is dropped, all that the stream has given is queued, and calling this again with the
    /// rest of the stream goes on.
    pub async fn send_stream<M: IntoFragment, E>(
        &self,
        fragments: impl Stream<Item = Result<M, E>>,
    ) -> Result<(), Error>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        send_stream(&mut self.fragments(), fragments).await
    }

    /// Sends a message in fragments.
    pub(crate) fn fragments(&self) -> impl SendFragments {
        WriterFragments(PendingCall::new(&self.half.shared, self.id))
    }
}

/// A message that a writer sends in fragments.
struct WriterFragments<'w, T: AsyncIo>(PendingCall<'w, T>);

impl<T: AsyncIo> SendFragments for WriterFragments<'_, T> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.shared.poll_fragment_ready(cx, &mut self.0.call)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = self.0.shared.poll_flush(cx, &mut self.0.call);
        if flushed.is_ready() {
            self.0.call.flushes = None;
        }
        flushed
    }

    fn feed_fragment(&mut self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        Ok(self.0.shared.feed_fragment(self.0.call.handle, fragment, fin)?)
    }

    fn last_fragment(&self) -> Option<MessageRef<'static>> {
        self.0.shared.last_fragment(self.0.call.handle)
    }

    fn sends_strictly(&self) -> bool {
        self.0.shared.look(|driver| driver.sends_strictly())
    }
}
