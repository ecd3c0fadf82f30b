//! The two orders of a manifest, without turning paths into text.
//!
//! Python sorts text: files by the bytes of its UTF-16BE form, a draft's directories by its code points. In both a byte
//! of a name that is not UTF-8 counts as the surrogate U+DC00 + byte that Python has for it. The orders differ above
//! U+D7FF only: U+1F600 comes before U+FB33 in UTF-16, for it begins with the unit D83D.

use std::cmp::Ordering;

/// The order of UTF-16 code units.
pub(crate) fn utf16(a: &[u8], b: &[u8]) -> Ordering {
    by(a, b, |point| {
        // The first unit alone decides, or the other one has the same, and then the code points decide.
        if point > 0xFFFF {
            (0xD800 + ((point - 0x1_0000) >> 10), point)
        } else {
            (point, point)
        }
    })
}

/// The order of code points.
pub(crate) fn code_points(a: &[u8], b: &[u8]) -> Ordering {
    by(a, b, |point| point)
}

fn by<K: Ord>(a: &[u8], b: &[u8], key: impl Fn(u32) -> K) -> Ordering {
    let common = common_prefix(a, b);
    match (a.get(common), b.get(common)) {
        (None, None) => return Ordering::Equal,
        // What comes before an ASCII byte, or before the end, does not depend on what follows.
        (None, Some(next)) if next.is_ascii() => return Ordering::Less,
        (Some(next), None) if next.is_ascii() => return Ordering::Greater,
        (Some(x), Some(y)) if x.is_ascii() && y.is_ascii() => return x.cmp(y),
        _ => {}
    }
    // Back to where both are surely at the start of a character.
    let start = a[..common].iter().rposition(u8::is_ascii).map_or(0, |at| at + 1);
    let keys = |bytes| points(bytes).map(&key);
    keys(&a[start..]).cmp(keys(&b[start..]))
}

/// How many bytes are the same at the start of both.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 16;
    let whole = a
        .chunks_exact(STEP)
        .zip(b.chunks_exact(STEP))
        .take_while(|(x, y)| x == y)
        .count()
        * STEP;
    whole
        + a[whole..]
            .iter()
            .zip(&b[whole..])
            .take_while(|(x, y)| x == y)
            .count()
}

/// The code points that Python has for `bytes`.
pub(crate) fn points(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let escaped = chunk.invalid().iter().map(|byte| 0xDC00 + u32::from(*byte));
        chunk.valid().chars().map(u32::from).chain(escaped)
    })
}

/// Finds a file that others lie in, going once through paths that are sorted in either order. What begins with some text
/// stands side by side in both, so the paths that the next one can lie in are those that the last one begins with.
#[derive(Default)]
pub(crate) struct Nest<'a> {
    /// Each begins with the one before.
    stack: Vec<&'a [u8]>,
}

impl<'a> Nest<'a> {
    /// The one of the paths that were [put](Self::put) in which `path` lies. Its cost is at most the length of `path`.
    pub(crate) fn above(&mut self, path: &[u8]) -> Option<&'a [u8]> {
        while self.stack.pop_if(|top| !path.starts_with(top)).is_some() {}
        let is_above = |above: &&&[u8]| path.get(above.len()) == Some(&b'/');
        self.stack.iter().find(is_above).copied()
    }

    /// What later paths may lie in. [`above`](Self::above) was asked about it just before.
    pub(crate) fn put(&mut self, path: &'a [u8]) {
        self.stack.push(path);
    }
}

#[cfg(test)]
mod tests;
