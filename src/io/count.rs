//! What a stream says that it did, as far as that can be checked.

use core::task::Poll;
use std::io;

/// What a read or a write came to that had `room` bytes to do it with. A stream that claims more
/// is broken: nothing of what it says can be relied on, so nothing is made of it.
#[inline(always)] // a comparison
pub(crate) fn counted(polled: Poll<io::Result<usize>>, room: usize) -> Poll<io::Result<usize>> {
    match polled {
        Poll::Ready(Ok(count)) if count > room => Poll::Ready(Err(overcounted())),
        polled => polled,
    }
}

#[cold]
pub(crate) fn overcounted() -> io::Error {
    let what = "the stream says that it moved more bytes than it was given";
    io::Error::new(io::ErrorKind::InvalidData, what)
}
