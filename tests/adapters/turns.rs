//! A task that never has to wait for a connection leaves others their turn all the same: streams
//! that are always ready, sources that always have more, connections that are over. And what nobody
//! receives costs little, whatever it is made of.
#![cfg(feature = "tokio")]

use crate::support::{
    self, BOTH, Woken, close_body, frame, head, heap, paused, poll_times, quiet, run, watchdog,
};
use core::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use fullduplex::{CloseCode, Config, Error, FlushPolicy, ReceivedMessage, Role};
use futures_util::{StreamExt, stream};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of anything one turn has, at most.
const MANY: usize = 64;

/// A stream that always has bytes, the same again and again, and always takes some. After very many
/// calls it ends, so that a test fails and does not hang.
struct Ready {
    /// What comes first, and then for ever.
    first: Vec<u8>,
    again: Vec<u8>,
    place: usize,
    /// How much it gives in one read and takes in one write, in bytes.
    most: usize,
    calls: Arc<AtomicUsize>,
}

impl Ready {
    const END: usize = 20_000;

    fn new(first: Vec<u8>, again: Vec<u8>) -> Self {
        Self { first, again, place: 0, most: 2_000, calls: Arc::default() }
    }

    fn call(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) < Self::END
    }

    /// As `fill`, of one that has nothing to give and is not at its end.
    fn read(&mut self, buffer: &mut [u8]) -> Poll<usize> {
        if self.first.is_empty() && self.again.is_empty() {
            return Poll::Pending;
        }
        let most = buffer.len().min(self.most);
        Poll::Ready(self.fill(&mut buffer[..most]))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> usize {
        if !self.call() {
            return 0;
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let from = match self.first.get(self.place..) {
                Some(first @ [_, ..]) => first,
                _ if self.again.is_empty() => break,
                _ => &self.again[(self.place - self.first.len()) % self.again.len()..],
            };
            let step = from.len().min(buffer.len() - filled);
            buffer[filled..filled + step].copy_from_slice(&from[..step]);
            (filled, self.place) = (filled + step, self.place + step);
        }
        filled
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.call() { Ok(bytes.len().min(self.most)) } else { Err(io::ErrorKind::Other.into()) }
    }
}

impl AsyncRead for Ready {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = ready!(self.read(buffer.initialize_unfilled()));
        buffer.advance(filled);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ready {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn on_tokio(stream: Ready, role: Role, config: Config) -> fullduplex::tokio::WebSocket<Ready> {
    fullduplex::tokio::WebSocket::from_parts(stream, role, config, [])
}

#[cfg(feature = "futures-io")]
mod on_futures_io {
    use super::*;
    use fullduplex::futures_io::FuturesIo;
    use support::Still;

    impl smol::io::AsyncRead for Ready {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.read(buffer).map(Ok)
        }
    }

    impl smol::io::AsyncWrite for Ready {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(self.write(bytes))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    pub(crate) fn over(
        stream: Ready,
        role: Role,
        config: Config,
    ) -> fullduplex::futures_io::WebSocket<Ready, Still> {
        FuturesIo::with_timer(stream, Still).adopt(role, config, [])
    }
}

/// A block with each async adapter in turn, whose constructor over a stream has the given name.
macro_rules! on_both {
    ($over:ident => $block:block) => {{
        {
            let $over = on_tokio;
            $block
        }
        #[cfg(feature = "futures-io")]
        {
            let $over = on_futures_io::over;
            $block
        }
    }};
}

/// Polls once: the task is to be polled again at once, and others before.
#[track_caller]
fn yields<F: Future>(future: Pin<&mut F>) {
    let (woken, waker) = Woken::new();
    let polled = future.poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending(), "it keeps its thread to itself");
    assert!(woken.take() > 0, "it sleeps although there is something to do");
}

/// D3: a peer that sends without pause, over a stream that says so without pause, in messages, in
/// control frames and in one message that goes straight into its place.
#[test]
fn a_stream_that_always_has_bytes() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let config = || quiet().max_message_size(usize::MAX).max_frame_size(usize::MAX);
    for role in BOTH {
        let pings = || Ready::new(Vec::new(), frame(role, 0x8a, b"pong"));
        let large = || Ready::new(head(role, 0x82, 1 << 40), vec![0; 4096]);
        let pieces = || Ready::new(frame(role, 0x02, b""), frame(role, 0x00, b""));
        on_both!(over => {
            for stream in [pings(), large()] {
                let calls = Arc::clone(&stream.calls);
                let mut ws = over(stream, role, config());
                let mut receiving = pin!(ws.recv());
                for turn in 1..4 {
                    yields(receiving.as_mut());
                    let calls = calls.load(Ordering::Relaxed);
                    assert_eq!(calls, turn * MANY, "{role:?}");
                }
            }
            let mut ws = over(pings(), role, config());
            yields(pin!(ws.run(|_, _| Ok(()))));
            let mut ws = over(pings(), role, config());
            yields(pin!(ws.recv_chunk()));
            let mut ws = over(pings(), role, config());
            yields(pin!(ws.close(CloseCode::NORMAL)));
            let mut ws = over(pieces(), role, config().max_fragments(u32::MAX));
            yields(pin!(ws.recv()));
            // One message that fills a read, again and again.
            let stream = Ready::new(Vec::new(), frame(role, 0x82, &[0; 3_000]));
            let mut ws = over(stream, role, config());
            let ready = (0..Ready::END).take_while(|_| poll_times(ws.recv(), 1).is_some());
            let ready = ready.count();
            assert!(ready < 4 * MANY, "{ready}");
            // The halves, and a writer that closes while nobody receives.
            let (mut reader, _writer) = over(pings(), role, config()).split();
            yields(pin!(reader.recv()));
            let (_reader, writer) = over(pings(), role, config()).split();
            yields(pin!(writer.close(CloseCode::NORMAL)));
            let (reader, writer) = over(pings(), role, config()).split();
            drop(reader);
            yields(pin!(writer.close(CloseCode::NORMAL)));
        });
    }
}

/// D24: sources that always have a piece, over a stream that always takes it, whatever the flush
/// policy; and messages one by one.
#[test]
fn a_stream_that_always_takes() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let sink = || Ready::new(Vec::new(), Vec::new());
    for role in BOTH {
        for policy in [FlushPolicy::Strict, FlushPolicy::BeforeWait] {
            let config = || quiet().flush_policy(policy);
            on_both!(over => {
                let given = AtomicUsize::new(0);
                let pieces = || (0..1_000).map(|_| {
                    given.fetch_add(1, Ordering::Relaxed);
                    "piece"
                });
                let turn = |what: &str| {
                    let given = given.swap(0, Ordering::Relaxed);
                    assert!((1..=MANY + 2).contains(&given), "{what} {role:?} {policy:?}: {given}");
                };
                let mut ws = over(sink(), role, config());
                yields(pin!(ws.send_iter(pieces())));
                turn("send_iter");
                let stream = || stream::iter(pieces()).map(Ok::<_, Infallible>);
                let mut ws = over(sink(), role, config());
                yields(pin!(ws.send_stream(stream())));
                turn("send_stream");
                let (_reader, writer) = over(sink(), role, config()).split();
                yields(pin!(writer.send_iter(pieces())));
                turn("send_iter of a writer");
                let (_reader, writer) = over(sink(), role, config()).split();
                yields(pin!(writer.send_stream(stream())));
                turn("send_stream of a writer");
                let (_reader, writer) = over(sink(), role, config()).split();
                yields(pin!(async {
                    for piece in pieces() {
                        writer.send(piece).await.unwrap();
                    }
                }));
                turn("send of a writer");
                let mut ws = over(sink(), role, config());
                yields(pin!(async {
                    for piece in pieces() {
                        ws.send(piece).await.unwrap();
                    }
                }));
                turn("send");
                let mut ws = over(sink(), role, config());
                yields(pin!(async {
                    for piece in pieces() {
                        ws.ready().await.unwrap();
                        ws.feed(piece).unwrap();
                    }
                }));
                turn("ready and feed");
            });
        }
    }
}

/// D24: all of it arrives, however many turns it takes.
#[test]
fn what_is_sent_in_turns_is_whole() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let script = support::Script::new();
    let mut ws = support::tokio_over(&script, Role::Server, quiet());
    run(ws.send_iter((0..1_000).map(|i| format!("{i} ")))).unwrap();
    let frames = support::split(Role::Server, &script.written());
    let text: Vec<u8> = frames.iter().flat_map(|(_, payload)| payload.clone()).collect();
    let expected: String = (0..1_000).map(|i| format!("{i} ")).collect();
    assert_eq!(text, expected.into_bytes());
    assert_eq!((frames.len(), frames[999].0), (1_000, 0x80));
}

/// D24: a backlog that a stream takes in small bites.
#[test]
fn a_stream_that_takes_little_at_once() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        on_both!(over => {
            let mut stream = Ready::new(Vec::new(), Vec::new());
            stream.most = 100;
            let calls = Arc::clone(&stream.calls);
            let mut ws = over(stream, role, quiet());
            let message = vec![0; 100_000];
            let mut sending = pin!(ws.send(&message));
            yields(sending.as_mut());
            assert!(calls.load(Ordering::Relaxed) <= 2 * MANY + 2);
            run(sending).unwrap();
            assert!(calls.load(Ordering::Relaxed) >= 1_000, "all was written");
        });
    }
}

/// B8: a loop that does not look at what it is told: the connection is over.
#[test]
fn a_connection_that_is_over() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let ended = || Ready::new(frame(role, 0x88, &close_body(1000, "")), Vec::new());
        on_both!(over => {
            let mut ws = over(ended(), role, quiet());
            assert!(run(ws.recv()).is_ok_and(|message| message.is_none()));
            yields(pin!(async { while let Ok(None) = ws.recv().await {} }));
            yields(pin!(async { while ws.next().await.is_none() {} }));
            yields(pin!(async { while let Ok(None) = ws.recv_event().await {} }));
            yields(pin!(async { while let Ok(None) = ws.recv_chunk().await {} }));
            yields(pin!(async { while ws.run(|_, _| Ok(())).await.is_ok() {} }));
            yields(pin!(async { while ws.send("x").await.is_err() {} }));
            yields(pin!(async { while ws.ping("x").await.is_err() {} }));
            let (mut reader, writer) = over(ended(), role, quiet()).split();
            assert!(run(reader.recv()).is_ok_and(|message| message.is_none()));
            yields(pin!(async { while let Ok(None) = reader.recv().await {} }));
            yields(pin!(async { while reader.next().await.is_none() {} }));
            yields(pin!(async { while writer.send("x").await.is_err() {} }));
            yields(pin!(async { while writer.send_fragment("x", true).await.is_err() {} }));
            // What it says stays the same.
            for _ in 0..3 * MANY {
                assert!(matches!(run(writer.send("x")), Err(Error::Closed(_))));
                assert!(matches!(run(reader.recv()), Ok(None)));
            }
        });
    }
}

/// D2: a peer that floods empty messages, and pings between them, behind our Close, while nobody
/// receives: what is kept for the reader counts with what it takes in memory.
#[test]
fn what_is_kept_while_nobody_receives_is_bounded() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let most = 64 * 1024;
    for role in BOTH {
        for (flood, name) in [
            (frame(role, 0x82, b""), "empty messages"),
            (frame(role, 0x81, b"x"), "small messages"),
            ([frame(role, 0x82, b""), frame(role, 0x89, b"ping")].concat(), "and pings"),
            ([frame(role, 0x01, b""), frame(role, 0x80, b"")].concat(), "in fragments"),
        ] {
            on_both!(over => {
                let stream = Ready::new(Vec::new(), flood.repeat(1_000));
                let config = quiet().max_message_size(most);
                let (mut reader, writer) = over(stream, role, config).split();
                let (polled, heap) = heap::measure(|| {
                    poll_times(writer.close(CloseCode::NORMAL), 3)
                });
                println!("{name}, {role:?}: {heap:?}");
                assert!(polled.is_none(), "it goes on");
                // Beside it there are read buffers.
                assert!(heap.peak < 2 * most + 160 * 1024, "{name}: {heap:?}");
                let mut kept = 0;
                while poll_times(reader.recv_event(), 1).is_some() {
                    kept += 1;
                    if kept > 2_000 {
                        break; // they are not kept but come
                    }
                }
                assert!(kept >= 400, "{kept} were kept");
            });
        }
    }
}

/// D2: what is kept comes in the order in which it came, and of pings the last few.
#[test]
fn what_is_kept_comes_in_order() {
    use fullduplex::Event;
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let role = Role::Server;
    let mut wire = Vec::new();
    for i in 0..100_u8 {
        wire.extend(frame(role, 0x89, &[i]));
        wire.extend(frame(role, 0x82, &[i]));
    }
    wire.extend(frame(role, 0x88, &close_body(1000, "")));
    on_both!(over => {
        let stream = Ready::new(wire.clone(), Vec::new());
        let (mut reader, writer) = over(stream, role, quiet()).split();
        let _ = run(writer.close(CloseCode::NORMAL));
        let mut seen = Vec::new();
        while let Ok(Some(event)) = run(reader.recv_event()) {
            seen.push(event);
        }
        let mut expected = Vec::new();
        for i in 0..100_u8 {
            if i >= 84 {
                expected.push(Event::Ping(vec![i].into()));
            }
            expected.push(Event::Message(ReceivedMessage::Binary(vec![i].into())));
        }
        assert_eq!(seen[..expected.len()], expected);
        assert!(matches!(&seen[expected.len()..], [Event::Close(Some(_))]));
    });
}
