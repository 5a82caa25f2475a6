//! Compression, in memory: `deflate [--quick]` prints
//! `work TAB contender TAB MB/s TAB compressed size in per cent`; MB are of plain bytes.
//!
//! The contender is a server. *out*: it compresses a text, and its frame is taken away. *in*: a
//! client's frame comes into its buffer, and a text out of it. Connections take turns message by
//! message, contenders sample by sample; what is printed is the median, by the thread's CPU time.

use bytes::{Bytes, BytesMut};
use fullduplex::{Config, Connection, Event, Input, deflate::Deflate};
use futures_util::{FutureExt, SinkExt};
use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::{Cell, RefCell},
    env,
    fmt::Write,
    hint::black_box,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zlib_rs::{DeflateConfig, DeflateFlush, Inflate, InflateFlush};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// What a sender cuts off (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// The first byte of a compressed text's frame, and of a plain one's.
const COMPRESSED: u8 = 0xc1;
const PLAIN: u8 = 0x81;
/// The longest head that a server's frame has here.
const HEAD: usize = 4;
/// Room for any text here.
const ROOM: usize = 128 * 1024;
/// The largest message and the largest frame.
const MOST: usize = 16 << 20;

/// Works on a message of a connection, both by their numbers, and shows what came of it once.
type Run = Box<dyn FnMut(usize, usize, &mut dyn FnMut(&[u8]))>;
type Texts = &'static [&'static str];
type Arrivals = &'static [Arrival];

fn main() {
    let (rounds, sample) = match env::args().nth(1).as_deref() {
        Some("--quick") => (15, Duration::from_millis(2)),
        _ => (51, Duration::from_millis(3)),
    };
    for (size, name) in [(100, "100 B"), (1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        let texts = texts(size);
        for level in [1, 6] {
            for takeover in [true, false] {
                for connections in [1, 64] {
                    // As all of them can have it: with flate2 the memory level is always 8.
                    let equal =
                        Setting { level, takeover, connections, window_bits: 15, memory_level: 8 };
                    let ours = Setting { window_bits: 12, memory_level: 5, ..equal };
                    let how = if takeover { "takeover" } else { "no takeover" };
                    let work = format!("{name}, {how}, level {level}, × {connections}");
                    let compressors = compressors(texts, equal, ours);
                    measure(&format!("out {work}"), compressors, texts, rounds, sample);
                    let decompressors = decompressors(texts, equal, ours);
                    measure(&format!("in {work}"), decompressors, texts, rounds, sample);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Setting {
    level: u8,
    takeover: bool,
    connections: usize,
    window_bits: u8,
    memory_level: u8,
}

impl Setting {
    /// One for each connection.
    fn each<T>(&self, make: impl Fn() -> T) -> Vec<T> {
        (0..self.connections).map(|_| make()).collect()
    }
}

struct Contender {
    name: &'static str,
    setting: Setting,
    /// What is decompressed, or nothing.
    arrivals: Option<Arrivals>,
    run: Run,
    /// How many messages it has had.
    turn: usize,
}

fn measure(work: &str, contenders: Vec<Contender>, texts: Texts, rounds: usize, sample: Duration) {
    let mut contenders: Vec<_> = contenders
        .into_iter()
        .map(|mut contender| {
            contender.check(work, texts);
            let few = contender.setting.connections.max(texts.len() / 8);
            let (seconds, _) = contender.time(few, texts);
            let repeats = (sample.as_secs_f64() / seconds * few as f64) as usize;
            (contender, repeats.max(2), Vec::new(), 0)
        })
        .collect();
    let size = texts[0].len();
    for _ in 0..rounds {
        for (contender, repeats, speeds, compressed) in &mut contenders {
            let (seconds, bytes) = contender.time(*repeats, texts);
            speeds.push((*repeats * size) as f64 / seconds / 1e6);
            *compressed += bytes;
        }
    }
    for (contender, repeats, mut speeds, compressed) in contenders {
        speeds.sort_by(f64::total_cmp);
        let percent = compressed as f64 * 100.0 / (rounds * repeats * size) as f64;
        println!("{work}\t{}\t{:.2}\t{percent:.2}", contender.name, speeds[rounds / 2]);
    }
}

impl Contender {
    /// Whose turn it is, and the number of its next text: connections are at different ones.
    fn next(&mut self, texts: usize) -> (usize, usize) {
        let connections = self.setting.connections;
        let (round, connection) = (self.turn / connections, self.turn % connections);
        self.turn += 1;
        (connection, (first(connection, connections, texts) + round) % texts)
    }

    /// How many seconds the next messages take, and how many bytes they are compressed.
    fn time(&mut self, repeats: usize, texts: Texts) -> (f64, usize) {
        let (mut compressed, mut came) = (0, 0);
        let start = on_cpu();
        for _ in 0..repeats {
            let (connection, text) = self.next(texts.len());
            match self.arrivals {
                Some(arrivals) => {
                    compressed += arrivals[text].payload.len() - TAIL.len();
                    (self.run)(connection, text, &mut |text| came += black_box(text).len());
                }
                None => (self.run)(connection, text, &mut |frame| {
                    compressed += payload(black_box(frame)).len();
                    came += texts[text].len();
                }),
            }
        }
        let seconds = (on_cpu() - start).as_secs_f64();
        assert_eq!(came, repeats * texts[0].len(), "{} did not do it", self.name);
        (seconds, compressed)
    }

    /// Asserts that what comes of the messages is right, each of its bytes.
    fn check(&mut self, work: &str, texts: Texts) {
        let Setting { connections, takeover, .. } = self.setting;
        let wrong = format!("{work}: {} gets it wrong", self.name);
        if self.arrivals.is_some() && takeover {
            // What a connection starts with may refer to what comes before it.
            for connection in 0..connections {
                for text in 0..first(connection, connections, texts.len()) {
                    (self.run)(connection, text, &mut |_| ());
                }
            }
        }
        // Until the windows are full.
        let each = if takeover { (32 << 10) / texts[0].len() + 1 } else { 1 };
        let mut inflates = self.setting.each(|| Inflate::new(false, 15));
        let mut out = vec![0; ROOM];
        for _ in 0..texts.len().max(connections * each) {
            let (connection, text) = self.next(texts.len());
            let mut shown = Vec::new();
            (self.run)(connection, text, &mut |bytes| shown.extend_from_slice(bytes));
            if self.arrivals.is_none() && shown[0] == COMPRESSED {
                let inflate = &mut inflates[connection];
                if !takeover {
                    inflate.reset(false);
                }
                let compressed = [payload(&shown), &TAIL].concat();
                shown = decompress(inflate, &compressed, &mut out).to_vec();
            } else if self.arrivals.is_none() {
                // Plain, because it would not become smaller: a window would lack it.
                assert!(shown[0] == PLAIN && !takeover, "{wrong}");
                shown = payload(&shown).to_vec();
            }
            assert!(shown == texts[text].as_bytes(), "{wrong}");
        }
    }
}

/// How long this thread has been on a CPU: samples are too long not to be interrupted.
fn on_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it is not before the start")
}

/// The number of the text that a connection starts with.
fn first(connection: usize, connections: usize, texts: usize) -> usize {
    connection * texts / connections
}

/// The payload of a server's frame.
fn payload(frame: &[u8]) -> &[u8] {
    match frame[1] {
        126 => &frame[4..],
        _ => &frame[2..], // none has more than 64 KiB
    }
}

/// Ticks, orders and chat, as JSON, cut to size. They are more bytes in all than the largest window
/// has, so that none is met again in it.
fn texts(size: usize) -> Texts {
    const SYMBOLS: [&str; 8] =
        ["BTC-USD", "ETH-USD", "SOL-EUR", "AAPL", "MSFT", "NVDA", "XAU", "BRENT"];
    const NAMES: [&str; 8] =
        ["ada", "grace", "linus", "margaret", "ken", "barbara", "edsger", "lynn"];
    const WORDS: &str = "the quick market opens higher than most of us thought it would after \
        lunch and nobody here knows why yet but volume looks thin so please wait until orders fill \
        before you sell anything else today thanks for asking again later maybe tomorrow morning";
    let words: Vec<_> = WORDS.split(' ').collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let mut time = 1_790_000_000_000;
    let mut text = || {
        let mut text = String::from("[");
        while text.len() < size {
            time += random(500);
            write!(text, r#"{{"time":{time},"#).unwrap();
            let symbol = SYMBOLS[random(SYMBOLS.len())];
            let price = random(9_000_000) as f64 / 100.0;
            match random(3) {
                0 => write!(
                    text,
                    r#""type":"tick","symbol":"{symbol}","price":{price},"volume":{}}},"#,
                    random(5_000),
                ),
                1 => write!(
                    text,
                    r#""type":"{}","id":"{:08x}","symbol":"{symbol}","limit":{price}}},"#,
                    ["buy", "sell"][random(2)],
                    random(1 << 32),
                ),
                _ => {
                    let said: Vec<_> =
                        (0..3 + random(12)).map(|_| words[random(words.len())]).collect();
                    write!(
                        text,
                        r#""type":"chat","room":{},"from":"{}{}","text":"{}"}},"#,
                        random(50),
                        NAMES[random(NAMES.len())],
                        random(1_000),
                        said.join(" "),
                    )
                }
            }
            .unwrap();
        }
        text.truncate(size);
        &*text.leak()
    };
    let count = (200_000 / size).max(16);
    Vec::leak((0..count).map(|_| text()).collect())
}

/// A compressed text on its way in.
struct Arrival {
    /// Masked.
    frame: Vec<u8>,
    /// Not masked, and with what a sender cuts off.
    payload: Vec<u8>,
}

/// The texts as a client sends them that compresses with zlib-rs.
fn arrivals(texts: Texts, setting: Setting) -> Arrivals {
    let mut compress = limit_compress(texts, Setting { connections: 1, ..setting });
    let mut arrivals = Vec::new();
    for text in 0..texts.len() {
        compress(0, text, &mut |frame| {
            let compressed = payload(frame);
            let mut frame = frame[..frame.len() - compressed.len()].to_vec();
            frame[1] |= 0x80;
            frame.extend(KEY);
            frame.extend(compressed.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
            arrivals.push(Arrival { frame, payload: [compressed, &TAIL].concat() });
        });
    }
    arrivals.leak()
}

fn compressors(texts: Texts, equal: Setting, ours: Setting) -> Vec<Contender> {
    let contender = |name, setting, run| Contender { name, setting, arrivals: None, run, turn: 0 };
    vec![
        contender("limit", equal, limit_compress(texts, equal)),
        contender("fullduplex", equal, fullduplex_compress(texts, equal)),
        contender("yawc", equal, yawc_compress(texts, equal)),
        contender("sockudo-ws", equal, sockudo_compress(texts, equal)),
        contender("limit, 12 bits", ours, limit_compress(texts, ours)),
        contender("fullduplex, 12 bits", ours, fullduplex_compress(texts, ours)),
    ]
}

fn decompressors(texts: Texts, equal: Setting, ours: Setting) -> Vec<Contender> {
    let (large, small) = (arrivals(texts, equal), arrivals(texts, ours));
    let contender = |name, setting, arrivals, run: fn(Arrivals, Setting) -> Run| {
        let run = run(arrivals, setting);
        Contender { name, setting, arrivals: Some(arrivals), run, turn: 0 }
    };
    vec![
        contender("limit", equal, large, limit_decompress),
        contender("fullduplex", equal, large, fullduplex_decompress),
        contender("yawc", equal, large, yawc_decompress),
        contender("sockudo-ws", equal, large, sockudo_decompress),
        contender("limit, 12 bits", ours, small, limit_decompress),
        contender("fullduplex, 12 bits", ours, small, fullduplex_decompress),
    ]
}

/// zlib-rs alone, with a state for each connection that has takeover.
fn limit_compress(texts: Texts, setting: Setting) -> Run {
    let make = || {
        zlib_rs::Deflate::new_with_config(DeflateConfig {
            level: setting.level.into(),
            window_bits: -i32::from(setting.window_bits), // raw
            mem_level: setting.memory_level.into(),
            ..DeflateConfig::default()
        })
    };
    let mut states = if setting.takeover { setting.each(make) } else { vec![make()] };
    let mut out = vec![0; HEAD + texts[0].len() * 2];
    Box::new(move |connection, text, show| {
        let state = &mut states[if setting.takeover { connection } else { 0 }];
        if !setting.takeover {
            state.reset();
        }
        let before = state.total_out();
        state.compress(texts[text].as_bytes(), &mut out[HEAD..], DeflateFlush::SyncFlush).unwrap();
        let length = (state.total_out() - before) as usize - TAIL.len();
        let start = match length {
            0..126 => {
                out[HEAD - 1] = length as u8;
                HEAD - 2
            }
            _ => {
                out[HEAD - 3] = 126;
                out[HEAD - 2..HEAD].copy_from_slice(&(length as u16).to_be_bytes());
                HEAD - 4
            }
        };
        out[start] = COMPRESSED;
        show(&out[start..HEAD + length]);
    })
}

/// zlib-rs alone, of bytes that are there and not masked; text is not checked.
fn limit_decompress(arrivals: Arrivals, setting: Setting) -> Run {
    let make = || Inflate::new(false, setting.window_bits);
    let mut states = if setting.takeover { setting.each(make) } else { vec![make()] };
    let mut out = vec![0; ROOM];
    Box::new(move |connection, text, show| {
        let state = &mut states[if setting.takeover { connection } else { 0 }];
        if !setting.takeover {
            state.reset(false);
        }
        show(decompress(state, &arrivals[text].payload, &mut out));
    })
}

fn decompress<'o>(state: &mut Inflate, compressed: &[u8], out: &'o mut [u8]) -> &'o [u8] {
    let before = state.total_out();
    state.decompress(compressed, out, InflateFlush::SyncFlush).unwrap();
    &out[..(state.total_out() - before) as usize]
}

fn fullduplex(setting: Setting) -> Connection {
    let deflate = Deflate::default()
        .send_window_bits(setting.window_bits)
        .receive_window_bits(setting.window_bits)
        .memory_level(setting.memory_level)
        .level(setting.level)
        .takeover(setting.takeover);
    let agreed = deflate.accept(&deflate.offers()).unwrap();
    Connection::server(Config::default().deflate(deflate)).with_deflate(agreed).expect("a new connection")
}

fn fullduplex_compress(texts: Texts, setting: Setting) -> Run {
    let mut connections = setting.each(|| fullduplex(setting));
    Box::new(move |connection, text, show| {
        let connection = &mut connections[connection];
        connection.feed(texts[text]).unwrap();
        let mut outbox = connection.outbox();
        show(outbox.chunk());
        outbox.advance(outbox.len());
    })
}

fn fullduplex_decompress(arrivals: Arrivals, setting: Setting) -> Run {
    let mut connections = setting.each(|| fullduplex(setting));
    let mut buffer = vec![0; ROOM];
    Box::new(move |connection, text, show| {
        let frame = &arrivals[text].frame;
        let received = &mut buffer[..frame.len()];
        received.copy_from_slice(frame);
        match connections[connection].receive(&mut Input::new(received)).unwrap() {
            Some(Event::Message(message)) => show(message.as_bytes()),
            other => panic!("{other:?}"),
        }
    })
}

/// With the buffers of its README, and where that is possible with its pool.
fn yawc(setting: Setting) -> Vec<(yawc::WebSocket<Pipe>, Pipe)> {
    let mut options = yawc::Options::default()
        .with_utf8()
        .with_limits(MOST, 2 * MOST)
        .with_read_buffer_capacity(128 * 1024)
        .with_backpressure_boundary(64 * 1024)
        .with_compression_level(yawc::CompressionLevel::new(setting.level.into()));
    let mut agreed = "permessage-deflate";
    if !setting.takeover {
        agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        options = options.with_deflate_pool(yawc::DeflatePool::new(4));
    }
    setting.each(|| {
        let pipe = Pipe::default();
        let ws = yawc::WebSocket::from_stream_with_extensions(
            pipe.clone(),
            yawc::Role::Server,
            Some(agreed),
            options.clone(),
        );
        (ws.unwrap(), pipe)
    })
}

fn yawc_compress(texts: Texts, setting: Setting) -> Run {
    let mut connections = yawc(setting);
    Box::new(move |connection, text, show| {
        let (ws, pipe) = &mut connections[connection];
        now(ws.send(yawc::Frame::text(Bytes::from_static(texts[text].as_bytes())))).unwrap();
        let mut written = pipe.written.borrow_mut();
        show(&written);
        written.clear();
    })
}

fn yawc_decompress(arrivals: Arrivals, setting: Setting) -> Run {
    let mut connections = yawc(setting);
    Box::new(move |connection, text, show| {
        let (ws, pipe) = &mut connections[connection];
        pipe.arriving.set(&arrivals[text].frame);
        show(now(ws.next_frame()).unwrap().payload());
    })
}

fn sockudo(setting: Setting) -> sockudo_ws::CompressedProtocol {
    let config = sockudo_ws::DeflateConfig {
        server_no_context_takeover: !setting.takeover,
        client_no_context_takeover: !setting.takeover,
        compression_level: setting.level.into(),
        ..sockudo_ws::DeflateConfig::default()
    };
    sockudo_ws::CompressedProtocol::server(MOST, MOST, config)
}

fn sockudo_compress(texts: Texts, setting: Setting) -> Run {
    let mut connections = setting.each(|| sockudo(setting));
    let mut out = BytesMut::new();
    Box::new(move |connection, text, show| {
        let message = sockudo_ws::Message::Text(Bytes::from_static(texts[text].as_bytes()));
        connections[connection].encode_message(&message, &mut out).unwrap();
        show(&out);
        out.clear();
    })
}

fn sockudo_decompress(arrivals: Arrivals, setting: Setting) -> Run {
    let mut connections = setting.each(|| sockudo(setting));
    let (mut buffer, mut messages) = (BytesMut::new(), Vec::new());
    Box::new(move |connection, text, show| {
        buffer.extend_from_slice(&arrivals[text].frame);
        connections[connection].process_into(&mut buffer, &mut messages).unwrap();
        messages.drain(..).for_each(|message| show(message.as_bytes()));
    })
}

/// The output of a future that never waits, because its stream lies in memory.
fn now<T>(future: impl Future<Output = T>) -> T {
    std::pin::pin!(future).as_mut().now_or_never().expect("a stream in memory never waits")
}

/// A stream in memory, and its other end.
#[derive(Clone, Default)]
struct Pipe {
    arriving: Rc<Cell<&'static [u8]>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let arriving = self.arriving.get();
        if arriving.is_empty() {
            return Poll::Pending;
        }
        let (read, rest) = arriving.split_at(buffer.remaining().min(arriving.len()));
        buffer.put_slice(read);
        self.arriving.set(rest);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
