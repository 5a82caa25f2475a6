//! The tokio adapter, in one piece and in halves, on a stream that follows a script.

mod books;
mod calls;
mod peer;
mod stage;

use crate::support::{Script, life::Knows, tasks::dropped};
use books::Books;
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    task::{Poll, Waker},
    time::Duration,
};
use fullduplex::{
    Config, FlushPolicy, Keepalive, Role,
    deflate::{Deflate, DeflateParams},
    tokio::{Reader, WebSocket, Writer},
};
use peer::Peer;
use stage::Stage;
use std::collections::VecDeque;
use tokio::runtime::Builder;

/// Sizes of what is sent, in letters.
const SIZES: [usize; 16] =
    [0, 1, 2, 5, 20, 60, 100, 130, 200, 300, 500, 900, 1_500, 3_000, 8_000, 20_000];

/// `data` is two bytes of settings, and steps of two bytes: which it is, and a number.
///
/// Settings: of the first byte `0x01` is a client, `0x02` compression, `0x04` a stream that does not
/// gather slices, `0x08` a policy that does not flush, `0x10` messages cut into frames, `0x20` little
/// room, `0x40` keepalive. The second is the size of the pieces that arrive, in bytes, or zero.
///
/// A step is a letter, of which the bits `0x1f` count, and `0x20` for who sends where there are two;
/// with `0x80` those who were woken are not polled before the next step, and without `0x40` the number
/// also determines in which order they are from then on. Of the number of a call the
/// high four bits are a size, and the low ones after how many polls it is dropped, or zero.
/// In the middle of a message that is taken in chunks a receive goes on with it, unless the number has
/// `0x10`: then it is told that it may not.
///
/// | letter | call | letter | what else happens |
/// |---|---|---|---|
/// | `r`, `v`, `k` | receives a message, an event, a chunk | `t`, `b`, `m` | text, binary, a message with pings inside arrives |
/// | `h` | echoes, while in one piece | `i`, `a` | a ping arrives; the peer reads and answers |
/// | `s`, `q`, `d` | sends, sends prepared, feeds a message | `z`, `j`, `u` | a Close, something against the protocol, the end arrives |
/// | `f`, `e`, `p` | flushes, waits for room, pings | `o` | the last bytes that arrived were lost, and reading fails |
/// | `g`, `y` | sends a fragment, a message from an iterator | `w`, `n`, `l` | writes will be short or wait, or fail; they go on |
/// | `c` | closes | `|`, `x` | time passes, in half seconds; it is split, or one again |
/// | | | `{` | a call is dropped, or the reader |
///
/// Whether it was closed cleanly.
pub fn adapter_ops(data: &[u8]) -> bool {
    let Some((settings, steps)) = data.split_first_chunk::<2>() else { return false };
    let time = Builder::new_current_thread().enable_time().start_paused(true).build();
    let time = time.expect("a clock that stands still");
    let _time = time.enter();
    let (case, ws) = Case::new(*settings);
    let mut stage =
        Stage { case: &case, time: &time, acts: Vec::new(), order: 0, halves: false, watch: None };
    stage.start(ws);
    for step in steps.chunks_exact(2) {
        stage.step(step[0], step[1]);
        if step[0] & 0x80 == 0 {
            stage.run();
        }
    }
    stage.finish()
}

/// A call to make.
#[derive(Clone, Copy)]
struct Call {
    letter: u8,
    number: u8,
}

impl Call {
    fn size(self) -> usize {
        SIZES[usize::from(self.number >> 4)]
    }

    /// After how many polls it is dropped.
    fn polls(self) -> u64 {
        match self.number & 0x0f {
            0 => u64::MAX,
            polls => polls.into(),
        }
    }
}

/// Someone who makes calls, one after the other.
#[derive(Default)]
struct Lane {
    calls: RefCell<VecDeque<Call>>,
    /// The letter of the call that is being made.
    busy: Cell<Option<u8>>,
    /// Whether that call is to be dropped, and whether all others are left.
    drops: Cell<bool>,
    leaves: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What lanes hand back when they leave.
#[derive(Default)]
struct Left {
    whole: Option<WebSocket<Script>>,
    reader: Option<Reader<Script>>,
    writers: [Option<Writer<Script>>; 2],
}

struct Case {
    role: Role,
    agreed: Option<DeflateParams>,
    strict: bool,
    cuts: bool,
    script: Script,
    peer: RefCell<Peer>,
    books: RefCell<Books>,
    /// Of the connection in one piece or the reader, and of two writers.
    lanes: [Lane; 3],
    left: RefCell<Left>,
    reader_is_gone: Cell<bool>,
    number: Cell<usize>,
}

impl Lane {
    /// The next call to make, if there is to be one.
    async fn next(&self) -> Option<Call> {
        self.busy.set(None);
        let call = poll_fn(|cx| {
            if self.leaves.get() {
                return Poll::Ready(None);
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            self.calls
                .borrow_mut()
                .pop_front()
                .map_or(Poll::Pending, |call| Poll::Ready(Some(call)))
        });
        let call = call.await;
        self.drops.set(false);
        self.busy.set(call.map(|call| call.letter));
        call
    }

    /// Makes a call, unless it is dropped before it is done.
    async fn make<F: Future>(&self, call: F, polls: u64) -> Option<F::Output> {
        let mut call = pin!(dropped(call, polls));
        poll_fn(|cx| {
            if self.drops.get() {
                return Poll::Ready(None);
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            call.as_mut().poll(cx)
        })
        .await
    }

    fn wake(&self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn leave(&self) {
        self.calls.borrow_mut().clear();
        self.drops.set(true);
        self.leaves.set(true);
        self.wake();
    }
}

fn letters(most: usize) -> String {
    ["a", "é", "€", "😀", "xyz"].iter().cycle().take(most).copied().collect()
}

impl Case {
    fn new([options, piece]: [u8; 2]) -> (Self, WebSocket<Script>) {
        let on = |bit| options & bit != 0;
        let role = if on(1) { Role::Client } else { Role::Server };
        let deflate = Deflate::default().threshold(0);
        let agreed = deflate.accept(&deflate.offers()).filter(|_| on(2));
        let script = Script::new();
        script.state().vectored = !on(4);
        let mut config = Config::default()
            .no_keepalive()
            .flush_policy(if on(8) { FlushPolicy::BeforeWait } else { FlushPolicy::Strict })
            .max_sent_frame_size(on(0x10).then_some(7))
            .deflate(deflate);
        if on(0x20) {
            config = config.unsent_high_water(50).unsent_limit(100);
        }
        if on(0x40) {
            let keepalive = Keepalive::every(Duration::from_secs(4));
            config = config.keepalive(keepalive.pong_timeout(Duration::from_secs(2)));
        }
        let ws = WebSocket::from_parts(script.clone(), role, config, [])
            .with_deflate(agreed)
            .expect("it is new");
        let case = Self {
            role,
            agreed,
            strict: !on(8),
            cuts: on(0x10),
            peer: RefCell::new(Peer::new(role, agreed, script.clone(), piece.into())),
            script,
            books: RefCell::default(),
            lanes: Default::default(),
            left: RefCell::default(),
            reader_is_gone: Cell::new(false),
            number: Cell::new(0),
        };
        (case, ws)
    }

    fn check(&self, of: &impl Knows) {
        let whose = (self.role, self.agreed);
        let stream = (&self.script, &*self.peer.borrow());
        self.books.borrow().check(of, whose, stream, self.cuts);
    }

    fn number(&self) -> usize {
        self.number.replace(self.number.get() + 1)
    }

    async fn whole(&self, mut ws: WebSocket<Script>) {
        while let Some(call) = self.lanes[0].next().await {
            match call.letter {
                b'r' | b'v' | b'k' => _ = self.receive(&mut ws, call).await,
                b'R' => while self.receive(&mut ws, Call { letter: b'r', number: 0 }).await {},
                b'h' => self.echo(&mut ws, call).await,
                _ => self.send(&mut ws, (&self.lanes[0], 0), call).await,
            }
        }
        self.left.borrow_mut().whole = Some(ws);
    }

    async fn reader(&self, mut reader: Reader<Script>) {
        while let Some(call) = self.lanes[0].next().await {
            match call.letter {
                b'D' => {
                    self.books.borrow_mut().discards = true;
                    self.lanes[0].busy.set(None);
                    self.lanes[0].calls.borrow_mut().clear();
                    return self.reader_is_gone.set(true);
                }
                b'R' => while self.receive(&mut reader, Call { letter: b'r', number: 0 }).await {},
                _ => _ = self.receive(&mut reader, call).await,
            }
        }
        self.left.borrow_mut().reader = Some(reader);
    }

    async fn writer(&self, mut writer: Writer<Script>, author: usize) {
        let lane = &self.lanes[1 + author];
        while let Some(call) = lane.next().await {
            self.send(&mut writer, (lane, author), call).await;
        }
        self.left.borrow_mut().writers[author] = Some(writer);
    }
}
