//! A report as a picture: what each kind of miners is paid from epoch to epoch, and what the
//! favoured ones are paid by the number of colluding validators.

use std::fmt::Write as _;

use super::report::Report;
use super::world::World;

/// A chart with its margins, and the part that is drawn on.
const CELL: (f64, f64) = (460.0, 300.0);
const PLOT: (f64, f64) = (380.0, 220.0);
const ORIGIN: (f64, f64) = (50.0, 40.0);
/// Colours that people who see red and green alike can tell apart.
const COLOURS: [&str; 7] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000"];

/// One line: its name, and its points from 0 to 1 in both directions.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The picture, SVG.
pub(super) fn svg(report: &Report, world: &World<'_>) -> String {
    let epochs = payments(report, world);
    let collusion = report.collusion.as_ref().map(|collusion| {
        let last = (collusion.parts.len() - 1).max(1) as f64;
        let points = (0u32..).zip(&collusion.parts);
        let points = points.map(|(number, part)| (f64::from(number) / last, *part)).collect();
        Line { name: collusion.favours.clone(), points }
    });
    let width = CELL.0 * if collusion.is_some() { 2.0 } else { 1.0 };
    let height = CELL.1 + 16.0 * epochs.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let (first, last) = match (report.epochs.first(), report.epochs.last()) {
        (Some(first), Some(last)) => (first.block.0, last.block.0),
        _ => (0, 0),
    };
    let title = format!("{}: part of the weight at each epoch", report.mechanism);
    chart(&mut svg, 0.0, &title, ["block", &first.to_string(), &last.to_string()], &epochs);
    if let Some(line) = collusion {
        let title = format!("part of {} if validators collude", line.name);
        let last = report.validators.to_string();
        chart(&mut svg, CELL.0, &title, ["colluding validators", "0", &last], &[line]);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What each kind of miners is paid, and what is burned.
fn payments(report: &Report, world: &World<'_>) -> Vec<Line> {
    let last = report.epochs.len().saturating_sub(1).max(1) as f64;
    let line = |name: &str, part: &dyn Fn(&super::report::EpochReport) -> f64| {
        let points = (0u32..).zip(&report.epochs);
        let points = points.map(|(at, epoch)| (f64::from(at) / last, part(epoch))).collect();
        Line { name: name.to_owned(), points }
    };
    let of_kind = |kind: &super::scenario::MinerKind| {
        let names: Vec<&str> = world
            .miners
            .iter()
            .filter(|miner| miner.kind.name == kind.name)
            .map(|miner| miner.name.as_str())
            .collect();
        line(kind.name.as_str(), &|epoch| {
            names.iter().filter_map(|name| epoch.parts.get(*name)).sum()
        })
    };
    let mut lines: Vec<Line> = world.scenario.miners.iter().map(of_kind).collect();
    lines.push(line("burned", &|epoch| epoch.burned));
    lines
}

/// Draws a chart; `axis` is the name of the horizontal axis and its two ends.
fn chart(svg: &mut String, left: f64, title: &str, axis: [&str; 3], lines: &[Line]) {
    let (left, top) = (left + ORIGIN.0, ORIGIN.1);
    let (right, bottom) = (left + PLOT.0, top + PLOT.1);
    let (x, y) = (|at: f64| left + PLOT.0 * at, |at: f64| bottom - PLOT.1 * at);
    // Writing to a string cannot fail.
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ =
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
    };
    let [name, first, last] = axis;
    text(left, top - 16.0, "start", title);
    text(left, bottom + 16.0, "middle", first);
    text(right, bottom + 16.0, "middle", last);
    text(x(0.5), bottom + 16.0, "middle", name);
    for percent in [0u32, 25, 50, 75, 100] {
        text(left - 6.0, y(f64::from(percent) / 100.0) + 4.0, "end", &format!("{percent} %"));
    }
    let _ =
        writeln!(svg, "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"gray\"/>");
    for (index, Line { name, points }) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let dash = if index < COLOURS.len() { "none" } else { "5 3" };
        let points = points.iter().map(|(at, part)| format!("{:.1},{:.1}", x(*at), y(*part)));
        let points: Vec<String> = points.collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
             stroke-dasharray=\"{dash}\"/>",
            points.join(" ")
        );
        let key = bottom + 34.0 + 16.0 * index as f64;
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {key}h24\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/>\n<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            left + 30.0,
            key + 4.0
        );
    }
}
