//! Progress bars, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// A bar of bytes with rate and time left; draws nothing where nobody watches.
pub(crate) fn bytes(output: Output, total: u64, what: &str) -> ProgressBar {
    let style = "{msg} {bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    bar(output, total, what, style)
}

/// A count of bytes whose end nobody knows.
pub(crate) fn fetched(output: Output, what: &str) -> ProgressBar {
    bar(
        output,
        0,
        what,
        "{msg} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
    )
}

/// A bar of things.
pub(crate) fn items(output: Output, total: u64, what: &str) -> ProgressBar {
    bar(
        output,
        total,
        what,
        "{msg} {bar:30} {pos}/{len}  {per_sec}  {eta} left",
    )
}

fn bar(output: Output, total: u64, what: &str, style: &str) -> ProgressBar {
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar =
        ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
    bar.set_message(forebay_types::printable(what).into_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
