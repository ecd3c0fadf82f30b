//! What is open, for a view of it.

use std::sync::atomic::Ordering::Relaxed;

use forebay_types::Clock;

use super::Writable;
use super::files::OpenFile;
use crate::status::{FileMode, FileStatus, LISTED};

impl Writable {
    /// How many files are open, above and below, and those of them that are listed.
    pub(crate) fn open_files(&self) -> (u64, Vec<FileStatus>) {
        let (mut number, mut files) = self.fs.open_files();
        let above = self.all_open();
        number += above.len() as u64;
        files.extend(above.iter().map(|(id, open)| self.of(*id, open)));
        if files.len() > LISTED {
            files.sort_by_key(|file| std::cmp::Reverse(file.served));
            files.truncate(LISTED);
        }
        files.sort_unstable_by_key(|file| file.id);
        (number, files)
    }

    fn of(&self, id: u64, open: &OpenFile) -> FileStatus {
        let figures = &open.figures;
        let (reads, hits) = (figures.reads.load(Relaxed), figures.at_once.load(Relaxed));
        let path = self.merged.path(open.ino).unwrap_or_default();
        let mut status = FileStatus {
            id,
            path: String::from_utf8_lossy(&path).into_owned(),
            size: open.file.len().unwrap_or(0),
            mode: FileMode::from(&open.opened),
            open_s: self.fs.clock.now().saturating_sub(figures.opened).as_secs_f64(),
            reads,
            served: figures.served.load(Relaxed),
            hits,
            hit_rate: None,
            fetched: 0,
            fetched_per_served: None,
            requests: 0,
            windows: Vec::new(),
            errors: figures.errors.load(Relaxed),
            torrent: None,
        };
        status.brought(&open.file);
        status
    }
}
