//! Where a client's mask keys come from (RFC 6455 §5.3 and §10.3).

use alloc::boxed::Box;
#[cfg(feature = "std")]
use core::cell::RefCell;
use rand::CryptoRng;
#[cfg(feature = "std")]
use rand::{
    Rng, RngExt, SeedableRng,
    rngs::{StdRng, SysRng},
};

/// The thread's own cryptographic generator, looked up at each use, so that a connection may
/// move between threads. After a `fork` the child has to `exec`: until then both have the same keys
/// before them.
///
/// It is not `rand::rng()`, which panics once the thread's destructors have run: a connection may be
/// used in one of them.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadKeys;

/// How many keys are drawn at once, which takes half of the time.
#[cfg(feature = "std")]
const BLOCK: usize = 64;

/// After how many bytes the generator gets a new seed from the operating system.
#[cfg(feature = "std")]
const RESEED: usize = 64 * 1024;

#[cfg(feature = "std")]
std::thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn::NOTHING) };
}

/// A generator and what was drawn from it. Nothing in it has to be dropped, so it is there to the end
/// of the thread.
#[cfg(feature = "std")]
struct Drawn {
    /// Keys, and how many of them are used.
    keys: [u32; BLOCK],
    used: usize,
    rng: Option<StdRng>,
    /// How many bytes may still be drawn with this seed.
    left: usize,
}

#[cfg(feature = "std")]
impl Drawn {
    const NOTHING: Self = Self { keys: [0; BLOCK], used: BLOCK, rng: None, left: 0 };

    /// The generator, of which so many bytes are to be drawn, and the place of the keys.
    ///
    /// # Panics
    /// When the operating system has no seed to give.
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

/// From the operating system itself: a generator that has to be dropped, as a feature of its crate
/// may make it, is gone while the thread ends.
#[cfg(feature = "std")]
#[cold]
fn systems<R>(draw: impl FnOnce(&mut rand::rand_core::UnwrapErr<SysRng>) -> R) -> R {
    draw(&mut rand::rand_core::UnwrapErr(SysRng))
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
