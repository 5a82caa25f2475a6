//! Where a client's mask keys come from (RFC 6455 §5.3 and §10.3).

use alloc::boxed::Box;
#[cfg(feature = "std")]
use core::cell::RefCell;
use rand::CryptoRng;
#[cfg(feature = "std")]
use rand::RngExt;

/// The thread's own cryptographic generator, looked up at each use, so that a connection may
/// move between threads. After a `fork` the child has to `exec`: until then both have the same keys
/// before them.
///
/// Keys are drawn in blocks, which takes half of the time.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadKeys;

/// How many keys are drawn at once.
#[cfg(feature = "std")]
const BLOCK: usize = 64;

#[cfg(feature = "std")]
std::thread_local! {
    /// Keys that were drawn, and how many of them are used.
    static DRAWN: RefCell<([u32; BLOCK], usize)> = const { RefCell::new(([0; BLOCK], BLOCK)) };
}

#[cfg(feature = "std")]
impl rand::TryRng for ThreadKeys {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(DRAWN.with_borrow_mut(|(keys, used)| {
            if *used == BLOCK {
                rand::rng().fill(keys);
                *used = 0;
            }
            // No key serves twice, and none stays in memory.
            let key = core::mem::take(&mut keys[*used]);
            *used += 1;
            key
        }))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        rand::rng().try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        rand::rng().try_fill_bytes(bytes)
    }
}

#[cfg(feature = "std")]
impl rand::TryCryptoRng for ThreadKeys {}

/// The role with what only that role has: a server cannot mask, and a client cannot do without.
pub(super) enum Keys {
    Client(Box<dyn CryptoRng + Send + Sync>),
    Server,
}

impl Keys {
    /// A fresh key for one frame, on a client.
    #[inline]
    pub(super) fn next(&mut self) -> Option<[u8; 4]> {
        match self {
            // The bytes that filling four would give, and the same ones on every platform.
            Self::Client(keys) => Some(keys.next_u32().to_le_bytes()),
            Self::Server => None,
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use rand::Rng;

    /// §10.3: whatever is drawn and however much, nothing comes twice.
    #[test]
    fn section_10_3_every_draw_is_fresh() {
        let mut seen = alloc::collections::BTreeSet::new();
        for _ in 0..3 * BLOCK {
            let mut bytes = [0; 16];
            ThreadKeys.fill_bytes(&mut bytes);
            assert!(seen.insert(u128::from_ne_bytes(bytes)));
            assert!(seen.insert(ThreadKeys.next_u64().into()));
        }
        // Of so few keys of four bytes two may be alike, but hardly more.
        let keys: alloc::collections::BTreeSet<_> =
            (0..3 * BLOCK).map(|_| ThreadKeys.next_u32()).collect();
        assert!(keys.len() >= 3 * BLOCK - 2);
    }
}
