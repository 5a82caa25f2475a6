//! The sending half.

use super::{sending::barred, shared::Shared, turns::Sending};
use crate::{
    CloseCode, CloseFrame, Closed, Error, IntoFragment, IntoMessage, Prepared, SendError,
    SendErrorReason, Stats, Unsent, blocking::Duplex, io::Control,
};
use alloc::sync::Arc;
use core::{fmt, time::Duration};

/// The half of a connection that sends: see [`WebSocket::split`](crate::blocking::WebSocket::split).
///
/// Every method takes `&self`, and clones send on the same connection, so any number of threads can
/// send. Those that wait for room are served in the order in which they came. What several queue
/// while one of them writes goes out with one write.
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
///     writer.close(CloseCode::NORMAL, "")
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
    pub(super) shared: Arc<Shared<S>>,
    /// Which of the clones this is.
    id: u64,
}

impl<S: Duplex> Writer<S> {
    pub(super) fn first(shared: Arc<Shared<S>>) -> Self {
        Self { shared, id: 0 }
    }

    pub(super) fn sending(&self) -> Sending {
        Sending::Message(self.id)
    }

    /// Sends a message: queues it and writes it, with everything queued before. With
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
        self.shared.send(self.sending(), |state| Ok(state.feed(message)?))
    }

    /// As [`send`](Self::send), of a message that is [prepared](Prepared) for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&self, message: &Prepared) -> Result<(), Error> {
        self.shared.send(self.sending(), |state| {
            let sent = state.feed_prepared(message);
            Ok(sent.map_err(|reason| message.refused(reason))?)
        })
    }

    /// Sends a fragment of a message (RFC 6455 §5.4): see
    /// [`Connection::send_fragment`](crate::Connection::send_fragment). `fin` says that it is the
    /// last. Until then clones wait with their messages, and this one accepts no other.
    ///
    /// Dropping the writer before the end leaves a message that nobody can finish: nothing but a
    /// Close can be sent then.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::Send`] if the message under way is of the other kind.
    pub fn send_fragment(&self, fragment: impl IntoFragment, fin: bool) -> Result<(), Error> {
        self.shared.send(self.sending(), |state| {
            if state.turns.is_barred(self.id) {
                return Err(barred(fragment));
            }
            let sent = state.queueing().send_fragment(fragment, fin);
            sent.map_err(|error| state.end.refused(error))?;
            state.turns.fragment(self.id, fin);
            Ok(())
        })
    }

    /// Waits until a message would be accepted: until it is this writer's turn and fewer than
    /// [`Config::unsent_mark`](crate::Config::unsent_mark) bytes wait to be written. Another writer
    /// may take the room before this one uses it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ready(&self) -> Result<(), Error> {
        self.shared.turn(self.shared.lock(), self.sending()).map(|_| ())
    }

    /// Queues a message, to be written by the next [`flush`](Self::flush) or
    /// [`send`](Self::send), or before the reader next waits. Never waits itself.
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed,
    /// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be written, or a message in
    /// fragments is not finished.
    pub fn feed(&self, message: impl IntoMessage) -> Result<(), SendError> {
        self.shared.lock().feed(message)
    }

    /// As [`feed`](Self::feed), of a message that is [prepared](Prepared) for many connections.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), with nothing to hand back.
    pub fn feed_prepared(&self, message: &Prepared) -> Result<(), SendErrorReason> {
        self.shared.lock().feed_prepared(message)
    }

    /// Writes all that is queued and flushes the stream.
    ///
    /// # Errors
    /// [`Error::Io`] if the stream failed, [`Error::Timeout`] if the peer takes nothing,
    /// [`Error::Unsent`] if the connection ended before.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.flush(self.shared.lock())
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
        self.shared.send(Sending::Control, |state| {
            let queued = control.queue(state.queueing());
            queued.map_err(|error| state.end.refused(error).into())
        })
    }

    /// Closes the connection: sends a Close frame, waits for the peer's, at most
    /// [`Config::close_timeout`](crate::Config::close_timeout), and ends the stream in the right
    /// order. If the connection is closing or closed already, this sees it to its end.
    ///
    /// A reader that is in [`Reader::recv`](super::Reader::recv) gets what still comes. While it is in
    /// no call, messages are kept for it up to
    /// [`Config::max_message_size`](crate::Config::max_message_size) bytes in all, one for each 128 of
    /// them or 16 at most, and those behind them discarded; if it was dropped, all are. What is
    /// discarded is not inflated.
    ///
    /// [A table](crate::guide::closing) has what each thing that a peer can do comes to.
    ///
    /// # Errors
    /// [`Error::Reason`] for a reason of more than 123 bytes: nothing changed. Any other if the
    /// end was not clean, each time; the reader is told as well.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.shared.close(&CloseFrame::new(code, reason)?)
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
    pub fn start_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.shared.start_close(&CloseFrame::new(code, reason)?);
        Ok(())
    }

    /// Whether messages can still be sent: no Close was sent or received, nothing has failed.
    pub fn is_open(&self) -> bool {
        self.shared.lock().connection.is_open()
    }

    /// Whether a message of this writer would be accepted now.
    pub fn is_ready(&self) -> bool {
        let state = self.shared.lock();
        state.connection.is_ready() && !state.turns.is_barred(self.id)
    }

    /// How the connection ended; `None` while it has not.
    pub fn closed(&self) -> Option<Closed> {
        self.shared.lock().connection.closed().cloned()
    }

    /// What was received and sent so far: see [`Stats`].
    pub fn stats(&self) -> Stats {
        self.shared.lock().connection.stats()
    }

    /// How long the newest ping of keepalive took to be answered: see
    /// [`Connection::round_trip`](crate::Connection::round_trip).
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().connection.round_trip()
    }

    /// What waits to be written, and once the connection is over, what never was.
    pub fn unsent(&self) -> Unsent {
        self.shared.lock().connection.unsent()
    }
}

/// Another writer on the same connection.
impl<S: Duplex> Clone for Writer<S> {
    fn clone(&self) -> Self {
        let mut state = self.shared.lock();
        state.writers += 1;
        Self { shared: self.shared.clone(), id: state.writers }
    }
}

impl<S: Duplex> Drop for Writer<S> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.turns.abandon(self.id);
        self.shared.wake(&state);
    }
}

impl<S: Duplex + fmt::Debug> fmt::Debug for Writer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("stream", &self.shared.stream)
            .field("connection", &self.shared.lock().connection)
            .finish_non_exhaustive()
    }
}
