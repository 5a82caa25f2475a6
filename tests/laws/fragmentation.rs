//! What holds for whatever is sent and however it is written: it arrives, in order, and what is not
//! written is known at each step, against a model that looks only at what was written.

#[cfg(feature = "deflate")]
use crate::support::deflate;
use crate::support::{
    self, Random, Seen, connection, frame, other, receive, reference, seconds, split, take,
    waiting, watch,
};
use fullduplex::{CloseCode, Config, Connection, Message, Role, Transport, frame::ControlPayload};
use proptest::{collection::vec, prelude::*, sample::Index};

#[derive(Clone, Copy, Debug)]
enum Step {
    Send {
        text: bool,
        size: Size,
        noise: bool,
        compressed: Option<bool>,
    },
    Fragment {
        text: bool,
        size: Size,
        fin: bool,
    },
    /// So many pings arrive.
    Pings(usize),
    Ping,
    /// A part of what is in the outbox is written.
    Write(Index),
    /// All of it is.
    WriteAll,
    Close,
    PeerCloses,
    PeerEnds,
}

/// Near what matters.
#[derive(Clone, Copy, Debug)]
enum Size {
    Small(usize),
    /// So many fragments and so many bytes, less one.
    Fragments(usize, usize),
    /// The mark and so many bytes, less one.
    Mark(usize),
    /// Shared where that is possible.
    Large(usize),
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    role: Role,
    most: Option<usize>,
    mark: usize,
    limit: usize,
    /// Whether messages are compressed, and whether with takeover.
    #[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "nothing is compressed"))]
    deflate: Option<bool>,
}

impl Plan {
    fn config(&self) -> Config {
        Config::default()
            .max_sent_frame_size(self.most)
            .unsent_high_water(self.mark)
            .unsent_limit(self.limit)
    }

    fn end(&self, role: Role, config: Config) -> Connection {
        #[cfg(feature = "deflate")]
        if let Some(takeover) = self.deflate {
            return deflate::deflating(role, config, deflate::with_bits(10, takeover));
        }
        connection(role, config)
    }

    fn size(&self, size: Size) -> usize {
        match size {
            Size::Small(size) | Size::Large(size) => size,
            Size::Fragments(count, more) => {
                (count * self.most.unwrap_or(100).min(5_000) + more).saturating_sub(1)
            }
            Size::Mark(more) => (self.mark + more).saturating_sub(1),
        }
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let most = prop_oneof![
        Just(None),
        (1_usize..10).prop_map(Some),
        (100_usize..1_000).prop_map(Some),
        (16_000_usize..20_000).prop_map(Some),
    ];
    let bytes = || prop_oneof![Just(0), 1_usize..100, 1_000_usize..30_000];
    (any::<bool>(), most, bytes(), bytes(), any::<Option<bool>>()).prop_map(
        |(server, most, mark, limit, deflate)| {
            let role = if server { Role::Server } else { Role::Client };
            Plan { role, most, mark, limit, deflate }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let size = || {
        prop_oneof![
            4 => (0_usize..20).prop_map(Size::Small),
            6 => (1_usize..5, 0_usize..3).prop_map(|(count, more)| Size::Fragments(count, more)),
            3 => (0_usize..3).prop_map(Size::Mark),
            1 => (16_000_usize..40_000).prop_map(Size::Large),
        ]
    };
    prop_oneof![
        60 => (any::<bool>(), size(), any::<bool>(), any::<Option<bool>>()).prop_map(
            |(text, size, noise, compressed)| Step::Send { text, size, noise, compressed }
        ),
        10 => (any::<bool>(), size(), any::<bool>()).prop_map(
            |(text, size, fin)| Step::Fragment { text, size, fin }
        ),
        15 => (1_usize..4).prop_map(Step::Pings),
        1 => Just(Step::Pings(30)),
        3 => Just(Step::Ping),
        50 => any::<Index>().prop_map(Step::Write),
        15 => Just(Step::WriteAll),
        1 => Just(Step::Close),
        1 => Just(Step::PeerCloses),
        1 => Just(Step::PeerEnds),
    ]
}

/// What was accepted of a message.
struct Accepted {
    seen: Seen,
    /// The caller's fragments, or 1.
    parts: usize,
    finished: bool,
    /// By how many bytes it is cut.
    cut: Option<usize>,
}

/// A sender, its peer, and what the model knows of both.
struct Bench {
    plan: Plan,
    sender: Connection,
    peer: Connection,
    accepted: Vec<Accepted>,
    events: Vec<Seen>,
    /// Everything that was written.
    written: Vec<u8>,
    counted: Counted,
    newest_ping: Option<Vec<u8>>,
    pings: u32,
    peer_closed: bool,
}

/// What frames come to: whole messages, and frames of the one behind.
#[derive(Clone, Copy, Default)]
struct Counted {
    messages: usize,
    frames: usize,
    /// Where the next frame starts.
    at: usize,
}

impl Counted {
    /// Goes on behind what was counted, up to the first frame that is not whole.
    fn go_on(&mut self, wire: &[u8]) {
        while let Some(head) = reference::head(&wire[self.at..]).unwrap() {
            let end = self.at + head.size + head.length as usize;
            if wire.len() < end {
                break;
            }
            self.at = end;
            if head.opcode < 8 {
                self.frames += 1;
                if head.fin {
                    self.messages += 1;
                    self.frames = 0;
                }
            }
        }
    }
}

impl Bench {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            sender: plan.end(plan.role, plan.config()),
            peer: plan.end(other(plan.role), Config::default().max_fragments(u32::MAX)),
            accepted: Vec::new(),
            events: Vec::new(),
            written: Vec::new(),
            counted: Counted::default(),
            newest_ping: None,
            pings: 0,
            peer_closed: false,
        }
    }

    fn payload(&self, size: usize, noise: bool) -> Vec<u8> {
        let mut random = Random::new(self.accepted.len() as u64);
        let number = self.accepted.len() as u8;
        let byte = |i: usize| if noise { random.next() as u8 } else { number ^ (i / 50) as u8 };
        (0..size).map(byte).collect()
    }

    /// Letters of one to four bytes, about `size` of them together.
    fn text(&self, size: usize) -> String {
        let letters = ["a", "é", "€", "😀"].into_iter().cycle().skip(self.accepted.len());
        letters.take(size * 2 / 5).collect()
    }

    /// How many messages the peer can have, and how many are not written, from what is written.
    fn model(&self) -> (usize, usize) {
        let counted = self.counted;
        let finished = self.accepted.iter().filter(|message| message.finished).count();
        let underway = match self.accepted.last() {
            Some(Accepted { finished: false, parts, .. }) => {
                counted.messages < finished || counted.frames < *parts
            }
            _ => false,
        };
        (counted.messages, finished - counted.messages + usize::from(underway))
    }

    /// How many bytes are not written: what is in the outbox, and what is to come into it.
    fn bytes(&mut self) -> usize {
        let outbox = waiting(&mut self.sender);
        let made = [&self.written[self.counted.at..], &outbox].concat();
        let mut counted = Counted { at: 0, ..self.counted };
        counted.go_on(&made);
        let rest = match self.accepted.get(counted.messages) {
            Some(Accepted { cut: Some(most), seen: Seen::Text(text), .. }) => {
                text.len() - counted.frames * most
            }
            Some(Accepted { cut: Some(most), seen: Seen::Binary(bytes), .. }) => {
                bytes.len() - counted.frames * most
            }
            _ => 0,
        };
        outbox.len() + rest
    }

    fn check(&mut self) {
        let before = self.sender.unsent();
        assert_eq!(before.messages as usize, self.model().1);
        let bytes = self.bytes(); // makes fragments, so heads
        let unsent = self.sender.unsent();
        assert_eq!((unsent.bytes as usize, unsent.messages), (bytes, before.messages));
        let mark = self.plan.mark.min(self.plan.limit).max(1);
        assert_eq!(self.sender.is_ready(), self.sender.is_open() && bytes < mark);
        if self.sender.poll_transport() == Transport::ShutDown {
            assert_eq!(bytes, 0);
        }
    }

    /// Whether the model says that a message is accepted now; `fragment` is its kind, if it is one.
    fn accepts(&self, fragment: Option<bool>) -> bool {
        let fits = match self.accepted.last() {
            Some(Accepted { finished: false, seen, .. }) => {
                fragment == Some(matches!(seen, Seen::Text(_)))
            }
            _ => true,
        };
        let backlog = self.sender.unsent().bytes as usize;
        fits && self.sender.is_open() && backlog < self.plan.limit.max(1)
    }

    fn send(&mut self, text: bool, size: usize, noise: bool, compressed: Option<bool>) {
        let seen = match text {
            true => Seen::Text(self.text(size)),
            false => Seen::Binary(self.payload(size, noise)),
        };
        let message = support::message(&seen).unwrap();
        let length = message.len();
        let accepts = self.accepts(None);
        #[cfg(feature = "deflate")]
        let result = match compressed {
            None => self.sender.feed(message.clone()),
            Some(always) => {
                use fullduplex::deflate::Compression::{Always, Never};
                let compression = if always { Always } else { Never };
                self.sender.feed(compression.of(message.clone()))
            }
        };
        #[cfg(not(feature = "deflate"))]
        let result = match compressed {
            None | Some(true) => self.sender.feed(message.clone()),
            // Borrowed, for a change.
            Some(false) => self.sender.feed(fullduplex::MessageRef::from(&message)),
        };
        assert_eq!(result.is_ok(), accepts);
        match result {
            Ok(()) => {
                let cut = self.plan.most.filter(|most| length > *most);
                self.accepted.push(Accepted { seen, parts: 1, finished: true, cut });
            }
            Err(error) => assert_eq!(error.message, message, "handed back"),
        }
    }

    fn fragment(&mut self, text: bool, size: usize, fin: bool) {
        let fragment = match text {
            true => Message::from(self.text(size)),
            false => Message::from(self.payload(size, false)),
        };
        let accepts = self.accepts(Some(text));
        let result = self.sender.feed_fragment(fragment.clone(), fin);
        assert_eq!(result.is_ok(), accepts);
        if result.is_err() {
            return;
        }
        match (self.accepted.last_mut(), fragment) {
            (Some(message @ Accepted { finished: false, .. }), more) => {
                message.parts += 1;
                message.finished = fin;
                match (&mut message.seen, more) {
                    (Seen::Text(text), Message::Text(more)) => text.push_str(&more),
                    (Seen::Binary(bytes), Message::Binary(more)) => bytes.extend(more),
                    _ => unreachable!("it was accepted"),
                }
            }
            (_, first) => {
                let seen = match first {
                    Message::Text(text) => Seen::text(&text),
                    Message::Binary(bytes) => Seen::Binary(bytes.into()),
                };
                self.accepted.push(Accepted { seen, parts: 1, finished: fin, cut: None });
            }
        }
    }

    /// Pings arrive: what goes out of it comes right behind what is in the outbox.
    fn pings(&mut self, count: usize) {
        for _ in 0..count {
            let payload = self.pings.to_be_bytes().to_vec();
            self.pings += 1;
            let before = waiting(&mut self.sender);
            let ping = frame(self.plan.role, 0x89, &payload);
            receive(&mut self.sender, &ping, usize::MAX, watch).1.unwrap();
            let after = waiting(&mut self.sender);
            assert!(after.starts_with(&before));
            let pong = split(self.plan.role, &after[before.len()..]);
            match self.peer_closed {
                true => assert_eq!(pong, [], "§5.5.2: a Close was received"),
                false => {
                    assert!(pong.is_empty() || pong == [(0x8a, payload.clone())], "{pong:?}");
                    self.newest_ping = Some(payload);
                }
            }
        }
    }

    fn write(&mut self, most: usize) {
        let mut bytes = take(&mut self.sender, most);
        self.written.extend_from_slice(&bytes);
        self.counted.go_on(&self.written);
        let mut input = fullduplex::Input::new(&mut bytes);
        while let Some(event) = self.peer.receive(&mut input).unwrap() {
            self.events.push(event.into());
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { text, size, noise, compressed } => {
                self.send(text, self.plan.size(size), noise, compressed);
            }
            Step::Fragment { text, size, fin } => self.fragment(text, self.plan.size(size), fin),
            Step::Pings(count) => self.pings(count),
            Step::Ping => {
                let bytes = self.sender.unsent().bytes as usize;
                // §5.5.1: data may not follow our own Close; a ping may, until the peer's has come.
                let accepts = !self.peer_closed && bytes < self.plan.limit.max(1);
                assert_eq!(self.sender.ping(ControlPayload::EMPTY).is_ok(), accepts);
            }
            Step::Write(index) => {
                let there = waiting(&mut self.sender).len();
                self.write(index.index(there + 1));
            }
            Step::WriteAll => self.write(usize::MAX),
            Step::Close => self.sender.start_close(CloseCode::NORMAL).unwrap(),
            Step::PeerCloses => {
                let close = frame(self.plan.role, 0x88, &[]);
                receive(&mut self.sender, &close, usize::MAX, watch).1.unwrap();
                self.peer_closed = true;
            }
            Step::PeerEnds if self.peer_closed => self.sender.handle_eof(),
            Step::PeerEnds => {}
        }
    }

    /// Writes all that is left: the peer has all that was accepted, in order, and the newest ping
    /// is answered.
    fn finish(mut self) {
        while !self.sender.outbox().is_empty() {
            self.write(usize::MAX);
        }
        assert_eq!(self.sender.unsent(), Default::default());
        let closing = !self.sender.is_open();
        let mut messages: Vec<Seen> = self.events.clone();
        messages.retain(|seen| matches!(seen, Seen::Text(_) | Seen::Binary(_)));
        let finished = self.accepted.into_iter().filter(|message| message.finished);
        assert!(messages == finished.map(|message| message.seen).collect::<Vec<_>>());
        assert_eq!(matches!(self.events.last(), Some(Seen::Close(_))), closing);
        // Pings and their answers may go behind our own Close, messages may not.
        let frames = split(self.plan.role, &self.written);
        let pong = frames.iter().rev().find(|(first, _)| *first == 0x8a);
        assert_eq!(pong.map(|(_, payload)| payload), self.newest_ping.as_ref());
        let behind = frames.iter().rev().take_while(|(first, _)| *first != 0x88);
        assert!(!closing || behind.into_iter().all(|(first, _)| matches!(first, 0x89 | 0x8a)));
    }
}

/// How a transport goes.
const ENDS: [fn(&mut Connection); 4] = [
    Connection::handle_write_failed,
    Connection::handle_transport_failed,
    Connection::handle_eof,
    |connection| {
        connection.start_close(None).unwrap();
        connection.handle_timeout(seconds(1.0)).unwrap();
        let _ = connection.handle_timeout(seconds(5.0)); // the last call
        let _ = connection.handle_timeout(seconds(6.0));
    },
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    /// Whatever is sent and however it is written: the peer has exactly what was accepted, in
    /// order, and what is not written is known at each step.
    #[test]
    fn what_was_accepted_arrives(plan in plan(), steps in vec(step(), 0..40)) {
        let mut bench = Bench::new(plan);
        for step in steps {
            bench.step(step);
            bench.check();
        }
        bench.finish();
    }

    /// The same up to some step at which the transport is gone: what was accepted was written or
    /// is counted as lost.
    #[test]
    fn what_is_lost_is_counted(
        plan in plan(),
        steps in vec(step(), 0..30),
        end in 0..ENDS.len(),
        further in vec(step(), 0..5),
    ) {
        let mut bench = Bench::new(plan);
        for step in steps {
            bench.step(step);
        }
        // Even while closing, the end of what the peer says is not the end of what is written.
        let half = bench.peer_closed && end == 2;
        let (written, unsent) = bench.model();
        let close = 14 * u64::from(end == 3); // what is queued before the deadline passes
        let before = bench.sender.unsent();
        ENDS[end](&mut bench.sender);
        let lost = bench.sender.unsent();
        prop_assert_eq!((before.messages, lost.messages), (unsent as u64, unsent as u64));
        prop_assert!((before.bytes..=before.bytes + close + 16 * 14).contains(&lost.bytes));
        let finished = bench.accepted.iter().filter(|message| message.finished).count();
        if bench.accepted.last().is_none_or(|message| message.finished) {
            prop_assert_eq!(written + lost.messages as usize, finished);
        }
        if half {
            bench.finish();
            return Ok(());
        }
        prop_assert!(bench.sender.outbox().is_empty());
        for step in further {
            if let Step::Send { .. } | Step::Fragment { .. } | Step::Write(_) | Step::WriteAll = step {
                bench.step(step);
            }
            prop_assert_eq!(bench.sender.unsent(), lost, "nothing comes to it, nothing goes");
        }
    }
}
