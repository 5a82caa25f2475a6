//! Echoes on one connection, with the compression that the arguments ask for.
//!
//! `interop_echo tokio|blocking server|URL [NAME=VALUE…]`, where a name is a setting of `Deflate`,
//! `send_window_bits` for one. A server takes the first client that comes. On stdout: where it
//! listens, and what was agreed on for compression. Exits 0 after a clean close.

use fullduplex::{
    Config, Connection, Event, Incoming, Input, Outgoing, blocking,
    deflate::{Deflate, DeflateParams},
    handshake::Acceptor,
};
use std::{
    array, env,
    error::Error,
    net::{self, TcpListener},
};
use tokio::{net::TcpStream, runtime};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [adapter, target, settings @ ..] = arguments.as_slice() else {
        return Err("usage: interop_echo tokio|blocking server|URL [NAME=VALUE…]".into());
    };
    let config = Config::default().deflate(deflate(settings)?);
    match adapter.as_str() {
        "blocking" => blocking(target, config),
        "tokio" => runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(asynchronous(target, config)),
        _ => Err(format!("unknown adapter {adapter}").into()),
    }
}

fn deflate(settings: &[String]) -> Result<Deflate> {
    settings.iter().try_fold(Deflate::default(), |deflate, setting| {
        let (name, value) = setting.split_once('=').ok_or("a setting is NAME=VALUE")?;
        Ok(match name {
            "send_window_bits" => deflate.send_window_bits(value.parse()?),
            "receive_window_bits" => deflate.receive_window_bits(value.parse()?),
            "send_takeover" => deflate.send_takeover(value.parse()?),
            "receive_takeover" => deflate.receive_takeover(value.parse()?),
            "level" => deflate.level(value.parse()?),
            "memory_level" => deflate.memory_level(value.parse()?),
            "threshold" => deflate.threshold(value.parse()?),
            _ => return Err(format!("unknown setting {name}").into()),
        })
    })
}

fn blocking(target: &str, config: Config) -> Result<()> {
    if target == "server" {
        let mut ws = blocking::accept_with(accepted()?, &Acceptor::new(), config)?;
        print_agreed(ws.deflate());
        Ok(ws.run(echo())?)
    } else {
        let mut ws = blocking::connect_with(target, config)?;
        print_agreed(ws.deflate());
        Ok(ws.run(echo())?)
    }
}

async fn asynchronous(target: &str, config: Config) -> Result<()> {
    if target == "server" {
        let stream = accepted()?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        let mut ws = fullduplex::tokio::accept_with(stream, &Acceptor::new(), config).await?;
        print_agreed(ws.deflate());
        Ok(ws.run(echo()).await?)
    } else {
        let mut ws = fullduplex::tokio::connect_with(target, config).await?;
        print_agreed(ws.deflate());
        Ok(ws.run(echo()).await?)
    }
}

/// Every other message finds its decompressor in the hands of another connection of the thread, and
/// has to go on from nothing but the window that was kept.
fn echo() -> impl FnMut(Incoming<'_>, &mut Outgoing<'_>) -> Result<(), fullduplex::Error> {
    let agreed = Deflate::default().accept(&Deflate::default().offers());
    // More than the decompressors that a thread keeps.
    let mut others: [_; 8] =
        array::from_fn(|_| Connection::client(Config::default()).with_deflate(agreed));
    let mut turns = (0..2).cycle();
    move |message, out| {
        if turns.next() == Some(1) {
            for other in &mut others {
                let mut hello = *b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"; // RFC 7692 §7.2.3.1
                let event = other.receive(&mut Input::new(&mut hello));
                assert!(matches!(event, Ok(Some(Event::Message(_)))), "{event:?}");
            }
        }
        out.feed(message)
    }
}

/// The first client.
fn accepted() -> Result<net::TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on ws://{}", listener.local_addr()?);
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn print_agreed(params: Option<&DeflateParams>) {
    match params {
        Some(params) => println!("agreed on {}", params.to_extension()),
        None => println!("agreed on no compression"),
    }
}
