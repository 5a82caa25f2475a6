//! The error of the adapters.

use crate::{
    CloseCause, CloseFrame, ProtocolError, SendError, SendErrorReason, TimeoutError,
    connection::with,
    frame::{ControlPayloadTooLong, ReasonTooLong},
    handshake::{
        ClientHandshakeError, InvalidAcceptance, InvalidRequest, InvalidResponse, Rejection,
        RejectionReason, Response,
    },
};
use alloc::{boxed::Box, string::ToString};
use core::{error::Error as StdError, fmt};
use std::io;

/// Why a call of an adapter failed.
///
/// A clean close is not an error to a call that receives. An error that ends a connection is
/// reported once to a call that receives, and after it receiving gives `None`. A call that sends is
/// told each time why nothing can be sent any more:
///
/// | the connection | what `send`, `ready`, `feed`, `ping` say |
/// |---|---|
/// | was closed by the peer | [`Closed`](Self::Closed) with its code and reason |
/// | was closed by this endpoint | [`Closed`](Self::Closed), which says so |
/// | ended because the peer broke the protocol | [`Protocol`](Self::Protocol) |
/// | ended because a deadline passed | [`Timeout`](Self::Timeout) |
/// | ended because the stream failed | [`Io`](Self::Io) with that error |
/// | ended without a Close | [`Abnormal`](Self::Abnormal) |
///
/// A write may fail before the peer's Close is read, which lies behind messages that nobody has
/// received. Then a call that sends says [`Io`](Self::Io). Receive to the end: `closed` has the
/// code.
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
    /// The peer has closed the connection, with this code and reason, and not every message that
    /// had been accepted for sending could still be written and flushed. `WebSocket::unsent` says
    /// how many were not written, after any other end too.
    Unsent(Option<CloseFrame>),
    /// The peer broke the protocol or a limit. It was told, by a Close frame.
    Protocol(ProtocolError),
    /// A deadline passed. Of the opening handshake it is a client's, or a server's that could not write
    /// its answer; a client that is too slow with its request is [`Rejected`](Self::Rejected).
    Timeout(TimeoutError),
    /// The message was not accepted, because too many bytes wait to be written, because one that is
    /// sent in fragments is not finished, or because its text would not be UTF-8; nothing changed.
    Send(SendError),
    /// The connection is closing or closed, so nothing can be sent: the peer or this endpoint has
    /// closed it.
    ///
    /// ```
    /// use fullduplex::{CloseCause, Error};
    ///
    /// fn explain(error: Error) -> String {
    ///     match error {
    ///         Error::Closed(CloseCause::Remote(Some(frame))) => {
    ///             format!("they left with {}: {}", frame.code(), frame.reason())
    ///         }
    ///         error => error.to_string(),
    ///     }
    /// }
    /// ```
    Closed(CloseCause),
    /// A message of which `recv_chunk` has taken the beginning has not ended; nothing changed.
    Unfinished,
    /// The connection was closed, properly, in the middle of a message of which `recv_chunk` has
    /// given the beginning: its rest never comes. `recv`, which has given nothing of such a
    /// message, does not say so; [`Stats::messages_cut_off`](crate::Stats::messages_cut_off) does.
    CutOff,
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
    /// The payload of a ping or a pong is too long; nothing changed.
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
    /// handshake, or was closed before the call.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() != io::ErrorKind::WouldBlock,
            Self::Abnormal | Self::Unsent(_) | Self::Closed(_) => true,
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
            Self::Unsent(frame) => {
                f.write_str("the peer closed the connection")?;
                with(frame.as_ref(), f)?;
                f.write_str(" before every message was written")
            }
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Timeout(error) => error.fmt(f),
            Self::Send(error) => write!(f, "message not accepted: {error}"),
            Self::Closed(cause) => cause.fmt(f),
            Self::Unfinished => f.write_str(
                "a message that is received in chunks has not ended: take its rest with `recv_chunk`",
            ),
            Self::CutOff => f.write_str("the connection was closed in the middle of a message"),
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
            Self::Closed(cause) => cause.source(),
            Self::Abnormal
            | Self::Unsent(_)
            | Self::Unfinished
            | Self::CutOff
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
            SendErrorReason::Closed(cause) => cause.into(),
            _ => Self::Send(error),
        }
    }
}

/// As what receiving says about the same end, where it is not a clean one.
impl From<CloseCause> for Error {
    fn from(cause: CloseCause) -> Self {
        match cause {
            CloseCause::Local | CloseCause::Remote(_) => Self::Closed(cause),
            CloseCause::Failed(error) => Self::Protocol(error),
            CloseCause::TimedOut(error) => Self::Timeout(error),
            CloseCause::Abnormal => Self::Abnormal,
            CloseCause::Io(error) => {
                Self::Io(error.into_inner().unwrap_or_else(|error| copy_of(error.get())))
            }
        }
    }
}

/// The error of the stream is itself. Any other is in what this makes, which has a fitting kind.
///
/// ```
/// use fullduplex::{Error, TimeoutError};
/// use std::io;
///
/// let error = io::Error::from(Error::Timeout(TimeoutError::Pong));
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// assert!(error.get_ref().unwrap().is::<Error>());
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        use io::ErrorKind::*;
        let kind = match &error {
            Error::Io(_) => Other,
            _ if error.is_timeout() => TimedOut,
            Error::Abnormal | Error::CutOff => UnexpectedEof,
            Error::Unsent(_) => ConnectionAborted,
            Error::Closed(_) => NotConnected,
            Error::Protocol(_) | Error::Handshake(_) => InvalidData,
            Error::Rejected(_) => ConnectionRefused,
            Error::Request(_)
            | Error::Acceptance(_)
            | Error::Response(_)
            | Error::Reason(_)
            | Error::Ping(_) => InvalidInput,
            Error::TlsUnavailable => Unsupported,
            _ => Other,
        };
        match error {
            Error::Io(error) => error,
            error => Self::new(kind, error),
        }
    }
}

/// The same error once more, as far as that goes.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}
