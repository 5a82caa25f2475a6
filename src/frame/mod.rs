//! The frame layer of RFC 6455 §5, usable alone.
//!
//! A frame is a [`Header`] and a payload. [`Header::decode`] and [`Header::encode`] convert heads
//! from and to bytes; [`mask`] masks and unmasks a payload in place. [`OpCode`], [`CloseCode`],
//! [`CloseFrame`] and [`ControlPayload`] can hold only what is legal on the wire.
//!
//! ```
//! use fullduplex::frame::{Header, OpCode, mask};
//!
//! // RFC 6455 §5.7: a single-frame masked text message.
//! let mut wire = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let (header, length) = Header::decode(&wire)?.expect("the head is complete");
//! assert_eq!(header.opcode, OpCode::Text);
//!
//! let payload = &mut wire[length..];
//! mask(payload, header.mask.unwrap(), 0);
//! assert_eq!(payload, b"Hello");
//! # Ok::<(), fullduplex::frame::HeaderError>(())
//! ```

mod close;
mod control;
mod header;
mod mask;

pub use close::{
    CloseCode, CloseFrame, CloseFrameError, IntoCloseFrame, InvalidCloseCode, ReasonTooLong,
};
pub use control::{ControlPayload, ControlPayloadTooLong};
pub use header::{Header, HeaderError, OpCode, Rsv};
pub use mask::mask;
