//! `forebay bench mount`: reading through a mount.
//!
//! `plan` says what is measured, against what, and what is promised. Who serves is a process (`super::daemon`): ours, a server
//! that does nothing but answer from memory, or somebody else's mount (`peers`). Who reads is a worker (`super::job`), or a
//! program as it is (`ls`). CPU time is that of both together. Ours and the other take turns. Torrents are `super::torrent`.

mod peers;
mod plan;
mod side;

use indicatif::ProgressBar;

use super::answer;
use super::cases::{Baseline, Terms};
use super::report::{Report, Row};
use super::sample::Who;
use super::server::{LabProcess, LabSpec};
use super::turns::Turns;
use crate::args::BenchMountArgs;
use crate::exit::Result;
use crate::progress;
use crate::session::Session;

use plan::{Against, Case};
use side::{Field, Side};

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
        ..LabSpec::default()
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
