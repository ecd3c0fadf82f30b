//! `forebay bench write`: mounts that are written to, and those of manifests.
//!
//! `plan` says what is measured, against what, and what is promised. Who serves is a process (`super::daemon`): ours, a
//! server that does nothing, or one that forwards everything. Who writes is a worker (`job`), who reads one of
//! `super::job`, or it is a program as it is (`programs`); CPU time is that of both together. Each case has directories
//! of its own on one file system (`place`), and both sides take turns in them (`side`).

mod job;
mod place;
mod plan;
mod programs;
mod side;

use indicatif::ProgressBar;

use super::answer;
use super::cases::{Baseline, Terms};
use super::report::{Report, Row, median};
use super::sample::Sample;
use super::turns::Turns;
use crate::args::BenchWriteArgs;
use crate::exit::Result;
use crate::progress;
use crate::session::Session;

pub(super) use job::{Orders, work};
use place::Field;
use plan::{Against, Case, What};
use side::Sides;

/// `forebay bench write`.
pub(crate) fn run(session: &Session, args: &BenchWriteArgs) -> Result<()> {
    let mut cases = plan::cases(args)?;
    cases.retain(is_possible);
    let mut report = Report::new(
        "write",
        "files on one file system; chunk-first: 30 ms, 90 MB/s per connection",
    );
    let turns = Turns::warmed(args.runs.max(1));
    let bar = progress::items(session.output, cases.len() as u64 * turns.steps(), "runs");
    session.block_on_uncaught(async {
        let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        let field = Field::new(session, args)?;
        for case in &cases {
            let (ours, theirs) = samples(&field, case, turns, &bar).await?;
            report.rows.push(Row::compare(&terms(case), &ours, &theirs));
            report.notes.extend(note(args, case, &ours, &theirs));
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    answer(session, &report, args.plot.as_deref())
}

/// Whether the program that it needs is there.
fn is_possible(case: &Case) -> bool {
    let Some(program) = case.program() else {
        return true;
    };
    let is_there = super::peers::is_installed(program);
    if !is_there {
        tracing::warn!("{program} is not installed: {} is left out", case.name);
    }
    is_there
}

/// Ours and the other take turns; the first turn of each warms it up and does not count.
async fn samples(
    field: &Field<'_>,
    case: &Case,
    turns: Turns,
    bar: &ProgressBar,
) -> Result<(Vec<Sample>, Vec<Sample>)> {
    let mut sides = Sides::new(field, case)?;
    Box::pin(turns.take(bar, async |who| sides.turn(who).await)).await
}

fn terms(case: &Case) -> Terms {
    Terms {
        case: case.name.to_owned(),
        measure: case.measure,
        baseline: match case.against {
            Against::Native => Baseline::Run("native"),
            Against::Memory => Baseline::Run("a server that does nothing"),
            Against::Mirror => Baseline::Run("a mirror"),
            Against::Figure(name, figure) => Baseline::Figure(name, figure),
        },
        goal: case.goal,
        most_fetched: None,
    }
}

/// What no column has: CPU time of programs, and the memory of one file.
fn note(args: &BenchWriteArgs, case: &Case, ours: &[Sample], theirs: &[Sample]) -> Option<String> {
    let of = |samples: &[Sample], figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
    match case.what {
        What::Clone | What::Build => {
            let cpu = of(ours, |s| s.cpu_seconds).zip(of(theirs, |s| s.cpu_seconds));
            cpu.map(|(ours, theirs)| {
                format!("{}: {ours:.2} s of CPU time, the other {theirs:.2} s", case.name)
            })
        }
        What::Memory => of(ours, |s| s.rss_mib).map(|mib| {
            let bytes = mib * f64::from(1 << 20) / args.entries.max(1) as f64;
            format!("{}: {bytes:.0} bytes of memory a file", case.name)
        }),
        What::New | What::Again(_) | What::Read(..) | What::Chunk | What::Mount => None,
    }
}
