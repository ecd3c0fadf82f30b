//! Whether the files are there that the journal leads to, and whether they are right.

use std::collections::HashSet;

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::Record;
use crate::overlay::attrs::{Data, NodeId};
use crate::overlay::error::OverlayError;
use crate::overlay::layout::{Found, Layout, data_name, failed, map_name};
use crate::overlay::map::{Map, after_power_loss};
use crate::overlay::names::shown;
use crate::overlay::record::Slot;
use crate::overlay::shared::{Need, needs};
use crate::overlay::state::{Body, State};

/// How many records can be believed after a power loss: those before `covers`, and then those whose files are there.
pub(super) fn backed(layout: &Layout, records: &[Record], covers: u64, last: &State) -> Result<usize, Errno> {
    for (n, record) in records
        .iter()
        .enumerate()
        .filter(|(_, record)| record.at >= covers)
    {
        for change in &record.changes {
            let Some((id, need)) = needs(change) else {
                continue;
            };
            // What is gone at the end may have taken its files along.
            let Some(file) = last.node(id).and_then(|node| node.file()) else {
                continue;
            };
            let size = match layout.stat(&data_name(id)) {
                Ok(stat) => u64::try_from(stat.st_size).unwrap_or(0),
                Err(Errno::NOENT) => return Ok(n),
                Err(e) => return Err(e),
            };
            // Its size comes after its name, and the map after that.
            if need == Need::File
                && let Data::Mapped { limit } = file.data
                && let Some(origin) = &file.origin
                && (size < limit || open_map(layout, id, origin.size)?.is_none())
            {
                return Ok(n);
            }
        }
    }
    Ok(records.len())
}

/// Compares nodes and files; returns the files that no node has.
pub(super) fn check_files(layout: &Layout, state: &mut State) -> Result<Vec<String>, OverlayError> {
    let (mut data, mut maps) = (HashSet::new(), HashSet::new());
    let mut strays = Vec::new();
    let mut next = state.next;
    layout.scan(|found, name| {
        let held = |id| state.node(id).and_then(|node| node.file()).map(|file| file.data);
        let is_needed = match found {
            Found::Data(id) => {
                next = next.max(id.0.saturating_add(1));
                data.insert(id);
                held(id).is_some_and(|data| data != Data::Lower)
            }
            Found::Map(id) => {
                maps.insert(id);
                matches!(held(id), Some(Data::Mapped { .. }))
            }
            Found::Rest => false,
        };
        if !is_needed {
            strays.push(name);
        }
    })?;
    state.next = next;
    for (&id, node) in &state.nodes {
        let Some(file) = node.file() else {
            continue;
        };
        let missing = match file.data {
            Data::Lower => None,
            _ if !data.contains(&id) => Some(data_name(id)),
            Data::Mapped { .. } if !maps.contains(&id) => Some(map_name(id)),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(lost(layout, state, id, &missing, "is missing"));
        }
    }
    Ok(strays)
}

fn lost(layout: &Layout, state: &State, id: NodeId, name: &str, why: &'static str) -> OverlayError {
    OverlayError::Lost {
        file: shown(&path_of(state, id)),
        path: layout.path("data").join(name),
        why,
    }
}

/// One path of a node.
fn path_of(state: &State, id: NodeId) -> Vec<u8> {
    let name_in = |node: &Body| match node {
        Body::Dir(dir) => dir
            .entries
            .iter()
            .find(|(_, slot)| **slot == Slot::Node(id))
            .map(|(name, _)| name.to_vec()),
        _ => None,
    };
    let found = state
        .nodes
        .iter()
        .find_map(|(&dir, node)| Some((dir, name_in(&node.body)?)));
    let Some((dir, mut path)) = found else {
        return Vec::new();
    };
    let mut at = dir;
    while at != NodeId::ROOT {
        let Some(parent) = state.node(at).and_then(|node| node.dir()).map(|dir| dir.parent) else {
            break;
        };
        let Some(siblings) = state.node(parent).and_then(|node| node.dir()) else {
            break;
        };
        let Some((name, _)) = siblings.entries.iter().find(|(_, slot)| **slot == Slot::Node(at)) else {
            break;
        };
        path = [name, &b"/"[..], &path].concat();
        at = parent;
    }
    path
}

fn open_map(layout: &Layout, id: NodeId, size: u64) -> Result<Option<Map>, Errno> {
    match layout.open_data(&map_name(id)) {
        Ok(fd) => Map::open(fd, size),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Sets all maps right after a power loss.
pub(super) fn mend_maps(layout: &Layout, state: &State) -> Result<(), OverlayError> {
    for (&id, node) in &state.nodes {
        let Some(file) = node.file() else {
            continue;
        };
        let (Data::Mapped { .. }, Some(origin)) = (file.data, &file.origin) else {
            continue;
        };
        let name = map_name(id);
        let path = layout.path("data").join(&name);
        let map = open_map(layout, id, origin.size).map_err(failed("open", &path))?;
        let Some(mut map) = map else {
            return Err(lost(layout, state, id, &name, "is damaged"));
        };
        let data: OwnedFd = layout
            .open_data(&data_name(id))
            .map_err(failed("open", &layout.path("data").join(data_name(id))))?;
        after_power_loss(&data, &mut map, origin.size).map_err(failed("mend", &path))?;
    }
    Ok(())
}
