//! What is computed once per clip, for all comparisons with it.

use crate::comparison::block_sums::{BLOCK, BlockSums};
use crate::comparison::course::Course;
pub(crate) use crate::comparison::course::FLOW_CELL;
use crate::media::Clip;
use crate::metrics::{Camera, Grid, Host, Kernels, PictureMetric, picture_metrics};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Brightness, chroma and change over time are compared at a sixteenth of the size.
pub(crate) const COLOUR_FACTOR: usize = 2 * BLOCK;
/// Pixels of the full picture per pixel of the half picture, in which flow is measured.
pub(crate) const HALF: f32 = 2.0;
/// Luma of some frames of a clip, at full and at half size. The authors of structural similarity
/// recommend a shorter side of about 256 pixels, as much as a viewer resolves. At half size film
/// grain and a codec's fine losses do not hide what changed.
pub(crate) struct View<'a, K: Kernels<'a>> {
    pub(crate) full: K::Pictures,
    pub(crate) half: K::Pictures,
}

impl<'a, K: Kernels<'a>> View<'a, K> {
    /// The frames `order` of `clip`, in that order.
    pub(crate) fn of(kernels: &K, clip: &'a Clip, order: &[usize]) -> Self {
        let planes: Vec<&[u8]> = order.iter().map(|index| clip.luma(*index)).collect();
        let full = kernels.pictures(&planes, clip.height(), clip.width());
        let half = kernels.halved(&full);
        Self { full, half }
    }
}

/// Features of one clip, in the order of its frames or steps.
#[derive(Debug, Clone)]
pub(crate) struct Features {
    /// Luma at a sixteenth.
    pub(crate) luma: Grid,
    /// Chroma at a sixteenth, blue then red difference.
    pub(crate) chroma: Grid,
    /// Mean absolute change per step, at an eighth.
    pub(crate) steps: Vec<f32>,
    /// Flow per step in pixels of the half picture, at an eighth.
    pub(crate) flow: Grid,
    /// The camera's motion per step, in pixels of the half picture.
    pub(crate) camera: Vec<Camera>,
    /// The values of all frames, by the name of the metric of single pictures.
    pub(crate) pictured: BTreeMap<&'static str, Vec<f32>>,
    /// How much the clip returns to earlier pictures.
    pub(crate) recurrence: f32,
    /// Its course.
    pub(crate) course: Course,
}

impl Features {
    /// Computes the features of the frames `order` of `clip`, at least two, in that order. `view`
    /// holds the same frames. `kernels` measures whole pictures; small maps are measured by the CPU
    /// on every device.
    pub(crate) fn of<'a, K: Kernels<'a>>(
        kernels: &K,
        clip: &Clip,
        order: &[usize],
        view: &View<'a, K>,
    ) -> Self {
        let (rows, columns) = (clip.height() / COLOUR_FACTOR, clip.width() / COLOUR_FACTOR);
        let reduced: Vec<Reduced> =
            order.par_iter().map(|index| Reduced::of(clip, *index, (rows, columns))).collect();
        let gather = |part: &dyn Fn(&Reduced) -> &[f32]| {
            reduced.iter().flat_map(part).copied().collect::<Vec<f32>>()
        };
        let (small_rows, small_columns) = (clip.height() / BLOCK, clip.width() / BLOCK);
        let small = Grid::new(gather(&|frame| &frame.small), [1, small_rows, small_columns]);
        let luma = Grid::new(gather(&|frame| &frame.luma), [1, rows, columns]);
        let chroma = Grid::new(gather(&|frame| &frame.chroma), [2, rows, columns]);
        let flow = kernels.flow(&view.half, FLOW_CELL);
        Self {
            steps: Host.frame_difference(&small),
            camera: Host.camera(&flow),
            pictured: picture_metrics::<K>()
                .iter()
                .map(|metric| (metric.name, metric.of_clip(kernels, &view.full, &view.half)))
                .collect(),
            recurrence: crate::metrics::recurrence(&Host.correlations(&luma, &luma), order.len()),
            course: Course::of(clip, order, &flow, (&luma, &chroma)),
            luma,
            chroma,
            flow,
        }
    }

    /// The values of all frames by a metric that has its row in [`picture_metrics`].
    pub(crate) fn pictured<M: PictureMetric<1>>(&self) -> &[f32] {
        &self.pictured[M::NAME]
    }
}

/// Small versions of one frame.
struct Reduced {
    /// Luma at an eighth.
    small: Vec<f32>,
    /// Luma at a sixteenth.
    luma: Vec<f32>,
    /// Chroma at a sixteenth.
    chroma: Vec<f32>,
}

impl Reduced {
    fn of(clip: &Clip, index: usize, (rows, columns): (usize, usize)) -> Self {
        let blocks = BlockSums::of(clip.luma(index), clip.width());
        let (blue, red) = clip.chroma(index);
        let mut chroma = chroma_means(blue, clip.width(), (rows, columns));
        chroma.extend(chroma_means(red, clip.width(), (rows, columns)));
        Self {
            small: blocks.means().collect(),
            luma: blocks.halved(rows, columns).collect(),
            chroma,
        }
    }
}

pub(crate) fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64) as f32
}

/// Chroma planes have half the size of luma, so their blocks of 8 are blocks of 16 there.
fn chroma_means(plane: &[u8], luma_width: usize, (rows, columns): (usize, usize)) -> Vec<f32> {
    let blocks = BlockSums::of(plane, luma_width.div_ceil(2));
    let (_, found) = blocks.size();
    let means: Vec<f32> = blocks.means().collect();
    means.chunks(found.max(1)).take(rows).flat_map(|line| &line[..columns]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Transfers;
    use crate::media::ClipShape;
    use crate::metrics::Tensors;
    use crate::scorer::synthetic_clips::source_and_answer;
    use burn_flex::{Flex, FlexDevice};

    /// burn's CPU backend stands in for a device: it is given, and gives back, the same.
    #[test]
    fn an_answer_is_copied_once_as_bytes_and_four_results_come_back() {
        let shape = ClipShape { width: 256, height: 192, fps: 16, frames: 13 };
        let [_, answer] = source_and_answer(shape).unwrap();
        let order: Vec<usize> = (0..answer.len()).collect();
        let kernels = Tensors::<Flex>::new(FlexDevice);
        let (features, copied) = Transfers::during(|| {
            let view = View::of(&kernels, &answer, &order);
            Features::of(&kernels, &answer, &order, &view)
        });
        assert_eq!(features.pictured.len(), 3);
        assert_eq!(copied.read_backs, 4, "three metrics of pictures, and the flow: {copied:?}");
        // The frames, two kernels, and the rows and columns of two filters.
        assert_eq!(copied.uploads, 7, "{copied:?}");
        let bytes = (256 * 192 * answer.len()) as u64;
        assert!(copied.uploaded_bytes <= bytes + bytes / 10, "{copied:?} for {bytes} bytes");
    }
}
