use std::io::Write;

use super::*;
use crate::edges::Claim;
use crate::{Disk, DiskOptions, EngineChoice};

const UNIT: usize = 8192;

struct Given {
    disk: Disk,
    edges: Arc<Edges>,
    bytes: Vec<u8>,
    file: Arc<Opened>,
}

/// A file, said to be read directly; threads read it, through the page cache.
fn given(len: usize) -> Given {
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let options = DiskOptions {
        engine: EngineChoice::Pread,
        threads: 1,
        ..DiskOptions::default()
    };
    Given {
        disk: Disk::new(options, None).unwrap(),
        edges: Arc::default(),
        bytes,
        file: Arc::new(Opened::new(file, true, 0)),
    }
}

type Done = oneshot::Receiver<io::Result<(Buffer, usize)>>;

impl Given {
    /// A read of `units` units of which `needed` bytes are needed, of which the kernel has given `got`.
    fn given(&self, units: usize, needed: usize, got: usize) -> (Box<Op>, Done) {
        let mut buffer = self.disk.pool().take(units * UNIT, UNIT).unwrap();
        let got = got.min(self.bytes.len());
        buffer.as_mut()[..got].copy_from_slice(&self.bytes[..got]);
        let (done, told) = oneshot::channel();
        let op = Op {
            disk: self.disk.shared.clone(),
            file: self.file.clone(),
            buffer: Some(buffer),
            base: 0,
            filled: 0,
            end: units * UNIT,
            needed,
            unit: UNIT,
            edges: self.edges.clone(),
            owned: [None; 2],
            done: Some(done),
            direct: true,
            again: 0,
        };
        (Box::new(op), told)
    }

    #[track_caller]
    fn assert_read(&self, done: Done, least: usize) {
        let (buffer, filled) = done.blocking_recv().unwrap().unwrap();
        assert!(filled >= least, "{filled} of {least}");
        assert_eq!(&buffer.as_ref()[..filled], &self.bytes[..filled]);
    }
}

#[test]
fn a_read_that_stops_within_a_unit_before_the_end_goes_on() {
    let given = given(5 * UNIT);
    for got in [1, 512, 4096, UNIT - 1, UNIT, UNIT + 1, 2 * UNIT, 3 * UNIT + 4096] {
        let (op, done) = given.given(5, 5 * UNIT, got);
        op.finish(Ok(got));
        given.assert_read(done, 5 * UNIT);
    }
}

#[test]
fn a_read_that_stops_where_the_file_ends_is_done() {
    let given = given(UNIT + 100);
    let (op, done) = given.given(5, 5 * UNIT, UNIT + 100);
    op.finish(Ok(UNIT + 100));
    given.assert_read(done, UNIT + 100);
    assert_eq!(given.disk.stats().reads, 0, "nothing is asked again");
}

#[test]
fn a_read_that_has_what_is_needed_is_done() {
    let given = given(5 * UNIT);
    let (op, done) = given.given(5, UNIT + 1, UNIT + 512);
    op.finish(Ok(UNIT + 512));
    given.assert_read(done, UNIT + 1);
    assert_eq!(given.disk.stats().reads, 0);
}

#[test]
fn interruptions_are_gone_over_and_not_without_end() {
    let given = given(UNIT);
    for errno in [Errno::INTR, Errno::AGAIN, Errno::CANCELED] {
        let (op, done) = given.given(1, UNIT, 0);
        op.finish(Err(errno));
        given.assert_read(done, UNIT);
        let (mut op, done) = given.given(1, UNIT, 0);
        op.again = AGAIN;
        op.finish(Err(errno));
        let error = done.blocking_recv().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
    }
    let (mut op, done) = given.given(2, 2 * UNIT, 0);
    op.again = AGAIN;
    op.finish(Ok(10));
    assert_eq!(done.blocking_recv().unwrap().unwrap().1, 10);
}

#[test]
fn einval_is_a_refusal_once_and_an_error_after_that() {
    let given = given(UNIT);
    let (op, done) = given.given(1, UNIT, 0);
    op.finish(Err(Errno::INVAL));
    given.assert_read(done, UNIT);
    assert!(!given.file.is_direct());
    let stats = given.disk.stats();
    assert_eq!((stats.refused_files, stats.buffered_bytes), (1, UNIT as u64));
    let (mut op, done) = given.given(1, UNIT, 0);
    op.direct = false;
    op.finish(Err(Errno::INVAL));
    let error = done.blocking_recv().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
}

#[test]
fn a_read_that_is_dropped_frees_its_edges_and_its_memory() {
    let given = given(UNIT);
    let (mut op, done) = given.given(1, UNIT, 0);
    assert!(matches!(given.edges.claim(0, None), Claim::Mine));
    op.owned[0] = Some((0, 0));
    let Claim::Theirs(told) = given.edges.claim(0, None) else {
        panic!("it is claimed")
    };
    drop(op);
    assert_eq!(told.blocking_recv().unwrap(), None);
    assert!(done.blocking_recv().is_err());
    assert!(matches!(given.edges.claim(0, None), Claim::Mine));
    assert_eq!(given.disk.pool().stats().in_use, 0);
}

#[test]
fn an_edge_at_the_end_of_the_file_is_as_long_as_the_file_has_it() {
    let given = given(UNIT + 100);
    for (position, len) in [(0, UNIT), (UNIT, 100), (2 * UNIT, 0)] {
        let (mut op, done) = given.given(3, 3 * UNIT, UNIT + 100);
        let at = position as u64;
        assert!(matches!(given.edges.claim(at, None), Claim::Mine));
        op.owned[1] = Some((at, position));
        let Claim::Theirs(told) = given.edges.claim(at, None) else {
            panic!("it is claimed")
        };
        op.finish(Ok(UNIT + 100));
        let edge = told.blocking_recv().unwrap().unwrap();
        assert_eq!(
            &edge[..],
            &given.bytes[position.min(UNIT + 100)..(position + len).min(UNIT + 100)]
        );
        given.assert_read(done, UNIT + 100);
    }
}
