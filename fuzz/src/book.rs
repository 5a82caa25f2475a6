//! permessage-deflate straight from RFC 7692 and RFC 1951: slow, and all of a message at once.

use crate::support::deflate::{ENDS_TOO_EARLY, GOES_ON, NO_CODES, TAIL, blocks};

/// "Code" of a message of which the texts do not say what becomes of it.
pub(crate) const UNKNOWN: u16 = u16::MAX;

/// No more of a message is inflated, in bytes, if no limit says less.
const MOST: usize = 100_000;

const INVALID_PAYLOAD: u16 = 1007;
const POLICY_VIOLATION: u16 = 1008;

/// What one end keeps of the messages of the other.
pub(crate) struct Book {
    pub(crate) window_bits: u8,
    pub(crate) takeover: bool,
    /// The largest message in bytes, if there is a limit.
    pub(crate) limit: Option<usize>,
    /// All messages so far, or nothing without takeover.
    pub(crate) said: Vec<u8>,
}

impl Book {
    pub(crate) fn new(window_bits: u8, takeover: bool, limit: Option<usize>) -> Self {
        Self { window_bits, takeover, limit, said: Vec::new() }
    }

    /// Reads what came of a message (`last`: all of it): what it says, and the code with which to
    /// fail behind that.
    pub(crate) fn read(&mut self, message: &[u8], last: bool) -> (Vec<u8>, Option<u16>) {
        // What a message may refer to of those before it; 8 bits count as 9.
        let size = 1 << self.window_bits.max(9);
        let window = &self.said[self.said.len().saturating_sub(size)..];
        let most = self.limit.unwrap_or(MOST);
        let (mut inflated, error) = blocks(window, message, most);
        // Inside of a message all of it is there, up to the end of a stream: what refers to more than
        // the window behind that may be understood or not.
        if inflated.furthest > size && !inflated.streams.is_empty() {
            return (Vec::new(), Some(UNKNOWN));
        }
        // Our own bound on streams: 64, and one more for each 64 bytes.
        let mut streams = inflated.streams.iter().zip(2..);
        if let Some(((_, said), _)) = streams.find(|((at, _), count)| *count > 64 + at / 64) {
            inflated.bytes.truncate(*said);
            return (inflated.bytes, Some(POLICY_VIOLATION));
        }
        let bytes = inflated.bytes;
        match error {
            Some(GOES_ON) if self.limit.is_none() => return (Vec::new(), Some(UNKNOWN)),
            Some(GOES_ON) => return (bytes, None), // beyond the limit, as its length says
            None | Some(ENDS_TOO_EARLY) if !last => return (bytes, None),
            None | Some(ENDS_TOO_EARLY) => {}
            Some(NO_CODES) if !last => return (Vec::new(), Some(UNKNOWN)),
            Some(_) => return (bytes, Some(INVALID_PAYLOAD)),
        }
        // §7.2.2: the end that was cut off, which says nothing; a message that ends with its stream
        // may lack it.
        let ended = inflated.streams.last().map_or(0, |(at, _)| *at) == message.len();
        if !ended {
            let (whole, error) = blocks(window, &[message, &TAIL].concat(), most);
            if error.is_some() || whole.lengths_at != Some(message.len()) {
                return (bytes, Some(INVALID_PAYLOAD));
            }
        }
        if self.takeover {
            self.said.extend_from_slice(&bytes);
        }
        (bytes, None)
    }
}
