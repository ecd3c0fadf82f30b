//! `forebay doctor`: what this machine can do. Every line was tried, not looked up, as far as that is possible without
//! changing anything.

mod cache;
mod direct;
mod limits;
mod log;
mod probe;

use std::fmt::Write as _;
use std::path::Path;

use forebay_types::printable;
use serde::Serialize;

use crate::env::Env;
use crate::exit::Result;
use crate::session::Session;

/// What a probe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It works.
    Yes,
    /// It does not; the detail says why.
    No,
    /// A figure, neither good nor bad.
    Info,
    /// Could not be found out.
    Unknown,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: &'static str,
    status: Status,
    detail: String,
}

impl Finding {
    fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
        }
    }

    /// A figure, or that there is none.
    fn figure(name: &'static str, value: Option<String>, without: &str) -> Self {
        match value {
            Some(value) => Self::new(name, Status::Info, value),
            None => Self::new(name, Status::Unknown, without),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    version: &'static str,
    findings: Vec<Finding>,
}

pub(crate) fn run(session: &Session, env: &Env) -> Result<()> {
    let reader = direct::Reader::new(session);
    let mut findings = of_the_machine(&reader);
    findings.extend(cache::findings(session, &reader));
    findings.extend(log::findings(session));
    findings.extend([settings_file(session, env), probe::trust_store(session)]);
    let answer = Answer {
        version: env!("CARGO_PKG_VERSION"),
        findings,
    };
    session.output.answer(&answer, || text(&answer.findings))
}

/// What holds wherever the cache is.
fn of_the_machine(reader: &direct::Reader<'_>) -> Vec<Finding> {
    let here = std::env::current_dir().unwrap_or_default();
    vec![
        probe::kernel(),
        probe::fuse(),
        probe::fuse_helper(),
        probe::passthrough(),
        direct::io_uring(),
        reader.engine(),
        o_direct(reader, &here),
        direct::alignment("O_DIRECT alignment", &here),
        limits::read_ahead(),
        limits::cpus(),
        limits::cgroup_cpu(),
        limits::cgroup_memory(),
        limits::open_files(),
    ]
}

/// Here, or where temporary files go if nothing can be written here.
fn o_direct(reader: &direct::Reader<'_>, here: &Path) -> Finding {
    let name = "O_DIRECT";
    let otherwise = "direct:// goes through the page cache";
    let read = |place| reader.read(name, place, otherwise);
    read(here)
        .or_else(|| read(Path::new("/var/tmp")))
        .unwrap_or_else(|| {
            let why = "no file can be written in the current directory or /var/tmp";
            Finding::new(name, Status::Unknown, why)
        })
}

fn settings_file(session: &Session, env: &Env) -> Finding {
    let name = "settings file";
    match session.settings.settings_file() {
        Some((path, true)) => Finding::new(name, Status::Yes, path.to_string_lossy()),
        Some((path, false)) => Finding::new(
            name,
            Status::Info,
            format!("none; it would be {}", path.to_string_lossy()),
        ),
        None if env.home.is_none() => Finding::new(name, Status::Info, "none; HOME is not set"),
        None => Finding::new(name, Status::Info, "none"),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { name, status, detail } in findings {
        let status = match status {
            Status::Yes => "yes",
            Status::No => "no",
            Status::Info => "",
            Status::Unknown => "?",
        };
        let _ = writeln!(text, "{name:<22} {status:<4} {}", printable(detail));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use crate::settings::Settings;

    #[test]
    fn every_probe_says_something() {
        let output = Output {
            json: false,
            quiet: true,
        };
        let session = Session::new(Settings::default(), output, None);
        for finding in of_the_machine(&direct::Reader::new(&session)) {
            assert!(!finding.detail.is_empty(), "{finding:?}");
        }
    }
}
