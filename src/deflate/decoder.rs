//! Decompressing (RFC 7692 §7.2.2).
//!
//! What a connection keeps from one message to the next is not a state of zlib but the window
//! itself: the last bytes that it received. The state, which is larger, is borrowed from the thread
//! for the time of a message. With the largest window, and if nobody else has used it since, it is
//! still where this connection left it; otherwise it is reset and told the window. The same is done
//! where a stream ends inside of the messages (a block with BFINAL set), which zlib does not go
//! beyond by itself.
//!
//! A state of zlib-rs remembers 32 KiB whatever was agreed on. So with a smaller window it is told
//! the window at the start of each message: what a message may refer to must not depend on whether
//! another connection has had the state in between.

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

/// How much is inflated at a time, in bytes.
pub(crate) const CHUNK: usize = 32 * 1024;

/// How many streams one message may be made of, apart from one more for each of so many bytes of
/// it: a stream of two bytes makes us copy a window.
const FREE_STREAMS: u64 = 64;
const BYTES_PER_STREAM: u64 = 64;

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not DEFLATE, refers to what is not there, or breaks off.
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
    /// Where in the messages we stand; what was left there goes on here.
    place: Position,
    message: Option<InflatingMessage>,
    /// All that was read, and what it came to.
    volume: Volume,
    /// There is no thread to lend it to.
    #[cfg(not(feature = "std"))]
    idle: Option<Box<Engine>>,
}

/// What is remembered of the messages so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nothing: there is no takeover.
    None,
    /// As much as was agreed on, which is less than a state of zlib remembers.
    Window,
    /// As much as a state of zlib does: one that nobody else has used can go on.
    All,
}

/// The message that is under way.
struct InflatingMessage {
    engine: Box<Engine>,
    /// Bytes that came of it so far.
    inflated: u64,
    /// Bytes of it on the wire so far.
    received: u64,
    streams: u64,
    /// Whether it stands in front of a stream of which nothing has come.
    fresh: bool,
    /// Whether there is an error behind what came.
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
            // Who says 8 may mean 9: zlib, asked for 8, writes 9.
            window: Window::new(1 << agreed.window_bits.max(9)),
            place: Position::default(),
            message: None,
            volume: Volume::default(),
            #[cfg(not(feature = "std"))]
            idle: None,
        }
    }

    /// Inflates what came of a message and hands it to `sink` in pieces of at most [`CHUNK`] bytes.
    /// `last`: the message ends where `input` does.
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
                    // Zlib had more room than it wanted: that is all, unless an error waits.
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

    /// Inflates some of a message, at most [`CHUNK`] bytes, and takes what it used off the front of
    /// `input`. None: all of `input` is used, and nothing is held back. No limit holds.
    pub(crate) fn chunk(&mut self, input: &mut &[u8]) -> Result<Vec<u8>, Fault> {
        let mut scratch = self.take_scratch();
        let read = self.read(input, &mut scratch, u64::MAX);
        let chunk = read.map(|length| scratch[..length].to_vec());
        self.message().engine.scratch = scratch;
        chunk
    }

    /// Room for a chunk, to be put back.
    fn take_scratch(&mut self) -> Vec<u8> {
        let scratch = mem::take(&mut self.message().engine.scratch);
        if scratch.is_empty() { vec![0; CHUNK] } else { scratch }
    }

    /// Inflates some of a message of at most `limit` bytes into `out`, which is not empty, and takes
    /// what it used off the front of `input`: how many bytes there are. Zero: all of `input` is used,
    /// and nothing is held back.
    fn read(&mut self, input: &mut &[u8], out: &mut [u8], limit: u64) -> Result<usize, Fault> {
        self.message();
        let Self { window, message: Some(message), volume, .. } = self else { return Ok(0) };
        if message.inflated > limit {
            return Err(Fault::TooBig(limit));
        }
        // One byte more than is allowed shows that it is too much.
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
                // What is allowed counts first, so that it is not the cutting which decides
                // whether its text or its size is at fault.
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

    /// Nothing more will be inflated: gives everything back but the counters.
    pub(crate) fn release(&mut self) {
        self.message = None;
        self.window.clear();
        #[cfg(not(feature = "std"))]
        {
            self.idle = None;
        }
    }

    /// All that was read so far, and what it came to.
    pub(crate) fn volume(&self) -> Volume {
        self.volume
    }

    /// The largest message in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// All of a message was read.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.message();
        let Some(mut message) = self.message.take() else { return Ok(()) };
        // A message that ends with its stream, or has no byte at all, lacks the empty block that
        // §7.2.1 wants; what it says is clear.
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

    /// The message that is under way; a new one if there is none.
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
    /// A stream has ended, and what follows is another, with the same window (§7.2.3.4).
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
    /// Where it was left, if somebody may come back for it.
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

    /// What was read, what was written, and whether the stream has ended.
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
            // What came before the error counts first, as if the input had been cut there; zlib
            // gives the error again.
            Err(_) if written > 0 => Ok((read, written, Status::BufError)),
            Err(_) => Err(Fault::Corrupt),
        }
    }

    /// Reads what the sender has cut off (§7.2.2 step 1). It completes an empty block, and so
    /// zlib is told to stop behind a block: if the message was whole, it uses just these bytes and
    /// not the one more that it is offered.
    fn end(&mut self) -> Result<(), Fault> {
        let [a, b, c, d] = TAIL;
        match self.inflate(&[a, b, c, d, 0], &mut [0], InflateFlush::Block)? {
            (4, 0, Status::Ok) => Ok(()),
            _ => Err(Fault::Corrupt),
        }
    }

    /// Whether it has done so much that its own counters might overflow.
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
