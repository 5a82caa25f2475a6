//! Messages that are prepared for many connections, not compressed: what is written, what is
//! shared, what it costs. `deflate/prepared.rs` has the compressed ones.

use crate::support::{
    self, BOTH, KEY, connection, drain, frame, heap::measure, other, receive, seconds, sent, watch,
};
use bytes::Buf;
use core::time::Duration;
use fullduplex::{
    CloseCause, Config, Connection, Message, MessageRef, Prepared, Role, SendErrorReason, Text,
    TimeoutError,
};

/// Around each length form, and around what is copied and what is shared.
const SIZES: [usize; 17] = [
    0, 1, 125, 126, 127, 1024, 4091, 4092, 4093, 16_379, 16_380, 16_381, 16_384, 65_535, 65_536,
    65_537, 200_000,
];

fn messages() -> impl Iterator<Item = Message> {
    SIZES.into_iter().flat_map(|size| {
        let text: String = ('a'..='z').cycle().take(size).collect();
        [Message::from(text.as_bytes()), Message::from(text)]
    })
}

fn is_send_and_sync(_: &(impl Send + Sync)) {}

/// The same bytes as from `send`, in both roles, whatever lies before and behind; a client's with
/// the same keys.
#[test]
fn what_is_written_is_what_send_writes() {
    for role in BOTH {
        for message in messages() {
            let prepared = Prepared::new(&message);
            is_send_and_sync(&prepared);
            assert_eq!(prepared.len(), message.len());
            assert_eq!(prepared.is_empty(), message.is_empty());
            assert_eq!(prepared.message(), MessageRef::from(&message));
            let config = Config::default().unsent_limit(usize::MAX);
            let mut ours = connection(role, config.clone());
            let mut reference = connection(role, config);
            for before in [None, Some("before")] {
                for advanced in [0, 1, 7] {
                    for each in [&mut ours, &mut reference] {
                        before.into_iter().for_each(|before| each.feed(before).unwrap());
                        let advanced = advanced.min(each.outbox().len());
                        each.outbox().advance(advanced);
                    }
                    for _ in 0..2 {
                        ours.feed(&prepared).unwrap();
                        reference.feed(&message).unwrap();
                    }
                    for each in [&mut ours, &mut reference] {
                        each.feed("behind").unwrap();
                        assert_eq!(each.is_ready(), each.unsent().bytes < 256 << 10);
                    }
                    assert_eq!(ours.outbox().len(), reference.outbox().len());
                    assert!(drain(&mut ours) == drain(&mut reference), "{role:?} {message:?}");
                }
            }
        }
    }
}

#[test]
fn everything_that_can_be_sent_can_be_prepared() {
    let text = "grüße";
    let texts: [Prepared; 4] =
        [text.into(), text.to_string().into(), Text::from(text).into(), Message::from(text).into()];
    for prepared in texts {
        assert_eq!(prepared.message(), MessageRef::Text(text));
        assert_eq!(format!("{:?}", prepared.clone()), "Prepared(Text(7 bytes))");
    }
    for prepared in [Prepared::from(&b"abc"[..]), vec![b'a', b'b', b'c'].into(), b"abc".into()] {
        assert_eq!(prepared.message(), MessageRef::Binary(b"abc"));
        assert_eq!(format!("{prepared:?}"), "Prepared(Binary(3 bytes))");
    }
}

/// What is large lies in one place for all, and goes out in one piece with its head.
#[test]
fn connections_share_what_is_large() {
    // Whether it is shared if nothing else waits, and if something does.
    for (size, alone, behind) in
        [(1024, false, false), (5_000, true, false), (16_384, true, true), (100_000, true, true)]
    {
        let prepared = Prepared::new(vec![7; size]);
        let place = |before: &[u8]| {
            let mut server = Connection::server(Config::default());
            if !before.is_empty() {
                server.feed(before).unwrap();
            }
            server.feed(&prepared.clone()).unwrap();
            if !before.is_empty() {
                server.outbox().advance(2 + before.len());
            }
            assert_eq!(server.outbox().chunk().len(), server.outbox().len());
            let place = server.outbox().chunk().as_ptr();
            (server, place)
        };
        for (before, shared) in [(&b""[..], alone), (b"before", behind)] {
            let (one, other) = (place(before), place(before));
            assert_eq!(one.1 == other.1, shared, "{size} {before:?}");
        }
    }
}

/// What is too large for a frame of this connection goes out in fragments here, and only here.
#[test]
fn what_is_too_large_for_a_frame_is_cut() {
    let prepared = Prepared::new("to be continued");
    for role in BOTH {
        for (most, frames) in [(15, 1), (14, 2)] {
            let mut connection = connection(role, Config::default().max_sent_frame_size(most));
            connection.feed(&prepared).unwrap();
            let frames_sent = sent(&mut connection);
            assert_eq!(frames_sent.len(), frames);
            let text: Vec<u8> = frames_sent.into_iter().flat_map(|(_, piece)| piece).collect();
            assert_eq!(text, b"to be continued");
        }
    }
}

/// It is written though whoever prepared it is gone, and though pongs come between.
#[test]
fn what_is_queued_needs_nobody_else() {
    for size in [10, 5_000, 70_000] {
        let mut server = Connection::server(Config::default());
        let ping = frame(Role::Server, 0x89, b"ping");
        let mut expected = Vec::new();
        for _ in 0..3 {
            server.feed(&Prepared::new(vec![7; size])).unwrap();
            receive(&mut server, &ping, usize::MAX, watch).1.unwrap();
            expected.extend(frame(Role::Client, 0x82, &vec![7; size]));
            expected.extend(frame(Role::Client, 0x8a, b"ping"));
        }
        assert!(drain(&mut server) == expected, "{size}");
    }
}

/// §5.3: a fresh key for each frame of a client, and the peer reads them.
#[test]
fn section_5_3_a_client_masks_each_by_itself() {
    let prepared = Prepared::new(vec![0; 20_000]);
    let mut client = connection(Role::Client, Config::default());
    let mut server = connection(Role::Server, Config::default());
    let mut keys = Vec::new();
    for _ in 0..10 {
        client.feed(&prepared).unwrap();
        let wire = drain(&mut client);
        keys.push(wire[4..8].to_vec());
        let (events, result) = receive(&mut server, &wire, 1_000, watch);
        assert_eq!((events.len(), result), (1, Ok(())));
    }
    keys.dedup();
    assert_eq!(keys.len(), 10);
    assert!(keys.iter().all(|key| key[..] != KEY));
}

/// Nothing changes, and once the reason is gone it is sent.
#[test]
fn what_is_refused_changes_nothing() {
    for role in BOTH {
        for size in [10, 5_000, 70_000] {
            let prepared = Prepared::new(vec![7; size]);
            let mut full = connection(role, Config::default().unsent_limit(5));
            full.feed("queued").unwrap();
            let mut unfinished = connection(role, Config::default());
            unfinished.feed_fragment(&b"a"[..], false).unwrap();
            let mut closed = connection(role, Config::default());
            closed.start_close(None).unwrap();
            for (mut connection, reason) in [
                (full, SendErrorReason::Full),
                (unfinished, SendErrorReason::Unfinished),
                (closed, SendErrorReason::Closed(CloseCause::Local)),
            ] {
                let queued = connection.outbox().len();
                for _ in 0..3 {
                    let refused = connection.feed(&prepared).unwrap_err();
                    assert_eq!(refused.reason, reason);
                    let [back, ours] = [refused.message.as_bytes(), prepared.message().as_bytes()];
                    assert_eq!(back.as_ptr(), ours.as_ptr(), "in the same memory");
                }
                assert_eq!(connection.outbox().len(), queued);
                if reason == SendErrorReason::Unfinished {
                    connection.feed_fragment(&b"b"[..], true).unwrap();
                }
                drain(&mut connection);
                let sent = connection.feed(&prepared);
                assert_eq!(sent.is_ok(), !matches!(reason, SendErrorReason::Closed(_)));
                let mut peer = support::connection(other(role), Config::default());
                let wire = drain(&mut connection);
                let (events, result) = receive(&mut peer, &wire, usize::MAX, watch);
                assert_eq!((events.len(), result), (usize::from(sent.is_ok()), Ok(())));
            }
        }
    }
}

/// It is a message as any other to the timers: one that was sent puts the idle timeout off.
#[test]
fn sending_it_is_activity() {
    for size in [10, 5_000, 70_000] {
        let config = Config::default().idle_timeout(Duration::from_secs(10));
        let mut server = Connection::server(config);
        server.handle_timeout(seconds(0.0)).unwrap();
        server.feed(&Prepared::new(vec![7; size])).unwrap();
        drain(&mut server);
        server.handle_timeout(seconds(10.0)).unwrap();
        server.handle_timeout(seconds(19.0)).unwrap();
        assert_eq!(server.handle_timeout(seconds(20.0)), Err(TimeoutError::Idle), "{size}");
    }
}

/// From many threads at once.
#[test]
fn threads_send_the_same() {
    let prepared = Prepared::new("a".repeat(20_000));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut server = Connection::server(Config::default());
                    server.feed(&prepared).unwrap();
                    assert_eq!(server.outbox().chunk()[4..], [b'a'; 20_000]);
                }
            });
        }
    });
}

/// What a broadcast to a thousand idle connections asks of the heap.
#[test]
fn allocations_of_a_broadcast() {
    const MEMBERS: usize = 1_000;
    let connect = || -> Vec<Connection> {
        (0..MEMBERS).map(|_| Connection::server(Config::default())).collect()
    };
    let to_all = |members: &mut [Connection], prepared: &Prepared, storage: &mut Vec<u8>| {
        measure(|| {
            for member in members {
                member.outbox().lend(core::mem::take(storage));
                member.feed(prepared).unwrap();
                let queued = member.outbox().remaining();
                member.outbox().advance(queued);
                *storage = member.outbox().reclaim().unwrap_or_default();
            }
        })
        .1
    };
    let (small, large) = (Prepared::new(vec![7; 1024]), Prepared::new(vec![7; 16 * 1024]));

    // Sockets that take it at once: none, with one buffer for all.
    let (mut members, mut storage) = (connect(), Vec::with_capacity(4096));
    let heap = to_all(&mut members, &small, &mut storage);
    println!("1 KiB to {MEMBERS} who take it at once: {heap:?}");
    assert_eq!((heap.calls, heap.kept), (0, 0));

    // Large: a list of what is shared, once.
    let first = to_all(&mut members, &large, &mut storage);
    let second = to_all(&mut members, &large, &mut storage);
    println!("16 KiB to {MEMBERS} who take it at once: {first:?}, then {second:?}");
    assert!(first.calls <= MEMBERS && first.kept <= 200 * MEMBERS as isize);
    assert_eq!((second.calls, second.kept), (0, 0));

    // Sockets that take nothing: storage for what is small, the list for what is large.
    for (prepared, each) in [(&small, 1024 + 14), (&large, 200)] {
        let mut members = connect();
        let (_, heap) = measure(|| {
            members.iter_mut().for_each(|member| member.feed(prepared).unwrap());
        });
        println!("{prepared:?} to {MEMBERS} who do not take it: {heap:?}");
        assert!(heap.calls <= MEMBERS && heap.kept <= (each * MEMBERS) as isize, "{heap:?}");
    }
}

/// Through both adapters.
#[cfg(feature = "tokio")]
mod adapters {
    use super::*;
    use crate::support::{Script, Step, paused, quiet, run, watchdog};
    use fullduplex::{CloseCode, Error, FlushPolicy, blocking, tokio};

    /// The same steps on a blocking connection and on one of tokio. `$ws` is the connection,
    /// `$script` its stream; what waits says `$wait`, which makes it a future where it has to be.
    macro_rules! on_both {
        ($config:expr, $reads:expr, |$ws:ident, $script:ident, $wait:ident| $steps:block) => {{
            let _watchdog = watchdog();
            let from = || Script::reading($reads);
            {
                macro_rules! $wait {
                    ($call:expr) => {
                        $call
                    };
                }
                let $script = from();
                $script.state().blocking = true;
                let stream = $script.clone();
                #[allow(unused_mut)]
                let mut $ws =
                    blocking::WebSocket::from_parts(stream, Role::Server, $config, Vec::new());
                $steps
            }
            {
                macro_rules! $wait {
                    ($call:expr) => {
                        run($call)
                    };
                }
                let runtime = paused();
                let _time = runtime.enter();
                let $script = from();
                let stream = $script.clone();
                let mut $ws =
                    tokio::WebSocket::from_parts(stream, Role::Server, $config, Vec::new());
                $steps
            }
        }};
    }

    fn nothing() -> [Step; 0] {
        []
    }

    /// `send` writes once and flushes, `feed` leaves it to the next flush.
    #[test]
    fn they_are_written_as_others_are() {
        for size in [10, 5_000, 70_000] {
            let prepared = Prepared::new(vec![7; size]);
            let one = frame(Role::Client, 0x82, &vec![7; size]);
            on_both!(quiet(), nothing(), |ws, script, wait| {
                script.state().vectored = false;
                wait!(ws.send(&prepared)).unwrap();
                assert!(script.written() == one && script.is_flushed());
                assert_eq!(script.state().write_calls, 1);
                ws.feed(&prepared).unwrap();
                assert_eq!(script.state().write_calls, 1);
                wait!(ws.flush()).unwrap();
                assert!(script.written() == one.repeat(2) && script.is_flushed());
                assert_eq!(script.state().write_calls, 2);
            });
            let config = quiet().flush_policy(FlushPolicy::BeforeWait);
            on_both!(config.clone(), nothing(), |ws, script, wait| {
                wait!(ws.send(&prepared)).unwrap();
                assert_eq!(script.state().write_calls, 0);
                wait!(ws.flush()).unwrap();
                assert!(script.written() == one);
            });
        }
    }

    /// From a handler, and what it gets back if it feeds too much.
    #[test]
    fn a_handler_feeds_them() {
        let prepared = Prepared::new("news");
        let wire = [frame(Role::Server, 0x81, b"?"), frame(Role::Server, 0x88, b"")].concat();
        let reads = || [Step::Bytes(wire.clone()), Step::Eof];
        on_both!(quiet().unsent_limit(6), reads(), |ws, script, wait| {
            wait!(ws.run(|_, out| {
                out.feed(&prepared)?;
                let Err(Error::Send(refused)) = out.feed(&prepared) else {
                    panic!("over the mark")
                };
                assert_eq!(refused.reason, SendErrorReason::Full);
                assert_eq!(refused.message, "news");
                out.start_close(CloseCode::NORMAL)?;
                assert!(matches!(out.feed(&prepared), Err(Error::Closed(_))));
                Ok(())
            }))
            .unwrap();
            let written = script.written();
            assert!(written.starts_with(b"\x81\x04news\x88\x02"), "{written:x?}");
        });
    }

    #[test]
    fn what_is_not_accepted_is_said() {
        let prepared = Prepared::new("news");
        on_both!(quiet().unsent_limit(6), nothing(), |ws, script, wait| {
            ws.feed(&prepared).unwrap();
            assert_eq!(ws.feed(&prepared).unwrap_err().reason, SendErrorReason::Full);
            // It waits for room first.
            wait!(ws.send(&prepared)).unwrap();
            assert_eq!(script.written(), b"\x81\x04news\x81\x04news");
            wait!(ws.send_fragment("a", false)).unwrap();
            let Err(Error::Send(refused)) = wait!(ws.send(&prepared)) else { panic!() };
            assert_eq!(refused.reason, SendErrorReason::Unfinished);
            wait!(ws.send_fragment("b", true)).unwrap();
            script.end();
            assert!(wait!(ws.recv()).is_err());
            let ended = SendErrorReason::Closed(CloseCause::Abnormal);
            assert_eq!(ws.feed(&prepared).unwrap_err().reason, ended);
            assert!(matches!(wait!(ws.send(&prepared)), Err(Error::Abnormal)));
        });
    }
}
