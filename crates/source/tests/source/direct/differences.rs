//! A direct store and a file store over one directory say the same of everything in it.

use std::ops::Range;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use forebay_source::{DirectStore, FileStore, FileStoreOptions};
use forebay_types::ErrorKind;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::mounted::Mounted;
use super::world::*;
use crate::world::{kind, within};

/// What became of a request: all that a caller can see.
type Answer<T> = Result<T, (ErrorKind, String)>;
type Got = (ObjectMeta, Range<u64>, Bytes);

async fn get(store: &dyn ObjectStore, name: &str, options: GetOptions) -> Answer<Got> {
    let answer = async {
        let got = store.get_opts(&key(name), options).await?;
        let (meta, range) = (got.meta.clone(), got.range.clone());
        Ok((meta, range, got.bytes().await?))
    };
    within(answer)
        .await
        .map_err(|error: object_store::Error| (kind(&error), error.to_string()))
}

async fn get_ranges(store: &dyn ObjectStore, name: &str, ranges: &[Range<u64>]) -> Answer<Vec<Bytes>> {
    let answer = within(store.get_ranges(&key(name), ranges)).await;
    answer.map_err(|error| (kind(&error), error.to_string()))
}

struct Both {
    files: FileStore,
    direct: Vec<DirectStore>,
}

impl Both {
    fn of(root: &Path) -> Self {
        let open = |disk| DirectStore::open(root, Default::default(), &disk).unwrap();
        Self {
            files: FileStore::open(root, FileStoreOptions::default()).unwrap(),
            direct: disks().into_iter().map(open).collect(),
        }
    }

    /// The one answer to a GET. The direct stores go first: the file store would bring names into the kernel's memory.
    async fn get(&self, name: &str, options: &GetOptions) -> Answer<Got> {
        let mut answers = Vec::new();
        for store in &self.direct {
            answers.push(get(store, name, options.clone()).await);
        }
        let expected = get(&self.files, name, options.clone()).await;
        for answer in answers {
            assert!(answer == expected, "{name} {options:?}\n{answer:?}\n{expected:?}");
        }
        expected
    }

    async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Answer<Vec<Bytes>> {
        let mut answers = Vec::new();
        for store in &self.direct {
            answers.push(get_ranges(store, name, ranges).await);
        }
        let expected = get_ranges(&self.files, name, ranges).await;
        for answer in answers {
            assert!(answer == expected, "{name} {ranges:?}");
        }
        expected
    }

    /// Every kind of request, twice: names that the kernel had to look for are found on the spot after that.
    async fn ask_everything(&self, name: &str) -> Answer<Got> {
        let plain = GetOptions::new();
        let first = self.get(name, &plain).await;
        let tag = first.as_ref().ok().and_then(|(meta, ..)| meta.e_tag.clone());
        let time = first
            .as_ref()
            .map_or(DateTime::UNIX_EPOCH, |(meta, ..)| meta.last_modified);
        for range in [
            GetRange::Offset(0),
            GetRange::Offset(3),
            GetRange::Offset(1 << 40),
            GetRange::Bounded(0..1),
            GetRange::Bounded(4000..5000),
            GetRange::Bounded(5..u64::MAX),
            GetRange::Bounded(3..3),
            GetRange::Suffix(0),
            GetRange::Suffix(1),
            GetRange::Suffix(4097),
            GetRange::Suffix(u64::MAX),
        ] {
            self.get(name, &plain.clone().with_range(Some(range))).await.ok();
        }
        let other = Some("\"other\"".to_owned());
        let any = Some("*".to_owned());
        let listed = tag.as_ref().map(|tag| format!("\"x\", {tag}"));
        for tag in [&tag, &other, &any, &listed] {
            for head in [false, true] {
                let options = plain.clone().with_head(head);
                self.get(name, &options.clone().with_if_match(tag.clone()))
                    .await
                    .ok();
                self.get(name, &options.with_if_none_match(tag.clone()))
                    .await
                    .ok();
            }
        }
        for days in [-1, 0, 1] {
            let time = Some(time + TimeDelta::days(days));
            self.get(name, &plain.clone().with_if_modified_since(time))
                .await
                .ok();
            self.get(name, &plain.clone().with_if_unmodified_since(time))
                .await
                .ok();
        }
        self.get(name, &plain.clone().with_version(Some("1"))).await.ok();
        for ranges in [
            &[][..],
            &[0..1, 0..5000, 3..3000, 2..4],
            &[0..1, 1 << 40..(1 << 40) + 1],
            &[0..1, 5..5],
        ] {
            self.get_ranges(name, ranges).await.ok();
        }
        assert!(self.get(name, &plain).await == first, "{name}: another answer");
        first
    }
}

/// Files of many lengths, directories, links of all kinds, and what is no file.
fn fill(root: &Path) -> Vec<&'static str> {
    let outside = root.with_file_name("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::fs::create_dir_all(root.join("a/b/c/d/e/f/g/h")).unwrap();
    for (name, len) in [
        ("empty", 0),
        ("one", 1),
        ("unit", 4096),
        ("more", 5000),
        ("a/b/c/d/e/f/g/h/deep", 5 * MIB + 1),
    ] {
        std::fs::write(root.join(name), contents(len)).unwrap();
    }
    for (target, name) in [
        ("more", "link"),
        ("link", "chain"),
        ("a/b/../../more", "winding"),
        ("a/b", "short"),
        ("../../../more", "a/b/c/up"),
        (".", "a/self"),
        ("nowhere", "dangling"),
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
        ("../outside/secret", "out"),
        ("../outside", "out-dir"),
        ("/proc/self/root", "magic"),
        ("fifo", "to-fifo"),
        ("a", "to-dir"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    symlink(outside.join("secret"), root.join("out-absolute")).unwrap();
    symlink(root.join("more"), root.join("absolute-inside")).unwrap();
    let made = Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
    assert!(made.success());
    drop(UnixListener::bind(root.join("socket")).unwrap());
    let made = Command::new("mknod")
        .arg(root.join("device"))
        .args(["c", "1", "3"])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("device skipped: only root can make one");
    }
    vec![
        "empty",
        "one",
        "unit",
        "more",
        "a/b/c/d/e/f/g/h/deep",
        "link",
        "chain",
        "winding",
        "short/c/d/e/f/g/h/deep",
        "a/b/c/up",
        "a/self/self/b/c/up",
        "dangling",
        "loop-a",
        "out",
        "out-absolute",
        "out-dir/secret",
        "absolute-inside",
        "magic/etc/passwd",
        "to-fifo",
        "to-dir",
        "a",
        "fifo",
        "socket",
        "device",
        "never/seen",
        "never-seen",
        "more/below",
        "a/b/c/d/e/f/g/h/missing",
        ".forebay-tmp-1",
    ]
}

/// Asks for all names of [`fill`].
async fn compare(root: &Path, names: &[&str]) {
    let both = Both::of(root);
    for name in names {
        let answer = both.ask_everything(name).await;
        let expected = match *name {
            "empty" | "one" | "unit" | "more" | "link" | "chain" | "winding" => None,
            name if name.ends_with("/deep") || name.ends_with("/up") => None,
            "fifo" | "socket" | "device" | "to-fifo" => Some(ErrorKind::Invalid),
            "out" | "out-absolute" | "out-dir/secret" | "absolute-inside" | "magic/etc/passwd" => {
                Some(ErrorKind::Denied)
            }
            "loop-a" => Some(ErrorKind::LocalIo),
            _ => Some(ErrorKind::NotFound),
        };
        let got = answer.as_ref().err().map(|(kind, _)| *kind);
        assert_eq!(got, expected, "{name}: {:?}", answer.err());
    }
    let long = "n".repeat(300);
    assert!(both.ask_everything(&long).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_say_the_same_of_files_links_and_what_is_neither() {
    let dir = on_disk();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let names = fill(&root);
    // Opening a FIFO for reading would let this writer through.
    let woken = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (woken, fifo) = (woken.clone(), root.join("fifo"));
        move || {
            let file = std::fs::OpenOptions::new().write(true).open(fifo);
            woken.store(true, Ordering::SeqCst);
            file
        }
    });
    compare(&root, &names).await;
    assert!(!woken.load(Ordering::SeqCst), "somebody opened the FIFO");
    let reader = std::fs::File::open(root.join("fifo")).unwrap();
    writer.join().unwrap().unwrap();
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_say_the_same_where_the_kernel_has_to_look_for_every_name() {
    let Some(mounted) = Mounted::ext4(24 * MIB, "rw") else {
        return;
    };
    let root = mounted.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let names = fill(&root);
    for name in &names {
        // Each name first of all, so that no other brings its directories along.
        mounted.again();
        let both = Both::of(&root);
        let plain = GetOptions::new();
        let cold = both.get(name, &plain).await;
        assert!(both.get(name, &plain).await == cold, "{name}: another answer");
    }
    mounted.again();
    compare(&root, &names).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_file_was_deleted_is_not_there() {
    let (dir, store) = fresh();
    std::fs::write(dir.path().join("f"), "x").unwrap();
    let both = Both::of(dir.path());
    assert!(both.ask_everything("f").await.is_ok());
    std::fs::remove_file(dir.path().join("f")).unwrap();
    let (kind, text) = both.ask_everything("f").await.unwrap_err();
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(
        text.contains(&dir.path().join("f").display().to_string()),
        "{text}"
    );
    // What took its place is found, whatever it is.
    std::fs::create_dir(dir.path().join("f")).unwrap();
    assert!(both.ask_everything("f").await.is_err());
    std::fs::remove_dir(dir.path().join("f")).unwrap();
    std::fs::write(dir.path().join("f"), "y").unwrap();
    assert_eq!(both.ask_everything("f").await.unwrap().2, "y");
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_fewer_bytes_than_it_says_is_an_error_and_never_a_short_answer() {
    // Files of sysfs say that they have a page. They refuse O_DIRECT as well.
    let dir = Path::new("/sys/kernel/mm/transparent_hugepage");
    if !dir.join("enabled").exists() {
        return eprintln!("skipped: no {}", dir.display());
    }
    let both = Both::of(dir);
    let (kind, text) = both.get("enabled", &GetOptions::new()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Changed, "{text}");
    let first = GetOptions::new().with_range(Some(GetRange::Bounded(1..3)));
    let (meta, _, bytes) = both.get("enabled", &first).await.unwrap();
    assert!(meta.size > bytes.len() as u64 && bytes.len() == 2);
    for store in &both.direct {
        let stats = store.disk().stats();
        assert_eq!((stats.refused_files, stats.direct_bytes), (2, 0), "{stats:?}");
    }
}
