//! What a server answers to a request that it accepts.

use super::{
    headers::{self, Headers, InvalidHeader},
    origin::OriginPolicy,
    rejection::{Rejection, RejectionReason},
    subprotocol::{self, InvalidSubprotocol},
    upgrade::UpgradeRequest,
};
use crate::extension::{self, Extension};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// What a server answers to one request that it accepts: input to [`UpgradeRequest::accept`].
///
/// A mistake in a part is kept and comes out there, so that calls can be chained.
///
/// ```
/// use fullduplex::handshake::Acceptance;
///
/// let acceptance = Acceptance::new().subprotocol("chat").header("Set-Cookie", "session=17");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    pub(super) subprotocol: Option<String>,
    pub(super) extensions: Vec<Extension>,
    pub(super) headers: Headers,
    pub(super) error: Option<InvalidAcceptance>,
}

impl Acceptance {
    /// Without subprotocol, extensions or further headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol, which has to be one that the client offered (§4.2.2).
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        let mut list = Vec::new();
        let result = subprotocol::add(&mut list, name.as_bytes());
        self.subprotocol = list.pop();
        self.keep(result.map_err(InvalidAcceptance::Subprotocol));
        self
    }

    /// Accepts an extension, whose name has to be one that the client offered (§9.1). The order is
    /// that in which they apply to sent data.
    ///
    /// An adapter whose [`Config`](crate::Config) turns permessage-deflate on accepts it by itself,
    /// unless it is here already: then it keeps to what is given here. One that does not turn it on
    /// fails with [`InvalidAcceptance::DeflateOff`] if it is given here.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The extensions that are accepted so far.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Adds a header. Those of the handshake itself and of HTTP's framing cannot be given.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let result = add_header(&mut self.headers, name, value.as_ref());
        self.keep(result);
        self
    }

    /// For an adapter that does not compress: an error if permessage-deflate is accepted all the same.
    #[cfg(feature = "std")]
    pub(crate) fn without_deflate(&self) -> Result<(), InvalidAcceptance> {
        match extension::has_deflate(&self.extensions) {
            true => Err(InvalidAcceptance::DeflateOff),
            false => Ok(()),
        }
    }

    /// Keeps the first mistake.
    fn keep(&mut self, result: Result<(), InvalidAcceptance>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

fn add_header(headers: &mut Headers, name: &str, value: &[u8]) -> Result<(), InvalidAcceptance> {
    if headers::is_reserved(name) {
        return Err(InvalidAcceptance::Reserved(name.to_string()));
    }
    headers.append(name, value).map_err(InvalidAcceptance::Header)
}

/// How a server answers requests: a policy, made once and used for every connection.
///
/// ```
/// use fullduplex::handshake::{Acceptor, OriginPolicy};
///
/// let acceptor = Acceptor::new()
///     .subprotocols(["chat.v2", "chat"])
///     .origins(OriginPolicy::same_host())
///     .header("Server", "example");
/// acceptor.check()?;
/// # Ok::<(), fullduplex::handshake::InvalidAcceptance>(())
/// ```
///
/// A mistake in a part is kept; [`check`](Self::check) finds it at start-up, and
/// [`UpgradeRequest::accept`] at the first request.
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    subprotocols: Vec<String>,
    require_subprotocol: bool,
    origins: OriginPolicy,
    /// What every answer starts with: the headers, and the first mistake.
    base: Acceptance,
}

impl Acceptor {
    /// Accepts every request, without a subprotocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the subprotocols that the server speaks, the most wanted one first. The first that the
    /// client offers too is chosen; when there is none, the answer names none (§4.2.2).
    #[must_use]
    pub fn subprotocols<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.subprotocols.clear();
        for name in names {
            let name = name.as_ref().as_bytes();
            let result = subprotocol::add(&mut self.subprotocols, name);
            self.base.keep(result.map_err(InvalidAcceptance::Subprotocol));
        }
        self
    }

    /// Whether a request that offers none of the server's subprotocols is rejected, with status
    /// 400; `false` by default. Without [`subprotocols`](Self::subprotocols) that is every request.
    #[must_use]
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.require_subprotocol = required;
        self
    }

    /// Sets which origins may connect; all by default, on which see [`OriginPolicy`].
    #[must_use]
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = policy;
        self
    }

    /// Adds a header to every 101. Those of the handshake itself and of HTTP's framing cannot be
    /// given.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.base = self.base.header(name, value);
        self
    }

    /// Whether all that was given can be sent.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), InvalidAcceptance> {
        self.base.error.clone().map_or(Ok(()), Err)
    }

    /// Answers a request. More can be added to the answer before it goes to
    /// [`UpgradeRequest::accept`].
    ///
    /// # Errors
    /// [`Rejection`] with [`RejectionReason::Origin`] or [`RejectionReason::NoSubprotocol`].
    pub fn answer(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        if !self.origins.allows(request) {
            return Err(Rejection::new(RejectionReason::Origin));
        }
        let offered = |name: &&String| request.subprotocols().any(|offer| offer == *name);
        let subprotocol = self.subprotocols.iter().find(offered).cloned();
        if self.require_subprotocol && subprotocol.is_none() {
            return Err(Rejection::new(RejectionReason::NoSubprotocol));
        }
        Ok(Acceptance { subprotocol, ..self.base.clone() })
    }
}

/// An [`Acceptance`] that does not fit the request, or cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAcceptance {
    /// A subprotocol that the client did not offer (§4.2.2).
    SubprotocolNotOffered(String),
    /// A subprotocol that is not a token, or is listed twice.
    Subprotocol(InvalidSubprotocol),
    /// An extension that the client did not offer (§9.1).
    ExtensionNotOffered(String),
    /// A header that cannot be sent.
    Header(InvalidHeader),
    /// A header that is not the caller's to set.
    Reserved(String),
    /// permessage-deflate is accepted by hand, and the adapter does not compress: the first compressed
    /// frame would fail.
    DeflateOff,
    /// permessage-deflate, given by hand, with parameters that a response cannot have, or that
    /// answer none of the client's offers (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    Deflate(crate::deflate::InvalidDeflate),
}

impl fmt::Display for InvalidAcceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubprotocolNotOffered(name) => {
                write!(f, "the client did not offer subprotocol {name:?}")
            }
            Self::Subprotocol(error) => error.fmt(f),
            Self::ExtensionNotOffered(name) => {
                write!(f, "the client did not offer extension {name:?}")
            }
            Self::Header(error) => error.fmt(f),
            Self::Reserved(name) => write!(f, "header {name:?} is written by the library"),
            Self::DeflateOff => f.write_str(extension::DEFLATE_OFF),
            #[cfg(feature = "deflate")]
            Self::Deflate(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InvalidAcceptance {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Subprotocol(error) => Some(error),
            Self::Header(error) => Some(error),
            #[cfg(feature = "deflate")]
            Self::Deflate(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &[(&str, &str)]) -> UpgradeRequest {
        let fields = [
            ("Host", "example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        let fields = fields.iter().chain(more).copied();
        UpgradeRequest::from_parts("GET", "/", (1, 1), fields).unwrap()
    }

    /// §4.2.2, checklist 30: the server's order decides; none in common means no field.
    #[test]
    fn section_4_2_2_subprotocol_choice() {
        let cases =
            [("v1, v2", Some("v2")), ("v1", Some("v1")), ("V2, v1", Some("v1")), ("v3", None)];
        for (offer, chosen) in cases {
            let request = request(&[("Sec-WebSocket-Protocol", offer)]);
            let acceptor = Acceptor::new().subprotocols(["v2", "v1"]);
            let answer = acceptor.answer(&request).unwrap();
            let response = request.accept(&answer).unwrap();
            assert_eq!(response.subprotocol(), chosen, "{offer}");
            assert_eq!(response.headers().get("Sec-WebSocket-Protocol"), chosen, "{offer}");
            let strict = acceptor.require_subprotocol(true).answer(&request);
            let reason = strict.err().map(|rejection| rejection.reason());
            assert_eq!(reason, chosen.is_none().then_some(RejectionReason::NoSubprotocol));
        }
        let request = request(&[]);
        assert!(Acceptor::new().subprotocols(["a"]).answer(&request).is_ok());
        let strict = Acceptor::new().subprotocols(["a"]).require_subprotocol(true);
        assert_eq!(strict.answer(&request).unwrap_err().response().status(), 400);
    }

    /// §4.2.2 and §10.2, checklist 29 and 99: 403.
    #[test]
    fn section_10_2_origin() {
        let acceptor = Acceptor::new().origins(OriginPolicy::same_host());
        let answer = |origin| acceptor.answer(&request(&[("Origin", origin)]));
        assert!(answer("https://example.com").is_ok());
        let rejection = answer("https://evil-example.com").unwrap_err();
        assert_eq!(rejection.reason(), RejectionReason::Origin);
        assert_eq!(rejection.response().status(), 403);
        assert!(acceptor.answer(&request(&[])).is_ok());
        assert!(Acceptor::new().answer(&request(&[("Origin", "null")])).is_ok());
    }

    #[test]
    fn mistakes_show_at_start_up_and_at_the_first_answer() {
        let bad = [
            Acceptor::new().header("X", "a\r\nb"),
            Acceptor::new().header("Connection", "close"),
            Acceptor::new().subprotocols(["a b"]),
            Acceptor::new().subprotocols(["a", "a"]),
        ];
        for acceptor in bad {
            let request = request(&[]);
            let error = acceptor.check().unwrap_err();
            let answer = acceptor.answer(&request).unwrap();
            assert_eq!(request.accept(&answer), Err(error));
        }
        let request = request(&[]);
        let good = Acceptor::new().header("Server", "x").header("X", "y");
        assert_eq!(good.check(), Ok(()));
        let answer = good.answer(&request).unwrap().header("Z", "z");
        let response = request.accept(&answer).unwrap();
        let names = ["Server", "X", "Z"].map(|name| response.headers().get(name).unwrap());
        assert_eq!(names, ["x", "y", "z"]);
    }
}
