//! The running server.

mod body;
mod layer;
mod link;
mod pace;
mod profile;
mod server;
mod settings;
mod stream;
mod target;
#[cfg(feature = "full")]
mod tls;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub(crate) use body::LabBody;
use layer::{Handler, Shared};
pub use profile::Profile;
pub use settings::s3_settings;
pub(crate) use target::{Target, range};

use crate::counts::Counters;
use crate::{Counts, Faults, Objects};

/// How the objects are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Face {
    /// Thin and near the ceiling of loopback; no signatures are checked.
    #[default]
    Fast,
    /// S3 with signatures and all that clients may ask for.
    #[cfg(feature = "full")]
    Full,
}

/// A running lab. Dropping it stops the server and closes all its connections before it returns.
///
/// It runs on threads of its own, so neither a single-threaded test runtime nor a client that blocks can stall it.
pub struct Lab {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a lab is to be like.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    face: Face,
    profile: Profile,
    buckets: Vec<String>,
    objects: Objects,
    threads: usize,
    bind: SocketAddr,
    record_keys: bool,
    #[cfg(feature = "full")]
    credentials: (String, String),
    #[cfg(feature = "full")]
    tls: bool,
}

impl Lab {
    /// Begins to describe a lab: the fast face, on loopback, with no bucket.
    pub fn builder() -> LabBuilder {
        LabBuilder {
            face: Face::default(),
            profile: Profile::default(),
            buckets: Vec::new(),
            objects: Objects::new(),
            threads: 2,
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            record_keys: false,
            #[cfg(feature = "full")]
            credentials: (settings::KEY_ID.to_owned(), settings::SECRET.to_owned()),
            #[cfg(feature = "full")]
            tls: false,
        }
    }

    /// `http://127.0.0.1:PORT` (`https://…` with TLS), what AWS_ENDPOINT_URL takes; objects are at `/bucket/key` below it.
    pub fn endpoint(&self) -> String {
        #[cfg(feature = "full")]
        if self.shared.tls.is_some() {
            return format!("https://{}", self.addr);
        }
        format!("http://{}", self.addr)
    }

    /// The certificate that clients must trust, if the lab is served over https.
    #[cfg(feature = "full")]
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.tls.as_ref().map(|tls| tls.ca_pem.as_str())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The objects it shows.
    pub fn objects(&self) -> &Objects {
        &self.shared.objects
    }

    /// The faults it injects.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What it counted so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.snapshot(self.shared.faults.all_injected())
    }

    /// Counts from zero again, faults injected among them.
    pub fn reset_counts(&self) {
        self.shared.counters.reset();
        self.shared.faults.reset_injected();
    }
}

impl LabBuilder {
    /// Which face.
    pub fn face(self, face: Face) -> Self {
        Self { face, ..self }
    }

    /// How far away it pretends to be.
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Adds an empty bucket.
    pub fn bucket(mut self, name: impl Into<String>) -> Self {
        self.buckets.push(name.into());
        self
    }

    /// Shows objects that exist already, those of another lab for example.
    pub fn objects(self, objects: &Objects) -> Self {
        Self {
            objects: objects.clone(),
            ..self
        }
    }

    /// The key pair that the full face accepts.
    #[cfg(feature = "full")]
    pub fn credentials(self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            credentials: (access_key.into(), secret_key.into()),
            ..self
        }
    }

    /// Serves over https, for 127.0.0.1 and localhost, with a certificate by an authority made for this lab.
    #[cfg(feature = "full")]
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Threads that serve; default 2.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Where to listen; default a free port of 127.0.0.1.
    pub fn bind(self, addr: SocketAddr) -> Self {
        Self { bind: addr, ..self }
    }

    /// Counts GETs, HEADs and ranges per key too: [`Counts::keys`].
    pub fn record_keys(self, record: bool) -> Self {
        Self {
            record_keys: record,
            ..self
        }
    }

    /// Starts it; when this returns, it accepts connections.
    pub fn start(self) -> io::Result<Lab> {
        for bucket in &self.buckets {
            self.objects.create_bucket(bucket);
        }
        let handler = match self.face {
            Face::Fast => Handler::Fast,
            #[cfg(feature = "full")]
            Face::Full => Handler::Full(crate::full::service(self.objects.clone(), self.credentials)),
        };
        let counters = Arc::new(Counters::default());
        counters.record_keys(self.record_keys);
        let shared = Arc::new(Shared {
            objects: self.objects,
            faults: Faults::default(),
            counters,
            profile: self.profile,
            handler,
            #[cfg(feature = "full")]
            tls: self.tls.then(tls::Tls::generate).transpose()?,
        });
        let (stop, stopped) = oneshot::channel();
        let (ready, addr) = std::sync::mpsc::channel();
        let (serving, threads, bind) = (Arc::clone(&shared), self.threads, self.bind);
        let thread = std::thread::Builder::new()
            .name("lab".to_owned())
            .spawn(move || server::run(&serving, bind, threads, &ready, stopped))?;
        let addr = addr
            .recv()
            .map_err(|_| io::Error::other("the lab's thread ended before it listened"))??;
        Ok(Lab {
            addr,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed already; a second one here would abort the test.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab")
            .field("addr", &self.addr)
            .field("profile", &self.shared.profile)
            .finish_non_exhaustive()
    }
}
