//! The head of a request or response as anybody would read it who need not fear malformed ones,
//! and what RFC 9110 and RFC 6455 say about single fields, read by neither of the two.

use core::{fmt, net::Ipv6Addr};
use fullduplex::handshake::HeadLimits;

/// The limits under which a head is read. Those of tungstenite are not to be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) size: usize,
    pub(super) fields: usize,
    pub(super) target: usize,
}

impl Limits {
    /// Option `0x04` lowers them.
    pub(super) fn new(options: u8) -> Self {
        match options & 4 {
            0 => Self { size: 16 * 1024, fields: 100, target: 8 * 1024 },
            _ => Self { size: 300, fields: 10, target: 20 },
        }
    }

    pub(super) fn ours(self) -> HeadLimits {
        HeadLimits::new().max_size(self.size).max_headers(self.fields).max_target(self.target)
    }
}

pub(super) struct Head {
    pub(super) first_line: Vec<u8>,
    /// Names and values, these without blanks around them.
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes, with the empty line.
    pub(super) length: usize,
}

impl Head {
    /// The head in front of `bytes`; what there is of it if it is not complete.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut head = Self { first_line: Vec::new(), fields: Vec::new(), length: 0 };
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            head.length += line.len();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if head.first_line.is_empty() {
                head.first_line = line.to_vec();
            } else if line.is_empty() {
                break;
            } else {
                let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
                let value = trim(line.get(colon + 1..).unwrap_or(b""));
                head.fields.push((line[..colon].to_vec(), value.to_vec()));
            }
        }
        head
    }

    /// The target of a request.
    pub(super) fn target(&self) -> &[u8] {
        self.first_line.split(|&byte| byte == b' ').nth(1).unwrap_or_default()
    }

    pub(super) fn all(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter();
        fields
            .filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| &value[..])
            .collect()
    }

    pub(super) fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().copied()
    }

    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.all(name).len() > 1
    }

    /// Whether a list has this element, in any of its lines (RFC 9110 §5.3, §5.6.1).
    pub(super) fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name).iter().any(|e| e.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// All elements of a list, the empty ones too.
    pub(super) fn elements(&self, name: &str) -> Vec<&[u8]> {
        self.all(name).iter().flat_map(|v| v.split(|&byte| byte == b',')).map(trim).collect()
    }

    /// A length other than 0, or a coding (RFC 9112 §6).
    pub(super) fn has_body(&self) -> bool {
        let zero = |value: &&[u8]| !value.is_empty() && value.iter().all(|&byte| byte == b'0');
        !self.all("Content-Length").iter().all(zero) || self.first("Transfer-Encoding").is_some()
    }

    /// `#extension`, with at least one (§9.1).
    pub(super) fn has_valid_extensions(&self) -> bool {
        let extensions = self.extensions();
        !extensions.is_empty() && extensions.iter().all(is_extension)
    }

    /// More extensions, or parameters of one, than are kept: of a response that is an error.
    pub(super) fn has_many_extensions(&self) -> bool {
        let extensions = self.extensions();
        let params = |text: &&[u8]| text.split(|&byte| byte == b';').count() - 1;
        extensions.len() > 32 || extensions.iter().any(|extension| params(extension) > 16)
    }

    fn extensions(&self) -> Vec<&[u8]> {
        let elements = self.elements("Sec-WebSocket-Extensions");
        elements.into_iter().filter(|element| !element.is_empty()).collect()
    }

    /// `1#token` without repetitions, up to a sane number (§4.1, §11.3.4).
    pub(super) fn has_valid_subprotocols(&self) -> bool {
        let elements = self.elements("Sec-WebSocket-Protocol");
        let names: Vec<&[u8]> =
            elements.into_iter().filter(|element| !element.is_empty()).collect();
        let once = |(at, name): (usize, &&[u8])| !names[..at].contains(name);
        !names.is_empty()
            && names.iter().all(is_token)
            && names.iter().enumerate().take(64).all(once)
    }

    pub(super) fn is_beyond(&self, limits: Limits) -> bool {
        self.length > limits.size
            || self.fields.len() > limits.fields
            || self.target().len() > limits.target
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.first_line.escape_ascii())?;
        for (name, value) in &self.fields {
            writeln!(f, "{}: {}", name.escape_ascii(), value.escape_ascii())?;
        }
        Ok(())
    }
}

fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().take_while(|byte| blank(byte)).count();
    let end = value[start..].iter().rev().take_while(|byte| blank(byte)).count();
    &value[start..value.len() - end]
}

/// RFC 9110 §5.6.2.
fn is_token(text: &&[u8]) -> bool {
    const OTHERS: &[u8] = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || OTHERS.contains(b))
}

/// `token *( ";" token [ "=" (token | quoted-string) ] )`
fn is_extension(text: &&[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b';').map(trim);
    let name = parts.next().is_some_and(|name| is_token(&name));
    let params: Vec<&[u8]> = parts.collect();
    name && params.iter().all(|param| match param.iter().position(|&byte| byte == b'=') {
        None => is_token(param),
        Some(at) => {
            let value = trim(&param[at + 1..]);
            let quoted = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\""));
            let value = quoted.map_or(Some(value.to_vec()), unescape);
            is_token(&trim(&param[..at])) && value.is_some_and(|value| is_token(&&value[..]))
        }
    })
}

/// RFC 9110 §5.6.4.
fn unescape(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        text.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    Some(text)
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), without the percent escapes that no host name needs.
pub(super) fn is_host(value: &[u8]) -> bool {
    const OTHERS: &[u8] = b"-._~!$&'()*+,;=";
    let Ok(text) = core::str::from_utf8(value) else { return false };
    let (is_host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, port))) => (address.parse::<Ipv6Addr>().is_ok(), port),
        Some(None) => return false,
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let legal = |b: u8| b.is_ascii_alphanumeric() || OTHERS.contains(&b);
            (!name.is_empty() && name.bytes().all(legal), port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|p| p > 0)
        }
    };
    is_host && is_port
}

/// As tungstenite reads a value that has to be text.
pub(super) fn visible(value: &[u8]) -> Option<&str> {
    let visible = |b: &u8| matches!(b, b'\t' | b' '..=b'~');
    core::str::from_utf8(value).ok().filter(|_| value.iter().all(visible))
}
