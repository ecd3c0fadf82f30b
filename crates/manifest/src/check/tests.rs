//! What is refused, and what is said about it.

use forebay_types::ErrorKind;

use crate::{Base, Kind, Limits, Manifest, ManifestBuilder, ManifestError};

fn decode(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::decode(text.as_bytes(), &Limits::default())
}

fn refused(text: &str) -> String {
    decode(text)
        .map(|manifest| manifest.encode())
        .unwrap_err()
        .to_string()
}

/// An entry of 1 byte.
fn file(path: &str) -> String {
    format!(r#"{{"hash":"aa","mtime":1,"path":"{path}","size":1}}"#)
}

fn v2023(entries: &[String]) -> String {
    let (entries, total) = (entries.join(","), entries.len());
    format!(
        r#"{{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{entries}],"totalSize":{total}}}"#
    )
}

/// A draft whose files have one byte in each of which `total` are.
fn draft(what: &str, dirs: &str, files: &str, total: u64) -> String {
    format!(
        r#"{{"dirs":[{dirs}],"fileChunkSizeBytes":10,"files":[{files}],"hashAlg":"xxh128","specificationVersion":"{what}-beta-2025-12","totalSize":{total}}}"#
    )
}

fn snapshot(dirs: &str, files: &str, total: u64) -> String {
    draft("relative-manifest-snapshot", dirs, files, total)
}

#[test]
fn paths_that_lead_elsewhere_or_nowhere_are_refused_by_name() {
    let deep = vec!["d"; 129].join("/");
    let (long_name, long_path) = ("n".repeat(256), format!("{}x", "0123456/".repeat(512)));
    for (path, shown, why) in [
        ("../a", "../a", "`..`, which leads out of the manifest's root"),
        ("a/../../b", "a/../../b", "`..`"),
        ("a/..", "a/..", "`..`"),
        ("..", "..", "`..`"),
        ("\\u002e\\u002e/a", "../a", "`..`"),
        ("/etc/passwd", "/etc/passwd", "its path is absolute"),
        ("/", "/", "its path is absolute"),
        ("", "", "its path is empty"),
        ("a//b", "a//b", "its path has an empty component"),
        ("a/", "a/", "its path has an empty component"),
        ("./a", "./a", "its path has the component `.`"),
        ("a/./b", "a/./b", "its path has the component `.`"),
        ("a\\u0000b", "a\\u{0}b", "its path has a NUL"),
        ("\\u001b[2Ja/..", "\\u{1b}[2Ja/..", "`..`"),
        ("x\\ud800", "x\\ud800", "the lone surrogate U+D800"),
        (
            &deep,
            &deep[..240],
            "it lies 129 directories deep, more than the 128",
        ),
        (
            &long_name,
            &long_name[..240],
            "a component of its path has 256 bytes, more than the 255 of Linux",
        ),
        (
            &long_path,
            &long_path[..240],
            "its path has 4097 bytes, more than the 4095 of Linux",
        ),
    ] {
        let error = decode(&v2023(&[file("ok"), file(path)])).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("the manifest is refused: paths[1] \"{shown}"))
                && message.contains(why),
            "{path}: {message}"
        );
        assert_eq!(error.entry().and_then(|entry| entry.index), Some(1));
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn names_that_look_like_those_of_other_systems_are_names() {
    let odd = [
        "C:/a",
        "C:\\\\a",
        "\\\\\\\\server\\\\share",
        "...",
        "a..b",
        "$0",
        "con",
        " ",
    ];
    let manifest = decode(&v2023(&odd.map(file))).unwrap();
    assert_eq!(manifest.files().len(), odd.len());
}

#[test]
fn entries_that_exclude_each_other_are_refused_by_name() {
    for (paths, expected) in [
        (&["a", "b", "a"][..], "paths \"a\": its path is there twice"),
        (&["a\\u00e9", "aé"], "paths \"aé\": its path is there twice"),
        (&["a", "a/b"], "paths \"a/b\": it lies in \"a\", which is a file"),
        (
            &["a/b/c", "a-", "a", "a.b"],
            "paths \"a/b/c\": it lies in \"a\", which is a file",
        ),
        (
            &["a", "a\\udcff", "a\\udcff/b"],
            "paths \"a\\xff/b\": it lies in \"a\\xff\", which is a file",
        ),
    ] {
        let message = refused(&v2023(&paths.iter().map(|path| file(path)).collect::<Vec<_>>()));
        assert_eq!(message, format!("the manifest is refused: {expected}"));
    }
}

#[test]
fn numbers_and_hashes_that_cannot_be_are_refused_by_name() {
    let of = |hash: &str, mtime: &str, size: &str| {
        v2023(&[format!(
            r#"{{"hash":{hash},"mtime":{mtime},"path":"p","size":{size}}}"#
        )])
    };
    let long = format!("\"{}\"", "a".repeat(129));
    for (text, expected) in [
        (
            of(r#""aa""#, "1", "-1"),
            "paths[0] \"p\": its size of -1 bytes is none that a file can have",
        ),
        (
            of(r#""aa""#, "1", "18446744073709551616"),
            "its size of 18446744073709551616 bytes is none",
        ),
        (
            of(r#""aa""#, "1", "9223372036854775808"),
            "its size of 9223372036854775808 bytes is larger than any file",
        ),
        (
            of(r#""aa""#, "9223372036854775808", "1"),
            "its mtime of 9223372036854775808 µs is beyond the 64 bits",
        ),
        (
            of(r#""aa""#, "-9223372036854775809", "1"),
            "its mtime of -9223372036854775809 µs",
        ),
        (
            of(r#""""#, "1", "1"),
            "paths[0] \"p\": \"\" is no hash: it has to be 1 to 128 letters and digits",
        ),
        (of(r#""../../x""#, "1", "1"), "\"../../x\" is no hash"),
        (of(r#""a\u0061""#, "1", "1"), "is no hash"),
        (of(&long, "1", "1"), "is no hash"),
        (
            of("null", "1", "1"),
            "the manifest cannot be read: paths[0] \"p\": at byte 68: there must be a string",
        ),
        (of(r#""aa""#, "1.5", "1"), "there must be an integer"),
        (of(r#""aa""#, r#""1""#, "1"), "there must be an integer"),
        (of(r#""aa""#, "1", "true"), "there must be an integer"),
    ] {
        let message = refused(&text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn totals_are_checked() {
    let one = v2023(&[file("a"), file("b")]);
    for total in ["3", "1", "-2", "18446744073709551618"] {
        let message = refused(&one.replace(r#""totalSize":2"#, &format!(r#""totalSize":{total}"#)));
        assert!(
            message.starts_with(&format!(
                "the manifest is refused: its totalSize is {total}, and its files have 2 bytes together; it was cut or changed"
            )),
            "{message}"
        );
    }
    let huge = file("a").replace(r#""size":1"#, r#""size":9223372036854775807"#);
    let all = ["a", "b", "c"].map(|path| huge.replace("\"a\"", &format!("\"{path}\"")));
    let message = refused(&v2023(&all));
    assert_eq!(
        message,
        "the manifest is refused: paths \"c\": with it, the sizes of all files are larger than 64 bits"
    );
}

#[test]
fn keys_are_there_once_and_known() {
    let good = v2023(&[file("a")]);
    for (from, to, expected) in [
        (r#""mtime":1,"#, "", "paths[0] \"a\": it has no `mtime`"),
        (r#""path":"a","#, "", "paths[0]: it has no `path`"),
        (
            r#""mtime":1"#,
            r#""mtime":1,"mtime":1"#,
            "paths[0] \"a\": the key `mtime` is there twice",
        ),
        (
            r#""mtime":1"#,
            r#""mtime":1,"mt\u0069me":1"#,
            "the key `mtime` is there twice",
        ),
        (
            r#""mtime":1"#,
            r#""mtime":1,"mode":420"#,
            "paths[0] \"a\": the key `mode` is not known; what it says would be lost",
        ),
        (
            r#""totalSize""#,
            r#""total\u001bSize""#,
            "the key `total\\u{1b}Size` is not known",
        ),
        (
            r#""totalSize":1"#,
            r#""totalSize":1,"totalSize":1"#,
            "the key `totalSize` is there twice",
        ),
        (r#","totalSize":1"#, "", "it has no `totalSize`"),
        (r#""hashAlg":"xxh128","#, "", "it has no `hashAlg`"),
        (
            r#""manifestVersion":"2023-03-03","#,
            "",
            "neither a manifestVersion nor a specificationVersion",
        ),
        (
            r#""totalSize":1"#,
            r#""totalSize":1,"dirs":[]"#,
            "the key `dirs` is not known",
        ),
        (
            r#""totalSize":1"#,
            r#""totalSize":1,"specificationVersion":"x""#,
            "can be of one format only",
        ),
        (
            r#""hashAlg":"xxh128""#,
            r#""hashAlg":"sha256""#,
            "the manifest's hashAlg is sha256: xxh128 is the one that is read",
        ),
        (
            r#""2023-03-03""#,
            r#""2025-12-04-beta""#,
            "the manifest's manifestVersion is 2025-12-04-beta: 2023-03-03 is read",
        ),
        (
            r#""paths":["#,
            r#""paths":["a","#,
            "the manifest cannot be read: paths[0]: at byte 60: there must be an object",
        ),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        let message = refused(&text);
        assert!(message.contains(expected), "{text}: {message}");
    }
    assert_eq!(
        refused(&v2023(&[])),
        "the manifest is refused: it has no files: a v2023-03-03 manifest has at least one"
    );
    let unknown = decode(&good.replace("2023-03-03", "2099")).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unsupported);
}

#[test]
fn what_is_no_manifest_is_refused() {
    let good = v2023(&[file("a")]);
    for (bytes, expected) in [
        (b"".to_vec(), "at byte 0: it ends too early"),
        (b"[]".to_vec(), "at byte 0: there must be an object"),
        (b"null".to_vec(), "at byte 0: there must be an object"),
        (b"{\"paths\":\xff}".to_vec(), "at byte 9: it is not UTF-8"),
        (b"{\"paths\":\"\xed\xa0\x80\"}".to_vec(), "it is not UTF-8"),
        (
            [b"\xef\xbb\xbf", good.as_bytes()].concat(),
            "at byte 0: there must be an object",
        ),
        (good.as_bytes()[..good.len() - 1].to_vec(), "it ends too early"),
        (
            format!("{good}x").into_bytes(),
            "something follows the end of the manifest",
        ),
        (
            format!("{good}{good}").into_bytes(),
            "something follows the end of the manifest",
        ),
        (good.replace("]", ",]").into_bytes(), "there must be an object"),
        (
            good.replace(":[", ":[[").replace(']', "]]").into_bytes(),
            "there must be an object",
        ),
        ("{\"paths\":".to_owned().into_bytes(), "it ends too early"),
        (
            format!("{{\"paths\":{}", "[".repeat(1 << 20)).into_bytes(),
            "objects and arrays lie too deep in each other",
        ),
    ] {
        let message = Manifest::decode(&bytes, &Limits::default())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(expected),
            "{}: {message}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
        );
    }
    let spaced = good
        .replace(',', " ,\n\t ")
        .replace(':', " : ")
        .replace("2023-03-03 ", "2023-03-03");
    assert_eq!(
        decode(&format!(" {spaced}\r\n")).unwrap().encode(),
        good.as_bytes()
    );
}

#[test]
fn nothing_is_larger_than_allowed() {
    let text = v2023(&[file("a"), file("b"), file("cc")]);
    let large = Limits {
        bytes: text.len(),
        // Their hashes are no xxh128, and are kept apart.
        entries: 6,
        path_bytes: 4,
    };
    assert!(Manifest::decode(text.as_bytes(), &large).is_ok());
    for (limits, expected) in [
        (
            Limits {
                bytes: text.len() - 1,
                ..large.clone()
            },
            format!("it has more bytes than the {} that are allowed", text.len() - 1),
        ),
        (
            Limits {
                entries: 5,
                ..large.clone()
            },
            "it has more files, directories and hashes apart than the 5 that are allowed".to_owned(),
        ),
        (
            Limits {
                path_bytes: 3,
                ..large
            },
            "it has more bytes in paths than the 3 that are allowed; split it, or raise the limit".to_owned(),
        ),
    ] {
        let error = Manifest::decode(text.as_bytes(), &limits).unwrap_err();
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    // Directories count that no entry names: `a`, `a/b`, `c`, `c/d`, with 4 files and their hashes.
    let dirs = v2023(&["a/b/x", "a/b/y", "a/z", "c/d/x"].map(file));
    for (entries, fits) in [(12, true), (11, false)] {
        let limits = Limits {
            entries,
            ..Limits::default()
        };
        assert_eq!(
            Manifest::decode(dirs.as_bytes(), &limits).is_ok(),
            fits,
            "{entries}"
        );
    }
    // A draft names them: 201 bytes of a link and one of its target, and 1 + 3 + … + 199 = 10,000 of directories.
    let deep = format!("{}f", "d/".repeat(100));
    let link = crate::FileEntry {
        path: crate::ManifestPath::new(deep.as_bytes()),
        kind: crate::FileKind::Symlink {
            target: crate::ManifestPath::new(b"."),
        },
    };
    for (entries, path_bytes, fits) in [(101, 10_202, true), (100, 10_202, false), (101, 10_201, false)] {
        let limits = Limits {
            entries,
            path_bytes,
            ..Limits::default()
        };
        let mut builder = ManifestBuilder::draft(Kind::Snapshot, Base::Relative).limits(limits);
        let built = builder.file(&link).and_then(|()| builder.finish());
        assert_eq!(built.is_ok(), fits, "{entries} {path_bytes}");
    }
    let chunks = snapshot(
        "",
        r#"{"chunkhashes":["a","b","c"],"mtime":1,"name":"f","size":21}"#,
        21,
    );
    for (entries, fits) in [(4, true), (3, false), (2, false)] {
        let limits = Limits {
            entries,
            ..Limits::default()
        };
        assert_eq!(
            Manifest::decode(chunks.as_bytes(), &limits).is_ok(),
            fits,
            "{entries}"
        );
    }
}

#[test]
fn names_of_a_draft_refer_to_directories_before_them() {
    let dirs = r#"{"name":"d"},{"name":"$0/e"}"#;
    let file = |name: &str| format!(r#"{{"hash":"aa","mtime":1,"name":"{name}","size":1}}"#);
    let good = decode(&snapshot(dirs, &file("$1/f"), 1)).unwrap();
    assert_eq!(good.file(0).unwrap().path.as_bytes(), b"d/e/f");
    for (name, expected) in [
        (
            "$2/f",
            "files[0] \"$2/f\": its name refers to directory 2, and 2 come before it",
        ),
        ("$99999999999999999999/f", "does not begin with `$N/`"),
        ("$/f", "does not begin with `$N/`"),
        ("$-1/f", "does not begin with `$N/`"),
        ("$+1/f", "does not begin with `$N/`"),
        ("$01/f", "does not begin with `$N/`"),
        ("$0", ""),
        (
            "d/f",
            "its name has a `/` and does not begin with `$N/`, the number of a directory",
        ),
        ("$0/a/b", "its name has more than one `/`"),
        ("$0/..", "`..`"),
        ("$0/", "its path has an empty component"),
        ("/f", "its path is absolute"),
    ] {
        let got = decode(&snapshot(dirs, &file(name), 1));
        match expected {
            "" => assert_eq!(got.unwrap().file(0).unwrap().path.as_bytes(), name.as_bytes()),
            _ => assert!(got.unwrap_err().to_string().contains(expected), "{name}"),
        }
    }
    for (dirs, expected) in [
        (
            r#"{"name":"$0/a"}"#,
            "dirs[0] \"$0/a\": its name refers to directory 0, and 0 come before it",
        ),
        (
            r#"{"name":"a"},{"name":"$2/b"},{"name":"c"}"#,
            "dirs[1] \"$2/b\": its name refers to directory 2, and 1 come",
        ),
        (
            r#"{"name":"a"},{"name":"a"}"#,
            "dirs \"a\": its path is there twice",
        ),
        (
            r#"{"name":"a","mode":1}"#,
            "dirs[0] \"a\": the key `mode` is not known",
        ),
        (
            r#"{"name":"a","deleted":true}"#,
            "dirs[0] \"a\": the key `deleted` is not known",
        ),
        (r#"{"path":"a"}"#, "dirs[0]: the key `path` is not known"),
        (r#"{"name":"f"}"#, "dirs \"f\": it is a directory and a file"),
        (
            r#"{"name":"f"},{"name":"$0/x"}"#,
            "dirs \"f\": it is a directory and a file",
        ),
        (
            r#"{"name":"a","delete":true}"#,
            "dirs[0] \"a\": it is deleted, which only a diff can say",
        ),
    ] {
        let message = refused(&snapshot(dirs, &file("f"), 1));
        assert!(message.contains(expected), "{dirs}: {message}");
    }
}

#[test]
fn files_of_a_draft_are_one_thing() {
    let chunks = |n: usize| vec!["\"aa\""; n].join(",");
    for (entry, expected) in [
        (
            r#""hash":"aa","mtime":1"#.to_owned(),
            "files[0] \"f\": it has no `size`",
        ),
        (r#""hash":"aa","size":1"#.to_owned(), "it has no `mtime`"),
        (
            r#""hash":"aa","chunkhashes":["aa","bb"],"mtime":1,"size":11"#.to_owned(),
            "it has more than one of `hash`, `chunkhashes` and `symlink`",
        ),
        (
            r#""hash":"aa","symlink":{"name":"x"}"#.to_owned(),
            "it has more than one of",
        ),
        (
            r#""symlink":{"name":"x"},"size":1"#.to_owned(),
            "it is a symbolic link, and has what only a regular file has",
        ),
        (
            r#""symlink":{"name":"x"},"runnable":true"#.to_owned(),
            "it is a symbolic link, and has what only a regular file has",
        ),
        (
            r#""symlink":{"target":"x"}"#.to_owned(),
            "the key `target` is not known",
        ),
        (r#""symlink":{}"#.to_owned(), "it has no `symlink.name`"),
        (
            r#""delete":true"#.to_owned(),
            "it is deleted, which only a diff can say",
        ),
        (
            r#""delete":true,"hash":"aa""#.to_owned(),
            "it is deleted, and has what only a regular file has",
        ),
        (
            r#""delete":true,"symlink":{"name":"x"}"#.to_owned(),
            "it is deleted, and has what only a regular file has",
        ),
        (r#""delete":1"#.to_owned(), "there must be `true` or `false`"),
        (
            format!(r#""chunkhashes":[{}],"mtime":1,"size":10"#, chunks(1)),
            "with 10 bytes it is not larger than one chunk of 10",
        ),
        (
            format!(r#""chunkhashes":[{}],"mtime":1,"size":20"#, chunks(3)),
            "it has the hashes of 3 chunks; 20 bytes are 2 chunks of 10",
        ),
        (
            format!(r#""chunkhashes":[{}],"mtime":1,"size":21"#, chunks(2)),
            "it has the hashes of 2 chunks; 21 bytes are 3 chunks of 10",
        ),
        (
            r#""chunkhashes":[],"mtime":1,"size":11"#.to_owned(),
            "it has the hashes of 0 chunks",
        ),
        (
            r#""chunkhashes":["a/b"],"mtime":1,"size":11"#.to_owned(),
            "\"a/b\" is no hash",
        ),
    ] {
        let text = snapshot("", &format!(r#"{{"name":"f",{entry}}}"#), 0);
        let message = refused(&text);
        assert!(message.contains(expected), "{entry}: {message}");
    }
    let never = snapshot(
        "",
        &format!(
            r#"{{"chunkhashes":[{}],"mtime":1,"name":"f","size":20}}"#,
            chunks(2)
        ),
        20,
    );
    assert!(decode(&never).is_ok());
    for (size, expected) in [
        (
            "-1",
            "it has hashes of chunks, and the manifest's files are never cut",
        ),
        (
            "0",
            "its fileChunkSizeBytes is 0: it has to be -1 or a number of bytes",
        ),
        ("-2", "its fileChunkSizeBytes is -2"),
        (
            "9223372036854775808",
            "its fileChunkSizeBytes is 9223372036854775808",
        ),
    ] {
        let message = refused(&never.replace(
            r#""fileChunkSizeBytes":10"#,
            &format!(r#""fileChunkSizeBytes":{size}"#),
        ));
        assert!(message.contains(expected), "{size}: {message}");
    }
    let default = refused(&never.replace(r#""fileChunkSizeBytes":10,"#, ""));
    assert!(
        default.contains("it is not larger than one chunk of 268435456"),
        "{default}"
    );
}

#[test]
fn links_stay_in_the_root() {
    let with = |target: &str| {
        let link = format!(r#"{{"name":"f","symlink":{{"name":"{target}"}}}}"#);
        snapshot(r#"{"name":"d"}"#, &link, 0)
    };
    for (target, expected) in [
        ("x", ""),
        ("$0/x", ""),
        (".", ""),
        (
            "..",
            "files[0] \"f\": it is a link to \"..\", and of that its path has the component `..`, which leads out",
        ),
        (
            "$0/..",
            "it is a link to \"d/..\", and of that its path has the component `..`",
        ),
        (
            "/etc",
            "it is a link to \"/etc\", and of that its path is absolute",
        ),
        ("", "it is a link to \"\", and of that its path is empty"),
        ("../x", "its name has a `/` and does not begin with `$N/`"),
        ("$1/x", "its name refers to directory 1, and 1 come before it"),
    ] {
        match (decode(&with(target)), expected) {
            (Ok(manifest), "") => assert_eq!(manifest.files().len(), 1),
            (Err(error), _) if !expected.is_empty() => {
                assert!(error.to_string().contains(expected), "{target}: {error}");
            }
            (other, _) => panic!("{target}: {other:?}"),
        }
    }
}

#[test]
fn absolute_manifests_have_absolute_paths() {
    let entry = |name: &str| format!(r#"{{"hash":"aa","mtime":1,"name":"{name}","size":1}}"#);
    let absolute = |dirs: &str, name: &str| draft("absolute-manifest-snapshot", dirs, &entry(name), 1);
    let good = decode(&absolute(r#"{"name":"/d"},{"name":"$0/e"}"#, "$1/f")).unwrap();
    assert_eq!((good.base(), good.kind()), (Base::Absolute, Kind::Snapshot));
    assert_eq!(good.file(0).unwrap().path.as_bytes(), b"/d/e/f");
    for (dirs, name, expected) in [
        (
            "",
            "f",
            "its path is not absolute: in this manifest it has to begin with `/`",
        ),
        (
            r#"{"name":"C:"}"#,
            "$0/f",
            "dirs[0] \"C:\": its path is not absolute",
        ),
        ("", "/..", "`..`"),
        ("", "/", "its path has an empty component"),
        ("", "//f", "more than one `/`"),
    ] {
        let message = refused(&absolute(dirs, name));
        assert!(message.contains(expected), "{name}: {message}");
    }
    for (target, fits) in [("/", true), ("/etc", true), (".", false), ("etc", false)] {
        let link = format!(r#"{{"name":"/l","symlink":{{"name":"{target}"}}}}"#);
        assert_eq!(
            decode(&draft("absolute-manifest-snapshot", "", &link, 0)).is_ok(),
            fits,
            "{target}"
        );
    }
}

#[test]
fn a_diff_may_put_a_file_where_a_directory_was_and_the_reverse() {
    let diff = |dirs: &str, files: &str, total| draft("relative-manifest-diff", dirs, files, total);
    let file = |name: &str| format!(r#"{{"hash":"aa","mtime":1,"name":"{name}","size":1}}"#);
    let gone = |name: &str| format!(r#"{{"delete":true,"name":"{name}"}}"#);
    let to_file = diff(
        r#"{"delete":true,"name":"a"}"#,
        &format!("{},{}", file("a"), gone("$0/b")),
        1,
    );
    let to_dir = diff(r#"{"name":"a"}"#, &format!("{},{}", gone("a"), file("$0/b")), 1);
    for text in [to_file, to_dir] {
        assert_eq!(decode(&text).unwrap().encode(), text.as_bytes());
    }
    for (dirs, files, expected) in [
        (
            r#"{"name":"a"}"#,
            format!("{},{}", file("a"), gone("$0/b")),
            "dirs \"a\": it is a directory and a file",
        ),
        (
            r#"{"delete":true,"name":"a"}"#,
            format!("{},{}", file("a"), file("$0/b")),
            "files \"a/b\": it lies in \"a\", which is a file",
        ),
        (
            r#"{"delete":true,"name":"a"},{"name":"$0/c"}"#,
            file("a"),
            "dirs \"a/c\": it lies in \"a\", which is a file",
        ),
        (
            "",
            format!("{},{}", gone("a"), file("a")),
            "files \"a\": its path is there twice",
        ),
    ] {
        let message = refused(&diff(dirs, &files, files.matches("hash").count() as u64));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_built_is_checked_like_what_is_read() {
    let file = |path| crate::FileEntry {
        path: crate::ManifestPath::new(path),
        kind: crate::FileKind::Regular {
            size: 1,
            mtime: 1,
            runnable: false,
            content: crate::Content::Unhashed,
        },
    };
    let mut builder = ManifestBuilder::draft(Kind::Snapshot, Base::Relative);
    let error = builder.file(&file(b"a/../b")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the manifest is refused: files \"a/../b\": its path has"),
        "{error}"
    );
    builder.file(&file(b"b/c")).unwrap();
    builder.file(&file(b"b")).unwrap();
    let error = builder.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the manifest is refused: files \"b/c\": it lies in \"b\", which is a file"
    );
    let error = ManifestBuilder::v2023().file(&file(b"a")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "paths \"a\": a v2023-03-03 manifest cannot hold a file without a hash: write the draft format instead"
    );
    let error = ManifestBuilder::v2023()
        .parent(Some(crate::Hash::of(b"")))
        .file(&file(b"a"))
        .unwrap_err();
    assert!(
        error.to_string().contains("cannot hold the hash of a parent"),
        "{error}"
    );
    assert!(ManifestBuilder::v2023().finish().is_err());
}
