//! Small messages that inflate to large ones.

use super::server::{Server, frames_to_the_end, on_each};
use crate::support::{REQUEST, close_codes, frame};
use core::time::Duration;
use fullduplex::Role::Server as TO;
use std::{
    io::{Read, Write},
    thread,
};

/// A request that offers permessage-deflate.
pub(super) fn request() -> String {
    REQUEST.replacen(
        "\r\n\r\n",
        "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
        1,
    )
}

/// A compressed message, by hand: 1 + 258 × `times` zeros, in two bits for each 258 of them, which
/// is the most that DEFLATE can do (RFC 1951 §3.2.5, §3.2.7).
pub(super) fn zeros(times: usize) -> Vec<u8> {
    let mut bits = Vec::new();
    let number = |bits: &mut Vec<u8>, value: usize, count: usize| {
        bits.extend((0..count).map(|i| (value >> i & 1) as u8));
    };
    number(&mut bits, 0b100, 3); // not the last block, with codes of its own
    number(&mut bits, 286 - 257, 5); // literals and lengths
    number(&mut bits, 0, 5); // one distance
    number(&mut bits, 18 - 4, 4); // lengths of codes for lengths: 18 has one bit, 1 and 2 have two
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
        number(&mut bits, [0, 2, 2].get(symbol).copied().unwrap_or(usize::from(symbol == 18)), 3);
    }
    // So 18 is 0, 1 is 10, 2 is 11; and of the codes that follow, 285 (258 bytes) is 0, the literal
    // 0 is 10, 256 (the end) is 11, the distance 1 is 0. Their lengths:
    bits.extend([1, 1]);
    for skipped in [138, 255 - 138] {
        bits.push(0);
        number(&mut bits, skipped - 11, 7);
    }
    bits.extend([1, 1]);
    bits.push(0);
    number(&mut bits, 285 - 257 - 11, 7);
    bits.extend([1, 0]);
    bits.extend([1, 0]);

    bits.extend([1, 0]);
    bits.resize(bits.len() + 2 * times, 0);
    bits.extend([1, 1]);
    number(&mut bits, 0b000, 3); // an empty stored block, whose bytes are cut off (RFC 7692 §7.2.1)
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect()
}

#[test]
fn the_bomb_is_one() {
    let inflated = crate::support::deflate::inflate(b"", &zeros(1_000)).unwrap();
    assert!(inflated.bytes == [0; 1 + 258 * 1_000]);
}

/// A message in frames of `size` bytes.
fn in_fragments(first: u8, message: &[u8], size: usize) -> Vec<u8> {
    let mut wire = frame(TO, first & 0x7f, b"");
    wire.extend(message.chunks(size).flat_map(|piece| frame(TO, 0x00, piece)));
    wire.extend(frame(TO, 0x80, b""));
    wire
}

/// §10.4, RFC 7692 §8: 1009, behind what was said before it, and whatever is behind it unheard.
fn goes_off(server: &Server, what: &str, wire: &[u8]) {
    let mut stream = server.open_with(&request());
    let behind = frame(TO, 0x81, b"behind");
    stream.write_all(&[&frame(TO, 0x81, b"before"), wire, &behind].concat()).unwrap();
    let what = format!("{what}, {}", server.name);
    let frames = frames_to_the_end(&stream, &what);
    assert_eq!(frames[0], (0x81, b"before".to_vec()), "{what}");
    assert_eq!((frames.len(), close_codes(&frames)), (2, vec![1009]), "{what}");
}

/// 1.05 MB that come to 1 GiB, against the default limit of 16 MiB, and others to compare with.
#[test]
fn a_gigabyte_in_a_megabyte() {
    let (small, large) = (zeros((64 << 20) / 258), zeros((1 << 30) / 258 + 1));
    assert!(large.len() < 1_050_000);
    on_each(&["--deflate"], |server| {
        let cost = |what: &str, wire: &[u8]| {
            let before = server.usage().cpu;
            goes_off(server, what, wire);
            let cpu = server.usage().cpu - before;
            println!("{what}, {}: {cpu:?}", server.name);
            server.serves();
            cpu
        };
        let first = cost("64 MiB in one frame", &frame(TO, 0xc2, &small));
        let most = first.max(Duration::from_millis(50)) * 4;
        for (what, wire) in [
            ("1 GiB in one frame", frame(TO, 0xc2, &large)),
            ("1 GiB of text", frame(TO, 0xc1, &large)),
            ("1 GiB in fragments of 4 KiB", in_fragments(0xc2, &large, 4_096)),
        ] {
            let cpu = cost(what, &wire);
            assert!(cpu <= most, "{what}, {}: it goes on: {cpu:?}, {first:?}", server.name);
        }
        server.took_at_most("bombs, limit 16 MiB", (16 << 20) + (3 << 20));
    });
}

/// 10 kB that come to 10 MiB against a limit of 1 MiB: alone, in tiny fragments, and many at once.
#[test]
fn ten_megabytes_in_ten_kilobytes() {
    const MANY: usize = 32;

    let bomb = zeros((10 << 20) / 258);
    assert!(bomb.len() < 10_500);
    on_each(&["--deflate", "--max-message", "1048576"], |server| {
        for first in [0xc1, 0xc2] {
            goes_off(server, "10 MiB in one frame", &frame(TO, first, &bomb));
            goes_off(server, "10 MiB in fragments of 7", &in_fragments(first, &bomb, 7));
            server.serves();
        }
        server.took_at_most("bombs, limit 1 MiB", (1 << 20) + (3 << 20));
        thread::scope(|scope| {
            for _ in 0..MANY {
                scope.spawn(|| goes_off(server, "many bombs", &frame(TO, 0xc2, &bomb)));
            }
        });
        server.took_at_most("32 bombs at once, limit 1 MiB", MANY * ((1 << 20) + (512 << 10)));
        // Just below the limit, in fragments with no end: what is held is what the limit says.
        let almost = in_fragments(0xc2, &zeros((1 << 20) / 258), 1_000);
        let open: Vec<_> = (0..MANY)
            .map(|_| {
                let mut stream = server.open_with(&request());
                let wire = &almost[..almost.len() - 6];
                stream.write_all(&[wire, &frame(TO, 0x89, b"there?")].concat()).unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
                stream
            })
            .collect();
        server.serves();
        server.took_at_most("32 that never end", MANY * ((1 << 20) + (512 << 10)));
        drop(open);
        server.lets_go(0);
    });
}
