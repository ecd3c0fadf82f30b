//! What is to be mounted: a URL, the files of a manifest, or a torrent that is downloaded here.

use std::path::Path;
use std::sync::Arc;

use forebay_source::{Location, Scheme, Source};
use forebay_types::{ErrorKind, printable};
use forebay_vfs::commit::ObjectPlace;
use forebay_vfs::{BucketNamespace, Namespace, VfsError};

use super::committer::{Base, Objects};
use super::manifests::Manifests;

use crate::exit::{CliError, Result};
use crate::session::Session;

/// What the user named.
pub(super) enum Subject {
    Url(Location),
    /// Files by a manifest, with their bytes in a content-addressed store.
    Manifests(Manifests),
    /// A magnet link, or the path of a torrent's file.
    Torrent(String),
}

/// What there is to mount.
pub(super) struct Opened {
    pub(super) namespace: Arc<dyn Namespace>,
    /// Where the bytes come from.
    pub(super) source: Source,
    /// What a commit starts from.
    pub(super) base: Base,
}

impl Subject {
    pub(super) fn parse(typed: &str) -> Result<Self> {
        if is_magnet(typed) {
            return Ok(Self::Torrent(typed.to_owned()));
        }
        if let Some(manifests) = Manifests::parse(typed)? {
            return Ok(Self::Manifests(manifests));
        }
        let location: Location = typed.parse()?;
        let is_torrent = |path: &Path| {
            path.extension()
                .is_some_and(|ext| ext.eq_ignore_ascii_case("torrent"))
        };
        Ok(match &location {
            Location::File(path) if is_torrent(path) && !path.is_dir() => {
                Self::Torrent(path.to_string_lossy().into_owned())
            }
            _ => Self::Url(location),
        })
    }

    /// As it may be shown: without user info and queries, and of a link only what it stands for.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Url(location) => location.to_string(),
            Self::Manifests(manifests) => manifests.shown(),
            Self::Torrent(link) if is_magnet(link) => {
                let topic = link.split(['?', '&']).find(|part| part.starts_with("xt="));
                format!("magnet:?{}", printable(topic.unwrap_or("…")))
            }
            Self::Torrent(path) => printable(path).into_owned(),
        }
    }

    /// Whether it may not be shown as it was typed. A query may be a signature, and the trackers of a link may name who
    /// asks.
    pub(super) fn has_secrets(&self) -> bool {
        let has_secrets = |location: &Location| match location {
            Location::Web(url) | Location::Rqbit { api: url, .. } => {
                !url.username().is_empty() || url.password().is_some() || url.query().is_some()
            }
            Location::Bucket { .. } | Location::File(_) | Location::Direct(_) => false,
        };
        match self {
            Self::Url(location) => has_secrets(location),
            Self::Manifests(manifests) => manifests.locations().any(has_secrets),
            Self::Torrent(link) => is_magnet(link),
        }
    }

    /// How it is read.
    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Url(location) => location.scheme(),
            Self::Manifests(manifests) => manifests.scheme(),
            Self::Torrent(_) => Scheme::Rqbit,
        }
    }

    /// Finds out what there is to mount, and where the bytes come from; for a torrent that begins its download, and waits
    /// until it is known what is in it.
    pub(super) async fn open(&self, session: &Session) -> Result<Opened> {
        let (source, name) = match self {
            Self::Manifests(manifests) => {
                let (namespace, source, base) = manifests.open(session).await?;
                return Ok(Opened {
                    namespace: Arc::new(namespace),
                    source,
                    base: Base::Manifests(base),
                });
            }
            Self::Url(location) => (session.open_location(location)?, location.file_name()),
            Self::Torrent(link) => (here(session, link).await?, None),
        };
        let namespace = self.bucket(session, source.clone(), name.as_deref()).await?;
        let base = self.objects(&source, namespace.is_prefix());
        Ok(Opened {
            namespace: Arc::new(namespace),
            source,
            base,
        })
    }

    /// Where what is written over a source can go.
    fn objects(&self, source: &Source, is_prefix: bool) -> Base {
        let local = match self {
            Self::Url(Location::Bucket { .. }) => None,
            Self::Url(Location::File(path) | Location::Direct(path)) => Some(path.clone()),
            Self::Url(Location::Web(_)) => {
                return Base::Nothing("nothing can be put on a web server: it can only be read");
            }
            Self::Url(Location::Rqbit { .. }) | Self::Torrent(_) | Self::Manifests(_) => {
                return Base::Nothing("nothing can be put into a torrent: it can only be read");
            }
        };
        if !is_prefix {
            return Base::Nothing(
                "a single object is mounted: mount the prefix or directory that it lies in",
            );
        }
        Base::Objects(Objects {
            place: ObjectPlace {
                store: source.store.clone(),
                path: source.path.clone(),
                url: self.shown().into(),
            },
            local,
        })
    }

    /// The files of a source; `name` is what a single object is to be called.
    async fn bucket(&self, session: &Session, source: Source, name: Option<&str>) -> Result<BucketNamespace> {
        let (shown, scheme) = (self.shown(), self.scheme());
        // A prefix of a bucket that has no key yet is empty; a directory that is not there is a mistake.
        if let Self::Url(Location::File(path) | Location::Direct(path)) = self
            && !path.exists()
        {
            let message = format!("{shown} does not exist");
            return Err(CliError::new(ErrorKind::NotFound, message));
        }
        let config = session.settings.range_config(scheme, &source.profile);
        let namespace = BucketNamespace::find(source.clone(), name, Arc::new(config)).await;
        let namespace = namespace.map_err(|error| match &error {
            // The root has no name of its own that would say which source it is.
            VfsError::Source { source, .. } if scheme == Scheme::Rqbit => CliError::store(&shown, source),
            _ => CliError::new(error.kind(), error.to_string()),
        })?;
        if namespace.is_prefix() {
            // A web server may have pages there that name no files: better said now than by an empty mount.
            let listed = source.check_listing().await;
            listed.map_err(|e| CliError::store(&shown, &e))?;
            if scheme == Scheme::Rqbit {
                check_torrents(&shown, &source).await?;
            }
        }
        Ok(namespace.freshness(session.settings.mount.freshness()))
    }
}

/// A client that cannot be asked, and a torrent that it has not: better said now than by a mount that stays empty.
async fn check_torrents(shown: &str, source: &Source) -> Result<()> {
    let listed = source.store.list_with_delimiter(Some(&source.path)).await;
    let listed = listed.map_err(|e| CliError::store(shown, &e))?;
    let is_empty = listed.objects.is_empty() && listed.common_prefixes.is_empty();
    if is_empty && !source.path.is_root() {
        let message = format!("{shown}: nothing of that name or below it");
        return Err(CliError::new(ErrorKind::NotFound, message));
    }
    Ok(())
}

fn is_magnet(typed: &str) -> bool {
    typed
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("magnet:?"))
}

#[cfg(feature = "torrent")]
async fn here(session: &Session, link: &str) -> Result<Source> {
    use std::time::Duration;

    use forebay_torrent::{InProcess, TorrentError};

    /// How long it may take until a peer tells what a magnet link stands for. Of a torrent that anybody has, the
    /// distributed hash table names one within half a minute.
    const METADATA: Duration = Duration::from_mins(2);

    let failed = |error: TorrentError| {
        let kind = match &error {
            TorrentError::Source { .. } | TorrentError::Limit { .. } => ErrorKind::Invalid,
            TorrentError::Read { source, .. } => source.kind().into(),
            TorrentError::Directory { .. } => ErrorKind::LocalIo,
            TorrentError::Start { .. } | TorrentError::Refused { .. } => ErrorKind::Internal,
            TorrentError::Metadata { .. } => ErrorKind::TimedOut,
        };
        CliError::new(kind, error.to_string())
    };
    let settings = &session.settings;
    let options = settings.torrent.options(settings.cache.dir.as_deref())?;
    let client = InProcess::start(options).await.map_err(failed)?;
    let added = tokio::time::timeout(METADATA, client.add(link)).await;
    let hash = added
        .map_err(|_| {
            let why = format!("nobody told what the link stands for within {} s", METADATA.as_secs());
            CliError::new(ErrorKind::TimedOut, why)
                .hint("name a peer that has it (x.pe=HOST:PORT in the link), set torrent.dht, or take the .torrent file")
        })?
        .map_err(failed)?;
    tracing::debug!(%hash, "the torrent is being downloaded");
    // The content is told by its hash: whoever downloads it, it is the same object.
    let origin = forebay_source::Origin::new("torrent://", "");
    Ok(session.opener.open_torrents(Arc::new(client), origin))
}

#[cfg(not(feature = "torrent"))]
#[expect(clippy::unused_async, reason = "the one that downloads waits")]
async fn here(_session: &Session, _link: &str) -> Result<Source> {
    let error = CliError::usage("this build cannot download torrents itself");
    Err(error.hint(
        "build it with --features torrent, or add the torrent to an rqbit client and mount rqbit://HOST:3030/",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_files_of_torrents_are_told_from_the_rest() {
        for (typed, is_torrent) in [
            (
                "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567",
                true,
            ),
            ("MAGNET:?dn=x", true),
            ("/a/film.torrent", true),
            ("film.TORRENT", true),
            ("/a/film.mkv", false),
            ("s3://bucket/film.torrent", false),
            ("magnet", false),
        ] {
            let subject = Subject::parse(typed).unwrap();
            assert_eq!(matches!(subject, Subject::Torrent(_)), is_torrent, "{typed}");
        }
    }

    #[test]
    fn of_a_link_only_what_it_stands_for_is_shown() {
        let link = "magnet:?tr=https%3A%2F%2Fhost%2Fs3cret&xt=urn:btih:0123&x.pe=1.2.3.4:5";
        let subject = Subject::parse(link).unwrap();
        assert_eq!(subject.shown(), "magnet:?xt=urn:btih:0123");
        assert!(subject.has_secrets());
        assert_eq!(
            Subject::parse("magnet:?dn=x").unwrap().shown(),
            "magnet:?\u{2026}"
        );
        assert_eq!(Subject::parse("/a/b.torrent").unwrap().shown(), "/a/b.torrent");
        assert!(!Subject::parse("/a/b.torrent").unwrap().has_secrets());
    }
}
