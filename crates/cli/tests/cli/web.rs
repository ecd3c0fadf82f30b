//! Directories of real web servers: listed, fetched, warmed, mounted.

use std::path::Path;
use std::process::Command;

use forebay_testkit::WebServer;
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::harness::World;

/// A tree that nginx serves (`WebServer::nginx`: `/`, `/json/`, `/off/`), and a world to run in. `None`: no nginx.
struct Web {
    world: World,
    root: TempDir,
    server: WebServer,
    _scratch: TempDir,
}

impl Web {
    fn new() -> Option<Self> {
        let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = root.path().join("data");
        std::fs::create_dir_all(dir.join("sub/deep er")).unwrap();
        std::fs::create_dir(dir.join("empty")).unwrap();
        for (n, name) in [
            "a.txt",
            "sub/100%.bin",
            "sub/what?#",
            "sub/deep er/na\u{ef}ve &amp;.bin",
        ]
        .iter()
        .enumerate()
        {
            std::fs::write(dir.join(name), vec![b'a' + n as u8; 10 + 100_000 * n]).unwrap();
        }
        let server = WebServer::nginx(root.path(), scratch.path())?;
        Some(Self {
            world: World::new(),
            root,
            server,
            _scratch: scratch,
        })
    }

    fn run(&self, args: &[&str]) -> crate::harness::Outcome {
        self.world.run(args)
    }

    /// What `diff -r` has to say of two trees.
    fn same_as_served(&self, other: &Path) {
        let diff = Command::new("diff")
            .arg("-r")
            .arg(self.root.path().join("data"))
            .arg(other)
            .output()
            .unwrap();
        assert!(
            diff.status.success(),
            "{}{}",
            String::from_utf8_lossy(&diff.stdout),
            String::from_utf8_lossy(&diff.stderr)
        );
    }
}

fn last(out: &str) -> Vec<String> {
    out.lines()
        .map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn a_directory_is_listed_like_a_prefix() {
    let Some(web) = Web::new() else { return };
    for directory in ["/data", "/json/data"] {
        let url = web.server.url(&format!("{directory}/"));
        assert_eq!(last(web.run(&["ls", &url]).ok()), ["empty/", "sub/", "a.txt"]);
        // As a name, too, which the server says is a directory.
        assert_eq!(
            last(web.run(&["ls", url.trim_end_matches('/')]).ok()),
            ["empty/", "sub/", "a.txt"]
        );
        assert_eq!(
            last(web.run(&["ls", "-r", &url]).ok()),
            [
                "a.txt",
                "sub/100%.bin",
                "sub/deep er/na\u{ef}ve &amp;.bin",
                "sub/what?#"
            ]
        );
        let answer = web.run(&["ls", "--json", &format!("{url}sub/")]).json();
        assert_eq!(answer["url"], format!("{url}sub/"));
        assert_eq!(answer["skipped"], 0);
        let entry = &answer["entries"][1];
        assert_eq!(
            (&entry["name"], &entry["size"]),
            (&"100%.bin".into(), &100_010.into())
        );
        assert!(
            entry["etag"].is_string() && entry["modified"].is_string(),
            "{entry}"
        );
        // A single file is one.
        let file = web.run(&["ls", &format!("{url}a.txt")]);
        assert_eq!(last(file.ok()), ["a.txt"]);
        assert_eq!(web.run(&["ls", &format!("{url}empty/")]).ok(), "");
    }
}

#[test]
fn a_directory_is_fetched_whole() {
    let Some(web) = Web::new() else { return };
    std::fs::remove_dir(web.root.path().join("data/empty")).unwrap();
    for (n, path) in ["/data/", "/data", "/json/data/", "/rounded/data/"]
        .iter()
        .enumerate()
    {
        let dest = format!("copy-{n}");
        let report = web.run(&["get", "--json", &web.server.url(path), &dest]).json();
        assert_eq!((&report["objects"], &report["skipped"]), (&4.into(), &0.into()));
        web.same_as_served(&web.world.path(&dest));
    }
    // One file is one file.
    web.run(&["get", &web.server.url("/data/sub/100%25.bin")]).ok();
    assert_eq!(std::fs::read(web.world.path("100%.bin")).unwrap().len(), 100_010);
}

#[test]
fn a_warm_directory_needs_its_server_no_more() {
    let Some(web) = Web::new() else { return };
    let report = web.run(&["warm", "--json", &web.server.url("/data/")]).json();
    assert_eq!(
        (&report["objects"], &report["fetched"]),
        (&4.into(), &600_040.into())
    );
    let again = web.run(&["warm", "--json", &web.server.url("/data")]).json();
    assert_eq!((&again["found"], &again["fetched"]), (&600_040.into(), &0.into()));
    // By its own URL a file is the same object: it is only asked whether it is still so.
    let report = web
        .run(&["get", "--json", &web.server.url("/data/sub/what%3F%23"), "out"])
        .json();
    assert_eq!(
        (&report["fetched"], &report["cached_bytes"]),
        (&0.into(), &200_010.into())
    );
}

#[test]
fn the_same_name_in_two_directories_is_two_files() {
    let Some(web) = Web::new() else { return };
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for (directory, bytes) in [("one", "first"), ("two", "other")] {
        let path = web.root.path().join(directory);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("x"), bytes).unwrap();
        // nginx's tags are made of size and time: these two have the same.
        let file = std::fs::File::options().write(true).open(path.join("x")).unwrap();
        file.set_modified(old).unwrap();
    }
    for (directory, bytes) in [("one", "first"), ("two", "other")] {
        web.run(&["get", &web.server.url(&format!("/{directory}/")), directory])
            .ok();
        assert_eq!(
            std::fs::read_to_string(web.world.path(directory).join("x")).unwrap(),
            bytes
        );
    }
}

#[test]
fn what_cannot_be_listed_is_said() {
    let Some(web) = Web::new() else { return };
    std::fs::write(
        web.root.path().join("data/sub/index.html"),
        "<html><p>Hello</p></html>",
    )
    .unwrap();
    let site = web.server.url("/data/sub/");
    for args in [
        &["ls", &site][..],
        &["get", &site, "out"],
        &["warm", &site],
        &["ls", "-r", &site],
    ] {
        web.run(args).fails(
            1,
            &[
                "/data/sub/: it cannot be listed: its page is no directory listing",
                "autoindex on",
            ],
        );
    }
    // Deeper in, it is said where.
    web.run(&["get", &web.server.url("/data/"), "out"])
        .fails(1, &["/data/sub/: it cannot be listed"]);
    // The page itself can be had.
    assert_eq!(web.run(&["cat", &site]).ok(), "<html><p>Hello</p></html>");
    web.run(&["ls", &web.server.url("/off/data/")]).fails(4, &["403"]);
    for none in ["/none", "/none/", "/data/a.txt/"] {
        web.run(&["ls", &web.server.url(none)]).fails(3, &["404"]);
        web.run(&["get", &web.server.url(none), "none"])
            .fails(3, &["404"]);
    }
    assert!(!web.world.path("none").exists());
    web.run(&["cat", &web.server.url("/data")])
        .fails(3, &["it is a directory"]);
    web.run(&["ls", "http://127.0.0.1:9/dir/"])
        .fails(1, &["127.0.0.1:9"]);
}

#[test]
fn passwords_go_to_listings_and_are_not_shown() {
    let Some(web) = Web::new() else { return };
    let url = web.server.url("/off/data/");
    let with = url.replace("http://", "http://alice:hunter2@");
    for args in [&["-vvv", "ls", &with][..], &["-vvv", "get", &with, "out"]] {
        let outcome = web.run(args);
        outcome.fails(4, &["403"]);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    }
    let open = web
        .server
        .url("/data/")
        .replace("http://", "http://alice:hunter2@");
    let answer = web.run(&["ls", "--json", &open]);
    assert_eq!(answer.json()["url"], web.server.url("/data/"));
}

#[test]
fn a_directory_is_mounted() {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        eprintln!("not run: this process may not mount");
        return;
    }
    let Some(web) = Web::new() else { return };
    let at = web.world.path("mnt");
    std::fs::create_dir(&at).unwrap();
    let mounted_at = at.to_str().unwrap();
    for path in ["/data/", "/data", "/json/data/"] {
        web.run(&["mount", &web.server.url(path), mounted_at]).ok();
        web.same_as_served(&at);
        web.run(&["unmount", mounted_at]).ok();
    }
    // One file of it.
    web.run(&["mount", &web.server.url("/data/sub/what%3F%23"), mounted_at])
        .ok();
    assert_eq!(std::fs::read(at.join("what?#")).unwrap().len(), 200_010);
    web.run(&["unmount", mounted_at]).ok();
    // A page is no directory.
    std::fs::write(
        web.root.path().join("data/sub/index.html"),
        "<html><p>Hello</p></html>",
    )
    .unwrap();
    web.run(&["mount", &web.server.url("/data/sub/"), mounted_at])
        .fails(1, &["no directory listing"]);
    web.run(&["mount", &web.server.url("/none/"), mounted_at])
        .fails(3, &["404"]);
    // Whatever happened above.
    let _ = unmount(&at, UnmountFlags::DETACH);
}

#[test]
fn python_serves_too() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sub")).unwrap();
    std::fs::write(root.path().join("a b"), "12345").unwrap();
    std::fs::write(root.path().join("sub/.hidden"), "x").unwrap();
    let Some(server) = WebServer::python(root.path()) else {
        return;
    };
    let world = World::new();
    let listed = world.run(&["ls", "-r", &server.url("/")]);
    assert_eq!(last(listed.ok()), ["a b", "sub/.hidden"]);
    // It tells no tags, and serves no ranges.
    world.run(&["get", &server.url("/"), "copy"]).ok();
    assert_eq!(std::fs::read_to_string(world.path("copy/a b")).unwrap(), "12345");
    assert_eq!(
        std::fs::read_to_string(world.path("copy/sub/.hidden")).unwrap(),
        "x"
    );
}
