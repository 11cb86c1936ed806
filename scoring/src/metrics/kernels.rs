//! Every metric behind one trait, so that the same comparison runs on a device's tensors and in
//! plain loops on the CPU.

use super::{Camera, HostPictures, Shift};
use super::{
    align, camera, change_from_first, correlations, distance, flicker, frame_difference, halve,
    lucas_kanade, motion_amount, motion_smoothness, register,
};
use crate::device::transfer::{self, read, tensor};
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
            "{} values do not fill maps of {map}",
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

    /// The maps one by one, each with its channels one after the other.
    pub fn maps(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.map().max(1))
    }

    /// Values of one map.
    fn map(&self) -> usize {
        self.channels * self.rows * self.columns
    }
}

/// The metrics, each as defined in the file of its name.
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

    /// The metric `M` of `N` pictures, one value for each frame.
    fn measure<M: PictureMetric<N>, const N: usize>(
        &self,
        pictures: [&Self::Pictures; N],
    ) -> Vec<f32>;

    /// Optical flow per step in pixels, two channels, one mean value for each block of `cell` by
    /// `cell` pixels.
    fn flow(&self, pictures: &Self::Pictures, cell: usize) -> Grid;

    /// Mean length of the difference per map, over all channels as one vector.
    fn distance(&self, left: &Grid, right: &Grid) -> Vec<f32>;

    /// Mean absolute difference of neighbouring maps.
    fn frame_difference(&self, maps: &Grid) -> Vec<f32>;

    /// Mean absolute difference of each map to the first.
    fn change_from_first(&self, maps: &Grid) -> Vec<f32>;

    /// Change of the whole frame's brightness per step.
    fn flicker(&self, maps: &Grid) -> Vec<f32>;

    /// Mean length of the motion per step, in pixels.
    fn motion_amount(&self, flow: &Grid) -> Vec<f32>;

    /// Smoothness per neighbouring steps.
    fn motion_smoothness(&self, flow: &Grid) -> Vec<f32>;

    /// The camera's motion per step.
    fn camera(&self, flow: &Grid) -> Vec<Camera>;

    /// Correlation of every map of one with every map of the other.
    fn correlations(&self, left: &Grid, right: &Grid) -> Vec<f32>;
}

/// A metric of `N` pictures that are seen together, with one value for each frame.
///
/// The self-test and the benchmark run all that have a row in
/// [`picture_metrics`](super::picture_metrics) or [`pair_metrics`](super::pair_metrics).
pub trait PictureMetric<const N: usize> {
    /// Its name in self-tests.
    const NAME: &'static str;
    /// Its name in benchmarks.
    const LABEL: &'static str;
    /// Whether it measures a clip at half size.
    const AT_HALF_SIZE: bool = false;

    /// The definition: pictures `[frames, 1, height, width]` give `[frames]`.
    fn on_tensors<B: Backend>(pictures: [&Tensor<B, 4>; N]) -> Tensor<B, 1>;

    /// The same in fused loops.
    fn in_loops(pictures: [&HostPictures<'_>; N]) -> Vec<f32>;
}

/// A metric of `N` pictures, to be run by kernels that are known only by their type.
#[derive(Debug)]
pub struct PictureRow<'a, K: Kernels<'a>, const N: usize> {
    /// Its name in self-tests.
    pub name: &'static str,
    /// Its name in benchmarks.
    pub label: &'static str,
    at_half_size: bool,
    /// One value for each frame.
    pub values: fn(&K, [&K::Pictures; N]) -> Vec<f32>,
}

impl<'a, K: Kernels<'a>, const N: usize> PictureRow<'a, K, N> {
    pub(super) fn of<M: PictureMetric<N>>() -> Self {
        Self {
            name: M::NAME,
            label: M::LABEL,
            at_half_size: M::AT_HALF_SIZE,
            values: K::measure::<M, N>,
        }
    }
}

impl<'a, K: Kernels<'a>> PictureRow<'a, K, 1> {
    /// The values of a clip that is given at both sizes.
    pub fn of_clip(&self, kernels: &K, full: &K::Pictures, half: &K::Pictures) -> Vec<f32> {
        (self.values)(kernels, [if self.at_half_size { half } else { full }])
    }
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
        transfer::pictures(planes, height, width, &self.device)
    }

    fn halved(&self, pictures: &Tensor<B, 4>) -> Tensor<B, 4> {
        halve(pictures.clone())
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

    fn measure<M: PictureMetric<N>, const N: usize>(
        &self,
        pictures: [&Tensor<B, 4>; N],
    ) -> Vec<f32> {
        read(M::on_tensors(pictures))
    }

    fn flow(&self, pictures: &Tensor<B, 4>, cell: usize) -> Grid {
        let frames = pictures.dims()[0];
        let flow = lucas_kanade(
            &pictures.clone().slice([0..frames - 1]),
            &pictures.clone().slice([1..frames]),
        );
        Self::download(avg_pool2d(flow, [cell, cell], [cell, cell], [0, 0], false, false))
    }

    fn distance(&self, left: &Grid, right: &Grid) -> Vec<f32> {
        read(distance(&self.upload(left), &self.upload(right)))
    }

    fn frame_difference(&self, maps: &Grid) -> Vec<f32> {
        read(frame_difference(&self.upload(maps)))
    }

    fn change_from_first(&self, maps: &Grid) -> Vec<f32> {
        read(change_from_first(&self.upload(maps)))
    }

    fn flicker(&self, maps: &Grid) -> Vec<f32> {
        read(flicker(&self.upload(maps)))
    }

    fn motion_amount(&self, flow: &Grid) -> Vec<f32> {
        read(motion_amount(&self.upload(flow)))
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
