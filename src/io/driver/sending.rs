//! What sends: queueing, waiting for room, writing what is queued.

use super::{Caller, Driver, Turn, lend};
use crate::{
    Closed, Error, FlushPolicy, IntoMessage, Prepared, SendErrorReason, frame::ControlPayload,
    io::Io,
};
use core::task::{Context, Poll};
use std::io;

impl<T: Io> Driver<T> {
    /// Ready when all that is queued was written and the stream is flushed.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_until(cx, |_, _| false)
    }

    /// Ready when a message would be accepted.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.turn_of_sends_is_over(cx) {
            return Poll::Pending;
        }
        if !self.connection.is_open() {
            let waited = self.wakers.has_sender();
            self.wakers.sent();
            return Poll::Ready(Err(self.refusal(waited)));
        }
        self.poll_until(cx, |driver, _| driver.connection.is_ready())
    }

    /// Whether it is for others to go on before this sends.
    #[inline(always)]
    pub(crate) fn turn_of_sends_is_over(&mut self, cx: &Context<'_>) -> bool {
        !T::WAITS && Turn::is_over(&mut self.turn.sends, cx)
    }

    /// Whether one more message may be sent before others have their turn: otherwise `poll_ready`
    /// gives it to them.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    #[inline(always)]
    pub(crate) fn has_turn(&mut self) -> bool {
        let has_turn = self.turn.sends < Turn::STEPS;
        self.turn.sends += u8::from(has_turn);
        has_turn
    }

    /// Why nothing more is accepted; who has `waited` for room is told if a deadline passed.
    pub(crate) fn refusal(&self, waited: bool) -> Error {
        match self.connection.outcome() {
            Some(Closed::TimedOut(error)) if waited => Error::Timeout(*error),
            _ => Error::Closed,
        }
    }

    /// Writes until `enough`, or until nothing is left. Deadlines run while the peer takes
    /// nothing.
    pub(super) fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        mut enough: impl FnMut(&mut Self, &mut Context<'_>) -> bool,
    ) -> Poll<Result<(), Error>> {
        let result = self.poll_written(cx, &mut enough);
        if result.is_ready() {
            self.wakers.sent();
            return result;
        }
        self.turn.sends = 0;
        self.wakers.keep(Caller::Sending, cx);
        match self.wakers.joint(Caller::Sending, cx) {
            Some(joint) => self.poll_written(&mut Context::from_waker(&joint), &mut enough),
            None => result,
        }
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        enough: &mut impl FnMut(&mut Self, &mut Context<'_>) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            if enough(self, cx) {
                return Poll::Ready(Ok(()));
            }
            let written = self.poll_write(cx)?;
            if written.is_ready() && self.connection.is_open() {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = self.take_broken() {
                return Poll::Ready(Err(Error::Io(error)));
            }
            if let Some(Closed::TimedOut(error)) = self.connection.closed() {
                return Poll::Ready(Err(Error::Timeout(*error)));
            }
            if self.connection.has_lost() {
                return Poll::Ready(Err(Error::Unsent));
            }
            if written.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if enough(self, cx) || self.poll_timers(cx)?.is_ready() {
                continue;
            }
            return Poll::Pending;
        }
    }

    /// Whether the stream broke, or something that was queued was not written.
    pub(super) fn has_failed(&self) -> bool {
        self.end.is_broken() || self.connection.has_lost()
    }

    /// The error that broke the stream, for whoever sends. One who receives elsewhere gets it, too.
    fn take_broken(&mut self) -> Option<io::Error> {
        match self.wakers.elsewhere {
            true => self.end.broken_by(),
            false => self.end.take_broken(),
        }
    }

    /// Queues a message, to be written by a flush or before the next receive waits.
    #[inline]
    pub(crate) fn feed(&mut self, message: impl IntoMessage) -> Result<(), crate::SendError> {
        lend(&mut self.connection);
        self.connection.send(message)
    }

    /// Queues a message that is prepared for many connections.
    pub(crate) fn feed_prepared(&mut self, message: &Prepared) -> Result<(), SendErrorReason> {
        lend(&mut self.connection);
        self.connection.send_prepared(message)
    }

    /// Queues a fragment of a message.
    pub(crate) fn feed_fragment(
        &mut self,
        fragment: impl IntoMessage,
        fin: bool,
    ) -> Result<(), crate::SendError> {
        lend(&mut self.connection);
        self.connection.send_fragment(fragment, fin)
    }

    /// As `feed`, and says whether to compress.
    #[cfg(feature = "deflate")]
    pub(crate) fn feed_with(
        &mut self,
        message: impl IntoMessage,
        compression: crate::deflate::Compression,
    ) -> Result<(), crate::SendError> {
        lend(&mut self.connection);
        self.connection.send_with(message, compression)
    }

    /// As `feed_fragment`, and says whether to compress.
    #[cfg(feature = "deflate")]
    pub(crate) fn feed_fragment_with(
        &mut self,
        fragment: impl IntoMessage,
        fin: bool,
        compression: crate::deflate::Compression,
    ) -> Result<(), crate::SendError> {
        lend(&mut self.connection);
        self.connection.send_fragment_with(fragment, fin, compression)
    }

    /// Whether `send` is to flush.
    pub(crate) fn sends_strictly(&self) -> bool {
        self.connection.config().flush_policy == FlushPolicy::Strict
    }

    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        let payload = ControlPayload::new(payload)?;
        lend(&mut self.connection);
        self.connection.ping(payload).map_err(|reason| match reason {
            SendErrorReason::Closed => Error::Closed,
            reason => Error::Send(crate::SendError { reason, message: payload.as_bytes().into() }),
        })
    }
}
