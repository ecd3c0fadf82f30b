//! What earlier tools called things, and what became of it. Pure.
//!
//! The keys are those of rqbit-fuse: the flat ones that it reads, and the tables of its manual.

use forebay_types::printable;
use toml::{Table, Value};

use super::keys::KEYS;

/// What became of something.
type Now = &'static str;

const URL: Now = "is gone: the URL is typed, as in `forebay mount rqbit://HOST:3030/ DIR`";
const DIR: Now = "is gone: the directory is typed, as in `forebay mount rqbit://HOST:3030/ DIR`";
const USERPASS: Now = "is gone: set RQBIT_HTTP_BASIC_AUTH_USERPASS=USER:PASSWORD in the environment, or write rqbit://USER:PASSWORD@HOST:3030/";
const LOG: Now = "is gone: -v, -vv and -vvv say more, RUST_LOG chooses";
const FIGURES: Now = "is gone: `forebay mount --status` shows figures";
const NO_LIMIT: Now = "is gone: a mount remembers the names that it needs";

/// Tables that are none any more, and what is written in their place.
const TABLES: [(&str, Now); 5] = [
    ("performance", "write [readahead] or [rqbit] in its place"),
    (
        "api",
        "URL and credentials are typed, or stand in the environment",
    ),
    ("monitoring", "write [rqbit] in its place"),
    ("logging", "-v, -vv and -vvv say more, RUST_LOG chooses"),
    ("resources", "write [cache] or [rqbit] in its place"),
];

/// Keys with the table that they stood in; outside of any for the flat ones.
const NAMES: &[(&str, Now)] = &[
    ("performance.readahead_size", "is now readahead.readahead_size"),
    (
        "performance.prefetch_enabled",
        "is now readahead.prefetch_enabled",
    ),
    (
        "performance.prefetch_multiplier",
        "is now readahead.prefetch_multiplier",
    ),
    (
        "performance.read_timeout",
        "is now rqbit.read_timeout, a time as in \"30s\"",
    ),
    ("performance.max_concurrent_reads", "is now rqbit.max_streams"),
    (
        "performance.check_pieces_before_read",
        "is gone: a read waits for the pieces that it needs",
    ),
    ("api.url", URL),
    ("api.username", USERPASS),
    ("api.password", USERPASS),
    ("cache.metadata_ttl", "is now mount.ttl, a time as in \"60s\""),
    (
        "cache.torrent_list_ttl",
        "is now rqbit.believed, a time as in \"30s\"",
    ),
    (
        "cache.piece_ttl",
        "is gone: which pieces there are is asked when it matters",
    ),
    ("cache.max_entries", NO_LIMIT),
    ("mount.mount_point", DIR),
    (
        "mount.allow_other",
        "is now the option --allow-other of `forebay mount`",
    ),
    (
        "mount.auto_unmount",
        "is gone: a mount whose process ended is detached by the next one",
    ),
    (
        "monitoring.status_poll_interval",
        "is now rqbit.poll, a time as in \"5s\"",
    ),
    (
        "monitoring.stalled_timeout",
        "is now rqbit.read_timeout, a time as in \"30s\"",
    ),
    ("logging.level", LOG),
    ("logging.log_fuse_operations", LOG),
    ("logging.log_api_calls", LOG),
    ("logging.metrics_enabled", FIGURES),
    ("logging.metrics_interval_secs", FIGURES),
    ("resources.max_cache_bytes", "is now cache.size"),
    ("resources.max_open_streams", "is now rqbit.max_streams"),
    ("resources.max_inodes", NO_LIMIT),
    ("api_url", URL),
    ("api_username", USERPASS),
    ("api_password", USERPASS),
    ("metadata_ttl", "is now mount.ttl, a time as in \"60s\""),
    ("max_entries", NO_LIMIT),
    ("mount_point", DIR),
    ("read_timeout", "is now rqbit.read_timeout, a time as in \"30s\""),
    ("max_concurrent_reads", "is now rqbit.max_streams"),
    ("readahead_size", "is now readahead.readahead_size"),
    ("log_level", LOG),
];

/// How the variables of that tool begin.
pub(crate) const PREFIX: &str = "TORRENT_FUSE_";

/// Its variables without that.
const VARIABLES: &[(&str, Now)] = &[
    ("API_URL", URL),
    ("MOUNT_POINT", DIR),
    ("METADATA_TTL", "is now FOREBAY_MOUNT_TTL, a time as in 60s"),
    ("MAX_ENTRIES", NO_LIMIT),
    (
        "READ_TIMEOUT",
        "is now FOREBAY_RQBIT_READ_TIMEOUT, a time as in 30s",
    ),
    ("LOG_LEVEL", LOG),
    (
        "AUTH_USERPASS",
        "is now RQBIT_HTTP_BASIC_AUTH_USERPASS, as rqbit itself has it",
    ),
    ("AUTH_USERNAME", USERPASS),
    ("AUTH_PASSWORD", USERPASS),
];

/// All that is old in a settings file, a sentence each. Values are not looked at: they may be secrets.
pub(super) fn findings(file: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (name, content) in file {
        let Value::Table(content) = content else {
            found.extend(now(NAMES, name).map(|now| format!("{name} {now}")));
            continue;
        };
        let of_a_key = |key: &String| {
            let full = format!("{name}.{key}");
            let is_known = KEYS.iter().any(|known| known.name == full);
            let now = now(NAMES, &full).filter(|_| !is_known);
            now.map(|now| format!("{full} {now}"))
        };
        let mut of_the_table: Vec<String> = content.keys().filter_map(of_a_key).collect();
        if let Some(now) = now(&TABLES, name) {
            of_the_table.insert(0, format!("there is no table [{name}] any more ({now})"));
        }
        found.extend(of_the_table);
    }
    found
}

/// What became of a variable whose name begins with [`PREFIX`].
pub(crate) fn variable(name: &str) -> String {
    let bare = name.strip_prefix(PREFIX).unwrap_or(name);
    let now = now(VARIABLES, bare).unwrap_or("says nothing to forebay");
    format!("{} {now}", printable(name))
}

fn now(list: &[(&str, Now)], name: &str) -> Option<Now> {
    list.iter().find(|(old, _)| *old == name).map(|(_, now)| *now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_be_there_now_is_there() {
        let all = NAMES.iter().chain(VARIABLES);
        for (old, now) in all {
            let Some(new) = now.strip_prefix("is now ") else {
                assert!(now.starts_with("is gone: "), "{old} {now}");
                continue;
            };
            let new = new.split([',', ' ']).next().unwrap();
            let is_key = KEYS.iter().any(|key| key.name == new || key.variable() == new);
            let is_other = ["RQBIT_HTTP_BASIC_AUTH_USERPASS", "the"].contains(&new);
            assert!(is_key || is_other, "{old} {now}");
        }
    }

    #[test]
    fn no_key_in_force_is_called_old() {
        for key in KEYS {
            let (table, name) = key.parts();
            let text = format!("[{table}]\n{name} = 1\n");
            assert_eq!(findings(&toml::from_str(&text).unwrap()), [""; 0], "{}", key.name);
        }
    }
}
