//! The hot paths, each alone, for a count of the instructions that one message takes.
//!
//! ```text
//! .ci/instructions             counts them, compared with benches/instructions.json
//! instructions CASE REPEATS    one case (some messages, always the same) so many times
//! instructions                 the cases, and how many messages a repeat of each has
//! instructions --cpu           what the code that asks the processor finds here
//! ```
//!
//! Nothing here is random, and all allocation that is not the crate's comes before the first
//! repeat: the difference of two runs is the crate's work, but for the copy that restores what
//! unmasking has spoilt.

use core::convert::Infallible;
use fullduplex::{
    Config, Connection, Event, Input,
    frame::{Header, OpCode, mask},
    handshake::{Acceptance, ClientHandshake, HeadLimits, Request, ServerHandshake},
};
use std::{env, hint::black_box};

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match &args[..] {
        [name, repeats] => {
            let (_, case) = CASES.iter().find(|(case, _)| case == name).expect("a case");
            let mut case = case();
            for _ in 0..repeats.parse().expect("a number of repeats") {
                (case.repeat)();
            }
        }
        [cpu] if cpu == "--cpu" => println!("{}", processor()),
        // Also for `cargo bench`, whatever it asks of the other benchmarks.
        _ => {
            for (name, case) in CASES {
                println!("{name} {}", case().messages);
            }
        }
    }
}

type Make = fn() -> Case;

const CASES: [(&str, Make); 18] = [
    ("mask/125", || masking(125)),
    ("mask/16384", || masking(16 * 1024)),
    ("head/decode", decode),
    ("receive/binary/16", || receive(Kind::Binary, 16)),
    ("receive/binary/125", || receive(Kind::Binary, 125)),
    ("receive/binary/1024", || receive(Kind::Binary, 1024)),
    ("receive/binary/16384", || receive(Kind::Binary, 16 * 1024)),
    ("receive/ascii/125", || receive(Kind::Ascii, 125)),
    ("receive/ascii/1024", || receive(Kind::Ascii, 1024)),
    ("receive/mixed/125", || receive(Kind::Mixed, 125)),
    ("receive/mixed/1024", || receive(Kind::Mixed, 1024)),
    ("receive/owned/125", || receive_owned(125)),
    ("receive/1 MiB in 64 KiB", || receive_in_pieces(1 << 20)),
    ("echo/125", || echo(125)),
    ("send/server/125", || send(Connection::server(Config::default()), 125)),
    ("send/client/125", || send(Connection::client_with_keys(Config::default(), Counter(1)), 125)),
    ("handshake/server", handshake_server),
    ("handshake/client", handshake_client),
];

struct Case {
    /// How many messages, or whatever is counted, a repeat handles.
    messages: usize,
    repeat: Box<dyn FnMut()>,
}

impl Case {
    fn new(messages: usize, repeat: impl FnMut() + 'static) -> Self {
        Self { messages, repeat: Box::new(repeat) }
    }

    /// `work` gets `wire` as it was made, each time.
    fn restoring(
        messages: usize,
        wire: Vec<u8>,
        mut work: impl FnMut(&mut [u8]) + 'static,
    ) -> Self {
        let original = wire.clone();
        let mut wire = wire;
        Self::new(messages, move || {
            wire.copy_from_slice(&original);
            work(black_box(&mut wire));
        })
    }
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The size of a read in bytes.
const READ: usize = 64 * 1024;

fn masking(size: usize) -> Case {
    let mut payload = vec![7; size];
    let count = READ / size;
    Case::new(count, move || {
        for _ in 0..count {
            mask(black_box(&mut payload), black_box(KEY), black_box(0));
        }
    })
}

/// Heads of all forms, one after another.
fn decode() -> Case {
    let lengths = [5, 60, 125, 126, 4000, 65_535, 65_536, 1 << 40];
    let heads: Vec<_> = [None, Some(KEY)]
        .into_iter()
        .flat_map(|mask| {
            lengths.map(|length| Header { mask, ..Header::new(OpCode::Binary, length) })
        })
        .map(|header| header.encode().0)
        .collect();
    const ROUNDS: usize = 64;
    Case::new(ROUNDS * heads.len(), move || {
        for _ in 0..ROUNDS {
            for head in &heads {
                let _ = black_box(Header::decode(black_box(head)));
            }
        }
    })
}

/// A read that is full of frames from a client, as its server sees it.
fn receive(kind: Kind, size: usize) -> Case {
    let mut connection = Connection::server(Config::default());
    let (count, wire) = kind.read(size);
    Case::restoring(count, wire, move |wire| {
        let mut input = Input::new(wire);
        while let Some(event) = connection.receive(&mut input).unwrap() {
            black_box(&event);
        }
    })
}

fn receive_owned(size: usize) -> Case {
    let mut connection = Connection::server(Config::default());
    let (count, wire) = Kind::Binary.read(size);
    Case::restoring(count, wire, move |wire| {
        let mut input = Input::new(wire);
        while let Some(event) = connection.receive(&mut input).unwrap() {
            let Event::Message(message) = event else { unreachable!() };
            black_box(message.into_owned());
        }
    })
}

fn receive_in_pieces(size: usize) -> Case {
    let mut connection = Connection::server(Config::default());
    Case::restoring(1, Kind::Binary.frame(size), move |wire| {
        let mut messages = 0;
        for piece in wire.chunks_mut(READ) {
            if let Some(event) = connection.receive(&mut Input::new(piece)).unwrap() {
                black_box(event);
                messages += 1;
            }
        }
        assert_eq!(messages, 1);
    })
}

/// What a server spends on a read if it sends everything back.
fn echo(size: usize) -> Case {
    let mut connection = Connection::server(Config::default());
    let (count, wire) = Kind::Binary.read(size);
    Case::restoring(count, wire, move |wire| {
        let mut input = Input::new(wire);
        while let Some(event) = connection.receive(&mut input).unwrap() {
            let Event::Message(message) = event else { unreachable!() };
            connection.feed(message).unwrap();
        }
        write_all(&mut connection);
    })
}

/// A read's worth of messages into the outbox, which is then written at once.
fn send(mut connection: Connection, size: usize) -> Case {
    let (count, payload) = (READ / size, Kind::Binary.payload(size));
    Case::new(count, move || {
        for _ in 0..count {
            connection.feed(black_box(&payload[..])).unwrap();
        }
        write_all(&mut connection);
    })
}

const HANDSHAKES: usize = 16;

/// From the request's bytes to the answer's.
fn handshake_server() -> Case {
    let mut request = start().request_bytes().to_vec();
    Case::new(HANDSHAKES, move || {
        for _ in 0..HANDSHAKES {
            black_box(answer(black_box(&mut request)));
        }
    })
}

/// The request, and what the answer says.
fn handshake_client() -> Case {
    // The keys are always the same, and so the answer fits all.
    let mut response = answer(&mut start().request_bytes().to_vec());
    Case::new(HANDSHAKES, move || {
        for _ in 0..HANDSHAKES {
            let mut client = start();
            black_box(client.request_bytes());
            black_box(client.receive(&mut Input::new(black_box(&mut response))).unwrap().unwrap());
        }
    })
}

fn start() -> ClientHandshake {
    let request = Request::new("ws://example.com/chat").origin("http://example.com");
    ClientHandshake::new(request, &mut Counter(1)).unwrap()
}

fn answer(wire: &mut [u8]) -> Vec<u8> {
    let mut server = ServerHandshake::new(HeadLimits::default());
    let request = server.receive(&mut Input::new(wire)).unwrap().unwrap();
    request.accept(&Acceptance::new()).unwrap().to_bytes().unwrap()
}

/// What a message holds.
#[derive(Clone, Copy)]
enum Kind {
    Binary,
    Ascii,
    /// A quarter of the code points takes more than one byte.
    Mixed,
}

impl Kind {
    fn payload(self, size: usize) -> Vec<u8> {
        let pattern =
            if let Self::Mixed = self { "größer, 12 €, 好! " } else { "just letters " };
        let mut text = pattern.repeat(size / pattern.len() + 1);
        while text.len() > size {
            text.pop();
        }
        let mut payload = text.into_bytes();
        payload.resize(size, b'.');
        payload
    }

    /// A masked frame with a payload of `size` bytes.
    fn frame(self, size: usize) -> Vec<u8> {
        let opcode = if let Self::Binary = self { OpCode::Binary } else { OpCode::Text };
        let header = Header { mask: Some(KEY), ..Header::new(opcode, size as u64) };
        let (head, length) = header.encode();
        let mut frame = [&head[..length], &self.payload(size)].concat();
        mask(&mut frame[length..], KEY, 0);
        frame
    }

    /// As many frames as one read takes, and how many that are.
    fn read(self, size: usize) -> (usize, Vec<u8>) {
        let frame = self.frame(size);
        let count = READ / frame.len();
        (count, frame.repeat(count))
    }
}

fn write_all(connection: &mut Connection) {
    let mut outbox = connection.outbox();
    while !outbox.is_empty() {
        let written = black_box(outbox.chunk()).len();
        outbox.advance(written);
    }
}

/// Keys that cost next to nothing and are the same each time. For a benchmark only.
struct Counter(u32);

impl rand::TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0 = self.0.wrapping_mul(0x9e37_79b1).wrapping_add(1);
        Ok(self.0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.try_next_u32().map(u64::from)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill_with(|| self.try_next_u32().unwrap_or_default() as u8);
        Ok(())
    }
}

impl rand::TryCryptoRng for Counter {}

/// The architecture, with what this crate, its dependencies and libc choose their code by. Under
/// valgrind this is the processor that valgrind plays.
fn processor() -> String {
    #[allow(unused_mut, reason = "on other architectures nothing is asked")]
    let mut found = vec![env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! ask {
            ($($feature:tt)*) => {
                $(if std::is_x86_feature_detected!($feature) { found.push($feature); })*
            };
        }
        ask!("ssse3" "sse4.1" "sse4.2" "avx" "avx2" "avx512f" "bmi2" "ermsb" "rtm" "sha");
    }
    found.join(" ")
}
