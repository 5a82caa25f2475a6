//! What waits to be written.

mod encode;
mod handle;
mod unsent;

pub use handle::Outbox;
pub use unsent::Unsent;

use super::{IntoMessage, Unfinished};
use crate::frame::{Header, OpCode};
use alloc::{collections::VecDeque, vec::Vec};
use bytes::{Buf, Bytes};
use core::fmt;
use encode::encode;

/// Payloads from this size on, in bytes, are sent from where they lie if they are shared or owned;
/// smaller ones are copied: one write of contiguous bytes is cheaper than gathering small pieces.
const SHARE_FROM: u64 = 16 * 1024;

/// Prepared frames from this size on, in bytes, are shared as well if nothing else waits: there is
/// nothing to gather, and they take no memory for peers that do not read.
const SHARE_ALONE_FROM: usize = 4 * 1024;

/// Unwritten pongs that are queued one by one; beyond these only the newest ping is answered
/// (RFC 6455 §5.5.3 allows that), so a flood of pings cannot make the queue grow.
const MAX_PONGS: u8 = 16;

/// An emptied buffer that is larger than this, in bytes, is given back to the allocator.
const KEEP: usize = 256 * 1024;

/// Room for so many shared payloads is kept when there are none.
const KEEP_SHARED: usize = 16;

/// A buffer is compacted once frames of this many bytes at its front, and of more than half of it,
/// are written.
const COMPACT_FROM: usize = 4 * 1024;

/// The frames that a connection wants written, in order, and how far that has come.
///
/// It never leaves the connection: [`Outbox`] lends it to the caller.
#[derive(Default)]
pub(crate) struct SendBuffer {
    /// Frame heads and the payloads that were copied; the first `written` bytes are done with.
    copied: Vec<u8>,
    written: usize,
    /// Where in `copied` a frame starts of which all before is written: the way in for those who
    /// look for frames.
    base: usize,
    /// Payloads that were not copied, each with its place: before which byte of `copied`.
    shared: VecDeque<(usize, Bytes)>,
    /// Bytes of `shared`.
    shared_len: u64,
    /// All bytes ever written.
    total_written: u64,
    /// How many of these were flushed. Whoever says only that bytes were written has a transport
    /// that does not hold them back.
    flushed: u64,
    /// How many bytes were queued behind the last message: control frames.
    behind_messages: u64,
    pongs: Pongs,
    /// The last message, if more of it is to come.
    pub(crate) unfinished: Unfinished,
    /// What was dropped.
    lost: Unsent,
}

#[derive(Default)]
struct Pongs {
    /// How many are queued up to `end`.
    queued: u8,
    /// Where the last of them ends, in bytes ever queued.
    end: u64,
    /// The answer to the newest ping that found the queue full, encoded.
    newest: Vec<u8>,
    /// How many were ever queued.
    total: u64,
}

impl SendBuffer {
    /// Whether there is nothing to be written now.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes there are to be written now; `usize::MAX` if there are more than that, which
    /// takes a 32-bit platform and messages that share their memory.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.waiting()).unwrap_or(usize::MAX)
    }

    /// The same without that bound: payloads that share their memory may come to more than there is.
    #[inline]
    pub(crate) fn waiting(&self) -> u64 {
        (self.copied.len() - self.written) as u64 + self.shared_len
    }

    /// Whether frames of a message are still to be made.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self.unfinished, Unfinished::Cut(_))
    }

    /// Whether nothing is left to be written or flushed, now or later.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        self.is_empty() && self.flushed == self.total_written && !self.is_cut()
    }

    /// Whether the first `bytes` of all that was ever queued were written and flushed.
    #[cfg(feature = "std")]
    pub(crate) fn is_flushed_to(&self, bytes: u64) -> bool {
        self.flushed >= bytes
    }

    /// All bytes that were ever written, and how many of them were flushed.
    #[cfg(feature = "std")]
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.total_written, self.flushed)
    }

    /// The transport holds nothing back of what was written.
    #[inline]
    pub(crate) fn flushed(&mut self) {
        self.flushed = self.total_written;
    }

    /// How many bytes are left to be written, as far as they are made, and before they are made.
    #[inline]
    pub(crate) fn backlog(&self) -> u64 {
        match &self.unfinished {
            Unfinished::Cut(cut) => self.waiting() + cut.len() as u64,
            _ => self.waiting(),
        }
    }

    /// The first bytes to be written, as many as lie together; empty only if nothing waits.
    #[inline]
    pub(crate) fn chunk(&self) -> &[u8] {
        match self.shared.front() {
            Some((place, bytes)) if *place == self.written => bytes,
            Some((place, _)) => &self.copied[self.written..*place],
            None => &self.copied[self.written..],
        }
    }

    /// The first `written` bytes were written. What is written and not [flushed](Self::flushed) the
    /// transport may lose yet, and an end waits for that.
    ///
    /// # Panics
    /// When `written` is more than [`len`](Self::len).
    #[inline]
    pub(crate) fn advance(&mut self, written: usize) {
        assert!(written <= self.len(), "advanced past the end of the outbox");
        self.total_written += written as u64;
        if self.shared.is_empty() {
            self.written += written;
        } else {
            self.advance_shared(written);
        }
        if self.is_empty() {
            self.copied.clear();
            (self.written, self.base) = (0, 0);
            if self.copied.capacity() > KEEP {
                self.copied = Vec::new();
            }
        }
        if self.pongs.queued > 0 && self.total_written() >= self.pongs.end {
            self.pongs.queued = 0;
            self.release_newest_pong();
        }
    }

    fn advance_shared(&mut self, mut written: usize) {
        while written > 0 {
            match self.shared.front_mut() {
                Some((place, bytes)) if *place == self.written => {
                    let step = written.min(bytes.len());
                    bytes.advance(step);
                    self.shared_len -= step as u64;
                    written -= step;
                    if bytes.is_empty() {
                        self.base = *place;
                        self.shared.pop_front();
                        self.shrink_shared();
                    }
                }
                next => {
                    let end = next.map_or(self.copied.len(), |(place, _)| *place);
                    let step = written.min(end - self.written);
                    self.written += step;
                    written -= step;
                }
            }
        }
    }

    /// Gives room back that a large backlog has left.
    #[inline]
    fn shrink_shared(&mut self) {
        let (len, capacity) = (self.shared.len(), self.shared.capacity());
        if capacity > KEEP_SHARED && len <= capacity / 4 {
            self.shared.shrink_to(len * 2);
        }
    }

    /// All bytes that were ever written.
    pub(crate) fn total_written(&self) -> u64 {
        self.total_written
    }

    /// Copies what is to be written first, for a write during which others may queue more: at most
    /// `most` bytes go onto the end of `copied`, and a payload that is shared and follows them is
    /// returned. [`advance`](Self::advance) by what was written, as ever.
    #[cfg(feature = "std")]
    pub(crate) fn front(&self, copied: &mut Vec<u8>, most: usize) -> Bytes {
        let next = self.shared.front();
        let end = next.map_or(self.copied.len(), |(place, _)| *place);
        let step = most.min(end - self.written);
        copied.extend_from_slice(&self.copied[self.written..self.written + step]);
        match next {
            Some((place, bytes)) if self.written + step == *place => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    /// All bytes that were ever queued.
    pub(crate) fn total_queued(&self) -> u64 {
        self.total_written + self.waiting()
    }

    /// Where the last message ends, in bytes ever queued.
    fn messages_end(&self) -> u64 {
        self.total_queued() - self.behind_messages
    }

    /// All pongs that were ever queued.
    pub(crate) fn pongs_queued(&self) -> u64 {
        self.pongs.total
    }

    /// Queues a control frame.
    pub(crate) fn push(&mut self, header: &Header, payload: &[u8]) {
        let before = self.waiting();
        self.append(header, payload);
        self.behind_messages += self.waiting() - before;
    }

    /// Copies a frame to the end, and masks its payload if `header` says so.
    #[inline(always)] // so that the head stays in registers
    fn append(&mut self, header: &Header, payload: &[u8]) {
        if self.written > 0 {
            self.compact();
        }
        encode(&mut self.copied, header, payload);
    }

    /// Whether a message, or a part of one, waits to be written or flushed.
    pub(crate) fn has_messages(&self) -> bool {
        self.is_cut() || self.flushed < self.messages_end()
    }

    /// Whether one was dropped.
    #[cfg(feature = "std")]
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.messages > 0
    }

    /// A number that grows with every message that is queued and every part that is written.
    pub(crate) fn progress(&self) -> u64 {
        let end = self.messages_end();
        end + self.total_written.min(end)
    }

    /// Queues a message as one frame. Its payload is copied if it is small or borrowed, or has to
    /// be masked.
    #[inline]
    pub(crate) fn push_message(&mut self, header: &Header, message: impl IntoMessage) {
        let large = header.payload_len >= SHARE_FROM;
        if large && header.mask.is_none() && message.is_shareable() {
            self.push_shared(header, message.into_message().into_bytes());
        } else {
            self.append(header, message.as_message().as_bytes());
        }
        self.behind_messages = 0;
    }

    fn push_shared(&mut self, header: &Header, payload: Bytes) {
        self.append(header, &[]);
        self.shared_len += payload.len() as u64;
        self.shared.push_back((self.copied.len(), payload));
    }

    /// Queues a message as a whole frame that other connections may send as well. It is copied if
    /// it is small.
    pub(crate) fn push_frame(&mut self, frame: &Bytes) {
        let share_from = if self.is_empty() { SHARE_ALONE_FROM } else { SHARE_FROM as usize };
        if frame.len() >= share_from {
            self.shared_len += frame.len() as u64;
            self.shared.push_back((self.copied.len(), frame.clone()));
        } else {
            self.compact();
            self.copied.extend_from_slice(frame);
        }
        self.behind_messages = 0;
    }

    /// Queues a message as one frame whose payload `write` appends, masked already. `header` has
    /// its length in bytes by a guess. If there come to be more than `most`, nothing is queued.
    #[cfg(feature = "deflate")]
    pub(crate) fn push_written(
        &mut self,
        mut header: Header,
        most: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        self.compact();
        let (_, guess) = header.encode();
        let start = self.copied.len();
        self.copied.resize(start + guess, 0);
        write(&mut self.copied);
        let payload_len = self.copied.len() - start - guess;
        if payload_len > most {
            self.copied.truncate(start);
            return false;
        }
        header.payload_len = payload_len as u64;
        let (head, length) = header.encode();
        if length < guess {
            self.copied.copy_within(start + guess.., start + length);
            self.copied.truncate(start + length + payload_len);
        } else if length > guess {
            self.copied.resize(start + length + payload_len, 0);
            self.copied.copy_within(start + guess..start + guess + payload_len, start + length);
        }
        self.copied[start..start + length].copy_from_slice(&head[..length]);
        self.behind_messages = 0;
        true
    }

    /// Queues a pong that answers nothing.
    pub(crate) fn push_unasked_pong(&mut self, header: &Header, payload: &[u8]) {
        self.push(header, payload);
        self.pongs.total += 1;
    }

    /// Queues a pong, or keeps it as the one that answers the newest ping.
    pub(crate) fn push_pong(&mut self, mask: Option<[u8; 4]>, payload: &[u8]) {
        let header = Header { mask, ..Header::new(OpCode::Pong, payload.len() as u64) };
        if self.pongs.queued < MAX_PONGS {
            self.push(&header, payload);
            self.pongs.queued += 1;
            self.pongs.total += 1;
            self.pongs.end = self.total_queued();
        } else {
            self.pongs.newest.clear();
            encode(&mut self.pongs.newest, &header, payload);
        }
    }

    /// Queues the Close frame, behind all messages and whatever pong was kept back.
    pub(crate) fn push_close(&mut self, header: &Header, payload: &[u8]) {
        if let Unfinished::Cut(cut) = &mut self.unfinished {
            return encode(cut.close(), header, payload);
        }
        self.release_newest_pong();
        self.push(header, payload);
    }

    /// Every fragment is made: queues what waited for that.
    pub(crate) fn push_waiting(&mut self, mut close: Vec<u8>) {
        if !close.is_empty() {
            self.release_newest_pong();
            self.behind_messages += close.len() as u64;
            self.copied.append(&mut close);
        }
    }

    fn release_newest_pong(&mut self) {
        if !self.pongs.newest.is_empty() {
            self.behind_messages += self.pongs.newest.len() as u64;
            self.copied.append(&mut self.pongs.newest);
            self.pongs.queued = 1;
            self.pongs.total += 1;
            self.pongs.end = self.total_queued();
        }
    }

    /// Whether it has no storage, so that [`lend`](Self::lend) would be of use.
    #[inline]
    pub(crate) fn has_no_storage(&self) -> bool {
        self.copied.capacity() == 0
    }

    /// Uses an empty buffer as storage, unless there is some.
    #[inline]
    pub(crate) fn lend(&mut self, mut storage: Vec<u8>) {
        if self.has_no_storage() {
            storage.clear();
            self.copied = storage;
        }
    }

    /// Takes the storage away, whosever it was, if nothing waits in it.
    #[inline]
    pub(crate) fn reclaim(&mut self) -> Option<Vec<u8>> {
        (!self.has_no_storage() && self.is_empty()).then(|| core::mem::take(&mut self.copied))
    }

    /// Drops everything: the transport is gone.
    pub(crate) fn clear(&mut self) {
        let (total_written, lost) = (self.total_written, self.unsent());
        let pongs = Pongs { total: self.pongs.total, ..Pongs::default() };
        let flushed = total_written;
        *self = Self { total_written, flushed, pongs, lost, ..Self::default() };
    }

    /// Moves what is not done with to the front once what is done with is the larger part, so that
    /// a buffer that never runs empty does not grow for ever. The frame that is being written
    /// stays whole, so the buffer is at most twice as large as that frame and what waits.
    fn compact(&mut self) {
        if self.written < COMPACT_FROM || self.written <= self.copied.len() / 2 {
            return;
        }
        self.base = self.frame_start();
        if self.base >= COMPACT_FROM && self.base > self.copied.len() / 2 {
            self.copied.drain(..self.base);
            for (place, _) in &mut self.shared {
                *place -= self.base;
            }
            self.written -= self.base;
            self.base = 0;
            if self.copied.capacity() > KEEP && self.copied.len() <= self.copied.capacity() / 4 {
                self.copied.shrink_to(self.copied.len() * 2);
            }
        }
    }
}

impl Buf for SendBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.chunk()
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut from = self.written;
        let copied = |from: usize, to: usize| (from < to).then(|| &self.copied[from..to]);
        let pieces = self
            .shared
            .iter()
            .flat_map(|(place, bytes)| {
                let before = copied(from, *place);
                from = *place;
                [before, Some(&bytes[..])]
            })
            .flatten();
        let mut used = 0;
        for piece in pieces.take(slices.len()) {
            slices[used] = std::io::IoSlice::new(piece);
            used += 1;
        }
        let last = self.shared.back().map_or(self.written, |(place, _)| *place);
        if let (Some(rest), true) = (copied(last, self.copied.len()), used < slices.len()) {
            slices[used] = std::io::IoSlice::new(rest);
            used += 1;
        }
        used
    }

    /// # Panics
    /// As [`SendBuffer::advance`].
    fn advance(&mut self, written: usize) {
        self.advance(written);
    }
}

/// The length only: payloads are never printed.
impl fmt::Debug for SendBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(len: usize) -> Header {
        Header::new(OpCode::Binary, len as u64)
    }

    /// Writes everything, `step` bytes at a time.
    fn drain(outbox: &mut SendBuffer, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let chunk = outbox.chunk();
            let step = step.min(chunk.len());
            all.extend_from_slice(&chunk[..step]);
            outbox.advance(step);
        }
        all
    }

    #[test]
    fn copied_and_shared_payloads_come_out_in_order_at_any_step() {
        let big = Bytes::from(alloc::vec![7; SHARE_FROM as usize]);
        for step in [1, 3, 1000, usize::MAX] {
            let mut outbox = SendBuffer::default();
            let mut expected = Vec::new();
            for small in [&b"a"[..], b"", b"bcd"] {
                outbox.push(&binary(small.len()), small);
                encode(&mut expected, &binary(small.len()), small);
                let pointer = big.as_ptr();
                outbox.push_message(&binary(big.len()), &big);
                assert_eq!(outbox.shared.back().unwrap().1.as_ptr(), pointer, "not copied");
                encode(&mut expected, &binary(big.len()), &big);
            }
            assert_eq!(outbox.remaining(), expected.len());
            assert_eq!(drain(&mut outbox, step), expected);
            assert_eq!(outbox.total_written(), expected.len() as u64);
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn vectored_chunks_are_the_same_bytes() {
        let big = Bytes::from(alloc::vec![7; SHARE_FROM as usize]);
        let mut outbox = SendBuffer::default();
        outbox.push_message(&binary(big.len()), &big);
        outbox.push_message(&binary(big.len()), &big);
        outbox.push(&binary(3), b"end");
        outbox.advance(2);
        for room in 1..8 {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let used = outbox.chunks_vectored(&mut slices[..room]);
            assert_eq!(used, room.min(5));
            let gathered: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
            let mut copy = SendBuffer::default();
            copy.push_message(&binary(big.len()), &big[..]);
            copy.push_message(&binary(big.len()), &big[..]);
            copy.push(&binary(3), b"end");
            assert_eq!(gathered, copy.chunk()[2..][..gathered.len()]);
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn the_front_is_the_same_bytes_and_shares_what_is_shared() {
        let big = Bytes::from(alloc::vec![7; SHARE_FROM as usize]);
        for (most, step) in [(1, 1), (3, 2), (1000, usize::MAX), (usize::MAX, usize::MAX)] {
            let mut outbox = SendBuffer::default();
            let mut expected = Vec::new();
            for small in [&b"a"[..], b"", b"bcd"] {
                outbox.push(&binary(small.len()), small);
                encode(&mut expected, &binary(small.len()), small);
                outbox.push_message(&binary(big.len()), &big);
                encode(&mut expected, &binary(big.len()), &big);
            }
            outbox.push(&binary(3), b"end");
            encode(&mut expected, &binary(3), b"end");
            let mut all = Vec::new();
            while !outbox.is_empty() {
                let mut front = Vec::new();
                let shared = outbox.front(&mut front, most);
                assert!(front.len() <= most && front.len() + shared.len() > 0);
                front.extend_from_slice(&shared);
                assert!(expected[all.len()..].starts_with(&front), "without a gap");
                let step = step.min(front.len());
                all.extend_from_slice(&front[..step]);
                outbox.advance(step);
            }
            assert_eq!(all, expected);
        }
    }

    /// KNOWN: curl CVE-2026-11586, CVE-2025-5399. Sixteen pongs in order, then the newest.
    #[test]
    fn ping_flood_is_bounded_and_the_newest_ping_is_answered() {
        let mut outbox = SendBuffer::default();
        for i in 0..100_000u32 {
            outbox.push_pong(None, &i.to_be_bytes());
        }
        assert!(outbox.remaining() <= 16 * 6 && outbox.copied.capacity() <= 256);
        let written = drain(&mut outbox, 1);
        let pongs: Vec<u32> = written
            .chunks(6)
            .map(|pong| u32::from_be_bytes(pong[2..].try_into().unwrap()))
            .collect();
        let expected: Vec<u32> = (0..16).chain([99_999]).collect();
        assert_eq!(pongs, expected);
    }

    #[test]
    fn kept_pong_follows_the_sixteen_though_the_outbox_never_runs_empty() {
        let mut outbox = SendBuffer::default();
        for i in 0..20 {
            outbox.push_pong(None, &[i]);
        }
        outbox.push(&binary(1), b"x");
        outbox.advance(16 * 3);
        outbox.push(&binary(1), b"y");
        assert_eq!(drain(&mut outbox, 1), b"\x82\x01x\x8a\x01\x13\x82\x01y");
    }

    #[test]
    fn a_buffer_that_never_runs_empty_does_not_grow() {
        let mut outbox = SendBuffer::default();
        outbox.push(&binary(100), &[0; 100]);
        for _ in 0..100_000 {
            outbox.push(&binary(100), &[0; 100]);
            outbox.advance(102);
        }
        assert!(outbox.copied.capacity() <= 4 * COMPACT_FROM, "{}", outbox.copied.capacity());
    }

    /// However what waits is made and written, the frames in it are found, and the buffer does not
    /// grow beyond twice the frame that is being written and what waits.
    #[test]
    fn frames_are_found_whatever_was_compacted() {
        let shared = Bytes::from(alloc::vec![7; SHARE_FROM as usize]);
        let sizes = [0, 1, 125, 126, 3_000, 9_000, 70_000];
        for seed in 0..300_u64 {
            let mut random = seed;
            let mut next = |below: usize| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) as usize % below
            };
            let mut outbox = SendBuffer::default();
            // Where each frame that waits ends, in bytes ever queued, and how long it is.
            let mut ends: VecDeque<(u64, usize)> = VecDeque::new();
            for _ in 0..300 {
                let before = outbox.total_queued();
                match next(5) {
                    0 => outbox.push_message(&binary(shared.len()), &shared),
                    1 => {
                        let payload = alloc::vec![0x81; sizes[next(sizes.len())]];
                        outbox.push_message(&binary(payload.len()), &payload);
                    }
                    2 => {
                        let mask = Some([1, 2, 3, 4]);
                        outbox.push_message(&Header { mask, ..binary(50) }, &[0x0f; 50]);
                    }
                    _ => {
                        let most = outbox.len().min([10, 5_000, 100_000][next(3)]);
                        outbox.advance(next(most + 1));
                    }
                }
                if outbox.total_queued() > before {
                    let end = outbox.total_queued();
                    ends.push_back((end, (end - before) as usize));
                }
                while ends.front().is_some_and(|(end, _)| *end <= outbox.total_written()) {
                    ends.pop_front();
                }
                assert_eq!(outbox.unsent().messages, ends.len() as u64);
                assert_eq!(outbox.unsent().bytes, outbox.len() as u64);
                assert!(outbox.base <= outbox.written && outbox.written <= outbox.copied.len());
                let first = ends.front().map_or(0, |(_, length)| *length);
                let most = 2 * (first + outbox.len()) + COMPACT_FROM;
                let pushed = outbox.total_queued() > before;
                assert!(!pushed || outbox.copied.len() <= most, "{}", outbox.copied.len());
            }
        }
    }

    /// What is lost is counted once, and what is lost without being made counts too.
    #[test]
    fn what_is_cleared_stays_counted() {
        let mut outbox = SendBuffer::default();
        outbox.push_message(&binary(10), &[0; 10]);
        outbox.push_message(&binary(10), &[0; 10]);
        outbox.advance(13);
        let unsent = Unsent { bytes: 11, messages: 1 };
        assert_eq!(outbox.unsent(), unsent);
        for _ in 0..2 {
            outbox.clear();
            assert!(outbox.is_drained() && !outbox.has_messages());
            assert_eq!(outbox.unsent(), unsent);
        }
    }

    /// Of what a stream may still hold it counts whether a message is in it.
    #[cfg(feature = "std")]
    #[test]
    fn what_a_stream_holds_is_not_written() {
        let mut outbox = SendBuffer::default();
        outbox.push_message(&binary(10), &[0; 10]);
        outbox.push_pong(None, &[0; 3]);
        // How much is written, and what then holds before and after it is flushed.
        for (step, held, flushed) in [(11, true, true), (1, true, false), (5, false, false)] {
            outbox.advance(step);
            assert_eq!((outbox.is_drained(), outbox.has_messages()), (false, held));
            let (written, unsent) = (outbox.total_written(), outbox.unsent());
            assert!(!outbox.is_flushed_to(written));
            outbox.flushed();
            assert!(outbox.is_flushed_to(written) && !outbox.is_flushed_to(written + 1));
            assert_eq!((outbox.is_drained(), outbox.has_messages()), (written == 17, flushed));
            assert_eq!(outbox.unsent(), unsent, "written is written");
        }
        outbox.push_message(&binary(1), &[0]);
        outbox.advance(3);
        assert_eq!((outbox.unsent(), outbox.has_messages()), (Unsent::default(), true));
        outbox.clear();
        assert!(outbox.is_drained() && !outbox.has_messages());
    }

    /// D11: nothing stays of a backlog of many shared payloads, whether the outbox runs empty behind
    /// it or not.
    #[test]
    fn the_room_of_a_large_backlog_is_given_back() {
        let shared = Bytes::from(alloc::vec![7; SHARE_FROM as usize]);
        for runs_empty in [true, false] {
            let mut outbox = SendBuffer::default();
            for _ in 0..10_000 {
                outbox.push_message(&binary(shared.len()), &shared);
            }
            assert!(outbox.shared.capacity() >= 10_000);
            let frame = outbox.len() / 10_000;
            let mut moved = 0;
            for left in (0..10_000).rev() {
                let before = outbox.shared.capacity();
                outbox.advance(frame);
                moved += if outbox.shared.capacity() == before { 0 } else { left };
            }
            assert!(moved <= 20_000, "{moved} were moved: it is to be constant for each");
            if !runs_empty {
                outbox.push_message(&binary(shared.len()), &shared);
            }
            assert!(outbox.shared.capacity() <= KEEP_SHARED, "{}", outbox.shared.capacity());
        }
    }

    /// D11: nor of one that was copied, where the outbox never runs empty.
    #[test]
    fn the_room_of_a_large_copied_backlog_is_given_back() {
        let mut outbox = SendBuffer::default();
        for _ in 0..1_000 {
            outbox.push(&binary(10_000), &[0; 10_000]);
        }
        assert!(outbox.copied.capacity() > 10_000_000);
        while outbox.len() > 20_000 {
            outbox.advance(10_004);
            outbox.push(&binary(10), &[0; 10]);
        }
        for _ in 0..1_000 {
            outbox.push(&binary(1_000), &[0; 1_000]);
            outbox.advance(1_004);
        }
        assert!(outbox.copied.capacity() <= KEEP, "{}", outbox.copied.capacity());
    }

    /// D15: what is shared may come to more than a platform of 32 bits has memory.
    #[test]
    fn more_than_4_gib_that_share_their_memory_are_counted() {
        let half = Bytes::from(alloc::vec![0; 1 << 29]); // zeros that are never looked at
        let mut outbox = SendBuffer::default();
        let mut queued = 0;
        for _ in 0..5 {
            outbox.push_message(&binary(half.len()), &half);
            outbox.push_frame(&half);
            queued += 10 + 2 * half.len() as u64;
            assert_eq!(outbox.backlog(), queued);
            assert_eq!(outbox.len() as u64, queued.min(usize::MAX as u64));
            assert_eq!((outbox.total_queued(), outbox.total_written()), (queued, 0));
        }
        let mut written = 0;
        while !outbox.is_empty() {
            let step = outbox.chunk().len();
            outbox.advance(step);
            written += step as u64;
            assert_eq!((outbox.backlog(), outbox.total_written()), (queued - written, written));
        }
        assert_eq!(written, queued);
    }

    /// Storage goes in only where there is none, and out only with nothing in it.
    #[test]
    fn storage_is_lent_and_reclaimed() {
        let mut outbox = SendBuffer::default();
        assert!(outbox.has_no_storage());
        assert_eq!(outbox.reclaim(), None);
        let mut storage = Vec::with_capacity(1000);
        storage.push(1);
        let address = storage.as_ptr();
        outbox.lend(storage);
        assert!(!outbox.has_no_storage() && outbox.is_empty());
        outbox.push(&binary(1), b"x");
        outbox.lend(Vec::with_capacity(2000));
        assert_eq!(outbox.reclaim(), None, "something waits in it");
        assert_eq!(drain(&mut outbox, 1), b"\x82\x01x");
        assert_eq!(outbox.reclaim().map(|storage| storage.as_ptr()), Some(address));
        assert!(outbox.has_no_storage());
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut outbox = SendBuffer::default();
        outbox.push(&binary(1 << 20), &alloc::vec![0; 1 << 20]);
        assert!(outbox.copied.capacity() > KEEP);
        drain(&mut outbox, usize::MAX);
        assert_eq!(outbox.copied.capacity(), 0);
        outbox.lend(Vec::with_capacity(KEEP));
        outbox.push(&binary(1), b"x");
        drain(&mut outbox, usize::MAX);
        assert_eq!(outbox.copied.capacity(), KEEP, "this one is kept");
    }
}
