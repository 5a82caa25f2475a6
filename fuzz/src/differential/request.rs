//! A request to a server of each: who answers with 101, and with which `Sec-WebSocket-Accept`.

use super::{
    Comparison, Entry, explain, frames,
    head::{Head, Limits, is_host, visible},
    scripted::Scripted,
};
use crate::Plan;
use fullduplex::{
    Input,
    handshake::{Acceptance, RejectionReason as Reason, ServerHandshake},
};
use tungstenite::{
    Error,
    error::ProtocolError,
    handshake::{
        HandshakeError,
        server::{NoCallback, ServerHandshake as TheirHandshake},
    },
};

pub(super) const LIST: &[Entry<Case>] = &[
    Entry {
        id: "refused-without-a-response",
        sections: "§4.2.1, §4.4",
        applies: |case| case.answered() && case.theirs.is_err(),
    },
    Entry {
        id: "host-not-checked",
        sections: "§4.2.1; RFC 9112 §3.2",
        applies: |case| {
            case.only_we_refuse(Reason::Host)
                && !matches!(case.head.all("Host")[..], [host] if is_host(host))
        },
    },
    Entry {
        id: "target-not-checked",
        sections: "§3, §4.2.1; RFC 9112 §3.2",
        applies: |case| {
            let target = case.head.target();
            case.only_we_refuse(Reason::Target)
                && (!target.starts_with(b"/") || !target.is_ascii() || target.contains(&b'#'))
        },
    },
    Entry {
        id: "target-characters",
        sections: "RFC 3986 §3.3, §3.4",
        applies: |case| {
            let target = case.head.target();
            let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
            case.only_they_refuse("HttpFormat")
                && target.starts_with(b"/")
                && (target.iter().any(|byte| b"<>".contains(byte)) || path.contains(&b'`'))
        },
    },
    Entry {
        id: "empty-lines-before-the-request",
        sections: "RFC 9112 §2.2",
        applies: |case| case.only_we_refuse(Reason::Malformed) && case.empty_lines > 4,
    },
    Entry {
        id: "request-with-a-body",
        sections: "RFC 9112 §6, §9.3",
        applies: |case| case.only_we_refuse(Reason::Body) && case.head.has_body(),
    },
    Entry {
        id: "upgrade-is-a-list",
        sections: "§4.2.1; RFC 9110 §5.3, §7.8",
        applies: |case| {
            let first = case.head.first("Upgrade").and_then(visible);
            case.only_they_refuse("MissingUpgradeWebSocketHeader")
                && !first.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
                && case.head.lists("Upgrade", "websocket")
        },
    },
    Entry {
        id: "connection-is-a-list",
        sections: "§4.2.1; RFC 9110 §5.3, §7.6.1",
        applies: |case| {
            case.only_they_refuse("MissingConnectionUpgradeHeader")
                && !case.splits_connection()
                && case.head.lists("Connection", "upgrade")
        },
    },
    Entry {
        id: "connection-split-at-spaces",
        sections: "§4.2.1; RFC 9110 §5.6.1",
        applies: |case| {
            case.only_we_refuse(Reason::NotUpgrade)
                && case.splits_connection()
                && !case.head.lists("Connection", "upgrade")
        },
    },
    Entry {
        id: "request-fields-twice",
        sections: "§11.3.1, §11.3.5",
        applies: |case| {
            case.only_we_refuse(Reason::Key) && case.head.is_repeated("Sec-WebSocket-Key")
                || case.only_we_refuse(Reason::RepeatedVersion)
                    && case.head.is_repeated("Sec-WebSocket-Version")
        },
    },
    Entry {
        id: "key-with-pad-bits",
        sections: "§4.1, §4.2.1",
        applies: |case| {
            // The last letter in front of the padding has four bits that mean nothing.
            let bits = match case.head.first("Sec-WebSocket-Key") {
                Some([.., last, b'=', b'=']) => BASE64.iter().position(|digit| digit == last),
                _ => None,
            };
            case.only_they_refuse("InvalidSecWebSocketKey")
                && bits.is_some_and(|bits| bits & 0xf != 0)
        },
    },
    Entry {
        id: "key-in-several-pieces",
        sections: "§4.2.1; RFC 4648 §3.2, §3.3",
        applies: |case| {
            let key = case.head.first("Sec-WebSocket-Key").unwrap_or_default();
            case.only_we_refuse(Reason::Key)
                && key.len() % 4 == 0
                && key.windows(2).any(|pair| pair[0] == b'=' && pair[1] != b'=')
        },
    },
    Entry {
        id: "origin-not-checked",
        sections: "§4.1, §10.2; RFC 6454 §7",
        applies: |case| {
            let origins = case.head.all("Origin");
            case.only_we_refuse(Reason::InvalidOrigin)
                && (origins.len() > 1 || !origins.iter().all(|origin| origin.is_ascii()))
        },
    },
    Entry {
        id: "subprotocols-not-checked",
        sections: "§4.1, §11.3.4",
        applies: |case| {
            case.only_we_refuse(Reason::Subprotocols) && !case.head.has_valid_subprotocols()
        },
    },
    Entry {
        id: "extension-offers-not-checked",
        sections: "§9.1",
        applies: |case| {
            case.only_we_refuse(Reason::Extensions) && !case.head.has_valid_extensions()
        },
    },
    Entry {
        id: "frames-behind-the-request",
        sections: "both allowed by §4.1",
        applies: |case| case.only_they_refuse("JunkAfterRequest") && case.stream > case.head.length,
    },
    Entry {
        id: "request-limits",
        sections: "both allowed by §10.4",
        applies: |case| {
            [Reason::HeadTooLarge, Reason::TooManyHeaders, Reason::TargetTooLong]
                .into_iter()
                .any(|reason| case.only_we_refuse(reason))
                && case.head.is_beyond(case.limits)
        },
    },
    Entry {
        id: "request-in-tiny-reads",
        sections: "both allowed by §10.4",
        applies: |case| {
            case.only_they_refuse("AttackAttempt")
                && case.reads > 64
                && case.reads * 128 > case.taken
        },
    },
];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A request, and what became of it.
#[derive(Debug)]
pub(super) struct Case {
    head: Head,
    limits: Limits,
    /// Empty lines in front of all.
    empty_lines: usize,
    /// Bytes in all.
    stream: usize,
    /// What tungstenite read, and in how many reads.
    taken: usize,
    reads: usize,
    /// The accept value.
    ours: Result<String, Reason>,
    theirs: Result<String, String>,
}

impl Case {
    fn only_we_refuse(&self, reason: Reason) -> bool {
        self.ours == Err(reason) && self.theirs.is_ok()
    }

    fn only_they_refuse(&self, error: &str) -> bool {
        self.ours.is_ok() && self.theirs.as_ref().is_err_and(|theirs| theirs == error)
    }

    /// Whether we send a status other than 101.
    fn answered(&self) -> bool {
        self.ours.as_ref().is_err_and(|&reason| reason != Reason::Eof)
    }

    /// What tungstenite looks for in `Connection`: words of the first field.
    fn splits_connection(&self) -> bool {
        let first = self.head.first("Connection").and_then(visible).unwrap_or_default();
        first.split([' ', ',']).any(|word| word.eq_ignore_ascii_case("upgrade"))
    }
}

pub(super) fn compare(plan: &Plan<'_>) -> Comparison {
    let mut comparison = Comparison { accepted: false, differences: Vec::new() };
    for pieces in [plan.whole(), plan.pieces()] {
        let limits = Limits::new(plan.options);
        let (ours, rest) = run_ours(limits, pieces.clone());
        let (theirs, taken, reads) = run_theirs(pieces, rest);
        comparison.accepted = ours.is_ok();
        let head = Head::new(plan.stream);
        let empty = plan
            .stream
            .split(|&byte| byte == b'\n')
            .take_while(|line| matches!(*line, [] | [b'\r']));
        let (empty_lines, stream) = (empty.count(), plan.stream.len());
        let case = Case { head, limits, empty_lines, stream, taken, reads, ours, theirs };
        match (&case.ours, &case.theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{case:?}"),
            // Neither says anything to a client that leaves.
            (Err(Reason::Eof), Err(_)) => {}
            _ => comparison.add(explain(LIST, &case)),
        }
    }
    comparison
}

/// What came of it, and what is left behind a head that was accepted.
fn run_ours(limits: Limits, pieces: Vec<Vec<u8>>) -> (Result<String, Reason>, Option<Vec<u8>>) {
    let mut server = ServerHandshake::new(limits.ours());
    let mut pieces = pieces.into_iter();
    while let Some(mut piece) = pieces.next() {
        let mut input = Input::new(&mut piece);
        match server.receive(&mut input) {
            Ok(None) => {}
            Ok(Some(request)) => {
                let response = request.accept(&Acceptance::new()).expect("nothing was asked for");
                let bytes = response.to_bytes().expect("a valid response");
                let rest = [input.as_bytes(), &pieces.flatten().collect::<Vec<u8>>()].concat();
                return (Ok(accept(&bytes)), Some(rest));
            }
            Err(rejection) => return (Err(rejection.reason()), None),
        }
    }
    (Err(server.handle_eof().reason()), None)
}

/// What came of it, how many bytes were read for the head, and in how many reads. If it is
/// accepted as well, what is behind it has to be `rest`.
fn run_theirs(
    pieces: Vec<Vec<u8>>,
    rest: Option<Vec<u8>>,
) -> (Result<String, String>, usize, usize) {
    let count = pieces.len();
    let mut stream = Scripted::new(pieces, false);
    let config = frames::config_behind();
    let mut handshake = TheirHandshake::start(&mut stream, NoCallback, Some(config));
    let mut interrupted = 0;
    let error = loop {
        match handshake.handshake() {
            Ok(socket) => {
                let accept = accept(&socket.get_ref().written);
                let (taken, reads) = (socket.get_ref().taken, socket.get_ref().reads);
                if let Some(rest) = rest {
                    frames::compare_behind(false, rest, socket);
                }
                return (Ok(accept), taken, reads);
            }
            Err(HandshakeError::Interrupted(again)) => handshake = again,
            Err(HandshakeError::Failure(error)) => break kind(&error),
        }
        interrupted += 1;
        assert!(interrupted <= count, "it only waits");
    };
    assert!(stream.written.is_empty(), "{}", stream.written.escape_ascii());
    (Err(error), stream.taken, stream.reads)
}

/// The accept value of a 101 response.
fn accept(response: &[u8]) -> String {
    let head = Head::new(response);
    assert_eq!(head.length, response.len());
    assert!(head.first_line.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    let [accept] = head.all("Sec-WebSocket-Accept")[..] else { panic!("{head:?}") };
    String::from_utf8(accept.to_vec()).expect("base64")
}

/// The name of an error, without what is in it.
pub(super) fn kind(error: &Error) -> String {
    let name = match error {
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(error)) => format!("{error:?}"),
        Error::Protocol(error) => format!("{error:?}"),
        Error::Http(response) => format!("Http{}", response.status().as_u16()),
        error => format!("{error:?}"),
    };
    name.split(['(', ' ']).next().unwrap_or_default().to_string()
}
