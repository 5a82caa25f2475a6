//! A writer as a `Sink`.

use super::{AsyncIo, Writer, halves::Half};
use crate::{CloseCode, Error, Message, io::Call};
use alloc::sync::Arc;
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
        let (half, call) = (Arc::clone(&self.half), Call::of(self.id));
        let call = SinkCall { half, call };
        WriterSink { writer: self, call }
    }
}

/// A [`Sink`] of messages: see [`Writer::into_sink`].
///
/// `close` sends a Close frame with code 1000 and sees the connection to its end.
pub struct WriterSink<T> {
    writer: Writer<T>,
    /// The wait of a flush, from one poll to the next.
    call: SinkCall<T>,
}

/// A call that is over when this is dropped.
struct SinkCall<T> {
    half: Arc<Half<T>>,
    call: Call,
}

impl<T> Drop for SinkCall<T> {
    fn drop(&mut self) {
        self.half.shared.leave(&mut self.call);
    }
}

impl<T> WriterSink<T> {
    /// The writer.
    pub fn get_ref(&self) -> &Writer<T> {
        &self.writer
    }

    /// Gives the writer back. The reader, or the next flush, writes the queued messages.
    pub fn into_inner(self) -> Writer<T> {
        self.writer
    }
}

impl<T: AsyncIo> Sink<Message> for WriterSink<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let SinkCall { half, call } = &mut self.call;
        half.shared.poll_ready(cx, call)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.call.call.flushes = None; // of a flush that was given up
        Ok(self.writer.feed(message)?)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let SinkCall { half, call } = &mut self.call;
        let flushed = half.shared.poll_flush(cx, call);
        if flushed.is_ready() {
            call.flushes = None;
        }
        flushed
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let SinkCall { half, call } = &mut self.call;
        half.shared.poll_close(cx, call, &Some(CloseCode::NORMAL.into()))
    }
}

impl<T> fmt::Debug for WriterSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriterSink").field(&self.writer).finish()
    }
}
