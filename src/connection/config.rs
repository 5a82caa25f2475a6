//! Limits and times of a connection.

use super::ReceiveBudget;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::handshake::HeadLimits;
#[cfg(feature = "std")]
use alloc::sync::Arc;
use core::time::Duration;

/// Limits and times of a connection, with defaults that are safe on the open internet.
///
/// One `Config` serves any number of connections: put it into an `Arc` and clone that.
///
/// ```
/// use fullduplex::{Config, Keepalive};
/// use core::time::Duration;
///
/// let config = Config::default()
///     .max_message_size(64 * 1024)
///     .keepalive(Keepalive::every(Duration::from_secs(10)))
///     .close_timeout(Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Never more than a buffer can hold on this platform.
    pub(crate) max_message_size: usize,
    /// The largest number where nothing was set.
    pub(crate) max_frame_size: usize,
    pub(crate) max_fragments: u32,
    pub(super) receive_budget: Option<ReceiveBudget>,
    /// This and the next are never zero, as no backlog is never too much.
    unsent_mark: usize,
    pub(crate) max_unsent: usize,
    /// Never zero; without a limit the largest number.
    pub(crate) max_sent_frame: usize,
    keepalive: Setting<Keepalive>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) close_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) head_limits: HeadLimits,
    pub(crate) flush_policy: FlushPolicy,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Deflate>,
}

/// A setting whose default differs between the core and the adapters.
#[derive(Clone, Debug)]
enum Setting<T> {
    Unset,
    Off,
    On(T),
}

/// When a silent peer is pinged and when it is given up (RFC 6455 §5.5.2).
///
/// - **Life** is every byte that comes, of whatever frame. A ping goes out once none has come for
///   `interval`, or up to a quarter longer; any byte ends the wait that begins then.
/// - **The wait** lasts `pong_timeout` from when the transport has taken the ping, or, as long as it is
///   full, from when it last took anything; and longer by the time that a slow path may need to
///   deliver what was sent before.
/// - **A dead peer** is found with default settings within 51.25 seconds on an idle connection. While
///   much is being sent to it that may take up to 1,024 seconds more, which is the longest a path may
///   need: 4 MiB at 4 KiB per second.
///
/// A peer that only sends data and never a pong lives, and so does one that is slow: as long as a
/// transport that was full goes on taking what you send, there is no verdict. Something in between
/// that takes everything and delivers nothing looks the same; where that must not hold a connection
/// open, use an answer of your own and a deadline for it. A peer is given
/// up no sooner than what has arrived was read once more, so a process that was stopped for a while
/// drops nobody.
///
/// # What a path may hold
/// A transport takes bytes long before the peer has them: Linux keeps up to 4 MiB, and a ping waits
/// behind them. Without asking the system the connection knows a bound for what is still on the way:
/// what was taken lately, less what a path delivers at
/// [its slowest](Self::slowest_path), and 4 MiB at most. After 1 MiB at once it waits up to 256
/// seconds longer; a chat that sends 100 bytes per second does not wait longer at all.
///
/// Paths that show that they are faster have less time: of what was taken beyond 4 MiB, and of what
/// lies in front of a ping that was answered, it is known when it was delivered. A quarter of that
/// speed is relied on, and no more than a quarter of what can have been delivered since. So a dead peer
/// that was being sent `R` bytes per second without a pause is found later than one of an idle
/// connection by at most 150 seconds (six times the interval) or 40 MiB / `R`, whichever is more: 419
/// seconds for 100 kB/s, 150 for 1 MB/s and for all that is faster. While so much is being sent that
/// an answer may take longer than `pong_timeout`, a ping goes out every `interval` although the peer is
/// not silent, to learn how far that has come.
///
/// # Round trips
/// Each answer gives a round-trip time: [`Connection::round_trip`](crate::Connection::round_trip).
///
/// # Defaults
/// An interval of 25 seconds and a pong timeout of 20: the first keeps a connection alive through the
/// proxies and address translators that drop silent ones after 30 to 60 seconds, and together they
/// find a dead peer in less than a minute without holding a mobile client's radio awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// This and the next are never less than [`SHORTEST`].
    pub(crate) interval: Duration,
    pub(crate) pong_timeout: Duration,
    /// In bytes per second, never zero.
    pub(crate) slowest_path: u32,
}

/// Shorter times are taken for this one: a deadline that does not move would be a loop.
const SHORTEST: Duration = Duration::from_millis(1);

impl Keepalive {
    /// Pings after `interval` of silence, and otherwise the default. Less than a millisecond counts as
    /// one; [`Config::no_keepalive`] turns it off, and so in effect does [`Duration::MAX`].
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.max(SHORTEST), ..Self::default() }
    }

    /// How long to wait for a sign of life, beyond what a slow path may need. Default: 20 seconds. Less
    /// than a millisecond counts as one; [`Duration::MAX`] gives nobody up.
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout.max(SHORTEST);
        self
    }

    /// The slowest path that counts as alive, in bytes per second: so fast is delivered at least what
    /// was sent. Default: 4 KiB. A larger number finds dead peers sooner that were being sent to, and
    /// gives up those whose path is slower; [`u32::MAX`] makes no allowance for what is on the way. Zero
    /// counts as one.
    ///
    /// ```
    /// use fullduplex::{Config, Keepalive};
    ///
    /// // In the own network: 4 MiB on the way make a wait 4 seconds longer at most.
    /// let config = Config::default().keepalive(Keepalive::default().slowest_path(1 << 20));
    /// ```
    pub fn slowest_path(mut self, bytes_per_second: u32) -> Self {
        self.slowest_path = bytes_per_second.max(1);
        self
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        let (interval, pong_timeout) = (Duration::from_secs(25), Duration::from_secs(20));
        Self { interval, pong_timeout, slowest_path: 4 << 10 }
    }
}

/// When an adapter's `send` writes to the transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// `send` queues and flushes: when it returns, the transport has the message. One write per
    /// message.
    #[default]
    Strict,
    /// `send` only queues, as `feed` does; the queue is written before the next receive waits,
    /// when it reaches [`Config::unsent_mark`], and by `flush`. One write per batch: the choice for
    /// handlers that answer what they receive. A handler that sends and then waits for anything
    /// but a receive has to flush.
    BeforeWait,
}

impl Config {
    /// The largest message that is accepted, in bytes of its whole payload. A larger one fails
    /// the connection with 1009, before anything is reserved for it. Default: 16 MiB, which bounds
    /// what one peer can make us hold. More than a buffer can hold (2 GiB where `usize` has 32 bits)
    /// is taken for just that much; this goes for [`max_frame_size`](Self::max_frame_size) too.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes.min(isize::MAX as usize);
        self
    }

    /// The largest data frame that is accepted, in bytes of payload as on the wire; a larger one
    /// fails the connection with 1009. Default: `None`, which leaves it to
    /// [`max_message_size`](Self::max_message_size): a frame may be as large as a message. A
    /// compressed frame may then be an eighth larger and 64 bytes, because data that cannot be
    /// compressed grows.
    ///
    /// Set it to refuse large frames from peers that could send fragments. Where a frame is over
    /// both limits, the error names the smaller one.
    pub fn max_frame_size(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_frame_size =
            bytes.into().map_or(usize::MAX, |bytes| bytes.min(isize::MAX as usize));
        self
    }

    /// The largest number of frames in one message, empty ones included; one more fails the
    /// connection with 1008. Default: 131,072, which lets 16 MiB through in frames of 128 bytes
    /// and stops a peer that sends empty fragments for ever.
    pub fn max_fragments(mut self, frames: u32) -> Self {
        self.max_fragments = frames;
        self
    }

    /// A bound on the memory for unfinished messages that many connections share: each with a clone
    /// of `budget`. A message for which nothing is left fails its connection with 1013. Default:
    /// `None`, so that each connection may hold [`max_message_size`](Self::max_message_size).
    pub fn receive_budget(mut self, budget: impl Into<Option<ReceiveBudget>>) -> Self {
        self.receive_budget = budget.into();
        self
    }

    /// The mark of unsent bytes from which on one ought to wait: once so much waits to be written,
    /// [`is_ready`](crate::Connection::is_ready) is false, the adapters' `send` and `ready` wait,
    /// and `run` does not call its handler. Messages are still accepted, up to
    /// [`max_unsent`](Self::max_unsent); where that is smaller it is the mark too. Default:
    /// 256 KiB, which keeps a fast connection busy. See
    /// [the table](crate::guide::backpressure) of what each call does.
    pub fn unsent_mark(mut self, bytes: usize) -> Self {
        self.unsent_mark = bytes.max(1);
        self
    }

    /// The limit of unsent bytes: a message, or a ping, is accepted for sending whenever the
    /// backlog before it is under the limit, whatever its own size, and refused otherwise. Pongs
    /// and the Close frame are always accepted. Default: 1 MiB, little enough to hold for a peer
    /// that does not read, and room above the [mark](Self::unsent_mark) for those who send
    /// without looking, up to a point.
    pub fn max_unsent(mut self, bytes: usize) -> Self {
        self.max_unsent = bytes.max(1);
        self
    }

    /// The largest data frame that is sent, in bytes of payload: a larger message goes out in
    /// fragments of this size (RFC 6455 §5.4), and each is made only when those before it are
    /// almost written. So pings and pongs go out in the middle of a large message, and what is
    /// owned or shared is never copied as a whole, not on a client either; a borrowed message is,
    /// once. The message is held until its last fragment is made, and counts as
    /// [unsent](crate::Connection::unsent) until then. A message or a Close that comes behind it
    /// waits for it: all fragments that are left are made to queue a message, and
    /// [`close_timeout`](Self::close_timeout) runs while a Close waits.
    ///
    /// With permessage-deflate it is this much of the message that goes into a fragment, which is
    /// smaller on the wire; or larger where it cannot be compressed, by an eighth at most and a
    /// few bytes. A message in fragments stays compressed even if that does not pay.
    ///
    /// It does not hold for [`send_fragment`](crate::Connection::send_fragment), whose fragments
    /// are the caller's choice. A fragment costs a head of at most 14 bytes, and a copy of its
    /// payload unless that is 16 KiB or more and sent by a server. Zero counts as one. Default:
    /// `None`, a message is one frame.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, Input};
    ///
    /// let mut server = Connection::server(Config::default().max_sent_frame(64 * 1024));
    /// server.feed(vec![0; 1 << 30])?; // a GiB, and the first of its frames is made
    /// let made = server.outbox().len();
    /// assert!(made < 100 * 1024);
    /// server.receive(&mut Input::new(&mut [0x89, 0x80, 0, 0, 0, 0]))?; // a ping
    /// assert_eq!(server.outbox().len(), made + 2, "its pong comes next");
    /// assert_eq!(server.unsent().messages, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_sent_frame(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_sent_frame = bytes.into().unwrap_or(usize::MAX).max(1);
        self
    }

    /// From how many unsent bytes on one ought to wait.
    #[inline]
    pub(super) fn mark(&self) -> usize {
        self.unsent_mark.min(self.max_unsent)
    }

    /// Turns keepalive on, with these times. Without a word said it is off in the core and
    /// [`Keepalive::default`] in the adapters.
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Setting::On(keepalive);
        self
    }

    /// Turns keepalive off, in the adapters too.
    pub fn no_keepalive(mut self) -> Self {
        self.keepalive = Setting::Off;
        self
    }

    /// Ends the connection, with 1001, once no part of a message was sent or received for
    /// `timeout`, or up to a quarter longer; pings and pongs do not count. Default: `None`, never.
    /// Less than a millisecond counts as one.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into().map(|timeout| timeout.max(SHORTEST));
        self
    }

    /// How long the closing handshake may take as a whole, from the first Close frame to the end
    /// of the transport (RFC 6455 §7.1.1), and how long a failed connection is drained so that the
    /// peer can read our Close. Default: 5 seconds. Less than a millisecond counts as one, which is
    /// time to write what can be written at once and not to wait for an answer.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout.max(SHORTEST);
        self
    }

    /// How long the opening handshake may take in an adapter; for `connect` this includes name
    /// lookup and dialling. A client fails with [`TimeoutError::Handshake`](crate::TimeoutError::Handshake). A
    /// server answers a slower client with 408; its answer has the time that is left, and two seconds
    /// at least. Default: 10 seconds. Zero is time for what has arrived already; [`Duration::MAX`] is
    /// no limit.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Limits on the head of the opening handshake in an adapter. Default:
    /// [`HeadLimits::default`].
    pub fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.head_limits = limits;
        self
    }

    /// When an adapter's `send` writes. Default: [`FlushPolicy::Strict`].
    pub fn flush_policy(mut self, policy: FlushPolicy) -> Self {
        self.flush_policy = policy;
        self
    }

    /// Compresses messages with permessage-deflate (RFC 7692) if the peer does, too: adapters then
    /// negotiate it, in both roles. In the core this gives the compressor's settings; the handshake
    /// is up to the caller, who tells its result with
    /// [`Connection::with_deflate`](crate::Connection::with_deflate). Default: off, because it costs
    /// time and memory, and because of [secrets](crate::deflate::Compression#secrets).
    ///
    /// [`max_message_size`](Self::max_message_size) holds for the inflated message, and
    /// [`max_frame_size`](Self::max_frame_size) for what is on the wire.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = deflate.into();
        self
    }

    /// The largest data frame, if anything but the message limit says so.
    pub(super) fn frame_limit(&self, compressed: bool) -> Option<u64> {
        let message = self.max_message_size as u64;
        match (self.max_frame_size, compressed) {
            (usize::MAX, false) => None,
            (usize::MAX, true) => Some(message.saturating_add(message / 8 + 64)),
            // What a compressed message comes to shows when it is inflated.
            (set, true) => Some(set as u64),
            (set, false) => Some(set as u64).filter(|limit| *limit <= message),
        }
    }

    /// Keepalive, where `default` is what holds unless something was said.
    pub(crate) fn keepalive_or(&self, default: Option<Keepalive>) -> Option<Keepalive> {
        match self.keepalive {
            Setting::Unset => default,
            Setting::Off => None,
            Setting::On(keepalive) => Some(keepalive),
        }
    }

    /// The default, shared by all connections that ask for nothing else.
    #[cfg(feature = "std")]
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: std::sync::OnceLock<Arc<Config>> = std::sync::OnceLock::new();
        SHARED.get_or_init(Arc::default).clone()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 16 << 20,
            max_frame_size: usize::MAX,
            max_fragments: 1 << 17,
            receive_budget: None,
            unsent_mark: 256 * 1024,
            max_unsent: 1 << 20,
            max_sent_frame: usize::MAX,
            keepalive: Setting::Unset,
            idle_timeout: None,
            close_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            head_limits: HeadLimits::default(),
            flush_policy: FlushPolicy::default(),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    /// What only the adapters look at.
    #[test]
    fn settings_of_the_adapters() {
        let config = Config::default()
            .handshake_timeout(Duration::from_secs(3))
            .head_limits(HeadLimits::new().max_size(7))
            .flush_policy(FlushPolicy::BeforeWait);
        assert_eq!(config.handshake_timeout, Duration::from_secs(3));
        assert_eq!(config.head_limits, HeadLimits::new().max_size(7));
        assert_eq!(config.flush_policy, FlushPolicy::BeforeWait);
    }

    /// Connections that nobody configured share one set of defaults.
    #[test]
    fn defaults_are_shared() {
        assert!(Arc::ptr_eq(&Config::shared(), &Config::shared()));
    }
}
