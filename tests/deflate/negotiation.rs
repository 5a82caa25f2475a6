//! permessage-deflate through both adapters, over TCP: who agrees to what, what goes over the wire,
//! and what becomes of an extension that the caller gives.
#![cfg(all(feature = "deflate", feature = "tokio"))]

use crate::{common, deflate, support};

use common::{frame, split};
use deflate::{inflate, largest, params};
use fullduplex::{
    CloseCode, Config, Error, Role, blocking,
    deflate::{Compression, Deflate, DeflateParams, InvalidDeflate},
    handshake::{
        Acceptance, Acceptor, ClientHandshakeError, Extension, InvalidAcceptance, Request,
    },
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};
use support::{
    REQUEST, Script, Step, header, quiet, read_head, response_to, runtime, tcp_pair, url, watchdog,
};

const ADAPTERS: [bool; 2] = [false, true];

fn on() -> Config {
    quiet().deflate(Deflate::default())
}

fn extension(text: &str) -> Extension {
    text.parse().unwrap()
}

/// Text that becomes much smaller.
fn long() -> String {
    "the same again and ".repeat(100)
}

/// A client of either adapter that sends and gets one text, chosen to be compressed or not: what
/// was agreed on.
fn talk(
    asynchronous: bool,
    request: Request,
    config: Config,
    compression: Compression,
) -> Result<Option<DeflateParams>, Error> {
    if asynchronous {
        return runtime().block_on(async {
            let mut ws = fullduplex::tokio::connect_with(request, config).await?;
            ws.feed(compression.of(long()))?;
            ws.send(compression.of(long())).await?;
            assert_eq!(ws.recv().await?.unwrap(), long().as_str());
            assert_eq!(ws.recv().await?.unwrap(), long().as_str());
            let agreed = ws.deflate().copied();
            ws.close(CloseCode::NORMAL).await?;
            Ok(agreed)
        });
    }
    let mut ws = blocking::connect_with(request, config)?;
    ws.feed(compression.of(long()))?;
    ws.send(compression.of(long()))?;
    assert_eq!(ws.recv()?.unwrap(), long().as_str());
    assert_eq!(ws.recv()?.unwrap(), long().as_str());
    let agreed = ws.deflate().copied();
    ws.close(CloseCode::NORMAL)?;
    Ok(agreed)
}

/// A server of either adapter that sends everything back, chosen to be compressed or not: what was
/// agreed on.
fn serve(
    asynchronous: bool,
    stream: TcpStream,
    config: Config,
    compression: Compression,
) -> Result<Option<DeflateParams>, Error> {
    if asynchronous {
        return runtime().block_on(async {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let mut ws = fullduplex::tokio::accept_with(stream, &Acceptor::new(), config).await?;
            let agreed = ws.deflate().copied();
            ws.run(|message, out| out.feed(compression.of(message))).await?;
            Ok(agreed)
        });
    }
    let mut ws = blocking::accept_with(stream, &Acceptor::new(), config)?;
    let agreed = ws.deflate().copied();
    ws.run(|message, out| out.feed(compression.of(message)))?;
    Ok(agreed)
}

/// Both adapters in both roles: compression is used if both ends have turned it on.
#[test]
fn both_ends_have_to_want_it() {
    let _watchdog = watchdog();
    for client in ADAPTERS {
        for server in ADAPTERS {
            for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let url = url(&listener);
                let config = |wanted| if wanted { on() } else { quiet() };
                thread::scope(|scope| {
                    let serving = scope.spawn(|| {
                        let stream = listener.accept().unwrap().0;
                        serve(server, stream, config(theirs), Compression::Auto).unwrap()
                    });
                    let request = Request::new(url.as_str());
                    let agreed = talk(client, request, config(ours), Compression::Auto).unwrap();
                    assert_eq!(agreed.is_some(), ours && theirs);
                    assert_eq!(serving.join().unwrap(), agreed);
                });
            }
        }
    }
}

/// What a server by hand sees of a client, and a client by hand of a server.
#[test]
fn what_goes_over_the_wire() {
    let _watchdog = watchdog();
    // B1: what Chromium offers, byte for byte.
    let offer = "permessage-deflate; client_max_window_bits";
    for asynchronous in ADAPTERS {
        for (choice, compressed) in [(Compression::Always, true), (Compression::Never, false)] {
            // A client.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let request = Request::new(url(&listener).as_str());
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let head = read_head(&stream);
                    assert_eq!(header(&head, "Sec-WebSocket-Extensions"), Some(offer));
                    let line = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
                    stream.write_all(response_to(&head, line).as_bytes()).unwrap();
                    let two = read_frames(&mut stream, Role::Client, 2);
                    check(&two, compressed);
                    for (first, payload) in two {
                        stream.write_all(&frame(Role::Client, first, &payload)).unwrap();
                    }
                    read_frames(&mut stream, Role::Client, 1);
                    stream.write_all(&frame(Role::Client, 0x88, b"")).unwrap();
                });
                let agreed = talk(asynchronous, request, on(), choice).unwrap();
                // The window of ours is smaller than it could be, and that is what is told.
                assert_eq!(agreed, Some(params("client_max_window_bits=12")));
            });

            // A server.
            let (server, mut stream) = tcp_pair();
            thread::scope(|scope| {
                let serving = scope.spawn(move || serve(asynchronous, server, on(), choice));
                let line = "\r\nSec-WebSocket-Extensions: permessage-deflate; x, \
                            permessage-deflate; server_max_window_bits=10\r\n\r\n";
                stream.write_all(REQUEST.replace("\r\n\r\n", line).as_bytes()).unwrap();
                let head = read_head(&stream);
                let answer = "permessage-deflate; server_max_window_bits=10";
                assert_eq!(header(&head, "Sec-WebSocket-Extensions"), Some(answer));
                for _ in 0..2 {
                    stream.write_all(&frame(Role::Server, 0x81, long().as_bytes())).unwrap();
                }
                check(&read_frames(&mut stream, Role::Server, 2), compressed);
                stream.write_all(&frame(Role::Server, 0x88, b"")).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let agreed = serving.join().unwrap().unwrap().unwrap();
                assert_eq!(agreed.server_max_window_bits(), 10);
            });
        }
    }
}

/// Reads so many frames that `from` sends.
fn read_frames(stream: &mut TcpStream, from: Role, count: usize) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let whole = {
            let (mut rest, mut frames) = (&bytes[..], 0);
            while let Ok(Some(head)) = common::reference::head(rest) {
                let end = head.size + head.length as usize;
                if rest.len() < end {
                    break;
                }
                rest = &rest[end..];
                frames += 1;
            }
            frames
        };
        if whole == count {
            return split(from, &bytes);
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
}

/// Two frames with the long text.
fn check(frames: &[(u8, Vec<u8>)], compressed: bool) {
    let long = long();
    if !compressed {
        assert!(frames.iter().all(|frame| *frame == (0x81, long.clone().into_bytes())));
        return;
    }
    assert!(frames.iter().all(|(first, payload)| *first == 0xc1 && payload.len() < 150));
    let mut window = Vec::new();
    for (_, payload) in frames {
        let bytes = inflate(&window, payload).unwrap().bytes;
        assert_eq!(bytes, long.as_bytes());
        window.extend(bytes);
    }
}

/// RFC 7692 §7.1: a client fails on an answer to what it did not offer.
#[test]
fn rfc7692_7_1_a_client_fails_on_a_wrong_answer() {
    let _watchdog = watchdog();
    let answers = [
        ("permessage-deflate; x", InvalidDeflate::Unknown("x".into())),
        ("permessage-deflate, permessage-deflate", InvalidDeflate::Twice),
        (
            "permessage-deflate; server_max_window_bits=7",
            InvalidDeflate::Value("server_max_window_bits".into()),
        ),
    ];
    for asynchronous in ADAPTERS {
        for (answer, expected) in &answers {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let request = Request::new(url(&listener).as_str());
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let head = read_head(&stream);
                    let line = format!("Sec-WebSocket-Extensions: {answer}\r\n");
                    stream.write_all(response_to(&head, &line).as_bytes()).unwrap();
                    let _ = stream.read_to_end(&mut Vec::new());
                });
                let error = talk(asynchronous, request, on(), Compression::Auto).unwrap_err();
                assert!(error.is_peer_fault());
                let Error::Handshake(ClientHandshakeError::Deflate(error)) = error else {
                    panic!("{error:?}")
                };
                assert_eq!(error, *expected);
            });
        }
    }
}

/// Offers and answers that the caller gives stay as they are, and are obeyed.
#[test]
fn extensions_given_by_hand() {
    let _watchdog = watchdog();
    for asynchronous in ADAPTERS {
        // A client whose one offer is the caller's.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let request = Request::new(url(&listener).as_str())
            .extension(extension("foo"))
            .extension(extension("permessage-deflate; server_no_context_takeover"));
        thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let (stream, _) = listener.accept()?;
                let upgrade = blocking::upgrade(stream, on())?;
                assert_eq!(upgrade.request().extensions().len(), 2);
                let mut ws = upgrade.answer(&Acceptor::new())?;
                let agreed = ws.deflate().copied();
                ws.run(|message, out| out.feed(message))?;
                Ok::<_, Error>(agreed)
            });
            let agreed = talk(asynchronous, request, on(), Compression::Auto).unwrap();
            let answer = "server_no_context_takeover; server_max_window_bits=12";
            assert_eq!(serving.join().unwrap().unwrap(), Some(params(answer)));
            let used = format!("{answer}; client_max_window_bits=12");
            assert_eq!(agreed, Some(params(&used)));
        });

        // A server whose answer is the caller's, good or not.
        let (bits, unknown) = ("client_max_window_bits", InvalidDeflate::Unknown("x".into()));
        let answers = [
            ("permessage-deflate; client_no_context_takeover", None),
            ("permessage-deflate; x", Some(unknown)),
            // §7.1.2.2: a good one, to another offer.
            (
                "permessage-deflate; client_max_window_bits=10",
                Some(InvalidDeflate::NotOffered(bits.into())),
            ),
        ];
        for (answer, bad) in answers {
            let (server, mut stream) = tcp_pair();
            let line = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            stream.write_all(REQUEST.replace("\r\n\r\n", line).as_bytes()).unwrap();
            let acceptance = Acceptance::new().extension(extension(answer));
            let agreed = if asynchronous {
                runtime().block_on(async {
                    server.set_nonblocking(true)?;
                    let server = tokio::net::TcpStream::from_std(server)?;
                    let upgrade = fullduplex::tokio::upgrade(server, on()).await?;
                    Ok(upgrade.accept(&acceptance).await?.deflate().copied())
                })
            } else {
                blocking::upgrade(server, on())
                    .and_then(|upgrade| Ok(upgrade.accept(&acceptance)?.deflate().copied()))
            };
            match agreed {
                Ok(agreed) => {
                    let used = "client_no_context_takeover; server_max_window_bits=12";
                    assert_eq!((agreed, bad), (Some(params(used)), None));
                    let head = read_head(&stream);
                    assert_eq!(header(&head, "Sec-WebSocket-Extensions"), Some(answer));
                }
                Err(Error::Acceptance(InvalidAcceptance::Deflate(error))) => {
                    assert_eq!(Some(error), bad);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// RFC 7692 §7.1.2: each window that a server may answer with is taken and kept to, and the client
/// tells what is used.
#[test]
fn rfc7692_7_1_2_any_window_in_the_answer() {
    let _watchdog = watchdog();
    for asynchronous in ADAPTERS {
        for bits in [8, 9, 10, 12, 15] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let request = Request::new(url(&listener).as_str());
            let answer = format!("server_max_window_bits={bits}; client_max_window_bits={bits}");
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let head = read_head(&stream);
                    let line =
                        format!("Sec-WebSocket-Extensions: permessage-deflate; {answer}\r\n");
                    stream.write_all(response_to(&head, &line).as_bytes()).unwrap();
                    let ws = blocking::WebSocket::from_parts(stream, Role::Server, on(), []);
                    let mut ws = ws.with_deflate(params(&answer)).unwrap();
                    ws.run(|message, out| out.feed(Compression::Always.of(message))).unwrap();
                });
                let agreed = talk(asynchronous, request, on(), Compression::Always).unwrap();
                let agreed = agreed.unwrap();
                assert_eq!(agreed.server_max_window_bits(), bits);
                assert_eq!(agreed.client_max_window_bits(), bits.min(12));
            });
        }
    }
}

/// B3, §7.1.2.2: a window that is larger than the hint in the offer is no answer.
#[test]
fn rfc7692_7_1_2_2_a_larger_window_than_the_hint_is_refused() {
    let _watchdog = watchdog();
    for asynchronous in ADAPTERS {
        for (bits, good) in [(11, true), (12, true), (13, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let request = Request::new(url(&listener).as_str());
            let config = quiet().deflate(Deflate::default().send_window_bits(12));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let head = read_head(&stream);
                    let offer = header(&head, "Sec-WebSocket-Extensions");
                    assert_eq!(offer, Some("permessage-deflate; client_max_window_bits=12"));
                    let line = format!(
                        "Sec-WebSocket-Extensions: permessage-deflate; \
                         client_max_window_bits={bits}\r\n"
                    );
                    stream.write_all(response_to(&head, &line).as_bytes()).unwrap();
                    let ws = blocking::WebSocket::from_parts(stream, Role::Server, quiet(), []);
                    let _ = ws.with_deflate(params("")).unwrap().run(|m, out| out.feed(m));
                });
                match talk(asynchronous, request, config, Compression::Auto) {
                    Ok(agreed) => {
                        assert!(good);
                        assert_eq!(agreed.unwrap().client_max_window_bits(), bits);
                    }
                    Err(Error::Handshake(ClientHandshakeError::Deflate(error))) => {
                        assert!(!good && error == InvalidDeflate::NotKept);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            });
        }
    }
}

/// D14: once, and before anything else, through the adapters too.
#[test]
fn deflate_begins_once_and_first() {
    use fullduplex::deflate::DeflateRefused::{Late, Twice};
    let (agreed, runtime) = (params(""), support::paused());
    let _time = runtime.enter();
    for role in common::BOTH {
        let script = || {
            let script = Script::new();
            script.state().blocking = true;
            script
        };
        let threads = || blocking::WebSocket::from_parts(script(), role, quiet(), []);
        let once = threads().with_deflate(agreed).unwrap();
        assert_eq!(once.with_deflate(agreed).err(), Some(Twice));
        let mut late = threads();
        late.send_fragment("begun", false).unwrap();
        assert_eq!(late.with_deflate(agreed).err(), Some(Late));

        let tokio = || support::tokio_over(&Script::new(), role, quiet());
        let once = tokio().with_deflate(agreed).unwrap();
        assert_eq!(once.with_deflate(agreed).err(), Some(Twice));
        let mut late = tokio();
        late.feed("queued").unwrap();
        assert_eq!(late.with_deflate(agreed).err(), Some(Late));
    }
}

/// A stream whose handshake was done elsewhere.
#[test]
fn a_connection_adopted_with_what_was_agreed_on() {
    let _watchdog = watchdog();
    let (server, client) = tcp_pair();
    let agreed = largest().accept(&largest().offers());
    let mut server = blocking::WebSocket::from_parts(server, Role::Server, quiet(), [])
        .with_deflate(agreed)
        .unwrap();
    let mut client = blocking::WebSocket::from_parts(client, Role::Client, quiet(), [])
        .with_deflate(agreed)
        .unwrap();
    // B3: each tells what is used, which for its own compressor is the default.
    assert_eq!(server.deflate(), Some(&params("server_max_window_bits=12")));
    assert_eq!(client.deflate(), Some(&params("client_max_window_bits=12")));
    client.send(long()).unwrap();
    assert_eq!(server.recv().unwrap().unwrap(), long().as_str());
}

/// What is inflated of a message in chunks is the reader's, also where a writer sees the end of the
/// stream behind it.
#[test]
fn a_writer_of_threads_does_not_pass_chunks_that_wait_for_the_reader() {
    let agreed = largest().accept(&largest().offers());
    let mut peer = common::connection(Role::Client, quiet()).with_deflate(agreed).unwrap();
    peer.feed(long()).unwrap();
    let wire = common::drain(&mut peer);
    for cut in 1..wire.len() {
        let [front, back] = [&wire[..cut], &wire[cut..]].map(|part| Step::Bytes(part.into()));
        let script = Script::reading([front, back, Step::Eof]);
        script.state().blocking = true;
        let ws = blocking::WebSocket::from_parts(script.clone(), Role::Server, quiet(), []);
        let (mut reader, writer) = ws.with_deflate(agreed).unwrap().split();
        let mut received = Vec::new();
        loop {
            let chunk = reader.recv_chunk().unwrap().unwrap();
            received.extend_from_slice(chunk.as_bytes());
            if chunk.is_last() {
                break;
            }
            if script.state().reads.len() == 1 {
                writer.ping("p").unwrap(); // looks at what has arrived: the end
            }
        }
        assert_eq!(received, long().as_bytes(), "cut at {cut}");
        assert!(matches!(reader.recv(), Err(Error::Abnormal)));
    }
}
