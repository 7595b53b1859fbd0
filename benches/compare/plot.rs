//! Bars, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const LABELS: f64 = 240.0;
const ROW: f64 = 24.0;

/// One bar for each name, as long as its value, in microseconds. The longest may leave the scale: then it says so.
pub fn bars(rows: &[(String, f64)]) -> String {
    let mut sorted: Vec<f64> = rows.iter().map(|(_, value)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    // One slow program must not make the others invisible.
    let longest =
        sorted.last().copied().unwrap_or(1.0).min(sorted.get(sorted.len() / 2).map_or(1.0, |middle| middle * 4.0));
    let height = ROW * rows.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, (name, value)) in rows.iter().enumerate() {
        let top = 8.0 + ROW * number as f64;
        let length = (value.min(longest) / longest) * (WIDTH - LABELS - 90.0);
        let colour = if name.starts_with("ringfence") { "#2a7f62" } else { "#9aa5b1" };
        let more = if *value > longest { "…" } else { "" };
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LABELS}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{more}{:.2} ms</text>",
            LABELS - 8.0,
            top + 15.0,
            top + 2.0,
            ROW - 6.0,
            LABELS + length + 6.0,
            top + 15.0,
            value / 1000.0
        )
        .unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}
