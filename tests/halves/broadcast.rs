//! One message to many connections: order, slow consumers, counts.
#![cfg(feature = "tokio")]

use crate::support;

use core::time::Duration;
use fullduplex::{
    CloseCode, Closed, Config, Error, Message, Prepared, Role, Side,
    tokio::{Broadcast, Reader, SlowConsumer, WebSocket},
};
use support::{paused, quiet, watchdog};
use tokio::{
    io::{DuplexStream, duplex},
    task::{JoinHandle, JoinSet, yield_now},
    time::timeout,
};

type Group = Broadcast<DuplexStream>;

fn group(slow: SlowConsumer) -> Group {
    Broadcast::new(slow)
}

/// A member's two ends: the server's reader, and the client.
fn member(
    config: Config,
    size: usize,
) -> (Reader<DuplexStream>, fullduplex::tokio::Writer<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(size);
    let (reader, writer) = WebSocket::from_parts(a, Role::Server, config, []).split();
    (reader, writer, WebSocket::from_parts(b, Role::Client, quiet(), []))
}

/// Keeps the server's side going.
fn drive(mut reader: Reader<DuplexStream>) -> JoinHandle<Option<Closed>> {
    tokio::spawn(async move {
        while let Ok(Some(_)) = reader.recv().await {}
        reader.closed()
    })
}

/// All that a client gets until the end.
fn collect(mut client: WebSocket<DuplexStream>) -> JoinHandle<(Vec<Message>, Option<Closed>)> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok(Some(message)) = client.recv().await {
            all.push(message);
        }
        (all, client.closed().cloned())
    })
}

#[test]
fn all_members_get_all_messages_in_the_same_order() {
    const SENDERS: usize = 5;
    const EACH: usize = 20;
    let _watchdog = watchdog();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let room = group(SlowConsumer::Wait);
        let mut clients = Vec::new();
        let mut members = Vec::new();
        for i in 0..100 {
            // Some can take hardly anything at a time, so the group has to wait for them.
            let (reader, writer, client) =
                member(quiet().max_unsent(if i % 3 == 0 { 1 } else { 100_000 }), 10 + i * 7);
            members.push(room.join(writer));
            drive(reader);
            clients.push(collect(client));
        }
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let room = room.clone();
            senders.spawn(async move {
                for i in 0..EACH {
                    let delivery = room.send(format!("{sender} {i}")).await;
                    assert_eq!((delivery.sent, delivery.dropped, delivery.gone), (100, 0, 0));
                }
            });
        }
        senders.join_all().await;
        for member in members {
            member.leave().unwrap().close(CloseCode::NORMAL).await.unwrap();
        }
        assert!(room.is_empty());
        let mut orders = Vec::new();
        for client in clients {
            let (messages, closed) = client.await.unwrap();
            assert_eq!(messages.len(), SENDERS * EACH);
            assert!(closed.unwrap().is_clean());
            orders.push(messages);
        }
        assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
        let stats = room.stats();
        assert_eq!((stats.messages, stats.sent), (100, 10_000));
    });
}

/// A member that takes nothing, one that does, and what becomes of them.
#[test]
fn a_slow_consumer_is_dealt_with_as_the_policy_says() {
    let _watchdog = watchdog();
    let runtime = paused();
    for slow in [SlowConsumer::DropMessage, SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER)] {
        runtime.block_on(async {
            let room = group(slow);
            let (reader, writer, stalled) = member(quiet().max_unsent(1_000), 64);
            let stalled_id = room.join(writer).detach();
            let server = drive(reader);
            let (reader, writer, client) = member(quiet().max_unsent(1_000), 64);
            let fast_id = room.join(writer).detach();
            drive(reader);
            let fast = collect(client);
            for i in 0..50 {
                let delivery = room.send(vec![i; 100]).await;
                assert_eq!(
                    delivery.sent + delivery.dropped + delivery.disconnected,
                    room.len() + delivery.disconnected
                );
                // The fast one takes it before the next one comes.
                for _ in 0..20 {
                    yield_now().await;
                }
            }
            assert_eq!(room.missed(fast_id), Some(0));
            let stats = room.stats();
            let last = room.leave(fast_id).unwrap();
            last.close(CloseCode::NORMAL).await.unwrap();
            assert_eq!(fast.await.unwrap().0.len(), 50);
            // What was accepted before it became slow is there.
            let stalled = collect(stalled);
            match slow {
                SlowConsumer::DropMessage => {
                    let missed = room.missed(stalled_id).unwrap();
                    assert!((35..45).contains(&missed), "{missed}");
                    assert_eq!(stats.dropped, missed);
                    let writer = room.leave(stalled_id).unwrap();
                    writer.close(CloseCode::NORMAL).await.unwrap();
                    let (messages, _) = stalled.await.unwrap();
                    assert_eq!(messages.len() as u64, 50 - missed);
                }
                _ => {
                    assert_eq!((stats.disconnected, stats.gone), (1, 0));
                    assert_eq!(room.missed(stalled_id), None);
                    assert!(room.leave(stalled_id).is_none());
                    let (messages, closed) = stalled.await.unwrap();
                    assert!((5..15).contains(&messages.len()), "{}", messages.len());
                    match closed.unwrap() {
                        Closed::Clean { initiator: Side::Remote, frame: Some(frame) } => {
                            assert_eq!(frame.code(), CloseCode::TRY_AGAIN_LATER);
                        }
                        other => panic!("{other:?}"),
                    }
                    assert!(server.await.unwrap().unwrap().is_clean());
                }
            }
        });
    }
}

#[test]
fn waiting_for_one_member_does_not_keep_the_others_from_theirs() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let room = group(SlowConsumer::Wait);
        let (reader, writer, stalled) = member(quiet().max_unsent(10), 64);
        room.join(writer).detach();
        drive(reader);
        let (reader, writer, client) = member(quiet(), 64);
        room.join(writer).detach();
        drive(reader);
        let (sender, mut came) = tokio::sync::mpsc::unbounded_channel();
        let mut client = client;
        tokio::spawn(async move {
            while let Ok(Some(message)) = client.recv().await {
                sender.send(message.len()).unwrap();
            }
        });
        let message = Prepared::new(vec![0; 200]);
        room.send(message.clone()).await;
        assert_eq!(came.recv().await, Some(200));
        let waiting = tokio::spawn({
            let (room, message) = (room.clone(), message.clone());
            async move { room.send(message).await }
        });
        assert_eq!(came.recv().await, Some(200), "it has it already");
        assert!(!waiting.is_finished());
        // A dropped send lets the next one go on.
        assert!(timeout(Duration::from_secs(1), room.send(message.clone())).await.is_err());
        let stalled = collect(stalled);
        assert_eq!(waiting.await.unwrap().sent, 2);
        assert_eq!(room.send("last").await.sent, 2);
        drop(room);
        stalled.abort();
    });
}

#[test]
fn members_that_are_gone_leave_with_the_next_message() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let room = group(SlowConsumer::Wait);
        let mut clients = Vec::new();
        for _ in 0..3 {
            let (reader, writer, client) = member(quiet(), 1_000);
            room.join(writer).detach();
            drive(reader);
            clients.push(client);
        }
        clients[1].close(CloseCode::NORMAL).await.unwrap();
        drop(clients.remove(0));
        yield_now().await;
        let delivery = room.send("x").await;
        assert_eq!((delivery.sent, delivery.gone, room.len()), (1, 2, 1));
        // Their places are taken by others.
        let (reader, writer, _client) = member(quiet(), 1_000);
        let id = room.join(writer).detach();
        drive(reader);
        assert_eq!((room.send("y").await.sent, room.len()), (2, 2));
        assert_eq!(room.missed(id), Some(0));
        assert_eq!(room.stats().gone, 2);
    });
}

#[test]
fn a_group_is_closed_as_one() {
    let _watchdog = watchdog();
    let runtime = paused();
    runtime.block_on(async {
        let room = group(SlowConsumer::Wait);
        let (mut clients, mut silent) = (Vec::new(), None);
        for i in 0..70 {
            let (reader, writer, client) = member(quiet(), 64);
            let id = room.join(writer).detach();
            drive(reader);
            // One of them does not answer.
            if i == 40 {
                silent = Some((id, client));
            } else {
                clients.push(collect(client));
            }
        }
        let silent = silent.unwrap();
        room.send("last words").await;
        let start = tokio::time::Instant::now();
        let report = room.close((CloseCode::GOING_AWAY, "restart")).await.unwrap();
        assert_eq!((report.clean, report.failed.len()), (69, 1));
        assert!(matches!(report.failed[0], (id, Error::Timeout(_)) if id == silent.0));
        assert_eq!(start.elapsed(), Duration::from_secs(5), "one closing deadline for all");
        assert!(room.is_empty());
        for client in clients {
            let (messages, closed) = client.await.unwrap();
            assert_eq!(messages, [Message::from("last words")]);
            let closed = closed.unwrap();
            assert_eq!((closed.code(), closed.reason()), (1001, "restart"));
        }
        assert!(room.close((CloseCode::NORMAL, &"x".repeat(124))).await.is_err());
    });
}
