//! The futures-io adapter: on smol over TCP, with clocks of every kind, in two tasks. What it has in
//! common with the others is in `adapters*.rs`.
#![cfg(all(feature = "futures-io", feature = "testing", feature = "tokio"))]

use crate::{common, support};

use common::{BOTH, close_codes, frame, other, split};
use core::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{
    CloseCode, Closed, Config, Error, Keepalive, Message, Role, Time, TimeoutError, blocking,
    futures_io::{
        DefaultTimer, FuturesIo, Timer, WebSocket, accept, accept_with, client, upgrade,
        upgrade_parsed,
    },
    handshake::{Acceptance, Acceptor, RejectionReason, Request, Response, UpgradeRequest},
    testing::Clock,
};
use futures_util::future::join;
use smol::{
    Executor, LocalExecutor, block_on,
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use std::{io, sync::Arc, thread};
use support::{REQUEST, Script, Step, Woken, poll_times, quiet, run, tcp_pair, watchdog};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    (listener.accept().await.unwrap().0, client)
}

const URL: &str = "ws://example.com/chat";

// Over TCP, on smol

#[test]
fn an_echo_over_tcp_in_both_roles() {
    let _watchdog = watchdog();
    block_on(async {
        let (server, stream) = pair().await;
        let server = smol::spawn(async move {
            let mut ws = accept(server).await?;
            assert_eq!(ws.role(), Role::Server);
            ws.run(|message, out| out.feed(message)).await?;
            Ok::<_, Error>(ws.closed().cloned())
        });
        let mut ws = client(stream, URL, Config::default()).await.unwrap();
        assert_eq!((ws.role(), ws.response().unwrap().status()), (Role::Client, 101));
        assert!(ws.get_ref().peer_addr().unwrap().ip().is_loopback());
        for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
            ws.send(vec![size as u8; size]).await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(Message::from(vec![size as u8; size])));
        }
        let large = vec![7; 500_000];
        assert_eq!(ws.send_reader(&large[..]).await.unwrap(), 500_000);
        assert_eq!(ws.recv().await.unwrap(), Some(Message::from(large)));
        ws.close((CloseCode::GOING_AWAY, "so long")).await.unwrap();
        assert!(ws.closed().is_some_and(Closed::is_clean));
        let closed = server.await.unwrap().unwrap();
        assert_eq!((closed.code(), closed.reason()), (1001, "so long"));
    });
}

/// The other adapters, on the other end.
#[test]
fn it_talks_to_the_blocking_adapter() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (ours, theirs) = tcp_pair();
        let echo = thread::spawn(move || {
            let mut ws = blocking::WebSocket::from_parts(theirs, other(role), quiet(), []);
            ws.run(|message, out| out.feed(message))
        });
        block_on(async {
            let stream = TcpStream::try_from(ours).unwrap();
            let config = Config::default().keepalive(Keepalive::default());
            let mut ws = WebSocket::from_parts(stream, role, config, []);
            for i in 0..500u32 {
                ws.feed(i.to_string()).unwrap();
            }
            for i in 0..500u32 {
                let echo = ws.recv().await.unwrap().unwrap();
                assert_eq!(echo.as_text(), Some(&*i.to_string()));
            }
            ws.close(CloseCode::NORMAL).await.unwrap();
            assert!(ws.closed().is_some_and(Closed::is_clean));
        });
        echo.join().unwrap().unwrap();
    }
}

#[test]
fn the_handshake_is_negotiated_and_refused() {
    let _watchdog = watchdog();
    block_on(async {
        let request = || Request::new(URL).subprotocol("chat").subprotocol("other");
        let (server, stream) = pair().await;
        let acceptor = Acceptor::new().subprotocols(["other"]);
        let (server, ws) =
            join(accept_with(server, &acceptor, quiet()), client(stream, request(), quiet())).await;
        assert_eq!(server.unwrap().subprotocol(), Some("other"));
        assert_eq!(ws.unwrap().subprotocol(), Some("other"));

        // Turned down by hand: the client reads why.
        let (server, stream) = pair().await;
        let (end, ws) = join(
            async {
                let upgrade = upgrade(server, quiet()).await?;
                assert_eq!(upgrade.request().path(), "/chat");
                upgrade.reject(&Response::new(404).with_body("no such room")).await
            },
            client(stream, request(), quiet()),
        )
        .await;
        end.unwrap();
        let error = ws.unwrap_err();
        let response = error.response().expect("a response");
        assert_eq!((response.status(), response.body()), (404, &b"no such room"[..]));

        // What is not a request at all.
        let (server, mut stream) = pair().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        stream.close().await.unwrap();
        let mut answer = String::new();
        let (end, read) = join(accept(server), stream.read_to_string(&mut answer)).await;
        read.unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(matches!(end, Err(Error::Rejected(_))), "{end:?}");

        // Somebody else has read the request.
        let (server, mut stream) = pair().await;
        let request = UpgradeRequest::from_parts(
            "GET",
            "/chat",
            (1, 1),
            [
                ("Host", "example.com"),
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Version", "13"),
            ],
        );
        let early = frame(Role::Server, 0x81, b"early");
        let upgrade = upgrade_parsed(server, request.unwrap(), early, quiet());
        let mut ws = upgrade.accept(&Acceptance::new()).await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("early".into()));
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
    });
}

/// Two halves of one connection in tasks of their own, on several threads, both ways at once.
#[test]
fn four_halves_in_four_tasks() {
    let _watchdog = watchdog();
    const MESSAGES: u32 = 2_000;
    let executor = Arc::new(Executor::new());
    let workers = [(); 2].map(|()| {
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let executor = executor.clone();
        (thread::spawn(move || block_on(executor.run(stopped.recv()))), stop)
    });
    block_on(async {
        let (server, stream) = pair().await;
        let often = || quiet().keepalive(Keepalive::every(Duration::from_millis(1)));
        let client = WebSocket::from_parts(stream, Role::Client, often().max_unsent(1_000), []);
        let server = WebSocket::from_parts(server, Role::Server, often().max_unsent(1_000), []);
        let mut tasks = Vec::new();
        for ws in [client, server] {
            let (mut reader, writer) = ws.split();
            let sending = executor.spawn(async move {
                for i in 0..MESSAGES {
                    writer.send(format!("{i} {}", "x".repeat(i as usize % 60))).await.unwrap();
                }
                writer
            });
            let receiving = executor.spawn(async move {
                for i in 0..MESSAGES {
                    let message = reader.recv().await.unwrap().expect("a message");
                    assert!(message.as_text().unwrap().starts_with(&format!("{i} ")));
                }
                reader
            });
            tasks.push((sending, receiving));
        }
        let mut ends = Vec::new();
        for (sending, receiving) in tasks {
            // Pings are answered only while somebody polls, so both ends stay until all is over.
            ends.push((sending.await, receiving.await));
        }
    });
    for (worker, stop) in workers {
        drop(stop);
        let _ = worker.join().unwrap();
    }
}

/// A peer that always has more does not keep the other tasks of the thread from running.
#[test]
fn a_fast_peer_leaves_others_their_turn() {
    /// Gives the same bytes at each read, for ever.
    struct Endless(Vec<u8>);

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            buffer[..self.0.len()].copy_from_slice(&self.0);
            Poll::Ready(Ok(self.0.len()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    let _watchdog = watchdog();
    for role in BOTH {
        let stream = Endless(frame(role, 0x82, b"more"));
        let mut ws = WebSocket::from_parts(stream, role, quiet(), []);
        let handled = RefCell::new(0u32);
        let tasks = LocalExecutor::new();
        let others = tasks.spawn(async {
            for _ in 0..10 {
                smol::future::yield_now().await;
            }
        });
        let flood = tasks.spawn(async {
            ws.run(|message, out| {
                *handled.borrow_mut() += 1;
                out.feed(message)
            })
            .await
        });
        block_on(tasks.run(others));
        // That the others were done shows that they had turns; these were of 64 reads.
        let handled = *handled.borrow();
        assert!(handled > 0 && handled % 64 == 0, "{role:?}: {handled}");
        drop(flood);
    }
}

// Timers

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn handshakes_end_in_time() {
    let _watchdog = watchdog();
    // A request that stops.
    for sent in [0, 1, REQUEST.len() - 1] {
        let clock = Clock::new();
        let script = Script::reading(REQUEST[..sent].bytes().map(|byte| Step::Bytes(vec![byte])));
        let io = FuturesIo::with_timer(script.clone(), clock.clone());
        let end = clock.block_on(io.accept_with(&Acceptor::new(), Config::default()));
        let error = end.map(drop).unwrap_err();
        let Error::Rejected(rejection) = error else { panic!("{error:?}") };
        assert_eq!(rejection.reason(), RejectionReason::TimedOut);
        assert!(script.written().starts_with(b"HTTP/1.1 408 "));
        // The client has two seconds to read that.
        assert_eq!(clock.now().elapsed(), 12 * SECOND);
    }
    let clock = Clock::new();
    let script = Script::reading([Step::Bytes(b"HTTP/1.1 101 Swi".to_vec())]);
    let io = FuturesIo::with_timer(script, clock.clone());
    let config = Config::default().handshake_timeout(3 * SECOND);
    let end = clock.block_on(io.client(URL, config));
    let error = end.map(drop).unwrap_err();
    assert!(matches!(error, Error::Timeout(TimeoutError::Handshake)), "{error:?}"); // D26
    assert_eq!(clock.now().elapsed(), 3 * SECOND);
}

#[test]
fn section_5_5_2_a_silent_peer_is_pinged_and_given_up() {
    let _watchdog = watchdog();
    for role in BOTH {
        let clock = Clock::new();
        let script = Script::new();
        let io = FuturesIo::with_timer(script.clone(), clock.clone());
        let mut ws = io.adopt(role, Config::default(), []);
        let end = clock.block_on(ws.recv());
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))), "{end:?}");
        assert_eq!(clock.now().elapsed(), 45 * SECOND);
        let written = split(role, &script.written());
        assert_eq!((written[0].0, &*close_codes(&written)), (0x89, &[1011][..]));
    }
}

#[test]
fn section_7_1_1_a_close_that_is_not_answered_ends_in_time() {
    let _watchdog = watchdog();
    for role in BOTH {
        let clock = Clock::new();
        let io = FuturesIo::with_timer(Script::new(), clock.clone());
        let mut ws = io.adopt(role, quiet(), []);
        let end = clock.block_on(ws.close(CloseCode::NORMAL));
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
        assert_eq!(clock.now().elapsed(), 5 * SECOND);
    }
}

/// A timer that says too early that it is time makes a deadline early, and nothing spin.
#[test]
fn a_timer_that_is_early_does_not_spin() {
    struct Early;

    impl Timer for Early {
        fn now(&self) -> Time {
            Time::EPOCH
        }

        fn poll_until(&mut self, _: &mut Context<'_>, _: Time) -> Poll<()> {
            Poll::Ready(())
        }
    }

    let _watchdog = watchdog();
    let mut ws = FuturesIo::with_timer(Script::new(), Early).adopt(Role::Server, quiet(), []);
    let end = run(ws.close(CloseCode::NORMAL));
    assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
}

/// Deadlines that come later, earlier and again, and the last one counts.
#[test]
fn the_default_timer_keeps_to_the_last_deadline() {
    let _watchdog = watchdog();
    let mut timer = DefaultTimer::new();
    let never = Time::since_epoch(Duration::MAX);
    let (woken, waker) = Woken::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(timer.poll_until(cx, Time::EPOCH).is_ready());
    for _ in 0..3 {
        assert!(timer.poll_until(cx, never).is_pending());
        assert!(timer.poll_until(cx, never).is_pending());
        let soon = timer.now() + Duration::from_millis(1);
        block_on(poll_fn(|cx| timer.poll_until(cx, soon)));
        assert!(timer.now() >= soon);
        assert!(timer.poll_until(cx, soon).is_ready(), "it stays there");
        assert!(timer.poll_until(cx, never).is_pending());
    }
    assert_eq!(woken.take(), 0);
}

// Cancel safety

/// A receive that is dropped at every byte loses nothing, over TCP too; the laws are in
/// `laws/adapters.rs`.
#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    let _watchdog = watchdog();
    let message = "in pieces".repeat(10);
    for role in BOTH {
        let wire = frame(role, 0x81, message.as_bytes());
        block_on(async {
            let (ours, mut theirs) = pair().await;
            let mut ws = WebSocket::from_parts(ours, role, quiet(), []);
            for byte in &wire[..wire.len() - 1] {
                theirs.write_all(&[*byte]).await.unwrap();
                assert!(poll_times(ws.recv(), 1).is_none());
            }
            theirs.write_all(&wire[wire.len() - 1..]).await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(message.as_str().into()));
        });
    }
}
