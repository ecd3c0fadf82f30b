//! What the bytes of a content must come to: the hash that it is named by, or those of its chunks.

use std::fmt;
use std::sync::Arc;

use forebay_manifest::{Hash, Hasher};
use forebay_source::Chunks;
use forebay_types::{Check, Proof};

/// A content of one chunk or several.
#[derive(Clone)]
pub(crate) struct ContentProof(Arc<Expected>);

struct Expected {
    /// Bytes of each chunk, but for the last.
    chunk_size: u64,
    /// Of each chunk.
    hashes: Box<[Hash]>,
}

impl ContentProof {
    /// Of the object `key` with so many bytes. `None` if its name is no hash.
    pub(crate) fn of(key: &str, size: u64, chunks: Option<Arc<Chunks>>) -> Option<Arc<dyn Proof>> {
        let expected = match chunks {
            Some(chunks) => Expected {
                chunk_size: chunks.chunk_size,
                hashes: chunks
                    .names
                    .iter()
                    .map(|name| hash_of(name))
                    .collect::<Option<_>>()?,
            },
            None => Expected {
                chunk_size: size.max(1),
                hashes: [hash_of(key)?].into(),
            },
        };
        Some(Arc::new(Self(Arc::new(expected))))
    }
}

/// The hash in the name of an object.
fn hash_of(key: &str) -> Option<Hash> {
    key.strip_suffix(".xxh128")?.parse().ok()
}

impl Proof for ContentProof {
    fn begin(&self) -> Box<dyn Check> {
        Box::new(ContentCheck {
            expected: self.0.clone(),
            hasher: Hasher::new(),
            in_chunk: 0,
            chunk: 0,
            right: true,
        })
    }
}

impl fmt::Debug for ContentProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentProof({} hashes)", self.0.hashes.len())
    }
}

/// A check under way.
struct ContentCheck {
    expected: Arc<Expected>,
    /// Of the chunk that bytes come of.
    hasher: Hasher,
    /// Bytes of it so far.
    in_chunk: u64,
    /// Which chunk.
    chunk: usize,
    /// Whether all chunks before it were right.
    right: bool,
}

impl ContentCheck {
    /// The chunk has all its bytes.
    fn next(&mut self) {
        let hash = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        self.right &= self.expected.hashes.get(self.chunk) == Some(&hash);
        self.chunk += 1;
        self.in_chunk = 0;
    }
}

impl Check for ContentCheck {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.expected.chunk_size - self.in_chunk;
            let (here, rest) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.hasher.update(here);
            self.in_chunk += here.len() as u64;
            bytes = rest;
            if self.in_chunk == self.expected.chunk_size {
                self.next();
            }
        }
    }

    fn is_right(mut self: Box<Self>) -> bool {
        // A last chunk that is shorter; or a content of no bytes, which has a hash too.
        if self.in_chunk > 0 || self.chunk == 0 {
            self.next();
        }
        self.right && self.chunk == self.expected.hashes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(chunk_size: u64, parts: &[&[u8]]) -> Arc<Chunks> {
        Arc::new(Chunks {
            size: parts.iter().map(|part| part.len() as u64).sum(),
            chunk_size,
            names: parts
                .iter()
                .map(|part| Hash::of(part).object_key().into())
                .collect(),
        })
    }

    fn check(proof: &Arc<dyn Proof>, bytes: &[u8], step: usize) -> bool {
        let mut check = proof.begin();
        bytes.chunks(step).for_each(|piece| check.take(piece));
        check.is_right()
    }

    #[test]
    fn a_content_is_right_however_it_comes() {
        for bytes in [&b""[..], b"a", b"abcdefgh"] {
            let key = Hash::of(bytes).object_key();
            let proof = ContentProof::of(&key, bytes.len() as u64, None).unwrap();
            for step in 1..10 {
                assert!(check(&proof, bytes, step));
                assert!(!check(&proof, b"abcdefgi", step));
                assert!(!check(&proof, &[bytes, b"x"].concat(), step));
            }
        }
        let several = chunks(3, &[b"abc", b"def", b"gh"]);
        let proof = ContentProof::of("any.chunks", 8, Some(several)).unwrap();
        for step in 1..10 {
            assert!(check(&proof, b"abcdefgh", step));
            for wrong in [
                &b"abcdefg"[..],
                b"abcdefghi",
                b"xbcdefgh",
                b"abcdxfgh",
                b"abc",
                b"",
            ] {
                assert!(!check(&proof, wrong, step), "{wrong:?}");
            }
        }
        assert!(ContentProof::of("name", 3, None).is_none());
    }
}
