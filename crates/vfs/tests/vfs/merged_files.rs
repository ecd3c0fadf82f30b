//! What is brought from below, and when.

use std::time::Duration;

use forebay_testkit::Content;
use forebay_types::{BLOCK, ByteRange, ErrorKind};
use forebay_vfs::Ino;
use forebay_vfs::merged::{MergedError, MergedOpen, MergedSet};
use forebay_vfs::overlay::{ContentChange, SetAttrs, SetTime, What};

use crate::merged_world::{Layers, READ, TRUNCATE, WRITE};
use crate::world::{BUCKET, within};

const SIZE: u64 = 10 * BLOCK + 100;

fn layers() -> (Layers, Content) {
    let layers = Layers::new();
    let content = Content::pattern(7, SIZE);
    layers.world.lab.objects().put(BUCKET, "dir/big", content.clone());
    (layers, content)
}

/// GETs and their bytes since this was asked last.
fn got(layers: &Layers) -> (u64, u64) {
    let counts = layers.world.lab.counts();
    layers.world.lab.reset_counts();
    (counts.gets, counts.bytes_sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_blocks_are_written_without_asking_for_a_byte() {
    let (layers, content) = layers();
    let mount = layers.mount();
    let file = mount.open("dir/big", WRITE).await.unwrap();
    got(&layers);
    let new = vec![1; 2 * BLOCK as usize];
    assert!(matches!(file.try_write_at(BLOCK, &new), Some(Ok(n)) if n == 2 * BLOCK));
    // The last block, which is shorter, and more.
    within(file.write_at(10 * BLOCK, &[2; 300])).await.unwrap();
    assert_eq!(got(&layers).0, 0);
    // What was written is read without asking, too.
    let mut buf = vec![0; BLOCK as usize];
    assert!(matches!(file.try_read_at(BLOCK + 5, &mut buf), Some(Ok(n)) if n == buf.len()));
    assert_eq!(buf, new[..buf.len()]);
    assert_eq!(got(&layers).0, 0);
    assert_eq!(file.len().unwrap(), 10 * BLOCK + 300);
    // A read over both brings what is absent, and keeps what is here.
    let mut buf = vec![0; 4 * BLOCK as usize];
    assert!(file.try_read_at(0, &mut buf).is_none());
    assert_eq!(within(file.read_at(0, &mut buf)).await.unwrap(), buf.len());
    content.check(0, &buf[..BLOCK as usize]).unwrap();
    assert_eq!(buf[BLOCK as usize..3 * BLOCK as usize], new);
    content.check(3 * BLOCK, &buf[3 * BLOCK as usize..]).unwrap();
    assert!(got(&layers).0 > 0);
    assert!(file.try_read_at(0, &mut buf).is_some(), "it was kept");
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_into_a_block_brings_that_block_alone() {
    let (layers, content) = layers();
    let mount = layers.mount();
    let file = mount.open("dir/big", WRITE).await.unwrap();
    got(&layers);
    assert!(file.try_write_at(4 * BLOCK + 10, b"new").is_none());
    within(file.write_at(4 * BLOCK + 10, b"new")).await.unwrap();
    let (gets, bytes) = got(&layers);
    assert_eq!(gets, 1);
    assert!((BLOCK..2 * BLOCK).contains(&bytes), "{bytes} bytes for one block");
    let mut buf = vec![0; BLOCK as usize];
    assert!(matches!(file.try_read_at(4 * BLOCK, &mut buf), Some(Ok(_))));
    content.check(4 * BLOCK, &buf[..10]).unwrap();
    assert_eq!(&buf[10..13], b"new");
    content.check(4 * BLOCK + 13, &buf[13..]).unwrap();
    assert_eq!(got(&layers).0, 0);
    // A commit hears of that block alone.
    let changes: Vec<_> = mount
        .merged
        .upper()
        .changes()
        .map(|change| change.unwrap())
        .collect();
    let What::Node { content, .. } = &changes[0].what else {
        panic!("{changes:?}");
    };
    let dirty = vec![ByteRange::at(4 * BLOCK, BLOCK)];
    assert_eq!(*content, ContentChange::Parts { dirty, len: SIZE });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_opened_to_be_written_and_is_not_is_unchanged() {
    let (layers, content) = layers();
    let mount = layers.mount();
    let before = mount.walk("dir/big").await.unwrap();
    got(&layers);
    let file = mount.open("dir/big", WRITE).await.unwrap();
    assert_eq!(got(&layers).0, 0);
    assert_eq!(mount.merged.upper().changes().count(), 0);
    // Read, it is read from below and nothing is kept here.
    let mut buf = vec![0; 100];
    assert!(file.try_read_at(0, &mut buf).is_none());
    within(file.read_at(BLOCK, &mut buf)).await.unwrap();
    content.check(BLOCK, &buf).unwrap();
    assert_eq!(mount.merged.upper().changes().count(), 0);
    assert!(mount.merged.opened_above(before.ino).unwrap().is_none());
    let after = mount.walk("dir/big").await.unwrap();
    assert_eq!(
        (before.ino, before.mode, before.size, before.mtime, before.blocks),
        (after.ino, after.mode, after.size, after.mtime, after.blocks)
    );
    drop(file);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_is_never_asked_for() {
    let (layers, content) = layers();
    let mount = layers.mount();
    let ino = mount.walk("dir/big").await.unwrap().ino;
    got(&layers);
    // By a size, and then longer again: zeros.
    let size = |size| MergedSet {
        size: Some(size),
        ..MergedSet::default()
    };
    let attr = within(mount.merged.set_attrs(ino, size(BLOCK + 10)))
        .await
        .unwrap();
    assert_eq!((attr.ino, attr.size), (ino, BLOCK + 10));
    within(mount.merged.set_attrs(ino, size(3 * BLOCK)))
        .await
        .unwrap();
    assert_eq!(got(&layers).0, 0);
    let all = mount.read("dir/big").await.unwrap();
    assert_eq!(all.len() as u64, 3 * BLOCK);
    content.check(0, &all[..BLOCK as usize + 10]).unwrap();
    assert!(all[BLOCK as usize + 10..].iter().all(|byte| *byte == 0));
    got(&layers);
    // To nothing.
    let file = mount.open("dir/big", TRUNCATE).await.unwrap();
    assert_eq!(file.len().unwrap(), 0);
    within(file.write_at(BLOCK, b"x")).await.unwrap();
    assert_eq!(got(&layers).0, 0);
    assert!(file.whole_fd().is_some() && file.whole().is_some());
    assert_eq!(mount.read("dir/big").await.unwrap().len() as u64, BLOCK + 1);
    drop(file);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opened_it_before_it_was_written_reads_what_was_written() {
    let (layers, _) = layers();
    let mount = layers.mount();
    let ino = mount.walk("dir/big").await.unwrap().ino;
    assert!(matches!(
        within(mount.merged.open(ino, READ)).await.unwrap(),
        MergedOpen::Lower
    ));
    assert!(mount.merged.opened_above(ino).unwrap().is_none());
    assert!(mount.merged.still_lower(ino));
    let file = mount.open("dir/big", WRITE).await.unwrap();
    within(file.write_at(0, &vec![9; BLOCK as usize])).await.unwrap();
    drop(file);
    let above = mount.merged.opened_above(ino).unwrap().unwrap();
    let mut buf = [0; 4];
    assert!(matches!(above.try_read_at(2, &mut buf), Some(Ok(4))));
    assert_eq!(buf, [9; 4]);
    assert!(!mount.merged.still_lower(ino));
    assert_eq!(mount.walk("dir/big").await.unwrap().ino, ino);
    drop(above);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_rest_comes_from_the_same_version() {
    let (layers, content) = layers();
    {
        let mount = layers.mount();
        let file = mount.open("dir/big", WRITE).await.unwrap();
        within(file.write_at(5 * BLOCK, &vec![3; BLOCK as usize]))
            .await
            .unwrap();
        drop(file);
        mount.mv("dir/big", "moved").await.unwrap();
    }
    let mount = layers.mount();
    got(&layers);
    assert_eq!(mount.walk("moved").await.unwrap().size, SIZE);
    assert_eq!(mount.ls("dir").await, [""; 0]);
    assert_eq!(got(&layers).0, 0);
    let all = mount.read("moved").await.unwrap();
    assert_eq!(all.len() as u64, SIZE);
    content.check(0, &all[..5 * BLOCK as usize]).unwrap();
    assert!(
        all[5 * BLOCK as usize..6 * BLOCK as usize]
            .iter()
            .all(|byte| *byte == 3)
    );
    content.check(6 * BLOCK, &all[6 * BLOCK as usize..]).unwrap();
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_file_that_changed_is_an_error_and_never_a_mixture() {
    let (layers, _) = layers();
    for restart in [false, true] {
        layers
            .world
            .lab
            .objects()
            .put(BUCKET, "dir/big", Content::pattern(7, SIZE));
        let mut mount = layers.mount();
        let name = if restart { "dir/big" } else { "dir/kept" };
        if !restart {
            layers
                .world
                .lab
                .objects()
                .put(BUCKET, "dir/kept", Content::pattern(7, SIZE));
        }
        let file = mount.open(name, WRITE).await.unwrap();
        within(file.write_at(0, &vec![1; BLOCK as usize])).await.unwrap();
        layers
            .world
            .lab
            .objects()
            .put(BUCKET, name, Content::pattern(8, SIZE));
        let mut file = file;
        if restart {
            drop(file);
            drop(mount);
            mount = layers.mount();
            file = mount.open(name, WRITE).await.unwrap();
        }
        let mut buf = vec![0; SIZE as usize];
        let read = within(file.read_at(0, &mut buf)).await;
        let failed = within(file.write_at(3 * BLOCK + 1, b"x")).await;
        for error in [read.unwrap_err(), failed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
        }
        // What is here can be read still, and what needs nothing be written.
        assert!(matches!(file.try_read_at(0, &mut buf[..100]), Some(Ok(100))));
        assert!(matches!(
            file.try_write_at(BLOCK, &vec![1; BLOCK as usize]),
            Some(Ok(BLOCK))
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_zeros_and_copies_bring_what_they_need() {
    let (layers, content) = layers();
    let mount = layers.mount();
    let file = mount.open("dir/big", WRITE).await.unwrap();
    assert_eq!(file.seek_data(5).unwrap(), Some(5));
    assert_eq!(file.seek_hole(5).unwrap(), Some(SIZE));
    assert_eq!(file.seek_data(SIZE).unwrap(), None);
    within(file.punch(BLOCK + 1, 2 * BLOCK)).await.unwrap();
    within(file.zero(SIZE - 1, 11, false)).await.unwrap();
    within(file.zero(0, 1, true)).await.unwrap();
    let copy = mount.create("copy").await.unwrap();
    let mut at = 0;
    loop {
        let done = within(copy.copy_from(&file, at, at, u64::MAX / 4)).await.unwrap();
        if done == 0 {
            break;
        }
        at += done;
    }
    assert_eq!(at, SIZE + 10);
    let all = mount.read("copy").await.unwrap();
    assert_eq!(all, mount.read("dir/big").await.unwrap());
    assert_eq!(all[0], 0);
    content.check(1, &all[1..BLOCK as usize + 1]).unwrap();
    let hole = BLOCK as usize + 1..3 * BLOCK as usize + 1;
    assert!(all[hole].iter().all(|byte| *byte == 0));
    content
        .check(3 * BLOCK + 1, &all[3 * BLOCK as usize + 1..SIZE as usize - 1])
        .unwrap();
    assert!(all[SIZE as usize - 1..].iter().all(|byte| *byte == 0));
    // Into a file that is below.
    layers.world.put("small", "0123456789");
    let small = mount.open("small", WRITE).await.unwrap();
    assert_eq!(within(small.copy_from(&copy, 5, 2, 3)).await.unwrap(), 3);
    let text = mount.read("small").await.unwrap();
    assert_eq!(
        (&text[..2], &text[2..5], &text[5..]),
        (&b"01"[..], &all[5..8], &b"56789"[..])
    );
    within(copy.allocate(0, 2 * SIZE, true)).await.unwrap();
    assert_eq!(copy.len().unwrap(), SIZE + 10);
    within(copy.sync(true)).await.unwrap();
    within(file.sync(false)).await.unwrap();
    drop((file, copy, small));
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_come_up_alone() {
    let (layers, content) = layers();
    let mount = layers.mount();
    let ino = mount.walk("dir/big").await.unwrap().ino;
    got(&layers);
    let set = MergedSet {
        attrs: SetAttrs {
            mode: Some(0o600),
            mtime: Some(SetTime::At(5_000_000_001)),
            ..SetAttrs::default()
        },
        size: None,
    };
    for at in [ino, mount.walk("dir").await.unwrap().ino, Ino::ROOT] {
        let attr = within(mount.merged.set_attrs(at, set)).await.unwrap();
        assert_eq!((attr.ino, attr.mode, attr.mtime), (at, 0o600, 5_000_000_001));
    }
    assert_eq!(got(&layers).0, 0);
    drop(mount);
    let mount = layers.mount();
    for path in ["dir/big", "dir", ""] {
        let attr = mount.walk(path).await.unwrap();
        assert_eq!((attr.mode, attr.mtime), (0o600, 5_000_000_001), "{path}");
    }
    content.check(0, &mount.read("dir/big").await.unwrap()).unwrap();
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_lives_as_long_as_the_kernel_holds_it() {
    let (layers, _) = layers();
    layers.world.put("lower", "lower");
    let mount = layers.mount();
    mount.write("new", "new").await.unwrap();
    let (new, lower) = (
        mount.walk("new").await.unwrap(),
        mount.walk("lower").await.unwrap(),
    );
    mount.unlink("new").await.unwrap();
    mount.unlink("lower").await.unwrap();
    for attr in [new, lower] {
        let now = within(mount.merged.attr(attr.ino)).await.unwrap();
        assert_eq!((now.nlink, now.size), (0, attr.size));
        let set = SetAttrs {
            mode: Some(0o700),
            ..SetAttrs::default()
        };
        let set = MergedSet {
            attrs: set,
            size: None,
        };
        assert_eq!(
            within(mount.merged.set_attrs(attr.ino, set)).await.unwrap().mode,
            0o700
        );
        assert_eq!(within(mount.merged.attr(attr.ino)).await.unwrap().mode, 0o700);
    }
    assert_eq!(mount.read_ino(new).await.unwrap(), b"new");
    assert_eq!(mount.read_ino(lower).await.unwrap(), b"lower");
    mount.forget_all();
    let gone = within(mount.merged.attr(new.ino)).await;
    assert!(matches!(gone, Err(MergedError::Stale { .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_waited_for_is_only_what_is_below() {
    use futures::FutureExt;
    let (layers, _) = layers();
    let mount = layers.mount();
    mount.mkdir("made").await.unwrap();
    let dir = mount.walk("made").await.unwrap().ino;
    let name = std::ffi::OsStr::new("x");
    let (attr, file) = mount
        .merged
        .create(dir, name, crate::merged_world::new(0o644))
        .now_or_never()
        .unwrap()
        .unwrap();
    mount.took(attr);
    file.write_at(0, b"abc").now_or_never().unwrap().unwrap();
    let mut buf = [0; 3];
    assert_eq!(file.read_at(0, &mut buf).now_or_never().unwrap().unwrap(), 3);
    mount.took(mount.merged.lookup(dir, name).now_or_never().unwrap().unwrap());
    let missing = mount
        .merged
        .lookup(dir, std::ffi::OsStr::new("y"))
        .now_or_never()
        .unwrap();
    assert!(matches!(
        missing,
        Err(MergedError::NotFound {
            valid: Duration::MAX,
            ..
        })
    ));
    assert_eq!(
        mount.merged.read_dir(dir).now_or_never().unwrap().unwrap().len(),
        1
    );
    mount.merged.unlink(dir, name).now_or_never().unwrap().unwrap();
    drop(file);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_below_is_removed_without_asking() {
    let (layers, _) = layers();
    let mount = layers.mount();
    let dir = mount.walk("dir").await.unwrap().ino;
    mount.create("dir/tmp").await.unwrap();
    mount.mv("dir/tmp", "dir/other").await.unwrap();
    // Later than names are believed.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    layers.world.asked();
    let name = std::ffi::OsStr::new("other");
    within(mount.merged.unlink(dir, name)).await.unwrap();
    assert_eq!(layers.world.asked(), (0, 0));
    // Nothing is left of it: what comes to be below is seen.
    layers.world.put("dir/other", "below");
    layers.world.put("dir/tmp", "below");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(mount.ls("dir").await, ["big", "other", "tmp"]);
    mount.forget_all();
}
