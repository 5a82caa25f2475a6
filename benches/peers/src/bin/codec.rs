//! The codecs, in memory: `codec [--quick]` prints `work TAB contender TAB ns per message`.
//!
//! Decoding starts with the copy of the bytes into the contender's buffer, as a read does, and
//! ends with the message dropped. A crate that has no way in from memory gets a stream that lies
//! in memory. Contenders take turns, round by round; what is printed is the median.

use bytes::{Bytes, BytesMut};
use fullduplex::{Config, Connection, Event, Incoming, Input};
use futures_util::{FutureExt, SinkExt, StreamExt, io as fio};
use multiversion::multiversion;
use rand::RngExt;
use std::{
    env,
    hint::black_box,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::io as tio;
use tokio_util::codec::{Decoder, Encoder};

/// How many bytes arrive at once.
const BATCH: usize = 64 * 1024;
/// How many messages are encoded before the output is taken away.
const ENCODED: usize = 512;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Does the work on one batch, and says how many bytes of payload that were.
type Run = Box<dyn FnMut() -> usize>;
type Contenders = Vec<(&'static str, Run)>;

fn main() {
    let (rounds, sample) = match env::args().nth(1).as_deref() {
        Some("--quick") => (15, Duration::from_millis(2)),
        _ => (51, Duration::from_millis(4)),
    };
    let binary = |size| (0..size).map(|i: usize| (i * 131 % 251) as u8).collect::<Vec<_>>();
    let ascii = "The quick brown fox jumps over the lazy dog. ".repeat(23);
    let mixed = "Grüße, κόσμε, мир, 世界, 🌍! ".repeat(64);
    let mixed = &mixed[..mixed.floor_char_boundary(1024)];
    for (work, text, payload) in [
        ("decode 16 B", false, &binary(16)[..]),
        ("decode 125 B", false, &binary(125)),
        ("decode 1 KiB", false, &binary(1024)),
        ("decode 16 KiB", false, &binary(16 * 1024)),
        ("decode 1 MiB in 64 KiB pieces", false, &binary(1 << 20)),
        ("decode text 1 KiB, ASCII", true, &ascii.as_bytes()[..1024]),
        ("decode text 1 KiB, multi-byte", true, mixed.as_bytes()),
    ] {
        let batch = Batch::new(text, payload);
        measure(work, batch.count, payload.len(), decoders(batch), rounds, sample);
    }
    let payload: &'static [u8] = binary(125).leak();
    for (work, client) in [("encode 125 B, server", false), ("encode 125 B, client", true)] {
        measure(work, ENCODED, payload.len(), encoders(payload, client), rounds, sample);
    }
}

fn measure(
    work: &str,
    count: usize,
    size: usize,
    contenders: Contenders,
    rounds: usize,
    sample: Duration,
) {
    let time = |run: &mut Run, repeats: u32| {
        let start = Instant::now();
        (0..repeats).for_each(|_| {
            black_box(run());
        });
        start.elapsed()
    };
    let mut contenders: Vec<_> = contenders
        .into_iter()
        .map(|(name, mut run)| {
            assert_eq!(run(), count * size, "{work}: {name} did not do it");
            time(&mut run, 3);
            let once = time(&mut run, 3) / 3;
            let repeats = (sample.as_nanos() / once.as_nanos().max(1)).clamp(1, 100_000) as u32;
            (name, run, repeats, Vec::new())
        })
        .collect();
    for _ in 0..rounds {
        for (_, run, repeats, times) in &mut contenders {
            let messages = f64::from(*repeats) * count as f64;
            times.push(time(run, *repeats).as_nanos() as f64 / messages);
        }
    }
    for (name, _, _, mut times) in contenders {
        times.sort_by(f64::total_cmp);
        println!("{work}\t{name}\t{:.2}", times[rounds / 2]);
    }
}

/// Masked frames that arrive together, and how they arrive. Lives as long as the program.
#[derive(Clone, Copy)]
struct Batch {
    bytes: &'static [u8],
    payload: &'static [u8],
    text: bool,
    count: usize,
    /// How many of the bytes come with one read.
    piece: usize,
}

impl Batch {
    fn new(text: bool, payload: &[u8]) -> Self {
        let payload: &'static [u8] = payload.to_vec().leak();
        let length = payload.len();
        let mut frame = vec![if text { 0x81 } else { 0x82 }];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..0x1_0000 => {
                frame.push(0xfe);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0xff);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        let count = ((BATCH + length / 2) / frame.len()).max(1);
        let bytes = frame.repeat(count).leak();
        let piece = if count > 1 { bytes.len() } else { BATCH };
        Self { bytes, payload, text, count, piece }
    }
}

fn decoders(batch: Batch) -> Contenders {
    let Batch { count, .. } = batch;
    let mut contenders: Contenders = vec![
        ("limit", limit_decode(batch)),
        (
            "fullduplex, borrowed",
            fullduplex_decode(batch, |message| black_box(&message).as_bytes().len()),
        ),
        (
            "fullduplex, owned",
            fullduplex_decode(batch, |message| black_box(&message.into_owned()).len()),
        ),
    ];

    let mut ws = tungstenite::WebSocket::from_raw_socket(
        Memory::new(batch),
        tungstenite::protocol::Role::Server,
        None,
    );
    let run = move || (0..count).map(|_| black_box(&ws.read().unwrap()).len()).sum();
    contenders.push(("tungstenite", Box::new(run)));

    let ws = fastwebsockets::WebSocket::after_handshake(
        Memory::new(batch),
        fastwebsockets::Role::Server,
    );
    let mut ws = fastwebsockets::FragmentCollector::new(ws);
    let run =
        move || (0..count).map(|_| black_box(&now(ws.read_frame()).unwrap().payload).len()).sum();
    contenders.push(("fastwebsockets", Box::new(run)));

    let mut ws = tokio_websockets::ServerBuilder::new().serve(Memory::new(batch));
    let run = move || {
        (0..count).map(|_| black_box(&now(ws.next()).unwrap().unwrap()).as_payload().len()).sum()
    };
    contenders.push(("tokio-websockets", Box::new(run)));

    let options = yawc::Options::default().with_utf8().with_limits(16 << 20, 32 << 20);
    let mut ws =
        yawc::WebSocket::from_stream(Memory::new(batch), yawc::Role::Server, options).unwrap();
    let run =
        move || (0..count).map(|_| black_box(&now(ws.next_frame()).unwrap()).payload().len()).sum();
    contenders.push(("yawc", Box::new(run)));

    let mut decoder = yawc::codec::Decoder::new(yawc::Role::Server, 16 << 20);
    let run = into_bytes_mut(batch, move |buffer| {
        let mut length = 0;
        while let Some(frame) = decoder.decode(buffer).unwrap() {
            assert!(!batch.text || frame.is_utf8());
            length += black_box(&frame).payload().len();
        }
        length
    });
    contenders.push(("yawc, codec only", run));

    let mut protocol =
        sockudo_ws::protocol::Protocol::new(sockudo_ws::Role::Server, 16 << 20, 64 << 20);
    let mut messages = Vec::new();
    let run = into_bytes_mut(batch, move |buffer| {
        protocol.process_into(buffer, &mut messages).unwrap();
        messages.drain(..).map(|message| black_box(&message).as_bytes().len()).sum()
    });
    contenders.push(("sockudo-ws", run));

    let connection =
        soketto::connection::Builder::new(Memory::new(batch), soketto::Mode::Server).finish();
    let (_sender, mut receiver) = connection;
    let mut message = Vec::new();
    let run = move || {
        let receive = |_| {
            message.clear();
            if now(receiver.receive_data(&mut message)).unwrap().is_text() {
                str::from_utf8(&message).unwrap();
            }
            black_box(&message).len()
        };
        (0..count).map(receive).sum()
    };
    contenders.push(("soketto", Box::new(run)));

    let mut ws = web_socket::WebSocket::server(Memory::new(batch));
    let run = move || {
        let receive = |_| match now(ws.recv_event()).unwrap() {
            web_socket::Event::Data { data, .. } => {
                if batch.text {
                    str::from_utf8(&data).unwrap();
                }
                black_box(&data).len()
            }
            other => panic!("{other:?}"),
        };
        (0..count).map(receive).sum()
    };
    contenders.push(("web-socket", Box::new(run)));

    // It does not know texts.
    if !batch.text {
        contenders.push(("websocket-sans-io", sans_io_decode(batch)));
    }
    contenders
}

/// The copy, one XOR pass over the same bytes in the widest vectors there are, and for text
/// simdutf8 alone.
fn limit_decode(batch: Batch) -> Run {
    let mut buffer = vec![0; batch.bytes.len()];
    Box::new(move || {
        for (from, to) in batch.bytes.chunks(batch.piece).zip(buffer.chunks_mut(batch.piece)) {
            to.copy_from_slice(from);
            xor(to, KEY);
        }
        if batch.text {
            for _ in 0..batch.count {
                simdutf8::basic::from_utf8(black_box(batch.payload)).unwrap();
            }
        }
        black_box(&mut buffer);
        batch.count * batch.payload.len()
    })
}

#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2", "aarch64+neon"))]
fn xor(bytes: &mut [u8], key: [u8; 4]) {
    let (chunks, rest) = bytes.as_chunks_mut::<4>();
    for chunk in chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    rest.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}

fn fullduplex_decode(batch: Batch, consume: impl Fn(Incoming<'_>) -> usize + 'static) -> Run {
    let mut connection = Connection::server(Config::default());
    let mut buffer = vec![0; batch.piece];
    Box::new(move || {
        let mut length = 0;
        for piece in batch.bytes.chunks(batch.piece) {
            let received = &mut buffer[..piece.len()];
            received.copy_from_slice(piece);
            let mut input = Input::new(received);
            while let Some(event) = connection.receive(&mut input).unwrap() {
                if let Event::Message(message) = event {
                    length += consume(message);
                }
            }
        }
        length
    })
}

/// For codecs that decode out of a `BytesMut`.
fn into_bytes_mut(batch: Batch, mut decode: impl FnMut(&mut BytesMut) -> usize + 'static) -> Run {
    let mut buffer = BytesMut::with_capacity(batch.piece);
    Box::new(move || {
        let arrive = |piece| {
            buffer.extend_from_slice(piece);
            decode(&mut buffer)
        };
        batch.bytes.chunks(batch.piece).map(arrive).sum()
    })
}

/// Frames only: it does not assemble messages.
fn sans_io_decode(batch: Batch) -> Run {
    use websocket_sans_io::{WebsocketFrameDecoder, WebsocketFrameEvent};
    let mut decoder = WebsocketFrameDecoder::new();
    let mut buffer = vec![0; batch.piece];
    Box::new(move || {
        let mut length = 0;
        for piece in batch.bytes.chunks(batch.piece) {
            let mut rest = &mut buffer[..piece.len()];
            rest.copy_from_slice(piece);
            loop {
                let result = decoder.add_data(rest).unwrap();
                if result.consumed_bytes == 0 && result.event.is_none() {
                    break;
                }
                let (front, back) = rest.split_at_mut(result.consumed_bytes);
                if let Some(WebsocketFrameEvent::PayloadChunk { .. }) = result.event {
                    length += black_box(front).len();
                }
                rest = back;
            }
        }
        length
    })
}

fn encoders(payload: &'static [u8], client: bool) -> Contenders {
    let shared = Bytes::from_static(payload);
    let length = ENCODED * payload.len();
    // Calls an encoder for each message, and then has it hand its output out.
    fn batch<T: 'static>(
        mut encoder: T,
        length: usize,
        mut encode: impl FnMut(&mut T) + 'static,
        mut finish: impl FnMut(&mut T) + 'static,
    ) -> Run {
        Box::new(move || {
            (0..ENCODED).for_each(|_| encode(&mut encoder));
            finish(&mut encoder);
            length
        })
    }
    fn clear(output: &mut Vec<u8>) {
        black_box(&*output);
        output.clear();
    }
    let mut contenders: Contenders = Vec::new();

    let encode = move |output: &mut Vec<u8>| {
        output.extend_from_slice(&[0x82, payload.len() as u8]);
        let start = output.len();
        output.extend_from_slice(payload);
        if client {
            xor(&mut output[start..], KEY);
        }
    };
    contenders.push(("limit", batch(Vec::new(), length, encode, clear)));

    let config = Config::default();
    let connection = if client { Connection::client(config) } else { Connection::server(config) };
    let finish = |connection: &mut Connection| {
        let mut outbox = connection.outbox();
        outbox.advance(black_box(outbox.chunk()).len());
        assert!(outbox.is_empty());
    };
    let send = move |connection: &mut Connection| connection.feed(payload).unwrap();
    contenders.push(("fullduplex, borrowed", batch(connection, length, send, finish)));

    let role = match client {
        true => tungstenite::protocol::Role::Client,
        false => tungstenite::protocol::Role::Server,
    };
    let ws = tungstenite::WebSocket::from_raw_socket(Memory::default(), role, None);
    let message = tungstenite::Message::Binary(shared.clone());
    let run =
        batch(ws, length, move |ws| ws.write(message.clone()).unwrap(), |ws| ws.flush().unwrap());
    contenders.push(("tungstenite", run));

    use fastwebsockets::{Frame, Payload, Role};
    let role = if client { Role::Client } else { Role::Server };
    let ws = fastwebsockets::WebSocket::after_handshake(Memory::default(), role);
    let write = move |ws: &mut fastwebsockets::WebSocket<Memory>| {
        now(ws.write_frame(Frame::binary(Payload::Borrowed(payload)))).unwrap();
    };
    contenders.push(("fastwebsockets", batch(ws, length, write, |_| ())));

    let ws = match client {
        true => tokio_websockets::ClientBuilder::new().take_over(Memory::default()),
        false => tokio_websockets::ServerBuilder::new().serve(Memory::default()),
    };
    let message = tokio_websockets::Message::binary(shared.clone());
    let run = batch(
        ws,
        length,
        move |ws| now(ws.feed(message.clone())).unwrap(),
        |ws| now(ws.flush()).unwrap(),
    );
    contenders.push(("tokio-websockets", run));

    let role = if client { yawc::Role::Client } else { yawc::Role::Server };
    let encoder = (yawc::codec::Encoder::new(role), BytesMut::new());
    let frame = shared.clone();
    let run = batch(
        encoder,
        length,
        move |(encoder, output)| {
            encoder.encode(yawc::Frame::binary(frame.clone()), output).unwrap()
        },
        |(_, output)| {
            black_box(&*output);
            output.clear();
        },
    );
    contenders.push(("yawc, codec only", run));

    let role = if client { sockudo_ws::Role::Client } else { sockudo_ws::Role::Server };
    let protocol = sockudo_ws::protocol::Protocol::new(role, 16 << 20, 64 << 20);
    let message = sockudo_ws::Message::Binary(shared);
    let run = batch(
        (protocol, BytesMut::new()),
        length,
        move |(protocol, output)| protocol.encode_message(&message, output).unwrap(),
        |(_, output)| {
            black_box(&*output);
            output.clear();
        },
    );
    contenders.push(("sockudo-ws", run));

    let mode = if client { soketto::Mode::Client } else { soketto::Mode::Server };
    let (sender, _) = soketto::connection::Builder::new(Memory::default(), mode).finish();
    let run = batch(
        sender,
        length,
        move |sender| now(sender.send_binary(payload)).unwrap(),
        |sender| now(sender.flush()).unwrap(),
    );
    contenders.push(("soketto", run));

    let ws = match client {
        true => web_socket::WebSocket::client(Memory::default()),
        false => web_socket::WebSocket::server(Memory::default()),
    };
    let run = batch(ws, length, move |ws| now(ws.send(payload)).unwrap(), |_| ());
    contenders.push(("web-socket", run));

    contenders.push((
        "websocket-sans-io",
        batch(Vec::new(), length, sans_io_encode(payload, client), clear),
    ));

    let framer = ws_framer::WsTxFramer::new(client, vec![0; 1024].leak());
    let run = batch(
        framer,
        length,
        move |framer| {
            black_box(framer.binary(payload).unwrap());
        },
        |_| (),
    );
    contenders.push(("ws-framer", run));
    contenders
}

/// It leaves the key to the caller: from the thread's generator, as ours is.
fn sans_io_encode(payload: &'static [u8], client: bool) -> impl FnMut(&mut Vec<u8>) {
    use websocket_sans_io::{FrameInfo, Opcode, WebsocketFrameEncoder};
    let mut encoder = WebsocketFrameEncoder::new();
    move |output| {
        let head = encoder.start_frame(&FrameInfo {
            opcode: Opcode::Binary,
            payload_length: payload.len() as u64,
            mask: client.then(|| rand::rng().random()),
            fin: true,
            reserved: 0,
        });
        output.extend_from_slice(&head);
        let start = output.len();
        output.extend_from_slice(payload);
        encoder.transform_frame_payload(&mut output[start..]);
    }
}

/// The output of a future that never waits, because its stream lies in memory.
fn now<T>(future: impl Future<Output = T>) -> T {
    std::pin::pin!(future).as_mut().now_or_never().expect("a stream in memory never waits")
}

/// A stream from which a batch comes again and again, and into which everything goes.
#[derive(Default)]
struct Memory {
    bytes: &'static [u8],
    piece: usize,
    at: usize,
}

impl Memory {
    fn new(batch: Batch) -> Self {
        Self { bytes: batch.bytes, piece: batch.piece, at: 0 }
    }

    fn take(&mut self, room: usize) -> &'static [u8] {
        let rest = &self.bytes[self.at..];
        let taken = &rest[..room.min(self.piece).min(rest.len())];
        self.at = (self.at + taken.len()) % self.bytes.len();
        taken
    }
}

impl io::Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.take(buffer.len());
        buffer[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tio::AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tio::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.take(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl fio::AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut *self, buffer))
    }
}

macro_rules! everything_goes_in {
    ($trait:path, $end:ident, {$($more:tt)*}) => {
        impl $trait for Memory {
            fn poll_write(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(black_box(bytes).len()))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(black_box(slices).iter().map(|slice| slice.len()).sum()))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn $end(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            $($more)*
        }
    };
}

everything_goes_in!(tio::AsyncWrite, poll_shutdown, {
    fn is_write_vectored(&self) -> bool {
        true
    }
});
everything_goes_in!(fio::AsyncWrite, poll_close, {});
