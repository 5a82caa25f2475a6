//! One end, and all that is known of what it has to say and hear.

use crate::Counting;
use core::{mem, time::Duration};
use fullduplex::{
    Config, Connection, Event, Incoming, Input, Keepalive, Message, ProtocolError,
    ProtocolErrorKind, Role, SendError, SendErrorReason, Time, TimeoutError, Transport,
    deflate::{Deflate, DeflateParams},
    frame::{CloseCode, CloseFrame},
};

pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(4);
const PONG_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is received in whole messages: bytes of a message and of a frame, frames of a message.
const LIMITS: [(usize, usize, u32); 4] = [
    (1 << 20, 1 << 20, 1 << 20),
    (200, 1 << 20, 1 << 20),
    (5_000, 150, 1 << 20),
    (5_000, 5_000, 3),
];

/// Largest frames that are sent.
const FRAMES: [Option<usize>; 4] = [None, Some(1), Some(7), Some(1_000)];

/// Mark and limit of what is not sent.
const UNSENT: [(usize, usize); 4] = [(1 << 18, 1 << 20), (1, 1), (50, 100), (1_000, 1_000)];

pub(super) struct End {
    pub(super) connection: Connection,
    pub(super) limits: (usize, usize, u32),
    /// How many bytes may wait, at the most, when the largest message is one byte; and how many
    /// more for each further one.
    pub(super) bound: (usize, usize),
    pub(super) max_unsent: usize,
    /// The largest message to send, in bytes: not hundreds of thousands of frames.
    pub(super) most: usize,
    pub(super) keepalive: bool,
    pub(super) idle: bool,
    pub(super) line: Line,

    /// The messages that were accepted.
    pub(super) said: Vec<Message>,
    /// What was accepted of a message in fragments.
    pub(super) begun: Option<Message>,
    /// The largest message, in bytes.
    pub(super) largest: usize,
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) close: Option<Option<CloseFrame>>,

    pub(super) in_chunks: bool,
    /// How many of the peer's messages have come, and what has come of the next one.
    pub(super) heard: usize,
    pub(super) partial: Option<Vec<u8>>,
    pub(super) pings_heard: usize,
    /// How many of the own pings lie behind the pongs that have come.
    pub(super) answered: usize,
    /// The newest ping that came, and the newest pong, keepalive's too.
    pub(super) newest: [Option<Vec<u8>>; 2],
    pub(super) told: Option<Option<CloseFrame>>,
    pub(super) error: Option<ProtocolError>,
    pub(super) timeouts: Vec<TimeoutError>,
    pub(super) closing: Option<Time>,
}

/// What one end writes and the other has not yet.
#[derive(Default)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// Whether all that is written is lost.
    pub(super) lost: bool,
    /// Whether there is an end behind the bytes, and whether it was seen.
    pub(super) ended: bool,
    pub(super) seen: bool,
}

impl End {
    pub(super) fn new(role: Role, settings: u8, agreed: Option<DeflateParams>) -> Self {
        let limits = LIMITS[usize::from(settings & 3)];
        let frames = FRAMES[usize::from(settings >> 2 & 3)];
        let (mark, max_unsent) = UNSENT[usize::from(settings >> 4 & 3)];
        let (keepalive, idle) = (settings & 0x40 != 0, settings & 0x80 != 0);
        let (message, frame, fragments) = limits;
        let mut config = Config::default()
            .max_message_size(message)
            .max_frame_size(frame)
            .max_fragments(fragments)
            .max_sent_frame(frames)
            .unsent_mark(mark)
            .max_unsent(max_unsent)
            .idle_timeout(idle.then_some(IDLE_TIMEOUT))
            .close_timeout(CLOSE_TIMEOUT)
            .deflate(Deflate::default().threshold(0));
        if keepalive {
            // A line takes no time, so none has to be allowed for.
            let keepalive = Keepalive::every(INTERVAL).pong_timeout(PONG_TIMEOUT);
            config = config.keepalive(keepalive.slowest_path(u32::MAX));
        }
        let connection = match role {
            Role::Server => Connection::server(config),
            Role::Client => Connection::client_with_keys(config, Counting(0)),
        };
        // A head, a flush of the compressor and an eighth for what it cannot compress, for each
        // frame that a message is cut into.
        let each = 2 + 20 / frames.unwrap_or(usize::MAX).max(1);
        // Pongs, the one that is kept back, pings and a Close.
        let control = 20 * (14 + 125);
        Self {
            connection: connection.with_deflate(agreed).expect("it is new"),
            limits,
            bound: (max_unsent * each + control + 100, each),
            max_unsent,
            most: frames.map_or(usize::MAX, |frame| 500 * frame),
            keepalive,
            idle,
            line: Line::default(),
            said: Vec::new(),
            begun: None,
            largest: 0,
            pings: Vec::new(),
            close: None,
            in_chunks: false,
            heard: 0,
            partial: None,
            pings_heard: 0,
            answered: 0,
            newest: Default::default(),
            told: None,
            error: None,
            timeouts: Vec::new(),
            closing: None,
        }
    }

    /// Takes account of a message that was given to `send`, and of why it was not accepted if so.
    pub(super) fn send(
        &mut self,
        message: Message,
        send: impl FnOnce(&mut Connection) -> Result<(), SendErrorReason>,
    ) {
        let before = self.connection.unsent();
        let ready = self.connection.is_ready();
        let fragments = self.connection.is_in_fragments();
        let sent = send(&mut self.connection);
        match sent {
            Ok(()) => {
                assert!(before.bytes < self.max_unsent as u64, "accepted beyond {before:?}");
                self.largest = self.largest.max(message.as_bytes().len());
                self.said.push(message);
            }
            Err(reason) => {
                self.refused(&reason, before.bytes);
                assert!(reason != SendErrorReason::Unfinished || fragments);
                assert!(!ready || fragments, "{reason:?}, and it was ready");
                assert_eq!(self.connection.unsent(), before, "refused, and queued");
            }
        }
    }

    pub(super) fn refused(&self, reason: &SendErrorReason, unsent: u64) {
        match reason {
            SendErrorReason::Closed(_) => assert!(!self.connection.is_open()),
            SendErrorReason::Full => assert!(unsent >= self.max_unsent as u64, "{unsent} bytes"),
            _ => {}
        }
    }

    pub(super) fn fragment(&mut self, piece: Message, fin: bool) {
        let kind = piece.is_text();
        let before = self.connection.unsent().bytes;
        let begun = self.begun.as_ref().filter(|_| self.connection.is_in_fragments());
        let other = begun.is_some_and(|begun| begun.is_text() != kind);
        match self.connection.feed_fragment(&piece, fin) {
            Ok(()) => {
                let whole = match self.begun.take() {
                    None => piece,
                    Some(begun) => {
                        assert_eq!(begun.is_text(), kind, "one message of two kinds");
                        joined(&begun, piece.as_bytes())
                    }
                };
                self.largest = self.largest.max(whole.as_bytes().len());
                match fin {
                    true => self.said.push(whole),
                    false => self.begun = Some(whole),
                }
            }
            Err(SendError { reason, message, .. }) => {
                assert_eq!(message, piece, "another one is handed back");
                self.refused(&reason, before);
                assert_eq!(reason == SendErrorReason::Unfinished, other, "{reason:?}");
            }
        }
        if self.connection.is_open() {
            assert_eq!(self.connection.is_in_fragments(), self.begun.is_some());
        }
    }

    /// Writes at most so many bytes onto the line, and does with the transport what is asked for:
    /// whether there was anything to do.
    pub(super) fn write(&mut self, most: usize) -> bool {
        let mut left = most;
        while left > 0 {
            let mut outbox = self.connection.outbox();
            let piece = &outbox.chunk()[..outbox.chunk().len().min(left)];
            if piece.is_empty() {
                assert!(outbox.is_empty(), "nothing to write, and not empty");
                break;
            }
            if !self.line.lost && !self.line.ended {
                self.line.bytes.extend_from_slice(piece);
            }
            let length = piece.len();
            left -= length;
            outbox.advance(length);
        }
        let ends = match self.connection.transport() {
            Transport::ShutDown => {
                self.connection.shutdown_complete();
                assert_ne!(self.connection.transport(), Transport::ShutDown, "it was just done");
                true
            }
            Transport::Closed => true,
            _ => false,
        };
        let news = ends && !mem::replace(&mut self.line.ended, true);
        left < most || news
    }

    /// Has a piece of what `peer` has written: whether there was anything.
    pub(super) fn read(&mut self, peer: &mut Self, most: usize) -> bool {
        let line = &mut peer.line;
        let mut piece: Vec<u8> = line.bytes.drain(..most.min(line.bytes.len())).collect();
        let hears = self.connection.closed().is_none() && !line.lost;
        if piece.is_empty() {
            let ends = line.ended && line.bytes.is_empty();
            let news = ends && !mem::replace(&mut line.seen, true);
            if news && hears {
                self.connection.receive_eof();
            }
            return news;
        }
        if !hears {
            return true;
        }
        let mut input = Input::new(&mut piece);
        let mut steps = input.len() * 2 + 100_000;
        loop {
            steps -= 1;
            assert!(steps > 0, "it receives for ever");
            let event = match self.in_chunks || self.connection.is_in_chunks() {
                true => self.connection.receive_chunk(&mut input),
                false => self.connection.receive(&mut input),
            };
            match event {
                Ok(Some(event)) => {
                    assert_eq!(self.told, None, "{event:?} behind the Close");
                    assert_eq!(self.error, None, "{event:?} behind the error");
                    match &event {
                        Event::Ping(payload) => self.newest[0] = Some(payload.to_vec()),
                        Event::Pong(payload) => self.newest[1] = Some(payload.to_vec()),
                        _ => {}
                    }
                    let expected = peer.said.get(self.heard).or(peer.begun.as_ref());
                    match event {
                        Event::Message(message) => {
                            let length = message.as_bytes().len();
                            assert!(length <= self.limits.0, "{length} bytes");
                            assert_eq!(self.partial, None);
                            assert!(self.heard < peer.said.len(), "more than was said");
                            let text = matches!(message, Incoming::Text(_));
                            self.compare(expected, text, message.as_bytes(), true);
                        }
                        Event::Chunk(chunk) => {
                            assert_eq!(chunk.is_first(), self.partial.is_none());
                            let mut so_far = self.partial.take().unwrap_or_default();
                            so_far.extend_from_slice(chunk.as_bytes());
                            self.compare(expected, chunk.is_text(), &so_far, chunk.is_last());
                            self.partial = (!chunk.is_last()).then_some(so_far);
                        }
                        // Keepalive's begin with a zero.
                        Event::Ping(payload) if payload.starts_with(&[0]) => {
                            assert!(peer.keepalive)
                        }
                        Event::Ping(payload) => {
                            let ping = peer.pings.get(self.pings_heard).map(|ping| &ping[..]);
                            assert_eq!(ping, Some(&payload[..]), "lost, or doubled");
                            self.pings_heard += 1;
                        }
                        Event::Pong(payload) if payload.starts_with(&[0]) => {
                            assert!(self.keepalive)
                        }
                        Event::Pong(payload) => {
                            let mut left = self.pings[self.answered..].iter();
                            let place = left.position(|ping| ping[..] == payload[..]);
                            self.answered += 1 + place.expect("a ping that is not answered yet");
                            assert!(self.answered <= peer.pings_heard, "answered unheard");
                        }
                        Event::Close(frame) => {
                            peer.check_close(frame.as_ref(), self.close.as_ref());
                            self.told = Some(frame);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Ok(None) => {
                    assert!(input.is_empty(), "{} bytes left over", input.len());
                    assert_eq!(self.error, None, "the error was forgotten");
                    return true;
                }
                Err(error) => {
                    let (message, frame, fragments) = self.limits;
                    let fits = match error.kind() {
                        ProtocolErrorKind::MessageTooBig { limit, .. } => limit == message as u64,
                        ProtocolErrorKind::FrameTooBig { limit, .. } => limit == frame as u64,
                        ProtocolErrorKind::TooManyFragments { limit } => limit == fragments,
                        _ => false,
                    };
                    assert!(fits, "{error:?} in what one of ours has sent");
                    if *self.error.get_or_insert(error) != error || input.is_empty() {
                        assert_eq!(self.error, Some(error), "it changes");
                        return true;
                    }
                }
            }
        }
    }

    /// A message that came, or the beginning of one, against the one that was sent.
    fn compare(&mut self, expected: Option<&Message>, text: bool, came: &[u8], whole: bool) {
        let expected = expected.expect("a message that was sent");
        assert_eq!(text, expected.is_text(), "of the other kind, or out of order");
        let sent = expected.as_bytes();
        assert!(sent.starts_with(came), "lost, doubled or out of order");
        assert!(!whole || sent.len() == came.len(), "{} of {} bytes", came.len(), sent.len());
        self.heard += usize::from(whole);
    }

    /// Whether this end's Close may say that.
    fn check_close(&self, came: Option<&CloseFrame>, answered: Option<&Option<CloseFrame>>) {
        let code = came.map(CloseFrame::code);
        match (&self.close, self.error, self.timeouts.first()) {
            (Some(close), _, _) => assert_eq!(came, close.as_ref()),
            (None, Some(error), _) => assert_eq!(code, Some(error.close_code())),
            (None, None, Some(TimeoutError::Idle)) => assert_eq!(code, Some(CloseCode::GOING_AWAY)),
            (None, None, Some(_)) => assert_eq!(code, Some(CloseCode::INTERNAL_ERROR)),
            // An answer: §5.5.1.
            (None, None, None) => {
                let told = self.told.as_ref().expect("a Close to answer");
                assert_eq!(code, told.as_ref().map(CloseFrame::code));
                assert!(answered.is_none_or(|sent| sent == told));
            }
        }
    }

    /// Does what is due, as often as it is; keeps to the deadline of closing.
    pub(super) fn note(&mut self, now: Time) {
        let mut times = 0;
        while self.connection.poll_timeout().is_some_and(|at| at <= now) {
            times += 1;
            assert!(times < 10, "something is due for ever");
            self.timeouts.extend(self.connection.handle_timeout(now).err());
        }
        if self.connection.is_open() {
            return;
        }
        let since = *self.closing.get_or_insert(now);
        assert!(
            self.connection.closed().is_some() || now < since + CLOSE_TIMEOUT,
            "closing since {since:?}, and it is {now:?}"
        );
    }
}

fn joined(begun: &Message, piece: &[u8]) -> Message {
    let bytes = [begun.as_bytes(), piece].concat();
    match begun.is_text() {
        true => String::from_utf8(bytes).expect("text").into(),
        false => bytes.into(),
    }
}
