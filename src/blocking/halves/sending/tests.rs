use crate::{
    Config, Event, Role,
    blocking::{WebSocket, Writer},
    testing::{Pipe, duplex},
};
use alloc::{string::String, vec, vec::Vec};
use std::{format, thread};

/// Until so many calls wait for their turn.
fn until_there_wait(count: usize, writer: &Writer<Pipe>) {
    for _ in 0..100_000_000_u32 {
        let state = writer.shared.lock();
        let waits = writer.shared.senders().wait_for_room();
        drop(state);
        if waits == count {
            return;
        }
        thread::yield_now();
    }
    panic!("they do not come");
}

fn ends(mark: usize) -> (WebSocket<Pipe>, WebSocket<Pipe>) {
    let (a, b) = duplex(1_000);
    let config = || Config::default().no_keepalive();
    let ours = WebSocket::from_parts(a, Role::Server, config().unsent_high_water(mark), []);
    (ours, WebSocket::from_parts(b, Role::Client, config(), []))
}

fn name(event: Event<'_>) -> String {
    match event {
        Event::Message(message) => message.as_text().unwrap_or("large").into(),
        Event::Ping(_) => "ping".into(),
        Event::Pong(_) => "pong".into(),
        other => format!("{other:?}"),
    }
}

/// A10: a ping goes in front of all messages that wait, and these in the order in which they came, as
/// on async.
#[test]
fn section_5_4_a_ping_goes_in_front_of_messages_that_wait() {
    let (ours, mut peer) = ends(1);
    let (_reader, writer) = ours.split();
    thread::scope(|scope| {
        let writer = &writer;
        scope.spawn(|| writer.send(vec![0; 5_000]).unwrap());
        while writer.unsent().bytes == 0 {
            thread::yield_now();
        }
        let calls: [fn(&Writer<Pipe>) -> _; 5] = [
            |writer| writer.send("1"),
            |writer| writer.clone().send("2"),
            |writer| writer.ping("ping"),
            |writer| writer.send("3"),
            |writer| writer.pong("pong"),
        ];
        for (place, call) in calls.into_iter().enumerate() {
            scope.spawn(move || call(writer).unwrap());
            until_there_wait(place + 1, writer);
        }
        assert!(!writer.is_ready());
        let came: Vec<_> = (0..6).map(|_| name(peer.recv_event().unwrap().unwrap())).collect();
        assert_eq!(came, ["large", "ping", "pong", "1", "2", "3"]);
    });
    assert!(writer.is_ready() && writer.shared.senders().is_idle());
}

/// D6: many threads wait, behind a message in fragments and then for room, and go in order.
#[test]
fn section_5_4_many_threads_are_served_in_order() {
    const MANY: usize = 60;
    let (ours, mut peer) = ends(100);
    let (_reader, writer) = ours.split();
    writer.send_fragment(vec![0; 10], false).unwrap();
    thread::scope(|scope| {
        let writer = &writer;
        for i in 0..MANY {
            let clone = writer.clone();
            let text = format!("{i:0200}");
            scope.spawn(move || clone.send(text).unwrap());
            until_there_wait(i + 1, writer);
        }
        writer.send_fragment(vec![0; 10], true).unwrap();
        assert_eq!(peer.recv().unwrap().unwrap().as_bytes().len(), 20);
        for i in 0..MANY {
            assert_eq!(peer.recv().unwrap().unwrap(), *format!("{i:0200}"));
        }
    });
    assert!(writer.shared.senders().is_idle());
}
