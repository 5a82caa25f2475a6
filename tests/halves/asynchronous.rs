//! Owned halves of the tokio adapter: each does its part, whatever the other one does.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{BOTH, close_codes, frame, split};
use core::{
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{
    CloseCode, Closed, Config, Error, Event, Incoming, Keepalive, Message, Role, SendErrorReason,
    Side, TimeoutError,
    tokio::{Reader, WebSocket, Writer},
};
use futures_util::{SinkExt, StreamExt};
use support::{Script, Step, Woken, on_async, paused, poll_times, quiet, run, tcp_pair, watchdog};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

fn halves(script: &Script, role: Role, config: Config) -> (Reader<Script>, Writer<Script>) {
    WebSocket::from_parts(script.clone(), role, config, []).split()
}

/// Two ends that are joined, the first one in halves.
fn joined(
    size: usize,
    config: impl Fn() -> Config,
) -> (Reader<DuplexStream>, Writer<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(size);
    let (reader, writer) = WebSocket::from_parts(a, Role::Client, config(), []).split();
    (reader, writer, WebSocket::from_parts(b, Role::Server, config(), []))
}

/// Polls once: whether it is ready.
fn is_ready<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(&Woken::new().1)).is_ready()
}

#[test]
fn halves_are_send_and_writers_are_shared() {
    fn sendable<T: Send + Sync + 'static>(_: &T) {}
    fn future<F: Future + Send>(_: F) {}
    let (mut reader, writer, _) = joined(64, quiet);
    sendable(&reader);
    sendable(&writer);
    future(writer.send("x"));
    future(reader.recv());
    future(writer.close(CloseCode::NORMAL));
}

#[test]
fn a_writer_alone_answers_pings_and_closes() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        // The reader is there, but in no call.
        let script = Script::new();
        let (reader, writer) = halves(&script, role, quiet());
        script.arrive(frame(role, 0x89, b"one"));
        run(writer.send("first")).unwrap();
        script.arrive(frame(role, 0x89, b"two"));
        run(writer.flush()).unwrap();
        let frames: Vec<_> = split(role, &script.written());
        let kinds: Vec<u8> = frames.iter().map(|frame| frame.0 & 0x0f).collect();
        assert_eq!(kinds, [0x1, 0xa, 0xa]);
        assert_eq!(frames[2].1, b"two");
        // The peer's Close is answered, too.
        script.arrive(frame(role, 0x88, &common::close_body(1000, "bye")));
        run(writer.flush()).unwrap();
        assert_eq!(close_codes(&split(role, &script.written())), [1000]);
        assert!(!writer.is_open());
        script.end();
        run(writer.close(CloseCode::NORMAL)).unwrap();
        let closed = writer.closed().unwrap();
        assert!(closed.is_clean() && closed.reason() == "bye", "{closed:?}");
        drop(reader);
    }
}

#[test]
fn events_that_a_writer_came_across_are_there_for_the_reader() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    for i in 0..20 {
        script.arrive(frame(Role::Server, 0x89, &[i]));
    }
    run(writer.send("x")).unwrap();
    run(writer.flush()).unwrap();
    for i in 4..20 {
        assert_eq!(run(reader.recv_event()).unwrap(), Some(Event::Ping(vec![i].into())));
    }
    assert!(!is_ready(reader.recv_event()), "the last sixteen");
}

/// Data is for the reader: it is left in the stream until the reader takes it, and so is what
/// follows.
#[test]
fn a_writer_leaves_data_to_the_reader() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    script.arrive(frame(Role::Server, 0x81, b"data"));
    for _ in 0..100 {
        script.arrive(frame(Role::Server, 0x89, b"later"));
        run(writer.send("x")).unwrap();
    }
    let frames = split(Role::Server, &script.written());
    assert!(frames.iter().all(|frame| frame.0 == 0x81), "no pong yet");
    assert!(script.state().read_calls <= 1, "reading has stopped");
    assert_eq!(run(reader.recv()).unwrap(), Some(Message::from("data")));
    assert!(!is_ready(reader.recv()));
    let pongs = split(Role::Server, &script.written());
    assert!(pongs.iter().any(|frame| frame.0 == 0x8a && frame.1 == b"later"));
}

#[test]
fn a_dropped_reader_leaves_discarding_to_the_writer() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let config = quiet().max_message_size(10);
    let (reader, writer) = halves(&script, Role::Server, config);
    drop(reader);
    // A message larger than what may be held, in pieces, and a ping behind it.
    script.arrive(frame(Role::Server, 0x01, &[b'x'; 70_000]));
    run(writer.send("first")).unwrap();
    script.arrive(frame(Role::Server, 0x80, b"rest"));
    script.arrive(frame(Role::Server, 0x89, b"ping"));
    run(writer.send("second")).unwrap();
    let frames = split(Role::Server, &script.written());
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.0).collect();
    assert_eq!(kinds, [0x81, 0x81, 0x8a]);
    // A waiting writer goes on discarding and answering.
    script.go_on(|state| state.writes.push_back(Step::Stall));
    let mut sending = pin!(writer.send("third"));
    let (woken, waker) = Woken::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(sending.as_mut().poll(cx).is_pending());
    script.arrive(frame(Role::Server, 0x82, &[7; 1_000]));
    assert!(woken.take() > 0);
    assert!(sending.as_mut().poll(cx).is_pending());
    assert!(script.state().reads.is_empty());
    script.go_on(|state| state.writes.clear());
    assert!(sending.as_mut().poll(cx).is_ready());
    // And it still sees the peer's Close.
    script.arrive(frame(Role::Server, 0x88, &common::close_body(1001, "")));
    script.end();
    run(writer.flush()).unwrap();
    assert_eq!(close_codes(&split(Role::Server, &script.written())), [1001]);
}

#[test]
fn a_blocked_writer_keeps_nobody_from_receiving() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    script.state().writes.push_back(Step::Stall);
    assert!(!is_ready(writer.send("stuck")));
    for i in 0..100u8 {
        script.arrive(frame(Role::Server, 0x82, &[i]));
        assert_eq!(run(reader.recv()).unwrap().unwrap().as_bytes(), [i]);
    }
    assert!(script.written().is_empty());
}

/// What is only queued is written by the reader that waits.
#[test]
fn a_waiting_reader_writes_what_is_fed() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    let mut receiving = pin!(reader.recv());
    let (woken, waker) = Woken::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(receiving.as_mut().poll(cx).is_pending());
    writer.feed("one").unwrap();
    writer.feed("two").unwrap();
    assert!(script.written().is_empty());
    assert_eq!(woken.take(), 1, "once for a batch");
    assert!(receiving.as_mut().poll(cx).is_pending());
    assert_eq!(split(Role::Server, &script.written()).len(), 2);
    assert_eq!(script.state().write_calls, 1);
}

#[test]
fn writers_that_wait_for_room_are_served_in_turn() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet().max_unsent(1));
    script.state().writes.push_back(Step::Stall);
    let blocked = tokio_test_spawn(writer.clone(), "0");
    let mut waiting: Vec<_> =
        (1..6).map(|i| tokio_test_spawn(writer.clone(), &i.to_string())).collect();
    // The second one gives up.
    waiting.remove(1);
    // One byte, and then all: whoever polls, the order stays.
    script.go_on(|state| state.writes.clear());
    let mut all: Vec<_> = core::iter::once(blocked).chain(waiting).rev().collect();
    for _ in 0..20 {
        for (future, woken) in &mut all {
            let waker = std::task::Waker::from(woken.clone());
            if let Some(pending) = future {
                if pending.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *future = None;
                }
            }
        }
    }
    assert!(all.iter().all(|(future, _)| future.is_none()));
    let texts: Vec<_> = split(Role::Server, &script.written())
        .into_iter()
        .map(|frame| String::from_utf8(frame.1).unwrap())
        .collect();
    assert_eq!(texts, ["0", "1", "3", "4", "5"]);
}

type Sending =
    (Option<core::pin::Pin<Box<dyn Future<Output = Result<(), Error>>>>>, std::sync::Arc<Woken>);

/// Begins to send a text.
fn tokio_test_spawn(writer: Writer<Script>, text: &str) -> Sending {
    let text = text.to_string();
    let mut future: core::pin::Pin<Box<dyn Future<Output = _>>> =
        Box::pin(async move { writer.send(text).await });
    let (woken, waker) = Woken::new();
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    (Some(future), woken)
}

#[test]
fn a_message_that_was_begun_before_the_split_is_the_first_writers() {
    let script = Script::new();
    let mut ws = WebSocket::from_parts(script.clone(), Role::Server, quiet(), []);
    run(ws.send_fragment("a", false)).unwrap();
    let (_reader, writer) = ws.split();
    let second = writer.clone();
    assert!(!is_ready(second.send_fragment("b", true)), "it waits");
    run(writer.send_fragment("c", true)).unwrap();
    run(second.send_fragment("d", true)).unwrap();
    let frames = split(Role::Server, &script.written());
    let seen: Vec<(u8, &[u8])> = frames.iter().map(|frame| (frame.0, &frame.1[..])).collect();
    assert_eq!(seen, [(0x01, &b"a"[..]), (0x80, b"c"), (0x81, b"d")]);
}

#[test]
fn nothing_goes_inside_a_message_in_fragments() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    let second = writer.clone();
    run(writer.send_fragment("a", false)).unwrap();
    assert!(!is_ready(second.send("b")), "it waits");
    assert!(!is_ready(second.send_fragment("b", true)), "it waits");
    run(second.ping("p")).unwrap();
    match run(writer.send("c")) {
        Err(Error::Send(error)) => assert_eq!(error.reason, SendErrorReason::Unfinished),
        other => panic!("{other:?}"),
    }
    let mut waiting = tokio_test_spawn(second.clone(), "b");
    run(writer.send_fragment("c", true)).unwrap();
    assert!(waiting.1.take() > 0);
    run(waiting.0.take().unwrap()).unwrap();
    let frames = split(Role::Server, &script.written());
    let seen: Vec<(u8, &[u8])> = frames.iter().map(|frame| (frame.0, &frame.1[..])).collect();
    assert_eq!(seen, [(0x01, &b"a"[..]), (0x89, b"p"), (0x80, b"c"), (0x81, b"b")]);

    // Nobody waits for one who will never come.
    run(writer.send_fragment("a", false)).unwrap();
    let waiting = tokio_test_spawn(second.clone(), "b");
    drop(writer);
    assert!(waiting.1.take() > 0);
    for result in [run(waiting.0.unwrap()), run(second.send_fragment("x", true))] {
        match result {
            Err(Error::Send(error)) => assert_eq!(error.reason, SendErrorReason::Unfinished),
            other => panic!("{other:?}"),
        }
    }
}

/// However the reader behaves, `close` of a writer comes to its end.
#[test]
fn close_completes_although_nobody_reads() {
    let _watchdog = watchdog();
    let runtime = paused();
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Reading {
        Idle,
        Gone,
        Waits,
        GaveUp,
        DroppedOnTheWay,
    }
    for reading in
        [Reading::Idle, Reading::Gone, Reading::Waits, Reading::GaveUp, Reading::DroppedOnTheWay]
    {
        runtime.block_on(async {
            let (mut reader, writer, mut peer) = joined(64, quiet);
            // Messages that were on their way, and the peer reads to the end.
            let peer = tokio::spawn(async move {
                for i in 0..10 {
                    peer.send(format!("{i} {}", "x".repeat(100))).await.unwrap();
                }
                while let Ok(Some(_)) = peer.recv().await {}
                peer.closed().cloned()
            });
            let mut got = Vec::new();
            let mut reader = match reading {
                Reading::Gone => None,
                Reading::Idle | Reading::Waits | Reading::DroppedOnTheWay => Some(reader),
                Reading::GaveUp => {
                    assert!(!is_ready(reader.recv()));
                    Some(reader)
                }
            };
            let task =
                (reading == Reading::Waits || reading == Reading::DroppedOnTheWay).then(|| {
                    let mut reader = reader.take().unwrap();
                    let most = if reading == Reading::Waits { usize::MAX } else { 3 };
                    tokio::spawn(async move {
                        let mut got = Vec::new();
                        while got.len() < most {
                            match reader.recv().await.unwrap() {
                                Some(message) => got.push(message),
                                None => break,
                            }
                        }
                        got
                    })
                });
            tokio::task::yield_now().await;
            writer.close((CloseCode::GOING_AWAY, "enough")).await.unwrap();
            match writer.closed() {
                Some(Closed::Clean { initiator: Side::Local, frame: Some(frame) }) => {
                    assert_eq!(frame.code(), CloseCode::GOING_AWAY);
                }
                other => panic!("{reading:?}: {other:?}"),
            }
            assert!(peer.await.unwrap().unwrap().is_clean());
            if let Some(task) = task {
                got = task.await.unwrap();
            }
            if let Some(reader) = &mut reader {
                while let Some(message) = reader.recv().await.unwrap() {
                    got.push(message);
                }
            }
            let expected = match reading {
                Reading::Gone => 0,
                Reading::DroppedOnTheWay => 3,
                _ => 10,
            };
            assert_eq!(got.len(), expected, "{reading:?}");
            for (i, message) in got.iter().enumerate() {
                assert!(message.as_text().unwrap().starts_with(&format!("{i} ")));
            }
        });
    }
}

/// What a close keeps for a reader that does nothing is bounded: what follows is discarded.
#[test]
fn a_close_keeps_no_more_than_a_message_may_be() {
    let runtime = paused();
    runtime.block_on(async {
        let (mut reader, writer, mut peer) = joined(64, || quiet().max_message_size(1_000));
        let peer = tokio::spawn(async move {
            for size in [600, 300, 200, 50] {
                peer.send(vec![0; size]).await.unwrap();
            }
            while let Ok(Some(_)) = peer.recv().await {}
        });
        tokio::task::yield_now().await;
        writer.close(CloseCode::NORMAL).await.unwrap();
        let mut sizes = Vec::new();
        while let Some(message) = reader.recv().await.unwrap() {
            sizes.push(message.len());
        }
        assert_eq!(sizes, [600, 300], "and nothing behind the first that was left out");
        peer.await.unwrap();
    });
}

#[test]
fn either_half_drives_the_timers() {
    let _watchdog = watchdog();
    let runtime = paused();
    let keepalive = Keepalive::every(Duration::from_secs(10)).pong_timeout(Duration::from_secs(5));
    let config = || Config::default().keepalive(keepalive);
    // The reader waits.
    runtime.block_on(async {
        let script = Script::new();
        let (mut reader, _writer) = halves(&script, Role::Server, config());
        match reader.recv().await {
            Err(Error::Timeout(TimeoutError::Pong)) => {}
            other => panic!("{other:?}"),
        }
    });
    // Only the writer is used, now and then.
    for gone in [false, true] {
        runtime.block_on(async {
            let script = Script::new();
            let (reader, writer) = halves(&script, Role::Server, config());
            let _reader = (!gone).then_some(reader);
            for second in 0.. {
                assert!(second < 30, "the peer is dead");
                if writer.send("x").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let frames = split(Role::Server, &script.written());
            assert!(frames.iter().any(|frame| frame.0 == 0x89), "it was pinged");
            assert_eq!(close_codes(&split(Role::Server, &script.written())), [1011]);
        });
    }
    // A closing deadline that begins in the writer ends the reader's wait.
    runtime.block_on(async {
        let script = Script::new();
        let (mut reader, writer) = halves(&script, Role::Server, quiet());
        let receiving = tokio::spawn(async move { reader.recv().await });
        tokio::task::yield_now().await;
        // The call is dropped at once: the Close is queued, and the reader sees to it.
        assert!(!is_ready(writer.close(CloseCode::NORMAL)));
        match receiving.await.unwrap() {
            Err(Error::Timeout(TimeoutError::Close)) => {}
            other => panic!("{other:?}"),
        }
        match writer.close(CloseCode::NORMAL).await {
            Err(Error::Timeout(TimeoutError::Close)) => {}
            other => panic!("{other:?}"),
        }
    });
}

/// Data that the reader does not take is no reason to think that the peer is dead: its pong may be
/// behind it.
#[test]
fn a_pong_behind_data_that_nobody_takes_is_not_missed() {
    let runtime = paused();
    runtime.block_on(async {
        let script = Script::new();
        let keepalive =
            Keepalive::every(Duration::from_secs(10)).pong_timeout(Duration::from_secs(5));
        let config = Config::default().keepalive(keepalive);
        let (_reader, writer) = halves(&script, Role::Server, config);
        writer.send("x").await.unwrap();
        script.arrive(frame(Role::Server, 0x81, b"data"));
        for _ in 0..100 {
            writer.send("x").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

/// D10: what a writer that closed has kept is there, however the connection is gone on with.
#[test]
fn what_was_kept_is_among_the_parts() {
    let runtime = paused();
    let _time = runtime.enter();
    let role = Role::Server;
    on_async!(over => {
        for taken in 0..3 {
            let script = Script::reading([
                Step::Bytes(frame(role, 0x89, b"ping")),
                Step::Bytes(frame(role, 0x81, b"kept")),
                Step::Bytes(frame(role, 0x02, b"in ")),
                Step::Bytes(frame(role, 0x80, b"two")),
                Step::Bytes(frame(role, 0x82, b"")[..3].to_vec()),
            ]);
            let (reader, writer) = over(&script, role, quiet()).split();
            assert!(poll_times(writer.close(CloseCode::NORMAL), 2).is_none());
            let mut ws = reader.reunite(writer).unwrap();
            let mut events = Vec::new();
            for _ in 0..taken {
                events.extend(run(ws.recv_event()).unwrap());
            }
            let parts = ws.into_parts();
            assert_eq!(parts.events.len(), 3 - taken);
            events.extend(parts.events);
            assert_eq!(events, [
                Event::Ping(b"ping".into()),
                Event::Message(Incoming::Text("kept".into())),
                Event::Message(Incoming::Binary(b"in two".into())),
            ]);
            assert!(parts.unread.is_empty());
            assert_eq!(parts.connection.stats().messages_received, 2);
        }
    });
}

#[test]
fn halves_are_reunited_with_all_that_is_under_way() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    let bytes = frame(Role::Server, 0x81, b"hello");
    script.arrive(&bytes[..7]);
    assert!(!is_ready(reader.recv()));
    writer.feed("queued").unwrap();
    let clone = writer.clone();
    let error = reader.reunite(writer).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the halves are of two connections, or there are clones of the writer"
    );
    drop(clone);
    let (reader, writer) = (error.reader, error.writer);
    let (other_reader, other_writer) = halves(&Script::new(), Role::Server, quiet());
    let error = reader.reunite(other_writer).err().unwrap();
    drop(other_reader);
    let mut ws = error.reader.reunite(writer).unwrap();
    script.arrive(&bytes[7..]);
    assert_eq!(run(ws.recv()).unwrap(), Some(Message::from("hello")));
    assert_eq!(split(Role::Server, &script.written()).len(), 1);
    // And apart again.
    let (mut reader, writer) = ws.split();
    run(writer.send("again")).unwrap();
    script.arrive(frame(Role::Server, 0x81, b"more"));
    assert_eq!(run(reader.recv()).unwrap(), Some(Message::from("more")));
}

/// The parts that a dropped close of the writer has kept are discarded by one in one piece, not left
/// in its way.
#[test]
fn a_close_in_one_piece_discards_the_parts_that_a_writer_has_kept() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        let (mut reader, writer) = halves(&script, role, quiet());
        script.arrive(frame(role, 0x02, b"a part that is taken,"));
        assert!(!run(reader.recv_chunk()).unwrap().unwrap().is_last());
        script.arrive(frame(role, 0x80, b"and one that is kept"));
        assert!(!is_ready(writer.close(CloseCode::NORMAL)));
        let mut ws = reader.reunite(writer).unwrap();
        assert!(!is_ready(ws.close(CloseCode::NORMAL)));
        script.arrive(frame(role, 0x88, b""));
        script.end();
        run(ws.close(CloseCode::NORMAL)).unwrap();
        assert!(ws.closed().unwrap().is_clean());
    }
}

/// Whoever is in the middle of a message is told so, whatever was kept in front of the rest of it.
#[test]
fn parts_that_a_writer_has_kept_behind_a_ping_are_not_lost() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        let (mut reader, writer) = halves(&script, role, quiet());
        script.arrive(frame(role, 0x02, b"one"));
        assert!(!run(reader.recv_chunk()).unwrap().unwrap().is_last());
        script.arrive([frame(role, 0x89, b"?"), frame(role, 0x80, b"two")].concat());
        script.arrive(frame(role, 0x81, b"the next message"));
        assert!(!is_ready(writer.close(CloseCode::NORMAL)));
        assert!(matches!(run(reader.recv()), Err(Error::Unfinished)));
        assert!(matches!(run(reader.recv_event()), Err(Error::Unfinished)));
        let rest = run(reader.recv_chunk()).unwrap().unwrap();
        assert_eq!((rest.as_bytes(), rest.is_last()), (&b"two"[..], true));
        assert_eq!(run(reader.recv()).unwrap(), Some(Message::from("the next message")));
    }
}

/// A writer that sends without pause does not keep another one's flush from ending.
#[test]
fn a_flush_waits_only_for_what_was_queued_before_it() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    script.state().writes.extend([Step::Stall]);
    writer.feed("first").unwrap();
    let mut flushing = pin!(writer.flush());
    let (woken, waker) = Woken::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(flushing.as_mut().poll(cx).is_pending());
    writer.feed("second").unwrap();
    script.go_on(|state| {
        state.writes.clear();
        state.writes.extend([Step::Count(7), Step::Stall]);
    });
    assert!(woken.take() > 0);
    assert!(flushing.as_mut().poll(cx).is_ready());
    assert_eq!(script.written().len(), 7);
    assert!(script.is_flushed());
}

#[test]
fn a_broken_stream_is_told_to_both() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    script.state().writes.push_back(Step::Error(std::io::ErrorKind::BrokenPipe));
    match run(writer.send("x")) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
    script.end();
    match run(reader.recv()) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
    assert!(matches!(run(writer.send("x")), Err(Error::Io(_))));
}

/// Real tasks, threads and sockets, under load: an echo through several writers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_and_a_reader_over_tcp() {
    const EACH: u32 = 5_000;
    let _watchdog = watchdog();
    let (a, b) = tcp_pair();
    for stream in [&a, &b] {
        stream.set_nonblocking(true).unwrap();
    }
    let [a, b] = [a, b].map(|stream| tokio::net::TcpStream::from_std(stream).unwrap());
    let often = || {
        let keepalive = Keepalive::every(Duration::from_millis(1));
        Config::default().keepalive(keepalive).max_unsent(4_000)
    };
    let mut echo = WebSocket::from_parts(b, Role::Server, often(), []);
    let echo = tokio::spawn(async move { echo.run(|message, out| out.feed(message)).await });
    let (mut reader, writer) = WebSocket::from_parts(a, Role::Client, often(), []).split();
    let writers: Vec<_> = (0..4u32)
        .map(|name| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for i in 0..EACH {
                    let text = format!("{name} {i} {}", "x".repeat(i as usize % 70));
                    if i % 4 == 0 {
                        writer.ping([name as u8]).await.unwrap();
                    }
                    writer.send(text).await.unwrap();
                }
            })
        })
        .collect();
    let receiving = tokio::spawn(async move {
        let mut next = [0; 4];
        while let Some(message) = reader.recv().await.unwrap() {
            let text = message.as_text().unwrap();
            let mut words = text.split(' ');
            let [name, i] = [(); 2].map(|()| words.next().unwrap().parse::<u32>().unwrap());
            assert_eq!(next[name as usize], i);
            next[name as usize] += 1;
            if next == [EACH; 4] {
                break;
            }
        }
        // It stays, but nobody polls it any more: the close below has to do without.
        reader
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let reader = receiving.await.unwrap();
    writer.close(CloseCode::NORMAL).await.unwrap();
    echo.await.unwrap().unwrap();
    assert!(reader.closed().unwrap().is_clean());
}

/// A stream that, as TLS does, has one state for both directions: reading may want to write and the
/// other way round. Both directions leave the same waker.
struct Entangled<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Entangled<S> {
    fn poll_read(
        mut self: core::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        core::pin::Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Entangled<S> {
    fn poll_write(
        mut self: core::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        core::pin::Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(3)])
    }

    fn poll_flush(
        mut self: core::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        core::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: core::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        core::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn halves_are_a_stream_and_a_sink() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let (a, b) = duplex(100);
        let (mut reader, writer) =
            WebSocket::from_parts(Entangled(a), Role::Client, quiet(), []).split();
        let mut sink = writer.into_sink();
        let mut peer = WebSocket::from_parts(b, Role::Server, quiet(), []);
        let peer = tokio::spawn(async move { peer.run(|message, out| out.feed(message)).await });
        let sending = tokio::spawn(async move {
            for i in 0..1_000 {
                sink.feed(Message::from(i.to_string())).await.unwrap();
            }
            sink.flush().await.unwrap();
            sink
        });
        for i in 0..1_000 {
            assert_eq!(reader.next().await.unwrap().unwrap(), Message::from(i.to_string()));
        }
        let mut sink = sending.await.unwrap();
        drop(reader);
        sink.close().await.unwrap();
        peer.await.unwrap().unwrap();
    });
}

/// Whole messages of one writer wait while another one sends a long one piece by piece, and nobody
/// waits for one that was given up before it began.
#[test]
fn messages_in_pieces_have_their_turn() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    let second = writer.clone();
    let pieces = futures_util::stream::iter(["a", "b"].map(Ok::<_, std::io::Error>));
    let mut endless = Box::pin(writer.send_stream(pieces.chain(futures_util::stream::pending())));
    assert!(endless.as_mut().poll(&mut Context::from_waker(&Woken::new().1)).is_pending());
    let mut waiting = tokio_test_spawn(second.clone(), "c");
    drop(endless);
    let waker = std::task::Waker::from(waiting.1.clone());
    let pending = waiting.0.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
    assert!(pending.is_pending(), "the message goes on");
    run(writer.send_iter(["d", "e"])).unwrap();
    assert!(waiting.1.take() > 0);
    run(waiting.0.take().unwrap()).unwrap();
    assert_eq!(run(writer.send_reader(&b"file"[..])).unwrap(), 4);
    let frames = split(Role::Server, &script.written());
    let seen: Vec<(u8, &[u8])> = frames.iter().map(|frame| (frame.0, &frame.1[..])).collect();
    let expected: [(u8, &[u8]); 7] = [
        (0x01, b"a"),
        (0x00, b"b"),
        (0x00, b"d"),
        (0x80, b"e"),
        (0x81, b"c"),
        (0x02, b"file"),
        (0x80, b""),
    ];
    assert_eq!(seen, expected);
    // Nothing was begun, so nobody waits.
    let mut nothing = Box::pin(
        writer.send_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>()),
    );
    assert!(nothing.as_mut().poll(&mut Context::from_waker(&Woken::new().1)).is_pending());
    let waiting = tokio_test_spawn(second.clone(), "f");
    drop(nothing);
    assert!(waiting.1.take() > 0);
    run(waiting.0.unwrap()).unwrap();
    assert_eq!(second.feed_fragment("g", false), Ok(()));
    assert!(matches!(writer.feed_fragment("h", true), Err(error)
        if error.reason == SendErrorReason::Unfinished));
}

/// Who waits for room is told why there will be none; who comes later, that it is over.
#[test]
fn a_writer_that_waits_is_told_of_the_deadline() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let keepalive = Keepalive::every(Duration::from_secs(10));
        let config = || Config::default().keepalive(keepalive).max_unsent(1);
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let (_reader, writer) = halves(&script, Role::Server, config());
        writer.feed("stuck").unwrap();
        assert!(matches!(writer.send("x").await, Err(Error::Timeout(TimeoutError::Pong))));
        assert!(matches!(writer.send("x").await, Err(Error::Timeout(TimeoutError::Pong))));
        // As without halves.
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let mut ws = WebSocket::from_parts(script, Role::Server, config(), []);
        ws.feed("stuck").unwrap();
        assert!(matches!(ws.send("x").await, Err(Error::Timeout(TimeoutError::Pong))));
        assert!(matches!(ws.send("x").await, Err(Error::Timeout(TimeoutError::Pong))));
    });
}
