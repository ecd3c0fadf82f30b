//! What `fuzz/run` starts from, and the same function without libFuzzer: each seed as it is and changed in many ways, the
//! same at each run.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::PathBuf;

#[path = "../../../fuzz/src/manifest.rs"]
#[expect(unreachable_pub, reason = "fuzz/ has it as a module of a library")]
mod target;

fn in_crate(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), path].iter().collect()
}

fn files_in(path: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(in_crate(path))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                fs::read(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// The fixtures that are small, in one line as they are.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = files_in("tests/fixtures/v2023");
    seeds.extend(files_in("tests/fixtures/draft"));
    seeds.retain(|(_, bytes)| bytes.len() < 4096);
    seeds
}

#[test]
#[ignore = "writes the seeds: to be run when a fixture was added"]
fn write_seeds() {
    let dir = in_crate("../../fuzz/seeds/manifest");
    fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in seeds() {
        fs::write(dir.join(format!("{name}.json")), bytes).unwrap();
    }
}

#[test]
fn seeds_are_the_fixtures() {
    let mut expected = seeds();
    expected.sort();
    assert!(files_in("../../fuzz/seeds/manifest") == expected);
}

#[test]
fn nothing_panics_whatever_the_bytes() {
    target::manifest(&[]);
    let seeds = seeds();
    let mut random = fastrand::Rng::with_seed(7);
    for (_, seed) in &seeds {
        target::manifest(seed);
        for _ in 0..(2_000_000 / (seed.len() + 1)).clamp(50, 3000) {
            let (_, other) = &seeds[random.usize(..seeds.len())];
            target::manifest(&changed(seed, other, &mut random));
        }
    }
}

/// Pieces that mean something in a manifest.
const WORDS: [&str; 20] = [
    "\"",
    "\\",
    "\\u",
    "\\udcff",
    "\\ud83d",
    "..",
    "/",
    "$0/",
    "$1/",
    "{",
    "}",
    "[",
    "]",
    ",",
    "-1",
    "true",
    "0",
    "9999999999",
    r#""delete":true,"#,
    r#""runnable":true,"#,
];

/// `seed` after some changes, most of which leave it JSON.
fn changed(seed: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = at + random.usize(..=(bytes.len() - at).min(8));
        match random.u8(..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..end, random.choice(WORDS).unwrap().bytes())),
            3 => drop(bytes.splice(at..at, random.choice(WORDS).unwrap().bytes())),
            // Letters and digits for others: hashes, numbers, names.
            4 => bytes[at..end]
                .iter_mut()
                .filter(|byte| byte.is_ascii_alphanumeric())
                .for_each(|byte| *byte = random.alphanumeric() as u8),
            _ => {
                let from = random.usize(..=other.len());
                let to = from + random.usize(..=(other.len() - from).min(100));
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    bytes
}
