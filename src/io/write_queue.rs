//! The write queue: who waits to send, who goes on next, and who has to be woken for that.
//!
//! It decides and does nothing else: it has no lock, it reads and writes nothing, and what it wakes is
//! of any type `W`, a waker of a task or a handle of a thread. Halves for tasks and for threads both
//! have one, so both have the same order:
//!
//! - A ping or a pong of the caller's waits for room only. It goes in front of all messages that wait,
//!   and between the fragments of a message (RFC 6455 §5.4).
//! - Whoever is in the middle of a message in fragments goes on with it in front of all others.
//! - Otherwise, whoever came first goes first.
//!
//! A task may stop polling a future that waits, and keep it. So a call that was woken and does not
//! come loses its turn to the next one that [asks](WriteQueue::ask). It keeps its place: when it comes
//! after all it is in front of those that came later.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::mem;

/// How many that wait are woken where one would do if only it were sure to come.
pub(crate) const AHEAD: usize = 8;

/// What a call wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// A message or a fragment of one, by this writer.
    Message(u64),
    /// A ping or a pong.
    Control,
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// Room, in turn.
    Room(Sends),
    /// That so many of all bytes that are ever queued are flushed; `None` until the frames of the
    /// last message are made.
    Flush(Option<u64>),
    /// Something else: the end of the connection.
    Other,
}

/// What a call does that has found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Go,
    /// Somebody is in front of it, and has been woken: it comes again soon. If that one has not come
    /// by then, it loses its turn.
    Again,
    /// Others are in front of it, and go on: it waits until it is woken.
    Wait,
}

/// What has become of the connection so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// How many of all bytes that are ever queued were written, and how many were flushed.
    pub(crate) written: u64,
    pub(crate) flushed: u64,
    /// Whether frames of the last message are still to be made.
    pub(crate) is_cut: bool,
    /// Whether a message may be queued, if it is in turn.
    pub(crate) has_room: bool,
    /// The same for a ping.
    pub(crate) has_control_room: bool,
    /// How many of those that wait for room are woken at once.
    pub(crate) ahead: usize,
    /// A number that is another one as soon as something has ended that calls may wait for.
    pub(crate) stage: u8,
}

/// The place of one call in the queue: where it waits, if it does.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// By number, it is kept until the call [leaves](WriteQueue::leave).
    ticket: Option<u64>,
    /// Whose message it waits with.
    writer: Option<u64>,
    /// Up to where it waits for a flush.
    flush: Option<u64>,
    /// How often it came.
    visits: u64,
    /// Who was in front of it when it asked last, and how often that one had come.
    seen: Option<(u64, u64)>,
}

impl Place {
    /// Of somebody who asks for what has that ticket, and does not wait or leave.
    pub(crate) fn stand_at(&mut self, ticket: u64) {
        self.ticket = Some(ticket);
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.unwrap_or(u64::MAX)
    }

    /// Whether the call has a place, so that it has to leave.
    pub(crate) fn is_taken(&self) -> bool {
        self.ticket.is_some()
    }
}

/// Calls that wait for one thing, by ticket.
struct Line<W> {
    /// Each with how often it came.
    asleep: BTreeMap<u64, (u64, W)>,
    /// Those that were woken and did not come since.
    awake: BTreeMap<u64, u64>,
}

/// Whose message in fragments is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragments {
    OfNobody,
    Of(u64),
    /// Of a writer that is gone: no other message can ever be sent.
    Abandoned,
}

pub(crate) struct WriteQueue<W> {
    next: u64,
    /// Pings and pongs.
    control: Line<W>,
    /// Fragments of the message that is under way.
    fragments: Line<W>,
    messages: Line<W>,
    /// Of those that wait in either: whose they are, by ticket.
    writers: BTreeSet<(u64, u64)>,
    /// By position and ticket. They are told once, and have no turn to lose.
    flushing: BTreeMap<(u64, u64), W>,
    other: BTreeMap<u64, W>,
    under_way: Fragments,
    /// How many calls have a place.
    places: usize,
    /// What those that wait were told of.
    written: u64,
    stage: u8,
}

impl<W> Line<W> {
    fn new() -> Self {
        Self { asleep: BTreeMap::new(), awake: BTreeMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.asleep.is_empty() && self.awake.is_empty()
    }

    fn first(&self) -> Option<u64> {
        let asleep = self.asleep.first_key_value().map(|(ticket, _)| *ticket);
        let awake = self.awake.first_key_value().map(|(ticket, _)| *ticket);
        asleep.into_iter().chain(awake).min()
    }

    fn remove(&mut self, ticket: u64) {
        self.asleep.remove(&ticket);
        self.awake.remove(&ticket);
    }

    /// Wakes one, unless it is awake.
    fn rouse(&mut self, ticket: u64, woken: &mut Vec<W>) {
        if let Some((visits, waiter)) = self.asleep.remove(&ticket) {
            self.awake.insert(ticket, visits);
            woken.push(waiter);
        }
    }

    /// Wakes the first one, and more behind it until `most` are awake.
    fn rouse_some(&mut self, most: usize, woken: &mut Vec<W>) {
        let mut next = self.first();
        while let Some(ticket) = next {
            self.rouse(ticket, woken);
            if self.awake.len() >= most {
                break;
            }
            next = self.asleep.first_key_value().map(|(ticket, _)| *ticket);
        }
    }

    fn rouse_all(&mut self, woken: &mut Vec<W>) {
        let asleep = mem::take(&mut self.asleep);
        woken.extend(asleep.into_values().map(|(_, waiter)| waiter));
        self.awake.clear(); // each keeps its place by its ticket
    }

    /// One waits in `other` from now on.
    fn move_to(&mut self, other: &mut Self, ticket: u64) {
        self.asleep.remove(&ticket).map(|waits| other.asleep.insert(ticket, waits));
        self.awake.remove(&ticket).map(|visits| other.awake.insert(ticket, visits));
    }

    /// All of `other` wait here from now on.
    fn append(&mut self, other: &mut Self) {
        self.asleep.append(&mut other.asleep);
        self.awake.append(&mut other.awake);
    }
}

impl<W> WriteQueue<W> {
    /// `under_way` is the writer that has sent fragments already.
    pub(crate) fn new(next: u64, under_way: Option<u64>) -> Self {
        let under_way = match under_way {
            Some(writer) => Fragments::Of(writer),
            None => Fragments::OfNobody,
        };
        let [control, fragments, messages] = [Line::new(), Line::new(), Line::new()];
        let (flushing, other) = (BTreeMap::new(), BTreeMap::new());
        Self {
            next,
            control,
            fragments,
            messages,
            writers: BTreeSet::new(),
            flushing,
            other,
            under_way,
            places: 0,
            written: 0,
            stage: 0,
        }
    }

    /// A number that nobody else has: of a writer, or of a place.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Whether every call may go that finds room: nobody is in its way.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.under_way == Fragments::OfNobody && self.places == 0
    }

    /// Whether nobody waits for anything.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.places == 0
    }

    /// Whether somebody who waits was not woken.
    pub(crate) fn has_sleepers(&self) -> bool {
        let lines = [&self.control, &self.fragments, &self.messages];
        lines.iter().any(|line| !line.asleep.is_empty())
    }

    /// The writer whose message in fragments is under way.
    pub(crate) fn fragments_of(&self) -> Option<u64> {
        match self.under_way {
            Fragments::Of(writer) => Some(writer),
            Fragments::OfNobody | Fragments::Abandoned => None,
        }
    }

    /// Whether a message is under way that nobody can end.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.under_way == Fragments::Abandoned
    }

    /// Whether this has to wait for the end of the message that is under way.
    pub(crate) fn is_barred(&self, sends: Sends) -> bool {
        match (sends, self.under_way) {
            (Sends::Message(writer), Fragments::Of(other)) => writer != other,
            _ => false,
        }
    }

    /// Whether a message is under way that this writer cannot go on with.
    pub(crate) fn is_shut_out(&self, writer: u64) -> bool {
        self.is_barred(Sends::Message(writer)) || self.is_abandoned()
    }

    /// A message of `writer` is under way from now on, or none is any more.
    /// It does not change what was abandoned.
    pub(crate) fn set_under_way(&mut self, writer: Option<u64>) {
        if self.is_abandoned() {
            return;
        }
        let under_way = writer.map_or(Fragments::OfNobody, Fragments::Of);
        if mem::replace(&mut self.under_way, under_way) == under_way {
            return;
        }
        self.messages.append(&mut self.fragments);
        // Calls of the same writer may wait already, and only they can go on.
        let Some(writer) = writer else { return };
        for (_, ticket) in self.writers.range((writer, 0)..=(writer, u64::MAX)) {
            self.messages.move_to(&mut self.fragments, *ticket);
        }
    }

    /// `writer` is gone. If that leaves a message that nobody can end, those that wait for its end
    /// are woken.
    pub(crate) fn abandon(&mut self, writer: u64, woken: &mut Vec<W>) {
        if self.under_way == Fragments::Of(writer) {
            self.under_way = Fragments::Abandoned;
            self.fragments.rouse_all(woken);
            self.messages.rouse_all(woken);
        }
    }

    fn line(&mut self, sends: Sends) -> &mut Line<W> {
        match (sends, self.under_way) {
            (Sends::Control, _) => &mut self.control,
            (Sends::Message(writer), Fragments::Of(other)) if writer == other => {
                &mut self.fragments
            }
            (Sends::Message(_), _) => &mut self.messages,
        }
    }

    /// Whether a call may go, if there is room for what it sends.
    pub(crate) fn may_go(&mut self, place: &Place, sends: Sends) -> bool {
        (sends == Sends::Control || self.control.is_empty())
            && self
                .line(sends)
                .first()
                .is_none_or(|first| place.ticket.is_some_and(|ticket| ticket <= first))
    }

    /// As `may_go`, of a call that may come again soon to see what has become of those in front of it.
    pub(crate) fn ask(&mut self, place: &mut Place, sends: Sends, woken: &mut Vec<W>) -> Answer {
        let mut passes = false;
        while !self.may_go(place, sends) {
            let line = match self.control.is_empty() {
                true => self.line(sends),
                false => &mut self.control,
            };
            let Some(first) = line.first() else { return Answer::Go };
            line.rouse(first, woken);
            let seen = line.awake.get(&first).map(|visits| (first, *visits));
            if place.seen == seen {
                line.remove(first); // it did not come
                passes = true;
                continue;
            }
            let goes_on = !passes && place.seen.is_some();
            place.seen = if goes_on { None } else { seen };
            return if goes_on { Answer::Wait } else { Answer::Again };
        }
        Answer::Go
    }

    /// As `ask`, for somebody who sends nothing, with a place of their own.
    pub(crate) fn ask_for_all(&mut self, place: &mut Place, woken: &mut Vec<W>) -> Answer {
        let sends = match self.under_way {
            Fragments::Of(writer) => Sends::Message(writer),
            _ => Sends::Message(u64::MAX),
        };
        self.ask(place, sends, woken)
    }

    /// A call that has a place has come: so nobody passes it over.
    pub(crate) fn came(&mut self, place: &mut Place, sends: Sends) {
        if place.is_taken() {
            self.wait(place, WaitsFor::Room(sends), None);
        }
    }

    /// Gives a call a place, which it has to leave.
    pub(crate) fn draw(&mut self, place: &mut Place) -> u64 {
        self.places += 1;
        *place.ticket.insert(self.number())
    }

    /// A call waits, from now on or still. Without a waiter it is not to be woken: it comes again by
    /// itself.
    pub(crate) fn wait(&mut self, place: &mut Place, waits_for: WaitsFor, waiter: Option<W>) {
        let ticket = match place.ticket {
            Some(ticket) => {
                self.remove(place, ticket);
                ticket
            }
            None => self.draw(place),
        };
        place.visits += 1;
        if let WaitsFor::Room(Sends::Message(writer)) = waits_for {
            place.writer = Some(writer);
            self.writers.insert((writer, ticket));
        }
        match (waits_for, waiter) {
            (WaitsFor::Room(sends), None) => {
                _ = self.line(sends).awake.insert(ticket, place.visits)
            }
            (WaitsFor::Room(sends), Some(waiter)) => {
                self.line(sends).asleep.insert(ticket, (place.visits, waiter));
            }
            (_, None) => {}
            (WaitsFor::Flush(position), Some(waiter)) => {
                let position = *place.flush.insert(position.unwrap_or(u64::MAX));
                self.flushing.insert((position, ticket), waiter);
            }
            (WaitsFor::Other, Some(waiter)) => _ = self.other.insert(ticket, waiter),
        }
    }

    fn remove(&mut self, place: &mut Place, ticket: u64) {
        if let Some(writer) = place.writer.take() {
            self.writers.remove(&(writer, ticket));
        }
        match place.flush.take() {
            Some(position) => _ = self.flushing.remove(&(position, ticket)),
            None => {
                self.control.remove(ticket);
                self.fragments.remove(ticket);
                self.messages.remove(ticket);
                self.other.remove(&ticket);
            }
        }
    }

    /// A call waits no more.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some(ticket) = place.ticket.take() {
            self.places -= 1;
            self.remove(place, ticket);
            *place = Place::default();
        }
    }

    /// Wakes a call that waits for something else.
    pub(crate) fn wake_other(&mut self, ticket: u64) -> Option<W> {
        self.other.remove(&ticket)
    }

    /// Wakes those that can go on, and nobody else: the first one for which there is room, those whose
    /// bytes are flushed, and everybody once something has ended.
    pub(crate) fn wake(&mut self, progress: &Progress, woken: &mut Vec<W>) {
        if mem::replace(&mut self.stage, progress.stage) != progress.stage {
            return self.wake_all(woken);
        }
        while let Some(first) = self.flushing.first_entry() {
            let position = first.key().0;
            let is_made = position == u64::MAX && !progress.is_cut;
            // One may have to flush for the others what is written.
            let is_written = self.written < position && position <= progress.written;
            if position > progress.flushed && !is_made && !is_written {
                break;
            }
            if is_written {
                self.written = progress.written;
            }
            woken.push(first.remove());
        }
        self.written = progress.written;
        if progress.has_control_room {
            self.control.rouse_some(progress.ahead, woken);
        }
        if progress.has_room {
            match self.under_way {
                Fragments::Of(_) => self.fragments.rouse_some(progress.ahead, woken),
                _ => self.messages.rouse_some(progress.ahead, woken),
            }
        }
    }

    /// Wakes some that wait for whatever, to look after the connection: of the first and of the last
    /// ones, as those that are kept and not polled any more tend to lie together.
    pub(crate) fn wake_some(&mut self, most: usize, woken: &mut Vec<W>) {
        for n in 0..most {
            let is_front = n % 2 == 0;
            let flushing = match is_front {
                true => self.flushing.pop_first(),
                false => self.flushing.pop_last(),
            };
            if let Some((_, waiter)) = flushing {
                woken.push(waiter);
                continue;
            }
            let lines = [&mut self.control, &mut self.fragments, &mut self.messages];
            let Some(line) = lines.into_iter().find(|line| !line.asleep.is_empty()) else { break };
            let ticket = match is_front {
                true => line.asleep.first_key_value(),
                false => line.asleep.last_key_value(),
            };
            let ticket = ticket.map(|(ticket, _)| *ticket);
            ticket.into_iter().for_each(|ticket| line.rouse(ticket, woken));
        }
        for _ in 0..most {
            let Some((_, waiter)) = self.other.pop_first() else { break };
            woken.push(waiter);
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&mut self, woken: &mut Vec<W>) {
        for line in [&mut self.control, &mut self.fragments, &mut self.messages] {
            line.rouse_all(woken);
        }
        woken.extend(mem::take(&mut self.flushing).into_values());
        woken.extend(mem::take(&mut self.other).into_values());
    }
}

#[cfg(test)]
mod tests;
