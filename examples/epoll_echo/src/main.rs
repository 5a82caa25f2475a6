//! Echoes every message, on epoll, in one thread: the core driven by hand.
//!
//! `epoll_echo [--addr HOST:PORT]`
//!
//! All connections share one buffer for reading and lend one to their outboxes, so that an idle
//! one holds none.

mod session;

use fullduplex::{Time, Transport};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use session::{Rules, Session};
use std::{
    env,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, ToSocketAddrs},
    time::{Duration, Instant},
};

const LISTENER: Token = Token(usize::MAX);
const READ_BUFFER: usize = 64 * 1024;
/// More clients than this wait in the listener's backlog.
const MAX_CLIENTS: usize = 20_000;
/// How exactly deadlines are kept.
const TICK: Duration = Duration::from_millis(250);
/// Reads in a row for one client before the others have their turn.
const READS: usize = 16;

fn main() -> Result<(), String> {
    let addr = address()?;
    let cannot_listen = |error: io::Error| format!("cannot listen on {addr}: {error}");
    let mut server = Server::listen(&addr).map_err(cannot_listen)?;
    println!("listening on ws://{}", server.listener.local_addr().map_err(cannot_listen)?);
    server.run().map_err(|error| error.to_string())
}

fn address() -> Result<String, String> {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok("127.0.0.1:9001".to_string()),
        (Some("--addr"), Some(addr)) => Ok(addr),
        _ => Err("usage: epoll_echo [--addr HOST:PORT]".to_string()),
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// Whether clients may wait to be accepted.
    waiting: bool,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    shared: Shared,
}

/// What the clients share.
struct Shared {
    input: Vec<u8>,
    /// Storage for the next outbox.
    spare: Vec<u8>,
    rules: Rules,
}

struct Client {
    stream: TcpStream,
    session: Session,
    /// Whether reading may give something, and so for writing. Events are edges: each is told once.
    readable: bool,
    writable: bool,
    /// Whether the end is there, behind a read that is not full.
    ended: bool,
}

#[derive(PartialEq, Eq)]
enum Turn {
    /// Nothing to do until an event.
    Wait,
    /// There is more to do, after the others.
    Again,
    Over,
}

impl Server {
    fn listen(addr: &str) -> io::Result<Self> {
        let addr = addr.to_socket_addrs()?.next().ok_or(ErrorKind::AddrNotAvailable)?;
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(addr)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let input = vec![0; READ_BUFFER];
        let shared = Shared { input, spare: Vec::new(), rules: Rules::default() };
        let (clients, free) = (Vec::new(), Vec::new());
        Ok(Self { poll, listener, waiting: false, clients, free, shared })
    }

    #[inline(never)]
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let (mut again, mut turns) = (Vec::new(), Vec::new());
        let start = Instant::now();
        let mut next_tick = TICK;
        loop {
            let timeout = match again.is_empty() {
                true => next_tick.saturating_sub(start.elapsed()),
                false => Duration::ZERO,
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.waiting = true;
                    self.accept();
                    continue;
                }
                let Some(Some(client)) = self.clients.get_mut(event.token().0) else { continue };
                client.readable |= event.is_readable();
                client.writable |= event.is_writable();
                client.ended |= event.is_read_closed() || event.is_error();
                self.drive(event.token().0, &mut again);
            }
            std::mem::swap(&mut again, &mut turns);
            for slot in turns.drain(..) {
                self.drive(slot, &mut again);
            }
            // The clock is read when nothing came, or once for many events.
            let elapsed = start.elapsed();
            if elapsed >= next_tick {
                next_tick = elapsed + TICK;
                self.tick(Time::since_epoch(elapsed), &mut again);
            }
        }
    }

    fn accept(&mut self) {
        while self.waiting && self.clients.len() - self.free.len() < MAX_CLIENTS {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return self.waiting = false,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                    // No descriptors left, perhaps: serve the others until the next tick.
                    _ => return eprintln!("cannot accept: {error}"),
                },
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = stream
                .set_nodelay(true)
                .and_then(|()| self.poll.registry().register(&mut stream, Token(slot), interest));
            if registered.is_err() {
                self.free.push(slot);
                continue;
            }
            let session = Session::new();
            let client = Client { stream, session, readable: false, writable: true, ended: false };
            self.clients[slot] = Some(client);
        }
    }

    /// Does what can be done for a client now.
    fn drive(&mut self, slot: usize, again: &mut Vec<usize>) {
        let Some(client) = &mut self.clients[slot] else { return };
        match client.drive(&mut self.shared) {
            Turn::Wait => {}
            Turn::Again => again.push(slot),
            Turn::Over => {
                self.clients[slot] = None; // closes the socket, which deregisters it
                self.free.push(slot);
            }
        }
    }

    fn tick(&mut self, now: Time, again: &mut Vec<usize>) {
        for slot in 0..self.clients.len() {
            if self.clients[slot].as_mut().is_some_and(|client| client.session.tick(now)) {
                self.drive(slot, again);
            }
        }
        self.accept();
    }
}

impl Client {
    fn drive(&mut self, shared: &mut Shared) -> Turn {
        let Shared { input, spare, rules } = shared;
        let mut reads = 0;
        loop {
            if self.session.can_resume() {
                self.session.resume(spare, rules);
            }
            self.write(spare);
            if self.session.can_resume() {
                continue;
            }
            match self.session.poll_transport() {
                Transport::Closed => return Turn::Over,
                Transport::ShutDown => {
                    match self.stream.shutdown(Shutdown::Write) {
                        Ok(()) => self.session.handle_shutdown(),
                        Err(_) => self.session.read_failed(),
                    }
                    continue;
                }
                Transport::WriteOnly => return Turn::Wait,
                _ => {}
            }
            if !self.readable || !self.session.takes_input() {
                return Turn::Wait;
            }
            if reads == READS {
                return Turn::Again;
            }
            reads += 1;
            match self.stream.read(input) {
                Ok(0) => {
                    self.readable = false;
                    self.session.handle_eof();
                }
                Ok(count) => {
                    // A short read has emptied the socket. Only an end that was announced
                    // together with these bytes is not told again.
                    self.readable = count == input.len() || self.ended;
                    self.session.receive(&mut input[..count], spare, rules);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.readable = false;
                    self.session.read_failed();
                }
            }
        }
    }

    /// Writes what is queued, as far as the socket takes it.
    fn write(&mut self, spare: &mut Vec<u8>) {
        while self.writable {
            let unsent = self.session.unsent();
            if unsent.is_empty() {
                break;
            }
            match self.stream.write(unsent) {
                Ok(count) => self.session.written(count, spare),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.session.handle_write_failed(),
            }
        }
        self.session.reclaim(spare);
    }
}
