//! A checked upgrade request.

use super::{
    accept,
    acceptance::{Acceptance, InvalidAcceptance},
    head::RequestHead,
    headers::{Headers, Once},
    http::{HttpRequest, accessors},
    rejection::{Rejection, RejectionReason},
    response::Response,
    subprotocol,
};
use crate::extension::{self, Extension};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// A request for an upgrade to WebSocket that passed all checks of RFC 6455 §4.2.1.
///
/// You get it from [`ServerHandshake::receive`](super::ServerHandshake::receive), or from
/// [`from_parts`](Self::from_parts) if another HTTP server read the request. Your application
/// decides the rest: whether the resource exists, who may use it, and from which origin.
///
/// ```
/// use fullduplex::handshake::{Acceptance, UpgradeRequest};
///
/// let request = UpgradeRequest::from_parts("GET", "/chat?room=1", (1, 1), [
///     ("Host", "example.com"),
///     ("Upgrade", "websocket"),
///     ("Connection", "keep-alive, Upgrade"),
///     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
///     ("Sec-WebSocket-Version", "13"),
///     ("Cookie", "theme=dark; session=17"),
/// ])?;
/// assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
/// assert_eq!(request.cookies().nth(1), Some(("session", "17")));
///
/// let response = request.accept(&Acceptance::new())?;
/// let accept = response.headers().get("Sec-WebSocket-Accept");
/// assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `Debug` hides credentials, and the query, which often holds a token.
#[derive(Clone)]
pub struct UpgradeRequest {
    request: HttpRequest,
    accept: [u8; accept::ACCEPT_LEN],
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
}

accessors!(UpgradeRequest, request);

impl UpgradeRequest {
    /// The origin of the page that makes the request; `None` for most clients other than browsers.
    /// Those can send any origin, so it proves nothing about them (§10.1). Check it with an
    /// [`OriginPolicy`](super::OriginPolicy).
    pub fn origin(&self) -> Option<&str> {
        self.header("Origin")
    }

    /// The subprotocols that the client offers, its preferred one first.
    pub fn subprotocols(&self) -> impl ExactSizeIterator<Item = &str> {
        self.subprotocols.iter().map(String::as_str)
    }

    /// The extensions that the client offers, its preferred one first. A name can come several
    /// times with different parameters.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The 101 response that accepts this request (§4.2.2).
    ///
    /// # Errors
    /// [`InvalidAcceptance`] if `acceptance` has a subprotocol or an extension that was not
    /// offered, or a header that cannot be sent. That is a mistake in your server: answer the
    /// client with status 500.
    pub fn accept(&self, acceptance: &Acceptance) -> Result<Response, InvalidAcceptance> {
        if let Some(error) = &acceptance.error {
            return Err(error.clone());
        }
        let mut headers = Headers::new();
        headers.push("Upgrade", b"websocket");
        headers.push("Connection", b"Upgrade");
        headers.push("Sec-WebSocket-Accept", &self.accept);
        if let Some(name) = &acceptance.subprotocol {
            if !self.subprotocols.contains(name) {
                return Err(InvalidAcceptance::SubprotocolNotOffered(name.clone()));
            }
            headers.push("Sec-WebSocket-Protocol", name.as_bytes());
        }
        let offered = |name| self.extensions.iter().any(|offer| offer.name() == name);
        if let Some(unknown) = acceptance.extensions.iter().find(|e| !offered(e.name())) {
            return Err(InvalidAcceptance::ExtensionNotOffered(unknown.name().to_string()));
        }
        if !acceptance.extensions.is_empty() {
            let line = extension::join(&acceptance.extensions);
            headers.push("Sec-WebSocket-Extensions", line.as_bytes());
        }
        for (name, value) in acceptance.headers.iter() {
            headers.push(name, value);
        }
        let Acceptance { subprotocol, extensions, .. } = acceptance.clone();
        Ok(Response::switching(headers, subprotocol, extensions))
    }

    /// Checks a request that another HTTP server has parsed, as strictly as
    /// [`ServerHandshake::receive`](super::ServerHandshake::receive). `version` is `(1, 1)` for
    /// HTTP/1.1.
    ///
    /// Answer with all headers of [`accept`](Self::accept)'s response. Then the connection belongs
    /// to WebSocket.
    ///
    /// # Errors
    /// [`Rejection`]: send its response and close the connection.
    pub fn from_parts<N, V>(
        method: &str,
        target: &str,
        version: (u8, u8),
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Rejection>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut fields = Headers::new();
        for (name, value) in headers {
            fields.append(name.as_ref(), value)?;
        }
        let (method, target) = (method.to_string(), target.to_string());
        let head = RequestHead { method, target, version, headers: fields };
        Self::check(HttpRequest::check(head, false)?)
    }

    /// Makes the other checks of §4.2.1: that this is an upgrade to WebSocket, its version, then
    /// its other fields.
    pub(super) fn check(request: HttpRequest) -> Result<Self, Rejection> {
        use RejectionReason as Reason;
        let headers = request.headers();
        let reject = |reason| Err(Rejection::new(reason));

        if request.is_head() {
            return Err(Rejection::method(false).answering_head(true));
        }
        if !headers.list_contains("Upgrade", "websocket")
            || !headers.list_contains("Connection", "upgrade")
        {
            return reject(Reason::NotUpgrade);
        }
        match headers.once("Sec-WebSocket-Version") {
            Once::One(b"13") => {}
            Once::Repeated => return reject(Reason::RepeatedVersion),
            Once::One(_) | Once::Missing => return reject(Reason::Version),
        }
        let accept = match headers.once("Sec-WebSocket-Key") {
            Once::One(key) if accept::is_key(key) => accept::accept_bytes(key),
            _ => return reject(Reason::Key),
        };
        match headers.once("Origin") {
            Once::Missing => {}
            Once::One(origin) if origin.is_ascii() => {}
            _ => return reject(Reason::InvalidOrigin),
        }
        let subprotocols = subprotocol::parse(headers.get_all("Sec-WebSocket-Protocol"))?;
        let extensions = extension::parse_offers(headers.get_all("Sec-WebSocket-Extensions"))?;
        Ok(Self { request, accept, subprotocols, extensions })
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("target", &self.request.target)
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn request(target: &str, more: &[(&str, &str)]) -> Result<UpgradeRequest, Rejection> {
        let fields = [
            ("host", "example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        UpgradeRequest::from_parts("GET", target, (1, 1), fields.iter().chain(more).copied())
    }

    /// §3 and §4.2.1: the resource name in both forms of a target.
    #[test]
    fn section_4_2_1_targets() {
        let cases = [
            ("/", "/", None),
            ("/a?b?c", "/a", Some("b?c")),
            ("/a?", "/a", Some("")),
            ("http://example.com", "/", None),
            ("wss://EXAMPLE.com:443/a?b", "/a", Some("b")),
            ("http://example.com?b", "/", Some("b")),
            ("//example.org/a", "//example.org/a", None),
        ];
        for (target, path, query) in cases {
            let host: &[(&str, &str)] = &[];
            let request = request(target, host).unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!((request.path(), request.query()), (path, query), "{target}");
            assert!(request.target().starts_with('/'));
        }
    }

    #[test]
    fn what_a_request_says() {
        let request = request(
            "/",
            &[
                ("Cookie", "a=1; b = \"x=y\";;c; d="),
                ("Origin", "https://example.com"),
                ("COOKIE", "e=2"),
                ("Sec-WebSocket-Protocol", "v2, v1"),
                ("Sec-WebSocket-Extensions", "foo; a=1"),
            ],
        )
        .unwrap();
        let cookies: Vec<_> = request.cookies().collect();
        assert_eq!(cookies, [("a", "1"), ("b", "\"x=y\""), ("d", ""), ("e", "2")]);
        assert_eq!(request.origin(), Some("https://example.com"));
        assert_eq!((request.host(), request.header("HOST")), ("example.com", Some("example.com")));
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["v2", "v1"]);
        assert_eq!(request.extensions()[0].to_string(), "foo; a=1");
        assert_eq!(request.headers().len(), 10);
    }

    /// §4.2.2, checklist 30, 31, 91 and 95: the whole answer.
    #[test]
    fn section_4_2_2_answer() {
        let request = request(
            "/",
            &[
                ("Sec-WebSocket-Protocol", "superchat, chat"),
                ("Sec-WebSocket-Extensions", "foo, bar; x"),
            ],
        )
        .unwrap();
        let acceptance = Acceptance::new()
            .subprotocol("chat")
            .extension(Extension::new("bar").unwrap().param("y", Some("2")).unwrap())
            .extension(Extension::new("foo").unwrap())
            .header("Set-Cookie", "a=b")
            .header("Set-Cookie", "c=d");
        let response = request.accept(&acceptance).unwrap();
        assert_eq!(
            String::from_utf8(response.to_bytes().unwrap()).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
             Sec-WebSocket-Extensions: bar; y=2, foo\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
        );
        assert_eq!((response.subprotocol(), response.extensions().len()), (Some("chat"), 2));
        // None means no field at all.
        let plain = request.accept(&Acceptance::new()).unwrap();
        assert!(!plain.headers().contains("Sec-WebSocket-Protocol"));
        assert!(!plain.headers().contains("Sec-WebSocket-Extensions"));
    }

    /// §4.2.2 and §9.1: an answer cannot have anything that was not offered, and cannot inject.
    #[test]
    fn section_4_2_2_wrong_answers() {
        use InvalidAcceptance as Invalid;
        let request = request("/", &[("Sec-WebSocket-Protocol", "chat")]).unwrap();
        let accept = |acceptance: Acceptance| request.accept(&acceptance).unwrap_err();
        let new = Acceptance::new;
        for name in ["Chat", "other"] {
            let error = accept(new().subprotocol(name));
            assert_eq!(error, Invalid::SubprotocolNotOffered(name.into()));
        }
        let error = accept(new().extension(Extension::new("foo").unwrap()));
        assert_eq!(error, Invalid::ExtensionNotOffered("foo".into()));
        for evil in ["", "a\r\nX: y", "a\nb", "a\0"] {
            assert!(matches!(accept(new().subprotocol(evil)), Invalid::Subprotocol(_)));
            assert!(matches!(accept(new().header(evil, "x")), Invalid::Header(_)));
        }
        assert!(matches!(accept(new().header("X", "a\r\nb")), Invalid::Header(_)));
        for name in [
            "Upgrade",
            "connection",
            "Content-Length",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol",
            "sec-websocket-extensions",
            "Transfer-Encoding",
        ] {
            assert_eq!(accept(new().header(name, "x")), Invalid::Reserved(name.into()));
        }
    }

    /// §9.1: an extension is accepted by the name under which it was offered.
    #[test]
    fn section_9_1_only_what_was_offered() {
        let request = request("/", &[("Sec-WebSocket-Extensions", "foo, bar; a")]).unwrap();
        let accept = |names: &[&str]| {
            let extensions = names.iter().map(|name| name.parse().unwrap());
            let acceptance = extensions.fold(Acceptance::new(), Acceptance::extension);
            assert_eq!(acceptance.extensions().len(), names.len());
            request.accept(&acceptance).map(|response| response.extensions().to_vec())
        };
        assert_eq!(
            accept(&["bar", "foo; b"]).unwrap(),
            ["bar".parse().unwrap(), "foo; b".parse().unwrap()]
        );
        let not_offered = InvalidAcceptance::ExtensionNotOffered("baz".to_string());
        assert_eq!(accept(&["foo", "baz"]), Err(not_offered));
    }

    /// Parts that no HTTP/1.1 parser could return are refused as well.
    #[test]
    fn parts_are_checked_like_bytes() {
        use RejectionReason as Reason;
        let reason = |target, field| request(target, &[field]).unwrap_err().reason();
        assert_eq!(reason("/", ("X", "a\r\nb")), Reason::Malformed);
        assert_eq!(reason("/", ("X Y", "a")), Reason::Malformed);
        assert_eq!(reason("/\r\n", ("X", "y")), Reason::Target);
        assert_eq!(reason("", ("X", "y")), Reason::Target);
        assert_eq!(reason("/", ("Host", "b")), Reason::Host);
        let no_fields: [(&str, &str); 0] = [];
        let version = |version| {
            UpgradeRequest::from_parts("GET", "/", version, no_fields).unwrap_err().reason()
        };
        assert_eq!([version((2, 0)), version((1, 0))], [Reason::HttpVersion; 2]);
        assert_eq!(version((1, 1)), Reason::Host);
    }

    #[test]
    fn debug_hides_credentials() {
        let request = request("/a?token=secret", &[("Cookie", "secret"), ("X", "seen")]).unwrap();
        let text = format!("{request:?}");
        assert!(
            !text.contains("secret") && text.contains("seen") && text.contains("/a?"),
            "{text}"
        );
    }
}
