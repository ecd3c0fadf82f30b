//! A bar chart, as SVG by hand: two colours, a number at each bar.

use std::fmt::Write;

use super::report::Report;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 250.0;
const BAR: f64 = 16.0;

/// Ours above the baseline, for every row that has both.
pub(crate) fn bars(report: &Report) -> String {
    let rows: Vec<_> = report.rows.iter().filter(|r| r.mb_s.is_some()).collect();
    let most = rows
        .iter()
        .flat_map(|r| [r.mb_s, r.baseline_mb_s])
        .flatten()
        .fold(1.0, f64::max);
    let height = 60.0 + rows.len() as f64 * (2.0 * BAR + 14.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">bench {}: MB/s, {}</text>\n\
         <text x=\"10\" y=\"38\" fill=\"#666\">{}</text>\n",
        report.bench,
        escape(&report.profile),
        escape(&report.machine)
    );
    let mut y = 52.0;
    for row in rows {
        let name = match &row.baseline {
            Some(baseline) => format!("{} / {baseline}", row.case),
            None => row.case.clone(),
        };
        let _ = writeln!(svg, "<text x=\"10\" y=\"{}\">{}</text>", y + BAR, escape(&name));
        for (value, colour) in [(row.mb_s, "#1f6fb2"), (row.baseline_mb_s, "#b9c4cf")] {
            let Some(value) = value else { continue };
            let width = (WIDTH - LEFT - 70.0) * value / most;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{value:.0}</text>",
                LEFT + width + 4.0,
                y + BAR - 4.0
            );
            y += BAR;
        }
        y += 14.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
