//! A stream of frames in one piece against the same stream in many.

use crate::{Counting, Plan};
use bytes::Buf;
use fullduplex::{
    Closed, Config, Connection, Event, Incoming, Input, ProtocolError, Role, Transport,
};

/// The limits under which the stream is received: small, so that a small stream reaches them.
const MESSAGES: [usize; 4] = [0, 16, 200, 100_000];
const FRAMES: [usize; 4] = [0, 8, 150, 70_000];
const FRAGMENTS: [u32; 2] = [3, 40];

/// `data` is a [`Plan`] and what the peer sends, to a server and to a client. Options: `0x03`,
/// `0x0c`, `0x10` choose the limits on message, frame and fragments, `0x20` sends a Close first.
pub fn receive_chunked(data: &[u8]) -> bool {
    let Some(plan) = Plan::new(data) else { return false };
    let mut accepted = false;
    for role in [Role::Server, Role::Client] {
        let whole = run(role, plan.options, plan.whole());
        let pieces = run(role, plan.options, plan.pieces());
        assert_eq!(whole, pieces, "{role:?}, sizes {:?}", plan.sizes);
        accepted |= whole.error.is_none();
    }
    accepted
}

/// All that can be seen of a connection from outside.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Event<'static>>,
    error: Option<ProtocolError>,
    written: Vec<u8>,
    transport: Transport,
    closed: Closed,
}

fn run(role: Role, options: u8, pieces: Vec<Vec<u8>>) -> Seen {
    let message = MESSAGES[usize::from(options & 3)];
    let frame = FRAMES[usize::from(options >> 2 & 3)];
    let fragments = FRAGMENTS[usize::from(options >> 4 & 1)];
    let config =
        Config::default().max_message_size(message).max_frame_size(frame).max_fragments(fragments);
    let mut connection = match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_keys(config, Counting(0)),
    };
    if options & 0x20 != 0 {
        connection.close(None);
    }
    let (mut events, mut error) = (Vec::new(), None);
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        loop {
            let before = input.len();
            match connection.receive(&mut input) {
                Ok(Some(event)) => {
                    assert!(input.len() < before, "an event out of nothing: {event:?}");
                    assert_eq!(error, None, "{event:?} after the error");
                    let closed = matches!(events.last(), Some(Event::Close(_)));
                    assert!(!closed, "{event:?} after the Close");
                    check_size(&event, message);
                    events.push(event.into_owned());
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
    let outbox = connection.outbox();
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
    let closed = connection.closed().expect("the transport ended").clone();
    Seen { events, error, written, transport, closed }
}

fn check_size(event: &Event<'_>, max_message: usize) {
    match event {
        Event::Message(Incoming::Text(text)) => assert!(text.len() <= max_message),
        Event::Message(Incoming::Binary(bytes)) => assert!(bytes.len() <= max_message),
        Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
        _ => {}
    }
}
