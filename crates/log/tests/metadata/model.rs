//! Random work of two writers, a compactor and retention, against a model of a few lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_log::metadata::{Commit, MetadataError, MetadataStore};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ulid::Ulid;

use crate::rig::{LONG, Rig, SqliteRig, at, check, commit_of, compaction_of, create, register, segment};

const PARTITIONS: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    Acquire {
        writer: usize,
        which: usize,
    },
    Release {
        writer: usize,
        which: usize,
    },
    /// A commit by a writer that believes in its last lease, of `records` to each partition of a set, `shift` beside
    /// where they go on.
    Commit {
        writer: usize,
        both: bool,
        which: usize,
        records: u64,
        shift: i64,
        time: i64,
    },
    Again {
        which: usize,
    },
    Compact {
        which: usize,
        from: usize,
        count: usize,
        time: i64,
    },
    Advance {
        which: usize,
        by: u64,
    },
    Expire,
    Forget,
}

fn op() -> impl Strategy<Value = Op> {
    let (writer, which) = (0..2usize, 0..PARTITIONS);
    let shift = prop_oneof![9 => Just(0i64), 1 => -2i64..3];
    prop_oneof![
        2 => (writer.clone(), which.clone()).prop_map(|(writer, which)| Op::Acquire { writer, which }),
        1 => (writer.clone(), which.clone()).prop_map(|(writer, which)| Op::Release { writer, which }),
        10 => (writer, any::<bool>(), which.clone(), 1u64..5, shift, -1i64..30).prop_map(
            |(writer, both, which, records, shift, time)| Op::Commit { writer, both, which, records, shift, time }
        ),
        1 => any::<usize>().prop_map(|which| Op::Again { which }),
        3 => (which.clone(), 0..6usize, 1..4usize, -1i64..30)
            .prop_map(|(which, from, count, time)| Op::Compact { which, from, count, time }),
        2 => (which, 0u64..8).prop_map(|(which, by)| Op::Advance { which, by }),
        1 => Just(Op::Expire),
        1 => Just(Op::Forget),
    ]
}

/// Base offset, next offset, object, time.
type Segment = (u64, u64, Ulid, i64);

#[derive(Default)]
struct Partition {
    log_start: u64,
    next: u64,
    epoch: u64,
    owner: Option<usize>,
    clean: bool,
    segments: Vec<Segment>,
}

struct World {
    stores: [Arc<dyn MetadataStore>; 2],
    names: [Ulid; 2],
    parts: Vec<Partition>,
    /// What each writer believes its epochs to be.
    beliefs: [[u64; PARTITIONS]; 2],
    /// Objects that are in the store's books, and how many segments refer to them; `None` for uploads.
    objects: BTreeMap<Ulid, Option<usize>>,
    committed: Vec<Commit>,
}

impl World {
    async fn apply(&mut self, op: &Op) {
        match *op {
            Op::Acquire { writer, which } => self.acquire(writer, which).await,
            Op::Release { writer, which } => {
                self.stores[writer]
                    .release(self.names[writer], &[at("t", which as u32)])
                    .await
                    .unwrap();
                let part = &mut self.parts[which];
                if part.owner == Some(writer) {
                    (part.owner, part.clean) = (None, true);
                }
            }
            Op::Commit {
                writer,
                both,
                which,
                records,
                shift,
                time,
            } => {
                self.commit(writer, both, which, records, shift, time).await;
            }
            Op::Again { which } => {
                if self.committed.is_empty() {
                    return;
                }
                let commit = &self.committed[which % self.committed.len()];
                let said = self.stores[which % 2].commit_upload(commit).await;
                match self.objects.get(&commit.id) {
                    Some(_) => said.unwrap(),
                    None => assert!(matches!(said.unwrap_err(), MetadataError::UploadDead { .. })),
                }
            }
            Op::Compact {
                which,
                from,
                count,
                time,
            } => self.compact(which, from, count, time).await,
            Op::Advance { which, by } => {
                let part = &mut self.parts[which];
                part.log_start = (part.log_start + by).min(part.next);
                let log_start = part.log_start;
                let dropped: Vec<_> = part
                    .segments
                    .extract_if(.., |segment| segment.1 <= log_start)
                    .collect();
                let told = self.stores[0]
                    .advance_log_start(&at("t", which as u32), log_start)
                    .await
                    .unwrap();
                assert_eq!(told, log_start);
                self.unrefer(&dropped);
            }
            Op::Expire => {
                let pending = self.objects.values().filter(|refs| refs.is_none()).count() as u64;
                assert_eq!(
                    self.stores[1].expire_uploads(Duration::ZERO).await.unwrap(),
                    pending
                );
                for refs in self.objects.values_mut() {
                    refs.get_or_insert(0);
                }
            }
            Op::Forget => {
                let dead = self.stores[0].dead_objects(Duration::ZERO, 1000).await.unwrap();
                let mut ids: Vec<_> = dead.into_iter().map(|object| object.id).collect();
                ids.sort_unstable();
                let expected: Vec<_> = self
                    .objects
                    .iter()
                    .filter(|(_, refs)| **refs == Some(0))
                    .map(|(id, _)| *id)
                    .collect();
                assert_eq!(ids, expected);
                self.stores[1].forget_objects(&ids).await.unwrap();
                self.objects.retain(|_, refs| *refs != Some(0));
            }
        }
    }

    async fn acquire(&mut self, writer: usize, which: usize) {
        let said = self.stores[writer]
            .acquire(self.names[writer], &[at("t", which as u32)], LONG)
            .await;
        let part = &mut self.parts[which];
        match part.owner {
            Some(owner) if owner != writer => {
                assert!(matches!(said.unwrap_err(), MetadataError::Held { .. }));
            }
            owner => {
                let lease = said.unwrap().remove(0);
                part.epoch += 1;
                assert_eq!((lease.epoch, lease.next_offset), (part.epoch, part.next));
                assert_eq!(lease.clean, owner.is_none() && part.clean);
                (part.owner, part.clean) = (Some(writer), false);
                self.beliefs[writer][which] = lease.epoch;
            }
        }
    }

    async fn commit(&mut self, writer: usize, both: bool, which: usize, records: u64, shift: i64, time: i64) {
        let set: Vec<usize> = if both {
            (0..PARTITIONS).collect()
        } else {
            vec![which]
        };
        let mut sections = Vec::new();
        let mut expected = None;
        for n in &set {
            let part = &self.parts[*n];
            let from = part.next.saturating_add_signed(shift);
            let epoch = self.beliefs[writer][*n];
            sections.push(segment(at("t", *n as u32), epoch, from, from + records, time));
            let wrong = match () {
                () if epoch != part.epoch || part.owner.is_none() => "fenced",
                () if from != part.next => "order",
                () => continue,
            };
            expected.get_or_insert(wrong);
        }
        let store = &self.stores[writer];
        let id = register(&**store).await;
        let commit = commit_of(id, sections);
        let said = store.commit_upload(&commit).await;
        match (expected, said) {
            (None, said) => {
                said.unwrap();
                for (n, section) in set.iter().zip(&commit.segments) {
                    self.parts[*n]
                        .segments
                        .push((section.base_offset, section.next_offset, id, time));
                    self.parts[*n].next = section.next_offset;
                }
                self.objects.insert(id, Some(set.len()));
                self.committed.push(commit);
            }
            (Some("fenced"), Err(MetadataError::Fenced { .. }))
            | (Some("order"), Err(MetadataError::OutOfOrder { .. })) => {
                self.objects.insert(id, None);
            }
            (expected, said) => panic!("{expected:?}: {said:?}"),
        }
    }

    async fn compact(&mut self, which: usize, from: usize, count: usize, time: i64) {
        let part = &mut self.parts[which];
        let end = (from + count).min(part.segments.len());
        if from >= end {
            return;
        }
        let store = &self.stores[1];
        let id = register(&**store).await;
        let (base, next) = (part.segments[from].0, part.segments[end - 1].1);
        let replaces = part.segments[from..end]
            .iter()
            .map(|segment| (segment.0, segment.2))
            .collect();
        let new = segment(at("t", which as u32), 0, base, next, time);
        store
            .commit_compaction(&compaction_of(id, new, replaces))
            .await
            .unwrap();
        let dropped: Vec<_> = part
            .segments
            .splice(from..end, [(base, next, id, time)])
            .collect();
        self.objects.insert(id, Some(1));
        self.unrefer(&dropped);
    }

    fn unrefer(&mut self, dropped: &[Segment]) {
        for segment in dropped {
            if let Some(Some(refs)) = self.objects.get_mut(&segment.2) {
                *refs -= 1;
            }
        }
    }

    async fn compare(&self) {
        let store = &self.stores[0];
        for (n, part) in self.parts.iter().enumerate() {
            let t = at("t", n as u32);
            let ends = store
                .partitions(std::slice::from_ref(&t))
                .await
                .unwrap()
                .remove(0);
            assert_eq!(
                (ends.log_start, ends.high_watermark, ends.epoch),
                (part.log_start, part.next, part.epoch)
            );
            assert_eq!(ends.segments, part.segments.len() as u64);
            let all = store
                .segments_from(&[(t.clone(), 0)], 1000)
                .await
                .unwrap()
                .remove(0);
            let all: Vec<Segment> = all
                .iter()
                .map(|s| (s.base_offset, s.next_offset, s.object, s.max_timestamp))
                .collect();
            assert_eq!(all, part.segments);
            // Nothing between the log start and the end is missing.
            let mut covered = part.log_start;
            for offset in part.log_start..part.next {
                let found = store.find_segment_for_offset(&t, offset).await.unwrap().unwrap();
                assert!((found.base_offset..found.next_offset).contains(&offset));
                covered += 1;
            }
            assert_eq!(covered, part.next);
            for time in [-1, 0, 7, 15, 29, 30] {
                let found = store.find_segment_for_timestamp(&t, time).await.unwrap();
                let first = part.segments.iter().find(|segment| segment.3 >= time.max(0));
                assert_eq!(
                    found.map(|segment| segment.base_offset),
                    first.map(|segment| segment.0),
                    "{time}"
                );
            }
        }
    }
}

/// Runs `cases` of random work against new stores.
pub(crate) fn run<R: Rig + 'static>(cases: u32, rig: impl AsyncFn() -> R) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&prop::collection::vec(op(), 1..60), |ops| {
        runtime.block_on(async {
            let rig = rig().await;
            let stores = [rig.open().await, rig.open().await];
            create(&*stores[0], "t", PARTITIONS as u32).await;
            let part = || Partition {
                clean: true,
                ..Partition::default()
            };
            let mut world = World {
                stores,
                names: [Ulid::generate(), Ulid::generate()],
                parts: vec![part(), part()],
                beliefs: [[0; PARTITIONS]; 2],
                objects: BTreeMap::new(),
                committed: Vec::new(),
            };
            for op in &ops {
                world.apply(op).await;
            }
            world.compare().await;
            check(&rig).await;
        });
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn random_work_agrees_with_the_model_in_sqlite() {
    run(40, async || SqliteRig::new());
}
