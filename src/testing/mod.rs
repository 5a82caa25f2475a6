//! Helpers for your tests: connections without sockets, time without waiting.
//!
//! If your handler takes a `WebSocket` over any stream, give it one end of a pair and use the other
//! in the test:
//!
//! ```
//! use fullduplex::{CloseCode, Config, Error, blocking::{Timeouts, WebSocket}, testing::blocking_pair};
//! use std::{io::{Read, Write}, thread};
//!
//! /// The handler under test.
//! fn shout<S: Read + Write + Timeouts>(mut ws: WebSocket<S>) -> Result<(), Error> {
//!     ws.run(|message, out| out.feed(message.as_text().unwrap_or("?").to_uppercase()))
//! }
//!
//! let (mut client, server) = blocking_pair(Config::default());
//! let handler = thread::spawn(|| shout(server));
//! client.send("hello")?;
//! assert_eq!(client.recv()?, Some("HELLO".into()));
//! client.close(CloseCode::NORMAL)?;
//! handler.join().unwrap()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! `tokio_pair` and `futures_io_pair` do the same for the other adapters, if their features are on.
//! To test the opening handshake too, or a peer that breaks the protocol, take a [`duplex`] pair of
//! streams: give one end to the adapter, and read and write bytes at the other.
//!
//! # Time
//! The blocking adapter has real deadlines. On tokio, `#[tokio::test(start_paused = true)]` stops
//! the clock (feature `test-util` of tokio): it jumps to the next deadline when every task waits.
//! `Clock` does the same for the futures-io adapter. If you drive the core by hand, time is only a
//! number: [`Link`] joins two connections and lets it pass.

#[cfg(feature = "futures-io")]
mod clock;
mod link;
mod pipe;

#[cfg(feature = "futures-io")]
pub use clock::Clock;
pub use link::Link;
pub use pipe::{Pipe, duplex};

use crate::{Config, Role, blocking};
use alloc::{sync::Arc, vec::Vec};

/// How much each direction of a pair holds, in bytes.
const CAPACITY: usize = 64 * 1024;

/// Makes the two ends of a connection with `config`: `adopt` turns a stream into an end. They agree
/// on compression if the configuration turns it on.
macro_rules! pair {
    ($config:expr, $adopt:expr) => {{
        let config: Arc<Config> = $config.into();
        let (client, server) = duplex(CAPACITY);
        let client = $adopt(client, Role::Client, config.clone());
        let server = $adopt(server, Role::Server, config.clone());
        #[cfg(feature = "deflate")]
        let (client, server) = {
            let (ours, theirs) = agreed(&config);
            let ends = (client.with_deflate(ours), server.with_deflate(theirs));
            let (Ok(client), Ok(server)) = ends else { unreachable!("both ends are new") };
            (client, server)
        };
        (client, server)
    }};
}

/// The parameters that a client and a server of this configuration agree on, as each sees them.
#[cfg(feature = "deflate")]
fn agreed(
    config: &Config,
) -> (Option<crate::deflate::DeflateParams>, Option<crate::deflate::DeflateParams>) {
    let Some(settings) = &config.deflate else { return (None, None) };
    let Some(server) = settings.accept(&settings.offers()) else { return (None, None) };
    let client = settings.agreed(&[server.to_extension()]);
    (client.expect("an answer to our own offers"), Some(server))
}

/// Returns the client's and the server's end of an open connection of the blocking adapter. Each
/// direction holds 64 KiB.
///
/// An end that waits blocks its thread, so give each end its own: see [the module](self).
pub fn blocking_pair(
    config: impl Into<Arc<Config>>,
) -> (blocking::WebSocket<Pipe>, blocking::WebSocket<Pipe>) {
    pair!(config, |stream, role, config| {
        blocking::WebSocket::from_parts(stream, role, config, Vec::new())
    })
}

/// Returns the client's and the server's end of an open connection of the tokio adapter. Each
/// direction holds 64 KiB.
///
/// ```
/// use fullduplex::{CloseCode, Config, Error, testing::tokio_pair, tokio::WebSocket};
/// use tokio::io::{AsyncRead, AsyncWrite};
///
/// /// The handler under test.
/// async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocket<S>) -> Result<(), Error> {
///     ws.run(|message, out| out.feed(message)).await
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let (mut client, server) = tokio_pair(Config::default());
/// let handler = tokio::spawn(serve(server));
/// client.send("hello").await?;
/// assert_eq!(client.recv().await?, Some("hello".into()));
/// client.close(CloseCode::NORMAL).await?;
/// handler.await.unwrap()?;
/// # Ok::<(), Error>(()) })?; Ok::<(), Error>(())
/// ```
#[cfg(feature = "tokio")]
pub fn tokio_pair(
    config: impl Into<Arc<Config>>,
) -> (crate::tokio::WebSocket<Pipe>, crate::tokio::WebSocket<Pipe>) {
    pair!(config, |stream, role, config| {
        crate::tokio::WebSocket::from_parts(stream, role, config, Vec::new())
    })
}

/// Returns the client's and the server's end of an open connection of the futures-io adapter, both
/// with the time of `clock`. Each direction holds 64 KiB.
///
/// ```
/// use core::time::Duration;
/// use fullduplex::{Config, Error, TimeoutError, testing::{Clock, futures_io_pair}};
///
/// let clock = Clock::new();
/// let (mut client, server) = futures_io_pair(Config::default(), &clock);
/// // The server does nothing, not even answer pings, so the client gives it up.
/// let end = clock.block_on(client.recv());
/// assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))));
/// assert_eq!(clock.now().elapsed(), Duration::from_secs(45));
/// # drop(server);
/// ```
#[cfg(feature = "futures-io")]
#[allow(clippy::type_complexity, reason = "two of one type")]
pub fn futures_io_pair(
    config: impl Into<Arc<Config>>,
    clock: &Clock,
) -> (crate::futures_io::WebSocket<Pipe, Clock>, crate::futures_io::WebSocket<Pipe, Clock>) {
    pair!(config, |stream, role, config| {
        crate::futures_io::FuturesIo::with_timer(stream, clock.clone()).adopt(role, config, [])
    })
}
