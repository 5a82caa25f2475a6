//! The examples, run as a user runs them: the programs that `cargo test` has built.
#![cfg(feature = "tokio")]

#[path = "../support/mod.rs"]
mod support;

use fullduplex::{CloseCode, blocking};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use support::{REQUEST, read_all, read_head, response_to, watchdog};

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    path.set_extension(env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{name} is not built: run `cargo test` whole, or `cargo build --examples`"
    );
    path
}

/// Starts a server on a free port: its address.
fn serve(name: &str, arguments: &[&str]) -> (Program, String) {
    let mut server = Command::new(program(name))
        .args(["--addr", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").expect("the first line says where");
    (Program(server), url.to_string())
}

#[cfg(feature = "futures-io")]
const SERVERS: [&str; 3] = ["echo_server", "echo_server_blocking", "echo_server_smol"];
#[cfg(not(feature = "futures-io"))]
const SERVERS: [&str; 2] = ["echo_server", "echo_server_blocking"];

/// Runs the client with this input to its end.
fn client(url: &str, input: &[u8]) -> Output {
    client_with(&[url], input)
}

fn client_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut client = Command::new(program("client"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A client that has failed does not take it.
    let _ = client.stdin.take().unwrap().write_all(input);
    client.wait_with_output().unwrap()
}

#[track_caller]
fn fails(output: &Output, says: &str) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

fn tcp(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("ws://").trim_end_matches('/')).unwrap()
}

fn echo_works(url: &str) {
    let mut ws = blocking::connect(url).unwrap();
    ws.send("hello").unwrap();
    assert_eq!(ws.recv().unwrap(), Some("hello".into()));
    ws.close(CloseCode::NORMAL).unwrap();
}

#[test]
fn client_and_servers_end_to_end() {
    let _watchdog = watchdog();
    for name in SERVERS {
        let (_server, url) = serve(name, &[]);
        let lines: String = (0..2_000).map(|i| format!("line {i} é\n")).collect();
        let output = client(&url, lines.as_bytes());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), lines, "{name}");
        assert_eq!(output.stderr, b"", "{name}");
        // Nothing to send is fine, too.
        let output = client(&url, b"");
        assert!(output.status.success() && output.stdout.is_empty());
    }
}

/// Compressed where both ends want it, and working where only one does. With smaller windows, too.
#[cfg(feature = "deflate")]
#[test]
fn client_and_servers_with_deflate() {
    let _watchdog = watchdog();
    let lines: String =
        (0..500).map(|i| format!("line {i} é {}\n", "xyz".repeat(i % 40))).collect();
    for name in SERVERS {
        for server in [&["--deflate"][..], &["--deflate", "--window-bits", "9"], &[]] {
            let (_server, url) = serve(name, server);
            for arguments in [&["--deflate", &url][..], &[&url]] {
                let output = client_with(arguments, lines.as_bytes());
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{name} {server:?}: {stderr}");
                assert_eq!(String::from_utf8(output.stdout).unwrap(), lines);
            }
            let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            let mut stream = tcp(&url);
            stream.write_all(REQUEST.replacen("\r\n\r\n", "\r\n", 1).as_bytes()).unwrap();
            stream.write_all(offer.as_bytes()).unwrap();
            let accepted = read_head(&stream).contains("permessage-deflate");
            assert_eq!(accepted, !server.is_empty());
        }
    }
}

#[test]
fn client_without_a_url_or_with_a_bad_one() {
    let _watchdog = watchdog();
    let output = Command::new(program("client")).stdin(Stdio::null()).output().unwrap();
    fails(&output, "usage: client [--deflate] URL");
    fails(&client("wss://127.0.0.1:1/", b""), "TLS");
    fails(&client("http//nonsense", b""), "invalid request");
}

#[test]
fn client_to_a_port_that_nobody_listens_at() {
    let _watchdog = watchdog();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fails(&client(&format!("ws://127.0.0.1:{port}/"), b"x\n"), "refused");
}

#[test]
fn client_whose_input_is_not_utf_8() {
    let _watchdog = watchdog();
    let (_server, url) = serve("echo_server", &[]);
    fails(&client(&url, b"\xff\xfe\n"), "UTF-8");
}

#[test]
fn client_of_a_server_that_refuses() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&stream);
            stream.write_all(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        fails(&client(&support::url(&listener), b""), "503 Service Unavailable");
    });
}

/// A12: the client says why the server has ended the connection, wherever it was when that came, and
/// not before long.
#[test]
fn client_says_why_the_server_ended_the_connection() {
    struct Server {
        /// Behind the 101, in the same write.
        at_once: &'static [u8],
        /// Behind the first line.
        then: &'static [u8],
        /// Whether it ends TCP.
        ends: bool,
        says: &'static str,
    }
    const TOO_MANY: &str = "the server closed with 1008 too many";
    let _watchdog = watchdog();
    let servers = [
        Server { at_once: b"\x88\x0a\x03\xf0too many", then: b"", ends: true, says: TOO_MANY },
        Server { at_once: b"\x88\x0a\x03\xf0too many", then: b"", ends: false, says: TOO_MANY },
        Server {
            at_once: b"<html><body>502 Bad Gateway</body></html>",
            then: b"",
            ends: true,
            says: "the peer broke the protocol",
        },
        Server {
            at_once: b"\x81\x02hi\x88\x07\x03\xf5later",
            then: b"",
            ends: true,
            says: "the server closed with 1013 later",
        },
        Server {
            at_once: b"",
            then: b"\x81\x02hi\x88\x0a\x03\xf0too many",
            ends: false,
            says: TOO_MANY,
        },
    ];
    for Server { at_once, then, ends, says } in servers {
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let head = read_head(&stream);
                    let mut response = response_to(&head, "").into_bytes();
                    response.extend_from_slice(at_once);
                    stream.write_all(&response).unwrap();
                    if !then.is_empty() {
                        stream.read_exact(&mut [0; 7]).unwrap();
                        stream.write_all(then).unwrap();
                    }
                    if !ends {
                        let _ = read_all(&stream);
                    }
                });
                let start = Instant::now();
                fails(&client(&support::url(&listener), b"x\n"), says);
                // It would take 5 seconds to wait for the end of TCP.
                assert!(start.elapsed() < Duration::from_secs(4), "{says}, after a long time");
            });
        }
    }
}

/// A12: as the client of two threads.
#[test]
fn chat_says_why_the_server_ended_the_connection() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_head(&stream);
            stream.write_all(response_to(&head, "").as_bytes()).unwrap();
            stream.write_all(b"\x88\x0a\x03\xf0too many").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = read_all(&stream);
        });
        let url = support::url(&listener);
        let mut chat = Command::new(program("chat_blocking"));
        let chat = chat.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        fails(&chat.output().unwrap(), "the server closed with 1008 too many");
    });
}

/// A13: a server that is out of descriptors says so, serves whom it has, and goes on when some leave.
#[cfg(target_os = "linux")]
#[test]
fn servers_survive_with_few_descriptors() {
    let _watchdog = watchdog();
    for name in SERVERS {
        let mut server = Command::new("sh")
            .args(["-c", r#"ulimit -n 24; exec "$0" "$@""#])
            .arg(program(name))
            .args(["--addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the first line says where");
        let mut said = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut server = Program(server);
        let idle: Vec<_> = (0..30).map(|_| tcp(url)).collect();
        let out = said.by_ref().find(|line| line.as_ref().unwrap().starts_with("cannot accept: "));
        assert!(out.is_some(), "{name} has said nothing");
        thread::scope(|scope| {
            scope.spawn(|| said.for_each(drop)); // nothing blocks there
            drop(idle);
            echo_works(url);
            assert!(server.0.try_wait().unwrap().is_none(), "{name} is gone");
            server.0.kill().unwrap();
        });
    }
}

/// A13: no accept loop that we show ends at the first error, or drops what became of a client.
#[test]
fn accept_loops_that_are_shown_survive() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = ["README.md", "src/tokio/mod.rs", "src/futures_io/mod.rs", "src/blocking/mod.rs"];
    for page in pages {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let loops = text.matches("match listener.accept()").count()
            + text.matches("listener.accept().and_then(").count();
        assert!(loops > 0, "{page} shows none");
        assert_eq!(text.matches("cannot accept: {error}").count(), loops, "{page}");
        assert_eq!(text.matches("{peer}: {error}").count(), loops, "{page}");
        assert!(
            !text.contains("listener.accept().await?") && !text.contains(".incoming()"),
            "{page}"
        );
    }
}

#[test]
fn client_of_a_server_that_drops_the_connection() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_head(&stream);
            stream.write_all(response_to(&head, "").as_bytes()).unwrap();
            // One whole message is taken, so that nothing unread resets the connection.
            stream.read_exact(&mut [0; 7]).unwrap();
            stream.write_all(b"\x81\x01!").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = read_all(&stream);
        });
        let output = client(&support::url(&listener), b"x\n");
        // Its answer came, so whether the client got to the end before it closed is open.
        assert_eq!(output.stdout, b"!\n");
        fails(&output, "without a Close frame");
    });
}

#[test]
fn pipe_end_to_end() {
    let _watchdog = watchdog();
    let options =
        if cfg!(feature = "deflate") { &[&[][..], &["--deflate"]][..] } else { &[&[][..]] };
    for options in options {
        let output = Command::new(program("pipe")).args(*options).arg("3000000").output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for says in ["sent 3000000 bytes\n", "received 3000000 bytes, FNV-1a 39d03281dca8da25\n"] {
            assert!(stdout.contains(says), "{stdout}");
        }
        // From file to file, in two processes.
        let name = |what| format!("fullduplex-pipe-{}-{what}", std::process::id());
        let files = ["from", "to"].map(|what| env::temp_dir().join(name(what)));
        let payload: Vec<u8> = (0..500_000u32).flat_map(u32::to_be_bytes).collect();
        std::fs::write(&files[0], &payload).unwrap();
        let mut server = Command::new(program("pipe"))
            .args(*options)
            .args(["serve", "127.0.0.1:0"])
            .arg(&files[1])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut server = Program(server);
        let url = line.trim().strip_prefix("listening on ").expect("the first line says where");
        let client = Command::new(program("pipe"))
            .args(*options)
            .args(["send", url])
            .arg(&files[0])
            .status();
        assert!(client.unwrap().success() && server.0.wait().unwrap().success());
        let received = std::fs::read(&files[1]).unwrap();
        files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        assert!(received == payload, "{} bytes", received.len());
    }
}

/// A thread that sends and one that receives: every line comes back before the end.
#[test]
fn chat_of_two_threads() {
    let _watchdog = watchdog();
    let (_server, url) = serve("echo_server_blocking", &[]);
    let lines: String = (0..1000).map(|i| format!("line {i}\n")).collect();
    let mut chat = Command::new(program("chat_blocking"))
        .arg(&url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    chat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = chat.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines);
    let output = Command::new(program("chat_blocking")).output().unwrap();
    fails(&output, "usage: chat_blocking URL");
}

/// Clients that speak anything but WebSocket, or break it, or just go away.
#[test]
fn servers_survive_garbage() {
    let _watchdog = watchdog();
    for name in SERVERS {
        let (_server, url) = serve(name, &[]);
        let after_the_head = |bytes: &[u8]| [REQUEST.as_bytes(), bytes].concat();
        let garbage: Vec<Vec<u8>> = vec![
            Vec::new(),
            b"\0".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![b'x'; 100_000],
            after_the_head(b"\xff\xff\xff\xff"),
            after_the_head(b"\x81\x01x"),
            after_the_head(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
            after_the_head(b"\x88"),
        ];
        for (number, bytes) in garbage.iter().enumerate() {
            let mut stream = tcp(&url);
            stream.write_all(bytes).unwrap();
            match number % 3 {
                0 => drop(stream),
                1 => {
                    stream.shutdown(Shutdown::Write).unwrap();
                    let _ = read_all(&stream);
                }
                _ => {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            echo_works(&url);
        }
    }
}

/// One client at a time: the second is served when the first is gone, and not before.
#[test]
fn max_clients_is_a_cap() {
    let _watchdog = watchdog();
    for name in SERVERS {
        let (_server, url) = serve(name, &["--max-clients", "1"]);
        let mut first = blocking::connect(url.as_str()).unwrap();
        let mut second = tcp(&url);
        second.write_all(REQUEST.as_bytes()).unwrap();
        // Several round trips of the first one, and still no answer to the second.
        for _ in 0..100 {
            first.send("still here").unwrap();
            first.recv().unwrap().unwrap();
        }
        second.set_nonblocking(true).unwrap();
        assert!(second.read(&mut [0]).is_err(), "{name} serves two");
        second.set_nonblocking(false).unwrap();
        first.close(CloseCode::NORMAL).unwrap();
        drop(first);
        assert!(read_head(&second).starts_with("HTTP/1.1 101 "));
    }
}

#[test]
fn servers_with_bad_arguments() {
    let _watchdog = watchdog();
    for name in SERVERS {
        for arguments in [
            &["--addr"][..],
            &["--what", "x"],
            &["--max-clients", "x"],
            &["--addr", "nowhere"],
            &["--window-bits", "x"],
            &["--max-message", "-1"],
            &["--handshake-timeout", "soon"],
            &["--handshake-timeout", "-1"],
        ] {
            let output = Command::new(program(name)).args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{name} {arguments:?}");
            assert!(!output.stderr.is_empty());
        }
    }
}

#[test]
fn a_broadcast_reaches_every_client() {
    let _watchdog = watchdog();
    let output = Command::new(program("broadcast")).arg("50").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["server: 1000 sent, 0 disconnected", "clients: 1000 received", "50 closed cleanly"]
    {
        assert!(text.contains(line), "{text}");
    }
}
