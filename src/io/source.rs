//! Messages that are sent in fragments, as a source gives them.

use super::{Driver, Error, Io, counted};
use crate::{IntoFragment, MessageRef, SendError, SendErrorReason};
use alloc::vec;
use core::{
    future::poll_fn,
    task::{Context, Poll, ready},
};
use std::io;

/// How much is read from a reader at once, in bytes.
const READ: usize = 64 * 1024;

/// What takes fragments.
pub(crate) trait SendFragments {
    /// Ready when a fragment would be accepted.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Ready when all that is queued was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Queues a fragment.
    fn feed_fragment(&mut self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error>;

    /// The empty fragment that ends the message that is under way, if there is one that this sends.
    fn last_fragment(&self) -> Option<MessageRef<'static>>;

    /// Whether each fragment is to be written at once.
    fn sends_strictly(&self) -> bool;
}

impl<T: Io> SendFragments for Driver<T> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }

    fn feed_fragment(&mut self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        Ok(self.session.feed_fragment(fragment, fin)?)
    }

    fn last_fragment(&self) -> Option<MessageRef<'static>> {
        self.connection.last_fragment()
    }

    fn sends_strictly(&self) -> bool {
        self.session.sends_strictly()
    }
}

/// Sends a fragment.
pub(crate) async fn send_fragment(
    to: &mut impl SendFragments,
    fragment: impl IntoFragment,
    fin: bool,
) -> Result<(), Error> {
    poll_fn(|cx| to.poll_ready(cx)).await?;
    feed(to, fragment, fin).await?;
    written(to).await
}

/// Queues a fragment for which there was room a moment ago: somebody else may have taken it.
async fn feed(
    to: &mut impl SendFragments,
    fragment: impl IntoFragment,
    fin: bool,
) -> Result<(), Error> {
    let options = fragment.options();
    let mut fed = to.feed_fragment(fragment, fin);
    while let Err(Error::Send(SendError { reason: SendErrorReason::Full, message })) = fed {
        poll_fn(|cx| to.poll_ready(cx)).await?;
        fed = to.feed_fragment((options, message), fin);
    }
    fed
}

/// Sends what an iterator gives as the fragments of one message.
pub(crate) async fn send_iter(
    to: &mut impl SendFragments,
    fragments: impl IntoIterator<Item: IntoFragment>,
) -> Result<(), Error> {
    let mut fragments = fragments.into_iter().peekable();
    if fragments.peek().is_none() {
        return end(to).await;
    }
    while let Some(fragment) = fragments.next() {
        send_fragment(to, fragment, fragments.peek().is_none()).await?;
    }
    Ok(())
}

/// Sends what a stream gives as the fragments of one message, each as soon as it is there.
#[cfg(any(feature = "futures-io", feature = "tokio"))]
pub(crate) async fn send_stream<M: IntoFragment, E>(
    to: &mut impl SendFragments,
    fragments: impl futures_core::Stream<Item = Result<M, E>>,
) -> Result<(), Error>
where
    E: Into<alloc::boxed::Box<dyn core::error::Error + Send + Sync>>,
{
    let mut fragments = core::pin::pin!(fragments);
    while let Some(fragment) = next_of(to, |cx| fragments.as_mut().poll_next(cx)).await? {
        feed(to, fragment.map_err(Error::other)?, false).await?;
        written(to).await?;
    }
    end(to).await?;
    written(to).await
}

/// Ends the message that is under way, if there is one.
async fn end(to: &mut impl SendFragments) -> Result<(), Error> {
    match to.last_fragment() {
        Some(last) => send_fragment(to, last, true).await,
        None => Ok(()),
    }
}

/// Sends what a reader gives as the fragments of one binary message: how many bytes that were.
pub(crate) async fn send_reader(
    to: &mut impl SendFragments,
    mut read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
) -> Result<u64, Error> {
    let (mut buffer, mut sent) = (vec![0; READ], 0);
    loop {
        let read = next_of(to, |cx| match counted(read(cx, &mut buffer), READ) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                // In the next poll: one that says so for ever keeps nobody from their turn.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            read => read,
        });
        let len = read.await?.map_err(Error::other)?;
        feed(to, &buffer[..len], len == 0).await?;
        sent += len as u64;
        written(to).await?;
        if len == 0 {
            return Ok(sent);
        }
    }
}

/// The next item of the source. Nothing is taken from it before there is room, so dropping
/// this loses nothing, and what is queued is written while it is waited for.
async fn next_of<T>(
    to: &mut impl SendFragments,
    mut source: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, Error> {
    poll_fn(|cx| {
        ready!(to.poll_ready(cx))?;
        if let Poll::Ready(fragment) = source(cx) {
            return Poll::Ready(Ok(fragment));
        }
        ready!(to.poll_flush(cx))?;
        Poll::Pending
    })
    .await
}

/// Writes a fragment that was queued, unless that can wait.
async fn written(to: &mut impl SendFragments) -> Result<(), Error> {
    match to.sends_strictly() {
        true => poll_fn(|cx| to.poll_flush(cx)).await,
        false => Ok(()),
    }
}
