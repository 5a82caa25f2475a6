//! A stream of frames in one piece, in many, and in chunks, against the reference of the tests.

use crate::{
    Counting, Plan,
    book::{Book, UNKNOWN},
    common::{
        Seen,
        reference::{End, Limits, answers, decode_with},
        split,
    },
};
use fullduplex::{
    Closed, Config, Connection, Event, Incoming, Input, ProtocolError, ProtocolErrorKind, Role,
    Side, Transport,
    deflate::{Deflate, DeflateParams},
};

/// The limits under which the stream is received: small, so that a small stream reaches them.
const MESSAGES: [usize; 4] = [0, 16, 200, 100_000];
const FRAMES: [usize; 4] = [0, 8, 150, 70_000];
const FRAGMENTS: [u32; 2] = [3, 40];

/// `data` is a [`Plan`] and what the peer sends, to a server and to a client. Options: `0x03`,
/// `0x0c`, `0x10` choose the limits on message, frame and fragments, `0x20` sends a Close first,
/// `0xc0` is the compression: none, all that there is, windows of 512 bytes, or 512 bytes and no
/// takeover.
pub fn receive_chunked(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let settings = Settings::new(plan.options);
    let mut accepted = false;
    for role in [Role::Server, Role::Client] {
        let whole = settings.run(role, plan.whole(), usize::MAX);
        let pieces = settings.run(role, plan.pieces(), usize::MAX);
        assert_eq!(whole, pieces, "{role:?}, sizes {:?}", plan.sizes);
        let limits = settings.limits;
        settings.compare(role, &whole, plan.stream, limits);

        // In chunks nothing is held, and so no limit holds.
        let limits = Limits { message: u64::MAX, frame: u64::MAX, fragments: u64::MAX };
        let chunks = settings.run(role, plan.whole(), 0);
        settings.compare(role, &chunks, plan.stream, limits);
        let mut in_pieces = settings.run(role, plan.pieces(), 0);
        if chunks.error.is_some() {
            // How much of the broken message was handed on depends on the pieces.
            in_pieces.unfinished.clone_from(&chunks.unfinished);
        }
        assert_eq!(chunks, in_pieces, "{role:?} in chunks, sizes {:?}", plan.sizes);

        // Chunks from the middle on, which may be the middle of a message.
        if !whole.error.as_ref().is_some_and(is_limit) {
            let pieces = plan.pieces();
            let mixed = settings.run(role, pieces.clone(), pieces.len() / 2);
            let unfinished = whole.unfinished.clone();
            assert_eq!(whole, Outcome { unfinished, ..mixed }, "{role:?}, chunks from the middle");
        }
        accepted |= whole.error.is_none();
    }
    accepted
}

fn is_limit(error: &ProtocolError) -> bool {
    matches!(
        error.kind(),
        ProtocolErrorKind::FrameTooBig { .. }
            | ProtocolErrorKind::MessageTooBig { .. }
            | ProtocolErrorKind::TooManyFragments { .. }
    )
}

/// What holds on a connection.
struct Settings {
    limits: Limits,
    closing: bool,
    /// Window and takeover, the same for both ends.
    deflate: Option<(u8, bool)>,
}

/// All that can be seen of a connection from outside.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Seen>,
    error: Option<ProtocolError>,
    written: Vec<u8>,
    transport: Transport,
    closed: Closed,
    /// The chunks of a message of which there was no last one.
    unfinished: Vec<u8>,
}

impl Settings {
    fn new(options: u8) -> Self {
        let limits = Limits {
            message: MESSAGES[usize::from(options & 3)] as u64,
            frame: FRAMES[usize::from(options >> 2 & 3)] as u64,
            fragments: FRAGMENTS[usize::from(options >> 4 & 1)].into(),
        };
        let deflate = [None, Some((15, true)), Some((9, true)), Some((9, false))];
        let deflate = deflate[usize::from(options >> 6)];
        Self { limits, closing: options & 0x20 != 0, deflate }
    }

    fn connection(&self, role: Role) -> Connection {
        let config = Config::default()
            .max_message_size(self.limits.message as usize)
            .max_frame_size(self.limits.frame as usize)
            .max_fragments(self.limits.fragments as u32);
        let connection = match role {
            Role::Server => Connection::server(config),
            Role::Client => Connection::client_with_keys(config, Counting(0)),
        };
        let mut connection = connection.with_deflate(self.deflate.map(agreed)).expect("it is new");
        if self.closing {
            connection.start_close(None).unwrap();
        }
        connection
    }

    /// Receives all `pieces`, from the one numbered `chunks` on in chunks.
    fn run(&self, role: Role, pieces: Vec<Vec<u8>>, chunks: usize) -> Outcome {
        let mut connection = self.connection(role);
        let (mut events, mut error, mut unfinished) = (Vec::new(), None, Vec::new());
        for (mut piece, number) in pieces.into_iter().zip(0..) {
            let in_chunks = number >= chunks;
            let mut input = Input::new(&mut piece);
            loop {
                let before = input.len();
                let event = match in_chunks {
                    true => connection.receive_chunk(&mut input),
                    false => connection.receive(&mut input),
                };
                match event {
                    Ok(Some(event)) => {
                        assert!(in_chunks || input.len() < before, "{event:?} out of nothing");
                        assert_eq!(error, None, "{event:?} after the error");
                        let closed = matches!(events.last(), Some(Seen::Close(_)));
                        assert!(!closed, "{event:?} after the Close");
                        let owned = event.clone().into_owned();
                        assert_eq!(owned, event, "borrowed against owned");
                        if !in_chunks {
                            self.check_size(&event);
                        }
                        events.extend(seen(event, &mut unfinished));
                    }
                    Ok(None) => {
                        assert!(input.is_empty(), "{} bytes left over", input.len());
                        assert_eq!(error, None, "the error was forgotten");
                        break;
                    }
                    // First at the frame, which may stay in the input, then for all that follows.
                    Err(found) => match error.replace(found) {
                        None => {}
                        Some(first) => {
                            assert_eq!(found, first);
                            assert!(input.is_empty(), "{} bytes not discarded", input.len());
                            break;
                        }
                    },
                }
            }
        }
        // Written in the end only: while pongs wait, a flood of pings is answered in part.
        let mut written = Vec::new();
        let mut outbox = connection.outbox();
        while !outbox.is_empty() {
            let chunk = outbox.chunk();
            assert!(!chunk.is_empty(), "nothing to write, and not empty");
            let length = chunk.len();
            written.extend_from_slice(chunk);
            outbox.advance(length);
        }
        let transport = connection.transport();
        if transport == Transport::ShutDown {
            connection.shutdown_complete();
        }
        connection.receive_eof();
        assert_eq!(connection.transport(), Transport::Closed);
        let closed = connection.closed().expect("the transport ended").clone();
        Outcome { events, error, written, transport, closed, unfinished }
    }

    fn check_size(&self, event: &Event<'_>) {
        match event {
            Event::Message(message) => {
                assert!(message.as_bytes().len() as u64 <= self.limits.message);
            }
            Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
            _ => {}
        }
    }

    /// What the reference says about the same stream.
    fn compare(&self, role: Role, outcome: &Outcome, stream: &[u8], limits: Limits) {
        let limit = usize::try_from(limits.message).ok().filter(|limit| *limit < 1 << 32);
        let book = self.deflate.map(|(bits, takeover)| Book::new(bits, takeover, limit));
        let (expected, end) = match book {
            None => decode_with(role, limits, None, stream),
            Some(mut book) => {
                let mut inflate = |message: &[u8], last| book.read(message, last);
                decode_with(role, limits, Some(&mut inflate), stream)
            }
        };
        if end == End::Failed(UNKNOWN) {
            assert!(outcome.events.starts_with(&expected));
            return;
        }
        assert_eq!(outcome.events, expected, "{role:?}");
        let error = outcome.error;
        let code = error.map(|error| u16::from(error.close_code()));
        let (expected_code, transport) = match (end, role) {
            (End::Open, _) => (None, Transport::Open),
            (End::Closed, Role::Server) => (None, Transport::ShutDown), // §7.1.1
            (End::Closed, Role::Client) => (None, Transport::AwaitEof),
            (End::Failed(code), _) => (Some(code), Transport::ShutDown), // §7.1.7
        };
        assert_eq!(code, expected_code, "{role:?}: {error:?}");
        assert_eq!(outcome.transport, transport, "{role:?}");
        match (end, error, &outcome.closed, outcome.events.last()) {
            (End::Open, None, Closed::Abnormal, _) => {}
            (End::Failed(_), Some(error), Closed::Failed(same), _) => assert_eq!(error, *same),
            (End::Closed, None, Closed::Clean { initiator, frame }, Some(Seen::Close(came))) => {
                assert_eq!(*initiator == Side::Local, self.closing);
                let frame = frame.as_ref().map(|f| (u16::from(f.code()), f.reason().to_string()));
                assert_eq!(frame, *came);
            }
            unexpected => panic!("{role:?}: {unexpected:?}"),
        }
        let mut written = split(role, &outcome.written);
        if let (End::Failed(_), false, Some((0x88, body))) = (end, self.closing, written.last_mut())
        {
            body.truncate(2); // the reason is for people
        }
        assert_eq!(written, answers(&outcome.events, end, self.closing), "{role:?}");
    }
}

/// The event with its payload; of chunks the message, once the last one came.
fn seen(event: Event<'_>, unfinished: &mut Vec<u8>) -> Option<Seen> {
    let Event::Chunk(chunk) = event else { return Some(event.into()) };
    assert!(!chunk.is_first() || unfinished.is_empty(), "a second beginning");
    assert!(!chunk.is_empty() || chunk.is_last(), "a chunk of nothing");
    unfinished.extend_from_slice(chunk.as_bytes());
    if chunk.is_text() {
        // §8.1: at most a code point is open.
        let end = core::str::from_utf8(unfinished).err();
        assert!(end.is_none_or(|error| error.error_len().is_none() && !chunk.is_last()));
    }
    if !chunk.is_last() {
        return None;
    }
    let bytes = core::mem::take(unfinished);
    Some(
        match chunk.is_text() {
            true => Event::Message(Incoming::Text(String::from_utf8(bytes).expect("text").into())),
            false => Event::Message(Incoming::Binary(bytes.into())),
        }
        .into(),
    )
}

fn agreed((bits, takeover): (u8, bool)) -> DeflateParams {
    let takeover = match takeover {
        true => "",
        false => "; server_no_context_takeover; client_no_context_takeover",
    };
    let answer =
        format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}");
    let answer = (answer + takeover).parse().expect("an extension");
    let agreed = Deflate::default().receive_window_bits(15).agreed(&[answer]);
    agreed.expect("a good answer").expect("an answer")
}
