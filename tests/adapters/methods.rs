//! The same thing has the same name on every type: the public methods of types that stand for one
//! another, read from the source and compared. A difference has a reason here, or is a hole.
#![cfg(all(feature = "deflate", feature = "futures-io", feature = "tokio"))]

use fullduplex::{
    CloseCode, Error, Message, Prepared, TextFragment,
    asynchronous::{AsyncIo, Reader, WebSocket, Writer},
    deflate::Compression,
};
use futures_util::{SinkExt, StreamExt};
use std::{collections::BTreeSet, fs, path::Path};

type Methods = BTreeSet<String>;

/// The text of the Rust files of these folders and files, without those below.
fn source(places: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for place in places {
        let place = root.join(place);
        if place.is_file() {
            files.push(place);
            continue;
        }
        let entries = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "rs")));
    }
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// What an `impl` line that names no trait implements: `impl<T: AsyncIo> Writer<T> {`.
fn implements(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?.strip_suffix(" {")?;
    if line.contains(" for ") {
        return None;
    }
    let mut depth = 0;
    let start = rest.char_indices().find(|(_, c)| {
        depth += match c {
            '<' => 1,
            '>' => -1,
            _ => 0,
        };
        depth == 0 && *c == ' '
    })?;
    let name = &rest[start.0 + 1..];
    Some(name.split_once('<').map_or(name, |(name, _)| name))
}

/// The public methods of a type. rustfmt indents the source, so lines are enough.
fn methods(name: &str, places: &[&str]) -> Methods {
    let mut found = Methods::new();
    for text in source(places) {
        let mut inside = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            match inside {
                None => {
                    // A macro of the halves writes the same for both.
                    let this = implements(line.trim_start()).is_some_and(|implemented| {
                        implemented == name || implemented == "$half" && name != "WebSocket"
                    });
                    inside = this.then_some(indent);
                }
                Some(outer) if indent == outer && line.trim_start() == "}" => inside = None,
                Some(outer) if indent == outer + 4 => {
                    let line = line.trim_start();
                    let function = line.strip_prefix("pub ").map(|rest| {
                        let rest = rest.strip_prefix("const ").unwrap_or(rest);
                        rest.strip_prefix("async ").unwrap_or(rest)
                    });
                    if let Some(function) = function.and_then(|rest| rest.strip_prefix("fn ")) {
                        found.insert(function.split(['(', '<']).next().unwrap().to_owned());
                    }
                }
                Some(_) => {}
            }
        }
    }
    assert!(found.len() > 5, "{name}: {found:?}");
    found
}

const BLOCKING: &[&str] = &["blocking", "blocking/halves"];
const TOKIO: &[&str] = &["asynchronous", "tokio"];
const FUTURES_IO: &[&str] = &["asynchronous", "futures_io"];

/// What only one of two has, with the reason.
type Reasons = &'static [(&'static str, &'static str)];

fn compare((one, ours): (&str, &Methods), (other, theirs): (&str, &Methods), reasons: Reasons) {
    let mut differences: BTreeSet<_> = ours.symmetric_difference(theirs).cloned().collect();
    for (name, reason) in reasons {
        assert!(differences.remove(*name), "{one} and {other}: {name} is no difference ({reason})");
    }
    assert!(differences.is_empty(), "only one of {one} and {other} has {differences:?}");
}

#[test]
fn adapters_have_the_same_methods() {
    const THREADS: &[(&str, Reasons)] = &[
        ("WebSocket", &[("send_stream", "a stream is async; `send_iter` takes its place")]),
        (
            "Reader",
            &[
                ("get_ref", "threads share the stream, and need no lock to see it"),
                ("with_ref", "tasks have it behind a lock, and see it from a closure"),
            ],
        ),
        (
            "Writer",
            &[
                ("get_ref", "threads share the stream, and need no lock to see it"),
                ("with_ref", "tasks have it behind a lock, and see it from a closure"),
                ("send_stream", "a stream is async; `send_iter` takes its place"),
                ("into_sink", "a sink is async"),
            ],
        ),
    ];
    for (name, reasons) in THREADS {
        let [blocking, tokio, futures_io] =
            [BLOCKING, TOKIO, FUTURES_IO].map(|places| methods(name, places));
        compare(("blocking", &blocking), ("tokio", &tokio), reasons);
        compare(("futures_io", &futures_io), ("tokio", &tokio), &[]);
    }
}

#[test]
fn a_writer_sends_all_that_a_websocket_does() {
    /// The rest of a WebSocket's methods are about the connection as a whole.
    const WHOLE: &[&str] =
        &["deflate", "from_parts", "into_parts", "run", "split", "with_deflate", "reunite"];
    const ASYNC: Reasons = &[
        ("get_ref", "a writer has the stream behind a lock: `with_ref`"),
        ("with_ref", "a writer has the stream behind a lock"),
        ("into_sink", "a WebSocket is a sink: its own methods win over those of the trait"),
    ];
    let cases: [(&[&str], Reasons); 2] = [(BLOCKING, &[]), (TOKIO, ASYNC)];
    for (places, reasons) in cases {
        let [whole, mut reader, writer] =
            ["WebSocket", "Reader", "Writer"].map(|name| methods(name, places));
        // What a reader has is either receiving, or there on all three.
        reader.retain(|name| !writer.contains(name));
        let sends = |name: &String| !WHOLE.contains(&name.as_str()) && !reader.contains(name);
        let sends = whole.into_iter().filter(sends).collect();
        compare(("WebSocket", &sends), ("Writer", &writer), reasons);
    }
}

#[test]
fn a_handler_sends_all_that_a_connection_does() {
    let connection = methods(
        "Connection",
        &["connection", "connection/send", "connection/receive", "connection/time"],
    );
    let outgoing = methods("Responder", &["io/parts.rs"]);
    let missing: Vec<_> = outgoing.difference(&connection).collect();
    assert!(missing.is_empty(), "a connection has no {missing:?}");
    for verb in
        ["feed", "feed_fragment", "start_close", "ping", "pong", "is_ready", "is_in_fragments"]
    {
        assert!(outgoing.contains(verb), "{verb}");
    }
    for waits in ["send", "send_fragment", "close", "flush"] {
        assert!(!connection.contains(waits) && !outgoing.contains(waits), "{waits} would wait");
    }
}

/// With the traits of futures in scope, the names are still those of the types themselves. It
/// compiles: that is the test. (`close` of the trait takes nothing, `send` of it only a `Message`.)
#[expect(dead_code, reason = "to be compiled")]
async fn inherent_names_win<T: AsyncIo>(
    mut ws: WebSocket<T>,
    mut reader: Reader<T>,
    mut writer: Writer<T>,
) -> Result<(), Error> {
    ws.send("text").await?;
    ws.feed("text")?;
    let borrowed = &mut ws;
    borrowed.send("text").await?;
    borrowed.feed("text")?;
    borrowed.flush().await?;
    borrowed.close(CloseCode::NORMAL).await?;

    writer.send("text").await?;
    writer.feed("text")?;
    writer.close(CloseCode::NORMAL).await?;
    let borrowed = &mut writer;
    borrowed.send("text").await?;
    borrowed.feed("text")?;
    borrowed.flush().await?;
    borrowed.close((CloseCode::GOING_AWAY, "bye")).await?;

    let _: Option<Message> = reader.recv().await?;
    let _: Option<Result<Message, Error>> = reader.next().await;
    reader.forward(writer.into_sink()).await?;
    SinkExt::send(&mut ws, Message::from("text")).await
}

/// Everything that can be sent can be sent in all ways, by every type that sends.
#[expect(dead_code, reason = "to be compiled")]
async fn everything_is_sent_in_the_same_way<T: AsyncIo>(
    ws: &mut WebSocket<T>,
    writer: &Writer<T>,
    news: &Prepared,
) -> Result<(), Error> {
    ws.send(news).await?;
    ws.feed(Compression::Never.of(news))?;
    ws.send_fragment(Compression::Always.of(TextFragment(b"\xc3")), false).await?;
    ws.feed_fragment(TextFragment(vec![0xbc]), true)?;
    ws.send_iter(["a", "b"].map(|part| Compression::Never.of(part))).await?;
    writer.send(Compression::Never.of("secret")).await?;
    writer.feed(news)?;
    writer.send_iter(["a", "b"]).await?;
    ws.run(|message, out| {
        out.feed(news)?;
        out.feed_fragment(Compression::Never.of("a"), true)?;
        match message.as_text() {
            Some("bye") => out.start_close(CloseCode::NORMAL),
            _ => out.feed(Compression::Always.of(message)),
        }
    })
    .await
}
