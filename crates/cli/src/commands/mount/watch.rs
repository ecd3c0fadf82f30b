//! Torrents come and go without anybody looking: a mount of a torrent client asks from time to time.

use std::time::Duration;

use forebay_mount::{Mount, MountOptions};
use forebay_source::Scheme;
use forebay_types::printable;

use crate::session::Session;

/// How often a mount asks, and for how long it waits for the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    every: Duration,
    patience: Duration,
}

impl Watch {
    /// `None` if there is nothing to watch: of other sources the kernel hears what a look-up finds out.
    pub(super) fn of(session: &Session, scheme: Scheme, options: &MountOptions) -> Option<Self> {
        let every = session
            .settings
            .rqbit
            .poll()
            .filter(|_| scheme == Scheme::Rqbit)?;
        Some(Self {
            every,
            patience: options.read_timeout,
        })
    }
}

/// Asks which torrents there are and how the open files are doing, for ever. That it fails is said once, until it
/// works again.
pub(super) async fn torrents(watch: Option<Watch>, mount: &Mount) {
    let Some(Watch { every, patience }) = watch else {
        return std::future::pending().await;
    };
    let mut failing = false;
    loop {
        tokio::time::sleep(every).await;
        let names = tokio::time::timeout(patience, mount.tree().refresh_root()).await;
        let why = match names {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {patience:?}")),
        };
        match &why {
            None if failing => tracing::info!("the torrent client answers again"),
            Some(why) if !failing => tracing::warn!(
                "the torrent client does not say which torrents there are, and is asked again every {every:?}: {}",
                printable(why)
            ),
            _ => {}
        }
        failing = why.is_some();
        // What is known of the files is forgotten if nobody can say how they are doing now.
        if tokio::time::timeout(patience, mount.refresh_facts())
            .await
            .is_err()
        {
            tracing::debug!("how the open files are doing was not told within {patience:?}");
        }
    }
}
