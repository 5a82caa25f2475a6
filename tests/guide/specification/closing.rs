//! The closing automaton (RFC 6455 §7): each state, reached by every way it can be, and from there
//! each input.

use super::table::{Cell, Table, has_sections, tables};
use crate::common::{
    BOTH, Random, Seen, close_frame, connection, drain, frame, receive, seconds, split, waiting,
    watch,
};
use core::time::Duration;
use fullduplex::{
    CloseCause, Closed, Config, Connection, Keepalive, Role, SendErrorReason, Side, Time,
    TimeoutError, Transport, frame::ControlPayload,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const PAGE: &str = include_str!("../../../src/guide/specification/closing.md");

const CLOSE_TIMEOUT: Duration = Duration::from_secs(1000);
/// How long before a deadline that ends something it is asked for as well.
const LAST_CALL: Duration = Duration::from_secs(1);

/// What the page says.
struct Specification {
    states: Table,
    inputs: Vec<&'static str>,
    cells: BTreeMap<(&'static str, &'static str), Cell>,
}

impl Specification {
    /// Every state has a cell for every input, and nothing has one besides.
    fn read() -> Self {
        let mut tables = tables(PAGE);
        let states = tables.remove(0);
        let inputs = tables.remove(0);
        has_sections(&states);
        has_sections(&inputs);
        let (names, inputs) = (states.cells("state"), inputs.cells("input"));
        let mut cells = BTreeMap::new();
        for table in &tables {
            assert_eq!(table.cells("state"), names, "the states, in their order");
            for row in &table.rows {
                for (input, text) in table.columns.iter().zip(row).skip(1) {
                    let cell = Cell::parse(text, row[0]);
                    assert!(names.contains(&cell.next), "{} in {} is no state", cell.next, row[0]);
                    assert!(inputs.contains(input), "{input} is no input");
                    let before = cells.insert((row[0], *input), cell);
                    assert!(before.is_none(), "{input} is there twice");
                }
            }
        }
        assert_eq!(cells.len(), names.len() * inputs.len(), "a cell for each pair");
        Self { states, inputs, cells }
    }

    fn transport(&self, state: &str, role: Role) -> &'static str {
        let column = match role {
            Role::Server => "transport of a server",
            Role::Client => "transport of a client",
        };
        self.about(state, column)
    }

    fn about(&self, state: &str, column: &str) -> &'static str {
        let row = self.states.rows.iter().find(|row| row[0] == state);
        row.expect("a row for each state")[self.states.column(column)]
    }
}

/// Which deadlines an open connection has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Timers {
    None,
    Idle,
    Keepalive,
}

/// Where the message is that was sent last.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Message {
    Written,
    Waiting,
    Lost,
}

/// A connection, and beside it what the tables say about it.
struct Walk<'s> {
    specification: &'s Specification,
    connection: Connection,
    timers: Timers,
    /// How many bytes come at once.
    step: usize,
    state: &'static str,
    outcome: Option<Closed>,
    /// Whose Close was queued or came first.
    initiator: Option<Side>,
    message: Message,
    /// Told to the connection at each look, a little later each time.
    now: Time,
    deadline: Option<Time>,
}

impl<'s> Walk<'s> {
    fn open(specification: &'s Specification, role: Role, timers: Timers, step: usize) -> Self {
        let config = Config::default().close_timeout(CLOSE_TIMEOUT);
        let second = Duration::from_secs(1);
        let config = match timers {
            Timers::None => config,
            Timers::Idle => config.idle_timeout(second),
            Timers::Keepalive => config.keepalive(Keepalive::every(second)),
        };
        let mut walk = Self {
            specification,
            connection: connection(role, config),
            timers,
            step,
            state: specification.states.rows[0][0],
            outcome: None,
            initiator: None,
            message: Message::Written,
            now: seconds(1.0),
            deadline: None,
        };
        walk.compare("a new connection");
        walk
    }

    /// What tells two places in the walk apart.
    fn place(&self) -> String {
        let Self { timers, state, outcome, initiator, message, deadline, .. } = self;
        format!("{timers:?} {state} {outcome:?} {initiator:?} {message:?} {}", deadline.is_some())
    }

    /// Whether `input` can be brought about here: an open connection misses only deadlines it has.
    fn has(&self, input: &str) -> bool {
        let open = self.specification.about(self.state, "open") == "yes";
        match input {
            "idle" => !open || self.timers == Timers::Idle,
            "silence" => !open || self.timers == Timers::Keepalive,
            "late" => !open || self.timers == Timers::None,
            _ => true,
        }
    }

    /// Does `input` and compares with its cell.
    fn step(&mut self, input: &'static str, context: &str) {
        let state = self.state;
        let cell = &self.specification.cells[&(state, input)];
        let context = format!("{context}, {input} in {state}: {cell:?}");
        let before = waiting(&mut self.connection);
        self.now = self.now + Duration::from_millis(1);
        if let Some((first, payload)) = frame_of(input) {
            self.receive(cell, first, payload, &context);
        } else {
            self.act(input, cell, &context);
        }
        self.ends(input, cell, &context);
        self.state = cell.next;

        let after = waiting(&mut self.connection);
        // What was written, or can no longer be, is gone; else there is more.
        let gone = matches!(input, "written" | "write failed") || cell.next == "Closed";
        let new = if gone { &after[..] } else { &after[before.len()..] };
        let queued = split(self.connection.role(), new);
        assert_eq!(queued.len(), cell.queued.len(), "{context}: {queued:?}");
        for ((first, payload), expected) in queued.into_iter().zip(&cell.queued) {
            let (expected_first, reason): (_, &[u8]) = match (*expected, input) {
                ("message", "feed()") => (0x81, b"sent"),
                ("pong", "ping") => (0x8a, b"ping"),
                ("ping", "ping()") => (0x89, b"own"),
                ("pong", "pong()") => (0x8a, b"own"),
                ("ping", "silence") => (0x89, &payload), // it is keepalive's
                // §5.5.1: the answer has no reason of its own.
                ("Close", "Close") => (0x88, b""),
                ("Close 4000", "Close 4000") => (0x88, b"\x0f\xa0"),
                ("Close 1001", "start_close()") => (0x88, b"\x03\xe9own"),
                ("Close 1001", "idle") => (0x88, b"\x03\xe9idle timeout"),
                ("Close 1011", "silence") => (0x88, b"\x03\xf3ping timeout"),
                ("Close 1002", "violation") => (0x88, b"\x03\xeareserved opcode 0x3"),
                _ => panic!("{context}: what is {expected}?"),
            };
            assert_eq!((first, &payload[..]), (expected_first, reason), "{context}");
        }
        self.compare(&context);
    }

    /// Something that is not a frame happens.
    fn act(&mut self, input: &str, cell: &Cell, context: &str) {
        match input {
            "end" => self.connection.receive_eof(),
            "broken" => self.connection.transport_failed(),
            "write failed" => {
                self.connection.write_failed();
                if self.message == Message::Waiting {
                    self.message = Message::Lost;
                }
            }
            "written" => {
                drain(&mut self.connection);
                if self.message == Message::Waiting {
                    self.message = Message::Written;
                }
            }
            "shut down" => self.connection.shutdown_complete(),
            "start_close()" => {
                self.connection.start_close(close_frame(1001, "own")).unwrap();
                if !cell.queued.is_empty() {
                    self.initiator = Some(Side::Local);
                }
            }
            "feed()" => {
                let result = self.connection.feed("sent").map_err(|error| error.reason);
                assert_eq!(result, self.refused(cell), "{context}");
                if !cell.queued.is_empty() {
                    self.message = Message::Waiting;
                }
            }
            "ping()" => {
                let result = self.connection.ping(ControlPayload::new(b"own").unwrap());
                assert_eq!(result, self.refused(cell), "{context}");
            }
            "pong()" => {
                let result = self.connection.pong(ControlPayload::new(b"own").unwrap());
                assert_eq!(result, self.refused(cell), "{context}");
            }
            "early" => self.look(cell, Duration::ZERO, context),
            "late" => self.look(cell, CLOSE_TIMEOUT, context),
            "idle" | "silence" => self.pass(cell, context),
            _ => panic!("{input} is not known here"),
        }
    }

    /// A12: whoever sends learns why the connection is over.
    fn refused(&self, cell: &Cell) -> Result<(), SendErrorReason> {
        let cause = match &self.outcome {
            None if self.initiator == Some(Side::Local) => CloseCause::Local,
            None | Some(Closed::Abnormal) => CloseCause::Abnormal,
            Some(Closed::Failed(error)) => CloseCause::Failed(*error),
            Some(Closed::TimedOut(error)) => CloseCause::TimedOut(*error),
            Some(Closed::Clean { initiator, frame } | Closed::Unsent { initiator, frame }) => {
                match initiator {
                    Side::Local => CloseCause::Local,
                    Side::Remote => CloseCause::Remote(frame.clone()),
                }
            }
            Some(other) => panic!("what is {other:?}?"),
        };
        match cell.told {
            "" => Ok(()),
            "refused" => Err(SendErrorReason::Closed(cause)),
            told => panic!("what is {told}?"),
        }
    }

    /// A frame comes.
    fn receive(&mut self, cell: &Cell, first: u8, payload: &[u8], context: &str) {
        let wire = frame(self.connection.role(), first, payload);
        let (events, result) = receive(&mut self.connection, &wire, self.step, watch);
        let close = (first == 0x88 && !payload.is_empty()).then_some((4000, "mine"));
        let event = match cell.told {
            "message" => Some(Seen::text("data")),
            "ping" => Some(Seen::Ping(b"ping".into())),
            "pong" => Some(Seen::Pong(b"pong".into())),
            "Close" => Some(Seen::Close(close.map(|(code, reason)| (code, reason.into())))),
            "Failed" | "again" | "" => None,
            told => panic!("{context}: what is {told}?"),
        };
        assert_eq!(events, Vec::from_iter(event), "{context}");
        let begun = match &self.outcome {
            Some(Closed::Failed(error)) => Err(*error),
            _ => Ok(()),
        };
        match cell.told {
            "Close" => {
                let initiator = self.initiator.unwrap_or(Side::Remote);
                let frame = close.map(|(code, reason)| close_frame(code, reason));
                self.outcome = Some(Closed::Clean { initiator, frame });
            }
            "Failed" => {
                let error = result.expect_err(context);
                self.outcome = Some(Closed::Failed(error));
                return;
            }
            "again" => return assert_eq!(result, begun, "{context}"),
            _ => {}
        }
        assert_eq!(result, Ok(()), "{context}");
    }

    /// The time is told: now, or once it is `later` than the deadline was started.
    fn look(&mut self, cell: &Cell, later: Duration, context: &str) {
        if self.specification.about(self.state, "deadline") == "close" {
            if self.deadline.is_none() {
                assert_eq!(self.connection.handle_timeout(self.now), Ok(()), "{context}");
            }
            self.deadline.get_or_insert(self.now + CLOSE_TIMEOUT);
        }
        let at = match self.deadline {
            Some(deadline) if later > Duration::ZERO => {
                let call = self.connection.poll_timeout().filter(|call| *call < deadline);
                if let Some(call) = call {
                    assert_eq!(self.connection.handle_timeout(call), Ok(()), "{context}");
                }
                deadline
            }
            _ => self.now + later,
        };
        assert_eq!(self.connection.handle_timeout(at), timed_out(cell), "{context}");
    }

    /// Time passes, and is told whenever that is asked for, as long as the connection is open.
    fn pass(&mut self, cell: &Cell, context: &str) {
        if timed_out(cell).is_ok() {
            self.now = self.now + Duration::from_secs(1);
            return self.look(cell, Duration::ZERO, context);
        }
        for _ in 0..200 {
            let result = self.connection.handle_timeout(self.now);
            if result.is_err() {
                assert_eq!(result, timed_out(cell), "{context}");
                self.deadline = Some(self.now + CLOSE_TIMEOUT);
                return;
            }
            self.now = self.now.max(self.connection.poll_timeout().expect(context));
        }
        panic!("{context}: it is not given up");
    }

    /// Notes how the connection will end, or has ended, and that the cell says no more than that.
    fn ends(&mut self, input: &str, cell: &Cell, context: &str) {
        let ends = cell.next == "Closed" && self.state != "Closed";
        match (cell.told, input) {
            ("Abnormal", _) if ends => self.outcome = Some(Closed::Abnormal),
            ("as begun", _) if ends => {
                assert!(self.outcome.is_some(), "{context}: what was begun?")
            }
            ("TimedOut(Idle)", "idle") | ("TimedOut(Pong)", "silence") => {
                self.outcome = timed_out(cell).err().map(Closed::TimedOut);
            }
            ("TimedOut(Close)", "late") if ends => {
                self.outcome = timed_out(cell).err().map(Closed::TimedOut);
            }
            // `receive` and `refused` have seen to these.
            ("message" | "ping" | "pong" | "Close" | "Failed" | "again", _)
                if frame_of(input).is_some() => {}
            ("refused", "feed()" | "ping()" | "pong()") => {}
            (told, _) => assert!(told.is_empty() && !ends, "{context}: {told} is not said here"),
        }
        let lost = match self.message {
            Message::Written => false,
            Message::Waiting => cell.next == "Closed",
            Message::Lost => true,
        };
        if let (true, Some(Closed::Clean { initiator, frame })) = (lost, self.outcome.clone()) {
            self.outcome = Some(Closed::Unsent { initiator, frame });
        }
    }

    /// Whether all that can be seen from outside is as the table of states has it.
    fn compare(&mut self, context: &str) {
        let transport = match self.specification.transport(self.state, self.connection.role()) {
            "Open" => Transport::Open,
            "WriteOnly" => Transport::WriteOnly,
            "ShutDown" => Transport::ShutDown,
            "AwaitEof" => Transport::AwaitEof,
            "Closed" => Transport::Closed,
            other => panic!("what is {other}?"),
        };
        assert_eq!(self.connection.transport(), transport, "{context}");
        let closed = self.outcome.as_ref().filter(|_| transport == Transport::Closed);
        assert_eq!(self.connection.closed(), closed, "{context}");
        let poll = self.connection.poll_timeout();
        match self.specification.about(self.state, "deadline") {
            "keepalive, idle" => assert_eq!(poll.is_some(), self.timers != Timers::None),
            "close" => {
                let call = |at: Time| Time::since_epoch(at.elapsed() - LAST_CALL);
                let due = self.deadline.map_or([Time::EPOCH; 2], |at| [call(at), at]);
                assert!(poll.is_some_and(|at| due.contains(&at)), "{context}: {poll:?}, {due:?}");
            }
            "none" => assert_eq!(poll, None, "{context}"),
            other => panic!("what is {other}?"),
        }
        let open = self.specification.about(self.state, "open") == "yes";
        assert_eq!(self.connection.is_open(), open, "{context}");
        assert_eq!(self.connection.is_ready(), open, "{context}");
        assert_eq!(self.connection.outbox().is_empty(), !self.state.ends_with('!'), "{context}");
    }
}

/// First byte and payload of the frame that an input is, if it is one.
fn frame_of(input: &str) -> Option<(u8, &'static [u8])> {
    match input {
        "message" => Some((0x81, b"data")),
        "ping" => Some((0x89, b"ping")),
        "pong" => Some((0x8a, b"pong")),
        "Close 4000" => Some((0x88, b"\x0f\xa0mine")),
        "Close" => Some((0x88, b"")),
        "violation" => Some((0x83, b"")),
        _ => None,
    }
}

/// What `handle_timeout` says.
fn timed_out(cell: &Cell) -> Result<(), TimeoutError> {
    match cell.told {
        "TimedOut(Idle)" => Err(TimeoutError::Idle),
        "TimedOut(Pong)" => Err(TimeoutError::Pong),
        "TimedOut(Close)" => Err(TimeoutError::Close),
        _ => Ok(()),
    }
}

const TIMERS: [Timers; 3] = [Timers::None, Timers::Idle, Timers::Keepalive];

/// Every state with every way it can end, reached by the shortest way, and from there every input,
/// in both roles, what comes in one piece and byte by byte.
#[test]
fn section_7_every_input_in_every_state() {
    let specification = Specification::read();
    for (role, step) in [(BOTH[0], 1), (BOTH[0], 64), (BOTH[1], 1), (BOTH[1], 64)] {
        let (mut places, mut pairs) = (BTreeSet::new(), BTreeSet::new());
        for timers in TIMERS {
            let mut ways = VecDeque::from([Vec::new()]);
            while let Some(way) = ways.pop_front() {
                for &input in &specification.inputs {
                    let context = format!("{role:?}, {timers:?}, {step} bytes at once, {way:?}");
                    let mut walk = Walk::open(&specification, role, timers, step);
                    for &input in &way {
                        walk.step(input, &context);
                    }
                    if !walk.has(input) {
                        continue;
                    }
                    pairs.insert((walk.state, input));
                    walk.step(input, &context);
                    if places.insert(walk.place()) {
                        ways.push_back([&way[..], &[input]].concat());
                    }
                }
            }
        }
        let missing: Vec<_> =
            specification.cells.keys().filter(|pair| !pairs.contains(pair)).collect();
        assert!(missing.is_empty(), "{role:?} never came by {missing:?}");
        assert!(places.len() > 100, "{} places", places.len());
    }
}

/// Long walks in any order: also what the shortest ways do not come by.
#[test]
fn section_7_long_walks() {
    let specification = Specification::read();
    let mut random = Random::new(7);
    for walk in 0..4000 {
        let role = *random.pick(&BOTH);
        let timers = *random.pick(&TIMERS);
        let step = *random.pick(&[1, 2, 64]);
        let mut walked = Walk::open(&specification, role, timers, step);
        let mut written = Vec::new();
        for step in 0..12 {
            let input = *random.pick(&specification.inputs);
            if !walked.has(input) {
                continue;
            }
            if input == "written" {
                written.extend(waiting(&mut walked.connection));
            }
            walked.step(input, &format!("walk {walk}, step {step}"));
        }
        written.extend(drain(&mut walked.connection));
        let frames = split(role, &written);
        let close = frames.iter().position(|(first, _)| *first == 0x88).unwrap_or(frames.len());
        assert!(
            frames.iter().skip(close + 1).all(|(first, _)| matches!(first, 0x89 | 0x8a)),
            "{frames:?}"
        );
    }
}

/// A connection that closes closes: from any place, by nothing but the time being told.
#[test]
fn section_7_no_state_lasts() {
    let specification = Specification::read();
    let mut random = Random::new(8);
    for _ in 0..2000 {
        let role = *random.pick(&BOTH);
        let timers = *random.pick(&TIMERS);
        let mut walk = Walk::open(&specification, role, timers, 64);
        for _ in 0..random.below(8) {
            let input = *random.pick(&specification.inputs);
            if walk.has(input) {
                walk.step(input, "");
            }
        }
        let mut connection = walk.connection;
        if connection.is_open() {
            continue;
        }
        let mut now = walk.now;
        for _ in 0..3 {
            let Some(at) = connection.poll_timeout() else { break };
            now = now.max(at);
            let _: Result<(), TimeoutError> = connection.handle_timeout(now);
        }
        assert_eq!(connection.transport(), Transport::Closed);
        assert!(connection.closed().is_some() && connection.outbox().is_empty());
    }
}
