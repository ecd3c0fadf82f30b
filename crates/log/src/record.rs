//! What a consumer gets.

use bytes::Bytes;

/// One record of a partition. Its bytes are slices of the batch that it came in: keeping a record keeps its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: u64,
    /// Milliseconds since 1970 as its producer said, or -1 if it said nothing. In no order.
    pub timestamp: i64,
    /// The key. `None` is no key; an empty key is another thing.
    pub key: Option<Bytes>,
    /// The value; empty if it is null, see [`Self::tombstone`].
    pub value: Bytes,
    /// Whether the value is null, which to Kafka's users means that the key was deleted.
    pub tombstone: bool,
    /// Headers, in their order; a name may come twice.
    pub headers: Vec<Header>,
}

/// A name and a value that travel beside a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name: UTF-8 by Kafka's rules, which not all producers keep.
    pub name: Bytes,
    /// Its value; `None` is null.
    pub value: Option<Bytes>,
}
