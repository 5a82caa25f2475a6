//! What a read does, and where in what is received.

use super::{TOO_MANY, TRIES, Told, WAYS, Way, name, over, receive_all, table, with_way};
use crate::{
    common::{BOTH, frame, head},
    support::{Script, Step, life::Sends, life::Whole, run},
};
use fullduplex::{CloseCode, Error, Message, Role};
use std::io::ErrorKind;

/// What is received and where it is cut for the fault: all of it but the Close, the places, and the
/// message.
fn wires(role: Role, column: &str) -> (Vec<u8>, Vec<usize>, Message) {
    let large = |size: usize| (frame(role, 0x82, &vec![7; size]), Message::from(vec![7; size]));
    let head_of = |size: u64| head(role, 0x82, size).len();
    match column {
        "idle" => (frame(role, 0x81, b"behind"), vec![0], "behind".into()),
        "inside a head" => {
            let (wire, message) = large(70_000);
            (wire, (1..head_of(70_000)).collect(), message)
        }
        "inside a payload" => {
            let (wire, message) = large(300);
            let first = head_of(300);
            (wire, vec![first, first + 1, first + 299], message)
        }
        // Which an adapter may read in another way.
        "inside a large payload" => {
            let (wire, message) = large(300_000);
            (wire, vec![head_of(300_000) + 1, 100_000, 299_000], message)
        }
        "between fragments" => {
            let first = frame(role, 0x01, b"be");
            let cut = first.len();
            ([first, frame(role, 0x80, b"hind")].concat(), vec![cut], "behind".into())
        }
        other => panic!("no such column: {other}"),
    }
}

/// The steps that a row stands for, if it is one of `way`; several to be played one by one.
fn faults(way: Way, row: &str) -> Vec<Vec<Step>> {
    let again = |kind| vec![vec![Step::Error(kind)], vec![Step::Error(kind); 5]];
    match row {
        "is interrupted" => again(ErrorKind::Interrupted),
        "would block" if way != Way::BlockingHalves => again(ErrorKind::WouldBlock),
        "would block, blocking halves" if way == Way::BlockingHalves => {
            vec![vec![Step::Error(ErrorKind::WouldBlock)]]
        }
        "fails" => [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::Other]
            .map(|kind| vec![Step::Error(kind)])
            .into(),
        "ends" => vec![vec![Step::Eof]],
        "claims more than there was room for" => {
            let most = if way.is_tokio() { 1 << 20 } else { usize::MAX };
            vec![vec![Step::Claims(TOO_MANY)], vec![Step::Claims(most)]]
        }
        "reads into another buffer, tokio" if way.is_tokio() => {
            [1, 64 * 1024].map(|size| vec![Step::Claims(size)]).into()
        }
        "takes back what it has read, tokio" if way.is_tokio() => {
            vec![vec![Step::TakesBack(b"taken back".to_vec())]]
        }
        "brings one byte at a time"
        | "would block"
        | "would block, blocking halves"
        | "reads into another buffer, tokio"
        | "takes back what it has read, tokio" => vec![],
        other => panic!("no such row: {other}"),
    }
}

/// Each error of this row by the name that they have in common.
fn generic(cell: String, row: &str, fault: &[Step]) -> String {
    match (row, fault.first()) {
        ("fails", Some(Step::Error(kind))) => cell.replace(&format!("Io({kind:?})"), "Io"),
        _ => cell,
    }
}

/// A12: whoever sends is told what whoever receives was told.
fn told_of_the_end(told: &Told, sent: &Result<(), Error>) {
    let sent = name(sent.as_ref().unwrap_err());
    match told.closed.as_ref().unwrap().is_clean() {
        true => assert_eq!(sent, "Closed"),
        false => assert_eq!(Some(&sent), told.errors.last()),
    }
}

/// A message, the fault in the middle of the next one, and the end.
fn receiving<W: Whole>(way: Way, role: Role, reads: &[Step], message: &Message) -> Told {
    let script = Script::reading(reads.iter().cloned());
    let ws: W = over(&script, role);
    let mut told = Told::default();
    let mut ended = |mut reader: W::Reader, writer: &mut W::Writer| {
        run(receive_all(&mut reader, &mut told));
        told_of_the_end(&told, &run(writer.send("late".into())));
        // Who closes is told of the same end.
        let closed = run(writer.close(CloseCode::NORMAL)).map_err(|error| name(&error)).err();
        assert!(closed.as_ref() == told.errors.last() || told.closed.as_ref().unwrap().is_clean());
        drop(reader);
    };
    if way.halves() {
        let (reader, mut writer) = ws.split();
        ended(reader, &mut writer);
    } else {
        let mut ws = ws;
        run(receive_all(&mut ws, &mut told));
        told_of_the_end(&told, &run(ws.send("late".into())));
    }
    let goes_on = told.messages.len() == 2;
    assert_eq!(told.messages[0], "before", "what came before it is given");
    assert!(!goes_on || told.messages[1] == *message);
    assert!(goes_on || !told.closed.as_ref().unwrap().is_clean(), "nothing is lost in silence");
    told
}

/// We have sent our Close, and wait for the peer's; or both are there, and we wait for the end.
fn closing<W: Whole>(way: Way, role: Role, reads: &[Step], behind: bool) -> Told {
    let script = Script::reading(reads.iter().cloned());
    let mut ws: W = over(&script, role);
    let mut told = Told::default();
    if behind {
        if way.halves() {
            let (mut reader, writer) = ws.split();
            run(receive_all(&mut reader, &mut told));
            drop(writer);
        } else {
            run(receive_all(&mut ws, &mut told));
        }
        return told;
    }
    fn close<S: Sends>(of: &mut S, told: &mut Told) {
        for _ in 0..TRIES {
            match run(of.close(CloseCode::NORMAL)) {
                Ok(()) => return,
                Err(error) => told.error(&error),
            }
            if of.closed().is_some() {
                return;
            }
        }
        panic!("it never ends: {told:?}");
    }
    if way.halves() {
        let (mut reader, mut writer) = ws.split();
        close(&mut writer, &mut told);
        run(receive_all(&mut reader, &mut told)); // the same error
    } else {
        close(&mut ws, &mut told);
        run(receive_all(&mut ws, &mut told));
    }
    told
}

fn reading_case<W: Whole>(
    way: Way,
    (role, row, column, fault): (Role, &str, &str, &[Step]),
    outcomes: &mut Vec<(String, String)>,
) {
    let close = frame(role, 0x88, b"\x03\xe8");
    let how = |more: String| format!("{way:?}, {role:?}, {fault:?}{more}");
    let in_bytes = |bytes: Vec<u8>| match row == "brings one byte at a time" {
        // The middle of what is large need not take that long.
        true => {
            let (front, rest) = bytes.split_at(bytes.len().min(400));
            let (middle, back) = rest.split_at(rest.len().saturating_sub(400));
            let bytewise = |bytes: &[u8]| -> Vec<Step> {
                bytes.iter().map(|byte| Step::Bytes(vec![*byte])).collect()
            };
            let middle = middle.chunks(997).map(|piece| Step::Bytes(piece.to_vec())).collect();
            [bytewise(front), middle, bytewise(back)].concat()
        }
        false => vec![Step::Bytes(bytes)],
    };
    match column {
        "while we close" | "behind both Closes" => {
            let behind = column == "behind both Closes";
            let reads = match behind {
                true => [in_bytes(close), fault.to_vec(), vec![Step::Eof]],
                false => [fault.to_vec(), in_bytes(close), vec![Step::Eof]],
            };
            let told = closing::<W>(way, role, &reads.concat(), behind);
            outcomes.push((how(String::new()), generic(told.cell(), row, fault)));
        }
        _ => {
            let (wire, cuts, message) = wires(role, column);
            for cut in cuts {
                let before = [&frame(role, 0x81, b"before"), &wire[..cut]].concat();
                let behind = [&wire[cut..], &close].concat();
                let reads = [in_bytes(before), fault.to_vec(), in_bytes(behind), vec![Step::Eof]];
                let told = receiving::<W>(way, role, &reads.concat(), &message);
                outcomes.push((how(format!(", at {cut}")), generic(told.cell(), row, fault)));
            }
        }
    }
}

#[test]
fn reading() {
    table::check("A read", 9, |row, column| {
        let mut outcomes = Vec::new();
        for (way, role) in WAYS.into_iter().flat_map(|way| BOTH.map(|role| (way, role))) {
            let faults = match row {
                "brings one byte at a time" => vec![vec![]],
                row => faults(way, row),
            };
            for fault in faults {
                let case = (role, row, column, &fault[..]);
                with_way!(way, reading_case(case, &mut outcomes));
            }
        }
        outcomes
    });
}

/// What a stream says of bytes that it has not brought cannot be told from bytes that it has: what
/// lies in the buffer is taken for them. It is looked at like everything that comes, and ends like it.
#[test]
fn bytes_that_never_came_are_looked_at_like_others() {
    fn case<W: Whole>(way: Way, role: Role, count: usize) {
        let before = frame(role, 0x81, b"before");
        let reads = [Step::Bytes(before), Step::Count(count), Step::Eof];
        let script = Script::reading(reads);
        let mut told = Told::default();
        let mut ws: W = over(&script, role);
        if way.halves() {
            run(receive_all(&mut ws.split().0, &mut told));
        } else {
            run(receive_all(&mut ws, &mut told));
        }
        assert_eq!(told.messages[0], "before");
        assert!(told.errors.len() <= 1, "{told:?}");
    }
    let _watchdog = crate::support::watchdog();
    for (way, role) in WAYS.into_iter().flat_map(|way| BOTH.map(|role| (way, role))) {
        for count in [1, 2, 15, 64 * 1024] {
            with_way!(way, case(role, count));
        }
    }
}
