//! How the end of a connection is reported.

use super::Error;
use crate::Closed;
use alloc::string::ToString;
use core::mem;
use std::io;

/// Whether the end was reported, which happens once.
pub(crate) enum End {
    /// Not yet; with the error that broke the stream, if it is broken.
    Unreported(Option<io::Error>),
    /// With a copy of it, for those who send in another task or thread.
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
            Self::Unreported(error) => error.take(),
            Self::Reported(_) => None,
        }
    }

    #[cfg_attr(
        not(any(feature = "futures-io", feature = "tokio")),
        allow(dead_code, reason = "for halves of async streams")
    )]
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Unreported(Some(_)) | Self::Reported(Some(_)))
    }

    /// A copy of the error that broke the stream.
    pub(crate) fn broken_by(&self) -> Option<io::Error> {
        let (Self::Unreported(error) | Self::Reported(error)) = self;
        let error = error.as_ref()?;
        Some(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    /// How the connection ended, the first time; later nothing.
    pub(crate) fn report(&mut self, closed: Option<&Closed>) -> Result<(), Error> {
        if let Self::Reported(_) = self {
            return Ok(());
        }
        let reported = Self::Reported(self.broken_by());
        match mem::replace(self, reported) {
            Self::Unreported(error) => outcome(closed, error),
            Self::Reported(_) => Ok(()),
        }
    }
}

/// The end of a connection as an error, if it was not clean.
pub(crate) fn outcome(closed: Option<&Closed>, broken: Option<io::Error>) -> Result<(), Error> {
    match closed {
        Some(Closed::Clean { .. }) | None => Ok(()),
        Some(Closed::Unsent { .. }) => Err(broken.map_or(Error::Unsent, Error::Io)),
        Some(Closed::Abnormal) => Err(broken.map_or(Error::Abnormal, Error::Io)),
        Some(Closed::Failed(error)) => Err(Error::Protocol(*error)),
        Some(Closed::TimedOut(error)) => Err(Error::Timeout(*error)),
    }
}
