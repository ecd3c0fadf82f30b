//! Which bytes of a file are there, as a bar.

/// Its length.
const CELLS: u64 = 20;

/// A cell for each twentieth of a file of `size` bytes: all of it is in `ranges` (start, one past the end; sorted, apart),
/// some of it, or none.
pub(super) fn bar(ranges: &[(u64, u64)], size: u64) -> String {
    let edge = |cell: u64| (u128::from(size) * u128::from(cell) / u128::from(CELLS)) as u64;
    let cells = (0..CELLS).map(|cell| {
        let (start, end) = (edge(cell), edge(cell + 1));
        let covered = ranges
            .iter()
            .map(|(from, to)| (*to).min(end).saturating_sub((*from).max(start)))
            .fold(0, u64::saturating_add);
        match covered {
            // Of a file with fewer bytes than cells some cells have none: they are as the byte that they are part of.
            _ if start == end => match ranges.iter().any(|(from, to)| (*from..*to).contains(&start)) {
                present if present || size == 0 => '█',
                _ => '░',
            },
            0 => '░',
            covered if covered >= end - start => '█',
            _ => '▒',
        }
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_full_empty_or_between() {
        let (none, all) = ("░".repeat(20), "█".repeat(20));
        for (ranges, size, expected) in [
            (vec![], 1000, none.clone()),
            (vec![(0, 1000)], 1000, all.clone()),
            (vec![(0, 500)], 1000, "█".repeat(10) + &"░".repeat(10)),
            (vec![(0, 49)], 1000, "▒".to_owned() + &"░".repeat(19)),
            (vec![(999, 1000)], 1000, "░".repeat(19) + "▒"),
            (vec![(25, 50), (50, 75)], 1000, "▒▒".to_owned() + &"░".repeat(18)),
            (vec![(0, 25), (25, 50)], 1000, "█".to_owned() + &"░".repeat(19)),
            // Fewer bytes than cells.
            (vec![(0, 1)], 2, "█".repeat(10) + &"░".repeat(10)),
            (vec![], 0, all.clone()),
            (vec![], 3, none),
            // Whatever another process says.
            (vec![(u64::MAX, 0), (5, 1)], 1000, "░".repeat(20)),
            (vec![(0, u64::MAX), (0, u64::MAX)], u64::MAX, all),
        ] {
            assert_eq!(bar(&ranges, size), expected, "{ranges:?} of {size}");
        }
    }
}
