//! A server's answer to a request that it accepts.

use super::{
    headers::{self, Headers, InvalidHeader},
    subprotocol::{self, InvalidSubprotocol},
};
use crate::extension::{self, Extension};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// A server's answer to one request that it accepts. Give it to [`UpgradeRequest::accept`](super::UpgradeRequest::accept).
///
/// You can chain calls without `?`: `accept` returns the first mistake.
///
/// ```
/// use fullduplex::handshake::Acceptance;
///
/// let acceptance = Acceptance::new().subprotocol("chat").header("Set-Cookie", "session=17");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    pub(super) subprotocol: Option<String>,
    pub(super) extensions: Vec<Extension>,
    pub(super) headers: Headers,
    pub(super) error: Option<InvalidAcceptance>,
}

impl Acceptance {
    /// Creates an answer without subprotocol, extensions or extra headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol. The client must have offered it (§4.2.2).
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        let mut list = Vec::new();
        let result = subprotocol::add(&mut list, name.as_bytes());
        self.subprotocol = list.pop();
        self.keep(result.map_err(InvalidAcceptance::Subprotocol));
        self
    }

    /// Accepts an extension. The client must have offered its name (§9.1). Extensions apply to sent
    /// data in the order of the calls.
    ///
    /// If your [`Config`](crate::Config) turns permessage-deflate on, the adapter accepts it for
    /// you, or keeps the parameters that you give here. If it does not, giving it here fails with
    /// [`InvalidAcceptance::DeflateOff`].
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The extensions accepted so far.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Adds a header. The library writes those of the handshake and of HTTP's framing.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let result = add_header(&mut self.headers, name, value.as_ref());
        self.keep(result);
        self
    }

    /// Fails if permessage-deflate is accepted, for an adapter that does not compress.
    #[cfg(feature = "std")]
    pub(crate) fn without_deflate(&self) -> Result<(), InvalidAcceptance> {
        match extension::has_deflate(&self.extensions) {
            true => Err(InvalidAcceptance::DeflateOff),
            false => Ok(()),
        }
    }

    /// Keeps the first mistake.
    pub(super) fn keep(&mut self, result: Result<(), InvalidAcceptance>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

fn add_header(headers: &mut Headers, name: &str, value: &[u8]) -> Result<(), InvalidAcceptance> {
    if headers::is_reserved(name) {
        return Err(InvalidAcceptance::Reserved(name.to_string()));
    }
    headers.append(name, value).map_err(InvalidAcceptance::Header)
}

/// An [`Acceptance`] that does not fit the request, or cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAcceptance {
    /// A subprotocol that the client did not offer (§4.2.2).
    SubprotocolNotOffered(String),
    /// A subprotocol that is not a token, or is listed twice.
    Subprotocol(InvalidSubprotocol),
    /// An extension that the client did not offer (§9.1).
    ExtensionNotOffered(String),
    /// A header that cannot be sent.
    Header(InvalidHeader),
    /// A header that only the library writes.
    Reserved(String),
    /// permessage-deflate, accepted by hand, where the adapter does not compress.
    DeflateOff,
    /// permessage-deflate, accepted by hand, with parameters that a response cannot have, or that
    /// answer none of the client's offers (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    Deflate(crate::deflate::InvalidDeflate),
}

impl fmt::Display for InvalidAcceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubprotocolNotOffered(name) => {
                write!(f, "the client did not offer subprotocol {name:?}")
            }
            Self::Subprotocol(error) => error.fmt(f),
            Self::ExtensionNotOffered(name) => {
                write!(f, "the client did not offer extension {name:?}")
            }
            Self::Header(error) => error.fmt(f),
            Self::Reserved(name) => headers::fmt_reserved(name, f),
            Self::DeflateOff => f.write_str(extension::DEFLATE_OFF),
            #[cfg(feature = "deflate")]
            Self::Deflate(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InvalidAcceptance {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Subprotocol(error) => Some(error),
            Self::Header(error) => Some(error),
            #[cfg(feature = "deflate")]
            Self::Deflate(error) => Some(error),
            _ => None,
        }
    }
}
