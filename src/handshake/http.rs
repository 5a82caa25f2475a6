//! A request that is checked as far as every request to a server has to be, and one that is no
//! more than that: plain HTTP.

use super::{
    authority::Authority,
    body,
    head::{HeadError, RequestHead},
    headers::{Headers, Once},
    query,
    rejection::{Rejection, RejectionReason},
    response::Response,
    upgrade::UpgradeRequest,
};
use crate::grammar;
use alloc::{
    borrow::Cow,
    string::{String, ToString},
};
use core::{fmt, str};

/// What a client asked for, where plain HTTP may come on the same port: see
/// [`ServerHandshake::receive_any`](super::ServerHandshake::receive_any).
#[derive(Clone, Debug)]
pub enum AnyRequest {
    /// An upgrade to WebSocket.
    Upgrade(UpgradeRequest),
    /// Plain HTTP.
    Http(HttpRequest),
}

/// A request for a page, a health check: a GET or HEAD of HTTP/1.1 that is no upgrade to WebSocket.
///
/// It comes from [`ServerHandshake::receive_any`](super::ServerHandshake::receive_any). It has passed
/// the checks that an upgrade has to pass as well: grammar and limits, one valid `Host`, a target for
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
    target: String,
    headers: Headers,
}

impl HttpRequest {
    /// What every request has to be, in the order of what is most basic: the version of HTTP, Host, a
    /// method that is allowed, the target, no body. `plain` allows HEAD.
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
        let Some(target) = resource_name(&target, &host) else { return reject(Reason::Target) };
        let length =
            headers.contains("Content-Length") && body::content_length(&headers) != Some(0);
        if length || headers.contains("Transfer-Encoding") {
            return reject(Reason::Body);
        }
        Ok(Self { is_head, target, headers })
    }

    /// Whether something in it is for WebSocket. If that is not enough for an upgrade, a proxy may
    /// have dropped the rest, and whoever asked has to be told.
    pub(super) fn concerns_websocket(&self) -> bool {
        self.headers.list_contains("Upgrade", "websocket")
            || self.headers.contains("Sec-WebSocket-Key")
            || self.headers.contains("Sec-WebSocket-Version")
    }

    /// Whether the method is HEAD, and not GET: the response has no content.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// `GET` or `HEAD`.
    pub fn method(&self) -> &str {
        if self.is_head { "HEAD" } else { "GET" }
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path, which starts with `/`; its escapes are left in.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target(), |(path, _)| path)
    }

    /// The query after `?`, as it came: [`query_pairs`](Self::query_pairs) has it decoded.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Names and values of the query, decoded: see
    /// [`UpgradeRequest::query_pairs`](super::UpgradeRequest::query_pairs).
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.query().unwrap_or_default())
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The first header of this name: [`Headers::get`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Names and values of the cookies. Those that are not UTF-8 are left out.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .get_all("Cookie")
            .flat_map(|line| line.split(|&byte| byte == b';'))
            .filter_map(|cookie| str::from_utf8(grammar::trim(cookie)).ok()?.split_once('='))
            .map(|(name, value)| (name.trim_end(), value.trim_start()))
    }

    /// The value of `Host`.
    pub fn host(&self) -> &str {
        self.headers.get("Host").unwrap_or_default()
    }

    /// The response as the answer to this request: without its content if the method is HEAD
    /// (RFC 9110 §9.3.2), whose `Content-Length` still tells what a GET would have brought.
    pub fn answer(&self, response: Response) -> Response {
        response.answering_head(self.is_head)
    }
}

/// The resource name in a target: the target itself, or what an absolute URI for this very host
/// holds (§4.2.1). Browsers leave some ASCII characters as they are that RFC 3986 would escape, so
/// these pass.
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
        let query = if self.query().is_some() { "?<hidden>" } else { "" };
        f.debug_struct("HttpRequest")
            .field("method", &self.method())
            .field("target", &format_args!("{}{query}", self.path()))
            .field("headers", &self.headers)
            .finish()
    }
}
