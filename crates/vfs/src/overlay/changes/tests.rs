use forebay_types::BLOCK;

use super::*;
use crate::overlay::tests::{Rig, attrs, new, origin, write};
use crate::overlay::{Rename, SetAttrs};

fn told(upper: &Upper) -> Vec<(String, What)> {
    upper
        .changes()
        .map(|change| {
            let change = change.unwrap();
            (String::from_utf8(change.path.into()).unwrap(), change.what)
        })
        .collect()
}

fn node(id: NodeId, kind: NodeKind, from: Whence, attrs: bool, content: ContentChange) -> What {
    What::Node {
        id,
        kind,
        from,
        attrs,
        content,
    }
}

#[test]
fn everything_that_differs_is_told_and_nothing_else() {
    let rig = Rig::new();
    let upper = rig.open();
    let root = upper.root();
    assert_eq!(told(&upper), []);
    // Known above, and not changed.
    let dir = upper.adopt_dir(root, b"dir", "dir", attrs(0o755)).unwrap();
    let file = upper
        .adopt_file(dir, b"file", &origin("dir/file", 3 * BLOCK), attrs(0o644))
        .unwrap();
    let data = upper.data(file).unwrap();
    data.fill(0, &vec![1; BLOCK as usize]).unwrap();
    assert_eq!(told(&upper), []);

    write(&data, BLOCK, &vec![2; BLOCK as usize]);
    let parts = |start, end, len| ContentChange::Parts {
        dirty: vec![ByteRange::new(start, end)],
        len,
    };
    let changed = (
        "dir/file".to_owned(),
        node(
            file,
            NodeKind::File,
            Whence::Place,
            false,
            parts(BLOCK, 2 * BLOCK, 3 * BLOCK),
        ),
    );
    assert_eq!(told(&upper), [changed]);
    data.truncate(2 * BLOCK).unwrap();
    data.truncate(4 * BLOCK).unwrap();
    let content = parts(BLOCK, 4 * BLOCK, 4 * BLOCK);
    let changed = (
        "dir/file".to_owned(),
        node(file, NodeKind::File, Whence::Place, false, content.clone()),
    );
    assert_eq!(told(&upper), [changed]);

    // Moved with all that is in it; what is in it did not move for itself.
    upper
        .rename((root, b"dir"), (root, b"moved"), Rename::Replace, true)
        .unwrap();
    upper.hide(dir, b"gone").unwrap();
    let made = upper.mkdir(dir, b"made", new(0o700)).unwrap();
    let link = upper.symlink(made, b"link", b"x", new(0o777)).unwrap();
    let (new_file, new_data) = upper.create(root, b"\xc3\xa9", new(0o600)).unwrap();
    write(&new_data, 0, b"abc");
    let set = SetAttrs {
        mode: Some(0o600),
        ..SetAttrs::default()
    };
    let other = upper
        .adopt_file(root, b"other", &origin("other", 5), attrs(0o644))
        .unwrap();
    upper.set_attrs(other, &set).unwrap();
    upper.link(other, dir, b"second").unwrap();
    let mut all = told(&upper);
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let moved = |path: &str| Whence::Moved { path: path.into() };
    let same = ContentChange::Same;
    let mut expected = vec![
        ("dir".to_owned(), What::Deleted),
        (
            "moved".to_owned(),
            node(dir, NodeKind::Dir, moved("dir"), false, same.clone()),
        ),
        (
            "moved/file".to_owned(),
            node(file, NodeKind::File, Whence::Place, false, content),
        ),
        ("moved/gone".to_owned(), What::Deleted),
        (
            "moved/made".to_owned(),
            node(made, NodeKind::Dir, Whence::Here, true, same.clone()),
        ),
        (
            "moved/made/link".to_owned(),
            node(link, NodeKind::Symlink, Whence::Here, true, same.clone()),
        ),
        (
            "moved/second".to_owned(),
            node(other, NodeKind::File, moved("other"), true, same.clone()),
        ),
        (
            "other".to_owned(),
            node(other, NodeKind::File, Whence::Place, true, same),
        ),
        (
            "\u{e9}".to_owned(),
            node(
                new_file,
                NodeKind::File,
                Whence::Here,
                true,
                ContentChange::Whole { len: 3 },
            ),
        ),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(all, expected);
    drop((data, new_data, upper));
    let mut again = told(&rig.open());
    again.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(again, expected);
}

#[test]
fn attributes_alone_are_a_change_and_so_are_those_of_the_root() {
    let rig = Rig::new();
    let upper = rig.open();
    let root = upper.root();
    let set = SetAttrs {
        mode: Some(0o700),
        ..SetAttrs::default()
    };
    upper.set_attrs(root, &set).unwrap();
    let id = upper
        .adopt_file(root, b"f", &origin("f", 5), attrs(0o644))
        .unwrap();
    upper.data(id).unwrap();
    assert_eq!(told(&upper).len(), 1);
    upper.set_attrs(id, &set).unwrap();
    let expected = [
        (
            String::new(),
            node(root, NodeKind::Dir, Whence::Place, true, ContentChange::Same),
        ),
        (
            "f".to_owned(),
            node(id, NodeKind::File, Whence::Place, true, ContentChange::Same),
        ),
    ];
    assert_eq!(told(&upper), expected);
    drop(upper);
    assert_eq!(told(&rig.open()), expected);
}
