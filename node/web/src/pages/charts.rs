//! Pictures made of SVG and boxes. All numbers stand in text beside them, or in their titles.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::layout::short;
use crate::view::{HotkeyText, Link, Snapshot, TaskFile};

/// Width and height of the mesh's picture.
const MESH_WIDTH: f64 = 520.0;
const MESH_HEIGHT: f64 = 340.0;

/// One box for each task of the window: witnessed in the newest epoch, certified, held only, or
/// without a file.
pub(super) fn window_strip(snapshot: &Snapshot) -> Markup {
    let Some((first, last)) = snapshot.window else {
        return html! { p.nothing { "No task is settled yet." } };
    };
    // A window over many missing tasks would be endless: its newest 400 are shown.
    let first = first.max(last.saturating_sub(399));
    let files = snapshot.epochs.first().into_iter().flat_map(|epoch| epoch.witnessed_files());
    let witnessed: BTreeSet<(u64, &str)> =
        files.map(|file| (file.task_id, &*file.producer)).collect();
    html! {
        ol.strip aria-label="Tasks of the window, oldest first" {
            @for task in first..=last {
                (box_of(task, best(snapshot, task), &witnessed))
            }
        }
        p.legend {
            span.key.witnessed {} " certified, and witnessed in the newest epoch "
            span.key.certified {} " certified "
            span.key.held {} " held, not certified "
            span.key.missing {} " no file"
        }
    }
}

fn best(snapshot: &Snapshot, task: u64) -> Option<&TaskFile> {
    let files = &snapshot.files;
    let first = files.partition_point(|file| file.verdict.task_id < task);
    let of_task = files.iter().skip(first).take_while(|file| file.verdict.task_id == task);
    of_task.max_by_key(|file| (file.in_window, file.certified))
}

fn box_of(task: u64, file: Option<&TaskFile>, witnessed: &BTreeSet<(u64, &str)>) -> Markup {
    match file {
        Some(file) => {
            let producer = &file.verdict.producer;
            let (class, word) = if !file.certified {
                ("held", "held, not certified")
            } else if witnessed.contains(&(task, &**producer)) {
                ("witnessed", "certified and witnessed")
            } else {
                ("certified", "certified")
            };
            html! {
                li { a class=(class) href={ "/ui/tasks/" (task) }
                    title={ "task " (task) ", " (word) ", by " (producer) } {
                    span.hidden { "task " (task) ", " (word) }
                } }
            }
        }
        None => html! {
            li { span.missing title={ "task " (task) ", no file" } {
                span.hidden { "task " (task) ", no file" }
            } }
        },
    }
}

/// One box for each verdict on a miner, oldest first.
pub(super) fn verdict_strip(verdicts: &[(u64, bool)]) -> Markup {
    html! {
        ol.strip aria-label="Verdicts, oldest first" {
            @for (task, passed) in verdicts {
                @let word = if *passed { "passed" } else { "failed" };
                li { a class=(word) href={ "/ui/tasks/" (task) } title={ "task " (task) ", " (word) } {
                    span.hidden { "task " (task) ", " (word) }
                } }
            }
        }
        p.legend { span.key.passed {} " passed " span.key.failed {} " failed" }
    }
}

/// A line of values from 0 to 1000, oldest first, with the bound at `bound`.
pub(super) fn line(name: &str, values: &[u16], bound: Option<u16>) -> Markup {
    let step = 300.0 / (values.len().max(2) - 1) as f64;
    let y = |value: u16| 60.0 - f64::from(value.min(1000)) * 0.058;
    let places = values.iter().enumerate();
    let points: Vec<String> =
        places.map(|(n, value)| format!("{:.1},{:.1}", n as f64 * step, y(*value))).collect();
    let newest = values.last().map_or(0, |value| *value);
    html! {
        figure.line {
            figcaption { (name.replace('_', " ")) " " b { (super::layout::points(newest)) } }
            svg viewBox="0 0 300 62" role="img" aria-label={ (name) " over time" } {
                @if let Some(bound) = bound {
                    line.bound x1="0" x2="300" y1=(y(bound)) y2=(y(bound)) {}
                }
                polyline points=(points.join(" ")) {}
            }
        }
    }
}

/// The mesh: this validator in the middle, and a line to each that it hears.
pub(super) fn mesh(own: Option<&HotkeyText>, links: &[Link]) -> Markup {
    let (x, y) = (MESH_WIDTH / 2.0, MESH_HEIGHT / 2.0);
    let place = |number: usize| {
        let angle = std::f64::consts::TAU * number as f64 / links.len().max(1) as f64;
        (x + (x - 60.0) * angle.cos(), y + (y - 40.0) * angle.sin())
    };
    html! {
        svg.mesh viewBox={ "0 0 " (MESH_WIDTH) " " (MESH_HEIGHT) } role="img"
            aria-label="The mesh as this validator sees it; the table says the same" {
            @for (number, link) in links.iter().enumerate() {
                @let (px, py) = place(number);
                line.one-sided[!link.mutual] x1=(x) y1=(y) x2=(round(px)) y2=(round(py)) {}
            }
            @for (number, link) in links.iter().enumerate() {
                @let (px, py) = place(number);
                g {
                    title { (link.hotkey) }
                    circle cx=(round(px)) cy=(round(py)) r="9" {}
                    text x=(round(px)) y=(round(py + 22.0)) {
                        (link.hotkey.chars().take(6).collect::<String>())
                        @if let Some(rtt) = link.rtt_ms { " " (format!("{rtt:.0}")) " ms" }
                    }
                }
            }
            circle.own cx=(x) cy=(y) r="13" {}
            text x=(x) y=(y + 28.0) { @if own.is_some() { "this validator" } @else { "this service" } }
        }
        details {
            summary { "As a table" }
            table {
                thead { tr { th { "Peer" } th { "Hears us" } th { "Round trip" } th { "Head" } th { "Relayed" } } }
                tbody { @for link in links { tr {
                    td { (short(&link.hotkey)) }
                    td { @if link.mutual { "yes" } @else { "not confirmed" } }
                    td { @match link.rtt_ms { Some(rtt) => (format!("{rtt:.1} ms")), None => "–" } }
                    td { @match link.head { Some(head) => (head), None => "–" } }
                    td { @if link.relayed { "yes" } @else { "no" } }
                } } }
            }
        }
    }
}

fn round(value: f64) -> String {
    format!("{value:.0}")
}
