//! The two automata of the opening handshake (RFC 6455 §4): each request and each response, with
//! what becomes of it, and what the server may decide.

use super::table::{Cell, Table, blocks, has_sections, quoted, tables, unescaped};
use core::convert::Infallible;
use fullduplex::{
    Input,
    handshake::{
        AcceptPolicy, Acceptance, AnyRequest, ClientHandshake, ClientHandshakeError, HeadLimits,
        OriginPolicy, Rejection, Request, Response, ServerHandshake, UpgradeRequest,
    },
};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../src/guide/specification/handshake.md");

/// What is behind the head and not for the handshake.
const FRAMES: &[u8] = b"\x82\x00\x89\x00";

/// The heads and the tables of the page.
struct Specification {
    request: String,
    response: String,
    limits: HeadLimits,
    tables: Vec<Table>,
}

impl Specification {
    fn read() -> Self {
        let tables = tables(PAGE);
        for table in &tables {
            has_sections(table);
        }
        let [request, response] = blocks(PAGE)[..] else { panic!("two heads") };
        let head = |text: &str| text.replace('\n', "\r\n") + "\r\n";
        let limits = Table::find(&tables, &["limit"]).cells("here");
        let limits: Vec<usize> = limits.iter().map(|limit| limit.parse().unwrap()).collect();
        let limits = HeadLimits::new()
            .max_size(limits[0])
            .max_headers(limits[1])
            .max_target(limits[2])
            .max_body(limits[3]);
        let (request, response) = (head(request), head(response));
        let specification = Self { request, response, limits, tables };
        let server = ["request", "decision"].map(|first| specification.table(first));
        let client = ["response", "body"].map(|first| specification.table(first));
        specification.check(0, &server);
        specification.check(1, &client);
        specification
    }

    fn table(&self, first: &str) -> &Table {
        Table::find(&self.tables, &[first])
    }

    /// The tables of states, and those of what comes in the end, server and client.
    fn states(&self, role: usize) -> [&Table; 2] {
        let of = |second| self.tables.iter().filter(move |table| table.columns[1] == second);
        let mut all = of("what it is").filter(|table| table.columns[0] == "state");
        [all.nth(role).unwrap(), of("whatever comes").nth(role).unwrap()]
    }

    /// Every state has cells, and every cell leads to a state. An open connection is for frames.
    fn check(&self, role: usize, tables: &[&Table]) {
        let [states, ends] = self.states(role);
        let states = BTreeSet::from_iter(states.cells("state"));
        let mut with_cells = BTreeSet::from_iter(ends.cells("state"));
        if role == 0 {
            with_cells.insert("Open"); // there is nothing any more that could be given anything
        }
        for table in tables {
            let mut inputs = BTreeSet::new();
            for row in &table.rows {
                assert!(inputs.insert(&row[..2]), "{:?} is there twice", &row[..2]);
                for (state, cell) in table.columns.iter().zip(row).skip(2) {
                    if state.starts_with("RFC") {
                        continue;
                    }
                    with_cells.insert(state);
                    let next = Cell::parse(cell, state).next;
                    assert!(states.contains(next), "{next} in {row:?} is no state");
                }
            }
        }
        assert_eq!(with_cells, states, "the states, and those with cells");
    }

    /// What is told whatever comes in a state, from which nothing leads away.
    fn always(&self, role: usize, state: &'static str) -> Cell {
        let table = self.states(role)[1];
        let row = table.rows.iter().find(|row| row[0] == state);
        let cell = Cell::parse(row.unwrap_or_else(|| panic!("no row {state}"))[1], state);
        assert_eq!(cell.next, state);
        cell
    }
}

/// What is given to a handshake.
#[derive(Clone)]
enum Given {
    Bytes(Vec<u8>),
    End,
    Deadline,
}

/// An input as it is written in a table, which changes `head`.
fn input(text: &str, head: &str) -> Vec<Given> {
    let mut given = Vec::new();
    let mut bytes = Vec::new();
    for part in text.split(" then ") {
        match part {
            "nothing" | "required" => {}
            "as it is" => bytes.extend(head.bytes()),
            "part" => bytes.extend(&head.as_bytes()[..head.len() - 1]),
            "frames" => bytes.extend(FRAMES),
            "end" | "deadline" => {
                given.push(Given::Bytes(std::mem::take(&mut bytes)));
                given.push(if part == "end" { Given::End } else { Given::Deadline });
            }
            _ if part.starts_with('"') => {
                bytes.extend(quoted(part));
            }
            _ => bytes.extend(changed(head, part)),
        }
    }
    if given.is_empty() {
        given.push(Given::Bytes(bytes));
    }
    given
}

/// `head` with the changes that `text` names.
fn changed(head: &str, text: &str) -> Vec<u8> {
    let mut head = head.trim_end().as_bytes().to_vec();
    for change in text.split(" and ") {
        if let Some(line) = change.strip_prefix("+ ") {
            head = [&head[..], b"\r\n", &unescaped(line)].concat();
            continue;
        }
        let line;
        let (from, to) = match change.strip_prefix("- ") {
            Some(name) => {
                let mut lines = head.split_inclusive(|byte| *byte == b'\n');
                line = lines.find(|line| line.starts_with(format!("{name}:").as_bytes()));
                (line.unwrap_or_else(|| panic!("there is no {name}")).to_vec(), vec![])
            }
            None => {
                let (from, to) = change.split_once(" → ").expect("a change");
                (from.into(), unescaped(to))
            }
        };
        let at = head.windows(from.len()).position(|part| part == from);
        let at = at.unwrap_or_else(|| panic!("{change}: there is no such thing"));
        head.splice(at..at + from.len(), to);
    }
    let head = head.strip_suffix(b"\r\n").unwrap_or(&head);
    [head, b"\r\n\r\n"].concat()
}

/// Either side's handshake.
trait Side {
    type Done;
    type Error: std::fmt::Debug + PartialEq;

    fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<Self::Done>, Self::Error>;
    fn end(&mut self) -> Self::Error;
    fn deadline(&mut self) -> Self::Error;
}

/// `None` while there is no result.
type Outcome<S> = Option<Result<<S as Side>::Done, <S as Side>::Error>>;

impl Side for ServerHandshake {
    type Done = UpgradeRequest;
    type Error = Rejection;

    fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<UpgradeRequest>, Rejection> {
        self.receive(input)
    }

    fn end(&mut self) -> Rejection {
        self.handle_eof()
    }

    fn deadline(&mut self) -> Rejection {
        self.handle_timeout()
    }
}

impl Side for ClientHandshake {
    type Done = Response;
    type Error = ClientHandshakeError;

    fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<Response>, ClientHandshakeError> {
        self.receive(input)
    }

    fn end(&mut self) -> ClientHandshakeError {
        self.handle_eof()
    }

    fn deadline(&mut self) -> ClientHandshakeError {
        self.handle_timeout()
    }
}

/// The result of what is given, and what was left of it. The bytes come up to `cut` and then the
/// rest, or all one by one. Without a result all of them are taken.
fn give<S: Side>(side: &mut S, given: &[Given], cut: Option<usize>) -> (Outcome<S>, Vec<u8>) {
    for given in given {
        let bytes = match given {
            Given::End => return (Some(Err(side.end())), vec![]),
            Given::Deadline => return (Some(Err(side.deadline())), vec![]),
            Given::Bytes(bytes) => bytes,
        };
        let cuts = match cut {
            Some(cut) => vec![cut.min(bytes.len()), bytes.len()],
            None => (1..=bytes.len()).collect(),
        };
        let mut start = 0;
        for end in cuts {
            let mut piece = bytes[start..end].to_vec();
            let mut input = Input::new(&mut piece);
            match side.receive(&mut input) {
                Ok(None) => assert!(input.is_empty(), "something is left"),
                Ok(Some(done)) => {
                    return (Some(Ok(done)), [input.as_bytes(), &bytes[end..]].concat());
                }
                Err(error) => return (Some(Err(error)), vec![]),
            }
            start = end;
        }
    }
    (None, vec![])
}

/// Gives an input to fresh handshakes, cut anywhere: the result, which is always the same, what was
/// left of it, and the handshake.
fn every_way<S: Side>(
    make: impl Fn() -> S,
    given: &[Given],
    name: impl Fn(&Result<S::Done, S::Error>) -> String,
) -> (Outcome<S>, Vec<u8>, S) {
    let length = given.iter().map(|given| match given {
        Given::Bytes(bytes) => bytes.len(),
        _ => 0,
    });
    let length = length.max().unwrap();
    let mut whole = make();
    let (result, left) = give(&mut whole, given, Some(length));
    let expected = (result.as_ref().map(&name), left.clone());
    for cut in (0..length).map(Some).chain([None]) {
        let (result, left) = give(&mut make(), given, cut);
        assert_eq!((result.as_ref().map(&name), left), expected, "cut at {cut:?}");
    }
    (result, left, whole)
}

/// The name of a variant, and of the one inside of it if that is an error of heads.
fn name(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    match (words.next().unwrap(), words.next()) {
        ("Head", Some(inner)) => format!("Head {inner}"),
        (outer, _) => outer.into(),
    }
}

/// A rejection as a cell has it: the reason, and the response with the fields that are named.
#[track_caller]
fn assert_rejected(rejection: &Rejection, cell: &Cell) {
    assert_eq!(name(&rejection.reason()), cell.told);
    assert_sent(&rejection.response(), cell);
}

/// What a cell has queued: the status, and then fields.
#[track_caller]
fn assert_sent(response: &Response, cell: &Cell) {
    let text = String::from_utf8(response.to_bytes().unwrap()).unwrap();
    let (status, fields) = cell.queued.split_first().expect("a response");
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    for field in fields {
        assert!(text.contains(&format!("\r\n{field}\r\n")), "{field} is not in {text}");
    }
    // What is not named is not there.
    for name in ["Allow", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol"] {
        let named = fields.iter().any(|field| field.starts_with(&format!("{name}:")));
        let of_101 = response.status() == 101 && name == "Upgrade";
        assert_eq!(text.contains(&format!("\r\n{name}: ")), named || of_101, "{name} in {text}");
    }
    // §7.2.2: it ends with the response.
    assert_eq!(text.contains("\r\nConnection: close"), response.status() != 101, "{text}");
}

// The server

/// Every request, however it is cut, and whatever comes behind the result.
#[test]
fn section_4_2_every_request() {
    let specification = Specification::read();
    let table = specification.table("request");
    let inputs = table.cells("request");
    let make = || ServerHandshake::new(specification.limits);
    for (text, cell) in inputs.iter().zip(table.cells("Waiting")) {
        let cell = Cell::parse(cell, "Waiting");
        println!("{text}: {cell:?}");
        let given = input(text, &specification.request);
        let (result, left, mut server) = every_way(make, &given, |result| match result {
            Ok(request) => format!("{:?}", request.headers()),
            Err(rejection) => format!("{rejection:?}"),
        });
        match (cell.next, result) {
            ("Waiting", None) => continue,
            ("Request", Some(Ok(request))) => {
                assert!(cell.told.is_empty() && cell.queued.is_empty());
                assert_eq!(request.host(), "server.example.com");
                assert_eq!(left, if text.contains("frames") { FRAMES } else { &[] });
            }
            ("Rejected", Some(Err(rejection))) => assert_rejected(&rejection, &cell),
            (_, result) => panic!("{result:?}"),
        }
        let finished = specification.always(0, cell.next);
        for behind in &inputs {
            let mut given = input(behind, &specification.request);
            given.extend([Given::End, Given::Deadline]);
            for given in given {
                let (again, _) = give(&mut server, &[given], Some(0));
                assert_rejected(&again.unwrap().unwrap_err(), &finished);
            }
        }
    }
}

/// Every request where plain HTTP is served too.
#[test]
fn rfc9110_9_3_every_plain_request() {
    struct Both(ServerHandshake);

    impl Side for Both {
        type Done = AnyRequest;
        type Error = Rejection;

        fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<AnyRequest>, Rejection> {
            self.0.receive_any(input)
        }

        fn end(&mut self) -> Rejection {
            self.0.handle_eof()
        }

        fn deadline(&mut self) -> Rejection {
            self.0.handle_timeout()
        }
    }

    let specification = Specification::read();
    for row in &specification.table("head").rows {
        println!("{row:?}");
        let mut cell = Cell::parse(row[2], "Waiting");
        // A list is one field.
        if cell.queued.last() == Some(&"HEAD") {
            cell.queued.truncate(cell.queued.len() - 2);
            cell.queued.push("Allow: GET, HEAD");
        }
        let given = input(row[0], &specification.request);
        let make = || Both(ServerHandshake::new(specification.limits));
        let (result, left, _) = every_way(make, &given, |result| format!("{result:?}"));
        match (cell.next, result.unwrap()) {
            ("Request", Ok(AnyRequest::Upgrade(_))) => {}
            ("Plain", Ok(AnyRequest::Http(request))) => {
                assert_eq!(request.is_head(), row[0].contains("HEAD"));
                let Given::Bytes(bytes) = &given[0] else { panic!("bytes") };
                let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
                assert_eq!(left, bytes[end..]);
            }
            ("Rejected", Err(rejection)) => assert_rejected(&rejection, &cell),
            (_, result) => panic!("{result:?}"),
        }
    }
}

/// The content of every answer to one.
#[test]
fn rfc9112_6_3_every_answer_to_plain_http() {
    let specification = Specification::read();
    for row in &specification.table("status").rows {
        for (method, cell) in [("GET", row[2]), ("HEAD", row[3])] {
            let mut wire = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
            let mut server = ServerHandshake::default();
            let request = server.receive_any(&mut Input::new(&mut wire)).unwrap().unwrap();
            let AnyRequest::Http(request) = request else { panic!("{request:?}") };
            let response = Response::new(row[0].parse().unwrap()).with_body(row[1]);
            let seen = match request.answer(response).to_bytes() {
                Err(_) => "refused".to_string(),
                Ok(bytes) => {
                    let text = String::from_utf8(bytes).unwrap();
                    let (head, content) = text.split_once("\r\n\r\n").unwrap();
                    let length = head.split_once("\r\nContent-Length: ");
                    let length = length.map_or("none", |(_, rest)| rest.lines().next().unwrap());
                    let sent = if content.is_empty() { "not sent" } else { "sent" };
                    assert!(content.is_empty() || content == row[1], "{text}");
                    assert!(head.contains("\r\nConnection: close"), "{text}");
                    format!("{length}, {sent}")
                }
            };
            assert_eq!(seen, cell, "{method}: {row:?}");
        }
    }
}

/// Every decision of the application.
#[test]
fn section_4_2_2_every_decision() {
    let specification = Specification::read();
    let table = specification.table("decision");
    for row in &table.rows {
        let cell = Cell::parse(row[table.column("Request")], "Request");
        println!("{row:?}");
        let mut server = ServerHandshake::new(specification.limits);
        let given = input(row[1], &specification.request);
        let request = give(&mut server, &given, Some(0)).0.unwrap().unwrap();
        let (decision, parts) = row[0].split_once(", ").unwrap_or((row[0], ""));
        let parts = parts.split(", ").filter(|part| !part.is_empty());
        let decided: Result<Result<Response, Rejection>, String> = match decision {
            "accept" => {
                let acceptance = parts.fold(Acceptance::new(), accepting);
                let answer = request.accept(&acceptance);
                assert_eq!(answer, request.accept(&acceptance), "as often as one likes");
                answer.map(Ok).map_err(|error| name(&error))
            }
            "policy" => {
                match parts.fold((AcceptPolicy::new(), vec![]), policy).0.answer(&request) {
                    Ok(acceptance) => Ok(Ok(request.accept(&acceptance).unwrap())),
                    Err(rejection) => Ok(Err(rejection)),
                }
            }
            _ => {
                let status = decision.strip_prefix("respond ").expect("a decision");
                let response = Response::new(status.parse().unwrap());
                match response.to_bytes() {
                    Ok(_) => Ok(Ok(response)),
                    Err(error) => Err(name(&error)),
                }
            }
        };
        match (cell.next, decided) {
            ("Open", Ok(Ok(response))) => {
                assert_eq!((response.status(), cell.told), (101, ""));
                assert_sent(&response, &cell);
                // §4.2.2: what was chosen is sent, and nothing else is.
                if row[0] == "accept, subprotocol chat, extension foo" {
                    assert_eq!(response.to_bytes().unwrap(), specification.response.as_bytes());
                }
            }
            ("Rejected", Ok(Ok(response))) => {
                assert_eq!(cell.told, "");
                assert_sent(&response, &cell);
            }
            ("Rejected", Ok(Err(rejection))) => assert_rejected(&rejection, &cell),
            ("Request", Err(error)) => {
                assert_eq!(error, cell.told);
                assert!(cell.queued.is_empty());
            }
            (_, decided) => panic!("{decided:?}"),
        }
    }
}

fn accepting(acceptance: Acceptance, part: &str) -> Acceptance {
    match part.split_once(' ') {
        Some(("subprotocol", name)) => acceptance.subprotocol(name),
        Some(("extension", name)) => acceptance.extension(name.parse().unwrap()),
        Some(("header", line)) => {
            let (name, value) = line.split_once(": ").unwrap();
            acceptance.header(name, unescaped(value))
        }
        _ => panic!("what is {part}?"),
    }
}

fn policy(
    (acceptor, mut names): (AcceptPolicy, Vec<String>),
    part: &str,
) -> (AcceptPolicy, Vec<String>) {
    match part.split_once(' ') {
        Some(("subprotocol", name)) => names.push(name.into()),
        Some(("same", "host")) => return (acceptor.origins(OriginPolicy::same_host()), names),
        _ if part == "required" => return (acceptor.require_subprotocol(true), names),
        _ => panic!("what is {part}?"),
    }
    (acceptor.subprotocols(&names), names)
}

// The client

/// The nonce of RFC 6455 §1.3.
struct Sample;

impl rand::TryRng for Sample {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(b"the sample nonce");
        Ok(())
    }
}

impl rand::TryCryptoRng for Sample {}

fn client(limits: HeadLimits, required: bool) -> ClientHandshake {
    let request = Request::new("ws://server.example.com/chat")
        .subprotocol("chat")
        .subprotocol("superchat")
        .extension("foo".parse().unwrap())
        .require_subprotocol(required);
    ClientHandshake::new(request, &mut Sample).unwrap().limits(limits)
}

/// What a client is told, as a cell has it.
fn told(error: &ClientHandshakeError) -> String {
    match error {
        ClientHandshakeError::Refused(response) => {
            let truncated = if response.is_truncated() { " truncated" } else { "" };
            let body = response.body().escape_ascii();
            format!("Refused {} \"{body}\"{truncated}", response.status())
        }
        _ => name(error),
    }
}

/// The request is the one on the page.
#[test]
fn section_4_1_the_request() {
    let specification = Specification::read();
    let client = client(specification.limits, false);
    assert_eq!(client.request_bytes(), specification.request.as_bytes());
}

/// Every response, however it is cut, every body of a refusal, and whatever comes behind the result.
#[test]
fn section_4_1_every_response() {
    let specification = Specification::read();
    let table = specification.table("response");
    let inputs = table.cells("response");
    for (text, cell) in inputs.iter().zip(table.cells("Waiting")) {
        let cell = Cell::parse(cell, "Waiting");
        let required = text.starts_with("required");
        let make = || client(specification.limits, required);
        let given = input(text, &specification.response);
        responds(&specification, &inputs, text, make, &given, &cell);
        // The states in which a body is awaited, and all that may come in them.
        let bodies = specification.table("body");
        if !bodies.columns.contains(&cell.next) {
            continue;
        }
        for (body, text) in bodies.cells("body").iter().zip(bodies.cells(cell.next)) {
            let make = || {
                let mut client = make();
                assert!(give(&mut client, &given, None).0.is_none());
                client
            };
            let given = input(body, "");
            responds(&specification, &inputs, body, make, &given, &Cell::parse(text, cell.next));
        }
    }
}

fn responds(
    specification: &Specification,
    inputs: &[&str],
    text: &str,
    make: impl Fn() -> ClientHandshake,
    given: &[Given],
    cell: &Cell,
) {
    println!("{text}: {cell:?}");
    let (result, left, mut client) = every_way(make, given, |result| match result {
        Ok(response) => format!("{response:?}"),
        // How many bytes came is told, too.
        Err(error) => format!("{error:?}"),
    });
    assert!(cell.queued.is_empty(), "a client sends nothing more");
    match (cell.next, result) {
        ("Waiting" | "Sized" | "Chunked" | "Endless", None) => {
            assert_eq!(cell.told, "");
            return;
        }
        ("Open", Some(Ok(response))) => {
            assert_eq!((response.status(), cell.told), (101, ""));
            assert_eq!(left, if text.contains("frames") { FRAMES } else { &[] });
        }
        ("Over", Some(Err(error))) => assert_eq!(told(&error), cell.told),
        (_, result) => panic!("{result:?}"),
    }
    let finished = specification.always(1, cell.next);
    for behind in inputs {
        let mut given = input(behind, &specification.response);
        given.extend([Given::End, Given::Deadline]);
        for given in given {
            let (again, _) = give(&mut client, &[given], Some(0));
            assert_eq!(told(&again.unwrap().unwrap_err()), finished.told);
        }
    }
}
