//! Sends each line of standard input as a text message and prints each message that comes.
//!
//! `client [--deflate] URL`

use fullduplex::{CloseCode, Config, Event};
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
    let mut sending = pin!(async {
        let mut sent = 0;
        while let Some(line) = lines.recv().await {
            writer.send(line.map_err(fullduplex::Error::other)?).await?;
            sent += 1;
        }
        Ok::<usize, fullduplex::Error>(sent)
    });
    // How many lines were sent in all, and until when to wait for their answers.
    let mut last: Option<(usize, time::Instant)> = None;
    let (mut answers, mut refused) = (0, None);
    // Answers are read while lines are sent: a server that waits for its answers to be read would
    // otherwise never get to the rest of the lines.
    let frame = loop {
        let patience = last.map_or_else(time::Instant::now, |(_, until)| until);
        if last.is_some_and(|(sent, until)| answers >= sent || until <= time::Instant::now()) {
            writer.start_close(CloseCode::NORMAL)?;
        }
        tokio::select! {
            sent = &mut sending, if last.is_none() && refused.is_none() => match sent {
                Ok(sent) => last = Some((sent, time::Instant::now() + LAST_ANSWERS)),
                Err(fullduplex::Error::Other(input)) => return Err(input),
                // What the server said last is still to be read, and may say more.
                Err(error) => refused = Some(error),
            },
            event = reader.recv_event() => match event? {
                Some(Event::Message(message)) => {
                    print(message.as_bytes())?;
                    answers += 1;
                }
                Some(Event::Close(frame)) => break frame,
                Some(_) => {}
                None => break None,
            },
            () = time::sleep_until(patience), if writer.is_open() && last.is_some() => {}
        }
    };
    // All is said: a server that does not end TCP is not waited for.
    let ended = time::timeout(LAST_ANSWERS / 4, reader.drain()).await.unwrap_or(Ok(()));
    match (frame, refused) {
        // Done, or going away.
        (Some(frame), _) if !matches!(u16::from(frame.code()), 1000 | 1001) => {
            Err(format!("the server closed with {} {}", frame.code(), frame.reason()).into())
        }
        (_, Some(refused)) => Err(refused.into()),
        _ => Ok(ended?),
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

fn print(payload: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(payload)?;
    out.write_all(b"\n")?;
    out.flush()
}
