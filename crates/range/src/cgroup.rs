//! What the control groups of this process allow it: memory in versions 1 and 2, CPUs in version 2.

use std::path::{Component, Path, PathBuf};

use crate::engine::EngineOptions;

/// Where groups of version 2 are seen as directories.
const MOUNT: &str = "sys/fs/cgroup";

/// Version 1 says that there is no limit by one of nearly 2^63 bytes: rounded down to a page, of whatever size.
const UNLIMITED: u64 = 1 << 62;

/// The control group of a process, and those above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    mount: PathBuf,
    own: PathBuf,
}

/// A limit, and the file that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupLimit {
    /// How much.
    pub value: u64,
    /// Who says so.
    pub file: PathBuf,
}

impl Cgroup {
    /// The group of this process in version 2; `None` where that is not mounted.
    pub fn of_this_process() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// The group of this process that its memory counts in: of version 1 where that has the controller, else of
    /// version 2.
    pub fn with_memory() -> Option<Self> {
        Self::with_memory_below(Path::new("/"))
    }

    /// As [`Self::of_this_process`], in the file tree below `root`.
    pub fn below(root: &Path) -> Option<Self> {
        let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        Self::in_mount(root.join(MOUNT), Path::new(own_path(&groups, "")?))
    }

    /// As [`Self::with_memory`], in the file tree below `root`.
    pub fn with_memory_below(root: &Path) -> Option<Self> {
        Self::of_version_1(root).or_else(|| Self::below(root))
    }

    fn of_version_1(root: &Path) -> Option<Self> {
        let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = std::fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let path = Path::new(own_path(&groups, "memory")?);
        let mut mounts = mounts_of_memory(&mounts);
        // Another group's may be mounted here, too.
        mounts.sort_by_key(|mount| !path.starts_with(&mount.shows));
        mounts.into_iter().find_map(|mount| {
            let inside = path.strip_prefix(mount.shows).unwrap_or(path);
            Self::in_mount(root.join(mount.on), inside)
        })
    }

    /// The group that is seen as `path` in `mount`.
    fn in_mount(mount: PathBuf, path: &Path) -> Option<Self> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        // In a container the name may be that of the host, while the mount shows the container's own group only.
        let own = [inside.then(|| mount.join(path)), Some(mount.clone())]
            .into_iter()
            .flatten()
            .find(|directory| directory.join("cgroup.procs").exists())?;
        Some(Self { mount, own })
    }

    /// The least of what `read` makes of `file` in our group and all above it: each of them binds. `None` if none of
    /// them limits anything.
    pub fn tightest(&self, file: &str, read: impl Fn(&str) -> Option<u64>) -> Option<CgroupLimit> {
        let groups = self
            .own
            .ancestors()
            .take_while(|group| group.starts_with(&self.mount));
        groups
            .filter_map(|group| {
                let file = group.join(file);
                let value = read(&std::fs::read_to_string(&file).ok()?)?;
                Some(CgroupLimit { value, file })
            })
            .min_by_key(|limit| limit.value)
    }

    /// Bytes of memory that our group may have.
    pub fn memory(&self) -> Option<CgroupLimit> {
        let bytes = |text: &str| text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED);
        // Each version has one of them.
        ["memory.max", "memory.limit_in_bytes"]
            .into_iter()
            .find_map(|file| self.tightest(file, bytes))
    }

    /// Thousandths of a CPU that our group may use: `200000 100000` are 2,000.
    pub fn milli_cpus(&self) -> Option<CgroupLimit> {
        self.tightest("cpu.max", |text| {
            let (quota, period) = text.trim().split_once(' ')?;
            let period = period.parse::<u64>().ok().filter(|period| *period > 0)?;
            Some(quota.parse::<u64>().ok()?.saturating_mul(1000) / period)
        })
    }
}

/// A hierarchy of groups as it is mounted.
#[derive(Debug, PartialEq, Eq)]
struct HierarchyMount {
    /// The group that is its root.
    shows: PathBuf,
    /// Where it is seen, without the slash in front.
    on: PathBuf,
}

/// The path of a process in the hierarchy of version 1 that has `controller`, or in that of version 2, which names none.
/// `groups` is its `/proc/self/cgroup`.
fn own_path<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let mut controllers = controllers.split(',');
        controllers.any(|name| name == controller).then_some(path)
    })
}

/// Where `/proc/self/mountinfo` says that the memory controller of version 1 is mounted.
fn mounts_of_memory(mounts: &str) -> Vec<HierarchyMount> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let (mut place, mut kind) = (place.split(' ').skip(3), kind.split(' '));
        let (shows, on) = (place.next()?, place.next()?.strip_prefix('/')?);
        let is_of_memory =
            kind.next()? == "cgroup" && kind.nth(1)?.split(',').any(|option| option == "memory");
        // Names of systemd's groups have backslashes, which are written in octal here; those of others have nothing
        // else that would be.
        let path = |text: &str| PathBuf::from(text.replace("\\134", "\\"));
        is_of_memory.then(|| HierarchyMount {
            shows: path(shows),
            on: path(on),
        })
    };
    mounts.lines().filter_map(mount).collect()
}

impl EngineOptions {
    /// The defaults, with less memory where a control group has little: a quarter of its limit at most, so that three
    /// are left for the rest of the process and for the page cache, which counts too.
    pub fn fitting_memory() -> Self {
        Self::fitting(
            Cgroup::with_memory()
                .and_then(|group| group.memory())
                .map(|limit| limit.value),
        )
    }

    /// As [`Self::fitting_memory`], with `limit` bytes for all.
    fn fitting(limit: Option<u64>) -> Self {
        let usual = Self::default();
        Self {
            memory_budget: limit.map_or(usual.memory_budget, |limit| usual.memory_budget.min(limit / 4)),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests;
