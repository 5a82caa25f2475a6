//! Why a server rejects a request.

use super::{
    head::HeadError, headers::InvalidHeader, response::Response, subprotocol::InvalidSubprotocol,
};
use crate::extension::InvalidExtension;
use alloc::format;
use core::fmt;

/// Why a server rejects a request, and the response to it (RFC 6455 §4.2).
///
/// Send the [`response`](Self::response) and close the connection without a Close frame (§7.2.2).
///
/// ```
/// use fullduplex::Input;
/// use fullduplex::handshake::{HeadLimits, RejectionReason, ServerHandshake};
///
/// let mut wire = *b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// let mut server = ServerHandshake::new(HeadLimits::default());
/// let rejection = server.receive(&mut Input::new(&mut wire)).unwrap_err();
/// assert_eq!(rejection.reason(), RejectionReason::NotUpgrade);
/// assert_eq!(rejection.response().status(), 426);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    reason: RejectionReason,
    detail: Detail,
    /// Whether it answers a HEAD request.
    answers_head: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Detail {
    None,
    /// Another method than GET and HEAD, on a port that serves plain HTTP too.
    PlainToo,
    Head(HeadError),
    Header(InvalidHeader),
    Subprotocol(InvalidSubprotocol),
    Extension(InvalidExtension),
}

impl Rejection {
    #[cold]
    pub(super) fn new(reason: RejectionReason) -> Self {
        Self::with(reason, Detail::None)
    }

    #[cold]
    fn with(reason: RejectionReason, detail: Detail) -> Self {
        Self { reason, detail, answers_head: false }
    }

    /// A method that is not allowed; `plain` says that HEAD is.
    pub(super) fn method(plain: bool) -> Self {
        let detail = if plain { Detail::PlainToo } else { Detail::None };
        Self::with(RejectionReason::Method, detail)
    }

    /// As the answer to a HEAD request, if it is one.
    pub(super) fn answering_head(self, is_head: bool) -> Self {
        Self { answers_head: is_head, ..self }
    }

    /// The reason.
    pub fn reason(&self) -> RejectionReason {
        self.reason
    }

    /// Whether the connection ended before the request was complete. The client may be gone.
    pub fn is_eof(&self) -> bool {
        self.reason == RejectionReason::Eof
    }

    /// The response to send: the status of [`RejectionReason::status`], the headers that HTTP
    /// demands with it, and a line of text that says why. To a HEAD request it has no body (RFC
    /// 9110 §9.3.2).
    pub fn response(&self) -> Response {
        let response = Response::new(self.reason.status())
            .with_header("Content-Type", "text/plain; charset=utf-8");
        // RFC 9110 §15.5.6, §15.5.22; RFC 6455 §4.4.
        let response = match (self.reason.status(), &self.detail) {
            (405, Detail::PlainToo) => response.with_header("Allow", "GET, HEAD"),
            (405, _) => response.with_header("Allow", "GET"),
            (426, _) => response
                .with_header("Upgrade", "websocket")
                .with_header("Sec-WebSocket-Version", "13"),
            _ => response,
        };
        response.with_body(format!("{}\n", self.why())).answering_head(self.answers_head)
    }

    fn why(&self) -> Why<'_> {
        Why(self)
    }
}

/// Repeats nothing that the client sent, neither to it nor into logs.
struct Why<'a>(&'a Rejection);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rejection { reason, detail, .. } = self.0;
        reason.fmt(f)?;
        match detail {
            Detail::None | Detail::PlainToo | Detail::Header(_) | Detail::Subprotocol(_) => Ok(()),
            Detail::Head(HeadError::Version) => Ok(()), // the reason says all of it
            Detail::Head(detail) => write!(f, ": {detail}"),
            Detail::Extension(detail) => write!(f, ": {detail}"),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upgrade request rejected with {}: {}", self.reason.status(), self.why())
    }
}

impl core::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.detail {
            Detail::None | Detail::PlainToo => None,
            Detail::Head(error) => Some(error),
            Detail::Header(error) => Some(error),
            Detail::Subprotocol(error) => Some(error),
            Detail::Extension(error) => Some(error),
        }
    }
}

impl From<HeadError> for Rejection {
    fn from(error: HeadError) -> Self {
        let reason = match error {
            HeadError::TooLarge { .. } => RejectionReason::HeadTooLarge,
            HeadError::TooManyHeaders { .. } => RejectionReason::TooManyHeaders,
            HeadError::TargetTooLong { .. } => RejectionReason::TargetTooLong,
            HeadError::Version => RejectionReason::HttpVersion,
            HeadError::NotHttp | HeadError::Tls | HeadError::Invalid { .. } => {
                RejectionReason::Malformed
            }
        };
        Self::with(reason, Detail::Head(error))
    }
}

impl From<InvalidHeader> for Rejection {
    fn from(error: InvalidHeader) -> Self {
        Self::with(RejectionReason::Malformed, Detail::Header(error))
    }
}

impl From<InvalidSubprotocol> for Rejection {
    fn from(error: InvalidSubprotocol) -> Self {
        Self::with(RejectionReason::Subprotocols, Detail::Subprotocol(error))
    }
}

impl From<InvalidExtension> for Rejection {
    fn from(error: InvalidExtension) -> Self {
        Self::with(RejectionReason::Extensions, Detail::Extension(error))
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $status:literal $why:literal;)*) => {
        /// Why a request is rejected, with the status of the response.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RejectionReason {
            $($(#[$doc])* $name,)*
        }

        impl RejectionReason {
            /// The status of the response.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];
        }

        impl fmt::Display for RejectionReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $why,)*
                })
            }
        }
    };
}

reasons! {
    /// 400: not HTTP, or HTTP that breaks its grammar (RFC 9112).
    Malformed = 400 "malformed HTTP request";
    /// 400: `Host` is missing, repeated or invalid (RFC 9112 §3.2).
    Host = 400 "Host is missing, repeated or invalid";
    /// 400: the target is neither a resource name nor an absolute URI for this host (§4.2.1).
    Target = 400 "invalid request target";
    /// 400: `Transfer-Encoding`, or a `Content-Length` other than 0: an upgrade has no body.
    Body = 400 "an upgrade request cannot have a body";
    /// 400: `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64 (§4.2.1).
    Key = 400 "Sec-WebSocket-Key is missing, repeated or invalid";
    /// 400: more than one `Sec-WebSocket-Version` (§11.3.5).
    RepeatedVersion = 400 "Sec-WebSocket-Version is repeated";
    /// 400: `Origin` is repeated or not ASCII.
    InvalidOrigin = 400 "Origin is repeated or invalid";
    /// 400: `Sec-WebSocket-Protocol` is malformed, or names one twice.
    Subprotocols = 400 "Sec-WebSocket-Protocol is invalid";
    /// 400: `Sec-WebSocket-Extensions` is malformed (§9.1).
    Extensions = 400 "Sec-WebSocket-Extensions is invalid";
    /// 400: none of the server's subprotocols was offered, and one is required.
    NoSubprotocol = 400 "none of the offered subprotocols is supported";
    /// 400: the connection ended before the request was complete.
    Eof = 400 "the connection ended inside the request";
    /// 400: the handshake is over: an earlier call returned its result.
    Finished = 400 "the handshake is over";
    /// 403: the `Origin` is not allowed (§4.2.2, §10.2).
    Origin = 403 "origin not allowed";
    /// 405: not a GET (§4.2.1), nor a HEAD where
    /// [plain HTTP](super::ServerHandshake::receive_any) is served.
    Method = 405 "the method has to be GET";
    /// 408: the request took too long.
    TimedOut = 408 "the request took too long";
    /// 414: the target is longer than [`HeadLimits::max_target`](super::HeadLimits::max_target).
    TargetTooLong = 414 "request target too long";
    /// 426: no `Upgrade: websocket`, or no token `Upgrade` in `Connection` (§4.2.1).
    NotUpgrade = 426 "this server speaks only WebSocket: send the headers Upgrade and Connection \
        (a proxy may have dropped them)";
    /// 426: `Sec-WebSocket-Version` is missing or not 13 (§4.2.2, §4.4).
    Version = 426 "this server speaks only version 13 of WebSocket";
    /// 431: the head is larger than [`HeadLimits::max_size`](super::HeadLimits::max_size).
    HeadTooLarge = 431 "request head too large";
    /// 431: more fields than [`HeadLimits::max_headers`](super::HeadLimits::max_headers).
    TooManyHeaders = 431 "too many header fields";
    /// 505: a version of HTTP other than 1.1 (§4.2.1).
    HttpVersion = 505 "the HTTP version has to be 1.1 (a proxy may use 1.0: \
        in nginx set `proxy_http_version 1.1`)";
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    /// Every response can be sent, closes the connection and has what HTTP demands with its
    /// status: RFC 9110 §15.5.6, §15.5.22 and §7.8, RFC 6455 §4.4; checklist 27, 32 and 128.
    #[test]
    fn section_4_2_2_every_response() {
        for &reason in RejectionReason::ALL {
            let response = Rejection::new(reason).response();
            let text = String::from_utf8(response.to_bytes().unwrap()).unwrap();
            assert_eq!(response.status(), reason.status());
            assert!(text.starts_with(&format!("HTTP/1.1 {} ", reason.status())), "{text}");
            assert!(text.contains("\r\nConnection: close"), "{text}");
            let upgrade = reason.status() == 426;
            assert_eq!(text.contains("\r\nUpgrade: websocket\r\n"), upgrade, "{text}");
            assert_eq!(text.contains("\r\nConnection: close, Upgrade\r\n"), upgrade, "{text}");
            assert_eq!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"), upgrade, "{text}");
            assert_eq!(text.contains("\r\nAllow: GET\r\n"), reason.status() == 405, "{text}");
            assert_eq!(response.body(), format!("{reason}\n").as_bytes());
        }
    }

    /// Each reason has a row in the guide.
    #[test]
    fn the_specification_has_every_reason() {
        let page = include_str!("../guide/specification/handshake.md");
        for &reason in RejectionReason::ALL {
            let cell = format!(": {reason:?} + {}", reason.status());
            assert!(page.contains(&cell), "{cell}");
        }
    }

    #[test]
    fn nothing_from_the_client_is_echoed() {
        let rejection = Rejection::from(InvalidSubprotocol::NotToken("<script>".into()));
        assert!(!String::from_utf8_lossy(rejection.response().body()).contains("script"));
        let name = "<script>".into();
        let rejection = Rejection::from(InvalidHeader::Name(name));
        assert!(!String::from_utf8_lossy(rejection.response().body()).contains("script"));
    }
}
