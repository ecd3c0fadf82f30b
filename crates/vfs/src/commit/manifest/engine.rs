//! From a file that was changed to its hashes, with every content in the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_manifest::{Content, FileKind, Hash, Hasher, Manifest, Stamp};
use forebay_types::ByteRange;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use crate::commit::blocking::blocking;
use crate::commit::bring::{bring, cut};
use crate::commit::error::{CommitError, shown};
use crate::commit::manifest::pieces::{Old, Piece, pieces};
use crate::commit::manifest::plan::OwnFile;
use crate::commit::manifest::upload::{Object, Uploader};
use crate::commit::payload::Fail;
use crate::commit::progress::{CommitProgress, add};
use crate::commit::still::{is_still, until_still};
use crate::commit::working::Working;
use crate::overlay::{ContentChange, DataFile, NodeId, ReadData, Upper, UpperError};

/// Bytes that are read at a time to be hashed: they stay in the processor's cache.
const READ: u64 = 1 << 20;

/// A file as it was at one moment, with its content in the store.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) size: u64,
    /// Microseconds since 1970.
    pub(super) mtime: i64,
    pub(super) hashes: Hashes,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Hashes {
    /// Where those of its origin are.
    Origin,
    /// In one object, or in one for each chunk.
    Own(Vec<Hash>),
}

/// What hashes and stores.
#[derive(Debug)]
pub(super) struct Engine<W> {
    pub(super) working: W,
    pub(super) base: Arc<Manifest>,
    /// Files that are larger are cut.
    pub(super) chunk: Option<u64>,
    /// Threads that hash, and leave to be one.
    pub(super) threads: usize,
    pub(super) hashing: Semaphore,
    pub(super) uploader: Uploader,
    pub(super) progress: Arc<CommitProgress>,
    pub(super) stop: Stop,
}

/// Tells threads that nobody waits for them any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file at one moment.
#[derive(Debug)]
struct Look {
    stamp: Stamp,
    change: ContentChange,
    /// Its time is that of its origin.
    keeps_time: bool,
    /// If anything of it is above, and changed.
    data: Option<Arc<DataFile>>,
}

impl Look {
    fn take(upper: &Upper, id: NodeId) -> Result<Self, UpperError> {
        // First: what is changed from here on shows in the next one.
        let told = upper.attrs(id)?;
        let change = upper.content_change(id)?;
        let (origin, _) = upper.content(id)?;
        let data = match change {
            ContentChange::Same => None,
            ContentChange::Parts { .. } | ContentChange::Whole { .. } => Some(upper.data(id)?),
        };
        Ok(Self {
            stamp: Stamp {
                size: told.size,
                mtime: told.attrs.mtime.into(),
                ctime: told.attrs.ctime.into(),
            },
            keeps_time: origin.is_some_and(|origin| origin.mtime == told.attrs.mtime),
            change,
            data,
        })
    }

    fn is_as(&self, other: &Self) -> bool {
        self.stamp == other.stamp && self.change == other.change
    }
}

impl<W: Working> Engine<W> {
    /// The hashes of a file that does not change meanwhile, and all its contents in the store.
    pub(super) async fn file(self: &Arc<Self>, file: &OwnFile) -> Result<Hashed, CommitError> {
        let hashed = until_still(&self.progress, &file.path, || self.attempt(file)).await?;
        hashed.ok_or_else(|| CommitError::Busy {
            path: shown(&file.path),
            times: Stamp::AGAIN + 1,
        })
    }

    /// `None`: it changed meanwhile.
    async fn attempt(self: &Arc<Self>, file: &OwnFile) -> Result<Option<Hashed>, CommitError> {
        let Some(look) = self.settled(file).await? else {
            return Ok(None);
        };
        let mtime = match self.origin(file) {
            Some((mtime, _)) if look.keeps_time && look.change == ContentChange::Same => mtime,
            _ => look.stamp.mtime_micros(),
        };
        let Some(data) = &look.data else {
            return Ok(Some(Hashed {
                size: look.stamp.size,
                mtime,
                hashes: Hashes::Origin,
            }));
        };
        let pieces = self.pieces(file, &look);
        let Some(hashes) = self.hash(file, data, &pieces).await? else {
            return Ok(None);
        };
        if !self.look(file).await?.is_as(&look) {
            return Ok(None);
        }
        if !self.upload(file, data, &pieces, &hashes).await? {
            return Ok(None);
        }
        Ok(Some(Hashed {
            size: look.stamp.size,
            mtime,
            hashes: Hashes::Own(hashes),
        }))
    }

    async fn look(&self, file: &OwnFile) -> Result<Look, CommitError> {
        let (working, id) = (self.working.clone(), file.id);
        let look = blocking(move || Look::take(working.upper(), id)).await?;
        look.map_err(CommitError::overlay(&file.path))
    }

    /// A file of which all is here that is to be hashed, and which was not changed just now. `None`: it changes.
    async fn settled(self: &Arc<Self>, file: &OwnFile) -> Result<Option<Look>, CommitError> {
        let look = self.look(file).await?;
        // What comes from below changes the ctime, so it comes before.
        let look = match self.bring(file, &look).await? {
            true => self.look(file).await?,
            false => look,
        };
        let is_settled = look.data.is_none()
            || is_still(look.stamp, async { Ok(self.look(file).await?.is_as(&look)) }).await?;
        Ok(is_settled.then_some(look))
    }

    fn pieces(&self, file: &OwnFile, look: &Look) -> Vec<Piece> {
        let old = self.origin(file).map(|(_, old)| old);
        pieces(look.stamp.size, self.chunk, old.as_ref(), &look.change)
    }

    /// Time and content that the base has.
    fn origin(&self, file: &OwnFile) -> Option<(i64, Old<'_>)> {
        let entry = self.base.file(file.origin?)?;
        let FileKind::Regular {
            size, mtime, content, ..
        } = entry.kind
        else {
            return None;
        };
        let old = match content {
            Content::Hash(hash) => Old::Whole { size, hash },
            Content::Chunks(hashes) => Old::Chunks {
                size,
                hashes,
                chunk: self.base.chunk_size().bytes()?,
            },
            Content::Unhashed => return None,
        };
        Some((mtime, old))
    }

    /// Brings what is to be hashed and not here. Whether anything was.
    async fn bring(self: &Arc<Self>, file: &OwnFile, look: &Look) -> Result<bool, CommitError> {
        let Some(data) = &look.data else {
            return Ok(false);
        };
        let absent = data.absent();
        if absent.is_empty() {
            return Ok(false);
        }
        let wanted: Vec<ByteRange> = new(&self.pieces(file, look)).collect();
        let missing: Vec<ByteRange> = both(&wanted, &absent).collect();
        let is_any = !missing.is_empty();
        let memory = self.uploader.memory();
        bring(&self.working, memory, (file.id, &file.path), missing).await?;
        Ok(is_any)
    }

    /// The hash of each piece. `None`: the file is another by now.
    async fn hash(
        self: &Arc<Self>,
        file: &OwnFile,
        data: &Arc<DataFile>,
        pieces: &[Piece],
    ) -> Result<Option<Vec<Hash>>, CommitError> {
        let jobs: Vec<Piece> = pieces.to_vec();
        let hashes = stream::iter(jobs).map(|piece| {
            let (this, data) = (self.clone(), data.clone());
            async move {
                let range = match piece {
                    Piece::Kept(hash) => return Ok(Ok(Some(hash))),
                    Piece::New(range) => range,
                };
                let _turn = this.hashing.acquire().await.map_err(|_| CommitError::Cancelled)?;
                let (stop, progress) = (this.stop.clone(), this.progress.clone());
                blocking(move || hash_of(&data, range, &stop, &progress)).await
            }
        });
        let mut hashes = std::pin::pin!(hashes.buffered(self.threads));
        let mut all = Vec::with_capacity(pieces.len());
        while let Some(hash) = hashes.try_next().await? {
            match hash.map_err(CommitError::overlay(&file.path))? {
                Some(hash) => all.push(hash),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// Whether all that was hashed is in the store now; not if the file is another by now.
    async fn upload(
        self: &Arc<Self>,
        file: &OwnFile,
        data: &Arc<DataFile>,
        pieces: &[Piece],
        hashes: &[Hash],
    ) -> Result<bool, CommitError> {
        let objects = pieces.iter().zip(hashes).filter_map(|(piece, hash)| match piece {
            Piece::Kept(_) => None,
            Piece::New(range) => Some(Object {
                hash: hash.clone(),
                data: data.clone(),
                range: *range,
                path: file.path.clone(),
            }),
        });
        let objects: Vec<Object> = objects.collect();
        let sent = stream::iter(objects).map(|object| {
            let this = self.clone();
            async move { this.uploader.ensure(&object).await }
        });
        let mut sent = std::pin::pin!(sent.buffer_unordered(self.uploader.at_once()));
        while let Some(done) = sent.next().await {
            match done {
                Ok(()) => {}
                Err(Fail::Moved) => return Ok(false),
                Err(Fail::Error(error)) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn new(pieces: &[Piece]) -> impl Iterator<Item = ByteRange> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::New(range) => Some(*range),
        Piece::Kept(_) => None,
    })
}

/// What is in a range of both lists, which are sorted.
fn both(a: &[ByteRange], b: &[ByteRange]) -> impl Iterator<Item = ByteRange> {
    a.iter().flat_map(move |range| {
        let first = b.partition_point(|other| other.end() <= range.start());
        b[first..]
            .iter()
            .map(move |other| range.intersect(*other))
            .take_while(|common| !common.is_empty())
    })
}

/// The hash of some bytes of a file; `None`: they are not all here, so it is another by now, or nobody waits.
fn hash_of(
    data: &DataFile,
    range: ByteRange,
    stop: &Stop,
    progress: &CommitProgress,
) -> Result<Option<Hash>, UpperError> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; usize::try_from(range.len().min(READ)).unwrap_or(usize::MAX)];
    for part in cut(range, READ) {
        let buffer = &mut buffer[..part.len() as usize];
        if stop.is_asked() || data.read_at(buffer, part.start())? != ReadData::Present(buffer.len()) {
            return Ok(None);
        }
        hasher.update(buffer);
        add(&progress.hashed, part.len());
    }
    Ok(Some(hasher.finish()))
}
