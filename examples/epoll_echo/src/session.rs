//! One client as the servers see it, without its socket: the opening handshake, then a connection
//! that echoes. Bytes go in, bytes come out.

use fullduplex::{
    Config, Connection, Event, Input, Keepalive, Time, Transport,
    handshake::{Acceptor, HeadLimits, Rejection, ServerHandshake},
};
use std::{mem, sync::Arc, time::Duration};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client that was refused may take to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What all sessions share.
pub struct Rules {
    acceptor: Acceptor,
    config: Arc<Config>,
}

impl Default for Rules {
    fn default() -> Self {
        let config = Config::default().keepalive(Keepalive::default());
        Self { acceptor: Acceptor::new(), config: Arc::new(config) }
    }
}

pub struct Session {
    stage: Stage,
    /// What is left to be written of the response to the request.
    answer: Vec<u8>,
    /// What came while the outbox was over its mark.
    held: Vec<u8>,
    /// Whether the end came behind that.
    held_eof: bool,
}

/// A deadline is unknown until the first [`Session::tick`].
#[expect(clippy::large_enum_variant, reason = "nearly all are open")]
enum Stage {
    Opening { handshake: ServerHandshake, deadline: Option<Time> },
    Open(Connection),
    Refused { shut_down: bool, deadline: Option<Time> },
    Closed,
}

impl Session {
    pub fn new() -> Self {
        let handshake = ServerHandshake::new(HeadLimits::default());
        let stage = Stage::Opening { handshake, deadline: None };
        Self { stage, answer: Vec::new(), held: Vec::new(), held_eof: false }
    }

    /// Takes what came from the socket. Answers go into `spare`, if it is of use.
    #[inline]
    pub fn receive(&mut self, received: &mut [u8], spare: &mut Vec<u8>, rules: &Rules) {
        if !self.held.is_empty() {
            return self.held.extend_from_slice(received);
        }
        let mut input = Input::new(received);
        if !matches!(self.stage, Stage::Open(_)) {
            self.open(&mut input, rules);
        }
        let Stage::Open(connection) = &mut self.stage else { return };
        if connection.outbox().has_no_storage() {
            connection.outbox().lend(mem::take(spare));
        }
        while !input.is_empty() {
            if is_full(connection) {
                self.held = input.as_bytes().to_vec();
                return;
            }
            // An error shows in how the connection ends; what follows it is discarded.
            if let Ok(Some(Event::Message(message))) = connection.receive(&mut input) {
                // Refused only if the connection is closing: then nobody wants it.
                let _ = connection.feed(message);
            }
        }
    }

    #[cold]
    fn open(&mut self, input: &mut Input<'_>, rules: &Rules) {
        let Stage::Opening { handshake, .. } = &mut self.stage else { return };
        let request = match handshake.receive(input) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(rejection) => return self.refuse(&rejection),
        };
        let acceptance = match rules.acceptor.answer(&request) {
            Ok(acceptance) => acceptance,
            Err(rejection) => return self.refuse(&rejection),
        };
        match request.accept(&acceptance).map(|response| response.to_bytes()) {
            Ok(Ok(answer)) => self.answer = answer,
            _ => return self.stage = Stage::Closed,
        }
        self.stage = Stage::Open(Connection::server(rules.config.clone()));
    }

    fn refuse(&mut self, rejection: &Rejection) {
        self.stage = match rejection.response().to_bytes() {
            Ok(answer) if !rejection.is_eof() => {
                self.answer = answer;
                Stage::Refused { shut_down: false, deadline: None }
            }
            _ => Stage::Closed,
        };
    }

    /// Whether [`resume`](Self::resume) would get anywhere.
    #[inline]
    pub fn can_resume(&self) -> bool {
        !self.held.is_empty() && !matches!(&self.stage, Stage::Open(open) if is_full(open))
    }

    /// Goes on with what was held back.
    #[cold]
    pub fn resume(&mut self, spare: &mut Vec<u8>, rules: &Rules) {
        let mut held = mem::take(&mut self.held);
        self.receive(&mut held, spare, rules);
        if self.held.is_empty() && self.held_eof {
            self.receive_eof();
        }
    }

    pub fn receive_eof(&mut self) {
        self.held_eof = !self.held.is_empty();
        match &mut self.stage {
            _ if self.held_eof => {}
            Stage::Open(connection) => connection.receive_eof(),
            _ => self.stage = Stage::Closed,
        }
    }

    pub fn read_failed(&mut self) {
        match &mut self.stage {
            Stage::Open(connection) => connection.transport_failed(),
            _ => self.stage = Stage::Closed,
        }
    }

    pub fn write_failed(&mut self) {
        self.answer = Vec::new();
        match &mut self.stage {
            Stage::Open(connection) => connection.write_failed(),
            _ => self.stage = Stage::Closed,
        }
    }

    /// Whether to read from the socket.
    #[inline]
    pub fn takes_input(&self) -> bool {
        match &self.stage {
            Stage::Open(connection) => self.held.is_empty() && !is_full(connection),
            Stage::Closed => false,
            _ => true,
        }
    }

    /// What is to be written, or the first part of it.
    #[inline]
    pub fn unsent(&mut self) -> &[u8] {
        match &mut self.stage {
            Stage::Open(connection) if self.answer.is_empty() => {
                connection.outbox().into_chunk()
            }
            _ => &self.answer,
        }
    }

    /// The first `count` bytes of that are written. Once all are, the outbox gives its storage
    /// back to `spare`.
    #[inline]
    pub fn written(&mut self, count: usize, spare: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(connection) if self.answer.is_empty() => {
                connection.outbox().advance(count);
            }
            _ => {
                self.answer.drain(..count);
                self.answer.shrink_to_fit();
            }
        }
        self.reclaim(spare);
    }

    #[inline]
    pub fn reclaim(&mut self, spare: &mut Vec<u8>) {
        if let Stage::Open(connection) = &mut self.stage
            && let Some(storage) = connection.outbox().reclaim()
        {
            *spare = storage;
        }
    }

    /// What to do with the socket.
    #[inline]
    pub fn transport(&mut self) -> Transport {
        match &mut self.stage {
            _ if !self.answer.is_empty() => Transport::Open,
            Stage::Open(connection) => connection.transport(),
            Stage::Opening { .. } => Transport::Open,
            Stage::Refused { shut_down: false, .. } => Transport::ShutDown,
            Stage::Refused { .. } => Transport::AwaitEof,
            Stage::Closed => Transport::Closed,
        }
    }

    pub fn shutdown_complete(&mut self) {
        match &mut self.stage {
            Stage::Open(connection) => connection.shutdown_complete(),
            Stage::Refused { shut_down, .. } => *shut_down = true,
            _ => {}
        }
    }

    /// To be called from time to time: whether something was due.
    pub fn tick(&mut self, now: Time) -> bool {
        match &mut self.stage {
            Stage::Open(connection) => {
                let due = connection.poll_timeout().is_some_and(|deadline| deadline <= now);
                if due {
                    // A client that is given up shows in what to do with the socket.
                    let _ = connection.handle_timeout(now);
                }
                due
            }
            Stage::Opening { handshake, deadline } => {
                let due = now >= *deadline.get_or_insert(now + HANDSHAKE_TIMEOUT);
                if due {
                    let rejection = handshake.timed_out();
                    self.refuse(&rejection);
                }
                due
            }
            Stage::Refused { deadline, .. } => {
                let due = now >= *deadline.get_or_insert(now + REFUSAL_TIMEOUT);
                if due {
                    self.answer = Vec::new();
                    self.stage = Stage::Closed;
                }
                due
            }
            Stage::Closed => false,
        }
    }
}

/// Whether nothing is to be received because its answer would not be accepted.
#[inline]
fn is_full(connection: &Connection) -> bool {
    connection.is_open() && !connection.is_ready()
}
