//! The helpers for tests: the stream in memory through every trait, pairs of every adapter, a link of
//! two cores, the clock.
#![cfg(all(feature = "deflate", feature = "futures-io", feature = "testing", feature = "tokio"))]

use crate::{common, support};

use common::frame;
use core::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{
    CloseCode, Closed, Config, Connection, Error, Event, Keepalive, Message, Role, Time,
    TimeoutError,
    blocking::{self, Duplex, Timeouts},
    deflate::Deflate,
    futures_io::{FuturesIo, Timer},
    testing::{Clock, Link, Pipe, blocking_pair, duplex, futures_io_pair, tokio_pair},
};
use futures_util::future::join;
use std::{
    io::{ErrorKind, IoSlice, Read, Write},
    thread,
};
use support::{Woken, poll_times, quiet, watchdog};

const SECOND: Duration = Duration::from_secs(1);

fn is_blocked<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Polls through one of the two async traits.
#[derive(Clone, Copy, Debug)]
enum Through {
    Tokio,
    FuturesIo,
}

impl Through {
    fn read(
        self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<std::io::Result<Vec<u8>>> {
        let mut bytes = vec![0; most];
        let read = match self {
            Self::Tokio => {
                let mut buffer = tokio::io::ReadBuf::new(&mut bytes);
                tokio::io::AsyncRead::poll_read(Pin::new(pipe), cx, &mut buffer)
                    .map_ok(|()| buffer.filled().len())
            }
            Self::FuturesIo => smol::io::AsyncRead::poll_read(Pin::new(pipe), cx, &mut bytes),
        };
        read.map_ok(|read| bytes[..read].to_vec())
    }

    fn write(
        self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self {
            Self::Tokio => tokio::io::AsyncWrite::poll_write(Pin::new(pipe), cx, bytes),
            Self::FuturesIo => smol::io::AsyncWrite::poll_write(Pin::new(pipe), cx, bytes),
        }
    }

    fn end(self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self {
            Self::Tokio => tokio::io::AsyncWrite::poll_shutdown(Pin::new(pipe), cx),
            Self::FuturesIo => smol::io::AsyncWrite::poll_close(Pin::new(pipe), cx),
        }
    }
}

// The stream

#[test]
fn a_full_pipe_takes_no_more() {
    for capacity in [0, 1, 3] {
        let (mut a, mut b) = duplex(capacity);
        a.set_write_timeout(Some(Duration::ZERO)).unwrap();
        b.set_read_timeout(Some(Duration::ZERO)).unwrap();
        assert!(is_blocked(b.read(&mut [0; 9])));
        let holds = capacity.max(1);
        let taken = a.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"bcdef")]).unwrap();
        assert_eq!(taken, holds);
        assert!(is_blocked(a.write(b"x")));
        assert_eq!(a.write(b"").unwrap(), 0);
        let mut byte = [0];
        b.read_exact(&mut byte).unwrap();
        assert_eq!((byte, a.write(b"xyz").unwrap()), ([b'a'], 1));
        // The other direction is another matter.
        assert_eq!(b.write(b"back, a lot").unwrap(), holds);
    }
}

#[test]
fn tasks_are_woken_when_there_is_something_for_them() {
    for through in [Through::Tokio, Through::FuturesIo] {
        let (mut a, mut b) = duplex(3);
        let (reader, reader_waker) = Woken::new();
        let (writer, writer_waker) = Woken::new();
        let (reading, writing) =
            (&mut Context::from_waker(&reader_waker), &mut Context::from_waker(&writer_waker));
        let ready = |bytes: &[u8]| Some(bytes.to_vec());
        let read = |poll: Poll<std::io::Result<Vec<u8>>>| match poll {
            Poll::Ready(read) => Some(read.unwrap()),
            Poll::Pending => None,
        };
        assert_eq!(read(through.read(&mut b, reading, 9)), None);
        assert!(matches!(through.write(&mut a, writing, b"abcde"), Poll::Ready(Ok(3))));
        assert_eq!((reader.take(), writer.take()), (1, 0), "{through:?}");
        assert!(through.write(&mut a, writing, b"de").is_pending());
        assert_eq!(read(through.read(&mut b, reading, 2)), ready(b"ab"));
        assert_eq!((reader.take(), writer.take()), (0, 1));
        assert!(matches!(through.write(&mut a, writing, b"de"), Poll::Ready(Ok(2))));
        assert_eq!(read(through.read(&mut b, reading, 9)), ready(b"cde"));
        // The end.
        assert_eq!(read(through.read(&mut b, reading, 9)), None);
        assert!(through.end(&mut a, writing).is_ready());
        assert_eq!(reader.take(), 1);
        assert_eq!(read(through.read(&mut b, reading, 9)), ready(b""));
        assert_eq!(read(through.read(&mut a, writing, 9)), None);
        // A broken line.
        b.reset();
        assert_eq!(writer.take(), 1);
        assert!(matches!(through.read(&mut a, writing, 9), Poll::Ready(Err(_))));
        assert!(matches!(through.write(&mut b, reading, b"x"), Poll::Ready(Err(_))));
    }
}

#[test]
fn an_end_comes_behind_what_was_written() {
    let _watchdog = watchdog();
    for dropped in [false, true] {
        let (mut a, mut b) = duplex(100);
        a.write_all(b"last words").unwrap();
        a.shutdown_write().unwrap();
        a.shutdown_write().unwrap();
        assert_eq!(a.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        if dropped {
            drop(a);
            assert_eq!(b.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        } else {
            b.write_all(b"heard").unwrap();
            drop(b);
            let mut heard = String::new();
            a.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "heard");
            continue;
        }
        let mut heard = String::new();
        b.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "last words");
        assert_eq!(b.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_reset_loses_what_is_under_way() {
    let (mut a, mut b) = duplex(100);
    a.write_all(b"lost").unwrap();
    a.reset();
    for pipe in [&mut a, &mut b] {
        assert_eq!(pipe.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(pipe.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_limit_is_for_each_call_of_that_end() {
    let (mut a, mut b) = duplex(100);
    a.limit(3);
    assert_eq!(a.write(b"hello").unwrap(), 3);
    assert_eq!(b.write(b"hello").unwrap(), 5);
    assert_eq!(a.read(&mut [0; 9]).unwrap(), 3);
    assert_eq!(b.read(&mut [0; 9]).unwrap(), 3);
    a.limit(0);
    assert_eq!(a.write(b"hello").unwrap(), 1, "never nothing at all");
}

/// Threads that wait for each other, through a pipe that holds hardly anything.
#[test]
fn threads_wait_for_each_other() {
    let _watchdog = watchdog();
    let (mut a, mut b) = duplex(7);
    let sent: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            a.write_all(&sent).unwrap();
            drop(a);
        });
        let mut received = Vec::new();
        b.read_to_end(&mut received).unwrap();
        assert!(received == sent);
    });
}

// Pairs

/// Each with whether it compresses.
fn configs() -> [(Config, bool); 2] {
    [(quiet(), false), (quiet().deflate(Deflate::default()), true)]
}

fn text() -> String {
    "compressible, ".repeat(10_000)
}

#[test]
fn a_blocking_pair() {
    let _watchdog = watchdog();
    for (config, compresses) in configs() {
        let (mut client, mut server) = blocking_pair(config);
        assert_eq!((client.role(), server.role()), (Role::Client, Role::Server));
        assert_eq!([client.deflate().is_some(), server.deflate().is_some()], [compresses; 2]);
        let echo = thread::spawn(move || server.run(|message, out| out.feed(message)));
        for message in [Message::from("small"), text().into()] {
            client.send(message.clone()).unwrap();
            assert_eq!(client.recv().unwrap(), Some(message));
        }
        client.close(CloseCode::NORMAL).unwrap();
        echo.join().unwrap().unwrap();
        assert!(client.closed().is_some_and(Closed::is_clean));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tokio_pair() {
    let _watchdog = watchdog();
    for (config, compresses) in configs() {
        let (mut client, mut server) = tokio_pair(config);
        assert_eq!([client.deflate().is_some(), server.deflate().is_some()], [compresses; 2]);
        client.get_ref().limit(1_000);
        let echo = tokio::spawn(async move { server.run(|message, out| out.feed(message)).await });
        for message in [Message::from("small"), text().into()] {
            client.send(message.clone()).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(message));
        }
        client.close(CloseCode::NORMAL).await.unwrap();
        echo.await.unwrap().unwrap();
    }
    // Deadlines, in no time.
    let (mut client, _silent) = tokio_pair(Config::default());
    let end = client.recv().await;
    assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))), "{end:?}");
}

#[test]
fn a_futures_io_pair() {
    let _watchdog = watchdog();
    for (config, compresses) in configs() {
        let clock = Clock::new();
        let (mut client, mut server) = futures_io_pair(config, &clock);
        assert_eq!([client.deflate().is_some(), server.deflate().is_some()], [compresses; 2]);
        let (said, echo) = clock.block_on(join(
            async {
                for message in [Message::from("small"), text().into()] {
                    client.send(message.clone()).await?;
                    assert_eq!(client.recv().await?, Some(message));
                }
                client.close(CloseCode::NORMAL).await
            },
            server.run(|message, out| out.feed(message)),
        ));
        said.unwrap();
        echo.unwrap();
        assert_eq!(clock.now(), Time::EPOCH, "nothing had to be waited for");
    }
}

/// A peer that does not read: sending waits, goes on when it reads, and ends when its time is up.
#[test]
fn back_pressure_shows() {
    let _watchdog = watchdog();
    let clock = Clock::new();
    let (mut client, mut server) = futures_io_pair(quiet(), &clock);
    let large = vec![1; 100_000];
    assert!(poll_times(client.send(&large[..]), 5).is_none());
    let (flushed, received) = clock.block_on(join(client.flush(), server.recv()));
    flushed.unwrap();
    assert_eq!(received.unwrap(), Some(Message::from(large)));
}

/// The handshake as well, between two adapters.
#[test]
fn a_handshake_between_adapters() {
    let _watchdog = watchdog();
    let (ours, theirs) = duplex(10);
    let server = thread::spawn(move || {
        let mut ws = blocking::accept(theirs)?;
        ws.run(|message, out| out.feed(message))
    });
    smol::block_on(async {
        let mut ws = fullduplex::futures_io::client(ours, "ws://x/", quiet()).await.unwrap();
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        ws.close(CloseCode::NORMAL).await.unwrap();
    });
    server.join().unwrap().unwrap();
}

/// A peer that breaks the protocol, written by hand.
#[test]
fn a_peer_by_hand() {
    let _watchdog = watchdog();
    let clock = Clock::new();
    let (ours, mut theirs) = duplex(1_000);
    let io = FuturesIo::with_timer(ours, clock.clone());
    let mut ws = io.adopt(Role::Server, quiet(), []);
    theirs.write_all(&frame(Role::Server, 0x81, b"good")).unwrap();
    theirs.write_all(&frame(Role::Client, 0x81, b"not masked")).unwrap();
    theirs.shutdown_write().unwrap();
    assert_eq!(clock.block_on(ws.recv()).unwrap(), Some("good".into()));
    assert!(matches!(clock.block_on(ws.recv()), Err(Error::Protocol(_))));
    let mut written = Vec::new();
    drop(ws);
    theirs.read_to_end(&mut written).unwrap();
    assert_eq!(written[..4], [0x88, written[1], 0x03, 0xea]);
}

// Two connections of the core

fn link(config: &Config) -> Link {
    Link::new(Connection::client(config.clone()), Connection::server(config.clone()))
}

#[test]
fn a_link_carries_messages_and_ends() {
    for (config, compresses) in configs() {
        let mut link = link(&config);
        let agreed = Deflate::default().accept(&Deflate::default().offers());
        if compresses {
            link.client = link.client.with_deflate(agreed).unwrap();
            link.server = link.server.with_deflate(agreed).unwrap();
        }
        link.client.feed(text()).unwrap();
        let mut received = Vec::new();
        link.settle(|event, end| match event {
            Event::Message(message) => received.push((end.role(), message.into_owned())),
            event => panic!("{event:?}"),
        });
        assert_eq!(received, [(Role::Server, Message::from(text()))]);
        link.server.start_close(None).unwrap();
        let mut closes = 0;
        link.settle(|event, _| closes += u32::from(matches!(event, Event::Close(None))));
        assert_eq!(closes, 2);
        assert_eq!(link.now(), Time::EPOCH);
        for end in [&link.client, &link.server] {
            assert!(end.closed().is_some_and(Closed::is_clean), "{end:?}");
        }
    }
}

/// Pongs in time keep both alive, however much time passes at once; where what one writes is lost,
/// nothing comes to the other any more, which gives it up and says so.
#[test]
fn a_link_has_deadlines() {
    let config = quiet().keepalive(Keepalive::default());
    let mut link = link(&config);
    let mut pings = 0;
    link.pass(3600 * SECOND, |event, _| pings += u32::from(matches!(event, Event::Ping(_))));
    assert!((120..=288).contains(&pings), "{pings}");
    assert!(link.client.is_open() && link.server.is_open());
    link.lose(Role::Client);
    link.pass(60 * SECOND, |_, _| {});
    assert_eq!(link.now(), Time::EPOCH + 3660 * SECOND);
    assert_eq!(link.server.closed(), Some(&Closed::TimedOut(TimeoutError::Pong)));
    let told = link.client.closed().map(|closed| (closed.code(), closed.reason()));
    assert_eq!(told, Some((1011, "ping timeout")));
}

#[test]
#[should_panic = "never come to rest"]
fn a_link_does_not_go_on_for_ever() {
    let mut link = link(&quiet());
    link.client.feed("again").unwrap();
    link.settle(|event, end| {
        if let Event::Message(message) = event {
            end.feed(message).unwrap();
        }
    });
}

// The clock

#[test]
fn the_clock_wakes_who_is_due() {
    let clock = Clock::new();
    let (mut one, mut two) = (clock.clone(), clock.clone());
    let (first, first_waker) = Woken::new();
    let (second, second_waker) = Woken::new();
    let at = |seconds: u32| Time::EPOCH + SECOND * seconds;
    let (cx, other) =
        (&mut Context::from_waker(&first_waker), &mut Context::from_waker(&second_waker));
    assert!(one.poll_until(cx, Time::EPOCH).is_ready());
    assert!(one.poll_until(cx, at(1)).is_pending());
    // A later deadline replaces the one before.
    assert!(one.poll_until(cx, at(5)).is_pending());
    assert!(two.poll_until(other, at(3)).is_pending());
    clock.advance(2 * SECOND);
    assert_eq!((first.take(), second.take()), (0, 0));
    assert_eq!(clock.jump(), Some(at(3)));
    assert_eq!((first.take(), second.take()), (0, 1));
    assert_eq!((clock.now(), one.now()), (at(3), at(3)));
    clock.advance(10 * SECOND);
    assert_eq!((first.take(), second.take()), (1, 0));
    assert!(one.poll_until(cx, at(5)).is_ready());
    assert_eq!(clock.jump(), None);
    // Who is gone waits for nothing, and nobody waits for never.
    assert!(one.poll_until(cx, at(20)).is_pending());
    assert!(two.poll_until(other, Time::EPOCH + Duration::MAX).is_pending());
    drop(one);
    assert_eq!(clock.jump(), None);
}

#[test]
#[should_panic = "for no deadline"]
fn the_clock_does_not_hang() {
    Clock::new().block_on(core::future::pending::<()>());
}

#[test]
#[should_panic = "still waits after"]
fn the_clock_does_not_go_on_for_ever() {
    let _watchdog = watchdog();
    let clock = Clock::new();
    let (mut client, mut server) = futures_io_pair(Config::default(), &clock);
    let _ = clock.block_on(join(client.recv(), server.recv()));
}

/// D28: a pair of the blocking adapter can be split, and its halves do all that those over TCP do.
#[test]
fn a_blocking_pair_in_halves() {
    let _watchdog = watchdog();
    for reads in [true, false] {
        let (client, server) = blocking_pair(quiet());
        let (mut reader, writer) = client.split();
        let echo = thread::spawn(move || {
            let mut server = server;
            let end = server.run(|message, out| out.feed(message));
            (end, server.stats().pongs_received)
        });
        let receiving = thread::spawn(move || {
            let mut received = Vec::new();
            while let Some(message) = reads.then(|| reader.recv()).transpose().unwrap().flatten() {
                received.push(message.len());
            }
            received
        });
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let writer = writer.clone();
                thread::spawn(move || writer.send(vec![0; 100_000]))
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap().unwrap());
        writer.ping("ping").unwrap();
        writer.close(CloseCode::NORMAL).unwrap();
        let received = receiving.join().unwrap();
        assert!(!reads || received == [100_000; 3], "{received:?}");
        let (end, _) = echo.join().unwrap();
        assert!(end.is_ok(), "{end:?}");
    }
}

/// D28: what ends the stream in both directions ends a read and a write that wait.
#[test]
fn a_pipe_is_shut_down_from_elsewhere() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = duplex(4);
    ours.set_nonblocking(true).unwrap();
    assert!(is_blocked(ours.half().read(&mut [0])));
    assert_eq!(ours.half().write(b"12345").unwrap(), 4);
    assert!(is_blocked(ours.half().write(b"5")));
    ours.set_nonblocking(false).unwrap();
    thread::scope(|scope| {
        let reading = scope.spawn(|| ours.half().read(&mut [0]));
        let writing = scope.spawn(|| ours.half().write(b"5"));
        ours.shutdown_both().unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), 0);
        assert_eq!(writing.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"1234");
    assert_eq!(theirs.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// D28: on tokio an end uses up its task's turn as a socket does, so a test shows who starves.
#[test]
fn a_pipe_takes_of_the_turn_of_a_task() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = support::paused();
    runtime.block_on(async {
        let (mut ours, mut theirs) = duplex(1 << 20);
        let (mut count, mut calls) = (
            0,
            core::pin::pin!(async {
                loop {
                    AsyncWriteExt::write_all(&mut ours, b"x").await.unwrap();
                    AsyncReadExt::read_exact(&mut theirs, &mut [0]).await.unwrap();
                }
            }),
        );
        let polled = core::future::poll_fn(|cx| Poll::Ready(calls.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "it never ends");
        // As often as it is polled it goes on.
        while count < 3 {
            tokio::task::yield_now().await;
            let polled = core::future::poll_fn(|cx| Poll::Ready(calls.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            count += 1;
        }
    });
}
