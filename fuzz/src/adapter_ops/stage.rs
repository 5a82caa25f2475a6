//! The tasks, and all that happens to them.

use super::{Call, Case, Lane, Left, peer::Last};
use crate::support::{Script, Step, Woken, tasks::Task};
use core::{
    task::{Context, Waker},
    time::Duration,
};
use fullduplex::tokio::{WebSocket, Writer};
use std::{collections::VecDeque, io::ErrorKind, sync::Arc};
use tokio::runtime::Runtime;

/// More polls than anything takes.
const MOST_POLLS: u32 = 100_000;

/// The tasks and what happens to them.
pub(super) struct Stage<'c> {
    pub(super) case: &'c Case,
    pub(super) time: &'c Runtime,
    pub(super) acts: Vec<Act<'c>>,
    /// Determines who of those that were woken is polled next.
    pub(super) order: u32,
    pub(super) halves: bool,
    /// In halves, one more that looks on.
    pub(super) watch: Option<Writer<Script>>,
}

/// A task, and whether it is to be polled.
pub(super) struct Act<'c> {
    task: Task<'c>,
    waker: Waker,
    woken: Arc<Woken>,
    is_woken: bool,
}

impl<'c> Stage<'c> {
    fn spawn(&mut self, task: impl Future<Output = ()> + 'c) {
        let (woken, waker) = Woken::new();
        self.acts.push(Act { task: Box::pin(task), waker, woken, is_woken: true });
    }

    /// A connection in one piece.
    pub(super) fn start(&mut self, ws: WebSocket<Script>) {
        self.halves = false;
        self.spawn(self.case.whole(ws));
    }

    /// Polls those who were woken, until none is.
    pub(super) fn run(&mut self) {
        for _ in 0..MOST_POLLS {
            let is_woken = |task: &mut Act<'_>| {
                task.is_woken |= task.woken.take() > 0;
                task.is_woken
            };
            let woken = self.acts.iter_mut().enumerate();
            let woken = woken.filter_map(|(i, act)| is_woken(act).then_some(i));
            let woken: Vec<usize> = woken.collect();
            if woken.is_empty() {
                return self.look();
            }
            self.order = self.order.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            let i = woken[(self.order >> 24) as usize % woken.len()];
            let act = &mut self.acts[i];
            act.is_woken = false;
            if act.task.as_mut().poll(&mut Context::from_waker(&act.waker)).is_ready() {
                drop(self.acts.remove(i));
            }
        }
        panic!("it goes on for ever");
    }

    /// A reader that waits has written all that was queued, by whomever.
    fn look(&self) {
        let stalls = {
            let state = self.case.script.state();
            let stalls = |steps: &VecDeque<Step>| matches!(steps.front(), Some(Step::Stall));
            stalls(&state.writes) || stalls(&state.flushes)
        };
        let waits = self.case.lanes[0].busy.get().is_some();
        if let Some(watch) = self.watch.as_ref().filter(|watch| waits && !stalls && watch.is_open())
        {
            assert_eq!(watch.unsent(), Default::default(), "the reader waits, and this as well");
            assert!(self.case.script.is_flushed(), "the reader waits, and nothing was flushed");
        }
    }

    fn call(&self, lane: usize, letter: u8, number: u8) {
        if lane == 0 && self.case.reader_is_gone.get() {
            return;
        }
        self.case.lanes[lane].calls.borrow_mut().push_back(Call { letter, number });
        self.case.lanes[lane].wake();
    }

    pub(super) fn step(&mut self, step: u8, number: u8) {
        let (case, second) = (self.case, step & 0x20 == 0);
        if step & 0x40 == 0 {
            self.order = number.into();
        }
        let lane = if self.halves { 1 + usize::from(second) } else { 0 };
        let mut peer = case.peer.borrow_mut();
        let script = &case.script;
        match step & 0x1f | 0x60 {
            letter @ (b'r' | b'v' | b'k') => self.call(0, letter, number),
            b'h' if !self.halves => self.call(0, b'h', number),
            letter @ (b's' | b'q' | b'd' | b'f' | b'e' | b'p' | b'g' | b'y' | b'c') => {
                self.call(lane, letter, number);
            }
            letter @ (b't' | b'b' | b'm' | b'i' | b'z') => peer.says(letter, number),
            b'a' => peer.answers(),
            b'j' => peer.breaks_a_rule(number),
            b'u' => peer.ends(Last::Cut, &[Step::Eof]),
            b'o' => {
                peer.loses(number.into());
                peer.ends(Last::Cut, &[Step::Error(ErrorKind::ConnectionReset), Step::Eof]);
            }
            b'w' => {
                let step = match number & 3 {
                    0 => Step::Stall,
                    1 => Step::Pending,
                    _ => Step::Count(1 + usize::from(number >> 2)),
                };
                let mut state = script.state();
                match (&step, number & 0x0c) {
                    (Step::Stall | Step::Pending, 4) => state.flushes.push_back(step),
                    (Step::Stall | Step::Pending, 8) => state.shutdowns.push_back(step),
                    (Step::Pending, 12) => state.reads.push_back(step),
                    _ => state.writes.push_back(step),
                }
            }
            b'n' => {
                case.books.borrow_mut().disturbed = true;
                let broken = (0..100).map(|_| Step::Error(ErrorKind::BrokenPipe));
                script.go_on_in(false, |state| match number & 1 {
                    0 => state.writes.extend(broken),
                    _ => state.flushes.extend(broken),
                });
            }
            b'l' => script.go_on_in(false, |state| {
                for steps in [&mut state.writes, &mut state.flushes, &mut state.shutdowns] {
                    if let Some(Step::Stall) = steps.front() {
                        steps.pop_front();
                    }
                }
            }),
            b'{' if number & 0x80 == 0 => {
                let lane = &case.lanes[usize::from(number) % 3];
                lane.drops.set(lane.busy.get().is_some());
                lane.wake();
            }
            b'{' if self.halves => self.call(0, b'D', 0),
            b'|' => {
                case.books.borrow_mut().disturbed = true;
                let duration = Duration::from_millis(500) * (number & 0x0f).into();
                self.time.block_on(tokio::time::advance(duration));
            }
            b'x' => {
                drop(peer);
                self.split_or_reunite();
            }
            _ => {}
        }
    }

    /// Everybody leaves; a call that is being made is dropped.
    fn leave(&mut self) {
        self.case.lanes.iter().for_each(Lane::leave);
        self.run();
        assert!(self.acts.is_empty(), "a call that does not go away");
        self.case.lanes.iter().for_each(|lane| lane.leaves.set(false));
    }

    fn split_or_reunite(&mut self) {
        let case = self.case;
        if self.halves && case.reader_is_gone.get() {
            return;
        }
        self.leave();
        let Left { whole, reader, writers } = case.left.take();
        if let Some(ws) = whole {
            case.check(&ws);
            let (reader, writer) = ws.split();
            let second = writer.clone();
            (self.halves, self.watch) = (true, Some(writer.clone()));
            self.spawn(case.reader(reader));
            self.spawn(case.writer(writer, 0));
            self.spawn(case.writer(second, 1));
            return;
        }
        let [first, second] = writers;
        drop((second, self.watch.take()));
        let (reader, writer) = (reader.expect("a reader"), first.expect("a writer"));
        let ws = reader.reunite(writer).expect("both halves of one connection");
        case.check(&ws);
        // What a writer has left unfinished can be gone on with.
        let mut books = case.books.borrow_mut();
        let begun = books.begun.iter_mut().find_map(Option::take);
        books.begun[0] = begun;
        drop(books);
        self.start(ws);
    }

    /// Lets everything go on and end, so that everybody has to come to an end: nobody is left who
    /// waits, and no time passes.
    pub(super) fn finish(mut self) -> bool {
        let case = self.case;
        self.run();
        case.script.go_on_in(false, |state| {
            let waits = |step: &Step| !matches!(step, Step::Stall | Step::Pending);
            state.writes.retain(waits);
            state.flushes.retain(waits);
            state.shutdowns.retain(waits);
        });
        self.run();
        if !case.begun() && !case.books.borrow().torn {
            for lane in &case.lanes {
                let waits = lane.busy.get().is_some_and(|letter| b"sqdfepgy".contains(&letter));
                assert!(!waits, "the stream takes everything, and somebody waits to write");
            }
        }
        {
            let mut peer = case.peer.borrow_mut();
            peer.answers();
            peer.says(b'z', 0);
            peer.ends(Last::Cut, &[Step::Eof]);
        }
        self.run();
        match case.reader_is_gone.get() {
            false => self.call(0, b'R', 0),
            true => self.call(1, b'c', 0),
        }
        self.run();
        for lane in &case.lanes {
            assert_eq!(lane.busy.get().map(char::from), None, "nobody will ever wake it");
            assert!(lane.calls.borrow().is_empty());
        }
        self.leave();
        let Left { whole, reader, writers } = case.left.take();
        let closed = match (whole, reader, writers) {
            (Some(ws), ..) => {
                case.check(&ws);
                ws.closed().cloned()
            }
            (_, _, [Some(writer), _]) => {
                case.check(&writer);
                writer.closed()
            }
            _ => panic!("nobody came back"),
        };
        closed.expect("the end is known").is_clean()
    }
}
