//! Plain HTTP requests, with the checks that every request to a server has to pass.

use super::{
    authority::Authority,
    body,
    head::{HeadError, RequestHead},
    headers::{Headers, Once},
    rejection::{Rejection, RejectionReason},
    response::Response,
    target::Target,
    upgrade::UpgradeRequest,
};
use alloc::string::{String, ToString};
use core::{fmt, str};

/// A request on a port that serves both WebSocket and plain HTTP: see
/// [`ServerHandshake::receive_any`](super::ServerHandshake::receive_any).
#[derive(Clone, Debug)]
pub enum AnyRequest {
    /// An upgrade to WebSocket.
    Upgrade(UpgradeRequest),
    /// Plain HTTP.
    Http(HttpRequest),
}

/// A plain HTTP request, such as a health check: a GET or HEAD of HTTP/1.1 that does not ask for
/// WebSocket.
///
/// You get it from [`ServerHandshake::receive_any`](super::ServerHandshake::receive_any). It passed
/// the checks that an upgrade has to pass too: grammar and limits, one valid `Host`, a target for
/// this host, no body. Answer it and close the connection.
///
/// ```
/// use fullduplex::Input;
/// use fullduplex::handshake::{AnyRequest, Response, ServerHandshake};
///
/// let mut wire = *b"HEAD /health HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// let mut server = ServerHandshake::default();
/// let request = server.receive_any(&mut Input::new(&mut wire))?.expect("the head is complete");
/// let AnyRequest::Http(request) = request else { panic!("it asks for no upgrade") };
/// let response = match request.path() {
///     "/health" => Response::new(200).with_body("fine"),
///     _ => Response::new(404),
/// };
/// // RFC 9110 §9.3.2: to HEAD goes the head only.
/// assert_eq!(
///     request.answer(response).to_bytes()?,
///     b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `Debug` hides credentials, and the query, which often holds a token.
#[derive(Clone)]
pub struct HttpRequest {
    is_head: bool,
    pub(super) target: Target,
    pub(super) headers: Headers,
}

/// The accessors of every request. `$http` is the field with the [`HttpRequest`], if there is one.
macro_rules! accessors {
    ($request:ty $(, $http:ident)?) => {
        impl $request {
            /// The path, which starts with `/`. Its escapes are left in.
            pub fn path(&self) -> &str {
                self$(.$http)?.target.path()
            }

            /// The query after `?`, as it came. [`query_pairs`](Self::query_pairs) decodes it.
            pub fn query(&self) -> Option<&str> {
                self$(.$http)?.target.query()
            }

            /// Names and values of the query, decoded, in order: `%C3%A9` is `é` and `+` is a
            /// space, as forms and `URLSearchParams` write it. A name may come more than once. A
            /// broken escape stays as it is, and bytes that are not UTF-8 become `U+FFFD`.
            ///
            /// Each step decodes one pair. [`HeadLimits::max_target`](super::HeadLimits::max_target)
            /// bounds the length of the query.
            ///
            /// ```
            /// # use fullduplex::handshake::UpgradeRequest;
            /// # let request = UpgradeRequest::from_parts("GET", "/chat?room=caf%C3%A9+9&token=t0ken", (1, 1), [
            /// #     ("Host", "example.com"),
            /// #     ("Upgrade", "websocket"),
            /// #     ("Connection", "keep-alive, Upgrade"),
            /// #     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            /// #     ("Sec-WebSocket-Version", "13"),
            /// # ])?;
            /// assert_eq!(request.query(), Some("room=caf%C3%A9+9&token=t0ken"));
            /// let room = request.query_pairs().find(|(name, _)| name == "room");
            /// assert_eq!(room.unwrap().1, "café 9");
            /// # Ok::<(), fullduplex::handshake::Rejection>(())
            /// ```
            pub fn query_pairs(
                &self,
            ) -> impl Iterator<Item = (alloc::borrow::Cow<'_, str>, alloc::borrow::Cow<'_, str>)> {
                self$(.$http)?.target.query_pairs()
            }

            /// The value of the first header of this name: [`Headers::get`].
            pub fn header(&self, name: &str) -> Option<&str> {
                self.headers().get(name)
            }

            /// Names and values of the cookies. Cookies that are not UTF-8 are left out.
            pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
                self.headers()
                    .get_all("Cookie")
                    .flat_map(|line| line.split(|&byte| byte == b';'))
                    .filter_map(|cookie| {
                        let cookie = core::str::from_utf8(crate::grammar::trim(cookie));
                        cookie.ok()?.split_once('=')
                    })
                    .map(|(name, value)| (name.trim_end(), value.trim_start()))
            }

            /// The value of `Host`.
            pub fn host(&self) -> &str {
                self.header("Host").unwrap_or_default()
            }

            /// All header fields.
            pub fn headers(&self) -> &Headers {
                &self$(.$http)?.headers
            }

            /// The resource name: path and query (§3).
            pub fn target(&self) -> &str {
                &self$(.$http)?.target.0
            }
        }
    };
}

accessors!(HttpRequest);
pub(super) use accessors;

impl HttpRequest {
    /// Makes the checks of every request, the most basic first: the HTTP version, Host, an allowed
    /// method, the target, no body. `plain` allows HEAD.
    pub(super) fn check(head: RequestHead, plain: bool) -> Result<Self, Rejection> {
        use RejectionReason as Reason;
        let RequestHead { method, target, version, headers } = head;
        let is_head = method == "HEAD";
        let reject = |reason| Err(Rejection::new(reason).answering_head(is_head));

        if version != (1, 1) {
            return Err(Rejection::from(HeadError::Version).answering_head(is_head));
        }
        let Once::One(host) = headers.once("Host") else { return reject(Reason::Host) };
        let Some(host) = str::from_utf8(host).ok().and_then(|host| Authority::parse(host).ok())
        else {
            return reject(Reason::Host);
        };
        if method != "GET" && !(plain && is_head) {
            return Err(Rejection::method(plain).answering_head(is_head));
        }
        let Some(target) = resource_name(&target, &host).map(Target) else {
            return reject(Reason::Target);
        };
        let length =
            headers.contains("Content-Length") && body::content_length(&headers) != Some(0);
        if length || headers.contains("Transfer-Encoding") {
            return reject(Reason::Body);
        }
        Ok(Self { is_head, target, headers })
    }

    /// Whether it has a field for WebSocket. If the rest of an upgrade is missing, a proxy may have
    /// dropped it, and the client has to be told.
    pub(super) fn concerns_websocket(&self) -> bool {
        self.headers.list_contains("Upgrade", "websocket")
            || self.headers.contains("Sec-WebSocket-Key")
            || self.headers.contains("Sec-WebSocket-Version")
    }

    /// Whether the method is HEAD and not GET. A response to HEAD has no content.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// `GET` or `HEAD`.
    pub fn method(&self) -> &str {
        if self.is_head { "HEAD" } else { "GET" }
    }

    /// Turns `response` into the answer to this request. For HEAD it announces the content that a
    /// GET would bring in `Content-Length`, but does not send it (RFC 9110 §9.3.2).
    pub fn answer(&self, response: Response) -> Response {
        response.answering_head(self.is_head)
    }
}

/// The resource name in a target: the target itself, or the one in an absolute URI for this host
/// (§4.2.1). Browsers do not escape some ASCII characters that RFC 3986 would, so these pass.
fn resource_name(target: &str, host: &Authority) -> Option<String> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return None;
    }
    if target.starts_with('/') {
        return Some(target.to_string());
    }
    let (scheme, rest) = target.split_once("://")?;
    let default = super::origin::default_port(&scheme.to_ascii_lowercase())?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = Authority::parse(&rest[..end]).ok()?;
    let port = |authority: &Authority| authority.port.unwrap_or(default);
    if authority.host != host.host || port(&authority) != port(host) {
        return None;
    }
    let slash = if rest[end..].starts_with('/') { "" } else { "/" };
    Some([slash, &rest[end..]].concat())
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method())
            .field("target", &self.target)
            .field("headers", &self.headers)
            .finish()
    }
}
