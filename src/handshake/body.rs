//! The body of a response that refuses, up to a limit (RFC 9112 §6 and §7).

use super::headers::Headers;
use crate::Input;
use crate::grammar;
use alloc::vec::Vec;
use core::str;

/// Collects a body. Nothing here fails: a malformed body just ends early.
pub(super) struct BodyReader {
    framing: Framing,
    body: Vec<u8>,
    limit: usize,
    /// How many more bytes of chunk framing may be read.
    overhead: usize,
}

enum Framing {
    Length(u64),
    ToEof,
    Chunked(ChunkPart),
    Done { truncated: bool },
}

#[derive(Clone, Copy)]
enum ChunkPart {
    /// In the size line: the number so far, and whether its digits are over.
    Size {
        size: Option<u64>,
        done: bool,
    },
    Data(u64),
    /// In the line end after the data.
    End,
}

const CHUNK: ChunkPart = ChunkPart::Size { size: None, done: false };

impl BodyReader {
    /// RFC 9112 §6.3 for a final response to a GET.
    pub(super) fn new(status: u16, headers: &Headers, limit: usize) -> Self {
        let framing = match () {
            // RFC 9110 §15.3.6: a 205 has no content either. If its framing does not say so, there is
            // nothing to wait for all the same, because no other response follows.
            () if matches!(status, 204 | 205 | 304) => Framing::Done { truncated: false },
            () if headers.contains("Transfer-Encoding") => {
                let codings = headers.get_all("Transfer-Encoding").flat_map(grammar::elements);
                match codings.last() {
                    Some(last) if last.eq_ignore_ascii_case(b"chunked") => Framing::Chunked(CHUNK),
                    _ => Framing::ToEof,
                }
            }
            () if headers.contains("Content-Length") => match content_length(headers) {
                Some(0) => Framing::Done { truncated: false },
                Some(length) => Framing::Length(length),
                None => Framing::Done { truncated: true },
            },
            () => Framing::ToEof,
        };
        let framing = match framing {
            Framing::Done { truncated } => Framing::Done { truncated },
            _ if limit == 0 => Framing::Done { truncated: true },
            framing => framing,
        };
        Self { framing, body: Vec::new(), limit, overhead: limit.saturating_add(256) }
    }

    /// Takes the body off the front of `input`. Returns whether it has all that it keeps.
    pub(super) fn read(&mut self, input: &mut Input<'_>) -> bool {
        loop {
            match &mut self.framing {
                Framing::Done { .. } => return true,
                _ if input.is_empty() => return false,
                Framing::ToEof => {
                    if self.keep(u64::MAX, input).is_none() {
                        self.framing = Framing::Done { truncated: true };
                    }
                }
                &mut Framing::Length(left) => {
                    self.framing = match self.keep(left, input) {
                        None => Framing::Done { truncated: true },
                        Some(0) => Framing::Done { truncated: false },
                        Some(left) => Framing::Length(left),
                    }
                }
                &mut Framing::Chunked(ChunkPart::Data(left)) => {
                    self.framing = match self.keep(left, input) {
                        None => Framing::Done { truncated: true },
                        Some(0) => Framing::Chunked(ChunkPart::End),
                        Some(left) => Framing::Chunked(ChunkPart::Data(left)),
                    }
                }
                &mut Framing::Chunked(chunk) => {
                    let byte = input.take(1)[0];
                    self.framing = match self.overhead.checked_sub(1) {
                        None => Framing::Done { truncated: true },
                        Some(overhead) => {
                            self.overhead = overhead;
                            chunk.step(byte)
                        }
                    };
                }
            }
        }
    }

    /// Returns the body so far, and whether more is missing. `eof` tells that the input has ended.
    pub(super) fn finish(self, eof: bool) -> (Vec<u8>, bool) {
        let truncated = match self.framing {
            Framing::Done { truncated } => truncated,
            Framing::ToEof => !eof,
            Framing::Length(_) | Framing::Chunked(_) => true,
        };
        (self.body, truncated)
    }

    /// Keeps up to `left` bytes. Returns how many are left, or `None` if the limit comes first.
    fn keep(&mut self, left: u64, input: &mut Input<'_>) -> Option<u64> {
        let room = self.limit - self.body.len();
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len()).min(room);
        self.body.extend_from_slice(input.take(length));
        let left = left - length as u64;
        (left == 0 || length < room).then_some(left)
    }
}

impl ChunkPart {
    /// Reads the next byte of a chunk's framing (RFC 9112 §7.1). Extensions are skipped, and
    /// trailers are not waited for.
    fn step(self, byte: u8) -> Framing {
        const BROKEN: Framing = Framing::Done { truncated: true };
        Framing::Chunked(match (self, byte) {
            (Self::Size { size: Some(0), .. }, b'\n') => return Framing::Done { truncated: false },
            (Self::Size { size: Some(size), .. }, b'\n') => Self::Data(size),
            (Self::Size { size: None, .. }, b'\n') => return BROKEN,
            (Self::Size { size, done: false }, byte) => match char::from(byte).to_digit(16) {
                Some(digit) => match size.unwrap_or(0).checked_mul(16) {
                    Some(size) => Self::Size { size: Some(size | u64::from(digit)), done: false },
                    None => return BROKEN,
                },
                None => Self::Size { size, done: true },
            },
            (Self::Size { .. }, _) => self,
            (Self::End, b'\n') => CHUNK,
            (Self::End, b'\r') => self,
            (Self::End | Self::Data(_), _) => return BROKEN,
        })
    }
}

/// The one value of all `Content-Length` fields; `None` when they are invalid or differ.
pub(super) fn content_length(headers: &Headers) -> Option<u64> {
    let mut lengths = headers.get_all("Content-Length").map(|value| {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
    });
    let first: u64 = lengths.next()??;
    lengths.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// The body, whether it is truncated, whether it was complete before the end of input.
    fn read(fields: &[(&str, &str)], bytes: &str, limit: usize) -> (Vec<u8>, bool, bool) {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name, value).unwrap();
        }
        let mut results = [1, 2, 3, 1000].map(|step| {
            let mut reader = BodyReader::new(403, &headers, limit);
            let mut bytes = bytes.as_bytes().to_vec();
            let mut done = reader.read(&mut Input::new(&mut []));
            for piece in bytes.chunks_mut(step) {
                done = done || reader.read(&mut Input::new(piece));
            }
            let (body, truncated) = reader.finish(true);
            (body, truncated, done)
        });
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{fields:?}");
        core::mem::take(&mut results[0])
    }

    #[test]
    fn rfc9112_6_2_content_length() {
        let length = |value| [("Content-Length", value)];
        assert_eq!(read(&length("5"), "helloX", 9), (b"hello".into(), false, true));
        assert_eq!(read(&length("5"), "hello", 5), (b"hello".into(), false, true));
        assert_eq!(read(&length("5"), "hell", 9), (b"hell".into(), true, false));
        assert_eq!(read(&length("5"), "hello", 4), (b"hell".into(), true, true));
        assert_eq!(read(&length("0"), "X", 9), (b"".into(), false, true));
        assert_eq!(read(&length("5"), "", 0), (b"".into(), true, true));
        let huge = format!("{}", u64::MAX);
        assert_eq!(read(&length(&huge), "hello", 4), (b"hell".into(), true, true));
        for bad in ["", "-1", "+1", "1, 1", "0x1", "18446744073709551616", "a"] {
            assert_eq!(read(&length(bad), "hello", 9), (b"".into(), true, true), "{bad}");
        }
        let pair = |a, b| [("Content-Length", a), ("content-length", b)];
        assert_eq!(read(&pair("1", "1"), "h", 9), (b"h".into(), false, true));
        assert_eq!(read(&pair("1", "2"), "h", 9), (b"".into(), true, true));
    }

    #[test]
    fn rfc9112_6_3_to_the_end_of_the_connection() {
        assert_eq!(read(&[], "hello", 9), (b"hello".into(), false, false));
        assert_eq!(read(&[], "hello", 4), (b"hell".into(), true, true));
        let gzip = [("Transfer-Encoding", "chunked, gzip")];
        assert_eq!(read(&gzip, "hello", 9), (b"hello".into(), false, false));
        for status in [204, 205, 304] {
            assert!(BodyReader::new(status, &Headers::new(), 9).read(&mut Input::new(&mut [])));
        }
    }

    #[test]
    fn rfc9112_7_1_chunked() {
        let chunked = [("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "Chunked")];
        let hello = "2\r\nhe\r\n003;ext=\"a\"\r\nllo\r\n0\r\nTrailer: x\r\n\r\n";
        assert_eq!(read(&chunked, hello, 9), (b"hello".into(), false, true));
        assert_eq!(read(&chunked, hello, 5), (b"hello".into(), false, true));
        assert_eq!(read(&chunked, hello, 4), (b"hell".into(), true, true));
        assert_eq!(read(&chunked, "A \r\n0123456789\r\n0\r\n", 16).0, b"0123456789");
        assert_eq!(read(&chunked, "2\r\nhe\r\n", 9), (b"he".into(), true, false));
        assert_eq!(read(&chunked, "0\r\n", 9), (b"".into(), false, true));
        for broken in ["\r\n", "x\r\n", ";\r\n", "2\r\nheX", "-1\r\n", "10000000000000000\r\n"] {
            let (_, truncated, done) = read(&chunked, broken, 9);
            assert!(truncated && done, "{broken:?}");
        }
        assert!(!read(&chunked, "ffffffffffffffff\r\nhello", 9).2);
        // Framing alone is bounded as well.
        let (body, truncated, done) = read(&chunked, &"1;\r\nx\r\n".repeat(500), 300);
        assert!(truncated && done && body.len() < 100, "{}", body.len());
        assert!(read(&chunked, &format!("1;{}", "x".repeat(600)), 300).2);
    }
}
