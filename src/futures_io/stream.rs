//! A stream of `futures-io` with a timer.

use super::timer::{DefaultTimer, Timer};
use crate::{
    Time,
    asynchronous::AsyncIo,
    io::{Io, counted},
};
use bytes::Buf;
use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use futures_io::{AsyncRead, AsyncWrite};
use std::io::{self, IoSlice};

/// A stream and its timer. Open a connection on it.
///
/// ```no_run
/// use fullduplex::{Config, Error, futures_io::{FuturesIo, Timer}, handshake::Acceptor};
/// use smol::net::TcpStream;
///
/// async fn serve(stream: TcpStream, timer: impl Timer) -> Result<(), Error> {
///     let io = FuturesIo::with_timer(stream, timer);
///     let mut ws = io.accept_with(&Acceptor::new(), Config::default()).await?;
///     ws.run(|message, out| out.feed(message)).await
/// }
/// ```
#[derive(Debug)]
pub struct FuturesIo<S, T = DefaultTimer> {
    stream: S,
    timer: T,
}

impl<S> FuturesIo<S> {
    /// A stream with the default timer.
    pub fn new(stream: S) -> Self {
        Self::with_timer(stream, DefaultTimer::new())
    }
}

impl<S, T> FuturesIo<S, T> {
    /// A stream with a timer of its own. Do not share the timer with other connections.
    pub fn with_timer(stream: S, timer: T) -> Self {
        Self { stream, timer }
    }
}

#[inline(never)] // rare, and it needs much of the stack
fn poll_write_pieces(
    stream: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
    outbox: &impl Buf,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); 16];
    let used = outbox.chunks_vectored(&mut slices);
    let given = slices[..used].iter().map(|slice| slice.len()).sum();
    counted(stream.poll_write_vectored(cx, &slices[..used]), given)
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> AsyncIo for FuturesIo<S, T> {
    type Stream = S;

    fn stream(&self) -> &S {
        &self.stream
    }

    fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Timer> Io for FuturesIo<S, T> {
    const WAITS: bool = false;
    const READS_PER_LOOK: u32 = 32;

    #[inline]
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        _: Option<Time>,
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &impl Buf,
        _: Option<Time>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if outbox.chunk().len() == outbox.remaining() {
            return counted(stream.poll_write(cx, outbox.chunk()), outbox.chunk().len());
        }
        // A stream without gathering writes takes the first piece.
        poll_write_pieces(stream, cx, outbox)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn now(&self) -> Time {
        self.timer.now()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<io::Result<Time>> {
        ready!(self.timer.poll_until(cx, deadline));
        // A timer that fires too early must not cause a busy loop.
        Poll::Ready(Ok(self.timer.now().max(deadline)))
    }
}
