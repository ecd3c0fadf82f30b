//! A changed tree becomes a manifest.

use forebay_manifest::{ChunkSize, FileKind, Hash, Kind, Limits, Manifest, ManifestPath, Version, compose};
use forebay_types::ErrorKind;
use forebay_vfs::commit::{CommitError, DraftReason, ManifestOptions, Put};
use forebay_vfs::overlay::{SetAttrs, SpecialKind};
use std::sync::atomic::Ordering;

use crate::commit_world::{DATA, Files, Job, MANIFEST, MTIME, all, manifest, new};
use crate::world::BUCKET;

const BLOCK: usize = 64 << 10;

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed.into());
    (0..len).map(|_| random.u8(..)).collect()
}

fn text(manifest: &Manifest) -> String {
    String::from_utf8(manifest.encode()).unwrap()
}

fn draft() -> ManifestOptions {
    ManifestOptions {
        version: Some(Version::Beta2025),
        ..ManifestOptions::default()
    }
}

fn diff() -> ManifestOptions {
    ManifestOptions {
        kind: Kind::Diff,
        ..ManifestOptions::default()
    }
}

fn v2023() -> ManifestOptions {
    ManifestOptions {
        version: Some(Version::V2023),
        ..ManifestOptions::default()
    }
}

/// Objects that the lab has below the prefix of contents.
fn puts(job: &Job) -> u64 {
    let counts = job.world.lab.counts();
    job.world.lab.reset_counts();
    counts.puts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_as_it_is_becomes_a_manifest_and_only_new_contents_are_sent() {
    let big = pattern(5 * BLOCK + 17, 1);
    let job = Job::new(&[
        ("scene/big.exr", &big),
        ("scene/gone.txt", b"gone"),
        ("scene/moved.txt", b"moved"),
        ("same.txt", b"same"),
        ("touched.txt", b"touched"),
    ]);
    job.write("scene/big.exr", 100, b"changed");
    job.touch("scene/big.exr", 5);
    job.create("scene/new.txt", b"new");
    job.touch("scene/new.txt", -7);
    // What the store has already, though under another name.
    job.create("copy.txt", b"same");
    job.touch("copy.txt", 9);
    job.hide("scene/gone.txt");
    job.file("scene/moved.txt");
    job.rename("scene/moved.txt", "\u{1f600}.txt");
    job.touch("touched.txt", 11);

    let mut files = Files::new();
    let mut changed = big.clone();
    changed[100..107].copy_from_slice(b"changed");
    files.insert("scene/big.exr".into(), changed);
    files.insert("scene/new.txt".into(), b"new".to_vec());
    files.insert("copy.txt".into(), b"same".to_vec());
    files.insert("same.txt".into(), b"same".to_vec());
    files.insert("touched.txt".into(), b"touched".to_vec());
    files.insert("\u{1f600}.txt".into(), b"moved".to_vec());
    let times = [
        ("scene/big.exr", 5),
        ("scene/new.txt", -7),
        ("copy.txt", 9),
        ("touched.txt", 11),
    ];
    let mtime = |path: &str| {
        times
            .iter()
            .find(|(of, _)| *of == path)
            .map_or(MTIME, |(_, mtime)| *mtime)
    };
    let expected = manifest(files.iter().map(|(path, bytes)| (path, bytes, mtime(path))), None);

    puts(&job);
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(text(&done.manifest), text(&expected));
    assert_eq!(job.stored().as_ref(), Some(&done.manifest));
    assert_eq!(
        (done.hash, done.draft, done.put),
        (expected.hash(), None, Put::Stored)
    );
    assert_eq!(done.bytes, expected.encode().len() as u64);
    job.check_contents(&expected);
    // big.exr, new.txt and the manifest.
    assert_eq!(puts(&job), 3);
    assert_eq!((done.stats.uploaded_objects, done.stats.there_objects), (2, 1));
    assert_eq!(done.stats.uploaded, big.len() as u64 + 3);
    assert_eq!(done.stats.hashed, big.len() as u64 + 3 + 4);
    assert_eq!((done.stats.files, done.stats.files_done), (5, 5));

    // Nothing was taken from the overlay: the same again, and nothing is sent.
    let again = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(
        (text(&again.manifest), again.put),
        (text(&expected), Put::SameWasThere)
    );
    assert_eq!((again.stats.uploaded_objects, again.stats.there_objects), (0, 3));
    // The manifest, refused.
    assert_eq!(puts(&job), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_changes_the_base_is_written_again() {
    let job = Job::new(&[("a", b"a"), ("b/c", b"c")]);
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(text(&done.manifest), text(&job.base));
    assert_eq!((done.stats.files, done.stats.hashed), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_laid_over_the_base_is_the_whole() {
    for chunk in [None, Some(2 * BLOCK)] {
        let big = pattern(5 * BLOCK, 2);
        let job = Job::cut(
            &[
                ("dir/big", &big),
                ("dir/gone", b"gone"),
                ("old/a", b"a"),
                ("old/b/c", b"c"),
                ("top", b"top"),
            ],
            chunk,
        );
        job.write("dir/big", 3 * BLOCK as u64, &[0; 9]);
        job.hide("dir/gone");
        job.dir("old");
        job.rename("old", "new");
        job.create("made", b"made");
        let (root, name) = job.place("empty");
        job.upper.mkdir(root, name, new(0o755)).unwrap();
        job.upper.symlink(root, b"link", b"dir/big", new(0o777)).unwrap();

        let mut order = job.order(diff());
        order.parent = Some(job.base.hash());
        order.manifest.replace = true;
        let changes = job.commit_as(&order).await.unwrap();
        assert_eq!(changes.draft, Some(DraftReason::Diff));
        assert_eq!(
            (changes.manifest.kind(), changes.manifest.parent()),
            (Kind::Diff, Some(&job.base.hash()))
        );
        let deleted: Vec<_> = changes
            .manifest
            .files()
            .filter(|file| file.kind == FileKind::Deleted)
            .map(|file| file.path.to_string())
            .collect();
        assert_eq!(deleted, ["dir/gone", "old/a", "old/b/c"]);

        order.options = draft();
        let whole = job.commit_as(&order).await.unwrap();
        assert_eq!(whole.stats.uploaded_objects, 0);
        let composed = compose(&[&job.base, &changes.manifest]).unwrap();
        assert_eq!(text(&composed), text(&whole.manifest));
        job.check_contents(&whole.manifest);
        let dirs: Vec<_> = whole.manifest.dirs().map(|dir| dir.path.to_string()).collect();
        assert_eq!(dirs, ["dir", "empty", "new", "new/b"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_in_chunks_only_those_that_changed_are_read() {
    let chunk = 2 * BLOCK;
    let big = pattern(9 * BLOCK, 3);
    let job = Job::cut(&[("big", &big), ("other", b"other")], Some(chunk));
    // In the third of five.
    job.write("big", 4 * BLOCK as u64 + 5, b"xyz");
    let before = job.brought.load(Ordering::Relaxed);
    puts(&job);
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    let mut files = job.lower.clone();
    files.get_mut("big").unwrap()[4 * BLOCK + 5..4 * BLOCK + 8].copy_from_slice(b"xyz");
    let of = |path: &String| {
        let file = done.manifest.find(ManifestPath::new(path.as_bytes())).unwrap();
        match done.manifest.file(file).unwrap().kind {
            FileKind::Regular { mtime, .. } => mtime,
            _ => panic!("{path} is no file"),
        }
    };
    let expected = manifest(
        files.iter().map(|(path, bytes)| (path, bytes, of(path))),
        Some(chunk),
    );
    assert_eq!(text(&done.manifest), text(&expected));
    assert_eq!(done.draft, Some(DraftReason::Chunks { path: "big".into() }));
    job.check_contents(&expected);
    assert_eq!(done.stats.hashed, chunk as u64);
    // The other block of the chunk.
    assert_eq!(job.brought.load(Ordering::Relaxed) - before, BLOCK as u64);
    assert_eq!(puts(&job), 2);
    // Cut, it has another last chunk; what is before stays.
    let id = job.file("big");
    job.upper.data(id).unwrap().truncate(7 * BLOCK as u64).unwrap();
    let mut order = job.order(ManifestOptions::default());
    order.manifest.replace = true;
    let cut = job.commit_as(&order).await.unwrap();
    assert_eq!(
        (cut.stats.hashed, cut.stats.uploaded),
        ((chunk + BLOCK) as u64, BLOCK as u64)
    );
    job.check_contents(&cut.manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_it_a_draft_is_said_or_refused() {
    type Change = fn(&Job);
    let cases: [(Change, DraftReason); 5] = [
        (
            |job| {
                let root = job.upper.root();
                job.upper.symlink(root, b"link", b"a", new(0o777)).unwrap();
            },
            DraftReason::Symlink { path: "link".into() },
        ),
        (
            |job| {
                let (dir, name) = job.place("run.sh");
                job.upper.create(dir, name, new(0o755)).unwrap();
            },
            DraftReason::Executable {
                path: "run.sh".into(),
            },
        ),
        (
            |job| {
                let (dir, name) = job.place("empty");
                job.upper.mkdir(dir, name, new(0o755)).unwrap();
            },
            DraftReason::EmptyDir { path: "empty".into() },
        ),
        // Its last file went, and it stays.
        (
            |job| job.hide("dir/b"),
            DraftReason::EmptyDir { path: "dir".into() },
        ),
        (
            |job| {
                job.hide("a");
                job.hide("dir");
            },
            DraftReason::NoFiles,
        ),
    ];
    for (change, reason) in cases {
        let job = Job::new(&[("a", b"a"), ("dir/b", b"b")]);
        change(&job);
        let error = job.commit(v2023()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&reason.to_string()), "{error}");
        assert_eq!(job.stored(), None);
        let done = job.commit(ManifestOptions::default()).await.unwrap();
        assert_eq!(done.draft.as_ref(), Some(&reason));
        assert_eq!(done.manifest.version(), Version::Beta2025);
        assert_eq!(done.manifest.chunk_size(), ChunkSize::Bytes(256 << 20));
        job.check_contents(&done.manifest);
    }
    let job = Job::new(&[("a", b"a")]);
    let done = job.commit(draft()).await.unwrap();
    assert_eq!(done.draft, Some(DraftReason::Asked));
    let options = ManifestOptions {
        kind: Kind::Diff,
        ..v2023()
    };
    let error = job.commit(options).await.unwrap_err();
    assert!(error.to_string().contains("cannot hold a diff"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_of_a_file_is_a_file_and_any_name_will_do() {
    let job = Job::new(&[("a", b"a")]);
    let root = job.upper.root();
    job.create("one", b"several names");
    job.upper.link(job.file("one"), root, b"two\xff").unwrap();
    job.upper.link(job.file("a"), root, b"\xed\xb3\xbf").unwrap();
    job.upper
        .mknod(root, b"pipe", SpecialKind::Fifo, 0, new(0o600))
        .unwrap();
    puts(&job);
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(
        done.left_out,
        [(Box::<[u8]>::from(&b"pipe"[..]), SpecialKind::Fifo)]
    );
    assert_eq!(done.split, 1);
    let mut names: Vec<_> = done
        .manifest
        .files()
        .map(|file| file.path.as_bytes().to_vec())
        .collect();
    names.sort();
    assert_eq!(names, [&b"a"[..], b"one", b"two\xff", b"\xed\xb3\xbf"]);
    job.check_contents(&done.manifest);
    // One content for both names, and the manifest.
    assert_eq!(puts(&job), 2);
    assert_eq!(done.stats.hashed, b"several names".len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_moved_or_given_attributes_is_not_read() {
    let big = pattern(3 * BLOCK, 4);
    let job = Job::new(&[("dir/big", &big), ("x", b"x")]);
    let mode = SetAttrs {
        mode: Some(0o600),
        ..SetAttrs::default()
    };
    job.upper.set_attrs(job.file("dir/big"), &mode).unwrap();
    job.rename("dir/big", "big");
    job.create("dir/stays", b"x");
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(done.draft, None);
    assert_eq!((done.stats.hashed, job.brought.load(Ordering::Relaxed)), (1, 0));
    let file = done.manifest.find(ManifestPath::new(b"big")).unwrap();
    let FileKind::Regular { size, mtime, .. } = done.manifest.file(file).unwrap().kind else {
        panic!("it is a file");
    };
    assert_eq!((size, mtime), (big.len() as u64, MTIME));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_manifest_is_not_replaced_unless_that_is_asked_for() {
    let job = Job::new(&[("a", b"a")]);
    job.world.lab.objects().put(BUCKET, MANIFEST, "another");
    let error = job.commit(ManifestOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(MANIFEST), "{error}");
    let mut order = job.order(ManifestOptions::default());
    order.manifest.replace = true;
    order.manifest.attributes.insert(
        object_store::Attribute::Metadata("asset-root".into()),
        "/projects".into(),
    );
    job.commit_as(&order).await.unwrap();
    let object = job.world.lab.objects().get(BUCKET, MANIFEST).unwrap();
    assert_eq!(object.attributes.metadata["asset-root"], "/projects");
    let stored = Manifest::decode(&all(&object), &Limits::default()).unwrap();
    assert_eq!(text(&stored), text(&job.base));
}

#[tokio::test(flavor = "multi_thread")]
async fn bases_that_cannot_be_mounted_are_refused() {
    let job = Job::cut(&[("a", &[1; 9])], Some(4));
    let mut order = job.order(ManifestOptions::default());
    order.options.chunk_size = Some(ChunkSize::Bytes(5));
    let error = job.commit_as(&order).await.unwrap_err();
    assert!(matches!(error, CommitError::ChunkSize { .. }), "{error}");
    order.options.chunk_size = None;
    order.base = forebay_manifest::diff(&job.base, &job.base, None).unwrap().into();
    let error = job.commit_as(&order).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("it is a diff"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_told_and_not_taken_for_the_content() {
    let job = Job::new(&[("a", b"a")]);
    job.create("b", b"content");
    let key = format!("{DATA}/{}", Hash::of(b"content").object_key());
    job.world.lab.objects().put(BUCKET, &key, "half");
    let error = job.commit(ManifestOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key), "{error}");
    assert_eq!(job.stored(), None);
}
