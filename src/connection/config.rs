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
    /// `usize::MAX` if none was set.
    pub(crate) max_frame_size: usize,
    pub(crate) max_fragments: u32,
    pub(super) receive_budget: Option<ReceiveBudget>,
    /// This and the next are never zero: an empty backlog is always under both.
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

/// Pings a silent peer, and gives a dead one up (RFC 6455 §5.5.2).
///
/// - **A sign of life** is any byte of any frame. A ping goes out once none has come for `interval`, or
///   up to a quarter longer. Then a wait begins, which any byte ends.
/// - **The wait** lasts `pong_timeout`. It starts when the transport has taken the ping; as long as the
///   transport is full, when it last took anything. It is longer by the time that a slow path may need
///   to deliver what was sent before.
/// - **A dead peer** is found within 51.25 seconds on an idle connection, with default settings. While
///   you send much, up to 1,024 seconds more: 4 MiB at 4 KiB per second, the most a path may need.
///
/// A peer that sends data but never a pong is alive. So is a slow one, as long as a full transport goes
/// on taking what you send. A middlebox that takes everything and delivers nothing looks the same. If
/// that must not hold a connection open, ask for an answer of your own, with a deadline. Before a peer is
/// given up, what has arrived is read once more, so a process that was stopped for a while drops no
/// live peer.
///
/// # Bytes on the way
/// A transport takes bytes long before the peer has them. Linux holds up to 4 MiB, and a ping waits
/// behind them. The connection bounds the bytes on the way without asking the system: what was taken
/// lately, less what a path delivers at [its slowest](Self::slowest_path), at most 4 MiB. After 1 MiB at
/// once the wait is up to 256 seconds longer. For a chat of 100 bytes per second it is no longer at all.
///
/// A path that proves to be faster gets less time. It is known when bytes beyond 4 MiB were delivered,
/// and bytes before a ping that was answered. The connection relies on a quarter of that speed, and on
/// no more than a quarter of what can have been delivered since. Take a dead peer to which you sent `R`
/// bytes per second without a pause. It is found later than an idle one by at most 150 seconds (six
/// times the interval) or 40 MiB / `R`, whichever is more: 419 seconds for 100 kB/s, 150 for 1 MB/s and
/// faster. While an answer may take longer than `pong_timeout` because of what you send, a ping goes out
/// every `interval` to measure the path, although the peer is not silent.
///
/// # Round trips
/// Each answer gives a round-trip time: [`Connection::round_trip`](crate::Connection::round_trip).
///
/// # Defaults
/// The interval is 25 seconds, for proxies and address translators that drop silent connections after
/// 30 to 60. The pong timeout is 20 seconds. Together they find a dead peer in less than a minute and let
/// a mobile client's radio sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// This and the next are never less than [`SHORTEST`].
    pub(crate) interval: Duration,
    pub(crate) pong_timeout: Duration,
    /// In bytes per second, never zero.
    pub(crate) slowest_path: u32,
}

/// The minimum of each time: a deadline that does not move would be a loop.
const SHORTEST: Duration = Duration::from_millis(1);

impl Keepalive {
    /// Pings after `interval` of silence; the other settings are the defaults. Less than a millisecond
    /// counts as one. To turn keepalive off use [`Config::no_keepalive`]; [`Duration::MAX`] has the same
    /// effect.
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.max(SHORTEST), ..Self::default() }
    }

    /// The wait for a sign of life, beyond the time that a slow path may need. Default: 20 seconds. Less
    /// than a millisecond counts as one. [`Duration::MAX`] never gives a peer up.
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout.max(SHORTEST);
        self
    }

    /// The slowest path that counts as alive, in bytes per second. Default: 4 KiB. With a larger number
    /// dead peers are found sooner while you send to them, but peers on a slower path are given up.
    /// [`u32::MAX`] makes no allowance for bytes on the way. Zero counts as one.
    ///
    /// ```
    /// use fullduplex::{Config, Keepalive};
    ///
    /// // In your own network: 4 MiB on the way make a wait 4 seconds longer at most.
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
    /// `send` queues and flushes. When it returns, the transport has the message. One write per
    /// message.
    #[default]
    Strict,
    /// `send` only queues, as `feed` does. The queue is written before the next receive waits, when
    /// it reaches [`Config::unsent_mark`], and by `flush`. One write per batch: choose it for handlers
    /// that answer messages. A handler that sends and then waits for anything but a receive has to
    /// flush.
    BeforeWait,
}

impl Config {
    /// The largest message that is accepted, in bytes of its whole payload. A larger one fails the
    /// connection with 1009, before anything is reserved for it. Default: 16 MiB, so that one peer
    /// cannot make you hold more. This and [`max_frame_size`](Self::max_frame_size) are capped at what
    /// a buffer can hold (2 GiB where `usize` has 32 bits).
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes.min(isize::MAX as usize);
        self
    }

    /// The largest data frame that is accepted, in bytes of payload as on the wire. A larger one
    /// fails the connection with 1009. Default: `None`, a frame may be as large as
    /// [a message](Self::max_message_size). A compressed frame may then be larger by an eighth and
    /// 64 bytes, because data that cannot be compressed grows.
    ///
    /// Set it to refuse large frames from peers that could send fragments. If a frame is over both
    /// limits, the error names the smaller one.
    pub fn max_frame_size(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_frame_size =
            bytes.into().map_or(usize::MAX, |bytes| bytes.min(isize::MAX as usize));
        self
    }

    /// The largest number of frames in one message, including empty ones. One more fails the
    /// connection with 1008. Default: 131,072: enough for 16 MiB in frames of 128 bytes, and the end
    /// of a peer that sends empty fragments for ever.
    pub fn max_fragments(mut self, frames: u32) -> Self {
        self.max_fragments = frames;
        self
    }

    /// A bound on the memory of unfinished messages that many connections share: give each of them a
    /// clone of `budget`. A message that exceeds the rest fails its connection with 1013. Default:
    /// `None`, each connection may hold [`max_message_size`](Self::max_message_size).
    pub fn receive_budget(mut self, budget: impl Into<Option<ReceiveBudget>>) -> Self {
        self.receive_budget = budget.into();
        self
    }

    /// The mark, in bytes, at which senders wait. Once so much waits to be written,
    /// [`is_ready`](crate::Connection::is_ready) is false, the adapters' `send` and `ready` wait, and
    /// `run` does not call its handler. Messages are still accepted, up to
    /// [`max_unsent`](Self::max_unsent). If that is smaller, it is the mark too. Default: 256 KiB, which
    /// keeps a fast connection busy. See the [result of each call](crate::guide::backpressure).
    pub fn unsent_mark(mut self, bytes: usize) -> Self {
        self.unsent_mark = bytes.max(1);
        self
    }

    /// The limit, in bytes, at which messages and your pings and pongs are refused. A message is
    /// accepted while the backlog before it is under the limit, whatever its own size. Answers to
    /// pings and the Close frame are always accepted. Default: 1 MiB. You can hold that for a peer
    /// that does not read, and it leaves room above the [mark](Self::unsent_mark) for code that sends
    /// without waiting.
    pub fn max_unsent(mut self, bytes: usize) -> Self {
        self.max_unsent = bytes.max(1);
        self
    }

    /// The largest data frame that is sent, in bytes of payload. A larger message goes out in
    /// fragments of this size (RFC 6455 §5.4). Each is made only when those before it are almost
    /// written. So pings and pongs go out in the middle of a large message. An owned or shared message
    /// is never copied as a whole, not even by a client; a borrowed one is copied once. The message
    /// is held, and counts as [unsent](crate::Connection::unsent), until its last fragment is made. If
    /// you queue another message meanwhile, all fragments that are left are made at once. A Close
    /// waits for them, while [`close_timeout`](Self::close_timeout) runs.
    ///
    /// With permessage-deflate this is the size before compression. Data that cannot be compressed
    /// makes a frame larger on the wire, by at most an eighth and a few bytes. A message in fragments
    /// stays compressed even if that does not pay.
    ///
    /// The size of a [`feed_fragment`](crate::Connection::feed_fragment) is your choice, whatever is
    /// set here. A fragment costs a head of at most 14 bytes, and a copy of its payload unless that is
    /// 16 KiB or more and a server sends it. Zero counts as one. Default: `None`, a message is one
    /// frame.
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

    #[inline]
    pub(super) fn mark(&self) -> usize {
        self.unsent_mark.min(self.max_unsent)
    }

    /// Turns keepalive on, with these times. Default: off in the core, [`Keepalive::default`] in the
    /// adapters.
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Setting::On(keepalive);
        self
    }

    /// Turns keepalive off, in the adapters too.
    pub fn no_keepalive(mut self) -> Self {
        self.keepalive = Setting::Off;
        self
    }

    /// Ends the connection with 1001 once no part of a message was sent or received for `timeout`, or
    /// up to a quarter longer. Pings and pongs do not count. Default: `None`, never. Less than a
    /// millisecond counts as one.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into().map(|timeout| timeout.max(SHORTEST));
        self
    }

    /// The time limit of the whole closing handshake, from the first Close frame to the end of the
    /// transport (RFC 6455 §7.1.1), and of draining a failed connection so that the peer can read our
    /// Close. Default: 5 seconds. Less than a millisecond counts as one: then what can be written at
    /// once is written, and no answer is waited for.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout.max(SHORTEST);
        self
    }

    /// The time limit of the opening handshake in an adapter. For `connect` it includes name lookup
    /// and dialling. A client fails with
    /// [`TimeoutError::Handshake`](crate::TimeoutError::Handshake). A server answers a slow client with
    /// 408; writing the answer may take the rest of the time, and at least two seconds. Default: 10
    /// seconds. With zero only what has arrived already counts. [`Duration::MAX`] is no limit.
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

    /// Compresses messages with permessage-deflate (RFC 7692) if the peer agrees. Adapters negotiate it,
    /// in both roles. In the core this only sets the compressor up: negotiate in your handshake, and
    /// pass the result to [`Connection::with_deflate`](crate::Connection::with_deflate). Default: off,
    /// because it costs time and memory, and because of
    /// [secrets](crate::deflate::Compression#secrets).
    ///
    /// [`max_message_size`](Self::max_message_size) holds for the inflated message,
    /// [`max_frame_size`](Self::max_frame_size) for the bytes on the wire.
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
            // The size of a compressed message is known only once it is inflated.
            (set, true) => Some(set as u64),
            (set, false) => Some(set as u64).filter(|limit| *limit <= message),
        }
    }

    /// The keepalive that was set, or else `default`.
    pub(crate) fn keepalive_or(&self, default: Option<Keepalive>) -> Option<Keepalive> {
        match self.keepalive {
            Setting::Unset => default,
            Setting::Off => None,
            Setting::On(keepalive) => Some(keepalive),
        }
    }

    /// The default, shared by all connections without a configuration of their own.
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

    /// Settings that only the adapters use.
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

    /// Connections without a configuration share one set of defaults.
    #[test]
    fn defaults_are_shared() {
        assert!(Arc::ptr_eq(&Config::shared(), &Config::shared()));
    }
}
