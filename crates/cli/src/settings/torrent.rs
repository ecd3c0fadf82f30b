//! `[torrent]`: torrents in this process.

use std::path::PathBuf;

use forebay_types::ByteSize;

/// `[torrent]`.
#[derive(Clone, Debug)]
pub(crate) struct TorrentSettings {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) dht: bool,
    pub(crate) upload: Option<ByteSize>,
    pub(crate) download: Option<ByteSize>,
}

impl Default for TorrentSettings {
    fn default() -> Self {
        Self {
            dir: None,
            dht: true,
            upload: None,
            download: None,
        }
    }
}

#[cfg(feature = "torrent")]
impl TorrentSettings {
    /// How torrents are downloaded; `beside` is the cache's directory, if it has one.
    ///
    /// # Errors
    /// If nobody says where to.
    pub(crate) fn options(
        &self,
        beside: Option<&std::path::Path>,
    ) -> crate::exit::Result<forebay_torrent::TorrentOptions> {
        use crate::exit::CliError;

        let usual = || {
            let name = beside?.file_name()?.to_string_lossy();
            Some(beside?.with_file_name(format!("{name}-torrents")))
        };
        let dir = self.dir.clone().or_else(usual).ok_or_else(|| {
            CliError::usage(
                "there is no place for what is downloaded: neither XDG_CACHE_HOME nor HOME says one",
            )
            .hint("name a directory with torrent.dir")
        })?;
        let limit =
            |size: ByteSize| std::num::NonZeroU32::new(u32::try_from(size.bytes()).unwrap_or(u32::MAX));
        Ok(forebay_torrent::TorrentOptions {
            dht: self.dht,
            upload_bps: self.upload.and_then(limit),
            download_bps: self.download.and_then(limit),
            ..forebay_torrent::TorrentOptions::new(dir)
        })
    }
}

#[cfg(all(test, feature = "torrent"))]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn downloads_stand_beside_the_cache_and_not_in_it() {
        let mut settings = TorrentSettings::default();
        let options = |settings: &TorrentSettings| settings.options(Some(Path::new("/c/forebay"))).unwrap();
        assert_eq!(options(&settings).directory, Path::new("/c/forebay-torrents"));
        assert!(options(&settings).dht && options(&settings).upload_bps.is_none());
        settings.dir = Some("/elsewhere".into());
        settings.upload = Some(ByteSize::mib(1));
        settings.download = Some(ByteSize::gib(64));
        let options = options(&settings);
        assert_eq!(options.directory, Path::new("/elsewhere"));
        assert_eq!(options.upload_bps.unwrap().get(), 1 << 20);
        assert_eq!(options.download_bps.unwrap().get(), u32::MAX);
        assert!(TorrentSettings::default().options(None).is_err());
    }
}
