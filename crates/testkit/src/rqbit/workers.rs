//! The threads of a session, and how others wait for what is done on them.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Runtime;

/// Far above what anything here takes, since the machine may be building something beside it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How long its threads may take to end. Only reads and writes of files keep them.
const STOP: Duration = Duration::from_secs(5);

/// The threads of a session. Dropping it ends them, wherever it is dropped.
pub(crate) struct Workers(Option<Runtime>);

impl Workers {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("rqbit-lab")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs this there, and waits.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        self.run_for(PATIENCE, work)
    }

    pub(crate) fn run_for<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = mpsc::channel();
        if let Some(runtime) = &self.0 {
            runtime.spawn(async move { drop(sender.send(work.await)) });
        }
        let done = receiver.recv_timeout(patience);
        let done = done.map_err(|error| io::Error::other(format!("rqbit does not answer: {error}")))?;
        done.map_err(|error| io::Error::other(format!("{error:#}")))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        // Not here: this may be a thread of another runtime, which must not wait for one.
        let ending = std::thread::spawn(move || runtime.shutdown_timeout(STOP));
        drop(ending.join());
    }
}
