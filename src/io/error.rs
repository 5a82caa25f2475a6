//! The error of the adapters.

use crate::{
    ProtocolError, SendError, SendErrorReason, TimeoutError,
    frame::{ControlPayloadTooLong, ReasonTooLong},
    handshake::{
        ClientHandshakeError, InvalidAcceptance, InvalidRequest, InvalidResponse, Rejection,
        RejectionReason, Response,
    },
};
use alloc::boxed::Box;
use core::{error::Error as StdError, fmt};
use std::io;

/// Why a call of an adapter failed.
///
/// A clean close is not an error. An error that ends a connection is reported once to whoever
/// receives, and after it receiving gives `None`; whoever sends may be told as well.
///
/// `Display` says all in one line, causes included; `source` gives the cause by its type.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed. With [`WouldBlock`](io::ErrorKind::WouldBlock), from a stream that the
    /// caller made non-blocking, nothing is lost: a message that was to be sent is queued, and
    /// `flush` or a receive goes on. A call that was interrupted is repeated. Any other ends the
    /// connection: [`InvalidData`](io::ErrorKind::InvalidData) is a stream that claims to have read
    /// or written more than it was given. [A table](crate::guide::faults) has what comes of what.
    Io(io::Error),
    /// The stream ended without a Close frame: code 1006 (RFC 6455 §7.1.5).
    Abnormal,
    /// The connection is over, and not every message that had been accepted for sending could
    /// still be written and flushed. `WebSocket::unsent` says how many were not written, after any
    /// other end too.
    Unsent,
    /// The peer broke the protocol or a limit. It was told, by a Close frame.
    Protocol(ProtocolError),
    /// A deadline passed. Of the opening handshake it is a client's, or a server's that could not write
    /// its answer; a client that is too slow with its request is [`Rejected`](Self::Rejected).
    Timeout(TimeoutError),
    /// The message was not accepted, because too many bytes wait to be written or because one that
    /// is sent in fragments is not finished; nothing changed.
    Send(SendError),
    /// The connection is closing or closed, so nothing can be sent.
    Closed,
    /// A message of which `recv_chunk` has taken the beginning has not ended; nothing changed.
    Unfinished,
    /// The URL or the headers of a request cannot be used; nothing was sent.
    Request(InvalidRequest),
    /// A `wss` URL, and no TLS is built in; nothing was sent. Connect, do the TLS handshake with a crate
    /// for TLS, and give its stream to the function `client` of the adapter.
    TlsUnavailable,
    /// The server did not open the connection.
    Handshake(ClientHandshakeError),
    /// The client's request was not accepted; it was told, by an HTTP response.
    Rejected(Box<Rejection>),
    /// The answer to a request cannot be used; the client was told that the server is at fault, with
    /// status 500.
    Acceptance(InvalidAcceptance),
    /// The response to turn a request down with cannot be used; the client was told that the server is
    /// at fault, with status 500.
    Response(InvalidResponse),
    /// The reason of a Close frame is too long; nothing changed.
    Reason(ReasonTooLong),
    /// The payload of a ping is too long; nothing changed.
    Ping(ControlPayloadTooLong),
    /// An error of the handler's own: see [`Error::other`].
    Other(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// An error of a handler's own, to end [`run`](crate::blocking::WebSocket::run) with.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// Whether a deadline passed.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Handshake(ClientHandshakeError::TimedOut { .. }) => true,
            Self::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            Self::Rejected(rejection) => rejection.reason() == RejectionReason::TimedOut,
            _ => false,
        }
    }

    /// Whether the peer did something that it must not do, or asked for something that it cannot
    /// have.
    pub fn is_peer_fault(&self) -> bool {
        use ClientHandshakeError::{Eof, Refused, TimedOut};
        match self {
            Self::Protocol(error) => error.is_peer_fault(),
            Self::Rejected(rejection) => !rejection.is_eof() && !self.is_timeout(),
            Self::Handshake(error) => !matches!(error, Refused(_) | Eof { .. } | TimedOut { .. }),
            _ => false,
        }
    }

    /// Whether the connection is over because the stream ended or failed, without a closing
    /// handshake, or was over before the call.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() != io::ErrorKind::WouldBlock,
            Self::Abnormal | Self::Unsent | Self::Closed => true,
            Self::Handshake(error) => matches!(error, ClientHandshakeError::Eof { .. }),
            Self::Rejected(rejection) => rejection.is_eof(),
            _ => false,
        }
    }

    /// The response of a server that refused the handshake: its status, headers and the start of
    /// its body.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Handshake(ClientHandshakeError::Refused(response)) => Some(response),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "stream failed: {error}"),
            Self::Abnormal => f.write_str("the connection ended without a Close frame"),
            Self::Unsent => f.write_str("the connection ended before every message was written"),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Timeout(error) => error.fmt(f),
            Self::Send(error) => write!(f, "message not accepted: {error}"),
            Self::Closed => SendErrorReason::Closed.fmt(f),
            Self::Unfinished => f.write_str("a message that is received in chunks has not ended"),
            Self::Request(error) => write!(f, "invalid request: {error}"),
            Self::TlsUnavailable => f.write_str(
                "a wss URL needs TLS, which is not built in: connect, do the TLS handshake with \
                 a crate for TLS, and give its stream to `client`",
            ),
            Self::Handshake(error) => write!(f, "handshake failed: {error}"),
            Self::Rejected(error) => write!(f, "handshake rejected: {error}"),
            Self::Acceptance(error) => write!(f, "invalid answer to a handshake: {error}"),
            Self::Response(error) => write!(f, "invalid answer to a handshake: {error}"),
            Self::Reason(error) => error.fmt(f),
            Self::Ping(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Timeout(error) => Some(error),
            Self::Send(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Handshake(error) => Some(error),
            Self::Rejected(error) => Some(error),
            Self::Acceptance(error) => Some(error),
            Self::Response(error) => Some(error),
            Self::Reason(error) => Some(error),
            Self::Ping(error) => Some(error),
            Self::Other(error) => Some(error.as_ref()),
            Self::Abnormal
            | Self::Unsent
            | Self::Closed
            | Self::Unfinished
            | Self::TlsUnavailable => None,
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident,)*) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    io::Error => Io,
    ProtocolError => Protocol,
    TimeoutError => Timeout,
    InvalidRequest => Request,
    ClientHandshakeError => Handshake,
    InvalidAcceptance => Acceptance,
    InvalidResponse => Response,
    ReasonTooLong => Reason,
    ControlPayloadTooLong => Ping,
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error.reason {
            SendErrorReason::Closed => Self::Closed,
            SendErrorReason::Full | SendErrorReason::Unfinished => Self::Send(error),
        }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}
