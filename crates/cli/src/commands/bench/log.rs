//! `forebay bench log`: topics written to the lab and read back.
//!
//! `plan` says what is measured, against what, and what is promised. Each run is a worker (`work`): a log over the lab's
//! bucket, its metadata and its cache in a scratch directory of the whole bench, where `prepare` has put topics. Ours and
//! what it is compared with take turns.

mod plan;
mod prepare;
mod produce;
mod read;
mod values;
mod work;

use forebay_log::{LogError, TopicName};
use forebay_types::ErrorKind;
use indicatif::ProgressBar;

use super::answer;
use super::cases::Terms;
use super::report::{Report, Row};
use super::sample::{Sample, Who};
use super::server::{LabProcess, LabSpec};
use super::turns::Turns;
use super::worker::{self, Orders};
use crate::args::BenchLogArgs;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

use plan::Case;
pub(super) use work::{Spec, work};

/// `forebay bench log`.
pub(crate) fn run(session: &Session, args: &BenchLogArgs) -> Result<()> {
    let cases = plan::cases(args)?;
    let lab = LabProcess::start(&LabSpec {
        standard: true,
        big: args.size.bytes(),
        exact: args.size.bytes(),
        ..LabSpec::default()
    })?;
    let mut report = Report::new(
        "log",
        "standard: 30 ms, 90 MB/s per connection; values half random bytes, half words",
    );
    let turns = Turns::warmed(args.runs.max(1));
    let bar = progress::items(session.output, cases.len() as u64 * turns.steps(), "runs");
    let scratch = super::prepare::scratch(session)?;
    session.block_on_uncaught(async {
        let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        let bench = Bench {
            session,
            args,
            lab: &lab,
            scratch: scratch.path(),
        };
        for case in &cases {
            report.rows.push(bench.row(case, &bar).await?);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    answer(session, &report, args.plot.as_deref())
}

/// What all runs share.
struct Bench<'a> {
    session: &'a Session,
    args: &'a BenchLogArgs,
    lab: &'a LabProcess,
    scratch: &'a std::path::Path,
}

impl Bench<'_> {
    async fn row(&self, case: &Case, bar: &ProgressBar) -> Result<Row> {
        if case.job.wants_topic() {
            self.sample(case, Who::Prepare).await?;
        }
        let turn = async |who: Who| match who == Who::Baseline && !case.has_other_run() {
            true => Ok(None),
            false => self.sample(case, who).await.map(Some),
        };
        let turns = Turns::warmed(self.args.runs.max(1));
        let (ours, theirs) = turns.take(bar, turn).await?;
        let terms = Terms {
            case: case.name.clone(),
            measure: case.measure,
            baseline: case.baseline,
            goal: case.goal,
            most_fetched: None,
        };
        Ok(Row::compare(&terms, &ours, &theirs))
    }

    async fn sample(&self, case: &Case, who: Who) -> Result<Sample> {
        let fresh = super::prepare::scratch(self.session)?;
        let spec = Spec {
            who,
            job: case.job,
            shape: case.shape,
            size: self.args.size.bytes(),
            connections: self.args.connections,
            endpoint: self.lab.endpoint().to_owned(),
            dir: self.scratch.to_owned(),
            fresh: fresh.path().to_owned(),
            postgres: self.args.postgres.clone(),
            config: self.session.config_flag.clone(),
        };
        let sample = worker::sample(&Orders::Log(spec), &case.name).await?;
        // The next run finds a disk that has nothing left to do for this one.
        drop(fresh);
        rustix::fs::sync();
        Ok(sample)
    }
}

fn topic(name: &str) -> Result<TopicName> {
    Ok(TopicName::new(name).map_err(LogError::from)?)
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Internal, error.to_string())
}
