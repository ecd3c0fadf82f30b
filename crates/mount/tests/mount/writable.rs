//! A tree with changes on top, changed by ordinary programs.

mod below;
mod cut;
mod dead;
mod full;
mod killed;
mod model;
mod open;
mod sames;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_mount::{IoMode, Mount, MountError, MountOptions, WritableOptions};
use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_reader::{Reader, ReaderOptions};
use forebay_source::Source;
use forebay_testkit::init_logging;
use forebay_types::{Clock, SystemClock};
use forebay_vfs::merged::{Merged, MergedOptions};
use forebay_vfs::overlay::{OverlayError, Upper};
use forebay_vfs::{BucketNamespace, Tree, TreeOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::shared::{Place, Thing, see};
use crate::world::{local, soon};

/// What a test can change.
#[derive(Clone, Debug)]
struct How {
    mount: MountOptions,
    sync_interval: Duration,
    /// Where the changes are; beside the mount if it is `None`.
    overlay: Option<PathBuf>,
}

impl Default for How {
    fn default() -> Self {
        Self {
            mount: MountOptions::default(),
            sync_interval: Duration::from_secs(5),
            overlay: None,
        }
    }
}

/// Every read and write comes to us.
fn served(io: IoMode) -> How {
    let mut how = How::default();
    how.mount.passthrough = false;
    how.mount.io = io;
    how
}

/// What is mounted at a time.
struct Running {
    mount: Mount,
    merged: Merged,
    reader: Reader,
    /// What was waited for ends with it.
    runtime: Runtime,
}

/// A source with changes on top. Unmounted before its directory goes.
struct Overlaid {
    running: Option<Running>,
    source: Source,
    how: How,
    dir: TempDir,
}

impl Overlaid {
    /// With nothing below. `None`: this process may not mount.
    fn empty(how: How) -> Option<Self> {
        let dir = Self::directory();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        Self::in_dir(dir, local(&below), how)
    }

    fn new(source: Source, how: How) -> Option<Self> {
        Self::in_dir(Self::directory(), source, how)
    }

    fn directory() -> TempDir {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // For other users, too.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        dir
    }

    fn in_dir(dir: TempDir, source: Source, how: How) -> Option<Self> {
        init_logging();
        let mut overlaid = Self {
            running: None,
            source,
            how,
            dir,
        };
        overlaid.start().then_some(overlaid)
    }

    fn overlay(&self) -> PathBuf {
        let beside = || self.dir.path().join("overlay");
        self.how.overlay.clone().unwrap_or_else(beside)
    }

    /// Whether this process may mount.
    fn start(&mut self) -> bool {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut options = CacheOptions::new(self.dir.path().join("cache"), 1 << 30);
        options.keep_free = 0;
        let cache = Cache::open(options, clock.clone()).unwrap();
        let config = RangeEngineConfig::default();
        let engine = RangeEngine::new(config.clone());
        let reader = Reader::new(engine, Some(cache), ReaderOptions::default());
        let namespace = BucketNamespace::prefix(self.source.clone(), Arc::new(config));
        let tree = Tree::new(Arc::new(namespace), TreeOptions::default(), clock.clone());
        let mut upper = None;
        // Whoever was killed has it for a moment still.
        assert!(soon(|| {
            match Upper::open(&self.overlay(), "test", clock.clone()) {
                Ok(opened) => {
                    upper = Some(opened);
                    true
                }
                Err(OverlayError::Busy { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        }));
        let options = MergedOptions::of(self.how.mount.uid, self.how.mount.gid);
        let merged = Merged::new(tree, upper.unwrap(), reader.clone(), options);
        let options = WritableOptions {
            mount: self.how.mount.clone(),
            overlay: self.overlay(),
            sync_interval: self.how.sync_interval,
        };
        let source = self.source.clone();
        let mounted = Mount::start_writable(
            &self.at(""),
            merged.clone(),
            reader.clone(),
            source,
            options,
            runtime.handle(),
        );
        match mounted {
            Ok(mount) => {
                self.running = Some(Running {
                    mount,
                    merged,
                    reader,
                    runtime,
                });
                true
            }
            Err(MountError::Device { source } | MountError::Mount { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound
                ) =>
            {
                eprintln!("not run: this process may not mount ({source})");
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn mount(&self) -> &Mount {
        &self.running().mount
    }

    /// Unmounts and mounts anew.
    fn again(&mut self) {
        let running = self.running.take().unwrap();
        running.mount.unmount().unwrap();
        running.mount.wait().unwrap();
        drop(running);
        assert!(self.start());
    }

    /// What there is to see, numbers apart.
    fn picture(&self) -> BTreeMap<PathBuf, Thing> {
        let mut all = BTreeMap::new();
        see(&self.at(""), Path::new(""), &mut all);
        for thing in all.values_mut() {
            thing.ino = 0;
        }
        all
    }
}

impl Place for Overlaid {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("mnt").join(name)
    }

    fn stays(mut self) {
        let before = self.picture();
        self.again();
        let after = self.picture();
        for (path, thing) in &before {
            assert_eq!(after.get(path), Some(thing), "{}", path.display());
        }
        assert!(after.keys().eq(before.keys()), "{after:?}");
    }
}

impl Drop for Overlaid {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // Detached: a test that failed with a file open must not hang here.
            let _ = running.mount.unmount();
            drop(running.mount);
            running.runtime.shutdown_background();
        }
    }
}
