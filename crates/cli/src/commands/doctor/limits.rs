//! Figures that the system tells.

use std::path::PathBuf;

use forebay_types::ByteSize;
use rustix::fs::{major, minor};
use rustix::process::{Resource, getrlimit};

use super::{Finding, Status};

pub(super) fn read_ahead() -> Finding {
    let figure = rustix::fs::stat(".").ok().and_then(|here| {
        let device = format!("{}:{}", major(here.st_dev), minor(here.st_dev));
        let disk = format!("/sys/dev/block/{device}");
        // A partition has no queue of its own; a network or overlay file system has only a bdi.
        [
            format!("{disk}/queue"),
            format!("{disk}/../queue"),
            format!("/sys/class/bdi/{device}"),
        ]
        .iter()
        .find_map(|directory| std::fs::read_to_string(format!("{directory}/read_ahead_kb")).ok())
        .map(|kib| format!("{} KiB for the current directory (device {device})", kib.trim()))
    });
    Finding::figure(
        "read_ahead_kb",
        figure,
        "the device of the current directory does not say",
    )
}

pub(super) fn cpus() -> Finding {
    let count = std::thread::available_parallelism()
        .ok()
        .map(|count| format!("{count} usable by this process"));
    Finding::figure("CPUs", count, "the system does not say")
}

pub(super) fn cgroup_memory() -> Finding {
    let name = "cgroup memory limit";
    match tightest("memory.max", |text| text.trim().parse::<u64>().ok()) {
        Limit::None => Finding::new(name, Status::Info, "none"),
        Limit::NoCgroup => Finding::new(name, Status::Unknown, "no cgroup v2 here"),
        Limit::At(bytes, place) => {
            Finding::new(name, Status::Info, format!("{:#} ({place})", ByteSize(bytes)))
        }
    }
}

pub(super) fn cgroup_cpu() -> Finding {
    let name = "cgroup CPU limit";
    // In thousandths of a CPU: `200000 100000` are two.
    let read = |text: &str| {
        let (quota, period) = text.trim().split_once(' ')?;
        let period = period.parse::<u64>().ok().filter(|period| *period > 0)?;
        Some(quota.parse::<u64>().ok()?.saturating_mul(1000) / period)
    };
    match tightest("cpu.max", read) {
        Limit::None => Finding::new(name, Status::Info, "none"),
        Limit::NoCgroup => Finding::new(name, Status::Unknown, "no cgroup v2 here"),
        Limit::At(milli, place) => Finding::new(
            name,
            Status::Info,
            format!("{:.2} CPUs ({place})", milli as f64 / 1000.0),
        ),
    }
}

enum Limit {
    NoCgroup,
    None,
    At(u64, String),
}

/// The tightest limit on the way from our cgroup up to the root: each of them binds.
fn tightest(file: &str, read: impl Fn(&str) -> Option<u64>) -> Limit {
    let Some(own) = own_cgroup() else {
        return Limit::NoCgroup;
    };
    let mut tightest = Limit::None;
    for directory in own.ancestors().take_while(|d| d.starts_with("/sys/fs/cgroup")) {
        let path = directory.join(file);
        let limit = std::fs::read_to_string(&path).ok().and_then(|text| read(&text));
        let below = match (&limit, &tightest) {
            (Some(limit), Limit::At(least, _)) => limit < least,
            (Some(_), _) => true,
            (None, _) => false,
        };
        if let Some(limit) = limit
            && below
        {
            tightest = Limit::At(limit, path.to_string_lossy().into_owned());
        }
    }
    tightest
}

fn own_cgroup() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let directory = PathBuf::from("/sys/fs/cgroup").join(path);
    directory.join("cgroup.procs").exists().then_some(directory)
}

pub(super) fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let detail = format!(
        "{} (may be raised to {})",
        shown(limit.current),
        shown(limit.maximum)
    );
    Finding::new("open files", Status::Info, detail)
}
