//! Read-ahead: what should be fetched before it is asked for.
//!
//! A pure function on byte ranges. Each open handle owns one [`ReadAhead`]; it is told of every [`Read`] before that
//! is served, and answers with a [`Plan`]: what to fetch now (`ahead`), what to stop (`cancel`), what memory may drop
//! (`done`), how far the window reaches into what comes after the object (`beyond`). It moves no bytes, asks no clock
//! and takes no lock; its only time is the count of reads.
//!
//! A read is placed first (`readahead/place.rs`). `run` knows up to eight places of the object and tells how the read
//! lies to each; `cover` knows what such a run left out, `evidence` whether its reads are in order or only look so by
//! chance. Up to four runs are in order, forwards or backwards, and have a `window`. `stride` finds and follows
//! pieces at a constant distance. Then the reader's window is filled (`readahead/ask.rs`): what is asked for is
//! entered in the `ledger`, where every byte has one owner at most, so nothing is asked for twice. What is read,
//! passed (`edge`), given up, refused or evicted leaves the ledger (`readahead/release.rs`). [`Report`] counts.
//!
//! # How large a window is
//!
//! [`ReadAheadConfig`] holds the settings; `prefetch_multiplier` is `multiplier`, `readahead_size` is `size`,
//! `readahead_max` is `max`.
//!
//! - The first window of a run is `multiplier` × its longest read so far, at least 1 MiB, at most `size`.
//! - A window grows to `multiplier` × itself when the reader starves on bytes that had been asked for, and once only
//!   until what was ahead then has been read: up to `size` in any case, further up to `max` as far as
//!   there is spare memory, in whole requests. What it grows by is asked for in up to four requests of at least 1 MiB: one long
//!   one comes no faster than its connection. With a `multiplier` of 1.0 or less it never grows, whatever `size` and `max` are.
//! - So `multiplier` says how fast a window gets from its first size to `size`: from 1 MiB to 32 MiB in five steps
//!   with 2.0, in three with 4.0. It does not change how large it gets, except 1.0 or less.
//! - A declared run ([`ReadAhead::declare`]) has all of `max` at once: that it will be read is known, not guessed. It asks
//!   even if `enabled` is false.
//! - Refused memory and bytes evicted unread halve a window, down to the first one, a declared one to `unit`. It grows
//!   again once it was used up without another refusal.
//! - `size` and `max` bound windows, the caller's memory bounds plans: none asks for more than [`Read::spare`]. All
//!   that a handle has ahead stays below the larger of `size` and `max`; its runs share that evenly.
//! - `size` 0, or `enabled` false: nothing is guessed, so nothing is asked for ahead but what was declared.
//!
//! A window is refilled when less than half of it is ahead. Large ones end on multiples of `unit`, so that a refill is
//! one or more whole requests of the source.
//!
//! # What is in order
//!
//! The second of two reads that follow each other, the third backwards, the third piece of a stride; a read or two
//! later in the middle of an object of fewer than 128 such reads, where accidents are common. The kernel may reorder: a
//! read 1 MiB behind or ahead of a run's position still belongs to it, and a jump of up to 16 MiB takes the window
//! along once the next read confirms that it was no second reader.
//!
//! Random reads ask for nothing. After some of them, a reader in order must first prove that it is not one more
//! accident (`evidence` says how): it starts its window a few reads later. Readers in bursts get first windows, but
//! after two bursts none that is larger than what its run has read.
//!
//! What lies ahead of a run that is not read for 16 reads, while an eighth as much is read elsewhere, is cancelled: the
//! reader seeked away. Of more than four readers in turn, four keep their windows.
//!
//! # Costs
//!
//! One `observe`, measured on one core (docs/benchmarks.md): 60 ns for tiny reads in order, 130 ns
//! for 128 KiB reads in order, 110 ns for random reads in 1 GiB, 160 ns in strides, and at worst, random reads of
//! 4 KiB in an object of 4 MiB, 0.8 µs. A plan that asks for nothing allocates nothing.

mod config;
mod cover;
mod edge;
mod evidence;
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
