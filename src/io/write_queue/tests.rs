use super::*;
use alloc::vec;

/// A generator that a seed determines.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    Control,
    Fragments,
    Messages,
    Flush(u64),
}

/// The queue as one would write it down first: a list that is gone through.
#[derive(Default)]
struct Reference {
    /// In order of arrival.
    calls: Vec<Waits>,
    under_way: Option<u64>,
    is_abandoned: bool,
    written: u64,
    stage: u8,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    name: usize,
    ticket: u64,
    class: Class,
    /// Whose message it waits with.
    writer: Option<u64>,
    asleep: bool,
    visits: u64,
}

impl Reference {
    fn class(&self, sends: Sends) -> Class {
        match sends {
            Sends::Control => Class::Control,
            Sends::Message(writer) if self.under_way == Some(writer) => Class::Fragments,
            Sends::Message(_) => Class::Messages,
        }
    }

    fn first(&self, class: Class) -> Option<Waits> {
        let line = self.calls.iter().filter(|call| call.class == class);
        line.min_by_key(|call| call.ticket).copied()
    }

    /// Who is in front of a call.
    fn in_front(&self, ticket: Option<u64>, sends: Sends) -> Option<Waits> {
        let class = self.class(sends);
        let control = self.first(Class::Control).filter(|_| class != Class::Control);
        let earlier = |first: &Waits| ticket.is_none_or(|ticket| first.ticket < ticket);
        control.or_else(|| self.first(class).filter(earlier))
    }

    fn find(&mut self, ticket: u64) -> Option<&mut Waits> {
        self.calls.iter_mut().find(|call| call.ticket == ticket)
    }

    fn remove(&mut self, ticket: u64) {
        self.calls.retain(|call| call.ticket != ticket);
    }

    fn rouse(&mut self, ticket: u64, woken: &mut Vec<usize>) {
        let call = self.find(ticket).unwrap();
        if mem::replace(&mut call.asleep, false) {
            woken.push(call.name);
        }
    }

    fn wake(&mut self, progress: &Progress) -> Vec<usize> {
        let mut woken = Vec::new();
        if mem::replace(&mut self.stage, progress.stage) != progress.stage {
            woken.extend(self.calls.iter().filter(|call| call.asleep).map(|call| call.name));
            self.calls.clear();
            return woken;
        }
        let mut flushing: Vec<_> = self
            .calls
            .iter()
            .filter_map(|call| match call.class {
                Class::Flush(position) => Some((position, call.ticket, call.name)),
                _ => None,
            })
            .collect();
        flushing.sort_unstable();
        for (position, ticket, name) in flushing {
            let is_made = position == u64::MAX && !progress.is_cut;
            let is_written = self.written < position && position <= progress.written;
            if position <= progress.flushed || is_made || is_written {
                if is_written {
                    self.written = progress.written;
                }
                woken.push(name);
                self.remove(ticket);
            } else {
                break;
            }
        }
        self.written = progress.written;
        let messages = match self.under_way {
            Some(_) => Class::Fragments,
            None => Class::Messages,
        };
        for (class, has_room) in
            [(Class::Control, progress.has_control_room), (messages, progress.has_room)]
        {
            let Some(first) = self.first(class).filter(|_| has_room) else { continue };
            self.rouse(first.ticket, &mut woken);
            let mut line: Vec<_> =
                self.calls.iter().filter(|call| call.class == class).copied().collect();
            line.sort_unstable_by_key(|call| call.ticket);
            let mut awake = line.iter().filter(|call| !call.asleep).count();
            for call in line.iter().filter(|call| call.asleep) {
                if awake < progress.ahead {
                    self.rouse(call.ticket, &mut woken);
                    awake += 1;
                }
            }
        }
        woken
    }
}

impl<W> WriteQueue<W> {
    /// How many calls wait for room.
    pub(crate) fn wait_for_room(&self) -> usize {
        let lines = [&self.control, &self.fragments, &self.messages];
        lines.iter().map(|line| line.asleep.len() + line.awake.len()).sum()
    }

    fn count(&self) -> usize {
        self.wait_for_room() + self.flushing.len() + self.other.len()
    }
}

const WRITERS: u64 = 4;

/// One call: its place, and what the reference knows of it.
#[derive(Default)]
struct Call {
    place: Place,
    seen: Option<(u64, u64)>,
}

/// Any calls in any order: the queue and the list say the same.
#[test]
fn it_decides_as_a_list_does() {
    for seed in 0..300 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed << 20) | 1);
        let mut queue = WriteQueue::<usize>::new(0, None);
        let mut reference = Reference::default();
        let mut calls: Vec<Call> = Vec::new();
        let (mut flushed, mut stage) = (0, 0);
        for _ in 0..400 {
            let number = dice.below(12) as usize;
            calls.resize_with(calls.len().max(number + 1), Call::default);
            let call = &mut calls[number];
            let sends = match dice.below(5) {
                0 => Sends::Control,
                _ => Sends::Message(dice.below(WRITERS)),
            };
            match dice.below(9) {
                // Waits for room, or is there and goes on waiting by itself.
                0..3 => {
                    let asleep = dice.below(4) > 0;
                    queue.wait(&mut call.place, WaitsFor::Room(sends), asleep.then_some(number));
                    let (ticket, visits) = (call.place.ticket(), call.place.visits);
                    let class = reference.class(sends);
                    let writer = match sends {
                        Sends::Message(writer) => Some(writer),
                        Sends::Control => None,
                    };
                    reference.remove(ticket);
                    let name = number;
                    reference.calls.push(Waits { name, ticket, class, writer, asleep, visits });
                }
                3 => {
                    let position = [Some(flushed + dice.below(20)), None][dice.below(2) as usize];
                    queue.wait(&mut call.place, WaitsFor::Flush(position), Some(number));
                    let (ticket, visits) = (call.place.ticket(), call.place.visits);
                    let class = Class::Flush(position.unwrap_or(u64::MAX));
                    reference.remove(ticket);
                    reference.calls.push(Waits {
                        name: number,
                        ticket,
                        class,
                        writer: None,
                        asleep: true,
                        visits,
                    });
                }
                4 => {
                    let was = call.place.is_taken().then(|| call.place.ticket());
                    was.into_iter().for_each(|ticket| reference.remove(ticket));
                    queue.leave(&mut call.place);
                    *call = Call::default();
                }
                5 => {
                    let ticket = call.place.is_taken().then(|| call.place.ticket());
                    let goes = reference.in_front(ticket, sends).is_none();
                    assert_eq!(queue.may_go(&call.place, sends), goes);
                }
                6 => {
                    let ticket = call.place.is_taken().then(|| call.place.ticket());
                    let (mut expected, mut passes) = (Vec::new(), false);
                    let answer = loop {
                        let Some(first) = reference.in_front(ticket, sends) else {
                            break Answer::Go;
                        };
                        reference.rouse(first.ticket, &mut expected);
                        if call.seen == Some((first.ticket, first.visits)) {
                            reference.remove(first.ticket);
                            passes = true;
                        } else if passes || call.seen.is_none() {
                            call.seen = Some((first.ticket, first.visits));
                            break Answer::Again;
                        } else {
                            call.seen = None;
                            break Answer::Wait;
                        }
                    };
                    let mut woken = Vec::new();
                    assert_eq!(queue.ask(&mut call.place, sends, &mut woken), answer);
                    assert_eq!(woken, expected);
                }
                7 => {
                    let writer = dice.below(WRITERS);
                    match dice.below(20) {
                        0 => {
                            let mut woken = Vec::new();
                            queue.abandon(writer, &mut woken);
                            if reference.under_way == Some(writer) {
                                reference.under_way = None;
                                reference.is_abandoned = true;
                                let lines = |call: &Waits| {
                                    matches!(call.class, Class::Fragments | Class::Messages)
                                };
                                let calls = &mut reference.calls;
                                assert_eq!(
                                    woken.len(),
                                    calls.iter().filter(|call| lines(call) && call.asleep).count()
                                );
                                calls.retain(|call| !lines(call));
                            }
                        }
                        1..10 if reference.under_way.is_none() && !reference.is_abandoned => {
                            queue.set_under_way(Some(writer));
                            reference.under_way = Some(writer);
                            let own = |call: &&mut Waits| call.writer == Some(writer);
                            let calls = reference.calls.iter_mut();
                            calls.filter(own).for_each(|call| call.class = Class::Fragments);
                        }
                        _ if !reference.is_abandoned => {
                            queue.set_under_way(None);
                            reference.under_way = None;
                            let fragments = |call: &&mut Waits| call.class == Class::Fragments;
                            let calls = reference.calls.iter_mut();
                            calls.filter(fragments).for_each(|call| call.class = Class::Messages);
                        }
                        _ => {}
                    }
                }
                _ => {
                    flushed += dice.below(10);
                    let ends = dice.below(30) == 0;
                    stage ^= u8::from(ends);
                    let progress = Progress {
                        written: flushed + dice.below(5),
                        flushed,
                        is_cut: dice.below(2) == 0,
                        has_room: dice.below(2) == 0,
                        has_control_room: dice.below(2) == 0,
                        ahead: 1 + dice.below(3) as usize,
                        stage,
                    };
                    let mut woken = Vec::new();
                    queue.wake(&progress, &mut woken);
                    let mut expected = reference.wake(&progress);
                    if ends {
                        woken.sort_unstable(); // in any order
                        expected.sort_unstable();
                    }
                    assert_eq!(woken, expected, "{progress:?}");
                }
            }
            assert_eq!(queue.count(), reference.calls.len());
            let barred = reference.under_way.is_some();
            for writer in 0..WRITERS {
                let mine = reference.under_way == Some(writer);
                assert_eq!(queue.is_barred(Sends::Message(writer)), barred && !mine);
            }
        }
        calls.iter_mut().for_each(|call| queue.leave(&mut call.place));
        assert_eq!(queue.count(), 0, "whoever leaves leaves nothing behind");
    }
}

fn room(flushed: u64) -> Progress {
    Progress {
        written: flushed,
        flushed,
        is_cut: false,
        has_room: true,
        has_control_room: true,
        ahead: 1,
        stage: 0,
    }
}

/// D6: each that waits is woken once for its turn and once for its bytes, however many wait.
#[test]
fn nobody_is_woken_in_vain() {
    for many in [10, 1_000, 8_000] {
        let mut queue = WriteQueue::new(0, None);
        let mut places: Vec<Place> = (0..many).map(|_| Place::default()).collect();
        for (name, place) in places.iter_mut().enumerate() {
            queue.wait(place, WaitsFor::Room(Sends::Message(name as u64)), Some(name));
        }
        let mut order = Vec::new();
        for (turn, place) in places.iter_mut().enumerate() {
            let mut woken = Vec::new();
            queue.wake(&room(0), &mut woken);
            assert_eq!(woken, [turn]);
            assert!(queue.may_go(place, Sends::Message(turn as u64)));
            queue.leave(place);
            queue.wait(place, WaitsFor::Flush(Some(10 * (turn as u64 + 1))), Some(turn));
        }
        for flushed in (0..=10 * many as u64).step_by(25) {
            queue.wake(&room(flushed), &mut order);
        }
        queue.wake(&room(10 * many as u64), &mut order);
        assert_eq!(order, (0..many).collect::<Vec<_>>());
        assert_eq!(queue.count(), 0);
    }
}

/// A10: a ping goes in front of messages that wait, and nothing else does but what ends the message
/// that is under way.
#[test]
fn section_5_4_control_frames_and_fragments_go_first() {
    let mut queue = WriteQueue::new(0, Some(1));
    let [mut other, mut mine, mut ping] = [(); 3].map(|()| Place::default());
    queue.wait(&mut other, WaitsFor::Room(Sends::Message(2)), Some("other"));
    queue.wait(&mut mine, WaitsFor::Room(Sends::Message(1)), Some("mine"));
    queue.wait(&mut ping, WaitsFor::Room(Sends::Control), Some("ping"));
    assert!(queue.is_barred(Sends::Message(2)) && !queue.is_barred(Sends::Message(1)));
    assert!(queue.may_go(&ping, Sends::Control) && !queue.may_go(&mine, Sends::Message(1)));
    let mut woken = vec![];
    queue.wake(&room(0), &mut woken);
    assert_eq!(woken, ["ping", "mine"]);
    queue.leave(&mut ping);
    assert!(queue.may_go(&mine, Sends::Message(1)));
    queue.leave(&mut mine);
    queue.set_under_way(None);
    assert!(queue.may_go(&other, Sends::Message(2)) && !queue.is_barred(Sends::Message(2)));
    assert!(!queue.may_go(&mine, Sends::Message(1)), "it is the other's turn");
}

#[test]
fn a_message_whose_writer_is_gone_keeps_nobody_waiting() {
    let mut queue = WriteQueue::new(0, Some(1));
    let (mut other, mut woken) = (Place::default(), vec![]);
    queue.wait(&mut other, WaitsFor::Room(Sends::Message(2)), Some("other"));
    queue.abandon(2, &mut woken);
    assert!(woken.is_empty() && queue.is_barred(Sends::Message(2)), "it was not theirs");
    queue.abandon(1, &mut woken);
    assert_eq!(woken, ["other"]);
    assert!(queue.is_shut_out(1) && queue.is_shut_out(2) && !queue.is_barred(Sends::Message(2)));
    queue.set_under_way(None);
    assert!(queue.is_shut_out(2), "for ever");
}

/// D5: whoever was woken and does not come is passed over, and has its place when it comes.
#[test]
fn a_turn_that_is_not_taken_passes_on() {
    let mut queue = WriteQueue::new(0, None);
    let [mut first, mut second, mut third] = [(); 3].map(|()| Place::default());
    let [a, b, c] = [1, 2, 3].map(Sends::Message);
    let mut woken = vec![];
    queue.wait(&mut first, WaitsFor::Room(a), Some("first"));
    queue.wait(&mut second, WaitsFor::Room(b), Some("second"));
    assert_eq!(queue.ask(&mut third, c, &mut woken), Answer::Again);
    queue.wait(&mut third, WaitsFor::Room(c), None);
    assert_eq!(woken, ["first"]);
    // The first did not come, and the second is asked.
    assert_eq!(queue.ask(&mut third, c, &mut woken), Answer::Again);
    assert_eq!(woken, ["first", "second"]);
    // It has come: its turn is its own.
    queue.came(&mut second, b);
    assert_eq!(queue.ask(&mut third, c, &mut woken), Answer::Wait);
    assert_eq!(queue.ask(&mut second, b, &mut woken), Answer::Go);
    // The first is in front of all when it comes after all.
    queue.came(&mut first, a);
    assert!(queue.may_go(&first, a) && !queue.may_go(&second, b) && !queue.may_go(&third, c));
}

/// Those who look after the connection are woken from both ends, and everybody in the end.
#[test]
fn some_are_woken_to_look_after_the_connection() {
    let mut queue = WriteQueue::new(0, None);
    let mut places: Vec<Place> = (0..10).map(|_| Place::default()).collect();
    for (name, place) in places.iter_mut().enumerate() {
        let waits_for = match name {
            0..3 => WaitsFor::Flush(Some(name as u64 + 1)),
            3..8 => WaitsFor::Room(Sends::Message(name as u64)),
            _ => WaitsFor::Other,
        };
        queue.wait(place, waits_for, Some(name));
    }
    let mut woken = vec![];
    queue.wake_some(1, &mut woken);
    assert_eq!(woken, [0, 8]);
    queue.wake_some(5, &mut woken);
    assert_eq!(woken, [0, 8, 1, 2, 3, 7, 4, 9]);
    queue.wake_some(10, &mut woken);
    assert_eq!(woken, [0, 8, 1, 2, 3, 7, 4, 9, 5, 6]);
    assert!(!queue.has_sleepers() && !queue.is_clear());
    queue.wait(&mut places[4], WaitsFor::Room(Sends::Control), Some(4));
    queue.wait(&mut places[5], WaitsFor::Other, Some(5));
    assert_eq!(queue.wake_other(places[5].ticket()), Some(5));
    queue.wait(&mut places[5], WaitsFor::Other, Some(5));
    woken.clear();
    queue.wake(&Progress { stage: 1, has_room: false, ..room(0) }, &mut woken);
    woken.sort_unstable();
    assert_eq!(woken, [4, 5]);
}

/// Two calls of one writer wait, and the first begins a message in fragments: only the second can go on
/// with it.
#[test]
fn calls_of_a_writer_go_on_behind_its_first_fragment() {
    for control in [false, true] {
        let mut queue = WriteQueue::new(10, None);
        let [mut first, mut other, mut second, mut ping] = [(); 4].map(|()| Place::default());
        let room = |writer| WaitsFor::Room(Sends::Message(writer));
        queue.wait(&mut first, room(0), Some("first"));
        queue.wait(&mut other, room(1), Some("other"));
        queue.wait(&mut second, room(0), Some("second"));
        if control {
            queue.wait(&mut ping, WaitsFor::Room(Sends::Control), Some("ping"));
        }
        let progress = Progress {
            written: 0,
            flushed: 0,
            is_cut: false,
            has_room: true,
            has_control_room: false,
            ahead: 1,
            stage: 0,
        };
        let mut woken = Vec::new();
        queue.wake(&progress, &mut woken);
        assert_eq!(woken, ["first"]);
        queue.leave(&mut first);
        queue.set_under_way(Some(0));
        queue.wake(&progress, &mut woken);
        assert_eq!(woken, ["first", "second"]);
        assert!(!queue.may_go(&other, Sends::Message(1)) || queue.is_barred(Sends::Message(1)));
        queue.leave(&mut second);
        queue.set_under_way(None);
        queue.wake(&progress, &mut woken);
        assert_eq!(woken, ["first", "second", "other"]);
        queue.leave(&mut other);
        queue.leave(&mut ping);
        assert!(queue.is_idle() && queue.writers.is_empty());
    }
}
