//! A client's request.

use super::{
    headers::{self, Headers, InvalidHeader},
    subprotocol::{self, InvalidSubprotocol},
    url::{InvalidUrl, Url},
};
use crate::extension::{self, Extension};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::{convert::Infallible, fmt};

/// A client's request: a URL, headers, and offers of subprotocols and extensions.
///
/// You can chain calls without `?`: [`url`](Self::url) and
/// [`ClientHandshake::new`](super::ClientHandshake::new) return the first mistake. Where you only
/// have a URL, its text converts into a request.
///
/// ```
/// use fullduplex::handshake::Request;
///
/// let request = Request::new("wss://example.com/chat")
///     .header("Authorization", "Bearer t0ken")
///     .subprotocol("chat.v2")
///     .subprotocol("chat");
/// assert_eq!(request.url()?.port(), 443);
///
/// let wrong = Request::from("ws://example.com/").header("Host", "example.org");
/// let error = "header \"Host\" is written by the library: leave it out";
/// assert_eq!(wrong.url().unwrap_err().to_string(), error);
/// # Ok::<(), fullduplex::handshake::InvalidRequest>(())
/// ```
///
/// A user name and password in the URL become `Authorization: Basic`, unless you give that header
/// or both are empty. `Debug` hides credentials.
#[derive(Clone)]
pub struct Request {
    url: Result<Url, InvalidRequest>,
    headers: Headers,
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
    require_subprotocol: bool,
}

impl Request {
    /// Creates a request for `url`: text, or a parsed [`Url`].
    pub fn new<U>(url: U) -> Self
    where
        U: TryInto<Url>,
        U::Error: Into<InvalidRequest>,
    {
        Self {
            url: url.try_into().map_err(Into::into),
            headers: Headers::new(),
            subprotocols: Vec::new(),
            extensions: Vec::new(),
            require_subprotocol: false,
        }
    }

    /// Adds a header (§4.1 allows any). The library writes those of the handshake and of HTTP's
    /// framing: `Host`, `Upgrade`, `Connection`, `Sec-WebSocket-*`, `Content-Length`,
    /// `Transfer-Encoding`, `TE`, `Trailer`, `Expect`. Give none of them, and give `Authorization`,
    /// `Cookie`, `Origin` and other single fields only once.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        const ONCE: [&str; 6] =
            ["Authorization", "Proxy-Authorization", "Cookie", "Origin", "Referer", "User-Agent"];
        let once = ONCE.iter().any(|once| name.eq_ignore_ascii_case(once));
        let result = if headers::is_reserved(name) {
            Err(InvalidRequest::Reserved(name.to_string()))
        } else if once && self.headers.contains(name) {
            Err(InvalidRequest::Repeated(name.to_string()))
        } else {
            self.headers.append(name, value).map_err(InvalidRequest::Header)
        };
        self.keep(result)
    }

    /// Sets the `Origin` header (§4.1), such as `https://example.com`. Browsers always send it;
    /// other clients may.
    #[must_use]
    pub fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    /// Offers a subprotocol (§4.1), which has to be a token. Offer the preferred one first, none
    /// twice.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        let result = subprotocol::add(&mut self.subprotocols, name.as_bytes());
        self.keep(result.map_err(InvalidRequest::Subprotocol))
    }

    /// Sets whether the handshake fails if the server takes none of the offered subprotocols.
    /// Default: `false`, because the RFC lets a server take none (§4.2.2). In browsers it fails.
    #[must_use]
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.require_subprotocol = required;
        self
    }

    /// Offers an extension (§9.1). Offer the preferred one first, and only what you can speak.
    ///
    /// If your [`Config`](crate::Config) turns permessage-deflate on, the adapter offers it for
    /// you, or keeps the offers that you give here. If it does not, giving it here fails with
    /// [`InvalidRequest::DeflateOff`].
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The extensions offered so far.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Fails if permessage-deflate is offered, for an adapter that does not compress.
    #[cfg(feature = "std")]
    pub(crate) fn without_deflate(&self) -> Result<(), InvalidRequest> {
        match extension::has_deflate(&self.extensions) {
            true => Err(InvalidRequest::DeflateOff),
            false => Ok(()),
        }
    }

    /// The URL to connect to.
    ///
    /// # Errors
    /// The first mistake in any part of the request, so you see it before you open a connection
    /// (§4.1).
    pub fn url(&self) -> Result<&Url, InvalidRequest> {
        self.url.as_ref().map_err(Clone::clone)
    }

    /// Checks everything and writes the request with `key` (§4.1).
    pub(super) fn into_parts(self, key: &[u8]) -> Result<RequestParts, InvalidRequest> {
        let url = self.url?;
        let mut out = format!("GET {} HTTP/1.1\r\n", url.target()).into_bytes();
        let mut line = |name, value: &[u8]| headers::write_line(&mut out, name, value);
        line("Host", url.host_header().as_bytes());
        line("Upgrade", b"websocket");
        line("Connection", b"Upgrade");
        line("Sec-WebSocket-Key", key);
        line("Sec-WebSocket-Version", b"13");
        if !self.subprotocols.is_empty() {
            line("Sec-WebSocket-Protocol", self.subprotocols.join(", ").as_bytes());
        }
        if !self.extensions.is_empty() {
            line("Sec-WebSocket-Extensions", extension::join(&self.extensions).as_bytes());
        }
        if let (Some(name), false) = (url.username(), self.headers.contains("Authorization")) {
            let password = url.password().unwrap_or_default();
            // `ws://@h/` and `ws://:@h/` name nobody, to browsers either.
            if !(name.is_empty() && password.is_empty()) {
                let basic = STANDARD.encode(format!("{name}:{password}"));
                line("Authorization", format!("Basic {basic}").as_bytes());
            }
        }
        self.headers.write_to(&mut out);
        out.extend_from_slice(b"\r\n");
        Ok(RequestParts {
            bytes: out,
            subprotocols: self.subprotocols,
            extensions: self.extensions,
            require_subprotocol: self.require_subprotocol,
        })
    }

    /// Keeps the first mistake.
    fn keep(mut self, result: Result<(), InvalidRequest>) -> Self {
        if let (Err(error), Ok(_)) = (result, &self.url) {
            self.url = Err(error);
        }
        self
    }
}

/// The request as bytes, and the offers that the response is checked against.
pub(super) struct RequestParts {
    pub(super) bytes: Vec<u8>,
    pub(super) subprotocols: Vec<String>,
    pub(super) extensions: Vec<Extension>,
    pub(super) require_subprotocol: bool,
}

macro_rules! from_urls {
    ($($url:ty),*) => {$(
        impl From<$url> for Request {
            fn from(url: $url) -> Self {
                Self::new(url)
            }
        }
    )*};
}

from_urls!(&str, String, &String, Url);

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &self.url)
            .field("headers", &self.headers)
            .field("subprotocols", &self.subprotocols)
            .field("extensions", &self.extensions)
            .field("require_subprotocol", &self.require_subprotocol)
            .finish()
    }
}

/// A mistake in a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The URL is invalid.
    Url(InvalidUrl),
    /// A header that cannot be sent.
    Header(InvalidHeader),
    /// A header that only the library writes.
    Reserved(String),
    /// A header that was given twice and may be sent once.
    Repeated(String),
    /// A subprotocol that cannot be offered.
    Subprotocol(InvalidSubprotocol),
    /// permessage-deflate, offered by hand, where the adapter does not compress.
    DeflateOff,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::Header(error) => error.fmt(f),
            Self::Reserved(name) => headers::fmt_reserved(name, f),
            Self::Repeated(name) => write!(f, "header {name:?} is given twice: one is allowed"),
            Self::Subprotocol(error) => error.fmt(f),
            Self::DeflateOff => f.write_str(extension::DEFLATE_OFF),
        }
    }
}

impl core::error::Error for InvalidRequest {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Header(error) => Some(error),
            Self::Subprotocol(error) => Some(error),
            Self::Reserved(_) | Self::Repeated(_) | Self::DeflateOff => None,
        }
    }
}

impl From<InvalidUrl> for InvalidRequest {
    fn from(error: InvalidUrl) -> Self {
        Self::Url(error)
    }
}

impl From<Infallible> for InvalidRequest {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: Request) -> Result<String, InvalidRequest> {
        let parts = request.into_parts(b"AQIDBAUGBwgJCgsMDQ4PEA==")?;
        Ok(String::from_utf8(parts.bytes).unwrap())
    }

    /// §4.1, checklist 9, 10, 12 and 13: the whole request.
    #[test]
    fn section_4_1_request() {
        let plain = text(Request::new("ws://example.com")).unwrap();
        assert_eq!(
            plain,
            "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        let extension = Extension::new("foo").unwrap().param("bar", Some("1")).unwrap();
        let full = Request::new("wss://[::1]:8443/a%20b?c=d")
            .subprotocol("v2")
            .subprotocol("v1")
            .extension(extension)
            .extension(Extension::new("baz").unwrap())
            .origin("https://example.com")
            .header("Cookie", "a=b; c=d")
            .header("X", "1")
            .header("X", "2");
        assert_eq!(
            text(full).unwrap(),
            "GET /a%20b?c=d HTTP/1.1\r\nHost: [::1]:8443\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v2, v1\r\n\
             Sec-WebSocket-Extensions: foo; bar=1, baz\r\nOrigin: https://example.com\r\n\
             Cookie: a=b; c=d\r\nX: 1\r\nX: 2\r\n\r\n"
        );
    }

    /// RFC 7617 §2: userinfo becomes Basic credentials, unless others are given.
    #[test]
    fn rfc7617_2_userinfo() {
        let basic = text(Request::new("ws://Aladdin:open%20sesame@h/")).unwrap();
        let line = "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(basic.contains(line), "{basic}");
        assert!(basic.contains("\r\nHost: h\r\n") && basic.starts_with("GET / "));
        assert!(text(Request::new("ws://u@h/")).unwrap().contains("Authorization: Basic dTo=\r\n"));
        // D13: without name and password there is no credential; a password alone is one.
        for nobody in ["ws://@h/", "ws://:@h/", "ws://h/"] {
            assert!(!text(Request::new(nobody)).unwrap().contains("Authorization"), "{nobody}");
        }
        let password = text(Request::new("ws://:x@h/")).unwrap();
        assert!(password.contains("\r\nAuthorization: Basic Ong=\r\n"), "{password}");
        let bearer = Request::new("ws://a:b@h/").header("authorization", "Bearer x");
        let bearer = text(bearer).unwrap();
        assert!(bearer.contains("\r\nauthorization: Bearer x\r\n") && !bearer.contains("Basic"));
    }

    /// Known failure 33, checklist 134: no field that is given can add a line.
    #[test]
    fn known_failure_33_injection_is_refused() {
        let base = || Request::new("ws://h/");
        for evil in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\r\n\r\n", "a\x7f", "a\x0b"] {
            let requests = [
                base().header("X", evil),
                base().header(evil, "x"),
                base().origin(evil),
                base().subprotocol(evil),
                Request::new(format!("ws://{evil}/")),
                Request::new(format!("ws://h/{evil}")),
                Request::new(format!("ws://h/?{evil}")),
                Request::new(format!("ws://u:{evil}@h/")),
            ];
            for request in requests {
                let shown = request.clone();
                assert!(request.url().is_err(), "{shown:?}");
                assert!(text(request).is_err(), "{shown:?}");
            }
            assert!(Extension::new(evil).is_err());
        }
    }

    #[test]
    fn own_headers_cannot_be_given() {
        for name in [
            "Host",
            "host",
            "UPGRADE",
            "Connection",
            "Sec-WebSocket-Key",
            "sec-websocket-version",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Anything",
            "Content-Length",
            "Transfer-Encoding",
            "TE",
            "Trailer",
            "Expect",
            "Keep-Alive",
        ] {
            let error = text(Request::new("ws://h/").header(name, "x"));
            assert_eq!(error, Err(InvalidRequest::Reserved(name.into())));
        }
        // RFC 9110 §5.3, checklist 132.
        for name in ["Authorization", "Cookie", "Origin"] {
            let error = text(Request::new("ws://h/").header(name, "x").header(name, "y"));
            assert_eq!(error, Err(InvalidRequest::Repeated(name.into())));
        }
        let twice = Request::new("ws://h/").subprotocol("a").subprotocol("a");
        assert!(matches!(text(twice), Err(InvalidRequest::Subprotocol(_))));
        assert!(text(Request::new("ws://h/").subprotocol("")).is_err());
    }

    #[test]
    fn the_first_mistake_is_kept() {
        let request = Request::new("http://h/").header("Host", "x").subprotocol("");
        assert!(matches!(request.url(), Err(InvalidRequest::Url(_))));
        let request = Request::new("ws://h/").header("Host", "x").subprotocol("").header("X", "y");
        assert_eq!(request.url(), Err(InvalidRequest::Reserved("Host".into())));
    }

    #[test]
    fn debug_hides_credentials() {
        let request = Request::new("ws://user:secret@h/?token=secret")
            .header("Cookie", "secret")
            .header("Proxy-Authorization", "secret");
        let text = format!("{request:?}");
        assert!(!text.contains("secret") && !text.contains("user"), "{text}");
    }

    #[test]
    fn conversions() {
        let url = Url::parse("ws://h/x").unwrap();
        let owned = url.to_string();
        let requests: [Request; 4] =
            ["ws://h/x".into(), (&owned).into(), owned.clone().into(), url.clone().into()];
        for request in requests {
            assert_eq!(request.url(), Ok(&url));
        }
    }
}
