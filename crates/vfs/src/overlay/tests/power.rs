//! The machine goes down: what was synced is there, and nothing that is wrong.

use forebay_types::BLOCK;
use rustix::io::Errno;

use super::*;
use crate::overlay::layout::{data_name, map_name};
use crate::overlay::recover::open_as;

/// Opens as if the machine had been started again.
fn restarted(rig: &Rig) -> Upper {
    let shared = open_as(&rig.path(), BASE, clock(), "another boot", false).unwrap();
    Upper { shared }
}

#[test]
fn what_was_synced_is_there_and_files_that_are_not_there_take_their_names_along() {
    let rig = Rig::new();
    let upper = rig.open();
    let (_, file) = upper.create(upper.root(), b"synced", new(0o600)).unwrap();
    write(&file, 0, b"bytes");
    file.sync(true).unwrap();
    upper.mkdir(upper.root(), b"before", new(0o700)).unwrap();
    let (lost, _) = upper.create(upper.root(), b"lost", new(0o600)).unwrap();
    upper.mkdir(upper.root(), b"after", new(0o700)).unwrap();
    let after = rig.killed();
    // The journal came through, the name of the file did not.
    fs::remove_file(after.path().join("data").join(data_name(lost))).unwrap();
    assert!(matches!(after.try_open(), Err(OverlayError::Lost { .. })));
    let upper = restarted(&after);
    let names: Vec<_> = dump(&upper).into_keys().collect();
    assert_eq!(names, ["/before", "/synced"]);
    let id = at(&upper, "/synced").unwrap();
    assert_eq!(read(&upper.data(id).unwrap()), b"bytes");
    drop(upper);
    // Believed from now on, at the next start of the machine too.
    assert_eq!(dump(&after.try_open().unwrap()).len(), 2);
}

#[test]
fn a_file_that_was_taken_up_and_not_synced_is_below_again_if_its_size_is_lost() {
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper
        .adopt_file(upper.root(), b"f", &origin("f", 3 * BLOCK), attrs(0o600))
        .unwrap();
    upper.sync().unwrap();
    upper.data(id).unwrap();
    let after = rig.killed();
    let path = after.path().join("data").join(data_name(id));
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(0)
        .unwrap();
    let upper = restarted(&after);
    assert_eq!(upper.content(id).unwrap().1, Data::Lower);
    assert_eq!(upper.attrs(id).unwrap().size, 3 * BLOCK);
    assert_eq!(after.files(), Vec::<String>::new());
    // Had it been synced, it would be another thing.
    let upper = rig.open_after(upper, id);
    assert_eq!(upper.content(id).unwrap().1, Data::Mapped { limit: 3 * BLOCK });
}

impl Rig {
    fn open_after(&self, other: Upper, id: NodeId) -> Upper {
        drop(other);
        let copy = self.killed();
        let upper = copy.open();
        upper.data(id).unwrap();
        upper.sync().unwrap();
        drop(upper);
        restarted(&copy)
    }
}

#[test]
fn blocks_whose_bytes_did_not_come_through_are_below_again() {
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper
        .adopt_file(upper.root(), b"f", &origin("f", 4 * BLOCK), attrs(0o600))
        .unwrap();
    let file = upper.data(id).unwrap();
    write(&file, 0, &vec![7; BLOCK as usize]);
    file.sync(true).unwrap();
    write(&file, BLOCK, &vec![8; 2 * BLOCK as usize]);
    let after = rig.killed();
    // Of what was not synced, one block came through and one did not, though the map says so.
    let path = after.path().join("data").join(data_name(id));
    let data = fs::File::options().write(true).open(path).unwrap();
    rustix::fs::fallocate(
        &data,
        rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
        2 * BLOCK,
        BLOCK,
    )
    .unwrap();
    let upper = restarted(&after);
    let file = upper.data(id).unwrap();
    let absent: Vec<_> = file.absent().iter().map(|r| (r.start(), r.end())).collect();
    assert_eq!(absent, [(2 * BLOCK, 4 * BLOCK)]);
    let dirty: Vec<_> = file
        .dirty()
        .unwrap()
        .iter()
        .map(|r| (r.start(), r.end()))
        .collect();
    assert_eq!(dirty, [(0, 2 * BLOCK)]);
}

#[test]
fn a_hole_in_what_was_not_synced_is_the_end_of_the_journal() {
    let rig = Rig::new();
    let upper = rig.open();
    let len = || fs::metadata(rig.names()).unwrap().len();
    upper.mkdir(upper.root(), b"one", new(0o700)).unwrap();
    let one = len();
    upper.mkdir(upper.root(), b"two", new(0o700)).unwrap();
    upper.mkdir(upper.root(), b"three", new(0o700)).unwrap();
    let damaged = |rig: &Rig| {
        let copy = rig.killed();
        let mut names = fs::read(copy.names()).unwrap();
        names[one as usize + 12] ^= 1;
        fs::write(copy.names(), names).unwrap();
        copy
    };
    let after = damaged(&rig);
    assert!(matches!(after.try_open(), Err(OverlayError::Damaged { .. })));
    let names: Vec<_> = dump(&restarted(&after)).into_keys().collect();
    assert_eq!(names, ["/one"]);
    // What is known to have been synced must be there, power loss or not.
    upper.sync().unwrap();
    upper.mkdir(upper.root(), b"four", new(0o700)).unwrap();
    upper.sync().unwrap();
    let after = damaged(&rig);
    let error = open_as(&after.path(), BASE, clock(), "another boot", false).unwrap_err();
    assert!(matches!(error, OverlayError::Damaged { .. }), "{error}");
}

#[test]
fn data_goes_only_when_the_journal_that_says_so_is_durable() {
    let rig = Rig::new();
    let upper = rig.open();
    let (id, file) = upper.create(upper.root(), b"f", new(0o600)).unwrap();
    write(&file, 0, b"old");
    drop(file);
    upper.sync().unwrap();
    let before = fs::read(rig.names()).unwrap();
    upper.unlink(upper.root(), b"f", false).unwrap();
    assert_eq!(upper.data(id).unwrap_err().errno(), Errno::STALE);
    assert_eq!(rig.files().len(), 1, "an older journal may come back");
    let after = rig.killed();
    fs::write(after.names(), &before).unwrap();
    let old = restarted(&after);
    assert_eq!(read(&old.data(id).unwrap()), b"old");
    upper.sync().unwrap();
    assert_eq!(rig.files().len(), 0);
}

#[test]
fn many_dead_files_do_not_wait_for_a_sync() {
    let rig = Rig::new();
    let upper = rig.open();
    for n in 0..200u32 {
        upper
            .create(upper.root(), n.to_string().as_bytes(), new(0o600))
            .unwrap();
        upper
            .unlink(upper.root(), n.to_string().as_bytes(), false)
            .unwrap();
        assert!(rig.files().len() <= 64);
    }
    let (_, file) = upper.create(upper.root(), b"large", new(0o600)).unwrap();
    write(&file, 0, &vec![1; 17 << 20]);
    drop(file);
    upper.unlink(upper.root(), b"large", false).unwrap();
    assert_eq!(rig.files().len(), 0);
}

#[test]
fn everything_is_safe_after_a_sync_of_all() {
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper
        .adopt_file(upper.root(), b"f", &origin("f", 4 * BLOCK), attrs(0o600))
        .unwrap();
    let file = upper.data(id).unwrap();
    // A hole that was made: nothing but the map says that it is not below.
    assert_eq!(file.punch(0, 2 * BLOCK).unwrap(), Changed::Done(2 * BLOCK));
    drop(file);
    let lost = rig.killed();
    upper.sync_all().unwrap();
    for (rig, absent) in [(rig.killed(), 2 * BLOCK), (lost, 0)] {
        let upper = restarted(&rig);
        assert_eq!(upper.data(id).unwrap().absent()[0].start(), absent);
        assert!(rig.path().join("data").join(map_name(id)).exists());
    }
}
