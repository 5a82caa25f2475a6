//! Extensions, offered and accepted: the list of `Sec-WebSocket-Extensions` (RFC 6455 §9.1 and
//! §11.3.2).

use crate::grammar;
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
/// Use it to negotiate extensions of your own. A client offers them in its
/// [`Request`](crate::handshake::Request::extension), the preferred one first, and finds the
/// accepted ones in [`Response::extensions`](crate::handshake::Response::extensions). A server
/// finds the offers in [`UpgradeRequest::extensions`](crate::handshake::UpgradeRequest::extensions)
/// and accepts some in its [`Acceptance`](crate::handshake::Acceptance::extension). The handshake
/// checks that accepted names were offered. Your extension judges the parameters.
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
    /// Creates an extension without parameters.
    ///
    /// # Errors
    /// [`InvalidExtension`] if `name` is not a token.
    pub fn new(name: &str) -> Result<Self, InvalidExtension> {
        check_token(name)?;
        Ok(Self { name: name.to_string(), params: Vec::new() })
    }

    /// Adds a parameter after the others.
    ///
    /// # Errors
    /// [`InvalidExtension`] if `name` or `value` is not a token, or there are 16 parameters
    /// already.
    pub fn param(mut self, name: &str, value: Option<&str>) -> Result<Self, InvalidExtension> {
        check_token(name)?;
        value.map(check_token).transpose()?;
        if self.params.len() == MAX_PARAMS {
            return Err(InvalidExtension::TooManyParams);
        }
        self.params.push((name.to_string(), value.map(ToString::to_string)));
        Ok(self)
    }

    /// Creates an extension whose name is a constant of this crate.
    #[cfg(feature = "deflate")]
    pub(crate) fn known(name: &'static str) -> Self {
        Self { name: name.to_string(), params: Vec::new() }
    }

    /// Adds a parameter whose name is a constant of this crate, and whose value is a token.
    #[cfg(feature = "deflate")]
    pub(crate) fn push_known(&mut self, name: &'static str, value: Option<String>) {
        self.params.push((name.to_string(), value));
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters in order: names, and values if they have any. A name can come more than once.
    /// The extension decides whether it may.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, Option<&str>)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

/// The most extensions kept of a list. More offers in a request are declined. More extensions in a
/// response are an error, because each of them is in force.
const MAX_EXTENSIONS: usize = 32;

/// The most parameters of an extension. An offer with more is declined.
const MAX_PARAMS: usize = 16;

fn check_token(text: &str) -> Result<(), InvalidExtension> {
    match grammar::is_token(text.as_bytes()) {
        true => Ok(()),
        false => Err(InvalidExtension::NotToken(text.to_string())),
    }
}

/// Reads all lines of `Sec-WebSocket-Extensions` in a request; several are one list (§9.1). Without
/// a line the list is empty; lines without an element break the grammar.
///
/// A server may decline any offer (§9.1), so offers beyond the bound or with too many parameters
/// are read and left out.
pub(crate) fn parse_offers<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension>, InvalidExtension> {
    parse_extensions(lines, |list, extension| {
        if let (Ok(extension), true) = (extension, list.len() < MAX_EXTENSIONS) {
            list.push(extension);
        }
        Ok(())
    })
}

/// Like [`parse_offers`], for a response, where too many extensions are an error.
pub(crate) fn parse_accepted<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension>, InvalidExtension> {
    parse_extensions(lines, |list, extension| {
        if list.len() == MAX_EXTENSIONS {
            return Err(InvalidExtension::TooMany);
        }
        list.push(extension?);
        Ok(())
    })
}

fn parse_extensions<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    mut keep: impl FnMut(
        &mut Vec<Extension>,
        Result<Extension, InvalidExtension>,
    ) -> Result<(), InvalidExtension>,
) -> Result<Vec<Extension>, InvalidExtension> {
    let mut list = Vec::new();
    let (mut any_line, mut any) = (false, false);
    for line in lines {
        any_line = true;
        Cursor::new(line).extensions(|extension| {
            any = true;
            keep(&mut list, extension)
        })?;
    }
    if any_line && !any {
        return Err(InvalidExtension::Empty);
    }
    Ok(list)
}

/// Whether permessage-deflate (RFC 7692) is among them.
#[cfg(feature = "std")]
pub(crate) fn has_deflate(extensions: &[Extension]) -> bool {
    extensions.iter().any(|extension| extension.name() == "permessage-deflate")
}

/// The text of the error if permessage-deflate is given by hand but not turned on.
pub(crate) const DEFLATE_OFF: &str = "permessage-deflate is given by hand, but not turned on: \
    set Config::deflate (feature `deflate`), which negotiates it by itself";

/// The extensions as one line.
pub(crate) fn join(extensions: &[Extension]) -> String {
    let mut line = String::new();
    for extension in extensions {
        let comma = if line.is_empty() { "" } else { ", " };
        line.push_str(&format!("{comma}{extension}"));
    }
    line
}

/// Reads a line once, byte by byte.
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

    /// `1#extension`: gives each extension to `keep`. Empty elements cost only their bytes, which
    /// the head's limit bounds (RFC 9110 §5.6.1.2).
    fn extensions(
        &mut self,
        mut keep: impl FnMut(Result<Extension, InvalidExtension>) -> Result<(), InvalidExtension>,
    ) -> Result<(), InvalidExtension> {
        loop {
            self.skip_blanks();
            if self.peek().is_none() {
                return Ok(());
            }
            if self.eat(b',') {
                continue;
            }
            let extension = match self.extension() {
                Err(error @ InvalidExtension::Syntax { .. }) => return Err(error),
                extension => extension,
            };
            keep(extension)?;
            self.skip_blanks();
            if !self.eat(b',') && self.peek().is_some() {
                return Err(self.syntax());
            }
        }
    }

    /// `token *( ";" token [ "=" (token | quoted-string) ] )`: reads all of it even if it has too
    /// many parameters.
    fn extension(&mut self) -> Result<Extension, InvalidExtension> {
        let name = self.token()?;
        let mut params = Vec::new();
        let mut too_many = false;
        loop {
            self.skip_blanks();
            if !self.eat(b';') {
                break;
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
            if params.len() == MAX_PARAMS {
                too_many = true;
            } else {
                params.push((name, value));
            }
        }
        if too_many { Err(InvalidExtension::TooManyParams) } else { Ok(Extension { name, params }) }
    }

    fn token(&mut self) -> Result<String, InvalidExtension> {
        let mut token = String::new();
        while let Some(byte) = self.peek().filter(|&byte| grammar::is_tchar(byte)) {
            token.push(byte.into());
            self.advance();
        }
        if token.is_empty() { Err(self.syntax()) } else { Ok(token) }
    }

    /// The rest of a quoted string. Without its escapes it has to be a token (§9.1).
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

/// The form in `Sec-WebSocket-Extensions`.
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
    /// A byte in the wrong place.
    Syntax {
        /// Its position in the line, counted from 0.
        at: usize,
    },
    /// A name or value that is not a token.
    NotToken(String),
    /// A header without any extension in it.
    Empty,
    /// More than 32 extensions in a response.
    TooMany,
    /// More than 16 parameters of one extension.
    TooManyParams,
}

impl fmt::Display for InvalidExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at } => write!(f, "malformed list of extensions at byte {at}"),
            Self::NotToken(text) => {
                write!(f, "{text:?} is not a token: use letters, digits and -")
            }
            Self::Empty => f.write_str("the list of extensions is empty"),
            Self::TooMany => write!(f, "more than {MAX_EXTENSIONS} extensions"),
            Self::TooManyParams => {
                write!(f, "more than {MAX_PARAMS} parameters of one extension")
            }
        }
    }
}

impl core::error::Error for InvalidExtension {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    fn extensions(line: &str) -> Result<Vec<Extension>, InvalidExtension> {
        parse_offers([line.as_bytes()].into_iter())
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
        let split = parse_offers([b"foo".as_slice(), b"bar; baz=2"].into_iter());
        assert_eq!(split, extensions("foo, bar; baz=2"));
        let split = parse_offers([b"".as_slice(), b"foo", b", "].into_iter());
        assert_eq!(split, extensions("foo"));
        assert_eq!(parse_offers(core::iter::empty()), Ok(vec![]));
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

    #[test]
    fn lists_are_bounded_and_the_bounds_are_exact() {
        let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
        let accepted = |line: &str| parse_accepted([line.as_bytes()].into_iter());
        // A8: offers beyond the bound are declined, but their grammar is checked.
        for count in [32, 33, 500] {
            let line = names(count).join(",");
            assert_eq!(join(&extensions(&line).unwrap()), names(32).join(", "));
            assert!(matches!(extensions(&(line + ", a;")), Err(InvalidExtension::Syntax { .. })));
        }
        assert_eq!(extensions(&format!("a;{}", names(16).join(";"))).unwrap().len(), 1);
        let long = format!("a;{}", names(17).join(";"));
        assert_eq!(join(&extensions(&format!("{long}, b, {long}, c; d")).unwrap()), "b, c; d");
        assert_eq!(extensions(&long).unwrap(), []);
        assert!(matches!(extensions(&(long.clone() + ";")), Err(InvalidExtension::Syntax { .. })));
        for count in [16, 17, 8000] {
            let empty = ",".repeat(count);
            assert_eq!(join(&extensions(&format!("{empty}a")).unwrap()), "a");
            assert_eq!(extensions(&empty), Err(InvalidExtension::Empty));
        }
        // A server's choice is in force, so it cannot be left out.
        assert_eq!(accepted(&names(32).join(",")).unwrap().len(), 32);
        assert_eq!(accepted(&names(33).join(",")), Err(InvalidExtension::TooMany));
        assert_eq!(accepted(&long), Err(InvalidExtension::TooManyParams));
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
                    let _ = cursor.extensions(|_| Ok(()));
                    let steps = cursor.steps;
                    assert!(
                        (1..=5 * line.len() + 16).contains(&steps),
                        "{steps} steps: {start}{piece}…{end}"
                    );
                    assert!(extensions(&line).map_or(0, |list| list.len()) <= MAX_EXTENSIONS);
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
