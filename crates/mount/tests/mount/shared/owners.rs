//! Whose is what is created, and who may do what, in a mount: needs root, which can be anybody.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::Place;

const SOMEBODY: u32 = 12_345;
const GROUP: u32 = 23_456;

/// Runs a script in the mount as somebody; whether it went well.
fn as_somebody(place: &impl Place, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir("/");
    command.env("AT", place.at("")).uid(SOMEBODY).gid(GROUP);
    command
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Whether somebody gets to the mount at all: the directories that lead there are not ours.
fn gets_there(place: &impl Place) -> bool {
    let there = as_somebody(place, "cd \"$AT\"");
    if !there {
        eprintln!("not run: other users do not get to {}", place.at("").display());
    }
    there
}

pub(crate) fn what_somebody_creates_is_theirs(place: &impl Place) {
    if !gets_there(place) {
        return;
    }
    fs::create_dir(place.at("open")).unwrap();
    fs::set_permissions(place.at("open"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(place.at("group")).unwrap();
    chown(place.at("group"), None, Some(777)).unwrap();
    fs::set_permissions(place.at("group"), fs::Permissions::from_mode(0o2777)).unwrap();
    for (dir, group) in [("open", GROUP), ("group", 777)] {
        let script = format!(
            "cd \"$AT/{dir}\" && umask 027 && echo text > file && mkdir dir && ln -s x link && mkfifo fifo"
        );
        assert!(as_somebody(place, &script));
        for (name, mode) in [
            ("file", 0o100_640),
            ("dir", 0o040_750),
            ("link", 0o120_777),
            ("fifo", 0o010_640),
        ] {
            let real = fs::symlink_metadata(place.real(&format!("{dir}/{name}"))).unwrap();
            assert_eq!((real.uid(), real.gid()), (SOMEBODY, group), "{dir}/{name}");
            // Directories hand the bit on.
            let mode = if (dir, name) == ("group", "dir") {
                mode | 0o2000
            } else {
                mode
            };
            assert_eq!(format!("{:o}", real.mode()), format!("{mode:o}"), "{dir}/{name}");
        }
    }
    place.is_the_same();
}

pub(crate) fn modes_and_owners_are_heeded(place: &impl Place) {
    if !gets_there(place) {
        return;
    }
    fs::write(place.at("secret"), "root's").unwrap();
    fs::set_permissions(place.at("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    for script in [
        "cat \"$AT/secret\"",
        "echo x > \"$AT/new\"",
        "rm -f \"$AT/secret\"",
        "chmod 777 \"$AT/secret\"",
    ] {
        assert!(!as_somebody(place, script), "{script}");
    }
    assert_eq!(fs::read_to_string(place.real("secret")).unwrap(), "root's");
    place.is_the_same();
}

pub(crate) fn set_user_id_goes_with_a_write_of_somebody_else(place: &impl Place) {
    if !gets_there(place) {
        return;
    }
    for (script, kept) in [
        ("echo x >> \"$AT/file\"", 0o777),
        ("echo x > \"$AT/file\"", 0o777),
        ("truncate -s 3 \"$AT/file\"", 0o777),
        ("cat \"$AT/file\" > /dev/null", 0o6777),
    ] {
        fs::write(place.at("file"), "content").unwrap();
        fs::set_permissions(place.at("file"), fs::Permissions::from_mode(0o6777)).unwrap();
        assert!(as_somebody(place, script), "{script}");
        let mode = fs::metadata(place.real("file")).unwrap().mode() & 0o7777;
        assert_eq!(format!("{mode:o}"), format!("{kept:o}"), "{script}");
        let shown = fs::metadata(place.at("file")).unwrap().mode() & 0o7777;
        assert_eq!(shown, mode, "{script}");
    }
    // Root's own writes leave it.
    fs::set_permissions(place.at("file"), fs::Permissions::from_mode(0o6777)).unwrap();
    let file = fs::OpenOptions::new()
        .append(true)
        .open(place.at("file"))
        .unwrap();
    std::io::Write::write_all(&mut &file, b"more").unwrap();
    assert_eq!(fs::metadata(place.real("file")).unwrap().mode() & 0o7777, 0o6777);
}
