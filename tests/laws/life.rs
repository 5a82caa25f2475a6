//! The law of the life of a connection, over all adapters, whole and in halves: whatever is called in
//! whatever order, however the stream reads, writes, waits and fails, and wherever a future is
//! dropped,
//!
//! - what was accepted for sending arrives, once and in order; or the connection ended first, and
//!   then `unsent` counts exactly what did not;
//! - what is received was sent, once and in order, and all of it if nothing went wrong;
//! - nobody waits for ever: tasks are polled only when they were woken;
//! - the end is known, and reported once.
//!
//! `LIFE_CASES` is how many cases there are for each adapter, `LIFE_SEED` the first seed. All of a
//! case follows from its seed, but for mask keys.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{Seen, connection, drain, frame, other, receive, reference, watch};
use core::{
    cell::{Cell, RefCell},
    time::Duration,
};
use fullduplex::{
    CloseCode, Closed, Config, Error, Event, FlushPolicy, Message, Prepared, Role, SendError,
    SendErrorReason,
};
use std::{env, io::ErrorKind, thread};
use support::{
    Script, Step,
    life::{Agreed, Knows, Receives, Sends, Whole},
    paused, quiet,
    script::State,
    tasks::{Dice, Task, dropped, pause, run_all},
    watchdog,
};
use tokio::runtime::Runtime;

/// How the peer ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Close,
    /// It hangs up, or its stream breaks, at any byte.
    Cut,
    /// It breaks the protocol.
    Garbage,
}

/// All that is said to the endpoint.
struct Peer {
    wire: Vec<u8>,
    /// Each event with where in the wire it ends.
    events: Vec<(usize, Seen)>,
    last: Last,
}

/// What an endpoint was told.
#[derive(Default)]
struct Inbox {
    seen: Vec<Seen>,
    /// Of a message that is taken in chunks, whether it is text, and what has come.
    partial: Option<(bool, Vec<u8>)>,
    /// Whether a call that takes chunks was dropped, perhaps with a head in hand.
    in_chunks: bool,
    /// Whether the end was seen by who receives, and whether it was reported.
    over: bool,
    reported: bool,
}

/// Somebody who sends, and what of it was accepted, as far as that is known.
struct Author {
    name: String,
    number: u32,
    said: Vec<(Seen, Option<bool>)>,
    /// A message in fragments that is not finished: whether it is text, and what it says so far.
    begun: Option<(bool, String)>,
    /// Whether it may also be that a message was not finished.
    torn: bool,
}

struct Case {
    /// Whether a call that waits keeps all others from going on.
    blocks: bool,
    dice: Dice,
    role: Role,
    script: Script,
    peer: Peer,
    agreed: Agreed,
    strict: bool,
    /// Whether messages are cut: those count as sent when their last frame is made.
    cuts: bool,
    most: u64,
    /// Whether writing fails at some time.
    breaks: bool,
    /// Whether it was closed from here, and whether deadlines passed.
    closes: Cell<bool>,
    late: Cell<bool>,
    /// Whether messages may have been discarded.
    discards: Cell<bool>,
    inbox: RefCell<Inbox>,
    authors: RefCell<Vec<Author>>,
    pings: RefCell<Vec<Vec<u8>>>,
}

fn letters(dice: &Dice, most: u64) -> String {
    ["a", "é", "€", "😀", "xyz"].iter().cycle().take(dice.below(most) as usize).copied().collect()
}

fn message(text: bool, content: &str) -> Message {
    if text { content.into() } else { content.as_bytes().into() }
}

fn is_message(seen: &Seen) -> bool {
    matches!(seen, Seen::Text(_) | Seen::Binary(_))
}

fn bytes(seen: &Seen) -> &[u8] {
    match seen {
        Seen::Text(text) => text.as_bytes(),
        Seen::Binary(bytes) | Seen::Ping(bytes) | Seen::Pong(bytes) => bytes,
        Seen::Close(_) => &[],
    }
}

/// The first words of a message are its author's name and its number.
fn is_by(seen: &Seen, name: &str) -> bool {
    bytes(seen).split(|byte| *byte == b' ').next() == Some(name.as_bytes())
}

fn with_deflate(of: fullduplex::Connection, agreed: Agreed) -> fullduplex::Connection {
    #[cfg(feature = "deflate")]
    return of.with_deflate(agreed).unwrap();
    #[cfg(not(feature = "deflate"))]
    return (of, agreed).0;
}

/// What is said to an endpoint in `role`.
fn peer(role: Role, dice: &Dice, agreed: Agreed) -> Peer {
    let mut peer = with_deflate(connection(other(role), Config::default()), agreed);
    let (mut wire, mut events) = (Vec::new(), Vec::new());
    let mut say = |peer: &mut fullduplex::Connection, seen: Option<Seen>| {
        wire.extend(drain(peer));
        events.extend(seen.map(|seen| (wire.len(), seen)));
    };
    for number in 0..dice.below(9) {
        let text = dice.one_in(2);
        let mut content = format!("{number} {}", letters(dice, dice.pick(&[1, 10, 200, 900])));
        match dice.below(6) {
            0 => {
                peer.ping(content.as_bytes()[..1].try_into().unwrap()).unwrap();
                say(&mut peer, Some(Seen::Ping(content.as_bytes()[..1].into())));
                continue;
            }
            1 | 2 => {
                let (pieces, mut piece) = (1 + dice.below(4), content.clone());
                for left in (0..pieces).rev() {
                    peer.feed_fragment(message(text, &piece), left == 0).unwrap();
                    say(&mut peer, None);
                    if left > 0 && dice.one_in(3) {
                        peer.ping(b"inside"[..].try_into().unwrap()).unwrap();
                        say(&mut peer, Some(Seen::Ping(b"inside".into())));
                    }
                    if left > 0 {
                        piece = letters(dice, 40);
                        content += &piece;
                    }
                }
            }
            _ => peer.feed(message(text, &content)).unwrap(),
        }
        say(&mut peer, Some(seen(text, content)));
    }
    let last = dice.pick(&[Last::Close, Last::Close, Last::Cut, Last::Garbage]);
    if last == Last::Close {
        peer.start_close(None).unwrap();
        say(&mut peer, Some(Seen::Close(None)));
    }
    match last {
        Last::Close => {}
        Last::Cut => wire.truncate(dice.below(wire.len() as u64 + 1) as usize),
        Last::Garbage => wire.extend(match dice.below(4) {
            0 => frame(role, 0x83, b"reserved"),
            1 => frame(role, 0x80, b"goes on with nothing"),
            2 => frame(role, 0x81, b"not \xff text"),
            _ => frame(other(role), 0x82, b"masked the wrong way"),
        }),
    }
    Peer { wire, events, last }
}

fn seen(text: bool, content: String) -> Seen {
    if text { Seen::Text(content) } else { Seen::Binary(content.into_bytes()) }
}

/// What a stream does with what is written, flushed or shut down.
fn steps(dice: &Dice, most: u64) -> Vec<Step> {
    let often = dice.below(4);
    let step = |_| match dice.below(8) {
        0..4 if often < 2 => Step::Count(1_000_000),
        0 => Step::Pending,
        1 | 2 => Step::Stall,
        4 | 5 => Step::Count(1 + dice.below(4) as usize),
        _ => Step::Count(1 + dice.below(300) as usize),
    };
    (0..dice.below(most)).map(step).collect()
}

impl Case {
    fn new(seed: u64, blocks: bool) -> (Self, Config, Vec<u8>) {
        let dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.below(2); // neighbours begin alike
        let role = dice.pick(&common::BOTH);
        #[cfg(feature = "deflate")]
        let agreed = {
            let ours = fullduplex::deflate::Deflate::default().takeover(dice.one_in(2));
            dice.one_in(5).then(|| ours.accept(&ours.offers()).unwrap())
        };
        #[cfg(not(feature = "deflate"))]
        let agreed = None;
        let peer = peer(role, &dice, agreed);
        let strict = !dice.one_in(3);
        let frames = dice.pick(&[None, None, Some(1), Some(7), Some(100)]);
        let config = quiet()
            .unsent_mark(dice.pick(&[1, 50, 1 << 18]))
            .max_unsent(dice.pick(&[1, 100, 1 << 20, 1 << 20]))
            .max_sent_frame(frames)
            .flush_policy(if strict { FlushPolicy::Strict } else { FlushPolicy::BeforeWait })
            .close_timeout(Duration::from_secs(if blocks { 600 } else { 5 }));
        #[cfg(feature = "deflate")]
        let config = config.deflate(fullduplex::deflate::Deflate::default().threshold(0));

        let script = Script::new();
        let (unread, mut rest) = peer.wire.split_at(match dice.one_in(8) {
            true => dice.below(peer.wire.len() as u64 + 1) as usize,
            false => 0,
        });
        let mut state = script.state();
        state.blocking = blocks;
        state.vectored = dice.one_in(2);
        let largest = dice.pick(&[3, 30, 3_000]);
        while !rest.is_empty() {
            match dice.below(6) {
                0 => state.reads.push_back(Step::Pending),
                1 | 2 => state.reads.push_back(Step::Stall),
                _ => {
                    let size = rest.len().min(1 + dice.below(largest) as usize);
                    state.reads.push_back(Step::Bytes(rest[..size].into()));
                    rest = &rest[size..];
                }
            }
        }
        for _ in 0..dice.below(4) {
            state.reads.push_back(Step::Stall);
        }
        if dice.one_in(4) {
            state.reads.push_back(Step::Error(ErrorKind::ConnectionReset));
        }
        state.reads.push_back(Step::Eof);
        state.writes = steps(&dice, 60).into();
        state.flushes = steps(&dice, 20).into();
        state.shutdowns = steps(&dice, 4).into();
        let breaks = dice.one_in(8);
        if breaks {
            let broken = || (0..100).map(|_| Step::Error(ErrorKind::BrokenPipe));
            match dice.one_in(3) {
                true => state.flushes.extend(broken()),
                false => state.writes.extend(broken()),
            }
        }
        if blocks {
            // In one thread nobody else can let it go on.
            let State { reads, writes, flushes, shutdowns, .. } = &mut *state;
            for step in [reads, writes, flushes, shutdowns].into_iter().flatten() {
                if matches!(step, Step::Stall) {
                    *step = Step::Pending;
                }
            }
        }
        drop(state);
        let unread = unread.to_vec();
        let case = Self {
            most: if frames == Some(1) { 60 } else { dice.pick(&[60, 60, 60, 900]) },
            blocks,
            dice,
            role,
            script,
            peer,
            agreed,
            strict,
            cuts: frames.is_some(),
            breaks,
            closes: Cell::default(),
            late: Cell::default(),
            discards: Cell::default(),
            inbox: RefCell::default(),
            authors: RefCell::default(),
            pings: RefCell::default(),
        };
        (case, config, unread)
    }

    /// After how many polls a future is dropped.
    fn polls(&self) -> u64 {
        if self.dice.one_in(2) { u64::MAX } else { self.dice.below(5) }
    }

    fn author(&self, name: &str) -> Author {
        Author { name: name.into(), number: 0, said: Vec::new(), begun: None, torn: false }
    }

    /// A call that failed, but for one that the caller may not make now, says that the connection is
    /// ending.
    fn judge<K: Knows>(&self, of: &K, result: &Result<(), Error>) {
        if let Err(error) = result {
            assert!(matches!(error, Error::Send(_)) || !of.is_open(), "{error:?}, and it is open");
        }
    }

    /// Receives something, or not: whether there may be more.
    async fn receive<R: Receives>(&self, from: &mut R) -> bool {
        let polls = self.polls();
        let partial = self.inbox.borrow_mut().partial.take();
        if partial.is_some() || self.dice.one_in(3) {
            if partial.is_some() && from.is_open() && self.dice.one_in(4) {
                assert!(matches!(from.recv().await, Err(Error::Unfinished)));
            }
            let received = dropped(from.recv_chunk(), polls).await;
            let chunk = match received {
                Some(Ok(Some(chunk))) => chunk,
                other => {
                    {
                        let mut inbox = self.inbox.borrow_mut();
                        (inbox.partial, inbox.in_chunks) = (partial, true);
                    }
                    return match other {
                        None => true,
                        Some(end) => self.ended(from, end.map(|_| ())).await,
                    };
                }
            };
            if self.discards.get() && !chunk.is_first() && partial.is_none() {
                return true; // what comes in front of it was discarded
            }
            assert_eq!(chunk.is_first(), partial.is_none(), "a chunk is lost, or doubled");
            let (text, mut so_far) = partial.unwrap_or((chunk.is_text(), Vec::new()));
            assert_eq!(text, chunk.is_text());
            so_far.extend_from_slice(chunk.as_bytes());
            let mut inbox = self.inbox.borrow_mut();
            if !chunk.is_last() {
                inbox.partial = Some((text, so_far));
            } else if text {
                inbox.seen.push(Seen::Text(String::from_utf8(so_far).unwrap()));
            } else {
                inbox.seen.push(Seen::Binary(so_far));
            }
            return true;
        }
        let received = if self.dice.one_in(2) {
            let received = dropped(from.recv(), polls).await;
            let seen = |message: Message| match message.as_text() {
                Some(text) => Seen::text(text),
                None => Seen::Binary(message.as_bytes().into()),
            };
            received.map(|result| result.map(|message| message.map(seen)))
        } else {
            let received = dropped(from.recv_event(), polls).await;
            received.map(|result| result.map(|event| event.map(|event: Event<'_>| event.into())))
        };
        match received {
            None => true,
            Some(Err(Error::Unfinished)) => {
                assert!(self.inbox.borrow().in_chunks);
                true
            }
            Some(Ok(Some(seen))) => {
                self.inbox.borrow_mut().seen.push(seen);
                true
            }
            Some(end) => self.ended(from, end.map(|_| ())).await,
        }
    }

    /// The end is known, and was reported once.
    async fn ended<R: Receives>(&self, from: &mut R, end: Result<(), Error>) -> bool {
        let closed = from.closed().unwrap_or_else(|| panic!("no end after {end:?}"));
        let reported = self.inbox.borrow().reported;
        match end {
            Ok(()) => assert!(reported || closed.is_clean(), "nobody was told: {closed:?}"),
            // The rest of a message that was begun in chunks is discarded by a close.
            Err(Error::CutOff) => assert!(!reported && closed.is_clean(), "{closed:?}"),
            Err(error) => assert!(!reported && !closed.is_clean(), "{error:?} after {closed:?}"),
        }
        (self.inbox.borrow_mut().over, self.inbox.borrow_mut().reported) = (true, true);
        assert!(matches!(from.recv_chunk().await, Ok(None)));
        assert!(matches!(from.recv().await, Ok(None)));
        assert_eq!(from.closed(), Some(closed));
        assert!(!from.is_open());
        false
    }

    /// Sends something in one of all ways, or not. `alone` is whether nobody else sends.
    async fn send<S: Sends>(&self, to: &mut S, author: &mut Author, alone: bool) {
        let dice = &self.dice;
        if author.begun.is_some() && !dice.one_in(8) || dice.one_in(6) {
            return self.send_fragments(to, author, alone).await;
        }
        if dice.one_in(6) {
            let payload = format!("{} {}", author.name, author.number).into_bytes();
            author.number += 1;
            self.pings.borrow_mut().push(payload.clone());
            let sent = dropped(to.ping(&payload), self.polls()).await;
            return self.written(to, sent, alone);
        }
        if dice.one_in(6) {
            let flushed = dropped(to.flush(), self.polls()).await;
            return self.written(to, flushed, alone);
        }
        author.number += 1;
        let text = dice.one_in(2);
        let content = format!("{} {} {}", author.name, author.number, letters(dice, self.most));
        let (message, seen) = (message(text, &content), seen(text, content));
        let before = to.stats().messages_sent;
        let sure = match dice.below(3) {
            0 => {
                let sent = dropped(to.send(message), self.polls()).await;
                self.sent(to, sent, alone)
            }
            1 => {
                let prepared = Prepared::new(message);
                let sent = dropped(to.send_prepared(&prepared), self.polls()).await;
                self.sent(to, sent, alone)
            }
            _ => {
                let ready = dropped(to.ready(), self.polls()).await;
                // Heads count only when the frames of a message that is cut are made.
                let room = alone && !self.cuts && to.is_open() && matches!(ready, Some(Ok(())));
                let fed = to.feed(message.clone());
                if let Err(SendError { reason, message: back, .. }) = &fed {
                    let begun = author.begun.is_some()
                        || self.authors.borrow().iter().any(|author| author.begun.is_some());
                    let fits = begun && *reason == SendErrorReason::Unfinished;
                    assert!(!room || fits, "{reason:?}, though there is room: {:?}", to.unsent());
                    assert_eq!(*back, message);
                }
                Some(fed.is_ok())
            }
        };
        let exact = (alone && !self.cuts).then(|| to.stats().messages_sent > before);
        assert!(exact.is_none() || sure.is_none() || sure == exact, "{sure:?} but {exact:?}");
        author.said.push((seen, exact.or(sure)));
    }

    /// Whether a message was accepted that was sent.
    fn sent<S: Sends>(&self, to: &S, sent: Option<Result<(), Error>>, alone: bool) -> Option<bool> {
        let sure = match &sent {
            Some(Ok(())) => Some(true),
            Some(Err(Error::Closed(_) | Error::Send(_))) => Some(false),
            // It was queued, perhaps, and then the stream failed.
            Some(Err(_)) | None => None,
        };
        match sent {
            Some(sent) if self.strict => self.written(to, Some(sent), alone),
            Some(sent) => self.judge(to, &sent),
            None => {}
        }
        sure
    }

    /// What was said to be written is.
    fn written<S: Sends>(&self, to: &S, result: Option<Result<(), Error>>, alone: bool) {
        let Some(result) = result else { return };
        self.judge(to, &result);
        if result.is_ok() && alone && to.is_open() {
            assert_eq!(to.unsent(), Default::default());
            assert!(self.script.is_flushed());
        }
    }

    /// Begins a message in fragments or goes on with it, perhaps to its end.
    async fn send_fragments<S: Sends>(&self, to: &mut S, author: &mut Author, alone: bool) {
        loop {
            author.number += 1;
            let mut begun = author.begun.take();
            let first = begun.is_none();
            let (text, so_far) = begun.get_or_insert((self.dice.one_in(2), String::new()));
            let mut piece = letters(&self.dice, 30);
            if first {
                piece = format!("{} {} {piece}", author.name, author.number);
            } else if alone {
                piece += "."; // so that it shows whether it was taken
            }
            let (before, fin) = (to.stats().payload_sent, self.dice.one_in(3));
            // Whether it was taken has to be known.
            let polls = if alone && !self.cuts { self.polls() } else { u64::MAX };
            let sent = dropped(to.send_fragment(message(*text, &piece), fin), polls).await;
            let mut sure = self.sent(to, sent, alone);
            let exact = (alone && !self.cuts).then(|| to.stats().payload_sent > before);
            assert!(exact.is_none() || sure.is_none() || sure == exact, "{sure:?} but {exact:?}");
            sure = exact.or(sure);
            if sure == Some(false) {
                author.begun = begun.filter(|_| !first);
                return;
            }
            *so_far += &piece;
            if fin {
                // All of it was taken, or only what came before.
                author.torn |= sure.is_none();
                let (text, content) = (*text, so_far.clone());
                return author.said.push((seen(text, content), sure));
            }
            author.begun = begun;
            if alone && self.dice.one_in(3) {
                return;
            }
            if !alone && !self.blocks {
                pause().await; // the messages of others wait for the end of this one
            }
        }
    }

    /// A connection in one piece is closed: what comes from now on may be discarded.
    fn discard(&self) {
        self.discards.set(true);
        let mut inbox = self.inbox.borrow_mut();
        (inbox.in_chunks, inbox.partial) = (true, None);
    }

    /// Closes, or begins to.
    async fn close<S: Sends>(&self, to: &mut S, polls: u64) -> bool {
        if polls > 0 {
            self.closes.set(true);
        }
        let closed = dropped(to.close((CloseCode::NORMAL, "bye")), polls).await;
        let Some(result) = closed else { return false };
        let closed = to.closed().expect("an end that is known");
        assert!(result.is_err() || closed.is_clean() || self.inbox.borrow().reported);
        assert!(result.is_ok() || !closed.is_clean(), "{result:?} after {closed:?}");
        true
    }

    async fn whole<W: Whole>(&self, ws: &mut W, author: &mut Author, last: bool) {
        for _ in 0..self.dice.below(12) {
            match self.dice.below(40) {
                0 => {
                    self.discard();
                    let over = self.close(ws, self.dice.below(5)).await;
                    self.inbox.borrow_mut().reported |= over;
                }
                1..=16 => _ = self.receive(ws).await,
                _ => self.send(ws, author, true).await,
            }
        }
        match self.dice.below(4) {
            _ if !last => {}
            0 => _ = ws.flush().await,
            1 => {
                self.discard();
                assert!(self.close(ws, u64::MAX).await);
                self.inbox.borrow_mut().reported = true;
            }
            _ => while self.receive(ws).await {},
        }
    }

    /// The halves, each in a task of its own, and whoever of them is left.
    fn halves<W: Whole>(
        &self,
        (reader, writer): (W::Reader, W::Writer),
        mine: &mut Author,
        (phase, last): (u64, bool),
        run: impl FnOnce(Vec<(&'static str, Task<'_>)>),
    ) -> (Option<W::Reader>, W::Writer) {
        let dice = &self.dice;
        let left = (RefCell::new(None), RefCell::new(None));
        let closes = last && dice.one_in(2);
        let drops = last && (dice.one_in(3) || closes && W::BLOCKS);
        let to_the_end = dice.one_in(if last && !W::BLOCKS { 2 } else { 3 });
        let reads = if to_the_end { u64::MAX } else { dice.below(12) };
        let gone = Cell::new(false);
        let mut tasks: Vec<(&'static str, Task<'_>)> = Vec::new();
        let (left_reader, gone) = (&left.0, &gone);
        tasks.push((
            "reader",
            Box::pin(async move {
                let mut reader = reader;
                for _ in 0..reads {
                    if dice.one_in(4) {
                        pause().await;
                    }
                    if !self.receive(&mut reader).await {
                        break;
                    }
                }
                if !drops {
                    *left_reader.borrow_mut() = Some(reader);
                }
                gone.set(true);
            }),
        ));
        // In one thread they would wait for ever for the end of a message that is begun.
        let alone = W::BLOCKS && mine.begun.is_some();
        for number in 0..if alone { 0 } else { dice.below(3) } {
            let mut writer = writer.clone();
            let mut author = self.author(&format!("{phase}{number}"));
            tasks.push((
                "writer",
                Box::pin(async move {
                    for _ in 0..dice.below(6) {
                        if dice.one_in(3) {
                            pause().await;
                        }
                        self.send(&mut writer, &mut author, false).await;
                    }
                    // What it has begun nobody can end any more.
                    drop(writer);
                    self.authors.borrow_mut().push(author);
                }),
            ));
        }
        let left_writer = &left.1;
        tasks.push((
            "first writer",
            Box::pin(async move {
                let mut writer = writer;
                for _ in 0..dice.below(8) {
                    if dice.one_in(3) {
                        pause().await;
                    }
                    self.send(&mut writer, mine, false).await;
                }
                // Others may wait for that.
                while mine.begun.is_some() && writer.is_open() {
                    self.send_fragments(&mut writer, mine, false).await;
                }
                if closes {
                    while W::BLOCKS && !gone.get() {
                        pause().await;
                    }
                    while dice.one_in(2) {
                        self.close(&mut writer, 1 + dice.below(4)).await;
                        pause().await;
                    }
                    assert!(self.close(&mut writer, u64::MAX).await);
                } else {
                    let flushed = writer.flush().await;
                    self.judge(&writer, &flushed);
                }
                *left_writer.borrow_mut() = Some(writer);
            }),
        ));
        run(tasks);
        (left.0.into_inner(), left.1.into_inner().expect("it comes back"))
    }

    /// Holds what an endpoint says of itself against what became of it.
    fn check<K: Knows>(&self, of: &K) {
        let (stats, unsent, closed) = (of.stats(), of.unsent(), of.closed());
        let written = self.script.written();
        assert_eq!(stats.bytes_sent, written.len() as u64);

        // The frames: none is broken, none but pings and pongs is behind a Close, and the last may be cut off.
        let (mut rest, mut closes) = (&written[..], false);
        while let Some(head) = reference::head(rest).expect("good frames") {
            assert!(!closes || matches!(head.opcode, 9 | 10), "data behind a Close"); // §5.5.1
            closes |= head.opcode == 8;
            let size = head.size + head.length as usize;
            rest = rest.get(size..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
        }

        let mut peer = with_deflate(connection(other(self.role), Config::default()), self.agreed);
        let (got, result) = receive(&mut peer, &written, usize::MAX, watch);
        result.expect("good frames");
        if self.agreed.is_none() {
            assert_eq!(reference::decode(other(self.role), Default::default(), &written).0, got);
        }

        let messages: Vec<_> = got.iter().filter(|seen| is_message(seen)).collect();
        let authors = self.authors.borrow();
        let unfinished = |author: &&Author| author.begun.is_some() || author.torn;
        let unfinished = authors.iter().filter(unfinished).count() as u64;
        let count = messages.len() as u64 + unsent.messages;
        let said = || authors.iter().flat_map(|author| &author.said);
        let least = said().filter(|(_, sure)| *sure == Some(true)).count() as u64;
        let most = said().filter(|(_, sure)| *sure != Some(false)).count() as u64;
        let counts = match self.cuts {
            false => stats.messages_sent..=stats.messages_sent + unfinished,
            true => least.max(stats.messages_sent)..=most + unfinished,
        };
        assert!(counts.contains(&count), "{} came, {unsent:?}, {stats:?}", messages.len());
        let sent = stats.messages_sent;
        assert!(sent <= most && (self.cuts || sent >= least), "{least} to {most}: {stats:?}");
        let mut left = messages.len();
        for author in authors.iter() {
            let mut arrived = messages.iter().filter(|seen| is_by(seen, &author.name)).peekable();
            let mut lost = None;
            for (message, sure) in said().filter(|(message, _)| is_by(message, &author.name)) {
                if arrived.next_if(|next| **next == message).is_some() {
                    assert_eq!(lost, None, "it was lost, and not what came behind it");
                    assert!(*sure != Some(false), "{message:?} was not accepted");
                    left -= 1;
                } else if *sure == Some(true) {
                    assert!(unsent.messages > 0, "lost: {message:?}");
                    lost = Some(message);
                }
            }
            assert_eq!(arrived.next(), None, "out of order, or doubled");
        }
        assert_eq!(left, 0, "nobody has sent that");

        // Control frames.
        let events = self.peer.events.iter();
        let mut pings = events.filter(|(_, seen)| matches!(seen, Seen::Ping(_)));
        for pong in got.iter().filter(|seen| matches!(seen, Seen::Pong(_))) {
            assert!(pings.any(|(_, ping)| bytes(ping) == bytes(pong)), "no ping for {pong:?}");
        }
        let mut ours = self.pings.borrow().clone();
        for ping in got.iter().filter(|seen| matches!(seen, Seen::Ping(_))) {
            let sent = ours.iter().position(|sent| sent == bytes(ping));
            ours.swap_remove(sent.expect("a ping that was sent, once"));
        }

        // What was received.
        let inbox = self.inbox.borrow();
        let mut events = self.peer.events.iter().filter(|(end, _)| *end <= self.peer.wire.len());
        for seen in &inbox.seen {
            assert!(events.any(|(_, event)| event == seen), "not said, or out of order: {seen:?}");
        }
        let told: Vec<_> = inbox.seen.iter().filter(|seen| is_message(seen)).collect();
        let all = self.peer.events.iter().filter(|(_, seen)| is_message(seen));
        let whole = all.clone().filter(|(end, _)| *end <= self.peer.wire.len()).count();
        if !self.discards.get() {
            let all: Vec<_> = all.map(|(_, seen)| seen).collect();
            assert_eq!(told[..], all[..told.len()], "something was lost");
            if let Some((_, partial)) = &inbox.partial {
                // Of a text that breaks the protocol parts may be told, too.
                match all.get(told.len()) {
                    Some(next) => assert!(bytes(next).starts_with(partial), "{partial:?}"),
                    None => assert_eq!(self.peer.last, Last::Garbage),
                }
            }
        }
        if unsent.bytes == 0 && !got.is_empty() {
            assert_eq!(rest, [], "the end of a frame is missing, and nobody knows");
        }
        let Some(closed) = closed else { return assert!(!inbox.over) };
        assert!(!of.is_open());
        if closed.is_clean() {
            assert_eq!(unsent.messages, 0);
        }
        let undisturbed = !self.breaks && !self.late.get();
        if undisturbed && inbox.over && !self.discards.get() {
            assert_eq!(told.len(), whole, "{closed:?}");
        }
        if undisturbed && !self.closes.get() {
            let fits = match self.peer.last {
                Last::Close => matches!(closed, Closed::Clean { .. } | Closed::Unsent { .. }),
                Last::Cut => matches!(closed, Closed::Abnormal),
                Last::Garbage => matches!(closed, Closed::Failed(_)),
            };
            assert!(fits, "{closed:?} after {:?}", self.peer.last);
        }
    }
}

/// One life, whole or in halves or first the one and then the other.
fn live<W: Whole>(seed: u64, splits: bool, time: &Runtime) {
    let (case, config, unread) = Case::new(seed, W::BLOCKS);
    let dice = &case.dice;
    let mut mine = case.author("me");
    let mut waited = Duration::ZERO;
    let mut idle = || {
        if !dice.one_in(12) && case.script.go_on_one_way(dice.one_in(2)) {
            waited = Duration::ZERO;
            return true;
        }
        case.late.set(true);
        waited += Duration::from_secs(2);
        time.block_on(tokio::time::advance(Duration::from_secs(2)));
        case.script.go_on_one_way(true);
        waited < Duration::from_secs(60)
    };
    let mut ws = W::over(&case.script, (case.role, config), case.agreed, &unread);
    let phases = 1 + dice.below(3);
    for phase in 1..=phases {
        let last = phase == phases;
        if splits && (last || dice.one_in(2)) {
            let run = |tasks: Vec<(&'static str, Task<'_>)>| run_all(tasks, dice, &mut idle);
            let halves = case.halves::<W>(ws.split(), &mut mine, (phase, last), run);
            let (Some(reader), writer) = halves else {
                case.discards.set(true);
                case.authors.borrow_mut().push(mine);
                return case.check(&halves.1);
            };
            ws = W::reunite(reader, writer);
            // What a writer has left unfinished can be gone on with.
            let mut authors = case.authors.borrow_mut();
            mine.begun = authors.iter_mut().find_map(|left| left.begun.take()).or(mine.begun);
            drop(authors);
            if last && dice.one_in(2) {
                let rest: Task<'_> = Box::pin(async { while case.receive(&mut ws).await {} });
                run_all(vec![("rest", rest)], dice, &mut idle);
            }
        } else {
            let whole: Task<'_> = Box::pin(case.whole(&mut ws, &mut mine, last));
            run_all(vec![("whole", whole)], dice, &mut idle);
        }
        // What waits counts as unsent, so this holds at any time.
        case.authors.borrow_mut().push(mine);
        case.check(&ws);
        mine = case.authors.borrow_mut().pop().expect("it was just put there");
    }
}

/// Says which case it was, if it panics.
struct Says(u64);

impl Drop for Says {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was LIFE_CASES=1 LIFE_SEED={}", self.0);
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn live_often<W: Whole>(splits: bool) {
    let (cases, first) = (number("LIFE_CASES", 2_000), number("LIFE_SEED", 1));
    println!("LIFE_CASES={cases} LIFE_SEED={first}");
    let runtime = paused();
    let mut dog = watchdog();
    for seed in first..first + cases {
        if (seed - first) % 1_000 == 999 {
            dog = watchdog();
        }
        let says = Says(seed);
        {
            let _time = runtime.enter();
            live::<W>(seed, splits, &runtime);
        }
        drop(says);
    }
    drop(dog);
}

#[test]
fn tokio_whole() {
    live_often::<fullduplex::tokio::WebSocket<Script>>(false);
}

#[test]
fn tokio_in_halves() {
    live_often::<fullduplex::tokio::WebSocket<Script>>(true);
}

#[test]
fn blocking_whole() {
    live_often::<fullduplex::blocking::WebSocket<Script>>(false);
}

#[test]
fn blocking_in_halves() {
    live_often::<fullduplex::blocking::WebSocket<Script>>(true);
}

#[cfg(feature = "futures-io")]
#[test]
fn futures_io_whole() {
    live_often::<fullduplex::futures_io::WebSocket<Script, support::life::Clock>>(false);
}

#[cfg(feature = "futures-io")]
#[test]
fn futures_io_in_halves() {
    live_often::<fullduplex::futures_io::WebSocket<Script, support::life::Clock>>(true);
}
