//! Reading everything again: for disks that are not trusted.

use std::sync::Arc;

use forebay_types::{BLOCK, BlockRange};

use crate::cache::Cache;
use crate::dir::failed;
use crate::error::CacheError;
use crate::files::TABLE_READ;
use crate::name::{FileKind, Name, shard_dir};
use crate::object::{CachedObject, Open};
use crate::table::{crc_in, crc32c};

/// Blocks read at once: 1 MiB.
const READ: u64 = 16;

/// How far [`Cache::verify`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects looked at.
    pub objects: u64,
    /// Objects in all.
    pub of_objects: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// What [`Cache::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Objects looked at.
    pub objects: u64,
    /// Blocks read.
    pub blocks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Blocks that were bad; they are fetched again when somebody wants them.
    pub bad_blocks: u64,
    /// Objects removed whole, because their map or their data file could not be used.
    pub removed: u64,
    /// The objects with bad blocks.
    pub bad: Vec<BadObject>,
}

/// An object with bad blocks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BadObject {
    /// Origin and key, safe to print.
    pub object: String,
    /// How many of its blocks.
    pub blocks: u64,
}

impl Cache {
    /// Reads every block of the cache and compares it with its checksum, sealed objects too. Bad blocks are dropped. `on` is told
    /// now and then how far it is.
    ///
    /// # Errors
    /// If a directory cannot be listed.
    pub fn verify(&self, on: &mut dyn FnMut(Progress)) -> Result<Verified, CacheError> {
        let shared = self.shared();
        let mut names = Vec::new();
        for shard in 0..=u8::MAX {
            let Ok(dir) = shared.dir.shard(shard) else {
                continue;
            };
            let path = shared.dir.path().join("objects").join(shard_dir(shard));
            let files = dir.list().map_err(failed("list", &path))?;
            names.extend(files.iter().filter_map(|file| match Name::parse(shard, file) {
                Some(FileKind::Map(name)) => Some(name),
                _ => None,
            }));
        }
        let mut verified = Verified::default();
        let of_objects = names.len() as u64;
        for name in names {
            self.verify_one(name, &mut verified, &mut |verified| {
                on(Progress {
                    objects: verified.objects,
                    of_objects,
                    bytes: verified.bytes,
                });
            });
        }
        Ok(verified)
    }

    fn verify_one(&self, name: Name, verified: &mut Verified, on: &mut dyn FnMut(&Verified)) {
        let shared = self.shared();
        verified.objects += 1;
        let Some(object) = shared.object_of(name) else {
            // Damaged, or just removed by somebody.
            if let Ok(shard) = name.shard_in(&shared.dir)
                && shard.stat(&name.map()).is_ok()
            {
                shared.remove_damaged(&shard, name);
                verified.removed += 1;
            }
            on(verified);
            return;
        };
        let held_before = object.opened().is_some();
        if let Some(open) = object.open() {
            let bad = object.verify(&open, verified, on);
            if bad > 0 {
                verified.bad_blocks += bad;
                verified.bad.push(BadObject {
                    object: forebay_types::printable(&format!("{}/{}", object.id().origin, object.id().key))
                        .into_owned(),
                    blocks: bad,
                });
            }
        } else if name
            .shard_in(&shared.dir)
            .is_ok_and(|shard| shard.stat(&name.map()).is_err())
        {
            verified.removed += 1;
        }
        on(verified);
        if !held_before {
            // Those that are in use stay open; what was opened for this goes.
            shared.open.remove(&object);
        }
    }
}

impl CachedObject {
    /// Reads all blocks that the table has; returns how many are bad.
    fn verify(&self, open: &Arc<Open>, verified: &mut Verified, on: &mut dyn FnMut(&Verified)) -> u64 {
        let all = BlockRange::of_size(self.id().size);
        let mut buffer = vec![0; (READ * BLOCK) as usize];
        let (mut at, mut bad) = (0, 0);
        while at < all.end() {
            let epoch = open.known.epoch();
            let some = BlockRange::new(at, (at + TABLE_READ).min(all.end()));
            let Some(entries) = self.shared.note_failure(open.files.map.entries(some)) else {
                return bad;
            };
            let crcs: Vec<Option<u32>> = some
                .iter()
                .zip(entries)
                .map(|(block, entry)| crc_in(entry, block, open.known.instance))
                .collect();
            for (part, crcs) in crcs.chunks(READ as usize).enumerate() {
                let first = at + part as u64 * READ;
                bad += self.verify_blocks(open, first, crcs, &mut buffer, epoch, verified);
                on(verified);
            }
            at = some.end();
        }
        bad
    }

    fn verify_blocks(
        &self,
        open: &Arc<Open>,
        first: u64,
        crcs: &[Option<u32>],
        buffer: &mut [u8],
        epoch: u64,
        verified: &mut Verified,
    ) -> u64 {
        let size = self.id().size;
        let mut bad = 0;
        let present = crcs.iter().zip(first..);
        for run in present
            .collect::<Vec<_>>()
            .chunk_by(|(a, _), (b, _)| a.is_some() == b.is_some())
        {
            let (Some(from), Some(to)) = (run.first(), run.last()) else {
                continue;
            };
            if from.0.is_none() {
                continue;
            }
            let bytes = BlockRange::new(from.1, to.1 + 1).bytes(size);
            let buffer = &mut buffer[..bytes.len() as usize];
            let readable = self.read_raw(open, bytes.start(), buffer);
            for ((crc, block), bytes) in run.iter().zip(buffer.chunks(BLOCK as usize)) {
                verified.blocks += 1;
                verified.bytes += bytes.len() as u64;
                let good = readable && Some(crc32c(bytes)) == **crc;
                // Blocks that were given up meanwhile are not bad.
                if !good && open.known.epoch() == epoch {
                    self.is_corrupt(open, *block);
                    bad += 1;
                }
            }
        }
        bad
    }
}
