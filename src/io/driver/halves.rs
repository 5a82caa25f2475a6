//! What one half of a connection does while the other one does nothing.

use super::{Caller, Driver, Pace, Read};
use crate::{
    CloseFrame, Error, Event,
    io::{Io, outcome},
};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{
    iter,
    ops::ControlFlow,
    task::{Context, Poll},
};

/// How many pings and pongs are kept at most.
const MAX_CONTROL: usize = 16;

/// How often a call that sends reads at most.
pub(super) const MAX_READS: usize = 16;

/// What becomes of messages that still come while a half that sends drives the connection to its
/// end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are kept for the half that receives, as many as make a message of the largest size, and
    /// those behind them discarded.
    Kept,
    /// As many are kept, and those behind them left in the stream.
    Left,
    Discarded,
}

/// There is one message kept, or one part of one, for so many bytes that may be kept: about what it
/// takes in memory beside its payload.
const BYTES_PER_EVENT: usize = 128;

/// How many messages and parts are kept however few bytes may be.
const MIN_EVENTS: usize = 16;

/// Events for the half that receives.
#[derive(Default)]
pub(crate) struct Kept {
    /// Messages and parts of them, each with its place among all events.
    data: VecDeque<(u64, Event<'static>)>,
    /// The others, in the same way: the last few, and a Close.
    control: VecDeque<(u64, Event<'static>)>,
    /// How many events came.
    came: u64,
    /// Payload of `data`, in bytes.
    bytes: usize,
    /// How many of `data` are parts of messages.
    chunks: usize,
    /// Whether a message was not kept: then none behind it is.
    full: bool,
}

impl Kept {
    /// Whether there are as many messages as there may be where `most` bytes may be kept.
    fn are_many(&self, most: usize) -> bool {
        self.data.len() >= MIN_EVENTS.max(most / BYTES_PER_EVENT)
    }

    /// Keeps an event: of pings and pongs the last few, of messages as many as make `most` bytes and
    /// are not too many for that.
    pub(crate) fn push(&mut self, event: Event<'_>, most: usize) {
        self.came += 1;
        match &event {
            Event::Message(_) | Event::Chunk(_) => {
                let size = payload(&event);
                self.full |= size > most.saturating_sub(self.bytes) || self.are_many(most);
                if self.full {
                    return;
                }
                self.bytes += size;
                self.chunks += usize::from(is_chunk(&event));
                self.data.push_back((self.came, event.into_owned()));
            }
            _ => {
                if self.control.len() == MAX_CONTROL && !matches!(event, Event::Close(_)) {
                    self.control.pop_front();
                }
                self.control.push_back((self.came, event.into_owned()));
            }
        }
    }

    fn pop(&mut self) -> Option<Event<'static>> {
        let place =
            |queue: &VecDeque<(u64, _)>| queue.front().map_or(u64::MAX, |(place, _)| *place);
        if place(&self.control) < place(&self.data) {
            return self.control.pop_front().map(|(_, event)| event);
        }
        let (_, event) = self.data.pop_front()?;
        self.bytes -= payload(&event);
        self.chunks -= usize::from(is_chunk(&event));
        Some(event)
    }

    /// The first event that is kept, if there are any.
    #[cold]
    #[inline(never)]
    pub(crate) fn take(kept: &mut Option<Box<Self>>) -> Option<Event<'static>> {
        let event = kept.as_mut().and_then(|kept| kept.pop());
        if event.is_none() {
            *kept = None;
        }
        event
    }

    /// All of them, in the order in which they came.
    pub(super) fn into_events(mut self) -> Vec<Event<'static>> {
        iter::from_fn(|| self.pop()).collect()
    }
}

fn is_chunk(event: &Event<'_>) -> bool {
    matches!(event, Event::Chunk(_))
}

fn payload(event: &Event<'_>) -> usize {
    match event {
        Event::Message(message) => message.as_bytes().len(),
        Event::Chunk(chunk) => chunk.as_bytes().len(),
        _ => 0,
    }
}

/// Takes out what is kept, to add to it, and puts it back when it is dropped: what was kept is still
/// there when a stream panics.
struct Adding<'d, T: Io> {
    driver: &'d mut Driver<T>,
    kept: Option<Box<Kept>>,
}

impl<T: Io> Drop for Adding<'_, T> {
    fn drop(&mut self) {
        self.driver.kept = self.kept.take();
    }
}

impl<T: Io> Driver<T> {
    /// The waker that this is polled with wakes all who wait.
    pub(crate) fn share(&mut self) {
        self.wakers = Default::default();
        self.wakers.elsewhere = true;
    }

    /// One task polls this again, or two that know nothing of each other.
    pub(crate) fn unshare(&mut self) {
        (self.wakers.elsewhere, self.received_elsewhere) = (false, false);
    }

    /// Whether a part of a message was kept, behind control frames perhaps: nothing else of messages
    /// is in front of it, since whole ones are kept only behind the end of one that came in parts.
    pub(super) fn keeps_chunks(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.chunks > 0)
    }

    /// All bytes that were ever queued; `None` while frames of the last message are still to be
    /// made.
    pub(crate) fn total_queued(&mut self) -> Option<u64> {
        let total = self.connection.send_buffer().total_queued();
        (!self.connection.is_cut()).then_some(total)
    }

    /// A number that is another one once something was written that somebody may wait for.
    pub(crate) fn written(&mut self) -> (u64, u64) {
        let outbox = self.connection.send_buffer();
        outbox.totals()
    }

    /// Whether something waits to be written.
    pub(crate) fn waits_to_write(&mut self) -> bool {
        self.connection.has_output()
    }

    /// Ready when the first `bytes` of all that is ever queued were written and flushed, whatever
    /// is queued behind them; `None` is all that is queued when its frames are made.
    pub(crate) fn poll_flush_to(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Option<u64>,
    ) -> Poll<Result<(), Error>> {
        self.poll_until(cx, |driver, cx| {
            if bytes.is_none() {
                *bytes = driver.total_queued();
            }
            let Some(bytes) = *bytes else { return false };
            let outbox = driver.connection.send_buffer();
            if outbox.is_flushed_to(bytes) {
                // Behind a failure nothing is left, which is not to say that it was written.
                return driver.connection.is_open() || !driver.has_failed();
            }
            // The stream takes no more for now, which does not keep it from flushing.
            if outbox.total_written() < bytes {
                return false;
            }
            match driver.io.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    outbox.flushed();
                    return true;
                }
                // What the stream has lost it may not say again: it shows in how the connection ends.
                Poll::Ready(Err(error)) => _ = driver.write_failed(cx, error),
                Poll::Pending => {}
            }
            false
        })
    }

    /// Writes what is queued as far as that goes at once, or until others have their turn.
    pub(crate) fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.connection.has_output() {
            let _ = self.poll_write(cx)?;
        }
        Ok(())
    }

    /// As `poll_write_some`, for one who does not come back: until the stream takes no more.
    pub(crate) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.connection.has_output() {
            let _ = self.poll_write_all(cx)?;
        }
        Ok(())
    }

    /// Reads and answers control frames, up to the next data: that is for the half that receives.
    /// Deadlines run if no data is there, in which a pong may be.
    pub(crate) fn poll_control(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        for _ in 0..MAX_READS {
            self.take_control();
            if self.connection.has_pong() {
                self.poll_stamp(cx)?;
            }
            if !self.input.is_empty() || self.connection.is_in_data() {
                return Ok(());
            }
            if !matches!(self.connection.transport(), crate::Transport::Open) {
                return Ok(()); // what is to be done with the stream is not ours
            }
            if matches!(self.poll_fill(cx)?, Read::Pending) {
                return self.poll_deadlines(cx);
            }
            self.take_control();
            if !self.input.is_empty() {
                self.connection.has_come(); // it stays there for the half that receives
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    pub(super) fn take_control(&mut self) {
        let Self { input, connection, kept, .. } = self;
        input.consume(|input| {
            while !input.is_empty() && connection.is_control_next(input) {
                let event = match connection.is_in_chunks() {
                    true => connection.receive_chunk(input),
                    false => connection.receive(input),
                };
                if let Ok(Some(event)) = event {
                    kept.get_or_insert_default().push(event, 0);
                }
            }
        });
        input.release();
    }

    /// Notes the time where something has begun, and lets deadlines pass.
    pub(crate) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while self.poll_timers(cx, false)?.is_ready() {}
        Ok(())
    }

    /// Notes the time if something has begun, and nothing else.
    pub(crate) fn poll_stamp(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.connection.wants_time() {
            let _ = self.poll_timers(cx, false)?;
        }
        Ok(())
    }

    /// Starts the closing handshake, unless the connection is ending already.
    pub(crate) fn start_close(&mut self, frame: &CloseFrame) {
        if self.connection.is_open() {
            self.connection.close(Some(frame.clone()));
        }
    }

    /// Drives the connection to its end, or to where `rest` is left.
    pub(crate) fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        rest: Rest,
    ) -> Poll<Result<(), Error>> {
        let most = self.connection.config().max_message_size;
        let keep = rest != Rest::Discarded;
        if !keep {
            self.connection.discard_messages();
        }
        let kept = self.kept.take().filter(|_| keep);
        let mut adding = Adding { driver: self, kept };
        let Adding { driver, kept } = &mut adding;
        loop {
            if rest == Rest::Left
                && kept.as_ref().is_some_and(|kept| kept.bytes >= most || kept.are_many(most))
            {
                return Poll::Pending;
            }
            let chunks = driver.connection.is_in_chunks();
            let pace = if chunks { Pace::Chunks } else { Pace::Any };
            let polled = driver.poll_to_end(cx, (Caller::Sending, pace), |event, connection| {
                let ends = matches!(&event, Event::Chunk(chunk) if chunk.is_last());
                let part = is_chunk(&event);
                if keep {
                    let most = if rest == Rest::Left { usize::MAX } else { most };
                    let kept = kept.get_or_insert_with(Box::default);
                    let before = kept.full;
                    kept.push(event, most);
                    if kept.full {
                        connection.discard_messages(); // all that follows
                    }
                    if kept.full && !before && part {
                        connection.cut_off_chunks(); // it was perhaps the last part of its message
                    }
                }
                match ends || rest == Rest::Left {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            match polled {
                Poll::Ready(Ok(Some(()))) => {}
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// How the connection ended, for whoever closes it; `None` while it has not.
    pub(crate) fn end(&self) -> Option<Result<(), Error>> {
        self.connection.closed().map(|closed| outcome(Some(closed), self.end.broken_by()))
    }
}
