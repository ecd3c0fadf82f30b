//! What every test needs around it.

use std::future::Future;
use std::sync::Once;
use std::time::Duration;

/// A hang is a failure. Far above what any test takes, since the machine may be building something beside it.
const DEADLINE: Duration = Duration::from_secs(50);

/// Lets tests log to standard error as `RUST_LOG` says (`info`, `debug`, `forebay_range=trace`, …), which the test runner
/// shows for those that fail. May be called any number of times.
pub fn init_logging() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // Fails if the test has a subscriber of its own, which then is the one it wants.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    });
}

/// Fails instead of hanging.
///
/// # Panics
/// If `work` takes longer than any test should.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("the test hangs")
}
