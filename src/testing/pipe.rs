//! A stream in memory, for every adapter.

use crate::blocking::{Duplex, Timeouts};
use alloc::{collections::VecDeque, sync::Arc};
#[cfg(any(feature = "futures-io", feature = "tokio"))]
use core::task::{Context, Poll};
use core::{fmt, task::Waker, time::Duration};
use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Returns the two ends of a stream in memory, which is like a TCP connection. Each direction holds
/// `capacity` unread bytes, at least one. A write waits while there is no room.
///
/// See [`Pipe`] for what an end can do.
pub fn duplex(capacity: usize) -> (Pipe, Pipe) {
    let (there, back) =
        (Arc::new(PipeDirection::new(capacity)), Arc::new(PipeDirection::new(capacity)));
    (Pipe { reads: back.clone(), writes: there.clone() }, Pipe { reads: there, writes: back })
}

/// One end of a stream in memory. It works with the blocking adapter, with timeouts, and with tokio
/// and `futures-io` if their features are on. The other end may use another adapter.
///
/// Dropping it ends the stream for the peer, after all bytes written. The peer's writes fail then.
///
/// ```
/// use fullduplex::{Config, Error, testing::{duplex, blocking_pair}};
/// use std::io::{Read, Write};
///
/// let (mut ours, mut theirs) = duplex(1024);
/// ours.limit(2);
/// assert_eq!(ours.write(b"hello")?, 2);
/// drop(ours);
/// let mut read = String::new();
/// theirs.read_to_string(&mut read)?;
/// assert_eq!(read, "he");
///
/// // A connection that breaks.
/// let (mut client, server) = blocking_pair(Config::default());
/// client.send("lost")?;
/// server.get_ref().reset();
/// assert!(matches!(client.recv(), Err(Error::Io(_))));
/// # Ok::<(), Error>(())
/// ```
pub struct Pipe {
    reads: Arc<PipeDirection>,
    writes: Arc<PipeDirection>,
}

/// One direction, which both ends share.
struct PipeDirection {
    state: Mutex<PipeState>,
    /// Wakes threads; tasks leave a waker.
    changed: Condvar,
}

struct PipeState {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Whether nothing more will be written.
    ended: bool,
    /// Whether nothing more will be read.
    unread: bool,
    reset: bool,
    /// The end that reads and the one that writes.
    sides: [PipeSide; 2],
}

const READER: usize = 0;
const WRITER: usize = 1;

/// The state of one of the two ends.
struct PipeSide {
    waker: Option<Waker>,
    /// How long a thread may wait.
    timeout: Option<Duration>,
    /// Whether it does not wait at all.
    nonblocking: bool,
    /// The most bytes that one call moves.
    limit: usize,
}

impl PipeSide {
    const NEW: Self = Self { waker: None, timeout: None, nonblocking: false, limit: usize::MAX };
}

impl PipeState {
    /// `None` means not yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.bytes.is_empty() && !buffer.is_empty() {
            return Ok((self.ended || self.unread).then_some(0));
        }
        let most = buffer.len().min(self.sides[READER].limit);
        self.bytes.read(&mut buffer[..most]).map(Some)
    }

    /// Like `read`.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.ended || self.unread {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let most = (self.capacity - self.bytes.len()).min(self.sides[WRITER].limit);
        let mut left = most;
        for piece in pieces {
            let taken = piece.len().min(left);
            self.bytes.extend(&piece[..taken]);
            left -= taken;
        }
        let waits = most == 0 && pieces.iter().any(|piece| !piece.is_empty());
        Ok((!waits).then_some(most - left))
    }
}

impl PipeDirection {
    fn new(capacity: usize) -> Self {
        let state = PipeState {
            bytes: VecDeque::new(),
            capacity: capacity.max(1),
            ended: false,
            unread: false,
            reset: false,
            sides: [PipeSide::NEW; 2],
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, for both sides.
    fn change(&self, change: impl FnOnce(&mut PipeState)) {
        let mut state = self.lock();
        change(&mut state);
        let reader = state.sides[READER].waker.take();
        self.wake(WRITER, state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Wakes `side`, for which there is something new.
    fn wake(&self, side: usize, mut state: MutexGuard<'_, PipeState>) {
        let waker = state.sides[side].waker.take();
        drop(state);
        self.changed.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Does `work` once it can be done, or fails when the time of `side` is up.
    fn block<R>(
        &self,
        side: usize,
        mut work: impl FnMut(&mut PipeState) -> io::Result<Option<R>>,
    ) -> io::Result<R> {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(done) = work(&mut state)? {
                self.wake(1 - side, state);
                return Ok(done);
            }
            if state.sides[side].nonblocking {
                return Err(ErrorKind::WouldBlock.into());
            }
            let unpoisoned = PoisonError::into_inner;
            state = match state.sides[side].timeout {
                None => self.changed.wait(state).unwrap_or_else(unpoisoned),
                Some(timeout) => match timeout.checked_sub(start.elapsed()) {
                    None | Some(Duration::ZERO) => return Err(ErrorKind::WouldBlock.into()),
                    Some(left) => {
                        self.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                    }
                },
            };
        }
    }

    /// Does `work` if it can be done; otherwise wakes `side` when it should try again.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    fn poll<R>(
        &self,
        cx: &Context<'_>,
        side: usize,
        work: impl FnOnce(&mut PipeState) -> io::Result<Option<R>>,
    ) -> Poll<io::Result<R>> {
        let mut state = self.lock();
        match work(&mut state)? {
            Some(done) => {
                self.wake(1 - side, state);
                Poll::Ready(Ok(done))
            }
            None => {
                state.sides[side].waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Pipe {
    /// Limits how many bytes each read and each write of this end moves, at least one, so that
    /// messages come in many pieces. Default: no limit.
    pub fn limit(&self, bytes: usize) {
        self.reads.lock().sides[READER].limit = bytes.max(1);
        self.writes.lock().sides[WRITER].limit = bytes.max(1);
    }

    /// Breaks the connection like a reset: bytes under way are lost, and every call at either end
    /// fails with [`ConnectionReset`](ErrorKind::ConnectionReset).
    pub fn reset(&self) {
        for direction in [&self.reads, &self.writes] {
            direction.change(|state| {
                state.reset = true;
                state.bytes.clear();
            });
        }
    }

    /// Ends the stream for the peer, after all bytes written. A second call does nothing.
    fn end(&self) {
        self.writes.change(|state| state.ended = true);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.end();
        self.reads.change(|state| state.unread = true);
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to_read = self.reads.lock().bytes.len();
        f.debug_struct("Pipe").field("to_read", &to_read).finish_non_exhaustive()
    }
}

macro_rules! blocking {
    ($($type:ty),*) => {$(
        impl Read for $type {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.reads.block(READER, |state| state.read(buffer))
            }
        }

        impl Write for $type {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.write_vectored(&[IoSlice::new(bytes)])
            }

            fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
                self.writes.block(WRITER, |state| state.write(pieces))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

blocking!(Pipe, &Pipe);

/// So [`blocking_pair`](super::blocking_pair) can be split.
impl Duplex for Pipe {
    fn half(&self) -> impl Read + Write {
        self
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.reads.lock().sides[READER].nonblocking = nonblocking;
        self.writes.lock().sides[WRITER].nonblocking = nonblocking;
        Ok(())
    }

    fn shutdown_both(&self) -> io::Result<()> {
        self.end();
        self.reads.change(|state| state.unread = true);
        Ok(())
    }
}

impl Timeouts for Pipe {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.reads.lock().sides[READER].timeout = timeout;
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.writes.lock().sides[WRITER].timeout = timeout;
        Ok(())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.end();
        Ok(())
    }
}

#[cfg(any(feature = "futures-io", feature = "tokio"))]
impl Pipe {
    fn poll_read_into(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reads.poll(cx, READER, |state| state.read(buffer))
    }

    fn poll_write_from(&self, cx: &Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.writes.poll(cx, WRITER, |state| state.write(pieces))
    }
}

/// The writing half of an async trait. Its last method is called `$shutdown`, and its writes go
/// through `$through`.
#[cfg(any(feature = "futures-io", feature = "tokio"))]
macro_rules! async_write {
    ($shutdown:ident, $through:ident) => {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            $through(cx, || self.poll_write_from(cx, &[IoSlice::new(bytes)]))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            $through(cx, || self.poll_write_from(cx, pieces))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn $shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.end();
            Poll::Ready(Ok(()))
        }
    };
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use super::*;
    use core::{
        pin::{Pin, pin},
        task::ready,
    };
    use tokio::{
        io::{AsyncRead, AsyncWrite, ReadBuf},
        task::coop::{consume_budget, has_budget_remaining},
    };

    impl AsyncRead for Pipe {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let room = buffer.initialize_unfilled();
            let read = ready!(with_budget(cx, || self.poll_read_into(cx, room)))?;
            buffer.advance(read);
            Poll::Ready(Ok(()))
        }
    }

    /// As in tokio's own streams, a call that is ready uses up some of the task's budget. It is not
    /// ready once the budget is gone.
    fn with_budget<R>(cx: &Context<'_>, call: impl FnOnce() -> Poll<R>) -> Poll<R> {
        if !has_budget_remaining() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = call();
        if polled.is_ready() {
            let _ = pin!(consume_budget()).poll(&mut Context::from_waker(cx.waker()));
        }
        polled
    }

    impl AsyncWrite for Pipe {
        async_write!(poll_shutdown, with_budget);

        fn is_write_vectored(&self) -> bool {
            true
        }
    }
}

#[cfg(feature = "futures-io")]
mod on_futures_io {
    use super::*;
    use core::pin::Pin;
    use futures_io::{AsyncRead, AsyncWrite};

    impl AsyncRead for Pipe {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_read_into(cx, buffer)
        }
    }

    /// Other runtimes have no budget.
    fn at_once<R>(_: &Context<'_>, call: impl FnOnce() -> Poll<R>) -> Poll<R> {
        call()
    }

    impl AsyncWrite for Pipe {
        async_write!(poll_close, at_once);
    }
}
