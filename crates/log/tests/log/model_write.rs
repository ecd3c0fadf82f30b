//! Everything at random: what was acknowledged is there, once, in order, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use forebay_log::{Log, LogOptions, MaintainOptions, Producer, ProducerOptions, TopicName, TopicPartition};
use forebay_testkit::{FaultKind, Op, Rule};
use proptest::prelude::*;

use crate::records::{create, read_all, send, short};
use crate::spy::{Act, Spy};
use crate::world::{World, fresh_metadata, within};

#[derive(Clone, Debug)]
enum Step {
    /// So many records to each partition, as one flush or several.
    Produce {
        records: u64,
        flushes: u64,
    },
    /// A call to the metadata goes wrong while that is done.
    Trap {
        call: &'static str,
        act: Act,
        records: u64,
    },
    /// An upload is refused.
    Refuse {
        records: u64,
    },
    /// The process is gone, another takes over.
    Crash,
    /// Another producer writes beside it.
    Beside {
        records: u64,
    },
    Maintain {
        segments: usize,
        bytes: u64,
    },
    Retain {
        share: f64,
    },
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop::sample::select(vec![
        "acquire",
        "register_upload",
        "commit_upload",
        "renew",
        "release",
        "abandon_upload",
    ]);
    let act = prop::sample::select(vec![Act::Fail, Act::LoseAnswer, Act::Hang, Act::HangAfter]);
    prop_oneof![
        5 => (1..20_u64, 1..5_u64).prop_map(|(records, flushes)| Step::Produce { records, flushes }),
        4 => (call, act, 1..20_u64).prop_map(|(call, act, records)| Step::Trap { call, act, records }),
        2 => (1..20_u64).prop_map(|records| Step::Refuse { records }),
        2 => Just(Step::Crash),
        1 => (1..20_u64).prop_map(|records| Step::Beside { records }),
        3 => (2..6_usize, 1000..100_000_u64).prop_map(|(segments, bytes)| Step::Maintain { segments, bytes }),
        1 => (0.0..1.0).prop_map(|share| Step::Retain { share }),
        2 => Just(Step::Recover),
    ]
}

const PARTITIONS: u32 = 2;

struct Model {
    world: World,
    metadata: std::sync::Arc<Spy>,
    log: Log,
    topic: TopicName,
    producer: Producer,
    /// By partition and offset.
    acknowledged: BTreeMap<(u32, u64), String>,
    /// May be there, once, or not.
    perhaps: BTreeSet<String>,
    count: u64,
}

fn options() -> ProducerOptions {
    ProducerOptions {
        lease: Duration::from_millis(150),
        delivery_timeout: Duration::from_millis(200),
        ..short()
    }
}

impl Model {
    async fn new() -> Self {
        let world = World::new();
        let metadata = Spy::on(world.metadata().await);
        let log = world.log_with("0", metadata.clone(), LogOptions::default());
        let topic = create(&log, "t", PARTITIONS).await;
        let producer = Producer::new(&log, options());
        Self {
            world,
            metadata,
            log,
            topic,
            producer,
            acknowledged: BTreeMap::new(),
            perhaps: BTreeSet::new(),
            count: 0,
        }
    }

    async fn produce(&mut self, producer: Option<&Producer>, records: u64) {
        let producer = producer.unwrap_or(&self.producer);
        let mut sent = Vec::new();
        for _ in 0..records {
            for partition in 0..PARTITIONS {
                let value = format!("{:06} of {partition}", self.count);
                self.count += 1;
                sent.push((
                    partition,
                    value.clone(),
                    send(producer, &self.topic, partition, &value).await,
                ));
            }
        }
        let _ = within(producer.flush()).await;
        for (partition, value, delivery) in sent {
            match within(delivery.wait()).await {
                Ok(delivered) => {
                    let at = (partition, delivered.offset.unwrap());
                    assert_eq!(self.acknowledged.insert(at, value), None, "{at:?} is given twice");
                }
                Err(_) => {
                    self.perhaps.insert(value);
                }
            }
        }
    }

    async fn step(&mut self, step: Step, n: usize) {
        match step {
            Step::Produce { records, flushes } => {
                for _ in 0..flushes {
                    self.produce(None, records).await;
                }
            }
            Step::Trap { call, act, records } => {
                self.metadata.trap(call, act, 1);
                self.produce(None, records).await;
                self.metadata.clear();
            }
            Step::Refuse { records } => {
                let refused = FaultKind::Status {
                    code: 403,
                    retry_after: None,
                };
                self.world
                    .lab
                    .faults()
                    .add(Rule::new(refused).op(Op::Put).times(1));
                self.produce(None, records).await;
                self.world.lab.faults().clear();
            }
            Step::Crash => {
                // With something on its way.
                self.metadata.trap("commit_upload", Act::Hang, 1);
                let value = format!("{:06} of 0", self.count);
                self.count += 1;
                send(&self.producer, &self.topic, 0, &value).await;
                self.perhaps.insert(value);
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.metadata.clear();
                let crashed = std::mem::replace(&mut self.producer, Producer::new(&self.log, options()));
                std::mem::forget(crashed);
            }
            Step::Beside { records } => {
                let other = Producer::new(&self.log, options());
                self.produce(Some(&other), records).await;
                let _ = within(other.close()).await;
            }
            Step::Maintain { segments, bytes } => {
                let options = MaintainOptions {
                    min_segments: segments,
                    segment_bytes: bytes,
                    grace: Duration::ZERO,
                    ..MaintainOptions::default()
                };
                let done = within(self.log.maintain(&options)).await.unwrap();
                assert_eq!(done.problems, Vec::<String>::new());
            }
            Step::Retain { share } => {
                let at = TopicPartition::new(self.topic.clone(), 0);
                let found = self
                    .log
                    .metadata()
                    .segments_from(&[(at.clone(), 0)], 1000)
                    .await
                    .unwrap();
                let nth = (found[0].len() as f64 * share) as usize;
                if let Some(segment) = found[0].get(nth) {
                    self.log
                        .metadata()
                        .advance_log_start(&at, segment.base_offset)
                        .await
                        .unwrap();
                }
            }
            Step::Recover => {
                let _ = within(self.producer.close()).await;
                self.check().await;
                self.metadata = Spy::on(fresh_metadata(&self.world, &format!("metadata {n}")).await);
                self.log = self
                    .world
                    .log_with(&n.to_string(), self.metadata.clone(), LogOptions::default());
                within(self.log.recover(false)).await.unwrap();
                self.producer = Producer::new(&self.log, options());
                self.check().await;
            }
        }
    }

    async fn check(&self) {
        let ends = self.log.metadata().partitions_of(&self.topic).await.unwrap();
        let mut seen = BTreeSet::new();
        for ends in ends {
            let partition = ends.at.partition;
            let mut found = BTreeMap::new();
            let mut next = ends.log_start;
            for record in read_all(&self.log, &self.topic, partition).await {
                assert!(record.offset >= next, "in order");
                next = record.offset + 1;
                let value = String::from_utf8(record.value.to_vec()).unwrap();
                assert!(seen.insert(value.clone()), "{value} is there twice");
                found.insert((partition, record.offset), value);
            }
            let from = (partition, ends.log_start);
            let to = (partition, u64::MAX);
            for (at, value) in self.acknowledged.range(from..to) {
                assert_eq!(found.remove(at).as_ref(), Some(value), "{at:?}, acknowledged");
            }
            for (at, value) in found {
                assert!(
                    self.perhaps.contains(&value),
                    "{value} at {at:?} comes from nowhere"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_there_once_and_in_order(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for (n, step) in (1..).zip(steps) {
                model.step(step, n).await;
            }
            let _ = within(model.producer.close()).await;
            model.check().await;
        });
        runtime.shutdown_background();
    }
}
