//! Messages that are prepared for many connections and compressed: once for each kind of
//! compressor, and so that every peer reads them, with takeover too (RFC 7692 §7.1.1).
#![cfg(feature = "deflate")]

use crate::{common, deflate, heap, miniz};

use common::{BOTH, Random, Seen, drain, other, receive, split, watch};
use deflate::{deflating, inflate, largest, with_bits};
use fullduplex::{
    Config, Connection, Message, Prepared, Role, SendErrorReason,
    deflate::{Compression, Deflate},
};
use heap::measure;
use miniz::oracle_reads;
use proptest::{collection::vec, prelude::*, sample::Index};

const COMPRESSIONS: [Compression; 3] = [Compression::Auto, Compression::Always, Compression::Never];

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

/// A server that compresses, with windows of 2^`bits`.
fn server(deflate: Deflate, bits: u8, takeover: bool) -> Connection {
    let config = Config::default().deflate(deflate).max_unsent(usize::MAX);
    deflating(Role::Server, config, with_bits(bits, takeover))
}

fn payload() -> impl Strategy<Value = Message> {
    let word = prop_oneof![Just("{\"id\":"), Just("grüße 🦀 "), Just("aaaa"), Just("}")];
    prop_oneof![
        3 => "\\PC{0,60}".prop_map(Message::from),
        4 => vec(word, 0..200).prop_map(|words| Message::from(words.concat())),
        1 => (any::<u8>(), 0_usize..70_000).prop_map(|(byte, n)| Message::from(vec![byte; n])),
        1 => (0_u64..3, 0_usize..40_000).prop_map(|(seed, n)| Message::from(noise(seed, n))),
    ]
}

/// Something that is done on one of the connections.
#[derive(Clone, Debug)]
enum Step {
    Prepared(Index, Compression),
    Send(Index, Compression),
    Fragments(Index, Index),
}

fn steps() -> impl Strategy<Value = Vec<(Index, Step)>> {
    let compression = prop_oneof![
        2 => Just(Compression::Auto),
        2 => Just(Compression::Always),
        1 => Just(Compression::Never),
    ];
    let step = prop_oneof![
        4 => (any::<Index>(), compression.clone()).prop_map(|(m, c)| Step::Prepared(m, c)),
        3 => (any::<Index>(), compression).prop_map(|(m, c)| Step::Send(m, c)),
        1 => any::<[Index; 2]>().prop_map(|[m, cut]| Step::Fragments(m, cut)),
    ];
    vec((any::<Index>(), step), 1..30)
}

/// A connection, its peer, and what a peer by the book has in its window.
struct Line {
    ours: Connection,
    peer: Connection,
    takeover: bool,
    bits: u8,
    window: Vec<u8>,
}

impl Line {
    /// Three readers find `message` in what was written.
    fn check(&mut self, message: &Message) {
        let wire = drain(&mut self.ours);
        let frames = split(self.ours.role(), &wire);
        if frames[0].0 & 0x40 != 0 {
            let payload = frames.iter().map(|frame| &frame.1[..]).collect::<Vec<_>>().concat();
            let before = if self.takeover { &self.window[..] } else { &[] };
            let inflated = inflate(before, &payload).unwrap();
            assert!(inflated.furthest <= 1 << self.bits);
            assert!(inflated.bytes == message.as_bytes(), "the reader by the book");
            assert!(oracle_reads(before, &payload) == message.as_bytes(), "Miniz");
            self.window.extend_from_slice(message.as_bytes());
        }
        let (events, result) = receive(&mut self.peer, &wire, usize::MAX, watch);
        assert_eq!(result, Ok(()));
        let seen = match message {
            Message::Text(text) => Seen::text(text),
            Message::Binary(bytes) => Seen::Binary(bytes.to_vec()),
        };
        assert!(events == [seen], "our own reader");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Any mix of prepared messages, others and fragments, on connections that take turns on the
    /// thread, each with its own parameters: what comes out is what went in.
    #[test]
    fn any_mix_on_any_connections(
        messages in vec(payload(), 1..5),
        lines in vec((any::<bool>(), 9_u8..=15, any::<bool>(), 0_u8..=9, 1_u8..=9), 1..7),
        steps in steps(),
    ) {
        let prepared: Vec<Prepared> = messages.iter().map(Prepared::from).collect();
        let mut lines: Vec<Line> = lines
            .into_iter()
            .map(|(client, bits, takeover, level, memory)| {
                let role = if client { Role::Client } else { Role::Server };
                let settings = largest().level(level).memory_level(memory);
                let config = Config::default().deflate(settings).max_unsent(usize::MAX);
                let agreed = with_bits(bits, takeover);
                let peer = deflating(other(role), Config::default(), agreed);
                let ours = deflating(role, config, agreed);
                Line { ours, peer, takeover, bits, window: Vec::new() }
            })
            .collect();
        for (line, step) in steps {
            let at = line.index(lines.len());
            let line = &mut lines[at];
            let at = match &step {
                Step::Prepared(at, _) | Step::Send(at, _) | Step::Fragments(at, _) => at,
            };
            let at = at.index(messages.len());
            let message = &messages[at];
            match step {
                Step::Prepared(_, compression) => {
                    line.ours.feed(compression.of(&prepared[at])).unwrap();
                }
                Step::Send(_, compression) => line.ours.feed(compression.of(message)).unwrap(),
                Step::Fragments(_, cut) => {
                    let mut cut = cut.index(message.len() + 1);
                    let (first, second): (Message, Message) = match message {
                        Message::Text(text) => {
                            while !text.is_char_boundary(cut) {
                                cut -= 1;
                            }
                            (text[..cut].into(), text[cut..].into())
                        }
                        Message::Binary(bytes) => (bytes[..cut].into(), bytes[cut..].into()),
                    };
                    line.ours.feed_fragment(first, false).unwrap();
                    let refused = line.ours.feed(&prepared[at]).unwrap_err();
                    assert_eq!(refused.reason, SendErrorReason::Unfinished);
                    line.ours.feed_fragment(second, true).unwrap();
                }
            }
            line.check(message);
        }
    }

    /// Where nothing is taken over, and on clients, it is what the message by itself writes, byte for byte.
    #[test]
    fn without_takeover_it_is_what_send_writes(
        message in payload(),
        bits in 9_u8..=15,
        level in 0_u8..=9,
        threshold in 0_usize..200,
    ) {
        let settings = largest().level(level).threshold(threshold);
        let config = Config::default().deflate(settings).max_unsent(usize::MAX);
        let prepared = Prepared::new(&message);
        for (role, takeover) in
            [(Role::Server, false), (Role::Client, false), (Role::Client, true)]
        {
            let connect = || deflating(role, config.clone(), with_bits(bits, takeover));
            let (mut ours, mut reference) = (connect(), connect());
            for compression in COMPRESSIONS {
                ours.feed(&Prepared::new(compression.of(&prepared))).unwrap();
                reference.feed(compression.of(&message)).unwrap();
                prop_assert!(drain(&mut ours) == drain(&mut reference), "{:?}", compression);
            }
        }
    }
}

/// Where compressing changes nothing in the length, both make the same choice; and both count.
#[test]
fn what_keeps_its_length_is_what_send_writes() {
    let mut ties = 0;
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let length = random.below(40);
        let text: String = (0..length).map(|_| *random.pick(&['a', 'b', 'ü', '🦀'])).collect();
        let connect = || server(largest().threshold(0), 15, false);
        let (mut always, mut sends, mut prepares) = (connect(), connect(), connect());
        always.feed(Compression::Always.of(&text)).unwrap();
        sends.feed(&text).unwrap();
        prepares.feed(&Prepared::new(&text)).unwrap();
        assert_eq!(sends.stats().messages_sent, 1);
        assert_eq!(sends.stats(), prepares.stats());
        ties += usize::from(drain(&mut always).len() == 2 + text.len());
        assert_eq!(drain(&mut sends), drain(&mut prepares), "{text}");
    }
    assert!(ties > 10, "{ties}");
}

/// Text that does not become small enough to be copied.
fn large() -> String {
    noise(3, 60_000).iter().map(|byte| char::from(b'a' + byte % 16)).collect()
}

/// All connections with the same kind of compressor send the same bytes, takeover or not; each other
/// kind has its own, and the ninth compresses by itself.
#[test]
fn each_kind_is_compressed_once() {
    let large = large();
    let prepared = Prepared::new(&large);
    let kinds = (9..=15).map(|bits| (1, bits)).chain([(2, 9), (2, 10), (2, 11)]);
    let mut places = Vec::new();
    for (i, (level, bits)) in kinds.enumerate() {
        let place = |takeover, prepared: &Prepared| {
            let mut server = server(largest().level(level), bits, takeover);
            server.feed(prepared).unwrap();
            let outbox = server.outbox();
            assert_eq!(outbox.chunk()[0], 0xc1);
            assert_eq!(outbox.chunk().len(), outbox.len());
            let place = outbox.chunk().as_ptr();
            let [(_, payload)] = &split(Role::Server, &drain(&mut server))[..] else { panic!() };
            assert_eq!(inflate(b"", payload).unwrap().bytes, large.as_bytes());
            (server, place)
        };
        let all: Vec<_> = [false, true, true]
            .into_iter()
            .flat_map(|takeover| {
                COMPRESSIONS[..2].iter().map(move |compression| (takeover, compression))
            })
            .map(|(takeover, compression)| {
                place(takeover, &Prepared::new(compression.of(&prepared)))
            })
            .collect();
        let same = all.iter().all(|(_, place)| *place == all[0].1);
        assert_eq!(same, i < 8, "{level} {bits}");
        if same {
            places.push(all[0].1);
        }
    }
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 8);
}

/// A message behind a prepared one refers to it, and to what was before it; the prepared one to
/// nothing.
#[test]
fn rfc7692_7_1_1_what_comes_behind_refers_to_it() {
    for bits in [12, 15] {
        let mut ours = server(largest().level(6), bits, true); // codes of its own make it smaller
        let mut peer = deflating(Role::Client, Config::default(), with_bits(bits, true));
        let words = |seed| -> String {
            noise(seed, 1_000).iter().map(|byte| char::from(b'a' + byte % 26)).collect()
        };
        let (before, news) = (words(1), words(2));
        let mut send = |send: &dyn Fn(&mut Connection), text: &str| {
            send(&mut ours);
            let wire = drain(&mut ours);
            let (events, result) = receive(&mut peer, &wire, usize::MAX, watch);
            assert_eq!((events, result), (vec![Seen::text(text)], Ok(())));
            let (first, payload) = split(Role::Server, &wire).remove(0);
            assert_eq!(first, 0xc1);
            payload
        };
        let prepared = Prepared::new(&news);
        send(&|ours| ours.feed(&before).unwrap(), &before);
        for _ in 0..3 {
            let shared = send(&|ours| ours.feed(&prepared).unwrap(), &news);
            assert!(shared.len() > 500);
            assert_eq!(inflate(b"", &shared).unwrap().bytes, news.as_bytes());
            for text in [&news, &before] {
                let behind = send(&|ours| ours.feed(text).unwrap(), text);
                assert!(behind.len() < 30, "{bits}: {} bytes", behind.len());
            }
        }
    }
}

/// What is refused, or goes out plain, does not become a part of the window.
#[test]
fn what_is_not_sent_compressed_is_not_in_the_window() {
    let text = "to be or not to be, that is the question. ".repeat(20);
    let noise = noise(4, 2_000);
    let config = Config::default().deflate(largest()).max_unsent(5);
    let mut ours = deflating(Role::Server, config, with_bits(15, true));
    let mut peer = deflating(Role::Client, Config::default(), with_bits(15, true));
    let (text, noise) = (Prepared::new(&text), Prepared::new(&noise));
    let never = Prepared::new(Compression::Never.of(&text));
    let mut first_bytes = Vec::new();
    for message in [&text, &noise, &never, &text, &text] {
        ours.feed("behind it").unwrap();
        assert_eq!(ours.feed(message).unwrap_err().reason, SendErrorReason::Full);
        let mut wire = drain(&mut ours);
        ours.feed(message).unwrap();
        wire.extend(drain(&mut ours));
        first_bytes.push(wire[11]);
        ours.feed(Compression::Always.of(message.message())).unwrap();
        wire.extend(drain(&mut ours));
        let (events, result) = receive(&mut peer, &wire, usize::MAX, watch);
        assert_eq!((events.len(), result), (3, Ok(())));
    }
    assert_eq!(first_bytes, [0xc1, 0x82, 0x81, 0xc1, 0xc1]);
}

/// A state that was left behind by a prepared message is used again by whoever left it, and no
/// further ones are made.
#[test]
fn alternating_does_not_use_up_the_threads_states() {
    let text = "to be or not to be, that is the question. ".repeat(20);
    let prepared = Prepared::new(&text);
    let mut server = server(Deflate::default(), 12, true);
    let mut round = || {
        server.feed(&prepared).unwrap();
        drain(&mut server);
        server.feed(&text).unwrap();
        drain(&mut server);
    };
    round();
    let (_, heap) = measure(|| (0..10).for_each(|_| round()));
    println!("ten rounds of a prepared message and another: {heap:?}");
    assert!(heap.peak < 10_000, "{heap:?}");
}

/// A broadcast to idle connections: compressed once, then nothing but the windows.
#[test]
fn allocations_of_a_broadcast() {
    const MEMBERS: usize = 1_000;
    let text = "to be or not to be, that is the question. ".repeat(25);
    for takeover in [false, true] {
        let mut members: Vec<Connection> =
            (0..MEMBERS).map(|_| server(Deflate::default(), 12, takeover)).collect();
        let mut storage = Vec::with_capacity(4096);
        let mut to_all = |prepared: &Prepared| {
            measure(|| {
                for member in &mut members {
                    member.outbox().lend(core::mem::take(&mut storage));
                    member.feed(prepared).unwrap();
                    let queued = member.outbox().len();
                    member.outbox().advance(queued);
                    storage = member.outbox().reclaim().unwrap();
                }
            })
            .1
        };
        // Windows of 4 KiB are full after four.
        let first = to_all(&Prepared::new(&text));
        (0..4).for_each(|_| _ = to_all(&Prepared::new(&text)));
        let later = to_all(&Prepared::new(&text));
        println!("takeover {takeover}: {first:?}, later {later:?}");
        assert!(first.calls <= 20 + if takeover { MEMBERS } else { 0 }, "{first:?}");
        assert!(later.calls <= 20, "{later:?}");
        assert!(later.peak < 10_000, "{later:?}");
    }
}

/// All threads get the same bytes, whoever compresses first.
#[test]
fn threads_share_what_one_compressed() {
    let large = large();
    let prepared = Prepared::new(&large);
    let barrier = std::sync::Barrier::new(8);
    let mut places: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let (barrier, prepared) = (&barrier, &prepared);
                scope.spawn(move || {
                    let mut server = server(largest(), 12 + i % 2, i % 4 < 2);
                    barrier.wait();
                    server.feed(prepared).unwrap();
                    server.outbox().chunk().as_ptr() as usize
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 2);
}

/// A peer that does not compress gets it plain, in both roles.
#[test]
fn without_an_agreement_it_is_plain() {
    for role in BOTH {
        for compression in COMPRESSIONS {
            let config = Config::default().deflate(Deflate::default());
            let mut ours = common::connection(role, config);
            let text = "the same again and ".repeat(100);
            ours.feed(&Prepared::new(compression.of(&text))).unwrap();
            let frames = split(role, &drain(&mut ours));
            assert_eq!(frames, [(0x81, text.into_bytes())]);
        }
    }
}
