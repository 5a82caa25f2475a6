//! The protocol after the opening handshake: one state machine, for both roles.

mod close;
mod config;
mod error;
#[cfg(feature = "deflate")]
mod extension;
mod keys;
mod receive;
mod send;
mod stats;
mod time;

pub use close::{Closed, Side, Transport};
pub use config::{Config, FlushPolicy, Keepalive};
#[cfg(feature = "std")]
pub use error::StreamError;
#[cfg(feature = "std")]
pub(crate) use error::with;
pub use error::{
    CloseCause, ProtocolError, ProtocolErrorKind, SendError, SendErrorReason, TimeoutError,
};
#[cfg(feature = "std")]
pub(crate) use keys::ThreadKeys;
pub use receive::{Event, ReceiveBudget};
pub use send::{Outbox, Prepared, Unsent};
pub use stats::Stats;
pub use time::Time;

use crate::frame::{CloseFrame, ControlPayload, Header, OpCode};
use alloc::{boxed::Box, sync::Arc};
use close::{CloseDeadline, Phase};
use core::fmt;
use keys::Keys;
use receive::Receiver;
use send::SendBuffer;
use stats::Sent;
use time::{Idle, Pinger};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that sent the request. It masks its frames (RFC 6455 §5.1).
    Client,
    /// The end that answered the request.
    Server,
}

/// A WebSocket connection without a socket, a clock or a runtime (RFC 6455 §5 to §7).
///
/// Bytes and times go in. Events, bytes and deadlines come out. Do the opening
/// [`handshake`](crate::handshake) first. See the tables of the result of each input in each state:
/// [receiving](crate::guide::specification::receiving),
/// [closing](crate::guide::specification::closing).
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
/// # Back-pressure
/// Two numbers bound what waits to be written. At the [mark](Config::unsent_mark), 256 KiB, you should
/// wait. At the [limit](Config::max_unsent), 1 MiB, [`send`](Self::send),
/// [`send_fragment`](Self::send_fragment) and [`ping`](Self::ping) fail with
/// [`Full`](SendErrorReason::Full). Answers to pings, a Close and keepalive pings are always accepted.
/// So at most the limit, one message and some control frames wait. An empty backlog is under both
/// numbers, whatever they are. See the [result of each call](crate::guide::backpressure), also in the
/// adapters.
///
/// [`is_ready`](Self::is_ready) says whether you are under the mark; it stops nothing. If you answer each
/// message, stop receiving while it is false, or the peer decides how much you hold.
/// [`unsent`](Self::unsent) says how much waits, and at the end how much was lost.
///
/// Control frames go out after the bytes [in the outbox](Self::outbox). With
/// [`Config::max_sent_frame`] those are few: 16 KiB and a fragment. But if you send another message
/// after a large one, the large one is queued as a whole. A Close waits for all of it.
///
/// # Time
/// Call [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout) at the latest.
/// Without these calls there is no keepalive, no idle timeout and no deadline for closing; nothing else
/// changes.
pub struct Connection {
    keys: Keys,
    config: Arc<Config>,
    state: Phase,
    receiver: Receiver,
    outbox: SendBuffer,
    sent: Sent,
    /// This and the next are in boxes: both together would make every connection larger.
    pinger: Option<Box<Pinger>>,
    idle: Option<Box<Idle>>,
    #[cfg(feature = "deflate")]
    deflate: Option<Box<send::Deflating>>,
}

impl Connection {
    /// A server's connection, after the opening handshake.
    pub fn server(config: impl Into<Arc<Config>>) -> Self {
        Self::new(Keys::Server, config.into())
    }

    /// A client's connection, after the opening handshake. Mask keys come from the generator of the
    /// thread that sends.
    #[cfg(feature = "std")]
    pub fn client(config: impl Into<Arc<Config>>) -> Self {
        Self::client_with_keys(config, ThreadKeys)
    }

    /// A client's connection with your own source of mask keys. Each frame takes four bytes. It has to
    /// be a cryptographic generator: if keys can be predicted, a script of the peer can write chosen
    /// bytes onto the wire (RFC 6455 §10.3).
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
            state: Phase::Open,
            receiver: Receiver::new(),
            outbox: SendBuffer::default(),
            sent: Sent::default(),
            pinger: config.keepalive_or(keepalive).map(|_| Box::new(Pinger::new())),
            idle: config.idle_timeout.map(|_| Box::new(Idle::new())),
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

    /// Call this when a read found the end of the stream: the peer has sent everything.
    ///
    /// After both Close frames this is a clean end, before that [`Closed::Abnormal`].
    pub fn receive_eof(&mut self) {
        self.state.eof(&mut self.outbox);
        self.settle();
    }

    /// Call this when a write failed for good. What is queued is lost, and nothing more can be sent. Go
    /// on reading: the peer's Close may have arrived, and makes this a clean end.
    pub fn write_failed(&mut self) {
        self.state.write_failed(&mut self.outbox);
        self.settle();
    }

    /// Call this when a read failed for good: the transport broke.
    ///
    /// After both Close frames this is a clean end, before that [`Closed::Abnormal`].
    pub fn transport_failed(&mut self) {
        self.state.end(&mut self.outbox);
        self.settle();
    }

    /// Drops a partial message, once nothing more can be received.
    fn settle(&mut self) {
        if self.state.is_over() {
            #[cfg(feature = "deflate")]
            if let (Some(deflate), false) = (&mut self.deflate, self.outbox.is_cut()) {
                deflate.release();
            }
            self.receiver.stop();
        }
    }

    /// Whether you can still send messages: no Close was sent or received, and nothing has failed.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, Phase::Open)
    }

    /// Starts the closing handshake (RFC 6455 §7.1.2): queues a Close frame after all messages that
    /// were accepted, without a code if `frame` is `None`. You still get the messages that come before
    /// the peer's Close. Does nothing if the connection is closing already.
    pub fn close(&mut self, frame: Option<CloseFrame>) {
        if matches!(self.state, Phase::Open) {
            self.push_close(frame);
            self.state = Phase::LocalClosing { deadline: CloseDeadline::UNKNOWN };
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
        self.sent.others += 1;
        self.outbox.push_close(&header, body.as_bytes());
    }

    /// The bytes to write. Write them, and advance it by the number that was written. It keeps its
    /// storage for the next message, up to 256 KiB; [`Outbox::reclaim`] takes that from an idle
    /// connection.
    ///
    /// Call this again after each write: it makes the next
    /// [fragments](Config::max_sent_frame) of a large message.
    #[inline]
    pub fn outbox(&mut self) -> Outbox<'_> {
        Outbox::new(self.send_buffer())
    }

    /// As [`outbox`](Self::outbox), for an adapter, which says what its stream has flushed.
    #[inline]
    pub(crate) fn send_buffer(&mut self) -> &mut SendBuffer {
        if self.outbox.is_cut() {
            self.top_up();
        }
        &mut self.outbox
    }

    /// Whether something is left to be written or flushed, now or later.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        !self.outbox.is_drained()
    }

    /// How many of all bytes that were ever queued are flushed.
    #[cfg(feature = "std")]
    pub(crate) fn total_flushed(&self) -> u64 {
        self.outbox.totals().1
    }

    /// Whether a message that was accepted was dropped because the transport is gone.
    #[cfg(feature = "std")]
    pub(crate) fn has_lost(&self) -> bool {
        self.outbox.has_lost()
    }

    /// The thing to do with the transport now. Call this after writing and after each read.
    #[inline]
    pub fn transport(&mut self) -> Transport {
        self.state.transport(&mut self.outbox)
    }

    /// Call this when you have shut the write side down, as [`Transport::ShutDown`] asked.
    pub fn shutdown_complete(&mut self) {
        self.state.shutdown_complete(&mut self.outbox);
    }

    /// How the connection ended; `None` while the transport is in use.
    pub fn closed(&self) -> Option<&Closed> {
        match &self.state {
            Phase::Closed(closed) => Some(closed),
            _ => None,
        }
    }
}

impl Connection {
    /// How the connection ended, or will end for certain.
    #[cfg(feature = "std")]
    pub(crate) fn outcome(&self) -> Option<&Closed> {
        match &self.state {
            Phase::Ending { outcome, .. } | Phase::Closed(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether we have queued or sent a Close, and the peer's has not come.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, Phase::LocalClosing { .. })
    }
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
