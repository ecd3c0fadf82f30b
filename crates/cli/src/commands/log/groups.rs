//! `forebay log groups`: who consumes.

use serde::Serialize;

use super::open::open;
use super::record::write::time;
use super::table::table;
use crate::exit::Result;
use crate::session::Session;

/// Groups asked for at a time.
const PAGE: usize = 500;

#[derive(Debug, Serialize)]
struct Answer {
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    group: String,
    partitions: u64,
    committed_ms: i64,
}

pub(crate) fn run(session: &Session) -> Result<()> {
    session.block_on(async {
        let log = open(session).await?;
        let (mut groups, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = log.metadata().groups(after.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|last| last.name.clone());
            groups.extend(page.into_iter().map(|info| Group {
                group: info.name,
                partitions: info.partitions,
                committed_ms: info.committed_ms,
            }));
            if !full {
                break;
            }
        }
        let answer = Answer { groups };
        session.output.answer(&answer, || answer.text())
    })
}

impl Answer {
    fn text(&self) -> String {
        let row = |group: &Group| {
            [
                forebay_types::printable(&group.group).into_owned(),
                group.partitions.to_string(),
                time(group.committed_ms),
            ]
        };
        let rows: Vec<_> = self.groups.iter().map(row).collect();
        table(["group", "partitions", "last commit"], &rows)
    }
}
