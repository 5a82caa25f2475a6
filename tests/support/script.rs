//! A stream in memory that does what a script says: short reads and writes, waits, errors, an end
//! at any byte. It counts what is asked of it.

use core::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use fullduplex::blocking::{Duplex, Timeouts};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice, Read, Write},
    sync::{Arc, Mutex, MutexGuard},
};

/// What the next read, or the next write, does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A read: these bytes, as many as fit; the rest comes with the next one.
    Bytes(Vec<u8>),
    /// A write: takes this many bytes at most. A read: says that this many came, whatever the
    /// truth.
    Count(usize),
    /// A read: says that so many bytes came, more than there was room for; a stream of tokio's, which
    /// has no number to say, puts another buffer of that size in the place of the one it was given.
    /// A write: takes nothing, and says that it took so many.
    Claims(usize),
    /// A read of tokio's: these bytes, and then takes the note of them back. Others: nothing came.
    TakesBack(Vec<u8>),
    /// A read: bytes `from..to` of the 101 that answers the request that was written.
    Answer { from: usize, to: usize },
    /// Not ready, but ready at once: a task is woken. A blocking call is interrupted, one on a
    /// non-blocking stream says `WouldBlock`.
    Pending,
    /// Not ready until the script goes on, which wakes the task. A blocking call panics.
    Stall,
    /// Fails once.
    Error(ErrorKind),
    /// The end, for ever.
    Eof,
}

/// The stream, and at the same time the hand that holds it: clones share everything.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// Empty means `Stall`.
    pub(crate) reads: VecDeque<Step>,
    /// Empty means that everything is taken.
    pub(crate) writes: VecDeque<Step>,
    /// As `writes`.
    pub(crate) flushes: VecDeque<Step>,
    /// As `writes`.
    pub(crate) shutdowns: VecDeque<Step>,
    /// Whether it says that it gathers slices well.
    pub(crate) vectored: bool,
    /// Whether `Read` and `Write` block.
    pub(crate) blocking: bool,

    pub(crate) written: Vec<u8>,
    /// How much of `written` a flush has covered.
    pub(crate) flushed: usize,
    /// Calls that returned something: not those that were not ready.
    pub(crate) read_calls: usize,
    /// Calls that were not ready.
    pub(crate) read_waits: usize,
    pub(crate) write_calls: usize,
    pub(crate) write_waits: usize,
    pub(crate) vectored_calls: usize,
    pub(crate) flush_calls: usize,
    pub(crate) shutdown_calls: usize,
    /// How much was written when the write side was shut down.
    pub(crate) shut_at: Option<usize>,
    pub(crate) timeouts_set: usize,

    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { vectored: true, ..State::default() })))
    }

    pub(crate) fn reading(reads: impl IntoIterator<Item = Step>) -> Self {
        let script = Self::new();
        script.state().reads = reads.into_iter().collect();
        script
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets the next read have `bytes`, and wakes who waits for them.
    pub(crate) fn arrive(&self, bytes: impl Into<Vec<u8>>) {
        self.go_on(|state| state.reads.push_back(Step::Bytes(bytes.into())));
    }

    /// Ends the input, and wakes who waits for it.
    pub(crate) fn end(&self) {
        self.go_on(|state| state.reads.push_back(Step::Eof));
    }

    /// Changes the script and wakes everybody who waits.
    pub(crate) fn go_on(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// As [`go_on`](Self::go_on), for one direction: whoever waits for the other is not woken.
    pub(crate) fn go_on_in(&self, reads: bool, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = if reads { state.reader.take() } else { state.writer.take() };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Lets one direction go on that somebody waits for, and wakes who waits: whether anybody did.
    pub(crate) fn go_on_one_way(&self, reads_first: bool) -> bool {
        let mut state = self.state();
        let reads = state.reader.is_some() && (reads_first || state.writer.is_none());
        let State { reader, writer, writes, flushes, shutdowns, .. } = &mut *state;
        if !reads {
            // A read has taken its `Stall` out already.
            for script in [writes, flushes, shutdowns] {
                if let Some(Step::Stall) = script.front() {
                    script.pop_front();
                }
            }
        }
        let waker = if reads { reader.take() } else { writer.take() };
        drop(state);
        waker.map(Waker::wake).is_some()
    }

    pub(crate) fn written(&self) -> Vec<u8> {
        self.state().written.clone()
    }

    /// Whether the write side was shut down, behind the last byte that was written.
    pub(crate) fn shut_behind_all(&self) -> bool {
        let state = self.state();
        state.shut_at == Some(state.written.len())
    }

    /// Whether the stream holds nothing back.
    pub(crate) fn is_flushed(&self) -> bool {
        let state = self.state();
        state.flushed == state.written.len()
    }
}

impl State {
    /// `Ok(None)` is not ready: the flag says whether it will be at once.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Result<usize, bool>> {
        let outcome = match self.reads.pop_front() {
            None | Some(Step::Stall) => Ok(Err(false)),
            Some(Step::Pending) => Ok(Err(true)),
            Some(Step::Bytes(mut bytes)) => {
                let taken = bytes.len().min(buffer.len());
                buffer[..taken].copy_from_slice(&bytes[..taken]);
                if taken < bytes.len() {
                    self.reads.push_front(Step::Bytes(bytes.split_off(taken)));
                }
                Ok(Ok(taken))
            }
            Some(Step::Count(count) | Step::Claims(count)) => Ok(Ok(count)),
            Some(Step::TakesBack(_)) => Ok(Ok(0)),
            Some(Step::Answer { from, to }) => {
                let request = String::from_utf8(self.written.clone()).expect("a request");
                let answer = super::response_to(&request, "").into_bytes();
                let bytes = answer[from..to.min(answer.len())].to_vec();
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(Ok(bytes.len()))
            }
            Some(Step::Error(kind)) => Err(kind.into()),
            Some(Step::Eof) => {
                self.reads.push_front(Step::Eof);
                Ok(Ok(0))
            }
        };
        match outcome {
            Ok(Err(_)) => self.read_waits += 1,
            _ => self.read_calls += 1,
        }
        outcome
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Result<usize, bool>> {
        if let Some(Step::Claims(count)) = self.writes.front() {
            let count = *count;
            self.writes.pop_front();
            return Ok(Ok(count));
        }
        let most = match Self::step(&mut self.writes)? {
            Ok(most) => most,
            Err(at_once) => {
                self.write_waits += 1;
                return Ok(Err(at_once));
            }
        };
        let before = self.written.len();
        for piece in pieces {
            let taken = piece.len().min(most - (self.written.len() - before));
            self.written.extend_from_slice(&piece[..taken]);
        }
        self.write_calls += 1;
        Ok(Ok(self.written.len() - before))
    }

    /// What a call of `Read` or `Write` says when it is not ready.
    fn not_ready(&self, at_once: bool) -> io::Error {
        match (self.blocking, at_once) {
            (false, _) => ErrorKind::WouldBlock.into(),
            (true, true) => ErrorKind::Interrupted.into(),
            (true, false) => panic!("it blocks for ever"),
        }
    }

    fn flush(&mut self) -> io::Result<Result<(), bool>> {
        if let Err(at_once) = Self::step(&mut self.flushes)? {
            return Ok(Err(at_once));
        }
        self.flush_calls += 1;
        self.flushed = self.written.len();
        Ok(Ok(()))
    }

    fn shutdown(&mut self) -> io::Result<Result<(), bool>> {
        if let Err(at_once) = Self::step(&mut self.shutdowns)? {
            return Ok(Err(at_once));
        }
        self.shutdown_calls += 1;
        // A shutdown implies a flush.
        self.flushed = self.written.len();
        self.shut_at.get_or_insert(self.written.len());
        Ok(Ok(()))
    }

    /// How many bytes may go, or whether it will be ready at once.
    fn step(script: &mut VecDeque<Step>) -> io::Result<Result<usize, bool>> {
        match script.pop_front() {
            None => Ok(Ok(usize::MAX)),
            Some(Step::Count(most)) => Ok(Ok(most)),
            Some(Step::Pending) => Ok(Err(true)),
            Some(Step::Stall) => {
                script.push_front(Step::Stall);
                Ok(Err(false))
            }
            Some(Step::Error(kind)) => Err(kind.into()),
            Some(step) => panic!("{step:?} is for reads"),
        }
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.read(buffer)?.map_err(|at_once| state.not_ready(at_once))
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.write(&[IoSlice::new(bytes)])?.map_err(|at_once| state.not_ready(at_once))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        state.vectored_calls += 1;
        // What `Write` does by default is to write the first piece.
        let pieces = if state.vectored { pieces } else { &pieces[..1] };
        state.write(pieces)?.map_err(|at_once| state.not_ready(at_once))
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.flush()?.map_err(|at_once| state.not_ready(at_once))
    }
}

impl Timeouts for Script {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        self.state().timeouts_set += 1;
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        self.state().timeouts_set += 1;
        Ok(())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let mut state = self.state();
        state.shutdown()?.map_err(|at_once| state.not_ready(at_once))
    }

    fn has_timeouts(&self) -> bool {
        false
    }
}

impl Duplex for Script {
    fn half(&self) -> impl Read + Write {
        self.clone()
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.state().blocking = !nonblocking;
        Ok(())
    }

    fn shutdown_both(&self) -> io::Result<()> {
        let mut state = self.state();
        (state.reads, state.writes) =
            ([Step::Eof].into(), [Step::Error(ErrorKind::BrokenPipe)].into());
        Ok(())
    }
}

impl State {
    fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.read(buffer)?;
        wait(cx, &mut self.reader, read)
    }

    fn poll_write(&mut self, cx: &Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = self.write(pieces)?;
        wait(cx, &mut self.writer, written)
    }

    fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.flush()?;
        wait(cx, &mut self.writer, flushed)
    }

    fn poll_shutdown(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.shutdown()?;
        wait(cx, &mut self.writer, shut)
    }
}

/// What came, or pending, and who is to be woken when.
fn wait<T>(
    cx: &Context<'_>,
    slot: &mut Option<Waker>,
    outcome: Result<T, bool>,
) -> Poll<io::Result<T>> {
    match outcome {
        Ok(outcome) => return Poll::Ready(Ok(outcome)),
        Err(true) => cx.waker().wake_by_ref(),
        // A stream keeps one waker: the last one.
        Err(false) => *slot = Some(cx.waker().clone()),
    }
    Poll::Pending
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use super::*;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Script {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let next = self.state().reads.front().cloned();
            if let Some(Step::Claims(size)) = next {
                self.state().reads.pop_front();
                // As long as the one whose place it takes is borrowed.
                *buffer = ReadBuf::new(Box::leak(vec![0; size].into_boxed_slice()));
                buffer.advance(size);
                return Poll::Ready(Ok(()));
            }
            if let Some(Step::TakesBack(bytes)) = next {
                self.state().reads.pop_front();
                buffer.put_slice(&bytes);
                buffer.clear();
                return Poll::Ready(Ok(()));
            }
            let read = ready!(self.state().poll_read(cx, buffer.initialize_unfilled()))?;
            buffer.advance(read);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.state().poll_write(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut state = self.state();
            state.vectored_calls += 1;
            state.poll_write(cx, pieces)
        }

        fn is_write_vectored(&self) -> bool {
            self.state().vectored
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.state().poll_flush(cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.state().poll_shutdown(cx)
        }
    }
}

#[cfg(feature = "futures-io")]
mod on_futures_io {
    use super::*;
    use smol::io::{AsyncRead, AsyncWrite};

    impl AsyncRead for Script {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.state().poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.state().poll_write(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut state = self.state();
            state.vectored_calls += 1;
            // What `AsyncWrite` does by default is to write the first piece.
            let pieces = if state.vectored { pieces } else { &pieces[..1] };
            state.poll_write(cx, pieces)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.state().poll_flush(cx)
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.state().poll_shutdown(cx)
        }
    }
}
