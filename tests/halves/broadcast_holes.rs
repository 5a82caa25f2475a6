//! Groups at their seams: members that are busy, slow, gone or broken, and futures that are kept.
#![cfg(feature = "tokio")]

use crate::{common, heap, support};

use common::{close_body, split};
use core::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{
    CloseCode, Config, Error, Prepared, Role,
    asynchronous::{Broadcast, SlowConsumer},
    tokio::{Reader, WebSocket, Writer},
};
use heap::measure;
use std::{
    io,
    sync::{Arc, Mutex},
};
use support::{Script, Step, Woken, on_async, paused, poll_times, quiet, run, watchdog};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

const POLICIES: [SlowConsumer; 4] = [
    SlowConsumer::Wait,
    SlowConsumer::DropMessage,
    SlowConsumer::KeepLatest,
    SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER),
];

type Boxed<F> = Pin<Box<F>>;

/// A future that was polled so many times, and its waker.
fn polled<F: Future>(future: F, polls: usize) -> (Boxed<F>, Arc<Woken>) {
    let mut future = Box::pin(future);
    let (woken, waker) = Woken::new();
    for _ in 0..polls {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    (future, woken)
}

fn texts(from: Role, script: &Script) -> Vec<String> {
    let frames = split(from, &script.written());
    frames.into_iter().map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
}

fn member(
    config: Config,
    size: usize,
) -> (Reader<DuplexStream>, Writer<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(size);
    let (reader, writer) = WebSocket::from_parts(a, Role::Server, config, []).split();
    (reader, writer, WebSocket::from_parts(b, Role::Client, quiet(), []))
}

/// B4: what a member gets that wakes up is what was queued before it became slow, and then the newest
/// message, which its reader sends without a further `send`.
#[test]
fn the_newest_message_waits_for_a_slow_member() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in [Role::Server, Role::Client] {
        on_async!(over => {
            let script = Script::new();
            script.state().writes.push_back(Step::Stall);
            let (mut reader, writer) =
                over(&script, role, quiet().unsent_mark(40).max_unsent(1_000)).split();
            let room = Broadcast::new(SlowConsumer::KeepLatest);
            let other = Broadcast::new(SlowConsumer::KeepLatest);
            let first = room.join(writer.clone());
            let second = other.join(writer);
            let (mut receiving, woken) = polled(async move { reader.recv().await }, 1);
            let (mut sent, mut kept, mut replaced) = (0, 0, 0);
            for i in 0..50 {
                let delivery = run(room.send(format!("one {i}")));
                (sent, kept) = (sent + delivery.sent, kept + delivery.kept);
                replaced += delivery.replaced;
                assert_eq!(delivery.sent + delivery.kept, 1, "{delivery:?}");
            }
            // The place of each membership is its own.
            assert_eq!(run(other.send("two 1")).kept, 1);
            assert_eq!(run(other.send("two 2")).replaced, 1);
            assert_eq!((sent + kept, replaced), (50, kept - 1));
            assert_eq!(first.missed(), Some(replaced as u64));
            assert_eq!(second.missed(), Some(1));
            let stats = room.stats();
            assert_eq!((stats.kept, stats.replaced), (kept as u64, replaced as u64));
            script.go_on(|state| state.writes.clear());
            let (waking, waker) = Woken::new();
            for poll in 0..10 {
                if poll == 0 || woken.take() + waking.take() > 0 {
                    let cx = &mut Context::from_waker(&waker);
                    assert!(receiving.as_mut().poll(cx).is_pending());
                }
            }
            let mut expected: Vec<_> = (0..sent).map(|i| format!("one {i}")).collect();
            expected.extend(["one 49", "two 2"].map(String::from));
            assert_eq!(texts(role, &script), expected);
        });
    }
}

/// B4: without a reader the next `send` sends what waits, in order, in front of its own.
#[test]
fn the_newest_message_goes_in_front_of_the_next_one() {
    let runtime = paused();
    let _time = runtime.enter();
    for gone in [false, true] {
        on_async!(over => {
            let script = Script::new();
            script.state().writes.push_back(Step::Stall);
            let (reader, writer) = over(&script, Role::Server, quiet().unsent_mark(1)).split();
            let reader = (!gone).then_some(reader);
            let room = Broadcast::new(SlowConsumer::KeepLatest);
            let member = room.join(writer.clone());
            for text in ["1", "2", "3", "4"] {
                run(room.send(text));
            }
            script.go_on(|state| state.writes.clear());
            assert_eq!(run(room.send("5")).sent, 1);
            assert_eq!(texts(Role::Server, &script), ["1", "4", "5"]);
            // A member that leaves gets what was accepted, and not what only waited.
            script.state().writes.push_back(Step::Stall);
            assert_eq!((run(room.send("6")).sent, run(room.send("7")).kept), (1, 1));
            drop(member);
            script.go_on(|state| state.writes.clear());
            run(writer.flush()).unwrap();
            assert_eq!(texts(Role::Server, &script), ["1", "4", "5", "6"]);
            drop(reader);
        });
    }
}

/// B4: at any pace, each client gets ever newer values, and the last one in the end.
#[test]
fn live_values_of_any_pace_end_with_the_newest() {
    let _watchdog = watchdog();
    let runtime = paused();
    for seed in 1..30 {
        runtime.block_on(async {
            let dice = support::tasks::Dice::new(seed);
            let room = Broadcast::new(SlowConsumer::KeepLatest);
            let mut clients = Vec::new();
            for _ in 0..5 {
                let config = quiet().unsent_mark(1 + dice.below(300) as usize);
                let (mut reader, writer, mut client) = member(config, 1 + dice.below(200) as usize);
                let member = room.join(writer);
                tokio::spawn(async move {
                    let _member = member;
                    while let Ok(Some(_)) = reader.recv().await {}
                });
                let pause = dice.below(4);
                clients.push(tokio::spawn(async move {
                    let mut last = None;
                    while last != Some(199) {
                        let message = client.recv().await.unwrap().unwrap();
                        let value: usize = message.as_text().unwrap().trim().parse().unwrap();
                        assert!(last < Some(value));
                        last = Some(value);
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                }));
            }
            for i in 0..200 {
                room.send(format!("{i}{}", " ".repeat(dice.below(100) as usize))).await;
                tokio::time::sleep(Duration::from_millis(dice.below(3))).await;
            }
            for client in clients {
                tokio::time::timeout(Duration::from_secs(10), client).await.unwrap().unwrap();
            }
        });
    }
}

/// D16: a member in the middle of a message in fragments is busy, not slow: whatever the policy,
/// messages wait in order behind it. There is room for as many as for a connection that is not busy.
#[test]
fn busy_is_not_slow() {
    let runtime = paused();
    let _time = runtime.enter();
    for slow in POLICIES {
        on_async!(over => {
            let script = Script::new();
            let (_reader, writer) = over(&script, Role::Server, quiet().unsent_mark(200)).split();
            let room = Broadcast::new(slow);
            let member = room.join(writer.clone());
            run(writer.send_fragment("a", false)).unwrap();
            for text in ["1", "2", "3", "4"] {
                let delivery = poll_times(room.send(text), 5).expect("nobody waits");
                assert_eq!(delivery.sent, 1, "{slow:?}");
            }
            // Now it is as slow as one whose stream takes nothing.
            let over = poll_times(room.send("5"), 5);
            let counts = over.map(|it| (it.sent, it.kept, it.dropped, it.disconnected));
            assert_eq!(counts, match slow {
                SlowConsumer::Wait => None,
                SlowConsumer::KeepLatest => Some((0, 1, 0, 0)),
                SlowConsumer::DropMessage => Some((0, 0, 1, 0)),
                _ => Some((0, 0, 0, 1)),
            });
            let stays = !matches!(slow, SlowConsumer::Disconnect(_));
            assert_eq!(member.missed().is_some(), stays);
            if stays {
                run(writer.send_fragment("b", true)).unwrap();
                let mut expected = vec!["a", "b", "1", "2", "3", "4"];
                expected.extend((slow == SlowConsumer::KeepLatest).then_some("5"));
                assert_eq!(texts(Role::Server, &script), expected);
            } else {
                let last = split(Role::Server, &script.written()).pop();
                assert_eq!(last, Some((0x88, close_body(1013, ""))));
            }
        });
    }
}

/// Whatever a member does meanwhile, what was accepted for it goes out, once and in order, between
/// its own messages and not inside them; of those that were kept, the last; of the others, nothing.
#[test]
fn what_is_accepted_goes_out_in_order() {
    let runtime = paused();
    let _time = runtime.enter();
    for seed in 1..400 {
        for slow in [SlowConsumer::Wait, SlowConsumer::DropMessage, SlowConsumer::KeepLatest] {
            on_async!(over => {
                let dice = support::tasks::Dice::new(seed);
                let script = Script::new();
                let mark = 1 + dice.below(300) as usize;
                let (mut reader, writer) =
                    over(&script, Role::Server, quiet().unsent_mark(mark)).split();
                let rooms = [Broadcast::new(slow), Broadcast::new(slow)];
                let _members = rooms.each_ref().map(|room| room.join(writer.clone()));
                let mut sending = Vec::new();
                let mut expected = [Vec::new(), Vec::new()];
                let mut latest = [false; 2];
                let (mut fragments, mut own, mut busy) = (0, 0, false);
                for step in 0..60 {
                    match dice.below(8) {
                        0..3 => {
                            let place = dice.below(2) as usize;
                            let room = rooms[place].clone();
                            let size = dice.below(100) as usize;
                            let text = format!("{place} {step}{}", " ".repeat(size));
                            if slow == SlowConsumer::Wait {
                                let sent = text.clone();
                                let polls = 1 + dice.below(4) as usize;
                                let sending_it = async move { room.send(sent).await };
                                let mut future = Box::pin(sending_it);
                                let (_, waker) = Woken::new();
                                let cx = &mut Context::from_waker(&waker);
                                let done =
                                    (0..polls).any(|_| future.as_mut().poll(cx).is_ready());
                                if !done {
                                    sending.push(future);
                                }
                                expected[place].push(text);
                                continue;
                            }
                            let delivery = run(room.send(text.clone()));
                            assert_eq!(delivery.sent + delivery.kept + delivery.dropped, 1);
                            if delivery.replaced == 1 {
                                assert!(latest[place]);
                                expected[place].pop();
                            }
                            if delivery.dropped == 0 {
                                expected[place].push(text);
                            }
                            latest[place] = delivery.kept == 1;
                        }
                        3 => {
                            let fin = dice.one_in(2);
                            if writer.feed_fragment("f", fin).is_ok() {
                                (fragments, busy) = (fragments + 1, !fin);
                            }
                        }
                        4 => own += usize::from(writer.feed("own").is_ok()),
                        5 => script.go_on(|state| {
                            let most = 1 + dice.below(200) as usize;
                            state.writes = [Step::Count(most), Step::Stall].into();
                        }),
                        6 => script.state().writes = [Step::Stall].into(),
                        _ => _ = poll_times(reader.recv(), 1 + dice.below(3) as usize),
                    }
                }
                if busy {
                    script.go_on(|state| state.writes.clear());
                    run(writer.flush()).unwrap();
                    writer.feed_fragment("f", true).unwrap();
                    fragments += 1;
                }
                script.go_on(|state| state.writes.clear());
                for future in sending {
                    run(future);
                }
                assert!(poll_times(reader.recv(), 10).is_none());
                let (mut got, mut inside) = ([Vec::new(), Vec::new()], false);
                for (first, payload) in split(Role::Server, &script.written()) {
                    let text = String::from_utf8(payload).unwrap();
                    assert_eq!(inside, first & 0x0f == 0, "{seed} {slow:?}");
                    inside = first & 0x80 == 0;
                    match &text[..] {
                        "f" => fragments -= 1,
                        "own" => own -= 1,
                        text => {
                            let place = usize::from(text.starts_with('1'));
                            got[place].push(text.to_string());
                        }
                    }
                }
                assert_eq!((fragments, own), (0, 0), "{seed} {slow:?}");
                assert_eq!(got, expected, "{seed} {slow:?}");
            });
        }
    }
}

/// D16: a group that waits for a busy member goes on when the message ends; and one that was to be
/// begun and was not holds nothing up.
#[test]
fn a_group_waits_for_a_busy_member_until_its_message_ends() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) =
        support::tokio_over(&script, Role::Server, quiet().unsent_mark(1)).split();
    let room = Broadcast::new(SlowConsumer::Wait);
    let _member = room.join(writer.clone());
    run(writer.send_fragment("a", false)).unwrap();
    assert_eq!(run(room.send("1")).sent, 1);
    let (sending, woken) = polled(room.send("2"), 5);
    woken.take();
    run(writer.send_fragment("b", true)).unwrap();
    assert!(woken.take() > 0);
    assert_eq!(run(sending).sent, 1);
    // A stream that has given nothing yet has its turn, and loses it when it is dropped.
    let pieces = futures_util::stream::pending::<Result<&str, io::Error>>();
    let (streaming, _) = polled(writer.send_stream(pieces), 2);
    assert_eq!(run(room.send("3")).sent, 1);
    assert_eq!(texts(Role::Server, &script), ["a", "b", "1", "2"]);
    drop(streaming);
    run(writer.flush()).unwrap();
    assert_eq!(texts(Role::Server, &script), ["a", "b", "1", "2", "3"]);
}

/// D16: what waits behind a message in fragments is not lost by halves that come together again, nor
/// by a close between messages.
#[test]
fn what_is_held_goes_out_in_front_of_a_close() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    script.state().writes.push_back(Step::Stall);
    let (_reader, writer) =
        support::tokio_over(&script, Role::Server, quiet().unsent_mark(1)).split();
    let room = Broadcast::new(SlowConsumer::KeepLatest);
    let _member = room.join(writer.clone());
    assert_eq!((run(room.send("1")).sent, run(room.send("2")).kept), (1, 1));
    let (_closing, _) = polled(writer.close(CloseCode::NORMAL), 1);
    script.go_on(|state| state.writes.clear());
    assert!(poll_times(writer.close(CloseCode::NORMAL), 3).is_none());
    let frames = split(Role::Server, &script.written());
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [0x81, 0x81, 0x88]);
}

/// D17: a member whose backlog only waits for somebody to write it is not slow.
#[test]
fn the_backlog_is_written_before_a_member_is_judged() {
    let runtime = paused();
    let _time = runtime.enter();
    for slow in POLICIES {
        for (takes, gone) in [(600, false), (600, true), (100, false), (100, true)] {
            on_async!(over => {
                let script = Script::new();
                script.state().writes.push_back(Step::Stall);
                let config = quiet().unsent_mark(200).max_unsent(2_000);
                let (reader, writer) = over(&script, Role::Server, config).split();
                let reader = (!gone).then_some(reader);
                let room = Broadcast::new(slow);
                let _member = room.join(writer);
                assert_eq!(run(room.send(vec![0; 500])).sent, 1);
                // Since then the peer has taken all, or some of it, and nobody was there to write.
                script.go_on(|state| state.writes = [Step::Count(takes), Step::Stall].into());
                let delivery = poll_times(room.send(vec![1; 500]), 5).expect("no wait");
                assert_eq!(delivery.sent, 1, "{slow:?} {takes} {gone}");
                drop(reader);
            });
        }
    }
}

/// D17: but while a reader drives the connection, a peer that takes a little now and then is slow;
/// and whoever drives it, nothing is accepted beyond the limit.
#[test]
fn a_member_that_takes_a_little_is_slow() {
    let runtime = paused();
    let _time = runtime.enter();
    for reads in [false, true] {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let config = quiet().unsent_mark(200).max_unsent(2_000);
        let (mut reader, writer) = support::tokio_over(&script, Role::Server, config).split();
        let receiving = reads.then(|| polled(async move { reader.recv().await }, 1));
        let room = Broadcast::new(SlowConsumer::DropMessage);
        let _member = room.join(writer);
        assert_eq!(run(room.send(vec![0; 500])).sent, 1);
        let mut sent = 0;
        for _ in 0..20 {
            script.state().writes = [Step::Count(10), Step::Stall].into();
            sent += run(room.send(vec![1; 500])).sent;
        }
        assert_eq!(sent, if reads { 0 } else { 4 });
        drop(receiving);
    }
}

/// A stream that takes a little at a time, and as often as tokio lets a task do something.
struct Sipping(Arc<Mutex<Option<Vec<u8>>>>);

impl AsyncRead for Sipping {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sipping {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut taken = self.0.lock().unwrap();
        let Some(taken) = &mut *taken else { return Poll::Pending };
        core::task::ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
        let some = &bytes[..bytes.len().min(10)];
        taken.extend_from_slice(some);
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// D17: nor is a member slow because the task that sends has used up its turn on those before it.
#[test]
fn a_member_is_judged_in_a_turn_that_is_not_used_up() {
    let _watchdog = watchdog();
    let runtime = paused();
    for slow in POLICIES {
        runtime.block_on(async {
            let room = Broadcast::new(slow);
            let members: Vec<_> = (0..40)
                .map(|_| {
                    let taken = Arc::new(Mutex::new(None));
                    let config = quiet().unsent_mark(100).max_unsent(100);
                    let stream = Sipping(Arc::clone(&taken));
                    let ws = WebSocket::from_parts(stream, Role::Server, config, []);
                    let (reader, writer) = ws.split();
                    (taken, room.join(writer), reader)
                })
                .collect();
            assert_eq!(room.send(vec![1; 300]).await.sent, 40);
            for (taken, ..) in &members {
                *taken.lock().unwrap() = Some(Vec::new());
            }
            assert_eq!(room.send(vec![2; 300]).await.sent, 40, "{slow:?}");
        });
    }
}

/// D17, over TCP: the pattern of the documentation, with a task that is busy in between, and a
/// reader that was dropped.
#[test]
fn members_whose_tasks_are_busy_are_not_disconnected() {
    let _watchdog = watchdog();
    for gone in [false, true] {
        let (ours, theirs) = support::tcp_pair();
        ours.set_nonblocking(true).unwrap();
        let client = std::thread::spawn(move || {
            let mut ws = fullduplex::blocking::WebSocket::from_parts(
                theirs,
                Role::Client,
                quiet(),
                Vec::new(),
            );
            let mut received = 0;
            while let Ok(Some(_)) = ws.recv() {
                received += 1;
            }
            received
        });
        support::runtime().block_on(async {
            let room_again = tokio::net::TcpStream::from_std(ours.try_clone().unwrap()).unwrap();
            let stream = tokio::net::TcpStream::from_std(ours).unwrap();
            let (reader, writer) = WebSocket::from_parts(stream, Role::Server, quiet(), []).split();
            let reader = (!gone).then_some(reader);
            let room = Broadcast::new(SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER));
            let member = room.join(writer);
            for size in [600_000, 600_000, 1, 1] {
                assert_eq!(room.send(vec![0; size]).await.disconnected, 0);
                // It works, and its peer reads what the kernel has, until there is room again.
                room_again.writable().await.unwrap();
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
            }
            member.leave().unwrap().close(CloseCode::NORMAL).await.unwrap();
            drop(reader);
        });
        assert_eq!(client.join().unwrap(), 4);
    }
}

/// D18: members whose tasks end by `?` leave at once, in a room where nothing is sent.
#[test]
fn members_leave_when_their_tasks_end() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let room = Broadcast::new(SlowConsumer::Wait);
        let held = Arc::new(());
        let mut clients = Vec::new();
        for _ in 0..300 {
            let (a, b) = duplex(100);
            let stream = Odd { stream: a, held: Some(Arc::clone(&held)), on: None };
            let room = room.clone();
            tokio::spawn(async move {
                let (mut reader, writer) =
                    WebSocket::from_parts(stream, Role::Server, quiet(), []).split();
                let _member = room.join(writer);
                while let Some(message) = reader.recv().await? {
                    room.send(message).await;
                }
                Ok::<(), Error>(())
            });
            clients.push(b);
        }
        let rounds = async || {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        };
        rounds().await;
        assert_eq!((room.len(), Arc::strong_count(&held)), (300, 301));
        clients.clear();
        rounds().await;
        assert_eq!((room.len(), Arc::strong_count(&held)), (0, 1));
        assert_eq!(room.stats().messages, 0);
    });
}

/// A member that is detached stays, until a message finds that its connection is over.
#[test]
fn a_member_that_is_detached_stays() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = support::tokio_over(&script, Role::Server, quiet()).split();
    let room = Broadcast::new(SlowConsumer::Wait);
    let id = room.join(writer).detach();
    assert_eq!((room.len(), room.missed(id)), (1, Some(0)));
    assert!(room.leave(id).is_some());
    assert!(room.leave(id).is_none() && room.is_empty());
}

/// D22: who has left is not waited for, and gets nothing that was not accepted.
#[test]
fn who_leaves_is_not_waited_for() {
    let runtime = paused();
    let _time = runtime.enter();
    for drops in [false, true] {
        on_async!(over => {
            let script = Script::new();
            script.state().writes.push_back(Step::Stall);
            let (_reader, writer) = over(&script, Role::Server, quiet().unsent_mark(1)).split();
            let room = Broadcast::new(SlowConsumer::Wait);
            let member = room.join(writer.clone());
            assert_eq!(run(room.send("1")).sent, 1);
            let (sending, woken) = polled(room.send("2"), 5);
            woken.take();
            match drops {
                true => drop(member),
                false => _ = room.leave(member.id()),
            }
            assert!(woken.take() > 0);
            let delivery = run(sending);
            assert_eq!((delivery.sent, delivery.gone), (0, 1));
            script.go_on(|state| state.writes.clear());
            run(writer.flush()).unwrap();
            assert_eq!(texts(Role::Server, &script), ["1"]);
        });
    }
}

/// Those who wait for a slow member do not wait for each other, and others get all of it at once.
#[test]
fn a_slow_member_holds_up_senders_and_not_members() {
    let runtime = paused();
    let _time = runtime.enter();
    on_async!(over => {
        let slow = Script::new();
        slow.state().writes.push_back(Step::Stall);
        let config = || quiet().unsent_mark(1);
        let (_reader, writer) = over(&slow, Role::Server, config()).split();
        let fast = Script::new();
        let (_other_reader, other) = over(&fast, Role::Server, config()).split();
        let room = Broadcast::new(SlowConsumer::Wait);
        let _members = [room.join(writer.clone()), room.join(other)];
        assert_eq!(run(room.send("0")).sent, 2);
        let mut sending: Vec<_> =
            (1..50).map(|i| polled(room.send(i.to_string()), 4)).collect();
        let all: Vec<_> = (0..50).map(|i| i.to_string()).collect();
        assert_eq!(texts(Role::Server, &fast), all);
        // One that gives up takes its message along, and nobody else's.
        sending.iter().for_each(|(_, woken)| _ = woken.take());
        drop(sending.remove(9));
        let told = |sending: &[(Boxed<_>, Arc<Woken>)]| {
            sending.iter().filter(|(_, woken)| woken.take() > 0).count()
        };
        assert_eq!(told(&sending), 1, "another drives the connection in its place");
        // What is written wakes some that do so, and not all that wait.
        slow.go_on(|state| state.writes.clear());
        assert_eq!(told(&sending), 15);
        let (first, _) = sending.remove(0);
        assert_eq!(run(first).sent, 2);
        // But for the one that was told before.
        assert_eq!(told(&sending), sending.len() - 1);
        for (sending, _) in sending {
            assert_eq!(run(sending).sent, 2);
        }
        let mut left = all.clone();
        left.remove(10);
        assert_eq!(texts(Role::Server, &slow), left);
        let stats = room.stats();
        assert_eq!((stats.messages, stats.sent), (50, 99));
    });
}

/// A reader that receives sends on what waits, and tells each that waits for it, also if those that
/// would drive the connection are kept. While none does, those who wait do so, whoever gives up.
#[test]
fn whoever_waits_for_a_slow_member_is_told() {
    let runtime = paused();
    let _time = runtime.enter();
    for reads in [false, true] {
        on_async!(over => {
            let script = Script::new();
            script.state().writes.push_back(Step::Stall);
            let (mut reader, writer) = over(&script, Role::Server, quiet().unsent_mark(1)).split();
            let room = Broadcast::new(SlowConsumer::Wait);
            let _member = room.join(writer);
            assert_eq!(run(room.send("0")).sent, 1);
            let mut sending: Vec<_> =
                (1..40).map(|i| polled(room.send(i.to_string()), 3)).collect();
            let mut receiving = reads.then(|| polled(reader.recv(), 1));
            let mut last = sending.split_off(35);
            match &mut receiving {
                Some(_) => {}
                // Those behind them step up when they are polled.
                None => {
                    drop(mem::take(&mut sending));
                    for (future, woken) in &mut last {
                        woken.take();
                        let (_, waker) = Woken::new();
                        let cx = &mut Context::from_waker(&waker);
                        assert!(future.as_mut().poll(cx).is_pending());
                    }
                }
            }
            for (_, woken) in &last {
                woken.take();
            }
            script.go_on(|state| state.writes.clear());
            if let Some((receiving, _)) = &mut receiving {
                let (_, waker) = Woken::new();
                assert!(receiving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                assert!(last.iter().all(|(_, woken)| woken.take() > 0));
            }
            for (future, _) in last {
                assert_eq!(run(future).sent, 1);
            }
            assert_eq!(texts(Role::Server, &script).len(), if reads { 40 } else { 5 });
            drop(sending);
        });
    }
}

/// A `send` that is dropped while it waits takes its message along, as that of a writer.
#[test]
fn a_send_that_is_dropped_leaves_nothing_behind() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    script.state().writes.push_back(Step::Stall);
    let (_reader, writer) =
        support::tokio_over(&script, Role::Server, quiet().unsent_mark(1)).split();
    let room = Broadcast::new(SlowConsumer::Wait);
    let _member = room.join(writer.clone());
    assert_eq!(run(room.send("1")).sent, 1);
    for polls in 0..5 {
        let (sending, woken) = polled(room.send("lost"), polls);
        let (next, _) = polled(room.send("lost, too"), 2);
        drop(sending);
        assert_eq!(Arc::strong_count(&woken), 1, "nobody wakes it any more");
        drop(next);
    }
    script.go_on(|state| state.writes.clear());
    assert_eq!(run(room.send("2")).sent, 1);
    assert_eq!(texts(Role::Server, &script), ["1", "2"]);
}

/// D27: a number of one group means nothing to another.
#[test]
fn numbers_are_of_one_group() {
    let runtime = paused();
    let _time = runtime.enter();
    let rooms = [Broadcast::new(SlowConsumer::Wait), Broadcast::new(SlowConsumer::Wait)];
    let ids = rooms.each_ref().map(|room| {
        let (_, writer) = support::tokio_over(&Script::new(), Role::Server, quiet()).split();
        room.join(writer).detach()
    });
    assert_ne!(ids[0], ids[1]);
    assert!(rooms[0].leave(ids[1]).is_none() && rooms[1].missed(ids[0]).is_none());
    assert_eq!(rooms[1].leave(ids[1]).is_some(), rooms[0].leave(ids[0]).is_some());
}

/// D27: what a group costs follows those who are in it, not those who were.
#[test]
fn a_group_forgets_a_past_peak() {
    const PEAK: usize = 10_000;
    let runtime = paused();
    let _time = runtime.enter();
    let (_reader, writer) = support::tokio_over(&Script::new(), Role::Server, quiet()).split();
    let room = Broadcast::new(SlowConsumer::Wait);
    for one_by_one in [true, false] {
        let (kept, heap) = measure(|| {
            let mut members: Vec<_> = (0..PEAK).map(|_| room.join(writer.clone())).collect();
            // From the front, from the back, and anywhere.
            while members.len() > 1 {
                let place = if one_by_one { members.len() * 7 / 10 } else { 0 };
                drop(members.swap_remove(place));
            }
            assert_eq!(run(room.send("x")).sent, 1);
            members
        });
        println!("{heap:?}");
        assert!(heap.peak > PEAK * 40 && heap.kept < PEAK as isize * 32 + 10_000);
        let message = Prepared::new("x");
        let (_, heap) = measure(|| run(room.send(message)));
        assert!(heap.calls <= 1, "{heap:?}"); // the waker of `run`
        drop(kept);
    }
    // No member of them all is left, nor a place for one.
    let (_, heap) = measure(|| {
        let members: Vec<_> = (0..PEAK).map(|_| room.join(writer.clone())).collect();
        drop(members);
    });
    assert!(heap.kept < 10_000, "{heap:?}");
}

/// A stream that panics where it is told to.
struct Odd {
    stream: DuplexStream,
    #[allow(dead_code, reason = "it counts how many of these there are")]
    held: Option<Arc<()>>,
    on: Option<Arc<Mutex<&'static str>>>,
}

impl Odd {
    fn new(stream: DuplexStream) -> (Self, Arc<Mutex<&'static str>>) {
        let on = Arc::new(Mutex::new(""));
        (Self { stream, held: None, on: Some(Arc::clone(&on)) }, on)
    }

    fn meets(&self, what: &str) {
        let panics = self.on.as_ref().is_some_and(|on| *on.lock().unwrap() == what);
        assert!(!panics, "{what}, as the test wants it");
    }
}

impl AsyncRead for Odd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.meets("read");
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Odd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.meets("write");
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.meets("drop");
    }
}

/// D23: a member whose stream panics leaves, wherever it does so, and the room goes on.
#[test]
fn a_member_that_panics_leaves() {
    let _watchdog = watchdog();
    let runtime = paused();
    for (slow, place) in POLICIES.into_iter().flat_map(|slow| [(slow, "write"), (slow, "read")]) {
        runtime.block_on(async {
            let room = Broadcast::new(slow);
            let mut clients = Vec::new();
            let mut odd = Vec::new();
            for _ in 0..3 {
                let (a, b) = duplex(1_000);
                let (stream, on) = Odd::new(a);
                let (reader, writer) =
                    WebSocket::from_parts(stream, Role::Server, quiet(), []).split();
                clients.push((reader, WebSocket::from_parts(b, Role::Client, quiet(), [])));
                odd.push((on, room.join(writer)));
            }
            assert_eq!(room.send("1").await.sent, 3);
            *odd[1].0.lock().unwrap() = place;
            for text in ["2", "3"] {
                let delivery = room.send(text).await;
                assert_eq!((delivery.sent, delivery.gone), (2, usize::from(text == "2")));
            }
            assert_eq!(room.len(), 2);
            for (_, client) in [clients.remove(2), clients.remove(0)].iter_mut() {
                for text in ["1", "2", "3"] {
                    assert_eq!(client.recv().await.unwrap().unwrap(), text);
                }
            }
            *odd[1].0.lock().unwrap() = "";
        });
    }
}

/// D23: also while the room waits for it, and when all are closed; or when its stream is dropped.
#[test]
fn a_member_that_panics_is_not_waited_for() {
    let _watchdog = watchdog();
    let runtime = paused();
    for place in ["waits", "closes", "drop"] {
        runtime.block_on(async {
            let room = Broadcast::new(SlowConsumer::Wait);
            let (a, b) = duplex(10);
            let (stream, on) = Odd::new(a);
            let config = quiet().unsent_mark(1);
            let (reader, writer) = WebSocket::from_parts(stream, Role::Server, config, []).split();
            let id = room.join(writer).detach();
            assert_eq!(room.send(vec![0; 20]).await.sent, 1);
            match place {
                "waits" => {
                    let (sending, _) = polled(room.send("x"), 5);
                    *on.lock().unwrap() = "write";
                    drop((b, reader));
                    assert_eq!(sending.await.gone, 1);
                }
                "closes" => {
                    *on.lock().unwrap() = "write";
                    let report = room.close(CloseCode::GOING_AWAY).await.unwrap();
                    assert!(matches!(&report.failed[..], [(of, Error::Other(_))] if *of == id));
                }
                _ => {
                    *on.lock().unwrap() = "drop";
                    drop((b, reader));
                    assert_eq!(room.send("x").await.gone, 1);
                }
            }
            *on.lock().unwrap() = "";
            assert!(room.is_empty());
            assert_eq!(room.send("y").await, Default::default());
        });
    }
}

/// D23: a connection goes on in another runtime than the one whose timer it had: that is gone. Where
/// there is no other it is an error, not a panic.
#[test]
fn a_timer_of_a_runtime_that_is_gone() {
    let _watchdog = watchdog();
    for (halves, again) in [(false, true), (true, true), (false, false), (true, false)] {
        let (a, b) = duplex(100);
        let ws = WebSocket::from_parts(a, Role::Server, Config::default(), []);
        let mut client = WebSocket::from_parts(b, Role::Client, quiet(), []);
        let first = paused();
        let second = match again {
            true => paused(),
            false => tokio::runtime::Builder::new_current_thread().build().unwrap(),
        };
        let mut whole = None;
        let mut split = None;
        match halves {
            true => split = Some(ws.split()),
            false => whole = Some(ws),
        }
        let recv =
            async |whole: &mut Option<WebSocket<_>>, split: &mut Option<(Reader<_>, _)>| match (
                whole, split,
            ) {
                (Some(ws), _) => ws.recv().await,
                (_, Some((reader, _))) => reader.recv().await,
                _ => unreachable!(),
            };
        first.block_on(async {
            // It has waited once, so there is a timer.
            assert!(poll_once(recv(&mut whole, &mut split)).await);
        });
        drop(first);
        second.block_on(async {
            client.send("x").await.unwrap();
            let received = recv(&mut whole, &mut split).await;
            match received {
                Ok(message) => assert_eq!(message.unwrap(), "x"),
                Err(error) => assert!(!again && matches!(error, Error::Io(_)), "{error}"),
            }
            if !again {
                return;
            }
            // Keepalive's deadline passes in the new one.
            let late = recv(&mut whole, &mut split).await;
            assert!(matches!(late, Err(Error::Timeout(_))), "{late:?}");
        });
    }
}

/// Whether a future waits.
async fn poll_once(future: impl Future) -> bool {
    let mut future = Box::pin(future);
    core::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// D28: nobody is in a group that was closed, or is closing, and open.
#[test]
fn who_joins_a_closed_group_is_closed() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let room = Broadcast::new(SlowConsumer::Wait);
        let (first_reader, writer, mut first) = member(quiet(), 1_000);
        let _first_member = room.join(writer);
        let (closing, _) = polled(room.close((CloseCode::GOING_AWAY, "restart")), 1);
        assert!(room.is_closed());
        let mut late = Vec::new();
        let mut joins = || {
            let (mut reader, writer, client) = member(quiet(), 1_000);
            let member = room.join(writer);
            assert_eq!(member.missed(), None);
            late.push(client);
            tokio::spawn(async move { reader.recv().await.map(|_| reader.closed()) })
        };
        let during = joins();
        drop(first_reader);
        let (report, end) = tokio::join!(closing, first.recv());
        assert_eq!((report.unwrap().clean, end.unwrap()), (1, None));
        let after = joins();
        for mut client in late {
            assert!(client.recv().await.unwrap().is_none());
            let closed = client.closed().unwrap();
            assert_eq!((closed.code(), closed.reason()), (1001, "restart"));
        }
        for server in [during, after] {
            assert!(server.await.unwrap().unwrap().unwrap().is_clean());
        }
        assert!(room.is_empty());
        assert_eq!(room.send("x").await.sent, 0);
        assert_eq!(room.close(CloseCode::NORMAL).await.unwrap().clean, 0);
    });
}

/// A group that is closed waits for nobody who is slow: what was to be sent comes in front of the
/// Close frame.
#[test]
fn closing_ends_the_wait_for_slow_members() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    script.state().writes.push_back(Step::Stall);
    let (_reader, writer) =
        support::tokio_over(&script, Role::Server, quiet().unsent_mark(1)).split();
    let room = Broadcast::new(SlowConsumer::Wait);
    let _member = room.join(writer.clone());
    run(room.send("1"));
    let (sending, woken) = polled(room.send("2"), 5);
    woken.take();
    let (_closing, _) = polled(room.close(CloseCode::GOING_AWAY), 6);
    assert!(woken.take() > 0);
    assert_eq!(run(sending).gone, 1);
    script.go_on(|state| state.writes.clear());
    assert!(poll_times(writer.flush(), 5).is_some());
    let frames = split(Role::Server, &script.written());
    let texts: Vec<_> = frames.iter().map(|(first, _)| *first).collect();
    assert_eq!(texts, [0x81, 0x81, 0x88]);
}

/// All but one.
#[test]
fn a_message_goes_to_all_but_one() {
    let runtime = paused();
    let _time = runtime.enter();
    on_async!(over => {
        let room = Broadcast::new(SlowConsumer::Wait);
        let members: Vec<_> = (0..40)
            .map(|_| {
                let script = Script::new();
                let (reader, writer) = over(&script, Role::Server, quiet()).split();
                (script, room.join(writer), reader)
            })
            .collect();
        for (_, member, _) in &members {
            let delivery = run(room.send_except(member.id(), member.id().to_string_for_test()));
            assert_eq!((delivery.sent, delivery.gone), (39, 0));
        }
        for (script, member, _) in &members {
            let got = texts(Role::Server, script);
            let all = members.iter().map(|(_, member, _)| member.id().to_string_for_test());
            let own = member.id().to_string_for_test();
            assert_eq!(got, all.filter(|text| *text != own).collect::<Vec<_>>());
        }
        // Of somebody who is no member nothing is kept.
        let id = members[0].1.id();
        assert!(room.leave(id).is_some());
        assert_eq!(run(room.send_except(id, "x")).sent, 39);
    });
}

trait Name {
    fn to_string_for_test(&self) -> String;
}

impl Name for fullduplex::asynchronous::MemberId {
    fn to_string_for_test(&self) -> String {
        format!("{self:?}")
    }
}

/// D5: a `send` that is kept and not polled holds up nobody, wherever it stands.
#[test]
fn a_send_that_is_kept_holds_up_nobody() {
    let runtime = paused();
    let _time = runtime.enter();
    on_async!(over => {
        for polls in 0..8 {
            let room = Broadcast::new(SlowConsumer::Wait);
            let members: Vec<_> = (0..100)
                .map(|_| {
                    let script = Script::new();
                    let (reader, writer) =
                        over(&script, Role::Server, quiet().unsent_mark(1)).split();
                    (script, room.join(writer), reader)
                })
                .collect();
            // One of them is slow, at first.
            members[50].0.state().writes.push_back(Step::Stall);
            assert_eq!(run(room.send("0")).sent, 100);
            let (kept, _) = polled(room.send("1"), polls);
            let (also_kept, _) = polled(room.send("2"), polls);
            let (next, woken) = polled(room.send("3"), 16);
            woken.take();
            members[50].0.go_on(|state| state.writes.clear());
            assert!(woken.take() > 0, "{polls}");
            assert_eq!(run(next).sent, 100);
            let second = room.stats().messages;
            assert_eq!(second, if polls == 0 { 2 } else { 4 });
            assert_eq!((run(kept).sent, run(also_kept).sent), (100, 100));
            let expected: &[&str] =
                if polls == 0 { &["0", "3", "1", "2"] } else { &["0", "1", "2", "3"] };
            for (script, ..) in &members {
                assert_eq!(texts(Role::Server, script), expected, "{polls}");
            }
        }
    });
}

/// D5: so does one that is forgotten, and one that closes the group.
#[test]
fn calls_that_are_forgotten_hold_up_nobody() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (reader, writer) = support::tokio_over(&script, Role::Server, quiet()).split();
    let room = Broadcast::new(SlowConsumer::Wait);
    let _member = room.join(writer);
    let ready = room.clone();
    mem::forget(polled(async move { ready.send("1").await }, 1));
    assert_eq!(run(room.send("2")).sent, 1);
    assert_eq!(texts(Role::Server, &script), ["1", "2"]);
    let closes = room.clone();
    mem::forget(polled(async move { closes.close(CloseCode::NORMAL).await.is_ok() }, 1));
    assert_eq!(run(room.send("3")).sent, 0);
    assert!(room.is_empty());
    let frames = split(Role::Server, &script.written());
    assert_eq!(frames.last(), Some(&(0x88, close_body(1000, ""))));
    drop(reader);
}

/// Real threads: senders that are aborted or kept at any time next to some that are not, members
/// that come and go; each client gets what the others get, in the same order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_senders_on_any_threads() {
    const SENDERS: usize = 6;
    const EACH: usize = 200;
    let _watchdog = watchdog();
    let room = Broadcast::new(SlowConsumer::Wait);
    let mut clients = Vec::new();
    for i in 0..80 {
        let (mut reader, writer, mut client) = member(quiet().unsent_mark(1 + i * 3), 10 + i * 7);
        let member = room.join(writer);
        tokio::spawn(async move {
            let _member = member;
            while let Ok(Some(_)) = reader.recv().await {}
        });
        clients.push(tokio::spawn(async move {
            let mut all = Vec::new();
            while let Ok(Some(message)) = client.recv().await {
                if message != "noise" {
                    all.push(message);
                }
            }
            all
        }));
    }
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let room = room.clone();
        senders.spawn(async move {
            for i in 0..EACH {
                assert_eq!(room.send(format!("{sender} {i}")).await.sent, 80);
            }
        });
    }
    let noise = tokio::spawn({
        let room = room.clone();
        async move {
            let mut kept = Vec::new();
            for i in 0..EACH {
                let room = room.clone();
                let mut sending = Box::pin(async move { room.send("noise").await });
                for _ in 0..i % 7 {
                    if !poll_once(sending.as_mut()).await {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                match i % 3 {
                    0 => kept.push(sending),
                    1 => mem::forget(sending),
                    _ => drop(sending),
                }
            }
        }
    });
    senders.join_all().await;
    noise.await.unwrap();
    let report = room.close(CloseCode::NORMAL).await.unwrap();
    assert_eq!(report.clean, 80, "{report:?}");
    let mut orders = Vec::new();
    for client in clients {
        orders.push(client.await.unwrap());
    }
    assert_eq!(orders[0].len(), SENDERS * EACH);
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}
