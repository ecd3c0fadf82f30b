use super::ManifestPath;

fn path(bytes: &[u8]) -> ManifestPath<'_> {
    ManifestPath::new(bytes)
}

#[test]
fn a_path_has_components_a_parent_and_a_name() {
    for (bytes, components, parent, name) in [
        (&b"a"[..], &[&b"a"[..]][..], None, &b"a"[..]),
        (b"a/b", &[b"a", b"b"], Some(&b"a"[..]), b"b"),
        (b"a/b/c", &[b"a", b"b", b"c"], Some(b"a/b"), b"c"),
        (b"/a", &[b"a"], None, b"a"),
        (b"/a/b", &[b"a", b"b"], Some(b"/a"), b"b"),
        (b"/", &[], None, b""),
        (b"", &[], None, b""),
    ] {
        let path = path(bytes);
        assert!(path.components().eq(components.iter().copied()), "{path}");
        assert_eq!(path.parent().map(ManifestPath::as_bytes), parent, "{path}");
        assert_eq!(path.file_name(), name, "{path}");
    }
}

#[test]
fn below_means_in_the_directory_and_not_beside_it() {
    for (one, other, below) in [
        (&b"a/b"[..], &b"a"[..], true),
        (b"a/b/c", b"a", true),
        (b"a", b"a", false),
        (b"ab", b"a", false),
        (b"a.b/c", b"a", false),
        (b"a", b"a/b", false),
    ] {
        assert_eq!(path(one).is_below(path(other)), below);
    }
}

#[test]
fn a_printed_path_drives_no_terminal() {
    assert_eq!(
        path(b"a\x1b[2J\xff\n/\xc3\xa9").to_string(),
        "a\\u{1b}[2J\\xff\\u{a}/é"
    );
}
