//! Every way in which a client can break the rules for frames, and the Close code that each gets.

use super::server::{Server, frames_to_the_end, on_each};
use crate::support::{KEY, REQUEST, close_body, frame, frame_with, head, head_with, read_head};
use fullduplex::Role::Server as TO;
use std::{io::Write, net::TcpStream};

/// What the servers take, in bytes of a message.
const LIMIT: u64 = 100_000;

/// What a client sends that it must not, and the Close code for it.
struct Row {
    section: &'static str,
    what: String,
    wire: Vec<u8>,
    code: u16,
    /// What the rightful part of it is answered with: first byte and payload of a frame.
    answer: Option<(u8, Vec<u8>)>,
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn row(&mut self, section: &'static str, what: impl Into<String>, wire: &[u8], code: u16) {
        let (what, wire) = (what.into(), wire.to_vec());
        self.0.push(Row { section, what, wire, code, answer: None });
    }

    /// Of the row before: what comes back first.
    fn answered(&mut self, first: u8, payload: &[u8]) {
        self.0.last_mut().unwrap().answer = Some((first, payload.to_vec()));
    }
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(TO, first, payload)
}

/// A head with a length in a form that is too long for it: behind `marker`, in these bytes.
fn long_form(first: u8, marker: u8, length: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | marker], length, &KEY].concat()
}

/// What is wrong whatever was negotiated.
fn always_wrong() -> Table {
    let mut table = Table::default();
    let begun = masked(0x01, b"begun ");

    for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xa] {
        for payload in [&b""[..], b"\x03\xe8bare"] {
            let bare = frame_with(0x80 | opcode, payload, None);
            let before = if opcode == 0 { &begun[..] } else { b"" };
            let what = format!("opcode {opcode:#x} of {} bytes without a mask", payload.len());
            table.row("§5.1", what, &[before, &bare].concat(), 1002);
        }
    }
    let what = "a head without a mask that announces the most that there is";
    table.row("§5.1", what, &head_with(0x82, u64::MAX >> 1, None), 1002);

    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for fin in [0x80, 0x00] {
            let what = format!("reserved opcode {opcode:#x}, FIN {fin:#x}");
            table.row("§5.2", what, &masked(fin | opcode, b"?"), 1002);
            let what = format!("reserved opcode {opcode:#x} in a message, FIN {fin:#x}");
            table.row("§5.2", what, &[&begun[..], &masked(fin | opcode, b"?")].concat(), 1002);
        }
    }
    for length in [0_u16, 1, 125] {
        let wire = long_form(0x82, 126, &length.to_be_bytes());
        table.row("§5.2", format!("{length} in 16 bits"), &wire, 1002);
    }
    for length in [0_u64, 1, 125, 126, 0xffff] {
        let wire = long_form(0x82, 127, &length.to_be_bytes());
        table.row("§5.2", format!("{length} in 64 bits"), &wire, 1002);
        let wire = [&begun[..], &long_form(0x80, 127, &length.to_be_bytes())].concat();
        table.row("§5.2", format!("{length} in 64 bits, continued"), &wire, 1002);
    }
    for length in [1 << 63, (1 << 63) + 1, u64::MAX] {
        let wire = long_form(0x82, 127, &length.to_be_bytes());
        table.row("§5.2", format!("length {length:#x}: its highest bit is set"), &wire, 1002);
    }

    for (what, continuation) in [("the last", 0x80), ("a middle", 0x00)] {
        let what = format!("{what} fragment and nothing to continue");
        table.row("§5.4", what.clone(), &masked(continuation, b"x"), 1002);
        table.row("§5.4", what.clone() + ", empty", &masked(continuation, b""), 1002);
        let whole = [&begun[..], &masked(0x80, b"whole")].concat();
        let wire = [&whole[..], &masked(continuation, b"x")].concat();
        table.row("§5.4", what + ", behind a message", &wire, 1002);
        table.answered(0x81, b"begun whole");
    }
    for first in [0x01, 0x81, 0x02, 0x82] {
        for (what, first_of_all) in [("text", 0x01), ("binary", 0x02)] {
            let wire = [masked(first_of_all, b"one"), masked(first, b"another")].concat();
            table.row("§5.4", format!("{first:#x} inside a {what} message"), &wire, 1002);
        }
    }

    for opcode in [0x8, 0x9, 0xa] {
        let cut = masked(opcode, b"");
        table.row("§5.4, §5.5", format!("opcode {opcode:#x} in fragments"), &cut, 1002);
        let wire = [&begun[..], &cut].concat();
        table.row("§5.4, §5.5", format!("opcode {opcode:#x} in fragments, inside"), &wire, 1002);
        for length in [126, 0xffff, 0x1_0000, u64::MAX >> 1] {
            let what = format!("opcode {opcode:#x} announces {length} bytes");
            table.row("§5.5", what, &head(TO, 0x80 | opcode, length), 1002);
        }
        let what = format!("opcode {opcode:#x} of 126 bytes");
        table.row("§5.5", what, &masked(0x80 | opcode, &[b'c'; 126]), 1002);
        let what = format!("opcode {opcode:#x}, 5 bytes in 16 bits");
        table.row("§5.2, §5.5", what, &long_form(0x80 | opcode, 126, &[0, 5]), 1002);
    }

    table.row("§5.5.1", "a Close of one byte", &masked(0x88, b"\x03"), 1002);
    let ends = [0, 1, 999, 1016, 1100, 1999, 2000, 2999, 5000, 0x7fff, 0xffff];
    for code in ends.into_iter().chain([1004, 1005, 1006, 1015]) {
        for reason in ["", "because"] {
            let section = if code < 3000 { "§7.4.1, §7.4.2" } else { "§7.4.2" };
            let what = format!("a Close with {code} {reason:?}");
            table.row(section, what, &masked(0x88, &close_body(code, reason)), 1002);
        }
    }
    for reason in [&b"\xff"[..], b"fine \xc0\x80", b"cut \xe2\x82", b"\xed\xa0\x80"] {
        let what = format!("a Close whose reason is {reason:x?}");
        let body = [&1000_u16.to_be_bytes()[..], reason].concat();
        table.row("§5.5.1, §8.1", what, &masked(0x88, &body), 1007);
        // Both are wrong: the code is judged first.
        let body = [&1005_u16.to_be_bytes()[..], reason].concat();
        table.row("§7.4.1", format!("1005, and {reason:x?}"), &masked(0x88, &body), 1002);
    }

    let bad: [(&str, &[u8]); 8] = [
        ("a byte that never is", b"\xff"),
        ("a continuation byte alone", b"fine \x80"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong of three bytes", b"\xe0\x80\xaf"),
        ("half a surrogate pair", b"\xed\xa0\x80"),
        ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        ("a start without an end", b"\xe2\x82 "),
        ("a start of five bytes", b"\xf8\x88\x80\x80\x80"),
    ];
    for (what, bytes) in bad {
        table.row("§8.1", what, &masked(0x81, bytes), 1007);
        // Known to be wrong with its last byte, whatever would follow.
        let unfinished = [&head(TO, 0x81, 1_000)[..], &masked(0, bytes)[6..]].concat();
        table.row("§8.1", format!("{what}, the frame not at its end"), &unfinished, 1007);
        table.row("§8.1", format!("{what}, in the first fragment"), &masked(0x01, bytes), 1007);
        let wire = [&begun[..], &masked(0x89, b"ping"), &masked(0x00, bytes)].concat();
        table.row("§8.1", format!("{what}, in a middle one behind a ping"), &wire, 1007);
        table.answered(0x8a, b"ping");
        for at in 1..bytes.len() {
            let (start, end) = bytes.split_at(at);
            let wire = [masked(0x01, start), masked(0x00, b""), masked(0x80, end)].concat();
            table.row("§8.1", format!("{what}, cut at {at}"), &wire, 1007);
        }
    }
    for cut in ["é", "€", "😀"] {
        for end in 1..cut.len() {
            let bytes = &cut.as_bytes()[..end];
            let what = format!("{cut} cut off behind {end} bytes");
            table.row("§8.1", what.clone(), &masked(0x81, bytes), 1007);
            let wire = [masked(0x01, bytes), masked(0x80, b"")].concat();
            table.row("§8.1", what + ", in fragments", &wire, 1007);
        }
    }

    for length in [LIMIT + 1, (16 << 20) + 1, u64::from(u32::MAX) + 1, u64::MAX >> 1] {
        for (what, first) in [("text", 0x81), ("binary", 0x82), ("a first fragment", 0x01)] {
            let what = format!("{what} that announces {length} bytes");
            table.row("§10.4", what, &head(TO, first, length), 1009);
        }
    }
    for (what, first) in [("text", 0x01), ("binary", 0x02)] {
        let wire = [masked(first, &[b'x'; 60_000]), head(TO, 0x80, LIMIT - 60_000 + 1)].concat();
        table.row("§10.4", format!("{what}: fragments too large as a whole"), &wire, 1009);
        let wire = [masked(first, b"xy"), head(TO, 0x00, u64::MAX >> 1)].concat();
        table.row("§10.4", format!("{what}: a sum beyond 64 bits"), &wire, 1009);
        let wire = [masked(first, &[b'x'; 1_000]), masked(0x00, &[b'x'; 1_000]).repeat(100)];
        table.row("§10.4", format!("{what}: too large with the last byte"), &wire.concat(), 1009);
    }
    table
}

/// Reserved bits on each opcode: all of them, but for `legal` ones on the first frame of a message.
fn reserved_bits(legal: Option<u8>) -> Table {
    let mut table = Table::default();
    for bits in (0x10..=0x70).step_by(0x10) {
        for first in [0x81, 0x01, 0x82, 0x02, 0x88, 0x89, 0x8a] {
            if first & 0x08 == 0 && legal == Some(bits) {
                continue;
            }
            let what = format!("reserved bits {bits:#x} on {first:#x}");
            table.row("§5.2", what, &masked(first | bits, b""), 1002);
        }
        for first in [0x80, 0x00] {
            let wire = [masked(0x01, b"begun "), masked(first | bits, b"")].concat();
            table.row("§5.2", format!("reserved bits {bits:#x} on {first:#x}"), &wire, 1002);
        }
    }
    table
}

/// What only a client that compresses can do wrong.
#[cfg(feature = "deflate")]
fn badly_compressed() -> Table {
    use crate::support::deflate::Blocks;

    let mut table = Table::default();
    let good = Blocks::new().fixed(false, b"good", None).message();
    let wrong: [(&str, Vec<u8>, u16); 9] = [
        ("a block of the reserved type", vec![0x07], 1007),
        ("a stored block whose lengths differ", vec![0x00, 5, 0, 5, 0], 1007),
        ("a stored block that is cut off", Blocks::new().stored(false, b"stored").raw(), 1007),
        ("a repetition of nothing", Blocks::new().fixed(false, b"ab", Some(3)).message(), 1007),
        ("noise", b"\xed\xa5\x5a\x12\x34\x56\x78\x9a\xbc\xde\xf0".to_vec(), 1007),
        ("a block without its end", good[..good.len() - 3].to_vec(), 1007),
        ("bytes behind the last block", [&good[..], b"\0\0\xff"].concat(), 1007),
        ("text that is not UTF-8", Blocks::new().fixed(false, b"ok \xff", None).message(), 1007),
        (
            "streams of two bytes",
            (0..10_000).fold(Blocks::new(), |blocks, _| blocks.fixed(true, b"", None)).raw(),
            1008,
        ),
    ];
    for (what, bytes, code) in wrong {
        let section = if code == 1007 { "RFC 7692 §7.2.2" } else { "§10.4" };
        table.row(section, what, &masked(0xc1, &bytes), code);
        let (start, end) = bytes.split_at(bytes.len() / 2);
        let wire = [masked(0x41, start), masked(0x00, b""), masked(0x80, end)].concat();
        table.row(section, format!("{what}, in fragments"), &wire, code);
    }
    let begun = masked(0x41, &good);
    for (what, first) in [("the last", 0xc0), ("a middle", 0x40)] {
        let wire = [&begun[..], &masked(first, &good)].concat();
        table.row("RFC 7692 §6.1", format!("RSV1 on {what} fragment"), &wire, 1002);
    }
    for opcode in [0xc8, 0xc9, 0xca] {
        let what = format!("a compressed control frame, {opcode:#x}");
        table.row("RFC 7692 §6.1", what, &masked(opcode, b""), 1002);
    }
    table
}

/// Goes through the table twice: with bytes behind what is wrong, in one write; and byte by byte
/// with none behind it, so that a server which waits for more than it needs shows.
fn walk(server: &Server, request: &str, table: &Table) {
    assert!(table.0.len() > 20);
    for row in &table.0 {
        let mut stream = server.tcp();
        let (before, behind) = (masked(0x81, b"before"), masked(0x81, b"behind").repeat(3));
        let wire = [request.as_bytes(), &before, &row.wire, &behind].concat();
        stream.write_all(&wire).unwrap();
        let response = read_head(&stream);
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        closes(server, row, &stream);
        server.serves();
        if row.wire.len() > 2_000 {
            continue;
        }
        let mut stream = server.open_with(request);
        stream.write_all(&before).unwrap();
        for byte in &row.wire {
            stream.write_all(&[*byte]).unwrap();
        }
        closes(server, row, &stream);
        server.serves();
    }
}

/// What was said before the violation is answered, then comes the Close, then the end of TCP.
#[track_caller]
fn closes(server: &Server, row: &Row, stream: &TcpStream) {
    let Row { section, what, code, answer, .. } = row;
    let what = format!("{section}: {what}, {}", server.name);
    let frames = frames_to_the_end(stream, &what);
    let mut expected = vec![(0x81, b"before".to_vec())];
    expected.extend(answer.clone());
    let Some(((0x88, close), answers)) = frames.split_last() else {
        panic!("{what}: no Close in {frames:x?}")
    };
    assert_eq!(answers, expected, "{what}");
    let (sent, reason) = close.split_first_chunk().expect("a code");
    assert_eq!(u16::from_be_bytes(*sent), *code, "{what}");
    assert!(core::str::from_utf8(reason).is_ok(), "{what}: §5.5.1: {reason:x?}");
}

#[test]
fn each_violation_gets_its_close_code() {
    on_each(&["--max-message", "100000"], |server| {
        walk(server, REQUEST, &always_wrong());
        walk(server, REQUEST, &reserved_bits(None));
    });
}

/// With permessage-deflate agreed on.
#[cfg(feature = "deflate")]
#[test]
fn each_violation_gets_its_close_code_with_deflate() {
    let request = super::bombs::request();
    on_each(&["--max-message", "100000", "--deflate"], |server| {
        walk(server, &request, &always_wrong());
        walk(server, &request, &reserved_bits(Some(0x40)));
        walk(server, &request, &badly_compressed());
        // Without an offer the bit has no meaning on this server, too.
        walk(server, REQUEST, &reserved_bits(None));
    });
}

/// What is only just legal is served: none of the rows above is red for another reason.
#[test]
fn what_is_only_just_legal_is_served() {
    let mut table = Table::default();
    let whole: [(&str, &str, Vec<u8>); 7] = [
        ("§5.6", "nothing", Vec::new()),
        ("§5.2", "125 bytes", vec![1; 125]),
        ("§5.2", "126 bytes", vec![2; 126]),
        ("§5.2", "65,535 bytes", vec![3; 65_535]),
        ("§5.2", "65,536 bytes", vec![4; 65_536]),
        ("§10.4", "as much as may be", vec![5; LIMIT as usize]),
        ("§8.1", "binary that is not UTF-8", b"\xff\xfe".to_vec()),
    ];
    for (section, what, payload) in whole {
        table.row(section, what, &masked(0x82, &payload), 1000);
        table.answered(0x82, &payload);
    }
    let pieces: [(&str, &str, &[&[u8]]); 2] = [
        ("§10.4", "as much in two fragments", &[&[b'x'; 60_000], &[b'y'; 40_000]]),
        ("§8.1", "code points in pieces", &[b"\xe2", b"\x82", b"", b"\xac\xf4\x8f", b"\xbf\xbf"]),
    ];
    for (section, what, pieces) in pieces {
        let mut wire = masked(0x01, b"");
        wire.extend(pieces.iter().flat_map(|piece| masked(0x00, piece)));
        wire.extend(masked(0x80, b""));
        table.row(section, what, &wire, 1000);
        table.answered(0x81, &pieces.concat());
    }
    for payload in [&b""[..], &[b'p'; 125]] {
        table.row("§5.5.2", "a ping", &masked(0x89, payload), 1000);
        table.answered(0x8a, payload);
        table.row("§5.5.3", "a pong that nobody asked for", &masked(0x8a, payload), 1000);
    }
    table.row("§5.3", "a mask of zeros", &frame_with(0x81, b"bare", Some([0; 4])), 1000);
    table.answered(0x81, b"bare");

    let mut closes: Vec<(u16, Vec<u8>)> = (1000..=1003)
        .chain(1007..=1014)
        .chain([3000, 3999, 4000, 4999])
        .map(|code| (code, close_body(code, &"é".repeat(61))))
        .collect();
    closes.push((1005, Vec::new()));

    on_each(&["--max-message", "100000"], |server| {
        for Row { section, what, wire, code, answer } in &table.0 {
            let what = format!("{section}: {what}, {}", server.name);
            let mut stream = server.open();
            let close = close_body(*code, "");
            stream.write_all(&[&wire[..], &masked(0x88, &close)].concat()).unwrap();
            let mut expected = Vec::from_iter(answer.clone());
            expected.push((0x88, close));
            assert!(frames_to_the_end(&stream, &what) == expected, "{what}");
        }
        for (code, body) in &closes {
            let what = format!("§7.4: {code}, {}", server.name);
            let mut stream = server.open();
            stream.write_all(&masked(0x88, body)).unwrap();
            // The code comes back, and no code for none.
            let echo = body[..body.len().min(2)].to_vec();
            assert_eq!(frames_to_the_end(&stream, &what), [(0x88, echo)], "{what}");
        }
    });
}
