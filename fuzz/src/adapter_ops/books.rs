//! What was said to a connection and through it, and whether it fits.

use super::peer::{Last, Peer};
use crate::support::{Script, life::Knows};
use crate::support::{Seen, connection, other, receive, reference, watch};
use fullduplex::{Closed, Config, Message, Role, deflate::DeflateParams};

/// What a connection was told and has told.
#[derive(Default)]
pub(super) struct Books {
    /// Messages with whether they were accepted, as far as that is known; who sent one and a number
    /// are its first words.
    pub(super) said: Vec<(Seen, Option<bool>)>,
    /// For each of those who send, the message in fragments that is not finished.
    pub(super) begun: [Option<(bool, String)>; 2],
    /// Whether there is one of which nobody knows what it says.
    pub(super) torn: bool,
    pub(super) pings: Vec<Vec<u8>>,

    pub(super) told: Vec<Seen>,
    /// Of a message that is taken in chunks, whether it is text, and what has come.
    pub(super) partial: Option<(bool, Vec<u8>)>,
    /// Whether a call that takes chunks was dropped, perhaps with a head in hand.
    pub(super) in_chunks: bool,
    /// Whether the end was seen by who receives, and whether it was reported.
    pub(super) over: bool,
    pub(super) reported: bool,

    /// Whether messages may have been discarded, and whether it was closed from here.
    pub(super) discards: bool,
    pub(super) closes: bool,
    /// Whether writing fails at some time, and whether deadlines may have passed.
    pub(super) disturbed: bool,
}

pub(super) fn message(text: bool, content: &str) -> Message {
    if text { content.into() } else { content.as_bytes().into() }
}

pub(super) fn seen(text: bool, content: String) -> Seen {
    if text { Seen::Text(content) } else { Seen::Binary(content.into_bytes()) }
}

pub(super) fn told(message: &Message) -> Seen {
    match message.as_text() {
        Some(text) => Seen::text(text),
        None => Seen::Binary(message.as_bytes().into()),
    }
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

fn is_by(seen: &Seen, name: &str) -> bool {
    bytes(seen).split(|byte| *byte == b' ').next() == Some(name.as_bytes())
}

impl Books {
    /// Holds what an endpoint says of itself against what became of it. `cuts` is whether large
    /// messages are cut: those count as sent when their last frame is made.
    pub(super) fn check(
        &self,
        of: &impl Knows,
        (role, agreed): (Role, Option<DeflateParams>),
        (script, peer): (&Script, &Peer),
        cuts: bool,
    ) {
        let written = script.written();
        assert_eq!(of.stats().bytes_sent, written.len() as u64);
        let rest = frames(&written);
        let mut reader =
            connection(other(role), Config::default()).with_deflate(agreed).expect("it is new");
        let (got, result) = receive(&mut reader, &written, usize::MAX, watch);
        result.expect("good frames");
        if agreed.is_none() {
            let (again, _) = reference::decode(other(role), Default::default(), &written);
            assert_eq!(again, got, "against the reference");
        }
        self.check_sent(of, &got, cuts);
        self.check_control(&got, peer);
        self.check_received(of.closed(), peer);
        if of.unsent().bytes == 0 && !got.is_empty() {
            assert_eq!(rest, [], "the end of a frame is missing, and nobody knows");
        }
    }

    fn check_sent(&self, of: &impl Knows, got: &[Seen], cuts: bool) {
        let (stats, unsent) = (of.stats(), of.unsent());
        let messages: Vec<_> = got.iter().filter(|seen| is_message(seen)).collect();
        let torn = usize::from(self.torn) + self.begun.iter().flatten().count();
        let count = messages.len() as u64 + unsent.messages;
        let least = self.said.iter().filter(|(_, sure)| *sure == Some(true)).count() as u64;
        let most = self.said.iter().filter(|(_, sure)| *sure != Some(false)).count() as u64;
        let most = most + torn as u64;
        let sent = stats.messages_sent;
        let counts = match cuts {
            false => sent..=sent + torn as u64,
            true => least.max(sent)..=most,
        };
        assert!(counts.contains(&count), "{} came, {unsent:?}, {stats:?}", messages.len());
        assert!(sent <= most && (cuts || sent >= least), "{least} to {most}: {stats:?}");
        let mut left = messages.len();
        for name in ["peer", "0", "1"] {
            let mut arrived = messages.iter().filter(|seen| is_by(seen, name)).peekable();
            let mut lost = None;
            for (message, sure) in self.said.iter().filter(|(said, _)| is_by(said, name)) {
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
        if of.closed().is_some_and(|closed| closed.is_clean()) {
            assert_eq!(unsent.messages, 0, "clean");
        }
    }

    fn check_control(&self, got: &[Seen], peer: &Peer) {
        let mut pings = peer.events.iter().filter(|(_, seen)| matches!(seen, Seen::Ping(_)));
        for pong in got.iter().filter(|seen| matches!(seen, Seen::Pong(_))) {
            assert!(pings.any(|(_, ping)| bytes(ping) == bytes(pong)), "no ping for {pong:?}");
        }
        let mut ours = self.pings.clone();
        for ping in got.iter().filter(|seen| matches!(seen, Seen::Ping(_))) {
            // Keepalive's begin with a zero.
            if !bytes(ping).starts_with(&[0]) {
                let sent = ours.iter().position(|sent| sent == bytes(ping));
                ours.swap_remove(sent.expect("a ping that was sent, once"));
            }
        }
    }

    fn check_received(&self, closed: Option<Closed>, peer: &Peer) {
        let mut events = peer.events.iter().filter(|(end, _)| *end <= peer.sent);
        let mut pings = self.pings.clone();
        for seen in &self.told {
            match seen {
                Seen::Pong(payload) if payload.starts_with(&[0]) => {}
                Seen::Pong(payload) => {
                    let ping = pings.iter().position(|ping| ping == payload);
                    pings.swap_remove(ping.expect("a pong for each ping, at most"));
                }
                _ => assert!(events.any(|(_, event)| event == seen), "nobody said {seen:?}"),
            }
        }
        let all: Vec<_> = peer.events.iter().filter(|(_, seen)| is_message(seen)).collect();
        let whole = all.iter().filter(|(end, _)| *end <= peer.sent).count();
        let told: Vec<_> = self.told.iter().filter(|seen| is_message(seen)).collect();
        if !self.discards {
            assert!(told.iter().zip(&all).all(|(told, (_, all))| *told == all), "lost");
            if let Some((_, partial)) = &self.partial {
                match all.get(told.len()) {
                    Some((_, next)) => assert!(bytes(next).starts_with(partial), "{partial:?}"),
                    // Of one that breaks the protocol parts may be told, or that is not finished.
                    None => assert!(peer.last != Some(Last::Close)),
                }
            }
        }
        let Some(closed) = closed else { return assert!(!self.over) };
        if !self.disturbed && self.over && !self.discards {
            assert_eq!(told.len(), whole, "{closed:?}");
        }
        if !self.disturbed && !self.closes {
            let fits = match peer.last {
                Some(Last::Close) => matches!(closed, Closed::Clean { .. } | Closed::Unsent { .. }),
                Some(Last::Cut) => matches!(closed, Closed::Abnormal),
                Some(Last::Garbage) => matches!(closed, Closed::Failed(_)),
                None => false,
            };
            assert!(fits, "{closed:?} after {:?}", peer.last);
        }
    }
}

/// Holds the frames against §5: none is broken, none but pongs is behind a Close. Of the last one what
/// there is, if that is not all.
fn frames(written: &[u8]) -> &[u8] {
    let (mut rest, mut closes) = (written, false);
    while let Some(head) = reference::head(rest).expect("good frames") {
        assert!(!closes || matches!(head.opcode, 9 | 10), "data behind a Close"); // §5.5.1
        closes |= head.opcode == 8;
        let Some(behind) = rest.get(head.size + head.length as usize..) else { break };
        rest = behind;
    }
    rest
}
