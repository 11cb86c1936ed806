//! A caption of a clip's motion, made without a model: the prompt of a task where no vision model
//! is asked.
//!
//! It begins with motion, as generators need it: the camera, then what moves by itself, then when;
//! light and colour follow. It does not name the things in the picture: the first frame shows them.

use crate::comparison::clip_features::Features;
use crate::metrics::{Camera, Grid};

/// Slower motion, in picture widths per second, is not seen.
const STILL: f32 = 0.004;
/// Where slow motion ends and where fast motion begins, in picture widths per second.
const STEADY: f32 = 0.04;
const FAST: f32 = 0.15;
/// The least growth per second that is seen as a zoom, and the least turn in radians per second.
const ZOOM: f32 = 0.01;
const TURN: f32 = 0.015;
/// The least part of the picture that has to move by itself to be mentioned.
const LEAST_PART: f32 = 0.01;
/// How many times as much one end of the clip has to move as the other before that is mentioned.
const UNEVEN: f32 = 1.5;
/// Frames per second assumed for a clip without a stated rate.
const RATE: f32 = 16.0;

/// 50 to 90 words about a clip with these features and `rate` frames per second.
pub(crate) fn motion_caption(features: &Features, rate: Option<f32>) -> String {
    let rate = rate.unwrap_or(RATE);
    let [_, rows, columns] = features.flow.shape();
    let motion = Motion { features, rate, rows, columns };
    format!("{} {} {} {}", motion.camera(), motion.things(), motion.timing(), appearance(features))
}

struct Motion<'a> {
    features: &'a Features,
    rate: f32,
    rows: usize,
    columns: usize,
}

impl Motion<'_> {
    /// Width of the picture, in pixels of the flow.
    fn width(&self) -> f32 {
        (self.columns * crate::comparison::clip_features::FLOW_CELL) as f32
    }

    /// Turns flow pixels per step into picture widths per second.
    fn speed(&self, pixels: f32) -> f32 {
        pixels * self.rate / self.width()
    }

    fn camera(&self) -> String {
        let cameras = &self.features.camera;
        let count = cameras.len().max(1) as f32;
        let mean = |part: &dyn Fn(&Camera) -> f32| cameras.iter().map(part).sum::<f32>() / count;
        let width = self.width() as usize;
        let (right, down) = (self.speed(mean(&|c| c.right[0])), self.speed(mean(&|c| c.down[0])));
        let (zoom, turn) =
            (self.rate * mean(&|c| c.zoom(width)), self.rate * mean(&|c| c.roll(width)));
        let mut moves = Vec::new();
        // The picture moves against the camera.
        if right.abs() >= STILL {
            moves.push(format!(
                "pans {} {}",
                if right > 0.0 { "left" } else { "right" },
                pace(right)
            ));
        }
        if down.abs() >= STILL {
            moves.push(format!("tilts {} {}", if down > 0.0 { "up" } else { "down" }, pace(down)));
        }
        if zoom.abs() >= ZOOM {
            moves.push(if zoom > 0.0 { "moves closer" } else { "draws back" }.to_owned());
        }
        if turn.abs() >= TURN {
            let side = if turn > 0.0 { "counterclockwise" } else { "clockwise" };
            moves.push(format!("turns {side}"));
        }
        match moves.as_slice() {
            [] => "The camera holds still for the whole shot, at one height and one distance."
                .to_owned(),
            [one] => format!("The camera {one} for the whole shot, in one unbroken movement."),
            [most @ .., last] => {
                format!(
                    "The camera {} and {last} for the whole shot, in one unbroken movement.",
                    most.join(", ")
                )
            }
        }
    }

    /// What does not follow the camera: where it is on average, and which way it moves.
    fn things(&self) -> String {
        let mut total = Own::default();
        for (flow, camera) in self.features.flow.maps().zip(&self.features.camera) {
            total.add(
                flow,
                camera,
                (self.rows, self.columns),
                self.width() * STILL / self.rate * 4.0,
            );
        }
        let cells = (self.rows * self.columns * self.features.camera.len()).max(1) as f32;
        if total.weight / cells < LEAST_PART {
            return "Nothing in the scene moves on its own; everything keeps its place and follows the camera's view alone."
                .to_owned();
        }
        let (x, y) = (total.x / total.weight, total.y / total.weight);
        let place = match (side(y, ["top", "bottom"]), side(x, ["left", "right"])) {
            (None, None) => "centre".to_owned(),
            (Some(only), None) | (None, Some(only)) => only.to_owned(),
            (Some(row), Some(column)) => format!("{row} {column}"),
        };
        let (right, down) = (total.right / total.weight, total.down / total.weight);
        let length = self.speed(right.hypot(down));
        let way = match () {
            () if length < STILL => "this way and that",
            () if right.abs() >= down.abs() => {
                if right > 0.0 {
                    "to the right"
                } else {
                    "to the left"
                }
            }
            () => {
                if down > 0.0 {
                    "downward"
                } else {
                    "upward"
                }
            }
        };
        format!(
            "Around the {place} of the picture something moves by itself, {way} and {}, in front of what lies behind it.",
            pace(length.max(STILL))
        )
    }

    fn timing(&self) -> &'static str {
        let steps = &self.features.steps;
        let third = (steps.len() / 3).max(1).min(steps.len());
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len().max(1) as f32;
        let (early, late) = (mean(&steps[..third]), mean(&steps[steps.len() - third..]));
        if late > UNEVEN * early {
            "The motion starts gently and grows stronger toward the end."
        } else if early > UNEVEN * late {
            "The motion is strongest at the start and calms down toward the end."
        } else {
            "The motion keeps an even pace from the first moment to the last."
        }
    }
}

/// Sums over the cells that move differently from the camera.
#[derive(Default)]
struct Own {
    weight: f32,
    x: f32,
    y: f32,
    right: f32,
    down: f32,
}

impl Own {
    fn add(&mut self, flow: &[f32], camera: &Camera, (rows, columns): (usize, usize), least: f32) {
        let cells = rows * columns;
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            let unit = columns as f32 / 2.0;
            let x = (column as f32 - (columns as f32 - 1.0) / 2.0) / unit;
            let y = (row as f32 - (rows as f32 - 1.0) / 2.0) / unit;
            let field = |[middle, across, down]: [f32; 3]| middle + across * x + down * y;
            let cell = row * columns + column;
            let (right, down) =
                (flow[cell] - field(camera.right), flow[cells + cell] - field(camera.down));
            if right.hypot(down) >= least {
                self.weight += 1.0;
                self.x += column as f32 / columns as f32;
                self.y += row as f32 / rows as f32;
                self.right += right;
                self.down += down;
            }
        }
    }
}

/// The word for a place between 0 and 1, given the words for its two ends; `None` in the middle.
fn side(place: f32, [near, far]: [&'static str; 2]) -> Option<&'static str> {
    if place < 0.38 {
        Some(near)
    } else if place > 0.62 {
        Some(far)
    } else {
        None
    }
}

fn pace(speed: f32) -> &'static str {
    match speed.abs() {
        slow if slow < STEADY => "slowly",
        steady if steady < FAST => "steadily",
        _ => "fast",
    }
}

fn appearance(features: &Features) -> String {
    let mean = |grid: &Grid, channel: usize| {
        let [channels, rows, columns] = grid.shape();
        let plane = rows * columns;
        let sum: f32 =
            grid.maps().flat_map(|map| &map[channel * plane..(channel + 1) * plane]).sum();
        sum / (plane * grid.values().len() / (plane * channels).max(1)).max(1) as f32
    };
    let light = match mean(&features.luma, 0) {
        dark if dark < 0.33 => "dim",
        bright if bright > 0.6 => "bright",
        _ => "moderate",
    };
    let (blue, red) = (mean(&features.chroma, 0) - 0.5, mean(&features.chroma, 1) - 0.5);
    let tone = if blue.hypot(red) < 0.02 {
        "neutral"
    } else if red > blue.abs() {
        "warm, reddish"
    } else if blue > red.abs() {
        "cool, bluish"
    } else if blue < 0.0 && red.abs() <= -blue {
        "yellowish"
    } else {
        "greenish"
    };
    format!(
        "The light is {light} and the colours are {tone}; both stay as in the first frame, and shapes, textures and sharpness \
         stay the same throughout, without a cut, flicker or change of focus."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of a clip whose cameras and flow are given, 20 steps of 30x52 cells.
    fn features(
        camera: Camera,
        own: impl Fn(usize, usize) -> (f32, f32),
        steps: &dyn Fn(usize) -> f32,
    ) -> Features {
        let (rows, columns) = (30, 52);
        let at = |side: [f32; 3], row: usize, column: usize| {
            let place = |at: usize, count: usize| {
                (at as f32 - (count as f32 - 1.0) / 2.0) / (columns as f32 / 2.0)
            };
            side[0] + side[1] * place(column, columns) + side[2] * place(row, rows)
        };
        let cells = || (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut map: Vec<f32> =
            cells().map(|(r, c)| at(camera.right, r, c) + own(r, c).0).collect();
        map.extend(cells().map(|(r, c)| at(camera.down, r, c) + own(r, c).1));
        Features {
            luma: Grid::new(vec![0.2; 21 * 12], [1, 3, 4]),
            chroma: Grid::new([[0.5; 12], [0.6; 12]].concat().repeat(21), [2, 3, 4]),
            steps: (0..20).map(steps).collect(),
            flow: Grid::new(map.repeat(20), [2, rows, columns]),
            camera: vec![camera; 20],
            pictured: std::collections::BTreeMap::new(),
            recurrence: 0.0,
            course: crate::comparison::course::Course::default(),
        }
    }

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    #[test]
    fn a_still_camera_and_one_that_does_everything_are_told_apart() {
        let still =
            motion_caption(&features(Camera::default(), |_, _| (0.0, 0.0), &|_| 0.0), Some(16.0));
        assert!(still.contains("holds still") && still.contains("Nothing in the scene"), "{still}");
        let busy = Camera { right: [-1.0, 1.0, -1.0], down: [0.3, 1.0, 1.0] };
        let busy = motion_caption(&features(busy, |_, _| (0.0, 0.0), &|step| step as f32), None);
        for part in [
            "pans right steadily",
            "tilts up slowly",
            "moves closer",
            "counterclockwise",
            "grows stronger",
        ] {
            assert!(busy.contains(part), "{part}: {busy}");
        }
        for text in [still, busy] {
            assert!((50..=90).contains(&words(&text)), "{} words: {text}", words(&text));
            assert!(text.contains("dim") && text.contains("reddish"), "{text}");
        }
    }

    #[test]
    fn a_thing_has_its_place_and_its_way() {
        let thing = |row: usize, column: usize| {
            if row < 10 && column > 38 { (-1.5, 0.2) } else { (0.0, 0.0) }
        };
        let text = motion_caption(
            &features(Camera::default(), thing, &|step| 20.0 - step as f32),
            Some(16.0),
        );
        assert!(text.contains("top right") && text.contains("to the left and steadily"), "{text}");
        assert!(text.contains("calms down") && (50..=90).contains(&words(&text)), "{text}");
    }
}
