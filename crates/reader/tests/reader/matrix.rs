//! Every fault there is, under every way to read: the right bytes or the right error, and then all is well again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay_range::{RangeSink, Target};
use forebay_reader::{OpenOptions, ReadError, Reader};
use forebay_testkit::{Attributes, Content, FaultKind, Point, RetryAfter, Rule, WrongRange};
use forebay_types::{ByteRange, ErrorKind, RangeSpec};
use futures::TryStreamExt;

use crate::world::{BUCKET, KIB, MIB, Setup, World, settled, within};

#[derive(Clone, Copy, Debug)]
enum Way {
    ReadAt,
    Stream,
    CopyTo,
    Warm,
}

const WAYS: [Way; 4] = [Way::ReadAt, Way::Stream, Way::CopyTo, Way::Warm];

const SIZE: u64 = MIB + 300 * KIB + 5;

#[derive(Default)]
struct Sheet(Mutex<Vec<u8>>);

impl RangeSink for Sheet {
    fn begin(&self, len: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// All bytes of the object; of one that is warmed, those that are read afterwards.
async fn read(reader: &Reader, target: Target, way: Way) -> Result<Vec<u8>, ReadError> {
    // A small first answer, so that there is a second one.
    let options = OpenOptions::default().first(100 * KIB);
    match way {
        Way::ReadAt => {
            let handle = reader.open(target, options).await?;
            Ok(handle.read_at(0, usize::MAX).await?.to_vec())
        }
        Way::Stream => {
            let stream = reader.stream(target, RangeSpec::From(0)).await?;
            let chunks: Vec<_> = stream.try_collect().await?;
            Ok(chunks.concat())
        }
        Way::CopyTo => {
            let handle = reader.open(target, options).await?;
            let sheet = Arc::new(Sheet::default());
            handle.copy_to(ByteRange::new(0, u64::MAX), sheet.clone()).await?;
            let bytes = std::mem::take(&mut *sheet.0.lock().unwrap());
            Ok(bytes)
        }
        Way::Warm => {
            let warmed = reader.warm(target.clone()).await?;
            assert_eq!(warmed.size, SIZE);
            let handle = reader.open(target, options).await?;
            Ok(handle.read_at(0, usize::MAX).await?.to_vec())
        }
    }
}

fn world() -> World {
    let mut setup = Setup::small_parts();
    setup.range.stall_timeout = Duration::from_millis(700);
    let world = World::new(setup);
    world.put("object", 1, SIZE);
    world
}

fn is_right(bytes: &[u8], content: &Content) -> bool {
    bytes.len() as u64 == content.size() && content.check(0, bytes).is_ok()
}

fn once() -> Vec<FaultKind> {
    let status = |code, retry_after| FaultKind::Status { code, retry_after };
    vec![
        FaultKind::Reset(Point::BeforeHeaders),
        FaultKind::Reset(Point::AfterBody(0)),
        FaultKind::Reset(Point::AfterBody(70_000)),
        FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        },
        FaultKind::Stall {
            at: Point::AfterBody(70_000),
            resume: None,
        },
        FaultKind::Stall {
            at: Point::AfterBody(1000),
            resume: Some(Duration::from_millis(50)),
        },
        FaultKind::Truncate { after: 0 },
        FaultKind::Truncate { after: 70_000 },
        status(500, None),
        status(503, None),
        status(503, Some(RetryAfter::Seconds(0))),
        status(503, Some(RetryAfter::Date(Duration::ZERO))),
        status(429, None),
        FaultKind::ExtraBody { bytes: 10 },
        FaultKind::ContentRange(WrongRange::Shifted(5)),
        FaultKind::ContentRange(WrongRange::Unparsable),
        FaultKind::ContentRange(WrongRange::Missing),
        FaultKind::ContentRange(WrongRange::UnknownTotal),
        FaultKind::MissingContentLength,
        FaultKind::WholeBody,
        FaultKind::IgnoreConditions,
        FaultKind::Latency(Duration::from_millis(30)),
        FaultKind::Bandwidth(20_000_000),
    ]
}

/// With the first request and with a later one.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_once_is_not_seen() {
    let content = Content::pattern(1, SIZE);
    let mut seen = Vec::new();
    for fault in once() {
        let cases = WAYS.into_iter().flat_map(|way| [(way, 0), (way, 2)]);
        let cases = cases.map(|(way, skip)| {
            let (fault, content) = (&fault, &content);
            async move {
                let world = world();
                let rule = Rule::new(fault.clone()).skip_first(skip).times(1);
                world.lab.faults().add(rule);
                let reader = world.reader();
                let outcome = within(read(&reader, world.target("object"), way)).await;
                settled(&world, &reader).await;
                match outcome {
                    Ok(bytes) if is_right(&bytes, content) => None,
                    Ok(_) => Some(format!("{fault:?} {way:?} {skip}: wrong bytes")),
                    Err(error) => Some(format!("{fault:?} {way:?} {skip}: {error}")),
                }
            }
        });
        seen.extend(futures::future::join_all(cases).await.into_iter().flatten());
    }
    assert!(seen.is_empty(), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_wrong_is_told_by_its_kind_and_comes_back() {
    let status = |code| FaultKind::Status {
        code,
        retry_after: None,
    };
    let table = [
        (FaultKind::Reset(Point::BeforeHeaders), ErrorKind::Unavailable),
        (FaultKind::Reset(Point::AfterBody(0)), ErrorKind::Unavailable),
        (
            FaultKind::Stall {
                at: Point::AfterBody(0),
                resume: None,
            },
            ErrorKind::TimedOut,
        ),
        (FaultKind::Truncate { after: 0 }, ErrorKind::Unavailable),
        (status(503), ErrorKind::Unavailable),
        (status(403), ErrorKind::Denied),
        (status(404), ErrorKind::NotFound),
        (FaultKind::WrongETag("\"other\"".to_owned()), ErrorKind::Changed),
        (FaultKind::Replace { with: None }, ErrorKind::Changed),
    ];
    let mut seen = Vec::new();
    for (fault, kind) in table {
        let cases = WAYS.map(|way| {
            let fault = &fault;
            async move {
                let world = world();
                // The first answer is a good one.
                world.lab.faults().add(Rule::new(fault.clone()).skip_first(1));
                let reader = world.reader();
                let outcome = within(read(&reader, world.target("object"), way)).await;
                settled(&world, &reader).await;
                world.lab.faults().clear();
                let present = world.lab.objects().get(BUCKET, "object").unwrap().content.clone();
                let after = within(read(&reader, world.target("object"), way)).await;
                settled(&world, &reader).await;
                let right = match &after {
                    Ok(bytes) => is_right(bytes, &present),
                    Err(_) => false,
                };
                let told = outcome.as_ref().map(Vec::len).map_err(ReadError::kind);
                if told == Err(kind) && right {
                    return None;
                }
                let after = after.map(|bytes| bytes.len());
                Some(format!(
                    "{fault:?} {way:?}: {told:?}, then {after:?} right: {right}"
                ))
            }
        });
        seen.extend(futures::future::join_all(cases).await.into_iter().flatten());
    }
    assert!(seen.is_empty(), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_tells_apart_is_read_and_not_kept() {
    let content = Content::pattern(1, SIZE);
    for way in WAYS {
        let world = world();
        world.lab.faults().add(Rule::new(FaultKind::MissingETag));
        world.lab.faults().add(Rule::new(FaultKind::MissingLastModified));
        let reader = world.reader();
        let bytes = within(read(&reader, world.http_target("object"), way))
            .await
            .unwrap();
        assert!(is_right(&bytes, &content), "{way:?}");
        settled(&world, &reader).await;
        let stats = reader.cache().unwrap().stats();
        assert_eq!((stats.entry_count, stats.bytes_stored), (0, 0), "{way:?}");
        // Nor does anything of it answer for the next version.
        let new = world.put("object", 2, SIZE);
        let bytes = within(read(&reader, world.http_target("object"), way))
            .await
            .unwrap();
        assert!(is_right(&bytes, &new), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_conditions_does_not_mix_versions() {
    for way in WAYS {
        for whole in [false, true] {
            let world = world();
            let faults = world.lab.faults();
            faults.add(Rule::new(FaultKind::IgnoreConditions));
            if whole {
                faults.add(Rule::new(FaultKind::WholeBody).skip_first(1));
            }
            faults.add(
                Rule::new(FaultKind::Replace {
                    with: Some(Content::pattern(2, SIZE)),
                })
                .skip_first(2)
                .times(1),
            );
            let reader = world.reader();
            match within(read(&reader, world.http_target("object"), way)).await {
                Ok(bytes) => assert!(
                    is_right(&bytes, &Content::pattern(1, SIZE))
                        || is_right(&bytes, &Content::pattern(2, SIZE)),
                    "{way:?} {whole}"
                ),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{way:?} {whole}: {error}"),
            }
            settled(&world, &reader).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_weak_tag_is_of_one_version() {
    let tagged = |tag: &str| Attributes {
        etag: Some(tag.to_owned()),
        ..Attributes::default()
    };
    for way in WAYS {
        let world = world();
        let (old, new) = (Content::pattern(1, SIZE), Content::pattern(2, SIZE));
        let objects = world.lab.objects();
        objects.put_with(BUCKET, "object", old.clone(), tagged("W/\"one\""));
        let reader = world.reader();
        let bytes = within(read(&reader, world.http_target("object"), way))
            .await
            .unwrap_or_else(|error| panic!("{way:?}, the old one: {error}"));
        assert!(is_right(&bytes, &old), "{way:?}");
        settled(&world, &reader).await;
        objects.put_with(BUCKET, "object", new.clone(), tagged("W/\"two\""));
        let bytes = within(read(&reader, world.http_target("object"), way))
            .await
            .unwrap_or_else(|error| panic!("{way:?}, the new one: {error}"));
        assert!(is_right(&bytes, &new), "{way:?}");
        settled(&world, &reader).await;
    }
}
