//! Clients that are too slow, and those that keep a place without using it. The times are the
//! servers' own; nothing here measures them.

use super::server::on_all;
use crate::support::{
    REQUEST, close_body, close_codes, frame, frame_with, read_all, read_head, split,
};
use fullduplex::Role::{self, Server as TO};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
};

/// RFC 9110 §15.5.9: who sends no request, or half of one, or byte after byte of one, gets 408 when
/// the time is up, and TCP ends.
#[test]
fn a_handshake_that_takes_too_long() {
    on_all(&["--handshake-timeout", "1"], |server| {
        let mut slow = Vec::new();
        for length in [0, 1, 100, REQUEST.len() - 1] {
            for _ in 0..25 {
                let mut stream = server.tcp();
                stream.write_all(&REQUEST.as_bytes()[..length]).unwrap();
                slow.push(stream);
            }
        }
        // It never stops, and stays below the limit of what a head may be.
        let mut drip = server.tcp();
        drip.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
        drip.set_nonblocking(true).unwrap();
        let mut first = [0];
        let dripped = (0..16_000).find(|_| {
            drip.write_all(b"x").expect("it reads on until it closes");
            server.serves();
            match drip.read(&mut first) {
                Ok(n) => n == 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    false
                }
            }
        });
        println!("{}: {dripped:?} bytes until the time was up", server.name);
        drip.set_nonblocking(false).unwrap();
        too_slow(&drip, &first);
        for stream in &slow {
            too_slow(stream, b"");
        }
        drop((slow, drip));
        server.lets_go(0);
    });
}

#[track_caller]
fn too_slow(stream: &TcpStream, start: &[u8]) {
    let (bytes, end) = read_all(stream);
    let text = String::from_utf8([start, &bytes].concat()).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    assert!(end.is_ok(), "{end:?}");
}

/// A server with one place, and a client in it that never hangs up, whatever it is told: the next one
/// is served when the server has waited for long enough.
#[test]
fn a_place_that_is_not_given_up() {
    let close = [REQUEST.as_bytes(), &frame(TO, 0x88, &close_body(4000, ""))].concat();
    let bare = [REQUEST.as_bytes(), &frame_with(0x81, b"bare", None)].concat();
    let cases: [(&str, &[u8], u16); 4] = [
        ("RFC 9110 §15.5.9: half a request", &REQUEST.as_bytes()[..30], 408),
        ("§4.2.1: a bad request", b"GET / HTTP/1.1\r\n\r\n", 400),
        ("§7.1.7, §5.1: a violation", &bare, 1002),
        ("§7.1.1: a Close", &close, 4000),
    ];
    thread::scope(|scope| {
        for (what, sent, code) in cases {
            scope.spawn(move || {
                on_all(&["--handshake-timeout", "1", "--max-clients", "1"], |server| {
                    let mut stays = server.tcp();
                    stays.write_all(sent).unwrap();
                    server.serves();
                    // It was told, before it was left alone.
                    let (bytes, end) = read_all(&stays);
                    assert!(end.is_ok(), "{what}, {}: {end:?}", server.name);
                    assert!(is_told(&bytes, code), "{what}, {}: {bytes:x?}", server.name);
                });
            });
        }
    });
}

/// Whether these bytes are a response with that status, or a 101 and a Close with that code.
fn is_told(mut bytes: &[u8], code: u16) -> bool {
    if code < 1000 {
        return bytes.starts_with(format!("HTTP/1.1 {code} ").as_bytes());
    }
    read_head(&mut bytes).starts_with("HTTP/1.1 101 ")
        && close_codes(&split(Role::Server, bytes)) == [code]
}
