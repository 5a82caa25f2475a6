//! The write queue of a connection in halves: who goes next, what waiting costs, and calls that are
//! kept, forgotten or dropped while they wait.
#![cfg(all(feature = "futures-io", feature = "tokio", feature = "testing"))]

use crate::support::{self, heap};

use core::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use fullduplex::{
    Config, Error, FlushPolicy, Role, SendErrorReason,
    asynchronous::{AsyncIo, Broadcast, Reader, SlowConsumer, WebSocket, Writer},
    futures_io::FuturesIo,
    testing::{Clock, Pipe, duplex},
};
use futures_util::{FutureExt, SinkExt, StreamExt, stream::FuturesUnordered};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};
use support::split;
use support::{
    Script, Step, Woken, on_async, paused, quiet, run,
    tasks::{Dice, dropped, pause},
    watchdog,
};

/// Polls tasks that were woken, in the order in which they were, or in one that the dice say.
#[derive(Default)]
struct Executor<'t> {
    dice: Option<Dice>,
    tasks: Vec<Option<Pin<Box<dyn Future<Output = ()> + 't>>>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
    polls: usize,
}

struct Task {
    number: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap();
        if !ready.contains(&self.number) {
            ready.push_back(self.number);
        }
    }
}

impl<'t> Executor<'t> {
    fn spawn(&mut self, task: impl Future<Output = ()> + 't) {
        self.ready.lock().unwrap().push_back(self.tasks.len());
        self.tasks.push(Some(Box::pin(task)));
    }

    /// Until nobody is woken any more.
    fn run(&mut self) {
        for _ in 0..10_000_000 {
            let mut ready = self.ready.lock().unwrap();
            let place = self.dice.as_ref().map_or(0, |dice| dice.below(ready.len().max(1) as u64));
            let Some(number) = ready.remove(place as usize) else { return };
            drop(ready);
            let Some(task) = &mut self.tasks[number] else { continue };
            self.polls += 1;
            let waker = Waker::from(Arc::new(Task { number, ready: Arc::clone(&self.ready) }));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.tasks[number] = None;
            }
        }
        panic!("it goes on for ever");
    }
}

fn on_tokio(stream: Pipe, role: Role, config: Config) -> fullduplex::tokio::WebSocket<Pipe> {
    fullduplex::tokio::WebSocket::from_parts(stream, role, config, [])
}

fn on_futures_io(
    stream: Pipe,
    role: Role,
    config: Config,
) -> fullduplex::futures_io::WebSocket<Pipe, Clock> {
    FuturesIo::with_timer(stream, Clock::new()).adopt(role, config, [])
}

/// A block with each async adapter in turn, over pipes.
macro_rules! over_pipes {
    ($over:ident => $block:block) => {{
        {
            let $over = on_tokio;
            $block
        }
        {
            let $over = on_futures_io;
            $block
        }
    }};
}

/// Receives to the end.
async fn drain<T: AsyncIo>(mut reader: Reader<T>) {
    while let Ok(Some(_)) = reader.recv().await {}
}

async fn count<T: AsyncIo>(mut ws: WebSocket<T>, count: Arc<AtomicUsize>) {
    while let Ok(Some(_)) = ws.recv().await {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

type Kept<'t> = Pin<Box<dyn Future<Output = Result<(), Error>> + 't>>;

/// A future that waits, and is kept.
fn kept<'t>(future: impl Future<Output = Result<(), Error>> + 't) -> (Kept<'t>, Arc<Woken>) {
    let mut future: Kept<'t> = Box::pin(future);
    let (woken, waker) = Woken::new();
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    (future, woken)
}

fn texts(script: &Script) -> Vec<String> {
    let frames = split(Role::Server, &script.written());
    frames.into_iter().map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
}

/// D6: what many cost that wait to send grows with what they send, not with how many wait: each is
/// polled a few times, however many there are. Whether somebody receives, whether each waits until its
/// message is flushed, and with one in the middle of a message in fragments.
#[test]
fn each_that_waits_costs_the_same() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for (reads, any_order) in [(true, false), (false, false), (true, true), (false, true)] {
        for policy in [FlushPolicy::Strict, FlushPolicy::BeforeWait] {
            for (mark, size) in [(1, 100), (20_000, 100), (20_000, 5_000)] {
                let polls = |many: usize| {
                    let mut all = Vec::new();
                    over_pipes!(over => {
                        let (a, b) = duplex(4_096);
                        let config = || quiet().unsent_high_water(mark).flush_policy(policy);
                        let (reader, writer) = over(a, Role::Server, config()).split();
                        let mut executor = Executor {
                            dice: any_order.then(|| Dice::new(7)),
                            ..Executor::default()
                        };
                        let mut keeps = None;
                        match reads {
                            true => executor.spawn(drain(reader)),
                            false => keeps = Some(reader),
                        }
                        // They all wait for this one, at first.
                        writer.feed_fragment(vec![0; 30_000], false).unwrap();
                        let payload = vec![0; size];
                        for _ in 0..many {
                            let writer = writer.clone();
                            let payload = payload.clone();
                            executor.spawn(async move { writer.send(payload).await.unwrap() });
                        }
                        executor.run();
                        let got = Arc::new(AtomicUsize::new(0));
                        executor.spawn(count(over(b, Role::Client, quiet()), Arc::clone(&got)));
                        executor.spawn({
                            let writer = writer.clone();
                            async move { writer.flush().await.unwrap() }
                        });
                        executor.run();
                        assert_eq!(got.load(Ordering::Relaxed), 0);
                        let before = executor.polls;
                        writer.feed_fragment(vec![0; 0], true).unwrap();
                        executor.spawn(async { writer.flush().await.unwrap() });
                        executor.run();
                        executor.spawn(async { writer.flush().await.unwrap() });
                        executor.run();
                        assert_eq!(got.load(Ordering::Relaxed), many + 1, "{reads} {policy:?}");
                        all.push(executor.polls - before);
                        drop(keeps);
                    });
                    all
                };
                let (few, more) = (polls(125), polls(1_000));
                println!(
                    "{reads} {any_order} {policy:?}, mark {mark}, size {size}: {few:?} {more:?}"
                );
                for (few, more) in few.iter().zip(more) {
                    assert!(more < 10 * few, "{few} polls for 125, {more} for 1,000");
                    assert!(more < 1_000 * (12 + size / 100), "{more}");
                }
            }
        }
    }
}

/// How a future that waits is left alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Kept,
    Forgotten,
    Dropped,
}

/// D5: calls that wait and are not polled any more hold up nobody: not those that wait behind them,
/// nor those that come later, however many they are.
#[test]
fn calls_that_are_not_polled_hold_up_nobody() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for left in [Left::Kept, Left::Forgotten, Left::Dropped] {
        for many in [1, 5, 100] {
            for (reads, mark) in [(true, 1), (false, 1), (true, 1_000), (false, 1_000)] {
                over_pipes!(over => {
                    let (a, b) = duplex(64);
                    let config = quiet().unsent_high_water(mark);
                    let (reader, writer) = over(a, Role::Server, config).split();
                    let sent = AtomicUsize::new(0);
                    let send = async |text| {
                        writer.send(text).await.unwrap();
                        sent.fetch_add(1, Ordering::Relaxed);
                    };
                    let mut executor = Executor::default();
                    let mut keeps = None;
                    match reads {
                        true => executor.spawn(drain(reader)),
                        false => keeps = Some(reader),
                    }
                    writer.feed(vec![0; 2_000]).unwrap();
                    executor.spawn(send("in front"));
                    executor.run();
                    let mut alone: Vec<_> = (0..many)
                        .map(|i| match i % 3 {
                            0 => kept(writer.send("left alone")),
                            1 => kept(writer.ready()),
                            _ => kept(writer.send_fragment("left alone", true)),
                        })
                        .collect();
                    executor.spawn(send("behind"));
                    executor.run();
                    assert!(!writer.is_ready());
                    match left {
                        Left::Kept => {}
                        Left::Forgotten => alone.drain(..).for_each(mem::forget),
                        Left::Dropped => alone.clear(),
                    }
                    let got = Arc::new(AtomicUsize::new(0));
                    executor.spawn(count(over(b, Role::Client, quiet()), Arc::clone(&got)));
                    executor.run();
                    let context = format!("{left:?} {many} {reads} {mark}");
                    assert_eq!(sent.load(Ordering::Relaxed), 2, "{context}");
                    executor.spawn(send("later"));
                    executor.run();
                    assert_eq!(sent.load(Ordering::Relaxed), 3, "{context}");
                    assert!(writer.is_ready());
                    assert_eq!(writer.unsent().bytes, 0);
                    assert_eq!(got.load(Ordering::Relaxed), 4, "{context}");
                    // Those that are polled after all have their turn.
                    for (future, _) in alone {
                        executor.spawn(async { future.await.unwrap() });
                    }
                    executor.run();
                    assert!(executor.tasks.iter().skip(4).all(Option::is_none), "{context}");
                    drop(keeps);
                });
            }
        }
    }
}

/// A10: a ping goes in front of all messages that wait, whoever came first; and these in the order in
/// which they came, those of a `Sink` too. As on threads, where a unit test of the halves has it.
#[test]
fn section_5_4_a_ping_goes_in_front_of_messages_that_wait() {
    let runtime = paused();
    let _time = runtime.enter();
    for reads in [true, false] {
        on_async!(over => {
            let script = Script::new();
            let (mut reader, writer) = over(&script, Role::Server, quiet().unsent_high_water(1)).split();
            script.state().writes.push_back(Step::Stall);
            writer.feed("stuck").unwrap();
            let mut receiving = reads.then(|| Box::pin(reader.recv()));
            let (mut sinks, mut waiting) = ([(); 2].map(|()| writer.clone().into_sink()), Vec::new());
            let [sink, other_sink] = &mut sinks;
            waiting.push(kept(writer.send("1")));
            waiting.push(kept(sink.send("2".into())));
            waiting.push(kept(writer.ping("ping")));
            waiting.push(kept(writer.send("3")));
            waiting.push(kept(other_sink.send("4".into())));
            waiting.push(kept(writer.pong("pong")));
            script.state().writes.clear();
            // Whoever is polled first.
            for _ in 0..40 {
                for (future, woken) in waiting.iter_mut().rev() {
                    let waker = Waker::from(Arc::clone(woken));
                    let cx = &mut Context::from_waker(&waker);
                    if let Poll::Ready(sent) = future.as_mut().poll(cx) {
                        sent.unwrap();
                        *future = Box::pin(core::future::pending());
                    }
                }
                receiving.iter_mut().for_each(|receiving| {
                    assert!(receiving.as_mut().now_or_never().is_none());
                });
            }
            assert_eq!(texts(&script), ["stuck", "ping", "pong", "1", "2", "3", "4"]);
        });
    }
}

/// A `Sink` that is dropped with its writer, when it is its turn, leaves that to the next.
#[test]
fn a_sink_that_is_dropped_holds_up_nobody() {
    let runtime = paused();
    let _time = runtime.enter();
    on_async!(over => {
        let script = Script::new();
        let (_reader, writer) = over(&script, Role::Server, quiet().unsent_high_water(1)).split();
        script.state().writes.push_back(Step::Stall);
        writer.feed("stuck").unwrap();
        let mut sink = writer.clone().into_sink();
        assert!(SinkExt::send(&mut sink, "gone".into()).now_or_never().is_none());
        let mut executor = Executor::default();
        executor.spawn(async { writer.send("next").await.unwrap() });
        executor.run();
        // It is woken, and its wakeup with it is gone.
        script.state().writes.clear();
        drop(sink);
        executor.run();
        assert_eq!(texts(&script), ["stuck", "next"]);
    });
}

/// `is_ready`, `feed`, `ready` and `send` say the same.
#[test]
fn whoever_asks_is_told_the_same() {
    let runtime = paused();
    let _time = runtime.enter();
    on_async!(over => {
        let script = Script::new();
        let (_reader, writer) = over(&script, Role::Server, quiet().unsent_high_water(4)).split();
        let other = writer.clone();
        let agree = |writer: &Writer<_>| {
            let ready = writer.is_ready();
            assert_eq!(writer.ready().now_or_never().is_some(), ready);
            ready
        };
        assert!(agree(&writer) && agree(&other));
        // Nobody else's message goes inside another.
        writer.feed_fragment("a", false).unwrap();
        assert!(agree(&writer) && !agree(&other));
        assert_eq!(other.feed("b").unwrap_err().reason, SendErrorReason::Unfinished);
        assert!(other.send("b").now_or_never().is_none());
        writer.feed_fragment("cccc", true).unwrap();
        script.state().writes.push_back(Step::Stall);
        // Over the mark, below the limit.
        assert!(!writer.is_ready() && !other.is_ready());
        other.feed("d").unwrap();
        assert!(!agree(&writer) && !agree(&other));
        script.state().writes.clear();
        run(writer.flush()).unwrap();
        assert!(agree(&writer) && agree(&other));
        // A message that nobody can end: there is never room again.
        other.feed_fragment("e", false).unwrap();
        drop(other);
        assert!(!writer.is_ready());
        assert_eq!(writer.feed("f").unwrap_err().reason, SendErrorReason::Unfinished);
        match writer.send("f").now_or_never() {
            Some(Err(Error::Send(error))) => assert_eq!(error.reason, SendErrorReason::Unfinished),
            other => panic!("{other:?}"),
        }
    });
}

/// D5, of groups: a message that waits for a slow member goes out although calls that came before it
/// are kept, and in front of those that came behind it.
#[test]
fn groups_and_writers_wait_in_one_line() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for (slow, reads) in [
        (SlowConsumer::Wait, true),
        (SlowConsumer::Wait, false),
        (SlowConsumer::KeepLatest, true),
        (SlowConsumer::KeepLatest, false),
    ] {
        for alone in [0, 1, 40] {
            on_async!(over => {
                let script = Script::new();
                script.state().writes.push_back(Step::Stall);
                let (reader, writer) = over(&script, Role::Server, quiet().unsent_high_water(1)).split();
                let room = Broadcast::new(slow);
                let member = room.join(writer.clone());
                let mut executor = Executor::default();
                let mut keeps = None;
                match reads {
                    true => executor.spawn(drain(reader)),
                    false => keeps = Some(reader),
                }
                writer.feed("stuck").unwrap();
                executor.spawn(async { writer.send("1").await.unwrap() });
                executor.run();
                let kept: Vec<_> = (0..alone).map(|_| kept(writer.send("alone"))).collect();
                executor.spawn(async { assert_eq!(room.send("2").await.dropped, 0) });
                executor.run();
                executor.spawn(async { writer.send("3").await.unwrap() });
                executor.run();
                script.go_on(|state| state.writes.clear());
                executor.run();
                assert_eq!(texts(&script), ["stuck", "1", "2", "3"], "{slow:?} {reads} {alone}");
                drop((kept, keeps, member));
            });
        }
    }
}

/// D5: futures that are kept in a set whose owner is busy, dropped by whoever selects, or polled after
/// all, in any order. What is polled comes to its end, and in the order of each writer.
#[test]
fn any_that_are_kept_or_dropped() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for seed in 0..100 {
        let dice = Dice::new(seed * 2_654_435_761 + 99);
        over_pipes!(over => {
            let (a, b) = duplex(1 + dice.below(300) as usize);
            let config = quiet().unsent_high_water(1 + dice.below(200) as usize);
            let (reader, writer) = over(a, Role::Client, config).split();
            let got = Arc::new(AtomicUsize::new(0));
            let busy = async |number: u64| {
                // As `buffer_unordered` whose body takes its time.
                let sends = (0..20).map(|i| writer.send(format!("{number} {i}")));
                let mut sends: FuturesUnordered<_> = sends.collect();
                while let Some(sent) = sends.next().await {
                    sent.unwrap();
                    for _ in 0..dice.below(30) {
                        pause().await;
                    }
                }
            };
            let selects = async || {
                for i in 0..20 {
                    if dropped(writer.send("selected"), 1 + i % 4).await.is_none() {
                        pause().await;
                    }
                }
            };
            let mut executor =
                Executor { dice: dice.one_in(2).then(|| dice.clone()), ..Executor::default() };
            executor.spawn(drain(reader));
            executor.spawn(count(over(b, Role::Server, quiet()), Arc::clone(&got)));
            for number in 0..3 {
                executor.spawn(busy(number));
                executor.spawn(selects());
            }
            executor.spawn(async {
                for _ in 0..20 {
                    writer.ready().await.unwrap();
                    let _ = writer.feed("ready");
                    writer.flush().await.unwrap();
                }
            });
            executor.run();
            assert!(executor.tasks.iter().skip(2).all(Option::is_none), "{seed}: a task sleeps");
            assert!(got.load(Ordering::Relaxed) >= 60);
            assert_eq!(writer.unsent().bytes, 0);
        });
    }
}

/// A burst of calls that wait gives back the memory that it took.
#[test]
fn a_burst_of_waiting_calls_leaves_nothing_behind() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    script.state().writes.push_back(Step::Stall);
    let (_reader, writer) =
        support::tokio_over(&script, Role::Server, quiet().unsent_high_water(1)).split();
    writer.feed("stuck").unwrap();
    // One of them stays.
    let first = kept(writer.send("first"));
    let (_, heap) = heap::measure(|| {
        let waiting: Vec<_> = (0..5_000).map(|_| kept(writer.send("x"))).collect();
        let last = kept(writer.send("last"));
        drop(waiting);
        drop(last);
    });
    println!("{heap:?}");
    assert!(heap.peak > 500_000 && heap.kept < 4_096, "{heap:?}");
    drop(first);
}
