//! How a reader went and how far ahead was asked for, over time: SVG by hand.

use std::fmt::Write;

use super::cached::Moment;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// Room for the numbers beside the axes, and for the title.
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 50.0;
const RIGHT: f64 = 20.0;
/// More points than pixels show nothing more.
const POINTS: usize = 1000;
const LINES: u32 = 4;

/// The chart of one reader of an object of `size` bytes.
pub(super) fn course(moments: &[Moment], size: u64) -> String {
    let seconds = moments.last().map_or(0.0, |last| last.at.as_secs_f64()).max(1e-3);
    let most = size.max(1) as f64;
    let x = |moment: &Moment| LEFT + (WIDTH - LEFT - RIGHT) * moment.at.as_secs_f64() / seconds;
    let y = |bytes: u64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * bytes as f64 / most;
    let few: Vec<&Moment> = moments
        .iter()
        .step_by(moments.len().div_ceil(POINTS).max(1))
        .collect();
    let points = |bytes: fn(&Moment) -> u64| -> Vec<String> {
        few.iter()
            .map(|moment| format!("{:.1},{:.1}", x(moment), y(bytes(moment))))
            .collect()
    };
    let read = points(|moment| moment.position);
    let ahead = points(|moment| moment.window_end);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">One reader in order, nothing known before: \
         <tspan fill=\"#1f6fb2\">position</tspan> and <tspan fill=\"#d07a1c\">end of the read-ahead window</tspan></text>\n"
    );
    for line in 0..=LINES {
        let share = f64::from(line) / f64::from(LINES);
        let (across, up) = (
            LEFT + (WIDTH - LEFT - RIGHT) * share,
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share,
        );
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{up:.1}\" x2=\"{}\" y2=\"{up:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} MiB</text>\
             <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{:.2} s</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            up + 4.0,
            most * share / f64::from(1 << 20),
            HEIGHT - BOTTOM + 18.0,
            seconds * share
        );
    }
    let between: Vec<&String> = ahead.iter().chain(read.iter().rev()).collect();
    let joined = |points: &[&String]| {
        points
            .iter()
            .map(|point| point.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let _ = writeln!(
        svg,
        "<polygon points=\"{}\" fill=\"#d07a1c\" fill-opacity=\"0.15\"/>",
        joined(&between)
    );
    for (points, colour) in [(&ahead, "#d07a1c"), (&read, "#1f6fb2")] {
        let points = joined(&points.iter().collect::<Vec<_>>());
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn both_lines_have_their_points_and_few_enough() {
        let moments: Vec<Moment> = (0..5000)
            .map(|i| Moment {
                at: Duration::from_millis(i),
                position: i,
                window_end: i + 100,
            })
            .collect();
        let svg = course(&moments, 5100);
        assert_eq!(svg.matches("<polyline").count(), 2);
        let first = svg.split("<polyline points=\"").nth(1).unwrap();
        let points = first.split('"').next().unwrap().split(' ').count();
        assert_eq!(points, 1000);
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn an_empty_course_is_a_chart_too() {
        assert!(!course(&[], 0).contains("NaN"));
    }
}
