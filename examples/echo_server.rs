//! Echoes every message, on tokio, in one thread.
//!
//! `echo_server [--addr HOST:PORT] [--max-clients N] [--max-message BYTES]`
//! `[--handshake-timeout SECONDS] [--deflate] [--window-bits 9..15]`

use fullduplex::{Config, Error, handshake::AcceptPolicy, tokio::accept_with};
use std::{env, io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let (addr, max_clients, config) = arguments()?;
    let config = Arc::new(config);
    let cannot_listen = |error: io::Error| format!("cannot listen on {addr}: {error}");
    let listener = TcpListener::bind(&addr).await.map_err(cannot_listen)?;
    println!("listening on ws://{}", listener.local_addr().map_err(cannot_listen)?);

    let clients = Arc::new(Semaphore::new(max_clients));
    loop {
        // Over the cap, new clients wait in the listener's backlog.
        let Ok(place) = clients.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let config = config.clone();
                tokio::spawn(async move {
                    if let Err(error) = echo(stream, config).await {
                        eprintln!("{peer}: {error}");
                    }
                    drop(place);
                });
            }
            // No descriptors left, or a client that hung up already: serve the others meanwhile.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn echo(stream: TcpStream, config: Arc<Config>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ws = accept_with(stream, &AcceptPolicy::new(), config).await?;
    ws.run(|message, out| out.feed(message)).await
}

fn arguments() -> Result<(String, usize, Config), String> {
    let (mut addr, mut max_clients) = ("127.0.0.1:9001".to_string(), 20_000);
    let mut config = Config::default();
    let (mut deflate, mut window_bits) = (false, None);
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--deflate" {
            deflate = true;
            continue;
        }
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|e| format!("{name}: {e}"));
        let seconds = || {
            let seconds = value.parse().map_err(|e| format!("{name}: {e}"))?;
            Duration::try_from_secs_f64(seconds).map_err(|e| format!("{name}: {e}"))
        };
        match name.as_str() {
            "--addr" => addr = value,
            "--max-clients" => max_clients = number()?,
            "--max-message" => config = config.max_message_size(number()?),
            "--handshake-timeout" => config = config.handshake_timeout(seconds()?),
            "--window-bits" => window_bits = Some(number()?.clamp(9, 15) as u8),
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    Ok((addr, max_clients, if deflate { compressing(config, window_bits)? } else { config }))
}

/// Messages are compressed for clients that ask for it (RFC 7692).
#[cfg(feature = "deflate")]
fn compressing(config: Config, window_bits: Option<u8>) -> Result<Config, String> {
    let mut deflate = fullduplex::deflate::Deflate::default();
    if let Some(bits) = window_bits {
        deflate = deflate.send_window_bits(bits).receive_window_bits(bits);
    }
    Ok(config.deflate(deflate))
}

#[cfg(not(feature = "deflate"))]
fn compressing(_: Config, _: Option<u8>) -> Result<Config, String> {
    Err("--deflate needs the feature `deflate`".to_string())
}
