//! A disk that is full, gone or too slow for what comes: reads go on, and what is not kept is counted.

use std::process::Command;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_reader::{OpenOptions, Reader};
use forebay_types::{ByteRange, RangeSpec};
use futures::StreamExt;

use crate::world::{MIB, Setup, World, check, settled, within};

/// A file system of its own in the place of the cache's parent.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// `None`, and the reason printed, where tests may not mount.
    fn at(dir: &std::path::Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "none"])
            .arg(dir)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir.to_owned())),
            Ok(output) => {
                println!(
                    "skipped: cannot mount: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: cannot mount: {error}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn setup() -> Setup {
    let mut setup = Setup::small_parts();
    setup.range.stall_timeout = Duration::from_secs(20);
    setup
}

fn options(world: &World) -> CacheOptions {
    let mut options = CacheOptions::new(world.dir.path().join("cache"), 1 << 40);
    options.keep_free = 0;
    options
}

fn reader(world: &World, options: CacheOptions) -> Reader {
    world.reader_with(Some(Cache::open(options, world.setup.clock.clone()).unwrap()))
}

async fn stream_all(world: &World, reader: &Reader, key: &str, seed: u64) -> u64 {
    let mut stream = within(reader.stream(world.target(key), RangeSpec::From(0)))
        .await
        .unwrap();
    let content = forebay_testkit::Content::pattern(seed, stream.range().end());
    let mut at = 0;
    while let Some(chunk) = within(stream.next()).await {
        let chunk = chunk.unwrap();
        content.check(at, &chunk).unwrap();
        at += chunk.len() as u64;
    }
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_when_the_disk_is_full() {
    let world = World::new(setup());
    let Some(_disk) = Mounted::at(world.dir.path(), "6m") else {
        return;
    };
    let reader = reader(&world, options(&world));
    for seed in 0..5 {
        let key = format!("object-{seed}");
        let content = world.put(&key, seed, 4 * MIB + 5);
        assert_eq!(stream_all(&world, &reader, &key, seed).await, content.size());
        let handle = world.open(&reader, &key).await;
        check(&handle, &content, MIB, 2 * MIB).await;
        check(&handle, &content, 0, content.size()).await;
        // To be warmed is to be on disk, as far as there is any.
        let warmed = within(reader.warm(world.target(&key))).await.unwrap();
        assert!(warmed.cached <= warmed.size);
        drop(handle);
        settled(&world, &reader).await;
    }
    let cache = reader.cache().unwrap();
    let others = world.dir.path().join("others");
    // Others fill what was left: the cache gives back what nobody uses, or does not keep what comes.
    let fill = || std::fs::write(&others, vec![1; 8 << 20]).expect_err("the disk is larger than was thought");
    fill();
    let before = cache.stats();
    let content = world.put("more", 77, 4 * MIB);
    assert_eq!(stream_all(&world, &reader, "more", 77).await, content.size());
    settled(&world, &reader).await;
    let stats = cache.stats();
    assert!(stats.io_errors > before.io_errors, "{stats:?}");
    assert!(
        stats.drops + stats.evictions > before.drops + before.evictions,
        "{stats:?}"
    );
    // They fill all of it: nothing is left that could be given back.
    cache.clear().unwrap();
    fill();
    let before = cache.stats();
    let content = world.put("none", 79, 4 * MIB);
    assert_eq!(stream_all(&world, &reader, "none", 79).await, content.size());
    settled(&world, &reader).await;
    let stats = cache.stats();
    assert!(stats.drops > before.drops, "{stats:?}");
    assert_eq!(stats.bytes_stored, before.bytes_stored, "{stats:?}");
    assert_eq!(stats.corrupt, 0, "{stats:?}");
    // A full disk that has room again is used again.
    std::fs::remove_file(&others).unwrap();
    cache.clear().unwrap();
    let content = world.put("last", 78, MIB);
    let warmed = within(reader.warm(world.target("last"))).await.unwrap();
    assert_eq!(warmed.cached, content.size());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_when_the_cache_directory_is_removed() {
    let world = World::new(setup());
    let reader = reader(&world, options(&world));
    let content = world.put("object", 1, 6 * MIB);
    let handle = world.open(&reader, "object").await;
    check(&handle, &content, 0, 2 * MIB).await;
    reader.flush().await;
    std::fs::remove_dir_all(world.dir.path().join("cache")).unwrap();
    check(&handle, &content, 0, 3 * MIB).await;
    assert_eq!(stream_all(&world, &reader, "object", 1).await, content.size());
    // And those that nobody has open.
    let other = world.put("other", 2, 6 * MIB);
    let second = world.open(&reader, "other").await;
    check(&second, &other, 0, other.size()).await;
    check(&second, &other, MIB, other.size()).await;
    let warmed = within(reader.warm(world.target("third-is-missing"))).await;
    assert!(warmed.is_err());
    within(reader.warm(world.target("other"))).await.unwrap();
    drop((handle, second));
    settled(&world, &reader).await;
    // Whoever opens it anew has a cache again.
    drop(reader);
    let reader = self::reader(&world, options(&world));
    let warmed = within(reader.warm(world.target("other"))).await.unwrap();
    assert_eq!(warmed.cached, other.size());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_queue_to_the_disk_drops_what_it_cannot_take() {
    let world = World::new(setup());
    // Less than one piece: whatever comes while one is being written is refused.
    let mut options = options(&world);
    options.write_behind = 64 << 10;
    let reader = reader(&world, options);
    let content = world.put("object", 1, 40 * MIB);
    let handle = world.open(&reader, "object").await;
    let lanes = (0..8).map(async |lane| {
        let range = ByteRange::at(lane * 5 * MIB, 5 * MIB);
        check(&handle, &content, range.start(), range.len()).await;
    });
    futures::future::join_all(lanes).await;
    assert_eq!(stream_all(&world, &reader, "object", 1).await, content.size());
    drop(handle);
    settled(&world, &reader).await;
    let stats = reader.cache().unwrap().stats();
    assert!(stats.drops > 0, "{stats:?}");
    // Who warms is patient, and has it all in the end.
    let warmed = within(reader.warm(world.target("object"))).await.unwrap();
    assert_eq!(warmed.cached, content.size());
    let options = OpenOptions::default();
    let handle = within(reader.open(world.target("object"), options))
        .await
        .unwrap();
    let before = world.lab.counts().bytes_sent;
    check(&handle, &content, 0, content.size()).await;
    assert_eq!(world.lab.counts().bytes_sent, before);
}
