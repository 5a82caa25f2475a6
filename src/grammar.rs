//! The parts of RFC 9110's grammar that several header fields share.

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_tchar(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9')
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether `text` is a token: not empty, no separators, ASCII.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_tchar(byte))
}

/// `value` without spaces and tabs around it (RFC 9110 §5.6.3).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The elements of a comma-separated list without quoted strings, the empty ones left out
/// (RFC 9110 §5.6.1.2).
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Finds the first byte that no field value may have: a control byte other than a tab (RFC 9110
/// §5.5). Returns its position and its value.
pub(crate) fn bad_value_byte(value: &[u8]) -> Option<(usize, u8)> {
    let bad = |byte: u8| byte == 0x7f || (byte < b' ' && byte != b'\t');
    value.iter().copied().enumerate().find(|&(_, byte)| bad(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// RFC 9110 §5.6.2: exactly these 77 bytes.
    #[test]
    fn rfc9110_5_6_2_token_bytes() {
        assert_eq!((0..=255).filter(|&byte| is_tchar(byte)).count(), 77);
        for byte in *b"\"(),/:;<=>?@[\\]{} \t\r\n\0\x7f\x80\xff" {
            assert!(!is_tchar(byte), "{byte:#04x}");
        }
        assert!(
            !is_token(b"") && is_token(b"permessage-deflate") && !is_token("caf\u{e9}".as_bytes())
        );
    }

    #[test]
    fn rfc9110_5_6_1_lists_ignore_empty_elements() {
        let all: Vec<&[u8]> = elements(b" , a ,, b\t,").collect();
        assert_eq!(all, [b"a", b"b"]);
        assert_eq!(elements(b"").count() + elements(b" , ,").count(), 0);
        assert_eq!(trim(b" \t "), b"");
    }
}
