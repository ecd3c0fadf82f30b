//! Directories that are gone with the run that made them.

use std::path::Path;

use tempfile::TempDir;

use crate::exit::{CliError, Result};
use crate::settings::{Settings, existing};

/// A directory beside the user's cache, so that what is measured there is measured on the same disk; where temporary
/// files go if nothing can be written there. Removed with all that is in it when dropped.
pub(crate) fn directory(settings: &Settings, prefix: &str) -> Result<TempDir> {
    let usual = settings.cache.dir.as_deref().and_then(Path::parent);
    let temporary = std::env::temp_dir();
    let new_in = |place: &Path| tempfile::Builder::new().prefix(prefix).tempdir_in(place);
    usual
        .and_then(existing)
        .and_then(|place| new_in(place).ok())
        .map_or_else(|| new_in(&temporary), Ok)
        .map_err(|e| CliError::local(&temporary, "make a directory in", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_the_disk_of_the_cache_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.cache.dir = Some(home.path().join("not/there/yet"));
        let scratch = directory(&settings, "x-").unwrap();
        assert_eq!(scratch.path().parent(), Some(home.path()));
        std::fs::write(scratch.path().join("f"), "x").unwrap();
        drop(scratch);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
        settings.cache.dir = None;
        assert!(
            directory(&settings, "x-")
                .unwrap()
                .path()
                .starts_with(std::env::temp_dir())
        );
    }
}
