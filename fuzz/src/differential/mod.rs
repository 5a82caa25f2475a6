//! The same bytes into this crate and into tungstenite. Where the two differ, the difference is an
//! entry of a reviewed list, which is also a page of the documentation
//! (`docs/differences-from-tungstenite.md`); anything else is a finding.

mod answers;
mod frames;
mod head;
mod request;
mod response;
mod scripted;
mod wire;

use crate::Plan;

/// A known difference: its name, the sections that decide it, and when it is the one. What either
/// side does is said in the documentation.
struct Entry<C> {
    id: &'static str,
    sections: &'static str,
    /// Narrow: what it does not describe to the letter is another difference.
    applies: fn(&C) -> bool,
}

/// All entries, as name and sections, in the order of the documentation.
pub fn list() -> Vec<(&'static str, &'static str)> {
    fn names<C>(entries: &[Entry<C>]) -> impl Iterator<Item = (&'static str, &'static str)> {
        entries.iter().map(|entry| (entry.id, entry.sections))
    }
    names(frames::LIST)
        .chain(names(answers::LIST))
        .chain(names(request::LIST))
        .chain(names(response::LIST))
        .collect()
}

/// The one entry that `case` is.
fn explain<C: core::fmt::Debug>(entries: &[Entry<C>], case: &C) -> &'static str {
    let mut found = entries.iter().filter(|entry| (entry.applies)(case)).map(|entry| entry.id);
    match (found.next(), found.next()) {
        (Some(id), None) => id,
        (None, _) => panic!("a difference that is not on the list: {case:#?}"),
        (Some(one), Some(other)) => panic!("{one} and {other} at once: {case:#?}"),
    }
}

/// What a comparison came to.
pub struct Comparison {
    /// Whether this crate took the input.
    pub accepted: bool,
    /// The entries of the list that were met, without repetitions.
    pub differences: Vec<&'static str>,
}

impl Comparison {
    fn add(&mut self, id: &'static str) {
        if !self.differences.contains(&id) {
            self.differences.push(id);
        }
    }
}

/// `data` is a [`Plan`] and what the peer sends. Options `0x01`: to a client, not to a server;
/// `0x02`: the head of the opening handshake, not frames. The others are those of the kind.
pub fn compare(data: &[u8]) -> Option<Comparison> {
    let plan = Plan::new(data)?;
    Some(match plan.options & 3 {
        2 => request::compare(&plan),
        3 => response::compare(&plan),
        _ => frames::compare(&plan),
    })
}

/// The target: [`compare`].
pub fn differential(data: &[u8]) -> bool {
    compare(data).is_some_and(|comparison| comparison.accepted)
}
