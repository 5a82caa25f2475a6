//! The protocol after the opening handshake: one state machine, for both roles.

mod close;
mod config;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod keepalive;
mod keys;
mod outbox;
mod receive;
mod streaming;
mod time;

pub use close::{Closed, Side, Transport};
pub use config::{Config, FlushPolicy, Keepalive};
pub use error::{ProtocolError, ProtocolErrorKind, SendError, SendErrorReason, TimeoutError};
#[cfg(feature = "std")]
pub(crate) use keys::ThreadKeys;
pub use outbox::Outbox;
pub use receive::Event;
pub use time::Time;

use crate::{
    Input,
    frame::{CloseFrame, ControlPayload, Header, OpCode},
    message::{IntoMessage, MessageRef},
};
#[cfg(feature = "std")]
use alloc::vec::Vec;
use alloc::{boxed::Box, sync::Arc};
use close::{Deadline, State};
use core::fmt;
use keepalive::{Due, Idle, Pinger};
use keys::Keys;
use receive::{Receiver, Rules};
use streaming::Fragments;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that sent the request. Masks what it sends (RFC 6455 §5.1).
    Client,
    /// The end that answered it.
    Server,
}

/// A WebSocket connection without a socket, a clock or a runtime (RFC 6455 §5 to §7).
///
/// Bytes and times go in, events, bytes and deadlines come out. The opening handshake is over
/// when this starts: see [`handshake`](crate::handshake).
///
/// # The loop
/// ```
/// use fullduplex::{Config, Connection, Event, Input, Transport};
/// # fn read(buffer: &mut [u8]) -> usize { buffer[..6].copy_from_slice(b"\x88\x80abcd"); 6 }
/// # fn write(bytes: &[u8]) -> usize { bytes.len() }
/// # fn shut_down_write_side() {}
///
/// let mut connection = Connection::server(Config::default());
/// let mut buffer = vec![0; 64 * 1024];
/// # let mut turns = 0;
/// loop {
///     while !connection.outbox().is_empty() {
///         let written = write(connection.outbox().chunk());
///         connection.outbox().advance(written);
///     }
///     match connection.transport() {
///         Transport::ShutDown => {
///             shut_down_write_side();
///             connection.shutdown_complete();
///         }
///         Transport::Closed => break,
///         _ => {}
///     }
/// #   turns += 1;
/// #   let read = |buffer: &mut [u8]| if turns == 1 { read(buffer) } else { 0 };
///     let received = read(&mut buffer);
///     if received == 0 {
///         connection.receive_eof();
///         continue;
///     }
///     let mut input = Input::new(&mut buffer[..received]);
///     // An error is sticky and its Close is queued: go on flushing and discarding.
///     while let Ok(Some(event)) = connection.receive(&mut input) {
///         match event {
///             Event::Message(message) => connection.send(message)?,
///             Event::Close(frame) => println!("closed: {frame:?}"),
///             _ => {}
///         }
///     }
/// }
/// assert!(connection.closed().unwrap().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Time
/// Come back at [`poll_timeout`](Self::poll_timeout), at the latest, and call
/// [`handle_timeout`](Self::handle_timeout). Whoever leaves that out has no keepalive, no idle
/// timeout and no deadline for closing; nothing else changes.
pub struct Connection {
    keys: Keys,
    config: Arc<Config>,
    state: State,
    receiver: Receiver,
    outbox: Outbox,
    fragments: Option<Fragments>,
    pinger: Option<Pinger>,
    idle: Option<Idle>,
    #[cfg(feature = "deflate")]
    deflate: Option<Box<deflate::Deflating>>,
}

impl Connection {
    /// The server's end of a connection whose opening handshake is done.
    pub fn server(config: impl Into<Arc<Config>>) -> Self {
        Self::new(Keys::Server, config.into())
    }

    /// The client's end of a connection whose opening handshake is done. Mask keys come from the
    /// generator of the thread that sends.
    #[cfg(feature = "std")]
    pub fn client(config: impl Into<Arc<Config>>) -> Self {
        Self::client_with_keys(config, ThreadKeys)
    }

    /// As a client, with a source of mask keys: each frame takes four bytes. The bound asks for a
    /// cryptographic generator because a key that can be predicted lets a peer's script write
    /// chosen bytes onto the wire (RFC 6455 §10.3).
    pub fn client_with_keys(
        config: impl Into<Arc<Config>>,
        keys: impl rand::CryptoRng + Send + Sync + 'static,
    ) -> Self {
        Self::new(Keys::Client(Box::new(keys)), config.into())
    }

    fn new(keys: Keys, config: Arc<Config>) -> Self {
        Self::with_default(keys, config, None)
    }

    /// For an adapter, which drives time, so that keepalive is on by default.
    #[cfg(feature = "std")]
    pub(crate) fn for_adapter(role: Role, config: Arc<Config>) -> Self {
        let keys = match role {
            Role::Client => Keys::Client(Box::new(ThreadKeys)),
            Role::Server => Keys::Server,
        };
        Self::with_default(keys, config, Some(Keepalive::default()))
    }

    fn with_default(keys: Keys, config: Arc<Config>, keepalive: Option<Keepalive>) -> Self {
        Self {
            keys,
            state: State::Open,
            receiver: Receiver::new(),
            outbox: Outbox::default(),
            fragments: None,
            pinger: config.keepalive_or(keepalive).map(Pinger::new),
            idle: config.idle_timeout.map(|_| Idle::new()),
            #[cfg(feature = "deflate")]
            deflate: None,
            config,
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        match self.keys {
            Keys::Client(_) => Role::Client,
            Keys::Server => Role::Server,
        }
    }

    /// Limits and times.
    #[cfg(feature = "std")]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The next event in `input`. `None` means that all of it is consumed: nothing has to be
    /// presented again, and any buffer may come next.
    ///
    /// Pongs and the answer to a Close are queued by the time their event is out. After the
    /// peer's Close, and after an error, input is discarded.
    ///
    /// # Panics
    /// When a message that [`receive_chunk`](Self::receive_chunk) began has not ended.
    ///
    /// # Errors
    /// [`ProtocolError`] when the peer breaks the protocol or a limit: the events in front of it
    /// were delivered, the right Close is queued, nothing more is delivered, and each further
    /// call gives the same error (RFC 6455 §7.1.7).
    #[inline]
    pub fn receive<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.receive_here(input)
    }

    /// [`receive`](Self::receive) in the caller's own loop, where a message needs not be moved.
    #[inline(always)]
    pub(crate) fn receive_here<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.is_open() || !self.state.is_over() {
            let rules = rules(&self.keys, &self.config);
            if let Some(result) = self.receiver.whole(input, &rules) {
                self.interrupt();
                return match result {
                    Ok(message) => Ok(Some(Event::Message(message))),
                    Err(error) => Err(self.fail(error)),
                };
            }
        }
        self.receive_any(input)
    }

    /// As [`receive`](Self::receive), whatever it is that comes.
    #[inline(never)]
    fn receive_any<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        if self.state.is_over() {
            return self.discard(input);
        }
        assert!(!self.is_in_chunks(), "a message that `receive_chunk` began has not ended");
        if input.is_empty() {
            return Ok(None);
        }
        self.receive_next(input, false)
    }

    fn receive_next<'i>(
        &mut self,
        input: &mut Input<'i>,
        chunks: bool,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        self.interrupt();
        let rules = Rules { chunks, ..rules(&self.keys, &self.config) };
        let event = self.receiver.next(input, &rules).map_err(|error| self.fail(error))?;
        if let Some(event) = &event {
            self.control(event);
        }
        Ok(event)
    }

    /// Something came from the peer.
    #[inline]
    fn interrupt(&mut self) {
        if let Some(pinger) = &mut self.pinger {
            pinger.interrupt();
        }
    }

    /// Lets `read` append to the message that is under way, at most as much as it is told, if so
    /// much of it is to come that this pays. All input before must have been received.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn append<T>(&mut self, read: impl FnOnce(&mut Vec<u8>, usize) -> T) -> Option<T> {
        if !self.receiver.is_in_payload() || self.state.is_over() {
            return None;
        }
        self.append_here(read)
    }

    #[cfg(feature = "std")]
    #[cold]
    fn append_here<T>(&mut self, read: impl FnOnce(&mut Vec<u8>, usize) -> T) -> Option<T> {
        let before = self.receiver.progress();
        let output = self.receiver.append(read)?;
        if before != self.receiver.progress() {
            self.interrupt();
        }
        Some(output)
    }

    /// Answers a control frame (§5.5).
    fn control(&mut self, event: &Event<'_>) {
        match event {
            // §5.5.2: answered unless a Close has been received, so also after our own Close.
            Event::Ping(payload) => {
                if !matches!(self.state, State::Unwritable { .. }) {
                    let mask = self.keys.next();
                    self.outbox.push_pong(mask, payload);
                }
            }
            Event::Pong(payload) => {
                if let Some(pinger) = &mut self.pinger {
                    pinger.pong(payload);
                }
            }
            Event::Close(frame) => {
                if matches!(self.state, State::Open) {
                    // §5.5.1: the answer usually has the code that came; the reason stays theirs.
                    self.push_close(frame.as_ref().map(|frame| frame.code().into()));
                }
                self.state.peer_closed(frame.clone(), matches!(self.keys, Keys::Server));
                self.settle();
            }
            Event::Message(_) | Event::Chunk(_) => {}
        }
    }

    #[cold]
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        if matches!(self.state, State::Open) {
            let reason = alloc::format!("{}", error.kind);
            let frame = CloseFrame::new(error.close_code(), &reason)
                .unwrap_or_else(|_| error.close_code().into());
            self.push_close(Some(frame));
        }
        self.state.fail(Closed::Failed(error));
        self.settle();
        error
    }

    #[cold]
    fn discard<'i>(&mut self, input: &mut Input<'i>) -> Result<Option<Event<'i>>, ProtocolError> {
        self.state.discard(input.take_all().len(), &mut self.outbox);
        match &self.state {
            State::Ending { outcome: Closed::Failed(error), .. }
            | State::Closed(Closed::Failed(error)) => Err(*error),
            _ => Ok(None),
        }
    }

    /// The peer has sent everything: an end of file was read.
    ///
    /// After both Close frames this is a clean end; before, it is [`Closed::Abnormal`].
    pub fn receive_eof(&mut self) {
        self.state.eof(&mut self.outbox);
        self.settle();
    }

    /// A write failed for good: what is queued is lost, and nothing more can be sent. Go on
    /// reading: the peer's Close may be there already, and makes this a clean end.
    pub fn write_failed(&mut self) {
        self.state.write_failed(&mut self.outbox);
    }

    /// The transport broke: a read failed for good.
    ///
    /// After both Close frames this is a clean end; before, it is [`Closed::Abnormal`].
    pub fn transport_failed(&mut self) {
        self.state.end(&mut self.outbox);
        self.settle();
    }

    /// Drops the half of a message that nobody will get.
    fn settle(&mut self) {
        if self.state.is_over() {
            self.receiver = Receiver::new();
            #[cfg(feature = "deflate")]
            if let Some(deflate) = &mut self.deflate {
                deflate.release();
            }
        }
    }

    /// Queues a message as one frame.
    ///
    /// # Errors
    /// [`SendError`] hands the message back: the connection is closing or closed,
    /// [`Config::max_unsent`] bytes wait to be written, or a message that is sent in
    /// [fragments](Self::send_fragment) is not finished.
    #[inline]
    pub fn send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError> {
        if let Err(reason) = self.may_send() {
            return Err(SendError { reason, message: message.into_message() });
        }
        #[cfg(feature = "deflate")]
        if self.deflate.is_some()
            && self.push_compressed(message.as_message(), crate::deflate::Compression::Auto)
        {
            return Ok(());
        }
        self.push_plain(message);
        Ok(())
    }

    #[inline]
    fn push_plain(&mut self, message: impl IntoMessage) {
        let (opcode, len) = match message.as_message() {
            MessageRef::Text(text) => (OpCode::Text, text.len()),
            MessageRef::Binary(bytes) => (OpCode::Binary, bytes.len()),
        };
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(opcode, len as u64) };
        self.outbox.push_message(&header, message);
    }

    /// Queues a ping (RFC 6455 §5.5.2). The pong comes as [`Event::Pong`].
    ///
    /// # Errors
    /// The connection is closing or closed, or [`Config::max_unsent`] bytes wait to be written.
    pub fn ping(&mut self, payload: ControlPayload) -> Result<(), SendErrorReason> {
        self.may_queue()?;
        self.push_ping(payload.as_bytes());
        Ok(())
    }

    fn push_ping(&mut self, payload: &[u8]) {
        let mask = self.keys.next();
        let header = Header { mask, ..Header::new(OpCode::Ping, payload.len() as u64) };
        self.outbox.push(&header, payload);
    }

    #[inline]
    fn may_send(&self) -> Result<(), SendErrorReason> {
        if self.fragments.is_some() {
            return Err(SendErrorReason::Unfinished); // §5.4
        }
        self.may_queue()
    }

    #[inline]
    fn may_queue(&self) -> Result<(), SendErrorReason> {
        if !matches!(self.state, State::Open) {
            return Err(SendErrorReason::Closed); // §5.5.1
        }
        if self.is_over_mark() {
            return Err(SendErrorReason::Full);
        }
        Ok(())
    }

    /// An empty backlog is under any mark.
    #[inline]
    fn is_over_mark(&self) -> bool {
        !self.outbox.is_empty() && self.outbox.len() >= self.config.max_unsent
    }

    /// Whether a message would be accepted if less were waiting to be written.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_over_mark() && self.is_open()
    }

    /// Whether there is room for a message, or for a fragment of one.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.may_queue().is_ok()
    }

    /// Whether messages can still be sent: no Close was sent or received, nothing has failed.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Starts the closing handshake (RFC 6455 §7.1.2): queues a Close frame, without a code if
    /// `frame` is `None`. Messages that come before the peer's Close are still delivered. Does
    /// nothing if the connection is closing already.
    pub fn close(&mut self, frame: Option<CloseFrame>) {
        if matches!(self.state, State::Open) {
            self.push_close(frame);
            self.state = State::LocalClosing { deadline: Deadline::UNKNOWN };
        }
    }

    fn push_close(&mut self, frame: Option<CloseFrame>) {
        let mask = self.keys.next();
        let mut body = ControlPayload::EMPTY;
        if let Some(frame) = &frame {
            frame.encode(&mut body);
        }
        let length = body.as_bytes().len() as u64;
        let header = Header { mask, ..Header::new(OpCode::Close, length) };
        self.outbox.push_close(&header, body.as_bytes());
    }

    /// What is to be written: write it, and advance it by what was written. It keeps its storage
    /// for the next message, up to 256 KiB; [`Outbox::reclaim`] takes it from an idle connection.
    #[inline]
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether a message that was accepted was dropped because the transport is gone.
    #[cfg(feature = "std")]
    pub(crate) fn has_lost(&self) -> bool {
        self.outbox.is_empty() && self.outbox.has_messages()
    }

    /// What to do with the transport now. Ask after writing and after each read.
    #[inline]
    pub fn transport(&mut self) -> Transport {
        self.state.transport(&mut self.outbox)
    }

    /// The write side is shut down, as [`Transport::ShutDown`] asked.
    pub fn shutdown_complete(&mut self) {
        self.state.shutdown_complete(&mut self.outbox);
    }

    /// How the connection ended; `None` while the transport is in use.
    pub fn closed(&self) -> Option<&Closed> {
        match &self.state {
            State::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, at the latest. It may
    /// change with every other call. [`Time::EPOCH`] means at once: something has begun whose
    /// time is to be noted.
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Open => {
                let ping = self.pinger.as_ref().map(|pinger| pinger.deadline(&self.outbox));
                let idle = self.idle.as_ref().map(Idle::deadline);
                [ping, idle].into_iter().flatten().min()
            }
            state => state.deadline(),
        }
    }

    /// Does what is due at `now`: queues a keepalive ping, or gives a deadline up. Calling it too
    /// early is harmless. Read what is there before, so that a pong that has arrived counts.
    ///
    /// # Errors
    /// [`TimeoutError`], once, when the peer is given up; [`transport`](Self::transport) says how
    /// to go on.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), TimeoutError> {
        if !matches!(self.state, State::Open) {
            let timeout = self.config.close_timeout;
            let result = self.state.handle_timeout(now, timeout, &mut self.outbox);
            self.settle();
            return result;
        }
        if let (Some(idle), Some(limit)) = (&mut self.idle, self.config.idle_timeout) {
            let progress = self.receiver.progress() + self.outbox.progress();
            if idle.lasted(limit, now, progress) {
                return Err(self.time_out(TimeoutError::Idle, now));
            }
        }
        if let Some(pinger) = &mut self.pinger {
            match pinger.due(now, &self.outbox, self.receiver.frame_progress()) {
                Due::Nothing => {}
                Due::Ping(payload) => {
                    self.push_ping(&payload);
                    if let Some(pinger) = &mut self.pinger {
                        pinger.queued(now, &self.outbox);
                    }
                }
                Due::Failed => return Err(self.time_out(TimeoutError::Pong, now)),
            }
        }
        Ok(())
    }

    #[cold]
    fn time_out(&mut self, error: TimeoutError, now: Time) -> TimeoutError {
        use crate::CloseCode;
        let (code, reason) = match error {
            TimeoutError::Idle => (CloseCode::GOING_AWAY, "idle timeout"),
            _ => (CloseCode::INTERNAL_ERROR, "ping timeout"),
        };
        self.push_close(CloseFrame::new(code, reason).ok());
        self.state.fail(Closed::TimedOut(error));
        let started = self.state.handle_timeout(now, self.config.close_timeout, &mut self.outbox);
        debug_assert!(started.is_ok(), "only LocalClosing can time out here");
        self.settle();
        error
    }
}

/// What holds for what comes in whole messages.
#[inline]
fn rules<'c>(keys: &Keys, config: &'c Config) -> Rules<'c> {
    Rules { masked: matches!(keys, Keys::Server), config, chunks: false }
}

/// The state, never payloads.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("open", &self.is_open())
            .field("closed", &self.closed())
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}
