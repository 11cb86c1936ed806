//! The raw numbers of one comparison, before any policy turns them into scores.

use crate::features::{Features, MOTION_FACTOR, half, picture, picture_indices};
use crate::media::Clip;
use crate::metrics::{
    align, chroma_distance, colour_distance, flicker, held_fraction, longest_hold, motion_excess, ms_ssim, psnr,
    register, ssim,
};
use crate::tensors::{read, tensor};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

/// Steps whose source motion is below this (a twentieth of a pixel at full size) say nothing about motion error.
const LEAST_FLOW: f32 = 0.05 / MOTION_FACTOR as f32;

/// Raw measures of an answer against its source clip. Distances are parts of the full range 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// Mean structural similarity of the looked-at frames at half size, after the first and after registration.
    pub content_ssim: f32,
    /// The lowest of them.
    pub content_ssim_low: f32,
    /// Mean brightness distance over all frames at low resolution.
    pub content_colour: f32,
    /// Mean chroma distance over all frames at low resolution.
    pub content_chroma: f32,
    /// How much the similarity falls from the first third of the clip to the last.
    pub drift: f32,
    /// Total change over time, answer over source.
    pub motion_energy: f32,
    /// Change from the first frame, answer over source: near 0 for a frozen clip, noise or not.
    pub displacement: f32,
    /// The source's own mean change from its first frame: how much there was to show.
    pub source_displacement: f32,
    /// Mean flow error over mean flow of the source.
    pub flow_error: f32,
    /// Part of the steps on which the answer stands still while the source moves.
    pub held: f32,
    /// The longest stretch of such steps, as a part of all.
    pub longest_hold: f32,
    /// Mean brightness pumping per step that the source does not have.
    pub flicker: f32,
    /// Mean local change per step that the source does not have.
    pub motion_excess: f32,
    /// Mean sharpness against the source's, the smaller over the larger, 0 to 1.
    pub detail: f32,
    /// Noise above the source's, as a standard deviation.
    pub noise: f32,
    /// Block edges over the source's.
    pub blockiness: f32,
    /// Mean whole-frame motion error over mean whole-frame motion of the source, with half a pixel added to both.
    pub camera_error: f32,
}

/// Compares the frames `order` of `answer` with all frames of `source`; both clips have one size, both feature sets one
/// length of at least two.
pub(crate) fn compare<B: Backend>(
    source: (&Clip, &Features),
    answer: (&Clip, &Features),
    order: &[usize],
    device: &B::Device,
) -> Measures {
    let ((source_clip, source), (answer_clip, answer)) = (source, answer);
    let first_source = picture::<B>(source_clip, 0, device);
    let first_answer = picture::<B>(answer_clip, order[0], device);
    let shift = register(&first_answer, &first_source);
    let (first_answer, first_source) = align(&first_answer, &first_source, shift);
    let first = read(Tensor::cat(vec![ms_ssim(&first_answer, &first_source), psnr(&first_answer, &first_source)], 0));
    let frames = order.len();
    let (rows, columns) = source.colour_size;
    let grid = |values: &[f32], channels| tensor::<B, 4>(values.to_vec(), [frames, channels, rows, columns], device);
    let (answer_luma, source_luma) = (grid(&answer.luma, 1), grid(&source.luma, 1));
    let colour = read(colour_distance(&answer_luma, &source_luma));
    let chroma = read(chroma_distance(&grid(&answer.chroma, 2), &grid(&source.chroma, 2)));
    // A small constant offset is one property of the whole answer, so it is taken out of every frame.
    let similarity: Vec<Tensor<B, 1>> = picture_indices(frames)
        .skip(1)
        .map(|index| {
            let answer = picture::<B>(answer_clip, order[index], device);
            let (answer, source) = align(&answer, &picture(source_clip, index, device), shift);
            ssim(&half(answer), &half(source))
        })
        .collect();
    let similarity = if similarity.is_empty() { vec![first[0]] } else { read(Tensor::cat(similarity, 0)) };
    let third = similarity.len().div_ceil(3);
    let (answer_shown, source_shown) = (change_from_first(&answer_luma), change_from_first(&source_luma));
    let details = ratios(&answer.sharpness, &source.sharpness);
    Measures {
        first_ms_ssim: first[0],
        first_psnr: first[1],
        first_shift: shift.right.abs().max(shift.down.abs()) as f32,
        first_colour: colour[0],
        first_chroma: chroma[0],
        first_detail: details[0],
        content_ssim: mean(&similarity),
        content_ssim_low: similarity.iter().copied().fold(1.0, f32::min),
        content_colour: mean(&colour),
        content_chroma: mean(&chroma),
        drift: mean(&similarity[..third]) - mean(&similarity[similarity.len() - third..]),
        motion_energy: part(mean(&answer.steps), mean(&source.steps)),
        displacement: part(answer_shown, source_shown),
        source_displacement: source_shown,
        flow_error: flow_error(&answer.flow, &source.flow),
        held: held_fraction(&answer.steps, &source.steps),
        longest_hold: longest_hold(&answer.steps, &source.steps),
        flicker: mean(&read(flicker(&answer_luma, &source_luma))),
        motion_excess: mean(&read(motion_excess(&answer_luma, &source_luma))),
        detail: mean(&details),
        noise: (mean(&answer.noise) - mean(&source.noise)).max(0.0),
        blockiness: mean(&answer.blockiness) / mean(&source.blockiness),
        camera_error: camera_error(&answer.flow, &source.flow, frames - 1),
    }
}

/// Mean absolute difference of all frames to the first.
fn change_from_first<B: Backend>(luma: &Tensor<B, 4>) -> f32 {
    let first = luma.clone().slice([0..1]);
    read((luma.clone() - first).abs().mean())[0]
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

/// A quotient of two amounts of change that stays finite where the source has none.
fn part(answer: f32, source: f32) -> f32 {
    const ROUNDING: f32 = 0.1 / 255.0;
    (answer + ROUNDING) / (source + ROUNDING)
}

/// The smaller over the larger, pair by pair.
fn ratios(left: &[f32], right: &[f32]) -> Vec<f32> {
    const FLAT: f32 = 1e-6;
    left.iter().zip(right).map(|(a, b)| (a.min(*b) + FLAT) / (a.max(*b) + FLAT)).collect()
}

/// Mean length of the difference over mean length of the source's flow.
fn flow_error(answer: &[f32], source: &[f32]) -> f32 {
    let total = |length: &dyn Fn(usize) -> f32| (0..source.len()).map(|i| length(i).abs()).sum::<f32>();
    let error = total(&|i| answer[i] - source[i]);
    let motion = total(&|i| source[i]);
    error / (motion + LEAST_FLOW * source.len() as f32)
}

/// The same for the mean flow of each step, in which only the camera and whole-frame motion are left.
fn camera_error(answer: &[f32], source: &[f32], steps: usize) -> f32 {
    let half_pixel = 0.5 / MOTION_FACTOR as f32;
    let plane = source.len() / (2 * steps);
    let (mut error, mut motion) = (0.0, 0.0);
    for (answer, source) in answer.chunks_exact(plane).zip(source.chunks_exact(plane)) {
        let (answer, source) = (mean(answer), mean(source));
        error += (answer - source).abs();
        motion += source.abs();
    }
    error / (motion + half_pixel * steps as f32)
}
