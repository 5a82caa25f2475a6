//! Compressing (RFC 7692 §7.2.1).
//!
//! Between messages a connection keeps the window, the last bytes that it sent, and no zlib state,
//! which is larger. [The decoder](super::decoder) does the same, and says how.

#[cfg(feature = "std")]
use super::pool;
use super::{
    Compression, Deflate,
    params::DirectionParams,
    window::{Position, Window},
};
use crate::frame::mask;
use alloc::{boxed::Box, vec::Vec};
use zlib_rs::{DeflateConfig, DeflateFlush};

/// The bytes that end a flush of zlib. They are cut off a message (§7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How many bytes are compressed before the result is masked, so that masking finds it in the
/// cache.
const MASK_STRIDE: usize = 64 * 1024;

/// The most bytes of room made at a time, which are filled with zeros first.
const STEP: usize = 8 * 1024;

/// Room for a flush marker at the end of a step. zlib writes one that does not fit twice.
const ROOM_TO_FLUSH: usize = 64;

/// After this many bytes of a stream, read or written, the next message starts a new stream, and so
/// does the next fragment that is sent. zlib counts bytes in a C `long`, which has 32 bits on some
/// platforms, Windows among them. zlib-rs panics there beyond 4 GiB if it is built with checks for
/// overflow.
pub(super) const WORN: u64 = if cfg!(test) { 100_000 } else { 1 << 31 };

/// What follows a piece of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushMode {
    /// More pieces: the compressor may hold bytes back.
    None,
    /// All bytes have to come out now, up to a byte border (§7.2.1 step 1 and 2).
    Sync,
}

/// The settings of a compressor. Compressors of one kind are interchangeable once reset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    window_bits: u8,
    level: u8,
    memory_level: u8,
}

/// A compressor of zlib.
pub(super) struct Compressor {
    zlib: zlib_rs::Deflate,
    #[cfg(feature = "std")]
    kind: Kind,
    /// Where it was left, if its connection may go on with it.
    place: Option<Position>,
}

impl Compressor {
    fn new(kind: Kind) -> Self {
        let zlib = zlib_rs::Deflate::new_with_config(DeflateConfig {
            level: kind.level.into(),
            window_bits: -i32::from(kind.window_bits), // raw: no header and no checksum
            mem_level: kind.memory_level.into(),
            ..DeflateConfig::default()
        });
        Self {
            zlib,
            #[cfg(feature = "std")]
            kind,
            place: None,
        }
    }

    #[cfg(feature = "std")]
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// Whether its counters might overflow soon.
    fn is_worn(&self) -> bool {
        self.zlib.total_in().max(self.zlib.total_out()) >= WORN
    }

    /// Starts a new stream that may refer to `window`.
    fn restart(&mut self, window: &Window) {
        self.zlib.reset();
        self.recall(window);
    }

    fn recall(&mut self, window: &Window) {
        for part in window.parts() {
            if !part.is_empty() {
                let result = self.zlib.set_dictionary(part);
                debug_assert!(result.is_ok(), "{result:?}"); // always possible between messages
            }
        }
    }
}

#[cfg(feature = "std")]
impl pool::Left for Compressor {
    fn place(&self) -> Option<&Position> {
        self.place.as_ref()
    }
}

/// The compressing half of a connection.
pub(crate) struct Encoder {
    kind: Kind,
    takeover: bool,
    threshold: usize,
    window: Window,
    place: Position,
    /// While a message is under way.
    compressor: Option<Box<Compressor>>,
    /// Without threads, the connection keeps the compressor.
    #[cfg(not(feature = "std"))]
    idle: Option<Box<Compressor>>,
}

impl Encoder {
    /// `None` if everything has to go out plain: zlib cannot write a window of 256 bytes, and plain
    /// is always allowed (§6.1).
    pub(crate) fn new(settings: &Deflate, agreed: DirectionParams) -> Option<Self> {
        let kind = Kind {
            window_bits: agreed.window_bits.min(settings.sends_with()),
            level: settings.level,
            memory_level: settings.memory_level,
        };
        (kind.window_bits > 8).then_some(Self {
            kind,
            takeover: agreed.takeover && settings.send_takeover,
            threshold: settings.threshold,
            window: Window::new(1 << kind.window_bits),
            place: Position::default(),
            compressor: None,
            #[cfg(not(feature = "std"))]
            idle: None,
        })
    }

    #[cfg(feature = "std")]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a message of `len` bytes is to be compressed.
    #[inline]
    pub(crate) fn takes(&self, len: usize, compression: Compression) -> bool {
        match compression {
            Compression::Auto => len >= self.threshold,
            Compression::Always => true,
            Compression::Never => false,
        }
    }

    /// Whether a message may be sent plain although it was compressed: not if the next one can
    /// refer to it, because the peer would not have it in its window.
    pub(crate) fn may_take_back(&self) -> bool {
        !self.takeover
    }

    /// Appends a whole message to `out`, compressed, and masked if there is a `key`.
    pub(crate) fn message(&mut self, payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(payload, true, key, out);
        if out.len() - start > stored_len(payload.len()) {
            out.truncate(start);
            store(payload, out);
            if let Some(key) = key {
                mask(&mut out[start..], key, 0);
            }
        }
        self.end_message();
    }

    /// Notes a message that was sent between two others and compressed [elsewhere](alone). It is in
    /// the peer's window, so it has to be in ours. A zlib state left before it has not seen it.
    #[cfg(feature = "std")]
    pub(crate) fn passed_by(&mut self, payload: &[u8]) {
        debug_assert!(self.compressor.is_none(), "between two messages");
        if self.takeover {
            self.window.push(payload);
            self.place.messages += 1;
        }
    }

    /// Appends a fragment of a message to `out`, masked if there is a `key`. The peer can inflate
    /// all of it.
    pub(crate) fn fragment(
        &mut self,
        payload: &[u8],
        last: bool,
        key: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        self.write(payload, last, key, out);
        if last {
            self.end_message();
        }
    }

    /// Compresses a fragment, or a whole message, which is its own last fragment.
    fn write(&mut self, payload: &[u8], last: bool, key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        if let Some(compressor) = self.compressor.as_mut().filter(|compressor| compressor.is_worn())
        {
            compressor.restart(&self.window); // all before it was flushed
        }
        let start = out.len();
        let mut rest = payload;
        loop {
            let fresh = out.len();
            let (piece, more) = rest.split_at(rest.len().min(MASK_STRIDE));
            rest = more;
            let flush = if rest.is_empty() { FlushMode::Sync } else { FlushMode::None };
            self.compress(piece, flush, out);
            if rest.is_empty() && last {
                trim(out, fresh);
            }
            if let Some(key) = key {
                mask(&mut out[fresh..], key, (fresh - start) as u64);
            }
            if rest.is_empty() {
                break;
            }
        }
    }

    /// Compresses `piece` and appends the result to `out`.
    fn compress(&mut self, piece: &[u8], flush: FlushMode, out: &mut Vec<u8>) {
        let Self { kind, window, place, .. } = self;
        let compressor = self.compressor.get_or_insert_with(|| {
            #[cfg(feature = "std")]
            let idle = pool::take_compressor(*kind, place);
            #[cfg(not(feature = "std"))]
            let idle = self.idle.take();
            match idle {
                Some(compressor)
                    if compressor.place.as_ref() == Some(place) && !compressor.is_worn() =>
                {
                    compressor
                }
                Some(mut compressor) => {
                    compressor.restart(window);
                    compressor
                }
                None => {
                    let mut compressor = Box::new(Compressor::new(*kind));
                    compressor.recall(window);
                    compressor
                }
            }
        });
        if self.takeover {
            window.push(piece);
        }
        let zlib = &mut compressor.zlib;
        let flush = match flush {
            FlushMode::None => DeflateFlush::NoFlush,
            FlushMode::Sync => DeflateFlush::SyncFlush,
        };
        let mut rest = piece;
        loop {
            let at = out.len();
            let step = (rest.len() + ROOM_TO_FLUSH).min(STEP);
            out.resize(at + step, 0);
            let (read, written) = (zlib.total_in(), zlib.total_out());
            let result = zlib.compress(rest, &mut out[at..], flush);
            debug_assert!(result.is_ok(), "{result:?}"); // the state is never misused
            let read = (zlib.total_in() - read) as usize;
            let written = (zlib.total_out() - written) as usize;
            out.truncate(at + written);
            rest = &rest[read..];
            // A full buffer may mean that there is more; zlib then wants to be called again.
            if (rest.is_empty() && written < step) || (read == 0 && written == 0) {
                return;
            }
        }
    }

    /// Ends a message.
    fn end_message(&mut self) {
        let Some(mut compressor) = self.compressor.take() else { return };
        compressor.place = self.takeover.then(|| {
            self.place.messages += 1;
            self.place.clone()
        });
        #[cfg(feature = "std")]
        pool::give_compressor(compressor);
        #[cfg(not(feature = "std"))]
        {
            self.idle = Some(compressor).filter(|_| self.takeover);
        }
    }
}

/// Compresses a message without reference to any other, so that all connections with a compressor
/// of this kind can send it. A compressor need not use the window that it has (§7.1.1).
#[cfg(feature = "std")]
pub(crate) fn alone(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder {
        kind,
        takeover: false,
        threshold: 0,
        window: Window::new(0),
        place: Position::default(),
        compressor: None,
    };
    let mut out = Vec::new();
    encoder.message(payload, None, &mut out);
    out
}

/// The most bytes in a stored block (RFC 1951 §3.2.4).
const STORED_MAX: usize = 0xffff;

/// How long a message of stored blocks is, without its tail.
fn stored_len(payload: usize) -> usize {
    payload + 5 * payload.div_ceil(STORED_MAX) + 1
}

/// Appends a message of stored blocks, the smallest form of bytes that cannot be compressed. The
/// peer's window is the same as after zlib's form.
fn store(payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(stored_len(payload.len()));
    for block in payload.chunks(STORED_MAX) {
        let length = block.len() as u16;
        out.push(0x00); // not the last, stored
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.push(0x00); // the empty block, without its tail
}

/// §7.2.1 step 3: cuts the tail off a message whose last part starts at `from`.
fn trim(out: &mut Vec<u8>, from: usize) {
    if out[from..].ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    } else {
        // §7.2.3.6: nothing was flushed, as nothing was there; the rest of an empty block is cut.
        out.push(0x00);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::deflate::{Decoder, Fault};

    /// D15: no zlib state counts more than one message beyond the bound, and the peer inflates
    /// messages with references across the exchange.
    #[test]
    fn a_worn_state_starts_a_new_stream() {
        let mut text = Vec::new();
        for takeover in [true, false] {
            for fragments in [2, 100] {
                let agreed = DirectionParams { window_bits: 15, takeover };
                let settings = Deflate::default().send_window_bits(15);
                let mut encoder = Encoder::new(&settings, agreed).unwrap();
                let mut decoder = Decoder::new(agreed, usize::MAX);
                let (mut sent, mut seed) = (0, 1_u32);
                for i in 0..100 {
                    let last = i % fragments == fragments - 1;
                    // Half of it was in the fragment before.
                    text.drain(..text.len() / 2);
                    while text.len() < 10_000 {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        text.push((seed >> 24) as u8);
                    }
                    sent += text.len() as u64;
                    let mut wire = Vec::new();
                    encoder.fragment(&text, last, None, &mut wire);
                    if takeover && i > 0 {
                        assert!(wire.len() < 6_000, "{i}: {}", wire.len());
                    }
                    if let Some(compressor) = &encoder.compressor {
                        assert!(compressor.zlib.total_in() < WORN + 20_000);
                    }
                    let mut received = Vec::new();
                    let result: Result<(), Fault> = decoder.pieces(&wire, last, |piece| {
                        received.extend_from_slice(piece);
                        Ok(())
                    });
                    assert_eq!((result, &received), (Ok(()), &text), "{i}");
                }
                assert!(sent > 3 * WORN);
            }
        }
    }
}
