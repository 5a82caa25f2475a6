//! The client's side of the opening handshake (RFC 6455 §4.1).

use super::{
    accept::{self, ACCEPT_LEN},
    body::BodyReader,
    head::{HeadError, HeadKind, HeadLimits, HeadReader, ResponseHead},
    headers::{Headers, Once},
    request::{InvalidRequest, Request, RequestParts},
    response::Response,
};
use crate::Input;
use crate::extension::{self, InvalidExtension};
use alloc::{
    boxed::Box,
    string::{String, ToString},
};
use core::{fmt, mem};
use rand::CryptoRng;

/// The client's side of one opening handshake, without any I/O (RFC 6455 §4.1).
///
/// Write [`request_bytes`](Self::request_bytes), then give the server's bytes to
/// [`receive`](Self::receive). Send nothing else before the response is there.
///
/// ```
/// use fullduplex::Input;
/// use fullduplex::handshake::{ClientHandshake, ClientHandshakeError, Request};
///
/// let request = Request::new("ws://example.com/chat");
/// let mut handshake = ClientHandshake::new(request, &mut rand::rng())?;
/// assert!(handshake.request_bytes().starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
///
/// let mut received = *b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
/// match handshake.receive(&mut Input::new(&mut received)) {
///     Ok(Some(response)) => println!("open; {:?}", response.subprotocol()),
///     Ok(None) => println!("read more"),
///     Err(ClientHandshakeError::Refused(response)) => assert_eq!(response.body(), b"gone"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), fullduplex::handshake::InvalidRequest>(())
/// ```
///
/// A client must not have two connections in this state to one address at a time (§4.1 step 2). You
/// have to ensure that, because the address is not known here.
pub struct ClientHandshake {
    parts: RequestParts,
    accept: [u8; ACCEPT_LEN],
    limits: HeadLimits,
    /// How many 1xx responses were skipped.
    interim: usize,
    state: ClientState,
}

enum ClientState {
    Head(HeadReader),
    /// In the body of a response that refuses.
    Body(Box<Response>, BodyReader),
    Done,
}

/// How many 1xx responses are skipped before the final one.
const MAX_INTERIM: usize = 8;

impl ClientHandshake {
    /// Starts a handshake with a fresh key from `rng` (§4.1).
    ///
    /// # Errors
    /// The first mistake in `request`.
    pub fn new(
        request: Request,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, InvalidRequest> {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let key = accept::encode_key(nonce);
        let limits = HeadLimits::new();
        Ok(Self {
            parts: request.into_parts(&key)?,
            accept: accept::accept_bytes(&key),
            limits,
            interim: 0,
            state: ClientState::Head(HeadReader::new(HeadKind::Response, limits)),
        })
    }

    /// Sets limits on the response. Call it before the first [`receive`](Self::receive).
    #[must_use]
    pub fn limits(mut self, limits: HeadLimits) -> Self {
        self.limits = limits;
        self.state = ClientState::Head(HeadReader::new(HeadKind::Response, limits));
        self
    }

    /// The complete request to send.
    pub fn request_bytes(&self) -> &[u8] {
        &self.parts.bytes
    }

    /// Reads the response. Returns `None` when it took all of `input` and needs more. Returns the
    /// response when the connection is open: the bytes left in `input` are frames.
    ///
    /// Skips 1xx responses other than 101. If the server refuses, this reads on until the body is
    /// complete, up to [`HeadLimits::max_body`].
    ///
    /// # Errors
    /// [`ClientHandshakeError`]: close the connection without a Close frame (§7.2.2).
    pub fn receive(
        &mut self,
        input: &mut Input<'_>,
    ) -> Result<Option<Response>, ClientHandshakeError> {
        loop {
            match mem::replace(&mut self.state, ClientState::Done) {
                ClientState::Head(mut reader) => {
                    if !reader.read(input)? {
                        self.state = ClientState::Head(reader);
                        return Ok(None);
                    }
                    let head = reader.into_response()?;
                    self.state = match head.status {
                        101 => return self.check(head).map(Some),
                        100..200 => {
                            self.interim += 1;
                            if self.interim > MAX_INTERIM {
                                return Err(ClientHandshakeError::TooManyInterim);
                            }
                            ClientState::Head(HeadReader::new(HeadKind::Response, self.limits))
                        }
                        status => {
                            let body = BodyReader::new(status, &head.headers, self.limits.body());
                            let response = Response::with_headers(status, head.headers);
                            ClientState::Body(Box::new(response), body)
                        }
                    };
                }
                ClientState::Body(response, mut body) => {
                    if body.read(input) {
                        return Err(refused(response, body, false));
                    }
                    self.state = ClientState::Body(response, body);
                    return Ok(None);
                }
                ClientState::Done => return Err(ClientHandshakeError::Finished),
            }
        }
    }

    /// Tells the handshake that the connection ended. Returns the error for that, or
    /// [`ClientHandshakeError::Refused`] if the server had refused and its body ended here or was
    /// cut off.
    pub fn receive_eof(&mut self) -> ClientHandshakeError {
        self.end(true, |received| ClientHandshakeError::Eof { received })
    }

    /// Tells the handshake that your deadline has passed. Returns the error for that, or
    /// [`ClientHandshakeError::Refused`] with the body so far if the server had refused.
    pub fn timed_out(&mut self) -> ClientHandshakeError {
        self.end(false, |received| ClientHandshakeError::TimedOut { received })
    }

    fn end(
        &mut self,
        eof: bool,
        in_head: impl Fn(usize) -> ClientHandshakeError,
    ) -> ClientHandshakeError {
        match mem::replace(&mut self.state, ClientState::Done) {
            ClientState::Head(reader) => in_head(reader.received()),
            ClientState::Body(response, body) => refused(response, body, eof),
            ClientState::Done => ClientHandshakeError::Finished,
        }
    }

    /// Checks a 101 as §4.1 demands.
    fn check(&self, head: ResponseHead) -> Result<Response, ClientHandshakeError> {
        use ClientHandshakeError as Error;
        let headers = &head.headers;
        // Step 2; a value that lists more is not "websocket" either.
        match headers.once("Upgrade") {
            Once::One(upgrade) if upgrade.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(Error::Upgrade),
        }
        // Step 3.
        if !headers.list_contains("Connection", "upgrade") {
            return Err(Error::Connection);
        }
        // Step 4, and §11.3.3: once.
        match headers.once("Sec-WebSocket-Accept") {
            Once::One(accept) if *accept == self.accept => {}
            _ => return Err(Error::Accept),
        }
        // RFC 9112 §6.3, rule 1: a 101 ends at the empty line even if its sender wrongly sent
        // Content-Length or Transfer-Encoding.
        let subprotocol = self.check_subprotocol(headers)?;
        // Step 5: names are compared here; the extension judges its parameters.
        let extensions = extension::parse_accepted(headers.get_all("Sec-WebSocket-Extensions"))
            .map_err(Error::Extensions)?;
        let offered = |name| self.parts.extensions.iter().any(|offer| offer.name() == name);
        if let Some(unknown) = extensions.iter().find(|extension| !offered(extension.name())) {
            return Err(Error::ExtensionNotOffered(unknown.name().to_string()));
        }
        Ok(Response::switching(head.headers, subprotocol, extensions))
    }

    /// Step 6, and §11.3.4: one, exactly as offered, or none.
    fn check_subprotocol(&self, headers: &Headers) -> Result<Option<String>, ClientHandshakeError> {
        use ClientHandshakeError as Error;
        let offered = &self.parts.subprotocols;
        match headers.once("Sec-WebSocket-Protocol") {
            Once::Missing if self.parts.require_subprotocol && !offered.is_empty() => {
                Err(Error::NoSubprotocol)
            }
            Once::Missing => Ok(None),
            Once::Repeated => Err(Error::RepeatedSubprotocol),
            Once::One(answer) => match offered.iter().find(|offer| offer.as_bytes() == answer) {
                Some(offer) => Ok(Some(offer.clone())),
                None => {
                    let answer = String::from_utf8_lossy(answer).into_owned();
                    Err(Error::SubprotocolNotOffered(answer))
                }
            },
        }
    }
}

#[cold]
fn refused(mut response: Box<Response>, body: BodyReader, eof: bool) -> ClientHandshakeError {
    (response.body, response.truncated) = body.finish(eof);
    ClientHandshakeError::Refused(response)
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            ClientState::Head(_) => "Head",
            ClientState::Body(..) => "Body",
            ClientState::Done => "Done",
        };
        f.debug_struct("ClientHandshake").field("state", &state).finish_non_exhaustive()
    }
}

/// Why a client's handshake failed (RFC 6455 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientHandshakeError {
    /// A final status other than 101: the server declines, redirects, or asks for credentials.
    /// Redirects are not followed. If you follow one, do not send credentials to another origin and
    /// do not leave TLS.
    Refused(Box<Response>),
    /// The bytes are not the head of an HTTP/1.1 response, or exceed the limits.
    Head(HeadError),
    /// The connection ended before the response was complete.
    Eof {
        /// How many bytes of a response came before.
        received: usize,
    },
    /// The deadline passed before the response was complete.
    TimedOut {
        /// How many bytes of a response came before.
        received: usize,
    },
    /// Too many 1xx responses before a final one.
    TooManyInterim,
    /// `Upgrade` in the 101 is not once `websocket`.
    Upgrade,
    /// `Connection` in the 101 has no token `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` in the 101 is missing, repeated, or does not answer the key.
    Accept,
    /// A 101 with a subprotocol that was not offered.
    SubprotocolNotOffered(String),
    /// A 101 with more than one `Sec-WebSocket-Protocol`.
    RepeatedSubprotocol,
    /// A 101 without subprotocol, though [`Request::require_subprotocol`] asked for one.
    NoSubprotocol,
    /// `Sec-WebSocket-Extensions` in the 101 is malformed (§9.1).
    Extensions(InvalidExtension),
    /// A 101 with an extension that was not offered.
    ExtensionNotOffered(String),
    /// A 101 that answers the offer of permessage-deflate wrongly (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    Deflate(crate::deflate::InvalidDeflate),
    /// The handshake is over: an earlier call returned its result.
    Finished,
}

impl fmt::Display for ClientHandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(response) => {
                write!(f, "the server answered {response}, not 101")?;
                if let Some(line) = response.first_line() {
                    write!(f, ": {line:?}")?;
                }
                f.write_str(hint(response.status()))
            }
            Self::Head(error) => write!(f, "no valid HTTP response: {error}"),
            Self::Eof { received: 0 } => f.write_str("the connection ended without a response"),
            Self::Eof { received } => {
                write!(f, "the connection ended {received} bytes into the response's head")
            }
            Self::TimedOut { received: 0 } => f.write_str("the server did not answer in time"),
            Self::TimedOut { received } => {
                write!(f, "the server sent only {received} bytes of its response in time")
            }
            Self::TooManyInterim => write!(f, "more than {MAX_INTERIM} interim (1xx) responses"),
            Self::Upgrade => f.write_str(
                "Upgrade in the 101 response is missing, repeated, or not \"websocket\"",
            ),
            Self::Connection => f.write_str(
                "Connection in the 101 response is missing, or does not list \"Upgrade\"",
            ),
            Self::Accept => f.write_str(
                "Sec-WebSocket-Accept in the 101 response is missing, repeated, \
                 or does not answer the key",
            ),
            Self::SubprotocolNotOffered(name) => {
                write!(f, "the server chose subprotocol {name:?}, which was not offered")
            }
            Self::RepeatedSubprotocol => f.write_str("the server chose two subprotocols"),
            Self::NoSubprotocol => f.write_str("the server chose none of the offered subprotocols"),
            Self::Extensions(error) => write!(f, "Sec-WebSocket-Extensions is malformed: {error}"),
            Self::ExtensionNotOffered(name) => {
                write!(f, "the server chose extension {name:?}, which was not offered")
            }
            #[cfg(feature = "deflate")]
            Self::Deflate(error) => {
                write!(f, "the server answered the offer of compression wrongly: {error}")
            }
            Self::Finished => f.write_str("the handshake is over: start a new one"),
        }
    }
}

/// The usual cause of a refusal, where its status does not name it.
fn hint(status: u16) -> &'static str {
    match status {
        // A server that saw HTTP/1.1 and Upgrade does not answer so.
        426 | 505 => {
            " (a proxy may not pass the upgrade on: in nginx set `proxy_http_version 1.1` and the \
             headers Upgrade and Connection)"
        }
        200..=299 => " (is there a WebSocket at this URL?)",
        301 | 302 | 303 | 307 | 308 => " (redirects are not followed: use the URL in Location)",
        _ => "",
    }
}

impl core::error::Error for ClientHandshakeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            Self::Extensions(error) => Some(error),
            #[cfg(feature = "deflate")]
            Self::Deflate(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HeadError> for ClientHandshakeError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Extension;
    use ClientHandshakeError as Error;
    use alloc::{format, string::String, vec::Vec};
    use core::convert::Infallible;

    /// Counts up: good enough to be different each time.
    struct Counter(u8);

    impl rand::TryRng for Counter {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            for byte in bytes {
                self.0 = self.0.wrapping_add(1);
                *byte = self.0;
            }
            Ok(())
        }
    }

    impl rand::TryCryptoRng for Counter {}

    /// The answer to the key of `Counter(0)`.
    fn accept() -> String {
        accept::accept_key("AQIDBAUGBwgJCgsMDQ4PEA==")
    }

    fn request() -> Request {
        Request::new("ws://h/")
            .subprotocol("v2")
            .subprotocol("v1")
            .extension(Extension::new("foo").unwrap())
            .extension(Extension::new("bar").unwrap())
    }

    fn handshake(request: Request) -> ClientHandshake {
        ClientHandshake::new(request, &mut Counter(0)).unwrap()
    }

    fn receive(handshake: &mut ClientHandshake, text: &str) -> Result<Option<Response>, Error> {
        handshake.receive(&mut Input::new(&mut text.as_bytes().to_vec()))
    }

    /// A good 101, with `from` replaced by `to`.
    fn answer(from: &str, to: &str) -> String {
        let text = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept()
        );
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    }

    /// The result of a 101 with `from` replaced by `to`, however it is cut.
    fn result(from: &str, to: &str) -> Result<Response, Error> {
        let text = answer(from, to);
        let whole = receive(&mut handshake(request()), &text);
        let mut dripped = handshake(request());
        let mut bytes = text.into_bytes();
        for byte in &mut bytes {
            match dripped.receive(&mut Input::new(core::slice::from_mut(byte))) {
                Ok(None) => {}
                end => {
                    assert_eq!(end, whole);
                    return end.map(Option::unwrap);
                }
            }
        }
        panic!("no result for {to:?}");
    }

    /// §4.1, checklist 11: a new key each time, from the generator that was given.
    #[test]
    fn section_4_1_key() {
        let mut rng = Counter(0);
        let keys: Vec<String> = (0..2)
            .map(|_| ClientHandshake::new(request(), &mut rng).unwrap())
            .map(|handshake| String::from_utf8(handshake.request_bytes().to_vec()).unwrap())
            .collect();
        assert!(keys[0].contains("\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"));
        assert!(keys[1].contains("\r\nSec-WebSocket-Key: ERITFBUWFxgZGhscHR4fIA==\r\n"));
        // An unsized generator will do.
        let rng: &mut dyn CryptoRng = &mut rng;
        assert!(ClientHandshake::new(request(), rng).is_ok());
    }

    /// §4.1, checklist 16 to 21, 34 to 37, 127 and 130: answers that open the connection.
    #[test]
    fn section_4_1_accepted() {
        let good = [
            ("websocket", "WebSocket"),
            ("Upgrade: websocket", "UPGRADE:websocket \t"),
            ("Connection: Upgrade", "connection: keep-alive, uPGRADE"),
            ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: ,Upgrade,"),
            ("Sec-WebSocket-Accept: ", "sec-websocket-accept: \t "),
            ("\r\n\r\n", "\t \r\n\r\n"),
            ("\r\n", "\n"),
            ("101 Switching Protocols", "101 "),
            ("101 Switching Protocols", "101"),
            ("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8, 7\r\n\r\n"),
            ("\r\n\r\n", "\r\nX-Unknown: \u{ff}\r\n\r\n"),
            ("HTTP/1.1", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1"),
        ];
        for (from, to) in good {
            let response = result(from, to).unwrap_or_else(|error| panic!("{to:?}: {error}"));
            assert_eq!((response.status(), response.subprotocol()), (101, None), "{to:?}");
            assert!(response.extensions().is_empty());
        }
    }

    /// §4.1 step 2 and 3, checklist 16; RFC 9110 §7.6.1 and §7.8, checklist 127.
    #[test]
    fn section_4_1_upgrade_and_connection() {
        for to in [
            "",
            "Upgrade: \r\n",
            "Upgrade: h2c\r\n",
            "Upgrade: websocket, h2c\r\n",
            "Upgrade: web socket\r\n",
            "Upgrade: websocket/13\r\n",
            "Upgrade: websocket\r\nUpgrade: websocket\r\n",
        ] {
            assert_eq!(result("Upgrade: websocket\r\n", to), Err(Error::Upgrade), "{to:?}");
        }
        for to in [
            "",
            "Connection: \r\n",
            "Connection: close\r\n",
            "Connection: Upgraded\r\n",
            "Connection: Up grade\r\n",
            "Connection: \"Upgrade\"\r\n",
        ] {
            assert_eq!(result("Connection: Upgrade\r\n", to), Err(Error::Connection), "{to:?}");
        }
    }

    /// §4.1 step 4 and §11.3.3, checklist 17, 35 and 37.
    #[test]
    fn section_4_1_accept() {
        let line = format!("Sec-WebSocket-Accept: {}\r\n", accept());
        let upper = line.to_ascii_uppercase();
        let twice = format!("{line}{line}");
        let two = line.replace("\r\n", ", x\r\n");
        let long = format!("Sec-WebSocket-Accept: {}\r\n", "A".repeat(4000));
        let bad = [
            "",
            "Sec-WebSocket-Accept:\r\n",
            &upper,
            &twice,
            &two,
            &long,
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        ];
        for to in bad {
            assert_eq!(result(&line, to), Err(Error::Accept), "{to:?}");
        }
    }

    /// Known failure 22: an Accept of any length and content fails, and no more.
    #[test]
    fn known_failure_22_accept_of_any_length() {
        for length in (0..100).chain([255, 256, 1000, 1023, 4095, 4096]) {
            for fill in ["A", "=", "/", "\u{ff}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
                let value = fill.repeat(length);
                if value.len() < 8192 {
                    assert_eq!(result(&accept(), &value), Err(Error::Accept), "{length} {fill}");
                }
            }
        }
    }

    /// §4.1 step 6, §4.2.2 and §11.3.4, checklist 19, 20, 21 and 35.
    #[test]
    fn section_4_1_subprotocol() {
        let with = |line: &str| result("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
        let chosen = with("Sec-WebSocket-Protocol: v1").unwrap();
        assert_eq!(chosen.subprotocol(), Some("v1"));
        for wrong in ["v3", "V1", "", "v1, v2", "v1 v2", "v", "v1,", "\u{e9}"] {
            let error = with(&format!("Sec-WebSocket-Protocol: {wrong}"));
            assert_eq!(error, Err(Error::SubprotocolNotOffered(wrong.into())));
        }
        let twice = with("Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v1");
        assert_eq!(twice, Err(Error::RepeatedSubprotocol));
        // None was offered.
        let text = answer("\r\n\r\n", "\r\nSec-WebSocket-Protocol: v1\r\n\r\n");
        let error = receive(&mut handshake(Request::new("ws://h/")), &text);
        assert_eq!(error, Err(Error::SubprotocolNotOffered("v1".into())));
    }

    /// Checklist 20: none of the offered, by policy.
    #[test]
    fn section_4_2_2_no_subprotocol_is_a_policy() {
        let text = answer("", "");
        let strict =
            |request: Request| receive(&mut handshake(request.require_subprotocol(true)), &text);
        assert!(receive(&mut handshake(request()), &text).unwrap().is_some());
        assert_eq!(strict(request()), Err(Error::NoSubprotocol));
        assert!(strict(Request::new("ws://h/")).unwrap().is_some());
    }

    /// §4.1 step 5 and §9.1, checklist 18, 36, 91, 92, 94 and 95.
    #[test]
    fn section_9_1_extensions() {
        let with = |line: &str| result("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
        let response = with("Sec-WebSocket-Extensions: bar; x=1, foo").unwrap();
        let names: Vec<_> = response.extensions().iter().map(Extension::name).collect();
        assert_eq!(names, ["bar", "foo"]);
        // Erratum 3433: several lines are fine.
        let split = with("Sec-WebSocket-Extensions: bar; x=1\r\nSec-WebSocket-Extensions: foo");
        assert_eq!(split.unwrap().extensions(), response.extensions());
        for unknown in ["baz", "foo, baz", "Foo"] {
            let error = with(&format!("Sec-WebSocket-Extensions: {unknown}"));
            assert!(matches!(error, Err(Error::ExtensionNotOffered(_))), "{unknown}");
        }
        for malformed in ["", ",", "foo;", "foo bar", "foo; a=\"b c\""] {
            let error = with(&format!("Sec-WebSocket-Extensions: {malformed}"));
            assert!(matches!(error, Err(Error::Extensions(_))), "{malformed}");
        }
    }

    /// A4: RFC 9112 §6.3, rule 1: a 101 ends at the empty line whatever its fields say, and what
    /// follows are frames. A server must not send these fields (§6.1, RFC 9110 §8.6).
    #[test]
    fn rfc9112_6_3_a_101_ends_at_the_empty_line() {
        for line in [
            "Content-Length: 0",
            "Content-Length: 5",
            "Content-Length: x",
            "Content-Length: 0\r\nContent-Length: 1",
            "Transfer-Encoding: chunked",
            "Content-Length: 0\r\nTransfer-Encoding: x",
            "Trailer: x\r\nTransfer-Encoding: gzip, chunked",
        ] {
            let text = answer("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
            let mut bytes = [text.as_bytes(), b"\x81\x05Hello"].concat();
            let mut input = Input::new(&mut bytes);
            let response = handshake(request()).receive(&mut input).unwrap().unwrap();
            assert_eq!((response.status(), response.body()), (101, &[][..]), "{line}");
            assert_eq!(input.as_bytes(), b"\x81\x05Hello", "{line}");
            // And so does an interim response in front of it.
            let text = format!("HTTP/1.1 103 \r\n{line}\r\n\r\n{}", answer("", ""));
            assert!(receive(&mut handshake(request()), &text).unwrap().is_some(), "{line}");
        }
    }

    #[test]
    fn section_4_1_http_version() {
        assert_eq!(result("HTTP/1.1", "HTTP/1.0"), Err(Error::Head(HeadError::Version)));
        assert_eq!(result("HTTP/1.1", "HTTP/2.0"), Err(Error::Head(HeadError::Version)));
    }

    /// §4.2.2, checklist 22: frames in the same read are left in the input.
    #[test]
    fn section_4_2_2_frames_may_follow_at_once() {
        let mut bytes = [answer("", "").as_bytes(), b"\x81\x05Hello"].concat();
        let mut input = Input::new(&mut bytes);
        assert!(handshake(request()).receive(&mut input).unwrap().is_some());
        assert_eq!(input.as_bytes(), b"\x81\x05Hello");
    }

    /// RFC 9110 §15.2, checklist 131: a bounded number of other 1xx responses.
    #[test]
    fn rfc9110_15_2_interim_responses() {
        let interim = "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nLink: x\r\n\r\n";
        let text = |count| interim.repeat(count) + &answer("", "");
        let response = receive(&mut handshake(request()), &text(MAX_INTERIM)).unwrap().unwrap();
        assert_eq!(response.headers().get("Link"), None);
        let error = receive(&mut handshake(request()), &text(MAX_INTERIM + 1));
        assert_eq!(error, Err(Error::TooManyInterim));
    }

    /// §4.1 step 1, checklist 15 and 23: any other status is HTTP's, with headers and body.
    #[test]
    fn section_4_1_other_statuses() {
        for status in [200, 204, 301, 401, 403, 426, 500, 999] {
            let text = format!("HTTP/1.1 {status} \r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
            let Err(Error::Refused(response)) = receive(&mut handshake(request()), &text) else {
                panic!("{status}");
            };
            assert_eq!((response.status(), response.body()), (status, b"".as_slice()));
            assert_eq!(response.headers().get("location"), Some("/x"));
        }
        let mut waiting = handshake(request());
        let text = "HTTP/1.0 403 No\r\nContent-Length: 4\r\n\r\nno";
        assert_eq!(receive(&mut waiting, text), Ok(None));
        let Err(Error::Refused(response)) = receive(&mut waiting, "pe") else { panic!() };
        assert_eq!((response.body(), response.is_truncated()), (b"nope".as_slice(), false));
        assert_eq!(
            Error::Refused(response).to_string(),
            "the server answered 403 Forbidden, not 101: \"nope\""
        );
    }

    #[test]
    fn the_body_of_a_refusal_is_bounded() {
        let limits = HeadLimits::new().max_body(10);
        let mut limited = handshake(request()).limits(limits);
        let text = "HTTP/1.1 500 \r\nContent-Length: 1000000\r\n\r\n0123456789abc";
        let Err(Error::Refused(response)) = receive(&mut limited, text) else { panic!() };
        assert_eq!((response.body(), response.is_truncated()), (b"0123456789".as_slice(), true));
        let mut limited = handshake(request()).limits(limits.max_size(20));
        let error = receive(&mut limited, &answer("", ""));
        assert_eq!(error, Err(Error::Head(HeadError::TooLarge { limit: 20 })));
    }

    #[test]
    fn the_end_of_the_connection() {
        assert_eq!(handshake(request()).receive_eof(), Error::Eof { received: 0 });
        assert_eq!(handshake(request()).timed_out(), Error::TimedOut { received: 0 });
        let mut cut = handshake(request());
        assert_eq!(receive(&mut cut, "HTTP/1.1 101"), Ok(None));
        assert_eq!(cut.receive_eof(), Error::Eof { received: 12 });
        // A body that lasts to the end, and one that is late, so that nobody knows how much is
        // missing.
        type End = fn(&mut ClientHandshake) -> Error;
        let ends: [(End, bool); 2] =
            [(ClientHandshake::receive_eof, false), (ClientHandshake::timed_out, true)];
        for (end, truncated) in ends {
            let mut body = handshake(request());
            assert_eq!(receive(&mut body, "HTTP/1.1 502 \r\n\r\noops"), Ok(None));
            let Error::Refused(response) = end(&mut body) else { panic!() };
            assert_eq!((response.status(), response.body()), (502, b"oops".as_slice()));
            assert_eq!(response.is_truncated(), truncated);
        }
    }

    #[test]
    fn calls_after_the_end_are_errors() {
        for text in [answer("", ""), answer("101", "404") + "x", "nonsense".into()] {
            let mut over = handshake(request());
            let _ = receive(&mut over, &text);
            let _ = over.receive_eof();
            assert_eq!(receive(&mut over, &text), Err(Error::Finished));
            assert_eq!(over.receive_eof(), Error::Finished);
            assert_eq!(over.timed_out(), Error::Finished);
        }
    }

    /// Each error has a row in the guide. A new error does not compile here until you name it.
    #[test]
    fn the_specification_has_every_error() {
        macro_rules! names {
            ($($name:ident),*) => {{
                let _ = |error: &Error| match error {
                    $(Error::$name { .. } => {})*
                    #[cfg(feature = "deflate")]
                    Error::Deflate(_) => {} // whoever negotiates it tells
                };
                [$(stringify!($name)),*]
            }};
        }
        let names = names![
            Refused,
            Head,
            Eof,
            TimedOut,
            TooManyInterim,
            Upgrade,
            Connection,
            Accept,
            SubprotocolNotOffered,
            RepeatedSubprotocol,
            NoSubprotocol,
            Extensions,
            ExtensionNotOffered,
            Finished
        ];
        let page = include_str!("../guide/specification/handshake.md");
        let (_, client) = page.split_once("# The client's states").unwrap();
        for name in names {
            assert!(client.contains(&format!(": {name}")), "{name}");
        }
    }
}
