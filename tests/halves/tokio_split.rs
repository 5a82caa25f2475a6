//! The tokio adapter as a `Stream` and a `Sink`, whole and split between tasks: no wakeup is lost
//! (KNOWN-FAILURES 48).
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{BOTH, close_codes, frame, frames, other, split};
use core::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{CloseCode, Config, Error, Message, Role, tokio::WebSocket};
use futures_util::{
    FutureExt, Sink, SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use support::{Script, Step, Woken, paused, quiet, run, watchdog};
use tokio::{
    io::duplex,
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

const MESSAGES: u32 = 2_000;

fn over(script: &Script, role: Role, config: Config) -> WebSocket<Script> {
    WebSocket::from_parts(script.clone(), role, config, [])
}

async fn send_all<S>(mut sink: S, from: &'static str)
where
    S: Sink<Message, Error = Error> + Unpin,
{
    for i in 0..MESSAGES {
        let filler = "x".repeat(i as usize % 60);
        let message = Message::from(format!("{from} {i} {filler}"));
        // Every way to send, mixed.
        match i % 3 {
            0 => sink.send(message).await.unwrap(),
            _ => sink.feed(message).await.unwrap(),
        }
    }
    sink.flush().await.unwrap();
}

async fn receive_all<S>(stream: &mut S, from: &'static str)
where
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    for i in 0..MESSAGES {
        let message = stream.next().await.expect("a message").unwrap();
        let text = message.as_text().unwrap();
        assert!(text.starts_with(&format!("{from} {i} ")), "{text}");
    }
}

/// Both directions at once, each half in a task of its own, over buffers that hold hardly a
/// frame: everything arrives, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_halves_in_four_tasks() {
    let _watchdog = watchdog();
    for (size, max_unsent) in [(7, 1), (64, 100), (1_000, 1 << 20)] {
        let (a, b) = duplex(size);
        let config = || {
            let often = fullduplex::Keepalive::every(Duration::from_millis(1));
            Config::default().max_unsent(max_unsent).keepalive(often)
        };
        let client = WebSocket::from_parts(a, Role::Client, config(), []);
        let server = WebSocket::from_parts(b, Role::Server, config(), []);
        let (client_sink, client_stream) = StreamExt::split(client);
        let (server_sink, server_stream) = StreamExt::split(server);
        let (client_done, client_all) = oneshot::channel();
        let (server_done, server_all) = oneshot::channel();
        // Both ends are read from until all is over: pings and pongs lie behind the messages.
        let receive = async |mut stream: SplitStream<_>, from, done: oneshot::Sender<()>| {
            receive_all(&mut stream, from).await;
            done.send(()).unwrap();
            while let Some(Ok(_)) = stream.next().await {}
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(receive(client_stream, "s", client_done));
        tasks.spawn(receive(server_stream, "c", server_done));
        let sending =
            [tokio::spawn(send_all(client_sink, "c")), tokio::spawn(send_all(server_sink, "s"))];
        for task in sending {
            task.await.unwrap();
        }
        client_all.await.unwrap();
        server_all.await.unwrap();
    }
}

/// One task sends and closes while another one waits for messages: both see the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_in_one_task_ends_the_receive_in_another() {
    let _watchdog = watchdog();
    for role in BOTH {
        for _ in 0..50 {
            let (a, b) = duplex(64);
            let ours = WebSocket::from_parts(a, role, quiet(), []);
            let mut theirs = WebSocket::from_parts(b, other(role), quiet(), []);
            let peer = tokio::spawn(async move {
                WebSocket::run(&mut theirs, |message, out| out.feed(message)).await
            });
            let (mut sink, mut stream) = StreamExt::split(ours);
            let (heard, hear) = oneshot::channel();
            let receiver = tokio::spawn(async move {
                let first = stream.next().await;
                heard.send(()).unwrap();
                (first, stream.next().await)
            });
            sink.send("hello".into()).await.unwrap();
            hear.await.unwrap();
            tokio::task::yield_now().await;
            sink.close().await.unwrap();
            let (first, second) = receiver.await.unwrap();
            assert_eq!(first.unwrap().unwrap(), Message::from("hello"));
            assert!(second.is_none());
            // A server's end of the stream is over when its client's is.
            drop(sink);
            peer.await.unwrap().unwrap();
        }
    }
}

/// The same, step by step: whoever is polled last at the stream has its only waker, and the other
/// one is woken all the same.
#[test]
fn a_close_wakes_the_receiving_task() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        let (mut sink, mut stream) = StreamExt::split(over(&script, role, quiet()));
        let (receiver, receiver_waker) = Woken::new();
        let (closer, closer_waker) = Woken::new();
        let next = |stream: &mut _, waker| {
            let stream: &mut SplitStream<WebSocket<Script>> = stream;
            stream.poll_next_unpin(&mut Context::from_waker(waker))
        };
        assert!(next(&mut stream, &receiver_waker).is_pending());
        let mut cx = Context::from_waker(&closer_waker);
        assert!(Pin::new(&mut sink).poll_close(&mut cx).is_pending());
        // Both tasks do whatever they are woken for, until neither is.
        let mut quiet_now = || {
            let mut ended = (false, false);
            for _ in 0..100 {
                let (a, b) = (receiver.take() > 0, closer.take() > 0);
                if !a && !b {
                    break;
                }
                if a && !ended.0 {
                    ended.0 = matches!(next(&mut stream, &receiver_waker), Poll::Ready(None));
                }
                if b && !ended.1 {
                    let mut cx = Context::from_waker(&closer_waker);
                    ended.1 = Pin::new(&mut sink).poll_close(&mut cx).is_ready();
                }
            }
            ended
        };
        assert_eq!(quiet_now(), (false, false));
        assert_eq!(close_codes(&split(role, &script.written())), [1000]);
        script.arrive(frame(role, 0x88, b"\x03\xe8"));
        script.end();
        assert_eq!(quiet_now(), (true, true), "one of the tasks sleeps for ever");
    }
}

/// A send that is given up half-way leaves its bytes to the receiving task, which is told when
/// the stream takes more.
#[test]
fn a_send_that_is_given_up_is_finished_by_the_receiver() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes = [Step::Count(5), Step::Stall].into();
        let (mut sink, mut stream) = StreamExt::split(over(&script, role, quiet()));
        let (receiver, receiver_waker) = Woken::new();
        let (sender, sender_waker) = Woken::new();
        let mut receive = || {
            receiver.take();
            stream.poll_next_unpin(&mut Context::from_waker(&receiver_waker))
        };
        assert!(receive().is_pending());
        {
            let mut send = pin!(sink.send(Message::from(vec![1; 100])));
            assert!(send.as_mut().poll(&mut Context::from_waker(&sender_waker)).is_pending());
        }
        // The receiving task runs whenever it is woken; the other one does something else.
        while receiver.take() > 0 {
            assert!(receive().is_pending());
        }
        script.go_on(|state| state.writes.clear());
        assert!(receiver.take() > 0, "only the task that gave up was told");
        assert!(receive().is_pending());
        assert_eq!(split(role, &script.written()), [(0x82, vec![1; 100])]);
        let _ = sender;
    }
}

/// The same for deadlines: a timer that the sending task was the last to wait for still wakes the
/// receiving one.
#[tokio::test(start_paused = true)]
async fn keepalive_survives_a_send_that_is_given_up() {
    let _watchdog = watchdog();
    let (ours, _theirs) = duplex(64);
    let ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
    let (mut sink, mut stream) = StreamExt::split(ws);
    let receiver = tokio::spawn(async move { stream.next().await });
    sleep(Duration::from_secs(1)).await;
    let sent = timeout(Duration::from_secs(1), sink.send(Message::from(vec![0; 1_000]))).await;
    assert!(sent.is_err());
    let end = timeout(Duration::from_secs(120), receiver).await.expect("keepalive is gone");
    assert!(matches!(end.unwrap(), Some(Err(Error::Timeout(_)))));
}

/// A task that waits for room is told as soon as there is some, also when it was the receiving
/// task that wrote.
#[test]
fn room_made_by_the_receiver_wakes_the_sender() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let (mut sink, mut stream) =
            StreamExt::split(over(&script, role, quiet().max_unsent(1_000)));
        run(sink.feed(Message::from(vec![0; 2_000]))).unwrap();
        let (sender, sender_waker) = Woken::new();
        let (receiver, receiver_waker) = Woken::new();
        let ready = |sink: &mut SplitSink<WebSocket<Script>, Message>| {
            let mut cx = Context::from_waker(&sender_waker);
            Pin::new(sink).poll_ready(&mut cx)
        };
        // `feed` of a split sink keeps one message; let it go into the connection.
        let mut cx = Context::from_waker(&receiver_waker);
        assert!(Pin::new(&mut sink).poll_flush(&mut cx).is_pending());
        run(async { sink.feed(Message::from("kept by the half")).now_or_never() });
        assert!(ready(&mut sink).is_pending());
        assert!(stream.poll_next_unpin(&mut cx).is_pending());
        sender.take();
        receiver.take();
        script.go_on(|state| state.writes = [Step::Count(1_900), Step::Stall].into());
        for _ in 0..10 {
            if receiver.take() > 0 {
                assert!(stream.poll_next_unpin(&mut cx).is_pending());
            }
        }
        assert!(sender.take() > 0, "there is room, and nobody said so");
        assert!(ready(&mut sink).is_ready());
    }
}

/// What a failed connection loses is not reported as sent, whichever task sees the failure.
#[test]
fn a_send_that_is_lost_is_an_error_for_its_task() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes.push_back(Step::Stall);
        let (mut sink, mut stream) = StreamExt::split(over(&script, role, quiet()));
        let (sender, sender_waker) = Woken::new();
        let mut send = pin!(sink.send(Message::from("lost")));
        let mut cx = Context::from_waker(&sender_waker);
        assert!(send.as_mut().poll(&mut cx).is_pending());
        sender.take();
        // The receiving task happens to look, without having been woken for it.
        script.state().reads.push_back(Step::Eof);
        let end = run(stream.next());
        assert!(matches!(end, Some(Err(Error::Abnormal))), "{end:?}");
        assert!(sender.take() > 0, "the sending task sleeps for ever");
        let sent = send.as_mut().poll(&mut cx);
        assert!(matches!(sent, Poll::Ready(Err(_))), "{sent:?}");
    }
}

/// Pings are answered by a task that does nothing but receive.
#[test]
fn pongs_are_flushed_by_a_task_that_only_receives() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        let (_sink, mut stream) = StreamExt::split(over(&script, role, quiet()));
        let (receiver, waker) = Woken::new();
        let mut cx = Context::from_waker(&waker);
        assert!(stream.poll_next_unpin(&mut cx).is_pending());
        for i in 0..10u8 {
            script.arrive(frame(role, 0x89, &[i]));
            assert_eq!(receiver.take(), 1);
            assert!(stream.poll_next_unpin(&mut cx).is_pending());
            assert_eq!(split(role, &script.written()).last(), Some(&(0x8a, vec![i])));
            assert!(script.is_flushed());
        }
    }
}

/// A stream gives an error as its last item, and then nothing; a clean close gives nothing.
#[test]
fn a_stream_ends_with_its_error() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let wire = frames(role, &[(0x81, b"1"), (0x82, b"2")]);
        let script = Script::reading([Step::Bytes(wire.clone()), Step::Eof]);
        let mut ws = over(&script, role, quiet());
        let items: Vec<_> = run(ws.by_ref().collect());
        assert!(matches!(&items[..], [Ok(_), Ok(_), Err(Error::Abnormal)]), "{items:?}");
        assert!(run(ws.next()).is_none());

        let wire = [wire, frame(role, 0x88, b"")].concat();
        let script = Script::reading([Step::Bytes(wire), Step::Eof]);
        let items: Vec<_> = run(over(&script, role, quiet()).collect());
        assert!(matches!(&items[..], [Ok(_), Ok(_)]), "{items:?}");
    }
}

/// An echo by `forward`: everything comes back, and the connection closes.
#[test]
fn an_echo_by_forward() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let texts: Vec<_> =
            (0..100).map(|i| frame(role, 0x81, format!("{i}").as_bytes())).collect();
        let wire = [texts.concat(), frame(role, 0x88, b"\x03\xe8")].concat();
        let script = Script::reading([Step::Bytes(wire), Step::Eof]);
        let (sink, stream) = StreamExt::split(over(&script, role, quiet()));
        let end = run(stream.forward(sink));
        // The Close is in the same read as the last message, which can then not be sent any more.
        assert!(matches!(end, Ok(()) | Err(Error::Closed(_) | Error::Send(_))), "{end:?}");
        let written = split(role, &script.written());
        let texts = written.iter().filter(|(first, _)| *first == 0x81);
        assert!(texts.count() >= 98, "{}", written.len());
        assert_eq!(close_codes(&written), [1000]);
    }
}

/// Halves that were split go together again, with the connection as it was.
#[test]
fn halves_reunite() {
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::reading([
        Step::Bytes(frames(Role::Client, &[(0x81, b"x"), (0x88, b"")])),
        Step::Eof,
    ]);
    let (mut sink, mut stream) = StreamExt::split(over(&script, Role::Client, quiet()));
    assert!(run(stream.next()).is_some());
    run(sink.send("y".into())).unwrap();
    let mut ws = stream.reunite(sink).unwrap();
    assert!(run(ws.recv()).unwrap().is_none());
    run(ws.close(CloseCode::NORMAL)).unwrap();
    assert_eq!(split(Role::Client, &script.written()).len(), 2);
}
