//! Which partition a record goes to.

use super::NewRecord;
use crate::error::Result;
use crate::metadata::MetadataError;
use crate::topic::{TopicName, TopicPartition};

/// Records without a key that go to one partition before the next one has its turn: single ones would make batches of one
/// record each.
const STICKS_FOR: u32 = 1000;

#[derive(Debug)]
pub(super) struct Partitioner {
    partitions: u32,
    turn: u32,
    left: u32,
}

impl Partitioner {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            partitions,
            turn: fastrand::u32(..partitions.max(1)),
            left: STICKS_FOR,
        }
    }

    /// The one that it names; else by its key, as Kafka's producers do; else the one whose turn it is.
    pub(super) fn choose(&mut self, topic: &TopicName, record: &NewRecord) -> Result<u32> {
        if let Some(partition) = record.partition {
            if partition < self.partitions {
                return Ok(partition);
            }
            return Err(MetadataError::UnknownPartition {
                at: TopicPartition::new(topic.clone(), partition),
                partitions: self.partitions,
            }
            .into());
        }
        if let Some(key) = &record.key {
            return Ok((murmur2(key) & 0x7fff_ffff) % self.partitions);
        }
        if self.left == 0 {
            self.left = STICKS_FOR;
            self.turn = (self.turn + 1) % self.partitions;
        }
        self.left -= 1;
        Ok(self.turn)
    }
}

/// MurmurHash2, 32 bits, with the seed that Kafka's Java producer has: the same key goes to the same partition, whoever
/// writes it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (n, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * n);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Kafka's own `Utils.murmur2` (as signed numbers there).
    #[test]
    fn keys_go_where_kafka_sends_them() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn turns_and_names() {
        let topic = TopicName::new("t").expect("a good name");
        let mut partitioner = Partitioner::new(3);
        let mut counts = [0; 3];
        for _ in 0..3 * STICKS_FOR {
            counts[partitioner
                .choose(&topic, &NewRecord::default())
                .expect("there is one") as usize] += 1;
        }
        assert_eq!(counts, [STICKS_FOR; 3]);
        let named = NewRecord::default().partition(2);
        assert_eq!(partitioner.choose(&topic, &named).expect("it is there"), 2);
        let error = partitioner
            .choose(&topic, &NewRecord::default().partition(3))
            .expect_err("there is none");
        assert!(error.to_string().contains("no partition 3 (it has 3"), "{error}");
    }
}
