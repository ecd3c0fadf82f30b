//! `forebay bench mount`: reading through a mount.
//!
//! `plan` says what is measured, against what, and what is promised. Who serves is a process (`daemon`): ours, a server
//! that does nothing but answer from memory, or somebody else's mount (`peers`). Who reads is a worker (`job`), or a
//! program as it is (`ls`). CPU time is that of both together. Ours and the other take turns. Torrents are `super::torrent`.

mod daemon;
mod job;
mod peers;
mod plan;
mod side;

use forebay_mount::MemoryMount;
use forebay_types::ErrorKind;
use indicatif::ProgressBar;

use super::answer;
use super::cases::{Baseline, Terms};
use super::report::{Report, Row};
use super::sample::{Sample, Who};
use super::server::{LabProcess, LabSpec};
use super::turns::Turns;
use crate::args::BenchMountArgs;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

#[cfg(feature = "torrent")]
pub(super) use daemon::Daemon;
pub(super) use daemon::memory;
#[cfg(feature = "torrent")]
pub(super) use job::{Job, in_threads};
pub(super) use job::{Orders, work};
use plan::{Against, Case};
use side::{Field, Side};
#[cfg(feature = "torrent")]
pub(super) use side::{forebay, largest, whole};

/// `forebay bench mount`.
pub(crate) fn run(session: &Session, args: &BenchMountArgs) -> Result<()> {
    if args.rqbit {
        return super::torrent::run(session, args);
    }
    let cases = plan::cases(args)?;
    // The first byte is asked of a file ten times as large.
    let lab = LabProcess::start(&LabSpec {
        standard: true,
        big: args.size.bytes() * 10,
        exact: args.size.bytes(),
        small: args.entries,
    })?;
    let mut report = Report::new("mount", "standard: 30 ms, 90 MB/s per connection, random bytes");
    let runs = args.runs.max(1);
    let bar = progress::items(
        session.output,
        cases.len() as u64 * Turns::warmed(runs).steps(),
        "runs",
    );
    session.block_on_uncaught(async {
        let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        let field = Field::new(session, args, &lab)?;
        for case in &cases {
            report.rows.push(row(&field, case, runs, &bar).await?);
        }
        if args.peers {
            report
                .rows
                .extend(peers::rows(&field, &cases, runs.min(3)).await?);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    answer(session, &report, args.plot.as_deref())
}

/// Ours and the other take turns; the first turn of each warms it up and does not count.
async fn row(field: &Field<'_>, case: &Case, runs: usize, bar: &ProgressBar) -> Result<Row> {
    let mut ours = Side::ours();
    let mut theirs = match case.against {
        Against::Native => Some(Side::Native),
        Against::Memory => Some(Side::memory(case)),
        Against::Get => Some(Side::Get),
        Against::BenchRead => Some(Side::BenchRead),
        Against::RawListing => Some(Side::RawListing),
        Against::Figure(..) | Against::Nothing => None,
    };
    let turn = async |who: Who| {
        let side = match who {
            Who::Ours => Some(&mut ours),
            Who::Baseline | Who::Prepare => theirs.as_mut(),
        };
        match side {
            Some(side) => side.sample(field, case).await.map(Some),
            None => Ok(None),
        }
    };
    let (us, them) = Turns::warmed(runs).take(bar, turn).await?;
    Ok(Row::compare(&terms(case), &us, &them))
}

fn terms(case: &Case) -> Terms {
    Terms {
        case: case.name.to_owned(),
        measure: case.measure,
        baseline: match case.against {
            Against::Native => Baseline::Run("native"),
            Against::Memory => Baseline::Run("a server that does nothing"),
            Against::Get => Baseline::Run("forebay get"),
            Against::BenchRead => Baseline::Run("bench read"),
            Against::RawListing => Baseline::Run("the listing alone"),
            Against::Figure(name, figure) => Baseline::Figure(name, figure),
            Against::Nothing => Baseline::None,
        },
        goal: case.goal,
        most_fetched: None,
    }
}

/// A sample of something that is not reading.
fn timed(seconds: f64, cpu_seconds: f64) -> Sample {
    Sample {
        seconds,
        cpu_seconds,
        p50_ms: Some(seconds * 1e3),
        ..Sample::default()
    }
}

pub(super) fn lost(what: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Unavailable, format!("{what}: {error}"))
}

/// The file in a mounted directory of the server that does nothing.
const NAME: &str = MemoryMount::NAME;
