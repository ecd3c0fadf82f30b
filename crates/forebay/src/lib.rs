//! Forebay: one fast read path from slow storage to whatever reads it.
//!
//! This crate is the library's face: it re-exports the stages, in the order in which bytes pass through them.
//!
//! - [`source`]: a URL becomes an object store that is limited, metered and verified;
//! - [`range`]: an object of it is read in parallel ranges, resumed, hedged and within a memory budget;
//! - [`types`]: the words both share.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forebay::range::{RangeEngine, RangeEngineConfig, Target};
//! use forebay::source::{Location, Opener, SourceOptions};
//! use forebay::types::RangeSpec;
//!
//! # let directory = std::env::temp_dir().join(format!("forebay-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # std::fs::write(directory.join("hello"), "hello from the forebay")?;
//! # let url = directory.join("hello").to_string_lossy().into_owned();
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! // s3://bucket/key, https://host/path, /a/file, …
//! let location: Location = url.parse()?;
//! let source = Opener::new(SourceOptions::default()).open(&location)?;
//!
//! let config = RangeEngineConfig::for_profile(&source.profile);
//! let engine = RangeEngine::new(config.clone());
//! let target = Target::new(&source, Arc::new(config));
//! let (bytes, stats) = engine.read(target, RangeSpec::Last(7)).await?;
//! assert_eq!(bytes, "forebay");
//! assert_eq!(stats.bytes_downloaded, 7);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use forebay_range as range;
pub use forebay_source as source;
pub use forebay_types as types;
