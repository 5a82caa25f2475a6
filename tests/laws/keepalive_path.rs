//! Keepalive over a simulated path: a send buffer that is drained at some rate, behind it a delay. No
//! live peer is ever given up, and each dead one within the bound of the documentation. All of it is
//! virtual, and as many cases as `KEEPALIVE_CASES` says.

use crate::common;

use bytes::Bytes;
use common::{BOTH, connection, frame, seconds};
use core::time::Duration;
use fullduplex::{
    Config, Connection, Input, Keepalive, Role, TimeoutError,
    frame::{Header, OpCode},
};
use proptest::prelude::*;
use std::{collections::VecDeque, sync::LazyLock};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

// What the documentation of `Keepalive` says.

const INTERVAL: f64 = 25.0;
const PONG_TIMEOUT: f64 = 20.0;
const CAPACITY: f64 = 4.0 * MIB as f64;
const SLOWEST: f64 = 4.0 * KIB as f64;

/// How long after its last byte a dead peer is found, on an idle connection.
const IDLE: f64 = 1.25 * INTERVAL + PONG_TIMEOUT;

/// How much longer it may take if so many bytes were sent.
fn allowance(sent: f64) -> f64 {
    sent.min(CAPACITY) / SLOWEST
}

/// How much longer it may take if so many bytes per second were sent without a pause.
fn allowance_at(rate: f64) -> f64 {
    (6.0 * INTERVAL).max(10.0 * CAPACITY / rate).min(CAPACITY / SLOWEST)
}

/// What is sent: messages of a size, at a pace.
#[derive(Clone, Copy, Debug)]
struct Plan {
    size: u64,
    count: u64,
    first: f64,
    every: f64,
}

const NOTHING: Plan = Plan { size: 0, count: 0, first: 0.0, every: 0.0 };

fn once(size: u64) -> Plan {
    Plan { size, count: 1, ..NOTHING }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    /// Answers pings on arrival, and says nothing else.
    Pongs,
    /// Sends a message every so many seconds, and never a pong.
    Sends(f64),
    /// Both.
    Chats(f64),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    role: Role,
    /// How much is sent in a frame at most.
    cut: Option<usize>,
    plan: Plan,
    peer: Peer,
    /// Bytes of the send buffer.
    buffer: u64,
    /// Whether it takes nothing until a third of it is free, as on Linux; else a sixteenth.
    linux: bool,
    /// Bytes per second that leave it.
    rate: f64,
    /// When that falls to a quarter.
    slows: Option<f64>,
    /// Seconds on the way, in each direction.
    delay: f64,
    /// When the path stops to carry anything, either way.
    dies: Option<f64>,
    /// When our process is stopped, for 31 seconds; behind that the timers fire before it reads.
    stopped: Option<f64>,
}

impl Case {
    fn new(role: Role, plan: Plan, buffer: u64, rate: f64) -> Self {
        Self {
            role,
            cut: None,
            plan,
            peer: Peer::Pongs,
            buffer,
            linux: true,
            rate,
            slows: None,
            delay: 0.1,
            dies: None,
            stopped: None,
        }
    }
}

/// What comes out of it.
#[derive(Debug, Default)]
struct Outcome {
    /// When the peer was given up.
    given_up: Option<f64>,
    /// When a byte came from it last.
    last: f64,
    /// How many bytes were taken.
    taken: u64,
    pings: usize,
}

/// Finds the pings in what is sent, without looking at payloads.
#[derive(Default)]
struct Scanner {
    head: Vec<u8>,
    skip: u64,
    ping: Option<(Header, Vec<u8>)>,
}

impl Scanner {
    fn scan(&mut self, mut bytes: &[u8], mut on_ping: impl FnMut(usize, Vec<u8>)) {
        while !bytes.is_empty() {
            if let Some((header, payload)) = &mut self.ping {
                let missing = header.payload_len as usize - payload.len();
                let (more, rest) = bytes.split_at(missing.min(bytes.len()));
                payload.extend(more);
                bytes = rest;
                if payload.len() as u64 == header.payload_len {
                    let key = header.mask.unwrap_or_default();
                    let plain = payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]);
                    on_ping(bytes.len(), plain.collect());
                    self.ping = None;
                }
            } else if self.skip > 0 {
                let step = self.skip.min(bytes.len() as u64);
                self.skip -= step;
                bytes = &bytes[step as usize..];
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                if let Some((header, _)) = Header::decode(&self.head).unwrap() {
                    self.head.clear();
                    match header.opcode {
                        OpCode::Ping => self.ping = Some((header, Vec::new())),
                        _ => self.skip = header.payload_len,
                    }
                }
            }
        }
    }
}

static PAYLOAD: LazyLock<Bytes> = LazyLock::new(|| vec![7; 64 << 20].into());

struct Simulation {
    case: Case,
    connection: Connection,
    now: f64,
    scanner: Scanner,
    taken: u64,
    delivered: f64,
    /// How many messages were sent.
    sent: u64,
    /// Pings on the way: where they end, and with what.
    pings: VecDeque<(u64, Vec<u8>)>,
    /// What comes, and when.
    arriving: VecDeque<(f64, Vec<u8>)>,
    next_data: f64,
    outcome: Outcome,
}

impl Simulation {
    fn new(case: Case, keepalive: Keepalive) -> Self {
        let config =
            Config::default().keepalive(keepalive).max_unsent(usize::MAX).max_sent_frame(case.cut);
        let next_data = match case.peer {
            Peer::Pongs => f64::INFINITY,
            Peer::Sends(every) | Peer::Chats(every) => every,
        };
        Self {
            case,
            connection: connection(case.role, config),
            now: 0.0,
            scanner: Scanner::default(),
            taken: 0,
            delivered: 0.0,
            sent: 0,
            pings: VecDeque::new(),
            arriving: VecDeque::new(),
            next_data,
            outcome: Outcome::default(),
        }
    }

    fn rate(&self) -> f64 {
        let dead = self.case.dies.is_some_and(|at| self.now >= at);
        let slow = self.case.slows.is_some_and(|at| self.now >= at);
        self.case.rate * if dead { 0.0 } else { 1.0 } * if slow { 0.25 } else { 1.0 }
    }

    fn space(&self) -> f64 {
        self.case.buffer as f64 - (self.taken as f64 - self.delivered)
    }

    /// How much has to be free before anything is taken.
    fn threshold(&self) -> f64 {
        let part = if self.case.linux { 3.0 } else { 16.0 };
        (self.case.buffer as f64 / part).max(1.0)
    }

    /// Lets the time pass; the rate stays the same meanwhile.
    fn pass(&mut self, to: f64) {
        let rate = self.rate();
        self.delivered = (self.delivered + rate * (to - self.now)).min(self.taken as f64);
        self.now = to;
        while self.pings.front().is_some_and(|(end, _)| self.delivered > *end as f64 - 0.5) {
            let (_, payload) = self.pings.pop_front().unwrap();
            if !matches!(self.case.peer, Peer::Sends(_)) {
                let pong = frame(self.case.role, 0x8a, &payload);
                self.arriving.push_back((self.now + 2.0 * self.case.delay, pong));
            }
        }
    }

    /// Writes what is taken.
    fn write(&mut self) {
        if self.connection.outbox().is_empty() || self.space() < self.threshold() - 0.5 {
            return;
        }
        loop {
            let space = self.space() as usize;
            let mut outbox = self.connection.outbox();
            let step = outbox.chunk().len().min(space);
            if step == 0 {
                return;
            }
            let end = self.taken + step as u64;
            let (pings, count) = (&mut self.pings, &mut self.outcome.pings);
            self.scanner.scan(&outbox.chunk()[..step], |behind, payload| {
                pings.push_back((end - behind as u64, payload));
                *count += 1;
            });
            outbox.advance(step);
            self.taken = end;
        }
    }

    fn read(&mut self) {
        let now = self.now;
        let dead = |at: f64| self.case.dies.is_some_and(|dies| at > dies);
        let mut came = Vec::new();
        while self.next_data <= now {
            let every = match self.case.peer {
                Peer::Sends(every) | Peer::Chats(every) => every,
                Peer::Pongs => unreachable!(),
            };
            if !dead(self.next_data) {
                came.push((self.next_data, frame(self.case.role, 0x81, b"here I am")));
            }
            self.next_data += every;
        }
        while self.arriving.front().is_some_and(|(at, _)| *at <= now) {
            came.extend(self.arriving.pop_front().filter(|(at, _)| !dead(*at)));
        }
        for (at, mut bytes) in came {
            self.outcome.last = self.outcome.last.max(at);
            let mut input = Input::new(&mut bytes);
            while self.connection.receive(&mut input).unwrap().is_some() {}
        }
    }

    fn feed(&mut self) {
        let Plan { size, count, first, every } = self.case.plan;
        while self.sent < count && first + every * self.sent as f64 <= self.now {
            self.connection.feed(PAYLOAD.slice(..size as usize)).unwrap();
            self.sent += 1;
        }
    }

    /// Looks at the clock if that is due: whether it was.
    fn look(&mut self) -> bool {
        let now = seconds(self.now);
        if self.connection.poll_timeout().is_none_or(|at| at > now) {
            return false;
        }
        if let Err(error) = self.connection.handle_timeout(now) {
            assert_eq!(error, TimeoutError::Pong);
            self.outcome.given_up = Some(self.now);
        }
        true
    }

    /// When the next ping is delivered, if nothing changes.
    fn next_delivery(&self) -> f64 {
        match (self.pings.front(), self.rate()) {
            (Some((end, _)), rate) if rate > 0.0 => {
                self.now + (*end as f64 - self.delivered).max(0.0) / rate
            }
            _ => f64::INFINITY,
        }
    }

    /// When something happens next.
    fn next(&mut self) -> f64 {
        let Case { plan, dies, slows, .. } = self.case;
        let later = |at: Option<f64>| at.filter(|at| *at > self.now).unwrap_or(f64::INFINITY);
        let mut next = later(dies).min(later(slows)).min(self.next_data);
        if self.sent < plan.count {
            next = next.min(plan.first + plan.every * self.sent as f64);
        }
        if let Some((at, _)) = self.arriving.front() {
            next = next.min(*at);
        }
        next = next.min(self.next_delivery());
        let rate = self.rate();
        if !self.connection.outbox().is_empty() && rate > 0.0 {
            next = next.min(self.now + (self.threshold() - self.space()).max(0.0) / rate);
        }
        if let Some(at) = self.connection.poll_timeout() {
            // Rounded up, so that the time has come then.
            next = next.min(at.elapsed().as_secs_f64() + 1e-9);
        }
        next.max(self.now)
    }

    /// Until the peer is given up, or until `end`.
    fn run(mut self, end: f64) -> Outcome {
        let mut standstill = 0;
        loop {
            // What an adapter does: read, write, look.
            self.feed();
            self.read();
            self.write();
            while self.look() {
                standstill += 1;
                assert!(standstill < 1000, "{:?} asks again and again", self.case);
                self.write();
            }
            if self.outcome.given_up.is_some() || self.now >= end {
                self.outcome.taken = self.taken;
                return self.outcome;
            }
            let next = self.next();
            standstill = if next > self.now { 0 } else { standstill + 1 };
            assert!(standstill < 1000, "{:?} stands still at {}", self.case, self.now);
            match self.case.stopped {
                Some(at) if at <= next => {
                    self.case.stopped = None;
                    let wakes = at.max(self.now) + 31.0;
                    while self.now < wakes {
                        let Case { dies, slows, .. } = self.case;
                        let changes = [dies, slows, Some(self.next_delivery())];
                        let later = changes.into_iter().flatten().filter(|at| *at > self.now);
                        self.pass(later.fold(wakes, f64::min));
                    }
                    self.look();
                    self.look();
                }
                _ => self.pass(next),
            }
        }
    }
}

fn run(case: Case, end: f64) -> Outcome {
    Simulation::new(case, Keepalive::default()).run(end)
}

/// When everything has long been delivered, if the path lives.
fn end_of(case: &Case) -> f64 {
    let Plan { size, count, first, every } = case.plan;
    let slowest = if case.slows.is_some() { case.rate / 4.0 } else { case.rate };
    let all = (size + 14) as f64 * count as f64 * 1.01;
    first + every * count as f64 + all / slowest + 200.0
}

fn lives(case: Case) {
    assert_eq!(case.dies, None);
    let outcome = run(case, end_of(&case));
    assert_eq!(outcome.given_up, None, "{case:?}: {outcome:?}");
}

fn dies(case: Case) {
    let died = case.dies.unwrap();
    let outcome = run(case, died + 2.0 * (IDLE + allowance(f64::INFINITY)));
    let sent = outcome.taken as f64;
    let stopped = if case.stopped.is_some() { 33.0 } else { 0.0 };
    let bound = died + IDLE + allowance((sent - 1000.0).max(0.0)) + stopped + 1e-6;
    let given_up = outcome.given_up.unwrap_or(f64::INFINITY);
    assert!(given_up <= bound, "{case:?}: {outcome:?}, not by {bound}");
    assert!(given_up > outcome.last + INTERVAL, "{case:?}: {outcome:?}");
}

/// A1: 8 MB at once over 800 kbit/s, with all that may lie in between; and 150 kB/s.
#[test]
fn a1_a_large_upload_over_a_slow_link() {
    for role in BOTH {
        for rate in [100e3, 150e3] {
            for buffer in [256 * KIB, 2 * MIB, 4 * MIB] {
                for linux in [false, true] {
                    lives(Case { linux, ..Case::new(role, once(8_000_000), buffer, rate) });
                }
            }
        }
    }
}

/// A14: 4 MiB over 512 kbit/s, in fragments too.
#[test]
fn a14_a_message_that_the_buffer_takes_at_once() {
    for role in BOTH {
        for cut in [None, Some(16 << 10)] {
            for buffer in [64 * KIB, MIB, 4 * MIB] {
                lives(Case { cut, ..Case::new(role, once(4 * MIB), buffer, 64e3) });
            }
        }
    }
}

/// A14: a consumer that reads 8 to 32 kB/s, where the buffer takes more only when a third of it is
/// free: a ping that waits sees nothing move for minutes.
#[test]
fn a14_a_slow_consumer() {
    for role in BOTH {
        for rate in [5e3, 8e3, 16e3, 32e3] {
            for buffer in [256 * KIB, 2 * MIB, 4 * MIB] {
                lives(Case::new(role, once(8 * MIB), buffer, rate));
                let many = Plan { size: 10_000, count: 800, ..NOTHING };
                lives(Case::new(role, many, buffer, rate));
            }
        }
    }
}

/// 51.25 seconds on an idle connection, and on one that is used a little, whenever it dies; also if
/// the application goes on sending.
#[test]
fn a_dead_peer_of_a_quiet_connection_is_found_within_51_seconds() {
    let chat = |size, every| Plan { size, count: u64::MAX, first: 0.0, every };
    for plan in [NOTHING, chat(10, 0.1), chat(94, 1.0), chat(950, 10.0), chat(1000, 100.0)] {
        for peer in [Peer::Pongs, Peer::Sends(10.0), Peer::Chats(1.0)] {
            for died in (0..100).map(|i| 7.3 * f64::from(i)) {
                let case = Case { plan, peer, ..Case::new(Role::Server, plan, 4 * MIB, 1e6) };
                let outcome = run(Case { dies: Some(died), ..case }, died + 100.0);
                let given_up = outcome.given_up.unwrap();
                assert!(given_up <= died + IDLE + 1e-6, "{plan:?} {peer:?} {died}: {outcome:?}");
            }
        }
    }
}

/// The figures of the documentation for a connection on which nothing but a push goes on, and dies.
#[test]
fn a_dead_peer_that_was_being_sent_to_is_found_within_the_bound() {
    for (rate, figure) in
        [(5e3, 1024.0), (30e3, 1024.0), (100e3, 419.0), (1e6, 150.0), (1e7, 150.0)]
    {
        assert!((allowance_at(rate) - figure).abs() < 1.0, "{rate}: {}", allowance_at(rate));
        for peer in [Peer::Pongs, Peer::Sends(10.0), Peer::Chats(5.0)] {
            for linux in [false, true] {
                let mut longest = 0.0_f64;
                for i in 0..10 {
                    // Long enough for a speed to be known.
                    let died = 2.0 * CAPACITY / rate + 30.0 + 13.7 * f64::from(i);
                    let size = rate as u64;
                    let plan = Plan { size, count: (died * 2.0) as u64, first: 0.0, every: 0.5 };
                    let case = Case { peer, linux, ..Case::new(Role::Server, plan, 4 * MIB, rate) };
                    let outcome = run(Case { dies: Some(died), ..case }, died + 2_000.0);
                    let late = outcome.given_up.unwrap() - died;
                    assert!(
                        late <= IDLE + allowance_at(rate),
                        "{rate} {peer:?} {died}: {outcome:?}"
                    );
                    longest = longest.max(late);
                }
                println!(
                    "{rate} B/s, {peer:?}, a third: {linux}: found after {longest:.0} s at most"
                );
            }
        }
    }
}

/// Where the peer answers, much that is sent now and then does not make it slow to find: pings say how
/// much of it is gone.
#[test]
fn pings_while_much_is_sent_say_what_is_gone() {
    let plan = Plan { size: 20_000, count: 20_000, first: 0.0, every: 1.0 };
    let case = Case { peer: Peer::Chats(1.0), ..Case::new(Role::Server, plan, 4 * MIB, 1e6) };
    let outcome = run(case, 1000.0);
    assert_eq!(outcome.given_up, None);
    assert!((35..=40).contains(&outcome.pings), "one every 25 to 28 seconds: {}", outcome.pings);
    let outcome = run(Case { dies: Some(1000.0), ..case }, 3000.0);
    let late = outcome.given_up.unwrap() - 1000.0;
    assert!(late < 250.0, "{late}: at most what was sent since the last pong is in doubt");
    // And none where little is.
    let plan = Plan { size: 1000, ..plan };
    let outcome = run(Case { plan, ..case }, 1000.0);
    assert_eq!(outcome.pings, 0);
}

/// A dead path with room for more, and an application that goes on sending: what is taken then proves
/// nothing.
#[test]
fn what_a_dead_path_takes_proves_nothing() {
    let plan = Plan { size: 100, count: u64::MAX, first: 0.0, every: 0.5 };
    for died in [0.0, 10.0, 31.0, 60.0] {
        let case = Case { dies: Some(died), ..Case::new(Role::Server, plan, 4 * MIB, 1e6) };
        let outcome = run(case, 5000.0);
        assert!(outcome.given_up.unwrap() <= died + IDLE + 1.0 + 1e-6, "{died}: {outcome:?}");
    }
}

/// Other settings: a faster slowest path finds the dead sooner.
#[test]
fn the_slowest_path_is_a_setting() {
    for (slowest, more) in [(u32::MAX, 0.0), (1 << 20, 4.0), (64 << 10, 64.0), (4 << 10, 1024.0)] {
        let keepalive = Keepalive::default().slowest_path(slowest);
        let case = Case::new(Role::Server, once(16 * MIB), 4 * MIB, 1e3);
        let outcome = Simulation::new(Case { dies: Some(0.0), ..case }, keepalive).run(3000.0);
        let given_up = outcome.given_up.unwrap();
        assert!(given_up <= IDLE + more + 1e-3, "{slowest}: {outcome:?}");
        assert!(given_up >= INTERVAL + PONG_TIMEOUT + more * 0.9 - 1.0, "{slowest}: {outcome:?}");
    }
}

/// Every combination of a few values of each.
#[test]
fn over_a_grid_no_live_peer_is_given_up_and_each_dead_one_is() {
    let plans = |role| {
        let large = if role == Role::Server { 12 * MIB } else { 5 * MIB };
        [
            NOTHING,
            once(large),
            Plan { size: 1000, count: 3000, ..NOTHING },
            Plan { size: 20_000, count: 200, first: 3.0, every: 1.0 },
            Plan { size: MIB, count: 4, first: 40.0, every: 130.0 },
        ]
    };
    for role in BOTH {
        for plan in plans(role) {
            for (buffer, linux) in [(16 * KIB, true), (300 * KIB, false), (4 * MIB, true)] {
                for rate in [5e3, 60e3, 1e9] {
                    for (peer, delay) in
                        [(Peer::Pongs, 0.0), (Peer::Chats(20.0), 2.0), (Peer::Sends(26.0), 0.3)]
                    {
                        let case = Case::new(role, plan, buffer, rate);
                        let cut = (buffer == 300 * KIB).then_some(50_000);
                        let case = Case { peer, linux, delay, cut, ..case };
                        lives(case);
                        lives(Case { stopped: Some(40.0), ..case });
                        for died in [0.0, 45.0, 300.0] {
                            dies(Case { dies: Some(died), ..case });
                        }
                    }
                }
            }
        }
    }
}

fn cases() -> u32 {
    std::env::var("KEEPALIVE_CASES").map_or(300, |cases| cases.parse().unwrap())
}

/// A number between two, each order of magnitude as likely as any other.
fn log(from: f64, to: f64) -> impl Strategy<Value = f64> {
    (from.ln()..=to.ln()).prop_map(f64::exp)
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let size = || log(1.0, 3e6).prop_map(|size| size as u64);
    prop_oneof![
        1 => Just(NOTHING),
        2 => log(1e3, 32e6).prop_map(|size| once(size as u64)),
        // Many at once.
        2 => (size(), log(1.0, 5e3)).prop_map(|(size, count)| Plan { size, count: count as u64, ..NOTHING }),
        // At a steady pace.
        3 => (log(1.0, 1e6), log(0.02, 5.0), log(10.0, 3e3)).prop_map(|(rate, every, lasts)| Plan {
            size: (rate * every) as u64,
            count: (lasts / every) as u64,
            first: 0.0,
            every,
        }),
        // In bursts, with time in between.
        2 => (size(), 1..12_u64, 0.0..100.0, log(5.0, 300.0))
            .prop_map(|(size, count, first, every)| Plan { size, count, first, every }),
    ]
}

fn any_case() -> impl Strategy<Value = Case> {
    let peer = prop_oneof![
        2 => Just(Peer::Pongs),
        1 => log(0.5, 40.0).prop_map(Peer::Sends),
        1 => log(0.5, 100.0).prop_map(Peer::Chats),
    ];
    let path = (log(4e3, CAPACITY), any::<bool>(), log(5e3, 1e9), prop::option::of(log(1.0, 1e3)));
    let cut = prop::option::of(log(16e3, 1e6));
    (any::<bool>(), cut, any_plan(), peer, path, 0.0..=2.0, prop::option::of(0.0..300.0)).prop_map(
        |(client, cut, mut plan, peer, (buffer, linux, rate, slows), delay, stopped)| {
            let role = if client { Role::Client } else { Role::Server };
            // So much as does not take too long to simulate, nor to mask.
            let most = if client { 2e6 } else { 32e6_f64.min(buffer * 200.0) };
            plan.size = plan.size.min(most as u64);
            plan.count = plan.count.min(((most / (plan.size + 1) as f64) as u64).max(1));
            let slows = slows.filter(|_| rate >= 20e3);
            let (cut, buffer) = (cut.map(|cut| cut as usize), buffer as u64);
            let dies = None;
            Case { role, cut, plan, peer, buffer, linux, rate, slows, delay, dies, stopped }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_live_peer_is_ever_given_up(case in any_case()) {
        lives(case);
    }

    #[test]
    fn each_dead_peer_is_given_up_within_the_bound(case in any_case(), died in log(0.1, 3e3)) {
        dies(Case { dies: Some(died - 0.1), ..case });
    }
}

/// The numbers that this takes for the documented ones are the defaults.
#[test]
fn the_defaults_are_those_of_the_documentation() {
    let told = Keepalive::every(Duration::from_secs_f64(INTERVAL))
        .pong_timeout(Duration::from_secs_f64(PONG_TIMEOUT))
        .slowest_path(SLOWEST as u32);
    assert_eq!(told, Keepalive::default());
    assert_eq!((IDLE, allowance(CAPACITY)), (51.25, 1024.0));
}
