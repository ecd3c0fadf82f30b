use object_store::path::Path;
use proptest::prelude::*;

use super::*;

fn file(name: &str) -> String {
    safe(name, Sort::File).into_owned()
}

#[test]
fn good_names_stay() {
    for name in [
        "movie.mkv",
        " spaces  and.dots..",
        ".hidden",
        "...",
        "100%~#?*\\\"<>|:",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{65e5}\u{672c}\u{8a9e}.mkv",
        // A family, joined; a red heart and a keycap, selected.
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f466}.png",
        "\u{2764}\u{fe0f} 1\u{fe0f}\u{20e3}",
        // Persian, with the joiner that keeps its letters apart.
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        &"x".repeat(255),
    ] {
        assert_eq!(file(name), name);
        assert!(matches!(safe(name, Sort::Directory), Cow::Borrowed(same) if same == name));
    }
}

#[test]
fn bad_names_change_visibly() {
    for (name, expected) in [
        ("", "_"),
        (".", "_"),
        ("..", "__"),
        ("a/b", "a_b"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\0b\x1b[2J\r\n\u{7f}\u{85}", "a_b_[2J____"),
        ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
        ("\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}", "_a____"),
        ("a\u{200b}.mkv\u{feff}", "a_.mkv_"),
        ("movie.m\u{200d}kv\u{fe0f}", "movie.m_kv_"),
        ("\u{200d}x", "_x"),
        ("a\u{e0065}b\u{3164}", "a_b_"),
        ("a\u{2028}b", "a_b"),
    ] {
        assert_eq!(file(name), expected, "{name:?}");
    }
}

#[test]
fn long_names_keep_their_extension() {
    let long = format!("{}.mkv", "\u{e9}".repeat(200));
    let cut = file(&long);
    assert!(cut.len() <= 255 && cut.len() > 250, "{}", cut.len());
    assert!(cut.starts_with("\u{e9}\u{e9}") && cut.ends_with(".mkv"), "{cut}");
    let other = format!("{}x.mkv", "\u{e9}".repeat(199));
    assert_ne!(file(&other), cut);
    // Two that differ in what is replaced alone are not cut to the same either.
    let [a, b] = ["\u{1}", "\u{2}"].map(|c| file(&format!("{c}{}", "x".repeat(300))));
    assert_ne!(a, b);
    // A directory has no extension, and what is too long to be one is none.
    let directory = safe(&long, Sort::Directory).into_owned();
    assert!(!directory.ends_with(".mkv"), "{directory}");
    let sentence = format!("a. {}", "x".repeat(300));
    assert!(file(&sentence).len() <= 255);
}

#[test]
fn marks_fit_before_the_extension() {
    assert_eq!(parted("a.mkv", Sort::File, 13), ("a".to_owned(), ".mkv"));
    assert_eq!(parted("a.b", Sort::Directory, 13), ("a.b".to_owned(), ""));
    assert_eq!(parted(".hidden", Sort::File, 13), (".hidden".to_owned(), ""));
    let long = format!("{}.mkv", "x".repeat(251));
    let (stem, extension) = parted_for_number(&long, Sort::File);
    assert_eq!(extension, ".mkv");
    assert_eq!(stem.len() + extension.len() + NUMBER_ROOM, 255);
    assert_eq!(format!(" ({})", u32::MAX).len(), NUMBER_ROOM);
}

/// Names that somebody may have thought of.
pub(crate) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ab.]{0,3}",
        1 => Just("/".to_owned()),
        1 => Just("\0".to_owned()),
        1 => Just(" (2)".to_owned()),
        1 => Just("\u{202e}".to_owned()),
        1 => Just("\u{200d}".to_owned()),
        1 => Just("\u{1f468}".to_owned()),
        1 => any::<char>().prop_map(String::from),
        1 => (0_usize..300).prop_map(|n| "\u{e9}".repeat(n)),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_name_becomes_one_that_can_be_held(name in hostile(), is_file: bool) {
        let sort = if is_file { Sort::File } else { Sort::Directory };
        let shown = safe(&name, sort);
        prop_assert!(shown.len() <= MAX_TORRENT_NAME_BYTES && !shown.is_empty());
        prop_assert!(!matches!(&*shown, "." | ".."));
        let path = Path::parse(&shown).unwrap();
        prop_assert_eq!(path.as_ref(), &*shown);
        prop_assert_eq!(path.parts_count(), 1);
        prop_assert_eq!(&*forebay_types::printable(&shown), &*shown);
        // What is shown stays as it is, and is the same every time.
        prop_assert_eq!(&safe(&shown, sort), &shown);
        prop_assert_eq!(&safe(&name, sort), &shown);
        let (stem, extension) = parted(&shown, sort, 64);
        prop_assert!(stem.len() + extension.len() + 64 <= MAX_TORRENT_NAME_BYTES);
    }
}
