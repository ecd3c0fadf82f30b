//! Streams against a client that counts them and gives out what it is told to.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_types::{ErrorKind, SystemClock};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::Notify;

use super::*;
use crate::rqbit::daemon::{Details, FileBytes, Haves, Listed, Peers, State as Doing, Stats, TorrentFault};

const CHUNK: u64 = 64 << 10;
const MIB: u64 = 1 << 20;
const LENGTH: u64 = 64 * MIB;
const HASH: InfoHash = InfoHash([7; 20]);

/// A client that has files up to some byte.
#[derive(Debug)]
struct Client {
    /// Of each file, by its index.
    here: Vec<AtomicU64>,
    more: Notify,
    open: AtomicUsize,
    most: AtomicUsize,
    ranges: Mutex<Vec<(usize, ByteRange)>>,
    doing: Mutex<Doing>,
    /// Requests that are refused before one is answered.
    refuse: AtomicUsize,
}

impl Client {
    fn new(here: &[u64]) -> Arc<Self> {
        Arc::new(Self {
            here: here.iter().map(|here| AtomicU64::new(*here)).collect(),
            more: Notify::new(),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            ranges: Mutex::default(),
            doing: Mutex::new(Doing::Live),
            refuse: AtomicUsize::new(0),
        })
    }

    fn arrive(&self, file: usize, here: u64) {
        self.here[file].store(here, Relaxed);
        self.more.notify_waiters();
    }

    fn asked(&self) -> Vec<(usize, ByteRange)> {
        std::mem::take(&mut *self.ranges.lock().unwrap())
    }
}

fn byte(file: usize, at: u64) -> u8 {
    ((at.wrapping_mul(0x9E37_79B9) >> 13) as u8) ^ (file as u8)
}

fn bytes(file: usize, range: ByteRange) -> Vec<u8> {
    (range.start()..range.end()).map(|at| byte(file, at)).collect()
}

/// Counts itself as open.
struct Counted(Arc<Client>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client")
    }
}

/// What the streams have.
#[derive(Debug)]
struct Shared(Arc<Client>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[async_trait]
impl Daemon for Shared {
    async fn torrents(&self) -> Result<Vec<Listed>, Failure> {
        Ok(Vec::new())
    }

    async fn details(&self, hash: InfoHash) -> Result<Details, Failure> {
        Err(Failure::Torrent(TorrentFault::Gone { hash }))
    }

    async fn stats(&self, _: InfoHash) -> Result<Stats, Failure> {
        Ok(Stats {
            state: *self.0.doing.lock().unwrap(),
            error: Some("disk on fire".to_owned()),
            file_progress: self.0.here.iter().map(|here| here.load(Relaxed)).collect(),
            total: 0,
            peers: Some(Peers::default()),
            download_bps: None,
        })
    }

    async fn haves(&self, hash: InfoHash) -> Result<Haves, Failure> {
        Err(Failure::Torrent(TorrentFault::Gone { hash }))
    }

    async fn open(&self, hash: InfoHash, file: usize, range: ByteRange) -> Result<FileBytes, Failure> {
        assert_eq!(hash, HASH);
        assert!(!range.is_empty() && range.end() <= LENGTH, "{range}");
        let client = self.0.clone();
        if client
            .refuse
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .is_ok()
        {
            return Err(Failure::ConnectTimeout {
                host: "client".to_owned(),
                after: Duration::ZERO,
            });
        }
        client.ranges.lock().unwrap().push((file, range));
        let open = client.open.fetch_add(1, Relaxed) + 1;
        client.most.fetch_max(open, Relaxed);
        let state = (Counted(client), range.start());
        Ok(
            futures::stream::try_unfold(state, move |(counted, at)| async move {
                if at == range.end() {
                    return Ok(None);
                }
                loop {
                    let more = counted.0.more.notified();
                    if counted.0.here[file].load(Relaxed) > at {
                        break;
                    }
                    more.await;
                }
                let end = (at + CHUNK)
                    .min(range.end())
                    .min(counted.0.here[file].load(Relaxed));
                let chunk = Bytes::from(bytes(file, ByteRange::new(at, end)));
                Ok(Some((chunk, (counted, end))))
            })
            .boxed(),
        )
    }
}

fn streams(client: &Arc<Client>, options: RqbitOptions) -> Streams {
    Streams::new(
        Arc::new(Shared(client.clone())),
        options,
        Arc::new(SystemClock::new()),
    )
}

fn short() -> RqbitOptions {
    RqbitOptions {
        read_timeout: Duration::from_millis(2500),
        stream_idle: Duration::from_millis(200),
        ..RqbitOptions::default()
    }
}

fn read(
    streams: &Streams,
    file: usize,
    start: u64,
    end: u64,
) -> impl Stream<Item = Result<Bytes, Failure>> + Unpin + use<> {
    streams
        .read((HASH, file), ByteRange::new(start, end), LENGTH)
        .into_stream()
}

async fn all(stream: impl Stream<Item = Result<Bytes, Failure>>) -> Result<Vec<u8>, Failure> {
    Ok(stream.try_collect::<Vec<_>>().await?.concat())
}

async fn check(streams: &Streams, file: usize, start: u64, end: u64) {
    let got = all(read(streams, file, start, end)).await.unwrap();
    assert!(
        got == bytes(file, ByteRange::new(start, end)),
        "{file} {start}..{end}"
    );
}

#[tokio::test]
async fn a_run_rides_in_one_stream() {
    let client = Client::new(&[LENGTH]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, 128 << 10).await;
    check(&streams, 0, 128 << 10, MIB).await;
    for at in 1..20 {
        check(&streams, 0, at * MIB, (at + 1) * MIB).await;
    }
    let asked = client.asked();
    assert_eq!(
        asked,
        [
            (0, ByteRange::new(0, 128 << 10)),
            (0, ByteRange::new(128 << 10, LENGTH))
        ],
        "a short one, and one that serves all that follows"
    );
    assert_eq!(streams.stats().reused, 19);
    assert_eq!(streams.stats().parked, 1);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        (streams.stats().parked, streams.stats().open),
        (0, 0),
        "closed when nobody reads it"
    );
    assert_eq!(client.open.load(Relaxed), 0);
}

#[tokio::test]
async fn requests_of_one_moment_ride_one_after_another_in_whatever_order_they_come() {
    let client = Client::new(&[LENGTH]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, MIB).await;
    let parts = [5, 3, 1, 4, 2].map(|at| {
        let streams = streams.clone();
        tokio::spawn(async move { check(&streams, 0, at * MIB, (at + 1) * MIB).await })
    });
    for part in parts {
        part.await.unwrap();
    }
    assert_eq!(client.asked().len(), 2);
    assert_eq!(client.most.load(Relaxed), 1);
}

#[tokio::test]
async fn seeks_forward_inside_the_reach_ride_on_and_others_do_not() {
    let client = Client::new(&[LENGTH]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, MIB).await;
    check(&streams, 0, MIB, 2 * MIB).await;
    client.asked();
    check(&streams, 0, 12 * MIB, 13 * MIB).await;
    assert_eq!(client.asked(), [], "dropped up to there");
    check(&streams, 0, 5 * MIB, 6 * MIB).await;
    assert_eq!(
        client.asked(),
        [(0, ByteRange::new(5 * MIB, 6 * MIB))],
        "backwards"
    );
    check(&streams, 0, 50 * MIB, 51 * MIB).await;
    assert_eq!(
        client.asked(),
        [(0, ByteRange::new(50 * MIB, 51 * MIB))],
        "too far"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_piece_that_is_only_to_be_skipped() {
    let client = Client::new(&[2 * MIB]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, MIB).await;
    check(&streams, 0, MIB, 2 * MIB).await;
    client.asked();
    let begun = tokio::time::Instant::now();
    let reading = {
        let streams = streams.clone();
        tokio::spawn(async move { check(&streams, 0, 10 * MIB, 11 * MIB).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        client.asked(),
        [(0, ByteRange::new(10 * MIB, 11 * MIB))],
        "a stream of its own"
    );
    client.arrive(0, LENGTH);
    reading.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn ten_readers_have_four_streams_and_all_get_on() {
    let client = Client::new(&[LENGTH; 10]);
    let streams = streams(&client, short());
    let readers = (0..10).map(|file| {
        let streams = streams.clone();
        tokio::spawn(async move {
            for at in 0..12 {
                check(&streams, file, at * MIB, (at + 1) * MIB).await;
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    assert!(client.most.load(Relaxed) <= 4, "{client:?}");
}

#[tokio::test]
async fn who_waits_for_pieces_makes_room_for_who_could_read() {
    // Four files without a byte, and one that is complete.
    let client = Client::new(&[0, 0, 0, 0, LENGTH]);
    let streams = streams(
        &client,
        RqbitOptions {
            read_timeout: Duration::from_secs(20),
            ..short()
        },
    );
    let waiting: Vec<_> = (0..4)
        .map(|file| {
            let streams = streams.clone();
            tokio::spawn(async move { check(&streams, file, 0, MIB).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.open.load(Relaxed), 4);
    check(&streams, 4, 0, 8 * MIB).await;
    assert!(streams.stats().revoked >= 1);
    for file in 0..4 {
        client.arrive(file, LENGTH);
    }
    for reader in waiting {
        reader.await.unwrap();
    }
    assert!(client.most.load(Relaxed) <= 4);
}

#[tokio::test]
async fn who_does_not_read_on_loses_his_stream_and_no_byte() {
    let client = Client::new(&[LENGTH; 5]);
    let streams = streams(&client, short());
    let mut lazy: Vec<_> = (0..4).map(|file| read(&streams, file, 0, 32 * MIB)).collect();
    let mut got = Vec::new();
    for stream in &mut lazy {
        got.push(stream.try_next().await.unwrap().unwrap().to_vec());
    }
    check(&streams, 4, 0, MIB).await;
    for (file, (stream, mut got)) in lazy.into_iter().zip(got).enumerate() {
        got.extend(all(stream).await.unwrap());
        assert!(got == bytes(file, ByteRange::new(0, 32 * MIB)), "{file}");
    }
    assert!(client.most.load(Relaxed) <= 4);
}

#[tokio::test]
async fn who_follows_one_that_nobody_reads_goes_alone() {
    let client = Client::new(&[LENGTH]);
    let streams = streams(&client, short());
    let mut lazy = read(&streams, 0, 0, 8 * MIB);
    lazy.try_next().await.unwrap().unwrap();
    check(&streams, 0, 8 * MIB, 9 * MIB).await;
    drop(lazy);
    check(&streams, 0, 9 * MIB, 10 * MIB).await;
}

#[tokio::test]
async fn a_read_that_is_given_up_leaves_its_stream_to_the_next() {
    let client = Client::new(&[LENGTH]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, MIB).await;
    let mut given_up = read(&streams, 0, MIB, 8 * MIB);
    given_up.try_next().await.unwrap().unwrap();
    drop(given_up);
    client.asked();
    check(&streams, 0, 2 * MIB, 3 * MIB).await;
    assert_eq!(client.asked(), []);
    // One that never began leaves nothing.
    drop(read(&streams, 0, 30 * MIB, 31 * MIB));
    assert_eq!(streams.lock().reads.len(), 0);
}

#[tokio::test]
async fn a_piece_that_does_not_come_is_an_error_in_time() {
    let client = Client::new(&[0]);
    let streams = streams(&client, short());
    for (doing, part) in [(Doing::Live, "no peer is connected"), (Doing::Paused, "paused")] {
        *client.doing.lock().unwrap() = doing;
        let error = all(read(&streams, 0, 0, MIB)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(part), "{error}");
    }
    *client.doing.lock().unwrap() = Doing::Failed;
    let begun = tokio::time::Instant::now();
    let error = all(read(&streams, 0, 0, MIB)).await.unwrap_err();
    assert!(error.to_string().contains("disk on fire"), "{error}");
    assert!(
        begun.elapsed() < short().read_timeout,
        "said as soon as it is known"
    );
    assert_eq!(client.open.load(Relaxed), 0);
}

#[tokio::test]
async fn a_client_that_is_away_for_a_moment_is_waited_for() {
    let client = Client::new(&[LENGTH]);
    let streams = streams(&client, short());
    client.refuse.store(3, Relaxed);
    check(&streams, 0, 0, MIB).await;
    client.refuse.store(usize::MAX, Relaxed);
    let error = all(read(&streams, 0, 0, MIB)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test]
async fn a_fifth_reader_of_large_files_has_its_turn() {
    let client = Client::new(&[LENGTH; 5]);
    let streams = streams(&client, short());
    let stop = Arc::new(AtomicUsize::new(0));
    let busy: Vec<_> = (0..4)
        .map(|file| {
            let (streams, stop) = (streams.clone(), stop.clone());
            tokio::spawn(async move {
                // One read for as long as it takes, slow and never silent.
                let mut stream = read(&streams, file, 0, LENGTH);
                let mut got = 0;
                while let Some(chunk) = stream.try_next().await.unwrap() {
                    assert!(chunk[..] == bytes(file, ByteRange::at(got, chunk.len() as u64)));
                    got += chunk.len() as u64;
                    if stop.load(Relaxed) == 0 {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                assert_eq!(got, LENGTH);
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    check(&streams, 4, 0, MIB).await;
    stop.store(1, Relaxed);
    for reader in busy {
        reader.await.unwrap();
    }
    assert!(client.most.load(Relaxed) <= 4);
}

#[tokio::test]
async fn who_waits_behind_a_slow_read_is_patient() {
    // Longer on its way than a read waits for a byte.
    let client = Client::new(&[MIB]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, MIB).await;
    let parts: Vec<_> = (1..5)
        .map(|at| {
            let streams = streams.clone();
            tokio::spawn(async move { check(&streams, 0, at * MIB, (at + 1) * MIB).await })
        })
        .collect();
    for here in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.arrive(0, MIB + (here + 1) * MIB / 2);
    }
    for part in parts {
        part.await.unwrap();
    }
    assert_eq!(client.asked().len(), 2);
}

#[tokio::test]
async fn the_end_of_a_film_goes_before_what_follows_its_start() {
    let client = Client::new(&[LENGTH - 1]);
    let streams = streams(&client, short());
    check(&streams, 0, 0, MIB).await;
    let ahead = {
        let streams = streams.clone();
        tokio::spawn(async move { check(&streams, 0, MIB, 2 * MIB).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    check(&streams, 0, LENGTH - 2 * MIB, LENGTH - MIB).await;
    ahead.await.unwrap();
    let starts: Vec<u64> = client.asked().iter().map(|(_, range)| range.start()).collect();
    assert_eq!(starts, [0, LENGTH - 2 * MIB, MIB]);
}

#[tokio::test]
async fn where_streams_are_scarce_none_is_opened_to_the_end_of_its_file() {
    let client = Client::new(&[LENGTH; 10]);
    let streams = streams(&client, short());
    let readers = (0..10).map(|file| {
        let streams = streams.clone();
        tokio::spawn(async move {
            for at in 0..8 {
                check(&streams, file, at * MIB, (at + 1) * MIB).await;
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    let to_the_end = client
        .asked()
        .iter()
        .filter(|(_, range)| range.end() == LENGTH)
        .count();
    assert!(to_the_end <= 20, "{to_the_end} of 80 reads");
}
