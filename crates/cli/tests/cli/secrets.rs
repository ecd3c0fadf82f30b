//! No secret is ever printed: not in answers, not in errors, not in the loudest logs.

use crate::harness::{KEY_ID, SECRET, World, lab, strict_lab};

const PASSWORD: &str = "hunter2-in-the-url";
const SIGNATURE: &str = "0123456789abcdefSIGNATURE";
const TOKEN: &str = "session-token-of-nobody";

/// Runs it as loud as can be and looks for anything that must not be there.
#[track_caller]
fn says_no_secret(world: &World, args: &[&str]) {
    for loudness in [vec!["-vvv"], vec![], vec!["--json"]] {
        let args: Vec<&str> = args.iter().copied().chain(loudness).collect();
        let outcome = world.run(&args);
        let said = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
        for secret in [SECRET, PASSWORD, SIGNATURE, TOKEN, "X-Amz-Signature"] {
            // The key id of the lab is the start of its secret: that is not what is looked for.
            assert!(!said.contains(secret), "{args:?} says {secret}:\n{said}");
        }
    }
}

#[test]
fn the_credentials_of_s3() {
    assert!(SECRET.starts_with(KEY_ID));
    let lab = strict_lab();
    lab.objects().put("box", "k", "x");
    lab.objects().put("denied", "k", "x");
    lab.objects().deny_bucket("denied", true);
    for world in [
        World::with(&lab),
        World::with(&lab).set("RUST_LOG", "trace"),
        World::with(&lab)
            .set("AWS_SESSION_TOKEN", TOKEN)
            .set("RUST_LOG", "debug"),
    ] {
        world.write("f", "x");
        for args in [
            &["cat", "s3://box/k"][..],
            &["cat", "s3://box/none"],
            &["cat", "s3://denied/k"],
            &["ls", "s3://box/"],
            &["ls", "s3://denied/"],
            &["stat", "s3://box/k"],
            &["get", "s3://box/k", "-"],
            &["put", "f", "s3://box/new"],
            &["put", "f", "s3://denied/new"],
            &["config", "show"],
            &["doctor"],
        ] {
            says_no_secret(&world, args);
        }
    }
}

#[test]
fn a_secret_that_s3_refuses() {
    let lab = strict_lab();
    lab.objects().put("box", "k", "x");
    let world = World::with(&lab)
        .set("AWS_ACCESS_KEY_ID", "nobody")
        .set("RUST_LOG", "trace");
    says_no_secret(&world, &["cat", "s3://box/k"]);
    says_no_secret(&world, &["stat", "s3://box/k"]);
}

#[test]
fn passwords_and_signatures_in_urls() {
    let lab = lab();
    lab.objects().put("box", "k", "x");
    let address = lab.addr();
    let world = World::new().set("RUST_LOG", "trace");
    for key in ["k", "none"] {
        let url = format!("http://user:{PASSWORD}@{address}/box/{key}?X-Amz-Signature={SIGNATURE}#frag");
        for command in ["cat", "stat", "ls"] {
            says_no_secret(&world, &[command, &url]);
        }
        says_no_secret(&world, &["get", &url, "-"]);
        says_no_secret(&world, &["put", "/etc/hostname", &url]);
    }
    // Not understood, not reachable.
    says_no_secret(
        &world,
        &[
            "cat",
            &format!("http://user:{PASSWORD}@ho st/?X-Amz-Signature={SIGNATURE}"),
        ],
    );
    says_no_secret(
        &world,
        &[
            "cat",
            &format!("http://user:{PASSWORD}@127.0.0.1:1/?X-Amz-Signature={SIGNATURE}"),
        ],
    );
    let unknown = format!("httpx://user:{PASSWORD}@host/?X-Amz-Signature={SIGNATURE}");
    says_no_secret(&world, &["cat", &unknown]);
}

#[test]
fn config_show_names_what_is_set_and_no_more() {
    let world = World::new()
        .set("AWS_SECRET_ACCESS_KEY", SECRET)
        .set("AZURE_STORAGE_ACCOUNT_KEY", TOKEN);
    let answer = world.run(&["config", "show", "--json"]).json();
    assert_eq!(answer["cloud"]["aws_secret_access_key"], "<set>");
    assert_eq!(answer["cloud"]["azure_storage_account_key"], "<set>");
    says_no_secret(&world, &["config", "show"]);
}
