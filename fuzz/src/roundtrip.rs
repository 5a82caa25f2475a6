//! A client and a server on a link that cuts what it carries, delays it, loses it and ends.

mod end;

use core::time::Duration;
use end::{CLOSE_TIMEOUT, End};
use fullduplex::{
    Closed, IntoMessage, Message, Prepared, Role, SendError, SendErrorReason, Side, Stats, Time,
    TimeoutError,
    deflate::{Compression, Deflate, DeflateParams},
    frame::{CloseCode, CloseFrame, ControlPayload},
};

/// When whoever waits for a peer has given up for certain, whatever it waits for.
const LONG: Duration = Duration::from_secs(60);

/// Sizes at which something changes.
const SIZES: [usize; 16] = [
    125, 126, 127, 128, 199, 200, 201, 1_000, 1_001, 4_096, 16_383, 16_384, 16_400, 32_768, 65_535,
    65_536,
];

const CODES: [u16; 6] = [1000, 1001, 1011, 3000, 4000, 4999];

/// `data` is four bytes of settings, and steps of two bytes: which it is and whose, and a number.
///
/// Settings: the first byte is compression, `0x01` on, `0x02` and `0x04` without takeover by the
/// server and by the client, `0x38` the windows, from 8 bits on. The second and the third are the
/// client's and the server's, `0x03` what it receives, `0x0c` the frames it sends, `0x30` how much may
/// wait, `0x40` keepalive, `0x80` the idle timeout. Of the fourth the low six bits are the size of the
/// link's pieces, `0x40` lets the ends wait before they close, `0x80` makes the server close.
///
/// A step is a letter, small for the client and large for the server: all other bits are ignored.
///
/// | letter | step | letter | step |
/// |---|---|---|---|
/// | `t`, `b` | sends text, binary | `w` | writes so many bytes onto the link |
/// | `m`, `q` | sends text, of which the number says whether it is compressed; prepared text | `d` | has so many bytes from the link |
/// | `f`, `g` | sends a fragment of text, of binary, an odd number is the last one | `s` | all is written and read, by both |
/// | `p` | pings | `y`, `z` | time passes, in tenths of seconds; of a link that stands still |
/// | `c` | closes, without a code if the number is a multiple of seven | `x`, `h` | what it writes from now on is lost; and the peer sees an end |
/// | `k` | receives in chunks from now on, or not any more | `n`, `e` | its writing fails; so does its reading |
/// | `r` | has no storage while nothing waits | | |
///
/// Whether both ends were closed cleanly and got everything.
pub fn roundtrip(data: &[u8]) -> bool {
    let Some((settings, steps)) = data.split_first_chunk::<4>() else { return false };
    let mut pair = Pair::new(*settings);
    for step in steps.chunks_exact(2) {
        pair.step(step[0], step[1]);
        pair.look();
    }
    pair.finish(settings[3])
}

struct Pair {
    ends: [End; 2],
    now: Time,
    /// The size of the link's pieces, in bytes; zero means that it does not cut.
    piece: usize,
    /// Whether anything but the two ends had a part in how it ended.
    disturbed: bool,
    /// Whether time has passed in which the link stood still.
    delayed: bool,
    /// Whether the client has ended its side of the link before the server did.
    client_first: bool,
}

fn size(number: u8) -> usize {
    match number {
        0..=0x7f => number.into(),
        0x80..=0xef => usize::from(number - 0x7f) * 100,
        _ => SIZES[usize::from(number - 0xf0)],
    }
}

fn text(salt: usize, size: usize) -> String {
    let mut text = format!("{salt} ");
    while text.len() < size {
        text += ["aé wörter ", "€ abc abc 😀 ", "grüße, grüße "][salt % 3];
    }
    text.truncate((0..=size).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0));
    text
}

/// Nothing that could be compressed.
fn noise(salt: usize, size: usize) -> Vec<u8> {
    let mut state = salt as u32 ^ 0x9e37_79b9;
    let next = |_| {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        (state >> 24) as u8
    };
    (0..size).map(next).collect()
}

fn agreed(settings: u8) -> Option<DeflateParams> {
    let bits = 8 + (settings >> 3 & 7);
    let mut answer =
        format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}");
    for (bit, name) in [(2, "server"), (4, "client")] {
        if settings & bit != 0 {
            answer += &format!("; {name}_no_context_takeover");
        }
    }
    let answer = answer.parse().expect("an extension");
    let ours = Deflate::default().send_window_bits(15).receive_window_bits(15);
    let agreed = ours.agreed(&[answer]).expect("a good answer");
    agreed.filter(|_| settings & 1 != 0)
}

/// What was received, under the names of what was sent.
fn counts(stats: Stats, received: bool) -> [u64; 8] {
    match received {
        false => [
            stats.frames_sent,
            stats.bytes_sent,
            stats.messages_sent,
            stats.payload_sent,
            stats.deflated_sent,
            stats.inflated_sent,
            stats.pings_sent,
            stats.pongs_sent,
        ],
        true => [
            stats.frames_received,
            stats.bytes_received,
            stats.messages_received,
            stats.payload_received,
            stats.deflated_received,
            stats.inflated_received,
            stats.pings_received,
            stats.pongs_received,
        ],
    }
}

impl Pair {
    fn new(settings: [u8; 4]) -> Self {
        let agreed = agreed(settings[0]);
        Self {
            ends: [
                End::new(Role::Client, settings[1], agreed),
                End::new(Role::Server, settings[2], agreed),
            ],
            now: Time::EPOCH,
            piece: (settings[3] & 0x3f).into(),
            disturbed: false,
            delayed: false,
            client_first: false,
        }
    }

    fn step(&mut self, step: u8, number: u8) {
        let [client, server] = &mut self.ends;
        let (end, peer) = if step & 0x20 != 0 { (client, server) } else { (server, client) };
        let salt = end.said.len() + end.pings.len();
        let most = end.most;
        let size = |number| size(number).min(most);
        match step & 0x1f | 0x60 {
            b't' => {
                let text = text(salt, size(number));
                end.send(text.clone().into(), |of| sent(of.feed(&text), &text));
            }
            b'b' => {
                let message = Message::from(noise(salt, size(number)));
                end.send(message.clone(), |of| sent(of.feed(message.clone()), &message));
            }
            b'm' => {
                let choices = [Compression::Auto, Compression::Always, Compression::Never];
                let choice = choices[usize::from(number) % 3];
                let text = text(salt, size(number));
                end.send(text.clone().into(), |of| sent(of.feed(choice.of(&text)), &text));
            }
            b'q' => {
                let text = text(salt, size(number));
                let prepared = Prepared::new(&text);
                end.send(text.into(), |of| sent(of.feed(&prepared), &prepared));
            }
            b'f' => end.fragment(text(salt, size(number & !1)).into(), number & 1 != 0),
            b'g' => end.fragment(noise(salt, size(number & !1)).into(), number & 1 != 0),
            b'p' => {
                let mut payload = format!("ping {}", end.pings.len()).into_bytes();
                payload.resize(payload.len().max((number & 0x7f).min(125).into()), b'.');
                let before = end.connection.unsent().bytes;
                match end.connection.ping(ControlPayload::new(&payload).expect("a short one")) {
                    Ok(()) => end.pings.push(payload),
                    Err(reason) => end.refused(&reason, before),
                }
            }
            b'c' => {
                let code = CloseCode::new(CODES[usize::from(number) % 6]).expect("a good code");
                let frame = CloseFrame::new(code, &"r".repeat(usize::from(number) / 3));
                let frame = (number % 7 != 0).then_some(frame.expect("short"));
                if end.connection.is_open() {
                    end.close = Some(frame.clone());
                }
                end.connection.start_close(frame).expect("short");
            }
            b'k' => end.in_chunks = !end.in_chunks,
            b'r' => _ = end.connection.outbox().reclaim(),
            b'w' => _ = end.write(size(number)),
            b'd' => _ = end.read(peer, size(number)),
            b's' => self.settle(),
            letter @ (b'y' | b'z') => {
                self.delayed |= letter == b'z';
                self.pass(Duration::from_millis(100) * number.into(), letter == b'y');
            }
            letter @ (b'x' | b'h' | b'n' | b'e') => {
                self.disturbed = true;
                end.line.lost |= letter == b'x';
                end.line.ended |= letter != b'x';
                match letter {
                    b'n' => end.connection.handle_write_failed(),
                    b'e' => {
                        peer.line.lost = true;
                        end.connection.handle_transport_failed();
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// What holds at any time.
    fn look(&mut self) {
        self.note_order();
        let now = self.now;
        for end in &mut self.ends {
            end.note(now);
            let (fixed, each) = end.bound;
            let unsent = end.connection.unsent();
            let most = fixed + each * end.largest;
            if end.connection.closed().is_none() {
                assert!(unsent.bytes <= most as u64, "{unsent:?}, and no more than {most} may be");
            }
            if let Some(time) = end.connection.round_trip() {
                assert!(Time::EPOCH + time <= now, "{time:?} of {now:?}");
            }
        }
        for [from, to] in [[0, 1], [1, 0]] {
            let (from, to) = (&self.ends[from], &self.ends[to]);
            let (sent, received) = (from.connection.stats(), to.connection.stats());
            let (sent, received) = (counts(sent, false), counts(received, true));
            let more = sent.iter().zip(&received).any(|(sent, received)| received > sent);
            assert!(!more, "more came than went: {sent:?}, {received:?}");
            let unsent = from.connection.unsent().messages as usize;
            let most = from.said.len() + usize::from(from.begun.is_some());
            assert!(to.heard + unsent <= most, "{} heard, {unsent} unsent", to.heard);
        }
    }

    fn note_order(&mut self) {
        let [client, server] = &self.ends;
        self.client_first |= client.line.ended && !server.line.ended;
    }

    /// Lets everything be written and read, while time stands still.
    fn settle(&mut self) {
        for steps in 0.. {
            assert!(steps < 10_000, "they never come to rest");
            let mut moved = false;
            for i in 0..2 {
                moved |= self.ends[i].write(usize::MAX);
                self.note_order();
                let [client, server] = &mut self.ends;
                let (end, peer) = if i == 0 { (client, server) } else { (server, client) };
                let all = peer.line.bytes.len().max(1);
                // Not thousands of pieces.
                let piece = if self.piece == 0 { all } else { self.piece.max(all / 100) };
                while end.read(peer, piece) {
                    moved = true;
                }
                end.note(self.now);
            }
            if !moved {
                break;
            }
        }
        if self.disturbed || self.ends.iter().any(|end| !end.connection.is_open()) {
            return;
        }
        for [from, to] in [[0, 1], [1, 0]] {
            let (from, to) = (&self.ends[from], &self.ends[to]);
            let (sent, received) = (from.connection.stats(), to.connection.stats());
            assert_eq!(counts(sent, false), counts(received, true), "not all that went came");
            assert_eq!(from.connection.unsent(), Default::default());
            assert_eq!(to.heard, from.said.len(), "messages are missing");
            assert_eq!(to.pings_heard, from.pings.len(), "pings are missing");
            assert_eq!(from.newest[1], to.newest[0], "the newest ping is not answered");
        }
    }

    /// Lets time pass, and each deadline at its time.
    fn pass(&mut self, duration: Duration, moves: bool) {
        let end = self.now + duration;
        for steps in 0.. {
            assert!(steps < 10_000, "something is due for ever");
            if moves {
                self.settle();
            }
            let next = self.ends.iter().filter_map(|end| end.connection.poll_timeout()).min();
            self.now = match next {
                Some(next) if next <= end => self.now.max(next),
                _ => end,
            };
            let now = self.now;
            self.ends.iter_mut().for_each(|end| end.note(now));
            if next.is_none_or(|next| next > end) {
                break;
            }
        }
        if moves {
            self.settle();
        }
    }

    /// Sees it to its end: whether that was a good one.
    fn finish(&mut self, settings: u8) -> bool {
        self.settle();
        let before = self.ends.each_ref().map(|end| end.timeouts.len());
        if settings & 0x40 != 0 {
            self.pass(LONG, true);
            for (end, peer) in [(0, 1), (1, 0)] {
                let (end, deaf) = (&self.ends[end], self.ends[peer].line.lost);
                let over = end.connection.closed().is_some();
                assert!(over || !end.idle, "idle, and open");
                assert!(over || !end.keepalive || !deaf, "it hears nothing, and is open");
            }
        }
        let first = usize::from(settings & 0x80 != 0);
        for i in [first, 1 - first] {
            let end = &mut self.ends[i];
            if end.connection.is_open() {
                assert!(i == first || self.disturbed, "it was not told of the Close");
                end.close = Some(None);
                end.connection.start_close(None).unwrap();
            }
            self.settle();
            let closed = |end: &End| end.connection.closed().is_some();
            assert!(self.disturbed || self.ends.iter().all(closed), "it waits for a deadline");
            self.pass(CLOSE_TIMEOUT, true);
            self.look();
        }
        let mut good = true;
        for (end, peer) in [(0, 1), (1, 0)] {
            let (end, peer) = (&self.ends[end], &self.ends[peer]);
            let closed = end.connection.closed().expect("no end within the deadline");
            let unsent = end.connection.unsent();
            assert!(!closed.is_clean() || unsent.messages == 0, "{closed:?}, {unsent:?}");
            match closed {
                Closed::Clean { initiator, frame } => {
                    assert_eq!(end.told.as_ref(), Some(frame));
                    let ours = end.close.is_some();
                    assert!(ours || *initiator == Side::Remote);
                }
                Closed::Failed(error) => assert_eq!(Some(*error), end.error),
                Closed::TimedOut(error) => assert!(end.timeouts.contains(error)),
                Closed::Unsent { .. } => assert!(unsent.messages > 0),
                _ => {}
            }
            let all = end.heard == peer.said.len();
            good &= closed.is_clean() && all;
        }
        let late = self.ends.iter().any(|end| !end.timeouts.is_empty());
        let failed = self.ends.iter().any(|end| end.error.is_some());
        assert!(good || self.disturbed || late || failed, "undisturbed, and not a good end");
        // §7.1.1
        assert!(
            !good || self.disturbed || self.delayed || !self.client_first,
            "the client ended it"
        );
        if !self.disturbed {
            for (end, before) in self.ends.iter().zip(before) {
                let idle = |error: &TimeoutError| *error == TimeoutError::Idle;
                assert!(end.timeouts[before..].iter().all(idle), "{:?}", end.timeouts);
            }
        }
        good
    }
}

/// Why a message was not accepted, if so: then it comes back.
fn sent(sent: Result<(), SendError>, message: impl IntoMessage) -> Result<(), SendErrorReason> {
    sent.map_err(|SendError { reason, message: back, .. }| {
        assert_eq!(back, message.into_message(), "another one is handed back");
        reason
    })
}
