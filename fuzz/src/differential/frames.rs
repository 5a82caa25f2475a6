//! Frames: the same stream into both, byte by byte, so that it is known in which frame something
//! happens; and then whole and in pieces, which must not make a difference to either.

use super::{
    Comparison, Entry, answers, explain,
    scripted::Scripted,
    wire::{self, Fault, Frame, Limits},
};
use crate::{Counting, Plan};
use fullduplex::{
    CloseCode, CloseFrame, Closed, Config, Connection, Event, Input, ProtocolError,
    ProtocolErrorKind, ReceivedMessage, Transport,
    frame::{CloseFrameError, HeaderError},
};
use std::io::{self, Read, Write};
use tungstenite::{
    Bytes, Error, Message, WebSocket,
    error::{CapacityError, ProtocolError as TheirProtocolError},
    protocol::{self, WebSocketConfig, frame::coding},
};

/// Limits on messages and frames: those of the first pair are out of reach for small inputs.
const LIMITS: [(usize, usize); 4] = [(1 << 20, 1 << 18), (16, 1000), (200, 8), (100, 100)];

pub(super) const LIST: &[Entry<Case>] = &[
    Entry {
        id: "judged-when-whole",
        sections: "both allowed by §7.1.7, §8.1",
        // A length that is not the shortest would never be refused there.
        applies: |case| match case.ours {
            Outcome::Failed(Fault::LengthNotShortest | Fault::TooManyFragments) => false,
            Outcome::Failed(Fault::ControlTooLong) if case.frame.is_length_padded() => false,
            Outcome::Failed(fault) => case.faults.contains(&fault) && case.theirs == Outcome::Waits,
            _ => false,
        },
    },
    Entry {
        id: "order-of-checks",
        sections: "both allowed by §7.1.7",
        applies: |case| match (&case.ours, &case.theirs) {
            (Outcome::Failed(ours), Outcome::Failed(theirs)) => {
                *ours != Fault::LengthTopBit
                    && [ours, theirs].iter().all(|fault| case.faults.contains(fault))
            }
            _ => false,
        },
    },
    Entry {
        id: "length-not-shortest",
        sections: "§5.2",
        applies: |case| {
            let expected = match case.frame.is_control() {
                true => Fault::ControlTooLong,
                false => Fault::LengthNotShortest,
            };
            case.frame.is_length_padded()
                && case.ours == Outcome::Failed(expected)
                && !matches!(case.theirs, Outcome::Failed(_))
        },
    },
    Entry {
        id: "length-top-bit",
        sections: "§5.2",
        applies: |case| {
            case.ours == Outcome::Failed(Fault::LengthTopBit)
                && matches!(case.theirs, Outcome::Failed(Fault::TooBig { size, .. })
                    if size > i64::MAX as u64)
        },
    },
    Entry {
        id: "frame-limit-on-control-frames",
        sections: "both allowed by §10.4",
        applies: |case| {
            let size = case.frame.length.unwrap_or(0);
            case.frame.is_control()
                && size <= 125
                && !matches!(case.ours, Outcome::Failed(_))
                && !case.after_close
                && case.theirs == Outcome::Failed(Fault::TooBig { size, limit: case.frame_limit })
        },
    },
    Entry {
        id: "fragments-not-counted",
        sections: "both allowed by §10.4",
        applies: |case| {
            case.ours == Outcome::Failed(Fault::TooManyFragments)
                && !matches!(case.theirs, Outcome::Failed(_))
        },
    },
    Entry {
        id: "illegal-close-code",
        sections: "§7.4.1, §7.4.2",
        applies: |case| {
            case.ours == Outcome::Failed(Fault::CloseCode)
                && case.theirs == Outcome::Event(replaced_close())
                && !case.closed_first
        },
    },
    Entry {
        id: "illegal-close-code-in-answer",
        sections: "§7.4.1, §7.4.2",
        applies: |case| match (&case.theirs, case.frame.close_code()) {
            (Outcome::Event(Item::Close(Some((code, _)))), Some((sent, false))) => {
                case.ours == Outcome::Failed(Fault::CloseCode) && *code == sent && case.closed_first
            }
            _ => false,
        },
    },
    Entry {
        id: "close-code-1014",
        sections: "§7.4.2, §11.7",
        applies: |case| {
            matches!(case.ours, Outcome::Event(Item::Close(Some((1014, _)))))
                && case.theirs == Outcome::Event(replaced_close())
                && !case.closed_first
        },
    },
    Entry {
        id: "frames-behind-close",
        sections: "§1.4, §5.5.1",
        applies: |case| {
            case.after_close
                && matches!(case.ours, Outcome::Nothing | Outcome::Waits)
                && match case.theirs {
                    Outcome::Failed(Fault::AfterClose) => true,
                    // Looked for while a frame is read.
                    Outcome::Failed(
                        fault @ (Fault::Opcode | Fault::Unmasked | Fault::TooBig { .. }),
                    ) => case.faults.contains(&fault),
                    _ => false,
                }
        },
    },
];

/// What tungstenite makes of a Close whose code it does not know.
fn replaced_close() -> Item {
    Item::Close(Some((1002, "Protocol violation".into())))
}

/// Where the two part.
#[derive(Debug)]
pub(super) struct Case {
    frame: Frame,
    /// The rules that the frame breaks.
    faults: Vec<Fault>,
    frame_limit: u64,
    closed_first: bool,
    after_close: bool,
    ours: Outcome,
    theirs: Outcome,
}

/// What one of them made of a frame.
#[derive(Debug, PartialEq)]
enum Outcome {
    Event(Item),
    /// It was taken, and nothing came out.
    Nothing,
    /// It is not complete, and nothing was said about it.
    Waits,
    Failed(Fault),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Clean,
    Abnormal,
    Failed(Fault),
}

pub(super) struct Setup {
    pub(super) limits: Limits,
    /// A Close was sent before anything came.
    pub(super) closed_first: Option<Option<(u16, &'static str)>>,
    /// Nothing can be written until everything was read.
    pub(super) stalled: bool,
}

impl Setup {
    /// Options: `0x0c` the limits, `0x10` at most three fragments, `0x20` and `0x40` a Close first,
    /// without and with a code, `0x80` nothing can be written.
    fn new(options: u8) -> Self {
        let (message, frame) = LIMITS[usize::from(options >> 2 & 3)];
        Self {
            limits: Limits {
                client: options & 1 != 0,
                message: message as u64,
                frame: frame as u64,
                fragments: if options & 0x10 != 0 { 3 } else { 10_000 },
            },
            closed_first: match options & 0x60 {
                0 => None,
                0x20 => Some(None),
                _ => Some(Some((1000, "bye"))),
            },
            stalled: options & 0x80 != 0,
        }
    }
}

/// What one of them did.
#[derive(Debug)]
pub(super) struct Run {
    /// Each with how many bytes had come then.
    events: Vec<(usize, Item)>,
    end: End,
    /// How many bytes had come when it failed.
    end_at: usize,
    /// Where the frame starts that was wrong, if it is told.
    offset: Option<usize>,
    pub(super) written: Vec<u8>,
}

impl Run {
    /// All that must not depend on pieces.
    fn seen(&self) -> (Vec<&Item>, End, &[u8]) {
        (self.events.iter().map(|(_, item)| item).collect(), self.end, &self.written)
    }

    /// The frame in which something comes behind the first `common` events.
    fn next_frame(&self, common: usize, frames: &[Frame]) -> Option<usize> {
        match (self.events.get(common), self.end, self.offset) {
            (Some((at, _)), ..) => frames.iter().position(|frame| frame.end == *at),
            (None, End::Failed(_), Some(offset)) => {
                frames.iter().position(|frame| frame.start == offset)
            }
            (None, End::Failed(_), None) => {
                frames.iter().position(|frame| (frame.start + 1..=frame.end).contains(&self.end_at))
            }
            (None, ..) => None,
        }
    }

    /// What became of frame `index`, in which the next thing comes or none.
    fn outcome(&self, common: usize, frames: &[Frame], index: usize) -> Outcome {
        if self.next_frame(common, frames) == Some(index) {
            return match (self.events.get(common), self.end) {
                (Some((_, item)), _) => Outcome::Event(item.clone()),
                (None, End::Failed(fault)) => Outcome::Failed(fault),
                (None, _) => Outcome::Nothing,
            };
        }
        if frames[index].complete { Outcome::Nothing } else { Outcome::Waits }
    }
}

pub(super) fn compare(plan: &Plan<'_>) -> Comparison {
    let setup = Setup::new(plan.options);
    let bytes = || plan.stream.iter().map(|&byte| vec![byte]).collect();
    let (ours, theirs) = (run_ours(&setup, bytes()), run_theirs(&setup, bytes()));
    for pieces in [plan.whole(), plan.pieces()] {
        let again = run_ours(&setup, pieces.clone());
        assert_eq!(again.seen().0, ours.seen().0, "pieces matter to us");
        assert_eq!(again.end, ours.end, "pieces matter to us");
        // The keys of a client differ with how often it was asked to write.
        assert_eq!(
            answers::written(&again.written, &setup),
            answers::written(&ours.written, &setup)
        );
        let again = run_theirs(&setup, pieces);
        assert_eq!(again.seen().0, theirs.seen().0, "pieces matter to tungstenite");
        assert_eq!(again.end, theirs.end, "pieces matter to tungstenite");
        assert_eq!(
            answers::written(&again.written, &setup),
            answers::written(&theirs.written, &setup)
        );
    }

    let accepted = !matches!(ours.end, End::Failed(_));
    let mut comparison = Comparison { accepted, differences: Vec::new() };
    let frames = wire::frames(plan.stream);
    let common = ours.events.iter().zip(&theirs.events).take_while(|(a, b)| a == b).count();
    let items: Vec<Item> = ours.events[..common].iter().map(|(_, item)| item.clone()).collect();
    let next = [&ours, &theirs].map(|run| run.next_frame(common, &frames));
    let index = next.into_iter().flatten().min();
    let Some(index) = index else {
        assert_eq!(ours.end, theirs.end, "the ends differ");
        answers::compare(&setup, &items, None, &ours, &theirs, &mut comparison);
        return comparison;
    };
    let [ours_here, theirs_here] = [&ours, &theirs].map(|run| run.outcome(common, &frames, index));
    if let (Outcome::Failed(fault), true) = (&ours_here, ours_here == theirs_here) {
        answers::compare(&setup, &items, Some(*fault), &ours, &theirs, &mut comparison);
        return comparison;
    }
    answers::compare_fronts(&setup, &items, &ours, &theirs, &mut comparison);
    let case = Case {
        faults: wire::faults(&frames[..=index], &setup.limits),
        frame: frames.into_iter().nth(index).expect("it was found there"),
        frame_limit: setup.limits.frame,
        closed_first: setup.closed_first.is_some(),
        after_close: matches!(items.last(), Some(Item::Close(_))),
        ours: ours_here,
        theirs: theirs_here,
    };
    comparison.add(explain(LIST, &case));
    comparison
}

fn run_ours(setup: &Setup, pieces: Vec<Vec<u8>>) -> Run {
    let Limits { client, message, frame, fragments } = setup.limits;
    let config = Config::default()
        .max_message_size(message as usize)
        .max_frame_size(frame as usize)
        .max_fragments(fragments as u32);
    let mut connection = match client {
        true => Connection::client_with_keys(config, Counting(0)),
        false => Connection::server(config),
    };
    if let Some(close) = setup.closed_first {
        let frame = |(code, reason)| {
            CloseFrame::new(CloseCode::new(code).expect("a legal code"), reason).expect("short")
        };
        connection.start_close(close.map(frame)).expect("short");
    }
    let (mut events, mut written) = (Vec::new(), Vec::new());
    let (mut taken, mut failed_at) = (0, None);
    for mut piece in pieces {
        taken += piece.len();
        let mut input = Input::new(&mut piece);
        loop {
            let event = match connection.receive(&mut input) {
                Ok(event) => event.map(item),
                Err(_) => {
                    failed_at.get_or_insert(taken);
                    None
                }
            };
            if !setup.stalled {
                drain(&mut connection, &mut written);
            }
            let Some(event) = event else { break };
            events.push((taken, event));
        }
    }
    drain(&mut connection, &mut written);
    if connection.poll_transport() == Transport::ShutDown {
        connection.handle_shutdown();
    }
    connection.handle_eof();
    let (end, offset) = match connection.closed().expect("the transport ended") {
        Closed::Clean { .. } => (End::Clean, None),
        Closed::Abnormal => (End::Abnormal, None),
        Closed::Failed(error) => (End::Failed(fault(error)), Some(error.offset() as usize)),
        other => panic!("{other:?}"),
    };
    Run { events, end, end_at: failed_at.unwrap_or(taken), offset, written }
}

fn drain(connection: &mut Connection, written: &mut Vec<u8>) {
    let mut outbox = connection.outbox();
    while !outbox.is_empty() {
        let chunk = outbox.chunk();
        let length = chunk.len();
        assert!(length > 0, "nothing to write, and not empty");
        written.extend_from_slice(chunk);
        outbox.advance(length);
    }
}

fn item(event: Event<'_>) -> Item {
    match event {
        Event::Message(ReceivedMessage::Text(text)) => Item::Text(text.into_owned()),
        Event::Message(ReceivedMessage::Binary(bytes)) => Item::Binary(bytes.into_owned()),
        Event::Ping(payload) => Item::Ping(payload.into_owned()),
        Event::Pong(payload) => Item::Pong(payload.into_owned()),
        Event::Close(frame) => {
            Item::Close(frame.map(|frame| (frame.code().into(), frame.reason().to_string())))
        }
        other => panic!("{other:?}"),
    }
}

fn fault(error: &ProtocolError) -> Fault {
    use ProtocolErrorKind as Kind;
    match error.kind() {
        Kind::Header(HeaderError::ReservedOpCode(_)) => Fault::Opcode,
        Kind::Header(HeaderError::FragmentedControl(_)) => Fault::FragmentedControl,
        Kind::Header(HeaderError::ControlTooLong(_)) => Fault::ControlTooLong,
        Kind::Header(HeaderError::LengthTopBit(_)) => Fault::LengthTopBit,
        Kind::Header(HeaderError::NonMinimalLength(_)) => Fault::LengthNotShortest,
        Kind::ReservedBits(_) => Fault::Reserved,
        Kind::Unmasked(_) => Fault::Unmasked,
        Kind::Masked(_) => Fault::Masked,
        Kind::NothingToContinue => Fault::NothingToContinue,
        Kind::MessageInsideMessage(_) => Fault::MessageInside,
        Kind::Header(HeaderError::HalfCloseCode) => Fault::CloseTruncated,
        Kind::CloseFrame(CloseFrameError::Code(_)) => Fault::CloseCode,
        Kind::CloseFrame(CloseFrameError::Reason(_)) | Kind::InvalidUtf8 => Fault::Utf8,
        Kind::FrameTooBig { size, limit } | Kind::MessageTooBig { size, limit } => {
            Fault::TooBig { size, limit }
        }
        Kind::TooManyFragments { .. } => Fault::TooManyFragments,
        other => panic!("{other:?}"),
    }
}

/// The limits of `setup`, and room for reads of `longest` bytes.
fn their_config(setup: &Setup, longest: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(setup.limits.message as usize))
        .max_frame_size(Some(setup.limits.frame as usize))
        .read_buffer_size(longest)
}

fn run_theirs(setup: &Setup, pieces: Vec<Vec<u8>>) -> Run {
    let config = their_config(setup, pieces.iter().map(Vec::len).max().unwrap_or(0));
    let role = if setup.limits.client { protocol::Role::Client } else { protocol::Role::Server };
    let stream = Scripted::new(pieces, setup.stalled);
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    if let Some(close) = setup.closed_first {
        let frame = |(code, reason): (u16, &'static str)| protocol::CloseFrame {
            code: coding::CloseCode::from(code),
            reason: reason.into(),
        };
        match socket.close(close.map(frame)) {
            Ok(()) => {}
            Err(error) => assert!(setup.stalled && would_block(&error), "{error:?}"),
        }
    }
    let (events, end) = read_all(&mut socket, |stream| stream.taken);
    let end_at = socket.get_ref().taken;
    socket.get_mut().stalled = false;
    match socket.flush() {
        Ok(()) | Err(Error::ConnectionClosed) => {}
        Err(error) => panic!("{error:?}"),
    }
    let written = socket.into_inner().written;
    Run { events, end, end_at, offset: None, written }
}

/// Reads up to the end, noting how much was taken from the stream for each.
fn read_all<S: Read + Write>(
    socket: &mut WebSocket<S>,
    taken: impl Fn(&S) -> usize,
) -> (Vec<(usize, Item)>, End) {
    let mut events = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(message) => events.push((taken(socket.get_ref()), their_item(message))),
            Err(error) if would_block(&error) => {}
            Err(Error::ConnectionClosed) => break End::Clean,
            Err(Error::Protocol(TheirProtocolError::ResetWithoutClosingHandshake)) => {
                break End::Abnormal;
            }
            Err(error) => break End::Failed(their_fault(&error)),
        }
    };
    (events, end)
}

/// The configuration under which [`compare_behind`] reads.
pub(super) fn config_behind() -> WebSocketConfig {
    their_config(&Setup::new(0), 4096)
}

/// What tungstenite reads behind a head has to be what it makes of the bytes that this crate left
/// there: neither took a byte of the other's frames for HTTP, or the other way round.
pub(super) fn compare_behind<S: Read + Write>(
    client: bool,
    rest: Vec<u8>,
    mut socket: WebSocket<S>,
) {
    let (events, end) = read_all(&mut socket, |_| 0);
    let expected = run_theirs(&Setup::new(client.into()), vec![rest]);
    assert!(
        events.iter().map(|(_, item)| item).eq(expected.seen().0),
        "other frames behind the head"
    );
    assert_eq!(end, expected.end, "another end behind the head");
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn their_item(message: Message) -> Item {
    let bytes = |payload: Bytes| payload.to_vec();
    match message {
        Message::Text(text) => Item::Text(text.to_string()),
        Message::Binary(payload) => Item::Binary(bytes(payload)),
        Message::Ping(payload) => Item::Ping(bytes(payload)),
        Message::Pong(payload) => Item::Pong(bytes(payload)),
        Message::Close(frame) => {
            Item::Close(frame.map(|frame| (frame.code.into(), frame.reason.to_string())))
        }
        Message::Frame(frame) => panic!("{frame:?}"),
    }
}

fn their_fault(error: &Error) -> Fault {
    use TheirProtocolError as Kind;
    match error {
        Error::Protocol(Kind::InvalidOpcode(_)) => Fault::Opcode,
        Error::Protocol(Kind::NonZeroReservedBits) => Fault::Reserved,
        Error::Protocol(Kind::UnmaskedFrameFromClient) => Fault::Unmasked,
        Error::Protocol(Kind::MaskedFrameFromServer) => Fault::Masked,
        Error::Protocol(Kind::FragmentedControlFrame) => Fault::FragmentedControl,
        Error::Protocol(Kind::ControlFrameTooBig) => Fault::ControlTooLong,
        Error::Protocol(Kind::UnexpectedContinueFrame) => Fault::NothingToContinue,
        Error::Protocol(Kind::ExpectedFragment(_)) => Fault::MessageInside,
        Error::Protocol(Kind::InvalidCloseSequence) => Fault::CloseTruncated,
        Error::Protocol(Kind::ReceivedAfterClosing) => Fault::AfterClose,
        Error::Utf8(_) => Fault::Utf8,
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            Fault::TooBig { size: *size as u64, limit: *max_size as u64 }
        }
        other => panic!("{other:?}"),
    }
}
