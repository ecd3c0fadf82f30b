use super::*;
use crate::commit::tests::{attrs, new};
use crate::overlay::{Recorded, Rename};
use forebay_types::SystemClock;
use std::sync::Arc;
use tempfile::TempDir;

struct Rig {
    upper: Upper,
    _dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("upper");
        let upper = Upper::open_with_ledger(&path, "base", Arc::new(SystemClock::new())).unwrap();
        Self { upper, _dir: dir }
    }

    /// Makes a lower file of 3 bytes known in the root.
    fn file(&self, name: &str) -> NodeId {
        let origin = Origin {
            path: name.into(),
            version: format!("v of {name}").into(),
            size: 3,
            mtime: 5,
        };
        let root = self.upper.root();
        self.upper
            .adopt_file(root, name.as_bytes(), &origin, attrs(0o644))
            .unwrap()
    }

    fn mv(&self, from: &str, to: &str) {
        let root = self.upper.root();
        let (from, to) = ((root, from.as_bytes()), (root, to.as_bytes()));
        self.upper.rename(from, to, Rename::Replace, true).unwrap();
    }

    fn plan(&self) -> Plan {
        Plan::gather(&self.upper, &BTreeMap::new(), |path| !path.contains('?')).unwrap()
    }
}

/// What is done to which path, sorted.
fn told(plan: &Plan) -> Vec<String> {
    let jobs = plan.jobs.iter().map(|job| {
        let how = match (&job.copy, &job.reads) {
            (Some(from), _) => format!("copy of {}", from.path),
            (None, Some(reads)) => format!("put, with {reads}"),
            (None, None) => "put".to_owned(),
        };
        let expected = job.expected.as_deref().unwrap_or("nothing");
        format!("{}: {how} over {expected}", job.path)
    });
    let deletes = plan
        .deletes
        .iter()
        .map(|(path, version)| format!("{path}: delete {version}"));
    let mut told: Vec<String> = jobs.chain(deletes).collect();
    told.sort();
    told
}

#[test]
fn what_is_known_above_and_not_changed_is_left_alone() {
    let rig = Rig::new();
    rig.file("a");
    rig.mv("a", "b");
    rig.mv("b", "a");
    let plan = rig.plan();
    assert_eq!(told(&plan), [""; 0]);
    assert_eq!((plan.unchanged, plan.stale.len()), (1, 1));
}

#[test]
fn each_path_has_what_it_needs() {
    let rig = Rig::new();
    let root = rig.upper.root();
    for name in ["moved", "partly", "gone", "linked"] {
        rig.file(name);
    }
    rig.mv("moved", "elsewhere");
    let (_, data) = rig.upper.create(root, b"moved", new(0o644)).unwrap();
    data.write_at(0, b"new").unwrap();
    let partly = rig.file("partly");
    rig.upper.data(partly).unwrap().truncate(2).unwrap();
    rig.upper.unlink(root, b"gone", true).unwrap();
    rig.upper.link(rig.file("linked"), root, b"second").unwrap();
    rig.upper.hide_file(root, b"hidden", "v1").unwrap();
    rig.upper.symlink(root, b"link", b"x", new(0o777)).unwrap();
    let bad = rig.file("bad");
    rig.mv("bad", "b?d");
    let plan = rig.plan();
    assert_eq!(
        told(&plan),
        [
            "bad: delete v of bad",
            "elsewhere: copy of moved over nothing",
            "gone: delete v of gone",
            "hidden: delete v1",
            "moved: put over v of moved",
            "partly: put, with partly over v of partly",
            "second: copy of linked over nothing",
        ]
    );
    let left: Vec<_> = plan
        .left_out
        .iter()
        .map(|(path, what)| (&**path, *what))
        .collect();
    assert!(left.contains(&(b"link", LeftOut::Symlink)) && left.contains(&(b"b?d", LeftOut::Name)));
    assert_eq!(plan.keep.iter().map(|kept| kept.id).collect::<Vec<_>>(), [bad]);
}

#[test]
fn a_copy_that_is_noted_is_done() {
    let rig = Rig::new();
    let id = rig.file("a");
    rig.mv("a", "b");
    let job = &rig.plan().jobs[0];
    let origin = Origin {
        path: "b".into(),
        version: "v2".into(),
        ..job.copy.clone().unwrap()
    };
    assert_eq!(
        rig.upper.record_put(id, &origin, job.stamp).unwrap(),
        Recorded::Put
    );
    let plan = rig.plan();
    assert_eq!(told(&plan), ["a: delete v of a"]);
    assert_eq!(plan.unchanged, 1);
    rig.upper.record_hidden("a", None).unwrap();
    assert_eq!(told(&rig.plan()), [""; 0]);
}

#[test]
fn where_names_are_files_or_directories_deletes_come_before() {
    let rig = Rig::new();
    let root = rig.upper.root();
    rig.file("a");
    rig.mv("a", "tmp");
    let dir = rig.upper.mkdir(root, b"a", new(0o755)).unwrap();
    rig.upper
        .rename((root, b"tmp"), (dir, b"b"), Rename::Replace, false)
        .unwrap();
    let plan = rig.plan();
    assert_eq!(told(&plan), ["a/b: copy of a over nothing", "a: delete v of a"]);
    assert_eq!(plan.steps(false).1, [0; 0]);
    let (steps, first) = plan.steps(true);
    assert_eq!((steps.len(), first), (2, vec![0]));
    assert_eq!(steps[0].after, [1]);
}
