//! What is open, for a view of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_types::{Clock, ObjectId};
use forebay_vfs::Ino;

use super::Fs;
use super::file::{Bytes, OpenFile};
use crate::status::{FileMode, FileStatus, LISTED, TorrentStatus, WindowStatus};

impl Fs {
    /// How many files are open, and those of them that are listed.
    pub(crate) fn open_files(&self) -> (u64, Vec<FileStatus>) {
        let (number, open) = self.listed();
        let files = open.iter().map(|(id, file)| self.of(*id, file));
        (number, files.collect())
    }

    /// Asks the source once for each file that is open, and listed, how it is doing.
    pub(crate) async fn refresh_facts(&self) {
        let (_, mut open) = self.listed();
        // Two opens of one file are one question.
        open.sort_by(|(_, a), (_, b)| a.target.path.cmp(&b.target.path));
        for opens in open.chunk_by(|(_, a), (_, b)| a.target.path == b.target.path) {
            let path = &opens[0].1.target.path;
            let facts = match self.source.file_facts(path).await {
                // Of this source there is nothing to know.
                None => return,
                Some(Ok(facts)) => Some(facts),
                Some(Err(error)) => {
                    tracing::debug!(%path, %error, "how the file is doing is not known");
                    None
                }
            };
            for (_, file) in opens {
                file.facts().clone_from(&facts);
            }
        }
    }

    /// The bytes of an object turned out to be wrong: what the kernel has of them it is to forget.
    pub(crate) fn refuted(&self, id: &ObjectId) {
        let open =
            |file: &Arc<OpenFile>| file.target.origin == id.origin && file.target.path.as_ref() == &*id.key;
        let mut inos: Vec<Ino> = {
            let files = self.files.lock();
            files
                .values()
                .filter(|file| open(file))
                .map(|file| file.ino)
                .collect()
        };
        // Of files that were closed, pages may be left; of another object with this version nothing is lost but pages.
        let kept = self.kept();
        inos.extend(
            kept.iter()
                .filter(|(_, kept)| **kept == id.version)
                .map(|(ino, _)| *ino),
        );
        drop(kept);
        inos.sort_unstable();
        inos.dedup();
        for ino in inos {
            self.tree.changed(ino);
        }
    }

    /// How many files are open, and those that are listed, in the order in which they were opened.
    fn listed(&self) -> (u64, Vec<(u64, Arc<OpenFile>)>) {
        // Nothing but references is taken under the lock that every read needs.
        let mut open: Vec<(u64, Arc<OpenFile>)> = {
            let files = self.files.lock();
            files.iter().map(|(id, file)| (*id, file.clone())).collect()
        };
        let number = open.len() as u64;
        if open.len() > LISTED {
            open.sort_by_cached_key(|(_, file)| std::cmp::Reverse(file.figures.served.load(Relaxed)));
            open.truncate(LISTED);
        }
        open.sort_unstable_by_key(|(id, _)| *id);
        (number, open)
    }

    fn path(&self, ino: Ino) -> String {
        match &self.above {
            Some(above) => {
                let path = above.path(ino).unwrap_or_default();
                String::from_utf8_lossy(&path).into_owned()
            }
            None => self.tree.path(ino).unwrap_or_default(),
        }
    }

    fn of(&self, id: u64, file: &OpenFile) -> FileStatus {
        let figures = &file.figures;
        let mut status = FileStatus {
            id,
            path: self.path(file.ino),
            size: file.size(),
            mode: FileMode::from(&file.opened),
            open_s: self.clock.now().saturating_sub(figures.opened).as_secs_f64(),
            reads: figures.reads.load(Relaxed),
            served: figures.served.load(Relaxed),
            hits: figures.at_once.load(Relaxed),
            hit_rate: None,
            fetched: 0,
            fetched_per_served: None,
            requests: 0,
            windows: Vec::new(),
            errors: figures.errors.load(Relaxed),
            torrent: file.facts().as_ref().map(TorrentStatus::of),
        };
        match &file.bytes {
            Bytes::Local(_) => {}
            Bytes::Remote(handle) => {
                let stats = handle.stats();
                // Counted by the handle: what lies on a cold disk is a hit that is not answered at once.
                (status.reads, status.hits) = (stats.reads, stats.hits);
                status.fetched = stats.range.bytes_fetched;
                status.requests = stats.range.requests;
                let windows = handle.windows().into_iter();
                status.windows = windows
                    .map(|window| WindowStatus {
                        at: window.position,
                        end: window.end,
                        ahead: window.ahead,
                    })
                    .collect();
            }
        }
        match file.above.get() {
            Some(above) => {
                // Its handle is not asked any more.
                status.reads = figures.reads.load(Relaxed);
                status.hits = figures.at_once.load(Relaxed);
                status.brought(above);
            }
            None => status.rates(),
        }
        status
    }
}
