//! The socket: who may ask, and what becomes of it.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use rustix::process::{Signal, kill_process};

use super::*;

/// Where runs put their sockets unless the session has a place for them.
fn beside_the_cache(world: &World) -> PathBuf {
    world.home().join("xdg-cache/forebay-run")
}

/// The only socket in `dir`.
fn only(dir: &Path) -> PathBuf {
    let names = names_in(dir);
    assert_eq!(names.len(), 1, "{names:?}");
    dir.join(&names[0])
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn restrict(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What the socket says, as any program that can connect gets it.
fn listen(socket: &Path) -> std::io::Result<String> {
    let mut said = String::new();
    UnixStream::connect(socket)?.read_to_string(&mut said)?;
    Ok(said)
}

/// The same as user nobody; only this thread becomes him.
fn listen_as_nobody(socket: &Path) -> std::io::Result<String> {
    let socket = socket.to_owned();
    let asking = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        listen(&socket)
    });
    asking.join().unwrap()
}

#[test]
fn only_its_owner_reaches_it() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let dir = beside_the_cache(&world);
    let socket = only(&dir);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&socket), 0o600);
    assert!(
        std::fs::symlink_metadata(&socket)
            .unwrap()
            .file_type()
            .is_socket()
    );
    // Any program can ask: it is one line.
    let said = listen(&socket).unwrap();
    assert!(said.ends_with('\n') && said.matches('\n').count() == 1, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["pid"], status(&world, &at)["pid"]);
    let refused = listen_as_nobody(&socket).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    at.unmount(&world);
}

#[test]
fn who_gets_to_it_all_the_same_is_told_nothing() {
    if !may_mount() {
        return;
    }
    // Where anybody may go.
    let open = tempfile::tempdir().unwrap();
    restrict(open.path(), 0o755);
    let world = World::new().set("XDG_RUNTIME_DIR", open.path().to_str().unwrap());
    std::fs::create_dir_all(world.path("data")).unwrap();
    let at = At::new(&world);
    mount(&world, &data(&world), &at);
    assert!(!beside_the_cache(&world).exists());
    let dir = open.path().join("forebay");
    let socket = only(&dir);
    restrict(&dir, 0o755);
    restrict(&socket, 0o666);
    match listen_as_nobody(&socket) {
        Ok(said) => assert_eq!(said, ""),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(!listen(&socket).unwrap().is_empty(), "its owner still is");
    // A mount started in the session is found from outside of it only if there it is looked for.
    status(&world, &at);
    at.unmount(&world);
    wait_for("the socket's end", || names_in(&dir).is_empty());
}

#[test]
fn it_goes_with_the_mount() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let dir = beside_the_cache(&world);
    only(&dir);
    at.unmount(&world);
    wait_for("the socket's end", || names_in(&dir).is_empty());
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = world.spawn(&["mount", "--foreground", &data(&world), at.name()]);
        wait_for("the socket", || {
            names_in(&dir).iter().any(|name| name.ends_with(".sock"))
        });
        wait_for("the mount", || at.0.join("a").exists());
        kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(names_in(&dir).is_empty(), "{signal:?}");
    }
}

#[test]
fn one_that_a_killed_process_left_is_replaced() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let dir = beside_the_cache(&world);
    let first = status(&world, &at);
    let left = only(&dir);
    kill_process(pid(&first), Signal::KILL).unwrap();
    wait_for("the end of the daemon", || std::fs::read(at.0.join("a")).is_err());
    ask(&world, &at).fails(1, &["does not tell what it does", "unmount"]);
    at.unmount(&world);
    assert!(left.exists(), "nobody was left to remove it");
    ask(&world, &at).fails(3, &["nothing is mounted by forebay"]);
    mount(&world, &data(&world), &at);
    assert_eq!(only(&dir), left, "the mount point names it");
    assert_ne!(status(&world, &at)["pid"], first["pid"]);
    at.unmount(&world);
    wait_for("the socket's end", || names_in(&dir).is_empty());
}

#[test]
fn peers_that_do_not_read_hold_up_nobody() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let socket = only(&beside_the_cache(&world));
    let idle: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert_eq!(std::fs::read(at.0.join("a")).unwrap().len(), 100_000);
    status(&world, &at);
    drop(idle);
    at.unmount(&world);
}

#[test]
fn a_mount_that_stands_still_is_not_waited_for_for_ever() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let pid = pid(&status(&world, &at));
    kill_process(pid, Signal::STOP).unwrap();
    let asked = ask(&world, &at);
    kill_process(pid, Signal::CONT).unwrap();
    asked.fails(1, &["does not tell what it does", "timed out"]);
    status(&world, &at);
    at.unmount(&world);
}

#[test]
fn a_place_that_cannot_be_trusted_is_passed_over() {
    if !may_mount() {
        return;
    }
    let runtime = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), runtime.path().join("forebay")).unwrap();
    let world = World::new().set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    std::fs::create_dir_all(world.path("data")).unwrap();
    let at = At::new(&world);
    mount(&world, &data(&world), &at);
    assert!(names_in(elsewhere.path()).is_empty());
    only(&beside_the_cache(&world));
    status(&world, &at);
    at.unmount(&world);
}
