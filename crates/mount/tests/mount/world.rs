//! A source, mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_mount::{Mount, MountError, MountOptions};
use forebay_range::{EngineOptions, RangeEngine, RangeEngineConfig};
use forebay_reader::{Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
use forebay_testkit::{Content, Face, Lab, Profile, init_logging};
use forebay_types::SystemClock;
use forebay_vfs::{BucketNamespace, Freshness, Tree, TreeOptions};
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const MIB: u64 = 1 << 20;

/// What a test can change.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) options: MountOptions,
    pub(crate) range: RangeEngineConfig,
    pub(crate) freshness: Freshness,
    pub(crate) cache_size: u64,
    pub(crate) cache: CacheAt,
    /// Bytes on their way from the source, all reads together.
    pub(crate) memory: u64,
}

/// Where what was read is kept.
#[derive(Clone, Debug)]
pub(crate) enum CacheAt {
    Nowhere,
    /// In a directory of the mount's own.
    Beside,
    In(PathBuf),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: MountOptions::default(),
            range: RangeEngineConfig {
                stall_timeout: Duration::from_secs(60),
                ..RangeEngineConfig::default()
            },
            freshness: Freshness::Ttl(Duration::from_secs(1)),
            cache_size: 1 << 30,
            cache: CacheAt::Beside,
            memory: EngineOptions::default().memory_budget,
        }
    }
}

/// A mounted source. Unmounted before its directory goes.
pub(crate) struct Mounted {
    pub(crate) mount: Mount,
    pub(crate) reader: Reader,
    runtime: Option<tokio::runtime::Runtime>,
    dir: TempDir,
}

impl Mounted {
    /// Mounts `source`. `None`: this process may not mount.
    pub(crate) fn new(source: Source, setup: Setup) -> Option<Self> {
        init_logging();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let at = dir.path().join("mnt");
        std::fs::create_dir(&at).unwrap();
        let clock = Arc::new(SystemClock::new());
        let cache_dir = match setup.cache {
            CacheAt::Nowhere => None,
            CacheAt::Beside => Some(dir.path().join("cache")),
            CacheAt::In(dir) => Some(dir),
        };
        let cache = cache_dir.map(|dir| {
            let mut options = CacheOptions::new(dir, setup.cache_size);
            // Some of these directories are on very small disks.
            options.keep_free = 0;
            Cache::open(options, clock.clone()).unwrap()
        });
        let engine = EngineOptions {
            memory_budget: setup.memory,
            ..EngineOptions::default()
        };
        let engine = RangeEngine::with_options(setup.range.clone(), engine, clock.clone());
        let reader = Reader::new(engine, cache, ReaderOptions::default());
        let config = Arc::new(setup.range);
        let namespace = BucketNamespace::prefix(source.clone(), config).freshness(setup.freshness);
        let tree = Tree::new(Arc::new(namespace), TreeOptions::default(), clock);
        let mounted = Mount::start(&at, tree, reader.clone(), source, setup.options, runtime.handle());
        match mounted {
            Ok(mount) => Some(Self {
                mount,
                reader,
                runtime: Some(runtime),
                dir,
            }),
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

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Lets reads go on until the file is complete in the cache and the kernel was given it, if it may be. Whether it was.
    pub(crate) fn hand_over(&self, name: &str) -> bool {
        let before = self.mount.stats().handed_over;
        soon(|| {
            std::io::copy(
                &mut std::fs::File::open(self.at(name)).unwrap(),
                &mut std::io::sink(),
            )
            .unwrap();
            self.block_on(self.reader.flush());
            self.mount.stats().handed_over > before || !can_hand_over()
        });
        self.mount.stats().handed_over > before
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(work)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Detached: a test that failed with a file open must not hang here.
        let _ = self.mount.unmount();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A lab with a bucket, and what opens it.
pub(crate) struct World {
    pub(crate) lab: Lab,
    opener: Opener,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(Profile::LOOPBACK)
    }

    pub(crate) fn at(profile: Profile) -> Self {
        let lab = Lab::builder()
            .profile(profile)
            .face(Face::Fast)
            .bucket(BUCKET)
            .start()
            .unwrap();
        let options = SourceOptions {
            cloud: forebay_testkit::s3_settings(&lab.endpoint()),
            ..SourceOptions::default()
        };
        Self {
            opener: Opener::new(options),
            lab,
        }
    }

    pub(crate) fn put(&self, key: &str, content: impl Into<Content>) {
        self.lab.objects().put(BUCKET, key, content);
    }

    pub(crate) fn source(&self) -> Source {
        let url = format!("s3://{BUCKET}/");
        self.opener.open(&url.parse().unwrap()).unwrap()
    }

    pub(crate) fn mount(&self, setup: Setup) -> Option<Mounted> {
        Mounted::new(self.source(), setup)
    }
}

/// A directory of this machine as a source.
pub(crate) fn local(dir: &Path) -> Source {
    let opener = Opener::new(SourceOptions::default());
    opener
        .open(&format!("file://{}/", dir.display()).parse().unwrap())
        .unwrap()
}

/// Tries until it is so; the kernel is told by a thread of its own, and the disk has its own time.
pub(crate) fn soon(mut what: impl FnMut() -> bool) -> bool {
    (0..2000).any(|_| {
        let is = what();
        if !is {
            std::thread::sleep(Duration::from_millis(10));
        }
        is
    })
}

/// Whether this process may give files to the kernel: only with CAP_SYS_ADMIN.
pub(crate) fn can_hand_over() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let caps = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let caps = caps.and_then(|caps| u64::from_str_radix(caps.trim(), 16).ok());
        caps.is_some_and(|caps| caps & (1 << 21) != 0)
    })
}

/// Bytes that are different everywhere.
pub(crate) fn noise(seed: u64, len: u64) -> Vec<u8> {
    (0..len)
        .map(|at| ((seed ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}
