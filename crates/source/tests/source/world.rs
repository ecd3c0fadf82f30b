//! A lab and an opener.

use bytes::Bytes;
use forebay_source::{Fault, Opener, Source, SourceOptions};
use forebay_testkit::{Face, Lab};
pub(crate) use forebay_testkit::{init_logging, within};
use forebay_types::ErrorKind;
use object_store::{GetOptions, ObjectStoreExt};

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
