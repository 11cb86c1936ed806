//! The metrics in fused loops on the CPU.
//!
//! Tensor operations read and write memory for each step of a formula. These loops read a picture
//! once, keep what a step needs in the nearest cache, and write nothing. Frames are spread over the
//! cores. Every sum has a fixed order and no product is fused with a sum (see [`wide`]), so the
//! bits of a result depend neither on the number of cores nor on the processor's vectors. The
//! exceptions are `powf` and `log10` of the platform's library at the very end of MS-SSIM and PSNR:
//! they may change the last bit, which does not show in tenths of a score.

mod flow;
mod grids;
mod pictures;
pub(super) mod sums;
pub(super) mod wide;

pub use pictures::HostPictures;

use super::motion::STILL;
use super::registration::descend;
use super::{Camera, Grid, Kernels, PictureMetric, Shift};
use grids::{changes, mean, mean_length, product, step_camera, steps};
use rayon::prelude::*;

/// The metrics in fused loops on the CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host;

impl Host {
    /// Optical flow from one plane of values from 0 to 1 to another, as [`Kernels::flow`].
    pub(crate) fn flow_of_planes(self, planes: [&[f32]; 2], width: usize, cell: usize) -> Grid {
        Kernels::flow(&self, &HostPictures::from_values(&planes, width), cell)
    }
}

impl<'a> Kernels<'a> for Host {
    type Pictures = HostPictures<'a>;

    fn pictures(&self, planes: &[&'a [u8]], height: usize, width: usize) -> HostPictures<'a> {
        HostPictures::from_bytes(planes.to_vec(), height, width)
    }

    fn halved(&self, pictures: &HostPictures<'a>) -> HostPictures<'a> {
        pictures.halve()
    }

    fn register(&self, moved: &HostPictures<'a>, fixed: &HostPictures<'a>) -> Shift {
        let difference = |shift: &Shift| {
            let (moved, fixed) = moved.align(fixed, *shift);
            moved.mean_difference(&fixed, 0, false) as f32
        };
        descend(|shifts| shifts.iter().map(difference).collect())
    }

    fn align(
        &self,
        moved: &HostPictures<'a>,
        fixed: &HostPictures<'a>,
        shift: Shift,
    ) -> (HostPictures<'a>, HostPictures<'a>) {
        moved.align(fixed, shift)
    }

    fn measure<M: PictureMetric<N>, const N: usize>(
        &self,
        pictures: [&HostPictures<'a>; N],
    ) -> Vec<f32> {
        M::in_loops(pictures)
    }

    fn flow(&self, pictures: &HostPictures<'a>, cell: usize) -> Grid {
        let (height, width) = pictures.size();
        Grid::new(flow::flow(pictures, cell), [2, height / cell, width / cell])
    }

    fn distance(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        let count = left.rows * left.columns;
        let length = |(left, right): (&[f32], &[f32])| {
            mean_length(left.len() / count, count, |channel, cell| {
                let index = channel * count + cell;
                left[index] - right[index]
            })
        };
        left.maps().zip(right.maps()).map(length).collect()
    }

    fn frame_difference(&self, maps: &Grid) -> Vec<f32> {
        steps(maps)
            .map(|(before, after)| mean(after.len(), |i| (after[i] - before[i]).abs()) as f32)
            .collect()
    }

    fn change_from_first(&self, maps: &Grid) -> Vec<f32> {
        let Some(first) = maps.maps().next() else { return Vec::new() };
        maps.maps().map(|map| mean(map.len(), |i| (map[i] - first[i]).abs()) as f32).collect()
    }

    fn flicker(&self, maps: &Grid) -> Vec<f32> {
        steps(maps)
            .map(|(before, after)| mean(after.len(), |i| after[i] - before[i]).abs() as f32)
            .collect()
    }

    fn motion_amount(&self, flow: &Grid) -> Vec<f32> {
        let count = flow.rows * flow.columns;
        flow.maps()
            .map(|map| mean_length(2, count, |channel, cell| map[channel * count + cell]))
            .collect()
    }

    fn motion_smoothness(&self, flow: &Grid) -> Vec<f32> {
        let count = flow.rows * flow.columns;
        let changes = steps(flow).map(|(before, after)| {
            mean_length(2, count, |channel, cell| {
                after[channel * count + cell] - before[channel * count + cell]
            })
        });
        changes
            .zip(self.motion_amount(flow).windows(2))
            .map(|(change, motion)| 1.0 - change / (motion[0] + motion[1] + STILL))
            .collect()
    }

    fn camera(&self, flow: &Grid) -> Vec<Camera> {
        let maps: Vec<&[f32]> = flow.maps().collect();
        maps.into_par_iter().map(|map| step_camera(map, flow.rows, flow.columns)).collect()
    }

    fn correlations(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        let (left, right) = (changes(left), changes(right));
        let lines = left
            .par_iter()
            .map(|left| right.iter().map(|right| product(left, right)).collect::<Vec<f32>>());
        lines.flatten().collect()
    }
}
