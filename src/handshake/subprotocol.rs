//! Subprotocols: the list of `Sec-WebSocket-Protocol` (RFC 6455 §11.3.4).

use crate::grammar;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str};

/// The most subprotocols kept of a request; the rest are ignored.
const MAX_SUBPROTOCOLS: usize = 64;

/// Reads all lines of `Sec-WebSocket-Protocol` in a request; several are one list (§11.3.4). Names
/// beyond the bound are checked and left out: a server may choose none of them.
pub(super) fn parse<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<String>, InvalidSubprotocol> {
    let mut list: Vec<String> = Vec::new();
    let mut any_line = false;
    // Empty elements cost no more than the bytes that they are, which the head's limit bounds
    // (RFC 9110 §5.6.1.2).
    for element in lines.flat_map(|line| line.split(|&byte| byte == b',')).map(grammar::trim) {
        any_line = true;
        if element.is_empty() {
            continue;
        }
        if list.len() == MAX_SUBPROTOCOLS {
            check(element)?;
        } else {
            add(&mut list, element)?;
        }
    }
    if any_line && list.is_empty() {
        return Err(InvalidSubprotocol::Empty);
    }
    Ok(list)
}

/// Adds one subprotocol: a token that is not in the list yet (§4.1).
pub(super) fn add(list: &mut Vec<String>, name: &[u8]) -> Result<(), InvalidSubprotocol> {
    let name = check(name)?;
    if list.len() == MAX_SUBPROTOCOLS {
        return Err(InvalidSubprotocol::TooMany);
    }
    // The list is short, so this is bounded.
    if list.iter().any(|other| other == name) {
        return Err(InvalidSubprotocol::Repeated(name.to_string()));
    }
    list.push(name.to_string());
    Ok(())
}

fn check(name: &[u8]) -> Result<&str, InvalidSubprotocol> {
    let text = str::from_utf8(name).ok().filter(|_| grammar::is_token(name));
    text.ok_or_else(|| InvalidSubprotocol::NotToken(String::from_utf8_lossy(name).into_owned()))
}

/// A subprotocol, or a list of them, that RFC 6455 §4.1 does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSubprotocol {
    /// A name that is not a token.
    NotToken(String),
    /// A name that is in the list twice.
    Repeated(String),
    /// A header without any subprotocol in it.
    Empty,
    /// More than 64 subprotocols of your own.
    TooMany,
}

impl fmt::Display for InvalidSubprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotToken(name) => {
                write!(f, "subprotocol {name:?} is not a token: use letters, digits and -")
            }
            Self::Repeated(name) => write!(f, "subprotocol {name:?} is offered twice"),
            Self::Empty => f.write_str("the list of subprotocols is empty"),
            Self::TooMany => {
                write!(f, "more than {MAX_SUBPROTOCOLS} subprotocols")
            }
        }
    }
}

impl core::error::Error for InvalidSubprotocol {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn subprotocols(line: &str) -> Result<Vec<String>, InvalidSubprotocol> {
        parse([line.as_bytes()].into_iter())
    }

    /// §4.1, checklist 13 and 38: non-empty tokens, all different, in order.
    #[test]
    fn section_4_1_subprotocols() {
        let list = subprotocols("chat.v2,\tsuper!chat ,, Chat.v2").unwrap();
        assert_eq!(list, ["chat.v2", "super!chat", "Chat.v2"]);
        let not_token = |name: &str| Err(InvalidSubprotocol::NotToken(name.into()));
        assert_eq!(subprotocols("a b"), not_token("a b"));
        assert_eq!(subprotocols("a, \"b\""), not_token("\"b\""));
        assert_eq!(subprotocols("a/1"), not_token("a/1"));
        assert_eq!(subprotocols("\u{e9}"), not_token("\u{e9}"));
        assert_eq!(subprotocols("a, b, a"), Err(InvalidSubprotocol::Repeated("a".into())));
        for empty in ["", ",", " , "] {
            assert_eq!(subprotocols(empty), Err(InvalidSubprotocol::Empty));
        }
        assert!(parse([b"\xff".as_slice()].into_iter()).is_err());
    }

    /// §11.3.4: split and joined lines are equal.
    #[test]
    fn section_11_3_4_split_lines_are_one_list() {
        let split = parse([b"a, b".as_slice(), b"c"].into_iter());
        assert_eq!(split, subprotocols("a,b,c"));
    }

    #[test]
    fn lists_are_bounded_and_the_bounds_are_exact() {
        let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
        // A8: names beyond the bound are declined, but their grammar is checked.
        for count in [64, 65, 1000] {
            assert_eq!(subprotocols(&names(count).join(",")).unwrap(), names(count)[..64]);
        }
        let long = names(65).join(",");
        assert_eq!(subprotocols(&(long.clone() + ", n0")).unwrap().len(), 64);
        assert_eq!(subprotocols(&(long + ",a b")), Err(InvalidSubprotocol::NotToken("a b".into())));
        for count in [16, 17, 8000] {
            let empty = ",".repeat(count);
            assert_eq!(subprotocols(&format!("{empty}a")).unwrap(), ["a"]);
            assert_eq!(subprotocols(&empty), Err(InvalidSubprotocol::Empty));
        }
        let mut own = names(64);
        assert_eq!(add(&mut own, b"other"), Err(InvalidSubprotocol::TooMany));
    }
}
