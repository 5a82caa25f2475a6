//! Messages that are too large to be held, or of which not all is there yet.

use super::{Timeouts, WebSocket};
use crate::{
    Chunk, Error, IntoFragment, SendError,
    io::{Driver, block_on, send_fragment, send_iter, send_reader},
};
use core::task::Poll;
use std::io::{Read, Write};

impl<S: Read + Write + Timeouts> WebSocket<S> {
    /// The next part of a message, or `None` once the connection was closed cleanly: for messages of
    /// any size, of which nothing is held. Until the [last](Chunk::is_last) part of a message was
    /// taken, [`recv`](Self::recv) and its like give [`Error::Unfinished`]. The limits on what is
    /// received do not hold; otherwise this is like `recv`.
    ///
    /// ```no_run
    /// # use std::{fs::File, io::Write, net::TcpStream};
    /// # type WebSocket = fullduplex::blocking::WebSocket<TcpStream>;
    /// /// Writes the next message to a file, whatever its size.
    /// fn save(ws: &mut WebSocket, file: &mut File) -> Result<(), fullduplex::Error> {
    ///     while let Some(chunk) = ws.recv_chunk()? {
    ///         file.write_all(chunk.as_bytes())?;
    ///         if chunk.is_last() {
    ///             break;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// For text as `&str`s see [`TextPieces`](crate::message::TextPieces).
    ///
    /// # Errors
    /// As [`recv`](Self::recv). What is wrong with a message may show after its first parts.
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.block(Driver::poll_chunk)
    }

    /// Sends a fragment of a message (RFC 6455 §5.4): see
    /// [`Connection::feed_fragment`](crate::Connection::feed_fragment). `fin` says that it is the
    /// last. Until then no other message is accepted.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::Send`] if the message under way is of the other kind.
    pub fn send_fragment(&mut self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        block_on(send_fragment(&mut self.driver, fragment, fin))
    }

    /// Queues a fragment of a message, as [`feed`](Self::feed) does a message.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), and if the message under way is of the other kind.
    pub fn feed_fragment(
        &mut self,
        fragment: impl IntoFragment,
        fin: bool,
    ) -> Result<(), SendError> {
        self.driver.session.feed_fragment(fragment, fin)
    }

    /// Whether a message that is sent in fragments is unfinished: then no other is accepted.
    pub fn is_in_fragments(&self) -> bool {
        self.driver.connection.is_in_fragments()
    }

    /// Sends one message whose fragments an iterator gives: all text, each UTF-8 by itself, or all
    /// binary. Each is sent as [`send_fragment`](Self::send_fragment) does it, once the iterator has
    /// given the next, or its end: so the last says that it is the last. Without any, a message that
    /// is under way already is ended by an empty fragment, and otherwise nothing is sent. See
    /// [the module](super#messages-too-large-to-hold) for what holds meanwhile.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::blocking::connect("ws://127.0.0.1:9001/")?;
    /// ws.send_iter((1..1_000_000).map(|i| format!("{i}\n")))
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    pub fn send_iter(
        &mut self,
        fragments: impl IntoIterator<Item: IntoFragment>,
    ) -> Result<(), Error> {
        block_on(send_iter(&mut self.driver, fragments))
    }

    /// Sends all that a reader gives as one binary message: how many bytes that were. What one read
    /// gives, at most 64 KiB, is a fragment, sent as [`send_fragment`](Self::send_fragment) does
    /// it; the end is an empty one. So nothing waits for what comes later, and one buffer is
    /// all that is held. See [the module](super#messages-too-large-to-hold) for what holds meanwhile.
    ///
    /// ```no_run
    /// # use std::fs::File;
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// let mut ws = fullduplex::blocking::connect("ws://127.0.0.1:9001/")?;
    /// let bytes = ws.send_reader(File::open("large")?)?;
    /// # println!("{bytes}"); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment); and [`Error::Other`] with the reader's
    /// [`io::Error`](std::io::Error), after which the message is unfinished: calling this again with
    /// the same reader goes on.
    pub fn send_reader(&mut self, mut reader: impl Read) -> Result<u64, Error> {
        block_on(send_reader(&mut self.driver, |_, buffer| Poll::Ready(reader.read(buffer))))
    }
}
