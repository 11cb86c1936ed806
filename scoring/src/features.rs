//! What is computed once per clip and used in every comparison with it.

use crate::media::Clip;
use crate::metrics::{
    FlowSettings, blockiness, frame_difference, laplacian_variance, lucas_kanade, noise_sigma,
};
use crate::reduced::block_means;
use crate::tensors::{read, tensor, unit};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Motion is measured at an eighth of the size: a motion of 32 pixels per frame is still found, and a clip takes a
/// fraction of a second.
pub(crate) const MOTION_FACTOR: usize = 8;
/// Colour and brightness are compared at a sixteenth of the size.
pub(crate) const COLOUR_FACTOR: usize = 16;
/// Every how many frames the full picture is looked at: nine of 81, the first and the last among them.
pub(crate) const PICTURE_STRIDE: usize = 10;
/// A pyramid of 104x60 and 52x30 with a neighbourhood of nine pixels.
const FLOW: FlowSettings = FlowSettings { levels: 2, warps: 3, radius: 4, batch: 1 };

/// Features of one clip, on the host, all in the order of its frames.
#[derive(Debug, Clone)]
pub(crate) struct Features {
    /// Luma at a sixteenth: `[frames, 1, rows, columns]`.
    pub(crate) luma: Vec<f32>,
    /// Chroma at a sixteenth: `[frames, 2, rows, columns]`.
    pub(crate) chroma: Vec<f32>,
    /// Rows and columns of both.
    pub(crate) colour_size: (usize, usize),
    /// Mean absolute change per step, at an eighth.
    pub(crate) steps: Vec<f32>,
    /// Flow per step at an eighth: `[frames - 1, 2, rows, columns]`.
    pub(crate) flow: Vec<f32>,
    /// Variance of the Laplacian of each looked-at picture at half size.
    pub(crate) sharpness: Vec<f32>,
    /// Noise of each looked-at picture.
    pub(crate) noise: Vec<f32>,
    /// Block edges of each looked-at picture.
    pub(crate) blockiness: Vec<f32>,
}

/// Which of `frames` frames are looked at in full.
pub(crate) fn picture_indices(frames: usize) -> impl Iterator<Item = usize> {
    (0..frames).step_by(PICTURE_STRIDE)
}

/// Luma of one frame at half size. The authors of structural similarity advise about 256 pixels for the shorter side,
/// what a viewer resolves; film grain and a codec's fine losses then do not hide what changed.
pub(crate) fn half_picture<B: Backend>(clip: &Clip, index: usize, device: &B::Device) -> Tensor<B, 4> {
    tensor(block_means(clip.luma(index), clip.width(), 2), [1, 1, clip.height() / 2, clip.width() / 2], device)
}

/// Full luma of one frame as a picture tensor.
pub(crate) fn picture<B: Backend>(clip: &Clip, index: usize, device: &B::Device) -> Tensor<B, 4> {
    tensor(unit(clip.luma(index)), [1, 1, clip.height(), clip.width()], device)
}

impl Features {
    /// Computes the features of the frames `order` of `clip`, at least two, in that order.
    pub(crate) fn of<B: Backend>(clip: &Clip, order: &[usize], device: &B::Device) -> Self {
        let (motion, size) = reduced_luma(clip, order, MOTION_FACTOR);
        let motion = tensor::<B, 4>(motion, [order.len(), 1, size.0, size.1], device);
        let from = motion.clone().slice([0..order.len() - 1]);
        let to = motion.clone().slice([1..order.len()]);
        let (luma, colour_size) = reduced_luma(clip, order, COLOUR_FACTOR);
        let looked_at = || picture_indices(order.len()).map(|index| order[index]);
        let full: Vec<Tensor<B, 4>> = looked_at().map(|index| picture(clip, index, device)).collect();
        let half = looked_at().map(|index| laplacian_variance(&half_picture::<B>(clip, index, device)));
        let measure = |measure: fn(&Tensor<B, 4>) -> Tensor<B, 1>| {
            read(Tensor::cat(full.iter().map(measure).collect(), 0))
        };
        Self {
            luma,
            chroma: reduced_chroma(clip, order),
            colour_size,
            steps: read(frame_difference(&motion)),
            flow: read(lucas_kanade(&from, &to, &FLOW)),
            sharpness: read(Tensor::cat(half.collect(), 0)),
            noise: measure(noise_sigma),
            blockiness: measure(blockiness),
        }
    }
}

fn reduced_luma(clip: &Clip, order: &[usize], factor: usize) -> (Vec<f32>, (usize, usize)) {
    let values = order.iter().flat_map(|index| block_means(clip.luma(*index), clip.width(), factor));
    (values.collect(), (clip.height() / factor, clip.width() / factor))
}

/// Chroma planes have half the size of luma, so half the factor gives the same grid where the sides are multiples of it.
fn reduced_chroma(clip: &Clip, order: &[usize]) -> Vec<f32> {
    let width = clip.width().div_ceil(2);
    let (rows, columns) = (clip.height() / COLOUR_FACTOR, clip.width() / COLOUR_FACTOR);
    let factor = COLOUR_FACTOR / 2;
    let plane = |plane: &[u8]| {
        let means = block_means(plane, width, factor);
        let lines = means.chunks_exact(width / factor).take(rows);
        lines.flat_map(|line| line[..columns].to_vec()).collect::<Vec<f32>>()
    };
    let values = order.iter().flat_map(|index| {
        let (blue, red) = clip.chroma(*index);
        [plane(blue), plane(red)].concat()
    });
    values.collect()
}
