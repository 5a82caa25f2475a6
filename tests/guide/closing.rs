//! The table of closing in the guide, row by row: what each side sees of what a peer does. Through
//! the tokio adapter and its halves over a script, with a clock that jumps, and through the blocking
//! one and its halves over TCP, with deadlines that are short.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{BOTH, close_body, close_codes, frame, frames, split};
use core::time::Duration;
use fullduplex::{
    CloseCause, CloseCode, Closed, Config, Error, Keepalive, Message, Role, blocking,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc,
    thread,
};
use support::{Script, Step, paused, quiet, tcp_pair, watchdog};

/// What a peer does, from the end of the opening handshake on.
#[derive(Clone)]
struct Peer {
    /// Whether we close, and this comes behind our Close; or else we receive.
    we_close: bool,
    /// What it sends.
    sends: Vec<u8>,
    ends: Ends,
    /// Whether it takes what we send.
    takes: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// It shuts its side of the stream down.
    Eof,
    /// It does so when we have.
    Behind,
    /// It drops the stream with unread input, which resets it.
    Reset,
    /// It keeps the stream, and says no more.
    Never,
}

impl Ends {
    /// §7.1.1: the server ends TCP first.
    fn in_order(role: Role) -> Self {
        if role == Role::Server { Self::Behind } else { Self::Eof }
    }
}

/// What is seen of it.
struct Seen {
    /// What a call that sees the connection to its end returns.
    told: &'static str,
    closed: &'static str,
    /// The Close codes that are written, 1005 for none.
    codes: &'static [u16],
    /// Whether we shut TCP down before we drop it.
    shut: bool,
    /// How many messages whoever receives is given.
    messages: usize,
}

/// A connection in some adapter.
trait Conn {
    /// Queues a message, and writes it if that can be done.
    fn give(&mut self, message: Message, writes: bool);
    /// Receives, or closes, to the end: what each half was told. And the messages that were given.
    fn end(&mut self, we_close: bool) -> (Vec<Result<(), Error>>, Vec<Message>);
    /// What one more `close` is told, and what it should be: of halves the same as before.
    fn again(&mut self, told: &'static str) -> (Result<(), Error>, &'static str);
    /// A12: what calls that send say afterwards.
    fn late(&mut self) -> Vec<Result<(), Error>>;
    /// How it ended, if it has, after one more receive.
    fn closed(&mut self) -> Option<Closed>;
    fn unsent(&self) -> u64;
}

fn told(result: &Result<(), Error>) -> String {
    match result {
        Ok(()) => "Ok".into(),
        Err(Error::Io(error)) => format!("Io({:?})", error.kind()),
        Err(Error::Protocol(_)) => "Protocol".into(),
        Err(Error::Unsent(_)) => "Unsent".into(),
        Err(error) => format!("{error:?}"),
    }
}

/// What a call that sends says, given how the connection ended.
fn refused(seen: &Seen) -> String {
    match seen.closed.split(' ').collect::<Vec<_>>()[..] {
        [_, "Local", _] => "Closed(Local)".into(),
        [_, "Remote", code] => format!("Closed(Remote {code})"),
        _ => seen.told.into(),
    }
}

fn cause(result: &Result<(), Error>) -> String {
    match result {
        Err(Error::Closed(CloseCause::Remote(frame))) => {
            let code = frame.as_ref().map_or(1005, |frame| frame.code().into());
            format!("Closed(Remote {code})")
        }
        result => told(result),
    }
}

fn ended(closed: Option<Closed>) -> String {
    let closed = closed.expect("an end");
    let text = match &closed {
        Closed::Clean { initiator, .. } => format!("Clean {initiator:?} {}", closed.code()),
        Closed::Unsent { initiator, .. } => format!("Unsent {initiator:?} {}", closed.code()),
        Closed::Failed(error) => format!("Failed {}", u16::from(error.close_code())),
        other => format!("{other:?}"),
    };
    assert_eq!(closed.is_clean(), text.starts_with("Clean"));
    assert!(closed.is_clean() || closed.code() == 1006 || text.starts_with("Unsent"));
    text
}

macro_rules! drain {
    ($receiver:expr $(, $wait:tt)?) => {{
        let mut messages = Vec::new();
        let result = loop {
            match $receiver.recv()$(.$wait)? {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (result, messages)
    }};
}

const CODE: CloseCode = CloseCode::GOING_AWAY;

impl Conn for blocking::WebSocket<TcpStream> {
    fn give(&mut self, message: Message, writes: bool) {
        self.feed(message).unwrap();
        if writes {
            self.flush().unwrap();
        }
    }

    fn end(&mut self, we_close: bool) -> (Vec<Result<(), Error>>, Vec<Message>) {
        if we_close {
            return (vec![self.close(CODE)], vec![]);
        }
        let (result, messages) = drain!(self);
        (vec![result], messages)
    }

    fn again(&mut self, _: &'static str) -> (Result<(), Error>, &'static str) {
        (self.close(CODE), "Ok")
    }

    fn late(&mut self) -> Vec<Result<(), Error>> {
        let fed = self.feed("late").map_err(Error::from);
        vec![fed, self.send("late"), self.ready(), self.ping("late"), self.pong("late")]
    }

    fn closed(&mut self) -> Option<Closed> {
        assert!(matches!(self.recv(), Ok(None)), "reported once");
        (*self).closed().cloned()
    }

    fn unsent(&self) -> u64 {
        self.unsent().messages
    }
}

impl Conn for (blocking::Reader<TcpStream>, blocking::Writer<TcpStream>) {
    fn give(&mut self, message: Message, writes: bool) {
        self.1.feed(message).unwrap();
        if writes {
            self.1.flush().unwrap();
        }
    }

    fn end(&mut self, we_close: bool) -> (Vec<Result<(), Error>>, Vec<Message>) {
        let (reader, writer) = self;
        if we_close {
            return thread::scope(|scope| {
                let receiving = scope.spawn(|| drain!(reader));
                let closed = writer.close(CODE);
                let (received, messages) = receiving.join().unwrap();
                (vec![closed, received], messages)
            });
        }
        let (result, messages) = drain!(reader);
        (vec![result], messages)
    }

    fn again(&mut self, told: &'static str) -> (Result<(), Error>, &'static str) {
        (self.1.close(CODE), told)
    }

    fn late(&mut self) -> Vec<Result<(), Error>> {
        let fed = self.1.feed("late").map_err(Error::from);
        vec![fed, self.1.send("late"), self.1.ready(), self.1.ping("late"), self.1.pong("late")]
    }

    fn closed(&mut self) -> Option<Closed> {
        assert!(matches!(self.0.recv(), Ok(None)), "reported once");
        assert_eq!(self.0.closed(), self.1.closed());
        self.0.closed()
    }

    fn unsent(&self) -> u64 {
        self.1.unsent().messages
    }
}

/// A connection of tokio's with the runtime that it is on.
struct OnTokio<C>(C, tokio::runtime::Runtime);

impl Conn for OnTokio<fullduplex::tokio::WebSocket<Script>> {
    fn give(&mut self, message: Message, writes: bool) {
        self.0.feed(message).unwrap();
        if writes {
            self.1.block_on(self.0.flush()).unwrap();
        }
    }

    fn end(&mut self, we_close: bool) -> (Vec<Result<(), Error>>, Vec<Message>) {
        let Self(ws, runtime) = self;
        runtime.block_on(async {
            if we_close {
                return (vec![ws.close(CODE).await], vec![]);
            }
            let (result, messages) = drain!(ws, await);
            (vec![result], messages)
        })
    }

    fn again(&mut self, _: &'static str) -> (Result<(), Error>, &'static str) {
        (self.1.block_on(self.0.close(CODE)), "Ok")
    }

    fn late(&mut self) -> Vec<Result<(), Error>> {
        let Self(ws, runtime) = self;
        runtime.block_on(async {
            let fed = ws.feed("late").map_err(Error::from);
            let (sent, ready) = (ws.send("late").await, ws.ready().await);
            vec![fed, sent, ready, ws.ping("late").await, ws.pong("late").await]
        })
    }

    fn closed(&mut self) -> Option<Closed> {
        let Self(ws, runtime) = self;
        assert!(matches!(runtime.block_on(ws.recv()), Ok(None)), "reported once");
        ws.closed().cloned()
    }

    fn unsent(&self) -> u64 {
        self.0.unsent().messages
    }
}

type TokioHalves = (fullduplex::tokio::Reader<Script>, fullduplex::tokio::Writer<Script>);

impl Conn for OnTokio<TokioHalves> {
    fn give(&mut self, message: Message, writes: bool) {
        self.0.1.feed(message).unwrap();
        if writes {
            self.1.block_on(self.0.1.flush()).unwrap();
        }
    }

    fn end(&mut self, we_close: bool) -> (Vec<Result<(), Error>>, Vec<Message>) {
        let Self((reader, writer), runtime) = self;
        runtime.block_on(async {
            if we_close {
                let receiving = async { drain!(reader, await) };
                let (closed, (received, messages)) =
                    tokio::join!(biased; writer.close(CODE), receiving);
                return (vec![closed, received], messages);
            }
            let (result, messages) = drain!(reader, await);
            (vec![result], messages)
        })
    }

    fn again(&mut self, told: &'static str) -> (Result<(), Error>, &'static str) {
        (self.1.block_on(self.0.1.close(CODE)), told)
    }

    fn late(&mut self) -> Vec<Result<(), Error>> {
        let Self((_, ws), runtime) = self;
        runtime.block_on(async {
            let fed = ws.feed("late").map_err(Error::from);
            let (sent, ready) = (ws.send("late").await, ws.ready().await);
            vec![fed, sent, ready, ws.ping("late").await, ws.pong("late").await]
        })
    }

    fn closed(&mut self) -> Option<Closed> {
        let Self((reader, writer), runtime) = self;
        runtime.block_on(async {
            assert!(matches!(reader.recv().await, Ok(None)), "reported once");
        });
        assert_eq!(reader.closed(), writer.closed());
        reader.closed()
    }

    fn unsent(&self) -> u64 {
        self.0.1.unsent().messages
    }
}

/// Runs `test` with each adapter against `peer`, and with what gives what was written, once the
/// connection is over, and whether the write side was shut down.
fn on_all(
    role: Role,
    config: &Config,
    peer: &Peer,
    mut test: impl FnMut(&str, &mut dyn Conn, &mut dyn FnMut(bool) -> (Vec<u8>, bool)),
) {
    let _watchdog = watchdog();
    for split in [false, true] {
        // The peer's part is there from the beginning: a script cannot wait for us.
        let script = Script::reading([Step::Bytes(peer.sends.clone())]);
        if peer.sends.is_empty() {
            script.state().reads.clear();
        }
        script.state().reads.extend(match peer.ends {
            Ends::Eof | Ends::Behind => Some(Step::Eof),
            Ends::Reset => Some(Step::Error(ErrorKind::ConnectionReset)),
            Ends::Never => None,
        });
        if !peer.takes {
            script.state().writes.push_back(Step::Stall);
        }
        let runtime = paused();
        let ws = {
            let _time = runtime.enter();
            let config = config.clone();
            fullduplex::tokio::WebSocket::from_parts(script.clone(), role, config, [])
        };
        let mut written = |_| (script.written(), script.state().shut_at.is_some());
        match split {
            false => test("tokio", &mut OnTokio(ws, runtime), &mut written),
            true => test("tokio's halves", &mut OnTokio(ws.split(), runtime), &mut written),
        }
    }
    for split in [false, true] {
        let (ours, theirs) = tcp_pair();
        let (over, is_over) = mpsc::channel::<()>();
        let peer_takes = peer.takes;
        thread::scope(|scope| {
            let mut peer = Some(scope.spawn(move || play(peer, theirs, &is_over)));
            let mut over = Some(over);
            let mut written = |waits: bool| {
                if !waits || !peer_takes {
                    over.take();
                }
                (peer.take().unwrap().join().unwrap(), waits)
            };
            let ws = blocking::WebSocket::from_parts(ours, role, config.clone(), []);
            match split {
                false => test("blocking", &mut { ws }, &mut written),
                true => test("blocking halves", &mut ws.split(), &mut written),
            }
        });
    }
}

/// A peer over TCP: what it got.
fn play(peer: &Peer, mut stream: TcpStream, over: &mpsc::Receiver<()>) -> Vec<u8> {
    if peer.we_close && peer.takes {
        stream.peek(&mut [0]).unwrap();
    }
    // Some of it may come too late, which is not its fault.
    let _ = stream.write_all(&peer.sends);
    match peer.ends {
        Ends::Reset => {
            // Something of ours is there, and not read.
            stream.peek(&mut [0]).unwrap();
            let mut bytes = vec![0; 1 << 10];
            let peeked = stream.peek(&mut bytes).unwrap();
            bytes.truncate(peeked);
            return bytes;
        }
        Ends::Eof => stream.shutdown(Shutdown::Write).unwrap(),
        Ends::Behind | Ends::Never => {}
    }
    if !peer.takes {
        let _ = over.recv();
        return vec![];
    }
    // To the end; which is ours, or that the test is over.
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(read) => bytes.extend(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if over.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    return bytes;
                }
            }
            Err(_) => return bytes,
        }
    }
}

/// Plays one row of the table, in both roles and all adapters.
fn row(
    config: &Config,
    backlog: Option<Message>,
    peer: impl Fn(Role) -> Peer,
    seen: impl Fn(Role) -> Seen,
) {
    for role in BOTH {
        let (peer, seen) = (peer(role), seen(role));
        on_all(role, config, &peer, |adapter, conn, written| {
            let what = format!("{adapter}, {role:?}");
            if let Some(message) = &backlog {
                conn.give(message.clone(), peer.takes);
            }
            let (results, messages) = conn.end(peer.we_close);
            for result in &results {
                assert_eq!(told(result), seen.told, "{what}");
            }
            // `close` discards what nobody receives.
            let receives = !peer.we_close || results.len() == 2;
            assert_eq!(messages.len(), if receives { seen.messages } else { 0 }, "{what}");
            let (result, again) = conn.again(seen.told);
            assert_eq!(told(&result), again, "{what}");
            assert_eq!(ended(conn.closed()), seen.closed, "{what}");
            for result in conn.late() {
                assert_eq!(cause(&result), refused(&seen), "{what}");
            }
            let lost = !peer.takes && backlog.is_some();
            assert_eq!(conn.unsent() > 0, lost, "{what}");
            let (bytes, shut) = written(seen.shut);
            assert_eq!(shut, seen.shut, "{what}");
            if peer.takes {
                assert_eq!(close_codes(&split(role, &bytes)), seen.codes, "{what}");
            }
        });
    }
}

/// Deadlines that tests over TCP can wait for.
fn quick() -> Config {
    quiet().close_timeout(Duration::from_millis(40))
}

/// Where the peer has something to do before the deadline.
fn patient() -> Config {
    quiet().close_timeout(Duration::from_millis(250))
}

fn close(role: Role, code: u16) -> Vec<u8> {
    frame(role, 0x88, &close_body(code, "why"))
}

/// More than the operating system holds for a peer that does not read.
fn huge() -> Option<Message> {
    Some(Message::from(vec![7; 64 << 20]))
}

const CLEAN: Seen = Seen { told: "Ok", closed: "", codes: &[1001], shut: true, messages: 0 };

fn is_client(role: Role) -> bool {
    role == Role::Client
}

#[test]
fn it_answers_our_close() {
    row(
        &quiet(),
        None,
        |role| Peer {
            we_close: true,
            sends: close(role, 1001),
            ends: Ends::in_order(role),
            takes: true,
        },
        |_| Seen { closed: "Clean Local 1001", ..CLEAN },
    );
}

#[test]
fn it_closes_first() {
    let peer =
        |role, sends| Peer { we_close: false, sends, ends: Ends::in_order(role), takes: true };
    row(
        &quiet(),
        None,
        |role| peer(role, close(role, 4000)),
        |_| Seen { closed: "Clean Remote 4000", codes: &[4000], ..CLEAN },
    );
    row(
        &quiet(),
        None,
        |role| peer(role, frame(role, 0x88, b"")),
        |_| Seen { closed: "Clean Remote 1005", codes: &[1005], ..CLEAN },
    );
}

/// After our own Close there is none to say why.
#[test]
fn it_closes_with_a_code_that_is_not_allowed() {
    for (we_close, codes) in [(false, &[1002][..]), (true, &[1001])] {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            row(
                &quiet(),
                None,
                |role| Peer { we_close, sends: close(role, code), ends: Ends::Behind, takes: true },
                |_| Seen { told: "Protocol", closed: "Failed 1002", codes, ..CLEAN },
            );
        }
    }
}

#[test]
fn it_never_answers() {
    row(
        &quick(),
        None,
        |_| Peer { we_close: true, sends: vec![], ends: Ends::Never, takes: true },
        |role| Seen {
            told: "Timeout(Close)",
            closed: "TimedOut(Close)",
            shut: is_client(role),
            ..CLEAN
        },
    );
}

#[test]
fn it_sends_data_after_its_close() {
    for (we_close, closed) in [(false, "Clean Remote 1001"), (true, "Clean Local 1001")] {
        row(
            &quiet(),
            None,
            |role| {
                let mut sends = close(role, 1001);
                sends.extend(frames(role, &[(0x81, b"late"), (0x88, b""), (0xff, b"wrong")]));
                Peer { we_close, sends, ends: Ends::in_order(role), takes: true }
            },
            |_| Seen { closed, ..CLEAN },
        );
    }
}

#[test]
fn it_keeps_sending_while_we_close() {
    let texts = |role| frame(role, 0x81, b"text").repeat(100);
    row(
        &quiet(),
        None,
        |role| {
            let sends = [texts(role), close(role, 1001)].concat();
            Peer { we_close: true, sends, ends: Ends::in_order(role), takes: true }
        },
        |_| Seen { closed: "Clean Local 1001", messages: 100, ..CLEAN },
    );
    row(
        &patient(),
        None,
        |role| Peer { we_close: true, sends: texts(role), ends: Ends::Never, takes: true },
        |role| Seen {
            told: "Timeout(Close)",
            closed: "TimedOut(Close)",
            shut: is_client(role),
            messages: 100,
            ..CLEAN
        },
    );
}

#[test]
fn it_resets_before_its_close() {
    for (we_close, codes) in [(false, &[][..]), (true, &[1001])] {
        row(
            &quiet(),
            (!we_close).then(|| "never read".into()),
            |_| Peer { we_close, sends: vec![], ends: Ends::Reset, takes: true },
            |role| Seen {
                told: "Io(ConnectionReset)",
                closed: "Abnormal",
                codes,
                shut: is_client(role),
                ..CLEAN
            },
        );
    }
}

#[test]
fn it_resets_behind_its_close() {
    row(
        &quiet(),
        None,
        |role| Peer { we_close: false, sends: close(role, 1001), ends: Ends::Reset, takes: true },
        |_| Seen { closed: "Clean Remote 1001", ..CLEAN },
    );
}

#[test]
fn it_ends_tcp_without_a_close() {
    for (we_close, codes) in [(false, &[][..]), (true, &[1001])] {
        row(
            &quiet(),
            None,
            |role| Peer {
                we_close,
                sends: frame(role, 0x81, b"text"),
                ends: Ends::Eof,
                takes: true,
            },
            |role| Seen {
                told: "Abnormal",
                closed: "Abnormal",
                codes,
                shut: is_client(role),
                messages: 1,
            },
        );
    }
}

#[test]
fn it_ends_tcp_inside_a_frame() {
    for (we_close, codes) in [(false, &[][..]), (true, &[1001])] {
        for part in [1, 4, 9] {
            row(
                &quiet(),
                None,
                |role| {
                    let mut sends = frame(role, 0x82, b"0123456789");
                    sends.truncate(part);
                    Peer { we_close, sends, ends: Ends::Eof, takes: true }
                },
                |role| Seen {
                    told: "Abnormal",
                    closed: "Abnormal",
                    codes,
                    shut: is_client(role),
                    ..CLEAN
                },
            );
        }
    }
}

/// What it did right before is given; and after our own Close there is none to say why.
#[test]
fn it_breaks_the_protocol() {
    type Wrong = (&'static str, &'static [u16], fn(Role) -> Vec<u8>);
    let wrong: [Wrong; 3] = [
        ("Failed 1002", &[1002], |role| frame(role, 0xc1, b"reserved bit")),
        ("Failed 1007", &[1007], |role| frame(role, 0x81, b"\xff")),
        ("Failed 1009", &[1009], |role| frame(role, 0x82, &[0; 101])),
    ];
    for (closed, codes, wrong) in wrong {
        for we_close in [false, true] {
            if we_close && closed == "Failed 1009" {
                continue; // `close` discards what comes, of any size
            }
            row(
                &quiet().max_message_size(100),
                None,
                |role| {
                    let sends = [frame(role, 0x81, b"text"), wrong(role), close(role, 1000)];
                    Peer { we_close, sends: sends.concat(), ends: Ends::Behind, takes: true }
                },
                |_| Seen {
                    told: "Protocol",
                    closed,
                    codes: if we_close { &[1001] } else { codes },
                    shut: true,
                    messages: 1,
                },
            );
        }
    }
}

#[test]
fn it_never_ends_tcp() {
    for (we_close, closed) in [(false, "Clean Remote 1001"), (true, "Clean Local 1001")] {
        row(
            &patient(),
            None,
            |role| Peer { we_close, sends: close(role, 1001), ends: Ends::Never, takes: true },
            |_| Seen { closed, ..CLEAN },
        );
    }
    row(
        &quick(),
        None,
        |role| Peer {
            we_close: false,
            sends: frame(role, 0xc1, b""),
            ends: Ends::Never,
            takes: true,
        },
        |_| Seen { told: "Protocol", closed: "Failed 1002", codes: &[1002], ..CLEAN },
    );
}

#[test]
fn it_takes_nothing_while_we_close() {
    row(
        &quick(),
        huge(),
        |_| Peer { we_close: true, sends: vec![], ends: Ends::Never, takes: false },
        |role| Seen {
            told: "Timeout(Close)",
            closed: "TimedOut(Close)",
            shut: is_client(role),
            ..CLEAN
        },
    );
    row(
        &patient(),
        huge(),
        |role| Peer { we_close: true, sends: close(role, 1001), ends: Ends::Never, takes: false },
        |role| Seen { told: "Unsent", closed: "Unsent Local 1001", shut: is_client(role), ..CLEAN },
    );
}

#[test]
fn it_does_not_answer_keepalive() {
    let keepalive = Keepalive::every(Duration::from_millis(20))
        .pong_timeout(Duration::from_millis(20))
        .slowest_path(u32::MAX);
    let config = quick().keepalive(keepalive);
    row(
        &config,
        None,
        |_| Peer { we_close: false, sends: vec![], ends: Ends::Never, takes: true },
        |_| Seen { told: "Timeout(Pong)", closed: "TimedOut(Pong)", codes: &[1011], ..CLEAN },
    );
    row(
        &config,
        huge(),
        |_| Peer { we_close: false, sends: vec![], ends: Ends::Never, takes: false },
        |role| Seen {
            told: "Timeout(Pong)",
            closed: "TimedOut(Pong)",
            shut: is_client(role),
            ..CLEAN
        },
    );
}

#[test]
fn it_sends_no_message_for_the_idle_timeout() {
    row(
        &quick().idle_timeout(Duration::from_millis(20)),
        None,
        |_| Peer { we_close: false, sends: vec![], ends: Ends::Never, takes: true },
        |_| Seen { told: "Timeout(Idle)", closed: "TimedOut(Idle)", ..CLEAN },
    );
}
