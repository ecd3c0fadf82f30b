//! The memory that direct writes come from.

use forebay_disk::{Buffer, Pool};
use rustix::io::Errno;

/// 2 MiB: one huge page. The disk takes it in one request, with 4 KiB pages it would be 512 pieces and half as fast.
pub(crate) const DIRECT_BUFFER: usize = 2 << 20;

/// What offsets, lengths and addresses are multiples of: what every file system takes.
pub(crate) const ALIGN: u64 = 4096;

/// One buffer, kept for the life of a thread: first touches of memory cost more than the writes.
#[derive(Debug, Default)]
pub(crate) struct DirectBuffer {
    memory: Option<Buffer>,
}

impl DirectBuffer {
    /// The buffer; made at its first use, out of no pool.
    pub(crate) fn bytes(&mut self) -> Result<&mut [u8], Errno> {
        if self.memory.is_none() {
            let made = Pool::new(0, None).take(DIRECT_BUFFER, ALIGN as usize);
            self.memory = Some(made.map_err(|_| Errno::NOMEM)?);
        }
        Ok(self.memory.as_mut().map_or(&mut [], AsMut::as_mut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_aligned_and_stays() {
        let mut buffer = DirectBuffer::default();
        let first = buffer.bytes().unwrap().as_ptr();
        assert_eq!(first.align_offset(DIRECT_BUFFER), 0);
        assert_eq!(buffer.bytes().unwrap().len(), DIRECT_BUFFER);
        assert_eq!(buffer.bytes().unwrap().as_ptr(), first);
    }
}
