use super::*;

#[test]
fn names_are_keys_exactly_as_they_stand() {
    let prefix = Path::parse("top dir").unwrap();
    for (path, expected) in [
        ("a b%20c/d~e", Some("top dir/a b%20c/d~e")),
        ("*?\"<>|\\", Some("top dir/*?\"<>|\\")),
        ("m\u{301}", Some("top dir/m\u{301}")),
        ("tab\there", None),
        ("a//b", None),
        ("../b", None),
        ("a/", None),
    ] {
        let key = below(&prefix, path);
        assert_eq!(key.as_ref().map(AsRef::as_ref), expected, "{path:?}");
    }
    assert_eq!(below(&Path::ROOT, "a").unwrap().as_ref(), "a");
    assert_eq!(below(&Path::ROOT, "/a"), None);
    assert_eq!(below(&Path::ROOT, &"x/".repeat(2048)), None);
}

#[test]
fn a_marker_is_a_key_with_a_slash_at_its_end() {
    assert_eq!(Path::parse("a b").unwrap().join("").as_ref(), "a b/");
}
