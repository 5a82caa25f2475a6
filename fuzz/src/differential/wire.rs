//! Frames as they stand on the wire, and the rules that they break: RFC 6455 §5 read naively, from
//! the whole stream, by neither of the two.

/// What can be wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Opcode,
    Reserved,
    Unmasked,
    Masked,
    FragmentedControl,
    ControlTooLong,
    LengthTopBit,
    LengthNotShortest,
    NothingToContinue,
    MessageInside,
    CloseTruncated,
    CloseCode,
    Utf8,
    TooBig {
        size: u64,
        limit: u64,
    },
    TooManyFragments,
    /// A frame behind the peer's Close.
    AfterClose,
}

/// A frame, or as much of it as there is.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) start: usize,
    /// Where it ends, or where the stream does.
    pub(super) end: usize,
    pub(super) complete: bool,
    pub(super) fin: bool,
    pub(super) reserved: u8,
    pub(super) opcode: u8,
    pub(super) masked: Option<bool>,
    /// The seven bits of the length.
    short_length: Option<u8>,
    pub(super) length: Option<u64>,
    /// Unmasked.
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    /// Whether the length is in more bytes than it needs.
    pub(super) fn is_length_padded(&self) -> bool {
        match (self.short_length, self.length) {
            (Some(126), Some(length)) => length < 126,
            (Some(127), Some(length)) => length < 0x1_0000,
            _ => false,
        }
    }

    /// A Close with a code: it, and whether it may be sent (§7.4, and the registry of §11.7).
    pub(super) fn close_code(&self) -> Option<(u16, bool)> {
        let code = u16::from_be_bytes(*self.payload.first_chunk()?);
        let legal = (1000..=1014).contains(&code) && !(1004..=1006).contains(&code)
            || (3000..=4999).contains(&code);
        (self.opcode == 8).then_some((code, legal))
    }
}

/// The frames of `stream`, up to one that is not complete.
pub(super) fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let frame = frame(stream, at);
        at = frame.end;
        frames.push(frame);
    }
    frames
}

fn frame(stream: &[u8], start: usize) -> Frame {
    let rest = &stream[start..];
    let mut frame = Frame {
        start,
        end: stream.len(),
        complete: false,
        fin: rest[0] & 0x80 != 0,
        reserved: rest[0] & 0x70,
        opcode: rest[0] & 0x0f,
        masked: None,
        short_length: None,
        length: None,
        payload: Vec::new(),
    };
    let Some(&second) = rest.get(1) else { return frame };
    frame.masked = Some(second & 0x80 != 0);
    frame.short_length = Some(second & 0x7f);
    let width = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(extended) = rest.get(2..2 + width) else { return frame };
    let length = match width {
        0 => u64::from(second & 0x7f),
        _ => extended.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)),
    };
    frame.length = Some(length);
    let mut head = 2 + width;
    let mut key = [0; 4];
    if second & 0x80 != 0 {
        let Some(bytes) = rest[head..].first_chunk() else { return frame };
        key = *bytes;
        head += 4;
    }
    let here = (rest.len() - head) as u64;
    let payload = &rest[head..][..length.min(here) as usize];
    frame.payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    if length <= here {
        frame.complete = true;
        frame.end = start + head + length as usize;
    }
    frame
}

/// What rules depend on.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) client: bool,
    pub(super) message: u64,
    pub(super) frame: u64,
    pub(super) fragments: usize,
}

/// All rules that the last of `frames` breaks, if those in front of it break none.
pub(super) fn faults(frames: &[Frame], limits: &Limits) -> Vec<Fault> {
    let Some((frame, before)) = frames.split_last() else { return Vec::new() };
    // The message that is under way: whether it is text, and what there is of it.
    let mut message: Option<(bool, Vec<u8>, usize)> = None;
    for frame in before.iter().filter(|frame| !frame.is_control()) {
        let (_, payload, count) = message.get_or_insert_with(|| (frame.opcode == 1, Vec::new(), 0));
        payload.extend_from_slice(&frame.payload);
        *count += 1;
        if frame.fin {
            message = None;
        }
    }
    let length = frame.length.unwrap_or(0);
    let mut faults = Vec::new();
    let mut add = |fault, is| {
        if is {
            faults.push(fault);
        }
    };
    add(Fault::Opcode, matches!(frame.opcode, 3..=7 | 11..));
    add(Fault::Reserved, frame.reserved != 0);
    add(Fault::Unmasked, !limits.client && frame.masked == Some(false));
    add(Fault::Masked, limits.client && frame.masked == Some(true));
    add(Fault::FragmentedControl, frame.is_control() && !frame.fin);
    add(Fault::ControlTooLong, frame.is_control() && frame.short_length > Some(125));
    add(Fault::LengthTopBit, length > i64::MAX as u64);
    add(Fault::LengthNotShortest, frame.is_length_padded());
    add(Fault::TooBig { size: length, limit: limits.frame }, length > limits.frame);
    if frame.is_control() {
        let close = frame.opcode == 8;
        add(Fault::CloseTruncated, close && frame.short_length == Some(1));
        add(Fault::CloseCode, frame.close_code().is_some_and(|(_, legal)| !legal));
        let reason = frame.payload.get(2..).unwrap_or_default();
        add(Fault::Utf8, close && is_broken(reason, frame.complete));
        return faults;
    }
    add(Fault::NothingToContinue, frame.opcode == 0 && message.is_none());
    add(Fault::MessageInside, frame.opcode != 0 && message.is_some());
    let (text, mut payload, count) =
        message.filter(|_| frame.opcode == 0).unwrap_or((frame.opcode == 1, Vec::new(), 0));
    let size = length.saturating_add(payload.len() as u64);
    add(Fault::TooBig { size, limit: limits.message }, size > limits.message);
    add(Fault::TooManyFragments, count >= limits.fragments.max(1));
    payload.extend_from_slice(&frame.payload);
    add(Fault::Utf8, text && is_broken(&payload, frame.complete && frame.fin));
    faults
}

/// Whether `text` is not UTF-8, whatever may follow unless it is `whole`.
fn is_broken(text: &[u8], whole: bool) -> bool {
    core::str::from_utf8(text).is_err_and(|error| whole || error.error_len().is_some())
}
