//! Compression of messages: permessage-deflate (RFC 7692). Feature `deflate`.
mod decoder;
mod encoder;
mod params;
#[cfg(feature = "std")]
mod pool;
mod settings;

pub(crate) use decoder::{Decoder, Fault};
pub(crate) use encoder::Encoder;
pub use params::{DeflateParams, InvalidDeflate};
#[cfg(feature = "std")]
pub(crate) use params::{agreed, ours};
pub use settings::{Compression, Deflate};
