//! The report as a picture: one small chart for each degradation, overall points over strength, one
//! line for each clip.

use std::fmt::Write as _;

use leoma_scoring::calibration::STRENGTHS;

use super::Report;

const COLUMNS: usize = 5;
/// A chart with its margins, and the part that is drawn on.
const CELL: (f64, f64) = (180.0, 130.0);
const PLOT: (f64, f64) = (150.0, 90.0);
const PASS: f64 = 75.0;

/// The picture, SVG.
pub(super) fn svg(report: &Report) -> String {
    let degradations = report.sources.first().map_or(0, |source| source.degraded.len());
    let rows = degradations.div_ceil(COLUMNS);
    let (width, height) = (CELL.0 * COLUMNS as f64, CELL.1 * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for index in 0..degradations {
        let (left, top) =
            (CELL.0 * (index % COLUMNS) as f64 + 24.0, CELL.1 * (index / COLUMNS) as f64 + 20.0);
        chart(&mut svg, report, index, (left, top));
    }
    svg.push_str("</svg>\n");
    svg
}

fn chart(svg: &mut String, report: &Report, index: usize, (left, top): (f64, f64)) {
    let x = |strength: usize| left + PLOT.0 * strength as f64 / STRENGTHS as f64;
    let y = |points: f64| top + PLOT.1 * (1.0 - points / 100.0);
    let name = report.sources[0].degraded[index].0.name();
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">{name}</text>", top - 6.0);
    let (right, bottom) = (left + PLOT.0, top + PLOT.1);
    let _ =
        writeln!(svg, "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"gray\"/>");
    let pass = y(PASS);
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {pass}H{right}\" stroke=\"gray\" stroke-dasharray=\"3 3\"/>"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" fill=\"gray\">{PASS}</text>",
        left - 16.0,
        pass + 3.0
    );
    for strength in 0..=STRENGTHS {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"gray\">{strength}</text>",
            x(strength) - 3.0,
            bottom + 11.0
        );
    }
    for source in &report.sources {
        let all = [&source.untouched].into_iter().chain(&source.degraded[index].1);
        let places = all
            .enumerate()
            .map(|(at, scored)| format!("{:.1},{:.1}", x(at), y(f64::from(scored.overall) / 10.0)));
        let places: Vec<String> = places.collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#2060a0\" stroke-opacity=\"0.6\"/>",
            places.join(" ")
        );
    }
}
