//! Sends each line of standard input as a text message and prints each message that comes.
//!
//! `client [--deflate] URL`

use fullduplex::{CloseCode, Config, Message};
use std::{
    env,
    error::Error,
    io::{self, Write},
    pin::pin,
    process::ExitCode,
    thread,
    time::Duration,
};
use tokio::{sync::mpsc, time};

/// How long to wait for answers once standard input has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (url, config) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [url] if !url.starts_with('-') => (url, Ok(Config::default())),
        ["--deflate", url] => (url, compressing()),
        _ => {
            eprintln!("usage: client [--deflate] URL");
            return ExitCode::FAILURE;
        }
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| {
            let result = runtime.block_on(chat(url, config));
            // A name lookup that hangs cannot be ended; do not wait for it.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{url}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn chat(url: &str, config: Config) -> Result<(), Box<dyn Error>> {
    let ws = fullduplex::tokio::connect_with(url, config).await?;
    let (mut reader, writer) = ws.split();
    let mut lines = stdin_lines();
    let (mut answers, mut last, mut server_closed) = (0, None, false);
    {
        let mut sending = pin!(async {
            let mut sent = 0;
            while let Some(line) = lines.recv().await {
                writer.send(line?).await?;
                sent += 1;
            }
            Ok::<usize, Box<dyn Error>>(sent)
        });
        // Answers are read while lines are sent: a server that waits for its answers to be read
        // would otherwise never get to the rest of the lines.
        while last.is_none_or(|(sent, _)| answers < sent) {
            let patience = last.map_or_else(time::Instant::now, |(_, until)| until);
            tokio::select! {
                sent = &mut sending, if last.is_none() => {
                    last = Some((sent?, time::Instant::now() + LAST_ANSWERS));
                }
                message = reader.recv() => match message? {
                    Some(message) => {
                        print(&message)?;
                        answers += 1;
                    }
                    None => {
                        server_closed = true;
                        break;
                    }
                },
                () = time::sleep_until(patience), if last.is_some() => break,
            }
        }
    }
    writer.close(CloseCode::NORMAL, "").await?;
    match writer.closed() {
        // Done, or going away.
        Some(closed) if server_closed && !matches!(closed.code(), 1000 | 1001 | 1005) => {
            Err(format!("the server closed with {} {}", closed.code(), closed.reason()).into())
        }
        _ => Ok(()),
    }
}

/// Messages are compressed if the server agrees (RFC 7692).
#[cfg(feature = "deflate")]
fn compressing() -> Result<Config, &'static str> {
    Ok(Config::default().deflate(fullduplex::deflate::Deflate::default()))
}

#[cfg(not(feature = "deflate"))]
fn compressing() -> Result<Config, &'static str> {
    Err("--deflate needs the feature `deflate`")
}

/// Standard input cannot be waited for and given up, so a thread of its own reads it.
fn stdin_lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(64);
    thread::spawn(move || io::stdin().lines().try_for_each(|line| sender.blocking_send(line)));
    receiver
}

fn print(message: &Message) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(message.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
