//! The servers: each echoes every message, on tokio in one thread, over a socket with the same
//! options, by the way its own documentation shows.
//!
//! `echo NAME` serves until it is ended, and prints its port. `echo` alone prints the names.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use futures_util::{Sink, SinkExt, Stream, StreamExt, TryStreamExt};
use sha1::{Digest, Sha1};
use std::{
    cell::Cell,
    env,
    error::Error,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::unconstrained,
};
use tokio_util::compat::TokioAsyncReadCompatExt;

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

macro_rules! servers {
    ($($name:literal => $serve:expr,)*) => {
        fn main() -> Result {
            match env::args().nth(1).as_deref() {
                $(Some($name) => run($serve),)*
                Some(other) => Err(format!("no server is called {other}").into()),
                None => Ok(println!("{}", [$($name),*].join("\n"))),
            }
        }
    };
}

servers! {
    "tcp" => |stream| unconstrained(tcp(stream)),
    "fullduplex" => fullduplex,
    "fullduplex-feed" => fullduplex_feed,
    "fullduplex-send" => fullduplex_send,
    "fullduplex-halves" => fullduplex_halves,
    "tokio-tungstenite" => tungstenite,
    "tokio-tungstenite-batch" => tungstenite_batch,
    "fastwebsockets" => |stream| unconstrained(fastwebsockets(stream)),
    "tokio-websockets" => |stream| unconstrained(tokio_websockets(stream)),
    "yawc" => yawc,
    "yawc-batch" => yawc_batch,
    // Calibrates for 200 ms: its documentation wants that over before the runtime starts.
    "sockudo-ws" => { sockudo_ws::init_clock(); sockudo },
    "sockudo-ws-batch" => { sockudo_ws::init_clock(); sockudo_batch },
    "sockudo-ws-protocol" => sockudo_protocol,
    "soketto" => soketto,
    "web-socket" => web_socket,
}

fn run<F: Future<Output = Result> + Send + 'static>(serve: impl Fn(TcpStream) -> F) -> Result {
    serve_all(tokio::runtime::Builder::new_current_thread().enable_all().build()?, serve)
}

/// Instructions are counted in here.
#[inline(never)]
fn serve_all<F: Future<Output = Result> + Send + 'static>(
    runtime: Runtime,
    serve: impl Fn(TcpStream) -> F,
) -> Result {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

/// The limit: bytes come and go through a buffer that all connections share.
async fn tcp(stream: TcpStream) -> Result {
    thread_local!(static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
    let mut stream = shake_hands(stream).await?;
    loop {
        let (buffer, filled) = poll_fn(|cx| {
            let mut buffer = SHARED.take();
            if buffer.is_empty() {
                buffer = vec![0; 64 * 1024];
            }
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut stream).poll_read(cx, &mut read) {
                Poll::Ready(result) => {
                    let filled = read.filled().len();
                    Poll::Ready(result.map(|()| (buffer, filled)))
                }
                Poll::Pending => {
                    SHARED.set(buffer);
                    Poll::Pending
                }
            }
        })
        .await?;
        if filled == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..filled]).await?;
        SHARED.set(buffer);
    }
}

async fn fullduplex(stream: TcpStream) -> Result {
    let mut ws = fullduplex::tokio::accept(stream).await?;
    Ok(ws.run(|message, out| out.feed(message)).await?)
}

async fn fullduplex_feed(stream: TcpStream) -> Result {
    let mut ws = fullduplex::tokio::accept(stream).await?;
    while let Some(message) = ws.recv().await? {
        ws.ready().await?;
        ws.feed(message)?;
    }
    Ok(())
}

async fn fullduplex_send(stream: TcpStream) -> Result {
    let mut ws = fullduplex::tokio::accept(stream).await?;
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

async fn fullduplex_halves(stream: TcpStream) -> Result {
    let (mut reader, writer) = fullduplex::tokio::accept(stream).await?.split();
    while let Some(message) = reader.recv().await? {
        writer.send(message).await?;
    }
    Ok(())
}

async fn tungstenite(stream: TcpStream) -> Result {
    let mut ws = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = ws.try_next().await? {
        if message.is_text() || message.is_binary() {
            ws.send(message).await?;
        }
    }
    Ok(())
}

async fn tungstenite_batch(stream: TcpStream) -> Result {
    let ws = tokio_tungstenite::accept_async(stream).await?;
    batch(ws, |message| message.is_text() || message.is_binary()).await
}

async fn fastwebsockets(stream: TcpStream) -> Result {
    use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
    let stream = shake_hands(stream).await?;
    let mut ws = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// There is no batched way: its stream writes what is queued before each read.
async fn tokio_websockets(stream: TcpStream) -> Result {
    let (_, mut ws) = tokio_websockets::ServerBuilder::new().accept(stream).await?;
    while let Some(message) = ws.try_next().await? {
        if message.is_text() || message.is_binary() {
            ws.send(message).await?;
        }
    }
    Ok(())
}

async fn yawc(stream: TcpStream) -> Result {
    let stream = shake_hands(stream).await?;
    let mut ws = yawc::WebSocket::from_stream(stream, yawc::Role::Server, yawc_options())?;
    while let Some(frame) = ws.next().await {
        if !frame.opcode().is_control() {
            ws.send(frame).await?;
        }
    }
    Ok(())
}

/// Tuned as its README tunes it.
async fn yawc_batch(stream: TcpStream) -> Result {
    let stream = shake_hands(stream).await?;
    let options =
        yawc_options().with_read_buffer_capacity(128 * 1024).with_backpressure_boundary(64 * 1024);
    let ws = yawc::WebSocket::from_stream(stream, yawc::Role::Server, options)?;
    batch(ws.map(Ok), |frame| !frame.opcode().is_control()).await
}

/// Messages of 1 MiB are over its default limit.
fn yawc_options() -> yawc::Options {
    yawc::Options::default().with_utf8().with_limits(16 << 20, 32 << 20)
}

async fn sockudo(stream: TcpStream) -> Result {
    let stream = shake_hands(stream).await?;
    let mut ws = sockudo_ws::WebSocketStream::server(stream, sockudo_ws::Config::default());
    while let Some(message) = ws.try_next().await? {
        if message.is_text() || message.is_binary() {
            ws.send(message).await?;
        }
    }
    Ok(())
}

async fn sockudo_batch(stream: TcpStream) -> Result {
    let stream = shake_hands(stream).await?;
    let ws = sockudo_ws::WebSocketStream::server(stream, sockudo_ws::Config::default());
    batch(ws, |message| message.is_text() || message.is_binary()).await
}

/// The protocol alone on the bare socket, as in its benchmark example, but with text checked and
/// one write per read.
async fn sockudo_protocol(stream: TcpStream) -> Result {
    let mut stream = shake_hands(stream).await?;
    let mut protocol =
        sockudo_ws::protocol::Protocol::new(sockudo_ws::Role::Server, 16 << 20, 64 << 20);
    let (mut received, mut messages) = (BytesMut::new(), Vec::new());
    let mut out = BytesMut::new();
    loop {
        received.reserve(sockudo_ws::RECV_BUFFER_SIZE);
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        protocol.process_into(&mut received, &mut messages)?;
        for message in messages.drain(..) {
            protocol.encode_message(&message, &mut out)?;
        }
        stream.write_all_buf(&mut out).await?;
    }
}

async fn soketto(stream: TcpStream) -> Result {
    use futures_util::io::{BufReader, BufWriter};
    use soketto::handshake::{Server, server::Response};
    let mut server = Server::new(BufReader::new(BufWriter::new(stream.compat())));
    let key = server.receive_request().await?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await?;
    let (mut sender, mut receiver) = server.into_builder().finish();
    let mut message = Vec::new();
    loop {
        message.clear();
        match receiver.receive_data(&mut message).await? {
            soketto::Data::Text(_) => sender.send_text(str::from_utf8(&message)?).await?,
            soketto::Data::Binary(_) => sender.send_binary_mut(&mut message).await?,
        }
        sender.flush().await?;
    }
}

/// It reads heads byte by byte: without a `BufReader` that is three system calls a message.
async fn web_socket(stream: TcpStream) -> Result {
    use web_socket::{DataType, Event, MessageType, WebSocket};
    let mut ws = WebSocket::server(BufReader::new(shake_hands(stream).await?));
    loop {
        match ws.recv().await? {
            Event::Data { ty: DataType::Complete(MessageType::Text), data } => {
                ws.send(str::from_utf8(&data)?).await?;
            }
            Event::Data { data, .. } => ws.send(&data[..]).await?,
            Event::Ping(data) => ws.send_pong(data).await?,
            Event::Pong(_) => {}
            Event::Error(_) | Event::Close { .. } => return Ok(ws.close(()).await?),
        }
    }
}

/// Sends messages back, and flushes when no other is ready: for what is a stream and a sink.
async fn batch<M, E: Into<Box<dyn Error + Send + Sync>>>(
    mut ws: impl Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    is_data: impl Fn(&M) -> bool,
) -> Result {
    let mut held = None;
    let echo = poll_fn(|cx| {
        loop {
            if held.is_some() {
                ready!(ws.poll_ready_unpin(cx))?;
                held.take().map_or(Ok(()), |message| ws.start_send_unpin(message))?;
            }
            match ws.poll_next_unpin(cx)? {
                Poll::Ready(Some(message)) => held = Some(message).filter(&is_data),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(ws.poll_flush_unpin(cx))?;
                    return Poll::Pending;
                }
            }
        }
    });
    echo.await.map_err(E::into)
}

/// The opening handshake, for the crates that leave it to the caller (or to hyper).
async fn shake_hands(mut stream: TcpStream) -> Result<TcpStream> {
    let mut request = BytesMut::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    let key = str::from_utf8(&request)?
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .ok_or("no key")?;
    let accept = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        BASE64_STANDARD.encode(accept)
    );
    stream.write_all(response.as_bytes()).await?;
    Ok(stream)
}
