//! Streams that can be read and written at the same time.

use super::{ClientStream, Timeouts, stream::BlockingIo};
use alloc::sync::Arc;
use core::time::Duration;
use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    time::Instant,
};

/// A stream that one thread can read while another writes: what
/// [`WebSocket::split`](super::WebSocket::split) asks for.
///
/// Implemented for `TcpStream`, `UnixStream`, references to them and [`ClientStream`]. A type of
/// your own that has one of them inside implements it in a few lines:
///
/// ```
/// use fullduplex::blocking::{Duplex, Timeouts};
/// use std::{
///     io::{self, Read, Write},
///     net::{Shutdown, TcpStream},
///     time::Duration,
/// };
///
/// struct Counted {
///     tcp: TcpStream,
/// }
/// # impl Read for Counted {
/// #     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> { self.tcp.read(buffer) }
/// # }
/// # impl Write for Counted {
/// #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.tcp.write(bytes) }
/// #     fn flush(&mut self) -> io::Result<()> { self.tcp.flush() }
/// # }
/// # impl Timeouts for Counted {
/// #     fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
/// #         self.tcp.set_read_timeout(timeout)
/// #     }
/// #     fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
/// #         self.tcp.set_write_timeout(timeout)
/// #     }
/// # }
///
/// // beside `Read`, `Write` and `Timeouts`:
/// impl Duplex for Counted {
///     fn half(&self) -> impl Read + Write {
///         &self.tcp
///     }
///
///     fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
///         self.tcp.set_nonblocking(nonblocking)
///     }
///
///     fn shutdown_both(&self) -> io::Result<()> {
///         self.tcp.shutdown(Shutdown::Both)
///     }
/// }
/// ```
pub trait Duplex: Read + Write + Timeouts {
    /// The stream, to be read or written through a shared reference. At most one thread reads and
    /// one writes at a time, and what one of them does must not wait for the other. It is asked for
    /// anew for each read and write, so it has to be free.
    fn half(&self) -> impl Read + Write;

    /// Lets reads and writes fail with `WouldBlock` where they would wait, or wait again. It is
    /// called only while nobody reads or writes.
    ///
    /// # Errors
    /// If the stream refuses. What has arrived is then not looked at while only a writer is driven.
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;

    /// Ends the stream in both directions, and with it a read and a write that other threads are
    /// in.
    ///
    /// # Errors
    /// If that fails: they then end when the stream does.
    fn shutdown_both(&self) -> io::Result<()>;
}

macro_rules! socket {
    ($($type:ty: |$stream:ident| $half:expr),*) => {$(
        impl Duplex for $type {
            fn half(&self) -> impl Read + Write {
                let $stream = self;
                $half
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                (*self).set_nonblocking(nonblocking)
            }

            fn shutdown_both(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Both)
            }
        }
    )*};
}

socket!(TcpStream: |stream| stream, &TcpStream: |stream| *stream);
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
socket!(UnixStream: |stream| stream, &UnixStream: |stream| *stream);

impl Duplex for ClientStream {
    fn half(&self) -> impl Read + Write {
        self.tcp()
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.tcp().set_nonblocking(nonblocking)
    }

    fn shutdown_both(&self) -> io::Result<()> {
        self.tcp().shutdown(Shutdown::Both)
    }
}

/// One of two that use a stream: the one that reads, or the one that writes.
pub(super) struct SharedStream<S>(Arc<S>);

/// A stream as two: one to read from and one to write to.
pub(super) fn split_stream<S: Duplex>(
    io: BlockingIo<S>,
) -> (Arc<S>, BlockingIo<SharedStream<S>>, BlockingIo<SharedStream<S>>) {
    let (epoch, (read, write)) = (io.epoch(), io.timeouts());
    let stream = Arc::new(io.stream);
    let half =
        || BlockingIo::starting(SharedStream(stream.clone()), epoch).with_timeouts(read, write);
    let (reading, writing) = (half(), half());
    (stream, reading, writing)
}

/// The way back; nothing if others have the stream.
pub(super) fn join_stream<S: Duplex>(
    stream: Arc<S>,
    epoch: Instant,
    reading: Option<BlockingIo<SharedStream<S>>>,
    writing: Option<BlockingIo<SharedStream<S>>>,
) -> Option<BlockingIo<S>> {
    let read = reading.and_then(|half| half.timeouts().0);
    let write = writing.and_then(|half| half.timeouts().1);
    Some(BlockingIo::starting(Arc::into_inner(stream)?, epoch).with_timeouts(read, write))
}

impl<S: Duplex> Read for SharedStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.half().read(buffer)
    }
}

impl<S: Duplex> Write for SharedStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.half().write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.half().write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.half().flush()
    }
}

impl<S: Duplex> Timeouts for SharedStream<S> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.shutdown_write()
    }

    fn has_timeouts(&self) -> bool {
        self.0.has_timeouts()
    }
}
