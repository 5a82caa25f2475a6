//! The sending half.

use super::monitor::Monitor;
use crate::{
    Error, IntoCloseFrame, IntoMessage, SendError,
    blocking::Duplex,
    io::{Control, Sends},
};
use alloc::{sync::Arc, vec::Vec};
use std::thread::Thread;

/// The half of a connection that sends: see [`WebSocket::split`](crate::blocking::WebSocket::split).
///
/// Every method takes `&self`, and clones send on the same connection, so any number of threads can
/// send. What several queue while one of them writes goes out with one write.
///
/// # Who goes first
/// When too much waits to be written, calls wait for room in one line, first come, first served:
///
/// 1. A [`ping`](Self::ping) or [`pong`](Self::pong) waits for room only. It goes in front of all
///    messages that wait, and between the fragments of a message.
/// 2. The writer in the middle of a message in fragments goes on with it in front of all others. Their
///    messages wait for its end.
/// 3. All other messages go in the order in which their calls began to wait.
///
/// # While nobody receives
/// A [`Reader`](super::Reader) that is in a call answers pings and keeps deadlines. While it is not,
/// or is gone, a writer looks at what has arrived once it has written, about ten times per second
/// at most and without waiting, and does the same. It goes no further than to the next message,
/// which is the reader's; if the reader is gone, everything is discarded. So a connection that only
/// sends, and sends often, may drop its reader. One that sends every 30 seconds answers a ping up to
/// 30 seconds late, and the peer may give up: keep a thread in
/// [`Reader::drain`](super::Reader::drain) there.
///
/// ```
/// use fullduplex::{CloseCode, Config, Role, blocking::WebSocket};
/// use std::{net::{TcpListener, TcpStream}, thread};
///
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let ours = TcpStream::connect(listener.local_addr()?)?;
/// # let theirs = listener.accept()?.0;
/// let ws = WebSocket::from_parts(ours, Role::Client, Config::default(), []);
/// let (_, writer) = ws.split(); // nothing is to be received
/// let sender = thread::spawn(move || {
///     thread::scope(|scope| {
///         let clone = writer.clone();
///         scope.spawn(move || clone.send("to be"));
///         writer.send("or not")
///     })?;
///     writer.close(CloseCode::NORMAL)
/// });
/// let mut peer = WebSocket::from_parts(theirs, Role::Server, Config::default(), []);
/// let mut messages = vec![peer.recv()?.unwrap(), peer.recv()?.unwrap()];
/// messages.sort_by_key(|message| message.as_text().map(str::len));
/// assert_eq!(messages, ["to be", "or not"]);
/// assert_eq!(peer.recv()?, None);
/// # sender.join().unwrap()
/// # ?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer<S: Duplex> {
    pub(super) shared: Arc<Monitor<S>>,
    /// Which of the clones this is.
    pub(super) id: u64,
}

impl<S: Duplex> Writer<S> {
    /// Sends a message, which can be [many things](IntoMessage): queues it and writes it, with
    /// everything queued before. With
    /// [`FlushPolicy::BeforeWait`](crate::FlushPolicy::BeforeWait) it is left to the reader to
    /// write it, unless that waits for the peer, or the backlog is over the mark.
    ///
    /// While another writer is in the middle of a message in fragments, this waits for its end.
    ///
    /// [A table](crate::guide::backpressure) has what this and other calls do on a peer that takes
    /// nothing.
    ///
    /// # Errors
    /// As [`WebSocket::send`](crate::blocking::WebSocket::send). [`Error::Send`] too if this writer
    /// is in the middle of a message itself, or another one was when it was dropped.
    pub fn send(&self, message: impl IntoMessage) -> Result<(), Error> {
        self.shared.send(self.sends(), |state| Ok(state.feed(message)?))
    }

    /// Queues a message, to be written by the next [`flush`](Self::flush) or
    /// [`send`](Self::send), or before the reader next waits. Never waits itself.
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed,
    /// [`Config::unsent_limit`](crate::Config::unsent_limit) bytes wait to be written, or a message in
    /// fragments is not finished.
    pub fn feed(&self, message: impl IntoMessage) -> Result<(), SendError> {
        let mut state = self.shared.lock();
        let fed = state.feed(message);
        self.shared.wake(&state);
        fed
    }

    /// Writes all that is queued and flushes the stream.
    ///
    /// # Errors
    /// [`Error::Io`] if the stream failed, [`Error::Timeout`] if the peer takes nothing,
    /// [`Error::Unsent`] if the connection ended before.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.flush(self.shared.lock())
    }

    /// Waits until a message would be accepted: until it is this writer's turn and fewer than
    /// [`Config::unsent_high_water`](crate::Config::unsent_high_water) bytes wait to be written. Another writer
    /// may take the room before this one uses it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ready(&self) -> Result<(), Error> {
        self.shared.ready(self.sends())
    }

    /// Closes the connection: sends a Close frame, waits for the peer's, at most
    /// [`Config::close_timeout`](crate::Config::close_timeout), and ends the stream in the right
    /// order. If the connection is closing or closed already, this sees it to its end.
    ///
    /// A reader in [`Reader::recv`](super::Reader::recv) gets the messages that still come. While it
    /// is in no call they are kept for it, up to
    /// [`Config::max_message_size`](crate::Config::max_message_size) bytes in all, and up to one
    /// message for each 128 of these bytes, at least 16. Later ones are discarded; after the reader
    /// is dropped, all of them are. Discarded messages are not inflated.
    ///
    /// See the [table of outcomes](crate::guide::closing) for each thing that the peer can do.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed. Any other if the
    /// end was not clean, each time; the reader is told as well.
    pub fn close(&self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        self.shared.close(&frame.into_close_frame()?)
    }

    /// Starts the closing handshake and does not wait for its end (RFC 6455 §7.1.2): queues a Close
    /// frame behind all messages and writes what the stream takes at once. Messages that come before
    /// the peer's Close are still the reader's. Does nothing if the connection is closing already.
    ///
    /// The peer has [`Config::close_timeout`](crate::Config::close_timeout) for its answer, which a
    /// call has to be under way to keep: [`close`](Self::close) does, and so does a reader. But a
    /// reader that waits in a read already does not know of that time before its read comes back,
    /// which it does for keepalive, every quarter of its interval.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed.
    pub fn start_close(&self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        self.shared.start_close(&frame.into_close_frame()?);
        Ok(())
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 §5.5.2). Its pong shows in
    /// [`Reader::recv_event`](super::Reader::recv_event). It may go between the fragments of a
    /// message, and behind our own Close until the peer's has come.
    ///
    /// # Errors
    /// [`Error::Ping`] if it is longer, otherwise as [`send`](Self::send).
    pub fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::ping(payload)?)
    }

    /// Sends a pong of at most 125 bytes that answers nothing: as
    /// [`WebSocket::pong`](crate::blocking::WebSocket::pong).
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.control(Control::pong(payload)?)
    }

    fn control(&self, control: Control) -> Result<(), Error> {
        self.shared.send(Sends::Control, |state| state.feed_control(&control))
    }

    /// Whether a message or a fragment of this writer would be accepted now: there is room, and no
    /// other writer is in the middle of a message. [`send`](Self::send) and [`ready`](Self::ready) let
    /// those go first that wait already.
    pub fn is_ready(&self) -> bool {
        let state = self.shared.lock();
        state.connection.is_ready() && !self.shared.senders().is_shut_out(self.id)
    }

    pub(super) fn first(shared: Arc<Monitor<S>>) -> Self {
        Self { shared, id: 0 }
    }

    pub(super) fn sends(&self) -> Sends {
        Sends::Message(self.id)
    }
}

/// Another writer on the same connection.
impl<S: Duplex> Clone for Writer<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), id: self.shared.senders().number() }
    }
}

impl<S: Duplex> Drop for Writer<S> {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        let state = self.shared.lock();
        self.shared.senders().abandon(self.id, &mut woken);
        self.shared.wake(&state);
        drop(state);
        woken.iter().for_each(Thread::unpark);
    }
}
