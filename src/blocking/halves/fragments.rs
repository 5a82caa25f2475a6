//! Messages in fragments, from a writer.

use super::Writer;
use crate::{
    Error, IntoFragment, MessageRef, SendError,
    blocking::Duplex,
    io::{SendFragments, block_on, send_iter, send_reader},
};
use core::task::{Context, Poll};
use std::io::Read;

impl<S: Duplex> Writer<S> {
    /// Sends a fragment of a message (RFC 6455 §5.4): see
    /// [`Connection::feed_fragment`](crate::Connection::feed_fragment). `fin` says that it is the
    /// last. Until then clones wait with their messages, and this one accepts no other.
    ///
    /// Dropping the writer before the end leaves a message that nobody can finish: nothing but a
    /// Close can be sent then.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::Send`] if the message under way is of the other kind.
    pub fn send_fragment(&self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        let sending = self.sends();
        self.shared
            .send(sending, |state| Ok(self.shared.feed_fragment(state, self.id, fragment, fin)?))
    }

    /// Queues a fragment of a message, as [`feed`](Self::feed) does a message.
    ///
    /// # Errors
    /// As [`feed`](Self::feed); and if the message under way is of the other kind, or another
    /// writer's.
    pub fn feed_fragment(&self, fragment: impl IntoFragment, fin: bool) -> Result<(), SendError> {
        let mut state = self.shared.lock();
        let fed = self.shared.feed_fragment(&mut state, self.id, fragment, fin);
        self.shared.wake(&state);
        fed
    }

    /// Whether a message that this writer sends in fragments is unfinished: then it can send no
    /// other, and clones wait for its end.
    pub fn is_in_fragments(&self) -> bool {
        self.last_fragment().is_some()
    }

    /// Sends one message whose fragments an iterator gives, as
    /// [`WebSocket::send_iter`](crate::blocking::WebSocket::send_iter) does it. Messages of clones
    /// of this writer wait for its end.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    pub fn send_iter(&self, fragments: impl IntoIterator<Item: IntoFragment>) -> Result<(), Error> {
        block_on(send_iter(&mut WriterFragments(self), fragments))
    }

    /// Sends all that a reader gives as one binary message, as
    /// [`WebSocket::send_reader`](crate::blocking::WebSocket::send_reader) does it. Messages of
    /// clones of this writer wait for its end.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment); and [`Error::Other`] with the reader's
    /// [`io::Error`](std::io::Error), after which the message is unfinished: calling this again with
    /// the same reader goes on.
    pub fn send_reader(&self, mut reader: impl Read) -> Result<u64, Error> {
        let read = |_: &mut Context<'_>, buffer: &mut [u8]| Poll::Ready(reader.read(buffer));
        block_on(send_reader(&mut WriterFragments(self), read))
    }

    /// The empty fragment that ends the message of this writer, if one is under way.
    fn last_fragment(&self) -> Option<MessageRef<'static>> {
        let state = self.shared.lock();
        let is_mine = self.shared.senders().fragments_of() == Some(self.id);
        is_mine.then(|| state.connection.last_fragment())?
    }
}

/// A message that a writer sends in fragments. Each call waits by itself.
struct WriterFragments<'w, S: Duplex>(&'w Writer<S>);

impl<S: Duplex> SendFragments for WriterFragments<'_, S> {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(self.0.ready())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(self.0.flush())
    }

    /// Waits for its turn under the same lock: a clone may have begun a message since it was ready.
    fn feed_fragment(&mut self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        let (shared, id) = (&self.0.shared, self.0.id);
        let queued = shared
            .queue(self.0.sends(), |state| Ok(shared.feed_fragment(state, id, fragment, fin)?));
        queued.map(|state| shared.wake(&state))
    }

    fn last_fragment(&self) -> Option<MessageRef<'static>> {
        self.0.last_fragment()
    }

    fn sends_strictly(&self) -> bool {
        self.0.shared.lock().sends_strictly()
    }
}
