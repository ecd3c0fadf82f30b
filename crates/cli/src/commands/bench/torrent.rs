//! `forebay bench mount --rqbit`: torrents of real sessions of rqbit, through a mount.
//!
//! `plan` says what is measured, against what, and what is promised. Sessions of rqbit are processes (`lab`), and so are
//! mounts; who reads is a worker (`job`), or curl. `player` says what it is to watch a film. While a film is downloaded
//! its only peer sends one and a half times what it takes to play it, and a new session begins with nothing for each run;
//! what is asked of a session goes through a proxy that counts, on both sides, but where throughput is measured.
//! `media` are the ways to read from rqbit without Forebay, `surplus` is a question about rqbit itself.

mod field;
mod http;
mod job;
mod lab;
mod media;
mod plan;
mod player;
mod side;
mod surplus;

use indicatif::ProgressBar;

use super::answer;
use super::cases::{Baseline, Terms};
use super::report::{Report, Row};
use super::turns::Turns;
use crate::args::BenchMountArgs;
use crate::exit::Result;
use crate::progress;
use crate::session::Session;

use field::Field;
pub(super) use job::{Orders, work};
pub(super) use lab::serve;
use plan::{Case, What};
use side::Sides;

/// `forebay bench mount --rqbit`.
pub(super) fn run(session: &Session, args: &BenchMountArgs) -> Result<()> {
    let cases = plan::cases(&args.cases)?;
    let profile = format!(
        "rqbit on loopback, random bytes, pieces of 1 MiB; while it is downloaded 1.5 x {:#}/s come",
        args.bitrate
    );
    let mut report = Report::new("mount", &profile);
    let steps: u64 = cases.iter().map(|case| turns(case, args).steps()).sum();
    let bar = progress::items(session.output, steps, "runs");
    session.block_on_uncaught(async {
        let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        let mut field = Field::new(session, args)?;
        for case in &cases {
            if case.what == What::Surplus {
                report.notes.extend(surplus::notes(&mut field)?);
                continue;
            }
            report.rows.push(row(&mut field, case, &bar).await?);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    answer(session, &report, args.plot.as_deref())
}

fn turns(case: &Case, args: &BenchMountArgs) -> Turns {
    Turns {
        runs: args.runs.max(1),
        warms_up: case.warms_up,
    }
}

async fn row(field: &mut Field<'_>, case: &Case, bar: &ProgressBar) -> Result<Row> {
    let terms = Terms {
        case: case.name.to_owned(),
        measure: case.measure,
        baseline: match case.baseline(field.has_curl) {
            Some(name) => Baseline::Run(name),
            None => Baseline::None,
        },
        goal: case.goal,
        most_fetched: None,
    };
    let turns = turns(case, field.args);
    let mut sides = Sides::new(field, case);
    let taken = turns.take(bar, async |who| sides.turn(who).await);
    let (ours, theirs) = Box::pin(taken).await?;
    let mut row = Row::compare(&terms, &ours, &theirs);
    (row.stalls_goal, row.streams_goal) = (case.stalls_goal, case.streams_goal);
    Ok(row)
}
