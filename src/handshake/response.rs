//! The response to an upgrade request.

use super::headers::{self, Headers, InvalidHeader};
use crate::extension::Extension;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// An HTTP response to a request for an upgrade (RFC 6455 §4.2.2).
///
/// A client gets one from [`ClientHandshake::receive`](super::ClientHandshake::receive): the 101,
/// or the refusal inside the error. A server gets its 101 from
/// [`UpgradeRequest::accept`](super::UpgradeRequest::accept). To reject a request with a status of
/// your own, make one:
///
/// ```
/// use fullduplex::handshake::Response;
///
/// let response = Response::new(401)
///     .with_header("WWW-Authenticate", "Basic realm=\"chat\"")
///     .with_body("who are you?");
/// assert_eq!(
///     response.to_bytes()?,
///     b"HTTP/1.1 401 Unauthorized\r\n\
///       WWW-Authenticate: Basic realm=\"chat\"\r\n\
///       Connection: close\r\n\
///       Content-Length: 12\r\n\
///       \r\n\
///       who are you?"
/// );
/// # Ok::<(), fullduplex::handshake::InvalidResponse>(())
/// ```
///
/// You can chain calls without `?`: [`to_bytes`](Self::to_bytes) returns the first mistake. `Debug`
/// hides credentials and the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Headers,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
    /// Whether it answers a HEAD request: its content is announced but not sent.
    answers_head: bool,
    subprotocol: Option<String>,
    extensions: Vec<Extension>,
    error: Option<InvalidResponse>,
}

impl Response {
    /// Creates a response with a status from 200 to 599. A 101 comes only from
    /// [`UpgradeRequest::accept`](super::UpgradeRequest::accept).
    pub fn new(status: u16) -> Self {
        let error = (!(200..600).contains(&status)).then_some(InvalidResponse::Status(status));
        Self { error, ..Self::with_headers(status, Headers::new()) }
    }

    /// A 101 that passed all checks.
    pub(super) fn switching(
        headers: Headers,
        subprotocol: Option<String>,
        extensions: Vec<Extension>,
    ) -> Self {
        Self { subprotocol, extensions, ..Self::with_headers(101, headers) }
    }

    pub(super) fn with_headers(status: u16, headers: Headers) -> Self {
        Self {
            status,
            headers,
            body: Vec::new(),
            truncated: false,
            answers_head: false,
            subprotocol: None,
            extensions: Vec::new(),
            error: None,
        }
    }

    /// Adds a header. The library writes those of the handshake and of HTTP's framing:
    /// `Connection`, `Content-Length`, `Transfer-Encoding`, `Host`, `Sec-WebSocket-*` and the like.
    /// Except with a 101, you may give `Upgrade` and `Sec-WebSocket-Version`, which a 426 needs.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        // RFC 9110 §15.5.22: a 426 has to have Upgrade; RFC 6455 §4.4: and the version.
        let of_426 = ["Upgrade", "Sec-WebSocket-Version"]
            .iter()
            .any(|of_426| self.status != 101 && name.eq_ignore_ascii_case(of_426));
        let ours = headers::is_reserved(name) && !of_426;
        let result = match ours {
            true => Err(InvalidResponse::Reserved(name.to_string())),
            false => self.headers.append(name, value).map_err(InvalidResponse::Header),
        };
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Sets the body. Responses with status 101, 204, 205 and 304 have none.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// As the answer to a HEAD request, if it is one (RFC 9110 §9.3.2).
    pub(super) fn answering_head(self, is_head: bool) -> Self {
        Self { answers_head: is_head, ..self }
    }

    /// The status code, from 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body, up to [`HeadLimits::max_body`](super::HeadLimits::max_body).
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the end of the [`body`](Self::body) may be missing: it is beyond the limit, broke
    /// off, did not come in time, or had malformed framing.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    #[cfg(feature = "std")]
    pub(crate) fn answers_head(&self) -> bool {
        self.answers_head
    }

    /// The response to a client whose server gave an answer that cannot be sent.
    #[cfg(feature = "std")]
    pub(crate) fn internal_error(to_head: bool) -> Self {
        Self::new(500)
            .with_header("Content-Type", "text/plain; charset=utf-8")
            .with_body("the server made a mistake in its answer\n")
            .answering_head(to_head)
    }

    /// The first line of text in the body, for the text of an error: without tags if it is a page,
    /// and cut to a hundred characters.
    pub(super) fn first_line(&self) -> Option<String> {
        const MOST: usize = 100;
        if self.headers.contains("Content-Encoding") {
            return None;
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4096)]);
        let is_page = text.trim_start().starts_with('<');
        let (mut line, mut in_tag) = (String::new(), false);
        for c in text.chars() {
            match c {
                '>' if in_tag => in_tag = false,
                _ if in_tag => {}
                '\r' | '\n' | '<' if c != '<' || is_page => {
                    in_tag = c == '<';
                    if !line.trim().is_empty() {
                        break;
                    }
                    line.clear();
                }
                c => line.push(c),
            }
        }
        let line = line.trim();
        let end = line.char_indices().nth(MOST).map_or(line.len(), |(end, _)| end);
        let dots = if end < line.len() { "…" } else { "" };
        (!line.is_empty()).then(|| format!("{}{dots}", &line[..end]))
    }

    /// The subprotocol in use, if any (§4.1).
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The extensions in use, in the order in which they apply to sent data (§9.1).
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The bytes to send. Every response except a 101 says `Connection: close`, because the
    /// connection ends after it (§7.2.2). All except 101, 204 and 304 have a `Content-Length`.
    ///
    /// # Errors
    /// [`InvalidResponse`] if the status, a header or the body cannot be sent.
    pub fn to_bytes(&self) -> Result<Vec<u8>, InvalidResponse> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        // RFC 9110 §15.2, §15.3.5, §15.3.6 and §15.4.5.
        if matches!(self.status, 101 | 204 | 205 | 304) && !self.body.is_empty() {
            return Err(InvalidResponse::Body(self.status));
        }
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        if self.status == 101 {
            self.headers.write_to(&mut out);
            out.extend_from_slice(b"\r\n");
            return Ok(out);
        }
        for (name, value) in self.headers.iter() {
            // A response that was received and is passed on has some of these.
            const FRAMING: [&str; 5] =
                ["Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Trailer"];
            if !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
                headers::write_line(&mut out, name, value);
            }
        }
        // RFC 9110 §7.8: a sender of Upgrade lists it in Connection.
        let upgrade = self.headers.contains("Upgrade");
        let connection: &[u8] = if upgrade { b"close, Upgrade" } else { b"close" };
        headers::write_line(&mut out, "Connection", connection);
        // RFC 9112 §6.3: these end at the empty line. A 205 says that it has no content.
        if !matches!(self.status, 204 | 304) {
            let length = self.body.len().to_string();
            headers::write_line(&mut out, "Content-Length", length.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if !self.answers_head {
            out.extend_from_slice(&self.body);
        }
        Ok(out)
    }
}

/// The reason phrase; empty for a status that is not registered (RFC 9112 §4).
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        511 => "Network Authentication Required",
        _ => "",
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &format_args!("<{} bytes>", self.body.len()))
            .finish_non_exhaustive()
    }
}

/// `404 Not Found`
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match reason(self.status) {
            "" => write!(f, "{}", self.status),
            reason => write!(f, "{} {reason}", self.status),
        }
    }
}

/// A [`Response`] that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// A status outside 200–599.
    Status(u16),
    /// A header that cannot be sent.
    Header(InvalidHeader),
    /// A header that only the library writes.
    Reserved(String),
    /// A body with a status that has none: 101, 204, 205 and 304.
    Body(u16),
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "status {status} cannot refuse an upgrade: use 200 to 599")
            }
            Self::Header(error) => error.fmt(f),
            Self::Reserved(name) => headers::fmt_reserved(name, f),
            Self::Body(101) => {
                f.write_str("a response with status 101 has no body: frames follow it")
            }
            Self::Body(status) => write!(f, "a response with status {status} has no body"),
        }
    }
}

impl core::error::Error for InvalidResponse {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Header(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> String {
        String::from_utf8(response.to_bytes().unwrap()).unwrap()
    }

    /// RFC 9110 §7.8, checklist 128: Upgrade comes with its connection option.
    #[test]
    fn rfc9110_7_8_upgrade_is_a_connection_option() {
        let text = text(&Response::new(426).with_header("Upgrade", "websocket"));
        assert_eq!(
            text,
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\
             Connection: close, Upgrade\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn rfc9110_15_statuses_without_a_body() {
        assert!(!text(&Response::new(204)).contains("Content-Length"));
        // D25: nor has a 205, which says so by its length.
        for status in [204, 205, 304] {
            let result = Response::new(status).with_body("x").to_bytes();
            assert_eq!(result, Err(InvalidResponse::Body(status)));
        }
        assert!(text(&Response::new(205)).ends_with("\r\nContent-Length: 0\r\n\r\n"));
        assert!(!text(&Response::new(304)).contains("Content-Length"));
        assert!(text(&Response::new(599)).starts_with("HTTP/1.1 599 \r\n"));
        assert_eq!(Response::new(599).to_string(), "599");
        let named = (200..600).filter(|status| !reason(*status).is_empty());
        assert_eq!(named.clone().count(), 34);
        for status in named {
            let response = Response::new(status);
            let line = format!("HTTP/1.1 {status} {}\r\n", reason(status));
            assert!(text(&response).starts_with(&line), "{line}");
            assert_eq!(response.to_string(), format!("{status} {}", reason(status)));
        }
    }

    /// Known failure 35: no 101 without all checks.
    #[test]
    fn a_101_cannot_be_made_by_hand() {
        for status in [0, 99, 100, 101, 103, 199, 600, 999, 65_535] {
            let result = Response::new(status).to_bytes();
            assert_eq!(result, Err(InvalidResponse::Status(status)));
        }
    }

    /// Known failure 33 and checklist 134: nothing given can add a line.
    #[test]
    fn rfc9110_5_5_injection_is_refused() {
        for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0"] {
            let result = Response::new(403).with_header("X", value).to_bytes();
            assert!(matches!(result, Err(InvalidResponse::Header(_))), "{value:?}");
        }
        for name in ["Content-Length", "connection", "TRANSFER-ENCODING", "Sec-WebSocket-Accept"] {
            let result = Response::new(403).with_header(name, "1").to_bytes();
            assert_eq!(result, Err(InvalidResponse::Reserved(name.to_string())));
        }
    }

    /// B9: the readable part of a server's answer.
    #[test]
    fn the_first_line_of_a_body() {
        let nginx = "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n<center>";
        let cases = [
            ("", None),
            (" \r\n\n", None),
            ("who are you?", Some("who are you?")),
            ("\r\n  a < b > c \r\nd", Some("a < b > c")),
            (nginx, Some("400 Bad Request")),
            ("<!DOCTYPE html><p class=\"a\nb\">No <b>way</b></p>", Some("No")),
            ("<html><", None),
            ("<", None),
            ("<a", None),
            ("<a>", None),
            ("<a>b", Some("b")),
            ("{\"error\": 1}", Some("{\"error\": 1}")),
        ];
        for (body, line) in cases {
            let response = Response::new(400).with_body(body);
            assert_eq!(response.first_line().as_deref(), line, "{body:?}");
        }
        for (letter, width) in [("x", 1), ("é", 2)] {
            let response = Response::new(400).with_body(letter.repeat(5000));
            assert_eq!(response.first_line().unwrap().len(), 100 * width + "…".len());
        }
        let exact = Response::new(400).with_body("x".repeat(100));
        assert_eq!(exact.first_line().unwrap().len(), 100);
        let zipped = Response::new(400).with_header("Content-Encoding", "gzip").with_body("x");
        assert_eq!(zipped.first_line(), None);
        assert_eq!(Response::new(400).with_body(b"\xff").first_line().unwrap(), "\u{fffd}");
    }

    /// D14: a 101 stays as `accept` made it; only other headers may be added.
    #[test]
    fn nothing_of_the_handshake_is_added_to_a_101() {
        let switching = || Response::switching(Headers::new(), None, Vec::new());
        for name in ["Upgrade", "upgrade", "Connection", "Sec-WebSocket-Version", "Content-Length"]
        {
            let result = switching().with_header(name, "h2c").to_bytes();
            assert_eq!(result, Err(InvalidResponse::Reserved(name.to_string())));
        }
        let result = switching().with_body("x").to_bytes();
        assert_eq!(result, Err(InvalidResponse::Body(101)));
        assert!(text(&switching().with_header("X", "y")).contains("\r\nX: y\r\n"));
    }

    /// A5: RFC 9110 §9.3.2: the answer to HEAD is that to GET without its content.
    #[test]
    fn rfc9110_9_3_2_the_answer_to_head() {
        for status in [200, 204, 205, 304, 404] {
            let body = if matches!(status, 204 | 205 | 304) { "" } else { "content" };
            let response = Response::new(status).with_header("X", "y").with_body(body);
            let get = text(&response.clone().answering_head(false));
            assert_eq!(text(&response.answering_head(true)) + body, get);
        }
    }

    #[test]
    fn framing_of_a_passed_on_response_is_replaced() {
        let mut headers = Headers::new();
        headers.push("Transfer-Encoding", b"chunked");
        headers.push("connection", b"keep-alive");
        headers.push("X", b"y");
        let mut response = Response::with_headers(404, headers);
        response.body = b"gone".to_vec();
        assert_eq!(
            text(&response),
            "HTTP/1.1 404 Not Found\r\nX: y\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngone"
        );
    }
}
