//! A client and a server, joined by a link that cuts what it carries where it likes, in a time
//! that passes only when told to.

use super::{BOTH, Random, Seen, connection, echo, other};
use core::time::Duration;
use fullduplex::{Config, Connection, Input, ProtocolError, Role, Time, TimeoutError, Transport};

pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) now: Time,
    random: Random,
}

/// One end, and all that came out of it.
pub(crate) struct End {
    pub(crate) connection: Connection,
    pub(crate) events: Vec<Seen>,
    /// Everything it wrote.
    pub(crate) written: Vec<u8>,
    pub(crate) error: Option<ProtocolError>,
    pub(crate) timeouts: Vec<TimeoutError>,
    /// Whether it sends messages back.
    pub(crate) echo: bool,
    /// Whether the network delivers nothing to it.
    pub(crate) deaf: bool,
    /// When it shut its write side down, counted over both ends.
    pub(crate) shut: Option<u32>,
    arriving: Vec<u8>,
    peer_shut: bool,
    eof: bool,
}

impl End {
    fn new(role: Role, config: &Config) -> Self {
        Self {
            connection: connection(role, config.clone()),
            events: Vec::new(),
            written: Vec::new(),
            error: None,
            timeouts: Vec::new(),
            echo: false,
            deaf: false,
            shut: None,
            arriving: Vec::new(),
            peer_shut: false,
            eof: false,
        }
    }

    /// Receives up to `size` bytes; whether there was anything.
    fn read(&mut self, size: usize) -> bool {
        if self.deaf {
            return false;
        }
        if self.arriving.is_empty() {
            let eof = self.peer_shut && !self.eof;
            if eof {
                self.eof = true;
                self.connection.handle_eof();
            }
            return eof;
        }
        let mut piece: Vec<u8> = self.arriving.drain(..size.min(self.arriving.len())).collect();
        let mut input = Input::new(&mut piece);
        loop {
            match self.connection.receive(&mut input) {
                Ok(Some(event)) => {
                    if self.echo {
                        echo(&mut self.connection, &event);
                    }
                    self.events.push(event.into());
                }
                Ok(None) => return true,
                Err(error) => {
                    assert!(self.error.is_none_or(|first| first == error));
                    self.error = Some(error);
                    return true;
                }
            }
        }
    }
}

impl Pair {
    pub(crate) fn new(client: &Config, server: &Config, seed: u64) -> Self {
        Self {
            client: End::new(Role::Client, client),
            server: End::new(Role::Server, server),
            now: Time::EPOCH,
            random: Random::new(seed),
        }
    }

    /// Moves bytes both ways, in pieces, until nothing moves. Time stands still.
    pub(crate) fn settle(&mut self) {
        for steps in 0.. {
            assert!(steps < 1_000_000, "it never comes to rest");
            let first = BOTH[self.random.below(2)];
            // Both take their turn, whatever the first one says.
            let moved = [first, other(first)].map(|role| self.turn(role));
            if moved == [false; 2] {
                return;
            }
        }
    }

    /// Lets `duration` pass, with all that happens in it.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let next = BOTH.iter().filter_map(|role| self.end(*role).connection.poll_timeout());
            match next.min() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    pub(crate) fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// What an adapter does: deadlines, write, shut down, read. Whether anything happened.
    fn turn(&mut self, role: Role) -> bool {
        let (now, write, read) = (self.now, self.random.size(5000), self.random.size(5000));
        let shut_already = self.client.shut.is_some() || self.server.shut.is_some();
        let end = self.end(role);
        let mut moved = end.read(read);

        if end.connection.poll_timeout().is_some_and(|at| at <= now) {
            moved = true;
            end.timeouts.extend(end.connection.handle_timeout(now).err());
        }

        let mut outbox = end.connection.outbox();
        let piece = outbox.chunk()[..write.min(outbox.chunk().len())].to_vec();
        assert!(outbox.is_empty() || !piece.is_empty());
        outbox.advance(piece.len());
        end.written.extend(&piece);
        moved |= !piece.is_empty();

        let shut = match end.connection.poll_transport() {
            Transport::ShutDown => {
                end.connection.handle_shutdown();
                true
            }
            Transport::Closed => end.shut.is_none(),
            _ => false,
        };
        if shut {
            end.shut = Some(u32::from(shut_already));
        }
        let peer = self.end(other(role));
        peer.arriving.extend(piece);
        peer.peer_shut |= shut;
        moved || shut
    }
}
