use std::collections::BTreeMap;

use forebay_range::{GateOptions, RangeEngineConfig};
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
    ("http.connect_timeout", "100ms"),
    ("http.idle_timeout", "40s"),
    ("http.read_buffer", "64KiB"),
    ("http.ca_file", "/etc/ca.pem"),
    ("file.sync_writes", "true"),
    ("file.enable_range_engine", "false"),
    ("file.chunk_size", "1MiB"),
    ("file.max_concurrent_ranges", "2"),
    ("file.min_split_size", "32MiB"),
];

/// All that the rest of the program gets to see of the settings.
#[derive(Debug, PartialEq)]
pub(in crate::settings) struct Effects {
    remote: RangeEngineConfig,
    local: RangeEngineConfig,
    source: String,
    gate: GateOptions,
    memory: u64,
}

pub(in crate::settings) fn effects(settings: &Settings) -> Effects {
    Effects {
        remote: settings.range_config(Scheme::S3, &Profile::REMOTE),
        local: settings.range_config(Scheme::File, &Profile::FILE),
        source: format!("{:?}", settings.source_options()),
        gate: settings.gate_options(),
        memory: settings.range.memory_budget.bytes(),
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
    let before = effects(&Settings::default());
    for key in KEYS {
        let (_, other) = OTHERS.iter().find(|(name, _)| *name == key.name).expect(key.name);
        let settings = after(&[(key.name.replace('.', "_").as_str(), other)]).unwrap();
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
    assert_eq!(tables, ["range", "http", "file"], "a table stands in one piece");
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
