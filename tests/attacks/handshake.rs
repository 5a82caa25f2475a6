//! Smuggling and injection through the opening handshake: the status that each request gets, and
//! that whatever is behind it is never taken for HTTP.

use super::server::{Server, frames_to_the_end, on_each};
use crate::support::{REQUEST, close_codes, frame, header, read_all, read_head, response_to};
use fullduplex::Role::Server as TO;
use std::{
    io::{Read, Write},
    net::Shutdown,
};

/// What must not come back.
const MARK: &str = "smuggled";

/// A second request, which must not be answered.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// What is wrong, where it says so, the request and its status.
struct Row {
    section: &'static str,
    what: String,
    request: Vec<u8>,
    status: u16,
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn raw(&mut self, section: &'static str, what: &str, request: &[u8], status: u16) {
        self.0.push(Row { section, what: what.into(), request: request.to_vec(), status });
    }

    /// The good request with `from` replaced.
    fn edit(&mut self, section: &'static str, from: &str, to: &str, status: u16) {
        assert!(REQUEST.contains(from), "{from}");
        let request = REQUEST.replacen(from, to, 1);
        self.raw(section, &format!("{to:.60?} for {from:?}"), request.as_bytes(), status);
    }

    /// The good request with further lines.
    fn lines(&mut self, section: &'static str, lines: &str, status: u16) {
        let request = REQUEST.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"), 1);
        self.raw(section, &format!("with {lines:.60?}"), request.as_bytes(), status);
    }
}

fn table() -> Table {
    let mut table = Table::default();
    let (host, key) = ("Host: example.com\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    let (version, start) = ("Sec-WebSocket-Version: 13", "GET /chat?x=1 HTTP/1.1");

    // Bodies: frames could only begin behind one.
    let bodies = "RFC 9112 §6.3, RFC 9110 §7.8";
    for lines in [
        "Content-Length: 11",
        "Content-Length: 0\r\nContent-Length: 11",
        "Content-Length: 11\r\nContent-Length: 0",
        "Content-Length: 0, 11",
        "Content-Length: +0",
        "Content-Length: -1",
        "Content-Length: 0x0",
        "Content-Length: 99999999999999999999999999",
        "Content-Length:",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Content-Length: 0\r\ntransfer-encoding: CHUNKED",
        "Transfer-Encoding:",
    ] {
        table.lines(bodies, lines, 400);
    }

    // Fields that end early, or do not end.
    let fields = "RFC 9112 §2.2, §5; RFC 9110 §5.5";
    for lines in [
        "X: a\rX-smuggled: b",
        "X: a\r\rX-smuggled: b",
        "X: a\nsmuggled",
        "X: a\0b",
        "X: a\x01b",
        "X: a\x7fb",
        "X\0: a",
    ] {
        table.lines(fields, lines, 400);
    }
    for lines in ["X: a\r\n smuggled", "X: a\r\n\tsmuggled", "X: a\r\n ", " X: a"] {
        table.lines("RFC 9112 §5.2", lines, 400);
    }
    for lines in ["X : a", "X\t: a", ": a", "X", "X(smuggled): a", "X Y: a", "\"X\": a", "é: a"] {
        table.lines("RFC 9112 §5.1", lines, 400);
    }
    table.edit("RFC 9112 §2.2", "\r\nHost", "\r\n Host", 400);
    table.edit("RFC 9112 §5.1", "Host:", "Host :", 400);

    // The first line.
    let first = "RFC 9112 §3";
    for line in [
        "GET  /chat HTTP/1.1",
        "GET\t/chat HTTP/1.1",
        "GET /chat  HTTP/1.1",
        "GET /chat HTTP/1.1 ",
        " GET /chat HTTP/1.1",
        "GET /chat",
        "GET HTTP/1.1",
        "GET",
        "/chat HTTP/1.1",
        "GET /chat smuggled HTTP/1.1",
        "GET /chat\0 HTTP/1.1",
        "GET /chat\r/smuggled HTTP/1.1",
        "GET /chat http/1.1",
        "GET /chat HTTP/1.1.1",
        "GET /chat HTTP/11",
        "GET /chat ICY/1.1",
        "G(T /chat HTTP/1.1",
        "HTTP/1.1 200 OK",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /chat HTTP/1.1",
        "SSH-2.0-OpenSSH_9.0",
        "EHLO example.com",
    ] {
        table.edit(first, start, line, 400);
    }
    // A6: judged when that line ends, or before: nothing else may come.
    for (line, status) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", 400),
        ("HELO x\r\n", 400),
        ("EHLO example.com\n", 400),
        ("GET / FTP/1.1\r\n", 400),
        ("GET /\r\n", 400),
        ("GET / HTTP/1.0\r\n", 505),
        ("PRI * HTTP/2.0\r\n", 505),
        ("GET / HTTP/1.1\r\nX Y", 400),
        ("GET / HTTP/1.1\r\nX\r\n", 400),
    ] {
        table.raw("RFC 9112 §3, §5", &format!("{line:?} and no more"), line.as_bytes(), status);
    }
    for other in ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/1.2"] {
        table.edit("§4.2.1, RFC 9110 §15.6.6", "HTTP/1.1", other, 505);
    }
    for method in ["get", "Get", "POST", "HEAD", "PUT", "TRACE", "OPTIONS", "GETS"] {
        table.edit("§4.2.1, RFC 9110 §15.5.6", "GET", method, 405);
    }
    table.edit("RFC 9110 §9.3.2", "GET", "HEAD", 405);
    table.raw("RFC 9110 §9.3.2", "HEAD", b"HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\n", 405);
    table.raw("RFC 9110 §9.3.2", "HEAD of HTTP/1.0", b"HEAD / HTTP/1.0\r\n", 505);
    table.raw("RFC 9110 §9.3.2", "HEAD, malformed", b"HEAD / HTTP/1.1\r\nX Y", 400);
    table.edit("§4.2.1, RFC 9110 §9.3.6", "GET /chat?x=1", "CONNECT example.com:443", 405);

    // The target.
    for target in [
        "*",
        "chat",
        "example.com:80",
        "//smuggled.example/chat#x",
        "/chat#smuggled",
        "http://smuggled.example/chat",
        "http://example.com:8080/chat",
        "http://example.com@smuggled.example/",
        "http://u:p@example.com/chat",
        "http:///chat",
        "ftp://example.com/chat",
        "javascript:smuggled()",
        "/é",
        "",
    ] {
        let section = "§4.2.1, RFC 9112 §3.2";
        table.edit(section, "/chat?x=1", target, 400);
    }

    // Host.
    let hosts = "§4.2.1, RFC 9112 §3.2";
    table.edit(hosts, host, "", 400);
    table.edit(hosts, host, &host.repeat(2), 400);
    table.edit(hosts, host, "Host: example.com\r\nhost: smuggled.example\r\n", 400);
    for other in [
        "",
        "example.com, smuggled.example",
        "example.com smuggled.example",
        "example.com/chat",
        "u@example.com",
        "http://example.com",
        "example.com:port",
        "example.com:65536",
        "[::1",
        "é",
        "example.com?x",
        "<smuggled>",
    ] {
        table.edit(hosts, host, &format!("Host: {other}\r\n"), 400);
    }

    // The upgrade.
    for (from, to) in [
        ("Upgrade: websocket\r\n", ""),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket", "Upgrade: websocket2"),
        ("Upgrade: websocket", "Upgrade:"),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade", "Connection: close"),
        ("Connection: Upgrade", "Connection: keep-alive, HTTP2-Settings"),
    ] {
        table.edit("§4.2.1, RFC 9110 §15.5.22", from, to, 426);
    }
    for other in ["", "0", "7", "8", "12", "14", "013", "+13", "13.0", "13, 8", "8, 13", "255"] {
        table.edit("§4.2.2, §4.4", version, &format!("Sec-WebSocket-Version: {other}"), 426);
    }
    table.edit("§4.2.2, §4.4", &format!("{version}\r\n"), "", 426);
    table.edit("§11.3.5", version, &format!("{version}\r\n{version}"), 400);
    table.edit("§11.3.5", version, &format!("{version}\r\nSec-WebSocket-Version: 8"), 400);

    // The key.
    let keys = "§4.2.1, §11.3.1";
    table.edit(keys, key, "", 400);
    table.edit(keys, key, &key.repeat(2), 400);
    for other in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZQ== x",
        "dGhlIHNhbXBsZSBub25jZQ==, smuggled",
        "dGhlIHNhbXBsZSBub2 jZQ==",
        "dGhl\u{a0}IHNhbXBsZSBub25jZQ==",
        "smuggled",
        "------------------------",
    ] {
        table.edit(keys, key, &format!("Sec-WebSocket-Key: {other}\r\n"), 400);
    }

    // What is optional.
    for (section, lines) in [
        ("RFC 6454 §7.3", "Origin: http://a\r\nOrigin: http://smuggled.example"),
        ("RFC 6454 §7.1", "Origin: http://é"),
        ("§11.3.4", "Sec-WebSocket-Protocol: chat, chat"),
        ("§11.3.4", "Sec-WebSocket-Protocol: smug gled"),
        ("§11.3.4", "Sec-WebSocket-Protocol: <smuggled>"),
        ("§11.3.4", "Sec-WebSocket-Protocol:"),
        ("§9.1", "Sec-WebSocket-Extensions: a b"),
        ("§9.1", "Sec-WebSocket-Extensions: a; b=\"smuggled"),
        ("§9.1", "Sec-WebSocket-Extensions: a; b=\"c d\""),
        ("§9.1", "Sec-WebSocket-Extensions:"),
        ("§9.1", "Sec-WebSocket-Extensions: ;"),
    ] {
        table.lines(section, lines, 400);
    }

    // Too much of it.
    let many = "RFC 9110 §5.4, RFC 6585 §5";
    table.lines(many, "X: y\r\n".repeat(96).trim_end(), 431);
    table.lines(many, "X: y\r\n".repeat(3_000).trim_end(), 431);
    table.lines(many, &format!("X: {}", "smuggled".repeat(2_048)), 431);
    table.lines(many, &format!("{}: y", "X".repeat(16_384)), 431);
    table.lines(many, &format!("X: {}", "y".repeat(500_000)), 431);
    table.raw(many, "a method that does not end", &[b'G'; 500_000], 431);
    table.raw(many, "a field that does not end", &endless("\r\nX: "), 431);
    table.raw(many, "a name that does not end", &endless("\r\n"), 431);
    let target = "RFC 9112 §3, RFC 9110 §15.5.15";
    table.edit(target, "/chat", &format!("/{}", "x".repeat(8_192)), 414);
    table.raw(target, "a target that does not end", &endless(""), 414);
    table.raw("RFC 9112 §2.2", "empty lines before it", b"\r\n\r\n\r\n\r\n\r\n", 400);

    // Other protocols.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03smuggled";
    table.raw("RFC 9112 §3", "the ClientHello of TLS", hello, 400);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0c\x04\0\0\0\0\0";
    table.raw("RFC 9113 §3.4", "the preface of HTTP/2", preface, 505);
    table.raw("RFC 9112 §3", "SOCKS 5", b"\x05\x01\0", 400);
    table.raw("RFC 9112 §3", "zeros", &[0; 64], 400);
    table.raw("RFC 9112 §3", "bytes", b"\xff\xfe\xfd\xfc", 400);
    table.raw("RFC 9112 §3", "frames", &frame(TO, 0x81, b"hello"), 400);
    table
}

/// A good start, and then no end.
fn endless(behind: &str) -> Vec<u8> {
    let line = if behind.is_empty() { "GET /" } else { "GET / HTTP/1.1" };
    [line.as_bytes(), behind.as_bytes(), &[b'x'; 500_000]].concat()
}

/// Each row twice: with requests behind it in the same write, a good one and one to be smuggled;
/// and in pieces, up to where the server knows, with nothing behind.
#[test]
fn each_bad_request_gets_its_status() {
    let table = table();
    on_each(&[], |server| {
        for row in &table.0 {
            let mut stream = server.tcp();
            let wire = [&row.request[..], REQUEST.as_bytes(), SECOND.as_bytes()].concat();
            stream.write_all(&wire).unwrap();
            refused(server, row, read_all(&stream));
            server.serves();

            let mut stream = server.tcp();
            let pieces = if row.request.len() > 2_000 { 1_000 } else { 1 };
            for piece in row.request.chunks(pieces) {
                stream.write_all(piece).unwrap();
            }
            refused(server, row, read_all(&stream));
            server.serves();
        }
    });
}

/// One response with the status, its length and nothing behind; then the end of TCP.
#[track_caller]
fn refused(server: &Server, row: &Row, (bytes, end): (Vec<u8>, std::io::Result<()>)) {
    let Row { section, what, status, .. } = row;
    let text = String::from_utf8_lossy(&bytes);
    let what = format!("{section}: {what}, {}: {text}", server.name);
    assert!(end.is_ok(), "{end:?}: {what}");
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{what}");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let head = format!("{head}\r\n\r\n");
    // A5: RFC 9110 §9.3.2: to HEAD goes no content, but its length.
    let to_head = row.request.starts_with(b"HEAD ");
    let length = header(&head, "Content-Length").unwrap();
    assert!(if to_head { length != "0" } else { length == body.len().to_string() }, "{what}");
    assert_eq!(body.is_empty(), to_head, "{what}");
    let upgrade = (*status == 426).then_some("websocket");
    assert_eq!(header(&head, "Upgrade"), upgrade, "{what}");
    assert_eq!(header(&head, "Sec-WebSocket-Version"), upgrade.map(|_| "13"), "{what}");
    let connection = if upgrade.is_some() { "close, Upgrade" } else { "close" };
    assert_eq!(header(&head, "Connection"), Some(connection), "{what}");
    assert_eq!(header(&head, "Allow"), (*status == 405).then_some("GET"), "{what}");
    assert_eq!(text.matches("HTTP/").count(), 1, "{what}");
    assert!(!text.contains(MARK) && !text.contains("Sec-WebSocket-Accept"), "{what}");
}

/// What is unusual and no fault gets the one 101 there is, with the right answer to its key, and
/// nothing that it brought: none of the rows above is red for another reason.
#[test]
fn what_is_only_just_legal_is_upgraded() {
    let mut table = Table::default();
    table.edit("RFC 9112 §3.2.2", "/chat?x=1", "http://example.com/chat", 101);
    table.edit("RFC 9112 §3.2.2", "/chat?x=1", "HTTP://EXAMPLE.com:80", 101);
    table.edit("RFC 9112 §2.2", "GET", "\r\n\r\n\r\nGET", 101);
    table.edit("RFC 9112 §5", "Host:", "hOST:", 101);
    table.edit("RFC 9110 §5.5", "Upgrade: websocket", "Upgrade:\t WebSocket \t", 101);
    table.edit("RFC 9110 §7.8", "websocket", "h2c, websocket", 101);
    table.edit("RFC 9110 §7.6.1", ": Upgrade", ": keep-alive, , UPGRADE", 101);
    table.edit("RFC 9112 §3", "/chat", &format!("/{}", "x".repeat(8_187)), 101);
    for lines in [
        "Content-Length: 0",
        "Content-Length: 00",
        "Expect: 100-continue",
        "X:",
        "X: \u{e9}",
        "Cookie: smuggled",
        "Sec-WebSocket-Protocol: smuggled",
        "Sec-WebSocket-Extensions: smuggled; x=1",
        "X: %0d%0aSet-Cookie:%20smuggled",
    ] {
        table.lines("RFC 9110 §5", lines, 101);
    }
    table.lines("RFC 9110 §5.4", "X: y\r\n".repeat(95).trim_end(), 101);
    // A8: what may be declined is declined.
    let many = |count: usize| (0..count).map(|i| format!("x{i}")).collect::<Vec<_>>().join(", ");
    table.lines("§9.1", &format!("Sec-WebSocket-Extensions: {}", many(500)), 101);
    table.lines("§9.1", &format!("Sec-WebSocket-Extensions: x{}", "; y".repeat(100)), 101);
    table.lines("§9.1", &format!("Sec-WebSocket-Extensions: {}x", ", ".repeat(1_000)), 101);
    table.lines("§11.3.4", &format!("Sec-WebSocket-Protocol: {}", many(500)), 101);
    table.lines("§11.3.4", &format!("Sec-WebSocket-Protocol: {}x", ", ".repeat(1_000)), 101);
    let room = 16 * 1024 - REQUEST.len() - "X: \r\n".len();
    table.lines("RFC 9110 §5.4", &format!("X: {}", "y".repeat(room)), 101);
    // §4.1, erratum 3150: pad bits may be anything.
    table.edit("§4.1", "Q==", "R==", 101);
    // RFC 9112 §2.2 lets a server take LF alone. Either way the head ends in the same place.
    table.raw("RFC 9112 §2.2", "LF alone", REQUEST.replace('\r', "").as_bytes(), 101);

    on_each(&[], |server| {
        for Row { section, what, request, status } in &table.0 {
            let mut stream = server.tcp();
            // Frames that come in the same write are served.
            let close = frame(TO, 0x88, b"\x0f\xa0");
            stream.write_all(&[request, &close[..]].concat()).unwrap();
            let (bytes, end) = read_all(&stream);
            assert!(end.is_ok(), "{end:?}");
            let came = String::from_utf8_lossy(&bytes);
            let head = String::from_utf8_lossy(request);
            let expected = response_to(&head, "").into_bytes();
            let expected = [&expected[..], b"\x88\x02\x0f\xa0"].concat();
            assert!(bytes == expected, "{section}: {what}, {}: {came}", server.name);
            assert_eq!(*status, 101);
            server.serves();
        }
    });
}

/// Behind a head that is granted everything is a frame: a second request is a broken one (`G` is
/// the reserved opcode 7, with RSV1, without a mask).
#[test]
fn a_request_behind_an_upgrade_is_no_http() {
    on_each(&[], |server| {
        for behind in [SECOND, REQUEST, "\r\n", "PRI * HTTP/2.0\r\n\r\n", "0\r\n\r\n"] {
            for whole in [true, false] {
                let mut stream = server.tcp();
                let wire = [REQUEST, behind].concat();
                let pieces = if whole { wire.len() } else { 1 };
                for piece in wire.as_bytes().chunks(pieces) {
                    stream.write_all(piece).unwrap();
                }
                let head = read_head(&stream);
                assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
                let frames = frames_to_the_end(&stream, behind);
                assert_eq!(close_codes(&frames), [1002], "§5.2: {behind:?}");
                assert_eq!(frames.len(), 1);
                server.serves();
            }
        }
    });
}

/// A request that ends before it is whole gets no answer, and TCP ends (§7.2.2).
#[test]
fn half_a_request_and_no_more() {
    on_each(&[], |server| {
        for length in [0, 1, 3, 24, REQUEST.len() - 2, REQUEST.len() - 1] {
            let mut stream = server.tcp();
            stream.write_all(&REQUEST.as_bytes()[..length]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let (bytes, end) = read_all(&stream);
            assert!(bytes.is_empty() && end.is_ok(), "{length}: {bytes:?}, {end:?}");
            server.serves();
        }
    });
}

/// Who is refused and goes on all the same is hung up on after a MiB, apart from what fits into the
/// buffers of TCP.
#[test]
fn a_refused_client_that_does_not_stop() {
    on_each(&[], |server| {
        let mut stream = server.tcp();
        stream.write_all(SECOND.as_bytes()).unwrap();
        let head = read_head(&stream);
        assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
        let mut body = vec![0; header(&head, "Content-Length").unwrap().parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end of TCP");
        let more = SECOND.repeat(1_000);
        let taken = (0..1_000).take_while(|_| stream.write_all(more.as_bytes()).is_ok()).count();
        println!("refused, {}: {} KiB were taken", server.name, taken * more.len() / 1024);
        assert!(taken * more.len() < 24 << 20, "{taken}");
        server.serves();
        server.took_at_most("refused and does not stop", 2 << 20);
        server.lets_go(0);
    });
}
