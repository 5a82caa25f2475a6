//! Echoes every message, with a thread for each client.
//!
//! `echo_server_blocking [--addr HOST:PORT] [--max-clients N] [--max-message BYTES]`
//! `[--handshake-timeout SECONDS] [--deflate] [--window-bits 9..15]`
//!
//! A client costs a thread and, with the read buffer that it waits with, some 80 KiB. What threads
//! have freed, glibc keeps for others of the same arena, and has up to 8 arenas for each core: after
//! large messages `MALLOC_ARENA_MAX=1` in the environment, or another allocator, keeps less.

use fullduplex::{Config, Error, blocking::accept_with, handshake::AcceptPolicy};
use std::{
    env, io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

fn main() -> Result<(), String> {
    let (addr, max_clients, config) = arguments()?;
    let config = Arc::new(config);
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
        let config = config.clone();
        let started = listener.accept().and_then(|(stream, peer)| {
            let client = thread::Builder::new().stack_size(256 * 1024);
            client.spawn(move || {
                if let Err(error) = echo(stream, config) {
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

fn echo(stream: TcpStream, config: Arc<Config>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ws = accept_with(stream, &AcceptPolicy::new(), config)?;
    ws.run(|message, out| out.feed(message))
}

struct Place(SyncSender<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
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
