//! `manifest+URL?cas=URL`: which files there are says a manifest, and where their bytes are, a content-addressed store.

use std::sync::Arc;

use forebay_manifest::{Hash, Limits, Manifest, compose};
use forebay_reader::Verify;
use forebay_source::{Location, Scheme, Source};
use forebay_types::{ByteSize, ErrorKind};
use forebay_vfs::ManifestNamespace;
use forebay_vfs::commit::ObjectPlace;

use super::committer::Manifests as Base;
use crate::exit::{CliError, Result};
use crate::session::Session;

const PREFIX: &str = "manifest+";

/// One or several manifests, and the store.
pub(super) struct Manifests {
    /// Later ones win.
    manifests: Vec<Location>,
    cas: Location,
}

impl Manifests {
    /// `None` if it is nothing of the kind.
    ///
    /// # Errors
    /// If it names no manifest or no store.
    pub(super) fn parse(typed: &str) -> Result<Option<Self>> {
        let Some(rest) = typed.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        // From behind: a manifest on a web server may have a query of its own.
        let Some((first, named)) = rest.rsplit_once("?cas=").or_else(|| rest.rsplit_once("&cas=")) else {
            let error = CliError::usage("the manifest's URL does not say where the bytes of its files are");
            return Err(error.hint("manifest+s3://bucket/prefix/Manifests/NAME?cas=s3://bucket/prefix/Data"));
        };
        let mut named = named.split("&then=");
        let cas = named.next().unwrap_or_default().parse()?;
        let manifests = std::iter::once(first).chain(named).map(str::parse);
        Ok(Some(Self {
            manifests: manifests.collect::<std::result::Result<_, _>>()?,
            cas,
        }))
    }

    /// As it may be shown.
    pub(super) fn shown(&self) -> String {
        let mut shown = PREFIX.to_owned();
        for (n, manifest) in self.manifests.iter().enumerate() {
            match n {
                0 => shown.push_str(&format!("{manifest}?cas={}", self.cas)),
                _ => shown.push_str(&format!("&then={manifest}")),
            }
        }
        shown
    }

    /// All that is named.
    pub(super) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.manifests.iter().chain([&self.cas])
    }

    /// How the bytes are read.
    pub(super) fn scheme(&self) -> Scheme {
        self.cas.scheme()
    }

    /// Reads the manifests; of the store nothing is asked.
    pub(super) async fn open(&self, session: &Session) -> Result<(ManifestNamespace, Source, Base)> {
        let mut manifests = Vec::new();
        let mut hash = None;
        for location in &self.manifests {
            let bytes = fetch(session, location).await?;
            hash = Some(Hash::of(&bytes)).filter(|_| self.manifests.len() == 1);
            let manifest = Manifest::decode(&bytes, &Limits::default());
            manifests.push(manifest.map_err(|e| CliError::new(e.kind(), format!("{location}: {e}")))?);
        }
        let all: Vec<&Manifest> = manifests.iter().collect();
        let manifest = compose(&all).map_err(|e| CliError::new(e.kind(), e.to_string()))?;
        let below = session.open_location(&self.cas)?;
        let config = Arc::new(session.settings.range_config(self.scheme(), &below.profile));
        let (mut source, store) = session.opener.open_cas(&below);
        // What is checked before it is read has to lie somewhere where nobody changes it in between.
        source.profile.cached |= session.settings.mount.verify == Verify::Strict;
        let namespace = ManifestNamespace::new(manifest, (source.clone(), store), config);
        let refused = |e| CliError::new(ErrorKind::Invalid, format!("{}: {e}", self.shown()));
        let namespace = namespace.map_err(refused)?;
        let base = Base {
            manifest: namespace.manifest().clone(),
            hash,
            location: self.manifests.last().unwrap_or(&self.cas).clone(),
            cas: ObjectPlace {
                store: below.store,
                path: below.path,
                url: self.cas.to_string().into(),
            },
        };
        Ok((namespace, source, base))
    }
}

/// All of a manifest, if that is not too much.
async fn fetch(session: &Session, location: &Location) -> Result<bytes::Bytes> {
    let failed = |e| CliError::store(&location.to_string(), &e);
    let source = session.open_location(location)?;
    let answer = source.store.get_opts(&source.path, Default::default()).await;
    let answer = answer.map_err(failed)?;
    let most = Limits::default().bytes as u64;
    if answer.meta.size > most {
        let (size, most) = (ByteSize(answer.meta.size), ByteSize(most));
        let why = format!("{location}: a manifest of {size:#} is refused: {most:#} at most");
        return Err(CliError::new(ErrorKind::Invalid, why));
    }
    answer.bytes().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Manifests {
        Manifests::parse(typed).unwrap().unwrap()
    }

    #[test]
    fn manifests_and_their_store_are_told_apart() {
        assert!(Manifests::parse("s3://b/k").unwrap().is_none());
        let one = parsed("manifest+s3://b/p/Manifests/m?cas=s3://b/p/Data");
        assert_eq!(
            (one.manifests.len(), one.cas.to_string()),
            (1, "s3://b/p/Data".to_owned())
        );
        let typed = "manifest+s3://b/1?cas=s3://b/Data&then=s3://b/2&then=file:///m/3";
        let three = parsed(typed);
        assert_eq!(
            (three.manifests.len(), three.shown()),
            (3, typed.replace("file://", ""))
        );
        let signed = parsed("manifest+https://host/m?X-Signature=1&cas=s3://b/Data");
        assert_eq!(signed.manifests.len(), 1);
        assert!(!signed.shown().contains("Signature"), "{}", signed.shown());
        for typed in [
            "manifest+s3://b/m",
            "manifest+s3://b/m?cas=",
            "manifest+?cas=s3://b/d",
        ] {
            assert!(Manifests::parse(typed).is_err(), "{typed}");
        }
    }
}
