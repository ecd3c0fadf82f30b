//! A file read past the page cache.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use forebay_types::ByteRange;
use tokio::sync::oneshot;

use crate::buffer::Buffer;
use crate::disk::Shared;
use crate::edges::{Claim, Edge, Edges};
use crate::flag;
use crate::geometry::{Geometry, MOST, Told};
use crate::op::{AGAIN, AT_ONCE, Op, Opened};
use crate::pool::SLAB;

/// The longest read that is one request and one pooled buffer, in bytes, where it begins at a multiple of it.
pub const MAX_READ: u64 = SLAB as u64;

/// No file has bytes from here on: offsets of the kernel are signed, and whole units must fit.
const LAST: u64 = i64::MAX as u64 / MOST * MOST;

/// How a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Past the page cache, if its file system can.
    pub direct: bool,
    /// What offsets, lengths and addresses are to be multiples of, a power of two; raised to what the file needs.
    pub alignment: Option<u64>,
    /// The least that one read brings: its offset and length are multiples of it.
    pub min_io_size: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            direct: true,
            alignment: None,
            min_io_size: 4096,
        }
    }
}

/// A file read past the page cache. Clones are the same file: reads that touch the same units share them.
#[derive(Clone, Debug)]
pub struct DirectFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<Shared>,
    opened: Arc<Opened>,
    geometry: Geometry,
    edges: Arc<Edges>,
}

impl DirectFile {
    pub(crate) fn new(disk: Arc<Shared>, file: File, wanted: Wanted) -> io::Result<Self> {
        let told = Told::of(&file)?;
        let is_direct = flag::is_direct(&file)?;
        if is_direct && !wanted.direct {
            flag::leave_direct(&file)?;
        }
        let opened = Opened::new(file, wanted.direct, told.mount);
        let refused = match told.alignment {
            _ if !wanted.direct => None,
            Some((0, _) | (_, 0)) => Some("the kernel says so"),
            _ if !is_direct => Some("EINVAL from open"),
            _ => None,
        };
        if let Some(why) = refused {
            opened.refuse(&disk, why)?;
        }
        let geometry = match opened.is_direct() {
            true => Geometry::new(told.alignment, wanted),
            false => Geometry::BUFFERED,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                disk,
                opened: Arc::new(opened),
                geometry,
                edges: Arc::default(),
            }),
        })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.inner.opened.file
    }

    /// What it wants of reads.
    pub fn geometry(&self) -> Geometry {
        self.inner.geometry
    }

    /// Whether it is read past the page cache, as far as is known by now.
    pub fn is_direct(&self) -> bool {
        self.inner.opened.is_direct()
    }

    /// Whether another long read finds a pooled buffer at the moment; one without is dearer.
    pub fn has_room(&self) -> bool {
        self.inner.disk.pool.has_room()
    }

    /// Cuts `range` into reads: each ends at a multiple of `most` (at most [`MAX_READ`]), but for the last.
    pub fn pieces(&self, range: ByteRange, most: u64) -> impl Iterator<Item = ByteRange> + use<> {
        let most = most.clamp(self.inner.geometry.unit, MAX_READ);
        let mut rest = range;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let border = (rest.start() / most + 1).saturating_mul(most);
            let (piece, after) = rest.split_at(border - rest.start());
            rest = after;
            Some(piece)
        })
    }

    /// Begins to read `range`, at once; the future gives its bytes, fewer only where the file ends.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::OutOfMemory`] if there is no buffer.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the bytes; what was begun comes to its end, and its memory goes back.
    pub fn read(&self, range: ByteRange) -> impl Future<Output = io::Result<Bytes>> + Send + 'static {
        let range = range.clamp_to(LAST);
        let this = self.clone();
        let begun = (!range.is_empty()).then(|| this.inner.begin(range));
        async move {
            match begun {
                Some(begun) => this.collect(range, begun?).await,
                None => Ok(Bytes::new()),
            }
        }
    }

    /// As [`Self::read`], on the calling thread, which waits for the disk. Shares nothing with other reads.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_blocking(&self, range: ByteRange) -> io::Result<Bytes> {
        let range = range.clamp_to(LAST);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let inner = &self.inner;
        let whole = inner.geometry.widen(range);
        let mut buffer = inner.buffer(whole)?;
        let (mut filled, needed) = (0, (range.end() - whole.start()) as usize);
        let (unit, mut again) = (inner.geometry.unit as usize, 0);
        let counters = &inner.disk.counters;
        while filled < needed {
            let direct = inner.opened.is_direct();
            let at = whole.start() + filled as u64;
            let end = (whole.len() as usize).min(filled + AT_ONCE);
            let memory = &mut buffer.as_mut()[filled..end];
            counters.reads.fetch_add(1, Relaxed);
            match rustix::io::pread(&inner.opened.file, memory, at) {
                Ok(0) => break,
                Ok(got) => {
                    let counter = if direct {
                        &counters.direct_bytes
                    } else {
                        &counters.buffered_bytes
                    };
                    counter.fetch_add(got as u64, Relaxed);
                    filled += got;
                    // As in `Op::finish`.
                    if filled < needed && direct && !got.is_multiple_of(unit) {
                        if again >= AGAIN || inner.opened.ends_by(at + got as u64) {
                            break;
                        }
                        again += 1;
                        filled -= filled % unit;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::INVAL) if direct => {
                    inner.opened.refuse(&inner.disk, "EINVAL from a read")?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(trim(buffer, whole, range, filled))
    }

    /// Waits for what was begun and puts it together.
    async fn collect(&self, range: ByteRange, begun: Begun) -> io::Result<Bytes> {
        let Begun {
            whole,
            unit,
            own,
            head,
            tail,
        } = begun;
        let own = match own {
            Own::None(buffer) => (buffer, 0),
            Own::UnderWay(told) => told.await.map_err(|_| gone())??,
        };
        let (mut buffer, mut filled) = own;
        let len = whole.len() as usize;
        if let Some(told) = head {
            let edge = self.edge(told, ByteRange::at(whole.start(), unit as u64)).await?;
            buffer.as_mut()[..edge.len()].copy_from_slice(&edge);
            filled = if edge.len() < unit {
                edge.len()
            } else {
                filled.max(unit)
            };
        }
        if let Some(told) = tail
            && filled == len - unit
        {
            let edge = self
                .edge(told, ByteRange::at(whole.end() - unit as u64, unit as u64))
                .await?;
            buffer.as_mut()[filled..filled + edge.len()].copy_from_slice(&edge);
            filled += edge.len();
        }
        Ok(trim(buffer, whole, range, filled))
    }

    /// An edge unit that somebody else reads; if that fails it is read again, for an error of our own.
    async fn edge(&self, told: oneshot::Receiver<Edge>, at: ByteRange) -> io::Result<Bytes> {
        if let Ok(Some(edge)) = told.await {
            self.inner.disk.counters.shared_edges.fetch_add(1, Relaxed);
            return Ok(edge);
        }
        let (tell, told) = oneshot::channel();
        let buffer = self.inner.buffer(at)?;
        self.inner.send(buffer, at, at, at.end(), [None; 2], tell);
        let (buffer, filled) = told.await.map_err(|_| gone())??;
        Ok(trim(buffer, at, at, filled))
    }
}

/// A read under way.
struct Begun {
    /// Whole units.
    whole: ByteRange,
    unit: usize,
    own: Own,
    /// The first unit, if somebody else reads it.
    head: Option<oneshot::Receiver<Edge>>,
    /// The last one.
    tail: Option<oneshot::Receiver<Edge>>,
}

/// What a read reads itself.
enum Own {
    /// Nothing: all of it is others' edges.
    None(Buffer),
    UnderWay(oneshot::Receiver<io::Result<(Buffer, usize)>>),
}

impl Inner {
    fn buffer(&self, whole: ByteRange) -> io::Result<Buffer> {
        let len = usize::try_from(whole.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.disk.pool.take(len, self.geometry.memory)
    }

    fn begin(&self, range: ByteRange) -> io::Result<Begun> {
        let whole = self.geometry.widen(range);
        let unit = self.geometry.unit;
        tracing::debug!(%range, aligned = %whole, unit, direct = self.opened.is_direct(), "read of a disk");
        let buffer = self.buffer(whole)?;
        let (mut own, mut owned) = (whole, [None; 2]);
        let (mut head, mut tail) = (None, None);
        let claim = |at: u64| self.edges.claim(at, self.disk.engine.reaper());
        if range.start() != whole.start() {
            match claim(whole.start()) {
                Claim::Mine => owned[0] = Some((whole.start(), 0)),
                Claim::Theirs(told) => {
                    head = Some(told);
                    own = ByteRange::new(whole.start() + unit, whole.end());
                }
                Claim::Apart => {}
            }
        }
        let last = whole.end().saturating_sub(unit);
        // The only unit was claimed above, if its range does not begin with it.
        let is_apart = last > whole.start() || range.start() == whole.start();
        if range.end() != whole.end() && is_apart {
            match claim(last) {
                Claim::Mine => owned[1] = Some((last, (last - whole.start()) as usize)),
                Claim::Theirs(told) => {
                    tail = Some(told);
                    own = ByteRange::new(own.start(), last);
                }
                Claim::Apart => {}
            }
        }
        let own = if own.is_empty() {
            Own::None(buffer)
        } else {
            let (tell, told) = oneshot::channel();
            // Who waits for the last unit wants all of it, also where it is the first as well.
            let needed = if owned.iter().flatten().any(|(at, _)| *at == last) {
                own.end()
            } else {
                range.end().min(own.end())
            };
            self.send(buffer, whole, own, needed, owned, tell);
            Own::UnderWay(told)
        };
        Ok(Begun {
            whole,
            unit: unit as usize,
            own,
            head,
            tail,
        })
    }

    /// Gives the engine a read of `own`, units of `whole`, which is what `buffer` is for.
    fn send(
        &self,
        buffer: Buffer,
        whole: ByteRange,
        own: ByteRange,
        needed: u64,
        owned: crate::op::Owned,
        done: oneshot::Sender<io::Result<(Buffer, usize)>>,
    ) {
        let position = |at: u64| (at - whole.start()) as usize;
        let op = Op {
            disk: self.disk.clone(),
            file: self.opened.clone(),
            buffer: Some(buffer),
            base: whole.start(),
            filled: position(own.start()),
            end: position(own.end()),
            needed: position(needed),
            unit: self.geometry.unit as usize,
            edges: self.edges.clone(),
            owned,
            done: Some(done),
            direct: true,
            again: 0,
        };
        Box::new(op).start();
    }
}

/// The bytes of `range` out of a buffer that has `filled` bytes from the start of `whole` on.
fn trim(buffer: Buffer, whole: ByteRange, range: ByteRange, filled: usize) -> Bytes {
    let position = |at: u64| (at - whole.start()) as usize;
    let end = position(range.end()).min(filled);
    buffer.into_bytes(position(range.start()).min(end)..end)
}

fn gone() -> io::Error {
    io::Error::other("the read was given up")
}
