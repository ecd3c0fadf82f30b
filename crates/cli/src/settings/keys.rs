//! Every setting there is, once: its name, its reason, how it is read and how it is shown.

use std::path::PathBuf;
use std::time::Duration;

use forebay_cache::WriteMode;
use forebay_disk::EngineChoice;
use forebay_log::Acks;
use forebay_log::batch::Codec;
use forebay_mount::IoMode;
use forebay_readahead::ByExtension;
use forebay_reader::Verify;
use forebay_types::{ByteSize, printable};

use super::cache::{Revalidate, absolute};
use super::direct::{PRESET, Preset, alignment};
use super::log::{LogMetadata, LogStore};
use super::value::{Kind, Value, at_least, one_or_more, within};
use super::{Origin, Settings};
use crate::args::Global;
use crate::env::Env;
use crate::exit::{CliError, Result};

/// One setting.
pub(crate) struct Key {
    /// `table.key`, as in the settings file.
    pub(crate) name: &'static str,
    /// What it does, and the reason for its default.
    pub(crate) doc: &'static str,
    /// What values look like.
    pub(crate) kind: Kind,
    set: fn(&mut Settings, &str) -> std::result::Result<(), String>,
    show: fn(&Settings) -> String,
    copy: fn(&Settings, &mut Settings),
}

impl Key {
    /// Its table and its name there.
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("FOREBAY_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The value in force, as it would be written; empty if there is none.
    pub(crate) fn shown(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }

    /// Takes over `text`, and remembers where it came from.
    pub(super) fn take(
        &self,
        settings: &mut Settings,
        text: &str,
        origin: Origin,
    ) -> std::result::Result<(), String> {
        (self.set)(settings, text)?;
        settings.origins.insert(self.name, origin);
        if self.name == PRESET {
            settings.start_from_preset();
        }
        Ok(())
    }

    /// Takes over the value that other settings have, and not where that came from.
    pub(super) fn copy(&self, from: &Settings, to: &mut Settings) {
        (self.copy)(from, to);
    }
}

/// The name is the path of the field, so that the two cannot drift apart.
macro_rules! key {
    ($table:ident.$field:ident: $type:ty, $check:expr, $doc:literal) => {
        Key {
            name: concat!(stringify!($table), ".", stringify!($field)),
            doc: $doc,
            kind: <$type as Value>::KIND,
            set: |settings, text| {
                let value = <$type as Value>::read(text)?;
                let check: fn(&$type) -> std::result::Result<(), String> = $check;
                check(&value)?;
                settings.$table.$field = value;
                Ok(())
            },
            show: |settings| settings.$table.$field.show(),
            copy: |from, to| to.$table.$field.clone_from(&from.$table.$field),
        }
    };
}

/// All settings, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    key!(range.chunk_size: Option<ByteSize>, |v| at_least(*v, ByteSize::kib(64)),
        "bytes of one request; auto is 8MiB: at 30 ms to the first byte, three quarters of its time move bytes"),
    key!(range.max_concurrent_ranges: Option<usize>, |v| one_or_more(*v),
        "requests of one reader at a time; auto is 16: 1.4 GB/s at S3's 90 MB/s per connection"),
    key!(range.min_split_size: Option<ByteSize>, |_| Ok(()),
        "objects up to this size are one request; auto is 12MiB, so that no second request is below 4MiB"),
    key!(range.enable_range_engine: bool, |_| Ok(()),
        "whether large objects are read in parallel ranges; one connection alone is slower than most networks"),
    key!(range.memory_budget: Option<ByteSize>, |v| at_least(*v, ByteSize::mib(1)),
        "bytes on their way from sources to readers, all together; auto is 256MiB (1.4 GB/s in requests of 8MiB needs 170MiB), or a quarter of a smaller cgroup's memory"),
    key!(range.max_connections: usize, |v| one_or_more(Some(*v)),
        "requests in flight in the whole process; 64 are 5.8 GB/s at S3's rate"),
    key!(range.min_connections: usize, |v| one_or_more(Some(*v)),
        "requests in flight that stay allowed however a server complains; fewer than 4 never recover"),
    key!(range.stall_timeout: Duration, |v| within(*v, Duration::from_millis(10), Duration::from_hours(1)),
        "without a byte for this long a part resumes on another connection; S3 is seen to pause for seconds"),
    key!(range.max_retries: u32, |_| Ok(()),
        "failures in a row, without one new byte, before a read is given up; the pauses between 6 are some 6 s"),
    key!(range.hedge: bool, |_| Ok(()),
        "whether a request whose first byte is late gets a second one beside it; cuts S3's slow 1 %"),
    key!(range.ask_early: bool, |_| Ok(()),
        "whether the next part is asked for before this one ends; hides the time to its first byte"),
    key!(cache.enabled: bool, |_| Ok(()),
        "whether what remote sources send is kept on the local disk"),
    key!(cache.dir: Option<PathBuf>, |v| absolute(v.as_deref()),
        "where; the usual place is $XDG_CACHE_HOME/forebay or ~/.cache/forebay, never a directory that others share"),
    key!(cache.size: Option<ByteSize>, |v| at_least(*v, ByteSize::mib(1)),
        "bytes that it may take on disk; auto is a tenth of the file system, from 1GiB to 100GiB"),
    key!(cache.write: WriteMode, |_| Ok(()),
        "how large pieces are written; auto is O_DIRECT where the file system has it, for a third of the CPU time"),
    key!(cache.verify_sealed: bool, |_| Ok(()),
        "whether complete objects are checked again when read; off, since each was checked and synced before it counted as complete"),
    key!(cache.max_open_files: usize, |v| within(*v, 2, 1 << 20),
        "files that stay open, two for each object; 512 are half of the usual limit of a process"),
    key!(cache.write_behind: ByteSize, |v| at_least(Some(*v), ByteSize::mib(1)),
        "bytes that may wait for the disk before readers' bytes are not kept any more; 128MiB are 0.1 s of a fast disk"),
    key!(cache.keep_free: Option<ByteSize>, |_| Ok(()),
        "bytes of the file system that are left to others; auto is 256MiB"),
    key!(cache.revalidate: Revalidate, |_| Ok(()),
        "when a server is asked whether its object is still the one in the cache; always costs one round trip and is never wrong"),
    key!(cache.ttl: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(24 * 365)),
        "with revalidate = \"ttl\": how long an answer is believed"),
    key!(readahead.readahead_size: ByteSize, |_| Ok(()),
        "bytes that one reader in order may have ahead in any case; 32MiB are four requests in flight, 0 is none"),
    key!(readahead.readahead_max: Option<ByteSize>, |_| Ok(()),
        "bytes it may have ahead while memory is to spare; auto is range.memory_budget"),
    key!(readahead.prefetch_enabled: bool, |_| Ok(()),
        "whether the next reads are guessed and fetched ahead; what a reader announces is in any case"),
    key!(readahead.prefetch_multiplier: f64, |v| within(*v, 1.0, 64.0),
        "by how much a window grows when its reader has to wait; 8.0: from 1MiB to what a fast line needs in three steps of some 100 ms; 1.0 is never"),
    key!(readahead.by_extension: ByExtension, |_| Ok(()),
        "readahead_size for names with these extensions; video gets 64MiB, 4 s at 15 MB/s"),
    key!(http.connect_timeout: Duration, |v| within(*v, Duration::from_millis(1), Duration::from_hours(1)),
        "deadline for name look-up, TCP and TLS together; waiting longer only delays the error"),
    key!(http.idle_timeout: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(1)),
        "an idle connection older than this is not used again; S3 closes them after 20 to 30 s"),
    key!(http.read_buffer: ByteSize, |v| within(*v, ByteSize::kib(8), ByteSize::mib(16)),
        "largest read of one system call; 128KiB stays in the second-level cache between two copies"),
    key!(http.ca_file: Option<PathBuf>, |_| Ok(()),
        "certificates (PEM) to trust besides the system's; none, since most servers have public ones"),
    key!(file.sync_writes: bool, |_| Ok(()),
        "whether a put to a local file waits for the disk; off, as for cp"),
    key!(file.enable_range_engine: bool, |_| Ok(()),
        "whether large local files are read in parallel ranges; off, since one stream reads a cold file faster"),
    key!(file.chunk_size: ByteSize, |v| at_least(Some(*v), ByteSize::kib(64)),
        "bytes of one range of a local file; 64MiB, so that the kernel's read-ahead gets going in each"),
    key!(file.max_concurrent_ranges: usize, |v| one_or_more(Some(*v)),
        "ranges of one local file at a time; 4 keep a disk busy, more only cost CPU"),
    key!(file.min_split_size: ByteSize, |_| Ok(()),
        "local files up to this size are one range; 64MiB, one chunk"),
    key!(direct.preset: Preset, |_| Ok(()),
        "what the other keys of this table are unless they are set; high_performance: parallel ranges, and puts wait for the disk"),
    key!(direct.direct_io: bool, |_| Ok(()),
        "whether direct:// goes past the page cache; off, to compare the two"),
    key!(direct.alignment: Option<ByteSize>, |v| alignment(*v),
        "what offsets, lengths and addresses are multiples of; auto is what the kernel says of each file, and less than that is raised to it"),
    key!(direct.min_io_size: ByteSize, |v| alignment(Some(*v)),
        "the least that one request to the disk brings; 4KiB, the page of most disks: a smaller request costs as much"),
    key!(direct.sync_writes: bool, |_| Ok(()),
        "whether a put returns only when the disk has the bytes; off, as for cp"),
    key!(direct.enable_range_engine: bool, |_| Ok(()),
        "whether large files are read in parallel ranges; off, since one stream keeps two requests of 4MiB in flight, the ceiling of the disk it was measured on"),
    key!(direct.chunk_size: ByteSize, |v| at_least(Some(*v), ByteSize::kib(4)),
        "bytes of one range; 64MiB: the disk gets requests of 4MiB in any case, and fewer ranges cost less CPU"),
    key!(direct.max_concurrent_ranges: usize, |v| one_or_more(Some(*v)),
        "ranges of one file at a time; 16, as far as range.memory_budget has room for them"),
    key!(direct.min_split_size: ByteSize, |_| Ok(()),
        "files up to this size are one range; 16MiB are four requests, too few to share out"),
    key!(direct.engine: EngineChoice, |_| Ok(()),
        "what reads the disk; auto is io_uring where the kernel lets us, else threads in pread"),
    key!(direct.threads: usize, |v| within(*v, 1, 1024),
        "threads of the pread engine, one read under way in each; 32 are as many as one disk can use"),
    key!(direct.pool_size: ByteSize, |_| Ok(()),
        "bytes of aligned memory that are kept to be used again, counted in range.memory_budget; 64MiB are 16 requests of 4MiB, 0 keeps none"),
    key!(mount.ttl: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(24 * 365)),
        "how long names and attributes are believed; 1s, as other mounts of buckets have it"),
    key!(mount.read_timeout: Duration, |v| within(*v, Duration::from_millis(10), Duration::from_hours(1)),
        "how long a program waits for bytes or names before it gets ETIMEDOUT; 30s are several attempts of a request"),
    key!(mount.threads: usize, |v| within(*v, 1, 64),
        "threads that answer the kernel; 2, so that one answers while the other copies"),
    key!(mount.max_background: usize, |v| within(*v, 1, 65535),
        "requests of the kernel's own read-ahead under way at a time; 64, since at its usual 12 many files wait for each other"),
    key!(mount.max_readahead: ByteSize, |v| within(*v, ByteSize(0), ByteSize::gib(1)),
        "bytes that the kernel reads ahead by itself, as far as it lets us; 1MiB is one request"),
    key!(mount.io: IoMode, |_| Ok(()),
        "how files are read that are not handed to the kernel: through its page cache and its read-ahead (pages), since small reads are common, or each read as a request (direct), which takes a third of the CPU time for large ones"),
    key!(mount.passthrough: bool, |_| Ok(()),
        "whether files that lie whole on a local disk are handed to the kernel, which reads them without us"),
    key!(mount.verify: Verify, |_| Ok(()),
        "when contents that are named by their hash are checked: when all of one is here (complete), so that four bytes of a large one cost no more, or before any of it is read (strict)"),
    key!(overlay.root: Option<PathBuf>, |v| absolute(v.as_deref()),
        "below which each writable mount without --overlay-dir keeps what is written; auto is $XDG_STATE_HOME/forebay/overlays or ~/.local/state/forebay/overlays, since it must not go like a cache"),
    key!(overlay.sync_interval: Duration, |v| within(*v, Duration::from_millis(100), Duration::from_hours(1)),
        "after this long names and attributes that were changed reach the disk, fsync or not; 5s, as file systems do"),
    key!(rqbit.max_streams: usize, |v| within(*v, 1, 64),
        "streams of a torrent client open at a time; 4 are half of rqbit's places, which its disk writes and uploads need too"),
    key!(rqbit.stream_idle: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(1)),
        "a stream that nobody reads is closed after this long; 5s, since until then it takes one of the few places"),
    key!(rqbit.read_timeout: Duration, |v| within(*v, Duration::from_millis(100), Duration::from_hours(24)),
        "how long a read waits for its next byte, whatever holds it up; 30s are longer than a client takes to start or to find a peer"),
    key!(rqbit.reach: Option<ByteSize>, |_| Ok(()),
        "a read so many bytes after the end of the last one goes on in its stream; auto is readahead.readahead_size"),
    key!(rqbit.believed: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(24)),
        "how long a client's list of torrents is believed; 1s, as mount.ttl"),
    key!(rqbit.poll: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(24)),
        "how often a mount asks whether torrents came or went, and how its open files are doing; 5s are one small request, 0s is never"),
    key!(torrent.dir: Option<PathBuf>, |v| absolute(v.as_deref()),
        "where torrents that are mounted by their link are downloaded to; auto stands beside the cache, as in ~/.cache/forebay-torrents"),
    key!(torrent.dht: bool, |_| Ok(()),
        "whether peers for them are looked for in the distributed hash table; most links name nobody else to ask"),
    key!(torrent.upload: Option<ByteSize>, |v| at_least(*v, ByteSize::kib(16)),
        "bytes per second that they send to peers; auto is no limit, and who gives gets"),
    key!(torrent.download: Option<ByteSize>, |v| at_least(*v, ByteSize::kib(16)),
        "bytes per second that they take from peers; auto is no limit"),
    key!(log.store: Option<LogStore>, |_| Ok(()),
        "where the objects of the log are: s3://bucket/prefix, file:///dir; the commands of `forebay log` need it"),
    key!(log.metadata: LogMetadata, |_| Ok(()),
        "what else the log knows: sqlite:///file for the processes of one machine, postgres://user@host/database for several; auto is a file named by the store in $XDG_STATE_HOME/forebay"),
    key!(log.batch_bytes: ByteSize, |v| within(*v, ByteSize::kib(1), ByteSize::gib(1)),
        "bytes of records that gather before they are uploaded as one object; 8MiB are one request of a cold reader"),
    key!(log.linger: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(1)),
        "how long the oldest record waits for others; 250ms are four objects a second at most of an idle producer"),
    key!(log.compression: Codec, |_| Ok(()),
        "what batches are compressed with; lz4 costs the least time, zstd the least bytes"),
    key!(log.acks: Acks, |_| Ok(()),
        "when a record counts as written: all, when bucket and metadata have it durably; none, when it is taken in, and a crash loses it"),
    key!(log.record_batch_bytes: ByteSize, |v| within(*v, ByteSize::kib(1), ByteSize::mib(32)),
        "bytes of one batch before compression: what a reader decompresses at a time; 256KiB are enough for the codecs"),
    key!(log.uploads: usize, |v| within(*v, 1, 64),
        "uploads on their way at a time; 8 hide a PUT of 400 ms behind each other at 160 MB/s"),
    key!(log.buffer_memory: ByteSize, |v| within(*v, ByteSize::mib(1), ByteSize::gib(4)),
        "bytes taken in and not acknowledged, beyond which a producer waits; 64MiB are eight uploads"),
    key!(log.delivery_timeout: Duration, |v| within(*v, Duration::from_secs(1), Duration::from_hours(1)),
        "how long an upload or a commit is tried again before its records count as not written; 120s outlast most faults"),
    key!(log.lease: Duration, |v| within(*v, Duration::from_millis(200), Duration::from_hours(1)),
        "how long a producer that died keeps its partitions from others; 10s are four renewals"),
    key!(log.lease_wait: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(1)),
        "how long a producer waits for a partition that another one writes; 60s are several turns"),
    key!(log.prefetch_enabled: bool, |_| Ok(()),
        "whether segments are fetched before their records are asked for, by the windows of [readahead]"),
    key!(log.fetch_size: usize, |v| within(*v, 1, 1_000_000),
        "records of one poll of a consumer; 1000 keep the cost of a poll small beside that of its records"),
    key!(log.decoded_cache: ByteSize, |v| within(*v, ByteSize(0), ByteSize::gib(64)),
        "bytes of decompressed batches kept for other readers of the same place, counted in range.memory_budget; 0 keeps none"),
    key!(log.maintain: bool, |_| Ok(()),
        "whether `forebay log produce` maintains the log while it runs, as `forebay log compact` does"),
    key!(log.maintain_every: Duration, |v| within(*v, Duration::from_millis(100), Duration::from_hours(24 * 7)),
        "how often, and how long after its start it does so first; 10m gather some segments to put together"),
    key!(log.segment_bytes: ByteSize, |v| within(*v, ByteSize::kib(64), ByteSize::gib(1)),
        "bytes of the segments that compaction makes; 64MiB are eight requests of a cold reader, in memory while one is made"),
    key!(log.min_segments: usize, |v| within(*v, 2, 10_000),
        "small segments in a row before they are put together though they do not fill one; with 32 a record is written three times at most"),
    key!(log.grace: Duration, |v| within(*v, Duration::ZERO, Duration::from_hours(24 * 365)),
        "how long an object stays that nothing refers to any more, since readers may be at it; 10m are longer than any poll"),
];

/// Takes over what the `FOREBAY_*` variables say, and checks what only makes sense together: they come last.
pub(super) fn apply_env(settings: &mut Settings, env: &Env) -> Result<()> {
    for (name, text) in &env.settings {
        let variable = format!("FOREBAY_{}", name.to_ascii_uppercase());
        let Some(key) = KEYS.iter().find(|key| key.variable() == variable) else {
            return Err(unknown_variable(&variable));
        };
        key.take(settings, text, Origin::Env(variable.clone()))
            .map_err(|why| CliError::usage(format!("the environment variable {variable}: {why}")))?;
    }
    check_connections(settings)
}

/// Takes over what the flags say. They come last: they were typed for this one run.
pub(super) fn apply_flags(settings: &mut Settings, global: &Global) -> Result<()> {
    let dir = match &global.cache_dir {
        Some(dir) => {
            let absolute = std::path::absolute(dir).map_err(|e| CliError::local(dir, "find", &e))?;
            Some(absolute.to_string_lossy().into_owned())
        }
        None => None,
    };
    for (flag, name, text) in [
        ("--cache-dir", "cache.dir", dir),
        ("--cache-size", "cache.size", global.cache_size.clone()),
        (
            "--no-cache",
            "cache.enabled",
            global.no_cache.then(|| "false".to_owned()),
        ),
    ] {
        let Some(text) = text else { continue };
        let key = KEYS
            .iter()
            .find(|key| key.name == name)
            .expect("a flag has its key");
        key.take(settings, &text, Origin::Flag(flag))
            .map_err(|why| CliError::usage(format!("{flag}: {why}")))?;
    }
    Ok(())
}

fn unknown_variable(variable: &str) -> CliError {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let message = format!(
        "the environment variable {} is no setting of forebay",
        printable(variable)
    );
    CliError::usage(message).hint(match nearest(variable, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}? `forebay config show` lists all settings"),
        None => "unset it; `forebay config show` lists all settings".to_owned(),
    })
}

/// A floor above the ceiling makes no sense; a floor that nobody asked for gives way.
fn check_connections(settings: &mut Settings) -> Result<()> {
    let (min, max) = (settings.range.min_connections, settings.range.max_connections);
    if min <= max {
        return Ok(());
    }
    match settings.origins.get("range.min_connections") {
        None => {
            settings.range.min_connections = max;
            Ok(())
        }
        Some(origin) => Err(CliError::usage(format!(
            "range.min_connections is {min} ({origin}), more than range.max_connections, which is {max}"
        ))
        .hint("lower the first or raise the second")),
    }
}

/// The known name that `typed` was probably meant to be.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = known
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .min_by_key(|(d, _)| *d)?;
    // More than a third of it different is another word.
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

#[cfg(test)]
pub(super) mod tests;
