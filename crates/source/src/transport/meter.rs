//! Counters of the transport: what really went over the wire.

use std::fmt::Display;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::Method;

/// Counts of one [`super::Transport`]; all only grow.
#[derive(Debug)]
pub struct WireMeter {
    connections: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    others: AtomicU64,
    received: AtomicU64,
    retries: AtomicU64,
    reused_dead: AtomicU64,
    skipped_keys: AtomicU64,
    skip_said: Once,
    unreadable_said: Once,
}

impl Default for WireMeter {
    fn default() -> Self {
        Self {
            connections: AtomicU64::new(0),
            gets: AtomicU64::new(0),
            heads: AtomicU64::new(0),
            others: AtomicU64::new(0),
            received: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            reused_dead: AtomicU64::new(0),
            skipped_keys: AtomicU64::new(0),
            skip_said: Once::new(),
            unreadable_said: Once::new(),
        }
    }
}

impl WireMeter {
    /// Connections opened.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// GET requests sent, listings included.
    pub fn gets(&self) -> u64 {
        self.gets.load(Relaxed)
    }

    /// HEAD requests sent.
    pub fn heads(&self) -> u64 {
        self.heads.load(Relaxed)
    }

    /// All requests sent.
    pub fn requests(&self) -> u64 {
        self.gets() + self.heads() + self.others.load(Relaxed)
    }

    /// Bytes of bodies received.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Requests repeated after a failure (those of the range engine are counted there).
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Requests that met a pooled connection which the server had closed, and were sent again.
    pub fn dead_reuses(&self) -> u64 {
        self.reused_dead.load(Relaxed)
    }

    /// Keys left out of listings because no path can hold them, or (of a web server) nothing can be read there.
    pub fn skipped_keys(&self) -> u64 {
        self.skipped_keys.load(Relaxed)
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn sent(&self, method: &Method) {
        let counter = match *method {
            Method::GET => &self.gets,
            Method::HEAD => &self.heads,
            _ => &self.others,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn reused_dead(&self) {
        self.reused_dead.fetch_add(1, Relaxed);
    }

    /// `name` is already fit to print.
    pub(super) fn skipped_key(&self, name: &str) {
        self.skipped_keys_of_page(name, 1);
    }

    /// What a listing names, but cannot be read: `name` is fit to print.
    pub(crate) fn unreadable_key(&self, name: &str, why: &dyn Display) {
        self.skipped_keys.fetch_add(1, Relaxed);
        tracing::debug!(key = name, %why, "left out of the listing");
        self.unreadable_said.call_once(|| {
            tracing::warn!(
                key = name,
                %why,
                "a name that cannot be read is left out of the listing; more of them are only counted"
            );
        });
    }

    /// So many keys of one page, of which `name` is the first.
    pub(crate) fn skipped_keys_of_page(&self, name: &str, count: u64) {
        self.skipped_keys.fetch_add(count, Relaxed);
        self.skip_said.call_once(|| {
            tracing::warn!(
                key = name,
                "a key that no path can hold is left out of the listing; more of them are only counted"
            );
        });
    }
}
