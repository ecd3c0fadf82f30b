//! Columns of figures and, at the end of each line, a path.

use forebay_types::printable;

use crate::commands::mount::snapshot::File;

/// On which side of a column its text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

#[derive(Debug)]
pub(super) struct Column {
    title: &'static str,
    side: Side,
    /// More important ones have more.
    weight: u8,
    text: Text,
}

/// What a column says of a file, of which so many bytes a second are read now.
type Text = fn(&File, Option<f64>) -> String;

impl Column {
    pub(super) const fn new(title: &'static str, side: Side, weight: u8, text: Text) -> Self {
        Self {
            title,
            side,
            weight,
            text,
        }
    }
}

/// Between two columns.
const GAP: usize = 2;

/// Columns are left out before the path has less than this.
const PATH: usize = 24;

/// A head and a line for each row, none wider than `width`.
pub(super) fn table(columns: Vec<&Column>, rows: &[(&File, Option<f64>)], width: usize) -> Vec<String> {
    let mut columns: Vec<(&Column, Vec<String>, usize)> = columns
        .into_iter()
        .map(|column| {
            let texts: Vec<String> = rows
                .iter()
                .map(|(file, rate)| (column.text)(file, *rate))
                .collect();
            let widths = texts.iter().map(|text| text.chars().count());
            let widest = widths.chain([column.title.len()]).max().unwrap_or_default();
            (column, texts, widest)
        })
        .collect();
    let taken = |columns: &[(&Column, Vec<String>, usize)]| {
        columns.iter().map(|(_, _, width)| width + GAP).sum::<usize>()
    };
    while taken(&columns).saturating_add(PATH) > width
        && let Some(least) = (0..columns.len()).min_by_key(|at| columns[*at].0.weight)
    {
        columns.remove(least);
    }
    let left = width.saturating_sub(taken(&columns));
    let line = |texts: &mut dyn Iterator<Item = &str>, path: &str| {
        let mut line = String::new();
        for ((column, _, width), text) in columns.iter().zip(texts) {
            match column.side {
                Side::Left => line.push_str(&format!("{text:<width$}  ")),
                Side::Right => line.push_str(&format!("{text:>width$}  ")),
            }
        }
        line.push_str(path);
        line
    };
    let head = line(&mut columns.iter().map(|(column, _, _)| column.title), "PATH");
    let mut lines = vec![head.chars().take(width).collect()];
    for (number, (file, _)) in rows.iter().enumerate() {
        let mut texts = columns.iter().map(|(_, texts, _)| texts[number].as_str());
        lines.push(line(&mut texts, &end_of(&printable(&file.path), left)));
    }
    lines
}

/// The last `width` characters of a path: its own name tells more than the directories above.
fn end_of(path: &str, width: usize) -> String {
    let len = path.chars().count();
    if len <= width {
        return path.to_owned();
    }
    let end = path.chars().skip(len + 1 - width.max(1));
    std::iter::once('…').chain(end).take(width).collect()
}
