//! RFC 6455 WebSocket.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod blocking;
mod connection;
pub mod frame;
pub mod handshake;
mod input;
#[cfg(feature = "std")]
mod io;
pub mod message;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use connection::{
    Closed, Config, Connection, Event, FlushPolicy, Keepalive, Outbox, ProtocolError,
    ProtocolErrorKind, Role, SendError, SendErrorReason, Side, Time, TimeoutError, Transport,
};
pub use frame::{CloseCode, CloseFrame};
pub use input::Input;
#[cfg(feature = "std")]
pub use io::{Error, Outgoing, Parts};
pub use message::{Incoming, IntoMessage, Message, MessageRef, Text};
