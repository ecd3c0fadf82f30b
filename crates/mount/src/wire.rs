//! Numbers and names out of a request, and into an answer. The kernel speaks in the byte order of the machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// A request that is shorter than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

/// A point in time, since 1970 or before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    /// Below a thousand million, and always forward.
    pub(crate) nanos: u32,
}

impl From<Duration> for Time {
    /// Since 1970.
    fn from(since: Duration) -> Self {
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        }
    }
}

/// The rest of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a>(pub(crate) &'a [u8]);

impl<'a> Words<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Cut> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Cut> {
        let bytes = self.take(4)?;
        Ok(u32::from_ne_bytes(bytes.try_into().map_err(|_| Cut)?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Cut> {
        let bytes = self.take(8)?;
        Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| Cut)?))
    }

    /// A name that ends with a zero byte.
    pub(crate) fn name(&mut self) -> Result<&'a OsStr, Cut> {
        let len = self.0.iter().position(|byte| *byte == 0).ok_or(Cut)?;
        let name = self.take(len + 1)?;
        Ok(OsStr::from_bytes(&name[..len]))
    }
}

/// An answer in the making.
#[derive(Debug, Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Zeros up to a multiple of `unit`.
    pub(crate) fn pad(mut self, unit: usize) -> Self {
        let len = self.0.len().next_multiple_of(unit);
        self.0.resize(len, 0);
        self
    }

    pub(crate) fn zeros(mut self, count: usize) -> Self {
        let len = self.0.len() + count;
        self.0.resize(len, 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let out = Out::default().u32(7).u64(1 << 40).bytes(b"name\0").u16(3).pad(8);
        assert_eq!(out.0.len() % 8, 0);
        let mut words = Words(&out.0);
        assert_eq!(words.u32(), Ok(7));
        assert_eq!(words.u64(), Ok(1 << 40));
        assert_eq!(words.name(), Ok(OsStr::new("name")));
    }

    #[test]
    fn what_is_cut_is_told() {
        assert_eq!(Words(&[1, 2, 3]).u32(), Err(Cut));
        assert_eq!(Words(b"no end").name(), Err(Cut));
        let mut words = Words(&[0; 8]);
        assert_eq!(words.u64(), Ok(0));
        assert_eq!(words.u64(), Err(Cut));
    }
}
