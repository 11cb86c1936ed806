//! The result as a picture: four panels, validators from left to right on a logarithmic scale.

use std::fmt::Write as _;

use super::Row;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const PLOT_WIDTH: f64 = 330.0;
const PLOT_HEIGHT: f64 = 170.0;

/// One line of a panel.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    values: Vec<f64>,
}

/// A round number at least as large.
fn round_up(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * magnitude)
        .find(|top| *top >= value)
        .unwrap_or(value)
}

fn panel(
    svg: &mut String,
    column: usize,
    row: usize,
    title: &str,
    sizes: &[f64],
    lines: &[Line<'_>],
) {
    let (left, top) = (column as f64 * WIDTH + LEFT, row as f64 * HEIGHT + TOP);
    let most = round_up(lines.iter().flat_map(|line| &line.values).copied().fold(0.0, f64::max));
    let x = |size: f64| {
        left + (size / sizes[0]).ln() / (sizes[sizes.len() - 1] / sizes[0]).ln() * PLOT_WIDTH
    };
    let y = |value: f64| top + PLOT_HEIGHT * (1.0 - value / most);
    let mut write = |text: String| writeln!(svg, "{text}").expect("a string takes everything");
    write(format!("<text x='{left}' y='{}' font-weight='bold'>{title}</text>", top - 14.0));
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        let (line, right) = (y(value), left + PLOT_WIDTH);
        write(format!(
            "<line x1='{left}' y1='{line:.1}' x2='{right}' y2='{line:.1}' stroke='#ddd'/>"
        ));
        write(format!(
            "<text x='{}' y='{:.1}' text-anchor='end'>{value}</text>",
            left - 6.0,
            line + 4.0
        ));
    }
    for size in sizes {
        let (place, below) = (x(*size), top + PLOT_HEIGHT + 16.0);
        write(format!("<text x='{place:.1}' y='{below}' text-anchor='middle'>{size}</text>"));
    }
    for (number, Line { name, colour, values }) in lines.iter().enumerate() {
        let places: Vec<(f64, f64)> =
            sizes.iter().zip(values).map(|(size, value)| (x(*size), y(*value))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        write(format!(
            "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>",
            path.join(" ")
        ));
        for (x, y) in places {
            write(format!("<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'/>"));
        }
        // Below the sizes, where no line runs.
        let (place, below) = (left + number as f64 * PLOT_WIDTH / 3.0, top + PLOT_HEIGHT + 34.0);
        write(format!("<text x='{place:.1}' y='{below}' fill='{colour}'>{name}</text>"));
    }
}

/// The picture.
pub fn draw(rows: &[Row]) -> String {
    let sizes: Vec<f64> = rows.iter().map(|row| row.validators as f64).collect();
    let values = |pick: &dyn Fn(&Row) -> f64| rows.iter().map(pick).collect::<Vec<_>>();
    let (blue, red, grey) = ("#1f5fb4", "#c0392b", "#777");
    let (width, height) = (WIDTH * 2.0, HEIGHT * 2.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='11'>\n\
         <rect width='{width}' height='{height}' fill='white'/>\n"
    );
    let hops = [
        Line { name: "mean", colour: blue, values: values(&|row| row.spread.hops) },
        Line { name: "99%", colour: red, values: values(&|row| f64::from(row.spread.hops_p99)) },
        Line {
            name: "log2 n",
            colour: grey,
            values: values(&|row| (row.validators as f64).log2()),
        },
    ];
    panel(&mut svg, 0, 0, "Hops of a message", &sizes, &hops);
    let copies = [
        Line { name: "copies received", colour: blue, values: values(&|row| row.spread.copies) },
        Line {
            name: "peers in the gossip mesh",
            colour: grey,
            values: values(&|row| row.spread.mesh),
        },
    ];
    panel(&mut svg, 1, 0, "Redundancy: copies of a message at a validator", &sizes, &copies);
    let time = [Line { name: "processor time", colour: blue, values: values(&Row::file_ms) }];
    panel(&mut svg, 0, 1, "Milliseconds of one core per file and validator", &sizes, &time);
    let traffic = [
        Line { name: "per file, KiB", colour: blue, values: values(&Row::file_kib) },
        Line { name: "beacons, KiB/s", colour: red, values: values(&Row::beacon_kib) },
    ];
    panel(&mut svg, 1, 1, "Traffic of a validator", &sizes, &traffic);
    svg + "</svg>\n"
}
