//! One client that sends without end: pings that it never reads the answers to, fragments of
//! nothing, frames and heads in bytes. What each unit costs must not grow, and nothing be kept.

use super::server::{Server, frames_to_the_end, on_each};
use crate::support::{
    REQUEST, close_body, close_codes, frame, frame_with, head, read_all, read_head, reference,
    split,
};
use fullduplex::Role::{self, Server as TO};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// What a flood may make a server take, in bytes: a read, what waits to be written, and change.
const FLOOD: usize = 1 << 20;

/// The most frames in a message, by default.
const FRAMES: usize = 1 << 17;

/// The next frame from the server: first byte and payload.
fn next_frame(mut stream: &TcpStream) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = reference::head(&bytes).unwrap() {
            let mut payload = vec![0; head.length as usize];
            stream.read_exact(&mut payload).expect("a whole frame");
            return (bytes[0], payload);
        }
        bytes.push(0);
        stream.read_exact(bytes.last_mut().map(core::slice::from_mut).unwrap()).expect("a frame");
    }
}

/// The connection is as good as new: an echo and a clean close.
#[track_caller]
fn ends_well(server: &Server, mut stream: TcpStream) {
    let end = [frame(TO, 0x81, b"still here"), frame(TO, 0x88, &close_body(1000, ""))].concat();
    stream.write_all(&end).unwrap();
    let frames = frames_to_the_end(&stream, server.name);
    assert_eq!(frames, [(0x81, b"still here".to_vec()), (0x88, b"\x03\xe8".to_vec())]);
}

/// §5.5.2, §5.5.3: a million pings, and then 100,000 of the largest size, before anything is read.
/// The answers come in order, some left out and the newest not, and meanwhile others are served.
#[test]
fn pings_whose_pongs_are_not_read() {
    const BATCH: usize = 1_000;

    on_each(&[], |server| {
        for (size, n) in [(8, 250_000), (125, 25_000)] {
            server.is_linear(&format!("pings of {size} bytes"), n, |n| {
                let mut stream = server.open();
                let ping = frame_with(0x89, &vec![0; size], Some([0; 4]));
                let mut wire = ping.repeat(BATCH);
                for batch in 0..n / BATCH {
                    for (i, ping) in wire.chunks_mut(ping.len()).enumerate() {
                        ping[6..14].copy_from_slice(&((batch * BATCH + i) as u64).to_be_bytes());
                    }
                    stream.write_all(&wire).unwrap();
                    if batch % 25 == 0 {
                        server.serves();
                    }
                }
                let (mut last, mut pongs) = (None, 0);
                while last != Some(n as u64 - 1) {
                    let (first, pong) = next_frame(&stream);
                    assert_eq!((first, pong.len()), (0x8a, size), "§5.5.3");
                    let number = Some(u64::from_be_bytes(*pong.first_chunk().unwrap()));
                    assert!(last < number, "in order, and no ping twice");
                    (last, pongs) = (number, pongs + 1);
                }
                println!("{pongs} of {n} pings were answered");
                ends_well(server, stream);
            });
        }
        server.took_at_most("pings", FLOOD);
    });
}

/// §5.5.3: pongs that nobody asked for.
#[test]
fn pongs() {
    on_each(&[], |server| {
        server.is_linear("pongs", 250_000, |n| {
            let mut stream = server.open();
            let wire = frame(TO, 0x8a, b"unasked").repeat(1_000);
            (0..n / 1_000).for_each(|_| stream.write_all(&wire).unwrap());
            ends_well(server, stream);
        });
        server.took_at_most("pongs", FLOOD);
    });
}

/// §5.4, §10.4: fragments of nothing, as many as may be and a million more.
#[test]
fn empty_fragments() {
    let message = |frames: usize| {
        let mut wire = frame(TO, 0x01, b"");
        wire.extend(frame(TO, 0x00, b"").repeat(frames - 2));
        wire.extend(frame(TO, 0x80, b"at last"));
        wire
    };
    on_each(&[], |server| {
        server.is_linear("empty fragments", FRAMES / 4, |n| {
            let mut stream = server.open();
            stream.write_all(&message(n)).unwrap();
            assert_eq!(next_frame(&stream), (0x81, b"at last".to_vec()), "{n}");
            ends_well(server, stream);
        });
        let mut stream = server.open();
        stream.write_all(&message(FRAMES + 1)).unwrap();
        let wire = frame(TO, 0x00, b"").repeat(100_000);
        (0..10).for_each(|_| stream.write_all(&wire).unwrap());
        let frames = frames_to_the_end(&stream, server.name);
        assert_eq!((frames.len(), close_codes(&frames)), (1, vec![1008]), "§10.4");
        server.took_at_most("empty fragments", FLOOD);
    });
}

/// §5.4: a message in fragments of one byte, with pings between them.
#[test]
fn fragments_of_one_byte() {
    on_each(&[], |server| {
        server.is_linear("fragments of one byte", 25_000, |n| {
            let mut stream = server.open();
            let mut wire = frame(TO, 0x02, b"");
            for i in 0..n {
                wire.extend(frame(TO, 0x00, &[i as u8]));
                if i % 1_000 == 0 {
                    wire.extend(frame(TO, 0x89, b""));
                }
            }
            wire.extend(frame(TO, 0x80, b""));
            stream.write_all(&wire).unwrap();
            loop {
                match next_frame(&stream) {
                    (0x8a, pong) => assert!(pong.is_empty()),
                    (first, echo) => {
                        assert!(first == 0x82 && echo.len() == n);
                        assert!(echo.iter().enumerate().all(|(i, byte)| *byte == i as u8));
                        break;
                    }
                }
            }
            ends_well(server, stream);
        });
        server.took_at_most("fragments of one byte", FLOOD);
    });
}

/// Writes byte by byte, and in between lets the server answer a ping on another connection: so each
/// byte has arrived alone, and a server that is slow does not find many at once.
fn drip(server: &Server, mut stream: &TcpStream, bytes: &[u8]) {
    let mut other = server.open();
    let ping = frame(TO, 0x89, b"");
    for byte in bytes {
        stream.write_all(&[*byte]).unwrap();
        other.write_all(&ping).unwrap();
        other.read_exact(&mut [0; 2]).unwrap();
    }
    ends_well(server, other);
}

/// §5.2, §8.1: a frame of text whose every byte is a write of its own: many of them, and each alone.
#[test]
fn a_frame_in_writes_of_one_byte() {
    let text = |n| -> Vec<u8> { "é€😀".bytes().cycle().take(n / 9 * 9).collect() };
    on_each(&[], |server| {
        server.is_linear("writes of one byte", 25_000, |n| {
            let mut stream = server.open();
            for byte in frame(TO, 0x81, &text(n)) {
                stream.write_all(&[byte]).unwrap();
            }
            assert!(next_frame(&stream) == (0x81, text(n)));
            ends_well(server, stream);
        });
        server.is_linear("reads of one byte", 4_096, |n| {
            let stream = server.open();
            drip(server, &stream, &frame(TO, 0x81, &text(n)));
            assert!(next_frame(&stream) == (0x81, text(n)));
            ends_well(server, stream);
        });
        server.took_at_most("writes of one byte", FLOOD);
    });
}

/// RFC 9110 §5.4: a head that drips in byte by byte, up to the limit of 16 KiB. (The limit is too low
/// for bytes that are looked at twice to show here: a unit test of the head reader counts them. Those
/// that are too slow are in `deadlines`.)
#[test]
fn a_head_in_writes_of_one_byte() {
    on_each(&["--handshake-timeout", "600"], |server| {
        server.is_linear("bytes of a head", 4_096, |n| {
            let line = format!("X: {}\r\n\r\n", "x".repeat(n - REQUEST.len() - 5));
            let request = REQUEST.replacen("\r\n\r\n", &format!("\r\n{line}"), 1);
            assert_eq!(request.len(), n);
            let stream = server.tcp();
            drip(server, &stream, request.as_bytes());
            let head = read_head(&stream);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            ends_well(server, stream);
        });
        server.took_at_most("bytes of a head", FLOOD);
    });
}

/// §7.1.7, §10.7: who has broken a rule, or said Close, and does not stop is read without being
/// listened to, for the Close to arrive, and hung up on after 64 MiB.
#[test]
fn a_client_that_does_not_stop() {
    const DISCARDED: usize = 64 << 20;

    let wire = frame(TO, 0x81, &[b'x'; 65_000]).repeat(4);
    on_each(&[], |server| {
        for (what, last, code) in [
            ("a violation", frame_with(0x81, b"", None), 1002),
            ("too much", head(TO, 0x82, u64::MAX >> 1), 1009),
            ("a Close", frame(TO, 0x88, &close_body(4000, "bye")), 4000),
        ] {
            let before = server.usage().cpu;
            let mut stream = server.open();
            stream.write_all(&last).unwrap();
            let mut close = vec![0; 4];
            stream.read_exact(&mut close).unwrap();
            close.resize(2 + usize::from(close[1]), 0);
            stream.read_exact(&mut close[4..]).unwrap();
            assert_eq!(close_codes(&split(Role::Server, &close)), [code], "{what}");
            let most = 2 * DISCARDED / wire.len();
            let taken = (0..most).take_while(|_| stream.write_all(&wire).is_ok()).count();
            let cpu = server.usage().cpu - before;
            println!("behind {what}, {}: {} KiB, {cpu:?}", server.name, taken * wire.len() / 1024);
            assert!(taken < most, "{what}, {}: it goes on", server.name);
            assert!(!read_all(&stream).0.starts_with(b"\x81"), "{what}: nothing is echoed");
            server.serves();
        }
        server.took_at_most("clients that do not stop", FLOOD);
        server.lets_go(0);
    });
}
