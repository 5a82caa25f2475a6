//! What the stream does during the opening handshake. A connection that is not open has no halves.

use super::{TOO_MANY, Told, Way, name, receive_all, table};
use crate::support::{REQUEST, Script, Step, frames, paused, quiet, run};
use fullduplex::{Error, Role, futures_io::FuturesIo, handshake::AcceptPolicy};
use std::io::ErrorKind;

const WHOLE: [Way; 3] = [Way::Blocking, Way::Tokio, Way::FuturesIo];

/// Opens a connection over `script`, and receives all that comes.
fn opened(way: Way, role: Role, script: &Script) -> Result<Told, Error> {
    let script = script.clone();
    let mut told = Told::default();
    script.state().blocking = way.blocks();
    let request = "ws://example.com/";
    let (acceptor, config) = (AcceptPolicy::new(), quiet());
    macro_rules! receive {
        ($ws:expr) => {{
            let mut ws = $ws;
            run(receive_all(&mut ws, &mut told));
        }};
    }
    match (way, role) {
        (Way::Blocking, Role::Client) => {
            receive!(fullduplex::blocking::client(script, request, config)?);
        }
        (Way::Blocking, Role::Server) => {
            receive!(fullduplex::blocking::accept_with(script, &acceptor, config)?);
        }
        (Way::Tokio, Role::Client) => {
            receive!(run(fullduplex::tokio::client(script, request, config))?);
        }
        (Way::Tokio, Role::Server) => {
            receive!(run(fullduplex::tokio::accept_with(script, &acceptor, config))?);
        }
        (_, role) => {
            let io = FuturesIo::with_timer(script, crate::support::life::Clock::new());
            match role {
                Role::Client => receive!(run(io.client(request, config))?),
                Role::Server => receive!(run(io.accept_with(&acceptor, config))?),
            }
        }
    }
    Ok(told)
}

fn faults(way: Way, row: &str, reads: bool) -> Vec<Vec<Step>> {
    let again = |kind| vec![vec![Step::Error(kind)], vec![Step::Error(kind); 5]];
    match row {
        "comes or goes one byte at a time" if reads => vec![vec![]],
        "comes or goes one byte at a time" => vec![vec![Step::Count(1); 1_000]],
        "is interrupted" => again(ErrorKind::Interrupted),
        "would block" => again(ErrorKind::WouldBlock),
        "fails" => [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::Other]
            .map(|kind| vec![Step::Error(kind)])
            .into(),
        "ends, or takes nothing" if reads => vec![vec![Step::Eof]],
        "ends, or takes nothing" => vec![vec![Step::Count(0)]],
        "claims too much" if reads => {
            let most = if way.is_tokio() { 1 << 20 } else { usize::MAX };
            vec![vec![Step::Claims(TOO_MANY)], vec![Step::Claims(most)]]
        }
        "claims too much" => vec![vec![Step::Claims(64 * 1024)], vec![Step::Claims(usize::MAX)]],
        other => panic!("no such row: {other}"),
    }
}

/// Plays one cell: what happened, and where exactly.
fn play(way: Way, row: &str, column: &str) -> Vec<(String, String)> {
    let (role, what) = column.split_once(": ").expect("who and what");
    let role = if role == "client" { Role::Client } else { Role::Server };
    let peer = frames(role, &[(0x81, b"hello"), (0x88, b"\x03\xe8")]);
    let reads =
        matches!(what, "request" | "response") && (role == Role::Client) == (what == "response");
    // For the client, where it is cut; it is another response each time.
    let length = match role {
        Role::Client => crate::support::response_to(REQUEST, "").len(),
        Role::Server => REQUEST.len(),
    };
    let bad = "GET / HTTP/1.1\r\n\r\n";
    let part = |from: usize, to: usize| match (role, what) {
        (Role::Client, _) => Step::Answer { from, to },
        (Role::Server, "refusal") => Step::Bytes(bad.as_bytes()[from..to].to_vec()),
        (Role::Server, _) => Step::Bytes(REQUEST.as_bytes()[from..to].to_vec()),
    };
    let cuts = match reads {
        true => vec![0, 1, 20, length - 1],
        false => vec![0],
    };
    let slow = row == "comes or goes one byte at a time";
    let mut outcomes = Vec::new();
    for fault in faults(way, row, reads) {
        for &cut in &cuts {
            let length = if what == "refusal" { bad.len() } else { length };
            let script = Script::new();
            {
                let mut state = script.state();
                let head: Vec<Step> = match (reads, slow) {
                    (true, true) => (0..length).map(|at| part(at, at + 1)).collect(),
                    (true, false) => {
                        let front = (cut > 0).then(|| part(0, cut));
                        let front: Vec<Step> = front.into_iter().collect();
                        [front, fault.clone(), vec![part(cut, length)]].concat()
                    }
                    (false, _) => vec![part(0, length)],
                };
                state.reads =
                    head.into_iter().chain([Step::Bytes(peer.clone()), Step::Eof]).collect();
                match what {
                    _ if reads => {}
                    "flush" => {
                        // A flush has no bytes that it could count.
                        let step = |step| match step {
                            Step::Count(_) | Step::Claims(_) => Step::Count(1),
                            step => step,
                        };
                        state.flushes = fault.iter().cloned().map(step).collect();
                    }
                    _ => state.writes = fault.clone().into(),
                }
            }
            let outcome = match opened(way, role, &script) {
                Ok(told) => {
                    assert_eq!(told.messages, ["hello"]);
                    told.cell()
                }
                Err(error) => format!("`{}`", name(&error)),
            };
            let outcome = match (row, &fault.first()) {
                ("fails", Some(Step::Error(kind))) => {
                    outcome.replace(&format!("Io({kind:?})"), "Io")
                }
                _ => outcome,
            };
            if role == Role::Client && !reads && outcome == "goes on" {
                assert!(script.written().starts_with(b"GET / HTTP/1.1\r\n"));
            }
            if what == "refusal" && (slow || row == "is interrupted") {
                assert!(script.written().starts_with(b"HTTP/1.1 400 "));
            }
            outcomes.push((format!("{way:?}, {fault:?}, at {cut}"), outcome));
        }
    }
    outcomes
}

#[test]
fn opening() {
    let runtime = paused();
    let _time = runtime.enter();
    table::check("The opening handshake", 6, |row, column| {
        WHOLE.into_iter().flat_map(|way| play(way, row, column)).collect()
    });
}
