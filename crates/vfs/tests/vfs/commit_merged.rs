//! What is committed of a mounted tree, mounted again, is what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forebay_manifest::{Kind, Version, compose};
use forebay_vfs::commit::{
    CommitProgress, ManifestCommitted, ManifestOptions, ManifestOrder, commit_manifest,
};
use forebay_vfs::overlay::NodeKind;

use crate::commit_world::{DATA, Job};
use crate::merged_world::{Mount, WRITE};
use crate::world::{BUCKET, within};

const BLOCK: usize = 64 << 10;

async fn committed(mount: &Mount, order: &ManifestOrder) -> ManifestCommitted {
    let progress = Arc::new(CommitProgress::default());
    let done = within(Box::pin(commit_manifest(&mount.merged, order, &progress))).await;
    done.unwrap()
}

/// All names, with their times, and the bytes behind them.
async fn seen(mount: &Mount) -> BTreeMap<String, (NodeKind, u32, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for name in mount.ls(&dir).await {
            let path = format!("{dir}/{}", name.trim_end_matches(['/', '@']));
            let attr = mount.walk(&path).await.unwrap();
            let (mtime, bytes) = match attr.kind {
                NodeKind::Dir => {
                    dirs.push(path.clone());
                    (0, Vec::new())
                }
                NodeKind::Symlink => (
                    0,
                    within(mount.merged.read_link(attr.ino)).await.unwrap().into_vec(),
                ),
                // As manifests have it.
                _ => (attr.mtime / 1000, mount.read_ino(attr).await.unwrap()),
            };
            all.insert(path, (attr.kind, attr.mode & 0o100, mtime, bytes));
        }
    }
    all
}

async fn change(mount: &Mount) {
    let big = mount.open("dir/big", WRITE).await.unwrap();
    within(big.write_at(3 * BLOCK as u64 + 9, b"changed"))
        .await
        .unwrap();
    mount.write("dir/whole", "all of it is new").await.unwrap();
    mount.write("made", "made here").await.unwrap();
    mount.mkdir("old/fresh").await.unwrap();
    mount.mv("old", "moved").await.unwrap();
    mount.mv("moved/deep/file", "dir/file").await.unwrap();
    mount.unlink("dir/gone").await.unwrap();
    mount.symlink("moved/link", "deep/other").await.unwrap();
    mount.link("dir/big", "dir/second").await.unwrap();
    mount.unlink("bare/only").await.unwrap();
    mount.rmdir("bare").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_what_was_seen() {
    for chunk in [None, Some(2 * BLOCK)] {
        let big: Vec<u8> = (0..7 * BLOCK + 100).map(|n| (n / 251) as u8).collect();
        let job = Job::cut(
            &[
                ("dir/big", &big),
                ("dir/whole", &big[..BLOCK]),
                ("dir/gone", b"gone"),
                ("old/deep/file", b"file"),
                ("old/deep/other", b"other"),
                ("bare/only", b"only"),
                ("same", b"same"),
            ],
            chunk,
        );
        let dir = tempfile::tempdir().unwrap();
        let first = job.mount(&job.base, &dir.path().join("first"));
        change(&first).await;
        let expected = seen(&first).await;

        let mut order = job.order(ManifestOptions::default());
        let done = committed(&first, &order).await;
        assert_eq!(done.manifest.version(), Version::Beta2025);
        assert_eq!(job.stored().as_ref(), Some(&done.manifest));
        job.check_contents(&done.manifest);
        let again = job.mount(&done.manifest, &dir.path().join("second"));
        assert_eq!(seen(&again).await, expected);
        // Committing changes nothing of what is seen.
        assert_eq!(seen(&first).await, expected);

        order.manifest.replace = true;
        order.options.kind = Kind::Diff;
        let changes = committed(&first, &order).await;
        assert_eq!(changes.stats.uploaded_objects, 0);
        let composed = compose(&[&job.base, &changes.manifest]).unwrap();
        assert_eq!(composed.encode(), done.manifest.encode());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_piece_lacks_is_fetched_and_nothing_else() {
    let chunk = 4 * BLOCK;
    let mut random = fastrand::Rng::with_seed(7);
    let big: Vec<u8> = (0..16 * BLOCK).map(|_| random.u8(..)).collect();
    let job = Job::cut(&[("big", &big)], Some(chunk));
    let dir = tempfile::tempdir().unwrap();
    let mounted = job.mount(&job.base, &dir.path().join("upper"));
    let file = mounted.open("big", WRITE).await.unwrap();
    within(file.write_at(5 * BLOCK as u64, &vec![9; BLOCK]))
        .await
        .unwrap();
    drop(file);
    job.world.lab.reset_counts();
    let done = committed(&mounted, &job.order(ManifestOptions::default())).await;
    assert_eq!(
        (done.stats.hashed, done.stats.uploaded),
        (chunk as u64, chunk as u64)
    );
    let counts = job.world.lab.counts();
    let second = forebay_manifest::Hash::of(&big[chunk..2 * chunk]).object_key();
    let fetched: Vec<_> = counts
        .keys
        .iter()
        .filter(|(_, counts)| counts.gets > 0)
        .map(|(key, _)| key.clone())
        .collect();
    assert_eq!(fetched, [format!("{BUCKET}/{DATA}/{second}")]);
    job.check_contents(&done.manifest);
    assert_eq!(job.brought.load(Ordering::Relaxed), 0);
}
