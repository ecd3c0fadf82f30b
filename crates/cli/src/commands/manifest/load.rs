//! Manifests, from wherever they are.

use std::io::{self, Read};

use forebay_manifest::{Hash, Limits, Manifest};
use forebay_types::{ByteSize, ErrorKind, RangeSpec};
use futures::StreamExt;

use crate::exit::{CliError, Result};
use crate::session::Session;

/// A manifest and the bytes that it was read from.
pub(super) struct Loaded {
    /// Its URL as it may be shown.
    pub(super) url: String,
    pub(super) manifest: Manifest,
    /// Of the bytes as they are: how jobs and diffs refer to it.
    pub(super) hash: Hash,
}

/// Reads and checks the manifest that `url` names; `-` is standard input.
///
/// # Errors
/// As of any read, and what [`Manifest::decode`] refuses, with the name of the manifest.
pub(super) fn manifest(session: &Session, url: &str) -> Result<Loaded> {
    let limits = Limits::default();
    let (url, bytes) = match url {
        "-" => ("standard input".to_owned(), standard_input(&limits)?),
        _ => object(session, url, &limits)?,
    };
    let manifest =
        Manifest::decode(&bytes, &limits).map_err(|error| CliError::from(error).with_prefix(&url))?;
    Ok(Loaded {
        hash: Hash::of(&bytes),
        url,
        manifest,
    })
}

fn object(session: &Session, url: &str, limits: &Limits) -> Result<(String, Vec<u8>)> {
    session.block_on_uncaught(async {
        let (location, source) = session.open(url)?;
        let shown = location.to_string();
        let target = session.target(&location, &source);
        let opened = session
            .door(target.cached)
            .open(target, RangeSpec::From(0))
            .await?;
        // The size is known before the first byte: nothing is fetched, and no memory taken, for what would be refused.
        let len = usize::try_from(opened.len())
            .ok()
            .filter(|len| *len <= limits.bytes)
            .ok_or_else(|| too_large(&shown, limits))?;
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(len)
            .map_err(|_| CliError::new(ErrorKind::NoSpace, format!("{shown}: no memory for {len} bytes")))?;
        let mut stream = opened.into_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok((shown, bytes))
    })
}

fn standard_input(limits: &Limits) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(limits.bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| CliError::new(e.kind().into(), format!("cannot read standard input: {e}")))?;
    if bytes.len() > limits.bytes {
        return Err(too_large("standard input", limits));
    }
    Ok(bytes)
}

fn too_large(shown: &str, limits: &Limits) -> CliError {
    let most = ByteSize(limits.bytes as u64);
    CliError::new(
        ErrorKind::Unsupported,
        format!("{shown}: larger than {most:#}, which no manifest may be; split it, or is it no manifest?"),
    )
}
