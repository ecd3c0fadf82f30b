//! What is believed when a directory is opened again.

mod files;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use forebay_types::Clock;
use rustix::fs;
use rustix::io::Errno;

use crate::overlay::attrs::{Attrs, NodeId};
use crate::overlay::compact;
use crate::overlay::error::OverlayError;
use crate::overlay::journal::{HEAD, HEAD_WITH_LEDGER, Journal, end_of, records, records_behind};
use crate::overlay::layout::{Layout, failed, this_boot};
use crate::overlay::record::{Change, NewBody, decode};
use crate::overlay::shared::{Need, Shared, needs};
use crate::overlay::state::State;
use crate::overlay::sys::read_all;

use files::{backed, check_files, mend_maps};

/// A whole record.
struct Record {
    at: u64,
    end: u64,
    changes: Vec<Change>,
}

/// Opens what is in a directory, or begins anew; then `has_ledger` says whether it is to know which versions it hides.
pub(crate) fn open(
    path: &Path,
    base: &str,
    clock: Arc<dyn Clock>,
    has_ledger: bool,
) -> Result<Arc<Shared>, OverlayError> {
    open_as(path, base, clock, &this_boot()?, has_ledger)
}

/// `boot`: which start of the machine this is.
pub(crate) fn open_as(
    path: &Path,
    base: &str,
    clock: Arc<dyn Clock>,
    boot: &str,
    has_ledger: bool,
) -> Result<Arc<Shared>, OverlayError> {
    let layout = Layout::open(path, base)?;
    let Some(fd) = layout.file("names")? else {
        return begin(layout, clock, boot, has_ledger);
    };
    let last_boot = layout.last_boot()?;
    let power_lost = last_boot.as_deref() != Some(boot);
    let names = layout.path("names");
    let file = read_all(&fd, usize::MAX).map_err(failed("read", &names))?;
    let records = read(&names, &file, power_lost)?;
    let covers = covered(&records);
    let has_ledger = file.starts_with(HEAD_WITH_LEDGER);
    let (mut state, mut kept) = (replay(&names, &records, has_ledger)?, records.len());
    if power_lost {
        kept = backed(&layout, &records, covers, &state).map_err(failed("look at the files of", &names))?;
        if kept < records.len() {
            tracing::warn!(
                journal = %names.display(),
                lost = records.len() - kept,
                "the machine went down before the last changes were written: they are lost"
            );
            state = replay(&names, &records[..kept], has_ledger)?;
        }
    }
    let records = &records[..kept];
    let end = records.last().map_or(HEAD.len() as u64, |record| record.end);
    let need = needed(records, covers, &state);
    let strays = check_files(&layout, &mut state)?;
    if power_lost {
        mend_maps(&layout, &state)?;
    } else if end < file.len() as u64 {
        tracing::info!(
            journal = %names.display(),
            bytes = file.len() as u64 - end,
            "the last change was not written whole: it is taken back"
        );
        fs::ftruncate(&fd, end).map_err(failed("cut", &names))?;
    }
    let journal = Journal::new(fd, end, durable(records), compact::estimate(&state));
    let shared = Shared::new(Arc::new(layout), clock, state, journal, need);
    let failed = |what| {
        move |error: crate::overlay::UpperError| OverlayError::Io {
            what,
            path: names.clone(),
            source: error.errno().into(),
        }
    };
    if power_lost {
        // A new file, because the old one may have anything behind what is kept.
        shared.rewrite().map_err(failed("rewrite"))?;
        shared.layout.set_boot(boot)?;
    } else if !strays.is_empty() {
        // What says that they are gone must be durable first.
        shared.sync().map_err(failed("sync"))?;
    }
    for stray in strays {
        let path = shared.layout.path("data").join(&stray);
        shared
            .layout
            .remove(&stray)
            .map_err(crate::overlay::layout::failed("remove", &path))?;
    }
    Ok(Arc::new(shared))
}

/// A new overlay: an empty root over the lower one.
fn begin(
    layout: Layout,
    clock: Arc<dyn Clock>,
    boot: &str,
    has_ledger: bool,
) -> Result<Arc<Shared>, OverlayError> {
    let names = layout.path("names");
    let mut files = 0;
    layout.scan(|_, _| files += 1)?;
    if files > 0 {
        // Files without the names that lead to them are somebody's changes.
        return Err(failed("read", &names)(Errno::NOENT));
    }
    let now = i64::try_from(clock.wall().as_nanos()).unwrap_or(i64::MAX);
    let mut state = State {
        has_ledger,
        ..State::default()
    };
    let root = Change::Node {
        id: NodeId::ROOT,
        attrs: Attrs {
            mode: 0o755,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            atime: now,
            mtime: now,
            ctime: now,
        },
        changed: false,
        body: NewBody::Dir {
            origin: Some("".into()),
        },
    };
    let next = Change::Next { id: NodeId(2) };
    state.apply(&[next, root]).map_err(|why| OverlayError::Nonsense {
        path: names.clone(),
        at: 0,
        why,
    })?;
    layout.set_boot(boot)?;
    let journal = compact::write(&layout, &state).map_err(failed("write", &names))?;
    let shared = Shared::new(Arc::new(layout), clock, state, journal, HashMap::new());
    Ok(Arc::new(shared))
}

/// The whole records of the file. What follows them is a record that was not written whole, or damage.
fn read(path: &Path, file: &[u8], power_lost: bool) -> Result<Vec<Record>, OverlayError> {
    if !file.starts_with(HEAD) && !file.starts_with(HEAD_WITH_LEDGER) {
        return Err(OverlayError::Nonsense {
            path: path.to_owned(),
            at: 0,
            why: "it does not begin like a journal of this version",
        });
    }
    let nonsense = |at| OverlayError::Nonsense {
        path: path.to_owned(),
        at,
        why: "it cannot be read",
    };
    let mut found = Vec::new();
    let mut end = HEAD.len() as u64;
    for (at, payload) in records(file) {
        end = end_of(at, payload);
        let changes = decode(payload).map_err(|_| nonsense(at))?;
        found.push(Record { at, end, changes });
    }
    if end == file.len() as u64 {
        return Ok(found);
    }
    let mut behind = records_behind(file, end);
    // After a power loss, pages that were not synced may be missing in the middle. That they were is certain only if a
    // later record says so.
    let knows = |payload: &[u8]| {
        let changes = decode(payload).unwrap_or_default();
        changes
            .iter()
            .any(|change| matches!(change, Change::Marker { durable, .. } if *durable > end))
    };
    let damage = behind.find(|(_, payload)| !power_lost || knows(payload));
    if let Some((behind, _)) = damage {
        return Err(OverlayError::Damaged {
            path: path.to_owned(),
            at: end,
            behind,
        });
    }
    if power_lost {
        tracing::warn!(
            journal = %path.display(),
            from = end,
            bytes = file.len() as u64 - end,
            "the machine went down before the last changes were written: they are lost"
        );
    }
    Ok(found)
}

fn replay(path: &Path, records: &[Record], has_ledger: bool) -> Result<State, OverlayError> {
    let nonsense = |at, why| OverlayError::Nonsense {
        path: path.to_owned(),
        at,
        why,
    };
    let mut state = State {
        has_ledger,
        ..State::default()
    };
    for record in records {
        state
            .apply(&record.changes)
            .map_err(|why| nonsense(record.at, why))?;
    }
    match state.node(NodeId::ROOT) {
        Some(root) if root.dir().is_some() => {}
        _ => return Err(nonsense(HEAD.len() as u64, "there is no root")),
    }
    let lost: Vec<_> = state
        .nodes
        .iter()
        .filter(|(id, node)| !node.is_linked(**id))
        .map(|(id, _)| *id)
        .collect();
    if !lost.is_empty() {
        return Err(nonsense(HEAD.len() as u64, "a node has no name"));
    }
    Ok(state)
}

fn markers(records: &[Record]) -> impl Iterator<Item = (u64, u64)> {
    let changes = records.iter().flat_map(|record| &record.changes);
    changes.filter_map(|change| match change {
        Change::Marker { covers, durable } => Some((*covers, *durable)),
        _ => None,
    })
}

/// Up to where the files are durable that the records need.
fn covered(records: &[Record]) -> u64 {
    markers(records).map(|(covers, _)| covers).max().unwrap_or(0)
}

/// How much of the journal is known to be durable.
fn durable(records: &[Record]) -> u64 {
    markers(records).map(|(_, durable)| durable).max().unwrap_or(0)
}

/// What the records that no marker covers need.
fn needed(records: &[Record], covers: u64, state: &State) -> HashMap<NodeId, Need> {
    let mut all = HashMap::new();
    let changes = records
        .iter()
        .filter(|record| record.at >= covers)
        .flat_map(|record| &record.changes);
    for (id, need) in changes.filter_map(needs) {
        if state.node(id).is_some() {
            let known = all.entry(id).or_insert(need);
            *known = need.max(*known);
        }
    }
    all
}

#[cfg(test)]
mod tests;
