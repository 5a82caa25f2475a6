//! What a message was compressed to, one for each kind of compressor that was asked for.

use crate::deflate::Kind;
use alloc::boxed::Box;
use bytes::Bytes;
use std::sync::OnceLock;

/// How many kinds are kept. Those of a server differ in their window bits, of which there are
/// seven, unless its connections have different settings.
const MAX: usize = 8;

/// A list that only grows, at its end: whoever looks something up holds no lock, and whoever
/// compresses stops only those who want the same.
#[derive(Default)]
pub(crate) struct Compressed {
    first: OnceLock<Box<Entry>>,
}

struct Entry {
    kind: Kind,
    frame: OnceLock<Bytes>,
    next: OnceLock<Box<Self>>,
}

impl Compressed {
    /// The frame of this kind, made by `compress` if nobody has; `None` if there is no room for
    /// another kind.
    pub(crate) fn get_or_insert_with(
        &self,
        kind: Kind,
        compress: impl FnOnce() -> Bytes,
    ) -> Option<&Bytes> {
        let mut place = &self.first;
        for _ in 0..MAX {
            let entry = place.get_or_init(|| {
                Box::new(Entry { kind, frame: OnceLock::new(), next: OnceLock::new() })
            });
            if entry.kind == kind {
                return Some(entry.frame.get_or_init(compress));
            }
            place = &entry.next;
        }
        None
    }
}
