//! What the tests of the adapters share: a stream that follows a script, all adapters behind one
//! trait, an executor that notices a lost wakeup, and an end to everything that hangs.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

#[cfg(feature = "tokio")]
pub(crate) mod life;
pub(crate) mod script;
#[cfg(feature = "tokio")]
pub(crate) mod tasks;

pub(crate) use script::{Script, Step};

use core::time::Duration;
use fullduplex::{
    Chunk, CloseFrame, Closed, Config, Error, Event, Incoming, IntoCloseFrame, IntoMessage,
    Message, Outgoing, Role, SendError, Stats, TextFragment, blocking,
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process,
    sync::mpsc,
    thread,
};

/// No timers but the closing ones.
pub(crate) fn quiet() -> Config {
    Config::default().no_keepalive()
}

/// Ends the test process if this is not dropped in time: nothing may hang for ever. The time is a
/// minute, or `WATCHDOG_SECONDS` where the machine is slow.
pub(crate) struct Watchdog(#[allow(dead_code)] mpsc::Sender<()>);

#[must_use]
pub(crate) fn watchdog() -> Watchdog {
    let (sender, receiver) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a test").to_string();
    let seconds = std::env::var("WATCHDOG_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    thread::spawn(move || {
        if receiver.recv_timeout(Duration::from_secs(seconds))
            == Err(mpsc::RecvTimeoutError::Timeout)
        {
            eprintln!("{test} hangs");
            process::abort();
        }
    });
    Watchdog(sender)
}

/// Two ends of a TCP connection.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (server, client)
}

/// A `ws` URL for a listener.
pub(crate) fn url(listener: &TcpListener) -> String {
    format!("ws://{}/", listener.local_addr().unwrap())
}

/// Reads to the end; an error counts as one, after what came before it.
pub(crate) fn read_all(mut stream: &TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let result = stream.read_to_end(&mut bytes).map(|_| ());
    (bytes, result)
}

/// Reads a whole HTTP head, byte by byte, and nothing behind it.
pub(crate) fn read_head(mut stream: impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The value of a header in a head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A good request, as bytes.
pub(crate) const REQUEST: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The 101 that answers `request`, with further header lines.
pub(crate) fn response_to(request: &str, lines: &str) -> String {
    let key = header(request, "Sec-WebSocket-Key").expect("a key");
    let accept = fullduplex::handshake::accept_key(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
}

pub(crate) type Handler<'h> =
    &'h mut dyn FnMut(Incoming<'_>, &mut Outgoing<'_>) -> Result<(), Error>;

/// Any adapter, driven from outside of any task.
pub(crate) trait Ws {
    fn recv(&mut self) -> Result<Option<Message>, Error>;
    fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error>;
    fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error>;
    fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error>;
    fn run(&mut self, handle: Handler<'_>) -> Result<(), Error>;
    fn send(&mut self, message: Message) -> Result<(), Error>;
    fn feed(&mut self, message: Message) -> Result<(), SendError>;
    fn flush(&mut self) -> Result<(), Error>;
    fn ready(&mut self) -> Result<(), Error>;
    fn ping(&mut self, payload: &[u8]) -> Result<(), Error>;
    fn pong(&mut self, payload: &[u8]) -> Result<(), Error>;
    fn send_text_fragment(&mut self, part: &[u8], fin: bool) -> Result<(), Error>;
    fn drain(&mut self) -> Result<(), Error>;
    fn start_close_with(&mut self, frame: Option<CloseFrame>) -> Result<(), Error>;
    fn close_with(&mut self, frame: Option<CloseFrame>) -> Result<(), Error>;
    fn closed(&self) -> Option<&Closed>;
    fn stats(&self) -> Stats;

    /// What comes until the end, and how that was reported.
    fn recv_all(&mut self) -> (Vec<Message>, Result<(), Error>) {
        let mut messages = Vec::new();
        loop {
            match self.recv() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, Ok(())),
                Err(error) => return (messages, Err(error)),
            }
        }
    }

    /// Sends back what comes, until the end.
    fn echo(&mut self) -> Result<(), Error> {
        self.run(&mut |message, out| out.feed(message))
    }
}

/// What a trait object cannot be generic over.
impl dyn Ws + '_ {
    pub(crate) fn close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        self.close_with(frame.into_close_frame()?)
    }

    pub(crate) fn start_close(&mut self, frame: impl IntoCloseFrame) -> Result<(), Error> {
        self.start_close_with(frame.into_close_frame()?)
    }
}

impl<S: Read + Write + blocking::Timeouts> Ws for blocking::WebSocket<S> {
    fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.recv()
    }

    fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.recv_event()
    }

    fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.recv_chunk()
    }

    fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error> {
        self.send_fragment(fragment, fin)
    }

    fn run(&mut self, handle: Handler<'_>) -> Result<(), Error> {
        self.run(|message, out| handle(message, out))
    }

    fn send(&mut self, message: Message) -> Result<(), Error> {
        self.send(message)
    }

    fn feed(&mut self, message: Message) -> Result<(), SendError> {
        self.feed(message)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.flush()
    }

    fn ready(&mut self) -> Result<(), Error> {
        self.ready()
    }

    fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.ping(payload)
    }

    fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.pong(payload)
    }

    fn send_text_fragment(&mut self, part: &[u8], fin: bool) -> Result<(), Error> {
        self.send_fragment(TextFragment(part), fin)
    }

    fn drain(&mut self) -> Result<(), Error> {
        self.drain()
    }

    fn start_close_with(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        self.start_close(frame)
    }

    fn close_with(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        self.close(frame)
    }

    fn closed(&self) -> Option<&Closed> {
        self.closed()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

#[cfg(feature = "tokio")]
pub(crate) use on_tokio::*;

#[cfg(feature = "tokio")]
mod on_tokio {
    use super::*;
    use core::{
        pin::{Pin, pin},
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll, Waker},
    };
    #[cfg(feature = "futures-io")]
    use fullduplex::Time;
    use fullduplex::asynchronous::{AsyncIo, WebSocket};
    use std::{sync::Arc, task::Wake};
    use tokio::runtime::{Builder, Runtime};

    /// A runtime with timers and sockets, in this thread.
    pub(crate) fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// A runtime whose clock stands still and jumps to the next deadline when nothing else is to
    /// be done.
    pub(crate) fn paused() -> Runtime {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    /// A waker that counts.
    #[derive(Default)]
    pub(crate) struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Woken {
        pub(crate) fn new() -> (Arc<Self>, Waker) {
            let woken = Arc::new(Self::default());
            (woken.clone(), Waker::from(woken))
        }

        /// How often since the last time that this was asked.
        pub(crate) fn take(&self) -> usize {
            self.0.swap(0, Ordering::SeqCst)
        }
    }

    /// Polls `future` at most `polls` times, each after the first only if it was woken: `None` if
    /// it was not ready by then. It is dropped in any case.
    pub(crate) fn poll_times<F: Future>(future: F, polls: usize) -> Option<F::Output> {
        let mut future = pin!(future);
        let (woken, waker) = Woken::new();
        for poll in 0..polls {
            if poll > 0 && woken.take() == 0 {
                return None;
            }
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
        }
        None
    }

    /// Runs `future` to its end.
    ///
    /// # Panics
    /// When it waits and nothing will ever wake it, and when it takes too many steps.
    #[track_caller]
    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        poll_times(future, 1_000_000).expect("it waits for ever: a lost wakeup")
    }

    enum Executor {
        Steps,
        Tokio(Runtime),
        #[cfg(feature = "futures-io")]
        Smol,
    }

    /// An async adapter from outside of any task.
    pub(crate) struct Async<T> {
        pub(crate) ws: WebSocket<T>,
        executor: Executor,
    }

    impl<T: AsyncIo> Async<T> {
        fn block<R>(&mut self, work: impl AsyncFnOnce(&mut WebSocket<T>) -> R) -> R {
            match &self.executor {
                Executor::Steps => run(work(&mut self.ws)),
                Executor::Tokio(runtime) => runtime.block_on(work(&mut self.ws)),
                #[cfg(feature = "futures-io")]
                Executor::Smol => smol::block_on(work(&mut self.ws)),
            }
        }
    }

    impl<T: AsyncIo> Ws for Async<T> {
        fn recv(&mut self) -> Result<Option<Message>, Error> {
            self.block(async |ws| ws.recv().await)
        }

        fn recv_event(&mut self) -> Result<Option<Event<'static>>, Error> {
            self.block(async |ws| ws.recv_event().await)
        }

        fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
            self.block(async |ws| ws.recv_chunk().await)
        }

        fn send_fragment(&mut self, fragment: Message, fin: bool) -> Result<(), Error> {
            self.block(async |ws| ws.send_fragment(fragment, fin).await)
        }

        fn run(&mut self, handle: Handler<'_>) -> Result<(), Error> {
            self.block(async |ws| ws.run(|message, out| handle(message, out)).await)
        }

        fn send(&mut self, message: Message) -> Result<(), Error> {
            self.block(async |ws| ws.send(message).await)
        }

        fn feed(&mut self, message: Message) -> Result<(), SendError> {
            self.ws.feed(message)
        }

        fn flush(&mut self) -> Result<(), Error> {
            self.block(async |ws| ws.flush().await)
        }

        fn ready(&mut self) -> Result<(), Error> {
            self.block(async |ws| ws.ready().await)
        }

        fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
            self.block(async |ws| ws.ping(payload).await)
        }

        fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
            self.block(async |ws| ws.pong(payload).await)
        }

        fn send_text_fragment(&mut self, part: &[u8], fin: bool) -> Result<(), Error> {
            self.block(async |ws| ws.send_fragment(TextFragment(part), fin).await)
        }

        fn drain(&mut self) -> Result<(), Error> {
            self.block(async |ws| ws.drain().await)
        }

        fn start_close_with(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
            self.ws.start_close(frame)
        }

        fn close_with(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
            self.block(async |ws| ws.close(frame).await)
        }

        fn closed(&self) -> Option<&Closed> {
            self.ws.closed()
        }

        fn stats(&self) -> Stats {
            self.ws.stats()
        }
    }

    pub(crate) fn tokio_over(
        script: &Script,
        role: Role,
        config: Config,
    ) -> fullduplex::tokio::WebSocket<Script> {
        fullduplex::tokio::WebSocket::from_parts(script.clone(), role, config, [])
    }

    /// A clock that stands still.
    #[cfg(feature = "futures-io")]
    pub(crate) struct Still;

    #[cfg(feature = "futures-io")]
    impl fullduplex::futures_io::Timer for Still {
        fn now(&self) -> Time {
            Time::EPOCH
        }

        fn poll_until(&mut self, _: &mut Context<'_>, deadline: Time) -> Poll<()> {
            if deadline == Time::EPOCH { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[cfg(feature = "futures-io")]
    pub(crate) fn futures_io_over(
        script: &Script,
        role: Role,
        config: Config,
    ) -> fullduplex::futures_io::WebSocket<Script, Still> {
        let io = fullduplex::futures_io::FuturesIo::with_timer(script.clone(), Still);
        io.adopt(role, config, [])
    }

    /// A block with each async adapter in turn, whose constructor over a script has the given name.
    macro_rules! on_async {
        ($over:ident => $block:block) => {{
            {
                let $over = crate::support::tokio_over;
                $block
            }
            #[cfg(feature = "futures-io")]
            {
                let $over = crate::support::futures_io_over;
                $block
            }
        }};
    }
    pub(crate) use on_async;

    /// Runs `test` on all adapters over a script that `script` makes.
    pub(crate) fn on_all(
        role: Role,
        config: &Config,
        script: impl Fn() -> Script,
        mut test: impl FnMut(&mut dyn Ws, &Script),
    ) {
        let _watchdog = watchdog();
        let stream = script();
        stream.state().blocking = true;
        let mut ws =
            blocking::WebSocket::from_parts(stream.clone(), role, config.clone(), Vec::new());
        test(&mut ws, &stream);
        let runtime = paused();
        let _time = runtime.enter();
        on_async!(over => {
            let stream = script();
            let ws = over(&stream, role, config.clone());
            test(&mut Async { ws, executor: Executor::Steps }, &stream);
        });
    }

    /// Runs `test` on all adapters over TCP, with the peer's end of it.
    pub(crate) fn on_all_over_tcp(
        role: Role,
        config: &Config,
        mut test: impl FnMut(&mut dyn Ws, TcpStream),
    ) {
        let _watchdog = watchdog();
        let (ours, theirs) = tcp_pair();
        let mut ws = blocking::WebSocket::from_parts(ours, role, config.clone(), Vec::new());
        test(&mut ws, theirs);
        let (ours, theirs) = tcp_pair();
        ours.set_nonblocking(true).unwrap();
        let runtime = runtime();
        let ws = {
            let _reactor = runtime.enter();
            let ours = tokio::net::TcpStream::from_std(ours).unwrap();
            fullduplex::tokio::WebSocket::from_parts(ours, role, config.clone(), Vec::new())
        };
        test(&mut Async { ws, executor: Executor::Tokio(runtime) }, theirs);
        #[cfg(feature = "futures-io")]
        {
            let (ours, theirs) = tcp_pair();
            let ours = smol::net::TcpStream::try_from(ours).unwrap();
            let ws = fullduplex::futures_io::WebSocket::from_parts(ours, role, config.clone(), []);
            test(&mut Async { ws, executor: Executor::Smol }, theirs);
        }
    }
}
