use rustix::io::Errno;

use super::*;
use crate::overlay::tests::{Rig, attrs, dump, new, origin, read, write};
use crate::overlay::{ReadData, SetAttrs, SetTime, SetXattr, SpecialKind};

const ROOT: NodeId = NodeId::ROOT;

fn set_mode(upper: &Upper, id: NodeId, mode: u32) -> u32 {
    let set = SetAttrs {
        mode: Some(mode),
        ..SetAttrs::default()
    };
    upper.set_attrs(id, &set).unwrap().attrs.mode
}

/// What the matrix has names of.
fn things(upper: &Upper) -> Vec<&'static str> {
    upper.create(ROOT, b"file", new(0o600)).unwrap();
    upper.symlink(ROOT, b"link", b"x", new(0o777)).unwrap();
    upper
        .mknod(ROOT, b"fifo", SpecialKind::Fifo, 0, new(0o600))
        .unwrap();
    upper.mkdir(ROOT, b"empty", new(0o700)).unwrap();
    let full = upper.mkdir(ROOT, b"full", new(0o700)).unwrap();
    upper.mkdir(full, b"x", new(0o700)).unwrap();
    upper.adopt_dir(ROOT, b"lower", "lower", attrs(0o755)).unwrap();
    upper
        .adopt_file(ROOT, b"below", &origin("below", 5), attrs(0o644))
        .unwrap();
    vec![
        "file", "link", "fifo", "empty", "full", "lower", "below", "missing",
    ]
}

#[test]
fn the_rename_matrix() {
    let is_dir = |name: &str| matches!(name, "empty" | "full" | "lower");
    let names = things(&Rig::new().open());
    for from in &names {
        for to in &names {
            for how in [Rename::Replace, Rename::NoReplace, Rename::Exchange] {
                let rig = Rig::new();
                let upper = rig.open();
                things(&upper);
                let before = dump(&upper);
                let id_of = |name: &str| crate::overlay::tests::at(&upper, name);
                let (source, target) = (id_of(from), id_of(to));
                let expected = match how {
                    _ if *from == "missing" => Err(Errno::NOENT),
                    Rename::Exchange if *to == "missing" => Err(Errno::NOENT),
                    Rename::Exchange => Ok(()),
                    Rename::NoReplace if *to != "missing" => Err(Errno::EXIST),
                    _ if from == to || *to == "missing" => Ok(()),
                    _ if is_dir(from) && !is_dir(to) => Err(Errno::NOTDIR),
                    _ if !is_dir(from) && is_dir(to) => Err(Errno::ISDIR),
                    _ if *to == "full" => Err(Errno::NOTEMPTY),
                    _ => Ok(()),
                };
                let got = upper.rename((ROOT, from.as_bytes()), (ROOT, to.as_bytes()), how, true);
                let what = format!("{from} to {to}, {how:?}");
                assert_eq!(got.as_ref().map(drop).map_err(|e| e.errno()), expected, "{what}");
                if expected.is_err() || from == to {
                    assert_eq!(dump(&upper), before, "{what}");
                    continue;
                }
                assert_eq!(id_of(to), source, "{what}");
                let entry = upper.entry(ROOT, from.as_bytes()).unwrap();
                if how == Rename::Exchange {
                    assert_eq!(id_of(from), target, "{what}");
                } else {
                    assert_eq!(entry, Some(UpperEntry::Whiteout), "{what}");
                    assert_eq!(got.unwrap().map(|removed| removed.id), target, "{what}");
                    if let Some(target) = target {
                        assert!(matches!(upper.kind(target), Err(UpperError::Stale { .. })));
                    }
                }
                let expected = dump(&upper);
                drop(upper);
                assert_eq!(dump(&rig.open()), expected, "{what}");
            }
        }
    }
}

#[test]
fn a_directory_does_not_come_to_lie_in_itself() {
    let rig = Rig::new();
    let upper = rig.open();
    let a = upper.mkdir(ROOT, b"a", new(0o700)).unwrap();
    let b = upper.mkdir(a, b"b", new(0o700)).unwrap();
    upper.mkdir(b, b"c", new(0o700)).unwrap();
    let errno = |from, to, how| upper.rename(from, to, how, false).unwrap_err().errno();
    for how in [Rename::Replace, Rename::NoReplace] {
        assert_eq!(errno((ROOT, b"a"), (b, b"new"), how), Errno::INVAL);
        assert_eq!(errno((ROOT, b"a"), (a, b"new"), how), Errno::INVAL);
    }
    assert_eq!(errno((ROOT, b"a"), (b, b"c"), Rename::Exchange), Errno::INVAL);
    assert_eq!(errno((b, b"c"), (ROOT, b"a"), Rename::Exchange), Errno::INVAL);
    // A directory above what is moved is not empty.
    assert_eq!(errno((b, b"c"), (ROOT, b"a"), Rename::Replace), Errno::NOTEMPTY);
}

#[test]
fn two_names_of_one_file_both_stay() {
    let rig = Rig::new();
    let upper = rig.open();
    let (id, _) = upper.create(ROOT, b"a", new(0o600)).unwrap();
    upper.link(id, ROOT, b"b").unwrap();
    assert_eq!(
        upper
            .rename((ROOT, b"a"), (ROOT, b"b"), Rename::Replace, true)
            .unwrap(),
        None
    );
    assert_eq!(upper.attrs(id).unwrap().links, 2);
    assert_eq!(upper.entries(ROOT).unwrap().len(), 2);
}

#[test]
fn names_are_checked_wherever_they_come_from() {
    let rig = Rig::new();
    let upper = rig.open();
    let (id, _) = upper.create(ROOT, b"f", new(0o600)).unwrap();
    let long = [b'x'; 256];
    for (name, errno) in [
        (&b""[..], Errno::NOENT),
        (b".", Errno::INVAL),
        (b"..", Errno::INVAL),
        (b"a/b", Errno::INVAL),
        (b"a\0b", Errno::INVAL),
        (&long, Errno::NAMETOOLONG),
    ] {
        let refused = [
            upper.create(ROOT, name, new(0)).map(drop),
            upper.mkdir(ROOT, name, new(0)).map(drop),
            upper.symlink(ROOT, name, b"x", new(0)).map(drop),
            upper.link(id, ROOT, name),
            upper.hide(ROOT, name),
            upper.unlink(ROOT, name, true).map(drop),
            upper.rmdir(ROOT, name, true).map(drop),
            upper
                .rename((ROOT, b"f"), (ROOT, name), Rename::Replace, true)
                .map(drop),
            upper
                .rename((ROOT, name), (ROOT, b"g"), Rename::Replace, true)
                .map(drop),
            upper.adopt_dir(ROOT, name, "x", attrs(0)).map(drop),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().errno(), errno, "{name:?}");
        }
    }
    upper.create(ROOT, &long[..255], new(0o600)).unwrap();
    upper.create(ROOT, b"\xff\n", new(0o600)).unwrap();
    drop(upper);
    assert_eq!(rig.open().entries(ROOT).unwrap().len(), 3);
    assert_eq!(rig.files().len(), 3, "refused files leave nothing behind");
}

#[test]
fn a_removed_file_lives_as_long_as_it_is_open() {
    let rig = Rig::new();
    let upper = rig.open();
    let (id, file) = upper.create(ROOT, b"f", new(0o640)).unwrap();
    write(&file, 0, b"bytes");
    let removed = upper.unlink(ROOT, b"f", false).unwrap();
    assert_eq!((removed.id, removed.links), (id, 0));
    upper.sync().unwrap();
    // All of it goes on, though nothing of it is for the journal.
    write(&file, 5, b" more");
    assert_eq!(set_mode(&upper, id, 0o604), 0o604);
    upper.set_xattr(id, b"user.x", b"1", SetXattr::Any).unwrap();
    assert_eq!(read(&file), b"bytes more");
    let again = upper.data(id).unwrap();
    assert!(Arc::ptr_eq(&file, &again));
    assert_eq!(upper.attrs(id).unwrap().links, 0);
    assert_eq!(upper.link(id, ROOT, b"back").unwrap_err().errno(), Errno::NOENT);
    assert_eq!(dump(&rig.killed().open()).len(), 0);
    drop((file, again));
    assert!(matches!(upper.attrs(id), Err(UpperError::Stale { .. })));
    upper.sync().unwrap();
    assert_eq!(rig.files().len(), 0);
}

#[test]
fn what_is_held_stays_and_takes_no_names() {
    let rig = Rig::new();
    let upper = rig.open();
    let dir = upper.mkdir(ROOT, b"d", new(0o700)).unwrap();
    let hold = upper.hold(dir).unwrap();
    upper.rmdir(ROOT, b"d", false).unwrap();
    assert_eq!(upper.attrs(dir).unwrap().links, 0);
    assert_eq!(upper.entries(dir).unwrap(), []);
    assert_eq!(
        upper.create(dir, b"x", new(0o600)).unwrap_err().errno(),
        Errno::NOENT
    );
    assert_eq!(set_mode(&upper, dir, 0o711), 0o711);
    // The journal knows nothing of it any more.
    assert_eq!(dump(&rig.killed().open()).len(), 0);
    drop(hold);
    assert!(matches!(upper.attrs(dir), Err(UpperError::Stale { .. })));
}

#[test]
fn modes_that_forbid_the_owner_are_kept_and_do_not_lock_us_out() {
    let rig = Rig::new();
    let upper = rig.open();
    let (id, file) = upper.create(ROOT, b"f", new(0o4044)).unwrap();
    write(&file, 0, b"x");
    drop(file);
    let lower = upper
        .adopt_file(ROOT, b"l", &origin("l", 5), attrs(0o444))
        .unwrap();
    upper.data(lower).unwrap();
    for kill in [false, true] {
        let copy = rig.killed();
        let upper = copy.open();
        assert_eq!(upper.attrs(lower).unwrap().attrs.mode, 0o444);
        assert_eq!(upper.attrs(id).unwrap().attrs.mode & 0o777, 0o044);
        assert_eq!(set_mode(&upper, id, 0), 0);
        let copy = if kill { copy.killed() } else { copy };
        drop(upper);
        let upper = copy.open();
        assert_eq!(upper.attrs(id).unwrap().attrs.mode, 0);
        assert_eq!(read(&upper.data(id).unwrap()), b"x");
        assert_eq!(set_mode(&upper, id, 0o1777), 0o1777);
    }
}

#[test]
fn attributes_of_everything_last() {
    let rig = Rig::new();
    let upper = rig.open();
    let names: Vec<_> = things(&upper);
    let set = SetAttrs {
        mode: Some(0o751),
        atime: Some(SetTime::At(-5)),
        mtime: Some(SetTime::At(1_600_000_000_123_456_789)),
        ..SetAttrs::default()
    };
    let ids: Vec<_> = names
        .iter()
        .filter_map(|name| crate::overlay::tests::at(&upper, name))
        .collect();
    let mut told = Vec::new();
    for &id in &ids {
        let got = upper.set_attrs(id, &set).unwrap();
        assert_eq!(
            (got.attrs.mode, got.attrs.atime, got.attrs.mtime),
            (0o751, -5, 1_600_000_000_123_456_789)
        );
        assert!(got.attrs.ctime > 1_600_000_000_123_456_789);
        told.push(got);
    }
    drop(upper);
    let upper = rig.open();
    let again: Vec<_> = ids.iter().map(|id| upper.attrs(*id).unwrap()).collect();
    assert_eq!(again, told);
    // A lower file that gets content keeps what was set.
    let below = crate::overlay::tests::at(&upper, "below").unwrap();
    let before = upper.attrs(below).unwrap().attrs;
    upper.data(below).unwrap();
    let after = upper.attrs(below).unwrap().attrs;
    assert_eq!(
        (after.mode, after.mtime, after.atime),
        (before.mode, before.mtime, before.atime)
    );
    let now = SetAttrs {
        mtime: Some(SetTime::Now),
        ..SetAttrs::default()
    };
    assert!(upper.set_attrs(below, &now).unwrap().attrs.mtime > before.mtime);
}

#[test]
fn owners_are_given_where_the_system_lets_us() {
    let rig = Rig::new();
    let upper = rig.open();
    let someone = NewNode {
        mode: 0o600,
        uid: 1234,
        gid: 2345,
    };
    let made = upper.create(ROOT, b"f", someone);
    if rustix::process::geteuid().as_raw() != 0 {
        assert_eq!(made.unwrap_err().errno(), Errno::PERM);
        assert_eq!(rig.files().len(), 0);
        return;
    }
    let (id, _) = made.unwrap();
    let attrs = upper.attrs(id).unwrap().attrs;
    assert_eq!((attrs.uid, attrs.gid), (1234, 2345));
    let set = SetAttrs {
        uid: Some(99),
        mode: Some(0o4755),
        ..SetAttrs::default()
    };
    let attrs = upper.set_attrs(id, &set).unwrap().attrs;
    assert_eq!((attrs.uid, attrs.gid, attrs.mode), (99, 2345, 0o4755));
}

#[test]
fn directories_know_when_their_names_changed() {
    let rig = Rig::new();
    let upper = rig.open();
    let dir = upper.mkdir(ROOT, b"d", new(0o700)).unwrap();
    let old = SetAttrs {
        mtime: Some(SetTime::At(5)),
        ..SetAttrs::default()
    };
    let mtime = || upper.attrs(dir).unwrap().attrs.mtime;
    let change = |what: &dyn Fn()| {
        upper.set_attrs(dir, &old).unwrap();
        what();
        mtime() > 5
    };
    assert!(change(&|| drop(upper.create(dir, b"f", new(0o600)).unwrap())));
    let moved = |from, to| {
        let replaced = upper.rename(from, to, Rename::Replace, false).unwrap();
        assert_eq!(replaced, None);
    };
    assert!(change(&|| moved((dir, b"f"), (ROOT, b"g"))));
    assert!(change(&|| moved((ROOT, b"g"), (dir, b"f"))));
    assert!(change(&|| assert_eq!(
        upper.unlink(dir, b"f", false).unwrap().links,
        0
    )));
    assert!(!change(&|| drop(upper.entries(dir).unwrap())));
}

#[test]
fn a_name_more_or_less_shows_in_the_ctime_of_a_file() {
    let rig = Rig::new();
    let upper = rig.open();
    let (id, _) = upper.create(ROOT, b"f", new(0o600)).unwrap();
    let ctime = || upper.attrs(id).unwrap().attrs.ctime;
    let mut last = ctime();
    let mut later = |what: &dyn Fn()| {
        // The kernel's time goes on in ticks.
        std::thread::sleep(std::time::Duration::from_millis(20));
        what();
        assert!(ctime() > last);
        last = ctime();
    };
    later(&|| upper.link(id, ROOT, b"g").unwrap());
    later(&|| assert_eq!(upper.unlink(ROOT, b"f", false).unwrap().links, 1));
    later(&|| {
        let replaced = upper.rename((ROOT, b"g"), (ROOT, b"h"), Rename::Replace, false);
        assert_eq!(replaced.unwrap(), None);
    });
    assert_eq!(rig.files().len(), 1);
}

#[test]
fn a_file_has_so_many_names_and_no_more() {
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper.symlink(ROOT, b"l", b"x", new(0o777)).unwrap();
    for n in 1..crate::overlay::state::MAX_LINKS {
        upper.link(id, ROOT, n.to_string().as_bytes()).unwrap();
    }
    let error = upper.link(id, ROOT, b"one more").unwrap_err();
    assert_eq!(error.errno(), Errno::MLINK);
    assert!(error.to_string().contains("65001th"), "{error}");
}

#[test]
fn an_adopted_thing_is_adopted_once() {
    let rig = Rig::new();
    let upper = rig.open();
    let dir = upper.adopt_dir(ROOT, b"d", "d", attrs(0o755)).unwrap();
    assert_eq!(upper.adopt_dir(ROOT, b"d", "d", attrs(0o700)).unwrap(), dir);
    let error = upper.adopt_dir(ROOT, b"d", "other", attrs(0o700)).unwrap_err();
    assert_eq!(error.errno(), Errno::EXIST);
    let own = upper.mkdir(ROOT, b"own", new(0o700)).unwrap();
    let error = upper.adopt_dir(own, b"x", "own/x", attrs(0o700)).unwrap_err();
    assert_eq!(error.errno(), Errno::NOENT, "nothing shines through it");
    upper.hide(dir, b"x").unwrap();
    let error = upper
        .adopt_file(dir, b"x", &origin("d/x", 1), attrs(0o600))
        .unwrap_err();
    assert_eq!(error.errno(), Errno::NOENT);
    let huge = origin("d/y", 1 << 60);
    assert!(upper.adopt_file(dir, b"y", &huge, attrs(0o600)).is_err());
    let long = "x".repeat(5000);
    assert!(upper.adopt_dir(dir, b"z", &long, attrs(0o600)).is_err());
}

#[test]
fn extended_attributes() {
    let rig = Rig::new();
    let upper = rig.open();
    let (file, _) = upper.create(ROOT, b"f", new(0o600)).unwrap();
    let dir = upper.mkdir(ROOT, b"d", new(0o700)).unwrap();
    let below = upper
        .adopt_file(ROOT, b"b", &origin("b", 5), attrs(0o644))
        .unwrap();
    let link = upper.symlink(ROOT, b"l", b"x", new(0o777)).unwrap();
    assert_eq!(upper.xattrs(below).unwrap(), Vec::<Box<[u8]>>::new());
    assert_eq!(
        upper.content(below).unwrap().1,
        Data::Lower,
        "a look takes nothing up"
    );
    for id in [file, dir, below] {
        let errno =
            |name: &[u8], value: &[u8], how| upper.set_xattr(id, name, value, how).map_err(|e| e.errno());
        assert_eq!(errno(b"user.a", b"1", SetXattr::Replace), Err(Errno::NODATA));
        assert_eq!(errno(b"user.a", b"1", SetXattr::Create), Ok(()));
        assert_eq!(errno(b"user.a", b"2", SetXattr::Create), Err(Errno::EXIST));
        assert_eq!(errno(b"user.a", b"22", SetXattr::Replace), Ok(()));
        assert_eq!(errno(b"user.b", b"", SetXattr::Any), Ok(()));
        assert_eq!(errno(b"trusted.a", b"", SetXattr::Any), Err(Errno::OPNOTSUPP));
        assert_eq!(errno(b"user.", b"", SetXattr::Any), Err(Errno::OPNOTSUPP));
        assert_eq!(errno(b"user.forebay.x", b"", SetXattr::Any), Err(Errno::PERM));
        assert_eq!(errno(b"user.c", &[0; 70_000], SetXattr::Any), Err(Errno::TOOBIG));
        assert_eq!(&*upper.xattr(id, b"user.a").unwrap(), b"22");
        assert_eq!(upper.xattr(id, b"user.x").unwrap_err().errno(), Errno::NODATA);
        assert_eq!(
            upper.xattr(id, b"user.forebay.x").unwrap_err().errno(),
            Errno::NODATA
        );
        upper.remove_xattr(id, b"user.b").unwrap();
        assert_eq!(
            upper.remove_xattr(id, b"user.b").unwrap_err().errno(),
            Errno::NODATA
        );
        assert_eq!(upper.xattrs(id).unwrap(), [(&b"user.a"[..]).into()]);
    }
    assert_eq!(
        upper
            .set_xattr(link, b"user.a", b"", SetXattr::Any)
            .unwrap_err()
            .errno(),
        Errno::PERM
    );
    // Directories keep theirs in the journal, which has a limit of its own.
    let mut kept = 0;
    while upper
        .set_xattr(
            dir,
            format!("user.{kept}").as_bytes(),
            &[7; 60_000],
            SetXattr::Any,
        )
        .is_ok()
    {
        kept += 1;
    }
    assert_eq!(kept, 4);
    upper.shared.rewrite().unwrap();
    drop(upper);
    let upper = rig.open();
    for id in [file, dir, below] {
        assert_eq!(&*upper.xattr(id, b"user.a").unwrap(), b"22");
    }
    assert_eq!(upper.xattr(dir, b"user.3").unwrap().len(), 60_000);
}

#[test]
fn content_is_one_for_all_who_open_it() {
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper
        .adopt_file(ROOT, b"f", &origin("f", 100), attrs(0o640))
        .unwrap();
    assert_eq!(upper.content(id).unwrap().1, Data::Lower);
    let (one, two) = (upper.data(id).unwrap(), upper.data(id).unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(upper.content(id).unwrap().1, Data::Mapped { limit: 100 });
    let told = upper.attrs(id).unwrap();
    assert_eq!(
        (told.size, told.attrs.mode, told.attrs.mtime),
        (100, 0o640, 2_000_000_003)
    );
    let mut buf = [0; 10];
    assert!(matches!(one.read_at(&mut buf, 95).unwrap(), ReadData::Absent(_)));
    one.fill(0, &[5; 100]).unwrap();
    assert_eq!(two.read_at(&mut buf, 95).unwrap(), ReadData::Present(5));
    assert!(two.make_whole().unwrap() && one.whole_fd().is_some());
    assert_eq!(rig.files().len(), 2, "the map waits for the journal");
    upper.sync().unwrap();
    assert_eq!(rig.files().len(), 1);
    let dir = upper.mkdir(ROOT, b"d", new(0o700)).unwrap();
    assert_eq!(upper.data(dir).unwrap_err().errno(), Errno::INVAL);
    assert_eq!(upper.target(dir).unwrap_err().errno(), Errno::INVAL);
}
