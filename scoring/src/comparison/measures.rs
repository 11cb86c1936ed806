//! The raw numbers of an answer against its source clip, before any policy turns them into points,
//! and how they follow from both clips' features.

use super::clip_features::{Features, HALF, mean};
use super::course::STRIDE;
use super::replayed::Unknown;
use crate::media::Clip;
use crate::metrics::{
    Blockiness, Camera, Grid, Host, HostPictures, Kernels, MsSsim, Noise, Psnr, Sharpness, Shift,
    course_likeness, held_fraction, longest_hold, most_alike, palette_distance, summed_direction,
};
use serde::{Deserialize, Serialize};

/// Added to amounts of motion in quotients, in pixels of the full picture: less motion is noise.
pub(crate) const LEAST_FLOW: f32 = 0.05;
/// Added to both sides of a quotient of changes: less change is rounding.
pub(crate) const ROUNDING: f32 = 0.1 / 255.0;
/// Added to both sides of a quotient of details.
pub(crate) const FLAT: f32 = 1e-6;
/// Added to both sides of a quotient of what a step leaves unexplained.
pub(crate) const LEAST_REST: f32 = 0.5 / 255.0;
/// The least mean motion of its own, in pixels per look, that makes a source clip a challenge.
pub(crate) const CHALLENGE: f32 = 0.08;
/// Where a guess gets more than this, detail that an answer shares with the source proves nothing.
pub(crate) const MOST_GUESSED: f32 = 0.85;

/// Raw measures of an answer against its source clip. Distances are on the scale 0 to 1 of the full
/// range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Multi-scale structural similarity of the first frames after registration, 0 to 1.
    pub first_ms_ssim: f32,
    /// Peak signal-to-noise ratio of the first frames after registration, in dB.
    pub first_psnr: f32,
    /// Larger side of the registered shift, in pixels.
    pub first_shift: f32,
    /// Brightness distance of the first frames at low resolution.
    pub first_colour: f32,
    /// Chroma distance of the first frames at low resolution.
    pub first_chroma: f32,
    /// Sharpness of the first frame against the source's, the smaller over the larger, 0 to 1.
    pub first_detail: f32,
    /// Change from the first frame, answer over source: near 0 for a frozen clip, with or without
    /// noise.
    pub displacement: f32,
    /// The source's own mean change from its first frame.
    pub source_displacement: f32,
    /// Mean length of the optical flow, answer over source.
    pub motion_amount: f32,
    /// Mean smoothness of the answer's motion: 1 where the flow stays the same from step to step, 0
    /// where it reverses.
    pub motion_smoothness: f32,
    /// Mean smoothness of the source's motion.
    pub source_motion_smoothness: f32,
    /// Share of the steps in which the answer stands still while the source moves.
    pub held: f32,
    /// The longest run of such steps, as a share of all steps.
    pub longest_hold: f32,
    /// Mean brightness pumping per step above the source's mean, at whatever times.
    pub pumping: f32,
    /// Mean sharpness against the source's, the smaller over the larger, 0 to 1.
    pub detail: f32,
    /// Noise above the source's, as a standard deviation.
    pub noise: f32,
    /// Visibility of block edges, answer over source.
    pub blockiness: f32,
    /// Mean error of the camera's affine motion over the mean of the source's and half a pixel; 0
    /// for equal motion.
    pub camera_error: f32,
    /// How much more than the source the answer returns to earlier pictures, as loops do, 0 to 1.
    pub recurrence: f32,
    /// Mean length of what moves by itself, in pixels of the full picture per look (six frames).
    pub nonrigid: f32,
    /// The source's.
    pub source_nonrigid: f32,
    /// Share of the picture that moves by itself, 0 to 1.
    pub nonrigid_share: f32,
    /// The source's.
    pub source_nonrigid_share: f32,
    /// Change of shape in the calmer part of the picture, in pixels per pixel and look.
    pub strain: f32,
    /// The source's.
    pub source_strain: f32,
    /// Part of the change from look to look that the clip's own motion does not explain, 0 to 1.
    pub unexplained: f32,
    /// The source's.
    pub source_unexplained: f32,
    /// Part of the change from frame to frame that the clip's own motion does not explain, 0 to 1.
    pub step_unexplained: f32,
    /// The source's.
    pub source_step_unexplained: f32,
    /// Mean of what is left at the worst places of each step, 0 to 1.
    pub popping: f32,
    /// The source's.
    pub source_popping: f32,
    /// How far the worst step stands out over the median step, 1 up: by what is left unexplained or
    /// by the whole change, whichever is more.
    pub jump: f32,
    /// The source's.
    pub source_jump: f32,
    /// Change of the colours of followed places in the last third, 0 to √3.
    pub identity: f32,
    /// The source's.
    pub source_identity: f32,
    /// Largest change of hue along the motion in one step, 0 to 2.
    pub hue: f32,
    /// The source's.
    pub source_hue: f32,
    /// Distance of the clips' colours as a whole, 0 to about 2.
    pub palette: f32,
    /// What moving places keep of their sharpness in the first frame, answer over source; 1 where
    /// nothing moves.
    pub moving_detail: f32,
    /// Part of the edges that lie in few columns or rows, 0 to 1.
    pub lattice: f32,
    /// The source's.
    pub source_lattice: f32,
    /// Share of pixels with edges of one colour that appear and stand still, 0 to 1.
    pub overlaid: f32,
    /// The source's.
    pub source_overlaid: f32,
    /// Agreement in direction of the motion in the first third, -1 to 1.
    pub direction: f32,
    /// Likeness of fine detail to the source's where the first frame shows nothing, -1 to 1; 0
    /// where too little comes into view.
    pub unknown_detail: f32,
    /// The same for the pushed first frame, which has none of it: what a guess gets.
    pub guessed_detail: f32,
    /// Coarse likeness to the source's change from its first frame, at most a second apart, -1 to 1.
    pub likeness: f32,
    /// Share of the task's opponents that have less likeness, 0 to 1.
    pub likeness_rank: f32,
    /// Points of the best opponent, 0 to 100.
    pub opponent: f32,
    /// Similarity of the answer to the prompt, by the operator's model of texts and pictures, -1 to
    /// 1.
    pub text_similarity: Option<f32>,
    /// Similarity of the source to the prompt.
    pub source_text_similarity: Option<f32>,
}

impl Measures {
    /// Whether a pushed picture can imitate the source: then nothing tells the two apart.
    pub fn can_be_imitated(&self) -> bool {
        self.source_nonrigid < CHALLENGE
    }

    /// How much of the detail that only the source shows the answer has, above a guess, 0 to 1.
    pub fn replay(&self) -> f32 {
        let guess = self.guessed_detail.clamp(0.0, MOST_GUESSED);
        ((self.unknown_detail - guess) / (1.0 - guess)).clamp(0.0, 1.0)
    }
}

/// The measures that videos alone have, by name.
macro_rules! named {
    ($($field:ident)*) => {
        impl Measures {
            /// Each measure that needs no model, by its name.
            pub(crate) fn named(&self) -> Vec<(&'static str, f32)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }
    };
}
named! {
    first_ms_ssim first_psnr first_shift first_colour first_chroma first_detail displacement
    source_displacement motion_amount motion_smoothness source_motion_smoothness held longest_hold
    pumping detail noise blockiness camera_error recurrence nonrigid source_nonrigid
    nonrigid_share source_nonrigid_share strain source_strain unexplained source_unexplained
    step_unexplained source_step_unexplained popping source_popping jump source_jump identity
    source_identity hue source_hue palette moving_detail lattice source_lattice overlaid
    source_overlaid direction unknown_detail guessed_detail likeness likeness_rank opponent
}

/// One clip of a comparison.
#[derive(Clone, Copy)]
pub(crate) struct Side<'f, 'a> {
    pub(crate) clip: &'a Clip,
    pub(crate) features: &'f Features,
}

/// Compares frame by frame. Both sides have the same size and the same number of frames, at least
/// two. `first` is the index of the answer's first frame in its clip. What depends on the task's
/// opponents is left at 0.
///
/// This is small maps and two single frames, which the CPU has in its memory: it compares them on
/// every device, as sending each there and waiting for its numbers would take longer.
pub(crate) fn compare(
    (source_side, answer_side): (Side<'_, '_>, Side<'_, '_>),
    first: usize,
    unknown: &Unknown,
) -> Measures {
    let (source, answer) = (source_side.features, answer_side.features);
    let (shift, begun) = registered(source_side, answer_side, first);
    let begun = begun.each_ref();
    let frames = answer.luma.len();
    let alike = Host.correlations(&answer.luma, &source.luma);
    let shown = |side: &Features| mean(&Host.change_from_first(&side.luma));
    let (answer_shown, source_shown) = (shown(answer), shown(source));
    let sharpness = [answer, source].map(|side| side.pictured::<Sharpness>());
    let noise = [answer, source].map(|side| mean(side.pictured::<Noise>()));
    let blockiness = [answer, source].map(|side| mean(side.pictured::<Blockiness>()));
    let amount = |side: &Features| HALF * mean(&Host.motion_amount(&side.flow)) + LEAST_FLOW;
    let unknown_detail = unknown.likeness(
        (source_side.clip, &source.course),
        &answer.course,
        &most_alike(&alike, frames),
    );
    let measures = Measures {
        first_ms_ssim: Host.measure::<MsSsim, 2>(begun)[0],
        first_psnr: Host.measure::<Psnr, 2>(begun)[0],
        first_shift: shift.right.abs().max(shift.down.abs()) as f32,
        first_colour: Host.distance(&answer.luma, &source.luma)[0],
        first_chroma: Host.distance(&answer.chroma, &source.chroma)[0],
        first_detail: ratio(sharpness[0][0], sharpness[1][0]),
        displacement: (answer_shown + ROUNDING) / (source_shown + ROUNDING),
        source_displacement: source_shown,
        motion_amount: amount(answer) / amount(source),
        motion_smoothness: smoothness(answer),
        source_motion_smoothness: smoothness(source),
        held: held_fraction(&answer.steps, &source.steps),
        longest_hold: longest_hold(&answer.steps, &source.steps),
        pumping: (pumping(answer) - pumping(source)).max(0.0),
        detail: mean(&ratios(sharpness[0], sharpness[1])),
        noise: (noise[0] - noise[1]).max(0.0),
        blockiness: blockiness[0] / blockiness[1],
        camera_error: camera_error(&answer.camera, &source.camera, &source.flow),
        recurrence: (answer.recurrence - source.recurrence).max(0.0),
        likeness: course_likeness(&alike, frames, 2 * STRIDE),
        unknown_detail,
        ..Measures::default()
    };
    with_course(measures, answer, source)
}

/// The numbers of both clips' courses.
fn with_course(measures: Measures, answer: &Features, source: &Features) -> Measures {
    let jumps = (largest_jump(answer), largest_jump(source));
    let (answer, source) = (&answer.course, &source.course);
    let largest = |values: &[f32]| values.iter().copied().fold(0.0, f32::max);
    Measures {
        nonrigid: answer.nonrigid_amount,
        source_nonrigid: source.nonrigid_amount,
        nonrigid_share: answer.nonrigid_share,
        source_nonrigid_share: source.nonrigid_share,
        strain: answer.strain,
        source_strain: source.strain,
        unexplained: mean(&answer.slow.shares),
        source_unexplained: mean(&source.slow.shares),
        step_unexplained: mean(&answer.fast.shares),
        source_step_unexplained: mean(&source.fast.shares),
        popping: mean(&answer.fast.worst),
        source_popping: mean(&source.fast.worst),
        jump: jumps.0,
        source_jump: jumps.1,
        identity: last_third(&answer.identity),
        source_identity: last_third(&source.identity),
        hue: largest(&answer.hue),
        source_hue: largest(&source.hue),
        palette: palette_distance(&answer.palette, &source.palette),
        moving_detail: match (answer.moving_detail, source.moving_detail) {
            (Some(answer), Some(source)) => answer / source,
            _ => 1.0,
        },
        lattice: answer.lattice,
        source_lattice: source.lattice,
        overlaid: answer.overlaid,
        source_overlaid: source.overlaid,
        direction: summed_direction(&answer.flow, &source.flow, answer.flow.len().div_ceil(3)),
        ..measures
    }
}

/// The shift of the answer's first frame, and both first frames without it. An offset is the same
/// for every frame.
fn registered<'a>(
    source: Side<'_, 'a>,
    answer: Side<'_, 'a>,
    first: usize,
) -> (Shift, [HostPictures<'a>; 2]) {
    let picture =
        |clip: &'a Clip, index| Host.pictures(&[clip.luma(index)], clip.height(), clip.width());
    let (source, answer) = (picture(source.clip, 0), picture(answer.clip, first));
    let shift = Host.register(&answer, &source);
    (shift, Host.align(&answer, &source, shift).into())
}

/// How far the worst step stands out, by the change that its motion leaves unexplained and by its
/// whole change. The second is needed because the flow explains a jump back to the start of a slow
/// zoom.
fn largest_jump(features: &Features) -> f32 {
    jump(&features.course.fast.rests).max(jump(&features.steps))
}

/// The largest over the median.
fn jump(rests: &[f32]) -> f32 {
    let mut sorted = rests.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    (sorted.last().copied().unwrap_or(0.0) + LEAST_REST) / (median + LEAST_REST)
}

fn last_third(values: &[f32]) -> f32 {
    mean(&values[values.len() - values.len().div_ceil(3)..])
}

/// Mean change of a clip's brightness per step.
fn pumping(features: &Features) -> f32 {
    mean(&Host.flicker(&features.luma))
}

fn smoothness(features: &Features) -> f32 {
    // A clip of two frames has a single step, which is smooth.
    if features.flow.len() < 2 { 1.0 } else { mean(&Host.motion_smoothness(&features.flow)) }
}

/// The smaller over the larger.
fn ratio(a: f32, b: f32) -> f32 {
    (a.min(b) + FLAT) / (a.max(b) + FLAT)
}

fn ratios(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).map(|(a, b)| ratio(*a, *b)).collect()
}

fn camera_error(answer: &[Camera], source: &[Camera], flow: &Grid) -> f32 {
    let [_, rows, columns] = flow.shape();
    let half_pixel = 0.5 / HALF * source.len() as f32;
    let error: f32 = answer.iter().zip(source).map(|(a, b)| a.minus(b).length(rows, columns)).sum();
    let motion: f32 = source.iter().map(|camera| camera.length(rows, columns)).sum();
    error / (motion + half_pixel)
}

#[cfg(test)]
impl Measures {
    /// Measures that give full marks.
    pub(crate) fn of_full_marks() -> Self {
        Self {
            first_ms_ssim: 1.0,
            first_detail: 1.0,
            direction: 1.0,
            displacement: 1.0,
            motion_amount: 1.0,
            likeness_rank: 1.0,
            nonrigid: 1.0,
            source_nonrigid: 1.0,
            jump: 1.0,
            source_jump: 1.0,
            detail: 1.0,
            moving_detail: 1.0,
            blockiness: 1.0,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_measure_has_its_name() {
        let all = serde_json::to_value(Measures::default()).unwrap();
        let mut fields: BTreeSet<&str> =
            all.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(fields.remove("text_similarity") && fields.remove("source_text_similarity"));
        let named = Measures { hue: 0.5, ..Measures::default() }.named();
        assert_eq!(named.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), fields);
        assert_eq!(named.iter().find(|(_, value)| *value > 0.0), Some(&("hue", 0.5)));
    }
}
