//! UTF-8 that arrives in pieces (RFC 6455 §8.1).

use alloc::string::String;
use core::str;

/// Bytes that cannot be, or cannot become, UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

/// Checks that `bytes` are UTF-8 as a whole, fast for text of any kind: `std`'s check is, too, but
/// only for ASCII.
#[inline]
pub(crate) fn whole(bytes: &[u8]) -> Result<&str, InvalidUtf8> {
    #[cfg(feature = "std")]
    if bytes.len() >= 64 {
        return simdutf8::basic::from_utf8(bytes).map_err(|_| InvalidUtf8);
    }
    str::from_utf8(bytes).map_err(|_| InvalidUtf8)
}

/// The first bytes, at most three, of a code point whose rest has not come yet.
#[derive(Clone, Copy, Default)]
pub(crate) struct Incomplete {
    bytes: [u8; 3],
    len: u8,
}

impl Incomplete {
    /// Appends `piece` to `text` as far as it makes whole code points and keeps what is left over.
    pub(crate) fn push(&mut self, text: &mut String, piece: &[u8]) -> Result<(), InvalidUtf8> {
        self.feed(piece, |part| text.push_str(part))
    }

    /// Gives `piece` to `sink` as far as it makes whole code points and keeps what is left over.
    ///
    /// Every byte is looked at once, and the first byte that no continuation can make valid is an
    /// error, wherever the piece ends.
    pub(crate) fn feed(
        &mut self,
        piece: &[u8],
        mut sink: impl FnMut(&str),
    ) -> Result<(), InvalidUtf8> {
        let (closed, text) = self.split(piece)?;
        if let Some(code_point) = closed {
            sink(code_point.encode_utf8(&mut [0; 4]));
        }
        sink(text);
        Ok(())
    }

    /// The code point that was open, if `piece` makes it whole, and the text behind it; keeps what is
    /// left over.
    #[inline]
    pub(super) fn split<'p>(
        &mut self,
        piece: &'p [u8],
    ) -> Result<(Option<char>, &'p str), InvalidUtf8> {
        let (closed, piece) = self.complete(piece)?;
        let (front, rest) = piece.split_at(open_at(piece));
        let text = whole(front)?;
        match str::from_utf8(rest) {
            Err(error) if error.error_len().is_none() => self.keep(rest),
            Ok("") => {}
            _ => return Err(InvalidUtf8),
        }
        Ok((closed, text))
    }

    /// The bytes of an open code point.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    /// How many bytes of an open code point are kept.
    pub(crate) fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether no code point is open: the text may end here.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Feeds the open code point until it is whole or `piece` ends; returns it, and the rest of
    /// `piece`.
    fn complete<'p>(
        &mut self,
        mut piece: &'p [u8],
    ) -> Result<(Option<char>, &'p [u8]), InvalidUtf8> {
        while !self.is_empty() {
            let Some((&byte, rest)) = piece.split_first() else { break };
            piece = rest;
            let len = usize::from(self.len);
            let mut sequence = [0; 4];
            sequence[..len].copy_from_slice(&self.bytes[..len]);
            sequence[len] = byte;
            match str::from_utf8(&sequence[..=len]) {
                Ok(code_point) => {
                    self.len = 0;
                    return Ok((code_point.chars().next(), piece));
                }
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => self.keep(&sequence[..=len]),
            }
        }
        Ok((None, piece))
    }

    fn keep(&mut self, rest: &[u8]) {
        self.bytes[..rest.len()].copy_from_slice(rest);
        self.len = rest.len() as u8;
    }
}

/// Where in `piece` a code point starts that `piece` may be too short for, judged by the lead
/// byte alone; its end if there is none. So the check that follows looks at every byte once.
fn open_at(piece: &[u8]) -> usize {
    for back in 1..=piece.len().min(3) {
        let at = piece.len() - back;
        let needed = match piece[at] {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if needed > back { at } else { piece.len() };
    }
    piece.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces of `size`: the text, or the offset of the piece that failed.
    fn in_pieces(bytes: &[u8], size: usize) -> Result<String, usize> {
        let (mut text, mut open) = (String::new(), Incomplete::default());
        for (i, piece) in bytes.chunks(size).enumerate() {
            open.push(&mut text, piece).map_err(|_| i * size)?;
        }
        if open.is_empty() { Ok(text) } else { Err(bytes.len()) }
    }

    /// RFC 3629 (row 87): surrogates, overlong forms and anything above U+10FFFF fail at the
    /// first byte that decides it.
    #[test]
    fn rfc_3629_fails_on_the_first_impossible_byte() {
        let cases: [(&[u8], usize); 12] = [
            (b"\x80", 0),
            (b"\xc0\x80", 0),
            (b"\xc1\xbf", 0),
            (b"\xe0\x80\x80", 1),
            (b"\xe0\x9f\xbf", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xed\xbf\xbf", 1),
            (b"\xf0\x80\x80\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80\x80\x80", 0),
            (b"\xe2\x82\x28", 2),
            (b"\xf0\x9f\x98", 3),
        ];
        for (bytes, at) in cases {
            assert_eq!(in_pieces(bytes, 1), Err(at), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_pieces_judge_as_the_whole(
            bytes in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                any::<Vec<u8>>(),
                (any::<String>(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(s, i, b)| {
                    let mut bytes = s.into_bytes();
                    if !bytes.is_empty() { let i = i.index(bytes.len()); bytes[i] = b; }
                    bytes
                }),
            ],
            size in 1usize..9,
        ) {
            prop_assert_eq!(in_pieces(&bytes, size).ok(), String::from_utf8(bytes).ok());
        }
    }
}
