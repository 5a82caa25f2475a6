//! Tasks that are polled only when they were woken, in an order that a seed says, and futures that
//! are dropped in the middle.

use super::Woken;
use core::{
    cell::Cell,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::{rc::Rc, sync::Arc};

/// A generator that a seed determines; clones share it.
#[derive(Clone)]
pub(crate) struct Dice(Rc<Cell<u64>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed | 1)))
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 11) % end
    }

    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

pub(crate) type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Polls tasks that were woken, one at a time, in an order that the dice say. When none is, `idle`
/// lets the world go on, and says whether it did.
///
/// # Panics
/// When none is woken and not all are done.
pub(crate) fn run_all(
    tasks: Vec<(&'static str, Task<'_>)>,
    dice: &Dice,
    mut idle: impl FnMut() -> bool,
) {
    let mut tasks: Vec<(&str, Task<'_>, Arc<Woken>, Waker, bool)> = tasks
        .into_iter()
        .map(|(name, task)| {
            let (woken, waker) = Woken::new();
            (name, task, woken, waker, true)
        })
        .collect();
    for _ in 0..1_000_000 {
        if tasks.is_empty() {
            return;
        }
        for task in &mut tasks {
            task.4 |= task.2.take() > 0;
        }
        let ready: Vec<usize> = (0..tasks.len()).filter(|i| tasks[*i].4).collect();
        if ready.is_empty() {
            if idle() {
                continue;
            }
            let names: Vec<_> = tasks.iter().map(|task| task.0).collect();
            panic!("nobody will ever wake {names:?}");
        }
        let pick = ready[dice.below(ready.len() as u64) as usize];
        let (_, task, _, waker, woken) = &mut tasks[pick];
        *woken = false;
        if task.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
            drop(tasks.swap_remove(pick));
        }
    }
    let names: Vec<_> = tasks.iter().map(|task| task.0).collect();
    panic!("it goes on for ever: {names:?}");
}

/// A future that is dropped after some polls: then `None`.
pub(crate) struct Dropped<F> {
    future: Option<Pin<Box<F>>>,
    polls: u64,
}

pub(crate) fn dropped<F: Future>(future: F, polls: u64) -> Dropped<F> {
    Dropped { future: Some(Box::pin(future)), polls }
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        self.polls -= 1;
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls == 0 => {
                self.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Lets the others go first.
pub(crate) async fn pause() {
    let mut paused = false;
    core::future::poll_fn(|cx| {
        if mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
