//! The receiving automaton (RFC 6455 §5, RFC 7692 §6): each frame in each state, and behind it each
//! frame again, by which it shows which state came.

use super::{
    frames::{Frames, Part},
    table::{Cell, Table, has_sections, tables},
};
use crate::common::{BOTH, Seen, connection, drain, receive, sent, watch};
#[cfg(feature = "deflate")]
use crate::deflate::{deflating, inflate, params};
use fullduplex::{Closed, Config, Connection, Event, Input, ProtocolError, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const PAGE: &str = include_str!("../../../src/guide/specification/receiving.md");

/// The tables without an extension, or those with permessage-deflate.
struct Specification {
    config: Config,
    message_limit: u64,
    start: &'static str,
    inputs: Vec<Frames>,
    /// By the state, and the place of the input.
    cells: BTreeMap<(&'static str, usize), Cell>,
    /// Those states for which there are cells.
    states: Vec<&'static str>,
    /// By the state: whether `receive_chunk` may follow on `receive`, and the other way round.
    changes: BTreeMap<&'static str, [bool; 2]>,
}

impl Specification {
    fn read(deflated: bool) -> Self {
        let mut tables = tables(PAGE);
        for table in &tables {
            has_sections(table);
        }
        let states = tables.remove(0).cells("state");
        let limits = tables.remove(0).cells("here").into_iter().map(|limit| limit.parse().unwrap());
        let [message, frame, fragments] = limits.collect::<Vec<u32>>()[..] else { panic!() };
        let config = Config::default()
            .max_message_size(message as usize)
            .max_frame_size(frame as usize)
            .max_fragments(fragments);

        let changes = Table::find(&tables, &["state", "`receive`, then `receive_chunk`"]);
        assert_eq!(changes.cells("state"), states, "the states, in their order");
        let may = |cell| match cell {
            "goes on" => true,
            "panics" => false,
            other => panic!("what is {other}?"),
        };
        let changes = changes.rows.iter().map(|row| (row[0], [may(row[1]), may(row[2])]));
        let changes = changes.collect();
        let (of_frames, rest): (Vec<Table>, Vec<Table>) =
            tables.into_iter().partition(|table| table.columns[0] == "frame");
        let ends = rest.iter().filter(|table| table.columns[1] == "whatever comes");
        let mut specification = Self {
            config,
            message_limit: message.into(),
            start: states[0],
            inputs: Vec::new(),
            cells: BTreeMap::new(),
            states: Vec::new(),
            changes,
        };
        let mut described = BTreeSet::new();
        for table in of_frames {
            let columns = &table.columns[2..table.columns.len() - 1];
            described.extend(columns.to_vec());
            if table.columns.contains(&"Deflated text") != deflated {
                continue;
            }
            specification.states = columns.to_vec();
            for row in &table.rows {
                let input = Frames::parse(row[0]);
                let before = specification.inputs.iter().position(|other| other.text == input.text);
                assert!(before.is_none(), "{} is there twice", input.text);
                for (state, text) in columns.iter().zip(&row[2..]) {
                    let cell = parse(text, state);
                    assert!(states.contains(&cell.next), "{} is no state", cell.next);
                    specification.cells.insert((state, specification.inputs.len()), cell);
                }
                specification.inputs.push(input);
            }
        }
        for row in ends.flat_map(|table| &table.rows) {
            described.insert(row[0]);
            specification.states.push(row[0]);
            for input in 0..specification.inputs.len() {
                specification.cells.insert((row[0], input), parse(row[1], row[0]));
            }
        }
        assert_eq!(described, BTreeSet::from_iter(states), "the states, and those in the tables");
        let pairs = specification.states.len() * specification.inputs.len();
        assert_eq!(specification.cells.len(), pairs, "a cell for each pair");
        specification
    }

    /// The shortest way to each state.
    fn ways(&self) -> BTreeMap<&'static str, Vec<usize>> {
        let mut ways = BTreeMap::from([(self.start, Vec::new())]);
        let mut queue = VecDeque::from([self.start]);
        while let Some(state) = queue.pop_front() {
            for input in 0..self.inputs.len() {
                let next = self.cells[&(state, input)].next;
                if !ways.contains_key(next) {
                    ways.insert(next, [&ways[state][..], &[input]].concat());
                    queue.push_back(next);
                }
            }
        }
        assert!(self.states.iter().all(|state| ways.contains_key(state)), "{:?}", ways.keys());
        ways
    }
}

/// A cell; an error is short for what each of them leads to.
fn parse(text: &'static str, state: &'static str) -> Cell {
    match text.split_once(' ') {
        Some((code, kind)) if code.parse::<u16>().is_ok() => {
            Cell { next: "Failed", told: kind, queued: vec![code] }
        }
        _ => Cell::parse(text, state),
    }
}

/// How the bytes come, and who takes them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// So many at once.
    Steps(usize),
    /// All of them up to this place, then the rest.
    CutAt(usize),
    /// So many at once, through `receive_chunk`.
    Chunks(usize),
}

/// Whether our own Close is out already.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Own {
    Open,
    Closing,
}

struct Walk<'s> {
    specification: &'s Specification,
    connection: Connection,
    way: Way,
    own: Own,
    state: &'static str,
    /// Of the message under way, as it came.
    data: Vec<u8>,
    compressed: bool,
    error: Option<ProtocolError>,
    /// How many bytes came.
    received: u64,
    /// What `receive_chunk` gave of the message under way; `None` before its first chunk.
    chunks: Option<Vec<u8>>,
}

impl<'s> Walk<'s> {
    fn new(
        specification: &'s Specification,
        mut connection: Connection,
        way: Way,
        own: Own,
    ) -> Self {
        if own == Own::Closing {
            connection.start_close(None).unwrap();
            drain(&mut connection);
        }
        Self {
            specification,
            connection,
            way,
            own,
            state: specification.start,
            data: Vec::new(),
            compressed: false,
            error: None,
            received: 0,
            chunks: None,
        }
    }

    /// What comes, and its cell.
    fn next(&self, input: usize) -> (&'s Frames, &'s Cell, Vec<u8>) {
        let specification = self.specification;
        let frames = &specification.inputs[input];
        let wire =
            frames.wire(self.connection.role(), specification.message_limit, self.data.len());
        (frames, &specification.cells[&(self.state, input)], wire)
    }

    /// Gives it an input and compares with its cell: how many bytes it was.
    fn step(&mut self, input: usize, before: &[&[usize]]) -> usize {
        let (frames, cell, wire) = self.next(input);
        let (role, own, way, state) = (self.connection.role(), self.own, self.way, self.state);
        let text = frames.text;
        let context =
            || format!("{role:?}, {own:?}, {way:?}, {before:?}, {text} in {state}: {cell:?}");
        let (events, result) = self.give(&wire);

        let event = self.event(frames, cell);
        assert_eq!(events, Vec::from_iter(event), "{}", context());
        match (result, self.error) {
            (result, Some(error)) => assert_eq!(result, Err(error), "{}", context()),
            (Ok(()), None) => assert_ne!(cell.next, "Failed", "{}", context()),
            (Err(error), None) => {
                let told = (cell.next, self.told(cell).into());
                assert_eq!(("Failed", kind(&error)), told, "{}", context());
                if let [Part { times: 1, .. }] = frames.parts[..] {
                    assert_eq!(error.offset(), self.received, "{}", context());
                }
                self.error = Some(error);
            }
        }
        self.received += wire.len() as u64;

        assert_eq!(sent(&mut self.connection), self.queued(frames, cell), "{}", context());
        if frames.end {
            let before = self.connection.closed().cloned();
            self.connection.receive_eof();
            if cell.next == "Ended" {
                let closed = self.connection.closed();
                assert_eq!(closed, Some(&Closed::Abnormal), "{}", context());
                assert!(before.is_none() || before.as_ref() == closed, "{}", context());
            }
        }
        self.state = cell.next;
        wire.len()
    }

    fn give(&mut self, wire: &[u8]) -> (Vec<Seen>, Result<(), ProtocolError>) {
        match self.way {
            Way::Steps(step) => receive(&mut self.connection, wire, step, watch),
            Way::CutAt(cut) => {
                let (before, behind) = wire.split_at(cut.min(wire.len()));
                let (mut events, result) = receive(&mut self.connection, before, usize::MAX, watch);
                let (more, end) = receive(&mut self.connection, behind, usize::MAX, watch);
                assert!(result.is_ok() || result == end, "the error went away");
                events.extend(more);
                (events, end)
            }
            Way::Chunks(step) => self.give_chunks(wire, step),
        }
    }

    fn give_chunks(&mut self, wire: &[u8], step: usize) -> (Vec<Seen>, Result<(), ProtocolError>) {
        let (mut events, mut result) = (Vec::new(), Ok(()));
        for piece in wire.chunks(step).chain([&[][..]]) {
            let mut piece = piece.to_vec();
            let mut input = Input::new(&mut piece);
            loop {
                match self.connection.receive_chunk(&mut input) {
                    Ok(Some(Event::Chunk(chunk))) => {
                        assert_eq!(chunk.is_first(), self.chunks.is_none());
                        let chunks = self.chunks.get_or_insert_default();
                        chunks.extend(chunk.as_bytes());
                        if chunk.is_last() {
                            let whole = self.chunks.take().unwrap();
                            events.push(match chunk.is_text() {
                                true => Seen::Text(String::from_utf8(whole).unwrap()),
                                false => Seen::Binary(whole),
                            });
                        }
                    }
                    Ok(Some(event)) => events.push(event.into()),
                    Ok(None) => break,
                    Err(error) => {
                        assert!(result.is_ok() || result == Err(error), "another error");
                        result = Err(error);
                        break;
                    }
                }
            }
        }
        (events, result)
    }

    /// The event of a cell. It takes note of the message under way.
    fn event(&mut self, frames: &Frames, cell: &Cell) -> Option<Seen> {
        let control = || frames.parts[0].payload(0);
        let event = match cell.told {
            "ping" => Some(Seen::Ping(control())),
            "pong" => Some(Seen::Pong(control())),
            "Close" => Some(Seen::Close(match &control()[..] {
                [] => None,
                [high, low, reason @ ..] => {
                    let reason = String::from_utf8(reason.to_vec()).unwrap();
                    Some((u16::from_be_bytes([*high, *low]), reason))
                }
                [_] => panic!("half a code"),
            })),
            _ => None,
        };
        if self.error.is_some() {
            assert_eq!(cell.told, "again");
        }
        if event.is_some() || cell.next == "Failed" {
            return event;
        }
        if self.data.is_empty() && frames.parts.iter().any(|part| part.first & 0x0f != 0) {
            self.compressed = frames.parts[0].first & 0x40 != 0;
        }
        let came = frames.data(self.specification.message_limit, self.data.len());
        self.data.extend(came);
        match cell.told {
            "text" => Some(Seen::Text(String::from_utf8(self.message()).unwrap())),
            "binary" => Some(Seen::Binary(self.message())),
            "" => None,
            told => panic!("{}: what is {told}?", frames.text),
        }
    }

    /// The message that is whole now.
    fn message(&mut self) -> Vec<u8> {
        let data = std::mem::take(&mut self.data);
        #[cfg(feature = "deflate")]
        if self.compressed && !data.is_empty() {
            return inflate(&[], &data).unwrap().bytes;
        }
        data
    }

    fn told(&self, cell: &Cell) -> &'static str {
        match (cell.told.split_once('/'), self.connection.role()) {
            (Some((kind, _)), Role::Server) | (Some((_, kind)), Role::Client) => kind,
            (None, _) => cell.told,
        }
    }

    /// First byte and payload of each frame that a cell has queued.
    fn queued(&self, frames: &Frames, cell: &Cell) -> Vec<(u8, Vec<u8>)> {
        let frame = |queued: &&str| match (*queued, queued.strip_prefix("Close ")) {
            ("pong", _) => Some((0x8a, frames.parts[0].payload(0))),
            _ if self.own == Own::Closing => None,
            ("Close", _) => Some((0x88, vec![])),
            (_, Some(code)) => Some((0x88, code.parse::<u16>().unwrap().to_be_bytes().into())),
            (code, None) => {
                let code = code.parse::<u16>().expect("a code").to_be_bytes();
                let reason = self.error.expect("an error").kind().to_string();
                Some((0x88, [&code, reason.as_bytes()].concat()))
            }
        };
        cell.queued.iter().filter_map(frame).collect()
    }
}

/// The name of what was wrong.
fn kind(error: &ProtocolError) -> String {
    let name = format!("{:?}", error.kind());
    name.split([' ', '(']).next().unwrap_or_default().into()
}

/// Each input in each state, and if `twice` behind it each input: `skip` says which are not for here.
fn walk(
    specification: &Specification,
    make: impl Fn(Role) -> Connection,
    twice: bool,
    skip: impl Fn(&Frames) -> bool,
) {
    let ways = specification.ways();
    let inputs: Vec<usize> =
        (0..specification.inputs.len()).filter(|i| !skip(&specification.inputs[*i])).collect();
    let passes = |input| {
        // What is handed on as it comes meets no limit.
        let mut cells =
            specification.states.iter().map(|state| specification.cells[&(*state, input)].told);
        !cells.any(|told| told.ends_with("TooBig") || told == "TooManyFragments")
    };
    let run = |role, way, own, inputs: &[&[usize]]| {
        if matches!(way, Way::Chunks(_)) && !inputs.concat().iter().all(|input| passes(*input)) {
            return 0;
        }
        let mut walk = Walk::new(specification, make(role), way, own);
        let steps = inputs.iter().flat_map(|inputs| *inputs);
        steps.fold(0, |_, input| walk.step(*input, inputs))
    };
    let all_alike =
        |state| inputs.iter().all(|input| specification.cells[&(state, *input)].next == state);
    for role in BOTH {
        for (state, way_there) in &ways {
            for &input in &inputs {
                let pair = [&way_there[..], &[input]];
                for own in [Own::Open, Own::Closing] {
                    for step in [usize::MAX, 1, 2, 3, 7] {
                        run(role, Way::Steps(step), own, &pair);
                        run(role, Way::Chunks(step), own, &pair);
                    }
                    // Wherever it is cut. In a longer input all frames are alike.
                    for cut in 1..40 {
                        if run(role, Way::CutAt(cut), own, &pair) <= cut {
                            break;
                        }
                    }
                }
                for &behind in inputs.iter().filter(|_| twice && !all_alike(*state)) {
                    for way in [Way::Steps(usize::MAX), Way::Chunks(1)] {
                        run(role, way, Own::Open, &[&way_there[..], &[input, behind]]);
                    }
                }
                together(specification, &make, role, way_there, input, state);
                assert!(specification.changes[state][0], "`receive_chunk` may always follow");
                if passes(input) {
                    let mut walk = Walk::new(specification, make(role), Way::Steps(1), Own::Open);
                    for &input in way_there {
                        walk.step(input, &pair);
                    }
                    walk.way = Way::Chunks(usize::MAX);
                    walk.step(input, &pair);
                }
            }
        }
    }
}

/// Whether `receive` may be called where `receive_chunk` has led to a state.
fn change_back(specification: &Specification, make: impl Fn(Role) -> Connection) {
    for (state, way) in specification.ways() {
        for role in BOTH {
            for bytes in [&[][..], &[0x89]] {
                let mut walk =
                    Walk::new(specification, make(role), Way::Chunks(usize::MAX), Own::Open);
                for &input in &way {
                    walk.step(input, &[&way]);
                }
                let receive =
                    || walk.connection.receive(&mut Input::new(&mut bytes.to_vec())).is_ok();
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(receive));
                assert_eq!(result.is_ok(), specification.changes[state][1], "{role:?}, {state}");
            }
        }
    }
}

/// The way to a state and an input, all in one read.
fn together(
    specification: &Specification,
    make: impl Fn(Role) -> Connection,
    role: Role,
    way: &[usize],
    input: usize,
    state: &str,
) {
    let ends = |input: &usize| specification.inputs[*input].end;
    if way.iter().chain([&input]).any(ends) {
        return;
    }
    let mut apart = Walk::new(specification, make(role), Way::Steps(usize::MAX), Own::Open);
    let (mut wire, mut events, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for &input in way.iter().chain([&input]) {
        let (frames, cell, bytes) = apart.next(input);
        wire.extend(&bytes);
        let (seen, result) = apart.give(&bytes);
        apart.event(frames, cell);
        apart.error = result.err();
        events.extend(seen);
        answers.extend(sent(&mut apart.connection));
        apart.state = cell.next;
    }
    let mut at_once = Walk::new(specification, make(role), Way::Steps(usize::MAX), Own::Open);
    let (seen, result) = at_once.give(&wire);
    assert_eq!((seen, result.err()), (events, apart.error), "{role:?}, {state}, in one read");
    assert_eq!(sent(&mut at_once.connection), answers, "{role:?}, {state}, in one read");
}

/// Every kind of frame in every state of the message under way, between its fragments too, before
/// and after our own Close, whole, cut anywhere, and in chunks.
#[test]
fn section_5_every_frame_in_every_state() {
    let specification = Specification::read(false);
    let make = |role| connection(role, specification.config.clone());
    walk(&specification, make, true, |_| false);
    change_back(&specification, make);
}

/// The same with permessage-deflate: RSV1 has a meaning, and nothing else has changed.
#[cfg(feature = "deflate")]
#[test]
fn rfc7692_6_every_frame_in_every_state() {
    for deflated in [true, false] {
        let specification = Specification::read(deflated);
        let make = |role| deflating(role, specification.config.clone(), params(""));
        let has_rsv1 = |frames: &Frames| frames.parts.iter().any(|part| part.first & 0x40 != 0);
        walk(&specification, make, deflated, |frames| !deflated && has_rsv1(frames));
        change_back(&specification, make);
    }
}
