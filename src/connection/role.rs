//! The two ends of a connection, and how to make one.

#[cfg(feature = "std")]
use super::keys::ThreadKeys;
use super::{
    Config, Connection, Keepalive,
    close::Phase,
    keys::Keys,
    receive::Receiver,
    send::SendBuffer,
    stats::Sent,
    time::{Idle, Pinger},
};
use alloc::{boxed::Box, sync::Arc};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that sent the request. It masks its frames (RFC 6455 §5.1).
    Client,
    /// The end that answered the request.
    Server,
}

impl Connection {
    /// A server's connection, after the opening handshake.
    pub fn server(config: impl Into<Arc<Config>>) -> Self {
        Self::new(Keys::Server, config.into())
    }

    /// A client's connection, after the opening handshake. Mask keys come from the generator of the
    /// thread that sends.
    #[cfg(feature = "std")]
    pub fn client(config: impl Into<Arc<Config>>) -> Self {
        Self::client_with_keys(config, ThreadKeys)
    }

    /// A client's connection with your own source of mask keys. Each frame takes four bytes. The source
    /// has to be a cryptographic generator: if keys can be predicted, a script of the peer can write
    /// chosen bytes onto the wire (RFC 6455 §10.3).
    pub fn client_with_keys(
        config: impl Into<Arc<Config>>,
        keys: impl rand::CryptoRng + Send + Sync + 'static,
    ) -> Self {
        Self::new(Keys::Client(Box::new(keys)), config.into())
    }

    fn new(keys: Keys, config: Arc<Config>) -> Self {
        Self::with_default(keys, config, None)
    }

    /// For an adapter, which drives time, so that keepalive is on by default.
    #[cfg(feature = "std")]
    pub(crate) fn for_adapter(role: Role, config: Arc<Config>) -> Self {
        let keys = match role {
            Role::Client => Keys::Client(Box::new(ThreadKeys)),
            Role::Server => Keys::Server,
        };
        Self::with_default(keys, config, Some(Keepalive::default()))
    }

    fn with_default(keys: Keys, config: Arc<Config>, keepalive: Option<Keepalive>) -> Self {
        Self {
            keys,
            state: Phase::Open,
            receiver: Receiver::new(),
            outbox: SendBuffer::default(),
            sent: Sent::default(),
            pinger: config.keepalive_or(keepalive).map(|_| Box::new(Pinger::new())),
            idle: config.idle_timeout.map(|_| Box::new(Idle::new())),
            #[cfg(feature = "deflate")]
            deflate: None,
            config,
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        match self.keys {
            Keys::Client(_) => Role::Client,
            Keys::Server => Role::Server,
        }
    }

    /// The limits and times.
    #[cfg(feature = "std")]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
}
