//! A request that waits for its answer.

use super::{AsyncIo, WebSocket};
use crate::{
    Error,
    handshake::{Acceptance, Acceptor, Response, UpgradeRequest},
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

    /// Opens the connection.
    ///
    /// # Errors
    /// [`Error::Acceptance`] if the answer does not fit the request, otherwise as
    /// the `accept` of the adapter.
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
    pub async fn answer(self, acceptor: &Acceptor) -> Result<WebSocket<T>, Error> {
        Box::pin(self.opening.answer(&self.request, acceptor)).await.map(WebSocket::accepted)
    }

    /// Turns the request down with an HTTP response of any status but 101, and ends the stream.
    ///
    /// # Errors
    /// [`Error::Response`] if the response cannot be used, [`Error::Io`] if the stream failed.
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
