//! What the codec costs, in nanoseconds per message, beside what it cannot go below.
//!
//! In each group `copy` and `limit` do, with the same bytes, a plain copy and the least that has to
//! be done: the mask XORed in and, for text, the UTF-8 checked. The rest is the crate. Unmasking
//! spoils its input, so that is restored before each batch, outside the measured time.
//!
//! ```text
//! cargo bench --bench codec                        everything
//! cargo bench --bench codec -- receive/binary/125  one group
//! ```

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkGroup, Criterion, measurement::WallTime};
use fullduplex::{
    Config, Connection, Event, Input, Prepared,
    frame::{Header, OpCode, mask},
    handshake::{Acceptance, ClientHandshake, HeadLimits, Request, ServerHandshake, accept_key},
};
use std::{
    hint::black_box,
    str,
    time::{Duration, Instant},
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(40)
        .configure_from_args();
    for part in [masking, heads, receive, receive_in_pieces, send, broadcast, echo, handshake] {
        part(&mut criterion);
    }
    criterion.final_summary();
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const SIZES: [usize; 4] = [16, 125, 1024, 16 * 1024];

/// The size of a read in bytes.
const READ: usize = 64 * 1024;

fn masking(c: &mut Criterion) {
    for size in SIZES {
        let mut group = c.benchmark_group(format!("mask/{size}"));
        let (mut payload, mut copied) = (vec![7; size], vec![0; size]);
        group.bench_function("copy", |b| {
            b.iter(|| copied.copy_from_slice(black_box(&payload)));
        });
        group.bench_function("limit", |b| b.iter(|| xor(black_box(&mut payload))));
        group.bench_function("mask", |b| b.iter(|| mask(black_box(&mut payload), KEY, 0)));
    }
}

/// Heads of all forms in an order that no branch predictor knows.
fn heads(c: &mut Criterion) {
    const COUNT: usize = 4096;
    let mut random = 1u64;
    let headers: Vec<Header> = (0..COUNT)
        .map(|_| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let length = [5, 60, 125, 126, 4000, 65_535, 65_536, 1 << 40][(random >> 61) as usize];
            let mask = (random >> 60 & 1 == 1).then_some(KEY);
            Header { mask, ..Header::new(OpCode::Binary, length) }
        })
        .collect();
    let mut bytes: Vec<u8> = headers.iter().flat_map(|header| header.encode().0).collect();
    let mut group = c.benchmark_group("head");
    batches(&mut group, "encode", COUNT, &mut bytes, |_| {
        for header in &headers {
            black_box(black_box(header).encode());
        }
    });
    batches(&mut group, "decode", COUNT, &mut bytes, |bytes| {
        for head in bytes.chunks_exact(Header::MAX_LEN) {
            let _ = black_box(Header::decode(black_box(head)));
        }
    });
}

/// A read that is full of frames from a client, as its server sees it.
fn receive(c: &mut Criterion) {
    for kind in KINDS {
        for size in SIZES {
            let payload = kind.payload(size);
            let frame = kind.frame(&payload);
            let (count, head) = (READ / frame.len(), frame.len() - size);
            let mut wire = frame.repeat(count);
            let mut group = c.benchmark_group(format!("receive/{kind:?}/{size}"));

            let mut copied = vec![0; size];
            batches(&mut group, "copy", count, &mut wire, |wire| {
                for frame in wire.chunks_exact(head + size) {
                    black_box(&mut copied).copy_from_slice(&frame[head..]);
                }
            });
            batches(&mut group, "limit", count, &mut wire, |wire| {
                for frame in wire.chunks_exact_mut(head + size) {
                    xor(&mut frame[head..]);
                    kind.check(&frame[head..]);
                }
            });
            let mut connection = Connection::server(Config::default());
            batches(&mut group, "borrowed", count, &mut wire, |wire| {
                let mut input = Input::new(wire);
                while let Some(event) = connection.receive(&mut input).unwrap() {
                    black_box(&event);
                }
            });
            batches(&mut group, "owned", count, &mut wire, |wire| {
                let mut input = Input::new(wire);
                while let Some(event) = connection.receive(&mut input).unwrap() {
                    let Event::Message(message) = event else { unreachable!() };
                    black_box(message.into_owned());
                }
            });
        }
    }
}

/// A message that is larger than a read: the buffer that it is joined in is part of the limit.
fn receive_in_pieces(c: &mut Criterion) {
    const SIZE: usize = 1 << 20;
    for kind in KINDS {
        let mut wire = kind.frame(&kind.payload(SIZE));
        let head = wire.len() - SIZE;
        let mut group = c.benchmark_group(format!("receive/{kind:?}/1 MiB in 64 KiB"));
        let join = |wire: &mut [u8], each: fn(&mut [u8])| {
            let mut message = Vec::with_capacity(SIZE);
            for piece in wire[head..].chunks_mut(READ) {
                each(piece);
                kind.check(piece);
                message.extend_from_slice(piece);
            }
            black_box(message);
        };
        batches(&mut group, "copy", 1, &mut wire, |wire| {
            black_box(wire[head..].to_vec());
        });
        batches(&mut group, "limit", 1, &mut wire, |wire| join(wire, xor));
        let mut connection = Connection::server(Config::default());
        batches(&mut group, "owned", 1, &mut wire, |wire| {
            let mut messages = 0;
            for piece in wire.chunks_mut(READ) {
                if let Some(event) = connection.receive(&mut Input::new(piece)).unwrap() {
                    black_box(event);
                    messages += 1;
                }
            }
            assert_eq!(messages, 1);
        });
    }
}

/// A read's worth of messages into the outbox, which is then written at once. A server's limit is
/// the copy, as it does not mask.
fn send(c: &mut Criterion) {
    for size in SIZES {
        let kind = Kind::Binary;
        let mut payload = kind.payload(size);
        let frame = kind.frame(&payload);
        let (count, head) = (READ / frame.len(), frame.len() - size);
        let mut group = c.benchmark_group(format!("send/{size}"));

        let mut out = Vec::with_capacity(READ);
        batches(&mut group, "copy", count, &mut payload, |payload| {
            out.clear();
            for _ in 0..count {
                out.extend_from_slice(&frame[..head]);
                out.extend_from_slice(black_box(payload));
            }
            black_box(&mut out);
        });
        batches(&mut group, "limit", count, &mut payload, |payload| {
            out.clear();
            for _ in 0..count {
                out.extend_from_slice(&frame[..head]);
                let start = out.len();
                out.extend_from_slice(black_box(payload));
                xor(&mut out[start..]);
            }
            black_box(&mut out);
        });
        let server = Connection::server(Config::default());
        let client = Connection::client(Config::default());
        for (name, mut connection) in [("server", server), ("client", client)] {
            batches(&mut group, name, count, &mut payload, |payload| {
                for _ in 0..count {
                    connection.feed(black_box(&*payload)).unwrap();
                }
                write_all(&mut connection);
            });
        }
    }
}

/// The same message to many clients of a server, per client: sent to each by itself, and prepared
/// once, which counts. `at once`: each is written before the next is sent, from one buffer that all
/// are lent, as the adapters do. `queued`: they are written when all are queued.
fn broadcast(c: &mut Criterion) {
    let plain = || Connection::server(Config::default());
    for size in [125, 1024, 4096, 16 * 1024] {
        broadcast_to(c, &format!("plain {size}"), &Kind::Binary.payload(size), plain);
    }
    #[cfg(feature = "deflate")]
    for takeover in [false, true] {
        let deflate = fullduplex::deflate::Deflate::default().takeover(takeover);
        let config = std::sync::Arc::new(Config::default().deflate(deflate.clone()));
        let connect = || {
            let agreed = deflate.accept(&deflate.offers());
            Connection::server(config.clone()).with_deflate(agreed).unwrap()
        };
        let name = if takeover { "takeover 1024" } else { "no takeover 1024" };
        broadcast_to(c, name, &json(1024), connect);
    }
}

fn broadcast_to(c: &mut Criterion, name: &str, payload: &[u8], connect: impl Fn() -> Connection) {
    const CLIENTS: usize = 1000;
    let mut payload = payload.to_vec();
    let mut group = c.benchmark_group(format!("broadcast/{name}"));
    for (order, at_once) in [("at once", true), ("queued", false)] {
        let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| connect()).collect();
        let mut storage = Vec::new();
        let mut all = |send: &mut dyn FnMut(&mut Connection)| {
            for client in &mut clients {
                if at_once {
                    client.outbox().lend(core::mem::take(&mut storage));
                }
                send(client);
                if at_once {
                    write_all(client);
                    storage = client.outbox().reclaim().unwrap_or_default();
                }
            }
            if !at_once {
                clients.iter_mut().for_each(write_all);
            }
        };
        batches(&mut group, &format!("{order}, send"), CLIENTS, &mut payload, |payload| {
            let shared = Bytes::copy_from_slice(payload);
            all(&mut |client| client.feed(black_box(&shared)).unwrap());
        });
        batches(&mut group, &format!("{order}, prepared"), CLIENTS, &mut payload, |payload| {
            let prepared = Prepared::new(&*payload);
            all(&mut |client| client.feed(black_box(&prepared)).unwrap());
        });
    }
}

/// Something that can be compressed, and not to nothing.
#[cfg(feature = "deflate")]
fn json(size: usize) -> Vec<u8> {
    let mut random = 1_u64;
    let mut text = String::new();
    while text.len() < size {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let (id, price) = (random >> 40, (random >> 20) % 100_000);
        text += &format!("{{\"id\":{id},\"price\":{price},\"side\":\"buy\"}},");
    }
    text.truncate(size);
    text.into_bytes()
}

/// What a server spends on a read if it sends everything back.
fn echo(c: &mut Criterion) {
    for size in SIZES {
        let frame = Kind::Binary.frame(&Kind::Binary.payload(size));
        let count = READ / frame.len();
        let mut connection = Connection::server(Config::default());
        let mut group = c.benchmark_group(format!("echo/{size}"));
        batches(&mut group, "server", count, &mut frame.repeat(count), |wire| {
            let mut input = Input::new(wire);
            while let Some(event) = connection.receive(&mut input).unwrap() {
                let Event::Message(message) = event else { unreachable!() };
                connection.feed(message).unwrap();
            }
            write_all(&mut connection);
        });
    }
}

/// Both ends of a handshake without further headers; the limit is SHA-1 and Base64.
fn handshake(c: &mut Criterion) {
    let start = || {
        let request = Request::new("ws://example.com/chat").origin("http://example.com");
        ClientHandshake::new(request, &mut rand::rng()).unwrap()
    };
    let answer = |wire: &mut [u8]| {
        let mut server = ServerHandshake::new(HeadLimits::default());
        let request = server.receive(&mut Input::new(wire)).unwrap().unwrap();
        request.accept(&Acceptance::new()).unwrap().to_bytes().unwrap()
    };
    let mut group = c.benchmark_group("handshake");
    group.bench_function("limit", |b| {
        b.iter(|| accept_key(black_box("dGhlIHNhbXBsZSBub25jZQ==")));
    });
    group.bench_function("client, request", |b| b.iter(|| black_box(start())));
    let mut request = start().request_bytes().to_vec();
    group.bench_function("server", |b| b.iter(|| black_box(answer(&mut request))));
    group.bench_function("client, response", |b| {
        b.iter_batched_ref(
            || {
                let client = start();
                let response = answer(&mut client.request_bytes().to_vec());
                (client, response)
            },
            |(client, response)| client.receive(&mut Input::new(response)).unwrap().unwrap(),
            BatchSize::SmallInput,
        );
    });
}

/// What a message holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Binary,
    Ascii,
    /// A quarter of the code points takes more than one byte.
    Mixed,
}

const KINDS: [Kind; 3] = [Kind::Binary, Kind::Ascii, Kind::Mixed];

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

    /// A masked frame with all of `payload`.
    fn frame(self, payload: &[u8]) -> Vec<u8> {
        let opcode = if let Self::Binary = self { OpCode::Binary } else { OpCode::Text };
        let header = Header { mask: Some(KEY), ..Header::new(opcode, payload.len() as u64) };
        let (head, length) = header.encode();
        let mut frame = [&head[..length], payload].concat();
        mask(&mut frame[length..], KEY, 0);
        frame
    }

    /// What has to be looked at in a payload, or in a piece of one.
    #[inline]
    fn check(self, piece: &[u8]) {
        if let Self::Ascii | Self::Mixed = self {
            // A piece may start inside a code point.
            let start = piece.iter().position(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
            let _ = black_box(str::from_utf8(&piece[start..]));
        } else {
            black_box(piece);
        }
    }
}

/// The plainest masking that is vectorised, of a payload from its start.
#[inline]
fn xor(payload: &mut [u8]) {
    let [a, b, c, d] = KEY;
    let twice = [a, b, c, d, a, b, c, d];
    let key = u64::from_ne_bytes(twice);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let masked = u64::from_ne_bytes((&*word).try_into().unwrap()) ^ key;
        word.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(twice) {
        *byte ^= key;
    }
}

fn write_all(connection: &mut Connection) {
    let mut outbox = connection.outbox();
    while !outbox.is_empty() {
        let written = black_box(outbox.chunk()).len();
        outbox.advance(written);
    }
}

/// Measures `work`, which handles `count` messages at once, per message. It gets `bytes` as they
/// are now; what it does to them is undone in between, unmeasured.
fn batches(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    count: usize,
    bytes: &mut [u8],
    mut work: impl FnMut(&mut [u8]),
) {
    let (original, count) = (bytes.to_vec(), count as u64);
    group.bench_function(name, |b| {
        b.iter_custom(|messages| {
            let batches = messages.div_ceil(count);
            let mut elapsed = Duration::ZERO;
            for _ in 0..batches {
                bytes.copy_from_slice(&original);
                let start = Instant::now();
                work(black_box(&mut *bytes));
                elapsed += start.elapsed();
            }
            elapsed.mul_f64(messages as f64 / (batches * count) as f64)
        });
    });
    bytes.copy_from_slice(&original);
}
