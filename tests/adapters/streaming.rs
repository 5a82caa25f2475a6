//! Messages of unknown length through both adapters: from iterators, streams and readers, with
//! sources that wait and fail, futures dropped anywhere, at constant memory.
#![cfg(feature = "tokio")]

#[cfg(feature = "deflate")]
use crate::deflate;
use crate::{common, heap, support};

use common::{BOTH, frame, other, split};
use core::{
    cell::RefCell,
    convert::Infallible,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use fullduplex::{
    CloseCode, Config, Error, FlushPolicy, Message, Role, SendError, SendErrorReason, blocking,
};
use futures_util::stream;
use heap::measure;
use std::io::{self, ErrorKind, Read};
use support::{Script, Step, Woken, paused, poll_times, quiet, run, runtime, watchdog};
use tokio::{io::AsyncReadExt, sync::mpsc};

type Tokio = fullduplex::tokio::WebSocket<Script>;

fn tokio_over(script: &Script, role: Role, config: &Config) -> Tokio {
    Tokio::from_parts(script.clone(), role, config.clone(), Vec::new())
}

/// Either adapter.
trait Sends {
    fn send(&mut self, message: Message) -> Result<(), Error>;
    fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error>;
    fn feed_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), SendError>;
    fn send_iter(&mut self, pieces: &mut dyn Iterator<Item = Message>) -> Result<(), Error>;
    fn send_reader(&mut self, source: &mut Script) -> Result<u64, Error>;
    fn flush(&mut self) -> Result<(), Error>;
}

impl Sends for blocking::WebSocket<Script> {
    fn send(&mut self, message: Message) -> Result<(), Error> {
        self.send(message)
    }

    fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error> {
        self.send_fragment(fragment, fin)
    }

    fn feed_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), SendError> {
        self.feed_fragment(fragment, fin)
    }

    fn send_iter(&mut self, pieces: &mut dyn Iterator<Item = Message>) -> Result<(), Error> {
        self.send_iter(pieces)
    }

    fn send_reader(&mut self, source: &mut Script) -> Result<u64, Error> {
        source.state().blocking = true;
        self.send_reader(source)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

impl Sends for Tokio {
    fn send(&mut self, message: Message) -> Result<(), Error> {
        run(self.send(message))
    }

    fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error> {
        run(self.send_fragment(fragment, fin))
    }

    fn feed_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), SendError> {
        self.feed_fragment(fragment, fin)
    }

    fn send_iter(&mut self, pieces: &mut dyn Iterator<Item = Message>) -> Result<(), Error> {
        run(self.send_iter(pieces))
    }

    fn send_reader(&mut self, source: &mut Script) -> Result<u64, Error> {
        run(self.send_reader(source))
    }

    fn flush(&mut self) -> Result<(), Error> {
        run(self.flush())
    }
}

/// Runs `test` on both adapters, in both roles. Writes wait now and then.
fn on_both(config: &Config, test: impl Fn(&mut dyn Sends, &Script, Role)) {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = || {
            let script = Script::new();
            let steps = [Step::Pending, Step::Count(1), Step::Count(1_000)];
            script.state().writes = steps.iter().cycle().take(3_000).cloned().collect();
            script
        };
        let stream = script();
        stream.state().blocking = true;
        let (clone, config_clone) = (stream.clone(), config.clone());
        let mut ws = blocking::WebSocket::from_parts(clone, role, config_clone, Vec::new());
        test(&mut ws, &stream, role);
        let stream = script();
        test(&mut tokio_over(&stream, role, config), &stream, role);
    }
}

/// Text pieces as messages.
fn texts(pieces: &[&str]) -> Vec<Message> {
    pieces.iter().map(|piece| Message::from(*piece)).collect()
}

/// The frames that were written.
fn written(script: &Script, role: Role) -> Vec<(u8, Vec<u8>)> {
    split(role, &script.written())
}

/// The first byte of each frame, and its payload.
type Frames<'f> = &'f [(u8, &'f [u8])];

/// What each read brings.
type Reads<'r> = &'r [&'r [u8]];

fn expect(script: &Script, role: Role, frames: Frames<'_>) {
    let frames: Vec<_> = frames.iter().map(|(first, payload)| (*first, payload.to_vec())).collect();
    assert_eq!(written(script, role), frames);
}

#[test]
fn section_5_4_the_last_piece_of_an_iterator_is_the_last_fragment() {
    for policy in [FlushPolicy::Strict, FlushPolicy::BeforeWait] {
        let cases: [(Vec<Message>, Frames<'_>); 5] = [
            (vec![], &[]),
            (texts(&["one"]), &[(0x81, b"one")]),
            (texts(&[""]), &[(0x81, b"")]),
            (texts(&["a", "", "\u{e9}"]), &[(0x01, b"a"), (0x00, b""), (0x80, b"\xc3\xa9")]),
            (vec![vec![0xff].into(), vec![].into()], &[(0x02, b"\xff"), (0x80, b"")]),
        ];
        for (pieces, frames) in cases {
            on_both(&quiet().flush_policy(policy), |ws, script, role| {
                ws.send_iter(&mut pieces.clone().into_iter()).unwrap();
                assert!(policy != FlushPolicy::Strict || script.is_flushed());
                ws.send("next".into()).unwrap();
                ws.flush().unwrap();
                expect(script, role, &[frames, &[(0x81, b"next")]].concat());
            });
        }
    }
}

#[test]
fn each_piece_is_written_before_the_second_next_is_asked_for() {
    on_both(&quiet(), |ws, script, role| {
        let frames = RefCell::new(Vec::new());
        ws.send_iter(&mut (0..5u8).map(|i| {
            frames.borrow_mut().push(written(script, role).len());
            vec![i].into()
        }))
        .unwrap();
        assert_eq!(frames.into_inner(), [0, 0, 1, 2, 3]);
    });
}

/// One read is one fragment, an interrupted or waiting one is repeated, and the end is an empty one.
#[test]
fn what_a_reader_gives_is_a_message() {
    let large = vec![7; 150_000];
    let cases: [(Reads<'_>, &[(u8, usize)]); 3] = [
        (&[], &[(0x82, 0)]),
        (&[b"ab", b"c"], &[(0x02, 2), (0x00, 1), (0x80, 0)]),
        (&[&large], &[(0x02, 65_536), (0x00, 65_536), (0x00, 18_928), (0x80, 0)]),
    ];
    for (reads, frames) in cases {
        on_both(&quiet(), |ws, script, role| {
            let steps = reads.iter().flat_map(|bytes| [Step::Pending, Step::Bytes(bytes.to_vec())]);
            let mut source = Script::reading(steps.chain([Step::Eof]));
            assert_eq!(ws.send_reader(&mut source).unwrap(), reads.concat().len() as u64);
            assert!(script.is_flushed());
            let written = written(script, role);
            let sizes: Vec<_> =
                written.iter().map(|(first, bytes)| (*first, bytes.len())).collect();
            assert_eq!(sizes, frames);
            assert_eq!(
                written.into_iter().flat_map(|(_, b)| b).collect::<Vec<_>>(),
                reads.concat()
            );
            ws.send("next".into()).unwrap();
        });
    }
}

/// After its source has failed a message is gone on with, or ended as it is.
#[test]
fn a_source_that_fails_leaves_the_message_unfinished() {
    on_both(&quiet(), |ws, script, role| {
        let mut source = Script::reading([
            Step::Bytes(b"ab".to_vec()),
            Step::Error(ErrorKind::TimedOut),
            Step::Bytes(b"c".to_vec()),
            Step::Error(ErrorKind::TimedOut),
        ]);
        for _ in 0..2 {
            let Err(Error::Other(error)) = ws.send_reader(&mut source) else { panic!("no error") };
            let error = error.downcast::<io::Error>().expect("the reader's own");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let Err(Error::Send(refused)) = ws.send("x".into()) else { panic!("accepted") };
            assert_eq!(refused.reason, SendErrorReason::Unfinished);
        }
        ws.send_fragment(b"".into(), true).unwrap();
        ws.send("next".into()).unwrap();
        expect(script, role, &[(0x02, b"ab"), (0x00, b"c"), (0x80, b""), (0x81, b"next")]);
    });
}

#[test]
fn a_message_that_was_begun_is_gone_on_with() {
    on_both(&quiet(), |ws, script, role| {
        ws.feed_fragment(b"head".into(), false).unwrap();
        let mut source = Script::reading([Step::Bytes(b"body".to_vec()), Step::Eof]);
        assert_eq!(ws.send_reader(&mut source).unwrap(), 4);
        ws.feed_fragment("t".into(), false).unwrap();
        ws.send_iter(&mut texts(&["u", "v"]).into_iter()).unwrap();
        expect(
            script,
            role,
            &[
                (0x02, b"head"),
                (0x00, b"body"),
                (0x80, b""),
                (0x01, b"t"),
                (0x00, b"u"),
                (0x80, b"v"),
            ],
        );
    });
}

#[test]
fn pieces_of_two_kinds_are_refused() {
    on_both(&quiet(), |ws, script, role| {
        let pieces = [Message::from("text"), vec![1].into(), vec![2].into()];
        let Err(Error::Send(refused)) = ws.send_iter(&mut pieces.into_iter()) else {
            panic!("accepted")
        };
        assert_eq!(refused.reason, SendErrorReason::Unfinished);
        assert_eq!(refused.message.as_bytes(), [1]);
        let mut source = Script::reading([Step::Bytes(vec![3]), Step::Eof]);
        assert!(matches!(ws.send_reader(&mut source), Err(Error::Send(_))));
        ws.send_fragment("".into(), true).unwrap();
        expect(script, role, &[(0x01, b"text"), (0x80, b"")]);
    });
}

#[test]
fn a_closed_connection_takes_no_pieces() {
    for role in BOTH {
        let _watchdog = watchdog();
        let runtime = paused();
        let _time = runtime.enter();
        let close = || Script::reading([Step::Bytes(frame(role, 0x88, b"")), Step::Eof]);
        let script = close();
        let mut ws = tokio_over(&script, role, &quiet());
        assert_eq!(run(ws.recv()).unwrap(), None);
        assert!(matches!(run(ws.send_reader(&b"x"[..])), Err(Error::Closed(_))));
        assert!(matches!(run(ws.send_reader(&b""[..])), Err(Error::Closed(_))));
        let pieces = stream::iter([Ok::<_, Infallible>("x")]);
        assert!(matches!(run(ws.send_stream(pieces)), Err(Error::Closed(_))));
        assert!(matches!(run(ws.send_iter(["x"])), Err(Error::Closed(_))));
        let script = close();
        script.state().blocking = true;
        let mut ws = blocking::WebSocket::from_parts(script, role, quiet(), Vec::new());
        assert_eq!(ws.recv().unwrap(), None);
        assert!(matches!(ws.send_reader(&b"x"[..]), Err(Error::Closed(_))));
        assert!(matches!(ws.send_iter(["x"]), Err(Error::Closed(_))));
    }
}

/// A live stream is not held back: what it has given is written, by either policy, while it waits.
#[test]
fn pieces_of_a_live_stream_are_written_at_once() {
    for policy in [FlushPolicy::Strict, FlushPolicy::BeforeWait] {
        for role in BOTH {
            let _watchdog = watchdog();
            let runtime = paused();
            let _time = runtime.enter();
            let script = Script::new();
            let mut ws = tokio_over(&script, role, &quiet().flush_policy(policy));
            let (sender, receiver) = mpsc::unbounded_channel();
            let pieces = stream::unfold(receiver, async |mut receiver| {
                Some((Ok::<&str, Infallible>(receiver.recv().await?), receiver))
            });
            {
                let mut sending = pin!(ws.send_stream(pieces));
                let (woken, waker) = Woken::new();
                let mut cx = Context::from_waker(&waker);
                assert!(sending.as_mut().poll(&mut cx).is_pending());
                for (number, piece) in ["a", "b", "c"].iter().enumerate() {
                    woken.take();
                    sender.send(*piece).unwrap();
                    assert!(woken.take() > 0, "it waits for the stream");
                    assert!(sending.as_mut().poll(&mut cx).is_pending());
                    assert_eq!(written(&script, role).len(), number + 1);
                    assert!(script.is_flushed());
                }
                drop(sender);
                assert!(matches!(sending.as_mut().poll(&mut cx), Poll::Ready(Ok(()))));
            }
            run(ws.flush()).unwrap();
            expect(&script, role, &[(0x01, b"a"), (0x00, b"b"), (0x00, b"c"), (0x80, b"")]);
            run(ws.send_stream(stream::empty::<Result<&str, Infallible>>())).unwrap();
            run(ws.send("next")).unwrap();
            run(ws.flush()).unwrap();
            assert_eq!(written(&script, role)[4..], [(0x81, b"next".to_vec())]);
        }
    }
}

/// D28: an iterator without pieces ends the message that is under way, as a stream and a reader do,
/// and sends nothing where there is none.
#[test]
fn an_iterator_of_nothing_ends_a_message() {
    on_both(&quiet(), |ws, script, role| {
        ws.send_iter(&mut [].into_iter()).unwrap();
        for first in ["a".into(), Message::from(&b"b"[..])] {
            ws.send_fragment(first, false).unwrap();
            ws.send_iter(&mut [].into_iter()).unwrap();
        }
        ws.send_iter(&mut [].into_iter()).unwrap();
        ws.send("next".into()).unwrap();
        expect(
            script,
            role,
            &[(0x01, b"a"), (0x80, b""), (0x02, b"b"), (0x80, b""), (0x81, b"next")],
        );
    });
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        let (_reader, writer) = tokio_over(&script, role, &quiet()).split();
        let other = writer.clone();
        run(writer.send_fragment("a", false)).unwrap();
        // It is not theirs.
        run(other.send_iter([""; 0])).unwrap();
        run(writer.send_iter([""; 0])).unwrap();
        run(other.send_iter([""; 0])).unwrap();
        run(other.send("next")).unwrap();
        expect(&script, role, &[(0x01, b"a"), (0x80, b""), (0x81, b"next")]);
    }
}

#[test]
fn a_stream_that_fails_leaves_the_message_unfinished() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    let mut ws = tokio_over(&script, Role::Server, &quiet());
    let result = run(ws.send_stream(stream::iter([Ok("a"), Err("no more"), Ok("b")])));
    assert_eq!(result.unwrap_err().to_string(), "no more");
    // The rest of it may be nothing: that ends the message, of whichever kind.
    run(ws.send_stream(stream::empty::<Result<Vec<u8>, Infallible>>())).unwrap();
    run(ws.send("next")).unwrap();
    expect(&script, Role::Server, &[(0x01, b"a"), (0x80, b""), (0x81, b"next")]);
}

/// For every number of polls: what is dropped after that many and called again loses nothing, and
/// repeats nothing.
#[test]
fn a_future_that_is_dropped_anywhere_loses_nothing() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let payload: Vec<u8> = (0..=255).collect();
    for (role, policy, polls) in BOTH
        .into_iter()
        .flat_map(|role| {
            [FlushPolicy::Strict, FlushPolicy::BeforeWait].map(|policy| (role, policy))
        })
        .flat_map(|(role, policy)| (1..40).map(move |polls| (role, policy, polls)))
    {
        let script = Script::new();
        let waits = [Step::Pending, Step::Count(3)];
        script.state().writes = waits.iter().cycle().take(3_000).cloned().collect();
        let config = quiet().flush_policy(policy).max_unsent(50);
        let mut ws = tokio_over(&script, role, &config);
        let steps = payload
            .chunks(10)
            .flat_map(|bytes| [Step::Pending, Step::Bytes(bytes.to_vec()), Step::Pending]);
        let mut source = Script::reading(steps.chain([Step::Eof]));
        ws.feed_fragment(b"", false).unwrap();
        while ws.is_in_fragments() {
            if let Some(result) = poll_times(ws.send_reader(&mut source), polls) {
                result.unwrap();
            }
        }
        run(ws.flush()).unwrap();
        let frames = written(&script, role);
        let joined: Vec<u8> = frames.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(joined, payload, "{polls} polls");
        assert_eq!((frames[0].0, frames[frames.len() - 1].0), (0x02, 0x80));
        assert!(frames[1..frames.len() - 1].iter().all(|(first, _)| *first == 0));

        let mut pieces = stream::iter(payload.chunks(10).map(Ok::<_, Infallible>));
        let before = frames.len();
        ws.feed_fragment(b"", false).unwrap();
        while ws.is_in_fragments() {
            if let Some(result) = poll_times(ws.send_stream(&mut pieces), polls) {
                result.unwrap();
            }
        }
        run(ws.flush()).unwrap();
        let frames = &written(&script, role)[before..];
        let joined: Vec<u8> = frames.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(joined, payload, "{polls} polls");
        assert_eq!(frames.iter().filter(|(first, _)| *first == 0x80).count(), 1);
    }
}

/// While a source is waited for, what else is queued is written, and back-pressure holds: nothing
/// is taken from the source that there is no room for.
#[test]
fn nothing_is_taken_from_a_source_before_there_is_room() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let script = Script::new();
    script.state().writes = [Step::Stall].into();
    let config = quiet().max_unsent(100).flush_policy(FlushPolicy::BeforeWait);
    let mut ws = tokio_over(&script, Role::Server, &config);
    let source = Script::reading([
        Step::Bytes(vec![1; 60]),
        Step::Bytes(vec![2; 60]),
        Step::Bytes(vec![3; 60]),
        Step::Eof,
    ]);
    let mut reader = source.clone();
    let mut sending = pin!(ws.send_reader(&mut reader));
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(sending.as_mut().poll(&mut cx).is_pending());
        assert_eq!(source.state().read_calls, 2);
    }
    script.go_on(|state| state.writes.clear());
    assert!(woken.take() > 0);
    assert!(matches!(sending.as_mut().poll(&mut cx), Poll::Ready(Ok(180))));
}

#[test]
fn a_handler_may_answer_in_fragments() {
    support::on_all(
        Role::Server,
        &quiet(),
        || {
            let close = frame(Role::Server, 0x88, b"");
            Script::reading([
                Step::Bytes([frame(Role::Server, 0x81, b"hello"), close].concat()),
                Step::Eof,
            ])
        },
        |ws, script| {
            ws.run(&mut |_, out| {
                out.feed_fragment("a", false)?;
                out.feed_fragment("b", true)
            })
            .unwrap();
            let firsts: Vec<u8> =
                written(script, Role::Server).iter().map(|(first, _)| *first).collect();
            assert_eq!(firsts, [0x01, 0x80, 0x88]);
        },
    );
}

#[test]
fn the_futures_can_be_sent_to_other_threads() {
    fn send<T: Send>(_: &T) {}
    fn all(ws: &mut Tokio) {
        send(&ws.send_iter(vec![vec![1]]));
        send(&ws.send_stream(stream::iter([Ok::<_, Infallible>("a")])));
        send(&ws.send_reader(tokio::io::empty()));
        send(&ws.send_fragment("a", true));
    }
    let runtime = paused();
    let _time = runtime.enter();
    all(&mut tokio_over(&Script::new(), Role::Client, &quiet()));
}

/// From a reader to another end, 16 MiB through a pipe of 256 KiB: neither end holds more than a few
/// pieces, and nothing is allocated for each.
fn piped(config: impl Fn() -> Config, compressed: bool, role: Role) -> heap::Heap {
    const SIZE: u64 = 16 << 20;
    let _watchdog = watchdog();
    let runtime = runtime();
    let _time = runtime.enter();
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    type Piped = fullduplex::tokio::WebSocket<tokio::io::DuplexStream>;
    let ws = |stream, role| {
        let ws = Piped::from_parts(stream, role, config(), Vec::new());
        #[cfg(feature = "deflate")]
        if compressed {
            return ws.with_deflate(deflate::params("")).unwrap();
        }
        _ = compressed;
        ws
    };
    let (mut sender, mut receiver) = (ws(ours, role), ws(theirs, other(role)));
    let work = async {
        let sending = async {
            let sent = sender.send_reader(tokio::io::repeat(b'x').take(SIZE)).await;
            assert_eq!(sent.unwrap(), SIZE);
            sender.close(CloseCode::NORMAL).await.unwrap();
        };
        let receiving = async {
            let mut received = 0;
            while let Some(chunk) = receiver.recv_chunk().await.unwrap() {
                assert!(!chunk.is_text() && chunk.as_bytes().iter().all(|byte| *byte == b'x'));
                received += chunk.len() as u64;
                assert_eq!(chunk.is_last(), chunk.is_empty());
            }
            assert_eq!(received, SIZE);
        };
        futures_util::future::join(sending, receiving).await
    };
    let (_, heap) = measure(|| runtime.block_on(work));
    println!("{role:?}, compressed {compressed}: {heap:?}");
    heap
}

#[test]
fn a_pipe_of_any_length_is_a_few_buffers() {
    for role in BOTH {
        let heap = piped(Config::default, false, role);
        // The pipe, a buffer for the source, one to write, one to read, the chunk in hand.
        assert!(heap.peak < 600_000, "{heap:?}");
        let heap = piped(|| Config::default().flush_policy(FlushPolicy::BeforeWait), false, role);
        assert!(heap.peak < 4 << 20, "{heap:?}"); // the backlog is up to 1 MiB
    }
}

#[cfg(feature = "deflate")]
#[test]
fn a_compressed_pipe_of_any_length_is_a_few_buffers() {
    for role in BOTH {
        let heap = piped(Config::default, true, role);
        assert!(heap.peak < 1 << 20, "{heap:?}"); // and the states of zlib
    }
}

/// Nothing is allocated for a piece.
#[test]
fn a_reader_is_sent_without_an_allocation_for_each_piece() {
    struct Sink;

    impl Read for Sink {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    for role in BOTH {
        let sink = blocking::Plain(Sink);
        let mut ws = blocking::WebSocket::from_parts(sink, role, quiet(), Vec::new());
        ws.send_reader(io::repeat(1).take(1 << 20)).unwrap();
        for size in [1 << 20, 16 << 20] {
            let (sent, heap) = measure(|| ws.send_reader(io::repeat(1).take(size)));
            assert_eq!(sent.unwrap(), size);
            println!("{role:?}, {size} bytes: {heap:?}");
            assert_eq!(heap.calls, 1, "the buffer for the source: {heap:?}");
            assert!(heap.peak <= 64 << 10, "{heap:?}");
        }
    }
}

/// An upload that takes longer than any timer, to a peer that says nothing but its pongs,
/// from a source that is slow or to a receiver that is: nobody is given up.
#[test]
fn a_transfer_of_an_hour_outlives_keepalive() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let slow = async || tokio::time::sleep(Duration::from_secs(7)).await;
    for (source_is_slow, role) in
        [(true, Role::Client), (false, Role::Client), (false, Role::Server)]
    {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        type Piped = fullduplex::tokio::WebSocket<tokio::io::DuplexStream>;
        // The last pieces are still with a slow receiver when the sender closes.
        let config = || Config::default().close_timeout(Duration::from_secs(60));
        let ws = |stream, role| Piped::from_parts(stream, role, config(), Vec::new());
        let (mut sender, mut receiver) = (ws(ours, role), ws(theirs, other(role)));
        let pieces = stream::unfold(0, async |count| {
            if source_is_slow {
                slow().await;
            }
            (count < 500).then_some((Ok::<_, Infallible>(vec![1; 2_000]), count + 1))
        });
        runtime.block_on(async {
            let sending = async {
                sender.send_stream(pieces).await.unwrap();
                sender.close(CloseCode::NORMAL).await.unwrap();
            };
            let receiving = async {
                let mut received = 0;
                while let Some(chunk) = receiver.recv_chunk().await.unwrap() {
                    received += chunk.len();
                    if !source_is_slow {
                        slow().await;
                    }
                }
                assert_eq!(received, 1_000_000);
            };
            let start = tokio::time::Instant::now();
            futures_util::future::join(sending, receiving).await;
            assert!(start.elapsed().as_secs() > 3_000, "{:?}", start.elapsed());
        });
    }
}
