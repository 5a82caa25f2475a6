//! The blocking adapter over real sockets: deadlines that hold while a call blocks, streams that
//! cannot have any, and streams that the caller made non-blocking.
#![cfg(feature = "std")]

use crate::{common, support};

use common::{BOTH, frame, split};
use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Error, Keepalive, Message, Role, TimeoutError,
    blocking::{Plain, Timeouts, WebSocket},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    thread,
    time::Instant,
};
use support::{quiet, read_all, tcp_pair, watchdog};

fn quick() -> Config {
    // Nothing is allowed for what the sockets hold: that is for `laws/keepalive_path.rs`.
    let keepalive = Keepalive::every(Duration::from_millis(20))
        .pong_timeout(Duration::from_millis(30))
        .slowest_path(u32::MAX);
    Config::default().keepalive(keepalive).close_timeout(Duration::from_millis(30))
}

/// §5.5.2: a receive that blocks sends a ping when its time has come, and ends when no pong comes.
#[test]
fn section_5_5_2_keepalive_runs_while_a_receive_blocks() {
    let _watchdog = watchdog();
    for role in BOTH {
        let (ours, theirs) = tcp_pair();
        let mut ws = WebSocket::from_parts(ours, role, quick(), []);
        let start = Instant::now();
        let end = ws.recv();
        assert!(matches!(end, Err(Error::Timeout(TimeoutError::Pong))), "{end:?}");
        assert!(start.elapsed() >= Duration::from_millis(50), "too early");
        assert_eq!(ws.closed(), Some(&Closed::TimedOut(TimeoutError::Pong)));
        drop(ws);
        let (written, _) = read_all(&theirs);
        let frames = split(role, &written);
        assert_eq!(frames.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [0x89, 0x88]);
    }
}

/// A peer that answers lives on: several pings, then a message.
#[test]
fn section_5_5_3_a_peer_that_answers_pings_lives() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = tcp_pair();
    let keepalive = Keepalive::every(Duration::from_millis(10));
    let mut ws = WebSocket::from_parts(ours, Role::Server, quiet().keepalive(keepalive), []);
    let peer = thread::spawn(move || {
        for _ in 0..5 {
            let mut ping = [0; 10];
            theirs.read_exact(&mut ping).unwrap();
            assert_eq!(ping[..2], [0x89, 8]);
            theirs.write_all(&frame(Role::Server, 0x8a, &ping[2..])).unwrap();
        }
        theirs.write_all(&frame(Role::Server, 0x81, b"alive")).unwrap();
        theirs
    });
    assert_eq!(ws.recv().unwrap(), Some("alive".into()));
    drop(peer.join().unwrap());
}

/// KNOWN-FAILURES 48: a send that blocks because the peer takes nothing ends, too.
#[test]
fn a_send_to_a_peer_that_takes_nothing_ends() {
    let _watchdog = watchdog();
    let (ours, _theirs) = tcp_pair();
    let mut ws = WebSocket::from_parts(ours, Role::Server, quick(), []);
    let end = loop {
        if let Err(end) = ws.send(Message::from(vec![0; 1 << 20])) {
            break end;
        }
    };
    assert!(matches!(end, Error::Timeout(TimeoutError::Pong)), "{end:?}");
}

#[test]
fn an_idle_timeout_runs_while_a_receive_blocks() {
    let _watchdog = watchdog();
    let (ours, theirs) = tcp_pair();
    let config =
        quiet().idle_timeout(Duration::from_millis(20)).close_timeout(Duration::from_millis(20));
    let mut ws = WebSocket::from_parts(ours, Role::Server, config, []);
    assert!(matches!(ws.recv(), Err(Error::Timeout(TimeoutError::Idle))));
    drop(ws);
    assert_eq!(read_all(&theirs).0[..4], [0x88, 14, 0x03, 0xe9]);
}

/// A stream without timeouts: keepalive does not interrupt a read, and messages come as ever.
/// Deadlines are looked at between reads.
#[test]
fn a_plain_stream_has_no_deadlines_while_it_blocks() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = tcp_pair();
    let ours = Plain(ours);
    assert!(!ours.has_timeouts());
    assert!(ours.set_read_timeout(Some(Duration::from_secs(1))).is_ok());
    let mut ws = WebSocket::from_parts(ours, Role::Server, quick(), []);
    theirs.write_all(&frame(Role::Server, 0x81, b"hello")).unwrap();
    assert_eq!(ws.recv().unwrap(), Some("hello".into()));
    assert_eq!(ws.get_ref().0.read_timeout().unwrap(), None, "not even asked");
    ws.send("world").unwrap();
    let mut echo = [0; 7];
    theirs.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\x81\x05world");
    drop(theirs);
    assert!(matches!(ws.recv(), Err(Error::Abnormal)));
}

/// A socket that the caller made non-blocking: `WouldBlock` comes out at once, with and without
/// deadlines, and nothing is lost.
#[test]
fn a_non_blocking_socket_says_would_block() {
    let _watchdog = watchdog();
    for config in [quiet(), Config::default()] {
        let (ours, mut theirs) = tcp_pair();
        ours.set_nonblocking(true).unwrap();
        let mut ws = WebSocket::from_parts(ours, Role::Server, config, []);
        for _ in 0..3 {
            let blocked = ws.recv();
            assert!(
                matches!(&blocked, Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock),
                "{blocked:?}"
            );
            assert!(!blocked.unwrap_err().is_closed());
        }
        let wire = frame(Role::Server, 0x81, b"hello");
        for byte in wire {
            theirs.write_all(&[byte]).unwrap();
            theirs.flush().unwrap();
            // It is there once `peek` sees it.
            while ws.get_ref().peek(&mut [0]).is_err() {
                thread::yield_now();
            }
            match ws.recv() {
                Ok(Some(message)) => assert_eq!(message, Message::from("hello")),
                Ok(None) => panic!("closed"),
                Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                Err(error) => panic!("{error:?}"),
            }
        }
        // A message that does not go out whole is queued, and goes out once with later calls.
        let sent = ws.send(Message::from(vec![7; 8 << 20]));
        assert!(
            matches!(&sent, Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock),
            "{sent:?}"
        );
        let peer = thread::spawn(move || {
            let mut bytes = vec![0; 10 + (8 << 20)];
            theirs.read_exact(&mut bytes).unwrap();
            theirs.set_nonblocking(true).unwrap();
            let more = theirs.read(&mut [0]).map_err(|error| error.kind());
            assert_eq!(more, Err(ErrorKind::WouldBlock), "it came twice");
            split(Role::Server, &bytes)
        });
        while let Err(error) = ws.flush() {
            let Error::Io(error) = error else { panic!("{error:?}") };
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            thread::yield_now();
        }
        assert_eq!(peer.join().unwrap(), [(0x82, vec![7; 8 << 20])]);
    }
}

/// What is taken apart is as it was: without the timeouts that the adapter needed.
#[test]
fn parts_have_no_timeouts_left() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = tcp_pair();
    let mut ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
    theirs.write_all(&frame(Role::Server, 0x81, b"hello")).unwrap();
    assert_eq!(ws.recv().unwrap(), Some("hello".into()));
    ws.send("hello").unwrap();
    assert!(ws.get_ref().read_timeout().unwrap().is_some(), "keepalive limits reads");
    let stream = ws.into_parts().stream;
    assert_eq!(stream.read_timeout().unwrap(), None);
    assert_eq!(stream.write_timeout().unwrap(), None);
}

/// A reference to a socket is a stream, too, so another thread can hang it up.
#[test]
fn another_thread_ends_a_receive_that_blocks() {
    let _watchdog = watchdog();
    let (ours, theirs) = tcp_pair();
    thread::scope(|scope| {
        let mut ws = WebSocket::from_parts(&ours, Role::Server, Config::default(), []);
        let receiver = scope.spawn(move || ws.recv());
        ours.shutdown(Shutdown::Both).unwrap();
        assert!(matches!(receiver.join().unwrap(), Err(Error::Abnormal | Error::Io(_))));
    });
    drop(theirs);
}

/// Streams behind a pointer have the deadlines of the stream itself.
#[test]
fn a_stream_behind_a_pointer_has_deadlines() {
    let _watchdog = watchdog();
    fn ends(stream: impl Read + Write + Timeouts) {
        let mut ws = WebSocket::from_parts(stream, Role::Server, quick(), []);
        assert!(matches!(ws.recv(), Err(Error::Timeout(TimeoutError::Pong))));
    }
    let (mut ours, _theirs) = tcp_pair();
    ends(&mut ours);
    let (ours, _theirs) = tcp_pair();
    ends(&ours);
    let (ours, _theirs) = tcp_pair();
    ends(Box::new(ours));
}

/// `UnixStream` is like `TcpStream`.
#[cfg(unix)]
#[test]
fn a_unix_stream_has_deadlines_and_an_end() {
    let _watchdog = watchdog();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut ws = WebSocket::from_parts(ours, Role::Server, quick(), []);
    assert!(matches!(ws.recv(), Err(Error::Timeout(TimeoutError::Pong))));
    drop(theirs);

    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let client = thread::spawn(move || {
        let mut ws = WebSocket::from_parts(theirs, Role::Client, quiet(), []);
        ws.send("hello").unwrap();
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        ws.close(CloseCode::NORMAL).unwrap();
        ws.closed().unwrap().is_clean()
    });
    let mut ws = WebSocket::from_parts(&ours, Role::Server, quiet(), []);
    ws.run(|message, out| out.feed(message)).unwrap();
    assert!(client.join().unwrap());
}

/// Over a plain stream deadlines are looked at between one read and the next, though no read ever
/// waits: pings for ever do not keep an idle connection open.
#[test]
fn a_plain_stream_is_looked_at_between_reads() {
    struct Pings(Vec<u8>);
    impl Read for Pings {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[..self.0.len()].copy_from_slice(&self.0);
            Ok(self.0.len())
        }
    }
    impl Write for Pings {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let _watchdog = watchdog();
    for role in BOTH {
        let stream = Plain(Pings(frame(role, 0x89, b"on")));
        let config = quiet().idle_timeout(Duration::from_millis(20));
        let mut ws = WebSocket::from_parts(stream, role, config, []);
        assert!(matches!(ws.recv(), Err(Error::Timeout(TimeoutError::Idle))));
    }
}
