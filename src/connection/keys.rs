//! The source of a client's mask keys (RFC 6455 §5.3 and §10.3).

use alloc::boxed::Box;
#[cfg(feature = "std")]
use core::cell::RefCell;
use rand::CryptoRng;
#[cfg(feature = "std")]
use rand::{
    Rng, RngExt, SeedableRng,
    rngs::{StdRng, SysRng},
};

/// The thread's own cryptographic generator, looked up at each use, so that a connection may move
/// between threads. After a `fork` the child has to `exec`: until then both would draw the same keys.
///
/// This is not `rand::rng()`, which panics once the thread's destructors have run. A connection may be
/// used in one of them.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadKeys;

/// The number of keys that are drawn at once. This halves the time for each.
#[cfg(feature = "std")]
const BLOCK: usize = 64;

/// The generator gets a new seed from the operating system after this many bytes.
#[cfg(feature = "std")]
const RESEED: usize = 64 * 1024;

#[cfg(feature = "std")]
std::thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn::NOTHING) };
}

/// A generator and the keys drawn from it. It needs no drop, so it exists to the end of the thread.
#[cfg(feature = "std")]
struct Drawn {
    /// Keys; the first `used` of them are used.
    keys: [u32; BLOCK],
    used: usize,
    rng: Option<StdRng>,
    /// The bytes that may still be drawn with this seed.
    left: usize,
}

#[cfg(feature = "std")]
impl Drawn {
    const NOTHING: Self = Self { keys: [0; BLOCK], used: BLOCK, rng: None, left: 0 };

    /// The generator, ready to give `bytes` bytes, and the place of the keys.
    ///
    /// # Panics
    /// If the operating system has no seed to give.
    fn rng(&mut self, bytes: usize) -> (&mut StdRng, &mut [u32; BLOCK]) {
        if self.left < bytes {
            (self.rng, self.left) = (None, RESEED);
        }
        self.left = self.left.saturating_sub(bytes);
        let seeded = || StdRng::try_from_rng(&mut SysRng);
        let rng = self.rng.get_or_insert_with(|| seeded().expect("the system gives a seed"));
        (rng, &mut self.keys)
    }

    #[cold]
    fn draw(&mut self) {
        let (rng, keys) = self.rng(BLOCK * size_of::<u32>());
        rng.fill(keys);
        self.used = 0;
    }

    #[inline]
    fn next(&mut self) -> u32 {
        if self.used == BLOCK {
            self.draw();
        }
        // No key serves twice, and none stays in memory.
        let key = core::mem::take(&mut self.keys[self.used]);
        self.used += 1;
        key
    }
}

#[cfg(feature = "std")]
impl rand::TryRng for ThreadKeys {
    type Error = core::convert::Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let drawn = DRAWN.try_with(|drawn| drawn.borrow_mut().next());
        Ok(drawn.unwrap_or_else(|_| systems(Rng::next_u32)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let drawn = DRAWN.try_with(|drawn| {
            drawn.borrow_mut().rng(bytes.len()).0.fill_bytes(bytes);
        });
        drawn.unwrap_or_else(|_| systems(|rng| rng.fill_bytes(bytes)));
        Ok(())
    }
}

/// Draws from the operating system itself. A feature of its crate may give the generator a drop, and
/// then it is gone while the thread ends.
#[cfg(feature = "std")]
#[cold]
fn systems<R>(draw: impl FnOnce(&mut rand::rand_core::UnwrapErr<SysRng>) -> R) -> R {
    draw(&mut rand::rand_core::UnwrapErr(SysRng))
}

#[cfg(feature = "std")]
impl rand::TryCryptoRng for ThreadKeys {}

/// The role. Only a client has mask keys, so a server cannot mask and a client must.
pub(super) enum Keys {
    Client(Box<dyn CryptoRng + Send + Sync>),
    Server,
}

impl Keys {
    /// A fresh key for one frame, on a client.
    #[inline]
    pub(super) fn next(&mut self) -> Option<[u8; 4]> {
        match self {
            // As `fill_bytes` would give them, and the same on every platform.
            Self::Client(keys) => Some(keys.next_u32().to_le_bytes()),
            Self::Server => None,
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use rand::Rng;

    /// §10.3: no draw, of any size, comes twice.
    #[test]
    fn section_10_3_every_draw_is_fresh() {
        let mut seen = alloc::collections::BTreeSet::new();
        for _ in 0..3 * BLOCK {
            let mut bytes = [0; 16];
            ThreadKeys.fill_bytes(&mut bytes);
            assert!(seen.insert(u128::from_ne_bytes(bytes)));
            assert!(seen.insert(ThreadKeys.next_u64().into()));
        }
        // Two keys of four bytes may be equal by chance, but hardly more.
        let keys: alloc::collections::BTreeSet<_> =
            (0..3 * BLOCK).map(|_| ThreadKeys.next_u32()).collect();
        assert!(keys.len() >= 3 * BLOCK - 2);
    }
}
