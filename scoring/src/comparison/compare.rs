//! All measures of an answer against its source clip, before any policy turns them into scores.

use crate::comparison::clip_features::{Features, HALF, View, mean, warping_error};
use crate::media::Clip;
use crate::metrics::{
    Camera, Grid, Kernels, Shift, agreement, held_fraction, local_distance, longest_hold,
    most_alike, replay, replayed_detail,
};
use serde::{Deserialize, Serialize};

/// Added to amounts of motion in quotients, in pixels of the full picture: less motion is noise.
pub(crate) const LEAST_FLOW: f32 = 0.05;
/// Added to both sides of a quotient of changes: less change is rounding.
pub(crate) const ROUNDING: f32 = 0.1 / 255.0;
/// Added to both sides of a quotient of details.
pub(crate) const FLAT: f32 = 1e-6;

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
    /// Mean structural similarity of all frames at full size, after registration, -1 to 1.
    pub ssim: f32,
    /// The lowest structural similarity of a frame at full size.
    pub ssim_low: f32,
    /// Mean peak signal-to-noise ratio of all frames, after registration, in dB, at most 100.
    pub psnr: f32,
    /// Mean structural similarity of all frames but the first at half size, after registration, -1
    /// to 1.
    pub content_ssim: f32,
    /// The lowest structural similarity of a frame at half size.
    pub content_ssim_low: f32,
    /// Mean brightness distance over all frames at low resolution.
    pub content_colour: f32,
    /// Mean chroma distance over all frames at low resolution.
    pub content_chroma: f32,
    /// Mean brightness distance over the worst fiftieth of the picture, at low resolution.
    pub content_local: f32,
    /// Mean similarity of the change from the first frame to the source's at the same time, at low
    /// resolution, -1 to 1.
    pub agreement: f32,
    /// The mean of the same over the worst quarter of the frames.
    pub agreement_low: f32,
    /// Growth of the distance in brightness and chroma from the first third of the clip to the
    /// last.
    pub drift: f32,
    /// Total change over time, answer over source.
    pub motion_energy: f32,
    /// Change from the first frame, answer over source: near 0 for a frozen clip, with or without
    /// noise.
    pub displacement: f32,
    /// The source's own mean change from its first frame.
    pub source_displacement: f32,
    /// Mean end-point error of the optical flow over its mean length in the source; 0 for equal
    /// motion.
    pub flow_error: f32,
    /// Mean length of the optical flow, answer over source.
    pub motion_amount: f32,
    /// Mean agreement in direction with the source's optical flow, -1 to 1.
    pub motion_direction: f32,
    /// Mean smoothness of the answer's motion: 1 where the flow stays the same from step to step, 0
    /// where it reverses.
    pub motion_smoothness: f32,
    /// Mean smoothness of the source's motion.
    pub source_motion_smoothness: f32,
    /// Mean squared change per step that the source's motion does not explain, at half size, 0 to
    /// 1.
    pub warping_error: f32,
    /// The same for the source itself.
    pub source_warping_error: f32,
    /// Mean squared change per step that the answer's own motion does not explain, at half size, 0
    /// to 1.
    pub own_warping_error: f32,
    /// Share of the steps in which the answer stands still while the source moves.
    pub held: f32,
    /// The longest run of such steps, as a share of all steps.
    pub longest_hold: f32,
    /// Mean brightness pumping per step that the source lacks.
    pub flicker: f32,
    /// Mean brightness pumping per step above the source's mean, at whatever times.
    pub pumping: f32,
    /// Mean local change per step that the source lacks.
    pub motion_excess: f32,
    /// Mean sharpness against the source's, the smaller over the larger, 0 to 1.
    pub detail: f32,
    /// Noise above the source's, as a standard deviation.
    pub noise: f32,
    /// Visibility of block edges, answer over source.
    pub blockiness: f32,
    /// Mean error of the camera's affine motion over the mean of the source's and half a pixel; 0
    /// for equal motion.
    pub camera_error: f32,
    /// Coarse similarity to the source clip at any time and speed, mirrored or not, 0 to 1.
    pub replay: f32,
    /// Similarity of fine detail to the source's at the same time, or in the second half of the
    /// clip at the most similar time, 0 to 1: near 1 for the source's own pixels, near 0 for
    /// another video.
    pub replay_detail: f32,
    /// How much more than the source the answer returns to earlier pictures, as loops do, 0 to 1.
    pub recurrence: f32,
    /// Similarity of the answer to the prompt, by the operator's model of texts and pictures, -1 to
    /// 1.
    pub text_similarity: Option<f32>,
    /// Similarity of the source to the prompt.
    pub source_text_similarity: Option<f32>,
}

/// What can be followed from one frame of a source clip to the next.
#[derive(Debug, Clone)]
pub(crate) struct Visibility {
    /// Where its scene is visible in both frames of each step.
    pub(crate) visible: Grid,
    /// The warping error of its own flow there.
    pub(crate) warping_error: f32,
}

/// One clip of a comparison.
pub(crate) struct Side<'f, 'a, K: Kernels<'a>> {
    pub(crate) clip: &'a Clip,
    pub(crate) view: View<'a, K>,
    pub(crate) features: &'f Features,
}

/// Compares frame by frame. Both sides have the same size and the same number of frames, at least
/// two. `first` is the index of the answer's first frame in its clip.
pub(crate) fn compare<'a, K: Kernels<'a>>(
    kernels: &K,
    (source_side, answer_side): (&Side<'_, 'a, K>, &Side<'_, 'a, K>),
    first: usize,
    visibility: &Visibility,
) -> Measures {
    let (source, answer) = (source_side.features, answer_side.features);
    let shift = register(kernels, source_side, answer_side, first);
    let beginning = first_frames(kernels, (source_side, answer_side), first, shift);
    let (full, half) = likeness(kernels, (source_side, answer_side), shift);
    let colour = kernels.distance(&answer.luma, &source.luma);
    let chroma = kernels.distance(&answer.chroma, &source.chroma);
    let third = |values: &[f32]| {
        let third = values.len().div_ceil(3);
        mean(&values[values.len() - third..]) - mean(&values[..third])
    };
    let frames = answer.luma.len();
    let alike = kernels.correlations(&answer.luma, &source.luma);
    let mirrored = kernels.correlations(&answer.luma, &source.luma.mirrored());
    let mut agreed = agreement(&alike, frames);
    agreed.sort_unstable_by(f32::total_cmp);
    let (answer_shown, source_shown) = (
        mean(&kernels.change_from_first(&answer.luma)),
        mean(&kernels.change_from_first(&source.luma)),
    );
    let details = ratios(&answer.sharpness, &source.sharpness);
    let amount = |side: &Features| HALF * mean(&kernels.motion_amount(&side.flow));
    let (answer_amount, source_amount) = (amount(answer), amount(source));
    let flow_error = HALF * mean(&kernels.distance(&answer.flow, &source.flow));
    Measures {
        first_ms_ssim: beginning.ms_ssim,
        first_psnr: beginning.psnr,
        first_shift: shift.right.abs().max(shift.down.abs()) as f32,
        first_colour: colour[0],
        first_chroma: chroma[0],
        first_detail: details[0],
        ssim: mean(&full.ssim),
        ssim_low: lowest(&full.ssim),
        psnr: mean(&full.psnr),
        content_ssim: mean(&half),
        content_ssim_low: lowest(&half),
        content_colour: mean(&colour),
        content_chroma: mean(&chroma),
        content_local: local_distance(&kernels.distance_by_place(&answer.luma, &source.luma)),
        agreement: mean(&agreed),
        agreement_low: mean(&agreed[..agreed.len().div_ceil(4)]),
        drift: third(&colour) + third(&chroma),
        motion_energy: part(mean(&answer.steps), mean(&source.steps)),
        displacement: part(answer_shown, source_shown),
        source_displacement: source_shown,
        flow_error: flow_error / (source_amount + LEAST_FLOW),
        motion_amount: (answer_amount + LEAST_FLOW) / (source_amount + LEAST_FLOW),
        motion_direction: mean(&kernels.motion_direction(&answer.flow, &source.flow)),
        motion_smoothness: smoothness(kernels, answer),
        source_motion_smoothness: smoothness(kernels, source),
        warping_error: warping_error(kernels, &answer_side.view, &source.flow, &visibility.visible),
        source_warping_error: visibility.warping_error,
        own_warping_error: answer.own_warping_error,
        held: held_fraction(&answer.steps, &source.steps),
        longest_hold: longest_hold(&answer.steps, &source.steps),
        flicker: mean(&kernels.flicker(&answer.luma, &source.luma)),
        pumping: (pumping(kernels, answer) - pumping(kernels, source)).max(0.0),
        motion_excess: mean(&kernels.motion_excess(&answer.luma, &source.luma)),
        detail: mean(&details),
        noise: (mean(&answer.noise) - mean(&source.noise)).max(0.0),
        blockiness: mean(&answer.blockiness) / mean(&source.blockiness),
        camera_error: camera_error(&answer.camera, &source.camera, &source.flow),
        replay: replay(&alike, frames).max(replay(&mirrored, frames)),
        replay_detail: replay_detail(
            kernels,
            (source_side, answer_side),
            &most_alike(&alike, frames),
        ),
        recurrence: (answer.recurrence - source.recurrence).max(0.0),
        text_similarity: None,
        source_text_similarity: None,
    }
}

struct Beginning {
    ms_ssim: f32,
    psnr: f32,
}

/// The first frames of source and answer, each as pictures of its own.
fn beginnings<'a, K: Kernels<'a>>(
    kernels: &K,
    (source, answer): (&Side<'_, 'a, K>, &Side<'_, 'a, K>),
    first: usize,
) -> (K::Pictures, K::Pictures) {
    let picture =
        |clip: &'a Clip, index| kernels.pictures(&[clip.luma(index)], clip.height(), clip.width());
    (picture(source.clip, 0), picture(answer.clip, first))
}

/// The offset of the answer, found once in its first frame. It is the same for every frame.
fn register<'a, K: Kernels<'a>>(
    kernels: &K,
    source: &Side<'_, 'a, K>,
    answer: &Side<'_, 'a, K>,
    first: usize,
) -> Shift {
    let (source, answer) = beginnings(kernels, (source, answer), first);
    kernels.register(&answer, &source)
}

fn first_frames<'a, K: Kernels<'a>>(
    kernels: &K,
    sides: (&Side<'_, 'a, K>, &Side<'_, 'a, K>),
    first: usize,
    shift: Shift,
) -> Beginning {
    let (source, answer) = beginnings(kernels, sides, first);
    let (answer, source) = kernels.align(&answer, &source, shift);
    Beginning {
        ms_ssim: kernels.ms_ssim(&answer, &source)[0],
        psnr: kernels.psnr(&answer, &source)[0],
    }
}

/// Similarity of all frames at full size.
struct Full {
    ssim: Vec<f32>,
    psnr: Vec<f32>,
}

/// Similarity of all frames at full size, and structural similarity at half size of all frames but
/// the first.
fn likeness<'a, K: Kernels<'a>>(
    kernels: &K,
    (source, answer): (&Side<'_, 'a, K>, &Side<'_, 'a, K>),
    shift: Shift,
) -> (Full, Vec<f32>) {
    let (answer_full, source_full) = kernels.align(&answer.view.full, &source.view.full, shift);
    let full = Full {
        ssim: kernels.ssim(&answer_full, &source_full),
        psnr: kernels.psnr(&answer_full, &source_full),
    };
    let half = if shift == Shift::default() {
        kernels.ssim(&answer.view.half, &source.view.half)
    } else {
        kernels.ssim(&kernels.halved(&answer_full), &kernels.halved(&source_full))
    };
    (full, half[1..].to_vec())
}

/// Mean change of a clip's brightness per step.
fn pumping<'a, K: Kernels<'a>>(kernels: &K, features: &Features) -> f32 {
    let shape = features.luma.shape();
    let dark = Grid::new(vec![0.0; features.luma.values().len()], shape);
    mean(&kernels.flicker(&features.luma, &dark))
}

fn smoothness<'a, K: Kernels<'a>>(kernels: &K, features: &Features) -> f32 {
    // A clip of two frames has a single step, which is smooth.
    if features.flow.len() < 2 { 1.0 } else { mean(&kernels.motion_smoothness(&features.flow)) }
}

/// Similarity of fine detail to the source's frames at the same times and at the times `alike`.
fn replay_detail<'a, K: Kernels<'a>>(
    kernels: &K,
    (source, answer): (&Side<'_, 'a, K>, &Side<'_, 'a, K>),
    alike: &[usize],
) -> f32 {
    // At a quarter of the size neither blur nor a coarse encoding hides the detail's origin.
    let quarter = kernels.halved(&answer.view.half);
    let details = |half: &K::Pictures| kernels.detail_correlation(&quarter, &kernels.halved(half));
    let moved = View::of(kernels, source.clip, alike);
    let (same, moved) = (details(&source.view.half), details(&moved.half));
    // Early frames look alike in all answers, so likeness to one proves nothing.
    let late = |index: usize| alike[index + 1] >= alike.len() / 2;
    let best = same.iter().zip(&moved).enumerate();
    let best: Vec<f32> = best
        .map(|(index, (same, moved))| if late(index) { same.max(*moved) } else { *same })
        .collect();
    replayed_detail(&best)
}

fn lowest(values: &[f32]) -> f32 {
    values.iter().copied().fold(1.0, f32::min)
}

/// A quotient of two amounts of change that is finite where the source does not change.
fn part(answer: f32, source: f32) -> f32 {
    (answer + ROUNDING) / (source + ROUNDING)
}

/// The smaller over the larger, pair by pair.
fn ratios(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).map(|(a, b)| (a.min(*b) + FLAT) / (a.max(*b) + FLAT)).collect()
}

fn camera_error(answer: &[Camera], source: &[Camera], flow: &Grid) -> f32 {
    let [_, rows, columns] = flow.shape();
    let half_pixel = 0.5 / HALF * source.len() as f32;
    let error: f32 = answer.iter().zip(source).map(|(a, b)| a.minus(b).length(rows, columns)).sum();
    let motion: f32 = source.iter().map(|camera| camera.length(rows, columns)).sum();
    error / (motion + half_pixel)
}
