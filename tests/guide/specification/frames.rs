//! Frames as the tables of receiving write them.

use super::table::quoted;
use crate::common::{KEY, frame_with, head_with, other};
#[cfg(feature = "deflate")]
use crate::deflate::{Blocks, TAIL};
use fullduplex::Role;

/// Frames as they are written in a table.
pub(crate) struct Frames {
    pub(crate) text: &'static str,
    /// Whether the input ends behind them.
    pub(crate) end: bool,
    pub(crate) parts: Vec<Part>,
}

pub(crate) struct Part {
    pub(crate) times: usize,
    pub(crate) first: u8,
    pub(crate) body: Body,
    pub(crate) wrong_mask: bool,
}

pub(crate) enum Body {
    /// There is no more than the first byte.
    None,
    Payload(Vec<u8>),
    #[cfg(feature = "deflate")]
    Deflated(Vec<u8>),
    Announced(u64),
    Length(Vec<u8>),
    /// As much as the message may have, or the head only, with one more.
    Fill {
        over: bool,
    },
}

impl Frames {
    pub(crate) fn parse(text: &'static str) -> Self {
        let mut frames = Self { text, end: false, parts: Vec::new() };
        for part in text.split(", ") {
            match part {
                "nothing" => {}
                "end" => frames.end = true,
                _ => frames.parts.push(Part::parse(part)),
            }
        }
        frames
    }

    /// The bytes, to a `role` which holds so many bytes of the message.
    pub(crate) fn wire(&self, role: Role, limit: u64, held: usize) -> Vec<u8> {
        self.parts
            .iter()
            .flat_map(|part| part.wire(role, limit.saturating_sub(held as u64)))
            .collect()
    }

    /// The payloads of the data frames, one after the other, as they are on the wire.
    pub(crate) fn data(&self, limit: u64, held: usize) -> Vec<u8> {
        let data = self.parts.iter().filter(|part| part.first & 0x08 == 0);
        data.flat_map(|part| part.payload(limit.saturating_sub(held as u64)).repeat(part.times))
            .collect()
    }
}

impl Part {
    pub(crate) fn parse(text: &str) -> Self {
        let (text, wrong_mask) = match text.strip_suffix(" wrong mask") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (times, text) = match text.split_once(" × ") {
            Some((times, rest)) if times.parse::<usize>().is_ok() => (times.parse().unwrap(), rest),
            _ => (1, text),
        };
        let (first, body) = text.split_once(' ').unwrap_or((text, ""));
        let body = match body {
            "" => Body::None,
            "fill" => Body::Fill { over: false },
            "fill + 1" => Body::Fill { over: true },
            _ => match (body.strip_prefix("len "), body.strip_prefix("deflated ")) {
                (Some(bytes), _) => Body::Length(bytes.split(' ').map(hex).collect()),
                #[cfg(feature = "deflate")]
                (_, Some(plain)) => Body::Deflated(quoted(plain)),
                _ => match body.strip_suffix(" bytes") {
                    Some(count) => Body::Announced(count.parse().unwrap()),
                    None => Body::Payload(quoted(body)),
                },
            },
        };
        Self { times, first: hex(first), body, wrong_mask }
    }

    /// The payload, where `room` more bytes may come.
    pub(crate) fn payload(&self, room: u64) -> Vec<u8> {
        match &self.body {
            Body::Payload(bytes) => bytes.clone(),
            #[cfg(feature = "deflate")]
            Body::Deflated(plain) => {
                let block = Blocks::new().fixed(false, plain, None).message();
                let cut = self.first & 0x80 != 0;
                [&block[..], if cut { &[] } else { &TAIL }].concat()
            }
            Body::Fill { over: false } => vec![b'x'; room as usize],
            _ => Vec::new(),
        }
    }

    pub(crate) fn wire(&self, role: Role, room: u64) -> Vec<u8> {
        // §5.1: a client masks, a server does not.
        let to = if self.wrong_mask { other(role) } else { role };
        let key = (to == Role::Server).then_some(KEY);
        let one = match &self.body {
            Body::None => vec![self.first],
            Body::Announced(length) => head_with(self.first, *length, key),
            Body::Fill { over: true } => head_with(self.first, room + 1, key),
            Body::Length(bytes) => {
                let mut head = [&[self.first], &bytes[..]].concat();
                head[1] |= if key.is_some() { 0x80 } else { 0 };
                head.extend(key.iter().flatten());
                head
            }
            _ => frame_with(self.first, &self.payload(room), key),
        };
        one.repeat(self.times)
    }
}

fn hex(text: &str) -> u8 {
    u8::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text} is no byte"))
}
