//! Deadlines of the tokio adapter on a clock that stands still: no test here waits for real time.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{KEY, close_body, frame, frame_with, split};
use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Error, Event, Role, TimeoutError, handshake::RejectionReason,
};
use support::{REQUEST, Script, poll_times, quiet, watchdog};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, advance, sleep, timeout},
};

type WebSocket = fullduplex::tokio::WebSocket<DuplexStream>;

fn pair(role: Role, config: Config) -> (WebSocket, DuplexStream) {
    let (ours, theirs) = duplex(64 * 1024);
    (WebSocket::from_parts(ours, role, config, []), theirs)
}

fn within(range: core::ops::RangeInclusive<f64>, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    // The timer of tokio counts milliseconds.
    let slack = *range.start()..=*range.end() + 0.01;
    assert!(slack.contains(&seconds), "{seconds} s");
}

/// Reads a frame that a server or a client has sent.
async fn read_frame(from: Role, peer: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mask = if from == Role::Client { 4 } else { 0 };
    let mut bytes = vec![0; 2];
    peer.read_exact(&mut bytes).await.unwrap();
    let rest = usize::from(bytes[1] & 0x7f) + mask;
    bytes.resize(2 + rest, 0);
    peer.read_exact(&mut bytes[2..]).await.unwrap();
    split(from, &bytes).remove(0)
}

/// A client that is slow over its request is answered with 408 when its time is up.
#[tokio::test(start_paused = true)]
async fn a_slow_request_gets_408_after_the_handshake_timeout() {
    let _watchdog = watchdog();
    for sent in [0, 1, REQUEST.len() - 1] {
        let (ours, mut theirs) = duplex(1024);
        let start = Instant::now();
        theirs.write_all(&REQUEST.as_bytes()[..sent]).await.unwrap();
        let server = tokio::spawn(fullduplex::tokio::accept(ours));
        let mut response = String::new();
        theirs.read_to_string(&mut response).await.unwrap();
        within(10.0..=10.0, start);
        assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
        drop(theirs);
        let error = server.await.unwrap().unwrap_err();
        assert!(error.is_timeout() && !error.is_peer_fault());
        let Error::Rejected(rejection) = error else { panic!() };
        assert_eq!(rejection.reason(), RejectionReason::TimedOut);
    }
}

/// A byte now and then does not put the deadline off.
#[tokio::test(start_paused = true)]
async fn a_dripping_request_gets_408_all_the_same() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = duplex(1024);
    let start = Instant::now();
    let server = tokio::spawn(fullduplex::tokio::accept(ours));
    for byte in REQUEST.bytes().take(30) {
        sleep(Duration::from_millis(900)).await;
        if theirs.write_all(&[byte]).await.is_err() {
            break;
        }
        if server.is_finished() {
            break;
        }
    }
    assert!(matches!(server.await.unwrap(), Err(Error::Rejected(_))));
    // Until the answer is read, or no longer than two seconds.
    within(10.0..=12.9, start);
}

/// A client whose server says nothing, and one whose server stops in its head.
#[tokio::test(start_paused = true)]
async fn a_silent_server_ends_the_handshake_in_time() {
    let _watchdog = watchdog();
    for part in ["", "HTTP/1.1 101 Switch"] {
        let (ours, mut theirs) = duplex(4096);
        theirs.write_all(part.as_bytes()).await.unwrap();
        let start = Instant::now();
        let config = Config::default().handshake_timeout(Duration::from_secs(3));
        let error = fullduplex::tokio::client(ours, "ws://example.com/", config).await.unwrap_err();
        within(3.0..=3.0, start);
        // D26: as when dialling takes too long.
        assert!(matches!(error, Error::Timeout(TimeoutError::Handshake)), "{error:?}");
        assert!(error.is_timeout());
    }
}

/// A refusal whose body never ends is given in time, with what there is of it.
#[tokio::test(start_paused = true)]
async fn a_refusal_with_an_endless_body_is_given_in_time() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = duplex(4096);
    let head = "HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\nRetry-After: 7\r\n\r\nhalf";
    theirs.write_all(head.as_bytes()).await.unwrap();
    let start = Instant::now();
    let error = fullduplex::tokio::client(ours, "ws://x/", Config::default()).await.unwrap_err();
    within(10.0..=10.0, start);
    let response = error.response().expect("a response");
    assert_eq!((response.status(), response.body()), (503, &b"half"[..]));
    assert_eq!(response.headers().get("Retry-After"), Some("7"));
    assert!(response.is_truncated());
}

/// A client whose server does not even take the request.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_taken_ends_in_time() {
    let _watchdog = watchdog();
    let (ours, _theirs) = duplex(16);
    let start = Instant::now();
    let error = fullduplex::tokio::client(ours, "ws://x/", Config::default()).await.unwrap_err();
    within(10.0..=10.0, start);
    assert!(error.is_timeout());
}

/// A server whose client does not take the 101.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_taken_ends_in_time() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = duplex(16);
    let start = Instant::now();
    let server = tokio::spawn(fullduplex::tokio::accept(ours));
    theirs.write_all(REQUEST.as_bytes()).await.unwrap();
    let error = server.await.unwrap().unwrap_err();
    within(10.0..=10.0, start);
    assert!(matches!(error, Error::Timeout(TimeoutError::Handshake)), "{error:?}");
    drop(theirs);
}

/// Keepalive is on without a word said: a peer that is silent is pinged, and given up when no
/// pong comes.
#[tokio::test(start_paused = true)]
async fn section_5_5_2_a_silent_peer_is_pinged_and_given_up() {
    let _watchdog = watchdog();
    for role in common::BOTH {
        let (mut ws, mut theirs) = pair(role, Config::default());
        let start = Instant::now();
        let receive = tokio::spawn(async move {
            let end = ws.recv().await;
            (end, ws)
        });
        let (first, _) = read_frame(role, &mut theirs).await;
        assert_eq!(first, 0x89);
        within(25.0..=31.25, start);
        let pinged = Instant::now();
        let (end, mut ws) = receive.await.unwrap();
        within(20.0..=20.0, pinged);
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))), "{end:?}");
        assert!(end.unwrap_err().is_timeout());
        assert_eq!(ws.closed(), Some(&Closed::TimedOut(TimeoutError::Pong)));
        assert!(matches!(ws.recv().await, Ok(None)));
        let (first, body) = read_frame(role, &mut theirs).await;
        assert_eq!((first, &body[..2]), (0x88, &1011u16.to_be_bytes()[..]));
    }
}

/// The same while the task sits in a `run` or as a `Stream`, and for a peer that talks
/// first.
#[tokio::test(start_paused = true)]
async fn section_5_5_2_silence_after_traffic() {
    let _watchdog = watchdog();
    let (mut ws, mut theirs) = pair(Role::Server, Config::default());
    let server = tokio::spawn(async move { ws.run(|message, out| out.feed(message)).await });
    for _ in 0..100 {
        sleep(Duration::from_secs(5)).await;
        theirs.write_all(&frame(Role::Server, 0x82, b"x")).await.unwrap();
        assert_eq!(read_frame(Role::Server, &mut theirs).await, (0x82, b"x".to_vec()));
    }
    let start = Instant::now();
    assert_eq!(read_frame(Role::Server, &mut theirs).await.0, 0x89);
    within(25.0..=31.25, start);
    assert!(matches!(server.await.unwrap(), Err(Error::Timeout(TimeoutError::Pong))));
    within(45.0..=51.25, start);
}

/// A peer that answers pings lives for ever, and so does one that sends anything else.
#[tokio::test(start_paused = true)]
async fn section_5_5_3_a_peer_that_answers_pings_lives() {
    let _watchdog = watchdog();
    let (mut ws, mut theirs) = pair(Role::Server, Config::default());
    let start = Instant::now();
    let server = tokio::spawn(async move { ws.recv().await });
    for _ in 0..200 {
        let (first, payload) = read_frame(Role::Server, &mut theirs).await;
        assert_eq!(first, 0x89);
        sleep(Duration::from_secs(19)).await;
        theirs.write_all(&frame(Role::Server, 0x8a, &payload)).await.unwrap();
    }
    assert!(start.elapsed() > Duration::from_secs(200 * 43));
    assert!(!server.is_finished());
    for payload in ["", "12345678"] {
        assert_eq!(read_frame(Role::Server, &mut theirs).await.0, 0x89);
        sleep(Duration::from_secs(19)).await;
        theirs.write_all(&frame(Role::Server, 0x8a, payload.as_bytes())).await.unwrap();
    }
    assert_eq!(read_frame(Role::Server, &mut theirs).await.0, 0x89);
    let pinged = Instant::now();
    assert!(matches!(server.await.unwrap(), Err(Error::Timeout(TimeoutError::Pong))));
    within(20.0..=20.0, pinged);
}

/// The round trip is measured when the pong comes, whatever comes right behind it and however much
/// time the caller takes over that.
#[tokio::test(start_paused = true)]
async fn the_round_trip_is_what_the_peer_took() {
    let _watchdog = watchdog();
    for behind in [vec![], frame(Role::Server, 0x82, b"behind it"), vec![0x82]] {
        for events in [false, true] {
            let tail = behind.clone();
            let (mut ws, mut theirs) = pair(Role::Server, Config::default());
            assert_eq!(ws.round_trip(), None);
            let peer = tokio::spawn(async move {
                let (first, payload) = read_frame(Role::Server, &mut theirs).await;
                assert_eq!(first, 0x89);
                sleep(Duration::from_millis(30)).await;
                let pong = [frame(Role::Server, 0x8a, &payload), tail].concat();
                theirs.write_all(&pong).await.unwrap();
                theirs
            });
            let end = Duration::from_secs(35);
            let came = match events {
                true => {
                    timeout(end, ws.recv_event()).await.map(|event| _ = event.unwrap().unwrap())
                }
                false => timeout(end, ws.recv()).await.map(|message| _ = message.unwrap().unwrap()),
            };
            assert_eq!(came.is_ok(), events || behind.len() > 1);
            let _theirs = peer.await.unwrap();
            sleep(Duration::from_secs(3)).await;
            let _ = timeout(Duration::from_secs(1), ws.recv_event()).await;
            assert_eq!(ws.round_trip(), Some(Duration::from_millis(30)), "{behind:?} {events}");
            assert_eq!(ws.stats().round_trip, ws.round_trip());
        }
    }
}

/// ... and if more can be read behind it at once, before that is handled.
#[tokio::test(start_paused = true)]
async fn the_round_trip_is_noted_before_the_next_read_is_handled() {
    let _watchdog = watchdog();
    let script = Script::new();
    let config = Config::default();
    let mut ws = fullduplex::tokio::WebSocket::from_parts(script.clone(), Role::Server, config, []);
    while script.written().is_empty() {
        assert!(timeout(Duration::from_millis(100), ws.recv()).await.is_err());
    }
    let (_, payload) = split(Role::Server, &script.written()).remove(0);
    script.arrive(frame(Role::Server, 0x8a, &payload));
    script.arrive(frame(Role::Server, 0x82, b"work"));
    let start = Instant::now();
    let work = ws.run(|_, _| {
        // The clock goes on when this is first polled.
        assert!(poll_times(advance(Duration::from_secs(5)), 1).is_none());
        Ok(())
    });
    assert!(timeout(Duration::from_secs(1), work).await.is_err());
    assert!(start.elapsed() >= Duration::from_secs(5));
    assert!(ws.round_trip().unwrap() <= Duration::from_millis(200), "{:?}", ws.round_trip());
}

/// A pong that nobody reads is measured when somebody does.
#[tokio::test(start_paused = true)]
async fn the_round_trip_includes_what_the_caller_takes() {
    let _watchdog = watchdog();
    let (mut ws, mut theirs) = pair(Role::Client, Config::default());
    assert!(timeout(Duration::from_secs(33), ws.recv()).await.is_err());
    let (_, payload) = read_frame(Role::Client, &mut theirs).await;
    theirs.write_all(&frame(Role::Client, 0x8a, &payload)).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert!(timeout(Duration::from_secs(1), ws.recv()).await.is_err());
    let seconds = ws.round_trip().unwrap().as_secs_f64();
    assert!((5.0..=13.1).contains(&seconds), "{seconds} s");
}

/// Two of our own, both with keepalive, and nobody with anything to say.
#[tokio::test(start_paused = true)]
async fn two_idle_ends_keep_each_other_alive() {
    let _watchdog = watchdog();
    let (a, b) = duplex(1024);
    let mut client = WebSocket::from_parts(a, Role::Client, Config::default(), []);
    let mut server = WebSocket::from_parts(b, Role::Server, Config::default(), []);
    let echo = tokio::spawn(async move { server.run(|m, out| out.feed(m)).await });
    let day = Duration::from_secs(86_400);
    assert!(timeout(day, client.recv()).await.is_err(), "nothing comes, no error either");
    client.send("still there?").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), Some("still there?".into()));
    client.close(CloseCode::NORMAL).await.unwrap();
    echo.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_keepalive_means_none() {
    let _watchdog = watchdog();
    let (mut ws, mut theirs) = pair(Role::Server, quiet());
    assert!(timeout(Duration::from_secs(86_400), ws.recv()).await.is_err());
    drop(ws);
    let mut written = Vec::new();
    theirs.read_to_end(&mut written).await.unwrap();
    assert_eq!(written, []);
}

/// A pong that has arrived counts, though nobody looked at it before its deadline.
#[tokio::test(start_paused = true)]
async fn a_pong_that_was_not_looked_at_counts() {
    let _watchdog = watchdog();
    for at_rest in [false, true] {
        let (mut ws, mut theirs) = pair(Role::Server, Config::default());
        assert!(timeout(Duration::from_secs(32), ws.recv()).await.is_err());
        let (first, payload) = read_frame(Role::Server, &mut theirs).await;
        assert_eq!(first, 0x89);
        theirs.write_all(&frame(Role::Server, 0x8a, &payload)).await.unwrap();
        theirs.write_all(&frame(Role::Server, 0x81, b"alive")).await.unwrap();
        advance(Duration::from_secs(3_600)).await;
        if at_rest {
            // A send in between does not give the peer up either.
            ws.send("hello").await.unwrap();
        }
        assert_eq!(ws.recv().await.unwrap(), Some("alive".into()));
    }
}

/// A future that is dropped over and over does not put keepalive off.
#[tokio::test(start_paused = true)]
async fn keepalive_runs_through_cancelled_receives() {
    let _watchdog = watchdog();
    let (mut ws, mut theirs) = pair(Role::Server, Config::default());
    let start = Instant::now();
    let mut ended = None;
    while ended.is_none() {
        ended = timeout(Duration::from_millis(700), ws.recv()).await.ok();
        assert!(start.elapsed() < Duration::from_secs(60), "keepalive was put off");
    }
    assert!(matches!(ended, Some(Err(Error::Timeout(TimeoutError::Pong)))), "{ended:?}");
    assert_eq!(read_frame(Role::Server, &mut theirs).await.0, 0x89);
}

/// KNOWN-FAILURES 48: deadlines also run while a send waits for a peer that takes nothing.
#[tokio::test(start_paused = true)]
async fn a_send_to_a_peer_that_takes_nothing_ends() {
    let _watchdog = watchdog();
    let (mut ws, _theirs) = pair(Role::Server, Config::default());
    let start = Instant::now();
    let end = ws.send(vec![0; 1 << 20]).await;
    assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))), "{end:?}");
    // One interval, one wait for the pong, and what a slow path would need for 64 KiB, of which it has
    // taken nothing any more.
    let allowance = (64.0 - 1.0) / 4.0;
    within(45.0..=31.25 + 20.0 + allowance, start);
}

/// As long as the peer takes something now and then, it is slow and not dead.
#[tokio::test(start_paused = true)]
async fn a_send_to_a_slow_peer_goes_on() {
    let _watchdog = watchdog();
    let (mut ws, mut theirs) = pair(Role::Server, Config::default());
    let reader = tokio::spawn(async move {
        let mut got = 0;
        let mut buffer = vec![0; 10_000];
        while got < 10 + (1 << 20) {
            sleep(Duration::from_secs(15)).await;
            got += theirs.read(&mut buffer).await.unwrap();
        }
        theirs
    });
    ws.send(vec![0; 1 << 20]).await.unwrap();
    let _ = reader.await.unwrap();
}

/// `idle_timeout` counts messages and nothing else, and says 1001.
#[tokio::test(start_paused = true)]
async fn an_idle_timeout_ends_the_connection() {
    let _watchdog = watchdog();
    let config = quiet().idle_timeout(Duration::from_secs(120));
    let (mut ws, mut theirs) = pair(Role::Server, config);
    let server = tokio::spawn(async move {
        let mut count = 0;
        loop {
            match ws.recv().await {
                Ok(Some(_)) => count += 1,
                end => return (count, end.err(), ws.closed().cloned()),
            }
        }
    });
    for _ in 0..10 {
        sleep(Duration::from_secs(100)).await;
        theirs.write_all(&frame(Role::Server, 0x81, b"x")).await.unwrap();
    }
    let start = Instant::now();
    // Pings are answered and answers are given, and none of it counts.
    let (mut reader, mut writer) = tokio::io::split(theirs);
    let peer = tokio::spawn(async move {
        let mut written = Vec::new();
        reader.read_to_end(&mut written).await.unwrap();
        written
    });
    for _ in 0..11 {
        sleep(Duration::from_secs(10)).await;
        writer.write_all(&frame(Role::Server, 0x89, b"")).await.unwrap();
    }
    let written = peer.await.unwrap();
    let frames = split(Role::Server, &written);
    let (first, body) = frames.last().unwrap();
    assert_eq!((*first, &body[..2]), (0x88, &1001u16.to_be_bytes()[..]));
    drop(writer);
    let (count, end, closed) = server.await.unwrap();
    assert_eq!(count, 10);
    assert!(matches!(end, Some(Error::Timeout(TimeoutError::Idle))), "{end:?}");
    assert_eq!(closed, Some(Closed::TimedOut(TimeoutError::Idle)));
    within(120.0..=155.0, start);
}

/// §7.1.1: `close` ends in time whatever the peer does, or does not.
#[tokio::test(start_paused = true)]
async fn section_7_1_1_close_ends_in_time() {
    let _watchdog = watchdog();
    for role in common::BOTH {
        // The peer says nothing.
        let (mut ws, theirs) = pair(role, Config::default());
        let start = Instant::now();
        let end = ws.close(CloseCode::NORMAL).await;
        within(5.0..=5.0, start);
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))));
        assert!(matches!(ws.recv().await, Ok(None)));
        assert!(matches!(ws.close(CloseCode::NORMAL).await, Ok(())));
        drop(theirs);

        // The peer takes nothing.
        let (mut ws, theirs) = pair(role, Config::default().max_unsent(1 << 30));
        ws.feed(vec![0; 1 << 20]).unwrap();
        let start = Instant::now();
        let end = ws.close(CloseCode::NORMAL).await;
        within(5.0..=5.0, start);
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))));
        drop(theirs);

        // The peer closes too and never hangs up.
        let (mut ws, mut theirs) = pair(role, Config::default());
        theirs.write_all(&frame(role, 0x88, &close_body(1000, ""))).await.unwrap();
        let start = Instant::now();
        ws.close(CloseCode::NORMAL).await.unwrap();
        within(5.0..=5.0, start);
        assert!(ws.closed().unwrap().is_clean());

        // The peer broke the protocol and never hangs up.
        let (mut ws, mut theirs) = pair(role, Config::default());
        let wrong = frame_with(0x81, b"", (role == Role::Client).then_some(KEY));
        theirs.write_all(&wrong).await.unwrap();
        let start = Instant::now();
        assert!(matches!(ws.recv().await, Err(Error::Protocol(_))));
        within(5.0..=5.0, start);
    }
}

/// A close that is dropped and repeated keeps its deadline.
#[tokio::test(start_paused = true)]
async fn a_repeated_close_keeps_its_deadline() {
    let _watchdog = watchdog();
    let (mut ws, _theirs) = pair(Role::Server, Config::default());
    let start = Instant::now();
    loop {
        let close = ws.close(CloseCode::NORMAL);
        if let Ok(end) = timeout(Duration::from_secs(1), close).await {
            assert!(matches!(end, Err(Error::Timeout(TimeoutError::Close))), "{end:?}");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "put off for ever");
    }
    within(5.0..=5.0, start);
}

/// A ping of our own, and its pong.
#[tokio::test(start_paused = true)]
async fn section_5_5_3_a_ping_and_its_pong() {
    let _watchdog = watchdog();
    let (a, b) = duplex(1024);
    let mut client = WebSocket::from_parts(a, Role::Client, quiet(), []);
    let mut server = WebSocket::from_parts(b, Role::Server, quiet(), []);
    client.ping("are you there?").await.unwrap();
    let seen = server.recv_event();
    let seen = seen.await.unwrap();
    assert!(matches!(&seen, Some(Event::Ping(payload)) if &payload[..] == b"are you there?"));
    assert!(timeout(Duration::from_secs(1), server.recv()).await.is_err());
    let seen = client.recv_event().await.unwrap();
    assert!(matches!(&seen, Some(Event::Pong(payload)) if &payload[..] == b"are you there?"));
}

/// A runtime without timers: a clear error wherever one is needed, and no panic.
#[test]
fn a_runtime_without_timers_gets_a_clear_error() {
    let _watchdog = watchdog();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let unsupported = |error: Error| {
        let Error::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("enable_time"), "{error}");
    };
    runtime.block_on(async {
        let (ours, _theirs) = duplex(1024);
        unsupported(fullduplex::tokio::accept(ours).await.unwrap_err());
        let (ours, _theirs) = duplex(1024);
        unsupported(
            fullduplex::tokio::client(ours, "ws://x/", Config::default()).await.unwrap_err(),
        );
        let (mut ws, _theirs) = pair(Role::Server, Config::default());
        unsupported(ws.recv().await.unwrap_err());
        unsupported(ws.recv_event().await.unwrap_err());
        let (mut ws, _theirs) = pair(Role::Server, Config::default());
        unsupported(ws.close(CloseCode::NORMAL).await.unwrap_err());

        // Dialling, too, which a listener that nobody asks does not stop.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        unsupported(fullduplex::tokio::connect(&*support::url(&listener)).await.unwrap_err());

        // What needs no deadline works.
        let (mut ws, mut theirs) = pair(Role::Server, quiet());
        theirs.write_all(&frame(Role::Server, 0x81, b"hello")).await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        ws.send("hello").await.unwrap();
    });
}
