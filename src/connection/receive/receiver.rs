//! From bytes to events: frames, their order, reassembly (RFC 6455 §5 and §6.2).
//!
//! ```text
//! Head{nothing kept} ──whole message at hand─────────────→ Head      (borrowed event)
//! Head ──head ok, payload still coming──→ Payload{…} ──all bytes──→ Head
//! Head ──control head ok────────────────→ Control{…} ──all bytes──→ Head
//! message: None ──first frame without FIN, or in pieces──→ Some(assembly) ──FIN──→ None
//!          any ──messages are discarded──→ Some(unwanted), for good
//! ```
//!
//! Frame by frame: `guide::specification::receiving`.

mod chunks;
mod discard;
#[cfg(feature = "deflate")]
mod inflate;

use super::budget::{ReceiveBudget, Share};
use crate::connection::{
    Config, ProtocolError, ProtocolErrorKind as Kind,
    stats::{CutOff, Received},
};
#[cfg(feature = "std")]
use crate::message::AHEAD_AT_FIRST;
use crate::{
    Incoming, Input,
    frame::{CloseFrame, ControlPayload, Header, HeaderError, OpCode, mask},
    message::{Assembly, Chunk, Passage, whole_utf8},
};
#[cfg(feature = "std")]
use alloc::vec::Vec;
use alloc::{borrow::Cow, boxed::Box};
use core::fmt;

/// Payload is read straight into the message if at least this many bytes of the frame are missing:
/// about as many as one read into a buffer brings. With fewer a buffer also gets the next frames.
#[cfg(feature = "std")]
const APPEND_FROM: usize = 64 * 1024;

/// The most that is read straight into the message at once, in bytes, so that unmasking finds it in the
/// cache.
#[cfg(feature = "std")]
const APPEND: usize = 256 * 1024;

/// Something that came from the peer. It borrows the input, never the connection.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'i> {
    /// A whole message.
    Message(Incoming<'i>),
    /// A part of a message, from [`receive_chunk`](crate::Connection::receive_chunk), which gives this
    /// instead of [`Message`](Self::Message).
    Chunk(Chunk<'i>),
    /// A ping (RFC 6455 §5.5.2). Its pong is queued already.
    Ping(Cow<'i, [u8]>),
    /// A pong (§5.5.3), asked for or not.
    Pong(Cow<'i, [u8]>),
    /// The peer's Close (§5.5.1), `None` if it has no code. The answer is queued already, unless you
    /// closed first. This is the last event.
    Close(Option<CloseFrame>),
}

/// The kind and the length only: payloads are never printed.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => message.fmt(f),
            Self::Chunk(chunk) => chunk.fmt(f),
            Self::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Self::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
            Self::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}

impl Event<'_> {
    /// The same event with an owned payload, copied if it was borrowed.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Message(message) => Event::Message(message.into_static()),
            Self::Chunk(chunk) => Event::Chunk(chunk.into_owned()),
            Self::Ping(payload) => Event::Ping(payload.into_owned().into()),
            Self::Pong(payload) => Event::Pong(payload.into_owned().into()),
            Self::Close(frame) => Event::Close(frame),
        }
    }
}

/// The receiving half of a connection: its state from one read to the next.
pub(crate) struct Receiver {
    state: FrameState,
    message: Option<PartialMessage>,
    /// `Some` if the peer may compress.
    #[cfg(feature = "deflate")]
    decoder: Option<Box<crate::deflate::Decoder>>,
    /// Where the current frame starts, in bytes since the handshake.
    frame_start: u64,
    frame_end: u64,
    received: Received,
    cut_off: CutOff,
}

enum FrameState {
    Head(PartialHead),
    Payload {
        fin: bool,
        mask: Option<[u8; 4]>,
        len: u64,
        done: u64,
    },
    /// In a box, because it is rare and would make every connection larger.
    Control(Box<PartialControl>),
}

impl FrameState {
    const START: Self = Self::Head(PartialHead { bytes: [0; Header::MAX_LEN - 1], len: 0 });
}

/// A message that is not complete.
struct PartialMessage {
    /// Frames so far, empty ones too.
    fragments: u32,
    /// Whether its payload has to be inflated.
    compressed: bool,
    payload: Destination,
    share: Share,
}

impl PartialMessage {
    /// Adds a piece to what is held; for the other arguments see [`Assembly::wants`].
    #[inline]
    fn push(
        &mut self,
        piece: &[u8],
        announced: usize,
        limit: usize,
        budget: Option<&ReceiveBudget>,
    ) -> Result<(), Kind> {
        let Destination::Held(assembly) = &mut self.payload else {
            return Err(Kind::NothingToContinue);
        };
        if let Some(size) = assembly.wants(piece.len(), announced, limit) {
            self.share.grow(assembly, size, assembly.len() + piece.len(), budget)?;
        }
        assembly.push(piece).map_err(|_| Kind::InvalidUtf8) // §8.1
    }
}

impl Share {
    /// Makes `assembly` as large as `size` if budget and memory allow, or else as large as it `needs`.
    #[cold]
    fn grow(
        &mut self,
        assembly: &mut Assembly,
        size: usize,
        needs: usize,
        budget: Option<&ReceiveBudget>,
    ) -> Result<(), Kind> {
        let granted = match self.grow_to(size, budget) {
            true => size,
            false if self.grow_to(needs, budget) => needs,
            false => {
                let limit = budget.map_or(0, |budget| budget.limit() as u64);
                return Err(Kind::OverBudget { size: needs as u64, limit });
            }
        };
        match assembly.grow(granted) || (needs < granted && assembly.grow(needs)) {
            true => Ok(()),
            false => Err(Kind::OutOfMemory { size: needs as u64 }),
        }
    }
}

enum Destination {
    Held(Assembly),
    Passing(Passage),
    /// Messages are discarded.
    Unwanted(Skipped),
}

/// The position in messages that are discarded.
enum Skipped {
    /// Between two of them.
    Between,
    /// Inside one that is not compressed: its text is checked.
    Plain(Passage),
    Compressed,
}

impl PartialMessage {
    /// Whether its next frame has to be a continuation.
    fn goes_on(&self) -> bool {
        !matches!(self.payload, Destination::Unwanted(Skipped::Between))
    }
}

/// A control frame whose end has not come.
struct PartialControl {
    opcode: OpCode,
    mask: Option<[u8; 4]>,
    len: u8,
    payload: ControlPayload,
}

/// The first bytes of a head whose end has not come.
struct PartialHead {
    bytes: [u8; Header::MAX_LEN - 1],
    len: u8,
}

impl PartialHead {
    /// The kept bytes, followed by as much input as a head can have; and their number.
    fn followed_by(&self, input: &Input<'_>) -> ([u8; Header::MAX_LEN], usize) {
        let kept = usize::from(self.len);
        let more = input.len().min(Header::MAX_LEN - kept);
        let mut bytes = [0; Header::MAX_LEN];
        bytes[..kept].copy_from_slice(&self.bytes[..kept]);
        bytes[kept..kept + more].copy_from_slice(&input.as_bytes()[..more]);
        (bytes, kept + more)
    }

    /// Takes a head off the input, or all of the input if it ends inside one. Gives the head and its
    /// length in bytes.
    #[inline]
    fn decode(&mut self, input: &mut Input<'_>) -> Result<Option<(Header, usize)>, HeaderError> {
        let kept = usize::from(self.len);
        let decoded = if kept == 0 {
            Header::decode(input.as_bytes())?
        } else {
            let (bytes, length) = self.followed_by(input);
            Header::decode(&bytes[..length])?
        };
        match decoded {
            Some((_, length)) => {
                input.take(length - kept);
                self.len = 0;
            }
            None => {
                let rest = input.take_all();
                self.bytes[kept..kept + rest.len()].copy_from_slice(rest);
                self.len += rest.len() as u8;
            }
        }
        Ok(decoded)
    }
}

/// The properties of the connection that the rules of receiving depend on.
pub(crate) struct Rules<'c> {
    /// Whether the peer is a client and so has to mask (§5.1).
    pub(crate) masked: bool,
    pub(crate) config: &'c Config,
    /// Whether messages are handed out as they come. Nothing is held then, so no limit applies.
    pub(crate) chunks: bool,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            state: FrameState::START,
            message: None,
            #[cfg(feature = "deflate")]
            decoder: None,
            frame_start: 0,
            frame_end: 0,
            cut_off: CutOff::No,
            received: Received::default(),
        }
    }

    /// Drops the message under way: nothing more will be received.
    pub(crate) fn stop(&mut self) {
        match &self.message {
            None
            | Some(PartialMessage { payload: Destination::Unwanted(Skipped::Between), .. }) => {}
            Some(PartialMessage { payload: Destination::Passing(passage), .. })
                if passage.has_begun() =>
            {
                self.cut_off = CutOff::InChunks;
            }
            // `discard` may have noted already that parts were handed out.
            Some(_) if self.cut_off == CutOff::No => self.cut_off = CutOff::Held,
            Some(_) => {}
        }
        self.frame_end = self.bytes();
        self.state = FrameState::START;
        self.message = None;
        #[cfg(feature = "deflate")]
        if let Some(decoder) = &mut self.decoder {
            decoder.release();
        }
    }

    #[cfg(feature = "std")]
    pub(crate) fn cut_off_chunks(&mut self) {
        self.cut_off = CutOff::InChunks;
    }

    pub(crate) fn cut_off(&self) -> CutOff {
        self.cut_off
    }

    pub(crate) fn received(&self) -> &Received {
        &self.received
    }

    /// The bytes of all frames that came so far.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.state {
            FrameState::Head(partial) => self.frame_end + u64::from(partial.len),
            FrameState::Payload { len, done, .. } => self.frame_end - (len - done),
            FrameState::Control(partial) => {
                let missing = usize::from(partial.len) - partial.payload.as_bytes().len();
                self.frame_end - missing as u64
            }
        }
    }

    /// A number that grows with every message and every part of one.
    pub(crate) fn progress(&self) -> u64 {
        self.received.messages + self.received.pieces
    }

    /// The next message, if it is one whole frame in the input with a legal head, as most are. `None`
    /// for anything else: nothing has changed, and [`next`](Self::next) handles it.
    #[inline(always)] // into the caller's loop, so that a message is not moved
    pub(crate) fn whole<'i>(
        &mut self,
        input: &mut Input<'i>,
        rules: &Rules<'_>,
    ) -> Option<Result<Incoming<'i>, ProtocolError>> {
        if !matches!(self.state, FrameState::Head(PartialHead { len: 0, .. }))
            || self.message.is_some()
        {
            return None;
        }
        let (header, head) = Header::decode_message(input.as_bytes())?;
        let at_hand = (input.len() - head) as u64;
        if header.mask.is_some() != rules.masked
            || header.payload_len
                > at_hand
                    .min(rules.config.max_frame_size as u64)
                    .min(rules.config.max_message_size as u64)
        {
            return None;
        }
        self.frame_end += head as u64 + header.payload_len;
        self.received.messages += 1;
        self.received.plain += header.payload_len;
        let frame = input.take(head + to_usize(header.payload_len));
        let frame_len = frame.len() as u64;
        let payload = &mut frame[head..];
        unmask(payload, header.mask, 0);
        if header.opcode == OpCode::Binary {
            return Some(Ok(Incoming::Binary(Cow::Borrowed(payload))));
        }
        Some(match whole_utf8(payload) {
            Ok(text) => Ok(Incoming::Text(Cow::Borrowed(text))),
            Err(_) => Err(self.whole_error(frame_len)), // §8.1
        })
    }

    /// The next event, or `None` once all input is consumed.
    ///
    /// After an error the receiver must not be used again.
    pub(crate) fn next<'i>(
        &mut self,
        input: &mut Input<'i>,
        rules: &Rules<'_>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        loop {
            match &mut self.state {
                FrameState::Head(partial) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    self.frame_start = self.frame_end;
                    let decoded = match partial.decode(input) {
                        Ok(decoded) => decoded,
                        Err(error) => {
                            let (bytes, length) = partial.followed_by(input);
                            return Err(self.head_error(
                                &bytes[..length],
                                rules,
                                Kind::Header(error),
                            ));
                        }
                    };
                    let Some((header, length)) = decoded else {
                        let (bytes, length) = (partial.bytes, usize::from(partial.len));
                        return match self.first_fault(&bytes[..length], rules) {
                            Some(kind) => Err(self.error(kind)),
                            None => Ok(None),
                        };
                    };
                    self.frame_end += length as u64;
                    if let Err(kind) = self.check(&header, rules) {
                        let (bytes, length) = header.encode();
                        return Err(self.head_error(&bytes[..length], rules, kind));
                    }
                    self.frame_end += header.payload_len;
                    let event = self.start(header, input, rules);
                    if let Some(event) = event.map_err(|kind| self.error(kind))? {
                        return Ok(Some(event));
                    }
                }
                FrameState::Payload { .. }
                    if matches!(
                        self.message,
                        Some(PartialMessage { payload: Destination::Unwanted(_), .. })
                    ) =>
                {
                    self.skip(input).map_err(|kind| self.error(kind))?;
                    if input.is_empty() {
                        return Ok(None);
                    }
                }
                FrameState::Payload { .. } if rules.chunks => {
                    let chunk = self.pass(input).map_err(|kind| self.error(kind))?;
                    if let Some(chunk) = chunk {
                        return Ok(Some(Event::Chunk(chunk)));
                    }
                    if input.is_empty() {
                        return Ok(None);
                    }
                }
                FrameState::Payload { fin, mask: key, len, done } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let (fin, key, missing) = (*fin, *key, *len - *done);
                    let piece = input.take(to_usize(missing).min(input.len()));
                    unmask(piece, key, *done);
                    *done += piece.len() as u64;
                    let missing = to_usize(missing - piece.len() as u64);
                    if missing == 0 {
                        self.state = FrameState::START;
                    }
                    if let Some(message) = self
                        .assemble(piece, missing, fin, rules)
                        .map_err(|kind| self.error(kind))?
                    {
                        return Ok(Some(Event::Message(message)));
                    }
                }
                FrameState::Control(partial) => {
                    let PartialControl { opcode, mask: key, len, payload } = &mut **partial;
                    let done = payload.as_bytes().len();
                    let piece = input.take((usize::from(*len) - done).min(input.len()));
                    unmask(piece, *key, done as u64);
                    payload.extend(piece);
                    if payload.as_bytes().len() < usize::from(*len) {
                        return Ok(None);
                    }
                    let event = control(*opcode, payload.as_bytes().to_vec().into());
                    let event = event.map_err(|kind| self.error(kind))?;
                    self.state = FrameState::START;
                    self.count(&event);
                    return Ok(Some(event));
                }
            }
        }
    }

    /// Whether the next frame, or the one that is under way, is a control frame.
    #[cfg(feature = "std")]
    pub(crate) fn is_control_next(&self, input: &[u8]) -> bool {
        let first = match &self.state {
            FrameState::Head(PartialHead { len: 0, .. }) => input.first(),
            FrameState::Head(partial) => partial.bytes.first(),
            FrameState::Payload { .. } => None,
            FrameState::Control(_) => return true,
        };
        first.is_some_and(|first| first & 0x08 != 0) // §5.2: the highest bit of the opcode
    }

    /// Whether [`append`](Self::append) may succeed.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_in_payload(&self) -> bool {
        matches!(self.state, FrameState::Payload { .. })
    }

    /// Lets `read` append to the message that is under way, if much of a binary frame is still to
    /// come, so that the bytes skip the buffer. `read` is told how many bytes it may append. The last
    /// one is never among them: it is for [`next`](Self::next).
    #[cfg(feature = "std")]
    pub(crate) fn append<T>(
        &mut self,
        budget: Option<&ReceiveBudget>,
        read: impl FnOnce(&mut Vec<u8>, usize) -> T,
    ) -> Option<T> {
        let FrameState::Payload { mask: key, len, done, .. } = &mut self.state else {
            return None;
        };
        let missing = to_usize(*len - *done);
        if missing < APPEND_FROM {
            return None;
        }
        let Some(PartialMessage {
            compressed: false,
            payload: Destination::Held(assembly),
            share,
            ..
        }) = &mut self.message
        else {
            return None;
        };
        let piece = missing.min(AHEAD_AT_FIRST);
        assembly.as_binary()?;
        if let Some(size) = assembly.wants(piece, missing - piece, usize::MAX) {
            // Without memory the connection fails later, when the bytes come.
            share.grow(assembly, size, assembly.len() + piece, budget).ok()?;
        }
        let bytes = assembly.as_binary()?;
        let before = bytes.len();
        let room = (bytes.capacity() - before).min(missing - 1).min(APPEND);
        let (key, received) = (*key, &mut self.received);
        let appending = Appending { bytes, before, room, key, done, received };
        Some(read(appending.bytes, room))
    }

    #[cold]
    fn error(&self, kind: Kind) -> ProtocolError {
        ProtocolError { kind, offset: self.frame_start }
    }

    /// The text of a whole message, the last `frame` bytes, is not UTF-8.
    #[cold]
    fn whole_error(&mut self, frame: u64) -> ProtocolError {
        self.received.messages -= 1;
        self.frame_start = self.frame_end - frame;
        self.error(Kind::InvalidUtf8)
    }

    /// Counts a control frame.
    fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::Ping(_) => self.received.pings += 1,
            Event::Pong(_) => self.received.pongs += 1,
            _ => self.received.others += 1,
        }
    }

    /// Checks a head by the rules that depend on the connection, before any payload is awaited or
    /// reserved.
    #[inline]
    fn check(&self, header: &Header, rules: &Rules<'_>) -> Result<(), Kind> {
        if !header.rsv.is_none() && !self.is_compressed(header) {
            return Err(Kind::ReservedBits(header.rsv)); // §5.2
        }
        match header.mask {
            None if rules.masked => return Err(Kind::Unmasked(header.opcode)), // §5.1
            Some(_) if !rules.masked => return Err(Kind::Masked(header.opcode)), // §5.1
            _ => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        match (self.message.as_ref().is_some_and(PartialMessage::goes_on), header.opcode) {
            (false, OpCode::Continuation) => return Err(Kind::NothingToContinue), // §5.4
            (false, _) | (true, OpCode::Continuation) => {}
            (true, opcode) => return Err(Kind::MessageInsideMessage(opcode)), // §5.4
        }
        if rules.chunks || self.is_unwanted() {
            return Ok(()); // nothing is held, so no limit applies
        }
        // §10.4. Limits are compared as u64, before any conversion.
        let mut size = header.payload_len;
        let mut compressed = !header.rsv.is_none();
        if let Some(message) = &self.message {
            if message.fragments >= rules.config.max_fragments {
                return Err(Kind::TooManyFragments { limit: rules.config.max_fragments });
            }
            compressed |= message.compressed;
            if let Destination::Held(assembly) = &message.payload {
                size = size.saturating_add(assembly.len() as u64);
            }
        }
        match rules.config.frame_limit(compressed) {
            Some(limit) if header.payload_len > limit => {
                return Err(Kind::FrameTooBig { size: header.payload_len, limit });
            }
            _ => {}
        }
        let message_limit = rules.config.max_message_size as u64;
        // The size of a compressed message is known only once it is inflated.
        if size > message_limit && !compressed {
            return Err(Kind::MessageTooBig { size, limit: message_limit });
        }
        Ok(())
    }

    /// The certain mistake in the first bytes of a head, if there is one. A mistake is reported by the
    /// byte that decides it (§7.1.7).
    #[cold]
    #[inline(never)]
    fn first_fault(&self, bytes: &[u8], rules: &Rules<'_>) -> Option<Kind> {
        (1..=bytes.len()).find_map(|end| match Header::decode(&bytes[..end]) {
            Ok(Some((header, _))) => self.check(&header, rules).err(),
            Ok(None) => self.check(&Header::decode_start(&bytes[..end])?, rules).err(),
            Err(error) => Some(Kind::Header(error)),
        })
    }

    /// The error of a bad head: the same, however many of its bytes came at once.
    #[cold]
    fn head_error(&self, bytes: &[u8], rules: &Rules<'_>, kind: Kind) -> ProtocolError {
        self.error(self.first_fault(bytes, rules).unwrap_or(kind))
    }

    /// Whether this head, which has a reserved bit set, starts a compressed message.
    #[cfg(not(feature = "deflate"))]
    #[expect(clippy::unused_self, reason = "there is nothing that could make it so")]
    fn is_compressed(&self, _: &Header) -> bool {
        false
    }

    /// Starts on the payload. Gives an event at once for an empty payload or a whole control frame;
    /// otherwise changes to a state that takes the pieces.
    fn start<'i>(
        &mut self,
        header: Header,
        input: &mut Input<'i>,
        rules: &Rules<'_>,
    ) -> Result<Option<Event<'i>>, Kind> {
        match header.opcode {
            opcode if !opcode.is_control() && self.is_unwanted() => {
                self.start_unwanted(&header);
                return Ok(None);
            }
            OpCode::Text | OpCode::Binary => {
                let text = header.opcode == OpCode::Text;
                let payload = match rules.chunks {
                    true => Destination::Passing(Passage::new(text)),
                    false => Destination::Held(Assembly::new(text)),
                };
                let compressed = !header.rsv.is_none();
                let share = Share::default();
                self.message = Some(PartialMessage { fragments: 1, compressed, payload, share });
            }
            OpCode::Continuation => {
                if let Some(message) = &mut self.message {
                    message.fragments = message.fragments.saturating_add(1);
                }
            }
            opcode if header.payload_len <= input.len() as u64 => {
                let payload = input.take(to_usize(header.payload_len));
                unmask(payload, header.mask, 0);
                let event = control(opcode, Cow::Borrowed(payload))?;
                self.count(&event);
                return Ok(Some(event));
            }
            opcode => {
                self.state = FrameState::Control(Box::new(PartialControl {
                    opcode,
                    mask: header.mask,
                    len: header.payload_len as u8,
                    payload: ControlPayload::EMPTY,
                }));
                return Ok(None);
            }
        }
        if header.payload_len == 0 && !rules.chunks {
            return Ok(self.assemble(&[], 0, header.fin, rules)?.map(Event::Message));
        }
        let Header { fin, mask, payload_len: len, .. } = header;
        self.state = FrameState::Payload { fin, mask, len, done: 0 };
        Ok(None)
    }

    /// Adds a piece of payload to the message, of whose frame `missing` bytes are still to come;
    /// gives the message once it is whole.
    fn assemble(
        &mut self,
        piece: &[u8],
        missing: usize,
        fin: bool,
        rules: &Rules<'_>,
    ) -> Result<Option<Incoming<'static>>, Kind> {
        let budget = rules.config.receive_budget.as_ref();
        let Some(message) = &mut self.message else { return Err(Kind::NothingToContinue) };
        self.received.pieces += 1;
        let last = missing == 0 && fin;
        if message.compressed {
            #[cfg(feature = "deflate")]
            self.inflate(piece, last, budget)?;
        } else {
            self.received.plain += piece.len() as u64;
            message.push(piece, missing, rules.config.max_message_size, budget)?;
        }
        let message = match self.message.take_if(|_| last) {
            Some(PartialMessage { payload: Destination::Held(assembly), .. }) => {
                Some(assembly.finish().map_err(|_| Kind::InvalidUtf8)?)
            }
            _ => None,
        };
        if missing == 0 {
            self.received.ended(last);
        }
        Ok(message)
    }
}

/// Takes note of what was appended when it is dropped, also if the read panics behind it.
#[cfg(feature = "std")]
struct Appending<'r> {
    bytes: &'r mut Vec<u8>,
    before: usize,
    room: usize,
    key: Option<[u8; 4]>,
    done: &'r mut u64,
    received: &'r mut Received,
}

#[cfg(feature = "std")]
impl Drop for Appending<'_> {
    fn drop(&mut self) {
        let came = self.bytes.len() - self.before;
        debug_assert!(came <= self.room, "more was appended than there was to come");
        if came > 0 {
            unmask(&mut self.bytes[self.before..], self.key, *self.done);
            *self.done += came as u64;
            self.received.pieces += 1;
            self.received.plain += came as u64;
        }
    }
}

fn control(opcode: OpCode, payload: Cow<'_, [u8]>) -> Result<Event<'_>, Kind> {
    Ok(match opcode {
        OpCode::Ping => Event::Ping(payload),
        OpCode::Pong => Event::Pong(payload),
        _ => Event::Close(CloseFrame::decode(&payload).map_err(Kind::CloseFrame)?),
    })
}

#[inline]
fn unmask(payload: &mut [u8], key: Option<[u8; 4]>, offset: u64) {
    if let Some(key) = key {
        mask(payload, key, offset);
    }
}

/// A length that was checked against a limit of this platform, or one that is only an upper bound.
#[inline]
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
