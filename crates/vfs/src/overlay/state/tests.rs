use super::*;

fn node(id: u64, body: NewBody) -> Change {
    Change::Node {
        id: NodeId(id),
        attrs: Attrs::default(),
        changed: false,
        body,
    }
}

fn entry(dir: u64, name: &str, slot: Option<Slot>) -> Change {
    Change::Entry {
        dir: NodeId(dir),
        name: name.as_bytes().into(),
        slot,
    }
}

fn dir() -> NewBody {
    NewBody::Dir { origin: None }
}

fn link() -> NewBody {
    NewBody::Symlink {
        target: b"there"[..].into(),
    }
}

fn begun() -> State {
    let mut state = State::default();
    let changes = [
        node(1, dir()),
        node(2, dir()),
        entry(1, "d", Some(Slot::Node(NodeId(2)))),
        node(3, link()),
        entry(2, "l", Some(Slot::Node(NodeId(3)))),
    ];
    assert_eq!(state.apply(&changes), Ok(vec![]));
    state
}

#[test]
fn a_node_that_is_moved_is_never_gone() {
    let mut state = begun();
    let gone = state
        .apply(&[
            entry(2, "l", Some(Slot::Whiteout)),
            entry(1, "m", Some(Slot::Node(NodeId(3)))),
        ])
        .unwrap();
    assert_eq!(gone, []);
    assert_eq!((state.nodes[&NodeId(3)].links, state.whiteouts), (1, 1));
}

#[test]
fn what_nobody_holds_goes_with_its_last_name() {
    let mut state = begun();
    state
        .apply(&[entry(1, "again", Some(Slot::Node(NodeId(3))))])
        .unwrap();
    assert_eq!(state.apply(&[entry(2, "l", None)]).unwrap(), []);
    state.node(NodeId(3)).unwrap().holds.store(1, Ordering::Relaxed);
    assert_eq!(state.apply(&[entry(1, "again", None)]).unwrap(), []);
    assert_eq!(state.remove_if_gone(NodeId(3)), Ok(None));
    state.node(NodeId(3)).unwrap().holds.store(0, Ordering::Relaxed);
    assert_eq!(
        state.remove_if_gone(NodeId(3)),
        Ok(Some(Lost {
            id: NodeId(3),
            has_data: false
        }))
    );
    assert!(state.node(NodeId(3)).is_none());
    // Its number stays used.
    assert_eq!(state.next, 4);
}

#[test]
fn whiteouts_go_with_their_directory() {
    let mut state = begun();
    state.apply(&[entry(2, "l", Some(Slot::Whiteout))]).unwrap();
    state.apply(&[entry(1, "d", None)]).unwrap();
    assert_eq!((state.whiteouts, state.nodes.len()), (0, 1));
}

#[test]
fn nonsense_is_refused() {
    for (changes, why) in [
        (vec![node(2, dir())], "added twice"),
        (vec![entry(9, "x", None)], "not there"),
        (vec![entry(3, "x", None)], "no directory"),
        (vec![entry(1, "x", Some(Slot::Node(NodeId(9))))], "not there"),
        (vec![entry(1, "a/b", None)], "name"),
        (vec![entry(1, "..", None)], "name"),
        (vec![entry(1, "d", None)], "has names"),
        (
            vec![Change::Data {
                id: NodeId(3),
                data: Data::Whole,
            }],
            "no file",
        ),
        (
            vec![node(
                9,
                NewBody::File {
                    origin: None,
                    data: Data::Lower,
                    hidden: 0,
                },
            )],
            "from below",
        ),
    ] {
        let error = begun().apply(&changes).unwrap_err();
        assert!(error.contains(why), "{error}: {changes:?}");
    }
}
