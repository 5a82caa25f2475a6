//! Origins, and which of them a server accepts (RFC 6455 §10.2, RFC 6454).

use super::{authority::Authority, upgrade::UpgradeRequest};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// Which origins may open connections (RFC 6455 §10.2).
///
/// Browsers let every page open a WebSocket to every server, with the user's cookies for that
/// server. Only `Origin` tells where the page came from. If your server knows its users by cookies,
/// or by their place in the network, check the origin. Otherwise any page that they visit can use
/// your server in their name (cross-site WebSocket hijacking). A server that wants a token in the
/// URL, a header or the first message is not in danger.
///
/// The default is [`any`](Self::any): the library cannot know where your pages are served, and the
/// RFC leaves this check to the server. Choose another policy if cookies count. Clients other than
/// browsers can send any origin (§10.1), so this is not authentication.
///
/// ```
/// use fullduplex::handshake::{Acceptor, OriginPolicy};
///
/// let policy = OriginPolicy::list(["https://example.com", "https://app.example.com:8443"])?;
/// let acceptor = Acceptor::new().origins(policy.require_origin(true));
///
/// assert!(OriginPolicy::list(["example.com"]).is_err()); // without a scheme
/// # Ok::<(), fullduplex::handshake::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    rule: Rule,
    required: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Rule {
    #[default]
    Any,
    SameHost,
    List(Vec<Origin>),
}

impl OriginPolicy {
    /// Allows every origin, `null` too.
    pub fn any() -> Self {
        Self::default()
    }

    /// Allows `http` and `https` origins whose host and port equal those of the `Host` header. If
    /// one of them names no port, the origin's scheme decides, so a TLS proxy in front does not
    /// matter.
    ///
    /// This lets in a page that the same host serves without TLS, and one that reached your server
    /// by DNS rebinding. A [`list`](Self::list) stops both.
    pub fn same_host() -> Self {
        Self { rule: Rule::SameHost, required: false }
    }

    /// Allows exactly these origins, such as `https://example.com` or `http://localhost:3000`.
    /// Scheme, host and port have to be equal. You may leave out the scheme's default port.
    ///
    /// # Errors
    /// [`InvalidOrigin`] if one is not `scheme://host[:port]`. `null` is refused, because every
    /// page can make its origin `null`. So are wildcards. So are `ws` and `wss`: an origin is the
    /// address of the page, `http` or `https`, and not the address that it connects to.
    pub fn list<I>(origins: I) -> Result<Self, InvalidOrigin>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let parse = |text: I::Item| {
            let text = text.as_ref();
            // A "*" would be taken literally and match nothing, and no page has come by ws or wss.
            let origin = Origin::parse(text)
                .filter(|origin| !origin.host.contains('*') && !origin.is_websocket());
            origin.ok_or_else(|| InvalidOrigin(text.to_string()))
        };
        let origins: Result<_, _> = origins.into_iter().map(parse).collect();
        Ok(Self { rule: Rule::List(origins?), required: false })
    }

    /// Sets whether to refuse requests without `Origin`. Default: `false`. Browsers always send it;
    /// other clients often do not.
    #[must_use]
    pub fn require_origin(mut self, required: bool) -> Self {
        self.required = required;
        self
    }

    /// Whether `request` may connect.
    pub fn allows(&self, request: &UpgradeRequest) -> bool {
        self.permits(request.origin(), request.host())
    }

    fn permits(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return !self.required };
        if self.rule == Rule::Any {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else { return false };
        match &self.rule {
            Rule::Any => true,
            Rule::SameHost => {
                let web = matches!(origin.scheme.as_str(), "http" | "https");
                web && Authority::parse(host).is_ok_and(|host| {
                    let port = host.port.or(default_port(&origin.scheme));
                    host.host == origin.host && port == origin.port
                })
            }
            Rule::List(list) => list.contains(&origin),
        }
    }
}

/// A scheme and a host in lower case, and the port with the scheme's default put in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Parses `scheme "://" host [":" port]` and nothing more (RFC 6454 §6.2).
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(rest) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let Authority { host, port } = Authority::parse(authority).ok()?;
        let port = port.or(default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    fn is_websocket(&self) -> bool {
        matches!(self.scheme.as_str(), "ws" | "wss")
    }
}

/// The default port of a scheme in lower case.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// A text that is not an origin of the form `scheme://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrigin(pub String);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Origin::parse(&self.0).is_some_and(|origin| origin.is_websocket()) {
            return write!(
                f,
                "{:?} is not an origin: write the address of the page, with http:// or https://",
                self.0
            );
        }
        write!(f, "{:?} is not an origin: write scheme://host or scheme://host:port", self.0)
    }
}

impl core::error::Error for InvalidOrigin {}

#[cfg(test)]
mod tests {
    use super::*;

    /// §10.2, checklist 99, known failure 39: a list means exactly what is in it.
    #[test]
    fn section_10_2_list() {
        let list =
            ["https://Example.com", "http://localhost:3000", "https://[::1]:8443", "app://x"];
        let policy = OriginPolicy::list(list).unwrap();
        let good = [
            "https://example.com",
            "HTTPS://EXAMPLE.COM",
            "https://example.com:443",
            "http://localhost:3000",
            "https://[0::1]:8443",
            "app://x",
        ];
        for origin in good {
            assert!(policy.permits(Some(origin), "any"), "{origin}");
        }
        let bad = [
            "",
            "null",
            "example.com",
            "http://example.com",
            "https://example.com:444",
            "https://evil-example.com",
            "https://example.com.evil.org",
            "https://example.com.",
            "https://www.example.com",
            "https://example.com/",
            "https://example.com/x",
            "https://evil.org@example.com",
            "https://example.com@evil.org",
            "https://example.com https://evil.org",
            "https://evil.org, https://example.com",
            "https://example.com:443:443",
            "https://example.com#",
            "https://example.com?",
            "https://example.com\\.evil.org",
            "https://example.com%2eevil.org",
            "https:example.com",
            "://example.com",
            "https://",
            "http://localhost",
            "https://localhost:3000",
            "app://x:1",
        ];
        for origin in bad {
            assert!(!policy.permits(Some(origin), "example.com"), "{origin}");
        }
        for wrong in [
            "null",
            "example.com",
            "*",
            "https://*.example.com",
            "https://a/b",
            "ht_tp://a",
            "",
            // D28: the address of the WebSocket instead of the page's.
            "wss://example.com",
            "WS://example.com:80",
        ] {
            assert_eq!(OriginPolicy::list([wrong]), Err(InvalidOrigin(wrong.to_string())));
        }
        for origin in [None, Some("null"), Some("https://anything")] {
            assert!(OriginPolicy::any().permits(origin, "example.com"));
        }
        assert!(!OriginPolicy::list([""; 0]).unwrap().permits(Some("https://a"), "a"));
    }

    /// §10.2: same host as the request's.
    #[test]
    fn section_10_2_same_host() {
        let policy = OriginPolicy::same_host();
        let good = [
            ("https://example.com", "example.com"),
            ("https://example.com", "EXAMPLE.com:443"),
            ("http://example.com", "example.com"),
            ("http://example.com:80", "example.com"),
            ("http://localhost:3000", "localhost:3000"),
            ("http://[::1]:3000", "[0:0::1]:3000"),
        ];
        for (origin, host) in good {
            assert!(policy.permits(Some(origin), host), "{origin} {host}");
        }
        let bad = [
            ("null", "null"),
            ("https://example.com", "example.com:80"),
            ("http://localhost:3000", "localhost"),
            ("http://localhost:3000", "localhost:3001"),
            ("https://evil-example.com", "example.com"),
            ("https://example.com.evil.org", "example.com"),
            ("https://www.example.com", "example.com"),
            ("chrome-extension://example.com", "example.com"),
            ("file://", ""),
        ];
        for (origin, host) in bad {
            assert!(!policy.permits(Some(origin), host), "{origin} {host}");
        }
    }

    /// §4.2.1 and §10.1: no Origin means no browser.
    #[test]
    fn section_4_2_1_missing_origin() {
        for policy in [
            OriginPolicy::any(),
            OriginPolicy::same_host(),
            OriginPolicy::list(["https://a"]).unwrap(),
        ] {
            assert!(policy.permits(None, "h"));
            assert!(!policy.require_origin(true).permits(None, "h"));
        }
        assert!(OriginPolicy::any().permits(Some("null"), "h"));
        assert_eq!(OriginPolicy::default(), OriginPolicy::any());
    }
}
