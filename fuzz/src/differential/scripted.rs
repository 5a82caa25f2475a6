//! A stream for tungstenite: what is read is given, what is written is kept.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
};

pub(super) struct Scripted {
    pieces: VecDeque<Vec<u8>>,
    /// How many bytes were read, and in how many reads.
    pub(super) taken: usize,
    pub(super) reads: usize,
    pub(super) written: Vec<u8>,
    /// Nothing can be written.
    pub(super) stalled: bool,
}

impl Scripted {
    pub(super) fn new(pieces: Vec<Vec<u8>>, stalled: bool) -> Self {
        Self { pieces: pieces.into(), taken: 0, reads: 0, written: Vec::new(), stalled }
    }
}

/// Piece by piece; an empty one would block. Behind the last comes the end.
impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut piece) = self.pieces.pop_front() else { return Ok(0) };
        if piece.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        piece.drain(..length);
        if !piece.is_empty() {
            self.pieces.push_front(piece);
        }
        self.taken += length;
        self.reads += 1;
        Ok(length)
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stalled {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.stalled { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}
