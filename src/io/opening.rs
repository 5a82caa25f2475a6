//! The opening handshake on a stream (RFC 6455 §4), for both roles.

use super::{Driver, Error, Io, ReadBuffer, extensions, trace};
use crate::{
    Config, Input, Role, Time, TimeoutError,
    connection::ThreadKeys,
    handshake::{
        Acceptance, Acceptor, ClientHandshake, Rejection, Request, Response, ServerHandshake,
        UpgradeRequest, Url,
    },
};
use alloc::{sync::Arc, vec::Vec};
use bytes::Buf;
use core::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};
use std::io;

/// How much of what a refused client still sends is discarded, in bytes, so that it can read our
/// response before TCP resets the connection.
const MAX_DISCARDED: usize = 1 << 20;

/// How often is read before other tasks have their turn.
const READS_PER_TURN: usize = 64;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// A stream on which the opening handshake is under way, and the time it has.
pub(crate) struct Opening<T> {
    io: T,
    config: Arc<Config>,
    unread: ReadBuffer,
    deadline: Time,
}

/// The URL to dial for `request`.
pub(crate) fn dial_target(request: &Request) -> Result<&Url, Error> {
    let url = request.url()?;
    if url.is_secure() { Err(Error::TlsUnavailable) } else { Ok(url) }
}

impl<T: Io> Opening<T> {
    /// Starts the deadline.
    pub(crate) fn new(io: T, config: Arc<Config>) -> Self {
        let start = io.now();
        Self::since(start, io, config)
    }

    /// With a deadline that started at `start`.
    pub(crate) fn since(start: Time, io: T, config: Arc<Config>) -> Self {
        let deadline = start + config.handshake_timeout;
        Self { io, config, unread: ReadBuffer::default(), deadline }
    }

    /// With bytes of the stream that were read behind the request, which is known already.
    pub(crate) fn with_unread(mut self, unread: Vec<u8>) -> Self {
        self.unread = ReadBuffer::with_bytes(unread);
        self
    }

    /// The client's handshake: an open connection and the response that opened it.
    pub(crate) async fn client(self, request: Request) -> Result<(Driver<T>, Response), Error> {
        trace::opening(self.try_client(request).await)
    }

    async fn try_client(mut self, request: Request) -> Result<(Driver<T>, Response), Error> {
        let (request, offers) = extensions::offer(&self.config, request);
        let mut handshake =
            ClientHandshake::new(request, &mut ThreadKeys)?.limits(self.config.head_limits);
        let Some(()) = self.write(handshake.request_bytes()).await? else {
            return Err(handshake.timed_out().into());
        };
        let response = loop {
            match self.read().await? {
                None => return Err(handshake.timed_out().into()),
                Some(0) => return Err(handshake.receive_eof().into()),
                Some(_) => {}
            }
            if let Some(response) = self.receive(|input| handshake.receive(input))? {
                break response;
            }
        };
        let agreed = extensions::agreed(&self.config, offers, &response)?;
        Ok((self.into_driver(Role::Client, agreed), response))
    }

    /// The client's request, which passed every check of the protocol. One that did not was
    /// answered.
    pub(crate) async fn request(&mut self) -> Result<UpgradeRequest, Error> {
        let mut handshake = ServerHandshake::new(self.config.head_limits);
        let rejection = loop {
            match self.read().await? {
                None => break handshake.timed_out(),
                Some(0) => return Err(handshake.receive_eof().into()),
                Some(_) => {}
            }
            match self.receive(|input| handshake.receive(input)) {
                Ok(Some(request)) => return Ok(request),
                Ok(None) => {}
                Err(rejection) => break rejection,
            }
        };
        Err(self.turn_down(rejection).await)
    }

    /// Answers as `acceptor` says.
    pub(crate) async fn answer(
        mut self,
        request: &UpgradeRequest,
        acceptor: &Acceptor,
    ) -> Result<(Driver<T>, Response), Error> {
        match acceptor.answer(request) {
            Ok(acceptance) => self.accept(request, &acceptance).await,
            Err(rejection) => Err(self.turn_down(rejection).await),
        }
    }

    /// Answers with a 101: an open connection and what was answered.
    pub(crate) async fn accept(
        mut self,
        request: &UpgradeRequest,
        acceptance: &Acceptance,
    ) -> Result<(Driver<T>, Response), Error> {
        let (acceptance, agreed) = extensions::accept(&self.config, request, acceptance)?;
        let response = request.accept(&acceptance)?;
        match self.write(&response.to_bytes()?).await? {
            Some(()) => Ok((self.into_driver(Role::Server, agreed), response)),
            None => Err(TimeoutError::Handshake.into()),
        }
    }

    fn into_driver(self, role: Role, agreed: extensions::Agreed) -> Driver<T> {
        let mut driver = Driver::new(self.io, role, self.config, self.unread);
        agreed.apply(&mut driver.connection);
        driver.trace.opened();
        driver
    }

    /// Answers with another status, so that the client can read it, and ends the connection.
    pub(crate) async fn reject(&mut self, response: &Response) -> Result<(), Error> {
        trace::refusing(response.status());
        self.deadline = self.deadline.max(self.io.now() + DISCARD_TIME);
        if self.write(&response.to_bytes()?).await?.is_some() {
            self.deadline = self.io.now() + DISCARD_TIME;
            self.drain().await;
        }
        Ok(())
    }

    /// The error, once the client was told, if it could be.
    async fn turn_down(&mut self, rejection: Rejection) -> Error {
        match self.reject(&rejection.response()).await {
            Ok(()) | Err(Error::Io(_)) => rejection.into(),
            Err(error) => error,
        }
    }

    /// Lets `receive` have what was read.
    fn receive<R, E>(
        &mut self,
        receive: impl FnOnce(&mut Input<'_>) -> Result<Option<R>, E>,
    ) -> Result<Option<R>, E> {
        let received = self.unread.consume(receive);
        self.unread.release();
        received
    }

    /// Reads something; `None` when the time is up.
    async fn read(&mut self) -> Result<Option<usize>, Error> {
        let Self { io, unread, deadline, .. } = self;
        // A stream that always has a byte to read never lets us wait for the deadline.
        if io.now() >= *deadline {
            return Ok(None);
        }
        poll_fn(|cx| {
            let read = unread.fill(|buffer| io.poll_read(cx, buffer, Some(*deadline)));
            match uninterrupted(cx, read) {
                Poll::Ready(read) => Poll::Ready(Ok(Some(read?))),
                Poll::Pending => time_up(io, cx, *deadline),
            }
        })
        .await
    }

    /// Writes and flushes all of `bytes`; `None` when the time is up.
    async fn write(&mut self, mut bytes: &[u8]) -> Result<Option<()>, Error> {
        let Self { io, deadline, .. } = self;
        poll_fn(|cx| {
            while !bytes.is_empty() {
                let written = io.poll_write(cx, &bytes, Some(*deadline));
                match uninterrupted(cx, written) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                    }
                    Poll::Ready(written) => bytes.advance(written?),
                    Poll::Pending => return time_up(io, cx, *deadline),
                }
            }
            let flushed = io.poll_flush(cx);
            match uninterrupted(cx, flushed) {
                Poll::Ready(flushed) => Poll::Ready(Ok(Some(flushed?))),
                Poll::Pending => time_up(io, cx, *deadline),
            }
        })
        .await
    }

    /// Shuts the write side down and discards what comes until the end, within bounds. It makes
    /// no difference to anybody how this goes.
    async fn drain(&mut self) {
        let Self { io, deadline, .. } = self;
        let mut shut = false;
        let mut left = MAX_DISCARDED;
        let mut scratch = ReadBuffer::default();
        poll_fn(|cx| {
            if !shut {
                match io.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            for _ in 0..READS_PER_TURN {
                if io.now() >= *deadline {
                    return Poll::Ready(());
                }
                let read = scratch.fill(|buffer| io.poll_read(cx, buffer, Some(*deadline)));
                scratch.consume(|input| _ = input.take_all());
                match uninterrupted(cx, read) {
                    Poll::Ready(Ok(read)) if read > 0 && read <= left => left -= read,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return io.poll_deadline(cx, *deadline).map(|_| ()),
                }
            }
            cx.waker().wake_by_ref(); // it is for others to go on first
            Poll::Pending
        })
        .await;
    }
}

/// A call that was interrupted is repeated in the next poll.
fn uninterrupted<T>(cx: &Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match polled {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        polled => polled,
    }
}

/// `Ok(None)` once `deadline` has passed.
fn time_up<R>(
    io: &mut impl Io,
    cx: &mut Context<'_>,
    deadline: Time,
) -> Poll<Result<Option<R>, Error>> {
    io.poll_deadline(cx, deadline).map(|now| Ok(now.map(|_| None)?))
}
