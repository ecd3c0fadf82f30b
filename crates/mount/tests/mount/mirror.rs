//! A directory whose every operation is forwarded: what a program does to the mount is done to the directory, and what it is
//! shown is what is there.

mod data;
mod names;
mod options;
mod owners;
mod threads;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_mount::{MirrorMount, MirrorOptions, MountError};
use tempfile::TempDir;

use crate::shared::{Place, on, see};

/// A directory and its mirror. Unmounted before it goes.
struct Mirrored {
    mount: MirrorMount,
    dir: TempDir,
}

impl Mirrored {
    /// `None`: this process may not mount.
    fn new(options: &MirrorOptions) -> Option<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // For other users, too.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["real", "mnt"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        match MirrorMount::start(&dir.path().join("real"), &dir.path().join("mnt"), options) {
            Ok(mount) => Some(Self { mount, dir }),
            Err(MountError::Device { source } | MountError::Mount { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound
                ) =>
            {
                eprintln!("not run: this process may not mount ({source})");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Place for Mirrored {
    fn real(&self, name: &str) -> PathBuf {
        self.dir.path().join("real").join(name)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("mnt").join(name)
    }

    /// The mount shows what is there.
    fn is_the_same(&self) {
        let (mut real, mut shown) = (BTreeMap::new(), BTreeMap::new());
        see(&self.real(""), Path::new(""), &mut real);
        see(&self.at(""), Path::new(""), &mut shown);
        for (path, thing) in &real {
            assert_eq!(shown.get(path), Some(thing), "{}", path.display());
        }
        assert!(shown.keys().eq(real.keys()), "{shown:?}");
    }
}

/// As it is taken by default, but that nothing is believed.
fn doubting() -> MirrorOptions {
    MirrorOptions {
        valid: Duration::ZERO,
        ..MirrorOptions::default()
    }
}

on! {
    Mirrored::new(&MirrorOptions::default());
    names::names_are_made_moved_and_taken_away,
    names::what_is_unlinked_lives_as_long_as_it_is_open,
    names::attributes_are_set,
    names::extended_attributes_are_kept,
    names::large_directories_are_told_whole_and_once,
    data::files_are_written_and_cut,
    data::room_is_taken_and_given_back,
    data::locks_stay_with_the_kernel
}
