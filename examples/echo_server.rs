//! Echoes every message, on tokio, in one thread.
//!
//! `echo_server [--addr HOST:PORT] [--max-clients N]`

use fullduplex::Error;
use std::{env, io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let (addr, max_clients) = arguments()?;
    let cannot_listen = |error: io::Error| format!("cannot listen on {addr}: {error}");
    let listener = TcpListener::bind(&addr).await.map_err(cannot_listen)?;
    println!("listening on ws://{}", listener.local_addr().map_err(cannot_listen)?);

    let clients = Arc::new(Semaphore::new(max_clients));
    loop {
        // Over the cap, new clients wait in the listener's backlog.
        let Ok(place) = clients.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    if let Err(error) = echo(stream).await {
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

async fn echo(stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ws = fullduplex::tokio::accept(stream).await?;
    ws.run(|message, out| out.feed(message)).await
}

fn arguments() -> Result<(String, usize), String> {
    let (mut addr, mut max_clients) = ("127.0.0.1:9001".to_string(), 20_000);
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--addr" => addr = value,
            "--max-clients" => max_clients = value.parse().map_err(|e| format!("{name}: {e}"))?,
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    Ok((addr, max_clients))
}
