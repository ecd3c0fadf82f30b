#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[test]
fn network_file_systems_are_known_by_their_numbers() {
    for (kind, name) in [
        (0x6969, "NFS"),
        (0xFE53_4D42, "SMB2"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9p"),
    ] {
        assert_eq!(shared(kind), Some(name));
    }
    // On machines of 32 bits the number is signed.
    assert_eq!(shared(0xFF53_4D42_u32 as i32 as u64), Some("CIFS"));
    for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
        assert_eq!(shared(local), None);
    }
}

#[test]
fn what_is_made_is_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = prepare(&dir.path().join("a/b/log.db"), "x").unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    prepare(&path, "x").unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_directory_that_others_write_to_is_refused_unless_it_is_sticky() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).unwrap();
    let error = prepare(&dir.path().join("log.db"), "x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("others may write"), "{error}");
    assert!(!dir.path().join("log.db").exists());
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
    prepare(&dir.path().join("log.db"), "x").unwrap();
}

#[test]
fn what_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    for wrong in ["link", "sub", "..", "sub/.."] {
        let error = prepare(&dir.path().join(wrong), "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}: {error}");
    }
}
