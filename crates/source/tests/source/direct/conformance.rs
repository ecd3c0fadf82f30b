//! The direct store against the conformance suite of crate `object_store`.

use std::path::Path;

use forebay_disk::{DiskOptions, EngineChoice};
use forebay_source::{DirectStoreOptions, Opener, SourceOptions};

use super::world::*;
use crate::conformance::conforms;
use crate::world::{init_logging, open};

async fn conforms_in(dir: &Path, engine: EngineChoice, direct_io: bool) {
    init_logging();
    if disk_with(engine).is_none() {
        return;
    }
    let opener = Opener::new(SourceOptions {
        direct: DirectStoreOptions {
            direct_io,
            ..DirectStoreOptions::default()
        },
        disk: DiskOptions {
            engine,
            ..DiskOptions::default()
        },
        ..SourceOptions::default()
    });
    let source = open(&opener, &format!("direct://{}", dir.display()));
    conforms(&source.store, false).await;
    assert_eq!(opener.budget().in_use(), 0);
    assert_eq!(temporaries(dir), 0, "temporary files stay behind");
    assert_eq!(source.skipped_names(), 0);
    let stats = opener.disk().unwrap().stats();
    assert!(stats.reads > 0);
    assert_eq!(stats.direct_bytes > 0, direct_io, "{stats:?}");
    assert_eq!(stats.pool.in_use + stats.pool.apart, 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_store_conforms_on_a_disk_with_io_uring() {
    conforms_in(on_disk().path(), EngineChoice::IoUring, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_store_conforms_on_a_disk_with_threads() {
    conforms_in(on_disk().path(), EngineChoice::Pread, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_store_conforms_in_memory_with_io_uring() {
    conforms_in(in_memory().path(), EngineChoice::IoUring, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_store_conforms_in_memory_with_threads() {
    conforms_in(in_memory().path(), EngineChoice::Pread, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_store_conforms_through_the_page_cache() {
    for engine in [EngineChoice::IoUring, EngineChoice::Pread] {
        conforms_in(on_disk().path(), engine, false).await;
        conforms_in(in_memory().path(), engine, false).await;
    }
}
