use super::*;
use crate::commit::tests::{Rig, draft, new, v2023};
use crate::overlay::{Rename, SetAttrs, SetTime};

fn gather(rig: &Rig, base: &Manifest) -> Plan {
    let mode = |executable| if executable { 0o755 } else { 0o644 };
    Plan::gather(&rig.upper, base, mode).unwrap()
}

/// What stays of the base as `path`, what is changed as `+path`, directories with `/`; sorted.
fn told(plan: &Plan, base: &Manifest) -> Vec<String> {
    let text = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
    let all = base.all_dirs();
    let kept = plan.kept(base).map(|kept| text(&kept.path));
    let files = plan.files.iter().map(|file| format!("+{}", text(&file.path)));
    let links = plan.links.iter().map(|link| format!("+{}", text(&link.path)));
    let dirs = plan.all_dirs(&all).map(|dir| format!("{}/", text(&dir)));
    let mut told: Vec<String> = kept.chain(files).chain(links).chain(dirs).collect();
    told.sort();
    told
}

#[test]
fn without_changes_it_is_the_base() {
    let base = draft(&["a/b/one", "a/two", "l -> a", "empty/"]);
    let rig = Rig::new();
    // Known above, and not changed.
    rig.file("a/b/one");
    let plan = gather(&rig, &base);
    assert_eq!(
        told(&plan, &base),
        ["a/", "a/b/", "a/b/one", "a/two", "empty/", "l"]
    );
}

#[test]
fn what_is_removed_goes_with_all_that_is_in_it() {
    let base = draft(&["a/b/one", "a/b/two", "a/b.txt", "a-b/x", "c"]);
    let rig = Rig::new();
    let a = rig.dir("a");
    rig.upper.hide(a, b"b").unwrap();
    rig.upper.hide(rig.upper.root(), b"c").unwrap();
    let plan = gather(&rig, &base);
    assert_eq!(told(&plan, &base), ["a-b/", "a-b/x", "a/", "a/b.txt"]);
    // Another directory in its place hides as much.
    let made = rig.upper.mkdir(a, b"b", new(0o755)).unwrap();
    rig.upper.create(made, b"new", new(0o755)).unwrap();
    let plan = gather(&rig, &base);
    assert_eq!(
        told(&plan, &base),
        ["+a/b/new", "a-b/", "a-b/x", "a/", "a/b.txt", "a/b/"]
    );
    assert!(plan.files[0].runnable && plan.files[0].origin.is_none());
}

#[test]
fn a_moved_directory_takes_along_what_is_in_it() {
    let base = v2023(&["a/b/one", "a/b/c/two", "a/b/c/three", "x"]);
    let rig = Rig::new();
    let (root, a) = (rig.upper.root(), rig.dir("a"));
    let c = rig.dir("a/b/c");
    rig.upper.hide(c, b"three").unwrap();
    rig.upper
        .rename((a, b"b"), (root, b"moved"), Rename::Replace, true)
        .unwrap();
    let plan = gather(&rig, &base);
    assert_eq!(
        told(&plan, &base),
        ["a/", "moved/", "moved/c/", "moved/c/two", "moved/one", "x"]
    );
    // Out of what was moved, and over something of the base.
    let moved = rig.dir("moved");
    rig.upper
        .rename((moved, b"c"), (root, b"x"), Rename::Replace, true)
        .unwrap();
    let plan = gather(&rig, &base);
    assert_eq!(told(&plan, &base), ["a/", "moved/", "moved/one", "x/", "x/two"]);
}

#[test]
fn a_moved_file_knows_where_it_comes_from() {
    let base = v2023(&["a/one", "two"]);
    let rig = Rig::new();
    let root = rig.upper.root();
    let one = rig.file("a/one");
    rig.upper
        .rename((rig.dir("a"), b"one"), (root, b"\xff"), Rename::Replace, true)
        .unwrap();
    rig.upper.link(one, root, b"second").unwrap();
    let plan = gather(&rig, &base);
    assert_eq!(plan.files.len(), 2);
    for file in &plan.files {
        assert_eq!((file.id, file.origin, file.runnable), (one, Some(0), false));
    }
    let kept: Vec<_> = plan.kept(&base).map(|kept| kept.path.into_owned()).collect();
    assert_eq!(kept, [b"two"]);
}

#[test]
fn only_a_mode_that_was_set_makes_a_program() {
    let base = v2023(&["set", "touched"]);
    let rig = Rig::new();
    let (set, touched) = (rig.file("set"), rig.file("touched"));
    let mode = SetAttrs {
        mode: Some(0o755),
        ..SetAttrs::default()
    };
    let time = SetAttrs {
        mtime: Some(SetTime::At(5)),
        ..SetAttrs::default()
    };
    rig.upper.set_attrs(set, &mode).unwrap();
    rig.upper.set_attrs(touched, &time).unwrap();
    let runnable = |shown: fn(bool) -> u32| {
        let plan = Plan::gather(&rig.upper, &base, shown).unwrap();
        let of = |id| plan.files.iter().find(|file| file.id == id).unwrap().runnable;
        (of(set), of(touched))
    };
    assert_eq!(runnable(|_| 0o644), (true, false));
    // Where everything is shown as a program, that it is one says nothing.
    assert_eq!(runnable(|_| 0o755), (false, false));
}

#[test]
fn changes_to_another_base_are_refused() {
    let rig = Rig::new();
    let file = rig.file("a/one");
    rig.upper.link(file, rig.upper.root(), b"second").unwrap();
    let error = Plan::gather(&rig.upper, &v2023(&["x"]), |_| 0o644).unwrap_err();
    assert!(
        error.to_string().contains("'second' comes from 'a/one'"),
        "{error}"
    );
}

#[test]
fn what_no_manifest_can_hold_is_told_and_hides_what_was_there() {
    let base = v2023(&["a", "b"]);
    let rig = Rig::new();
    let root = rig.upper.root();
    rig.upper.hide(root, b"a").unwrap();
    rig.upper
        .mknod(root, b"a", SpecialKind::Fifo, 0, new(0o600))
        .unwrap();
    let plan = gather(&rig, &base);
    assert_eq!(told(&plan, &base), ["b"]);
    assert_eq!(plan.special, [(Box::<[u8]>::from(&b"a"[..]), SpecialKind::Fifo)]);
}
