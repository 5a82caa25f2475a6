//! What each writes by itself: pongs, and Close frames.

use super::{
    Comparison, Entry,
    frames::{Item, Run, Setup},
    wire::{self, Fault},
};

pub(super) const LIST: &[Entry<Exchange>] = &[
    Entry {
        id: "close-answer-without-reason",
        sections: "both allowed by §5.5.1",
        applies: |exchange| exchange.answered().is_some_and(|(_, reason)| !reason.is_empty()),
    },
    Entry {
        id: "no-close-after-error",
        sections: "§7.1.7",
        applies: |exchange| exchange.fault.is_some() && exchange.closed_first.is_none(),
    },
    Entry {
        id: "pings-behind-own-close",
        sections: "§5.5.2",
        applies: |exchange| exchange.closed_first.is_some() && exchange.pings().count() > 0,
    },
    Entry {
        id: "pongs-pile-up",
        sections: "§5.5.3, §10.4",
        applies: |exchange| {
            exchange.stalled && exchange.closed_first.is_none() && exchange.pings().count() > 17
        },
    },
];

/// What came, and what it was answered under.
#[derive(Debug)]
pub(super) struct Exchange {
    items: Vec<Item>,
    fault: Option<Fault>,
    closed_first: Option<Option<(u16, &'static str)>>,
    stalled: bool,
}

impl Exchange {
    fn pings(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().filter_map(|item| match item {
            Item::Ping(payload) => Some(&payload[..]),
            _ => None,
        })
    }

    /// The body of a Close that was answered, if it has one.
    fn answered(&self) -> Option<&(u16, String)> {
        match self.items.last() {
            Some(Item::Close(frame)) if self.closed_first.is_none() => frame.as_ref(),
            _ => None,
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self.items.last(), Some(Item::Close(_))) && self.closed_first.is_none()
    }

    fn own_close(&self) -> Option<Written> {
        self.closed_first.map(close)
    }

    /// What this crate writes: all pongs, or of those that could not be written the first 16 and
    /// the last (§5.5.3); the peer's code; and the code of what went wrong.
    fn ours(&self) -> Vec<Written> {
        let mut pongs: Vec<&[u8]> = self.pings().collect();
        if self.stalled && pongs.len() > 17 {
            pongs.drain(16..pongs.len() - 1);
        }
        let mut written: Vec<Written> = self.own_close().into_iter().collect();
        written.extend(pongs.into_iter().map(pong));
        if self.is_answered() {
            written.push(close(self.answered().map(|(code, _)| (*code, ""))));
        }
        if let (Some(fault), None) = (self.fault, self.closed_first) {
            written.push(Written::Failure(code(fault)));
        }
        written
    }

    /// What tungstenite writes: all pongs until a Close is sent, and the peer's code and reason.
    fn theirs(&self) -> Vec<Written> {
        let mut written: Vec<Written> = self.own_close().into_iter().collect();
        if written.is_empty() {
            written.extend(self.pings().map(pong));
        }
        if self.is_answered() {
            written.push(close(self.answered().map(|(code, reason)| (*code, &reason[..]))));
        }
        written
    }
}

/// A frame that was written.
#[derive(Debug, PartialEq)]
pub(super) enum Written {
    Frame(u8, Vec<u8>),
    /// A Close with this code and any reason.
    Failure(u16),
}

impl Written {
    fn is(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::Frame(8, body), Self::Failure(code)) => body.starts_with(&code.to_be_bytes()),
            _ => self == expected,
        }
    }
}

fn pong(payload: &[u8]) -> Written {
    Written::Frame(10, payload.to_vec())
}

fn close(frame: Option<(u16, &str)>) -> Written {
    let body = frame.map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat());
    Written::Frame(8, body.unwrap_or_default())
}

/// §7.4.1
fn code(fault: Fault) -> u16 {
    match fault {
        Fault::Utf8 => 1007,
        Fault::TooManyFragments => 1008,
        Fault::TooBig { .. } => 1009,
        _ => 1002,
    }
}

/// The frames in what was written, which have to be right in themselves.
pub(super) fn written(bytes: &[u8], setup: &Setup) -> Vec<Written> {
    let frames = wire::frames(bytes);
    let frame = |frame: wire::Frame| {
        assert!(frame.complete && frame.fin && frame.reserved == 0, "{frame:?}");
        assert!(!frame.is_length_padded() && frame.payload.len() <= 125, "{frame:?}");
        assert_eq!(frame.masked, Some(setup.limits.client), "{frame:?}");
        Written::Frame(frame.opcode, frame.payload)
    };
    frames.into_iter().map(frame).collect()
}

/// The two agreed to the end on what came, or failed alike.
pub(super) fn compare(
    setup: &Setup,
    items: &[Item],
    fault: Option<Fault>,
    ours: &Run,
    theirs: &Run,
    comparison: &mut Comparison,
) {
    let exchange = Exchange {
        items: items.to_vec(),
        fault,
        closed_first: setup.closed_first,
        stalled: setup.stalled,
    };
    check(&written(&ours.written, setup), &exchange.ours(), true);
    check(&written(&theirs.written, setup), &exchange.theirs(), true);
    add(&exchange, comparison);
    let same = exchange.ours() == exchange.theirs();
    assert_eq!(same, !LIST.iter().any(|entry| (entry.applies)(&exchange)), "{exchange:?}");
}

/// As [`compare`], of what was answered before they parted.
pub(super) fn compare_fronts(
    setup: &Setup,
    items: &[Item],
    ours: &Run,
    theirs: &Run,
    comparison: &mut Comparison,
) {
    let exchange = Exchange {
        items: items.to_vec(),
        fault: None,
        closed_first: setup.closed_first,
        stalled: setup.stalled,
    };
    // What could not be written at all may have been replaced since.
    if setup.stalled {
        return;
    }
    check(&written(&ours.written, setup), &exchange.ours(), false);
    check(&written(&theirs.written, setup), &exchange.theirs(), false);
    add(&exchange, comparison);
}

fn add(exchange: &Exchange, comparison: &mut Comparison) {
    for entry in LIST.iter().filter(|entry| (entry.applies)(exchange)) {
        comparison.add(entry.id);
    }
}

/// All of `expected` was written, and nothing else, or nothing else in front.
fn check(written: &[Written], expected: &[Written], all: bool) {
    let front = &written[..written.len().min(expected.len())];
    assert!(
        front.len() == expected.len()
            && (!all || written.len() == expected.len())
            && front.iter().zip(expected).all(|(written, expected)| written.is(expected)),
        "written {written:?}, expected {expected:?}"
    );
}
