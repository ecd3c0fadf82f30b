use std::sync::Arc;
use std::time::Duration;
use forebay_range::*;
use forebay_source::*;
use forebay_testkit::*;
use forebay_testkit::raw::*;
use forebay_types::*;
use futures::StreamExt;

fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let addr: std::net::SocketAddr = format!("127.0.0.1:{}", args[1]).parse().unwrap();
    let mode = &args[2];
    let conns: usize = args[3].parse().unwrap();
    let size: u64 = args[4].parse::<u64>().unwrap() << 20;
    let rounds: usize = args[5].parse().unwrap();
    for round in 0..rounds {
        for which in ["raw", "sink", "stream"] {
            if mode != "all" && mode != which { continue; }
            let c0 = cpu();
            let t0 = std::time::Instant::now();
            let (mb, extra) = match which {
                "raw" => {
                    let client = RawClient { max_buf_size: 512 << 10 };
                    let report = client.fetch(addr, "/bucket/big", size, 8 << 20, conns, Sink::Discard).await.unwrap();
                    (report.mb_per_second(), format!("{} req", report.requests))
                }
                _ => {
                    let mut options = SourceOptions::default();
                    for (k, v) in [("aws_endpoint_url", format!("http://{addr}")), ("aws_allow_http", "true".into()), ("aws_access_key_id", "a".into()), ("aws_secret_access_key", "b".into()), ("aws_region", "us-east-1".into())] { options.cloud.insert(k.into(), v); }
                    if let Ok(b) = std::env::var("BUF") { options.transport.read_buffer = b.parse::<usize>().unwrap() << 10; }
                    let opener = Opener::new(options);
                    let source = opener.open(&"s3://bucket/big".parse().unwrap()).unwrap();
                    let mut config = RangeEngineConfig { max_concurrent_ranges: conns, ..Default::default() };
                    if std::env::var("NOEARLY").is_ok() { config.ask_early = false; }
                    let engine = RangeEngine::new(config.clone());
                    let target = Target::new(&source, Arc::new(config));
                    let range = RangeSpec::Bounded(ByteRange::new(0, size));
                    let stats = if which == "sink" {
                        engine.read_to(target, range, Arc::new(Discard)).await.unwrap()
                    } else {
                        let mut s = engine.stream(target, range).await.unwrap();
                        while let Some(c) = s.next().await { c.unwrap(); }
                        s.stats()
                    };
                    let _ = engine.budget().in_flight();
                    (stats.throughput_mbps(), format!("{} req {} hedges, {} conns, early {:?}, inflight {}", stats.requests, stats.hedges, opener.transport().meter().connections(), engine.usual_latency(), engine.budget().in_flight()))
                }
            };
            let cpu = cpu() - c0;
            println!("{round} {which:7} {mb:7.0} MB/s  cpu {:.3} s/GiB  wall {:?} {extra}", cpu / (size as f64 / (1u64<<30) as f64), t0.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
