//! Stores that fail, files that change meanwhile, commits that are given up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use forebay_manifest::Hash;
use forebay_testkit::{FaultKind, Op, Point, Rule};
use forebay_types::ErrorKind;
use forebay_vfs::commit::{CommitError, CommitProgress, ManifestOptions, SendOptions, commit_manifest};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::commit_world::{DATA, Job};
use crate::world::BUCKET;

const MIB: usize = 1 << 20;

/// Large contents go in parts of 1 MiB.
fn in_parts() -> ManifestOptions {
    ManifestOptions {
        send: SendOptions {
            single_put: 64 << 10,
            part_size: 1 << 20,
            ..SendOptions::default()
        },
        ..ManifestOptions::default()
    }
}

fn status(code: u16) -> Rule {
    let kind = FaultKind::Status {
        code,
        retry_after: None,
    };
    Rule::new(kind).op(Op::Put)
}

fn job_with_ten_files() -> Job {
    let job = Job::new(&[("a", b"a")]);
    for n in 0..10_u8 {
        job.create(&format!("new{n}"), &[n; 1000]);
    }
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_commit_goes_on_where_it_was() {
    let job = job_with_ten_files();
    let one_by_one = ManifestOptions {
        send: SendOptions {
            at_once: 1,
            ..SendOptions::default()
        },
        ..ManifestOptions::default()
    };
    job.world
        .lab
        .faults()
        .add(status(403).key_prefix(DATA).skip_first(4));
    let error = job.commit(one_by_one).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        error.to_string().contains("cannot store s3://bucket/root/Data/"),
        "{error}"
    );
    assert_eq!(job.stored(), None);
    job.world.lab.faults().clear();
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!((done.stats.there_objects, done.stats.uploaded_objects), (4, 6));
    job.check_contents(&done.manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_busy_or_hangs_up_is_asked_again() {
    let job = job_with_ten_files();
    let faults = job.world.lab.faults();
    faults.add(status(503).times(3));
    faults.add(
        Rule::new(FaultKind::Reset(Point::BeforeHeaders))
            .op(Op::Put)
            .skip_first(3)
            .times(3),
    );
    faults.add(
        Rule::new(FaultKind::Reset(Point::BeforeHeaders))
            .op(Op::Head)
            .times(2),
    );
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(done.stats.uploaded_objects + done.stats.there_objects, 10);
    job.check_contents(&done.manifest);
    assert_eq!(job.stored(), Some(done.manifest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_stored_is_not_there() {
    let job = job_with_ten_files();
    job.world
        .lab
        .faults()
        .add(status(403).key_prefix("root/Manifests"));
    let error = job.commit(ManifestOptions::default()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot store s3://bucket/root/Manifests/new"),
        "{error}"
    );
    assert_eq!(job.stored(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_may_still_store() {
    let job = job_with_ten_files();
    job.world.lab.faults().add(status(403).op(Op::Head));
    let done = job.commit(ManifestOptions::default()).await.unwrap();
    assert_eq!(done.stats.uploaded_objects, 10);
    job.check_contents(&done.manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_contents_go_in_parts_and_leave_none_behind() {
    let job = Job::new(&[("a", b"a")]);
    let bytes: Vec<u8> = (0..5 * MIB + 3).map(|n| (n / 7) as u8).collect();
    job.create("large", &bytes);
    job.world.lab.faults().add(status(403).skip_first(2).times(1));
    let error = job.commit(in_parts()).await.unwrap_err();
    assert!(error.to_string().contains("cannot store a part of"), "{error}");
    assert!(job.world.lab.objects().uploads(BUCKET).is_empty());
    job.world.lab.faults().clear();
    job.world.lab.reset_counts();
    let done = job.commit(in_parts()).await.unwrap();
    job.check_contents(&done.manifest);
    // Six parts and the manifest.
    assert_eq!(job.world.lab.counts().puts, 7);
    assert_eq!(
        (done.stats.uploaded, done.stats.hashed),
        (bytes.len() as u64, bytes.len() as u64)
    );
    let again = job.commit(in_parts()).await.unwrap();
    assert_eq!((again.stats.uploaded_objects, again.stats.there_objects), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_given_up_leaves_nothing_half_done() {
    let job = Job::new(&[("a", b"a")]);
    job.create("large", &vec![7; 9 * MIB]);
    let slow = FaultKind::Latency(Duration::from_secs(600));
    job.world
        .lab
        .faults()
        .add(Rule::new(slow).op(Op::Put).skip_first(2));
    let order = job.order(in_parts());
    let progress = Arc::new(CommitProgress::default());
    let mut going = Box::pin(commit_manifest(&job, &order, &progress));
    // Until it stands still, with its upload begun.
    let given_up = async {
        while job.world.lab.counts().puts < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = &mut going => panic!("{done:?}"),
        () = given_up => {}
    }
    assert_eq!(job.world.lab.objects().uploads(BUCKET).len(), 1);
    drop(going);
    for _ in 0..500 {
        if job.world.lab.objects().uploads(BUCKET).is_empty() {
            assert_eq!(job.stored(), None);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("an upload was left behind");
}

/// Does something whenever an object is looked for.
struct Watched {
    store: Arc<dyn ObjectStore>,
    on_head: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.store)
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            (self.on_head)();
        }
        self.store.get_opts(location, options).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// A commit of a file of `len` bytes that is written to the first `times` times that its content is looked for: after it
/// was hashed, and before it is sent.
async fn while_written(
    len: usize,
    times: u32,
    options: ManifestOptions,
) -> (Job, std::result::Result<(), CommitError>) {
    let job = Job::new(&[("a", b"a")]);
    job.create("dir-file", &vec![0; len]);
    let (writer, written) = (job.clone(), AtomicU32::new(0));
    let on_head = move || {
        let count = written.fetch_add(1, Ordering::Relaxed);
        if count < times {
            writer.write("dir-file", 0, &[count as u8 + 1]);
        }
    };
    let store: Arc<dyn ObjectStore> = Arc::new(Watched {
        store: job.world.source("").store,
        on_head: Box::new(on_head),
    });
    let order = job.order_in(&store, options);
    let done = job.commit_as(&order).await;
    if let Ok(done) = &done {
        assert_eq!(done.stats.again, u64::from(times));
        assert_eq!(done.stats.uploaded_objects, 1);
        job.check_contents(&done.manifest);
    }
    (job, done.map(drop))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_to_meanwhile_is_hashed_again() {
    for (len, options) in [(1000, ManifestOptions::default()), (3 * MIB, in_parts())] {
        let (job, done) = while_written(len, 2, options).await;
        done.unwrap();
        let mut bytes = vec![0; len];
        bytes[0] = 2;
        let key = |bytes: &[u8]| format!("{DATA}/{}", Hash::of(bytes).object_key());
        assert!(job.world.lab.objects().get(BUCKET, &key(&bytes)).is_some());
        // Nothing was stored under the hashes of what is gone.
        for gone in [0, 1] {
            bytes[0] = gone;
            assert!(job.world.lab.objects().get(BUCKET, &key(&bytes)).is_none());
        }
        assert!(job.world.lab.objects().uploads(BUCKET).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_to_all_the_time_is_named() {
    let (job, done) = while_written(1000, u32::MAX, ManifestOptions::default()).await;
    let error = done.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(
        error.to_string().contains("'dir-file' is being written"),
        "{error}"
    );
    assert_eq!(job.stored(), None);
}
