//! What can be chosen.

use super::params::MAX_BITS;
use core::fmt;

/// The windows of either direction where no setting says more: 4 KiB.
const DEFAULT_BITS: u8 = 12;

/// Settings of message compression: permessage-deflate (RFC 7692).
///
/// [`Config::deflate`](crate::Config::deflate) turns compression on with them, in both roles and in
/// every adapter; without that call nothing is offered and nothing accepted. One value serves
/// clients and servers: *send* is what this end compresses, *receive* what its peer does.
///
/// With the defaults a client offers what Chromium does, byte for byte:
/// `permessage-deflate; client_max_window_bits`. Servers that know nothing else take that. It
/// promises that the client keeps to any window that the answer names; with 8 bits, which zlib
/// cannot write, it sends everything plain. It asks nothing of the server. So a server that names no
/// window of its own may use 32 KiB, and the client remembers as much of what it has received, for
/// as long as the connection lasts. To hold less, ask for less:
/// [`receive_window_bits`](Self::receive_window_bits), [`receive_takeover`](Self::receive_takeover).
/// Each setting that asks for something, or gives a hint, adds to the offer.
///
/// A server answers with the windows of its settings, its own one also where nobody asked
/// (RFC 7692 §7.1.2.1): a client need not remember more than that.
///
/// ```
/// use fullduplex::{Config, deflate::Deflate};
///
/// let config = Config::default().deflate(Deflate::default());
/// let frugal = Config::default().deflate(Deflate::default().takeover(false));
/// ```
///
/// See [the module](super) for what it costs.
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
    /// How far back this end's compressor may refer: 2^`bits` bytes. 9 to 15; anything else counts
    /// as the nearest. The peer may lower it. More finds more repetitions, and costs memory and,
    /// where many connections take turns, time: see [the module](super#memory). Default: 12, which
    /// is 4 KiB: enough for what small messages have in common.
    ///
    /// A server announces it. A client that is given it here, as fewer than 15, puts it into its
    /// offer, `client_max_window_bits=10` for one, which may spare the server memory: a hint, which
    /// the server may lower or ignore (RFC 7692 §7.1.2.2). Strict servers refuse hints. Without this
    /// call a client uses 12 and does not say so.
    pub fn send_window_bits(mut self, bits: u8) -> Self {
        self.send_window_bits = Some(bits.clamp(9, 15));
        self
    }

    /// How far back the peer's compressor is asked to refer at most: 2^`bits` bytes. 9 to 15;
    /// anything else counts as the nearest. This is also what a connection remembers of what it
    /// has received. A peer that cannot be asked is taken with 15, unless the limit is
    /// [required](Self::require).
    ///
    /// Default: a server asks for 12, which is 4 KiB. A client asks for nothing, for browsers do not,
    /// and remembers what the server's answer names, or else 32 KiB: see [above](Self). With this
    /// call it asks, as fewer than 15, in a first offer, behind which there is one that does not.
    pub fn receive_window_bits(mut self, bits: u8) -> Self {
        self.receive_window_bits = Some(bits.clamp(9, 15));
        self
    }

    /// Whether this end's compressor goes on from one message to the next ("context takeover",
    /// RFC 7692 §7.1.1), so that a message may refer to those before it. Small messages that are
    /// like one another become several times smaller; the price is a window of memory for as long
    /// as the connection lasts. The peer may forbid it. Default: `true`.
    pub fn send_takeover(mut self, takeover: bool) -> Self {
        self.send_takeover = takeover;
        self
    }

    /// Whether the peer's compressor may go on from one message to the next. The price is a window
    /// of memory for as long as the connection lasts. Default: `true`.
    pub fn receive_takeover(mut self, takeover: bool) -> Self {
        self.receive_takeover = takeover;
        self
    }

    /// [`send_takeover`](Self::send_takeover) and [`receive_takeover`](Self::receive_takeover)
    /// together. With `false` an idle connection holds no compression state at all.
    pub fn takeover(self, takeover: bool) -> Self {
        self.send_takeover(takeover).receive_takeover(takeover)
    }

    /// Whether a peer that does not agree to [`receive_window_bits`](Self::receive_window_bits) and
    /// [`receive_takeover`](Self::receive_takeover) gets no compression; with `false` they are
    /// wishes, and the peer is taken as it is. Default: `false`.
    pub fn require(mut self, required: bool) -> Self {
        self.require = required;
        self
    }

    /// How hard the compressor tries: from 1, fast, to 9, small; 0 does not compress, and more
    /// counts as 9. Default: 1. zlib's own is 6, which makes a third fewer bytes of a message of a
    /// KiB and takes four to ten times as long: above 1, codes are made for each message.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.min(9);
        self
    }

    /// How much memory the compressor has beside its window: 1 to 9; anything else counts as the
    /// nearest. Each step doubles it, from 1 KiB to 224 KiB, upon what [the module](super#memory)
    /// lists. It belongs to the thread, not to the connection. More makes long messages a little
    /// smaller. Default: 5, which is 14 KiB.
    pub fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = level.clamp(1, 9);
        self
    }

    /// Messages of fewer bytes than this go out plain, unless
    /// [`Compression::Always`] is asked for: there is little to gain. Default: 64 bytes.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// The window of this end's compressor, unless the peer lowers it.
    pub(super) fn sends_with(&self) -> u8 {
        self.send_window_bits.unwrap_or(DEFAULT_BITS)
    }

    /// The window that a server asks a client to keep to.
    pub(super) fn receives_with(&self) -> u8 {
        self.receive_window_bits.unwrap_or(DEFAULT_BITS)
    }

    /// The window of its compressor that a client speaks of.
    pub(super) fn hint(&self) -> Option<u8> {
        self.send_window_bits.filter(|bits| *bits < MAX_BITS)
    }

    /// The window that a client asks a server to keep to.
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

/// Whether a message is compressed. Without permessage-deflate none is.
///
/// # Secrets
/// The length of a compressed message tells how much it has in common with itself and, unless
/// takeover is off, with the messages before it. Whoever can see lengths on the wire and can have
/// text of their own sent beside a secret can find the secret out, byte by byte, through any
/// encryption (RFC 7692 §8, "CRIME"). Send the secret, or what the attacker chose, with
/// [`Never`](Self::Never), or both in separate messages without takeover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// If it is not smaller than [`Deflate::threshold`].
    #[default]
    Auto,
    /// Whatever its size.
    Always,
    /// Not at all. It does not become a part of the window either: later messages do not refer to
    /// it.
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
