//! Many clients at once, none of which goes on: half-open handshakes, announced messages that do
//! not come, answers that nobody reads, and connections that are dropped anywhere.

use super::server::{MEASURED, Server, on_each, sockets};
use crate::support::{
    REQUEST, Random, close_body, frame, frame_with, head, programs::SERVERS, read_head, reference,
};
use core::time::Duration;
use fullduplex::Role::Server as TO;
use std::{
    io::{BufReader, ErrorKind, Read, Write},
    net::TcpStream,
};

/// How many clients come between two looks at whether a good one is served; fewer than the
/// listener's backlog, so that none has to try twice.
const BATCH: usize = 100;

/// §4.2.1: 10,000 clients that send half a request and wait. Others are served between them and when
/// all are there; and each of them is when it sends the rest.
#[test]
fn ten_thousand_half_open_handshakes() {
    let (count, _alone) = sockets(10_000);
    let (half, rest) = REQUEST.split_at(REQUEST.len() / 2);
    on_each(&["--handshake-timeout", "600"], |server| {
        let mut clients = Vec::new();
        let cpu = server.cost("half-open handshakes", count, |count| {
            for i in 0..count {
                let mut stream = server.tcp();
                stream.write_all(half.as_bytes()).unwrap();
                clients.push(stream);
                if i % BATCH == 0 {
                    server.serves();
                }
            }
            // Whoever comes next is accepted next, so by now all of these are.
            server.serves();
        });
        assert!(cpu <= count as u32 * Duration::from_millis(1), "{}: {cpu:?}", server.name);
        let descriptors = server.usage().descriptors - server.at_rest.descriptors;
        println!("{count} half-open handshakes, {}: {descriptors} descriptors", server.name);
        assert!(!MEASURED || descriptors >= count);
        server.took_at_most("half-open handshakes", server.crowd(count, 8 << 10));
        for mut stream in clients.drain(..).step_by(count / 100) {
            stream.write_all(rest.as_bytes()).unwrap();
            let head = read_head(&stream);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        }
        server.lets_go(0);
    });
}

/// RFC 9110 §5.4: a thousand heads that stay just below the limit of 16 KiB.
#[test]
fn a_thousand_large_half_heads() {
    let (count, _alone) = sockets(1_000);
    let start = REQUEST.trim_end();
    let half = format!("{start}\r\nX: {}", "x".repeat(16 * 1024 - start.len() - 6));
    on_each(&["--handshake-timeout", "600"], |server| {
        let mut clients = Vec::new();
        for i in 0..count {
            let mut stream = server.tcp();
            stream.write_all(half.as_bytes()).unwrap();
            clients.push(stream);
            if i % BATCH == 0 {
                server.serves();
            }
        }
        server.serves();
        for mut stream in clients.drain(..).rev() {
            stream.write_all(b"x").unwrap(); // one byte too many
            let head = read_head(&stream);
            assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        }
        server.took_at_most("large half heads", server.crowd(count, 24 << 10));
        server.lets_go(0);
    });
}

/// §5.2, §10.4: a thousand clients announce the most that is taken, 16 MiB, and send one byte.
#[test]
fn a_thousand_messages_that_do_not_come() {
    let (count, _alone) = sockets(1_000);
    on_each(&[], |server| {
        for (what, first) in [("text", 0x81), ("binary", 0x82), ("a first fragment", 0x02)] {
            let mut clients = Vec::new();
            let wire = [frame(TO, 0x89, b""), head(TO, first, 16 << 20), vec![b'x']].concat();
            for i in 0..count {
                let mut stream = server.open();
                stream.write_all(&wire).unwrap();
                // Its pong is there, so what is behind the ping is looked at.
                stream.read_exact(&mut [0; 2]).unwrap();
                clients.push(stream);
                if i % BATCH == 0 {
                    server.serves();
                }
            }
            server.serves();
            server.took_at_most(&format!("{what}, announced"), server.crowd(count, 80 << 10));
            drop(clients);
            server.lets_go(0);
        }
    });
}

/// Messages that are echoed to those who do not read: a server stops reading them, at the mark of
/// what may wait to be sent (256 KiB) and a read (64 KiB). Nothing of it is lost.
#[test]
fn clients_that_never_read() {
    const COUNT: usize = 10;

    on_each(&[], |server| {
        for size in [64, 1_000, 100_000] {
            let before = server.usage().cpu;
            let mut clients: Vec<_> = (0..COUNT).map(|_| server.open()).collect();
            let sent: Vec<_> = clients
                .iter_mut()
                .map(|stream| send_until_it_waits(server, stream, size))
                .collect();
            let (most, all) = (sent.iter().max().unwrap(), sent.iter().sum::<u64>());
            let cpu = server.usage().cpu - before;
            println!("{size} bytes, {}: {all} messages, {most} of one: {cpu:?}", server.name);
            server.serves();
            // Some change their mind: all of it is there, once and in order.
            for (stream, sent) in clients.into_iter().zip(sent).step_by(COUNT / 2) {
                let mut stream = BufReader::with_capacity(1 << 16, stream);
                let mut echo = message(0, size, None);
                for number in 0..sent {
                    stream.read_exact(&mut echo).unwrap();
                    let head = reference::head(&echo).unwrap().unwrap();
                    assert_eq!((echo[0], head.length), (0x82, size as u64));
                    assert_eq!(echo[head.size..][..8], number.to_be_bytes());
                }
            }
        }
        let most = server.crowd(COUNT, 640 << 10) + (1 << 20);
        server.took_at_most("clients that never read", most);
        server.lets_go(0);
    });
}

/// A binary message that starts with its number.
fn message(number: u64, size: usize, key: Option<[u8; 4]>) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(size, b'x');
    frame_with(0x82, &payload, key)
}

/// Sends messages until the server takes no more, however often it serves others: how many went out
/// whole.
#[track_caller]
fn send_until_it_waits(server: &Server, stream: &mut TcpStream, size: usize) -> u64 {
    /// What goes out in any case: the buffers of TCP at both ends, in each direction.
    const MOST: usize = 32 << 20;

    stream.set_nonblocking(true).unwrap();
    let frame = message(0, size, Some([0; 4]));
    let (number_at, mut number) = (frame.len() - size, 0_u64);
    let mut wire = frame.repeat(65_536_usize.div_ceil(frame.len()));
    let mut next = || {
        for frame in wire.chunks_mut(frame.len()) {
            frame[number_at..][..8].copy_from_slice(&number.to_be_bytes());
            number += 1;
        }
        wire.clone()
    };
    let (mut batch, mut at, mut all, mut stalled) = (next(), 0, 0, 0);
    while stalled < 5 {
        match stream.write(&batch[at..]) {
            Ok(written) => {
                (at, all, stalled) = (at + written, all + written, 0);
                if at == batch.len() {
                    (batch, at) = (next(), 0);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stalled += 1;
                server.serves();
            }
            Err(error) => panic!("{}: {error}", server.name),
        }
        assert!(all < MOST, "{}: it goes on reading", server.name);
    }
    stream.set_nonblocking(false).unwrap();
    (all / frame.len()) as u64
}

/// §7.1.1, §7.1.5: connections that are dropped in the middle of anything, many with bytes unread,
/// which resets them.
#[test]
fn two_thousand_that_hang_up() {
    let mut random = Random::new(17);
    on_each(&[], |server| {
        let talk = [
            REQUEST.as_bytes().to_vec(),
            frame(TO, 0x89, &[b'p'; 100]).repeat(20),
            frame(TO, 0x81, b"hello"),
            frame(TO, 0x82, &[0; 70_000]),
            frame(TO, 0x01, b"begun"),
            frame(TO, 0x88, &close_body(1000, "")),
        ];
        let talk = talk.concat();
        let short = REQUEST.len() + 3_000;
        server.is_linear("hang-ups", 400, |n| {
            for i in 0..n {
                let mut stream = server.tcp();
                let most = if random.below(2) == 0 { short } else { talk.len() + 1 };
                let length = random.below(most);
                stream.write_all(&talk[..length]).unwrap();
                if length >= REQUEST.len() && random.below(2) == 0 {
                    // Now the rest of what it says is left unread.
                    stream.read_exact(&mut [0; 16]).unwrap();
                }
                drop(stream);
                if i % BATCH == 0 {
                    server.serves();
                }
            }
        });
        server.lets_go(0);
        // Threads may take their time to end.
        server.took_at_most("hang-ups", server.crowd(4 * BATCH, 16 << 10));
    });
}

/// More clients than a server has descriptors for: those that it cannot accept wait, or go, and the
/// next is served when there is room again.
#[cfg(target_os = "linux")]
#[test]
fn more_clients_than_descriptors() {
    let _watchdog = super::server::watchdog();
    for name in SERVERS {
        let server = Server::with_descriptors(name, 64);
        let mut clients: Vec<_> = (0..100).map(|_| server.tcp()).collect();
        for stream in &mut clients {
            stream.write_all(&REQUEST.as_bytes()[..50]).unwrap();
        }
        // The first ones were accepted.
        clients[0].write_all(&REQUEST.as_bytes()[50..]).unwrap();
        assert!(read_head(&clients[0]).starts_with("HTTP/1.1 101 "));
        drop(clients);
        server.is_well();
        server.lets_go(0);
    }
}
