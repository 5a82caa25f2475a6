//! SECURITY.md tells the truth: every number in its tables of limits is what the code does.

use crate::{common, heap};

use common::{Random, frame, head};
use core::time::Duration;
use fullduplex::{
    CloseCode, CloseFrame, Config, Connection, Event, FlushPolicy, Input, Keepalive, ReceiveBudget,
    Request, Role, Transport,
    handshake::{
        ClientHandshake, ClientHandshakeError as Client, HeadLimits, OriginPolicy, UpgradeRequest,
    },
};
use std::collections::BTreeSet;

const KIB: usize = 1 << 10;

/// The rows of the table in SECURITY.md whose head begins with `first`: their first two cells,
/// without backticks.
fn rows(first: &str) -> Vec<(String, String)> {
    let text = include_str!("../../SECURITY.md");
    let head = format!("| {first} |");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows: Vec<_> = lines
        .by_ref()
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').map(|cell| cell.trim().replace('`', ""));
            (cells.nth(1).unwrap(), cells.next().unwrap())
        })
        .collect();
    assert!(rows.len() > 3, "there is a table {first:?}");
    rows
}

/// A number as the tables write it: with commas, and with a unit of bytes or none.
fn number(text: &str) -> usize {
    let (digits, unit) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match unit {
        "" => 1,
        "KiB" => KIB,
        "MiB" => KIB * KIB,
        _ => panic!("unit of {text:?}"),
    };
    digits.replace(',', "").parse::<usize>().expect(text) * factor
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix(" s").expect(text).parse().expect(text))
}

/// What `Debug` calls the fields of a struct.
fn fields(debug: &str) -> BTreeSet<String> {
    let inside = |line: &str| line.starts_with("    ") && !line.starts_with("     ");
    debug
        .lines()
        .filter(|line| inside(line))
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(name, _)| name.to_string())
        .collect()
}

/// Starting from settings that are all different from the defaults, the table makes the defaults.
#[test]
fn the_defaults_are_as_stated() {
    let odd = Duration::from_millis(1);
    let mut config = Config::default()
        .max_message_size(1)
        .max_frame_size(1)
        .max_fragments(1)
        .receive_budget(ReceiveBudget::new(1))
        .unsent_mark(1)
        .max_unsent(1)
        .max_sent_frame(1)
        .handshake_timeout(odd)
        .close_timeout(odd)
        .idle_timeout(odd)
        .flush_policy(FlushPolicy::BeforeWait)
        .head_limits(HeadLimits::new().max_size(1).max_headers(1).max_target(1).max_body(1));
    let mut heads = HeadLimits::new().max_size(1).max_headers(1).max_target(1).max_body(1);
    let mut keepalive = Keepalive::every(odd).pong_timeout(odd);
    #[cfg(feature = "deflate")]
    {
        config = config.deflate(fullduplex::deflate::Deflate::default());
    }
    let mut told = BTreeSet::new();
    for (setting, default) in rows("setting") {
        let value = default.as_str();
        match setting.as_str() {
            "Config::max_message_size" => config = config.max_message_size(number(value)),
            "Config::max_frame_size" => {
                assert_eq!(value, "none");
                config = config.max_frame_size(None);
            }
            "Config::max_fragments" => config = config.max_fragments(number(value) as u32),
            "Config::receive_budget" => {
                assert_eq!(value, "none");
                config = config.receive_budget(None);
            }
            "Config::unsent_mark" => config = config.unsent_mark(number(value)),
            "Config::max_unsent" => config = config.max_unsent(number(value)),
            "Config::handshake_timeout" => config = config.handshake_timeout(seconds(value)),
            "Config::close_timeout" => config = config.close_timeout(seconds(value)),
            "Config::max_sent_frame" => {
                assert_eq!(value, "none");
                config = config.max_sent_frame(None);
            }
            "Config::idle_timeout" => {
                assert_eq!(value, "none");
                config = config.idle_timeout(None);
            }
            // The core's: for the adapters' see `adapters_keep_alive_by_default`.
            "Config::keepalive" => assert_eq!(value, "adapters only"),
            "Config::head_limits" => {
                assert_eq!(value, "HeadLimits");
                config = config.head_limits(HeadLimits::default());
            }
            "Config::flush_policy" => {
                assert_eq!(value, "strict");
                config = config.flush_policy(FlushPolicy::Strict);
            }
            "Config::deflate" => {
                assert_eq!(value, "off");
                #[cfg(feature = "deflate")]
                {
                    config = config.deflate(None);
                }
            }
            "Keepalive::every" => {
                keepalive = Keepalive::every(seconds(value)).pong_timeout(odd).slowest_path(1);
            }
            "Keepalive::pong_timeout" => keepalive = keepalive.pong_timeout(seconds(value)),
            "Keepalive::slowest_path" => keepalive = keepalive.slowest_path(number(value) as u32),
            "HeadLimits::max_size" => heads = heads.max_size(number(value)),
            "HeadLimits::max_headers" => heads = heads.max_headers(number(value)),
            "HeadLimits::max_target" => heads = heads.max_target(number(value)),
            "HeadLimits::max_body" => heads = heads.max_body(number(value)),
            #[cfg(feature = "deflate")]
            "Deflate::send_window_bits" => {
                assert_eq!(agreed_by_default().server_max_window_bits(), number(value) as u8);
            }
            #[cfg(feature = "deflate")]
            "Deflate::receive_window_bits" => {
                assert_eq!(agreed_by_default().client_max_window_bits(), number(value) as u8);
            }
            #[cfg(not(feature = "deflate"))]
            "Deflate::send_window_bits" | "Deflate::receive_window_bits" => {}
            "OriginPolicy" => {
                assert_eq!(value, "any");
                assert_eq!(OriginPolicy::default(), OriginPolicy::any());
            }
            other => panic!("{other} is not known here"),
        }
        told.insert(setting.rsplit("::").next().unwrap().to_string());
    }
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(heads, HeadLimits::default());
    assert_eq!(keepalive, Keepalive::default());

    let settings = fields(&format!("{config:#?}"));
    assert!(settings.contains("max_message_size"), "{settings:?}");
    assert!(settings.is_subset(&told), "not in the table: {:?}", settings.difference(&told));
    assert_eq!(fields(&format!("{heads:#?}")).len(), 4, "limits of heads");
}

/// What a server and a client agree on.
#[cfg(feature = "deflate")]
fn agreed_by_default() -> fullduplex::deflate::DeflateParams {
    let deflate = fullduplex::deflate::Deflate::default();
    deflate.accept(&deflate.offers()).expect("our own offer")
}

/// What cannot be set: each is run up to its bound, and one step beyond.
#[test]
fn the_fixed_bounds_are_as_stated() {
    for (bound, value) in rows("bound") {
        if bound == "time for that, and for an answer at least" {
            #[cfg(feature = "tokio")]
            assert_eq!(drain_time(), seconds(&value));
            continue;
        }
        let stated = number(&value);
        match bound.as_str() {
            "memory reserved because of a frame's head" => {
                let mut connection = Connection::server(Config::default());
                let mut wire = head(Role::Server, 0x82, 1 << 23);
                wire.push(0);
                let (result, heap) =
                    heap::measure(|| connection.receive(&mut Input::new(&mut wire)));
                assert!(result.unwrap().is_none());
                assert!((stated..=stated + KIB).contains(&heap.peak), "{heap:?}");
            }
            // And one that answers the newest ping.
            "pongs that wait to be written" => assert_eq!(pongs(stated * 10), stated + 1),
            "input discarded after a failure" => assert_eq!(discarded(), stated),
            #[cfg(feature = "tokio")]
            "input discarded after a refused handshake" => assert_eq!(drained(), stated),
            #[cfg(not(feature = "tokio"))]
            "input discarded after a refused handshake" => {}
            "interim responses before the final one" => {
                assert!(interim(stated).is_ok());
                assert!(matches!(interim(stated + 1), Err(Client::TooManyInterim)));
            }
            "extensions in a request or response" => {
                let list = |count| list_of(count, |i| format!("x{i}"));
                let offered = |count| accepted("Sec-WebSocket-Extensions", &list(count)).0;
                assert_eq!([offered(stated), offered(stated + 1)], [stated; 2]);
                assert!(chosen(&list(stated)).is_ok());
                assert!(matches!(chosen(&list(stated + 1)), Err(Client::Extensions(_))));
            }
            "parameters of an extension" => {
                let one = |count| format!("x0{}", "; a".repeat(count));
                let offered = |count| accepted("Sec-WebSocket-Extensions", &one(count)).0;
                assert_eq!([offered(stated), offered(stated + 1)], [1, 0]);
                assert!(chosen(&one(stated)).is_ok());
                assert!(matches!(chosen(&one(stated + 1)), Err(Client::Extensions(_))));
            }
            "subprotocols in a request" => {
                let list = |count| list_of(count, |i| format!("p{i}"));
                let offered = |count| accepted("Sec-WebSocket-Protocol", &list(count)).1;
                assert_eq!([offered(stated), offered(stated + 1)], [stated; 2]);
            }
            other => panic!("{other} is not known here"),
        }
    }
}

/// How many pongs are written, all of them after so many pings.
fn pongs(pings: usize) -> usize {
    let mut connection = Connection::server(Config::default());
    for _ in 0..pings {
        let mut wire = frame(Role::Server, 0x89, b"");
        assert!(matches!(connection.receive(&mut Input::new(&mut wire)), Ok(Some(Event::Ping(_)))));
    }
    let mut bytes = 0;
    while !connection.outbox().is_empty() {
        let some = connection.outbox().len();
        connection.outbox().advance(some);
        bytes += some;
    }
    bytes / frame(Role::Client, 0x8a, b"").len()
}

/// How much a server takes from a client that has broken the protocol, before it hangs up.
fn discarded() -> usize {
    let mut connection = Connection::server(Config::default());
    let mut unmasked = *b"\x81\x00";
    connection.receive(&mut Input::new(&mut unmasked)).unwrap_err();
    let close = connection.outbox().len();
    connection.outbox().advance(close);
    assert_eq!(connection.transport(), Transport::ShutDown);
    connection.shutdown_complete();

    let mut more = vec![0; 64 * KIB];
    let mut taken = 0;
    while connection.transport() == Transport::AwaitEof {
        assert!(taken < 1 << 30, "no bound");
        // What it says again is the error.
        _ = connection.receive(&mut Input::new(&mut more));
        taken += more.len();
    }
    taken - more.len() // the last was one too many
}

/// What a client makes of so many interim responses before a 101.
fn interim(count: usize) -> Result<(), Client> {
    let request = Request::new("ws://example.com/");
    let mut client = ClientHandshake::new(request, &mut Random::new(1)).unwrap();
    let mut wire = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(count);
    client.receive(&mut Input::new(&mut wire)).map(|done| assert!(done.is_none()))
}

/// What a client makes of these extensions in a 101, all of which it has offered.
fn chosen(extensions: &str) -> Result<(), Client> {
    let offers = (0..100).map(|i| format!("x{i}").parse().unwrap());
    let request = offers.fold(Request::new("ws://example.com/"), Request::extension);
    let mut client = ClientHandshake::new(request, &mut Random::new(1)).unwrap();
    let key = String::from_utf8(client.request_bytes().to_vec()).unwrap();
    let key = key.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let mut wire = format!(
        "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n",
        fullduplex::handshake::accept_key(key),
    )
    .into_bytes();
    client.receive(&mut Input::new(&mut wire)).map(|done| assert!(done.is_some()))
}

/// How many extensions and subprotocols are taken from a request with this header, which is not
/// refused.
fn accepted(name: &str, value: &str) -> (usize, usize) {
    let request = UpgradeRequest::from_parts(
        "GET",
        "/",
        (1, 1),
        [
            ("Host", "example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            (name, value),
        ],
    );
    let request = request.unwrap();
    (request.extensions().len(), request.subprotocols().len())
}

fn list_of(count: usize, name: impl Fn(usize) -> String) -> String {
    (0..count).map(name).collect::<Vec<_>>().join(", ")
}

/// How much a server takes from a client whose request it has refused, before it hangs up. The
/// clock stands still, so it is not the time that ends it.
#[cfg(feature = "tokio")]
fn drained() -> usize {
    use core::{
        pin::Pin,
        task::{Context, Poll},
    };
    use std::io;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    /// A bad request, and then bytes without end.
    struct Flood {
        request: &'static [u8],
        taken: usize,
    }

    impl AsyncRead for Flood {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.request.is_empty() {
                buffer.put_slice(core::mem::take(&mut self.request));
                return Poll::Ready(Ok(()));
            }
            let bytes = buffer.remaining().min(KIB);
            assert!(self.taken < 1 << 30, "no bound");
            buffer.put_slice(&[0; KIB][..bytes]);
            self.taken += bytes;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    let mut flood = Flood { request: b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", taken: 0 };
    let refused = paused(fullduplex::tokio::accept(&mut flood));
    assert!(matches!(refused, Err(fullduplex::Error::Rejected(_))));
    flood.taken - KIB // the last was one too many
}

/// How long that may take with a client that neither sends anything more nor hangs up.
#[cfg(feature = "tokio")]
fn drain_time() -> Duration {
    use tokio::{io::AsyncWriteExt, time::Instant};

    paused(async {
        let (ours, mut theirs) = tokio::io::duplex(KIB);
        theirs.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let start = Instant::now();
        let refused = fullduplex::tokio::accept(ours).await;
        assert!(matches!(refused, Err(fullduplex::Error::Rejected(_))));
        start.elapsed()
    })
}

/// On a clock that jumps when everything waits.
#[cfg(feature = "tokio")]
fn paused<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// In the table it is the adapters that do, with the times of [`Keepalive`]: a ping after the
/// silence, and the end when no pong comes.
#[cfg(feature = "tokio")]
#[test]
fn adapters_keep_alive_by_default() {
    use fullduplex::{Error, tokio::WebSocket};
    use tokio::{io::AsyncReadExt, time::Instant};

    let stated = |name: &str| {
        let rows = rows("setting");
        seconds(&rows.iter().find(|(setting, _)| setting == name).unwrap().1)
    };
    paused(async {
        let (ours, mut theirs) = tokio::io::duplex(KIB);
        let mut ws = WebSocket::from_parts(ours, Role::Server, Config::default(), []);
        let start = Instant::now();
        let peer = async {
            assert_eq!(theirs.read_u8().await.unwrap(), 0x89);
            start.elapsed()
        };
        let (received, ping) = tokio::join!(ws.recv(), peer);
        assert!(matches!(received, Err(Error::Timeout(_))), "{received:?}");
        let interval = stated("Keepalive::every");
        assert!((interval..=interval * 5 / 4).contains(&ping), "{ping:?}");
        assert_eq!(start.elapsed() - ping, stated("Keepalive::pong_timeout"));
    });
}

/// Nothing that a peer has chosen begins a line of a log, or moves a terminal's cursor.
#[test]
fn what_a_peer_says_is_printed_escaped() {
    let evil = "a\r\nb\x1b[2Jc\u{2028}";
    let close = CloseFrame::new(CloseCode::NORMAL, evil).unwrap();
    let request = UpgradeRequest::from_parts(
        "GET",
        "/",
        (1, 1),
        [
            ("Host", &b"example.com"[..]),
            ("Upgrade", b"websocket"),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", b"13"),
            ("X-Evil", b"a\tb\xc2\x85\xe2\x80\xa8c"),
        ],
    )
    .unwrap();
    let printed = [close.to_string(), format!("{close:?}"), format!("{request:?}")];
    for text in printed {
        let harmful = |c: char| c.is_control() || c == '\u{2028}';
        assert!(!text.contains(harmful), "{text:?}");
        assert!(text.contains('b'), "{text:?}");
    }
}
