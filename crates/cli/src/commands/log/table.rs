//! Tables for people.

use std::fmt::Write as _;

/// Columns as wide as they must be, the first one to the left, figures to the right. Empty without rows.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in [head.map(str::to_owned)].iter().chain(rows) {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [["a", "1"], ["longer", "23456"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            super::table(["x", "n"], &rows),
            "x           n\na           1\nlonger  23456"
        );
        assert_eq!(super::table(["x", "n"], &[]), "");
    }
}
