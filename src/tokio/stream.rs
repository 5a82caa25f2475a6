//! Tokio's streams and clock.

use crate::{
    Time,
    asynchronous::AsyncIo,
    io::{Io, counted, overcounted},
};
use alloc::{boxed::Box, vec::Vec};
use bytes::{Buf, BufMut};
use core::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};
use std::{
    io::{self, IoSlice},
    panic,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::coop::has_budget_remaining,
    time::{Instant, Sleep, sleep_until},
};

/// The stream that [`connect`](super::connect) dialled.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientStream {
    /// Plain TCP, for a `ws` URL.
    Tcp(TcpStream),
}

impl ClientStream {
    /// The TCP connection underneath, for its addresses and options.
    pub fn tcp(&self) -> &TcpStream {
        let Self::Tcp(stream) = self;
        stream
    }

    /// The address of the server, or of the proxy in front of it.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        let Self::Tcp(stream) = self.get_mut();
        Pin::new(stream)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

/// A tokio stream with tokio's clock. You see it only in the names of other types.
pub struct TokioIo<S> {
    stream: S,
    epoch: Instant,
    /// Made at the first wait that has a deadline.
    sleep: Option<Pin<Box<Sleep>>>,
    /// The deadline that `sleep` waits for, and the task that it wakes.
    sleeper: Option<(Time, Waker)>,
}

impl<S> TokioIo<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, epoch: Instant::now(), sleep: None, sleeper: None }
    }

    /// The same clock with another stream.
    pub(super) fn with_stream<T>(self, stream: T) -> TokioIo<T> {
        TokioIo { stream, epoch: self.epoch, sleep: self.sleep, sleeper: self.sleeper }
    }

    /// The time since the epoch.
    pub(super) fn time(&self) -> Time {
        Time::since_epoch(self.epoch.elapsed())
    }

    pub(super) fn poll_clock(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Time,
    ) -> Poll<io::Result<Time>> {
        // Most waits are for the same deadline as before. These cost no clock read.
        if let (Some(sleep), Some((at, sleeper))) = (&self.sleep, &self.sleeper) {
            if *at == deadline && sleeper.will_wake(cx.waker()) && !sleep.is_elapsed() {
                return Poll::Pending;
            }
        }
        // A deadline that the clock cannot represent never comes.
        let Some(at) = self.epoch.checked_add(deadline.elapsed()) else { return Poll::Pending };
        if at > Instant::now() {
            // A task that has used up its turn gets no timer. Tokio only wakes it again.
            let registers = has_budget_remaining();
            if self.poll_sleep(cx, at)?.is_pending() {
                self.sleeper = registers.then(|| (deadline, cx.waker().clone()));
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(Time::since_epoch(Instant::now() - self.epoch)))
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, at: Instant) -> io::Result<Poll<()>> {
        if let Some(sleep) = &mut self.sleep {
            let polled = with_timers(|| {
                if sleep.deadline() != at {
                    sleep.as_mut().reset(at);
                }
                sleep.as_mut().poll(cx)
            });
            match polled {
                Ok(polled) => return Ok(polled),
                // Its runtime was dropped. The stream may go on in another one.
                Err(_) => self.sleep = None,
            }
        }
        let mut sleep = with_timers(|| Box::pin(sleep_until(at)))?;
        let polled = with_timers(|| sleep.as_mut().poll(cx))?;
        self.sleep = Some(sleep);
        Ok(polled)
    }
}

/// Tokio panics if a runtime has no timers or is gone, and gives no other way to find out.
fn with_timers<R>(call: impl FnOnce() -> R) -> io::Result<R> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "WebSocket deadlines need a running tokio runtime with timers: build it with `enable_time`",
        )
    })
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

/// Reads into `buffer`, and fails if the stream put another buffer into the `ReadBuf`, which may have
/// another length and other bytes.
#[inline]
pub(super) fn poll_read(
    stream: Pin<&mut (impl AsyncRead + ?Sized)>,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let start = buffer.as_ptr();
    let mut buffer = ReadBuf::new(buffer);
    ready!(stream.poll_read(cx, &mut buffer))?;
    if buffer.filled().as_ptr() != start {
        return Poll::Ready(Err(overcounted()));
    }
    Poll::Ready(Ok(buffer.filled().len()))
}

/// A stream that fails instead of reading into another buffer, which would make `read_buf` panic.
struct Faithful<'s, S>(&'s mut S);

impl<S: AsyncRead + Unpin> AsyncRead for Faithful<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().as_ptr();
        ready!(Pin::new(&mut *self.0).poll_read(cx, buffer))?;
        match buffer.filled().as_ptr() == start {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(overcounted())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncIo for TokioIo<S> {
    type Stream = S;

    fn stream(&self) -> &S {
        &self.stream
    }

    fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io for TokioIo<S> {
    const WAITS: bool = false;
    const READS_PER_LOOK: u32 = 32;

    #[inline]
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        _: Option<Time>,
    ) -> Poll<io::Result<usize>> {
        poll_read(Pin::new(&mut self.stream), cx, buffer)
    }

    const APPENDS: bool = true;

    fn poll_append(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        pin!(Faithful(&mut self.stream).read_buf(&mut bytes.limit(room))).poll(cx)
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &impl Buf,
        _: Option<Time>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if outbox.chunk().len() == outbox.remaining() || !stream.is_write_vectored() {
            return counted(stream.poll_write(cx, outbox.chunk()), outbox.chunk().len());
        }
        poll_write_pieces(stream, cx, outbox)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn now(&self) -> Time {
        Time::since_epoch(Instant::now() - self.epoch)
    }

    fn has_turn() -> bool {
        has_budget_remaining()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<io::Result<Time>> {
        self.poll_clock(cx, deadline)
    }
}
