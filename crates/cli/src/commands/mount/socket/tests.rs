use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn restrict(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_name_is_the_hash_of_the_path() {
    // As `printf %s /mnt/models | xxhsum -H2` says it.
    assert_eq!(
        name(Path::new("/mnt/models"), Purpose::Status).len(),
        32 + ".sock".len()
    );
    assert_eq!(
        name(Path::new(""), Purpose::Status),
        "99aa06d3014798d86001c324468d497f.sock"
    );
    assert_ne!(
        name(Path::new("/mnt/a"), Purpose::Status),
        name(Path::new("/mnt/b"), Purpose::Status)
    );
}

#[test]
fn a_directory_that_others_could_change_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let dir = Dir::make(&at("new/run")).unwrap();
    assert_eq!(mode(&dir.path), 0o700);
    // Readable by others was an accident and is mended; writable by others it may hold anything.
    restrict(&dir.path, 0o755);
    Dir::make(&dir.path).unwrap();
    assert_eq!(mode(&dir.path), 0o700);
    restrict(&dir.path, 0o777);
    let refused = Dir::make(&dir.path).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    assert!(refused.to_string().contains("others"), "{refused}");
    restrict(&dir.path, 0o700);
    std::os::unix::fs::symlink(&dir.path, at("link")).unwrap();
    let refused = Dir::make(&at("link")).unwrap_err();
    assert!(refused.to_string().contains("symbolic link"), "{refused}");
    if geteuid().is_root() {
        std::os::unix::fs::chown(&dir.path, Some(65534), None).unwrap();
        let refused = Dir::make(&dir.path).unwrap_err();
        assert!(refused.to_string().contains("user 65534"), "{refused}");
    }
}

#[tokio::test]
async fn the_first_place_that_can_be_used_is() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "").unwrap();
    let places = [home.path().join("file/run"), home.path().join("run")];
    let mountpoint = Path::new("/mnt/x");
    let socket = Socket::listen(&places, mountpoint, Purpose::Status).unwrap();
    let path = places[1].join(name(mountpoint, Purpose::Status));
    assert_eq!(mode(&path), 0o600);
    // A later one takes its name; the earlier one leaves that alone.
    let later = Socket::listen(&places, mountpoint, Purpose::Status).unwrap();
    let inode = std::fs::symlink_metadata(&path).unwrap().ino();
    assert_eq!(inode, later.inode);
    drop(socket);
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().ino(), inode);
    drop(later);
    assert!(std::fs::read_dir(&places[1]).unwrap().next().is_none());
    let gone = ask(&places, mountpoint).await.unwrap_err();
    assert_ne!(gone.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn the_session_s_directory_has_to_be_our_own() {
    let home = tempfile::tempdir().unwrap();
    let env = Env {
        runtime_dir: Some(home.path().to_owned()),
        cache_home: Some("/cache".into()),
        ..Env::default()
    };
    assert_eq!(
        places(&env)[..2],
        [home.path().join("forebay"), "/cache/forebay-run".into()]
    );
    let env = Env {
        runtime_dir: Some("/nowhere".into()),
        ..env
    };
    assert_eq!(places(&env)[0], Path::new("/cache/forebay-run"));
    let system = places(&Env::default());
    assert_eq!(system.is_empty(), !geteuid().is_root(), "{system:?}");
}
