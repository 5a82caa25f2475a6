//! Large messages that are cut into fragments as they are written (RFC 6455 §5.4). Memory is counted
//! by the allocator of this test binary. The laws are in `laws/fragmentation.rs`.

#![allow(clippy::type_complexity, reason = "tables say their type")]

#[cfg(feature = "deflate")]
use crate::deflate;
use crate::{common, heap};

use bytes::{Buf, Bytes};
use common::{
    BOTH, connection, drain, frame, head_with, receive, reference, seconds, sent, split, take,
    watch,
};
use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Connection, Keepalive, Message, Role, SendErrorReason, Transport,
    frame::ControlPayload,
};
use heap::measure;
use std::collections::HashSet;

const KIB: usize = 1 << 10;

/// How much of fragments is made ahead, in bytes, besides one fragment.
const AHEAD: usize = 16 * KIB;

/// The sizes at the border of one and of several fragments, in each kind that can be sent.
#[test]
fn section_5_4_a_message_is_cut_where_it_has_to_be() {
    const MOST: usize = 100;
    for role in BOTH {
        for size in [0, 1, 99, 100, 101, 199, 200, 201, 999, 1_000, 1_001, 50_000] {
            // Not every fragment is UTF-8 by itself (§5.6).
            let text: String = "é€😀"
                .chars()
                .cycle()
                .scan(0, |length, letter| {
                    *length += letter.len_utf8();
                    (*length <= size).then_some(letter)
                })
                .collect();
            let binary: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let kinds: [(u8, &[u8], &dyn Fn(&mut Connection)); 6] = [
                (1, text.as_bytes(), &|c| c.feed(&text[..]).unwrap()),
                (1, text.as_bytes(), &|c| c.feed(text.clone()).unwrap()),
                (1, text.as_bytes(), &|c| c.feed(Message::from(&text[..])).unwrap()),
                (2, &binary, &|c| c.feed(&binary[..]).unwrap()),
                (2, &binary, &|c| c.feed(binary.clone()).unwrap()),
                (2, &binary, &|c| c.feed(Bytes::from(binary.clone())).unwrap()),
            ];
            for (opcode, payload, send) in kinds {
                let config = Config::default().max_sent_frame(MOST);
                let mut connection = connection(role, config);
                send(&mut connection);
                assert_eq!(connection.unsent().messages, 1);
                let frames = sent(&mut connection);
                let count = payload.len().div_ceil(MOST).max(1);
                assert_eq!(frames.len(), count, "{} bytes", payload.len());
                for (number, (first, piece)) in frames.iter().enumerate() {
                    let opcode = if number == 0 { opcode } else { 0 };
                    let fin = if number == count - 1 { 0x80 } else { 0 };
                    assert_eq!(*first, fin | opcode);
                    assert!(piece.len() <= MOST);
                }
                let together: Vec<u8> = frames.into_iter().flat_map(|(_, piece)| piece).collect();
                assert_eq!(together, payload);
                assert_eq!(connection.unsent(), Default::default());
            }
        }
    }
}

/// What is not to be cut: anything by default, what the caller cuts, and zero counts as one.
#[test]
fn settings_of_the_largest_frame() {
    let big = vec![7; 100_000];
    for role in BOTH {
        for config in [Config::default(), Config::default().max_sent_frame(10).max_sent_frame(None)]
        {
            let mut whole = connection(role, config);
            whole.feed(&big).unwrap();
            assert_eq!(sent(&mut whole), [(0x82, big.clone())]);
        }
        let mut own = connection(role, Config::default().max_sent_frame(10));
        own.feed_fragment(&big, false).unwrap();
        own.feed_fragment(&big, true).unwrap();
        assert_eq!(sent(&mut own), [(0x02, big.clone()), (0x80, big.clone())]);
        let mut zero = connection(role, Config::default().max_sent_frame(0));
        zero.feed("abc").unwrap();
        let letters = [(0x01, b"a".to_vec()), (0x00, b"b".to_vec()), (0x80, b"c".to_vec())];
        assert_eq!(sent(&mut zero), letters);
    }
}

/// While less than 16 KiB wait the next fragment is made, and not one more: a control frame would
/// have to wait for it.
#[test]
fn no_fragment_is_made_ahead_of_its_time() {
    let mut server = connection(Role::Server, Config::default().max_sent_frame(4096 - 4));
    server.feed(vec![1; 100_000]).unwrap();
    assert_eq!(server.outbox().len(), 16 * 1024);
    server.outbox().advance(1);
    assert_eq!(server.outbox().len(), 16 * 1024 - 1 + 4096);
}

/// §10.3: each fragment has a mask key of its own.
#[test]
fn section_10_3_each_fragment_has_its_key() {
    let mut client = connection(Role::Client, Config::default().max_sent_frame(10));
    client.feed(vec![0; 10_000]).unwrap();
    let (mut keys, mut frames) = (HashSet::new(), 0);
    let mut wire = Vec::new();
    while !client.outbox().is_empty() {
        wire.extend(take(&mut client, 777));
    }
    let mut rest = &wire[..];
    while let Some(head) = reference::head(rest).unwrap() {
        keys.insert(head.key.unwrap());
        frames += 1;
        rest = &rest[head.size + head.length as usize..];
    }
    assert_eq!((frames, keys.len()), (1_000, 1_000));
}

/// §5.4: control frames go between the fragments, and soon; a Close goes behind all of them.
#[test]
fn section_5_4_control_frames_find_their_place() {
    for role in BOTH {
        for most in [1 << 10, 64 << 10] {
            let mut connection = connection(role, Config::default().max_sent_frame(most));
            let payload = Bytes::from(vec![3; 1 << 20]);
            connection.feed(&payload).unwrap();
            let mut written = Vec::new();
            let mut asked = Vec::new();
            for number in 0..8_u8 {
                written.extend(take(&mut connection, 50_000));
                assert_eq!(connection.transport(), Transport::Open);
                let ping = frame(role, 0x89, &[number]);
                receive(&mut connection, &ping, usize::MAX, watch).1.unwrap();
                if number == 3 {
                    let own = ControlPayload::new(b"ours").unwrap();
                    assert_eq!(connection.ping(own), Ok(()));
                }
                if number == 4 {
                    connection.start_close(CloseCode::NORMAL).unwrap();
                }
                asked.push(written.len());
            }
            while !connection.outbox().is_empty() {
                written.extend(take(&mut connection, 50_000));
            }
            let frames = split(role, &written);
            let (mut at, mut pongs, mut together) = (0, Vec::new(), Vec::new());
            for (first, piece) in &frames {
                match first {
                    0x8a => pongs.push((at, piece[0])),
                    0x02 | 0x00 | 0x80 => together.extend_from_slice(piece),
                    0x89 => assert_eq!(piece, b"ours"),
                    first => assert_eq!(*first, 0x88),
                }
                at += head_with(*first, piece.len() as u64, role_key(role)).len() + piece.len();
            }
            assert!(together == payload);
            assert_eq!(frames.last().unwrap(), &(0x88, 1000_u16.to_be_bytes().to_vec()));
            assert_eq!(frames.iter().filter(|(first, _)| *first == 0x89).count(), 1);
            let numbers: Vec<u8> = pongs.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
            for ((at, _), asked) in pongs.iter().zip(asked) {
                let wait = at - asked;
                assert!(wait <= AHEAD + most + 200, "{wait} bytes before a pong, of {most}");
            }
        }
    }
}

fn role_key(role: Role) -> Option<[u8; 4]> {
    (role == Role::Client).then_some([0; 4])
}

/// What follows a message that is being cut goes behind it, whatever it is.
#[test]
fn what_follows_goes_behind() {
    type Follow = fn(&mut Connection);
    let follows: [(Follow, &[(u8, &[u8])]); 4] = [
        (|c| c.feed("next").unwrap(), &[(0x81, b"next")]),
        (|c| c.feed("0123456789ab").unwrap(), &[(0x01, b"0123456789"), (0x80, b"ab")]),
        (
            |c| {
                c.feed_fragment("to be", false).unwrap();
                c.feed_fragment(" continued", true).unwrap();
            },
            &[(0x01, b"to be"), (0x80, b" continued")],
        ),
        (|c| c.start_close(None).unwrap(), &[(0x88, b"")]),
    ];
    for role in BOTH {
        for (follow, expected) in follows {
            let config = Config::default().max_sent_frame(10);
            let mut connection = connection(role, config);
            connection.feed(vec![1; 100_000]).unwrap();
            assert_eq!(connection.unsent().messages, 1);
            follow(&mut connection);
            let frames = sent(&mut connection);
            let (message, behind) = frames.split_at(10_000);
            assert!(message.iter().all(|(_, piece)| piece[..] == [1; 10]));
            let behind: Vec<_> = behind.iter().map(|(first, piece)| (*first, &piece[..])).collect();
            assert_eq!(behind, expected);
        }
    }
}

/// What is kept counts for the limit and for the mark, though it is not in the outbox yet.
#[test]
fn what_is_kept_is_backlog() {
    for role in BOTH {
        let config = Config::default().max_sent_frame(100).unsent_mark(50_000).max_unsent(80_000);
        let mut connection = connection(role, config);
        connection.feed(vec![1; 100_000]).unwrap();
        assert!(connection.outbox().remaining() < 20_000);
        let (mut refused, mut written) = (0, Vec::new());
        loop {
            let unsent = connection.unsent();
            assert_eq!(connection.is_ready(), unsent.bytes < 50_000, "{unsent:?}");
            assert_eq!(unsent.messages, 1);
            if unsent.bytes < 80_000 {
                break;
            }
            assert_eq!(connection.ping(ControlPayload::EMPTY), Err(SendErrorReason::Full));
            let error = connection.feed("x").unwrap_err();
            assert_eq!(error.reason, SendErrorReason::Full);
            assert_eq!(connection.unsent(), unsent, "nothing changed");
            refused += 1;
            written.extend(take(&mut connection, 999));
        }
        assert!(refused > 15);
        connection.feed("x").unwrap();
        assert_eq!(connection.unsent().messages, 2);
        written.extend(drain(&mut connection));
        assert_eq!(split(role, &written)[1_000..], [(0x81, b"x".to_vec())]);
    }
}

/// Both Closes are there and a message is not: the transport is kept until that is written, by
/// both roles, also when the peer has ended its side; and what is cut off is no clean end.
#[test]
fn closing_waits_for_what_is_kept() {
    for role in BOTH {
        for (eof, lost) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut connection = connection(role, Config::default().max_sent_frame(100));
            connection.feed(vec![1; 100_000]).unwrap();
            let close = frame(role, 0x88, &1001_u16.to_be_bytes());
            receive(&mut connection, &close, 1, watch).1.unwrap();
            let during = match eof {
                true => Transport::WriteOnly,
                false => Transport::Open,
            };
            // Even though the outbox is empty for now.
            let mut written = take(&mut connection, usize::MAX);
            if eof {
                connection.receive_eof();
            }
            while connection.unsent().bytes > 30_000 {
                written.extend(take(&mut connection, usize::MAX));
                assert_eq!(connection.transport(), during);
                connection.shutdown_complete();
                assert_eq!(connection.transport(), during, "it was not asked for");
            }
            if lost {
                let before = connection.unsent();
                assert_eq!(before.messages, 1);
                connection.write_failed();
                assert_eq!(connection.unsent(), before);
                assert!(matches!(connection.closed(), Some(Closed::Unsent { .. })));
                continue;
            }
            while !connection.outbox().is_empty() {
                assert_eq!(connection.transport(), during);
                written.extend(take(&mut connection, 10_000));
            }
            let frames = split(role, &written);
            assert_eq!(frames.len(), 1_001);
            assert_eq!(frames[1_000], (0x88, 1001_u16.to_be_bytes().to_vec()));
            assert_eq!(connection.unsent(), Default::default());
            let after = match (eof, role) {
                (true, _) => Transport::Closed,
                (false, Role::Server) => Transport::ShutDown,
                (false, Role::Client) => Transport::AwaitEof,
            };
            assert_eq!(connection.transport(), after);
        }
    }
}

/// The answer to the newest ping, which had no room, goes out in front of a Close that waited.
#[test]
fn a_kept_pong_goes_in_front_of_a_kept_close() {
    for role in BOTH {
        let mut connection = connection(role, Config::default().max_sent_frame(100));
        connection.feed(vec![1; 17_000]).unwrap();
        assert!(connection.outbox().remaining() < 17_000, "not all is made");
        for number in 0..20 {
            let ping = frame(role, 0x89, &[number]);
            receive(&mut connection, &ping, usize::MAX, watch).1.unwrap();
        }
        connection.start_close(None).unwrap();
        let mut written = take(&mut connection, 2_000);
        written.extend(drain(&mut connection));
        let frames = split(role, &written);
        assert_eq!(frames.len(), 170 + 17 + 1);
        assert_eq!(frames[186..], [(0x8a, vec![19]), (0x88, vec![])]);
    }
}

/// The compressor stays until all that was accepted is compressed.
#[cfg(feature = "deflate")]
#[test]
fn closing_waits_for_what_is_still_to_be_compressed() {
    for role in BOTH {
        for fails in [false, true] {
            let params = || deflate::params("");
            let config = Config::default().max_sent_frame(5_000);
            let mut connection = deflate::deflating(role, config, params());
            let mut random = common::Random::new(3);
            let noise: Vec<u8> = (0..100_000).map(|_| random.next() as u8).collect();
            connection.feed(&noise).unwrap();
            let end = if fails { vec![0x83] } else { frame(role, 0x88, b"") };
            assert_eq!(receive(&mut connection, &end, 1, watch).1.is_err(), fails);
            let mut written = Vec::new();
            while !connection.outbox().is_empty() {
                written.extend(take(&mut connection, 9_999));
            }
            let mut peer = deflate::deflating(common::other(role), Config::default(), params());
            let (events, result) = receive(&mut peer, &written, 1_000, watch);
            assert_eq!((events.len(), result), (2, Ok(())));
            assert!(events[0] == common::Seen::Binary(noise));
        }
    }
}

/// A failed connection too finishes what it has accepted, and then says why it failed.
#[test]
fn failing_waits_for_what_is_kept() {
    for role in BOTH {
        let mut connection = connection(role, Config::default().max_sent_frame(1_000));
        connection.feed(vec![1; 100_000]).unwrap();
        assert!(receive(&mut connection, b"\x83", 1, watch).1.is_err());
        let frames = sent(&mut connection);
        assert_eq!(frames.len(), 101);
        assert_eq!((frames[100].0, &frames[100].1[..2]), (0x88, &1002_u16.to_be_bytes()[..]));
        assert_eq!(connection.transport(), Transport::ShutDown);
    }
}

/// A peer that takes a large message slowly, and answers pings that go between, is alive, and one
/// that takes nothing is not; neither is looked for by what is in the outbox at the moment.
#[test]
fn keepalive_sees_what_is_kept() {
    for takes in [true, false] {
        let keepalive =
            Keepalive::every(Duration::from_secs(10)).pong_timeout(Duration::from_secs(5));
        let config = Config::default().max_sent_frame(1_000).keepalive(keepalive);
        let mut connection = Connection::server(config);
        connection.feed(vec![1; 1 << 20]).unwrap();
        let mut failed = None;
        for second in 0..60 {
            if takes {
                // So that it is empty for now.
                let taken = take(&mut connection, usize::MAX);
                for (_, payload) in split(Role::Server, &taken).iter().filter(|it| it.0 == 0x89) {
                    let pong = frame(Role::Server, 0x8a, payload);
                    receive(&mut connection, &pong, usize::MAX, watch).1.unwrap();
                }
            }
            if let Err(error) = connection.handle_timeout(seconds(f64::from(second))) {
                failed = Some((second, error));
                break;
            }
        }
        match failed {
            None => assert!(takes),
            Some((second, _)) => assert!(!takes && (14..20).contains(&second), "{second}"),
        }
    }
}

/// Progress of a message that is cut keeps an idle connection alive.
#[test]
fn idle_timeout_sees_what_is_kept() {
    let config = Config::default().max_sent_frame(1_000).idle_timeout(Duration::from_secs(10));
    let mut connection = Connection::server(config);
    connection.feed(vec![1; 1 << 20]).unwrap();
    for second in 0..60 {
        take(&mut connection, 10_000);
        connection.handle_timeout(seconds(f64::from(second))).unwrap();
    }
    let gone = (60..80).find(|at| connection.handle_timeout(seconds(f64::from(*at))).is_err());
    assert!(gone.is_some(), "nothing was taken any more");
    assert_eq!(connection.unsent().messages, 1);
}

/// A client masks, so it copies; but only what is about to be written.
#[test]
fn a_large_message_is_not_copied_as_a_whole() {
    for role in BOTH {
        let payload = Bytes::from(vec![5; 64 << 20]);
        let ((), heap) = measure(|| {
            let mut connection = connection(role, Config::default().max_sent_frame(64 * KIB));
            connection.feed(&payload).unwrap();
            while !connection.outbox().is_empty() {
                let written = connection.outbox().chunk().len().min(100_000);
                connection.outbox().advance(written);
            }
            assert_eq!(connection.unsent(), Default::default());
        });
        assert!(heap.peak < 512 * KIB, "{role:?}: {heap:?}");
    }
}

/// Fragments that cannot be compressed grow by less than an eighth and some bytes, and noise is
/// not the worst: bytes whose codes have nine bits are.
#[cfg(feature = "deflate")]
#[test]
fn what_cannot_be_compressed_grows_within_bounds() {
    use fullduplex::deflate::{Compression, Deflate};
    let mut random = common::Random::new(7);
    for high in [0, 0x90] {
        let noise: Vec<u8> = (0..200_000).map(|_| random.next() as u8 | high).collect();
        for level in [0, 1, 6] {
            for most in [1, 100, 10_000, 65_536] {
                let settings = Deflate::default().level(level);
                let noise = &noise[..(most * 50).min(noise.len())];
                let config = Config::default().max_sent_frame(most).deflate(settings);
                let mut connection = deflate::deflating(Role::Server, config, deflate::params(""));
                connection.feed(Compression::Always.of(noise)).unwrap();
                for (_, piece) in sent(&mut connection) {
                    let limit = most + most / 8 + 32;
                    assert!(piece.len() <= limit, "{} of {most}, level {level}", piece.len());
                }
            }
        }
    }
}
