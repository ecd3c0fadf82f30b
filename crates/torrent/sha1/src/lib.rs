//! SHA-1 under the names by which librqbit 9.1 knows it. Pieces of torrents are named by it (BEP 3), nothing is signed.

use sha1::Digest;

/// A hash that is fed piece by piece.
pub trait ISha1 {
    /// Of nothing yet.
    fn new() -> Self;
    /// More of what is hashed.
    fn update(&mut self, buf: &[u8]);
    /// What comes of it.
    fn finish(self) -> [u8; 20];
}

/// The one there is.
pub struct Sha1(sha1::Sha1);

impl ISha1 for Sha1 {
    fn new() -> Self {
        Self(sha1::Sha1::new())
    }

    fn update(&mut self, buf: &[u8]) {
        self.0.update(buf);
    }

    fn finish(self) -> [u8; 20] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_standard_says() {
        // FIPS 180-2, appendix A.
        let mut hash = Sha1::new();
        hash.update(b"a");
        hash.update(b"bc");
        let expected = [
            0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c,
            0x9c, 0xd0, 0xd8, 0x9d,
        ];
        assert_eq!(hash.finish(), expected);
    }
}
