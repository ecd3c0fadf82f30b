//! Reads the object of example `lab` with the raw client:
//! `cargo run --release -p forebay-testkit --example raw -- 9000 8 10 8` (port, connections, GiB, MiB per part).

use std::net::{Ipv4Addr, SocketAddr};

use forebay_testkit::raw::{RawClient, Sink};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    let arg = |at: usize, default| args.get(at).copied().unwrap_or(default);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(arg(0, 9000))?));
    let (connections, size, part) = (usize::try_from(arg(1, 8))?, arg(2, 10) << 30, arg(3, 8) << 20);
    let client = RawClient {
        max_buf_size: usize::try_from(arg(4, 512))? << 10,
    };
    let report = client
        .fetch(addr, "/bucket/big", size, part, connections, Sink::Discard)
        .await?;
    println!(
        "{:.0} MB/s, {} requests, p50 {:?}, p99 {:?}",
        report.mb_per_second(),
        report.requests,
        report.percentile(0.5),
        report.percentile(0.99)
    );
    Ok(())
}
