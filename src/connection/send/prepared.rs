//! A message that goes to many connections: encoded once, compressed once for each way of doing it.

#[cfg(all(feature = "deflate", feature = "std"))]
mod compressed;

use crate::connection::{Connection, SendErrorReason, keys::Keys};
#[cfg(feature = "deflate")]
use crate::deflate::Compression;
#[cfg(all(feature = "deflate", feature = "std"))]
use crate::{
    deflate::{self, Kind},
    frame::Rsv,
};
use crate::{
    frame::Header,
    message::{IntoMessage, Message, MessageRef},
};
use alloc::{sync::Arc, vec::Vec};
use bytes::Bytes;
#[cfg(all(feature = "deflate", feature = "std"))]
use compressed::Compressed;
use core::fmt;

/// A message that is encoded once and sent to any number of connections as the same bytes: for
/// broadcasts. Cheap to clone; any number of threads may send it at the same time.
///
/// ```
/// use fullduplex::{Config, Connection, Prepared};
///
/// let news = Prepared::new("to be or not to be");
/// let mut members: Vec<_> = (0..3).map(|_| Connection::server(Config::default())).collect();
/// for member in &mut members {
///     member.send_prepared(&news)?;
///     assert_eq!(member.outbox().chunk(), b"\x81\x12to be or not to be");
/// }
/// # Ok::<(), fullduplex::SendErrorReason>(())
/// ```
///
/// What a server's connection is spared:
/// - The frame is encoded already. A small one is copied, in one go; one of 16 KiB or more, or 4 KiB
///   if nothing else waits to be written, is shared by all connections until it is written, and
///   takes no memory in any of them.
/// - With permessage-deflate (feature `deflate`) the message is compressed when the first
///   connection needs it, once for each combination of window bits, level and memory level among
///   the connections, up to eight of them; who comes with a ninth compresses for itself. It is
///   compressed without reference to earlier messages, so that it says the same to every peer:
///   with takeover it becomes a few bytes larger than if it were sent by itself. It is part of the
///   window as ever, and the messages behind it may refer to it; the first of these costs a
///   compressor that is told the window again (see [memory](crate::deflate#memory)). Without the
///   feature `std` there is no lock to keep it behind, and each connection compresses for itself.
///
/// A client has to mask what it sends with a key that is fresh for each frame (RFC 6455 §5.3), so
/// it shares nothing: there this is [`Connection::send`] of the same message.
///
/// It holds the message, the frame (which is the same memory if the message is binary), and each
/// compressed frame.
#[derive(Clone)]
pub struct Prepared {
    shared: Arc<Shared>,
    #[cfg(feature = "deflate")]
    compression: Compression,
}

struct Shared {
    message: Message,
    /// As a server sends it, not compressed.
    frame: Bytes,
    #[cfg(all(feature = "deflate", feature = "std"))]
    compressed: Compressed,
}

impl Prepared {
    /// Encodes a message. With permessage-deflate it is compressed as [`Compression::Auto`] says,
    /// where [`send`](Connection::send) would do so.
    ///
    /// [`Compression::Auto`]: crate::deflate::Compression::Auto
    pub fn new(message: impl IntoMessage) -> Self {
        let payload = message.as_message();
        let header = Header::new(payload.opcode(), payload.as_bytes().len() as u64);
        let frame = encode(&header, payload.as_bytes());
        let message = match payload {
            MessageRef::Text(_) => message.into_message(),
            MessageRef::Binary(bytes) => frame.slice(frame.len() - bytes.len()..).into(),
        };
        Self {
            shared: Arc::new(Shared {
                message,
                frame,
                #[cfg(all(feature = "deflate", feature = "std"))]
                compressed: Compressed::default(),
            }),
            #[cfg(feature = "deflate")]
            compression: Compression::Auto,
        }
    }

    /// Says whether to compress it: see [`Compression`]. [`Auto`](Compression::Auto), the default,
    /// leaves it plain if it is under the connection's
    /// [threshold](crate::deflate::Deflate::threshold), or does not become smaller. What was
    /// compressed already is shared with the clones of this, whatever they say.
    ///
    /// ```
    /// use fullduplex::{Prepared, deflate::Compression};
    ///
    /// let secret = Prepared::new("not beside what others chose").compression(Compression::Never);
    /// ```
    #[cfg(feature = "deflate")]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The message.
    pub fn message(&self) -> MessageRef<'_> {
        MessageRef::from(&self.shared.message)
    }

    /// Length of the payload in bytes, not compressed.
    pub fn len(&self) -> usize {
        self.shared.message.len()
    }

    /// Whether the payload is empty. An empty message is a message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame as any server sends it that does not compress it.
    #[cfg(all(feature = "deflate", feature = "std"))]
    pub(crate) fn plain(&self) -> &Bytes {
        &self.shared.frame
    }

    /// The frame as any server sends it whose compressor is of this kind; `None` if it has to
    /// compress by itself.
    #[cfg(all(feature = "deflate", feature = "std"))]
    pub(crate) fn compressed(&self, kind: Kind) -> Option<&Bytes> {
        self.shared.compressed.get_or_insert_with(kind, || {
            let message = self.message();
            let payload = deflate::alone(kind, message.as_bytes());
            let length = payload.len() as u64;
            encode(&Header { rsv: Rsv::RSV1, ..Header::new(message.opcode(), length) }, &payload)
        })
    }

    /// How many bytes of a frame of this message are not its head.
    #[cfg(all(feature = "deflate", feature = "std"))]
    pub(crate) fn payload_of(frame: &[u8]) -> usize {
        let head = Header::decode(frame).ok().flatten();
        head.map_or(0, |(_, length)| frame.len() - length)
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn choice(&self) -> Compression {
        self.compression
    }

    /// What an adapter says if a connection did not accept it.
    #[cfg(feature = "std")]
    pub(crate) fn refused(&self, reason: SendErrorReason) -> crate::SendError {
        crate::SendError { reason, message: self.shared.message.clone() }
    }
}

/// The kind and the length only: payloads are never printed.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.message()).finish()
    }
}

impl<M: IntoMessage> From<M> for Prepared {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

impl Connection {
    /// Queues a message that is prepared for many connections: see [`Prepared`]. Otherwise this is
    /// [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send); nothing changed, and there is nothing to hand back.
    pub fn send_prepared(&mut self, message: &Prepared) -> Result<(), SendErrorReason> {
        if let Err(refusal) = self.may_send() {
            return Err(self.reason(refusal));
        }
        if message.len() > self.config.max_sent_frame {
            // It goes out in fragments, and nobody else's are where these are.
            let whole = message.shared.message.clone();
            #[cfg(feature = "deflate")]
            self.push_compressed(whole, message.choice());
            #[cfg(not(feature = "deflate"))]
            self.push_plain(whole);
            return Ok(());
        }
        #[cfg(feature = "deflate")]
        if self.deflate.is_some() && self.push_prepared(message) {
            return Ok(());
        }
        match self.keys {
            Keys::Client(_) => self.push_plain(message.message()),
            Keys::Server => {
                self.sent.messages += 1;
                self.sent.plain += message.len() as u64;
                self.outbox.push_frame(&message.shared.frame);
            }
        }
        Ok(())
    }
}

/// A whole frame.
fn encode(header: &Header, payload: &[u8]) -> Bytes {
    let (head, length) = header.encode();
    let mut frame = Vec::with_capacity(length + payload.len());
    frame.extend_from_slice(&head[..length]);
    frame.extend_from_slice(payload);
    frame.into()
}
