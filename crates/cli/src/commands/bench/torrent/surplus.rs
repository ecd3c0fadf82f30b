//! Whether rqbit keeps what was asked for and dropped: a range that is 32 MiB longer than what is read of it.

use std::io::Read;
use std::time::Duration;

use forebay_types::ByteSize;

use super::super::program::lost;
use super::field::Field;
use super::http::Film;
use super::media::AHEAD;
use crate::exit::Result;

/// What is read of the range.
const WANTED: u64 = 1 << 20;

/// After the range was dropped. What the peer sends until then goes to the beginning of the film, unless rqbit has
/// something else in mind.
const LATER: Duration = Duration::from_secs(3);

/// What is seen, as sentences.
pub(super) fn notes(field: &mut Field<'_>) -> Result<Vec<String>> {
    let size = field.args.size.bytes();
    // From the middle on, whole pieces.
    let at = (size / 2) & !(WANTED - 1);
    let mut notes = Vec::new();
    for more in [0, AHEAD] {
        let mut fresh = field.fresh()?;
        let film = field.film(fresh.addr()?);
        field.begin(&mut fresh, None)?;
        let before = pieces_after(&film, at)?;
        read(&film, at, more)?;
        let dropped = pieces_after(&film, at)?;
        std::thread::sleep(LATER);
        let later = pieces_after(&film, at)?;
        let (range, bytes) = (ByteSize(WANTED + more), ByteSize(fresh.proxy.streams().bytes));
        notes.push(format!(
            "surplus, downloading: {:#} read of a range of {range:#}, the rest dropped; of the 32 MiB after it {before} MiB were \
             there before, {dropped} MiB when it was dropped, {later} MiB {} s later; {bytes:#} had left rqbit",
            ByteSize(WANTED),
            LATER.as_secs(),
        ));
    }
    let fresh = field.another_seeder()?;
    let film = field.film(fresh.addr()?);
    let cpu = fresh.client.cpu();
    read(&film, at, AHEAD)?;
    std::thread::sleep(LATER);
    let bytes = ByteSize(fresh.proxy.streams().bytes);
    let spent = fresh.client.cpu().saturating_sub(cpu).as_millis();
    notes.push(format!(
        "surplus, whole: {:#} read of a range of {:#}, the rest dropped; {bytes:#} had left rqbit, which took {spent} ms of CPU",
        ByteSize(WANTED),
        ByteSize(WANTED + AHEAD),
    ));
    Ok(notes)
}

/// Asks for `more` than it reads, and goes.
fn read(film: &Film, at: u64, more: u64) -> Result<()> {
    let mut bytes = vec![0; WANTED as usize];
    let body = film.range(at, Some(at + WANTED - 1 + more));
    body.and_then(|mut body| body.read_exact(&mut bytes))
        .map_err(|e| lost("rqbit", &e))
}

/// How many of the pieces that follow what is read are there; a piece is a MiB.
fn pieces_after(film: &Film, at: u64) -> Result<usize> {
    let bits = film.haves().map_err(|e| lost("rqbit", &e))?;
    let first = (at / WANTED) as usize + 1;
    let window = first..first + (AHEAD / WANTED) as usize;
    let is_there = |piece: &usize| {
        bits.get(piece / 8)
            .is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    };
    Ok(window.filter(is_there).count())
}
