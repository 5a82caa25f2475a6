//! Responses to a client: whole against dripped, and never open when RFC 6455 §4.1 does not allow it.

use crate::{
    Counting, Plan,
    grammar::{self, Head},
    heads::{Outcome, compare, drive},
};
use fullduplex::handshake::{ClientHandshake, ClientHandshakeError, HeadLimits, Request, Response};

/// `data` is a [`Plan`] and what a server sends. Options: `0x01` lowers the limits, `0x02` offers
/// nothing, `0x04` wants a subprotocol.
pub fn response_head(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let limits = match plan.options & 1 {
        0 => HeadLimits::new(),
        _ => HeadLimits::new().max_size(300).max_headers(6).max_body(8),
    };
    let offers: (&[&str], &[&str]) = match plan.options & 2 {
        0 => (&["chat", "superchat"], &["x-one", "permessage-deflate"]),
        _ => (&[], &[]),
    };
    let wanted = plan.options & 4 != 0;
    let client = || {
        let mut request = Request::new("ws://example.com/chat").require_subprotocol(wanted);
        for name in offers.0 {
            request = request.subprotocol(name);
        }
        for name in offers.1 {
            request = request.extension(name.parse().expect("a valid extension"));
        }
        ClientHandshake::new(request, &mut Counting(0)).expect("a valid request")
    };
    let run = |pieces| {
        let client = &mut client().limits(limits);
        drive(client, pieces, ClientHandshake::receive, ClientHandshake::handle_eof)
    };
    let whole: Outcome<Response, ClientHandshakeError> = run(plan.whole());
    compare(&whole, &run(plan.pieces()));
    let error = whole.result.as_ref().err().or(whole.eof.as_ref());
    if let Some(ClientHandshakeError::Refused(response)) = error {
        assert!((200..).contains(&response.status()), "{response}");
        assert!(response.body().len() <= if plan.options & 1 == 0 { 16_384 } else { 8 });
    }
    // A head came to its end that is not one of a refusal.
    if let (Ok(Some(_)), None) | (Err(_), None) = (&whole.result, &whole.eof) {
        let key = Head::last(client().request_bytes()).values("Sec-WebSocket-Key")[0].to_vec();
        match &whole.result {
            Ok(Some(response)) => {
                let head = Head::last(&plan.stream[..whole.consumed]);
                let flaw = section_4_1(&head, &key, offers, wanted);
                assert_eq!(flaw, Ok(()), "open in spite of it: {head:?}");
                assert!(head.fields.iter().copied().eq(response.headers().iter()));
                let subprotocol = head.values("Sec-WebSocket-Protocol").first().copied();
                assert_eq!(response.subprotocol().map(str::as_bytes), subprotocol);
                assert_eq!((response.status(), response.body()), (101, &b""[..]));
            }
            Err(error) if is_judged(error) => {
                let head = Head::last(&plan.stream[..whole.consumed]);
                let flaw = section_4_1(&head, &key, offers, wanted);
                let extensions = head.values("Sec-WebSocket-Extensions");
                assert!(flaw.is_err() || !extensions.is_empty(), "{error}: {head:?}");
            }
            _ => {}
        }
    }
    matches!(whole.result, Ok(Some(_)))
}

/// Whether a well-formed 101 was refused.
fn is_judged(error: &ClientHandshakeError) -> bool {
    use ClientHandshakeError as Error;
    matches!(
        error,
        Error::Upgrade
            | Error::Connection
            | Error::Accept
            | Error::SubprotocolNotOffered(_)
            | Error::RepeatedSubprotocol
            | Error::NoSubprotocol
            | Error::Extensions(_)
            | Error::ExtensionNotOffered(_)
    )
}

/// What §4.1 demands of the response to a request that offered these subprotocols and extensions.
fn section_4_1(
    head: &Head<'_>,
    key: &[u8],
    (subprotocols, extensions): (&[&str], &[&str]),
    wanted: bool,
) -> Result<(), &'static str> {
    let demand = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    demand(head.first_line[0] == "HTTP/1.1", "HTTP/1.1")?;
    demand(head.first_line[1] == "101", "1: 101")?;
    let upgrade = head.values("Upgrade");
    let upgrade = upgrade.len() == 1 && upgrade[0].eq_ignore_ascii_case(b"websocket");
    demand(upgrade, "2: Upgrade")?;
    demand(head.lists("Connection", "Upgrade"), "3: Connection")?;
    let accept = grammar::accept(key);
    demand(head.values("Sec-WebSocket-Accept") == [accept.as_bytes()], "4: Sec-WebSocket-Accept")?;
    // Names do not hold commas, and values of ours do not either: that is for `extensions`.
    let names = head.list("Sec-WebSocket-Extensions").into_iter().map(|extension| {
        grammar::trim(extension.split(|&byte| byte == b';').next().unwrap_or_default())
    });
    let offered = |name: &[u8], offers: &[&str]| offers.iter().any(|o| o.as_bytes() == name);
    demand(names.into_iter().all(|name| offered(name, extensions)), "5: extensions")?;
    let chosen = head.values("Sec-WebSocket-Protocol");
    demand(chosen.len() <= 1, "§11.3.4: one subprotocol")?;
    demand(chosen.iter().all(|name| offered(name, subprotocols)), "6: subprotocol")?;
    demand(!wanted || subprotocols.is_empty() || !chosen.is_empty(), "our own: a subprotocol")
}
