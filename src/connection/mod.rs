//! The protocol after the opening handshake: one state machine, for both roles.

// rustdoc shows the methods of `Connection` in the order of these modules.
mod role;
pub use role::Role;
mod receive;
pub use receive::{Event, ReceiveBudget};
mod send;
pub use send::{IntoFragment, IntoMessage, Outbox, Prepared, TextFragment, Unsent};
mod transport;
pub use transport::Transport;
mod close;
pub use close::{Closed, Side};
mod time;
pub use time::Time;
mod stats;
pub use stats::Stats;
#[cfg(feature = "deflate")]
mod extension;

mod config;
mod error;
mod keys;

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
#[cfg(feature = "std")]
pub(crate) use send::unfinished;

use alloc::{boxed::Box, sync::Arc};
use close::Phase;
use core::fmt;
use keys::Keys;
use receive::Receiver;
use send::SendBuffer;
use stats::Sent;
use time::{Idle, Pinger};

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
///             Event::Message(message) => connection.feed(message)?,
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
/// wait. At the [limit](Config::max_unsent), 1 MiB, [`feed`](Self::feed),
/// [`feed_fragment`](Self::feed_fragment) and [`ping`](Self::ping) fail with
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
