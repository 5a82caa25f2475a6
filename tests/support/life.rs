//! One interface over all adapters, whole and in halves, for tests that have each adapter do
//! everything. Those that block do it in one poll.

use super::Script;
use core::{
    pin::Pin,
    task::{Context, Poll},
};
#[cfg(feature = "futures-io")]
use fullduplex::futures_io::FuturesIo;
use fullduplex::{
    Chunk, Closed, Config, Error, Event, IntoCloseFrame, Message, Prepared, Role, SendError, Stats,
    Unsent, asynchronous, asynchronous::AsyncIo, blocking,
};

#[cfg(feature = "deflate")]
pub(crate) type Agreed = Option<fullduplex::deflate::DeflateParams>;
#[cfg(not(feature = "deflate"))]
pub(crate) type Agreed = Option<()>;

/// What can be asked of a connection and its halves.
pub(crate) trait Knows {
    fn is_open(&self) -> bool;
    fn closed(&self) -> Option<Closed>;
    fn unsent(&self) -> Unsent;
    fn stats(&self) -> Stats;
}

pub(crate) trait Receives: Knows {
    async fn recv(&mut self) -> Result<Option<Message>, Error>;
    async fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error>;
    async fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error>;
}

pub(crate) trait Sends: Knows {
    async fn send(&mut self, message: Message) -> Result<(), Error>;
    async fn send_prepared(&mut self, message: &Prepared) -> Result<(), Error>;
    async fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error>;
    fn feed(&mut self, message: Message) -> Result<(), SendError>;
    async fn ready(&mut self) -> Result<(), Error>;
    async fn flush(&mut self) -> Result<(), Error>;
    async fn ping(&mut self, payload: &[u8]) -> Result<(), Error>;
    async fn close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error>;
}

/// A connection in one piece.
pub(crate) trait Whole: Receives + Sends + Sized {
    type Reader: Receives;
    type Writer: Sends + Clone;

    /// Whether a call that waits keeps all others from going on.
    const BLOCKS: bool;

    fn over(script: &Script, of: (Role, Config), agreed: Agreed, unread: &[u8]) -> Self;
    fn split(self) -> (Self::Reader, Self::Writer);
    fn reunite(reader: Self::Reader, writer: Self::Writer) -> Self;
}

macro_rules! knows {
    ([$($generics:tt)*] $type:ty $(, $cloned:ident)?) => {
        impl<$($generics)*> Knows for $type {
            fn is_open(&self) -> bool {
                <$type>::is_open(self)
            }

            fn closed(&self) -> Option<Closed> {
                <$type>::closed(self)$(.$cloned())?
            }

            fn unsent(&self) -> Unsent {
                <$type>::unsent(self)
            }

            fn stats(&self) -> Stats {
                <$type>::stats(self)
            }
        }
    };
}

macro_rules! receives {
    ([$($generics:tt)*] $type:ty $(, $wait:tt)?) => {
        impl<$($generics)*> Receives for $type {
            async fn recv(&mut self) -> Result<Option<Message>, Error> {
                <$type>::recv(self)$(.$wait)?
            }

            async fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
                <$type>::recv_event(self)$(.$wait)?
            }

            async fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
                <$type>::recv_chunk(self)$(.$wait)?
            }
        }
    };
}

macro_rules! sends {
    ([$($generics:tt)*] $type:ty $(, $wait:tt)?) => {
        impl<$($generics)*> Sends for $type {
            async fn send(&mut self, message: Message) -> Result<(), Error> {
                <$type>::send(self, message)$(.$wait)?
            }

            async fn send_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
                <$type>::send(self, message)$(.$wait)?
            }

            async fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error> {
                <$type>::send_fragment(self, fragment, fin)$(.$wait)?
            }

            fn feed(&mut self, message: Message) -> Result<(), SendError> {
                <$type>::feed(self, message)
            }

            async fn ready(&mut self) -> Result<(), Error> {
                <$type>::ready(self)$(.$wait)?
            }

            async fn flush(&mut self) -> Result<(), Error> {
                <$type>::flush(self)$(.$wait)?
            }

            async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
                <$type>::ping(self, payload)$(.$wait)?
            }

            async fn close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
                <$type>::close(self, frame)$(.$wait)?
            }
        }
    };
}

knows!([T: AsyncIo] asynchronous::WebSocket<T>, cloned);
receives!([T: AsyncIo] asynchronous::WebSocket<T>, await);
sends!([T: AsyncIo] asynchronous::WebSocket<T>, await);
knows!([T: AsyncIo] asynchronous::Reader<T>);
receives!([T: AsyncIo] asynchronous::Reader<T>, await);
knows!([T: AsyncIo] asynchronous::Writer<T>);
sends!([T: AsyncIo] asynchronous::Writer<T>, await);

knows!([] blocking::WebSocket<Script>, cloned);
receives!([] blocking::WebSocket<Script>);
sends!([] blocking::WebSocket<Script>);
knows!([] blocking::Reader<Script>);
receives!([] blocking::Reader<Script>);
knows!([] blocking::Writer<Script>);
sends!([] blocking::Writer<Script>);

macro_rules! whole {
    ($adapter:ident $([$clock:ty])?, $blocks:literal, $made:expr) => {
        impl Whole for fullduplex::$adapter::WebSocket<Script $(, $clock)?> {
            type Reader = fullduplex::$adapter::Reader<Script $(, $clock)?>;
            type Writer = fullduplex::$adapter::Writer<Script $(, $clock)?>;
            const BLOCKS: bool = $blocks;

            fn over(
                script: &Script,
                (role, config): (Role, Config),
                agreed: Agreed,
                unread: &[u8],
            ) -> Self {
                let ws: Self = ($made)(script.clone(), role, config, unread);
                #[cfg(feature = "deflate")]
                let ws = ws.with_deflate(agreed).unwrap();
                #[cfg(not(feature = "deflate"))]
                assert_eq!(agreed, None);
                ws
            }

            fn split(self) -> (Self::Reader, Self::Writer) {
                self.split()
            }

            fn reunite(reader: Self::Reader, writer: Self::Writer) -> Self {
                reader.reunite(writer).expect("both halves of one connection")
            }
        }
    };
}

whole!(blocking, true, Self::from_parts);
whole!(tokio, false, Self::from_parts);
#[cfg(feature = "futures-io")]
whole!(futures_io[Clock], false, |script, role, config: Config, unread: &[u8]| {
    FuturesIo::with_timer(script, Clock::new()).adopt(role, config, unread)
});

/// Tokio's clock, which tests move, for the adapter of any runtime.
#[cfg(feature = "futures-io")]
pub(crate) struct Clock {
    epoch: tokio::time::Instant,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

#[cfg(feature = "futures-io")]
impl Clock {
    pub(crate) fn new() -> Self {
        Self { epoch: tokio::time::Instant::now(), sleep: None }
    }
}

#[cfg(feature = "futures-io")]
impl fullduplex::futures_io::Timer for Clock {
    fn now(&self) -> fullduplex::Time {
        fullduplex::Time::since_epoch(self.epoch.elapsed())
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: fullduplex::Time) -> Poll<()> {
        let at = self.epoch + deadline.elapsed();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}
