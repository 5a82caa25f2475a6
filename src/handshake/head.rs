//! A bounded reader for the head of an HTTP/1.1 message (RFC 9112), shared by both roles.

use super::{
    head_buffer::{self, HeadBuffer},
    headers::Headers,
};
use crate::Input;
use crate::grammar;
use alloc::{string::String, vec};
use core::fmt;

/// Limits on what a peer may send during the handshake. Bytes beyond them are never stored.
///
/// The defaults suit browsers with large cookies. Lower limits save memory under attack: each
/// unfinished handshake holds at most `max_size` bytes, and grows to that only as bytes come in.
///
/// ```
/// use fullduplex::handshake::{HeadLimits, ServerHandshake};
///
/// let server = ServerHandshake::new(HeadLimits::new().max_size(4096).max_headers(32));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    size: usize,
    headers: usize,
    target: usize,
    body: usize,
}

impl HeadLimits {
    /// The defaults: a head of 16 KiB, 100 fields, a target of 8 KiB, a body of 16 KiB.
    pub const fn new() -> Self {
        Self { size: 16 * 1024, headers: 100, target: 8 * 1024, body: 16 * 1024 }
    }

    /// The longest head in bytes, with its empty line. Default: 16 KiB. Beyond it a server answers
    /// 431.
    #[must_use]
    pub const fn max_size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// The most header fields. Default: 100. Beyond it a server answers 431.
    #[must_use]
    pub const fn max_headers(mut self, count: usize) -> Self {
        self.headers = count;
        self
    }

    /// The longest request target in bytes. Default: 8 KiB. Beyond it a server answers 414.
    #[must_use]
    pub const fn max_target(mut self, bytes: usize) -> Self {
        self.target = bytes;
        self
    }

    /// The most bytes that a client keeps of a refusal's body. Default: 16 KiB. It neither reads
    /// the rest nor waits for it.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    pub(super) const fn body(&self) -> usize {
        self.body
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Which kind of first line to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadKind {
    Request,
    Response,
}

/// Accumulates a head, looking at every byte once, and hands it out when it is complete.
pub(super) struct HeadReader {
    kind: HeadKind,
    limits: HeadLimits,
    head: HeadBuffer,
    at: At,
    /// Empty lines before the first line.
    blank_lines: usize,
    first_line: FirstLine,
    headers: usize,
}

/// Where in the head the next byte stands.
#[derive(Clone, Copy)]
enum At {
    /// At the start of the first line, or of an empty line in front of it.
    First,
    /// In this part of the first line, after this many of its bytes.
    Part(Part, usize),
    /// At the start of a field, or of the empty line that ends the head.
    Field,
    Name,
    Value,
    /// After a CR, which an LF has to follow.
    Cr(LineStart),
}

/// The line that a CR ends.
#[derive(Clone, Copy)]
enum LineStart {
    /// An empty line in front of the first line.
    Blank,
    /// The first line or a field.
    Full,
    /// The empty line that ends the head.
    Last,
}

#[derive(Clone, Copy)]
enum Part {
    Method,
    Target,
    Version,
    Status,
    Reason,
}

/// The first line, as far as it was read.
struct FirstLine {
    /// Whether the method is HEAD, once it is read, and how many of its letters matched.
    is_head: bool,
    head_letters: usize,
    version: (u8, u8),
    status: u16,
}

/// RFC 9112 §2.2: a server SHOULD ignore at least one empty line before the request.
const MAX_BLANK_LINES: usize = 4;

impl HeadReader {
    pub(super) fn new(kind: HeadKind, limits: HeadLimits) -> Self {
        Self {
            kind,
            limits,
            head: HeadBuffer::new(),
            at: At::First,
            blank_lines: 0,
            first_line: FirstLine { is_head: false, head_letters: 0, version: (0, 0), status: 0 },
            headers: 0,
        }
    }

    /// Whether this is a HEAD request, as far as is known: no response to it has content.
    pub(super) fn is_head(&self) -> bool {
        self.first_line.is_head
    }

    /// How many bytes came so far.
    pub(super) fn received(&self) -> usize {
        self.head.len()
    }

    /// Takes bytes off the front of `input` up to the end of the head. Returns whether the head is
    /// complete. Later bytes stay in `input`; on an error all do.
    pub(super) fn read(&mut self, input: &mut Input<'_>) -> Result<bool, HeadError> {
        let room = self.limits.size.saturating_sub(self.head.len());
        let bytes = input.as_bytes();
        let bytes = &bytes[..bytes.len().min(room)];
        let mut end = None;
        for (index, &byte) in bytes.iter().enumerate() {
            if self.step(byte, self.head.len() + index)? {
                end = Some(index + 1);
                break;
            }
        }
        let length = end.unwrap_or(bytes.len());
        if end.is_none() && length == room {
            return Err(HeadError::TooLarge { limit: self.limits.size });
        }
        self.head.append(input.take(length), self.limits.size);
        Ok(end.is_some())
    }

    /// Judges the next byte. Returns whether the head ends with it. A mistake is refused at the
    /// first byte that shows it, because a peer that speaks another protocol may wait for us.
    fn step(&mut self, byte: u8, position: usize) -> Result<bool, HeadError> {
        head_buffer::count(1);
        // A short path for most bytes of a head.
        match self.at {
            At::Value if matches!(byte, b' '..=b'~' | 0x80..) => return Ok(false),
            At::Name if grammar::is_tchar(byte) => return Ok(false),
            _ => {}
        }
        let invalid = |what| Err(HeadError::Invalid { what, position });
        if position == 0 {
            self.first_byte(byte)?;
        }
        self.at = match (self.at, byte) {
            (At::Cr(LineStart::Last) | At::Field, b'\n') => return Ok(true),
            (At::Cr(LineStart::Blank) | At::First, b'\n') => {
                self.blank_lines += 1;
                if self.blank_lines > MAX_BLANK_LINES {
                    return invalid("too many empty lines before the request");
                }
                At::First
            }
            (At::Cr(LineStart::Full) | At::Value, b'\n') => At::Field,
            (At::Cr(_), _) => return invalid("CR without LF"),
            (At::First, b'\r') => At::Cr(LineStart::Blank),
            (At::Field, b'\r') => At::Cr(LineStart::Last),
            (At::Value, b'\r') => At::Cr(LineStart::Full),
            (At::Name, b'\r' | b'\n') => return invalid("a line without a colon"),
            (At::Part(part, length), b'\r' | b'\n') => {
                self.first_line_ends(part, length, position)?;
                if byte == b'\r' { At::Cr(LineStart::Full) } else { At::Field }
            }
            (_, ..=0x1f | 0x7f) if byte != b'\t' => return invalid("a control byte"),
            (At::First, _) => {
                let part = match self.kind {
                    HeadKind::Request => Part::Method,
                    HeadKind::Response => Part::Version,
                };
                self.first_line(part, 0, byte, position)?
            }
            (At::Part(part, length), _) => self.first_line(part, length, byte, position)?,
            (At::Field, b' ' | b'\t') => return invalid("a line that starts with white space"),
            (At::Field, _) => {
                self.headers += 1;
                if self.headers > self.limits.headers {
                    return Err(HeadError::TooManyHeaders { limit: self.limits.headers });
                }
                if !grammar::is_tchar(byte) {
                    return invalid("a header name that is not a token");
                }
                At::Name
            }
            (At::Name, b':') => At::Value,
            (At::Name, b' ' | b'\t') => return invalid("white space in or after a header name"),
            (At::Name, _) => return invalid("a header name that is not a token"),
            (At::Value, _) => At::Value, // a tab
        };
        Ok(false)
    }

    /// Judges the very first byte.
    fn first_byte(&self, byte: u8) -> Result<(), HeadError> {
        match (self.kind, byte) {
            // RFC 8446 §5.1: a record of the handshake, or an alert, which a server may send.
            (HeadKind::Request, 0x16) | (HeadKind::Response, 0x15 | 0x16) => Err(HeadError::Tls),
            // RFC 9112 §2.2 lets only servers skip empty lines.
            (HeadKind::Response, _) if byte != b'H' => Err(HeadError::NotHttp),
            _ => Ok(()),
        }
    }

    /// Judges a byte of the first line, after `length` bytes of `part`. Returns where the next one
    /// is.
    fn first_line(
        &mut self,
        part: Part,
        length: usize,
        byte: u8,
        position: usize,
    ) -> Result<At, HeadError> {
        let invalid = |what| Err(HeadError::Invalid { what, position });
        let digit = byte.is_ascii_digit();
        match part {
            Part::Method if byte == b' ' && length > 0 => {
                self.first_line.is_head = length == 4 && self.first_line.head_letters == 4;
                return Ok(At::Part(Part::Target, 0));
            }
            Part::Method if grammar::is_tchar(byte) => {
                self.first_line.head_letters += usize::from(b"HEAD".get(length) == Some(&byte));
            }
            Part::Method => return Err(HeadError::NotHttp),
            Part::Target if byte == b' ' && length > 0 => return Ok(At::Part(Part::Version, 0)),
            Part::Target if matches!(byte, b' ' | b'\t') => {
                return invalid("white space before the target");
            }
            Part::Target if length == self.limits.target => {
                return Err(HeadError::TargetTooLong { limit: self.limits.target });
            }
            Part::Target => {}
            Part::Version => match (length, byte) {
                (0..5, _) if b"HTTP/"[length] == byte => {}
                (0..5, _) if self.kind == HeadKind::Response => return Err(HeadError::NotHttp),
                (5, _) if digit => self.first_line.version.0 = byte - b'0',
                (6, b'.') => {}
                (7, _) if digit => self.first_line.version.1 = byte - b'0',
                (8, b' ') if self.kind == HeadKind::Response => {
                    if !matches!(self.first_line.version, (1, 0 | 1)) {
                        return Err(HeadError::Version);
                    }
                    return Ok(At::Part(Part::Status, 0));
                }
                _ => return invalid("a first line without an HTTP version in its place"),
            },
            Part::Status => match (length, byte) {
                (0, b'1'..=b'9') | (1..3, b'0'..=b'9') => {
                    self.first_line.status = self.first_line.status * 10 + u16::from(byte - b'0');
                }
                (3, b' ') => {
                    self.check_interim()?;
                    return Ok(At::Part(Part::Reason, 0));
                }
                _ => return invalid("a malformed status"),
            },
            Part::Reason => {}
        }
        Ok(At::Part(part, length + 1))
    }

    /// Checks that the first line may end after `length` bytes of `part`.
    fn first_line_ends(&self, part: Part, length: usize, position: usize) -> Result<(), HeadError> {
        match (self.kind, part) {
            // RFC 6455 §4.2.1: 1.1 or higher, and of HTTP/1 there is no higher one.
            (HeadKind::Request, Part::Version) if length == 8 => match self.first_line.version {
                (1, 1) => Ok(()),
                _ => Err(HeadError::Version),
            },
            (HeadKind::Response, Part::Status) if length == 3 => self.check_interim(),
            (HeadKind::Response, Part::Reason) => Ok(()),
            (HeadKind::Request, _) => {
                Err(HeadError::Invalid { what: "a first line that is not a request", position })
            }
            (HeadKind::Response, _) => {
                Err(HeadError::Invalid { what: "a malformed status", position })
            }
        }
    }

    /// RFC 9110 §7.8 and §15.2: HTTP/1.0 has no 1xx, and so it cannot switch protocols.
    fn check_interim(&self) -> Result<(), HeadError> {
        match (self.first_line.status, self.first_line.version) {
            (100..200, (1, 0)) => Err(HeadError::Version),
            _ => Ok(()),
        }
    }

    /// Parses the complete head of a request, once.
    pub(super) fn into_request(self) -> Result<RequestHead, HeadError> {
        let mut fields = vec![httparse::EMPTY_HEADER; self.headers];
        let mut request = httparse::Request::new(&mut fields);
        match (request.parse(self.head.all()), request.method, request.path) {
            (Ok(httparse::Status::Complete(_)), Some(method), Some(target)) => Ok(RequestHead {
                method: method.into(),
                target: target.into(),
                version: self.first_line.version,
                headers: Headers::from_parsed(request.headers),
            }),
            _ => Err(self.malformed()),
        }
    }

    /// Parses the complete head of a response, once.
    pub(super) fn into_response(self) -> Result<ResponseHead, HeadError> {
        let mut fields = vec![httparse::EMPTY_HEADER; self.headers];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(self.head.all()) {
            Ok(httparse::Status::Complete(_)) => Ok(ResponseHead {
                status: self.first_line.status,
                headers: Headers::from_parsed(response.headers),
            }),
            _ => Err(self.malformed()),
        }
    }

    /// Reading byte by byte finds every mistake but one: a target that is not UTF-8.
    #[cold]
    fn malformed(&self) -> HeadError {
        HeadError::Invalid { what: "a target that is not UTF-8", position: self.head.len() }
    }
}

/// The length only: a head can hold credentials.
impl fmt::Debug for HeadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadReader")
            .field("kind", &self.kind)
            .field("received", &self.received())
            .finish_non_exhaustive()
    }
}

pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: (u8, u8),
    pub(super) headers: Headers,
}

pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) headers: Headers,
}

/// Why a head is refused: it is not HTTP/1.1, or exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// More bytes than [`HeadLimits::max_size`].
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// More header fields than [`HeadLimits::max_headers`].
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// A request target longer than [`HeadLimits::max_target`].
    TargetTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The first bytes show that this is not HTTP.
    NotHttp,
    /// The first byte is that of a TLS record. On a server: the client used `wss://` on a port that
    /// speaks `ws://`. On a client: the other way round.
    Tls,
    /// A version of HTTP that cannot be used: any but 1.1 in a request; any but 1.0 and 1.1 in a
    /// response, and 1.0 with a 1xx status.
    Version,
    /// Bytes that break the grammar of RFC 9112, such as folded lines, a CR without LF, other
    /// control bytes, or a space before the colon.
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// How many bytes of the head came before it was noticed.
        position: usize,
    },
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "HTTP head of more than {limit} bytes"),
            Self::TooManyHeaders { limit } => write!(f, "more than {limit} header fields"),
            Self::TargetTooLong { limit } => write!(f, "target of more than {limit} bytes"),
            Self::NotHttp => f.write_str("the first bytes are not HTTP"),
            Self::Tls => f.write_str(
                "the first byte is one of TLS, not of HTTP: \
                 one end speaks wss:// and the other ws://",
            ),
            Self::Version => f.write_str("unsupported HTTP version"),
            Self::Invalid { what, position } => {
                write!(f, "invalid HTTP head: {what} (noticed at byte {position})")
            }
        }
    }
}

impl core::error::Error for HeadError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    fn read(
        kind: HeadKind,
        limits: HeadLimits,
        bytes: &[u8],
        step: usize,
    ) -> (HeadReader, Outcome) {
        let mut reader = HeadReader::new(kind, limits);
        let mut bytes = bytes.to_vec();
        let total = bytes.len();
        let mut taken = 0;
        for piece in bytes.chunks_mut(step) {
            let length = piece.len();
            let mut input = Input::new(piece);
            let result = reader.read(&mut input);
            taken += length - input.len();
            match result {
                Ok(false) => assert!(input.is_empty()),
                Ok(true) => return (reader, Ok(Some(total - taken))),
                Err(error) => return (reader, Err(error)),
            }
        }
        (reader, Ok(None))
    }

    /// How many bytes were left behind the head; `None` when it is not complete.
    type Outcome = Result<Option<usize>, HeadError>;

    fn request(bytes: &[u8]) -> Result<RequestHead, HeadError> {
        let (reader, outcome) = read(HeadKind::Request, HeadLimits::new(), bytes, usize::MAX);
        assert!(outcome?.is_some(), "incomplete: {}", bytes.escape_ascii());
        reader.into_request()
    }

    fn response(bytes: &[u8]) -> Result<ResponseHead, HeadError> {
        let (reader, outcome) = read(HeadKind::Response, HeadLimits::new(), bytes, usize::MAX);
        assert!(outcome?.is_some(), "incomplete: {}", bytes.escape_ascii());
        reader.into_response()
    }

    fn invalid<T>(result: Result<T, HeadError>) -> bool {
        matches!(result, Err(HeadError::Invalid { .. }))
    }

    #[test]
    fn what_follows_the_head_is_left() {
        for end in ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"] {
            let text = format!("GET / HTTP/1.1\r\nHost: h{end}..Hello");
            for step in [1, 2, 3, 7, 1000] {
                let (reader, outcome) =
                    read(HeadKind::Request, HeadLimits::new(), text.as_bytes(), step);
                // What is left counts over all pieces.
                assert_eq!(outcome, Ok(Some(7)), "{end:?} in steps of {step}");
                assert_eq!(reader.into_request().ok().unwrap().headers.get("host"), Some("h"));
            }
        }
    }

    /// Known failure 1 (CVE-2023-43669), checklist 133: each byte is examined once, however the
    /// head is cut, and nothing beyond the limit is kept.
    #[test]
    fn known_failure_1_dripped_heads_are_linear_and_bounded() {
        let limits = HeadLimits::new().max_size(4000).max_headers(1000);
        let head = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(2000));
        for step in [1, 2, 100, 3999, 4000, 5000] {
            let before = head_buffer::examined();
            let (reader, outcome) = read(HeadKind::Request, limits, head.as_bytes(), step);
            assert_eq!(outcome, Err(HeadError::TooLarge { limit: 4000 }));
            assert_eq!(head_buffer::examined() - before, 4000, "steps of {step}");
            assert!(reader.head.capacity() <= 4000, "{}", reader.head.capacity());
        }
        // The sizes are no multiples of each other.
        let (mut reader, mut bytes) =
            (HeadReader::new(HeadKind::Request, limits), head.into_bytes());
        let (first, rest) = bytes.split_at_mut(1);
        assert_eq!(reader.read(&mut Input::new(first)), Ok(false));
        let full = rest.chunks_mut(1300).any(|piece| reader.read(&mut Input::new(piece)).is_err());
        assert!(full && reader.head.capacity() <= 4000, "{}", reader.head.capacity());
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
        for step in [1, 3, 1000, 4096] {
            let before = head_buffer::examined();
            let (reader, outcome) = read(HeadKind::Request, limits, head.as_bytes(), step);
            assert_eq!((outcome, head_buffer::examined() - before), (Ok(Some(0)), head.len()));
            assert!(reader.into_request().is_ok());
            assert_eq!(head_buffer::examined() - before, 2 * head.len(), "parsed once, in the end");
        }
    }

    /// RFC 9110 §5.4, checklist 133: each limit lets exactly its number pass.
    #[test]
    fn rfc9110_5_4_limits_are_exact() {
        let head = b"GET /12345 HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
        let exact = HeadLimits::new().max_size(head.len()).max_headers(2).max_target(6);
        let outcome = |limits| read(HeadKind::Request, limits, head, 1).1;
        assert_eq!(outcome(exact), Ok(Some(0)));
        let limit = head.len() - 1;
        assert_eq!(outcome(exact.max_size(limit)), Err(HeadError::TooLarge { limit }));
        assert_eq!(outcome(exact.max_headers(1)), Err(HeadError::TooManyHeaders { limit: 1 }));
        assert_eq!(outcome(exact.max_target(5)), Err(HeadError::TargetTooLong { limit: 5 }));
        assert_eq!(outcome(exact.max_size(0)), Err(HeadError::TooLarge { limit: 0 }));
        assert_eq!(outcome(exact.max_headers(0)), Err(HeadError::TooManyHeaders { limit: 0 }));
    }

    /// A limit shows as soon as it is passed, not when the head is complete.
    #[test]
    fn limits_show_early() {
        let limits = HeadLimits::new().max_target(10).max_headers(1);
        let outcome = read(HeadKind::Request, limits, b"GET /2345678901", 1).1;
        assert_eq!(outcome, Err(HeadError::TargetTooLong { limit: 10 }));
        let outcome = read(HeadKind::Request, limits, b"GET / HTTP/1.1\nA:\nB", 1).1;
        assert_eq!(outcome, Err(HeadError::TooManyHeaders { limit: 1 }));
    }

    /// RFC 9112 §2.2, checklist 136: empty lines before a request, a few of them; and none before a
    /// response (A16).
    #[test]
    fn rfc9112_2_2_empty_lines_before_the_request() {
        for blank in ["", "\r\n", "\n", "\r\n\n\r\n\n"] {
            let head = request(format!("{blank}GET / HTTP/1.1\r\n\r\n").as_bytes()).ok().unwrap();
            assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/"));
        }
        let outcome = read(HeadKind::Request, HeadLimits::new(), &b"\r\n".repeat(5), 1).1;
        assert!(invalid(outcome));
        let outcome =
            read(HeadKind::Response, HeadLimits::new(), b"\r\nHTTP/1.1 101 \r\n\r\n", 1).1;
        assert_eq!(outcome, Err(HeadError::NotHttp));
    }

    /// RFC 9110 §5.5, RFC 9112 §2.2, §5.1 and §5.2; checklist 134 to 136.
    #[test]
    fn rfc9112_malformed_lines_are_refused() {
        let lines: [&[u8]; 18] = [
            b"X: a\rb",
            b"X: a\r\rb",
            b"\rX: a",
            b"X: a\0b",
            b"X: a\x01",
            b"X: a\x7f",
            b"X: a\x0bb",
            b"X : a",
            b"X\t: a",
            b" X: a",
            b"\tX: a",
            b"X: a\r\n b",
            b"X: a\r\n\tb",
            b"X: a\n b",
            b"X",
            b": a",
            b"X Y: a",
            b"X\xc3\xa9: a",
        ];
        for line in lines {
            let shown = line.escape_ascii();
            let request_text = [b"GET / HTTP/1.1\r\n", line, b"\r\n\r\n"].concat();
            assert!(invalid(request(&request_text)), "{shown}");
            let response_text = [b"HTTP/1.1 101 \r\n", line, b"\r\n\r\n"].concat();
            assert!(invalid(response(&response_text)), "{shown}");
            // As a field after another one too.
            let second = [b"GET / HTTP/1.1\r\nA: b\r\n", line, b"\r\n\r\n"].concat();
            assert!(invalid(request(&second)), "{shown}");
        }
        let head = request(b"GET / HTTP/1.1\r\nX:\t a\tb \xff \r\nE:\r\n\r\n").ok().unwrap();
        assert_eq!(head.headers.get_all("x").next(), Some(b"a\tb \xff".as_slice()));
        assert_eq!(head.headers.get("e"), Some(""));
    }

    #[test]
    fn rfc9112_3_request_lines() {
        let bad: [&[u8]; 11] = [
            b"GET /",
            b"GET",
            b"GET  / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET / HTTP/1.1 x",
            b"GET /a b HTTP/1.1",
            b"GET / http/1.1",
            b"GET / HTTP/1.10",
            b"GET / HTTP/2.0 x",
            b"GET /a b HTTP/2.0",
            b"GET / HTTP/11",
        ];
        for line in bad {
            let result = request(&[line, b"\r\n\r\n"].concat());
            assert!(invalid(result), "{}", line.escape_ascii());
        }
        for version in ["2.0", "1.2", "0.9", "3.0", "9.9"] {
            let result = request(format!("PRI * HTTP/{version}\r\n\r\n").as_bytes());
            assert_eq!(result.err(), Some(HeadError::Version), "{version}");
        }
        assert_eq!(request(b"GET / HTTP/1.0\r\n\r\n").err(), Some(HeadError::Version));
    }

    #[test]
    fn rfc9112_4_status_lines() {
        for (line, status) in [("101 Switching Protocols", 101), ("999 ", 999), ("404", 404)] {
            let head = response(format!("HTTP/1.1 {line}\r\n\r\n").as_bytes()).ok().unwrap();
            assert_eq!(head.status, status, "{line}");
        }
        for line in ["1010 x", "10 x", "099 x", "000 ", "abc", "-10 x", "", " 101"] {
            assert!(invalid(response(format!("HTTP/1.1 {line}\r\n\r\n").as_bytes())), "{line}");
        }
        for line in
            ["HTTP/2.0 101 x", "HTTP/1.2 101 x", "HTTP/1.0 101 x", "HTTP/1.0 101", "HTTP/1.0 103"]
        {
            let result = response(format!("{line}\r\n\r\n").as_bytes());
            assert_eq!(result.err(), Some(HeadError::Version), "{line}");
        }
        assert_eq!(response(b"HTTP/1.0 403\r\n\r\n").ok().unwrap().status, 403);
    }

    /// Bytes that are not HTTP are refused without waiting for the end of a head.
    #[test]
    fn other_protocols_show_early() {
        let outcome = |kind, bytes| read(kind, HeadLimits::new(), bytes, 1).1;
        // B9: TLS on a port for ws, and the alert with which a server answers HTTP on one for wss.
        assert_eq!(outcome(HeadKind::Request, b"\x16"), Err(HeadError::Tls));
        assert_eq!(outcome(HeadKind::Response, b"\x15"), Err(HeadError::Tls));
        assert_eq!(outcome(HeadKind::Response, b"\x16"), Err(HeadError::Tls));
        assert!(invalid(outcome(HeadKind::Request, b"\x15\x03\x01")));
        assert!(invalid(outcome(HeadKind::Request, b"\n\x16")));
        assert!(invalid(outcome(HeadKind::Request, b"GET / HTTP/1.1\rX")));
        assert_eq!(outcome(HeadKind::Request, b"\xff"), Err(HeadError::NotHttp));
        assert_eq!(outcome(HeadKind::Request, b"\t"), Err(HeadError::NotHttp));
        assert_eq!(outcome(HeadKind::Request, b" "), Err(HeadError::NotHttp));
        assert_eq!(outcome(HeadKind::Response, b"SSH-2.0"), Err(HeadError::NotHttp));
        assert_eq!(outcome(HeadKind::Response, b"HTTQ"), Err(HeadError::NotHttp));
        assert_eq!(outcome(HeadKind::Response, b"\x14"), Err(HeadError::NotHttp));
        assert_eq!(outcome(HeadKind::Response, b"\n"), Err(HeadError::NotHttp));
    }

    /// A6: each is refused by its last byte, and not before, however it is cut: no other may come.
    #[test]
    fn what_is_wrong_is_refused_by_the_byte_that_decides() {
        let good = "GET / HTTP/1.1\r\n";
        let requests: [&[u8]; 24] = [
            b"SSH-2.0-OpenSSH_9.6\r",
            b"SSH-2.0-OpenSSH_9.6\n",
            b"HELO x\r",
            b"HELO x\n",
            b"GET / HTTP/1.0\r",
            b"GET / HTTP/1.0\n",
            b"PRI * HTTP/2.0\r",
            b"GET / HTTP/1.0\n",
            b"GET / F",
            b"GET / HTTP/x",
            b"GET / HTTP/2\r",
            b"GET / HTTP/11",
            b"GET / HTTP/1.10",
            b"GET / HTTP/1.1 ",
            b"GET / h",
            b"GET /a b",
            b"GET  ",
            b"GET\t",
            b"GET \t",
            b"GET /\t",
            b"GET /\0",
            b"GET /\r",
            b"GE(",
            b"*1\r",
        ];
        let fields: [&[u8]; 12] = [
            b" ", b"\t", b":", b"X ", b"X\t", b"X\r", b"X\n", b"X(", b"(", b"X\xc3", b"X: a\0",
            b"X: a\rb",
        ];
        let fields = fields.map(|field| [good.as_bytes(), field].concat());
        let all = requests.iter().map(|line| line.to_vec()).chain(fields);
        refused_by_the_last_byte(HeadKind::Request, all);

        let responses: [&[u8]; 16] = [
            b"S",
            b"HTTP/x",
            b"HTTP/1x",
            b"HTTP/1.x",
            b"HTTP/1.11",
            b"HTTP/1.1\r",
            b"HTTP/2.0 ",
            b"HTTP/1.1  ",
            b"HTTP/1.1 0",
            b"HTTP/1.1 1x",
            b"HTTP/1.1 40\r",
            b"HTTP/1.1 1010",
            b"HTTP/1.0 101 ",
            b"HTTP/1.0 101\r",
            b"HTTP/1.1 101 x\0",
            b"HTTP/1.1 101 x\r\nX ",
        ];
        refused_by_the_last_byte(HeadKind::Response, responses.iter().map(|line| line.to_vec()));
    }

    fn refused_by_the_last_byte(kind: HeadKind, heads: impl Iterator<Item = Vec<u8>>) {
        for head in heads {
            let shown = head.escape_ascii();
            for step in [1, 2, 3, 1000] {
                let (_, outcome) = read(kind, HeadLimits::new(), &head, step);
                assert!(outcome.is_err(), "{shown} in steps of {step}");
            }
            let (reader, outcome) = read(kind, HeadLimits::new(), &head[..head.len() - 1], 1);
            assert_eq!(outcome, Ok(None), "{shown}");
            assert_eq!(reader.received(), head.len() - 1);
        }
    }

    /// A5: whether a response may have content is known as soon as the method is.
    #[test]
    fn a_head_request_is_known_by_its_method() {
        let is_head = |kind, bytes: &[u8]| read(kind, HeadLimits::new(), bytes, 1).0.is_head();
        for head in ["HEAD ", "HEAD /", "HEAD / HTTP/1.0\r", "HEAD / HTTP/1.1\r\nX Y", "\nHEAD "] {
            assert!(is_head(HeadKind::Request, head.as_bytes()), "{head}");
        }
        for other in [
            "",
            "\r",
            "\n\r",
            "XEAD ",
            "HEXD ",
            "HEAD",
            "HEA ",
            "HEADS ",
            "head ",
            "GET ",
            "\r\n",
            "GET /HEAD ",
        ] {
            assert!(!is_head(HeadKind::Request, other.as_bytes()), "{other}");
        }
        assert!(!is_head(HeadKind::Response, b"HTTP/1.1 200 HEAD"));
    }

    /// All that the reader lets pass is read by the parser too.
    #[test]
    fn each_byte_is_judged_as_the_parser_does() {
        for byte in 0..=0xff {
            for at in [
                "G?T / HTTP/1.1",
                "GET /? HTTP/1.1",
                "GET / HTTP/1.1\r\nX?Y: a",
                "GET / HTTP/1.1\r\nX: ?a",
                "GET / HTTP/1.1\r\n?: a",
            ] {
                let (before, behind) = at.split_once('?').unwrap();
                let text = [before.as_bytes(), &[byte], behind.as_bytes(), b"\r\n\r\n"].concat();
                let (reader, outcome) = read(HeadKind::Request, HeadLimits::new(), &text, 1);
                if outcome == Ok(Some(0)) && (byte.is_ascii() || before != "GET /") {
                    assert!(reader.into_request().is_ok(), "{}", text.escape_ascii());
                }
            }
            let text = [b"HTTP/1.1 200 a", &[byte][..], b"c\r\n\r\n"].concat();
            let (reader, outcome) = read(HeadKind::Response, HeadLimits::new(), &text, 1);
            if outcome == Ok(Some(0)) {
                assert!(reader.into_response().is_ok(), "{}", text.escape_ascii());
            }
        }
    }
}
