//! Where the log's objects lie in a bucket.
//!
//! ```text
//! {prefix}/flush/{ulid}.seg                                      one flush, several partitions
//! {prefix}/{topic}/{partition:05}/{base_offset:020}-{ulid}.seg   compacted, one partition
//! {prefix}/snapshot/{ulid}.json                                  what the bucket's segments do not tell
//! {prefix}/fence/{ulid}.json                                     who may write no more
//! ```
//!
//! The numbers have leading zeros, so that a listing is in the order of offsets; ULIDs are in the order of their time.
//! A topic may be called `flush`, `snapshot` or `fence`: its segments lie one level deeper than anything else.
//! Slashes at the ends of a prefix mean nothing; an empty one is the bucket itself.

use ulid::Ulid;

use crate::topic::{TopicName, TopicPartition};

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A flush, by its name.
    Flush(Ulid),
    /// A compacted segment.
    Segment {
        /// Whose records it has.
        at: TopicPartition,
        /// The offset of the first of them.
        base_offset: u64,
        /// Its name.
        id: Ulid,
    },
    /// A snapshot of the metadata.
    Snapshot(Ulid),
    /// A fence.
    Fence(Ulid),
}

/// The key of a flush.
pub fn flush_key(prefix: &str, id: Ulid) -> String {
    below(prefix, &format!("flush/{id}.seg"))
}

/// The key of a compacted segment of `at` whose first record has the offset `base_offset`.
pub fn segment_key(prefix: &str, at: &TopicPartition, base_offset: u64, id: Ulid) -> String {
    let TopicPartition { topic, partition } = at;
    below(
        prefix,
        &format!("{topic}/{partition:05}/{base_offset:020}-{id}.seg"),
    )
}

/// The key of a snapshot of the metadata.
pub fn snapshot_key(prefix: &str, id: Ulid) -> String {
    below(prefix, &format!("snapshot/{id}.json"))
}

/// The key of a fence.
pub fn fence_key(prefix: &str, id: Ulid) -> String {
    below(prefix, &format!("fence/{id}.json"))
}

/// What `key` names, if it is one that the functions above make with this `prefix`, letter by letter.
pub fn parse(prefix: &str, key: &str) -> Option<Parsed> {
    let rest = match prefix.trim_matches('/') {
        "" => key,
        prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    let mut parts = rest.split('/');
    let parsed = match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
        ("flush", name, None, None) => Parsed::Flush(id(name.strip_suffix(".seg")?)?),
        ("snapshot", name, None, None) => Parsed::Snapshot(id(name.strip_suffix(".json")?)?),
        ("fence", name, None, None) => Parsed::Fence(id(name.strip_suffix(".json")?)?),
        (topic, partition, Some(name), None) => {
            let (base_offset, ulid) = name.strip_suffix(".seg")?.split_once('-')?;
            Parsed::Segment {
                at: TopicPartition::new(TopicName::new(topic).ok()?, partition.parse().ok()?),
                base_offset: base_offset.parse().ok()?,
                id: id(ulid)?,
            }
        }
        _ => return None,
    };
    // `+7`, `007` and small letters are numbers and names as well, but not of ours: two keys would mean the same.
    (parsed.key(prefix) == key).then_some(parsed)
}

impl Parsed {
    /// The key again, below `prefix`.
    pub fn key(&self, prefix: &str) -> String {
        match self {
            Self::Flush(id) => flush_key(prefix, *id),
            Self::Segment { at, base_offset, id } => segment_key(prefix, at, *base_offset, *id),
            Self::Snapshot(id) => snapshot_key(prefix, *id),
            Self::Fence(id) => fence_key(prefix, *id),
        }
    }
}

fn id(text: &str) -> Option<Ulid> {
    Ulid::from_string(text).ok()
}

fn below(prefix: &str, rest: &str) -> String {
    match prefix.trim_matches('/') {
        "" => rest.to_owned(),
        prefix => format!("{prefix}/{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(topic: &str, partition: u32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), partition)
    }

    #[test]
    fn keys_are_what_the_documentation_says() {
        let id = Ulid::from_string("01HF7YAT00ABCDEFGHJKMNPQRS").unwrap();
        assert_eq!(flush_key("logs", id), "logs/flush/01HF7YAT00ABCDEFGHJKMNPQRS.seg");
        assert_eq!(
            segment_key("a/b", &at("flush", 7), 42, id),
            "a/b/flush/00007/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg"
        );
        assert_eq!(snapshot_key("", id), "snapshot/01HF7YAT00ABCDEFGHJKMNPQRS.json");
        assert_eq!(
            fence_key("/logs/", id),
            "logs/fence/01HF7YAT00ABCDEFGHJKMNPQRS.json"
        );
        assert_eq!(
            segment_key("", &at("t", u32::MAX), u64::MAX, id),
            "t/4294967295/18446744073709551615-01HF7YAT00ABCDEFGHJKMNPQRS.seg"
        );
    }

    #[test]
    fn other_keys_are_not_ours() {
        let good = "p/t/00001/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg";
        assert!(parse("p", good).is_some());
        for bad in [
            "",
            "p",
            "p/",
            "p/flush",
            "p/flush/",
            "p/flush/.seg",
            "p/flush/01HF7YAT00ABCDEFGHJKMNPQRS",
            "p/flush/01HF7YAT00ABCDEFGHJKMNPQRS.json",
            "p/flush/01hf7yat00abcdefghjkmnpqrs.seg",
            "p/flush/81HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/flush/01HF7YAT00ABCDEFGHJKMNPQR.seg",
            "p/flush/01HF7YAT00ABCDEFGHJKMNPQRé.seg",
            "p/flush//01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/snapshot/01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/other/01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "q/flush/01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "pp/flush/01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "/p/flush/01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/1/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/+0001/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/000001/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/4294967296/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/00001/42-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/00001/18446744073709551616-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t/00001/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg/x",
            "p/../00001/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
            "p/t t/00001/00000000000000000042-01HF7YAT00ABCDEFGHJKMNPQRS.seg",
        ] {
            assert_eq!(parse("p", bad), None, "{bad}");
        }
    }

    fn any_parsed() -> impl Strategy<Value = Parsed> {
        let id = || any::<u128>().prop_map(|bits| Ulid::from_bytes(bits.to_be_bytes()));
        let topic = prop_oneof!["flush|snapshot|fence", "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,30}"];
        prop_oneof![
            id().prop_map(Parsed::Flush),
            id().prop_map(Parsed::Snapshot),
            id().prop_map(Parsed::Fence),
            (topic, any::<u32>(), any::<u64>(), id()).prop_map(|(topic, partition, base_offset, id)| {
                Parsed::Segment {
                    at: at(&topic, partition),
                    base_offset,
                    id,
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_made(parsed in any_parsed(), prefix in "(|[a-z/]{1,12}|flush|flush/00000)") {
            let key = parsed.key(&prefix);
            prop_assert_eq!(parse(&prefix, &key), Some(parsed), "{}", key);
        }

        #[test]
        fn any_text_is_refused_without_panic(prefix in ".{0,4}", key in ".{0,80}") {
            if let Some(parsed) = parse(&prefix, &key) {
                prop_assert_eq!(parsed.key(&prefix), key);
            }
        }

        #[test]
        fn listings_are_in_the_order_of_offsets(a in any::<u64>(), b in any::<u64>()) {
            let at = at("t", 3);
            let key = |offset| segment_key("p", &at, offset, Ulid::nil());
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }
}
