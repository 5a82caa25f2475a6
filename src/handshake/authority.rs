//! Host and port, as in a URL, in `Host` and in an origin (RFC 3986 §3.2).

use alloc::string::{String, ToString};
use core::{net::Ipv6Addr, str::FromStr as _};

/// A host in its normal form (lower case, IPv6 without brackets and shortened) and the port, if
/// one was given.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// The mistake in an authority, and the byte at which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Empty,
    /// A byte that no host name may hold.
    Byte(usize),
    Ipv6(usize),
    Port(usize),
}

impl Authority {
    /// Parses `host [":" port]`, without userinfo. An empty port counts as none (RFC 3986 §3.2.3).
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        let (host, port_at) = if let Some(rest) = text.strip_prefix('[') {
            let end = rest.find(']').ok_or(Flaw::Ipv6(0))?;
            let address = Ipv6Addr::from_str(&rest[..end]).map_err(|_| Flaw::Ipv6(1))?;
            (address.to_string(), end + 2)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            if end == 0 {
                return Err(Flaw::Empty);
            }
            if let Some(at) = text[..end].bytes().position(|byte| !is_reg_name(byte)) {
                return Err(Flaw::Byte(at));
            }
            (text[..end].to_ascii_lowercase(), end)
        };
        let port = match text[port_at..].strip_prefix(':') {
            None if port_at == text.len() => None,
            None => return Err(Flaw::Byte(port_at)),
            Some("") => None,
            Some(digits) => {
                let digit = digits.bytes().all(|byte| byte.is_ascii_digit());
                match digits.parse() {
                    Ok(port @ 1..) if digit => Some(port),
                    _ => return Err(Flaw::Port(port_at + 1)),
                }
            }
        };
        Ok(Self { host, port })
    }
}

/// Bytes of a registered name (RFC 3986 §3.2.2) except percent escapes, which no DNS name needs.
const fn is_reg_name(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delim(byte)
}

/// RFC 3986 §2.3.
pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §2.2.
pub(super) const fn is_sub_delim(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_3_2_authorities() {
        let good = [
            ("example.com", "example.com", None),
            ("EXAMPLE.com:8080", "example.com", Some(8080)),
            ("a_b:", "a_b", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("h:0080", "h", Some(80)),
            ("[::1]", "::1", None),
            ("[0:0:0:0:0:0:0:1]:65535", "::1", Some(65_535)),
            ("[2001:DB8::A]:", "2001:db8::a", None),
        ];
        for (text, host, port) in good {
            let parsed = Authority::parse(text).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
        }
        let bad = [
            ("", Flaw::Empty),
            (":80", Flaw::Empty),
            ("a b", Flaw::Byte(1)),
            ("a@b", Flaw::Byte(1)),
            ("a/", Flaw::Byte(1)),
            ("a%41", Flaw::Byte(1)),
            ("h\u{e9}", Flaw::Byte(1)),
            ("h\r\n", Flaw::Byte(1)),
            ("h,i\0", Flaw::Byte(3)),
            ("h:65536", Flaw::Port(2)),
            ("h:0", Flaw::Port(2)),
            ("h:+80", Flaw::Port(2)),
            ("h:80:80", Flaw::Port(2)),
            ("::1", Flaw::Empty),
            ("[::1", Flaw::Ipv6(0)),
            ("[]", Flaw::Ipv6(1)),
            ("[fe80::1%25eth0]", Flaw::Ipv6(1)),
            ("[v1.a]", Flaw::Ipv6(1)),
            ("[::1]x", Flaw::Byte(5)),
            ("[::1]:x", Flaw::Port(6)),
        ];
        for (text, flaw) in bad {
            assert_eq!(Authority::parse(text).err(), Some(flaw), "{text:?}");
        }
    }
}
