//! A writer as a `Sink`.

use super::{AsyncIo, Writer};
use crate::{CloseCode, Error, Message, io::Call};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use futures_sink::Sink;

impl<T: AsyncIo> Writer<T> {
    /// A [`Sink`] of messages that sends through this writer, for combinators that want one.
    ///
    /// A writer is none itself: with `SinkExt` in scope, `send` and `close` of a `&mut Writer` would
    /// be those of the trait.
    ///
    /// ```
    /// use fullduplex::{Error, asynchronous::{AsyncIo, WebSocket}};
    /// use futures_util::StreamExt;
    ///
    /// async fn echo(ws: WebSocket<impl AsyncIo>) -> Result<(), Error> {
    ///     let (reader, writer) = ws.split();
    ///     reader.forward(writer.into_sink()).await
    /// }
    /// ```
    pub fn into_sink(self) -> WriterSink<T> {
        WriterSink { writer: self, flushes: None }
    }
}

/// A [`Sink`] of messages: see [`Writer::into_sink`].
///
/// `close` sends a Close frame with code 1000 and sees the connection to its end.
pub struct WriterSink<T> {
    writer: Writer<T>,
    /// Up to where a flush that has begun goes.
    flushes: Option<Option<u64>>,
}

impl<T> WriterSink<T> {
    /// The writer.
    pub fn get_ref(&self) -> &Writer<T> {
        &self.writer
    }

    /// The writer again. What was queued is written by the reader, or by its next flush.
    pub fn into_inner(self) -> Writer<T> {
        self.writer
    }
}

impl<T: AsyncIo> Sink<Message> for WriterSink<T> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let writer = &self.writer;
        writer.half.shared.poll_ready(cx, &mut Call::of_sink(writer.id, None))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.flushes = None; // of a flush that was given up
        Ok(self.writer.feed(message)?)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut call = Call::of_sink(self.writer.id, self.flushes);
        let flushed = self.writer.half.shared.poll_flush(cx, &mut call);
        self.flushes = call.flushes.filter(|_| flushed.is_pending());
        flushed
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let writer = &self.writer;
        let mut call = Call::of_sink(writer.id, None);
        writer.half.shared.poll_close(cx, &mut call, &Some(CloseCode::NORMAL.into()))
    }
}

impl<T> fmt::Debug for WriterSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriterSink").field(&self.writer).finish()
    }
}
