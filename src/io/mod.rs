//! What the adapters share: the session, the poll loop, the read buffer, the opening handshake, the
//! error.
//!
//! An adapter is an [`Io`]: its stream and its clock in poll style. A blocking stream never
//! returns `Pending` before a deadline that it was given, so [`block_on`] drives the same code
//! without a runtime.

mod buffer;
mod control;
mod count;
mod driver;
mod end;
mod error;
mod extensions;
mod opened;
mod opening;
mod parts;
mod pool;
mod session;
#[cfg(any(feature = "futures-io", feature = "tokio"))]
mod shared;
mod source;
mod trace;
mod wakers;

pub(crate) use buffer::ReadBuffer;
pub(crate) use control::Control;
pub(crate) use count::counted;
#[cfg(feature = "tokio")]
pub(crate) use count::overcounted;
pub(crate) use driver::Driver;
pub(crate) use end::End;
pub use error::Error;
pub(crate) use opened::Opened;
pub(crate) use opening::{Opening, dial_share, dial_target, not_dialled};
pub use parts::{Outgoing, Parts};
pub(crate) use pool::{give_write, take_write};
pub(crate) use session::{Ending, Pace, Session, lend};
#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(crate) use shared::{Call, Feed, Flush, Offered, Over, Shared, Turn};
#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(crate) use source::send_stream;
pub(crate) use source::{SendFragments, send_fragment, send_iter, send_reader};
pub(crate) use trace::Trace;

use crate::Time;
use alloc::vec::Vec;
use core::{
    pin::pin,
    task::{Context, Poll, Waker},
};
use std::io;

/// A stream and a clock, as the shared code needs them.
#[allow(unnameable_types, unreachable_pub, reason = "only our own adapters implement it")]
pub trait Io {
    /// Whether a call waits by itself, so that it has to be told until when.
    const WAITS: bool;

    /// After how many reads in a row, none of them pending, deadlines are looked at: the price is
    /// a clock read.
    const READS_PER_LOOK: u32;

    /// Reads into `buffer`; zero is the end. A blocking stream waits until `deadline` at most and
    /// then returns `Pending`. Who reads checks the count.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        deadline: Option<Time>,
    ) -> Poll<io::Result<usize>>;

    /// Whether there is a [`poll_append`](Self::poll_append). The standard library has no stable way
    /// to read into memory that was not written before.
    const APPENDS: bool = false;

    /// Reads up to `room` bytes, which `bytes` has room for, onto the end of `bytes`; zero is the
    /// end.
    fn poll_append(
        &mut self,
        _: &mut Context<'_>,
        _: &mut Vec<u8>,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Writes some of `outbox`, with one call, and does not advance it. Waits as `poll_read` does.
    /// The count is [checked](counted) here, because only this knows how much the stream was given.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &impl bytes::Buf,
        deadline: Option<Time>,
    ) -> Poll<io::Result<usize>>;

    /// Flushes what the stream itself has buffered.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether a read with a deadline that has passed does not wait.
    fn reads_at_once(&self) -> bool {
        true
    }

    /// Shuts the write side down.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The time, since an epoch of this stream's own.
    fn now(&self) -> Time;

    /// Whether the task still has its turn. Once that is over, streams say that they are not ready,
    /// whatever they are.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "tokio")),
        allow(dead_code, reason = "for groups of async connections")
    )]
    fn has_turn() -> bool {
        true
    }

    /// The time once it is `deadline` or later; until then sees to it that the task is woken.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<io::Result<Time>>;
}

/// Runs a future over a blocking [`Io`], which waits inside its calls.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}
