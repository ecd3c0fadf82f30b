//! A mount of a client: what is in it, and what comes and goes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use forebay_testkit::rqbit::Rqbit;
use forebay_types::{Clock, SystemClock};

use super::commands::hostile;
use super::lab::{
    MIB, Seeder, album, bytes, errno, mount, open_file, same, status, wait_cached, world, xattr,
};
use crate::at::{At, may_mount};
use crate::harness::{World, files_below, names_in, on_disk, wait_for};

/// All files below it with their sizes.
fn tree(at: &Path) -> Vec<(String, u64)> {
    let name = |path: &Path| path.strip_prefix(at).unwrap().to_str().unwrap().to_owned();
    let mut all: Vec<_> = files_below(at)
        .iter()
        .map(|path| (name(path), std::fs::metadata(path).unwrap().len()))
        .collect();
    all.sort();
    all
}

/// Whether this kernel takes files over from a mount.
fn takes_files_over(world: &World) -> bool {
    std::fs::create_dir_all(world.path("local")).unwrap();
    world.write("local/f", "x");
    let at = At(world.path("mnt-local"));
    std::fs::create_dir(&at.0).unwrap();
    let local = world.path("local/").to_string_lossy().into_owned();
    world.run(&["mount", &local, at.name()]).ok();
    assert_eq!(std::fs::read(at.0.join("f")).unwrap(), b"x");
    let takes = status(world, &at)["mount"]["handed_over"] != 0;
    at.unmount(world);
    takes
}

#[test]
fn all_torrents_are_a_tree_of_files() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 6 * MIB + 5);
    let torrent = seeder.directory("album", &album());
    let cache = on_disk();
    let world = world().set("FOREBAY_CACHE_DIR", cache.path().join("cache").to_str().unwrap());
    let (at, _) = mount(&world, &seeder.url(""));
    let mut expected: Vec<_> = album()
        .iter()
        .map(|(name, bytes)| (format!("album/{name}"), bytes.len() as u64))
        .collect();
    expected.push(("film.mkv".to_owned(), film.bytes.len() as u64));
    expected.sort();
    assert_eq!(tree(&at.0), expected);
    for (name, bytes) in album() {
        assert!(
            std::fs::read(at.0.join("album").join(name)).unwrap() == bytes,
            "{name}"
        );
    }
    let path = at.0.join("film.mkv");
    assert!(std::fs::read(&path).unwrap() == film.bytes);
    for (path, hash) in [
        (path.clone(), film.torrent.hash()),
        (at.0.join("album/01 one.flac"), torrent.hash()),
        (at.0.join("album/empty"), torrent.hash()),
    ] {
        assert_eq!(xattr(&path, "progress"), "100");
        assert_eq!(xattr(&path, "state"), "live");
        assert_eq!(xattr(&path, "peers"), "0");
        assert_eq!(xattr(&path, "infohash"), hash);
        assert!(xattr(&path, "origin").starts_with(&seeder.url("")));
        let mut names = [0; 4096];
        let len = rustix::fs::listxattr(&path, &mut names[..]).unwrap();
        let names = String::from_utf8(names[..len].to_vec()).unwrap();
        for name in ["cached", "infohash", "peers", "progress", "state"] {
            assert!(names.contains(&format!("user.forebay.{name}\0")), "{names:?}");
        }
    }
    // A directory has nothing of the kind.
    let none = rustix::fs::getxattr(at.0.join("album"), "user.forebay.state", &mut [0; 16][..]);
    assert_eq!(none, Err(rustix::io::Errno::NODATA));

    // Once all of it is on the disk for good, whoever opens it reads it there.
    wait_cached(&path);
    let mode = || {
        let open = at.open("film.mkv");
        let mode = open_file(&status(&world, &at), "film.mkv")["mode"].clone();
        drop(open);
        mode
    };
    if takes_files_over(&world) {
        wait_for("the file to be handed over", || mode() == "passthrough");
    } else {
        eprintln!("not run: this kernel takes no files over");
    }
    assert!(std::fs::read(&path).unwrap() == film.bytes);
    at.unmount(&world);
}

#[test]
fn nothing_can_be_written_to_a_mount() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    seeder.film("film.mkv", 1, 1000);
    seeder.directory("album", &album());
    let world = world();
    let (at, _) = mount(&world, &seeder.url(""));
    let (film, album) = (at.0.join("film.mkv"), at.0.join("album"));
    let refused = [
        ("write", OpenOptions::new().write(true).open(&film).map(drop)),
        ("append", OpenOptions::new().append(true).open(&film).map(drop)),
        ("create", File::create(album.join("new")).map(drop)),
        ("mkdir", std::fs::create_dir(at.0.join("dir"))),
        ("remove", std::fs::remove_file(&film)),
        ("remove a directory", std::fs::remove_dir_all(&album)),
        ("rename", std::fs::rename(&film, at.0.join("other"))),
        ("link", std::fs::hard_link(&film, at.0.join("other"))),
        (
            "symlink",
            std::os::unix::fs::symlink("film.mkv", at.0.join("other")),
        ),
        (
            "chmod",
            std::fs::set_permissions(&film, std::fs::Permissions::from_mode(0o777)),
        ),
    ];
    for (what, outcome) in refused {
        assert_eq!(errno(outcome), libc::EROFS, "{what}");
    }
    assert_eq!(names_in(&at.0), ["album", "film.mkv"]);
    at.unmount(&world);
}

#[test]
fn names_that_mean_harm_lead_nowhere_else() {
    if !may_mount() {
        return;
    }
    let (rqbit, mut shown) = hostile();
    let world = world();
    let (at, _) = mount(&world, &rqbit.rqbit_url());
    let found = tree(&at.0);
    shown.sort();
    assert_eq!(found.len(), shown.len(), "{found:?}");
    for (name, len) in &shown {
        let matches = |(shown, size): &&(String, u64)| {
            size == len && (shown == name || (name.ends_with('~') && shown.starts_with(name)))
        };
        assert!(found.iter().any(|file| matches(&file)), "no {name} in {found:?}");
    }
    assert_eq!(xattr(&at.0.join("bad_]0;title_/run"), "progress"), "0");
    at.unmount(&world);
}

#[test]
fn what_is_executable_in_a_torrent_is_so_in_a_mount() {
    if !may_mount() {
        return;
    }
    let (rqbit, _) = hostile();
    let world = world();
    let (at, _) = mount(&world, &rqbit.rqbit_url());
    let mode = |name: &str| {
        let path = at.0.join("bad_]0;title_").join(name);
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("run") & 0o111, mode("~") & 0o111), (0o111, 0));
    at.unmount(&world);
}

#[test]
fn one_torrent_and_one_file_can_be_mounted_too() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 100_000);
    let torrent = seeder.directory("album", &album());
    let world = world();
    for (url, file) in [
        ("album/".to_owned(), "sub d\u{ef}r/02.flac"),
        (format!("{}/", torrent.hash()), "sub d\u{ef}r/02.flac"),
        ("album/sub d\u{ef}r/".to_owned(), "02.flac"),
        ("album/sub d\u{ef}r/02.flac".to_owned(), "02.flac"),
    ] {
        let (at, _) = mount(&world, &seeder.url(&url));
        let read = std::fs::read(at.0.join(file)).unwrap();
        assert!(read == bytes(3, 3 * MIB + 1), "{url}");
        assert_eq!(xattr(&at.0.join(file), "infohash"), torrent.hash());
        at.unmount(&world);
    }
    let (at, _) = mount(&world, &seeder.url("film.mkv"));
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
    at.unmount(&world);
    let at = At::new(&world);
    for none in ["films", "album/none/"] {
        world
            .run(&["mount", &seeder.url(none), at.name()])
            .fails(3, &[none]);
    }
    assert!(!at.is_mounted());
}

#[test]
fn torrents_come_and_go_while_they_are_mounted() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 1000);
    // The kernel would believe for an hour what it was told once.
    let world = world().set("FOREBAY_MOUNT_TTL", "1h");
    let (at, _) = mount(&world, &seeder.url(""));
    assert_eq!(names_in(&at.0), ["film.mkv"]);
    let looked = |name: &str| std::fs::metadata(at.0.join(name));
    let later = seeder.film("later.mkv", 2, 2000);
    let album_torrent = seeder.directory("album", &album());
    wait_for("the new torrents", || {
        names_in(&at.0) == ["album", "film.mkv", "later.mkv"]
    });
    assert!(std::fs::read(at.0.join("later.mkv")).unwrap() == later.bytes);
    assert!(looked("album/z").is_ok());
    // And a program that only asks for a name hears that it is gone.
    assert!(looked("film.mkv").is_ok());
    seeder.rqbit.remove(film.torrent.hash()).unwrap();
    seeder.rqbit.remove(album_torrent.hash()).unwrap();
    wait_for("the end of the name", || looked("film.mkv").is_err());
    assert_eq!(errno(looked("film.mkv")), libc::ENOENT);
    wait_for("the end of what is below a name", || looked("album/z").is_err());
    wait_for("the end in the directory", || names_in(&at.0) == ["later.mkv"]);
    // It comes again, and is what it was.
    let again = seeder.film("film.mkv", 1, 1000);
    assert_eq!(again.torrent.hash(), film.torrent.hash());
    wait_for("the torrent that came again", || {
        names_in(&at.0) == ["film.mkv", "later.mkv"]
    });
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
    at.unmount(&world);
}

#[test]
fn a_name_that_was_asked_for_too_early_is_there_when_its_torrent_is() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    seeder.film("film.mkv", 1, 1000);
    let world = world().set("FOREBAY_MOUNT_TTL", "1h");
    let (at, _) = mount(&world, &seeder.url(""));
    assert_eq!(names_in(&at.0), ["film.mkv"]);
    let looked = || std::fs::metadata(at.0.join("later.mkv"));
    assert_eq!(errno(looked()), libc::ENOENT);
    let later = seeder.film("later.mkv", 2, 2000);
    wait_for("the new torrent by its name", || looked().is_ok());
    assert!(std::fs::read(at.0.join("later.mkv")).unwrap() == later.bytes);
    at.unmount(&world);
}

#[test]
fn an_open_file_of_a_removed_torrent_gives_what_is_cached() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::slow(1 << 20);
    let film = seeder.film("film.mkv", 1, 24 * MIB);
    let client = Rqbit::builder().start().unwrap();
    client.add(&film.torrent, &seeder.peers()).unwrap();
    let world = world();
    let (at, _) = mount(&world, &client.rqbit_url());
    let open = at.open("film.mkv");
    same(&open, &film.bytes, 0, MIB);
    client.remove(film.torrent.hash()).unwrap();
    wait_for("the end of the name", || {
        std::fs::metadata(at.0.join("film.mkv")).is_err()
    });
    same(&open, &film.bytes, 0, MIB);
    let clock = SystemClock::new();
    let mut piece = [0; 4096];
    let error = errno(open.read_exact_at(&mut piece, 20 * MIB as u64));
    assert!(matches!(error, libc::ESTALE | libc::EIO), "{error}");
    assert!(clock.now().as_secs() < 25, "{:?}", clock.now());
    same(&open, &film.bytes, 0, MIB);
    assert_eq!(errno(File::open(at.0.join("film.mkv"))), libc::ENOENT);
    drop(open);
    at.unmount(&world);
}
