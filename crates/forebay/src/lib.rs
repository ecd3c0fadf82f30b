//! Forebay: one fast read path from slow storage to whatever reads it.
//!
//! This crate is the library's face: it re-exports the stages, in the order in which bytes pass through them.
//!
//! - [`source`]: a URL becomes an object store that is limited, metered and verified;
//! - [`range`]: an object of it is read in parallel ranges, resumed, hedged and within a memory budget;
//! - [`cache`]: what was read stays on the local disk, block by block, shared by processes, within a byte budget;
//! - [`readahead`]: what should be fetched before it is asked for, as a pure function;
//! - [`reader`]: all of that as one read path: handles, streams, an object store that caches;
//! - [`log`]: topics in a bucket on top of it: producers, partition readers, consumers;
//! - [`types`]: the words all share.
//!
//! Most programs want a [`Reader`]:
//!
//! ```
//! use std::sync::Arc;
//!
//! use forebay::cache::{Cache, CacheOptions};
//! use forebay::range::{RangeEngine, RangeEngineConfig, Target};
//! use forebay::source::{Opener, SourceOptions};
//! use forebay::types::SystemClock;
//! use forebay::{OpenOptions, Reader, ReaderOptions};
//!
//! # let directory = tempfile::tempdir()?;
//! # std::fs::write(directory.path().join("hello"), "hello from the forebay")?;
//! # let url = directory.path().join("hello").to_string_lossy().into_owned();
//! # let cache_dir = directory.path().join("cache");
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! // One reader per process: it shares connections, memory and the cache directory.
//! let cache = Cache::open(CacheOptions::new(cache_dir, 10 << 30), Arc::new(SystemClock::new()))?;
//! let engine = RangeEngine::new(RangeEngineConfig::default());
//! let reader = Reader::new(engine, Some(cache), ReaderOptions::default());
//!
//! // s3://bucket/key, https://host/path, /a/file, …
//! let source = Opener::new(SourceOptions::default()).open(&url.parse()?)?;
//! let config = Arc::new(RangeEngineConfig::for_profile(&source.profile));
//! let handle = reader.open(Target::new(&source, config.clone()), OpenOptions::default()).await?;
//! assert_eq!(handle.size(), 22);
//! assert_eq!(handle.read_at(15, 100).await?, "forebay");
//!
//! // A hit is answered on the calling thread, without the runtime; a miss says so.
//! let mut buf = [0; 5];
//! if handle.try_read_at(0, &mut buf).is_none() {
//!     handle.read_into(0, &mut buf).await?;
//! }
//! assert_eq!(&buf, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whoever has an `object_store::ObjectStore` already wraps it in a [`CachedStore`]:
//!
//! ```
//! use std::sync::Arc;
//!
//! use forebay::range::{RangeEngine, RangeEngineConfig};
//! use forebay::source::{Opener, Origin, Profile, SourceOptions};
//! use forebay::{CachedStore, Reader, ReaderOptions};
//! use object_store::memory::InMemory;
//! use object_store::path::Path;
//! use object_store::{ObjectStore, ObjectStoreExt};
//!
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let mine = Arc::new(InMemory::new());
//! let source = Opener::new(SourceOptions::default()).adopt(
//!     mine,
//!     Path::ROOT,
//!     // Who it is: the same key elsewhere is another object.
//!     Origin::new("memory://mine", ""),
//!     Profile::REMOTE,
//! );
//! let config = RangeEngineConfig::for_profile(&source.profile);
//! let reader = Reader::new(RangeEngine::new(config.clone()), None, ReaderOptions::default());
//! let store = CachedStore::new(reader, source, Arc::new(config));
//!
//! store.put(&Path::from("greeting"), "hello from the forebay".into()).await?;
//! let parts = store.get_ranges(&Path::from("greeting"), &[0..5, 15..22]).await?;
//! assert_eq!(parts, ["hello", "forebay"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use forebay_cache as cache;
pub use forebay_disk as disk;
pub use forebay_log as log;
pub use forebay_range as range;
pub use forebay_readahead as readahead;
pub use forebay_reader as reader;
pub use forebay_reader::{
    CachedStore, Freshness, Handle, OpenOptions, ReadError, ReadStream, Reader, ReaderOptions,
};
pub use forebay_source as source;
pub use forebay_types as types;
