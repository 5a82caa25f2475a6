//! The grammar of heads, written down from RFC 6455 and RFC 9110 once more, for heads that were
//! found to be well-formed: so nothing here has to be fast or to fear anything.

/// `token` of RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(tchar)
}

/// Without the white space of RFC 9110 §5.6.3 around it.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// A head as anybody would read it who need not fear malformed ones.
#[derive(Debug)]
pub(crate) struct Head<'d> {
    /// Split at its spaces.
    pub(crate) first_line: Vec<String>,
    pub(crate) fields: Vec<(&'d str, &'d [u8])>,
}

impl<'d> Head<'d> {
    /// Of well-formed heads, one behind the other, the last.
    pub(crate) fn last(heads: &'d [u8]) -> Self {
        let lines: Vec<&[u8]> = heads
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .collect();
        let [before @ .., b"", b""] = &lines[..] else { panic!("no empty line in the end") };
        let start = before.iter().rposition(|line| line.is_empty()).map_or(0, |at| at + 1);
        let [first, fields @ ..] = &before[start..] else { panic!("no first line") };
        let fields = fields
            .iter()
            .map(|line| {
                let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
                (core::str::from_utf8(&line[..colon]).expect("a name"), trim(&line[colon + 1..]))
            })
            .collect();
        // A reason phrase may be anything.
        let first = String::from_utf8_lossy(first);
        Self { first_line: first.split(' ').map(String::from).collect(), fields }
    }

    /// The values of all fields of this name.
    pub(crate) fn values(&self, name: &str) -> Vec<&'d [u8]> {
        let named = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect()
    }

    /// All elements of a list, whichever lines they are in.
    pub(crate) fn list(&self, name: &str) -> Vec<&'d [u8]> {
        let values = self.values(name);
        let elements = values.iter().flat_map(|value| value.split(|&byte| byte == b','));
        elements.map(trim).filter(|element| !element.is_empty()).collect()
    }

    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// RFC 9112 §6.3: whether there is no more to it than its head.
    pub(crate) fn has_no_body(&self) -> bool {
        let zero = |value: &&[u8]| !value.is_empty() && value.iter().all(|&byte| byte == b'0');
        self.values("Transfer-Encoding").is_empty()
            && self.values("Content-Length").iter().all(zero)
    }
}

/// §4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length".
pub(crate) fn is_key(value: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    value.len() == 24 && value[..22].iter().all(letter) && value.ends_with(b"==")
}

/// §4.2.2 step 5 item 4: what answers a key.
pub(crate) fn accept(key: &[u8]) -> String {
    base64(&sha1(&[key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat()))
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            (0..3).fold(0_u32, |bits, i| bits << 8 | three.get(i).map_or(0, |b| u32::from(*b)));
        for i in 0..4 {
            let letter = letters[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}

/// FIPS 180-4 §6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    let mut hash: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
        for t in 16..80 {
            let word = words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16];
            words.push(word.rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = hash;
        for (t, word) in words.into_iter().enumerate() {
            let (f, k) = match t {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next: u32 = [f, e, k, word].into_iter().fold(a.rotate_left(5), u32::wrapping_add);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        hash = core::array::from_fn(|i| hash[i].wrapping_add([a, b, c, d, e][i]));
    }
    core::array::from_fn(|i| hash[i / 4].to_be_bytes()[i % 4])
}

/// The RFCs' own samples.
#[test]
fn section_4_2_2_sample() {
    assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(base64(b"f") + &base64(b"fo") + &base64(b"foo"), "Zg==Zm8=Zm9v");
    assert!(is_key(b"AQIDBAUGBwgJCgsMDQ4PEC==") && !is_key(b"AQIDBAUGBwgJCgsMDQ4PECA="));
}
