//! The header fields of a request or a response.

use crate::grammar;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str};

/// Header fields in order. Names ignore the case of ASCII letters.
///
/// Every field in it is legal: its name is a token and its value has no control bytes except tabs,
/// so a value cannot add a line (RFC 9110 §5.5). Values are bytes, because HTTP allows any from
/// 0x80 on. A look-up goes through all fields; [`HeadLimits`](super::HeadLimits) bounds how many a
/// peer can send.
///
/// `Debug` hides the values of `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie`.
///
/// ```
/// use fullduplex::handshake::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("X-Request-Id", "17")?;
/// headers.append("Cookie", "session=secret")?;
/// assert_eq!(headers.get("x-request-id"), Some("17"));
/// assert!(!format!("{headers:?}").contains("secret"));
/// assert!(headers.append("X-Evil", "a\r\nSet-Cookie: b").is_err());
/// # Ok::<(), fullduplex::handshake::InvalidHeader>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    /// Where each field ends in `names` and in `values`; it starts where the one before ends.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// Creates an empty list.
    pub const fn new() -> Self {
        Self { names: String::new(), values: Vec::new(), ends: Vec::new() }
    }

    /// Adds a field after all others, even if one of that name is there. Removes spaces and tabs
    /// around the value.
    ///
    /// # Errors
    /// [`InvalidHeader`] if the name is not a token or the value has a control byte.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let value = value.as_ref();
        if !grammar::is_token(name.as_bytes()) {
            return Err(InvalidHeader::Name(name.to_string()));
        }
        if let Some((at, byte)) = grammar::bad_value_byte(value) {
            return Err(InvalidHeader::Value { name: name.to_string(), at, byte });
        }
        self.push(name, grammar::trim(value));
        Ok(())
    }

    /// The value of the first field of this name; `None` if there is none or it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.get_all(name).next()?).ok()
    }

    /// The values of all fields of this name, in order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }

    /// All fields in order, with their names as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let starts = core::iter::once(&(0, 0)).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| (&self.names[start.0..end.0], &self.values[start.1..end.1]))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a field that is known to be legal.
    pub(super) fn push(&mut self, name: &str, value: &[u8]) {
        debug_assert!(grammar::is_token(name.as_bytes()));
        debug_assert_eq!(grammar::bad_value_byte(value), None);
        self.names.push_str(name);
        self.values.extend_from_slice(value);
        self.ends.push((self.names.len(), self.values.len()));
    }

    pub(super) fn from_parsed(fields: &[httparse::Header<'_>]) -> Self {
        let mut headers = Self {
            names: String::with_capacity(fields.iter().map(|field| field.name.len()).sum()),
            values: Vec::with_capacity(fields.iter().map(|field| field.value.len()).sum()),
            ends: Vec::with_capacity(fields.len()),
        };
        for field in fields {
            headers.push(field.name, field.value);
        }
        headers
    }

    /// Whether any line of a list field holds `token`, ignoring case.
    pub(super) fn list_contains(&self, name: &str, token: &str) -> bool {
        self.get_all(name)
            .flat_map(grammar::elements)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The value of a field that may occur once.
    pub(super) fn once(&self, name: &str) -> Once<'_> {
        let mut values = self.get_all(name);
        match (values.next(), values.next()) {
            (None, _) => Once::Missing,
            (Some(value), None) => Once::One(value),
            (Some(_), Some(_)) => Once::Repeated,
        }
    }

    /// Writes one line per field.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            write_line(out, name, value);
        }
    }
}

/// The values found of a field that may occur once.
pub(super) enum Once<'a> {
    Missing,
    One(&'a [u8]),
    Repeated,
}

/// Writes `name: value` and the end of the line.
pub(super) fn write_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECRET: [&str; 4] = ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"];
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            if SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                map.entry(&name, &format_args!("<{} bytes hidden>", value.len()));
            } else {
                map.entry(&name, &format_args!("\"{}\"", value.escape_ascii()));
            }
        }
        map.finish()
    }
}

/// A header field that may not be sent (RFC 9110 §5.1 and §5.5). Its text never contains the value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is not a token.
    Name(String),
    /// The value holds a control byte: CR, LF, NUL or another that is not a tab.
    Value {
        /// The name of the field.
        name: String,
        /// Where in the value the byte is, counted from 0.
        at: usize,
        /// The byte.
        byte: u8,
    },
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} is not a header name"),
            Self::Value { name, at, byte } => {
                write!(
                    f,
                    "header {name} has the control byte {byte:#04x} at byte {at} of its value"
                )
            }
        }
    }
}

impl core::error::Error for InvalidHeader {}

/// Writes the text of the error for a [reserved](is_reserved) field.
pub(super) fn fmt_reserved(name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "header {name:?} is written by the library: leave it out")
}

/// Whether only the library may set this field, for the handshake or HTTP's framing.
pub(super) fn is_reserved(name: &str) -> bool {
    const PREFIX: &[u8] = b"sec-websocket-";
    const NAMES: [&str; 11] = [
        "Host",
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Expect",
        "Keep-Alive",
        "Proxy-Connection",
        "HTTP2-Settings",
    ];
    NAMES.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
        || name.as_bytes().get(..PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// RFC 9110 §5.1 and checklist 37: names ignore the case of ASCII letters, and of those only.
    #[test]
    fn rfc9110_5_1_names_ignore_ascii_case() {
        let mut headers = Headers::new();
        assert!(headers.is_empty());
        headers.append("X-A", "1").unwrap();
        headers.append("x-b", " \t2 ").unwrap();
        headers.append("x-a", "3").unwrap();
        headers.append("X-Empty", "").unwrap();
        assert_eq!((headers.get("x-A"), headers.get("X-B")), (Some("1"), Some("2")));
        assert_eq!(headers.get("X-Empty"), Some(""));
        assert_eq!(headers.get_all("X-A").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!((headers.get("X"), headers.len(), headers.is_empty()), (None, 4, false));
        // U+212A KELVIN SIGN is a "k" only outside ASCII.
        headers.append("k", "5").unwrap();
        assert_eq!(headers.get("\u{212a}"), None);
    }

    /// RFC 9110 §5.5, checklist 134: no control bytes get in.
    #[test]
    fn rfc9110_5_5_control_bytes_are_refused() {
        for byte in 0..=255u8 {
            let legal = byte == b'\t' || byte >= b' ' && byte != 0x7f;
            let result = Headers::new().append("X", [b'a', byte, b'b']);
            assert_eq!(result.is_ok(), legal, "{byte:#04x}");
            let name = [b'a', byte];
            if let Ok(name) = str::from_utf8(&name) {
                let legal = grammar::is_tchar(byte);
                assert_eq!(Headers::new().append(name, "").is_ok(), legal, "{byte:#04x}");
            }
        }
        assert!(Headers::new().append("", "x").is_err());
    }

    #[test]
    fn values_are_bytes_and_get_is_text() {
        let mut headers = Headers::new();
        headers.append("X", b"\xff".as_slice()).unwrap();
        assert_eq!(headers.get("X"), None);
        assert_eq!(headers.get_all("X").next(), Some(b"\xff".as_slice()));
    }

    #[test]
    fn debug_hides_credentials() {
        for name in ["authorization", "Cookie", "PROXY-AUTHORIZATION", "Set-cookie"] {
            let mut headers = Headers::new();
            headers.append(name, "secret").unwrap();
            headers.append("X", "seen\u{7e}").unwrap();
            let text = format!("{headers:?}");
            assert!(!text.contains("secret") && text.contains("seen"), "{text}");
        }
        let error = Headers::new().append("Cookie", "secret\n").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn reserved_names_ignore_case() {
        for name in ["host", "UPGRADE", "Sec-WebSocket-Key", "sec-websocket-anything", "te"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["Authorization", "Sec-WebSocke", "Sec-Fetch-Mode", "X-Host", "Date"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
