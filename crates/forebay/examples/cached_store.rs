//! Wraps any `object_store::ObjectStore`: parallel ranges, a disk cache and read-ahead for whoever takes one.
//!
//! `cargo run --release -p forebay --example cached_store`

use std::error::Error;
use std::sync::Arc;

use forebay::cache::{Cache, CacheOptions};
use forebay::range::{RangeEngine, RangeEngineConfig};
use forebay::source::{Opener, Origin, Profile, SourceOptions};
use forebay::types::SystemClock;
use forebay::{CachedStore, Reader, ReaderOptions};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let cache = Cache::open(
        CacheOptions::new(directory.path().join("cache"), 1 << 30),
        Arc::new(SystemClock::new()),
    )?;
    // Your store here; the origin names it, so that its objects are not taken for those of another.
    let source = Opener::new(SourceOptions::default()).adopt(
        Arc::new(InMemory::new()),
        Path::ROOT,
        Origin::new("memory://example", ""),
        Profile::REMOTE,
    );
    let config = RangeEngineConfig::for_profile(&source.profile);
    let reader = Reader::new(
        RangeEngine::new(config.clone()),
        Some(cache),
        ReaderOptions::default(),
    );
    let store = CachedStore::new(reader.clone(), source, Arc::new(config));

    let path = Path::from("numbers");
    store.put(&path, vec![7; 30 << 20].into()).await?;
    for _ in 0..2 {
        let bytes: usize = store
            .get(&path)
            .await?
            .into_stream()
            .try_fold(0, |n, chunk| async move { Ok(n + chunk.len()) })
            .await?;
        let few = store.get_ranges(&path, &[0..4, 1000..1010]).await?;
        reader.flush().await;
        let stats = reader.stats();
        println!(
            "{bytes} bytes, then {few:?}: {} requests so far, {} bytes fetched",
            stats.range.requests, stats.range.bytes_fetched
        );
    }
    Ok(())
}
