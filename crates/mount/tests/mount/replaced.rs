//! Files whose objects are replaced, cut short or deleted while programs have them open.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use forebay_mount::IoMode;
use forebay_testkit::Content;
use forebay_vfs::Freshness;

use crate::gone::{EXCUSES, impatient, put, right_or_excused, whole};
use crate::readers::directory;
use crate::world::{BUCKET, CacheAt, MIB, Mounted, Setup, World, local, soon};

#[test]
fn who_reads_on_in_a_file_that_was_replaced_reads_that_file_or_hears_of_it() {
    const OLD: u64 = 5 * MIB + 100;
    for (passthrough, io, cache) in [
        (false, IoMode::Direct, CacheAt::Beside),
        (false, IoMode::Direct, CacheAt::Nowhere),
        (true, IoMode::Pages, CacheAt::Beside),
        (false, IoMode::Pages, CacheAt::Beside),
        (false, IoMode::Pages, CacheAt::Nowhere),
    ] {
        for size in [OLD, 0, 77, 2 * MIB, 9 * MIB] {
            for is_opened in [true, false] {
                let what = format!(
                    "{io:?}, {cache:?}, passthrough: {passthrough}, {size} bytes, opened: {is_opened}"
                );
                let world = World::new();
                let old = put(&world, "file", 1, OLD);
                let mut setup = Setup {
                    freshness: Freshness::Ttl(Duration::from_millis(20)),
                    cache: cache.clone(),
                    ..impatient()
                };
                (setup.options.passthrough, setup.options.io) = (passthrough, io);
                let Some(mounted) = world.mount(setup) else { return };
                if passthrough {
                    mounted.hand_over("file");
                }
                let file = File::open(mounted.at("file")).unwrap();
                let mut piece = vec![0; 50_000];
                for at in [0, OLD - 50_000] {
                    file.read_exact_at(&mut piece, at).unwrap();
                    old.check(at, &piece).unwrap();
                }
                let new = put(&world, "file", 2, size);
                let expected = whole(&new);
                if is_opened {
                    let is_new = || fs::read(mounted.at("file")).is_ok_and(|bytes| bytes == expected);
                    assert!(soon(is_new), "{what}");
                } else if size != OLD {
                    let is_seen = || fs::metadata(mounted.at("file")).is_ok_and(|meta| meta.len() == size);
                    assert!(soon(is_seen), "{what}");
                }
                // A copy of it would be whole, or fail: neither cut short nor filled up, nor of two versions.
                for at in (0..OLD + 5000).step_by(150_001) {
                    let wanted = 50_000.min(OLD.saturating_sub(at)) as usize;
                    match file.read_at(&mut piece, at) {
                        Ok(len) => {
                            assert!(len == wanted, "{what}: {len} bytes at {at}, not {wanted}");
                            old.check(at, &piece[..len])
                                .unwrap_or_else(|wrong| panic!("{what}: at {at}: {wrong:?}"));
                        }
                        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "{what}"),
                    }
                }
                drop(file);
                assert!(soon(|| {
                    fs::read(mounted.at("file")).is_ok_and(|bytes| bytes == expected)
                }));
            }
        }
    }
}

#[test]
fn a_local_file_that_is_cut_short_takes_nothing_else_with_it() {
    for (io, passthrough) in [
        (IoMode::Pages, false),
        (IoMode::Direct, false),
        (IoMode::Pages, true),
    ] {
        let dir = directory();
        let (content, other) = (Content::pattern(1, 3 * MIB), Content::pattern(2, 2 * MIB));
        fs::write(dir.path().join("file"), whole(&content)).unwrap();
        fs::write(dir.path().join("other"), whole(&other)).unwrap();
        let mut setup = impatient();
        (setup.options.io, setup.options.passthrough) = (io, passthrough);
        let Some(mounted) = Mounted::new(local(dir.path()), setup) else {
            return;
        };
        let file = File::open(mounted.at("file")).unwrap();
        let mut bytes = vec![0; 100_000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        content.check(0, &bytes).unwrap();
        let cut = File::options().write(true).open(dir.path().join("file")).unwrap();
        cut.set_len(1000).unwrap();
        for at in (0..3 * MIB).step_by(100_000) {
            match file.read_at(&mut bytes, at) {
                // What was in memory, or nothing; where the file ended anew, nothing up to the end of a page.
                Ok(len) => {
                    let is_old = content.check(at, &bytes[..len]).is_ok();
                    let rest = (1000u64.saturating_sub(at) as usize).min(len);
                    let is_cut = content.check(at, &bytes[..rest]).is_ok()
                        && bytes[rest..len].iter().all(|byte| *byte == 0);
                    assert!(is_old || is_cut, "{io:?} {passthrough}: {len} bytes at {at}");
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap();
                    assert!(EXCUSES.contains(&errno), "{io:?} {passthrough}: {error}");
                }
            }
        }
        assert!(fs::read(mounted.at("other")).unwrap() == whole(&other), "{io:?}");
    }
}

#[test]
fn an_object_that_was_deleted_while_it_was_open() {
    for (passthrough, cache) in [
        (false, CacheAt::Beside),
        (false, CacheAt::Nowhere),
        (true, CacheAt::Beside),
    ] {
        let world = World::new();
        let content = put(&world, "dir/file", 1, 5 * MIB);
        put(&world, "dir/other", 2, 77);
        let mut setup = Setup {
            freshness: Freshness::Ttl(Duration::from_millis(20)),
            cache: cache.clone(),
            ..impatient()
        };
        setup.options.passthrough = passthrough;
        let Some(mounted) = world.mount(setup) else { return };
        let by_kernel = passthrough && mounted.hand_over("dir/file");
        let file = File::open(mounted.at("dir/file")).unwrap();
        let mut start = vec![0; 4096];
        file.read_exact_at(&mut start, 0).unwrap();
        assert!(world.lab.objects().delete(BUCKET, "dir/file"));
        assert!(soon(|| !mounted.at("dir/file").exists()));
        let (right, excused) = right_or_excused(&file, &content, "deleted");
        if by_kernel {
            assert_eq!(excused, 0, "the kernel has the file");
        }
        if matches!(cache, CacheAt::Nowhere) {
            assert!(excused > 0, "{right} right");
        }
        // It comes back as another one.
        let next = put(&world, "dir/file", 3, 3 * MIB);
        let expected = whole(&next);
        assert!(soon(|| {
            fs::read(mounted.at("dir/file")).is_ok_and(|bytes| bytes == expected)
        }));
        right_or_excused(&file, &content, "deleted, and made anew");
        // And goes, with its whole directory.
        assert!(world.lab.objects().delete(BUCKET, "dir/file"));
        assert!(world.lab.objects().delete(BUCKET, "dir/other"));
        assert!(soon(|| !mounted.at("dir").exists()));
        right_or_excused(&file, &content, "its directory deleted");
    }
}

#[test]
fn a_file_that_became_a_directory_and_back() {
    let world = World::new();
    let content = put(&world, "name", 1, 2 * MIB);
    let setup = Setup {
        freshness: Freshness::Ttl(Duration::from_millis(20)),
        ..impatient()
    };
    let Some(mounted) = world.mount(setup) else { return };
    let file = File::open(mounted.at("name")).unwrap();
    let below = put(&world, "name/below", 2, 99);
    assert!(soon(|| mounted.at("name").is_dir()));
    right_or_excused(&file, &content, "hidden by a directory");
    assert!(soon(
        || fs::read(mounted.at("name/below")).is_ok_and(|bytes| bytes == whole(&below))
    ));
    let dir = File::open(mounted.at("name")).unwrap();
    assert!(world.lab.objects().delete(BUCKET, "name/below"));
    let is_file = || fs::read(mounted.at("name")).is_ok_and(|bytes| bytes == whole(&content));
    assert!(soon(is_file));
    right_or_excused(&file, &content, "seen again");
    let listed = rustix::fs::Dir::read_from(&dir).and_then(|mut dir| dir.next().transpose());
    if let Err(errno) = listed {
        assert!(
            matches!(
                errno,
                rustix::io::Errno::NOENT | rustix::io::Errno::STALE | rustix::io::Errno::NOTDIR
            ),
            "{errno}"
        );
    }
}
