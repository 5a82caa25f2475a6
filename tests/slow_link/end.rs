//! One end of connections over slow, dead and deaf paths: what `tests/slow_link/run` looks at.
//!
//! `slow_link_end blocking|tokio|smol whole|split connect|listen TARGET N TASK [NAME=SECONDS…]`
//! opens N connections, to a URL or to who comes to an address, and does the same on each:
//!
//! - `send:BYTES:PIECE` sends so many bytes in messages of PIECE, takes one message for the answer,
//!   and closes;
//! - `tick:BYTES:MILLISECONDS` sends a message of BYTES again and again, and receives meanwhile; on
//!   one thread the answer to each;
//! - `take` answers each message with the number of its bytes;
//! - `echo` echoes.
//!
//! All settings are the defaults, but for `interval` and `timeout` of keepalive, and for the time of
//! the handshake, as many ends are started at a time. A line on stdout for each step: `listening on URL`, then `open`, `sent`, `answered TEXT`, and at the end `closed`
//! or `failed ERROR`. Exits 0 if all ended cleanly; and as soon as stdin ends, so that it does not
//! outlive who started it.

use fullduplex::{
    CloseCode, Config, Error, Keepalive, Message,
    asynchronous::{self, AsyncIo},
    blocking::{self, Duplex},
    futures_io,
    handshake::{Acceptor, Url},
};
use futures_util::future::{Either, select};
use std::{
    env,
    future::Future,
    io::{self, Read as _},
    net::TcpListener,
    pin::{Pin, pin},
    process::exit,
    sync::Arc,
    thread,
    time::Duration,
};

type Result<T = (), E = Error> = std::result::Result<T, E>;
type Task = Pin<Box<dyn Future<Output = Result> + Send>>;

/// What each connection does.
#[derive(Clone, Copy)]
enum Work {
    Send { bytes: usize, piece: usize },
    Tick { bytes: usize, every: Duration },
    Take,
    Echo,
}

struct Arguments {
    adapter: String,
    split: bool,
    listens: bool,
    target: String,
    connections: usize,
    work: Work,
    config: Arc<Config>,
}

fn main() -> Result<(), String> {
    let arguments = arguments()?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        exit(3)
    });
    let clean = match arguments.adapter.as_str() {
        "blocking" => threads(&arguments),
        "tokio" => on_tokio(&arguments),
        "smol" => on_smol(&arguments),
        other => return Err(format!("unknown adapter {other}")),
    };
    exit(!clean.map_err(|error| error.to_string())? as i32)
}

fn arguments() -> Result<Arguments, String> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [adapter, shape, role, target, connections, work, settings @ ..] = words.as_slice() else {
        return Err("usage: see the head of tests/slow_link/end.rs".to_string());
    };
    let number = |word: &str| word.parse::<u64>().map_err(|error| format!("{word}: {error}"));
    let work = match work.split(':').collect::<Vec<_>>()[..] {
        ["send", bytes, piece] => {
            Work::Send { bytes: number(bytes)? as usize, piece: number(piece)? as usize }
        }
        ["tick", bytes, every] => {
            let every = Duration::from_millis(number(every)?);
            Work::Tick { bytes: number(bytes)? as usize, every }
        }
        ["take"] => Work::Take,
        ["echo"] => Work::Echo,
        _ => return Err(format!("unknown task {work}")),
    };
    let mut config = Config::default().handshake_timeout(Duration::from_secs(60));
    let mut keepalive = Keepalive::default();
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or("a setting is NAME=SECONDS")?;
        let seconds = Duration::from_secs(number(value)?);
        keepalive = match name {
            "interval" => Keepalive::every(seconds),
            "timeout" => keepalive.pong_timeout(seconds),
            _ => return Err(format!("unknown setting {name}")),
        };
        config = config.keepalive(keepalive);
    }
    Ok(Arguments {
        adapter: adapter.clone(),
        split: shape == "split",
        listens: role == "listen",
        target: target.clone(),
        connections: number(connections)? as usize,
        work,
        config: Arc::new(config),
    })
}

/// Messages whose bytes, one behind the other, count from 0 to 250 and again.
fn messages(bytes: usize, piece: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes).step_by(piece).map(move |start| {
        let end = bytes.min(start + piece);
        (start..end).map(|i| (i % 251) as u8).collect()
    })
}

fn answered(message: Option<Message>) -> Result {
    let message = message.ok_or(Error::Abnormal)?;
    println!("answered {}", message.as_text().unwrap_or("in binary"));
    Ok(())
}

fn received(message: &Message) -> String {
    format!("got {}", message.as_bytes().len())
}

/// Says how a connection ended; whether that was cleanly.
fn ended(result: Result) -> bool {
    match &result {
        Ok(()) => println!("closed"),
        Err(error) => println!("failed {error:?}"),
    }
    result.is_ok()
}

/// Where servers are to come to.
fn listener(address: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind((address, 0))?;
    println!("listening on ws://{}", listener.local_addr()?);
    Ok(listener)
}

// ---- threads

fn threads(arguments: &Arguments) -> Result<bool> {
    let &Arguments { split, work, .. } = arguments;
    let listener = arguments.listens.then(|| listener(&arguments.target)).transpose()?;
    let mut connections = Vec::new();
    for _ in 0..arguments.connections {
        let config = arguments.config.clone();
        connections.push(match &listener {
            Some(listener) => {
                let (stream, _) = listener.accept()?;
                thread::spawn(move || {
                    stream.set_nodelay(true)?;
                    let ws = blocking::accept_with(stream, &Acceptor::new(), config)?;
                    on_thread(ws, split, work)
                })
            }
            None => {
                let url = arguments.target.clone();
                thread::spawn(move || on_thread(blocking::connect_with(url, config)?, split, work))
            }
        });
    }
    // Each says so when it ends, not when its turn to be waited for has come.
    let ends = connections.into_iter().map(|connection| {
        thread::spawn(move || ended(connection.join().expect("a connection panicked")))
    });
    let ends: Vec<_> = ends.collect();
    Ok(ends.into_iter().fold(true, |clean, end| end.join().expect("a panic") & clean))
}

fn on_thread<S>(ws: blocking::WebSocket<S>, split: bool, work: Work) -> Result
where
    S: Duplex + Send + Sync + 'static,
{
    println!("open");
    if split { threads_of_halves(ws, work) } else { thread_of_whole(ws, work) }
}

fn thread_of_whole<S: Duplex>(mut ws: blocking::WebSocket<S>, work: Work) -> Result {
    match work {
        Work::Send { bytes, piece } => {
            for message in messages(bytes, piece) {
                ws.send(message)?;
            }
            println!("sent");
            answered(ws.recv()?)?;
            ws.close(CloseCode::NORMAL)
        }
        // One thread cannot do both at a time: it waits for an answer to each.
        Work::Tick { bytes, every } => loop {
            ws.send(vec![b'.'; bytes])?;
            ws.recv()?.ok_or(Error::Abnormal)?;
            thread::sleep(every);
        },
        Work::Take => {
            while let Some(message) = ws.recv()? {
                ws.send(received(&message))?;
            }
            Ok(())
        }
        Work::Echo => ws.run(|message, out| out.feed(message)),
    }
}

fn threads_of_halves<S>(ws: blocking::WebSocket<S>, work: Work) -> Result
where
    S: Duplex + Send + Sync + 'static,
{
    let (mut reader, writer) = ws.split();
    match work {
        Work::Send { bytes, piece } => {
            let sender = writer.clone();
            let sender = thread::spawn(move || {
                for message in messages(bytes, piece) {
                    sender.send(message)?;
                }
                println!("sent");
                Ok(())
            });
            let result = reader.recv().and_then(answered);
            let sent = sender.join().expect("the sender panicked");
            result.and(sent)?;
            writer.close(CloseCode::NORMAL)
        }
        Work::Tick { bytes, every } => {
            thread::spawn(move || {
                while writer.send(vec![b'.'; bytes]).is_ok() {
                    thread::sleep(every);
                }
            });
            while reader.recv()?.is_some() {}
            Ok(())
        }
        Work::Take => {
            while let Some(message) = reader.recv()? {
                writer.send(received(&message))?;
            }
            Ok(())
        }
        Work::Echo => {
            while let Some(message) = reader.recv()? {
                writer.send(message)?;
            }
            Ok(())
        }
    }
}

// ---- runtimes

/// What the two runtimes have under different names.
trait Runtime: Copy + Send + Sync + 'static {
    fn sleep(self, time: Duration) -> impl Future<Output = ()> + Send;
    /// Starts a task; the future is its end.
    fn spawn(self, task: Task) -> Task;
}

#[derive(Clone, Copy)]
struct Tokio;

impl Runtime for Tokio {
    async fn sleep(self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn spawn(self, task: Task) -> Task {
        let task = tokio::spawn(task);
        Box::pin(async { task.await.expect("a task panicked") })
    }
}

#[derive(Clone, Copy)]
struct Smol;

impl Runtime for Smol {
    async fn sleep(self, time: Duration) {
        smol::Timer::after(time).await;
    }

    fn spawn(self, task: Task) -> Task {
        Box::pin(smol::spawn(task))
    }
}

fn on_tokio(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = arguments.listens.then(|| listener(&arguments.target)).transpose()?;
        if let Some(listener) = &listener {
            listener.set_nonblocking(true)?;
        }
        let listener = listener.map(tokio::net::TcpListener::from_std).transpose()?;
        let mut connections = Vec::new();
        for _ in 0..arguments.connections {
            let &Arguments { split, work, .. } = arguments;
            let config = arguments.config.clone();
            connections.push(match &listener {
                Some(listener) => {
                    let (stream, _) = listener.accept().await?;
                    spawn_ending(Tokio, async move {
                        stream.set_nodelay(true)?;
                        let acceptor = Acceptor::new();
                        let ws = fullduplex::tokio::accept_with(stream, &acceptor, config).await?;
                        in_task(Tokio, ws, split, work).await
                    })
                }
                None => {
                    let url = arguments.target.clone();
                    spawn_ending(Tokio, async move {
                        let ws = fullduplex::tokio::connect_with(url, config).await?;
                        in_task(Tokio, ws, split, work).await
                    })
                }
            });
        }
        all_clean(connections).await
    })
}

fn on_smol(arguments: &Arguments) -> Result<bool> {
    smol::block_on(async {
        let listener = arguments.listens.then(|| listener(&arguments.target)).transpose()?;
        let listener = listener.map(smol::Async::<TcpListener>::try_from).transpose()?;
        let listener = listener.map(smol::net::TcpListener::from);
        let mut connections = Vec::new();
        for _ in 0..arguments.connections {
            let &Arguments { split, work, .. } = arguments;
            let config = arguments.config.clone();
            connections.push(match &listener {
                Some(listener) => {
                    let (stream, _) = listener.accept().await?;
                    spawn_ending(Smol, async move {
                        stream.set_nodelay(true)?;
                        let acceptor = Acceptor::new();
                        let ws = futures_io::accept_with(stream, &acceptor, config).await?;
                        in_task(Smol, ws, split, work).await
                    })
                }
                None => {
                    let url = arguments.target.clone();
                    spawn_ending(Smol, async move {
                        let to = url.parse::<Url>().map_err(Error::other)?;
                        let stream = smol::net::TcpStream::connect((to.host(), to.port())).await?;
                        stream.set_nodelay(true)?;
                        let ws = futures_io::client(stream, url, config).await?;
                        in_task(Smol, ws, split, work).await
                    })
                }
            });
        }
        all_clean(connections).await
    })
}

/// A connection as a task, which says so when it ends.
fn spawn_ending(
    runtime: impl Runtime,
    connection: impl Future<Output = Result> + Send + 'static,
) -> Task {
    runtime.spawn(Box::pin(async {
        let result = connection.await;
        if ended(result) { Ok(()) } else { Err(Error::Abnormal) }
    }))
}

async fn all_clean(connections: Vec<Task>) -> Result<bool> {
    let mut clean = true;
    for connection in connections {
        clean &= connection.await.is_ok();
    }
    Ok(clean)
}

async fn in_task<T>(
    runtime: impl Runtime,
    ws: asynchronous::WebSocket<T>,
    split: bool,
    work: Work,
) -> Result
where
    T: AsyncIo + Send + 'static,
{
    println!("open");
    if split {
        tasks_of_halves(runtime, ws, work).await
    } else {
        task_of_whole(runtime, ws, work).await
    }
}

async fn task_of_whole<T: AsyncIo>(
    runtime: impl Runtime,
    mut ws: asynchronous::WebSocket<T>,
    work: Work,
) -> Result {
    match work {
        Work::Send { bytes, piece } => {
            for message in messages(bytes, piece) {
                ws.send(message).await?;
            }
            println!("sent");
            answered(ws.recv().await?)?;
            ws.close(CloseCode::NORMAL).await
        }
        Work::Tick { bytes, every } => loop {
            ws.send(vec![b'.'; bytes]).await?;
            let mut pause = pin!(runtime.sleep(every));
            // Until the time is over.
            while let Either::Left((message, _)) = select(pin!(ws.recv()), pause.as_mut()).await {
                if message?.is_none() {
                    return Ok(());
                }
            }
        },
        Work::Take => {
            while let Some(message) = ws.recv().await? {
                ws.send(received(&message)).await?;
            }
            Ok(())
        }
        Work::Echo => ws.run(|message, out| out.feed(message)).await,
    }
}

async fn tasks_of_halves<T>(
    runtime: impl Runtime,
    ws: asynchronous::WebSocket<T>,
    work: Work,
) -> Result
where
    T: AsyncIo + Send + 'static,
{
    let (mut reader, writer) = ws.split();
    match work {
        Work::Send { bytes, piece } => {
            let sender = writer.clone();
            let sender = runtime.spawn(Box::pin(async move {
                for message in messages(bytes, piece) {
                    sender.send(message).await?;
                }
                println!("sent");
                Ok(())
            }));
            let result = reader.recv().await.and_then(answered);
            let sent = sender.await;
            result.and(sent)?;
            writer.close(CloseCode::NORMAL).await
        }
        Work::Tick { bytes, every } => {
            // Never awaited: the reader sees the end, and then nobody waits for this.
            let ticks = runtime.spawn(Box::pin(async move {
                while writer.send(vec![b'.'; bytes]).await.is_ok() {
                    runtime.sleep(every).await;
                }
                Ok(())
            }));
            while reader.recv().await?.is_some() {}
            drop(ticks);
            Ok(())
        }
        Work::Take => {
            while let Some(message) = reader.recv().await? {
                writer.send(received(&message)).await?;
            }
            Ok(())
        }
        Work::Echo => {
            while let Some(message) = reader.recv().await? {
                writer.send(message).await?;
            }
            Ok(())
        }
    }
}
