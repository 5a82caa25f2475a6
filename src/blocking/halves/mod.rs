//! A connection as two: a [`Reader`] and a [`Writer`], for different threads.

// First, as the pages of their types show the methods in this order.
mod writer;

mod calls;
mod fragments;
mod monitor;
mod monitor_state;
mod reader;
mod receiving;
mod sending;

pub use reader::{Reader, ReuniteError};
pub use writer::Writer;

use super::{Duplex, WebSocket};
use crate::{Closed, Role, Stats, Unsent, handshake::Response};
use alloc::sync::Arc;
use core::{fmt, time::Duration};
use monitor::Monitor;

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
    ///     writer.close(CloseCode::NORMAL)
    /// })
    /// # }
    /// ```
    pub fn split(self) -> (Reader<S>, Writer<S>) {
        let Self { driver, opened } = self;
        let shared = Arc::new(Monitor::new(driver, opened));
        (Reader::new(shared.clone()), Writer::first(shared))
    }
}

/// What can be asked of either half.
macro_rules! both {
    ($($half:ident),*) => {$(
        impl<S: Duplex> $half<S> {
            /// Whether messages can still be sent: no Close was sent or received, nothing has failed.
            pub fn is_open(&self) -> bool {
                self.shared.lock().connection.is_open()
            }

            /// How the connection ended; `None` while it has not.
            pub fn closed(&self) -> Option<Closed> {
                self.shared.lock().connection.closed().cloned()
            }

            /// What was received and sent so far: see [`Stats`].
            pub fn stats(&self) -> Stats {
                self.shared.lock().connection.stats()
            }

            /// How long the newest ping of keepalive took to be answered: see
            /// [`Connection::round_trip`](crate::Connection::round_trip).
            pub fn round_trip(&self) -> Option<Duration> {
                self.shared.lock().connection.round_trip()
            }

            /// What waits to be written, and once the connection is over, what never was.
            pub fn unsent(&self) -> Unsent {
                self.shared.lock().connection.unsent()
            }

            /// The subprotocol that was agreed on.
            pub fn subprotocol(&self) -> Option<&str> {
                self.shared.opened.subprotocol()
            }

            /// The server's response, on a client.
            pub fn response(&self) -> Option<&Response> {
                self.shared.opened.response()
            }

            /// Which end this is.
            pub fn role(&self) -> Role {
                self.shared.lock().connection.role()
            }

            /// The stream, for its addresses and options. Do not read from it or write to it, and leave its
            /// timeouts alone.
            pub fn get_ref(&self) -> &S {
                &self.shared.stream
            }
        }

        impl<S: Duplex + fmt::Debug> fmt::Debug for $half<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($half))
                    .field("stream", &self.shared.stream)
                    .field("connection", &self.shared.lock().connection)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

both!(Reader, Writer);
