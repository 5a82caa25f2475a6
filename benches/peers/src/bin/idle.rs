//! Idle connections with permessage-deflate: what a connection holds that has compressed and
//! inflated messages and then waits.
//!
//! `idle serve KIND` prints its port. `idle connect PORT CLIENTS` has messages echoed on each
//! connection, says `ready`, and keeps them until its standard input ends. `idle` alone prints the
//! kinds.

use fullduplex::{Config, deflate::Deflate, handshake::AcceptPolicy, tokio};
use std::{
    env,
    error::Error,
    io::{self, Read},
    sync::Arc,
};

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Of 160 bytes each: more than a window, so that it is as large as it gets.
const MESSAGES: usize = 32;
const KINDS: [&str; 2] = ["fullduplex-deflate", "fullduplex-deflate-no-takeover"];

fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(println!("{}", KINDS.join("\n"))),
        ["serve", kind] => {
            let deflate = Deflate::default().takeover(*kind == KINDS[0]);
            runtime.block_on(serve(Config::default().deflate(deflate)))
        }
        ["connect", port, clients] => runtime.block_on(connect(port, clients.parse()?)),
        other => Err(format!("what is {other:?}?").into()),
    }
}

async fn serve(config: Config) -> Result {
    let config = Arc::new(config);
    let listener = ::tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let config = Arc::clone(&config);
        ::tokio::spawn(async move {
            let mut ws = tokio::accept_with(stream, &AcceptPolicy::new(), config).await?;
            assert!(ws.deflate().is_some(), "it was agreed on");
            ws.run(|message, out| out.feed(message)).await
        });
    }
}

async fn connect(port: &str, clients: usize) -> Result {
    let url = format!("ws://127.0.0.1:{port}/");
    let config = Arc::new(Config::default().deflate(Deflate::default()));
    let message = "one of the things that all messages say ".repeat(4);
    let mut all = Vec::with_capacity(clients);
    for _ in 0..clients {
        let mut ws = tokio::connect_with(&url[..], Arc::clone(&config)).await?;
        for _ in 0..MESSAGES {
            ws.send(&message).await?;
            assert!(ws.recv().await?.is_some_and(|echo| echo == *message));
        }
        let stats = ws.stats();
        assert!(stats.deflated_sent > 0 && stats.deflated_received > 0);
        all.push(ws);
    }
    println!("ready");
    io::stdin().read_to_string(&mut String::new())?;
    Ok(())
}
