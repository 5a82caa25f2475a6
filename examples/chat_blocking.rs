//! Sends each line of standard input and prints each message that comes, with a thread for each.
//!
//! `chat_blocking URL`

use fullduplex::{
    CloseCode, Error,
    blocking::{self, ClientStream, Reader, Writer},
};
use std::{
    env,
    io::{self, BufRead, Write},
    process::ExitCode,
    thread,
};

fn main() -> ExitCode {
    let Some(url) = env::args().nth(1) else {
        eprintln!("usage: chat_blocking URL");
        return ExitCode::FAILURE;
    };
    match chat(&url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{url}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn chat(url: &str) -> Result<(), Error> {
    let (reader, writer) = blocking::connect(url)?.split();
    // Reading a line cannot be interrupted: the end of this thread is not waited for.
    thread::spawn(move || {
        // If it is not about the input, the reader says it, too.
        if let Err(Error::Other(error)) = send_lines(&writer) {
            eprintln!("cannot send: {error}");
        }
    });
    print_messages(reader)
}

fn send_lines(writer: &Writer<ClientStream>) -> Result<(), Error> {
    for line in io::stdin().lock().lines() {
        match line {
            Ok(line) => writer.send(line)?,
            Err(error) => {
                writer.close(CloseCode::GOING_AWAY)?;
                return Err(Error::other(error));
            }
        }
    }
    // What the peer sends before its own Close is still printed.
    writer.close(CloseCode::NORMAL)
}

fn print_messages(mut reader: Reader<ClientStream>) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    while let Some(message) = reader.recv()? {
        let printed = match message.as_text() {
            Some(text) => writeln!(out, "{text}"),
            None => writeln!(out, "({} bytes)", message.as_bytes().len()),
        };
        printed.and_then(|()| out.flush()).map_err(Error::other)?;
    }
    match reader.closed() {
        // Done, or going away.
        Some(closed) if !matches!(closed.code(), 1000 | 1001 | 1005) => {
            let (code, reason) = (closed.code(), closed.reason());
            Err(Error::other(format!("the server closed with {code} {reason}")))
        }
        _ => Ok(()),
    }
}
