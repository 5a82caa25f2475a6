//! The query of a target, decoded.

use super::url::escaped;
use alloc::{borrow::Cow, string::String, vec::Vec};

/// The pairs of a query that was made by a form (WHATWG URL, `application/x-www-form-urlencoded`):
/// `a=1&b`, where `+` is a space. Lazy: each step looks at one pair.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Without its escapes. What is no escape stays as it is, and what is not UTF-8 is replaced.
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

    /// B10: what forms and `URLSearchParams` write is read again.
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
            let read: Vec<_> = pairs(query).collect();
            assert_eq!(read.len(), expected.len(), "{query}");
            for ((name, value), expected) in read.iter().zip(expected) {
                assert_eq!((&**name, &**value), *expected, "{query}");
            }
        }
        let plain: Vec<_> = pairs("room=1").collect();
        assert!(matches!(plain[..], [(Cow::Borrowed("room"), Cow::Borrowed("1"))]));
    }
}
