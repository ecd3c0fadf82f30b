//! What is measured, against what, and what is promised. Pure.

use super::super::cases::Measure;
use super::media::How;
use crate::exit::{CliError, Result};

/// One thing that is measured.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) what: What,
    pub(super) measure: Measure,
    /// The ratio that is promised.
    pub(super) goal: Option<f64>,
    /// Whether the first turn of each side does not count.
    pub(super) warms_up: bool,
    pub(super) stalls_goal: Option<u64>,
    pub(super) streams_goal: Option<u64>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A whole torrent is read in order through a new mount, with an empty cache or without one; beside curl.
    Cold { cached: bool },
    /// The file is read again where it is whole in the cache; beside the cache's own file.
    Warm,
    /// The beginning and the end of a film whose download has just begun; beside two requests.
    FirstFrame,
    /// It is watched while it is downloaded; beside a stream.
    Player,
    /// Many places of a whole torrent are read at once.
    Readers,
    /// It is watched without Forebay, while it is downloaded or when it is whole.
    Approach { how: How, whole: bool },
    /// Whether rqbit keeps what was asked for and dropped.
    Surplus,
}

/// How many there are in the readers case.
pub(super) const READERS: u64 = 10;

/// As many as `rqbit.max_streams` allows.
const MOST_STREAMS: u64 = 4;

fn all() -> Vec<Case> {
    let case = |name, what, measure, goal| Case {
        name,
        what,
        measure,
        goal,
        warms_up: false,
        stalls_goal: None,
        streams_goal: None,
    };
    let warmed = |name, what, goal| Case {
        warms_up: true,
        ..case(name, what, Measure::Throughput, goal)
    };
    let approach = |name, how, whole| case(name, What::Approach { how, whole }, Measure::Stalls, None);
    vec![
        warmed("torrent-cold", What::Cold { cached: true }, Some(0.9)),
        warmed("torrent-cold-no-cache", What::Cold { cached: false }, None),
        warmed("torrent-warm", What::Warm, Some(0.95)),
        case("first-frame", What::FirstFrame, Measure::Latency, Some(1.0)),
        Case {
            stalls_goal: Some(0),
            ..case("player", What::Player, Measure::Stalls, None)
        },
        Case {
            streams_goal: Some(MOST_STREAMS),
            ..warmed("readers", What::Readers, None)
        },
        approach("approach-1", How::NextChunk, false),
        approach("approach-1-whole", How::NextChunk, true),
        approach("approach-2", How::Window, false),
        approach("approach-2-whole", How::Window, true),
        approach("approach-3", How::Surplus, false),
        approach("approach-3-whole", How::Surplus, true),
        case("surplus", What::Surplus, Measure::Throughput, None),
    ]
}

impl Case {
    /// Who stands beside ours; `None` if nobody does.
    pub(super) fn baseline(&self, has_curl: bool) -> Option<&'static str> {
        match self.what {
            What::Cold { .. } if has_curl => Some("curl"),
            What::Cold { .. } => Some("a loop over a socket"),
            What::Warm => Some("native"),
            What::FirstFrame => Some("two requests"),
            What::Player => Some("a stream"),
            What::Readers | What::Approach { .. } | What::Surplus => None,
        }
    }
}

/// The cases that were named; all if none was.
pub(super) fn cases(names: &[String]) -> Result<Vec<Case>> {
    let mut cases = all();
    if names.is_empty() {
        return Ok(cases);
    }
    let known: Vec<&str> = cases.iter().map(|case| case.name).collect();
    for name in names {
        // A whole name is that case alone, though others begin like it.
        let begins = |known: &&str| known.starts_with(name.trim_end_matches('-'));
        if !known.iter().any(begins) {
            let message = format!("there is no case '{}'", forebay_types::printable(name));
            return Err(CliError::usage(message).hint(format!("cases are {}", known.join(", "))));
        }
    }
    cases.retain(|case| {
        let is_meant = |name: &String| {
            case.name == name
                || (!known.contains(&name.as_str()) && case.name.starts_with(name.trim_end_matches('-')))
        };
        names.iter().any(is_meant)
    });
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_go_by_their_names_and_beginnings() {
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            cases(&asked).map(|cases| cases.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), all().len());
        assert_eq!(names(&["torrent-cold"]).unwrap(), ["torrent-cold"]);
        assert_eq!(names(&["torrent"]).unwrap().len(), 3);
        assert_eq!(names(&["approach-", "player"]).unwrap().len(), 7);
        let error = names(&["player", "splice"]).unwrap_err();
        assert!(error.message().contains("'splice'"));
    }
}
