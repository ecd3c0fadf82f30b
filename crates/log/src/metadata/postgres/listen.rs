//! Who wants to know when segments are committed: a connection of its own that listens, only while somebody does.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use super::url::Door;

/// How soon an end of all receivers is noticed.
const LOOK: Duration = Duration::from_secs(1);
/// Between attempts to connect.
const WAIT: Duration = Duration::from_millis(500);

/// The number of commits that this process knows of.
pub(super) struct Listener {
    shared: Arc<Shared>,
    channel: String,
    runtime: Handle,
}

struct Shared {
    door: Arc<Door>,
    number: watch::Sender<u64>,
    listening: Mutex<bool>,
}

impl Listener {
    /// To be called in a runtime, which then runs what listens.
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self {
            channel: format!("forebay_{}", door.schema()),
            shared: Arc::new(Shared {
                door,
                number: watch::Sender::new(0),
                listening: Mutex::new(false),
            }),
            runtime: Handle::current(),
        }
    }

    /// The channel that commits are told on.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// This process committed.
    pub(super) fn moved(&self) {
        self.shared.moved();
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        let mut listening = self.shared.listening();
        // Under the lock, so that a task that is about to end sees it.
        let receiver = self.shared.number.subscribe();
        if !*listening {
            *listening = true;
            self.runtime
                .spawn(run(Arc::downgrade(&self.shared), self.channel.clone()));
        }
        receiver
    }
}

impl Shared {
    fn moved(&self) {
        self.number.send_modify(|number| *number += 1);
    }

    fn listening(&self) -> MutexGuard<'_, bool> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody wants to know any more; then the task is taken for ended.
    fn ends(&self) -> bool {
        let mut listening = self.listening();
        if self.number.receiver_count() == 0 {
            *listening = false;
        }
        !*listening
    }
}

async fn run(shared: Weak<Shared>, channel: String) {
    loop {
        match shared.upgrade() {
            Some(shared) if !shared.ends() => {}
            _ => return,
        }
        if listen(&shared, &channel).await {
            return;
        }
        tokio::time::sleep(WAIT).await;
    }
}

/// Listens until nobody wants to know (`true`) or the connection ends.
async fn listen(weak: &Weak<Shared>, channel: &str) -> bool {
    let Some(door) = weak.upgrade().map(|shared| Arc::clone(&shared.door)) else {
        return true;
    };
    let (client, mut connection) = match door.open().await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(store = door.name(), %error, "no connection to listen for commits on");
            return false;
        }
    };
    let command = format!("LISTEN {channel}");
    let ask = client.batch_execute(&command);
    tokio::pin!(ask);
    let mut asked = false;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            answer = &mut ask, if !asked => {
                asked = true;
                let Some(shared) = weak.upgrade() else { return true };
                if let Err(error) = answer {
                    tracing::warn!(store = door.name(), %error, "commits cannot be listened for");
                    return false;
                }
                // What was committed before this was not told.
                shared.moved();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(_))) => match weak.upgrade() {
                    Some(shared) => shared.moved(),
                    None => return true,
                },
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::warn!(store = door.name(), %error, "the connection that listened ended");
                    return false;
                }
                None => return false,
            },
            _ = look.tick() => match weak.upgrade() {
                Some(shared) if !shared.ends() => {}
                _ => return true,
            },
        }
    }
}
