//! The settings of compression.

use super::params::MAX_BITS;
use core::fmt;

/// The default window of either direction: 4 KiB.
const DEFAULT_BITS: u8 = 12;

/// Settings of message compression: permessage-deflate (RFC 7692).
///
/// [`Config::deflate`](crate::Config::deflate) turns compression on, in both roles and in every
/// adapter. Without that call nothing is offered or accepted. One value serves clients and servers:
/// *send* settings are for this end's compressor, *receive* settings for the peer's.
///
/// With the defaults a client makes the same offer as Chromium, byte for byte:
/// `permessage-deflate; client_max_window_bits`. Servers that accept no other offer accept it. It
/// promises to keep to any window that the answer names. If that is 8 bits, which zlib cannot
/// write, the client sends everything plain. The offer asks nothing of the server. So a server that
/// names no window may use 32 KiB, and the client remembers as much of the received bytes for as
/// long as the connection lasts. To hold less, set
/// [`receive_window_bits`](Self::receive_window_bits) or
/// [`receive_takeover`](Self::receive_takeover). Each setting that asks for something, or gives a
/// hint, adds to the offer.
///
/// A server answers with the windows of its settings. It names its own window even if the client
/// did not ask (RFC 7692 §7.1.2.1), so the client need not remember more.
///
/// ```
/// use fullduplex::{Config, deflate::Deflate};
///
/// let config = Config::default().deflate(Deflate::default());
/// let frugal = Config::default().deflate(Deflate::default().takeover(false));
/// ```
///
/// See [the module](super#memory) for the memory that it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    send_window_bits: Option<u8>,
    receive_window_bits: Option<u8>,
    pub(super) send_takeover: bool,
    pub(super) receive_takeover: bool,
    pub(super) require: bool,
    pub(super) level: u8,
    pub(super) memory_level: u8,
    pub(super) threshold: usize,
}

impl Deflate {
    /// Sets how far back this end's compressor may refer: 2^`bits` bytes, from 9 to 15; anything
    /// else counts as the nearest. Default: 12, which is 4 KiB, enough for what small messages have
    /// in common. The peer may lower it. A larger window finds more repetitions. It costs memory,
    /// and time where many connections take turns: see [the module](super#memory).
    ///
    /// A server announces it. A client puts a value below 15 that you set into its offer, such as
    /// `client_max_window_bits=10`. That is a hint, which may spare the server memory and which it
    /// may lower or ignore (RFC 7692 §7.1.2.2). Strict servers refuse hints. Without this call a
    /// client uses 12 and does not say so.
    pub fn send_window_bits(mut self, bits: u8) -> Self {
        self.send_window_bits = Some(bits.clamp(9, 15));
        self
    }

    /// Sets how far back the peer's compressor is asked to refer at most: 2^`bits` bytes, from 9 to
    /// 15; anything else counts as the nearest. The connection remembers as many received bytes. A
    /// peer that cannot be asked is accepted with 15, unless you [require](Self::require) the
    /// limit.
    ///
    /// Default: a server asks for 12, which is 4 KiB. A client asks for nothing, like browsers, and
    /// remembers what the server's answer names, or else 32 KiB: see [above](Self). If you set a
    /// value below 15, a client asks for it in a first offer, and makes a second offer that does
    /// not ask.
    pub fn receive_window_bits(mut self, bits: u8) -> Self {
        self.receive_window_bits = Some(bits.clamp(9, 15));
        self
    }

    /// Sets whether this end's compressor goes on from one message to the next ("context takeover",
    /// RFC 7692 §7.1.1), so that a message may refer to earlier ones. Default: `true`. The peer may
    /// forbid it. Small messages that are like one another become several times smaller. The price
    /// is a window of memory for as long as the connection lasts.
    pub fn send_takeover(mut self, takeover: bool) -> Self {
        self.send_takeover = takeover;
        self
    }

    /// Sets whether the peer's compressor may go on from one message to the next. Default: `true`.
    /// The price is a window of memory for as long as the connection lasts.
    pub fn receive_takeover(mut self, takeover: bool) -> Self {
        self.receive_takeover = takeover;
        self
    }

    /// Sets [`send_takeover`](Self::send_takeover) and
    /// [`receive_takeover`](Self::receive_takeover). With `false` an idle connection holds no
    /// compression state at all.
    pub fn takeover(self, takeover: bool) -> Self {
        self.send_takeover(takeover).receive_takeover(takeover)
    }

    /// Sets whether a peer gets no compression if it does not agree to
    /// [`receive_window_bits`](Self::receive_window_bits) and
    /// [`receive_takeover`](Self::receive_takeover). Default: `false`: they are wishes, and any
    /// peer is accepted.
    pub fn require(mut self, required: bool) -> Self {
        self.require = required;
        self
    }

    /// Sets how hard the compressor tries: from 1, fast, to 9, small; 0 does not compress, and more
    /// counts as 9. Default: 1. zlib's own default, 6, makes a message of 1 KiB a third smaller and
    /// takes four to ten times as long, because above 1 each message gets codes of its own.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.min(9);
        self
    }

    /// Sets how much memory the compressor has beside its window: 1 to 9; anything else counts as
    /// the nearest. Default: 5, which is 14 KiB. Each step doubles it, from 1 KiB to 224 KiB: see
    /// [the module](super#memory). It belongs to the thread, not to the connection. More makes long
    /// messages a little smaller.
    pub fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = level.clamp(1, 9);
        self
    }

    /// Sets the size, in bytes, from which messages are compressed. Default: 64. Smaller ones,
    /// where there is little to gain, go out plain, unless you ask for [`Compression::Always`].
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// The window bits of this end's compressor, unless the peer lowers them.
    pub(super) fn sends_with(&self) -> u8 {
        self.send_window_bits.unwrap_or(DEFAULT_BITS)
    }

    /// The window bits that a server asks of a client.
    pub(super) fn receives_with(&self) -> u8 {
        self.receive_window_bits.unwrap_or(DEFAULT_BITS)
    }

    /// The window bits of its compressor that a client mentions.
    pub(super) fn hint(&self) -> Option<u8> {
        self.send_window_bits.filter(|bits| *bits < MAX_BITS)
    }

    /// The window bits that a client asks of a server.
    pub(super) fn wish(&self) -> Option<u8> {
        self.receive_window_bits.filter(|bits| *bits < MAX_BITS)
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            send_window_bits: None,
            receive_window_bits: None,
            send_takeover: true,
            receive_takeover: true,
            require: false,
            level: 1,
            memory_level: 5,
            threshold: 64,
        }
    }
}

/// Whether to compress a message. Without permessage-deflate no message is compressed.
///
/// # Secrets
/// The length of a compressed message tells how much it has in common with itself and, unless
/// takeover is off, with the messages before it. An attacker who sees lengths on the wire, and can
/// get text sent beside a secret, can find out the secret byte by byte through any encryption (RFC
/// 7692 §8, "CRIME"). Send the secret, or the attacker's text, with [`Never`](Self::Never), or send
/// them in separate messages without takeover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Compress it if it is not smaller than [`Deflate::threshold`].
    #[default]
    Auto,
    /// Compress it, whatever its size.
    Always,
    /// Do not compress it. It does not enter the window either: later messages do not refer to it.
    Never,
}

impl Compression {
    /// The same message or fragment, to be sent with this choice.
    ///
    /// ```
    /// use fullduplex::{Config, Connection, deflate::Compression};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.feed(Compression::Never.of("a secret beside what others chose"))?;
    /// connection.feed_fragment(Compression::Always.of("a long message, "), false)?;
    /// connection.feed_fragment("in fragments", true)?;
    /// # Ok::<(), fullduplex::SendError>(())
    /// ```
    ///
    /// The first fragment of a message chooses for all of it.
    pub fn of<M>(self, message: M) -> WithCompression<M> {
        WithCompression { compression: self, payload: message }
    }
}

/// A message or a fragment together with the choice whether to compress it: see
/// [`Compression::of`].
#[derive(Clone, Copy)]
pub struct WithCompression<M> {
    pub(crate) compression: Compression,
    pub(crate) payload: M,
}

/// The choice only: payloads are never printed.
impl<M> fmt::Debug for WithCompression<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithCompression").field(&self.compression).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takeover_is_a_setting_of_both_directions() {
        let settings = Deflate::default().level(3);
        assert_eq!(settings.clone().takeover(true), settings);
        let neither = settings.clone().send_takeover(false).receive_takeover(false);
        assert_eq!(settings.clone().takeover(false), neither);
        assert_ne!(neither, settings);
    }
}
