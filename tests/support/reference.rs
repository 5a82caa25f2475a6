//! A second way to read a stream of frames: slow, over the whole stream at once, straight from
//! the text of RFC 6455, and without a line in common with the crate.

use super::Seen;
use fullduplex::Role;

/// What is accepted, in bytes and frames (§10.4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) message: u64,
    pub(crate) frame: u64,
    pub(crate) fragments: u64,
}

/// What the default configuration promises.
impl Default for Limits {
    fn default() -> Self {
        Self { message: 16 << 20, frame: 16 << 20, fragments: 1 << 17 }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More could come.
    Open,
    /// The peer's Close came.
    Closed,
    /// It has to be failed, with a Close of this code.
    Failed(u16),
}

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;
const POLICY_VIOLATION: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// A frame head (§5.2).
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) length: u64,
    /// How long the head itself is, in bytes.
    pub(crate) size: usize,
}

/// The events of `stream`, which came to an endpoint in role `to`, and how it ended.
pub(crate) fn decode(to: Role, limits: Limits, stream: &[u8]) -> (Vec<Seen>, End) {
    decode_with(to, limits, None, stream)
}

/// How a compressed message is read (RFC 7692 §6.2): given what came of it so far, and whether that
/// is all of it, the bytes that it comes to, and the code with which to fail behind them.
pub(crate) type Inflate<'f> = &'f mut dyn FnMut(&[u8], bool) -> (Vec<u8>, Option<u16>);

/// As [`decode`], with permessage-deflate if there is something that inflates.
pub(crate) fn decode_with(
    to: Role,
    limits: Limits,
    inflate: Option<Inflate<'_>>,
    stream: &[u8],
) -> (Vec<Seen>, End) {
    let mut events = Vec::new();
    let end = read(to, limits, inflate, stream, &mut events);
    (events, end.unwrap_or_else(End::Failed))
}

/// What an endpoint writes that saw `events` and then `end`, and sends no message: first byte and
/// payload of each frame, the reason of a Close left out. `closing`: its own Close was queued
/// before. Nothing is written meanwhile, so of the pings beyond sixteen only the newest is answered
/// (§5.5.3).
pub(crate) fn answers(events: &[Seen], end: End, closing: bool) -> Vec<(u8, Vec<u8>)> {
    let mut pongs: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Seen::Ping(payload) => Some((0x8a, payload.clone())),
            _ => None,
        })
        .collect();
    if pongs.len() > 16 {
        pongs.drain(16..pongs.len() - 1);
    }
    // §5.5.1: a Close is answered with its code; who has sent one sends no second.
    let close = match (end, events.last()) {
        (End::Failed(code), _) => Some(code.to_be_bytes().to_vec()),
        (End::Closed, Some(Seen::Close(Some((code, _))))) => Some(code.to_be_bytes().to_vec()),
        (End::Closed, _) => Some(Vec::new()),
        (End::Open, _) => None,
    };
    let first = closing.then(|| (0x88, Vec::new()));
    let last = close.filter(|_| !closing).map(|body| (0x88, body));
    first.into_iter().chain(pongs).chain(last).collect()
}

/// A message of which not everything is there.
struct Open {
    text: bool,
    compressed: bool,
    payload: Vec<u8>,
    fragments: u64,
}

fn read(
    to: Role,
    limits: Limits,
    mut inflate: Option<Inflate<'_>>,
    stream: &[u8],
    events: &mut Vec<Seen>,
) -> Result<End, u16> {
    let mut rest = stream;
    let mut message: Option<Open> = None;
    loop {
        let judge = |head: &Head| judge(head, to, limits, inflate.is_some(), message.as_ref());
        let Some(head) = judged(rest, judge)? else { break };
        rest = &rest[head.size..];
        let here = head.length.min(rest.len() as u64);
        let whole = here == head.length;
        let payload = unmask(&rest[..here as usize], head.key);
        rest = &rest[here as usize..];

        if head.opcode >= 8 {
            if !whole {
                break;
            }
            events.push(match head.opcode {
                8 => Seen::Close(close(&payload)?),
                9 => Seen::Ping(payload),
                _ => Seen::Pong(payload),
            });
            if head.opcode == 8 {
                return Ok(End::Closed);
            }
            continue;
        }

        let mut open = match message.take() {
            Some(open) => open,
            None => Open {
                text: head.opcode == 1,
                compressed: head.rsv != 0,
                payload: Vec::new(),
                fragments: 0,
            },
        };
        open.fragments += 1;
        open.payload.extend(payload);
        let last = whole && head.fin;
        let (plain, failed) = match &mut inflate {
            Some(inflate) if open.compressed => inflated(&open.payload, last, limits, inflate),
            _ => (open.payload.clone(), None),
        };
        if open.text {
            // §8.1: what can no longer become UTF-8, or would have to go on, is not UTF-8.
            if let Err(error) = std::str::from_utf8(&plain) {
                if last && failed.is_none() || error.error_len().is_some() {
                    return Err(INVALID_PAYLOAD);
                }
            }
        }
        if let Some(code) = failed {
            return Err(code);
        }
        if !last {
            message = Some(open);
        } else if open.text {
            events.push(Seen::Text(String::from_utf8(plain).unwrap()));
        } else {
            events.push(Seen::Binary(plain));
        }
    }
    Ok(End::Open)
}

/// What a compressed message comes to, up to the limit on it (§10.4), and what is wrong behind that.
fn inflated(
    payload: &[u8],
    last: bool,
    limits: Limits,
    inflate: &mut Inflate<'_>,
) -> (Vec<u8>, Option<u16>) {
    let (mut plain, failed) = inflate(payload, last);
    if plain.len() as u64 <= limits.message {
        return (plain, failed);
    }
    plain.truncate(limits.message as usize);
    (plain, Some(TOO_BIG))
}

/// §5.2 and the first sentence of §5.5; `None` if `bytes` end inside the head.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, u16> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let fin = bytes[0] & 0b1000_0000 != 0;
    let rsv = bytes[0] & 0b0111_0000;
    let opcode = bytes[0] & 0b0000_1111;
    if (3..=7).contains(&opcode) || opcode >= 11 {
        return Err(PROTOCOL_ERROR);
    }
    if opcode >= 8 && !fin {
        return Err(PROTOCOL_ERROR);
    }
    if bytes.len() < 2 {
        return Ok(None);
    }
    let masked = bytes[1] & 0b1000_0000 != 0;
    let short = bytes[1] & 0b0111_1111;
    if opcode >= 8 && (short > 125 || opcode == 8 && short == 1) {
        return Err(PROTOCOL_ERROR);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if bytes.len() < 2 + extended {
        return Ok(None);
    }
    let mut length = u64::from(short);
    if extended > 0 {
        length = bytes[2..2 + extended].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let least = if extended == 2 { 126 } else { 65_536 };
        if length < least || length >= 1 << 63 {
            return Err(PROTOCOL_ERROR);
        }
    }
    let size = 2 + extended + if masked { 4 } else { 0 };
    if bytes.len() < size {
        return Ok(None);
    }
    let key = masked.then(|| bytes[2 + extended..size].try_into().unwrap());
    Ok(Some(Head { fin, rsv, opcode, key, length, size }))
}

/// The head at the start of `bytes`. The first byte after which it cannot be right any more
/// decides what is wrong with it (§7.1.7).
fn judged(bytes: &[u8], judge: impl Fn(&Head) -> Result<(), u16>) -> Result<Option<Head>, u16> {
    for end in 1..=bytes.len() {
        match head(&bytes[..end])? {
            Some(head) => return judge(&head).map(|()| Some(head)),
            None => hopeless(&bytes[..end], &judge)?,
        }
    }
    Ok(None)
}

/// What is wrong with a head that `start` cuts off, however it goes on: as soon as the first two
/// bytes are there, and then the length.
fn hopeless(start: &[u8], judge: impl Fn(&Head) -> Result<(), u16>) -> Result<(), u16> {
    let [first, second, length @ ..] = start else { return Ok(()) };
    let known = match second & 0x7f {
        126 => length.len() >= 2,
        127 => length.len() >= 8,
        _ => true,
    };
    let mut whole = if known { start.to_vec() } else { vec![*first, second & 0x80] };
    whole.resize(14, 0);
    judge(&head(&whole)?.unwrap())
}

/// What depends on the connection: §5.1, §5.2, §5.4, §10.4; RFC 7692 §6.1.
fn judge(
    head: &Head,
    to: Role,
    limits: Limits,
    deflate: bool,
    message: Option<&Open>,
) -> Result<(), u16> {
    let compressed = deflate && head.rsv == 0x40 && matches!(head.opcode, 1 | 2);
    if head.rsv != 0 && !compressed || head.key.is_some() != (to == Role::Server) {
        return Err(PROTOCOL_ERROR);
    }
    if head.opcode >= 8 {
        return Ok(());
    }
    if message.is_some() != (head.opcode == 0) {
        return Err(PROTOCOL_ERROR);
    }
    if message.map_or(0, |message| message.fragments + 1) > limits.fragments {
        return Err(POLICY_VIOLATION);
    }
    let inflated = compressed || message.is_some_and(|message| message.compressed);
    if head.length > limits.frame && (inflated || limits.frame <= limits.message) {
        return Err(TOO_BIG);
    }
    if inflated {
        return Ok(()); // its length shows when it is inflated
    }
    let before = message.map_or(0, |message| message.payload.len() as u64);
    if u128::from(before) + u128::from(head.length) > u128::from(limits.message) {
        return Err(TOO_BIG);
    }
    Ok(())
}

/// §5.5.1 and §7.4: a code that may be used and a reason in UTF-8, or nothing.
fn close(body: &[u8]) -> Result<Option<(u16, String)>, u16> {
    match body {
        [] => Ok(None),
        [_] => Err(PROTOCOL_ERROR),
        [high, low, reason @ ..] => {
            let code = u16::from(*high) << 8 | u16::from(*low);
            let defined = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
            if !defined.contains(&code) && !(3000..=4999).contains(&code) {
                return Err(PROTOCOL_ERROR);
            }
            match String::from_utf8(reason.to_vec()) {
                Ok(reason) => Ok(Some((code, reason))),
                Err(_) => Err(INVALID_PAYLOAD),
            }
        }
    }
}

/// §5.3: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4).
pub(crate) fn unmask(payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    match key {
        Some(key) => payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect(),
        None => payload.to_vec(),
    }
}
