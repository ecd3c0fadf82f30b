use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::*;
use crate::device::Device;

/// A device whose answers can be read, and requests that it waits for.
struct World {
    runtime: Runtime,
    parked: Parked,
    device: Arc<Device>,
    answers: UnixDatagram,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (ours, answers) = UnixDatagram::pair().unwrap();
        answers.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self {
            parked: Parked::new(runtime.handle().clone()),
            runtime,
            device: Arc::new(Device::from(OwnedFd::from(ours))),
            answers,
        }
    }

    fn ask(
        &self,
        unique: u64,
        within: Duration,
        work: impl Future<Output = Result<(), Errno>> + Send + 'static,
    ) {
        let reply = Reply::new(self.device.clone(), unique);
        let answer = |reply: Option<Reply>, outcome| match (reply, outcome) {
            (Some(reply), Ok(())) => reply.ok(),
            (Some(reply), Err(errno)) => reply.error(errno),
            (None, _) => {}
        };
        self.parked
            .at_once_or_park(reply, within, Err(Errno::TIMEDOUT), work, answer);
    }

    /// Which request was answered, and with what error.
    fn answered(&self) -> (u64, i32) {
        let mut bytes = [0; 64];
        let len = self.answers.recv(&mut bytes).unwrap();
        assert_eq!(len, 16);
        let error = i32::from_ne_bytes(bytes[4..8].try_into().unwrap());
        let unique = u64::from_ne_bytes(bytes[8..16].try_into().unwrap());
        (unique, -error)
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn what_is_ready_is_answered_by_the_thread_that_asked() {
    let world = World::new();
    let me = std::thread::current().id();
    let inside = async move {
        // In the runtime, though not on a thread of it.
        assert!(Handle::try_current().is_ok());
        assert_eq!(std::thread::current().id(), me);
        Ok(())
    };
    world.ask(1, LONG, inside);
    assert_eq!(world.parked.len(), 0);
    assert_eq!(world.answered(), (1, 0));
}

#[test]
fn what_is_not_ready_goes_on_where_it_was_and_holds_nobody_up() {
    let world = World::new();
    let (send, wait) = oneshot::channel::<()>();
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    world.ask(1, LONG, async move {
        counted.fetch_add(1, Relaxed);
        wait.await.map_err(|_| Errno::IO)
    });
    assert_eq!(world.parked.len(), 1);
    world.ask(2, LONG, async { Err(Errno::NOENT) });
    assert_eq!(world.answered(), (2, libc::ENOENT));
    send.send(()).unwrap();
    assert_eq!(world.answered(), (1, 0));
    assert_eq!(begun.load(Relaxed), 1);
}

#[test]
fn what_takes_too_long_is_told_so() {
    let world = World::new();
    world.ask(1, Duration::from_millis(20), std::future::pending());
    assert_eq!(world.answered(), (1, libc::ETIMEDOUT));
    assert_eq!(world.parked.len(), 0);
}

#[test]
fn what_is_interrupted_is_dropped() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let world = World::new();
    let gone = Arc::new(AtomicUsize::new(0));
    let dropped = Dropped(gone.clone());
    world.ask(1, LONG, async move {
        std::future::pending::<()>().await;
        drop(dropped);
        Ok(())
    });
    assert!(!world.parked.interrupt(2));
    assert!(world.parked.interrupt(1));
    assert_eq!(world.answered(), (1, libc::EINTR));
    assert!(!world.parked.interrupt(1));
    drop(world.runtime);
    assert_eq!(gone.load(Relaxed), 1);
}
