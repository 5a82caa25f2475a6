//! All targets over the seeds and over mutations of them, without a fuzzer.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

/// Mutations of all seeds of one target together.
const MUTATIONS: usize = 4000;

/// The seeds of a target by name, in the order of their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// Runs a target; if it panics, the input is shown as well.
fn run(name: &str, target: fullduplex_fuzz::Target, seed: &str, data: &[u8]) -> bool {
    panic::catch_unwind(AssertUnwindSafe(|| target(data))).unwrap_or_else(|panic| {
        eprintln!("{name}, from seed {seed}: b\"{}\"", data.escape_ascii());
        panic::resume_unwind(panic)
    })
}

/// Whoever adds a target has it in all the places.
#[test]
fn each_target_has_all_its_parts() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names: Vec<_> = fullduplex_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    let manifest = fs::read_to_string(here.join("Cargo.toml")).unwrap();
    let bins: Vec<_> = manifest
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("{ name = \""))
        .filter_map(|line| line.split('"').next())
        .collect();
    assert_eq!(bins, names, "bins in Cargo.toml against TARGETS");
    let readme = fs::read_to_string(here.join("README.md")).unwrap();
    for name in &names {
        assert!(here.join("dict").join(name).is_file(), "{name} has no dictionary");
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in README.md");
    }
    let explained = fs::read_to_string(here.join("SEEDS.md")).unwrap();
    for name in &names {
        let (_, here) = explained.split_once(&format!("\n## {name}\n")).unwrap_or_default();
        let here = here.split_once("\n## ").map_or(here, |(here, _)| here);
        for (seed, _) in seeds(name) {
            let seed = format!("`{seed}`");
            let explained = here.contains(&seed) || readme.contains(&seed);
            assert!(explained, "{name}: {seed} is neither in SEEDS.md nor in README.md");
        }
    }
    let mut folders: Vec<_> = fs::read_dir(here.join("seeds"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(folders, sorted, "folders of seeds against TARGETS");
}

/// What is named `bad-…` is refused, everything else is accepted.
#[test]
fn seeds_are_what_their_names_say() {
    for (name, target) in fullduplex_fuzz::TARGETS.iter().copied() {
        for (seed, data) in seeds(name) {
            assert_eq!(run(name, target, &seed, &data), !seed.starts_with("bad-"), "{name}/{seed}");
        }
    }
}

#[test]
fn mutated_seeds() {
    for (name, target) in fullduplex_fuzz::TARGETS.iter().copied() {
        let seeds = seeds(name);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for i in 0..MUTATIONS {
            let (seed, data) = &seeds[i % seeds.len()];
            let mut data = data.clone();
            for _ in 0..=random.below(3) {
                mutate(&mut data, &seeds, &mut random);
            }
            run(name, target, seed, &data);
        }
    }
}

/// One change of the kinds that fuzzers make.
fn mutate(data: &mut Vec<u8>, seeds: &[(String, Vec<u8>)], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let end = at + random.below(data.len() - at + 1).min(16);
    match random.below(7) {
        0 if at < data.len() => data[at] ^= 1 << random.below(8),
        1 if at < data.len() => data[at] = random.next() as u8,
        2 => data.insert(at, random.next() as u8),
        3 => drop(data.drain(at..end)),
        4 => data.truncate(at),
        5 => {
            let again = data[at..end].to_vec();
            data.splice(at..at, again);
        }
        _ => {
            let (_, other) = &seeds[random.below(seeds.len())];
            data.truncate(at);
            data.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
    }
}

/// xorshift64*: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
