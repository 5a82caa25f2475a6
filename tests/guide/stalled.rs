//! The tables of back-pressure in the guide, row by row: what each call does on a peer that takes
//! nothing, at each backlog; what ends the wait; and that neither direction grows meanwhile.
#![cfg(feature = "tokio")]

use crate::{common, heap, support};

use common::{BOTH, close_body, frame, head, other, split};
use core::time::Duration;
use fullduplex::{
    CloseCode, Config, Error, FlushPolicy, IntoMessage, Keepalive, Message, Role, SendError,
    SendErrorReason, TimeoutError, blocking,
    tokio::{Broadcast, Reader, SlowConsumer, WebSocket, Writer},
};
use heap::measure;
use std::io::{ErrorKind, Write};
use support::{Script, Step, paused, poll_times, quiet, tcp_pair, watchdog};
use tokio::{
    io::{DuplexStream, duplex},
    time::timeout,
};

const MARK: usize = 100;
const LIMIT: usize = 1_000;

/// Backlogs under the mark, from the mark on and from the limit on.
const BACKLOGS: [(&str, &[usize]); 3] =
    [("under", &[0, MARK - 1]), ("mark", &[MARK, LIMIT - 1]), ("limit", &[LIMIT, 2 * LIMIT])];

fn config() -> Config {
    quiet().unsent_mark(MARK).max_unsent(LIMIT)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Returns,
    /// A future that is pending, or a call that would block.
    Waits,
    Refused,
}
use Outcome::{Refused, Returns, Waits};

/// What may be called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Ready,
    Send,
    Fragment,
    Feed,
    Ping,
    Flush,
    Close,
}

impl Call {
    /// The frame that it queues, as `split` gives it.
    fn frame(self) -> (u8, Vec<u8>) {
        match self {
            Self::Send | Self::Feed => (0x81, b"more".to_vec()),
            Self::Fragment => (0x01, b"more".to_vec()),
            Self::Ping => (0x89, b"more".to_vec()),
            Self::Close => (0x88, close_body(1000, "more")),
            Self::Ready | Self::Flush => panic!("it queues nothing"),
        }
    }
}

/// A connection in some adapter, over a script.
enum Conn {
    Tokio(WebSocket<Script>),
    Halves(Reader<Script>, Writer<Script>),
    /// Its stream says `WouldBlock` where it would block.
    Blocking(blocking::WebSocket<Script>),
}

fn polled<T>(future: impl Future<Output = Result<T, Error>>) -> Outcome {
    match poll_times(future, 5) {
        Some(Ok(_)) => Returns,
        Some(Err(error)) => panic!("{error:?}"),
        None => Waits,
    }
}

fn blocked<T>(result: Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Returns,
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Waits,
        Err(error) => panic!("{error:?}"),
    }
}

/// A call that may wait; with `await`, of an async adapter.
macro_rules! waits {
    ($call:expr, $conn:expr $(, $wait:tt)?) => {
        match $call {
            Call::Ready => $conn.ready()$(.$wait)?,
            Call::Send => $conn.send("more")$(.$wait)?,
            Call::Fragment => $conn.send_fragment("more", false)$(.$wait)?,
            Call::Ping => $conn.ping("more")$(.$wait)?,
            Call::Flush => $conn.flush()$(.$wait)?,
            Call::Close => $conn.close((CloseCode::NORMAL, "more"))$(.$wait)?,
            Call::Feed => unreachable!("it never waits"),
        }
    };
}

impl Conn {
    /// All adapters, each over a script that takes nothing.
    fn all(role: Role, config: &Config) -> [(Self, Script); 3] {
        let script = || {
            let script = Script::new();
            script.state().writes.push_back(Step::Stall);
            script
        };
        let [one, two, three] = [script(), script(), script()];
        let (reader, writer) = WebSocket::from_parts(two.clone(), role, config.clone(), []).split();
        [
            (Self::Tokio(WebSocket::from_parts(one.clone(), role, config.clone(), [])), one),
            (Self::Halves(reader, writer), two),
            (
                Self::Blocking(blocking::WebSocket::from_parts(
                    three.clone(),
                    role,
                    config.clone(),
                    [],
                )),
                three,
            ),
        ]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Tokio(_) => "tokio",
            Self::Halves(..) => "halves",
            Self::Blocking(_) => "blocking",
        }
    }

    fn call(&mut self, call: Call) -> Outcome {
        match self {
            _ if call == Call::Feed => match self.feed("more") {
                Ok(()) => Returns,
                Err(error) => {
                    assert_eq!(error.reason, SendErrorReason::Full);
                    assert_eq!(error.message, "more", "it is handed back");
                    Refused
                }
            },
            Self::Tokio(ws) => polled(async { waits!(call, ws, await) }),
            Self::Halves(_, writer) => polled(async { waits!(call, writer, await) }),
            Self::Blocking(ws) => blocked(waits!(call, ws)),
        }
    }

    fn feed(&mut self, message: impl IntoMessage) -> Result<(), SendError> {
        match self {
            Self::Tokio(ws) => ws.feed(message),
            Self::Halves(_, writer) => writer.feed(message),
            Self::Blocking(ws) => ws.feed(message),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Tokio(ws) => ws.is_ready(),
            Self::Halves(_, writer) => writer.is_ready(),
            Self::Blocking(ws) => ws.is_ready(),
        }
    }

    fn unsent(&self) -> u64 {
        match self {
            Self::Tokio(ws) => ws.unsent().bytes,
            Self::Halves(_, writer) => writer.unsent().bytes,
            Self::Blocking(ws) => ws.unsent().bytes,
        }
    }

    /// The next message, if there is one without waiting.
    fn recv(&mut self) -> Option<Message> {
        match self {
            Self::Tokio(ws) => poll_times(ws.recv(), 5).and_then(|it| it.unwrap()),
            Self::Halves(reader, _) => poll_times(reader.recv(), 5).and_then(|it| it.unwrap()),
            Self::Blocking(ws) => ws.recv().ok().flatten(),
        }
    }
}

/// A message that makes a backlog of this many bytes.
fn filling(role: Role, backlog: usize) -> Option<Message> {
    let fits =
        |payload: &usize| head(other(role), 0x82, *payload as u64).len() + payload == backlog;
    let payload = (backlog.saturating_sub(14)..backlog).find(fits)?;
    Some(Message::from(vec![7; payload]))
}

/// One row: what a call does under the mark, from the mark on and from the limit on, and whether what
/// it sends is queued. Whatever is queued is written, once, when the peer goes on.
fn row(call: Call, config: &Config, expected: [(Outcome, bool); 3]) {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        for ((column, backlogs), (outcome, queues)) in BACKLOGS.into_iter().zip(expected) {
            for backlog in backlogs {
                for (mut conn, script) in Conn::all(role, config) {
                    let what = format!("{}, {role:?}, {column}: {backlog}", conn.name());
                    let filling = filling(role, *backlog);
                    filling.iter().for_each(|message| conn.feed(message.clone()).unwrap());
                    assert_eq!(conn.unsent(), *backlog as u64, "{what}");
                    assert_eq!(conn.is_ready(), column == "under", "{what}");
                    let outcome = match call {
                        Call::Flush if *backlog == 0 => Returns,
                        _ => outcome,
                    };
                    assert_eq!(conn.call(call), outcome, "{what}");
                    assert_eq!(conn.unsent() > *backlog as u64, queues, "{what}");
                    assert_eq!(script.state().written, [], "{what}");
                    // The peer goes on.
                    script.go_on(|state| state.writes.clear());
                    if call == Call::Close {
                        script.arrive(frame(role, 0x88, &close_body(1000, "")));
                        script.end();
                        assert_eq!(conn.call(Call::Close), Returns, "{what}");
                    } else {
                        assert_eq!(conn.call(Call::Flush), Returns, "{what}");
                    }
                    let mut frames = split(role, &script.written());
                    assert_eq!(queues.then(|| frames.pop().unwrap()), queues.then(|| call.frame()));
                    let filling = filling.map(|message| (0x82, message.as_bytes().to_vec()));
                    assert_eq!(frames, Vec::from_iter(filling), "{what}");
                }
            }
        }
    }
}

#[test]
fn ready() {
    row(Call::Ready, &config(), [(Returns, false), (Waits, false), (Waits, false)]);
}

#[test]
fn send() {
    row(Call::Send, &config(), [(Waits, true), (Waits, false), (Waits, false)]);
}

#[test]
fn send_before_wait() {
    let config = config().flush_policy(FlushPolicy::BeforeWait);
    row(Call::Send, &config, [(Returns, true), (Waits, false), (Waits, false)]);
}

#[test]
fn send_fragment() {
    row(Call::Fragment, &config(), [(Waits, true), (Waits, false), (Waits, false)]);
}

#[test]
fn feed() {
    row(Call::Feed, &config(), [(Returns, true), (Returns, true), (Refused, false)]);
}

#[test]
fn ping() {
    row(Call::Ping, &config(), [(Waits, true), (Waits, false), (Waits, false)]);
}

#[test]
fn flush() {
    row(Call::Flush, &config(), [(Waits, false), (Waits, false), (Waits, false)]);
}

#[test]
fn close() {
    row(Call::Close, &config(), [(Waits, true), (Waits, true), (Waits, true)]);
}

/// Whatever waits, what comes is given, and pings are answered: the first ones, and the newest.
#[test]
fn recv() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        for backlog in BACKLOGS.into_iter().flat_map(|(_, backlogs)| backlogs) {
            for (mut conn, script) in Conn::all(role, &config()) {
                let what = format!("{}, {role:?}, {backlog}", conn.name());
                let filling = filling(role, *backlog);
                filling.iter().for_each(|message| conn.feed(message.clone()).unwrap());
                for i in 0..1_000_u32 {
                    script.arrive(frame(role, 0x89, &i.to_be_bytes()));
                    script.arrive(frame(role, 0x81, i.to_string().as_bytes()));
                }
                for i in 0..1_000 {
                    assert_eq!(conn.recv(), Some(i.to_string().into()), "{what}");
                }
                assert_eq!(conn.recv(), None, "{what}");
                assert!(conn.unsent() as usize <= backlog + 17 * 10, "{what}");
                script.go_on(|state| state.writes.clear());
                assert_eq!(conn.call(Call::Flush), Returns, "{what}");
                let frames = split(role, &script.written());
                let pongs = frames.iter().filter(|(first, _)| *first == 0x8a);
                let ids = pongs.map(|(_, id)| u32::from_be_bytes(id[..].try_into().unwrap()));
                assert_eq!(Vec::from_iter(ids), Vec::from_iter((0..16).chain([999])), "{what}");
                assert_eq!(frames.len(), 17 + usize::from(*backlog > 0), "{what}");
            }
        }
    }
}

/// From the mark on the handler is not called, and nothing is read.
#[test]
fn run() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        for (column, backlogs) in BACKLOGS {
            for backlog in backlogs {
                for (mut conn, script) in Conn::all(role, &config()) {
                    let what = format!("{}, {role:?}, {backlog}", conn.name());
                    let filling = filling(role, *backlog);
                    filling.iter().for_each(|message| conn.feed(message.clone()).unwrap());
                    script.arrive(frame(role, 0x81, b"text"));
                    let mut handled = 0;
                    let handle = |_: fullduplex::Incoming<'_>, _: &mut fullduplex::Outgoing<'_>| {
                        handled += 1;
                        Ok(())
                    };
                    let outcome = match &mut conn {
                        Conn::Tokio(ws) => polled(ws.run(handle)),
                        Conn::Blocking(ws) => blocked(ws.run(handle)),
                        Conn::Halves(..) => continue, // they have none
                    };
                    assert_eq!(outcome, Waits, "{what}");
                    let runs = column == "under";
                    assert_eq!(handled, usize::from(runs), "{what}");
                    assert_eq!(script.state().read_calls, usize::from(runs), "{what}");
                }
            }
        }
    }
}

/// What a group does with a member that takes nothing.
#[test]
fn broadcast_send() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let again = CloseCode::TRY_AGAIN_LATER;
    for slow in [
        SlowConsumer::Wait,
        SlowConsumer::DropMessage,
        SlowConsumer::KeepLatest,
        SlowConsumer::Disconnect(again),
    ] {
        for role in BOTH {
            for (column, backlogs) in BACKLOGS {
                for backlog in backlogs {
                    let script = Script::new();
                    script.state().writes.push_back(Step::Stall);
                    let ws = WebSocket::from_parts(script.clone(), role, config(), []);
                    let (_reader, writer) = ws.split();
                    let filling = filling(role, *backlog);
                    filling.iter().for_each(|message| writer.feed(message.clone()).unwrap());
                    let other = writer.clone();
                    let room = Broadcast::new(slow);
                    let member = room.join(writer).detach();
                    let delivery = poll_times(room.send("more"), 5);
                    let what = format!("{slow:?}, {role:?}, {backlog}: {delivery:?}");
                    let counts =
                        delivery.map(|it| (it.sent + it.kept, it.dropped, it.disconnected));
                    let (expected, stays) = match slow {
                        _ if column == "under" => (Some((1, 0, 0)), true),
                        SlowConsumer::Wait => (None, true),
                        SlowConsumer::DropMessage => (Some((0, 1, 0)), true),
                        SlowConsumer::KeepLatest => (Some((1, 0, 0)), true),
                        _ => (Some((0, 0, 1)), false),
                    };
                    let keeps = slow == SlowConsumer::KeepLatest && column != "under";
                    assert_eq!(delivery.map_or(0, |it| it.kept), usize::from(keeps), "{what}");
                    assert_eq!(counts, expected, "{what}");
                    assert_eq!(room.missed(member).is_some(), stays, "{what}");
                    script.go_on(|state| state.writes.clear());
                    assert!(support::run(other.flush()).is_ok(), "{what}");
                    let last = split(role, &script.written()).pop();
                    match expected {
                        Some((1, ..)) => assert_eq!(last, Some((0x81, b"more".to_vec())), "{what}"),
                        Some((_, _, 1)) => {
                            assert_eq!(last, Some((0x88, close_body(1013, ""))), "{what}");
                        }
                        _ => {
                            let filling =
                                filling.map(|message| (0x82, message.as_bytes().to_vec()));
                            assert_eq!(last, filling, "{what}");
                        }
                    }
                }
            }
        }
    }
}

/// While nobody receives, what comes stays where it is: nothing is read, or by a writer whose reader
/// is there, one buffer. Neither direction grows.
#[test]
fn nothing_is_taken_that_nobody_receives() {
    const READ: usize = 64 << 10;
    const COMES: usize = 16 << 20;
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        for pings in [false, true] {
            let mut comes = Vec::with_capacity(COMES);
            while comes.len() < COMES {
                if pings && comes.len() < 100_000 {
                    comes.extend(frame(role, 0x89, b"ping"));
                }
                if !pings || comes.len() >= 100_000 {
                    comes.extend(frame(role, 0x82, &[7; 1_000]));
                }
            }
            for (mut conn, script) in Conn::all(role, &config()) {
                let what = format!("{}, {role:?}, pings first: {pings}", conn.name());
                script.arrive(comes.clone());
                let (_, heap) = measure(|| {
                    for call in [Call::Send, Call::Ready, Call::Ping, Call::Flush] {
                        for _ in 0..100 {
                            let _ = conn.call(call);
                        }
                    }
                });
                let left = match script.state().reads.front() {
                    Some(Step::Bytes(bytes)) => bytes.len(),
                    other => panic!("{other:?}"),
                };
                let read = comes.len() - left;
                match conn {
                    Conn::Halves(..) => {
                        // The pings in front of the first message are answered.
                        let front = if pings { 100_000 } else { 0 };
                        assert!(read <= front + 2 * READ, "{what}: {read}");
                    }
                    _ => assert_eq!(script.state().read_calls, 0, "{what}"),
                }
                // The script moves what is left when it gives some: that is not ours.
                let ours = heap.kept + (comes.len() - left) as isize;
                assert!(ours < 4 * READ as isize, "{what}: {ours}, {heap:?}");
                assert!(conn.unsent() < 1_000, "{what}");
                // And it is all there for whoever receives then.
                assert_eq!(conn.recv().map(|message| message.as_bytes().len()), Some(1_000));
            }
        }
    }
}

/// At the limit, and with more and more pings: the newest is answered, the Close goes out behind all
/// that was accepted, and that once.
#[test]
fn control_frames_at_the_limit() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        for (mut conn, script) in Conn::all(role, &config()) {
            let mut accepted = 0;
            while conn.call(Call::Feed) == Returns {
                accepted += 1;
            }
            for i in 0..500_u32 {
                script.arrive(frame(role, 0x89, &i.to_be_bytes()));
                assert_eq!(conn.recv(), None);
                if conn.call(Call::Feed) == Returns {
                    accepted += 1;
                }
                if i % 100 == 99 {
                    script.go_on(|state| state.writes = [Step::Count(40), Step::Stall].into());
                }
            }
            assert_eq!(conn.call(Call::Close), Waits);
            script.go_on(|state| state.writes.clear());
            script.arrive(frame(role, 0x88, &close_body(1000, "")));
            script.end();
            assert_eq!(conn.call(Call::Close), Returns);
            let frames = split(role, &script.written());
            let count = |wanted: u8| frames.iter().filter(|(first, _)| *first == wanted).count();
            assert_eq!((count(0x81), count(0x88)), (accepted, 1), "{}", conn.name());
            assert_eq!(frames.last().unwrap().0, 0x88);
            let newest = frames.iter().rfind(|(first, _)| *first == 0x8a);
            assert_eq!(newest.unwrap().1, 499_u32.to_be_bytes(), "{}", conn.name());
        }
    }
}

fn joined(config: Config) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(64);
    (
        WebSocket::from_parts(a, Role::Server, config.clone(), []),
        WebSocket::from_parts(b, Role::Client, config, []),
    )
}

fn pong_timeout<T: core::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Timeout(TimeoutError::Pong))), "{result:?}");
}

/// Whether this is the error of somebody who waited for room.
fn gives_up(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Timeout(TimeoutError::Pong)))
}

/// Default deadlines end every wait, and whoever receives is told why.
#[tokio::test(start_paused = true)]
async fn keepalive_ends_each_wait() {
    let _watchdog = watchdog();
    for call in [Call::Ready, Call::Send, Call::Fragment, Call::Ping, Call::Flush] {
        for halves in [false, true] {
            let (ours, _theirs) = duplex(64);
            let start = tokio::time::Instant::now();
            let mut ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
            ws.feed(vec![0; MIB]).unwrap();
            let told = if halves {
                let (mut reader, writer) = ws.split();
                let (result, told) =
                    tokio::join!(async { waits!(call, writer, await) }, reader.recv());
                assert!(gives_up(&result), "{call:?}: {result:?}");
                told
            } else {
                let result = waits!(call, ws, await);
                assert!(gives_up(&result), "{call:?}: {result:?}");
                ws.recv().await
            };
            pong_timeout(told);
            let lasted = start.elapsed();
            assert!((50..=57).contains(&lasted.as_secs()), "{call:?}: {lasted:?}");
        }
    }
}

const MIB: usize = 1 << 20;

/// The deadlock of two, which keepalive ends, and the ways out of it.
#[tokio::test(start_paused = true)]
async fn both_ends_send() {
    let _watchdog = watchdog();
    let (mut a, mut b) = joined(Config::default());
    let (one, other) = tokio::join!(a.send(vec![0; MIB]), b.send(vec![0; MIB]));
    pong_timeout(one);
    assert!(other.is_err(), "{other:?}");

    // One of them receives.
    let (a, mut b) = joined(Config::default());
    let (mut reader, writer) = a.split();
    let (sent, received, other) = tokio::join!(writer.send(vec![1; MIB]), reader.recv(), async {
        b.send(vec![2; MIB]).await.unwrap();
        b.recv().await.unwrap()
    });
    sent.unwrap();
    assert_eq!(received.unwrap(), Some(vec![2; MIB].into()));
    assert_eq!(other, Some(vec![1; MIB].into()));

    // `feed`, then receive.
    let (mut a, mut b) = joined(Config::default());
    a.feed(vec![1; MIB]).unwrap();
    let (received, ()) = tokio::join!(a.recv(), async { b.send(vec![2; MIB]).await.unwrap() });
    assert_eq!(received.unwrap(), Some(vec![2; MIB].into()));

    // Both answer with more than they got: each stops reading at the mark.
    let (mut a, mut b) = joined(Config::default());
    a.feed("x").unwrap();
    let (one, other) = tokio::join!(
        a.run(|message, out| {
            out.feed(message)?;
            out.feed(vec![0; 1_000])
        }),
        b.run(|message, out| {
            out.feed(message)?;
            out.feed(vec![0; 1_000])
        }),
    );
    pong_timeout(one);
    assert!(other.is_err(), "{other:?}");
}

/// A peer that takes nothing and goes on sending is not silent to whoever receives.
#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_and_does_not_take() {
    let _watchdog = watchdog();
    let sending = |peer: DuplexStream| {
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let (_deaf, mut peer) = tokio::io::split(peer);
            while peer.write_all(&frame(Role::Server, 0x81, b"text")).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        })
    };
    // Nobody receives: to us it is silent.
    let (ours, peer) = duplex(64);
    let mut ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
    let peer = sending(peer);
    pong_timeout(ws.send(vec![0; MIB]).await);
    drop(ws);
    peer.await.unwrap();

    let (ours, peer) = duplex(64);
    let ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
    let peer = sending(peer);
    let (mut reader, writer) = ws.split();
    let receiving =
        tokio::spawn(async move { while reader.recv().await.is_ok_and(|it| it.is_some()) {} });
    let waited = timeout(Duration::from_secs(3_600), writer.send(vec![0; MIB])).await;
    assert!(waited.is_err(), "{waited:?}");
    // What always ends.
    let end = writer.close(CloseCode::NORMAL).await;
    assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
    receiving.await.unwrap();
    drop(writer);
    peer.await.unwrap();
}

/// The same rows on threads, where a wait ends with a deadline that is short.
#[test]
fn blocking_calls_wait_until_a_deadline() {
    let _watchdog = watchdog();
    let keepalive = Keepalive::every(Duration::from_millis(20))
        .pong_timeout(Duration::from_millis(20))
        .slowest_path(u32::MAX);
    let config = || config().keepalive(keepalive).close_timeout(Duration::from_millis(20));
    // More than the operating system takes.
    let huge = || Message::from(vec![7; 64 << 20]);
    for call in [Call::Ready, Call::Send, Call::Fragment, Call::Ping, Call::Flush, Call::Close] {
        for halves in [false, true] {
            let (ours, _theirs) = tcp_pair();
            let mut ws = blocking::WebSocket::from_parts(ours, Role::Server, config(), []);
            ws.feed(huge()).unwrap();
            let (result, unsent) = if halves {
                let (_reader, writer) = ws.split();
                (waits!(call, writer), writer.unsent())
            } else {
                (waits!(call, ws), ws.unsent())
            };
            let what = format!("{call:?}, halves: {halves}: {result:?}");
            match call {
                Call::Close => {
                    assert!(matches!(result, Err(Error::Timeout(TimeoutError::Close))), "{what}");
                }
                Call::Flush => {
                    assert!(matches!(result, Err(Error::Timeout(TimeoutError::Pong))), "{what}");
                }
                // To whom it is given up before there is room.
                _ => assert!(gives_up(&result), "{what}"),
            }
            assert_eq!(unsent.messages, 1, "{what}: nothing was queued behind it");
        }
    }
}

/// On threads an unsplit `recv` is in a write first, until some deadline has it look up; a reader
/// is not.
#[test]
fn a_blocking_recv_writes_first() {
    let _watchdog = watchdog();
    let huge = || Message::from(vec![7; 64 << 20]);
    for halves in [false, true] {
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(&frame(Role::Server, 0x81, b"text")).unwrap();
        let config = match halves {
            true => quiet(),
            false => Config::default().keepalive(Keepalive::every(Duration::from_millis(100))),
        };
        let mut ws = blocking::WebSocket::from_parts(ours, Role::Server, config, []);
        ws.feed(huge()).unwrap();
        if halves {
            let (mut reader, _writer) = ws.split();
            assert_eq!(reader.recv().unwrap(), Some("text".into()));
        } else {
            assert_eq!(ws.recv().unwrap(), Some("text".into()));
        }
    }
}

/// ... and without a deadline for as long as the peer takes nothing.
#[test]
#[should_panic(expected = "it blocks for ever")]
fn a_blocking_recv_without_deadlines_waits_in_a_write() {
    let script = Script::reading([Step::Bytes(frame(Role::Server, 0x81, b"text"))]);
    script.state().writes.push_back(Step::Stall);
    script.state().blocking = true;
    let mut ws = blocking::WebSocket::from_parts(script, Role::Server, quiet(), []);
    ws.feed("waits").unwrap();
    let _ = ws.recv();
}
