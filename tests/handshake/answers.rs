//! What is answered besides a 101, and when: over all adapters, on streams in memory. Requests of plain
//! HTTP, mistakes of the application's, answers that come late; and refusals at the client's end.
#![cfg(all(feature = "tokio", feature = "futures-io", feature = "testing"))]

use crate::support::{REQUEST, header, paused, quiet, response_to, watchdog};
use core::{future::poll_fn, pin::pin, task::Poll, time::Duration};
use fullduplex::{
    Config, Error, TimeoutError,
    asynchronous::{self, AsyncIo},
    blocking::{self, Timeouts},
    futures_io::FuturesIo,
    handshake::{
        AcceptPolicy, Acceptance, ClientHandshakeError, Extension, HttpRequest, InvalidAcceptance,
        InvalidRequest, InvalidResponse, RejectionReason, Request, Response, UpgradeRequest,
    },
    testing::{Clock, Pipe, duplex},
};
use std::io::{Read, Write};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Blocking,
    Tokio,
    FuturesIo,
}

const WAYS: [Way; 3] = [Way::Blocking, Way::Tokio, Way::FuturesIo];

/// What the application does with an upgrade.
enum Act {
    Accept(Acceptance),
    Answer(AcceptPolicy),
    Reject(Response),
}

impl Act {
    fn block(&self, upgrade: blocking::Upgrade<Pipe>) -> Result<(), Error> {
        match self {
            Self::Accept(acceptance) => upgrade.accept(acceptance).map(drop),
            Self::Answer(acceptor) => upgrade.answer(acceptor).map(drop),
            Self::Reject(response) => upgrade.reject(response),
        }
    }

    async fn run(&self, upgrade: asynchronous::Upgrade<impl AsyncIo>) -> Result<(), Error> {
        match self {
            Self::Accept(acceptance) => upgrade.accept(acceptance).await.map(drop),
            Self::Answer(acceptor) => upgrade.answer(acceptor).await.map(drop),
            Self::Reject(response) => upgrade.reject(response).await,
        }
    }
}

/// The stream of a client that has sent `request` and no more, and its other end.
fn client(request: &str) -> (Pipe, Pipe) {
    let (mut client, server) = duplex(128 * 1024);
    client.write_all(request.as_bytes()).unwrap();
    client.shutdown_write().unwrap();
    (client, server)
}

fn read_to_end(mut pipe: Pipe) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

/// What becomes of a request, and what the client reads.
fn serve(way: Way, request: &str, act: &Act) -> (Result<(), Error>, String) {
    let (client, server) = client(request);
    let result = match way {
        Way::Blocking => blocking::upgrade(server, quiet()).and_then(|upgrade| act.block(upgrade)),
        Way::Tokio => paused()
            .block_on(async { act.run(fullduplex::tokio::upgrade(server, quiet()).await?).await }),
        Way::FuturesIo => {
            let clock = Clock::new();
            let io = FuturesIo::with_timer(server, clock.clone());
            clock.block_on(async { act.run(io.upgrade(quiet()).await?).await })
        }
    };
    (result, read_to_end(client))
}

/// As [`serve`], where plain HTTP is answered and an upgrade is opened.
fn serve_both(
    way: Way,
    request: &str,
    respond: impl Fn(&HttpRequest) -> Response,
) -> (Result<(), Error>, String) {
    let (client, server) = client(request);
    let acceptance = Acceptance::new();
    let result = match way {
        Way::Blocking => blocking::upgrade_or_http(server, quiet()).and_then(|got| match got {
            blocking::UpgradeOrHttp::Upgrade(upgrade) => upgrade.accept(&acceptance).map(drop),
            blocking::UpgradeOrHttp::Http(exchange) => {
                let response = respond(exchange.request());
                exchange.respond(&response)
            }
        }),
        Way::Tokio => paused().block_on(async {
            either_of(fullduplex::tokio::upgrade_or_http(server, quiet()).await?, respond).await
        }),
        Way::FuturesIo => {
            let clock = Clock::new();
            let io = FuturesIo::with_timer(server, clock.clone());
            clock.block_on(async { either_of(io.upgrade_or_http(quiet()).await?, respond).await })
        }
    };
    (result, read_to_end(client))
}

async fn either_of(
    got: asynchronous::UpgradeOrHttp<impl AsyncIo>,
    respond: impl Fn(&HttpRequest) -> Response,
) -> Result<(), Error> {
    match got {
        asynchronous::UpgradeOrHttp::Upgrade(upgrade) => {
            upgrade.accept(&Acceptance::new()).await.map(drop)
        }
        asynchronous::UpgradeOrHttp::Http(exchange) => {
            let response = respond(exchange.request());
            exchange.respond(&response).await
        }
    }
}

/// The one head in a text, and the content behind it.
#[track_caller]
fn response(text: &str) -> (&str, &str) {
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    let end = text.find("\r\n\r\n").expect("a head") + 4;
    text.split_at(end)
}

const HEALTH: &str = "GET /health?deep=1+2 HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// A5, and plain HTTP on the port of WebSocket: content as method and status say (RFC 9110 §9.3.2,
/// §15; RFC 9112 §6.3), and then the end of the connection.
#[test]
fn rfc9112_6_3_plain_http_is_answered() {
    let _watchdog = watchdog();
    for way in WAYS {
        let statuses: [(u16, &str, Option<&str>); 6] = [
            (200, "fine", Some("4")),
            (404, "", Some("0")),
            (503, "busy", Some("4")),
            (204, "", None),
            (205, "", Some("0")),
            (304, "", None),
        ];
        for method in ["GET", "HEAD"] {
            for (status, body, length) in statuses {
                let request = HEALTH.replace("GET", method);
                // What is behind it is not answered.
                for request in [request.clone(), request.clone() + &request, request + "x"] {
                    let (result, text) = serve_both(way, &request, |request| {
                        assert_eq!((request.path(), request.method()), ("/health", method));
                        assert_eq!(request.query_pairs().next().unwrap().1, "1 2");
                        Response::new(status).with_header("X-Y", "z").with_body(body)
                    });
                    assert!(result.is_ok(), "{way:?}: {result:?}");
                    let (head, content) = response(&text);
                    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{way:?}: {head}");
                    assert_eq!(header(head, "Content-Length"), length, "{way:?}: {head}");
                    assert_eq!(header(head, "Connection"), Some("close"), "{way:?}: {head}");
                    assert_eq!(header(head, "X-Y"), Some("z"), "{way:?}: {head}");
                    assert_eq!(content, if method == "GET" { body } else { "" }, "{way:?}: {head}");
                }
            }
        }
    }
}

/// On such a port an upgrade is one, and all else is refused as on another.
#[test]
fn what_is_neither_plain_http_nor_an_upgrade_is_refused() {
    let _watchdog = watchdog();
    let edited = |from: &str, to: &str| HEALTH.replacen(from, to, 1);
    let large = format!("Host: example.com\r\nX: {}\r\n", "y".repeat(20_000));
    let cases = [
        (edited("GET", "POST"), 405),
        (edited("HTTP/1.1", "HTTP/1.0"), 505),
        (edited("Host: example.com\r\n", ""), 400),
        (edited("Host: example.com\r\n", &large), 431),
        (edited("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"), 400),
        (edited("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        (edited("\r\n\r\n", "\r\nSec-WebSocket-Version: 13\r\n\r\n"), 426),
        (REQUEST.replace("Upgrade: websocket\r\n", ""), 426),
        (REQUEST.replace("Connection: Upgrade\r\n", ""), 426),
        (REQUEST.replace("GET", "HEAD"), 405),
        ("SSH-2.0-x\r\n".into(), 400),
    ];
    for way in WAYS {
        for (request, status) in &cases {
            let (result, text) = serve_both(way, request, |request| panic!("{way:?}: {request:?}"));
            assert!(matches!(result, Err(Error::Rejected(_))), "{way:?}: {result:?}");
            let (head, content) = response(&text);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{way:?}: {text}");
            let allowed = if request.starts_with("HEAD") { "GET" } else { "GET, HEAD" };
            assert_eq!(header(head, "Allow"), (*status == 405).then_some(allowed), "{text}");
            assert_eq!(content.is_empty(), request.starts_with("HEAD"), "{way:?}: {text}");
        }
        let (result, text) = serve_both(way, REQUEST, |request| panic!("{way:?}: {request:?}"));
        assert!(result.is_ok() && text.starts_with("HTTP/1.1 101 "), "{way:?}: {result:?}, {text}");
    }
    // Where nobody asked for plain HTTP, all is as ever.
    for way in WAYS {
        for (method, status) in [("GET", 426), ("HEAD", 405)] {
            let request = HEALTH.replace("GET", method);
            let (result, text) = serve(way, &request, &Act::Accept(Acceptance::new()));
            assert!(matches!(result, Err(Error::Rejected(_))), "{way:?}: {result:?}");
            let (head, content) = response(&text);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{way:?}: {text}");
            assert_eq!(content.is_empty(), method == "HEAD", "{way:?}: {text}");
            assert!(header(head, "Content-Length") != Some("0"), "what a GET would bring: {text}");
        }
    }
}

/// D25: what cannot be answered is a mistake of the server's, and the client is told so.
#[test]
fn mistakes_of_the_application_are_a_500() {
    let _watchdog = watchdog();
    let someone_elses = UpgradeRequest::from_parts(
        "GET",
        "/",
        (1, 1),
        [
            ("Host", "h"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
            ("Sec-WebSocket-Version", "13"),
        ],
    );
    let someone_elses = someone_elses.unwrap().accept(&Acceptance::new()).unwrap();
    let accept = [
        Act::Accept(Acceptance::new().subprotocol("mine")),
        Act::Accept(Acceptance::new().extension(Extension::new("mine").unwrap())),
        Act::Accept(Acceptance::new().header("X", "a\r\nb")),
        Act::Accept(Acceptance::new().header("Upgrade", "h2c")),
        Act::Answer(AcceptPolicy::new().header("X Y", "a")),
        Act::Answer(AcceptPolicy::new().subprotocols(["a b"])),
    ];
    let reject = [
        (someone_elses, InvalidResponse::Status(101)),
        (Response::new(101), InvalidResponse::Status(101)),
        (Response::new(600), InvalidResponse::Status(600)),
        (Response::new(204).with_body("x"), InvalidResponse::Body(204)),
        (Response::new(205).with_body("x"), InvalidResponse::Body(205)),
    ];
    let is_500 = |text: &str, to_head| {
        let (head, content) = response(text);
        assert!(head.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{text}");
        assert_eq!(content.is_empty(), to_head, "{text}");
        assert!(!text.contains("mine"), "{text}");
    };
    for way in WAYS {
        for act in &accept {
            let (result, text) = serve(way, REQUEST, act);
            assert!(matches!(result, Err(Error::Acceptance(_))), "{way:?}: {result:?}");
            is_500(&text, false);
        }
        for (response, expected) in &reject {
            let (result, text) = serve(way, REQUEST, &Act::Reject(response.clone()));
            let Err(Error::Response(error)) = result else { panic!("{way:?}: {result:?}") };
            assert_eq!(error, *expected);
            is_500(&text, false);
            for method in ["GET", "HEAD"] {
                let request = HEALTH.replace("GET", method);
                let (result, text) = serve_both(way, &request, |_| response.clone());
                assert!(matches!(result, Err(Error::Response(_))), "{way:?}: {result:?}");
                is_500(&text, method == "HEAD");
            }
        }
        // A policy's own verdict is none.
        let policy = AcceptPolicy::new().subprotocols(["mine"]).require_subprotocol(true);
        let (result, text) = serve(way, REQUEST, &Act::Answer(policy));
        let Err(Error::Rejected(rejection)) = result else { panic!("{way:?}: {result:?}") };
        assert_eq!(rejection.reason(), RejectionReason::NoSubprotocol);
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    }
}

/// D28: permessage-deflate by hand, where nobody would inflate: before the first frame fails.
#[test]
fn compression_by_hand_that_is_not_turned_on_is_refused() {
    let _watchdog = watchdog();
    let deflate = || Extension::new("permessage-deflate").unwrap();
    let offering = REQUEST
        .replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate, foo\r\n\r\n");
    for way in WAYS {
        let act = Act::Accept(Acceptance::new().extension(deflate()));
        let (result, text) = serve(way, &offering, &act);
        let Err(Error::Acceptance(InvalidAcceptance::DeflateOff)) = result else {
            panic!("{way:?}: {result:?}")
        };
        assert!(text.starts_with("HTTP/1.1 500 "), "{way:?}: {text}");
        // An extension that needs nothing of us is the caller's.
        let act = Act::Accept(Acceptance::new().extension(Extension::new("foo").unwrap()));
        let (result, text) = serve(way, &offering, &act);
        assert!(result.is_ok() && text.starts_with("HTTP/1.1 101 "), "{way:?}: {text}");

        let (ours, mut theirs) = duplex(4096);
        let request = Request::new("ws://example.com/").extension(deflate());
        let result = open(way, ours, request, quiet()).0;
        let Err(Error::Request(InvalidRequest::DeflateOff)) = result else {
            panic!("{way:?}: {result:?}")
        };
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).unwrap();
        assert_eq!(sent, b"", "{way:?}");
    }
}

/// What becomes of a client over `stream`, and after how long, where time is a number.
fn open(way: Way, stream: Pipe, request: Request, config: Config) -> (Result<(), Error>, Duration) {
    match way {
        Way::Blocking => (blocking::client(stream, request, config).map(drop), Duration::ZERO),
        Way::Tokio => paused().block_on(async {
            let start = tokio::time::Instant::now();
            let result = fullduplex::tokio::client(stream, request, config).await.map(drop);
            (result, start.elapsed())
        }),
        Way::FuturesIo => {
            let clock = Clock::new();
            let io = FuturesIo::with_timer(stream, clock.clone());
            let result = clock.block_on(io.client(request, config)).map(drop);
            (result, clock.now().elapsed())
        }
    }
}

/// A refusal never hangs: where its end shows it is given at once, though the server keeps the
/// connection, and else when the handshake's time is up.
#[test]
fn refusals_never_hang() {
    let _watchdog = watchdog();
    let chunked = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n";
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000));
    let chunks = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "1\r\nx\r\n".repeat(18_000)
    );
    // The response, its status, how much of its body, whether that is all, and whether it is waited for.
    let cases = [
        (chunked, 503, 4, true, false),
        ("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n", 204, 0, true, false),
        ("HTTP/1.1 205 Reset Content\r\nConnection: keep-alive\r\n\r\n", 205, 0, true, false),
        ("HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n", 304, 0, true, false),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, 0, true, false),
        ("HTTP/1.1 401 Unauthorized\r\nConnection: keep-alive\r\n\r\n", 401, 0, false, true),
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nno", 401, 2, false, true),
        ("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n", 401, 0, false, true),
        (&endless, 200, 16 * 1024, false, false),
        (&chunks, 200, 3328, false, false),
    ];
    for way in WAYS {
        for (response, status, length, whole, waited) in cases {
            let (ours, mut theirs) = duplex(128 * 1024);
            theirs.write_all(response.as_bytes()).unwrap();
            // A thread does wait. Where it must not, it would for an hour.
            let timeout = if waited { 20 * Duration::from_millis(1) } else { 3600 * SECOND };
            let config = quiet().handshake_timeout(timeout);
            let (result, time) = open(way, ours, "ws://example.com/".into(), config);
            let Err(Error::Handshake(ClientHandshakeError::Refused(refused))) = result else {
                panic!("{way:?}, {status}: {result:?}")
            };
            assert_eq!((refused.status(), refused.is_truncated()), (status, !whole), "{way:?}");
            assert_eq!(refused.body().len(), length, "{way:?}, {status}");
            if way != Way::Blocking {
                assert_eq!(
                    time,
                    if waited { timeout } else { Duration::ZERO },
                    "{way:?}, {status}"
                );
            }
            drop(theirs);
        }
    }
}

/// D26: a server that says nothing, or stops within its head: `Error::Timeout`, as the docs say.
#[test]
fn a_silent_server_is_a_timeout() {
    let _watchdog = watchdog();
    for way in WAYS {
        for said in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"] {
            let (ours, mut theirs) = duplex(4096);
            theirs.write_all(said.as_bytes()).unwrap();
            let config = quiet().handshake_timeout(20 * Duration::from_millis(1));
            let (result, _) = open(way, ours, "ws://example.com/".into(), config);
            let Err(Error::Timeout(TimeoutError::Handshake)) = result else {
                panic!("{way:?}: {result:?}")
            };
        }
        // And one that does not even take the request.
        let (mut ours, theirs) = duplex(16);
        ours.write_all(&[0; 16]).unwrap();
        let config = quiet().handshake_timeout(20 * Duration::from_millis(1));
        let (result, _) = open(way, ours, "ws://example.com/".into(), config);
        assert!(matches!(result, Err(Error::Timeout(TimeoutError::Handshake))), "{way:?}");
        drop(theirs);
    }
}

fn parsed() -> UpgradeRequest {
    let lines = REQUEST.lines().skip(1).take_while(|line| !line.is_empty());
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    UpgradeRequest::from_parts("GET", "/chat?x=1", (1, 1), fields).unwrap()
}

/// D21: the application decides when the handshake's time is up already: the answer has time of its
/// own, through a stream of any width.
#[test]
fn an_answer_that_comes_late_has_time_of_its_own() {
    let _watchdog = watchdog();
    let late = || quiet().handshake_timeout(Duration::ZERO);
    for capacity in [1, 16, 4096] {
        for way in WAYS {
            for act in [Act::Accept(Acceptance::new()), Act::Reject(Response::new(404))] {
                let (client, server) = duplex(capacity);
                client.shutdown_write().unwrap();
                let (result, text) = match way {
                    Way::Blocking => {
                        let reading = std::thread::spawn(|| read_to_end(client));
                        let upgrade = blocking::upgrade_parsed(server, parsed(), [], late());
                        (act.block(upgrade), reading.join().unwrap())
                    }
                    Way::Tokio => paused().block_on(async {
                        let mut client = client;
                        let mut text = String::new();
                        let upgrade =
                            fullduplex::tokio::upgrade_parsed(server, parsed(), [], late());
                        let reading =
                            tokio::io::AsyncReadExt::read_to_string(&mut client, &mut text);
                        let (result, read) = tokio::join!(act.run(upgrade), reading);
                        read.unwrap();
                        (result, text)
                    }),
                    Way::FuturesIo => {
                        let clock = Clock::new();
                        let io = FuturesIo::with_timer(server, clock.clone());
                        let upgrade = io.upgrade_parsed(parsed(), [], late());
                        clock.block_on(async {
                            let mut client = client;
                            let mut text = String::new();
                            let reading =
                                smol::io::AsyncReadExt::read_to_string(&mut client, &mut text);
                            let (result, read) =
                                futures_util::future::join(act.run(upgrade), reading).await;
                            read.unwrap();
                            (result, text)
                        })
                    }
                };
                assert!(result.is_ok(), "{way:?}, {capacity}: {result:?}");
                let status = if matches!(act, Act::Accept(_)) { "101" } else { "404" };
                assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{way:?}: {text}");
                assert!(text.contains("\r\n\r\n"), "{way:?}, {capacity}: {text}");
            }
        }
    }
    // It ends all the same: two seconds for a client that takes nothing.
    for way in [Way::Tokio, Way::FuturesIo] {
        let (_client, server) = duplex(16);
        let act = Act::Accept(Acceptance::new());
        let (result, time) = match way {
            Way::Tokio => paused().block_on(async {
                let start = tokio::time::Instant::now();
                let upgrade = fullduplex::tokio::upgrade_parsed(server, parsed(), [], late());
                (act.run(upgrade).await, start.elapsed())
            }),
            _ => {
                let clock = Clock::new();
                let io = FuturesIo::with_timer(server, clock.clone());
                let upgrade = io.upgrade_parsed(parsed(), [], late());
                (clock.block_on(act.run(upgrade)), clock.now().elapsed())
            }
        };
        assert!(matches!(result, Err(Error::Timeout(TimeoutError::Handshake))), "{result:?}");
        assert_eq!(time, 2 * SECOND, "{way:?}");
    }
}

/// Uses up the turn that the task has, so that no stream of tokio's does anything before the next one.
async fn use_up_the_turn() {
    poll_fn(|cx| {
        let mut turns = 0;
        while pin!(tokio::task::coop::consume_budget()).poll(cx).is_ready() {
            turns += 1;
            assert!(turns < 10_000, "there is no budget");
        }
        Poll::Ready(())
    })
    .await;
}

/// D21: neither end gives up because its own task has used up its turn when the time is up.
#[tokio::test(start_paused = true)]
async fn a_turn_that_is_used_up_is_no_timeout() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let _watchdog = watchdog();
    for capacity in [16, 4096] {
        let (ours, mut theirs) = tokio::io::duplex(capacity);
        let late = quiet().handshake_timeout(Duration::ZERO);
        let upgrade = fullduplex::tokio::upgrade_parsed(ours, parsed(), [], late);
        let accepting = async {
            use_up_the_turn().await;
            upgrade.accept(&Acceptance::new()).await.map(drop)
        };
        let mut text = String::new();
        let (result, read) = tokio::join!(accepting, theirs.read_to_string(&mut text));
        assert!(result.is_ok() && read.is_ok(), "{capacity}: {result:?}");
        assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\n"), "{text}");
    }

    // A response, and a request, that came in time and are seen late.
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let client = fullduplex::tokio::client(ours, "ws://example.com/", quiet());
    let mut client = pin!(client);
    assert!(poll_fn(|cx| Poll::Ready(client.as_mut().poll(cx).is_pending())).await);
    let mut head = vec![0; 4096];
    let length = theirs.read(&mut head).await.unwrap();
    let head = String::from_utf8(head[..length].to_vec()).unwrap();
    theirs.write_all(response_to(&head, "").as_bytes()).await.unwrap();
    tokio::time::advance(11 * SECOND).await;
    use_up_the_turn().await;
    assert!(client.await.is_ok());

    let (ours, mut theirs) = tokio::io::duplex(4096);
    let mut server = pin!(fullduplex::tokio::accept(ours));
    theirs.write_all(&REQUEST.as_bytes()[..50]).await.unwrap();
    assert!(poll_fn(|cx| Poll::Ready(server.as_mut().poll(cx).is_pending())).await);
    theirs.write_all(&REQUEST.as_bytes()[50..]).await.unwrap();
    tokio::time::advance(11 * SECOND).await;
    use_up_the_turn().await;
    assert!(server.await.is_ok());
}

/// But a client that goes on dripping is looked at once more, and not for ever.
#[test]
fn a_drip_behind_the_deadline_ends() {
    let _watchdog = watchdog();
    for way in WAYS {
        let (mut client, server) = duplex(128 * 1024);
        server.limit(1);
        // Never ended, and more than a thread reads byte by byte in the time.
        let head = format!("{}X: {}", &REQUEST[..REQUEST.len() - 2], "x".repeat(15_000));
        let mut drip = || {
            client.write_all(head.as_bytes()).unwrap();
            client.shutdown_write().unwrap();
        };
        let time = Duration::from_millis(1);
        let late = quiet().handshake_timeout(time);
        let result = match way {
            Way::Blocking => {
                drip();
                blocking::accept_with(server, &AcceptPolicy::new(), late).map(drop)
            }
            Way::Tokio => paused().block_on(async {
                let acceptor = AcceptPolicy::new();
                let mut accepted = pin!(fullduplex::tokio::accept_with(server, &acceptor, late));
                assert!(poll_fn(|cx| Poll::Ready(accepted.as_mut().poll(cx).is_pending())).await);
                tokio::time::advance(2 * time).await;
                drip();
                accepted.await.map(drop)
            }),
            Way::FuturesIo => {
                let clock = Clock::new();
                let io = FuturesIo::with_timer(server, clock.clone());
                let acceptor = AcceptPolicy::new();
                let mut accepted = pin!(io.accept_with(&acceptor, late));
                let first = poll_fn(|cx| Poll::Ready(accepted.as_mut().poll(cx).is_pending()));
                assert!(clock.block_on(first));
                clock.advance(2 * time);
                drip();
                clock.block_on(accepted).map(drop)
            }
        };
        let Err(Error::Rejected(rejection)) = result else { panic!("{way:?}: {result:?}") };
        assert_eq!(rejection.reason(), RejectionReason::TimedOut, "{way:?}");
        // At the pace of a byte per write, which the limit is too.
        assert!(read_to_end(client).starts_with("HTTP/1.1 408 "), "{way:?}");
    }
}
