//! A message of any size at constant memory: one end sends what it reads, the other counts, sums up
//! and perhaps writes what comes.
//!
//! `pipe BYTES` does both in one process; `pipe serve HOST:PORT [FILE]` takes one message, and `pipe
//! send URL FILE|BYTES` sends one. With `--deflate` in front it is compressed.

use fullduplex::{CloseCode, Config, handshake::Acceptor, tokio as ws};
use std::{env, error::Error, fs, sync::Arc};
use tokio::{
    fs::File,
    io::{self, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let deflate = arguments.first().is_some_and(|first| first == "--deflate");
    arguments.drain(..usize::from(deflate));
    let config = Arc::new(if deflate { compressing()? } else { Config::default() });
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", addr] => receive(listen(addr).await?, config, io::sink()).await?,
        ["serve", addr, file] => {
            receive(listen(addr).await?, config, File::create(file).await?).await?;
        }
        ["send", url, source] => send(url, config, source).await?,
        [bytes] => {
            let listener = listen("127.0.0.1:0").await?;
            let url = format!("ws://{}", listener.local_addr()?);
            tokio::try_join!(
                receive(listener, config.clone(), io::sink()),
                send(&url, config, bytes)
            )?;
        }
        _ => {
            return Err(
                "usage: pipe [--deflate] BYTES | serve HOST:PORT [FILE] | send URL FILE|BYTES"
                    .into(),
            );
        }
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        println!(
            "peak of memory: {}",
            peak.unwrap_or_default().trim_start_matches("VmHWM:").trim()
        );
    }
    Ok(())
}

async fn listen(addr: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    Ok(listener)
}

async fn receive(listener: TcpListener, config: Arc<Config>, to: impl AsyncWrite) -> Result<()> {
    let (stream, _) = listener.accept().await?;
    let mut ws = ws::accept_with(stream, &Acceptor::new(), config).await?;
    let (mut to, mut bytes, mut sum) = (std::pin::pin!(to), 0, 0xcbf2_9ce4_8422_2325);
    while let Some(chunk) = ws.recv_chunk().await? {
        to.write_all(chunk.as_bytes()).await?;
        let fnv = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        sum = chunk.as_bytes().iter().fold(sum, fnv);
        bytes += chunk.len();
        if chunk.is_last() {
            println!("received {bytes} bytes, FNV-1a {sum:016x}");
            to.flush().await?;
        }
    }
    Ok(())
}

/// Sends a file, or so many bytes.
async fn send(url: &str, config: Arc<Config>, source: &str) -> Result<()> {
    let mut ws = ws::connect_with(url, config).await?;
    let bytes = match source.parse() {
        Ok(bytes) => ws.send_reader(io::repeat(b'x').take(bytes)).await?,
        Err(_) => ws.send_reader(File::open(source).await?).await?,
    };
    println!("sent {bytes} bytes");
    Ok(ws.close(CloseCode::NORMAL).await?)
}

#[cfg(feature = "deflate")]
fn compressing() -> Result<Config> {
    Ok(Config::default().deflate(fullduplex::deflate::Deflate::default()))
}

#[cfg(not(feature = "deflate"))]
fn compressing() -> Result<Config> {
    Err("--deflate needs the feature `deflate`".into())
}
