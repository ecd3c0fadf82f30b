use std::cmp::Ordering;

use proptest::prelude::*;

use super::{Nest, code_points, points, utf16};

/// What Python does: `encode("utf-16_be", "surrogatepass")`.
fn utf16_be(bytes: &[u8]) -> Vec<u8> {
    let units = points(bytes).flat_map(|point| match char::from_u32(point) {
        Some(c) => c.encode_utf16(&mut [0; 2]).to_vec(),
        None => vec![point as u16],
    });
    units.flat_map(u16::to_be_bytes).collect()
}

#[test]
fn a_character_above_ffff_comes_before_one_above_its_surrogates() {
    let (emoji, ligature, byte) = ("\u{1F600}".as_bytes(), "\u{FB33}".as_bytes(), &b"\xff"[..]);
    assert_eq!(utf16(emoji, ligature), Ordering::Less);
    assert_eq!(code_points(emoji, ligature), Ordering::Greater);
    assert_eq!(utf16(emoji, byte), Ordering::Less);
    assert_eq!(utf16(byte, ligature), Ordering::Less);
    assert_eq!(code_points(byte, ligature), Ordering::Less);
    // Half of a character is another one than the character: \xc3 is U+DCC3, \xc3\xa9 is U+00E9.
    assert_eq!(utf16(b"\xc3", b"\xc3\xa9"), Ordering::Greater);
    assert_eq!(utf16(b"\xc3/a", b"\xc3\xa9"), Ordering::Greater);
}

/// Bytes that are often equal, often not UTF-8, and often at the borders between lengths.
fn names() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 16] = [
        b"a",
        b"/",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xa9",
        "é".as_bytes(),
        "\u{d7ff}".as_bytes(),
        "\u{e000}".as_bytes(),
        "\u{fb33}".as_bytes(),
        "\u{ffff}".as_bytes(),
        "\u{10000}".as_bytes(),
        "\u{1f600}".as_bytes(),
        "\u{1f601}".as_bytes(),
        b"\xf0\x9f\x98",
        b"0123456789abcdef",
    ];
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn files_are_in_the_order_of_their_utf16_bytes(a in names(), b in names()) {
        prop_assert_eq!(utf16(&a, &b), utf16_be(&a).cmp(&utf16_be(&b)));
    }

    #[test]
    fn directories_are_in_the_order_of_their_code_points(a in names(), b in names()) {
        prop_assert_eq!(code_points(&a, &b), points(&a).cmp(points(&b)));
    }

    #[test]
    fn whatever_lies_in_another_is_found(mut paths in proptest::collection::vec(names(), 0..12), by_points: bool) {
        paths.sort_by(|a, b| if by_points { code_points(a, b) } else { utf16(a, b) });
        paths.dedup();
        let mut nest = Nest::default();
        let mut found = Vec::new();
        for path in &paths {
            found.extend(nest.above(path).map(|_| path.clone()));
            nest.put(path);
        }
        let lies_in = |path: &Vec<u8>, other: &Vec<u8>| {
            path.strip_prefix(other.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
        };
        let expected: Vec<_> =
            paths.iter().filter(|path| paths.iter().any(|other| lies_in(path, other))).cloned().collect();
        prop_assert_eq!(found, expected);
    }
}
