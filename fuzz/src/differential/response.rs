//! A response to a client of each: who takes the connection for open, and with which subprotocol.

use super::{
    Comparison, Entry, explain, frames,
    head::{Head, Limits, visible},
    request::kind,
    scripted::Scripted,
};
use crate::{Counting, Plan};
use fullduplex::{
    Input,
    handshake::{ClientHandshake, ClientHandshakeError, HeadError, Request},
};
use tungstenite::{
    handshake::{HandshakeError, client::ClientHandshake as TheirHandshake},
    http,
};

pub(super) const LIST: &[Entry<Case>] = &[
    Entry {
        id: "no-subprotocol-chosen",
        sections: "§4.1, §4.2.2",
        applies: |case| {
            case.only_they_refuse("NoSubProtocol")
                && case.offered
                && case.head.first("Sec-WebSocket-Protocol").is_none()
        },
    },
    Entry {
        id: "connection-of-a-response-is-a-list",
        sections: "§4.1; RFC 9110 §7.6.1",
        applies: |case| {
            let first = case.head.first("Connection").and_then(visible);
            case.only_they_refuse("MissingConnectionUpgradeHeader")
                && !first.is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
                && case.head.lists("Connection", "upgrade")
        },
    },
    Entry {
        id: "interim-responses",
        sections: "§4.1; RFC 9110 §15.2",
        applies: |case| {
            let status = case.head.first_line.get(9..12).unwrap_or_default();
            status.starts_with(b"1")
                && status != b"101"
                && case.only_they_refuse(&format!("Http{}", status.escape_ascii()))
        },
    },
    Entry {
        id: "response-extensions-not-checked",
        sections: "§4.1, §9.1",
        applies: |case| match &case.ours {
            Err(ClientHandshakeError::ExtensionNotOffered(name)) => {
                case.theirs.is_ok() && (!case.offered || name != "x-one")
            }
            Err(ClientHandshakeError::Extensions(_)) => {
                let wrong = !case.head.has_valid_extensions() || case.head.has_many_extensions();
                case.theirs.is_ok() && wrong
            }
            _ => false,
        },
    },
    Entry {
        id: "response-fields-twice",
        sections: "§4.1, §11.3.3, §11.3.4; RFC 9110 §5.3",
        applies: |case| {
            let field = match case.ours {
                Err(ClientHandshakeError::Upgrade) => "Upgrade",
                Err(ClientHandshakeError::Accept) => "Sec-WebSocket-Accept",
                Err(ClientHandshakeError::RepeatedSubprotocol) => "Sec-WebSocket-Protocol",
                _ => return false,
            };
            case.theirs.is_ok() && case.head.is_repeated(field)
        },
    },
    Entry {
        id: "empty-lines-before-the-response",
        sections: "RFC 9112 §2.2",
        applies: |case| {
            matches!(case.ours, Err(ClientHandshakeError::Head(HeadError::NotHttp)))
                && case.theirs.is_ok()
                && matches!(case.first, Some(b'\r' | b'\n'))
        },
    },
    Entry {
        id: "response-limits",
        sections: "both allowed by §10.4",
        applies: |case| {
            let limits = HeadError::TooLarge { limit: case.limits.size };
            let fields = HeadError::TooManyHeaders { limit: case.limits.fields };
            matches!(&case.ours, Err(ClientHandshakeError::Head(error))
                if [&limits, &fields].contains(&error))
                && case.theirs.is_ok()
                && (case.head.length > case.limits.size
                    || case.head.fields.len() > case.limits.fields)
        },
    },
    Entry {
        id: "response-in-tiny-reads",
        sections: "both allowed by §10.4",
        applies: |case| {
            case.only_they_refuse("AttackAttempt")
                && case.reads > 64
                && case.reads * 128 > case.taken
        },
    },
];

/// A response, and what became of it.
#[derive(Debug)]
pub(super) struct Case {
    /// The first byte of all.
    first: Option<u8>,
    head: Head,
    limits: Limits,
    /// Whether subprotocols and an extension were offered.
    offered: bool,
    /// What tungstenite read, and in how many reads.
    taken: usize,
    reads: usize,
    /// The subprotocol.
    ours: Result<Option<String>, ClientHandshakeError>,
    theirs: Result<Option<String>, String>,
}

impl Case {
    fn only_they_refuse(&self, error: &str) -> bool {
        self.ours.is_ok() && self.theirs.as_ref().is_err_and(|theirs| theirs == error)
    }
}

/// Options: `0x04` lowers the limits, `0x08` offers subprotocols and an extension.
pub(super) fn compare(plan: &Plan<'_>) -> Comparison {
    let mut comparison = Comparison { accepted: false, differences: Vec::new() };
    let offered = plan.options & 8 != 0;
    for pieces in [plan.whole(), plan.pieces()] {
        let limits = Limits::new(plan.options);
        let (ours, key, rest) = run_ours(limits, offered, pieces.clone());
        let (theirs, taken, reads) = run_theirs(&key, offered, pieces, rest);
        comparison.accepted = ours.is_ok();
        let (first, head) = (plan.stream.first().copied(), Head::new(plan.stream));
        let case = Case { first, head, limits, offered, taken, reads, ours, theirs };
        match (&case.ours, &case.theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{case:?}"),
            (Err(_), Err(_)) => {}
            _ => comparison.add(explain(LIST, &case)),
        }
    }
    comparison
}

type Subprotocol = Option<String>;

/// What came of it, the key that was sent, and what is left behind a head that was accepted.
fn run_ours(
    limits: Limits,
    offered: bool,
    pieces: Vec<Vec<u8>>,
) -> (Result<Subprotocol, ClientHandshakeError>, String, Option<Vec<u8>>) {
    let mut request = Request::new("ws://example.com/chat");
    if offered {
        request = request
            .subprotocol("chat")
            .subprotocol("superchat")
            .extension("x-one; a=1".parse().expect("a valid extension"));
    }
    let client = ClientHandshake::new(request, &mut Counting(0)).expect("a valid request");
    let head = Head::new(client.request_bytes());
    let key = head.first("Sec-WebSocket-Key").expect("the key").escape_ascii().to_string();
    let mut client = client.limits(limits.ours());
    let mut pieces = pieces.into_iter();
    while let Some(mut piece) = pieces.next() {
        let mut input = Input::new(&mut piece);
        match client.receive(&mut input) {
            Ok(None) => {}
            Ok(Some(response)) => {
                let rest = [input.as_bytes(), &pieces.flatten().collect::<Vec<u8>>()].concat();
                return (Ok(response.subprotocol().map(Into::into)), key, Some(rest));
            }
            Err(error) => return (Err(error), key, None),
        }
    }
    (Err(client.handle_eof()), key, None)
}

/// What came of it, how many bytes were read for the head, and in how many reads. If it is
/// accepted as well, what is behind it has to be `rest`.
fn run_theirs(
    key: &str,
    offered: bool,
    pieces: Vec<Vec<u8>>,
    rest: Option<Vec<u8>>,
) -> (Result<Subprotocol, String>, usize, usize) {
    let mut request = http::Request::get("ws://example.com/chat")
        .header("Host", "example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", key)
        .header("Sec-WebSocket-Version", "13");
    if offered {
        request = request
            .header("Sec-WebSocket-Protocol", "chat, superchat")
            .header("Sec-WebSocket-Extensions", "x-one; a=1");
    }
    let request = request.body(()).expect("a valid request");
    let count = pieces.len();
    let mut stream = Scripted::new(pieces, false);
    let mut handshake = TheirHandshake::start(&mut stream, request, Some(frames::config_behind()))
        .expect("a valid request");
    let mut interrupted = 0;
    let error = loop {
        match handshake.handshake() {
            Ok((socket, response)) => {
                let name = response.headers().get("Sec-WebSocket-Protocol");
                let name = name.map(|name| name.to_str().expect("it was offered").to_string());
                let (taken, reads) = (socket.get_ref().taken, socket.get_ref().reads);
                if let Some(rest) = rest {
                    frames::compare_behind(true, rest, socket);
                }
                return (Ok(name), taken, reads);
            }
            Err(HandshakeError::Interrupted(again)) => handshake = again,
            Err(HandshakeError::Failure(error)) => break kind(&error),
        }
        interrupted += 1;
        assert!(interrupted <= count, "it only waits");
    };
    (Err(error), stream.taken, stream.reads)
}
