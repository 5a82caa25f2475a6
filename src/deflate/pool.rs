//! Compression state that lies idle, kept for the connections of the thread.

use super::{
    decoder::{Engine, Place},
    encoder::Kind,
};
use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;
use std::thread::LocalKey;

/// How many compressors a thread keeps: more than one are in use only while messages are sent
/// in pieces, or with different settings.
const DEFLATES_KEPT: usize = 2;

/// How many decompressors: connections that take turns find theirs as they left it.
const ENGINES_KEPT: usize = 4;

type Pool<T> = RefCell<Vec<T>>;

std::thread_local! {
    static DEFLATES: Pool<(Kind, Box<zlib_rs::Deflate>)> = const { RefCell::new(Vec::new()) };
    static ENGINES: Pool<Box<Engine>> = const { RefCell::new(Vec::new()) };
}

/// A compressor of this kind, as somebody left it.
pub(super) fn take_deflate(kind: Kind) -> Option<Box<zlib_rs::Deflate>> {
    take(&DEFLATES, |(other, _)| *other == kind).map(|(_, zlib)| zlib)
}

pub(super) fn give_deflate(kind: Kind, zlib: Box<zlib_rs::Deflate>) {
    give(&DEFLATES, (kind, zlib), DEFLATES_KEPT);
}

/// The decompressor that was left at `place`, if it is still there, or else the one that was used
/// longest ago.
pub(super) fn take_engine(place: &Place) -> Option<Box<Engine>> {
    take(&ENGINES, |engine| engine.is_at(place)).or_else(|| take(&ENGINES, |_| true))
}

pub(super) fn give_engine(engine: Box<Engine>) {
    give(&ENGINES, engine, ENGINES_KEPT);
}

/// The oldest that fits. Nothing, too, while the thread is ending.
fn take<T>(pool: &'static LocalKey<Pool<T>>, fits: impl Fn(&T) -> bool) -> Option<T> {
    pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let at = pool.iter().position(fits)?;
        Some(pool.remove(at))
    })
    .ok()
    .flatten()
}

fn give<T>(pool: &'static LocalKey<Pool<T>>, item: T, kept: usize) {
    // What has no place any more is dropped outside of the borrow.
    let _oldest = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.push(item);
        (pool.len() > kept).then(|| pool.remove(0))
    });
}
