//! The heads of the opening handshake: whole against dripped, and what is accepted against a
//! naive reading of its lines.

use crate::{Counting, Plan};
use core::{error::Error, fmt::Debug};
use fullduplex::{
    Input,
    handshake::{
        Acceptance, ClientHandshake, ClientHandshakeError, Extension, HeadError, HeadLimits,
        Headers, Rejection, Request, Response, ServerHandshake, UpgradeRequest,
    },
};

/// `data` is a [`Plan`] and what comes from the other end: to a server a request, to a client a
/// response. Option `0x01` lowers the limits.
pub fn handshake(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let limits = match plan.options & 1 {
        0 => HeadLimits::new(),
        _ => HeadLimits::new().max_size(300).max_headers(6).max_target(20).max_body(8),
    };
    let request = server(&plan, limits);
    let response = client(&plan, limits);
    request || response
}

/// How a handshake ended and how many bytes it took; `None` for one that still waits, with the
/// error that the end of the connection gives then.
#[derive(Debug, PartialEq)]
struct Outcome<T, E> {
    result: Result<Option<T>, E>,
    consumed: usize,
    eof: Option<E>,
}

fn drive<S, T, E>(
    state: &mut S,
    pieces: Vec<Vec<u8>>,
    receive: impl Fn(&mut S, &mut Input<'_>) -> Result<Option<T>, E>,
    receive_eof: impl Fn(&mut S) -> E,
) -> Outcome<T, E> {
    let mut consumed = 0;
    for mut piece in pieces {
        let length = piece.len();
        let mut input = Input::new(&mut piece);
        let result = receive(state, &mut input);
        consumed += length - input.len();
        match result {
            Ok(None) => assert!(input.is_empty(), "{} bytes left over", input.len()),
            result => return Outcome { result, consumed, eof: None },
        }
    }
    Outcome { result: Ok(None), consumed, eof: Some(receive_eof(state)) }
}

/// The same result after the same number of bytes.
fn compare<T, E>(whole: &Outcome<T, E>, dripped: &Outcome<T, E>)
where
    T: PartialEq + Debug,
    E: PartialEq + Error + 'static,
{
    assert_eq!(whole.result, dripped.result);
    assert_eq!(whole.eof, dripped.eof);
    if is_head_error(&whole.result) {
        // Refused inside the head: of the piece in which that shows, nothing is consumed.
        assert!(whole.consumed <= dripped.consumed);
    } else {
        assert_eq!(whole.consumed, dripped.consumed);
    }
}

fn is_head_error<T, E: Error + 'static>(result: &Result<T, E>) -> bool {
    result.as_ref().err().and_then(Error::source).is_some_and(|source| source.is::<HeadError>())
}

/// What can be seen of a request that passed.
#[derive(Debug, PartialEq)]
struct Accepted {
    target: String,
    path_and_query: (String, Option<String>),
    host: String,
    origin: Option<String>,
    headers: Headers,
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
    answer: Vec<u8>,
}

impl From<UpgradeRequest> for Accepted {
    fn from(request: UpgradeRequest) -> Self {
        let acceptance = match request.subprotocols().last() {
            Some(name) => Acceptance::new().subprotocol(name),
            None => Acceptance::new(),
        };
        let answer = request.accept(&acceptance).expect("it was offered");
        Self {
            target: request.target().into(),
            path_and_query: (request.path().into(), request.query().map(Into::into)),
            host: request.host().into(),
            origin: request.origin().map(Into::into),
            headers: request.headers().clone(),
            subprotocols: request.subprotocols().map(Into::into).collect(),
            extensions: request.extensions().to_vec(),
            answer: answer.to_bytes().expect("a valid answer"),
        }
    }
}

fn server(plan: &Plan<'_>, limits: HeadLimits) -> bool {
    let run = |pieces| {
        let mut server = ServerHandshake::new(limits);
        drive(
            &mut server,
            pieces,
            |server, input| Ok(server.receive(input)?.map(Accepted::from)),
            ServerHandshake::receive_eof,
        )
    };
    let whole: Outcome<Accepted, Rejection> = run(plan.whole());
    compare(&whole, &run(plan.pieces()));
    if let Err(rejection) = &whole.result {
        rejection.response().to_bytes().expect("a rejection can be sent");
    }
    // The head is well-formed: the same lines, read naively, are judged the same.
    if whole.eof.is_none() && !is_head_error(&whole.result) {
        let head = last_head(&plan.stream[..whole.consumed]);
        let [method, target, version] = &head.first_line[..] else { panic!("{head:?}") };
        let version = (1, version.strip_prefix("HTTP/1.").and_then(|v| v.parse().ok()).unwrap());
        let parts = UpgradeRequest::from_parts(method, target, version, head.fields);
        assert_eq!(whole.result, parts.map(|request| Some(request.into())));
    }
    matches!(whole.result, Ok(Some(_)))
}

fn client(plan: &Plan<'_>, limits: HeadLimits) -> bool {
    let run = |pieces| {
        let request = Request::new("ws://example.com/chat")
            .subprotocol("chat")
            .subprotocol("superchat")
            .extension("x-one; a=1".parse().expect("a valid extension"));
        let client = ClientHandshake::new(request, &mut Counting(0)).expect("a valid request");
        drive(
            &mut client.limits(limits),
            pieces,
            ClientHandshake::receive,
            ClientHandshake::receive_eof,
        )
    };
    let whole: Outcome<Response, ClientHandshakeError> = run(plan.whole());
    compare(&whole, &run(plan.pieces()));
    let Ok(Some(response)) = &whole.result else { return false };
    let head = last_head(&plan.stream[..whole.consumed]);
    assert_eq!(head.first_line[..2], ["HTTP/1.1", "101"]);
    assert!(head.fields.into_iter().eq(response.headers().iter()));
    let subprotocol = response.headers().get("Sec-WebSocket-Protocol");
    assert_eq!(response.subprotocol(), subprotocol);
    true
}

/// A head as anybody would read it who need not fear malformed ones.
#[derive(Debug)]
struct Head<'d> {
    first_line: Vec<String>,
    fields: Vec<(&'d str, &'d [u8])>,
}

/// Of well-formed heads, one behind the other, the last.
fn last_head(heads: &[u8]) -> Head<'_> {
    let lines: Vec<&[u8]> = heads
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    let [before @ .., b"", b""] = &lines[..] else { panic!("no empty line in the end") };
    let start = before.iter().rposition(|line| line.is_empty()).map_or(0, |at| at + 1);
    let [first, fields @ ..] = &before[start..] else { panic!("no first line") };
    let text = |bytes| core::str::from_utf8(bytes).expect("UTF-8");
    let fields = fields
        .iter()
        .map(|line| {
            let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
            (text(&line[..colon]), line[colon + 1..].trim_ascii())
        })
        .collect();
    // A reason phrase may be anything.
    let first = String::from_utf8_lossy(first);
    Head { first_line: first.split(' ').map(String::from).collect(), fields }
}
