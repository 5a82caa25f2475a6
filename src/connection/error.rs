//! The peer's mistakes and the caller's.

use super::Side;
use crate::{
    Message,
    frame::{CloseCode, CloseFrame, CloseFrameError, HeaderError, OpCode, Rsv},
};
#[cfg(feature = "std")]
use alloc::sync::Arc;
use core::{error::Error, fmt, fmt::Write as _};

/// The peer broke the protocol or one of your limits, or there was no memory for its message
/// (RFC 6455 §7.1.7). The error is fatal, and further calls return it again.
///
/// A Close frame with [`close_code`](Self::close_code) is queued when you get this. Later input is
/// discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    pub(crate) kind: ProtocolErrorKind,
    pub(crate) offset: u64,
}

impl ProtocolError {
    /// The mistake.
    pub fn kind(&self) -> ProtocolErrorKind {
        self.kind
    }

    /// The position of the wrong frame, in bytes received since the opening handshake.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the peer broke a rule or a limit of its own connection. `false` if only memory was
    /// short.
    pub fn is_peer_fault(&self) -> bool {
        use ProtocolErrorKind::{OutOfMemory, OverBudget};
        !matches!(self.kind, OverBudget { .. } | OutOfMemory { .. })
    }

    /// The code of the Close frame that tells the peer (§7.4.1).
    pub fn close_code(&self) -> CloseCode {
        self.kind.close_code()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, in the frame at byte {}", self.kind, self.offset)
    }
}

impl Error for ProtocolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            ProtocolErrorKind::Header(error) => Some(error),
            ProtocolErrorKind::CloseFrame(error) => Some(error),
            _ => None,
        }
    }
}

/// The mistake of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolErrorKind {
    /// A frame head that is never legal (§5.2, §5.5): 1002.
    Header(HeaderError),
    /// A reserved bit that no negotiated extension gives a meaning (§5.2): 1002. With
    /// permessage-deflate that is RSV1 anywhere but at the start of a message (RFC 7692 §6.1).
    ReservedBits(Rsv),
    /// A frame from a client without a mask (§5.1): 1002.
    Unmasked(OpCode),
    /// A frame from a server with a mask (§5.1): 1002.
    Masked(OpCode),
    /// A continuation frame with no message to continue (§5.4): 1002.
    NothingToContinue,
    /// A new message inside another one (§5.4): 1002.
    MessageInsideMessage(OpCode),
    /// The body of a Close frame is malformed (§5.5.1): 1002, or 1007 for a reason that is not
    /// UTF-8.
    CloseFrame(CloseFrameError),
    /// Text that is not UTF-8 (§8.1): 1007.
    InvalidUtf8,
    /// A compressed message that cannot be inflated (RFC 7692 §7.2.2): 1007. RFC 7692 names no
    /// code; this one means that data does not match its type.
    InvalidDeflate,
    /// A compressed message that is made of absurdly many DEFLATE streams of a few bytes: 1008.
    TooManyStreams,
    /// A frame larger than [`Config::max_frame_size`](crate::Config::max_frame_size): 1009.
    FrameTooBig {
        /// The announced length in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A message larger than [`Config::max_message_size`](crate::Config::max_message_size): 1009.
    MessageTooBig {
        /// The length in bytes as far as it is known.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The [budget](crate::Config::receive_budget) that many connections share has too little left for
    /// this message: 1013. This is load, not a mistake of the peer.
    OverBudget {
        /// The memory that the message would have taken, in bytes, as far as it is known.
        size: u64,
        /// The budget of all of them, in bytes.
        limit: u64,
    },
    /// The allocator had no memory for this message: 1013. This is load, not a mistake of the peer.
    OutOfMemory {
        /// The memory that the message would have taken, in bytes, as far as it is known.
        size: u64,
    },
    /// More frames in a message than
    /// [`Config::max_fragments`](crate::Config::max_fragments): 1008.
    TooManyFragments {
        /// The limit in frames.
        limit: u32,
    },
}

impl ProtocolErrorKind {
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Header(_)
            | Self::ReservedBits(_)
            | Self::Unmasked(_)
            | Self::Masked(_)
            | Self::NothingToContinue
            | Self::MessageInsideMessage(_)
            | Self::CloseFrame(CloseFrameError::Truncated | CloseFrameError::Code(_)) => {
                CloseCode::PROTOCOL_ERROR
            }
            Self::InvalidUtf8
            | Self::InvalidDeflate
            | Self::CloseFrame(CloseFrameError::Reason(_)) => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments { .. } | Self::TooManyStreams => CloseCode::POLICY_VIOLATION,
            Self::OverBudget { .. } | Self::OutOfMemory { .. } => CloseCode::TRY_AGAIN_LATER,
        }
    }
}

impl fmt::Display for ProtocolErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => error.fmt(f),
            Self::ReservedBits(_) => f.write_str("reserved bit set without an extension"),
            Self::Unmasked(opcode) => write!(f, "{opcode:?} frame from a client is not masked"),
            Self::Masked(opcode) => write!(f, "{opcode:?} frame from a server is masked"),
            Self::NothingToContinue => f.write_str("continuation without a message"),
            Self::MessageInsideMessage(opcode) => {
                write!(f, "{opcode:?} frame inside a fragmented message")
            }
            Self::CloseFrame(error) => error.fmt(f),
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::InvalidDeflate => f.write_str("compressed message cannot be inflated"),
            Self::TooManyStreams => f.write_str("compressed message of too many streams"),
            Self::FrameTooBig { size, limit } => {
                write!(f, "frame of {size} bytes is over the limit of {limit}")
            }
            Self::MessageTooBig { size, limit } => {
                write!(f, "message of {size} bytes or more is over the limit of {limit}")
            }
            Self::OverBudget { size, limit } => {
                write!(f, "message of {size} bytes is over what is left of the budget of {limit}")
            }
            Self::OutOfMemory { size } => {
                write!(f, "there is no memory for a message of {size} bytes")
            }
            Self::TooManyFragments { limit } => {
                write!(f, "message of more than {limit} frames")
            }
        }
    }
}

/// A message was not accepted for sending. Nothing changed, and you get the message back. A borrowed
/// one is copied, so that this error borrows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    /// The reason.
    pub reason: SendErrorReason,
    /// The message.
    pub message: Message,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// The reason why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorReason {
    /// The connection is closing or closed, for this cause. RFC 6455 §5.5.1 forbids data after a Close.
    Closed(CloseCause),
    /// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be written. Try again when
    /// some of them are written.
    Full,
    /// A message in fragments is unfinished, and this is not its next fragment (RFC 6455 §5.4).
    Unfinished,
    /// With this fragment the text message would not be UTF-8, or would end inside a code point
    /// (§5.6, §8.1). The message that you get back is binary if the fragment was a
    /// [`TextFragment`](crate::TextFragment).
    InvalidUtf8,
}

impl fmt::Display for SendErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(cause) => cause.fmt(f),
            Self::Full => {
                f.write_str("too many bytes wait to be written: wait until the connection is ready")
            }
            Self::Unfinished => {
                f.write_str("a message in fragments is not finished: send its last fragment first")
            }
            Self::InvalidUtf8 => {
                f.write_str("the text message would not be UTF-8: send bytes as a binary message")
            }
        }
    }
}

impl Error for SendErrorReason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed(cause) => cause.source(),
            _ => None,
        }
    }
}

/// The reason why nothing more can be sent: a `send` that comes too late returns it.
///
/// It is known as soon as the connection is closing. The outcome, [`Closed`](super::Closed), is known
/// only at the end.
///
/// ```
/// use fullduplex::{CloseCause, Config, Connection, Input, SendErrorReason};
///
/// let mut connection = Connection::client(Config::default());
/// let mut bytes = *b"\x88\x0a\x03\xf0too many"; // the server's Close
/// connection.receive(&mut Input::new(&mut bytes))?;
/// let refused = connection.feed("hello").unwrap_err();
/// assert_eq!(refused.to_string(), "the peer closed the connection with 1008 too many");
/// let SendErrorReason::Closed(cause) = refused.reason else { panic!() };
/// assert_eq!((cause.code(), cause.reason()), (1008, "too many"));
/// # Ok::<(), fullduplex::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CloseCause {
    /// This endpoint has started the closing handshake.
    Local,
    /// The peer has started it, with this code and reason; `None` if its Close had no code.
    Remote(Option<CloseFrame>),
    /// The peer broke the protocol or a limit.
    Failed(ProtocolError),
    /// A deadline passed.
    TimedOut(TimeoutError),
    /// The transport ended or broke before the peer's Close was read. After a failed write it may
    /// still be there: receive to the end.
    Abnormal,
    /// The stream of an adapter failed with this error before the peer's Close was read. After a
    /// failed write it may still be there: receive to the end.
    #[cfg(feature = "std")]
    Io(StreamError),
}

impl CloseCause {
    /// The endpoint that closed the connection; `None` if it ends without a closing handshake.
    pub fn initiator(&self) -> Option<Side> {
        match self {
            Self::Local => Some(Side::Local),
            Self::Remote(_) => Some(Side::Remote),
            _ => None,
        }
    }

    /// The code in the peer's Close, 1005 if it had none, 1006 if no Close came before this endpoint
    /// ended the connection (RFC 6455 §7.1.5).
    pub fn code(&self) -> u16 {
        match self {
            Self::Remote(Some(frame)) => frame.code().into(),
            Self::Remote(None) => 1005,
            _ => 1006,
        }
    }

    /// The reason in the peer's Close (§7.1.6), empty if there was none.
    pub fn reason(&self) -> &str {
        match self {
            Self::Remote(Some(frame)) => frame.reason(),
            _ => "",
        }
    }
}

/// Two errors of a stream are equal if they have the same kind.
impl PartialEq for CloseCause {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local, Self::Local) | (Self::Abnormal, Self::Abnormal) => true,
            (Self::Remote(one), Self::Remote(other)) => one == other,
            (Self::Failed(one), Self::Failed(other)) => one == other,
            (Self::TimedOut(one), Self::TimedOut(other)) => one == other,
            #[cfg(feature = "std")]
            (Self::Io(one), Self::Io(other)) => one.get().kind() == other.get().kind(),
            _ => false,
        }
    }
}

impl Eq for CloseCause {}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this endpoint has closed the connection"),
            Self::Remote(frame) => {
                f.write_str("the peer closed the connection")?;
                with(frame.as_ref(), f)
            }
            Self::Failed(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::TimedOut(error) => error.fmt(f),
            Self::Abnormal => f.write_str("the connection ended without a Close frame"),
            #[cfg(feature = "std")]
            Self::Io(error) => write!(f, "stream failed: {}", error.get()),
        }
    }
}

impl Error for CloseCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::TimedOut(error) => Some(error),
            #[cfg(feature = "std")]
            Self::Io(error) => Some(error.get()),
            _ => None,
        }
    }
}

/// The error of a failed stream, shared by all calls that return it.
///
/// ```
/// use fullduplex::CloseCause;
/// use std::io::ErrorKind;
///
/// fn was_reset(cause: &CloseCause) -> bool {
///     matches!(cause, CloseCause::Io(error) if error.get().kind() == ErrorKind::ConnectionReset)
/// }
/// ```
#[cfg(feature = "std")]
#[derive(Clone, Debug)]
pub struct StreamError(Arc<std::io::Error>);

// An `io::Error` is neither, because it may hold any error. Here it is only read; and a feature must
// not take these traits away from the types that hold this.
#[cfg(feature = "std")]
impl core::panic::UnwindSafe for StreamError {}
#[cfg(feature = "std")]
impl core::panic::RefUnwindSafe for StreamError {}

#[cfg(feature = "std")]
impl StreamError {
    pub(crate) fn new(error: std::io::Error) -> Self {
        Self(Arc::new(error))
    }

    /// The error.
    pub fn get(&self) -> &std::io::Error {
        &self.0
    }

    /// The error itself, if this is its last holder.
    pub(crate) fn into_inner(self) -> Result<std::io::Error, Self> {
        Arc::try_unwrap(self.0).map_err(Self)
    }
}

/// Writes the code and reason of a Close. Control characters are escaped: the peer chose them, and
/// this ends up in logs.
pub(crate) fn with(frame: Option<&CloseFrame>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(frame) = frame else { return f.write_str(" without a code") };
    write!(f, " with {}", frame.code())?;
    if !frame.reason().is_empty() {
        f.write_char(' ')?;
    }
    frame.reason().chars().try_for_each(|char| match char.is_control() {
        true => write!(f, "{}", char.escape_default()),
        false => f.write_char(char),
    })
}

/// The deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutError {
    /// Nothing came for the interval of [`Keepalive`](crate::Keepalive), nor after the ping within the
    /// pong timeout and the time that a slow path may need.
    Pong,
    /// No message for [`Config::idle_timeout`](crate::Config::idle_timeout).
    Idle,
    /// The peer did not answer our Close within
    /// [`Config::close_timeout`](crate::Config::close_timeout).
    Close,
    /// The opening handshake took longer than
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout).
    Handshake,
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pong => "nothing came from the peer in time after a keepalive ping",
            Self::Idle => "no message was sent or received within the idle timeout",
            Self::Close => "the peer did not answer the Close within the close timeout",
            Self::Handshake => "the opening handshake took longer than the handshake timeout",
        })
    }
}

impl Error for TimeoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind has a row in the guide. A new kind does not compile here before it is named.
    #[test]
    fn the_specification_has_every_kind() {
        use ProtocolErrorKind::*;
        macro_rules! names {
            ($($name:ident),*) => {{
                let _ = |kind: ProtocolErrorKind| match kind { $($name { .. } => {})* };
                [$(stringify!($name)),*]
            }};
        }
        let names = names![
            Header,
            ReservedBits,
            Unmasked,
            Masked,
            NothingToContinue,
            MessageInsideMessage,
            CloseFrame,
            InvalidUtf8,
            InvalidDeflate,
            TooManyStreams,
            FrameTooBig,
            MessageTooBig,
            TooManyFragments,
            OverBudget,
            OutOfMemory
        ];
        let page = include_str!("../guide/specification/receiving.md");
        let named = |line: &&str| line.starts_with("| `") || line.starts_with("`OverBudget`");
        let rows = page.lines().filter(named);
        let cells = rows.flat_map(|row| row.split(|c: char| !c.is_alphanumeric()));
        for name in names {
            assert!(cells.clone().any(|word| word == name), "{name}");
        }
    }
}
