//! The opening handshake on a stream (RFC 6455 §4), for both roles.

use super::{Driver, Error, Io, ReadBuffer, extensions, trace};
use crate::{
    Config, Input, Role, Time, TimeoutError,
    connection::ThreadKeys,
    handshake::{
        AcceptPolicy, Acceptance, AnyRequest, ClientHandshake, ClientHandshakeError,
        InvalidResponse, Rejection, Request, Response, ServerHandshake, UpgradeRequest, Url,
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

/// How long that may take, and how long an answer has at least to be written: the application may
/// have taken its time to decide.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A stream on which the opening handshake is under way, and the time it has.
pub(crate) struct Opening<T> {
    io: T,
    config: Arc<Config>,
    unread: ReadBuffer,
    deadline: Time,
    /// Whether the stream was looked at once more behind the deadline, in a turn of its own: what is
    /// there by then is in time, however late we come to see it.
    late: bool,
}

/// How much of the time that is left the first of so many addresses may take: one that does not
/// answer must not use up the time of those behind it. The last one has all that is left.
pub(crate) fn dial_share(left: Duration, addresses: usize) -> Duration {
    left / u32::try_from(addresses).unwrap_or(u32::MAX).max(1)
}

/// Why none of the addresses could be dialled: the last of their errors, or that the time is up.
pub(crate) fn not_dialled(last: Option<io::Error>, time_is_up: bool) -> Error {
    match last {
        _ if time_is_up => TimeoutError::Handshake.into(),
        Some(error) => error.into(),
        None => io::Error::other("the host has no address").into(),
    }
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
        Self { io, config, unread: ReadBuffer::default(), deadline, late: false }
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
        let (request, offers) = extensions::offer(&self.config, request)?;
        let mut handshake =
            ClientHandshake::new(request, &mut ThreadKeys)?.limits(self.config.head_limits);
        let Some(()) = self.write(handshake.request_bytes()).await? else {
            return Err(timed_out(&mut handshake));
        };
        let response = loop {
            match self.read().await? {
                None => return Err(timed_out(&mut handshake)),
                Some(0) => return Err(handshake.handle_eof().into()),
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
        self.received(ServerHandshake::receive).await
    }

    /// As [`request`](Self::request), where plain HTTP is served too.
    pub(crate) async fn any_request(&mut self) -> Result<AnyRequest, Error> {
        self.received(ServerHandshake::receive_any).await
    }

    async fn received<R>(
        &mut self,
        receive: impl Fn(&mut ServerHandshake, &mut Input<'_>) -> Result<Option<R>, Rejection>,
    ) -> Result<R, Error> {
        let mut handshake = ServerHandshake::new(self.config.head_limits);
        let rejection = loop {
            match self.read().await? {
                None => break handshake.handle_timeout(),
                Some(0) => return Err(handshake.handle_eof().into()),
                Some(_) => {}
            }
            match self.receive(|input| receive(&mut handshake, input)) {
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
        acceptor: &AcceptPolicy,
    ) -> Result<(Driver<T>, Response), Error> {
        match acceptor.answer(request) {
            Ok(acceptance) => self.accept(request, &acceptance).await,
            Err(rejection) => Err(self.turn_down(rejection).await),
        }
    }

    /// Answers with a 101: an open connection and what was answered. If it cannot be sent, the client
    /// is told that the server is at fault.
    pub(crate) async fn accept(
        mut self,
        request: &UpgradeRequest,
        acceptance: &Acceptance,
    ) -> Result<(Driver<T>, Response), Error> {
        let (response, bytes, agreed) = match self.accepting(request, acceptance) {
            Ok(accepting) => accepting,
            Err(error) => return Err(self.at_fault(error, false).await),
        };
        self.grant_time_to_answer();
        match self.write(&bytes).await? {
            Some(()) => Ok((self.into_driver(Role::Server, agreed), response)),
            None => Err(TimeoutError::Handshake.into()),
        }
    }

    fn accepting(
        &self,
        request: &UpgradeRequest,
        acceptance: &Acceptance,
    ) -> Result<(Response, Vec<u8>, extensions::Agreed), Error> {
        let (acceptance, agreed) = extensions::accept(&self.config, request, acceptance)?;
        let response = request.accept(&acceptance)?;
        let bytes = response.to_bytes()?;
        Ok((response, bytes, agreed))
    }

    fn into_driver(self, role: Role, agreed: extensions::Agreed) -> Driver<T> {
        let mut driver = Driver::new(self.io, role, self.config, self.unread);
        agreed.apply(&mut driver.connection);
        driver.trace.opened();
        driver
    }

    /// Answers with another status, so that the client can read it, and ends the connection. If it
    /// cannot be sent, the client is told that the server is at fault.
    pub(crate) async fn reject(&mut self, response: &Response) -> Result<(), Error> {
        // A 101 of another request would open a connection that nobody here serves.
        let bytes = match response.status() {
            101 => Err(InvalidResponse::Status(101)),
            _ => response.to_bytes(),
        };
        match bytes {
            Ok(bytes) => self.end_with(response.status(), &bytes).await,
            Err(error) => Err(self.at_fault(error.into(), response.answers_head()).await),
        }
    }

    /// The error, a mistake of the application's, once the client was told, if it could be.
    async fn at_fault(&mut self, error: Error, to_head: bool) -> Error {
        let response = Response::internal_error(to_head);
        if let Ok(bytes) = response.to_bytes() {
            let _ = self.end_with(response.status(), &bytes).await;
        }
        error
    }

    async fn end_with(&mut self, status: u16, response: &[u8]) -> Result<(), Error> {
        trace::refusing(status);
        self.grant_time_to_answer();
        if self.write(response).await?.is_some() {
            self.deadline = self.io.now() + ANSWER_TIME;
            self.drain().await;
        }
        Ok(())
    }

    /// The answer has the time that is left, and some of its own.
    fn grant_time_to_answer(&mut self) {
        self.deadline = self.deadline.max(self.io.now() + ANSWER_TIME);
        self.late = false;
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
        let Self { io, unread, deadline, late, .. } = self;
        // A stream that always has a byte to read never lets us wait for the deadline.
        let behind = io.now() >= *deadline;
        if behind && *late {
            return Ok(None);
        }
        let read = poll_fn(|cx| {
            let read = unread.fill(|buffer| io.poll_read(cx, buffer, Some(*deadline)));
            match uninterrupted(cx, read) {
                Poll::Ready(read) => Poll::Ready(Ok(Some(read?))),
                Poll::Pending => time_up(io, cx, *deadline, late),
            }
        })
        .await;
        *late |= behind;
        read
    }

    /// Writes and flushes all of `bytes`; `None` when the time is up.
    async fn write(&mut self, mut bytes: &[u8]) -> Result<Option<()>, Error> {
        let Self { io, deadline, late, .. } = self;
        poll_fn(|cx| {
            while !bytes.is_empty() {
                let written = io.poll_write(cx, &bytes, Some(*deadline));
                match uninterrupted(cx, written) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                    }
                    Poll::Ready(written) => bytes.advance(written?),
                    Poll::Pending => return time_up(io, cx, *deadline, late),
                }
            }
            let flushed = io.poll_flush(cx);
            match uninterrupted(cx, flushed) {
                Poll::Ready(flushed) => Poll::Ready(Ok(Some(flushed?))),
                Poll::Pending => time_up(io, cx, *deadline, late),
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

/// `Ok(None)` once `deadline` has passed and the stream had a turn behind it: a task that comes late, or
/// that has used up its turn, does not know yet what is there.
fn time_up<R>(
    io: &mut impl Io,
    cx: &mut Context<'_>,
    deadline: Time,
    late: &mut bool,
) -> Poll<Result<Option<R>, Error>> {
    match io.poll_deadline(cx, deadline) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Ready(Ok(_)) if core::mem::replace(late, true) => Poll::Ready(Ok(None)),
        Poll::Ready(Ok(_)) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// What a client's deadline means: one error, whether it passed while dialling or behind it; unless
/// the server has refused and only the rest of its body is late.
fn timed_out(handshake: &mut ClientHandshake) -> Error {
    match handshake.handle_timeout() {
        ClientHandshakeError::TimedOut { .. } => TimeoutError::Handshake.into(),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D19: the same in all adapters that dial.
    #[test]
    fn addresses_share_what_is_left() {
        let ten = Duration::from_secs(10);
        assert_eq!(dial_share(ten, 1), ten);
        assert_eq!(dial_share(ten, 2), ten / 2);
        assert_eq!(dial_share(ten, 5), ten / 5);
        assert_eq!(dial_share(ten, 0), ten);
        assert_eq!(dial_share(Duration::ZERO, 2), Duration::ZERO);
        assert!(dial_share(Duration::MAX, usize::MAX) > Duration::ZERO);
        let refused = || Some(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(matches!(not_dialled(refused(), false), Error::Io(_)));
        assert!(matches!(not_dialled(refused(), true), Error::Timeout(TimeoutError::Handshake)));
        assert!(matches!(not_dialled(None, false), Error::Io(_)));
    }
}
