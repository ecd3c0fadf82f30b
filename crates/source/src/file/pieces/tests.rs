//! The stream with its states set by hand: what a disk does when nothing is in memory.

use std::os::unix::fs::FileExt;

use futures::TryStreamExt;

use super::*;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

fn open(data: &[u8]) -> (tempfile::NamedTempFile, OpenFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all_at(data, 0).unwrap();
    // Kernels before 6.13 step their file times by up to 10 ms, and a test changes the file sooner.
    file.as_file().set_modified(std::time::UNIX_EPOCH).unwrap();
    let reader = File::open(file.path()).unwrap();
    let stamp = Stamp::of_open(&reader).unwrap();
    (file, OpenFile::new(reader, stamp, "f".to_owned(), Arc::default()))
}

fn cold(file: OpenFile, rest: Range<u64>) -> Pieces {
    Pieces {
        file: Arc::new(file),
        first: None,
        rest,
        misses: GIVE_UP,
        ahead: None,
    }
}

#[tokio::test]
async fn cold_bytes_come_in_large_pieces_one_ahead() {
    let len = 3 * COLD_PIECE as usize + 5;
    let data = pattern(len);
    let (_keep, file) = open(&data);
    let mut pieces = cold(file, 0..len as u64);
    let mut got = Vec::new();
    while let Some(piece) = pieces.next().await {
        got.push(piece.unwrap());
        assert_eq!(pieces.ahead.is_some(), got.len() < 4, "after piece {}", got.len());
    }
    let lens: Vec<u64> = got.iter().map(|piece| piece.len() as u64).collect();
    assert_eq!(lens, [COLD_PIECE, COLD_PIECE, COLD_PIECE, 5]);
    assert_eq!(got.concat(), data);
}

#[tokio::test]
async fn cold_bytes_that_change_are_not_handed_out() {
    let len = 4 * COLD_PIECE;
    let (keep, file) = open(&pattern(len as usize));
    let mut pieces = cold(file, 0..len);
    pieces.next().await.unwrap().unwrap();
    keep.as_file().set_len(COLD_PIECE + 1).unwrap();
    // One piece is already being read, before or after the cut.
    let results = [pieces.next().await, pieces.next().await];
    let error = results
        .into_iter()
        .flatten()
        .find_map(Result::err)
        .expect("the cut was not noticed");
    assert!(error.to_string().contains("changed while it was read"), "{error}");
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_dropped_cache_is_read_from_disk() {
    let len = 6 * COLD_PIECE as usize + 1;
    let data = pattern(len);
    let (keep, file) = open(&data);
    keep.as_file().sync_all().unwrap();
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(keep.as_file(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let got: Vec<Bytes> = pieces(file, Bytes::new(), 0..len as u64)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(got.concat(), data);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bytes_in_memory_never_visit_the_blocking_pool() {
    let len = 10 * WARM_PIECE;
    let (_keep, file) = open(&pattern(len as usize));
    if let Ok(Now::CannotTell) = file.read_now(0..1) {
        return eprintln!("skipped: the file system of the temporary directory cannot tell");
    }
    let mut pieces = Pieces {
        file: Arc::new(file),
        first: None,
        rest: 0..len,
        misses: 0,
        ahead: None,
    };
    let mut warm = 0;
    while let Some(piece) = pieces.next().await {
        warm += usize::from(piece.unwrap().len() as u64 == WARM_PIECE);
    }
    // A short answer now and then is the kernel's right.
    assert!(warm >= 5, "{warm} of 10 pieces; misses {}", pieces.misses);
}

#[test]
fn buffers_come_back_and_are_bounded() {
    let buffers = Arc::new(Buffers::default());
    let taken: Vec<Buffer> = (0..Buffers::KEPT + 5).map(|_| buffers.take(10)).collect();
    assert!(taken.iter().all(|buffer| buffer.as_ref().len() == 10));
    drop(taken);
    assert_eq!(buffers.free.lock().unwrap().len(), Buffers::KEPT);
    let mut again = buffers.take(3);
    again.as_mut().copy_from_slice(b"abc");
    let bytes = Bytes::from_owner(again);
    assert_eq!(bytes, "abc");
    let part = bytes.slice(1..);
    drop(bytes);
    assert_eq!(
        buffers.free.lock().unwrap().len(),
        Buffers::KEPT - 1,
        "still held by the slice"
    );
    drop(part);
    assert_eq!(buffers.free.lock().unwrap().len(), Buffers::KEPT);
}

#[test]
fn a_file_shorter_than_it_said_is_an_error() {
    let (_keep, file) = open(b"12345");
    let error = file.read(3..9).unwrap_err();
    assert!(matches!(error, FileStoreError::Changed { .. }), "{error}");
}

#[test]
fn a_file_rewritten_in_place_is_noticed_by_every_read() {
    let (keep, file) = open(b"12345");
    assert_eq!(file.read(0..5).unwrap(), "12345");
    keep.as_file().write_all_at(b"x", 4).unwrap();
    let error = file.read(0..2).unwrap_err();
    assert!(matches!(error, FileStoreError::Changed { .. }), "{error}");
}

#[test]
fn a_range_longer_than_memory_is_an_error_and_no_abort() {
    let (_keep, file) = open(b"12345");
    let error = file.read(0..1 << 62).unwrap_err();
    assert!(error.to_string().contains("does not fit into memory"), "{error}");
}
