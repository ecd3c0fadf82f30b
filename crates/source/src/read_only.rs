//! A source that can only be read, as an object store: whatever would change it is refused in so many words.

use std::fmt;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What a source that can only be read can do. Its `Display` says which one it is.
#[async_trait]
pub trait ReadSource: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Where nothing can be written: «on a web server».
    const WHERE: &'static str;

    /// As [`ObjectStore::get_opts`].
    ///
    /// # Errors
    /// Those.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult>;

    /// As [`ObjectStore::list`].
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>>;

    /// As [`ObjectStore::list_with_delimiter`].
    ///
    /// # Errors
    /// Those.
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult>;
}

/// The object store of a source that can only be read.
#[derive(Clone, Debug)]
pub struct ReadOnly<S>(pub S);

impl<S: ReadSource> ReadOnly<S> {
    fn refuse<T>(&self, what: &'static str) -> Result<T> {
        Err(not_possible(what, S::WHERE, &self.0))
    }
}

/// What is asked for, of which this kind of source is not capable.
pub(crate) fn not_possible(what: &str, place: &str, source: &impl fmt::Display) -> Error {
    let why = format!("{what} is not possible {place} ({source})");
    Error::NotSupported { source: why.into() }
}

#[async_trait]
impl<S: ReadSource> ObjectStore for ReadOnly<S> {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn put_opts(&self, _location: &Path, _payload: PutPayload, _opts: PutOptions) -> Result<PutResult> {
        self.refuse("writing")
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.refuse("writing")
    }

    fn delete_stream(
        &self,
        _locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let refused = self.refuse("deleting");
        futures::stream::once(async { refused }).boxed()
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        self.refuse("copying")
    }
}

impl<S: fmt::Display> fmt::Display for ReadOnly<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
