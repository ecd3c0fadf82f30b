//! `forebay bench`: figures that can be compared.
//!
//! Each run is a process of its own ([`worker`]), so that CPU time and peak memory are its own, and so is the lab
//! server ([`serve`]). Ours and the baseline take turns, A B A B; medians are shown, the first pair is thrown away.
//! `cases` says what is measured and what docs/benchmarks.md promises, `engine` and `cached` do it, `report` says what
//! comes out. Caches of runs are temporary directories beside the user's.

mod cached;
mod cases;
mod engine;
mod peers;
mod plot;
mod prepare;
mod report;
mod sample;
mod server;
mod work;

pub(crate) use sample::cpu_time;
pub(crate) use work::lab_options;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use forebay_source::{Location, Scheme};
use forebay_types::ErrorKind;
use indicatif::ProgressBar;

use crate::args::{BenchReadArgs, LabProfile};
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

use cases::{Baseline, CacheBefore, Case, Subject};
use report::{Report, Row};
use sample::{Place, Sample, Spec, Who};
use server::LabProcess;

/// `forebay bench read`.
pub(crate) fn read(session: &Session, args: &BenchReadArgs) -> Result<()> {
    let cases = Case::chosen(&args.cases, subject(args)?)?;
    let lab = args.lab.then(|| LabProcess::start(args)).transpose()?;
    let profile = match (&lab, args.profile) {
        (None, _) => "as it is".to_owned(),
        (Some(_), LabProfile::Standard) => "standard: 30 ms, 90 MB/s per connection, random bytes".to_owned(),
        (Some(_), LabProfile::Loopback) => "loopback, random bytes".to_owned(),
    };
    let mut report = Report::new("read", &profile);
    let runs = args.runs.max(1);
    let bar = progress::items(session.output, (cases.len() * (runs + 1) * 2) as u64, "runs");
    let bench = Bench {
        session,
        args,
        lab: lab.as_ref(),
    };
    // An interrupt reaches the worker too, and what it leaves is cleared away here when it has ended.
    session.block_on_uncaught(async {
        let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        for case in &cases {
            report.rows.push(bench.row(*case, &bar)?);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    if args.peers
        && let Some(lab) = &lab
    {
        report.rows.extend(peers::rows(args, lab)?);
    }
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::bars(&report)).map_err(|e| CliError::local(path, "write", &e))?;
    }
    session.output.answer(&report, || report.text())
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
    let sample = work::run(session, &orders()?)?;
    session.output.line(&to_json(&sample)?)
}

/// The lab server, in this process, until standard input ends.
pub(crate) fn serve() -> Result<()> {
    server::serve(&orders()?)
}

/// The first line of standard input. Not an argument: a URL may be signed, and arguments are for all to see.
fn orders<T: serde::de::DeserializeOwned>() -> Result<T> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| CliError::new(e.kind().into(), e.to_string()))?;
    parse(&line)
}

/// Starts this program again as `forebay bench COMMAND`, with its orders.
fn helper(command: &str, config: Option<&Path>, orders: &impl serde::Serialize) -> Result<Child> {
    let failed =
        |e: std::io::Error| CliError::new(e.kind().into(), format!("cannot start bench {command}: {e}"));
    let mut child = Command::new(own_executable()?);
    if let Some(config) = config {
        child.arg("--config").arg(config);
    }
    let mut child = child
        .args(["bench", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(stdin) = &mut child.stdin {
        writeln!(stdin, "{}", to_json(orders)?).map_err(failed)?;
    }
    Ok(child)
}

/// The binary that runs now.
fn own_executable() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|e| CliError::new(e.kind().into(), format!("cannot find the running program: {e}")))
}

/// What all runs share.
struct Bench<'a> {
    session: &'a Session,
    args: &'a BenchReadArgs,
    lab: Option<&'a LabProcess>,
}

impl Bench<'_> {
    fn row(&self, case: Case, bar: &ProgressBar) -> Result<Row> {
        let budget = self.session.engine.budget().total() as f64 / f64::from(1 << 20);
        let baseline = case.baseline(self.lab.map(|_| self.args.profile), budget);
        let others = match baseline {
            Baseline::Raw => self.lab.is_some(),
            Baseline::Run(_) => true,
            Baseline::Figure(..) | Baseline::None => false,
        };
        let prepared = match case.cache() {
            CacheBefore::Whole | CacheBefore::Crowded => Some(prepare::scratch(self.session)?),
            CacheBefore::Empty | CacheBefore::None => None,
        };
        if let Some(dir) = &prepared {
            run_worker(&self.spec(case, Who::Prepare, Some(dir.path()))?)?;
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first pair warms both sides up and does not count.
        for run in 0..=self.args.runs.max(1) {
            for (who, samples) in [(Who::Ours, &mut ours), (Who::Baseline, &mut theirs)] {
                bar.inc(1);
                if who == Who::Baseline && !others {
                    continue;
                }
                let fresh = match case.cache() {
                    CacheBefore::Empty => Some(prepare::scratch(self.session)?),
                    _ => None,
                };
                let dir = fresh.as_ref().or(prepared.as_ref()).map(tempfile::TempDir::path);
                let sample = run_worker(&self.spec(case, who, dir)?)?;
                if run > 0 {
                    samples.push(sample);
                }
            }
        }
        Ok(Row::compare(case, self.args, baseline, &ours, &theirs))
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

/// Runs a spec in a child process.
fn run_worker(spec: &Spec) -> Result<Sample> {
    let output = helper("worker", spec.config.as_deref(), spec)?
        .wait_with_output()
        .map_err(|e| CliError::new(e.kind().into(), format!("a worker is lost: {e}")))?;
    if !output.status.success() {
        return Err(CliError::new(
            ErrorKind::Unavailable,
            format!("the run of case {} failed", spec.case.name()),
        ));
    }
    parse(String::from_utf8_lossy(&output.stdout).trim())
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| CliError::usage(format!("not the orders of a bench: {e}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| CliError::new(ErrorKind::Internal, e.to_string()))
}
