//! Sends live data to many clients, 10,000 unless said otherwise, and says how far it is.
//!
//! `broadcast [CLIENTS]`
//!
//! The clients run in a second process, since each connection needs a descriptor at both ends.

use fullduplex::{
    CloseCode, Error,
    tokio::{Broadcast, SlowConsumer, accept, connect},
};
use std::{
    env,
    io::{self, Write},
    process::Command,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

const MESSAGES: u32 = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => serve(10_000).await,
        [count] => serve(count.parse()?).await,
        [.., url, count] => clients(url, count.parse()?).await,
    }
}

async fn serve(count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let arguments = ["--clients", &url, &count.to_string()];
    let mut clients = Command::new(env::current_exe()?).args(arguments).spawn()?;

    // Who is too slow is closed with 1013 and may come again.
    let group = Broadcast::new(SlowConsumer::Disconnect(CloseCode::TRY_AGAIN_LATER));
    for number in 1..=count {
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                // A client that hung up already, or no descriptors left.
                Err(error) => eprintln!("cannot accept: {error}"),
            }
            sleep(Duration::from_millis(50)).await;
        };
        let group = group.clone();
        tokio::spawn(async move {
            if let Err(error) = member(stream, group).await {
                eprintln!("\nserver: a member left: {error}");
            }
        });
        progress(&format!("{number} of {count} connected"));
    }
    while group.len() < count {
        sleep(Duration::from_millis(10)).await;
    }
    let mut spent = Duration::ZERO;
    for number in 1..=MESSAGES {
        let start = Instant::now();
        let delivery = group.send(vec![number as u8; 1_024]).await;
        spent += start.elapsed();
        progress(&format!("message {number} of {MESSAGES}: sent to {} clients", delivery.sent));
        sleep(Duration::from_millis(50)).await;
    }
    let stats = group.stats();
    println!("\nserver: {} sent, {} disconnected", stats.sent, stats.disconnected);
    println!("server: {} ns for each", spent.as_nanos() / u128::from(stats.sent.max(1)));
    let report = group.close((CloseCode::GOING_AWAY, "done")).await?;
    println!("server: {} closed cleanly, {} not", report.clean, report.failed.len());
    clients.wait()?;
    Ok(())
}

/// Lets a client have the messages, answers its pings, and writes what TCP did not take at once.
async fn member(stream: TcpStream, group: Broadcast<TcpStream>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let (mut reader, writer) = accept(stream).await?.split();
    let _member = group.join(writer); // until the end of this function, also by `?`
    while reader.recv().await?.is_some() {}
    Ok(())
}

/// Connects `count` times and counts what comes until the end.
async fn clients(url: &str, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let mut ws = connect(url).await?;
        clients.spawn(async move {
            let mut received = 0;
            while let Ok(Some(_)) = ws.recv().await {
                received += 1;
            }
            received
        });
    }
    println!("clients: {} received", clients.join_all().await.iter().sum::<u64>());
    Ok(())
}

fn progress(line: &str) {
    print!("\r{line}    ");
    let _ = io::stdout().flush();
}
