//! A message that goes to many connections: encoded once, compressed once for each way of doing it.

#[cfg(all(feature = "deflate", feature = "std"))]
mod compressed;

use super::{IntoMessage, SendOptions};
use crate::connection::{Connection, keys::Keys};
#[cfg(all(feature = "deflate", feature = "std"))]
use crate::{
    deflate::{self, Kind},
    frame::Rsv,
};
use crate::{
    frame::Header,
    message::{Message, MessageRef},
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
///     member.feed(&news)?;
///     assert_eq!(member.outbox().chunk(), b"\x81\x12to be or not to be");
/// }
/// # Ok::<(), fullduplex::SendError>(())
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
/// it shares nothing: there this is the same as sending the message itself.
///
/// It holds the message, the frame (which is the same memory if the message is binary), and each
/// compressed frame.
#[derive(Clone)]
pub struct Prepared {
    shared: Arc<Encoded>,
    options: SendOptions,
}

struct Encoded {
    message: Message,
    /// As a server sends it, not compressed.
    frame: Bytes,
    #[cfg(all(feature = "deflate", feature = "std"))]
    compressed: Compressed,
}

impl Prepared {
    /// Encodes a message. With permessage-deflate it is compressed where the message itself would
    /// be, or as you say:
    ///
    /// ```
    /// # #[cfg(feature = "deflate")] {
    /// use fullduplex::{Prepared, deflate::Compression};
    ///
    /// let secret = Prepared::new(Compression::Never.of("not beside what others chose"));
    /// # }
    /// ```
    ///
    /// You can choose each time that you send it, too. What was compressed already is shared, whatever
    /// you choose. Of a message that is prepared already this is a clone.
    pub fn new(message: impl IntoMessage) -> Self {
        let options = message.options();
        if let Some(prepared) = message.prepared() {
            return Self { shared: Arc::clone(&prepared.shared), options };
        }
        let payload = message.as_message();
        let header = Header::new(payload.opcode(), payload.as_bytes().len() as u64);
        let frame = encode(&header, payload.as_bytes());
        let message = match payload {
            MessageRef::Text(_) => message.into_message(),
            MessageRef::Binary(bytes) => frame.slice(frame.len() - bytes.len()..).into(),
        };
        Self {
            shared: Arc::new(Encoded {
                message,
                frame,
                #[cfg(all(feature = "deflate", feature = "std"))]
                compressed: Compressed::default(),
            }),
            options,
        }
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

    pub(crate) fn options(&self) -> SendOptions {
        self.options
    }

    /// The message by itself, in the same memory.
    pub(crate) fn to_message(&self) -> Message {
        self.shared.message.clone()
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
    /// Queues a message that is prepared for many connections.
    #[cfg_attr(not(feature = "deflate"), expect(unused_variables, reason = "nothing to choose"))]
    pub(crate) fn push_prepared(&mut self, message: &Prepared, options: SendOptions) {
        if message.len() > self.config.max_sent_frame_size {
            // It goes out in fragments, and nobody else's are where these are.
            #[cfg(feature = "deflate")]
            return self.push_compressed(message.to_message(), options.compression);
            #[cfg(not(feature = "deflate"))]
            return self.push_plain(message.to_message());
        }
        #[cfg(feature = "deflate")]
        if self.deflate.is_some() && self.push_prepared_compressed(message, options.compression) {
            return;
        }
        match self.keys {
            Keys::Client(_) => self.push_plain(message.message()),
            Keys::Server => {
                self.sent.messages += 1;
                self.sent.plain += message.len() as u64;
                self.outbox.push_frame(&message.shared.frame);
            }
        }
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
