//! The only place that reads the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::settings::OLD_PREFIX;

/// User and password for torrent clients whose URL has none.
const RQBIT_USERPASS: &str = "RQBIT_HTTP_BASIC_AUTH_USERPASS";

/// How a URL with secrets reaches the process that serves a mount: everybody may read the words that a process was
/// started with, its environment only who it belongs to.
pub(crate) const DETACHED_URL: &str = "FOREBAY_DETACHED_URL";

/// What is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<set>")
    }
}

/// The environment as it was at the start.
#[derive(Debug, Default)]
pub(crate) struct Env {
    /// `FOREBAY_*` without the prefix, in lower case.
    pub(crate) settings: BTreeMap<String, String>,
    /// `AWS_*`, `GOOGLE_*`, `AZURE_*` in lower case, with the prefix.
    pub(crate) cloud: BTreeMap<String, String>,
    /// `RQBIT_HTTP_BASIC_AUTH_USERPASS`, rqbit's own: what its HTTP server wants, as `user:password`.
    pub(crate) rqbit_userpass: Option<Secret>,
    /// What the process that mounts hands over to the one that serves the mount: the URL with all that was typed.
    pub(crate) detached_url: Option<Secret>,
    /// Names of variables of an earlier tool, which say nothing to this one.
    pub(crate) old: BTreeSet<String>,
    /// `RUST_LOG`.
    pub(crate) log: Option<String>,
    /// Where settings files live: `XDG_CONFIG_HOME`, or `~/.config`.
    pub(crate) config_home: Option<PathBuf>,
    /// Where caches live: `XDG_CACHE_HOME`, or `~/.cache`.
    pub(crate) cache_home: Option<PathBuf>,
    /// Where what must last lives, and is nobody's settings: `XDG_STATE_HOME`, or `~/.local/state`.
    pub(crate) state_home: Option<PathBuf>,
    /// Where sockets of this login live: `XDG_RUNTIME_DIR`.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The home directory.
    pub(crate) home: Option<PathBuf>,
}

impl Env {
    /// Reads it. Variables that are not UTF-8 are left out: nothing of ours can have such a value.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place that the rule points to"
    )]
    pub(crate) fn read() -> Self {
        let mut env = Self::default();
        for (name, value) in std::env::vars_os() {
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
                continue;
            };
            let lower = name.to_ascii_lowercase();
            if name == DETACHED_URL {
                env.detached_url = Some(Secret(value));
            } else if let Some(setting) = lower.strip_prefix("forebay_") {
                env.settings.insert(setting.to_owned(), value);
            } else if ["aws_", "google_", "azure_"]
                .iter()
                .any(|prefix| lower.starts_with(prefix))
            {
                env.cloud.insert(lower, value);
            } else if name == RQBIT_USERPASS {
                env.rqbit_userpass = Some(Secret(value)).filter(|pair| !pair.0.is_empty());
            } else if name.starts_with(OLD_PREFIX) {
                env.old.insert(name);
            } else if name == "RUST_LOG" {
                env.log = Some(value);
            } else if name == "XDG_CONFIG_HOME" && !value.is_empty() {
                env.config_home = Some(value.into());
            } else if name == "XDG_CACHE_HOME" && value.starts_with('/') {
                // The specification wants relative ones to be passed over.
                env.cache_home = Some(value.into());
            } else if name == "XDG_STATE_HOME" && value.starts_with('/') {
                env.state_home = Some(value.into());
            } else if name == "XDG_RUNTIME_DIR" && value.starts_with('/') {
                env.runtime_dir = Some(value.into());
            } else if name == "HOME" && !value.is_empty() {
                env.home = Some(value.into());
            }
        }
        if env.config_home.is_none() {
            env.config_home = env.home.as_ref().map(|home| home.join(".config"));
        }
        if env.cache_home.is_none() {
            let home = env.home.as_ref().filter(|home| home.is_absolute());
            env.cache_home = home.map(|home| home.join(".cache"));
        }
        if env.state_home.is_none() {
            let home = env.home.as_ref().filter(|home| home.is_absolute());
            env.state_home = home.map(|home| home.join(".local/state"));
        }
        env
    }
}
