//! Halves of a connection over TLS: one state for both directions, several tasks, real sockets. And
//! the end of it: behind both Closes the server's `close_notify`, then its end of TCP, first.
#![cfg(feature = "tokio")]

use crate::support;

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use fullduplex::{
    CloseCode, CloseFrame, Closed, Config, Keepalive, Role, Side,
    tokio::{Reader, WebSocket, Writer},
};
use std::{
    io,
    sync::{Arc, Mutex},
};
use support::{quiet, watchdog};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    },
};

/// Made for these tests, for `localhost`, from 2020 to 2120. In an empty directory, with `ca.cnf`:
///
/// ```sh
/// touch index && echo 01 >serial
/// openssl ecparam -name prime256v1 -genkey -noout -out key.pem
/// openssl req -new -key key.pem -subj /CN=localhost -config ca.cnf -out request.pem
/// openssl ca -batch -notext -config ca.cnf -selfsign -keyfile key.pem -in request.pem \
///     -startdate 20200101000000Z -enddate 21200101000000Z -out certificate.pem
/// openssl x509 -in certificate.pem -outform DER -out certificate.der
/// openssl pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der
/// ```
const CERTIFICATE: &[u8] = include_bytes!("../support/tls/certificate.der");
const KEY: &[u8] = include_bytes!("../support/tls/key.der");

/// What became of the two streams, in order.
type Log = Arc<Mutex<Vec<(Role, &'static str)>>>;

/// A TLS stream that notes its ends. A `close_notify` is an end to whoever reads, and TCP's comes
/// right behind it.
struct Stream {
    tls: TlsStream<TcpStream>,
    role: Role,
    log: Log,
}

impl Stream {
    fn note(&self, what: &'static str) {
        let mut log = self.log.lock().unwrap();
        if !log.contains(&(self.role, what)) {
            log.push((self.role, what));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tls).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() == before {
            self.note("sees the end");
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note("shuts down");
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// Two ends of a TLS connection over loopback: the server's and the client's.
async fn tls_pair(log: &Log) -> (Stream, Stream) {
    let certificate = CertificateDer::from(CERTIFICATE);
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let (server, client) = tokio::join!(
        TlsAcceptor::from(Arc::new(server.unwrap())).accept(theirs),
        TlsConnector::from(Arc::new(client))
            .connect(ServerName::try_from("localhost").unwrap(), ours),
    );
    let server = Stream { tls: server.unwrap().into(), role: Role::Server, log: log.clone() };
    (server, Stream { tls: client.unwrap().into(), role: Role::Client, log: log.clone() })
}

fn halves(stream: Stream, role: Role, config: Config) -> (Reader<Stream>, Writer<Stream>) {
    WebSocket::from_parts(stream, role, config, []).split()
}

fn clean(initiator: Side) -> Closed {
    let frame = CloseFrame::new(CloseCode::NORMAL, "").unwrap();
    Closed::Clean { initiator, frame: Some(frame) }
}

/// Several writers on each end send at once, and each end sends back what comes; with small limits,
/// so that all of them wait for room all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_echo_under_load() {
    const WRITERS: usize = 3;
    const EACH: usize = 1_000;
    let _watchdog = watchdog();
    let log = Log::default();
    let (server, client) = tls_pair(&log).await;
    let config = || {
        let keepalive = Keepalive::every(core::time::Duration::from_millis(2));
        Config::default().keepalive(keepalive).unsent_mark(10_000)
    };
    let (mut reader, ours) = halves(server, Role::Server, config());
    // A server's end that echoes with one half, and sends by itself with the other.
    let echo = {
        let writer = ours.clone();
        tokio::spawn(async move {
            let mut echoed = 0;
            while let Some(message) = reader.recv().await.unwrap() {
                match message.as_text().unwrap().starts_with("echo") {
                    true => echoed += 1,
                    false => writer.send(message).await.unwrap(),
                }
            }
            (reader, echoed)
        })
    };
    let (mut reader, writer) = halves(client, Role::Client, config());
    let mut writers = Vec::new();
    for name in 0..WRITERS {
        let (server, client) = (ours.clone(), writer.clone());
        writers.push(tokio::spawn(async move {
            for i in 0..EACH {
                server.send(format!("own {name} {i}")).await.unwrap();
            }
        }));
        writers.push(tokio::spawn(async move {
            for i in 0..EACH {
                let text = format!("{name} {i} {}", "x".repeat(i % 700));
                client.send(text).await.unwrap();
                if i % 10 == 0 {
                    client.ping([name as u8]).await.unwrap();
                }
            }
        }));
    }
    let back = writer.clone();
    let receiving = tokio::spawn(async move {
        let (mut next, mut own) = ([0; WRITERS], [0; WRITERS]);
        while next != [EACH; WRITERS] || own != [EACH; WRITERS] {
            let message = reader.recv().await.unwrap().unwrap();
            let mut words = message.as_text().unwrap().split(' ').peekable();
            let next = if words.next_if_eq(&"own").is_some() { &mut own } else { &mut next };
            let [name, i] = [(); 2].map(|()| words.next().unwrap().parse::<usize>().unwrap());
            assert_eq!(next[name], i, "in order, each once");
            next[name] += 1;
            back.send(format!("echo {name} {i}")).await.unwrap();
        }
        // It stays, but nobody polls it any more.
        reader
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let reader = receiving.await.unwrap();
    writer.close(CloseCode::NORMAL).await.unwrap();
    assert_eq!(reader.closed(), Some(clean(Side::Local)));
    let (theirs, echoed) = echo.await.unwrap();
    assert_eq!(theirs.closed(), Some(clean(Side::Remote)));
    assert_eq!(echoed, 2 * WRITERS * EACH);
    assert_eq!(writer.unsent(), Default::default());
}

/// §7.1.1: whoever closes, and with readers that wait, that idle or that are gone, it is the server
/// that ends TLS and TCP first, and the client that sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_1_1_the_server_ends_tls_first() {
    #[derive(Clone, Copy, Debug)]
    enum Reading {
        Waits,
        Idle,
        Gone,
    }
    let _watchdog = watchdog();
    for closes in [Role::Client, Role::Server] {
        for reading in [Reading::Waits, Reading::Idle, Reading::Gone] {
            let log = Log::default();
            let (server, client) = tls_pair(&log).await;
            let (server, client) =
                (halves(server, Role::Server, quiet()), halves(client, Role::Client, quiet()));
            let ((mut reader, writer), mut peer) = match closes {
                Role::Client => (client, server),
                Role::Server => (server, client),
            };
            writer.send("before").await.unwrap();
            // The peer still sends something of its own.
            peer.1.send("on its way").await.unwrap();
            let peer = tokio::spawn(async move {
                assert_eq!(peer.0.recv().await.unwrap(), Some("before".into()));
                assert_eq!(peer.0.recv().await.unwrap(), None);
                peer.0
            });
            match reading {
                Reading::Waits => {
                    let receiving = tokio::spawn(async move {
                        let first = reader.recv().await.unwrap();
                        (first, reader.recv().await.unwrap(), reader)
                    });
                    writer.close(CloseCode::NORMAL).await.unwrap();
                    let (first, last, reader) = receiving.await.unwrap();
                    assert_eq!((first, last), (Some("on its way".into()), None));
                    assert_eq!(reader.closed(), Some(clean(Side::Local)));
                }
                Reading::Idle => {
                    writer.close(CloseCode::NORMAL).await.unwrap();
                    // What came in the meantime was kept for it.
                    assert_eq!(reader.recv().await.unwrap(), Some("on its way".into()));
                    assert_eq!(reader.recv().await.unwrap(), None);
                }
                Reading::Gone => {
                    drop(reader);
                    writer.close(CloseCode::NORMAL).await.unwrap();
                }
            }
            let what = format!("{closes:?} closes, {reading:?}");
            assert_eq!(writer.closed(), Some(clean(Side::Local)), "{what}");
            let peer = peer.await.unwrap();
            assert_eq!(peer.closed(), Some(clean(Side::Remote)), "{what}");
            let log = log.lock().unwrap().clone();
            let [server, client] = [Role::Server, Role::Client];
            let (shuts, sees) = ("shuts down", "sees the end");
            let client_first = log.iter().position(|(role, _)| *role == client);
            assert_eq!(log[0], (server, shuts), "{what}: {log:?}");
            assert_eq!(log[client_first.unwrap()], (client, sees), "{what}: {log:?}");
            assert!(log.contains(&(client, shuts)), "{what}: {log:?}");
        }
    }
}
