//! Text out of chunks.

use super::{Chunk, utf8::Incomplete};
use core::{error::Error, fmt};

/// Makes `&str`s of the [chunks](Chunk) of a text message, whose borders may lie within a code point.
///
/// It holds the first bytes of a code point whose rest has not come, at most three, and nothing
/// else, so each [`push`](Self::push) gives all text that there can be. With the last chunk of a
/// message it is ready for the next one.
///
/// ```
/// use fullduplex::{Config, Connection, Event, Input, message::TextPieces};
///
/// let mut connection = Connection::client(Config::default());
/// let (mut pieces, mut text) = (TextPieces::new(), String::new());
/// for mut read in [b"\x81\x0cna\xc3".to_vec(), b"\xafve caf\xc3\xa9".to_vec()] {
///     let mut input = Input::new(&mut read);
///     while let Some(event) = connection.receive_chunk(&mut input)? {
///         let Event::Chunk(chunk) = event else { continue };
///         text.extend(pieces.push(&chunk)?);
///     }
/// }
/// assert_eq!(text, "naïve café");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct TextPieces {
    open: Incomplete,
    /// The last code point that lay across chunks.
    closed: [u8; 4],
}

impl TextPieces {
    /// One that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text that `chunk` brings, in one or two pieces, none of them empty; or none, if it ends
    /// within its first code point.
    ///
    /// # Errors
    /// [`NotText`] if the message is binary, or if this is not the chunk that follows the one
    /// before: one was left out, for instance. Then nothing is held.
    pub fn push<'p>(
        &'p mut self,
        chunk: &'p Chunk<'_>,
    ) -> Result<impl Iterator<Item = &'p str> + use<'p>, NotText> {
        if chunk.is_first() {
            self.open = Incomplete::default();
        }
        let bytes = chunk.is_text().then(|| chunk.as_bytes());
        let split = bytes.and_then(|bytes| self.open.split(bytes).ok());
        let unfit = split.is_none() || (chunk.is_last() && !self.open.is_empty());
        if unfit {
            self.open = Incomplete::default();
        }
        let (closed, text) = split.filter(|_| !unfit).ok_or(NotText)?;
        let closed = closed.map_or("", |code_point| code_point.encode_utf8(&mut self.closed));
        Ok([closed, text].into_iter().filter(|piece| !piece.is_empty()))
    }

    /// How many bytes of a code point are held: 0 to 3.
    pub fn held(&self) -> usize {
        self.open.len()
    }
}

/// The number of bytes only: payloads are never printed.
impl fmt::Debug for TextPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextPieces").field("held", &self.held()).finish()
    }
}

/// A chunk is not text, or not the one that follows: see [`TextPieces::push`].
///
/// ```
/// use fullduplex::{Config, Connection, Event, Input, message::{NotText, TextPieces}};
///
/// let mut connection = Connection::client(Config::default());
/// let mut read = *b"\x82\x01\x00";
/// let Some(Event::Chunk(binary)) = connection.receive_chunk(&mut Input::new(&mut read))? else {
///     panic!("a chunk");
/// };
/// assert_eq!(TextPieces::new().push(&binary).err(), Some(NotText));
/// # Ok::<(), fullduplex::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chunk that is not text, or that does not follow the one before it")
    }
}

impl Error for NotText {}
