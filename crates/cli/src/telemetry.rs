//! Logs: to standard error, as much as was asked for.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Sends the log lines of the wanted levels to standard error. `rust_log` (RUST_LOG) goes before the flags. A second
/// call changes nothing.
pub(crate) fn init_logging(verbose: u8, quiet: bool, rust_log: Option<&str>) {
    let (filter, misread) = filter(verbose, quiet, rust_log);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish();
    if tracing::subscriber::set_global_default(log).is_err() {
        return;
    }
    if let Some(why) = misread {
        tracing::warn!(%why, "RUST_LOG cannot be understood and is not used");
    }
}

/// What is let through, and why RUST_LOG is not used, if so.
fn filter(verbose: u8, quiet: bool, rust_log: Option<&str>) -> (EnvFilter, Option<String>) {
    let wanted = rust_log
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::parse::<EnvFilter>);
    match wanted {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(of_flags(verbose, quiet)), Some(error.to_string())),
        None => (EnvFilter::new(of_flags(verbose, quiet)), None),
    }
}

/// The flags speak of our crates (a target is compared by its start: `forebay` is `forebay_source` too). What
/// others log at these levels is theirs to understand, and may hold headers.
fn of_flags(verbose: u8, quiet: bool) -> &'static str {
    match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,forebay=info",
        (false, 2) => "warn,forebay=debug",
        (false, _) => "warn,forebay=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_and_rust_log_overrides() {
        assert_eq!(filter(0, true, None).0.to_string(), "error");
        assert_eq!(filter(0, false, None).0.to_string(), "warn");
        assert!(filter(2, false, None).0.to_string().contains("forebay=debug"));
        assert!(
            filter(9, false, Some(" "))
                .0
                .to_string()
                .contains("forebay=trace")
        );
        assert_eq!(filter(3, false, Some("info")).0.to_string(), "info");
        let (kept, why) = filter(0, false, Some("forebay=loud"));
        assert_eq!((kept.to_string().as_str(), why.is_some()), ("warn", true));
    }

    #[test]
    fn twice_is_harmless() {
        init_logging(0, true, None);
        init_logging(3, false, Some("info"));
    }
}
