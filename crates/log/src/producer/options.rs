//! How a producer writes.

use std::time::Duration;

use forebay_types::ByteSize;

use crate::batch::Codec;

/// When a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When its object is in the bucket and the metadata has it, both durably.
    #[default]
    All,
    /// As soon as it is taken in: a crash or a fault loses it, and nobody is told.
    None,
}

/// How a producer writes.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Bytes of records (before compression) at which what has gathered is cut and uploaded.
    pub batch_bytes: usize,
    /// How long the oldest record waits for others.
    pub linger: Duration,
    /// What batches are compressed with.
    pub codec: Codec,
    /// Bytes of one batch before compression: what a reader decompresses at a time.
    pub record_batch_bytes: usize,
    /// Uploads on their way at a time.
    pub uploads: usize,
    /// Bytes that are taken in and not acknowledged; who sends more waits.
    pub buffer_memory: usize,
    /// When a record counts as written.
    pub acks: Acks,
    /// How long an upload or a commit is tried again.
    pub delivery_timeout: Duration,
    /// How long a lease lasts that is not prolonged: so long is a partition closed to others after a crash.
    pub lease: Duration,
    /// How long a partition is waited for that another producer writes.
    pub lease_wait: Duration,
}

impl Default for ProducerOptions {
    /// 8 MiB or 250 ms: what the field has settled on, four objects a second at most for an idle producer. Eight uploads
    /// hide a PUT of 400 ms behind each other at 160 MB/s, and need the 64 MiB. Batches of 128 KiB: what a cold
    /// poll fetches at least and what is decompressed at a time (256 KiB made it 2 ms longer), large enough for the codecs. A lease of 10 s is prolonged every 2.5 s.
    fn default() -> Self {
        Self {
            batch_bytes: ByteSize::mib(8).bytes() as usize,
            linger: Duration::from_millis(250),
            codec: Codec::Lz4,
            record_batch_bytes: ByteSize::kib(128).bytes() as usize,
            uploads: 8,
            buffer_memory: ByteSize::mib(64).bytes() as usize,
            acks: Acks::All,
            delivery_timeout: Duration::from_secs(120),
            lease: Duration::from_secs(10),
            lease_wait: Duration::from_secs(60),
        }
    }
}

impl ProducerOptions {
    /// [`Self::buffer_memory`] as far as it can be counted.
    pub(super) fn most_buffered(&self) -> usize {
        self.buffer_memory.clamp(1, u32::MAX as usize)
    }
}
