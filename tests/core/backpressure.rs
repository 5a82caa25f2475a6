//! What waits to be written: from where on one ought to wait, what is refused, what never is, and
//! what is said of it once the connection is over.

use crate::common;

use bytes::{Buf, Bytes};
use common::{
    BOTH, Random, close_codes, connection, drain, frame, head, other, receive, seconds, sent, take,
    watch,
};
use core::{mem, time::Duration};
use fullduplex::{
    Closed, Config, Connection, Input, Keepalive, Message, Role, SendErrorReason, Transport,
    frame::ControlPayload,
};
use std::sync::Arc;

const KIB: usize = 1 << 10;
const SECOND: Duration = Duration::from_secs(1);

/// A connection in which `backlog` bytes wait: the end of a message.
fn with_backlog(role: Role, config: Config, backlog: usize) -> Connection {
    let mut connection = connection(role, config);
    if backlog > 0 {
        connection.feed(vec![0; backlog]).unwrap();
        let mut outbox = connection.outbox();
        outbox.advance(outbox.remaining() - backlog);
    }
    connection
}

/// D15: nothing overflows where messages that share their memory come to more than a platform of 32
/// bits can count in a `usize`; `usize::MAX` is a limit there like any other.
#[test]
fn a_backlog_of_more_than_4_gib() {
    const GIB: u64 = 1 << 30;
    let shared = Bytes::from(vec![0; 1 << 30]); // zeros that are never looked at
    for most in [None, Some(1 << 28)] {
        let config = Config::default().unsent_mark(usize::MAX).max_unsent(usize::MAX);
        let mut server = connection(Role::Server, config.max_sent_frame(most));
        let mut accepted = 0;
        while accepted < 6 && server.unsent().bytes < usize::MAX as u64 {
            assert!(server.is_ready());
            server.feed(&shared).unwrap();
            accepted += 1;
            assert_eq!(server.unsent().messages, accepted);
            assert!((0..1000).contains(&(server.unsent().bytes - accepted * GIB)));
        }
        if accepted < 6 {
            assert_eq!(usize::BITS, 32);
            assert_eq!(server.feed(&shared).unwrap_err().reason, SendErrorReason::Full);
            assert!(!server.is_ready());
        }
        receive(&mut server, &frame(Role::Server, 0x89, b"ping"), 100, watch).1.unwrap();
        server.start_close(None).unwrap();
        let mut written = 0;
        while !server.outbox().is_empty() {
            let step = server.outbox().chunk().len();
            server.outbox().advance(step);
            written += step as u64;
        }
        assert_eq!((server.unsent(), server.stats().bytes_sent), (Default::default(), written));
        assert_eq!(server.stats().messages_sent, accepted);
        assert!((0..1000).contains(&(written - accepted * GIB)));
    }
}

/// Mark and limit at their borders, also where the mark is above the limit; and by default.
#[test]
fn mark_and_limit_at_their_borders() {
    let set = |mark, limit| (Config::default().unsent_mark(mark).max_unsent(limit), mark, limit);
    let configs = [
        set(10, 100),
        set(100, 100),
        set(100, 10),
        set(0, 0),
        set(0, 10),
        set(1, 1),
        (Config::default(), 256 * KIB, 1024 * KIB),
        (Config::default().unsent_mark(5), 5, 1024 * KIB),
        (Config::default().max_unsent(5), 256 * KIB, 5),
    ];
    let large = Bytes::from(vec![1; 100_000]);
    for (config, mark, limit) in configs {
        let borders = [mark, limit].map(|at| [at.saturating_sub(1), at, at + 1]);
        for backlog in borders.into_iter().flatten().chain([0, 1, 2 * limit]) {
            for role in BOTH {
                let what = format!("{role:?}: {backlog} of {mark} and {limit}");
                let new = || with_backlog(role, config.clone(), backlog);
                let ready = backlog == 0 || backlog < mark.min(limit);
                let accepts = backlog == 0 || backlog < limit;
                let accepted = if accepts { Ok(()) } else { Err(SendErrorReason::Full) };
                assert_eq!(new().is_ready(), ready, "{what}");
                assert_eq!(new().ping(ControlPayload::EMPTY), accepted, "{what}");
                let sends: [fn(&mut Connection, &Bytes) -> _; 4] = [
                    |connection, large| connection.feed(large),
                    |connection, large| connection.feed(large.slice(..0)),
                    |connection, large| connection.feed_fragment(large, false),
                    |connection, large| connection.feed_fragment(large.slice(..1), true),
                ];
                for send in sends {
                    let mut connection = new();
                    let result = send(&mut connection, &large);
                    let reason = result.as_ref().map(drop).map_err(|error| error.reason.clone());
                    assert_eq!(reason, accepted, "{what}");
                    let Err(error) = result else {
                        assert!(connection.outbox().len() > backlog);
                        continue;
                    };
                    let Message::Binary(back) = error.message else { panic!("not binary") };
                    assert!(large.as_ptr_range().contains(&back.as_ptr()) || back.is_empty());
                    assert_eq!(connection.outbox().len(), backlog, "nothing changed");
                    sent_behind(&mut connection, backlog);
                }
            }
        }
    }
}

/// Once `backlog` is written there is room again.
fn sent_behind(connection: &mut Connection, backlog: usize) {
    connection.outbox().advance(backlog);
    assert!(connection.is_ready());
    connection.feed("again").unwrap();
    assert_eq!(sent(connection), [(0x81, b"again".to_vec())]);
}

/// At the limit, with whatever is written in between: pings are answered, the newest one always,
/// and the Close goes out behind what waits.
#[test]
fn control_frames_are_never_starved() {
    for role in BOTH {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut connection =
                connection(role, Config::default().unsent_mark(100).max_unsent(1_000));
            let mut written = Vec::new();
            let mut newest = Vec::new();
            for number in 0..random.size(200) as u32 {
                while connection.feed(vec![1; random.below(500)]).is_ok() {}
                newest = number.to_be_bytes().to_vec();
                let ping = frame(role, 0x89, &newest);
                receive(&mut connection, &ping, usize::MAX, watch).1.unwrap();
                written.extend(take(&mut connection, random.below(700)));
                // A message of up to 500 bytes at the limit, and pongs of up to ten each.
                let unsent = connection.unsent();
                assert!(unsent.bytes <= 1_000 + 510 + 17 * 10, "{unsent:?}");
            }
            connection.start_close(None).unwrap();
            while !connection.outbox().is_empty() {
                written.extend(take(&mut connection, usize::MAX));
            }
            let frames = common::split(role, &written);
            assert_eq!(frames.last(), Some(&(0x88, vec![])));
            let pongs: Vec<_> = frames.iter().filter(|(first, _)| *first == 0x8a).collect();
            assert_eq!(pongs.last().map(|(_, payload)| payload), Some(&newest));
            assert!(pongs.windows(2).all(|two| two[0].1 < two[1].1), "in order, none twice");
            assert_eq!(close_codes(&frames), [1005]);
        }
    }
}

/// Bytes and messages while the connection lives: control frames have bytes and are no messages, a
/// part of a frame is not a frame, shared payloads count.
#[test]
fn unsent_follows_every_byte() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let size = |payload: usize| head(other(role), 0x82, payload as u64).len() + payload;
        let own = ControlPayload::new(b"ping").unwrap();
        let (shared, copied) = (Bytes::from(vec![1; 20_000]), vec![2; 20_000]);
        connection.feed("").unwrap();
        connection.ping(own).unwrap();
        connection.feed(&shared).unwrap();
        connection.feed(&copied[..]).unwrap();
        connection.feed(&shared).unwrap();
        connection.ping(own).unwrap();
        // Where each frame ends, and whether it is a message.
        let (mut end, mut ends) = (0, Vec::new());
        for (payload, message) in
            [(0, true), (4, false), (20_000, true), (20_000, true), (20_000, true), (4, false)]
        {
            end += size(payload);
            ends.push((end, message));
        }
        for written in 0..=end {
            let unsent = connection.unsent();
            let left = ends.iter().filter(|(end, message)| *message && *end > written).count();
            assert_eq!((unsent.bytes, unsent.messages), ((end - written) as u64, left as u64));
            connection.outbox().advance(usize::from(written < end));
        }
    }
}

/// A message in the caller's fragments is one, and counts while what was accepted of it waits.
#[test]
fn unsent_fragments_are_one_message() {
    for role in BOTH {
        let mut connection = connection(role, Config::default());
        let messages = |connection: &Connection| connection.unsent().messages;
        connection.feed_fragment("to", false).unwrap();
        connection.feed_fragment("be", false).unwrap();
        assert_eq!(messages(&connection), 1);
        sent_all(&mut connection);
        assert_eq!(messages(&connection), 0);
        connection.feed_fragment("or", false).unwrap();
        connection.ping(ControlPayload::EMPTY).unwrap();
        assert_eq!(messages(&connection), 1);
        connection.feed_fragment("", true).unwrap();
        assert_eq!(messages(&connection), 1);
        connection.feed("not").unwrap();
        assert_eq!(messages(&connection), 2);
        connection.feed_fragment("to", false).unwrap();
        assert_eq!(messages(&connection), 3);
        sent_all(&mut connection);
        assert_eq!(connection.unsent(), Default::default());
    }
}

fn sent_all(connection: &mut Connection) {
    while !connection.outbox().is_empty() {
        take(connection, usize::MAX);
    }
}

/// However a connection ends, what was not written is known afterwards and stays so; and a clean
/// end leaves nothing.
#[test]
fn unsent_at_the_end() {
    type End = fn(&mut Connection);
    let peer_closes: End = |connection| {
        let close = frame(connection.role(), 0x88, &1000_u16.to_be_bytes());
        receive(connection, &close, 1, watch).1.unwrap();
    };
    let deadline: End = |connection| {
        connection.handle_timeout(seconds(1.0)).unwrap();
        let _ = connection.handle_timeout(seconds(5.0)); // the last call
        let _ = connection.handle_timeout(seconds(6.0));
    };
    let close: End = |connection| connection.start_close(None).unwrap();
    let ends: [(&str, &[End]); 9] = [
        ("a write failed", &[Connection::write_failed]),
        ("a write failed, then everything", &[Connection::write_failed, Connection::receive_eof]),
        ("a write failed, closed", &[Connection::write_failed, peer_closes, deadline]),
        ("broken", &[Connection::transport_failed]),
        ("ended", &[Connection::receive_eof]),
        ("close deadline", &[close, deadline]),
        ("closed and broken", &[peer_closes, Connection::transport_failed]),
        ("closed and a write failed", &[peer_closes, Connection::write_failed]),
        ("closed, deadline", &[peer_closes, deadline]),
    ];
    for role in BOTH {
        for (name, steps) in ends {
            let mut connection = connection(role, Config::default());
            for _ in 0..5 {
                connection.feed("0123456789").unwrap();
            }
            let all = connection.outbox().remaining();
            connection.outbox().advance(all * 2 / 5 + 1);
            let mut bytes = all - all * 2 / 5 - 1;
            for step in steps {
                step(&mut connection);
                // A Close of ours may have come to it.
                bytes += connection.outbox().len().saturating_sub(bytes);
            }
            let unsent = connection.unsent();
            assert_eq!(unsent.messages, 3, "{name}");
            assert!(
                (bytes as u64..=bytes as u64 + 8).contains(&unsent.bytes),
                "{name}: {unsent:?}"
            );
            assert!(connection.outbox().is_empty(), "{name}");
            connection.transport_failed();
            assert!(connection.closed().is_some());
            assert_eq!(connection.unsent(), unsent, "{name}");
        }
        let mut connection = connection(role, Config::default());
        connection.feed("0123456789").unwrap();
        peer_closes(&mut connection);
        sent_all(&mut connection);
        if connection.transport() == Transport::ShutDown {
            connection.shutdown_complete();
        }
        connection.receive_eof();
        assert!(matches!(connection.closed(), Some(Closed::Clean { .. })));
        assert_eq!(connection.unsent(), Default::default());
    }
}

/// D9: the outbox is a borrow, so whatever `std` does to the value that is handed out, each
/// connection keeps its own bytes and all that it knows of them. What a handler of `run` is given,
/// and `Outbox`, cannot be made from nothing, and an `Input` that is taken is the caller's own.
#[test]
fn handles_that_are_swapped_or_replaced_change_nothing() {
    fn nothing(_: &mut Connection, _: &mut Connection) {}
    fn swap(one: &mut Connection, other: &mut Connection) {
        let (mut ones, mut others) = (one.outbox(), other.outbox());
        mem::swap(&mut ones, &mut others);
        assert_eq!(ones.has_no_storage(), others.has_no_storage());
    }
    fn replace(one: &mut Connection, other: &mut Connection) {
        let mut outbox = one.outbox();
        assert!(!mem::replace(&mut outbox, other.outbox()).has_no_storage());
    }
    fn take_input(one: &mut Connection, other: &mut Connection) {
        for connection in [one, other] {
            let mut none = [];
            let mut input = Input::new(&mut none);
            assert!(matches!(connection.receive(&mut mem::take(&mut input)), Ok(None)));
            assert!(matches!(connection.receive(&mut input), Ok(None)));
        }
    }
    type Tamper = fn(&mut Connection, &mut Connection);
    let run = |tamper: Tamper| {
        let config = Config::default().max_sent_frame(30_000).keepalive(Keepalive::every(SECOND));
        let config = Arc::new(config);
        let mut pair = BOTH.map(|role| connection(role, config.clone()));
        let mut written = [const { Vec::new() }; 2];
        let [one, other] = &mut pair;
        one.feed_fragment("in ", false).unwrap();
        other.feed(vec![7; 100_000]).unwrap(); // in fragments that are made when they are due
        for step in 0..12 {
            let _ = (one.outbox(), other.outbox()); // makes the fragments that are due
            tamper(one, other);
            for (connection, written) in [&mut *one, &mut *other].into_iter().zip(&mut written) {
                connection.handle_timeout(seconds(f64::from(step))).unwrap();
                for ping in 0..4 {
                    let ping = frame(connection.role(), 0x89, &[step as u8, ping]);
                    receive(connection, &ping, 100, watch).1.unwrap();
                }
                written.extend(take(connection, if step < 6 { 20 } else { 40_000 }));
            }
            tamper(other, one);
            one.feed_fragment("parts ", step == 11).unwrap();
        }
        for (connection, written) in pair.iter_mut().zip(&mut written) {
            connection.start_close(None).unwrap();
            while !connection.outbox().is_empty() {
                written.extend(drain(connection));
            }
            assert_eq!(connection.stats().bytes_sent, written.len() as u64);
        }
        let told = pair.map(|connection| (connection.stats(), connection.unsent()));
        (written, told)
    };
    let expected = run(nothing);
    for tamper in [swap as Tamper, replace, take_input] {
        assert!(run(tamper) == expected);
    }
}

/// Fails to compile if the type has one of the traits.
macro_rules! lacks {
    ($type:ty: $($trait:path),*) => {$(
        const _: fn() = || {
            struct Has;
            trait Ask<Answer> {
                fn ask() {}
            }
            impl<T: ?Sized> Ask<()> for T {}
            impl<T: ?Sized + $trait> Ask<Has> for T {}
            <$type as Ask<_>>::ask();
        };
    )*};
}

lacks!(fullduplex::Outbox<'static>: Default, Clone);
lacks!(Connection: Default, Clone);
#[cfg(feature = "std")]
lacks!(fullduplex::Outgoing<'static>: Default, Clone);
