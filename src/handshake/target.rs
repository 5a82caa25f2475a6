//! The target of a request: path and query.

use super::url::escaped;
use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt;

/// Path and query. `Debug` hides the query, which often holds a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target(pub(super) String);

impl Target {
    pub(super) fn path(&self) -> &str {
        self.0.split_once('?').map_or(&self.0, |(path, _)| path)
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.0.split_once('?').map(|(_, query)| query)
    }

    /// The pairs of a query that a form made (WHATWG URL, `application/x-www-form-urlencoded`):
    /// `a=1&b`, where `+` is a space. Lazy: each step decodes one pair.
    pub(super) fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let pairs = self.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.query().is_some() { "?<hidden>" } else { "" };
        write!(f, "{}{query}", self.path())
    }
}

/// Decodes escapes. Broken ones stay as they are, and bytes that are not UTF-8 are replaced.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let (byte, width) = match byte {
            b'+' => (b' ', 1),
            b'%' => escaped(text.as_bytes(), at).map_or((b'%', 1), |byte| (byte, 3)),
            byte => (byte, 1),
        };
        bytes.push(byte);
        at += width;
    }
    let replaced = |error: alloc::string::FromUtf8Error| {
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    };
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(replaced))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// B10: queries as forms and `URLSearchParams` write them.
    #[test]
    fn pairs_are_decoded() {
        let cases: [(&str, &[(&str, &str)]); 9] = [
            ("", &[]),
            ("&&", &[]),
            ("a=1&b=2", &[("a", "1"), ("b", "2")]),
            ("a&b=&=c", &[("a", ""), ("b", ""), ("", "c")]),
            ("a=b=c&a", &[("a", "b=c"), ("a", "")]),
            ("q=a+b%20c%2B%26", &[("q", "a b c+&")]),
            ("%C3%A9=%e2%82%ac", &[("\u{e9}", "\u{20ac}")]),
            ("a=%&b=%4&c=%zz&d=100%", &[("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "100%")]),
            ("a=%ff%41", &[("a", "\u{fffd}A")]),
        ];
        for (query, expected) in cases {
            let target = Target(format!("/?{query}"));
            let read: Vec<_> = target.query_pairs().collect();
            assert_eq!(read.len(), expected.len(), "{query}");
            for ((name, value), expected) in read.iter().zip(expected) {
                assert_eq!((&**name, &**value), *expected, "{query}");
            }
        }
        let target = Target("/?room=1".into());
        let plain: Vec<_> = target.query_pairs().collect();
        assert!(matches!(plain[..], [(Cow::Borrowed("room"), Cow::Borrowed("1"))]));
    }
}
