//! Blocking streams with deadlines.

use crate::{
    Time,
    io::{Io, counted},
};
use alloc::boxed::Box;
use bytes::Buf;
use core::{
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};
use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    time::Instant,
};

/// How to limit the time that a read or a write on a stream may block, and how to shut its write
/// side down.
///
/// Implemented for `TcpStream`, `UnixStream` and references to them. Wrap any other stream in
/// [`Plain`], or implement this for it.
pub trait Timeouts {
    /// Lets a read fail with `WouldBlock` or `TimedOut` after `timeout`, or wait for ever.
    ///
    /// # Errors
    /// If the stream refuses; the read is then not tried.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// The same for a write.
    ///
    /// # Errors
    /// If the stream refuses; the write is then not tried.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Tells the peer that nothing more will be written.
    ///
    /// # Errors
    /// If that fails or, as by default, if the stream cannot do it: the connection is then over
    /// once our Close is written, and the peer's end of the stream is not waited for.
    fn shutdown_write(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the two timeouts do anything, so that a call that ran into one may be repeated.
    fn has_timeouts(&self) -> bool {
        true
    }
}

macro_rules! socket {
    ($($type:ty),*) => {$(
        impl Timeouts for $type {
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                (*self).set_read_timeout(timeout)
            }

            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                (*self).set_write_timeout(timeout)
            }

            fn shutdown_write(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    )*};
}

socket!(TcpStream, &TcpStream);
#[cfg(unix)]
socket!(std::os::unix::net::UnixStream, &std::os::unix::net::UnixStream);

macro_rules! forward {
    ($($type:ty),*) => {$(
        impl<S: Timeouts + ?Sized> Timeouts for $type {
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                (**self).set_read_timeout(timeout)
            }

            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                (**self).set_write_timeout(timeout)
            }

            fn shutdown_write(&self) -> io::Result<()> {
                (**self).shutdown_write()
            }

            fn has_timeouts(&self) -> bool {
                (**self).has_timeouts()
            }
        }
    )*};
}

forward!(Box<S>, &mut S);

/// Any stream, without timeouts: deadlines are checked between one read or write and the next.
#[derive(Clone, Copy, Debug)]
pub struct Plain<S>(pub S);

impl<S: Read> Read for Plain<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for Plain<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S> Timeouts for Plain<S> {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn has_timeouts(&self) -> bool {
        false
    }
}

/// What [`connect`](super::connect) dialled.
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
    /// What the operating system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }
}

impl Read for ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self::Tcp(stream) = self;
        stream.read(buffer)
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self::Tcp(stream) = self;
        stream.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self::Tcp(stream) = self;
        stream.write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self::Tcp(stream) = self;
        stream.flush()
    }
}

impl Timeouts for ClientStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp().set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp().set_write_timeout(timeout)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.tcp().shutdown(Shutdown::Write)
    }
}

/// A blocking stream and a clock.
pub(super) struct BlockingIo<S> {
    pub(super) stream: S,
    epoch: Instant,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

/// The timeout that is set on a stream, in milliseconds; `None` if it is not known.
pub(super) type Timeout = Option<Option<u64>>;

/// How long a call may block so as not to miss `deadline`: the largest power of two, in
/// milliseconds, that is left, so that the timeout has to be set anew some ten times on the way to
/// a deadline, not for each call. A call that ends too early is repeated.
fn allowance(now: Time, deadline: Option<Time>) -> Option<u64> {
    let left = deadline?.saturating_since(now).as_millis();
    let left = u64::try_from(left).unwrap_or(u64::MAX).clamp(1, 1 << 31);
    Some(1 << left.ilog2())
}

impl<S: Read + Write + Timeouts> BlockingIo<S> {
    pub(super) fn new(stream: S) -> Self {
        Self::starting(stream, Instant::now())
    }

    /// With an epoch that is past, for a deadline that began before there was a stream.
    pub(super) fn starting(stream: S, epoch: Instant) -> Self {
        Self { stream, epoch, read_timeout: None, write_timeout: None }
    }

    /// What a call on the stream came to that began at `start` and was to end after `timeout`, in
    /// milliseconds: pending if the timeout ended it, or if it was interrupted and began behind the
    /// `deadline`; nothing if it has to be repeated.
    fn outcome<R>(
        &self,
        start: Time,
        (timeout, deadline): (Option<u64>, Option<Time>),
        result: io::Result<R>,
    ) -> Option<Poll<io::Result<R>>> {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        let error = match result {
            Ok(value) => return Some(Poll::Ready(Ok(value))),
            Err(error) => error,
        };
        // From the operating system, on Unix, this is TCP giving up, not a timeout of ours.
        let fatal = cfg!(unix) && error.kind() == TimedOut && error.raw_os_error().is_some();
        match (error.kind(), timeout) {
            (Interrupted, _) => {
                // A process that was stopped finds its deadline passed, and what came meanwhile
                // unread: one call is made behind it.
                let late = deadline.is_some_and(|deadline| start >= deadline);
                late.then_some(Poll::Pending)
            }
            _ if fatal => Some(Poll::Ready(Err(error))),
            (WouldBlock | TimedOut, Some(timeout)) if self.stream.has_timeouts() => {
                let waited = self.now().saturating_since(start);
                if waited * 2 >= Duration::from_millis(timeout) {
                    Some(Poll::Pending)
                } else {
                    // It did not wait: the caller made the stream non-blocking.
                    Some(Poll::Ready(Err(WouldBlock.into())))
                }
            }
            // A timeout that is not ours.
            (TimedOut, _) => Some(Poll::Ready(Err(WouldBlock.into()))),
            _ => Some(Poll::Ready(Err(error))),
        }
    }

    /// What is known of the two timeouts, of reads and of writes.
    pub(super) fn timeouts(&self) -> (Timeout, Timeout) {
        (self.read_timeout, self.write_timeout)
    }

    pub(super) fn with_timeouts(mut self, read: Timeout, write: Timeout) -> Self {
        (self.read_timeout, self.write_timeout) = (read, write);
        self
    }

    /// What the clock counts from.
    pub(super) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The stream as it was, without timeouts of ours.
    pub(super) fn into_stream(self) -> S {
        // A stream that refuses has none to be undone.
        if let Some(Some(_)) = self.read_timeout {
            let _ = self.stream.set_read_timeout(None);
        }
        if let Some(Some(_)) = self.write_timeout {
            let _ = self.stream.set_write_timeout(None);
        }
        self.stream
    }
}

impl<S: Read + Write + Timeouts> Io for BlockingIo<S> {
    const WAITS: bool = true;
    const READS_PER_LOOK: u32 = 1;

    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut [u8],
        deadline: Option<Time>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let start = self.now();
            let timeout = allowance(start, deadline);
            if self.read_timeout != Some(timeout) {
                self.stream.set_read_timeout(timeout.map(Duration::from_millis))?;
                self.read_timeout = Some(timeout);
            }
            let read = self.stream.read(buffer);
            if let Some(outcome) = self.outcome(start, (timeout, deadline), read) {
                return outcome;
            }
        }
    }

    fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        outbox: &impl Buf,
        deadline: Option<Time>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let start = self.now();
            let timeout = allowance(start, deadline);
            if self.write_timeout != Some(timeout) {
                self.stream.set_write_timeout(timeout.map(Duration::from_millis))?;
                self.write_timeout = Some(timeout);
            }
            let (written, given) = if outbox.chunk().len() == outbox.remaining() {
                (self.stream.write(outbox.chunk()), outbox.chunk().len())
            } else {
                let mut slices = [IoSlice::new(&[]); 16];
                let used = outbox.chunks_vectored(&mut slices);
                let given = slices[..used].iter().map(|slice| slice.len()).sum();
                (self.stream.write_vectored(&slices[..used]), given)
            };
            if let Some(outcome) = self.outcome(start, (timeout, deadline), written) {
                return counted(outcome, given);
            }
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (begun, timeout) = (self.now(), self.write_timeout.flatten());
        let deadline = timeout.map(|timeout| begun + Duration::from_millis(timeout));
        loop {
            let start = self.now();
            let flushed = self.stream.flush();
            if let Some(outcome) = self.outcome(start, (timeout, deadline), flushed) {
                return outcome;
            }
        }
    }

    fn reads_at_once(&self) -> bool {
        self.stream.has_timeouts()
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown_write())
    }

    fn now(&self) -> Time {
        Time::since_epoch(self.epoch.elapsed())
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, deadline: Time) -> Poll<io::Result<Time>> {
        let now = self.now();
        if now >= deadline { Poll::Ready(Ok(now)) } else { Poll::Pending }
    }
}
