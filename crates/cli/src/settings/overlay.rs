//! `[overlay]`: what is written in mounts.

use std::path::PathBuf;
use std::time::Duration;

use crate::exit::{CliError, Result};

/// `[overlay]`.
#[derive(Clone, Debug)]
pub(crate) struct OverlaySettings {
    pub(crate) root: Option<PathBuf>,
    pub(crate) sync_interval: Duration,
    /// Where the user's state is kept.
    pub(super) state_dir: Option<PathBuf>,
}

impl Default for OverlaySettings {
    fn default() -> Self {
        Self {
            root: None,
            sync_interval: Duration::from_secs(5),
            state_dir: None,
        }
    }
}

impl OverlaySettings {
    /// Where what is written over `base` is kept, if the command line does not say: a directory for each base.
    ///
    /// # Errors
    /// If nobody says where.
    pub(crate) fn dir_for(&self, base: &str) -> Result<PathBuf> {
        let usual = || Some(self.state_dir.as_ref()?.join("overlays"));
        let root = self.root.clone().or_else(usual).ok_or_else(|| {
            CliError::usage("there is no place for what is written: neither XDG_STATE_HOME nor HOME says one")
                .hint("name a directory with --overlay-dir")
        })?;
        let hash = twox_hash::XxHash3_128::oneshot(base.as_bytes());
        Ok(root.join(format!("{hash:032x}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_base_has_its_own_directory() {
        let mut settings = OverlaySettings::default();
        assert!(settings.dir_for("s3://b/a").is_err());
        settings.state_dir = Some("/state/forebay".into());
        let (a, b) = (
            settings.dir_for("s3://b/a").unwrap(),
            settings.dir_for("s3://b/b").unwrap(),
        );
        assert!(a.starts_with("/state/forebay/overlays") && a != b);
        settings.root = Some("/fast".into());
        let moved = settings.dir_for("s3://b/a").unwrap();
        assert_eq!(
            (moved.parent(), moved.file_name()),
            (Some("/fast".as_ref()), a.file_name())
        );
    }
}
