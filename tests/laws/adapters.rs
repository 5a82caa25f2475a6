//! Laws of all adapters, over a stream that follows a script: whatever reads, writes and waits it
//! does, wherever it ends and wherever a future is dropped, the messages are the same.
#![cfg(feature = "tokio")]

use crate::{common, support};

use bytes::Bytes;
use common::{Seen, close_body, close_codes, frame, split};
use fullduplex::{CloseCode, Closed, Error, Message, Role, Side, blocking};
use proptest::{collection::vec, prelude::*};
use std::io::ErrorKind;
use support::{Script, Step, on_all, on_async, paused, poll_times, quiet, run, watchdog};

/// Something that a peer sends.
#[derive(Clone, Debug)]
enum Item {
    Message { text: bool, size: usize, fragments: usize, ping_inside: bool },
    Ping(usize),
}

/// A whole exchange: what the peer sends, and how the stream behaves.
#[derive(Clone, Debug)]
struct Plan {
    role: Role,
    items: Vec<Item>,
    /// Sizes of reads, over and over; 0 is a wait.
    reads: Vec<usize>,
    /// The same for writes.
    writes: Vec<usize>,
    /// Whether a flush waits, over and over.
    flushes: Vec<bool>,
    vectored: bool,
}

fn item() -> impl Strategy<Value = Item> {
    let size = prop_oneof![
        8 => 0usize..20,
        6 => 100usize..300,
        2 => 16_000usize..70_000,
        1 => 100_000usize..300_000,
    ];
    prop_oneof![
        4 => (any::<bool>(), size, 1usize..4, any::<bool>()).prop_map(
            |(text, size, fragments, ping_inside)| Item::Message {
                text, size, fragments, ping_inside
            }
        ),
        1 => (0usize..126).prop_map(Item::Ping),
    ]
}

/// Sizes of which at least one lets something through.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![2 => Just(0), 2 => 1usize..4, 2 => 4usize..200, 3 => 1_000usize..80_000];
    (vec(size, 0..6), prop_oneof![1usize..40, 20_000usize..80_000]).prop_map(|(mut sizes, last)| {
        sizes.push(last);
        sizes
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop_oneof![Just(Role::Server), Just(Role::Client)],
        vec(item(), 0..7),
        sizes(),
        sizes(),
        vec(any::<bool>(), 1..4),
        any::<bool>(),
    )
        .prop_map(|(role, items, reads, writes, flushes, vectored)| Plan {
            role,
            items,
            reads,
            writes,
            flushes,
            vectored,
        })
}

impl Plan {
    /// What the peer sends, ending in a Close, and each event with where its last frame ends.
    fn wire(&self) -> (Vec<u8>, Vec<(usize, Seen)>) {
        let (mut wire, mut events) = (Vec::new(), Vec::new());
        for (number, item) in self.items.iter().enumerate() {
            match *item {
                Item::Ping(size) => {
                    let payload = vec![number as u8; size];
                    wire.extend(frame(self.role, 0x89, &payload));
                    events.push((wire.len(), Seen::Ping(payload)));
                }
                Item::Message { text, size, fragments, ping_inside } => {
                    let letters = ["a", "é", "€", "😀"];
                    let content: String =
                        letters.iter().cycle().skip(number % 4).take(size / 2).copied().collect();
                    let payload = content.as_bytes();
                    let piece = payload.len().div_ceil(fragments).max(1);
                    let mut pieces: Vec<&[u8]> = payload.chunks(piece).collect();
                    if pieces.is_empty() {
                        pieces.push(&[]);
                    }
                    let last = pieces.len() - 1;
                    for (i, piece) in pieces.into_iter().enumerate() {
                        let opcode = if i > 0 { 0 } else { 2 - u8::from(text) };
                        let fin = if i == last { 0x80 } else { 0 };
                        wire.extend(frame(self.role, fin | opcode, piece));
                        if i < last && ping_inside {
                            wire.extend(frame(self.role, 0x89, b"inside"));
                            events.push((wire.len(), Seen::Ping(b"inside".to_vec())));
                        }
                    }
                    let payload = payload.to_vec();
                    events.push((
                        wire.len(),
                        if text { Seen::Text(content) } else { Seen::Binary(payload) },
                    ));
                }
            }
        }
        wire.extend(frame(self.role, 0x88, &close_body(1000, "bye")));
        events.push((wire.len(), Seen::Close(Some((1000, "bye".into())))));
        (wire, events)
    }

    /// A stream on which `wire` comes, and then the end.
    fn script(&self, mut wire: &[u8]) -> Script {
        let script = Script::new();
        let mut state = script.state();
        // Some thousands of steps are enough, however long it is.
        let scale = (wire.len() / 4_000).max(1);
        for size in self.reads.iter().map(|size| size * scale).cycle() {
            if wire.is_empty() {
                break;
            }
            if size == 0 {
                state.reads.push_back(Step::Pending);
                continue;
            }
            let (piece, rest) = wire.split_at(size.min(wire.len()));
            state.reads.push_back(Step::Bytes(piece.to_vec()));
            wire = rest;
        }
        state.reads.push_back(Step::Eof);
        // Enough of them for all that is ever written; after that everything goes.
        let write = |&size: &usize| if size == 0 { Step::Pending } else { Step::Count(size) };
        state.writes = self.writes.iter().cycle().take(3_000).map(write).collect();
        let flush = |&waits: &bool| if waits { Step::Pending } else { Step::Count(0) };
        state.flushes = self.flushes.iter().cycle().take(3_000).map(flush).collect();
        state.vectored = self.vectored;
        drop(state);
        script
    }
}

fn messages(events: &[(usize, Seen)]) -> Vec<Message> {
    events.iter().filter_map(|(_, seen)| common::message(seen)).collect()
}

/// What is written by an endpoint that echoes all that comes.
fn echoed(events: &[(usize, Seen)]) -> Vec<(u8, Vec<u8>)> {
    let answer = |seen: &Seen| match seen {
        Seen::Text(text) => (0x81, text.clone().into_bytes()),
        Seen::Binary(bytes) => (0x82, bytes.clone()),
        Seen::Ping(payload) => (0x8a, payload.clone()),
        Seen::Close(_) => (0x88, 1000u16.to_be_bytes().to_vec()),
        Seen::Pong(_) => unreachable!("none is sent"),
    };
    events.iter().map(|(_, seen)| answer(seen)).collect()
}

fn answers_to_control(events: &[(usize, Seen)]) -> Vec<(u8, Vec<u8>)> {
    echoed(events).into_iter().filter(|(first, _)| matches!(first, 0x88 | 0x8a)).collect()
}

fn clean(closed: Option<&Closed>) -> bool {
    closed.is_some_and(Closed::is_clean)
}

/// The bytes that an endpoint wrote, all of which reached its peer.
#[track_caller]
fn all_written(script: &Script) -> Vec<u8> {
    assert!(script.is_flushed(), "something is left in the stream's own buffer");
    script.written()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// Any reads, writes and waits: the same messages, and the same answers.
    #[test]
    fn any_script_gives_the_same_messages(plan in plan()) {
        let (wire, events) = plan.wire();
        on_all(plan.role, &quiet(), || plan.script(&wire), |ws, script| {
            let (received, end) = ws.recv_all();
            assert_eq!(received, messages(&events));
            assert!(end.is_ok(), "{end:?}");
            assert!(clean(ws.closed()));
            assert_eq!(split(plan.role, &script.written()), answers_to_control(&events));
            // A peer that has hung up first needs no more than what is written.
            let state = script.state();
            assert!(state.shut_at.is_none_or(|at| at == state.written.len()), "§7.1.1");
        });
        on_all(plan.role, &quiet(), || plan.script(&wire), |ws, script| {
            assert!(ws.echo().is_ok());
            assert_eq!(split(plan.role, &script.written()), echoed(&events));
        });
    }

    /// The same when the end comes at any byte: what was complete is there, and then the end is
    /// reported once (§7.1.5).
    #[test]
    fn an_end_at_any_byte(plan in plan(), cut in any::<prop::sample::Index>()) {
        let _watchdog = watchdog();
        let (wire, events) = plan.wire();
        let cut = cut.index(wire.len() + 1);
        let whole: Vec<_> = events.iter().filter(|(end, _)| *end <= cut).cloned().collect();
        on_all(plan.role, &quiet(), || plan.script(&wire[..cut]), |ws, _| {
            let (received, end) = ws.recv_all();
            assert_eq!(received, messages(&whole));
            if cut == wire.len() {
                assert!(end.is_ok(), "{end:?}");
                assert!(clean(ws.closed()));
            } else {
                assert!(matches!(end, Err(Error::Abnormal)), "{end:?}");
                assert_eq!(ws.closed(), Some(&Closed::Abnormal));
            }
            assert!(matches!(ws.recv(), Ok(None)));
        });
    }

    /// Futures that receive, each dropped after some polls: nothing is lost and nothing comes
    /// twice, pongs and the echo of the Close included.
    #[test]
    fn receiving_futures_may_be_dropped_anywhere(
        plan in plan(),
        polls in vec(0usize..4, 1..20),
        run in any::<bool>(),
    ) {
        let _watchdog = watchdog();
        let (wire, events) = plan.wire();
        let runtime = paused();
        let _time = runtime.enter();
        on_async!(over => {
            let script = plan.script(&wire);
            let mut ws = over(&script, plan.role, quiet());
            let mut received = Vec::new();
            let mut polls = polls.iter().copied().chain([1]).cycle();
            loop {
                let polls = polls.next().unwrap();
                if run {
                    let receive = ws.run(|message, out| {
                        out.feed(&message)?;
                        received.push(message.into_owned());
                        Ok::<_, Error>(())
                    });
                    match poll_times(receive, polls) {
                        None => {}
                        Some(end) => break assert!(end.is_ok(), "{end:?}"),
                    }
                } else {
                    match poll_times(ws.recv(), polls) {
                        None => {}
                        Some(Ok(Some(message))) => received.push(message),
                        Some(end) => break assert!(end.is_ok(), "{end:?}"),
                    }
                }
            }
            assert_eq!(received, messages(&events));
            let expected = if run { echoed(&events) } else { answers_to_control(&events) };
            assert_eq!(split(plan.role, &script.written()), expected);
        });
    }

    /// Futures that send, each dropped after some polls. What `feed` took is written once and in
    /// order, whatever becomes of the flush.
    #[test]
    fn fed_messages_survive_a_dropped_flush(
        plan in plan(),
        polls in vec(0usize..4, 1..20),
        sizes in vec(0usize..40_000, 0..8),
    ) {
        let _watchdog = watchdog();
        let runtime = paused();
        let _time = runtime.enter();
        on_async!(over => {
            let script = plan.script(&[]);
            let mut ws = over(&script, plan.role, quiet());
            let mut polls = polls.iter().copied().cycle();
            let mut fed = Vec::new();
            for (number, size) in sizes.iter().copied().enumerate() {
                let payload = Bytes::from(vec![number as u8; size]);
                ws.feed(&payload).unwrap();
                fed.push((0x82, payload.to_vec()));
                let _ = poll_times(ws.flush(), polls.next().unwrap());
            }
            run(ws.flush()).unwrap();
            assert_eq!(split(plan.role, &all_written(&script)), fed);
        });
    }

    /// `send` that is dropped after some polls: queued at once where there is room, otherwise
    /// taken along; `ready` and then `feed` loses none. Never twice, never out of order.
    #[test]
    fn a_dropped_send_is_whole_or_not_at_all(
        plan in plan(),
        polls in vec(0usize..4, 1..20),
        sizes in vec(0usize..3_000, 0..12),
        max_unsent in prop_oneof![Just(1usize), Just(100), Just(1 << 20)],
        via_ready in any::<bool>(),
    ) {
        let _watchdog = watchdog();
        let runtime = paused();
        let _time = runtime.enter();
        on_async!(over => {
            let script = plan.script(&[]);
            let mut ws = over(&script, plan.role, quiet().max_unsent(max_unsent));
            let mut polls = polls.iter().copied().chain([2]).cycle();
            // Each message with whether it has to be there; `None` is open.
            let mut sent = Vec::new();
            for (number, size) in sizes.iter().copied().enumerate() {
                let payload = vec![number as u8; size];
                let message = Message::from(payload.clone());
                let frame = (0x82, payload);
                if via_ready {
                    while poll_times(ws.ready(), polls.next().unwrap()).is_none() {}
                    ws.feed(message).unwrap();
                    sent.push((frame, Some(true)));
                    continue;
                }
                let polls = polls.next().unwrap();
                let sure = match poll_times(ws.send(message), polls) {
                    Some(result) => {
                        result.unwrap();
                        Some(true)
                    }
                    None if polls == 0 => Some(false),
                    None if max_unsent == 1 << 20 => Some(true),
                    None => None,
                };
                sent.push((frame, sure));
            }
            run(ws.flush()).unwrap();
            let mut written = split(plan.role, &all_written(&script)).into_iter().peekable();
            for (frame, sure) in sent {
                let there = written.next_if_eq(&frame).is_some();
                assert!(sure.is_none_or(|sure| sure == there), "{sure:?} but {there}");
            }
            assert_eq!(written.next(), None);
        });
    }

    /// `close` that is dropped after some polls, and a receive that sees it to the end: one Close,
    /// and a clean end.
    #[test]
    fn a_dropped_close_goes_on_in_the_next_call(
        plan in plan(),
        polls in 1usize..12,
        again in any::<bool>(),
    ) {
        let _watchdog = watchdog();
        let (wire, _) = plan.wire();
        let runtime = paused();
        let _time = runtime.enter();
        on_async!(over => {
            let script = plan.script(&wire);
            let mut ws = over(&script, plan.role, quiet());
            let dropped = poll_times(ws.close((CloseCode::GOING_AWAY, "so long")), polls);
            if dropped.is_none() {
                if again {
                    run(ws.close((CloseCode::NORMAL, "another"))).unwrap();
                } else {
                    while run(ws.recv()).unwrap().is_some() {}
                }
            }
            let written = split(plan.role, &script.written());
            assert_eq!(close_codes(&written), [1001]);
            assert!(written.iter().all(|(first, _)| matches!(first, 0x88 | 0x8a)), "{written:?}");
            assert!(matches!(ws.closed(), Some(Closed::Clean { initiator: Side::Local, .. })));
        });
    }

    /// A blocking stream that the caller made non-blocking: `WouldBlock` comes out, and the call
    /// can be repeated without loss.
    #[test]
    fn would_block_comes_out_and_loses_nothing(plan in plan()) {
        let _watchdog = watchdog();
        let (wire, events) = plan.wire();
        let script = plan.script(&wire);
        let mut ws = blocking::WebSocket::from_parts(script.clone(), plan.role, quiet(), Vec::new());
        let mut received = Vec::new();
        let (mut blocked, mut done) = (0, false);
        while !done {
            let end = ws.run(|message, out| {
                out.feed(&message)?;
                received.push(message.into_owned());
                Ok::<_, Error>(())
            });
            match end {
                Ok(()) => done = true,
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => blocked += 1,
                Err(error) => panic!("{error:?}"),
            }
            assert!(blocked < 100_000, "no progress");
        }
        assert_eq!(received, messages(&events));
        assert_eq!(split(plan.role, &script.written()), echoed(&events));
    }
}
