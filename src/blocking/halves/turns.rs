//! Whose turn it is to send.

use alloc::collections::VecDeque;

/// What somebody waits to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// A message or a fragment of one, from this writer.
    Message(u64),
    /// A ping or a pong, which may go between the fragments of a message (RFC 6455 §5.4).
    Control,
}

/// The writers that wait for room, in the order in which they came, and the one whose message is
/// under way.
pub(super) struct Turns {
    waiting: VecDeque<(u64, Sending)>,
    next: u64,
    underway: Underway,
}

/// A message that is sent in fragments.
enum Underway {
    Nothing,
    /// By this writer.
    By(u64),
    /// By one that is gone: no other message can ever be sent.
    Abandoned,
}

impl Turns {
    /// `underway` is the writer that has sent fragments already.
    pub(super) fn new(underway: Option<u64>) -> Self {
        let underway = underway.map_or(Underway::Nothing, Underway::By);
        Self { waiting: VecDeque::new(), next: 0, underway }
    }

    /// Whether the message that is under way lets this be sent, or lets it fail.
    pub(super) fn admits(&self, sending: Sending) -> bool {
        match (sending, &self.underway) {
            (Sending::Message(writer), Underway::By(other)) => writer == *other,
            _ => true,
        }
    }

    /// Whether a message is under way that this writer cannot go on with.
    pub(super) fn is_barred(&self, writer: u64) -> bool {
        match self.underway {
            Underway::Nothing => false,
            Underway::By(other) => writer != other,
            Underway::Abandoned => true,
        }
    }

    /// Whether the message that is under way is of this writer.
    pub(super) fn is_by(&self, writer: u64) -> bool {
        matches!(self.underway, Underway::By(other) if other == writer)
    }

    /// Whether this can be sent without waiting for others.
    pub(super) fn is_free(&self, sending: Sending) -> bool {
        self.admits(sending) && self.first().is_none()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits behind all others: a ticket.
    pub(super) fn join(&mut self, sending: Sending) -> u64 {
        self.next += 1;
        self.waiting.push_back((self.next, sending));
        self.next
    }

    /// Whether nobody is in front that can go.
    pub(super) fn is_next(&self, ticket: u64) -> bool {
        self.first() == Some(ticket)
    }

    fn first(&self) -> Option<u64> {
        let mut can_go = self.waiting.iter().filter(|(_, sending)| self.admits(*sending));
        can_go.next().map(|(ticket, _)| *ticket)
    }

    /// Waits no more.
    pub(super) fn leave(&mut self, ticket: u64) {
        self.waiting.retain(|(other, _)| *other != ticket);
    }

    /// A fragment by `writer` was queued.
    pub(super) fn fragment(&mut self, writer: u64, fin: bool) {
        self.underway = if fin { Underway::Nothing } else { Underway::By(writer) };
    }

    /// `writer` is gone.
    pub(super) fn abandon(&mut self, writer: u64) {
        if matches!(self.underway, Underway::By(other) if other == writer) {
            self.underway = Underway::Abandoned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sending::*, *};

    #[test]
    fn turns_are_taken_in_order() {
        let mut turns = Turns::new(None);
        assert!(turns.is_free(Message(1)) && turns.is_empty());
        let tickets = [Message(1), Control, Message(2), Message(1)].map(|s| turns.join(s));
        assert!(!turns.is_free(Message(3)) && !turns.is_free(Control));
        for (i, ticket) in tickets.iter().enumerate() {
            assert_eq!(tickets.map(|t| turns.is_next(t)), [0, 1, 2, 3].map(|j| i == j));
            turns.leave(*ticket);
        }
        assert!(turns.is_free(Message(3)) && turns.is_empty());
    }

    #[test]
    fn whoever_gives_up_is_not_waited_for() {
        let mut turns = Turns::new(None);
        let tickets = [Message(1), Message(2), Message(3)].map(|s| turns.join(s));
        turns.leave(tickets[1]);
        assert!(turns.is_next(tickets[0]));
        turns.leave(tickets[0]);
        assert!(turns.is_next(tickets[2]));
    }

    /// RFC 6455 §5.4: fragments follow one another, with nothing but control frames between.
    #[test]
    fn section_5_4_the_writer_in_the_middle_of_a_message_and_pings_pass_all_others() {
        let mut turns = Turns::new(None);
        turns.fragment(1, false);
        let [other, mine, ping] = [Message(2), Message(1), Control].map(|s| turns.join(s));
        assert!(turns.is_barred(2) && !turns.is_barred(1));
        assert!(turns.is_next(mine) && !turns.is_next(other) && !turns.is_next(ping));
        turns.leave(mine);
        assert!(turns.is_next(ping));
        turns.leave(ping);
        assert!(!turns.is_next(other) && turns.is_free(Message(1)) && turns.is_free(Control));
        turns.fragment(1, true);
        assert!(turns.is_next(other) && !turns.is_barred(2) && !turns.is_free(Message(1)));
    }

    #[test]
    fn a_message_whose_writer_is_gone_keeps_nobody_waiting() {
        let mut turns = Turns::new(Some(1));
        let other = turns.join(Message(2));
        turns.abandon(2);
        assert!(!turns.is_next(other), "it was not theirs");
        turns.abandon(1);
        assert!(turns.is_next(other) && turns.is_barred(2) && turns.is_barred(1));
    }
}
