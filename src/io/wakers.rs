//! Who is woken, when two tasks share a connection.

use alloc::{sync::Arc, task::Wake};
use core::task::{Context, Waker};

/// The tasks that wait for a connection: one that receives and one that sends.
///
/// A stream keeps one waker for reading and one for writing, and a timer one; but a receiving task
/// writes too, and either may stop polling at any time. So when both wait, what is left with the
/// stream wakes both.
#[derive(Default)]
pub(super) struct Wakers {
    receiving: Option<Waker>,
    sending: Option<Waker>,
    /// Whether somebody else sees to it: then none is kept.
    pub(super) elsewhere: bool,
}

/// Which task polls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Receiving,
    Sending,
}

/// Wakes two tasks.
struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}

impl Wakers {
    /// What to leave with the stream in the place of `caller`'s own waker, if another task waits.
    #[inline]
    pub(super) fn joint(&self, caller: Caller, cx: &Context<'_>) -> Option<Waker> {
        let other = match caller {
            Caller::Receiving => self.sending.as_ref()?,
            Caller::Sending => self.receiving.as_ref()?,
        };
        if other.will_wake(cx.waker()) {
            return None;
        }
        Some(Arc::new(Both(other.clone(), cx.waker().clone())).into())
    }

    /// `caller` waits.
    #[inline]
    pub(super) fn keep(&mut self, caller: Caller, cx: &Context<'_>) {
        if self.elsewhere {
            return;
        }
        let slot = match caller {
            Caller::Receiving => &mut self.receiving,
            Caller::Sending => &mut self.sending,
        };
        match slot {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *slot = Some(cx.waker().clone()),
        }
    }

    /// Whether a sending task waits.
    #[inline]
    pub(super) fn has_sender(&self) -> bool {
        self.sending.is_some()
    }

    /// The sending task waits no more.
    #[inline]
    pub(super) fn sent(&mut self) {
        self.sending = None;
    }

    /// There was progress that a waiting sender wants to know of.
    #[inline]
    pub(super) fn wake_sending(&mut self) {
        self.sending.take().into_iter().for_each(Waker::wake);
    }

    /// The connection is over.
    pub(super) fn wake_all(&mut self) {
        self.wake_sending();
        self.receiving.take().into_iter().for_each(Waker::wake);
    }
}
