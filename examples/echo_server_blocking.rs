//! Echoes every message, with a thread for each client.
//!
//! `echo_server_blocking [--addr HOST:PORT] [--max-clients N]`

use fullduplex::{Error, blocking};
use std::{
    env, io,
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

fn main() -> Result<(), String> {
    let (addr, max_clients) = arguments()?;
    let cannot_listen = |error: io::Error| format!("cannot listen on {addr}: {error}");
    let listener = TcpListener::bind(&addr).map_err(cannot_listen)?;
    println!("listening on ws://{}", listener.local_addr().map_err(cannot_listen)?);

    // A place for each client: taken before one is accepted, given back when it is gone.
    let (leave, places): (SyncSender<()>, Receiver<()>) = sync_channel(max_clients);
    for _ in 0..max_clients {
        let _ = leave.send(());
    }
    // Over the cap, new clients wait in the listener's backlog.
    while places.recv().is_ok() {
        let place = Place(leave.clone());
        let started = listener.accept().and_then(|(stream, peer)| {
            let client = thread::Builder::new().stack_size(256 * 1024);
            client.spawn(move || {
                if let Err(error) = echo(stream) {
                    eprintln!("{peer}: {error}");
                }
                drop(place);
            })
        });
        // No descriptors or threads left: serve the others meanwhile.
        if let Err(error) = started {
            eprintln!("cannot accept: {error}");
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn echo(stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ws = blocking::accept(stream)?;
    ws.run(|message, out| out.feed(message))
}

struct Place(SyncSender<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
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
