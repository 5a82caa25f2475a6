//! A connection on a stream, without the stream: what is decided about it, for every adapter.
//!
//! Here is no lock, no call on a stream, no waker and no clock. Two schedulers make the calls and say
//! what came of them: [`Driver`](super::Driver) in one task, or two that share it, and the blocking
//! halves on threads.

mod pending;

pub(crate) use pending::PendingEvents;

use super::{Control, End, Error, Parts, ReadBuffer, Trace, pool};
use crate::{
    CloseFrame, Closed, Config, Connection, Event, FlushPolicy, IntoFragment, IntoMessage, Role,
    SendError, Time, Transport,
};
use alloc::{boxed::Box, sync::Arc};
use core::ops::ControlFlow;
use std::io;

/// The protocol's state, and what an adapter has to remember beside it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// What was read and is not received yet.
    pub(crate) input: ReadBuffer,
    /// Events for the half that receives, which came before `input`.
    pub(crate) pending: Option<Box<PendingEvents>>,
    pub(crate) end: End,
    pub(crate) trace: Trace,
    /// Whether the stream is done with.
    pub(crate) over: bool,
}

/// When events are handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Whenever there are any.
    Any,
    /// Only while an answer to them would be accepted for sending.
    WhileReady,
    /// Whenever there are any, and messages in chunks.
    Chunks,
}

/// What is to be done with the stream of a connection that is ending.
pub(crate) enum Ending {
    /// Write what is left; and read, if there is anything to wait for.
    Wait { reads: bool },
    /// Shut the write side down, and say [what came of it](Session::shut_down).
    ShutDown,
    /// Nothing more; but end our side at once, where a peer waits for that which need not wait for
    /// our drop.
    Over { hangs_up: bool },
}

/// Lets what is queued go into a buffer of the thread's.
#[inline(always)]
pub(crate) fn lend(connection: &mut Connection) {
    if connection.send_buffer().has_no_storage() && connection.is_open() {
        connection.send_buffer().lend(pool::take_write());
    }
}

impl Session {
    /// `unread` are bytes of the stream that came behind the opening handshake.
    pub(crate) fn new(role: Role, config: Arc<Config>, unread: ReadBuffer) -> Self {
        Self {
            connection: Connection::for_adapter(role, config),
            input: unread,
            pending: None,
            end: End::Unreported(None),
            trace: Trace::new(role),
            over: false,
        }
    }

    pub(crate) fn into_parts<S>(self, stream: S) -> Parts<S> {
        let Self { mut connection, input, pending, .. } = self;
        connection.send_buffer().flushed(); // that is for whoever has the stream
        connection.restart_clock(); // and so are its times
        let events = pending.map(|pending| pending.into_events()).unwrap_or_default();
        Parts { stream, connection, events, unread: input.into_unread() }
    }
}

/// What was received.
impl Session {
    /// Whether a call may receive at this pace now: whole messages only between messages.
    #[inline]
    pub(crate) fn may_receive(&self, pace: Pace) -> Result<(), Error> {
        let in_chunks = || self.connection.is_in_chunks() || self.has_pending_chunks();
        if pace != Pace::Chunks && in_chunks() {
            return Err(Error::Unfinished);
        }
        Ok(())
    }

    #[inline]
    fn has_pending_chunks(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.has_chunks())
    }

    /// Whether messages are held back until there is room for the answers.
    #[inline]
    pub(crate) fn is_held_back(&self, pace: Pace) -> bool {
        pace == Pace::WhileReady && self.connection.is_full()
    }

    /// Whether there is something to deliver without another read.
    #[inline]
    pub(crate) fn has_events(&self, pace: Pace) -> bool {
        !self.input.is_empty()
            || (pace == Pace::Chunks && self.connection.has_more_chunks())
            || self.pending.is_some()
    }

    /// Whether something of a message lies here, in front of what could be read.
    pub(crate) fn holds_data(&self) -> bool {
        let Self { input, connection, .. } = self;
        !input.is_empty() || (connection.is_in_chunks() && connection.has_more_chunks())
    }

    /// Hands out what was received, until `on_event` breaks or messages are held back.
    #[inline]
    pub(crate) fn deliver<B>(
        &mut self,
        pace: Pace,
        on_event: &mut impl FnMut(Event<'_>, &mut Connection) -> ControlFlow<B>,
    ) -> Option<B> {
        let Self { input, connection, pending, .. } = self;
        let output = input.consume(|input| {
            let chunks = pace == Pace::Chunks;
            while !input.is_empty() || (chunks && connection.has_more_chunks()) || pending.is_some()
            {
                // There is one call of `on_event`, so that it is part of this loop.
                let event = match chunks {
                    _ if pending.is_some() => Ok(PendingEvents::take(pending)),
                    true => connection.receive_chunk(input),
                    false => connection.receive_here(input),
                };
                // An error shows again in how the connection ends; what follows it is discarded.
                let Ok(Some(event)) = event else { continue };
                if let ControlFlow::Break(output) = on_event(event, connection) {
                    return Some(output);
                }
                if pace == Pace::WhileReady && connection.is_full() {
                    return None;
                }
            }
            None
        });
        if output.is_some() {
            input.release(); // the caller may not be back for long
        }
        output
    }

    /// Receives what is not left to a call that receives: control frames, as pending events; or
    /// all of it if nobody wants messages any more, or nothing of what comes matters.
    pub(crate) fn take_control(&mut self, all: bool) {
        let Self { input, connection, pending, .. } = self;
        input.consume(|input| {
            while !input.is_empty() {
                let takes = all || connection.is_control_next(input);
                if !takes && connection.poll_transport() == Transport::Open {
                    break;
                }
                let event = match connection.is_in_chunks() {
                    true => connection.receive_chunk(input),
                    false => connection.receive(input),
                };
                if let Ok(Some(event)) = event {
                    pending.get_or_insert_default().push(event, 0);
                }
            }
        });
        input.release();
    }

    /// Receives for a half that may come back for it: as much is kept as makes a message of the
    /// largest size, and what follows is discarded.
    pub(crate) fn receive_ahead(&mut self) {
        let most = self.connection.config().max_message_size;
        let Self { input, connection, pending, .. } = self;
        input.consume(|input| {
            loop {
                let event = match connection.is_in_chunks() {
                    true => connection.receive_chunk(input),
                    false => connection.receive(input),
                };
                match event {
                    Ok(Some(event)) => {
                        pending.get_or_insert_default().keep(event, most, connection);
                    }
                    // An error shows again in how the connection ends; what follows it is discarded.
                    _ if input.is_empty() => break,
                    _ => {}
                }
            }
        });
        input.release();
    }

    /// Nobody wants what was received or comes from now on.
    pub(crate) fn discard(&mut self) {
        self.connection.discard_messages();
        self.pending = None;
    }

    /// How the connection ended, for a call that receives: the first time, later nothing.
    pub(crate) fn report_end(&mut self) -> Result<(), Error> {
        let first = !self.end.is_reported();
        self.end.report(self.connection.closed())?;
        match first && self.connection.has_cut_off_chunks() {
            true => Err(Error::CutOff),
            false => Ok(()),
        }
    }

    /// As [`report_end`](Self::report_end), where messages were discarded: that one is cut off is no
    /// news then.
    pub(crate) fn report_discarded_end(&mut self) -> Result<(), Error> {
        self.end.report(self.connection.closed())
    }
}

/// What came of calls on the stream, and of time.
impl Session {
    /// Nothing more comes: the stream has ended, or a read failed for good.
    #[cold]
    pub(crate) fn read_ended(&mut self, end: io::Result<()>) {
        match end {
            Ok(()) => self.connection.handle_eof(),
            Err(error) => self.broken(error, Connection::handle_transport_failed),
        }
    }

    /// A write or a flush failed for good. What has come is still received.
    #[cold]
    pub(crate) fn handle_write_failed(&mut self, error: io::Error) {
        self.broken(error, Connection::handle_write_failed);
    }

    /// The stream broke, which is no news once the connection is over. Whoever traces is told last:
    /// a subscriber may panic.
    fn broken(&mut self, error: io::Error, fail: fn(&mut Connection)) {
        if self.connection.closed().is_some() {
            return;
        }
        let kind = error.kind();
        self.end.broken(error);
        fail(&mut self.connection);
        self.trace.broken(kind);
    }

    /// The write side is shut down, or cannot be.
    pub(crate) fn shut_down(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.connection.handle_shutdown(),
            Err(_) => self.connection.handle_transport_failed(),
        }
    }

    /// It is `now`. `unread` says that something lies in front of what could be read. A peer that is
    /// given up shows in how the connection ends.
    pub(crate) fn handle_timeout(&mut self, now: Time, unread: bool) {
        self.trace.timed_out(self.connection.look(now, unread));
    }
}

/// Sending and the end.
impl Session {
    /// All bytes that were ever queued, which is up to where a flush goes; `None` while frames of the
    /// last message are still to be made.
    pub(crate) fn total_queued(&mut self) -> Option<u64> {
        let total = self.connection.send_buffer().total_queued();
        (!self.connection.is_cut()).then_some(total)
    }

    /// Whether all up to `target` was written and flushed, whatever is queued behind it. `target`
    /// becomes known here if it was not.
    pub(crate) fn is_flushed(&mut self, target: &mut Option<u64>) -> bool {
        if target.is_none() {
            *target = self.total_queued();
        }
        let outbox = self.connection.send_buffer();
        let flushed = target.is_some_and(|target| outbox.is_flushed_to(target));
        // Behind a failure nothing is left, which is not to say that it was written.
        flushed && (self.connection.is_open() || !self.has_failed())
    }

    /// Whether the stream broke, or something that was queued was not written.
    fn has_failed(&self) -> bool {
        self.end.is_broken() || self.connection.has_lost()
    }

    /// Numbers that are other ones once something was written or flushed that somebody may wait for.
    pub(crate) fn written(&mut self) -> (u64, u64) {
        self.connection.send_buffer().totals()
    }

    /// Why what was queued cannot be written any more, for a call that sends; nothing if there is
    /// no reason. If a half receives, that one is told as well what broke the stream.
    pub(crate) fn failure(&mut self, in_halves: bool) -> Option<Error> {
        let broken = match in_halves {
            true => self.end.broken_by(),
            false => self.end.take_broken(),
        };
        if let Some(error) = broken {
            return Some(Error::Io(error));
        }
        self.timed_out().or_else(|| self.end.loss(&self.connection))
    }

    /// Nobody waits for a peer that is given up; its end is for calls that receive or close.
    pub(crate) fn timed_out(&self) -> Option<Error> {
        match self.connection.outcome() {
            Some(Closed::TimedOut(error)) => Some(Error::Timeout(*error)),
            _ => None,
        }
    }

    /// Why nothing more is accepted.
    #[cold]
    pub(crate) fn refusal(&self) -> Error {
        self.end.refusal(&self.connection).into()
    }

    /// Queues a message, to be written by a flush or before the next receive waits.
    #[inline]
    pub(crate) fn feed(&mut self, message: impl IntoMessage) -> Result<(), SendError> {
        lend(&mut self.connection);
        self.connection.feed(message).map_err(|error| self.end.refused(error))
    }

    /// Queues a fragment of a message.
    pub(crate) fn feed_fragment(
        &mut self,
        fragment: impl IntoFragment,
        fin: bool,
    ) -> Result<(), SendError> {
        lend(&mut self.connection);
        self.connection.feed_fragment(fragment, fin).map_err(|error| self.end.refused(error))
    }

    /// Whether `send` is to flush.
    pub(crate) fn sends_strictly(&self) -> bool {
        self.connection.config().flush_policy == FlushPolicy::Strict
    }

    /// Queues a ping or a pong.
    pub(crate) fn feed_control(&mut self, control: &Control) -> Result<(), Error> {
        lend(&mut self.connection);
        control.queue(&mut self.connection).map_err(|error| self.end.refused(error).into())
    }

    /// Starts the closing handshake: whether it was not on the way already.
    pub(crate) fn start_close(&mut self, frame: &Option<CloseFrame>) -> bool {
        let starts = self.connection.is_open();
        if starts {
            self.connection.queue_close(frame.clone());
        }
        starts
    }

    /// What is to be done with the stream, of a connection that is not open. Ask again once it is
    /// done.
    #[cold]
    pub(crate) fn ending(&mut self) -> Ending {
        let transport = self.connection.poll_transport();
        self.trace.ending(&self.connection);
        match transport {
            Transport::Open => Ending::Wait { reads: self.input.is_empty() },
            Transport::WriteOnly => Ending::Wait { reads: false },
            Transport::AwaitEof => Ending::Wait { reads: true },
            Transport::ShutDown => Ending::ShutDown,
            Transport::Closed => {
                self.input.release();
                let first = !core::mem::replace(&mut self.over, true);
                Ending::Over { hangs_up: first && self.connection.role() == Role::Client }
            }
        }
    }

    /// How the connection ended, for a call that closes it; `None` while it has not.
    pub(crate) fn end(&self) -> Option<Result<(), Error>> {
        let closed = self.connection.closed()?;
        Some(super::end::outcome(Some(closed), self.end.broken_by()))
    }
}
