//! Names: what is below, above, removed, and moved.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use forebay_vfs::Ino;
use forebay_vfs::merged::MergedError;
use forebay_vfs::overlay::{NodeKind, Rename, SetXattr, SpecialKind};
use rustix::io::Errno;

use crate::merged_world::{Layers, errno, new};
use crate::world::within;

fn layers() -> Layers {
    Layers::with(&[
        ("a", "below a"),
        ("b", "below b"),
        ("d/x", "below x"),
        ("d/e/y", "below y"),
        ("d/e/z", "below z"),
        ("f/g", "below g"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_above_hides_what_is_below() {
    let layers = layers();
    let mount = layers.mount();
    assert_eq!(mount.ls("").await, ["a", "b", "d/", "f/"]);
    mount.write("a", "above").await.unwrap();
    mount.write("c", "new").await.unwrap();
    mount.unlink("b").await.unwrap();
    mount.mkdir("b").await.unwrap();
    mount.symlink("d/link", "e/y").await.unwrap();
    assert_eq!(mount.ls("").await, ["a", "b/", "c", "d/", "f/"]);
    assert_eq!(mount.ls("d").await, ["e/", "link@", "x"]);
    assert_eq!(mount.ls("d/e").await, ["y", "z"]);
    assert_eq!(mount.text("a").await, "above");
    assert_eq!(mount.text("d/e/y").await, "below y");
    let link = mount.walk("d/link").await.unwrap();
    assert_eq!(&*within(mount.merged.read_link(link.ino)).await.unwrap(), b"e/y");
    mount.forget_all();
    drop(mount);
    let mount = layers.mount();
    assert_eq!(mount.ls("").await, ["a", "b/", "c", "d/", "f/"]);
    assert_eq!(mount.ls("d").await, ["e/", "link@", "x"]);
    assert_eq!(mount.text("c").await, "new");
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_below_are_taken() {
    let layers = layers();
    let mount = layers.mount();
    for path in ["a", "d", "d/e", "d/e/y"] {
        assert_eq!(errno(mount.create(path).await), Errno::EXIST, "{path}");
        assert_eq!(errno(mount.mkdir(path).await), Errno::EXIST);
        assert_eq!(errno(mount.symlink(path, "x").await), Errno::EXIST);
        assert_eq!(errno(mount.link("b", path).await), Errno::EXIST);
        assert_eq!(
            errno(mount.rename("b", path, Rename::NoReplace).await),
            Errno::EXIST
        );
    }
    for path in ["none", "d/none"] {
        assert_eq!(errno(mount.unlink(path).await), Errno::NOENT);
        assert_eq!(errno(mount.rmdir(path).await), Errno::NOENT);
        assert_eq!(errno(mount.mv(path, "to").await), Errno::NOENT);
        assert_eq!(
            errno(mount.rename("a", path, Rename::Exchange).await),
            Errno::NOENT
        );
    }
    assert_eq!(errno(mount.unlink("d").await), Errno::ISDIR);
    assert_eq!(errno(mount.rmdir("a").await), Errno::NOTDIR);
    assert_eq!(errno(mount.rmdir("d").await), Errno::NOTEMPTY);
    assert_eq!(errno(mount.link("d", "hard").await), Errno::PERM);
    assert_eq!(errno(mount.mv("a", "d").await), Errno::ISDIR);
    assert_eq!(errno(mount.mv("d", "a").await), Errno::NOTDIR);
    assert_eq!(errno(mount.mv("f", "d").await), Errno::NOTEMPTY);
    assert_eq!(errno(mount.mv("d", "d/e/inside").await), Errno::INVAL);
    let long = "x".repeat(256);
    assert_eq!(errno(mount.create(&long).await), Errno::NAMETOOLONG);
    assert_eq!(errno(mount.lookup(Ino::ROOT, &long).await), Errno::NAMETOOLONG);
    // Nothing of that made a change.
    assert_eq!(mount.merged.upper().changes().count(), 0);
    assert_eq!(mount.ls("").await, ["a", "b", "d/", "f/"]);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_stays_removed() {
    let layers = layers();
    for _ in 0..2 {
        let mount = layers.mount();
        if mount.walk("a").await.is_ok() {
            for path in ["a", "d/x", "d/e/y", "d/e/z"] {
                mount.unlink(path).await.unwrap();
                assert_eq!(errno(mount.walk(path).await), Errno::NOENT);
            }
            // Directories whose lower names are all hidden.
            mount.rmdir("d/e").await.unwrap();
            mount.rmdir("d").await.unwrap();
        }
        assert_eq!(mount.ls("").await, ["b", "f/"]);
        assert_eq!(errno(mount.walk("d").await), Errno::NOENT);
        mount.forget_all();
    }
    // Made anew, it has none of the old names.
    let mount = layers.mount();
    mount.mkdir("d").await.unwrap();
    assert_eq!(mount.ls("d").await, [""; 0]);
    mount.create("d/x").await.unwrap();
    mount.create("a").await.unwrap();
    assert_eq!(mount.text("d/x").await, "");
    // And gone again, the lower ones do not come back; one that never was below leaves nothing.
    mount.unlink("d/x").await.unwrap();
    mount.rmdir("d").await.unwrap();
    mount.unlink("a").await.unwrap();
    mount.create("fresh").await.unwrap();
    mount.unlink("fresh").await.unwrap();
    assert_eq!(mount.ls("").await, ["b", "f/"]);
    assert_eq!(
        mount
            .merged
            .upper()
            .entries(mount.merged.upper().root())
            .unwrap()
            .len(),
        2
    );
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_directory_moves_with_all_that_is_in_it() {
    let layers = layers();
    let mount = layers.mount();
    let held = mount.walk("d/e/y").await.unwrap();
    let dir = mount.walk("d").await.unwrap();
    mount.mv("d", "f/moved").await.unwrap();
    assert_eq!(errno(mount.walk("d").await), Errno::NOENT);
    assert_eq!(mount.ls("f").await, ["g", "moved/"]);
    // Numbers stay, and what is in it is found under the new name.
    assert_eq!(mount.walk("f/moved").await.unwrap().ino, dir.ino);
    assert_eq!(mount.walk("f/moved/e/y").await.unwrap().ino, held.ino);
    assert_eq!(mount.text("f/moved/e/y").await, "below y");
    assert_eq!(mount.merged.path(held.ino).unwrap(), b"f/moved/e/y");
    // Changed by its number, it is changed there.
    mount.write("f/moved/e/y", "above y").await.unwrap();
    mount.mv("f/moved/e", "e").await.unwrap();
    assert_eq!(mount.text("e/y").await, "above y");
    assert_eq!(mount.text("e/z").await, "below z");
    assert_eq!(mount.ls("f/moved").await, ["x"]);
    assert_eq!(mount.merged.path(held.ino).unwrap(), b"e/y");
    mount.forget_all();
    drop(mount);
    let mount = layers.mount();
    assert_eq!(mount.ls("").await, ["a", "b", "e/", "f/"]);
    assert_eq!(mount.ls("f/moved").await, ["x"]);
    assert_eq!(mount.text("e/y").await, "above y");
    assert_eq!(mount.text("e/z").await, "below z");
    let z = mount.walk("e/z").await.unwrap();
    mount.unlink("e/z").await.unwrap();
    assert_eq!(mount.ls("e").await, ["y"]);
    assert_eq!(within(mount.merged.attr(z.ino)).await.unwrap().nlink, 0);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_moved_over_what_is_below_and_exchanged() {
    let layers = layers();
    let mount = layers.mount();
    let (a, b) = (mount.walk("a").await.unwrap(), mount.walk("b").await.unwrap());
    mount.rename("a", "b", Rename::Exchange).await.unwrap();
    assert_eq!(
        (mount.text("a").await, mount.text("b").await),
        ("below b".into(), "below a".into())
    );
    assert_eq!(
        (
            mount.walk("a").await.unwrap().ino,
            mount.walk("b").await.unwrap().ino
        ),
        (b.ino, a.ino)
    );
    mount.rename("a", "d", Rename::Exchange).await.unwrap();
    assert_eq!(mount.ls("a").await, ["e/", "x"]);
    assert_eq!(mount.text("d").await, "below b");
    let x = mount.walk("a/x").await.unwrap();
    mount.mv("d", "a/x").await.unwrap();
    assert_eq!(mount.text("a/x").await, "below b");
    assert_eq!(within(mount.merged.attr(x.ino)).await.unwrap().nlink, 0);
    assert_eq!(mount.ls("").await, ["a/", "b", "f/"]);
    // Onto itself nothing happens.
    mount.mv("a/e/y", "a/e/y").await.unwrap();
    // A directory over an empty one.
    mount.mkdir("empty").await.unwrap();
    mount.mv("f", "empty").await.unwrap();
    assert_eq!(mount.ls("empty").await, ["g"]);
    assert_eq!(mount.text("empty/g").await, "below g");
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_are_one_file() {
    let layers = layers();
    let mount = layers.mount();
    let made = mount.link("d/x", "hard").await.unwrap();
    assert_eq!((made.nlink, made.ino), (2, mount.walk("d/x").await.unwrap().ino));
    mount.link("hard", "f/third").await.unwrap();
    mount.write("f/third", "written").await.unwrap();
    assert_eq!(mount.text("d/x").await, "written");
    mount.unlink("d/x").await.unwrap();
    assert_eq!(within(mount.merged.attr(made.ino)).await.unwrap().nlink, 2);
    // Two names of one file: nothing happens.
    mount.mv("hard", "f/third").await.unwrap();
    mount.forget_all();
    drop(mount);
    let mount = layers.mount();
    let (one, two) = (
        mount.walk("hard").await.unwrap(),
        mount.walk("f/third").await.unwrap(),
    );
    assert_eq!((one.ino, one.nlink), (two.ino, 2));
    assert_eq!(errno(mount.walk("d/x").await), Errno::NOENT);
    mount.unlink("hard").await.unwrap();
    mount.unlink("f/third").await.unwrap();
    assert_eq!(within(mount.merged.attr(one.ino)).await.unwrap().nlink, 0);
    assert_eq!(
        errno(within(mount.merged.link(one.ino, Ino::ROOT, OsStr::new("again"))).await),
        Errno::NOENT
    );
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_bytes_pipes_and_attributes() {
    let layers = layers();
    let mount = layers.mount();
    let name = OsStr::from_bytes(b"\xff\xfe");
    let made = mount
        .merged
        .mknod(Ino::ROOT, name, SpecialKind::Fifo, 0, new(0o600));
    let made = mount.took(within(made).await.unwrap());
    assert_eq!(made.kind, NodeKind::Special(SpecialKind::Fifo));
    let found = mount.took(within(mount.merged.lookup(Ino::ROOT, name)).await.unwrap());
    assert_eq!(found.ino, made.ino);
    for path in ["a", "d", ""] {
        let ino = mount.walk(path).await.unwrap().ino;
        let merged = &mount.merged;
        assert!(within(merged.xattrs(ino)).await.unwrap().is_empty());
        assert!(within(merged.xattr(ino, b"user.k")).await.is_err());
        assert!(within(merged.remove_xattr(ino, b"user.k")).await.is_err());
        assert!(
            within(merged.set_xattr(ino, b"user.k", b"v", SetXattr::Replace))
                .await
                .is_err()
        );
        let refused = within(merged.set_xattr(ino, b"trusted.k", b"v", SetXattr::Any)).await;
        assert_eq!(errno(refused), Errno::OPNOTSUPP);
        within(merged.set_xattr(ino, b"user.k", b"v", SetXattr::Create))
            .await
            .unwrap();
        assert_eq!(&*within(merged.xattr(ino, b"user.k")).await.unwrap(), b"v");
        assert_eq!(
            within(merged.xattrs(ino)).await.unwrap(),
            [Box::from(&b"user.k"[..])]
        );
    }
    assert_eq!(mount.text("a").await, "below a");
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_directory_takes_no_names() {
    let layers = layers();
    let mount = layers.mount();
    mount.mkdir("made").await.unwrap();
    let made = mount.walk("made").await.unwrap().ino;
    mount.unlink("f/g").await.unwrap();
    let lower = mount.walk("f").await.unwrap().ino;
    mount.rmdir("made").await.unwrap();
    mount.rmdir("f").await.unwrap();
    for ino in [made, lower] {
        let refused = within(mount.merged.create(ino, OsStr::new("x"), new(0o644))).await;
        assert_eq!(errno(refused), Errno::NOENT);
        let missing = within(mount.merged.lookup(ino, OsStr::new("g"))).await;
        assert!(
            matches!(missing, Err(MergedError::NotFound { .. })),
            "{missing:?}"
        );
        assert!(within(mount.merged.read_dir(ino)).await.unwrap().is_empty());
    }
    mount.forget_all();
}
