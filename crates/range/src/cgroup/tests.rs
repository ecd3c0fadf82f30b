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
fn without_groups_there_is_nothing() {
    let root = tree("/", &[]);
    assert_eq!(Cgroup::below(root.path()), None, "not mounted");
    assert_eq!(Cgroup::with_memory_below(root.path()), None, "not mounted");
    std::fs::write(root.path().join("proc/self/cgroup"), "5:memory:/a\n").unwrap();
    assert_eq!(Cgroup::below(root.path()), None, "version 1 only");
    assert_eq!(
        Cgroup::with_memory_below(root.path()),
        None,
        "nor is that mounted"
    );
    assert_eq!(Cgroup::with_memory_below(&root.path().join("none")), None);
}

/// A machine of version 1, as Debian 10 and Amazon Linux 2 are.
const GROUPS: &str = "\
11:cpu,cpuacct:/user.slice
10:hugetlb:/
9:memory:/user.slice/user-1000.slice/session-3.scope
2:pids:/user.slice/user-1000.slice/session-3.scope
1:name=systemd:/user.slice/user-1000.slice/session-3.scope
0::/user.slice/user-1000.slice/session-3.scope
";
const MOUNTS: &str = "\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
29 22 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
30 29 0:26 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
34 29 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
39 29 0:35 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:20 - cgroup cgroup rw,memory
50 28 0:40 / /mnt/memory rw - tmpfs memory rw,memory
";
const NONE: &str = "9223372036854771712\n";

/// A file tree in which the process is in `groups` of what is mounted as `mounts` say; `files` are below
/// `sys/fs/cgroup/memory`.
fn tree_of_version_1(groups: &str, mounts: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tree("/", &[]);
    std::fs::write(root.path().join("proc/self/cgroup"), groups).unwrap();
    std::fs::write(root.path().join("proc/self/mountinfo"), mounts).unwrap();
    for (path, text) in files {
        let path = root.path().join(MOUNT).join("memory").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path.with_file_name("cgroup.procs"), "").unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn memory(root: &tempfile::TempDir) -> Option<u64> {
    let limit = Cgroup::with_memory_below(root.path()).unwrap().memory();
    limit.map(|limit| limit.value)
}

#[test]
fn version_1_is_read_where_it_is_mounted() {
    let own = "user.slice/user-1000.slice/session-3.scope/memory.limit_in_bytes";
    let above = "user.slice/memory.limit_in_bytes";
    for (of_own, of_above, of_all, limit) in [
        ("4096000\n", NONE, NONE, Some(4_096_000)),
        ("4096000\n", "2048000\n", NONE, Some(2_048_000)),
        (NONE, NONE, "1024000\n", Some(1_024_000)),
        (NONE, NONE, NONE, None),
        // Pages of 64 KiB.
        ("9223372036854710272\n", NONE, NONE, None),
        ("-1\n", "", NONE, None),
    ] {
        let files = [
            (own, of_own),
            (above, of_above),
            ("memory.limit_in_bytes", of_all),
        ];
        let root = tree_of_version_1(GROUPS, MOUNTS, &files);
        assert_eq!(memory(&root), limit, "{files:?}");
    }
}

#[test]
fn a_container_of_version_1_sees_its_own_group() {
    let docker = "9:memory:/docker/0123abcd\n0::/\n";
    let mounted = |shows: &str| {
        format!(
            "700 690 0:35 {shows} /sys/fs/cgroup/memory ro,relatime master:20 - cgroup cgroup rw,memory\n"
        )
    };
    let root = [("memory.limit_in_bytes", "7000\n")];
    // Its own group is mounted; the host's root is, with nothing of this name; a group above its name space is.
    for shows in ["/docker/0123abcd", "/", "/../..", "/docker/another"] {
        let root = tree_of_version_1(docker, &mounted(shows), &root);
        assert_eq!(memory(&root), Some(7000), "{shows}");
    }
    // A group within it.
    let inner = "9:memory:/docker/0123abcd/inner\n";
    let files = [("inner/memory.limit_in_bytes", "5000\n"), root[0]];
    let tree = tree_of_version_1(inner, &mounted("/docker/0123abcd"), &files);
    assert_eq!(memory(&tree), Some(5000));
    // The name leads out of the mount.
    let tree = tree_of_version_1("9:memory:/../../x\n", &mounted("/"), &root);
    assert_eq!(memory(&tree), Some(7000));
}

#[test]
fn the_mount_that_shows_our_group_comes_before_others() {
    let groups = "4:memory:/machine.slice/machine-a\\x2db.scope/x\n";
    let mounts = "\
40 29 0:35 /docker/other /sys/fs/cgroup/memory/other rw - cgroup cgroup rw,memory
41 29 0:35 /machine.slice/machine-a\\134x2db.scope /sys/fs/cgroup/memory/ours rw - cgroup cgroup rw,memory
";
    let files = [
        ("other/memory.limit_in_bytes", "1000\n"),
        ("ours/memory.limit_in_bytes", "3000\n"),
        ("ours/x/memory.limit_in_bytes", "2000\n"),
    ];
    let root = tree_of_version_1(groups, mounts, &files);
    let limit = Cgroup::with_memory_below(root.path()).unwrap().memory().unwrap();
    assert_eq!(limit.value, 2000);
    assert!(
        limit.file.ends_with("memory/ours/x/memory.limit_in_bytes"),
        "{limit:?}"
    );
}

#[test]
fn memory_without_a_controller_of_version_1_is_of_version_2() {
    // CPUs are of version 1 here.
    let root = tree("/a", &[("a/cgroup.procs", ""), ("a/memory.max", "2000\n")]);
    assert_eq!(memory(&root), Some(2000));
    std::fs::write(root.path().join("proc/self/mountinfo"), MOUNTS).unwrap();
    assert_eq!(memory(&root), Some(2000));
}
