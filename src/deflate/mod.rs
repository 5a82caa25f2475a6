//! Compression of messages: permessage-deflate (RFC 7692). Feature `deflate`.
//!
//! One call turns it on, for clients and servers, in every adapter:
//!
//! ```
//! use fullduplex::{Config, deflate::Deflate};
//!
//! let config = Config::default().deflate(Deflate::default());
//! // … and then `connect_with(url, config)` or `accept_with(stream, &acceptor, config)`
//! ```
//!
//! Both ends agree on it in the opening handshake. With a peer that does not compress, everything
//! goes out plain. `deflate` of an adapter's `WebSocket` returns the agreed parameters. You choose
//! for each message whether it is compressed: `send(Compression::Never.of(message))`. See
//! [`Compression`], which also says when compression leaks secrets.
//!
//! If you drive a [`Connection`](crate::Connection) by hand, a client makes
//! [offers](Deflate::offers) and [checks](Deflate::agreed) the server's answer; a server
//! [accepts](Deflate::accept) an offer. Give the result to
//! [`Connection::with_deflate`](crate::Connection::with_deflate):
//!
//! ```
//! use fullduplex::{Config, Connection, Event, Input, deflate::Deflate};
//!
//! // Each end has its own settings; offers and answer go through the handshake's headers.
//! let (ours, theirs) = (Deflate::default(), Deflate::default().takeover(false));
//! let answer = theirs.accept(&ours.offers()).expect("a common way");
//! let agreed = ours.agreed(&[answer.to_extension()])?;
//!
//! let mut client = Connection::client(Config::default().deflate(ours)).with_deflate(agreed)?;
//! let mut server = Connection::server(Config::default().deflate(theirs)).with_deflate(answer)?;
//! client.feed("to be or not to be ".repeat(100))?;
//! assert!(client.outbox().len() < 100);
//! let mut wire = client.outbox().chunk().to_vec();
//! let event = server.receive(&mut Input::new(&mut wire))?;
//! let Some(Event::Message(message)) = event else { panic!() };
//! assert_eq!(message.as_bytes().len(), 1_900);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! [`Config::max_message_size`](crate::Config::max_message_size) limits the inflated message and is
//! checked while it inflates: at most 32 KiB more than the limit are ever in memory.
//! [`Config::max_frame_size`](crate::Config::max_frame_size) limits the bytes on the wire. A
//! message that cannot be inflated ends the connection with 1007.
//!
//! # Memory
//! Between messages a connection holds only its window, the last bytes that it sent or received,
//! and only with takeover. The states of zlib are larger and belong to the thread: a connection
//! borrows one for each message. A thread keeps up to four of each sort. It needs one, unless many
//! messages arrive in pieces at the same time: each of these holds a decompressor.
//!
//! In KiB, measured on 64 bits (a state is up to half a KiB less on 32); *m* is the
//! [memory level](Deflate::memory_level):
//!
//! | window bits | sent, takeover | received, takeover | either, no takeover | compressor, m = 1 | m = 5 | m = 8 | m = 9 | decompressor |
//! |---|---|---|---|---|---|---|---|---|
//! | 9 | 0.5 | 0.5 | 0 | 134.2 | 147.3 | 245.3 | 357.3 | 78.7 |
//! | 10 | 1.0 | 1.0 | 0 | 136.2 | 149.3 | 247.3 | 359.3 | 78.7 |
//! | 11 | 2.0 | 2.0 | 0 | 140.2 | 153.3 | 251.3 | 363.3 | 78.7 |
//! | 12 | 4.0 | 4.0 | 0 | 148.2 | 161.3 | 259.3 | 371.3 | 78.7 |
//! | 13 | 8.0 | 8.0 | 0 | 164.2 | 177.3 | 275.3 | 387.3 | 78.7 |
//! | 14 | 16.0 | 16.0 | 0 | 196.2 | 209.3 | 307.3 | 419.3 | 78.7 |
//! | 15 | 32.0 | 32.0 | 0 | 260.2 | 273.3 | 371.3 | 483.3 | 78.7 |
//!
//! With the default settings a server holds 8 KiB for each connection whose client can be asked for
//! a smaller window, as all browsers can: 80 MiB for ten thousand. A client asks for nothing by
//! default, as browsers do. It holds 8 KiB if the server names a window of 12 bits, as this crate
//! does, and 36 KiB if the server names none and uses all of its 32 KiB. Without takeover neither
//! end holds anything.
//!
//! Borrowing has a price. If more connections take turns on a thread than it keeps states for, a
//! state has to be given the window again. With takeover that takes less than 1 µs for each message
//! received; for each message sent about 1 µs with 9 bits, 4 µs with 12, 30 µs with 15. A window of
//! fewer than 15 bits is given again for each message received: a peer may refer as far back as
//! agreed and no further, however many connections there are.
//!
//! Without the feature `std` there are no threads to borrow from. With takeover a connection keeps
//! its states; without it, they are made and freed for each message. A C library allocates them
//! (`posix_memalign`, `malloc`, `calloc` and `free` have to be there when linking), because zlib-rs
//! uses Rust's allocator only with `std`.

mod settings; // first, so that the page of `Deflate` begins with its settings

mod decoder;
mod encoder;
mod params;
#[cfg(feature = "std")]
mod pool;
mod window;

pub(crate) use decoder::{Decoder, Fault};
pub(crate) use encoder::Encoder;
#[cfg(feature = "std")]
pub(crate) use encoder::{Kind, alone};
pub use params::{DeflateParams, DeflateRefused, InvalidDeflate};
#[cfg(feature = "std")]
pub(crate) use params::{agreed, ours};
pub use settings::{Compression, Deflate, WithCompression};

/// Bytes of payload of compressed messages, in one direction.
#[derive(Clone, Copy, Default)]
pub(crate) struct Volume {
    pub(crate) deflated: u64,
    pub(crate) inflated: u64,
}

impl Volume {
    pub(crate) fn add(&mut self, deflated: usize, inflated: usize) {
        self.deflated += deflated as u64;
        self.inflated += inflated as u64;
    }
}
