//! Keepalive and the other deadlines through the adapters: what has arrived is looked at before anybody
//! is given up, times at their ends, and what becomes of times when a connection is taken apart.
#![cfg(all(feature = "tokio", feature = "futures-io"))]

use crate::{common, support};

use common::{BOTH, close_body, frame, seconds, split};
use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Connection, Error, Event, Keepalive, Role, TimeoutError,
    blocking::{self, Timeouts},
    frame::{Header, OpCode},
    futures_io::FuturesIo,
    testing::{self, Clock},
    tokio::WebSocket,
};
use std::{
    io::{self, Read, Write},
    thread,
};
use support::{Script, quiet, tcp_pair, watchdog};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, advance, sleep, timeout},
};

const SHORT: [Duration; 4] =
    [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(3), Duration::from_micros(999)];

fn is_pong_timeout<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Timeout(TimeoutError::Pong)))
}

/// The payloads of the pings that have come as a whole.
fn pings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut pings) = (0, Vec::new());
    while let Ok(Some((header, head))) = Header::decode(&bytes[at..]) {
        let start = at + head;
        at = start + header.payload_len as usize;
        if at > bytes.len() {
            break;
        }
        if header.opcode == OpCode::Ping {
            let key = header.mask.unwrap_or_default();
            let plain = bytes[start..at].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]);
            pings.push(plain.collect());
        }
    }
    pings
}

/// Reads a KiB per second, answers pings and says something from time to time.
async fn slow_peer(role: Role, mut peer: DuplexStream, pongs: bool, talks: bool) -> usize {
    let mut bytes = Vec::new();
    let mut answered = 0;
    let mut second = 0;
    let mut buffer = vec![0; 1024];
    loop {
        sleep(Duration::from_secs(1)).await;
        second += 1;
        match peer.read(&mut buffer).await.unwrap() {
            0 => return bytes.len(),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
        if talks && second % 9 == 0 {
            let _ =
                timeout(Duration::from_secs(1), peer.write_all(&frame(role, 0x81, b"on"))).await;
        }
        if pongs && second % 3 == 0 {
            let pings = pings(&bytes);
            for payload in &pings[answered..] {
                peer.write_all(&frame(role, 0x8a, payload)).await.unwrap();
            }
            answered = pings.len();
        }
    }
}

/// A14: whoever sends does not receive, and what proves that the peer is alive lies unread: it is
/// looked at before the peer is given up, and is there for who receives later.
#[tokio::test(start_paused = true)]
async fn a14_a_send_looks_at_what_has_arrived() {
    let _watchdog = watchdog();
    for role in BOTH {
        for (pongs, talks) in [(true, false), (false, true), (true, true)] {
            for halves in [false, true] {
                let (ours, theirs) = duplex(1024);
                let config = Config::default().max_sent_frame(8 << 10);
                let mut ws = WebSocket::from_parts(ours, role, config, []);
                let peer = tokio::spawn(slow_peer(role, theirs, pongs, talks));
                let what = format!("{role:?}, pongs {pongs}, talks {talks}, halves {halves}");
                let sent = if halves {
                    let (reader, writer) = ws.split();
                    let sent = writer.send(vec![7; 1 << 20]).await;
                    ws = reader.reunite(writer).unwrap();
                    sent
                } else {
                    ws.send(vec![7; 1 << 20]).await
                };
                assert!(sent.is_ok(), "{what}: {sent:?}");
                if talks {
                    let event = timeout(Duration::from_secs(1), ws.recv()).await;
                    assert_eq!(event.unwrap().unwrap(), Some("on".into()), "{what}");
                } else if !halves {
                    let event = timeout(Duration::from_secs(1), ws.recv_event()).await;
                    assert!(matches!(event.unwrap().unwrap(), Some(Event::Pong(_))), "{what}");
                    assert!(ws.round_trip().is_some(), "{what}");
                }
                drop(ws);
                assert!(peer.await.unwrap() > 1 << 20);
            }
        }
    }
}

/// And a peer that is dead is found by who sends, as soon as the documentation says.
#[tokio::test(start_paused = true)]
async fn a_send_finds_a_dead_peer() {
    let _watchdog = watchdog();
    for says in [&b""[..], b"something", b"\x82\xff\0\0\0\0\0\x01\0\0half of a frame"] {
        let (ours, mut theirs) = duplex(1024);
        let mut ws = WebSocket::from_parts(ours, Role::Client, Config::default(), []);
        if says.len() == 9 {
            theirs.write_all(&frame(Role::Client, 0x81, says)).await.unwrap();
        }
        let start = Instant::now();
        let sent = ws.send(vec![7; 1 << 20]).await;
        assert!(is_pong_timeout(&sent), "{sent:?}");
        // What has arrived is found at the first last call, and silence is measured from there.
        let most = if says.len() == 9 { 2.0 } else { 1.0 } * 51.3;
        assert!(start.elapsed().as_secs_f64() <= most, "{:?}", start.elapsed());
    }
}

/// A14: after a time in which the process was stopped timers fire first, while pongs lie unread; tokio
/// and the futures-io adapter see the pong in the turn behind that.
#[tokio::test(start_paused = true)]
async fn a14_a_task_that_was_stopped_reads_before_it_gives_up() {
    let _watchdog = watchdog();
    for role in BOTH {
        let script = Script::new();
        let mut ws = WebSocket::from_parts(script.clone(), role, Config::default(), []);
        let receiver = tokio::spawn(async move { (ws.recv().await, ws) });
        for round in 0..10 {
            while split(role, &script.written()).len() <= round {
                sleep(Duration::from_secs(1)).await;
            }
            let (_, payload) = split(role, &script.written()).remove(round);
            sleep(Duration::from_secs(2 * round as u64)).await;
            advance(Duration::from_secs(31)).await;
            for _ in 0..100 {
                tokio::task::yield_now().await; // the timer's turn
            }
            script.arrive(frame(role, 0x8a, &payload));
        }
        script.arrive(frame(role, 0x81, b"alive"));
        let (received, ws) = receiver.await.unwrap();
        assert_eq!(received.unwrap(), Some("alive".into()));
        assert!(ws.round_trip().unwrap() >= Duration::from_secs(31));
    }
    for role in BOTH {
        let (clock, script) = (Clock::new(), Script::new());
        let io = FuturesIo::with_timer(script.clone(), clock.clone());
        let mut ws = io.adopt(role, Config::default(), []);
        let mut recv = core::pin::pin!(ws.recv());
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        for round in 0..10 {
            while split(role, &script.written()).len() <= round {
                assert!(recv.as_mut().poll(&mut cx).is_pending());
                clock.advance(Duration::from_secs(1));
            }
            let (_, payload) = split(role, &script.written()).remove(round);
            assert!(recv.as_mut().poll(&mut cx).is_pending());
            clock.advance(Duration::from_secs(2 * round as u64));
            assert!(recv.as_mut().poll(&mut cx).is_pending());
            clock.advance(Duration::from_secs(31));
            assert!(recv.as_mut().poll(&mut cx).is_pending());
            script.arrive(frame(role, 0x8a, &payload));
        }
        script.arrive(frame(role, 0x81, b"alive"));
        assert!(recv.as_mut().poll(&mut cx).is_ready());
    }
}

/// A stream that is stopped in each read for longer than every deadline, and interrupted then; what
/// came meanwhile comes with the next read.
struct Stopped {
    pings: usize,
    answers: Vec<u8>,
    stops: bool,
}

impl Read for Stopped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stops = !self.stops;
        if self.stops {
            thread::sleep(Duration::from_millis(20));
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.pings == 20 {
            self.answers = frame(Role::Server, 0x81, b"alive");
        }
        let answers = core::mem::take(&mut self.answers);
        if answers.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..answers.len()].copy_from_slice(&answers);
        Ok(answers.len())
    }
}

impl Write for Stopped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (first, payload) in split(Role::Server, bytes) {
            assert_eq!(first, 0x89, "given up");
            self.pings += 1;
            self.answers = frame(Role::Server, 0x8a, &payload);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Timeouts for Stopped {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        // So that what it returns is always taken for the end of the wait.
        thread::sleep(timeout.unwrap_or_default());
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

/// A14: the same for a blocking receive, whose read is interrupted.
#[test]
fn a14_a_thread_that_was_stopped_reads_before_it_gives_up() {
    let _watchdog = watchdog();
    let short = Duration::from_millis(4);
    let config = quiet().keepalive(Keepalive::every(short).pong_timeout(short));
    let stream = Stopped { pings: 0, answers: Vec::new(), stops: false };
    let mut ws = blocking::WebSocket::from_parts(stream, Role::Server, config, []);
    let received = loop {
        match ws.recv() {
            // It said so before its timeout had passed.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => break received,
        }
    };
    assert_eq!(received.unwrap(), Some("alive".into()));
}

/// B14: who waits to send is told when the peer is given up, and does not wait for the Close to be
/// written, which here would take an hour.
#[test]
fn b14_who_waits_to_send_is_told_when_the_peer_is_given_up() {
    let _watchdog = watchdog();
    let keepalive = Keepalive::every(Duration::from_millis(20))
        .pong_timeout(Duration::from_millis(20))
        .slowest_path(u32::MAX);
    let config =
        || Config::default().keepalive(keepalive).close_timeout(Duration::from_secs(3_600));
    type Call = fn(&blocking::Writer<std::net::TcpStream>) -> Result<(), Error>;
    let calls: [Call; 5] = [
        |writer| writer.send("x"),
        |writer| writer.ready(),
        |writer| writer.flush(),
        |writer| writer.ping("x"),
        |writer| writer.send_fragment("x", false),
    ];
    for call in calls {
        for receives in [false, true] {
            let (ours, theirs) = tcp_pair();
            let mut ws = blocking::WebSocket::from_parts(ours, Role::Server, config(), []);
            ws.feed(vec![7; 64 << 20]).unwrap();
            let (mut reader, writer) = ws.split();
            thread::scope(|scope| {
                let receiver = scope.spawn(move || receives.then(|| reader.recv()));
                let told = call(&writer);
                assert!(is_pong_timeout(&told), "{told:?}");
                drop(theirs);
                // Who receives is told in the end.
                let told = receiver.join().unwrap();
                assert_eq!(told.is_some(), receives);
                assert!(told.is_none_or(|told| is_pong_timeout(&told)));
            });
        }
        let (ours, _theirs) = tcp_pair();
        let mut ws = blocking::WebSocket::from_parts(ours, Role::Server, config(), []);
        let told = ws.send(vec![7; 64 << 20]);
        assert!(is_pong_timeout(&told), "{told:?}");
    }
}

/// The same on a clock that stands still: at once, in halves and whole.
#[tokio::test(start_paused = true)]
async fn b14_the_same_on_tasks() {
    let _watchdog = watchdog();
    for halves in [false, true] {
        let config = || Config::default().close_timeout(Duration::from_secs(3_600));
        let (ours, _theirs) = duplex(64);
        let mut ws = WebSocket::from_parts(ours, Role::Server, config(), []);
        let start = Instant::now();
        let told = if halves {
            let (_reader, writer) = ws.split();
            writer.send(vec![7; 1 << 20]).await
        } else {
            ws.send(vec![7; 1 << 20]).await
        };
        assert!(is_pong_timeout(&told), "{told:?}");
        assert!(start.elapsed().as_secs_f64() < 51.3, "{:?}", start.elapsed());
    }
}

/// D20: times that are never added up to more than there is.
#[test]
fn d20_never_can_be_said_to_each_deadline() {
    let _watchdog = watchdog();
    let never = Duration::MAX;
    let config = || {
        Config::default()
            .keepalive(Keepalive::every(never).pong_timeout(never))
            .idle_timeout(never)
            .close_timeout(never)
            .handshake_timeout(never)
    };
    for reads in [false, true] {
        let (ours, mut theirs) = tcp_pair();
        let ws = blocking::WebSocket::from_parts(ours, Role::Client, config(), []);
        let (mut reader, writer) = ws.split();
        thread::scope(|scope| {
            let reader = reads.then(|| scope.spawn(move || reader.recv()));
            let closer = scope.spawn(move || writer.close(CloseCode::NORMAL));
            let mut close = [0; 8];
            theirs.read_exact(&mut close).unwrap();
            theirs.write_all(&frame(Role::Client, 0x88, &close_body(1000, ""))).unwrap();
            drop(theirs);
            closer.join().unwrap().unwrap();
            assert!(reader.is_none_or(|it| it.join().unwrap().unwrap().is_none()));
        });
    }
    let (ours, theirs) = tcp_pair();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let acceptor = fullduplex::handshake::Acceptor::new();
            let mut ws = blocking::accept_with(ours, &acceptor, config()).unwrap();
            ws.run(|message, out| out.feed(message)).unwrap();
        });
        let mut ws = blocking::client(theirs, "ws://x/", config()).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        ws.close(CloseCode::NORMAL).unwrap();
        server.join().unwrap();
    });
}

/// The same over the adapters with a clock that can be moved.
#[tokio::test(start_paused = true)]
async fn d20_the_same_on_tasks() {
    let _watchdog = watchdog();
    let never = Duration::MAX;
    let config = Config::default()
        .keepalive(Keepalive::every(never).pong_timeout(never))
        .idle_timeout(never)
        .close_timeout(never)
        .handshake_timeout(never);
    let (ours, theirs) = duplex(1024);
    let acceptor = fullduplex::handshake::Acceptor::new();
    let (server, client) = tokio::join!(
        fullduplex::tokio::accept_with(ours, &acceptor, config.clone()),
        fullduplex::tokio::client(theirs, "ws://x/", config.clone()),
    );
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    let long = Duration::from_secs(1_000_000);
    assert!(timeout(long, server.recv()).await.is_err());
    let (end, closed) = tokio::join!(server.recv(), client.close(CloseCode::NORMAL));
    assert!(matches!((end, closed), (Ok(None), Ok(()))));

    // The timer that this adapter brings along, too.
    let (ours, theirs) = testing::duplex(1024);
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    let mut ws = FuturesIo::new(ours).adopt(Role::Server, config.clone(), []);
    assert!(core::pin::pin!(ws.recv()).poll(&mut cx).is_pending());
    assert!(core::pin::pin!(ws.close(CloseCode::NORMAL)).poll(&mut cx).is_pending());
    drop(theirs);
    let (ours, _theirs) = testing::duplex(1024);
    let opening = FuturesIo::new(ours).client("ws://x/", config.clone());
    assert!(core::pin::pin!(opening).poll(&mut cx).is_pending());

    let clock = Clock::new();
    let (ours, _theirs) = testing::duplex(1024);
    let io = FuturesIo::with_timer(ours, clock.clone());
    let mut ws = io.adopt(Role::Server, config, []);
    for _ in 0..10 {
        assert!(core::pin::pin!(ws.recv()).poll(&mut cx).is_pending());
        clock.advance(long);
    }
}

/// D12: times of nothing count as a millisecond, in each adapter: so many pings, and no loop.
#[tokio::test(start_paused = true)]
async fn d12_no_time_is_a_millisecond() {
    let _watchdog = watchdog();
    for short in SHORT {
        let keepalive = Keepalive::every(short).pong_timeout(Duration::from_secs(1));
        let config = || Config::default().keepalive(keepalive);
        // The peer answers everything.
        let (ours, theirs) = duplex(1024);
        let mut ws = WebSocket::from_parts(ours, Role::Server, config(), []);
        let mut peer = WebSocket::from_parts(theirs, Role::Client, quiet(), []);
        let peer = tokio::spawn(async move { _ = peer.recv().await });
        assert!(timeout(Duration::from_millis(100), ws.recv()).await.is_err());
        // The timer of tokio counts milliseconds.
        let pings = ws.stats().pings_sent;
        assert!((20..=100).contains(&pings), "{short:?}: {pings} pings in 100 ms");
        drop(ws);
        peer.await.unwrap();

        // The peer says nothing.
        let keepalive = Keepalive::every(short).pong_timeout(short);
        let config = || Config::default().keepalive(keepalive).close_timeout(short);
        let start = Instant::now();
        let (ours, theirs) = duplex(1024);
        let mut ws = WebSocket::from_parts(ours, Role::Server, config(), []);
        assert!(is_pong_timeout(&ws.recv().await));
        drop(theirs);
        let (ours, theirs) = duplex(1024);
        let config = quiet().idle_timeout(short).close_timeout(short);
        let mut ws = WebSocket::from_parts(ours, Role::Server, config, []);
        assert!(matches!(ws.recv().await, Err(Error::Timeout(TimeoutError::Idle))));
        drop(theirs);
        let (ours, theirs) = duplex(1024);
        let mut ws = WebSocket::from_parts(ours, Role::Client, quiet().close_timeout(short), []);
        let end = ws.close(CloseCode::NORMAL).await;
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
        drop(theirs);
        let (ours, theirs) = duplex(1024);
        let config = quiet().handshake_timeout(short);
        let error = fullduplex::tokio::client(ours, "ws://x/", config).await.unwrap_err();
        assert!(error.is_timeout());
        drop(theirs);
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    }
}

/// The same with a clock of the test's: how often it looks is bounded by the clock itself.
#[test]
fn d12_the_same_over_futures_io_and_threads() {
    let _watchdog = watchdog();
    for short in SHORT {
        let keepalive = Keepalive::every(short).pong_timeout(short);
        let config = || Config::default().keepalive(keepalive).close_timeout(short);
        let clock = Clock::new();
        let (ours, _theirs) = testing::duplex(1024);
        let io = FuturesIo::with_timer(ours, clock.clone());
        let mut ws = io.adopt(Role::Server, config(), []);
        assert!(is_pong_timeout(&clock.block_on(ws.recv())));
        assert!(clock.now().elapsed() < Duration::from_millis(10), "{:?}", clock.now());
        assert_eq!(ws.stats().pings_sent, 1);

        let (ours, _theirs) = tcp_pair();
        let mut ws = blocking::WebSocket::from_parts(ours, Role::Server, config(), []);
        assert!(is_pong_timeout(&ws.recv()));
        assert_eq!(ws.stats().pings_sent, 1);
        let (ours, _theirs) = tcp_pair();
        let (_reader, writer) =
            blocking::WebSocket::from_parts(ours, Role::Client, config(), []).split();
        let end = writer.close(CloseCode::NORMAL);
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
    }
}

/// D4: taken apart, a connection goes on with the times of whoever drives it then, whatever they count
/// from: nobody is given up at once, and nobody is kept.
fn goes_on_with_another_clock(mut connection: Connection, epoch: f64) {
    let what = format!("{connection:?} at {epoch}");
    assert!(connection.wants_time(), "{what}: to be told at once");
    let at = |second| seconds(epoch + second);
    assert_eq!(connection.handle_timeout(at(0.0)), Ok(()), "{what}");
    let closing = !connection.is_open();
    // Whatever there was to be waited for has its whole time, and no more.
    let (lives, given_up) = if closing { (4.9, 5.1) } else { (44.9, 51.3) };
    let mut ended = None;
    let mut now = at(0.0);
    while let (None, Some(next)) = (ended, connection.poll_timeout()) {
        now = now.max(next);
        let written = connection.outbox().len();
        connection.outbox().advance(written);
        ended = connection.handle_timeout(now).err();
    }
    let lasted = now.saturating_since(at(0.0)).as_secs_f64();
    assert!((lives..=given_up).contains(&lasted), "{what}: {lasted} s, {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn d4_times_restart_when_a_connection_is_taken_apart() {
    let _watchdog = watchdog();
    let config = || Config::default().idle_timeout(Duration::from_secs(100));
    for epoch in [0.001, 1e3, 1e9] {
        for ran in [1, 30, 44, 10_000] {
            // A connection that has waited for so long, at a clock that began with it.
            let (ours, _theirs) = duplex(1024);
            let mut ws = WebSocket::from_parts(ours, Role::Server, config(), []);
            let _ = timeout(Duration::from_secs(ran.min(44)), ws.recv()).await;
            advance(Duration::from_secs(ran)).await;
            goes_on_with_another_clock(ws.into_parts().connection, epoch);

            let clock = Clock::new();
            let (ours, _theirs) = testing::duplex(1024);
            let io = FuturesIo::with_timer(ours, clock.clone());
            let mut ws = io.adopt(Role::Server, config(), []);
            let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
            for _ in 0..ran.min(44) {
                assert!(core::pin::pin!(ws.recv()).poll(&mut cx).is_pending());
                clock.advance(Duration::from_secs(1));
            }
            clock.advance(Duration::from_secs(ran));
            goes_on_with_another_clock(ws.into_parts().connection, epoch);

            // While it closes, too.
            let (ours, _theirs) = duplex(1024);
            let mut ws = WebSocket::from_parts(ours, Role::Client, config(), []);
            let _ = timeout(Duration::from_secs(4), ws.close(CloseCode::NORMAL)).await;
            advance(Duration::from_secs(ran)).await;
            goes_on_with_another_clock(ws.into_parts().connection, epoch);
        }
        // A blocking one, which was split and reunited on the way.
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(&frame(Role::Server, 0x81, b"hello")).unwrap();
        let mut ws = blocking::WebSocket::from_parts(ours, Role::Server, config(), []);
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        let (reader, writer) = ws.split();
        writer.send("hello").unwrap();
        let ws = reader.reunite(writer).unwrap();
        goes_on_with_another_clock(ws.into_parts().connection, epoch);
    }
}

/// The way there and back again keeps the clock that it has.
#[tokio::test(start_paused = true)]
async fn d4_halves_that_are_reunited_keep_their_times() {
    let _watchdog = watchdog();
    let (ours, _theirs) = duplex(1024);
    let mut ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
    let start = Instant::now();
    let end = loop {
        match timeout(Duration::from_secs(7), ws.recv()).await {
            Ok(end) => break end,
            Err(_) => {
                let (mut reader, writer) = ws.split();
                let waited = timeout(Duration::from_secs(3), reader.recv()).await;
                ws = reader.reunite(writer).unwrap();
                if let Ok(end) = waited {
                    break end;
                }
            }
        }
    };
    assert!(is_pong_timeout(&end));
    assert!((45.0..=51.3).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    assert_eq!(ws.closed(), Some(&Closed::TimedOut(TimeoutError::Pong)));
}
