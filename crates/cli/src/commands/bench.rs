//! `forebay bench`: figures that can be compared.
//!
//! Each run is a process of its own (`worker`), so that CPU time and peak memory are its own, and so is the lab
//! server ([`serve`]). Ours and the baseline take turns, A B A B; medians are shown, the first pair is thrown away.
//! `cases` says what is measured and what docs/benchmarks.md promises, `engine` and `cached` do it, `report` says what
//! comes out. Caches of runs are temporary directories beside the user's. Disks are measured by `direct`, mounts by `mount` and
//! `write`, topics by `log`, torrents by `torrent`. Mounts are processes (`daemon`), their readers workers (`job`).

mod cached;
mod cases;
mod daemon;
mod direct;
mod engine;
mod job;
mod log;
mod mount;
mod peers;
mod plot;
mod prepare;
mod program;
mod report;
mod sample;
mod server;
#[cfg(feature = "torrent")]
mod torrent;
#[cfg(not(feature = "torrent"))]
#[path = "bench/torrent/missing.rs"]
mod torrent;
mod turns;
mod work;
mod worker;
mod write;

pub(crate) use direct::run as direct;
pub(crate) use log::run as log;
pub(crate) use mount::run as mount;
pub(crate) use sample::cpu_time;
pub(crate) use work::lab_options;
pub(crate) use write::run as write;

use std::path::Path;

use forebay_source::{Location, Scheme};
use indicatif::ProgressBar;

use crate::args::{BenchReadArgs, LabProfile};
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

use cases::{Baseline, CacheBefore, Case, Subject};
use report::{Report, Row};
use sample::{Place, Sample, Spec, Who};
use server::{LabProcess, LabSpec};
use turns::Turns;
use worker::Orders;

/// `forebay bench read`.
pub(crate) fn read(session: &Session, args: &BenchReadArgs) -> Result<()> {
    let cases = Case::chosen(&args.cases, subject(args)?)?;
    let start = || {
        LabProcess::start(&LabSpec {
            standard: args.profile == LabProfile::Standard,
            // The memory case reads ten times the size.
            big: args.size.bytes() * 10,
            exact: args.size.bytes(),
            small: args.objects,
            ..LabSpec::default()
        })
    };
    let lab = args.lab.then(start).transpose()?;
    let profile = match (&lab, args.profile) {
        (None, _) => "as it is".to_owned(),
        (Some(_), LabProfile::Standard) => "standard: 30 ms, 90 MB/s per connection, random bytes".to_owned(),
        (Some(_), LabProfile::Loopback) => "loopback, random bytes".to_owned(),
    };
    let mut report = Report::new("read", &profile);
    let runs = args.runs.max(1);
    let bar = progress::items(
        session.output,
        cases.len() as u64 * Turns::warmed(runs).steps(),
        "runs",
    );
    let bench = Bench {
        session,
        args,
        lab: lab.as_ref(),
    };
    // An interrupt reaches the worker too, and what it leaves is cleared away here when it has ended.
    session.block_on_uncaught(async {
        let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        for case in &cases {
            report.rows.push(bench.row(*case, &bar).await?);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    if args.peers
        && let Some(lab) = &lab
    {
        report.rows.extend(peers::rows(args, lab)?);
    }
    answer(session, &report, args.plot.as_deref())
}

/// How every bench ends: its chart, if one is wanted, and its report.
fn answer(session: &Session, report: &Report, plot: Option<&Path>) -> Result<()> {
    if let Some(path) = plot {
        std::fs::write(path, plot::bars(report)).map_err(|e| CliError::local(path, "write", &e))?;
    }
    session.output.answer(report, || report.text())
}

fn subject(args: &BenchReadArgs) -> Result<Subject> {
    let Some(url) = &args.url else {
        return Ok(Subject::Lab);
    };
    Ok(match url.parse::<Location>()?.scheme() {
        Scheme::File | Scheme::Direct => Subject::LocalFile,
        _ => Subject::Object,
    })
}

/// One run, in this process.
pub(crate) fn worker(session: &Session) -> Result<()> {
    worker::run(session)
}

/// The mount that does nothing, in this process, until standard input ends.
pub(crate) fn memory() -> Result<()> {
    daemon::memory()
}

/// The mount that forwards everything, in this process, until standard input ends.
pub(crate) fn mirror() -> Result<()> {
    daemon::mirror()
}

/// A session of rqbit, in this process, until standard input ends.
pub(crate) fn torrents() -> Result<()> {
    torrent::serve()
}

/// The lab server, in this process, until standard input ends.
pub(crate) fn serve() -> Result<()> {
    server::serve(&worker::orders()?)
}

/// What all runs share.
struct Bench<'a> {
    session: &'a Session,
    args: &'a BenchReadArgs,
    lab: Option<&'a LabProcess>,
}

impl Bench<'_> {
    async fn row(&self, case: Case, bar: &ProgressBar) -> Result<Row> {
        let budget = self.session.engine.budget().total() as f64 / f64::from(1 << 20);
        let terms = case.terms(self.lab.map(|_| self.args.profile), budget);
        let others = match terms.baseline {
            Baseline::Raw => self.lab.is_some(),
            Baseline::Run(_) => true,
            Baseline::Figure(..) | Baseline::None => false,
        };
        let prepared = match case.cache() {
            CacheBefore::Whole | CacheBefore::Crowded => Some(prepare::scratch(self.session)?),
            CacheBefore::Empty | CacheBefore::None => None,
        };
        if let Some(dir) = &prepared {
            self.sample(case, Who::Prepare, Some(dir.path())).await?;
        }
        let turn = async |who: Who| {
            if who == Who::Baseline && !others {
                return Ok(None);
            }
            let fresh = match case.cache() {
                CacheBefore::Empty => Some(prepare::scratch(self.session)?),
                _ => None,
            };
            let dir = fresh.as_ref().or(prepared.as_ref()).map(tempfile::TempDir::path);
            self.sample(case, who, dir).await.map(Some)
        };
        let turns = Turns::warmed(self.args.runs.max(1));
        let (ours, theirs) = turns.take(bar, turn).await?;
        Ok(Row::compare(&terms, &ours, &theirs))
    }

    async fn sample(&self, case: Case, who: Who, cache_dir: Option<&Path>) -> Result<Sample> {
        let orders = Orders::Read(self.spec(case, who, cache_dir)?);
        worker::sample(&orders, case.name()).await
    }

    fn spec(&self, case: Case, who: Who, cache_dir: Option<&Path>) -> Result<Spec> {
        let place = match (self.lab, &self.args.url) {
            (Some(lab), _) => Place::Lab(lab.endpoint().to_owned()),
            (None, Some(url)) => Place::Url(url.clone()),
            (None, None) => return Err(CliError::usage("name a URL, or --lab")),
        };
        Ok(Spec {
            who,
            case,
            place,
            size: self.args.size.bytes(),
            connections: self.args.connections,
            objects: self.args.objects,
            config: self.session.config_flag.clone(),
            cache_dir: cache_dir.map(Path::to_owned),
        })
    }
}
