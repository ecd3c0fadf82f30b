//! The settings file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use forebay_types::{limits::MAX_SETTINGS_BYTES, printable};
use toml::{Table, Value};

use super::keys::{KEYS, Key, nearest};
use super::{Kind, Origin, Settings, old};
use crate::args::Global;
use crate::env::Env;
use crate::exit::{CliError, Result};

/// Takes over what the settings file says, if there is one.
pub(super) fn apply(settings: &mut Settings, env: &Env, global: &Global) -> Result<()> {
    let Some((path, asked_for)) = which(env, global) else {
        return Ok(());
    };
    let read = read(&path);
    settings.settings_file = Some((path.clone(), read.is_ok()));
    let text = match read {
        Ok(text) => text,
        // Only a file that somebody named has to be there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !asked_for => return Ok(()),
        Err(error) => {
            return Err(CliError::usage(format!(
                "the settings file {} cannot be read: {error}",
                shown(&path)
            ))
            .hint("correct its name or its permissions, or leave --config out"));
        }
    };
    apply_text(settings, &path, &text)
}

/// The file that would be read, and whether it was named on the command line.
fn which(env: &Env, global: &Global) -> Option<(PathBuf, bool)> {
    let usual = || {
        env.config_home
            .as_ref()
            .map(|home| (home.join("forebay").join("forebay.toml"), false))
    };
    global.config.clone().map(|named| (named, true)).or_else(usual)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_SETTINGS_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_SETTINGS_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_SETTINGS_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn apply_text(settings: &mut Settings, path: &Path, text: &str) -> Result<()> {
    let place = |line: Option<usize>| match line {
        Some(line) => format!("{}, line {line}", shown(path)),
        None => shown(path),
    };
    let tables: Table = toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        // The message alone: the line itself may hold what must not be shown.
        CliError::usage(format!(
            "the settings file {} is not TOML: {}",
            place(line),
            printable(error.message())
        ))
    })?;
    let old = old::findings(&tables);
    if !old.is_empty() {
        let message = format!("the settings file {}: {}", shown(path), old.join("; "));
        return Err(CliError::usage(message)
            .hint("`forebay config show --config /dev/null` lists all settings and their values"));
    }
    for (table, content) in &tables {
        let Value::Table(content) = content else {
            return Err(outside(path, table));
        };
        if !tables_known().any(|known| known == table) {
            return Err(unknown_table(path, table));
        }
        for (name, value) in content {
            let full = format!("{table}.{name}");
            let Some(key) = KEYS.iter().find(|key| key.name == full) else {
                return Err(unknown_key(path, table, name));
            };
            value_text(key, value)
                .and_then(|text| key.take(settings, &text, Origin::File(path.to_owned())))
                .map_err(|why| {
                    CliError::usage(format!("the settings file {}: {full}: {why}", shown(path)))
                })?;
        }
    }
    Ok(())
}

/// The value as it would be written in the environment.
fn value_text(key: &Key, value: &Value) -> std::result::Result<String, String> {
    if let (Value::Table(sizes), Kind::Sizes) = (value, key.kind) {
        return sizes_text(sizes);
    }
    let fits = match value {
        Value::String(_) => true,
        Value::Integer(_) => matches!(
            key.kind,
            Kind::Size | Kind::AutoSize | Kind::Count | Kind::AutoCount | Kind::Number
        ),
        Value::Float(_) => key.kind == Kind::Number,
        Value::Boolean(_) => key.kind == Kind::Switch,
        _ => false,
    };
    match value {
        Value::String(text) if fits => Ok(text.clone()),
        _ if fits => Ok(value.to_string()),
        Value::Integer(_) | Value::Boolean(_) | Value::Float(_) => {
            Err(format!("{value} is not {}", key.kind.expected()))
        }
        _ => Err(format!(
            "it is of type {}, not {}",
            value.type_str(),
            key.kind.expected()
        )),
    }
}

/// A table of sizes as it would be written in the environment.
fn sizes_text(sizes: &Table) -> std::result::Result<String, String> {
    let pairs = sizes.iter().map(|(name, size)| match size {
        Value::String(size) => Ok(format!("{name}={size}")),
        Value::Integer(size) => Ok(format!("{name}={size}")),
        other => Err(format!(
            "{} is of type {}, not {}",
            printable(name),
            other.type_str(),
            Kind::Size.expected()
        )),
    });
    Ok(pairs.collect::<std::result::Result<Vec<_>, _>>()?.join(","))
}

fn tables_known() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.parts().0)
}

fn outside(path: &Path, name: &str) -> CliError {
    let error = CliError::usage(format!(
        "the settings file {}: '{}' stands outside of a table",
        shown(path),
        printable(name)
    ));
    let named: Vec<&str> = KEYS
        .iter()
        .map(Key::parts)
        .filter(|(_, key)| *key == name)
        .map(|(table, _)| table)
        .collect();
    match named.as_slice() {
        [] => error
            .hint("write [range] or another table's name above it; `forebay config show` lists all settings"),
        tables => error.hint(format!("write [{}] above it", tables.join("] or ["))),
    }
}

fn unknown_table(path: &Path, table: &str) -> CliError {
    let error = CliError::usage(format!(
        "the settings file {}: there is no table [{}]",
        shown(path),
        printable(table)
    ));
    match nearest(table, tables_known()) {
        Some(near) => error.hint(format!(
            "did you mean [{near}]? `forebay config show` lists all settings"
        )),
        None => error.hint("`forebay config show` without the file lists all tables and settings"),
    }
}

fn unknown_key(path: &Path, table: &str, name: &str) -> CliError {
    let error = CliError::usage(format!(
        "the settings file {}: the table [{table}] has no key '{}'",
        shown(path),
        printable(name)
    ));
    let here = KEYS
        .iter()
        .map(Key::parts)
        .filter(|(t, _)| *t == table)
        .map(|(_, key)| key);
    match nearest(name, here) {
        Some(near) => error.hint(format!(
            "did you mean '{near}'? `forebay config show` lists all settings"
        )),
        None => match KEYS.iter().map(Key::parts).find(|(_, key)| *key == name) {
            Some((other, key)) => error.hint(format!("'{key}' belongs into the table [{other}]")),
            None => error.hint("`forebay config show` without the file lists all settings"),
        },
    }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests;
