//! Idle compression states, which a thread keeps for its connections.

use super::{
    decoder::Engine,
    encoder::{Compressor, Kind},
    window::Position,
};
use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;
use std::thread::LocalKey;

/// How many states of each sort a thread keeps. One is enough for messages that come one after the
/// other. With a few more, each of some connections that take turns finds its own as it left it.
const KEPT: usize = 4;

type Pool<T> = RefCell<Vec<T>>;

std::thread_local! {
    static COMPRESSORS: Pool<Box<Compressor>> = const { RefCell::new(Vec::new()) };
    static ENGINES: Pool<Box<Engine>> = const { RefCell::new(Vec::new()) };
}

/// Takes a compressor of this kind, the one left at `place` if it is still there. `None` means that
/// there is none, and room for one more.
pub(super) fn take_compressor(kind: Kind, place: &Position) -> Option<Box<Compressor>> {
    take(&COMPRESSORS, place, |compressor| compressor.is(kind))
}

pub(super) fn give_compressor(compressor: Box<Compressor>) {
    give(&COMPRESSORS, compressor);
}

/// Takes a decompressor in the same way.
pub(super) fn take_engine(place: &Position) -> Option<Box<Engine>> {
    take(&ENGINES, place, |_| true)
}

pub(super) fn give_engine(engine: Box<Engine>) {
    give(&ENGINES, engine);
}

/// A state that was left at a position.
pub(super) trait Left {
    fn place(&self) -> Option<&Position>;
}

/// Takes nothing while the thread is ending.
fn take<T: Left>(
    pool: &'static LocalKey<Pool<Box<T>>>,
    place: &Position,
    fits: impl Fn(&T) -> bool,
) -> Option<Box<T>> {
    pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        // Nobody can go on with these: the connection is gone, or it is ours and past that place.
        let free =
            |item: &T| item.place().is_none_or(|left| left.is_forgotten() || left.is_beside(place));
        let find = |wanted: &dyn Fn(&T) -> bool| pool.iter().position(|item| wanted(item));
        let found = find(&|item| item.place() == Some(place))
            .or_else(|| find(&|item| fits(item) && free(item)));
        if found.is_some() || pool.len() < KEPT {
            return found.map(|at| pool.remove(at));
        }
        if let Some(at) = find(&free) {
            pool.remove(at); // of another kind
            return None;
        }
        // Another connection's: the one left longest ago.
        find(&fits).map(|at| pool.remove(at))
    })
    .ok()
    .flatten()
}

fn give<T>(pool: &'static LocalKey<Pool<T>>, item: T) {
    // A state that does not fit any more is dropped outside of the borrow.
    let _oldest = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.push(item);
        (pool.len() > KEPT).then(|| pool.remove(0))
    });
}
