//! What no row of the tables is: which bytes a count is of, flushes that end late or never, streams
//! that are interrupted for ever, and sources that lie.

use super::{TOO_MANY, WAYS, Way, name, over, with_way};
use crate::{
    common::{BOTH, frame},
    support::{
        Script, Step, life::Receives, life::Sends, life::Whole, paused, poll_times, quiet, run,
        tokio_over, watchdog,
    },
};
use core::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use fullduplex::{
    Closed, Config, Error, Keepalive, Message, Role, TimeoutError,
    blocking::{self, Plain, Timeouts},
};
use std::io::{self, ErrorKind, Read, Write};

/// A write is given 16 pieces at most, or one: what a stream claims beyond them is a lie, though
/// more waits behind them; to believe it would put the middle of a message in the place of a head.
#[test]
fn what_is_claimed_is_counted_against_what_was_given() {
    fn case<W: Whole>(way: Way, (vectored, claim): (bool, usize)) {
        let script = Script::reading([Step::Eof]);
        script.state().vectored = vectored;
        let ws: W = over(&script, Role::Server);
        script.state().writes = [Step::Claims(claim)].into();
        fn fill_and_flush<S: Sends>(to: &mut S) -> Result<(), Error> {
            for _ in 0..20 {
                to.feed(Message::from(vec![1; 20_000])).unwrap();
            }
            run(to.flush())
        }
        let mut ws = ws;
        let flushed = match way.halves() {
            true => fill_and_flush(&mut ws.split().1),
            false => fill_and_flush(&mut ws),
        };
        let Err(error) = flushed else { panic!("{way:?}") };
        assert_eq!(name(&error), "Io(InvalidData)", "{way:?}");
        assert_eq!(script.written(), []);
    }
    let _watchdog = watchdog();
    for way in WAYS {
        with_way!(way, case((true, 200_000)));
        if way.is_tokio() {
            with_way!(way, case((false, 100)));
        }
    }
}

/// A flush may fail and say so once. Who waits for it is told, though more is queued behind it which
/// the stream does not take now.
#[test]
fn a_flush_that_fails_while_more_waits_is_told() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::new();
        script.state().flushes = [Step::Stall].into();
        let (mut reader, writer) = tokio_over(&script, role, quiet()).split();
        let mut first = core::pin::pin!(writer.send("first"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        writer.feed("second").unwrap();
        script.state().writes = [Step::Stall].into();
        script.state().flushes = [Step::Error(ErrorKind::BrokenPipe)].into();
        let Poll::Ready(Err(error)) = first.as_mut().poll(&mut cx) else { panic!("not told") };
        assert_eq!(name(&error), "Io(BrokenPipe)");
        assert!(run(writer.flush()).is_err());
        script.end();
        assert!(matches!(run(reader.recv()), Err(Error::Io(_))));
    }
}

/// The peer has sent its Close and ended its side before we could write: what is written then and
/// not flushed yet is waited for before the end is called clean.
#[test]
fn a_clean_end_waits_for_a_flush_behind_the_peers_end() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for (role, halves) in BOTH.into_iter().flat_map(|role| [(role, false), (role, true)]) {
        let reads = [Step::Bytes(frame(role, 0x88, b"")), Step::Pending, Step::Eof];
        let script = Script::reading(reads);
        script.state().writes = [Step::Stall].into();
        script.state().flushes = [Step::Stall].into();
        let mut ws = tokio_over(&script, role, quiet());
        ws.feed("ours").unwrap();
        fn receive<R: Receives>(from: &mut R, script: &Script) {
            assert!(poll_times(from.recv(), 5).is_none());
            script.go_on(|state| state.writes.clear());
            assert!(poll_times(from.recv(), 5).is_none(), "it is not flushed");
            assert_eq!(from.closed(), None);
            script.go_on(|state| state.flushes.clear());
            assert!(matches!(run(from.recv()), Ok(None)));
            assert!(from.closed().unwrap().is_clean());
            assert!(script.is_flushed());
        }
        match halves {
            true => receive(&mut ws.split().0, &script),
            false => receive(&mut ws, &script),
        }
    }
}

/// A flush that never ends keeps messages from being sure: when the time is up they are `Unsent`.
#[test]
fn a_flush_that_never_ends_is_not_a_clean_end() {
    let _watchdog = watchdog();
    for (role, sends) in BOTH.into_iter().flat_map(|role| [(role, false), (role, true)]) {
        let script = Script::reading([Step::Bytes(frame(role, 0x88, b""))]);
        script.state().flushes = [Step::Stall].into();
        let runtime = paused();
        runtime.block_on(async {
            let mut ws = tokio_over(&script, role, quiet());
            if sends {
                ws.feed("ours").unwrap();
            }
            let end = ws.recv().await;
            match sends {
                true => assert!(matches!(end, Err(Error::Unsent(_))), "{end:?}"),
                false => assert!(matches!(end, Ok(None)), "{end:?}"),
            }
        });
    }
}

/// A stream whose every read is interrupted.
struct Interrupted(Vec<u8>);

impl Read for Interrupted {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::Interrupted.into())
    }
}

impl Write for Interrupted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A read that is interrupted again and again is repeated, and keeps no deadline from passing.
#[test]
fn interruptions_for_ever_end_with_the_deadline() {
    let _watchdog = watchdog();
    let quick = Duration::from_millis(20);
    for role in BOTH {
        let keepalive = Keepalive::every(quick).pong_timeout(quick);
        let config = Config::default().keepalive(keepalive).close_timeout(quick);
        let stream = Plain(Interrupted(Vec::new()));
        let mut ws = blocking::WebSocket::from_parts(stream, role, config, []);
        assert!(matches!(ws.recv(), Err(Error::Timeout(TimeoutError::Pong))));
    }
    let config = quiet().handshake_timeout(quick);
    let mut stream = Plain(Interrupted(Vec::new()));
    let Err(error) = blocking::upgrade(&mut stream, config) else { panic!() };
    assert!(error.is_timeout(), "{error:?}");
    assert!(stream.0.0.starts_with(b"HTTP/1.1 408 "));
}

/// Where others have their turn between polls, one poll makes one call, not one after the other.
#[test]
fn an_interrupted_call_is_repeated_in_the_next_poll() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let script = Script::reading(vec![Step::Error(ErrorKind::Interrupted); 10]);
        let mut ws = tokio_over(&script, role, quiet());
        for left in (0..10).rev() {
            assert!(poll_times(ws.recv(), 1).is_none());
            assert_eq!(script.state().reads.len(), left);
        }
        let script = Script::new();
        script.state().writes = vec![Step::Error(ErrorKind::Interrupted); 10].into();
        let mut ws = tokio_over(&script, role, quiet());
        ws.feed("ours").unwrap();
        for left in (0..10).rev() {
            assert!(poll_times(ws.flush(), 1).is_none());
            assert_eq!(script.state().writes.len(), left);
        }
        assert!(run(ws.flush()).is_ok());
    }
}

/// A source that claims to have given more than there was room for, or gives something else, fails
/// as one does that says so; nothing of it is sent.
#[test]
fn a_source_that_lies_fails() {
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    fn check(sent: Result<u64, Error>, script: &Script) {
        let Err(Error::Other(error)) = sent else { panic!("{sent:?}") };
        let error = error.downcast::<io::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(script.written(), []);
    }
    let source = |size| Script::reading([Step::Claims(size), Step::Eof]);
    for size in [TOO_MANY, 1 << 20] {
        let script = Script::new();
        let mut ws = blocking::WebSocket::from_parts(script.clone(), Role::Server, quiet(), []);
        check(ws.send_reader(source(size)), &script);
        let script = Script::new();
        let mut ws = crate::support::futures_io_over(&script, Role::Server, quiet());
        check(run(ws.send_reader(source(size))), &script);
    }
    for size in [1, 64 * 1024, TOO_MANY] {
        let script = Script::new();
        let mut ws = tokio_over(&script, Role::Server, quiet());
        check(run(ws.send_reader(source(size))), &script);
    }
}

/// A source whose every read is interrupted lets others have their turn.
#[test]
fn a_source_that_is_interrupted_is_asked_again_in_the_next_poll() {
    struct Source(usize);
    impl tokio::io::AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0 += 1;
            Poll::Ready(Err(ErrorKind::Interrupted.into()))
        }
    }
    let _watchdog = watchdog();
    let runtime = paused();
    let _time = runtime.enter();
    let mut ws = tokio_over(&Script::new(), Role::Server, quiet());
    let mut source = Source(0);
    assert!(poll_times(ws.send_reader(&mut source), 10).is_none());
    assert!((1..=20).contains(&source.0), "{} reads in ten polls", source.0);
}

/// A stream that refuses the timeout of a call: the call is not made, and the connection is over.
#[test]
fn a_stream_that_refuses_timeouts_is_broken() {
    struct Refuses(Script, bool);
    impl Read for Refuses {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Refuses {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    impl Timeouts for Refuses {
        fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
            if self.1 { Err(ErrorKind::PermissionDenied.into()) } else { Ok(()) }
        }
        fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
            if self.1 { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
        }
    }
    for role in BOTH {
        let script = Script::reading([Step::Bytes(frame(role, 0x81, b"unread"))]);
        let stream = Refuses(script.clone(), true);
        let mut ws = blocking::WebSocket::from_parts(stream, role, Config::default(), []);
        let end = ws.recv();
        assert!(matches!(&end, Err(error) if name(error) == "Io(PermissionDenied)"), "{end:?}");
        assert_eq!(ws.closed(), Some(&Closed::Abnormal));
        assert_eq!(script.state().read_calls, 0);

        let script = Script::reading([Step::Bytes(frame(role, 0x81, b"there")), Step::Eof]);
        let stream = Refuses(script.clone(), false);
        let mut ws = blocking::WebSocket::from_parts(stream, role, Config::default(), []);
        let sent = ws.send("unwritten");
        assert!(matches!(&sent, Err(error) if name(error) == "Io(PermissionDenied)"), "{sent:?}");
        assert_eq!(script.written(), []);
        assert_eq!(ws.recv().unwrap(), Some("there".into()));
        assert!(ws.recv().is_err());
        assert_eq!(ws.closed(), Some(&Closed::Abnormal));
    }
}

/// A timeout that is the stream's own is no end: the call can be made again, with deadlines and
/// without.
#[test]
fn a_timeout_of_the_streams_own_would_block() {
    for (role, config) in
        BOTH.into_iter().flat_map(|role| [(role, quiet()), (role, Config::default())])
    {
        let timed_out = Step::Error(ErrorKind::TimedOut);
        let script = Script::reading([timed_out.clone(), Step::Bytes(frame(role, 0x81, b"late"))]);
        script.state().writes = [timed_out].into();
        let mut ws = blocking::WebSocket::from_parts(Plain(script.clone()), role, config, []);
        let received = ws.recv();
        assert!(matches!(&received, Err(error) if name(error) == "Io(WouldBlock)"), "{received:?}");
        assert_eq!(ws.recv().unwrap(), Some("late".into()));
        let sent = ws.send("ours");
        assert!(matches!(&sent, Err(error) if name(error) == "Io(WouldBlock)"), "{sent:?}");
        ws.flush().unwrap();
        assert!(script.is_flushed() && !script.written().is_empty());
    }
}
