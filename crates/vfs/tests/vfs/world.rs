//! A lab or a directory, and a tree over it whose time stands still until it is moved.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use forebay_range::{RangeEngineConfig, Target};
use forebay_source::{Opener, Source, SourceOptions};
pub(crate) use forebay_testkit::within;
use forebay_testkit::{Content, Face, Lab, Profile, init_logging};
use forebay_types::ManualClock;
use forebay_vfs::{
    Attr, BucketNamespace, Changes, DirPath, DirSnapshot, Entry, FileMeta, Freshness, Ino, Kind, Namespace,
    Node, Notice, Tree, TreeOptions, VfsError,
};

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A little more than names are believed.
pub(crate) const LATER: Duration = Duration::from_millis(1001);

/// A lab with a bucket.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) opener: Opener,
    pub(crate) clock: ManualClock,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(Profile::LOOPBACK, Face::Fast)
    }

    pub(crate) fn at(profile: Profile, face: Face) -> Self {
        init_logging();
        let lab = Lab::builder()
            .profile(profile)
            .face(face)
            .bucket(BUCKET)
            .record_keys(true)
            .start()
            .unwrap();
        let options = SourceOptions {
            cloud: forebay_testkit::s3_settings(&lab.endpoint()),
            ..SourceOptions::default()
        };
        Self {
            opener: Opener::new(options),
            lab,
            clock: ManualClock::default(),
        }
    }

    pub(crate) fn put(&self, key: &str, content: &'static str) {
        self.lab.objects().put(BUCKET, key, content);
    }

    pub(crate) fn put_all(&self, keys: &[&str]) {
        for key in keys {
            self.put(key, "x");
        }
    }

    /// `count` keys below a prefix, in order.
    pub(crate) fn put_many(&self, prefix: &str, count: u64) {
        for n in 0..count {
            let key = format!("{prefix}{n:06}");
            self.lab.objects().put(BUCKET, &key, Content::pattern(0, n));
        }
    }

    pub(crate) fn delete(&self, key: &str) {
        assert!(self.lab.objects().delete(BUCKET, key), "{key}");
    }

    pub(crate) fn source(&self, key: &str) -> Source {
        let url = format!("s3://{BUCKET}/{key}");
        self.opener.open(&url.parse().unwrap()).unwrap()
    }

    /// The whole bucket.
    pub(crate) fn tree(&self) -> Tree {
        self.tree_with(TreeOptions::default())
    }

    pub(crate) fn tree_with(&self, options: TreeOptions) -> Tree {
        self.tree_of(namespace(self.source("")), options)
    }

    pub(crate) fn tree_of(&self, namespace: BucketNamespace, options: TreeOptions) -> Tree {
        Tree::new(Arc::new(namespace), options, Arc::new(self.clock.clone()))
    }

    /// HEADs and listings (pages of them) since this was asked last.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let counts = self.lab.counts();
        self.lab.reset_counts();
        (counts.heads, counts.lists)
    }
}

pub(crate) fn config() -> Arc<RangeEngineConfig> {
    Arc::new(RangeEngineConfig::default())
}

pub(crate) fn namespace(source: Source) -> BucketNamespace {
    BucketNamespace::prefix(source, config())
}

pub(crate) async fn lookup(tree: &Tree, parent: Ino, name: &str) -> Result<Attr, VfsError> {
    within(tree.lookup(parent, OsStr::new(name))).await
}

/// As the session threads of a mount do it.
pub(crate) fn try_lookup(tree: &Tree, parent: Ino, name: &str) -> Option<Result<Attr, VfsError>> {
    tree.try_lookup(parent, OsStr::new(name))
}

/// Down from the root, one name at a time.
pub(crate) async fn walk(tree: &Tree, path: &str) -> Result<Attr, VfsError> {
    let mut parent = Ino::ROOT;
    let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
    for name in above.split('/').filter(|name| !name.is_empty()) {
        parent = lookup(tree, parent, name).await?.ino;
    }
    lookup(tree, parent, last).await
}

/// It is not there.
pub(crate) fn absent<T: std::fmt::Debug>(answer: &Result<T, VfsError>) -> bool {
    matches!(answer, Err(VfsError::NotFound { .. }))
}

pub(crate) fn stale<T: std::fmt::Debug>(answer: &Result<T, VfsError>) -> bool {
    matches!(answer, Err(VfsError::Stale { .. }))
}

/// The names of a directory, with a `/` behind those of directories.
pub(crate) async fn ls(tree: &Tree, dir: Ino) -> Vec<String> {
    shown(&within(tree.read_dir(dir)).await.unwrap())
}

pub(crate) fn shown(snapshot: &DirSnapshot) -> Vec<String> {
    snapshot
        .iter_from(0)
        .map(|entry| match entry.kind {
            Kind::Dir => format!("{}/", entry.name),
            Kind::File | Kind::Symlink => entry.name.to_owned(),
        })
        .collect()
}

/// All notices so far.
pub(crate) fn heard(changes: &mut Changes) -> Vec<Notice> {
    std::iter::from_fn(|| changes.try_recv()).collect()
}

pub(crate) fn entry_notice(parent: Ino, name: &str) -> Notice {
    Notice::Entry {
        parent,
        name: name.into(),
    }
}

/// A namespace whose answers a test gives, one after the other.
#[derive(Debug)]
pub(crate) struct Oracle {
    questions: tokio::sync::mpsc::UnboundedSender<Question>,
}

/// What was asked, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Question {
    List(tokio::sync::oneshot::Sender<Result<Vec<Entry>, VfsError>>),
    Look(String, tokio::sync::oneshot::Sender<Option<Node>>),
}

impl Question {
    pub(crate) fn list(self, entries: Vec<Entry>) {
        match self {
            Self::List(answer) => answer.send(Ok(entries)).unwrap(),
            Self::Look(name, _) => panic!("a look for {name}"),
        }
    }

    /// Whether nobody waits for the answer.
    pub(crate) fn is_given_up(&self) -> bool {
        match self {
            Self::List(answer) => answer.is_closed(),
            Self::Look(_, answer) => answer.is_closed(),
        }
    }

    pub(crate) fn look(self, expected: &str, node: Option<Node>) {
        match self {
            Self::Look(name, answer) => {
                assert_eq!(name, expected);
                answer.send(node).unwrap();
            }
            Self::List(_) => panic!("a listing"),
        }
    }
}

/// A tree, and what it asks.
pub(crate) fn oracle(
    options: TreeOptions,
    clock: &ManualClock,
) -> (Tree, tokio::sync::mpsc::UnboundedReceiver<Question>) {
    let (questions, asked) = tokio::sync::mpsc::unbounded_channel();
    let tree = Tree::new(Arc::new(Oracle { questions }), options, Arc::new(clock.clone()));
    (tree, asked)
}

/// A file of that version.
pub(crate) fn file(tag: &str) -> Node {
    Node::File(FileMeta {
        size: 1,
        modified: SECOND,
        version: forebay_types::Version::ETag(tag.into()),
        executable: false,
    })
}

pub(crate) fn entry(name: &str, node: Node) -> Entry {
    Entry {
        name: name.into(),
        node,
    }
}

#[async_trait::async_trait]
impl Namespace for Oracle {
    async fn list(&self, _dir: &DirPath) -> Result<Vec<Entry>, VfsError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.questions.send(Question::List(answer)).unwrap();
        answered.await.unwrap()
    }

    async fn look(&self, _dir: &DirPath, name: &str, _was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.questions
            .send(Question::Look(name.to_owned(), answer))
            .unwrap();
        Ok(answered.await.unwrap())
    }

    fn target(&self, _dir: &DirPath, _name: &str, _meta: &FileMeta) -> Target {
        panic!("nothing is opened")
    }

    fn freshness(&self) -> Freshness {
        Freshness::Ttl(SECOND)
    }
}
