//! User and password of a client: what they are good for, and where they are not to be seen.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use forebay_testkit::rqbit::Rqbit;
use rustix::process::{Pid, Signal, kill_process};

use super::lab::{Film, MIB, Seeder, mount, world, xattr};
use super::{PASSWORD, no_password, words_of};
use crate::at::{At, may_mount};
use crate::harness::{World, files_below, wait_for};

const VARIABLE: &str = "RQBIT_HTTP_BASIC_AUTH_USERPASS";

/// A client that asks for them, and a film that it has.
fn locked() -> (Seeder, Film) {
    let seeder = Seeder::of(Rqbit::builder().auth("user", PASSWORD).start().unwrap());
    let film = seeder.film("film.mkv", 1, MIB + 9);
    (seeder, film)
}

/// The URL of the film, with something before the host.
fn url(seeder: &Seeder, userinfo: &str, path: &str) -> String {
    seeder.url(path).replace("//", &format!("//{userinfo}"))
}

#[test]
fn who_has_no_password_is_told_how_to_give_one() {
    let (seeder, _) = locked();
    let addr = format!("127.0.0.1:{}", seeder.rqbit.http_port());
    let help = [
        format!("write rqbit://USER:PASSWORD@{addr}/"),
        format!("set {VARIABLE}=USER:PASSWORD"),
    ];
    let help = [help[0].as_str(), help[1].as_str()];
    let plain = World::new();
    let wrong = World::new().set(VARIABLE, &format!("{PASSWORD}:x"));
    for command in ["ls", "cat", "stat", "warm", "get"] {
        for (world, userinfo) in [
            (&plain, ""),
            (&plain, "user:wrong@"),
            (&plain, &format!("other:{PASSWORD}@")),
            (&wrong, ""),
        ] {
            let outcome = world.run(&[command, &url(&seeder, userinfo, "film.mkv")]);
            no_password(&outcome);
            outcome.fails(4, &help);
        }
    }
    if may_mount() {
        let at = At::new(&plain);
        let outcome = plain.run(&["mount", &seeder.url(""), at.name()]);
        no_password(&outcome);
        outcome.fails(4, &help);
        assert!(!at.is_mounted());
    }
}

#[test]
fn the_password_works_and_is_never_shown() {
    let (seeder, film) = locked();
    let pair = format!("user:{PASSWORD}");
    let by_url = World::new().set("RUST_LOG", "trace");
    let by_variable = World::new().set("RUST_LOG", "trace").set(VARIABLE, &pair);
    for (world, userinfo) in [(by_url, format!("{pair}@")), (by_variable, String::new())] {
        let film_url = url(&seeder, &userinfo, "film.mkv");
        let top = url(&seeder, &userinfo, "");
        let outcome = world.run(&["cat", &film_url]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(outcome.stdout == film.bytes);
        for args in [
            &["ls", &top][..],
            &["ls", "-r", "--json", &top],
            &["stat", &film_url],
            &["stat", "--json", &film_url],
            &["get", &film_url, "--json"],
            &["warm", &film_url],
            &["config", "show"],
            &["cache", "stats"],
        ] {
            for loud in [&[][..], &["-vvv"]] {
                let outcome = world.run(&[args, loud].concat());
                outcome.ok();
                no_password(&outcome);
                // As it travels.
                let header = seeder.rqbit.authorization().unwrap();
                let coded = header.strip_prefix("Basic ").unwrap();
                assert!(!outcome.stderr.contains(coded), "{}", outcome.stderr);
            }
        }
        let outcome = world.run(&["cat", "-vvv", &url(&seeder, &userinfo, "none")]);
        no_password(&outcome);
        outcome.fails(3, &["none"]);
        not_below(&world.cache());
    }
}

/// It stands in no name and in no byte of what lies there.
#[track_caller]
fn not_below(directory: &Path) {
    let files = files_below(directory);
    assert!(!files.is_empty());
    for file in files {
        assert!(!file.to_string_lossy().contains(PASSWORD), "{}", file.display());
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes
            .windows(PASSWORD.len())
            .any(|window| window == PASSWORD.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

#[test]
fn a_mount_does_not_show_the_password() {
    if !may_mount() {
        return;
    }
    let (seeder, film) = locked();
    let pair = format!("user:{PASSWORD}");
    for (world, userinfo) in [
        (world(), format!("{pair}@")),
        (world().set(VARIABLE, &pair), String::new()),
    ] {
        let (at, said) = mount(&world, &url(&seeder, &userinfo, ""));
        assert!(!said.to_string().contains(PASSWORD), "{said}");
        let path = at.0.join("film.mkv");
        assert!(std::fs::read(&path).unwrap() == film.bytes);
        wait_for("the cache to have it", || xattr(&path, "cached") == "100");
        let words = words_of(said["pid"].as_u64().unwrap());
        assert!(words.contains("rqbit://") && !words.contains(PASSWORD), "{words}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(mounts.contains(at.name()) && !mounts.contains(PASSWORD));
        let open = at.open("film.mkv");
        for more in [&[][..], &["--json"], &["-vvv"]] {
            let outcome = world.run(&[&["mount", "--status", at.name()], more].concat());
            outcome.ok();
            no_password(&outcome);
        }
        drop(open);
        assert!(!xattr(&path, "origin").contains(PASSWORD));
        not_below(&world.cache());
        at.unmount(&world);
        not_below(&world.cache());
    }
}

#[test]
fn the_loudest_log_of_a_mount_does_not_have_the_password() {
    if !may_mount() {
        return;
    }
    let (seeder, film) = locked();
    let pair = format!("user:{PASSWORD}");
    for (world, userinfo) in [
        (World::new(), format!("{pair}@")),
        (World::new().set(VARIABLE, &pair), String::new()),
    ] {
        let world = world.set("FOREBAY_RQBIT_POLL", "100ms");
        let at = At::new(&world);
        let url = url(&seeder, &userinfo, "");
        let mut command = world.command(&["mount", "--foreground", "-vvv", &url, at.name()]);
        // A pipe would be full before anybody reads it.
        let log = std::fs::File::create(world.home().join("log")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        wait_for("the mount", || at.is_mounted() && at.0.join("film.mkv").exists());
        assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
        let _ = std::fs::metadata(at.0.join("none"));
        std::thread::sleep(Duration::from_millis(300));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        let said = std::fs::read_to_string(world.home().join("log")).unwrap();
        let header = seeder.rqbit.authorization().unwrap();
        let coded = header.strip_prefix("Basic ").unwrap();
        assert!(said.contains("127.0.0.1"), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains(coded), "{said}");
    }
}
