//! Every metric behind one trait, so that the same comparison runs on a device's tensors and in
//! plain loops on the CPU.

use super::{Camera, Shift};
use super::{
    align, blockiness, camera, change_from_first, correlations, detail_correlation, distance,
    distance_by_place, flicker, frame_difference, laplacian_variance, lucas_kanade, motion_amount,
    motion_direction, motion_excess, motion_smoothness, ms_ssim, noise_sigma, psnr, register, ssim,
    visible, warping_error,
};
use crate::device::transfer::{read, tensor};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::avg_pool2d;
use std::fmt;

/// Small maps in memory, one for each frame or step: `[maps, channels, rows, columns]`.
#[derive(Clone, PartialEq, Default)]
pub struct Grid {
    pub(super) values: Vec<f32>,
    pub(super) channels: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grid({}x{}x{}x{})", self.len(), self.channels, self.rows, self.columns)
    }
}

impl Grid {
    /// Maps from their values, row by row, channel by channel, map by map.
    ///
    /// # Panics
    /// The values do not fill whole maps.
    pub fn new(values: Vec<f32>, [channels, rows, columns]: [usize; 3]) -> Self {
        let map = channels * rows * columns;
        assert!(
            map > 0 && values.len().is_multiple_of(map),
            "{} values are no maps of {map}",
            values.len()
        );
        Self { values, channels, rows, columns }
    }

    /// Number of maps.
    pub fn len(&self) -> usize {
        self.values.len() / self.map().max(1)
    }

    /// Whether there are no maps.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Channels, rows and columns.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.rows, self.columns]
    }

    /// All values, map by map.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The maps in the opposite order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        self.with(self.maps().rev().flatten().copied().collect())
    }

    /// Every map with left and right exchanged.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let lines = self.values.chunks_exact(self.columns.max(1));
        self.with(lines.flat_map(|line| line.iter().rev()).copied().collect())
    }

    /// The maps one by one, each with its channels one after the other.
    pub fn maps(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.map().max(1))
    }

    fn with(&self, values: Vec<f32>) -> Self {
        Self { values, channels: self.channels, rows: self.rows, columns: self.columns }
    }

    /// Values of one map.
    fn map(&self) -> usize {
        self.channels * self.rows * self.columns
    }
}

/// The metrics, each as defined by the function of its name in [`crate::metrics`].
///
/// The lifetime is that of the bytes that pictures may refer to. Pictures are luma from 0 to 1. Two
/// that are compared have the same number of frames and the same size. Results are in the order of
/// the frames or steps.
pub trait Kernels<'a> {
    /// Frames of one size.
    type Pictures: Clone;

    /// Pictures from planes of `height` rows of `width` bytes; a byte `b` stands for `b / 255`.
    fn pictures(&self, planes: &[&'a [u8]], height: usize, width: usize) -> Self::Pictures;

    /// Mean of each 2x2 block; an odd last row or column is dropped.
    fn halved(&self, pictures: &Self::Pictures) -> Self::Pictures;

    /// The shift of the first frame of `moved` against that of `fixed`.
    fn register(&self, moved: &Self::Pictures, fixed: &Self::Pictures) -> Shift;

    /// Cuts both to the part that they share under `shift`.
    fn align(
        &self,
        moved: &Self::Pictures,
        fixed: &Self::Pictures,
        shift: Shift,
    ) -> (Self::Pictures, Self::Pictures);

    /// Structural similarity per frame.
    fn ssim(&self, left: &Self::Pictures, right: &Self::Pictures) -> Vec<f32>;

    /// Multi-scale structural similarity per frame.
    fn ms_ssim(&self, left: &Self::Pictures, right: &Self::Pictures) -> Vec<f32>;

    /// Peak signal-to-noise ratio per frame, in dB.
    fn psnr(&self, left: &Self::Pictures, right: &Self::Pictures) -> Vec<f32>;

    /// Variance of the Laplacian per frame.
    fn laplacian_variance(&self, pictures: &Self::Pictures) -> Vec<f32>;

    /// Standard deviation of the noise per frame.
    fn noise_sigma(&self, pictures: &Self::Pictures) -> Vec<f32>;

    /// Block edges per frame.
    fn blockiness(&self, pictures: &Self::Pictures) -> Vec<f32>;

    /// Correlation of fine detail per frame after the first.
    fn detail_correlation(&self, left: &Self::Pictures, right: &Self::Pictures) -> Vec<f32>;

    /// Optical flow per step in pixels, two channels, one mean value for each block of `cell` by
    /// `cell` pixels.
    fn flow(&self, pictures: &Self::Pictures, cell: usize) -> Grid;

    /// Mean squared change per step that `flow` does not explain.
    fn warping_error(
        &self,
        pictures: &Self::Pictures,
        flow: &Grid,
        visible: &Grid,
        cell: usize,
    ) -> Vec<f32>;

    /// Where a step's scene is visible in both of its frames, one channel of 0 and 1.
    fn visible(&self, forward: &Grid, backward: &Grid, cell: usize) -> Grid;

    /// Mean length of the difference per map, over all channels as one vector.
    fn distance(&self, left: &Grid, right: &Grid) -> Vec<f32>;

    /// Mean length of the difference per place, over all maps and channels.
    fn distance_by_place(&self, left: &Grid, right: &Grid) -> Vec<f32>;

    /// Mean absolute difference of neighbouring maps.
    fn frame_difference(&self, maps: &Grid) -> Vec<f32>;

    /// Mean absolute difference of each map to the first.
    fn change_from_first(&self, maps: &Grid) -> Vec<f32>;

    /// Mean absolute change per step that the source lacks.
    fn motion_excess(&self, answer: &Grid, source: &Grid) -> Vec<f32>;

    /// Change of the whole frame's brightness per step that the source lacks.
    fn flicker(&self, answer: &Grid, source: &Grid) -> Vec<f32>;

    /// Mean length of the motion per step, in pixels.
    fn motion_amount(&self, flow: &Grid) -> Vec<f32>;

    /// Agreement in direction per step.
    fn motion_direction(&self, left: &Grid, right: &Grid) -> Vec<f32>;

    /// Smoothness per neighbouring steps.
    fn motion_smoothness(&self, flow: &Grid) -> Vec<f32>;

    /// The camera's motion per step.
    fn camera(&self, flow: &Grid) -> Vec<Camera>;

    /// Correlation of every map of one with every map of the other.
    fn correlations(&self, left: &Grid, right: &Grid) -> Vec<f32>;
}

/// The metrics on tensors of a burn backend, which define them.
#[derive(Debug, Clone)]
pub struct Tensors<B: Backend> {
    device: B::Device,
}

impl<B: Backend> Tensors<B> {
    /// The metrics on the given device.
    pub fn new(device: B::Device) -> Self {
        Self { device }
    }

    fn upload(&self, grid: &Grid) -> Tensor<B, 4> {
        let [channels, rows, columns] = grid.shape();
        tensor(grid.values.clone(), [grid.len(), channels, rows, columns], &self.device)
    }

    fn download(maps: Tensor<B, 4>) -> Grid {
        let [_, channels, rows, columns] = maps.dims();
        Grid::new(read(maps), [channels, rows, columns])
    }
}

impl<'a, B: Backend> Kernels<'a> for Tensors<B> {
    type Pictures = Tensor<B, 4>;

    fn pictures(&self, planes: &[&'a [u8]], height: usize, width: usize) -> Tensor<B, 4> {
        let values = planes
            .iter()
            .flat_map(|plane| plane.iter().map(|byte| f32::from(*byte) / 255.0))
            .collect();
        tensor(values, [planes.len(), 1, height, width], &self.device)
    }

    fn halved(&self, pictures: &Tensor<B, 4>) -> Tensor<B, 4> {
        super::ssim::halve(pictures.clone())
    }

    fn register(&self, moved: &Tensor<B, 4>, fixed: &Tensor<B, 4>) -> Shift {
        register(&super::frame(moved, 0), &super::frame(fixed, 0))
    }

    fn align(
        &self,
        moved: &Tensor<B, 4>,
        fixed: &Tensor<B, 4>,
        shift: Shift,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        align(moved, fixed, shift)
    }

    fn ssim(&self, left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Vec<f32> {
        read(ssim(left, right))
    }

    fn ms_ssim(&self, left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Vec<f32> {
        read(ms_ssim(left, right))
    }

    fn psnr(&self, left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Vec<f32> {
        read(psnr(left, right))
    }

    fn laplacian_variance(&self, pictures: &Tensor<B, 4>) -> Vec<f32> {
        read(laplacian_variance(pictures))
    }

    fn noise_sigma(&self, pictures: &Tensor<B, 4>) -> Vec<f32> {
        read(noise_sigma(pictures))
    }

    fn blockiness(&self, pictures: &Tensor<B, 4>) -> Vec<f32> {
        read(blockiness(pictures))
    }

    fn detail_correlation(&self, left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Vec<f32> {
        read(detail_correlation(left, right))
    }

    fn flow(&self, pictures: &Tensor<B, 4>, cell: usize) -> Grid {
        let frames = pictures.dims()[0];
        let flow = lucas_kanade(
            &pictures.clone().slice([0..frames - 1]),
            &pictures.clone().slice([1..frames]),
        );
        Self::download(avg_pool2d(flow, [cell, cell], [cell, cell], [0, 0], false, false))
    }

    fn warping_error(
        &self,
        pictures: &Tensor<B, 4>,
        flow: &Grid,
        visible: &Grid,
        cell: usize,
    ) -> Vec<f32> {
        read(warping_error(pictures, &self.upload(flow), &self.upload(visible), cell))
    }

    fn visible(&self, forward: &Grid, backward: &Grid, cell: usize) -> Grid {
        Self::download(visible(&self.upload(forward), &self.upload(backward), cell))
    }

    fn distance(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        read(distance(&self.upload(left), &self.upload(right)))
    }

    fn distance_by_place(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        read(distance_by_place(&self.upload(left), &self.upload(right)))
    }

    fn frame_difference(&self, maps: &Grid) -> Vec<f32> {
        read(frame_difference(&self.upload(maps)))
    }

    fn change_from_first(&self, maps: &Grid) -> Vec<f32> {
        read(change_from_first(&self.upload(maps)))
    }

    fn motion_excess(&self, answer: &Grid, source: &Grid) -> Vec<f32> {
        read(motion_excess(&self.upload(answer), &self.upload(source)))
    }

    fn flicker(&self, answer: &Grid, source: &Grid) -> Vec<f32> {
        read(flicker(&self.upload(answer), &self.upload(source)))
    }

    fn motion_amount(&self, flow: &Grid) -> Vec<f32> {
        read(motion_amount(&self.upload(flow)))
    }

    fn motion_direction(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        read(motion_direction(&self.upload(left), &self.upload(right)))
    }

    fn motion_smoothness(&self, flow: &Grid) -> Vec<f32> {
        read(motion_smoothness(&self.upload(flow)))
    }

    fn camera(&self, flow: &Grid) -> Vec<Camera> {
        camera(&self.upload(flow))
    }

    fn correlations(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        read(correlations(&self.upload(left), &self.upload(right)))
    }
}
