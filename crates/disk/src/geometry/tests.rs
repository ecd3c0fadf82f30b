use super::*;

fn wanted(alignment: Option<u64>, min_io_size: u64) -> Wanted {
    Wanted {
        direct: true,
        alignment,
        min_io_size,
    }
}

#[test]
fn units_are_what_is_needed_and_what_is_wanted() {
    let table = [
        // told, alignment, least: unit, memory
        (None, None, 4096, 4096, 4096),
        (None, None, 512, 4096, 4096),
        (None, Some(512), 1, 4096, 4096),
        (Some((512, 512)), None, 512, 512, 512),
        (Some((512, 4)), None, 512, 512, 4),
        (Some((512, 512)), None, 4096, 4096, 512),
        (Some((4096, 512)), None, 512, 4096, 512),
        (Some((512, 512)), Some(4096), 512, 4096, 4096),
        (Some((512, 512)), Some(65536), 4096, 65536, 65536),
        (Some((16384, 512)), Some(4096), 4096, 16384, 4096),
        // What is no power of two is raised to one; nothing is nothing.
        (Some((512, 512)), Some(5000), 6000, 8192, 8192),
        (Some((512, 512)), Some(0), 0, 512, 512),
        // There is a limit.
        (Some((512, 512)), Some(u64::MAX), u64::MAX, MOST, MOST),
    ];
    for (told, alignment, least, unit, memory) in table {
        let got = Geometry::new(told, wanted(alignment, least));
        assert_eq!(
            (got.unit, got.memory as u64),
            (unit, memory),
            "{told:?} {alignment:?} {least}"
        );
        assert_eq!(got.told, told.map(|(offset, _)| offset));
    }
}

#[test]
fn a_range_is_widened_to_whole_units_and_no_further() {
    let geometry = Geometry::new(None, wanted(None, 4096));
    let table = [
        ((0, 0), (0, 0)),
        ((0, 1), (0, 4096)),
        ((1, 4096), (0, 4096)),
        ((4095, 4097), (0, 8192)),
        ((4096, 8192), (4096, 8192)),
        ((8191, 8192), (4096, 8192)),
    ];
    for ((start, end), (first, last)) in table {
        let got = geometry.widen(ByteRange::new(start, end));
        assert_eq!(got, ByteRange::new(first, last));
    }
    let got = geometry.widen(ByteRange::new(5, u64::MAX));
    assert_eq!(got, ByteRange::new(0, u64::MAX - 4095));
}
