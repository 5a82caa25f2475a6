//! A request that waits for its answer: an upgrade, or plain HTTP on the same port.

use super::{AsyncIo, WebSocket};
use crate::{
    Error,
    handshake::{AcceptPolicy, Acceptance, AnyRequest, HttpRequest, Response, UpgradeRequest},
    io::Opening,
};
use alloc::boxed::Box;
use core::fmt;

/// A client's request that waits for its answer.
///
/// It comes from the `upgrade` of an adapter.
///
/// ```
/// use fullduplex::{Error, asynchronous::{AsyncIo, Upgrade}, handshake::{Acceptance, Response}};
///
/// async fn serve(upgrade: Upgrade<impl AsyncIo>) -> Result<(), Error> {
///     if upgrade.request().path() != "/chat" {
///         return upgrade.reject(&Response::new(404)).await;
///     }
///     let mut ws = upgrade.accept(&Acceptance::new()).await?;
///     ws.send("hello").await
/// }
/// ```
pub struct Upgrade<T> {
    opening: Opening<T>,
    request: UpgradeRequest,
}

impl<T: AsyncIo> Upgrade<T> {
    pub(crate) fn new(opening: Opening<T>, request: UpgradeRequest) -> Self {
        Self { opening, request }
    }

    /// What the client asks for.
    pub fn request(&self) -> &UpgradeRequest {
        &self.request
    }

    /// Opens the connection. However long you took to decide, the answer has two seconds of its own to
    /// be written.
    ///
    /// # Errors
    /// [`Error::Acceptance`] if the answer does not fit the request: the client was told that the
    /// server is at fault, with status 500. [`Error::Timeout`] if the client does not take it in time,
    /// [`Error::Io`] if the stream failed.
    ///
    /// # Cancel safety
    /// Not safe: if it is dropped, so is the stream, perhaps with half an answer on it.
    pub async fn accept(self, acceptance: &Acceptance) -> Result<WebSocket<T>, Error> {
        Box::pin(self.opening.accept(&self.request, acceptance)).await.map(WebSocket::accepted)
    }

    /// Answers as a policy says.
    ///
    /// # Errors
    /// As the `accept` of the adapter.
    ///
    /// # Cancel safety
    /// Not safe: if it is dropped, so is the stream, perhaps with half an answer on it.
    pub async fn answer(self, acceptor: &AcceptPolicy) -> Result<WebSocket<T>, Error> {
        Box::pin(self.opening.answer(&self.request, acceptor)).await.map(WebSocket::accepted)
    }

    /// Turns the request down with an HTTP response of any status but 101, and ends the stream. As for
    /// [`accept`](Self::accept), it has two seconds of its own.
    ///
    /// # Errors
    /// [`Error::Response`] if the response cannot be used, such as a 101 of another request: the client
    /// was told that the server is at fault, with status 500. [`Error::Io`] if the stream failed.
    ///
    /// # Cancel safety
    /// Not safe: if it is dropped, so is the stream, perhaps with half an answer on it.
    pub async fn reject(mut self, response: &Response) -> Result<(), Error> {
        self.opening.reject(response).await
    }
}

impl<T> fmt::Debug for Upgrade<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("request", &self.request).finish_non_exhaustive()
    }
}

/// What a client asked for, where plain HTTP may come on the same port.
///
/// It comes from the `upgrade_or_http` of an adapter.
///
/// ```
/// use fullduplex::{Error, asynchronous::{AsyncIo, UpgradeOrHttp}, handshake::{AcceptPolicy, Response}};
///
/// async fn serve(upgrade_or_http: UpgradeOrHttp<impl AsyncIo>) -> Result<(), Error> {
///     let upgrade = match upgrade_or_http {
///         UpgradeOrHttp::Upgrade(upgrade) => upgrade,
///         UpgradeOrHttp::Http(exchange) => {
///             let response = match exchange.request().path() {
///                 "/health" => Response::new(200).with_body("fine"),
///                 _ => Response::new(404),
///             };
///             return exchange.respond(&response).await;
///         }
///     };
///     let mut ws = upgrade.answer(&AcceptPolicy::new()).await?;
///     ws.send("hello").await
/// }
/// ```
#[derive(Debug)]
pub enum UpgradeOrHttp<T> {
    /// An upgrade to WebSocket.
    Upgrade(Upgrade<T>),
    /// Plain HTTP: a GET or HEAD that has nothing to do with WebSocket.
    Http(HttpExchange<T>),
}

impl<T: AsyncIo> UpgradeOrHttp<T> {
    pub(crate) async fn read(mut opening: Opening<T>) -> Result<Self, Error> {
        Ok(match Box::pin(opening.any_request()).await? {
            AnyRequest::Upgrade(request) => Self::Upgrade(Upgrade::new(opening, request)),
            AnyRequest::Http(request) => Self::Http(HttpExchange { opening, request }),
        })
    }
}

/// A request of plain HTTP that waits for its answer: see [`UpgradeOrHttp`].
pub struct HttpExchange<T> {
    opening: Opening<T>,
    request: HttpRequest,
}

impl<T: AsyncIo> HttpExchange<T> {
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
    ///
    /// # Cancel safety
    /// Not safe: if it is dropped, so is the stream, perhaps with half an answer on it.
    pub async fn respond(mut self, response: &Response) -> Result<(), Error> {
        let response = self.request.answer(response.clone());
        Box::pin(self.opening.reject(&response)).await
    }
}

impl<T> fmt::Debug for HttpExchange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpExchange").field("request", &self.request).finish_non_exhaustive()
    }
}
