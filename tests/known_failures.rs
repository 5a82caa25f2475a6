//! What went wrong in other WebSocket libraries, and the test that would have caught it here.
//!
//! | what went wrong, and where | test |
//! |---|---|
//! | buffer reserved from an announced length (CVE-2022-35922) | `limits`: `section_10_4_announced_lengths_reserve_nothing` |
//! | outgoing queue without bound (CVE-2020-35896) | `limits`: `a_peer_that_does_not_read_costs_the_limit` |
//! | pong queue without bound (CVE-2026-11586) | `limits`: `section_5_5_3_a_ping_flood_is_bounded` |
//! | automatic pong loops for ever (CVE-2025-5399) | here: `a_pending_pong_ends_at_every_partial_write` |
//! | one mask key for all frames (CVE-2025-10148) | `laws`: `section_10_3_mask_keys`, `…_of_the_thread` |
//! | an object per tiny fragment (CVE-2026-48779) | `limits`: `fragments_of_one_byte_cost_twice_their_payload` |
//! | empty fragments for ever (the fix of the same) | `limits`: `section_10_4_fragment_limit`, `…_defaults` |
//! | an object per tiny read (aiohttp) | `limits`: `a_frame_in_reads_of_one_byte_costs_its_payload` |
//! | frame under way not counted (CVE-2026-54274) | `limits`: `section_10_4_announced_lengths_reserve_nothing` |
//! | no limit over all fragments (CVE-2026-42786) | `limits`: `section_10_4_message_limit`, `…_defaults` |
//! | limit overshot by the last step | `limits`: `section_10_4_message_limit…` |
//! | sum of lengths overflows (CVE-2020-27813) | `limits`: `section_10_4_a_limit_beyond_memory_reserves_a_constant` |
//! | top bit of a length loops (CVE-2020-13935) | `receiving`: `section_5_2_length_forms` |
//! | length of 64 bits overflows (undici) | `limits`: `section_10_4_announced_lengths_reserve_nothing` |
//! | masked frames of a server taken as payload (Bun) | `receiving`: `section_5_1_masked_to_a_client` |
//! | unmasked frames of a client accepted, stale key reused | `receiving`: `section_5_1_unmasked_to_a_server`; here: `an_unmasked_frame_is_not_unmasked_with_an_older_key` |
//! | payload of the wrong frame still delivered (facil.io) | `receiving`: all of it; here: `no_event_out_of_the_frame_that_was_wrong` |
//! | RSV1 honoured though nothing was negotiated | `receiving`: `section_5_2_reserved_bits` |
//! | message in a message, fragmented control, Close of 1 byte, 1005 echoed | `receiving`: `section_5_4_…`, `section_5_5_…`; `closing`: `section_5_5_1_bodies`, `section_7_4_every_code` |
//! | memory that was never written is sent (CVE-2026-45736) | `laws`: `any_cut_reads_the_same_and_as_the_reference_does` explains every byte written |
//! | counts that are not true taken for data | here: `the_outbox_cannot_be_advanced_past_its_end` |
//! | text that is not UTF-8 from a public constructor | here: `text_comes_from_str_only` |
//! | text checked again from its start at each fragment | here: `text_in_pieces_is_looked_at_once` |
//! | book-keeping of the last fragment (CVE-2025-51495) | `receiving`: `section_5_4_empty_fragments` |
//! | the last message is kept alive (Jetty) | here: `a_payload_is_let_go_once_it_is_written` |

#![allow(clippy::type_complexity, reason = "tables say their type")]

mod common;

use bytes::{Buf, Bytes};
use common::{BOTH, KEY, Seen, connection, drain, frame, frame_with, receive, split, watch};
use fullduplex::{Config, Connection, Input, Role, Text};
use std::{sync::Arc, time::Instant};

/// Writes `most` bytes, or as many as there are in one piece.
fn write(connection: &mut Connection, most: usize, written: &mut Vec<u8>) -> usize {
    let outbox = connection.outbox();
    let piece = &outbox.chunk()[..most.min(outbox.chunk().len())];
    let length = piece.len();
    written.extend_from_slice(piece);
    outbox.advance(length);
    length
}

/// A write that takes `step` bytes at a time comes to an end, whatever pings come between.
#[test]
fn a_pending_pong_ends_at_every_partial_write() {
    for role in BOTH {
        for step in 1..=140 {
            let mut connection = connection(role, Config::default());
            let ping = frame(role, 0x89, &[7; 125]);
            let (mut written, mut writes) = (Vec::new(), 0);
            for _ in 0..40 {
                receive(&mut connection, &ping, usize::MAX, watch).1.unwrap();
                for _ in 0..2 {
                    write(&mut connection, step, &mut written);
                }
            }
            while !connection.outbox().is_empty() {
                assert!(write(&mut connection, step, &mut written) > 0, "not empty, yet nothing");
                writes += 1;
                assert!(writes <= 20 * 140, "it does not come to an end");
            }
            let pongs = split(role, &written);
            assert!((17..=40).contains(&pongs.len()), "{} pongs", pongs.len());
            assert!(pongs.iter().all(|pong| *pong == (0x8a, vec![7; 125])));
        }
    }
}

#[test]
fn an_unmasked_frame_is_not_unmasked_with_an_older_key() {
    for step in [usize::MAX, 1] {
        let mut server = Connection::server(Config::default());
        let wire =
            [frame(Role::Server, 0x01, b"masked"), frame_with(0x80, b"plain", None)].concat();
        let (events, result) = receive(&mut server, &wire, step, watch);
        assert!(events.is_empty() && result.is_err());
    }
}

/// In each way a frame can be wrong, with a payload that would be a message.
#[test]
fn no_event_out_of_the_frame_that_was_wrong() {
    let limited = Config::default().max_message_size(4).max_frame_size(8).max_fragments(1);
    for role in BOTH {
        let wrong_mask = (role == Role::Client).then_some(KEY);
        for wire in [
            frame_with(0x81, b"text", wrong_mask),
            frame_with(0x89, b"ping", wrong_mask),
            frame_with(0x88, b"\x03\xe8", wrong_mask),
            frame(role, 0xc1, b"text"),
            frame(role, 0x83, b"text"),
            frame(role, 0x80, b"text"),
            frame(role, 0x09, b"ping"),
            frame(role, 0x81, b"te\xff"),
            frame(role, 0x82, b"five!"),
            frame(role, 0x82, b"much too long"),
            frame(role, 0x88, b"\x03\xed"),
            [frame(role, 0x02, b"a"), frame(role, 0x80, b"b")].concat(),
            [frame(role, 0x02, b"a"), frame(role, 0x81, b"b")].concat(),
        ] {
            for step in [usize::MAX, 1] {
                let mut connection = connection(role, limited.clone());
                let wire = [&wire[..], &frame(role, 0x81, b"next")].concat();
                let (events, result) = receive(&mut connection, &wire, step, watch);
                assert_eq!(events, [], "{wire:x?}");
                assert!(result.is_err(), "{wire:x?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "past the end")]
fn the_outbox_cannot_be_advanced_past_its_end() {
    let mut connection = Connection::server(Config::default());
    connection.send("hello").unwrap();
    connection.outbox().advance(8);
}

/// By type: everything that makes a `Text` has a `str`.
#[test]
fn text_comes_from_str_only() {
    let texts = [Text::from("é"), Text::from(String::from("é")), Text::from_static("é")];
    for text in texts {
        assert_eq!(std::str::from_utf8(Bytes::from(text).as_ref()), Ok("é"));
    }
    assert_eq!(Text::default(), "");
}

/// 4 MiB of text in fragments of 63 bytes: a moment when each byte is looked at once, and many
/// minutes when all that is there is looked at with each fragment.
#[test]
fn text_in_pieces_is_looked_at_once() {
    let mut server = Connection::server(Config::default());
    let mut wire = frame(Role::Server, 0x01, b"");
    wire.extend(frame(Role::Server, 0x00, "äöü!".repeat(9).as_bytes()).repeat((4 << 20) / 63));
    wire.extend(frame(Role::Server, 0x80, b""));
    let start = Instant::now();
    assert!(matches!(server.receive(&mut Input::new(&mut wire)), Ok(Some(_))));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// Its owner is dropped when the last byte is written, and when the connection ends before that.
#[test]
fn a_payload_is_let_go_once_it_is_written() {
    struct Owner(#[expect(dead_code, reason = "only counted")] Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &[7; 100_000]
        }
    }
    let ends: [(&str, fn(&mut Connection)); 5] = [
        ("written", |c| drop(drain(c))),
        ("broken", Connection::transport_failed),
        ("end of file", Connection::receive_eof),
        ("write failed", Connection::write_failed),
        ("too late", |c| {
            c.close(None);
            c.handle_timeout(common::seconds(1.0)).unwrap();
            c.handle_timeout(common::seconds(100.0)).unwrap_err();
        }),
    ];
    for (name, end) in ends {
        for role in BOTH {
            let alive = Arc::new(());
            let mut connection = connection(role, Config::default());
            connection.send(Bytes::from_owner(Owner(alive.clone()))).unwrap();
            let expected = if role == Role::Server { 2 } else { 1 };
            assert_eq!(Arc::strong_count(&alive), expected, "a client copies, a server shares");
            end(&mut connection);
            assert_eq!(Arc::strong_count(&alive), 1, "{name}, {role:?}");
        }
    }
    // The same for what was received: it belongs to whoever took it.
    let mut server = Connection::server(Config::default());
    let wire = frame(Role::Server, 0x82, &[1; 300]);
    let (events, _) = receive(&mut server, &wire, 7, watch);
    assert_eq!(events, [Seen::Binary(vec![1; 300])]);
}
