//! How far away the lab pretends to be.

use std::time::Duration;

/// Latency and bandwidth that every request gets without any fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in reports.
    pub name: &'static str,
    /// From the receipt of a request's head to the first byte of its answer; every request pays it.
    pub first_byte: Duration,
    /// The pace of each connection, both ways; `None` for as fast as it goes. Units: 10^6 bytes are 1 MB.
    pub bytes_per_second_per_connection: Option<u64>,
}

impl Profile {
    /// What S3 gives: 30 ms and 90 MB/s.
    pub const STANDARD: Self = Self::of("standard", Duration::from_millis(30), Some(90_000_000));

    /// Nothing between the two sides but the loopback device.
    pub const LOOPBACK: Self = Self::of("loopback", Duration::ZERO, None);

    /// A profile by its figures.
    pub const fn of(name: &'static str, first_byte: Duration, bytes_per_second: Option<u64>) -> Self {
        Self {
            name,
            first_byte,
            bytes_per_second_per_connection: bytes_per_second,
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::LOOPBACK
    }
}
