use super::table::{BLOCKS, G, M, MOST_REQUESTS};
use super::*;
use crate::args::{Cli, Command};
use crate::commands::bench::direct::job::Cut;
use clap::Parser;

/// What `forebay bench direct f` and `options` choose for a file of 1 GiB.
fn chosen(options: &str) -> Result<Vec<Case>> {
    chosen_of(options, G)
}

fn chosen_of(options: &str, size: u64) -> Result<Vec<Case>> {
    let words = ["forebay", "bench", "direct", "f"].into_iter();
    let cli = Cli::try_parse_from(words.chain(options.split_whitespace())).unwrap();
    match cli.command {
        Command::Bench(crate::args::BenchCommand::Direct(args)) => cases(&args, size),
        other => panic!("{other:?}"),
    }
}

fn names(options: &str) -> String {
    let cases = chosen(options).unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.join(" ")
}

#[test]
fn options_choose() {
    let usual = "seq-4K seq-4K-threads seq-128K seq-128K-threads seq-1M seq-4M seq-64M rand-4k-d1 rand-4k-d8 \
                 rand-4k-d8-threads rand-4k-d32 rand-4k-d32-threads rand-128k-d1 rand-128k-d8 rand-128k-d8-threads \
                 whole-engine-on whole-engine-off file-cold file-cold-single file-warm file-warm-single \
                 direct-vs-file-cold small-64K small-64K-16 small-256K small-256K-16 small-1M small-1M-16 small-3M \
                 small-3M-16";
    for (options, expected) in [
        ("", usual),
        ("--cases seq-16K,file-cold", "seq-16K file-cold"),
        ("--cases seq-16K-threads", "seq-16K-threads"),
        (
            "--cases whole,small-64K",
            "whole-engine-on whole-engine-off small-64K",
        ),
        (
            "--cases rand-128k",
            "rand-128k-d1 rand-128k-d8 rand-128k-d8-threads",
        ),
        ("--sizes medium", "medium-4M medium-32M medium-100M"),
        ("--sizes large,medium --cases large-1G", "large-1G"),
        ("--block 8K", "seq-8K seq-8K-threads"),
        ("--block 4M --depth 2 --range-engine on", "seq-4M"),
        (
            "--depth 2 --cases seq-1M,rand",
            "seq-1M rand-4k-d2 rand-4k-d2-threads rand-128k-d2 rand-128k-d2-threads",
        ),
        ("--range-engine off", "whole-engine-off"),
        ("--range-engine on --engine pread", "whole-engine-on"),
        (
            "--engine pread --cases seq-4M,direct",
            "seq-4M direct-vs-file-cold",
        ),
    ] {
        assert_eq!(names(options), expected, "{options}");
    }
    assert!(!names("--engine pread").contains("file-cold-single"));
    let names = names("--cases seq");
    let one_thread = names.split(' ').filter(|name| !name.ends_with("-threads"));
    assert_eq!(one_thread.count(), BLOCKS.len());
}

#[test]
fn nonsense_is_refused() {
    for (options, part) in [
        ("--cases kangaroo", "no case 'kangaroo' here; there are seq-4K"),
        ("--cases file --engine pread", "no case 'file' here"),
        ("--range-engine off --block 4K", "neither --block nor --depth"),
        ("--block 5000", "not a multiple of 4KiB"),
        ("--depth 0", "let nothing through"),
        ("--sizes small --block 4K", "nothing to measure"),
    ] {
        let error = chosen(options).unwrap_err();
        assert_eq!(error.kind(), forebay_types::ErrorKind::Invalid);
        assert!(error.to_string().contains(part), "{options}: {error}");
    }
    assert!(
        chosen_of("--block 4M", M).is_err(),
        "a block larger than the file"
    );
}

#[test]
fn rows_have_their_goals() {
    let alone = chosen("--block 4K --depth 1").unwrap();
    assert_eq!(
        alone[0].against.len(),
        1,
        "one at a time is no baseline of itself"
    );
    for case in chosen("--cases seq").unwrap() {
        let [fio, single] = &case.against[..] else {
            panic!("{case:?}");
        };
        assert_eq!((fio.row.as_str(), fio.goal), (case.name.as_str(), Some(0.95)));
        assert_eq!(single.row, format!("{}/single", case.name));
        let is_small = ["4K", "16K", "64K", "128K"]
            .iter()
            .any(|block| case.name.trim_end_matches("-threads") == format!("seq-{block}"));
        assert_eq!(
            single.goal,
            Some(if is_small { 1.5 } else { 1.0 }),
            "{}",
            case.name
        );
    }
}

#[test]
fn runs_are_of_a_bearable_length() {
    for case in chosen("").unwrap() {
        for side in case.sides() {
            if let What::Run(Job::Stream {
                bytes,
                cut: Cut::Blocks { block, .. },
                ..
            }) = &side.what
            {
                let bytes = bytes.unwrap();
                assert!(bytes <= G && bytes / block <= MOST_REQUESTS, "{}", case.name);
            }
        }
        if let Some((size, count)) = case.files() {
            assert!(count >= 200 && size * count as u64 <= 700 * M, "{}", case.name);
        }
    }
}
