//! Read-ahead: what should be fetched before it is asked for.

mod config;
mod extension;
mod ledger;
mod merge;
mod plan;
mod readahead;
mod report;
mod run;
mod stride;
mod window;

pub use config::ReadAheadConfig;
pub use extension::ByExtension;
pub use merge::{MERGE_GAP, merge};
pub use plan::{Pattern, Plan, Read};
pub use readahead::ReadAhead;
pub use report::{Report, Window};
