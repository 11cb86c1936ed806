//! What an answer is held to: one row for each measure, with its weight, its bounds and its floor.
//!
//! The source shows what the prompt describes, but nobody who is given a first frame and a prompt
//! can know the source's course. So nothing here compares place by place and moment by moment. A
//! measure counts against the source's own, so that a hard scene is not unfair.
//!
//! A new part is a row here, a field of [`Measures`], and its computation.

use super::ramp::Ramp;
use crate::comparison::Measures;
use crate::judge::TaskType;

/// What a miner has to have been given for a part to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nothing: it holds for every video.
    Nothing,
    /// The first frame.
    FirstFrame,
    /// The prompt.
    Prompt,
    /// Both.
    Both,
}

impl Asks {
    fn of(self, task: TaskType) -> bool {
        match self {
            Self::Nothing => true,
            Self::FirstFrame => task.gives_first_frame(),
            Self::Prompt => task.gives_prompt(),
            Self::Both => task.gives_first_frame() && task.gives_prompt(),
        }
    }
}

/// One row of the table.
pub(crate) struct Rule {
    /// The index of the aspect, in the order of the weights.
    aspect: usize,
    name: &'static str,
    /// Its weight within the aspect.
    weight: u32,
    /// Whether few points here lower the points of the whole aspect.
    floor: bool,
    ramp: Ramp,
    asks: Asks,
    /// The number that goes through the ramp; `None` where nothing was measured.
    value: fn(&Measures) -> Option<f32>,
}

/// The points of one measure for one aspect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// The index of the aspect, in the order of the weights.
    pub(crate) aspect: usize,
    pub(crate) weight: u32,
    pub(crate) floor: bool,
    pub(crate) name: &'static str,
    pub(crate) ramp: Ramp,
    pub(crate) value: f32,
    pub(crate) points: f64,
}

const FIRST: usize = 0;
const PROMPT: usize = 1;
const MOTION: usize = 2;
const TIME: usize = 3;
const QUALITY: usize = 4;
const CAMERA: usize = 5;

/// A part below this, in points, takes points from its whole aspect if it has a floor.
pub(crate) const FLOOR: f64 = 50.0;
/// Added to both sides of a quotient of motion of its own, in pixels per look.
const LEAST_NONRIGID: f32 = 0.02;
/// The least similarity of the source to the prompt at which the model is taken to understand it.
const LEAST_TEXT: f32 = 0.02;

const fn part(
    aspect: usize,
    name: &'static str,
    (weight, floor): (u32, bool),
    (none, full): (i32, i32),
    asks: Asks,
    value: fn(&Measures) -> Option<f32>,
) -> Rule {
    Rule { aspect, name, weight, floor, ramp: Ramp::new(none, full), asks, value }
}

/// All parts. Bounds are in thousandths.
#[rustfmt::skip]
pub(crate) static RULES: [Rule; 29] = [
    part(FIRST, "first_ms_ssim", (3, true), (750, 950), Asks::FirstFrame, |m| Some(m.first_ms_ssim)),
    part(FIRST, "first_detail", (1, true), (30, 150), Asks::FirstFrame, |m| Some(m.first_detail)),
    part(FIRST, "first_colour", (1, true), (100, 20), Asks::FirstFrame, |m| Some(m.first_colour)),
    part(FIRST, "first_chroma", (1, true), (100, 20), Asks::FirstFrame, |m| Some(m.first_chroma)),
    part(PROMPT, "direction", (3, true), (-100, 500), Asks::Both, |m| Some(m.direction)),
    part(PROMPT, "palette", (2, true), (220, 90), Asks::FirstFrame, |m| Some(m.palette)),
    part(PROMPT, "displacement", (1, true), (100, 400), Asks::Nothing, |m| Some(m.displacement)),
    part(PROMPT, "likeness_rank", (1, false), (0, 500), Asks::Both, |m| Some(m.likeness_rank)),
    part(PROMPT, "text_similarity", (3, true), (600, 900), Asks::Prompt, text),
    part(MOTION, "nonrigid", (3, true), (150, 400), Asks::FirstFrame, nonrigid),
    part(MOTION, "motion_amount", (2, true), (150, 330), Asks::Both, |m| Some(two_sided(m.motion_amount))),
    part(MOTION, "roughness", (1, true), (650, 300), Asks::Nothing, |m| Some(m.source_motion_smoothness - m.motion_smoothness)),
    part(MOTION, "held", (2, true), (450, 100), Asks::Nothing, |m| Some(m.held)),
    part(TIME, "unexplained", (3, true), (350, 120), Asks::Nothing, |m| Some(m.unexplained - m.source_unexplained)),
    part(TIME, "step_unexplained", (2, true), (350, 120), Asks::Nothing, |m| Some(m.step_unexplained - m.source_step_unexplained)),
    part(TIME, "popping", (2, true), (40, 12), Asks::Nothing, |m| Some(m.popping - m.source_popping)),
    part(TIME, "jump", (1, true), (3000, 1800), Asks::Nothing, |m| Some(m.jump / m.source_jump.max(1.0))),
    part(TIME, "recurrence", (2, true), (350, 100), Asks::Nothing, |m| Some(m.recurrence)),
    part(TIME, "identity", (3, true), (110, 35), Asks::Nothing, |m| Some(m.identity - m.source_identity)),
    part(TIME, "hue", (2, true), (600, 150), Asks::Nothing, |m| Some(m.hue - m.source_hue)),
    part(TIME, "strain", (2, true), (70, 25), Asks::Nothing, |m| Some(m.strain - 1.6 * m.source_strain)),
    part(TIME, "pumping", (2, true), (20, 4), Asks::Nothing, |m| Some(m.pumping)),
    part(QUALITY, "detail", (2, true), (50, 500), Asks::Nothing, |m| Some(m.detail)),
    part(QUALITY, "moving_detail", (2, true), (150, 450), Asks::Nothing, |m| Some(m.moving_detail)),
    part(QUALITY, "noise", (2, true), (40, 8), Asks::Nothing, |m| Some(m.noise)),
    part(QUALITY, "blockiness", (1, true), (6000, 1800), Asks::Nothing, |m| Some(m.blockiness)),
    part(QUALITY, "lattice", (2, true), (350, 120), Asks::Nothing, |m| Some(m.lattice - m.source_lattice)),
    part(QUALITY, "overlaid", (2, true), (2, 1), Asks::Nothing, |m| Some(m.overlaid - m.source_overlaid)),
    part(CAMERA, "camera_error", (1, true), (2000, 1000), Asks::Prompt, |m| Some(m.camera_error)),
];

/// A pushed picture has nothing that moves by itself. Where the source has next to nothing either,
/// nothing can be told. More than three times the source's is as odd as less than a third.
fn nonrigid(m: &Measures) -> Option<f32> {
    let ratio = (m.nonrigid + LEAST_NONRIGID) / (m.source_nonrigid + LEAST_NONRIGID);
    (!m.can_be_imitated()).then(|| two_sided_above(ratio))
}

/// A model that reads the prompt sees what is shown but not how it moves. Where even the source
/// scores low, it does not understand this prompt.
fn text(m: &Measures) -> Option<f32> {
    let (answer, source) = (m.text_similarity?, m.source_text_similarity?);
    (source >= LEAST_TEXT).then(|| answer / source)
}

/// Three times too much is as wrong as a third.
fn two_sided(ratio: f32) -> f32 {
    ratio.min(1.0 / ratio)
}

/// The same, but up to two and a half times as much is normal.
fn two_sided_above(ratio: f32) -> f32 {
    ratio.min(2.5 / ratio)
}

/// The points of all parts that a task asks for.
pub(crate) fn parts(measures: &Measures, task: TaskType) -> Vec<Part> {
    let asked = RULES.iter().filter(|rule| rule.asks.of(task));
    asked
        .filter_map(|rule| {
            let value = (rule.value)(measures)?;
            let points = rule.ramp.points(value);
            let Rule { aspect, name, weight, floor, ramp, .. } = *rule;
            Some(Part { aspect, weight, floor, name, ramp, value, points })
        })
        .collect()
}

/// The points of an aspect of these parts: their weighted mean, lowered by what lies below its
/// floor, down to nothing for a part without points. An aspect without parts has full marks.
pub(crate) fn aspect_points<'a>(parts: impl Iterator<Item = &'a Part> + Clone) -> f64 {
    let weights: u32 = parts.clone().map(|part| part.weight).sum();
    if weights == 0 {
        return 100.0;
    }
    let sum: f64 = parts.clone().map(|part| part.points * f64::from(part.weight)).sum();
    let floored = parts.filter(|part| part.floor).map(|part| part.points);
    sum / f64::from(weights) * (floored.fold(FLOOR, f64::min) / FLOOR)
}

/// One line for each rule, for the policy's digest.
pub(super) fn rules_text() -> String {
    let line = |rule: &Rule| {
        let Rule { aspect, name, weight, floor, ramp, asks, .. } = rule;
        format!("{aspect} {name} {weight} {floor} {} {} {asks:?}\n", ramp.none, ramp.full)
    };
    let lines: String = RULES.iter().map(line).collect();
    format!(
        "{lines}FLOOR {FLOOR:?}\nLEAST_NONRIGID {LEAST_NONRIGID:?}\nLEAST_TEXT {LEAST_TEXT:?}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_points_takes_the_whole_aspect_and_a_weak_one_a_share() {
        let ramp = Ramp::new(0, 1000);
        let part = |points, floor| Part {
            aspect: TIME,
            weight: 1,
            floor,
            name: "x",
            ramp,
            value: 0.0,
            points,
        };
        let points = |parts: &[Part]| aspect_points(parts.iter());
        assert_eq!(points(&[part(100.0, true), part(0.0, true)]), 0.0);
        assert_eq!(points(&[part(100.0, true), part(0.0, false)]), 50.0);
        assert_eq!(points(&[part(100.0, true), part(50.0, true)]), 75.0);
        assert_eq!(points(&[part(100.0, true), part(25.0, true)]), 62.5 / 2.0);
        assert_eq!(points(&[]), 100.0);
    }

    #[test]
    fn what_a_task_does_not_give_is_not_asked_for() {
        let read = Measures {
            text_similarity: Some(1.0),
            source_text_similarity: Some(1.0),
            source_nonrigid: 1.0,
            ..Measures::default()
        };
        let names = |task| parts(&read, task).iter().map(|part| part.name).collect::<Vec<_>>();
        assert_eq!(names(TaskType::Ti2v).len(), RULES.len());
        let [t2v, i2v] = [TaskType::T2v, TaskType::I2v].map(names);
        for name in ["first_ms_ssim", "palette", "nonrigid", "direction"] {
            assert!(!t2v.contains(&name), "{name}");
        }
        for name in ["direction", "text_similarity", "camera_error", "motion_amount"] {
            assert!(!i2v.contains(&name), "{name}");
        }
        assert!(t2v.contains(&"identity") && i2v.contains(&"nonrigid"));
    }

    #[test]
    fn a_clip_that_a_pushed_picture_can_imitate_says_nothing_about_pushing() {
        let has =
            |m: &Measures| parts(m, TaskType::Ti2v).iter().any(|part| part.name == "nonrigid");
        assert!(has(&Measures { source_nonrigid: 0.5, ..Measures::default() }));
        assert!(!has(&Measures { source_nonrigid: 0.01, ..Measures::default() }));
    }
}
