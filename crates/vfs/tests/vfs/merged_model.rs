//! Any operations, on a merged tree and on a plain directory: both are the same at the end, and after each restart.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use forebay_vfs::Ino;
use forebay_vfs::merged::{MergedError, MergedSet};
use forebay_vfs::overlay::{NodeKind, Rename, SetAttrs};
use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::merged_world::{Layers, Mount, Result, WRITE};
use crate::world::within;

const BELOW: [(&str, &str); 7] = [
    ("a", "below a"),
    ("b", "below b"),
    ("c/a", "below c/a"),
    ("c/b/a", "below c/b/a"),
    ("c/b/c", "below c/b/c"),
    ("d/b", "below d/b"),
    ("d/d/d", "below d/d/d"),
];

/// A way of names out of four.
type Way = Vec<u8>;

#[derive(Clone, Debug)]
enum Step {
    Create(Way),
    Write(Way, u8, u8),
    Truncate(Way, u8),
    Unlink(Way),
    Mkdir(Way),
    Rmdir(Way),
    Symlink(Way),
    Link(Way, Way),
    Rename(Way, Way, u8),
    Chmod(Way, u8),
    List(Way),
    Forget,
    Restart,
}

fn any_way() -> impl Strategy<Value = Way> {
    prop::collection::vec(0..4u8, 1..4)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any_way().prop_map(Step::Create),
        3 => (any_way(), 0..30u8, 0..20u8).prop_map(|(way, at, len)| Step::Write(way, at, len)),
        1 => (any_way(), 0..40u8).prop_map(|(way, len)| Step::Truncate(way, len)),
        4 => any_way().prop_map(Step::Unlink),
        2 => any_way().prop_map(Step::Mkdir),
        3 => any_way().prop_map(Step::Rmdir),
        1 => any_way().prop_map(Step::Symlink),
        2 => (any_way(), any_way()).prop_map(|(from, to)| Step::Link(from, to)),
        6 => (any_way(), any_way(), 0..5u8).prop_map(|(from, to, how)| Step::Rename(from, to, how)),
        1 => (any_way(), 0..8u8).prop_map(|(way, mode)| Step::Chmod(way, mode)),
        1 => any_way().prop_map(Step::List),
        1 => Just(Step::Forget),
        1 => Just(Step::Restart),
    ]
}

fn path(way: &[u8]) -> String {
    let names: Vec<_> = way
        .iter()
        .map(|name| ["a", "b", "c", "d"][*name as usize])
        .collect();
    names.join("/")
}

/// What can be seen of a thing.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Dir { mode: u32 },
    File { mode: u32, links: u64, content: Vec<u8> },
    Link { target: Vec<u8> },
}

fn plain(root: &Path) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            let meta = fs::symlink_metadata(root.join(&path)).unwrap();
            let mode = meta.mode() & 0o7777;
            let what = if meta.is_dir() {
                dirs.push(path.clone());
                Seen::Dir { mode }
            } else if meta.is_symlink() {
                let target = fs::read_link(root.join(&path)).unwrap();
                Seen::Link {
                    target: target.into_os_string().into_encoded_bytes(),
                }
            } else {
                let content = fs::read(root.join(&path)).unwrap();
                Seen::File {
                    mode,
                    links: meta.nlink(),
                    content,
                }
            };
            seen.insert(path, what);
        }
    }
    seen
}

async fn merged(mount: &Mount) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::new();
    let mut dirs = vec![(String::new(), Ino::ROOT)];
    while let Some((dir, ino)) = dirs.pop() {
        let listed = within(mount.merged.read_dir(ino)).await.unwrap();
        let names: Vec<_> = listed.iter_from(0).map(|entry| entry.name.to_vec()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for (index, name) in names.into_iter().enumerate() {
            let name = String::from_utf8(name).unwrap();
            let path = if dir.is_empty() {
                name.clone()
            } else {
                format!("{dir}/{name}")
            };
            let attr = mount.lookup(ino, &name).await.unwrap();
            let listed = listed.get(index).unwrap();
            assert_eq!((listed.ino, listed.kind), (attr.ino, attr.kind), "{path}");
            let what = match attr.kind {
                NodeKind::Dir => {
                    dirs.push((path.clone(), attr.ino));
                    Seen::Dir { mode: attr.mode }
                }
                NodeKind::Symlink => Seen::Link {
                    target: within(mount.merged.read_link(attr.ino)).await.unwrap().into_vec(),
                },
                NodeKind::File => Seen::File {
                    mode: attr.mode,
                    links: attr.nlink.into(),
                    content: mount.read_ino(attr).await.unwrap(),
                },
                NodeKind::Special(_) => panic!("nobody made one"),
            };
            seen.insert(path, what);
        }
    }
    seen
}

/// On the plain directory.
fn take(root: &Path, step: &Step) -> std::io::Result<()> {
    let at = |way: &Way| root.join(path(way));
    // Nothing is followed: a link at the end is not what was meant.
    let open = |way: &Way| {
        if fs::symlink_metadata(at(way))?.is_file() {
            fs::OpenOptions::new().write(true).open(at(way))
        } else {
            Err(std::io::ErrorKind::InvalidInput.into())
        }
    };
    match step {
        Step::Create(way) => {
            let file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(at(way))?;
            file.set_permissions(fs::Permissions::from_mode(0o644))
        }
        Step::Write(way, offset, len) => {
            open(way)?.write_all_at(&vec![*len; (*len).into()], (*offset).into())
        }
        Step::Truncate(way, len) => open(way)?.set_len((*len).into()),
        Step::Unlink(way) => fs::remove_file(at(way)),
        Step::Mkdir(way) => {
            fs::create_dir(at(way))?;
            fs::set_permissions(at(way), fs::Permissions::from_mode(0o755))
        }
        Step::Rmdir(way) => fs::remove_dir(at(way)),
        Step::Symlink(way) => symlink("no/where", at(way)),
        Step::Link(from, to) => fs::hard_link(at(from), at(to)),
        Step::Rename(from, to, how) => {
            let flags = match how {
                0 => RenameFlags::EXCHANGE,
                1 => RenameFlags::NOREPLACE,
                _ => RenameFlags::empty(),
            };
            Ok(renameat_with(CWD, at(from), CWD, at(to), flags)?)
        }
        Step::Chmod(way, mode) => {
            if fs::symlink_metadata(at(way))?.is_symlink() {
                return Err(std::io::ErrorKind::InvalidInput.into());
            }
            fs::set_permissions(at(way), fs::Permissions::from_mode(0o700 | u32::from(*mode)))
        }
        Step::List(_) | Step::Forget | Step::Restart => Ok(()),
    }
}

/// On the merged tree.
async fn make(mount: &Mount, step: &Step) -> Result<()> {
    match step {
        Step::Create(way) => mount.create(&path(way)).await.map(drop),
        Step::Write(way, offset, len) => {
            let ino = mount.walk(&path(way)).await?.ino;
            let opened = within(mount.merged.open(ino, WRITE)).await?;
            let forebay_vfs::merged::MergedOpen::Upper(file) = opened else {
                panic!("opened for writing, and below");
            };
            within(file.write_at((*offset).into(), &vec![*len; (*len).into()]))
                .await
                .map(drop)
        }
        Step::Truncate(way, len) => {
            let ino = mount.walk(&path(way)).await?.ino;
            let set = MergedSet {
                size: Some((*len).into()),
                ..MergedSet::default()
            };
            within(mount.merged.set_attrs(ino, set)).await.map(drop)
        }
        Step::Unlink(way) => mount.unlink(&path(way)).await,
        Step::Mkdir(way) => mount.mkdir(&path(way)).await.map(drop),
        Step::Rmdir(way) => mount.rmdir(&path(way)).await,
        Step::Symlink(way) => mount.symlink(&path(way), "no/where").await.map(drop),
        Step::Link(from, to) => mount.link(&path(from), &path(to)).await.map(drop),
        Step::Rename(from, to, how) => {
            let how = match how {
                0 => Rename::Exchange,
                1 => Rename::NoReplace,
                _ => Rename::Replace,
            };
            mount.rename(&path(from), &path(to), how).await
        }
        Step::Chmod(way, mode) => {
            let attr = mount.walk(&path(way)).await?;
            if attr.kind == NodeKind::Symlink {
                return Err(MergedError::Stale { ino: attr.ino });
            }
            let attrs = SetAttrs {
                mode: Some(0o700 | u32::from(*mode)),
                ..SetAttrs::default()
            };
            let set = MergedSet { attrs, size: None };
            within(mount.merged.set_attrs(attr.ino, set)).await.map(drop)
        }
        Step::List(way) => {
            if let Ok(attr) = mount.walk(&path(way)).await
                && attr.kind == NodeKind::Dir
            {
                let listed = within(mount.merged.read_dir(attr.ino)).await?;
                for index in 0..listed.len() {
                    mount.took(mount.merged.refer(&listed, index).unwrap());
                }
            }
            Ok(())
        }
        Step::Forget | Step::Restart => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_merged_tree_is_like_a_plain_directory(steps in prop::collection::vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let layers = Layers::with(&BELOW);
            let other = tempfile::tempdir().unwrap();
            for (key, content) in BELOW {
                let at = other.path().join(key);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(&at, content).unwrap();
                fs::set_permissions(&at, fs::Permissions::from_mode(0o644)).unwrap();
            }
            for dir in ["c", "c/b", "d", "d/d"] {
                fs::set_permissions(other.path().join(dir), fs::Permissions::from_mode(0o755)).unwrap();
            }
            let mut mount = layers.mount();
            for step in &steps {
                let expected = take(other.path(), step);
                let made = make(&mount, step).await;
                assert_eq!(made.is_ok(), expected.is_ok(), "{step:?}: {made:?}, not {expected:?}");
                match step {
                    Step::Forget => mount.forget_all(),
                    Step::Restart => {
                        mount.forget_all();
                        drop(mount);
                        mount = layers.mount();
                        assert_eq!(merged(&mount).await, plain(other.path()), "after a restart");
                    }
                    _ => {}
                }
            }
            assert_eq!(merged(&mount).await, plain(other.path()));
            mount.forget_all();
            assert_eq!(merged(&mount).await, plain(other.path()), "when all was forgotten");
            mount.forget_all();
        });
    }
}
