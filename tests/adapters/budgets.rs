//! What a connection costs through the adapters: allocations per message, the heap of an idle
//! connection, the size of the types. `cargo test --features tokio --test adapters budgets --
//! --nocapture` prints the figures.
#![cfg(feature = "tokio")]

#[cfg(feature = "deflate")]
use crate::support::deflate;
use crate::support::{self, BOTH, frame, heap::measure, paused, poll_times, quiet, run};
use fullduplex::{Config, Error, FlushPolicy, Message, Role, blocking};
use std::{
    cell::Cell,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that gives the same bytes at each read, some times, and swallows what is written. It
/// allocates nothing.
struct Loop<'b> {
    bytes: &'b [u8],
    reads: usize,
    /// What follows them: the end, or a wait.
    ends: bool,
}

impl<'b> Loop<'b> {
    fn new(bytes: &'b [u8], reads: usize) -> Self {
        Self { bytes, reads, ends: true }
    }
}

impl Read for Loop<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads == 0 {
            return if self.ends { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        self.reads -= 1;
        buffer[..self.bytes.len()].copy_from_slice(self.bytes);
        Ok(self.bytes.len())
    }
}

impl Write for Loop<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Loop<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.read(buffer.initialize_unfilled()) {
            Ok(read) => buffer.advance(read),
            Err(_) => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Loop<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "futures-io")]
impl smol::io::AsyncRead for Loop<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read(buffer).map_or(Poll::Pending, |read| Poll::Ready(Ok(read)))
    }
}

#[cfg(feature = "futures-io")]
impl smol::io::AsyncWrite for Loop<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn on_blocking(stream: Loop<'_>, role: Role) -> blocking::WebSocket<blocking::Plain<Loop<'_>>> {
    blocking::WebSocket::from_parts(blocking::Plain(stream), role, Config::default(), [])
}

fn on_tokio(stream: Loop<'_>, role: Role) -> fullduplex::tokio::WebSocket<Loop<'_>> {
    fullduplex::tokio::WebSocket::from_parts(stream, role, Config::default(), [])
}

/// A stream that gives as much of its bytes as fits, and counts how often it is asked.
struct Plenty<'b> {
    bytes: &'b [u8],
    reads: &'b Cell<usize>,
}

impl AsyncRead for Plenty<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.set(self.reads.get() + 1);
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Plenty<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const READS: usize = 200;
const BATCH: usize = 50;

/// An echo of borrowed messages allocates nothing for a message, and next to nothing at all.
#[test]
fn an_echo_allocates_nothing_per_message() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let batch = [frame(role, 0x82, &[7; 125]), frame(role, 0x81, b"text")].concat();
        let batch = batch.repeat(BATCH / 2);
        let mut handled = 0;
        let (end, sync) = measure(|| {
            on_blocking(Loop::new(&batch, READS), role).run(|message, out| {
                handled += 1;
                out.feed(message)
            })
        });
        assert!(matches!(end, Err(Error::Abnormal)));
        let (end, asynchronous) = measure(|| {
            run(on_tokio(Loop::new(&batch, READS), role).run(|message, out| {
                handled += 1;
                out.feed(message)
            }))
        });
        assert!(matches!(end, Err(Error::Abnormal)));
        assert_eq!(handled, 2 * READS * BATCH);
        for (adapter, heap) in [("blocking", sync), ("tokio", asynchronous)] {
            println!("{adapter} {role:?}: echo of {} messages: {heap:?}", READS * BATCH);
            // The read buffer, the outbox, the configuration, the keys, the timer.
            assert!(heap.calls <= 40, "{adapter} {role:?}: {heap:?}");
            assert!(heap.peak <= 150_000, "{adapter} {role:?}: {heap:?}");
        }
    }
}

/// The same for the futures-io adapter; and an idle connection of it holds neither buffer, only what
/// its timer needs.
#[cfg(feature = "futures-io")]
#[test]
fn futures_io_is_as_frugal() {
    use fullduplex::futures_io::WebSocket;
    // The default timer's thread, which is there for all connections.
    let first = frame(Role::Server, 0x82, b"x");
    let stream = Loop { ends: false, ..Loop::new(&first, 1) };
    let mut ws = WebSocket::from_parts(stream, Role::Server, Config::default(), []);
    assert!(poll_times(ws.run(|message, out| out.feed(message)), 3).is_none());
    for role in BOTH {
        let batch = frame(role, 0x82, &[7; 125]).repeat(BATCH);
        let mut handled = 0;
        let (end, heap) = measure(|| {
            let stream = Loop::new(&batch, READS);
            let mut ws = WebSocket::from_parts(stream, role, Config::default(), []);
            run(ws.run(|message, out| {
                handled += 1;
                out.feed(message)
            }))
        });
        assert!(matches!(end, Err(Error::Abnormal)));
        assert_eq!(handled, READS * BATCH);
        println!("futures-io {role:?}: echo of {handled} messages: {heap:?}");
        assert!(heap.calls <= 40, "{role:?}: {heap:?}");

        let stream = Loop { ends: false, ..Loop::new(&batch, 3) };
        let mut ws = WebSocket::from_parts(stream, role, Config::default(), []);
        let ((), waiting) = measure(|| {
            let echo = ws.run(|message, out| out.feed(message));
            assert!(poll_times(echo, 3).is_none());
        });
        println!("futures-io {role:?}: waiting {} bytes on the heap", waiting.kept);
        assert!(waiting.kept <= 512, "{waiting:?}");
    }
    let size = size_of::<WebSocket<smol::net::TcpStream>>();
    println!("futures-io WebSocket<TcpStream>: {size} bytes");
    assert!(size <= 896);
}

/// `recv` gives owned messages: one allocation for each that is not empty, and `send` of one adds
/// none.
#[test]
fn an_owned_message_is_one_allocation() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let batch = frame(role, 0x82, &[7; 125]).repeat(BATCH);
        let config = || quiet().flush_policy(FlushPolicy::BeforeWait);
        let (count, heap) = measure(|| {
            let stream = Loop::new(&batch, READS);
            let mut ws = fullduplex::tokio::WebSocket::from_parts(stream, role, config(), []);
            run(async {
                let mut count = 0;
                while let Ok(Some(message)) = ws.recv().await {
                    ws.send(message).await.unwrap();
                    count += 1;
                }
                count
            })
        });
        println!("{role:?}: recv and send of {count} messages: {heap:?}");
        assert_eq!(count, READS * BATCH);
        assert!((count..=count + 40).contains(&heap.calls), "{heap:?}");
    }
}

/// A large binary message is read straight into its place: in few reads, with memory for it, one
/// read buffer and little else.
#[test]
fn a_large_message_is_read_into_its_place() {
    let size = 8 << 20;
    let payload: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    for role in BOTH {
        let wire = [frame(role, 0x82, &payload), frame(role, 0x81, b"behind it")].concat();
        let reads = Cell::new(0);
        let stream = Plenty { bytes: &wire, reads: &reads };
        let mut ws = fullduplex::tokio::WebSocket::from_parts(stream, role, quiet(), []);
        let (message, heap) = measure(|| run(ws.recv()).unwrap().unwrap());
        println!("{role:?}: {size} bytes in {} reads: {heap:?}", reads.get());
        assert!(message.as_bytes() == payload, "{role:?}");
        assert!(reads.get() <= 40, "{role:?}: {} reads", reads.get());
        assert!(heap.peak <= size + 100_000, "{role:?}: {heap:?}");
        assert_eq!(run(ws.recv()).unwrap(), Some("behind it".into()));
        assert_eq!(run(ws.recv()).unwrap_err().to_string(), Error::Abnormal.to_string());
    }
}

/// An idle connection holds no read buffer and no outbox, neither while it waits nor after a
/// message was taken.
#[test]
fn an_idle_connection_holds_no_buffers() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let batch = frame(role, 0x82, &[7; 1_000]).repeat(BATCH);
        // What the thread keeps for all connections is there before.
        let pool = |stream| run(on_tokio(stream, role).run(|message, out| out.feed(message)));
        let _ = pool(Loop::new(&batch, 1));
        let stream = || Loop { ends: false, ..Loop::new(&batch, 3) };

        let (mut ws, new) = measure(|| on_tokio(stream(), role));
        let ((), waiting) = measure(|| {
            let echo = ws.run(|message, out| out.feed(message));
            assert!(poll_times(echo, 1).is_none());
        });
        let total = new.kept + waiting.kept;
        println!("tokio {role:?}: new {} bytes, waiting {total} bytes on the heap", new.kept);
        // Keepalive has a timer; its state and the configuration are all the rest.
        assert!(total <= 1_024, "{role:?}: {new:?} {waiting:?}");

        let (mut ws, new) = measure(|| on_blocking(stream(), role));
        let ((), waiting) = measure(|| {
            let end = ws.run(|message, out| out.feed(message));
            assert!(matches!(end, Err(Error::Io(_))), "{end:?}");
        });
        let total = new.kept + waiting.kept;
        println!("blocking {role:?}: new {} bytes, waiting {total} bytes on the heap", new.kept);
        assert!(total <= 1_024, "{role:?}: {new:?} {waiting:?}");

        // One configuration can serve all connections.
        let shared = std::sync::Arc::new(quiet());
        let (_, shared) = measure(|| {
            let stream = stream();
            std::mem::forget(fullduplex::tokio::WebSocket::from_parts(
                stream,
                role,
                shared.clone(),
                [],
            ));
        });
        println!("tokio {role:?}: new, with a shared configuration: {} bytes", shared.kept);
        assert!(shared.kept <= 64, "{shared:?}");
    }
}

/// The buffer of a batch goes back when the last message of it was taken, though the caller does
/// something else before it receives again.
#[test]
fn a_drained_batch_holds_no_buffer() {
    let runtime = paused();
    let _time = runtime.enter();
    let batch = frame(Role::Server, 0x82, &[7; 16]);
    let mut ws = on_tokio(Loop { ends: false, ..Loop::new(&batch, 1) }, Role::Server);
    let (message, heap) = measure(|| run(ws.recv()).unwrap());
    assert_eq!(message, Some(Message::from(vec![7; 16])));
    // The first read of a thread makes the buffer; in the end the pool has it and not we.
    let (_, heap_of_another) = measure(|| {
        let mut other = on_tokio(Loop { ends: false, ..Loop::new(&batch, 1) }, Role::Server);
        run(other.recv()).unwrap();
        drop(other);
    });
    println!("first {heap:?}, another {heap_of_another:?}");
    assert!(heap_of_another.peak < 60_000, "the buffer is with the first: {heap_of_another:?}");
}

/// A thousand connections that wait share what they read into.
#[test]
fn a_thousand_idle_connections() {
    let runtime = paused();
    let _time = runtime.enter();
    let batch = frame(Role::Server, 0x82, &[7; 100]).repeat(BATCH);
    let config = std::sync::Arc::new(Config::default().keepalive(fullduplex::Keepalive::default()));
    let (connections, heap) = measure(|| {
        let mut connections = Vec::with_capacity(1_000);
        for _ in 0..1_000 {
            let stream = Loop { ends: false, ..Loop::new(&batch, 2) };
            let config = config.clone();
            let mut ws = fullduplex::tokio::WebSocket::from_parts(stream, Role::Server, config, []);
            assert!(poll_times(ws.run(|message, out| out.feed(message)), 1).is_none());
            connections.push(ws);
        }
        connections
    });
    let inline = size_of_val(&connections[..]) as isize;
    let each = (heap.kept - inline) / 1_000;
    println!("a thousand idle servers: {each} bytes of heap each, beside {inline} of them");
    assert!(each <= 512, "{heap:?}");
}

/// What a task or a thread has to hold.
#[test]
fn sizes_of_types() {
    let sync = size_of::<blocking::WebSocket<std::net::TcpStream>>();
    let asynchronous = size_of::<fullduplex::tokio::WebSocket<tokio::net::TcpStream>>();
    let error = size_of::<Error>();
    let message = size_of::<Message>();
    println!("WebSocket<TcpStream>: blocking {sync}, tokio {asynchronous} bytes");
    println!("Error {error}, Message {message} bytes");
    assert!(sync <= 800 && asynchronous <= 800);
    assert!(error <= 128 && message <= 40);
    // A handler's future is a reference and what it polls with, not a copy of the connection.
    let batch = [];
    let mut ws = on_tokio(Loop::new(&batch, 0), Role::Server);
    let future = size_of_val(&ws.recv());
    println!("future of recv: {future} bytes");
    assert!(future <= 128);
}

/// A half that sends copies what it writes, into a buffer of the thread's, and holds little behind
/// it. With nobody receiving it looks at what arrives, and that costs no more.
#[test]
fn a_blocking_half_sends_without_allocating() {
    let _watchdog = support::watchdog();
    for role in BOTH {
        let (ours, mut theirs) = support::tcp_pair();
        let ws = blocking::WebSocket::from_parts(ours, role, quiet(), []);
        let (reader, writer) = ws.split();
        let peer = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
        let payload = [7; 125];
        let send = |times: usize| (0..times).for_each(|_| writer.send(&payload[..]).unwrap());
        send(10);
        let ((), heap) = measure(|| send(1000));
        println!("{role:?}: 1000 messages through a blocking half: {heap:?}");
        // The buffer that a look reads into comes from the thread's pool, too.
        assert!(heap.calls <= 2 && heap.kept <= 70_000, "{role:?}: {heap:?}");
        let ((), large) = measure(|| writer.send(vec![7; 1 << 20]).unwrap());
        assert!(large.kept <= 70_000, "{role:?}: {large:?}");
        drop((reader, writer));
        peer.join().unwrap();
    }
}

/// How many times each call is measured, and how often it may allocate in all that: nothing for each.
/// A writer that lets other tasks have their turn takes a place in the queue, whose three maps then
/// have their first node.
const CALLS: usize = 20;
const FEW: usize = 3;

/// Measures `call`, once it has been warmed up.
macro_rules! frugal {
    ($who:expr, $what:literal, $call:expr) => {{
        #[allow(unused_mut, reason = "where the connection is shared")]
        let mut call = $call;
        (0..8).for_each(|_| call());
        let ((), heap) = measure(|| (0..CALLS).for_each(|_| call()));
        println!("{} {}: {heap:?} for {CALLS}", $who, $what);
        assert!(heap.calls <= FEW, "{} {}: {heap:?}", $who, $what);
    }};
}

/// All calls that send, of any type: `$run` runs what they return to its end.
macro_rules! sending_calls {
    ($who:expr, $run:ident, $ws:ident) => {{
        sending_calls!($who, $run, $ws, 125);
        sending_calls!($who, $run, $ws, 4_500); // more than a connection keeps room for
    }};
    ($who:expr, $run:ident, $ws:ident, $size:literal) => {{
        let bytes: &[u8] = &[7; $size];
        let prepared = fullduplex::Prepared::new(bytes);
        frugal!($who, "send", || $run!($ws.send(bytes)));
        frugal!($who, "send_prepared", || $run!($ws.send(&prepared)));
        frugal!($who, "feed", || {
            $ws.feed(bytes).unwrap();
            $ws.feed(bytes).unwrap();
            $run!($ws.flush());
        });
        frugal!($who, "feed_prepared", || {
            $ws.feed(&prepared).unwrap();
            $run!($ws.flush());
        });
        frugal!($who, "send_fragment", || {
            $run!($ws.send_fragment(bytes, false));
            $run!($ws.send_fragment(bytes, true));
        });
        frugal!($who, "ping", || $run!($ws.ping(b"ping")));
        #[cfg(feature = "deflate")]
        {
            use fullduplex::deflate::Compression::{Always, Never};
            for compression in [Always, Never] {
                frugal!($who, "send_with", || $run!($ws.send(compression.of(bytes))));
                frugal!($who, "feed_with", || {
                    $ws.feed(compression.of(bytes)).unwrap();
                    $run!($ws.flush());
                });
            }
            let prepared = fullduplex::Prepared::new(Always.of(bytes));
            frugal!($who, "send_prepared, compressed", || $run!($ws.send(&prepared)));
        }
    }};
}

macro_rules! at_once {
    ($result:expr) => {
        $result.unwrap()
    };
}

macro_rules! polled {
    ($future:expr) => {
        at_end($future).unwrap()
    };
}

/// Runs a future that never waits, without an allocation for a waker.
fn at_end<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    for _ in 0..2 {
        // Once it may only be the turn of others.
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("it waits")
}

/// `$ws` with compression, if that is built in, and a window that is soon full.
macro_rules! deflating {
    ($ws:expr) => {{
        let ws = $ws;
        #[cfg(feature = "deflate")]
        let ws = ws.with_deflate(deflate::with_bits(9, true)).unwrap();
        ws
    }};
}

/// A stream on which nothing comes.
fn silent() -> Loop<'static> {
    Loop { ends: false, ..Loop::new(&[], 0) }
}

/// A11: every call that sends goes through storage that the thread lends, whatever its name: none
/// allocates for each message, of whole connections and of halves.
#[test]
fn no_sending_call_of_tokio_allocates_for_each_message() {
    let runtime = paused();
    let _time = runtime.enter();
    for role in BOTH {
        let over = |stream| fullduplex::tokio::WebSocket::from_parts(stream, role, quiet(), []);
        let mut ws = deflating!(over(silent()));
        sending_calls!(format!("tokio, {role:?}:"), polled, ws);
        let (_reader, writer) = ws.split();
        sending_calls!(format!("tokio writer, {role:?}:"), polled, writer);
        let bytes: &[u8] = &[7; 125];
        frugal!("tokio writer:", "send_iter", || polled!(writer.send_iter([bytes, bytes])));
        frugal!("tokio writer:", "feed_fragment", || {
            writer.feed_fragment(bytes, false).unwrap();
            writer.feed_fragment(bytes, true).unwrap();
            polled!(writer.flush());
        });
    }
}

/// A11: the same on threads.
#[test]
fn no_blocking_sending_call_allocates_for_each_message() {
    for role in BOTH {
        let stream = blocking::Plain(silent());
        let mut ws = deflating!(blocking::WebSocket::from_parts(stream, role, quiet(), []));
        sending_calls!(format!("blocking, {role:?}:"), at_once, ws);
        frugal!("blocking:", "send_iter", || ws.send_iter(["to", "be"]).unwrap());
        frugal!("blocking:", "feed_fragment", || {
            ws.feed_fragment("part", false).unwrap();
            ws.feed_fragment("part", true).unwrap();
            ws.flush().unwrap();
        });
    }
}

/// A11: and in halves, over TCP.
#[test]
fn no_sending_call_of_a_blocking_writer_allocates_for_each_message() {
    let _watchdog = support::watchdog();
    for role in BOTH {
        let (ours, mut theirs) = support::tcp_pair();
        let peer = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
        let ws = deflating!(blocking::WebSocket::from_parts(ours, role, quiet(), Vec::new()));
        let (reader, writer) = ws.split();
        sending_calls!(format!("blocking writer, {role:?}:"), at_once, writer);
        drop((reader, writer));
        peer.join().unwrap();
    }
}

/// A11: and on any other runtime.
#[cfg(feature = "futures-io")]
#[test]
fn no_sending_call_of_futures_io_allocates_for_each_message() {
    for role in BOTH {
        let stream = fullduplex::futures_io::FuturesIo::with_timer(silent(), support::Still);
        let mut ws = deflating!(stream.adopt(role, quiet(), []));
        sending_calls!(format!("futures-io, {role:?}:"), polled, ws);
        let (_reader, writer) = ws.split();
        sending_calls!(format!("futures-io writer, {role:?}:"), polled, writer);
    }
}

/// A11: the same for each call of a handler's [`fullduplex::Responder`], one message for each that
/// comes.
#[test]
fn no_call_of_a_handler_allocates_for_each_message() {
    use fullduplex::{IntoMessage, Prepared, Responder};
    type Call<'c> = Box<dyn Fn(&mut Responder<'_>) -> Result<(), Error> + 'c>;
    fn fragments(out: &mut Responder<'_>, part: impl IntoMessage + Copy) -> Result<(), Error> {
        out.feed_fragment(part, false)?;
        out.feed_fragment(part, true)
    }
    let runtime = paused();
    let _time = runtime.enter();
    let prepared = Prepared::new("prepared");
    let payload: &[u8] = &[7; 125];
    #[cfg_attr(not(feature = "deflate"), allow(unused_mut, reason = "nothing is added"))]
    let mut calls: Vec<(&str, Call<'_>)> = vec![
        ("feed", Box::new(|out| out.feed(payload))),
        ("feed_prepared", Box::new(|out| out.feed(&prepared))),
        ("feed_fragment", Box::new(|out| fragments(out, payload))),
    ];
    #[cfg(feature = "deflate")]
    {
        use fullduplex::deflate::Compression::{Always, Never};
        calls.push(("feed_with, compressed", Box::new(|out| out.feed(Always.of(payload)))));
        calls.push(("feed_with, plain", Box::new(|out| out.feed(Never.of(payload)))));
        let fragments = |out: &mut Responder<'_>| {
            out.feed_fragment(Always.of(payload), false)?;
            out.feed_fragment(Always.of(payload), true)
        };
        calls.push(("feed_fragment_with", Box::new(fragments)));
    }
    for role in BOTH {
        // A message for each read: the storage is lent and taken back each time.
        let batch = frame(role, 0x82, payload);
        for (name, call) in &calls {
            let measured = |reads: usize| {
                let stream = Loop::new(&batch, reads);
                let mut ws = deflating!(on_blocking(stream, role));
                let sync = measure(|| ws.run(|_, out| call(out)));
                let stream = Loop::new(&batch, reads);
                let mut ws = deflating!(on_tokio(stream, role));
                let tokio = measure(|| run(ws.run(|_, out| call(out))));
                for (result, _) in [&sync, &tokio] {
                    assert!(matches!(result, Err(Error::Abnormal)), "{name}: {result:?}");
                }
                [sync.1.calls, tokio.1.calls]
            };
            measured(20);
            let (few, many) = (measured(20), measured(20 + CALLS));
            println!("{role:?} {name}: {few:?} for 20 messages, {many:?} for {CALLS} more");
            for (few, many) in few.into_iter().zip(many) {
                assert!(many <= few + FEW, "{role:?} {name}: {few} and {many} allocations");
            }
        }
    }
}
