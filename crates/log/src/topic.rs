//! Names of topics and partitions.

use std::fmt;
use std::sync::Arc;

use forebay_types::printable;

/// Longest name of a topic, as Kafka has it.
const MAX_NAME: usize = 249;

/// The name of a topic: 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, not `.` and not `..` (Kafka's rule; such a name
/// is safe in a key, a path and a terminal).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// A name that no topic can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no name for a topic: {why}", printable(.name))]
pub struct InvalidTopic {
    name: String,
    why: &'static str,
}

impl TopicName {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`InvalidTopic`] says which rule it breaks.
    pub fn new(name: &str) -> Result<Self, InvalidTopic> {
        let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let why = match name {
            "" => "it is empty",
            "." | ".." => "it is a directory's",
            _ if name.len() > MAX_NAME => "it is longer than 249 characters",
            _ if !name.bytes().all(legal) => "only a-z, A-Z, 0-9, '.', '_' and '-' may stand in one",
            _ => return Ok(Self(name.into())),
        };
        Err(InvalidTopic {
            name: name.to_owned(),
            why,
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for TopicName {
    type Err = InvalidTopic;

    fn from_str(name: &str) -> Result<Self, InvalidTopic> {
        Self::new(name)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One partition of a topic: what has an order and offsets of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// Which of its partitions, from 0 on.
    pub partition: u32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: TopicName, partition: u32) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl serde::Serialize for TopicName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for TopicName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}
