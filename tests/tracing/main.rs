//! What the adapters tell `tracing`, and what they keep to themselves.
#![cfg(all(feature = "tokio", feature = "tracing"))]

#[path = "../common/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

use common::{close_body, frame};
use fullduplex::{
    CloseCode, Config, Error, Role, blocking,
    handshake::{Acceptor, Request, Response},
};
use std::{
    fmt::{self, Write as _},
    io::{self, ErrorKind, Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use support::{REQUEST, Script, Step, Ws, on_all, paused, quiet, response_to, run};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Writes down all that is told: `span` and `event`, with their fields, as one line each.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
    /// Whether nobody listens.
    off: bool,
}

impl Log {
    /// What is told while `work` runs. None of it may have a word of what was said in secret.
    #[track_caller]
    fn of(work: impl FnOnce()) -> Vec<String> {
        let log = Self::default();
        tracing::subscriber::with_default(log.clone(), work);
        let lines = std::mem::take(&mut *log.lines.lock().unwrap());
        for line in &lines {
            assert!(!line.to_lowercase().contains("secret"), "{line}");
        }
        lines
    }

    fn write(&self, start: String, record: impl FnOnce(&mut Line)) {
        let mut line = Line(start);
        record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}").unwrap(),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.target() == "fullduplex" {
            assert_eq!(*metadata.level(), Level::DEBUG);
        }
        !self.off && metadata.target() == "fullduplex"
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.write(span.metadata().name().into(), |line| span.record(line));
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let place = match event.parent() {
            Some(span) => format!("{}:", span.into_u64()),
            None => "-:".to_string(),
        };
        self.write(place, |line| event.record(line));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}

    fn try_close(&self, _: span::Id) -> bool {
        true
    }
}

/// What is told of a connection that is there already, by all adapters, one after the other.
#[track_caller]
fn all_tell(
    role: Role,
    script: impl Fn() -> Script,
    mut talk: impl FnMut(&mut dyn Ws),
    expected: &[&str],
) {
    let mut adapters = 0;
    let told = Log::of(|| {
        on_all(role, &quiet(), &script, |ws, _| {
            adapters += 1;
            talk(ws);
        });
    });
    let each = (1..=adapters)
        .flat_map(|id: u32| expected.iter().map(move |line| line.replace('#', &id.to_string())));
    assert_eq!(told, each.collect::<Vec<_>>());
}

#[test]
fn a_peer_that_closes() {
    for (role, name) in [(Role::Server, "server"), (Role::Client, "client")] {
        let wire = [
            frame(role, 0x81, b"secret"),
            frame(role, 0x89, b"secret"),
            frame(role, 0x88, &close_body(1001, "secret")),
        ];
        let span = format!("websocket role={name:?}");
        all_tell(
            role,
            || Script::reading([Step::Bytes(wire.concat()), Step::Eof]),
            |ws| ws.echo().unwrap(),
            &[
                &span,
                "#: closing initiator=\"remote\"",
                "#: closed code=1001 clean=true initiator=\"remote\"",
            ],
        );
    }
}

#[test]
fn a_caller_that_closes() {
    let answer = frame(Role::Server, 0x88, &close_body(4000, "secret"));
    all_tell(
        Role::Server,
        || Script::reading([Step::Bytes(answer.clone()), Step::Eof]),
        |ws| {
            ws.send("secret".into()).unwrap();
            ws.close((CloseCode::NORMAL, "secret")).unwrap();
            assert!(ws.recv().unwrap().is_none(), "what has ended is not told again");
        },
        &[
            "websocket role=\"server\"",
            "#: closing initiator=\"local\"",
            "#: closed code=4000 clean=true initiator=\"local\"",
        ],
    );
}

/// Our Close is told when it is sent, whatever comes of it.
#[test]
fn a_caller_that_closes_and_a_peer_that_hangs_up() {
    all_tell(
        Role::Server,
        || Script::reading([Step::Eof]),
        |ws| assert!(ws.close((CloseCode::NORMAL, "secret")).is_err()),
        &[
            "websocket role=\"server\"",
            "#: closing initiator=\"local\"",
            "#: closed code=1006 clean=false",
        ],
    );
}

#[test]
fn a_peer_that_breaks_the_protocol() {
    let wire = [frame(Role::Server, 0x81, b"secret"), frame(Role::Server, 0x81, b"secret\xff")];
    all_tell(
        Role::Server,
        || Script::reading([Step::Bytes(wire.concat()), Step::Eof]),
        |ws| assert!(matches!(ws.recv_all().1, Err(Error::Protocol(_)))),
        &[
            "websocket role=\"server\"",
            "#: protocol error error=text is not UTF-8 offset=12 code=1007",
            "#: closed code=1006 clean=false",
        ],
    );
}

#[test]
fn a_stream_that_ends_or_fails() {
    all_tell(
        Role::Client,
        || Script::reading([Step::Eof]),
        |ws| assert!(matches!(ws.recv(), Err(Error::Abnormal))),
        &["websocket role=\"client\"", "#: closed code=1006 clean=false"],
    );
    all_tell(
        Role::Client,
        || Script::reading([Step::Error(ErrorKind::ConnectionReset)]),
        |ws| assert!(matches!(ws.recv(), Err(Error::Io(_)))),
        &[
            "websocket role=\"client\"",
            "#: stream failed error=ConnectionReset",
            "#: closed code=1006 clean=false",
        ],
    );
}

/// The Close of a peer that takes nothing more is found, and told.
#[test]
fn a_stream_that_takes_nothing_before_a_close() {
    let close = frame(Role::Server, 0x88, &close_body(1001, "secret"));
    all_tell(
        Role::Server,
        || {
            let script = Script::reading([Step::Bytes(close.clone()), Step::Eof]);
            script.state().writes.push_back(Step::Error(ErrorKind::BrokenPipe));
            script
        },
        |ws| {
            assert!(matches!(ws.send("secret".into()), Err(Error::Io(_))));
            assert!(ws.recv().is_err());
        },
        &[
            "websocket role=\"server\"",
            "#: stream failed error=BrokenPipe",
            "#: closing initiator=\"remote\"",
            "#: closed code=1001 clean=false initiator=\"remote\"",
        ],
    );
}

/// A deadline, in the tokio adapter: its clock stands still.
#[test]
fn a_peer_that_is_silent() {
    let told = Log::of(|| {
        paused().block_on(async {
            let (ours, _theirs) = tokio::io::duplex(1024);
            let config = Config::default();
            let mut ws = fullduplex::tokio::WebSocket::from_parts(ours, Role::Server, config, []);
            assert!(ws.recv().await.unwrap_err().is_timeout());
        });
    });
    let expected = [
        "websocket role=\"server\"",
        "1: timed out timeout=Pong",
        "1: closed code=1006 clean=false",
    ];
    assert_eq!(told, expected);
}

/// A stream whose peer answers a request with `status`.
struct Answers {
    request: String,
    status: u16,
    answer: io::Cursor<Vec<u8>>,
}

impl Answers {
    fn new(status: u16) -> blocking::Plain<Self> {
        let answer = io::Cursor::default();
        blocking::Plain(Self { request: String::new(), status, answer })
    }
}

impl Read for Answers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.answer.read(buffer)
    }
}

impl Write for Answers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.request += core::str::from_utf8(bytes).unwrap();
        if self.request.ends_with("\r\n\r\n") {
            let answer = match self.status {
                101 => response_to(&self.request, "X-Secret: secret\r\n"),
                status => format!("HTTP/1.1 {status} Secret\r\nX-Secret: secret\r\n\r\nsecret"),
            };
            self.answer = io::Cursor::new(answer.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_opening_handshake_of_a_client() {
    let request = || {
        Request::new("ws://secret:secret@secret.example/secret?secret=1")
            .header("Authorization", "secret")
    };
    let open = |status| {
        Log::of(|| {
            let opened = blocking::client(Answers::new(status), request(), quiet());
            assert_eq!(opened.is_ok(), status == 101);
        })
    };
    assert_eq!(open(101), ["websocket role=\"client\"", "1: opened status=101"]);
    for status in [302, 401, 503] {
        let expected = format!("-: not opened role=\"client\" status={status} timeout=false");
        assert_eq!(open(status), [expected]);
    }
    // Something that is wrong in another way.
    assert_eq!(open(99), ["-: not opened role=\"client\" timeout=false"]);
}

#[test]
fn the_opening_handshake_of_a_server() {
    let good = REQUEST.replace("/chat?x=1", "/secret?secret=1").replace("example", "secret");
    let bad = good.replace("Version: 13", "Version: 12");
    let script = |request: &str| Script::reading([Step::Bytes(request.into()), Step::Eof]);
    let acceptor = Acceptor::new();
    let told = Log::of(|| {
        let runtime = paused();
        let _time = runtime.enter();
        run(fullduplex::tokio::accept(script(&good))).map(drop).unwrap();
        run(fullduplex::tokio::accept(script(&bad))).map(drop).unwrap_err();
        let stream = script(&good);
        stream.state().blocking = true;
        blocking::accept_with(stream, &acceptor, quiet()).map(drop).unwrap();
        let stream = script(&good);
        stream.state().blocking = true;
        let upgrade = blocking::upgrade(stream, quiet()).unwrap();
        let response = Response::new(403).with_header("X-Secret", "secret").with_body("secret");
        upgrade.reject(&response).unwrap();
    });
    assert_eq!(
        told,
        [
            "websocket role=\"server\"",
            "1: opened status=101",
            "-: not opened role=\"server\" status=426",
            "websocket role=\"server\"",
            "2: opened status=101",
            "-: not opened role=\"server\" status=403",
        ]
    );
}

/// A subscriber that wants nothing of it gets nothing, whatever happens.
#[test]
fn nothing_is_told_where_nobody_listens() {
    let log = Log { off: true, ..Log::default() };
    tracing::subscriber::with_default(log.clone(), || {
        on_all(
            Role::Server,
            &quiet(),
            || Script::reading([Step::Eof]),
            |ws, _| {
                assert!(matches!(ws.recv(), Err(Error::Abnormal)));
            },
        );
    });
    assert_eq!(*log.lines.lock().unwrap(), [""; 0]);
}
