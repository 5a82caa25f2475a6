//! Events that wait for the half that receives.

use crate::{Connection, Event};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::iter;

/// How many pings and pongs are kept at most.
const MAX_CONTROL: usize = 16;

/// There is one message kept, or one part of one, for so many bytes that may be kept: about what it
/// takes in memory beside its payload.
const BYTES_PER_EVENT: usize = 128;

/// How many messages and parts are kept however few bytes may be.
const MIN_EVENTS: usize = 16;

/// Events for the half that receives, which a call has come across that does not.
#[derive(Default)]
pub(crate) struct PendingEvents {
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

impl PendingEvents {
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

    /// As [`push`](Self::push), of what a call receives in the place of the half that does: what
    /// comes behind an event that is not kept is discarded.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "tokio")),
        allow(dead_code, reason = "for halves of async streams")
    )]
    pub(crate) fn keep(&mut self, event: Event<'_>, most: usize, connection: &mut Connection) {
        let (was_full, part) = (self.full, is_chunk(&event));
        self.push(event, most);
        if self.full {
            connection.discard_messages(); // all that follows
            if part && !was_full {
                connection.cut_off_chunks(); // it was perhaps the last part of its message
            }
        }
    }

    /// Whether nothing more should be received where `most` bytes may be kept.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "tokio")),
        allow(dead_code, reason = "for halves of async streams")
    )]
    pub(crate) fn is_full(&self, most: usize) -> bool {
        self.bytes >= most || self.are_many(most)
    }

    /// Whether a part of a message is among them, behind control frames perhaps: nothing else of
    /// messages is in front of it, since whole ones are kept only behind the end of one that came in
    /// parts.
    pub(crate) fn has_chunks(&self) -> bool {
        self.chunks > 0
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
    pub(crate) fn take(pending: &mut Option<Box<Self>>) -> Option<Event<'static>> {
        let event = pending.as_mut().and_then(|pending| pending.pop());
        if event.is_none() {
            *pending = None;
        }
        event
    }

    /// All of them, in the order in which they came.
    pub(crate) fn into_events(mut self) -> Vec<Event<'static>> {
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
