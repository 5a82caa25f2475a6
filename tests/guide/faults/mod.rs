//! The tables of the guide on streams that fail or lie, cell by cell: each is read from the guide
//! and played over a scripted stream, in every adapter, whole and in halves, in both roles.
#![cfg(all(feature = "tokio", feature = "futures-io"))]

use crate::support;

mod opening;
mod reading;
mod streams;
mod table;
mod tcp;
mod writing;

use fullduplex::{Closed, Error, Message};
use std::io::ErrorKind;
use support::life::{Receives, Whole};

/// How often a call that would block is made again.
const TRIES: usize = 20;

/// One more than a read has room for, in bytes.
const TOO_MANY: usize = 64 * 1024 + 1;

type Tokio = fullduplex::tokio::WebSocket<support::Script>;
type FuturesIo = fullduplex::futures_io::WebSocket<support::Script, support::life::Clock>;
type Blocking = fullduplex::blocking::WebSocket<support::Script>;

/// All ways to have a connection: the adapter, and whether it is in halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Blocking,
    BlockingHalves,
    Tokio,
    TokioHalves,
    FuturesIo,
    FuturesIoHalves,
}

const WAYS: [Way; 6] = [
    Way::Blocking,
    Way::BlockingHalves,
    Way::Tokio,
    Way::TokioHalves,
    Way::FuturesIo,
    Way::FuturesIoHalves,
];

impl Way {
    fn halves(self) -> bool {
        matches!(self, Self::BlockingHalves | Self::TokioHalves | Self::FuturesIoHalves)
    }

    fn blocks(self) -> bool {
        matches!(self, Self::Blocking | Self::BlockingHalves)
    }

    fn is_tokio(self) -> bool {
        matches!(self, Self::Tokio | Self::TokioHalves)
    }
}

/// An error as the tables name it.
fn name(error: &Error) -> String {
    match error {
        Error::Io(error) => format!("Io({:?})", error.kind()),
        Error::Handshake(error) if format!("{error:?}").starts_with("Eof") => {
            "Handshake(Eof)".into()
        }
        Error::Rejected(rejection) if rejection.is_eof() => "Rejected(Eof)".into(),
        Error::Rejected(rejection) => format!("Rejected({})", rejection.reason().status()),
        other => format!("{other:?}").split('(').next().unwrap().into(),
    }
}

fn name_of_end(closed: &Closed) -> &'static str {
    match closed {
        Closed::Clean { .. } => "Clean",
        Closed::Unsent { .. } => "Unsent",
        Closed::Abnormal => "Abnormal",
        Closed::Failed(_) => "Failed",
        Closed::TimedOut(_) => "TimedOut",
        other => panic!("{other:?}"),
    }
}

/// What a user of one connection was told.
#[derive(Debug, Default)]
struct Told {
    /// Errors by name; one that comes several times in a row, and changes nothing, once.
    errors: Vec<String>,
    messages: Vec<Message>,
    closed: Option<Closed>,
}

impl Told {
    fn error(&mut self, error: &Error) {
        let name = name(error);
        if self.errors.last() != Some(&name) {
            self.errors.push(name);
        }
    }

    /// As a cell of a table: the errors, and how the connection ended unless that was clean.
    fn cell(&self) -> String {
        let closed = name_of_end(self.closed.as_ref().expect("it has ended"));
        let mut told = self.errors.clone();
        match (closed, &told[..]) {
            ("Clean", []) => return "goes on".into(),
            ("Clean", [block]) if block == "Io(WouldBlock)" => return "`Io(WouldBlock)`".into(),
            _ => {}
        }
        // The end is said twice, by an error and by `closed`.
        if told.last().is_none_or(|last| last != closed) {
            told.push(closed.into());
        }
        format!("`{}`", told.join("`, `"))
    }
}

/// Receives to the end, and a little on.
async fn receive_all<R: Receives>(from: &mut R, told: &mut Told) {
    for _ in 0..TRIES {
        match from.recv().await {
            Ok(Some(message)) => told.messages.push(message),
            Ok(None) => {
                assert!(matches!(from.recv_event().await, Ok(None)));
                assert!(!from.is_open());
                told.closed = Some(from.closed().expect("it has ended"));
                return;
            }
            Err(error) => {
                let would_block =
                    matches!(&error, Error::Io(e) if e.kind() == ErrorKind::WouldBlock);
                assert!(error.is_closed() != would_block || !from.is_open(), "{error:?}");
                told.error(&error);
            }
        }
    }
    panic!("it never ends: {told:?}");
}

/// Runs `$test::<W>($way, …)` with the type of connection that `$way` is.
macro_rules! with_way {
    ($way:expr, $test:ident($($argument:expr),*)) => {{
        let way: crate::faults::Way = $way;
        let runtime = crate::support::paused();
        let _time = runtime.enter();
        match way {
            crate::faults::Way::Blocking | crate::faults::Way::BlockingHalves => {
                $test::<crate::faults::Blocking>(way, $($argument),*)
            }
            crate::faults::Way::Tokio | crate::faults::Way::TokioHalves => $test::<crate::faults::Tokio>(way, $($argument),*),
            crate::faults::Way::FuturesIo | crate::faults::Way::FuturesIoHalves => {
                $test::<crate::faults::FuturesIo>(way, $($argument),*)
            }
        }
    }};
}
use with_way;

/// A connection over `script`.
fn over<W: Whole>(script: &support::Script, role: fullduplex::Role) -> W {
    script.state().blocking = W::BLOCKS;
    W::over(script, (role, support::quiet()), None, &[])
}
