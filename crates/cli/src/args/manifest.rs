//! What was typed after `forebay manifest`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use forebay_manifest::ChunkSize;
use forebay_types::ByteSize;

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Show what a manifest says
    Show(ManifestShowArgs),
    /// Hash the files below a directory and write a manifest of them
    Snapshot(ManifestSnapshotArgs),
    /// List what changed between two manifests, or between a manifest and a directory
    Diff(ManifestDiffArgs),
    /// Compare a manifest with a directory, or with the store that holds the bytes of its files
    Verify(ManifestVerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ManifestShowArgs {
    /// The manifest: any URL or path; "-" is standard input
    pub(crate) url: String,
    /// List its entries: size, time, hash and path
    #[arg(long)]
    pub(crate) files: bool,
}

/// Which format is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestFormat {
    /// v2023-03-03, the one in use: links are followed; empty directories and who may run a file are left out
    V2023,
    /// beta-2025-12, which may change or go: with links, directories, executables and chunks
    Draft,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestSnapshotArgs {
    /// The directory; paths in the manifest start from it
    pub(crate) dir: PathBuf,
    /// File to write; "-" is standard output, as if nothing is said
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// Write this format; otherwise v2023 if that can say all there is, else the draft
    #[arg(long, value_enum)]
    pub(crate) format: Option<ManifestFormat>,
    /// Cut larger files into chunks of this size, or never; needs --format draft [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = chunk_size)]
    pub(crate) chunk_size: Option<ChunkSize>,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestDiffArgs {
    /// The manifest of what was: any URL or path; "-" is standard input
    pub(crate) old: String,
    /// The manifest of what is, or a local directory
    pub(crate) new: String,
    /// Write what changed as a manifest (in the draft format)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// Hash all files of the directory, also those whose size and time are the same
    #[arg(long)]
    pub(crate) force_rehash: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestVerifyArgs {
    /// The manifest: any URL or path; "-" is standard input
    pub(crate) url: String,
    /// The directory to compare it with; or say --cas
    #[arg(conflicts_with = "cas")]
    pub(crate) dir: Option<PathBuf>,
    /// Where the contents are, each as URL/HASH.xxh128: a store's prefix Data
    #[arg(long, value_name = "URL")]
    pub(crate) cas: Option<String>,
    /// Read and hash the objects too, past the cache; otherwise only their sizes are asked for
    #[arg(long)]
    pub(crate) deep: bool,
}

pub(super) fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    if text == "never" {
        return Ok(ChunkSize::Never);
    }
    match text.parse::<ByteSize>() {
        Ok(ByteSize(0)) => Err("chunks of 0 bytes hold nothing; `never` leaves files whole".to_owned()),
        Ok(ByteSize(bytes)) if i64::try_from(bytes).is_err() => Err("no file is that large".to_owned()),
        Ok(ByteSize(bytes)) => Ok(ChunkSize::Bytes(bytes)),
        Err(error) => Err(format!("{error}; `never` leaves files whole")),
    }
}
