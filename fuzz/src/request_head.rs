//! Requests to a server: whole against dripped, and never a 101 that RFC 6455 §4.2.1 does not allow.

use crate::{
    Plan,
    grammar::{self, Head},
    heads::{Outcome, compare, drive, is_head_error},
};
use fullduplex::handshake::{
    Acceptance, Extension, HeadLimits, Headers, Rejection, ServerHandshake, UpgradeRequest,
};

/// `data` is a [`Plan`] and what a client sends. Option `0x01` lowers the limits.
pub fn request_head(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let limits = match plan.options & 1 {
        0 => HeadLimits::new(),
        _ => HeadLimits::new().max_size(300).max_headers(6).max_target(20),
    };
    let run = |pieces| {
        let mut server = ServerHandshake::new(limits);
        drive(
            &mut server,
            pieces,
            |server, input| Ok(server.receive(input)?.map(Accepted::from)),
            ServerHandshake::handle_eof,
        )
    };
    let whole: Outcome<Accepted, Rejection> = run(plan.whole());
    compare(&whole, &run(plan.pieces()));
    for rejection in whole.result.as_ref().err().iter().chain(&whole.eof.as_ref()) {
        let response = rejection.response();
        assert!((400..600).contains(&response.status()), "{rejection}");
        response.to_bytes().expect("a rejection can be sent");
    }
    // The head is well-formed.
    if whole.eof.is_none() && !is_head_error(&whole.result) {
        let head = Head::last(&plan.stream[..whole.consumed]);
        match (&whole.result, section_4_2_1(&head)) {
            (Ok(Some(accepted)), Ok(())) => accepted.check(&head),
            (Ok(_), flaw) => panic!("accepted in spite of {flaw:?}: {head:?}"),
            (Err(rejection), flaw) => {
                assert!(flaw.is_err() || !is_plain(&head), "{rejection}: {head:?}");
                // §4.4: which version it would have to be.
                if rejection.response().status() == 426 {
                    let versions = rejection.response();
                    assert_eq!(versions.headers().get("Sec-WebSocket-Version"), Some("13"));
                }
            }
        }
        // Its lines are judged the same.
        let [method, target, version] = &head.first_line[..] else { panic!("{head:?}") };
        let version = (1, version.strip_prefix("HTTP/1.").and_then(|v| v.parse().ok()).unwrap());
        let parts = UpgradeRequest::from_parts(method, target, version, head.fields);
        assert_eq!(whole.result, parts.map(|request| Some(request.into())));
    }
    matches!(whole.result, Ok(Some(_)))
}

/// What §4.2.1 demands of a request, in its order: the first thing that is not so.
fn section_4_2_1(head: &Head<'_>) -> Result<(), &'static str> {
    let demand = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    let [method, target, version] = &head.first_line[..] else { return Err("a request line") };
    demand(version == "HTTP/1.1", "1: HTTP/1.1")?; // "or higher": of HTTP/1 there is no higher
    demand(method == "GET", "1: GET")?;
    let scheme = |name: &str| {
        target.len() > name.len() && {
            target.is_char_boundary(name.len()) && target[..name.len()].eq_ignore_ascii_case(name)
        }
    };
    let absolute = ["http://", "https://", "ws://", "wss://"].into_iter().any(scheme);
    demand(target.starts_with('/') || absolute, "1: a resource name or a URI")?;
    demand(!target.contains('#'), "§3: no fragment")?;
    let host = head.values("Host");
    demand(host.len() == 1 && !host[0].is_empty(), "2: Host")?;
    demand(head.lists("Upgrade", "websocket"), "3: Upgrade")?;
    demand(head.lists("Connection", "Upgrade"), "4: Connection")?;
    let key = head.values("Sec-WebSocket-Key");
    demand(key.len() == 1 && grammar::is_key(key[0]), "5: Sec-WebSocket-Key")?;
    demand(head.values("Sec-WebSocket-Version") == [b"13"], "6: Sec-WebSocket-Version")?;
    demand(head.values("Origin").len() <= 1, "7: Origin")?;
    let subprotocols = head.list("Sec-WebSocket-Protocol");
    // Our own bound: those behind it are offers that are not taken.
    let kept = subprotocols.len().min(64);
    let unique = (1..kept).all(|i| !subprotocols[..i].contains(&subprotocols[i]));
    let tokens = subprotocols.iter().all(|name| grammar::is_token(name));
    demand(unique && tokens, "8: Sec-WebSocket-Protocol")?;
    demand(head.has_no_body(), "RFC 9110 §7.8: no body")
}

/// Whether nothing is in a head on which one could be stricter than §4.2.1 says.
fn is_plain(head: &Head<'_>) -> bool {
    let [_, target, _] = &head.first_line[..] else { return false };
    let none = |name| head.values(name).is_empty();
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
    target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_graphic())
        && head.values("Host").iter().all(|host| host.iter().all(letter))
        && none("Origin")
        && none("Sec-WebSocket-Protocol")
        && none("Sec-WebSocket-Extensions")
        && none("Content-Length")
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

impl Accepted {
    /// What is there of the request and of the answer (§4.2.2).
    fn check(&self, head: &Head<'_>) {
        assert!(head.fields.iter().copied().eq(self.headers.iter()));
        assert_eq!(self.host.as_bytes(), head.values("Host")[0]);
        assert!(self.target.starts_with('/'), "{}", self.target);
        let subprotocols = head.list("Sec-WebSocket-Protocol");
        let kept = subprotocols.iter().copied().take(64);
        assert!(self.subprotocols.iter().map(String::as_bytes).eq(kept));
        let accept = grammar::accept(head.values("Sec-WebSocket-Key")[0]);
        let subprotocol = match self.subprotocols.last() {
            Some(name) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
            None => String::new(),
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{subprotocol}\r\n"
        );
        assert_eq!(self.answer.escape_ascii().to_string(), answer.escape_default().to_string());
    }
}
