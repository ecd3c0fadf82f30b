//! Names out of torrents, made fit to be names of files and parts of keys.
//!
//! Whoever made a torrent wrote what they liked into it. A name that a directory and a [`object_store::path::Path`] can
//! hold, and that shows what it is, stays as it is; of any other the least is changed, always in the same way.

use std::borrow::Cow;

use forebay_types::limits::MAX_TORRENT_NAME_BYTES;

/// Stands for a character that cannot stay.
const STAND_IN: char = '_';

/// Longest extension that is kept when a name is cut, in bytes with its dot: `.opentimelineio` and shorter. What is
/// longer is hardly one.
const MAX_EXTENSION: usize = 16;

/// Room for the number of a duplicate: ` (4294967295)`.
const NUMBER_ROOM: usize = 13;

/// Whether an extension is to stay at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    File,
    Directory,
}

/// The name to show for `raw`.
pub(super) fn safe(raw: &str, sort: Sort) -> Cow<'_, str> {
    match raw {
        "" | "." => return Cow::Borrowed("_"),
        ".." => return Cow::Borrowed("__"),
        _ => {}
    }
    // What stays is judged by what is shown before it, so that a shown name stays as a whole.
    let mut before = None;
    let shown = raw.chars().map(|c| {
        let shown = if stays(before, c) { c } else { STAND_IN };
        before = Some(shown);
        shown
    });
    let name: String = shown.collect();
    if name == raw && raw.len() <= MAX_TORRENT_NAME_BYTES {
        return Cow::Borrowed(raw);
    }
    if name.len() <= MAX_TORRENT_NAME_BYTES {
        return Cow::Owned(name);
    }
    // Of the name as it was written, so that two that are cut to the same are still told apart.
    let (stem, extension) = cut(&name, raw, sort, 0);
    Cow::Owned(format!("{stem}{extension}"))
}

/// `name`, as [`safe`] gives it, in two parts between which a mark of `room` bytes fits.
pub(super) fn parted(name: &str, sort: Sort, room: usize) -> (String, &str) {
    if name.len() + room <= MAX_TORRENT_NAME_BYTES {
        let (stem, extension) = split(name, sort);
        return (stem.to_owned(), extension);
    }
    cut(name, name, sort, room)
}

/// As [`parted`], for any number of a duplicate.
pub(super) fn parted_for_number(name: &str, sort: Sort) -> (String, &str) {
    parted(name, sort, NUMBER_ROOM)
}

/// Shortens the stem, and says so by a digest of `whole`.
fn cut<'a>(name: &'a str, whole: &str, sort: Sort, room: usize) -> (String, &'a str) {
    let (stem, extension) = split(name, sort);
    let digest = format!("~{:08x}", digest(whole));
    let most = MAX_TORRENT_NAME_BYTES - room - digest.len() - extension.len();
    let end = stem.floor_char_boundary(most);
    (format!("{}{digest}", &stem[..end]), extension)
}

/// Stem and extension (with its dot); a name that begins with its only dot has none.
fn split(name: &str, sort: Sort) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if sort == Sort::File && dot > 0 && name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

/// FNV-1a of 64 bits, folded: not to resist anybody, since duplicates are numbered anyway.
fn digest(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as u32
}

/// Whether a character may stay after the one before it.
///
/// What cannot be seen, or turns the order of what can, may make one name look like another, or a program like a
/// picture (`gpj.exe` behind U+202E). Joiners and variation selectors are part of how emoji and many languages are
/// written, where they never follow a Latin letter, so they stay there.
fn stays(before: Option<char>, c: char) -> bool {
    match c {
        '/' => false,
        _ if c.is_control() => false,
        // Joiners.
        '\u{200C}' | '\u{200D}' => before.is_some_and(|before| !before.is_ascii()),
        // Selectors; keycaps are digits with one.
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => before.is_some_and(|before| {
            !before.is_ascii() || before.is_ascii_digit() || matches!(before, '#' | '*')
        }),
        _ => !is_hidden(c),
    }
}

/// Characters of Unicode that are never to be seen by default (`Default_Ignorable_Code_Point`), line separators, and
/// those that turn the order of their neighbours.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
pub(crate) mod tests;
