//! What a source tells of torrents.

use object_store::path::Path;

use super::FileFacts;
use crate::open::Source;

impl Source {
    /// Whether its files are those of a torrent client.
    pub fn is_torrents(&self) -> bool {
        self.torrents().is_some()
    }

    /// Whether a file that was listed or looked at may be executed. Only torrents say so.
    pub fn is_executable(&self, path: &Path) -> bool {
        self.torrents().is_some_and(|store| store.is_executable(path))
    }

    /// How a file is doing at the torrent client; `None` if the source is none.
    ///
    /// # Errors
    /// If there is no such file, or the client is not to be reached.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its requests.
    pub async fn file_facts(&self, path: &Path) -> Option<object_store::Result<FileFacts>> {
        Some(self.torrents()?.file_facts(path).await)
    }
}
