//! The report as a picture: one small chart for each degradation, overall points over strength, one
//! line for each clip. Below them the videos of rendered scenes, a row for each kind: a point for
//! each video at its overall points.

use std::fmt::Write as _;

use leoma_scoring::calibration::STRENGTHS;

use super::Report;
use super::free::{Set, Video};

const COLUMNS: usize = 5;
/// A chart with its margins, and the part that is drawn on.
const CELL: (f64, f64) = (180.0, 130.0);
const PLOT: (f64, f64) = (150.0, 90.0);
const PASS: f64 = 75.0;
/// Height of a row of points, and where its axis begins and how long it is.
const ROW: f64 = 14.0;
const AXIS: (f64, f64) = (190.0, 680.0);

/// The picture, SVG.
pub(super) fn svg(report: &Report) -> String {
    let degradations = report.sources.first().map_or(0, |source| source.degraded.len());
    let rows = degradations.div_ceil(COLUMNS);
    let videos = &report.rendered.videos;
    let below = CELL.1 * rows as f64;
    let (width, height) = (CELL.0 * COLUMNS as f64, below + points_height(videos));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for index in 0..degradations {
        let (left, top) =
            (CELL.0 * (index % COLUMNS) as f64 + 24.0, CELL.1 * (index / COLUMNS) as f64 + 20.0);
        chart(&mut svg, report, index, (left, top));
    }
    points(&mut svg, videos, below);
    svg.push_str("</svg>\n");
    svg
}

/// The kinds of rendered videos, honest ones first: each with its colour and its videos' points.
fn rows(videos: &[Video]) -> Vec<(&str, &'static str, Vec<f64>)> {
    let mut rows: Vec<(&str, &'static str, Vec<f64>)> = Vec::new();
    for (set, colour) in [
        (Set::Free, "#207020"),
        (Set::Encoded, "#2060a0"),
        (Set::Ladder, "#a06000"),
        (Set::Tricks, "#a02020"),
    ] {
        for video in videos.iter().filter(|video| video.set == set) {
            let points = f64::from(video.scored.overall) / 10.0;
            let same = |row: &&mut (&str, &str, Vec<f64>)| row.0 == video.name && row.1 == colour;
            match rows.iter_mut().find(same) {
                Some(row) => row.2.push(points),
                None => rows.push((video.name.as_str(), colour, vec![points])),
            }
        }
    }
    rows
}

fn points_height(videos: &[Video]) -> f64 {
    match rows(videos).len() {
        0 => 0.0,
        rows => ROW * (rows as f64 + 3.0),
    }
}

/// A point for each rendered video, from `top` on.
fn points(svg: &mut String, videos: &[Video], top: f64) {
    let rows = rows(videos);
    if rows.is_empty() {
        return;
    }
    let x = |points: f64| AXIS.0 + AXIS.1 * points / 100.0;
    let (pass, first) = (x(PASS), top + 2.0 * ROW);
    let bottom = first + ROW * rows.len() as f64;
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"24\" y=\"{}\">rendered scenes: free continuations, encoded again, worse models, tricks</text>",
        top + ROW
    );
    let _ = writeln!(
        svg,
        "<path d=\"M{pass} {first}V{bottom}\" stroke=\"gray\" stroke-dasharray=\"3 3\"/>\n\
         <text x=\"{}\" y=\"{first}\" fill=\"gray\">{PASS}</text>",
        pass + 3.0
    );
    for (row, (name, colour, all)) in rows.iter().enumerate() {
        let y = first + ROW * (row as f64 + 0.7);
        let _ = writeln!(svg, "<text x=\"24\" y=\"{y}\">{name}</text>");
        for points in all {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\" fill-opacity=\"0.5\"/>",
                x(*points),
                y - 3.0
            );
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::{FreeReport, Scored};

    #[test]
    fn each_rendered_video_is_a_point_in_the_row_of_its_kind() {
        let video = |set, name: &str, overall| Video {
            scene: "Things 1".to_owned(),
            set,
            name: name.to_owned(),
            scored: Scored {
                overall,
                passed: overall >= 750,
                status: String::new(),
                grade: None,
                measures: leoma_scoring::Measures::default(),
            },
        };
        let videos = vec![
            video(Set::Tricks, "loop", 0),
            video(Set::Free, "speed", 1000),
            video(Set::Free, "speed", 900),
        ];
        let names: Vec<(&str, usize)> =
            rows(&videos).iter().map(|(name, _, points)| (*name, points.len())).collect();
        assert_eq!(names, [("speed", 2), ("loop", 1)]);
        let mut report = Report {
            device: String::new(),
            policy: String::new(),
            lowest_honest: 0,
            highest_worst: 0,
            broken: Vec::new(),
            rendered: FreeReport { videos, ..FreeReport::default() },
            sources: Vec::new(),
        };
        let picture = svg(&report);
        assert_eq!(picture.matches("<circle").count(), 3, "{picture}");
        // 100 points lie at the end of the axis.
        assert!(picture.contains("cx=\"870.0\"") && picture.contains(">loop</text>"), "{picture}");
        report.rendered.videos.clear();
        assert!(!svg(&report).contains("rendered scenes"));
    }
}
