//! What a write, a flush or a shutdown does, and what it was to write.

use super::{TRIES, Told, WAYS, Way, name, over, receive_all, table, with_way};
use crate::{
    common::{BOTH, frame, frame_with, frames, split},
    support::{Script, Step, life::Receives, life::Sends, life::Whole, run},
};
use fullduplex::{CloseCode, Message, Role};
use std::io::ErrorKind;

/// The steps that a row stands for, if it is one of `way`; several to be played one by one.
fn faults(way: Way, row: &str) -> Vec<Vec<Step>> {
    let again = |kind| vec![vec![Step::Error(kind)], vec![Step::Error(kind); 5]];
    match row {
        // Once may go unnoticed, while there is something to read.
        "would block" if way != Way::BlockingHalves => again(ErrorKind::WouldBlock).split_off(1),
        "takes one byte at a time" => vec![vec![Step::Count(1); 1_000]],
        "is interrupted" => again(ErrorKind::Interrupted),
        "would block, blocking halves" if way == Way::BlockingHalves => {
            vec![vec![Step::Error(ErrorKind::WouldBlock)]]
        }
        "fails" => [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::Other]
            .map(|kind| vec![Step::Error(kind)])
            .into(),
        "takes nothing" => vec![vec![Step::Count(0)]],
        "claims more than it was given" => {
            [64 * 1024, usize::MAX].map(|count| vec![Step::Claims(count)]).into()
        }
        "would block" | "would block, blocking halves" => vec![],
        other => panic!("no such row: {other}"),
    }
}

fn generic(cell: String, row: &str, fault: &[Step]) -> String {
    match (row, fault.first()) {
        ("fails", Some(Step::Error(kind))) => cell.replace(&format!("Io({kind:?})"), "Io"),
        _ => cell,
    }
}

/// Sends, and does it again where that is right.
fn send<S: Sends>(to: &mut S, message: Message, fed: bool, told: &mut Told) {
    if fed {
        return to.feed(message).unwrap();
    }
    let mut sent = run(to.send(message));
    for _ in 0..TRIES {
        match sent {
            Ok(()) => return,
            Err(error) => told.error(&error),
        }
        if !to.is_open() {
            return;
        }
        sent = run(to.flush());
    }
    panic!("it never ends: {told:?}");
}

/// What is in the connection when its stream fails, as the columns say it.
fn play<W: Whole>(way: Way, role: Role, column: &str, row: &str, fault: &[Step]) -> String {
    let peer = [(0x81, &b"there"[..]), (0x88, b"\x03\xe8")];
    let reads = match column {
        "a pong" => [&[(0x89, &b"?"[..])], &peer[..]].concat(),
        "our Close" => peer[1..].to_vec(),
        _ => peer.to_vec(),
    };
    let script = Script::reading([Step::Bytes(frames(role, &reads)), Step::Eof]);
    {
        let mut state = script.state();
        match column {
            "a message, before its end" => {
                state.writes = [&[Step::Count(3)], fault].concat().into();
            }
            "a flush" => state.flushes = fault.to_vec().into(),
            _ => state.writes = fault.to_vec().into(),
        }
    }
    let ws: W = over(&script, role);
    let mut told = Told::default();
    let large = column == "a large message";
    let message = match large {
        true => Message::from(vec![5; 40_000]),
        false => "ours".into(),
    };
    let fed = column == "a message that was fed";
    let sends = fed || column.contains("message") || column == "a flush";
    fn both<R: Receives, S: Sends>(
        receiver: &mut R,
        sender: &mut S,
        (column, sends, fed): (&str, bool, bool),
        message: Message,
        told: &mut Told,
    ) {
        if sends {
            send(sender, message, fed, told);
        }
        if column == "our Close" {
            for _ in 0..TRIES {
                match run(sender.close(CloseCode::NORMAL)) {
                    Ok(()) => {}
                    Err(error) => told.error(&error),
                }
                if sender.closed().is_some() {
                    break;
                }
            }
        }
        run(receive_all(receiver, told));
        let closed = sender.closed().expect("it has ended");
        let flushed = run(sender.flush());
        match closed.is_clean() {
            true => assert!(flushed.is_ok() || !sends, "{flushed:?}"),
            false => assert!(flushed.is_err() || !sends, "a flush of what was lost, {told:?}"),
        }
    }
    let of = (column, sends, fed);
    if way.halves() {
        let (mut reader, mut writer) = ws.split();
        both(&mut reader, &mut writer, of, message.clone(), &mut told);
    } else {
        // One that is whole is lent twice.
        whole(ws, of, message.clone(), &mut told);
    }
    if column != "our Close" {
        assert_eq!(told.messages, ["there"], "what has come is given");
    }
    let closed = told.closed.as_ref().expect("it has ended");
    let written = script.written();
    let first = if message.as_text().is_some() { 0x81 } else { 0x82 };
    if sends && closed.is_clean() {
        let frames = split(role, &written);
        let ours = frames.iter().filter(|frame| frame.0 == first).collect::<Vec<_>>();
        assert_eq!(ours, [&(first, message.as_bytes().to_vec())], "it was written once");
    }
    cell(&told, &script, role, row, fault)
}

/// `Clean` where the end is clean and nothing went on.
fn cell(told: &Told, script: &Script, role: Role, row: &str, fault: &[Step]) -> String {
    let cell = generic(told.cell(), row, fault);
    let (head, size) = if role == Role::Server { ([0x88, 2], 4) } else { ([0x88, 0x82], 8) };
    let written = script.written();
    let close = written.len() >= size && written[written.len() - size..].starts_with(&head);
    if cell == "goes on" && !close { "`Clean`".into() } else { cell }
}

fn whole<W: Whole>(
    mut ws: W,
    (column, sends, fed): (&str, bool, bool),
    message: Message,
    told: &mut Told,
) {
    if sends {
        send(&mut ws, message, fed, told);
    }
    if column == "our Close" {
        for _ in 0..TRIES {
            match run(ws.close(CloseCode::NORMAL)) {
                Ok(()) => {}
                Err(error) => told.error(&error),
            }
            if ws.closed().is_some() {
                break;
            }
        }
    }
    run(receive_all(&mut ws, told));
    let closed = ws.closed().expect("it has ended");
    let flushed = run(ws.flush()).map_err(|error| name(&error));
    match closed.is_clean() {
        true => assert!(flushed.is_ok(), "{flushed:?}"),
        false => assert!(flushed.is_err() || told.errors.contains(&"Unsent".into()) || !fed),
    }
}

fn writing_case<W: Whole>(
    way: Way,
    (role, row, column, fault): (Role, &str, &str, &[Step]),
    outcomes: &mut Vec<(String, String)>,
) {
    let cell = play::<W>(way, role, column, row, fault);
    outcomes.push((format!("{way:?}, {role:?}, {fault:?}"), cell));
}

fn all(row: &str, column: &str) -> Vec<(String, String)> {
    let mut outcomes = Vec::new();
    for (way, role) in WAYS.into_iter().flat_map(|way| BOTH.map(|role| (way, role))) {
        for fault in faults(way, row) {
            with_way!(way, writing_case((role, row, column, &fault[..]), &mut outcomes));
        }
    }
    outcomes
}

#[test]
fn writing() {
    table::check("A write", 7, all);
}

#[test]
fn flushing() {
    table::check("A flush", 4, |row, column| {
        let mut outcomes = Vec::new();
        for (way, role) in WAYS.into_iter().flat_map(|way| BOTH.map(|role| (way, role))) {
            for fault in faults(way, row) {
                with_way!(way, flush_case((role, row, column, &fault[..]), &mut outcomes));
            }
        }
        outcomes
    });
}

/// As `play`, with a flush that fails behind what the column says was written.
fn flush_case<W: Whole>(
    way: Way,
    (role, row, column, fault): (Role, &str, &str, &[Step]),
    outcomes: &mut Vec<(String, String)>,
) {
    let peer = [(0x81, &b"there"[..]), (0x88, b"\x03\xe8")];
    let reads = match column {
        "a pong" => [&[(0x89, &b"?"[..])], &peer[..]].concat(),
        _ => peer.to_vec(),
    };
    let script = Script::reading([Step::Bytes(frames(role, &reads)), Step::Eof]);
    script.state().flushes = fault.to_vec().into();
    let mut ws: W = over(&script, role);
    let mut told = Told::default();
    let (sends, fed) = (column != "a pong", column == "a message that was fed");
    if way.halves() {
        let (mut reader, mut writer) = ws.split();
        if sends {
            send(&mut writer, "ours".into(), fed, &mut told);
        }
        run(receive_all(&mut reader, &mut told));
    } else {
        if sends {
            send(&mut ws, "ours".into(), fed, &mut told);
        }
        run(receive_all(&mut ws, &mut told));
    }
    assert_eq!(told.messages, ["there"], "what has come is given");
    let cell = cell(&told, &script, role, row, fault);
    outcomes.push((format!("{way:?}, {role:?}, {fault:?}"), cell));
}

/// The write side cannot be shut down: whatever it says, and however often, that is the end.
#[test]
fn shutting_down() {
    table::check("A shutdown", 3, |row, column| {
        let mut outcomes = Vec::new();
        for (way, role) in WAYS.into_iter().flat_map(|way| BOTH.map(|role| (way, role))) {
            let kind = match row {
                "is interrupted" => ErrorKind::Interrupted,
                "would block" => ErrorKind::WouldBlock,
                "fails" => ErrorKind::NotConnected,
                other => panic!("no such row: {other}"),
            };
            with_way!(way, shutdown_case((role, column, kind), &mut outcomes));
        }
        outcomes
    });
}

fn shutdown_case<W: Whole>(
    way: Way,
    (role, column, kind): (Role, &str, ErrorKind),
    outcomes: &mut Vec<(String, String)>,
) {
    let wrong = frame_with(0x81, b"wrong", (role == Role::Client).then_some(crate::common::KEY));
    let wire = match column {
        "behind both Closes" => frame(role, 0x88, b"\x03\xe8"),
        "behind our failing" => wrong,
        other => panic!("no such column: {other}"),
    };
    let script = Script::reading([Step::Bytes(wire), Step::Eof]);
    script.state().shutdowns = [Step::Error(kind)].into();
    let mut ws: W = over(&script, role);
    let mut told = Told::default();
    if way.halves() {
        run(receive_all(&mut ws.split().0, &mut told));
    } else {
        run(receive_all(&mut ws, &mut told));
    }
    assert_eq!(split(role, &script.written()).len(), 1, "our Close is written");
    outcomes.push((format!("{way:?}, {role:?}"), told.cell()));
}
