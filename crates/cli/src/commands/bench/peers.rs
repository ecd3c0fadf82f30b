//! Other tools that are installed, fetching the lab's large object into a file, beside `forebay get`.

use std::process::{Command, Stdio};

use forebay_types::{Clock, SystemClock};

use super::report::{Row, median};
use super::server::{BIG, BUCKET, EXACT, LabProcess};
use super::worker::own_executable;
use crate::args::BenchReadArgs;
use crate::exit::{CliError, Result};

/// A tool and how it is told to fetch.
struct Peer {
    name: &'static str,
    program: &'static str,
    script: String,
}

/// One row for each tool that is there, ours first in every round.
pub(crate) fn rows(args: &BenchReadArgs, lab: &LabProcess) -> Result<Vec<Row>> {
    let scratch =
        tempfile::tempdir().map_err(|e| CliError::local(&std::env::temp_dir(), "make a directory in", &e))?;
    let dest = scratch.path().join("out").to_string_lossy().into_owned();
    let (endpoint, size) = (lab.endpoint(), args.size.bytes());
    // Without the cache: the others keep nothing, and the second run would fetch nothing.
    let ours = Peer {
        name: "forebay get",
        program: "forebay",
        script: format!(
            "exec '{}' get --quiet --no-cache --range 0-{} s3://{BUCKET}/{BIG} {dest}",
            own_executable()?.display(),
            size - 1
        ),
    };
    let peers = all(endpoint, &dest, size);
    let mut rows = Vec::new();
    for peer in peers {
        if !is_installed(peer.program) {
            tracing::info!(tool = peer.program, "not installed: left out");
            continue;
        }
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for run in 0..=args.runs.max(1) {
            for (who, samples) in [(&ours, &mut us), (&peer, &mut them)] {
                let took = run_once(who, endpoint)?;
                let len = std::fs::metadata(&dest).map_or(0, |m| m.len());
                let _ = std::fs::remove_file(&dest);
                if len != size {
                    return Err(CliError::new(
                        forebay_types::ErrorKind::Unavailable,
                        format!("{} fetched {len} bytes of {size}", who.name),
                    ));
                }
                if run > 0 {
                    samples.push(took);
                }
            }
        }
        let gib = size as f64 / f64::from(1 << 30);
        let mb_s = |samples: &[(f64, f64)]| median(samples.iter().map(|(wall, _)| size as f64 / 1e6 / wall));
        let cpu = |samples: &[(f64, f64)]| median(samples.iter().map(|(_, cpu)| cpu / gib));
        rows.push(Row {
            case: "get to a file".to_owned(),
            mb_s: mb_s(&us),
            cpu_s_per_gib: cpu(&us),
            baseline: Some(peer.name.to_owned()),
            baseline_mb_s: mb_s(&them),
            baseline_cpu_s_per_gib: cpu(&them),
            ratio: mb_s(&us).zip(mb_s(&them)).map(|(a, b)| a / b),
            goal: Some(1.0),
            ..Row::default()
        });
    }
    Ok(rows)
}

fn all(endpoint: &str, dest: &str, size: u64) -> Vec<Peer> {
    let url = format!("{endpoint}/{BUCKET}/{BIG}");
    let last = size - 1;
    // Eight ranges of equal length, written to their places by one dd each: what a shell user can do.
    let piece = size.div_ceil(8 << 20) << 20;
    let curl8 = format!(
        "for i in 0 1 2 3 4 5 6 7; do a=$((i*{piece})); b=$((a+{piece}-1)); [ $b -gt {last} ] && b={last}; \
         curl -sf -r $a-$b '{url}' | dd of={dest} bs=1M seek=$((a>>20)) conv=notrunc iflag=fullblock status=none & done; wait"
    );
    vec![
        Peer {
            name: "curl, one stream",
            program: "curl",
            script: format!("exec curl -sf -r 0-{last} -o {dest} '{url}'"),
        },
        Peer {
            name: "curl, eight ranges",
            program: "curl",
            script: curl8,
        },
        Peer {
            name: "s5cmd cp",
            program: "s5cmd",
            script: format!(
                "exec s5cmd --endpoint-url {endpoint} --log error cp s3://{BUCKET}/{EXACT} {dest}"
            ),
        },
        Peer {
            name: "rclone copyto",
            program: "rclone",
            script: format!(
                "exec rclone copyto --multi-thread-streams 16 \
                 ':s3,provider=Other,force_path_style=true,env_auth=true,endpoint=\"{endpoint}\":{BUCKET}/{EXACT}' {dest}"
            ),
        },
        Peer {
            name: "aws s3 cp",
            program: "aws",
            script: format!(
                "exec aws --endpoint-url {endpoint} s3 cp --only-show-errors s3://{BUCKET}/{EXACT} {dest}"
            ),
        },
    ]
}

pub(super) fn is_installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    found && runs(program)
}

/// A shim may be there for a program that is not.
fn runs(program: &str) -> bool {
    let flag = if program == "s5cmd" || program == "rclone" {
        "version"
    } else {
        "--version"
    };
    Command::new(program)
        .arg(flag)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// What tools of S3 read, for the lab at `endpoint`; nothing of the user's.
pub(super) fn lab_env(command: &mut Command, endpoint: &str) {
    command
        .env("AWS_ACCESS_KEY_ID", "lab")
        .env("AWS_SECRET_ACCESS_KEY", "lab")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_CA_BUNDLE");
}

/// Wall and CPU seconds of one run.
fn run_once(peer: &Peer, endpoint: &str) -> Result<(f64, f64)> {
    let clock = SystemClock::new();
    let cpu = children_cpu_seconds();
    let mut command = Command::new("sh");
    lab_env(&mut command, endpoint);
    let status = command
        .args(["-c", &peer.script])
        .stdout(Stdio::null())
        .status()
        .map_err(|e| CliError::new(e.kind().into(), format!("cannot run {}: {e}", peer.name)))?;
    if !status.success() {
        return Err(CliError::new(
            forebay_types::ErrorKind::Unavailable,
            format!("{} failed: {status}", peer.name),
        ));
    }
    Ok((clock.now().as_secs_f64(), children_cpu_seconds() - cpu))
}

/// User and system time of all children that have ended.
pub(super) fn children_cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes the struct, which lives until it returns.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: all zeros are such a struct too, if the call should have failed.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
