//! A bounded reader for the head of an HTTP/1.1 message (RFC 9112), shared by both roles.

use super::{
    grammar,
    headers::Headers,
    kept::{self, Kept},
};
use crate::Input;
use alloc::{string::String, vec};
use core::fmt;

/// Bounds on what a peer may send during the handshake. What goes beyond is never stored.
///
/// The defaults suit browsers with large cookies. Lower ones save memory under attack: each
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
    /// The defaults: 16 KiB, 100 fields, a target of 8 KiB, a body of 16 KiB.
    pub const fn new() -> Self {
        Self { size: 16 * 1024, headers: 100, target: 8 * 1024, body: 16 * 1024 }
    }

    /// The longest head in bytes, with its empty line; 16 KiB by default. A server answers 431.
    #[must_use]
    pub const fn max_size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// The most header fields; 100 by default. A server answers 431.
    #[must_use]
    pub const fn max_headers(mut self, count: usize) -> Self {
        self.headers = count;
        self
    }

    /// The longest request target in bytes, for servers; 8 KiB by default. A server answers 414.
    #[must_use]
    pub const fn max_target(mut self, bytes: usize) -> Self {
        self.target = bytes;
        self
    }

    /// How many bytes of the body of a refusal a client keeps; 16 KiB by default. The rest is
    /// neither read nor waited for.
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
pub(super) enum Kind {
    Request,
    Response,
}

/// Accumulates a head, looking at every byte once, and hands it out when it is complete.
pub(super) struct HeadReader {
    kind: Kind,
    limits: HeadLimits,
    head: Kept,
    at: At,
    /// Empty lines before the first line.
    blank_lines: usize,
    /// Spaces in the first line.
    spaces: usize,
    /// Bytes of the first line after its first space and before its second.
    target: usize,
    first_line_done: bool,
    headers: usize,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy)]
enum At {
    Start,
    Inside,
    /// Behind a CR, which has to be followed by LF.
    Cr {
        line_is_empty: bool,
    },
}

/// RFC 9112 §2.2: a server SHOULD ignore at least one empty line before the request.
const MAX_BLANK_LINES: usize = 4;

impl HeadReader {
    pub(super) fn new(kind: Kind, limits: HeadLimits) -> Self {
        Self {
            kind,
            limits,
            head: Kept::new(),
            at: At::Start,
            blank_lines: 0,
            spaces: 0,
            target: 0,
            first_line_done: false,
            headers: 0,
        }
    }

    /// How many bytes came so far.
    pub(super) fn received(&self) -> usize {
        self.head.len()
    }

    /// Takes bytes off the front of `input` up to the end of the head: whether it is complete.
    /// What follows the head stays in `input`. On an error `input` is left as it is.
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

    /// Looks at the next byte: whether the head ends with it.
    fn step(&mut self, byte: u8, position: usize) -> Result<bool, HeadError> {
        kept::count(1);
        let invalid = |what| Err(HeadError::Invalid { what, position });
        match (self.at, byte) {
            (At::Cr { line_is_empty: true } | At::Start, b'\n') => {
                self.at = At::Start;
                if self.first_line_done {
                    return Ok(true);
                }
                self.blank_lines += 1;
                if self.blank_lines > MAX_BLANK_LINES {
                    return invalid("too many empty lines before the request");
                }
            }
            (At::Cr { .. } | At::Inside, b'\n') => {
                self.at = At::Start;
                self.first_line_done = true;
            }
            (At::Cr { .. }, _) => return invalid("CR without LF"),
            (at, b'\r') => {
                self.at = At::Cr { line_is_empty: matches!(at, At::Start) };
            }
            (at, b'\t' | b' '..=b'~' | 0x80..) => {
                if !self.first_line_done {
                    self.first_line(byte, position)?;
                } else if matches!(at, At::Start) {
                    if matches!(byte, b' ' | b'\t') {
                        return invalid("a line that starts with white space");
                    }
                    self.headers += 1;
                    if self.headers > self.limits.headers {
                        return Err(HeadError::TooManyHeaders { limit: self.limits.headers });
                    }
                }
                self.at = At::Inside;
            }
            _ => return invalid("a control byte"),
        }
        // A response starts with its first byte (RFC 9112 §2.2 lets only servers skip lines).
        if self.kind == Kind::Response && position == 0 && byte != b'H' {
            return Err(HeadError::NotHttp);
        }
        Ok(false)
    }

    /// Refuses what is no HTTP as early as it shows, such as TLS sent to a plain port.
    fn first_line(&mut self, byte: u8, position: usize) -> Result<(), HeadError> {
        match self.kind {
            Kind::Response => match b"HTTP/".get(position) {
                Some(&expected) if expected != byte => Err(HeadError::NotHttp),
                _ => Ok(()),
            },
            Kind::Request if byte == b' ' => {
                self.spaces += 1;
                Ok(())
            }
            Kind::Request if self.spaces == 0 && !grammar::is_tchar(byte) => {
                Err(HeadError::NotHttp)
            }
            Kind::Request if self.spaces == 1 => {
                self.target += 1;
                if self.target > self.limits.target {
                    return Err(HeadError::TargetTooLong { limit: self.limits.target });
                }
                Ok(())
            }
            Kind::Request => Ok(()),
        }
    }

    /// Parses the complete head of a request, once.
    pub(super) fn into_request(self) -> Result<RequestHead, HeadError> {
        let mut fields = vec![httparse::EMPTY_HEADER; self.headers];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(self.head.all());
        if parsed == Err(httparse::Error::Version) && self.has_other_version() {
            return Err(HeadError::Version);
        }
        match (parsed, request.method, request.path, request.version) {
            (Ok(httparse::Status::Complete(_)), Some(method), Some(target), Some(minor)) => {
                Ok(RequestHead {
                    method: method.into(),
                    target: target.into(),
                    version: (1, minor),
                    headers: Headers::from_parsed(request.headers),
                })
            }
            (result, ..) => Err(self.parse_error(result)),
        }
    }

    /// Parses the complete head of a response, once.
    pub(super) fn into_response(self) -> Result<ResponseHead, HeadError> {
        let mut fields = vec![httparse::EMPTY_HEADER; self.headers];
        let mut response = httparse::Response::new(&mut fields);
        match (response.parse(self.head.all()), response.code, response.version) {
            (Ok(httparse::Status::Complete(_)), Some(status @ 100..), Some(minor)) => {
                Ok(ResponseHead { status, minor, headers: Headers::from_parsed(response.headers) })
            }
            (Err(httparse::Error::Version), ..) => Err(HeadError::Version),
            (result, ..) => Err(self.parse_error(result)),
        }
    }

    /// Whether the request line is well-formed but for a version that httparse does not know.
    fn has_other_version(&self) -> bool {
        let lines = self.head.all().split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
        let line = lines.into_iter().find(|line| !line.is_empty()).unwrap_or_default();
        let mut parts = line.split(|&byte| byte == b' ').skip(2);
        let version = parts.next().unwrap_or_default();
        parts.next().is_none()
            && matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
    }

    #[cold]
    fn parse_error(&self, result: httparse::Result<usize>) -> HeadError {
        let what = match result {
            Err(httparse::Error::HeaderName) => "a header name that is not a token",
            Err(httparse::Error::HeaderValue) => "a header value with a control byte",
            Err(httparse::Error::Status) | Ok(_) => "a malformed status",
            Err(_) => "a malformed first line",
        };
        HeadError::Invalid { what, position: self.head.len() }
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
    pub(super) minor: u8,
    pub(super) headers: Headers,
}

/// Why bytes are not the head of an HTTP/1.1 message, or not one within the limits.
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
    /// A version of HTTP other than 1.0 and 1.1.
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
            Self::Version => f.write_str("unsupported version of HTTP"),
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
    use alloc::format;

    fn read(kind: Kind, limits: HeadLimits, bytes: &[u8], step: usize) -> (HeadReader, Outcome) {
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
        let (reader, outcome) = read(Kind::Request, HeadLimits::new(), bytes, usize::MAX);
        assert!(outcome?.is_some(), "incomplete: {}", bytes.escape_ascii());
        reader.into_request()
    }

    fn response(bytes: &[u8]) -> Result<ResponseHead, HeadError> {
        let (reader, outcome) = read(Kind::Response, HeadLimits::new(), bytes, usize::MAX);
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
                    read(Kind::Request, HeadLimits::new(), text.as_bytes(), step);
                // What is left counts over all pieces.
                assert_eq!(outcome, Ok(Some(7)), "{end:?} in steps of {step}");
                assert_eq!(reader.into_request().ok().unwrap().headers.get("host"), Some("h"));
            }
        }
    }

    /// Known failure 1 (CVE-2023-43669), checklist 133: however it drips, each byte is looked at
    /// once, and nothing beyond the limit is kept.
    #[test]
    fn known_failure_1_dripped_heads_are_linear_and_bounded() {
        let limits = HeadLimits::new().max_size(4000).max_headers(1000);
        let head = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(2000));
        for step in [1, 2, 100, 3999, 4000, 5000] {
            let before = kept::examined();
            let (reader, outcome) = read(Kind::Request, limits, head.as_bytes(), step);
            assert_eq!(outcome, Err(HeadError::TooLarge { limit: 4000 }));
            assert_eq!(kept::examined() - before, 4000, "steps of {step}");
            assert!(reader.head.capacity() <= 4000, "{}", reader.head.capacity());
        }
        // Whose sizes are no multiples of each other.
        let (mut reader, mut bytes) = (HeadReader::new(Kind::Request, limits), head.into_bytes());
        let (first, rest) = bytes.split_at_mut(1);
        assert_eq!(reader.read(&mut Input::new(first)), Ok(false));
        let full = rest.chunks_mut(1300).any(|piece| reader.read(&mut Input::new(piece)).is_err());
        assert!(full && reader.head.capacity() <= 4000, "{}", reader.head.capacity());
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
        for step in [1, 3, 1000, 4096] {
            let before = kept::examined();
            let (reader, outcome) = read(Kind::Request, limits, head.as_bytes(), step);
            assert_eq!((outcome, kept::examined() - before), (Ok(Some(0)), head.len()));
            assert!(reader.into_request().is_ok());
            assert_eq!(kept::examined() - before, 2 * head.len(), "parsed once, in the end");
        }
    }

    /// RFC 9110 §5.4, checklist 133: each limit lets exactly its number pass.
    #[test]
    fn rfc9110_5_4_limits_are_exact() {
        let head = b"GET /12345 HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
        let exact = HeadLimits::new().max_size(head.len()).max_headers(2).max_target(6);
        let outcome = |limits| read(Kind::Request, limits, head, 1).1;
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
        let outcome = read(Kind::Request, limits, b"GET /2345678901", 1).1;
        assert_eq!(outcome, Err(HeadError::TargetTooLong { limit: 10 }));
        let outcome = read(Kind::Request, limits, b"GET / HTTP/1.1\nA:\nB", 1).1;
        assert_eq!(outcome, Err(HeadError::TooManyHeaders { limit: 1 }));
    }

    /// RFC 9112 §2.2, checklist 136: empty lines before a request, a few of them.
    #[test]
    fn rfc9112_2_2_empty_lines_before_the_request() {
        for blank in ["", "\r\n", "\n", "\r\n\n\r\n\n"] {
            let head = request(format!("{blank}GET / HTTP/1.1\r\n\r\n").as_bytes()).ok().unwrap();
            assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/"));
        }
        let outcome = read(Kind::Request, HeadLimits::new(), &b"\r\n".repeat(5), 1).1;
        assert!(invalid(outcome));
        let outcome = read(Kind::Response, HeadLimits::new(), b"\r\nHTTP/1.1 101 \r\n\r\n", 1).1;
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
        assert_eq!(request(b"GET / HTTP/1.0\r\n\r\n").ok().unwrap().version, (1, 0));
    }

    #[test]
    fn rfc9112_4_status_lines() {
        for (line, status) in [("101 Switching Protocols", 101), ("999 ", 999), ("404", 404)] {
            let head = response(format!("HTTP/1.1 {line}\r\n\r\n").as_bytes()).ok().unwrap();
            assert_eq!((head.status, head.minor), (status, 1), "{line}");
        }
        for line in ["1010 x", "10 x", "099 x", "000 ", "abc", "-10 x", "", " 101"] {
            assert!(invalid(response(format!("HTTP/1.1 {line}\r\n\r\n").as_bytes())), "{line}");
        }
        assert_eq!(response(b"HTTP/2.0 101 x\r\n\r\n").err(), Some(HeadError::Version));
    }

    /// What is no HTTP at all is refused before an end of head is waited for.
    #[test]
    fn other_protocols_show_early() {
        let outcome = |kind, bytes| read(kind, HeadLimits::new(), bytes, 1).1;
        // A TLS ClientHello on a plain port.
        assert!(invalid(outcome(Kind::Request, b"\x16\x03\x01")));
        assert!(invalid(outcome(Kind::Request, b"GET / HTTP/1.1\rX")));
        assert_eq!(outcome(Kind::Request, b"\xff"), Err(HeadError::NotHttp));
        assert_eq!(outcome(Kind::Response, b"SSH-2.0"), Err(HeadError::NotHttp));
        assert_eq!(outcome(Kind::Response, b"HTTQ"), Err(HeadError::NotHttp));
        assert!(outcome(Kind::Response, b"\x15\x03\x01").is_err());
        assert!(outcome(Kind::Response, b"\n").is_err());
    }
}
