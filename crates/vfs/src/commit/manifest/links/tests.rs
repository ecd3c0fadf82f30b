use super::*;
use crate::commit::tests::{Rig, draft, new};
use crate::overlay::Rename;

/// `path -> target` of all links.
fn told(rig: &Rig, base: &Manifest, mountpoint: Option<&[u8]>) -> Result<Vec<String>, CommitError> {
    let plan = Plan::gather(&rig.upper, base, |_| 0o644).unwrap();
    let links = Links::new(&plan, base, mountpoint);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut told = links
        .all()
        .map(|link| link.map(|(path, target)| format!("{} -> {}", text(path), text(&target))))
        .collect::<Result<Vec<_>, _>>()?;
    told.sort();
    Ok(told)
}

fn one(path: &str, target: &str) -> Result<String, String> {
    let base = draft(&["a/b/c/file", "up -> a/b", "a/self -> .", "x -> y", "y -> x"]);
    let rig = Rig::new();
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = rig.dir(dir);
    rig.upper
        .symlink(dir, name.as_bytes(), target.as_bytes(), new(0o777))
        .unwrap();
    let all = told(&rig, &base, Some(b"/mnt/tree/")).map_err(|error| error.to_string())?;
    let start = format!("{path} -> ");
    let found = all.iter().find_map(|line| line.strip_prefix(&start));
    Ok(found.unwrap().to_owned())
}

#[test]
fn targets_are_seen_from_the_root() {
    for (path, target, expected) in [
        ("l", "a/b", "a/b"),
        ("l", "./a//b/", "a/b"),
        ("l", ".", "."),
        ("a/l", "b", "a/b"),
        ("a/l", "..", "."),
        ("a/b/l", "../../a", "a"),
        ("a/b/l", "../nothing/../b", "a/b"),
        // The last name stays as it is, be it a link or nothing.
        ("l", "up", "up"),
        ("l", "missing", "missing"),
        // Links on the way are followed: `..` means something else behind them.
        ("l", "up/c", "a/b/c"),
        ("l", "up/..", "a"),
        ("l", "a/self/up/c", "a/b/c"),
        // The mount itself.
        ("a/l", "/mnt/tree", "."),
        ("a/l", "/mnt/tree/a/b", "a/b"),
    ] {
        assert_eq!(one(path, target).as_deref(), Ok(expected), "{path} -> {target}");
    }
}

#[test]
fn links_that_leave_the_tree_are_refused() {
    for (path, target) in [
        ("l", ".."),
        ("a/l", "../../x"),
        ("l", "/etc/passwd"),
        ("l", "/mnt/treetop"),
        ("l", "up/../../.."),
    ] {
        let error = one(path, target).unwrap_err();
        let expected = format!("the link '{path}' to '{target}' leads out of the tree");
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = one("l", "x/z").unwrap_err();
    assert!(error.contains("lead to each other"), "{error}");
}

#[test]
fn a_moved_directory_keeps_links_that_stay_in_it() {
    let base = draft(&[
        "a/b/file",
        "a/b/in -> a/b/file",
        "a/b/out -> top",
        "top",
        "stays -> a/b/file",
    ]);
    let rig = Rig::new();
    let (root, a) = (rig.upper.root(), rig.dir("a"));
    rig.dir("a/b");
    // As deep as before: what leads out of it leads to the same.
    rig.upper
        .rename((a, b"b"), (a, b"moved"), Rename::Replace, true)
        .unwrap();
    assert_eq!(
        told(&rig, &base, None).unwrap(),
        [
            "a/moved/in -> a/moved/file",
            "a/moved/out -> top",
            "stays -> a/b/file"
        ]
    );
    // Less deep, it leads out of the tree, as it does for whoever reads it there.
    rig.upper
        .rename((a, b"moved"), (root, b"moved"), Rename::Replace, true)
        .unwrap();
    let error = told(&rig, &base, None).unwrap_err().to_string();
    assert!(
        error.contains("'moved/out' to '../../top' leads out of the tree"),
        "{error}"
    );
}
