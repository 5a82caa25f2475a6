//! Owned text that is cheap to clone.

use alloc::{string::String, sync::Arc};
use bytes::Bytes;
use core::{borrow::Borrow, cmp::Ordering, fmt, hash, ops::Deref};

/// The payload of a text message: UTF-8 by construction, shared by its clones.
///
/// ```
/// use fullduplex::Text;
///
/// let text = Text::from("hello");
/// assert_eq!(text.clone(), "hello");
/// assert_eq!(text.to_uppercase(), "HELLO"); // it is a `str`
/// ```
#[derive(Clone)]
pub struct Text(Repr);

/// Safe code cannot see checked bytes as `str` without checking them again, so text is kept as
/// text: copied into one right-sized allocation when it was borrowed, and not copied at all when
/// it came as a `String`.
#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Copied(Arc<str>),
    Moved(Arc<String>),
}

impl Text {
    /// Text that is part of the program: no allocation.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Copied(text) => text,
            Repr::Moved(text) => text,
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Repr::Copied(text.into()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Repr::Moved(Arc::new(text)))
    }
}

/// Without a copy unless a clone is alive.
impl From<Text> for String {
    fn from(text: Text) -> Self {
        match text.0 {
            Repr::Static(text) => text.into(),
            Repr::Copied(text) => (*text).into(),
            Repr::Moved(text) => Arc::unwrap_or_clone(text),
        }
    }
}

/// Without a copy.
impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        match text.0 {
            Repr::Static(text) => Self::from_static(text.as_bytes()),
            Repr::Moved(text) => match Arc::try_unwrap(text) {
                Ok(text) => text.into(),
                Err(text) => Self::from_owner(Text(Repr::Moved(text))),
            },
            repr @ Repr::Copied(_) => Self::from_owner(Text(repr)),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from_static("")
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        *self == other.as_str()
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other)
    }
}

impl hash::Hash for Text {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The length only: payloads are never printed.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_reads_the_same_and_becomes_bytes_without_a_copy() {
        let moved = String::from("grüße");
        let address = moved.as_ptr();
        let texts = [Text::from_static("grüße"), Text::from("grüße"), Text::from(moved)];
        for text in &texts {
            assert_eq!(text, &"grüße");
            let shared = text.as_ptr();
            let bytes = Bytes::from(text.clone());
            assert_eq!((bytes.as_ptr(), &bytes[..]), (shared, "grüße".as_bytes()));
        }
        let [fixed, copied, moved] = texts;
        assert_eq!([String::from(fixed), String::from(copied)], ["grüße", "grüße"]);
        let back = String::from(moved);
        assert_eq!(back.as_ptr(), address);
    }

    /// As a key, and in an order, it is the text that it holds.
    #[test]
    fn it_compares_as_text_does() {
        use alloc::collections::BTreeSet;
        let (first, second) = (String::from("one"), String::from("two"));
        let (one, two) = (Text::from("one"), Text::from(String::from("two")));
        assert!(one == *"one" && one == "one" && one == first);
        assert!(*"one" == one && "one" == one && one == Text::from_static("one"));
        assert!(one != *"two" && one != "two" && one != second);
        assert!(*"two" != one && "two" != one && one != two);
        assert_eq!(one.partial_cmp(&two), Some(Ordering::Less));
        assert_eq!(two.partial_cmp(&one), Some(Ordering::Greater));
        assert_eq!(one.cmp(&Text::from("one")), Ordering::Equal);
        assert_eq!(AsRef::<str>::as_ref(&one), "one");
        assert_eq!(AsRef::<[u8]>::as_ref(&one), b"one");
        assert_eq!(Text::default(), "");
        let ordered: BTreeSet<Text> = [two, one].into();
        assert!(ordered.contains("one") && !ordered.contains("three"));
        assert!(ordered.iter().eq(["one", "two"].iter()));
    }

    #[cfg(feature = "std")]
    #[test]
    fn it_is_found_in_a_map_by_its_text() {
        let map: std::collections::HashMap<Text, u32> =
            ["one", "two"].map(Text::from).into_iter().zip(1..).collect();
        assert_eq!((map.get("one"), map.get("two"), map.get("three")), (Some(&1), Some(&2), None));
    }
}
