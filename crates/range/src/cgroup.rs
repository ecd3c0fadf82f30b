//! What the control groups of this process (cgroup v2) allow it.

use std::path::{Component, Path, PathBuf};

use crate::engine::EngineOptions;

/// Where groups are seen as directories.
const MOUNT: &str = "sys/fs/cgroup";

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
    /// The group of this process; `None` where there is no cgroup v2.
    pub fn of_this_process() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// As [`Self::of_this_process`], in the file tree below `root`.
    pub fn below(root: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let mount = root.join(MOUNT);
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
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
        self.tightest("memory.max", |text| text.trim().parse().ok())
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

impl EngineOptions {
    /// The defaults, with less memory where a control group has little: a quarter of its limit at most, so that three
    /// are left for the rest of the process and for the page cache, which counts too.
    pub fn fitting_memory() -> Self {
        Self::fitting(
            Cgroup::of_this_process()
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
mod tests {
    use super::*;

    /// A file tree in which the process is in `group`; `files` are below the mount.
    fn tree(group: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", &format!("1:cpu:/old\n0::{group}\n"));
        for (path, text) in files {
            write(&format!("{MOUNT}/{path}"), text);
        }
        root
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_binds() {
        let root = tree(
            "/a/b/c",
            &[
                ("a/b/c/cgroup.procs", ""),
                ("a/b/c/memory.max", "max\n"),
                ("a/b/memory.max", "3000\n"),
                ("a/memory.max", "2000\n"),
                ("memory.max", "9000\n"),
            ],
        );
        let limit = Cgroup::below(root.path()).unwrap().memory().unwrap();
        assert_eq!(limit.value, 2000);
        assert!(limit.file.ends_with("sys/fs/cgroup/a/memory.max"), "{limit:?}");
    }

    #[test]
    fn nothing_outside_of_the_mount_counts() {
        for group in ["/a", "/..", "/a/../.."] {
            let root = tree(
                group,
                &[
                    ("cgroup.procs", ""),
                    ("a/cgroup.procs", ""),
                    ("../cgroup.procs", ""),
                ],
            );
            std::fs::write(root.path().join("sys/fs/memory.max"), "1").unwrap();
            assert_eq!(Cgroup::below(root.path()).unwrap().memory(), None, "{group}");
        }
    }

    #[test]
    fn a_container_that_is_told_the_name_on_the_host_sees_its_own_group() {
        for group in ["/docker/0123abcd", "/../other"] {
            let root = tree(group, &[("cgroup.procs", ""), ("memory.max", "7000")]);
            let limit = Cgroup::below(root.path()).unwrap().memory().unwrap();
            assert_eq!(limit.value, 7000, "{group}");
        }
    }

    #[test]
    fn cpus_are_quota_over_period() {
        for (text, milli) in [
            ("200000 100000\n", Some(2000)),
            ("50000 100000", Some(500)),
            ("max 100000", None),
            ("100 0", None),
            ("", None),
        ] {
            let root = tree("/", &[("cgroup.procs", ""), ("cpu.max", text)]);
            let limit = Cgroup::below(root.path()).unwrap().milli_cpus();
            assert_eq!(limit.map(|limit| limit.value), milli, "{text}");
        }
    }

    #[test]
    fn a_quarter_of_a_small_limit_is_the_budget() {
        const MIB: u64 = 1 << 20;
        for (limit, budget) in [
            (None, 256),
            (Some(4096), 256),
            (Some(1024), 256),
            (Some(512), 128),
            (Some(64), 16),
        ] {
            let options = EngineOptions::fitting(limit.map(|mib| mib * MIB));
            assert_eq!(options.memory_budget, budget * MIB, "{limit:?} MiB");
        }
        assert!(EngineOptions::fitting_memory().memory_budget <= 256 * MIB);
    }

    #[test]
    fn without_groups_of_version_2_there_is_nothing() {
        let root = tree("/", &[]);
        assert_eq!(Cgroup::below(root.path()), None, "not mounted");
        std::fs::write(root.path().join("proc/self/cgroup"), "5:memory:/a\n").unwrap();
        assert_eq!(Cgroup::below(root.path()), None, "version 1 only");
        assert_eq!(Cgroup::below(&root.path().join("none")), None);
    }
}
