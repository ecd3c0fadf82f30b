//! The new manifest, into its place.

use forebay_source::Fault;
use forebay_types::ErrorKind;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::commit::again::again;
use crate::commit::condition::cannot_create_only;
use crate::commit::error::CommitError;
use crate::commit::manifest::options::ManifestPlace;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was stored.
    Stored,
    /// The same bytes were there already: of a commit before that heard no answer, or that had the same to say.
    SameWasThere,
}

/// Stores the manifest, whole or not at all. If a connection breaks, it is sent again: the same bytes under the same name.
///
/// # Errors
/// What the store says; another manifest is there and is not to be replaced.
pub(super) async fn put(to: &ManifestPlace, bytes: Vec<u8>) -> Result<Put, CommitError> {
    let payload = PutPayload::from(bytes);
    again(|| try_put(to, payload.clone())).await
}

async fn try_put(to: &ManifestPlace, payload: PutPayload) -> Result<Put, CommitError> {
    let ManifestPlace {
        place,
        replace,
        attributes,
    } = to;
    let failed = |what| {
        move |source| CommitError::Store {
            what,
            object: place.url.clone(),
            source,
        }
    };
    let replacing = PutOptions {
        attributes: attributes.clone(),
        ..PutOptions::default()
    };
    if !*replace {
        let create = PutOptions {
            mode: PutMode::Create,
            ..replacing.clone()
        };
        match place.store.put_opts(&place.path, payload.clone(), create).await {
            Ok(_) => return Ok(Put::Stored),
            Err(object_store::Error::AlreadyExists { .. }) => return compare(to, &payload).await,
            Err(error) if cannot_create_only(&error) => {
                tracing::warn!(manifest = %place.url, %error, "the store cannot create only: looked first instead");
                match place.store.head(&place.path).await {
                    Ok(_) => return compare(to, &payload).await,
                    Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("look for")(error)),
                }
            }
            Err(error) => return Err(failed("store")(error)),
        }
    }
    let stored = place.store.put_opts(&place.path, payload, replacing).await;
    stored.map(|_| Put::Stored).map_err(failed("store"))
}

/// Something is there: it may be this very manifest.
async fn compare(to: &ManifestPlace, payload: &PutPayload) -> Result<Put, CommitError> {
    let place = &to.place;
    let failed = |source| CommitError::Store {
        what: "read",
        object: place.url.clone(),
        source,
    };
    let there = place.store.get(&place.path).await.map_err(failed)?;
    let is_same = there.meta.size == payload.content_length() as u64 && {
        let there = there.bytes().await.map_err(failed)?;
        there == payload.iter().flatten().copied().collect::<Vec<u8>>()
    };
    if is_same {
        Ok(Put::SameWasThere)
    } else {
        Err(CommitError::Exists {
            object: place.url.clone(),
        })
    }
}
