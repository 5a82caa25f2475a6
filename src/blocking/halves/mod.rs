//! A connection as two: a [`Reader`] and a [`Writer`], for different threads.

mod calls;
#[cfg(feature = "deflate")]
mod deflate;
mod reader;
mod receiving;
mod sending;
mod shared;
mod state;
mod writer;

pub use reader::{Reader, ReuniteError};
pub use writer::Writer;

use super::{Duplex, WebSocket};
use alloc::sync::Arc;
use shared::Shared;

impl<S: Duplex> WebSocket<S> {
    /// Makes two of the connection: a [`Reader`] for one thread, and a [`Writer`], which can be
    /// cloned, for any number of others. Neither waits for the other. The stream is not duplicated,
    /// and [`Reader::reunite`] is the way back.
    ///
    /// The stream has to be one that blocks: what says `WouldBlock` ends the connection, with an
    /// error of kind [`Unsupported`](std::io::ErrorKind::Unsupported).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), fullduplex::Error> {
    /// use fullduplex::{CloseCode, blocking};
    /// use std::thread;
    ///
    /// let (mut reader, writer) = blocking::connect("ws://127.0.0.1:9001/")?.split();
    /// thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         while let Ok(Some(message)) = reader.recv() {
    ///             println!("{:?}", message.as_text());
    ///         }
    ///     });
    ///     writer.send("hello")?;
    ///     writer.close(CloseCode::NORMAL, "")
    /// })
    /// # }
    /// ```
    pub fn split(self) -> (Reader<S>, Writer<S>) {
        let Self { driver, opened } = self;
        let shared = Arc::new(Shared::new(driver));
        (Reader::new(shared.clone(), opened), Writer::first(shared))
    }
}
