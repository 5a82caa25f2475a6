//! Time: keepalive, idle timeout, close deadline (RFC 6455 §5.5.2, §5.5.3 and §7). All of it is
//! virtual: a clock is a number.

use crate::common;

use common::{
    BOTH, Random, Seen, close_codes, connection, drain, frame, frames, head, pair::Pair, receive,
    seconds, sent, watch,
};
use core::time::Duration;
use fullduplex::{
    Closed, Config, Connection, Input, Keepalive, Role, Time, TimeoutError, Transport,
    frame::ControlPayload,
};

/// What a connection did on the way, with the second in which it did it.
#[derive(Clone, Debug, PartialEq)]
enum Did {
    Ping(f64, Vec<u8>),
    TimedOut(f64, TimeoutError),
}

/// A connection that is told the time whenever it asks for it.
struct Timed {
    connection: Connection,
    now: Time,
    did: Vec<Did>,
    /// Whether what it wants to write is written.
    writes: bool,
    looks: u32,
}

impl Timed {
    fn new(role: Role, config: Config) -> Self {
        let connection = connection(role, config);
        Self { connection, now: seconds(1000.0), did: Vec::new(), writes: true, looks: 0 }
    }

    fn elapsed(&self) -> f64 {
        self.now.saturating_since(seconds(1000.0)).as_secs_f64()
    }

    /// Goes on to the second `to`, counted from the start.
    fn until(&mut self, to: f64) -> &mut Self {
        let end = seconds(1000.0 + to);
        let mut standstill = 0;
        loop {
            self.write();
            let Some(at) = self.connection.poll_timeout().filter(|at| *at <= end) else { break };
            standstill = if at > self.now { 0 } else { standstill + 1 };
            assert!(standstill < 5, "asks for the time again and again at {:?}", self.now);
            self.now = self.now.max(at);
            self.look();
        }
        self.now = end;
        self.write();
        self
    }

    fn look(&mut self) {
        self.looks += 1;
        if let Err(error) = self.connection.handle_timeout(self.now) {
            self.did.push(Did::TimedOut(self.elapsed(), error));
        }
    }

    fn write(&mut self) {
        if !self.writes {
            return;
        }
        for (first, payload) in sent(&mut self.connection) {
            if first == 0x89 {
                self.did.push(Did::Ping(self.elapsed(), payload));
            }
        }
    }

    fn receives(&mut self, first: u8, payload: &[u8]) {
        let wire = frame(self.connection.role(), first, payload);
        receive(&mut self.connection, &wire, 1, watch).1.unwrap();
    }

    /// The pings so far, when and with what.
    fn pings(&self) -> Vec<(f64, Vec<u8>)> {
        let ping = |did: &Did| match did {
            Did::Ping(at, payload) => Some((*at, payload.clone())),
            Did::TimedOut(..) => None,
        };
        self.did.iter().filter_map(ping).collect()
    }

    fn timed_out(&self) -> Option<(f64, TimeoutError)> {
        let mut errors = self.did.iter().filter_map(|did| match did {
            Did::TimedOut(at, error) => Some((*at, *error)),
            Did::Ping(..) => None,
        });
        let first = errors.next();
        assert_eq!(errors.next(), None, "once");
        first
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn keepalive(interval: u64, pong_timeout: u64) -> Config {
    Config::default().keepalive(Keepalive::every(secs(interval)).pong_timeout(secs(pong_timeout)))
}

#[test]
fn everything_is_off_by_default() {
    let off = keepalive(1, 1).no_keepalive();
    for config in [Config::default(), Config::default().no_keepalive(), off] {
        for role in BOTH {
            let mut timed = Timed::new(role, config.clone());
            timed.receives(0x81, b"hello");
            timed.connection.feed("hello").unwrap();
            timed.until(1e6);
            assert_eq!((timed.did.len(), timed.looks), (0, 0));
        }
    }
}

/// Whoever never tells the time has a connection without timers, and nothing else is missing.
#[test]
fn the_time_need_not_be_told() {
    for role in BOTH {
        let config = keepalive(1, 1).idle_timeout(secs(1)).close_timeout(secs(1));
        let mut connection = connection(role, config);
        for _ in 0..100 {
            connection.feed("hello").unwrap();
            let (events, _) = receive(&mut connection, &frame(role, 0x89, b"?"), 1, watch);
            assert_eq!(events, [Seen::Ping(b"?".into())]);
            assert_eq!(sent(&mut connection).len(), 2);
        }
        receive(&mut connection, &frame(role, 0x88, b""), 1, watch).1.unwrap();
        drain(&mut connection);
        if role == Role::Server {
            assert_eq!(connection.transport(), Transport::ShutDown);
            connection.shutdown_complete();
        }
        connection.receive_eof();
        assert!(connection.closed().unwrap().is_clean());
    }
}

/// The epoch as a deadline means at once: the timer is not running yet. Once the time is told it
/// is, and it asks for a time to come.
#[test]
fn timers_start_when_the_time_is_told() {
    let configs = [
        ("keepalive", keepalive(100, 20)),
        ("idle", Config::default().idle_timeout(secs(100))),
        ("both", keepalive(100, 20).idle_timeout(secs(100))),
    ];
    for (name, config) in configs {
        let mut connection = connection(Role::Server, config);
        assert!(connection.wants_time(), "{name}");
        let now = seconds(1e9);
        assert_eq!(connection.handle_timeout(now), Ok(()), "{name}");
        assert!(connection.outbox().is_empty(), "{name}");
        let next = connection.poll_timeout().unwrap();
        assert!(now < next && next <= now + secs(100), "{name}: {next:?}");
    }
    let mut connection = connection(Role::Server, Config::default());
    connection.start_close(None).unwrap();
    assert!(connection.wants_time());
    assert_eq!(connection.handle_timeout(seconds(1e9)), Ok(()));
    assert_eq!(connection.poll_timeout(), Some(seconds(1e9) + secs(4)), "the last call");
    assert_eq!(connection.handle_timeout(seconds(1e9) + secs(4)), Ok(()));
    assert_eq!(connection.poll_timeout(), Some(seconds(1e9) + secs(5)));
}

// Keepalive

/// The promise of [`Keepalive`]: between one interval and one and a quarter of silence, whenever
/// the last byte came.
#[test]
fn ping_after_an_interval_of_silence_and_at_most_a_quarter_more() {
    for last in 0..=120 {
        let last = f64::from(last);
        let mut timed = Timed::new(Role::Server, keepalive(100, 20));
        timed.until(last);
        if timed.pings().is_empty() {
            timed.receives(0x8a, b"");
            timed.until(last + 126.0);
            let silent = timed.pings()[0].0 - last;
            assert!((100.0..=125.001).contains(&silent), "last at {last}: silent for {silent}");
        }
    }
}

/// The same with traffic at any times, and with looks at any other times.
#[test]
fn ping_is_on_time_after_any_traffic() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut timed = Timed::new(Role::Client, keepalive(100, 20));
        let mut last = 0.0;
        for _ in 0..random.below(20) {
            let next = last + random.below(99) as f64;
            while timed.elapsed() < next && random.below(3) > 0 {
                timed.until(next.min(timed.elapsed() + random.below(40) as f64));
                timed.look();
            }
            last = next;
            timed.until(last);
            timed.receives(0x89, b"");
            assert_eq!(timed.pings(), [], "seed {seed}: pinged though it was not silent");
        }
        timed.until(last + 126.0);
        let silent = timed.pings()[0].0 - last;
        assert!((100.0..=125.001).contains(&silent), "seed {seed}: silent for {silent}");
    }
}

/// Anything that comes is a sign of life, a single byte of a frame too.
#[test]
fn every_byte_interrupts_the_silence() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    let wire = frame(Role::Server, 0x82, &[7; 50]);
    for (i, byte) in wire.iter().enumerate() {
        timed.until(90.0 * (i + 1) as f64);
        receive(&mut timed.connection, &[*byte], 1, watch).1.unwrap();
    }
    assert_eq!(timed.did, []);
}

/// What is sent from here is none.
#[test]
fn sending_does_not_interrupt_the_silence() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    for second in 0..=101 {
        timed.until(f64::from(second));
        timed.connection.feed("alive").unwrap();
        timed.connection.ping(ControlPayload::EMPTY).unwrap();
    }
    let own = timed.pings().into_iter().filter(|(_, payload)| payload.is_empty()).count();
    assert_eq!(timed.pings().len(), own + 1);
}

/// From the ping having been written to its pong, and to nothing else.
#[test]
fn the_round_trip_is_measured() {
    for role in BOTH {
        let mut timed = Timed::new(role, keepalive(100, 20));
        timed.until(99.0);
        assert_eq!(timed.connection.round_trip(), None);
        timed.until(110.0);
        let (at, payload) = timed.pings()[0].clone();
        timed.receives(0x8a, b"another");
        timed.receives(0x82, &payload);
        timed.until(at + 12.0);
        assert_eq!(timed.connection.round_trip(), None, "{role:?}: it was not answered yet");
        timed.receives(0x8a, &payload);
        assert!(timed.connection.wants_time(), "to be noted at once");
        assert_eq!(timed.connection.round_trip(), None, "{role:?}: nobody told the time");
        timed.look();
        assert_eq!(timed.connection.round_trip(), Some(secs(12)), "{role:?}");
        assert_eq!(timed.connection.stats().round_trip, Some(secs(12)));
        // A second pong, and pings of the caller's, mean nothing.
        timed.until(at + 15.0);
        timed.receives(0x8a, &payload);
        timed.connection.ping(ControlPayload::new(b"mine").unwrap()).unwrap();
        timed.until(at + 16.0);
        timed.receives(0x8a, b"mine");
        timed.until(at + 17.0);
        assert_eq!(timed.connection.round_trip(), Some(secs(12)), "{role:?}");
        // The newest counts, and one that is under way does not hide the last.
        timed.until(at + 17.0 + 126.0);
        let (at, payload) = timed.pings().pop().unwrap();
        assert_eq!(timed.connection.round_trip(), Some(secs(12)), "{role:?}");
        timed.until(at + 19.0);
        timed.receives(0x8a, &payload);
        timed.until(at + 30.0);
        assert_eq!(timed.connection.round_trip(), Some(secs(19)), "{role:?}");
        // It outlives the connection, and nothing more is asked for.
        timed.connection.transport_failed();
        assert_eq!(timed.connection.round_trip(), Some(secs(19)), "{role:?}");
        assert_eq!(timed.connection.poll_timeout(), None);
    }
}

/// A ping waits behind a backlog: that is not the peer's time. The time of one that was written
/// and answered before anybody told the time is not known.
#[test]
fn a_round_trip_starts_with_the_write() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.until(99.0);
    timed.writes = false;
    timed.until(105.0);
    timed.look(); // somebody looks though nothing is due
    timed.until(110.0);
    timed.writes = true;
    timed.write();
    timed.look();
    let (at, payload) = timed.pings()[0].clone();
    assert_eq!(at, 110.0);
    timed.until(111.0);
    timed.receives(0x8a, &payload);
    timed.look();
    assert_eq!(timed.connection.round_trip(), Some(secs(1)));

    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.until(99.0);
    timed.writes = false;
    timed.until(101.0);
    let ping = sent(&mut timed.connection).remove(0);
    timed.receives(0x8a, &ping.1);
    timed.until(105.0);
    assert_eq!(timed.connection.round_trip(), None);
    timed.writes = true;
    timed.until(1e3);
    assert_ne!(timed.timed_out(), None, "keepalive goes on");
}

/// §5.5.3: a round trip is that of the pong with the payload of the ping. But whatever comes is life,
/// a pong or not (A14: real devices send data and never a pong).
#[test]
fn section_5_5_3_the_pong_is_matched_and_anything_is_life() {
    type Answer = fn(&[u8]) -> Vec<(u8, Vec<u8>)>;
    let cases: [(&str, Answer, bool, bool); 8] = [
        ("its pong", |ping| vec![(0x8a, ping.to_vec())], true, true),
        ("its pong after others", |ping| vec![(0x8a, vec![]), (0x8a, ping.to_vec())], true, true),
        ("nothing", |_| vec![], false, false),
        ("an empty pong", |_| vec![(0x8a, vec![])], false, true),
        ("a longer pong", |ping| vec![(0x8a, [ping, b"x"].concat())], false, true),
        ("a shorter pong", |ping| vec![(0x8a, ping[..ping.len() - 1].to_vec())], false, true),
        ("its payload in a ping", |ping| vec![(0x89, ping.to_vec())], false, true),
        ("messages", |ping| vec![(0x81, b"alive".to_vec()), (0x82, ping.to_vec())], false, true),
    ];
    for (name, answer, matched, alive) in cases {
        for role in BOTH {
            let mut timed = Timed::new(role, keepalive(100, 20));
            timed.until(101.0);
            let (at, payload) = timed.pings()[0].clone();
            assert!(!payload.is_empty());
            timed.until(at + 19.0);
            for (first, payload) in answer(&payload) {
                timed.receives(first, &payload);
            }
            timed.until(at + 21.0);
            let expected = (!alive).then_some((at + 20.0, TimeoutError::Pong));
            assert_eq!(timed.timed_out(), expected, "{name}, {role:?}");
            let round_trip = matched.then_some(secs(19));
            assert_eq!(timed.connection.round_trip(), round_trip, "{name}, {role:?}");
            // Silence is measured anew.
            timed.until(at + 19.0 + 126.0);
            assert_eq!(timed.pings().len(), if alive { 2 } else { 1 }, "{name}, {role:?}");
            timed.until(at + 19.0 + 126.0 + 20.0);
            assert!(timed.timed_out().is_some(), "{name}, {role:?}");
        }
    }
}

/// The pong of the ping before is life, and not a round trip of this one.
#[test]
fn section_5_5_3_the_pong_of_an_older_ping_is_no_answer() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.until(101.0);
    let (_, first) = timed.pings()[0].clone();
    timed.receives(0x8a, &first);
    timed.until(202.0);
    let (_, second) = timed.pings()[1].clone();
    assert_ne!(first, second);
    let before = timed.connection.round_trip();
    timed.receives(0x8a, &first);
    timed.until(210.0);
    assert_eq!((timed.connection.round_trip(), timed.timed_out()), (before, None));
    timed.receives(0x8a, &second);
    timed.look();
    assert_ne!(timed.connection.round_trip(), before);
}

/// A pong that answers nothing, sent in advance, is not the answer to what is sent later.
#[test]
fn section_5_5_3_a_pong_in_advance_does_not_count() {
    let mut probe = Timed::new(Role::Server, keepalive(100, 20));
    probe.until(125.0);
    let (_, payload) = probe.pings()[0].clone();
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.until(10.0);
    timed.receives(0x8a, &payload);
    timed.until(99.0);
    // Not even while the ping waits.
    timed.writes = false;
    timed.until(130.0);
    timed.receives(0x8a, &payload);
    timed.writes = true;
    timed.until(149.0);
    assert_eq!(timed.connection.round_trip(), None);
    timed.until(1000.0);
    assert_eq!(timed.timed_out().unwrap().1, TimeoutError::Pong);
}

/// While pongs come the pings go on, one interval or a little more after each pong.
#[test]
fn keepalive_goes_on() {
    let mut timed = Timed::new(Role::Client, keepalive(100, 20));
    let mut answered = 0;
    for second in 0..10_000 {
        timed.until(f64::from(second));
        if let Some((_, payload)) = timed.pings().get(answered).cloned() {
            timed.receives(0x8a, &payload);
            answered += 1;
        }
    }
    assert_eq!(timed.timed_out(), None);
    assert!((80..=100).contains(&answered), "{answered} pings in a hundred intervals");
    assert!(timed.looks < 8 * 100, "{} looks in a hundred intervals", timed.looks);
}

/// The wait for the pong begins when the ping is written.
#[test]
fn pong_timeout_begins_when_the_ping_is_written() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.writes = false;
    timed.until(115.0);
    assert!(!timed.connection.outbox().is_empty());
    timed.writes = true;
    timed.until(200.0);
    let (at, error) = timed.timed_out().unwrap();
    assert_eq!(error, TimeoutError::Pong);
    assert!((135.0..=136.0).contains(&at), "written at 115, given up at {at}");
}

/// A ping behind a backlog that the peer takes, however slowly, is waited for.
#[test]
fn a_slow_peer_is_not_a_dead_one() {
    for role in BOTH {
        let mut timed = Timed::new(role, keepalive(100, 20));
        timed.writes = false;
        timed.connection.feed(vec![0; 10_000]).unwrap();
        for second in 0..1000 {
            timed.until(f64::from(second));
            if second % 15 == 0 {
                timed.connection.outbox().advance(1);
            }
        }
        assert_eq!(timed.did, []);
        // Its last byte went at 990. Now it takes no more.
        timed.until(1100.0);
        let (at, error) = timed.timed_out().unwrap();
        assert_eq!(error, TimeoutError::Pong);
        assert!((1010.0..=1030.0).contains(&at), "given up at {at}");
    }
}

/// A2: a frame that grows is life, whether or not it ends before the next look; and the peer is no
/// longer alive than that.
#[test]
fn a2_a_peer_in_the_middle_of_a_frame_is_not_a_dead_one() {
    for role in BOTH {
        for ends in [false, true] {
            let mut timed = Timed::new(role, keepalive(100, 20));
            timed.until(101.0);
            let (at, _) = timed.pings()[0];
            let wire = frame(role, 0x82, &[7; 50]);
            let (first, rest) = wire.split_at(20);
            timed.until(at + 10.0);
            receive(&mut timed.connection, first, 1, watch).1.unwrap();
            timed.until(at + 19.9);
            let part = if ends { rest } else { &rest[..10] };
            receive(&mut timed.connection, part, 1, watch).1.unwrap();
            let last = timed.elapsed();
            timed.until(last + 100.0);
            assert_eq!(timed.timed_out(), None, "it grew");
            timed.until(last + 1000.0);
            let (at, _) = timed.timed_out().unwrap();
            assert!((last + 120.0..=last + 145.001).contains(&at), "{role:?} {ends}: {at}");
        }
    }
}

/// A2, as it was reported: a frame grows for 20 seconds, its last byte comes 10 ms before the
/// deadline, and the pong 10 ms after it.
#[test]
fn a2_a_frame_that_ends_just_before_the_deadline() {
    let mut timed = Timed::new(Role::Server, Config::default().keepalive(Keepalive::default()));
    timed.until(25.0);
    let (at, payload) = timed.pings()[0].clone();
    let wire = frame(Role::Server, 0x82, &[7; 100]);
    for (i, byte) in wire.iter().enumerate() {
        timed.until(at + 19.99 * (i + 1) as f64 / wire.len() as f64);
        receive(&mut timed.connection, &[*byte], 1, watch).1.unwrap();
    }
    timed.until(at + 20.01);
    timed.receives(0x8a, &payload);
    timed.until(at + 40.0);
    assert_eq!(timed.timed_out(), None);
}

/// A14: a peer that sends a message every second, and pongs late or never, lives.
#[test]
fn a14_a_peer_that_only_sends_lives() {
    for every in [1, 7, 24, 26, 40] {
        let mut timed = Timed::new(Role::Server, Config::default().keepalive(Keepalive::default()));
        for second in (0..10_000).step_by(every) {
            timed.until(second as f64);
            timed.receives(0x81, b"alive");
        }
        assert_eq!(timed.timed_out(), None, "every {every} s");
        let pings = if every < 25 { 0..=0 } else { 1..=10_000 / every };
        assert!(pings.contains(&timed.pings().len()), "{}", timed.pings().len());
        // ... and no longer.
        let last = timed.elapsed();
        timed.until(last + 52.0);
        assert!(timed.timed_out().is_some_and(|(at, _)| at <= last + 51.251), "every {every} s");
    }
}

/// A14: a process that is stopped for 31 seconds, at any time, while a ping is under way: the timers
/// fire before the pong is read, which has lain there.
#[test]
fn a14_a_process_that_was_stopped_reads_before_it_gives_up() {
    for tenth in 0..=200 {
        let mut timed = Timed::new(Role::Server, Config::default().keepalive(Keepalive::default()));
        timed.until(25.0);
        let (at, payload) = timed.pings()[0].clone();
        timed.until(at + f64::from(tenth) / 10.0);
        if timed.timed_out().is_some() {
            assert_eq!(tenth, 200);
            continue;
        }
        // Stopped, and behind that the first look.
        timed.now = seconds(1000.0 + timed.elapsed() + 31.0);
        timed.look();
        assert_eq!(timed.timed_out(), None, "at {tenth}");
        // A second one at the same time changes nothing.
        timed.look();
        assert_eq!(timed.timed_out(), None, "at {tenth}");
        let woken = timed.elapsed();
        // Nothing was there: it is given up, and soon.
        let dead = timed.connection.poll_timeout().unwrap();
        assert!(seconds(1000.0 + woken) < dead && dead <= seconds(1000.0 + woken + 1.0));
        timed.until(woken + 0.9);
        assert_eq!(timed.timed_out(), None, "at {tenth}");
        timed.receives(0x8a, &payload);
        timed.until(woken + 20.0);
        assert_eq!(timed.timed_out(), None, "at {tenth}");
    }
}

/// The same for the other deadlines: messages and the peer's Close lie unread.
#[test]
fn a14_what_lies_unread_counts_for_every_deadline() {
    for tenth in 0..100 {
        let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(10)));
        timed.until(f64::from(tenth) / 10.0);
        timed.now = seconds(1000.0 + timed.elapsed() + 31.0);
        timed.look();
        timed.receives(0x81, b"was there");
        timed.until(timed.elapsed() + 9.0);
        assert_eq!(timed.timed_out(), None, "idle, at {tenth}");

        let mut timed = Timed::new(Role::Client, Config::default().close_timeout(secs(10)));
        timed.connection.start_close(None).unwrap();
        timed.until(f64::from(tenth) / 10.0);
        timed.now = seconds(1000.0 + timed.elapsed() + 31.0);
        timed.look();
        timed.receives(0x88, b"");
        timed.connection.receive_eof();
        assert_eq!(timed.timed_out(), None, "close, at {tenth}");
        assert!(timed.connection.closed().unwrap().is_clean());
    }
}

/// D12: no setting makes a loop: in a second of virtual time there are at most so many looks and pings
/// as there are milliseconds, some times.
#[test]
fn d12_durations_at_their_ends() {
    let short = [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(3), Duration::MAX];
    for role in BOTH {
        for interval in short {
            for wait in short {
                let keepalive = Keepalive::every(interval).pong_timeout(wait);
                let mut timed = Timed::new(role, Config::default().keepalive(keepalive));
                let mut answered = 0;
                for millis in 0..1000 {
                    timed.until(f64::from(millis) / 1000.0);
                    while let Some((_, payload)) = timed.pings().get(answered).cloned() {
                        timed.receives(0x8a, &payload);
                        answered += 1;
                    }
                }
                assert!(timed.looks < 20_000, "{interval:?}, {wait:?}: {} looks", timed.looks);
                assert!(timed.pings().len() <= 1000, "{interval:?}: {}", timed.pings().len());
                assert_eq!(timed.pings().is_empty(), interval == Duration::MAX);
            }
        }
        for timeout in short {
            let mut timed = Timed::new(role, Config::default().idle_timeout(timeout));
            timed.until(1.0);
            assert_eq!(timed.timed_out().is_none(), timeout == Duration::MAX, "{timeout:?}");
            assert!(timed.looks < 10, "{timeout:?}: {}", timed.looks);
            let mut timed = Timed::new(role, Config::default().close_timeout(timeout));
            timed.connection.start_close(None).unwrap();
            timed.until(1.0);
            assert_eq!(timed.timed_out().is_none(), timeout == Duration::MAX, "{timeout:?}");
            assert!(timed.looks < 10, "{timeout:?}: {}", timed.looks);
        }
    }
}

/// A peer that takes nothing at all is dead after the pong timeout.
#[test]
fn a_stalled_backlog_fails() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.writes = false;
    timed.connection.feed(vec![0; 10_000]).unwrap();
    timed.until(500.0);
    let (at, error) = timed.timed_out().unwrap();
    assert_eq!(error, TimeoutError::Pong);
    assert!((120.0..=146.0).contains(&at), "given up at {at}");
}

/// Given up: said once, told the peer with 1011, and then the transport is dropped without
/// waiting for somebody who is not there.
#[test]
fn a_missing_pong_ends_the_connection() {
    for role in BOTH {
        let mut timed = Timed::new(role, keepalive(100, 20));
        timed.until(119.0);
        timed.writes = false;
        timed.until(121.0);
        assert_eq!(timed.timed_out().unwrap().1, TimeoutError::Pong);
        assert_eq!(close_codes(&sent(&mut timed.connection)), [1011]);
        assert_eq!(timed.connection.transport(), Transport::ShutDown);
        timed.connection.shutdown_complete();
        assert_eq!(timed.connection.transport(), Transport::Closed);
        let closed = timed.connection.closed().unwrap();
        assert_eq!((closed, closed.code()), (&Closed::TimedOut(TimeoutError::Pong), 1006));
    }
}

/// A pong that comes with the peer's last breath: once it is read, no timeout is due.
#[test]
fn a_pong_that_was_read_in_time_counts_though_the_look_is_late() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20));
    timed.until(101.0);
    let (_, payload) = timed.pings()[0].clone();
    timed.receives(0x8a, &payload);
    timed.now = seconds(9999.0);
    timed.look();
    assert_eq!(timed.timed_out(), None);
}

/// The interval and the timeout of the documentation.
#[test]
fn keepalive_by_default_is_25_and_20_seconds() {
    let mut timed = Timed::new(Role::Client, Config::default().keepalive(Keepalive::default()));
    timed.until(100.0);
    let (at, _) = timed.pings()[0];
    assert!((25.0..=31.25).contains(&at), "{at}");
    assert_eq!(timed.timed_out(), Some((at + 20.0, TimeoutError::Pong)));
    assert!(at + 20.0 < 60.0, "less than a minute");
}

/// Two ends that ping each other for a day hear nothing of it but each other's pings.
#[test]
fn a_quiet_day() {
    let config = Config::default().keepalive(Keepalive::default());
    let mut pair = Pair::new(&config, &config, 3);
    pair.pass(secs(24 * 3600));
    for role in BOTH {
        let end = pair.end(role);
        assert!(end.connection.is_open() && end.timeouts.is_empty());
        let pings = end.events.iter().filter(|event| matches!(event, Seen::Ping(_))).count();
        let pongs = end.events.iter().filter(|event| matches!(event, Seen::Pong(_))).count();
        assert_eq!(pings + pongs, end.events.len());
        assert!(pings + pongs >= 24 * 3600 / 32, "{pings} pings, {pongs} pongs");
    }
}

// Idle timeout

/// The promise of [`Config::idle_timeout`]: the limit, give or take a quarter, and never less.
#[test]
fn idle_timeout_is_on_time_after_any_message() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(100)));
        let mut last = 0.0;
        for _ in 0..random.below(20) {
            last += random.below(99) as f64;
            timed.until(last);
            if random.below(2) == 0 {
                timed.receives(0x81, b"hello");
            } else {
                timed.connection.feed("hello").unwrap();
            }
        }
        timed.until(last + 126.0);
        let (at, error) = timed.timed_out().unwrap();
        assert_eq!(error, TimeoutError::Idle);
        let silent = at - last;
        assert!((100.0..=125.001).contains(&silent), "seed {seed}: idle for {silent}");
    }
}

/// Pings and pongs, of either side, do not make a connection any less idle.
#[test]
fn control_frames_do_not_count_as_messages() {
    let mut timed = Timed::new(Role::Server, keepalive(10, 5).idle_timeout(secs(100)));
    let mut answered = 0;
    for second in 0..130 {
        timed.until(f64::from(second));
        if !timed.connection.is_open() {
            break;
        }
        timed.receives(0x89, b"ping");
        timed.receives(0x8a, b"pong");
        timed.connection.ping(ControlPayload::EMPTY).unwrap();
        if let Some((_, payload)) = timed.pings().get(answered).cloned() {
            timed.receives(0x8a, &payload);
            answered += 1;
        }
    }
    assert_eq!(timed.timed_out().unwrap().1, TimeoutError::Idle);
}

/// Parts of a message do, however they come: as fragments, with a ping in the same read, in bytes.
#[test]
fn parts_of_a_message_that_come_count() {
    let pieces: [(&str, Vec<u8>); 3] = [
        ("fragments", frame(Role::Server, 0x00, b"part")),
        ("fragments and pings", frames(Role::Server, &[(0x00, b"part"), (0x89, b"ping")])),
        ("bytes", vec![7]),
    ];
    for (name, piece) in pieces {
        let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(100)));
        let start = match name {
            "bytes" => head(Role::Server, 0x82, 1000),
            _ => frame(Role::Server, 0x02, b"first"),
        };
        receive(&mut timed.connection, &start, usize::MAX, watch).1.unwrap();
        for i in 1..20 {
            timed.until(90.0 * f64::from(i));
            receive(&mut timed.connection, &piece, usize::MAX, watch).1.unwrap();
        }
        assert_eq!(timed.did, [], "{name}");
        timed.until(19.0 * 90.0 + 126.0);
        assert_eq!(timed.timed_out().unwrap().1, TimeoutError::Idle, "{name}");
    }
}

/// Also where they are handed on as they come, and are chunks of no message that has ended.
#[test]
fn parts_of_a_message_that_are_handed_on_count() {
    let mut timed = Timed::new(Role::Client, Config::default().idle_timeout(secs(100)));
    let wire = frame(Role::Client, 0x82, &[7; 50]);
    let (mut head, payload) = (wire[..2].to_vec(), &wire[2..]);
    timed.connection.receive_chunk(&mut Input::new(&mut head)).unwrap();
    for (i, byte) in payload.iter().enumerate() {
        timed.until(90.0 * (i + 1) as f64);
        timed.connection.receive_chunk(&mut Input::new(&mut [*byte])).unwrap();
    }
    assert_eq!(timed.did, []);
}

/// A message that is only half there does not make control frames count.
#[test]
fn control_frames_inside_a_message_do_not_count() {
    let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(100)));
    timed.receives(0x02, b"first");
    let ping = frame(Role::Server, 0x89, b"ping");
    for i in 1..13 {
        timed.until(10.0 * f64::from(i));
        if timed.connection.is_open() {
            receive(&mut timed.connection, &ping, 5, watch).1.unwrap();
        }
    }
    timed.until(126.0);
    assert_eq!(timed.timed_out().map(|(_, error)| error), Some(TimeoutError::Idle));
}

/// Parts of a message that go do, so one that takes longer than the timeout arrives.
#[test]
fn parts_of_a_message_that_go_count() {
    let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(100)));
    timed.writes = false;
    timed.connection.feed(vec![0; 1000]).unwrap();
    for i in 1..20 {
        timed.until(70.0 * f64::from(i));
        assert_eq!(timed.did, [], "part {i}");
        timed.connection.outbox().advance(10);
    }
}

/// That one is queued counts, though nothing of it is written yet.
#[test]
fn a_message_that_is_queued_counts() {
    let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(100)));
    timed.writes = false;
    timed.until(90.0);
    timed.connection.feed("first").unwrap();
    timed.until(189.0);
    assert_eq!(timed.timed_out(), None);
    timed.until(1e3);
    assert!(timed.timed_out().is_some_and(|(at, error)| at < 216.0 && error == TimeoutError::Idle));
}

/// A message that only waits is none: the peer takes nothing.
#[test]
fn a_message_that_waits_does_not_count() {
    let mut timed = Timed::new(Role::Server, Config::default().idle_timeout(secs(100)));
    timed.writes = false;
    timed.connection.feed(vec![0; 1000]).unwrap();
    timed.until(300.0);
    assert_eq!(timed.timed_out().map(|(_, error)| error), Some(TimeoutError::Idle));
}

/// Given up: said once, told the peer with 1001, and its end is waited for.
#[test]
fn idleness_ends_the_connection() {
    for role in BOTH {
        let mut timed = Timed::new(role, Config::default().idle_timeout(secs(100)));
        timed.until(99.0);
        timed.writes = false;
        timed.until(103.0);
        assert_eq!(timed.timed_out(), Some((100.0, TimeoutError::Idle)));
        let deadline = Some(seconds(1104.0));
        assert_eq!(timed.connection.poll_timeout(), deadline, "last call of the close deadline");
        assert_eq!(close_codes(&sent(&mut timed.connection)), [1001]);
        assert_eq!(timed.connection.transport(), Transport::ShutDown);
        timed.connection.shutdown_complete();
        assert_eq!(timed.connection.transport(), Transport::AwaitEof);
        timed.connection.receive_eof();
        let closed = Closed::TimedOut(TimeoutError::Idle);
        assert_eq!(timed.connection.closed(), Some(&closed));
    }
}

// The close deadline

/// One deadline, from the first Close to the end of the transport: neither the peer's Close, nor
/// more of what is discarded, nor the shutdown starts it again.
#[test]
fn close_deadline_runs_once() {
    for role in BOTH {
        let mut timed = Timed::new(role, Config::default().close_timeout(secs(10)));
        timed.connection.start_close(None).unwrap();
        timed.until(3.0);
        let deadline = Some(seconds(1009.0)); // the last call
        assert_eq!(timed.connection.poll_timeout(), deadline);
        timed.receives(0x81, b"under way");
        timed.until(6.0);
        timed.receives(0x88, b"");
        assert_eq!(timed.connection.poll_timeout(), deadline);
        timed.until(9.0);
        timed.receives(0x81, b"discarded");
        timed.connection.shutdown_complete();
        timed.look();
        assert_eq!(timed.connection.poll_timeout(), Some(seconds(1010.0)));
        timed.until(9.999);
        assert_eq!(timed.connection.closed(), None);
        timed.until(10.0);
        assert_eq!(timed.did, [], "after both Closes the deadline is no error");
        assert!(timed.connection.closed().unwrap().is_clean());
    }
}

/// While a connection is open no deadline for closing runs, and after the end none at all.
#[test]
fn no_deadline_outlives_the_connection() {
    for role in BOTH {
        let mut timed = Timed::new(role, keepalive(100, 20).idle_timeout(secs(300)));
        timed.until(10.0);
        timed.connection.transport_failed();
        assert_eq!(timed.connection.poll_timeout(), None);
        timed.until(1e6);
        assert_eq!(timed.did, []);
        assert_eq!(timed.connection.closed(), Some(&Closed::Abnormal));
    }
}

/// Keepalive and idleness end where closing begins.
#[test]
fn closing_stops_the_other_timers() {
    let config = keepalive(2, 1).idle_timeout(secs(4)).close_timeout(secs(100));
    let mut timed = Timed::new(Role::Server, config);
    timed.until(1.0);
    timed.connection.start_close(None).unwrap();
    timed.until(99.0);
    assert_eq!(timed.did, []);
    timed.until(200.0);
    assert_eq!(timed.timed_out(), Some((101.0, TimeoutError::Close)));
}

/// "Never" can be said, and the sums do not overflow.
#[test]
fn the_longest_duration_is_never() {
    let never = Duration::MAX;
    let config = Config::default()
        .keepalive(Keepalive::every(never).pong_timeout(never))
        .idle_timeout(never)
        .close_timeout(never);
    let mut connection = connection(Role::Server, config);
    for second in [0.0, 1.0, 1e9, 1e15] {
        assert_eq!(connection.handle_timeout(seconds(second)), Ok(()));
    }
    assert!(connection.outbox().is_empty());
    connection.start_close(None).unwrap();
    for second in [1e15, 1e16] {
        assert_eq!(connection.handle_timeout(seconds(second)), Ok(()));
    }
    assert_eq!(connection.closed(), None);
}

/// Too early is harmless, however often.
#[test]
fn looking_too_early_is_harmless() {
    let mut timed = Timed::new(Role::Server, keepalive(100, 20).idle_timeout(secs(1000)));
    for tenth in 0..1000 {
        timed.until(f64::from(tenth) / 10.0);
        timed.look();
        timed.look();
        assert_eq!(timed.did, []);
    }
}
