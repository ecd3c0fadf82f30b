//! Many at once, as the threads of a mount.

use std::ffi::OsStr;
use std::sync::Arc;

use forebay_types::BLOCK;
use forebay_vfs::Ino;
use forebay_vfs::merged::{MergedOpen, MergedSet};
use forebay_vfs::overlay::{Rename, SetAttrs};

use crate::merged_world::{Layers, WRITE, new};
use crate::world::{BUCKET, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_file_that_all_open_at_once_comes_up_once() {
    let layers = Layers::new();
    let content = forebay_testkit::Content::pattern(1, 20 * BLOCK);
    for round in 0..20 {
        layers
            .world
            .lab
            .objects()
            .put(BUCKET, &format!("d/e/{round}"), content.clone());
    }
    let mount = Arc::new(layers.mount());
    for round in 0..20 {
        let path = format!("d/e/{round}");
        let mut all = Vec::new();
        for thread in 0..8u64 {
            let (mount, path) = (mount.clone(), path.clone());
            all.push(tokio::spawn(async move {
                let attr = mount.walk(&path).await.unwrap();
                let opened = mount.merged.open(attr.ino, WRITE).await.unwrap();
                let MergedOpen::Upper(file) = opened else {
                    panic!("it is below");
                };
                // Each into a block of its own, and all into one that is brought but once.
                let new = [thread as u8; 8];
                file.write_at(thread * BLOCK + 3, &new).await.unwrap();
                file.write_at(19 * BLOCK + 8 * thread, &new).await.unwrap();
                (attr.ino, file.id())
            }));
        }
        let mut seen = Vec::new();
        for one in all {
            seen.push(within(one).await.unwrap());
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        let bytes = mount.read(&path).await.unwrap();
        for thread in 0..8 {
            let at = thread * BLOCK as usize + 3;
            assert_eq!(bytes[at..at + 8], [thread as u8; 8]);
            let at = 19 * BLOCK as usize + 8 * thread;
            assert_eq!(bytes[at..at + 8], [thread as u8; 8]);
        }
        content
            .check(BLOCK + 11, &bytes[BLOCK as usize + 11..2 * BLOCK as usize])
            .unwrap();
        content
            .check(8 * BLOCK, &bytes[8 * BLOCK as usize..19 * BLOCK as usize])
            .unwrap();
    }
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn all_that_many_do_at_once_leaves_no_reference_behind() {
    let layers = Layers::new();
    for dir in 0..3 {
        for file in 0..6 {
            layers.world.put(&format!("d{dir}/f{file}"), "below");
        }
    }
    let mount = Arc::new(layers.mount());
    let mut all = Vec::new();
    for thread in 0..8 {
        let mount = mount.clone();
        all.push(tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(thread);
            for _ in 0..200 {
                let path = |random: &mut fastrand::Rng| format!("d{}/f{}", random.u8(..3), random.u8(..6));
                let (one, two) = (path(&mut random), path(&mut random));
                step(&mount, random.u8(..9), &one, &two).await;
            }
        }));
    }
    for one in all {
        within(one).await.unwrap();
    }
    // What is listed is there, and what is there is listed.
    for dir in 0..3 {
        let listed = mount.ls(&format!("d{dir}")).await;
        for file in 0..6 {
            let name = format!("f{file}");
            let found = mount.walk(&format!("d{dir}/{name}")).await;
            assert_eq!(found.is_ok(), listed.contains(&name), "{found:?}");
        }
    }
    mount.forget_all();
}

/// What it answers depends on the others; that it ends, and what it leaves behind, does not.
async fn step(mount: &crate::merged_world::Mount, what: u8, one: &str, two: &str) {
    match what {
        0 => drop(mount.create(one).await),
        1 => drop(mount.unlink(one).await),
        2 => drop(mount.mv(one, two).await),
        3 => drop(mount.rename(one, two, Rename::Exchange).await),
        4 => drop(mount.link(one, two).await),
        5 => {
            if let Ok(attr) = mount.walk(one).await
                && let Ok(MergedOpen::Upper(file)) = mount.merged.open(attr.ino, WRITE).await
            {
                file.write_at(1, b"above").await.unwrap();
            }
        }
        6 => {
            if let Ok(attr) = mount.walk(one).await {
                let attrs = SetAttrs {
                    mode: Some(0o600),
                    ..SetAttrs::default()
                };
                let _ = mount
                    .merged
                    .set_attrs(attr.ino, MergedSet { attrs, size: None })
                    .await;
            }
        }
        7 => {
            let dir = mount.walk(&one[..2]).await.unwrap().ino;
            let listed = mount.merged.read_dir(dir).await.unwrap();
            for index in 0..listed.len() {
                if let Some(attr) = mount.merged.refer(&listed, index) {
                    mount.took(attr);
                }
            }
        }
        _ => drop(mount.walk(one).await),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_name_is_made_once() {
    let layers = Layers::with(&[("d/x", "x")]);
    let mount = Arc::new(layers.mount());
    let dir = mount.walk("d").await.unwrap().ino;
    for round in 0..30 {
        let mut all = Vec::new();
        for _ in 0..8 {
            let mount = mount.clone();
            all.push(tokio::spawn(async move {
                let name = format!("new-{round}");
                let made = mount.merged.create(dir, OsStr::new(&name), new(0o644)).await;
                if let Ok((attr, _)) = &made {
                    mount.took(*attr);
                }
                u32::from(made.is_ok())
            }));
        }
        let mut made = 0;
        for one in all {
            made += within(one).await.unwrap();
        }
        assert_eq!(made, 1);
    }
    assert_eq!(mount.merged.attr(Ino::ROOT).await.unwrap().ino, Ino::ROOT);
    mount.forget_all();
}
