//! Opens an object, reads it at a few places twice, and tells where the bytes came from.
//!
//! `cargo run --release -p forebay --example read_at -- URL CACHE_DIR`

use std::error::Error;
use std::sync::Arc;

use forebay::cache::{Cache, CacheOptions};
use forebay::range::{RangeEngine, RangeEngineConfig, Target};
use forebay::source::{Opener, SourceOptions};
use forebay::types::{Clock, SystemClock};
use forebay::{OpenOptions, Reader, ReaderOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(directory)) = (args.next(), args.next()) else {
        return Err("usage: read_at URL CACHE_DIR".into());
    };
    let clock = Arc::new(SystemClock::new());
    // 10 GiB at most, shared with every other process that uses the directory.
    let cache = Cache::open(CacheOptions::new(directory, 10 << 30), clock.clone())?;
    let reader = Reader::new(
        RangeEngine::new(RangeEngineConfig::default()),
        Some(cache),
        ReaderOptions::default(),
    );

    let mut options = SourceOptions::default();
    options
        .cloud
        .insert("aws_skip_signature".to_owned(), "true".to_owned());
    let source = Opener::new(options).open(&url.parse()?)?;
    let config = Arc::new(RangeEngineConfig::for_profile(&source.profile));

    let handle = reader
        .open(Target::new(&source, config), OpenOptions::default())
        .await?;
    println!("{}", handle.id());
    for round in ["first", "second"] {
        for tenth in 0..10 {
            let offset = handle.size() / 10 * tenth;
            let begun = clock.now();
            let mut buf = [0; 4096];
            let found = handle.try_read_at(offset, &mut buf).is_some();
            if !found {
                handle.read_into(offset, &mut buf).await?;
            }
            let place = if found { "here" } else { "fetched" };
            println!("{round}: 4 KiB at {offset}: {place}, {:?}", clock.now() - begun);
        }
    }
    reader.flush().await;
    Ok(())
}
