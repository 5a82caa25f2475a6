//! The list of known differences with tungstenite: each is shown by a seed, and documented.

use fullduplex_fuzz::differential::{compare, list};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Cursor, Read, Write},
    path::Path,
};
use tungstenite::{
    WebSocket,
    protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
};

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
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences-from-tungstenite.md");
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

/// What the page says about that no seed can show.
#[test]
fn the_defaults_and_what_an_application_may_do_are_as_documented() {
    let theirs = WebSocketConfig::default();
    assert_eq!(theirs.max_message_size, Some(64 << 20));
    assert_eq!(theirs.max_frame_size, Some(16 << 20));
    assert_eq!(theirs.max_write_buffer_size, usize::MAX);
    assert!(!theirs.accept_unmasked_frames);

    // A reserved opcode; then a Close by hand, behind it.
    let mut socket = WebSocket::from_raw_socket(Cursor::new(vec![0x83, 0]), Role::Client, None);
    socket.read().unwrap_err();
    let frame = CloseFrame { code: CloseCode::Protocol, reason: "".into() };
    socket.close(Some(frame)).unwrap();
    let written = socket.into_inner().into_inner();
    assert_eq!((written.len(), &written[2..4]), (2 + 8, &[0x88, 0x82][..]));

    // A pong for each ping that waits, or as many as a limit allows.
    for (limit, pongs) in [(None, 1000), (Some(100), 16)] {
        let config = limit.map(|limit| {
            WebSocketConfig::default().write_buffer_size(0).max_write_buffer_size(limit)
        });
        let stream = Stalled { read: Cursor::new([0x89, 0].repeat(1000)), written: None };
        let mut socket = WebSocket::from_raw_socket(stream, Role::Client, config);
        while socket.read().is_ok() {}
        socket.get_mut().written = Some(Vec::new());
        socket.flush().unwrap();
        assert_eq!(socket.into_inner().written.unwrap().len(), 6 * pongs, "{limit:?}");
    }
}

/// Takes nothing as long as there is no room for it.
struct Stalled {
    read: Cursor<Vec<u8>>,
    written: Option<Vec<u8>>,
}

impl Read for Stalled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.read(buffer)
    }
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.written.as_mut().ok_or(io::ErrorKind::WouldBlock)?;
        written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.written.as_ref().map(|_| ()).ok_or(io::ErrorKind::WouldBlock.into())
    }
}
