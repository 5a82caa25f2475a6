//! The opening handshake (RFC 6455 §4): small one-shot state machines over bytes.
//!
//! ```text
//! client   Request ─ClientHandshake::new→ request_bytes() … receive(input) → Some(Response): open
//! server   ServerHandshake::receive(input) → Some(UpgradeRequest)
//!          ─Acceptor::answer→ Acceptance ─UpgradeRequest::accept→ Response::to_bytes(): open
//!          every failure → Rejection ─response()→ Response::to_bytes(), then close TCP (§7.2.2)
//!          receive_any: plain HTTP → HttpRequest ─answer(Response)→ to_bytes(), then close TCP
//! ```
//!
//! Nothing here owns a socket, a clock or a random generator. `receive` takes bytes off the front
//! of an [`Input`](crate::Input). It returns `None` when it took everything and needs more. When it
//! is done, the bytes left in the input are frames (§4.2.2: a server may send at once). You keep
//! the deadline, and call `timed_out` when it passes. See the
//! [tables](crate::guide::specification::handshake) for the outcome of each kind of request and
//! response.
//!
//! A whole handshake, both ends in one place:
//!
//! ```
//! use fullduplex::Input;
//! use fullduplex::handshake::{Acceptor, ClientHandshake, HeadLimits, Request, ServerHandshake};
//!
//! let request = Request::new("ws://example.com/chat").subprotocol("chat.v2").subprotocol("chat");
//! let mut client = ClientHandshake::new(request, &mut rand::rng())?;
//! let mut server = ServerHandshake::new(HeadLimits::default());
//! let acceptor = Acceptor::new().subprotocols(["chat"]);
//!
//! let mut wire = client.request_bytes().to_vec();
//! let request = server.receive(&mut Input::new(&mut wire))?.expect("the head is complete");
//! assert_eq!(request.path(), "/chat");
//!
//! let response = request.accept(&acceptor.answer(&request)?)?;
//! let mut wire = response.to_bytes()?;
//! let response = client.receive(&mut Input::new(&mut wire))?.expect("the head is complete");
//! assert_eq!(response.subprotocol(), Some("chat"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept;
mod accept_policy;
mod acceptance;
mod authority;
mod body;
mod client;
mod head;
mod head_buffer;
mod headers;
mod http;
mod origin;
mod rejection;
mod request;
mod response;
mod server;
mod subprotocol;
mod target;
mod upgrade;
mod url;

pub use crate::extension::{Extension, InvalidExtension};
pub use accept::accept_key;
pub use accept_policy::Acceptor;
pub use acceptance::{Acceptance, InvalidAcceptance};
pub use client::{ClientHandshake, ClientHandshakeError};
pub use head::{HeadError, HeadLimits};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use head_buffer::examined;
pub use headers::{Headers, InvalidHeader};
pub use http::{AnyRequest, HttpRequest};
pub use origin::{InvalidOrigin, OriginPolicy};
pub use rejection::{Rejection, RejectionReason};
pub use request::{InvalidRequest, Request};
pub use response::{InvalidResponse, Response};
pub use server::ServerHandshake;
pub use subprotocol::InvalidSubprotocol;
pub use upgrade::UpgradeRequest;
pub use url::{InvalidUrl, InvalidUrlReason, Url};
