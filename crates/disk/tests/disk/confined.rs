//! Processes that may do less: no locked memory, no io_uring.

use std::os::unix::process::CommandExt;
use std::process::Command;

use forebay_disk::{Disk, DiskOptions, EngineChoice, EngineKind, Wanted};
use forebay_types::ByteRange;

use crate::world::*;

fn ranges() -> Vec<ByteRange> {
    (0..200)
        .map(|nth| ByteRange::at(nth * 5003, 4000 + nth))
        .collect()
}

#[test]
fn all_reads_into_the_pool_are_into_memory_that_the_kernel_knows() {
    finishes(|| {
        if !has(EngineChoice::IoUring) {
            return;
        }
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MIB));
        let bytes = std::fs::read(&path).unwrap();
        let disk = disk(EngineChoice::IoUring);
        let file = open(&disk, &path, Wanted::default());
        current_thread().block_on(check(&file, &bytes, &ranges()));
        multi_thread().block_on(check(&file, &bytes, &ranges()));
        block_on(check(&file, &bytes, &ranges()));
        let stats = disk.stats();
        assert_eq!(stats.registered_reads, stats.reads, "{stats:?}");
        assert_eq!(stats.pool.taken_apart, 0);
        assert!(stats.reads > 0);
    });
}

/// A child that may lock this much memory, and has not the right to lock more.
fn with_locked_memory(most: u64, name: &str) -> Command {
    let mut child = child(name);
    // SAFETY: between fork and exec it makes system calls only.
    unsafe {
        child.pre_exec(move || {
            let limit = libc::rlimit {
                rlim_cur: most,
                rlim_max: most,
            };
            if libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // Root that is executed has what the bounding set leaves it; who has no right to drop it has not got it.
            const CAP_IPC_LOCK: libc::c_ulong = 14;
            libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
            Ok(())
        });
    }
    child
}

#[test]
fn memory_that_may_not_be_locked_is_read_into_without_being_known() {
    if has(EngineChoice::IoUring) {
        // Enough for rings, which count since Linux 6.14, and not for a slab of 4 MiB.
        run(with_locked_memory(
            2 * MIB,
            "confined::in_a_child_with_little_locked_memory",
        ));
    }
}

#[test]
#[ignore = "needs the limits that the test above gives it"]
fn in_a_child_with_little_locked_memory() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MIB));
        let bytes = std::fs::read(&path).unwrap();
        let disk = disk(EngineChoice::IoUring);
        let file = open(&disk, &path, Wanted::default());
        current_thread().block_on(check(&file, &bytes, &ranges()));
        multi_thread().block_on(check(&file, &bytes, &ranges()));
        block_on(check(&file, &bytes, &ranges()));
        let stats = disk.stats();
        assert_eq!(stats.registered_reads, 0, "{stats:?}");
        assert!(stats.reads > 0);
        all_is_back(&disk);
    });
}

#[test]
fn without_any_locked_memory_reads_go_on() {
    run(with_locked_memory(
        0,
        "confined::in_a_child_without_locked_memory",
    ));
}

#[test]
#[ignore = "needs the limits that the test above gives it"]
fn in_a_child_without_locked_memory() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MIB));
        let bytes = std::fs::read(&path).unwrap();
        // Which engine it comes to is the kernel's: rings count as locked memory since Linux 6.14.
        let disk = disk(EngineChoice::Auto);
        assert_eq!(disk.engine() == EngineKind::Pread, disk.why_not_rings().is_some());
        check_all(&open(&disk, &path, Wanted::default()), &bytes, &ranges());
        assert_eq!(disk.stats().registered_reads, 0);
        all_is_back(&disk);
    });
}

/// From here on this thread, and those that it begins, get `EPERM` from io_uring_setup(2): what Docker's filter does.
fn forbid_rings() {
    const NUMBER: u32 = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, NUMBER),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program outlives the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter);
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}

#[test]
fn where_io_uring_is_forbidden_threads_read_and_it_is_said_why() {
    // `finishes` has a thread of its own, so the filter is gone with it.
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MIB));
        let bytes = std::fs::read(&path).unwrap();
        forbid_rings();
        let disk = disk(EngineChoice::Auto);
        assert_eq!(disk.engine(), EngineKind::Pread);
        let why = disk.why_not_rings().unwrap();
        assert!(why.contains("not permitted"), "{why}");
        check_all(&open(&disk, &path, Wanted::default()), &bytes, &ranges());
        let stats = disk.stats();
        assert!(stats.direct_bytes > 0 && stats.registered_reads == 0, "{stats:?}");
        let insisted = DiskOptions {
            engine: EngineChoice::IoUring,
            ..DiskOptions::default()
        };
        let error = Disk::new(insisted, None).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
    });
}

#[test]
fn a_disk_that_gets_no_more_rings_goes_on_with_threads() {
    finishes(|| {
        if !has(EngineChoice::IoUring) {
            return;
        }
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MIB));
        let bytes = std::fs::read(&path).unwrap();
        let disk = disk(EngineChoice::IoUring);
        let file = open(&disk, &path, Wanted::default());
        let before = current_thread();
        before.block_on(check(&file, &bytes, &ranges()));
        forbid_rings();
        // Its ring is there.
        before.block_on(check(&file, &bytes, &ranges()));
        // Another runtime cannot have one, nor can who has none: threads read for them.
        current_thread().block_on(check(&file, &bytes, &ranges()));
        block_on(check(&file, &bytes, &ranges()));
        check_blocking(&file, &bytes, &ranges());
        all_is_back(&disk);
    });
}
