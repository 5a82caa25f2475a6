//! The answers that a server gives to all requests alike.

use super::{
    acceptance::{Acceptance, InvalidAcceptance},
    origin::OriginPolicy,
    rejection::{Rejection, RejectionReason},
    subprotocol,
    upgrade::UpgradeRequest,
};
use alloc::{string::String, vec::Vec};

/// A server's policy for answering requests. Make it once and use it for every connection.
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
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    subprotocols: Vec<String>,
    require_subprotocol: bool,
    origins: OriginPolicy,
    /// The start of every answer: the headers, and the first mistake.
    base: Acceptance,
}

impl Acceptor {
    /// Creates a policy that accepts every request, without a subprotocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the subprotocols that your server speaks, the preferred one first. The answer names the
    /// first one that the client offers too, or none (§4.2.2).
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

    /// Sets whether to reject, with status 400, requests that offer none of your subprotocols.
    /// Default: `false`. Without [`subprotocols`](Self::subprotocols) this rejects every request.
    #[must_use]
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.require_subprotocol = required;
        self
    }

    /// Sets which origins may connect. Default: all; see [`OriginPolicy`] for when that is
    /// dangerous.
    #[must_use]
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = policy;
        self
    }

    /// Adds a header to every 101. The library writes those of the handshake and of HTTP's framing.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.base = self.base.header(name, value);
        self
    }

    /// Checks that everything you set can be sent. Call it at start-up, or
    /// [`UpgradeRequest::accept`] finds a mistake only at the first request.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), InvalidAcceptance> {
        self.base.error.clone().map_or(Ok(()), Err)
    }

    /// Answers a request. You can add to the answer before you give it to
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
