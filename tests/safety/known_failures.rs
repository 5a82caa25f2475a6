//! What went wrong in other WebSocket libraries, and the tests that would have caught it here.
//!
//! A file without a folder is one of `tests/`. That every test is there, and every row, is a test
//! itself, `the_table_names_tests_that_exist`. Rows that do not apply say why.
//!
//! | # | identifiers | what went wrong | tests |
//! |---|---|---|---|
//! | 1 | CVE-2023-43669, RUSTSEC-2023-0065 | the head read anew from its start with each read, and no limit on it | `src/handshake/head.rs` `known_failure_1_dripped_heads_are_linear_and_bounded`; `handshake/machines.rs` `known_failure_1_dripped_head`; `adapters/tcp.rs` `section_4_2_2_a_rejection_is_readable_behind_more_input` |
//! | 2 | RUSTSEC-2022-0035, CVE-2022-35922 | a buffer reserved from the length that a head announces | `core/limits.rs` `section_10_4_announced_lengths_reserve_nothing`; `adapters/scripted.rs` `an_announced_message_is_not_paid_for_in_advance` |
//! | 3 | RUSTSEC-2020-0043, CVE-2020-35896 | an outgoing queue without bound, for a peer that does not read | `core/limits.rs` `a_peer_that_does_not_read_costs_the_limit`; `adapters/scripted.rs` `feeding_stops_at_the_limit` |
//! | 4 | CVE-2026-11586 | a queue of pongs without bound | `core/limits.rs` `section_5_5_3_a_ping_flood_is_bounded`; `adapters/scripted.rs` `a_flood_of_pings_is_answered_in_bounds` |
//! | 5 | CVE-2025-5399 | an automatic pong that is written in part loops for ever | `safety/known_failures.rs` `a_pending_pong_ends_at_every_partial_write`; `adapters/scripted.rs` `pongs_written_byte_by_byte_end` |
//! | 6 | CVE-2025-10148 | one mask key for all frames of a connection | `laws/connection.rs` `section_10_3_mask_keys`, `section_10_3_mask_keys_of_the_thread`; `adapters/scripted.rs` `section_5_3_every_frame_of_a_client_has_its_own_key`; `core/fragmentation.rs` `section_10_3_each_fragment_has_its_key` |
//! | 7 | CVE-2026-48779, GHSA-96hv-2xvq-fx4p | an object kept for each fragment, however small | `core/limits.rs` `fragments_of_one_byte_cost_twice_their_payload`, `section_10_4_fragment_limit` |
//! | 8 | ws issue 2331, ws PR 2329, undici c5ed787 | empty fragments that no limit counts | `core/limits.rs` `section_10_4_fragment_limit`, `section_10_4_defaults`; `deflate/budgets.rs` `endless_empty_blocks_take_nothing` |
//! | 9 | aiohttp PR 13350 | an object kept for each read of a frame that comes in tiny ones | `core/limits.rs` `a_frame_in_reads_of_one_byte_costs_its_payload` |
//! | 10 | CVE-2026-54274 | the frame under way grows before its size is looked at | `core/limits.rs` `section_10_4_announced_lengths_reserve_nothing`, `section_10_4_message_limit`; `deflate/budgets.rs` `a_message_that_never_ends` |
//! | 11 | CVE-2026-42786 | no limit over all fragments of a message | `core/limits.rs` `section_10_4_message_limit`, `section_10_4_defaults` |
//! | 12 | fastwebsockets issue 100, fastwebsockets PR 140, undici b4c287b | the same, on the way through halves too | `safety/known_failures.rs` `endless_fragments_end_at_the_limit_whoever_receives` |
//! | 13 | undici issue 4899 | a limit on one of the ways only, plain or compressed | `core/limits.rs` `section_10_4_message_limit`, `section_10_4_frame_limit`; `deflate/messages.rs` `the_message_limit_holds_for_inflated_bytes`, `the_frame_limit_holds_for_compressed_bytes` |
//! | 14 | CVE-2018-1000518, Tornado PR 2391, CVE-2026-1526, CVE-2026-39804, httpcomponents PR 821 | a small message inflates to a gigabyte | `deflate/budgets.rs` `a_bomb_is_stopped_at_the_limit`, `bombs_of_many_small_blocks`, `a_message_that_never_ends` |
//! | 15 | sockudo 76, aiohttp 3.9 | the last step of inflating overshoots the limit | `deflate/messages.rs` `the_message_limit_holds_for_inflated_bytes`; `deflate/budgets.rs` `a_bomb_is_stopped_at_the_limit` |
//! | 16 | CVE-2026-2229 | window bits from the peer reach zlib unchecked | `safety/known_failures.rs` `every_value_of_every_parameter`; `src/extension.rs` `known_failure_16_parameter_values`; `src/deflate/params.rs` `rfc7692_7_1_each_parameter_in_an_offer` |
//! | 17 | CVE-2026-29035 | inflating writes past the end of its buffer | `safety/known_failures.rs` `there_is_no_unsafe_code`; `deflate/laws.rs` `any_bytes_are_read_as_the_reference_reads_them` |
//! | 18 | CVE-2020-27813 | a sum of lengths overflows, and passes the limit | `core/limits.rs` `section_10_4_a_limit_beyond_memory_reserves_a_constant`, `section_10_4_announced_lengths_reserve_nothing` |
//! | 19 | CVE-2020-13935 | a length with its top bit set loops for ever | `core/receiving.rs` `section_5_2_length_forms`, `section_5_2_refused_on_the_head` |
//! | 20 | CVE-2026-1528, undici 84235c62 | a length of 64 bits is cut to fewer | `safety/known_failures.rs` `lengths_beyond_a_platform_of_32_bits`; `core/limits.rs` `section_10_4_announced_lengths_reserve_nothing` |
//! | 21 | CVE-2026-54466 | framing of a draft, with a length that no limit ends | `src/handshake/server.rs` `section_4_2_1_deviations`; `handshake/machines.rs` `section_4_2_2_statuses_reach_the_client` |
//! | 22 | tokio-websockets 0.13.3 | an Accept that is too long panics when it is decoded | `handshake/machines.rs` `known_failure_22_accept_fuzz`; `src/handshake/client.rs` `known_failure_22_accept_of_any_length` |
//! | 23 | Bun PR 35526, wtx 0.52 | masked frames of a server taken for what their bytes say | `core/receiving.rs` `section_5_1_masked_to_a_client`; `safety/known_failures.rs` `no_event_out_of_the_frame_that_was_wrong` |
//! | 24 | facil.io issue 169 | the payload of a wrong frame delivered all the same | `safety/known_failures.rs` `no_event_out_of_the_frame_that_was_wrong`; `core/receiving.rs` `section_7_1_7_error_is_sticky`; `adapters/scripted.rs` `section_7_1_7_nothing_comes_behind_a_violation` |
//! | 25 | mosquitto 3705, FlashMQ 172, tinymux 1081, websockify 164, aiohttp 3.1 | unmasked frames of a client taken, or unmasked with an older key | `core/receiving.rs` `section_5_1_unmasked_to_a_server`; `safety/known_failures.rs` `an_unmasked_frame_is_not_unmasked_with_an_older_key` |
//! | 26 | aiohttp PR 12976, sockudo 29 | RSV1 honoured where nothing was negotiated, or not at the start of a message | `core/receiving.rs` `section_5_2_reserved_bits`; `deflate/messages.rs` `rfc7692_6_1_rsv1_only_at_the_start_of_a_message` |
//! | 27 | dusty issue 173 | a message inside a message, control frames in fragments, Close of one byte, 1005 echoed | `core/receiving.rs` `section_5_4_message_inside_a_message`, `section_5_5_control_frames_are_short_and_whole`; `core/closing.rs` `section_5_5_1_bodies`, `section_7_4_every_code`; `laws/connection.rs` `any_cut_reads_the_same_and_as_the_reference_does` |
//! | 28 | CVE-2021-32640, CVE-2020-7662, CVE-2020-7663, ws 3.3.1 | lists of subprotocols and extensions read in quadratic time | `src/extension.rs` `known_failure_28_hostile_lists_are_linear`, `lists_are_bounded_and_the_bounds_are_exact`; `handshake/machines.rs` `known_failure_28_hostile_lists` |
//! | 29 | CVE-2024-37890 | more headers than are kept, and the one that is needed is missing | `handshake/machines.rs` `known_failure_29_any_number_of_headers` |
//! | 30 | CVE-2026-45736, CVE-2016-10518 | memory that was never written is sent in a Close or a ping | `core/limits.rs` `nothing_comes_out_that_did_not_go_in`; `laws/connection.rs` `any_cut_reads_the_same_and_as_the_reference_does`; `safety/known_failures.rs` `there_is_no_unsafe_code` |
//! | 31 | sockudo 23, tungstenite 0.26.1, RUSTSEC-2026-0007 | what a stream claims to have read taken for data, lengths that overflow when they are reserved | `guide/faults/reading.rs` `reading`; `guide/faults/writing.rs` `writing`; `guide/faults/opening.rs` `opening`; `guide/faults/streams.rs` `what_is_claimed_is_counted_against_what_was_given`, `a_source_that_lies_fails`; `safety/known_failures.rs` `the_outbox_cannot_be_advanced_past_its_end`, `dependencies_start_behind_known_advisories` |
//! | 32 | sockudo 19 | text that is not UTF-8 made by a public constructor | `safety/known_failures.rs` `text_comes_from_str_only`, `there_is_no_unsafe_code` |
//! | 33 | sockudo 78, python websockets 16.1 | line ends in what a user sets add lines to the head | `handshake/machines.rs` `known_failure_33_injection`; `src/handshake/request.rs` `known_failure_33_injection_is_refused`; `src/handshake/response.rs` `rfc9110_5_5_injection_is_refused` |
//! | 34 | sockudo 81, sockudo 82, sockudo 83, sockudo 86, tungstenite 543 | a lenient handshake: old versions, empty Host, repeated fields, bodies | `src/handshake/server.rs` `section_4_2_1_deviations`, `rfc9110_7_8_no_body`, `known_failure_34_one_request_only`; `handshake/machines.rs` `section_4_2_2_statuses_reach_the_client` |
//! | 35 | GHSA-c4j6-fc7j-m34r | an upgrade believed that was refused, requests passed on unchecked | `handshake/machines.rs` `changed_bytes_do_not_panic`; `src/handshake/upgrade.rs` `section_4_2_1_targets`; `src/handshake/response.rs` `a_101_cannot_be_made_by_hand`; `adapters/tcp.rs` `section_4_2_2_a_rejection_is_readable_behind_more_input` |
//! | 36 | python websockets 16.1, tungstenite 0.30 | credentials follow a redirect to somebody else | does not apply: no redirect is followed |
//! | 37 | CVE-2021-33880 | a password compared in a time that depends on it | does not apply: nothing here compares credentials |
//! | 38 | CVE-2020-11050 | no look at the name in a certificate; `wss` spoken in clear text | `handshake/opening.rs` `requests_that_cannot_be_sent_are_not_dialled`; of certificates it does not apply: TLS is the caller's |
//! | 39 | CVE-2018-14732, CVE-2025-24010 | the Origin not looked at | `src/handshake/origin.rs` `section_10_2_same_host`, `section_10_2_list`, `section_4_2_1_missing_origin`; `handshake/opening.rs` `section_10_2_a_policy_answers` |
//! | 40 | Beast 923, Beast 3028, Beast 1666, sockudo 88 | blocks with BFINAL, input left over between messages, nothing compressed in silence | `deflate/messages.rs` `rfc7692_7_2_3_4_a_block_with_bfinal`, `rfc7692_7_2_3_6_an_empty_message`, `blocks_of_every_sort`; `deflate/laws.rs` `what_others_write_we_read`; `deflate/negotiation.rs` `what_goes_over_the_wire` |
//! | 41 | sockudo 14, sockudo 68 | a message sent as it is leaves the two windows different | `deflate/laws.rs` `a_thousand_rounds`; `deflate/messages.rs` `incompressible_messages`, `a_refused_message_does_not_touch_the_window` |
//! | 42 | sockudo 2.0.2 | text looked at again from its start with each fragment | `safety/known_failures.rs` `text_in_pieces_is_looked_at_once` |
//! | 43 | CVE-2025-51495 | book-keeping of the last fragment at offset 0 | `safety/known_failures.rs` `empty_fragments_in_every_place`; `core/receiving.rs` `section_5_4_empty_fragments` |
//! | 44 | RUSTSEC-2026-0258 | empty DATA frames of HTTP/2 without bound | does not apply: there is no adapter for HTTP/2 |
//! | 45 | RUSTSEC-2026-0097 | a thread's generator that is unsound with some loggers | `safety/known_failures.rs` `dependencies_start_behind_known_advisories` |
//! | 46 | RUSTSEC-2024-0401 | the stack overflows while crafted input is inflated | `safety/known_failures.rs` `dependencies_start_behind_known_advisories`; `deflate/laws.rs` `any_bytes_are_read_as_the_reference_reads_them` |
//! | 47 | jetty 13029 | the last message kept alive, by the compressor | `safety/known_failures.rs` `a_payload_is_let_go_once_it_is_written`, `a_payload_is_let_go_once_it_is_compressed`; `adapters/scripted.rs` `a_sent_payload_is_dropped_once_it_is_written` |
//! | 48 | sockudo 3.1, websockets 14.2, tokio-tungstenite 0.21 | wakeups lost, pongs not flushed by who only reads, a close held up by full buffers | `halves/model.rs` `nothing_is_lost_or_left_asleep`; `halves/tokio_split.rs` `pongs_are_flushed_by_a_task_that_only_receives`, `room_made_by_the_receiver_wakes_the_sender`, `keepalive_survives_a_send_that_is_given_up`; `adapters/tcp.rs` `a_close_behind_full_buffers_ends_in_time`; `adapters/tokio_timers.rs` `a_send_to_a_peer_that_takes_nothing_ends`; `halves/blocking.rs` `section_7_1_2_a_writer_closes` |
//!
//! Reports of other libraries that were replayed against this one, and passed:
//!
//! | replayed | tests |
//! |---|---|
//! | a compressed message cut at every byte, with empty frames between | `deflate/messages.rs` `a_message_cut_at_every_byte_with_empty_frames_between` |
//! | a stream with BFINAL that ends with the message, with and without a byte behind it; the next message refers into it | `deflate/messages.rs` `rfc7692_7_2_3_4_a_stream_that_ends_with_the_message_and_what_refers_into_it` |
//! | RSV1 with an empty payload under takeover | `deflate/messages.rs` `rsv1_with_an_empty_payload_leaves_the_window_alone` |
//! | windows of 8, 9, 10, 12 and 15 bits in the answer | `deflate/messages.rs` `rfc7692_7_1_2_any_window_in_the_answer`; `deflate/negotiation.rs` `rfc7692_7_1_2_any_window_in_the_answer` |
//! | two thousand messages and an end without a Close; answers in front of a Close to a peer that has not read | `adapters/tcp.rs` `everything_is_answered_to_a_peer_that_has_not_read` |
//! | refusals that could hang: a chunked 503, 204 and 304 on keep-alive, 401 without a length, an endless 200 | `handshake/answers.rs` `refusals_never_hang` |
//! | a peer that never ends TCP | `adapters/tcp.rs` `section_7_1_1_a_server_that_never_hangs_up`, `section_7_1_1_a_close_without_answer_ends_in_time`, `section_7_1_1_a_peer_that_goes_on_sending` |

#![allow(clippy::type_complexity, reason = "tables say their type")]

use crate::common;
#[cfg(all(feature = "tokio", feature = "futures-io"))]
use crate::support;

use bytes::Bytes;
use common::{BOTH, KEY, Seen, connection, drain, frame, frame_with, head, receive, split, watch};
use fullduplex::{Chunk, Config, Connection, Event, Input, Role, Text};
use std::{collections::BTreeMap, fs, sync::Arc, time::Instant};

/// How many rows there are.
const ROWS: usize = 48;

/// The source of a file that the table names.
fn source(file: &str) -> String {
    let folder = if file.starts_with("src/") { "" } else { "tests/" };
    let path = format!("{}/{folder}{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether there is a test of that name, with its attribute.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let named = ["fn ", "async fn "].into_iter().any(|before| {
            line.strip_prefix(before).is_some_and(|rest| rest.starts_with(&format!("{name}(")))
        });
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
        named
            && attributes
                .into_iter()
                .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// How many tests a cell names, all of which are there.
fn named<'c>(cell: &'c str, row: &str, sources: &mut BTreeMap<&'c str, String>) -> usize {
    let (mut file, mut count) = (None, 0);
    for name in cell.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") {
            file = Some(name);
            continue;
        }
        let file = file.expect("a file in front of the tests in it");
        let source = sources.entry(file).or_insert_with(|| source(file));
        assert!(has_test(source, name), "row {row}: no test {name} in {file}");
        count += 1;
    }
    count
}

/// All rows in order, each with its identifiers, and with a test that is there or a reason why not.
#[test]
fn the_table_names_tests_that_exist() {
    let (mut sources, mut count) = (BTreeMap::new(), 0);
    let table = include_str!("known_failures.rs").lines().filter(|line| line.starts_with("//! |"));
    for (i, line) in table.skip(2).take(ROWS).enumerate() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, identifiers, what, tests, ""] = cells[..] else { panic!("{line}") };
        assert_eq!(number.parse(), Ok(i + 1), "rows are in order");
        assert!(!what.is_empty());
        for identifier in identifiers.split(", ") {
            // A name and a number, or a commit.
            assert!(identifier.len() > 7 && identifier.contains([' ', '-']), "{identifier:?}");
            assert!(identifier.contains(|c: char| c.is_ascii_digit()), "{identifier:?}");
        }
        let named = named(tests, number, &mut sources);
        count += named;
        let why_not = tests.contains("does not apply: ");
        assert!(why_not || named > 0, "row {number} has no test");
    }
    let lines = || include_str!("known_failures.rs").lines();
    let rows = lines().take_while(|line| *line != "//! | replayed | tests |");
    assert_eq!(rows.filter(|line| line.starts_with("//! | ")).count() - 1, ROWS);
    let mut replayed = 0;
    let rest = lines().skip_while(|line| *line != "//! | replayed | tests |");
    for line in rest.skip(2).take_while(|line| line.starts_with("//! | ")) {
        let [_, what, tests, ""] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        replayed += named(tests, what, &mut sources);
    }
    assert_eq!(replayed, 10);
    println!("{count} tests are named, and {replayed} of what was replayed");
    assert!(!has_test("fn a() {}\n#[test]\nfn b() {}", "a") && has_test("#[test]\nfn b()", "b"));
}

/// By the compiler, as long as this stands there.
#[test]
fn there_is_no_unsafe_code() {
    assert!(source("src/lib.rs").lines().any(|line| line == "#![forbid(unsafe_code)]"));
}

/// The lowest version that is accepted of each dependency is none that an advisory names.
#[test]
fn dependencies_start_behind_known_advisories() {
    let fixed = [
        ("bytes", [1, 11, 1]),  // RUSTSEC-2026-0007
        ("rand", [0, 10, 1]),   // RUSTSEC-2026-0097
        ("zlib-rs", [0, 6, 0]), // RUSTSEC-2024-0401
    ];
    let manifest = include_str!("../../Cargo.toml");
    for (name, fixed) in fixed {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} = ")));
        let version = line.expect(name).split('"').nth(1).unwrap();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
        let lowest = [(); 3].map(|()| numbers.next().unwrap_or(0));
        assert!(lowest >= fixed, "{name} {version}");
    }
    assert!(!manifest.contains("\nh2 "), "it has rows of its own");
}

/// Writes `most` bytes, or as many as there are in one piece.
fn write(connection: &mut Connection, most: usize, written: &mut Vec<u8>) -> usize {
    let mut outbox = connection.outbox();
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
    connection.feed("hello").unwrap();
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

/// 16 MB of text in fragments of 126 bytes: a moment when each byte is looked at once; when all that
/// is there is looked at with each fragment, a terabyte.
#[test]
fn text_in_pieces_is_looked_at_once() {
    let mut server = Connection::server(Config::default());
    let mut wire = frame(Role::Server, 0x01, b"");
    let part = frame(Role::Server, 0x00, "äöü!".repeat(18).as_bytes());
    wire.extend(part.repeat(131_000));
    wire.extend(frame(Role::Server, 0x80, b""));
    let start = Instant::now();
    assert!(matches!(server.receive(&mut Input::new(&mut wire)), Ok(Some(_))));
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// Lengths that mean another one where they are cut to 32 bits, against the largest limits that
/// there are on such a platform: on messages and on frames, and on each alone.
#[test]
fn lengths_beyond_a_platform_of_32_bits() {
    const MOST: usize = (1 << 31) - 1;
    for (message, frame_size) in [(MOST, MOST), (MOST, usize::MAX), (usize::MAX, MOST)] {
        let config = Config::default().max_message_size(message).max_frame_size(frame_size);
        let code = |wire: &[u8]| {
            let mut server = Connection::server(config.clone());
            let result = receive(&mut server, wire, usize::MAX, watch).1;
            result.map_err(|error| u16::from(error.close_code()))
        };
        let most = MOST as u64;
        assert_eq!(code(&head(Role::Server, 0x82, most)), Ok(()), "no more than a promise");
        for low in [0, 1, 100, most] {
            for high in [1 << 31, 1 << 32, 1 << 33, 1 << 62] {
                for first in [0x81, 0x82] {
                    let judged = code(&head(Role::Server, first, high + low));
                    assert_eq!(judged, Err(1009), "{high:#x} + {low}");
                }
            }
        }
        // What is there, and what is announced, make a sum that is beyond it.
        let begun = |next| [frame(Role::Server, 0x02, &[0; 2]), head(Role::Server, 0x80, next)];
        assert_eq!(code(&begun(most - 2).concat()), Ok(()));
        if message == MOST {
            for more in [1, 2, most, 1 << 32] {
                assert_eq!(code(&begun(most - 2 + more).concat()), Err(1009));
            }
        }
    }
}

/// Of one to five fragments any may be empty: whole messages and chunks, however they come.
#[test]
fn empty_fragments_in_every_place() {
    for (role, count) in BOTH.into_iter().flat_map(|role| (1..=5).map(move |count| (role, count))) {
        for (mask, opcode) in (0..1 << count).flat_map(|mask| [(mask, 1_u8), (mask, 2)]) {
            let parts: Vec<&[u8]> =
                (0..count).map(|i| if mask >> i & 1 == 1 { &b"part"[..] } else { b"" }).collect();
            let wire: Vec<u8> = (0..count)
                .flat_map(|i| {
                    let fin = if i + 1 == count { 0x80 } else { 0 };
                    frame(role, fin | if i == 0 { opcode } else { 0 }, parts[i])
                })
                .chain(frame(role, 0x82, b"next"))
                .collect();
            let whole = parts.concat();
            let expected = match opcode {
                1 => Seen::Text(String::from_utf8(whole.clone()).unwrap()),
                _ => Seen::Binary(whole.clone()),
            };
            for step in [1, 2, 3, usize::MAX] {
                let mut connection = connection(role, Config::default());
                let (events, result) = receive(&mut connection, &wire, step, watch);
                assert_eq!(result, Ok(()));
                assert_eq!(events, [expected.clone(), Seen::Binary(b"next".into())], "{mask:b}");
                assert_eq!(in_chunks(role, &wire, step), [&whole[..], b"next"], "{mask:b}");
            }
        }
    }
}

/// Messages out of their chunks.
fn in_chunks(role: Role, wire: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut connection, mut messages) = (connection(role, Config::default()), vec![vec![]]);
    for piece in wire.chunks(step.min(wire.len())) {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        while let Some(event) = connection.receive_chunk(&mut input).unwrap() {
            let Event::Chunk(chunk) = event else { panic!("{event:?}") };
            let chunk: Chunk<'_> = chunk;
            messages.last_mut().unwrap().extend_from_slice(chunk.as_bytes());
            if chunk.is_last() {
                messages.push(vec![]);
            }
        }
    }
    assert_eq!(messages.pop(), Some(vec![]), "the last one has an end");
    messages
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
            c.start_close(None).unwrap();
            c.handle_timeout(common::seconds(1.0)).unwrap();
            c.handle_timeout(common::seconds(5.0)).unwrap(); // the last call
            c.handle_timeout(common::seconds(6.0)).unwrap_err();
        }),
    ];
    for (name, end) in ends {
        for role in BOTH {
            let alive = Arc::new(());
            let mut connection = connection(role, Config::default());
            connection.feed(Bytes::from_owner(Owner(alive.clone()))).unwrap();
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

/// The compressor keeps a window of bytes, and not what they came from. A message that goes out in
/// fragments is kept until the last one is made.
#[cfg(feature = "deflate")]
#[test]
fn a_payload_is_let_go_once_it_is_compressed() {
    use fullduplex::{Prepared, deflate::Deflate};
    struct Owner(#[expect(dead_code, reason = "only counted")] Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &[7; 100_000]
        }
    }
    fn drain_all(connection: &mut Connection) {
        while !connection.outbox().is_empty() {
            drain(connection);
        }
    }
    let deflate = || Deflate::default().threshold(0);
    for (role, cut) in BOTH.into_iter().flat_map(|role| [(role, None), (role, Some(10))]) {
        let agreed = deflate().accept(&deflate().offers());
        let config = Config::default().deflate(deflate()).max_sent_frame(cut);
        let mut connection = connection(role, config).with_deflate(agreed).unwrap();
        let alive = Arc::new(());
        connection.feed(Bytes::from_owner(Owner(alive.clone()))).unwrap();
        if cut.is_some() {
            assert_eq!(Arc::strong_count(&alive), 2, "most of it waits to be compressed");
            drain_all(&mut connection);
        }
        assert_eq!(Arc::strong_count(&alive), 1, "{role:?}, {cut:?}");

        let prepared = Prepared::new(Bytes::from_owner(Owner(alive.clone())));
        connection.feed(&prepared).unwrap();
        drop(prepared);
        drain_all(&mut connection);
        assert_eq!(Arc::strong_count(&alive), 1, "prepared, {role:?}, {cut:?}");
    }
}

/// What a peer may write as the value of a parameter of permessage-deflate, in an offer and in an
/// answer: what is accepted is a window that there is, and works; everything else is refused.
#[cfg(feature = "deflate")]
#[test]
fn every_value_of_every_parameter() {
    use fullduplex::{deflate::Deflate, handshake::Extension};
    let odd =
        ["\"\"", "08", "\"15 \"", "+9", "-9", "9.0", "0x9", "1e1", "\"\u{661}\u{665}\"", "9 9"];
    let numbers = (0..=1000).map(|number: u32| number.to_string());
    let large = [u32::MAX.to_string(), u64::MAX.to_string(), "9".repeat(100)];
    let values: Vec<String> =
        numbers.chain(odd.map(String::from)).chain(large).chain([String::new()]).collect();
    let ours = Deflate::default().send_window_bits(15).receive_window_bits(15);
    let mut accepted = 0;
    for value in &values {
        for name in ["server_max_window_bits", "client_max_window_bits"] {
            let fits = value.parse::<u8>().is_ok_and(|bits| (8..=15).contains(&bits))
                && !value.starts_with(['0', '+']);
            let parsed = format!("permessage-deflate; {name}={value}").parse::<Extension>();
            let Ok(extension) = parsed else {
                assert!(!fits, "{name}={value}");
                continue;
            };
            let as_server = ours.accept(std::slice::from_ref(&extension));
            let as_client = ours.agreed(std::slice::from_ref(&extension)).ok().flatten();
            for params in [as_server, as_client].into_iter().flatten() {
                assert!(fits, "{name}={value}");
                accepted += 1;
                for bits in [params.server_max_window_bits(), params.client_max_window_bits()] {
                    assert!((8..=15).contains(&bits), "{name}={value}");
                }
                let [mut server, mut client] = BOTH
                    .map(|role| connection(role, Config::default()).with_deflate(params).unwrap());
                let text = "to be or not to be ".repeat(100);
                client.feed(text.as_str()).unwrap();
                let (events, result) = receive(&mut server, &drain(&mut client), 100, watch);
                assert_eq!((events, result), (vec![Seen::Text(text)], Ok(())));
            }
        }
    }
    // 8 to 15 in three of four cases; zlib cannot write a window of 8 bits.
    assert!((24..=32).contains(&accepted), "{accepted}");
}

/// Whole or in halves, in each adapter: the limit is on all fragments of a message together.
#[cfg(all(feature = "tokio", feature = "futures-io"))]
#[test]
fn endless_fragments_end_at_the_limit_whoever_receives() {
    use fullduplex::{Error, ProtocolErrorKind, futures_io, tokio};
    use support::{
        Script, Step,
        life::{Clock, Receives, Sends, Whole},
        paused, run, watchdog,
    };
    async fn fails<R: Receives>(from: &mut R) {
        let end = from.recv().await;
        let Err(Error::Protocol(error)) = end else { panic!("{end:?}") };
        assert!(matches!(error.kind(), ProtocolErrorKind::MessageTooBig { .. }), "{error:?}");
    }
    fn case<W: Whole>(role: Role, halves: u8) {
        let part = frame(role, 0x00, &[7; 1_000]);
        let wire = [frame(role, 0x02, b""), part.repeat(100)].concat();
        let script = Script::reading([Step::Bytes(wire), Step::Eof]);
        script.state().blocking = W::BLOCKS;
        let config = support::quiet().max_message_size(50_000);
        let mut ws = W::over(&script, (role, config), None, &[]);
        match halves {
            0 => run(fails(&mut ws)),
            1 => run(fails(&mut ws.split().0)),
            // A reader that is away, and a writer that sees to the connection.
            _ => {
                let (mut reader, mut writer) = ws.split();
                run(writer.send("ours".into())).unwrap();
                run(fails(&mut reader));
            }
        }
        let left: usize = script.state().reads.iter().filter(|s| matches!(s, Step::Eof)).count();
        assert_eq!(left, 1, "what follows is discarded, up to the end");
    }
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for (role, halves) in BOTH.into_iter().flat_map(|role| (0..3).map(move |how| (role, how))) {
        case::<fullduplex::blocking::WebSocket<Script>>(role, halves);
        case::<tokio::WebSocket<Script>>(role, halves);
        case::<futures_io::WebSocket<Script, Clock>>(role, halves);
    }
}
