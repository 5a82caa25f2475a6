//! WebSocket URLs (RFC 6455 §3).

use super::{
    authority::{Authority, Flaw, is_sub_delim, is_unreserved},
    target::Target,
};
use InvalidUrlReason as Reason;
use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::{fmt, net::Ipv4Addr, str::FromStr};

/// A `ws` or `wss` URL (RFC 6455 §3, RFC 3986).
///
/// The host is lower-case ASCII: write an international name in its `xn--` form, because this crate
/// has no IDN tables. In path and query, letters outside ASCII become percent-escaped UTF-8.
/// Spaces, control bytes, broken escapes, fragments, and other bytes that RFC 3986 does not allow
/// are refused.
///
/// `user:password@` becomes an `Authorization: Basic` header. `Display` leaves it out. `Debug`
/// hides the query too, which often holds a token.
///
/// ```
/// use fullduplex::handshake::Url;
///
/// let url = Url::parse("wss://me:secret@Example.com/chat?room=1")?;
/// assert!(url.is_secure());
/// assert_eq!((url.host(), url.port(), url.target()), ("example.com", 443, "/chat?room=1"));
/// assert_eq!(url.to_string(), "wss://example.com/chat?room=1");
///
/// let error = Url::parse("ws://example.com/#top").unwrap_err();
/// assert_eq!(error.position(), 17);
/// # Ok::<(), fullduplex::handshake::InvalidUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    user: Option<(String, Option<String>)>,
    host: String,
    port: u16,
    target: Target,
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what is wrong and at which byte. It never contains the text.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let fail = |reason, position| Err(InvalidUrl::new(reason, position));
        // §3: no fragments. The "#" is at fault wherever it stands.
        if let Some(at) = text.find('#') {
            return fail(Reason::Fragment, at);
        }
        let control = |c: char| c == ' ' || c.is_ascii_control();
        if let Some(at) = text.find(control) {
            return fail(Reason::Byte, at);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return fail(Reason::Scheme, 0);
        };
        let secure = match () {
            () if scheme.eq_ignore_ascii_case("ws") => false,
            () if scheme.eq_ignore_ascii_case("wss") => true,
            () => return fail(Reason::Scheme, 0),
        };

        let start = scheme.len() + 3;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, host_at) = match authority.find('@') {
            None => (None, 0),
            Some(at) => (Some(userinfo(&authority[..at], start)?), at + 1),
        };
        let host = &authority[host_at..];
        let host_at = start + host_at;
        if let Some(at) = host.find(|c: char| !c.is_ascii()) {
            return fail(Reason::International, host_at + at);
        }
        let (without_zone, zone) =
            split_zone(host).map_err(|at| InvalidUrl::new(Reason::Ipv6, host_at + at))?;
        let zone_length = host.len() - without_zone.len();
        let mut authority = Authority::parse(&without_zone).map_err(|flaw| match flaw {
            Flaw::Empty => InvalidUrl::new(Reason::NoHost, host_at),
            Flaw::Byte(at) => InvalidUrl::new(Reason::Host, host_at + zone_length + at),
            Flaw::Ipv6(at) => InvalidUrl::new(Reason::Ipv6, host_at + at),
            Flaw::Port(at) => InvalidUrl::new(Reason::Port, host_at + zone_length + at),
        })?;
        // "127.1" or "0x7f.0.0.1" is an address to some resolvers and a name to others.
        let last = authority.host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        if !host.starts_with('[')
            && last.starts_with(|c: char| c.is_ascii_digit())
            && (last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"))
            && Ipv4Addr::from_str(&authority.host).is_err()
        {
            return fail(Reason::Ipv4, host_at);
        }
        if let Some(zone) = zone {
            authority.host = [&authority.host, "%", zone].concat();
        }
        let target = Target(resource_name(tail, start + end)?);
        let port = authority.port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, user, host: authority.host, port, target })
    }

    /// Whether the scheme is `wss`: TLS comes before the handshake (§4.1).
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host to connect to and to name in TLS: lower case, an IPv6 address without brackets. The
    /// zone of an address follows a `%`, as in `fe80::1%eth0`, which name lookup takes. No other
    /// host has a `%`. For TLS, cut the zone off.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port. Default: 443 for `wss`, 80 for `ws`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host`: the host, and the port unless it is the default (§4.1). An IPv6 address
    /// is in brackets and without its zone, which means nothing to the server (RFC 6874 §4).
    pub fn host_header(&self) -> String {
        self.authority(self.host.split_once('%').map_or(self.host(), |(address, _)| address))
    }

    fn authority(&self, host: &str) -> String {
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => format!("{open}{host}{close}"),
            (_, port) => format!("{open}{host}{close}:{port}"),
        }
    }

    /// The resource name: path and query, `/` for an empty path (§3).
    pub fn target(&self) -> &str {
        &self.target.0
    }

    /// The path, which starts with `/`.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query after `?`; never empty (§3).
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// The name before `@`, decoded.
    pub fn username(&self) -> Option<&str> {
        self.user.as_ref().map(|(name, _)| name.as_str())
    }

    /// The password before `@`, decoded.
    pub fn password(&self) -> Option<&str> {
        self.user.as_ref()?.1.as_deref()
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "wss" } else { "ws" }
    }
}

/// Splits `[fe80::1%25eth0]` into address and zone, which only URLs have (RFC 6874 §2). An error is
/// the position of the mistake.
fn split_zone(host: &str) -> Result<(Cow<'_, str>, Option<&str>), usize> {
    let Some(at) = host.find('%').filter(|_| host.starts_with('[')) else {
        return Ok((Cow::Borrowed(host), None));
    };
    let end = host.find(']').filter(|&end| end > at).ok_or(at)?;
    // Escapes would only be needed for unheard-of names of interfaces.
    let zone = host[at..end].strip_prefix("%25").filter(|zone| !zone.is_empty()).ok_or(at)?;
    if !zone.bytes().all(is_unreserved) {
        return Err(at);
    }
    Ok((Cow::Owned([&host[..at], &host[end..]].concat()), Some(zone)))
}

/// Path and query with letters outside ASCII in percent escapes; `at` is where `tail` begins.
fn resource_name(tail: &str, at: usize) -> Result<String, InvalidUrl> {
    let mut target = String::with_capacity(tail.len() + 1);
    if !tail.starts_with('/') {
        target.push('/');
    }
    for (offset, byte) in tail.bytes().enumerate() {
        match byte {
            b'/' | b'?' | b':' | b'@' => target.push(byte.into()),
            byte if is_unreserved(byte) || is_sub_delim(byte) => target.push(byte.into()),
            b'%' if escaped(tail.as_bytes(), offset).is_some() => target.push('%'),
            b'%' => return Err(InvalidUrl::new(Reason::Escape, at + offset)),
            0x80.. => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]];
                target.push('%');
                target.extend(digits.map(char::from));
            }
            _ => return Err(InvalidUrl::new(Reason::Byte, at + offset)),
        }
    }
    // §3: "?" only if the query is not empty.
    if target.find('?').is_some_and(|query| query + 1 == target.len()) {
        target.pop();
    }
    Ok(target)
}

/// Decodes name and password; `at` is where `text` begins. Refuses what cannot stand in an
/// `Authorization: Basic` header (RFC 7617 §2).
fn userinfo(text: &str, at: usize) -> Result<(String, Option<String>), InvalidUrl> {
    let fail = |offset| InvalidUrl::new(Reason::UserInfo, at + offset);
    let decode = |from: usize, to: usize| {
        let mut decoded = Vec::with_capacity(to - from);
        let mut offset = from;
        while offset < to {
            let byte = text.as_bytes()[offset];
            let (byte, width) = match byte {
                b'%' => {
                    let byte = escaped(&text.as_bytes()[..to], offset)
                        .ok_or(InvalidUrl::new(Reason::Escape, at + offset))?;
                    (byte, 3)
                }
                b':' | 0x80.. => (byte, 1),
                _ if is_unreserved(byte) || is_sub_delim(byte) => (byte, 1),
                _ => return Err(fail(offset)),
            };
            if byte.is_ascii_control() {
                return Err(fail(offset));
            }
            decoded.push(byte);
            offset += width;
        }
        String::from_utf8(decoded).map_err(|_| fail(from))
    };
    let colon = text.find(':');
    let name = decode(0, colon.unwrap_or(text.len()))?;
    if name.contains(':') {
        return Err(fail(0));
    }
    let password = colon.map(|colon| decode(colon + 1, text.len())).transpose()?;
    Ok((name, password))
}

/// The byte that the percent escape at `at` stands for.
pub(super) fn escaped(text: &[u8], at: usize) -> Option<u8> {
    let digit = |offset| char::from(*text.get(at + offset)?).to_digit(16);
    Some((digit(1)? << 4 | digit(2)?) as u8)
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        Self::parse(text)
    }
}

macro_rules! from_text {
    ($($text:ty),*) => {$(
        impl TryFrom<$text> for Url {
            type Error = InvalidUrl;

            fn try_from(text: $text) -> Result<Self, InvalidUrl> {
                text.parse()
            }
        }
    )*};
}

from_text!(&str, String, &String);

/// Without name and password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority(&self.host.replace('%', "%25"));
        write!(f, "{}://{authority}{}", self.scheme(), self.target.0)
    }
}

/// Without name, password and query.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.user.is_some() { "<hidden>@" } else { "" };
        write!(f, "Url({}://{user}{}{:?})", self.scheme(), self.host_header(), self.target)
    }
}

/// Why a text is not a WebSocket URL, and where (RFC 6455 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl {
    reason: InvalidUrlReason,
    position: usize,
}

impl InvalidUrl {
    fn new(reason: InvalidUrlReason, position: usize) -> Self {
        Self { reason, position }
    }

    /// What is wrong.
    pub fn reason(&self) -> InvalidUrlReason {
        self.reason
    }

    /// The byte, counted from 0, at which it is wrong.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            Reason::Scheme => "it has to start with ws:// or wss://",
            Reason::Fragment => "fragments are not allowed; a literal # is written %23",
            Reason::NoHost => "the host is missing",
            Reason::Host => "the host has a character that host names cannot have",
            Reason::International => "the host is not ASCII; write it in its Punycode form (xn--…)",
            Reason::Ipv4 => "the host ends in a number, but is not an IPv4 address like 127.0.0.1",
            Reason::Ipv6 => {
                "the host in brackets is not an IPv6 address (a zone is written %25eth0)"
            }
            Reason::Port => "the port is not a number from 1 to 65535",
            Reason::UserInfo => "the user name or password has a byte that cannot be sent",
            Reason::Escape => "a % is not followed by two hexadecimal digits",
            Reason::Byte => "a character has to be percent-escaped",
        };
        write!(f, "not a WebSocket URL: {what} (at byte {})", self.position)
    }
}

impl core::error::Error for InvalidUrl {}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidUrlReason {
    /// The scheme is neither `ws` nor `wss`.
    Scheme,
    /// A fragment (§3: MUST NOT).
    Fragment,
    /// No host.
    NoHost,
    /// A byte that is not allowed in host names.
    Host,
    /// A host that is not ASCII: write it in Punycode.
    International,
    /// A host that ends in a number and is not a dotted IPv4 address.
    Ipv4,
    /// A host in brackets that is not an IPv6 address, with or without a zone such as `%25eth0`.
    Ipv6,
    /// A port that is not a number from 1 to 65535.
    Port,
    /// A user name or password with a control byte, a user name with a colon, or not UTF-8.
    UserInfo,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// A space, a control byte or another ASCII character that has to be percent-escaped.
    Byte,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// §3, checklist 1 and 3: scheme, host, port, resource name.
    #[test]
    fn section_3_parts() {
        let cases = [
            ("ws://example.com", false, "example.com", 80, "example.com", "/"),
            ("WSS://EXAMPLE.com", true, "example.com", 443, "example.com", "/"),
            ("ws://h:80/a", false, "h", 80, "h", "/a"),
            ("ws://./a", false, ".", 80, ".", "/a"), // RFC 3986 §3.2.2 has nothing against it
            ("ws://h:443", false, "h", 443, "h:443", "/"),
            ("wss://h:443/", true, "h", 443, "h", "/"),
            ("wss://h:80/", true, "h", 80, "h:80", "/"),
            ("ws://h:/", false, "h", 80, "h", "/"),
            ("ws://h?q=1", false, "h", 80, "h", "/?q=1"),
            ("ws://h/?", false, "h", 80, "h", "/"),
            ("ws://h?", false, "h", 80, "h", "/"),
            ("ws://h/a??", false, "h", 80, "h", "/a??"),
            ("ws://h/a?b?c/d:e@f", false, "h", 80, "h", "/a?b?c/d:e@f"),
            ("ws://h//a/../b;c,d", false, "h", 80, "h", "//a/../b;c,d"),
            ("ws://127.0.0.1:9/x", false, "127.0.0.1", 9, "127.0.0.1:9", "/x"),
            ("ws://[::1]/", false, "::1", 80, "[::1]", "/"),
            ("wss://[2001:DB8::1]:8443/", true, "2001:db8::1", 8443, "[2001:db8::1]:8443", "/"),
            ("ws://h/%23?%23", false, "h", 80, "h", "/%23?%23"),
            ("ws://h/.well-known/x", false, "h", 80, "h", "/.well-known/x"),
            ("ws://1.example/", false, "1.example", 80, "1.example", "/"),
            ("ws://4u.4x/", false, "4u.4x", 80, "4u.4x", "/"),
        ];
        for (text, secure, host, port, header, target) in cases {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(text.parse().as_ref(), Ok(&url));
            assert_eq!((url.is_secure(), url.host(), url.port()), (secure, host, port), "{text}");
            assert_eq!((url.host_header().as_str(), url.target()), (header, target), "{text}");
            // What is printed parses to the same.
            assert_eq!(Url::parse(&url.to_string()).as_ref(), Ok(&url), "{text}");
        }
        let url = Url::parse("ws://h/a?b?c").unwrap();
        assert_eq!((url.path(), url.query()), ("/a", Some("b?c")));
        assert_eq!(Url::parse("ws://h/a?").unwrap().query(), None);
    }

    /// B12: RFC 6874: a zone is for connecting, and never sent.
    #[test]
    fn rfc6874_zones() {
        let cases = [
            ("ws://[fe80::1%25eth0]/x", "fe80::1%eth0", "[fe80::1]"),
            ("wss://u:p@[FE80:0::1%25En0.1-a_~]:8443/", "fe80::1%En0.1-a_~", "[fe80::1]:8443"),
            ("ws://[ff02::1%252]:80", "ff02::1%2", "[ff02::1]"),
        ];
        for (text, host, header) in cases {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.host(), url.host_header().as_str()), (host, header), "{text}");
            let printed = Url::parse(&url.to_string()).unwrap();
            assert_eq!((printed.host(), printed.target()), (host, url.target()), "{url}");
        }
        assert_eq!(
            Url::parse("ws://[fe80::1%25eth0]:81/").unwrap().to_string(),
            "ws://[fe80::1%25eth0]:81/"
        );
    }

    /// §11.1.1 and §11.1.2, checklist 4: letters outside ASCII.
    #[test]
    fn section_11_1_non_ascii() {
        let url = Url::parse("ws://h/caf\u{e9}?\u{1f980}=%C3%A9").unwrap();
        assert_eq!(url.target(), "/caf%C3%A9?%F0%9F%A6%80=%C3%A9");
        let error = Url::parse("ws://b\u{fc}cher.example/").unwrap_err();
        assert_eq!((error.reason(), error.position()), (Reason::International, 6));
        assert!(error.to_string().contains("Punycode"));
        assert_eq!(
            Url::parse("ws://xn--bcher-kva.example/").unwrap().host(),
            "xn--bcher-kva.example"
        );
    }

    /// §3 and §4.1, checklist 2: what is refused, and where.
    #[test]
    fn section_3_refused() {
        let cases = [
            ("", Reason::Scheme, 0),
            ("example.com", Reason::Scheme, 0),
            ("http://example.com/", Reason::Scheme, 0),
            ("https://example.com/", Reason::Scheme, 0),
            ("ws:/example.com/", Reason::Scheme, 0),
            ("wsss://h", Reason::Scheme, 0),
            ("ws://h/#", Reason::Fragment, 7),
            ("ws://h#a", Reason::Fragment, 6),
            ("ws://", Reason::NoHost, 5),
            ("ws:///path", Reason::NoHost, 5),
            ("ws://:80/", Reason::NoHost, 5),
            ("ws://user@/", Reason::NoHost, 10),
            ("ws://a@b@c/", Reason::Host, 8),
            ("ws://a%41/", Reason::Host, 6),
            ("ws://a\\b/", Reason::Host, 6),
            ("ws://h:x/", Reason::Port, 7),
            ("ws://h:65536/", Reason::Port, 7),
            ("ws://h:0/", Reason::Port, 7),
            ("ws://h:-1/", Reason::Port, 7),
            ("ws://[::1/", Reason::Ipv6, 5),
            ("ws://[::g]/", Reason::Ipv6, 6),
            ("ws://[fe80::1%eth0]/", Reason::Ipv6, 13),
            ("ws://[fe80::1%25]/", Reason::Ipv6, 13),
            ("ws://[fe80::1%25a%20b]/", Reason::Ipv6, 13),
            ("ws://[fe80::1%25a/b]/", Reason::Ipv6, 13),
            ("ws://[fe80::g%25eth0]/", Reason::Ipv6, 6),
            ("ws://[fe80::1]%25eth0/", Reason::Ipv6, 14),
            ("ws://[fe80::1%25eth0]x/", Reason::Host, 21),
            ("ws://[fe80::1%25eth0]:x/", Reason::Port, 22),
            ("ws://h%25eth0/", Reason::Host, 6),
            ("ws://127.1/", Reason::Ipv4, 5),
            ("ws://256.0.0.1/", Reason::Ipv4, 5),
            ("ws://0x7f.0.0.0x1/", Reason::Ipv4, 5),
            ("ws://1.2.3.4./", Reason::Ipv4, 5),
            ("ws://2130706433/", Reason::Ipv4, 5),
            ("ws://h/a b", Reason::Byte, 8),
            ("ws://h/\r\nX: y", Reason::Byte, 7),
            ("ws://h\n/", Reason::Byte, 6),
            (" ws://h/", Reason::Byte, 0),
            ("ws://h/\0", Reason::Byte, 7),
            ("ws://h/\x7f", Reason::Byte, 7),
            ("ws://h/a|b", Reason::Byte, 8),
            ("ws://h/?\"", Reason::Byte, 8),
            ("ws://h/%", Reason::Escape, 7),
            ("ws://h/%4", Reason::Escape, 7),
            ("ws://h/%g0", Reason::Escape, 7),
            ("ws://h/%+1", Reason::Escape, 7),
            ("ws://a%3@h/", Reason::Escape, 6),
            ("ws://a%0a@h/", Reason::UserInfo, 6),
            ("ws://a%3Ab:c@h/", Reason::UserInfo, 5),
            ("ws://%ff@h/", Reason::UserInfo, 5),
            ("ws://a:b[@h/", Reason::UserInfo, 8),
        ];
        for (text, reason, position) in cases {
            assert_eq!(Url::parse(text), Err(InvalidUrl { reason, position }), "{text:?}");
        }
    }

    /// §11.1, checklist 1: userinfo is decoded, and never printed.
    #[test]
    fn section_11_1_userinfo() {
        let url = Url::parse("ws://us%65r:p%40ss:%C3%A9\u{e9}@h/?token=t0ken").unwrap();
        assert_eq!((url.username(), url.password()), (Some("user"), Some("p@ss:\u{e9}\u{e9}")));
        let text = format!("{url} {url:?}");
        assert!(
            !text.contains("ss:") && !text.contains("user") && !text.contains("p%40"),
            "{text}"
        );
        assert!(!format!("{url:?}").contains("t0ken"));
        let cases = [("ws://u@h", "u", None), ("ws://u:@h", "u", Some("")), ("ws://@h", "", None)];
        for (text, name, password) in cases {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.username(), url.password()), (Some(name), password), "{text}");
        }
    }
}
