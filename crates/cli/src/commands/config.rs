//! `config show`: the settings in force and where each came from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::exit::Result;
use crate::session::Session;
use crate::settings::{KEYS, Kind, Settings};

#[derive(Serialize)]
struct Answer {
    settings: BTreeMap<&'static str, Setting>,
    /// Settings of the cloud clients; what they are set to is nobody's business.
    cloud: BTreeMap<String, &'static str>,
}

#[derive(Serialize)]
struct Setting {
    value: String,
    origin: String,
    doc: &'static str,
}

/// What stands in place of a value that may be a secret.
const HIDDEN: &str = "<set>";

/// Prints them as a settings file that would say the same, or as JSON.
pub(crate) fn show(session: &Session) -> Result<()> {
    let settings = &session.settings;
    session.output.answer(&answer(settings), || text(settings))
}

fn answer(settings: &Settings) -> Answer {
    let setting = |key: &crate::settings::Key| Setting {
        value: key.shown(settings),
        origin: settings.origin(key).to_string(),
        doc: key.doc,
    };
    Answer {
        settings: KEYS.iter().map(|key| (key.name, setting(key))).collect(),
        cloud: settings
            .cloud_names()
            .map(|name| (name.to_owned(), HIDDEN))
            .collect(),
    }
}

/// TOML quotes as JSON does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(forebay_types::printable(text).as_ref()).to_string()
}

fn text(settings: &Settings) -> String {
    let mut text = String::new();
    let mut table = "";
    for key in KEYS {
        let (its_table, name) = key.parts();
        if its_table != table {
            let gap = if table.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{its_table}]");
            table = its_table;
        }
        let value = key.shown(settings);
        if key.kind == Kind::Sizes {
            let _ = writeln!(
                text,
                "# {}\n[{}]{:24} # {}",
                key.doc,
                key.name,
                "",
                settings.origin(key)
            );
            for (name, size) in value.split(',').filter_map(|pair| pair.split_once('=')) {
                let bare = name.chars().all(|c| c.is_ascii_alphanumeric());
                let name = if bare { name.to_owned() } else { quoted(name) };
                let _ = writeln!(text, "{name} = \"{size}\"");
            }
            continue;
        }
        let value = match key.kind {
            Kind::Switch | Kind::Count | Kind::Number => value,
            Kind::AutoCount if value.parse::<u64>().is_ok() => value,
            _ => quoted(&value),
        };
        let setting = format!("{name} = {value}");
        let _ = writeln!(text, "# {}\n{setting:36} # {}", key.doc, settings.origin(key));
    }
    let cloud: Vec<&str> = settings.cloud_names().collect();
    if !cloud.is_empty() {
        let _ = writeln!(text, "\n# from the environment:");
        for name in cloud {
            let _ = writeln!(text, "# {} = {HIDDEN}", forebay_types::printable(name));
        }
    }
    text.truncate(text.trim_end().len());
    text
}
