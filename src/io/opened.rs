//! What the opening handshake came to.

use crate::handshake::Response;
use alloc::boxed::Box;

/// What is kept of the opening handshake, for those who ask; most servers' connections have nothing
/// to keep.
#[derive(Default)]
pub(crate) struct Opened(Option<Box<Answer>>);

enum Answer {
    /// What a client got.
    Got(Response),
    /// The subprotocol that a server has chosen.
    Chosen(Box<str>),
}

impl Opened {
    pub(crate) fn client(response: Response) -> Self {
        Self(Some(Box::new(Answer::Got(response))))
    }

    pub(crate) fn server(response: &Response) -> Self {
        Self(response.subprotocol().map(|chosen| Box::new(Answer::Chosen(chosen.into()))))
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        match self.0.as_deref()? {
            Answer::Got(response) => response.subprotocol(),
            Answer::Chosen(subprotocol) => Some(subprotocol),
        }
    }

    pub(crate) fn response(&self) -> Option<&Response> {
        match self.0.as_deref()? {
            Answer::Got(response) => Some(response),
            Answer::Chosen(_) => None,
        }
    }
}
