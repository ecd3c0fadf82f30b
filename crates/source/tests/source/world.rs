//! A lab and an opener.

use std::future::Future;
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use forebay_source::{Fault, Opener, Source, SourceOptions};
use forebay_testkit::{Face, Lab};
use forebay_types::ErrorKind;
use object_store::{GetOptions, ObjectStoreExt};

/// A hang is a failure. Far above what any test takes, since the machine may be building something beside it.
const DEADLINE: Duration = Duration::from_secs(50);

/// Logs go to stderr as RUST_LOG says, which nextest shows for tests that fail.
pub(crate) fn init_logging() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    });
}

/// Fails instead of hanging.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("the test hangs")
}

pub(crate) fn lab(face: Face) -> Lab {
    init_logging();
    Lab::builder()
        .face(face)
        .bucket("bucket")
        .credentials("key", "secret")
        .start()
        .unwrap()
}

pub(crate) fn options(lab: &Lab) -> SourceOptions {
    let mut options = SourceOptions::default();
    for (name, value) in [
        ("aws_endpoint_url", lab.endpoint()),
        ("aws_allow_http", "true".to_owned()),
        ("aws_access_key_id", "key".to_owned()),
        ("aws_secret_access_key", "secret".to_owned()),
        ("aws_region", "us-east-1".to_owned()),
        ("aws_copy_if_not_exists", "multipart".to_owned()),
    ] {
        options.cloud.insert(name.to_owned(), value);
    }
    options
}

pub(crate) fn open(opener: &Opener, url: &str) -> Source {
    opener.open(&url.parse().unwrap()).unwrap()
}

/// All bytes of what the source's URL names.
pub(crate) async fn read(source: &Source) -> object_store::Result<Bytes> {
    source.store.get(&source.path).await?.bytes().await
}

pub(crate) async fn get(source: &Source, options: GetOptions) -> object_store::Result<Bytes> {
    source.store.get_opts(&source.path, options).await?.bytes().await
}

pub(crate) fn kind(error: &object_store::Error) -> ErrorKind {
    Fault::of(error).kind
}
