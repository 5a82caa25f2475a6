//! What of the caller's own runs in the middle of a call may panic: handlers, streams, sources, mask
//! keys, whoever traces. Who catches that goes on with a connection on which nothing is lost, doubled
//! or garbled. And the end of a thread, where what belongs to the thread is gone.
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::{BOTH, frame, frames, split};
use core::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use fullduplex::{
    CloseCode, Closed, Config, Connection, Error, Event, Incoming, Input, Message, Role, blocking,
    tokio::WebSocket,
};
use std::{
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
    thread,
};
use support::{Script, Step, on_all, paused, poll_times, quiet, run};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is thrown here.
struct Thrown;

/// Panics, without a word.
fn throw() -> ! {
    std::panic::resume_unwind(Box::new(Thrown))
}

/// Whether `work` threw.
fn throws<R>(work: impl FnOnce() -> R) -> bool {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(_) => false,
        Err(thrown) if thrown.is::<Thrown>() => true,
        Err(other) => panic_any(other),
    }
}

/// D1: a handler that panics has seen its message, and no other.
#[test]
fn a_handler_that_panics() {
    let texts = ["one", "two é", "three", "four"];
    for role in BOTH {
        for panics_at in 0..texts.len() {
            let script = || {
                let wire: Vec<u8> =
                    texts.iter().flat_map(|text| frame(role, 0x81, text.as_bytes())).collect();
                Script::reading([Step::Bytes(wire), Step::Eof])
            };
            on_all(role, &quiet(), script, |ws, script| {
                let mut seen = Vec::new();
                assert!(throws(|| ws.run(&mut |message, out| {
                    seen.push(message.as_text().unwrap().to_owned());
                    if seen.len() == panics_at + 1 {
                        throw();
                    }
                    out.feed(message)
                })));
                assert_eq!(seen, texts[..=panics_at]);
                let (rest, end) = ws.recv_all();
                assert!(matches!(end, Err(Error::Abnormal)), "{end:?}");
                assert_eq!(
                    rest,
                    texts[panics_at + 1..].iter().map(|t| (*t).into()).collect::<Vec<Message>>()
                );
                assert_eq!(ws.stats().messages_received, texts.len() as u64);
                let answers = split(role, &script.written());
                assert_eq!(answers.len(), panics_at, "what was fed before it");
            });
        }
    }
}

/// D1: any handler may panic at any message, again and again, whatever the cuts are: all messages are
/// seen, once.
#[test]
fn handlers_that_panic_now_and_then() {
    let messages: Vec<Vec<u8>> = (0..200_usize).map(|i| vec![i as u8; i * i % 700]).collect();
    for role in BOTH {
        for seed in 1..20 {
            let script = || {
                let mut dice = common::Random::new(seed);
                let mut wire = Vec::new();
                for (i, message) in messages.iter().enumerate() {
                    if i % 3 == 0 {
                        wire.extend(frame(role, 0x89, b"ping"));
                    }
                    let cut = message.len() / 2;
                    if i % 5 == 0 {
                        wire.extend(frames(
                            role,
                            &[(0x02, &message[..cut]), (0x80, &message[cut..])],
                        ));
                    } else {
                        wire.extend(frame(role, 0x82, message));
                    }
                }
                let mut steps = Vec::new();
                while !wire.is_empty() {
                    let size = (1 + dice.size(9_000)).min(wire.len());
                    steps.push(Step::Bytes(wire.drain(..size).collect()));
                }
                steps.push(Step::Eof);
                Script::reading(steps)
            };
            on_all(role, &quiet(), script, |ws, _| {
                let (mut dice, mut seen) = (common::Random::new(!seed), Vec::new());
                while throws(|| {
                    ws.run(&mut |message, _| {
                        seen.push(message.as_bytes().to_vec());
                        if dice.below(4) == 0 { throw() } else { Ok(()) }
                    })
                }) {}
                assert_eq!(seen, messages);
                assert_eq!(ws.stats().messages_received, 200);
            });
        }
    }
}

/// D1: a stream that panics in the middle of a message that is read straight into its place.
struct Throwing {
    script: Script,
    /// Which of the next reads panics.
    read: Arc<AtomicI32>,
}

impl AsyncRead for Throwing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.fetch_sub(1, Ordering::Relaxed) == 1 {
            buffer.put_slice(b"not to be seen");
            throw();
        }
        Pin::new(&mut self.script).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Throwing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.script).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.script).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.script).poll_shutdown(cx)
    }
}

#[test]
fn a_stream_that_panics_in_a_read() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let large: Vec<u8> = (0..300_000).map(|i| (i % 251) as u8).collect();
        let wire = [frame(role, 0x82, b"small"), frame(role, 0x82, &large)].concat();
        for read in 1..8 {
            let script =
                Script::reading(wire.chunks(60_000).map(|piece| Step::Bytes(piece.into())));
            let stream = Throwing { script, read: Arc::new(AtomicI32::new(read)) };
            let mut ws = WebSocket::from_parts(stream, role, quiet(), []);
            let (mut seen, mut thrown) = (Vec::new(), 0);
            while seen.len() < 2 {
                match catch_unwind(AssertUnwindSafe(|| run(ws.recv()))) {
                    Ok(message) => seen.push(message.unwrap().unwrap()),
                    Err(_) => thrown += 1,
                }
            }
            assert_eq!((seen[0].as_bytes(), thrown <= 1), (&b"small"[..], true));
            assert!(seen[1].as_bytes() == large, "{read}");
        }
    }
}

/// D1: what a writer that closes has kept for the reader is still there when the stream panics.
#[test]
fn a_stream_that_panics_in_a_close() {
    let runtime = paused();
    let _time = runtime.enter();
    let role = Role::Server;
    let script = Script::reading([Step::Bytes(frame(role, 0x81, b"first"))]);
    let read = Arc::<AtomicI32>::default();
    let stream = Throwing { script: script.clone(), read: read.clone() };
    let (mut reader, writer) = WebSocket::from_parts(stream, role, quiet(), []).split();
    assert!(poll_times(writer.close(CloseCode::NORMAL), 1).is_none());
    script.arrive(frame(role, 0x81, b"second"));
    read.store(1, Ordering::Relaxed);
    assert!(throws(|| poll_times(writer.close(CloseCode::NORMAL), 1)));
    assert_eq!(run(reader.recv()).unwrap(), Some("first".into()));
    assert_eq!(run(reader.recv()).unwrap(), Some("second".into()));
}

/// D1: a writer whose poll panics while it waits for room leaves its turn to the others.
#[test]
fn a_stream_that_panics_under_a_writer_that_waits() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().writes = [Step::Stall].into();
        let stream = Throwing { script: script.clone(), read: Arc::new(AtomicI32::new(1)) };
        let config = quiet().max_unsent(10);
        let (_reader, writer) = WebSocket::from_parts(stream, role, config, []).split();
        let other = writer.clone();
        writer.feed("much too much").unwrap();
        assert!(throws(|| poll_times(writer.send("never sent"), 1)));
        let mut sending = Box::pin(other.send("sent"));
        let (woken, waker) = support::Woken::new();
        let cx = &mut Context::from_waker(&waker);
        assert!(sending.as_mut().poll(cx).is_pending());
        script.go_on(|state| state.writes.clear());
        assert!(woken.take() > 0);
        assert!(sending.as_mut().poll(cx).is_ready(), "it waits for one who is gone");
        let written = split(role, &script.written());
        assert_eq!(written[1].1, b"sent");
    }
}

/// D1: sources that panic leave a message that can be gone on with.
#[test]
fn sources_that_panic() {
    let runtime = paused();
    let _time = runtime.enter();
    let pieces = || (0..4).map(|i| if i == 2 { throw() } else { format!("{i} ") });
    for role in BOTH {
        let script = Script::new();
        let mut ws = support::tokio_over(&script, role, quiet());
        assert!(throws(|| run(ws.send_iter(pieces()))));
        assert!(ws.is_in_fragments());
        run(ws.send_iter(["end"])).unwrap();
        let stream = futures_util::stream::iter(pieces());
        assert!(throws(|| run(
            ws.send_stream(futures_util::StreamExt::map(stream, Ok::<_, Infallible>))
        )));
        assert!(ws.is_in_fragments());
        run(ws.send_fragment("end", true)).unwrap();
        run(ws.send("whole")).unwrap();
        let (reader, writer) = ws.split();
        assert!(throws(|| run(writer.send_iter(pieces()))));
        run(writer.send_fragment("end", true)).unwrap();
        let other = writer.clone();
        assert!(throws(|| run(other.send_iter((0..1).map(|_| -> &str { throw() })))));
        run(writer.send("whole")).unwrap();
        drop(reader);
        let mut peer = common::connection(common::other(role), quiet());
        let wire = script.written();
        let (events, error) = common::receive(&mut peer, &wire, usize::MAX, common::watch);
        let texts: Vec<String> = events
            .iter()
            .filter_map(common::message)
            .map(|message| message.as_text().unwrap().into())
            .collect();
        assert_eq!(texts, ["0 end", "0 1 end", "whole", "0 end", "whole"]);
        assert!(error.is_ok());
    }
    struct Source(u32);
    impl io::Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                2 => throw(),
                4.. => Ok(0),
                _ => {
                    buffer[..3].fill(self.0 as u8);
                    Ok(3)
                }
            }
        }
    }
    let script = Script::new();
    script.state().blocking = true;
    let mut ws = blocking::WebSocket::from_parts(script.clone(), Role::Server, quiet(), []);
    let mut source = Source(0);
    assert!(throws(|| ws.send_reader(&mut source)));
    ws.send_reader(&mut source).unwrap();
    assert_eq!(
        split(Role::Server, &script.written()),
        [(0x02, vec![1; 3]), (0x00, vec![3; 3]), (0x80, vec![])]
    );
}

/// Mask keys, of which one panics.
struct Keys {
    drawn: u32,
    panics_at: Arc<AtomicU32>,
}

impl rand::TryRng for Keys {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.drawn += 1;
        if self.panics_at.load(Ordering::Relaxed) == self.drawn {
            throw();
        }
        Ok(self.drawn)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.try_next_u32()?.into())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(1);
        Ok(())
    }
}

impl rand::TryCryptoRng for Keys {}

/// A client whose key with this number panics, and a server for it.
fn ends(config: &Config, panics_at: u32, compressed: bool) -> (Connection, Connection) {
    let keys = Keys { drawn: 0, panics_at: Arc::new(AtomicU32::new(panics_at)) };
    let client = Connection::client_with_keys(config.clone(), keys);
    let server = Connection::server(config.clone());
    #[cfg(feature = "deflate")]
    if compressed {
        let settings = fullduplex::deflate::Deflate::default().threshold(0);
        let theirs = settings.accept(&settings.offers()).unwrap();
        let ours = settings.agreed(&[theirs.to_extension()]).unwrap();
        return (client.with_deflate(ours).unwrap(), server.with_deflate(theirs).unwrap());
    }
    assert!(!compressed || cfg!(not(feature = "deflate")));
    (client, server)
}

/// Lets everything arrive that waits to be written, though the keys of its fragments may panic.
fn deliver(client: &mut Connection, server: &mut Connection) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    loop {
        let mut wire = Vec::new();
        let _ = throws(|| {
            let mut outbox = client.outbox();
            wire = outbox.chunk().to_vec();
            outbox.advance(wire.len());
        });
        if wire.is_empty() && client.unsent().bytes == 0 {
            return events;
        }
        let mut input = Input::new(&mut wire);
        while let Some(event) = server.receive(&mut input).expect("frames in order") {
            events.push(event.into_owned());
        }
    }
}

/// D1: a generator of mask keys that panics has queued nothing and changed nothing; of a message in
/// fragments every one comes.
#[test]
fn mask_keys_that_panic() {
    let large: Vec<u8> = (0..100_000_u32).map(|i| (i % 241) as u8).collect();
    for (compressed, panics_at) in
        [false, true].into_iter().flat_map(|c| (1..14).map(move |n| (c, n)))
    {
        let config = quiet().max_sent_frame(30_000);
        let (mut client, mut server) = ends(&config, panics_at, compressed);
        let mut expected: Vec<Event<'static>> = Vec::new();
        let mut seen = Vec::new();
        let message = |bytes: &[u8]| Event::Message(Incoming::Binary(bytes.to_vec().into()));
        let mut steps = 0;
        // Once more after it has thrown.
        let mut again = |client: &mut Connection, work: &mut dyn FnMut(&mut Connection)| {
            let before = (client.stats(), client.unsent(), client.is_in_fragments());
            steps += 1;
            if throws(|| work(client)) {
                let after = (client.stats(), client.unsent(), client.is_in_fragments());
                assert_eq!(before, after, "step {steps} changed something");
                work(client);
            }
        };
        for round in 0..2_u8 {
            again(&mut client, &mut |client| client.feed(vec![round; 300]).unwrap());
            expected.push(message(&[round; 300]));
            again(&mut client, &mut |client| {
                client.feed_fragment(vec![round; 200], false).unwrap()
            });
            again(&mut client, &mut |client| {
                client.ping(fullduplex::frame::ControlPayload::new(&[round]).unwrap()).unwrap();
            });
            expected.push(Event::Ping(vec![round].into()));
            again(&mut client, &mut |client| client.feed_fragment(vec![round; 100], true).unwrap());
            expected.push(message(&[round; 300]));
            again(&mut client, &mut |client| client.feed(large.clone()).unwrap());
            expected.push(message(&large));
            seen.extend(deliver(&mut client, &mut server));
        }
        again(&mut client, &mut |client| client.start_close(None).unwrap());
        expected.push(Event::Close(None));
        seen.extend(deliver(&mut client, &mut server));
        assert!(seen == expected, "{panics_at} {compressed}");
    }
}

/// D1: what was received was received, although the key of the answer panics: a Close ends the
/// connection, and so does a violation.
#[test]
fn section_7_answers_whose_keys_panic() {
    for (wire, clean) in [(&b"\x88\x00"[..], true), (b"\x83\x00", false), (b"\x81\x01\xff", false)]
    {
        let (mut client, _) = ends(&quiet(), 1, false);
        let mut wire = wire.to_vec();
        assert!(throws(|| client.receive(&mut Input::new(&mut wire)).is_ok()));
        assert!(!client.is_open());
        let mut more = b"\x81\x01x".to_vec();
        let later = client.receive(&mut Input::new(&mut more));
        assert!(!matches!(later, Ok(Some(_))), "it goes on behind the end: {later:?}");
        client.transport_failed();
        assert_eq!(client.closed().is_some_and(Closed::is_clean), clean);
    }
    // A ping whose pong cannot be made is gone, and the next one is answered.
    let (mut client, _) = ends(&quiet(), 1, false);
    let mut wire = frames(Role::Client, &[(0x89, b"1"), (0x89, b"2"), (0x81, b"x")]);
    let mut input = Input::new(&mut wire);
    assert!(throws(|| client.receive(&mut input).is_ok()));
    assert!(matches!(client.receive(&mut input), Ok(Some(Event::Ping(_)))));
    assert!(matches!(client.receive(&mut input), Ok(Some(Event::Message(_)))));
}

/// D1: whoever traces is told last, so what was found out is not lost when that panics.
#[cfg(feature = "tracing")]
#[test]
fn subscribers_that_panic() {
    use tracing::{Metadata, Subscriber, field::Field, field::Visit, span};

    struct Throws;

    struct Find(bool);

    impl Visit for Find {
        fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
            self.0 |= field.name() == "message" && format!("{value:?}") == "stream failed";
        }
    }

    impl Subscriber for Throws {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut find = Find(false);
            event.record(&mut find);
            if find.0 {
                throw();
            }
        }

        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    tracing::subscriber::with_default(Throws, || {
        for role in BOTH {
            let reset = || Step::Error(io::ErrorKind::ConnectionReset);
            let script =
                || Script::reading([reset(), Step::Bytes(frame(role, 0x81, b"x")), Step::Eof]);
            on_all(role, &quiet(), script, |ws, _| {
                assert!(throws(|| ws.recv()));
                let end = ws.recv();
                assert!(
                    matches!(&end, Err(Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset),
                    "{end:?}"
                );
            });
            let script = || {
                let script = Script::reading([Step::Bytes(frame(role, 0x81, b"x")), Step::Eof]);
                script.state().writes = [reset()].into();
                script
            };
            on_all(role, &quiet(), script, |ws, _| {
                ws.feed("lost".into()).unwrap();
                assert!(throws(|| ws.flush()));
                assert!(matches!(ws.flush(), Err(Error::Io(_))));
                assert_eq!(ws.recv().unwrap(), Some("x".into()));
            });
        }
    });
}

/// D8: a client that sends, receives and connects while its thread ends, in whatever order things of
/// the thread go.
#[test]
fn a_client_in_a_destructor_of_its_thread() {
    struct AtEnd(u32);

    thread_local! {
        static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }

    fn work() {
        let config = quiet();
        #[cfg(feature = "deflate")]
        let config = config.deflate(fullduplex::deflate::Deflate::default());
        let mut core = Connection::client(config.clone());
        #[cfg(feature = "deflate")]
        {
            let settings = fullduplex::deflate::Deflate::default();
            let theirs = settings.accept(&settings.offers()).unwrap();
            core = core.with_deflate(settings.agreed(&[theirs.to_extension()]).unwrap()).unwrap();
        }
        for i in 0..200 {
            core.feed(format!("more keys than are drawn at once, {i}").repeat(5)).unwrap();
        }
        let script = Script::reading([
            Step::Bytes(frame(Role::Client, 0x81, b"hello")),
            Step::Bytes(frame(Role::Client, 0x82, &[7; 5_000])),
            Step::Eof,
        ]);
        script.state().blocking = true;
        let mut ws =
            blocking::WebSocket::from_parts(script.clone(), Role::Client, config.clone(), []);
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        for _ in 0..100 {
            ws.send("hello").unwrap();
        }
        let (mut reader, writer) = ws.split();
        for _ in 0..100 {
            writer.send("hello").unwrap();
        }
        assert_eq!(reader.recv().unwrap().map(|message| message.len()), Some(5_000));
        assert_eq!(split(Role::Client, &script.written()).len(), 200);
        let refused = blocking::client(script.clone(), "ws://example.com/", config);
        assert!(refused.is_err(), "no server is there");
    }

    impl Drop for AtEnd {
        fn drop(&mut self) {
            let Self(order) = *self;
            work();
            println!("done in order {order}");
        }
    }

    for order in 0..3 {
        thread::spawn(move || {
            if order == 1 {
                work(); // what we have of the thread is there first, and goes last or first
            }
            if order == 2 {
                let _ = rand::rng();
            }
            AT_END.with(|at_end| *at_end.borrow_mut() = Some(AtEnd(order)));
            if order == 0 {
                work();
            }
        })
        .join()
        .unwrap();
    }
}
