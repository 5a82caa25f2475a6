//! Echoes on one connection, with the compression that the arguments ask for.
//!
//! `interop_echo tokio|blocking server|URL [NAME=VALUE…]`, where a name is a setting of `Deflate`,
//! `send_window_bits` for one, or `fragment`: longer messages are then sent in fragments of so many
//! bytes, every other binary one uncompressed. A server takes the first client that comes. On
//! stdout: where it listens, and what was agreed on for compression. Exits 0 after a clean close.

use fullduplex::{
    Config, Connection, Event, Incoming, Input, Outgoing, Role, blocking,
    deflate::{Compression, Deflate, DeflateParams},
    handshake::Acceptor,
};
use std::{
    array, env,
    error::Error,
    net::{self, TcpListener},
    sync::Arc,
};
use tokio::{net::TcpStream, runtime};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [adapter, target, settings @ ..] = arguments.as_slice() else {
        return Err("usage: interop_echo tokio|blocking server|URL [NAME=VALUE…]".into());
    };
    let (fragment, settings): (Vec<_>, Vec<_>) =
        settings.iter().partition(|setting| setting.starts_with("fragment="));
    let fragment = match fragment[..] {
        [setting] => setting["fragment=".len()..].parse()?,
        _ => usize::MAX,
    };
    // A message is fed whole, in however many fragments.
    let config = Arc::new(Config::default().max_unsent(8 << 20).deflate(deflate(&settings)?));
    match adapter.as_str() {
        "blocking" => blocking(target, config, fragment),
        "tokio" => runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(asynchronous(target, config, fragment)),
        _ => Err(format!("unknown adapter {adapter}").into()),
    }
}

fn deflate(settings: &[&String]) -> Result<Deflate> {
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

fn blocking(target: &str, config: Arc<Config>, fragment: usize) -> Result<()> {
    if target == "server" {
        let mut ws = blocking::accept_with(accepted()?, &Acceptor::new(), config.clone())?;
        let echo = echo(ws.role(), config, ws.deflate().copied(), fragment);
        Ok(ws.run(echo)?)
    } else {
        let mut ws = blocking::connect_with(target, config.clone())?;
        let echo = echo(ws.role(), config, ws.deflate().copied(), fragment);
        Ok(ws.run(echo)?)
    }
}

async fn asynchronous(target: &str, config: Arc<Config>, fragment: usize) -> Result<()> {
    if target == "server" {
        let stream = accepted()?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        let mut ws =
            fullduplex::tokio::accept_with(stream, &Acceptor::new(), config.clone()).await?;
        let echo = echo(ws.role(), config, ws.deflate().copied(), fragment);
        Ok(ws.run(echo).await?)
    } else {
        let mut ws = fullduplex::tokio::connect_with(target, config.clone()).await?;
        let echo = echo(ws.role(), config, ws.deflate().copied(), fragment);
        Ok(ws.run(echo).await?)
    }
}

/// Prints what was agreed on; gives the handler. Other connections of the thread have a turn before
/// every other message: the states of zlib that it lends to ours are in their hands then, and ours
/// has to go on from the windows that it has kept.
fn echo(
    role: Role,
    config: Arc<Config>,
    agreed: Option<DeflateParams>,
    fragment: usize,
) -> impl FnMut(Incoming<'_>, &mut Outgoing<'_>) -> Result<(), fullduplex::Error> {
    match agreed {
        Some(params) => println!("agreed on {}", params.to_extension()),
        None => println!("agreed on no compression"),
    }
    // RFC 7692 §7.2.3.1. The server's has a mask, which changes nothing.
    let (new, hello): (fn(_) -> _, &[u8]) = match role {
        Role::Client => (Connection::client, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
        Role::Server => (Connection::server, b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00"),
    };
    // More than the states that a thread keeps.
    let mut others: [_; 8] =
        array::from_fn(|_| new(config.clone()).with_deflate(agreed).expect("a new connection"));
    let (mut turns, mut plain) = ((0..2).cycle(), false);
    move |message, out| {
        if turns.next() == Some(1) {
            for other in &mut others {
                let mut hello = hello.to_vec();
                let event = other.receive(&mut Input::new(&mut hello));
                assert!(matches!(event, Ok(Some(Event::Message(_)))), "{event:?}");
                other.feed(Compression::Always.of("Hello"))?;
                while !other.outbox().is_empty() {
                    let written = other.outbox().chunk().len();
                    other.outbox().advance(written);
                }
            }
        }
        if message.as_bytes().len() <= fragment {
            return out.feed(message);
        }
        match message {
            Incoming::Text(text) => {
                let mut rest = &text[..];
                while rest.len() > fragment {
                    let boundary = |at: &usize| rest.is_char_boundary(*at);
                    let (piece, more) = rest.split_at((0..=fragment).rfind(boundary).unwrap_or(0));
                    out.feed_fragment(piece, false)?;
                    rest = more;
                }
                out.feed_fragment(rest, true)
            }
            Incoming::Binary(bytes) => {
                plain = !plain;
                let compression = if plain { Compression::Never } else { Compression::Auto };
                let mut pieces = bytes.chunks(fragment).peekable();
                while let Some(piece) = pieces.next() {
                    out.feed_fragment(compression.of(piece), pieces.peek().is_none())?;
                }
                Ok(())
            }
        }
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
