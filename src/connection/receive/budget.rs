//! Memory for what is received, shared by many connections.

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering};

/// How much memory the unfinished messages of many connections may take together, in bytes.
///
/// [`Config::max_message_size`](crate::Config::max_message_size) bounds what one peer makes you
/// hold. With many peers that bound is multiplied: a thousand peers that each send 15 of 16 MiB
/// hold 15 GiB. Give one budget to all of them, with
/// [`Config::receive_budget`](crate::Config::receive_budget), and the sum is bounded too. A message
/// for which nothing is left fails its own connection, with code 1013 and
/// [`ProtocolErrorKind::OverBudget`](crate::ProtocolErrorKind::OverBudget).
///
/// It counts what is reserved for messages that arrive in more than one piece, inflated if they are
/// compressed, until the message is whole or the connection is over. What you have received is
/// yours to count, and so are messages that a writer which closes keeps for a reader that is busy. Messages that lie whole in the read buffer, and those that you take in chunks,
/// take nothing of it.
///
/// A clone is the same budget.
///
/// ```
/// use fullduplex::{Config, Connection, Input, ReceiveBudget};
///
/// let budget = ReceiveBudget::new(256 << 20);
/// let mut server = Connection::server(Config::default().receive_budget(budget.clone()));
/// let mut half = *b"\x82\x84\0\0\0\0ab"; // two of four bytes
/// server.receive(&mut Input::new(&mut half))?;
/// assert!(budget.used() >= 4);
/// server.receive(&mut Input::new(&mut [b'c', b'd']))?;
/// assert_eq!(budget.used(), 0);
/// # Ok::<(), fullduplex::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveBudget(Arc<Usage>);

#[derive(Debug)]
struct Usage {
    limit: usize,
    used: AtomicUsize,
}

impl ReceiveBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Usage { limit: bytes, used: AtomicUsize::new(0) }))
    }

    /// All of it, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How much of it is taken now, in bytes.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` of it, if so much is left.
    fn take(&self, bytes: usize) -> bool {
        let taken = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        // Nothing else is published with it, so there is nothing to order.
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// What one message has taken of a budget. It gives it back when it is dropped.
///
/// In a box, because few connections have a budget, and of those few are inside a message.
#[derive(Default)]
pub(crate) struct Share(Option<Box<(ReceiveBudget, usize)>>);

impl Share {
    /// Makes it `bytes` in all, if the budget has them; without a budget there is no bound.
    pub(crate) fn grow_to(&mut self, bytes: usize, budget: Option<&ReceiveBudget>) -> bool {
        let Some(budget) = budget else { return true };
        let (budget, taken) = &mut **self.0.get_or_insert_with(|| Box::new((budget.clone(), 0)));
        let more = bytes.saturating_sub(*taken);
        let granted = budget.take(more);
        if granted {
            *taken += more;
        }
        granted
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(share) = &self.0 {
            let (budget, taken) = &**share;
            budget.0.used.fetch_sub(*taken, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_within_the_budget_and_goes_back() {
        let budget = ReceiveBudget::new(100);
        let (mut one, mut two) = (Share::default(), Share::default());
        assert!(one.grow_to(60, Some(&budget)) && one.grow_to(50, Some(&budget)));
        assert_eq!(budget.used(), 60, "it does not shrink");
        assert!(!two.grow_to(41, Some(&budget)));
        assert!(!two.grow_to(usize::MAX, Some(&budget)), "nothing overflows");
        assert!(two.grow_to(40, Some(&budget)));
        assert_eq!((budget.used(), budget.limit()), (100, 100));
        drop(one);
        assert!(two.grow_to(100, Some(&budget)));
        drop(two);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn without_a_budget_there_is_no_bound() {
        let mut share = Share::default();
        assert!(share.grow_to(usize::MAX, None));
        assert!(share.0.is_none());
    }
}
