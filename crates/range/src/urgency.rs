//! Why a part is wanted, while it waits for its turn: that may change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use forebay_types::Intent;
use tokio::sync::Notify;

/// The intent of one part. What was asked for ahead becomes urgent when a reader comes to wait for it. Clones share it.
#[derive(Clone, Debug)]
pub struct Urgency {
    intent: Intent,
    raised: Arc<(AtomicBool, Notify)>,
}

impl Urgency {
    /// As `intent` says, until it is raised.
    pub fn new(intent: Intent) -> Self {
        Self {
            intent,
            raised: Arc::default(),
        }
    }

    /// Somebody waits for it: it goes before all that nobody waits for.
    pub fn raise(&self) {
        self.raised.0.store(true, Relaxed);
        self.raised.1.notify_one();
    }

    /// What it is now.
    pub fn intent(&self) -> Intent {
        if self.raised.0.load(Relaxed) {
            Intent::Demand
        } else {
            self.intent
        }
    }

    /// Waits until it is raised. Cancel safe.
    pub(crate) async fn raised(&self) {
        while !self.raised.0.load(Relaxed) {
            self.raised.1.notified().await;
        }
    }
}

impl From<Intent> for Urgency {
    fn from(intent: Intent) -> Self {
        Self::new(intent)
    }
}
