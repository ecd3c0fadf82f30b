//! What is measured: of all that is possible (`table`) what the options choose. Pure.

mod table;

use super::fio::FioJob;
use super::job::Job;
use super::pages::Before;
use crate::args::{BenchDirectArgs, FileSizes, Switch};
use crate::exit::{CliError, Result};

/// One thing that is measured.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    kind: Kind,
    /// Whether it is measured when no cases are named.
    usual: bool,
    ours: Side,
    /// A row each.
    pub(super) against: Vec<Against>,
}

/// What it is compared with.
#[derive(Debug)]
pub(super) struct Against {
    pub(super) row: String,
    pub(super) baseline: &'static str,
    side: Side,
    /// The ratio that docs/benchmarks.md promises.
    pub(super) goal: Option<f64>,
}

/// Who reads, and what the page cache has then.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) before: Before,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Run(Job),
    Fio(FioJob),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sequential,
    Random,
    Whole {
        engine: bool,
    },
    PageCache,
    Versus,
    Files {
        class: FileSizes,
        size: u64,
        count: usize,
    },
}

/// Blocks are multiples of it: any disk takes that.
const UNIT: u64 = 4096;

/// The cases that the options choose, for a file of `size` bytes.
pub(super) fn cases(args: &BenchDirectArgs, size: u64) -> Result<Vec<Case>> {
    check(args)?;
    if size == 0 {
        return Err(CliError::usage(
            "in a file without a byte there is nothing to measure",
        ));
    }
    let mut cases = table::possible(args, size);
    cases.retain(|case| is_wanted(case.kind, args));
    if args.cases.is_empty() {
        if args.sizes.is_empty() {
            cases.retain(|case| case.usual);
        }
    } else {
        let known: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        let mut chosen = Vec::new();
        for typed in &args.cases {
            chosen.extend(named(typed, &known)?);
        }
        cases.retain(|case| chosen.contains(&case.name));
    }
    if cases.is_empty() {
        return Err(CliError::usage("with these options there is nothing to measure")
            .hint("leave some of them out, or take a larger file"));
    }
    Ok(cases)
}

fn check(args: &BenchDirectArgs) -> Result<()> {
    if args.range_engine == Some(Switch::Off) && (args.block.is_some() || args.depth.is_some()) {
        return Err(CliError::usage(
            "without the range engine there is neither --block nor --depth",
        ));
    }
    if args.depth == Some(0) {
        return Err(CliError::usage("--depth 0 would let nothing through"));
    }
    match args.block {
        Some(block) if block.bytes() == 0 || !block.bytes().is_multiple_of(UNIT) => Err(CliError::usage(
            format!("--block {block} is not a multiple of 4KiB, which direct reads are made of"),
        )),
        _ => Ok(()),
    }
}

/// What was typed is a case, or the beginning of several.
fn named(typed: &str, known: &[String]) -> Result<Vec<String>> {
    if known.iter().any(|name| name == typed) {
        return Ok(vec![typed.to_owned()]);
    }
    let group = format!("{typed}-");
    let of_group: Vec<String> = known
        .iter()
        .filter(|name| name.starts_with(&group))
        .cloned()
        .collect();
    if of_group.is_empty() {
        return Err(CliError::usage(format!(
            "there is no case '{}' here; there are {}",
            forebay_types::printable(typed),
            known.join(", ")
        )));
    }
    Ok(of_group)
}

fn is_wanted(kind: Kind, args: &BenchDirectArgs) -> bool {
    let of_blocks = args.block.is_some() || args.depth.is_some();
    let by_blocks = match kind {
        Kind::Sequential => true,
        Kind::Random => args.block.is_none(),
        _ => !of_blocks,
    };
    let by_range_engine = match (args.range_engine, kind) {
        (None, _) => true,
        (Some(_), _) if of_blocks => true,
        (Some(switch), Kind::Whole { engine }) => engine == (switch == Switch::On),
        (Some(_), _) => false,
    };
    let by_engine = args.engine.is_none() || kind != Kind::PageCache;
    let by_sizes = match kind {
        _ if args.sizes.is_empty() => true,
        Kind::Files { class, .. } => args.sizes.contains(&class),
        _ => false,
    };
    by_blocks && by_range_engine && by_engine && by_sizes
}

impl Case {
    /// Ours first.
    pub(super) fn sides(&self) -> impl Iterator<Item = &Side> {
        std::iter::once(&self.ours).chain(self.against.iter().map(|against| &against.side))
    }

    /// Size and number of the files that it reads, if those are not the one that was named.
    pub(super) fn files(&self) -> Option<(u64, usize)> {
        match self.kind {
            Kind::Files { size, count, .. } => Some((size, count)),
            _ => None,
        }
    }

    pub(super) fn fio_jobs(&self) -> impl Iterator<Item = &FioJob> {
        self.sides().filter_map(|side| match &side.what {
            What::Fio(job) => Some(job),
            What::Run(_) => None,
        })
    }

    pub(super) fn wants_fio(&self) -> bool {
        self.fio_jobs().next().is_some()
    }
}

#[cfg(test)]
mod tests;
