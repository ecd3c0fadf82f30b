//! `mount --status`: what a mount tells of itself, to whom, and how it is shown.

mod pty;
mod socket;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use forebay_testkit::{Content, FaultKind, Profile, Rule};
use forebay_types::ByteRange;
use serde_json::Value;

use crate::at::{At, may_mount};
use crate::harness::{Outcome, World, builder, lab, names_in, wait_for};

const MIB: u64 = 1 << 20;

/// The process that serves the mount, from what `mount --json` or a status says.
fn pid(said: &Value) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(said["pid"].as_u64().unwrap()).unwrap()).unwrap()
}

fn mount(world: &World, url: &str, at: &At) -> Value {
    world.run(&["mount", url, at.name(), "--json"]).json()
}

fn ask(world: &World, at: &At) -> Outcome {
    world.run(&["mount", "--status", "--json", at.name()])
}

fn status(world: &World, at: &At) -> Value {
    ask(world, at).json()
}

/// The open file of that path.
fn file<'a>(status: &'a Value, path: &str) -> &'a Value {
    let files = status["files"].as_array().unwrap();
    let found = files.iter().find(|file| file["path"] == path);
    found.unwrap_or_else(|| panic!("no {path} in {status}"))
}

fn figure(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A world with local files `a` and `b/c`, mounted.
fn local(at: impl FnOnce(&World) -> At) -> (World, At) {
    let world = World::new();
    std::fs::create_dir_all(world.path("data/b")).unwrap();
    world.write("data/a", vec![1; 100_000]);
    world.write("data/b/c", vec![2; 50_000]);
    let at = at(&world);
    mount(&world, &data(&world), &at);
    (world, at)
}

fn data(world: &World) -> String {
    world.path("data/").to_string_lossy().into_owned()
}

#[test]
fn figures_are_those_of_the_reads_that_were_made() {
    if !may_mount() {
        return;
    }
    let len = 9 * MIB + 5;
    let lab = lab();
    let content = Content::pattern(3, len);
    lab.objects().put("bucket", "dir/sub/model", content.clone());
    let world = World::with(&lab);
    let at = At::new(&world);
    let mounted = mount(&world, "s3://bucket/dir/", &at);
    let fresh = status(&world, &at);
    assert_eq!(fresh["url"], "s3://bucket/dir/");
    assert_eq!(fresh["dir"], at.0.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(fresh["pid"], mounted["pid"]);
    assert_eq!(fresh["files"], Value::Array(Vec::new()));
    assert_eq!(
        (figure(&fresh, "open_files"), figure(&fresh["mount"], "reads")),
        (0, 0)
    );

    lab.reset_counts();
    let mut open = at.open("sub/model");
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).unwrap();
    assert!(bytes == content.read(ByteRange::new(0, len)));
    let now = status(&world, &at);
    let counts = lab.counts();
    let model = file(&now, "sub/model");
    assert_eq!(figure(model, "size"), len);
    assert_eq!(figure(model, "served"), len, "{now}");
    assert_eq!(figure(model, "fetched"), len, "{now}");
    assert_eq!(model["fetched_per_served"], 1.0);
    assert_eq!(figure(model, "requests"), counts.gets, "{now} {counts:?}");
    assert_eq!(figure(model, "errors"), 0);
    assert_ne!(model["mode"], "passthrough");
    let (reads, hits) = (figure(model, "reads"), figure(model, "hits"));
    assert!(reads > 0 && hits <= reads, "{model}");
    assert_eq!(model["hit_rate"].as_f64().unwrap(), hits as f64 / reads as f64);
    assert_eq!(figure(&now, "open_files"), 1);
    assert_eq!(figure(&now["mount"], "bytes"), len);
    assert_eq!(figure(&now["mount"], "opens"), 1);
    assert_eq!(figure(&now["reader"], "served"), len);
    assert_eq!(figure(&now["reader"], "fetched"), len);
    assert_eq!(figure(&now["range"], "requests"), counts.gets);
    assert!(figure(&now["names"], "lookups") >= 2);
    assert!(figure(&now["cache"], "max_size") > 0);
    assert!(now["uptime_s"].as_f64().unwrap() >= model["open_s"].as_f64().unwrap());

    // Again, by another open: the same bytes are there, and nothing is asked for.
    lab.reset_counts();
    let again = at.open("sub/model");
    let mut some = [0; 4096];
    again.read_exact_at(&mut some, 5 * MIB).unwrap();
    let now = status(&world, &at);
    let opens = now["files"].as_array().unwrap();
    assert_eq!(opens.len(), 2);
    assert_ne!(opens[0]["id"], opens[1]["id"]);
    assert_eq!(figure(&opens[1], "fetched"), 0, "{now}");
    drop((open, again));
    // A close is told to the mount after the program goes on.
    wait_for("the release", || figure(&status(&world, &at), "open_files") == 0);
    let now = status(&world, &at);
    assert_eq!(
        figure(&now["reader"], "fetched"),
        len,
        "what was closed still counts"
    );
    at.unmount(&world);
}

#[test]
fn the_window_goes_along_with_the_reader() {
    if !may_mount() {
        return;
    }
    let lab = builder().profile(Profile::STANDARD).start().unwrap();
    lab.objects()
        .put("bucket", "model", Content::pattern(4, 96 * MIB));
    let world = World::with(&lab);
    let at = At::new(&world);
    mount(&world, "s3://bucket/", &at);
    let open = at.open("model");
    let mut piece = vec![0; MIB as usize];
    let mut before = 0;
    for at_mib in 0..40 {
        open.read_exact_at(&mut piece, at_mib * MIB).unwrap();
        if at_mib % 10 != 9 {
            continue;
        }
        let now = status(&world, &at);
        let windows = file(&now, "model")["windows"].as_array().unwrap();
        // The kernel reads ahead by itself, so that there may be more than the program's run.
        let first = windows.iter().max_by_key(|window| figure(window, "at"));
        let first = first.unwrap_or_else(|| panic!("no window in {now}"));
        let (reader, end) = (figure(first, "at"), figure(first, "end"));
        assert!(reader > before && reader >= at_mib * MIB, "{now}");
        assert!(end >= reader && end <= 96 * MIB, "{now}");
        assert!(figure(first, "ahead") <= end - reader.min(end), "{now}");
        before = reader;
    }
    drop(open);
    at.unmount(&world);
}

#[test]
fn what_the_kernel_reads_by_itself_is_counted_by_its_opens() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let mut open = at.open("a");
    std::io::copy(&mut open, &mut std::io::sink()).unwrap();
    let now = status(&world, &at);
    if figure(&now["mount"], "handed_over") == 0 {
        assert_ne!(file(&now, "a")["mode"], "passthrough");
        assert_eq!(figure(file(&now, "a"), "served"), 100_000);
        eprintln!("not run: this kernel takes no files over");
        return;
    }
    let again = at.open("a");
    let other = at.open("b/c");
    let now = status(&world, &at);
    for path in ["a", "b/c"] {
        let file = file(&now, path);
        assert_eq!(file["mode"], "passthrough");
        assert_eq!((figure(file, "reads"), figure(file, "served")), (0, 0));
        assert_eq!(file["hit_rate"], Value::Null);
        assert_eq!(file["fetched_per_served"], Value::Null);
    }
    let mount = &now["mount"];
    assert_eq!(figure(mount, "passthrough_opens"), 3, "{now}");
    assert_eq!(
        (figure(mount, "handed_over"), figure(mount, "handed_over_now")),
        (2, 2)
    );
    drop((open, again, other));
    wait_for("the release", || {
        figure(&status(&world, &at)["mount"], "handed_over_now") == 0
    });
    let mount = &status(&world, &at)["mount"];
    assert_eq!(
        (figure(mount, "handed_over"), figure(mount, "passthrough_opens")),
        (2, 3)
    );
    at.unmount(&world);
}

#[test]
fn errors_are_counted_where_they_happen() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    lab.objects().put("bucket", "good", Content::pattern(5, 1000));
    lab.objects().put("bucket", "bad", Content::pattern(6, 1000));
    let world = World::with(&lab).set("FOREBAY_RANGE_MAX_RETRIES", "0");
    let at = At::new(&world);
    mount(&world, "s3://bucket/", &at);
    let (good, bad) = (at.open("good"), at.open("bad"));
    let refused = FaultKind::Status {
        code: 403,
        retry_after: None,
    };
    lab.faults().add(Rule::new(refused).key_prefix("bad"));
    let mut bytes = [0; 1000];
    good.read_exact_at(&mut bytes, 0).unwrap();
    bad.read_exact_at(&mut bytes, 0).unwrap_err();
    let now = status(&world, &at);
    assert_eq!(figure(file(&now, "good"), "errors"), 0);
    let errors = figure(file(&now, "bad"), "errors");
    assert!(errors > 0 && errors == figure(&now["mount"], "errors"), "{now}");
    assert_eq!(figure(file(&now, "bad"), "served"), 0, "{now}");
    lab.faults().clear();
    bad.read_exact_at(&mut bytes, 0).unwrap();
    let now = status(&world, &at);
    assert_eq!(figure(file(&now, "bad"), "served"), 1000);
    assert_eq!(figure(file(&now, "bad"), "errors"), errors);
    drop((good, bad));
    at.unmount(&world);
}

#[test]
fn names_are_told_as_they_are_and_shown_so_that_no_terminal_obeys_them() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    let odd = "каталог/gpj.\u{202e}exe";
    lab.objects().put("bucket", odd, Content::pattern(7, 100));
    lab.objects()
        .put("bucket", "plain name", Content::pattern(8, 100));
    let world = World::with(&lab);
    let at = At::new(&world);
    mount(&world, "s3://bucket/", &at);
    let open = (at.open(odd), at.open("plain name"));
    let said = ask(&world, &at);
    let now = said.json();
    file(&now, odd);
    file(&now, "plain name");
    assert!(!said.out().contains('\u{202e}'), "{}", said.out());
    let view = world.run(&["mount", "--status", at.name()]);
    assert!(view.ok().contains("каталог/gpj.\\u{202e}exe"), "{}", view.out());
    assert!(view.out().contains("plain name") && !view.out().contains('\u{202e}'));
    drop(open);
    at.unmount(&world);
}

#[test]
fn of_very_many_files_the_busiest_are_told() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const FILES: usize = 1004;
    if !may_mount() {
        return;
    }
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < 4096) {
        eprintln!("not run: this process may not open so many files");
        return;
    }
    limit.current = limit.current.map(|now| now.max(4096));
    setrlimit(Resource::Nofile, limit).unwrap();
    let lab = lab();
    let name = |number: usize| format!("file{number:04}{}", "-with-a-long-name".repeat(12));
    for number in 0..FILES {
        lab.objects()
            .put("bucket", &name(number), Content::pattern(9, 100));
    }
    let world = World::with(&lab).set("FOREBAY_MOUNT_TTL", "1h");
    let at = At::new(&world);
    mount(&world, "s3://bucket/", &at);
    assert_eq!(std::fs::read_dir(&at.0).unwrap().count(), FILES);
    let open: Vec<File> = (0..FILES).map(|number| at.open(&name(number))).collect();
    let busy = [0, 7, FILES - 1];
    for number in busy {
        open[number].read_exact_at(&mut [0; 100], 0).unwrap();
    }
    let now = status(&world, &at);
    assert_eq!(figure(&now, "open_files"), FILES as u64);
    assert_eq!(now["files"].as_array().unwrap().len(), 1000);
    for number in busy {
        assert_eq!(figure(file(&now, &name(number)), "served"), 100);
    }
    // An answer of this size fits into no socket: who does not read it is given up, and the others get theirs.
    let socket = world.home().join("xdg-cache/forebay-run");
    let socket = socket.join(&names_in(&socket)[0]);
    let stuck: Vec<_> = (0..8).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let view = world.run(&["mount", "--status", at.name()]);
    assert_eq!(view.ok().lines().last(), Some("… and 4 more open"));
    let given_up = stuck.into_iter().filter(|mut peer| {
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        !said.ends_with('\n')
    });
    assert!(given_up.count() > 0, "nobody had to wait");
    drop(open);
    at.unmount(&world);
}

#[test]
fn without_a_terminal_the_view_is_printed_once() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let open = at.open("b/c");
    let view = world.run(&["mount", "--status", at.name()]);
    let text = view.ok();
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        text.starts_with(&data(&world)[..data(&world).len() - 1]),
        "{text}"
    );
    assert!(text.contains(at.name()) && text.contains("1 file open"), "{text}");
    let line = text.lines().last().unwrap();
    assert!(line.ends_with(" b/c"), "{text}");
    assert_eq!(text.matches("PATH").count(), 1);
    drop(open);
    at.unmount(&world);
}

#[test]
fn what_is_not_mounted_is_mounted_and_what_is_is_attached_to() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("data")).unwrap();
    world.write("data/file", "content");
    let (at, data) = (At::new(&world), data(&world));
    let words = ["mount", &data, at.name(), "--status", "--json"];
    let first = world.run(&words).json();
    assert_eq!(std::fs::read_to_string(at.0.join("file")).unwrap(), "content");
    let again = world.run(&words).json();
    assert_eq!(first["pid"], again["pid"], "one process serves it");
    // By another name of the directory, too.
    let link = world.path("link");
    std::os::unix::fs::symlink(&at.0, &link).unwrap();
    let by_link = world.run(&["mount", "--status", "link", "--json"]).json();
    assert_eq!(first["pid"], by_link["pid"]);
    // Something else is there than what was asked for.
    let other = world.path("").to_string_lossy().into_owned();
    let words = ["mount", &other, at.name(), "--status"];
    world.run(&words).fails(1, &["shows", "not", "help:"]);
    at.unmount(&world);
    world
        .run(&["mount", "/nowhere/at/all", at.name(), "--status"])
        .fails(3, &["does not exist"]);
}

#[test]
fn nothing_to_attach_to_is_said() {
    let world = World::new();
    let at = At::new(&world);
    for more in [&[][..], &["--json"]] {
        let words = [&["mount", "--status", at.name()], more].concat();
        world
            .run(&words)
            .fails(3, &["nothing is mounted by forebay", "findmnt"]);
    }
    world
        .run(&["mount", "--status", "nowhere"])
        .fails(3, &["nowhere"]);
    // The root directory is mounted, but not by us.
    world
        .run(&["mount", "--status", "/"])
        .fails(3, &["nothing is mounted by forebay"]);
    for words in [
        &["mount", at.name()][..],
        &["mount", "--status"],
        &["mount", "--status", "--foreground", at.name()],
        &["mount", "--status", "--foreground", "/data", at.name()],
        &["mount", "--status", "--allow-other", at.name()],
    ] {
        world.run(words).fails(2, &[]);
    }
}
