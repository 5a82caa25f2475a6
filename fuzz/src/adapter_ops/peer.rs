//! Who is at the other end of the stream.

use super::{
    SIZES,
    books::{message, seen},
    letters,
};
use crate::common::{Seen, connection, frame, other, split};
use crate::support::{Script, Step};
use bytes::Buf;
use fullduplex::{Config, Connection, Event, Input, Role, deflate::DeflateParams};

/// How it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Last {
    Close,
    /// It has hung up, or its stream has broken, at any byte.
    Cut,
    /// It has broken the protocol.
    Garbage,
}

pub(super) struct Peer {
    connection: Connection,
    script: Script,
    /// The size of the pieces that arrive, in bytes; zero means that nothing is cut.
    piece: usize,
    /// How much of what was written it has seen.
    taken: usize,
    /// How many bytes have arrived from it, or will, and all that it has said with where in these
    /// it ends.
    pub(super) sent: usize,
    pub(super) events: Vec<(usize, Seen)>,
    pub(super) last: Option<Last>,
}

impl Peer {
    /// Of an endpoint in `role`.
    pub(super) fn new(
        role: Role,
        agreed: Option<DeflateParams>,
        script: Script,
        piece: usize,
    ) -> Self {
        let connection =
            connection(other(role), Config::default()).with_deflate(agreed).expect("it is new");
        Self { connection, script, piece, taken: 0, sent: 0, events: Vec::new(), last: None }
    }

    /// What it has to write arrives, at the end of which it has said something.
    fn arrive(&mut self, said: Option<Seen>) {
        let mut wire = Vec::new();
        while !self.connection.outbox().is_empty() {
            let mut outbox = self.connection.outbox();
            wire.extend(outbox.copy_to_bytes(outbox.remaining()));
        }
        self.arrive_bytes(&wire);
        self.events.extend(said.map(|said| (self.sent, said)));
    }

    fn arrive_bytes(&mut self, wire: &[u8]) {
        if wire.is_empty() {
            return;
        }
        self.sent += wire.len();
        // Not thousands of them.
        let piece = if self.piece == 0 { wire.len() } else { self.piece.max(wire.len() / 50) };
        let pieces = wire.chunks(piece).map(|piece| Step::Bytes(piece.to_vec()));
        self.script.go_on_in(true, |state| state.reads.extend(pieces));
    }

    /// Says something, unless it is over.
    pub(super) fn says(&mut self, letter: u8, number: u8) {
        if self.last.is_some() || !self.connection.is_open() {
            return;
        }
        let id = self.events.len();
        let content = format!("peer {id} {}", letters(SIZES[usize::from(number >> 4)]));
        let text = letter == b't' || number & 1 != 0;
        match letter {
            b'i' => self.ping(format!("ping {id}")),
            b'z' => {
                self.connection.start_close(None).unwrap();
                self.arrive(Some(Seen::Close(None)));
                self.last = Some(Last::Close);
            }
            b'm' => {
                let mut whole = String::new();
                for (i, piece) in [&content[..], "", "and so on"].into_iter().enumerate() {
                    let last = i == 2;
                    let sent = self.connection.feed_fragment(message(text, piece), last);
                    sent.expect("room");
                    whole += piece;
                    self.arrive(last.then(|| seen(text, whole.clone())));
                    if !last {
                        self.ping(format!("inside {id} {i}"));
                    }
                }
            }
            _ => {
                self.connection.feed(message(text, &content)).expect("room");
                self.arrive(Some(seen(text, content)));
            }
        }
    }

    fn ping(&mut self, payload: String) {
        self.connection.ping(payload.as_bytes().try_into().expect("short")).expect("room");
        self.arrive(Some(Seen::Ping(payload.into_bytes())));
    }

    /// Reads what was written, and answers it.
    pub(super) fn answers(&mut self) {
        let mut written = self.script.written().split_off(self.taken);
        self.taken += written.len();
        let mut input = Input::new(&mut written);
        let mut closed = false;
        while let Some(event) = self.connection.receive(&mut input).expect("good frames") {
            closed |= matches!(event, Event::Close(_));
        }
        if self.last.is_some() {
            return;
        }
        if !closed {
            return self.arrive(None);
        }
        let frames = split(other(self.role()), self.connection.outbox().chunk());
        let (_, body) = frames.last().expect("a Close");
        let code = body.first_chunk().map(|code| (u16::from_be_bytes(*code), String::new()));
        self.arrive(Some(Seen::Close(code)));
        self.last = Some(Last::Close);
    }

    /// The role of whom it talks to.
    fn role(&self) -> Role {
        other(self.connection.role())
    }

    pub(super) fn breaks_a_rule(&mut self, number: u8) {
        if self.last.is_some() {
            return;
        }
        let role = self.role();
        self.arrive_bytes(&match number % 4 {
            0 => frame(role, 0x83, b"reserved"),
            1 => frame(role, 0x80, b"goes on with nothing"),
            2 => frame(role, 0x81, b"not \xff text"),
            _ => frame(other(role), 0x82, b"masked the wrong way"),
        });
        self.last = Some(Last::Garbage);
    }

    /// Some of the bytes that have not been read never arrive.
    pub(super) fn loses(&mut self, bytes: usize) {
        if self.last.is_some() {
            return;
        }
        if let Some(Step::Bytes(waiting)) = self.script.state().reads.back_mut() {
            let left = waiting.len().saturating_sub(bytes).max(1);
            self.sent -= waiting.len() - left;
            waiting.truncate(left);
        }
    }

    /// Nothing more arrives.
    pub(super) fn ends(&mut self, last: Last, steps: &[Step]) {
        self.last.get_or_insert(last);
        self.script.go_on_in(true, |state| state.reads.extend(steps.iter().cloned()));
    }
}
