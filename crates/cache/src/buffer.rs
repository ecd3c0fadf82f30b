//! Memory that O_DIRECT takes: aligned, and in huge pages.

/// 2 MiB: one huge page. The disk takes it in one request, with 4 KiB pages it would be 512 pieces and half as fast.
pub(crate) const DIRECT_BUFFER: usize = 2 << 20;

/// What offsets, lengths and addresses are multiples of: what every file system takes.
pub(crate) const ALIGN: u64 = 4096;

/// One buffer, kept for the life of a thread: first touches of memory cost more than the writes.
#[derive(Debug, Default)]
pub(crate) struct DirectBuffer {
    memory: Vec<u8>,
    start: usize,
}

impl DirectBuffer {
    /// The buffer; made at its first use.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        if self.memory.is_empty() {
            // Twice the size, so that a huge page fits in wherever it begins; what is not touched takes no memory.
            self.memory = vec![0; 2 * DIRECT_BUFFER];
            self.start = self.memory.as_ptr().align_offset(DIRECT_BUFFER);
            advise_huge(&mut self.memory[self.start..self.start + DIRECT_BUFFER]);
        }
        &mut self.memory[self.start..self.start + DIRECT_BUFFER]
    }
}

#[cfg(target_os = "linux")]
fn advise_huge(bytes: &mut [u8]) {
    use rustix::mm::{Advice, madvise};
    // SAFETY: the range is memory of ours, page aligned, and this advice changes no bytes.
    let advised = unsafe { madvise(bytes.as_mut_ptr().cast(), bytes.len(), Advice::LinuxHugepage) };
    if let Err(errno) = advised {
        tracing::debug!(%errno, "no huge pages: direct writes are slower");
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_: &mut [u8]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_aligned_and_stays() {
        let mut buffer = DirectBuffer::default();
        let first = buffer.bytes().as_ptr();
        assert_eq!(first.align_offset(DIRECT_BUFFER), 0);
        assert_eq!(buffer.bytes().len(), DIRECT_BUFFER);
        assert_eq!(buffer.bytes().as_ptr(), first);
    }
}
