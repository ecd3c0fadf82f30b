//! All cases: what is done, against what, and what is promised.

use forebay_types::ByteSize;

use super::{Against, Case, Kind, Side, What};
use crate::args::{BenchDirectArgs, FileSizes};
use crate::commands::bench::direct::fio::FioJob;
use crate::commands::bench::direct::job::{By, Cut, Job, Threads, Through};
use crate::commands::bench::direct::pages::Before;

const K: u64 = 1 << 10;
pub(super) const M: u64 = 1 << 20;
pub(super) const G: u64 = 1 << 30;

/// Requests of reads in order, and whether they are measured when no cases are named.
pub(super) const BLOCKS: [(u64, bool); 10] = [
    (4 * K, true),
    (16 * K, false),
    (64 * K, false),
    (128 * K, true),
    (256 * K, false),
    (512 * K, false),
    (M, true),
    (4 * M, true),
    (16 * M, false),
    (64 * M, true),
];

/// Random blocks, how many at a time, and the ratio to fio that is promised.
const RANDOM: [(u64, &[usize], f64); 2] = [(4 * K, &[1, 8, 32], 0.9), (128 * K, &[1, 8], 0.95)];

/// Whole small files.
const SMALL: [u64; 4] = [64 * K, 256 * K, M, 3 * M];
const AT_ONCE: usize = 16;
/// Within 1.1 times the time of a plain loop.
const SMALL_GOAL: f64 = 0.91;

/// Files for the range engine to show what it is for.
const MEDIUM: [u64; 3] = [4 * M, 32 * M, 100 * M];
const LARGE: [u64; 2] = [100 * M, G];

/// What a large request is compared with: one that has the disk at its ceiling.
const CEILING: (u64, usize) = (4 * M, 4);

/// The promise for what is compared with fio at the same depth.
const FIO_GOAL: f64 = 0.95;

const USUAL_DEPTH: usize = 8;

/// Of one run in order.
pub(super) const MOST_REQUESTS: u64 = 16_384;

/// All cases that a file of `size` bytes allows, with the block and the depth that were asked for.
pub(super) fn possible(args: &BenchDirectArgs, size: u64) -> Vec<Case> {
    let depth = args.depth.unwrap_or(USUAL_DEPTH);
    let blocks = match args.block {
        Some(block) => vec![(block.bytes(), true)],
        None => BLOCKS.to_vec(),
    };
    let mut cases: Vec<Case> = blocks
        .into_iter()
        .filter(|(block, _)| *block <= size)
        .flat_map(|(block, usual)| {
            let one = sequential(block, depth, usual, size, Threads::One);
            let all = || sequential(block, depth, usual, size, Threads::All);
            // Where requests are small, it is they that the threads share.
            std::iter::once(one).chain((block <= 128 * K && depth > 1).then(all))
        })
        .collect();
    for (block, depths, goal) in RANDOM {
        let depths = args.depth.map_or(depths.to_vec(), |depth| vec![depth]);
        let depths = depths.into_iter().filter(|_| block <= size);
        for depth in depths {
            cases.push(random(block, depth, goal, Threads::One));
            if depth > 1 {
                cases.push(random(block, depth, goal, Threads::All));
            }
        }
    }
    cases.extend([true, false].map(|engine| whole(engine, size)));
    cases.extend(page_cache());
    cases.push(versus());
    let class = |class, sizes: &[u64]| -> Vec<Case> {
        let of_size = |size: &u64| whole_files(class, *size);
        sizes.iter().flat_map(of_size).collect()
    };
    cases.extend(class(FileSizes::Small, &SMALL));
    cases.extend(class(FileSizes::Medium, &MEDIUM));
    cases.extend(class(FileSizes::Large, &LARGE));
    cases
}

fn sequential(block: u64, depth: usize, usual: bool, size: u64, on: Threads) -> Case {
    // A run takes a second and a half at most: each block is a request of its own, of 100 µs where it is alone.
    let bytes = size.min(G).min(block * MOST_REQUESTS) / block * block;
    let ours = |depth| {
        cold(What::Run(Job::Stream {
            through: Through::Disk,
            bytes: Some(bytes),
            cut: Cut::Blocks { block, depth },
            warmed: true,
            on,
        }))
    };
    let name = format!("seq-{}{}", short(block), suffix(on));
    let single = (depth > 1).then(|| Against {
        row: format!("{name}/single"),
        baseline: "one request at a time",
        side: ours(1),
        // One small request at a time leaves the disk idle while it is asked for; a large one does not.
        goal: Some(if block <= 128 * K { 1.5 } else { 1.0 }),
    });
    let fio = FioJob::in_order(block, depth, bytes);
    let fio = against_fio(&name, fio, FIO_GOAL);
    Case {
        against: std::iter::once(fio).chain(single).collect(),
        ours: ours(depth),
        name,
        kind: Kind::Sequential,
        usual,
    }
}

fn random(block: u64, depth: usize, goal: f64, on: Threads) -> Case {
    // One to two seconds: 100 to 200 µs each one after another, and a disk that does 50,000 a second.
    let reads = if block > 4 * K {
        8_000 * depth.min(2)
    } else {
        10_000 * depth.min(8)
    };
    let name = format!(
        "rand-{}-d{depth}{}",
        short(block).to_ascii_lowercase(),
        suffix(on)
    );
    let fio = FioJob::at_random(block, depth, reads as u64 * block);
    Case {
        against: vec![against_fio(&name, fio, goal)],
        ours: cold(What::Run(Job::Random {
            block,
            depth,
            reads,
            on,
        })),
        name,
        kind: Kind::Random,
        usual: true,
    }
}

fn whole(engine: bool, size: u64) -> Case {
    let name = format!("whole-engine-{}", if engine { "on" } else { "off" });
    let (block, depth) = CEILING;
    let bytes = size / block * block;
    let fio = (bytes > 0).then(|| FioJob::in_order(block, depth, bytes));
    Case {
        against: fio
            .into_iter()
            .map(|fio| against_fio(&name, fio, FIO_GOAL))
            .collect(),
        ours: cold(What::Run(Job::Stream {
            through: Through::Disk,
            bytes: None,
            cut: Cut::Engine(engine),
            warmed: true,
            on: Threads::All,
        })),
        name,
        kind: Kind::Whole { engine },
        usual: true,
    }
}

/// A whole file in a new process, nothing of it prepared.
fn one_read(through: Through, cut: Cut) -> What {
    What::Run(Job::Stream {
        through,
        bytes: None,
        cut,
        warmed: false,
        on: Threads::All,
    })
}

fn page_cache() -> Vec<Case> {
    let case = |name: &str, before, cut| Case {
        name: name.to_owned(),
        kind: Kind::PageCache,
        usual: true,
        ours: Side {
            before,
            what: one_read(Through::PageCache, cut),
        },
        against: Vec::new(),
    };
    vec![
        case("file-cold", Before::Cold, Cut::Settings),
        case("file-cold-single", Before::Cold, Cut::Engine(false)),
        case("file-warm", Before::Warm, Cut::Settings),
        case("file-warm-single", Before::Warm, Cut::Engine(false)),
    ]
}

fn versus() -> Case {
    let name = "direct-vs-file-cold".to_owned();
    Case {
        against: vec![Against {
            row: name.clone(),
            baseline: "file://, cold",
            side: cold(one_read(Through::PageCache, Cut::Settings)),
            goal: None,
        }],
        ours: cold(one_read(Through::Disk, Cut::Settings)),
        name,
        kind: Kind::Versus,
        usual: true,
    }
}

fn whole_files(class: FileSizes, size: u64) -> Vec<Case> {
    let name = match class {
        FileSizes::Small => "small",
        FileSizes::Medium => "medium",
        FileSizes::Large => "large",
    };
    let name = format!("{name}-{}", short(size));
    // Half a GiB, but enough files for percentiles and not too many to make.
    let count = match class {
        FileSizes::Small => (512 * M / size).clamp(200, 4_000),
        FileSizes::Medium | FileSizes::Large => (512 * M).div_ceil(size),
    } as usize;
    let side = |at_a_time, by| Side {
        before: Before::AsItIs,
        what: What::Run(Job::Files { at_a_time, by }),
    };
    let case = |name: String, ours, baseline, theirs, goal| Case {
        against: vec![Against {
            row: name.clone(),
            baseline,
            side: theirs,
            goal,
        }],
        ours,
        name,
        kind: Kind::Files { class, size, count },
        usual: class == FileSizes::Small,
    };
    if class != FileSizes::Small {
        let [on, off] = [true, false].map(|engine| side(1, By::Engine(engine)));
        return vec![case(name, on, "range engine off", off, None)];
    }
    [(1, "", "plain loop"), (AT_ONCE, "-16", "16 plain threads")]
        .map(|(at_a_time, suffix, baseline)| {
            let [ours, theirs] = [By::Store, By::Plain].map(|by| side(at_a_time, by));
            case(
                format!("{name}{suffix}"),
                ours,
                baseline,
                theirs,
                Some(SMALL_GOAL),
            )
        })
        .into()
}

fn cold(what: What) -> Side {
    Side {
        before: Before::Cold,
        what,
    }
}

fn against_fio(row: &str, job: FioJob, goal: f64) -> Against {
    Against {
        row: row.to_owned(),
        baseline: "fio",
        side: cold(What::Fio(job)),
        goal: Some(goal),
    }
}

/// Of the cases that have a thread for each CPU where fio has one.
fn suffix(on: Threads) -> &'static str {
    match on {
        Threads::One => "",
        Threads::All => "-threads",
    }
}

/// `4K`, `64M`.
fn short(bytes: u64) -> String {
    let shown = ByteSize(bytes).to_string();
    shown.strip_suffix("iB").unwrap_or(&shown).to_owned()
}
