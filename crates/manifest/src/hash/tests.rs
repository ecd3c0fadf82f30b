use super::{Hash, Hasher};

/// Made with PyPI xxhash, as the reference does.
const GOLDEN: [(&[u8], &str); 2] = [
    (b"", "99aa06d3014798d86001c324468d497f"),
    (b"abc", "06b05ab6733a618578af5f94892f3950"),
];

#[test]
fn hashes_are_those_of_the_reference() {
    for (bytes, text) in GOLDEN {
        assert_eq!(Hash::of(bytes).to_string(), text);
        let mut hasher = Hasher::new();
        bytes.iter().for_each(|byte| hasher.update(&[*byte]));
        assert_eq!(hasher.finish(), text.parse().unwrap());
    }
    let zeros = vec![0; 1 << 20];
    let mut hasher = Hasher::default();
    for _ in 0..256 {
        hasher.update(&zeros);
    }
    assert_eq!(hasher.finish().to_string(), "e7e6e2cfd0fb193c998e510addb2da2d");
    assert_eq!(
        Hash::of(b"abc").object_key(),
        "06b05ab6733a618578af5f94892f3950.xxh128"
    );
}

#[test]
fn what_is_no_xxh128_is_kept_as_it_is() {
    for text in [
        "0",
        "aa",
        "06B05AB6733A618578AF5F94892F3950",
        "06b05ab6733a618578af5f94892f395",
        "06b05ab6733a618578af5f94892f39500",
        "06b05ab6733a618578af5f94892f395g",
        &"z".repeat(128),
    ] {
        let hash: Hash = text.parse().unwrap();
        assert_eq!((hash.to_string().as_str(), hash.to_u128()), (text, None));
        let mut written = Vec::new();
        hash.write(&mut written);
        assert_eq!(written, text.as_bytes());
    }
    let small = Hash::from_u128(7);
    assert_eq!(small, "00000000000000000000000000000007".parse().unwrap());
    assert_eq!(small.to_u128(), Some(7));
}

#[test]
fn what_could_lead_elsewhere_is_no_hash() {
    for text in ["", "../../etc/passwd", "a b", "ä", "a.b", "a\n", &"z".repeat(129)] {
        let error = text.parse::<Hash>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "a hash is 1 to 128 letters and digits; this is {} bytes of something else",
                text.len()
            )
        );
    }
}
