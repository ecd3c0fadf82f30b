//! Content by its hash as an object store.
//!
//! A content-addressed store has one object for each content, or for each chunk of a large one, and the name of an object
//! is the hash of what is in it. [`CasStore`] reads such objects as what they stand for: the hash is the version, whatever
//! ETag the server gives, so that the same content is the same object for ever; and several chunks are one object.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_types::{ByteRange, printable};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, ObjectMeta, ObjectStore,
    Result,
};

use crate::open::Source;
use crate::payload::satisfiable;
use crate::read_only::{ReadSource, not_possible};
use crate::transport::Failure;

/// A content of several chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Bytes of the whole.
    pub size: u64,
    /// Bytes of each chunk, but for the last.
    pub chunk_size: u64,
    /// The names of their objects, in order.
    pub names: Box<[Box<str>]>,
}

/// Objects that are named by what is in them, below a prefix of a store. Reading only. Cheap to clone; clones share
/// everything.
#[derive(Clone)]
pub struct CasStore {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// By the name that each was given.
    chunked: RwLock<HashMap<Box<str>, Arc<Chunks>>>,
}

/// Some bytes of a chunk.
struct Piece {
    key: Path,
    range: ByteRange,
    /// Bytes of the chunk.
    size: u64,
}

impl CasStore {
    /// The objects below the path of `source`.
    pub(crate) fn new(source: &Source) -> Self {
        Self {
            inner: Arc::new(Inner {
                store: source.store.clone(),
                prefix: source.path.clone(),
                chunked: RwLock::default(),
            }),
        }
    }

    /// Makes several chunks one object, of this name. What the name stands for never changes: it is to be a hash of all
    /// that `chunks` says.
    ///
    /// # Errors
    /// If there are not as many chunks as that many bytes have, or a name cannot be that of an object.
    pub fn join(&self, name: &str, chunks: Chunks) -> Result<(), Failure> {
        let wrong = |why: String| Failure::Malformed {
            what: "list of chunks",
            why,
        };
        let count = match chunks.chunk_size {
            0 => return Err(wrong("chunks of no bytes".to_owned())),
            size => chunks.size.div_ceil(size),
        };
        if count != chunks.names.len() as u64 {
            let there = chunks.names.len();
            return Err(wrong(format!("{there} chunks where the size wants {count}")));
        }
        for name in chunks.names.iter().map(|name| &**name).chain([name]) {
            self.key(name).map_err(|error| wrong(error.to_string()))?;
        }
        let mut chunked = self.inner.chunked.write().unwrap_or_else(PoisonError::into_inner);
        chunked.insert(name.into(), Arc::new(chunks));
        Ok(())
    }

    /// What an object is made of, if it is made of several.
    pub fn chunks(&self, name: &str) -> Option<Arc<Chunks>> {
        let chunked = self.inner.chunked.read().unwrap_or_else(PoisonError::into_inner);
        chunked.get(name).cloned()
    }

    /// Where an object lies in the store below.
    fn key(&self, name: &str) -> Result<Path, object_store::path::Error> {
        let prefix = self.inner.prefix.as_ref();
        let slash = if prefix.is_empty() { "" } else { "/" };
        Path::parse(format!("{prefix}{slash}{name}"))
    }

    /// A content that is one object.
    async fn whole(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = self.key(location.as_ref())?;
        let mut result = self.inner.store.get_opts(&key, options).await?;
        result.meta = meta_of(location, result.meta.size);
        Ok(result)
    }

    /// A content of several, chunk by chunk as its bytes are taken.
    async fn joined(&self, location: &Path, chunks: &Chunks, options: &GetOptions) -> Result<GetResult> {
        let meta = meta_of(location, chunks.size);
        let fail = |failure: Failure| failure.into_store_error(location.as_ref());
        let asked = options.range.as_ref();
        let range = satisfiable(asked, chunks.size).ok_or_else(|| {
            fail(Failure::Status {
                status: 416,
                code: None,
                message: Some(format!("the object has {} bytes", chunks.size)),
                retry_after: None,
            })
        })?;
        let payload = if options.head || range.is_empty() {
            futures::stream::empty().boxed()
        } else {
            let mut pieces = self.pieces(chunks, range)?.into_iter();
            // The first one now: that it is not there is an answer, not something that breaks in the middle of one.
            let first = match pieces.next() {
                Some(piece) => self.clone().piece(piece).await?,
                None => futures::stream::empty().boxed(),
            };
            let this = self.clone();
            let rest = futures::stream::iter(pieces)
                .then(move |piece| this.clone().piece(piece))
                .try_flatten();
            first.chain(rest).boxed()
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range: range.into(),
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }

    fn pieces(&self, chunks: &Chunks, range: ByteRange) -> Result<Vec<Piece>> {
        let first = range.start() / chunks.chunk_size;
        let mut pieces = Vec::new();
        for (index, name) in (first..).zip(chunks.names.iter().skip(first as usize)) {
            let start = index * chunks.chunk_size;
            if start >= range.end() {
                break;
            }
            let end = chunks.size.min(start.saturating_add(chunks.chunk_size));
            let wanted = ByteRange::new(range.start().max(start), range.end().min(end));
            pieces.push(Piece {
                key: self.key(name)?,
                range: ByteRange::new(wanted.start() - start, wanted.end() - start),
                size: end - start,
            });
        }
        Ok(pieces)
    }

    async fn piece(self, piece: Piece) -> Result<BoxStream<'static, Result<Bytes>>> {
        let options = GetOptions {
            range: Some(std::ops::Range::from(piece.range).into()),
            ..GetOptions::default()
        };
        let result = self.inner.store.get_opts(&piece.key, options).await?;
        if result.meta.size != piece.size {
            // What the name promises is another content.
            let failure = Failure::Changed {
                expected: format!("a chunk of {} bytes", piece.size),
                got: format!("one of {}", result.meta.size),
            };
            return Err(failure.into_store_error(piece.key.as_ref()));
        }
        Ok(result.into_stream())
    }
}

fn meta_of(location: &Path, size: u64) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        // 1970 stands for «nobody knows».
        last_modified: Default::default(),
        size,
        e_tag: Some(format!("\"{}\"", location.as_ref())),
        version: None,
    }
}

#[async_trait]
impl ReadSource for CasStore {
    const WHERE: &'static str = "by the hash of a content";

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        options.check_preconditions(&meta_of(location, 0))?;
        // The server's own version of an object is nobody's business.
        options.if_match = None;
        options.if_none_match = None;
        match self.chunks(location.as_ref()) {
            Some(chunks) => self.joined(location, &chunks, &options).await,
            None => self.whole(location, options).await,
        }
    }

    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let refused = Err(not_possible("listing", Self::WHERE, self));
        futures::stream::once(async { refused }).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(not_possible("listing", Self::WHERE, self))
    }
}

impl fmt::Display for CasStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} below '{}'",
            self.inner.store,
            printable(self.inner.prefix.as_ref())
        )
    }
}

impl fmt::Debug for CasStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CasStore({self})")
    }
}

#[cfg(test)]
mod tests;
