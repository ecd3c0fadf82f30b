//! What users get wrong: the exit code is the contract, the words are the help.

use forebay_testkit::{FaultKind, Op, Rule};

use crate::harness::{World, builder, lab, strict_lab};

#[test]
fn urls_that_are_none() {
    let world = World::new();
    world
        .run(&["cat", "s4://box/k"])
        .fails(2, &["s4://", "known are s3, gs, az, http"]);
    world
        .run(&["cat", "s3:///k"])
        .fails(2, &["names no bucket", "s3://BUCKET/KEY"]);
    world.run(&["cat", ""]).fails(2, &["the URL is empty"]);
    world
        .run(&["cat", "s3://b@d/k"])
        .fails(2, &["cannot be a bucket's name"]);
    world.run(&["get", "file://host/x"]).fails(2, &["absolute path"]);
    let long = format!("s3://box/{}", "k".repeat(5000));
    world.run(&["cat", &long]).fails(2, &["longer than 4096 bytes"]);
    world
        .run(&["cat", "s3://box/../k"])
        .fails(2, &["cannot be addressed"]);
}

#[test]
fn commands_that_are_none() {
    let world = World::new();
    world
        .run(&["cta", "s3://box/k"])
        .fails(2, &["unrecognized subcommand", "stat"]);
    world.run(&["cat"]).fails(2, &["required arguments", "<URL>"]);
    world
        .run(&["cat", "x", "--frobnicate"])
        .fails(2, &["--frobnicate"]);
    world
        .run(&["ls", "x", "--quiet", "-v"])
        .fails(2, &["cannot be used with"]);
}

#[test]
fn a_bucket_that_is_not_there() {
    let lab = lab();
    let world = World::with(&lab);
    for args in [
        ["cat", "s3://none/k"],
        ["ls", "s3://none/"],
        ["stat", "s3://none/k"],
        ["get", "s3://none/k"],
    ] {
        world.run(&args).fails(3, &["none", "help:"]);
    }
    let file = world.write("f", "x");
    world
        .run(&["put", file.to_str().unwrap(), "s3://none/k"])
        .fails(3, &["NoSuchBucket", "s3://none/k"]);
}

#[test]
fn an_object_that_is_not_there() {
    let lab = lab();
    let world = World::with(&lab);
    world
        .run(&["cat", "s3://box/none"])
        .fails(3, &["box", "none", "forebay ls"]);
    world.run(&["stat", "s3://box/none"]).fails(3, &["s3://box/none"]);
    world.run(&["get", "s3://box/none"]).fails(3, &["none"]);
    world
        .run(&["ls", "s3://box/none"])
        .fails(3, &["s3://box/none: nothing of that name"]);
    world
        .run(&["ls", "s3://box/none/"])
        .fails(3, &["nothing of that name"]);
    assert!(world.files().is_empty(), "{:?}", world.files());
    world
        .run(&["cat", "/nonexistent/file"])
        .fails(3, &["/nonexistent/file"]);
    let url = format!("{}/box/none", lab.endpoint());
    world.run(&["cat", &url]).fails(3, &["404"]);
}

#[test]
fn credentials_that_are_wrong() {
    let lab = strict_lab();
    lab.objects().put("box", "k", "secret words");
    let wrong_secret = World::with(&lab).set("AWS_SECRET_ACCESS_KEY", "not-the-secret");
    let wrong_id = World::with(&lab).set("AWS_ACCESS_KEY_ID", "nobody");
    for world in [wrong_secret, wrong_id] {
        for args in [
            ["cat", "s3://box/k"],
            ["ls", "s3://box/"],
            ["stat", "s3://box/k"],
            ["get", "s3://box/k"],
        ] {
            world
                .run(&args)
                .fails(4, &["AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"]);
        }
        let file = world.write("f", "x");
        world
            .run(&["put", file.to_str().unwrap(), "s3://box/new"])
            .fails(4, &["s3://box/new", "credentials"]);
    }
    assert!(lab.objects().get("box", "new").is_none());
    assert_eq!(World::with(&lab).run(&["cat", "s3://box/k"]).ok(), "secret words");
}

#[test]
fn a_bucket_that_may_not_be_used() {
    let lab = strict_lab();
    lab.objects().put("box", "k", "x");
    lab.objects().deny_bucket("box", true);
    let world = World::with(&lab);
    for args in [
        ["cat", "s3://box/k"],
        ["ls", "s3://box/"],
        ["stat", "s3://box/k"],
        ["get", "s3://box/k"],
    ] {
        world.run(&args).fails(4, &["help: check the credentials"]);
    }
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn ranges_that_are_none() {
    let lab = lab();
    lab.objects().put("box", "k", "0123456789");
    let world = World::with(&lab);
    for command in ["cat", "get"] {
        for bad in ["5", "x-y", "9-5", "-", "-0", ""] {
            world
                .run(&[command, "s3://box/k", "--range", bad])
                .fails(2, &["range"]);
        }
        world
            .run(&[command, "s3://box/k", "--range", "10-"])
            .fails(2, &["10 bytes", "past its end"]);
        world
            .run(&[command, "s3://box/k", "--range", "100-200"])
            .fails(2, &["10 bytes", "past its end"]);
    }
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn a_prefix_where_an_object_is_wanted() {
    let lab = lab();
    lab.objects().put("box", "dir/k", "x");
    let world = World::with(&lab);
    world
        .run(&["stat", "s3://box/dir/"])
        .fails(2, &["s3://box/dir/", "not an object", "forebay ls"]);
    world.run(&["stat", "s3://box"]).fails(2, &["not an object"]);
    world.run(&["stat", "/tmp"]).fails(2, &["not an object"]);
    world
        .run(&["get", "s3://box/dir/", "--range", "0-1"])
        .fails(2, &["--range is for one object"]);
    world
        .run(&["get", "s3://box/dir/", "-"])
        .fails(2, &["standard output"]);
}

#[test]
fn sources_of_put_that_are_none() {
    let lab = lab();
    let world = World::with(&lab);
    world
        .run(&["put", "none", "s3://box/k"])
        .fails(3, &["cannot read none"]);
    world
        .run(&["put", ".", "s3://box/k"])
        .fails(2, &["is a directory", "one object at a time"]);
    world
        .run(&["put", "/dev/zero", "s3://box/k"])
        .fails(2, &["a device", "standard input"]);
    world
        .run(&["put", "-", "s3://box/dir/"])
        .fails(2, &["names a prefix", "whole name"]);
    let fifo = world.path("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    world
        .run(&["put", "fifo", "s3://box/k"])
        .fails(2, &["fifo is a pipe", "standard input"]);
    assert!(lab.objects().get("box", "k").is_none());
}

#[test]
fn a_web_server_is_only_read() {
    let lab = lab();
    let world = World::new();
    let file = world.write("f", "x");
    let url = format!("{}/box/k", lab.endpoint());
    world
        .run(&["put", file.to_str().unwrap(), &url])
        .fails(1, &["writing is not possible on a web server"]);
    let url = format!("{}/box/", lab.endpoint());
    world
        .run(&["ls", &url])
        .fails(1, &["it cannot be listed", "neither HTML nor JSON"]);
}

#[test]
fn nobody_listens() {
    let lab = lab();
    let world = World::with(&lab);
    drop(lab);
    world
        .run(&["stat", "s3://box/k"])
        .fails(1, &["cannot connect to 127.0.0.1", "help:"]);
}

#[test]
fn a_certificate_that_nobody_trusts() {
    let lab = builder().tls().start().unwrap();
    lab.objects().put("box", "k", "behind TLS");
    let world = World::with(&lab);
    world
        .run(&["cat", "s3://box/k"])
        .fails(4, &["no TLS connection to 127.0.0.1"]);
    let ca = world.write("ca.pem", lab.ca_pem().unwrap());
    let trusting = World::with(&lab).set("FOREBAY_HTTP_CA_FILE", ca.to_str().unwrap());
    assert_eq!(trusting.run(&["cat", "s3://box/k"]).ok(), "behind TLS");
}

#[test]
fn an_object_that_changes_or_breaks() {
    let lab = lab();
    lab.objects()
        .put("box", "big", forebay_testkit::Content::pattern(1, 40 << 20));
    let world = World::with(&lab);
    lab.faults().add(
        Rule::new(FaultKind::Replace { with: None })
            .op(Op::Get)
            .skip_first(1)
            .times(1),
    );
    world
        .run(&["get", "s3://box/big"])
        .fails(5, &["changed while it was read", "run the command again"]);
    assert!(world.files().is_empty(), "{:?}", world.files());
}
