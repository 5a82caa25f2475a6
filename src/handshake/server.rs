//! The server's side of the opening handshake (RFC 6455 §4.2).

use super::{
    head::{HeadLimits, HeadReader, Kind},
    rejection::{Rejection, RejectionReason},
    upgrade::UpgradeRequest,
};
use crate::Input;
use core::mem;

/// The server's side of one opening handshake, without any I/O (RFC 6455 §4.2).
///
/// Give what the client sends to [`receive`](Self::receive) until there is a request. Then accept
/// it, with [`UpgradeRequest::accept`], or send a [`Response`](super::Response) of another status
/// and close the connection.
///
/// ```
/// use fullduplex::Input;
/// use fullduplex::handshake::{Acceptance, HeadLimits, ServerHandshake};
///
/// // RFC 6455 §1.2
/// let mut wire = *b"GET /chat HTTP/1.1\r\n\
///     Host: server.example.com\r\n\
///     Upgrade: websocket\r\n\
///     Connection: Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Origin: http://example.com\r\n\
///     Sec-WebSocket-Protocol: chat, superchat\r\n\
///     Sec-WebSocket-Version: 13\r\n\r\n";
/// let mut server = ServerHandshake::new(HeadLimits::default());
/// let request = server.receive(&mut Input::new(&mut wire))?.expect("the head is complete");
///
/// let response = request.accept(&Acceptance::new().subprotocol("chat"))?;
/// assert_eq!(
///     response.to_bytes()?,
///     b"HTTP/1.1 101 Switching Protocols\r\n\
///       Upgrade: websocket\r\n\
///       Connection: Upgrade\r\n\
///       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
///       Sec-WebSocket-Protocol: chat\r\n\r\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ServerHandshake {
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadReader),
    Done,
}

impl ServerHandshake {
    /// Waits for a request within `limits`.
    pub fn new(limits: HeadLimits) -> Self {
        Self { state: State::Head(HeadReader::new(Kind::Request, limits)) }
    }

    /// Takes bytes that came from the client. `None`: all were taken, and more are needed.
    /// `Some`: a request that passed every check that does not depend on the application; what is
    /// left in `input` are frames, once the request is accepted.
    ///
    /// # Errors
    /// [`Rejection`]: send its response and close the connection.
    pub fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<UpgradeRequest>, Rejection> {
        match mem::replace(&mut self.state, State::Done) {
            State::Head(mut reader) => {
                if !reader.read(input)? {
                    self.state = State::Head(reader);
                    return Ok(None);
                }
                UpgradeRequest::check(reader.into_request()?).map(Some)
            }
            State::Done => Err(Rejection::new(RejectionReason::Finished)),
        }
    }

    /// How many bytes of a request came so far. With none, an end or a deadline is no more than a
    /// connection that was not used.
    pub fn received(&self) -> usize {
        match &self.state {
            State::Head(reader) => reader.received(),
            State::Done => 0,
        }
    }

    /// Says that the connection ended: the rejection that this is, with [`Rejection::is_eof`].
    pub fn receive_eof(&mut self) -> Rejection {
        self.end(RejectionReason::Eof)
    }

    /// Says that the caller's deadline has passed: the rejection that this is, with status 408.
    pub fn timed_out(&mut self) -> Rejection {
        self.end(RejectionReason::TimedOut)
    }

    fn end(&mut self, reason: RejectionReason) -> Rejection {
        match mem::replace(&mut self.state, State::Done) {
            State::Head(_) => Rejection::new(reason),
            State::Done => Rejection::new(RejectionReason::Finished),
        }
    }
}

impl Default for ServerHandshake {
    fn default() -> Self {
        Self::new(HeadLimits::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RejectionReason as Reason;
    use alloc::{format, string::String};

    const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn receive(text: &[u8]) -> Result<Option<UpgradeRequest>, Rejection> {
        ServerHandshake::default().receive(&mut Input::new(&mut text.to_vec()))
    }

    /// The good request, with `from` replaced by `to`.
    fn edited(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    }

    fn reason(from: &str, to: &str) -> Option<RejectionReason> {
        let result = receive(edited(from, to).as_bytes());
        result
            .map(|request| assert!(request.is_some(), "incomplete: {to}"))
            .err()
            .map(|e| e.reason())
    }

    fn with(lines: &str) -> Option<RejectionReason> {
        reason("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
    }

    /// §4.2.1, checklist 24, 25 and 37; RFC 9110 §7.6.1 and §7.8, checklist 127 and 128.
    #[test]
    fn section_4_2_1_accepted() {
        let good = [
            ("websocket", "WEBSOCKET"),
            ("websocket", "h2c, websocket"),
            ("websocket", "h2c\r\nUpgrade: , websocket ,"),
            ("Connection: Upgrade", "cONNECTION: keep-alive, uPGRADE"),
            ("Connection: Upgrade", "Connection: close\r\nConnection: Upgrade"),
            ("Host: example.com", "X: y\r\nhost:example.com:8080"),
            ("Host: example.com", "Host: [::1]:80"),
            ("/chat", "/"),
            ("/chat", "//x/../y?z=|[]{}^`\"'<>\\%zz"),
            ("/chat", "http://example.com/chat"),
            ("/chat", "HTTPS://EXAMPLE.COM:443?q"),
            ("/chat", "ws://example.com"),
            ("\r\n", "\n"),
            ("GET", "\r\nGET"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC=="),
            ("Version: 13", "Version:\t13 \t"),
        ];
        for (from, to) in good {
            assert_eq!(reason(from, to), None, "{to:?}");
        }
        let lines = [
            "Origin: https://anywhere.example",
            "Origin: null",
            "Content-Length: 0",
            "Expect: 100-continue",
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, c",
            "Sec-WebSocket-Extensions: a; b\r\nSec-WebSocket-Extensions: unknown",
            "X-Unknown: 1\r\nX-Unknown: \u{ff}",
            "Cookie: a=b\r\nCookie: c=d",
        ];
        for line in lines {
            assert_eq!(with(line), None, "{line:?}");
        }
    }

    /// §4.2.1 and known failure 34: each deviation has its status.
    #[test]
    fn section_4_2_1_deviations() {
        let version = "Sec-WebSocket-Version: 13\r\n";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let twice = |line: &str| format!("{line}{line}");
        let cases = [
            // RFC 9112: malformed, 400.
            ("GET ", "GET  ", Reason::Malformed),
            ("Host:", "Host :", Reason::Malformed),
            ("\r\nUp", "\r\n Up", Reason::Malformed),
            ("websocket", "web\0socket", Reason::Malformed),
            ("/chat", "/chat room", Reason::Malformed),
            ("GET", "\x16\x03", Reason::Malformed),
            // §4.2.1 step 1: the version of HTTP, 505; checklist 25 and 128.
            ("HTTP/1.1", "HTTP/1.0", Reason::HttpVersion),
            ("HTTP/1.1", "HTTP/2.0", Reason::HttpVersion),
            ("HTTP/1.1", "HTTP/1.2", Reason::HttpVersion),
            ("HTTP/1.1", "HTTP/0.9", Reason::HttpVersion),
            // RFC 9112 §3.2, checklist 137.
            ("Host: example.com\r\n", "", Reason::Host),
            ("Host: example.com", "Host:", Reason::Host),
            ("Host: example.com", "Host: a\r\nHost: a", Reason::Host),
            ("Host: example.com", "Host: a b", Reason::Host),
            ("Host: example.com", "Host: user@a", Reason::Host),
            ("Host: example.com", "Host: a/b", Reason::Host),
            ("Host: example.com", "Host: a, b", Reason::Host),
            ("Host: example.com", "Host: a:99999", Reason::Host),
            ("Host: example.com", "Host: [::1", Reason::Host),
            ("Host: example.com", "Host: \u{e9}", Reason::Host),
            // §4.2.1 step 1: the method.
            ("GET", "POST", Reason::Method),
            ("GET", "get", Reason::Method),
            ("GET", "HEAD", Reason::Method),
            ("GET /chat", "CONNECT example.com:443", Reason::Method),
            ("GET /chat", "OPTIONS *", Reason::Method),
            // §4.2.1 step 1: the target.
            ("/chat", "*", Reason::Target),
            ("/chat", "chat", Reason::Target),
            ("/chat", "example.com:80", Reason::Target),
            ("/chat", "/chat#top", Reason::Target),
            ("/chat", "/\u{e9}", Reason::Target),
            ("/chat", "ftp://example.com/", Reason::Target),
            ("/chat", "http://other.example/", Reason::Target),
            ("/chat", "http://example.com:8080/", Reason::Target),
            ("/chat", "http://u@example.com/", Reason::Target),
            ("/chat", "http:///chat", Reason::Target),
            // §4.2.1 step 3 and 4.
            ("Upgrade: websocket\r\n", "", Reason::NotUpgrade),
            ("websocket", "h2c", Reason::NotUpgrade),
            ("websocket", "websocket2", Reason::NotUpgrade),
            ("Connection: Upgrade\r\n", "", Reason::NotUpgrade),
            ("Connection: Upgrade", "Connection: close", Reason::NotUpgrade),
            // §4.2.1 step 5.
            (key, "", Reason::Key),
            (key, "Sec-WebSocket-Key:\r\n", Reason::Key),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n", Reason::Key),
            (key, &twice(key), Reason::Key),
            // §4.2.1 step 6, §4.4, known failure 21: no drafts.
            (version, "", Reason::Version),
            (version, "Sec-WebSocket-Version:\r\n", Reason::Version),
            (version, &twice(version), Reason::RepeatedVersion),
        ];
        for (from, to, expected) in cases {
            assert_eq!(reason(from, to), Some(expected), "{to:?}");
        }
        for other in ["0", "7", "8", "12", "14", "25", "013", "+13", "13, 8", "1 3", "13a"] {
            assert_eq!(reason(": 13", &format!(": {other}")), Some(Reason::Version), "{other}");
        }
    }

    /// RFC 9110 §7.8 and RFC 9112 §6.1, checklist 129, known failure 34: no body.
    #[test]
    fn rfc9110_7_8_no_body() {
        let lines = [
            "Content-Length: 1",
            "Content-Length: -0",
            "Content-Length: 0, 0",
            "Content-Length: 0\r\nContent-Length: 5",
            "Content-Length:",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
        ];
        for line in lines {
            assert_eq!(with(line), Some(Reason::Body), "{line:?}");
        }
    }

    /// §4.2.1 step 7 to 9, §9.1, §11.3; checklist 24, 34 and 92.
    #[test]
    fn section_4_2_1_optional_fields() {
        let cases = [
            ("Origin: a\r\nOrigin: b", Reason::InvalidOrigin),
            ("Origin: https://\u{e9}", Reason::InvalidOrigin),
            ("Sec-WebSocket-Protocol:", Reason::Subprotocols),
            ("Sec-WebSocket-Protocol: a b", Reason::Subprotocols),
            ("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a", Reason::Subprotocols),
            ("Sec-WebSocket-Extensions:", Reason::Extensions),
            ("Sec-WebSocket-Extensions: a b", Reason::Extensions),
            ("Sec-WebSocket-Extensions: a; b=\"c d\"", Reason::Extensions),
        ];
        for (lines, expected) in cases {
            assert_eq!(with(lines), Some(expected), "{lines:?}");
        }
    }

    /// RFC 9110 §5.4, checklist 133: 414 and 431.
    #[test]
    fn rfc9110_5_4_limits() {
        let long = format!("/{}", "x".repeat(8192));
        assert_eq!(reason("/chat", &long[..8192]), None);
        assert_eq!(reason("/chat", &long), Some(Reason::TargetTooLong));
        assert_eq!(with(&format!("X: {}", "y".repeat(16_384))), Some(Reason::HeadTooLarge));
        // Five fields are needed.
        assert_eq!(with("X: y\r\n".repeat(95).trim_end()), None);
        assert_eq!(with("X: y\r\n".repeat(96).trim_end()), Some(Reason::TooManyHeaders));
    }

    /// More basic faults come first.
    #[test]
    fn the_order_of_checks() {
        let order = [
            ("HTTP/1.1", "HTTP/1.0", Reason::HttpVersion),
            ("Host: example.com\r\n", "", Reason::Host),
            ("GET", "POST", Reason::Method),
            ("/chat", "*", Reason::Target),
            ("Upgrade: w", "Content-Length: 1\r\nUpgrade: w", Reason::Body),
            ("websocket", "h2c", Reason::NotUpgrade),
            ("Version: 13", "Version: 12", Reason::Version),
            ("dGhlIHNhbXBsZSBub25jZQ==", "x", Reason::Key),
            ("\r\n\r\n", "\r\nOrigin: a\r\nOrigin: b\r\n\r\n", Reason::InvalidOrigin),
            ("\r\n\r\n", "\r\nSec-WebSocket-Protocol:\r\n\r\n", Reason::Subprotocols),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions:\r\n\r\n", Reason::Extensions),
        ];
        for first in 0..order.len() {
            let mut text = String::from(GOOD);
            for (from, to, _) in &order[first..] {
                text = text.replacen(from, to, 1);
            }
            let rejection = receive(text.as_bytes()).unwrap_err();
            assert_eq!(rejection.reason(), order[first].2, "{text}");
        }
    }

    /// §7.2.2, checklist 32, and RFC 9110 §15.5.9.
    #[test]
    fn end_and_deadline() {
        let mut server = ServerHandshake::default();
        assert_eq!(server.received(), 0);
        assert!(server.receive_eof().is_eof());
        assert_eq!(server.received(), 0, "it is over");
        assert!(!server.receive_eof().is_eof(), "and that is another reason");
        let mut server = ServerHandshake::default();
        let mut bytes = *b"GET / HT";
        assert!(server.receive(&mut Input::new(&mut bytes)).unwrap().is_none());
        assert_eq!(server.received(), 8);
        let rejection = server.timed_out();
        assert_eq!(rejection.reason(), Reason::TimedOut);
        assert_eq!(rejection.response().status(), 408);
    }

    /// Known failure 34: what follows the head is left alone, and nothing is parsed again.
    #[test]
    fn known_failure_34_one_request_only() {
        for first in [GOOD, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "nonsense\r\n\r\n"] {
            let mut bytes = format!("{first}{GOOD}").into_bytes();
            let mut input = Input::new(&mut bytes);
            let mut server = ServerHandshake::default();
            let outcome = server.receive(&mut input);
            if first == GOOD {
                assert_eq!(input.as_bytes(), GOOD.as_bytes());
            }
            assert_eq!(outcome.is_ok(), first == GOOD);
            let again = server.receive(&mut input).unwrap_err();
            assert_eq!(again.reason(), Reason::Finished);
            assert_eq!(server.receive_eof().reason(), Reason::Finished);
            assert_eq!(server.timed_out().reason(), Reason::Finished);
        }
    }
}
