use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::overlay::tests::{BASE, Rig, clock};
use crate::overlay::{NodeId, Upper};

#[test]
fn names_of_files_lead_back_to_their_nodes() {
    for id in [1, 0xAB, 0xFFFF_FFFF_FFFF_FFFF] {
        let name = data_name(NodeId(id));
        let (shard, file) = name.split_once('/').unwrap();
        let shard = u8::from_str_radix(shard, 16).unwrap();
        assert_eq!(parse(shard, file), Some(Found::Data(NodeId(id))));
        assert_eq!(parse(shard, &format!("{file}.map")), Some(Found::Map(NodeId(id))));
        assert_eq!(parse(shard, &format!("{file}.ctime")), Some(Found::Rest));
        assert_eq!(parse(shard.wrapping_add(1), file), None);
        assert_eq!(parse(shard, &format!("{file}x")), None);
        assert_eq!(parse(shard, &file[1..]), None);
    }
    assert_eq!(parse(0, "+000000000000100"), None);
}

#[test]
fn a_second_open_is_told_who_has_it() {
    let rig = Rig::new();
    let upper = rig.open();
    let error = rig.try_open().unwrap_err();
    assert!(matches!(error, OverlayError::Busy { holder: Some(pid), .. } if pid == std::process::id()));
    let text = error.to_string();
    assert!(
        text.contains(&format!("by process {}", std::process::id())),
        "{text}"
    );
    drop(upper);
    rig.open();
}

#[test]
fn an_open_file_keeps_the_lock() {
    let rig = Rig::new();
    let upper = rig.open();
    let (_, file) = upper
        .create(upper.root(), b"f", crate::overlay::tests::new(0o600))
        .unwrap();
    drop(upper);
    assert!(matches!(rig.try_open(), Err(OverlayError::Busy { .. })));
    drop(file);
    rig.open();
}

#[test]
fn another_base_is_refused_and_both_are_said() {
    let rig = Rig::new();
    rig.open();
    let text = Upper::open(&rig.path(), "gs://other\ntwo", clock())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains(BASE) && text.contains("gs://other\\u{a}two"),
        "{text}"
    );
    rig.open();
    // A base of two lines is one, escaped, and found again.
    let rig = Rig::new();
    for _ in 0..2 {
        Upper::open(&rig.path(), "gs://other\ntwo", clock()).unwrap();
    }
}

#[test]
fn another_version_is_refused_and_both_are_said() {
    let rig = Rig::new();
    rig.open();
    let format = rig.path().join("format");
    std::fs::write(&format, format!("forebay overlay 2\n{BASE}\n")).unwrap();
    let text = rig.try_open().unwrap_err().to_string();
    assert!(
        text.contains("'forebay overlay 2'") && text.contains("'forebay overlay 1'"),
        "{text}"
    );
}

#[test]
fn what_is_no_directory_of_ours_is_left_alone() {
    let rig = Rig::new();
    let path = rig.path();
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(path.join("thesis.tex"), "x").unwrap();
    let text = rig.try_open().unwrap_err().to_string();
    assert!(text.contains("thesis.tex"), "{text}");
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    std::fs::remove_file(path.join("thesis.tex")).unwrap();

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(
        rig.try_open(),
        Err(OverlayError::OpenToOthers { mode: 0o770, .. })
    ));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    rig.open();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let link = rig.dir.path().join("link");
    symlink(&path, &link).unwrap();
    for path in [link, path.join("format")] {
        let error = Upper::open(&path, BASE, clock()).unwrap_err();
        assert!(matches!(error, OverlayError::NotADirectory { .. }), "{error}");
    }
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    if rustix::process::geteuid().as_raw() != 0 {
        println!("skipped: only root can give a directory away");
        return;
    }
    let rig = Rig::new();
    std::fs::create_dir(rig.path()).unwrap();
    std::os::unix::fs::chown(rig.path(), Some(1234), None).unwrap();
    let error = rig.try_open().unwrap_err();
    assert!(matches!(
        error,
        OverlayError::NotOwner {
            owner: 1234,
            user: 0,
            ..
        }
    ));
}

#[test]
fn planted_links_are_not_followed() {
    for name in ["names", "format", "data", "lock"] {
        let rig = Rig::new();
        rig.open();
        let other = Rig::new();
        other.open();
        let file = rig.path().join(name);
        if name == "data" {
            std::fs::remove_dir(&file).unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        symlink(other.path().join(name), &file).unwrap();
        let error = rig.try_open().unwrap_err();
        assert!(matches!(error, OverlayError::Io { .. }), "{name}: {error}");
    }
}
