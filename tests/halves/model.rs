//! Owned halves under an executor that polls only what was woken, in any order, and drops futures at
//! any poll, on streams that wake in the middle of a poll: whatever the order, nothing is lost, doubled
//! or left asleep (KNOWN-FAILURES 48).
#![cfg(feature = "tokio")]

use crate::{common, support};

use common::other;
use core::{
    cell::{Cell, RefCell},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use fullduplex::{
    CloseCode, Closed, FlushPolicy, Role, Side,
    tokio::{Reader, WebSocket, Writer},
};
use futures_util::StreamExt;
use proptest::prelude::*;
use std::{io, rc::Rc};
use support::{
    paused, quiet,
    tasks::{Dice, Task, dropped, pause, run_all},
    watchdog,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// Who is to be woken for what a stream has withheld.
type Owed = Rc<RefCell<Vec<Waker>>>;

/// A stream that is not ready now and then although it might be, as if what makes it ready came a
/// little later, from another thread: it wakes at once, in the middle of a later poll, or between
/// two polls. Nobody else tells of that, so this is a wakeup that must not be lost.
struct Late {
    stream: DuplexStream,
    dice: Dice,
    owed: Owed,
}

impl Late {
    fn withholds(&self, cx: &Context<'_>) -> bool {
        if self.dice.one_in(3) {
            wake_owed(&self.owed);
        }
        let withholds = self.dice.one_in(8);
        if withholds {
            self.owed.borrow_mut().push(cx.waker().clone());
            if self.dice.one_in(3) {
                wake_owed(&self.owed);
            }
        }
        withholds
    }
}

fn wake_owed(owed: &Owed) {
    let all = owed.take();
    all.into_iter().for_each(Waker::wake);
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.withholds(cx) {
            true => Poll::Pending,
            false => Pin::new(&mut self.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Late {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.withholds(cx) {
            true => Poll::Pending,
            false => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.withholds(cx) {
            true => Poll::Pending,
            false => Pin::new(&mut self.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.withholds(cx) {
            true => Poll::Pending,
            false => Pin::new(&mut self.stream).poll_shutdown(cx),
        }
    }
}

/// What a writer has sent: each message, and whether it certainly was.
type Sent = Rc<RefCell<Vec<(String, bool)>>>;

/// Sends some messages in every way there is.
async fn write(writer: Writer<Late>, name: String, count: u64, dice: Dice, sent: Sent) {
    let mut number = 0;
    let mut next = || {
        number += 1;
        format!("{name} {number} {}", "x".repeat(dice.below(200) as usize))
    };
    for _ in 0..count {
        if dice.one_in(3) {
            pause().await;
        }
        let text = next();
        match dice.below(7) {
            0 | 1 => {
                writer.send(&text).await.unwrap();
                sent.borrow_mut().push((text, true));
            }
            2 => {
                // A send that is dropped has sent all of its message or nothing.
                let whole = dropped(writer.send(&text), 1 + dice.below(3)).await;
                sent.borrow_mut().push((text, whole.is_some()));
            }
            3 => {
                while dropped(writer.ready(), 1 + dice.below(4)).await.is_none() {
                    pause().await;
                }
                // Others may have used the room, but there is some beyond the mark.
                if writer.feed(&text).is_ok() {
                    sent.borrow_mut().push((text, true));
                }
                while dropped(writer.flush(), 1 + dice.below(4)).await.is_none() {
                    pause().await;
                }
            }
            4 => {
                let cut = text.len() / 2;
                writer.send_fragment(&text[..cut], false).await.unwrap();
                if dice.one_in(2) {
                    pause().await;
                }
                writer.send_fragment(&text[cut..], true).await.unwrap();
                sent.borrow_mut().push((text, true));
            }
            5 => {
                let pieces: Vec<&str> = text.split_inclusive(' ').collect();
                writer.send_iter(pieces).await.unwrap();
                sent.borrow_mut().push((text, true));
            }
            _ => writer.ping("ping").await.unwrap(),
        }
    }
    writer.flush().await.unwrap();
}

/// Receives until the end, by futures that are dropped now and then.
async fn read(
    mut reader: Reader<Late>,
    dice: Dice,
    got: Rc<RefCell<Vec<String>>>,
    ended: Rc<RefCell<Option<Closed>>>,
) {
    loop {
        if dice.one_in(4) {
            pause().await;
        }
        let received = match dice.below(6) {
            0 | 1 => dropped(reader.recv(), 1 + dice.below(4)).await,
            // The stream is not told when it is not polled any more.
            2 => dropped(reader.next(), 1 + dice.below(4)).await.map(Option::transpose),
            _ => Some(reader.recv().await),
        };
        match received {
            None => pause().await,
            Some(Ok(Some(message))) => got.borrow_mut().push(message.as_text().unwrap().into()),
            Some(Ok(None)) => break,
            Some(Err(error)) => panic!("{error}"),
        }
    }
    *ended.borrow_mut() = reader.closed();
}

struct End {
    sent: Vec<Sent>,
    got: Rc<RefCell<Vec<String>>>,
    ended: Rc<RefCell<Option<Closed>>>,
}

/// Everything that is certainly sent has arrived, once, and in the order of its writer.
fn check(sent: &[Sent], got: &[String]) {
    let mut left = got.len();
    for sent in sent {
        let sent = sent.borrow();
        let Some((first, _)) = sent.first() else { continue };
        let name = first.split(' ').next().unwrap();
        let mut arrived = got.iter().filter(|text| text.split(' ').next() == Some(name));
        let mut next = arrived.next();
        for (text, certain) in &*sent {
            if next == Some(text) {
                (next, left) = (arrived.next(), left - 1);
            } else {
                assert!(!certain, "lost: {text}");
            }
        }
        assert_eq!(next, None, "out of order, or doubled");
    }
    assert_eq!(left, 0, "nobody has sent that");
}

fn one_case(seed: u64) {
    let dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (a, b) = duplex([1, 5, 64, 1_000, 100_000][dice.below(5) as usize]);
    let config = || {
        let config = quiet().max_unsent([1, 100, 1 << 20][dice.below(3) as usize]);
        match dice.one_in(4) {
            true => config.flush_policy(FlushPolicy::BeforeWait),
            false => config,
        }
    };
    let role = if dice.one_in(2) { Role::Client } else { Role::Server };
    let mut tasks: Vec<(&'static str, Task<'_>)> = Vec::new();
    let mut ends = Vec::new();
    let writing = Rc::new(Cell::new(0));
    let ways = [(a, role, "a"), (b, other(role), "b")];
    let owed = Owed::default();
    for (stream, role, side) in ways {
        let stream = Late { stream, dice: dice.clone(), owed: Rc::clone(&owed) };
        let (reader, writer) = WebSocket::from_parts(stream, role, config(), []).split();
        let mut end = End { sent: Vec::new(), got: Rc::default(), ended: Rc::default() };
        for number in 0..1 + dice.below(3) {
            let (sent, writer) = (Sent::default(), writer.clone());
            end.sent.push(sent.clone());
            let (name, count, dice) = (format!("{side}{number}"), dice.below(8), dice.clone());
            let writing = Rc::clone(&writing);
            writing.set(writing.get() + 1);
            tasks.push((
                "writer",
                Box::pin(async move {
                    write(writer, name, count, dice, sent).await;
                    writing.set(writing.get() - 1);
                }),
            ));
        }
        let (got, ended) = (Rc::clone(&end.got), Rc::clone(&end.ended));
        tasks.push(("reader", Box::pin(read(reader, dice.clone(), got, ended))));
        if side == "a" {
            let (writing, dice, owed) = (Rc::clone(&writing), dice.clone(), Rc::clone(&owed));
            tasks.push((
                "closer",
                Box::pin(async move {
                    while writing.get() > 0 {
                        wake_owed(&owed); // somebody is always ready as long as this waits
                        pause().await;
                    }
                    let close = || writer.close((CloseCode::NORMAL, "bye"));
                    while dice.one_in(2) {
                        if let Some(closed) = dropped(close(), 1 + dice.below(3)).await {
                            return closed.unwrap();
                        }
                        pause().await;
                    }
                    close().await.unwrap();
                }),
            ));
        }
        ends.push(end);
    }
    run_all(tasks, &dice, || {
        let late = !owed.borrow().is_empty();
        wake_owed(&owed);
        late
    });
    check(&ends[0].sent, &ends[1].got.borrow());
    check(&ends[1].sent, &ends[0].got.borrow());
    for (end, first) in ends.iter().zip([Side::Local, Side::Remote]) {
        match end.ended.borrow().as_ref() {
            Some(Closed::Clean { initiator, .. }) => assert_eq!(*initiator, first),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_lost_or_left_asleep(seed in any::<u64>()) {
        let _watchdog = watchdog();
        let runtime = paused();
        let _time = runtime.enter();
        one_case(seed);
    }
}
