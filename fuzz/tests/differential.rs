//! The list of known differences with tungstenite: each is shown by a seed, and documented.

use fullduplex_fuzz::differential::{compare, list};
use std::{collections::BTreeSet, fs, path::Path};

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/differential");
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut seeds: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

/// A seed is named for the one difference that it shows, or `same-…`; behind a dot comes how it
/// shows it.
#[test]
fn each_seed_shows_what_it_is_named_for() {
    let mut shown = BTreeSet::new();
    for (name, data) in seeds() {
        let differences = compare(&data).unwrap().differences;
        let id = name.strip_prefix("bad-").unwrap_or(&name);
        let id = id.split('.').next().unwrap();
        if id.starts_with("same-") {
            assert!(differences.is_empty(), "{name}: {differences:?}");
        } else {
            assert_eq!(differences, [id], "{name}");
            shown.insert(id.to_string());
        }
    }
    let listed: BTreeSet<String> = list().iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(listed.len(), list().len(), "a name is there twice");
    assert_eq!(listed, shown, "listed, and shown by a seed");
}

/// The page for people who migrate has one row for each entry, in this order, with these sections.
#[test]
fn the_documentation_has_the_same_list() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences-from-tungstenite.md");
    let page = fs::read_to_string(page).unwrap();
    let rows: Vec<(&str, &str)> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [id, tungstenite, ours, sections] = cells[..] else { panic!("{line}") };
            assert!(!tungstenite.is_empty() && !ours.is_empty(), "{line}");
            (id.trim_matches('`'), sections)
        })
        .collect();
    assert_eq!(rows, list());
}

/// The page names the release that it is about.
#[test]
fn the_documentation_names_the_release_that_is_compared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap();
    let (_, package) = lock.split_once("name = \"tungstenite\"\nversion = \"").unwrap();
    let (version, _) = package.split_once('"').unwrap();
    let page = fs::read_to_string(folder.join("../docs/differences-from-tungstenite.md")).unwrap();
    assert!(page.contains(&format!("tungstenite {version}")), "{version}");
}
