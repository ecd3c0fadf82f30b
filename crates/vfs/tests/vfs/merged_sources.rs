//! Other trees below than a bucket: a local directory, and a manifest, which has symbolic links.

use std::path::Path;
use std::sync::Arc;

use forebay_manifest::{
    Base, ChunkSize, Content, FileEntry, FileKind, Hash, Kind, ManifestBuilder, ManifestPath,
};
use forebay_source::{Location, Opener, SourceOptions};
use forebay_types::ErrorKind;
use forebay_vfs::merged::MergedSet;
use forebay_vfs::overlay::{NodeKind, Rename, SetAttrs};
use forebay_vfs::{BucketNamespace, ManifestNamespace, Namespace};
use object_store::ObjectStoreExt;

use crate::commit_world::{DATA, Job};
use crate::merged_world::{Mount, WRITE, errno};
use crate::world::{BUCKET, config, within};

async fn local(lower: &Path, upper: &Path) -> Mount {
    let location: Location = lower.to_str().unwrap().parse().unwrap();
    let source = Opener::new(SourceOptions::default()).open(&location).unwrap();
    let name = location.file_name();
    let found = within(BucketNamespace::find(source, name.as_deref(), config())).await;
    Mount::new(Arc::new(found.unwrap()), upper)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_directory_is_never_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let (lower, upper) = (dir.path().join("lower"), dir.path().join("upper"));
    std::fs::create_dir_all(lower.join("sub/empty")).unwrap();
    std::fs::write(lower.join("file"), "below").unwrap();
    std::fs::write(lower.join("other"), "other").unwrap();
    let mount = local(&lower, &upper).await;
    assert_eq!(mount.ls("").await, ["file", "other", "sub/"]);
    // Directories without names of which nothing is above.
    let empty = mount.walk("sub/empty").await.unwrap();
    mount.rmdir("sub/empty").await.unwrap();
    assert_eq!(within(mount.merged.attr(empty.ino)).await.unwrap().nlink, 0);
    assert!(within(mount.merged.read_dir(empty.ino)).await.unwrap().is_empty());
    mount.rmdir("sub").await.unwrap();
    let file = mount.open("file", WRITE).await.unwrap();
    within(file.write_at(1, b"E")).await.unwrap();
    drop(file);
    let other = mount.open("other", WRITE).await.unwrap();
    assert_eq!(mount.text("file").await, "bElow");
    mount.mv("file", "moved").await.unwrap();
    drop(other);
    mount.forget_all();
    drop(mount);
    // It comes from the version that came up, or not at all.
    std::fs::write(lower.join("other"), "another one").unwrap();
    let mount = local(&lower, &upper).await;
    assert_eq!(mount.ls("").await, ["moved", "other"]);
    assert_eq!(mount.text("moved").await, "bElow");
    let changed = mount.read("other").await.unwrap_err();
    assert_eq!(changed.kind(), ErrorKind::Changed, "{changed}");
    assert_eq!(std::fs::read_to_string(lower.join("file")).unwrap(), "below");
    mount.forget_all();
}

async fn manifest() -> Arc<dyn Namespace> {
    let entry = |path: &'static str, kind| FileEntry {
        path: ManifestPath::new(path.as_bytes()),
        kind,
    };
    let file = FileKind::Regular {
        size: 3,
        mtime: 1_700_000_000_000_001,
        runnable: true,
        content: Content::Hash(Hash::of(b"abc")),
    };
    let link = FileKind::Symlink {
        target: ManifestPath::new(b"d/run.sh"),
    };
    let mut builder = ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(ChunkSize::Bytes(4));
    builder.file(&entry("d/link", link.clone())).unwrap();
    builder.file(&entry("d/other", link)).unwrap();
    builder.file(&entry("d/run.sh", file)).unwrap();
    let opener = Opener::new(SourceOptions::default());
    let below = opener.memory();
    let key = object_store::path::Path::from(Hash::of(b"abc").object_key());
    below.store.put(&key, b"abc".as_slice().into()).await.unwrap();
    let manifest = builder.finish().unwrap();
    Arc::new(ManifestNamespace::new(manifest, opener.open_cas(&below), Arc::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_links_are_moved_linked_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let upper = dir.path().join("upper");
    let below = manifest().await;
    let mount = Mount::new(below.clone(), &upper);
    let link = mount.walk("d/link").await.unwrap();
    assert_eq!((link.kind, link.mode), (NodeKind::Symlink, 0o777));
    let target = within(mount.merged.read_link(link.ino)).await.unwrap();
    assert_eq!(&*target, b"run.sh");
    let linked = mount.link("d/link", "hard").await.unwrap();
    assert_eq!(
        (linked.ino, linked.nlink, linked.mtime),
        (link.ino, 2, link.mtime)
    );
    mount.mv("d/link", "moved").await.unwrap();
    assert_eq!(within(mount.merged.read_link(link.ino)).await.unwrap(), target);
    mount.rename("d/other", "moved", Rename::Exchange).await.unwrap();
    assert_eq!(mount.ls("").await, ["d/", "hard@", "moved@"]);
    assert_eq!(mount.ls("d").await, ["other@", "run.sh"]);
    mount.unlink("moved").await.unwrap();
    // The bits of a file that may be executed.
    let file = mount.walk("d/run.sh").await.unwrap();
    assert_eq!(file.mode, 0o755);
    let attrs = SetAttrs {
        mtime: Some(forebay_vfs::overlay::SetTime::At(7)),
        ..SetAttrs::default()
    };
    let set = MergedSet { attrs, size: None };
    assert_eq!(
        within(mount.merged.set_attrs(file.ino, set)).await.unwrap().mode,
        0o755
    );
    mount.forget_all();
    drop(mount);
    let mount = Mount::new(below, &upper);
    assert_eq!(mount.ls("").await, ["d/", "hard@"]);
    let (one, two) = (
        mount.walk("hard").await.unwrap(),
        mount.walk("d/other").await.unwrap(),
    );
    assert_eq!((one.ino, one.nlink), (two.ino, 2));
    assert_eq!(within(mount.merged.read_link(one.ino)).await.unwrap(), target);
    assert_eq!(mount.text("d/run.sh").await, "abc");
    assert_eq!(errno(mount.walk("d/link").await), rustix::io::Errno::NOENT);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_over_a_chunk_that_is_absent_keeps_what_is_here_of_the_others() {
    const CHUNK: usize = 128 << 10;
    let mut random = fastrand::Rng::with_seed(11);
    let lower: Vec<u8> = (0..3 * CHUNK).map(|_| random.u8(..)).collect();
    let job = Job::cut(&[("big", &lower)], Some(CHUNK));
    let dir = tempfile::tempdir().unwrap();
    let mount = job.mount(&job.base, &dir.path().join("upper"));
    let file = mount.open("big", WRITE).await.unwrap();
    // The first is written, the last is brought.
    let mut expected = lower.clone();
    expected[..CHUNK].fill(1);
    within(file.write_at(0, &expected[..CHUNK])).await.unwrap();
    let mut last = vec![0; CHUNK];
    assert_eq!(
        within(file.read_at(2 * CHUNK as u64, &mut last)).await.unwrap(),
        CHUNK
    );
    let key = |chunk: usize| {
        let bytes = &lower[chunk * CHUNK..(chunk + 1) * CHUNK];
        format!("{DATA}/{}", Hash::of(bytes).object_key())
    };

    // Without the one between them there is no answer, and what the others have stays.
    let objects = job.world.lab.objects();
    assert!(objects.delete(BUCKET, &key(1)));
    let mut all = vec![0; 3 * CHUNK];
    assert!(file.try_read_at(0, &mut all).is_none());
    let missing = within(file.read_at(0, &mut all)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let mut part = vec![0; CHUNK];
    for chunk in [0, 2] {
        let at = chunk * CHUNK;
        assert!(matches!(file.try_read_at(at as u64, &mut part), Some(Ok(CHUNK))));
        assert_eq!(part, expected[at..at + CHUNK]);
    }

    // With it, it is all that is asked for.
    objects.put(BUCKET, &key(1), lower[CHUNK..2 * CHUNK].to_vec());
    job.world.lab.reset_counts();
    assert_eq!(within(file.read_at(0, &mut all)).await.unwrap(), all.len());
    assert_eq!(all, expected);
    let counts = job.world.lab.counts();
    let asked = counts.keys.iter().filter(|(_, counts)| counts.gets > 0);
    let asked: Vec<_> = asked.map(|(key, _)| key.clone()).collect();
    assert_eq!(asked, [format!("{BUCKET}/{}", key(1))]);
    assert!(matches!(file.try_read_at(0, &mut all), Some(Ok(n)) if n == all.len()));
    drop(file);
    mount.forget_all();
}
