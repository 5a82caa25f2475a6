//! The counters of a connection: one exchange counted by hand, and what holds for any.

use crate::common;
#[cfg(feature = "deflate")]
use crate::deflate;
#[cfg(feature = "tokio")]
use crate::support;

use common::{
    BOTH, Random, close_body, connection, drain, frame, frames, head, other, pair::Pair, receive,
    watch,
};
use fullduplex::{
    Config, Connection, Event, Input, Message, Role, Stats, Transport, frame::ControlPayload,
};

/// Numbers by name; the others are zero.
fn stats(set: impl FnOnce(&mut Stats)) -> Stats {
    let mut stats = Stats::default();
    set(&mut stats);
    stats
}

/// What a server gets, and what it counts then. Heads are 6 bytes, with the key, if not said
/// otherwise.
#[test]
fn what_is_received_counted_by_hand() {
    type Case<'c> = (&'c str, Vec<u8>, fn(&mut Stats));
    let to = Role::Server;
    let cases: [Case<'_>; 9] = [
        ("nothing", vec![], |_| ()),
        ("a message", frame(to, 0x81, b"Hello"), |s| {
            (s.frames_received, s.bytes_received) = (1, 11);
            (s.messages_received, s.payload_received) = (1, 5);
        }),
        ("an empty message", frame(to, 0x82, b""), |s| {
            (s.frames_received, s.bytes_received, s.messages_received) = (1, 6, 1);
        }),
        ("a long message, with 8 bytes of a head", frame(to, 0x82, &[7; 200]), |s| {
            (s.frames_received, s.bytes_received) = (1, 208);
            (s.messages_received, s.payload_received) = (1, 200);
        }),
        (
            "four fragments around a ping and two pongs",
            frames(
                to,
                &[
                    (0x01, b"ab"),
                    (0x89, b"ping"),
                    (0x00, b""),
                    (0x8a, b"x"),
                    (0x8a, b""),
                    (0x00, b"c"),
                    (0x80, b"def"),
                ],
            ),
            |s| {
                (s.frames_received, s.bytes_received) = (7, 8 + 10 + 6 + 7 + 6 + 7 + 9);
                (s.messages_received, s.payload_received) = (1, 6);
                (s.pings_received, s.pongs_received) = (1, 2);
                (s.frames_sent, s.pongs_sent) = (1, 1);
            },
        ),
        ("a message without its last byte", frame(to, 0x82, &[7; 99])[..104].into(), |s| {
            (s.bytes_received, s.payload_received) = (104, 98);
        }),
        ("a part of a head", vec![0x82, 0xfe, 0x01], |s| s.bytes_received = 3),
        ("a part of a ping", frame(to, 0x89, b"ping")[..8].into(), |s| s.bytes_received = 8),
        (
            "a Close and something behind it",
            [frame(to, 0x88, &close_body(1000, "bye")), frame(to, 0x82, b"late")].concat(),
            |s| {
                (s.frames_received, s.bytes_received) = (1, 11);
                s.frames_sent = 1;
            },
        ),
    ];
    for (name, wire, expected) in &cases {
        for step in [1, 2, 3, 7, 1000] {
            let mut connection = connection(to, Config::default());
            receive(&mut connection, wire, step, watch).1.unwrap();
            assert_eq!(connection.stats(), stats(expected), "{name}, {step} bytes at a time");
            // The end changes nothing, and loses what is queued. B11: that it cut a message off is
            // counted.
            connection.transport_failed();
            let mut ended = stats(expected);
            ended.messages_cut_off = (*name == "a message without its last byte").into();
            assert_eq!(connection.stats(), ended, "{name}, at the end");
        }
    }
}

/// What either end sends, its head with or without a key.
#[test]
fn what_is_sent_counted_by_hand() {
    for (role, key) in [(Role::Server, 0), (Role::Client, 4)] {
        let mut connection = connection(role, Config::default());
        let mut expected = Stats::default();
        let mut check = |connection: &mut Connection, set: fn(&mut Stats), bytes: u64| {
            let before = expected.bytes_sent;
            set(&mut expected);
            assert_eq!(connection.stats(), expected, "{role:?}: nothing is written yet");
            drain(connection);
            expected.bytes_sent = before + bytes;
            assert_eq!(connection.stats(), expected, "{role:?}");
        };
        connection.feed("Hello").unwrap();
        check(
            &mut connection,
            |s| (s.frames_sent, s.messages_sent, s.payload_sent) = (1, 1, 5),
            2 + key + 5,
        );
        connection.feed(vec![7; 20_000]).unwrap(); // shared, by a server
        check(
            &mut connection,
            |s| (s.frames_sent, s.messages_sent, s.payload_sent) = (2, 2, 20_005),
            4 + key + 20_000,
        );
        connection.feed_fragment("a", false).unwrap();
        connection.feed_fragment("", false).unwrap();
        check(
            &mut connection,
            |s| (s.frames_sent, s.payload_sent) = (4, 20_006),
            2 * (2 + key) + 1,
        );
        connection.ping(ControlPayload::new(b"ping").unwrap()).unwrap();
        connection.feed("refused").unwrap_err();
        connection.feed_fragment("bc", true).unwrap();
        check(
            &mut connection,
            |s| {
                (s.frames_sent, s.messages_sent, s.payload_sent, s.pings_sent) = (6, 3, 20_008, 1);
            },
            2 * (2 + key) + 4 + 2,
        );
        connection.start_close(None).unwrap();
        connection.feed("refused").unwrap_err();
        check(&mut connection, |s| s.frames_sent = 7, 2 + key);
    }
}

/// §5.5.3: a pong that gave way to a newer one was not sent.
#[test]
fn a_pong_that_was_replaced_is_not_counted() {
    let mut server = connection(Role::Server, Config::default());
    let pings = frame(Role::Server, 0x89, b"?").repeat(100);
    receive(&mut server, &pings, usize::MAX, watch).1.unwrap();
    assert_eq!((server.stats().pings_received, server.stats().pongs_sent), (100, 16));
    while !server.outbox().is_empty() {
        drain(&mut server);
    }
    assert_eq!((server.stats().pongs_sent, server.stats().bytes_sent), (17, 17 * 3));
}

/// A Close that waited for the end of a message in fragments counts once it is written.
#[test]
fn a_close_that_waited_is_counted() {
    for role in BOTH {
        let mut connection = connection(role, Config::default().max_sent_frame(100));
        connection.feed(vec![1; 100_000]).unwrap();
        connection.start_close(None).unwrap();
        let mut written = 0;
        while connection.stats().frames_sent < 1_001 {
            written += drain(&mut connection).len() as u64;
            assert_eq!(connection.stats().bytes_sent, written, "{role:?}");
        }
        assert!(connection.outbox().is_empty());
    }
}

/// What a broken transport takes with it was accepted, and not written.
#[test]
fn lost_bytes_are_not_sent() {
    type End = fn(&mut Connection);
    let ends: [(&str, End); 3] = [
        ("a write failed", Connection::write_failed),
        ("the transport failed", Connection::transport_failed),
        ("it ended", Connection::receive_eof),
    ];
    for (name, end) in ends {
        let mut server = connection(Role::Server, Config::default());
        receive(&mut server, &frame(Role::Server, 0x89, b"?"), 1, watch).1.unwrap();
        server.feed(vec![7; 20_000]).unwrap();
        server.feed("Hello").unwrap();
        server.outbox().advance(3);
        let before = server.stats();
        assert_eq!((before.bytes_sent, before.messages_sent, before.pongs_sent), (3, 2, 1));
        end(&mut server);
        assert_eq!(server.stats(), before, "{name}");
    }
}

/// A mistake ends what is counted: its frame is not, and of its bytes none that did not come.
#[test]
fn mistakes_are_not_counted() {
    let to = Role::Server;
    let cases: [(&str, Vec<u8>); 7] = [
        ("text that is not UTF-8", frame(to, 0x81, b"a\xff")),
        ("such text in fragments", frames(to, &[(0x01, b"\xc3"), (0x80, b"(")])),
        ("a frame that is too large", head(to, 0x82, 1 << 62)),
        ("no mask", frame(Role::Client, 0x81, b"Hello")),
        ("a reserved opcode", frame(to, 0x83, b"")),
        ("a Close with a body of one byte", frame(to, 0x88, b"x")),
        ("nothing to continue", frame(to, 0x80, b"x")),
    ];
    for (name, mistake) in cases {
        let good = frame(to, 0x81, b"good");
        let wire = [&good[..], &mistake, &good].concat();
        let fragment = u64::from(name == "such text in fragments");
        for step in [1, 2, 5, 1000] {
            let mut connection = connection(to, Config::default());
            receive(&mut connection, &wire, step, watch).1.unwrap_err();
            let stats = connection.stats();
            assert_eq!(stats.frames_received, 1 + fragment, "{name}, {step} at a time");
            assert_eq!(stats.messages_received, 1, "{name}, {step} at a time");
            let most = (good.len() + mistake.len()) as u64;
            assert!(
                (good.len() as u64..=most).contains(&stats.bytes_received),
                "{name}: {stats:?}"
            );
            assert_eq!(stats.frames_sent, 1, "{name}: the Close");
        }
    }
}

/// Every byte counts when it comes, whatever it is, until the connection is over; and nothing ever
/// counts backwards.
#[test]
fn bytes_count_as_they_come() {
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let role = *random.pick(&BOTH);
        let mut connection = connection(role, Config::default());
        let mut wire = Vec::new();
        for _ in 0..20 {
            let first = *random.pick(&[0x81, 0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0xc1]);
            let payload = vec![*random.pick(b"a\xff"); random.size(125)];
            wire.extend(frame(role, first, if first == 0x88 { b"" } else { &payload }));
        }
        let (mut came, mut before, mut over) = (0, Stats::default(), false);
        while came < wire.len() {
            let size = random.size(400).min(wire.len() - came);
            let mut piece = wire[came..came + size].to_vec();
            came += size;
            let mut input = Input::new(&mut piece);
            loop {
                match connection.receive(&mut input) {
                    Ok(Some(Event::Close(_))) | Err(_) => {
                        over = true;
                        break;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                }
            }
            let now = connection.stats();
            assert!(now.bytes_received <= came as u64, "seed {seed}");
            assert!(over || now.bytes_received == came as u64, "seed {seed}: {now:?}");
            assert!(now.bytes_received >= before.bytes_received, "seed {seed}");
            assert!(now.payload_received >= before.payload_received, "seed {seed}");
            assert!(now.messages_received >= before.messages_received, "seed {seed}");
            before = now;
            if over {
                break;
            }
        }
    }
}

fn message(random: &mut Random) -> Message {
    let size = random.size(70_000) - 1;
    match random.below(3) {
        0 => "grüße 🦀 ".repeat(size / 10).into(),
        1 => vec![7; size].into(),
        _ => (0..size).map(|_| random.next() as u8).collect::<Vec<u8>>().into(),
    }
}

/// Sends something: what it came to in bytes of payload, and whether that ended a message.
fn send(random: &mut Random, connection: &mut Connection) -> (u64, bool) {
    let message = message(random);
    let length = message.as_bytes().len() as u64;
    match random.below(6) {
        0 => {
            connection.ping(ControlPayload::new(b"?").unwrap()).unwrap();
            (0, false)
        }
        1 => {
            let pieces = 1 + random.below(4);
            for i in 0..pieces {
                connection.feed_fragment(&message, i + 1 == pieces).unwrap();
            }
            (length * pieces as u64, true)
        }
        #[cfg(feature = "deflate")]
        2 => {
            use fullduplex::deflate::Compression;
            let compression = *random.pick(&[Compression::Always, Compression::Never]);
            connection.feed(compression.of(message)).unwrap();
            (length, true)
        }
        _ => {
            connection.feed(message).unwrap();
            (length, true)
        }
    }
}

/// What one end has received, under the names of what the other has sent.
fn mirrored(stats: Stats) -> Stats {
    let mut sent = Stats::default();
    sent.frames_sent = stats.frames_received;
    sent.bytes_sent = stats.bytes_received;
    sent.messages_sent = stats.messages_received;
    sent.payload_sent = stats.payload_received;
    sent.deflated_sent = stats.deflated_received;
    sent.inflated_sent = stats.inflated_received;
    sent.pings_sent = stats.pings_received;
    sent.pongs_sent = stats.pongs_received;
    sent
}

/// What one end has sent, and nothing else.
fn only_sent(stats: Stats) -> Stats {
    let mut sent = Stats::default();
    sent.frames_sent = stats.frames_sent;
    sent.bytes_sent = stats.bytes_sent;
    sent.messages_sent = stats.messages_sent;
    sent.payload_sent = stats.payload_sent;
    sent.deflated_sent = stats.deflated_sent;
    sent.inflated_sent = stats.inflated_sent;
    sent.pings_sent = stats.pings_sent;
    sent.pongs_sent = stats.pongs_sent;
    sent
}

/// Whatever is sent over whatever link is counted alike at both ends, and what comes in chunks is
/// counted as what comes whole. `new` makes a connection.
fn both_ends_count_alike(new: impl Fn(Role, u64) -> Connection) {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&Config::default(), &Config::default(), seed);
        for role in BOTH {
            pair.end(role).connection = new(role, seed);
        }
        let mut said = [(0, 0); 2];
        for _ in 0..random.below(12) {
            let role = *random.pick(&BOTH);
            let (payload, whole) = send(&mut random, &mut pair.end(role).connection);
            let said = &mut said[usize::from(role == Role::Client)];
            *said = (said.0 + payload, said.1 + u64::from(whole));
            if random.below(3) == 0 {
                pair.settle();
            }
        }
        pair.settle();
        for closed in [false, true] {
            if closed {
                pair.end(*random.pick(&BOTH)).connection.start_close(None).unwrap();
                pair.settle();
            }
            for role in BOTH {
                let sent = pair.end(role).connection.stats();
                let received = pair.end(other(role)).connection.stats();
                assert_eq!(only_sent(sent), mirrored(received), "seed {seed}, {role:?} sends");
                let (payload, messages) = said[usize::from(role == Role::Client)];
                assert_eq!((sent.payload_sent, sent.messages_sent), (payload, messages));
                assert_eq!(sent.bytes_sent, pair.end(role).written.len() as u64);
                assert!(sent.pings_sent == 0 || received.pongs_sent > 0);
            }
        }
        for role in BOTH {
            assert_eq!(pair.end(role).connection.transport(), Transport::Closed);
            let mut chunks = new(role, seed);
            for piece in pair.end(other(role)).written.chunks_mut(1 + random.size(5_000)) {
                let mut input = Input::new(piece);
                while chunks.receive_chunk(&mut input).unwrap().is_some() {}
            }
            let (chunks, whole) = (chunks.stats(), pair.end(role).connection.stats());
            assert_eq!(mirrored(chunks), mirrored(whole), "seed {seed}, {role:?} in chunks");
        }
    }
}

#[test]
fn both_ends_count_alike_without_compression() {
    let config = Config::default().max_unsent(usize::MAX);
    both_ends_count_alike(|role, _| connection(role, config.clone()));
}

#[cfg(feature = "deflate")]
#[test]
fn both_ends_count_alike_with_compression() {
    let config = Config::default().max_unsent(usize::MAX);
    both_ends_count_alike(|role, seed| {
        let agreed = deflate::with_bits(9 + (seed % 7) as u8, seed % 2 == 0);
        deflate::deflating(role, config.clone(), agreed)
    });
    // One message, by hand: the wire is its head of 2 bytes and what is told apart here.
    let mut server = deflate::deflating(Role::Server, config, deflate::params(""));
    server.feed("a".repeat(1_000)).unwrap();
    let wire = drain(&mut server);
    let stats = server.stats();
    assert_eq!((stats.inflated_sent, stats.payload_sent), (1_000, 1_000));
    assert_eq!((stats.deflated_sent, stats.bytes_sent), (wire.len() as u64 - 2, wire.len() as u64));
}

/// Bytes that an adapter reads straight into a message are counted like any others.
#[cfg(feature = "tokio")]
#[test]
fn the_adapters_count_what_they_read_and_write() {
    use support::{Script, Step, on_all, quiet};
    let size = 1 << 20;
    let wire =
        [frame(Role::Server, 0x82, &vec![7; size]), frame(Role::Server, 0x89, b"?")].concat();
    let all = wire.len() as u64;
    let script = || Script::reading(wire.chunks(100_000).map(|piece| Step::Bytes(piece.into())));
    on_all(Role::Server, &quiet(), script, |ws, script| {
        ws.recv().unwrap().unwrap();
        ws.recv_event().unwrap().unwrap();
        ws.send("Hello".into()).unwrap();
        let expected = stats(|s| {
            (s.frames_received, s.bytes_received, s.pings_received) = (2, all, 1);
            (s.messages_received, s.payload_received) = (1, size as u64);
            (s.frames_sent, s.bytes_sent, s.pongs_sent) = (2, 3 + 7, 1);
            (s.messages_sent, s.payload_sent) = (1, 5);
        });
        assert_eq!(ws.stats(), expected);
        assert_eq!(script.written().len(), 10);
    });
}
