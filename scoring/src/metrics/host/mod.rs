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
mod pixels;
mod ssim;
mod sums;
mod warping;
mod wide;

pub use pictures::HostPictures;

use super::registration::descend;
use super::{Camera, Grid, Kernels, Shift};

/// The metrics in fused loops on the CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host;

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
            pixels::difference(&moved, &fixed)
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

    fn ssim(&self, left: &HostPictures<'a>, right: &HostPictures<'a>) -> Vec<f32> {
        ssim::ssim(left, right)
    }

    fn ms_ssim(&self, left: &HostPictures<'a>, right: &HostPictures<'a>) -> Vec<f32> {
        ssim::ms_ssim(left, right)
    }

    fn psnr(&self, left: &HostPictures<'a>, right: &HostPictures<'a>) -> Vec<f32> {
        pixels::psnr(left, right)
    }

    fn laplacian_variance(&self, pictures: &HostPictures<'a>) -> Vec<f32> {
        pixels::laplacian_variance(pictures)
    }

    fn noise_sigma(&self, pictures: &HostPictures<'a>) -> Vec<f32> {
        pixels::noise_sigma(pictures)
    }

    fn blockiness(&self, pictures: &HostPictures<'a>) -> Vec<f32> {
        pixels::blockiness(pictures)
    }

    fn detail_correlation(&self, left: &HostPictures<'a>, right: &HostPictures<'a>) -> Vec<f32> {
        pixels::detail_correlation(left, right)
    }

    fn flow(&self, pictures: &HostPictures<'a>, cell: usize) -> Grid {
        let (height, width) = pictures.size();
        Grid::new(flow::flow(pictures, cell), [2, height / cell, width / cell])
    }

    fn warping_error(
        &self,
        pictures: &HostPictures<'a>,
        flow: &Grid,
        visible: &Grid,
        cell: usize,
    ) -> Vec<f32> {
        warping::warping_error(pictures, flow, visible, cell)
    }

    fn visible(&self, forward: &Grid, backward: &Grid, cell: usize) -> Grid {
        grids::visible(forward, backward, cell)
    }

    fn distance(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        grids::distance(left, right)
    }

    fn distance_by_place(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        grids::distance_by_place(left, right)
    }

    fn frame_difference(&self, maps: &Grid) -> Vec<f32> {
        grids::frame_difference(maps)
    }

    fn change_from_first(&self, maps: &Grid) -> Vec<f32> {
        grids::change_from_first(maps)
    }

    fn motion_excess(&self, answer: &Grid, source: &Grid) -> Vec<f32> {
        grids::motion_excess(answer, source)
    }

    fn flicker(&self, answer: &Grid, source: &Grid) -> Vec<f32> {
        grids::flicker(answer, source)
    }

    fn motion_amount(&self, flow: &Grid) -> Vec<f32> {
        grids::motion_amount(flow)
    }

    fn motion_direction(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        grids::motion_direction(left, right)
    }

    fn motion_smoothness(&self, flow: &Grid) -> Vec<f32> {
        grids::motion_smoothness(flow)
    }

    fn camera(&self, flow: &Grid) -> Vec<Camera> {
        grids::camera(flow)
    }

    fn correlations(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        grids::correlations(left, right)
    }
}
