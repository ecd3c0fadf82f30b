//! `forebay bench direct`: a disk past the page cache.
//!
//! `plan` says what is measured, against what, and what is promised. Ours (`ours`, and `plain` for whole files) runs in
//! workers, fio is itself a process (`fio`). `scratch` makes the files that are not there and takes them away again,
//! `pages` drops them from the page cache before each run, or puts them there. What memory, rings and threads cost
//! once is spent before the clock runs, on both sides, but where a row is about one read of a whole file in a new process.

mod fio;
mod job;
mod ours;
mod pages;
mod plain;
mod plan;
mod scratch;

use std::path::{Path, PathBuf};

use forebay_disk::Disk;
use forebay_source::Location;
use forebay_types::{ByteSize, ErrorKind, SystemClock, printable};
use indicatif::ProgressBar;

use super::answer;
use super::cases::{Baseline, Measure, Terms};
use super::report::{Report, Row};
use super::sample::Sample;
use super::worker::{self, Orders};
use crate::args::BenchDirectArgs;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;
use crate::settings::Settings;

use fio::Fio;
pub(super) use job::Spec;
use job::{By, Job, Threads};
pub(super) use pages::drop_from_cache;
use plan::{Case, Side, What};
pub(super) use scratch::Subject as Scratch;
use scratch::{Files, Subject};

/// `forebay bench direct`.
pub(crate) fn run(session: &Session, args: &BenchDirectArgs) -> Result<()> {
    let subject = Subject::take(&local(&args.file)?, args.size.bytes())?;
    let cases = plan::cases(args, subject.size())?;
    let report = session.block_on(Box::pin(measure(session, args, &subject, &cases)));
    drop(subject);
    let report = report?;
    answer(session, &report, args.plot.as_deref())
}

/// One run, in this process.
pub(super) fn work(session: &Session, spec: &Spec) -> Result<Sample> {
    let session = Session::new(spec.settings(&session.settings), session.output, None);
    let clock = SystemClock::new();
    let done = match &spec.job {
        Job::Files {
            by: By::Plain,
            at_a_time,
            ..
        } => plain::run(&spec.place, *at_a_time, &clock)?,
        job => match job.threads() {
            Threads::One => session.block_on_one(ours::run(&session, spec, &clock))?,
            Threads::All => session.block_on(ours::run(&session, spec, &clock))?,
        },
    };
    Ok(done.sample())
}

/// The file that was named, by its path or by a URL.
fn local(file: &str) -> Result<PathBuf> {
    match file.parse()? {
        Location::File(path) | Location::Direct(path) => Ok(path),
        other => Err(CliError::usage(format!("{other} is no local file"))),
    }
}

async fn measure(
    session: &Session,
    args: &BenchDirectArgs,
    subject: &Subject,
    cases: &[Case],
) -> Result<Report> {
    let mut profile = profile(session, args, subject)?;
    subject.fill().await?;
    let fio = Fio::find(subject.path(), cases).await;
    if let Some(fio) = &fio {
        profile = format!("{profile}, {}", fio.label());
    } else if cases.iter().any(Case::wants_fio) {
        tracing::warn!("fio is not installed or cannot read here: its rows have no baseline");
    }
    let runs = args.runs.max(1);
    let sides: usize = cases.iter().map(|case| case.sides().count()).sum();
    let bar = progress::items(session.output, (sides * (runs + 1)) as u64, "runs");
    let mut report = Report::new("direct", &profile);
    let mut bench = Bench {
        session,
        args,
        subject,
        fio,
        files: None,
    };
    for case in cases {
        report.rows.extend(bench.rows(case, runs, &bar).await?);
    }
    bar.finish_and_clear();
    Ok(report)
}

/// What is read, and by which engine.
fn profile(session: &Session, args: &BenchDirectArgs, subject: &Subject) -> Result<String> {
    let options = settings(&session.settings, args.engine).direct.disk();
    let disk = Disk::new(options, None).map_err(|e| {
        let why = format!("direct reads by {} are not to be had here: {e}", options.engine);
        CliError::new(ErrorKind::Unsupported, why)
    })?;
    let (size, name) = (ByteSize(subject.size()), subject.path().to_string_lossy());
    Ok(format!(
        "{size:#} of {}, ours by {}",
        printable(&name),
        disk.engine()
    ))
}

/// The user's settings, with the engine that was asked for.
fn settings(settings: &Settings, engine: Option<crate::args::DiskEngine>) -> Settings {
    let mut settings = settings.clone();
    if let Some(engine) = engine {
        settings.direct.engine = engine.into();
    }
    settings
}

/// What all runs share.
struct Bench<'a> {
    session: &'a Session,
    args: &'a BenchDirectArgs,
    subject: &'a Subject,
    fio: Option<Fio>,
    /// The files of the last case that wanted some.
    files: Option<Files>,
}

impl Bench<'_> {
    /// Ours and the others take turns; the first turn of each warms it up and does not count.
    async fn rows(&mut self, case: &Case, runs: usize, bar: &ProgressBar) -> Result<Vec<Row>> {
        let place = self.place(case).await?;
        let mut samples = vec![Vec::new(); case.sides().count()];
        for run in 0..=runs {
            for (side, samples) in case.sides().zip(&mut samples) {
                bar.inc(1);
                let sample = self.sample(case, side, &place).await?;
                if run > 0 {
                    samples.extend(sample);
                }
            }
        }
        let terms = |name: &str, baseline, goal| Terms {
            case: name.to_owned(),
            measure: Measure::Throughput,
            baseline,
            goal,
            most_fetched: None,
        };
        if case.against.is_empty() {
            return Ok(vec![Row::compare(
                &terms(&case.name, Baseline::None, None),
                &samples[0],
                &[],
            )]);
        }
        let rows = case.against.iter().zip(&samples[1..]).map(|(against, theirs)| {
            let terms = terms(&against.row, Baseline::Run(against.baseline), against.goal);
            Row::compare(&terms, &samples[0], theirs)
        });
        Ok(rows.collect())
    }

    /// What a case reads: the file, or a directory of files, which is made if the last case had another one.
    async fn place(&mut self, case: &Case) -> Result<PathBuf> {
        let Some((size, count)) = case.files() else {
            self.files = None;
            return Ok(self.subject.path().to_owned());
        };
        if let Some(files) = &self.files
            && files.are(size, count)
        {
            return Ok(files.path().to_owned());
        }
        // The old ones make room first.
        self.files = None;
        let files = Files::make(self.subject.path(), size, count).await?;
        Ok(self.files.insert(files).path().to_owned())
    }

    /// `None` if there is nobody to do it.
    async fn sample(&self, case: &Case, side: &Side, place: &Path) -> Result<Option<Sample>> {
        let job = match (&side.what, &self.fio) {
            (What::Fio(_), None) => return Ok(None),
            (What::Fio(job), Some(fio)) => {
                pages::prepare(place, side.before).await?;
                return fio.run(job, place, self.subject.size()).await.map(Some);
            }
            (What::Run(job), _) => job,
        };
        pages::prepare(place, side.before).await?;
        let spec = Spec {
            job: job.clone(),
            place: place.to_owned(),
            engine: self.args.engine,
            config: self.session.config_flag.clone(),
        };
        worker::sample(&Orders::Direct(spec), &case.name).await.map(Some)
    }
}
