//! Memory for unfinished messages, shared by many connections.

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bounds the memory of the unfinished messages of many connections together, in bytes.
///
/// [`Config::max_message_size`](crate::Config::max_message_size) bounds one peer. A thousand peers that
/// each send 15 of 16 MiB still make you hold 15 GiB. Give all of them clones of one budget, with
/// [`Config::receive_budget`](crate::Config::receive_budget), to bound the sum. A message that exceeds
/// the rest fails its own connection, with code 1013 and
/// [`ProtocolErrorKind::OverBudget`](crate::ProtocolErrorKind::OverBudget).
///
/// The budget counts the memory of a message that arrives in more than one piece, after inflating it,
/// until the message is whole or the connection is over. It does not count messages that you have
/// received, that a closing writer keeps for a busy reader, that lie whole in the read buffer, or that
/// you take in chunks.
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
    /// A budget of `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Usage { limit: bytes, used: AtomicUsize::new(0) }))
    }

    /// The size of the whole budget, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// The bytes that are taken now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, if that much is left.
    fn take(&self, bytes: usize) -> bool {
        let taken = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        // Relaxed, because nothing else is published with this number.
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// The part of a budget that one message has taken. Dropping it gives the part back.
///
/// In a box, because few connections have a budget, and few of those are inside a message.
#[derive(Default)]
pub(crate) struct Share(Option<Box<(ReceiveBudget, usize)>>);

impl Share {
    /// Grows to `bytes` in all, if the budget has them. Without a budget there is no bound.
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
