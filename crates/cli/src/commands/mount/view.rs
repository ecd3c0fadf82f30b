//! A status as lines of text. Pure.

mod bar;
mod table;

use forebay_types::{ByteSize, printable};

use super::snapshot::{File, Snapshot, Torrent};
use table::{Column, Side, table};

/// What a view may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Room {
    /// Where nothing is cut off: not a terminal.
    pub(super) const UNBOUNDED: Self = Self {
        columns: usize::MAX,
        rows: usize::MAX,
    };
}

/// `now` as lines that fit into `room`; rates are of the time since `before`.
pub(super) fn lines(now: &Snapshot, before: Option<&Snapshot>, room: Room) -> Vec<String> {
    let since = before.and_then(|before| Since::of(before, now));
    let mut lines = totals(now, since.as_ref());
    for line in &mut lines {
        *line = cut(line, room.columns);
    }
    // An empty line, the table's head.
    let left = room.rows.saturating_sub(lines.len() + 2);
    if now.files.is_empty() || left == 0 {
        lines.truncate(room.rows);
        return lines;
    }
    let mut files: Vec<(&File, Option<f64>)> = now
        .files
        .iter()
        .map(|file| (file, since.as_ref().and_then(|since| since.of_file(file))))
        .collect();
    // The busiest first; who does nothing now, by what was done before, and in any case always in the same order.
    files.sort_by(|(a, a_rate), (b, b_rate)| {
        let rate = |rate: &Option<f64>| rate.unwrap_or_default();
        rate(b_rate)
            .total_cmp(&rate(a_rate))
            .then(b.served.cmp(&a.served))
            .then(a.id.cmp(&b.id))
    });
    let open = now.open_files.max(files.len() as u64);
    let fits = open <= left as u64 && open == files.len() as u64;
    let shown = if fits {
        files.len()
    } else {
        files.len().min(left - 1)
    };
    lines.push(String::new());
    let has_torrents = now.files.iter().any(|file| file.torrent.is_some());
    let columns: Vec<&Column> = match has_torrents {
        true => COLUMNS.iter().chain(&OF_TORRENTS).collect(),
        false => COLUMNS.iter().collect(),
    };
    lines.extend(table(columns, &files[..shown], room.columns));
    if !fits {
        let more = format!("… and {} more open", open - shown as u64);
        lines.push(cut(&more, room.columns));
    }
    lines
}

fn totals(now: &Snapshot, since: Option<&Since<'_>>) -> Vec<String> {
    let rate = |what: fn(&Snapshot) -> u64| since.map(|since| since.rate(what));
    let (mount, range, names) = (&now.mount, &now.range, &now.names);
    let asked = names.lookups + names.attrs + names.read_dirs;
    let mut lines = vec![
        format!("{} on {}", printable(&now.url), printable(&now.dir)),
        format!(
            "up {}, process {}, {} open",
            time(now.uptime_s),
            now.pid,
            count(now.open_files, "file")
        ),
        String::new(),
        format!(
            "reads     {}{}, {} at once, {} answered{}",
            mount.reads,
            a_second(rate(|s| s.mount.reads)),
            percent(part(mount.at_once, mount.reads)),
            size(mount.bytes),
            bytes_a_second(rate(|s| s.mount.bytes))
        ),
        format!(
            "opens     {}{}, {} by passthrough ({} now)",
            mount.opens,
            a_second(rate(|s| s.mount.opens)),
            mount.passthrough_opens,
            count(mount.handed_over_now, "file")
        ),
        format!(
            "requests  {} waiting, {} interrupted, {}",
            mount.waiting,
            mount.interrupted,
            count(mount.errors, "error")
        ),
        format!(
            "source    {}{}, {} fetched{}, {} per byte served, {} again, {} hedged",
            count(range.requests, "request"),
            a_second(rate(|s| s.range.requests)),
            size(now.reader.fetched),
            bytes_a_second(rate(|s| s.reader.fetched)),
            ratio(part(now.reader.fetched, now.reader.served)),
            range.retries,
            range.hedges
        ),
        format!(
            "names     {} asked for, {} known, {} looked up, {} listed",
            asked,
            percent(part(names.hits, asked)),
            names.looks,
            names.lists
        ),
    ];
    if let Some(streams) = &now.streams {
        lines.push(format!(
            "streams   {} open, {} of them idle, {} opened, {} gone on in, {} taken away",
            streams.open,
            streams.parked,
            streams.opened,
            count(streams.reused, "time"),
            streams.revoked
        ));
    }
    if let Some(cache) = &now.cache {
        lines.push(format!(
            "cache     {} of {} in {}, {} of all processes' reads",
            size(cache.current_size),
            size(cache.max_size),
            count(cache.entry_count, "object"),
            percent(part(cache.hits, cache.hits + cache.misses))
        ));
    }
    lines
}

/// The least important is left out first where there is no room; the path never is.
const COLUMNS: [Column; 12] = [
    Column::new("MODE", Side::Left, 8, |file, _| {
        printable(&file.mode).into_owned()
    }),
    Column::new("OPEN", Side::Right, 4, |file, _| time(file.open_s)),
    Column::new("SIZE", Side::Right, 5, |file, _| size(file.size)),
    Column::new("READS", Side::Right, 3, |file, _| file.reads.to_string()),
    Column::new("HITS", Side::Right, 9, |file, _| percent(file.hit_rate)),
    Column::new("SERVED", Side::Right, 11, |file, _| size(file.served)),
    Column::new("NOW", Side::Right, 10, |_, rate| {
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", size(rate as u64)))
    }),
    Column::new("FETCHED", Side::Right, 7, |file, _| size(file.fetched)),
    Column::new("F/S", Side::Right, 2, |file, _| ratio(file.fetched_per_served)),
    Column::new("GETS", Side::Right, 6, |file, _| file.requests.to_string()),
    Column::new("ERRS", Side::Right, 8, |file, _| file.errors.to_string()),
    Column::new("WINDOW", Side::Right, 7, |file, _| window(file)),
];

/// Beside them, where there are files of torrents.
const OF_TORRENTS: [Column; 3] = [
    Column::new("HERE", Side::Left, 12, |file, _| of_torrent(file, here)),
    Column::new("DOWN", Side::Right, 1, |file, _| of_torrent(file, down)),
    Column::new("PEERS", Side::Right, 8, |file, _| of_torrent(file, peers)),
];

fn of_torrent(file: &File, text: fn(&File, &Torrent) -> String) -> String {
    file.torrent
        .as_ref()
        .map_or_else(|| "-".to_owned(), |torrent| text(file, torrent))
}

/// What the client has of it: where, and how much.
fn here(file: &File, torrent: &Torrent) -> String {
    // An empty file is all there.
    let part = part(torrent.present, file.size).unwrap_or(1.0);
    format!(
        "{} {:>6}",
        bar::bar(&torrent.ranges, file.size),
        percent(Some(part))
    )
}

fn down(_: &File, torrent: &Torrent) -> String {
    let rate = torrent.download_bps;
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", size(rate)))
}

/// Peers that it is connected to; if there can be none, why.
fn peers(_: &File, torrent: &Torrent) -> String {
    match torrent.peers {
        Some(peers) => peers.to_string(),
        None => printable(&torrent.state).into_owned(),
    }
}

/// The largest window of a file: where its reader is and how much is ahead of it; how many windows there are.
fn window(file: &File) -> String {
    let Some(largest) = file.windows.iter().max_by_key(|window| window.ahead) else {
        return "-".to_owned();
    };
    let one = format!("{}+{}", size(largest.at), size(largest.ahead));
    match file.windows.len() {
        1 => one,
        number => format!("{one} ×{number}"),
    }
}

/// Two snapshots of one mount.
#[derive(Debug)]
struct Since<'a> {
    before: &'a Snapshot,
    now: &'a Snapshot,
    seconds: f64,
}

impl<'a> Since<'a> {
    /// `None` if they are of different mounts, or no time lies between them.
    fn of(before: &'a Snapshot, now: &'a Snapshot) -> Option<Self> {
        let seconds = now.uptime_s - before.uptime_s;
        (before.pid == now.pid && seconds > 0.0).then_some(Self { before, now, seconds })
    }

    fn rate(&self, what: impl Fn(&Snapshot) -> u64) -> f64 {
        what(self.now).saturating_sub(what(self.before)) as f64 / self.seconds
    }

    /// Of one that was opened since, all that was read.
    fn of_file(&self, file: &File) -> Option<f64> {
        let before = self.before.files.iter().find(|before| before.id == file.id);
        let served = before.map_or(0, |before| before.served);
        Some(file.served.saturating_sub(served) as f64 / self.seconds)
    }
}

fn size(bytes: u64) -> String {
    format!("{:#}", ByteSize(bytes))
}

fn bytes_a_second(rate: Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!(" ({}/s)", size(rate as u64)))
}

fn a_second(rate: Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!(" ({rate:.0}/s)"))
}

fn part(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.1}%", part * 100.0))
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The two largest units.
fn time(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// The first `columns` characters.
fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests;
