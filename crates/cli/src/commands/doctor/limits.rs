//! Figures that the system tells.

use forebay_range::{Cgroup, CgroupLimit};
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
    let group = Cgroup::with_memory().ok_or("no cgroup of memory here");
    cgroup("cgroup memory limit", group, Cgroup::memory, |bytes| {
        format!("{:#}", ByteSize(bytes))
    })
}

pub(super) fn cgroup_cpu() -> Finding {
    let group = Cgroup::of_this_process().ok_or("no cgroup v2 here");
    cgroup("cgroup CPU limit", group, Cgroup::milli_cpus, |milli| {
        format!("{:.2} CPUs", milli as f64 / 1000.0)
    })
}

fn cgroup(
    name: &'static str,
    group: Result<Cgroup, &'static str>,
    limit: fn(&Cgroup) -> Option<CgroupLimit>,
    shown: impl Fn(u64) -> String,
) -> Finding {
    match group.map(|group| limit(&group)) {
        Err(why) => Finding::new(name, Status::Unknown, why),
        Ok(None) => Finding::new(name, Status::Info, "none"),
        Ok(Some(CgroupLimit { value, file })) => {
            let detail = format!("{} ({})", shown(value), file.to_string_lossy());
            Finding::new(name, Status::Info, detail)
        }
    }
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
