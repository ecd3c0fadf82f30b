//! The memory budget is kept, whoever reads how, and nobody waits for ever because others sit on it.

use std::sync::Arc;
use std::time::Duration;

use forebay_range::RangeSink;
use forebay_reader::OpenOptions;
use forebay_testkit::{Face, FaultKind, Point, Profile, Rule};
use forebay_types::{ByteRange, RangeSpec};
use futures::StreamExt;
use futures::future::join_all;

use crate::world::{KIB, MIB, Setup, Watermark, World, check, settled, within};

/// Far enough away that many requests are under way at a time, however fast this machine is.
const FAR: Profile = Profile::of("far", Duration::from_millis(30), Some(20_000_000));

fn budget(mut setup: Setup, bytes: u64) -> Setup {
    setup.engine.memory_budget = bytes;
    setup
}

/// Takes bytes and forgets them.
struct Nowhere;

impl RangeSink for Nowhere {
    fn write_at(&self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_larger_than_what_is_free_stay_within_the_budget_and_a_mebibyte_each() {
    // 11 MiB are one part by default, and more than the 10 MiB that there are.
    let readers = 16;
    let total = 10 * MIB;
    let world = World::at(FAR, Face::Fast, budget(Setup::default().no_read_ahead(), total));
    let content = world.put("object", 1, readers * 11 * MIB);
    let reader = world.uncached();
    let handles = join_all((0..readers).map(|_| world.open(&reader, "object"))).await;
    let watermark = Watermark::of(&reader);
    let reads = handles.iter().zip(0..);
    join_all(reads.map(|(handle, i)| check(handle, &content, i * 11 * MIB, 11 * MIB))).await;
    let most = watermark.end();
    // A mebibyte for the read under way and one for what was read before.
    let bound = total + readers * 2 * MIB;
    assert!(most <= bound, "{} MiB, {} allowed", most / MIB, bound / MIB);
    drop(handles);
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_stay_within_the_budget_and_a_mebibyte_each() {
    let readers = 8;
    let total = 8 * MIB;
    let world = World::at(FAR, Face::Fast, budget(Setup::default(), total));
    let size = 24 * MIB;
    for i in 0..readers {
        world.put(&format!("object-{i}"), i, size);
    }
    let reader = world.uncached();
    let watermark = Watermark::of(&reader);
    let copies = (0..readers).map(async |i| {
        let handle = world.open(&reader, &format!("object-{i}")).await;
        let copied = handle.copy_to(ByteRange::new(0, size), Arc::new(Nowhere));
        assert_eq!(within(copied).await.unwrap(), size);
    });
    join_all(copies).await;
    let most = watermark.end();
    let bound = total + readers * 2 * MIB;
    assert!(most <= bound, "{} MiB, {} allowed", most / MIB, bound / MIB);
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_with_the_open_keeps_to_the_budget() {
    let total = 8 * MIB;
    let world = World::at(FAR, Face::Fast, budget(Setup::default().no_read_ahead(), total));
    let content = world.put("object", 1, 48 * MIB);
    let reader = world.uncached();
    let watermark = Watermark::of(&reader);
    let options = OpenOptions::default().first(48 * MIB);
    let handle = within(reader.open(world.target("object"), options))
        .await
        .unwrap();
    check(&handle, &content, 0, 48 * MIB).await;
    let most = watermark.end();
    let bound = total + 2 * MIB;
    assert!(most <= bound, "{} MiB, {} allowed", most / MIB, bound / MIB);
    drop(handle);
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_does_not_fill_the_memory() {
    let total = 8 * MIB;
    let world = World::at(FAR, Face::Fast, budget(Setup::default(), total));
    world.lab.faults().add(Rule::new(FaultKind::WholeBody));
    let content = world.put("object", 1, 32 * MIB);
    for reader in [world.reader(), world.uncached()] {
        let watermark = Watermark::of(&reader);
        let mut stream = within(reader.stream(world.http_target("object"), RangeSpec::From(0)))
            .await
            .unwrap();
        // A reader who is slower than the line: what he has not taken must wait at the server.
        let mut at = 0;
        while let Some(chunk) = within(stream.next()).await {
            let chunk = chunk.unwrap();
            content.check(at, &chunk).unwrap();
            at += chunk.len() as u64;
            tokio::time::sleep(Duration::from_millis(chunk.len() as u64 / (32 * KIB))).await;
        }
        assert_eq!(at, content.size());
        let most = watermark.end();
        drop(stream);
        let bound = total + 2 * MIB;
        assert!(most <= bound, "{} MiB, {} allowed", most / MIB, bound / MIB);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warming_needs_no_more_memory_than_there_is() {
    // One part is all of the memory.
    let world = World::new(budget(Setup::default(), 8 * MIB));
    let content = world.put("object", 1, 40 * MIB);
    let reader = world.reader();
    let warmed = within(reader.warm(world.target("object"))).await.unwrap();
    assert_eq!(warmed.cached, content.size());
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warming_does_not_wait_for_handles_that_sit_on_unread_bytes() {
    let world = World::new(budget(Setup::default(), 32 * MIB));
    let first = world.put("idle", 1, 60 * MIB);
    let second = world.put("object", 2, 40 * MIB);
    let reader = world.reader();
    let idle = world.open(&reader, "idle").await;
    idle.will_read(ByteRange::new(0, first.size()));
    check(&idle, &first, 0, 128 * KIB).await;
    reader.flush().await;
    let warmed = within(reader.warm(world.target("object"))).await.unwrap();
    assert_eq!(warmed.cached, second.size());
    check(&idle, &first, 0, first.size()).await;
    drop(idle);
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_sit_on_unread_bytes_do_not_starve_a_reader() {
    for cached in [true, false] {
        let world = World::new(budget(Setup::default(), 32 * MIB));
        let idle: Vec<_> = (0..8)
            .map(|i| (format!("idle-{i}"), world.put(&format!("idle-{i}"), i, 40 * MIB)))
            .collect();
        let content = world.put("object", 99, 40 * MIB);
        let reader = if cached { world.reader() } else { world.uncached() };
        let mut sitting = Vec::new();
        for (key, content) in &idle {
            let handle = world.open(&reader, key).await;
            handle.will_read(ByteRange::new(0, content.size()));
            check(&handle, content, 0, 128 * KIB).await;
            sitting.push(handle);
        }
        let handle = world.open(&reader, "object").await;
        let mut at = 0;
        while at < content.size() {
            check(&handle, &content, at, MIB).await;
            at += MIB;
        }
        // And those who sat go on where they were.
        for (handle, (_, content)) in sitting.iter().zip(&idle) {
            check(handle, content, 128 * KIB, 4 * MIB).await;
        }
        drop((handle, sitting));
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_one_handle_go_on_in_turn_when_another_has_all_the_memory_for_good() {
    let mut setup = budget(Setup::small_parts().no_read_ahead(), MIB);
    setup.range.stall_timeout = Duration::from_secs(45);
    let world = World::new(setup);
    world.put("stuck", 1, 4 * MIB);
    let content = world.put("object", 2, 8 * MIB);
    let reader = world.uncached();
    let stuck = world.open(&reader, "stuck").await;
    let handle = world.open(&reader, "object").await;
    let stall = FaultKind::Stall {
        at: Point::AfterBody(0),
        resume: None,
    };
    world.lab.faults().add(Rule::new(stall).key_prefix("stuck"));
    let sitting = tokio::spawn(async move { stuck.read_at(2 * MIB, MIB as usize).await });
    while reader.engine().budget().free() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Only one of them at a time can go above the budget.
    for _ in 0..4 {
        join_all((0..4).map(|i| check(&handle, &content, 2 * i * MIB, MIB))).await;
    }
    sitting.abort();
    let _ = sitting.await;
    drop(handle);
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_handles_in_turn_keep_the_budget() {
    let handles = 64;
    let total = 64 * MIB;
    for cached in [true, false] {
        let world = World::new(budget(Setup::default(), total));
        let size = 6 * MIB;
        let contents: Vec<_> = (0..handles)
            .map(|i| world.put(&format!("object-{i}"), i, size))
            .collect();
        let reader = if cached { world.reader() } else { world.uncached() };
        let mut open = Vec::new();
        for i in 0..handles {
            open.push(world.open(&reader, &format!("object-{i}")).await);
        }
        let watermark = Watermark::of(&reader);
        let mut at = 0;
        while at < size {
            // In turn, eight at a time.
            for some in open.iter().zip(&contents).collect::<Vec<_>>().chunks(8) {
                join_all(
                    some.iter()
                        .map(|(handle, content)| check(handle, content, at, 256 * KIB)),
                )
                .await;
            }
            at += 256 * KIB;
        }
        let most = watermark.end();
        let bound = total + 64 * MIB;
        assert!(most <= bound, "{} MiB, {} allowed", most / MIB, bound / MIB);
        drop(open);
        settled(&world, &reader).await;
    }
}

/// A server that sends a little and then nothing, and a deadline longer than any test waits: what settles does so because
/// it was ended.
fn silent(after: u64) -> World {
    let mut setup = Setup::default();
    setup.range.stall_timeout = Duration::from_secs(45);
    let world = World::new(setup);
    world.lab.faults().add(Rule::new(FaultKind::Stall {
        at: Point::AfterBody(after),
        resume: None,
    }));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_is_dropped_ends_what_came_with_its_open() {
    let world = silent(100 * KIB);
    world.put("object", 1, 40 * MIB);
    for reader in [world.reader(), world.uncached()] {
        drop(world.open(&reader, "object").await);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_ends_its_requests() {
    let world = silent(200 * KIB);
    let content = world.put("object", 1, 40 * MIB);
    for reader in [world.reader(), world.uncached()] {
        let mut stream = within(reader.stream(world.target("object"), RangeSpec::From(0)))
            .await
            .unwrap();
        let chunk = within(stream.next()).await.unwrap().unwrap();
        content.check(0, &chunk).unwrap();
        drop(stream);
        settled(&world, &reader).await;
        // And one that begins where nothing was asked for yet.
        let handle = world.open(&reader, "object").await;
        let mut stream = handle.stream(ByteRange::new(20 * MIB, 30 * MIB));
        let chunk = within(stream.next()).await.unwrap().unwrap();
        content.check(20 * MIB, &chunk).unwrap();
        drop((stream, handle));
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_leave_at_any_moment_leave_nothing_behind() {
    let world = World::at(FAR, Face::Fast, budget(Setup::small_parts(), 16 * MIB));
    let size = 12 * MIB;
    let content = world.put("object", 1, size);
    for reader in [world.reader(), world.uncached()] {
        let visits = (0..24).map(async |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..12 {
                let patience = Duration::from_micros(random.u64(0..60_000));
                let at = random.u64(0..size);
                let len = random.u64(1..3 * MIB);
                let way = random.u8(0..5);
                let visit = async {
                    let handle = world.open(&reader, "object").await;
                    match way {
                        0 => check(&handle, &content, at, len).await,
                        1 => {
                            let mut stream = handle.stream(ByteRange::at(at, len));
                            let mut at = at;
                            while let Some(chunk) = stream.next().await {
                                let chunk = chunk.unwrap();
                                content.check(at, &chunk).unwrap();
                                at += chunk.len() as u64;
                            }
                        }
                        2 => {
                            let nowhere = Arc::new(Nowhere);
                            handle.copy_to(ByteRange::at(at, len), nowhere).await.unwrap();
                        }
                        3 => {
                            let mut buf = vec![0; len as usize];
                            let got = handle.read_into(at, &mut buf).await.unwrap();
                            content.check(at, &buf[..got]).unwrap();
                        }
                        _ => {
                            reader.warm(world.target("object")).await.unwrap();
                        }
                    }
                };
                // Who is done in time was done; who is not leaves in the middle.
                let _ = tokio::time::timeout(patience, visit).await;
            }
        });
        within(join_all(visits)).await;
        settled(&world, &reader).await;
    }
}
