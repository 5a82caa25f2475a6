//! The receiving half.

use super::{Writer, monitor::Monitor, monitor_state::ReaderIs};
use crate::{
    Chunk, Error, Event, Message,
    blocking::{Duplex, WebSocket},
    io::Pace,
};
use alloc::sync::Arc;
use core::{fmt, mem, ops::ControlFlow};

/// The half of a connection that receives: see [`WebSocket::split`].
///
/// While it is in a call it sees to the whole connection: it answers pings, completes the closing
/// handshake, keeps deadlines, and writes what was queued and nobody else is writing. Between its
/// calls the writers do, as far as they can: see [`Writer`]. If you do not want to receive, drop
/// it: what comes is then discarded.
///
/// Dropping both halves drops the stream, without a Close frame.
///
/// ```
/// use fullduplex::{Config, Role, blocking::WebSocket};
/// use std::{net::{TcpListener, TcpStream}, thread};
///
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let ours = TcpStream::connect(listener.local_addr()?)?;
/// # let theirs = listener.accept()?.0;
/// let (mut reader, writer) = WebSocket::from_parts(ours, Role::Client, Config::default(), []).split();
/// let sender = thread::spawn(move || writer.send("to be"));
///
/// let mut peer = WebSocket::from_parts(theirs, Role::Server, Config::default(), []);
/// assert_eq!(peer.recv()?, Some("to be".into()));
/// peer.send("or not")?;
/// assert_eq!(reader.recv()?, Some("or not".into()));
/// # sender.join().unwrap()
/// # ?; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader<S: Duplex> {
    pub(super) shared: Arc<Monitor<S>>,
}

impl<S: Duplex> Reader<S> {
    pub(super) fn new(shared: Arc<Monitor<S>>) -> Self {
        Self { shared }
    }

    /// The next message, or `None` once the connection was closed cleanly: as
    /// [`WebSocket::recv`]. A writer that waits for the peer to take something does not hold it up.
    ///
    /// # Errors
    /// [`Error`] when the connection ended in any other way, once; after that, `None`.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.shared.receive(Pace::Any, |event, _| match event {
            Event::Message(message) => ControlFlow::Break(message.into_message()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// As [`recv`](Self::recv), with pings, pongs and the peer's Close as events too. Of pings and
    /// pongs that came while this was not in a call, the last 16 may be all that shows.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.shared.receive(Pace::Any, |event, _| ControlFlow::Break(event.into_owned()))
    }

    /// Receives and discards all that comes until the connection is over: for a connection that
    /// only sends. Pings are answered, what writers queue is written, and deadlines run meanwhile.
    /// If you drop the reader instead, pings are answered only while a writer sends. Messages are
    /// neither held nor inflated, so limits on them do not hold.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// use std::{thread, time::Duration};
    ///
    /// let (mut reader, writer) = fullduplex::blocking::connect("ws://127.0.0.1:9001/")?.split();
    /// thread::spawn(move || reader.drain());
    /// loop {
    ///     writer.send("tick")?;
    ///     thread::sleep(Duration::from_secs(30));
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn drain(&mut self) -> Result<(), Error> {
        self.shared.drain()
    }

    /// The next part of a message, or `None` once the connection was closed cleanly: as
    /// [`WebSocket::recv_chunk`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv). What is wrong with a message may show after its first parts.
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.shared.receive(Pace::Chunks, |event, _| match event {
            Event::Chunk(chunk) => ControlFlow::Break(chunk.into_owned()),
            Event::Message(pending) => ControlFlow::Break(Chunk::whole(pending).into_owned()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Makes one connection of the halves again. What was queued and received is still there.
    ///
    /// # Errors
    /// [`ReuniteError`] hands both back: they are not of one connection, or the writer has clones.
    pub fn reunite(self, writer: Writer<S>) -> Result<WebSocket<S>, ReuniteError<S>> {
        // No other thread can make this two and not one: both are ours.
        let alone = Arc::strong_count(&self.shared) == 2;
        if !alone || !Arc::ptr_eq(&self.shared, &writer.shared) {
            return Err(ReuniteError { reader: self, writer });
        }
        let shared = self.shared.clone();
        let pending = shared.lock().pending.take(); // a reader that is dropped discards it
        drop((self, writer));
        let mut shared = Arc::into_inner(shared).expect("nobody else has the connection");
        let opened = mem::take(&mut shared.opened);
        let mut driver = shared.into_driver().expect("nobody else has the stream");
        driver.session.pending = pending;
        Ok(WebSocket { driver, opened })
    }
}

impl<S: Duplex> Drop for Reader<S> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        (state.reader, state.session.pending) = (ReaderIs::Gone, None);
        self.shared.wake(&state);
    }
}

/// [`Reader::reunite`] was given halves that do not make a connection: nothing changed.
///
/// ```
/// use fullduplex::{Config, Role, blocking::WebSocket};
/// # use std::net::{TcpListener, TcpStream};
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let stream = TcpStream::connect(listener.local_addr()?)?;
///
/// let (reader, writer) = WebSocket::from_parts(stream, Role::Client, Config::default(), []).split();
/// let clone = writer.clone();
/// let error = reader.reunite(writer).unwrap_err();
/// drop(clone);
/// assert!(error.reader.reunite(error.writer).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ReuniteError<S: Duplex> {
    /// The half that receives.
    pub reader: Reader<S>,
    /// The half that sends.
    pub writer: Writer<S>,
}

impl<S: Duplex> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these halves are not all there is of one connection")
    }
}

impl<S: Duplex> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: Duplex> core::error::Error for ReuniteError<S> {}
