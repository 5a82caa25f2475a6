//! Requests where plain HTTP may come on the same port.

use super::{Timeouts, Upgrade, stream::BlockingIo};
use crate::{
    Error,
    handshake::{AnyRequest, HttpRequest, Response},
    io::{Opening, block_on},
};
use core::fmt;
use std::io::{Read, Write};

/// What a client asked for, where plain HTTP may come on the same port.
///
/// It comes from [`upgrade_or_http`](super::upgrade_or_http).
///
/// ```no_run
/// use fullduplex::{Config, Error, blocking::{self, UpgradeOrHttp}, handshake::{AcceptPolicy, Response}};
/// use std::net::TcpStream;
///
/// fn serve(stream: TcpStream) -> Result<(), Error> {
///     let upgrade = match blocking::upgrade_or_http(stream, Config::default())? {
///         UpgradeOrHttp::Upgrade(upgrade) => upgrade,
///         UpgradeOrHttp::Http(exchange) => {
///             let response = match exchange.request().path() {
///                 "/health" => Response::new(200).with_body("fine"),
///                 _ => Response::new(404),
///             };
///             return exchange.respond(&response);
///         }
///     };
///     upgrade.answer(&AcceptPolicy::new())?.run(|message, out| out.feed(message))
/// }
/// ```
#[derive(Debug)]
pub enum UpgradeOrHttp<S> {
    /// An upgrade to WebSocket.
    Upgrade(Upgrade<S>),
    /// Plain HTTP: a GET or HEAD that has nothing to do with WebSocket.
    Http(HttpExchange<S>),
}

impl<S: Read + Write + Timeouts> UpgradeOrHttp<S> {
    pub(super) fn read(mut opening: Opening<BlockingIo<S>>) -> Result<Self, Error> {
        Ok(match block_on(opening.any_request())? {
            AnyRequest::Upgrade(request) => Self::Upgrade(Upgrade::new(opening, request)),
            AnyRequest::Http(request) => Self::Http(HttpExchange { opening, request }),
        })
    }
}

/// A request of plain HTTP that waits for its answer: see [`UpgradeOrHttp`].
pub struct HttpExchange<S> {
    opening: Opening<BlockingIo<S>>,
    request: HttpRequest,
}

impl<S: Read + Write + Timeouts> HttpExchange<S> {
    /// What the client asks for.
    pub fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// Answers, to HEAD without the content, and ends the stream. However long you took, the answer
    /// has two seconds of its own to be written, and the client as long to read it.
    ///
    /// # Errors
    /// [`Error::Response`] if the response cannot be used: the client was told that the server is at
    /// fault, with status 500. [`Error::Io`] if the stream failed.
    pub fn respond(mut self, response: &Response) -> Result<(), Error> {
        let response = self.request.answer(response.clone());
        block_on(self.opening.reject(&response))
    }
}

impl<S> fmt::Debug for HttpExchange<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpExchange").field("request", &self.request).finish_non_exhaustive()
    }
}
