//! The files of one object: found, opened, locked, made, taken out.

use std::time::Duration;

use forebay_disk::sys::{read_at, stored, write_at};
use forebay_types::{BlockRange, ObjectId};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Stat};
use rustix::io::Errno;

use crate::dir::{Dir, Shard, is_ours};
use crate::map::{BadHead, FIRST_READ, Head, RECORDS_END, Record, Value};
use crate::name::Name;
use crate::sys::{lock_soon, try_lock};
use crate::table::{ABSENT, ENTRY, crc_in};

/// Tries for a lock that another process holds while it takes an object out or makes it smaller: microseconds for the
/// one, a sync for the other. After about 3 ms the object counts as absent for now.
pub(crate) const LOCK_TRIES: u32 = 20;

/// What is under a name.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// A file that is no map of ours, or a damaged one.
    Damaged,
    /// This.
    Map(MapFile),
}

/// An open map.
#[derive(Debug)]
pub(crate) struct MapFile {
    pub(crate) fd: OwnedFd,
    pub(crate) head: Head,
    pub(crate) sealed: bool,
    pub(crate) validated: Duration,
    /// `u64::MAX` if it is damaged: differs from all that anybody remembers.
    pub(crate) generation: u64,
}

/// Opens the map under `name` and reads its head and records.
pub(crate) fn find(shard: &Shard, name: Name) -> Result<Found, Errno> {
    match shard.open(&name.map()) {
        Ok(fd) => read_map(fd),
        Err(Errno::NOENT) => Ok(Found::Absent),
        // A symlink, a socket, a directory: not ours.
        Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => Ok(Found::Damaged),
        Err(e) => Err(e),
    }
}

/// Reads an open map.
pub(crate) fn read_map(fd: OwnedFd) -> Result<Found, Errno> {
    let stat = fs::fstat(&fd)?;
    if !is_ours(&stat) {
        return Ok(Found::Damaged);
    }
    let mut first = [0; FIRST_READ];
    let len = read_at(&fd, &mut first, 0)?;
    let head = match Head::decode(&first[..len]) {
        // The format bounds what it asks for.
        Err(BadHead::Short(needed)) if needed > len && len == FIRST_READ => {
            let mut longer = vec![0; needed];
            let len = read_at(&fd, &mut longer, 0)?;
            Head::decode(&longer[..len])
        }
        other => other,
    };
    let Ok(head) = head else {
        return Ok(Found::Damaged);
    };
    if u64::try_from(stat.st_size).unwrap_or(0) < head.file_len() {
        return Ok(Found::Damaged);
    }
    let record = |record: Record| record.decode(&first[..len], head.instance);
    let validated = match record(Record::Validated) {
        Value::Is(micros) => Duration::from_micros(micros),
        Value::Unset => head.created,
        Value::Damaged => Duration::ZERO,
    };
    let generation = match record(Record::Generation) {
        Value::Is(generation) => generation,
        Value::Unset => 0,
        Value::Damaged => u64::MAX,
    };
    Ok(Found::Map(MapFile {
        sealed: record(Record::Seal) == Value::Is(1),
        validated,
        generation,
        fd,
        head,
    }))
}

impl MapFile {
    /// Writes a record.
    pub(crate) fn put(&self, record: Record, value: u64) -> Result<(), Errno> {
        put_record(&self.fd, &self.head, record, value)
    }

    /// Whether the map is still in its directory.
    pub(crate) fn is_linked(&self) -> bool {
        is_linked(&self.fd)
    }

    /// The entries of `blocks`.
    pub(crate) fn entries(&self, blocks: BlockRange) -> Result<Vec<u64>, Errno> {
        entries(&self.fd, &self.head, blocks)
    }

    /// The first block that the table does not have, or the end.
    pub(crate) fn first_absent(&self) -> Result<u64, Errno> {
        let all = BlockRange::of_size(self.head.id.size);
        let mut at = 0;
        while at < all.end() {
            let some = BlockRange::new(at, (at + TABLE_READ).min(all.end()));
            let found = self.entries(some)?;
            let present =
                |(i, entry): (usize, &u64)| crc_in(*entry, at + i as u64, self.head.instance).is_some();
            match found.iter().enumerate().position(|pair| !present(pair)) {
                Some(i) => return Ok(at + i as u64),
                None => at = some.end(),
            }
        }
        Ok(all.end())
    }

    /// Bytes of the object that the table has.
    pub(crate) fn content(&self) -> Result<u64, Errno> {
        let all = BlockRange::of_size(self.head.id.size);
        let (mut at, mut bytes) = (0, 0);
        while at < all.end() {
            let some = BlockRange::new(at, (at + TABLE_READ).min(all.end()));
            for (block, entry) in some.iter().zip(self.entries(some)?) {
                if crc_in(entry, block, self.head.instance).is_some() {
                    bytes += BlockRange::new(block, block + 1).bytes(self.head.id.size).len();
                }
            }
            at = some.end();
        }
        Ok(bytes)
    }
}

/// Entries read at once: 64 KiB of table, 512 MiB of object.
pub(crate) const TABLE_READ: u64 = 8192;

pub(crate) fn is_linked(map: impl AsFd) -> bool {
    fs::fstat(map).is_ok_and(|stat| stat.st_nlink > 0)
}

/// Reads the entries of `blocks`, which lie inside the object.
pub(crate) fn entries(map: impl AsFd, head: &Head, blocks: BlockRange) -> Result<Vec<u64>, Errno> {
    let mut bytes = vec![0; (blocks.len() * ENTRY) as usize];
    // What a file that was cut short lacks reads as zeros: absent.
    read_at(map, &mut bytes, head.layout.entry(blocks.start()))?;
    Ok(bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|entry| u64::from_le_bytes(*entry))
        .collect())
}

/// Writes entries for the blocks from `first` on.
pub(crate) fn put_entries(map: impl AsFd, head: &Head, first: u64, entries: &[u64]) -> Result<(), Errno> {
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    write_at(map, &bytes, head.layout.entry(first))
}

/// Takes `blocks` out of the table.
pub(crate) fn clear_entries(map: impl AsFd, head: &Head, blocks: BlockRange) -> Result<(), Errno> {
    put_entries(map, head, blocks.start(), &vec![ABSENT; blocks.len() as usize])
}

pub(crate) fn put_record(map: impl AsFd, head: &Head, record: Record, value: u64) -> Result<(), Errno> {
    write_at(map, &record.encode(value, head.instance), record.offset())
}

/// An object's files, opened; the lock is held while this lives.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) map: MapFile,
    /// `None`: the data is in the map.
    data: Option<OwnedFd>,
}

/// What became of opening the data of a map.
#[derive(Debug)]
pub(crate) enum Attached {
    /// Open, and nobody takes it away.
    Files(Files),
    /// Somebody is taking it out or making it smaller just now.
    Busy,
    /// It was taken out in between.
    Gone,
    /// The data file is not there, or not as long as the object.
    Broken,
}

/// Opens the data of `map` and locks it.
pub(crate) fn attach(shard: &Shard, name: Name, map: MapFile) -> Result<Attached, Errno> {
    let data = match map.head.layout.inside {
        Some(_) => None,
        None => match shard.open(&name.data(map.head.instance)) {
            Ok(fd) => Some(fd),
            Err(Errno::NOENT) if !map.is_linked() => return Ok(Attached::Gone),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Ok(Attached::Broken),
            Err(e) => return Err(e),
        },
    };
    let mut files = Files { map, data };
    if !lock_soon(files.data_fd(), FlockOperation::NonBlockingLockShared, LOCK_TRIES)? {
        return Ok(Attached::Busy);
    }
    if !files.map.is_linked() {
        return Ok(Attached::Gone);
    }
    if let Some(data) = &files.data {
        let stat = fs::fstat(data)?;
        if !is_ours(&stat) || u64::try_from(stat.st_size) != Ok(files.map.head.id.size) {
            return Ok(Attached::Broken);
        }
    }
    // What was read before the lock was held may have been changed by whoever held it.
    let mut records = [0; RECORDS_END];
    let len = read_at(&files.map.fd, &mut records, 0)?;
    let record = |record: Record| record.decode(&records[..len], files.map.head.instance);
    files.map.sealed = record(Record::Seal) == Value::Is(1);
    files.map.generation = match record(Record::Generation) {
        Value::Is(generation) => generation,
        Value::Unset => 0,
        Value::Damaged => u64::MAX,
    };
    Ok(Attached::Files(files))
}

impl Files {
    pub(crate) fn head(&self) -> &Head {
        &self.map.head
    }

    pub(crate) fn data_fd(&self) -> BorrowedFd<'_> {
        self.data.as_ref().unwrap_or(&self.map.fd).as_fd()
    }

    /// Where the object's first byte is in the data's file.
    pub(crate) fn data_start(&self) -> u64 {
        self.map.head.layout.inside.unwrap_or(0)
    }

    /// Whether the data is a file of its own.
    pub(crate) fn is_separate(&self) -> bool {
        self.data.is_some()
    }

    /// Blocks on disk, map included.
    pub(crate) fn charged(&self) -> u64 {
        let of = |fd: &OwnedFd| fs::fstat(fd).map_or(0, |stat| stored(&stat));
        of(&self.map.fd) + self.data.as_ref().map_or(0, of)
    }

    pub(crate) fn map_stat(&self) -> Result<Stat, Errno> {
        fs::fstat(&self.map.fd)
    }
}

/// What became of making an object.
#[derive(Debug)]
pub(crate) enum Made {
    /// It is there, empty.
    Files(Files),
    /// Somebody else was first: look again.
    Taken,
}

/// Makes the files of a new map: the data first, then the map, put in place whole and only if the place is free.
pub(crate) fn create(dir: &Dir, name: Name, head: Head) -> Result<Made, Errno> {
    let shard = dir.shard_or_make(name.shard())?;
    let data_name = name.data(head.instance);
    let data = match head.layout.inside {
        Some(_) => None,
        None => {
            let data = shard.create(&data_name)?;
            Some(data)
        }
    };
    let made = create_map(&shard, name, head, data);
    if !matches!(made, Ok(Made::Files(_))) {
        // Whether or not there is one.
        let _ = shard.unlink(&data_name);
    }
    made
}

fn create_map(shard: &Shard, name: Name, head: Head, data: Option<OwnedFd>) -> Result<Made, Errno> {
    if let Some(data) = &data {
        // Held from the start: a file without a map, and without a lock, is swept one day.
        try_lock(data, FlockOperation::NonBlockingLockShared)?;
        fs::ftruncate(data, head.id.size)?;
    }
    let incoming = name.incoming(head.instance);
    let fd = shard.create(&incoming)?;
    let made = (|| {
        try_lock(&fd, FlockOperation::NonBlockingLockShared)?;
        let mut first = head.encode();
        for (record, value) in [
            (Record::Generation, head.instance),
            (Record::Validated, crate::map::micros(head.created)),
        ] {
            let at = record.offset() as usize;
            let bytes = record.encode(value, head.instance);
            first[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        write_at(&fd, &first, 0)?;
        fs::ftruncate(&fd, head.file_len())?;
        shard.link(&incoming, &name.map())
    })();
    let removed = shard.unlink(&incoming);
    match made {
        Ok(()) => removed?,
        Err(Errno::EXIST) => return Ok(Made::Taken),
        Err(e) => return Err(e),
    }
    if data.is_some() {
        // The lock of a large object is on its data.
        let _ = try_lock(&fd, FlockOperation::NonBlockingUnlock);
    }
    let map = MapFile {
        fd,
        sealed: false,
        validated: head.created,
        generation: head.instance,
        head,
    };
    Ok(Made::Files(Files { map, data }))
}

/// A map that was taken out of its place, by this process and nobody else.
#[derive(Debug)]
pub(crate) struct Taken {
    name: Name,
    outgoing: String,
    /// `None` if it is damaged.
    pub(crate) map: Option<MapFile>,
    /// Blocks on disk, of map and data.
    pub(crate) charged: u64,
}

/// Takes the map under `name` out of its place; `None` if there is none (any more). A rename, so that of several who
/// want it one gets it, and knows for sure what he got.
pub(crate) fn take_out(shard: &Shard, name: Name) -> Result<Option<Taken>, Errno> {
    let outgoing = name.outgoing(fastrand::u64(..));
    match shard.rename(&name.map(), &outgoing) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e),
    }
    let map = match shard.open(&outgoing).and_then(read_map) {
        Ok(Found::Map(map)) => Some(map),
        _ => None,
    };
    let of = |name: &str| shard.stat(name).map_or(0, |stat| stored(&stat));
    let data = map
        .as_ref()
        .filter(|map| map.head.layout.inside.is_none())
        .map_or(0, |map| of(&name.data(map.head.instance)));
    Ok(Some(Taken {
        name,
        charged: of(&outgoing) + data,
        outgoing,
        map,
    }))
}

impl Taken {
    /// Removes the files.
    pub(crate) fn remove(self, shard: &Shard) {
        // What cannot be removed now is swept later.
        let _ = shard.unlink(&self.outgoing);
        if let Some(map) = &self.map {
            let _ = shard.unlink(&self.name.data(map.head.instance));
        }
    }

    /// Puts it back, unless its place was taken in the meantime: then it is removed, and the answer is `false`.
    pub(crate) fn put_back(self, shard: &Shard) -> bool {
        if shard.link(&self.outgoing, &self.name.map()).is_ok() {
            let _ = shard.unlink(&self.outgoing);
            return true;
        }
        self.remove(shard);
        false
    }
}

/// Whether a map is of this object, whichever version.
pub(crate) fn is_same_object(head: &Head, id: &ObjectId) -> bool {
    head.id.origin == id.origin && head.id.key == id.key
}
