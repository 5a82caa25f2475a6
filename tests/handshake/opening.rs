//! Opening a connection with both adapters, over TCP: what is sent, what comes back, and what
//! becomes of bytes that come too early.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{close_body, frames, split};
use core::time::Duration;
use fullduplex::{
    CloseCode, Config, Error, Message, Role, TimeoutError, blocking,
    handshake::{
        Acceptance, Acceptor, HeadLimits, InvalidAcceptance, InvalidRequest, OriginPolicy,
        RejectionReason, Request, Response, UpgradeRequest,
    },
};
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
};
use support::{
    REQUEST, header, quiet, read_all, read_head, response_to, runtime, tcp_pair, url, watchdog,
};

/// A client of either adapter, as far as these tests look at one.
struct Client {
    nodelay: bool,
    subprotocol: Option<String>,
    header: Option<String>,
    first: Option<Message>,
}

/// Connects with either adapter to `server`, which has one connection to itself.
fn connect_both(
    request: impl Fn(Request) -> Request,
    path: &str,
    server: impl Fn(TcpStream) + Sync,
    check: impl Fn(Result<Client, Error>),
) {
    let _watchdog = watchdog();
    for asynchronous in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{}{path}", url(&listener).trim_end_matches('/'));
        let request = request(Request::new(url.as_str()));
        thread::scope(|scope| {
            scope.spawn(|| server(listener.accept().unwrap().0));
            let config = quiet();
            let client = if asynchronous {
                runtime().block_on(async {
                    let mut ws = fullduplex::tokio::connect_with(request, config).await?;
                    assert_eq!(ws.role(), Role::Client);
                    Ok(Client {
                        nodelay: ws.get_ref().tcp().nodelay().unwrap(),
                        subprotocol: ws.subprotocol().map(Into::into),
                        header: ws.response().unwrap().headers().get("X-Server").map(Into::into),
                        first: ws.recv().await?,
                    })
                })
            } else {
                blocking::connect_with(request, config).and_then(|mut ws| {
                    assert_eq!(ws.role(), Role::Client);
                    Ok(Client {
                        nodelay: ws.get_ref().tcp().nodelay().unwrap(),
                        subprotocol: ws.subprotocol().map(Into::into),
                        header: ws.response().unwrap().headers().get("X-Server").map(Into::into),
                        first: ws.recv()?,
                    })
                })
            };
            check(client);
        });
    }
}

/// §4.1: what a client asks for is what the server sees, and the other way round; frames right
/// behind the 101, in the same segment, are messages.
#[test]
fn section_4_1_a_client_connects() {
    connect_both(
        |request| {
            request.header("X-Client", "yes").subprotocol("b").subprotocol("a").origin("http://o")
        },
        "/chat?room=1",
        |mut stream| {
            let head = read_head(&stream);
            assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
            assert_eq!(header(&head, "X-Client"), Some("yes"));
            assert_eq!(header(&head, "Origin"), Some("http://o"));
            assert_eq!(header(&head, "Sec-WebSocket-Protocol"), Some("b, a"));
            assert_eq!(header(&head, "Host"), Some(&*stream.local_addr().unwrap().to_string()));
            let lines = "Sec-WebSocket-Protocol: a\r\nX-Server: it is\r\n";
            let response = response_to(&head, lines);
            let early = frames(Role::Client, &[(0x89, b""), (0x81, b"early")]);
            stream.write_all(&[response.as_bytes(), &early].concat()).unwrap();
            let _ = read_all(&stream);
        },
        |client| {
            let client = client.unwrap();
            assert!(client.nodelay);
            assert_eq!(client.subprotocol.as_deref(), Some("a"));
            assert_eq!(client.header.as_deref(), Some("it is"));
            assert_eq!(client.first, Some("early".into()));
        },
    );
}

/// User name and password of the URL (RFC 7617).
#[test]
fn user_information_becomes_authorization() {
    let _watchdog = watchdog();
    for asynchronous in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url(&listener).replace("ws://", "ws://Aladdin:open%20sesame@");
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let head = read_head(&stream);
                stream
                    .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                head
            });
            let error = match asynchronous {
                true => runtime().block_on(fullduplex::tokio::connect(url.as_str())).unwrap_err(),
                false => blocking::connect(url.as_str()).unwrap_err(),
            };
            assert_eq!(error.response().unwrap().status(), 401);
            let head = server.join().unwrap();
            assert_eq!(header(&head, "Authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
            assert!(!head.contains("Aladdin"), "{head}");
        });
    }
}

/// A refusal is given with its status, headers and as much of its body as the limit lets in.
#[test]
fn a_refused_handshake_shows_the_response() {
    let _watchdog = watchdog();
    for asynchronous in [false, true] {
        for (limit, truncated) in [(16 * 1024, false), (10, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = url(&listener);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    read_head(&stream);
                    let body = "x".repeat(5_000);
                    let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n";
                    let response = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(response.as_bytes()).unwrap();
                    let _ = read_all(&stream);
                });
                let config = quiet().head_limits(HeadLimits::new().max_body(limit));
                let error = match asynchronous {
                    true => runtime()
                        .block_on(fullduplex::tokio::connect_with(url.as_str(), config))
                        .unwrap_err(),
                    false => blocking::connect_with(url.as_str(), config).unwrap_err(),
                };
                let response = error.response().expect("a response");
                assert_eq!(response.status(), 429);
                assert_eq!(response.headers().get("Retry-After"), Some("3"));
                assert_eq!(response.body().len(), limit.min(5_000));
                assert_eq!(response.is_truncated(), truncated);
                assert!(!error.is_peer_fault() && !error.is_timeout());
                // B9: and the first line of what it says.
                assert!(
                    error.to_string().contains("429 Too Many Requests, not 101: \"xxx"),
                    "{error}"
                );
            });
        }
    }
}

/// §7.2.2: a server that does not answer the key is not talked to.
#[test]
fn section_4_1_a_wrong_accept_is_refused() {
    connect_both(
        |request| request,
        "/",
        |mut stream| {
            let head = read_head(&stream);
            let wrong = head.replacen("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x", 1);
            stream.write_all(response_to(&wrong, "").as_bytes()).unwrap();
            assert_eq!(read_all(&stream).0, b"", "not even a Close");
        },
        |client| assert!(client.err().unwrap().is_peer_fault()),
    );
}

/// Before anything is dialled: nobody listens at the addresses here.
#[test]
fn requests_that_cannot_be_sent_are_not_dialled() {
    let _watchdog = watchdog();
    let runtime = runtime();
    let both = |request: Request| {
        let sync = blocking::connect(request.clone()).unwrap_err();
        [sync, runtime.block_on(fullduplex::tokio::connect(request)).unwrap_err()]
    };
    for error in both(Request::new("wss://127.0.0.1:1/")) {
        assert!(matches!(error, Error::TlsUnavailable), "{error:?}");
    }
    for error in both(Request::new("wss://no.such.host.invalid/")) {
        assert!(matches!(error, Error::TlsUnavailable), "{error:?}");
    }
    for error in both(Request::new("http//x")) {
        assert!(matches!(error, Error::Request(InvalidRequest::Url(_))), "{error:?}");
    }
    for error in both(Request::new("ws://127.0.0.1:1/").header("Host", "x")) {
        assert!(matches!(error, Error::Request(InvalidRequest::Reserved(_))), "{error:?}");
    }
    // And a port that nobody listens at.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for error in both(Request::new(format!("ws://127.0.0.1:{port}/").as_str())) {
        assert!(error.is_closed(), "{error:?}");
        let Error::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

/// B12: an address with a zone is dialled, and goes without it in `Host`.
#[cfg(target_os = "linux")]
#[test]
fn rfc6874_a_zone_is_dialled_and_not_sent() {
    let _watchdog = watchdog();
    // Interface 1 is the loopback one. There may be no IPv6 at all.
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skipped: no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    for asynchronous in [false, true] {
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let head = read_head(&stream);
                stream.write_all(response_to(&head, "").as_bytes()).unwrap();
                head
            });
            let url = format!("ws://[::1%251]:{port}/");
            if asynchronous {
                runtime().block_on(fullduplex::tokio::connect(url)).map(drop).unwrap();
            } else {
                blocking::connect(url).map(drop).unwrap();
            }
            let head = server.join().unwrap();
            assert_eq!(header(&head, "Host"), Some(&*format!("[::1]:{port}")));
        });
    }
}

/// A server that takes the connection and never answers (D26).
#[test]
fn a_server_that_never_answers() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = || quiet().handshake_timeout(Duration::from_millis(30));
    let request = || Request::new(url(&listener).as_str());
    let sync = blocking::connect_with(request(), config()).unwrap_err();
    let asynchronous =
        runtime().block_on(fullduplex::tokio::connect_with(request(), config())).unwrap_err();
    for error in [sync, asynchronous] {
        assert!(matches!(error, Error::Timeout(TimeoutError::Handshake)), "{error:?}");
        assert!(error.is_timeout() && !error.is_closed() && !error.is_peer_fault());
    }
}

/// What a server does with one request, whichever adapter: what the client reads in the end.
fn serve_both(
    request: &[u8],
    config: Config,
    on_blocking: impl Fn(blocking::Upgrade<TcpStream>) -> Result<(), Error>,
    on_tokio: impl AsyncFn(fullduplex::tokio::Upgrade<tokio::net::TcpStream>) -> Result<(), Error>,
    check: impl Fn(Result<(), Error>, Vec<u8>),
) {
    let _watchdog = watchdog();
    for asynchronous in [false, true] {
        let (ours, mut theirs) = tcp_pair();
        thread::scope(|scope| {
            let client = scope.spawn(move || {
                theirs.write_all(request).unwrap();
                read_all(&theirs).0
            });
            let result = if asynchronous {
                runtime().block_on(async {
                    ours.set_nonblocking(true)?;
                    let ours = tokio::net::TcpStream::from_std(ours)?;
                    let upgrade = fullduplex::tokio::upgrade(ours, config.clone()).await?;
                    on_tokio(upgrade).await
                })
            } else {
                blocking::upgrade(ours, config.clone()).and_then(&on_blocking)
            };
            check(result, client.join().unwrap());
        });
    }
}

fn requesting(lines: &str) -> String {
    REQUEST.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1)
}

/// §4.2.2: a request that is looked at and then accepted, with frames right behind its head.
#[test]
fn section_4_2_2_an_upgrade_is_accepted() {
    let request = requesting("Sec-WebSocket-Protocol: x, chat\r\nCookie: id=7\r\n");
    let early = frames(Role::Server, &[(0x81, b"early"), (0x88, &close_body(1000, ""))]);
    let look = |request: &UpgradeRequest| {
        assert_eq!((request.path(), request.query()), ("/chat", Some("x=1")));
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["x", "chat"]);
        assert_eq!(request.cookies().collect::<Vec<_>>(), [("id", "7")]);
        Acceptance::new().subprotocol("chat").header("X-Server", "it is")
    };
    serve_both(
        &[request.as_bytes(), &early].concat(),
        quiet(),
        |upgrade| {
            let acceptance = look(upgrade.request());
            let mut ws = upgrade.accept(&acceptance)?;
            assert_eq!((ws.role(), ws.subprotocol()), (Role::Server, Some("chat")));
            assert!(ws.response().is_none());
            ws.run(|message, out| out.feed(message))
        },
        async |upgrade| {
            let acceptance = look(upgrade.request());
            let mut ws = upgrade.accept(&acceptance).await?;
            assert_eq!((ws.role(), ws.subprotocol()), (Role::Server, Some("chat")));
            ws.run(|message, out| out.feed(message)).await
        },
        |result, written| {
            result.unwrap();
            let text = String::from_utf8_lossy(&written);
            let head = &text[..text.find("\r\n\r\n").unwrap() + 4];
            assert!(head.starts_with("HTTP/1.1 101 "));
            assert_eq!(header(head, "Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
            assert_eq!(header(head, "Sec-WebSocket-Protocol"), Some("chat"));
            assert_eq!(header(head, "X-Server"), Some("it is"));
            let frames = split(Role::Server, &written[head.len()..]);
            assert_eq!(frames, [(0x81, b"early".to_vec()), (0x88, close_body(1000, ""))]);
        },
    );
}

/// A request that is turned down with a response of the application's own.
#[test]
fn section_4_2_2_an_upgrade_is_turned_down() {
    let response =
        || Response::new(401).with_header("WWW-Authenticate", "Basic").with_body("who are you?");
    serve_both(
        REQUEST.as_bytes(),
        quiet(),
        |upgrade| upgrade.reject(&response()),
        async |upgrade| upgrade.reject(&response()).await,
        |result, written| {
            result.unwrap();
            let text = String::from_utf8(written).unwrap();
            assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
            assert_eq!(header(&text, "WWW-Authenticate"), Some("Basic"));
            assert!(text.ends_with("\r\n\r\nwho are you?"), "{text}");
        },
    );
    // One that cannot be sent is an error, and the server's fault (D25).
    serve_both(
        REQUEST.as_bytes(),
        quiet(),
        |upgrade| upgrade.reject(&Response::new(101)),
        async |upgrade| upgrade.reject(&Response::new(101)).await,
        |result, written| {
            assert!(matches!(result, Err(Error::Response(_))), "{result:?}");
            assert!(written.starts_with(b"HTTP/1.1 500 "));
        },
    );
}

/// An answer that does not fit the request.
#[test]
fn an_acceptance_that_was_not_offered() {
    serve_both(
        REQUEST.as_bytes(),
        quiet(),
        |upgrade| upgrade.accept(&Acceptance::new().subprotocol("mine")).map(|_| ()),
        async |upgrade| upgrade.accept(&Acceptance::new().subprotocol("mine")).await.map(|_| ()),
        |result, written| {
            let Err(Error::Acceptance(error)) = result else { panic!("{result:?}") };
            assert!(matches!(error, InvalidAcceptance::SubprotocolNotOffered(_)));
            assert!(written.starts_with(b"HTTP/1.1 500 "));
        },
    );
}

/// §10.2: a policy turns a foreign origin down, and the client reads 403.
#[test]
fn section_10_2_a_policy_answers() {
    let acceptor = || Acceptor::new().origins(OriginPolicy::same_host());
    serve_both(
        requesting("Origin: https://elsewhere.example\r\n").as_bytes(),
        quiet(),
        |upgrade| upgrade.answer(&acceptor()).map(|_| ()),
        async |upgrade| upgrade.answer(&acceptor()).await.map(|_| ()),
        |result, written| {
            let Err(Error::Rejected(rejection)) = result else { panic!("{result:?}") };
            assert_eq!(rejection.reason(), RejectionReason::Origin);
            assert!(written.starts_with(b"HTTP/1.1 403 "));
        },
    );
}

/// A request that somebody else has read and parsed, with frames that were read behind it, the
/// last of them not whole.
#[test]
fn a_parsed_request_with_bytes_behind_it() {
    let _watchdog = watchdog();
    let lines = REQUEST.lines().skip(1).take_while(|line| !line.is_empty());
    let headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let parsed =
        || UpgradeRequest::from_parts("GET", "/chat?x=1", (1, 1), headers.clone()).unwrap();
    let wire = frames(Role::Server, &[(0x81, b"1"), (0x81, b"2"), (0x88, b"")]);
    for cut in 0..=wire.len() {
        let (unread, later) = wire.split_at(cut);
        for asynchronous in [false, true] {
            let (ours, mut theirs) = tcp_pair();
            theirs.write_all(later).unwrap();
            if asynchronous {
                runtime().block_on(async {
                    ours.set_nonblocking(true).unwrap();
                    let ours = tokio::net::TcpStream::from_std(ours).unwrap();
                    let upgrade =
                        fullduplex::tokio::upgrade_parsed(ours, parsed(), unread, quiet());
                    let mut ws = upgrade.answer(&Acceptor::new()).await.unwrap();
                    assert_eq!(ws.recv().await.unwrap(), Some("1".into()));
                    assert_eq!(ws.recv().await.unwrap(), Some("2".into()));
                    drop(theirs);
                    assert!(ws.recv().await.unwrap().is_none());
                });
            } else {
                let upgrade = blocking::upgrade_parsed(ours, parsed(), unread, quiet());
                let mut ws = upgrade.answer(&Acceptor::new()).unwrap();
                assert_eq!(ws.recv().unwrap(), Some("1".into()));
                assert_eq!(ws.recv().unwrap(), Some("2".into()));
                drop(theirs);
                assert!(ws.recv().unwrap().is_none());
            }
        }
    }
}

/// Over a stream that is connected already, both ends of ours.
#[test]
fn client_and_accept_over_a_stream() {
    let _watchdog = watchdog();
    let (server, client) = tcp_pair();
    let server = thread::spawn(move || {
        let acceptor = Acceptor::new().subprotocols(["chat"]);
        let mut ws = blocking::accept_with(server, &acceptor, quiet()).unwrap();
        assert_eq!(ws.subprotocol(), Some("chat"));
        ws.run(|message, out| out.feed(message)).unwrap();
    });
    runtime().block_on(async {
        client.set_nonblocking(true).unwrap();
        let client = tokio::net::TcpStream::from_std(client).unwrap();
        let request = Request::new("ws://example.com/").subprotocol("chat");
        let mut ws = fullduplex::tokio::client(client, request, quiet()).await.unwrap();
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        ws.close(CloseCode::NORMAL).await.unwrap();
    });
    server.join().unwrap();
}
