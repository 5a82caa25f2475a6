//! One message to many receivers, by each way that there is.
//!
//! `broadcast serve WAY CLIENTS` prints its port, and `ready` when so many are connected. Then, for
//! each line, a number: so many messages of 1 KiB go to all, and it says `done`. It ends with its
//! standard input. `broadcast connect PORT CLIENTS` is the other side: it reads and looks at nothing.
//! `broadcast` alone prints the ways.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use mio::{Events, Interest, Poll, Token};
use std::{
    env,
    error::Error,
    io::{self, BufRead, ErrorKind, Read, Write},
    net, thread,
};
use tokio::net::TcpListener;

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const WAYS: [&str; 4] =
    ["fullduplex-broadcast", "fullduplex-prepared", "fullduplex-send", "tokio-tungstenite"];
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(println!("{}", WAYS.join("\n"))),
        ["serve", way, clients] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(way, clients.parse()?))
        }
        ["connect", port, clients] => connect(port.parse()?, clients.parse()?),
        other => Err(format!("what is {other:?}?").into()),
    }
}

async fn serve(way: &str, clients: usize) -> Result {
    use fullduplex::tokio::{Broadcast, SlowConsumer};
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let group = Broadcast::new(SlowConsumer::Wait);
    let (mut writers, mut sinks) = (Vec::new(), Vec::new());
    for _ in 0..clients {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        if way == "tokio-tungstenite" {
            let (sink, mut stream) = tokio_tungstenite::accept_async(stream).await?.split();
            tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
            sinks.push(sink);
            continue;
        }
        let (mut reader, writer) = fullduplex::tokio::accept(stream).await?.split();
        tokio::spawn(async move { while let Ok(Some(_)) = reader.recv().await {} });
        match way {
            "fullduplex-broadcast" => _ = group.join(writer).detach(),
            _ => writers.push(writer),
        }
    }
    println!("ready");
    let mut lines = lines();
    while let Some(messages) = lines.recv().await {
        for number in 0..messages {
            let message = Bytes::from(vec![number as u8; 1_024]);
            match way {
                "fullduplex-broadcast" => assert_eq!(group.send(message).await.sent, clients),
                "fullduplex-prepared" => {
                    let message = fullduplex::Prepared::new(message);
                    for writer in &writers {
                        writer.send(&message).await?;
                    }
                }
                "fullduplex-send" => {
                    for writer in &writers {
                        writer.send(&message).await?;
                    }
                }
                _ => {
                    for sink in &mut sinks {
                        sink.send(tungstenite::Message::Binary(message.clone())).await?;
                    }
                }
            }
        }
        println!("done");
    }
    Ok(())
}

/// The numbers that come on standard input.
fn lines() -> tokio::sync::mpsc::Receiver<u64> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Some(number) = line.ok().and_then(|line| line.parse().ok()) else { return };
            if sender.blocking_send(number).is_err() {
                return;
            }
        }
    });
    receiver
}

fn connect(port: u16, clients: usize) -> Result {
    let mut poll = Poll::new()?;
    let mut streams = Vec::with_capacity(clients);
    for token in 0..clients {
        let mut stream = net::TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(REQUEST)?;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            response.push(byte[0]);
        }
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(token), Interest::READABLE)?;
        streams.push(stream);
    }
    let (mut events, mut scratch) = (Events::with_capacity(1024), vec![0; 64 * 1024]);
    let mut open = clients;
    while open > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let stream = &mut streams[event.token().0];
            loop {
                match stream.read(&mut scratch) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    _ => {
                        poll.registry().deregister(stream)?;
                        open -= 1;
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}
