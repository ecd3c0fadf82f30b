//! What was typed.

mod log;
mod manifest;
mod mount_helper;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use forebay_disk::EngineChoice;
use forebay_manifest::ChunkSize;
use forebay_types::{ByteSize, RangeSpec};
use serde::{Deserialize, Serialize};

pub(crate) use log::{
    Format, LogCommand, LogConsumeArgs, LogCreateArgs, LogOffsetsArgs, LogProduceArgs, LogRecoverArgs,
    LogTopicsArgs, Show,
};
pub(crate) use manifest::{
    ManifestCommand, ManifestDiffArgs, ManifestFormat, ManifestShowArgs, ManifestSnapshotArgs,
    ManifestVerifyArgs,
};

/// One fast read path from slow storage to whatever reads it.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Settings file to read instead of the usual one
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the cache is, instead of the usual place
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Bytes that the cache may take on disk, as in 20GiB
    #[arg(long, global = true, value_name = "SIZE")]
    pub(crate) cache_size: Option<String>,
    /// Neither read from the cache nor keep anything in it
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,
    /// Say more on standard error (-v progress, -vv decisions, -vvv everything)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No progress bar and no messages but errors
    #[arg(long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Answer with one JSON object on one line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole path on a store that it brings along: write, read, check, and how fast it was
    Demo(DemoArgs),
    /// List objects
    Ls(LsArgs),
    /// Write an object, or a part of it, to standard output
    Cat(CatArgs),
    /// Fetch an object, or all objects below a prefix
    Get(GetArgs),
    /// Store a file, or standard input, as an object
    Put(PutArgs),
    /// Show size, version and type of an object
    Stat(UrlArg),
    /// Bring objects, or all below a prefix, into the cache
    Warm(WarmArgs),
    /// Show a bucket, a prefix, a directory or an object as a read-only file system
    Mount(MountArgs),
    /// Take such a file system away
    Unmount(UnmountArgs),
    /// Give back what was written in a mount: to the objects of a bucket, or as contents and a new manifest
    Commit(CommitArgs),
    /// What the cache has and did
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Records in topics, kept in a bucket
    #[command(subcommand)]
    Log(LogCommand),
    /// Manifests of job attachments: which files there are, and the hashes of their bytes
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Measure
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Show what this machine can do
    Doctor,
    /// Settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// One URL.
#[derive(Debug, Args)]
pub(crate) struct UrlArg {
    /// s3://bucket/key, gs://, az://, http(s)://, rqbit(s)://host:port/torrent/file, file:///path, direct:///path (past the page
    /// cache) or a plain path
    pub(crate) url: String,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Bytes to write and read in all
    #[arg(long, default_value = "512MiB", value_name = "SIZE")]
    pub(crate) size: ByteSize,
    /// Write a chart (SVG) of how far the reader in order was, and how far ahead was asked for, over time
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// A bucket, a prefix, a directory or an object
    pub(crate) url: String,
    /// All levels below, not only the first
    #[arg(short, long)]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// The object
    pub(crate) url: String,
    /// Bytes A to B, both included; also A- and -LAST
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    pub(crate) range: Option<RangeSpec>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// An object, or a prefix ending in /
    pub(crate) url: String,
    /// File or directory to write; "-" is standard output; default is the object's name here
    pub(crate) dest: Option<String>,
    /// Fetch only bytes A to B, both included; also A- and -LAST
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    pub(crate) range: Option<RangeSpec>,
    /// Do not replace files that exist
    #[arg(long)]
    pub(crate) no_clobber: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// File to store; "-" is standard input
    pub(crate) src: String,
    /// Where to; ending in / the file keeps its name
    pub(crate) url: String,
    /// Fail if the object exists already (above 16MiB looked for before and after the upload, which leaves a gap)
    #[arg(long)]
    pub(crate) no_clobber: bool,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct MountArgs {
    /// A bucket, a prefix ending in /, a directory, a torrent client (rqbit://host:port/), a torrent, or an object; may be left
    /// out with --status
    #[arg(required_unless_present = "status")]
    pub(crate) url: Option<String>,
    /// The directory to mount on
    pub(crate) dir: PathBuf,
    /// Stay in the foreground; unmount on interrupt
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Let other users look into it
    #[arg(long, requires = "url")]
    pub(crate) allow_other: bool,
    /// Let it be written: what changes is kept on the local disk, and `commit` gives it back
    #[arg(long, requires = "url")]
    pub(crate) writable: bool,
    /// Where what is written is kept; mounted again with it, it is all there
    #[arg(long, value_name = "DIR", requires = "writable")]
    pub(crate) overlay_dir: Option<PathBuf>,
    /// Show what a mount does, once a second on a terminal, else once; mounts the URL first if that is not done yet
    #[arg(long, conflicts_with = "foreground")]
    pub(crate) status: bool,
    /// Tell who started this when it answers, and let go of the terminal
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnmountArgs {
    /// The directory that it is mounted on
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// The directory that it is mounted on, with --writable
    pub(crate) dir: PathBuf,
    /// Of a mounted manifest, where the new one goes; otherwise beside the one that is mounted, with the time behind its name
    #[arg(short, long, value_name = "URL")]
    pub(crate) output: Option<String>,
    /// Replace a manifest that is there; in a bucket, what somebody else changed meanwhile, too
    #[arg(long)]
    pub(crate) replace: bool,
    /// Write only what changed; always in the draft format
    #[arg(long)]
    pub(crate) diff: bool,
    /// Write this format; otherwise v2023 if that can say all there is, else the draft
    #[arg(long, value_enum)]
    pub(crate) format: Option<ManifestFormat>,
    /// Cut larger files into chunks of this size, or never, in the draft format [default: as the base, or 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = manifest::chunk_size)]
    pub(crate) chunk_size: Option<ChunkSize>,
}

#[derive(Debug, Args)]
pub(crate) struct WarmArgs {
    /// Objects, or prefixes ending in /
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show how full it is and what it was good for, all processes together
    Stats,
    /// Remove everything
    Clear,
    /// Read everything back and compare it with its checksums; what is damaged is removed
    Verify,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the settings in force and where each came from
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Reading: sequential, random, many objects; beside a raw client and other tools
    Read(BenchReadArgs),
    /// A disk past the page cache: in order, at random, whole files; beside fio, the page cache and a plain loop
    Direct(BenchDirectArgs),
    /// Through a mount: handed to the kernel, served, cold, names; beside the file itself, a server that does nothing, and other mounts
    Mount(BenchMountArgs),
    /// Through a mount that is written to: files, what programs do, manifests; beside the disk itself, and a mount that forwards everything
    Write(BenchWriteArgs),
    /// A log in the built-in lab server: catching up, polling, many consumers and partitions, look-ups, producing
    Log(BenchLogArgs),
    /// One measured run in a process of its own; orders come on standard input
    #[command(hide = true)]
    Worker,
    /// The lab server in a process of its own; orders come on standard input
    #[command(hide = true)]
    Serve,
    /// A mount that does nothing in a process of its own; orders come on standard input
    #[command(hide = true)]
    Memory,
    /// A mount that forwards everything in a process of its own; orders come on standard input
    #[command(hide = true)]
    Mirror,
    /// A session of rqbit in a process of its own; orders come on standard input
    #[command(hide = true)]
    Torrents,
}

#[derive(Debug, Args)]
pub(crate) struct BenchReadArgs {
    /// Measure on this object; or say --lab
    #[arg(required_unless_present = "lab", conflicts_with = "lab")]
    pub(crate) url: Option<String>,
    /// Serve made-up objects from the built-in lab server
    #[arg(long)]
    pub(crate) lab: bool,
    /// The lab's network
    #[arg(long, value_enum, default_value = "standard")]
    pub(crate) profile: LabProfile,
    /// Which cases; all if none is named
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Bytes of the large object
    #[arg(long, default_value = "1GiB", value_name = "SIZE")]
    pub(crate) size: ByteSize,
    /// Repetitions of each case; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Ranges in flight (max_concurrent_ranges) of ours, connections of the raw client
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Objects of the many case, 64 KiB each; the cache of the start case has ten times as many
    #[arg(long, default_value_t = 10_000)]
    pub(crate) objects: usize,
    /// Run other tools that are installed (curl, s5cmd, rclone, aws) beside ours
    #[arg(long)]
    pub(crate) peers: bool,
    /// Write a bar chart (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchMountArgs {
    /// Torrents of real sessions of rqbit instead of a bucket; needs a build with `--features torrent`
    #[arg(long, conflicts_with_all = ["peers", "entries"])]
    pub(crate) rqbit: bool,
    /// Which cases, or how their names begin: pass, direct, pages, kept, cold, ls; with --rqbit torrent, first-frame, player,
    /// readers, approach, surplus; all if none is named
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Bytes of the file; the first byte is asked of one ten times as large. With --rqbit: of the film, 256MiB if nothing is said
    #[arg(
        long,
        default_value = "1GiB",
        default_value_if("rqbit", "true", "256MiB"),
        value_name = "SIZE"
    )]
    pub(crate) size: ByteSize,
    /// Bytes of the film for each second that it plays; peers send one and a half times that
    #[arg(long, default_value = "2MiB", requires = "rqbit", value_name = "SIZE")]
    pub(crate) bitrate: ByteSize,
    /// Names in the directory of the ls case
    #[arg(long, default_value_t = 100_000)]
    pub(crate) entries: usize,
    /// Repetitions of each case; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Run other mounts that are installed (s3fs, rclone) beside ours
    #[arg(long)]
    pub(crate) peers: bool,
    /// Write a bar chart (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchWriteArgs {
    /// Which cases, or how their names begin: write, dirty, mixed, git-clone, cargo-build, chunk-first, manifest; all if none is named
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Bytes of a file, and of a chunk if that is less than 256MiB
    #[arg(long, default_value = "1GiB", value_name = "SIZE")]
    pub(crate) size: ByteSize,
    /// Files of the repository that is cloned, 2 kB each
    #[arg(long, default_value_t = 5_000)]
    pub(crate) files: usize,
    /// Files of the manifest that is mounted
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) entries: usize,
    /// Where to write; otherwise beside the cache
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Repetitions of each case; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Write a bar chart (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchLogArgs {
    /// Which cases, or how their names begin: catch-up, verbatim, cold, poll, hit, consumers, lookup, produce, consume; all if
    /// none is named
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Bytes of the values of a topic
    #[arg(long, default_value = "512MiB", value_name = "SIZE")]
    pub(crate) size: ByteSize,
    /// Repetitions of each case; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Ranges in flight (max_concurrent_ranges)
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Measure look-ups in this database too: postgres://user:password@host/database?schema=SCRATCH, whose log is forgotten
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// Write a bar chart (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchDirectArgs {
    /// File to read; made, and removed afterwards, if there is none
    pub(crate) file: String,
    /// Bytes of a file that is made
    #[arg(long, default_value = "1GiB", value_name = "SIZE")]
    pub(crate) size: ByteSize,
    /// Only the whole file by default settings, with the range engine or without it
    #[arg(long, value_enum)]
    pub(crate) range_engine: Option<Switch>,
    /// Only the whole file in order, in requests of this many bytes
    #[arg(long, value_name = "SIZE")]
    pub(crate) block: Option<ByteSize>,
    /// Requests at a time of reads in order (8 if nothing is said), and of random ones; only those
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<usize>,
    /// Only direct reads, by this engine instead of the one of the settings
    #[arg(long, value_enum)]
    pub(crate) engine: Option<DiskEngine>,
    /// Which cases, or groups of them: seq, rand, whole, file, direct, small, medium, large
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Only files of these sizes: small (below 4 MB), medium (4, 32, 100 MB), large (100 MB, 1 GB)
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) sizes: Vec<FileSizes>,
    /// Repetitions of each case; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Write a bar chart (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// What reads a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum DiskEngine {
    /// io_uring where the kernel lets us, else threads
    Auto,
    /// io_uring, or an error
    #[value(name = "io_uring")]
    IoUring,
    /// Threads that wait in pread
    Pread,
}

impl From<DiskEngine> for EngineChoice {
    fn from(engine: DiskEngine) -> Self {
        match engine {
            DiskEngine::Auto => Self::Auto,
            DiskEngine::IoUring => Self::IoUring,
            DiskEngine::Pread => Self::Pread,
        }
    }
}

/// Files by their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileSizes {
    Small,
    Medium,
    Large,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabProfile {
    /// 30 ms to the first byte, 90 MB/s per connection: what S3 gives
    Standard,
    /// Nothing but the loopback device
    Loopback,
}

/// Parses the command line; help and mistakes are printed here.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let words = words().map_err(|why| {
        // A closed standard error must not turn into a panic.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("mount.forebay: {why}\n"));
        ExitCode::from(2)
    })?;
    Cli::try_parse_from(words).map_err(|error| {
        // Help that cannot be printed because nobody reads it is not an error.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// The words that were typed, the program's name first; what mount(8) says is translated.
///
/// # Errors
/// What cannot be understood.
pub(crate) fn words() -> Result<Vec<OsString>, String> {
    mount_helper::words(std::env::args_os().collect())
}

/// The whole tree of commands, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_of_commands_is_sound() {
        super::command().debug_assert();
    }
}
