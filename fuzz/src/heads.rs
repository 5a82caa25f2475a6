//! What the heads of both roles have in common: whole against dripped, in linear work.

use crate::support::heap;
use core::{error::Error, fmt::Debug};
use fullduplex::{Input, handshake::HeadError};

/// How a handshake ended and how many bytes it took; `None` for one that still waits, with the
/// error that the end of the connection gives then.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome<T, E> {
    pub(crate) result: Result<Option<T>, E>,
    pub(crate) consumed: usize,
    pub(crate) eof: Option<E>,
}

/// Gives all pieces to a handshake, and then the end of the connection.
///
/// The work has to be linear, of the same size for any pieces: each byte is looked at when it comes
/// and at most twice more when all are there; and memory is a multiple of what came.
pub(crate) fn drive<S, T, E>(
    state: &mut S,
    pieces: Vec<Vec<u8>>,
    receive: impl Fn(&mut S, &mut Input<'_>) -> Result<Option<T>, E>,
    handle_eof: impl Fn(&mut S) -> E,
) -> Outcome<T, E> {
    let (given, examined) = (pieces.iter().map(Vec::len).sum::<usize>(), examined());
    let (outcome, heap) = heap::measure(|| {
        let mut consumed = 0;
        for mut piece in pieces {
            let length = piece.len();
            let mut input = Input::new(&mut piece);
            let result = receive(state, &mut input);
            consumed += length - input.len();
            match result {
                Ok(None) => assert!(input.is_empty(), "{} bytes left over", input.len()),
                result => return Outcome { result, consumed, eof: None },
            }
        }
        Outcome { result: Ok(None), consumed, eof: Some(handle_eof(state)) }
    });
    let examined = self::examined() - examined;
    assert!(examined <= 3 * given, "{examined} bytes were looked at of {given}");
    assert!(heap.peak <= 64 * given + 4096, "{} bytes of memory for {given}", heap.peak);
    outcome
}

/// How many bytes the crate has looked at, if it was built to count them.
fn examined() -> usize {
    #[cfg(fuzzing)]
    return fullduplex::handshake::examined();
    #[cfg(not(fuzzing))]
    return 0;
}

/// The same result after the same number of bytes.
pub(crate) fn compare<T, E>(whole: &Outcome<T, E>, dripped: &Outcome<T, E>)
where
    T: PartialEq + Debug,
    E: PartialEq + Error + 'static,
{
    assert_eq!(whole.result, dripped.result);
    assert_eq!(whole.eof, dripped.eof);
    if is_head_error(&whole.result) {
        // Refused inside the head: of the piece in which that shows, nothing is consumed.
        assert!(whole.consumed <= dripped.consumed);
    } else {
        assert_eq!(whole.consumed, dripped.consumed);
    }
}

pub(crate) fn is_head_error<T, E: Error + 'static>(result: &Result<T, E>) -> bool {
    result.as_ref().err().and_then(Error::source).is_some_and(|source| source.is::<HeadError>())
}
