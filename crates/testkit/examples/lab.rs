//! Serves one object for measurements by hand: `cargo run --release -p forebay-testkit --example lab -- 9000 standard 10`
//! (port, profile, GiB) shows it at `http://127.0.0.1:9000/bucket/big`, until standard input ends.

use std::io::{Error, Read};
use std::net::{Ipv4Addr, SocketAddr};

use forebay_testkit::{Content, Lab, Profile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().as_deref().unwrap_or("9000").parse()?;
    let profile = match args.next().as_deref() {
        Some("standard") => Profile::STANDARD,
        None | Some("loopback") => Profile::LOOPBACK,
        Some(other) => {
            return Err(Error::other(format!("no profile '{other}': standard or loopback")).into());
        }
    };
    let gib: u64 = args.next().as_deref().unwrap_or("10").parse()?;
    let threads: usize = args.next().as_deref().unwrap_or("2").parse()?;
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let lab = Lab::builder()
        .profile(profile)
        .threads(threads)
        .bind(bind)
        .start()?;
    lab.objects().put("bucket", "big", Content::pattern(1, gib << 30));
    println!("{}/bucket/big", lab.endpoint());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    println!("{:#?}", lab.counts());
    Ok(())
}
