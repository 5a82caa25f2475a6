//! The load: masked binary messages over plain TCP, from one thread, with none of the crates
//! under test.
//!
//! `load PORT [--connections N] [--size BYTES] [--in-flight N] [--warmup WAVES] [--waves WAVES]
//! [--raw]`
//!
//! On each connection a wave of messages goes out, and the next one follows when every reply to
//! it has come. Each byte that comes back is compared. The program says `ready` when the
//! connections are open and warm, waits for a line, says `done MESSAGES NANOSECONDS`, and keeps
//! the connections open until its standard input ends. `--raw` expects the very bytes it sent.

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use std::{
    env,
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net,
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long nothing may come before the server counts as stuck.
const STUCK: Duration = Duration::from_secs(60);
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// What RFC 6455 §1.3 says the key above is answered with.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let wave = Wave::new(&arguments);
    let mut load = Load::connect(&arguments, &wave)?;
    load.run(arguments.warmup)?;
    println!("ready");
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let start = Instant::now();
    load.run(arguments.waves)?;
    let messages = arguments.connections * arguments.in_flight * arguments.waves;
    println!("done {messages} {}", start.elapsed().as_nanos());
    io::stdin().read_to_string(&mut line)?;
    Ok(())
}

struct Arguments {
    port: u16,
    connections: usize,
    size: usize,
    in_flight: usize,
    warmup: usize,
    waves: usize,
    raw: bool,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut words = env::args().skip(1);
        let port = words.next().ok_or("which port?")?.parse()?;
        let mut this =
            Self { port, connections: 1, size: 125, in_flight: 1, warmup: 0, waves: 0, raw: false };
        while let Some(word) = words.next() {
            let place = match word.as_str() {
                "--raw" => {
                    this.raw = true;
                    continue;
                }
                "--connections" => &mut this.connections,
                "--size" => &mut this.size,
                "--in-flight" => &mut this.in_flight,
                "--warmup" => &mut this.warmup,
                "--waves" => &mut this.waves,
                _ => return Err(format!("unknown argument {word}").into()),
            };
            *place = words.next().ok_or("a value is missing")?.parse()?;
        }
        Ok(this)
    }
}

/// What every connection sends at once, and what has to come back.
struct Wave {
    sent: Vec<u8>,
    expected: Vec<u8>,
}

impl Wave {
    fn new(arguments: &Arguments) -> Self {
        let payload: Vec<u8> = (0..arguments.size).map(|i| (i * 131 % 251) as u8).collect();
        let masked = payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key);
        let mut sent = head(arguments.size, 0x80);
        sent.extend(KEY);
        sent.extend(masked);
        let expected =
            if arguments.raw { sent.clone() } else { [head(arguments.size, 0), payload].concat() };
        let count = arguments.in_flight;
        Self { sent: sent.repeat(count), expected: expected.repeat(count) }
    }
}

/// The head of a final binary frame, without a key.
fn head(size: usize, mask_bit: u8) -> Vec<u8> {
    match size {
        0..126 => vec![0x82, mask_bit | size as u8],
        126..0x1_0000 => [&[0x82, mask_bit | 126][..], &(size as u16).to_be_bytes()].concat(),
        _ => [&[0x82, mask_bit | 127][..], &(size as u64).to_be_bytes()].concat(),
    }
}

struct Load<'w> {
    wave: &'w Wave,
    poll: Poll,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    waves: usize,
    written: usize,
    read: usize,
}

impl<'w> Load<'w> {
    fn connect(arguments: &Arguments, wave: &'w Wave) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(arguments.connections);
        for token in 0..arguments.connections {
            let mut stream = TcpStream::from_std(handshake(arguments.port)?);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(token), interest)?;
            connections.push(Connection { stream, waves: 0, written: 0, read: 0 });
        }
        Ok(Self { wave, poll, connections, scratch: vec![0; 256 * 1024] })
    }

    /// Sends that many waves on each connection and waits for all replies.
    fn run(&mut self, waves: usize) -> Result<()> {
        let mut busy = 0;
        if waves > 0 {
            for connection in &mut self.connections {
                (connection.waves, connection.written, connection.read) = (waves, 0, 0);
                busy += usize::from(!connection.drive(self.wave, &mut self.scratch)?);
            }
        }
        let mut events = Events::with_capacity(1024);
        while busy > 0 {
            match self.poll.poll(&mut events, Some(STUCK)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if events.is_empty() {
                return Err("the server is stuck".into());
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if connection.waves > 0 {
                    busy -= usize::from(connection.drive(self.wave, &mut self.scratch)?);
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Writes and reads what can be written and read now; whether the last wave is over.
    fn drive(&mut self, wave: &Wave, scratch: &mut [u8]) -> Result<bool> {
        loop {
            while self.written < wave.sent.len() {
                match self.stream.write(&wave.sent[self.written..]) {
                    Ok(written) => self.written += written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            loop {
                let read = match self.stream.read(scratch) {
                    Ok(0) => return Err("the server hung up".into()),
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error.into()),
                };
                let expected = wave.expected.get(self.read..self.read + read);
                if expected != Some(&scratch[..read]) {
                    return Err("the echo is not what was sent".into());
                }
                self.read += read;
                if self.read == wave.expected.len() {
                    break;
                }
                // A short read has emptied the socket: its next bytes are an event of their own.
                if read < scratch.len() {
                    return Ok(false);
                }
            }
            self.waves -= 1;
            if self.waves == 0 {
                return Ok(true);
            }
            (self.written, self.read) = (0, 0);
        }
    }
}

fn handshake(port: u16) -> Result<net::TcpStream> {
    let mut stream = net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STUCK))?;
    stream.write_all(REQUEST.as_bytes())?;
    let (mut response, mut buffer) = (Vec::new(), [0; 1024]);
    while !response.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err("the server hung up during the handshake".into()),
            read => response.extend_from_slice(&buffer[..read]),
        }
    }
    let response = String::from_utf8(response)?;
    if !response.starts_with("HTTP/1.1 101 ") || !response.contains(ACCEPT) {
        return Err(format!("refused: {response}").into());
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}
