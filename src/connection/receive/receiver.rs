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

#[cfg(feature = "std")]
mod append;
mod check;
mod chunks;
mod discard;
#[cfg(feature = "deflate")]
mod inflate;
mod partial;

use super::{budget::Share, event::Event};
use crate::{
    Incoming, Input,
    connection::{
        Config, ProtocolError, ProtocolErrorKind as Kind,
        stats::{CutOff, Received},
    },
    frame::{CloseFrame, ControlPayload, Header, OpCode, mask},
    message::{Assembly, Passage, whole_utf8},
};
use alloc::{borrow::Cow, boxed::Box};
use partial::{Destination, PartialControl, PartialHead, PartialMessage, Skipped};

/// The receiving half of a connection: its state from one read to the next.
pub(crate) struct Receiver {
    state: FrameState,
    message: Option<PartialMessage>,
    /// `Some` if the peer may compress.
    #[cfg(feature = "deflate")]
    decoder: Option<Box<crate::deflate::Decoder>>,
    /// The start of the current frame, in bytes since the handshake.
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
