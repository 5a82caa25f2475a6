//! DEFLATE by hand, for the tests of permessage-deflate: a slow reader straight from the text of
//! RFC 1951, which also says how far back anything refers, and a writer of bits.

use super::connection;
use fullduplex::{
    Config, Connection, Role,
    deflate::{Deflate, DeflateParams},
};

/// What is cut off a message and appended to it again (RFC 7692 §7.2.1).
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Settings that leave everything to the peer.
pub(crate) fn largest() -> Deflate {
    Deflate::default().send_window_bits(15).receive_window_bits(15)
}

/// What a response with these parameters comes to.
pub(crate) fn params(text: &str) -> DeflateParams {
    let semicolon = if text.is_empty() { "" } else { "; " };
    let answer = format!("permessage-deflate{semicolon}{text}").parse().unwrap();
    largest().agreed(&[answer]).unwrap().expect("parameters that can be agreed on")
}

/// A connection on which `agreed` holds.
pub(crate) fn deflating(role: Role, config: Config, agreed: DeflateParams) -> Connection {
    connection(role, config).with_deflate(agreed).unwrap()
}

/// Parameters in which the window of both ends has so many bits.
pub(crate) fn with_bits(bits: u8, takeover: bool) -> DeflateParams {
    let mut text = format!("server_max_window_bits={bits}; client_max_window_bits={bits}");
    if !takeover {
        text += "; server_no_context_takeover; client_no_context_takeover";
    }
    params(&text)
}

/// What a message says.
#[derive(Debug, Default)]
pub(crate) struct Inflated {
    pub(crate) bytes: Vec<u8>,
    /// The largest distance that anything in it refers back.
    pub(crate) furthest: usize,
    /// Where streams end (blocks with BFINAL set): after how many bytes of the message, and after
    /// how many of what it says.
    pub(crate) streams: Vec<(usize, usize)>,
    /// How many bytes stand before the lengths of the last block without compression.
    pub(crate) lengths_at: Option<usize>,
}

/// What is wrong with a message of which more could come.
pub(crate) const ENDS_TOO_EARLY: &str = "ends too early";

/// Reads a whole message as RFC 7692 §7.2.2 says, behind the bytes of `window`.
pub(crate) fn inflate(window: &[u8], message: &[u8]) -> Result<Inflated, &'static str> {
    let (inflated, error) = blocks(window, &[message, &TAIL].concat(), usize::MAX);
    // Where it ends as §7.2.1 wants, the four bytes are the lengths of an empty block; nothing else
    // may use them up.
    let ended = inflated.lengths_at == Some(message.len());
    error.or((!ended).then_some("no empty block in the end")).map_or(Ok(inflated), Err)
}

/// What is wrong with a message of which nobody wants to know all.
pub(crate) const GOES_ON: &str = "goes on";

/// What is wrong with a block that has no code for the lengths of its codes. zlib takes a bit for
/// each of these all the same, and misses the end of the block when they are there.
pub(crate) const NO_CODES: &str = "no code for code lengths";

/// Reads blocks behind the bytes of `window`: what they say up to their end, up to what is wrong, or
/// a little beyond `most` bytes.
pub(crate) fn blocks(window: &[u8], data: &[u8], most: usize) -> (Inflated, Option<&'static str>) {
    let mut bits = BitReader { data, at: 0 };
    let mut all = window.to_vec();
    let mut inflated = Inflated::default();
    let error = loop {
        if bits.is_at_end() {
            break None;
        }
        match block(&mut bits, &mut all, window.len().saturating_add(most), &mut inflated) {
            Ok(false) => {}
            Ok(true) => {
                bits.align();
                inflated.streams.push((bits.at / 8, all.len() - window.len()));
            }
            Err(error) => break Some(error),
        }
    };
    inflated.bytes = all.split_off(window.len());
    (inflated, error)
}

/// RFC 1951 §3.2.3: one block, and whether it is the last of its stream.
fn block(
    bits: &mut BitReader<'_>,
    all: &mut Vec<u8>,
    most: usize,
    inflated: &mut Inflated,
) -> Result<bool, &'static str> {
    let last = bits.take(1)? == 1;
    match bits.take(2)? {
        0 => {
            bits.align();
            inflated.lengths_at = Some(bits.at / 8);
            let length = bits.take(16)?;
            if bits.take(16)? != length ^ 0xffff {
                return Err("stored block lengths");
            }
            for _ in 0..length {
                all.push(bits.take(8)? as u8);
            }
        }
        1 => {
            let lengths: Vec<u8> = (0..288)
                .map(|i| [8, 9, 7, 8][[144, 256, 280].iter().filter(|e| i >= **e).count()])
                .collect();
            let (literals, distances) = (Codes::new(&lengths), Codes::new(&[5; 30]));
            codes(bits, &literals, &distances, all, most, &mut inflated.furthest)?;
        }
        2 => {
            let (literals, distances) = tables(bits)?;
            codes(bits, &literals, &distances, all, most, &mut inflated.furthest)?;
        }
        _ => return Err("block type"),
    }
    Ok(last)
}

struct BitReader<'d> {
    data: &'d [u8],
    at: usize,
}

impl BitReader<'_> {
    fn take(&mut self, count: usize) -> Result<usize, &'static str> {
        let mut value = 0;
        for i in 0..count {
            let byte = self.data.get(self.at / 8).ok_or(ENDS_TOO_EARLY)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << i;
            self.at += 1;
        }
        Ok(value)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    fn is_at_end(&self) -> bool {
        self.at == self.data.len() * 8
    }

    fn symbol(&mut self, codes: &Codes) -> Result<usize, &'static str> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &codes.counts[..codes.longest] {
            code |= self.take(1)?;
            if code < first + count {
                return Ok(codes.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("no such code")
    }
}

/// RFC 1951 §3.2.2: codes of one length are consecutive, and shorter ones come first.
struct Codes {
    /// How many there are of each length from 1 to 15.
    counts: [usize; 15],
    /// The most bits that any has; one if there are none.
    longest: usize,
    symbols: Vec<usize>,
}

impl Codes {
    fn new(lengths: &[u8]) -> Self {
        let of = |length| (0..lengths.len()).filter(move |i| lengths[*i] == length);
        let counts = core::array::from_fn(|i| of(i as u8 + 1).count());
        Self {
            counts,
            longest: counts.iter().rposition(|count| *count > 0).unwrap_or(0) + 1,
            symbols: (1..=15).flat_map(of).collect(),
        }
    }

    /// How many codes of 15 bits are not used; less than none if there are too many codes.
    fn unused(&self) -> isize {
        let used = (1..).zip(self.counts).map(|(bits, count)| (count as isize) << (15 - bits));
        (1 << 15) - used.sum::<isize>()
    }
}

/// RFC 1951 §3.2.7.
fn tables(bits: &mut BitReader<'_>) -> Result<(Codes, Codes), &'static str> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let literals = bits.take(5)? + 257;
    let distances = bits.take(5)? + 1;
    let count = bits.take(4)? + 4;
    if literals > 286 || distances > 30 {
        return Err("more codes than there are symbols");
    }
    let mut meta = [0; 19];
    for index in &ORDER[..count] {
        meta[*index] = bits.take(3)? as u8;
    }
    let meta = Codes::new(&meta);
    if meta.symbols.is_empty() {
        return Err(NO_CODES);
    }
    if meta.unused() != 0 {
        return Err("code lengths of code lengths");
    }
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (value, times) = match bits.symbol(&meta)? {
            16 => (*lengths.last().ok_or("nothing to repeat")?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths.extend(vec![value; times]);
    }
    if lengths.len() > literals + distances {
        return Err("too many lengths");
    }
    if lengths[256] == 0 {
        return Err("blocks without an end");
    }
    let distances = Codes::new(&lengths.split_off(literals));
    let literals = Codes::new(&lengths);
    // A set that is not complete is not used up: §3.2.7 allows one distance of one bit, and none.
    let alone = |codes: &Codes| codes.symbols.len() == codes.counts[0];
    let complete = |codes: &Codes| match codes.unused() {
        0 => true,
        unused => unused > 0 && alone(codes),
    };
    if !complete(&literals) || !complete(&distances) {
        return Err("code lengths");
    }
    Ok((literals, distances))
}

/// RFC 1951 §3.2.5.
fn codes(
    bits: &mut BitReader<'_>,
    literals: &Codes,
    distances: &Codes,
    out: &mut Vec<u8>,
    most: usize,
    furthest: &mut usize,
) -> Result<(), &'static str> {
    loop {
        if out.len() > most {
            return Err(GOES_ON);
        }
        let symbol = match bits.symbol(literals)? {
            literal @ 0..256 => {
                out.push(literal as u8);
                continue;
            }
            256 => return Ok(()),
            symbol @ 257..286 => symbol - 257,
            _ => return Err("length code"),
        };
        let length = match symbol {
            0..8 => 3 + symbol,
            28 => 258,
            symbol => {
                let extra = symbol / 4 - 1;
                3 + ((4 + symbol % 4) << extra) + bits.take(extra)?
            }
        };
        let distance = match bits.symbol(distances)? {
            symbol @ 0..4 => 1 + symbol,
            symbol @ 4..30 => {
                let extra = symbol / 2 - 1;
                1 + ((2 + symbol % 2) << extra) + bits.take(extra)?
            }
            _ => return Err("distance code"),
        };
        *furthest = distance.max(*furthest);
        let from = out.len().checked_sub(distance).ok_or("refers to nothing")?;
        for at in from..from + length {
            out.push(out[at]);
        }
    }
}

/// Writes blocks by hand.
#[derive(Clone, Default)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    /// How many bits of the last byte are used, if not all.
    used: u32,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn put(&mut self, value: usize, count: u32) {
        for i in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// Huffman codes start with their most significant bit.
    fn code(&mut self, code: usize, count: u32) {
        for i in (0..count).rev() {
            self.put(code >> i, 1);
        }
    }

    /// A stored block.
    pub(crate) fn stored(mut self, last: bool, bytes: &[u8]) -> Self {
        self.put(usize::from(last), 3);
        self.used = 0;
        self.put(bytes.len(), 16);
        self.put(bytes.len() ^ 0xffff, 16);
        self.bytes.extend(bytes);
        self
    }

    /// A block with fixed codes: literals, and then a repetition if there is a distance.
    pub(crate) fn fixed(mut self, last: bool, literals: &[u8], back: Option<usize>) -> Self {
        self.put(usize::from(last) | 0b010, 3);
        for literal in literals {
            match usize::from(*literal) {
                low @ 0..144 => self.code(0x30 + low, 8),
                high => self.code(0x190 + high - 144, 9),
            }
        }
        if let Some(distance) = back {
            self.code(1, 7); // length 3
            let mut symbol = 0;
            let base = |symbol: usize| match symbol {
                0..4 => (1 + symbol, 0),
                _ => (1 + ((2 + symbol % 2) << (symbol / 2 - 1)), symbol as u32 / 2 - 1),
            };
            while symbol < 29 && base(symbol + 1).0 <= distance {
                symbol += 1;
            }
            self.code(symbol, 5);
            self.put(distance - base(symbol).0, base(symbol).1);
        }
        self.code(0, 7);
        if last {
            self.used = 0; // padded with zeros
        }
        self
    }

    /// The bytes of a message: an empty stored block ends it, whose tail is cut off (§7.2.1).
    pub(crate) fn message(mut self) -> Vec<u8> {
        self.put(0, 3);
        self.bytes
    }

    /// As they are.
    pub(crate) fn raw(self) -> Vec<u8> {
        self.bytes
    }
}
