//! Pings and pongs that the caller sends.

use crate::{
    Connection, SendError,
    frame::{ControlPayload, ControlPayloadTooLong},
};

/// A ping, or a pong that nobody has asked for.
#[derive(Clone, Copy)]
pub(crate) enum Control {
    Ping(ControlPayload),
    Pong(ControlPayload),
}

impl Control {
    pub(crate) fn ping(payload: impl AsRef<[u8]>) -> Result<Self, ControlPayloadTooLong> {
        ControlPayload::new(payload.as_ref()).map(Self::Ping)
    }

    pub(crate) fn pong(payload: impl AsRef<[u8]>) -> Result<Self, ControlPayloadTooLong> {
        ControlPayload::new(payload.as_ref()).map(Self::Pong)
    }

    /// Queues it.
    pub(crate) fn queue(&self, connection: &mut Connection) -> Result<(), SendError> {
        let (queued, payload) = match self {
            Self::Ping(payload) => (connection.ping(*payload), payload),
            Self::Pong(payload) => (connection.pong(*payload), payload),
        };
        queued.map_err(|reason| SendError { reason, message: payload.as_bytes().into() })
    }
}
