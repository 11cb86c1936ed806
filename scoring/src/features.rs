//! What is computed once per clip and used in every comparison with it.

use crate::media::Clip;
use crate::metrics::{FlowSettings, blockiness, frame_difference, laplacian_variance, lucas_kanade, noise_sigma};
use crate::reduced::{BLOCK, BlockSums};
use crate::tensors::{read, tensor, unit};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::avg_pool2d;

/// Motion is measured at an eighth of the size: a motion of 32 pixels per frame is still found, and a clip takes a
/// fraction of a second.
pub(crate) const MOTION_FACTOR: usize = BLOCK;
/// Colour and brightness are compared at a sixteenth of the size.
const COLOUR_FACTOR: usize = 2 * BLOCK;
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

/// A picture at half size. The authors of structural similarity advise about 256 pixels for the shorter side, what a
/// viewer resolves; film grain and a codec's fine losses then do not hide what changed.
pub(crate) fn half<B: Backend>(picture: Tensor<B, 4>) -> Tensor<B, 4> {
    avg_pool2d(picture, [2, 2], [2, 2], [0, 0], false, false)
}

/// Full luma of one frame as a picture tensor.
pub(crate) fn picture<B: Backend>(clip: &Clip, index: usize, device: &B::Device) -> Tensor<B, 4> {
    tensor(unit(clip.luma(index)), [1, 1, clip.height(), clip.width()], device)
}

impl Features {
    /// Computes the features of the frames `order` of `clip`, at least two, in that order.
    pub(crate) fn of<B: Backend>(clip: &Clip, order: &[usize], device: &B::Device) -> Self {
        let (rows, columns) = (clip.height() / COLOUR_FACTOR, clip.width() / COLOUR_FACTOR);
        let mut small = Vec::new();
        let mut small_size = (0, 0);
        let (mut luma, mut chroma) = (Vec::new(), Vec::new());
        for &index in order {
            let blocks = BlockSums::of(clip.luma(index), clip.width());
            small.extend(blocks.means());
            small_size = blocks.size();
            luma.extend(blocks.halved(rows, columns));
            let (blue, red) = clip.chroma(index);
            chroma.extend(chroma_means(blue, clip.width(), (rows, columns)));
            chroma.extend(chroma_means(red, clip.width(), (rows, columns)));
        }
        let motion = tensor::<B, 4>(small, [order.len(), 1, small_size.0, small_size.1], device);
        let from = motion.clone().slice([0..order.len() - 1]);
        let to = motion.clone().slice([1..order.len()]);
        let looked_at = picture_indices(order.len()).map(|index| picture::<B>(clip, order[index], device));
        let pictures: Vec<Tensor<B, 4>> = looked_at.collect();
        let measure = |measure: &dyn Fn(&Tensor<B, 4>) -> Tensor<B, 1>| {
            read(Tensor::cat(pictures.iter().map(measure).collect(), 0))
        };
        Self {
            luma,
            chroma,
            colour_size: (rows, columns),
            steps: read(frame_difference(&motion)),
            flow: read(lucas_kanade(&from, &to, &FLOW)),
            sharpness: measure(&|picture| laplacian_variance(&half(picture.clone()))),
            noise: measure(&noise_sigma),
            blockiness: measure(&blockiness),
        }
    }
}

/// Chroma planes have half the size of luma, so their blocks of 8 are blocks of 16 there.
fn chroma_means(plane: &[u8], luma_width: usize, (rows, columns): (usize, usize)) -> Vec<f32> {
    let blocks = BlockSums::of(plane, luma_width.div_ceil(2));
    let (_, found) = blocks.size();
    let means: Vec<f32> = blocks.means().collect();
    means.chunks(found.max(1)).take(rows).flat_map(|line| &line[..columns]).copied().collect()
}
