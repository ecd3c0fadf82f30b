//! `forebay bench`: figures that can be compared.
//!
//! Each run is a process of its own ([`worker`]), so that CPU time and peak memory are its own, and so is the lab
//! server ([`serve`]). Ours and the baseline take turns, A B A B; medians are shown, the first pair is thrown away.
//! `cases` says what is measured and what docs/benchmarks.md promises, `report` what comes out.

mod cases;
mod peers;
mod plot;
mod report;
mod server;
mod work;

pub(crate) use work::{cpu_time, lab_options};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use forebay_types::ErrorKind;

use crate::args::{BenchReadArgs, LabProfile};
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

use cases::Case;
use report::{Report, Row};
use server::LabProcess;
use work::{Place, Sample, Spec, Who};

/// `forebay bench read`.
pub(crate) fn read(session: &Session, args: &BenchReadArgs) -> Result<()> {
    let cases = Case::chosen(&args.cases, args.url.is_some())?;
    let lab = args.lab.then(|| LabProcess::start(args)).transpose()?;
    let profile = match (&lab, args.profile) {
        (None, _) => "as it is".to_owned(),
        (Some(_), LabProfile::Standard) => "standard: 30 ms, 90 MB/s per connection, random bytes".to_owned(),
        (Some(_), LabProfile::Loopback) => "loopback, random bytes".to_owned(),
    };
    let mut report = Report::new("read", &profile);
    let runs = args.runs.max(1);
    let bar = progress::items(session.output, (cases.len() * (runs + 1) * 2) as u64, "runs");
    for case in &cases {
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        // The first pair warms both sides up and does not count.
        for run in 0..=runs {
            for who in [Who::Ours, Who::Raw] {
                if who == Who::Raw && lab.is_none() {
                    continue;
                }
                let sample = run_worker(&spec(session, args, lab.as_ref(), *case, who)?)?;
                bar.inc(1);
                if run > 0 {
                    if who == Who::Ours {
                        ours.push(sample);
                    } else {
                        theirs.push(sample);
                    }
                }
            }
        }
        report.rows.push(Row::compare(*case, args, &ours, &theirs));
    }
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

fn spec(
    session: &Session,
    args: &BenchReadArgs,
    lab: Option<&LabProcess>,
    case: Case,
    who: Who,
) -> Result<Spec> {
    let place = match (lab, &args.url) {
        (Some(lab), _) => Place::Lab(lab.endpoint().to_owned()),
        (None, Some(url)) => Place::Url(url.clone()),
        (None, None) => return Err(CliError::usage("name a URL, or --lab")),
    };
    Ok(Spec {
        who,
        case,
        place,
        size: args.size.bytes(),
        connections: args.connections,
        objects: args.objects,
        config: session.config_flag.clone(),
    })
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
