//! Everything that a server can do wrong.

use std::fs::{self, File};
use std::io;
use std::time::Duration;

use forebay_testkit::{FaultKind, Point, RetryAfter, Rule, WrongRange};

use crate::gone::{impatient, put, right_or_excused, whole};
use crate::world::{CacheAt, MIB, Setup, World, soon};

/// What the server does wrong, and whether reads get over it when it does so every time.
fn wrongs() -> Vec<(FaultKind, bool)> {
    let status = |code, retry_after| FaultKind::Status { code, retry_after };
    let stall = |at, resume| FaultKind::Stall { at, resume };
    vec![
        (status(500, None), false),
        (status(503, None), false),
        (status(503, Some(RetryAfter::Seconds(1))), false),
        (status(429, None), false),
        (FaultKind::Reset(Point::BeforeHeaders), false),
        // As far as it comes each time, it goes on from there.
        (FaultKind::Reset(Point::AfterBody(100_000)), true),
        (FaultKind::Truncate { after: 100_000 }, true),
        (stall(Point::AfterBody(300_000), None), true),
        (stall(Point::BeforeHeaders, None), false),
        (stall(Point::BeforeHeaders, Some(Duration::from_millis(50))), true),
        (FaultKind::ExtraBody { bytes: 1000 }, false),
        (FaultKind::ContentRange(WrongRange::Shifted(1)), false),
        (FaultKind::ContentRange(WrongRange::Shifted(-65_536)), false),
        (FaultKind::ContentRange(WrongRange::Total(7)), false),
        (FaultKind::ContentRange(WrongRange::UnknownTotal), false),
        (FaultKind::ContentRange(WrongRange::Missing), false),
        (FaultKind::ContentRange(WrongRange::Unparsable), false),
        (FaultKind::WholeBody, false),
        (FaultKind::WrongETag("\"another\"".to_owned()), false),
        (FaultKind::MissingETag, false),
        (FaultKind::MissingLastModified, true),
        (FaultKind::MissingContentLength, false),
        (FaultKind::IgnoreConditions, true),
        (FaultKind::Replace { with: None }, false),
    ]
}

#[test]
fn whatever_a_server_does_wrong_bytes_are_right_or_there_is_an_error() {
    let mut untouched = Vec::new();
    std::thread::scope(|scope| {
        let tried = wrongs().into_iter().map(|(kind, gets_over)| {
            scope.spawn(move || {
                let mut injected = 0;
                for (cache, always) in [
                    (CacheAt::Beside, true),
                    (CacheAt::Nowhere, true),
                    (CacheAt::Beside, false),
                ] {
                    let world = World::new();
                    let content = put(&world, "file", 7, MIB + 5);
                    let what = format!("{kind:?}, {cache:?}, always: {always}");
                    let mounted = world.mount(Setup { cache, ..impatient() })?;
                    let file = File::open(mounted.at("file")).unwrap();
                    let rule = Rule::new(kind.clone());
                    world.lab.faults().add(if always { rule } else { rule.times(1) });
                    let (right, excused) = right_or_excused(&file, &content, &what);
                    injected += world.lab.faults().injected(kind.class());
                    let changes = matches!(kind, FaultKind::Replace { .. });
                    if !changes && (gets_over || !always) {
                        assert_eq!(excused, 0, "{what}: {right} right");
                    }
                    // Nothing of it stays behind.
                    world.lab.faults().clear();
                    if !changes {
                        assert_eq!(
                            right_or_excused(&file, &content, &what).1,
                            0,
                            "{what}, afterwards"
                        );
                    }
                    drop(file);
                    let waiting = || mounted.mount.stats().waiting == 0;
                    assert!(soon(waiting), "{what}");
                }
                Some((kind, injected))
            })
        });
        let tried: Vec<_> = tried.collect();
        for one in tried {
            match one.join() {
                Ok(Some((kind, 0))) => untouched.push(kind),
                Ok(_) => {}
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    assert_eq!(untouched, [], "these never happened");
}

#[test]
fn a_map_of_what_cannot_be_read_ends_its_program_and_nothing_else() {
    let world = World::new();
    let content = put(&world, "file", 8, 3 * MIB);
    let Some(mounted) = world.mount(Setup {
        cache: CacheAt::Nowhere,
        ..impatient()
    }) else {
        return;
    };
    assert!(mounted.at("file").exists());
    let refused = FaultKind::Status {
        code: 500,
        retry_after: None,
    };
    world.lab.faults().add(Rule::new(refused));
    // fio reads by a map and gets SIGBUS, or an error.
    let fio = std::process::Command::new("fio")
        .args([
            "--name=job",
            "--ioengine=mmap",
            "--rw=read",
            "--readonly",
            "--size=1m",
        ])
        .arg(format!("--filename={}", mounted.at("file").display()))
        .current_dir("/")
        .output();
    match fio {
        Ok(run) => assert!(!run.status.success()),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            eprintln!("not run: fio is not installed");
        }
    }
    world.lab.faults().clear();
    assert!(fs::read(mounted.at("file")).unwrap() == whole(&content));
}
