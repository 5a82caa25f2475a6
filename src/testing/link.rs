//! Two connections of the core without a stream between them.

use crate::{Connection, Event, Input, Role, Time, Transport};
use alloc::vec::Vec;
use core::{mem, time::Duration};

/// After how many steps [`Link::settle`] panics.
const MAX_STEPS: u32 = 100_000;

/// Joins a client and a server of the core, for tests of code that drives a [`Connection`] by hand.
/// Time passes only when you let it.
///
/// Send, close and look at both ends as you like; nothing moves until [`settle`](Self::settle) or
/// [`pass`](Self::pass).
///
/// ```
/// use core::time::Duration;
/// use fullduplex::{Config, Connection, Event, Keepalive, Role, TimeoutError, testing::Link};
///
/// let config = Config::default().keepalive(Keepalive::default());
/// let (client, server) = (Connection::client(config.clone()), Connection::server(config));
/// let mut link = Link::new(client, server);
/// let mut echoed = Vec::new();
/// link.client.feed("hello")?;
/// link.settle(|event, connection| match (event, connection.role()) {
///     (Event::Message(message), Role::Server) => connection.feed(message).unwrap(),
///     (Event::Message(message), Role::Client) => echoed.push(message.into_owned()),
///     _ => {}
/// });
/// assert_eq!(echoed, ["hello"]);
///
/// // Nothing arrives at the server any more: both give up.
/// link.lose(Role::Client);
/// link.pass(Duration::from_secs(60), |_, _| {});
/// assert_eq!(link.server.closed().unwrap().code(), 1006);
/// # Ok::<(), fullduplex::SendError>(())
/// ```
#[derive(Debug)]
pub struct Link {
    /// The client's end.
    pub client: Connection,
    /// The server's end.
    pub server: Connection,
    now: Time,
    /// The line from the client and the one from the server.
    lines: [Wire; 2],
}

#[derive(Debug, Default)]
struct Wire {
    /// Whether its end was seen at the other side.
    ended: bool,
    /// Whether everything on it is lost.
    broken: bool,
}

impl Link {
    /// Joins two ends whose opening handshake is done. The time is [`Time::EPOCH`].
    pub fn new(client: Connection, server: Connection) -> Self {
        Self { client, server, now: Time::EPOCH, lines: Default::default() }
    }

    /// The time for both ends.
    pub fn now(&self) -> Time {
        self.now
    }

    /// From now on loses all that this end writes, and the end of its stream, like a network that
    /// fails without a word.
    pub fn lose(&mut self, from: Role) {
        self.lines[from as usize].broken = true;
    }

    /// Moves bytes both ways until nothing moves; time stands still. `on_event` gets each event
    /// with the connection that received it, and may answer. [`Connection::closed`] tells how a
    /// connection ended, mistakes and timeouts included.
    ///
    /// # Panics
    /// If the ends never come to rest because they answer each other's answers.
    pub fn settle(&mut self, mut on_event: impl FnMut(Event<'_>, &mut Connection)) {
        for _ in 0..MAX_STEPS {
            let due = |end: &Connection| end.poll_timeout().is_some_and(|at| at <= self.now);
            let (client, server) = (due(&self.client), due(&self.server));
            // Bytes that have arrived count before a deadline does.
            let mut moved = self.carry(Role::Client, &mut on_event);
            moved |= self.carry(Role::Server, &mut on_event);
            for (end, due) in [(&mut self.client, client), (&mut self.server, server)] {
                if due {
                    // A peer that is given up shows in `closed`.
                    let _ = end.handle_timeout(self.now);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
        panic!("the two ends never come to rest");
    }

    /// Lets `duration` pass. Everything due in it happens at its time.
    ///
    /// # Panics
    /// Like [`settle`](Self::settle).
    pub fn pass(
        &mut self,
        duration: Duration,
        mut on_event: impl FnMut(Event<'_>, &mut Connection),
    ) {
        let end = self.now + duration;
        loop {
            self.settle(&mut on_event);
            let ends = [&self.client, &self.server];
            match ends.into_iter().filter_map(Connection::poll_timeout).min() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        self.settle(on_event);
    }

    /// Carries bytes, and the end of the stream, to the other end. Returns whether there were any.
    fn carry(&mut self, from: Role, on_event: &mut impl FnMut(Event<'_>, &mut Connection)) -> bool {
        let line = &mut self.lines[from as usize];
        let (from, to) = match from {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        };
        let mut bytes = Vec::new();
        while !from.outbox().is_empty() {
            bytes.extend_from_slice(from.outbox().chunk());
            let length = from.outbox().chunk().len();
            from.outbox().advance(length);
        }
        let transport = from.transport();
        if transport == Transport::ShutDown {
            from.shutdown_complete();
        }
        let ends = matches!(transport, Transport::ShutDown | Transport::Closed)
            && !mem::replace(&mut line.ended, true);
        let moved = !bytes.is_empty() || ends;
        if line.broken {
            return moved;
        }
        let mut input = Input::new(&mut bytes);
        // An error is sticky and shows in `closed`; later bytes are discarded.
        while let Ok(Some(event)) = to.receive(&mut input) {
            on_event(event, to);
        }
        if ends {
            to.receive_eof();
        }
        moved
    }
}
