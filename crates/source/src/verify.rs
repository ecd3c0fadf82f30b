//! Nothing that was not asked for gets past here.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_types::ByteRange;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    coalesce_ranges, collect_bytes,
};

use crate::http_store::WholeBody;
use crate::payload::{asked_for, map_stream};
use crate::transport::Failure;

/// Checks every read: the range answered is the range asked, the version is the one that If-Match named (some
/// servers ignore it), and the body is exactly as long as announced. Innermost, next to the store, so that no other
/// wrapper ever sees bytes that are not what they claim.
pub struct Verify {
    inner: Arc<dyn ObjectStore>,
}

impl Verify {
    /// Checks what `inner` answers.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }
}

impl fmt::Debug for Verify {
    /// By its name only: the Debug of a store may show credentials (object_store's Azure client does).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verify({})", self.inner)
    }
}

/// What is wrong with the head of an answer, if anything.
fn check_head(asked: Option<&GetRange>, if_match: Option<&str>, result: &GetResult) -> Option<Failure> {
    if let Some(expected) = if_match.filter(|tag| *tag != "*") {
        let got = result.meta.e_tag.as_deref();
        let same = |got| expected.split(',').any(|tag| tag.trim() == got);
        // An answer without a tag, to a condition on one, shows a server that did not look at the condition.
        if !got.is_some_and(same) {
            let got = got.unwrap_or("without an ETag").to_owned();
            return Some(Failure::Changed {
                expected: expected.to_owned(),
                got,
            });
        }
    }
    let size = result.meta.size;
    let got = ByteRange::from(result.range.clone());
    let asked = asked_for(asked, size);
    // A server without ranges answered the whole to a range from the start, and the store says so.
    let whole = result.extensions.get::<WholeBody>().is_some() && got == ByteRange::new(0, size);
    (got != asked && !whole).then_some(Failure::WrongRange { asked, got })
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Verify {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (asked, if_match, head) = (options.range.clone(), options.if_match.clone(), options.head);
        let result = self.inner.get_opts(location, options).await?;
        let asked = asked.filter(|_| !head);
        if let Some(failure) = check_head(asked.as_ref(), if_match.as_deref(), &result) {
            return Err(failure.into_store_error(location.as_ref()));
        }
        let expected = if head {
            0
        } else {
            result.range.end - result.range.start
        };
        let path = location.clone();
        Ok(map_stream(result, |inner| {
            Exactly {
                inner,
                path,
                expected,
                got: 0,
                done: false,
            }
            .boxed()
        }))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // Through our own get_opts, not the inner get_ranges: every part is to be checked.
        let fetch = |range: Range<u64>| async move {
            let options = GetOptions {
                range: Some(range.into()),
                ..GetOptions::default()
            };
            let result = self.get_opts(location, options).await?;
            let len = result.range.end - result.range.start;
            collect_bytes(result.into_stream(), Some(len)).await
        };
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// A body that fails if it is not exactly as long as announced.
struct Exactly {
    inner: BoxStream<'static, Result<Bytes>>,
    path: Path,
    expected: u64,
    got: u64,
    done: bool,
}

impl Stream for Exactly {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.inner.as_mut().poll_next(cx));
        let wrong = match &next {
            Some(Ok(chunk)) => {
                self.got += chunk.len() as u64;
                self.got > self.expected
            }
            Some(Err(_)) => {
                self.done = true;
                false
            }
            None => {
                self.done = true;
                self.got != self.expected
            }
        };
        if wrong {
            self.done = true;
            let failure = Failure::Length {
                expected: self.expected,
                got: self.got,
            };
            return Poll::Ready(Some(Err(failure.into_store_error(self.path.as_ref()))));
        }
        Poll::Ready(next)
    }
}
