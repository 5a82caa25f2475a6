//! What a connection tells `tracing` (feature `tracing`): nothing that a peer or the caller has said
//! but numbers that the protocol defines. Without the feature all of this is nothing.

#[cfg(feature = "tracing")]
mod on {
    use crate::{
        Closed, Connection, Error, Role, Side, TimeoutError, handshake::ClientHandshakeError,
    };
    use alloc::boxed::Box;
    use std::io;
    use tracing::{Span, debug_span};

    /// Not where this file lies: what a filter is written for stays the same.
    const TARGET: &str = "fullduplex";

    macro_rules! event {
        ($($what:tt)*) => { tracing::debug!(target: TARGET, $($what)*) };
    }

    fn role_name(role: Role) -> &'static str {
        match role {
            Role::Client => "client",
            Role::Server => "server",
        }
    }

    fn side_name(side: Side) -> &'static str {
        match side {
            Side::Local => "local",
            Side::Remote => "remote",
        }
    }

    /// The span of a connection; nothing if nobody listens.
    pub(crate) struct Trace(Option<Box<Listened>>);

    struct Listened {
        span: Span,
        /// Which turns were told.
        closing: bool,
        ended: bool,
    }

    impl Trace {
        #[inline]
        pub(crate) fn new(role: Role) -> Self {
            let span = debug_span!(target: TARGET, "websocket", role = role_name(role));
            let listened = |span| Box::new(Listened { span, closing: false, ended: false });
            Self((!span.is_disabled()).then_some(span).map(listened))
        }

        /// The opening handshake is done.
        pub(crate) fn opened(&self) {
            if let Some(Listened { span, .. }) = self.0.as_deref() {
                event!(parent: span, status = 101, "opened");
            }
        }

        /// A deadline passed, if it did.
        pub(crate) fn timed_out(&self, result: Result<(), TimeoutError>) {
            if let (Some(Listened { span, .. }), Err(error)) = (self.0.as_deref(), result) {
                event!(parent: span, timeout = ?error, "timed out");
            }
        }

        /// The stream failed.
        pub(crate) fn broken(&self, error: io::ErrorKind) {
            if let Some(Listened { span, .. }) = self.0.as_deref() {
                event!(parent: span, error = ?error, "stream failed");
            }
        }

        /// The connection is open no longer; whether it is over shows.
        pub(crate) fn ending(&mut self, connection: &Connection) {
            let Some(Listened { span, closing, ended }) = self.0.as_deref_mut() else { return };
            let outcome = connection.outcome();
            if !core::mem::replace(closing, true) {
                match outcome {
                    // A stream that broke is told apart, and so is a deadline.
                    Some(Closed::Abnormal | Closed::TimedOut(_)) => {}
                    Some(Closed::Failed(error)) => event!(
                        parent: &*span,
                        error = %error.kind(),
                        offset = error.offset(),
                        code = u16::from(error.close_code()),
                        "protocol error"
                    ),
                    Some(Closed::Clean { initiator, .. } | Closed::Unsent { initiator, .. }) => {
                        event!(parent: &*span, initiator = side_name(*initiator), "closing");
                    }
                    None if connection.is_closing() => {
                        event!(parent: &*span, initiator = side_name(Side::Local), "closing");
                    }
                    None => *closing = false,
                }
            }
            let Some(closed) = connection.closed() else { return };
            if core::mem::replace(ended, true) {
                return;
            }
            let initiator = match closed {
                Closed::Clean { initiator, .. } | Closed::Unsent { initiator, .. } => {
                    Some(side_name(*initiator))
                }
                _ => None,
            };
            event!(
                parent: &*span,
                code = closed.code(),
                clean = closed.is_clean(),
                initiator,
                "closed"
            );
        }
    }

    /// The opening handshake of a client has failed, if it has.
    pub(crate) fn opening<T>(result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            // No more than that: what a server sends may be in the text of an error.
            let status = match error {
                Error::Handshake(ClientHandshakeError::Refused(response)) => {
                    Some(response.status())
                }
                _ => None,
            };
            let timeout = error.is_timeout();
            event!(role = role_name(Role::Client), status, timeout, "not opened");
        }
        result
    }

    /// A server turns a request down.
    pub(crate) fn refusing(status: u16) {
        event!(role = role_name(Role::Server), status, "not opened");
    }
}

#[cfg(feature = "tracing")]
pub(crate) use on::{Trace, opening, refusing};

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::{Connection, Error, Role, TimeoutError};
    use std::io;

    pub(crate) struct Trace;

    #[expect(clippy::unused_self, reason = "there is nobody to tell")]
    impl Trace {
        #[inline(always)]
        pub(crate) fn new(_: Role) -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn opened(&self) {}

        #[inline(always)]
        pub(crate) fn timed_out(&self, _: Result<(), TimeoutError>) {}

        #[inline(always)]
        pub(crate) fn broken(&self, _: io::ErrorKind) {}

        #[inline(always)]
        pub(crate) fn ending(&mut self, _: &Connection) {}
    }

    #[inline(always)]
    pub(crate) fn opening<T>(result: Result<T, Error>) -> Result<T, Error> {
        result
    }

    #[inline(always)]
    pub(crate) fn refusing(_: u16) {}
}

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Trace, opening, refusing};
