//! Subprotocols and extensions: the lists of `Sec-WebSocket-Protocol` and
//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1, §11.3.2 and §11.3.4).

use super::grammar;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    str::{self, FromStr},
};

/// An extension with its parameters, as offered by a client or accepted by a server
/// (RFC 6455 §9.1).
///
/// This is the hook for extensions: a client offers some in its
/// [`Request`](super::Request::extension), most wanted first, and finds the accepted ones in
/// [`Response::extensions`](super::Response::extensions); a server finds the offers in
/// [`UpgradeRequest::extensions`](super::UpgradeRequest::extensions) and accepts some in its
/// [`Acceptance`](super::Acceptance::extension). That names were offered is checked here; what the
/// parameters mean is the extension's to judge.
///
/// Names and values are tokens, so an extension can always be written. They are compared exactly.
///
/// ```
/// use fullduplex::handshake::Extension;
///
/// let offer = Extension::new("permessage-deflate")?
///     .param("client_max_window_bits", None)?
///     .param("server_max_window_bits", Some("10"))?;
/// let text = "permessage-deflate; client_max_window_bits; server_max_window_bits=10";
/// assert_eq!(offer.to_string(), text);
/// assert_eq!(text.parse::<Extension>()?, offer);
/// # Ok::<(), fullduplex::handshake::InvalidExtension>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extension {
    name: String,
    params: Vec<(String, Option<String>)>,
}

impl Extension {
    /// An extension without parameters.
    ///
    /// # Errors
    /// [`InvalidExtension`] when `name` is not a token.
    pub fn new(name: &str) -> Result<Self, InvalidExtension> {
        check_token(name)?;
        Ok(Self { name: name.to_string(), params: Vec::new() })
    }

    /// Adds a parameter after the others.
    ///
    /// # Errors
    /// [`InvalidExtension`] when `name` or `value` is not a token, or there are too many.
    pub fn param(mut self, name: &str, value: Option<&str>) -> Result<Self, InvalidExtension> {
        check_token(name)?;
        value.map(check_token).transpose()?;
        if self.params.len() == MAX_PARAMS {
            return Err(InvalidExtension::TooManyParams);
        }
        self.params.push((name.to_string(), value.map(ToString::to_string)));
        Ok(self)
    }

    /// An extension whose name is a token that stands in this crate.
    #[cfg(feature = "deflate")]
    pub(crate) fn known(name: &'static str) -> Self {
        Self { name: name.to_string(), params: Vec::new() }
    }

    /// Adds a parameter whose name stands in this crate, and whose value is a token.
    #[cfg(feature = "deflate")]
    pub(crate) fn push_known(&mut self, name: &'static str, value: Option<String>) {
        self.params.push((name.to_string(), value));
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters in their order: names and, where there is one, values. A name can come more
    /// than once; whether it may is for the extension to say.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, Option<&str>)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

/// At most so many extensions are read from a list.
const MAX_EXTENSIONS: usize = 32;

/// At most so many parameters are read for one extension.
const MAX_PARAMS: usize = 16;

/// At most so many subprotocols are read from a list.
const MAX_SUBPROTOCOLS: usize = 64;

/// RFC 9110 §5.6.1.2: "a reasonable number of empty list elements".
const MAX_EMPTY: usize = 16;

fn check_token(text: &str) -> Result<(), InvalidExtension> {
    match grammar::is_token(text.as_bytes()) {
        true => Ok(()),
        false => Err(InvalidExtension::NotToken(text.to_string())),
    }
}

/// Reads all lines of `Sec-WebSocket-Extensions`; several are one joined list (§9.1). Without a
/// line the list is empty; lines without an element break the grammar.
pub(super) fn parse_extensions<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension>, InvalidExtension> {
    let mut list = Vec::new();
    let mut empty = 0;
    let mut any_line = false;
    for line in lines {
        any_line = true;
        Cursor::new(line).extensions(&mut list, &mut empty)?;
    }
    if any_line && list.is_empty() {
        return Err(InvalidExtension::Empty);
    }
    Ok(list)
}

/// Reads all lines of `Sec-WebSocket-Protocol` in a request; several are one joined list
/// (§11.3.4).
pub(super) fn parse_subprotocols<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<String>, InvalidSubprotocol> {
    let mut list: Vec<String> = Vec::new();
    let mut empty = 0;
    let mut any_line = false;
    for element in lines.flat_map(|line| line.split(|&byte| byte == b',')).map(grammar::trim) {
        any_line = true;
        if element.is_empty() {
            empty += 1;
            if empty > MAX_EMPTY {
                return Err(InvalidSubprotocol::TooMany);
            }
            continue;
        }
        add_subprotocol(&mut list, element)?;
    }
    if any_line && list.is_empty() {
        return Err(InvalidSubprotocol::Empty);
    }
    Ok(list)
}

/// Adds one subprotocol: a token that is not in the list yet (§4.1).
pub(super) fn add_subprotocol(
    list: &mut Vec<String>,
    name: &[u8],
) -> Result<(), InvalidSubprotocol> {
    let text = || str::from_utf8(name).ok().filter(|_| grammar::is_token(name));
    let Some(name) = text() else {
        return Err(InvalidSubprotocol::NotToken(String::from_utf8_lossy(name).into_owned()));
    };
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

/// The extensions as one line.
pub(super) fn join(extensions: &[Extension]) -> String {
    let mut line = String::new();
    for extension in extensions {
        let comma = if line.is_empty() { "" } else { ", " };
        line.push_str(&format!("{comma}{extension}"));
    }
    line
}

/// Goes through a line once, byte by byte.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    #[cfg(test)]
    steps: usize,
}

impl<'a> Cursor<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self {
            line,
            at: 0,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// `1#extension`: appends what the line holds to `list`.
    fn extensions(
        &mut self,
        list: &mut Vec<Extension>,
        empty: &mut usize,
    ) -> Result<(), InvalidExtension> {
        loop {
            self.skip_blanks();
            if self.peek().is_none() {
                return Ok(());
            }
            if self.eat(b',') {
                *empty += 1;
                if *empty > MAX_EMPTY {
                    return Err(InvalidExtension::TooMany);
                }
                continue;
            }
            if list.len() == MAX_EXTENSIONS {
                return Err(InvalidExtension::TooMany);
            }
            list.push(self.extension()?);
            self.skip_blanks();
            if !self.eat(b',') && self.peek().is_some() {
                return Err(self.syntax());
            }
        }
    }

    /// `token *( ";" token [ "=" (token | quoted-string) ] )`
    fn extension(&mut self) -> Result<Extension, InvalidExtension> {
        let name = self.token()?;
        let mut params = Vec::new();
        loop {
            self.skip_blanks();
            if !self.eat(b';') {
                return Ok(Extension { name, params });
            }
            if params.len() == MAX_PARAMS {
                return Err(InvalidExtension::TooManyParams);
            }
            self.skip_blanks();
            let name = self.token()?;
            self.skip_blanks();
            let value = if self.eat(b'=') {
                self.skip_blanks();
                Some(if self.eat(b'"') { self.quoted()? } else { self.token()? })
            } else {
                None
            };
            params.push((name, value));
        }
    }

    fn token(&mut self) -> Result<String, InvalidExtension> {
        let mut token = String::new();
        while let Some(byte) = self.peek().filter(|&byte| grammar::is_tchar(byte)) {
            token.push(byte.into());
            self.advance();
        }
        if token.is_empty() { Err(self.syntax()) } else { Ok(token) }
    }

    /// The rest of a quoted string; what it holds, escapes undone, has to be a token (§9.1).
    fn quoted(&mut self) -> Result<String, InvalidExtension> {
        let mut token = String::new();
        loop {
            if self.eat(b'"') {
                return if token.is_empty() { Err(self.syntax()) } else { Ok(token) };
            }
            self.eat(b'\\');
            match self.peek().filter(|&byte| grammar::is_tchar(byte)) {
                Some(byte) => token.push(byte.into()),
                None => return Err(self.syntax()),
            }
            self.advance();
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.advance();
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.advance();
        }
        found
    }

    fn peek(&mut self) -> Option<u8> {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        self.line.get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    #[cold]
    fn syntax(&self) -> InvalidExtension {
        InvalidExtension::Syntax { at: self.at }
    }
}

/// As it stands in `Sec-WebSocket-Extensions`.
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (name, value) in self.params() {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Extension {
    type Err = InvalidExtension;

    fn from_str(text: &str) -> Result<Self, InvalidExtension> {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_blanks();
        let extension = cursor.extension()?;
        if cursor.peek().is_some() {
            return Err(cursor.syntax());
        }
        Ok(extension)
    }
}

/// A list of extensions that breaks the grammar of RFC 6455 §9.1, or is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidExtension {
    /// A byte that cannot stand where it does.
    Syntax {
        /// Where in its line, counted from 0.
        at: usize,
    },
    /// A name or value that is not a token.
    NotToken(String),
    /// A header without any extension in it.
    Empty,
    /// More than 32 extensions, or a flood of empty list elements.
    TooMany,
    /// More than 16 parameters of one extension.
    TooManyParams,
}

impl fmt::Display for InvalidExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at } => write!(f, "malformed list of extensions at byte {at}"),
            Self::NotToken(text) => write!(f, "{text:?} is not a token"),
            Self::Empty => f.write_str("empty list of extensions"),
            Self::TooMany => write!(f, "more than {MAX_EXTENSIONS} extensions or empty elements"),
            Self::TooManyParams => {
                write!(f, "more than {MAX_PARAMS} parameters of one extension")
            }
        }
    }
}

impl core::error::Error for InvalidExtension {}

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
    /// More than 64 subprotocols, or a flood of empty list elements.
    TooMany,
}

impl fmt::Display for InvalidSubprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotToken(name) => write!(f, "subprotocol {name:?} is not a token"),
            Self::Repeated(name) => write!(f, "subprotocol {name:?} is offered twice"),
            Self::Empty => f.write_str("empty list of subprotocols"),
            Self::TooMany => {
                write!(f, "more than {MAX_SUBPROTOCOLS} subprotocols or empty elements")
            }
        }
    }
}

impl core::error::Error for InvalidSubprotocol {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    fn extensions(line: &str) -> Result<Vec<Extension>, InvalidExtension> {
        parse_extensions([line.as_bytes()].into_iter())
    }

    fn subprotocols(line: &str) -> Result<Vec<String>, InvalidSubprotocol> {
        parse_subprotocols([line.as_bytes()].into_iter())
    }

    /// §9.1, checklist 92: what the grammar has.
    #[test]
    fn section_9_1_grammar() {
        let cases = [
            ("deflate-stream", "deflate-stream"),
            (
                "mux; max-channels=4; flow-control, deflate-stream",
                "mux; max-channels=4; flow-control, deflate-stream",
            ),
            ("a;b=c", "a; b=c"),
            (" a ; b = c ,\td", "a; b=c, d"),
            ("a; b=\"c\"", "a; b=c"),
            ("a; b=\"\\c\\d\"", "a; b=cd"),
            ("a; b=\"c\" ; d", "a; b=c; d"),
            (",, a ,, b ,", "a, b"),
            ("a; b; b; b=1", "a; b; b; b=1"),
            ("constructor; __proto__=1", "constructor; __proto__=1"),
            (
                "permessage-deflate, permessage-deflate; x",
                "permessage-deflate, permessage-deflate; x",
            ),
        ];
        for (line, normal) in cases {
            let list = extensions(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(join(&list), normal, "{line}");
            assert_eq!(extensions(normal), Ok(list), "{line}");
        }
    }

    /// §9.1, checklist 92: everything else fails the handshake.
    #[test]
    fn section_9_1_malformed() {
        let cases = [
            ";",
            "a;",
            "a; ",
            "a;;b",
            "a;,b",
            "a b",
            "a; b c",
            "a; =c",
            "a; b=",
            "a; b==c",
            "=a",
            "a=b",
            "a; b=\"",
            "a; b=\"\"",
            "a; b=\"c",
            "a; b=\"c\\",
            "a; b=\"c d\"",
            "a; b=\"c\\\"\"",
            "a; b=\"c,d\"",
            "a; b=\"c\"d",
            "a; b='c d'",
            "\"a\"",
            "a; \"b\"",
            "a; b=c/d",
            "\u{e9}",
            "a\0",
            "a; b=\u{661}",
            "a/b",
        ];
        for line in cases {
            assert!(
                matches!(extensions(line), Err(InvalidExtension::Syntax { .. })),
                "{line:?}: {:?}",
                extensions(line)
            );
        }
        for line in ["", " ", ",", " , ,"] {
            assert_eq!(extensions(line), Err(InvalidExtension::Empty), "{line:?}");
        }
        assert_eq!(extensions("a; b=c/d"), Err(InvalidExtension::Syntax { at: 6 }));
    }

    /// §9.1 and §11.3.2 with erratum 3433, checklist 36 and 93: split and joined lines are equal.
    #[test]
    fn section_9_1_split_lines_are_one_list() {
        let split = parse_extensions([b"foo".as_slice(), b"bar; baz=2"].into_iter());
        assert_eq!(split, extensions("foo, bar; baz=2"));
        let split = parse_extensions([b"".as_slice(), b"foo", b", "].into_iter());
        assert_eq!(split, extensions("foo"));
        assert_eq!(parse_extensions(core::iter::empty()), Ok(vec![]));
        let split = parse_subprotocols([b"a, b".as_slice(), b"c"].into_iter());
        assert_eq!(split, subprotocols("a,b,c"));
    }

    #[test]
    fn section_9_1_extensions_hold_tokens_only() {
        for bad in ["", "a b", "a,b", "a;b", "a\r\nX: y", "\"a\"", "a=b", "\u{e9}"] {
            assert_eq!(Extension::new(bad), Err(InvalidExtension::NotToken(bad.into())));
            let extension = Extension::new("a").unwrap();
            assert!(extension.clone().param(bad, None).is_err(), "{bad:?}");
            assert!(extension.param("b", Some(bad)).is_err(), "{bad:?}");
        }
        for bad in ["a, b", "a,", "", "a;", "a; b=\"c d\""] {
            assert!(bad.parse::<Extension>().is_err(), "{bad:?}");
        }
        assert_eq!(" a; b=\"1\" ".parse::<Extension>().unwrap().to_string(), "a; b=1");
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
        assert!(parse_subprotocols([b"\xff".as_slice()].into_iter()).is_err());
    }

    #[test]
    fn lists_are_bounded_and_the_bounds_are_exact() {
        let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
        assert_eq!(subprotocols(&names(64).join(",")).unwrap().len(), 64);
        assert_eq!(subprotocols(&names(65).join(",")), Err(InvalidSubprotocol::TooMany));
        assert_eq!(extensions(&names(32).join(",")).unwrap().len(), 32);
        assert_eq!(extensions(&names(33).join(",")), Err(InvalidExtension::TooMany));
        assert!(extensions(&format!("a;{}", names(16).join(";"))).is_ok());
        let long = format!("a;{}", names(17).join(";"));
        assert_eq!(extensions(&long), Err(InvalidExtension::TooManyParams));
        assert!(extensions(&format!("{}a", ",".repeat(16))).is_ok());
        assert_eq!(extensions(&",".repeat(17)), Err(InvalidExtension::TooMany));
        assert_eq!(subprotocols(&format!("{}a", ",".repeat(16))).unwrap(), ["a"]);
        assert_eq!(subprotocols(&format!("{}a", ",".repeat(17))), Err(InvalidSubprotocol::TooMany));
        assert_eq!(subprotocols(&",".repeat(8192)), Err(InvalidSubprotocol::TooMany));
        let full = (0..16).try_fold(Extension::new("a").unwrap(), |e, _| e.param("b", None));
        assert_eq!(full.unwrap().param("b", None), Err(InvalidExtension::TooManyParams));
    }

    /// Known failure 28: hostile lists take a number of steps that is linear in their length.
    #[test]
    fn known_failure_28_hostile_lists_are_linear() {
        let pieces = [
            " ",
            "\t",
            "a",
            ",",
            ";",
            "=",
            "\"",
            "\\c\\c",
            "a;",
            "a;a=\"\\c",
            "a,",
            " ,",
            "a ",
            "a;a=a;",
            "a=\"a\";",
            "\\",
            "\"a\"",
            "constructor,",
        ];
        for start in ["", "a", "a;", "a;b=", "a;b=\"", ","] {
            for piece in pieces {
                for end in ["", "\"", "x", "@"] {
                    let line = format!("{start}{}{end}", piece.repeat(8192 / piece.len()));
                    let mut cursor = Cursor::new(line.as_bytes());
                    let mut list = Vec::new();
                    let _ = cursor.extensions(&mut list, &mut 0);
                    assert!(list.len() <= MAX_EXTENSIONS);
                    let steps = cursor.steps;
                    assert!(
                        (1..=4 * line.len() + 16).contains(&steps),
                        "{steps} steps: {start}{piece}…{end}"
                    );
                    let _ = subprotocols(&line);
                }
            }
        }
    }

    /// Known failure 16: odd parameter values are data or errors, never a panic.
    #[test]
    fn known_failure_16_parameter_values() {
        for number in 0..1000 {
            let list = extensions(&format!("permessage-deflate; server_max_window_bits={number}"));
            let list = list.unwrap();
            let value = list[0].params().next().unwrap().1;
            assert_eq!(value, Some(number.to_string().as_str()));
        }
        let value = |value| extensions(&format!("a; b={value}")).map(|list| list[0].to_string());
        assert_eq!(value("\"15 \""), Err(InvalidExtension::Syntax { at: 8 }));
        assert_eq!(value("15 ").unwrap(), "a; b=15");
        assert_eq!(value("08").unwrap(), "a; b=08");
        assert_eq!(value("-1").unwrap(), "a; b=-1");
        assert!(value("\"\"").is_err() && value("\u{661}").is_err());
    }
}
