//! The server's side of the opening handshake (RFC 6455 §4.2).

use super::{
    head::{HeadKind, HeadLimits, HeadReader, RequestHead},
    http::{AnyRequest, HttpRequest},
    rejection::{Rejection, RejectionReason},
    upgrade::UpgradeRequest,
};
use crate::Input;
use core::mem;

/// The server's side of one opening handshake, without any I/O (RFC 6455 §4.2).
///
/// Give the client's bytes to [`receive`](Self::receive) until it returns a request. Accept that
/// with [`UpgradeRequest::accept`], or send a [`Response`](super::Response) with another status and
/// close the connection.
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
    state: ServerState,
}

#[derive(Debug)]
enum ServerState {
    Head(HeadReader),
    Done,
}

impl ServerHandshake {
    /// Starts a handshake whose request has to stay within `limits`.
    pub fn new(limits: HeadLimits) -> Self {
        Self { state: ServerState::Head(HeadReader::new(HeadKind::Request, limits)) }
    }

    /// Reads the request. Returns `None` when it took all of `input` and needs more. A request that
    /// it returns passed every check that does not depend on your application. Once you accept it,
    /// the bytes left in `input` are frames.
    ///
    /// # Errors
    /// [`Rejection`]: send its response and close the connection.
    pub fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<UpgradeRequest>, Rejection> {
        let Some(head) = self.head(input)? else { return Ok(None) };
        UpgradeRequest::check(HttpRequest::check(head, false)?).map(Some)
    }

    /// Like [`receive`](Self::receive), for a port that serves plain HTTP too. Returns a GET or
    /// HEAD that has nothing to do with WebSocket instead of rejecting it. Answer it and close the
    /// connection.
    ///
    /// A request with `Upgrade: websocket`, `Sec-WebSocket-Key` or `Sec-WebSocket-Version` but
    /// without the rest of an upgrade is still rejected: a proxy may have dropped the rest, and the
    /// client should know.
    ///
    /// # Errors
    /// [`Rejection`]: send its response and close the connection.
    pub fn receive_any(&mut self, input: &mut Input<'_>) -> Result<Option<AnyRequest>, Rejection> {
        let Some(head) = self.head(input)? else { return Ok(None) };
        let request = HttpRequest::check(head, true)?;
        if !request.concerns_websocket() {
            return Ok(Some(AnyRequest::Http(request)));
        }
        UpgradeRequest::check(request).map(|request| Some(AnyRequest::Upgrade(request)))
    }

    fn head(&mut self, input: &mut Input<'_>) -> Result<Option<RequestHead>, Rejection> {
        let ServerState::Head(mut reader) = mem::replace(&mut self.state, ServerState::Done) else {
            return Err(Rejection::new(RejectionReason::Finished));
        };
        match reader.read(input) {
            Ok(true) => Ok(Some(reader.into_request()?)),
            Ok(false) => {
                self.state = ServerState::Head(reader);
                Ok(None)
            }
            Err(error) => Err(Rejection::from(error).answering_head(reader.is_head())),
        }
    }

    /// How many bytes of the request came so far. If none did, an end or a timeout only means that
    /// the connection was not used.
    pub fn received(&self) -> usize {
        match &self.state {
            ServerState::Head(reader) => reader.received(),
            ServerState::Done => 0,
        }
    }

    /// Tells the handshake that the connection ended. Returns a rejection with
    /// [`Rejection::is_eof`].
    pub fn receive_eof(&mut self) -> Rejection {
        self.end(RejectionReason::Eof)
    }

    /// Tells the handshake that your deadline has passed. Returns a rejection with status 408.
    pub fn timed_out(&mut self) -> Rejection {
        self.end(RejectionReason::TimedOut)
    }

    fn end(&mut self, reason: RejectionReason) -> Rejection {
        match mem::replace(&mut self.state, ServerState::Done) {
            ServerState::Head(reader) => Rejection::new(reason).answering_head(reader.is_head()),
            ServerState::Done => Rejection::new(RejectionReason::Finished),
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

    /// A5: RFC 9110 §9.3.2: the rejection of a HEAD request has no content, but the length that a
    /// GET would get, wherever the mistake is.
    #[test]
    fn rfc9110_9_3_2_a_refused_head_has_no_content() {
        let cut = |text: &str, what: fn(&mut ServerHandshake) -> Rejection| {
            let mut server = ServerHandshake::default();
            match server.receive(&mut Input::new(&mut text.as_bytes().to_vec())) {
                Ok(_) => what(&mut server),
                Err(rejection) => rejection,
            }
        };
        let limit = format!("X: {}", "y".repeat(16_384));
        let cases = [
            (" HTTP/1.0\r\n", Reason::HttpVersion),
            (" HTTP/1.1\r\n\r\n", Reason::Host),
            (" HTTP/1.1\r\nHost: h\r\n\r\n", Reason::Method),
            (" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", Reason::Method),
            (" HTTP/1.1\r\nX Y", Reason::Malformed),
            (&format!(" HTTP/1.1\r\n{limit}"), Reason::HeadTooLarge),
            (" HTTP/1.1\r\n", Reason::TimedOut),
            (&"x".repeat(8192), Reason::TargetTooLong),
        ];
        for (rest, reason) in cases {
            let [head, get] = ["HEAD /", "GET /"]
                .map(|start| cut(&format!("{start}{rest}"), ServerHandshake::timed_out));
            assert_eq!(head.reason(), reason);
            let bytes = head.response().to_bytes().unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let length = format!("\r\nContent-Length: {}\r\n", head.response().body().len());
            assert!(text.ends_with("\r\n\r\n") && text.contains(&length), "{text}");
            if get.reason() == reason {
                let body = String::from_utf8(get.response().body().to_vec()).unwrap();
                assert_eq!(
                    String::from_utf8(get.response().to_bytes().unwrap()).unwrap(),
                    text + &body
                );
            }
        }
        // The same if another server read the request.
        let fields = [("Host", "h")];
        let parts = UpgradeRequest::from_parts("HEAD", "/", (1, 1), fields).unwrap_err();
        assert!(parts.response().to_bytes().unwrap().ends_with(b"\r\n\r\n"));
    }

    /// A6: a verdict on the first line does not wait for the rest of the head.
    #[test]
    fn the_first_line_is_judged_when_it_ends() {
        let cases = [
            ("SSH-2.0-OpenSSH_9.6\r\n", 400),
            ("HELO x\r\n", 400),
            ("GET / FTP/1.1\r\n", 400),
            ("GET / HTTP/1.0\r\n", 505),
            ("PRI * HTTP/2.0\r\n", 505),
        ];
        for (line, status) in cases {
            assert_eq!(receive(line.as_bytes()).unwrap_err().response().status(), status, "{line}");
        }
    }

    /// Plain HTTP on the same port: requests that are returned, and requests that are still
    /// rejected.
    #[test]
    fn plain_http_is_handed_out_where_it_is_asked_for() {
        let any = |text: &str| {
            ServerHandshake::default().receive_any(&mut Input::new(&mut text.as_bytes().to_vec()))
        };
        let plain = "GET /health?a=%20 HTTP/1.1\r\nHost: example.com\r\nCookie: a=b\r\n\r\n";
        for (text, is_head) in [(plain, false), (&plain.replace("GET", "HEAD"), true)] {
            let Ok(Some(AnyRequest::Http(request))) = any(text) else { panic!("{text}") };
            assert_eq!((request.is_head(), request.path()), (is_head, "/health"));
            assert_eq!((request.target(), request.query()), ("/health?a=%20", Some("a=%20")));
            assert_eq!((request.host(), request.header("cookie")), ("example.com", Some("a=b")));
            assert_eq!(request.cookies().next(), Some(("a", "b")));
            assert_eq!(request.query_pairs().next().unwrap().1, " ");
            assert_eq!(request.headers().len(), 2);
            assert_eq!(request.method(), if is_head { "HEAD" } else { "GET" });
            let debug = format!("{request:?}");
            assert!(debug.contains("/health?<hidden>") && !debug.contains("a=b"), "{debug}");
            // The default is as it was.
            assert!(receive(text.as_bytes()).is_err());
        }
        let Ok(Some(AnyRequest::Upgrade(request))) = any(GOOD) else { panic!("an upgrade") };
        assert_eq!(request.path(), "/chat");
        // Another protocol is no WebSocket, and RFC 9110 §7.8 lets a server ignore it.
        let other = plain.replace("Host:", "Upgrade: h2c\r\nConnection: Upgrade\r\nHost:");
        assert!(matches!(any(&other), Ok(Some(AnyRequest::Http(_)))));
        let cases = [
            ("GET", "POST", Reason::Method),
            ("GET", "get", Reason::Method),
            ("HTTP/1.1", "HTTP/1.0", Reason::HttpVersion),
            ("Host: example.com\r\n", "", Reason::Host),
            ("/health", "http://other/health", Reason::Target),
            ("Cookie: a", "Content-Length: 1", Reason::Body),
            ("Cookie: a=b", "Content-Length: 1", Reason::Body),
            ("Cookie: a=b", "Transfer-Encoding: chunked", Reason::Body),
            ("Cookie: a=b", "Upgrade: websocket", Reason::NotUpgrade),
            ("Cookie: a=b", "Sec-WebSocket-Key: x", Reason::NotUpgrade),
            ("Cookie: a=b", "Sec-WebSocket-Version: 13", Reason::NotUpgrade),
        ];
        for (from, to, reason) in cases {
            let rejection = any(&plain.replacen(from, to, 1)).unwrap_err();
            assert_eq!(rejection.reason(), reason, "{to}");
            let allow = rejection.response().headers().get("Allow").map(String::from);
            assert_eq!(allow.as_deref(), (reason == Reason::Method).then_some("GET, HEAD"));
        }
        // An upgrade with another method is none.
        let head = any(&edited("GET", "HEAD")).unwrap_err();
        assert_eq!(head.reason(), Reason::Method);
        assert!(head.response().to_bytes().unwrap().ends_with(b"\r\n\r\n"));
        let mut server = ServerHandshake::default();
        assert!(server.receive_any(&mut Input::new(&mut plain.as_bytes().to_vec())).is_ok());
        let again = server.receive_any(&mut Input::new(&mut plain.as_bytes().to_vec()));
        assert_eq!(again.unwrap_err().reason(), Reason::Finished);
    }

    /// A8: a server declines offers beyond its bounds.
    #[test]
    fn section_9_1_offers_beyond_a_bound_are_declined() {
        let bad = "permessage-deflate; x, ".repeat(100) + "permessage-deflate";
        let unknown = (0..500).map(|i| format!("x{i}")).collect::<alloc::vec::Vec<_>>().join(", ");
        for line in [bad, unknown.clone()] {
            assert_eq!(with(&format!("Sec-WebSocket-Extensions: {line}")), None);
        }
        assert_eq!(with(&format!("Sec-WebSocket-Protocol: {unknown}")), None);
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
