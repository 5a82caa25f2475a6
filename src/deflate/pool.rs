//! Compression state that lies idle, kept for the connections of the thread.

use super::{
    decoder::Engine,
    encoder::{Compressor, Kind},
    window::Position,
};
use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;
use std::thread::LocalKey;

/// How many of each sort a thread keeps. One is enough for messages that come one after the other;
/// of a few connections that take turns each finds its own as it left it.
const KEPT: usize = 4;

type Pool<T> = RefCell<Vec<T>>;

std::thread_local! {
    static COMPRESSORS: Pool<Box<Compressor>> = const { RefCell::new(Vec::new()) };
    static ENGINES: Pool<Box<Engine>> = const { RefCell::new(Vec::new()) };
}

/// A compressor of this kind: the one that was left at `place` if it is still there. `None`: there
/// is none to be had, and room for one more.
pub(super) fn take_compressor(kind: Kind, place: &Position) -> Option<Box<Compressor>> {
    take(&COMPRESSORS, place, |compressor| compressor.is(kind))
}

pub(super) fn give_compressor(compressor: Box<Compressor>) {
    give(&COMPRESSORS, compressor);
}

/// A decompressor, in the same way.
pub(super) fn take_engine(place: &Position) -> Option<Box<Engine>> {
    take(&ENGINES, place, |_| true)
}

pub(super) fn give_engine(engine: Box<Engine>) {
    give(&ENGINES, engine);
}

/// Something that was left somewhere.
pub(super) trait Left {
    fn place(&self) -> Option<&Position>;
}

/// Nothing, too, while the thread is ending.
fn take<T: Left>(
    pool: &'static LocalKey<Pool<Box<T>>>,
    place: &Position,
    fits: impl Fn(&T) -> bool,
) -> Option<Box<T>> {
    pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        // Of use to nobody: what was left at an earlier place of ours, too, for we are past it.
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
        // Somebody else's: the one that was left longest ago.
        find(&fits).map(|at| pool.remove(at))
    })
    .ok()
    .flatten()
}

fn give<T>(pool: &'static LocalKey<Pool<T>>, item: T) {
    // What has no place any more is dropped outside of the borrow.
    let _oldest = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.push(item);
        (pool.len() > KEPT).then(|| pool.remove(0))
    });
}
