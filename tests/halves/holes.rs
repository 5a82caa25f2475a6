//! Owned halves at their seams: what happens in the middle of somebody's poll, futures that are
//! dropped there, and calls that fail while others wait.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{close_body, close_codes, frame, split};
use core::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{
    CloseCode, Config, Error, FlushPolicy, Keepalive, Message, Role, TimeoutError,
    tokio::{Broadcast, Reader, SlowConsumer, WebSocket, Writer},
};
use futures_util::{SinkExt, StreamExt};
use std::sync::{Arc, Mutex};
use support::{Script, Step, Woken, paused, quiet, run, watchdog};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

type Work = Box<dyn FnOnce() + Send>;

/// What is done in the middle of the next write or when the stream is dropped, as if by another
/// thread.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Option<Work>>>);

impl Hook {
    fn set(&self, work: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(work));
    }

    fn call(&self) {
        let work = self.0.lock().unwrap().take();
        work.into_iter().for_each(|work| work());
    }
}

/// A stream that somebody hooks into.
struct Hooked<S> {
    stream: S,
    on_write: Hook,
    on_read: Hook,
    on_drop: Hook,
}

impl<S> Hooked<S> {
    fn new(stream: S) -> Self {
        let [on_write, on_read, on_drop] = Default::default();
        Self { stream, on_write, on_read, on_drop }
    }
}

impl<S> Drop for Hooked<S> {
    fn drop(&mut self) {
        self.on_drop.call();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hooked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.on_read.call();
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hooked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.on_write.call();
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn halves(script: &Script, role: Role, config: Config) -> (Reader<Script>, Writer<Script>) {
    WebSocket::from_parts(script.clone(), role, config, []).split()
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future that is polled once: it waits.
fn waiting<T>(future: impl Future<Output = T> + Send + 'static) -> (Boxed<T>, Arc<Woken>) {
    let mut future: Boxed<T> = Box::pin(future);
    let (woken, waker) = Woken::new();
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    (future, woken)
}

/// A reader leaves in the middle of a poll of somebody who has just left the rest to it.
#[test]
fn a_receive_that_is_dropped_during_a_close_leaves_the_rest_to_it() {
    let runtime = paused();
    let _time = runtime.enter();
    for (gone, size) in [(false, 10), (false, 1_000), (true, 10), (true, 1_000)] {
        let script = Script::new();
        let stream = Hooked::new(script.clone());
        let on_write = stream.on_write.clone();
        let config = quiet().max_message_size(1_000);
        let (reader, writer) = WebSocket::from_parts(stream, Role::Server, config, []).split();
        // The future, or with it the whole reader.
        let receiving = match gone {
            true => waiting({
                let mut reader = reader;
                async move { drop(reader.recv().await) }
            }),
            false => waiting(async { drop(Box::leak(Box::new(reader)).recv().await) }),
        };
        // What wakes the reader is more than anybody else keeps for it.
        for _ in 0..3 {
            script.arrive(frame(Role::Server, 0x82, &vec![0; size]));
        }
        script.arrive(frame(Role::Server, 0x88, &close_body(1000, "")));
        script.end();
        // It is never polled, but dropped while the close is in its poll.
        on_write.set(move || drop(receiving));
        run(writer.close(CloseCode::NORMAL)).unwrap();
        assert!(writer.closed().unwrap().is_clean());
    }
}

/// Who selects over `next` drops that future, and the reader stays without a word.
#[test]
fn close_completes_behind_a_stream_that_is_not_polled_any_more() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let (a, b) = duplex(64);
        let (mut reader, writer) = WebSocket::from_parts(a, Role::Server, quiet(), []).split();
        let mut peer = WebSocket::from_parts(b, Role::Client, quiet(), []);
        let peer = tokio::spawn(async move {
            while let Ok(Some(_)) = peer.recv().await {
                peer.send("last words").await.unwrap();
            }
            peer.closed().cloned()
        });
        tokio::select! {
            biased;
            message = reader.next() => panic!("{message:?}"),
            () = async {} => {}
        }
        writer.send("hello").await.unwrap();
        writer.close(CloseCode::NORMAL).await.unwrap();
        assert!(peer.await.unwrap().unwrap().is_clean());
        assert_eq!(reader.next().await.unwrap().unwrap(), Message::from("last words"));
        assert!(reader.next().await.is_none());
    });
}

/// The closer that sees a reader which is to be polled soon leaves it what it cannot keep.
#[test]
fn a_close_discards_nothing_of_a_reader_that_was_woken() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet().max_message_size(1_000));
    let (woken, waker) = Woken::new();
    let cx = &mut Context::from_waker(&waker);
    let mut closing = pin!(writer.close(CloseCode::NORMAL));
    let mut got = 0;
    {
        let mut receiving = pin!(reader.recv());
        assert!(receiving.as_mut().poll(cx).is_pending());
        for _ in 0..10 {
            script.arrive(frame(Role::Server, 0x82, &[0; 900]));
        }
        script.arrive(frame(Role::Server, 0x88, &close_body(1000, "")));
        script.end();
        assert!(closing.as_mut().poll(cx).is_pending(), "it is the reader's");
        assert!(woken.take() > 0);
        assert!(matches!(receiving.as_mut().poll(cx), Poll::Ready(Ok(Some(_)))));
        got += 1;
    }
    while run(reader.recv()).unwrap().is_some() {
        got += 1;
    }
    assert_eq!(got, 10);
    run(closing).unwrap();
}

/// What is left in the stream for a reader is taken once that leaves.
#[test]
fn a_close_goes_on_when_a_reader_that_was_woken_leaves() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet().max_message_size(1_000));
    let mut receiving = Box::pin(reader.recv());
    let cx = &mut Context::from_waker(core::task::Waker::noop());
    assert!(receiving.as_mut().poll(cx).is_pending());
    for _ in 0..10 {
        script.arrive(frame(Role::Server, 0x82, &[0; 900]));
    }
    script.arrive(frame(Role::Server, 0x88, &close_body(1000, "")));
    script.end();
    let (closing, woken) = waiting(async move { writer.close(CloseCode::NORMAL).await });
    woken.take();
    drop(receiving);
    assert!(woken.take() > 0);
    run(closing).unwrap();
    let mut got = 0;
    while run(reader.recv()).unwrap().is_some() {
        got += 1;
    }
    assert_eq!(got, 2, "as much as it may keep, and the one that was more");
}

/// A stream that has given an item does not wait any more.
#[test]
fn a_close_keeps_no_more_for_a_stream_that_is_between_two_items() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet().max_message_size(1_000));
    let cx = &mut Context::from_waker(core::task::Waker::noop());
    assert!(reader.poll_next_unpin(cx).is_pending());
    script.arrive(frame(Role::Server, 0x82, &[0; 900]));
    assert!(reader.poll_next_unpin(cx).is_ready());
    for _ in 0..10 {
        script.arrive(frame(Role::Server, 0x82, &[0; 900]));
    }
    script.arrive(frame(Role::Server, 0x88, &close_body(1000, "")));
    script.end();
    run(writer.close(CloseCode::NORMAL)).unwrap();
    let mut got = 0;
    while run(reader.next()).transpose().unwrap().is_some() {
        got += 1;
    }
    assert_eq!(got, 1);
}

/// A reader that writes for a writer tells it.
#[test]
fn a_writer_goes_on_behind_what_the_reader_has_written() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    script.state().writes.push_back(Step::Stall);
    let (sending, woken) = waiting(async move { writer.send("x").await });
    // The stream is ready before it says so.
    script.state().writes.clear();
    woken.take();
    let (_receiving, _) = waiting(async move { reader.recv().await });
    assert!(woken.take() > 0);
    run(sending).unwrap();
}

/// A writer that comes across the end while it waits for room knows of it.
#[test]
fn a_writer_is_told_what_it_has_read_itself() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    script.state().writes.push_back(Step::Stall);
    script.end();
    let (sending, woken) = waiting(async move { writer.send("x").await });
    assert!(woken.take() > 0);
    assert!(run(sending).is_err());
}

#[test]
fn a_waiting_reader_writes_what_is_sent_without_a_flush() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let config = quiet().flush_policy(FlushPolicy::BeforeWait);
    let (mut reader, writer) = halves(&script, Role::Server, config);
    let (receiving, woken) = waiting(async move { reader.recv().await });
    run(writer.send("x")).unwrap();
    assert!(woken.take() > 0 && script.written().is_empty());
    drop(receiving);
}

/// A group that writes for a member's other writers tells them.
#[test]
fn a_writer_goes_on_behind_what_a_group_has_written() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    let room = Broadcast::new(SlowConsumer::DropMessage);
    room.join(writer.clone()).detach();
    script.state().writes.push_back(Step::Stall);
    let (sending, woken) = waiting(async move { writer.send("x").await });
    // The stream is ready before it says so.
    script.state().writes.clear();
    woken.take();
    assert_eq!(run(room.send("y")).sent, 1);
    assert!(woken.take() > 0);
    run(sending).unwrap();
    assert_eq!(split(Role::Server, &script.written()).len(), 2);
}

/// A group that disconnects a member tells its reader, which has the deadline to wait for.
#[test]
fn a_reader_is_told_that_its_group_disconnects() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet().max_unsent(1));
    script.state().writes.push_back(Step::Stall);
    writer.feed("stuck").unwrap();
    let (_receiving, woken) = waiting(async move { reader.recv().await });
    let room = Broadcast::new(SlowConsumer::Disconnect(CloseCode::POLICY_VIOLATION));
    room.join(writer).detach();
    assert_eq!(run(room.send("x")).disconnected, 1);
    assert!(woken.take() > 0);
}

/// Whoever gives up when it is its turn tells the next one.
#[test]
fn a_turn_that_is_given_up_goes_to_the_next() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet().max_unsent(1));
    script.state().writes.push_back(Step::Stall);
    writer.feed("stuck").unwrap();
    let other = writer.clone();
    let (first, _) = waiting(async move { other.send("first").await });
    let (mut second, woken) = waiting(async move { writer.send("second").await });
    script.go_on(|state| state.writes.clear());
    let (again, waker) = Woken::new();
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while again.take() > 0 {
        assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    woken.take();
    drop(first);
    assert!(again.take() > 0);
    run(second).unwrap();
}

/// A writer does not ask the stream for what a waiting reader has asked for.
#[test]
fn a_writer_reads_nothing_while_a_reader_waits() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    let (_receiving, _) = waiting(async move { reader.recv().await });
    let before = script.state().read_waits;
    run(writer.send("x")).unwrap();
    assert_eq!(script.state().read_waits, before);
}

/// A reader that was woken and is not polled is one that does nothing.
#[test]
fn a_writer_answers_for_a_stream_that_is_not_polled_any_more() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    let cx = &mut Context::from_waker(core::task::Waker::noop());
    assert!(reader.poll_next_unpin(cx).is_pending());
    script.arrive(frame(Role::Server, 0x89, b"ping"));
    run(writer.send("x")).unwrap();
    let kinds: Vec<_> =
        split(Role::Server, &script.written()).iter().map(|frame| frame.0 & 0x0f).collect();
    assert_eq!(kinds, [0x1, 0xa]);
}

/// The time of a keepalive ping runs from when it is written, whoever writes it.
#[test]
fn a_writer_notes_when_a_ping_is_written() {
    let runtime = paused();
    runtime.block_on(async {
        let second = Duration::from_secs(1);
        let keepalive = Keepalive::every(second * 10).pong_timeout(second * 60);
        let script = Script::new();
        let config = Config::default().keepalive(keepalive);
        let (mut reader, writer) = halves(&script, Role::Server, config);
        let cx = &mut Context::from_waker(core::task::Waker::noop());
        script.state().writes.push_back(Step::Stall);
        while script.state().write_waits == 0 {
            assert!(reader.poll_next_unpin(cx).is_pending());
            tokio::time::advance(second).await;
        }
        // The stream is ready before it says so.
        script.state().writes.clear();
        assert!(reader.round_trip().is_none());
        writer.flush().await.unwrap();
        let ping = script.written();
        assert_eq!(split(Role::Server, &ping).len(), 1);
        tokio::time::advance(second * 3).await;
        script.arrive(frame(Role::Server, 0x8a, &ping[2..]));
        assert!(reader.poll_next_unpin(cx).is_pending());
        assert_eq!(reader.round_trip().unwrap().as_secs(), 3);
    });
}

/// Nor does a close rely on it for its frame and its deadline.
#[test]
fn a_close_ends_in_time_behind_a_stream_that_is_not_polled_any_more() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let script = Script::new();
        let (mut reader, writer) = halves(&script, Role::Server, quiet());
        let cx = &mut Context::from_waker(core::task::Waker::noop());
        assert!(reader.poll_next_unpin(cx).is_pending());
        match writer.close(CloseCode::NORMAL).await {
            Err(Error::Timeout(TimeoutError::Close)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(close_codes(&split(Role::Server, &script.written())), [1000]);
    });
}

/// D2: nor behind as many messages as may be kept for a reader that was woken and does not come.
#[test]
fn a_close_ends_in_time_behind_a_reader_that_was_woken_and_a_peer_that_floods() {
    let _watchdog = watchdog();
    let runtime = paused();
    for message in [frame(Role::Server, 0x82, b""), frame(Role::Server, 0x82, &[0; 900])] {
        runtime.block_on(async {
            let script = Script::new();
            let config = quiet().max_message_size(2_000);
            let (mut reader, writer) = halves(&script, Role::Server, config);
            let cx = &mut Context::from_waker(core::task::Waker::noop());
            assert!(reader.poll_next_unpin(cx).is_pending());
            let mut closing = pin!(writer.close(CloseCode::NORMAL));
            assert!(poll_fn(|cx| Poll::Ready(closing.as_mut().poll(cx).is_pending())).await);
            (0..200).for_each(|_| script.arrive(message.clone()));
            match closing.await {
                Err(Error::Timeout(TimeoutError::Close)) => {}
                other => panic!("{other:?}"),
            }
        });
    }
}

/// A group does for a member without a reader what a writer does.
#[test]
fn a_group_answers_pings_of_members_without_readers() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (reader, writer) = halves(&script, Role::Server, quiet());
    drop(reader);
    let room = Broadcast::new(SlowConsumer::Wait);
    room.join(writer).detach();
    script.arrive(frame(Role::Server, 0x82, b"data"));
    script.arrive(frame(Role::Server, 0x89, b"ping"));
    run(room.send("x"));
    run(room.send("x"));
    let frames = split(Role::Server, &script.written());
    assert!(frames.iter().any(|frame| frame.0 == 0x8a));
}

/// D16: a member whose message in fragments goes on is busy, not slow.
#[test]
fn a_member_in_the_middle_of_a_message_stays() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    let room = Broadcast::new(SlowConsumer::DropMessage);
    room.join(writer.clone()).detach();
    run(writer.send_fragment("a", false)).unwrap();
    assert_eq!(run(room.send("x")).sent, 1);
    run(writer.send_fragment("b", true)).unwrap();
    assert_eq!(run(room.send("y")).sent, 1);
    let frames = split(Role::Server, &script.written());
    let expected = [(0x01, "a"), (0x80, "b"), (0x81, "x"), (0x81, "y")];
    assert_eq!(frames, expected.map(|(first, text)| (first, text.as_bytes().to_vec())));
}

/// Calls that are dropped leave no waker behind, and wake nobody who does not wait any more.
#[test]
fn a_call_that_is_dropped_leaves_nothing_behind() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet().max_unsent(1));
    script.state().writes.push_back(Step::Stall);
    writer.feed("stuck").unwrap();
    let other = writer.clone();
    let (sending, woken) = waiting(async move { other.send("x").await });
    drop(sending);
    assert_eq!((woken.take(), Arc::strong_count(&woken)), (0, 1));
    let mut sink = writer.clone().into_sink();
    let (sending, woken) = waiting(async move { sink.send("x".into()).await });
    drop(sending);
    assert_eq!((woken.take(), Arc::strong_count(&woken)), (0, 1));
}

/// A call that fails while the connection goes on does not keep its turn.
#[test]
fn a_call_that_fails_gives_its_turn_up() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet().max_unsent(1));
    script.state().writes.push_back(Step::Stall);
    let text = |text: &'static str| {
        let writer = writer.clone();
        async move { writer.send(text).await }
    };
    let (first, _) = waiting(text("first"));
    let (second, _) = waiting(text("second"));
    let (third, woken) = waiting(text("third"));
    woken.take();
    // A stream that breaks the rules, or a runtime without timers.
    script.go_on(|state| {
        state.writes = [Step::Error(std::io::ErrorKind::WouldBlock)].into();
    });
    assert!(matches!(run(second), Err(Error::Io(_))));
    run(first).unwrap();
    assert!(woken.take() > 0);
    run(third).unwrap();
    assert_eq!(split(Role::Server, &script.written()).len(), 2);
}

/// A flush of the sink that was given up says nothing of what is sent later.
#[test]
fn a_sink_flushes_what_was_sent_last() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (_reader, writer) = halves(&script, Role::Server, quiet());
    let mut sink = writer.into_sink();
    let (_, waker) = Woken::new();
    let cx = &mut Context::from_waker(&waker);
    script.state().writes.push_back(Step::Stall);
    assert!(pin!(sink.send("first".into())).poll(cx).is_pending());
    script.go_on(|state| state.writes = [Step::Count(7), Step::Stall].into());
    assert!(pin!(sink.send("second".into())).poll(cx).is_pending());
    assert_eq!(script.written().len(), 7);
    script.go_on(|state| state.writes.clear());
    run(sink.flush()).unwrap();
    assert_eq!(split(Role::Server, &script.written()).len(), 2);
}

/// Whoever writes the last of a connection that is ending tells the one who waits to go on.
#[test]
fn a_reader_goes_on_behind_what_another_has_written() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let (mut reader, writer) = halves(&script, Role::Server, quiet());
    script.state().writes.push_back(Step::Stall);
    script.arrive(frame(Role::Server, 0x88, &close_body(1000, "")));
    let (woken, waker) = Woken::new();
    let mut receiving = pin!(reader.recv());
    assert!(receiving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // The stream is ready before it says so.
    woken.take();
    script.state().writes.clear();
    run(writer.flush()).unwrap();
    assert_eq!(close_codes(&split(Role::Server, &script.written())), [1000]);
    assert!(woken.take() > 0);
    assert!(receiving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(script.shut_behind_all());
}

/// The fragments go on where they were before the connection was split.
#[test]
fn a_message_in_fragments_goes_on_in_the_first_writer() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let mut ws = WebSocket::from_parts(script.clone(), Role::Server, quiet(), []);
    run(ws.send_fragment("a", false)).unwrap();
    let (_reader, writer) = ws.split();
    let other = writer.clone();
    let (other, woken) = waiting(async move { other.send("c").await });
    run(writer.send_fragment("b", true)).unwrap();
    assert!(woken.take() > 0);
    run(other).unwrap();
    let frames = split(Role::Server, &script.written());
    let texts: Vec<_> = frames.iter().map(|frame| &frame.1[..]).collect();
    assert_eq!(texts, [b"a", b"b", b"c"]);
}

/// A compressed message may have more to give than its bytes: what a writer does in between leaves
/// that to the reader.
#[cfg(feature = "deflate")]
#[test]
fn a_writer_leaves_the_rest_of_an_inflated_message_to_the_reader() {
    use fullduplex::{Event, deflate::Deflate, handshake::Acceptor};
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let (a, b) = duplex(100_000);
        let config = || quiet().deflate(Deflate::default());
        let acceptor = Acceptor::new();
        let (server, client) = tokio::join!(
            fullduplex::tokio::accept_with(a, &acceptor, config()),
            fullduplex::tokio::client(b, "ws://localhost/", config()),
        );
        let ((mut reader, writer), mut peer) = (server.unwrap().split(), client.unwrap());
        const SIZE: usize = 1_000_000;
        peer.feed("x".repeat(SIZE)).unwrap();
        peer.ping("ping").await.unwrap();
        let mut size = 0;
        loop {
            writer.flush().await.unwrap();
            let chunk = reader.recv_chunk().await.unwrap().unwrap();
            size += chunk.as_bytes().len();
            if chunk.is_last() {
                break;
            }
        }
        assert_eq!(size, SIZE);
        writer.flush().await.unwrap();
        assert_eq!(reader.recv_event().await.unwrap(), Some(Event::Ping(b"ping".to_vec().into())));
    });
}

fn member(
    config: Config,
    size: usize,
) -> (Reader<DuplexStream>, Writer<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(size);
    let (reader, writer) = WebSocket::from_parts(a, Role::Server, config, []).split();
    (reader, writer, WebSocket::from_parts(b, Role::Client, quiet(), []))
}

/// A member that can be sent nothing any more is not waited for.
#[test]
fn a_member_in_the_middle_of_a_message_that_nobody_ends_leaves() {
    let _watchdog = watchdog();
    let runtime = paused();
    for slow in [
        SlowConsumer::Wait,
        SlowConsumer::DropMessage,
        SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER),
    ] {
        runtime.block_on(async {
            let room = Broadcast::new(slow);
            let (_reader, writer, _client) = member(quiet(), 1_000);
            let other = writer.clone();
            room.join(writer).detach();
            other.send_fragment("never", false).await.unwrap();
            drop(other);
            let delivery = room.send("x").await;
            assert_eq!((delivery.gone, delivery.dropped, delivery.disconnected), (1, 0, 0));
            assert!(room.is_empty());
        });
    }
}

/// Tokio gives a task only so many operations before its turn is over: that does not make a member
/// slow.
#[test]
fn a_member_is_not_slow_because_the_sender_was_busy() {
    let _watchdog = watchdog();
    let runtime = paused();
    let sends = runtime.block_on(async {
        let room = Broadcast::new(SlowConsumer::DropMessage);
        let members: Vec<_> =
            (0..10).map(|_| member(quiet().max_unsent(1_000), 1_000_000)).collect();
        let mut ends = Vec::new();
        for (reader, writer, client) in members {
            room.join(writer).detach();
            ends.push((reader, client));
        }
        for _ in 0..500 {
            let delivery = room.send(vec![0; 100]).await;
            assert_eq!((delivery.sent, delivery.dropped), (10, 0));
        }
        room.stats().sent
    });
    assert_eq!(sends, 5_000);
}

/// One closing deadline for all, whoever drives them.
#[test]
fn a_group_without_readers_is_closed_in_one_deadline() {
    let _watchdog = watchdog();
    let runtime = paused();
    for gone in [false, true] {
        runtime.block_on(async {
            let room = Broadcast::new(SlowConsumer::Wait);
            let mut ends = Vec::new();
            for _ in 0..50 {
                let (reader, writer, client) = member(quiet(), 1_000);
                room.join(writer).detach();
                ends.push(((!gone).then_some(reader), client));
            }
            let start = tokio::time::Instant::now();
            let report = room.close((CloseCode::GOING_AWAY, "restart")).await.unwrap();
            assert_eq!((report.clean, report.failed.len()), (0, 50));
            // Each has a turn of its own behind the deadline, in case its Close has come by then.
            let lasted = start.elapsed();
            assert!((5_000..=5_000 + 2 * 50).contains(&lasted.as_millis()), "{lasted:?}");
        });
    }
}

/// The stream of a member may do anything when it is dropped.
#[test]
fn a_member_that_leaves_may_look_at_the_group() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let room = Broadcast::new(SlowConsumer::Wait);
        let (a, b) = duplex(100);
        let stream = Hooked::new(a);
        let (looks, seen) = (room.clone(), Arc::new(Mutex::new(None)));
        let note = Arc::clone(&seen);
        stream.on_drop.set(move || *note.lock().unwrap() = Some(looks.len()));
        let (reader, writer) = WebSocket::from_parts(stream, Role::Server, quiet(), []).split();
        room.join(writer).detach();
        drop((reader, b));
        room.send("x").await;
        room.send("x").await;
        assert!(room.is_empty());
        assert_eq!(*seen.lock().unwrap(), Some(0));
    });
}

/// Real threads: writers that are aborted at any time, next to some that are not, on both ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn aborted_writers_take_nothing_of_the_others_with_them() {
    const WRITERS: usize = 6;
    const EACH: usize = 1_500;
    let _watchdog = watchdog();
    let (a, b) = duplex(300);
    let config = || quiet().max_unsent(200);
    let mut ends = tokio::task::JoinSet::new();
    for (stream, role) in [(a, Role::Client), (b, Role::Server)] {
        let (mut reader, writer) = WebSocket::from_parts(stream, role, config(), []).split();
        ends.spawn(async move {
            let mut writers = tokio::task::JoinSet::new();
            for name in 0..WRITERS {
                let writer = writer.clone();
                writers.spawn(async move {
                    for i in 0..EACH {
                        writer.send(format!("{name} {i}")).await.unwrap();
                    }
                    writer.flush().await.unwrap();
                });
            }
            let noise = writer.clone();
            let noise = tokio::spawn(async move {
                for i in 0..EACH {
                    let writer = noise.clone();
                    let task = tokio::spawn(async move {
                        match i % 3 {
                            0 => writer.send("noise").await,
                            1 => writer.ping("noise").await,
                            _ => writer.flush().await,
                        }
                    });
                    for _ in 0..i % 5 {
                        tokio::task::yield_now().await;
                    }
                    task.abort();
                    if let Ok(sent) = task.await {
                        sent.unwrap();
                    }
                }
            });
            let (done, mut received_all) = tokio::sync::mpsc::channel::<()>(1);
            let receiving = tokio::spawn(async move {
                let (mut turn, mut all) = (0, [0; WRITERS]);
                loop {
                    // A receive that is dropped now and then has lost nothing.
                    turn += 1;
                    let received = match turn % 7 {
                        0 => tokio::select! {
                            biased;
                            received = reader.recv() => received,
                            () = tokio::task::yield_now() => continue,
                        },
                        _ => reader.recv().await,
                    };
                    let Some(message) = received.unwrap() else { break };
                    let text = message.as_text().unwrap();
                    if text == "noise" {
                        continue;
                    }
                    let (name, i) = text.split_once(' ').unwrap();
                    let (name, i): (usize, usize) = (name.parse().unwrap(), i.parse().unwrap());
                    assert_eq!(all[name], i);
                    all[name] += 1;
                    if all == [EACH; WRITERS] {
                        done.send(()).await.unwrap();
                    }
                }
                assert_eq!(all, [EACH; WRITERS]);
                assert!(reader.closed().unwrap().is_clean());
            });
            writers.join_all().await;
            noise.await.unwrap();
            received_all.recv().await.unwrap();
            (writer, receiving)
        });
    }
    let ends = ends.join_all().await;
    ends[0].0.close(CloseCode::NORMAL).await.unwrap();
    for (_, receiving) in ends {
        receiving.await.unwrap();
    }
}
