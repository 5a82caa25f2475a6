//! How the end of a connection is reported.

use super::{Error, error::copy_of};
use crate::{CloseCause, Closed, Connection, SendError, SendErrorReason, StreamError};
use core::mem;
use std::io;

/// Whether the end was reported to who receives, which happens once.
pub(crate) enum End {
    /// Not yet; with the error that broke the stream, if it is broken.
    Unreported(Option<io::Error>),
    /// Not yet, but the error that broke the stream was told to who sends: this is a copy.
    Told(io::Error),
    /// With a copy of the error, for those who send.
    Reported(Option<io::Error>),
}

impl End {
    /// The stream broke. The first error counts.
    pub(crate) fn broken(&mut self, error: io::Error) {
        if let Self::Unreported(first @ None) = self {
            *first = Some(error);
        }
    }

    /// The error that broke the stream, for a sender: whoever receives is then told less.
    pub(crate) fn take_broken(&mut self) -> Option<io::Error> {
        match self {
            Self::Unreported(error) => {
                let error = error.take()?;
                *self = Self::Told(copy_of(&error));
                Some(error)
            }
            Self::Told(_) | Self::Reported(_) => None,
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Unreported(Some(_)) | Self::Told(_) | Self::Reported(Some(_)))
    }

    pub(crate) fn is_reported(&self) -> bool {
        matches!(self, Self::Reported(_))
    }

    /// A copy of the error that broke the stream.
    pub(crate) fn broken_by(&self) -> Option<io::Error> {
        match self {
            Self::Unreported(error) | Self::Reported(error) => error.as_ref().map(copy_of),
            Self::Told(error) => Some(copy_of(error)),
        }
    }

    /// How the connection ended, the first time; later nothing.
    pub(crate) fn report(&mut self, closed: Option<&Closed>) -> Result<(), Error> {
        let reported = Self::Reported(self.broken_by());
        match mem::replace(self, reported) {
            Self::Unreported(error) => outcome(closed, error),
            Self::Told(_) => outcome(closed, None),
            Self::Reported(_) => Ok(()),
        }
    }

    /// Why nothing more is accepted for sending, on a connection that is not open.
    #[cold]
    pub(crate) fn refusal(&self, connection: &Connection) -> CloseCause {
        self.cause(connection.close_cause())
    }

    /// The core knows that the stream broke, and this of what.
    fn cause(&self, cause: CloseCause) -> CloseCause {
        match (cause, self.broken_by()) {
            (CloseCause::Abnormal, Some(error)) => CloseCause::Io(StreamError::new(error)),
            (cause, _) => cause,
        }
    }

    /// As the core has refused a message, with what broke the stream.
    #[cold]
    pub(crate) fn refused(&self, error: SendError) -> SendError {
        let SendError { reason, message } = error;
        SendError { reason: self.reason(reason), message }
    }

    /// As [`refused`](Self::refused), without a message.
    #[cold]
    pub(crate) fn reason(&self, reason: SendErrorReason) -> SendErrorReason {
        match reason {
            SendErrorReason::Closed(cause) => SendErrorReason::Closed(self.cause(cause)),
            reason => reason,
        }
    }

    /// Why messages that were accepted cannot be written any more; nothing if none was lost.
    #[cold]
    pub(crate) fn loss(&self, connection: &Connection) -> Option<Error> {
        if !connection.has_lost() {
            return None;
        }
        let error = outcome(connection.outcome(), self.broken_by()).err();
        Some(error.unwrap_or_else(|| match (connection.outcome(), self.broken_by()) {
            (_, Some(error)) => Error::Io(error),
            (Some(Closed::Clean { frame, .. }), None) => Error::Unsent(frame.clone()),
            _ => Error::Abnormal,
        }))
    }
}

/// The end of a connection as an error, if it was not clean.
pub(crate) fn outcome(closed: Option<&Closed>, broken: Option<io::Error>) -> Result<(), Error> {
    match closed {
        Some(Closed::Clean { .. }) | None => Ok(()),
        Some(Closed::Unsent { frame, .. }) => {
            Err(broken.map_or_else(|| Error::Unsent(frame.clone()), Error::Io))
        }
        Some(Closed::Abnormal) => Err(broken.map_or(Error::Abnormal, Error::Io)),
        Some(Closed::Failed(error)) => Err(Error::Protocol(*error)),
        Some(Closed::TimedOut(error)) => Err(Error::Timeout(*error)),
    }
}
