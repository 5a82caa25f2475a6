//! The opening handshake from outside: both ends together, any chunking, hostile peers.
#![cfg(feature = "std")]

use fullduplex::Input;
use fullduplex::handshake::{
    AcceptPolicy, Acceptance, ClientHandshake, ClientHandshakeError, Extension, HeadLimits,
    Headers, InvalidAcceptance, InvalidExtension, InvalidHeader, InvalidOrigin, InvalidRequest,
    InvalidResponse, InvalidSubprotocol, InvalidUrl, OriginPolicy, Rejection, RejectionReason,
    Request, Response, ServerHandshake, UpgradeRequest, Url, accept_key,
};
use proptest::{collection::vec, prelude::*};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The fields that a request needs, but for Host.
const NEEDED: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

const LIKELY_URL: &str = concat!(
    "(ws|WSS)://([a-z:%0-9]{0,4}@)?[a-z0-9.]{1,9}(:[0-9]{0,5})?",
    r"((/|\?)[\PC&&[^#]]{0,9})?",
);

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn client(request: Request) -> ClientHandshake {
    ClientHandshake::new(request, &mut rand::rng()).unwrap()
}

/// A request as text.
fn head<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let lines = fields.into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("GET / HTTP/1.1\r\nHost: example.com\r\n{}\r\n", lines.collect::<String>())
}

/// Gives `bytes` to `receive` in pieces that end at `cuts`: the result, and the bytes that were
/// left. Stops where a real connection would.
fn feed<T, E>(
    bytes: &[u8],
    cuts: &[usize],
    mut receive: impl FnMut(&mut Input<'_>) -> Result<Option<T>, E>,
) -> (Option<Result<T, E>>, Vec<u8>) {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        let mut piece = bytes[start..end].to_vec();
        let mut input = Input::new(&mut piece);
        match receive(&mut input) {
            Ok(None) => assert!(input.is_empty(), "None means that all was taken"),
            Ok(Some(value)) => {
                return (Some(Ok(value)), [input.as_bytes(), &bytes[end..]].concat());
            }
            Err(error) => return (Some(Err(error)), Vec::new()),
        }
        start = end;
    }
    (None, Vec::new())
}

fn serve(bytes: &[u8], cuts: &[usize]) -> (Option<Result<UpgradeRequest, Rejection>>, Vec<u8>) {
    let mut server = ServerHandshake::default();
    feed(bytes, cuts, |input| server.receive(input))
}

/// The reason of a rejection; `None` for a request that passed.
fn reason(bytes: &[u8]) -> Option<RejectionReason> {
    serve(bytes, &[]).0.expect("the head is complete").err().map(|rejection| rejection.reason())
}

/// The 101 that answers `client`, with more lines before its end.
fn answer(client: &ClientHandshake, lines: &[u8]) -> Vec<u8> {
    let (request, _) = serve(client.request_bytes(), &[]);
    let response = request.unwrap().unwrap().accept(&Acceptance::new()).unwrap();
    let mut bytes = response.to_bytes().unwrap();
    bytes.truncate(bytes.len() - 2);
    [&bytes, lines, b"\r\n"].concat()
}

proptest! {
    #![proptest_config(config(64))]

    /// Checklist 22 and 31: both ends agree, however the bytes are cut, and what follows the heads
    /// is left to the frames.
    #[test]
    fn any_chunking_opens_both_ends(
        request_cuts in vec(any::<usize>(), 0..8),
        response_cuts in vec(any::<usize>(), 0..8),
        early in vec(any::<u8>(), 0..20),
        interim in 0..3usize,
    ) {
        let request = Request::new("ws://user:pass@example.com:8080/chat?room=1")
            .subprotocol("v2")
            .subprotocol("v1")
            .extension("foo; bar=1".parse().unwrap())
            .extension("baz".parse().unwrap())
            .origin("http://example.com:8080")
            .header("Cookie", "a=b");
        let mut client = client(request);
        let bytes = [client.request_bytes(), &early].concat();
        let (request, left) = serve(&bytes, &request_cuts);
        prop_assert_eq!(left, early.clone());

        let request = request.unwrap().unwrap();
        prop_assert_eq!(request.target(), "/chat?room=1");
        prop_assert_eq!(request.host(), "example.com:8080");
        prop_assert_eq!(request.header("authorization"), Some("Basic dXNlcjpwYXNz"));
        prop_assert_eq!(request.cookies().collect::<Vec<_>>(), [("a", "b")]);
        let acceptor = AcceptPolicy::new().subprotocols(["v1"]).origins(OriginPolicy::same_host());
        let answer = acceptor.answer(&request).unwrap().extension(Extension::new("baz").unwrap());
        let sent = request.accept(&answer).unwrap();

        let mut bytes = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(interim);
        bytes.extend(sent.to_bytes().unwrap());
        bytes.extend(&early);
        let (response, left) = feed(&bytes, &response_cuts, |input| client.receive(input));
        prop_assert_eq!(left, early);
        let response = response.unwrap().unwrap();
        prop_assert_eq!(response.subprotocol(), Some("v1"));
        prop_assert_eq!(response.extensions(), sent.extensions());
    }

    /// Known failure 35: a refusal arrives as it was sent, and never as a 101.
    #[test]
    fn any_chunking_delivers_a_refusal(
        cuts in vec(any::<usize>(), 0..8),
        status in 200..600u16,
        body in vec(any::<u8>(), 0..100),
        chunked in any::<bool>(),
    ) {
        let body = if matches!(status, 204 | 205 | 304) { Vec::new() } else { body };
        let refusal = Response::new(status).with_header("X-Why", "because").with_body(body.clone());
        let mut bytes = refusal.to_bytes().unwrap();
        if chunked && !body.is_empty() {
            bytes = format!("HTTP/1.1 {status} x\r\nX-Why: because\r\n").into_bytes();
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(7) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
        let mut client = client("ws://h/".into());
        let (result, _) = feed(&bytes, &cuts, |input| client.receive(input));
        let Some(Err(ClientHandshakeError::Refused(response))) = result else {
            panic!("{result:?}");
        };
        prop_assert_eq!(response.status(), status);
        prop_assert_eq!(response.headers().get("x-why"), Some("because"));
        prop_assert_eq!(response.body(), body);
        prop_assert!(!response.is_truncated());
    }

    /// Known failure 22: Accept of 0 to 4096 bytes of anything that a value can hold.
    #[test]
    fn known_failure_22_accept_fuzz(value in vec(any::<u8>(), 0..4096)) {
        let value: Vec<u8> =
            value.into_iter().filter(|byte| !byte.is_ascii_control()).collect();
        let mut client = client("ws://h/".into());
        let good = String::from_utf8(answer(&client, b"")).unwrap();
        let line = good.lines().find(|line| line.starts_with("Sec-WebSocket-Accept")).unwrap();
        let (before, after) = good.split_once(line).unwrap();
        let bytes =
            [before.as_bytes(), b"Sec-WebSocket-Accept: ", &value, after.as_bytes()].concat();
        let (result, _) = feed(&bytes, &[], |input| client.receive(input));
        prop_assert_eq!(result, Some(Err(ClientHandshakeError::Accept)));
    }

    /// A key of any content and length is taken or refused, and its answer is always the same.
    #[test]
    fn keys_of_any_content(key in "[ -~]{0,40}|[A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{20,25}=?") {
        let key = key.trim();
        let text = head(NEEDED).replace(KEY, key);
        let (result, _) = serve(text.as_bytes(), &[]);
        match result.unwrap() {
            Ok(request) => {
                prop_assert!(key.len() == 24 && key.ends_with("=="));
                let response = request.accept(&Acceptance::new()).unwrap();
                let accept = response.headers().get("Sec-WebSocket-Accept").unwrap();
                prop_assert_eq!(accept, accept_key(key));
            }
            Err(rejection) => prop_assert_eq!(rejection.reason(), RejectionReason::Key),
        }
    }

    /// A request that another server parsed meets the same checks.
    #[test]
    fn from_parts_equals_parsed_bytes(
        method in prop_oneof![8 => Just("GET"), 1 => Just("POST"), 1 => Just("get")],
        target in prop_oneof![
            4 => Just("/"), 2 => Just("/a?b"), 1 => Just("*"), 1 => Just("http://example.com/x"),
            1 => Just("http://other/"), 1 => Just("/#"),
        ],
        minor in prop_oneof![8 => Just(1u8), 1 => Just(0)],
        host in prop_oneof![8 => Just("example.com"), 1 => Just(""), 1 => Just("a b")],
        drop in prop_oneof![4 => Just(9usize), 1 => 0..4usize],
        more in vec((
            prop::sample::select(vec![
                "Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
                "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin", "Content-Length",
                "Transfer-Encoding", "X",
            ]),
            prop::sample::select(vec![
                "", "a", "a, b", "a; b=\"c\"", "0", "5", "13", "websocket", "Upgrade", "a b", KEY,
            ]),
        ), 0..3),
    ) {
        let mut fields = vec![("Host", host)];
        fields.extend(NEEDED.iter().enumerate().filter(|(i, _)| *i != drop).map(|(_, f)| *f));
        fields.extend(&more);
        let mut text = format!("{method} {target} HTTP/1.{minor}\r\n");
        for (name, value) in &fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let parsed = serve(text.as_bytes(), &[]).0.unwrap();
        let given = UpgradeRequest::from_parts(method, target, (1, minor), fields);
        match (parsed, given) {
            (Ok(parsed), Ok(given)) => {
                prop_assert_eq!(parsed.target(), given.target());
                prop_assert_eq!(parsed.headers(), given.headers());
                prop_assert_eq!(parsed.extensions(), given.extensions());
                prop_assert!(parsed.subprotocols().eq(given.subprotocols()));
                let accept = |request: UpgradeRequest| request.accept(&Acceptance::new());
                prop_assert_eq!(accept(parsed), accept(given));
            }
            (parsed, given) => prop_assert_eq!(parsed.err(), given.err()),
        }
    }

    /// Any bytes, and any change to good ones, end in a result: never a panic, and never a 101
    /// that was not earned.
    #[test]
    fn changed_bytes_do_not_panic(
        changes in vec((any::<usize>(), prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n')]), 1..6),
        noise in vec(any::<u8>(), 0..200),
        cuts in vec(any::<usize>(), 0..4),
    ) {
        let change = |mut bytes: Vec<u8>| {
            for (at, byte) in &changes {
                let at = at % bytes.len();
                bytes[at] = *byte;
            }
            bytes
        };
        let request = change(head(NEEDED).into_bytes());
        let whole = serve(&request, &[]).0;
        let pieces = serve(&request, &cuts).0;
        prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        if let Some(Err(rejection)) = whole {
            prop_assert!(rejection.response().status() >= 400);
            prop_assert!(rejection.response().to_bytes().is_ok());
        }
        let mut open = client("ws://h/".into());
        let response = change(answer(&open, b"X: y\r\n"));
        let _ = feed(&response, &cuts, |input| open.receive(input));
        let _ = open.handle_eof();

        let _ = serve(&noise, &cuts);
        let noise = [b"HTTP/1.1 ", noise.as_slice()].concat();
        let mut noisy = client("ws://h/".into());
        let _ = feed(&noise, &cuts, |input| noisy.receive(input));
    }

    /// Checklist 1 to 4: no text makes the parser panic, and what it takes it can print.
    #[test]
    fn urls_print_and_parse(
        likely in LIKELY_URL,
        odd in "wss?://\\PC{0,30}",
        any in "\\PC*",
    ) {
        for text in [likely, odd, any] {
            let Ok(url) = Url::parse(&text) else { continue };
            let printed = Url::parse(&url.to_string()).unwrap();
            prop_assert_eq!(printed.target(), url.target());
            prop_assert_eq!(printed.host_header(), url.host_header());
            prop_assert!(url.target().starts_with('/') && url.target().is_ascii());
            // What a client sends, a server takes.
            let client = client(url.into());
            let (request, _) = serve(client.request_bytes(), &[]);
            let request = request.unwrap().unwrap();
            prop_assert_eq!(request.target(), printed.target());
        }
    }
}

/// Known failure 1: a head that drips until the limit is refused there, with 431.
#[test]
fn known_failure_1_dripped_head() {
    let limits = HeadLimits::new().max_size(2000).max_headers(1000);
    let mut server = ServerHandshake::new(limits);
    let endless = b"GET / HTTP/1.1\r\n".iter().chain(b"X: y\r\n".iter().cycle());
    for (count, &byte) in endless.enumerate() {
        match server.receive(&mut Input::new(&mut [byte])) {
            Ok(request) => assert!(request.is_none() && server.received() == count + 1),
            Err(rejection) => {
                assert_eq!(count + 1, 2000);
                assert_eq!(rejection.reason(), RejectionReason::HeadTooLarge);
                return;
            }
        }
    }
}

/// Known failure 29 (CVE-2024-37890): any number of fields, the needed ones first or last.
#[test]
fn known_failure_29_any_number_of_headers() {
    for count in 0..200 {
        let filler = vec![("X-Filler", "y"); count];
        let first = head(NEEDED.into_iter().chain(filler.clone()));
        let last = head(filler.into_iter().chain(NEEDED));
        let expected = (count > 95).then_some(RejectionReason::TooManyHeaders);
        assert_eq!(reason(first.as_bytes()), expected, "{count} after");
        assert_eq!(reason(last.as_bytes()), expected, "{count} before");

        let mut client = client("ws://h/".into());
        let bytes = answer(&client, &b"X-Filler: y\r\n".repeat(count));
        let (result, _) = feed(&bytes, &[], |input| client.receive(input));
        // Three fields are in every 101.
        assert_eq!(result.unwrap().is_ok(), count <= 97, "{count}");
    }
}

/// Known failure 28: 8 KiB of hostile lists are refused by both roles. (That the work is linear is
/// counted in the unit tests of `negotiate`.)
#[test]
fn known_failure_28_hostile_lists() {
    let pieces =
        ["a;a;", "a,", ",", " ,", "\\c\\c", "a;b=\"\\c", "\"", ";", "=", "a=", "constructor,"];
    for piece in pieces {
        let value = piece.repeat(8192 / piece.len());
        for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
            let text = head(NEEDED.into_iter().chain([(name, value.as_str())]));
            // Offers without end are legal, and those beyond a bound are not taken.
            let legal = name.ends_with("Extensions") && matches!(piece, "a," | "constructor,");
            let reason = reason(text.as_bytes());
            let status = reason.map(RejectionReason::status);
            assert_eq!(status, (!legal).then_some(400), "{name}: {piece}");
            let request = Request::new("ws://h/")
                .subprotocol("a")
                .extension(Extension::new("constructor").unwrap());
            let mut client = client(request);
            let bytes = answer(&client, format!("{name}: {value}\r\n").as_bytes());
            let (result, _) = feed(&bytes, &[], |input| client.receive(input));
            assert!(result.unwrap().is_err(), "{name}: {piece}");
        }
    }
    // All of it blank: an empty list is none.
    let blank = " ".repeat(8192);
    let text = head(NEEDED.into_iter().chain([("Sec-WebSocket-Extensions", blank.as_str())]));
    assert_eq!(reason(text.as_bytes()), Some(RejectionReason::Extensions));
}

/// Known failure 33: nothing that a user sets can add a line to what is sent, on either side.
#[test]
fn known_failure_33_injection() {
    let (request, _) = serve(head(NEEDED).as_bytes(), &[]);
    let request = request.unwrap().unwrap();
    for byte in (0..b' ').chain([0x7f]).filter(|&byte| byte != b'\t') {
        let evil = format!("a{}X: y", char::from(byte));
        let base = || Request::new("ws://h/");
        let requests = [
            base().header("X", &evil),
            base().header(&evil, "x"),
            base().header("Cookie", &evil),
            base().origin(&evil),
            base().subprotocol(&evil),
            Request::new(format!("ws://{evil}/")),
            Request::new(format!("ws://h:1{evil}/")),
            Request::new(format!("ws://h/{evil}")),
            Request::new(format!("ws://h/?{evil}")),
            Request::new(format!("ws://{evil}@h/")),
            Request::new(format!("ws://u:%{byte:02x}@h/")),
        ];
        for request in requests {
            assert!(request.url().is_err(), "{byte:#04x} {request:?}");
            assert!(ClientHandshake::new(request, &mut rand::rng()).is_err());
        }
        let acceptances = [
            Acceptance::new().header("X", &evil),
            Acceptance::new().header(&evil, "x"),
            Acceptance::new().subprotocol(&evil),
            AcceptPolicy::new().header("X", &evil).answer(&request).unwrap(),
            AcceptPolicy::new().subprotocols([&evil]).answer(&request).unwrap(),
        ];
        for acceptance in acceptances {
            assert!(request.accept(&acceptance).is_err(), "{byte:#04x} {acceptance:?}");
        }
        assert!(Response::new(403).with_header("X", &evil).to_bytes().is_err());
        assert!(Response::new(403).with_header(&evil, "x").to_bytes().is_err());
        assert!(Extension::new(&evil).is_err());
        assert!(Extension::new("a").unwrap().param("b", Some(&evil)).is_err());
        assert!(Headers::new().append("X", &evil).is_err());
        assert!(OriginPolicy::list([&evil]).is_err());
    }
}

/// §4.2.2, §4.4 and RFC 9110 §15.5: every rejection as the client sees it.
#[test]
fn section_4_2_2_statuses_reach_the_client() {
    let good = head(NEEDED);
    let cases = [
        ("GET / ", "GET  / ", 400),
        ("Host: example.com\r\n", "", 400),
        (KEY, "short", 400),
        ("Upgrade: websocket", "Content-Length: 1\r\nUpgrade: websocket", 400),
        ("GET", "PUT", 405),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("Version: 13", "Version: 12", 426),
        ("HTTP/1.1", "HTTP/1.0", 505),
    ];
    for (from, to, status) in cases {
        let text = good.replace(from, to);
        let rejection = serve(text.as_bytes(), &[]).0.unwrap().unwrap_err();
        let bytes = rejection.response().to_bytes().unwrap();
        let mut client = client("ws://h/".into());
        let (result, _) = feed(&bytes, &[], |input| client.receive(input));
        let Some(Err(ClientHandshakeError::Refused(response))) = result else { panic!("{to}") };
        assert_eq!(response.status(), status, "{to}");
        let headers = response.headers();
        assert!(headers.get("Connection").unwrap().starts_with("close"));
        assert_eq!(headers.get("Allow"), (status == 405).then_some("GET"));
        assert_eq!(headers.get("Upgrade"), (status == 426).then_some("websocket"));
        assert_eq!(headers.get("Sec-WebSocket-Version"), (status == 426).then_some("13"));
        assert!(!response.body().is_empty() && !response.is_truncated());
    }
}

#[test]
fn errors_are_errors_and_cross_threads() {
    fn check<E: core::error::Error + Send + Sync + Clone + PartialEq + 'static>() {}
    fn sent<T: Send + Sync + 'static>() {}
    check::<ClientHandshakeError>();
    check::<InvalidAcceptance>();
    check::<InvalidExtension>();
    check::<InvalidHeader>();
    check::<InvalidOrigin>();
    check::<InvalidRequest>();
    check::<InvalidResponse>();
    check::<InvalidSubprotocol>();
    check::<InvalidUrl>();
    check::<Rejection>();
    sent::<(AcceptPolicy, ClientHandshake, Request, Response, ServerHandshake, UpgradeRequest)>();
}
