use std::collections::BTreeMap;

use forebay_cache::CacheOptions;
use forebay_range::{EngineOptions, GateOptions, RangeEngineConfig};
use forebay_source::{Profile, Scheme};

use super::*;

/// Another value than the default, for each key. A key that is missing here fails the tests.
pub(in crate::settings) const OTHERS: &[(&str, &str)] = &[
    ("range.chunk_size", "1MiB"),
    ("range.max_concurrent_ranges", "3"),
    ("range.min_split_size", "2MiB"),
    ("range.enable_range_engine", "false"),
    ("range.memory_budget", "32MiB"),
    ("range.max_connections", "7"),
    ("range.min_connections", "2"),
    ("range.stall_timeout", "1s"),
    ("range.max_retries", "1"),
    ("range.hedge", "false"),
    ("range.ask_early", "false"),
    ("cache.enabled", "false"),
    ("cache.dir", "/other"),
    ("cache.size", "2GiB"),
    ("cache.write", "buffered"),
    ("cache.verify_sealed", "true"),
    ("cache.max_open_files", "100"),
    ("cache.write_behind", "64MiB"),
    ("cache.keep_free", "1GiB"),
    ("cache.revalidate", "never"),
    ("cache.ttl", "120s"),
    ("readahead.readahead_size", "8MiB"),
    ("readahead.readahead_max", "64MiB"),
    ("readahead.prefetch_enabled", "false"),
    ("readahead.prefetch_multiplier", "3.5"),
    ("readahead.by_extension", OTHER_EXTENSIONS),
    ("http.connect_timeout", "100ms"),
    ("http.idle_timeout", "40s"),
    ("http.read_buffer", "64KiB"),
    ("http.ca_file", "/etc/ca.pem"),
    ("file.sync_writes", "true"),
    ("file.enable_range_engine", "true"),
    ("file.chunk_size", "1MiB"),
    ("file.max_concurrent_ranges", "2"),
    ("file.min_split_size", "32MiB"),
    ("direct.preset", "high_performance"),
    ("direct.direct_io", "false"),
    ("direct.alignment", "8KiB"),
    ("direct.min_io_size", "16KiB"),
    ("direct.sync_writes", "true"),
    ("direct.enable_range_engine", "true"),
    ("direct.chunk_size", "1MiB"),
    ("direct.max_concurrent_ranges", "2"),
    ("direct.min_split_size", "32MiB"),
    ("direct.engine", "pread"),
    ("direct.threads", "3"),
    ("direct.pool_size", "0B"),
    ("mount.ttl", "60s"),
    ("mount.read_timeout", "5s"),
    ("mount.threads", "4"),
    ("mount.max_background", "12"),
    ("mount.max_readahead", "128KiB"),
    ("mount.io", "direct"),
    ("mount.passthrough", "false"),
    ("mount.verify", "strict"),
    ("overlay.root", "/overlays"),
    ("overlay.sync_interval", "1s"),
    ("rqbit.max_streams", "7"),
    ("rqbit.stream_idle", "1s"),
    ("rqbit.read_timeout", "60s"),
    ("rqbit.reach", "1MiB"),
    ("rqbit.believed", "10s"),
    ("rqbit.poll", "0s"),
    ("torrent.dir", "/torrents"),
    ("torrent.dht", "false"),
    ("torrent.upload", "1MiB"),
    ("torrent.download", "2MiB"),
    ("log.store", "s3://bucket/logs"),
    ("log.metadata", "sqlite:///var/lib/log.db"),
    ("log.batch_bytes", "1MiB"),
    ("log.linger", "5ms"),
    ("log.compression", "zstd"),
    ("log.acks", "none"),
    ("log.record_batch_bytes", "64KiB"),
    ("log.uploads", "2"),
    ("log.buffer_memory", "16MiB"),
    ("log.delivery_timeout", "30s"),
    ("log.lease", "3s"),
    ("log.lease_wait", "5s"),
    ("log.prefetch_enabled", "false"),
    ("log.fetch_size", "10"),
    ("log.decoded_cache", "0B"),
    ("log.maintain", "false"),
    ("log.maintain_every", "60s"),
    ("log.segment_bytes", "8MiB"),
    ("log.min_segments", "4"),
    ("log.grace", "60s"),
];

/// All that are set, in their order.
const OTHER_EXTENSIONS: &str = "avi=64MiB,bin=128MiB,m2ts=64MiB,m4v=64MiB,mkv=1MiB,mov=64MiB,mp4=64MiB,mpg=64MiB,\
                                ts=64MiB,webm=64MiB";

/// What has to be set too, so that a key has an effect.
pub(in crate::settings) const NEEDS: &[(&str, &str, &str)] = &[
    ("cache.ttl", "cache.revalidate", "ttl"),
    ("file.min_split_size", "file.enable_range_engine", "true"),
    ("direct.min_split_size", "direct.enable_range_engine", "true"),
];

/// All that the rest of the program gets to see of the settings.
#[derive(Debug, PartialEq)]
pub(in crate::settings) struct Effects {
    remote: RangeEngineConfig,
    local: RangeEngineConfig,
    direct: RangeEngineConfig,
    torrent: RangeEngineConfig,
    source: String,
    engine: EngineOptions,
    cached: bool,
    cache: CacheOptions,
    reader: String,
    mount: String,
    overlay: String,
    here: String,
    log: String,
}

pub(in crate::settings) fn effects(settings: &Settings) -> Effects {
    let mut cache = settings.cache.clone();
    cache.dir.get_or_insert_with(|| "/usual".into());
    Effects {
        remote: settings.range_config(Scheme::S3, &Profile::REMOTE),
        local: settings.range_config(Scheme::File, &Profile::FILE),
        direct: settings.range_config(Scheme::Direct, &Profile::DIRECT),
        torrent: settings.range_config(Scheme::Rqbit, &Profile::TORRENT),
        source: format!("{:?}", settings.source_options()),
        engine: settings.engine_options(),
        cached: settings.cache.enabled,
        cache: cache.options().unwrap(),
        reader: format!("{:?}", settings.reader_options(256 << 20)),
        mount: format!(
            "{:?} {:?} {:?}",
            settings.mount.freshness(),
            [Scheme::S3, Scheme::Rqbit].map(|scheme| settings.mount_options(scheme, String::new(), false)),
            settings.rqbit.poll(),
        ),
        overlay: format!("{:?}", settings.overlay),
        here: format!("{:?}", settings.torrent),
        log: format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            (&settings.log.store, &settings.log.metadata),
            settings.log.producer_options(),
            settings.log.log_options(),
            settings.log_reader_options(256 << 20),
            settings.log.maintain_options(),
            settings.log.maintain,
            settings.log.maintain_every,
        ),
    }
}

fn env(pairs: &[(&str, &str)]) -> Env {
    let settings: BTreeMap<String, String> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Env {
        settings,
        ..Env::default()
    }
}

fn after(pairs: &[(&str, &str)]) -> Result<Settings> {
    let mut settings = Settings::default();
    apply_env(&mut settings, &env(pairs)).map(|()| settings)
}

#[test]
fn no_key_is_dead() {
    for key in KEYS {
        let (_, other) = OTHERS.iter().find(|(name, _)| *name == key.name).expect(key.name);
        let variable = |name: &str| name.replace('.', "_");
        let needs: Vec<(String, &str)> = NEEDS
            .iter()
            .filter(|(name, ..)| *name == key.name)
            .map(|(_, needed, value)| (variable(needed), *value))
            .collect();
        let mut pairs: Vec<(&str, &str)> = needs
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let before = effects(&after(&pairs).unwrap());
        let name = variable(key.name);
        pairs.push((&name, other));
        let settings = after(&pairs).unwrap();
        assert_ne!(effects(&settings), before, "{} changes nothing", key.name);
        assert_eq!(key.shown(&settings), *other, "{}", key.name);
        assert_eq!(settings.origin(key), &Origin::Env(key.variable()), "{}", key.name);
    }
}

#[test]
fn defaults_are_values_that_can_be_written() {
    for key in KEYS {
        let mut settings = Settings::default();
        let shown = key.shown(&settings);
        key.take(&mut settings, &shown, Origin::Default).unwrap();
        assert_eq!(effects(&settings), effects(&Settings::default()), "{}", key.name);
        assert!(!key.doc.is_empty());
    }
}

#[test]
fn names_are_unique_and_sorted_by_table() {
    let mut tables: Vec<&str> = KEYS.iter().map(|key| key.parts().0).collect();
    tables.dedup();
    assert_eq!(
        tables,
        [
            "range",
            "cache",
            "readahead",
            "http",
            "file",
            "direct",
            "mount",
            "overlay",
            "rqbit",
            "torrent",
            "log"
        ],
        "a table stands in one piece"
    );
    for pair in KEYS.windows(2) {
        let goes_on = pair[0].parts().0 == pair[1].parts().0;
        assert!(
            pair[0].kind != Kind::Sizes || !goes_on,
            "{}: a table in a table is the last of its keys",
            pair[0].name
        );
    }
    let variables: std::collections::BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
    assert_eq!(variables.len(), KEYS.len());
}

#[test]
fn nonsense_is_refused() {
    for (name, value, part) in [
        ("range_chunk_size", "1KiB", "64KiB is the least"),
        ("range_chunk_size", "apples", "not a size"),
        ("range_max_concurrent_ranges", "0", "1 is the least"),
        ("range_max_connections", "-1", "whole number"),
        ("range_memory_budget", "1000KiB", "1MiB is the least"),
        ("range_stall_timeout", "10", "a time, as in"),
        ("range_hedge", "maybe", "true or false"),
        ("http_read_buffer", "32MiB", "not between 8KiB and 16MiB"),
        ("file_max_concurrent_ranges", "0", "1 is the least"),
        ("cache_dir", "~/cache", "not an absolute path"),
        ("cache_size", "100KiB", "1MiB is the least"),
        ("cache_write", "mmap", "'mmap' is not auto, direct or buffered"),
        ("cache_revalidate", "60s", "'60s' is not always, ttl or never"),
        ("cache_max_open_files", "1", "not between 2 and"),
        ("cache_write_behind", "0", "1MiB is the least"),
        ("readahead_prefetch_multiplier", "0.5", "not between 1.0 and 64.0"),
        (
            "readahead_prefetch_multiplier",
            "twice",
            "'twice' is not a number",
        ),
        ("readahead_by_extension", "mkv", "not an extension and a size"),
        (
            "direct_preset",
            "fast",
            "'fast' is not default or high_performance",
        ),
        ("direct_alignment", "3000", "not a power of two from 512B to 1MiB"),
        (
            "direct_min_io_size",
            "2MiB",
            "not a power of two from 512B to 1MiB",
        ),
        ("direct_min_io_size", "auto", "not a size"),
        ("direct_engine", "aio", "'aio' is not auto, io_uring or pread"),
        ("mount_io", "splice", "'splice' is not pages or direct"),
        ("rqbit_max_streams", "0", "not between 1 and 64"),
        ("rqbit_max_streams", "65", "not between 1 and 64"),
        ("rqbit_read_timeout", "30", "a time, as in"),
        ("rqbit_read_timeout", "0s", "not between 100ms and"),
        ("rqbit_reach", "far", "'far' is not a size"),
        ("log_store", "rqbit://host/x", "cannot be written to"),
        ("log_store", "https://host/x", "cannot be written to"),
        ("log_store", "logs", "not an absolute path"),
        (
            "log_metadata",
            "mysql://host/db",
            "no metadata store has this scheme",
        ),
        ("log_compression", "lzma", "'lzma' is not none, gzip, snappy"),
        ("log_acks", "1", "'1' is not all or none"),
        ("log_uploads", "0", "not between 1 and 64"),
        ("log_fetch_size", "0", "not between 1 and"),
        ("log_batch_bytes", "2GiB", "not between 1KiB and 1GiB"),
        ("log_lease", "1ms", "not between 200ms and"),
        ("direct_threads", "0", "not between 1 and 1024"),
        ("direct_chunk_size", "1KiB", "4KiB is the least"),
    ] {
        let error = after(&[(name, value)]).unwrap_err();
        assert_eq!(error.kind(), forebay_types::ErrorKind::Invalid);
        let text = error.to_string();
        assert!(
            text.contains(part) && text.contains(&name.to_ascii_uppercase()),
            "{name}={value}: {text}"
        );
    }
}

#[test]
fn unknown_variables_are_told_with_the_nearest() {
    let text = after(&[("range_chunksize", "8MiB")]).unwrap_err().to_string();
    assert!(
        text.contains("FOREBAY_RANGE_CHUNKSIZE") && text.contains("mean FOREBAY_RANGE_CHUNK_SIZE?"),
        "{text}"
    );
    let text = after(&[("kangaroo", "1")]).unwrap_err().to_string();
    assert!(
        text.contains("FOREBAY_KANGAROO") && !text.contains("did you mean"),
        "{text}"
    );
}

#[test]
fn the_floor_of_connections_stays_below_the_ceiling() {
    let text = after(&[("range_min_connections", "9"), ("range_max_connections", "8")])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("FOREBAY_RANGE_MIN_CONNECTIONS") && text.contains('8'),
        "{text}"
    );
    assert!(after(&[("range_min_connections", "65")]).is_err());
    // Nobody asked for the floor of 4.
    assert_eq!(
        after(&[("range_max_connections", "1")]).unwrap().gate_options(),
        GateOptions { max: 1, min: 1 }
    );
}

#[test]
fn flags_go_before_everything() {
    let mut settings = after(&[("cache_dir", "/x"), ("cache_size", "5GiB")]).unwrap();
    let mut global = Global::default();
    apply_flags(&mut settings, &global).unwrap();
    assert_eq!(
        settings.cache.dir.as_deref(),
        Some("/x".as_ref()),
        "nothing was typed"
    );
    assert!(settings.cache.enabled && !settings.says_no_cache());
    global.cache_dir = Some("here".into());
    global.cache_size = Some("3GiB".to_owned());
    global.no_cache = true;
    apply_flags(&mut settings, &global).unwrap();
    let here = std::env::current_dir().unwrap().join("here");
    assert_eq!(settings.cache.dir, Some(here), "from where the user stands");
    assert_eq!(settings.cache.size, Some(ByteSize::gib(3)));
    assert!(!settings.cache.enabled && settings.says_no_cache());
    global.cache_size = Some("huge".to_owned());
    let text = apply_flags(&mut settings, &global).unwrap_err().to_string();
    assert!(
        text.contains("--cache-size") && text.contains("'huge' is not a size"),
        "{text}"
    );
}

#[test]
fn a_preset_stays_below_what_was_set_whatever_came_first() {
    let preset = ("direct_preset", "high_performance");
    for pairs in [
        [preset, ("direct_sync_writes", "false")],
        [("direct_sync_writes", "false"), preset],
    ] {
        let mut settings = Settings::default();
        for (name, value) in pairs {
            apply_env(&mut settings, &env(&[(name, value)])).unwrap();
        }
        assert!(!settings.direct().sync_writes, "{pairs:?}");
        assert!(settings.direct().enable_range_engine, "{pairs:?}");
        let origin = |name: &str| {
            let key = KEYS.iter().find(|key| key.name == name).unwrap();
            settings.origin(key).to_string()
        };
        assert_eq!(origin("direct.preset"), "FOREBAY_DIRECT_PRESET");
        assert_eq!(origin("direct.sync_writes"), "FOREBAY_DIRECT_SYNC_WRITES");
        assert_eq!(origin("direct.enable_range_engine"), "direct.preset");
        assert_eq!(origin("direct.chunk_size"), "default");
    }
    // And the last preset is the one that counts.
    let mut settings = after(&[preset]).unwrap();
    apply_env(&mut settings, &env(&[("direct_preset", "default")])).unwrap();
    assert_eq!(settings.direct(), Settings::default().direct());
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../../docs/configuration.md");
    for key in KEYS {
        assert!(
            page.contains(&format!("| `{}` |", key.name)),
            "{} is not in docs/configuration.md",
            key.name
        );
    }
}
