//! The only place that reads the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment as it was at the start.
#[derive(Debug, Default)]
pub(crate) struct Env {
    /// `FOREBAY_*` without the prefix, in lower case.
    pub(crate) settings: BTreeMap<String, String>,
    /// `AWS_*`, `GOOGLE_*`, `AZURE_*` in lower case, with the prefix.
    pub(crate) cloud: BTreeMap<String, String>,
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
            if let Some(setting) = lower.strip_prefix("forebay_") {
                env.settings.insert(setting.to_owned(), value);
            } else if ["aws_", "google_", "azure_"]
                .iter()
                .any(|prefix| lower.starts_with(prefix))
            {
                env.cloud.insert(lower, value);
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
