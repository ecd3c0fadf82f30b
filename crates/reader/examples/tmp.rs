use forebay_range::*;
use forebay_reader::*;
use forebay_source::*;
use forebay_testkit::*;
use forebay_types::*;
use futures::StreamExt;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let prof = std::env::args().nth(1).unwrap();
    let size: u64 = 1 << 30;
    let lab = Lab::builder()
        .profile(if prof == "std" {
            forebay_testkit::Profile::STANDARD
        } else {
            forebay_testkit::Profile::LOOPBACK
        })
        .start()
        .unwrap();
    lab.objects().put("bucket", "object", Content::pattern(1, size));
    let mut options = SourceOptions::default();
    for (n, v) in [
        ("aws_endpoint_url", lab.endpoint().as_str()),
        ("aws_allow_http", "true"),
        ("aws_access_key_id", "k"),
        ("aws_secret_access_key", "s"),
        ("aws_region", "us-east-1"),
    ] {
        options.cloud.insert(n.to_owned(), v.to_owned());
    }
    let source = Opener::new(options)
        .open(&"s3://bucket/object".parse().unwrap())
        .unwrap();
    let config = Arc::new(RangeEngineConfig::for_profile(&source.profile));
    let dir = tempfile::tempdir_in("/tmp/w").unwrap();
    let clock = SystemClock::new();
    for round in 0..3 {
        for mode in ["engine", "reader", "cached"] {
            let cache = (mode == "cached").then(|| {
                forebay_cache::Cache::open(
                    forebay_cache::CacheOptions::new(dir.path().join("cache"), 4 << 30),
                    Arc::new(SystemClock::new()),
                )
                .unwrap()
            });
            if let Some(c) = &cache {
                c.clear().unwrap();
            }
            let reader = Reader::new(
                RangeEngine::new((*config).clone()),
                cache,
                ReaderOptions {
                    read_ahead: forebay_readahead::ReadAheadConfig {
                        size: 512 << 20,
                        max: 512 << 20,
                        ..Default::default()
                    },
                    ..Default::default()
                },
            );
            let t = Target::new(&source, config.clone());
            let t0 = clock.now();
            let mut n = 0u64;
            let mut chunks = 0u64;
            let mut st = None;
            if mode == "engine" {
                let mut s = reader.engine().stream(t, RangeSpec::From(0)).await.unwrap();
                while let Some(c) = s.next().await {
                    n += c.unwrap().len() as u64;
                    chunks += 1;
                }
            } else {
                let mut s = reader.stream(t, RangeSpec::From(0)).await.unwrap();
                while let Some(c) = s.next().await {
                    n += c.unwrap().len() as u64;
                    chunks += 1;
                }
                st = Some(s.handle().stats());
            }
            let dt = (clock.now() - t0).as_secs_f64();
            reader.flush().await;
            let ft = (clock.now() - t0).as_secs_f64();
            println!(
                "{round} {mode}: {:.0} MB/s, with flush {:.0}, chunks {chunks} {:?} reqs {} cache {:?}",
                n as f64 / 1e6 / dt,
                n as f64 / 1e6 / ft,
                st.map(|s| s.read_ahead),
                reader.engine().stats().requests,
                reader.cache().map(|c| {
                    let s = c.stats();
                    (s.current_size, s.drops, s.direct_writes, s.buffered_writes)
                })
            );
        }
    }
}
