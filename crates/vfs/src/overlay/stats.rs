//! Figures.

use forebay_disk::sys::stored;

use crate::overlay::attrs::Data;
use crate::overlay::layout::data_name;
use crate::overlay::upper::Upper;

/// What there is above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpperStats {
    /// Files, directories and other things that are known.
    pub nodes: u64,
    /// Files of them that have content here, all of it or a part.
    pub files: u64,
    /// Lower things that are hidden.
    pub whiteouts: u64,
    /// Bytes on disk that the content takes.
    pub stored: u64,
    /// Bytes of the journal of names.
    pub journal: u64,
}

impl Upper {
    /// What there is above. Looks at every file with content, so it takes its time.
    pub fn stats(&self) -> UpperStats {
        let (mut stats, files) = {
            let inner = self.shared.read();
            let files: Vec<_> = inner
                .state
                .nodes
                .iter()
                .filter(|(_, node)| node.file().is_some_and(|file| file.data != Data::Lower))
                .map(|(id, _)| *id)
                .collect();
            let stats = UpperStats {
                nodes: inner.state.nodes.len() as u64,
                files: files.len() as u64,
                whiteouts: inner.state.whiteouts,
                stored: 0,
                journal: inner.journal.len(),
            };
            (stats, files)
        };
        for id in files {
            // One that was removed meanwhile takes nothing.
            if let Ok(stat) = self.shared.layout.stat(&data_name(id)) {
                stats.stored += stored(&stat);
            }
        }
        stats
    }
}
