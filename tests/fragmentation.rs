//! Large messages that are cut into fragments as they are written (RFC 6455 §5.4), and the count of
//! what is not written. Memory is counted by the allocator of this test binary.

mod common;
#[cfg(feature = "deflate")]
#[path = "common/deflate.rs"]
mod deflate;
#[path = "common/heap.rs"]
mod heap;

use bytes::{Buf, Bytes};
use common::{
    BOTH, Random, Seen, connection, drain, frame, head_with, other, receive, reference, seconds,
    sent, split, watch,
};
use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Connection, Keepalive, Message, Role, SendErrorReason, Transport,
    frame::ControlPayload,
};
use heap::measure;
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{collections::HashSet, io::IoSlice};

const KIB: usize = 1 << 10;

/// How much of fragments is made ahead, in bytes, besides one fragment.
const AHEAD: usize = 16 * KIB;

/// All that is in the outbox.
fn waiting(connection: &mut Connection) -> Vec<u8> {
    let outbox = connection.outbox();
    let mut slices = [IoSlice::new(&[]); 1_000];
    let used = outbox.chunks_vectored(&mut slices);
    let all: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    assert_eq!(all.len(), outbox.remaining());
    all
}

/// Takes `most` bytes out of the outbox.
fn take(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut bytes = waiting(connection);
    bytes.truncate(most);
    connection.outbox().advance(bytes.len());
    bytes
}

/// The sizes at the border of one and of several fragments, in each kind that can be sent.
#[test]
fn section_5_4_a_message_is_cut_where_it_has_to_be() {
    const MOST: usize = 100;
    for role in BOTH {
        for size in [0, 1, 99, 100, 101, 199, 200, 201, 999, 1_000, 1_001, 50_000] {
            // Not every fragment is UTF-8 by itself (§5.6).
            let text: String = "é€😀"
                .chars()
                .cycle()
                .scan(0, |length, letter| {
                    *length += letter.len_utf8();
                    (*length <= size).then_some(letter)
                })
                .collect();
            let binary: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let kinds: [(u8, &[u8], &dyn Fn(&mut Connection)); 6] = [
                (1, text.as_bytes(), &|c| c.send(&text[..]).unwrap()),
                (1, text.as_bytes(), &|c| c.send(text.clone()).unwrap()),
                (1, text.as_bytes(), &|c| c.send(Message::from(&text[..])).unwrap()),
                (2, &binary, &|c| c.send(&binary[..]).unwrap()),
                (2, &binary, &|c| c.send(binary.clone()).unwrap()),
                (2, &binary, &|c| c.send(Bytes::from(binary.clone())).unwrap()),
            ];
            for (opcode, payload, send) in kinds {
                let config = Config::default().max_sent_frame(MOST);
                let mut connection = connection(role, config);
                send(&mut connection);
                assert_eq!(connection.unsent().messages, 1);
                let frames = sent(&mut connection);
                let count = payload.len().div_ceil(MOST).max(1);
                assert_eq!(frames.len(), count, "{} bytes", payload.len());
                for (number, (first, piece)) in frames.iter().enumerate() {
                    let opcode = if number == 0 { opcode } else { 0 };
                    let fin = if number == count - 1 { 0x80 } else { 0 };
                    assert_eq!(*first, fin | opcode);
                    assert!(piece.len() <= MOST);
                }
                let together: Vec<u8> = frames.into_iter().flat_map(|(_, piece)| piece).collect();
                assert_eq!(together, payload);
                assert_eq!(connection.unsent(), Default::default());
            }
        }
    }
}

/// What is not to be cut: anything by default, what the caller cuts, and zero counts as one.
#[test]
fn settings_of_the_largest_frame() {
    let big = vec![7; 100_000];
    for role in BOTH {
        for config in [Config::default(), Config::default().max_sent_frame(10).max_sent_frame(None)]
        {
            let mut whole = connection(role, config);
            whole.send(&big).unwrap();
            assert_eq!(sent(&mut whole), [(0x82, big.clone())]);
        }
        let mut own = connection(role, Config::default().max_sent_frame(10));
        own.send_fragment(&big, false).unwrap();
        own.send_fragment(&big, true).unwrap();
        assert_eq!(sent(&mut own), [(0x02, big.clone()), (0x80, big.clone())]);
        let mut zero = connection(role, Config::default().max_sent_frame(0));
        zero.send("abc").unwrap();
        let letters = [(0x01, b"a".to_vec()), (0x00, b"b".to_vec()), (0x80, b"c".to_vec())];
        assert_eq!(sent(&mut zero), letters);
    }
}

/// §10.3: each fragment has a mask key of its own.
#[test]
fn section_10_3_each_fragment_has_its_key() {
    let mut client = connection(Role::Client, Config::default().max_sent_frame(10));
    client.send(vec![0; 10_000]).unwrap();
    let (mut keys, mut frames) = (HashSet::new(), 0);
    let mut wire = Vec::new();
    while !client.outbox().is_empty() {
        wire.extend(take(&mut client, 777));
    }
    let mut rest = &wire[..];
    while let Some(head) = reference::head(rest).unwrap() {
        keys.insert(head.key.unwrap());
        frames += 1;
        rest = &rest[head.size + head.length as usize..];
    }
    assert_eq!((frames, keys.len()), (1_000, 1_000));
}

/// §5.4: control frames go between the fragments, and soon; a Close goes behind all of them.
#[test]
fn section_5_4_control_frames_find_their_place() {
    for role in BOTH {
        for most in [1 << 10, 64 << 10] {
            let mut connection = connection(role, Config::default().max_sent_frame(most));
            let payload = Bytes::from(vec![3; 1 << 20]);
            connection.send(&payload).unwrap();
            let mut written = Vec::new();
            let mut asked = Vec::new();
            for number in 0..8_u8 {
                written.extend(take(&mut connection, 50_000));
                assert_eq!(connection.transport(), Transport::Open);
                let ping = frame(role, 0x89, &[number]);
                receive(&mut connection, &ping, usize::MAX, watch).1.unwrap();
                if number == 3 {
                    let own = ControlPayload::new(b"ours").unwrap();
                    // The payload is over the limit: the mark holds for it too.
                    assert_eq!(connection.ping(own), Ok(()));
                }
                if number == 4 {
                    connection.close(Some(CloseCode::NORMAL.into()));
                }
                asked.push(written.len());
            }
            while !connection.outbox().is_empty() {
                written.extend(take(&mut connection, 50_000));
            }
            let frames = split(role, &written);
            let (mut at, mut pongs, mut together) = (0, Vec::new(), Vec::new());
            for (first, piece) in &frames {
                match first {
                    0x8a => pongs.push((at, piece[0])),
                    0x02 | 0x00 | 0x80 => together.extend_from_slice(piece),
                    0x89 => assert_eq!(piece, b"ours"),
                    first => assert_eq!(*first, 0x88),
                }
                at += head_with(*first, piece.len() as u64, role_key(role)).len() + piece.len();
            }
            assert!(together == payload);
            assert_eq!(frames.last().unwrap(), &(0x88, 1000_u16.to_be_bytes().to_vec()));
            assert_eq!(frames.iter().filter(|(first, _)| *first == 0x89).count(), 1);
            let numbers: Vec<u8> = pongs.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
            for ((at, _), asked) in pongs.iter().zip(asked) {
                let wait = at - asked;
                assert!(wait <= AHEAD + most + 200, "{wait} bytes before a pong, of {most}");
            }
        }
    }
}

fn role_key(role: Role) -> Option<[u8; 4]> {
    (role == Role::Client).then_some([0; 4])
}

/// What follows a message that is being cut goes behind it, whatever it is.
#[test]
fn what_follows_goes_behind() {
    type Follow = fn(&mut Connection);
    let follows: [(Follow, &[(u8, &[u8])]); 4] = [
        (|c| c.send("next").unwrap(), &[(0x81, b"next")]),
        (|c| c.send("0123456789ab").unwrap(), &[(0x01, b"0123456789"), (0x80, b"ab")]),
        (
            |c| {
                c.send_fragment("to be", false).unwrap();
                c.send_fragment(" continued", true).unwrap();
            },
            &[(0x01, b"to be"), (0x80, b" continued")],
        ),
        (|c| c.close(None), &[(0x88, b"")]),
    ];
    for role in BOTH {
        for (follow, expected) in follows {
            let config = Config::default().max_sent_frame(10);
            let mut connection = connection(role, config);
            connection.send(vec![1; 100_000]).unwrap();
            assert_eq!(connection.unsent().messages, 1);
            follow(&mut connection);
            let frames = sent(&mut connection);
            let (message, behind) = frames.split_at(10_000);
            assert!(message.iter().all(|(_, piece)| piece[..] == [1; 10]));
            let behind: Vec<_> = behind.iter().map(|(first, piece)| (*first, &piece[..])).collect();
            assert_eq!(behind, expected);
        }
    }
}

/// What is kept counts for the limit and for the mark, though it is not in the outbox yet.
#[test]
fn what_is_kept_is_backlog() {
    for role in BOTH {
        let config = Config::default().max_sent_frame(100).unsent_mark(50_000).max_unsent(80_000);
        let mut connection = connection(role, config);
        connection.send(vec![1; 100_000]).unwrap();
        assert!(connection.outbox().remaining() < 20_000);
        let (mut refused, mut written) = (0, Vec::new());
        loop {
            let unsent = connection.unsent();
            assert_eq!(connection.is_ready(), unsent.bytes < 50_000, "{unsent:?}");
            assert_eq!(unsent.messages, 1);
            if unsent.bytes < 80_000 {
                break;
            }
            assert_eq!(connection.ping(ControlPayload::EMPTY), Err(SendErrorReason::Full));
            let error = connection.send("x").unwrap_err();
            assert_eq!(error.reason, SendErrorReason::Full);
            assert_eq!(connection.unsent(), unsent, "nothing changed");
            refused += 1;
            written.extend(take(&mut connection, 999));
        }
        assert!(refused > 15);
        connection.send("x").unwrap();
        assert_eq!(connection.unsent().messages, 2);
        written.extend(drain(&mut connection));
        assert_eq!(split(role, &written)[1_000..], [(0x81, b"x".to_vec())]);
    }
}

/// Both Closes are there and a message is not: the transport is kept until that is written, by
/// both roles, also when the peer has ended its side; and what is cut off is no clean end.
#[test]
fn closing_waits_for_what_is_kept() {
    for role in BOTH {
        for (eof, lost) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut connection = connection(role, Config::default().max_sent_frame(100));
            connection.send(vec![1; 100_000]).unwrap();
            let close = frame(role, 0x88, &1001_u16.to_be_bytes());
            receive(&mut connection, &close, 1, watch).1.unwrap();
            let during = match eof {
                true => Transport::WriteOnly,
                false => Transport::Open,
            };
            if eof {
                connection.receive_eof();
            }
            let mut written = Vec::new();
            while connection.unsent().bytes > 30_000 {
                // Even though the outbox is empty for now.
                let all = connection.outbox().remaining();
                written.extend(take(&mut connection, all));
                assert_eq!(connection.transport(), during);
                connection.shutdown_complete();
                assert_eq!(connection.transport(), during, "it was not asked for");
            }
            if lost {
                let before = connection.unsent();
                assert_eq!(before.messages, 1);
                connection.write_failed();
                assert_eq!(connection.unsent(), before);
                assert!(matches!(connection.closed(), Some(Closed::Unsent { .. })));
                continue;
            }
            while !connection.outbox().is_empty() {
                assert_eq!(connection.transport(), during);
                written.extend(take(&mut connection, 10_000));
            }
            let frames = split(role, &written);
            assert_eq!(frames.len(), 1_001);
            assert_eq!(frames[1_000], (0x88, 1001_u16.to_be_bytes().to_vec()));
            assert_eq!(connection.unsent(), Default::default());
            let after = match (eof, role) {
                (true, _) => Transport::Closed,
                (false, Role::Server) => Transport::ShutDown,
                (false, Role::Client) => Transport::AwaitEof,
            };
            assert_eq!(connection.transport(), after);
        }
    }
}

/// A failed connection too finishes what it has accepted, and then says why it failed.
#[test]
fn failing_waits_for_what_is_kept() {
    for role in BOTH {
        let mut connection = connection(role, Config::default().max_sent_frame(1_000));
        connection.send(vec![1; 100_000]).unwrap();
        assert!(receive(&mut connection, b"\x83", 1, watch).1.is_err());
        let frames = sent(&mut connection);
        assert_eq!(frames.len(), 101);
        assert_eq!((frames[100].0, &frames[100].1[..2]), (0x88, &1002_u16.to_be_bytes()[..]));
        assert_eq!(connection.transport(), Transport::ShutDown);
    }
}

/// A peer that takes a large message slowly is alive, and one that takes nothing is not; neither
/// is looked for by what is in the outbox at the moment.
#[test]
fn keepalive_sees_what_is_kept() {
    for takes in [true, false] {
        let keepalive =
            Keepalive::every(Duration::from_secs(10)).pong_timeout(Duration::from_secs(5));
        let config = Config::default().max_sent_frame(1_000).keepalive(keepalive);
        let mut connection = Connection::server(config);
        connection.send(vec![1; 1 << 20]).unwrap();
        let mut failed = None;
        for second in 0..60 {
            if takes {
                let all = connection.outbox().remaining();
                take(&mut connection, all.min(16_000));
            }
            if let Err(error) = connection.handle_timeout(seconds(f64::from(second))) {
                failed = Some((second, error));
                break;
            }
        }
        match failed {
            None => assert!(takes),
            Some((second, _)) => assert!(!takes && (14..20).contains(&second), "{second}"),
        }
    }
}

/// Progress of a message that is cut keeps an idle connection alive.
#[test]
fn idle_timeout_sees_what_is_kept() {
    let config = Config::default().max_sent_frame(1_000).idle_timeout(Duration::from_secs(10));
    let mut connection = Connection::server(config);
    connection.send(vec![1; 1 << 20]).unwrap();
    for second in 0..60 {
        take(&mut connection, 10_000);
        connection.handle_timeout(seconds(f64::from(second))).unwrap();
    }
    let gone = (60..80).find(|at| connection.handle_timeout(seconds(f64::from(*at))).is_err());
    assert!(gone.is_some(), "nothing was taken any more");
    assert_eq!(connection.unsent().messages, 1);
}

/// A client masks, so it copies; but only what is about to be written.
#[test]
fn a_large_message_is_not_copied_as_a_whole() {
    for role in BOTH {
        let payload = Bytes::from(vec![5; 64 << 20]);
        let ((), heap) = measure(|| {
            let mut connection = connection(role, Config::default().max_sent_frame(64 * KIB));
            connection.send(&payload).unwrap();
            while !connection.outbox().is_empty() {
                let written = connection.outbox().chunk().len().min(100_000);
                connection.outbox().advance(written);
            }
            assert_eq!(connection.unsent(), Default::default());
        });
        assert!(heap.peak < 512 * KIB, "{role:?}: {heap:?}");
    }
}

/// Fragments that cannot be compressed grow by less than an eighth and some bytes, and noise is
/// not the worst: bytes whose codes have nine bits are.
#[cfg(feature = "deflate")]
#[test]
fn what_cannot_be_compressed_grows_within_bounds() {
    use fullduplex::deflate::{Compression, Deflate};
    let mut random = Random::new(7);
    for high in [0, 0x90] {
        let noise: Vec<u8> = (0..200_000).map(|_| random.next() as u8 | high).collect();
        for level in [0, 1, 6] {
            for most in [1, 100, 10_000, 65_536] {
                let settings = Deflate::default().level(level);
                let noise = &noise[..(most * 50).min(noise.len())];
                let config = Config::default().max_sent_frame(most).deflate(settings);
                let mut connection = deflate::deflating(Role::Server, config, deflate::params(""));
                connection.send_with(noise, Compression::Always).unwrap();
                for (_, piece) in sent(&mut connection) {
                    let limit = most + most / 8 + 32;
                    assert!(piece.len() <= limit, "{} of {most}, level {level}", piece.len());
                }
            }
        }
    }
}

// Laws

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
    deflate: Option<bool>,
}

impl Plan {
    fn config(&self) -> Config {
        Config::default().max_sent_frame(self.most).unsent_mark(self.mark).max_unsent(self.limit)
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
        if self.sender.transport() == Transport::ShutDown {
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
        let message = common::message(&seen).unwrap();
        let length = message.len();
        let accepts = self.accepts(None);
        #[cfg(feature = "deflate")]
        let result = match compressed {
            None => self.sender.send(message.clone()),
            Some(always) => {
                use fullduplex::deflate::Compression::{Always, Never};
                let compression = if always { Always } else { Never };
                self.sender.send_with(message.clone(), compression)
            }
        };
        #[cfg(not(feature = "deflate"))]
        let result = match compressed {
            None | Some(true) => self.sender.send(message.clone()),
            // Borrowed, for a change.
            Some(false) => self.sender.send(fullduplex::MessageRef::from(&message)),
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
        let result = self.sender.send_fragment(fragment.clone(), fin);
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
                let accepts = self.sender.is_open() && bytes < self.plan.limit.max(1);
                assert_eq!(self.sender.ping(ControlPayload::EMPTY).is_ok(), accepts);
            }
            Step::Write(index) => {
                let there = waiting(&mut self.sender).len();
                self.write(index.index(there + 1));
            }
            Step::WriteAll => self.write(usize::MAX),
            Step::Close => self.sender.close(Some(CloseCode::NORMAL.into())),
            Step::PeerCloses => {
                let close = frame(self.plan.role, 0x88, &[]);
                receive(&mut self.sender, &close, usize::MAX, watch).1.unwrap();
                self.peer_closed = true;
            }
            Step::PeerEnds if self.peer_closed => self.sender.receive_eof(),
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
        // The answers to pings may go behind our own Close, messages may not.
        let frames = split(self.plan.role, &self.written);
        let pong = frames.iter().rev().find(|(first, _)| *first == 0x8a);
        assert_eq!(pong.map(|(_, payload)| payload), self.newest_ping.as_ref());
        let behind = frames.iter().rev().take_while(|(first, _)| *first != 0x88);
        assert!(!closing || behind.into_iter().all(|(first, _)| *first == 0x8a));
    }
}

/// How a transport goes.
const ENDS: [fn(&mut Connection); 4] = [
    Connection::write_failed,
    Connection::transport_failed,
    Connection::receive_eof,
    |connection| {
        connection.close(None);
        connection.handle_timeout(seconds(1.0)).unwrap();
        let _ = connection.handle_timeout(seconds(100.0));
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
            return Ok(bench.finish());
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
