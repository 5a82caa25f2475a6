//! Budgets: allocations per message, bytes per connection. Each is printed (`--nocapture`) and
//! bounded.

use crate::{common, heap};

use bytes::{Buf, Bytes};
use common::{BOTH, Random, connection, frame, head, seconds};
use core::time::Duration;
use fullduplex::{Config, Connection, Event, Incoming, Input, Keepalive, Message, Role};
use heap::{Heap, measure};
use std::sync::Arc;

const KINDS: [(&str, u8); 2] = [("text", 0x81), ("binary", 0x82)];

/// Gives `wire` to the connection, in reads of `step` bytes, and lets `on` have the events.
fn read(
    connection: &mut Connection,
    wire: &mut [u8],
    step: usize,
    mut on: impl FnMut(&mut Connection, Incoming<'_>),
) {
    for piece in wire.chunks_mut(step) {
        let mut input = Input::new(piece);
        while let Some(event) = connection.receive(&mut input).unwrap() {
            if let Event::Message(message) = event {
                on(connection, message);
            }
        }
    }
}

/// What a round of `wire` costs once two rounds were done to warm up. `on` has the messages, and
/// what it queues is written.
fn warm(
    connection: &mut Connection,
    wire: &[u8],
    step: usize,
    mut on: impl FnMut(&mut Connection, Incoming<'_>),
) -> Heap {
    let mut buffer = wire.to_vec();
    let mut round = || {
        buffer.copy_from_slice(wire);
        read(connection, &mut buffer, step, &mut on);
        let mut outbox = connection.outbox();
        outbox.advance(outbox.remaining());
    };
    round();
    round();
    measure(round).1
}

/// The borrowed path: received, looked at, sent back, written, without the heap, for batches of up
/// to a read of 64 KiB.
#[test]
fn no_allocation_per_borrowed_message() {
    for role in BOTH {
        for (kind, first) in KINDS {
            for size in [0, 16, 125, 1024, 10_000] {
                let one = frame(role, first, &vec![b'x'; size]);
                let batch = (64 * 1024 / one.len()).min(500);
                let mut connection = connection(role, Config::default());
                let mut messages = 0;
                let heap = warm(&mut connection, &one.repeat(batch), usize::MAX, |c, message| {
                    messages += 1;
                    c.feed(message).unwrap();
                });
                assert_eq!(messages, 3 * batch);
                assert_eq!(heap.calls, 0, "{role:?} {kind} of {size}: {heap:?}");
                assert_eq!(heap.peak, 0);
            }
        }
    }
}

/// With timers running too, and with control frames answered.
#[test]
fn no_allocation_for_pings_and_timers() {
    for role in BOTH {
        let config = Config::default()
            .keepalive(Keepalive::every(Duration::from_secs(1)))
            .idle_timeout(Duration::from_secs(1000));
        let mut connection = connection(role, config);
        let wire = [
            frame(role, 0x89, &[7; 125]).repeat(10),
            frame(role, 0x8a, b"").repeat(10),
            frame(role, 0x81, b"hello"),
        ]
        .concat();
        let mut now = 0.0;
        let heap = warm(&mut connection, &wire, usize::MAX, |connection, message| {
            now += 0.3;
            connection.handle_timeout(seconds(now)).unwrap();
            connection.feed(message).unwrap();
        });
        assert_eq!(heap.calls, 0, "{role:?}: {heap:?}");
    }
}

/// A small message that is kept costs one allocation of the right size.
#[test]
fn one_allocation_per_owned_small_message() {
    for role in BOTH {
        for (kind, first) in KINDS {
            let wire = frame(role, first, &[b'x'; 100]);
            let mut connection = connection(role, Config::default());
            let mut kept: Vec<Message> = Vec::with_capacity(16);
            let heap = warm(&mut connection, &wire, usize::MAX, |_, message| {
                kept.push(message.into_owned());
            });
            println!("{role:?}, owned {kind} of 100 bytes: {heap:?}");
            assert_eq!(heap.calls, 1);
            assert!(heap.kept <= 100 + 24, "it pins more than its size: {heap:?}");
        }
    }
}

/// A message that straddles two reads costs about one allocation, and is owned then: `Bytes` and
/// `Text` may want one more for their count of references.
#[test]
fn about_one_allocation_per_straddling_message() {
    for role in BOTH {
        for (kind, first) in KINDS {
            for size in [100, 5000, 200_000] {
                let wire = frame(role, first, &vec![b'x'; size]);
                let mut connection = connection(role, Config::default());
                let seen = warm(&mut connection, &wire, size / 2 + 20, |_, message| {
                    assert!(!message.as_bytes().is_empty());
                });
                let kept = warm(&mut connection, &wire, size / 2 + 20, |_, message| {
                    let _: Message = message.into_owned();
                });
                println!("{role:?}, straddling {kind} of {size}: {seen:?}, owned {kept:?}");
                // A large one grows: little is reserved on the word of a head alone.
                let steps = if size <= 64 << 10 { 1 } else { 4 };
                assert!(seen.calls <= steps);
                assert!(kept.calls <= steps + 1);
                assert!(kept.peak <= size + size / 2 + 64);
            }
        }
    }
}

/// A large payload that is shared is not copied by a server; a client masks, so it copies.
#[test]
fn large_shared_payloads_are_not_copied() {
    let payload = Bytes::from(vec![7; 1 << 20]);
    let text = fullduplex::Text::from("x".repeat(1 << 20));
    for (kind, message) in [("bytes", Message::from(payload)), ("text", Message::from(text))] {
        let mut server = Connection::server(Config::default().max_unsent(usize::MAX));
        let (_, heap) = measure(|| server.feed(&message).unwrap());
        println!("a shared message of 1 MiB as {kind}: {heap:?}");
        assert!(heap.peak < 1024, "{heap:?}");
    }
    let mut client = connection(Role::Client, Config::default());
    let (_, heap) = measure(|| client.feed(vec![7; 1 << 20]).unwrap());
    assert!(heap.peak < 3 << 20, "{heap:?}");
}

/// What a connection weighs by itself.
#[test]
fn size_of_a_connection() {
    println!(
        "bytes: Connection {}, Event {}, Incoming {}, Message {}, Config {}",
        size_of::<Connection>(),
        size_of::<Event<'_>>(),
        size_of::<Incoming<'_>>(),
        size_of::<Message>(),
        size_of::<Config>(),
    );
    assert!(size_of::<Connection>() <= 480);
    assert!(size_of::<Event<'_>>() <= 40);
    assert!(size_of::<Message>() <= 32);
}

/// A connection that is open and has nothing to do. A new one holds nothing on the heap but the
/// configuration that it shares, and a client its key source; one that has worked keeps an outbox
/// for the next batch.
#[test]
fn heap_of_an_idle_connection() {
    let config = Arc::new(Config::default());
    let (server, heap) = measure(|| Connection::server(config.clone()));
    println!("a new server: {heap:?}");
    assert_eq!(heap.kept, 0);
    drop(server);

    #[cfg(feature = "std")]
    {
        let (client, heap) = measure(|| Connection::client(config.clone()));
        println!("a new client: {heap:?}");
        assert_eq!(heap.kept, 0, "the key source of the thread has no size");
        drop(client);
    }

    let (client, heap) = measure(|| Connection::client_with_keys(config.clone(), Random::new(1)));
    assert_eq!(heap.kept, size_of::<Random>() as isize);
    drop(client);

    for (size, count) in [(16, 1), (16, 100), (1024, 10), (1024, 100), (1024, 1000), (1 << 20, 1)] {
        let wire = frame(Role::Server, 0x82, &vec![0; size]).repeat(count);
        let mut buffer = wire.clone();
        let (server, heap) = measure(|| {
            let mut server = Connection::server(config.clone());
            read(&mut server, &mut buffer, 64 * 1024, |server, message| {
                // Refused when too much waits: then it was enough for this purpose.
                let _: Result<(), _> = server.feed(message);
            });
            let mut outbox = server.outbox();
            outbox.advance(outbox.remaining());
            server
        });
        println!("a server that echoed {count} messages of {size} bytes: {heap:?}");
        assert!(heap.kept <= 256 * 1024, "{heap:?}");
        drop(server);
    }
}

/// A connection that only receives keeps nothing at all.
#[test]
fn heap_of_a_connection_that_only_receives() {
    for role in BOTH {
        let wire = [
            frame(role, 0x81, &[b'x'; 1000]).repeat(100),
            frame(role, 0x01, &[b'x'; 1000]),
            frame(role, 0x80, &[b'x'; 1000]),
            head(role, 0x82, 5),
        ]
        .concat();
        let mut connection = connection(role, Config::default());
        let mut buffer = wire.clone();
        let (_, heap) = measure(|| read(&mut connection, &mut buffer, 777, |_, _| {}));
        assert_eq!(heap.kept, 0, "{role:?}");
    }
}
