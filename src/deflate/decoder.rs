//! Decompressing (RFC 7692 §7.2.2).
//!
//! Between messages a connection keeps the window, the last bytes that it received, and no zlib
//! state, which is larger. It borrows a state from the thread for each message. With the largest
//! window, a state that no other connection has used since is still where this one left it. Any
//! other state is reset and given the window. So is one whose stream ends inside a message (a block
//! with BFINAL set), where zlib stops by itself.
//!
//! A state of zlib-rs remembers 32 KiB whatever was agreed on. So with a smaller window it is given
//! the window at the start of each message. Otherwise it would depend on other connections how far
//! back a message may refer.

use super::Volume;
#[cfg(feature = "std")]
use super::pool;
use super::{
    encoder::{TAIL, WORN},
    params::{DirectionParams, MAX_BITS},
    window::{Position, Window},
};
use alloc::{boxed::Box, vec, vec::Vec};
use core::mem;
use zlib_rs::{Inflate, InflateFlush, Status};

/// How many bytes are inflated at a time.
pub(crate) const CHUNK: usize = 32 * 1024;

/// A message may have this many streams, and one more for each `BYTES_PER_STREAM`, because a stream
/// of two bytes makes us copy a window.
const FREE_STREAMS: u64 = 64;
const BYTES_PER_STREAM: u64 = 64;

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not DEFLATE, refers to bytes that are not there, or breaks off.
    Corrupt,
    /// It is larger than this limit, in bytes.
    TooBig(u64),
    /// It is made of absurdly many streams.
    TooManyStreams,
}

/// The decompressing half of a connection.
pub(crate) struct Decoder {
    memory: Memory,
    /// The largest message in bytes, inflated.
    limit: usize,
    window: Window,
    /// Where in the messages we stand. A state that was left there can go on.
    place: Position,
    message: Option<InflatingMessage>,
    /// The bytes read, and the bytes that they inflated to.
    volume: Volume,
    /// Without threads, the connection keeps the state.
    #[cfg(not(feature = "std"))]
    idle: Option<Box<Engine>>,
}

/// How much is remembered of the messages so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nothing: there is no takeover.
    None,
    /// As much as was agreed on, which is less than a state of zlib remembers.
    Window,
    /// As much as a state of zlib does: one that no other connection has used can go on.
    All,
}

/// The message under way.
struct InflatingMessage {
    engine: Box<Engine>,
    /// Its bytes so far.
    inflated: u64,
    /// Its bytes on the wire so far.
    received: u64,
    streams: u64,
    /// Whether nothing of the current stream has come.
    fresh: bool,
    /// Whether an error follows the bytes so far.
    failed: bool,
}

impl Decoder {
    pub(crate) fn new(agreed: DirectionParams, limit: usize) -> Self {
        Self {
            memory: match agreed {
                DirectionParams { takeover: false, .. } => Memory::None,
                DirectionParams { window_bits: MAX_BITS, .. } => Memory::All,
                DirectionParams { .. } => Memory::Window,
            },
            limit,
            // A peer that agrees to 8 may use 9: zlib, asked for 8, writes 9.
            window: Window::new(1 << agreed.window_bits.max(9)),
            place: Position::default(),
            message: None,
            volume: Volume::default(),
            #[cfg(not(feature = "std"))]
            idle: None,
        }
    }

    /// Inflates a part of a message and gives it to `sink` in pieces of at most [`CHUNK`] bytes.
    /// `last` tells that the message ends with `input`.
    pub(crate) fn pieces<E: From<Fault>>(
        &mut self,
        mut input: &[u8],
        last: bool,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut scratch = self.take_scratch();
        let result = loop {
            match self.read(&mut input, &mut scratch, self.limit as u64) {
                Ok(0) => break Ok(()),
                Ok(length) => {
                    if let Err(error) = sink(&scratch[..length]) {
                        break Err(error);
                    }
                    // zlib left room unused: that is all, unless an error waits.
                    if input.is_empty() && length < scratch.len() && !self.message().failed {
                        break Ok(());
                    }
                }
                Err(fault) => break Err(fault.into()),
            }
        };
        self.message().engine.scratch = scratch;
        result?;
        if last { Ok(self.finish()?) } else { Ok(()) }
    }

    /// Inflates at most [`CHUNK`] bytes of a message, with no limit on its size, and takes the
    /// bytes it used off the front of `input`. An empty result means that all of `input` is used
    /// and nothing is held back.
    pub(crate) fn chunk(&mut self, input: &mut &[u8]) -> Result<Vec<u8>, Fault> {
        let mut scratch = self.take_scratch();
        let read = self.read(input, &mut scratch, u64::MAX);
        let chunk = read.map(|length| scratch[..length].to_vec());
        self.message().engine.scratch = scratch;
        chunk
    }

    /// Takes the room for a chunk. Put it back afterwards.
    fn take_scratch(&mut self) -> Vec<u8> {
        let scratch = mem::take(&mut self.message().engine.scratch);
        if scratch.is_empty() { vec![0; CHUNK] } else { scratch }
    }

    /// Inflates some of a message of at most `limit` bytes into `out`, which is not empty, and
    /// takes the bytes it used off the front of `input`. Returns how many bytes it wrote. Zero
    /// means that all of `input` is used and nothing is held back.
    fn read(&mut self, input: &mut &[u8], out: &mut [u8], limit: u64) -> Result<usize, Fault> {
        self.message();
        let Self { window, message: Some(message), volume, .. } = self else { return Ok(0) };
        if message.inflated > limit {
            return Err(Fault::TooBig(limit));
        }
        // One byte more than allowed shows that the message is too big.
        let room = (limit - message.inflated).saturating_add(1).min(out.len() as u64);
        let out = &mut out[..room as usize];
        loop {
            let (read, written, status) =
                message.engine.inflate(input, out, InflateFlush::NoFlush)?;
            *input = &input[read..];
            message.received += read as u64;
            volume.add(read, written);
            message.fresh &= read == 0;
            message.failed = status == Status::BufError;
            window.push(&out[..written]);
            if status == Status::StreamEnd {
                message.next_stream(window)?;
            }
            if written > 0 {
                message.inflated += written as u64;
                if message.inflated <= limit {
                    return Ok(written);
                }
                // The bytes within the limit count first, or the cutting would decide whether the
                // text or the size is at fault.
                message.failed = true;
                return if written > 1 { Ok(written - 1) } else { Err(Fault::TooBig(limit)) };
            }
            if input.is_empty() {
                return Ok(0);
            }
            if read == 0 && status != Status::StreamEnd {
                return Err(Fault::Corrupt); // it has input and room, and cannot go on
            }
        }
    }

    /// Frees everything but the counters: nothing more will be inflated.
    pub(crate) fn release(&mut self) {
        self.message = None;
        self.window.clear();
        #[cfg(not(feature = "std"))]
        {
            self.idle = None;
        }
    }

    /// The bytes read so far, and the bytes that they inflated to.
    pub(crate) fn volume(&self) -> Volume {
        self.volume
    }

    /// The largest message in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Ends a message, all of which was read.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.message();
        let Some(mut message) = self.message.take() else { return Ok(()) };
        // A message that ends with its stream, or has no byte at all, lacks the empty block that
        // §7.2.1 wants, but its meaning is clear.
        if !message.fresh {
            message.engine.end()?;
        }
        let mut engine = message.engine;
        engine.place = None;
        match self.memory {
            Memory::None => engine.spare = self.window.clear(),
            Memory::Window => {}
            Memory::All => {
                self.place.messages += 1;
                engine.place = Some(self.place.clone());
            }
        }
        #[cfg(feature = "std")]
        pool::give_engine(engine);
        #[cfg(not(feature = "std"))]
        {
            self.idle = Some(engine).filter(|_| self.memory != Memory::None);
        }
        Ok(())
    }

    /// The message under way; a new one if there is none.
    fn message(&mut self) -> &mut InflatingMessage {
        let Self { place, window, memory, message, .. } = self;
        message.get_or_insert_with(|| {
            #[cfg(feature = "std")]
            let idle = pool::take_engine(place);
            #[cfg(not(feature = "std"))]
            let idle = self.idle.take();
            let mut engine = match idle {
                Some(engine) if engine.place.as_ref() == Some(place) && !engine.is_worn() => engine,
                Some(mut engine) => {
                    engine.restart(window);
                    engine
                }
                None => {
                    let mut engine = Box::new(Engine::new());
                    engine.recall(window);
                    engine
                }
            };
            if *memory == Memory::None {
                window.bytes = mem::take(&mut engine.spare);
            }
            InflatingMessage {
                engine,
                inflated: 0,
                received: 0,
                streams: 1,
                fresh: true,
                failed: false,
            }
        })
    }
}

impl InflatingMessage {
    /// Starts the next stream of a message, with the same window (§7.2.3.4).
    fn next_stream(&mut self, window: &Window) -> Result<(), Fault> {
        self.streams += 1;
        if self.streams > FREE_STREAMS + self.received / BYTES_PER_STREAM {
            return Err(Fault::TooManyStreams);
        }
        self.engine.restart(window);
        self.fresh = true;
        Ok(())
    }
}

/// A decompressor of zlib.
pub(super) struct Engine {
    zlib: Inflate,
    /// Where it was left, if its connection may go on with it.
    place: Option<Position>,
    /// Room to inflate into; empty until it is needed.
    scratch: Vec<u8>,
    /// Room for the window of a connection that does not keep it.
    spare: Vec<u8>,
}

#[cfg(feature = "std")]
impl pool::Left for Engine {
    fn place(&self) -> Option<&Position> {
        self.place.as_ref()
    }
}

impl Engine {
    fn new() -> Self {
        // Raw, and with the largest window: zlib-rs has no smaller one.
        Self {
            zlib: Inflate::new(false, MAX_BITS),
            place: None,
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Returns how many bytes it read and wrote, and whether the stream has ended.
    fn inflate(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        flush: InflateFlush,
    ) -> Result<(usize, usize, Status), Fault> {
        let (read, written) = (self.zlib.total_in(), self.zlib.total_out());
        let status = self.zlib.decompress(input, out, flush);
        let read = (self.zlib.total_in() - read) as usize;
        let written = (self.zlib.total_out() - written) as usize;
        match status {
            Ok(status) => Ok((read, written, status)),
            // The bytes before the error count first, as if the input were cut there. zlib repeats
            // the error.
            Err(_) if written > 0 => Ok((read, written, Status::BufError)),
            Err(_) => Err(Fault::Corrupt),
        }
    }

    /// Reads the tail that the sender cut off (§7.2.2 step 1). It completes an empty block, so zlib
    /// is told to stop after a block. If the message was whole, zlib uses these four bytes and not
    /// the fifth.
    fn end(&mut self) -> Result<(), Fault> {
        let [a, b, c, d] = TAIL;
        match self.inflate(&[a, b, c, d, 0], &mut [0], InflateFlush::Block)? {
            (4, 0, Status::Ok) => Ok(()),
            _ => Err(Fault::Corrupt),
        }
    }

    /// Whether its counters might overflow soon.
    fn is_worn(&self) -> bool {
        self.zlib.total_in().max(self.zlib.total_out()) >= WORN
    }

    /// Starts a new stream that may refer to `window`.
    fn restart(&mut self, window: &Window) {
        self.zlib.reset(false);
        self.recall(window);
    }

    fn recall(&mut self, window: &Window) {
        for part in window.parts() {
            if !part.is_empty() {
                let result = self.zlib.set_dictionary(part);
                debug_assert!(result.is_ok(), "{result:?}"); // always possible without a header
            }
        }
    }
}
